"""The README's learning tables: ``python benchmarks/learning.py grid layout2 radii modes manhattan [--jobs 2]``.

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
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mfnet_envs
from mfnet_agents.yardstick import Yardstick
from mfnet_envs.evaluate import evaluate, half_width

EVALUATION_SEED = 20261122
GRID, CITY = "MFNet-Grid-v0", "MFNet-RideShareNYC-v0"
Job = tuple[str, dict[str, Any], dict[str, Any], int, int]  # id, env_config, options, training seed, worlds


def learn(job: Job) -> dict[str, float]:
    """Train once and evaluate the last policy (not the best iterate: nothing here is selected)."""
    import torch

    from mfnet_agents.config import DecNeuralACConfig

    torch.set_num_threads(1)
    env, env_config, options, seed, worlds = job
    config = DecNeuralACConfig.from_dict({"env": env, "env_config": env_config, "seed": seed, **options})
    algorithm = config.build_algo()
    began = time.process_time()
    while algorithm.env_steps < config.total_env_steps:
        algorithm.train()
    seconds = time.process_time() - began
    return {**evaluate(algorithm.model, algorithm.policy, worlds=worlds, seed=EVALUATION_SEED), "cpu_s": seconds}


def rate(job: tuple[str, dict[str, Any], str, int]) -> dict[str, float]:
    """Evaluate one heuristic."""
    env, env_config, name, worlds = job
    model = mfnet_envs.make_model(env, **env_config)
    return evaluate(model, model.heuristics()[name], worlds=worlds, seed=EVALUATION_SEED)


def table(
    pool: ProcessPoolExecutor,
    env: str,
    env_config: dict[str, Any],
    learners: dict[str, dict[str, Any]],
    seeds: int,
    worlds: int,
) -> None:
    """Print heuristics, learnt policies and the bound of one instance."""
    model = mfnet_envs.make_model(env, **env_config)
    names = list(model.heuristics())
    trained = {
        name: [pool.submit(learn, (env, env_config, o, s, worlds)) for s in range(seeds)]
        for name, o in learners.items()
    }
    rated = {name: pool.submit(rate, (env, env_config, name, worlds)) for name in names}
    certificate = model.bound()
    yardstick = Yardstick.of(model, certificate)
    rows = [(name, *yardstick.read(rated[name].result()), "") for name in names]
    random = next(value for name, value, _, _ in rows if name == "random")
    for name, futures in trained.items():
        reports = [future.result() for future in futures]
        values = [yardstick.read(report)[0] for report in reports]
        seconds = sum(report["cpu_s"] for report in reports) / seeds
        value, over_worlds = sum(values) / seeds, yardstick.read(reports[0])[1]
        rows.append(
            (f"**{name}**", value, math.hypot(half_width(_array(values)), over_worlds), _spread(values, seconds))
        )
    print(f"\n{_title(env, env_config)}: {yardstick.unit}; {seeds} training seeds, {worlds} worlds\n")
    print("| policy | value ± 95 % | gap | over seeds |\n|---|---|---|---|")
    for name, value, ci95, note in rows:
        gap = yardstick.gap_closed(value, random)
        print(f"| {name} | {yardstick.text(value, ci95)} | {'' if gap is None else f'{gap:.0%}'} | {note} |")
    if certificate is not None:
        print(
            f"| bound ({certificate.kind}) | {yardstick.text(certificate.value)} | 100% | {certificate.assumption} |",
            flush=True,
        )


def _spread(values: list[float], seconds: float) -> str:
    digits = 1 if abs(values[0]) >= 100 else 3
    return f"min {min(values):.{digits}f}, max {max(values):.{digits}f}; {seconds:.0f} s CPU"


def _array(values: Iterable[float]) -> Any:
    import numpy as np

    return np.asarray(list(values))


def _title(env: str, env_config: dict[str, Any]) -> str:
    return env + "".join(f", {key} {value}" for key, value in env_config.items())


def grid(pool: ProcessPoolExecutor, seeds: int) -> None:
    """5 x 5 grid, the published layout, three populations."""
    for population, budgets in ((25, (61_440,)), (100, (61_440,)), (500, (61_440, 245_760))):
        learners = {f"learnt, {steps // 1000}k steps": {"total_env_steps": steps} for steps in budgets}
        table(pool, GRID, {"population": population}, learners, seeds, 512)


def layout2(pool: ProcessPoolExecutor, seeds: int) -> None:
    """The same with the layout that nothing was tuned on."""
    for population, budgets in ((25, (61_440,)), (100, (61_440, 245_760)), (500, (61_440, 245_760))):
        learners = {f"learnt, {steps // 1000}k steps": {"total_env_steps": steps} for steps in budgets}
        table(pool, GRID, {"population": population, "layout": "four_corners"}, learners, seeds, 512)


def manhattan(pool: ProcessPoolExecutor, seeds: int) -> None:
    """Manhattan with its preset, from the uniform policy."""
    preset = json.loads(Path("mfnet_agents/presets/MFNet-RideShareNYC-v0.json").read_text("utf-8"))["options"]
    table(pool, CITY, preset.pop("env_config"), {"learnt, 480k steps": preset}, seeds, 256)


def radii(pool: ProcessPoolExecutor, seeds: int) -> None:
    """Final return over what critics see and how far credit travels; the paper's k = kappa in brackets."""
    sees, credits = (0, 1, 2, 8), (0, 1, 2, 3, 8)
    options = {(k, c): {"hops": k, "credit_hops": c, "total_env_steps": 61_440} for k in sees for c in credits}
    futures = {cell: [pool.submit(learn, (GRID, {}, o, s, 256)) for s in range(seeds)] for cell, o in options.items()}
    print(f"\n{GRID}, N = 100, 61k steps: discounted return, mean of {seeds} training seeds; [k = kappa]\n")
    print("| hops k | " + " | ".join(f"kappa {c}" for c in credits) + " |\n|" + "---|" * (len(credits) + 1))
    for k in sees:
        values = [_mean(futures[k, c], "discounted_return_mean") for c in credits]
        cells = [f"[{v:.2f}]" if c == k else f"{v:.2f}" for c, v in zip(credits, values, strict=True)]
        print(f"| {k} | " + " | ".join(cells) + " |", flush=True)


