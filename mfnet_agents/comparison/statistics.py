"""Statistics of few runs on several tasks, after Agarwal et al. (NeurIPS 2021), held equal to rliable's in a test.

Scores of one contender are a list of arrays, one per task, each with the scores of its runs: task t is the stratum of
the bootstrap. Functions that end in ``_of`` take them flat, runs and tasks together, along the last axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints

Scores = Sequence[Floats]
Statistic = Callable[[Floats], Floats]
REPETITIONS = 2_000
LEVEL = 0.95


class Estimate(NamedTuple):
    """A statistic with its interval; equal ends where nothing varies."""

    value: float
    low: float
    high: float


# -- statistics of the scores along the last axis


def iqm_of(scores: Floats) -> Floats:
    """The interquartile mean: of the sorted scores without floor(n / 4) at each end."""
    ordered, n = np.sort(scores, axis=-1), scores.shape[-1]
    cut = n // 4
    found: Floats = ordered[..., cut : n - cut].mean(-1)
    return found


def optimality_gap_of(scores: Floats, target: float = 1.0) -> Floats:
    """How far scores fall short of the target; what is above it does not make up for what is below."""
    found: Floats = target - np.minimum(scores, target).mean(-1)
    return found


def profile_of(scores: Floats, thresholds: Floats) -> Floats:
    """Share of runs above each threshold, ``(..., len(thresholds))``: one minus the empirical distribution."""
    found: Floats = (scores[..., None, :] > thresholds[:, None]).mean(-1)
    return found


# -- with intervals


def estimate(scores: Scores, statistic: Statistic, rng: np.random.Generator) -> Estimate:
    """A statistic of all scores with its stratified bootstrap interval: the percentiles over resampled runs."""
    drawn = statistic(resampled(scores, rng))
    low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    return Estimate(float(statistic(np.concatenate(scores))), float(low), float(high))


def profile(scores: Scores, thresholds: Floats, rng: np.random.Generator) -> Floats:
    """``(3, len(thresholds))``: the performance profile, and the ends of its pointwise interval."""
    drawn = profile_of(resampled(scores, rng), thresholds)
    ends = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    return np.vstack([profile_of(np.concatenate(scores), thresholds), ends])


def resampled(scores: Scores, rng: np.random.Generator, repetitions: int = REPETITIONS) -> Floats:
    """``(repetitions, runs of all tasks)``: within each task as many runs as there are, drawn with replacement."""
    return np.concatenate([runs[_draws(len(runs), rng, repetitions)] for runs in scores], axis=1)


def _draws(runs: int, rng: np.random.Generator, repetitions: int) -> Ints:
    drawn: Ints = rng.integers(runs, size=(repetitions, runs))
    return drawn


def improvement(first: Scores, second: Scores, rng: np.random.Generator) -> Estimate:
    """Probability that a run of the first beats one of the second on a task, ties for half, a mean over tasks.

    That of one task is Mann and Whitney's U over the number of pairs.
    """
    wins = [(a[:, None] > b) + 0.5 * (a[:, None] == b) for a, b in zip(first, second, strict=True)]
    drawn = np.zeros(REPETITIONS)
    for table in wins:
        one, other = (_draws(runs, rng, REPETITIONS) for runs in table.shape)
        drawn += table[one[:, :, None], other[:, None, :]].mean((1, 2)) / len(wins)
    low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Estimate(float(np.mean([table.mean() for table in wins])), float(low), float(high))


def share_within_range(runs: int, confidence: float = LEVEL) -> float:
    """Which share of all runs lies between the lowest and the highest of ``runs`` of them, at least, with this
    confidence: the tolerance interval without a law, whose coverage has the law Beta(runs - 1, 2). None of two: 0."""
    if runs < 2:
        return 0.0
    from scipy.special import betaincinv

    return float(betaincinv(runs - 1, 2, 1 - confidence))
