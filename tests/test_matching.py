"""phi(n) = E min(n, Poisson(rate)) against scipy and against its own limits."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mfnet_envs.matching import WIDE, ExpectedMin, expected_min, served_share

RATES = [0.0, 1e-9, 0.3, 1.0, 7.5, 40.0, 700.0, 3000.0]


def phi(n: int, rate: float) -> float:
    """E min(n, D) as the sum over D of min(n, D) P(D), by scipy."""
    d = np.arange(n + 1)
    return float((d * stats.poisson.pmf(d, rate)).sum() + n * stats.poisson.sf(n, rate))


@pytest.mark.parametrize("rate", RATES)
def test_expected_min_at_integers(rate: float) -> None:
    n = np.unique(
        np.round(np.concatenate([np.arange(6), rate + np.linspace(-8, 12, 41) * np.sqrt(rate), [5 * rate + 60]]))
    )
    n = n[n >= 0].astype(int)
    expected = [phi(k, rate) for k in n]
    np.testing.assert_allclose(expected_min(n[:, None].astype(float), [rate])[:, 0], expected, rtol=1e-10, atol=1e-13)


def by_summation(n: int, rate: float) -> float:
    """E min(n, D) = n - sum_{d < n} (n - d) P(D = d) in forty digits."""
    mpmath.mp.dps = 40
    low = max(0, int(rate - 14 * rate**0.5))
    chance = mpmath.exp(-mpmath.mpf(rate) + low * mpmath.log(rate) - mpmath.loggamma(low + 1))
    missed = mpmath.mpf(0)
    for d in range(low, n):
        missed += (n - d) * chance
        chance *= mpmath.mpf(rate) / (d + 1)
    return float(n - missed)


@pytest.mark.parametrize("rate", [1.01e5, 234567.8])
def test_large_rates_are_evaluated(rate: float) -> None:
    """To the last digits, on numpy and torch; above WIDE there is no table whose length grows with the population."""
    assert rate > WIDE
    n = np.round(rate + np.array([-40, -9, -3, -1, 0, 0.5, 2, 6, 40]) * rate**0.5)
    expected = [by_summation(int(k), rate) if abs(k - rate) < 20 * rate**0.5 else min(k, rate) for k in n]
    found = expected_min(n[:, None], [rate])[:, 0]
    np.testing.assert_allclose(found, expected, rtol=3e-16)
    mixed = ExpectedMin([rate, 3.0])
    at = torch.tensor(np.stack([n, n % 7], 1), requires_grad=True)
    np.testing.assert_allclose(mixed(at).detach().numpy()[:, 0], expected, rtol=3e-16)
    np.testing.assert_array_equal(mixed(at.detach().numpy())[:, 1], ExpectedMin([3.0])(n[:, None] % 7)[:, 0])
    mixed(at)[4, 0].backward()
    assert at.grad[4, 0] == pytest.approx(stats.poisson.sf(n[4], rate), abs=2e-3)


@pytest.mark.parametrize("rate", [1e12, 3e13, 2e15])
def test_rates_of_whole_populations(rate: float) -> None:
    """E min(rate, D) = rate - sqrt(rate / 2 pi) for large rates; concave, increasing and below both limits."""
    phi_of = ExpectedMin([rate])
    assert sum(table.size for table in (phi_of.table, phi_of.slope)) < 100
    assert rate - phi_of(np.array([rate]))[0] == pytest.approx((rate / 2 / np.pi) ** 0.5, rel=1e-6)
    n = np.round(rate + np.linspace(-20, 20, 81) * rate**0.5)[:, None]
    found = phi_of(n)[:, 0]
    assert (found <= np.minimum(n[:, 0], rate)).all()
    assert (np.diff(found) >= 0).all()
    slope, step = np.diff(found) / np.diff(n[:, 0]), np.diff(n[:, 0]).min()
    assert (np.diff(slope) <= 4 * np.spacing(rate) / step).all()
    with pytest.raises(ValueError, match="ask for the fluid limit"):
        phi_of.slopes(0)


def test_closed_forms() -> None:
    """P(D > 0) for one agent, the rate for a crowd."""
    rates = np.array(RATES)
    np.testing.assert_allclose(expected_min(np.ones_like(rates), rates), -np.expm1(-rates), rtol=1e-12)
    np.testing.assert_allclose(expected_min(np.full_like(rates, 1e9), rates), rates, rtol=1e-11)


@given(st.floats(0, 2000), st.floats(0, 3000), st.floats(0, 3000))
def test_concave_increasing_and_below_both_limits(rate: float, a: float, b: float) -> None:
    """The facts behind every bound, at integers and between."""
    low, middle, high = expected_min(np.array([[min(a, b)], [(a + b) / 2], [max(a, b)]]), [rate])[:, 0]
    slack = 1e-9 * (1 + rate)
    assert 0 <= low <= high + slack
    assert high - low <= abs(a - b) + slack
    assert middle >= (low + high) / 2 - slack
    assert high <= min(max(a, b), rate) + slack


def test_linear_between_integers() -> None:
    table = ExpectedMin([2.5])
    ends = table(np.array([[3.0], [4.0]]))[:, 0]
    np.testing.assert_allclose(table(np.array([[3.25]]))[0, 0], 0.75 * ends[0] + 0.25 * ends[1], rtol=1e-14)


@pytest.mark.parametrize("rate", [0.3, 40.0, 700.0])
def test_slopes_add_up_to_phi(rate: float) -> None:
    slopes = ExpectedMin([rate]).slopes(0)
    assert (np.diff(slopes) <= 1e-12).all()
    np.testing.assert_allclose(slopes.sum(), rate, rtol=1e-9)
    np.testing.assert_allclose(slopes[: int(rate) + 1].sum(), phi(int(rate) + 1, rate), rtol=1e-9)


def test_served_share_and_its_limit_for_an_empty_state() -> None:
    rates = np.array([0.0, 0.3, 7.5, 700.0])
    table = ExpectedMin(rates)
    np.testing.assert_allclose(served_share(table, np.zeros(4), rates), 1 - np.exp(-rates), rtol=1e-9)
    n = np.array([3.0, 3.0, 9.0, 650.0])
    expected = [phi(int(k), rate) / k for k, rate in zip(n, rates, strict=True)]
    np.testing.assert_allclose(served_share(table, n, rates), expected, rtol=1e-9)


def test_served_share_without_chance() -> None:
    """The fluid limit: everybody up to the rate, then the rate shared."""
    rates = np.array([0.0, 2.0, 2.0, 2.0, 2.0])
    n = np.array([1.0, 0.0, 1.0, 2.0, 8.0])
    np.testing.assert_allclose(served_share(None, n, rates), [0, 1, 1, 1, 0.25], rtol=1e-12)


@given(st.integers(1, 5000), st.floats(0.01, 1e4))
def test_shares_never_exceed_one(population: int, rate: float) -> None:
    """Counts that went through shares and back carry rounding; a chance above 1 would stop the simulator."""
    n = population * (np.arange(population + 1)[:, None] / population)
    assert served_share(ExpectedMin([rate]), n, [rate]).max() <= 1


def test_torch_gives_the_same_numbers_and_the_slope() -> None:
    rates = np.array([0.3, 7.5, 700.0])
    n = np.array([[0.0, 0.0, 0.0], [2.5, 7.25, 712.5], [50.0, 60.0, 900.0]])
    table = ExpectedMin(rates)
    at = torch.tensor(n, requires_grad=True)
    torch.testing.assert_close(table(at).detach(), torch.as_tensor(table(n)), rtol=0, atol=0)
    table(at)[1].sum().backward()
    expected = [phi(k + 1, rate) - phi(k, rate) for k, rate in zip((2, 7, 712), rates, strict=True)]
    np.testing.assert_allclose(at.grad[1].numpy(), expected, rtol=1e-8)


@pytest.mark.parametrize("rate", [-1.0, np.nan, np.inf])
def test_rates_it_refuses(rate: float) -> None:
    with pytest.raises(ValueError, match="rates must be finite and non-negative"):
        ExpectedMin([1.0, rate])
