"""One face for heuristics, LP policies, learners and third-party policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfnet_envs.arrays import Floats, Ints, array_of
from mfnet_envs.backends import NUMPY
from mfnet_envs.choices import Choices
from mfnet_envs.model import LocalModel
from mfnet_envs.words import shown


class Follows(Protocol):
    """What steps by a policy: a simulator."""

    def follow(self, policy: Policy, counts: Ints, t: int, rng: Any) -> Any: ...


def _is_given(cls: type, name: str) -> bool:
    """Whether the class itself, not one above it, says how; an abstract method only says that."""
    return name in vars(cls) and not getattr(vars(cls)[name], "__isabstractmethod__", False)


class Policy(ABC):
    """A policy of agents that draw for themselves. A subclass implements :meth:`teams`; the rest follows.

    ``t`` is the step within the episode; only time-dependent policies (the LP's) read it. Teams that draw together are
    another type, :class:`TeamPolicy`.

    Raises:
        TypeError: when a subclass that is no TeamPolicy gives ``sample`` or ``team_law`` of its own. With
            ``class Mine(Policy, independent=True)`` its ``team_law`` only writes out the multinomial (5).
    """

    def __init_subclass__(cls, *, independent: bool = False, **more: Any) -> None:
        super().__init_subclass__(**more)
        given = [name for name in ("sample", "team_law") if _is_given(cls, name)]
        if independent and "team_law" in given:
            given.remove("team_law")
        if _is_given(cls, "teams") and "by_size" not in vars(cls):  # what a parent's table says is of other teams
            cls.by_size = Policy.by_size  # type: ignore[method-assign]
        if given and not issubclass(cls, TeamPolicy):
            raise TypeError(
                f"{cls.__name__} has a {given[0]} of its own, so its teams draw together: derive it from "
                "mfnet_envs.policy.TeamPolicy instead of Policy"
            )

    def __init__(self, model: LocalModel) -> None:
        if not isinstance(model, LocalModel):
            raise TypeError(f"a policy is of a LocalModel, not of {shown(model)}")
        self.model = model

    @abstractmethod
    def teams(self, counts: Ints, t: int) -> Floats:
        """``counts (B, S)`` -> pi ``(B, T, A)``: one row for each state that has a choice (``model.team_states``)."""

    def by_size(self, largest: int, t: int, steps: int) -> Floats | None:
        """pi ``(turns, K, T, A)`` where a team's size is all that a policy reads, else None.

        Of the steps t, t + 1, ..., at most ``steps`` of them; fewer turns mean that the last stays in force. By the
        sizes n = 0 .. K - 1 with K > ``largest``, or K = 1 where the size does not matter either.
        """
        return None

    def individual(self, counts: Ints, t: int = 0) -> Floats:
        """``counts (B, S)`` -> pi ``(B, S, A)``; a state without a choice plays its only legal action."""
        s = self.model.network.num_states
        pi = np.zeros((len(counts), s, self.model.num_actions))
        pi[:, np.arange(s), self.model.first_legal] = 1
        pi[:, self.model.team_states] = self.teams(counts, t)
        return pi

    def sample(self, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
        """Action counts ``(B, T, A)`` of the states that have a choice: the multinomial (5)."""
        drawn: Ints = self._choices.act(NUMPY, rng, counts, self.teams(counts, t))
        return drawn

    @cached_property
    def _choices(self) -> Choices:
        return Choices(self.model)

    @property
    def acts_as_team(self) -> bool:
        """Whether teams draw together: what the type says."""
        return isinstance(self, TeamPolicy)

    def play(self, simulator: Follows, counts: Ints, t: int, rng: Any) -> Any:
        """``simulator.follow(policy, counts, t, rng)``."""
        return simulator.follow(self, counts, t, rng)

    @property
    def simulator(self) -> NoReturn:
        """None: a policy reads counts, and a simulator plays it."""
        raise AttributeError("a policy has no simulator of its own; take mfnet_envs.Simulator(policy.model)")


class TeamPolicy(Policy):
    """A policy whose teams draw h(s) together, by another law than the multinomial (5).

    :meth:`teams` then gives the marginals E h(s)(a). ``team_law(place, n)``, which may be missing, gives the
    probabilities of the compositions of n, in lexicographic order, for the team at that place of ``model.team_states``:
    what the exact game asks for.
    """

    @abstractmethod
    def sample(self, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
        """Action counts ``(B, T, A)`` of the states that have a choice, drawn by each team as a whole."""


class Individually(Policy):
    """Truly decentralised execution of a team policy: every agent draws for itself from the marginal pi_bar(s, n).

    Same mean shares, another variance (reading 11).
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.model)
        self.policy = policy

    def teams(self, counts: Ints, t: int) -> Floats:
        return self.policy.teams(counts, t)


class TablePolicy(Policy):
    """The same probabilities whatever the crowd.

    Args:
        table: ``(T, A)`` or ``(H, T, A)`` for a policy of the time step (after H steps the last table stays in force).
    """

    def __init__(self, model: LocalModel, table: ArrayLike) -> None:
        super().__init__(model)
        shape = (len(model.team_states), model.num_actions)
        steps = array_of("table", table).astype(np.float64, copy=False)
        if steps.shape[-2:] != shape or steps.ndim not in (2, 3) or (steps.ndim == 3 and not len(steps)):
            raise ValueError(f"table must have shape {shape} or (steps, {shape[0]}, {shape[1]}), not {steps.shape}")
        if not ((steps >= 0) & (steps < np.inf)).all():
            raise ValueError("table must hold non-negative numbers without NaN, odds of the actions")
        self.table: Floats = steps if steps.ndim == 3 else steps[None]

    def teams(self, counts: Ints, t: int) -> Floats:
        table = self.table[min(t, len(self.table) - 1)]
        return np.broadcast_to(table, (len(counts), *table.shape))

    def by_size(self, largest: int, t: int, steps: int) -> Floats | None:
        first = min(t, len(self.table) - 1)
        return self.table[first : first + steps, None]


def one_hot(model: LocalModel, actions: NDArray[Any]) -> TablePolicy:
    """The deterministic policy that plays ``actions (T,)``."""
    return TablePolicy(model, np.eye(model.num_actions)[actions])


def uniform(model: LocalModel) -> TablePolicy:
    """Every legal action with equal probability."""
    return weighted(model, np.ones((len(model.team_states), model.num_actions)))


def weighted(model: LocalModel, weights: NDArray[Any]) -> TablePolicy:
    """Legal actions in proportion to ``weights (T, A)``; uniform where all legal weights are 0."""
    legal = model.legal[model.team_states]
    table = np.where(legal, weights, 0.0)
    table = np.where(table.sum(1, keepdims=True) > 0, table, legal)
    return TablePolicy(model, table / table.sum(1, keepdims=True))
