"""Four views, one game: the same actions give the same counts, the same rewards and the same law in all of them."""

from typing import Any

import networkx as nx
import numpy as np
import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import poisson

import mfnet_envs
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.registration import scenarios
from mfnet_envs.views import AgentsEnv, CentralEnv, TeamsEnv
from mfnet_envs.views._joint import TeamGame, largest_remainder, payees

IDS = sorted(scenarios())
FORMS = toys.every_form()
SMALL: dict[str, LocalModel] = {**FORMS, **{i: mfnet_envs.make_model(i, population=60) for i in IDS}}
WITH_TEAMS = [name for name, model in SMALL.items() if len(model.team_states)]


# -- teams and central ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", ["sample", "round"])
@pytest.mark.parametrize("action", ["logits", "shares"])
@pytest.mark.parametrize("name", WITH_TEAMS)
def test_teams_and_central_follow_one_stream(name: str, action: Any, flow: Any) -> None:
    """Bit for bit: counts; rewards and served shares add up."""
    model = SMALL[name]
    teams = TeamsEnv(model, action=action, flow=flow, max_cycles=12)
    central = CentralEnv(model, action=action, flow=flow, max_episode_steps=12)
    teams.reset(seed=11)
    central.reset(seed=11)
    central.action_space.seed(11)
    while teams.agents:
        joint = central.action_space.sample()
        rows = joint.reshape(len(teams.possible_agents), -1)
        _, rewards, _, truncated, infos = teams.step(dict(zip(teams.possible_agents, rows, strict=True)))
        _, reward, _, cut, info = central.step(joint)
        np.testing.assert_array_equal(teams.counts, central.counts)
        assert sum(rewards.values()) == pytest.approx(reward, abs=1e-12)
        assert sum(i["served"] for i in infos.values()) == pytest.approx(info["served"], abs=1e-12)
        assert set(truncated.values()) == {cut}


@pytest.mark.parametrize("name", WITH_TEAMS)
def test_the_first_situation_is_the_same_in_all_views(name: str) -> None:
    model = SMALL[name]
    views = [TeamsEnv(model), CentralEnv(model), AgentsEnv(model)]
    for view in views:
        view.reset(seed=4)
    np.testing.assert_array_equal(views[0].counts, views[1].counts)
    np.testing.assert_array_equal(views[0].counts, views[2].counts)
    np.testing.assert_array_equal(views[0].state(), views[2].state())


# -- teams and agents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_TEAMS)
def test_the_teams_rewards_sum_to_the_agents_mean(name: str) -> None:
    """The agents play at random; the teams play the very shares the agents chose: (7) summed is the mean of (1)."""
    model = SMALL[name]
    agents = AgentsEnv(model, max_cycles=25)
    teams = TeamsEnv(model, action="shares", flow="round", max_cycles=10**6)
    teams.reset(seed=0)
    agents.reset(seed=0)
    rng = np.random.default_rng(0)
    while agents.agents:
        actions = rng.integers(0, model.num_actions, model.population)
        shares = np.zeros(model.legal.shape)
        np.add.at(shares, (agents.states, actions), 1 / np.maximum(agents.counts, 1)[agents.states])
        toys.put(teams, agents.counts)
        earned = teams.step_array(shares[model.team_states])[1]
        paid = agents.step_array(actions)[1]
        assert earned.sum() == pytest.approx(paid.mean(), abs=1e-12)


@pytest.mark.parametrize("name", [name for name in FORMS if name in WITH_TEAMS])
def test_agents_and_teams_have_the_enumerated_law(name: str) -> None:
    """One step from a fixed situation, everybody uniform over the legal actions: both views against enumeration."""
    model = FORMS[name]
    pi = model.legal / model.legal.sum(1, keepdims=True)
    exact = ExactGame(model)
    states = np.random.default_rng(1).permutation(np.resize(model.team_states, model.population))
    counts = np.bincount(states, minlength=model.network.num_states)
    start = int(exact.index(counts))
    law = exact.transition(np.repeat(pi[:, None], model.population + 1, 1))[start]
    for steps in (agent_steps, team_steps):
        seen = np.bincount(exact.index(steps(model, states, counts, 3000)), minlength=len(law))
        assert toys.fits(seen, law), steps.__name__


def agent_steps(model: LocalModel, states: np.ndarray, counts: np.ndarray, times: int) -> np.ndarray:
    env, rng = AgentsEnv(model, max_cycles=10**9), np.random.default_rng(2)
    env.reset(seed=3)
    chances = (model.legal / model.legal.sum(1, keepdims=True)).cumsum(1)[states]
    after = np.empty((times, len(counts)), np.int64)
    for t in range(times):
        toys.put(env, counts, states)
        env.step_array((rng.random((len(states), 1)) > chances).sum(1))
        after[t] = env.counts
    return after


def team_steps(model: LocalModel, states: np.ndarray, counts: np.ndarray, times: int) -> np.ndarray:
    env = TeamsEnv(model, max_cycles=10**9)
    env.reset(seed=3)
    equal = np.zeros((len(model.team_states), model.num_actions))
    after = np.empty((times, len(counts)), np.int64)
    for t in range(times):
        toys.put(env, counts)
        env.step_array(equal)
        after[t] = env.counts
    return after


