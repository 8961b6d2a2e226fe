"""The compiled draws: turned into machine code by numba.

**Keys.** A number is drawn by its place, (seed, lane, step, row, how many before it in the row), never by what was
drawn elsewhere: lanes, rows and steps may be taken alone, together or in any order, and give the same bits. A key is
hashed by splitmix64's finaliser (Steele, Lea & Flood, 2014), and a row's numbers are that generator's own sequence.

**Samplers** are exact: inversion where the mean is below 10, else transformed rejection (Hoermann, 1993) and ratio of
uniforms (Stadlober, 1989), all decided by one function, the exponent of a Poisson probability (Loader, 2000).

Arrays come flat with the place where a table starts: views would be counted, at more than the price of a draw.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
LANE, STEP = np.uint64(0xD1342543DE82EF95), np.uint64(0xDA942042E4DD58B5)
SHIFT_30, SHIFT_27, SHIFT_31, SHIFT_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
UNIT = 2.0**-53
TAU = 2 * math.pi

MEAN = 10.0  # above it rejection is quicker than inversion, and below it the rejection's envelope is not proved
NEAR = 16  # so few factors of numbers below 2^53 do not overflow
BEYOND = 150  # no sum of probabilities of mean 10 leaves out more than rounding there
FEW = 16  # agents that are drawn one by one at the price of one binomial
ONE_BY_ONE = 30  # members of a sample without replacement that are drawn so
RATIO = 2 * math.sqrt(2 / math.e), 3 - 2 * math.sqrt(3 / math.e)  # Stadlober's D1, D2
STIRLING = np.array(
    [math.lgamma(n + 1) - (n + 0.5) * math.log(max(n, 1)) + n - 0.5 * math.log(TAU) * (n > 0) for n in range(16)]
)


def inner(function: Function) -> Function:
    """Machine code for other machine code, without the counting of references."""
    made: Function = njit(_nrt=False, error_model="numpy")(function)
    return made


def inlined(function: Function) -> Function:
    """The same, written into its callers."""
    made: Function = njit(_nrt=False, error_model="numpy", forceinline=True)(function)
    return made


def entry(function: Function) -> Function:
    """What Python calls: kept on disk after the first time, wherever numba finds a folder to write to.

    numba compiles it anew when the file it stands in changes; by its name it is, when these draws do.
    """
    function.__qualname__ += hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    try:
        made: Function = njit(_nrt=False, error_model="numpy", cache=True)(function)
    except RuntimeError:  # neither beside this file nor in the user's cache folder: compiled anew by each process
        made = njit(_nrt=False, error_model="numpy")(function)
    return made


# -- keys -------------------------------------------------------------------------------------------------------------


@inlined
def mixed(z: Any) -> Any:
    """64 bits, each of which depends on each of ``z``."""
    z = (z ^ (z >> SHIFT_30)) * FIRST
    z = (z ^ (z >> SHIFT_27)) * SECOND
    return z ^ (z >> SHIFT_31)


@inlined
def key_of(seed: Any, lane: Any, step: Any) -> Any:
    """Of one step of one lane."""
    return mixed(mixed(seed + np.uint64(lane) * LANE) + np.uint64(step) * STEP)


@inlined
def of_row(key: Any, row: Any) -> Any:
    """Where the numbers of a row start."""
    return mixed(key + np.uint64(row + 1) * GOLDEN)


@inlined
def unit(state: Any) -> Any:
    """A number in [0, 1), a multiple of 2^-53: times a sum of weights it stays below the sum."""
    return np.float64(mixed(state) >> SHIFT_11) * UNIT


# -- samplers: each returns its number and where the row's numbers go on -----------------------------------------------


@inlined
def exponent(x: Any, mean: Any) -> Any:
    """log of mean^x e^-mean / x!, without its factor 1 / sqrt(:func:`width`): the deviance and Stirling's error.

    Logarithms of factorials would cancel to nothing. mean > 0.
    """
    apart, together = x - mean, x + mean
    if abs(apart) < 0.1 * together:
        v = apart / together
        w, series = v * v, 0.0
        for j in range(17, 1, -2):
            series = 1 / j + w * series
        deviance = v * (apart + 2 * x * w * series)
    elif x > 0:
        deviance = x * math.log(x / mean) - apart
    else:
        deviance = mean
    if x < 16:
        return -deviance - STIRLING[int(x)]
    y = 1.0 / x
    return -deviance - (1 / 12 - (1 / 360 - y * y / 1260) * y * y) * y


@inlined
def width(x: Any) -> Any:
    return max(TAU * x, 1.0)


@inner
def binomial(n: Any, p: Any, state: Any) -> Any:
    """How many of n succeed, each with probability p."""
    if n <= 0 or not p > 0.0:
        return 0, state
    if p >= 1.0:
        return n, state
    q = min(p, 1.0 - p)
    if n * q < MEAN:
        k, state = binomial_by_inversion(n, q, state)
    else:
        k, state = binomial_by_rejection(n, q, state)
    return (k if p <= 0.5 else n - k), state


@inner
def binomial_by_inversion(n: Any, p: Any, state: Any) -> Any:
    odds, none = p / (1.0 - p), math.exp(n * math.log1p(-p))
    while True:
        state += GOLDEN
        u, k, chance = unit(state), 0, none
        while u >= chance and k < min(n, BEYOND):
            u -= chance
            k += 1
            chance *= odds * (n - k + 1) / k
        if u < chance:
            return k, state


@inner
def binomial_by_rejection(n: Any, p: Any, state: Any) -> Any:
    """BTRD's proposal, one number for most; for n p >= 10 and p <= 1/2."""
    mean = n * p
    spread = math.sqrt(mean * (1.0 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    sure, centre = 0.92 - 4.2 / b, mean + 0.5
    alpha, mode, top, high = 0.0, 0, 0.0, 0.0
    while True:
        state += GOLDEN
        v = unit(state)
        if v <= 0.86 * sure:
            u = v / sure - 0.43
            return int((2 * a / (0.5 - abs(u)) + b) * u + centre), state
        state += GOLDEN
        if v >= sure:
            u = unit(state) - 0.5
        else:
            u = v / sure - 0.93
            u = math.copysign(0.5, u) - u
            v = unit(state) * sure
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + centre) if us > 0.0 else -1.0
        if k < 0 or k > n:
            continue
        if alpha == 0.0:
            alpha, mode = (2.83 + 5.1 / b) * spread, int((n + 1) * p)
        v *= alpha / (a / (us * us) + b)
        if abs(k - mode) <= NEAR:  # the ratio of their probabilities, factor by factor
            more, less, odds = 1.0, 1.0, p / (1.0 - p)
            for i in range(min(int(k), mode) + 1, max(int(k), mode) + 1):
                more *= (n + 1 - i) * odds
                less *= i
            kept = v * less <= more if k > mode else v * more <= less
        else:
            if high == 0.0:
                top, high = exponent(mode, mean) + exponent(n - mode, n - mean), width(mode) * width(n - mode)
            here = exponent(k, mean) + exponent(n - k, n - mean)
            kept = v * v * width(k) * width(n - k) <= high * math.exp(2 * (here - top))
        if kept:
            return int(k), state


@inner
def guesses(count: Any, n: Any, p: Any, state: Any, guess: Any) -> None:
    """What the first number of each of :func:`binomial`'s draws settles, -1 where it does not: the same bits."""
    for i in range(count):
        v, q, agents = unit(state[i] + GOLDEN), min(p[i], 1.0 - p[i]), np.float64(n[i])
        mean = agents * q
        spread = math.sqrt(mean * (1.0 - q))
        b = 1.15 + 2.53 * spread
        a = -0.0873 + 0.0248 * b + 0.01 * q
        sure = 0.92 - 4.2 / b
        u = v / sure - 0.43
        k = math.floor((2 * a / (0.5 - abs(u)) + b) * u + (mean + 0.5))
        k = k if p[i] <= 0.5 else agents - k
        guess[i] = k if (mean >= MEAN) & (v <= 0.86 * sure) else -1.0


@inner
def poisson(rate: Any, state: Any) -> Any:
    """By inversion, or Hoermann's PTRS."""
    if not rate > 0.0:
        return 0, state
    if rate < MEAN:
        none = math.exp(-rate)
        while True:
            state += GOLDEN
            u, few, chance = unit(state), 0, none
            while u >= chance and few < BEYOND:
                u -= chance
                few += 1
                chance *= rate / few
            if u < chance:
                return few, state
    spread = math.sqrt(rate)
    b = 0.931 + 2.53 * spread
    a = -0.059 + 0.02483 * b
    alpha, sure = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2.0)
    while True:
        state += GOLDEN
        u = unit(state) - 0.5
        state += GOLDEN
        v, us = 1.0 - unit(state), 0.5 - abs(u)
        if us <= 0.0:
            continue
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= sure:
            return int(k), state
        if k < 0 or (us < 0.013 and v > us):
            continue
        v *= alpha / (a / (us * us) + b)
        if math.log(v * v * width(k)) <= 2 * exponent(k, rate):
            return int(k), state


