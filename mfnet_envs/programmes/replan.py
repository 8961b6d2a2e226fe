"""Re-planning: at every step the programme of the next steps is solved again from the crowd as it is.

A planner that sees all counts, and knows the model: another information class than the policies pi(s, mu(s)), and the
field's usual reference between these and the bound. What it plays is the first step of its plan, as shares of those who
choose, pi_r(a) = u_ra / sum_a u_ra; every agent draws for itself, or the teams together by :class:`Together`.

It plans as if means were certain (certainty equivalence): the law of the next crowd beyond its mean is seen only
through phi. So it is no bound and no optimum; how near it comes to both is measured (docs/planners.md).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, TeamPolicy
from mfnet_envs.programmes.horizon_lp import Crowding, Horizon, Prices, prices, stationary
from mfnet_envs.programmes.pieces import NOBODY
from mfnet_envs.words import shown, whole

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor


class Replan(Policy):
    """Plans ``horizon`` steps ahead at every step, or at every ``every``-th; deterministic. Full information.

    Sums are those of the model's headline: discounted by its gamma, or the long-run average. Where the model reads a
    clock, each step is planned as if its hour lasted.

    Args:
        horizon: H, steps of a plan; what comes after counts by terminal values, see :mod:`.horizon_lp`.
        every: steps played of a plan before the next is made.
        workers: processes that plan, each for its part of the worlds.
        pieces: at most so many tangents of phi a pool, so that there is less to solve; default: all.

    Raises:
        NotImplementedError: the model says no :class:`~.horizon_lp.Crowding`.
        ValueError: numbers out of their range.
    """

    def __init__(
        self, model: LocalModel, *, horizon: int = 8, every: int = 1, workers: int = 1, pieces: int | None = None
    ) -> None:
        super().__init__(model)
        self.horizon, self.every, self.workers = (
            whole("horizon", horizon),
            whole("every", every),
            whole("workers", workers),
        )
        if self.every > self.horizon:
            raise ValueError(f"every must be at most the horizon, {self.horizon} steps, not {shown(every)}")
        self.pieces = None if pieces is None else whole("pieces", pieces, 4)
        self._programmes: list[tuple[LocalModel, Horizon]] = []  # of the laws met so far
        self._programme(model.at(0))
        self._plan: tuple[int, Floats] | None = None
        self._pool: ProcessPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}

    def teams(self, counts: Ints, t: int) -> Floats:
        since, plan = self._plan or (t, np.empty(0))
        if not (0 < t - since < self.every and len(plan) == len(counts)):
            since, plan = t, self._solved(counts, t)
            self._plan = since, plan
        return _shares(self.model, plan[:, t - since])

    def _solved(self, counts: Ints, t: int) -> Floats:
        """``(B, every, R, A)``: who is sent where, in agents, in the first steps of each world's plan."""
        if self.workers > 1 and len(counts) > 1:
            from concurrent.futures import ProcessPoolExecutor

            if self._pool is None:
                self._pool = ProcessPoolExecutor(self.workers, initializer=_lend, initargs=(self._alone(),))
            parts = np.array_split(counts, min(self.workers, len(counts)))
            return np.concatenate(list(self._pool.map(_lent, parts, [t] * len(parts))))
        programme = self._programme(self.model.at(t))
        return np.stack([programme.solve(world).sent[: self.every] for world in counts])

    def _alone(self) -> Replan:
        planner = copy.copy(self)
        planner.workers = 1
        return planner

    def _programme(self, law: LocalModel) -> Horizon:
        for known, programme in self._programmes:
            if known is law:
                return programme
        crowding: Crowding | None = law.crowding()
        if crowding is None:
            raise NotImplementedError(
                f"{type(law).__name__} has no convex programme to solve again (its crowding() is None): take "
                "mfnet_envs.programmes.GradientReplan or class_reference, which climb the gradient of any model"
            )
        gamma, end = terminal(law, crowding)
        programme = Horizon(law, crowding, self.horizon, gamma, end, self.pieces)
        self._programmes.append((law, programme))
        return programme


_planner: list[Replan] = []  # of a process that plans for another


def _lend(planner: Replan) -> None:
    _planner[:] = [planner]


def _lent(counts: Ints, t: int) -> Floats:
    return _planner[0]._solved(counts, t)


def terminal(model: LocalModel, crowding: Crowding) -> tuple[float, Prices]:
    """The discount factor of the model's headline, 1 for an average, and the terminal values that belong to it."""
    if model.headline.criterion == "average":
        return 1.0, stationary(model, crowding)[1]
    return model.gamma, prices(model, crowding, model.gamma)


def _shares(model: LocalModel, sent: Floats) -> Floats:
    """``sent (B, R, A)`` -> pi ``(B, T, A)``: the first legal action where the plan sends nobody."""
    sent = sent[:, np.searchsorted(model.active, model.team_states)]
    total = sent.sum(-1, keepdims=True)
    otherwise = np.eye(model.num_actions)[model.first_legal[model.team_states]]
    return np.where(total > NOBODY, sent / np.maximum(total, NOBODY), otherwise)


class Together(TeamPolicy):
    """The teams of ``policy`` draw together, with as little noise as whole agents allow.

    Of a team of n, floor(n pi_a) or one more take action a, and n pi_a do in the mean: the rest is drawn by systematic
    sampling. The same shares as ``policy``, which a planner meets so, almost exactly.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.model)
        self.policy = policy

    def teams(self, counts: Ints, t: int) -> Floats:
        return self.policy.teams(counts, t)

    def sample(self, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
        n = counts[:, self.model.team_states]
        ends = np.cumsum(self.teams(counts, t), -1)
        ends = n[..., None] * ends / ends[..., -1:]
        passed = np.minimum(np.floor(np.round(ends, 9) + rng.random((*n.shape, 1))), n[..., None])
        passed[..., -1] = n  # everybody has chosen by the last action
        drawn: Ints = np.diff(passed, axis=-1, prepend=0.0).astype(np.int64)
        return drawn
