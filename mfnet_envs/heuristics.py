"""Policies that several scenarios use as references: leave where it is over-supplied, follow the clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, TablePolicy


class ThresholdPolicy(TablePolicy):
    """Leave with probability max(0, 1 - keep * lambda / n), then by a table; n agents face lambda places a step.

    Args:
        table: ``(T, A)`` or ``(H, T, A)``; action 0 is *stay*.
        keep: how many of the expected places to hold agents back for.
        floor: probability mass added to every legal action of the table before it is normalised again.
    """

    def __init__(self, model: LocalModel, table: Floats, *, keep: float, floor: float = 0.0) -> None:
        if model.reference_counts is None:
            raise ValueError("a threshold policy needs model.reference_counts, the places opening in each state")
        floored = table + floor * model.legal[model.team_states]
        super().__init__(model, floored / floored.sum(-1, keepdims=True))
        self.places = keep * model.reference_counts[model.team_states]

    def teams(self, counts: Ints, t: int) -> Floats:
        return self._at(counts[:, self.model.team_states], super().teams(counts, t))

    def by_size(self, largest: int, t: int, steps: int) -> Floats:
        first, n = min(t, len(self.table) - 1), np.arange(1 << max(5, largest.bit_length()))
        return self._at(n[:, None], self.table[first : first + steps, None])

    def _at(self, n: Ints, table: Floats) -> Floats:
        """pi ``(..., T, A)`` for teams of sizes ``n (..., T)`` that leave by ``table``."""
        leave = np.maximum(0.0, 1.0 - self.places / np.maximum(n, 1))[..., None]
        pi: Floats = leave * table
        pi[..., 0] += 1 - leave[..., 0]
        return pi


class ByTheClock(Policy):
    """One policy after the other, each for an equal part of the clock's turn, turn after turn.

    Args:
        model: a model that reads a clock.
        policies: of agents that draw for themselves, in order from t = 0; their number divides ``model.period``.
    """

    def __init__(self, model: LocalModel, policies: Sequence[Policy]) -> None:
        super().__init__(model)
        if model.period is None or model.period % len(policies):
            raise ValueError(f"{len(policies)} policies cannot share a turn of {model.period} steps equally")
        self.policies, self.part = tuple(policies), model.period // len(policies)

    def teams(self, counts: Ints, t: int) -> Floats:
        return self.policies[t // self.part % len(self.policies)].teams(counts, t)
