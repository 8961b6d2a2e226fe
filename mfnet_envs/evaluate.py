"""Monte-Carlo evaluation on common seeds: the numbers beside every certificate."""

from __future__ import annotations

import math

import numpy as np

from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.policy import Individually, Policy
from mfnet_envs.simulator import Simulator


def evaluate(
    model: LocalModel,
    policy: Policy,
    *,
    worlds: int = 256,
    seed: int = 0,
    steps: int | None = None,
    warmup: int | None = None,
) -> dict[str, float]:
    """Run ``worlds`` independent worlds and report means with 95 % intervals (half-widths) over worlds.

    The same ``seed`` gives every policy the same starting worlds and the same stream of random numbers.

    Args:
        steps, warmup: default ``model.evaluation``; the average criterion starts after the warm-up.

    Returns:
        ``discounted_return_mean`` (gamma of the model, from the first step), ``reward_per_step_mean`` (after warm-up),
        ``episode_return_mean`` (undiscounted), all per agent, each with ``_ci95``, and ``episode_len_mean``. A policy
        whose teams act as one (it overrides ``sample``) is measured so, and once more with agents that draw for
        themselves: ``individual_execution_<criterion>_*``, and the paired difference, teams minus individuals, as
        ``execution_gap_<criterion>_*``.
    """
    rewards = returns(model, policy, worlds=worlds, seed=seed, steps=steps)
    steps = rewards.shape[1]
    warmup = model.evaluation[1] if warmup is None else warmup
    if not 0 <= warmup < steps:
        raise ValueError(f"warmup must lie in 0..{steps - 1}, not {warmup}")
    per_world = criteria(rewards, model.gamma, warmup)
    if policy.acts_as_team:
        alone = criteria(
            returns(model, Individually(policy), worlds=worlds, seed=seed, steps=steps), model.gamma, warmup
        )
        gap = {f"execution_gap_{name}": values - alone[name] for name, values in per_world.items()}
        per_world |= {f"individual_execution_{name}": values for name, values in alone.items()} | gap
    report = {"episode_len_mean": float(steps)}
    for name, values in per_world.items():
        report[f"{name}_mean"] = float(values.mean())
        report[f"{name}_ci95"] = half_width(values)
    return report


def criteria(rewards: Floats, gamma: float, warmup: int) -> dict[str, Floats]:
    """What a world is measured by, ``(worlds,)`` each, from mean rewards per agent ``(worlds, steps)``."""
    return {
        "discounted_return": rewards @ gamma ** np.arange(rewards.shape[1]),
        "reward_per_step": rewards[:, warmup:].mean(1),
        "episode_return": rewards.sum(1),
    }


def returns(model: LocalModel, policy: Policy, *, worlds: int = 256, seed: int = 0, steps: int | None = None) -> Floats:
    """Mean reward per agent, ``(worlds, steps)``, of fresh episodes driven by ``default_rng(seed)``.

    Step t is played by the model in force at t.
    """
    simulator, rng = Simulator(model), np.random.default_rng(seed)
    steps = model.evaluation[0] if steps is None else steps
    if worlds < 1 or steps < 1:
        raise ValueError("evaluation needs at least one world and one step")
    counts = simulator.reset(rng, worlds)
    rewards = np.empty((worlds, steps))
    for t in range(steps):
        played = policy.play(simulator.at(t), counts, t, rng)
        counts, rewards[:, t] = played.next_counts, played.team_rewards.sum(1)
    return rewards


def half_width(values: Floats) -> float:
    """Half the 95 % interval of a mean, by Student's t; infinite for a single value."""
    n = len(values)
    if n < 2:
        return math.inf
    return student_t95(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)


def student_t95(freedom: int) -> float:
    """The 0.975 quantile of Student's t law."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
