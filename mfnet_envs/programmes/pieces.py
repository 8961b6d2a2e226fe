"""Pieces that the linear programmes share: tangents of phi, the arcs of a network, flows as a policy.

Every programme bounds the mean number served by Jensen's inequality, E phi(n) <= phi(E n): phi(n) = E min(n, D) is
concave and linear between integers, so it is the least of its tangents there. In the fluid limit phi(n) = min(n, rate).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.matching import SPREAD, ExpectedMin

APART = 1e-6  # slopes
NOBODY = 1e-9  # agents: a flow below is none
TINY = 1e-300
EVERY = 40_000  # tangents at every integer, of all crowds, that a programme takes at once
CLOSE = 1e-5  # relative: how far above the programme with phi itself a bound may lie
COARSE, REACH = 9, 2.2  # tangents to begin with, over so many standard deviations of demand to both sides
FINE, ROUNDS = 0.12, 6  # standard deviations between the first finer tangents; a quarter of it each time


def slopes(rate: Floats, phi: ExpectedMin | None) -> list[Floats]:
    """For each of ``rate (V,)`` the slopes of phi(n) for n = 0, 1, ..., falling, the last one 0.

    Args:
        phi: law of the matching at a finite population; None for the fluid limit, with slopes 1 and 0.

    >>> [part.tolist() for part in slopes(np.array([2.0]), None)]
    [[1.0, 0.0]]
    """
    return [np.append(np.ones(1) if phi is None else phi.slopes(v), 0.0) for v in range(len(rate))]


def fewer(slope: Floats, most: int) -> tuple[Floats, Floats]:
    """At most ``most`` tangents of the function with these falling slopes of unit width, the last one flat.

    Returns:
        slopes and widths of the least of these tangents, which is nowhere below the function.
    """
    height = np.cumsum(slope) - slope * np.arange(1, len(slope) + 1)  # of each tangent at 0
    begin = int(np.searchsorted(-slope, -1 + 1e-12))  # before, all of them are the same
    kept = np.unique([0, *np.linspace(begin, len(slope) - 1, most - 1).round().astype(int)])
    apart = [0]  # slopes that differ by rounding alone cross anywhere
    for k in kept[1:-1].tolist():
        if slope[k] < slope[apart[-1]] - APART and slope[k] > APART:
            apart.append(k)
    kept = np.array([*apart, len(slope) - 1])
    crossing = np.diff(height[kept]) / -np.diff(slope[kept])
    return slope[kept], np.append(np.diff(crossing, prepend=0.0), np.inf)


class Tangents(NamedTuple):
    """Lines m <= ``slope`` n + ``height`` for each of T x V crowds, ``owner`` t V + v, all ``(rows,)``.

    Slopes of an owner fall, and its last one is flat, m <= rate. Their least is nowhere below phi, nor the rate.
    """

    owner: Ints
    slope: Floats
    height: Floats

    def apart(self) -> Tangents:
        """Without lines whose slope differs by rounding alone from the one before: these cross anywhere."""
        new = np.append(True, np.diff(self.owner) > 0)
        fall = np.append(0.0, self.slope[:-1] - self.slope[1:])
        kept = new | np.append(new[1:], True) | ((fall > APART) & (self.slope > APART))
        return Tangents(*(part[kept] for part in self))

    def widths(self) -> Floats:
        """``(rows,)`` agents: how far each line, apart from the others, is the least one; open at the end."""
        same = self.owner[1:] == self.owner[:-1]
        fall = np.where(same, self.slope[:-1] - self.slope[1:], 0.0)
        until = np.append(np.where(fall > 0, np.diff(self.height) / np.where(fall > 0, fall, 1.0), np.inf), np.inf)
        since = np.append(0.0, np.where(same, until[:-1], 0.0))
        closed = np.isfinite(until)
        return np.where(closed, np.maximum(np.where(closed, until, 0.0) - since, 0.0), np.inf)


def tangents(rate: Floats, phi: ExpectedMin | None) -> Tangents:
    """The tangents of phi at every integer, node by node; of min(n, rate) without ``phi``.

    >>> tangents(np.array([2.0]), None).height.tolist()
    [0.0, 2.0]
    """
    parts = slopes(rate, phi)
    heights = [np.cumsum(part) - part * np.arange(1, len(part) + 1) for part in parts]
    for v, height in enumerate(heights):
        height[-1] = rate[v]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Tangents(owner, np.concatenate(parts), np.concatenate(heights))


def touching(at: Floats, rate: Floats, phi: ExpectedMin) -> Tangents:
    """The tangents that touch phi at k and k + 1 for whole numbers k, ``at (T, V, J)`` ascending, and the flat ones.

    The slope there is P(D > k), a regularised incomplete gamma function.
    """
    from scipy.special import gammainc

    slope = np.where(rate[:, None] > 0, gammainc(at + 1, np.maximum(rate, TINY)[:, None]), 0.0)
    height = np.moveaxis(phi(np.moveaxis(at, 2, 0)), 0, 2) - slope * at
    flat = np.broadcast_to(rate[:, None], (*at.shape[:2], 1))
    slope, height = np.concatenate([slope, 0 * flat], 2), np.concatenate([height, flat], 2)
    owner = np.repeat(np.arange(flat.size), slope.shape[2])
    return Tangents(owner, slope.reshape(-1), height.reshape(-1)).apart()


def chords(at: Floats, rate: Floats, phi: ExpectedMin) -> Tangents:
    """The lines through phi at neighbouring ones of k and k + 1, for k in ``at (T, V, J)`` with 0 the first, and the
    flat one at the last. Their least is nowhere above phi."""
    knots = np.sort(np.concatenate([at, at + 1], 2), 2)
    height = np.moveaxis(phi(np.moveaxis(knots, 2, 0)), 0, 2)
    width, last = np.diff(knots), np.ones((*at.shape[:2], 1), bool)
    slope = np.append(np.diff(height) / np.maximum(width, 1), 0.0 * last, 2)
    kept = np.append(width > 0, last, 2)
    owner = np.repeat(np.arange(last.size), kept.sum(2).reshape(-1))
    return Tangents(owner, slope[kept], (height - slope * knots)[kept])


class Found(Protocol):
    """A programme's optimum with some tangents in place of phi.

    ``crowd (T, V)`` are its mean crowds; ``gap`` says how far it may lie above that with phi itself, relative.
    """

    @property
    def crowd(self) -> Floats: ...

    @property
    def gap(self) -> float: ...


Optimum = TypeVar("Optimum", bound=Found)


def refined(
    solve: Callable[[Tangents, Tangents], Optimum], steps: int, rate: Floats, phi: ExpectedMin | None
) -> Optimum:
    """Solve with the tangents at every integer where these are few; else with some, and then with those around the
    crowds found, until the gap is below ``CLOSE``.

    Some tangents of a concave function are nowhere below it, so every optimum on the way is a bound.

    Args:
        solve: takes lines whose least is above phi, and such whose least is below.
        steps: T, how many crowds a node has, each with tangents of its own.
    """

    def bracketed(law: ExpectedMin, at: Floats) -> Optimum:
        return solve(touching(at, rate, law), chords(at, rate, law))

    spread = np.sqrt(rate)[:, None]
    if phi is None or steps * 2 * (SPREAD * spread + 1).sum() <= EVERY:
        one = tangents(rate, phi)
        owner = np.add.outer(len(rate) * np.arange(steps), one.owner).reshape(-1)
        every = Tangents(owner, np.tile(one.slope, steps), np.tile(one.height, steps))
        return solve(every, every)
    first = np.floor(rate[:, None] + spread * np.linspace(-REACH, REACH, COARSE))
    at = np.sort(np.maximum(np.append(first, 0 * spread, 1), 0), 1)[None].repeat(steps, 0)
    found = bracketed(phi, at)
    for again in range(ROUNDS):
        if found.gap <= CLOSE:
            break
        crowd, apart = found.crowd[..., None], np.maximum(np.round(spread * FINE / 4**again), 1)
        wings = 2 if again == 0 else 1
        around = np.maximum(np.floor(crowd + NOBODY) + apart * np.arange(-wings, wings + 1), 0)
        at = np.sort(np.concatenate([at, around], 2), 2)
        found = bracketed(phi, at)
    return found


class Arcs(NamedTuple):
    """Ways from a node to its neighbours, itself among them: from ``origin (E,)``, by neighbour slot ``slot (E,)``.

    ``leaves`` and ``enters`` are sparse ``(V, E)``: 1 where an arc begins and where it ends.
    """

    origin: Ints
    slot: Ints
    leaves: Any
    enters: Any


def arcs(neighbors: Ints) -> Arcs:
    """The arcs of ``neighbors (V, D)``, padded with -1, in the order of nodes and slots."""
    from scipy.sparse import csr_array

    origin, slot = np.nonzero(neighbors >= 0)
    place, one, shape = np.arange(len(origin)), np.ones(len(origin)), (len(neighbors), len(origin))
    leaves = csr_array((one, (origin, place)), shape=shape)
    return Arcs(origin, slot, leaves, csr_array((one, (neighbors[origin, slot], place)), shape=shape))


def by_slot(values: Floats, way: Arcs, shape: tuple[int, ...]) -> Floats:
    """``values (..., E)`` of arcs as a table ``(..., V, D)``, 0 where there is no neighbour."""
    table = np.zeros(shape)
    table[..., way.origin, way.slot] = values
    return table


def shares(sent: Floats) -> Floats:
    """The policy of flows ``(..., V, D)``: pi = u / sum u, *stay* (slot 0) where nobody is sent.

    >>> shares(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [1.0, 0.0]]
    """
    total = sent.sum(-1, keepdims=True)
    stay = np.eye(1, sent.shape[-1])
    return np.where(total > NOBODY, sent / np.maximum(total, NOBODY), stay)
