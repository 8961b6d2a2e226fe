"""Draws with numpy's generator, whichever way is cheaper: agent by agent where they are few, else by their numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints, total

Draws = NDArray[np.intp]

# Nanoseconds on an ordinary core; only their ratio matters, and only for speed: both draws have the same law.
BINOMIAL_COST = 45.0
HYPERGEOMETRIC_COST = 130.0
AGENT_COST = 40.0
CHOICE_COST = 30.0
LOTTERY_COST = 60.0


def multinomial(rng: np.random.Generator, n: Ints, p: Floats) -> Ints:
    """Multinomial counts ``(*n.shape, J)`` for ``n`` and ``p (..., J)``, which is broadcast, the cheaper way of two.

    Few agents per cell are drawn one by one, many by conditional binomials; the law is the same.
    """
    j = p.shape[-1]
    draws = np.count_nonzero(p) * (n.size * j / p.size) - n.size  # a binomial of probability 0 costs next to nothing
    if n.sum() * (CHOICE_COST + 2 * j) >= draws * BINOMIAL_COST:
        drawn: Ints = rng.multinomial(n, p)
        return drawn
    each, sums = n.reshape(-1), [np.zeros(1)]
    for weight in np.broadcast_to(p, (*n.shape, j)).reshape(-1, j).T:
        sums.append(sums[-1] + weight)
    last = np.repeat(sums[-1], each)
    u = np.minimum(rng.random(len(last)) * last, np.nextafter(last, 0.0))
    chosen = np.repeat(np.arange(n.size) * j, each)
    for edge in sums[1:-1]:
        chosen += u >= np.repeat(edge, each)
    return np.bincount(chosen, minlength=n.size * j).reshape(*n.shape, j)


def without_replacement(rng: np.random.Generator, colours: Ints, drawn: Ints) -> Ints:
    """Draw ``drawn (B, R)`` of ``colours (B, R, A)`` agents: multivariate hypergeometric."""
    kinds, present = colours.shape[2], total(colours)
    if present.sum() * LOTTERY_COST < drawn.size * (kinds - 1) * HYPERGEOMETRIC_COST:
        all_or_none = np.where(drawn == present, 1, 0)[..., None] * colours
        contested = colours - colours * ((drawn == present) | (drawn == 0))[..., None]
        colour = np.repeat(np.arange(colours.size), contested.reshape(-1))
        winners = lottery(rng, colour // kinds, drawn.reshape(-1))
        return all_or_none + np.bincount(colour[winners], minlength=colours.size).reshape(colours.shape)
    taken, others = np.empty_like(colours), present
    for a in range(kinds - 1):
        others = others - colours[:, :, a]
        taken[:, :, a] = rng.hypergeometric(colours[:, :, a], others, drawn)
        drawn = drawn - taken[:, :, a]
    taken[:, :, -1] = drawn
    return taken


def lottery(rng: np.random.Generator, cell: Draws, places: Ints) -> Draws:
    """The agents, as places in ``cell``, who win one of their cell's ``places``: those whose random key ranks lowest.

    Args:
        cell: ``(K,)`` cell of each agent.
        places: ``(cells,)`` places of each cell.
    """
    order = np.argsort(cell + rng.random(len(cell)), kind="stable")  # the quickest for keys that are nearly in order
    here = cell[order]
    present = np.bincount(cell, minlength=len(places))
    rank = np.arange(len(cell)) - (np.cumsum(present) - present)[here]
    return order[rank < places[here]]


def cumulative(p: Floats) -> Floats:
    """Running sums of all rows of ``p (..., J)`` as one ascending list: those of row c lie in (c, c + 1]."""
    cdf = p.cumsum(-1).reshape(-1, p.shape[-1])
    ascending: Floats = cdf / cdf[:, -1:] + np.arange(len(cdf))[:, None]
    return ascending.reshape(-1)


def pick(rng: np.random.Generator, cdf: Floats, row: Draws) -> Draws:
    """One place of row ``row[i]`` for each agent i, as a place in the list of :func:`cumulative`."""
    place: Draws = np.searchsorted(cdf, inside(rng, row), side="right")
    return place


def inside(rng: np.random.Generator, row: Draws) -> Floats:
    """A uniform number in [row, row + 1) for each agent."""
    # rounding must not lift a number out of its row, or a place of probability 0 could be picked
    u: Floats = np.minimum(row + rng.random(len(row)), np.nextafter(row + 1.0, 0.0))
    return u
