"""What the experiments on gradients and classes of policies rest on, against closed forms and plain loops."""

import itertools
import math

import numpy as np
import pytest
import torch
import toys
from scipy import stats

from mfnet_agents.nets import TwoLayer
from mfnet_envs.compositions import compositions
from mfnet_envs.exact import ExactGame, IndividualTable, NamedGame, TeamTable
from mfnet_envs.network import StateNetwork
from mfnet_theory import classes, decay, estimate, gradient, radii
from mfnet_theory.instances import Crowded, Stayers
from mfnet_theory.statement import Settings

# -- classes


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
def test_agents_who_draw_alone_part_with_chance_2_p_q(p: float) -> None:
    """Every second step 2 p (1 - p) in the mean, from step 1 on."""
    model = classes.Splitting(gamma=0.8)
    table = np.zeros((3, 3, 2))
    table[..., 0] = 1
    table[0] = p, 1 - p
    assert ExactGame(model).objective(table) == pytest.approx(2 * p * (1 - p) * 0.8 / (1 - 0.64), abs=1e-12)


def test_a_team_parts_for_sure() -> None:
    game = ExactGame(classes.Splitting(gamma=0.8))
    laws = np.zeros((1, 3, 3))
    laws[0, 0, 0] = laws[0, 1, 0] = laws[0, 2, 1] = 1  # of two agents: one left, one right
    policy = TeamTable(game.model, laws)
    assert game.objective(policy) == pytest.approx(0.8 / 0.36, abs=1e-12)
    assert game.objective(classes.marginals(policy)) == pytest.approx(0.4 / 0.36, abs=1e-12)
    assert float(game.expected(game.optimal_values())) == pytest.approx(0.8 / 0.36, abs=1e-12)


def test_sharing_evenly_pays_exactly_a_third() -> None:
    """By hand, for six agents: two of six at a node earn 1 each; and the planner needs one step from anywhere."""
    game = ExactGame(classes.Evenly(gamma=0.9))
    paid = (game.rewards[..., 0] * game.count_vectors).sum(1)
    by_hand = [sum(n for n in counts if n == 2) for counts in game.count_vectors.tolist()]
    assert paid.tolist() == by_hand
    values = game.optimal_values()
    assert values == pytest.approx(np.array(by_hand) / 6 + 0.9 / (1 - 0.9), abs=1e-9)


