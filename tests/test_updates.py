"""The equations of Algorithms 1 and 2 against double sums, enumeration and finite differences.

The enumerable instance: three nodes in a row, two or three drivers. Its laws, values and optima come from `ExactGame`,
which shares nothing with the trainer.
"""

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
import toys
from scipy import stats

from mfnet_agents import updates
from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC
from mfnet_agents.dec_neural_ac.ball import Ball
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.paper import Paper
from mfnet_agents.dec_neural_ac.sampling import RECORDED, Rollout, Sampler, visitation_pairs
from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies.energy import EnergyPolicy
from mfnet_agents.policies.individual import IndividualPolicy, LearnedPolicy
from mfnet_envs.exact import ExactGame
from mfnet_envs.network import StateNetwork
from mfnet_envs.simulator import Simulator

GAMMA = 0.8
LINE3 = {"graph": [[0, 1], [1, 2]], "demand": [0.02, 0.02, 1.0], "population": 3, "gamma": GAMMA}


@cache
def game(population: int = 3, matching: str = "physical") -> ExactGame:
    return ExactGame(toys.line(3, population, gamma=GAMMA, matching=matching))


def policy_of(kind: str, population: int = 3, tau: float = 1.3) -> LearnedPolicy:
    model = game(population).model
    net = TwoLayer.create(np.random.default_rng(3), 3, 4, 6, symmetric=False)
    policy: LearnedPolicy = (
        IndividualPolicy(model, net, "share", tau)
        if kind == "individual"
        else EnergyPolicy(model, net, "share", tau, tilted=kind == "tilted", per_agent=False)
    )
    policy.update(2 * net.start)
    return policy


def visitation(of: ExactGame, policy: LearnedPolicy) -> np.ndarray:
    """sigma (12) over count vectors: (1 - gamma) sum_t gamma^t P_0 P^t, by one linear solve."""
    law = of.transition(policy)
    return (1 - GAMMA) * np.linalg.solve(np.eye(len(law)) - GAMMA * law.T, of.initial)


def stationary(of: ExactGame, policy: LearnedPolicy) -> np.ndarray:
    law = np.linalg.matrix_power(of.transition(policy), 4096)
    return law[0]


def agrees(observed: np.ndarray, expected: np.ndarray) -> bool:
    """Chi-square at level .001; cells expected fewer than 5 times are put together."""
    rare = expected < 5
    seen, due = (np.append(x[~rare], x[rare].sum()) for x in (observed, expected))
    if due[-1] == 0:
        assert seen[-1] == 0
        seen, due = seen[:-1], due[:-1]
    return bool(stats.chisquare(seen, due, sum_check=False).pvalue > 1e-3)


# -- single equations


def test_td_residual_by_hand() -> None:
    q, r, following = (torch.tensor(x) for x in (5.0, 1.0, 10.0))
    assert float(updates.td_residual(q, r, 0.9, following)) == pytest.approx(5 - 1 - 9)


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_advantages_are_a_double_sum(lambda_: float) -> None:
    """A_t = sum over n of (gamma lambda)^n delta_{t + n}, as long as no cut lies between t and t + n."""
    steps, worlds, nodes, gamma = 9, 3, 2, 0.9
    rng = np.random.default_rng(0)
    delta, cut = rng.normal(size=(steps, worlds, nodes)), rng.random((steps, worlds)) < 0.25
    assert cut.any()
    rows = torch.as_tensor(delta).permute(2, 0, 1)
    found = updates.lambda_advantages(rows, torch.as_tensor(cut), gamma, lambda_).permute(1, 2, 0)
    for t, b in itertools.product(range(steps), range(worlds)):
        truth = np.zeros(nodes)
        for n in range(steps - t):
            if cut[t : t + n, b].any():
                break
            truth += (gamma * lambda_) ** n * delta[t + n, b]
        assert found[t, b].numpy() == pytest.approx(truth)