def test_the_chi_square_test_sees_a_wrong_law() -> None:
    law = np.array([0.2, 0.3, 0.5])
    assert toys.fits(np.array([800, 1200, 2000]), law)
    assert not toys.fits(np.array([950, 1050, 2000]), law)
    assert not toys.fits(np.array([1, 1600, 2399]), np.array([0.0, 0.4, 0.6]))


def test_agents_start_independently_from_the_initial_law() -> None:
    """Two agents, every pair of first states: the product of the initial law with itself."""
    model = toys.travelling(population=2)
    env = AgentsEnv(model)
    seen = np.zeros((6, 6), int)
    env.reset(seed=0)
    for _ in range(4000):
        env.reset_array()
        seen[tuple(env.states)] += 1
    assert toys.fits(seen.reshape(-1), np.outer(model.initial, model.initial).reshape(-1))


# -- actions --------------------------------------------------------------------------------------------------------


def test_logits_are_a_masked_softmax() -> None:
    game = TeamGame(mfnet_envs.make_model("MFNet-Grid-v0"), logit_scale=3.0)
    actions = np.random.default_rng(0).uniform(-1, 1, (2, *game.shape))
    pi = game.policy(actions)
    for world, team in np.ndindex(pi.shape[:2]):
        legal = game.legal[team]
        np.testing.assert_allclose(pi[world, team, legal], softmax(3 * actions[world, team, legal]), rtol=1e-12)
        assert (pi[world, team, ~legal] == 0).all()


def test_shares_are_normalised_and_all_zero_means_uniform() -> None:
    game = TeamGame(mfnet_envs.make_model("MFNet-Grid-v0"), action="shares")
    actions = np.zeros((1, *game.shape))
    actions[0, 12] = (0.2, 0.0, 0.2, 0.0, 0.4)
    pi = game.policy(actions)
    np.testing.assert_allclose(pi[0, 12], (0.25, 0, 0.25, 0, 0.5))
    np.testing.assert_allclose(pi[0, 0], np.array([1, 0, 1, 1, 0]) / 3)  # upper left corner: no up, no left


def test_largest_remainder_on_a_known_apportionment() -> None:
    """Votes of the textbook example of the Hare quota, ten seats: 5, 2, 1, 1, 1, 0."""
    votes = np.array([47_000, 16_000, 15_800, 12_000, 6_100, 3_100])
    assert largest_remainder(np.array(10), votes / votes.sum()).tolist() == [5, 2, 1, 1, 1, 0]


@given(st.integers(0, 10**9), st.lists(st.floats(0, 1), min_size=2, max_size=11).filter(lambda x: sum(x) > 1e-3))
def test_largest_remainder_loses_nobody(n: int, weights: list[float]) -> None:
    shares = np.array(weights) / sum(weights)
    whole = largest_remainder(np.array([n]), shares[None])[0]
    assert whole.sum() == n and (whole >= 0).all()
    assert np.abs(whole - n * shares).max() < 1 + 1e-6
    assert not whole[(shares == 0)].any() or n * shares.max() < 1


def test_an_action_that_is_not_legal_is_played_as_stay() -> None:
    """Everybody in a corner of the grid who drives off it stays there, unless a rider takes him along."""
    env = AgentsEnv(mfnet_envs.make_model("MFNet-Grid-v0", population=40, total_demand=0.0))
    env.reset(seed=0)
    env.states[:] = 0
    env.step_array(np.full(40, 4))
    assert (env.states == 0).all()


# -- who is paid ----------------------------------------------------------------------------------------------------


def choosing(network: StateNetwork, states: list[int]) -> LocalModel:
    """A model in which only ``states`` have a choice."""
    legal = np.zeros((network.num_states, 2), bool)
    legal[:, 0] = True
    legal[states, 1] = True
    stay = Branch.to(np.arange(network.num_states)[:, None])
    return toys.CrowdModel(network=network, population=5, num_actions=2, branches=(stay,), legal=legal)


def test_a_state_without_a_choice_pays_the_nearest_team() -> None:
    assert payees(choosing(StateNetwork.line(6), [2, 3])).tolist() == [0, 0, 0, 1, 1, 1]
    assert payees(choosing(StateNetwork.line(5), [0, 4])).tolist() == [0, 0, 0, 1, 1]  # the middle: lowest index
    assert payees(choosing(StateNetwork.ring(4), [1, 3])).tolist() == [0, 0, 0, 1]
    # two layers: node 0 has teams in both, node 1 in none, node 2 in its second layer
    assert payees(choosing(StateNetwork.line(3, layers=2), [0, 1, 5])).tolist() == [0, 1, 0, 0, 2, 2]


