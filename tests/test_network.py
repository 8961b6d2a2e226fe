"""The state network against networkx, and what it refuses."""

import math
import pickle
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.scenarios.grid_v0 import Grid
from mfnet_envs.simulator import Simulator


@st.composite
def connected_graphs(draw: st.DrawFn) -> nx.Graph:
    """A random tree with some extra edges, labelled by strings in random order."""
    n = draw(st.integers(1, 14))
    parents = [draw(st.integers(0, v - 1)) for v in range(1, n)]
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    edges = [*((v + 1, parent) for v, parent in enumerate(parents)), *draw(st.lists(pairs, max_size=8))]
    order = draw(st.permutations(range(n)))
    graph = nx.MultiGraph()
    graph.add_nodes_from(f"v{v}" for v in order)
    graph.add_edges_from((f"v{v}", f"v{w}") for v, w in edges)
    return graph


@given(connected_graphs(), st.integers(0, 5))
def test_tables_are_those_of_networkx(graph: nx.Graph, k: int) -> None:
    network = StateNetwork(graph, layers=2)
    length = dict(nx.all_pairs_shortest_path_length(nx.Graph(graph)))
    place = {label: v for v, label in enumerate(network.nodes)}
    assert list(place) == list(graph.nodes)
    assert network.diameter == nx.diameter(nx.Graph(graph))
    assert [network.within(reach) for reach in range(9)] == [min(network.diameter, reach) for reach in range(9)]
    index, mask = network.hops(k)
    for label, v in place.items():
        row = network.neighbors[v]
        assert row[0] == v
        assert list(row[row >= 0][1:]) == sorted(place[w] for w in graph.neighbors(label) if w != label)
        assert list(network.distance(v)) == [length[label][w] for w in network.nodes]
        near = index[v][mask[v]]
        assert near[0] == v
        assert sorted(near) == [w for w in range(len(place)) if length[label][network.nodes[w]] <= k]
        distances = network.distance(v)[near]
        assert (np.diff(distances) >= 0).all()
    assert (index[~mask] == 0).all()
    np.testing.assert_array_equal(network.ball(k), [[length[a][b] <= k for b in network.nodes] for a in network.nodes])


