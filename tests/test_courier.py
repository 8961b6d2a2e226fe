"""MFNet-Courier-v0 against published numbers, closed forms, exact optima and its own page."""

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy import stats

from mfnet_envs.conformance.models import check_model
from mfnet_envs.evaluate import evaluate
from mfnet_envs.exact import ExactGame
from mfnet_envs.scenarios.courier_v0 import Courier, build
from mfnet_envs.simulator import Simulator

# Reward per step and courier, steps 500 .. 1500, of an earlier, separate implementation with physical matching; printed
# with two or three digits, and counted here as a single run.
PUBLISHED = {
    50: {"wander": 0.054, "nearest": 0.097, "lp": 0.090},
    200: {"wander": 0.066, "nearest": 0.114, "lp": 0.126},
    1000: {"wander": 0.0696, "nearest": 0.1187, "lp": 0.1376},
}
WORLDS = 6


def test_the_fluid_programme_has_the_published_value() -> None:
    """0.14566 reward per step and courier, for every population."""
    for population in (1, 200):
        assert build(population).bound(fluid=True).value == pytest.approx(0.14566, abs=5e-6)


@pytest.mark.parametrize("population", PUBLISHED)
def test_heuristics_earn_what_was_published_and_no_more_than_the_bound(population: int) -> None:
    """The programme has many optimal flows; ours must do no worse than those of the publication."""
    model = build(population)
    bound, heuristics = model.bound().value, model.heuristics()
    for name, published in PUBLISHED[population].items():
        report = evaluate(model, heuristics[name], worlds=WORLDS)
        mean, deviation = report["reward_per_step_mean"], report["reward_per_step_ci95"] * math.sqrt(WORLDS) / 2.57
        allowed = 0.0005 + 5 * deviation * math.sqrt(1 + 1 / WORLDS)
        assert mean < bound, name
        assert mean > published - allowed, name
        assert name == "lp" or mean < published + allowed, name


def test_the_finite_bound_is_below_the_fluid_one_and_meets_it_in_the_limit() -> None:
    fluid = build(10).bound(fluid=True).value
    finite = [build(population).bound().value for population in (1, 10, 100, 10_000)]
    assert np.all(np.diff(finite) > 0)
    assert finite[0] < 0.75 * fluid and finite[-1] == pytest.approx(fluid, rel=1e-6)


@pytest.mark.parametrize(("capacity", "away"), [(1, 1), (3, 1), (4, 2), (2, 3)])
def test_bound_is_the_round_trip_where_customers_abound(capacity: int, away: int) -> None:
    """Load, walk ``away`` hops, deliver C parcels one a step, walk back: (C - 2 away cost) / (C + 1 + 2 away) a step.

    Every node between would also buy; there demand is zero.
    """
    wanted = [0.0] * away + [1.0]
    model = build(
        5, graph=nx.path_graph(away + 1), depots=[0], demand=wanted, total_demand=60.0, capacity=capacity, move_cost=0.1
    )
    trip = (capacity - 2 * away * 0.1) / (capacity + 1 + 2 * away)
    assert model.bound().value == pytest.approx(trip, rel=1e-9)
    assert model.bound(fluid=True).value == pytest.approx(trip, rel=1e-9)
    assert model.bound().gap < 1e-9


def test_bound_is_demand_where_couriers_abound_and_walks_are_free() -> None:
    assert build(100, total_demand=0.001, move_cost=0.0).bound(fluid=True).value == pytest.approx(0.001, rel=1e-9)


