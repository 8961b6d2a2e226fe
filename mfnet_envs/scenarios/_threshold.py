"""Threshold policies: leave a node only as far as it is over-supplied."""

from __future__ import annotations

import numpy as np

from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.policy import TablePolicy


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
        n = counts[:, self.model.team_states]
        leave = np.maximum(0.0, 1.0 - self.places / np.maximum(n, 1))[..., None]
        pi = leave * super().teams(counts, t)
        pi[..., 0] += 1 - leave[..., 0]
        return pi
