"""What do processes that share the worlds save? ``python benchmarks/runners.py [--wall] [--worlds 4 16] [NAME ...]``.

The learner as it is set by default, in the compiled backend. Ratios of an iteration in one process over one that is
shared, in CPU time: the master's own and that of its busiest process, which are done one after the other, pickles
included. To have them on any machine the processes are played by this one, turn by turn. ``--wall``: real ones, by the
clock, which means something where every one of them has a core to itself.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import core
import numpy as np
import torch

from mfnet_agents import DecNeuralACConfig
from mfnet_agents.dec_neural_ac import runners

MODELS = {
    "grid": ("MFNet-Grid-v0", 100),
    "Routing": ("MFNet-Routing-v0", 500),
    "Manhattan": ("MFNet-RideShareNYC-v0", 800),
}
PROCESSES = (1, 2, 4)
ROUNDS = 7


class Process:
    """One that is played by this: ``spent``, the CPU seconds that would not have been the master's."""

    def __init__(self) -> None:
        self.spent = 0.0

    def send(self, verb: str, what: Any) -> None:
        told = pickle.dumps((verb, what), pickle.HIGHEST_PROTOCOL)
        began = time.thread_time()
        verb, what = pickle.loads(told)
        if verb == "begin":
            self.player = runners._begun(*what)
        else:
            self.said = pickle.dumps(runners._answered(self.player, verb, what), pickle.HIGHEST_PROTOCOL)
        self.spent += time.thread_time() - began

    def answer(self) -> Any:
        return pickle.loads(self.said)

    def end(self) -> None:
        return None


def iteration(algo: Any, times: int, wall: bool) -> float:
    """Seconds of an iteration, by the clock or those of the CPU that nobody else could spend at the same time."""
    processes = getattr(algo.trained, "processes", [])
    for process in processes if not wall else []:
        process.spent = 0.0
    began = time.perf_counter() if wall else time.thread_time()
    for _ in range(times):
        algo.train()
    taken = (time.perf_counter() if wall else time.thread_time()) - began
    spent = [0.0] if wall else [process.spent for process in processes] or [0.0]
    return (taken - sum(spent) + max(spent)) / times


def rows(name: str, worlds: int, wall: bool) -> Iterator[core.Row]:
    id, population = MODELS[name]
    config = DecNeuralACConfig().environment(id, env_config={"population": population})
    config.env_runners(backend="compiled", num_envs_per_env_runner=worlds)
    numbers = [n for n in PROCESSES if n <= worlds]
    alone, *shared = (config.copy().env_runners(num_env_runners=n).build_algo() for n in (0, *numbers))
    for algo in (alone, *shared):
        algo.train(), algo.train()
    times = max(2, round(core.ROUND / iteration(alone, 2, wall)))
    for n, algo in zip(numbers, shared, strict=True):
        found = np.array([[iteration(each, times, wall) for each in (alone, algo)] for _ in range(ROUNDS)])
        label = f"training over {n} process{'es' * (n > 1)}, {name}, {worlds} worlds"
        yield core.row(label, float(np.median(found[:, 0] / found[:, 1])), found, 0, 0)
        algo.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which models: {', '.join(MODELS)} (default: all)")
    parser.add_argument("--worlds", type=int, nargs="+", default=[4, 16], help="of an iteration (default 4 16)")
    parser.add_argument("--wall", action="store_true", help="real processes, by the clock")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.wall:
        runners.Process = Process  # type: ignore[assignment, misc]
    for name in options.names or MODELS:
        for worlds in options.worlds:
            for line in rows(name, worlds, options.wall):
                print(json.dumps(asdict(line)) if options.json else core.as_text(line))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
