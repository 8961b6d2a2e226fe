"""User equilibria and system optima of odd networks: refused, or what another reading of the same network confirms."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from fuzz import odd
from fuzz.calls import note
from fuzz.judging import Fault, attempt
from mfnet_envs import engines
from mfnet_envs.io import NetworkData

CLOSE = 1e-6  # relative
EXTREME = [1e-9, 1e-3, 1e6, 1e12, 1e-300, 1e300]


class Equilibria:
    """Who would take which way, and who should: flows that carry the demand, and no cheaper way beside them."""

    name, share = "equilibria", 1.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        network = drawn(rng)
        gap: Any = odd.value(rng) if rng.random() < 0.1 else float(rng.choice([1e-9, 1e-9, 1e-6, 1e-3]))
        of = str(rng.choice(["time", "time", "cost", "length"]))
        given = {name: getattr(network, name) for name in ("tail", "head", "demand", *COLUMNS)}
        np.savez(folder / "network.npz", toll=0 if network.toll is None else network.toll, **given)
        told = f"first_through {network.first_through}, tolls weigh {network.toll_weight}, lengths "
        told += f"{network.length_weight}, gap={odd.shown(gap)}, of={of}"
        note(folder, told)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            selfish = attempt(lambda: engines.user_equilibrium(network, gap=gap))
            confirm(selfish, engines.networks.fixed_cost(network), False, gap, told)
            best = attempt(lambda: engines.system_optimum(network, of=of, gap=gap))
            fixed = engines.networks.fixed_cost(network) if of == "cost" else np.zeros(network.num_links)
            confirm(best, fixed, True, gap, told)
        reached = selfish.total_cost if of == "cost" else selfish.total_time
        if best.lower_bound > reached * (1 + CLOSE):
            raise Fault("silent", f"{told}: {selfish} takes less than {best.lower_bound}", "below the optimum's bound")


COLUMNS = ("free_flow_time", "capacity", "b", "power", "length")


def drawn(rng: np.random.Generator) -> NetworkData:
    """A small network: parallel links, links of no time, one-way zones, centroids, tolls, numbers far apart."""
    n = int(rng.integers(2, 6))
    chance = 0.6 if rng.random() < 0.3 else 1.0  # of the ring, by which everybody arrives
    ends = [(a, (a + 1) % n) for a in range(n) if rng.random() < chance]
    ends += [
        (a, b) for a in range(n) for b in range(n) if a != b and rng.random() < 0.4 for _ in range(rng.integers(3))
    ]
    tail, head = np.array(ends or [(0, 1)]).T
    m, few = len(tail), rng.random() < 0.3

    def column(usual: float) -> np.ndarray[Any, Any]:
        values = usual * rng.uniform(0.5, 2, m)
        if few and rng.random() < 0.5:
            values[rng.integers(m)] = EXTREME[int(rng.integers(len(EXTREME)))]
        return np.asarray(values)

    instant = rng.random(m) < (0.2 if rng.random() < 0.3 else 0)
    demand = rng.integers(0, 20, (n, n)) * (1.0 - np.eye(n))
    if rng.random() < 0.4:
        demand[:, int(rng.integers(n))] = 0
    if rng.random() < 0.4:
        demand[int(rng.integers(n))] = 0
    if rng.random() < 0.15:
        demand *= 10.0 ** rng.integers(-9, 9)
    weighed = rng.random() < 0.4
    return NetworkData(
        name="odd", nodes=tuple(map(str, range(n))), tail=tail, head=head, demand=demand,
        free_flow_time=np.where(instant, 0, column(1)), capacity=column(20),
        b=column(0.15) * (rng.random(m) < 0.9), power=column(float(rng.choice([1, 4, 4, 0.5, 12]))), length=column(1),
        toll=column(0.5) if weighed else None, toll_weight=float(weighed * rng.choice([0, 1, 0.02])),
        length_weight=float(weighed * rng.choice([0, 0.04])),
        first_through=int(rng.integers(0, n)) if rng.random() < 0.3 else 0,
    )  # fmt: skip


def confirm(found: Any, fixed: np.ndarray[Any, Any], marginal: bool, gap: float, told: str) -> None:
    """Against networkx's shortest paths and BPR as TNTP writes it.

    Raises:
        Fault: the flow does not carry the demand, or there is a cheaper way.
    """
    network, flow = found.network, found.flow
    which = "optimum" if marginal else "equilibrium"
    if not odd.finite(flow, found.time, found.total_time, found.objective, found.lower_bound, found.gap):
        raise Fault("silent", f"{told}: {found}", f"{which}: not finite")
    with np.errstate(all="ignore"):
        slower = network.free_flow_time * (network.b * (flow / network.capacity) ** network.power)
        slower[(network.free_flow_time == 0) | (network.b == 0)] = 0  # not nothing times infinity
        time = network.free_flow_time + slower
        cost = fixed + time + (network.power * slower if marginal else 0)
    if not np.allclose(time, found.time, CLOSE, 1e-300) or (flow < -CLOSE * flow.max()).any():
        raise Fault("silent", f"{told}: times {found.time}, BPR says {time} at {flow}", f"{which}: times or signs")
    if any("take no time" in line for line in found.notes):
        return  # these trips are left out, and said to be
    total = network.demand.sum()
    out = np.bincount(network.tail, flow, len(network.nodes)) - np.bincount(network.head, flow, len(network.nodes))
    wanted = network.demand.sum(1) - network.demand.sum(0)
    if np.abs(out - wanted).max() > CLOSE * total:
        raise Fault("silent", f"{told}: {out} leave the nodes, {wanted} are wanted", f"{which}: demand is not carried")
    cheapest, spent = cheapest_of(network, cost), float(flow @ cost)
    if spent - cheapest > (gap + CLOSE) * spent:
        raise Fault("silent", f"{told}: costs {spent}, on cheapest ways {cheapest}", f"{which}: there is a cheaper way")


def cheapest_of(network: NetworkData, cost: np.ndarray[Any, Any]) -> float:
    """What the demand would cost on cheapest ways, which lead through no centroid."""
    total = 0.0
    for origin in np.flatnonzero(network.demand.sum(1)):
        graph = nx.DiGraph()
        graph.add_nodes_from(range(len(network.nodes)))
        for a, b, c in zip(network.tail.tolist(), network.head.tolist(), cost.tolist(), strict=True):
            if a >= network.first_through or a == origin:
                graph.add_edge(a, b, weight=min(c, graph.get_edge_data(a, b, {"weight": c})["weight"]))
        far = nx.single_source_dijkstra_path_length(graph, int(origin))
        total += sum(network.demand[origin, d] * far[d] for d in np.flatnonzero(network.demand[origin]).tolist())
    return total
