"""MFNet-TwoByTwo-v0 against the published equilibria and the published optimum."""

import math
from typing import Any

import numpy as np
import pytest

from mfnet_envs.conformance.models import check_model
from mfnet_envs.evaluate import evaluate
from mfnet_envs.exact import ExactGame
from mfnet_envs.scenarios.twobytwo_v0 import TwoByTwo, best_fares, build, selfish_equilibrium, total_fares
from mfnet_envs.simulator import Simulator

# charge rate -> drivers at cell 3 in the Nash equilibrium, fares of the day
PUBLISHED = {0: (100, 500), 0.1: (97, 514.7), 0.2: (92, 539.2), 0.3: (88, 558.8), 0.5: (82, 588.2), 0.7: (80, 598.0)}
PUBLISHED[1.0] = (78, 598.0)

# states: cell 1 and cell 2 choosing; cell 0 and cell 3 working
CHOOSING = (2, 4)
AT_0, AT_1, AT_2, AT_3 = 1, 3, 5, 7


def working(at_cheap: int, at_dear: int, **options: Any) -> tuple[TwoByTwo, np.ndarray]:
    """The model and the rewards ``(S,)`` of a moment with so many drivers at cells 0 and 3, the others at cell 1."""
    model = build(**options)
    counts = np.zeros((1, 8), np.int64)
    counts[0, [AT_0, AT_1, AT_3]] = at_cheap, model.population - at_cheap - at_dear, at_dear
    rewards: np.ndarray = model.reward(Simulator(model).mu_hood(counts))[0, :, 0]
    return model, rewards * counts[0]


@pytest.mark.parametrize("alpha", PUBLISHED)
def test_selfish_equilibria_are_the_published_ones(alpha: float) -> None:
    at_dear, fares = PUBLISHED[alpha]
    assert selfish_equilibrium(alpha) == at_dear
    assert total_fares(at_dear, 100 - at_dear) == pytest.approx(fares)


@pytest.mark.parametrize("alpha", PUBLISHED)
def test_nobody_gains_by_leaving_the_equilibrium(alpha: float) -> None:
    """With the model's own rewards: a driver alone who changes cells or stays behind earns no more."""
    x = selfish_equilibrium(alpha)
    net: dict[str, Any] = {"alpha": alpha, "paid": "net"}

    def pays(at_dear: int) -> tuple[float, float]:
        rewards = working(100 - at_dear, at_dear, **net)[1]
        return rewards[AT_0] / max(100 - at_dear, 1), rewards[AT_3] / max(at_dear, 1)

    cheap, dear = pays(x)
    assert dear >= pays(x - 1)[0]
    assert x == 100 or cheap >= pays(x + 1)[1]
    assert min(dear, cheap if x < 100 else dear) >= 0


def test_the_first_numbers_of_the_page() -> None:
    """All at cell 3: 5.00 each, and 4.90 for one who goes to cell 0; the day yields 500."""
    model, rewards = working(0, 100)
    assert rewards.sum() == pytest.approx(500)
    assert rewards[AT_3] / 100 == pytest.approx(5.0)
    assert working(1, 99)[1][AT_0] == pytest.approx(4.9)
    assert model.bound().value == pytest.approx(598)


def test_no_split_of_the_drivers_beats_598() -> None:
    """Every (x, y) with x + y <= 100, by the model's rewards; 598 exactly for x from 50 on and y from 20 on."""
    model = build()
    splits = np.array([(x, y) for x in range(101) for y in range(101 - x)])
    counts = np.zeros((len(splits), 8), np.int64)
    counts[:, AT_3], counts[:, AT_0] = splits.T
    counts[:, AT_2] = 100 - splits.sum(1)
    fares = (model.reward(Simulator(model).mu_hood(counts))[:, :, 0] * counts).sum(1)
    assert fares.max() == pytest.approx(598) == best_fares()
    reached = splits[fares > 598 - 1e-9]
    assert (reached >= [50, 20]).all() and len(reached) == sum(100 - x - 20 + 1 for x in range(50, 81))


def test_matching_at_random() -> None:
    """70 drivers draw lots for 50 orders: each is paid with the frequency the reward says."""
    rng = np.random.default_rng(0)
    lots = rng.permuted(np.tile(np.arange(70) < 50, (4000, 1)), axis=1)
    rewards = working(20, 70)[1]
    error = 10 * lots[:, 0].std() / math.sqrt(len(lots))
    assert abs(10 * lots[:, 0].mean() - rewards[AT_3] / 70) < 4.5 * error


@pytest.mark.parametrize("population", [3, 40, 60, 75, 200])
def test_best_day_of_other_fleets(population: int) -> None:
    """By brute force over who goes where."""
    best = max(total_fares(x, y) for x in range(population + 1) for y in range(population + 1 - x))
    assert best_fares(population) == pytest.approx(best)
    assert build(population).bound().value == pytest.approx(best)


