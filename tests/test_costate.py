"""The costate form against what can be known of it: closed forms, enumeration, and data that it must not read."""

import dataclasses
import warnings
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
import toys

import mfnet_envs
from mfnet_agents import DecNeuralAC, DecNeuralACConfig
from mfnet_agents.config import ConfigError
from mfnet_agents.dec_neural_ac.costate import Costate, fragment_of
from mfnet_agents.dec_neural_ac.costates import Costates, Fragment, Pullback
from mfnet_agents.dec_neural_ac.landing import landings
from mfnet_agents.dec_neural_ac.sampling import Sampler
from mfnet_agents.dec_neural_ac.terminal import TerminalCritic
from mfnet_agents.policies.observing import ObservingPolicy
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.policy import Policy, TablePolicy, uniform
from mfnet_envs.scenarios.grid_v0 import Grid
from mfnet_envs.simulator import Simulator


def played(model: LocalModel, policy: Policy, steps: int, worlds: int, seed: int = 0) -> Fragment:
    sampler = Sampler(
        Simulator(model),
        "stationary",
        model.gamma,
        worlds,
        np.random.default_rng(seed),
        {"sizes", "served", "unserved"},
    )
    return fragment_of(sampler.rollout(policy, steps)[0], 0)


def pulled(model: LocalModel, policy: Policy, fragment: Fragment) -> Costates:
    """Costates under a policy that ignores the crowd."""
    table = policy.individual(np.zeros((1, model.network.num_states), np.int64))[0, model.active]

    def pi(sizes: np.ndarray, piece: slice) -> np.ndarray:
        return np.broadcast_to(table, (*sizes.shape[:2], *table.shape))

    return Pullback(model, model.gamma)(fragment, pi)


# -- closed forms


@pytest.mark.parametrize("matching", ["physical", "independent"])
def test_one_node_where_riders_are_shared(matching: Any) -> None:
    """All stay at one node: V(n) is phi(n) for every step to come, so M^- = phi(n) - phi(n - 1), M^+ = phi(n + 1) -
    phi(n), times 1 + gamma + ... over what is left of the fragment."""
    n, steps = 5, 40
    alone = nx.Graph()
    alone.add_node(0)
    model = Grid(population=n, graph=alone, demand=[1.0], total_demand=0.8, matching=matching)
    fragment = played(model, uniform(model), steps, 3)
    found = pulled(model, uniform(model), fragment).values[..., 0]
    draws = np.random.default_rng(1).poisson(0.8 * n, 2_000_000)
    phi = {k: np.minimum(k, draws).mean() for k in (n - 1, n, n + 1)}
    left = (1 - model.gamma ** np.arange(steps, 0, -1)) / (1 - model.gamma)
    np.testing.assert_allclose(found[0], ((phi[n] - phi[n - 1]) * left)[:, None] + np.zeros(3), atol=0.05)
    np.testing.assert_allclose(found[1], ((phi[n + 1] - phi[n]) * left)[:, None] + np.zeros(3), atol=0.05)


class Spoilt(LocalModel):
    """Nobody moves; n at a node earn 1 - n / 10 each, n at its neighbour take .02 n more."""

    def reward(self, mu_hood: Any) -> Any:
        n = self.population * mu_hood[..., 0]
        return (1 - n[:, :, 0] / 10 - 0.02 * n[:, :, 1:].sum(2))[..., None] * np.ones(2)

    def branch_weights(self, mu_hood: Any) -> Any:
        return np.ones((*mu_hood.shape[:2], 1, 1))


def test_what_one_takes_from_the_others_beside() -> None:
    """Marginal social worth by hand: own pay less what it takes from the n - 1 at its node and from all next door."""
    network = mfnet_envs.StateNetwork.line(3)
    model = Spoilt(
        network=network, population=9, num_actions=2, branches=(Branch.to([[0], [1], [2]]),),
        reward_range=(-1.0, 1.0), kernel_reads="none", gamma=0.5,
    )  # fmt: skip
    counts = np.array([[4, 3, 2]])
    flows = np.zeros((1, 1, 3, 2))
    flows[..., 0] = counts
    crowd = counts[None, ..., None].astype(float)
    fragment = Fragment(crowd, crowd[0], np.zeros((1, 1, 3)), flows, counts[None], 0)
    found = pulled(model, uniform(model), fragment).values[:, 0, 0]

    def total(n: np.ndarray) -> float:
        beside = np.array([n[1], n[0] + n[2], n[1]])
        return float((n * (1 - n / 10 - 0.02 * beside)).sum())

    here, one = counts[0].astype(float), np.eye(3)
    np.testing.assert_allclose(found[0], [total(here) - total(here - e) for e in one], atol=1e-12)
    np.testing.assert_allclose(found[1], [total(here + e) - total(here) for e in one], atol=1e-12)


