"""What does the compiled backend save? Ratios numpy / compiled taken in one process, in CPU time of one thread.

Run `python benchmarks/fast.py [--json] [ROW ...]` with the names of rows. Each ratio is the median over rounds in which
the two backends take turns. "recorded": a rollout as the trainer takes it, with all that it keeps; the times are of one
step of all worlds. What numba compiles is compiled before anything is timed; the row "compile" says what that takes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import core
import numpy as np
import torch
from _ordinary_env import BareDicts, OrdinaryGrid
from core import Call, Row, compare

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.sampling import Sampler
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import uniform
from mfnet_envs.simulator import Simulator

STEPS = 50  # of a rollout
BACKENDS = "numpy", "compiled"


def recorded(model: LocalModel, worlds: int, backend: str) -> Call:
    """A rollout of the trainer's sampler, restarts and records included."""
    sampler = Sampler(Simulator(model, backend), "restart", model.gamma, worlds, np.random.default_rng(0))
    policy = uniform(model)
    return lambda: sampler.rollout(policy, STEPS)


def single(model: LocalModel, worlds: int, backend: str) -> Call:
    """A step with the uniform policy, actions drawn."""
    simulator = Simulator(model, backend)
    rng, pi = simulator.generator(0), uniform(model).table[0]
    state = [simulator.reset(rng, worlds)]

    def step() -> None:
        state[0] = simulator.play(state[0], pi, rng).next_counts

    return step


def both(name: str, make: Callable[..., Call], model: LocalModel, worlds: int, goal: float, steps: int) -> Row:
    slow, fast = (make(model, worlds, backend) for backend in BACKENDS)
    for _ in range(3):
        slow(), fast()
    name += f", {worlds} world{'s' * (worlds > 1)}"
    return per_step(compare(name, slow, fast, at_least=goal), steps)


def per_step(row: Row, steps: int) -> Row:
    """The times of a rollout as those of a step."""
    return replace(row, slow_us=round(row.slow_us / steps, 1), fast_us=round(row.fast_us / steps, 1))


def grid(population: int, side: int, **options: Any) -> LocalModel:
    return mfnet_envs.make_model("MFNet-Grid-v0", population=population, rows=side, cols=side, **options)


def rollouts() -> Iterator[Row]:
    goals = {(100, 5, 1): 25, (100, 10, 1): 25, (10**4, 5, 1): 7, (10**4, 10, 1): 3.5}
    goals |= {(100, 5, 64): 3, (100, 10, 64): 4, (10**4, 5, 64): 2.2, (10**4, 10, 64): 2.2}
    for (population, side, worlds), goal in goals.items():
        name = f"recorded, grid, N = {population}, S = {side * side}"
        yield both(name, recorded, grid(population, side), worlds, goal, STEPS)


def large() -> Iterator[Row]:
    for population in (10**6, 10**9):
        for side in (5, 10):
            model = grid(population, side, matching="independent")
            yield both(f"single steps, grid, N = {population:.0e}, S = {side * side}", single, model, 64, 1.7, 1)


def manhattan() -> Iterator[Row]:
    model = mfnet_envs.make_model("MFNet-RideShareNYC-v0")
    for worlds, goal in ((1, 12), (64, 3.3)):
        yield both(f"recorded, Manhattan, N = {model.population}", recorded, model, worlds, goal, STEPS)


def sioux_falls() -> Iterator[Row]:
    folder = os.environ.get("MFNET_TNTP")
    if folder is None:
        raise SystemExit("the rows of Sioux Falls need the road network: set MFNET_TNTP to a folder that holds it")
    path = next(Path(folder).rglob("SiouxFalls_net.tntp"))
    model = mfnet_envs.make_model("MFNet-Routing-v0", network=str(path), population=10_000)
    for worlds, goal in ((1, 2.5), (64, 3.5)):
        yield both("single steps, Sioux Falls, N = 10000", single, model, worlds, goal, 1)