def test_bound_is_the_exact_optimum_of_a_small_fleet() -> None:
    model = build(2, days=3)
    game = ExactGame(model)
    assert game.expected(game.optimal_values(steps=6)) == pytest.approx(model.bound("discounted").value)
    assert model.bound("discounted").value == pytest.approx(10 * (0.95 + 0.95**3 + 0.95**5))


def test_social_split_reaches_the_bound_day_after_day() -> None:
    """20 at cell 0, 50 at cell 3 and 30 at home, charged or not, in expectation over the way back."""
    for options in ({}, {"alpha": 0.8, "paid": "net"}):
        model = build(**options)
        simulator, mu, fares = Simulator(model), model.initial[None], 0.0
        for _ in range(model.evaluation[0]):
            mu, rewards = simulator.mean_field_step(mu, np.tile([0.3, 0.2, 0.5], (2, 1)))
            fares += 100 * float(rewards.sum())
        assert fares / 50 == pytest.approx(598)
        assert fares / 100 / model.evaluation[0] * model.full_scale == pytest.approx(model.bound().value)


def test_charges_take_from_the_drivers_only() -> None:
    """80 and 20 drivers at alpha = .7: DS = 5/8, charge .7 x 3/8; cell 0 has DS = 1 and no charge."""
    assert working(20, 80, alpha=0.7)[1].sum() == pytest.approx(598)
    net = working(20, 80, alpha=0.7, paid="net")[1]
    assert net[AT_3] == pytest.approx(500 * (1 - 0.7 * 3 / 8)) and net[AT_0] == pytest.approx(98)


def test_the_published_game_is_one_day() -> None:
    """Selfish drivers take 5.00 each, social ones up to 5.98; their mixing costs a little."""
    model = build(days=1)
    selfish, social = (evaluate(model, model.heuristics()[name], worlds=400) for name in ("selfish", "social"))
    assert selfish["episode_return_mean"] == pytest.approx(5.0)
    assert selfish["reward_per_step_mean"] * model.full_scale == pytest.approx(500)
    assert 5.96 < social["episode_return_mean"] <= 5.98 + 1e-12
    assert model.bound("discounted").value == pytest.approx(0.95 * 5.98)


@pytest.mark.parametrize("options", [{}, {"alpha": 0.3}, {"alpha": 0.7, "paid": "net"}, {"population": 30}])
def test_every_heuristic_stays_below_the_bound(options: dict[str, Any]) -> None:
    """The bound holds day by day, so for every single run."""
    model = build(**options)
    for name, policy in model.heuristics().items():
        report = evaluate(model, policy, worlds=8)
        assert report["reward_per_step_mean"] * model.full_scale <= model.bound().value + 1e-9, name
        assert report["discounted_return_mean"] <= model.bound("discounted").value + 1e-9, name


def test_a_day_ends_where_the_orders_do() -> None:
    """80 at cell 3: 50 matched end at cell 1, 30 return to 1 or 2; 20 at cell 0, all matched, end at cell 2."""
    simulator, rng = Simulator(build()), np.random.default_rng(0)
    counts = np.zeros((20_000, 8), np.int64)
    counts[:, [AT_0, AT_3]] = 20, 80
    actions = np.zeros((*counts.shape, 3), np.int64)
    actions[..., 0] = counts
    following, _ = simulator.step(counts, actions, rng)
    assert (following[:, CHOOSING].sum(1) == 100).all()
    error = following[:, 2].std() / math.sqrt(len(following))
    assert abs(following[:, 2].mean() - (50 + 15)) < 4.5 * error


def test_choices_of_the_page() -> None:
    model = build()
    assert model.team_states.tolist() == [*CHOOSING]
    assert model.branches[1].successors[2].tolist() == [[AT_1] * 2, [AT_0] * 2, [AT_3] * 2]
    assert model.branches[1].successors[4].tolist() == [[AT_2] * 2, [AT_0] * 2, [AT_3] * 2]
    assert np.flatnonzero(model.initial).tolist() == [*CHOOSING]


@pytest.mark.parametrize("options", [{}, {"alpha": 0.5, "paid": "net"}, {"population": 1}, {"population": 4000}])
def test_it_keeps_the_contract(options: dict[str, Any]) -> None:
    check_model(build(**options))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"population": 0}, "population must be a positive integer"),
        ({"alpha": 1.2}, "alpha must lie between 0 and 1"),
        ({"alpha": math.nan}, "alpha must lie between 0 and 1"),
        ({"paid": "gross"}, "paid must be 'fare' or 'net', not 'gross'"),
        ({"days": 0}, "days must be a positive integer"),
        ({"gamma": 1.0}, "gamma must lie strictly between 0 and 1"),
    ],
)
def test_options_it_refuses(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(**options)


def test_a_charge_out_of_range() -> None:
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        selfish_equilibrium(-0.1)