@pytest.mark.parametrize(("deadline", "sold"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (9, 3)])
def test_deadlines_cut_the_round_trip_short(deadline: int, sold: int) -> None:
    """Two hops away parcels are 2 steps old; one is sold a step while they are younger than the deadline."""
    model = build(
        5, graph=nx.path_graph(3), depots=[0], demand=[0, 0, 1], total_demand=60.0, capacity=3, move_cost=0.1,
        deadline=deadline,
    )  # fmt: skip
    trip = max(0.0, (sold - 4 * 0.1) / (sold + 1 + 4))
    assert model.bound().value == pytest.approx(trip, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("deadline", [2, 3, 4, 7])
def test_bound_holds_for_the_best_of_one_courier_with_a_deadline(deadline: int) -> None:
    """N = 1, capacity 2, depot 0 - 1 - 2: a decision process over (place, load, age), written out by hand.

    The programme only knows how many deliver at a node, not which of them, so it lies a little above.
    """
    rate, cost = (0.0, 0.2, 0.5), 0.05
    model = build(
        1, graph=nx.path_graph(3), depots=[0], demand=rate, total_demand=sum(rate), capacity=2, move_cost=cost,
        deadline=deadline,
    )  # fmt: skip
    states = [(v, c, a) for v in range(3) for c in range(3) for a in range(deadline if c else 1)]

    def older(v: int, c: int, a: int) -> tuple[int, int, int]:
        return (v, c, a + 1) if c and a + 1 < deadline else (v, 0, 0)

    value = dict.fromkeys(states, 0.0)
    for _ in range(3000):
        new = {}
        for v, c, a in states:
            q = 1 - math.exp(-rate[v]) if c else 0.0
            ways = [value[older(v, c, a)]]
            ways += [value[older(w, c, a)] - cost for w in (v - 1, v + 1) if 0 <= w <= 2]
            ways += [value[0, 2, 0]] * (v == 0)
            new[v, c, a] = q * (1 + value[older(v, c - 1, a)] if c else 0.0) + (1 - q) * max(ways)
        gain = [new[s] - value[s] for s in states]
        value = {s: 0.5 * (value[s] + new[s]) - 0.5 * new[0, 0, 0] for s in states}  # halved: no cycles
    assert max(gain) - min(gain) < 1e-6
    assert 0.85 * model.bound().value < np.mean(gain) < model.bound().value + 1e-6


def test_a_deadline_that_never_comes_changes_no_bound() -> None:
    plain, slow = build(20, rows=3, cols=3, capacity=2), build(20, rows=3, cols=3, capacity=2, deadline=60)
    assert slow.bound().value == pytest.approx(plain.bound().value, rel=1e-3)
    assert build(20, rows=3, cols=3, capacity=2, deadline=4).bound().value < 0.99 * plain.bound().value


@pytest.mark.parametrize("demand", [[0.0, 1.0, 3.0], [1.0, 0.0, 1.0]])
def test_bound_holds_for_the_best_planner(demand: list[float]) -> None:
    """The long-run optimum of all centralised policies, N = 3, from the differences of undiscounted values."""
    depot = demand.index(0.0)
    model = build(3, graph=nx.path_graph(3), depots=[depot], demand=demand, total_demand=0.3, capacity=1)
    game = ExactGame(model, gamma=1 - 1e-12)
    gain = game.optimal_values(steps=1001) - game.optimal_values(steps=1000)
    assert np.ptp(gain) < 1e-6
    assert 0.75 * model.bound().value < gain[0] < model.bound().value < model.bound(fluid=True).value


def test_deliveries_are_the_smaller_of_couriers_and_customers() -> None:
    """Five couriers of mixed loads beside one node's customers: the mean number of parcels handed over in one step."""
    model = build(5, graph=nx.path_graph(2), depots=[0], demand=[0, 1], total_demand=0.8, move_cost=0.3)
    simulator, rng = Simulator(model), np.random.default_rng(0)
    worlds = 40_000
    counts = np.zeros((worlds, 8), np.int64)
    counts[:, [4, 5, 6, 7]] = 1, 2, 1, 1  # node 1 with 0, 1, 2, 3 parcels
    actions = np.zeros((worlds, 8, model.num_actions), np.int64)
    actions[:, :, 1] = counts  # everybody wants to walk to the depot
    following, rewards = simulator.step(counts, actions, rng)
    delivered = counts @ np.tile(np.arange(4), 2) - following @ np.tile(np.arange(4), 2)
    customers = np.arange(60)
    mean = np.minimum(4, customers) @ stats.poisson.pmf(customers, 5 * 0.8)
    assert abs(delivered.mean() - mean) < 4.5 * delivered.std() / math.sqrt(worlds)
    assert rewards.sum(1) == pytest.approx((mean - 0.3 * (5 - mean)) / 5)
    assert (following[:, 4:].sum(1) == delivered).all()  # who delivers stays, the others have left
    assert (following[:, :4].sum(1) == 5 - delivered).all()


def test_rewards_are_earned_branch_by_branch() -> None:
    model = build(30, rows=2, cols=3)
    rng = np.random.default_rng(1)
    hood = Simulator(model).mu_hood(rng.multinomial(30, rng.dirichlet(np.ones(24), 20)))
    by_branch = (model.branch_weights(hood) * model.branch_rewards()).sum(-1)
    np.testing.assert_allclose(by_branch, model.reward(hood), atol=1e-12)


def test_actions_of_the_page() -> None:
    """0 stays, j walks to slot j with the load unchanged, the last one loads: at depots, bags that are not full."""
    model = build(rows=1, cols=3, capacity=2, depots=[1])
    assert model.load_action == 3
    assert np.flatnonzero(model.legal[:, 3]).tolist() == [3, 4]  # the middle node with 0 and 1 parcels
    act = model.branches[1].successors[..., 0]
    assert act[3].tolist() == [3, 0, 6, 5] and act[4].tolist() == [4, 1, 7, 5]
    assert model.legal[0].tolist() == [True, True, False, False]
    deliver = model.branches[0].successors[:, 0, 0]
    assert deliver[[1, 2, 7]].tolist() == [0, 1, 6]
    assert np.flatnonzero(model.initial).tolist() == [5]  # full bags at the depot


def test_depots_by_default() -> None:
    """The middle cell, and a central node of a graph; nobody asks for parcels there."""
    assert np.flatnonzero(build().depots).tolist() == [12]
    assert np.flatnonzero(build(graph=nx.path_graph(5)).depots).tolist() == [2]
    model = build(depots=[0, 24])
    assert model.demand[[0, 24]].tolist() == [0, 0] and model.demand.sum() == pytest.approx(0.15)
    assert model.initial.reshape(25, 4)[[0, 24], 3].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"population": 1},
        {"capacity": 1},
        {"depots": [0, 24], "move_cost": 0.0},
        {"graph": nx.cycle_graph(6), "demand": [1, 0, 2, 3, 0, 1]},
        {"graph": [[0, 1], [1, 2], [1, 3]], "capacity": 5},
        {"total_demand": 0.0},
        {"rows": 2, "cols": 1, "population": 5000},
        {"rows": 3, "cols": 2, "deadline": 4},
        {"rows": 2, "cols": 2, "deadline": 1, "capacity": 1},
    ],
)
def test_it_keeps_the_contract(options: dict[str, Any]) -> None:
    check_model(build(**options))


