"""Is this model what it says? Checks for users' own models and environments, each violation one sentence.

The tables of a model are checked when it is built; here its functions are put to the test on many crowds, and the
simulator on a few steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.matching import expected_min
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Simulator

WORLDS = 16  # random crowds of each kind
NODES = 64  # nodes whose neighbourhood is perturbed, at most
AGENTS = 200_000  # followed one by one, at most
TOLERANCE = 1e-9


@dataclass(frozen=True)
class ModelReport:
    """What :func:`check_model` looked at.

    Attributes:
        crowds: count vectors on which the model's functions were tried.
        rewards: (lowest, highest) reward met.
        passed: the checks, in words.
    """

    crowds: int
    rewards: tuple[float, float]
    passed: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.crowds} crowds, rewards {self.rewards[0]:.4g} .. {self.rewards[1]:.4g}", *self.passed]
        return "\n".join(lines)


def check_model(model: LocalModel, rng: np.random.Generator | None = None) -> ModelReport:
    """Prove, on many crowds, that a model keeps to the contract of :class:`~mfnet_envs.model.LocalModel`.

    Of a model that reads a clock, every model of one turn is checked, and that they share what they must.

    Args:
        rng: source of the crowds; default ``default_rng(0)``.

    Raises:
        ValueError: the first violation, in one sentence.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    if model.period is None:
        return _check_law(model, rng)
    reports = [_check_law(law, rng) for law in _laws(model)]
    lowest, highest = zip(*(report.rewards for report in reports), strict=True)
    told = f"clock: {len(reports)} models take turns within {model.period} steps, and share all but the demand"
    return ModelReport(
        sum(report.crowds for report in reports), (min(lowest), max(highest)), (*reports[0].passed, told)
    )


def met_beyond_range(model: LocalModel, counts: Ints) -> str | None:
    """The sentence about rewards in these crowds ``(B, S)`` that leave ``reward_range``; None where none does.

    Raises:
        ValueError: the model has no range.
    """
    lowest, highest = model.reward_range
    legal = model.legal[model.active]
    rewards = np.broadcast_to(model.reward(Simulator(model).mu_hood(counts)), (len(counts), *legal.shape))[:, legal]
    low, high = float(rewards.min(initial=lowest)), float(rewards.max(initial=highest))
    if low >= lowest - TOLERANCE and high <= highest + TOLERANCE:
        return None
    met = f"rewards of {low:.4g} to {high:.4g} were met, beyond reward_range = {model.reward_range}"
    return f"{met}: mend it, and see whether bound() is of these rewards; `mfnet env check` finds more"


def _laws(model: LocalModel) -> list[LocalModel]:
    """The models that take turns under a clock, each once, after a look at the clock itself."""
    turn = model.period
    if isinstance(turn, bool) or not isinstance(turn, int) or turn < 1:
        raise ValueError(f"period must be a positive integer (steps of one turn of the clock) or None, not {turn!r}")
    in_force = [model.at(t) for t in range(turn)]
    for t, law in enumerate(in_force):
        if model.at(t) is not law or model.at(t + turn) is not law:
            raise ValueError(f"at({t}) and at({t} + period) must return one model, the same one at every call")
        for name in ("network", "population", "num_actions", "gamma", "evaluation"):
            if getattr(law, name) != getattr(model, name):
                raise ValueError(f"the models of a clock must share {name}; at({t}) has another")
        for name in ("legal", "initial", "groups", "transit"):
            if not np.array_equal(getattr(law, name), getattr(model, name)):
                raise ValueError(f"the models of a clock must share {name}; at({t}) has another")
    return list({id(law): law for law in in_force}.values())


def _check_law(model: LocalModel, rng: np.random.Generator) -> ModelReport:
    """:func:`check_model` for one law."""
    simulator = Simulator(model)
    counts = _crowds(model, rng)
    hood = simulator.mu_hood(counts)
    rewards, _ = _check_answers(model, hood)
    passed = ["rewards and weights: right shapes, finite, in range, rows summing to 1"]
    if model.branch_rewards() is not None:
        _check_branch_rewards(model, hood)
        passed.append("paid by branch: the reward is the sum of weights times branch rewards")
    _check_purity(model, hood)
    passed.append("functions of the crowd alone: same answer twice, world by world, input left as it was")
    _check_locality(model, hood, rng)
    passed.append(f"local: rows read their own neighbourhood only, weights read {model.kernel_reads!r}")
    if model.quota is not None:
        _check_quota_weights(model, counts, hood)
        passed.append("quota: its weight is the mean share of agents served")
    if find_spec("torch") is not None:
        _check_torch(model, hood)
        passed.append("numpy and torch agree")
    _check_steps(simulator, counts, rng)
    passed.append("steps: agents conserved, moves within N_s, team rewards sum to the mean of agents' rewards")
    if model.unproved:
        names = ", ".join(model.unproved)
        passed.append(f"not inherited, being of another reward or kernel: {names}; the class may give its own")
    return ModelReport(len(counts), (float(rewards.min()), float(rewards.max())), tuple(passed))


