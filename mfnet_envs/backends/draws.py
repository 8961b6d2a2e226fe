"""Draws with numpy's generator, whichever way is cheaper: agent by agent where they are few, else by their numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints, like, namespace, total

Draws = NDArray[np.intp]

# Nanoseconds on an ordinary core; only their ratio matters, and only for speed: both draws have the same law.
BINOMIAL_COST = 45.0
HYPERGEOMETRIC_COST = 130.0
AGENT_COST = 40.0
CHOICE_COST = 30.0
LOTTERY_COST = 60.0

MANY = 10**9  # numpy draws hypergeometric numbers of fewer agents
FEW = 30  # so few are drawn one after the other
LOWEST = 1 / (2 * math.pi)
OF_SMALL: Floats = np.array([math.lgamma(n + 1) - (n + 0.5) * math.log(max(n, 1)) + n for n in range(16)])
OF_SMALL -= 0.5 * math.log(2 * math.pi) * (np.arange(16) > 0)
RATIO = 2 * math.sqrt(2 / math.e), 3 - 2 * math.sqrt(3 / math.e)  # of uniforms: Stadlober's D1, D2


def multinomial(rng: np.random.Generator, n: Ints, p: Floats) -> Ints:
    """Multinomial counts ``(*n.shape, J)`` for ``n`` and ``p (..., J)``, which is broadcast, the cheaper way of two.

    Few agents per cell are drawn one by one, many by conditional binomials; the law is the same.
    """
    j = p.shape[-1]
    if n.size == 0:  # in a network without a choice nobody draws
        return np.zeros((*n.shape, j), np.int64)
    draws = np.count_nonzero(p) * (n.size * j / p.size) - n.size  # a binomial of probability 0 costs next to nothing
    if n.sum(dtype=np.float64) * (CHOICE_COST + 2 * j) >= draws * BINOMIAL_COST:
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
    if present.sum(dtype=np.float64) * LOTTERY_COST < drawn.size * (kinds - 1) * HYPERGEOMETRIC_COST:
        all_or_none = np.where(drawn == present, 1, 0)[..., None] * colours
        contested = colours - colours * ((drawn == present) | (drawn == 0))[..., None]
        colour = np.repeat(np.arange(colours.size), contested.reshape(-1))
        winners = lottery(rng, colour // kinds, drawn.reshape(-1))
        return all_or_none + np.bincount(colour[winners], minlength=colours.size).reshape(colours.shape)
    taken, others = np.empty_like(colours), present
    for a in range(kinds - 1):
        others = others - colours[:, :, a]
        taken[:, :, a] = hypergeometric(rng, colours[:, :, a], others, drawn)
        drawn = drawn - taken[:, :, a]
    taken[:, :, -1] = drawn
    return taken


def hypergeometric(rng: np.random.Generator, good: Ints, bad: Ints, drawn: Ints) -> Ints:
    """How many of ``drawn`` agents, out of ``good`` and ``bad``, are good; up to 2**53 agents in all."""
    if max(good.max(initial=0), bad.max(initial=0)) < MANY:
        numbers: Ints = rng.hypergeometric(good, bad, drawn)
        return numbers
    everybody = good + bad
    kind, sample = np.minimum(good, bad), np.minimum(drawn, everybody - drawn)  # by symmetry, the smaller of each
    found = np.zeros_like(everybody)
    few = np.minimum(kind, sample) < FEW
    found[few] = _one_by_one(rng, kind[few], everybody[few], sample[few])
    found[~few] = _by_ratio(rng, kind[~few], everybody[~few], sample[~few])
    found = np.where(good > bad, sample - found, found)
    return np.where(sample < drawn, good - found, found)


def _one_by_one(rng: np.random.Generator, kind: Ints, everybody: Ints, sample: Ints) -> Ints:
    """The smaller group's members lie in the sample or not, one after the other."""
    found, (few, many) = np.zeros_like(kind), (np.minimum(kind, sample), np.maximum(kind, sample))
    for i in range(int(few.max(initial=0))):
        found += (i < few) & (rng.random(len(kind)) * (everybody - i) < many - found)
    return found


def _by_ratio(rng: np.random.Generator, kind: Ints, everybody: Ints, sample: Ints) -> Ints:
    """Ratio of uniforms (Stadlober, 1989): a point under the square root of the law, as seen from its mode."""
    centre, width, mode = hat_of(kind, everybody, sample)
    top, found = log_chance(mode, kind, everybody, sample), np.full(len(kind), -1)
    while (open_ := np.flatnonzero(found < 0)).size:
        x = 1 - rng.random(len(open_))
        at = np.floor(centre[open_] + width[open_] * (rng.random(len(open_)) - 0.5) / x)
        inside = (at >= 0) & (at <= np.minimum(kind, sample)[open_])
        height = log_chance(np.where(inside, at, mode[open_]), kind[open_], everybody[open_], sample[open_])
        kept = inside & (2 * np.log(x) <= height - top[open_])
        found[open_[kept]] = at[kept].astype(np.int64)
    return found


def hat_of(kind: Any, everybody: Any, sample: Any) -> tuple[Any, Any, Any]:
    """Of Stadlober's hat over each law: its centre and width, and the law's mode. Of numpy or torch."""
    share = kind / everybody
    centre = sample * share + 0.5
    spread = (everybody - sample) / (everybody - 1) * sample * share * (1 - share) + 0.5
    mode = namespace(share).floor((sample + 1.0) * ((kind + 1.0) / (everybody + 2.0)))
    return centre, RATIO[0] * namespace(share).sqrt(spread) + RATIO[1], mode


def log_chance(k: Any, kind: Any, everybody: Any, sample: Any) -> Any:
    """log P(k) up to a constant, by four deviances (Loader, 2000): logarithms of factorials would cancel to nothing."""
    share, xp = sample / everybody, namespace(k)
    log: Any = 0.0 * k
    for x, mean in (
        (k, kind * share),
        (kind - k, kind * (1 - share)),
        (sample - k, (everybody - kind) * share),
        (everybody - kind - sample + k, (everybody - kind) * (1 - share)),
    ):
        log = log - (deviance(x, mean) + 0.5 * xp.log(xp.where(x > LOWEST, x, LOWEST)) + stirling(x))
    return log


def deviance(x: Any, mean: Any) -> Any:
    """x log(x / mean) + mean - x, without cancellation near the mean."""
    u, xp = (x - mean) / mean, namespace(mean)
    near = abs(u) < 0.05
    v = xp.where(near, u, 0.0)
    series = sum((-v) ** k / ((k + 1) * (k + 2)) for k in range(13)) * v * (x - mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = xp.where(x > 0, x * xp.log(x / mean), 0.0) + mean - x
    return xp.where(near, series, plain)


def stirling(x: Any) -> Any:
    """log(x!) less Stirling's formula, which counts 2 pi x as 1 where x = 0."""
    xp = namespace(x)
    y = xp.where(x > 1, x, 1.0)
    place = xp.astype(xp.where(x < 16, x, 15.0), xp.int64)
    return xp.where(x < 16, like(y, OF_SMALL)[place], (1 / 12 - (1 / 360 - 1 / (1260 * y**2)) / y**2) / y)


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
