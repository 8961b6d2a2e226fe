"""Assignments of a city the size of Chicago Sketch: 93,135 pairs of zones, 2,950 links, on one core.

Run `python benchmarks/assignment.py [SEED ...]`. For each seed one line: CPU seconds of one thread and relative gap of
the user equilibrium and of the system optimum, the price of anarchy, and the peak memory of the process that solved
both.
"""

import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from mfnet_envs.engines.assignment import Assignment, assign
from mfnet_envs.engines.link_laws import BPR
from mfnet_envs.engines.roads import Roads, Trips

GAP = 1e-4
ROWS, COLS, SHORTCUTS, ZONES, PAIRS = 21, 26, 43, 387, 93_135  # 2 (21 x 25 + 20 x 26 + 43) + 2 x 387 = 2,950 links


def city(
    rng: np.random.Generator,
    rows: int = ROWS,
    cols: int = COLS,
    shortcuts: int = SHORTCUTS,
    zones: int = ZONES,
    pairs: int = PAIRS,
    load: float = 1.0,
) -> tuple[Roads, BPR, Trips]:
    """A grid of uneven two-way streets and some long fast ones; zones hang on crossings by ways that take no time.

    Trips fall off with the distance. ``load``: volume of trips, 1 where free-flow paths would fill the 50th busiest
    of 1,000 links to twice its capacity.
    """
    crossings = rows * cols
    i, j = np.divmod(np.arange(crossings), cols)
    apart = abs(i[:, None] - i) + abs(j[:, None] - j)
    a, b = np.nonzero(np.triu(apart == 1))
    far = rng.permutation(np.flatnonzero(np.triu((apart >= 3) & (apart <= 6))))[:shortcuts]
    a, b = np.append(a, far // crossings), np.append(b, far % crossings)
    tail, head = zones + np.append(a, b), zones + np.append(b, a)
    fast = np.tile(np.arange(len(a)) >= len(a) - shortcuts, 2)
    spread = rng.uniform(0.6, 1.6, len(tail))
    free = apart[tail - zones, head - zones] * np.where(fast, 0.5, spread)
    capacity = np.where(fast, 3.0, 1.0) * rng.choice([800.0, 1200.0, 1800.0], len(tail))
    at = rng.choice(crossings, zones, replace=zones > crossings)
    roads = Roads(
        tail,
        head,
        zones + crossings,
        zones,
        instant_tail=np.append(np.arange(zones), zones + at),
        instant_head=np.append(zones + at, np.arange(zones)),
    )
    size = rng.lognormal(0, 1, zones)
    pull = size[:, None] * size * np.exp(-apart[np.ix_(at, at)] / 8) * (at[:, None] != at)
    likeliest = np.argsort(-pull.reshape(-1))[:pairs]
    demand = np.zeros((zones + crossings,) * 2)
    demand[np.divmod(likeliest, zones)] = pull.reshape(-1)[likeliest]
    trips = Trips.of(demand)
    law = BPR(free, capacity, np.full(len(tail), 0.15), np.full(len(tail), 4.0))
    links, lengths = roads.cheapest(free, trips).paths(np.arange(len(trips.volume)))
    busy = np.bincount(links, np.repeat(trips.volume, lengths), len(tail)) / capacity
    return roads, law, trips.scaled(2 * load / float(np.quantile(busy, 0.95)))


def solved(seed: int) -> str:
    roads, law, trips = city(np.random.default_rng(seed))
    found: list[tuple[Assignment, float]] = []
    for cost in (law, law.marginal()):
        began = time.process_time()
        found.append((assign(roads, trips, cost, gap=GAP), time.process_time() - began))
    (ue, ue_seconds), (so, so_seconds) = found
    links = len(roads.tail) + len(roads.instant_tail)
    anarchy = float(ue.flow @ law.time(ue.flow)) / so.objective
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"{seed:4d}  {links:,} links, {roads.num_nodes} nodes, {len(trips.volume):,} pairs   "
        f"UE {ue_seconds:5.1f} s, gap {ue.gap:.1e}   SO {so_seconds:5.1f} s, gap {so.gap:.1e}   "
        f"price of anarchy {anarchy:.4f}   peak {peak:.2f} GiB"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(solved(int(sys.argv[2])))
    else:
        for seed in sys.argv[1:] or ["0"]:
            subprocess.run([sys.executable, __file__, "--one", seed], check=True)
