"""The three classes of decentralised policies against their laws written out, one composition at a time."""

import itertools
import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
import toys
from scipy import stats

from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies import individual as policies
from mfnet_agents.policies.energy import EnergyPolicy
from mfnet_agents.policies.individual import IndividualPolicy, LearnedPolicy
from mfnet_envs import compositions as tables
from mfnet_envs.model import LocalModel

Kind = Literal["individual", "energy", "per agent", "tilted"]
KINDS: tuple[Kind, ...] = ("individual", "energy", "per agent", "tilted")
TAU = 1.7
N = 5


def model(population: int = N) -> LocalModel:
    """Three nodes in a row: three actions, one of them illegal at either end."""
    return toys.line(3, population)


def policy_of(kind: Kind, crowd: Any = "share", tau: float = TAU, population: int = N, width: int = 6) -> LearnedPolicy:
    """A policy with weights away from their start, so that the teams' laws are far from uniform."""
    game = model(population)
    family = IndividualPolicy if kind == "individual" else EnergyPolicy
    net = TwoLayer.create(np.random.default_rng(5), 3, family.inputs(game, crowd), width, symmetric=False)
    policy: LearnedPolicy = (
        IndividualPolicy(game, net, crowd, tau)
        if kind == "individual"
        else EnergyPolicy(game, net, crowd, tau, tilted=kind == "tilted", per_agent=kind == "per agent")
    )
    policy.update(1.5 * net.start + 0.3)
    return policy


def compositions(n: int, parts: int) -> list[tuple[int, ...]]:
    return [h for h in itertools.product(range(n + 1), repeat=parts) if sum(h) == n]


def written_out(policy: LearnedPolicy, kind: Kind, s: int, n: int, tau: float = TAU) -> dict[tuple[int, ...], float]:
    """The law of h(s) from (13), (14) or (5), in plain loops; ``crowd_input="share"``."""
    signs, weights = policy.net.signs[s].numpy(), policy.theta[s].detach().numpy()

    def f(*x: float) -> float:
        return sum(b * max(0.0, float(w @ np.array(x))) for b, w in zip(signs, weights.T, strict=True)) / math.sqrt(6)

    mu, legal = n / policy.model.population, policy.model.legal[policy.model.team_states[s]]
    chances = {}
    for h in compositions(n, 3):
        if any(taken and not allowed for taken, allowed in zip(h, legal, strict=True)):
            chances[h] = 0.0
        elif kind == "individual":
            weight = [math.exp(tau * f(mu, *np.eye(3)[a])) if legal[a] else 0.0 for a in range(3)]
            pi = [w / sum(weight) for w in weight]
            chances[h] = float(stats.multinomial.pmf(h, n, pi))
        else:
            share = [x / max(n, 1) for x in h]
            base = math.factorial(n) / math.prod(map(math.factorial, h)) if kind == "tilted" else 1
            chances[h] = base * math.exp(tau * f(mu, *share) * (1 if kind == "energy" else n))
    total = sum(chances.values())
    return {h: chance / total for h, chance in chances.items()}


