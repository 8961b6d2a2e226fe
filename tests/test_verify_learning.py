"""The pieces of the experiments on critics, learning and the population, each against a truth of its own."""

import dataclasses
import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from mfnet_envs.compositions import compositions
from mfnet_theory import critic, learning, population

# -- critics


def test_a_critic_is_read_at_every_pair() -> None:
    """f = M^{-1/2} sum b_m relu(W_m . zeta), zeta listing (mu, h) of the ball node by node, in plain loops."""
    algo = critic.algorithm(3, hops=1, critic_width=6)
    algo.omega = algo.critic.start + torch.as_tensor(np.random.default_rng(0).normal(size=algo.omega.shape))
    instance = critic.fixed_policy(3)
    pairs = instance.game.pairs[::37]
    found = critic.values(algo, pairs)
    for pair, row in zip(pairs, found, strict=True):
        for node in range(critic.NODES):
            zeta: list[float] = []
            for v in (node, node - 1, node + 1):
                if 0 <= v < critic.NODES:
                    n = pair[v].sum()
                    zeta += [n / critic.AGENTS, *(pair[v] / max(n, 1))]
            weights, signs = algo.omega[node].numpy()[: len(zeta)], algo.critic.signs[node].numpy()
            neurons = [b * max(0.0, float(w @ zeta)) for b, w in zip(signs, weights.T, strict=True)]
            assert row[node] == pytest.approx(sum(neurons) / math.sqrt(6), abs=1e-12)


def test_what_a_ball_leaves_unseen() -> None:
    """The deviation of Q_y within each group of pairs that agree on N_y^1, by a dictionary of groups."""
    instance = critic.fixed_policy(1)
    q, law = instance.at.action_values, instance.law
    assert law.sum() == pytest.approx(1)
    for node in range(critic.NODES):
        groups = defaultdict(list)
        for i, pair in enumerate(instance.game.pairs):
            groups[pair[max(0, node - 1) : node + 2].tobytes()].append(i)
        left = 0.0
        for members in groups.values():
            w, x = law[members], q[members, node]
            if w.sum() > 0:
                left += w @ (x - w @ x / w.sum()) ** 2
        found = critic.localisation(instance)[1, node]
        assert found == pytest.approx(math.sqrt(left / instance.scale), rel=1e-9)
        assert found > 0


def test_slopes_of_power_laws() -> None:
    assert critic.slope([1, 10, 100], [3.0, 0.3, 0.03]) == pytest.approx(-1)
    found, error = population.slope([1, 100], [2.0, 0.2], [0.02, 0.004])
    assert found == pytest.approx(-0.5)
    assert error == pytest.approx(math.hypot(0.01, 0.02) / math.log(100))


def test_an_error_that_grows_is_reported() -> None:
    """Statements about critics fail where the errors are exchanged, and where a critic reads beyond its ball."""
    rng = np.random.default_rng(0)
    small, large = rng.uniform(0.1, 0.2, 20), rng.uniform(0.5, 0.9, 20)
    points = [critic.Point(t, m, 4, "raised", e, e) for t, m, e in ((10, 1, large), (100, 8, small))]
    assert critic._with_time("", points).verdict == critic._with_width("", points).verdict == "holds"
    assert critic._with_time("", points[::-1]).verdict == critic._with_width("", points[::-1]).verdict == "fails"
    instance = critic.fixed_policy(0)
    assert critic._pythagoras(instance, points).verdict == "holds"  # k is the diameter: nothing is left over
    astray = [dataclasses.replace(points[0], hops=0)]
    assert critic._pythagoras(instance, astray).verdict == "fails"


def test_algorithm_1_is_measured() -> None:
    """The two errors differ by what the ball leaves over, and starts are independent."""
    instance = critic.fixed_policy(0)
    point = critic.measured(instance, [0, 1], 20, 8, 1, "printed")
    left = critic.localisation(instance)[1] ** 2
    assert point.to_exact - point.to_local == pytest.approx(np.tile(left, 2), abs=1e-12)
    assert len(set(point.to_local)) == 2 * critic.NODES


# -- learning


@pytest.fixture(scope="module")
def instance() -> learning.Instance:
    return learning.solved(0)


