"""How far does it scale? Time per state and step, and peak memory, each row in a process of its own.

Run `python benchmarks/scale.py [ROW ...]` with the beginnings of rows' names. CPU time of one thread; the population is
a million unless the name says otherwise. Rows on SiouxFalls need the road network that MFNET_TNTP names, from
Transportation Networks for Research (https://github.com/bstabler/TransportationNetworks; academic research only).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import networkx as nx
import numpy as np

import mfnet_envs
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import uniform
from mfnet_envs.simulator import Simulator

MILLION = 1_000_000
SECONDS = 4.0  # measured per row, at least three steps


class Walk(LocalModel):
    """Agents on any graph go where they want and are paid for room: r = 1 - N mu(v) / most."""

    def __init__(self, graph: nx.Graph[Any], population: int) -> None:
        network = StateNetwork(graph)
        legal = network.neighbors >= 0
        super().__init__(
            network=network,
            population=population,
            num_actions=legal.shape[1],
            branches=(Branch.to(np.where(legal, network.neighbors, network.neighbors[:, :1])),),
            reward_range=(0.0, 1.0),
            legal=legal,
            kernel_reads="none",
        )

    def reward(self, mu_hood: Any) -> Any:
        return (1 - mu_hood[:, :, 0, :1]) + np.zeros(self.num_actions)

    def branch_weights(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), self.network.num_states, 1, 1))


def grid(side: int, population: int = MILLION) -> LocalModel:
    return mfnet_envs.make_model("MFNet-Grid-v0", rows=side, cols=side, population=population, layout="even")


def ring(nodes: int, population: int = MILLION) -> LocalModel:
    """A ring whose nodes also know those two steps away: degree 4."""
    return Walk(nx.circulant_graph(nodes, [1, 2]), population)


def sioux_falls(population: int) -> LocalModel:
    folder = os.environ.get("MFNET_TNTP")
    if not folder:
        raise LookupError("MFNET_TNTP does not name a folder of road networks")
    try:
        from mfnet_envs.scenarios import routing_v0
    except ImportError as error:
        raise LookupError(f"the routing scenario cannot be imported: {error}") from error
    found = sorted(Path(folder).rglob("SiouxFalls_net.tntp"))
    if not found:
        raise LookupError(f"there is no SiouxFalls_net.tntp below {folder}")
    return routing_v0.build(population=population, network=found[0], time_unit=0.01)


ROWS: dict[str, Callable[[], LocalModel]] = {
    "ring, 10^3 nodes": partial(ring, 1_000),
    "ring, 10^4 nodes": partial(ring, 10_000),
    "ring, 10^5 nodes": partial(ring, 100_000),
    "grid, 32 x 32": partial(grid, 32),
    "grid, 100 x 100": partial(grid, 100),
    "grid, 316 x 316": partial(grid, 316),
    "grid, 100 x 100, N = 10^4": partial(grid, 100, 10_000),
    "grid, 100 x 100, N = 10^8": partial(grid, 100, 10**8),
    "SiouxFalls, N = 10^3": partial(sioux_falls, 1_000),
    "SiouxFalls, N = 10^5": partial(sioux_falls, 100_000),
}


def main() -> int:
    if sys.argv[1:2] == ["--row"]:
        return measure(sys.argv[2])
    print(f"{'row':<28}{'states':>9}{'agents':>13}{'build s':>9}{'ms / step':>11}{'us / state':>12}{'peak MB':>9}")
    wanted = tuple(sys.argv[1:]) or ("",)
    failed = 0
    for name in ROWS:
        if name.startswith(wanted):
            failed |= subprocess.run([sys.executable, __file__, "--row", name]).returncode
    return failed


def measure(name: str) -> int:
    """Print one row: steps of the simulator under the uniform policy, acting and moving."""
    start = time.process_time()
    try:
        model = ROWS[name]()
    except LookupError as reason:
        print(f"{name:<28}left out: {reason}")
        return 0
    simulator, policy, rng = Simulator(model), uniform(model), np.random.default_rng(0)
    built = time.process_time() - start
    counts = simulator.reset(rng)
    counts = policy.play(simulator, counts, 0, rng).next_counts  # tables that are made at first use are not counted
    steps, start = 0, time.process_time()
    while steps < 3 or time.process_time() - start < SECONDS:
        counts, steps = policy.play(simulator, counts, steps, rng).next_counts, steps + 1
    spent = (time.process_time() - start) / steps
    assert counts.sum() == model.population
    states, peak = model.network.num_states, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:<28}{states:>9,}{model.population:>13,}{built:>9.1f}{1000 * spent:>11.2f}{1e6 * spent / states:>12.3f}"
        f"{peak:>9.0f}",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