def named_agents() -> Iterator[Row]:
    for population, goal in ((10**4, 5), (10**6, 8)):
        model, rng = grid(population, 5), np.random.default_rng(0)
        states, actions = (rng.integers(high, size=(1, population)) for high in (25, 5))
        slow, fast = (partial(Simulator(model, backend).step_agents, states, actions, rng) for backend in BACKENDS)
        fast()
        yield compare(f"step of named agents, grid, N = {population}", slow, fast, at_least=goal)


def agent_view() -> Iterator[Row]:
    """PettingZoo's dicts over what dicts cost without a model: how far from 1."""
    for population, goal in ((10_000, 1.4), (1_000, 1.6)):
        options: dict[str, Any] = {"view": "agents", "population": population, "max_cycles": 10**9}
        view = mfnet_envs.parallel_env("MFNet-Grid-v0", backend="compiled", **options)
        bare = BareDicts(population, view.observation_space(view.possible_agents[0]).shape[0])
        name = f"agent view, compiled / dicts without a model, N = {population}"
        yield compare(name, core.play(view), core.play(bare), at_most=goal)


def others() -> Iterator[Row]:
    for id in ("MFNet-Packet-v0", "MFNet-Routing-v0", "MFNet-SIS-v0"):
        model = mfnet_envs.make_model(id)
        for worlds in (1, 64):
            yield both(f"recorded, {id}", recorded, model, worlds, 0, STEPS)
    for side in (5, 10):
        yield both(f"single steps, grid, N = 100, S = {side * side}", single, grid(100, side), 1, 0, 1)


def ordinary() -> Iterator[Row]:
    for side, goal in ((5, 1200), (10, 450)):
        model = core.grid_v0.build(10_000, rows=side, cols=side, matching="independent")
        env, ours = OrdinaryGrid(model, side, side), recorded(model, 1, "compiled")
        ours()
        name = f"ordinary environment / recorded, N = 10^4, S = {side * side}"
        yield compare(name, core.play(env), ours, at_least=goal, share=1 / STEPS)


def training() -> Iterator[Row]:
    """An iteration of the learner as it is set by default."""
    torch.set_num_threads(1)
    goals = {"MFNet-Grid-v0": (100, 4), "MFNet-Routing-v0": (500, 3), "MFNet-RideShareNYC-v0": (800, 3)}
    for id, (population, goal) in goals.items():
        config = DecNeuralACConfig().environment(id, env_config={"population": population})
        slow, fast = (config.copy().env_runners(backend=name).build_algo() for name in BACKENDS)
        for _ in range(3):
            slow.train(), fast.train()
        yield compare(f"training iteration, {id}, N = {population}", slow.train, fast.train, at_least=goal)


def compile_time() -> Iterator[Row]:
    """CPU seconds of a process that plays one rollout: first time, and with what the first one left on disk."""
    code = (
        "import time, mfnet_envs; from mfnet_envs.policy import uniform;"
        "model = mfnet_envs.make_model('MFNet-Grid-v0'); start = time.process_time();"
        "simulator = mfnet_envs.Simulator(model, 'compiled'); rng = simulator.generator(0);"
        "simulator.rollout(uniform(model), simulator.reset(rng), 0, 50, rng);"
        "print(time.process_time() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": str(Path(__file__).parents[1])}

        def run() -> float:
            done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
            return float(done.stdout)

        cold, warm = run(), float(np.median([run() for _ in range(3)]))
    name = f"first rollout of a process: {cold:.1f} s where nothing is compiled yet, {warm:.2f} s from disk"
    yield Row(name, round(cold / warm, 1), "", None, round(cold * 1e6), round(warm * 1e6))


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "rollouts": rollouts,
    "large": large,
    "manhattan": manhattan,
    "sioux_falls": sioux_falls,
    "agents": named_agents,
    "view": agent_view,
    "others": others,
    "ordinary": ordinary,
    "training": training,
    "compile": compile_time,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which rows: {', '.join(ROWS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no rows {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if not options.json:
        print(f"{'':<72} {'ratio':>9} {'goal':>16}      {'us':>10} / {'us':<10}")
    for name in options.rows or ROWS:
        for line in ROWS[name]():
            print(json.dumps(asdict(line)) if options.json else core.as_text(line))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