def test_advantages_at_lambda_one_are_returns() -> None:
    """Telescoping: sum gamma^n (r + gamma V' - V) is the discounted return to go, plus the tail value, minus V."""
    steps, gamma = 6, 0.9
    rng = np.random.default_rng(1)
    r, v = rng.normal(size=steps), rng.normal(size=steps + 1)
    delta = torch.as_tensor(r + gamma * v[1:] - v[:-1])[None, :, None]
    found = updates.lambda_advantages(delta, torch.zeros((steps, 1), dtype=torch.bool), gamma, 1.0)[0, :, 0]
    for t in range(steps):
        to_go = sum(gamma**n * r[t + n] for n in range(steps - t)) + gamma ** (steps - t) * v[steps]
        assert float(found[t]) == pytest.approx(to_go - v[t])


@pytest.mark.parametrize("kappa", [0, 1, 2, 5])
def test_credit_sums_over_the_ball(kappa: int) -> None:
    graph = nx.lollipop_graph(4, 3)
    network = StateNetwork(graph)
    hops = dict(nx.all_pairs_shortest_path_length(graph))
    advantages, ball = np.random.default_rng(0).normal(size=(7, 5)), Ball.of(network, kappa)
    found = ball.sum(torch.as_tensor(advantages))
    for s in range(7):
        inside = [y for y in range(7) if hops[s][y] <= kappa]
        assert found[s].numpy() == pytest.approx(advantages[inside].sum(0))
        assert ball.heard[s] == len(inside)


def test_running_mean_is_the_arithmetic_mean() -> None:
    """(22): after T - 1 updates the average of the T iterates 0 .. T - 1."""
    iterates = torch.as_tensor(np.random.default_rng(0).normal(size=(8, 3)))
    mean = iterates[0].clone()
    for t in range(7):
        updates.running_mean_(mean, iterates[t + 1], t)
    torch.testing.assert_close(mean, iterates.mean(0))


def test_step_size_of_the_paper() -> None:
    assert updates.natural_step_size(0.9, 100) == pytest.approx(0.1 / 8)
    assert updates.natural_step_size(0.1, 100) == pytest.approx(0.1)


def test_scale_of_advantages() -> None:
    """Root mean squares weighted by how many agents acted: one number, or one for each state; never zero."""
    advantages, agents = torch.tensor([[3.0, 4.0], [1.0, 9.0]]), torch.tensor([[1.0, 3.0], [2.0, 0.0]])
    summed = updates.squares(advantages, agents)
    assert updates.SCALES["global"](summed).tolist() == pytest.approx([math.sqrt((9 + 2 + 48) / 6)] * 2)
    assert updates.SCALES["state"](summed).tolist() == pytest.approx([math.sqrt((9 + 48) / 4), 1])
    assert updates.SCALES["none"](summed).tolist() == [1, 1]
    assert float(updates.rms(updates.squares(advantages, 0 * agents)).min()) > 0


def test_centred() -> None:
    assert updates.centred(torch.tensor([[1.0, 3.0], [5.0, 5.0]])).tolist() == [[-1, 1], [0, 0]]


# -- the laws of samples


@pytest.mark.parametrize("kind", ["individual", "energy"])
def test_visitation_pairs_follow_sigma(kind: str) -> None:
    """Pairs (mu, h) at a geometric time against sigma(mu) Pi(h | mu), enumerated. The laws that are easily taken for
    sigma (gamma^t dropped, so the stationary one; one step late) are rejected by the same samples."""
    of, policy, draws = game(), policy_of(kind), 20_000
    counts, actions, walked = visitation_pairs(Simulator(of.model), policy, GAMMA, draws, np.random.default_rng(2))
    spread = np.zeros((draws, 3, 3), np.int64)
    spread[:, of.model.team_states] = actions
    place = {tuple(pair.reshape(-1)): i for i, pair in enumerate(of.pairs)}
    seen = np.bincount([place[tuple(pair.reshape(-1))] for pair in spread], minlength=len(of.pairs))
    taken = of.pair_probabilities(policy)
    sigma = visitation(of, policy)
    assert (spread.sum(2) == counts).all()
    assert agrees(seen, draws * (sigma[of.pair_counts] * taken))
    assert not agrees(seen, draws * (stationary(of, policy)[of.pair_counts] * taken))
    assert not agrees(seen, draws * ((sigma @ of.transition(policy))[of.pair_counts] * taken))
    assert walked == pytest.approx(draws * GAMMA / (1 - GAMMA), abs=4 * math.sqrt(draws * GAMMA) / (1 - GAMMA))