def test_marginals_are_means_of_the_team_law() -> None:
    policy = classes.learned(classes.Evenly(4), "energy", 3)
    table = classes.marginals(policy).table
    for s, n in itertools.product(range(3), range(1, 5)):
        law = policy.team_law(s, n)  # type: ignore[attr-defined]
        mean = sum(chance * h / n for chance, h in zip(law, compositions(n, 3), strict=True))
        assert table[s, n] == pytest.approx(mean, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_flat_laws_are_uniform_and_binomial(n: int) -> None:
    assert classes.flat_law(n, "energy") == pytest.approx(np.full(n + 1, 1 / (n + 1)), abs=1e-12)
    assert classes.flat_law(n, "tilted") == pytest.approx(stats.binom.pmf(np.arange(n + 1), n, 0.5), abs=1e-12)
    uniform = stats.randint(0, n + 1).var() / n**2
    assert classes.spreads(n) == pytest.approx((uniform, stats.binom(n, 0.5).var() / n**2), abs=1e-12)


def test_linear_tilt_is_the_multinomial_and_curved_is_not() -> None:
    model = classes.Evenly(6)
    tilted, alone = (classes.linear(model, kind, 1) for kind in ("tilted", "individual"))
    pi = alone.individual(np.full((1, 3), 4), 0)[0]
    for s in range(3):
        truth = stats.multinomial.pmf(compositions(4, 3), 4, pi[s])
        assert tilted.team_law(s, 4) == pytest.approx(truth, abs=1e-12)  # type: ignore[attr-defined]
        assert np.ptp(truth) > 0.05
    curved = [classes.learned(model, kind, 1) for kind in ("tilted", "individual")]
    for policy in curved:
        policy.update(4 * policy.theta)
    assert max(classes.law_gap(*curved, s, 4) for s in range(3)) > 1e-3


def test_sharpest_stays_below_what_the_ball_allows() -> None:
    """|f(x; W) - f(x; W0)| <= R ||x||_1 = 2 (algorithms.md 4.14), so log-odds of h move by at most 4."""
    policy = classes.learned(classes.Evenly(5), "energy", 0, 128)
    before = max(policy.team_law(s, 5)[-1] for s in range(3))  # type: ignore[attr-defined]
    found = classes.sharpest(5, 0)
    odds = max(policy.team_law(s, 5)[-1] / (1 - policy.team_law(s, 5)[-1]) for s in range(3))  # type: ignore[attr-defined]
    assert 1.5 * before < found <= odds * math.exp(4) / (1 + odds * math.exp(4))


# -- gradients


@pytest.fixture(scope="module")
def small() -> ExactGame:
    return ExactGame(Crowded(StateNetwork.line(3), 2))


def test_slope_is_that_of_named_agents(small: ExactGame) -> None:
    """The central difference of J, by agents with names; and a gradient of another discount factor is found out."""
    case = gradient.table_case(small, 0)
    named = NamedGame(small.model)
    law = np.array([np.prod(small.model.initial[list(joint)]) for joint in named.states])

    def value(logits: np.ndarray) -> float:
        return float(law @ named.values(case.moved(logits).table, small.gamma).mean(1))  # type: ignore[attr-defined]

    direction = np.random.default_rng(0).normal(size=case.parameters.shape)
    exact, found = gradient.slope(case, direction)
    truth = (value(case.parameters + 1e-5 * direction) - value(case.parameters - 1e-5 * direction)) / 2e-5
    assert exact == pytest.approx(truth, rel=1e-6)
    assert found == pytest.approx(truth, rel=1e-6)
    other = gradient.table_case(ExactGame(small.model, 0.8), 0)
    assert gradient.slope(other, direction)[0] != pytest.approx(truth, rel=1e-2)


@pytest.mark.parametrize("kind", estimate.KINDS)
def test_log_law_by_hand(kind: str) -> None:
    """Two agents, two actions, one neuron per action with sign +: f(mu, h) = relu(h_a w_a) summed, over sqrt(2)."""
    model = Crowded(StateNetwork.line(3), 2)
    policy = gradient.learned(model, kind, 0, width=2)
    weights = torch.zeros((3, 3, 2), dtype=torch.float64)
    weights[:, 1, 0], weights[:, 2, 1] = 0.7, 1.9
    policy.net = TwoLayer(torch.ones((3, 2), dtype=torch.float64), weights)
    policy.update(weights)
    f = [1.9 / math.sqrt(2), 1.3 / math.sqrt(2), 0.7 / math.sqrt(2)]  # of (0, 2), (1, 1), (2, 0)
    tau = estimate.TAU
    weight = {
        "energy": [math.exp(tau * x) for x in f],
        "tilted": [c * math.exp(2 * tau * x) for c, x in zip((1, 2, 1), f, strict=True)],
        "individual": [math.exp(2 * tau * f[0]), 2 * math.exp(tau * (f[0] + f[2])), math.exp(2 * tau * f[2])],
    }[kind]
    law = gradient.log_law(policy, 1, 2, policy.theta).exp().numpy()
    assert law == pytest.approx(np.array(weight) / sum(weight), abs=1e-12)


@pytest.mark.parametrize("kind", estimate.KINDS)
def test_scores_are_found_wrong_when_the_temperature_is(kind: str, small: ExactGame) -> None:
    policy = gradient.learned(small.model, kind, 0)
    errors, checked = gradient.score_errors(policy, 1, 2)
    assert checked == 3
    assert errors.max() <= 1e-12
    honest = policy.weighted_score
    policy.weighted_score = lambda *given: 1.1 * honest(*given)  # type: ignore[method-assign]
    assert gradient.score_errors(policy, 1, 2)[0][1:3].min() > 1e-3


def test_bias_is_bounded_and_gone_on_the_whole_graph(small: ExactGame) -> None:
    for kind in estimate.KINDS:
        case = gradient.learned_case(small, kind, 0)
        biases = [case.biases(k).max() for k in range(3)]
        assert biases[0] > 1e-3
        assert biases[2] <= 1e-12
        for k, power in enumerate((0, 1, 1)):  # osc = 1, |S| = 3, ||zeta|| <= sqrt(2)
            agents = 1 if kind == "energy" else 2
            bound = 2 * estimate.TAU * agents * 3 * math.sqrt(2) * 0.9**power / 0.1**2
            assert case.bias_bound(k) == pytest.approx(bound)
            assert biases[k] <= bound
    assert decay.bound(small.model, 0.9, 2) == pytest.approx(9)


def test_estimate_has_the_mean_of_18_and_tells_mistakes() -> None:
    found = estimate.check_estimate("energy", 5, 120, 100)
    assert max(found.mean_error, found.dropped) <= 1e-12
    assert found.off <= found.limit < min(found.wrong.values())


def test_deviations_against_the_t_distribution() -> None:
    """The limit leaves CHANCE over all entries; a mean that is 10 errors off is seen; what never moves must agree."""
    drawn = np.random.default_rng(0).normal(size=(50, 4))
    drawn[:, 3] = 2.0
    truth = np.array([0.0, 0, 0, 2])
    limit, off = estimate.deviations(drawn, truth)
    assert 3 * 2 * stats.t.sf(limit, 49) == pytest.approx(estimate.CHANCE)
    assert off < limit
    assert estimate.deviations(drawn, truth + [10 * drawn[:, 0].std() / 50**0.5, 0, 0, 0])[1] > limit
    assert estimate.deviations(drawn, truth + [0, 0, 0, 0.1])[1] == math.inf


def test_a_model_without_choices_has_no_gradient() -> None:
    found = gradient.run(Settings(model=Stayers(StateNetwork.line(2), 2, gamma=0.9), say=lambda _: None))
    assert found.statements == ()
    assert "no state" in found.text.lower()


def test_users_model_keeps_17_and_18() -> None:
    """With transit, two layers and illegal actions."""
    found = gradient.run(Settings(model=toys.travelling(2), say=lambda _: None))
    assert [line.verdict for line in found.statements] == ["holds", "holds", "holds as corrected"]


# -- the two radii


def test_natural_step_is_the_advantage() -> None:
    """One step: logits move by A(s, n, a) - its mean under pi, here of a game where an agent alone chooses once."""
    model = classes.Splitting(gamma=0.5)
    game = ExactGame(model)
    table = np.zeros((3, 3, 2))
    table[..., 0] = 1
    table[0] = 0.25, 0.75
    at = game.under(IndividualTable(model, table))
    # told to go left, an agent is alone with chance .75 and parts both; to the right with chance .25
    worth = 0.5 * np.array([0.75, 0.25])  # of one choice, to the mean over agents
    expected = worth - 2 * 0.5 * 0.25 * 0.75
    assert radii.natural(at, at.policy_gradient)[0, 2] == pytest.approx(expected, abs=1e-12)


def test_full_radius_has_the_full_gradient_at_lambda_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything seen and credited, lambda-advantages are Q less a baseline, whatever lambda."""
    game = ExactGame(radii.busy_line([1, 3, 9], 2))
    shape = (3, 3, game.model.num_actions)
    logits = np.random.default_rng(0).normal(size=shape)
    at = game.under(IndividualTable(game.model, radii.softmax(game.model, logits)))
    for lambda_ in (0.0, 0.8, 1.0):
        monkeypatch.setattr(radii, "LAMBDA", lambda_)
        assert radii.truncated(at, (2, 2)) == pytest.approx(at.policy_gradient, abs=1e-10)
        assert radii.cosine(radii.truncated(at, (0, 0)), at.policy_gradient) < 0.999


def test_full_gradient_climbs_and_its_path_is_what_is_said() -> None:
    game = ExactGame(radii.busy_line([1, 3, 9], 2))
    path = radii.follow(game, (2, 2), 6, ((2, 2), (0, 0)))
    assert path.steps.tolist() == [0, 2, 4, 6]
    assert (np.diff(path.values) > 0).all()
    assert path.values[0] == pytest.approx(game.objective(np.ones((3, 3, 1)) * random_table(game)), abs=1e-12)
    assert path.own_cosine == pytest.approx(np.ones(4), abs=1e-9)
    assert path.values[-1] <= float(game.expected(game.optimal_values())) + 1e-9


def random_table(game: ExactGame) -> np.ndarray:
    """The uniform policy over legal actions, ``(S, 1, A)``."""
    legal: np.ndarray = game.model.legal[:, None].astype(float)
    return legal / legal.sum(2, keepdims=True)
