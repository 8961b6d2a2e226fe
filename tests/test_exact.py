"""The exact game against the game of agents with names, closed forms, linear programmes and published optima."""

import itertools
from functools import cache
from typing import Any

import networkx as nx
import numpy as np
import pytest
import toys
from scipy import optimize, stats

from mfnet_envs.compositions import compositions, rank
from mfnet_envs.exact import ExactGame, NamedGame
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import uniform
from mfnet_envs.scenarios import grid_v0

FORMS = list(toys.every_form())


@cache
def model_of(form: str) -> LocalModel:
    return toys.every_form(3)[form]


def some_policy(model: LocalModel, seed: int = 0) -> np.ndarray:
    """A policy table pi (S, N + 1, A) with illegal actions in it."""
    pi = np.random.default_rng(seed).random((model.network.num_states, model.population + 1, model.num_actions))
    return pi / pi.sum(2, keepdims=True)


def by_counts(game: ExactGame, named: NamedGame) -> np.ndarray:
    """``(S^N,)``: the count vector of every joint state."""
    return game.index(np.array([named.counts(joint) for joint in named.states]))


@pytest.mark.parametrize(("n", "parts"), [(0, 3), (1, 1), (4, 1), (5, 2), (4, 4), (3, 7)])
def test_compositions_are_all_of_them_in_order(n: int, parts: int) -> None:
    expected = [row for row in itertools.product(range(n + 1), repeat=parts) if sum(row) == n]
    table = compositions(n, parts)
    assert table.tolist() == [list(row) for row in expected]
    assert rank(table).tolist() == list(range(len(table)))


def test_numbers_of_count_vectors_and_pairs() -> None:
    """C(N+|S|-1, |S|-1) and, when every action is legal, C(N+|S||A|-1, |S||A|-1): 330 for N = 4, |S||A| = 8."""
    game = ExactGame(toys.general(4, StateNetwork.line(4)))
    assert game.count_vectors.shape == (35, 4)
    assert game.pairs.shape == (330, 4, 2)
    assert (game.pairs.sum(2) == game.count_vectors[game.pair_counts]).all()
    assert len({tuple(pair.reshape(-1)) for pair in game.pairs}) == 330


@pytest.mark.parametrize("form", FORMS)
def test_laws_are_those_of_named_agents(form: str) -> None:
    model = model_of(form)
    game, named, pi = ExactGame(model), NamedGame(model), some_policy(model)
    laws, _ = named.chain(pi)
    place = by_counts(game, named)
    merged = np.zeros((len(laws), len(game.count_vectors)))
    np.add.at(merged.T, place, laws.T)
    np.testing.assert_allclose(merged, game.transition(pi)[place], atol=1e-14)
    np.testing.assert_allclose(game.transition(pi).sum(1), 1, atol=1e-13)


@pytest.mark.parametrize("form", FORMS)
def test_lemma_3_1(form: str) -> None:
    """Values of teams add up to the mean value of named agents, and each team has its own share of it, (7)-(9)."""
    model = model_of(form) if form != "transit" else toys.travelling(2)
    game, named, pi = ExactGame(model, gamma=0.9), NamedGame(model), some_policy(model, seed=1)
    laws, rewards = named.chain(pi)
    place = by_counts(game, named)
    shares = np.zeros((len(laws), named.s))
    for row, joint, reward in zip(shares, named.states, rewards, strict=True):
        np.add.at(row, list(joint), reward / named.n)
    solve = np.linalg.inv(np.eye(len(laws)) - 0.9 * laws)
    teams = game.state_values(pi)
    np.testing.assert_allclose(teams.sum(1)[place], (solve @ rewards).mean(1), atol=1e-10)
    np.testing.assert_allclose(teams[place], solve @ shares, atol=1e-10)


