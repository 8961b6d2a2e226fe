"""Many worlds side by side are as many independent copies of one game."""

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import toys
from scipy.stats import chi2_contingency

import mfnet_envs
from mfnet_envs.exact import ExactGame
from mfnet_envs.views import AgentsBatch, AgentsEnv, Batch, TeamsBatch, TeamsEnv

FORMS = toys.every_form()
WITH_TEAMS = [name for name, model in FORMS.items() if len(model.team_states)]
ALPHA = 1e-6  # of each test of independence


def uniform_actions(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Everybody uniform over the legal actions."""
    if isinstance(batch, TeamsBatch):
        return np.zeros((batch.num_worlds, *batch.game.shape))
    legal = batch.masks()
    return (rng.random((*batch.states.shape, 1)) * legal.sum(-1, keepdims=True) > legal.cumsum(-1)).sum(-1)


@pytest.mark.parametrize("form", [AgentsBatch, TeamsBatch])
@pytest.mark.parametrize("name", WITH_TEAMS)
def test_every_world_has_the_enumerated_law_and_knows_nothing_of_its_neighbour(name: str, form: Any) -> None:
    """One step of 4,000 worlds from one situation, against enumeration; neighbours in pairs, for independence."""
    model = FORMS[name]
    exact, batch = ExactGame(model), form(model, 4000)
    batch.reset(seed=5)
    states = np.random.default_rng(1).permutation(np.resize(model.team_states, model.population))
    counts = np.bincount(states, minlength=model.network.num_states)
    batch.counts = np.tile(counts, (4000, 1))
    if form is AgentsBatch:
        batch.states = np.tile(states, (4000, 1))
    batch.step(uniform_actions(batch, np.random.default_rng(2)))
    pi = model.legal / model.legal.sum(1, keepdims=True)
    law = exact.transition(np.repeat(pi[:, None], model.population + 1, 1))[exact.index(counts)]
    after = exact.index(batch.counts)
    assert toys.fits(np.bincount(after, minlength=len(law)), law)
    kinds, codes = np.unique(after, return_inverse=True)
    if len(kinds) > 1:
        table = np.zeros((len(kinds), len(kinds)))
        np.add.at(table, (codes[::2], codes[1::2]), 1)
        often = table.sum(0) + table.sum(1) > 200
        assert chi2_contingency(table[np.ix_(often, often)]).pvalue > ALPHA


@pytest.mark.parametrize("options", [{}, {"observe": 2}, {"observe": "hood", "state_encoding": "coordinates"}])
@pytest.mark.parametrize(("form", "view"), [(AgentsBatch, AgentsEnv), (TeamsBatch, TeamsEnv)])
@pytest.mark.parametrize("id", ["MFNet-Grid-v0", "MFNet-Courier-v0", "MFNet-RideShareNYC-v0"])
def test_each_world_looks_like_a_view_in_that_situation(id: str, form: Any, view: Any, options: Any) -> None:
    """Row w of what the batch shows is what a view of one world shows when it is laid out like world w."""
    model = mfnet_envs.make_model(id, population=40)  # more than the grid's states, fewer than those of the others
    batch, one = form(model, 5, **options), view(model, **options)
    one.reset(seed=1)
    batch.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(3):
        stepped = batch.step(uniform_actions(batch, rng))
    for w in range(5):
        toys.put(one, batch.counts[w], batch.states[w] if form is AgentsBatch else None)
        one.batch.clock = batch.clock
        np.testing.assert_array_equal(stepped.observations[w], one.batch.observe()[0])
        np.testing.assert_array_equal(batch.masks()[w], one.batch.masks()[0])
        np.testing.assert_array_equal(batch.state()[w], one.state())
        if form is AgentsBatch:
            np.testing.assert_array_equal(batch.counts[w], np.bincount(batch.states[w], minlength=len(batch.counts[w])))
    assert len(np.unique(batch.counts, axis=0)) == 5


@pytest.mark.parametrize("worlds", [1, 3])
def test_teams_and_agents_are_paid_the_same_in_every_world(worlds: int) -> None:
    """The teams play the very shares that the agents chose: (7) summed is the mean of (1)."""
    model = mfnet_envs.make_model("MFNet-Courier-v0", population=40)
    agents, teams = AgentsBatch(model, worlds), TeamsBatch(model, worlds, action="shares", flow="round")
    agents.reset(seed=0)
    teams.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(10):
        chosen = uniform_actions(agents, rng)
        shares = np.zeros((worlds, *model.legal.shape))
        for w in range(worlds):
            np.add.at(shares[w], (agents.states[w], chosen[w]), 1.0)
        shares /= np.maximum(shares.sum(-1, keepdims=True), 1)
        teams.counts = agents.counts
        paid = teams.step(shares[:, model.team_states]).rewards
        np.testing.assert_allclose(paid.sum(1), agents.step(chosen).rewards.mean(1), atol=1e-12)


def test_the_mean_reward_is_each_worlds_own() -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=10)
    mean, own = AgentsBatch(model, 3, reward="mean"), AgentsBatch(model, 3)
    for batch in (mean, own):
        batch.reset(seed=0)
    stay = np.zeros((3, 10), int)
    shared, single = mean.step(stay).rewards, own.step(stay).rewards
    np.testing.assert_array_equal(shared, np.repeat(single.mean(1)[:, None], 10, 1))
    assert len(np.unique(shared)) == 3


def test_all_worlds_end_together_and_want_a_reset() -> None:
    batch = mfnet_envs.batch_env("MFNet-Grid-v0", "agents", 2, population=5, max_cycles=2)
    with pytest.raises(gym.error.ResetNeeded, match="has not been reset"):
        batch.step(np.zeros((2, 5), int))
    batch.reset(seed=0)
    assert [batch.step(np.zeros((2, 5), int)).truncated for _ in range(2)] == [False, True]
    with pytest.raises(gym.error.ResetNeeded, match="the episode is over"):
        batch.step(np.zeros((2, 5), int))


def test_every_call_returns_fresh_arrays() -> None:
    batch = mfnet_envs.batch_env("MFNet-Grid-v0", "teams", 2, population=5)
    kept = [batch.reset(seed=0), batch.observe(), batch.masks(), batch.masks(), batch.state(), batch.state()]
    for _ in range(2):
        kept += [a for a in batch.step(uniform_actions(batch, np.random.default_rng(0))) if isinstance(a, np.ndarray)]
    for i, one in enumerate(kept):
        assert not any(np.shares_memory(one, other) for other in kept[i + 1 :])


@pytest.mark.parametrize(
    ("actions", "sentence"),
    [
        (np.zeros((2, 4), int), "actions must be (2,) x 5 whole numbers in 0..4, one per agent, not shape (2, 4)"),
        (np.zeros((2, 5)), "actions must be (2,) x 5 whole numbers in 0..4, one per agent, not float64"),
        ([[0] * 5, [0, 0, 7, 0, 0]], "the action of agent_2 is 7; it must be a whole number in 0..4"),
    ],
)
def test_wrong_actions_are_answered_in_a_sentence(actions: Any, sentence: str) -> None:
    batch = mfnet_envs.batch_env("MFNet-Grid-v0", "agents", 2, population=5)
    batch.reset(seed=0)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        batch.step(actions)


@pytest.mark.parametrize(("view", "worlds"), [("central", 1), ("agents", 0), ("agents", True), ("teams", 2.0)])
def test_wrong_batches_are_refused(view: str, worlds: Any) -> None:
    with pytest.raises(ValueError, match=r"view must be 'teams' or 'agents'|num_worlds must be a positive integer"):
        mfnet_envs.batch_env("MFNet-Grid-v0", view, worlds)
