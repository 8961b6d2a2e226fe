"""Assignments of networks and demands as given, ways that take no time and large cities, against other solvers."""

import dataclasses
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from mfnet_envs import io
from mfnet_envs.engines import (
    BPR,
    NetworkFlow,
    Roads,
    Trips,
    assign,
    assignment,
    price_of_anarchy,
    system_optimum,
    user_equilibrium,
)
from mfnet_envs.engines.throughput import largest_scale, largest_scale_with_capacities
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.words import NotSolvedError

# UE's Beckmann objective and total time, SO's total time, price of anarchy: /data/tntp/README.md, an independent solver
VERIFIED = {
    "SiouxFalls/SiouxFalls": (4_231_335.2871, 7_480_225.3449, 7_194_256.0529, 1.03975),
    "Braess/Braess": (386.0, 552.0, 498.0, 1.10843),
    "Berlin-Friedrichshain/friedrichshain-center": (618_038.880728, 728_609.306035, 670_664.564728, 1.086399),
    "Berlin-Tiergarten/berlin-tiergarten": (683_234.569267, 716_823.698544, 702_845.399215, 1.019888),
    "Eastern-Massachusetts/EMA": (26_160.345923, 28_181.423167, 27_323.932257, 1.031382),
}


def tntp(name: str) -> NetworkData:
    folder = os.environ.get("MFNET_TNTP")
    if folder is None:
        pytest.skip("MFNET_TNTP is not set")
    return io.load(Path(folder) / f"{name}_net.tntp")


def network(links: list[tuple[int, int, float]], demand: dict[tuple[int, int], float], **more: Any) -> NetworkData:
    """Links (tail, head, free-flow time) whose time grows by 1 for each trip; 0 stays 0."""
    tail, head, time = (np.array(column) for column in zip(*links, strict=True))
    size = int(max(tail.max(), head.max())) + 1
    table = np.zeros((size, size))
    for pair, volume in demand.items():
        table[pair] = volume
    one = np.ones(len(links))
    b = np.divide(1.0, time, out=np.zeros(len(links)), where=time > 0)
    kept: dict[str, Any] = {"length": 0 * one, **more}
    nodes = tuple("abcdefghijklmn"[:size])
    return NetworkData("small", nodes, tail, head, time, one, b, one, demand=table, **kept)


def random_network(seed: int) -> NetworkData:
    """Six nodes, one or two of which nobody passes, a ring and chords; a third of the chords take no time."""
    rng = np.random.default_rng(seed)
    first, size = int(rng.integers(1, 3)), 6
    ends = [(v, (v + 1) % size) for v in range(size)] + [tuple(rng.choice(size, 2, replace=False)) for _ in range(7)]
    tail, head = np.array(ends).T
    time = np.where((np.arange(len(ends)) >= size) & (rng.random(len(ends)) < 0.35), 0.0, rng.uniform(1, 3, len(ends)))
    demand = np.zeros((size, size))
    while not demand.any():
        for origin, end in rng.integers(size, size=(4, 2)):
            if origin != end and way_costs(tail, head, time, first, origin).get(end, 0) > 0:
                demand[origin, end] = rng.uniform(1, 2)
    numbers = rng.uniform(1, 2, len(ends)), rng.random(len(ends)), np.full(len(ends), 3.0), np.ones(len(ends))
    return NetworkData("random", tuple("abcdef"), tail, head, time, *numbers, demand=demand, first_through=first)


def multigraph(tail: Any, head: Any, cost: Any, first_through: int, origin: int) -> "nx.MultiDiGraph[int]":
    """Without the links on which a path from ``origin`` would pass a node below ``first_through``."""
    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    graph.add_nodes_from(range(int(max(np.max(tail), np.max(head))) + 1))
    for link, (a, b, c) in enumerate(zip(np.asarray(tail).tolist(), np.asarray(head).tolist(), cost, strict=True)):
        if a >= first_through or a == origin:
            graph.add_edge(a, b, key=link, weight=c)
    return graph


def way_costs(tail: Any, head: Any, cost: Any, first_through: int, origin: int) -> dict[int, float]:
    """The least cost from ``origin`` to each node it reaches, by networkx."""
    graph = multigraph(tail, head, cost, first_through, origin)
    graph.remove_edges_from([e for e in graph.in_edges(origin, keys=True) if origin < first_through])
    return dict(nx.single_source_dijkstra_path_length(graph, origin))


