"""The small critic at the end of a fragment: what one agent is worth, linear in what its node sees of its crowd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints

MEMORY = 0.7  # share of the past that a fit keeps from one fragment to the next
RIDGE = 0.01  # of features that have deviation 1
LEAST = 1e-6  # deviation, relative, below which a feature counts as a constant


class Moments(NamedTuple):
    """Of ``samples``: ``squares (R, F, F)`` of features, ``sums (R, F)`` of features times targets, and what was
    ``wrong``, the mean squared error."""

    samples: int
    squares: Floats
    sums: Floats
    wrong: float


class TerminalCritic:
    """M(r, c) = w_r . (1, x, log(1 + x), y): x the crowd of the own group, y of the node's other groups, both over what
    is usual; ridge regression on the costates of the last fragments, each row on its own node's.

    Attributes:
        squares: ``(R, F, F)``, sums: ``(R, F)``: fading moments of features and targets; all there is to keep.
        weights: ``(R, F)``; level: ``(R,)`` the mean target.
    """

    def __init__(self, node: Ints, group: Ints, usual: Floats) -> None:
        """``node, group (R,)`` of the rows; ``usual (V, G)`` crowds, at least 1."""
        self.node, self.group, self.usual = node, group, usual
        rows, features = len(node), 3 if usual.shape[1] == 1 else 4
        self.squares, self.sums = np.zeros((rows, features, features)), np.zeros((rows, features))
        self._solve()

    def value(self, crowd: Floats, own: Floats) -> Floats:
        """``(L, R)``: with ``own (L, R)`` agents of the own group, else as in ``crowd (L, V, G)``."""
        value: Floats = (self._features(crowd, own) * self.weights).sum(2)
        return value

    def fit(self, crowd: Floats, targets: list[tuple[Floats, Floats]]) -> float:
        """Learn pairs (own crowd, costate), each ``(L, R)``, seen at ``crowd (L, V, G)``.

        Returns:
            the root mean square error before it.
        """
        return self.learn([self.moments(crowd, own, costate) for own, costate in targets])

    def moments(self, crowd: Floats, own: Floats, costate: Floats) -> Moments:
        """What there is to learn from pairs (own crowd, costate) ``(L, R)`` at ``crowd (L, V, G)``."""
        x = self._features(crowd, own)
        wrong = float((((x * self.weights).sum(2) - costate) ** 2).mean())
        x = x.transpose(1, 2, 0)  # (R, F, L)
        return Moments(len(crowd), x @ x.transpose(0, 2, 1), (x @ costate.T[..., None])[..., 0], wrong)

    def learn(self, found: Sequence[Moments]) -> float:
        """Take in moments, in their order; returns the root mean square error before it."""
        self.squares, self.sums = MEMORY * self.squares, MEMORY * self.sums
        for moments in found:
            self.squares += moments.squares
            self.sums += moments.sums
        self._solve()
        samples = sum(moments.samples for moments in found) / len(found)
        return float(np.sqrt(np.mean([moments.samples / samples * moments.wrong for moments in found])))

    def take(self, squares: Floats, sums: Floats) -> None:
        """Take back the moments."""
        self.squares, self.sums = squares, sums
        self._solve()

    def _features(self, crowd: Floats, own: Floats) -> Floats:
        """``(L, R, F)``"""
        x = own / self.usual[self.node, self.group]
        columns = [np.ones_like(x), x, np.log1p(x)]
        if self.sums.shape[1] == 4:
            at_node = crowd.sum(2)[:, self.node] - crowd[:, self.node, self.group]
            rest = self.usual.sum(1)[self.node] - self.usual[self.node, self.group]
            columns.append(at_node / rest)
        return np.stack(columns, 2)

    def _solve(self) -> None:
        """The ridge is on features brought to mean 0 and deviation 1, whatever their scale."""
        seen = np.maximum(self.squares[:, 0, 0], 1e-12)
        mean, target = self.squares[:, 0] / seen[:, None], self.sums[:, 0] / seen
        spread = self.squares / seen[:, None, None] - mean[:, :, None] * mean[:, None]
        along = self.sums / seen[:, None] - mean * target[:, None]
        deviation = np.sqrt(np.maximum(np.einsum("rff->rf", spread), 0.0))[:, 1:]
        scale = np.where(deviation > LEAST * (1 + np.abs(mean[:, 1:])), deviation, np.inf)
        system = spread[:, 1:, 1:] / scale[:, :, None] / scale[:, None] + RIDGE * np.eye(scale.shape[1])
        slope = np.linalg.solve(system, (along[:, 1:] / scale)[..., None])[..., 0] / scale
        self.level: Floats = target
        self.weights: Floats = np.concatenate([(target - (mean[:, 1:] * slope).sum(1))[:, None], slope], 1)
