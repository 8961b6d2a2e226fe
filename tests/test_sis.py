"""MFNet-SIS-v0 against the endemic fixed point, exact optima and its own page."""

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import brentq

from mfnet_envs.conformance.models import check_model
from mfnet_envs.evaluate import evaluate
from mfnet_envs.exact import ExactGame
from mfnet_envs.policy import TablePolicy
from mfnet_envs.scenarios.sis_v0 import GO_OUT, SIS, STAY_IN, build, endemic_share
from mfnet_envs.simulator import Simulator

RATES = [(0.6, 0.2), (0.25, 0.2), (2.0, 0.5), (0.05, 0.01)]


@pytest.mark.parametrize(("beta", "delta"), RATES)
def test_the_endemic_share_is_the_fixed_point(beta: float, delta: float) -> None:
    """1 - exp(-beta i) = delta i / (1 - i), by another solver."""
    root = brentq(lambda i: 1 - math.exp(-beta * i) - delta * i / (1 - i), 1e-9, 1 - 1e-9, xtol=1e-14)
    assert endemic_share(beta, delta) == pytest.approx(root, abs=1e-9)


@pytest.mark.parametrize(("beta", "delta"), RATES)
def test_a_large_population_that_goes_out_settles_there(beta: float, delta: float) -> None:
    model = build(beta=beta, delta=delta, rows=1, cols=3)
    out, simulator, mu = model.heuristics()["out"], Simulator(model), model.initial[None]
    for _ in range(4000):
        mu, _ = simulator.mean_field_step(mu, out.individual(np.zeros((1, 6), np.int64))[0])
    np.testing.assert_allclose(mu[0, 1::2] * 3, endemic_share(beta, delta), atol=1e-6)


def test_small_rates_settle_near_one_minus_their_ratio() -> None:
    assert endemic_share(0.02, 0.005) == pytest.approx(1 - 0.005 / 0.02, abs=0.01)


@pytest.mark.parametrize(("beta", "delta"), [(0.1, 0.2), (0.2, 0.2), (0.0, 0.5)])
def test_an_infection_that_heals_faster_dies_out(beta: float, delta: float) -> None:
    assert endemic_share(beta, delta) == 0
    model = build(beta=beta, delta=delta, rows=1, cols=2, infected=0.5)
    simulator, mu = Simulator(model), model.initial[None]
    out = model.heuristics()["out"].individual(np.zeros((1, 4), np.int64))[0]
    levels = []
    for _ in range(3000):
        mu, _ = simulator.mean_field_step(mu, out)
        levels.append(mu[0, 1::2].sum())
    assert (np.diff(levels) <= 0).all() and levels[-1] < 4e-3  # at beta = delta it falls as 1 / t


def test_simulated_people_fluctuate_about_the_endemic_share() -> None:
    model = build(4000, graph=nx.empty_graph(1), infected=0.5)
    simulator, rng = Simulator(model), np.random.default_rng(0)
    counts, out, levels = simulator.reset(rng, 8), model.heuristics()["out"], []
    for t in range(200):
        counts = out.play(simulator, counts, t, rng).next_counts
        levels.append(counts[:, 1] / 4000)
    assert np.mean(levels[50:]) == pytest.approx(endemic_share(0.6, 0.2), abs=2e-3)


def test_chances_of_one_step_by_hand() -> None:
    """Three susceptible, one infected at node 0; nobody ill at node 1: 1 - exp(-.6 b / 4), .2, and 0."""
    model = build(6, graph=[[0, 1]], indoors=0.1, moving=0.5)
    change = model.branch_weights(Simulator(model).mu_hood(np.array([[3, 1, 2, 0]])))[0, :, :, 0]
    caught = [1 - math.exp(-0.6 * exposure / 4) for exposure in (0.1, 1.0, 0.5)]
    np.testing.assert_allclose(change[0], caught)
    np.testing.assert_allclose(change[[1, 3]], 0.2)
    np.testing.assert_allclose(change[2], 0)