@inner
def hypergeometric(good: Any, bad: Any, drawn: Any, state: Any) -> Any:
    """How many of ``drawn``, out of good and bad ones without replacement, are good."""
    everybody = good + bad
    kind, sample = min(good, bad), min(drawn, everybody - drawn)  # by symmetry, the smaller of each
    if min(kind, sample) < ONE_BY_ONE:
        found, few, many = 0, min(kind, sample), max(kind, sample)
        for i in range(few):
            state += GOLDEN
            found += int(unit(state) * (everybody - i) < many - found)
    else:
        found, state = hypergeometric_by_ratio(kind, everybody, sample, state)
    if good > bad:
        found = sample - found
    return (good - found if sample < drawn else found), state


@inner
def hypergeometric_by_ratio(kind: Any, everybody: Any, sample: Any, state: Any) -> Any:
    """A point under the square root of the law, as seen from its mode."""
    share = kind / everybody
    centre = sample * share + 0.5
    width = RATIO[0] * math.sqrt((everybody - sample) / (everybody - 1) * sample * share * (1 - share) + 0.5) + RATIO[1]
    top = log_sample(math.floor((sample + 1.0) * ((kind + 1.0) / (everybody + 2.0))), kind, everybody, sample)
    while True:
        state += GOLDEN
        x = 1.0 - unit(state)
        state += GOLDEN
        k = math.floor(centre + width * (unit(state) - 0.5) / x)
        if 0 <= k <= min(kind, sample) and 2 * math.log(x) <= log_sample(k, kind, everybody, sample) - top:
            return int(k), state