def test_restart_chain_visits_sigma() -> None:
    """The stationary law of gamma P + (1 - gamma) P_0 is sigma; 60 steps leave .8^60 of the start."""
    of, policy, worlds = game(), policy_of("individual"), 10_000
    sampler = Sampler(Simulator(of.model), "restart", GAMMA, worlds, np.random.default_rng(4))
    sampler.rollout(policy, 60)
    seen = np.bincount(of.index(sampler.counts), minlength=len(of.count_vectors))
    assert agrees(seen, worlds * visitation(of, policy))
    assert not agrees(seen, worlds * stationary(of, policy))


def test_plain_chain_visits_the_stationary_law() -> None:
    of, policy, worlds = game(), policy_of("individual"), 10_000
    sampler = Sampler(Simulator(of.model), "stationary", GAMMA, worlds, np.random.default_rng(5))
    sample, episodes = sampler.rollout(policy, 80)
    seen = np.bincount(of.index(sampler.counts), minlength=len(of.count_vectors))
    assert agrees(seen, worlds * stationary(of, policy))
    assert not sample.cut.any()
    assert len(episodes) == 0


def test_returns_of_restarted_episodes() -> None:
    """An episode that ends with probability 1 - gamma after each step has, undiscounted, the discounted return in the
    mean. Each world's first two episodes, so that none is favoured for being short."""
    of, policy, worlds = game(), policy_of("individual"), 10_000
    sampler = Sampler(Simulator(of.model), "restart", GAMMA, worlds, np.random.default_rng(6))
    returns, done = np.zeros((2, worlds)), np.zeros(worlds, int)
    while done.min() < 2:
        sample, ended = sampler.rollout(policy, 1)
        world = np.flatnonzero(sample.cut[0])
        early = done[world] < 2
        returns[done[world[early]], world[early]] = ended[early]
        done[world] += 1
    truth = of.expected(of.state_values(policy).sum(1))
    for episodes in returns:
        assert episodes.mean() == pytest.approx(truth, abs=4 * episodes.std() / math.sqrt(worlds))


def test_rollout_keeps_true_successors() -> None:
    """Where a world goes on, the next row is its successor; where it is cut (a share 1 - gamma), it starts anew."""
    of, policy = game(), policy_of("individual")
    kept = ("sizes", "actions", "next_actions")
    sampler = Sampler(Simulator(of.model), "restart", GAMMA, 200, np.random.default_rng(7), kept)
    sample, _ = sampler.rollout(policy, 50)
    assert (sample.served.size, sample.unserved.size) == (0, 0)
    goes_on = ~sample.cut[:-1]
    assert np.array_equal(sample.crowd[1:][goes_on], sample.next_crowd[:-1][goes_on])
    assert not np.array_equal(sample.crowd[1:][~goes_on], sample.next_crowd[:-1][~goes_on])
    assert sample.cut.mean() == pytest.approx(1 - GAMMA, abs=4 * math.sqrt(GAMMA * (1 - GAMMA) / sample.cut.size))
    assert np.array_equal(sample.actions.sum(3), sample.sizes)
    assert np.array_equal(sample.next_actions.sum(3), sample.next_crowd[:, :, of.model.team_states, 0])
    by_node = sample.action_shares().numpy() * of.model.population
    assert by_node.sum(2) == pytest.approx(sample.crowd.reshape(-1, 3))
    assert sample.groups().numpy().sum((1, 2)) == pytest.approx(np.ones(sample.steps))


# -- the policy gradient


def exact_q(of: ExactGame, policy: LearnedPolicy) -> np.ndarray:
    """Q_s(mu, h) of every state, ``(P, S)``: (11) by the team values' linear solve."""
    return of.pair_rewards + GAMMA * of.pair_transition() @ of.state_values(policy)