def teams_of(s: int, rows: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Samples (sizes, actions) in which team ``s`` plays each of ``rows`` and the other teams are empty."""
    actions = np.zeros((len(rows), 3, 3), np.int64)
    actions[:, s] = rows
    return actions.sum(2), actions


def legal_rows(policy: LearnedPolicy, s: int, n: int) -> list[tuple[int, ...]]:
    legal = policy.model.legal[policy.model.team_states[s]]
    return [h for h in compositions(n, 3) if not np.array(h)[~legal].any()]


# -- the laws


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", range(N + 1))
def test_team_law_is_as_written(kind: Kind, n: int) -> None:
    policy = policy_of(kind)
    for s in range(3):
        truth = written_out(policy, kind, s, n)
        law = policy.team_law(s, n)
        assert law.sum() == pytest.approx(1, abs=1e-12)
        assert law == pytest.approx(list(truth.values()), abs=1e-12)  # itertools is lexicographic too


@pytest.mark.parametrize("kind", KINDS)
def test_log_prob_is_as_written(kind: Kind) -> None:
    policy = policy_of(kind)
    for s in range(3):
        rows = legal_rows(policy, s, 4)
        truth = written_out(policy, kind, s, 4)
        found = policy.log_prob(*teams_of(s, rows))[:, s]
        assert found.tolist() == pytest.approx([math.log(truth[h]) for h in rows], abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_follows_the_law(kind: Kind) -> None:
    """Chi-square over the compositions of teams of sizes 3, 0 and 2, drawn in one batch."""
    policy, draws = policy_of(kind), 20_000
    counts = np.tile([3, 0, 2], (draws, 1))
    drawn = policy.sample(counts, 0, np.random.default_rng(11))
    assert (drawn.sum(2) == counts).all()
    assert not drawn[:, ~policy.model.legal].any()
    for s, n in ((0, 3), (2, 2)):
        truth = written_out(policy, kind, s, n)
        seen = {h: int((drawn[:, s] == h).all(1).sum()) for h in truth}
        likely = [h for h in truth if truth[h] * draws >= 5]
        rare = [h for h in truth if 0 < truth[h] * draws < 5]
        observed = [seen[h] for h in likely] + [sum(seen[h] for h in rare)]
        expected = [truth[h] * draws for h in likely] + [sum(truth[h] for h in rare) * draws]
        keep = [i for i, e in enumerate(expected) if e > 0]
        assert sum(observed) == draws
        found = stats.chisquare([observed[i] for i in keep], [expected[i] for i in keep], sum_check=False)
        assert found.pvalue > 1e-3, (kind, s, n)


@pytest.mark.parametrize("kind", KINDS)
def test_marginal_is_the_mean_share(kind: Kind) -> None:
    """What single agents play: pi_bar(a) = E h(a)."""
    policy = policy_of(kind)
    pi = policy.teams(np.array([[4, 1, 0], [2, 0, 3]]), 0)
    for world, s, n in ((0, 0, 4), (0, 1, 1), (1, 0, 2), (1, 2, 3)):
        truth = written_out(policy, kind, s, n)
        assert pi[world, s] == pytest.approx(sum(p * np.array(h) / n for h, p in truth.items()), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_tilted_contains_the_individual_class(kind: Kind) -> None:
    """With weights >= 0 no neuron ever switches off, f is linear in h, and the tilted law is the multinomial (5).

    The other energies stay something else, for teams of more than one: (14) is not multinomial.
    """
    policy = policy_of(kind)
    policy.update(policy.theta.abs())
    scale = policy.net.scale.numpy()
    for s, n in ((1, 4), (1, 1), (0, 3)):
        slope = policy.theta[s, 1:].numpy() @ scale[s]
        pi = np.where(policy.model.legal[s], np.exp(TAU * slope), 0)
        law = [float(stats.multinomial.pmf(h, n, pi / pi.sum())) for h in compositions(n, 3)]
        same = policy.team_law(s, n) == pytest.approx(law, abs=1e-10)
        assert same == (kind in ("individual", "tilted") or n == 1)


def test_counting_measure_does_not_concentrate() -> None:
    """f = 0, two actions, n agents: (14) is uniform on 0 .. n, with variance (n + 2) / 12n of h; the tilted form is
    binomial, with 1 / 4n. A large team under (14) acts with macroscopic noise."""
    game, n = toys.line(2, 200), 200
    for tilted, variance in ((False, (n + 2) / (12 * n)), (True, 1 / (4 * n))):
        net = TwoLayer.create(np.random.default_rng(0), 2, 3, 4, symmetric=True)
        law = EnergyPolicy(game, net, "share", 1.0, tilted=tilted, per_agent=False).team_law(0, n)
        h = np.arange(n + 1) / n
        assert law @ h == pytest.approx(0.5)
        assert law @ (h - 0.5) ** 2 == pytest.approx(variance)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_team(kind: Kind) -> None:
    """Nobody acts: a point mass on h = 0, and no score."""
    policy = policy_of(kind)
    assert policy.team_law(1, 0).tolist() == [1.0]
    sizes, actions = np.zeros((2, 3), np.int64), np.zeros((2, 3, 3), np.int64)
    assert not policy.weighted_score(sizes, actions, torch.ones((2, 3), dtype=torch.float64)).any()
    assert policy.log_prob(sizes, actions).tolist() == pytest.approx(np.zeros((2, 3)))
    pi = policy.teams(np.zeros((1, 3), np.int64), 0)
    assert pi.sum(2) == pytest.approx(np.ones((1, 3)))
    assert not pi[:, ~policy.model.legal].any()


# -- scores


@pytest.mark.parametrize("crowd", ["share", "scaled", "bounded"])
@pytest.mark.parametrize("kind", KINDS)
def test_score_is_the_gradient_of_log_prob(kind: Kind, crowd: str) -> None:
    """grad_theta sum_l c_l log Pi(h_l) by autograd, every team and many sizes at once; so the temperature is inside."""
    policy = policy_of(kind, crowd)
    rng = np.random.default_rng(2)
    counts = rng.multinomial(N, [0.3, 0.3, 0.4], 40)
    actions = policy.sample(counts, 0, rng)
    c = torch.as_tensor(rng.normal(size=counts.shape))
    found = policy.weighted_score(counts, actions, c)
    theta = policy.theta.clone().requires_grad_(True)
    policy.update(theta)
    (c * policy.log_prob(counts, actions)).sum().backward()
    assert theta.grad is not None
    assert float(theta.grad.abs().max()) > 0.1
    torch.testing.assert_close(found, theta.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 3, 5])
def test_mean_score_is_zero(kind: Kind, n: int) -> None:
    """E grad log Pi = 0: all compositions of a team, each with its probability."""
    policy = policy_of(kind)
    for s in range(3):
        rows = legal_rows(policy, s, n)
        truth = written_out(policy, kind, s, n)
        c = torch.zeros((len(rows), 3), dtype=torch.float64)
        c[:, s] = torch.as_tensor(np.array([truth[h] for h in rows]))
        sizes, actions = teams_of(s, rows)
        size = float(policy.weighted_score(sizes, actions, (c > 0).double()).abs().max())
        assert float(policy.weighted_score(sizes, actions, c).abs().max()) < 1e-12 * max(1.0, size)


def test_score_of_the_energy_class_is_16() -> None:
    """tau (phi(mu, h) - E phi(mu, h')), with phi = M^{-1/2} b 1{W x > 0} x and the mean over compositions."""
    policy, s, h = policy_of("energy"), 1, (1, 0, 2)
    weights, signs = policy.theta[s].numpy(), policy.net.signs[s].numpy()

    def phi(row: tuple[int, ...]) -> np.ndarray:
        x = np.array([3 / N, *(a / 3 for a in row)])
        return x[:, None] * (signs * (weights.T @ x > 0) / math.sqrt(6))

    mean = sum(p * phi(row) for row, p in written_out(policy, "energy", s, 3).items())
    found = policy.weighted_score(*teams_of(s, [h]), torch.ones((1, 3), dtype=torch.float64))
    assert found[s].numpy() == pytest.approx(TAU * (phi(h) - mean), abs=1e-12)
    assert not found[[0, 2]].any()


# -- tables and their limits


@pytest.mark.parametrize("population", [N, 300])
def test_table_and_direct_path_agree(population: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(population, [0.2, 0.3, 0.5], 30)
    c = torch.as_tensor(rng.normal(size=counts.shape))
    tabulated = policy_of("individual", "scaled", population=population)
    actions = tabulated.sample(counts, 0, rng)
    pi, score = tabulated.teams(counts, 0), tabulated.weighted_score(counts, actions, c)
    monkeypatch.setattr(policies, "TABLE_LIMIT", 0)
    direct = policy_of("individual", "scaled", population=population)
    assert direct.teams(counts, 0) == pytest.approx(pi, abs=1e-12)
    torch.testing.assert_close(direct.weighted_score(counts, actions, c), score, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_larger_tables_change_no_bit(kind: Kind) -> None:
    """Sizes met elsewhere, or in an evaluation in between, leave laws and scores as they were."""
    rng = np.random.default_rng(0)
    fresh, used = policy_of(kind, population=20), policy_of(kind, population=20)
    used.teams(np.array([[20, 0, 0]]), 0)
    counts = np.array([[1, 2, 0], [3, 1, 1]])
    assert np.array_equal(fresh.teams(counts, 0), used.teams(counts, 0))
    actions = fresh.sample(counts, 0, np.random.default_rng(1))
    assert np.array_equal(actions, used.sample(counts, 0, np.random.default_rng(1)))
    c = torch.as_tensor(rng.normal(size=counts.shape))
    assert torch.equal(fresh.weighted_score(counts, actions, c), used.weighted_score(counts, actions, c))


def test_update_drops_the_tables() -> None:
    for kind in KINDS:
        policy = policy_of(kind)
        before = policy.teams(np.array([[2, 2, 1]]), 0)
        policy.update(policy.theta + 1.0 * policy.net.signs[:, None])
        assert not np.allclose(before, policy.teams(np.array([[2, 2, 1]]), 0))


def test_too_many_compositions() -> None:
    policy = policy_of("energy", population=200)
    with pytest.raises(
        ValueError,
        match=r"200 agents with 3 actions has 1,373,701 compositions.*energy_law='candidates' or 'metropolis'",
    ):
        policy.teams(np.array([[200, 0, 0]]), 0)


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_rows_and_ranks(parts: int) -> None:
    """The table of all compositions of 0 .. 6 is itertools' list, sizes one after the other, and row_of inverts it."""
    listed = [h for n in range(7) for h in compositions(n, parts)]
    assert [tuple(row) for row in tables.all_compositions(6, parts).tolist()] == listed
    assert tables.row_of(np.array(listed)).tolist() == list(range(len(listed)))
    starts = [next(i for i, h in enumerate(listed) if sum(h) == n) for n in range(7)]
    assert tables.first_row(np.arange(7), parts).tolist() == starts


# -- what a policy is shown


def test_crowd_features() -> None:
    """Shares n / N; S n / N, of mean one; and x / 2 - 1 / 2, log(1 + x) - .7 with x = min(n / reference, 4)."""
    game = toys.line(3, 10)  # demand .7 (.02, .02, 1) / 1.04, so 7 (...) riders a step
    n = torch.tensor([[5.0], [0.0], [10.0]], dtype=torch.float64)
    assert policies.crowd_features(n, game, "share").flatten().tolist() == pytest.approx([0.5, 0, 1])
    assert policies.crowd_features(n, game, "scaled").flatten().tolist() == pytest.approx([1.5, 0, 3])
    x = 10 / (7 / 1.04)
    bounded = policies.crowd_features(n, game, "bounded")[:, 0].tolist()
    assert bounded[0] == pytest.approx([4 / 2 - 0.5, math.log(5) - 0.7])
    assert bounded[1] == pytest.approx([-0.5, -0.7])
    assert bounded[2] == pytest.approx([x / 2 - 0.5, math.log(1 + x) - 0.7])


def test_what_is_usual_where_a_model_does_not_say() -> None:
    """An even share of the agents for each team, and never less than one agent."""
    model = toys.deterministic()
    assert model.reference_counts is None
    even = model.population / len(model.team_states)
    n = torch.full((len(model.team_states), 1), 2.0, dtype=torch.float64)
    x = 2 / max(even, 1)
    assert policies.crowd_features(n, model, "bounded")[0, 0].tolist() == pytest.approx(
        [min(x, 4) / 2 - 0.5, math.log(1 + min(x, 4)) - 0.7]
    )
    assert policies.bounded(n[:1, 0], torch.tensor([1e-3], dtype=torch.float64)).tolist() == [
        pytest.approx([0.5, math.log(3) - 0.7])
    ]