def alone_values(model: LocalModel, policy: Policy) -> np.ndarray:
    """Discounted pay of one agent from each state, where nobody is in anybody's way: a linear system."""
    states = model.network.num_states
    pi = policy.individual(np.zeros((1, states), np.int64))[0]
    hood = np.zeros((1, model.network.num_nodes, model.network.neighbors.shape[1], model.num_groups))
    weights, pay = np.zeros((states, model.num_actions, len(model.branches))), np.zeros((states, model.num_actions))
    weights[model.active], pay[model.active] = model.branch_weights(hood)[0], model.reward(hood)[0]
    weights[model.transit, :, -1] = 1
    step = np.zeros((states, states))
    for k, branch in enumerate(model.branches):
        for s in range(states):
            for a in range(model.num_actions):
                column = min(a, branch.successors.shape[1] - 1)
                for to, odds in zip(branch.successors[s, column], branch.probabilities[s, column], strict=True):
                    step[s, to] += pi[s, a] * weights[s, a, k] * odds
    return np.linalg.solve(np.eye(states) - model.gamma * step, (pi * pay).sum(1))


class Free(toys.CrowdModel):
    """Nobody feels the crowd."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._reward_at = self._reward_at[0], 0 * self._reward_at[1]
        self._weight_at = self._weight_at[0], 0 * self._weight_at[1]


@pytest.mark.parametrize("name", ["general", "travelling", "layered"])
def test_where_nobody_is_in_the_way_an_agent_is_worth_its_own_pay(name: str) -> None:
    """Both costates are the value of one agent, whatever was sampled; in transit, discounted until it arrives."""
    toy: Any = getattr(toys, name)()
    free = Free(
        network=toy.network, population=3, num_actions=toy.num_actions, branches=toy.branches, legal=toy.legal,
        groups=toy.groups, transit=toy.transit, kernel_reads=toy.kernel_reads, gamma=0.6, seed=4,
    )  # fmt: skip
    rng = np.random.default_rng(2)
    odds = rng.random((len(free.team_states), free.num_actions)) * free.legal[free.team_states]
    policy = TablePolicy(free, odds / odds.sum(1, keepdims=True))
    pullback = Pullback(free, free.gamma)
    table = policy.individual(np.zeros((1, free.network.num_states), np.int64))[0, free.active]
    fragment = played(free, policy, 60, 4)
    for _ in range(30):  # what is worth being where a trip ends is learnt from fragment to fragment
        found = pullback(fragment, lambda sizes, piece: np.broadcast_to(table, (*sizes.shape[:2], *table.shape)))
        pullback.learn(pullback.moments(fragment, found))
    value = alone_values(free, policy)[free.active]
    np.testing.assert_allclose(found.values[:, :5], np.broadcast_to(value, (2, 5, 4, len(value))), atol=2e-3)


WORLDS = 3_000
PLAYED_ON: dict[str, tuple[str, dict[str, Any], int]] = {
    "grid": ("MFNet-Grid-v0", {"population": 60}, 5),
    "grid, independent": ("MFNet-Grid-v0", {"population": 60, "matching": "independent"}, 5),
    "couriers": ("MFNet-Courier-v0", {"population": 20, "rows": 3, "cols": 3}, 4),
    "an infection": ("MFNet-SIS-v0", {"population": 60}, 6),
    "links": ("MFNet-Braess-v0", {"population": 60}, 12),
    "blocked links": ("MFNet-Packet-v0", {"population": 60, "blocking": 3.0, "vehicles": 20.0}, 5),
}


@pytest.mark.parametrize("name", PLAYED_ON)
def test_costates_are_what_playing_on_with_one_agent_more_pays(name: str) -> None:
    """V(n + e_r) - V(n) over some steps of the uniform policy, which answers to no crowd, from two sets of worlds; and
    M^+ in the mean over fragments from n. The policy's one row in ten with the largest costates is looked at."""
    env, options, steps = PLAYED_ON[name]
    model = mfnet_envs.make_model(env, **options)
    policy, simulator, rng = uniform(model), Simulator(model), np.random.default_rng(0)
    counts = simulator.reset(rng, 1)
    for t in range(6):
        counts = policy.play(simulator, counts, t, rng).next_counts

    def value(counts: np.ndarray, worlds: int) -> np.ndarray:
        now, paid = np.repeat(counts, worlds, 0), np.zeros(worlds)
        for t in range(steps):
            step = policy.play(simulator, now, t, rng)
            paid += model.gamma**t * model.population * step.team_rewards.sum(1)
            now = step.next_counts
        return paid

    sampler = Sampler(simulator, "stationary", model.gamma, 300, rng, {"sizes", "served", "unserved"})
    sampler.counts = np.repeat(counts, 300, 0)
    fragment = fragment_of(sampler.rollout(policy, steps)[0], 0)
    found = pulled(model, policy, fragment).values[1, 0]
    busy = np.argsort(-np.abs(found.mean(0)))[:: max(1, len(model.active) // 10)][:3]
    base = value(counts, WORLDS)
    for row in busy:
        more = value(counts + np.eye(counts.shape[1], dtype=int)[model.active[row]], WORLDS)
        error = np.sqrt((more.var() + base.var()) / WORLDS + found[:, row].var() / 300)
        assert abs(found[:, row].mean() - (more.mean() - base.mean())) < 4.5 * error + 0.03 * abs(
            more.mean() - base.mean()
        )
        assert error < 0.5 * np.abs(found.mean(0)).max()


def test_landings_on_conveyors_and_in_circles() -> None:
    """Of the trip from s, gamma to its length and where it ends; a circle ends nowhere."""
    model = toys.travelling()
    row, delay = landings(model, 0.5)
    for s in range(model.network.num_states):
        at, steps = s, 0
        while model.transit[at]:
            at, steps = int(model.branches[-1].successors[at, 0, 0]), steps + 1
        assert model.active[row[s]] == at and delay[s] == 0.5**steps
    routing = mfnet_envs.make_model("MFNet-Routing-v0", population=10)
    row, delay = landings(routing, 0.9)
    assert (delay[routing.transit] == 0).all() and (delay[routing.active] == 1).all()


# -- the gradient, by enumeration


def algorithm(
    env: str, env_config: dict[str, Any], *, worlds: int = 4, steps: int = 16, **training: Any
) -> DecNeuralAC:
    config = DecNeuralACConfig().environment(env, env_config=env_config).training(**training)
    with warnings.catch_warnings(action="ignore"):
        algo = config.env_runners(num_envs_per_env_runner=worlds, rollout_fragment_length=steps).build_algo()
    assert isinstance(algo, DecNeuralAC) and isinstance(algo.trained, Costate)
    return algo


LINE = {"graph": [[0, 1], [1, 2]], "demand": [0.2, 0.1, 1.0], "population": 4, "matching": "independent", "gamma": 0.8}


def test_gradient_points_where_enumeration_does() -> None:
    """At the uniform policy of a small crowd, the sampled gradient and (17) from the exact game: all but parallel.

    It is not (17) to the last digit: the terminal critic is linear and there is no response. 12,000 fragments leave an
    angle of chance of about one degree.
    """
    algo = algorithm("MFNet-Grid-v0", LINE, worlds=2000, steps=24)
    trained, policy = algo.trained, algo.learned
    assert isinstance(trained, Costate)
    gradients = []
    for _ in range(6):
        fragment = fragment_of(trained.sampler.rollout(policy, 24)[0], 0)
        found = trained.pullback(fragment, trained.chosen(policy, fragment))
        trained.pullback.learn(trained.pullback.moments(fragment, found))
        ahead = trained.pullback.advantages(fragment, found, trained.rows)
        gradients.append(trained.gradient(policy, fragment, ahead, trained.scale_of(ahead.summed)))
    mine = torch.stack(gradients[1:]).mean(0).numpy().reshape(-1)
    exact = np.asarray(ExactGame(algo.model).policy_gradient(policy)).reshape(-1)
    assert mine @ exact > 0.99 * np.linalg.norm(mine) * np.linalg.norm(exact)


def test_fragments_have_the_law_of_the_visitation() -> None:
    """Steps weighed by keep^j, (1 - gamma) sum_t gamma^t P(crowd at t): mean crowds against the exact game's."""
    model = toys.line(3, 4)
    game, policy = ExactGame(model), uniform(model)
    exact = game.visitation(policy) @ game.count_vectors
    sampler = Sampler(Simulator(model), "fragments", model.gamma, 3000, np.random.default_rng(5), {"sizes"})
    seen = []
    for i in range(30):
        sample, _ = sampler.rollout(policy, 10)
        weight = model.gamma ** np.arange(10)
        if i >= 6:  # until then all worlds are of one age
            seen.append((weight[:, None] * sample.crowd[..., 0].mean(1)).sum(0) / weight.sum())
    np.testing.assert_allclose(np.mean(seen, 0), exact, atol=0.02)


def test_no_episode_ends_before_it_begins() -> None:
    """Worlds that are drawn anew before their first step have played nothing, and no return is reported of them."""
    algo = algorithm("MFNet-Grid-v0", {"population": 9}, worlds=200, steps=40)
    first, second = algo.train()["env_runners"], algo.train()["env_runners"]
    assert not first["num_episodes"] and second["num_episodes"] > 100


def test_it_says_what_it_must_know() -> None:
    """A law that is known is knowledge of the model, beside what scales the inputs; one that is counted is not."""
    known, counted = (algorithm("MFNet-SIS-v0", {"population": 20}, law=law).needs for law in ("known", "counted"))
    assert "reward and kernel at its own node" in known and "kernel" not in counted
    assert "everywhere" in algorithm("MFNet-SIS-v0", {"population": 20}, weights="shared").needs
    bracket = DecNeuralACConfig().environment("MFNet-SIS-v0", env_config={"population": 20}).training(critic_form="v")
    assert "kernel" not in bracket.build_algo().needs


# -- locality


def test_a_step_back_reads_the_own_node_and_what_successors_say() -> None:
    """Crowds, flows and sizes elsewhere drawn anew, and the costates of all but the successors: not one bit changes."""
    algo = algorithm("MFNet-Grid-v0", {"population": 40})
    trained, policy, rng = algo.trained, algo.learned, np.random.default_rng(0)
    assert isinstance(trained, Costate)
    algo.train()
    fragment = fragment_of(trained.sampler.rollout(policy, 3)[0], 0)
    pullback, node = trained.pullback, 7
    routes = pullback.routes[id(algo.model)]
    near = algo.model.network.neighbors[node]
    near = near[near >= 0]

    def costates(fragment: Fragment, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        laws = routes.law.around(fragment.crowd[1:2]).step(0)
        pi = trained.chosen(policy, fragment)
        sizes, piece = fragment.sizes[1:2], slice(1, 2)
        chosen = np.stack([pi(sizes, piece)[0], pi(sizes + 1, piece)[0]])
        found, worth = pullback.back(fragment, 1, routes, laws, pullback._everywhere(values), chosen)
        return found[:, :, node], worth[:, node]

    values = rng.normal(size=(2, 4, 25))
    noisy, told = [getattr(fragment, name).copy() for name in ("crowd", "last", "served", "unserved", "sizes")], values
    for array in noisy:
        fresh = rng.integers(0, 30, array.shape)
        axis = 1 if array is noisy[1] else 2
        away = np.arange(25) != node
        index = (slice(None),) * axis + (away,)
        array[index] = fresh[index]
    elsewhere = ~np.isin(np.arange(25), near)
    told = values.copy()
    told[:, :, elsewhere] = rng.normal(size=told[:, :, elsewhere].shape)
    for one, other in zip(costates(fragment, values), costates(Fragment(*noisy, 0), told), strict=True):
        np.testing.assert_array_equal(one, other)
    heard = values.copy()
    heard[:, :, near[1]] += 1
    assert not np.array_equal(costates(fragment, values)[0], costates(fragment, heard)[0])


@pytest.mark.parametrize("observe", ["own", 1])
def test_an_update_reaches_as_far_as_its_fragment_is_long(observe: Any) -> None:
    """theta_s after an update from T steps: data more than T (1 + k) + 1 hops away may be anything, policies seeing k
    hops: a step back, those who hear of a node tell it what they make of that."""
    line = {"graph": [[v, v + 1] for v in range(11)], "demand": [1.0 + v % 3 for v in range(12)], "population": 40}
    steps, node = 3, 2
    one, other = (
        algorithm("MFNet-Grid-v0", line, steps=steps, advantage_scale="state", observe=observe) for _ in range(2)
    )
    sample, episodes = one.sampler.rollout(one.learned, steps)
    rng, far = np.random.default_rng(1), np.arange(12) > node + steps * (1 if observe == "own" else 1 + observe) + 1
    changed = {}
    for name in ("crowd", "next_crowd", "served", "unserved", "sizes"):
        values = getattr(sample, name).copy()
        values[:, :, far] = rng.integers(0, 9, values[:, :, far].shape)
        changed[name] = values
    for algo, data in ((one, sample), (other, dataclasses.replace(sample, **changed))):
        algo.sampler.rollout = lambda *_, data=data: (data, episodes)  # type: ignore[method-assign]
        algo.train()
    theta, changed_theta, start = (
        x.reshape(12, -1) for x in (one.learned.theta, other.learned.theta, one.learned.net.start)
    )
    assert torch.equal(theta[: node + 1], changed_theta[: node + 1])
    assert not torch.equal(theta[-1], changed_theta[-1])
    assert not torch.equal(theta[node], start[node])


def test_messages_are_counted() -> None:
    """On the 5 x 5 grid every node hears both costates of each of its neighbours: 80 directed borders."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=10)
    assert Pullback(model, model.gamma).messages == 2 * 80


@pytest.mark.parametrize("id", ["MFNet-SIS-v0", "MFNet-Grid-v0"])
@pytest.mark.parametrize("hops", [0, 1, 2])
def test_policies_answer_to_crowds_that_they_hear(id: str, hops: int) -> None:
    """Slopes of what others earn by their own moves, against differences of what they play at crowds nearby."""
    algo = algorithm(id, {"population": 60}, steps=4, observe=hops)
    algo.train()
    sample, _ = algo.sampler.rollout(algo.learned, 4)
    fragment, policy, costate = fragment_of(sample, 0), algo.learned, algo.trained
    assert isinstance(costate, Costate)
    rng = np.random.default_rng(0)
    at = slice(2, 3)
    crowd = fragment.crowd + 0.5  # features bend at whole multiples of what is usual
    seen = costate.seen(fragment._replace(crowd=crowd), at)
    heard = costate.pullback._heard(policy.answers(seen), at, fragment.crowd.shape[1])
    pullback, worlds = costate.pullback, fragment.crowd.shape[1]
    worth = rng.normal(size=(worlds, len(pullback.node), algo.model.num_actions))
    told = pullback._answered(fragment, 2, worth, heard._replace(slopes=heard.slopes[0]))
    agents = fragment.unserved[2][:, pullback.teams].sum(2)

    def earned(crowd: np.ndarray) -> np.ndarray:
        pi = policy.shares(seen._replace(crowd=crowd))
        return np.einsum("bt,bta,bta->b", agents, pi, worth[:, pullback.teams])

    assert np.abs(told).max() > 1e-3
    for row in rng.choice(len(pullback.node), 5, replace=False):
        shift = np.zeros_like(seen.crowd)
        shift[:, pullback.node[row], pullback.group[row]] = 1e-5
        slope = (earned(seen.crowd + shift) - earned(seen.crowd - shift)) / 2e-5
        np.testing.assert_allclose(told[:, row], slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("observe", ["own", 0, 1])
def test_execution_reads_what_it_says(observe: Any) -> None:
    """Its own state's crowd; with hops, crowds within them, and none beyond."""
    algo = algorithm("MFNet-SIS-v0", {"population": 60}, observe=observe)
    for _ in range(3):
        algo.train()
    rng, network = np.random.default_rng(3), algo.model.network
    counts = rng.integers(0, 30, (40, network.num_states))
    node, own = 4, np.arange(network.num_states) == 8
    reads = {"own": own, 0: network.node_of == node, 1: network.distance(node)[network.node_of] <= 1}[observe]
    counts[:, reads] = counts[0, reads]
    pi = algo.policy.individual(counts)[:, 8]
    assert (pi == pi[0]).all()
    if observe != "own":
        more = counts[:1].copy()
        more[0, 9] += 5  # the infected beside
        assert not np.array_equal(algo.policy.individual(more)[0, 8], pi[0])


@pytest.mark.parametrize("id", ["MFNet-SIS-v0", "MFNet-Grid-v0"])
def test_who_hears_has_a_network_for_each_action(id: str) -> None:
    """What one network learns of a crowd next door moves its own action of its own state against the others, and those
    not against each other."""
    policy = algorithm(id, {"population": 60}, observe=1).learned
    assert isinstance(policy, ObservingPolicy)
    model, rng = policy.model, np.random.default_rng(0)
    teams, actions = model.legal[model.team_states].shape
    assert len(policy.theta) == teams * actions
    counts = rng.integers(0, 30, (6, model.network.num_states))
    team = int(np.argmax(model.legal[model.team_states].sum(1)))  # one with several neighbours
    choices = np.flatnonzero(model.legal[model.team_states[team]])
    policy.update(policy.theta + torch.as_tensor(rng.normal(size=policy.theta.shape)))
    before = np.log(np.maximum(policy.teams(counts), 1e-300))
    theta = policy.theta.clone()
    theta[team * actions + choices[0]] *= 1.5
    policy.update(theta)
    change = np.log(np.maximum(policy.teams(counts), 1e-300)) - before
    assert np.abs(np.delete(change, team, 1)).max() == 0
    moved = change[:, team, choices] - change[:, team, choices[1:2]]
    assert np.abs(moved[:, 0]).min() > 1e-3
    np.testing.assert_allclose(moved[:, 1:], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("id", "own", "hearing"),
    [("MFNet-Grid-v0", (32, 0.1), (8, 0.05)), ("MFNet-RideShareNYC-v0", (32, 0.07), (8, 0.035))],
)
def test_who_hears_takes_smaller_steps(id: str, own: tuple[int, float], hearing: tuple[int, float]) -> None:
    """Unless told otherwise."""
    model, config = mfnet_envs.make_model(id), DecNeuralACConfig().environment(id)
    for observe, expected in (("own", own), (1, hearing)):
        settled = config.copy().training(observe=observe).resolved(model)
        assert (settled.actor_width, settled.actor_lr) == (expected[0], pytest.approx(expected[1]))
    settled = config.copy().training(observe=1, actor_width=16, actor_lr=0.05).resolved(model)
    assert (settled.actor_width, settled.actor_lr) == (16, 0.05)


# -- the terminal critic


def test_terminal_critic_finds_a_line() -> None:
    """Targets that are linear in its features are met, up to the ridge; constant features harm nothing."""
    rng, node = np.random.default_rng(0), np.array([0, 0, 1])
    critic = TerminalCritic(node, np.array([0, 1, 0]), np.array([[10.0, 5.0], [3.0, 1.0]]))
    crowd = rng.integers(0, 30, (400, 2, 2)).astype(float)
    crowd[:, 1, 0] = 7.0
    own = crowd[:, node, [0, 1, 0]]
    target = np.stack([3 - own[:, 0] / 10 + 2 * crowd[:, 0, 1] / 5, np.log1p(own[:, 1] / 5), 0 * own[:, 2] + 4], 1)
    for _ in range(3):
        critic.fit(crowd, [(own, target)])
    np.testing.assert_allclose(critic.value(crowd, own), target, atol=0.15)  # of a range of 16
    np.testing.assert_allclose(critic.value(crowd, own)[:, 2], 4, atol=1e-9)
    assert critic.fit(crowd, [(own, target)]) < 0.05
    np.testing.assert_allclose(critic.level, target.mean(0), atol=1e-9)


# -- learning


def test_a_short_run_beats_the_heuristics() -> None:
    """A scenario that the form with critics does not learn: selfish drivers earn 500 a day, 597 is within sight."""
    algo = algorithm("MFNet-TwoByTwo-v0", {}, steps=64, total_env_steps=20_480)
    while algo.env_steps < 20_480:
        algo.train()
    assert algo.evaluate(worlds=32)["env_runners"]["headline_mean"] > 590


def test_large_crowds_have_no_table() -> None:
    """10^6 agents: an iteration that costs what a small one does, with finite numbers."""
    algo = algorithm("MFNet-Grid-v0", {"population": 10**6}, steps=8)
    result = algo.train()
    assert np.isfinite(result["learners"]["team"]["gradient_norm"])
    assert algo.learned._table is None  # type: ignore[attr-defined]


def test_who_is_served_must_go_one_way() -> None:
    """Of those that a quota serves a fragment keeps the number, and not what they chose."""
    line = toys.StateNetwork.line(3)
    served = toys.spread(line, 3, columns=3)
    model = toys.rationed(branches=(served, Branch.to(toys.moves(line))))
    config = DecNeuralACConfig().environment("MFNet-Grid-v0")
    with pytest.raises(ConfigError, match="the same place whatever they chose"):
        config.resolved(model)
    assert config.copy().training(critic_form="v").resolved(model).form == "bracket"
    assert config.resolved(toys.rationed()).form == "costate"