def gradient_18(of: ExactGame, policy: LearnedPolicy, q: np.ndarray, kappa: int, gamma: float = GAMMA) -> torch.Tensor:
    """(18), all pairs with their probabilities: 1 / (1 - gamma) E_sigma [sum over the ball of Q_y] grad log Pi_s."""
    chance = visitation(of, policy)[of.pair_counts] * of.pair_probabilities(policy)
    bracket = q @ of.model.network.ball(kappa).T * chance[:, None] / (1 - gamma)
    return policy.weighted_score(of.pairs.sum(2), of.pairs, bracket)


def value(of: ExactGame, policy: LearnedPolicy) -> float:
    return float(of.expected(of.state_values(policy).sum(1)))


@pytest.mark.parametrize("matching", ["physical", "independent"])
@pytest.mark.parametrize("kind", ["individual", "energy", "tilted"])
def test_gradient_with_all_credit_is_the_slope_of_the_value(kind: str, matching: str) -> None:
    """kappa = diameter and exact Q: (17) = finite differences of the exact J, along random directions. The exact game
    finds the same gradient."""
    of, policy = game(2, matching), policy_of(kind, 2)
    gradient = gradient_18(of, policy, exact_q(of, policy), 2)
    assert of.policy_gradient(policy) == pytest.approx(gradient.numpy(), abs=1e-10)
    theta, rng, step = policy.theta.clone(), np.random.default_rng(0), 1e-6
    for _ in range(3):
        direction = torch.as_tensor(rng.normal(size=theta.shape))
        ends = []
        for sign in (1, -1):
            policy.update(theta + sign * step * direction)
            ends.append(value(of, policy))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert abs(slope) > 1e-3
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_bias_of_the_localised_gradient() -> None:
    """Zero once the ball is the whole graph, not before, and within the bound of (18): here ||grad log Pi|| is at most
    2 tau sup ||zeta|| and what is left out decays like gamma^floor((k + 1) / 2), k = 0 included."""
    of, policy = game(2, "independent"), policy_of("energy", 2)
    q = exact_q(of, policy)
    full = gradient_18(of, policy, q, 2)
    low, high = of.model.reward_range
    biases = []
    for kappa in range(3):
        bias = (gradient_18(of, policy, q, kappa) - full).flatten(1).norm(dim=1).max()
        bound = 2 * policy.temperature * 3 * (max(high, 0) - min(low, 0)) * math.sqrt(2) / (1 - GAMMA) ** 2
        assert float(bias) <= bound * GAMMA ** ((kappa + 1) // 2)
        biases.append(float(bias))
    assert biases[0] > 0.01
    assert biases[2] == 0


@pytest.mark.parametrize("k", [0, 1, 2])
def test_best_local_values_are_conditional_means(k: int) -> None:
    """What Q_y can be at best for who sees (mu, h) within k hops of y: the mean, under sigma Pi, over the pairs that
    look the same there. With their credit summed over kappa hops they make the exact game's gradient (18)."""
    of, policy = game(2, "independent"), policy_of("energy", 2)
    chance, q = visitation(of, policy)[of.pair_counts] * of.pair_probabilities(policy), exact_q(of, policy)
    truth = np.empty_like(q)
    for y in range(3):
        near = [v for v in range(3) if abs(v - y) <= k]
        looks = [tuple(pair[near].reshape(-1)) for pair in of.pairs]
        for i, look in enumerate(looks):
            alike = [j for j, other in enumerate(looks) if other == look]
            truth[i, y] = np.average(q[alike, y], weights=chance[alike]) if chance[alike].any() else np.nan
    happens = chance > 0
    assert of.under(policy).local_action_values(k)[happens] == pytest.approx(truth[happens], abs=1e-10)
    for kappa in range(3):
        expected = gradient_18(of, policy, np.where(happens[:, None], truth, 0.0), kappa).numpy()
        assert of.local_policy_gradient(policy, k, kappa) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("policy", ["individual", "energy", "tilted"])
def test_actor_estimate_is_unbiased(policy: str) -> None:
    """The trainer's (23), from its own samples and with critics that are somewhere, against (18) with those critics,
    enumerated: every component within 4.5 standard errors (about 200 components), and the factors all there."""
    hops, tau, batches = 1, 1.7, 60
    config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=LINE3).debugging(seed=1)
    algo = config.training(
        mode="paper", policy=policy, hops=hops, temperature=tau, critic_width=8, actor_width=6, actor_samples=500
    ).build_algo()
    assert isinstance(algo, DecNeuralAC)
    algo.learned.update(2 * algo.learned.theta)
    algo.omega = algo.critic.start + torch.as_tensor(np.random.default_rng(8).normal(size=algo.omega.shape))

    of = game()
    q = np.array([[local_q(algo, pair, node, hops) for node in range(3)] for pair in of.pairs])
    truth = gradient_18(of, algo.learned, q, hops)
    draws = []
    for _ in range(batches):
        counts, actions, _ = visitation_pairs(algo.simulator, algo.learned, GAMMA, 500, algo.rng)
        draws.append(algo.policy_gradient(counts, actions))
    drawn = torch.stack(draws)
    error = drawn.std(0) / math.sqrt(batches)
    assert ((drawn.mean(0) - truth).abs() <= 4.5 * error + 1e-12).all()
    assert float(truth.norm()) > 20 * float(error.norm() / math.sqrt(error.numel()))  # a dropped factor would be seen


