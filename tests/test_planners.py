"""Planners against the exact optimum, other programmes, closed forms and differences."""

from typing import Any

import numpy as np
import pytest
import torch

import mfnet_envs
from mfnet_envs.evaluate import returns
from mfnet_envs.exact import ExactGame
from mfnet_envs.exact.search import best_individual
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import one_hot
from mfnet_envs.programmes import GradientReplan, Replan, Together, class_reference, horizon_lp, planners, transport_lp
from mfnet_envs.programmes.class_reference import Fragments, Knotted
from mfnet_envs.scenarios.grid_v0 import Grid


def line(population: int, **options: Any) -> Grid:
    """Three nodes in a row, most riders at one end, moves that cost."""
    return Grid(population=population, rows=1, cols=3, demand=[1.0, 0.2, 0.5], **({"gamma": 0.9} | options))


# -- the programme


def test_from_the_first_law_it_is_the_programme_of_the_bound() -> None:
    model = Grid(population=20, rows=3, cols=3, horizon=25)
    plan = horizon_lp.Horizon(model, model.crowding(), 25, model.gamma).solve(model.population * model.initial)
    bound = transport_lp.solve(model._transport(), fluid=False)
    assert plan.value / model.population == pytest.approx(bound.value, rel=1e-9)
    assert plan.gap < 1e-9


@pytest.mark.parametrize(
    ("id", "options"),
    [
        ("MFNet-RideShareNYC-v0", {}),
        ("MFNet-RideShareNYC-v0", {"occupied": "markov", "population": 80, "hour": 3}),
        ("MFNet-Courier-v0", {}),
        ("MFNet-Courier-v0", {"rows": 2, "cols": 2, "capacity": 1}),
    ],
)
def test_in_the_steady_state_it_is_the_programme_of_the_bound(id: str, options: dict[str, Any]) -> None:
    model = mfnet_envs.make_model(id, **options)
    value, prices = horizon_lp.stationary(model, model.crowding())
    bound = model.bound()
    assert bound is not None
    assert model.headline.scale * value / model.population == pytest.approx(bound.value, rel=1e-6)
    # a step more of an agent is worth what the population's price says: the value of one agent more
    more = mfnet_envs.make_model(id, **options)
    more.population += 1
    assert horizon_lp.stationary(more, more.crowding())[0] - value <= prices.per_step + 1e-9  # concave in N


@pytest.mark.parametrize("matching", ["physical", "independent"])
def test_no_policy_beats_the_programme_from_any_crowd(matching: Any) -> None:
    model = line(4, matching=matching)
    game = ExactGame(model)
    optimum = game.optimal_values(steps=40) * model.population
    programme = horizon_lp.Horizon(model, model.crowding(), 40, model.gamma)
    bounds = np.array([programme.solve(counts).value for counts in game.count_vectors])
    assert (bounds >= optimum - 1e-9).all()
    assert (bounds <= 1.25 * optimum).all()


def test_fares_that_a_subclass_changes_are_planned_for() -> None:
    class Dearer(Grid):
        def branch_rewards(self) -> Any:
            return 3 * super().branch_rewards()

    plain, dear = (kind(population=6, rows=1, cols=3) for kind in (Grid, Dearer))
    values = [
        horizon_lp.Horizon(model, model.crowding(), 5, 0.9).solve(np.array([6, 0, 0])).value for model in (plain, dear)
    ]
    assert values[1] == pytest.approx(3 * values[0])

    class Luckier(Grid):
        def served(self, mu_hood: Any) -> Any:
            return 0 * super().served(mu_hood) + 1

    assert Luckier(population=6, rows=1, cols=3).crowding() is None


def test_agents_in_transit_are_expected_where_and_when_they_arrive() -> None:
    model = mfnet_envs.make_model("MFNet-RideShareNYC-v0")
    programme = horizon_lp.Horizon(model, model.crowding(), 8, 1.0)
    rng = np.random.default_rng(0)
    counts = rng.multinomial(5000, np.full(model.network.num_states, 1 / model.network.num_states))
    arriving = programme.arriving(counts)
    # walk them there, one hop after another, nobody else moving
    simulator = mfnet_envs.Simulator(model)
    now = np.where(model.transit, counts, 0)[None]
    pi = one_hot(model, np.zeros(len(model.team_states), int)).individual(now)
    assert (arriving[0] == counts[model.active]).all()
    for t in range(1, 8):
        now = simulator.mean_field_step(now / 5000, pi)[0] * 5000
        landed = now[0, model.active]
        assert landed == pytest.approx(arriving[t])
        now[0, model.active] = 0


