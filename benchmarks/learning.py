"""Tables of learning in the README: ``python benchmarks/learning.py radii modes manhattan [--jobs 2]``.

Training seeds are 0 .. n-1, fixed beforehand. Every policy of a table, learnt or not, is evaluated on the same worlds
(seed 20261122, used for nothing else). A learnt policy's interval is over training seeds (Student's t) and over worlds,
added in quadrature; a heuristic's is over worlds. "gap" is the share of the way from the random policy to the bound.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import mfnet_envs
from mfnet_envs.arrays import Floats
from mfnet_envs.evaluate import half_width
from mfnet_envs.measure import Measurement, Result, measure
from mfnet_envs.tables import as_markdown

EVALUATION_SEED = 20261122
GRID, CITY = "MFNet-Grid-v0", "MFNet-RideShareNYC-v0"
Job = tuple[str, dict[str, Any], dict[str, Any], int, int]  # id, env_config, options, training seed, worlds


def learn(job: Job) -> tuple[Result, float]:
    """Train once; the last policy (not the best iterate: nothing here is selected) and the CPU seconds it took."""
    import torch

    from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig

    torch.set_num_threads(1)
    env, env_config, options, seed, worlds = job
    config = DecNeuralACConfig.from_dict({"env": env, "env_config": env_config, "seed": seed, **options})
    algorithm = config.build_algo()
    began = time.process_time()
    while algorithm.env_steps < config.total_env_steps:
        algorithm.train()
    seconds = time.process_time() - began
    policies = {"learnt": algorithm.policy}
    found = measure(algorithm.model, policies, worlds=worlds, seed=EVALUATION_SEED, certificate=None)
    return found.results["learnt"], seconds


def rate(job: tuple[str, dict[str, Any], int]) -> Measurement:
    """The heuristics, beside the bound."""
    env, env_config, worlds = job
    model = mfnet_envs.make_model(env, **env_config)
    return measure(model, model.heuristics(), worlds=worlds, seed=EVALUATION_SEED)


def table(
    pool: ProcessPoolExecutor,
    env: str,
    env_config: dict[str, Any],
    learners: dict[str, dict[str, Any]],
    seeds: int,
    worlds: int,
) -> None:
    """Print heuristics, learnt policies and the bound of one instance."""
    trained = {
        name: [pool.submit(learn, (env, env_config, o, s, worlds)) for s in range(seeds)]
        for name, o in learners.items()
    }
    found = pool.submit(rate, (env, env_config, worlds)).result()
    yardstick, random = found.yardstick, found.results["random"].value
    rows = [
        [name, yardstick.text(r.value, r.ci95), _share(found.gap_closed(name)), ""] for name, r in found.results.items()
    ]
    for name, futures in trained.items():
        results = [future.result()[0] for future in futures]
        values = np.array([result.value for result in results])
        seconds = sum(future.result()[1] for future in futures) / seeds
        value, ci95 = float(values.mean()), math.hypot(half_width(values), results[0].ci95)
        gap = yardstick.gap_closed(value, random)
        rows.append([f"**{name}**", yardstick.text(value, ci95), _share(gap), _spread(values, seconds)])
    known = found.certificate
    if known is not None:
        rows.append([f"bound ({known.kind})", yardstick.text(known.value), "100%", known.assumption])
    print(f"\n{_title(env, env_config)}: {yardstick.unit}; {seeds} training seeds, {worlds} worlds\n")
    print(as_markdown([["policy", "value ± 95 %", "gap", "over seeds"], *rows]), flush=True)


def _share(gap: float | None) -> str:
    return "" if gap is None else f"{gap:.0%}"


def _spread(values: Floats, seconds: float) -> str:
    digits = 1 if abs(values[0]) >= 100 else 3
    return f"min {values.min():.{digits}f}, max {values.max():.{digits}f}; {seconds:.0f} s CPU"


def _title(env: str, env_config: dict[str, Any]) -> str:
    return env + "".join(f", {key} {value}" for key, value in env_config.items())


def manhattan(pool: ProcessPoolExecutor, seeds: int) -> None:
    """Manhattan with its preset, from the uniform policy."""
    preset = json.loads(Path("mfnet_agents/presets/DecNeuralAC/MFNet-RideShareNYC-v0.json").read_text("utf-8"))[
        "options"
    ]
    name = f"learnt, {preset['total_env_steps'] // 1000}k steps"
    table(pool, CITY, preset.pop("env_config"), {name: preset}, seeds, 256)


def radii(pool: ProcessPoolExecutor, seeds: int) -> None:
    """Final return over what critics see and how far credit travels; the paper's k = kappa in brackets."""
    sees, credits = (0, 1, 2, 8), (0, 1, 2, 3, 8)
    options = {(k, c): {"hops": k, "credit_hops": c, "total_env_steps": 61_440} for k in sees for c in credits}
    futures = {cell: [pool.submit(learn, (GRID, {}, o, s, 256)) for s in range(seeds)] for cell, o in options.items()}
    print(f"\n{GRID}, N = 100, 61k steps: discounted return, mean of {seeds} training seeds; [k = kappa]\n")
    rows = [["hops k", *(f"kappa {c}" for c in credits)]]
    for k in sees:
        values = [float(np.mean(_values(futures[k, c]))) for c in credits]
        rows.append([str(k), *(f"[{v:.2f}]" if c == k else f"{v:.2f}" for c, v in zip(credits, values, strict=True))])
    print(as_markdown(rows), flush=True)


