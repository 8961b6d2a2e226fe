"""Policies that follow the clock of a model."""

from __future__ import annotations

from collections.abc import Sequence

from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.policy import Policy


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