def local_q(algo: DecNeuralAC, pair: np.ndarray, node: int, hops: int) -> float:
    """Q_y(zeta_y^k) = M^{-1/2} sum b_m relu(W_m . zeta): in plain loops, zeta listing (mu, h) node by node."""
    near = [v for v in (node, node - 1, node + 1) if 0 <= v < 3 and abs(v - node) <= hops]
    zeta: list[float] = []
    for v in near:
        n = pair[v].sum()
        zeta += [n / 3, *(pair[v] / max(n, 1))]
    weights, signs = algo.omega[node].numpy()[: len(zeta)], algo.critic.signs[node].numpy()
    return sum(b * max(0.0, float(w @ zeta)) for b, w in zip(signs, weights.T, strict=True)) / math.sqrt(len(signs))


# -- Algorithm 1


def learnt_q(algo: DecNeuralAC, of: ExactGame) -> np.ndarray:
    """Q-hat of every pair and node, ``(P, V)``."""
    assert isinstance(algo.trained, Paper)
    zeta = algo.trained.zeta_of(algo.learned, of.pairs.sum(2), of.pairs)
    return algo.critic.value(algo.omega, zeta).numpy().T


def paper(**options: Any) -> DecNeuralAC:
    config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=LINE3)
    algo = config.training(mode="paper", hops=2, critic_width=128, actor_width=8, **options).build_algo()
    assert isinstance(algo, DecNeuralAC)
    return algo