def test_the_way_from_uniform_to_best(instance: learning.Instance) -> None:
    """Its ends, and the optimum as the best of all central policies found by backward induction."""
    assert instance.share(instance.uniform) == 0
    assert instance.share(instance.best.value) == 1
    assert instance.stay < instance.uniform < instance.best.value <= instance.optimum + 1e-9
    long = float(instance.game.expected(instance.game.optimal_values(100)))
    assert instance.optimum == pytest.approx(long, abs=1e-8)


def test_returns_of_evaluations_are_discounted(instance: learning.Instance) -> None:
    """The mean over worlds within 5 standard errors of the exact J."""
    model = instance.game.model
    for name, exact in (("stay", instance.stay), ("random", instance.uniform)):
        worth = learning.discounted(model, model.heuristics()[name], seed=5)
        assert worth.shape == (learning.WORLDS,)
        assert worth.mean() == pytest.approx(exact, abs=5 * worth.std() / math.sqrt(learning.WORLDS))


def test_the_kept_iterate() -> None:
    """It is the one whose estimate is best; where estimates mislead by more than their noise the statement fails."""
    noise = np.random.default_rng(0).normal(size=learning.WORLDS)
    noise -= noise.mean()
    values = np.array([1.0, 2.0, 1.5])
    run = learning.Run("", 2, 2, 1, 0, values, values[:, None] + 0.1 * noise * np.array([[1], [2], [1]]))
    assert run.chosen == 1
    assert learning._kept([run]).verdict == "holds"
    misled = dataclasses.replace(run, values=np.array([1.0, 1.2, 1.5]))
    assert learning._kept([misled]).verdict == "fails"


def test_statements_about_learning_can_fail(instance: learning.Instance) -> None:
    stuck = learning.Run("", 2, 2, 1, 0, np.full(3, instance.uniform))
    assert learning._reaches("", "printed", instance, [stuck, stuck]).verdict == "fails"
    assert learning._alone(instance, [stuck]).verdict == "fails"
    assert learning._never_above(instance, [stuck]).verdict == "holds"
    beyond = dataclasses.replace(stuck, values=np.full(3, instance.optimum + 1e-6))
    assert learning._never_above(instance, [beyond]).verdict == "fails"


def test_practical_mode_learns_and_forgets_with_its_credit(instance: learning.Instance) -> None:
    """Two seeds of the settings that were measured, above their floor; without credit it learns to stay."""
    found = [learning.practical(instance, seed, 1, 2) for seed in range(2)]
    assert found[0].values.shape == (learning.PRACTICAL_ITERATIONS + 1,)
    assert found[0].values[0] == pytest.approx(instance.uniform)  # a symmetric start
    assert learning._reaches("", "practical", instance, found).verdict == "holds"
    alone = learning.practical(instance, 0, 1, 0)
    assert alone.values[-1] == pytest.approx(instance.stay, abs=0.1)


# -- population


def test_the_energy_is_a_distance() -> None:
    net = population.energy_net(2)
    for mu, moving in ((0.0, 0.0), (0.3, 0.25), (0.5, 0.9), (1.0, 0.1)):
        x = torch.tensor([mu, 1 - moving, moving], dtype=torch.float64).expand(2, 1, 3)
        expected = -abs(moving - (0.1 + 0.5 * mu))
        assert net.value(net.start, x).numpy() == pytest.approx(np.full((2, 1), expected), abs=1e-12)


@pytest.mark.parametrize("kind", list(population.CLASSES))
def test_limits_of_team_laws(kind: str) -> None:
    """The law of 380 of 400 agents in one place: its mean is that of the limit to O(1/n), and it concentrates there."""
    n = 380
    law = population.class_policy(kind, 400).team_law(0, n)
    h = compositions(n, 2)[:, 1] / n
    rng, mu = np.random.default_rng(1), n / 400
    drawn = population.limit_share(kind, np.full(100_000, mu), rng)
    mean, variance = law @ h, law @ h**2 - (law @ h) ** 2
    assert law.sum() == pytest.approx(1)
    assert mean == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(100_000) + 2 / n)
    if kind == "fixed":
        assert variance == pytest.approx(drawn.var(), rel=0.05)
    else:
        assert variance <= 0.3 / n
        assert np.ptp(drawn) == 0


