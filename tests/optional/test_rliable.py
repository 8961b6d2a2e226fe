"""Our statistics are rliable's, to 1e-9. rliable 1.2 asks for arch < 8, which pandas 3 breaks, so that it has an
environment of its own: pip install rliable "pandas<3"."""

import numpy as np
import pytest

rliable = pytest.importorskip("rliable")

from rliable import library, metrics  # noqa: E402

from mfnet_agents.comparison import statistics  # noqa: E402


def matrix(seed: int, runs: int, tasks: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 0.4, (runs, tasks)).round(2)


@pytest.mark.parametrize("runs, tasks", [(1, 3), (3, 1), (5, 4), (10, 7)])
def test_point_estimates(runs: int, tasks: int) -> None:
    mine, other = matrix(0, runs, tasks), matrix(1, runs, tasks)
    flat, rng = mine.ravel(), np.random.default_rng(0)
    at = np.linspace(-0.5, 1.5, 21)
    assert statistics.iqm_of(flat) == pytest.approx(metrics.aggregate_iqm(mine), abs=1e-9)
    assert statistics.optimality_gap_of(flat) == pytest.approx(metrics.aggregate_optimality_gap(mine), abs=1e-9)
    expected = metrics.probability_of_improvement(mine, other)
    assert statistics.improvement(list(mine.T), list(other.T), rng).value == pytest.approx(expected, abs=1e-9)
    above = [library.run_score_deviation(mine, threshold) for threshold in at]
    assert statistics.profile_of(flat, at) == pytest.approx(above, abs=1e-9)


def test_the_bootstrap() -> None:
    """Whatever is drawn, the resampled scores are rliable's: the same statistic of the same law, so their intervals
    agree as far as 20,000 draws do."""
    mine = matrix(0, 5, 4)
    points, ends = library.get_interval_estimates(
        {"mine": mine}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=20_000
    )
    drawn = statistics.iqm_of(statistics.resampled(list(mine.T), np.random.default_rng(0), 20_000))
    assert statistics.iqm_of(mine.ravel()) == pytest.approx(points["mine"][0], abs=1e-9)
    assert np.percentile(drawn, [2.5, 97.5]) == pytest.approx(ends["mine"][:, 0], abs=0.01)