def test_algorithm_1_approaches_q() -> None:
    """k = diameter, a ball that does not bind: the averaged critic's error to the exact Q falls with T_c, and the
    gradient they give turns to the exact one: a critic cut short is no small error, it points elsewhere."""
    of, errors, cosines = game(), [], []
    for steps in (30, 200, 2000):
        algo = paper(critic_steps=steps, critic_batch=16, radius=1000.0, critic_lr=0.4)
        q = exact_q(of, algo.learned)
        algo.omega, _ = algo.fit_critics()
        found = learnt_q(algo, of)
        chance = stationary(of, algo.learned)[of.pair_counts] * of.pair_probabilities(algo.learned)
        errors.append(float(np.sqrt(chance @ ((found - q) ** 2).mean(1))))
        truth, guess = (gradient_18(of, algo.learned, values, 2).flatten() for values in (q, found))
        cosines.append(float(torch.cosine_similarity(truth, guess, 0)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.12 * float(np.sqrt(chance @ (q**2).mean(1)))
    assert cosines[2] > 0.98 > cosines[1] > cosines[0]


def test_algorithm_1_stays_in_its_ball() -> None:
    """(21), and (22): an average of points of a convex set stays in it."""
    algo = paper(critic_steps=200, critic_lr=0.5, radius=0.05)
    omega, _ = algo.fit_critics()
    reach = 0.05 / math.sqrt(128)
    assert float((omega - algo.critic.start).abs().max()) <= reach * (1 + 1e-9)
    assert float((omega - algo.critic.start).abs().max()) > 0.5 * reach


def test_algorithm_1_by_hand() -> None:
    """Two updates written out for one node, from the very samples that the trainer drew."""
    algo, twin = (paper(critic_steps=3, critic_lr=0.1, radius=5.0) for _ in range(2))
    assert isinstance(twin.trained, Paper)
    found, _ = algo.fit_critics()
    w0 = twin.critic.start[0].numpy().T.copy()
    signs = twin.critic.signs[0].numpy() / math.sqrt(128)
    iterates = [w0]

    def q(w: np.ndarray, zeta: np.ndarray) -> float:
        return float(signs @ np.maximum(w @ zeta, 0))

    for _ in range(2):
        sample, _ = twin.sampler.rollout(twin.learned, 1)
        here, there = (twin.trained.zeta(sample, following=f)[0, 0].numpy() for f in (False, True))
        w = iterates[-1]
        delta = q(w, here) - sample.rewards[0, 0, 0] - GAMMA * q(w, there)
        w = w - 0.1 * delta * signs[:, None] * (w @ here > 0)[:, None] * here
        iterates.append(np.clip(w, w0 - 5 / math.sqrt(128), w0 + 5 / math.sqrt(128)))
    assert found[0].numpy().T == pytest.approx(sum(iterates) / 3, abs=1e-12)


def test_paper_iteration_counts_its_steps() -> None:
    """T_c - 1 critic transitions per sample of a batch, and the walks to geometric times."""
    algo = paper(critic_steps=11, critic_batch=3, actor_samples=50)
    stepped = 0
    original: Callable[..., Any] = algo.simulator.transition

    def counting(counts: np.ndarray, *rest: Any) -> Any:
        nonlocal stepped
        stepped += len(counts)
        return original(counts, *rest)

    algo.simulator.transition = counting  # type: ignore[method-assign]
    result = algo.train()
    assert result["num_env_steps_sampled_lifetime"] == stepped > 30


# -- the practical step


@pytest.mark.parametrize("score", ["all", "unserved"])
@pytest.mark.parametrize("scale", ["none", "global", "state"])
@pytest.mark.parametrize("baseline", ["none", "mean"])
def test_practical_actor_step_by_hand(baseline: str, scale: str, score: str) -> None:
    """The first step, with values still 0: advantages are sums of (gamma lambda)^n r up to a cut, rewards times
    V (1 - gamma), summed over the ball, less their mean, over their RMS weighted by agents, times the scores (autograd)
    over samples and N.

    With score="unserved" the reward is booked as E min(n, D) fares less the costs of the unserved who moved."""
    kappa, lambda_, lr, steps, worlds = 1, 0.6, 2.0, 6, 4
    config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=LINE3).debugging(seed=2)
    config = config.env_runners(num_envs_per_env_runner=worlds, rollout_fragment_length=steps)
    config = config.training(optimizer="sgd", actor_lr=lr, lambda_=lambda_, baseline=baseline, advantage_scale=scale)
    with pytest.warns(UserWarning, match="below hops"):
        algo = config.training(hops=1, credit_hops=kappa, score=score).build_algo()
    assert isinstance(algo, DecNeuralAC)
    algo.sampler.kept = frozenset(RECORDED) - {"next_actions"}
    sample, episodes = algo.sampler.rollout(algo.learned, steps)
    assert sample.cut.any()

    scored, rewards = (sample.actions, sample.rewards) if score == "all" else (sample.unserved, booked(sample))
    c = np.zeros((steps, worlds, 3))
    for t, b, s in itertools.product(range(steps), range(worlds), range(3)):
        for n in range(steps - t):
            if sample.cut[t : t + n, b].any():
                break
            near = [y for y in range(3) if abs(y - s) <= kappa]
            c[t, b, s] += (GAMMA * lambda_) ** n * 3 * (1 - GAMMA) * rewards[t + n, b, near].sum()
    if baseline == "mean":
        c -= c.mean((0, 1))
    axes = {"none": None, "global": (0, 1, 2), "state": (0, 1)}[scale]
    if axes is not None:
        c /= np.sqrt((sample.sizes * c**2).sum(axes) / sample.sizes.sum(axes))

    before = algo.learned.theta.clone()
    theta = before.clone().requires_grad_(True)
    algo.learned.update(theta)
    log_pi = log_pi_of(algo.learned, sample.sizes.reshape(-1, 3))
    (torch.as_tensor(c.reshape(-1, 3, 1) * scored.reshape(-1, 3, 3)) * log_pi).sum().backward()
    assert theta.grad is not None
    algo.learned.update(before.clone())
    algo.learn_from(sample, episodes)
    expected = before + lr * theta.grad / (steps * worlds * 3)
    torch.testing.assert_close(algo.learned.theta, expected, rtol=0, atol=1e-12)
    assert float((expected - before).abs().max()) > 1e-3


def booked(sample: Rollout) -> np.ndarray:
    """(E min(n, D) - .1 unserved who move) / N, D ~ Poisson(N lambda): ``(T, B, V)``."""
    rate = 3 * 0.7 * np.array([0.02, 0.02, 1.0]) / 1.04
    waiting = sum(np.where(sample.sizes > m, stats.poisson.sf(m, rate), 0.0) for m in range(3))
    movers: np.ndarray = (waiting - 0.1 * sample.unserved[..., 1:].sum(3)) / 3
    return movers


def log_pi_of(policy: LearnedPolicy, sizes: np.ndarray) -> torch.Tensor:
    """log softmax_a f([S n / N, e_a]) over legal actions, differentiable in theta: ``(L, 3, 3)``."""
    rows = []
    for s in range(3):
        x = torch.tensor([[[n, *np.eye(3)[a]] for a in range(3)] for n in sizes[:, s]])  # S = N
        f = torch.relu(x @ policy.theta[s]) @ policy.net.signs[s] / math.sqrt(policy.net.width)
        rows.append(torch.log_softmax(f - 1e9 * torch.as_tensor(~policy.model.legal[s]), 1))
    return torch.stack(rows, 1)


def test_scores_of_the_unserved_suffice() -> None:
    """The served go where their riders want, whatever they had chosen, and are booked by their mean: the gradient keeps
    its mean (each component within 4.5 standard errors of the difference, on common samples) and loses variance."""
    config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=LINE3).debugging(seed=3)
    config = config.training(optimizer="sgd", actor_lr=1.0, lambda_=0.9, baseline="none", advantage_scale="none")
    config = config.env_runners(num_envs_per_env_runner=64, rollout_fragment_length=20)
    algos = [config.training(hops=1, credit_hops=2, score=score).build_algo() for score in ("all", "unserved")]
    start = algos[0].learned.theta.clone() + 0.3 * algos[0].learned.net.signs[:, None]
    gradients: list[list[torch.Tensor]] = [[], []]
    for _ in range(60):
        algos[0].learned.update(start.clone())
        algos[0].sampler.kept = frozenset(RECORDED) - {"next_actions"}
        sample, episodes = algos[0].sampler.rollout(algos[0].learned, 20)
        for algo, found in zip(algos, gradients, strict=True):
            algo.learned.update(start.clone())
            algo.omega = algo.critic.start  # values stay 0
            algo.learn_from(sample, episodes)
            found.append(algo.learned.theta - start)
    full, short = (torch.stack(found) for found in gradients)
    error = (full - short).std(0) / math.sqrt(60)
    assert ((full - short).mean(0).abs() <= 4.5 * error + 1e-12).all()
    assert float(full.mean(0).norm()) > 10 * float(error.norm() / math.sqrt(error.numel()))
    assert float(short.var(0).sum()) < float(full.var(0).sum())