# -- verified optima ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VERIFIED)
def test_verified_optima(name: str) -> None:
    """The demand as given: one-way zones, unused nodes, connectors without time, through one door."""
    objective, selfish, best, anarchy = VERIFIED[name]
    data = tntp(name)
    ue, so = user_equilibrium(data), system_optimum(data)
    assert ue.objective == pytest.approx(objective, rel=1e-9)
    assert ue.total_time == pytest.approx(selfish, rel=1e-7)
    assert so.total_time == pytest.approx(best, rel=1e-9)
    assert so.objective == pytest.approx(so.total_time, rel=1e-12)
    assert max(ue.gap, so.gap) <= 1e-9
    assert ue.total_time / so.total_time == pytest.approx(anarchy, rel=1e-5)
    assert ue.total_cost == ue.total_time
    for found in (ue, so):
        assert found.objective * (1 - 2e-9) <= found.lower_bound <= found.objective
        conserves(found)


def conserves(found: NetworkFlow, tolerance: float = 1e-9) -> None:
    """Every node sends on what reaches it and starts there, trips without duration apart (they touch no link)."""
    data = found.network
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(data.num_nodes))
    zero = data.free_flow_time == 0
    demand = np.array(data.demand)
    for origin in range(data.first_through or data.num_nodes) if zero.any() else ():
        costs = way_costs(data.tail, data.head, data.free_flow_time, data.first_through, origin)
        at_once = [end for end, cost in costs.items() if cost == 0]
        demand[origin, at_once] = 0
    balance = np.bincount(data.tail, found.flow, data.num_nodes) - np.bincount(data.head, found.flow, data.num_nodes)
    assert (found.flow >= 0).all()
    np.testing.assert_allclose(balance, demand.sum(1) - demand.sum(0), atol=tolerance * demand.sum())


def test_trips_that_take_no_time_are_counted_and_said() -> None:
    """Zones of Friedrichshain that hang on the same node, found by networkx."""
    data = tntp("Berlin-Friedrichshain/friedrichshain-center")
    volume, pairs = 0.0, 0
    for origin in range(23):
        costs = way_costs(data.tail, data.head, data.free_flow_time, data.first_through, origin)
        for end in range(23):
            if costs.get(end) == 0 and data.demand[origin, end] > 0:
                volume, pairs = volume + data.demand[origin, end], pairs + 1
    (note,) = [note for note in user_equilibrium(data).notes if "take no time" in note and " trips (" in note]
    assert note.startswith(
        f"{volume:,.6g} trips ({volume / data.demand.sum():.2%} of all) between {pairs} pairs of nodes"
    )


# -- generalised cost --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["toll", "length"])
def test_a_toll_of_one_on_the_faster_of_two_roads(by: str) -> None:
    """t = 1 + x and 2 + x, 2 trips. A toll of 1 makes UE go half and half, in 5; the least time is 4.875 at 1.25."""
    if by == "toll":
        data = network([(0, 1, 1.0), (0, 1, 2.0)], {(0, 1): 2.0}, toll=np.array([2.0, 0.0]), toll_weight=0.5)
    else:
        data = network([(0, 1, 1.0), (0, 1, 2.0)], {(0, 1): 2.0}, length=np.array([4.0, 0.0]), length_weight=0.25)
    ue, so, cheapest = user_equilibrium(data), system_optimum(data), system_optimum(data, of="cost")
    np.testing.assert_allclose(ue.flow, [1, 1], rtol=1e-6)
    np.testing.assert_allclose(so.flow, [1.25, 0.75], rtol=1e-6)
    np.testing.assert_allclose(ue.time, [2, 3], rtol=1e-6)
    assert (ue.total_time, ue.total_cost) == pytest.approx((5.0, 6.0))
    assert (so.total_time, so.objective, so.total_cost) == pytest.approx((4.875, 4.875, 6.125))
    np.testing.assert_allclose(cheapest.flow, [1, 1], rtol=1e-6)
    assert cheapest.objective == pytest.approx(6.0)
    assert price_of_anarchy(data) == pytest.approx(5 / 4.875)
    assert price_of_anarchy(data, of="cost") == pytest.approx(1.0)