@inner
def log_sample(k: Any, kind: Any, everybody: Any, sample: Any) -> Any:
    """log of the hypergeometric probability of k, up to a constant."""
    share, others = sample / everybody, everybody - kind
    a, b, c, d = k, sample - k, kind - k, others - sample + k
    agree = exponent(a, kind * share) + exponent(b, others * share)
    agree += exponent(c, kind * (1 - share)) + exponent(d, others * (1 - share))
    return agree - 0.5 * math.log(width(a) * width(b)) - 0.5 * math.log(width(c) * width(d))


@inlined
def shared_out(n: Any, weight: Any, start: Any, kinds: Any, drawn: Any, at: Any, sums: Any, state: Any) -> Any:
    """Multinomial: n agents by ``weight[start:start + kinds]``, whatever their sum, into ``drawn[at:at + kinds]``."""
    for j in range(kinds):
        drawn[at + j] = 0
    if n < FEW * (kinds - 1):
        total = 0.0
        for j in range(kinds):
            total += weight[start + j]
            sums[j] = total
        for _ in range(n):
            state += GOLDEN
            u, chosen = unit(state) * total, 0
            for j in range(kinds - 1):
                chosen += int(u >= sums[j])
            drawn[at + chosen] += 1
        return state
    rest = 0.0
    for j in range(kinds - 1, -1, -1):
        rest += weight[start + j]
        sums[j] = rest
    for j in range(kinds - 1):
        if n == 0:
            return state
        k, state = binomial(n, weight[start + j] / sums[j], state)
        drawn[at + j] = k
        n -= k
    drawn[at + kinds - 1] = n
    return state


@entry
def alias_tables(p: Any, kinds: Any, alias: Any, cut: Any, order: Any) -> None:
    """Walker's aliases (by Vose) of each run of ``kinds`` in flat ``p``: place j keeps a share ``cut`` of its 1 / J,
    and gives the rest to ``alias``; ``order (kinds,)`` is scratch, the small places from the left, the large from the
    right."""
    for first in range(0, len(p), kinds):
        small, large = 0, kinds
        total = 0.0
        for j in range(kinds):
            total += p[first + j]
        for j in range(kinds):
            cut[first + j], alias[first + j] = p[first + j] / total * kinds, j
            if cut[first + j] < 1.0:
                order[small] = j
                small += 1
            else:
                large -= 1
                order[large] = j
        while small > 0 and large < kinds:
            small -= 1
            poor, rich = order[small], order[large]
            alias[first + poor] = rich
            cut[first + rich] -= 1.0 - cut[first + poor]
            if cut[first + rich] < 1.0:
                large += 1
                order[small] = rich
                small += 1
        for i in range(small):  # what rounding left over
            cut[first + order[i]] = 1.0
        for i in range(large, kinds):
            cut[first + order[i]] = 1.0
