"""Re-planning without a convex programme: the gradient through the mean dynamics, from the crowd as it is.

Where a model says no :meth:`~mfnet_envs.model.LocalModel.crowding`, the next H steps are planned by Adam: a table of
logits for every step and state, an open loop, through the model's own expectations (at its N: phi, not its limit). The
first step is played, the rest shifted and kept as the start of the next plan. Full information; a local optimum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.programmes.class_reference import EMPTY, ILLEGAL, expectations
from mfnet_envs.simulator.fluid import expected_step
from mfnet_envs.simulator.tables import Tables
from mfnet_envs.words import optional_package, positive, whole


class GradientReplan(Policy):
    """Plans ``horizon`` steps ahead at every step; deterministic given the steps before. Full information.

    Sums are discounted by the model's gamma; an average by 1 - 1 / horizon.

    Args:
        horizon: H, steps of a plan; what comes after is worth nothing, so it must be as long as what is decided lasts.
        iterations: of Adam at every step; first: at a first step, or where worlds have changed.
        rate: of Adam.

    Raises:
        ModuleNotFoundError: torch is missing.
        ValueError: numbers out of their range.
    """

    def __init__(
        self, model: LocalModel, *, horizon: int = 32, iterations: int = 10, first: int = 100, rate: float = 0.5
    ) -> None:
        super().__init__(model)
        optional_package("torch", "agents", "planning by gradients")
        self.horizon, self.iterations, self.first = (
            whole(name, value) for name, value in (("horizon", horizon), ("iterations", iterations), ("first", first))
        )
        positive(rate=rate)
        self.rate = rate
        average = model.headline.criterion == "average"
        self.gamma = 1 - 1 / (horizon + 1) if average else model.gamma
        self._laws: list[tuple[LocalModel, Tables]] = []
        self._kept: tuple[int, Floats] | None = None

    def teams(self, counts: Ints, t: int) -> Floats:
        when, plan = self._kept or (-2, np.empty(0))
        if t == when + 1 and len(plan) == len(counts):
            start, iterations = np.concatenate([plan[:, 1:], plan[:, -1:]], 1), self.iterations
        else:
            legal = np.where(self.model.legal[self.model.team_states], 0.0, ILLEGAL)
            start = np.broadcast_to(legal, (len(counts), self.horizon, *legal.shape))
            iterations = self.first
        plan = self.climbed(start, counts, t, iterations)
        self._kept = t, plan
        odds = np.exp(plan[:, 0] - plan[:, 0].max(-1, keepdims=True))
        pi: Floats = odds / odds.sum(-1, keepdims=True)
        return pi

    def climbed(self, start: Floats, counts: Ints | Floats, t: int, iterations: int) -> Floats:
        """Logits ``(B, H, T, A)`` after some steps of Adam from ``start``."""
        import torch

        logits = torch.tensor(np.array(start), requires_grad=True)
        adam = torch.optim.Adam([logits], lr=self.rate)
        for _ in range(iterations):
            adam.zero_grad()
            (-self.value(logits, counts, t).sum()).backward()
            adam.step()
        plan: Floats = logits.detach().numpy()
        return plan

    def value(self, logits: Any, counts: Ints | Floats, t: int) -> Any:
        """``(B,)``: what an agent is expected to earn over the horizon, by the mean dynamics from ``counts (B, S)``."""
        import torch

        mu = (torch.as_tensor(counts, dtype=torch.float64) + EMPTY) / self.model.population
        pi, total = torch.softmax(logits, -1), torch.zeros((), dtype=torch.float64)
        for i in range(self.horizon):
            law = expectations(self.model.at(t + i), self._laws)
            mu, paid = expected_step(law, mu, pi[:, i])
            total = total + self.gamma**i * paid.sum(1)
        return total