@pytest.mark.parametrize("form", ["two ways", "quota", "general", "transit"])
def test_laws_given_actions(form: str) -> None:
    model = toys.every_form(2)[form]
    game, named = ExactGame(model), NamedGame(model)
    law = game.pair_transition()
    for i, pair in enumerate(game.pairs):
        cells = [(s, a) for s, a in np.ndindex(pair.shape) for _ in range(pair[s, a])]
        joint = tuple(s for s, _ in cells)
        joint_law = named.law(joint, [np.eye(model.num_actions)[a] for _, a in cells]).reshape(-1)
        merged = np.bincount(by_counts(game, named), joint_law, len(game.count_vectors))
        np.testing.assert_allclose(law[i], merged, atol=1e-14)
        reward = np.mean([named.single(joint)[0][s, a] for s, a in cells])
        assert game.pair_rewards[i].sum() == pytest.approx(reward, abs=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_actions_drawn_by_teams_or_by_agents(form: str) -> None:
    """(5): mixing the laws given actions by multinomials is the law under the individual policy."""
    game, pi = ExactGame(model_of(form)), some_policy(model_of(form), seed=2)
    mixed = np.zeros((len(game.count_vectors),) * 2)
    np.add.at(mixed, game.pair_counts, game.pair_transition() * game.pair_probabilities(pi)[:, None])
    np.testing.assert_allclose(mixed, game.transition(pi), atol=1e-13)


def as_linear_program(model: LocalModel, gamma: float) -> np.ndarray:
    """Optimal mean values of named agents who may agree on anything: min sum V with V >= r + gamma P V."""
    named = NamedGame(model)
    a, b = [], []
    for i, joint in enumerate(named.states):
        for actions in itertools.product(range(model.num_actions), repeat=named.n):
            rows = [np.eye(model.num_actions)[action] for action in actions]
            a.append(gamma * named.law(joint, rows).reshape(-1) - np.eye(len(named.states))[i])
            b.append(-np.mean([named.single(joint)[0][s, action] for s, action in zip(joint, actions, strict=True)]))
    free = [(None, None)] * len(named.states)
    solution = optimize.linprog(np.ones(len(named.states)), np.array(a), b, bounds=free)
    assert solution.success
    return np.asarray(solution.x)


@pytest.mark.parametrize("form", ["deterministic", "two ways", "general", "quota", "transit"])
def test_the_optimum_is_that_of_a_linear_program(form: str) -> None:
    model = toys.every_form(2)[form]
    game = ExactGame(model, gamma=0.8)
    np.testing.assert_allclose(
        game.optimal_values()[by_counts(game, NamedGame(model))], as_linear_program(model, 0.8), atol=1e-7
    )


@pytest.mark.parametrize(("n", "population"), toys.LINE_OPTIMA)
def test_published_optima(n: int, population: int) -> None:
    """The published numbers were computed with sampled kernels; their error is about .01 to .02."""
    model = toys.line(n, population)
    game = ExactGame(model)
    assert game.expected(game.optimal_values()) == pytest.approx(toys.LINE_OPTIMA[n, population], abs=0.01)
    within_horizon = game.expected(game.optimal_values(steps=150))
    bound = model.bound()
    assert bound is not None
    assert within_horizon <= bound.value
    for policy in model.heuristics().values():
        assert game.expected(game.state_values(policy, steps=150).sum(1)) <= within_horizon


def test_steps() -> None:
    """Finite horizons: one step is the reward, and the tail is discounted by gamma to the horizon."""
    model = model_of("quota")
    game, pi = ExactGame(model), some_policy(model)
    np.testing.assert_allclose(game.state_values(pi, steps=1), game.team_rewards(pi), atol=1e-15)
    tail = 0.95**40 * np.linalg.matrix_power(game.transition(pi), 40) @ game.state_values(pi)
    np.testing.assert_allclose(game.state_values(pi, steps=40) + tail, game.state_values(pi), atol=1e-11)
    np.testing.assert_allclose(game.optimal_values(steps=1), best_now(game), atol=1e-15)
    np.testing.assert_allclose(game.optimal_values(steps=600), game.optimal_values(), atol=1e-10)


def best_now(game: ExactGame) -> np.ndarray:
    """With one step left every agent takes its best action: the reward does not feel the others' actions."""
    reward = np.where(game.model.legal, game.rewards, -np.inf).max(2)
    return (game.count_vectors * reward).sum(1) / game.model.population


class PaysOne(toys.CrowdModel):
    def reward(self, mu_hood: Any) -> Any:
        return super().reward(mu_hood) * 0 + 1


def test_a_reward_of_one_is_worth_one_over_one_minus_gamma() -> None:
    """Never |S| / (1 - gamma): without the factor mu(s) in (7) two states would earn 20 instead of 10."""
    network = StateNetwork.line(2)
    model = PaysOne(
        network=network, population=3, num_actions=2, branches=toys.slots(network), kernel_reads="hood", gamma=0.9
    )
    game = ExactGame(model)
    np.testing.assert_allclose(game.state_values(some_policy(model)).sum(1), 10, rtol=1e-12)
    np.testing.assert_allclose(game.optimal_values(), 10, rtol=1e-12)


@pytest.mark.parametrize("matching", ["physical", "independent"])
def test_relabelling_the_nodes_changes_nothing(matching: Any) -> None:
    graph, demand = nx.path_graph(4), np.array([0.1, 0.5, 0.2, 0.9])
    order = [2, 0, 3, 1]
    shuffled = nx.Graph()
    shuffled.add_nodes_from(order)
    shuffled.add_edges_from(graph.edges)
    one = ExactGame(grid_v0.build(3, graph=graph, demand=demand, matching=matching))
    other = ExactGame(grid_v0.build(3, graph=shuffled, demand=demand[order], matching=matching))
    place = other.index(one.count_vectors[:, order])
    np.testing.assert_allclose(one.optimal_values(), other.optimal_values()[place], atol=1e-12)
    values = [game.state_values(game.model.heuristics()["proportional"]) for game in (one, other)]
    np.testing.assert_allclose(values[0][:, order], values[1][place], atol=1e-12)
    law, again = (game.transition(uniform(game.model)) for game in (one, other))
    np.testing.assert_allclose(law, again[place][:, place], atol=1e-14)


def test_the_two_matchings_pay_the_same_at_once() -> None:
    games = [ExactGame(toys.line(3, 4, matching=matching)) for matching in ("physical", "independent")]
    np.testing.assert_allclose(games[0].rewards, games[1].rewards, atol=1e-14)
    mean = [game.transition(uniform(game.model)) @ game.count_vectors for game in games]
    np.testing.assert_allclose(mean[0], mean[1], atol=1e-12)


def test_the_first_count_vector() -> None:
    model = toys.travelling(4)
    game = ExactGame(model)
    expected = stats.multinomial.pmf(game.count_vectors, 4, model.initial)
    np.testing.assert_allclose(game.initial, expected, rtol=1e-12)
    np.testing.assert_allclose(game.expected(game.count_vectors), 4 * model.initial, rtol=1e-12)


def test_team_laws() -> None:
    """Two agents who always agree, on a line of two nodes where action 1 crosses: apart they stay apart."""
    network = StateNetwork.line(2)
    model = toys.deterministic(2, network)
    game = ExactGame(model)
    policy = toys.Unanimous(model)
    together, apart = game.index(np.array([[2, 0], [1, 1]]))
    law = game.transition(policy)
    np.testing.assert_allclose(law[together], [0.5, 0, 0.5], atol=1e-15)
    np.testing.assert_allclose(law[apart], [0.25, 0.5, 0.25], atol=1e-15)
    # the mean reward does not feel the correlation, the values do
    np.testing.assert_allclose(game.team_rewards(policy), game.team_rewards(uniform(model)), atol=1e-15)
    solved = np.linalg.solve(np.eye(3) - game.gamma * law, game.team_rewards(uniform(model)))
    np.testing.assert_allclose(game.state_values(policy), solved, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 1.0, -0.5, np.nan])