# -- planning again


@pytest.mark.parametrize("horizon", [1, 3])
def test_one_agent_is_planned_for_as_well_as_can_be(horizon: int) -> None:
    """phi is linear up to one agent, so the programme is the agent's own decision problem, prices are its values, and
    however short the plan is, it is the best."""
    model = line(1)
    game = ExactGame(model)
    planner = Replan(model, horizon=horizon)
    assert game.objective(planner) == pytest.approx(game.expected(game.optimal_values()), rel=1e-6)
    nearsighted = Replan(model, horizon=horizon)
    nearsighted._programmes = [(model, horizon_lp.Horizon(model, model.crowding(), horizon, model.gamma))]
    assert game.objective(nearsighted) < 0.97 * game.objective(planner)  # the terminal values did that


@pytest.mark.parametrize("matching", ["physical", "independent"])
def test_it_comes_near_the_central_optimum(matching: Any) -> None:
    model = line(5, matching=matching)
    game = ExactGame(model)
    best, played = game.expected(game.optimal_values()), game.objective(Replan(model, horizon=6))
    assert 0.98 * best < played < best + 1e-9


def test_prices_stand_for_a_long_horizon() -> None:
    model = mfnet_envs.make_model("MFNet-Courier-v0", rows=2, cols=3, population=12, capacity=2)
    crowding = model.crowding()
    counts = mfnet_envs.Simulator(model).reset(np.random.default_rng(0))[0]
    value, prices = horizon_lp.stationary(model, crowding)
    short, long = (horizon_lp.Horizon(model, crowding, steps, 1.0, prices).solve(counts) for steps in (3, 40))
    assert long.value - short.value == pytest.approx(37 * value, rel=0.01)


def test_a_plan_is_played_on_and_worlds_are_planned_for_in_processes() -> None:
    model = line(9)
    counts = np.array([[9, 0, 0], [3, 3, 3], [0, 1, 8]])
    every = Replan(model, horizon=4, every=2)
    first = every.teams(counts, 0)
    assert (first == Replan(model, horizon=4).teams(counts, 0)).all()
    assert (every.teams(counts[::-1], 1) == every.teams(counts, 1)).all()  # the plan is kept, whatever came
    assert (every.teams(counts, 2) == first).all()
    assert (Replan(model, horizon=4, workers=2).teams(counts, 0) == first).all()


def test_what_cannot_be_planned_for_is_refused() -> None:
    model = line(4)
    with pytest.raises(ValueError, match="every must be at most the horizon, 3 steps, not 4"):
        Replan(model, horizon=3, every=4)
    with pytest.raises(NotImplementedError, match=r"SIS has no convex programme .*GradientReplan"):
        Replan(mfnet_envs.make_model("MFNet-SIS-v0"))
    assert set(planners(model)) == {"replan", "class_reference"}
    assert isinstance(planners(mfnet_envs.make_model("MFNet-SIS-v0"))["replan"](), GradientReplan)


def test_teams_that_draw_together_are_off_by_less_than_one() -> None:
    policy = line(50).heuristics()["proportional"]
    rng = np.random.default_rng(0)
    counts = np.tile([[7, 0, 43]], (4000, 1))
    drawn = Together(policy).sample(counts, 0, rng)
    wanted = counts[..., None] * policy.teams(counts, 0)
    assert (drawn.sum(-1) == counts).all()
    assert (np.abs(drawn - wanted) < 1).all()
    assert np.abs((drawn - wanted).mean(0)).max() < 5 * 0.5 / np.sqrt(4000)  # 5 standard errors, at most


def test_transmitters_are_as_many_as_is_best() -> None:
    model = mfnet_envs.make_model("MFNet-Resource-v0", mode="aloha", channels=2, population=60, rows=2, cols=2)
    bound = model.bound()
    earned = returns(model, Together(Replan(model, horizon=2)), worlds=2, steps=6)
    assert earned[:, 4:] == pytest.approx(bound.value)  # of two channels one or two transmitters get one success


def test_crowds_follow_bandwidth() -> None:
    model = mfnet_envs.make_model("MFNet-Resource-v0", rows=2, cols=2, population=40)
    bound = model.bound()
    earned = returns(model, Together(Replan(model, horizon=4)), worlds=1, steps=16)
    assert 0.985 * bound.value < earned[0, 6:].mean() <= bound.value


# -- by gradients