def _crowds(model: LocalModel, rng: np.random.Generator) -> Ints:
    """Even, uneven and extreme count vectors ``(B, S)``, an empty and a full state among them."""
    s, n = model.network.num_states, model.population
    laws = np.concatenate([rng.dirichlet(np.full(s, spread), WORLDS) for spread in (10.0, 1.0, 0.1)])
    full = np.eye(s, dtype=np.int64)[rng.choice(s, min(s, WORLDS), replace=False)] * n
    start = np.tile(model.initial, (WORLDS, 1))
    mixed = rng.multinomial(n, np.concatenate([laws, start]))
    return np.concatenate([mixed, full])


def _check_answers(model: LocalModel, hood: Floats) -> tuple[Floats, Floats]:
    """Shapes, NaN, range and sums of ``reward`` and ``branch_weights``."""
    rewards, weights = _answers(model, hood)
    b, r, a, k = len(hood), len(model.active), model.num_actions, len(model.branches)
    if rewards.shape != (b, r, a):
        raise ValueError(f"reward must have shape (B, R, A) = {(b, r, a)}, not {rewards.shape}")
    if weights.shape not in ((b, r, a, k), (b, r, 1, k)):
        raise ValueError(f"branch_weights must have shape (B, R, A or 1, K) = {(b, r, a, k)}, not {weights.shape}")
    _refuse(~np.isfinite(rewards).all((0, 2)), model, "reward is NaN or infinite")
    _refuse(~np.isfinite(weights).all((0, 2, 3)), model, "branch_weights are NaN or infinite")
    lowest, highest = model.reward_range
    outside = (rewards < lowest - TOLERANCE) | (rewards > highest + TOLERANCE)
    _refuse(outside.any((0, 2)), model, f"reward leaves reward_range = {model.reward_range}")
    _refuse((weights < 0).any((0, 2, 3)), model, "branch_weights are negative")
    _refuse((abs(weights.sum(3) - 1) > TOLERANCE).any((0, 2)), model, "branch_weights do not sum to 1 over branches")
    return rewards, weights


def _check_branch_rewards(model: LocalModel, hood: Floats) -> None:
    """Learners book branch rewards: they must be those of the reward that is paid."""
    rho, weights = np.asarray(model.branch_rewards(), np.float64), np.asarray(model.branch_weights(hood))
    shape = (len(model.active), model.num_actions, len(model.branches))
    if rho.shape != shape:
        raise ValueError(f"branch_rewards must have shape (R, A, K) = {shape}, not {rho.shape}")
    _refuse(~np.isfinite(rho).all((1, 2)), model, "branch_rewards are NaN or infinite")
    paid, booked = np.asarray(model.reward(hood)), (weights * rho).sum(3)
    apart = abs(paid - booked) > TOLERANCE
    if apart.any():
        world, row, action = np.argwhere(apart)[0]
        where = f"at state {model.active[row]}, action {action}"
        raise ValueError(
            f"reward pays {paid[world, row, action]:.6g} {where}, but weights times branch_rewards make "
            f"{booked[world, row, action]:.6g}, and learners book the latter: leave one of the two out of "
            f"{type(model).__name__}, and it follows from the other"
        )


def _answers(model: LocalModel, hood: Any) -> tuple[Floats, Floats]:
    return np.asarray(model.reward(hood), np.float64), np.asarray(model.branch_weights(hood), np.float64)


def _refuse(bad: Any, model: LocalModel, sentence: str) -> None:
    """Raise if any active state is marked in ``bad (R,)``."""
    if bad.any():
        state = int(model.active[int(bad.argmax())])
        raise ValueError(f"{sentence} at state {state}")


def _check_purity(model: LocalModel, hood: Floats) -> None:
    before = hood.copy()
    first = _answers(model, hood)
    if not np.array_equal(before, hood):
        raise ValueError("the model changes the crowd it is handed; it must return new arrays")
    for name, once, again in zip(("reward", "branch_weights"), first, _answers(model, hood), strict=True):
        if not np.array_equal(once, again):
            raise ValueError(f"{name} answers differently when asked twice; it must depend on the crowd only")
    for name, all_worlds, alone in zip(("reward", "branch_weights"), first, _answers(model, hood[-1:]), strict=True):
        if not np.allclose(all_worlds[-1:], alone, rtol=0, atol=TOLERANCE):
            raise ValueError(f"{name} of one world depends on the other worlds of the batch")


def _check_locality(model: LocalModel, hood: Floats, rng: np.random.Generator) -> None:
    """Perturb what a row must not read, and see that it does not change."""
    base = hood[:1]
    before = _answers(model, base)
    node = model.network.node_of[model.active]
    for v in rng.permutation(model.network.num_nodes)[:NODES]:
        for name, same, changed in zip(("reward", "branch_weights"), before, _nudged(model, base, v, 0), strict=True):
            _refuse(_differs(same, changed) & (node != v), model, f"{name} reads more than the crowd in N_s")
        if model.kernel_reads != "hood":
            first_unread = {"none": 0, "own": 1}[model.kernel_reads]
            differs = _differs(before[1], _nudged(model, base, v, first_unread)[1])
            _refuse(differs, model, f"branch_weights read more than kernel_reads = {model.kernel_reads!r} says")


