"""The reference backend: numpy's arrays, numpy's generator, and branches with the sums that make drawing quick."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints, add_at, of_numpy, total
from mfnet_envs.backends import draws
from mfnet_envs.backends.interface import Backend, BranchTable


class GuidedBranch:
    """A branch ``(R, A or 1, J)`` with its running sums, and where in them the search for a number starts."""

    def __init__(self, table: BranchTable) -> None:
        self.successors: Ints = table.successors
        self.probabilities: Floats = table.probabilities
        self.cdf = draws.cumulative(self.probabilities)
        places = self.probabilities.shape[2]
        self.guide: Ints = np.searchsorted(self.cdf, np.arange(len(self.cdf)) / places, side="right")

    def scatter(self, rng: np.random.Generator, flow: Ints, following: Ints) -> None:
        """Send ``flow (B, R, A)`` agents to their successors, added to ``following (B, S)``."""
        rows, columns, j = self.successors.shape
        flow = total(flow)[..., None] if columns < flow.shape[2] else flow
        base, crowd = np.arange(len(flow)) * following.shape[1], following.reshape(-1)
        if j == 1:
            add_at(crowd, base[:, None, None] + self.successors[..., 0], flow)
        elif flow.sum(dtype=np.float64) * draws.AGENT_COST < flow.size * (j - 1) * draws.BINOMIAL_COST:
            cell = np.repeat(np.arange(flow.size), flow.reshape(-1))
            world, place = np.divmod(cell, rows * columns)
            np.add.at(crowd, base[world] + self._target(rng, place), 1)
        else:
            drawn = rng.multinomial(flow, self.probabilities)
            add_at(crowd, base[:, None, None, None] + self.successors, drawn)

    def draw(self, rng: np.random.Generator, row: draws.Draws, action: draws.Draws) -> Ints:
        """One successor per agent: ``(K,)``."""
        columns = self.successors.shape[1]
        return self._target(rng, row * columns + (action if columns > 1 else 0))

    def _target(self, rng: np.random.Generator, cell: draws.Draws) -> Ints:
        j = self.successors.shape[2]
        successors: Ints = self.successors.reshape(-1)
        if j == 1:
            only: Ints = successors[cell]
            return only
        # the guide is the search for c + i / j; from there the number's own place is a few steps away
        u, last = draws.inside(rng, cell), cell * j + j - 1
        place = np.minimum(self.guide[(u * j).astype(np.int64)], last)
        short = np.flatnonzero(self.cdf[place] <= u)
        while short.size:
            place[short] += 1
            short = short[self.cdf[place[short]] <= u[short]]
        chosen: Ints = successors[place]
        return chosen


class NumpyBackend:
    """See :class:`~mfnet_envs.backends.Backend`."""

    name = "numpy"

    @property
    def xp(self) -> Any:
        return of_numpy()

    def __reduce__(self) -> str:
        return "NUMPY"  # copies are the one below

    def generator(self, seed: int | None) -> np.random.Generator:
        return np.random.default_rng(seed)

    def asarray(self, values: Any) -> NDArray[Any]:
        return values if type(values) is np.ndarray else np.asarray(values)

    def asnumpy(self, array: NDArray[Any]) -> NDArray[Any]:
        return array

    def holds(self, condition: Any) -> bool:
        return bool(condition)

    def multinomial(self, rng: np.random.Generator, n: Ints, p: Floats) -> Ints:
        return draws.multinomial(rng, n, p)

    def poisson(self, rng: np.random.Generator, rate: Floats, shape: tuple[int, ...]) -> Ints:
        return rng.poisson(rate, shape)

    def without_replacement(self, rng: np.random.Generator, colours: Ints, drawn: Ints) -> Ints:
        return draws.without_replacement(rng, colours, drawn)

    def prepared(self, table: BranchTable) -> GuidedBranch:
        return GuidedBranch(table)

    def scatter(self, rng: np.random.Generator, branch: GuidedBranch, flow: Ints, following: Ints) -> Ints:
        branch.scatter(rng, flow, following)
        return following


NUMPY: Backend = NumpyBackend()