def test_gamma_must_be_a_discount_factor(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma must lie strictly between 0 and 1"):
        ExactGame(toys.general(), gamma=gamma)


def test_instances_it_refuses() -> None:
    with pytest.raises(
        ValueError, match=r"100 agents on 25 states make .* too many to enumerate .*; a population of at most \d"
    ):
        ExactGame(grid_v0.build())
    game = ExactGame(grid_v0.build(5, rows=3, cols=3))
    sentence = r"pairs of counts and actions, too many .* \(the limit is 60,000\); a population of at most [1-4] fits"
    with pytest.raises(ValueError, match=sentence):
        game.optimal_values()
    with pytest.raises(ValueError, match=r"4 named agents on 9 states make 6,561 joint states.*take fewer agents"):
        NamedGame(grid_v0.build(4, rows=3, cols=3))


def test_the_size_it_recommends_fits() -> None:
    with pytest.raises(ValueError, match="population of at most") as refusal:
        ExactGame(toys.general(200, StateNetwork.line(4)))
    fits = int(str(refusal.value).split("at most ")[1].split()[0])
    ExactGame(toys.general(fits, StateNetwork.line(4)))
    with pytest.raises(ValueError, match="too many"):
        ExactGame(toys.general(fits + 1, StateNetwork.line(4)))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (np.full((3, 4, 2), 0.5)[:2], r"must have shape \(S, N \+ 1, A\) = \(3, 4, 2\), not \(2, 4, 2\)"),
        (np.full((3, 4, 2), 0.4), "must be non-negative and sum to 1"),
        (np.tile([1.5, -0.5], (3, 4, 1)), "must be non-negative and sum to 1"),
        (np.full((3, 4, 2), np.nan), "must be non-negative and sum to 1"),
    ],
)
def test_policies_it_refuses(table: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ExactGame(toys.general(3)).state_values(table)


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (np.zeros((1, 3, 3), int), "each summing to the population"),
        (np.full((1, 3, 2), 1), "must be action counts"),
        (np.array([[[2, 0, 0], [0, 0, 0], [0, 0, 1]]]), "under illegal actions"),
    ],
)
def test_pairs_it_refuses(pairs: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ExactGame(toys.deterministic(3)).pair_transition(pairs)


def test_a_team_law_must_be_one() -> None:
    policy = toys.Unanimous(toys.general(3))
    policy.team_law = lambda place, n: np.ones(n + 1)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"team_law\(0, 1\) must be probabilities"):
        ExactGame(policy.model).state_values(policy)