def test_a_tolled_link_of_no_time_is_no_instant_way() -> None:
    """a -> b -> c, where b -> c costs a toll of 3 or takes 1 + x: 4 trips; 2 pay. For the least time all pay."""
    links = [(0, 1, 1.0), (1, 2, 0.0), (1, 2, 1.0)]
    data = network(links, {(0, 2): 4.0}, toll=np.array([0.0, 3.0, 0.0]), toll_weight=1.0)
    ue = user_equilibrium(data)
    np.testing.assert_allclose(ue.flow, [4, 2, 2], rtol=1e-6)
    assert (ue.total_time, ue.total_cost) == pytest.approx((4 * 5 + 2 * 3, 4 * 5 + 4 * 3))
    best = system_optimum(data)
    np.testing.assert_allclose(best.flow, [4, 4, 0], atol=1e-9)
    assert (best.total_time, best.total_cost) == pytest.approx((20.0, 32.0))


# -- ways that take no time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_instant_ways_on_random_networks(seed: int) -> None:
    """What is next, where one arrives at once and how far it is, against networkx on the whole network."""
    rng = np.random.default_rng(seed)
    size, first = 8, int(rng.integers(4))
    ends = rng.integers(size, size=(2, int(rng.integers(10, 30))))
    tail, head = ends[:, ends[0] != ends[1]]
    cost = np.where(rng.random(len(tail)) < 0.3, 0.0, rng.random(len(tail)) + 0.1)
    slow, nodes = cost > 0, np.arange(size)
    roads = Roads(tail[slow], head[slow], size, first, tail[~slow], head[~slow])
    far = np.full((size, size), np.inf)
    for origin in range(size):
        for end, least in way_costs(tail, head, cost, first, origin).items():
            far[origin, end] = least
    trips = Trips.of(1 - np.eye(size))
    found = roads.cheapest(cost[slow], trips)
    np.testing.assert_allclose(found.least, far[trips.origin, trips.target])
    np.testing.assert_array_equal(roads.arrives(nodes), far == 0)
    to_go = roads.to_go(cost[slow], nodes)
    next_cost = np.where(roads.out[..., None] < 0, np.inf, to_go[roads.out]).min(1)
    np.testing.assert_allclose(next_cost[far > 0], far[far > 0])
    pairs = np.flatnonzero(np.isfinite(found.least))
    links, lengths = found.paths(pairs)
    for pair, path in zip(pairs, np.split(links, np.cumsum(lengths)[:-1]), strict=True):
        assert cost[slow][path].sum() == pytest.approx(found.least[pair])
        at = trips.origin[pair]
        for link in path:
            assert link in roads.out[at]
            at = roads.head[link]


