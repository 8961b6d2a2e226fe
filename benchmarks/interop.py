"""Stable-Baselines3: how fast are its steps beside SuperSuit's, and what does its PPO learn?

interop.py speed [--json]   ratios of CPU time within one process, same worlds, same actions
interop.py curve            PPO on the grid, five seeds, beside the best rule of thumb: docs/img/interop-sb3.png
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from core import Call, Row, as_text, compare
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from supersuit import concat_vec_envs_v1, pettingzoo_env_to_vec_env_v1

import mfnet_envs
from mfnet_envs.adapters.sb3 import as_policy, make_vec_env

Measure = Callable[..., float]  # (policy, worlds = 256) -> return
PICTURE = Path(__file__).parents[1] / "docs" / "img" / "interop-sb3.png"
GRID = {"population": 25, "rows": 5, "cols": 5}
WORLDS, STEPS, SEEDS = 8, 20_480, range(5)
# The first settings that were tried; seeds and layout are those of the README's table for N = 25.
SETTINGS: dict[str, Any] = dict(n_steps=64, batch_size=1600, n_epochs=4, learning_rate=1e-3, gae_lambda=0.9)


# -- speed ------------------------------------------------------------------------------------------------------------


def speed() -> Iterator[Row]:
    """A step of all lanes, episodes of 150 steps with their resets.

    The goals are for several worlds, as one trains. One world costs both sides the same simulation, which bounds the
    ratio; its rows are printed beside.
    """
    for population, goal in ((10, 2), (1000, 10)):
        for worlds in (8, 1):
            name = f"SuperSuit's VecEnv / ours, {population} agents, {worlds} world{'s' * (worlds > 1)}"
            actions = np.random.default_rng(0).integers(5, size=(16, population * worlds))
            theirs, mine = (steps_of(make(population, worlds), actions) for make in (through_supersuit, ours))
            yield compare(name, theirs, mine, at_least=goal if worlds > 1 else 0)


def ours(population: int, worlds: int) -> VecEnv:
    return make_vec_env("MFNet-Grid-v0", "agents", worlds, monitor=False, population=population)


def through_supersuit(population: int, worlds: int) -> VecEnv:
    route = pettingzoo_env_to_vec_env_v1(mfnet_envs.parallel_env("MFNet-Grid-v0", "agents", population=population))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `render_mode` attribute is not defined")
        return concat_vec_envs_v1(route, worlds, num_cpus=1, base_class="stable_baselines3")


def steps_of(env: VecEnv, actions: np.ndarray) -> Call:
    env.reset()
    turn = iter(range(10**9))
    return lambda: env.step(actions[next(turn) % len(actions)])


# -- learning ---------------------------------------------------------------------------------------------------------


class Watch(BaseCallback):
    """Evaluates what has been learnt after every few rollouts."""

    def __init__(self, measure: Measure, every: int = 4) -> None:
        super().__init__()
        self.measure, self.every, self.rollouts = measure, every, 0
        self.curve: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:  # before the next rollout: after an update, or at the very beginning
        if self.rollouts % self.every == 0:
            steps = self.num_timesteps // GRID["population"]
            self.curve.append((steps, self.measure(as_policy(self.model), 64)))
        self.rollouts += 1


def curve(reward: str, seed: int, measure: Measure) -> tuple[list[tuple[int, float]], float]:
    """Points (environment steps of a world, return), and the last return measured with more worlds."""
    env = make_vec_env("MFNet-Grid-v0", "agents", WORLDS, observe="hood", reward=reward, **GRID)
    algorithm = PPO("MlpPolicy", env, gamma=env.model.gamma, seed=seed, device="cpu", **SETTINGS)
    watch = Watch(measure)
    algorithm.learn(STEPS * GRID["population"], callback=watch)
    learnt = as_policy(algorithm)
    return [*watch.curve, (STEPS, measure(learnt, 64))], measure(learnt)


def learning() -> None:
    torch.set_num_threads(1)
    model = mfnet_envs.make_model("MFNet-Grid-v0", **GRID)

    def measure(policy: mfnet_envs.Policy, worlds: int = 256) -> float:
        return mfnet_envs.evaluate(model, policy, worlds=worlds)["headline_mean"]

    rules = mfnet_envs.measure(model, model.heuristics())
    levels = {name: rules.results[name].value for name in ("random", rules.ranked()[-1])}
    levels["bound"] = rules.yardstick.bound
    for name, level in levels.items():
        print(f"{name:<32}{level:8.3f}", flush=True)
    curves = {}
    for reward, name in (("individual", "PPO, own reward"), ("mean", "PPO, mean reward of all")):
        runs = [curve(reward, seed, measure) for seed in SEEDS]
        curves[name] = np.array([points for points, _ in runs])
        last = np.array([value for _, value in runs])
        spread = f"min {last.min():.3f}, max {last.max():.3f}, {len(SEEDS)} seeds"
        print(f"{name:<32}{last.mean():8.3f}  {spread}", flush=True)
    draw(curves, levels)


def draw(curves: dict[str, np.ndarray], levels: dict[str, float]) -> None:
    """Means and ranges over seeds, ``(seeds, points, 2)`` each."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for (name, level), style in zip(levels.items(), (":", "--", "-"), strict=True):
        axes.axhline(level, color="#262230", linewidth=1, linestyle=style)
        below = level == min(levels.values())
        offset, edge = ((4, -4), "top") if below else ((4, 4), "bottom")
        axes.annotate(name, (0, level), offset, textcoords="offset points", va=edge, fontsize=9)
    for (name, runs), colour in zip(curves.items(), ("#187482", "#ad3860"), strict=True):
        steps, values = runs[0, :, 0], runs[:, :, 1]
        axes.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
        axes.plot(steps, values.mean(0), color=colour)
        end = (STEPS, values[:, -1].mean())
        axes.annotate(name, end, (-4, 4), textcoords="offset points", ha="right", va="bottom", color=colour, fontsize=9)
    axes.set(xlabel="environment steps", ylabel="discounted return per driver", xlim=(0, STEPS))
    seeds = len(next(iter(curves.values())))
    axes.set_title(f"Stable-Baselines3 PPO, 5 x 5 grid, 25 drivers: mean and range of {seeds} seeds", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, dpi=110)
    print(f"wrote {PICTURE.relative_to(PICTURE.parents[2])}")


def main() -> None:
    match sys.argv[1:]:
        case ["speed", *rest] if rest in ([], ["--json"]):
            for line in speed():
                print(json.dumps(asdict(line)) if rest else as_text(line), flush=True)
        case ["curve"]:
            learning()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
