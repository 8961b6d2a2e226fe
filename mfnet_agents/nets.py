"""The two-layer networks (13) of all states at once, and their gradients (15) in closed form.

f(x; W) = M^{-1/2} sum_m b_m relu(W_m . x), with signs b_m drawn once and frozen. Weights of S networks are one tensor
``(S, d, M)``; the gradient of row m is M^{-1/2} b_m 1{W_m . x > 0} x, so f = <gradient, W>.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfnet_envs.arrays import Floats, Ints

DTYPE = torch.float64
STRETCH = 4096  # networks drawn at a time


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
        drawn = _neurons(width, symmetric)
        weights = rng.standard_normal((count, inputs, drawn))
        return cls._of(weights, rng.choice([-1.0, 1.0], (count, drawn)), symmetric)

    @classmethod
    def keyed(cls, key: np.random.SeedSequence, which: Ints, inputs: int, width: int, *, symmetric: bool) -> TwoLayer:
        """Networks number ``which (S,)`` of an endless row: the law of :meth:`create`, each with numbers of its own.

        Number i draws from its own stretch of the counter-based stream ``key``, so any part of the row can be had
        without the rest, and has the same bits.
        """
        drawn = _neurons(width, symmetric)
        weights, signs = np.empty((len(which), inputs, drawn)), np.empty((len(which), drawn))
        for here, words in _stretches(key, which, 2 * math.ceil(inputs * drawn / 2) + drawn):
            weights[here] = _normals(words[:, :-drawn])[:, : inputs * drawn].reshape(-1, inputs, drawn)
            signs[here] = 1.0 - 2.0 * (words[:, -drawn:] & np.uint64(1))
        return cls._of(weights, signs, symmetric)

    @classmethod
    def _of(cls, weights: Floats, signs: Floats, symmetric: bool) -> TwoLayer:
        """From standard normal ``weights (S, d, M)`` and ``signs (S, M)``; of half the neurons where paired."""
        weights /= math.sqrt(weights.shape[1])
        if symmetric:
            weights, signs = np.concatenate([weights, weights], 2), np.concatenate([signs, -signs], 1)
        return cls(torch.as_tensor(signs, dtype=DTYPE), torch.as_tensor(weights, dtype=DTYPE))

    def at(self, which: slice | Ints) -> TwoLayer:
        """Some of the networks."""
        return TwoLayer(self.signs[which], self.start[which])

    @property
    def width(self) -> int:
        return self.signs.shape[1]

    @property
    def scale(self) -> Tensor:
        """``(S, M)``: M^{-1/2} b_m."""
        return self.signs / math.sqrt(self.width)

    def hidden(self, weights: Tensor, x: Tensor) -> Tensor:
        """Pre-activations W_m . x: ``(S, L, M)`` at inputs ``x (S, L, d)``."""
        return product(x, weights)

    def read(self, hidden: Tensor) -> Tensor:
        """f ``(S, L)`` from pre-activations: equation (13)."""
        return product(torch.relu(hidden), self.scale[..., None])[..., 0]

    def value(self, weights: Tensor, x: Tensor) -> Tensor:
        """f ``(S, L)`` at inputs ``x (S, L, d)``: equation (13)."""
        return self.read(self.hidden(weights, x))

    def weighted_gradient(self, hidden: Tensor, x: Tensor, c: Tensor) -> Tensor:
        """sum_l c[s, l] grad f(x[s, l]): ``(S, d, M)``, the features (15) contracted with ``c (S, L)``."""
        on = torch.where(hidden > 0, c[..., None], 0.0)
        return product(x.transpose(1, 2), on) * self.scale[:, None, :]

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


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a (S, ., .) @ b (S, ., .)``, each of the S products with the same bits whichever others it comes with.

    A product that comes alone would be rounded otherwise: it is given company.
    """
    if len(a) != 1:
        return torch.bmm(a, b)
    return torch.bmm(a.expand(2, -1, -1), b.expand(2, -1, -1))[:1]


def _neurons(width: int, symmetric: bool) -> int:
    """How many neurons are drawn."""
    if width < 1 or (symmetric and width % 2):
        raise ValueError(f"the width must be positive, and even with a symmetric start; not {width}")
    return width // 2 if symmetric else width


def _stretches(key: np.random.SeedSequence, which: Ints, words: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Runs of consecutive numbers in ``which``, and the 64-bit words of each: ``(run, words)``.

    Philox makes four words of each value of its counter.
    """
    blocks, philox = math.ceil(words / 4), key.generate_state(2, np.uint64)
    starts = np.flatnonzero(np.diff(which, prepend=-2) != 1)
    for first, end in zip(starts, [*starts[1:], len(which)], strict=True):
        for at in range(first, end, STRETCH):
            here = slice(at, min(at + STRETCH, end))
            stream = np.random.Philox(key=philox, counter=int(which[at]) * blocks)
            raw = stream.random_raw((here.stop - at) * 4 * blocks).reshape(-1, 4 * blocks)
            yield here, raw[:, :words]


def _normals(words: np.ndarray) -> Floats:
    """Standard normal numbers from an even number of words in each row, by the method of Box and Muller."""
    u = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log1p(-u[:, ::2])), 2 * np.pi * u[:, 1::2]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)
