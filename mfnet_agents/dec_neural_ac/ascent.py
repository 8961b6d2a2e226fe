"""Steps of weights along gradients, entry by entry: any run of rows ends with the same bits, alone or in company.

Only sums, products, quotients and roots, which are rounded one way wherever an entry stands in memory; libraries' fused
kernels are not.
"""

from __future__ import annotations

import torch
from torch import Tensor

FIRST, SECOND = 0.9, 0.999  # memories of Adam's moments


class Plain:
    """weights + lr * gradient."""

    def step_(self, weights: Tensor, gradient: Tensor, lr: float) -> None:
        weights.add_(gradient * lr)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, one row per row of the weights, and numbers that all rows share."""
        return {}

    def take(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""


class Adam(Plain):
    """Adam (Kingma and Ba, 2015), upwards."""

    def __init__(self, moments: Tensor, eps: float) -> None:
        """``moments (2, ...)``: zeros in the shape of the weights, where the running means are kept."""
        self.mean, self.square, self.eps, self.steps = moments[0], moments[1], eps, 0

    def step_(self, weights: Tensor, gradient: Tensor, lr: float) -> None:
        self.steps += 1
        self.mean.mul_(FIRST).add_(gradient * (1 - FIRST))
        self.square.mul_(SECOND).add_((gradient * gradient).mul_(1 - SECOND))
        size = (self.square / (1 - SECOND**self.steps)).sqrt_().add_(self.eps)
        weights.add_((self.mean / size).mul_(lr / (1 - FIRST**self.steps)))

    def state(self) -> dict[str, Tensor]:
        return {"exp_avg": self.mean, "exp_avg_sq": self.square, "step": torch.tensor(float(self.steps))}

    def take(self, state: dict[str, Tensor]) -> None:
        self.mean.copy_(state["exp_avg"])
        self.square.copy_(state["exp_avg_sq"])
        self.steps = int(state["step"])
