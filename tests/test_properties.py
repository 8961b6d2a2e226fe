"""What holds for every connected graph, every local model and every N, tried on random ones."""

from typing import Any

import networkx as nx
import numpy as np
import toys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfnet_envs.evaluate import evaluate
from mfnet_envs.model import Branch, LocalModel, Quota
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import TablePolicy
from mfnet_envs.scenarios import grid_v0
from mfnet_envs.simulator import Simulator
from mfnet_envs.views import AgentsEnv, CentralEnv, TeamsEnv

LIGHT = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def graphs(draw: Any, most: int = 8) -> nx.Graph:
    """A connected graph: a random tree and some more edges, its nodes named and ordered at random."""
    n = draw(st.integers(2, most))
    edges = [(draw(st.integers(0, v - 1)), v) for v in range(1, n)]
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda pair: pair[0] != pair[1])
    edges += draw(st.lists(pairs, max_size=n))
    graph = nx.Graph()
    graph.add_nodes_from(draw(st.permutations(range(n))))
    graph.add_edges_from(edges)
    return graph


@st.composite
def models(draw: Any) -> LocalModel:
    """Any kernel on any graph: branches with or without chance, a quota or none, layers, illegal actions."""
    layers = draw(st.integers(1, 3))
    network = StateNetwork(draw(graphs()), layers)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    s, actions = network.num_states, draw(st.integers(2, 3))
    branches = tuple(_branch(network, actions, rng) for _ in range(draw(st.integers(1, 3))))
    legal = rng.random((s, actions)) < 0.7
    legal[np.arange(s), rng.integers(actions, size=s)] = True
    legal[0] = True  # somebody has a choice
    more: dict[str, Any] = {"groups": draw(st.sampled_from([list(range(layers)), [0] * layers]))}
    kind: Any = toys.CrowdModel
    if layers == 1 and len(branches) > 1 and draw(st.booleans()):
        kind, more["quota"] = toys.QuotaModel, Quota(0, rng.gamma(1.0, 2.0, s))
    model: LocalModel = kind(
        network=network,
        population=draw(st.integers(1, 40)),
        num_actions=actions,
        branches=branches,
        legal=legal,
        initial=rng.dirichlet(np.ones(s)),
        kernel_reads="hood" if "quota" not in more else draw(st.sampled_from(["own", "hood"])),
        seed=int(rng.integers(1000)),
        **more,
    )
    return model


