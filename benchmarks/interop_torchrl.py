"""TorchRL: the native environment against TorchRL's PettingZooWrapper, in CPU time of one thread.

Run `python benchmarks/interop_torchrl.py [--json]`. One side of a ratio is a step of one world of `MFNet-Grid-v0`
through `PettingZooWrapper(parallel_env(...), return_state=True)`, the other the same step through `MFNetEnv`; both with
random legal actions, drawn anew in every step by TorchRL (`rand_step`), and with the reset at the end of an episode.
Before they are compared, both are shown to give the same episode for the same actions.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from core import Row, as_text, compare
from torchrl.envs import EnvBase, PettingZooWrapper

import mfnet_envs
from mfnet_envs.adapters.torchrl import MFNetEnv

WORLDS = 64
GOALS = {10: 0, 100: 0, 1000: 50}


def wrapped(population: int, **options: Any) -> PettingZooWrapper:
    parallel = mfnet_envs.parallel_env("MFNet-Grid-v0", "agents", population=population, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PettingZoo in TorchRL is tested")
        return PettingZooWrapper(parallel, return_state=True)


def native(population: int, num_worlds: int = 1, **options: Any) -> MFNetEnv:
    return MFNetEnv("MFNet-Grid-v0", "agents", num_worlds, population=population, **options)


def walk(env: EnvBase) -> Callable[[], None]:
    """A step with random actions, and the reset where one is due, as a call without arguments."""
    state = [env.reset()]

    def step() -> None:
        _, state[0] = env.step_and_maybe_reset(env.rand_action(state[0]))

    step()
    return step


def check_same_episode(population: int) -> None:
    """Every tensor of an episode but the masks after its end, which the wrapper sets to True.

    Raises:
        RuntimeError: the two sides do not play the same game.
    """
    ours, theirs = native(population, max_cycles=3), wrapped(population, max_cycles=3)
    mine, other = ours.reset(seed=0), theirs.reset(seed=0)
    for _ in range(3):
        mine = ours.rand_action(mine)
        other["agent", "action"] = mine["agent", "action"][0]
        mine, other = ours.step(mine)["next"], theirs.step(other)["next"]
        if mine["done"]:
            other["agent", "action_mask"] = mine["agent", "action_mask"][0]
        if not (mine[0] == other).all():
            raise RuntimeError("the native environment and the wrapper disagree")


def rows() -> Iterator[Row]:
    for population, goal in GOALS.items():
        check_same_episode(population)
        name = f"TorchRL: PettingZooWrapper / native, N = {population}"
        yield compare(name, walk(wrapped(population)), walk(native(population)), at_least=goal)
        yield compare(
            f"{name}, per world of {WORLDS}",
            walk(wrapped(population)),
            walk(native(population, WORLDS)),
            share=1 / WORLDS,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for line in rows():
        print(json.dumps(asdict(line)) if options.json else as_text(line), flush=True)


if __name__ == "__main__":
    main()