def test_sizes_and_numbering_of_states() -> None:
    network = StateNetwork.grid(2, 3, layers=4)
    assert (network.num_nodes, network.num_states, network.diameter) == (6, 24, 3)
    assert network.node_of.tolist() == [s // 4 for s in range(24)]
    assert network.nodes[4] == (1, 1)


@pytest.mark.parametrize(("network", "diameter"), [(StateNetwork.ring(7), 3), (StateNetwork.line(7), 6)])
def test_named_graphs(network: StateNetwork, diameter: int) -> None:
    assert (network.num_nodes, network.diameter) == (7, diameter)


@pytest.mark.parametrize("n", [1, 2])
def test_the_smallest_rings_are_graphs_without_parallel_edges(n: int) -> None:
    assert StateNetwork.ring(n).neighbors.tolist() == StateNetwork.line(n).neighbors.tolist()


def test_large_graphs() -> None:
    """10^5 nodes: tables in seconds, distances on demand."""
    network = StateNetwork.line(100_000)
    assert network.distance(0)[-1] == 99_999
    assert network.within(6) == 6
    assert network.hops(6)[0].shape == (100_000, 13)


@pytest.mark.parametrize(
    "graph",
    [nx.grid_2d_graph(9, 14), nx.random_regular_graph(3, 120, 1), nx.barabasi_albert_graph(150, 2, 2), nx.star_graph(9)]
    + [nx.balanced_tree(2, 6), nx.barbell_graph(8, 11), nx.connected_watts_strogatz_graph(90, 4, 0.1, 3)],
)
def test_diameter_of_larger_graphs(graph: nx.Graph) -> None:
    assert StateNetwork(graph).diameter == nx.diameter(graph)


def test_few_sweeps_find_the_diameter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one from every node; and `within` stops at the first that reaches far enough, and there."""
    network, swept = StateNetwork.grid(40, 50), []
    honest = StateNetwork.distance

    def counting(self: StateNetwork, node: int, reach: float = math.inf) -> np.ndarray:
        swept.append(honest(self, node, reach))
        return swept[-1]

    monkeypatch.setattr(StateNetwork, "distance", counting)
    assert network.within(6) == 6
    assert [hops.max() for hops in swept] == [6]
    assert network.diameter == 88
    assert len(swept) < 40


@given(connected_graphs(), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
def test_parts_and_what_they_need(graph: nx.Graph, m: int, k: int, kappa: int) -> None:
    """Every node is of one part; a halo is what some own node has within its radius."""
    network = StateNetwork(graph)
    length = dict(nx.all_pairs_shortest_path_length(nx.Graph(graph)))
    m = min(m, network.num_nodes)
    parts = network.parts(m, k, kappa)
    assert [v for part in parts for v in part.nodes] == list(range(network.num_nodes))
    assert len(parts) == m
    assert len({len(part.nodes) for part in parts}) <= 2
    for part in parts:
        for halo, radius in ((part.sees, k), (part.hears, kappa)):
            own = [network.nodes[v] for v in part.nodes]
            near = [v for v, w in enumerate(network.nodes) if min(length[u][w] for u in own) <= radius]
            assert list(halo) == near


@pytest.mark.parametrize("m", [0, 4, 1.5])
def test_parts_it_refuses(m: Any) -> None:
    with pytest.raises(ValueError, match="m must be"):
        StateNetwork.line(3).parts(m, 1, 1)


def test_pickling_keeps_the_network() -> None:
    network = StateNetwork.grid(3, 3, layers=2)
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.neighbors, network.neighbors)
    assert (again.nodes, again.layers) == (network.nodes, network.layers)


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        StateNetwork.line(3).neighbors[0, 0] = 1


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        (nx.DiGraph([(0, 1)]), "directed; pass graph.to_undirected"),
        (nx.Graph(), "empty; it needs at least one node"),
        (nx.Graph([(0, 1), (2, 3)]), "falls into 2 parts"),
    ],
)
def test_graphs_it_refuses(graph: nx.Graph, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        StateNetwork(graph)


@pytest.mark.parametrize("graph", [None, [(0, 1)], "grid"])
def test_what_is_no_graph(graph: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a networkx\.Graph"):
        StateNetwork(graph)


@pytest.mark.parametrize("layers", [0, -1, 1.5, "2", None, True])
def test_layers_must_be_a_positive_integer(layers: Any) -> None:
    with pytest.raises(ValueError, match="layers must be a positive integer"):
        StateNetwork(nx.path_graph(3), layers)


@pytest.mark.parametrize("hops", [-1, 0.5, "1", None])
def test_hops_must_be_a_non_negative_integer(hops: Any) -> None:
    with pytest.raises(ValueError, match="hops must be a non-negative integer"):
        StateNetwork.line(3).hops(hops)


SIZES = (lambda: StateNetwork.grid(0, 3), lambda: StateNetwork.line(-1), lambda: StateNetwork.ring(2.5))


@pytest.mark.parametrize("build", SIZES)
def test_named_graphs_need_positive_sizes(build: Any) -> None:
    with pytest.raises(ValueError, match="must be a positive integer"):
        build()


# -- one node with very many neighbours


def test_a_star_of_a_hundred_thousand_leaves() -> None:
    """Kept as lists: what needs no table works, what needs one is refused by name, before it is made."""
    star = StateNetwork(nx.star_graph(100_000))
    assert (star.diameter, star.distance(5).max(), len(star.adjacent)) == (2, 2, 200_000)
    assert star.is_step(np.array([0, 7, 7]), np.array([9, 0, 9])).tolist() == [True, True, False]
    assert [len(part.sees) for part in star.parts(4, 2, 3)] == [100_001] * 4
    hub = "100,000 {} of node 0 as a row for each of 100,001 nodes would be a table of 10,000,200,001 places"
    with pytest.raises(ValueError, match=hub.format("neighbours")):
        _ = star.neighbors
    with pytest.raises(ValueError, match=hub.format("nodes within 1 hops")):
        star.hops(1)
    with pytest.raises(ValueError, match="pairs of nodes within 2 hops of each other need"):
        star.hops(2)


class Wait(LocalModel):
    """Agents stay, or walk from a leaf of a star to its middle; what they earn depends on their own node."""

    reward_reads = "own"

    def __init__(self, network: StateNetwork, kernel_reads: Any = "own") -> None:
        here = np.arange(network.num_nodes)
        super().__init__(
            network=network,
            population=1_000,
            num_actions=2,
            branches=(Branch.to(np.stack([here, 0 * here], 1)),),
            reward_range=(0.0, 1.0),
            kernel_reads=kernel_reads,
        )

    def reward(self, mu_hood: Any) -> Any:
        return 1 - mu_hood[:, :, 0] + np.zeros(2)

    def branch_weights(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), self.network.num_nodes, 1, 1))


class Stares(Wait):
    """A reward of its own, and nothing said of how far it looks."""

    def reward(self, mu_hood: Any) -> Any:
        return 1 - mu_hood.sum((2, 3))[..., None] + np.zeros(2)


def test_a_model_that_looks_at_its_own_node_lives_on_a_star() -> None:
    """The same law as on a small star with all its neighbourhoods; one that looks around is refused before anything."""
    model = Wait(StateNetwork(nx.star_graph(100_000)))
    simulator, rng = Simulator(model), np.random.default_rng(0)
    counts = simulator.reset(rng, 2)
    pi = np.tile([0.0, 1.0], (model.network.num_nodes, 1))
    played = simulator.play(counts, pi, rng)
    assert simulator.mu_hood(counts).shape == (2, 100_001, 1, 1)
    assert played.next_counts[:, 0].tolist() == [1_000, 1_000]
    shares = counts / 1_000
    np.testing.assert_allclose(played.team_rewards.sum(1), (shares * (1 - shares)).sum(1))
    with pytest.raises(ValueError, match="100,000 neighbours of node 0"):
        Simulator(Wait(model.network, kernel_reads="hood"))
    with pytest.raises(ValueError, match="100,000 neighbours of node 0"):
        Simulator(Stares(model.network))
    small = StateNetwork(nx.star_graph(4))
    assert Simulator(Wait(small)).mu_hood(np.ones((1, 5), int)).shape == (1, 5, 5, 1)


def test_scenarios_say_that_a_star_is_too_wide() -> None:
    said = r"to 100,001 moves each \(node 0\), need 1,281 GB|100,000 neighbours of node 0"
    with pytest.raises(ValueError, match=said):
        Grid(graph=nx.star_graph(100_000))


@pytest.mark.parametrize("network", [StateNetwork.ring(301), StateNetwork(nx.circulant_graph(200, [1, 7]))])
def test_diameter_where_all_nodes_are_alike(network: StateNetwork) -> None:
    """No bound settles these early: searches from many nodes at once do."""
    assert network.diameter == nx.diameter(network.graph)
    end = network.diameter
    assert [network.spans(reach) for reach in (0, end - 1, end, 10**18)] == [False, False, True, True]
