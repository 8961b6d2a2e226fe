"""Energy policies of large teams against enumeration, and the two ways of execution against the exact game."""

import itertools
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import toys
from scipy import stats

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies import energy_sampled
from mfnet_agents.policies.energy import EnergyPolicy
from mfnet_agents.policies.energy_sampled import SampledEnergyPolicy, chains_worth
from mfnet_agents.policies.individual import LearnedPolicy
from mfnet_envs.compositions import compositions, rank, uniform_compositions
from mfnet_envs.evaluate import evaluate
from mfnet_envs.exact import ExactGame
from mfnet_envs.policy import Individually, uniform

Form = Literal["fixed", "per agent", "tilted"]
FORMS: tuple[Form, ...] = ("fixed", "per agent", "tilted")
LAWS: tuple[energy_sampled.SampledLaw, ...] = ("candidates", "metropolis")
TAU = {"fixed": 4.0, "per agent": 0.3, "tilted": 0.5}
MIDDLE = 1  # the team of a line of three that has all three actions
K = 64


def policy_of(form: Form, law: str = "enumerate", population: int = 20, tau: float = 1.0, **more: Any) -> Any:
    """Weights away from their start; ``tau`` multiplies the temperature of the form."""
    game = toys.line(3, population)
    net = TwoLayer.create(np.random.default_rng(5), 3, 4, 32, symmetric=False)
    chosen: dict[str, Any] = {"tilted": form == "tilted", "per_agent": form == "per agent"}
    if law == "enumerate":
        policy: LearnedPolicy = EnergyPolicy(game, net, "share", tau * TAU[form], **chosen)
    else:
        options = {"law": law, "samples": K, **more}
        policy = SampledEnergyPolicy(game, net, "share", tau * TAU[form], **chosen, **options)
    policy.update(2 * net.start)
    return policy