def modes(pool: ProcessPoolExecutor, seeds: int) -> None:
    """The printed algorithm beside the two recipes, on instances where (14) can be enumerated and on the grid."""
    paper = {"mode": "paper", "critic_steps": 512, "total_env_steps": 61_440}
    small, bracket = {"population": 12, "rows": 3, "cols": 3}, {"critic_form": "v"}
    rows: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("3 x 3, N = 12: paper, energy (14), k = kappa = 1", small, paper),
        ("3 x 3, N = 12: paper, energy, R = 20", small, {**paper, "radius": 20.0}),
        ("3 x 3, N = 12: bracket, energy (14)", small, {"policy": "energy", "total_env_steps": 61_440}),
        ("3 x 3, N = 12: bracket, tilted", small, {"policy": "tilted", "total_env_steps": 61_440}),
        ("3 x 3, N = 12: bracket, individual", small, {**bracket, "total_env_steps": 61_440}),
        ("3 x 3, N = 12: costate, individual", small, {"total_env_steps": 61_440}),
        ("5 x 5, N = 100: paper, individual (3)", {}, {**paper, "policy": "individual"}),
        ("5 x 5, N = 100: bracket, individual", {}, {**bracket, "total_env_steps": 61_440}),
        ("5 x 5, N = 100: costate, individual", {}, {"total_env_steps": 61_440}),
    ]
    futures = [[pool.submit(learn, (GRID, env, o, s, 256)) for s in range(seeds)] for _, env, o in rows]
    print(f"\n{GRID}, 61k environment steps, {seeds} training seeds: discounted return\n")
    cells = [["instance and algorithm", "return", "min, max over seeds"]]
    for (name, _, _), found in zip(rows, futures, strict=True):
        values = _values(found)
        cells.append([name, f"{sum(values) / seeds:.2f}", f"{min(values):.2f}, {max(values):.2f}"])
    print(as_markdown(cells), flush=True)


def _values(futures: list[Any]) -> list[float]:
    return [future.result()[0].value for future in futures]


TABLES: dict[str, Callable[[ProcessPoolExecutor, int], None]] = {
    "radii": radii,
    "modes": modes,
    "manhattan": manhattan,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", choices=TABLES)
    parser.add_argument("--seeds", type=int, default=5, help="training seeds 0 .. n-1")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="training processes side by side")
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for name in options.tables:
            TABLES[name](pool, options.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
