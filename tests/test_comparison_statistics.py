"""The statistics of few runs, against scipy, enumeration, and simulation. tests/optional holds them to rliable's."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mfnet_agents.comparison import statistics


def scores(seed: int, *runs: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=n).round(1) for n in runs]  # rounded: there are ties


@pytest.mark.parametrize("runs", [(1,), (3,), (4, 4), (5, 5, 5), (10, 7, 3, 1)])
def test_statistics_are_scipy_s(runs: tuple[int, ...]) -> None:
    mine, other = scores(0, *runs), scores(1, *runs)
    flat = np.concatenate(mine)
    assert statistics.iqm_of(flat) == pytest.approx(stats.trim_mean(flat, 0.25), abs=1e-12)
    pairs = zip(mine, other, strict=True)
    expected = np.mean([stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in pairs])
    assert statistics.improvement(mine, other, np.random.default_rng(0)).value == pytest.approx(expected, abs=1e-12)
    at = np.array([-0.5, 0.0, 0.3])
    assert statistics.profile_of(flat, at) == pytest.approx(1 - stats.ecdf(flat).cdf.evaluate(at), abs=1e-12)


def test_statistics_by_hand() -> None:
    values = np.array([0.9, 0.1, 0.5, 1.3])
    assert statistics.iqm_of(values) == pytest.approx((0.5 + 0.9) / 2)
    assert statistics.optimality_gap_of(values) == pytest.approx(1 - (0.9 + 0.1 + 0.5 + 1.0) / 4)
    assert statistics.profile_of(values, np.array([0.1, 0.5, 2.0])).tolist() == [0.75, 0.5, 0.0]


@pytest.mark.parametrize("statistic", [statistics.iqm_of, statistics.optimality_gap_of])
def test_the_bootstrap_is_stratified(statistic: statistics.Statistic) -> None:
    """Over all resamples of two tasks with three runs each, enumerated: 27 x 27, and none that mixes tasks."""
    tasks = [np.array([0.1, 0.4, 0.9]), np.array([0.2, 0.3, 0.35])]
    drawn = [statistic(np.array([*a, *b])) for a in itertools.product(tasks[0], repeat=3)
             for b in itertools.product(tasks[1], repeat=3)]  # fmt: skip
    found = statistic(statistics.resampled(tasks, np.random.default_rng(0), 100_000))
    assert found.mean() == pytest.approx(np.mean(drawn), abs=5 * np.std(drawn) / np.sqrt(100_000))
    assert set(found.round(9)) <= set(np.round(drawn, 9))
    estimate = statistics.estimate(tasks, statistic, np.random.default_rng(1))
    for end, share in ((estimate.low, 0.025), (estimate.high, 0.975)):  # within five errors of 2,000 draws
        near = np.quantile(drawn, [max(0, share - 0.0175), min(1, share + 0.0175)])
        assert near[0] <= end <= near[1]
    assert estimate.value == statistic(np.concatenate(tasks))


def test_the_bootstrap_of_an_improvement_is_enumerated() -> None:
    """Two runs against two: 4 x 4 resamples."""
    a, b = np.array([0.0, 2.0]), np.array([1.0, 3.0])
    drawn = [np.mean([x > y for x in one for y in other])
             for one in itertools.product(a, repeat=2) for other in itertools.product(b, repeat=2)]  # fmt: skip
    found = statistics.improvement([a], [b], np.random.default_rng(0))
    assert (found.value, found.low, found.high) == (0.25, *np.quantile(drawn, [0.025, 0.975], method="inverted_cdf"))
    assert statistics.improvement([a], [a], np.random.default_rng(0)).value == 0.5


def test_intervals_cover() -> None:
    """Of 400 simulated comparisons, ten runs on each of four tasks: the share whose interval holds the truth.

    Percentile intervals of few runs are a little short. The law of the scores is uniform around the task's level, so
    the true interquartile mean of the pooled law is that of a mixture; it is taken from a million draws.
    """
    levels, rng, resampling = np.array([0.2, 0.4, 0.5, 0.9]), np.random.default_rng(0), np.random.default_rng(1)
    truth = stats.trim_mean((levels[:, None] + rng.uniform(-0.1, 0.1, (4, 250_000))).ravel(), 0.25)
    held = 0
    for _ in range(400):
        found = statistics.estimate(
            list(levels[:, None] + rng.uniform(-0.1, 0.1, (4, 10))), statistics.iqm_of, resampling
        )
        held += found.low <= truth <= found.high
    assert 0.89 <= held / 400 <= 0.98  # five errors are .055


def test_the_range_of_runs_holds_as_much_as_it_says() -> None:
    assert statistics.share_within_range(1) == 0.0
    rng = np.random.default_rng(0)
    for runs in (2, 5, 10):
        share = statistics.share_within_range(runs)
        assert share == pytest.approx(stats.beta.ppf(0.05, runs - 1, 2), abs=1e-9)
        draws = rng.uniform(size=(20_000, runs))  # the uniform law: a range holds its own length
        assert ((draws.max(1) - draws.min(1)) >= share).mean() == pytest.approx(0.95, abs=0.008)
