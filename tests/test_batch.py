"""Many worlds side by side are as many independent copies of one game."""

import copy
import re
from collections.abc import Callable
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import toys
from scipy.stats import chi2_contingency

import mfnet_envs
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Simulator
from mfnet_envs.views import (
    AgentsBatch,
    AgentsEnv,
    Batch,
    CentralEnv,
    CentralVectorEnv,
    TeamsBatch,
    TeamsEnv,
    _joint,
)
from mfnet_envs.views.central import CentralBatch

FORMS = toys.every_form()
WITH_TEAMS = [name for name, model in FORMS.items() if len(model.team_states)]
ALPHA = 1e-6  # of each test of independence


def uniform_actions(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Everybody uniform over the legal actions."""
    if isinstance(batch, TeamsBatch):
        return np.zeros((batch.num_worlds, *batch.game.shape))
    legal = batch.masks()
    return (rng.random((*batch.states.shape, 1)) * legal.sum(-1, keepdims=True) > legal.cumsum(-1)).sum(-1)


def planners(model: LocalModel, worlds: int, max_cycles: int | None = None) -> CentralBatch:
    return CentralBatch(_joint.TeamGame(model), worlds, max_cycles)


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


# -- streams and seeds ----------------------------------------------------------------------------------------------


GRID: dict[str, Any] = {"population": 200}
FRESH: dict[str, Callable[[], Any]] = {
    "teams": lambda: mfnet_envs.parallel_env("MFNet-Grid-v0", "teams", **GRID),
    "agents": lambda: mfnet_envs.parallel_env("MFNet-Grid-v0", "agents", **GRID),
    "AEC": lambda: mfnet_envs.env("MFNet-Grid-v0", "teams", **GRID),
    "team batch": lambda: mfnet_envs.batch_env("MFNet-Grid-v0", "teams", 2, **GRID),
    "agent batch": lambda: mfnet_envs.batch_env("MFNet-Grid-v0", "agents", 2, **GRID),
    "central batch": lambda: planners(mfnet_envs.make_model("MFNet-Grid-v0", **GRID), 2),
    "central": lambda: gym.make("MFNet-Grid-v0", **GRID),
    "vector": lambda: gym.make_vec("MFNet-Grid-v0", num_envs=2, **GRID),
}


def crowd(env: Any) -> Any:
    """mu after a reset without a seed: 200 agents over 25 cells, whom two streams never lay out alike."""
    env.reset()
    return env.state() if hasattr(env, "state") else env.unwrapped.state()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: cloudpickle.loads(cloudpickle.dumps(env))])
@pytest.mark.parametrize("view", FRESH)
def test_copies_made_before_the_first_reset_are_different_worlds(view: str, copied: Callable[[Any], Any]) -> None:
    """A copy made later goes on as the original does."""
    env = FRESH[view]()
    twins = [copied(env), copied(env), env]
    seen = [crowd(twin) for twin in twins]
    assert not any(np.array_equal(a, b) for i, a in enumerate(seen) for b in seen[:i])
    later = copied(env)
    np.testing.assert_array_equal(crowd(later), crowd(env))


@pytest.mark.parametrize("seed", [1.5, "a", -1, True])
@pytest.mark.parametrize("view", sorted(FRESH.keys() - {"central"}))
def test_wrong_seeds_are_refused(view: str, seed: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"seed must be a non-negative integer or None, not {seed!r}")):
        FRESH[view]().reset(seed=seed)


def test_one_seed_is_not_a_list_where_nobody_has_lanes() -> None:
    with pytest.raises(ValueError, match=r"seed must be a non-negative integer or None, not \[1, 2\]"):
        FRESH["teams"]().reset(seed=[1, 2])


# -- the planner's worlds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_TEAMS)
def test_planners_play_the_worlds_of_the_teams(name: str) -> None:
    """Bit for bit the counts of the team batch under the same actions; rewards and served shares are its sums."""
    model = FORMS[name]
    central, teams = planners(model, 3), TeamsBatch(model, 3)
    central.reset(seed=3)
    teams.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(4):
        actions = rng.uniform(-1, 1, (3, *teams.game.shape))
        one, other = central.step(actions.reshape(3, -1)), teams.step(actions)
        np.testing.assert_array_equal(central.counts, teams.counts)
        np.testing.assert_allclose(one.rewards, other.rewards.sum(1), atol=1e-12)
        np.testing.assert_allclose(one.served, other.served.sum(1), atol=1e-12)
        np.testing.assert_array_equal(one.observations[:, : central.counts.shape[1]], teams.state())


def test_a_restarted_world_has_an_age_of_its_own() -> None:
    """Worlds 0 and 2 go on, world 1 starts again: it is over two steps later, and its picture says so."""
    batch = planners(mfnet_envs.make_model("MFNet-Grid-v0", **GRID), 3, 5)
    with pytest.raises(gym.error.ResetNeeded, match="reset all worlds together once"):
        batch.restart(np.array([True, False, True]))
    batch.reset(seed=0)
    zero = np.zeros((3, 125))
    batch.step(zero)
    batch.step(zero)
    before = batch.counts
    batch.restart(np.array([False, True, False]))
    assert [(batch.counts[w] == before[w]).all() for w in range(3)] == [True, False, True]
    assert (batch.counts.sum(1) == 200).all()
    batch.step(zero)
    assert batch.ages.tolist() == [3, 1, 3] and [batch.scene(w).step for w in range(3)] == [3, 1, 3]
    batch.step(zero)
    assert not batch.is_over
    batch.step(zero)
    assert batch.is_over and batch.over.tolist() == [True, False, True]
    batch.reset()
    assert batch.ages.tolist() == [0, 0, 0] and not batch.is_over


@pytest.mark.parametrize("form", [TeamsBatch, AgentsBatch, planners])
def test_a_scene_is_the_worlds_own_last_step(form: Any) -> None:
    """Who was where, did what and is where now, in the second of two worlds; before a step nothing is said of one."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=30)
    batch = form(model, 2)
    batch.reset(seed=0)
    assert batch.scene(1).before is None and batch.scene(1).step == 0
    before = batch.counts.copy()
    actions = np.zeros((2, 30), int) if form is AgentsBatch else np.zeros((2, 25 * 5)).reshape(2, *batch_shape(form))
    rewards = batch.step(actions).rewards
    scene = batch.scene(1)
    assert scene.before is not None and scene.actions is not None and scene.reward is not None
    np.testing.assert_array_equal(scene.before, before[1])
    np.testing.assert_array_equal(scene.counts, batch.counts[1])
    np.testing.assert_array_equal(scene.actions.sum(1), before[1])
    paid = np.asarray(rewards[1])
    assert scene.reward == pytest.approx(float(paid.mean() if form is AgentsBatch else paid.sum()), abs=1e-12)


def batch_shape(form: Any) -> tuple[int, ...]:
    return (25, 5) if form is TeamsBatch else (125,)


def test_every_view_hands_its_backend_to_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Simulator):
        def __init__(self, model: Any, backend: Any = None) -> None:
            super().__init__(model)
            self.asked = backend

    monkeypatch.setattr(_joint, "Simulator", Asked)
    model = toys.travelling()
    for form in (TeamsEnv, AgentsEnv, CentralEnv, CentralVectorEnv):
        assert form(model, backend="other").batch.simulator.asked == "other"  # type: ignore[attr-defined]
        assert form(model).batch.simulator.asked is None  # type: ignore[attr-defined]