def test_rewards_and_moves_of_the_page() -> None:
    """benefit b_a - cost 1{ill}; 0 stay in, 1 go out, j + 1 to slot j; the change of health happens on the way too."""
    model = build(6, graph=[[0, 1]], benefit=[0.5, 0.8], indoors=0.1, moving=0.5, illness_cost=2.0)
    pay = model.reward(np.zeros((1, 2, 2, 2)))[0]
    np.testing.assert_allclose(pay[0], [0.05, 0.5, 0.25])
    np.testing.assert_allclose(pay[3], [0.08 - 2, 0.8 - 2, 0.4 - 2])
    change, keep = (branch.successors[..., 0] for branch in model.branches)
    assert keep[0].tolist() == [0, 0, 2] and keep[3].tolist() == [3, 3, 1]
    assert change[0].tolist() == [1, 1, 3] and change[3].tolist() == [2, 2, 0]


def test_once_nobody_is_ill_nobody_will_be() -> None:
    model = build(infected=0.0)
    counts = Simulator(model).reset(np.random.default_rng(0), 20)
    policy, rng = model.heuristics()["random"], np.random.default_rng(1)
    for t in range(50):
        counts = policy.play(Simulator(policy.model), counts, t, rng).next_counts
    assert counts[:, 1::2].sum() == 0


SMALL: dict[str, Any] = {"population": 3, "graph": nx.path_graph(2), "benefit": [0.4, 1.0], "infected": 0.4}
SMALL["illness_cost"] = 1.7


def test_bound_is_the_optimum_without_infection() -> None:
    """beta = 0: the best planner of three people, solved exactly."""
    model = build(**SMALL, beta=0.0, horizon=40)
    game = ExactGame(model)
    assert model.bound().value == pytest.approx(game.expected(game.optimal_values(steps=40)), abs=1e-9)


@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_bound_holds_for_the_best_planner(beta: float) -> None:
    model = build(**SMALL, beta=beta, horizon=60)
    game = ExactGame(model)
    best = game.expected(game.optimal_values(steps=60))
    assert 0.5 * model.bound().value < best < model.bound().value - 0.1


