"""One face for heuristics, LP policies, learners and third-party policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.simulator import Simulator, Transition


class Policy(ABC):
    """What every policy answers. A subclass implements :meth:`teams`; the rest follows.

    ``t`` is the step within the episode; only time-dependent policies (the LP's) read it.
    """

    def __init__(self, model: LocalModel) -> None:
        self.model = model

    @abstractmethod
    def teams(self, counts: Ints, t: int) -> Floats:
        """``counts (B, S)`` -> pi ``(B, T, A)``: one row for each state that has a choice (``model.team_states``)."""

    def individual(self, counts: Ints, t: int = 0) -> Floats:
        """``counts (B, S)`` -> pi ``(B, S, A)``; a state without a choice plays its only legal action."""
        s = self.model.network.num_states
        pi = np.zeros((len(counts), s, self.model.num_actions))
        pi[:, np.arange(s), self.model.first_legal] = 1
        pi[:, self.model.team_states] = self.teams(counts, t)
        return pi

    def sample(self, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
        """Action counts ``(B, T, A)`` of the states that have a choice: by default the multinomial (5)."""
        return self.simulator.act(counts, self.teams(counts, t), rng)

    @property
    def acts_as_team(self) -> bool:
        """Whether teams draw together, by a :meth:`sample` or a ``team_law`` of their own."""
        return type(self).sample is not Policy.sample or hasattr(self, "team_law")

    def play(self, simulator: Simulator, counts: Ints, t: int, rng: np.random.Generator) -> Transition:
        """Act and step: the law of :meth:`sample` followed by ``simulator.transition``."""
        if not self.acts_as_team:  # independent agents have a cheaper joint draw
            return simulator.play(counts, self.teams(counts, t), rng)
        return simulator.transition(counts, self.sample(counts, t, rng), rng)

    @property
    def simulator(self) -> Simulator:
        if getattr(self, "_simulator", None) is None:
            self._simulator = Simulator(self.model)
        return self._simulator


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

    def __init__(self, model: LocalModel, table: NDArray[Any]) -> None:
        super().__init__(model)
        shape = (len(model.team_states), model.num_actions)
        if table.shape[-2:] != shape or table.ndim not in (2, 3):
            raise ValueError(f"table must have shape {shape} or (steps, {shape[0]}, {shape[1]}), not {table.shape}")
        steps = np.asarray(table, np.float64)
        self.table: Floats = steps if steps.ndim == 3 else steps[None]

    def teams(self, counts: Ints, t: int) -> Floats:
        table = self.table[min(t, len(self.table) - 1)]
        return np.broadcast_to(table, (len(counts), *table.shape))


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
