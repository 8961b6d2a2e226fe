"""What another library has learnt, as a :class:`mfnet_envs.Policy`: then ``mfnet_envs.evaluate`` and the bounds apply.

The library hands over a function of observations, numpy in and out. What is observed and how actions are read is that
of the view it was trained in: give the same options here as there, or hand the environment to ``of``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints, Single
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, TeamPolicy
from mfnet_envs.views._joint import Action, Flow, TeamGame, largest_remainder
from mfnet_envs.views._observe import Encoding, Observer, Overview
from mfnet_envs.views.batch import AgentsBatch, TeamsBatch
from mfnet_envs.views.central import CentralEnv
from mfnet_envs.views.vector import CentralVectorEnv

Function = Callable[[Single], NDArray[Any]]
ROUNDING = 1e-3  # how far probabilities in single precision may be from summing to 1


class ObservedPolicy(Policy):
    """The policy of the agents view: every agent draws its action from the probabilities at its own observation.

    Args:
        probabilities: observations ``(K, size)`` float32 -> ``(K, A)``, rows that sum to 1.
        masked: whether illegal actions were masked in training. Then legal ones share the probability in proportion, as
            in a masked softmax; else what is on illegal actions is played as the first legal one, as the view does.
        observe, state_encoding: as in the agents view it was trained in.

    Raises:
        ValueError: when played, if the function answers with another shape, NaN, or rows that do not sum to 1.
    """

    def __init__(
        self,
        model: LocalModel,
        probabilities: Function,
        *,
        masked: bool = False,
        observe: str | int = "own",
        state_encoding: Encoding | None = None,
    ) -> None:
        super().__init__(model)
        self.probabilities, self.masked = probabilities, masked
        self.observer = Observer(model, observe, state_encoding)

    @classmethod
    def of(cls, batch: AgentsBatch, probabilities: Function, *, masked: bool = False) -> Self:
        """With the model and the observations of ``batch``."""
        policy = cls(batch.model, probabilities, masked=masked)
        policy.observer = batch.observer
        return policy

    def teams(self, counts: Ints, t: int) -> Floats:
        pi = _answers(self.probabilities, _seen_by_teams(self.observer, counts, t), self.model.num_actions)
        total = pi.sum(-1, keepdims=True)
        if not (pi.min() >= 0 and abs(total - 1).max() <= ROUNDING):
            raise ValueError("probabilities must return non-negative rows that sum to 1; is a softmax missing?")
        pi = (pi / total).reshape(len(counts), -1, self.model.num_actions)
        if not self.masked:
            return _as_played(self.model, pi)
        pi = np.where(self.model.legal[self.model.team_states], pi, 0.0)
        if not (pi.max(-1) > 0).all():
            raise ValueError("a masked policy must leave some probability on legal actions in every state")
        legal: Floats = pi / pi.sum(-1, keepdims=True)
        return legal


class BoxPolicy(TeamPolicy):
    """Base of :class:`TeamsPolicy` and :class:`CentralPolicy`: actions of the view's Box, clipped to it.

    Args:
        actions: observations -> actions; deterministic, such as the mean of a normal law.
        action, flow, logit_scale: as in the view it was trained in; with ``flow="round"`` it acts as a team.

    Raises:
        ValueError: when played, if the function answers with another shape or NaN.
    """

    def __init__(
        self,
        model: LocalModel,
        actions: Function,
        *,
        action: Action = "logits",
        flow: Flow | None = None,
        logit_scale: float = 5.0,
    ) -> None:
        super().__init__(model)
        self.actions = actions
        self.game = TeamGame(model, action, flow, logit_scale)

    @abstractmethod
    def boxed(self, counts: Ints, t: int) -> Floats:
        """The actions in worlds ``counts (B, S)``, ``(..., A)`` with T rows for each world."""

    def teams(self, counts: Ints, t: int) -> Floats:
        return _as_played(self.model, self._shares(counts, t))

    def sample(self, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
        if self.game.flow == "sample":
            return Policy.sample(self, counts, t, rng)
        return largest_remainder(counts[:, self.model.team_states], self._shares(counts, t))

    def _shares(self, counts: Ints, t: int) -> Floats:
        boxed = np.clip(self.boxed(counts, t), self.game.low, 1.0)
        return self.game.policy(boxed.reshape(len(counts), *self.game.shape))

    @property
    def acts_as_team(self) -> bool:
        """The view decides, not the type."""
        return self.game.flow == "round"


class TeamsPolicy(BoxPolicy):
    """The policy of the teams view.

    Args:
        actions: observations ``(K, size)`` float32 -> actions ``(K, A)``.
        observe, state_encoding: as in the teams view it was trained in; the rest as in :class:`BoxPolicy`.
    """

    def __init__(
        self,
        model: LocalModel,
        actions: Function,
        *,
        observe: str | int = "own",
        state_encoding: Encoding | None = "none",
        **played: Any,
    ) -> None:
        super().__init__(model, actions, **played)
        self.observer = Observer(model, observe, state_encoding)

    @classmethod
    def of(cls, batch: TeamsBatch, actions: Function) -> Self:
        """With the model, the observations and the reading of actions of ``batch``."""
        policy = cls(batch.model, actions)
        policy.observer, policy.game = batch.observer, batch.game
        return policy

    def boxed(self, counts: Ints, t: int) -> Floats:
        return _answers(self.actions, _seen_by_teams(self.observer, counts, t), self.model.num_actions)


class CentralPolicy(BoxPolicy):
    """The policy of the central view.

    Args:
        actions: observations ``(B, S)`` float32 (``S + 2`` where the model reads a clock) -> actions ``(B, T * A)``.
    """

    @classmethod
    def of(cls, env: CentralEnv | CentralVectorEnv, actions: Function) -> Self:
        """With the model and the reading of actions of ``env``."""
        policy = cls(env.model, actions)
        policy.game = env.game
        return policy

    def boxed(self, counts: Ints, t: int) -> Floats:
        return _answers(self.actions, Overview(self.model)(counts, t), self.game.legal.size)


def _seen_by_teams(observer: Observer, counts: Ints, t: int) -> Single:
    """What an agent in each state that has a choice would see, ``(B * T, size)``."""
    teams = observer.model.team_states
    return observer(counts, np.broadcast_to(teams, (len(counts), len(teams))), t).reshape(-1, observer.size)


def _as_played(model: LocalModel, pi: Floats) -> Floats:
    """``pi (B, T, A)`` with what is on illegal actions moved to the first legal one."""
    teams = model.team_states
    legal = model.legal[teams]
    astray = np.where(legal, 0.0, pi).sum(-1, keepdims=True)
    played: Floats = np.where(legal, pi, 0.0) + astray * np.eye(model.num_actions)[model.first_legal[teams]]
    return played


def _answers(function: Function, seen: Single, width: int) -> Floats:
    """``function(seen)`` as float64 ``(len(seen), width)``."""
    answers: Floats = np.asarray(function(seen), np.float64)
    if answers.shape != (len(seen), width):
        raise ValueError(f"{len(seen)} observations must be answered by {(len(seen), width)}, not {answers.shape}")
    if not np.isfinite(answers).all():
        raise ValueError("the function's answers are NaN or infinite; has the training diverged?")
    return answers