def test_the_fluid_limit_keeps_the_contract() -> None:
    check_model(build().fluid())


def test_every_heuristic_stays_below_the_bound_on_another_graph() -> None:
    for more in ({"horizon": 600, "warmup": 200}, {"horizon": 200, "warmup": 80, "deadline": 6}):
        model = build(60, graph=nx.barbell_graph(4, 2), depots=[0, 9], **more)
        bound = model.bound().value
        for name, policy in model.heuristics().items():
            assert evaluate(model, policy, worlds=4)["reward_per_step_mean"] < bound, name


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"population": 0}, "population must be a positive integer"),
        ({"rows": 0}, "rows must be a positive integer"),
        ({"capacity": 0}, "capacity must be a positive integer"),
        ({"capacity": 1.5}, "capacity must be a positive integer"),
        ({"deadline": 0}, "deadline must be a positive integer"),
        ({"deadline": 10**12}, "parcels of ages below deadline=1000000000000 for each of rows x cols nodes need"),
        ({"move_cost": -1}, "move_cost must be a non-negative number"),
        ({"total_demand": math.inf}, "total_demand must be a non-negative number"),
        ({"demand": [1.0, 2.0]}, "demand must be 25 non-negative numbers"),
        ({"demand": np.eye(25)[12]}, "demand must be positive somewhere outside the depots"),
        ({"depots": []}, "depots must be a list of nodes, at least one of 0 .. 24"),
        ({"depots": [25]}, "depots must be a list of nodes, at least one of 0 .. 24"),
        ({"depots": 3}, "depots must be a list of nodes, at least one of 0 .. 24"),
        ({"graph": [[0, 1, 2]]}, "graph must be a networkx graph or a list of edges"),
        ({"graph": [[0, 1], [2, 3]]}, "falls into 2 parts"),
        ({"horizon": 0}, "horizon must be a positive integer"),
        ({"warmup": 1500}, r"warmup must be an integer 0 \.\. 1499"),
        ({"gamma": 1.0}, "gamma must lie strictly between 0 and 1"),
    ],
)
def test_options_it_refuses(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(**options)


def test_it_is_its_own_class() -> None:
    assert isinstance(build(), Courier)
