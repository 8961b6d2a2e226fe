"""One policy in the exact game: laws, action values, gradients and the best decentralised policy.

The truth is elsewhere: agents with names, finite differences, series summed term by term, loops over every pair.
"""

from functools import cache
from typing import Any

import networkx as nx
import numpy as np
import pytest
import toys

from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies.individual import IndividualPolicy
from mfnet_envs.compositions import compositions
from mfnet_envs.exact import ExactGame, IndividualTable, NamedGame, TeamTable, best_individual, best_team
from mfnet_envs.exact.search import as_team
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Individually, uniform

FORMS = list(toys.every_form())


@cache
def game_of(form: str, population: int = 3) -> ExactGame:
    return ExactGame(toys.every_form(population)[form], gamma=0.9)


def softmax(x: np.ndarray) -> np.ndarray:
    w = np.exp(x - x.max(-1, keepdims=True))
    return w / w.sum(-1, keepdims=True)


def logits_of(model: LocalModel, seed: int = 0) -> np.ndarray:
    """Logits of a table; illegal actions have some too, and are played as the first legal one."""
    shape = (model.network.num_states, model.population + 1, model.num_actions)
    return np.random.default_rng(seed).normal(size=shape)


def slope(j: Any, x: np.ndarray, direction: np.ndarray) -> float:
    """Central difference of ``j`` along a direction, with the third-order error removed."""

    def central(e: float) -> float:
        return float((j(x + e * direction) - j(x - e * direction)) / (2 * e))

    return (4 * central(1e-3) - central(2e-3)) / 3


# -- values and laws