def test_draws_of_a_team_that_does_not_concentrate() -> None:
    """Against the density exp(-tau |h - target|), integrated numerically."""
    mu = 0.6
    drawn = population.limit_share("fixed", np.full(5_000, mu), np.random.default_rng(2))
    grid = np.linspace(0, 1, 4_001)
    mass = integrate.cumulative_trapezoid(np.exp(-population.HEAT * np.abs(grid - 0.1 - 0.5 * mu)), grid, initial=0)
    assert stats.kstest(drawn, lambda x: np.interp(x, grid, mass / mass[-1])).pvalue > 1e-4


def test_tilted_teams_maximise_entropy_plus_energy() -> None:
    grid = np.linspace(1e-4, 1 - 1e-4, 20_001)
    entropy = -grid * np.log(grid) - (1 - grid) * np.log(1 - grid)
    for mu in (0.0, 0.3, 1.0):
        worth = entropy - population.HEAT * np.abs(grid - 0.1 - 0.5 * mu)
        found = population.limit_share("tilted", np.array([mu]), np.random.default_rng(0))
        assert found[0] == pytest.approx(grid[worth.argmax()], abs=1e-4)


def test_the_kink_constant() -> None:
    """sqrt(N) times what is lost a step, with E (n - D)^+ summed over Binomial and Poisson probabilities."""
    agents = 3_000
    n = np.arange(700, 1_300)
    short = stats.poisson.cdf(np.arange(1_300), agents / 3)
    chance = stats.binom.pmf(n, agents, 1 / 3)
    unserved = 3 * sum(p * short[:m].sum() for p, m in zip(chance, n, strict=True))  # E (m - D)^+ = sum_{d<m} P(D <= d)
    step = unserved / math.sqrt(agents) * (1 + 0.1 * 2 / 3)
    found = population.kink_constant(population.CASES[1].model(1))
    assert found == pytest.approx(step * sum(population.GAMMA**t for t in range(population.STEPS)), rel=0.01)


def test_the_limit_on_the_kink_serves_everybody() -> None:
    found = population.limit(population.CASES[1].policy(1))
    assert found == pytest.approx(sum(population.GAMMA**t for t in range(population.STEPS)))


def test_spreading_leaves_with_the_share_that_is_there() -> None:
    """In the middle of the line demand lies at .1 and 1 on its two sides."""
    policy = population.CASES[0].policy(10)
    pi = policy.individual(np.array([[0, 10, 0], [5, 5, 0]]))
    assert pi.sum(2) == pytest.approx(np.ones((2, 3)))
    assert pi[0, 1] == pytest.approx([0, 0.1 / 1.1, 1 / 1.1])
    assert pi[1, 1] == pytest.approx([0.5, 0.5 * 0.1 / 1.1, 0.5 / 1.1])
    assert pi[1, 2, 0] == 1


def test_statements_about_the_population_can_fail() -> None:
    """A limit that is off, deviations that stay, a team that goes on throwing dice."""
    case, end = population.CASES[1], 5.0
    n = (*population.ENUMERATED, *population.SIMULATED)
    points = [population.Point(m, end - 4.758 / math.sqrt(m), 1e-5 * (m > 40), 1 / math.sqrt(m)) for m in n]
    assert population._bounded(case, points, end).verdict == "holds"
    assert population._bounded(case, points, end + 0.1).verdict == "fails"
    assert population._attained(case, points, end).verdict == "holds"
    assert population._attained(case, points, end + 0.01).verdict == "fails"
    assert population._deviation(case, points).verdict == "holds"
    assert population._deviation(case, [dataclasses.replace(p, deviation=0.1) for p in points]).verdict == "fails"
    dice = population.Point(0, end, 1e-3, 0.1)
    assert population._settles("tilted", points[-4:], dice).verdict == "holds"
    stays = [dataclasses.replace(p, deviation=0.1) for p in points]
    assert population._settles("tilted", stays[-4:], dice).verdict == "fails"
    assert population._unsettled(stays, dice).verdict == "holds"
    assert population._unsettled(points, dice).verdict == "fails"