def test_paying_is_by_distance_on_any_graph() -> None:
    """Against networkx: the team of the nearest node, ties to the lowest index."""
    graph = nx.connected_watts_strogatz_graph(40, 4, 0.3, seed=1)
    network, teams = StateNetwork(graph), [3, 8, 21, 30]
    length = dict(nx.all_pairs_shortest_path_length(graph))
    wanted = [min(range(4), key=lambda i: (length[v][teams[i]], teams[i])) for v in range(40)]
    assert payees(choosing(network, teams)).tolist() == wanted


# -- what is seen ---------------------------------------------------------------------------------------------------


def test_observations_say_where_and_how_many() -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=10, rows=2, cols=3)
    env = AgentsEnv(model)
    env.reset(seed=0)
    toys.put(env, np.bincount(np.arange(10) % 6, minlength=6), np.arange(10) % 6)
    seen = env.batch.observe()[0]
    np.testing.assert_array_equal(seen[:, :6], np.eye(6)[np.arange(10) % 6])
    np.testing.assert_allclose(seen[:, 6], [0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2])
    hood = AgentsEnv(model, observe="hood", state_encoding="coordinates")
    hood.reset(seed=0)
    toys.put(hood, env.counts, env.states)
    # cell (0, 1): x = 1/2 of the longer side, y at the top; itself, then its neighbours 0, 2, 4; four slots, all real
    np.testing.assert_allclose(hood.batch.observe()[0][1], [0.5, 0.5, 0.2, 0.2, 0.2, 0.2, 0.1, 1, 1, 1, 1])
    np.testing.assert_allclose(hood.batch.observe()[0][0], [0.0, 0.5, 0.2, 0.2, 0.2, 0.2, 0.0, 1, 1, 1, 0])
    index = AgentsEnv(model, state_encoding="index")
    index.reset(seed=0)
    np.testing.assert_allclose(index.batch.observe()[0, :, 0], index.states / 5)


def test_many_states_are_coded_by_coordinates() -> None:
    city = mfnet_envs.make_model("MFNet-RideShareNYC-v0", population=30)
    env = AgentsEnv(city)
    assert env.observation_space("agent_0").shape == (4,)  # x, y, layer, mu(s)
    assert TeamsEnv(city, observe=2).observation_space("team_0").shape[0] > 10
    assert len(TeamsEnv(city).possible_agents) == 61


def test_a_team_is_one_state_and_the_map_says_which() -> None:
    model = toys.travelling()
    env = TeamsEnv(model)
    assert env.team_states == {"team_0": 0, "team_1": 2, "team_2": 4}


# -- rewards and riders ---------------------------------------------------------------------------------------------


def test_the_mean_reward_is_everybodys() -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=30)
    own, shared = AgentsEnv(model), AgentsEnv(model, reward="mean")
    for env in (own, shared):
        env.reset(seed=2)
    actions = np.random.default_rng(0).integers(0, 5, 30)
    one, all_ = own.step_array(actions)[1], shared.step_array(actions)[1]
    np.testing.assert_allclose(all_, one.mean())
    assert one.std() > 0


@pytest.mark.parametrize("view", ["teams", "agents"])
def test_the_served_are_as_many_as_riders_allow(view: str) -> None:
    """Twelve drivers at one node with demand D ~ Poisson(5): on average E min(12, D) of them are served."""
    model = mfnet_envs.make_model(
        "MFNet-Grid-v0", population=12, graph=nx.path_graph(2), demand=[1, 0], total_demand=5 / 12
    )
    d = np.arange(60)
    wanted = float((np.minimum(12, d) * poisson.pmf(d, 5)).sum())
    spread = float((np.minimum(12, d) ** 2 * poisson.pmf(d, 5)).sum() - wanted**2) ** 0.5
    env: Any = (TeamsEnv if view == "teams" else AgentsEnv)(model, max_cycles=10**9)
    env.reset(seed=0)
    served = np.empty(3000)
    for t in range(len(served)):
        toys.put(env, np.array([12, 0]), np.zeros(12, int))
        info = env.step_array(np.zeros((2, 2)) if view == "teams" else np.zeros(12, int))[4]
        served[t] = info["served"].sum() * (12 if view == "teams" else 1)
        assert served[t] == round(served[t], 9)
    assert abs(served.mean() - wanted) < 5 * spread / len(served) ** 0.5


def test_the_team_view_does_not_know_the_population() -> None:
    """A billion agents: same ids, same shapes, counts conserved."""
    env = mfnet_envs.parallel_env("MFNet-Grid-v0", view="teams", population=10**9, matching="independent")
    env.reset(seed=0)
    env.step({team: np.zeros(5) for team in env.agents})
    assert len(env.agents) == 25 and env.counts.sum() == 10**9


def test_a_single_agent_and_a_single_team() -> None:
    alone = mfnet_envs.parallel_env("MFNet-Grid-v0", view="agents", population=1)
    alone.reset(seed=np.int64(0))
    observations, rewards, *_ = alone.step({"agent_0": 1})
    assert observations["agent_0"].shape == (26,) and set(rewards) == {"agent_0"}
    team = TeamsEnv(choosing(StateNetwork.line(3), [1]))
    team.reset(seed=0)
    assert team.step({"team_0": np.zeros(2)})[1].keys() == {"team_0"}
