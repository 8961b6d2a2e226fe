"""Monte-Carlo evaluation on common seeds: the numbers beside every certificate."""

from __future__ import annotations

import math

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.backends import Backend
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Individually, Policy
from mfnet_envs.simulator import Simulator, step_bytes
from mfnet_envs.words import fits, is_whole, shown, whole
from mfnet_envs.yardstick import KEYS

AT_ONCE = 2**22  # rewards of nodes that are kept until they are summed


def evaluate(
    model: LocalModel,
    policy: Policy,
    *,
    worlds: int = 256,
    seed: int = 0,
    steps: int | None = None,
    warmup: int | None = None,
    backend: str | Backend | None = None,
) -> dict[str, float]:
    """Run ``worlds`` independent worlds and report means with 95 % intervals (half-widths) over worlds.

    The same ``seed`` gives every policy the same starting worlds and the same stream of random numbers.

    Args:
        steps, warmup: default ``model.evaluation``; the average criterion starts after the warm-up.
        backend: of the simulator; another one than numpy gives other worlds, of the same law. "compiled" is the
            quickest, by far where few agents are played.

    Returns:
        ``headline_mean``, the number the scenario is judged by, in the unit of ``model.headline`` and of the bound;
        ``discounted_return_mean`` (gamma of the model, from the first step), ``reward_per_step_mean`` (after warm-up),
        ``episode_return_mean`` (undiscounted), all three per agent; each with ``_ci95``; and ``episode_len_mean``. A
        policy whose teams act as one (a ``TeamPolicy``) is measured so, and once more with agents that draw for
        themselves: ``individual_execution_<criterion>_*``, and the paired difference, teams minus individuals, as
        ``execution_gap_<criterion>_*``.

    Raises:
        TypeError: an id instead of a model, or a name instead of a policy.
        ValueError: no world, no step, a warm-up that leaves no step, or a policy of a network of another size.
    """
    per_world = worlds_of(model, policy, worlds=worlds, seed=seed, steps=steps, warmup=warmup, backend=backend)
    return summary(model, per_world, steps)


def worlds_of(
    model: LocalModel,
    policy: Policy,
    *,
    worlds: int = 256,
    seed: int = 0,
    steps: int | None = None,
    warmup: int | None = None,
    backend: str | Backend | None = None,
) -> dict[str, Floats]:
    """What :func:`evaluate` reports per agent, before the mean over worlds is taken: ``(worlds,)`` each."""
    check_arguments(model, policy)
    length = model.evaluation[0] if steps is None else whole("steps", steps)
    warmup = model.evaluation[1] if warmup is None else warmup
    if not is_whole(warmup) or warmup >= length:
        raise ValueError(f"warmup must lie in 0..{length - 1}, not {shown(warmup)}")
    rewards = returns(model, policy, worlds=worlds, seed=seed, steps=steps, backend=backend)
    per_world = criteria(rewards, model.gamma, warmup)
    if policy.acts_as_team:
        rewards = returns(model, Individually(policy), worlds=worlds, seed=seed, steps=steps, backend=backend)
        alone = criteria(rewards, model.gamma, warmup)
        gap = {f"execution_gap_{name}": values - alone[name] for name, values in per_world.items()}
        per_world |= {f"individual_execution_{name}": values for name, values in alone.items()} | gap
    return per_world


def check_arguments(model: object, *policies: object) -> None:
    """Refuse an id where a model is needed, a name where a policy is, and a policy of a network of another size."""
    if not isinstance(model, LocalModel):
        raise TypeError(
            f"a model is needed, such as mfnet_envs.make_model('MFNet-Grid-v0') gives it, not {shown(model)}"
        )
    for policy in policies:
        if not isinstance(policy, Policy):
            raise TypeError(
                f"a policy of the model is needed, such as model.heuristics()['random'], not {shown(policy)}"
            )
        theirs = getattr(policy, "model", None)
        if isinstance(theirs, LocalModel) and theirs.legal.shape != model.legal.shape:
            size, other = ("{:,} states and {} actions".format(*of.legal.shape) for of in (model, theirs))
            raise ValueError(f"the policy is of a model with {other}, and this one has {size}: make it of this model")


def check_worlds(model: LocalModel, worlds: int, steps: int | None = None) -> int:
    """Refuse more worlds than this machine's memory holds: how many steps they are played.

    Raises:
        ValueError: too many, or no world or step at all.
    """
    steps = model.evaluation[0] if steps is None else whole("steps", steps)
    room = 8 * steps + step_bytes(model)
    what = f"worlds={shown(worlds)} of {len(model.legal):,} states over steps={shown(steps)}"
    fits(what, whole("worlds", worlds), itemsize=room)
    return steps


def summary(model: LocalModel, per_world: dict[str, Floats], steps: int | None = None) -> dict[str, float]:
    """Means of :func:`worlds_of` with their intervals, and the headline made of them."""
    report = {"episode_len_mean": float(model.evaluation[0] if steps is None else steps)}
    for name, values in per_world.items():
        report[f"{name}_mean"] = float(values.mean())
        report[f"{name}_ci95"] = half_width(values)
    for end in ("mean", "ci95"):
        report[f"headline_{end}"] = model.headline.scale * report[f"{KEYS[model.headline.criterion]}_{end}"]
    return report


def criteria(rewards: Floats, gamma: float, warmup: int) -> dict[str, Floats]:
    """What a world is measured by, ``(worlds,)`` each, from mean rewards per agent ``(worlds, steps)``."""
    return {
        "discounted_return": rewards @ gamma ** np.arange(rewards.shape[1]),
        "reward_per_step": rewards[:, warmup:].mean(1),
        "episode_return": rewards.sum(1),
    }


def returns(
    model: LocalModel,
    policy: Policy,
    *,
    worlds: int = 256,
    seed: int = 0,
    steps: int | None = None,
    backend: str | Backend | None = None,
) -> Floats:
    """Mean reward per agent, ``(worlds, steps)``, of fresh episodes driven by ``simulator.generator(seed)``.

    Step t is played by the model in force at t.
    """
    steps = check_worlds(model, worlds, steps)
    simulator = Simulator(model, backend)
    rng, asnumpy = simulator.generator(whole("seed", seed, 0)), simulator.backend.asnumpy
    counts = simulator.reset(rng, worlds)
    rewards = np.empty((worlds, steps))
    t, together = 0, max(1, AT_ONCE // (worlds * model.network.num_nodes))
    while t < steps:
        flows = simulator.rollout(policy, counts, t, min(together, steps - t), rng)
        if flows is None:
            played = policy.play(simulator.at(t), counts, t, rng)
            counts, rewards[:, t] = played.next_counts, asnumpy(played.team_rewards).sum(1)
            t += 1
        else:
            played_on = t + len(flows.earned)
            counts, rewards[:, t:played_on], t = flows.final, flows.earned.sum(2).T, played_on
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