@pytest.mark.parametrize("form", ["two ways", "quota", "deterministic", "transit"])
def test_action_values_are_those_of_named_agents(form: str) -> None:
    """(10): agents with names take given actions once and follow the policy after; team by team, and in the sum."""
    model = toys.every_form(2)[form]
    game, named, pi = ExactGame(model, gamma=0.9), NamedGame(model), softmax(logits_of(model))
    values = named.values(pi, 0.9)
    q = game.action_values(pi)
    for i, pair in enumerate(game.pairs):
        cells = [(s, a) for s, a in np.ndindex(pair.shape) for _ in range(pair[s, a])]
        joint = tuple(s for s, _ in cells)
        following = named.law(joint, [np.eye(model.num_actions)[a] for _, a in cells]).reshape(-1)
        rewards = np.array([named.single(joint)[0][cell] for cell in cells])
        assert q[i].sum() == pytest.approx((rewards + 0.9 * following @ values).mean(), abs=1e-10)
    # team by team: what the agents who will stand in s earn counts for s
    shares = np.zeros((len(named.states), named.s))
    _, rewards = named.chain(pi)
    for row, joint, reward in zip(shares, named.states, rewards, strict=True):
        np.add.at(row, list(joint), reward / named.n)
    by_team = np.linalg.solve(np.eye(len(shares)) - 0.9 * named.chain(pi)[0], shares)
    place = game.index(np.array([named.counts(joint) for joint in named.states]))
    mixed = game.mixing(pi) @ q
    np.testing.assert_allclose(mixed[place], by_team, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_visitation_is_its_series(form: str) -> None:
    """(12): (1 - gamma) sum gamma^t P_0 P^t, term by term; and J (11) is the mean reward under it over 1 - gamma."""
    game = game_of(form)
    at = game.under(softmax(logits_of(game.model)))
    here, series = game.initial, np.zeros(len(game.initial))
    for t in range(400):
        series += 0.1 * 0.9**t * here
        here = here @ at.transition
    np.testing.assert_allclose(at.visitation, series, atol=1e-12)
    assert at.objective == pytest.approx(series @ at.team_rewards.sum(1) / 0.1, abs=1e-9)
    assert at.of_pairs(at.visitation).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_stationary_law_is_where_the_chain_ends(form: str) -> None:
    game = game_of(form)
    at = game.under(softmax(logits_of(game.model)))
    np.testing.assert_allclose(at.stationary, game.initial @ np.linalg.matrix_power(at.transition, 2**14), atol=1e-9)


def test_stationary_law_of_a_chain_that_splits_or_turns() -> None:
    """Agents who stay keep their first law; those who swap two places for ever spend half of their time in each."""
    model = toys.deterministic(3, StateNetwork.line(2), initial=[0.2, 0.8])
    game = ExactGame(model)
    stay, swap = np.zeros((2, 2, 4, 2))
    stay[..., 0] = swap[..., 1] = 1
    np.testing.assert_allclose(game.stationary(stay), game.initial, atol=1e-12)
    np.testing.assert_allclose(game.stationary(swap), (game.initial + game.initial[::-1]) / 2, atol=1e-12)
    # one way: from node 0 everybody leaves for good
    np.testing.assert_allclose(game.stationary(np.stack([swap[0], stay[1]])), [1, 0, 0, 0], atol=1e-12)
    # alone they stay, and so do two against one; three of a kind part: the lasting states are those in between
    part = stay.copy()
    part[:, 3] = 0.5
    nu = game.stationary(part)
    ends = np.array([0, 3 / 8, 3 / 8, 0]) / (1 - 1 / 4)
    assert nu == pytest.approx([0, *(game.initial[1:3] + (game.initial[0] + game.initial[3]) * ends[1:3]), 0])


@pytest.mark.parametrize("form", ["two ways", "quota", "two layers"])
def test_bellman_equation(form: str) -> None:
    """(19) in loops: h' is drawn given mu', not given mu; the exact Q solves it."""
    game = ExactGame(toys.every_form(2)[form], gamma=0.9)
    pi = softmax(logits_of(game.model))
    q = np.random.default_rng(1).normal(size=game.pair_rewards.shape)
    chance, law = game.pair_probabilities(pi), game.pair_transition()
    expected = np.empty_like(q)
    for p in range(len(q)):
        after = sum(law[p, game.pair_counts[o]] * chance[o] * q[o] for o in range(len(q)))
        expected[p] = game.pair_rewards[p] + 0.9 * after - q[p]
    np.testing.assert_allclose(game.bellman_residual(pi, q), expected, atol=1e-12)
    assert np.abs(game.bellman_residual(pi, game.action_values(pi))).max() < 1e-12
    with pytest.raises(ValueError, match=r"q must have shape \(pairs, states\)"):
        game.bellman_residual(pi, q[:, :1])


# -- gradients


@pytest.mark.parametrize("form", FORMS)
def test_gradient_of_a_table_is_a_finite_difference(form: str) -> None:
    """(17) over logits, with illegal actions among them, against differences of exact J; it sums to 0 in each row."""
    game = game_of(form)
    x = logits_of(game.model)
    gradient = game.policy_gradient(softmax(x))
    rng = np.random.default_rng(3)
    for _ in range(4):
        direction = rng.normal(size=x.shape)
        found = slope(lambda y: game.objective(softmax(y)), x, direction)
        assert (gradient * direction).sum() == pytest.approx(found, rel=1e-6, abs=1e-8)
    np.testing.assert_allclose(gradient.sum(2), 0, atol=1e-12)
    assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("form", ["deterministic", "quota", "two layers"])
def test_gradient_of_team_laws_is_a_finite_difference(form: str) -> None:
    game = game_of(form)
    laws = as_team(IndividualTable(game.model, softmax(logits_of(game.model))))
    x = np.log(np.maximum(laws, 1e-300))

    def j(y: np.ndarray) -> float:
        return game.objective(TeamTable(game.model, softmax(np.where(laws > 0, y, -1e3))))

    direction = np.random.default_rng(4).normal(size=x.shape)
    gradient = game.policy_gradient(TeamTable(game.model, laws))
    assert (gradient * direction).sum() == pytest.approx(slope(j, x, direction), rel=1e-6, abs=1e-8)


def test_gradient_of_a_learner_is_a_finite_difference() -> None:
    model = toys.line(3, 3)
    game = ExactGame(model, gamma=0.9)
    net = TwoLayer.create(np.random.default_rng(3), 3, 4, 6, symmetric=False)
    policy = IndividualPolicy(model, net, "share", 1.3)
    gradient, theta = game.policy_gradient(policy), net.start.numpy().copy()

    def j(weights: np.ndarray) -> float:
        policy.update(net.start.new_tensor(weights))
        return game.objective(policy)

    direction = np.random.default_rng(4).normal(size=theta.shape)
    assert (gradient * direction).sum() == pytest.approx(slope(j, theta, direction), rel=1e-6)


def test_a_policy_without_parameters_has_no_gradient() -> None:
    game = game_of("two ways")
    with pytest.raises(ValueError, match="TablePolicy has no weighted_score: it has no parameters to derive by"):
        game.policy_gradient(uniform(game.model))


def team_gradient_in_loops(game: ExactGame, pi: np.ndarray, bracket: np.ndarray, team: int) -> np.ndarray:
    """sum over pairs of sigma Pi bracket / (1 - gamma) times d log pi(team, n) / d logits, every action legal."""
    sigma, chance = game.visitation(pi), game.pair_probabilities(pi)
    gradient = np.zeros(pi.shape[1:])
    for p, pair in enumerate(game.pairs):
        n = pair[team].sum()
        weight = sigma[game.pair_counts[p]] * chance[p] * bracket[p] / (1 - game.gamma)
        gradient[n] += weight * (pair[team] - n * pi[team, n])
    return gradient


@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("credit_hops", [0, 1, 2])
def test_local_gradient_in_loops(hops: int, credit_hops: int) -> None:
    """(18): Q_y replaced by its mean over what y cannot see, and summed over a ball, pair by pair."""
    game = ExactGame(toys.two_ways(2, StateNetwork.line(4)), gamma=0.9)
    pi = softmax(logits_of(game.model))
    q, graph = game.action_values(pi), nx.path_graph(4)
    weight = game.visitation(pi)[game.pair_counts] * game.pair_probabilities(pi)
    local = np.zeros_like(q)
    for y in range(4):
        ball = [v for v in graph if abs(v - y) <= hops]
        seen = {p: tuple(pair[ball].reshape(-1)) for p, pair in enumerate(game.pairs)}
        for look in set(seen.values()):
            alike = [p for p in seen if seen[p] == look]
            local[alike, y] = np.average(q[alike, y], weights=weight[alike])
    np.testing.assert_allclose(game.under(pi).local_action_values(hops), local, atol=1e-10)
    found = game.local_policy_gradient(pi, hops, credit_hops)
    for s in range(4):
        bracket = local[:, [y for y in graph if abs(y - s) <= credit_hops]].sum(1)
        np.testing.assert_allclose(found[s], team_gradient_in_loops(game, pi, bracket, s), atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_a_ball_that_holds_all_gives_the_gradient(form: str) -> None:
    game = game_of(form)
    at = game.under(softmax(logits_of(game.model)))
    diameter = game.model.network.diameter
    np.testing.assert_allclose(at.local_policy_gradient(diameter), at.policy_gradient, atol=1e-11)
    if diameter > 1:
        assert np.abs(at.local_policy_gradient(0) - at.policy_gradient).max() > 1e-3


def test_critics_out_of_sight_say_nothing() -> None:
    """Reading 7: given mu the teams act independently, so a Q_y that does not see s adds nothing to the mean at s."""
    game = ExactGame(toys.two_ways(3, StateNetwork.line(4)), gamma=0.9)
    at = game.under(softmax(logits_of(game.model)))
    for hops in (0, 1, 2):
        local = at.local_action_values(hops)
        everything, ball = at.credited(local, 3), at.credited(local, hops)
        np.testing.assert_allclose(everything, ball, atol=1e-11)


@pytest.mark.parametrize("form", ["two ways", "general", "quota", "two layers"])
@pytest.mark.parametrize("hops", [0, 1])
def test_advantages_of_long_sight_need_no_critic(form: str, hops: int) -> None:
    """At lambda = 1 the advantage is the return less a baseline: summed over all nodes it gives (17) whatever k."""
    game = game_of(form)
    at = game.under(softmax(logits_of(game.model)))
    found = at.credited(at.local_advantages(hops, 1.0), game.model.network.diameter)
    np.testing.assert_allclose(found, at.policy_gradient, atol=1e-9)


@pytest.mark.parametrize("lambda_", [0.0, 0.6])
def test_advantages_have_mean_zero_on_what_a_critic_sees(lambda_: float) -> None:
    """The critic is TD(lambda)'s fixed point: no correction is left on any neighbourhood, in the mean under sigma."""
    game = ExactGame(toys.two_ways(3, StateNetwork.line(4)), gamma=0.9)
    at = game.under(softmax(logits_of(game.model)))
    mean = at.visitation[:, None] * (at.mixing @ at.local_advantages(1, lambda_))
    for y in range(4):
        ball = [v for v in range(4) if abs(v - y) <= 1]
        looks = np.unique(game.count_vectors[:, ball], axis=0, return_inverse=True)[1].reshape(-1)
        np.testing.assert_allclose(np.bincount(looks, mean[:, y]), 0, atol=1e-12)
    full = at.credited(at.local_advantages(3, lambda_), 3)
    np.testing.assert_allclose(full, at.policy_gradient, atol=1e-9)


# -- decay


def test_spread_in_loops() -> None:
    game = game_of("general, ring")
    q = game.action_values(softmax(logits_of(game.model)))
    ring = nx.cycle_graph(4)
    for hops in (0, 1, 2):
        found = game.spread(q, hops)
        for y in ring:
            ball = sorted(nx.ego_graph(ring, y, hops))
            seen: dict[tuple[int, ...], list[float]] = {}
            for pair, value in zip(game.pairs, q[:, y], strict=True):
                seen.setdefault(tuple(pair[ball].reshape(-1)), []).append(value)
            assert found[y] == pytest.approx(max(max(v) - min(v) for v in seen.values()), abs=1e-12)


@pytest.mark.parametrize("reads", ["none", "own", "hood"])
def test_influence_decays_as_corrected(reads: Any) -> None:
    """Reading 6: osc / (1 - gamma) gamma^((k + 1) // 2), and gamma^k where the kernel reads its own node at most.

    Rewards of the toys lie in (-1, 1), so osc = 2.
    """
    game = ExactGame(toys.general(3, StateNetwork.line(6), kernel_reads=reads), gamma=0.6)
    q = game.action_values(softmax(logits_of(game.model)))
    for k in range(6):
        bound = 2 / 0.4 * 0.6 ** (k if reads in ("none", "own") else (k + 1) // 2)
        assert game.spread(q, k).max() <= bound
    assert game.spread(q, 2).max() > 0.01


class Signal(LocalModel):
    """On a line, everybody stays, but whoever stands at 2 goes to 1 if somebody is at 3; 0 pays if somebody is at 1."""

    def __init__(self, population: int, nodes: int, initial: Any = None) -> None:
        network = StateNetwork.line(nodes)
        super().__init__(
            network=network,
            population=population,
            num_actions=1,
            branches=toys.slots(network),
            reward_range=(0, 1),
            initial=initial,
        )

    def reward(self, mu_hood: Any) -> Any:
        paid = np.zeros((len(mu_hood), self.network.num_states, 1))
        paid[:, 0, 0] = mu_hood[:, 0, 1, 0] > 0
        return paid

    def branch_weights(self, mu_hood: Any) -> Any:
        stay = np.zeros((len(mu_hood), self.network.num_states, 1, mu_hood.shape[2]))
        stay[..., 0] = 1
        if self.network.num_states > 3:
            down, up = (list(self.network.neighbors[2]).index(v) for v in (1, 3))
            ahead = mu_hood[:, 2, up, 0] > 0
            stay[:, 2, 0, 0], stay[:, 2, 0, down] = ~ahead, ahead
        return stay


def test_printed_lemma_4_2_fails_at_k_0_and_2() -> None:
    """Closed forms of the differences, above the printed bound and not above the corrected one (reading 6)."""
    gamma = 0.1
    for nodes, population, k, alike in (
        (3, 2, 0, ([1, 1, 0], [1, 0, 1])),
        (5, 5, 2, ([3, 0, 1, 1, 0], [3, 0, 1, 0, 1])),
    ):
        game = ExactGame(Signal(population, nodes), gamma=gamma)
        values = game.state_values(uniform(game.model))[game.index(np.array(alike)), 0]
        difference = abs(values[0] - values[1])
        at_zero = alike[0][0] / population
        closed_form = at_zero * (1 if k == 0 else gamma) / (1 - gamma)
        assert difference == pytest.approx(closed_form, abs=1e-12)
        printed, corrected = (gamma**e / (1 - gamma) for e in ((k + 1) / 2, (k + 1) // 2))
        assert printed < difference <= corrected
        assert game.spread(game.state_values(uniform(game.model)), k)[0] == pytest.approx(difference, abs=1e-12)


# -- the best decentralised policy


class Split(LocalModel):
    """Two agents start at node 0 of the line 1 - 0 - 2; the action picks a leaf; alone on a leaf one is paid."""

    def __init__(self) -> None:
        network = StateNetwork(nx.Graph([(0, 1), (0, 2)]))
        successors = [[1, 2], [0, 0], [0, 0]]
        super().__init__(
            network=network,
            population=2,
            num_actions=2,
            branches=(toys.Branch.to(successors),),
            reward_range=(0, 1),
            initial=[1, 0, 0],
            legal=[[True, True], [True, False], [True, False]],
        )

    def reward(self, mu_hood: Any) -> Any:
        alone = (mu_hood[:, :, 0, 0] == 0.5) & (np.arange(3) > 0)
        return np.repeat(alone[..., None].astype(float), 2, 2)

    def branch_weights(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), 3, 1, 1))


def test_classes_of_policies_are_ordered() -> None:
    """Reading 12. Two independent agents split half of the time at best, a team always: gamma / (1 - gamma^2) / 2 and
    gamma / (1 - gamma^2). Nobody stands alone at node 0 here, so a planner can do no more than the team."""
    game, gamma = ExactGame(Split(), gamma=0.9), 0.9
    individual = best_individual(game, np.random.default_rng(0))
    team = best_team(game, np.random.default_rng(0))
    assert individual.value == pytest.approx(gamma / (1 - gamma**2) / 2, abs=1e-8)
    assert team.value == pytest.approx(gamma / (1 - gamma**2), abs=1e-8)
    assert game.expected(game.optimal_values()) == pytest.approx(team.value, abs=1e-8)
    assert game.objective(team.policy) == team.value
    assert individual.agreeing >= 1


def test_searches_beat_what_is_tried_at_random() -> None:
    game = ExactGame(toys.general(2, StateNetwork.line(3)), gamma=0.9)
    individual, team = (search(game, np.random.default_rng(0)) for search in (best_individual, best_team))
    tried = [game.objective(softmax(3 * logits_of(game.model, seed))) for seed in range(300)]
    assert max(tried) <= individual.value <= team.value <= game.expected(game.optimal_values()) + 1e-9
    gradient = game.policy_gradient(individual.policy)
    assert np.abs(gradient).max() < 1e-4  # a stationary point over logits


def test_team_tables() -> None:
    """As multinomials they are the individual policy; they are drawn from as their law says; their marginal is E h."""
    model = toys.deterministic(4)
    game, pi = ExactGame(model), softmax(logits_of(model))
    pi = np.where(model.legal[:, None], pi, 0)
    pi /= pi.sum(2, keepdims=True)
    team = TeamTable(model, as_team(IndividualTable(model, pi)))
    np.testing.assert_allclose(game.transition(team), game.transition(pi), atol=1e-13)
    np.testing.assert_allclose(game.state_values(team), game.state_values(pi), atol=1e-11)
    counts = np.array([[1, 3, 0], [4, 0, 0]])
    # an empty team plays nothing; its marginal is the first legal action
    shown = team.individual(counts)
    for world, s in ((0, 0), (0, 1), (1, 0)):
        assert shown[world, s] == pytest.approx(pi[s, counts[world, s]])
    drawn = team.sample(np.tile(counts[0], (4000, 1)), 0, np.random.default_rng(0))
    assert (drawn.sum(2) == counts[0]).all()
    law = team.team_law(1, 3)
    seen = np.bincount(
        [np.flatnonzero((compositions(3, 3) == row).all(1))[0] for row in drawn[:, 1]], minlength=len(law)
    )
    assert (np.abs(seen - 4000 * law) <= 5 * np.sqrt(4000 * law * (1 - law)) + 1e-9).all()


@pytest.mark.parametrize(
    ("laws", "sentence"),
    [
        (np.zeros((2, 2, 2)), r"team laws must have shape \(T, N \+ 1, K\) = \(3, 3, 6\), not \(2, 2, 2\)"),
        (np.zeros((3, 3, 6)), "must be non-negative and sum to 1"),
        (np.eye(6)[np.zeros((3, 3), int)], "no probability to illegal actions"),
    ],
)
def test_team_tables_it_refuses(laws: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        TeamTable(toys.deterministic(2), laws)


def test_a_team_law_must_keep_to_legal_actions() -> None:
    class Astray(TeamTable):
        def team_law(self, place: int, n: int) -> np.ndarray:
            law = np.zeros(len(compositions(n, 3)))
            law[0] = 1  # everybody takes the last action
            return law

    model = toys.deterministic(2)
    policy = Astray(model, as_team(IndividualTable(model, np.full((3, 3, 3), 1 / 3))))
    with pytest.raises(ValueError, match=r"team_law\(0, 1\) must give no probability to illegal actions"):
        ExactGame(model).state_values(policy)


def test_independent_learners_need_no_pairs() -> None:
    """A learnt individual policy is valued at its count vectors, in a game with too many pairs to enumerate."""
    model = toys.line(5, 8)
    game = ExactGame(model, gamma=0.9)
    net = TwoLayer.create(np.random.default_rng(3), 5, 4, 6, symmetric=False)
    policy = IndividualPolicy(model, net, "share", 1.3)
    every_size = np.repeat(np.arange(9)[:, None], 5, 1)
    table = policy.individual(every_size).transpose(1, 0, 2)
    with pytest.raises(ValueError, match="pairs of counts and actions, too many"):
        game.action_values(policy)
    np.testing.assert_allclose(game.state_values(policy), game.state_values(table), atol=1e-11)


def test_teams_that_draw_together_must_give_their_law() -> None:
    """Otherwise they would be taken for independent agents with the same mean."""

    class Together(TeamTable):
        team_law = property()  # type: ignore[assignment]

    model = toys.general(3)
    laws = as_team(IndividualTable(model, softmax(logits_of(model))))
    with pytest.raises(ValueError, match=r"teams of Together draw their actions together.*Individually\(policy\)"):
        ExactGame(model).state_values(Together(model, laws))
    marginal = Individually(Together(model, laws))
    np.testing.assert_allclose(ExactGame(model).transition(marginal).sum(1), 1, atol=1e-12)
