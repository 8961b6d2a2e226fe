"""The three steppers against the exact game, scipy's laws and closed forms."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
import toys
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from test_network import connected_graphs

from mfnet_envs.backends import draws
from mfnet_envs.compositions import compositions, rank
from mfnet_envs.evaluate import evaluate
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import Branch, LocalModel, Quota
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import uniform
from mfnet_envs.scenarios import grid_v0
from mfnet_envs.simulator import Simulator, multinomial, without_replacement

FORMS = list(toys.every_form())
WORLDS = 20_000
RARE = 1e-5  # a p-value below this is taken for a wrong law; about 100 laws are tried


def assert_follows(observed: np.ndarray, law: np.ndarray) -> None:
    """Chi-square of sampled places against their law; what cannot happen must not."""
    counts = np.bincount(observed.reshape(-1), minlength=len(law))
    assert not counts[law < 1e-15].any(), "something impossible happened"
    expected = law * counts.sum()
    order = np.argsort(expected)
    rare = np.cumsum(expected[order]) < 10
    pooled = np.append(counts[order][~rare], counts[order][rare].sum())
    expected = np.append(expected[order][~rare], expected[order][rare].sum())
    pooled, expected = pooled[expected > 0], expected[expected > 0]
    if expected[-1] < 5 and len(expected) > 1:  # what was pooled is still rare: join it with the last
        pooled, expected = np.append(pooled[:-2], pooled[-2:].sum()), np.append(expected[:-2], expected[-2:].sum())
    if len(expected) > 1:
        assert stats.chisquare(pooled, expected * pooled.sum() / expected.sum()).pvalue > RARE


def crossroads(game: ExactGame, how_many: int = 2) -> np.ndarray:
    """Action counts ``(how_many, S, A)`` that lead to many places: those with the most spread laws."""
    law = game.pair_transition()
    entropy = stats.entropy(law, axis=1)
    return game.pairs[np.argsort(-entropy)[:: max(1, len(law) // 7)][:how_many]]


def as_agents(action_counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States and actions ``(N,)`` of agents in a mixed order."""
    cells = np.repeat(np.arange(action_counts.size), action_counts.reshape(-1))
    return np.divmod(np.random.default_rng(5).permutation(cells), action_counts.shape[1])