def test_bound_is_the_optimum_of_two_steps() -> None:
    """Infections of the last step cost nothing, so over two steps those of the first are all: the bound is exact, also
    where it pays to stay in."""
    for beta, cost in ((0.6, 1.0), (3.0, 0.7), (3.0, 5.0)):
        model = build(3, graph=[[0, 1]], beta=beta, illness_cost=cost, infected=0.4, horizon=2)
        game = ExactGame(model)
        assert model.bound().value == pytest.approx(game.expected(game.optimal_values(steps=2)), abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_bound_holds_on_random_games(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = build(
        int(rng.integers(1, 4)), graph=[[0, 1]], benefit=rng.uniform(0, 1, 2), beta=rng.uniform(0, 3),
        delta=rng.uniform(), illness_cost=rng.uniform(0, 3), indoors=rng.uniform(0, 0.5), moving=rng.uniform(),
        infected=rng.uniform(), gamma=0.9, horizon=20,
    )  # fmt: skip
    game = ExactGame(model)
    assert game.expected(game.optimal_values(steps=20)) <= model.bound().value + 1e-9


def test_the_carefree_walk_earns_the_bound_without_infection() -> None:
    """In the limit N = infinity; walks on a grid, illness of the start included."""
    model = build(beta=0.0, infected=0.3)
    carefree = model.heuristics()["carefree"]
    assert isinstance(carefree, TablePolicy)
    simulator, mu, value = Simulator(model), model.initial[None], 0.0
    for t in range(model.evaluation[0]):
        mu, rewards = simulator.mean_field_step(mu, carefree.table[t])
        value += model.gamma**t * float(rewards.sum())
    assert value == pytest.approx(model.bound().value, abs=1e-9)


@pytest.mark.parametrize("options", [{}, {"beta": 0.1}, {"population": 20, "delta": 0.0, "horizon": 60}])
def test_every_heuristic_stays_below_the_bound(options: dict[str, Any]) -> None:
    """At beta = .1 the infection does not last, and the least careful come near; four standard errors are allowed."""
    model = build(**options)
    for name, policy in model.heuristics().items():
        report = evaluate(model, policy, worlds=12)
        assert report["discounted_return_mean"] < model.bound().value + 2 * report["discounted_return_ci95"], name


def test_going_out_together_is_worse_than_a_lockdown() -> None:
    """Fifty people: staying in for 15 steps mostly ends the infection, and the rest of the time is free."""
    model = build(50, graph=nx.path_graph(2), horizon=250)
    lockdown, out = (evaluate(model, model.heuristics()[name], worlds=64) for name in ("lockdown", "out"))
    difference = lockdown["discounted_return_mean"] - out["discounted_return_mean"]
    assert difference > lockdown["discounted_return_ci95"] + out["discounted_return_ci95"]


def test_what_the_heuristics_do() -> None:
    """90 people, 10 a node: threshold at 8 susceptible; selfish at the force where a day out costs what it is worth."""
    model = build(90, benefit=0.5)
    counts = np.tile([8, 2], 9)[None]
    counts[0, :4] = 7, 3, 0, 10
    go = {name: policy.individual(counts)[0, :, GO_OUT] for name, policy in model.heuristics().items()}
    assert go["threshold"][:6].tolist() == [0, 1, 0, 1, 1, 1]
    assert go["selfish"][:6].tolist() == [0, 1, 0, 1, 0, 1]
    assert model.heuristics()["lockdown"].individual(counts, 14)[0, 0, STAY_IN] == 1
    assert model.heuristics()["lockdown"].individual(counts, 15)[0, 0, STAY_IN] == 0


def test_where_selfish_people_stop_going_out() -> None:
    """A step out is worth .5 x .9; an infection costs 2 in every step it lasts, from the next one on."""
    model = build(1000, graph=nx.empty_graph(1), benefit=0.5, illness_cost=2.0)
    loss = sum(2 * 0.98**t * 0.8 ** (t - 1) for t in range(1, 400))
    limit = brentq(lambda i: (math.exp(-0.06 * i) - math.exp(-0.6 * i)) * loss - 0.45, 0, 1)
    infected = np.array([math.floor(1000 * limit), math.ceil(1000 * limit)])
    goes = model.heuristics()["selfish"].individual(np.column_stack([1000 - infected, infected]))[:, 0, GO_OUT]
    assert goes.tolist() == [1, 0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"population": 1},
        {"graph": nx.empty_graph(1), "beta": 5.0},
        {"graph": nx.star_graph(3), "benefit": [0, 1, 2, 3], "delta": 1.0, "illness_cost": 7.0},
        {"indoors": 0.0, "moving": 0.0, "infected": 1.0},
        {"rows": 1, "cols": 4, "beta": 0.0, "delta": 0.0},
    ],
)
def test_it_keeps_the_contract(options: dict[str, Any]) -> None:
    check_model(build(**options))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"population": 1.5}, "population must be a positive integer"),
        ({"beta": -0.1}, "beta must be a non-negative number"),
        ({"illness_cost": math.inf}, "illness_cost must be a non-negative number"),
        ({"delta": 1.1}, "delta must lie between 0 and 1"),
        ({"indoors": -0.1}, "indoors must lie between 0 and 1"),
        ({"moving": 2}, "moving must lie between 0 and 1"),
        ({"infected": math.nan}, "infected must lie between 0 and 1"),
        ({"benefit": [1.0]}, "benefit must be 9 non-negative numbers, one per node"),
        ({"cols": 0}, "cols must be a positive integer"),
        ({"horizon": 0}, "horizon must be a positive integer"),
        ({"gamma": 2.0}, "gamma must lie strictly between 0 and 1"),
    ],
)
def test_options_it_refuses(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(**options)


def test_it_is_its_own_class() -> None:
    assert isinstance(build(), SIS)
