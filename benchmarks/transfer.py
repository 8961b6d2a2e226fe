"""Trained here, executed there: ``python benchmarks/transfer.py [CASE ...] [--steps 61440] [--seeds 3]``.

Each line is one policy on common worlds: the share of the way from random to what training *there* gives, with the
same kind of weights and the same budget; values are of the scenario's criterion, means over seeds. Half-widths are 95 %
by Student's t over the seeds, shares by seed; with one seed over worlds. Weights of each state are shown beside where
they can be executed at all.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import mfnet_envs
from mfnet_agents import DecNeuralAC, DecNeuralACConfig
from mfnet_envs.evaluate import evaluate, half_width
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.tables import as_markdown

GRID, NYC = "MFNet-Grid-v0", "MFNet-RideShareNYC-v0"


class Case(NamedTuple):
    """A transfer: the environment, and its options where a policy is trained and where it is executed."""

    env: str
    here: dict[str, Any]
    there: dict[str, Any]


MONDAY = {"hour": 8, "weekday": "monday"}
CASES = {
    "population": Case(GRID, {"population": 100}, {"population": 1000}),
    "layout": Case(GRID, {"population": 100}, {"population": 100, "layout": "four_corners"}),
    "both": Case(GRID, {"population": 100}, {"population": 1000, "layout": "four_corners"}),
    "size": Case(GRID, {"population": 100}, {"population": 400, "rows": 10, "cols": 10}),
    "hour": Case(NYC, {"hour": 18, "weekday": "thursday"}, MONDAY),
}
WEIGHTS = ("shared", "own")


class Value(NamedTuple):
    """A headline, and the half-width of its interval over worlds."""

    mean: float
    ci95: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--steps", type=int, default=61_440, help="environment steps of a training (default 61440)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default 3)")
    parser.add_argument("--worlds", type=int, default=128, help="worlds of an evaluation (default 128)")
    parser.add_argument("--weights", nargs="+", choices=WEIGHTS, default=WEIGHTS)
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    head = ["case", "weights", "random there", "trained here", "trained there", "share of the way"]
    for name in options.cases or CASES:
        rows = [row(name, weights, options) for weights in options.weights]
        print(as_markdown([head, *(found for found in rows if found)]), flush=True)
    return 0


def row(name: str, weights: str, options: argparse.Namespace) -> list[str] | None:
    """One line of the table; None where weights of each state cannot be executed there."""
    case, gained = CASES[name], []
    there = mfnet_envs.make_model(case.env, **case.there)
    random = measured(there, uniform(there), options.worlds)
    for seed in range(options.seeds):
        policy: Any = trained(case.env, case.here, weights, seed, options.steps).policy
        try:
            moved = policy.on(there)
        except ValueError:
            return None
        at_home = trained(case.env, case.there, weights, seed, options.steps).policy
        gained.append([measured(there, one, options.worlds) for one in (moved, at_home)])
    values = np.array(gained)  # (seeds, 2, 2)
    ahead = values[:, :, 0] - random.mean
    shares = ahead[:, 0] / ahead[:, 1]
    spread = half_width(shares) if len(shares) > 1 else float(np.hypot(*values[0, :, 1]) / ahead[0, 1])
    columns = [interval(values[:, i, 0], values[0, i, 1]) for i in range(2)]
    return [name, weights, f"{random.mean:.4g}", *columns, f"{shares.mean():.3f} +- {spread:.3f}"]


def trained(env: str, env_config: dict[str, Any], weights: str, seed: int, steps: int) -> DecNeuralAC:
    """The learner after its budget."""
    config = DecNeuralACConfig().environment(env, env_config=env_config).debugging(seed=seed)
    algo = config.training(total_env_steps=steps, weights=weights).build_algo()
    while algo.env_steps < steps:
        algo.train()
    return algo


def measured(model: LocalModel, policy: Policy, worlds: int) -> Value:
    """On worlds that no training has seen."""
    found = evaluate(model, policy, worlds=worlds, seed=1_000_003)
    return Value(found["headline_mean"], found["headline_ci95"])


def interval(values: np.ndarray, ci95: float) -> str:
    """Mean over seeds and its half-width, over worlds where there is one seed."""
    return f"{values.mean():.5g} +- {half_width(values) if len(values) > 1 else ci95:.2g}"


if __name__ == "__main__":
    sys.exit(main())