@pytest.fixture(params=["agents", "binomials"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make every draw go agent by agent, or none."""
    cost = 0.0 if request.param == "agents" else 1e12
    monkeypatch.setattr(draws, "AGENT_COST", cost)
    monkeypatch.setattr(draws, "LOTTERY_COST", cost)
    return str(request.param)


# -- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_counts_step_has_the_exact_law(form: str, way: str) -> None:
    model = toys.every_form(4)[form]
    game, simulator, rng = ExactGame(model), Simulator(model), np.random.default_rng(0)
    pairs = crossroads(game)
    for pair, law in zip(pairs, game.pair_transition(pairs), strict=True):
        actions = np.tile(pair, (WORLDS, 1, 1))
        following, _ = simulator.step(actions.sum(2), actions, rng)
        assert_follows(game.index(following), law)


@pytest.mark.parametrize("form", FORMS)
def test_agents_step_has_the_exact_law(form: str) -> None:
    model = toys.every_form(4)[form]
    game, simulator, rng = ExactGame(model), Simulator(model), np.random.default_rng(1)
    pairs = crossroads(game)
    for pair, law in zip(pairs, game.pair_transition(pairs), strict=True):
        states, actions = (np.tile(row, (WORLDS, 1)) for row in as_agents(pair))
        moved, _ = simulator.step_agents(states, actions, rng)
        following = (moved[:, :, None] == np.arange(model.network.num_states)).sum(1)
        assert_follows(game.index(following), law)


@pytest.mark.parametrize("form", FORMS)
def test_act_and_step_have_the_exact_law(form: str, way: str) -> None:
    """(5) and (6) together, with a policy that feels the crowd and also plays illegal actions."""
    model = toys.every_form(3)[form]
    game, simulator, rng = ExactGame(model), Simulator(model), np.random.default_rng(2)
    table = rng.dirichlet(np.ones(model.num_actions), (model.network.num_states, model.population + 1))
    start = len(game.count_vectors) // 2
    counts = np.tile(game.count_vectors[start], (WORLDS, 1))
    pi = table[np.arange(model.network.num_states), game.count_vectors[start]]
    law = game.transition(table)[start]
    following, _ = simulator.step(counts, simulator.act(counts, pi, rng), rng)
    assert_follows(game.index(following), law)
    played = simulator.play(counts, pi, rng)
    assert_follows(game.index(played.next_counts), law)
    np.testing.assert_array_equal(played.actions.sum(2), counts[:, model.active])


@pytest.mark.parametrize("form", FORMS)
def test_first_counts_have_the_exact_law(form: str) -> None:
    model = toys.every_form(3)[form]
    counts = Simulator(model).reset(np.random.default_rng(3), WORLDS)
    game = ExactGame(model)
    assert_follows(game.index(counts), stats.multinomial.pmf(game.count_vectors, 3, model.initial))


@pytest.mark.parametrize("cells", [1, 4])
def test_multinomial_both_ways_chosen_by_size(cells: int) -> None:
    """Three agents in each cell are drawn by binomials; three in one cell of four, agent by agent."""
    p = np.array([0.2, 0.0, 0.5, 0.3])
    n = np.zeros((WORLDS, cells), np.int64)
    n[:, 0] = 3
    by_agents = n.sum() * (draws.AGENT_COST + 12) < n.size * 3 * draws.BINOMIAL_COST
    assert by_agents == (cells == 4)
    drawn = multinomial(np.random.default_rng(4), n, np.broadcast_to(p, (WORLDS, cells, 4)))
    assert (drawn.sum(2) == n).all()
    assert_follows(rank(drawn[:, 0]), stats.multinomial.pmf(compositions(3, 4), 3, p))


@pytest.mark.parametrize("drawn", [0, 1, 4, 9])
def test_drawing_without_replacement(drawn: int, way: str) -> None:
    colours = np.array([4, 0, 2, 3])
    taken = without_replacement(np.random.default_rng(6), np.tile(colours, (WORLDS, 1, 1)), np.full((WORLDS, 1), drawn))
    assert (taken <= colours).all()
    law = [stats.multivariate_hypergeom.pmf(row, colours, drawn) for row in compositions(drawn, 4)]
    assert_follows(rank(taken[:, 0]), np.array(law))


def test_exactly_as_many_are_served_as_there_are_places(way: str) -> None:
    model = toys.rationed(6)
    counts = np.tile([1, 2, 3], (WORLDS, 1))
    simulator, rng = Simulator(model), np.random.default_rng(7)
    actions = simulator.act(counts, np.full((3, 3), 1 / 3), rng)
    result = simulator.transition(counts, actions, rng)
    np.testing.assert_array_equal(result.served + result.unserved.sum(2), counts)
    assert (result.unserved <= actions).all()
    assert model.quota is not None
    for s, rate in enumerate(model.quota.rate):
        places = np.arange(s + 2)
        law = np.append(stats.poisson.pmf(places[:-1], rate), stats.poisson.sf(s, rate))
        assert_follows(result.served[:, s], law)


def test_without_a_quota_nobody_is_served() -> None:
    simulator, rng = Simulator(toys.two_ways()), np.random.default_rng(0)
    counts = simulator.reset(rng, 5)
    actions = simulator.act(counts, np.full((3, 3), 1 / 3), rng)
    result = simulator.transition(counts, actions, rng)
    assert not result.served.any()
    np.testing.assert_array_equal(result.unserved, actions)


def test_a_crowd_that_is_served_to_the_last_agent() -> None:
    """The weights of the other branches are then all 0."""
    model = toys.rationed(4, rate=(900.0, 900.0, 900.0))
    simulator, rng = Simulator(model), np.random.default_rng(0)
    counts = simulator.reset(rng, 50)
    result = simulator.transition(counts, simulator.act(counts, np.full((3, 3), 1 / 3), rng), rng)
    np.testing.assert_array_equal(result.served, counts)
    states = np.tile([0, 1, 2, 2], (50, 1))
    moved, _ = simulator.step_agents(states, states * 0, rng)
    assert (abs(moved - states) <= 1).all()


def test_returns_agree_with_exact_values() -> None:
    """Monte-Carlo means of whole episodes within four standard errors of the exact finite-horizon values."""
    for matching in ("physical", "independent"):
        model = toys.line(4, 4, matching=matching)
        game = ExactGame(model)
        for name in ("stay", "random", "proportional"):
            policy = model.heuristics()[name]
            report = evaluate(model, policy, worlds=1000, seed=0)
            exact = float(game.expected(game.state_values(policy, steps=150).sum(1)))
            deviation = abs(report["discounted_return_mean"] - exact)
            assert deviation < 4 / 1.96 * report["discounted_return_ci95"], (matching, name)


# -- invariants -------------------------------------------------------------------------------------------------------


@given(connected_graphs(), st.integers(1, 400), st.integers(1, 4), st.booleans(), st.integers(0, 2**32))
def test_agents_are_conserved(graph: nx.Graph, population: int, batch: int, with_quota: bool, seed: int) -> None:
    network, rng = StateNetwork(graph), np.random.default_rng(seed)
    s = network.num_states
    if with_quota:
        branches = (toys.spread(network, 3), Branch.to(toys.moves(network)), toys.spread(network, 4))
        quota = Quota(0, rng.exponential(2 * population / s, s))
        a = network.neighbors.shape[1]
        model: LocalModel = toys.QuotaModel(
            network=network, population=population, num_actions=a, branches=branches, quota=quota
        )
    else:
        model = toys.two_ways(population, network)
    simulator = Simulator(model)
    counts = simulator.reset(rng, batch)
    pi = np.full(model.legal.shape, 1 / model.num_actions)
    for _ in range(3):
        counts, _ = simulator.step(counts, simulator.act(counts, pi, rng), rng)
        assert (counts >= 0).all()
        assert (counts.sum(1) == population).all()


def test_a_billion_agents_are_conserved() -> None:
    model = grid_v0.build(10**9, matching="independent")
    simulator, rng = Simulator(model), np.random.default_rng(0)
    counts = simulator.reset(rng, 2)
    pi = np.full(model.legal.shape, 1 / 5)
    for _ in range(20):
        counts, _ = simulator.step(counts, simulator.act(counts, pi, rng), rng)
    assert (counts.sum(1) == 10**9).all()


@pytest.mark.parametrize("form", FORMS)
def test_team_rewards_sum_to_the_mean_of_agents_rewards(form: str) -> None:
    """And each agent is paid by its state and action, whoever it is."""
    model = toys.every_form(12)[form]
    simulator, rng = Simulator(model), np.random.default_rng(0)
    states = rng.integers(model.network.num_states, size=(7, 12))
    actions = rng.integers(model.num_actions, size=(7, 12))
    counts, action_counts = tally(model, states, actions)
    team_rewards = simulator.step(counts, action_counts, rng)[1]
    rewards = simulator.step_agents(states, actions, rng)[1]
    np.testing.assert_allclose(team_rewards.sum(1), rewards.mean(1), atol=1e-14)
    of_state = [(rewards * (states == s)).sum(1) / 12 for s in range(model.network.num_states)]
    np.testing.assert_allclose(team_rewards, np.transpose(of_state), atol=1e-14)
    order = rng.permutation(12)
    again = simulator.step_agents(states[:, order], actions[:, order], rng)[1]
    np.testing.assert_array_equal(again, rewards[:, order])


def tally(model: LocalModel, states: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Agents as counts ``(B, S)`` and action counts ``(B, S, A)``."""
    action_counts = np.zeros((len(states), *model.legal.shape), np.int64)
    np.add.at(action_counts, (np.arange(len(states))[:, None], states, actions), 1)
    return action_counts.sum(2), action_counts


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_all_states_or_of_teams_mean_the_same(form: str) -> None:
    model = toys.every_form(50)[form]
    simulator = Simulator(model)
    counts = simulator.reset(np.random.default_rng(0), 3)
    full = simulator.act(counts, uniform(model).individual(counts), np.random.default_rng(1))
    assert full.shape == (3, *model.legal.shape)
    short = full[:, model.team_states]
    for ours, theirs in zip(
        simulator.transition(counts, full, np.random.default_rng(2)),
        simulator.transition(counts, short, np.random.default_rng(2)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    pi = uniform(model).teams(counts, 0)
    assert simulator.act(counts, pi, np.random.default_rng(1)).shape == short.shape
    tables = pi, uniform(model).individual(counts)
    played = [simulator.play(counts, rows, np.random.default_rng(3)) for rows in tables]
    np.testing.assert_array_equal(played[0].next_counts, played[1].next_counts)


def test_illegal_actions_are_played_as_the_first_legal_one() -> None:
    """In the transit model the only legal action of (v, 1) is action 1; on the line's ends action 2 is illegal."""
    for model in (toys.travelling(40), toys.deterministic(40)):
        simulator = Simulator(model)
        counts = simulator.reset(np.random.default_rng(0), 2)
        s, a = model.legal.shape
        for action in range(a):
            pi = np.tile(np.eye(a)[action], (s, 1))
            played = simulator.act(counts, pi, np.random.default_rng(1))
            expected = np.where(model.legal[:, action], action, model.legal.argmax(1))
            np.testing.assert_array_equal(played, counts[..., None] * np.eye(a, dtype=int)[expected])
            raw = counts[..., None] * np.eye(a, dtype=int)[np.full(s, action)]
            for one, other in zip(
                simulator.step(counts, raw, np.random.default_rng(2)),
                simulator.step(counts, played, np.random.default_rng(2)),
                strict=True,
            ):
                np.testing.assert_array_equal(one, other)
            states = np.repeat(np.arange(s), 3)[None]
            for one, other in zip(
                simulator.step_agents(states, np.full_like(states, action), np.random.default_rng(3)),
                simulator.step_agents(states, expected[states], np.random.default_rng(3)),
                strict=True,
            ):
                np.testing.assert_array_equal(one, other)


def test_inputs_stay_as_they_were() -> None:
    for model in toys.every_form(30).values():
        simulator, rng = Simulator(model), np.random.default_rng(0)
        counts = simulator.reset(rng, 3)
        pi = np.full(model.legal.shape, 1 / model.num_actions)
        actions = simulator.act(counts, pi, rng)
        kept = counts.copy(), actions.copy()
        following, rewards = simulator.step(counts, actions, rng)
        assert not np.shares_memory(following, counts)
        assert rewards.dtype == np.float64
        assert following.dtype == np.int64
        np.testing.assert_array_equal(counts, kept[0])
        np.testing.assert_array_equal(actions, kept[1])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alike(copied: Any) -> None:
    """Also after a step on tensors, and the policy that it follows."""
    model = toys.travelling(40)
    simulator, policy, counts = Simulator(model), uniform(model), Simulator(model).reset(np.random.default_rng(0), 2)
    simulator.mean_field_step(counts / 40, torch.full(model.legal.shape, 0.5))
    policy.sample(counts, 0, np.random.default_rng(0))
    again, its_policy = copied((simulator, policy))
    assert again.model is its_policy.model is not model
    assert again.backend is simulator.backend
    for ours, theirs in zip(
        again.follow(its_policy, counts, 0, np.random.default_rng(1)),
        simulator.follow(policy, counts, 0, np.random.default_rng(1)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


PATH = """
import numpy as np, toys
from mfnet_envs.simulator import Simulator
for model in toys.every_form(50).values():
    simulator, rng = Simulator(model), np.random.default_rng(7)
    counts = simulator.reset(rng, 3)
    for _ in range(5):
        pi = np.full(model.legal.shape, 1 / model.num_actions)
        counts, rewards = simulator.step(counts, simulator.act(counts, pi, rng), rng)
    print(counts.tolist(), rewards.tolist())
"""


def test_the_same_seed_gives_the_same_path_in_every_process() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", PATH],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            env={"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0].splitlines()) == len(FORMS)


# -- the limit of infinitely many agents ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [form for form in FORMS if form != "quota"])
def test_mean_field_step_is_the_limit(form: str) -> None:
    """A million agents, averaged over 50 worlds: within five standard errors of the limit, in every state."""
    model = toys.every_form(10**6)[form]
    simulator, rng = Simulator(model), np.random.default_rng(0)
    counts = np.tile(simulator.reset(rng), (50, 1))
    pi = rng.dirichlet(np.ones(model.num_actions), len(model.legal))
    mu, rewards = simulator.mean_field_step(counts[:1] / 10**6, pi)
    following, team_rewards = simulator.step(counts, simulator.act(counts, pi, rng), rng)
    error = 0.5 / np.sqrt(50 * 10**6)
    assert abs(following.mean(0) / 10**6 - mu[0]).max() < 5 * error
    assert abs(team_rewards.mean(0) - rewards[0]).max() < 5 * 2 * error
    assert mu.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("matching", ["physical", "independent"])
def test_mean_field_of_two_nodes_by_hand(matching: Any) -> None:
    """All drivers on node 0, demand .2 and .5: a fifth is served and set down evenly, half of the rest moves at .1."""
    model = grid_v0.build(100, graph=nx.path_graph(2), demand=[0.2, 0.5], total_demand=0.7, matching=matching)
    mu, rewards = Simulator(model).mean_field_step(np.array([[1.0, 0.0]]), np.full((2, 2), 0.5))
    np.testing.assert_allclose(mu, [[0.1 + 0.4, 0.1 + 0.4]], atol=1e-12)
    np.testing.assert_allclose(rewards, [[0.2 - 0.1 * 0.8 / 2, 0]], atol=1e-12)
    mu, rewards = Simulator(model).mean_field_step(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_allclose(mu, [[0.1 + 0.3 + 0.25, 0.1 + 0.25]], atol=1e-12)
    np.testing.assert_allclose(rewards, [[0.2, 0.5]], atol=1e-12)


# -- rewards that are made of branch weights ---------------------------------------------------------------------------


class ByBranch(toys.CrowdModel):
    """Paid by the branch it takes: 1 for the first, -1/2 for the second. Counts how often it is asked for weights."""

    asked = 0

    def branch_weights(self, mu_hood: Any) -> Any:
        self.asked += 1
        return super().branch_weights(mu_hood)

    def branch_rewards(self) -> np.ndarray:
        return np.broadcast_to([1.0, -0.5], (len(self.active), self.num_actions, 2))


class SaidTwice(ByBranch):
    """The same model, whose reward is its own."""

    def reward(self, mu_hood: Any) -> Any:
        return self.reward_from(self.branch_weights(mu_hood))


def test_branch_weights_are_asked_for_once_a_step() -> None:
    """Same bits, half the work, in every stepper."""
    network = StateNetwork.line(3)
    branches = (toys.spread(network, 2), Branch.to(toys.moves(network)))
    models = [
        kind(network=network, population=40, num_actions=3, branches=branches, seed=1) for kind in (ByBranch, SaidTwice)
    ]
    paths = []
    for model, times in zip(models, (1, 2), strict=True):
        simulator, rng = Simulator(model), np.random.default_rng(0)
        counts = simulator.reset(rng, 2)
        steps = [
            simulator.play(counts, np.full((3, 3), 1 / 3), rng)[:2],
            simulator.step_agents(np.repeat(np.arange(3), 2)[None], np.zeros((1, 6), int), rng),
            simulator.mean_field_step(counts / 40, np.full((3, 3), 1 / 3)),
        ]
        assert model.asked == 3 * times
        paths.append([array for step in steps for array in step])
    for once, twice in zip(*paths, strict=True):
        np.testing.assert_array_equal(once, twice)


# -- what it refuses --------------------------------------------------------------------------------------------------

UNIFORM = np.full((3, 2), 0.5)


@pytest.mark.parametrize(
    ("pi", "sentence"),
    [
        (UNIFORM * [[1, np.nan]], "non-negative numbers without NaN"),
        (UNIFORM * [[1, np.inf]], "non-negative numbers without NaN"),
        (UNIFORM * [[3, -1]], "non-negative numbers without NaN"),
        (UNIFORM * 0, "each row of pi needs a positive sum"),
        (UNIFORM[:2], r"pi must have shape \(\.\.\., 3 or 3, 2\), not \(2, 2\)"),
        (UNIFORM[0], "pi must have shape"),
        (np.full((3, 3), 1 / 3), "pi must have shape"),
    ],
)
def test_policies_it_refuses(pi: np.ndarray, sentence: str) -> None:
    simulator, rng = Simulator(toys.general(10)), np.random.default_rng(0)
    with pytest.raises(ValueError, match=sentence):
        simulator.act(simulator.reset(rng, 2), pi, rng)


def test_actions_it_refuses() -> None:
    simulator, rng = Simulator(toys.general(10)), np.random.default_rng(0)
    counts = simulator.reset(rng, 2)
    actions = simulator.act(counts, UNIFORM, rng)
    with pytest.raises(ValueError, match="must sum over actions to the counts of their states"):
        simulator.step(counts, actions + 1, rng)
    with pytest.raises(ValueError, match="action_counts must have shape"):
        simulator.step(counts, actions[:, :2], rng)


class Broken(toys.CrowdModel):
    """Returns what it should not where everybody is in state 0."""

    fault: float = np.nan
    broken = "reward"

    def reward(self, mu_hood: Any) -> Any:
        return super().reward(mu_hood) + self._fault(mu_hood, "reward")

    def branch_weights(self, mu_hood: Any) -> Any:
        return super().branch_weights(mu_hood) + self._fault(mu_hood, "branch_weights")[..., None]

    def _fault(self, mu_hood: Any, name: str) -> Any:
        return np.where(self.broken == name, np.where(mu_hood[:, :1, 0] == 1, self.fault, 0.0), 0.0)


@pytest.mark.parametrize(
    ("broken", "fault", "sentence"),
    [
        ("reward", np.nan, "reward is NaN or infinite"),
        ("reward", np.inf, "reward is NaN or infinite"),
        ("branch_weights", np.nan, "branch_weights are NaN or do not sum to 1"),
        ("branch_weights", 0.1, "branch_weights are NaN or do not sum to 1"),
    ],
)
def test_models_that_answer_nonsense_are_stopped(broken: str, fault: float, sentence: str) -> None:
    network = StateNetwork.line(3)
    model = Broken(network=network, population=4, num_actions=2, branches=toys.slots(network))
    model.broken, model.fault = broken, fault
    simulator, rng = Simulator(model), np.random.default_rng(0)
    fine, bad = np.array([[2, 1, 1]]), np.array([[4, 0, 0]])
    simulator.step(fine, simulator.act(fine, UNIFORM, rng), rng)
    with pytest.raises(ValueError, match=sentence):
        simulator.step(bad, simulator.act(bad, UNIFORM, rng), rng)
    with pytest.raises(ValueError, match=sentence):
        simulator.step_agents(np.zeros((1, 4), int), np.zeros((1, 4), int), rng)
    with pytest.raises(ValueError, match=sentence):
        simulator.mean_field_step(bad / 4, UNIFORM)
