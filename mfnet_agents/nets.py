"""The two-layer networks (13) of all states at once, and their gradients (15) in closed form.

f(x; W) = M^{-1/2} sum_m b_m relu(W_m . x), with signs b_m drawn once and frozen. Weights of S networks are one tensor
``(S, d, M)``; the gradient of row m is M^{-1/2} b_m 1{W_m . x > 0} x, so f = <gradient, W>.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DTYPE = torch.float64


@dataclass(frozen=True)
class TwoLayer:
    """Frozen shape of S networks: signs ``(S, M)``, starting weights ``(S, d, M)``.

    The starting weights are the centre of the projection (21); the moving weights are held by the caller.
    """

    signs: Tensor
    start: Tensor

    @classmethod
    def create(cls, rng: np.random.Generator, count: int, inputs: int, width: int, *, symmetric: bool) -> TwoLayer:
        """Rows W_m ~ N(0, I / inputs), signs uniform on {-1, 1}.

        ``symmetric`` pairs neuron m with neuron m + M/2: same weights, opposite sign, so f(.; W(0)) = 0 up to rounding.

        Raises:
            ValueError: an odd or non-positive width where pairs are asked for.
        """
        if width < 1 or (symmetric and width % 2):
            raise ValueError(f"the width must be positive, and even with a symmetric start; not {width}")
        drawn = width // 2 if symmetric else width
        weights = rng.standard_normal((count, inputs, drawn)) / math.sqrt(inputs)
        signs = rng.choice([-1.0, 1.0], (count, drawn))
        if symmetric:
            weights, signs = np.concatenate([weights, weights], 2), np.concatenate([signs, -signs], 1)
        return cls(torch.as_tensor(signs, dtype=DTYPE), torch.as_tensor(weights, dtype=DTYPE))

    @property
    def width(self) -> int:
        return self.signs.shape[1]

    @property
    def scale(self) -> Tensor:
        """``(S, M)``: M^{-1/2} b_m."""
        return self.signs / math.sqrt(self.width)

    def hidden(self, weights: Tensor, x: Tensor) -> Tensor:
        """Pre-activations W_m . x: ``(S, L, M)`` at inputs ``x (S, L, d)``."""
        return torch.bmm(x, weights)

    def read(self, hidden: Tensor) -> Tensor:
        """f ``(S, L)`` from pre-activations: equation (13)."""
        return torch.bmm(torch.relu(hidden), self.scale[..., None])[..., 0]

    def value(self, weights: Tensor, x: Tensor) -> Tensor:
        """f ``(S, L)`` at inputs ``x (S, L, d)``: equation (13)."""
        return self.read(self.hidden(weights, x))

    def weighted_gradient(self, hidden: Tensor, x: Tensor, c: Tensor) -> Tensor:
        """sum_l c[s, l] grad f(x[s, l]): ``(S, d, M)``, the features (15) contracted with ``c (S, L)``."""
        on = torch.where(hidden > 0, c[..., None], 0.0)
        return torch.bmm(x.transpose(1, 2), on) * self.scale[:, None, :]

    def descend_(self, weights: Tensor, hidden: Tensor, x: Tensor, c: Tensor, lr: float) -> Tensor:
        """``weights - lr * weighted_gradient(hidden, x, c)``, written over ``weights`` in one pass."""
        on = torch.where(hidden > 0, c[..., None] * self.scale[:, None, :], 0.0)
        if x.shape[1] == 1:  # Algorithm 1's single sample: an outer product
            return weights.addcmul_(x.transpose(1, 2), on, value=-lr)
        return weights.baddbmm_(x.transpose(1, 2), on, alpha=-lr)


def box(start: Tensor, radius: float | None) -> tuple[Tensor, Tensor] | None:
    """The two corners W(0) -+ R / sqrt(M) of the projection (21); None without a projection."""
    if radius is None:
        return None
    reach = radius / math.sqrt(start.shape[-1])
    return start - reach, start + reach


def project(weights: Tensor, start: Tensor, radius: float | None) -> Tensor:
    """(21): clip every entry to [W(0) - R / sqrt(M), W(0) + R / sqrt(M)]; None leaves the weights alone."""
    corners = box(start, radius)
    return weights if corners is None else torch.clamp(weights, *corners)
