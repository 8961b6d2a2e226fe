"""What agents may choose: the rows of a policy, what becomes of illegal actions, and the draw (5) of every agent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mfnet_envs.arrays import dot
from mfnet_envs.backends import NUMPY
from mfnet_envs.backends.interface import Arrays, Backend
from mfnet_envs.model import LocalModel


class Choices:
    """The choices of a model, in the arrays of a library.

    Tables of actions have rows for all S states or only for the T states that have a choice; both mean the same, the
    short form is cheap on networks with many layers.

    Attributes:
        every, teams: these states, ``(S,)`` and ``(T,)``.
        first, illegal: ``(S, A)`` ints: one-hot, the first legal action; 1 for illegal ones.
    """

    def __init__(self, model: LocalModel, arrays: Arrays = NUMPY) -> None:
        self.arrays = arrays
        self.shape: tuple[int, int] = model.legal.shape
        self.every = arrays.asarray(np.arange(self.shape[0]))
        self.teams = arrays.asarray(model.team_states)
        self.first = arrays.asarray(np.eye(self.shape[1], dtype=np.int64)[model.first_legal])
        self.illegal = arrays.asarray((~model.legal).astype(np.int64))
        self.all_legal = bool(model.legal.all())

    def rows(self, shape: tuple[int, ...], name: str) -> Any:
        """The states that a table ``(..., S or T, A)`` has rows for: :attr:`every` or :attr:`teams`.

        Raises:
            ValueError: another shape.
        """
        (s, a), t = self.shape, len(self.teams)
        if len(shape) >= 2 and shape[-1] == a and shape[-2] in (s, t):
            return self.every if shape[-2] == s else self.teams
        raise ValueError(f"{name} must have shape (..., {s} or {t}, {a}), not {tuple(shape)}")

    def of(self, counts: Any, rows: Any) -> Any:
        """``counts (B, S)`` of these states."""
        return counts if rows is self.every else counts[:, rows]

    def fold(self, actions: Any, rows: Any) -> Any:
        """``actions (B, rows, A)`` with illegal ones counted as the first legal one."""
        if self.all_legal:
            return actions
        illegal = self.illegal if rows is self.every else self.illegal[rows]
        strays = dot(actions, illegal)
        if type(strays) is np.ndarray and not strays.any():
            return actions
        return actions - actions * illegal + strays[..., None] * self.first[rows]

    def act(self, backend: Backend, rng: Any, counts: Any, pi: Any) -> Any:
        """Every agent draws its action from its state's row of ``pi``; see :meth:`Simulator.act`."""
        rows = self.rows(pi.shape, "pi")
        return self.fold(backend.multinomial(rng, self.of(counts, rows), self.shares(pi)), rows)

    def shares(self, pi: Any) -> Any:
        """``pi`` with rows that sum to 1.

        Raises:
            ValueError: NaN, negative entries or empty rows.
        """
        sums = pi.sum(axis=-1, keepdims=True, dtype=self.arrays.xp.float64)
        if not self.arrays.holds((pi >= 0).all() & (sums < math.inf).all()):
            raise ValueError("pi must be non-negative numbers without NaN")
        if not self.arrays.holds((sums > 0).all()):
            raise ValueError("each row of pi needs a positive sum")
        return pi / sums