@pytest.mark.parametrize("seed", range(6))
def test_small_networks_with_instant_ways_as_scipy_solves_them(seed: int) -> None:
    """All simple paths by networkx, Beckmann's sum minimised over their flows by SLSQP."""
    data = random_network(seed)
    columns, rows = [], []
    pairs = np.argwhere(data.demand)
    for p, (origin, end) in enumerate(pairs.tolist()):
        graph = multigraph(data.tail, data.head, data.free_flow_time, data.first_through, origin)
        for path in nx.all_simple_edge_paths(graph, origin, end):
            column = np.zeros(data.num_links)
            column[[link for _, _, link in path]] = 1
            columns.append(column)
            rows.append(p)
    incidence, member = np.array(columns), np.eye(len(pairs))[rows].T
    volume = data.demand[tuple(pairs.T)]
    law = BPR(data.free_flow_time, data.capacity, data.b, data.power)
    best = minimize(
        lambda h: float(law.integral(np.maximum(h, 0) @ incidence).sum()),
        member.T @ (volume / member.sum(1)),
        jac=lambda h: incidence @ law.time(np.maximum(h, 0) @ incidence),
        bounds=[(0, None)] * len(rows),
        constraints=LinearConstraint(member, volume, volume),
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert best.success
    found = user_equilibrium(data)
    assert found.objective == pytest.approx(best.fun, rel=1e-7)
    conserves(found)


@pytest.mark.parametrize("seed", range(4))
def test_turns_add_up(seed: int) -> None:
    """Into a link: its flow; out of a node: who comes and has not arrived there, and who starts."""
    data = random_network(seed)
    slow = data.free_flow_time > 0
    ways = data.tail[~slow], data.head[~slow]
    roads = Roads(data.tail[slow], data.head[slow], data.num_nodes, data.first_through, *ways)
    law = BPR(*(table[slow] for table in (data.free_flow_time, data.capacity, data.b, data.power)))
    trips = Trips.of(np.array(data.demand))
    found = assign(roads, trips, law)
    into = np.zeros_like(found.by_destination)
    for node, slot in np.argwhere(roads.out >= 0):
        into[:, roads.out[node, slot]] += found.turns[node, slot]
    np.testing.assert_allclose(into, found.by_destination, atol=1e-12)
    np.testing.assert_allclose(into.sum(0), found.flow, atol=1e-12)
    arrived = roads.arrives(trips.destinations)
    expected = np.zeros((data.num_nodes, len(trips.destinations)))
    expected[trips.origin, trips.target] = trips.volume
    for link, node in enumerate(roads.head):
        expected[node] += np.where(arrived[node], 0, found.by_destination[:, link])
    np.testing.assert_allclose(found.turns.sum(1), expected, atol=1e-9)


def test_ways_that_take_next_to_nothing_end() -> None:
    """Two nodes whose links both ways vanish beside the rest: a search that follows ties would run in circles."""
    tail, head = np.array([[0, 1], [1, 0], [0, 2], [1, 2]]).T
    cost = np.array([1e-20, 1e-20, 100.0, 100.0])
    demand = np.zeros((3, 3))
    demand[:2, 2] = 1.0
    links, lengths = Roads(tail, head, 3).cheapest(cost, Trips.of(demand)).paths(np.arange(2))
    assert lengths.max() <= 2
    assert set(links[np.cumsum(lengths) - 1]) <= {2, 3}


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_refusals_name_what_is_wrong() -> None:
    data = network([(0, 1, 1.0), (1, 2, 0.0)], {(0, 2): 1.0})
    lost = dataclasses.replace(data, demand=np.eye(3)[[2, 0, 1]] + 0)
    with pytest.raises(ValueError, match=r"no path leads from node 'b' to node 'a' \(nor for 1 other pair"):
        user_equilibrium(lost)
    with pytest.raises(ValueError, match="no trip passes a link that takes any time"):
        system_optimum(network([(0, 1, 1.0), (1, 2, 0.0)], {(1, 2): 1.0}))
    with pytest.raises(ValueError, match="small has no demand"):
        user_equilibrium(network([(0, 1, 1.0)], {}))
    with pytest.raises(ValueError, match="of must be 'time' or 'cost'"):
        system_optimum(data, of="money")
    for gap in (0, -1.0, float("nan"), "small", None):
        with pytest.raises(ValueError, match="gap must be a positive number"):
            price_of_anarchy(data, gap=gap)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        user_equilibrium("no_such_net.tntp")


def test_engines_name_the_pair_that_takes_no_time() -> None:
    roads = Roads(np.array([0]), np.array([1]), 3, 0, np.array([1]), np.array([2]))
    demand = np.zeros((3, 3))
    demand[0, 1] = demand[1, 2] = 1.0
    law = BPR(np.ones(1), np.ones(1), np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match="trips from node 1 to node 2 pass no link that takes time"):
        assign(roads, Trips.of(demand), law)
    with pytest.raises(ValueError, match="every link must take some time"):
        largest_scale_with_capacities(roads, Trips.of(demand), np.ones(1), np.ones(1), 5.0, 0.0)


def test_costs_beyond_all_numbers_are_said() -> None:
    """Ten trips on a link for one, to the power 1e300."""
    roads, one = Roads(np.array([0]), np.array([1]), 2), np.ones(1)
    trips = Trips.of(np.array([[0.0, 10.0], [0.0, 0.0]]))
    with pytest.raises(NotSolvedError, match="beyond all numbers; smaller powers"):
        assign(roads, trips, BPR(one, one, one, 1e300 * one))


def test_a_gap_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    roads, law, trips = slice_of_a_city(0)
    monkeypatch.setattr(assignment, "ROUNDS", 4)
    with pytest.raises(NotSolvedError, match=r"the assignment stopped at a relative gap of \d.\de-\d\d, not 1.0e-10"):
        assign(roads, trips, law)


def test_a_solve_that_stands_still_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first road jumps from 1 to 2 where half are on it, the other takes 1.5: there is no equilibrium."""

    class Stuck(BPR):
        def time(self, flow: np.ndarray) -> np.ndarray:
            return np.array([1.0 + (flow[0] >= 0.5), 1.5])

    monkeypatch.setattr(assignment, "PATIENCE", 3)
    roads, one = Roads(np.zeros(2, int), np.ones(2, int), 2), np.ones(2)
    with pytest.raises(NotSolvedError, match="the assignment stopped at a relative gap of"):
        assign(roads, Trips.of(np.array([[0.0, 1.0], [0.0, 0.0]])), Stuck(one, one, one, one))


# -- cities ------------------------------------------------------------------------------------------------------------


def slice_of_a_city(seed: int, **size: int) -> tuple[Roads, BPR, Trips]:
    """The city of benchmarks/assignment.py, smaller."""
    path = Path(__file__).parents[1] / "benchmarks" / "assignment.py"
    spec = importlib.util.spec_from_file_location("benchmarks_assignment", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = {"rows": 6, "cols": 7, "shortcuts": 6, "zones": 30, "pairs": 600, **size}
    city: tuple[Roads, BPR, Trips] = module.city(np.random.default_rng(seed), **small)
    return city


def distances(roads: Roads, cost: np.ndarray, trips: Trips) -> Iterator[float]:
    tail, head = np.append(roads.tail, roads.instant_tail), np.append(roads.head, roads.instant_head)
    price = np.append(cost, np.zeros(len(roads.instant_tail)))
    known = {o: way_costs(tail, head, price, roads.first_through, o) for o in np.unique(trips.origin).tolist()}
    for origin, target in zip(trips.origin.tolist(), trips.target, strict=True):
        yield known[origin][int(trips.destinations[target])]


@pytest.mark.parametrize("seed", range(4))
def test_a_congested_city_whatever_its_seed(seed: int) -> None:
    """Nobody gains more than the gap, by networkx's distances; UE and SO differ."""
    roads, law, trips = slice_of_a_city(seed)
    ue, so = assign(roads, trips, law, gap=1e-9), assign(roads, trips, law.marginal(), gap=1e-9)
    for found, cost in ((ue, law), (so, law.marginal())):
        time = cost.time(found.flow)
        spent, least = found.flow @ time, np.dot(list(distances(roads, time, trips)), trips.volume)
        assert spent - least <= 1.01e-9 * spent
        carried = sum(found.turns[v].sum() for v in range(roads.first_through))
        assert carried == pytest.approx(trips.total)
    assert 1.005 < float(ue.flow @ law.time(ue.flow)) / so.objective < 2


def test_flows_on_paths_are_kept_sparse() -> None:
    """A dense table of 10,000 pairs and 700 links would be 56 MB, a list of links is a fortieth."""
    roads, law, trips = slice_of_a_city(1, rows=12, cols=13, shortcuts=30, zones=120, pairs=10_000)
    found = assign(roads, trips, law, gap=1e-2)
    assert len(trips.volume) == 10_000
    held = sum(table.nbytes for table in vars(found.routes).values() if isinstance(table, np.ndarray))
    assert held < 8 * len(trips.volume) * len(roads.tail) / 10


def test_vehicles_that_no_demand_can_use_are_a_sentence() -> None:
    roads = Roads(np.array([0, 1]), np.array([1, 0]), 2)
    law = BPR(np.full(2, 1e-300), np.ones(2), np.zeros(2), np.ones(2))
    with pytest.raises(NotSolvedError, match="no share of the demand uses all vehicles"):
        largest_scale(roads, Trips.of(np.array([[0.0, 1.0], [1.0, 0.0]])), law.marginal(), 1e100, 0.0)
    assert assign(roads, Trips.of(np.array([[0.0, 5e-324], [0.0, 0.0]])), law).gap == 0


def test_a_link_that_crowding_does_not_slow_down_may_be_as_narrow_as_it_likes() -> None:
    """Nothing times infinity is no number: 0 to 1 by a constant road of capacity 1e-300, or by one that fills up."""
    network = NetworkData(
        name="narrow", nodes=("0", "1"), tail=np.zeros(2, int), head=np.ones(2, int), length=np.ones(2),
        free_flow_time=np.array([2.0, 1.0]), capacity=np.array([1e-300, 5.0]), b=np.array([0.0, 1.0]),
        power=np.array([4.0, 1.0]), demand=np.array([[0.0, 20.0], [0.0, 0.0]]),
    )  # fmt: skip
    selfish, best = user_equilibrium(network), system_optimum(network)
    assert selfish.flow == pytest.approx([15, 5]) and selfish.total_time == pytest.approx(40)  # 1 + f / 5 = 2
    assert best.flow == pytest.approx([17.5, 2.5]) and best.total_time == pytest.approx(38.75)  # 1 + 2 f / 5 = 2