def _branch(network: StateNetwork, actions: int, rng: np.random.Generator) -> Branch:
    """One to three random successors in the closed neighbourhood, read from networkx."""
    s, chances = network.num_states, int(rng.integers(1, 4))
    successors = np.empty((s, actions, chances), int)
    for state in range(s):
        label = network.nodes[state // network.layers]
        near = [label, *network.graph.adj[label]]
        picked = [network.nodes.index(near[i]) for i in rng.integers(len(near), size=actions * chances)]
        layer = rng.integers(network.layers, size=actions * chances)
        successors[state] = (np.array(picked) * network.layers + layer).reshape(actions, chances)
    return Branch(successors, rng.dirichlet(np.ones(chances), (s, actions)))


def distances(network: StateNetwork) -> np.ndarray:
    """``(V, V)`` hops, by networkx."""
    lengths = dict(nx.all_pairs_shortest_path_length(network.graph))
    return np.array([[lengths[a][b] for b in network.nodes] for a in network.nodes])


@LIGHT
@given(models(), st.integers(0, 2**32 - 1))
def test_agents_are_conserved_and_move_at_most_one_hop(model: LocalModel, seed: int) -> None:
    simulator, rng = Simulator(model), np.random.default_rng(seed)
    far = distances(model.network)
    pi = rng.dirichlet(np.ones(model.num_actions), model.network.num_states)
    counts = simulator.reset(rng, 3)
    states = np.repeat(np.arange(counts.shape[1]), counts[0])[None]
    for _ in range(4):
        counts, rewards = simulator.step(counts, simulator.act(counts, pi, rng), rng)
        assert (counts >= 0).all() and (counts.sum(1) == model.population).all()
        assert (np.abs(rewards.sum(1)) <= 1 + 1e-12).all()  # rewards of one agent lie in [-1, 1]
        moved, paid = simulator.step_agents(states, rng.integers(model.num_actions, size=states.shape), rng)
        assert far[model.network.node_of[states], model.network.node_of[moved]].max() <= 1
        assert (np.abs(paid) <= 1).all() and moved.shape == states.shape
        states = moved


@LIGHT
@given(models(), st.integers(0, 2**32 - 1))
def test_crowds_move_along_edges_only(model: LocalModel, seed: int) -> None:
    """All agents at one node: one step later they are within one hop, whichever stepper moves them."""
    simulator, rng = Simulator(model), np.random.default_rng(seed)
    s = model.network.num_states
    start = int(rng.integers(s))
    counts = np.zeros((1, s), np.int64)
    counts[0, start] = model.population
    near = distances(model.network)[model.network.node_of[start]] <= 1
    pi = rng.dirichlet(np.ones(model.num_actions), s)
    for reached in (
        simulator.step(counts, simulator.act(counts, pi, rng), rng)[0],
        simulator.play(counts, pi, rng).next_counts,
        simulator.mean_field_step(counts / model.population, pi)[0],
    ):
        assert not reached[0][~near[model.network.node_of]].any()
        assert abs(reached.sum() / counts.sum() - 1) < 1e-9 or abs(reached.sum() - 1) < 1e-9


@LIGHT
@given(models(), st.integers(0, 2**32 - 1))
def test_nobody_reads_beyond_the_neighbourhood(model: LocalModel, seed: int) -> None:
    """Shuffle the agents two and more hops away from a node: its rewards and weights stay, to the last bit."""
    simulator, rng = Simulator(model), np.random.default_rng(seed)
    network = model.network
    node = int(rng.integers(network.num_nodes))
    far = np.flatnonzero(distances(network)[node][network.node_of] > 1)
    counts = simulator.reset(rng, 1)
    changed = counts.copy()
    changed[:, far] = rng.multinomial(counts[0, far].sum(), np.full(len(far), 1 / len(far))) if len(far) else 0
    rows = network.node_of[model.active] == node
    for function in (model.reward, model.branch_weights):
        before, after = function(simulator.mu_hood(counts)), function(simulator.mu_hood(changed))
        np.testing.assert_array_equal(before[:, rows], after[:, rows])


@settings(LIGHT, max_examples=60)
@given(models(), st.integers(0, 2**31 - 1))
def test_views_are_views_of_one_game(model: LocalModel, seed: int) -> None:
    """Same seed and logits: the same counts and pay, centrally and by team; agents are paid the same mean."""
    central, teams = CentralEnv(model), TeamsEnv(model, max_cycles=5)
    mu, _ = central.reset(seed=seed)
    teams.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        np.testing.assert_array_equal(teams.state(), mu)
        logits = rng.uniform(-1, 1, (len(teams.agents), model.num_actions)).astype(np.float32)
        mu, reward, *_ = central.step(logits.reshape(-1))
        paid = teams.step(dict(zip(teams.agents, logits, strict=True)))[1]
        assert abs(sum(paid.values()) - reward) < 1e-12

    agents = AgentsEnv(model, max_cycles=2)
    agents.reset(seed=seed)
    counts, states = agents.counts[None], agents.states.copy()
    actions = rng.integers(model.num_actions, size=model.population)
    paid = agents.step(dict(zip(agents.agents, actions.tolist(), strict=True)))[1]
    taken = np.zeros((1, *model.legal.shape), np.int64)
    np.add.at(taken[0], (states, actions), 1)
    team_rewards = Simulator(model).step(counts, taken, rng)[1]
    assert abs(team_rewards.sum() - np.mean(list(paid.values()))) < 1e-12
    assert agents.counts.sum() == model.population


@settings(LIGHT, max_examples=40)
@given(graphs(6), st.integers(1, 30), st.sampled_from(["physical", "independent"]), st.integers(0, 2**32 - 1))
def test_no_policy_beats_the_certificate(graph: nx.Graph, population: int, matching: Any, seed: int) -> None:
    """The grid's bound on any graph, demand and N, against its heuristics and random tables, sharp ones among them.

    A mean of 200 worlds may lie above by six standard errors: once in a billion.
    """
    rng = np.random.default_rng(seed)
    model = grid_v0.build(
        population=population,
        graph=graph,
        demand=rng.gamma(0.5, 1.0, graph.number_of_nodes()) + 1e-3,
        total_demand=float(rng.uniform(0.1, 2.0)),
        move_cost=float(rng.uniform(0, 0.5)),
        gamma=float(rng.uniform(0.5, 0.95)),
        horizon=8,
        matching=matching,
    )
    bound = model.bound()
    weights = np.where(model.legal, rng.gamma(0.2, 1.0, (3, *model.legal.shape)) + 1e-9, 0)
    tables = weights / weights.sum(2, keepdims=True)
    tried = {**model.heuristics(), **{f"table {i}": TablePolicy(model, table) for i, table in enumerate(tables)}}
    for name, policy in tried.items():
        report = evaluate(model, policy, worlds=200, seed=0)
        slack = 3.1 * report["discounted_return_ci95"] + bound.gap * abs(bound.value) + 1e-9
        assert report["discounted_return_mean"] <= bound.value + slack, name
