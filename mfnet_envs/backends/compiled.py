"""The compiled backend: numpy's arrays, keyed draws in machine code. ``pip install mfnet[fast]``.

A number is drawn by its place, (seed, lane, step, row): the path of a lane depends neither on the other lanes nor on
how steps are grouped. Whole steps are compiled (``simulator/compiled.py``); what stands here is the backend's face.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.backends import steps
from mfnet_envs.backends.reference import GuidedBranch, NumpyBackend
from mfnet_envs.words import shown


class Stream:
    """Random numbers by their places. What is drawn next is at ``step``; lane i of a batch is ``lanes[i]``.

    Args:
        seed: whole, >= 0; None for one that is not known.
        lanes: the numbers of the lanes; 0, 1, 2, ... as many as are stepped, if None.
        step: how many steps have been drawn.
    """

    def __init__(self, seed: int | None = None, lanes: NDArray[np.integer] | None = None, step: int = 0) -> None:
        self.key = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        self.lanes = None if lanes is None else np.asarray(lanes, np.int64)
        self.step = step

    def take(self, lanes: int, steps: int = 1) -> tuple[np.uint64, Ints, int]:
        """The next ``steps`` steps of a batch: seed, numbers of its lanes, first step.

        Raises:
            ValueError: the stream is of another number of lanes.
        """
        if self.lanes is not None and len(self.lanes) != lanes:
            raise ValueError(f"this stream is of {len(self.lanes)} lanes, and {lanes} are stepped")
        first, self.step = self.step, self.step + steps
        return self.key, np.arange(lanes) if self.lanes is None else self.lanes, first

    def numpy(self) -> np.random.Generator:
        """numpy's generator for what is drawn elsewhere in the next step, by all lanes together."""
        first, self.step = self.step, self.step + 1
        return np.random.default_rng([int(self.key), first])


def stream_of(rng: Any) -> Stream:
    """A stream as it is; one whose key is the next number of numpy's generator.

    Raises:
        TypeError: neither.
    """
    if isinstance(rng, Stream):
        return rng
    if isinstance(rng, np.random.Generator):
        return Stream(int(rng.integers(2**63)))
    raise TypeError(f"rng must be Simulator.generator(seed) or a numpy Generator, not {shown(rng)}")


def numpy_of(rng: Any) -> np.random.Generator:
    """numpy's generator, or that of a stream's next step."""
    return rng if isinstance(rng, np.random.Generator) else stream_of(rng).numpy()


class CompiledBackend(NumpyBackend):
    """See :class:`~mfnet_envs.backends.Backend`. Draws that no compiled step makes are numpy's."""

    name = "compiled"

    def __reduce__(self) -> str:
        return "COMPILED"

    def generator(self, seed: int | None) -> Any:
        return Stream(seed)

    def multinomial(self, rng: Any, n: Ints, p: Floats) -> Ints:
        n, kinds = np.require(n, np.int64, ["C", "W"]), p.shape[-1]
        cells = n.reshape(len(n), math.prod(n.shape[1:]))
        alike = p.ndim <= n.ndim
        shape = *(n.shape[1:] if alike else n.shape), kinds
        weights = np.require(np.broadcast_to(p, shape), np.float64, ["C", "W"])
        drawn = np.empty((*n.shape, kinds), np.int64)
        key, lanes, first = stream_of(rng).take(len(n))
        steps.draw_actions(cells, weights.reshape(-1), alike, drawn.reshape(-1), np.empty(kinds), key, lanes, first)
        return drawn

    def poisson(self, rng: Any, rate: Floats, shape: tuple[int, ...]) -> Ints:
        return super().poisson(numpy_of(rng), rate, shape)

    def without_replacement(self, rng: Any, colours: Ints, drawn: Ints) -> Ints:
        return super().without_replacement(numpy_of(rng), colours, drawn)

    def scatter(self, rng: Any, branch: GuidedBranch, flow: Ints, following: Ints) -> Ints:
        return super().scatter(numpy_of(rng), branch, flow, following)


COMPILED = CompiledBackend()