def modes(pool: ProcessPoolExecutor, seeds: int) -> None:
    """The printed algorithm beside the recipe, on instances where (14) can be enumerated and on the grid."""
    paper = {"mode": "paper", "critic_steps": 512, "total_env_steps": 61_440}
    small = {"population": 12, "rows": 3, "cols": 3}
    rows: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("3 x 3, N = 12: paper, energy (14), k = kappa = 1", small, paper),
        ("3 x 3, N = 12: paper, energy, R = 20", small, {**paper, "radius": 20.0}),
        ("3 x 3, N = 12: practical, energy (14)", small, {"policy": "energy", "total_env_steps": 61_440}),
        ("3 x 3, N = 12: practical, tilted", small, {"policy": "tilted", "total_env_steps": 61_440}),
        ("3 x 3, N = 12: practical, individual", small, {"total_env_steps": 61_440}),
        ("5 x 5, N = 100: paper, individual (3)", {}, {**paper, "policy": "individual"}),
        ("5 x 5, N = 100: practical, individual", {}, {"total_env_steps": 61_440}),
    ]
    futures = [[pool.submit(learn, (GRID, env, o, s, 256)) for s in range(seeds)] for _, env, o in rows]
    print(f"\n{GRID}, 61k environment steps, {seeds} training seeds: discounted return\n")
    print("| instance and algorithm | return | min, max over seeds |\n|---|---|---|")
    for (name, _, _), found in zip(rows, futures, strict=True):
        values = [future.result()["discounted_return_mean"] for future in found]
        print(f"| {name} | {sum(values) / seeds:.2f} | {min(values):.2f}, {max(values):.2f} |", flush=True)


def _mean(futures: list[Any], key: str) -> float:
    return sum(future.result()[key] for future in futures) / len(futures)


TABLES: dict[str, Callable[[ProcessPoolExecutor, int], None]] = {
    "grid": grid,
    "layout2": layout2,
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