def repeated(policy: SampledEnergyPolicy, n: int, times: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``(times, K, A)`` and weights of the middle team, drawn ``times`` times with other random numbers."""
    rng = np.random.default_rng(7)
    policy._uniforms = lambda team, size, count: rng.random(count)  # type: ignore[method-assign]
    parts = [policy._sampled(np.full(64, MIDDLE), np.full(64, n)) for _ in range(times // 64)]
    return np.concatenate([rows for rows, _, _ in parts]), np.concatenate([weights for _, weights, _ in parts])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(abs(one - other).sum() / 2)


# -- the laws


@pytest.mark.parametrize(("n", "parts"), [(5, 2), (4, 3), (2, 4)])
def test_uniform_compositions(n: int, parts: int) -> None:
    """Chi-square against 1 / C(n + parts - 1, parts - 1)."""
    draws = 60_000
    u = np.random.default_rng(0).random((1, draws, parts - 1))
    rows = uniform_compositions(np.array([n]), parts, u)[0]
    assert (rows >= 0).all() and (rows.sum(1) == n).all()
    seen = np.bincount(rank(rows), minlength=len(compositions(n, parts)))
    assert stats.chisquare(seen).pvalue > 1e-4


@pytest.mark.parametrize("n", [11, 15, 20])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("law", LAWS)
def test_sampled_laws_are_the_enumerated_one(law: str, form: Form, n: int) -> None:
    """The mean of 128 independent sets of K = 64 rows, in total variation and in the mean of the features.

    m independent draws lie sum_h sqrt(2 p (1 - p) / (pi m)) / 2 away from p in the mean; m is the effective sample
    size for candidates. Above that stands the bias of normalised weights, of order 1 / K: .03 is allowed. Another
    temperature or base measure is further away than what is allowed, so neither can be dropped.
    """
    policy = policy_of(form, law)
    rows, weights = repeated(policy, n, 128)
    truth = policy_of(form).team_law(MIDDLE, n)
    found = np.bincount(rank(rows).reshape(-1), weights=weights.reshape(-1) / len(rows), minlength=len(truth))
    m = (1 / (weights**2).sum(1)).sum()
    allowed = 1.2 * np.sqrt(2 * truth * (1 - truth) / (np.pi * m)).sum() / 2 + 0.03
    assert distance(found, truth) < allowed
    hotter = policy_of(form, tau=2.0).team_law(MIDDLE, n)
    assert distance(found, hotter) > 1.3 * allowed
    log_ways = stats.multinomial.logpmf(compositions(n, 3), n, np.full(3, 1 / 3))
    other = truth * np.exp(log_ways * (-1 if form == "tilted" else 1))
    assert distance(found, other / other.sum()) > 1.3 * allowed
    features = policy._energy_gradient(np.full(len(rows), MIDDLE), rows, torch.as_tensor(weights)).numpy()
    listed = compositions(n, 3)[None]
    mean = policy._energy_gradient(np.array([MIDDLE]), listed, torch.as_tensor(truth[None]))[0].numpy()
    error = features.std(0, ddof=1) / np.sqrt(len(rows))
    # the bias of the mean features that is allowed, 2 % of their size; measured below 2 % (see docs)
    assert (abs(features.mean(0) - mean) < 5.5 * error + 0.02 * abs(mean).max()).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("law", LAWS)
def test_small_teams_are_exact(law: str, form: Form) -> None:
    """K = 64 holds all 28 compositions of six: the sampled policy is the enumerated one."""
    exact, sampled = policy_of(form, population=6), policy_of(form, law, population=6)
    rng = np.random.default_rng(0)
    counts = np.array([[6, 0, 0], [1, 3, 2], [0, 6, 0], [2, 0, 4]])
    actions = exact.sample(counts, 0, rng)
    assert sampled.teams(counts, 0) == pytest.approx(exact.teams(counts, 0), abs=1e-12)
    c = rng.normal(size=counts.shape)
    score = exact.weighted_score(counts, actions, c)
    torch.testing.assert_close(sampled.weighted_score(counts, actions, c), score, rtol=0, atol=1e-10)
    torch.testing.assert_close(sampled.log_prob(counts, actions), exact.log_prob(counts, actions), rtol=0, atol=1e-10)
    for s, n in itertools.product(range(3), (0, 1, 6)):
        assert sampled.team_law(s, n) == pytest.approx(exact.team_law(s, n), abs=1e-12)
    assert np.isinf(sampled.effective_sample_size(counts)).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("law", LAWS)
def test_a_sampled_policy_draws_its_rows(law: str, form: Form) -> None:
    """Agents are conserved, illegal actions never taken, and frequencies and the marginal are those of the weights."""
    policy = policy_of(form, law)
    counts = np.tile([0, 20, 0], (20_000, 1))
    counts[:30] = np.random.default_rng(0).multinomial(20, [0.4, 0.2, 0.4], 30)
    drawn = policy.sample(counts, 0, np.random.default_rng(1))
    assert (drawn.sum(2) == counts).all() and (drawn >= 0).all()
    assert not drawn[:, ~policy.model.legal].any()
    slot = policy._slots_of(counts[-1:])[0, MIDDLE]
    law_of_rows = np.bincount(rank(policy._rows[slot]), weights=policy._weights[slot], minlength=231)
    seen = np.bincount(rank(drawn[30:, MIDDLE]), minlength=231)
    assert not seen[law_of_rows == 0].any()
    likely = law_of_rows * seen.sum() >= 5
    observed = np.append(seen[likely], seen[~likely].sum())
    expected = np.append(law_of_rows[likely], law_of_rows[~likely].sum()) * seen.sum()
    keep = expected > 0
    assert stats.chisquare(observed[keep], expected[keep], sum_check=False).pvalue > 1e-4
    marginal = policy.teams(counts, 0)
    assert marginal[-1, MIDDLE] == pytest.approx(law_of_rows @ compositions(20, 3) / 20, abs=1e-12)
    assert not marginal[:, ~policy.model.legal].any() and marginal.sum(2) == pytest.approx(np.ones(counts.shape))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("form", FORMS)
def test_the_mean_score_of_the_rows_is_zero(form: Form, law: str) -> None:
    policy = policy_of(form, law)
    sizes = np.zeros((K, 3), np.int64)
    sizes[:, MIDDLE] = 20
    slot = policy._slots_of(sizes)[0, MIDDLE]
    actions, c = np.zeros((K, 3, 3), np.int64), np.zeros((K, 3))
    actions[:, MIDDLE], c[:, MIDDLE] = policy._rows[slot], policy._weights[slot]
    size = float(policy.weighted_score(sizes, actions, (c > 0) * 1.0).abs().max())
    assert float(policy.weighted_score(sizes, actions, c).abs().max()) < 1e-12 * max(1.0, size)


@pytest.mark.parametrize("form", FORMS)
def test_score_of_candidates_is_the_gradient_of_log_prob(form: Form) -> None:
    """By autograd through the estimated normaliser, sampled and enumerated sizes together; it reads arrays as well."""
    policy, rng = policy_of(form, "candidates", samples=32), np.random.default_rng(2)
    counts = rng.multinomial(20, [0.3, 0.3, 0.4], 12)
    actions = policy.sample(counts, 0, rng)
    c = rng.normal(size=counts.shape)
    found = policy.weighted_score(counts, actions, c)
    assert torch.equal(found, policy.weighted_score(counts, actions, torch.as_tensor(c)))
    theta = policy.theta.clone().requires_grad_(True)
    policy.update(theta)  # the same numbers, so the same candidates
    (torch.as_tensor(c) * policy.log_prob(counts, actions)).sum().backward()
    assert theta.grad is not None and float(theta.grad.abs().max()) > 0.1
    torch.testing.assert_close(found, theta.grad, rtol=0, atol=1e-9)


def test_log_prob_of_candidates_is_near_the_enumerated_one() -> None:
    """200 candidates know Z with relative error sqrt((K / ESS - 1) / K), below 1 / sqrt(K) where ESS > K / 2."""
    rows = compositions(20, 3)
    actions = np.zeros((len(rows), 3, 3), np.int64)
    actions[:, MIDDLE] = rows
    policy = policy_of("fixed", "candidates", samples=200)
    exact = policy_of("fixed").log_prob(actions.sum(2), actions)[:, MIDDLE]
    found = policy.log_prob(actions.sum(2), actions)[:, MIDDLE]
    gap = (found - exact).numpy()
    assert gap.std() < 1e-10  # the same constant for all
    assert 1e-6 < abs(gap[0]) < 4 / np.sqrt(200)


def test_what_chains_do_not_know() -> None:
    policy = policy_of("fixed", "metropolis")
    actions = np.zeros((1, 3, 3), np.int64)
    actions[0, MIDDLE] = (10, 5, 5)
    with pytest.raises(ValueError, match=r"Metropolis chains do not know log Pi .*energy_samples=64.*use energy_law="):
        policy.log_prob(actions.sum(2), actions)
    with pytest.raises(ValueError, match=r"a team of 20 agents has more compositions than energy_samples=64"):
        policy.team_law(MIDDLE, 20)


# -- the same rows, whoever asks and when


@pytest.mark.parametrize("law", LAWS)
def test_rows_do_not_depend_on_what_was_asked_before(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on other sizes, not on the order, not on room having run out in between: not by one bit."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(20, [0.2, 0.6, 0.2], 8)
    fresh, used = policy_of("tilted", law), policy_of("tilted", law)
    used.teams(np.array([[0, 20, 0], [3, 9, 8]]), 0)
    used.teams(counts[::-1], 0)
    monkeypatch.setattr(energy_sampled, "ROOM", 1)
    monkeypatch.setattr(energy_sampled, "KEYS", 3)
    cramped = policy_of("tilted", law)
    for row in counts:
        cramped.teams(row[None], 0)
    actions = fresh.sample(counts, 0, np.random.default_rng(1))
    score = fresh.weighted_score(counts, actions, np.ones(counts.shape))
    for other in (used, cramped):
        assert np.array_equal(fresh.teams(counts, 0), other.teams(counts, 0))
        assert np.array_equal(actions, other.sample(counts, 0, np.random.default_rng(1)))
        assert torch.equal(score, other.weighted_score(counts, actions, np.ones(counts.shape)))


def test_rows_are_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy as np, test_energy as t; "
        "p = t.policy_of('fixed', 'metropolis'); print(t.fingerprint(p.teams(np.array([[0, 20, 0], [6, 7, 7]]), 0)))"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent)]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    policy = policy_of("fixed", "metropolis")
    assert said == f"{fingerprint(policy.teams(np.array([[0, 20, 0], [6, 7, 7]]), 0))}\n"


def fingerprint(values: np.ndarray) -> int:
    return zlib.crc32(values.tobytes())


def test_keys_and_weights_have_rows_of_their_own() -> None:
    policy = policy_of("fixed", "candidates")
    sizes = np.array([[0, 20, 0]])
    rows = policy._rows[policy._slots_of(sizes)[0, MIDDLE]].copy()
    policy.update(policy.theta * (1 + 1e-9))
    assert not np.array_equal(rows, policy._rows[policy._slots_of(sizes)[0, MIDDLE]])
    other = policy._rows[policy._slots_of(np.array([[0, 19, 0]]))[0, MIDDLE]]
    assert (other.sum(1) == 19).all() and (rows.sum(1) == 20).all()


# -- how good the rows are


def test_effective_sample_size_of_candidates() -> None:
    """1 / sum w^2, with weights in proportion to the enumerated law at the candidates."""
    policy, exact = policy_of("per agent", "candidates"), policy_of("per agent")
    counts = np.array([[0, 20, 0]])
    rows = policy._rows[policy._slots_of(counts)[0, MIDDLE]]
    w = exact.team_law(MIDDLE, 20)[rank(rows)]
    found = policy.effective_sample_size(counts)
    assert found[0, MIDDLE] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert np.isinf(found[0, [0, 2]]).all()


def test_worth_of_chains() -> None:
    """K (1 - r) / (1 + r): nothing for chains that stand still, K / 3 at r = 1 / 2, K where all are at one point.

    A mean that drifts by two standard deviations adds 4 - 20 / K to the variance of the mean; so does a standard
    deviation that falls by a factor e^2.
    """
    x, y = np.array([1.0, 1.0, -1.0, -1.0] * 16), np.array([1.0, -1.0] * 32)
    half = np.stack([x, x, x, x * 0, x, np.exp(2) * x])[..., None]
    end = np.stack([x, y, 0.5 * x + np.sqrt(0.75) * y, x * 0, y + 2, y])[..., None]
    expected = [0, 64, 64 / 3, 64, 1 / (1 / 64 + 4 - 20 / 64), 1 / (1 / 64 + 4 - 20 / 64)]
    assert chains_worth(half, end) == pytest.approx(expected, abs=1e-9)


def test_chains_cross_between_far_peaks() -> None:
    """Two peaks 60 agents apart, nothing between them, the second e times as high: it gets e times as many chains.

    The peaks are point-like: exp(-4) lower with each agent moved. Chains of one set share their differences, so the
    64 sets, which are independent, give the error.
    """
    target, n, k, sets = np.array([[60, 0], [0, 60]]), 60, 64, 64

    def energy(rows: np.ndarray) -> np.ndarray:
        return (np.array([0.0, 1.0]) - 4.0 * abs(rows[:, :, None] - target).sum(3)).max(2)

    rng = np.random.default_rng(0)
    start = uniform_compositions(np.full(sets, n), 2, rng.random((sets, k, 1)))
    ordered, choices = np.tile([0, 1], (sets, 1)), np.full(sets, 2)
    half, end = energy_sampled.metropolis(energy, start, ordered, choices, rng.random((128, 2, sets, k)))
    second = (end[:, :, 1] > 30).mean(1)
    error = second.std(ddof=1) / np.sqrt(sets)
    assert abs(second.mean() - np.e / (1 + np.e)) < 4 * error < 0.05
    assert np.median(chains_worth(half / n, end / n)) > k / 2


def test_it_shows_when_chains_were_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_sampled, "STEPS", 4)
    policy, counts = policy_of("tilted", "metropolis", population=1000), np.array([[0, 1000, 0]])
    assert policy.effective_sample_size(counts)[0, MIDDLE] < energy_sampled.ESS_FLOOR


def test_it_warns_once_when_candidates_miss_the_law() -> None:
    policy = policy_of("tilted", "candidates", tau=12.0)
    sizes = np.array([[0, 20, 0]])
    actions = policy.sample(sizes, 0, np.random.default_rng(0))
    worth = policy.effective_sample_size(sizes)[0, MIDDLE]
    assert worth < energy_sampled.ESS_FLOOR
    with pytest.warns(UserWarning, match=rf"64 compositions .* worth {worth:.1f} .* use energy_law='metropolis'"):
        policy.weighted_score(sizes, actions, np.ones(sizes.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy.weighted_score(sizes, actions, np.ones(sizes.shape))


# -- options


@pytest.mark.parametrize(
    ("population", "options", "law", "samples"),
    [
        (12, {}, "enumerate", 256),
        (500, {}, "candidates", 256),
        (500, {"temperature_mode": "per_agent"}, "metropolis", 64),
        (500, {"policy": "tilted"}, "metropolis", 64),
        (12, {"energy_law": "metropolis"}, "metropolis", 64),
        (12, {"energy_law": "candidates", "energy_samples": 9}, "candidates", 9),
        (20, {"energy_law": "enumerate", "policy": "tilted"}, "enumerate", 256),
    ],
)
def test_which_law_is_chosen(population: int, options: dict[str, Any], law: str, samples: int) -> None:
    config = DecNeuralACConfig().training(**{"policy": "energy", **options})
    algo = config.environment("MFNet-Grid-v0", env_config={"population": population}).build_algo()
    assert (algo.settings.energy_law, algo.settings.energy_samples) == (law, samples)  # type: ignore[attr-defined]
    assert isinstance(algo.policy, EnergyPolicy if law == "enumerate" else SampledEnergyPolicy)
    assert law == "enumerate" or (algo.policy.law, algo.policy.samples) == (law, samples)


@pytest.mark.parametrize("options", [{}, {"policy": "tilted"}])
def test_five_hundred_agents_train_and_resume(options: dict[str, Any]) -> None:
    """Enumeration refuses them; the fallbacks train, and a restored run goes on bit for bit."""
    config = DecNeuralACConfig().training(**{"policy": "energy", **options})
    config = config.environment("MFNet-Grid-v0", env_config={"population": 500})
    config = config.env_runners(num_envs_per_env_runner=2, rollout_fragment_length=4)
    with pytest.raises(ValueError, match=r"500 agents with 5 actions has .* use energy_law='candidates'"):
        config.copy().training(energy_law="enumerate").build_algo()
    one, other = config.build_algo(), config.build_algo()
    one.train()
    other.restore_from_path(one.save_to_path())
    first, second = one.train(), other.train()
    assert first["learners"] == second["learners"] and first["env_runners"] == second["env_runners"]
    assert torch.equal(one.policy.theta, other.policy.theta)  # type: ignore[attr-defined]


# -- both ways of execution


def test_both_executions_are_what_the_exact_game_says() -> None:
    """Teams of the energy class on a line of three; four standard errors, and the gap is many times its interval."""
    policy = policy_of("fixed", population=4, tau=3.0)
    game, steps = ExactGame(policy.model), 12
    exact = [float(game.expected(game.state_values(p, steps=steps)).sum()) for p in (policy, Individually(policy))]
    report = evaluate(policy.model, policy, worlds=6000, steps=steps, seed=3)
    names = ("discounted_return", "individual_execution_discounted_return", "execution_gap_discounted_return")
    for name, truth in zip(names, [*exact, exact[0] - exact[1]], strict=True):
        assert abs(report[f"{name}_mean"] - truth) < 4 / 1.96 * report[f"{name}_ci95"], name
    assert abs(exact[0] - exact[1]) > 3 * report["execution_gap_discounted_return_ci95"]
    for name in ("reward_per_step", "episode_return"):
        gap = report[f"{name}_mean"] - report[f"individual_execution_{name}_mean"]
        assert report[f"execution_gap_{name}_mean"] == pytest.approx(gap)
        assert report[f"execution_gap_{name}_ci95"] > 0


def test_individual_policies_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toys.line(3, 4)
    report = evaluate(model, uniform(model), worlds=4, steps=3)
    assert not [name for name in report if "execution" in name] and len(report) == 9
    again = evaluate(model, Individually(uniform(model)), worlds=4, steps=3)
    assert again == report == mfnet_envs.evaluate(model, uniform(model), worlds=4, steps=3)
