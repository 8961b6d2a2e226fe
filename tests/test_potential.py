"""Booked and shaped rewards change what is regressed on, never its mean."""

from typing import Any

import networkx as nx
import numpy as np
import pytest
import toys

from mfnet_agents.dec_neural_ac.booking import Bookkeeper
from mfnet_agents.dec_neural_ac.sampling import Rollout, Sampler
from mfnet_envs import make_model
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import TablePolicy, uniform
from mfnet_envs.scenarios import grid_v0
from mfnet_envs.simulator import Simulator

GAMMA = 0.9
MATCHINGS = ("physical", "independent")


def small(population: int = 3, matching: Any = "physical") -> grid_v0.Grid:
    """A path of three nodes, crowded enough that some are served and some are not."""
    demand = [1, 3, 2]
    return grid_v0.build(
        population, graph=nx.path_graph(3), demand=demand, gamma=GAMMA, move_cost=0.3, matching=matching
    )


def leaning(model: LocalModel) -> TablePolicy:
    """A policy without symmetry."""
    odds = np.random.default_rng(3).dirichlet(np.ones(model.num_actions), len(model.team_states))
    odds = odds * model.legal[model.team_states]
    return TablePolicy(model, odds / odds.sum(1, keepdims=True))


def rollout(model: LocalModel, policy: TablePolicy, worlds: int, steps: int) -> Rollout:
    sampler = Sampler(Simulator(model), "stationary", model.gamma, worlds, np.random.default_rng(0))
    return sampler.rollout(policy, steps)[0]


@pytest.mark.parametrize("matching", MATCHINGS)
def test_booked_rewards_have_the_mean_of_those_paid(matching: Any) -> None:
    model = small(20, matching)
    sample = rollout(model, leaning(model), 2000, 4)
    books = Bookkeeper(model, GAMMA)
    booked = books.rewards_of(books.flows(sample))
    difference = booked - sample.rewards.reshape(booked.shape)
    assert (abs(difference.mean(0)) < 4 * difference.std(0) / len(difference) ** 0.5 + 1e-12).all()


def test_booking_without_a_quota_changes_nothing() -> None:
    """All agents' actions count, and each is paid by expectation already."""
    model = small(20, "independent")
    sample = rollout(model, leaning(model), 50, 4)
    books = Bookkeeper(model, GAMMA)
    booked = books.rewards_of(books.flows(sample))
    np.testing.assert_allclose(booked, sample.rewards.reshape(booked.shape), atol=1e-12)


def sides_of_the_gradient(value: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Samples ``(L, S * A)`` of score times what follows: all actions with paid rewards, unserved ones with booked."""
    model = small()
    policy = leaning(model)
    game = ExactGame(model)
    values = game.state_values(policy).sum(1)
    simulator, rng, worlds = Simulator(model), np.random.default_rng(1), 200_000
    counts = np.tile([[2, 1, 0]], (worlds, 1))
    step = policy.play(simulator, counts, 0, rng)
    crowd = simulator.crowd(counts)[None]
    flat = {"sizes": counts[None], "actions": step.actions[None], "next_actions": step.actions[None]}
    sample = Rollout(
        crowd=crowd, next_crowd=crowd, rewards=step.team_rewards[None], served=step.served[None],
        unserved=step.unserved[None], cut=np.zeros((1, worlds), bool), team_nodes=np.arange(3), population=3, **flat,
    )  # fmt: skip
    books = Bookkeeper(model, GAMMA)
    shift = 0.0
    if value is not None:
        books.value = value
        shift = (counts @ value - GAMMA * step.next_counts @ value)[:, None] / 3
    follows = GAMMA * values[game.index(step.next_counts)][:, None]
    pi = policy.table[0]
    scores = [a - a.sum(2, keepdims=True) * pi for a in (step.actions, step.unserved)]
    paid = step.team_rewards.sum(1, keepdims=True) + follows
    booked = books.rewards_of(books.flows(sample)).sum(1, keepdims=True) + follows + shift
    centre = paid.mean()
    return tuple(s.reshape(worlds, -1) * (r - centre) for s, r in zip(scores, (paid, booked), strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("value", [None, np.array([1.0, -2.0, 4.0])], ids=["booked", "shaped"])
def test_gradient_keeps_its_mean(value: np.ndarray | None) -> None:
    """Unserved scores with booked (and shaped) rewards estimate the same gradient as all scores with paid ones.

    Shaping with any h leaves the team objective where it was: what it adds now, the potential takes back at the next
    step, and that is put back here because the exact values behind are unshaped.
    """
    plain, ours = sides_of_the_gradient(value)
    gap = plain.mean(0) - ours.mean(0)
    error = np.sqrt((plain.var(0) + ours.var(0)) / len(plain))
    assert (abs(gap) < 4.5 * error + 1e-12).all()
    assert (abs(ours.mean(0)) > 4.5 * error).any()  # there is a gradient to be found


def test_booking_lowers_the_variance() -> None:
    plain, ours = sides_of_the_gradient(None)
    assert ours.var(0).sum() < 0.9 * plain.var(0).sum()


@pytest.mark.parametrize("matching", MATCHINGS)
def test_value_of_a_lone_agent_is_its_exact_value(matching: Any) -> None:
    """With N = 1 the potential is the value function itself; flows of 40,000 steps determine it to a percent."""
    model = small(1, matching)
    policy = leaning(model)
    game = ExactGame(model)
    exact = game.state_values(policy).sum(1)[game.index(np.eye(3, dtype=int))]
    books = Bookkeeper(model, GAMMA)
    books.learn(books.flows(rollout(model, policy, 4000, 10)))
    assert books.value == pytest.approx(exact, rel=0.03)


def test_value_through_transit_is_discounted_per_step() -> None:
    """Manhattan's trips in transit: the per-agent value satisfies its own equation along every trip."""
    model = make_model("MFNet-RideShareNYC-v0", population=50)
    books = Bookkeeper(model, model.gamma)
    transit = np.flatnonzero(model.transit)
    following = model.branches[-1].successors[transit, 0, 0]
    np.testing.assert_allclose(books.delay[transit], model.gamma * books.delay[following], rtol=1e-12)
    np.testing.assert_array_equal(books.landing[transit], books.landing[following])
    assert (books.delay[model.active] == 1).all()


def test_states_that_lead_nowhere_are_worth_nothing() -> None:
    """Routing keeps impossible states of a link and a destination in transit, each leading to itself: nobody is there,
    and the table of the others is solved as if they were not."""
    model = make_model("MFNet-Routing-v0", population=40)
    books = Bookkeeper(model, model.gamma)
    assert (books.delay[model.transit] == 0).all()
    sampler = Sampler(
        Simulator(model), "stationary", model.gamma, 4, np.random.default_rng(0), {"sizes", "served", "unserved"}
    )
    sample, _ = sampler.rollout(uniform(model), 30)
    shaped = books.book(sample, learn=True)
    assert np.isfinite(shaped).all() and np.isfinite(books.value).all() and books.value.max() > 0


def test_models_it_refuses() -> None:
    with pytest.raises(ValueError, match="need a model with branch_rewards"):
        Bookkeeper(toys.deterministic(4), GAMMA)


def test_shaped_rewards_of_the_stationary_flow_vanish() -> None:
    """h = r + gamma P h on the batch's own flows: each node's shaped rewards sum to zero over that batch."""
    model = small(20)
    books = Bookkeeper(model, GAMMA)
    flows = books.flows(rollout(model, uniform(model), 100, 8))
    books.learn(flows)
    np.testing.assert_allclose(books.rewards_of(flows).sum(0), 0, atol=1e-10)
