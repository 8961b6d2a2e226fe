"""What do processes that share the worlds save? ``python benchmarks/runners.py [--json] [--worlds 4 16] [NAME ...]``.

The learner as it is set by default, in the compiled backend. Ratios of CPU time of an iteration: all of it in one
process, over the master's own and that of its busiest process, which are done one after the other. That is what an
iteration takes where every process has a core to itself; what pipes and waiting cost beside it, ``wall`` says, which
means something on an idle machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import core
import numpy as np
import torch

from mfnet_agents import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.runners import Runners

MODELS = {
    "grid": ("MFNet-Grid-v0", 100),
    "Routing": ("MFNet-Routing-v0", 500),
    "Manhattan": ("MFNet-RideShareNYC-v0", 800),
}
PROCESSES = (0, 1, 2, 4)
ROUNDS = 7
TICK = os.sysconf("SC_CLK_TCK")


def spent(algo: Any) -> float:
    """CPU seconds of the busiest of its processes so far."""
    if not isinstance(algo.trained, Runners) or not algo.trained.processes:
        return 0.0
    stats = [Path(f"/proc/{process.popen.pid}/stat").read_text() for process in algo.trained.processes]
    return max(sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats) / TICK


def iteration(algo: Any, times: int) -> tuple[float, float]:
    """CPU seconds of an iteration that nobody else could spend at the same time, and those on the wall."""
    master, others, wall = time.thread_time(), spent(algo), time.perf_counter()
    for _ in range(times):
        algo.train()
    cpu = time.thread_time() - master + spent(algo) - others
    return cpu / times, (time.perf_counter() - wall) / times


def rows(name: str, worlds: int) -> Iterator[core.Row]:
    id, population = MODELS[name]
    config = DecNeuralACConfig().environment(id, env_config={"population": population})
    config.env_runners(backend="compiled", num_envs_per_env_runner=worlds)
    algos = [config.copy().env_runners(num_env_runners=n).build_algo() for n in PROCESSES if n <= worlds]
    for algo in algos:
        algo.train(), algo.train()
    times = max(3, round(0.5 / iteration(algos[0], 3)[0]))
    found = np.array([[iteration(algo, times) for algo in algos] for _ in range(ROUNDS)])
    cpu, wall = found[..., 0], found[..., 1]
    for i, n in enumerate(PROCESSES[1 : len(algos)], 1):
        saved = float(np.median(wall[:, 0] / wall[:, i]))
        label = f"training over {n} process{'es' * (n > 1)}, {name}, {worlds} worlds (wall: {saved:.2f})"
        yield core.row(label, float(np.median(cpu[:, 0] / cpu[:, i])), cpu[:, [0, i]], 0, 0)
    for algo in algos:
        algo.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which models: {', '.join(MODELS)} (default: all)")
    parser.add_argument("--worlds", type=int, nargs="+", default=[4, 16], help="of each iteration (default 4 16)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names or MODELS:
        for worlds in options.worlds:
            for line in rows(name, worlds):
                print(json.dumps(asdict(line)) if options.json else core.as_text(line))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