def test_without_infection_everybody_walks_to_the_best_place() -> None:
    options = {"rows": 1, "cols": 3, "population": 30, "beta": 0.0, "infected": 0.0, "gamma": 0.9, "horizon": 5}
    model = mfnet_envs.make_model("MFNet-SIS-v0", **options)
    bound = model.bound()  # exact here, by value iteration
    assert bound is not None
    planner = GradientReplan(model, horizon=5, first=80, iterations=2)
    first = model.population * model.initial[None]
    even = np.where(model.legal, 0.0, -1e9)
    plan = planner.climbed(np.broadcast_to(even, (1, 5, *even.shape)), first, 0, 80)
    reached = float(planner.value(torch.tensor(plan), first, 0)[0])
    assert 0.98 * bound.value < reached < bound.value + 1e-6
    counts = mfnet_envs.Simulator(model).reset(np.random.default_rng(0), 2)
    begun = planner.teams(counts, 0)
    kept = planner.teams(counts, 1)  # goes on from the plan it had: surer of the same
    assert (kept.argmax(-1)[:, ::2] == begun.argmax(-1)[:, ::2]).mean() > 0.6
    assert (planner.teams(counts, 0) == begun).all()


@pytest.mark.parametrize(
    "model",
    [
        mfnet_envs.make_model("MFNet-SIS-v0", rows=1, cols=3),
        mfnet_envs.make_model("MFNet-RideShareNYC-v0", occupied="markov"),
        mfnet_envs.make_model("MFNet-TwoByTwo-v0"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_gradient_is_that_of_differences(model: LocalModel) -> None:
    rng = np.random.default_rng(1)
    policy = Knotted(model, clock=2, hops=1)
    legal = policy.logits > -1
    policy.logits[legal] = rng.normal(size=legal.sum())
    policy.around[...] = 0.3 * rng.normal(size=policy.around.shape)
    game = Fragments(policy, 6, limit=True)
    game.learnt = game.steps
    start = game.start(rng, 1)

    def value(tables: list[np.ndarray]) -> float:
        return float(game.value([torch.tensor(table) for table in tables], start, 0, rng)[0])

    weights = [torch.tensor(table, requires_grad=True) for table in (policy.logits, policy.around)]
    game.value(weights, start, 0, rng)[0].backward()
    for k, table in enumerate((policy.logits, policy.around)):
        grad = weights[k].grad
        assert grad is not None and torch.isfinite(grad).all()
        direction = rng.normal(size=table.shape) * (table > -1)
        ahead, behind = ([policy.logits, policy.around] for _ in range(2))
        ahead[k], behind[k] = table + 1e-5 * direction, table - 1e-5 * direction
        slope = (value(ahead) - value(behind)) / 2e-5
        assert float((grad * torch.tensor(direction)).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-12)


def test_only_decisions_with_a_future_are_learnt() -> None:
    model = line(6)
    policy = Knotted(model, clock=8)
    game = Fragments(policy, 8, limit=False)
    rng = np.random.default_rng(0)
    weights = [torch.tensor(table, requires_grad=True) for table in (policy.logits, policy.around)]
    value, halfway = game.value(weights, game.start(rng, 5), 0, rng)
    value.backward()
    moved = weights[0].grad.abs().sum((1, 2, 3)) > 0  # type: ignore[union-attr]
    assert moved.tolist() == [True] * 4 + [False] * 4
    assert halfway.dtype.kind == "i" and (halfway.sum(1) == 6).all()


def test_it_finds_the_best_of_its_class() -> None:
    model = line(3, matching="independent", gamma=0.7)
    game = ExactGame(model)
    best = best_individual(game, np.random.default_rng(0), starts=2).value
    policy = class_reference(model, rng=np.random.default_rng(0), steps=8, worlds=16, iterations=100)
    assert (policy.knots[:, :4] == np.arange(4)).all()  # so the class is that of all pi(s, n)
    assert 0.985 * best < game.objective(policy) < best + 1e-6


@pytest.mark.parametrize("id", ["MFNet-RideShareNYC-v0", "MFNet-Packet-v0", "MFNet-Routing-v0", "MFNet-Braess-v0"])
def test_every_kind_of_model_is_climbed(id: str) -> None:
    model = mfnet_envs.make_model(id)
    policy = class_reference(model, rng=np.random.default_rng(0), steps=4, worlds=2, iterations=2, hops=1)
    legal = model.legal[model.team_states]
    counts = mfnet_envs.Simulator(model).reset(np.random.default_rng(0), 2)
    pi = policy.teams(counts, 0)
    assert (pi[:, ~legal] == 0).all() and np.allclose(pi.sum(-1), 1)
    assert np.abs(policy.logits[policy.logits > -1]).max() > 0