def _nudged(model: LocalModel, base: Floats, v: int, first_slot: int) -> tuple[Floats, Floats]:
    """The answers when node v is handed another crowd from slot ``first_slot`` on, padding left empty."""
    present = (model.network.neighbors[v] >= 0)[:, None]
    hood = base.copy()
    hood[0, v, first_slot:] = ((hood[0, v] + 0.37) / 2 * present)[first_slot:]
    return _answers(model, hood)


def _differs(before: Floats, after: Floats) -> Any:
    """``(R,)``: the rows that changed."""
    return (abs(before - after) > TOLERANCE).reshape(*before.shape[:2], -1).any((0, 2))


def _check_quota_weights(model: LocalModel, counts: Ints, hood: Floats) -> None:
    quota = model.quota
    assert quota is not None
    present, rate = counts[:, model.active], quota.rate[model.active]
    share = _answers(model, hood)[1][..., quota.branch]
    promised = expected_min(present.astype(float), rate)
    wrong = abs(share * present[..., None] - promised[..., None]) > 1e-6 * (1 + promised[..., None])
    sentence = f"the weight of the quota's branch {quota.branch} is not the share served, E min(n, Poisson(rate)) / n,"
    _refuse(wrong.any((0, 2)), model, sentence)


def _check_torch(model: LocalModel, hood: Floats) -> None:
    import torch

    for name in ("reward", "branch_weights"):
        function = getattr(model, name)
        try:
            answer = torch.as_tensor(function(torch.as_tensor(hood))).numpy()
        except Exception as error:
            raise ValueError(f"{name} does not run on torch tensors: {error}") from error
        if not np.allclose(answer, function(hood), rtol=0, atol=1e-6):
            raise ValueError(f"{name} gives other numbers on torch tensors than on numpy arrays")


def _check_steps(simulator: Simulator, counts: Ints, rng: np.random.Generator) -> None:
    """One step of counts, and one of agents where there are few."""
    model, s = simulator.model, simulator.model.network.num_states
    pi = np.broadcast_to(model.legal / model.legal.sum(1, keepdims=True), (len(counts), *model.legal.shape))
    following, _ = simulator.step(counts, simulator.act(counts, pi, rng), rng)
    if (following < 0).any() or (following.sum(1) != model.population).any():
        raise ValueError("a step does not conserve the number of agents")
    if model.population > AGENTS:
        return
    worlds = counts[: AGENTS // model.population]
    states = np.repeat(np.tile(np.arange(s), len(worlds)), worlds.reshape(-1)).reshape(len(worlds), -1)
    actions = rng.integers(model.num_actions, size=states.shape)
    moved, rewards = simulator.step_agents(states, actions, rng)
    at, to = model.network.node_of[states], model.network.node_of[moved]
    if not (model.network.neighbors[at] == to[..., None]).any(2).all():
        raise ValueError("an agent leaves its neighbourhood N_s")
    taken = np.zeros((len(worlds), s, model.num_actions), np.int64)
    np.add.at(taken, (np.arange(len(worlds))[:, None], states, actions), 1)
    team_rewards = simulator.step(worlds, taken, rng)[1]
    if not np.allclose(team_rewards.sum(1), rewards.mean(1), rtol=0, atol=TOLERANCE):
        raise ValueError("the team rewards do not sum to the mean of the agents' rewards")


def check_env(env: Any) -> None:
    """Hand a model or a view to the checks made for it: ours, Gymnasium's or PettingZoo's.

    Raises:
        TypeError: something none of them knows.
    """
    for knows, check in _checkers():
        if knows(env):
            check(env)
            return
    kind = type(env).__name__
    raise TypeError(f"check_env takes a LocalModel, a gymnasium.Env or a PettingZoo environment, not {kind}")


def _checkers() -> Iterator[tuple[Callable[[Any], bool], Callable[[Any], Any]]]:
    """Pairs (does it know this, check it); each library is imported when its turn comes."""
    yield lambda env: isinstance(env, LocalModel), check_model
    import gymnasium

    yield lambda env: isinstance(env, gymnasium.Env), _check_gymnasium
    import pettingzoo  # type: ignore[import-untyped]

    yield lambda env: isinstance(env, pettingzoo.ParallelEnv), _check_parallel
    yield lambda env: isinstance(env, pettingzoo.AECEnv), _check_aec


def _check_gymnasium(env: Any) -> None:
    from gymnasium.utils.env_checker import check_env as check

    check(env.unwrapped, skip_render_check=env.render_mode is None)


def _check_parallel(env: Any) -> None:
    from pettingzoo.test import parallel_api_test  # type: ignore[import-untyped]

    parallel_api_test(env, num_cycles=100)


def _check_aec(env: Any) -> None:
    from pettingzoo.test import api_test

    api_test(env, num_cycles=100)
