"""Networks that users bring: every format, its traps, and a sentence for every bad file."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mfnet_envs import io
from mfnet_envs.io.network_data import hop_loads, no_demand
from mfnet_envs.io.sndlib import both_ways

TNTP = os.environ.get("MFNET_TNTP")
needs_tntp = pytest.mark.skipif(TNTP is None, reason="MFNET_TNTP is not set")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="latin-1")
    return folder


def network(**changes: Any) -> io.NetworkData:
    """A triangle a -> b -> c -> a with trips from a to c."""
    three = np.ones(3)
    demand = np.zeros((3, 3))
    demand[0, 2] = 5
    given = dict(name="triangle", nodes=("a", "b", "c"), tail=np.arange(3), head=np.array([1, 2, 0]), demand=demand)
    given |= dict(free_flow_time=three, capacity=three, b=three, power=three, length=three)
    return io.NetworkData(**(given | changes))


def links(data: io.NetworkData) -> list[tuple[str, str]]:
    return [(data.nodes[u], data.nodes[v]) for u, v in zip(data.tail, data.head, strict=True)]


def trips(data: io.NetworkData) -> dict[tuple[str, str], float]:
    """The trips that are not zero, by labels."""
    return {(data.nodes[u], data.nodes[v]): float(data.demand[u, v]) for u, v in np.argwhere(data.demand)}


# -- the record itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(nodes=()), "a network needs nodes and links"),
        (dict(capacity=np.ones(2)), "capacity must have shape (3,), not (2,)"),
        (dict(capacity=np.array([1, 0, 1])), "capacity must be positive"),
        (dict(capacity=np.array([1, np.inf, 1])), "capacity must be finite and not negative"),
        (dict(length=np.array([1, -1, 1])), "length must be finite and not negative"),
        (dict(b=np.array([1, np.nan, 1])), "b must be finite"),
        (dict(head=np.array([1, 2, 3])), "a link ends at a node that does not exist"),
        (dict(head=np.array([1, 2, -1])), "head must be finite and not negative"),
        (dict(head=np.array([1, 1, 0])), "a link leads from node 'b' to itself"),
        (dict(demand=np.zeros((2, 2))), "demand must have shape (3, 3), not (2, 2)"),
        (dict(demand=np.eye(3)), "zero on the diagonal"),
        (dict(demand=np.full((3, 3), np.nan)), "demand must be finite"),
        (dict(coordinates=np.zeros((3, 3))), "coordinates must be finite, of shape (3, 2)"),
        (dict(first_through=4), "first_through must lie in 0..3, not 4"),
        (dict(toll=np.ones(2)), "toll must have shape (3,), not (2,)"),
        (dict(toll=np.array([1, -1, 1])), "toll must be finite and not negative"),
        (dict(toll_weight=-1.0), "toll_weight must be a non-negative number"),
        (dict(length_weight=np.nan), "length_weight must be a non-negative number"),
    ],
)
def test_a_bad_entry_is_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(io.NetworkFileError, match=f"triangle: .*{re.escape(sentence)}"):
        network(**changes)


def test_arrays_are_copies_and_read_only() -> None:
    time = np.array([1.0, 2, 3])
    data = network(free_flow_time=time)
    time[0] = 9
    assert data.free_flow_time.tolist() == [1, 2, 3]
    for name in (*data.PER_LINK, "demand"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(data, name)[0] = 1


def test_no_time_is_floored() -> None:
    """Braess's 1e-8 with b = 1e9 is a slope of 10; links that take no time take none."""
    assert network(free_flow_time=np.array([0, 1e-8, 2])).free_flow_time.tolist() == [0, 1e-8, 2]


def test_no_demand_takes_no_memory() -> None:
    table = no_demand(10**6)
    assert table.shape == (10**6, 10**6) and table.strides == (0, 0)
    data = network(demand=no_demand(3))
    assert data.demand.strides == (0, 0) and not data.has_demand
    assert repr(data) == "<NetworkData triangle: 3 nodes, 3 links, no trips>"


def test_balanced_by_hand() -> None:
    """Two nodes, 6 trips one way and 2 back: 4 and 4, so 2 of the 8 trips move."""
    data, moved = network(
        nodes=("a", "b"), tail=np.array([0, 1, 0]), head=np.array([1, 0, 1]), demand=np.array([[0, 6], [2, 0]])
    ).balanced()
    assert_allclose(data.demand, [[0, 4], [4, 0]])
    assert moved == pytest.approx(0.25)


@given(st.integers(3, 7), st.integers(0, 10**6))
def test_balanced_margins_and_form(v: int, seed: int) -> None:
    """Margins are the means, and cross ratios of the table stay: the two facts that define the fit."""
    demand = np.random.default_rng(seed).uniform(0.1, 10, (v, v)) * (1 - np.eye(v))
    ring = np.arange(v)
    per_link = {name: np.ones(v) for name in io.NetworkData.PER_LINK[2:]}
    data = io.NetworkData(
        name="", nodes=tuple(map(str, ring)), tail=ring, head=(ring + 1) % v, demand=demand, **per_link
    )
    after = data.balanced()[0].demand
    target = (demand.sum(0) + demand.sum(1)) / 2
    assert_allclose(after.sum(0), target, rtol=1e-7)
    assert_allclose(after.sum(1), target, rtol=1e-7)
    scale = np.log(after / np.where(demand, demand, 1), where=demand > 0, out=np.zeros((v, v)))
    if v > 3:  # rows u, w and columns x, y that avoid the diagonal
        assert_allclose(scale[0, 2] + scale[1, 3], scale[0, 3] + scale[1, 2], atol=1e-8)


def test_a_node_that_only_receives_cannot_be_balanced() -> None:
    with pytest.raises(io.NetworkFileError, match=r"nodes 'a', 'c' only send or only receive trips.*return trips"):
        network().balanced()


def test_trips_whose_pattern_forbids_balance() -> None:
    """a sends 10 to b and takes 10 from c only; b and c exchange too little in any scaling of this pattern."""
    demand = np.array([[0, 10, 0], [0, 0, 1], [1, 1, 0]])
    with pytest.raises(io.NetworkFileError, match="no scaling of the trips balances them"):
        network(demand=demand).balanced()


def test_nothing_to_balance() -> None:
    data, moved = network(demand=no_demand(3)).balanced()
    assert moved == 0 and not data.has_demand


def test_connected() -> None:
    network().check_connected()
    network(demand=no_demand(3)).check_connected()


def test_one_way_network_serves_its_trips_but_not_any_trips() -> None:
    """a -> b -> c: enough for trips from a to c, not enough where trips are unknown."""
    line = dict(
        tail=np.array([0, 1]), head=np.array([1, 2]), **{name: np.ones(2) for name in io.NetworkData.PER_LINK[2:]}
    )
    network(**line).check_connected()
    with pytest.raises(io.NetworkFileError, match=r"one-way links cut off nodes 'b', 'c' .*\.trimmed\(\)"):
        network(**line, demand=no_demand(3)).check_connected()
    with pytest.raises(io.NetworkFileError, match=r"no path leads from node 'c' to node 'a', .*\.trimmed\(\)"):
        network(**line, demand=network().demand.T).check_connected()


def two_triangles(first_through: int = 0, demand: np.ndarray | None = None) -> io.NetworkData:
    """Nodes 0..6: a ring 1 2 3, a larger ring 3 4 5 6 that shares node 3, and node 0 that only leads to 1."""
    tail, head = np.array([[0, 1], [1, 2], [2, 3], [3, 1], [3, 4], [4, 5], [5, 6], [6, 3]]).T
    per_link = {name: np.arange(8.0) + 1 for name in io.NetworkData.PER_LINK[2:]}
    nodes = tuple("0123456")
    return io.NetworkData(
        name="rings",
        nodes=nodes,
        tail=tail,
        head=head,
        demand=no_demand(7) if demand is None else demand,
        coordinates=np.arange(14.0).reshape(7, 2),
        first_through=first_through,
        **per_link,
    )


def test_trimmed_drops_what_no_trip_can_use() -> None:
    """Trips from 0 to 2 and from 1 to 3 need the ring 1 2 3 and the way to it; the ring 3 4 5 6 could be driven round,
    so it stays. Trips to 0, where nothing leads, are dropped with a warning, and counted."""
    demand = np.zeros((7, 7))
    demand[0, 2], demand[1, 3] = 3, 4
    data = two_triangles(demand=demand)
    assert data.trimmed() is data
    demand[4, 0] = demand[5, 0] = 0.5
    with pytest.warns(UserWarning, match=r"rings: 1 trips \(12.50%\) between 2 pairs of nodes without a path"):
        part = two_triangles(demand=demand).trimmed()
    assert trips(part) == {("0", "2"): 3, ("1", "3"): 4} and part.nodes == data.nodes
    assert "without a path were dropped" in part.notes[0]
    demand[:, 0] = demand[0] = 0
    part = two_triangles(demand=demand).trimmed()
    assert part.nodes == tuple("123456") and trips(part) == {("1", "3"): 4}
    assert links(part) == [("1", "2"), ("2", "3"), ("3", "1"), ("3", "4"), ("4", "5"), ("5", "6"), ("6", "3")]
    assert part.capacity.tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert part.coordinates is not None and part.coordinates[0].tolist() == [2, 3]
    assert part.notes == ("1 node and 1 link that no trip can use left out",)
    part.check_connected()


def test_trimmed_without_trips_counts_what_it_drops() -> None:
    part = two_triangles().trimmed()
    assert part.nodes == tuple("123456")
    assert part.notes == ("1 node and 1 link outside the largest part left out",)
    assert network(demand=no_demand(3)).trimmed().notes == ()


def test_no_trip_at_all_has_a_path() -> None:
    demand = np.zeros((7, 7))
    demand[4, 0] = 1
    with pytest.raises(io.NetworkFileError, match="rings: none of the trips has a path"):
        two_triangles(demand=demand).trimmed()


def test_unused_nodes_may_lie_apart() -> None:
    demand = np.zeros((5, 5))
    demand[0, 2] = 1
    apart = network(nodes=("a", "b", "c", "d", "e"), demand=demand)
    apart.check_connected()
    assert apart.useful().nodes == ("a", "b", "c")
    assert apart.useful().notes == ("2 nodes that no trip can use left out",)


def test_what_is_useful_against_enumeration() -> None:
    """All walks by networkx: from an origin to the link's tail, from its head to a destination, over no centroid."""
    rng = np.random.default_rng(4)
    for seed in range(20):
        graph = nx.gnp_random_graph(9, 0.13, seed=seed, directed=True)
        if not graph.edges:
            continue
        tail, head = np.array(graph.edges).T
        demand = np.zeros((9, 9))
        demand[rng.integers(9, size=2), rng.integers(9, size=2)] = 1
        np.fill_diagonal(demand, 0)
        each = np.ones(len(tail))
        data = io.NetworkData(
            name="", nodes=tuple("012345678"), tail=tail, head=head, free_flow_time=each, capacity=each, b=each,
            power=each, length=each, demand=demand, first_through=3,
        )  # fmt: skip
        begins, ends = np.flatnonzero(demand.any(1)), np.flatnonzero(demand.any(0))
        inner = graph.subgraph(range(3, 9))

        def leads(u: int, v: int, inner: Any = inner) -> bool:
            return u == v or (u in inner and v in inner and nx.has_path(inner, u, v))

        def onto(o: int, u: int, graph: Any = graph) -> bool:  # from an origin to the tail of a link
            return o == u or (u >= 3 and any(w >= 3 and leads(w, u) for w in [o, *graph.successors(o)]))

        def off(v: int, d: int, graph: Any = graph) -> bool:
            return v == d or (v >= 3 and any(w >= 3 and leads(v, w) for w in [d, *graph.predecessors(d)]))

        expected = [
            any(onto(int(o), u) for o in begins) and any(off(v, int(d)) for d in ends)
            for u, v in zip(tail.tolist(), head.tolist(), strict=True)
        ]
        assert data._reach.useful(demand).tolist() == expected


def test_closing_links() -> None:
    """By labels, in their direction; parallel links together; a trip that is left without a path is named."""
    data = two_triangles()
    assert links(data.closed(("3", "4"))) == [ends for ends in links(data) if ends != ("3", "4")]
    assert data.closed([("3", "4"), [5, 6]]).num_links == 6
    assert data.closed(("0", "1")).notes == ("closed: '0' to '1'",)
    twice = network(tail=np.array([0, 1, 0, 2]), head=np.array([1, 2, 1, 0]), demand=no_demand(3),
                    **{name: np.ones(4) for name in io.NetworkData.PER_LINK[2:]})  # fmt: skip
    assert links(twice.closed(("a", "b"))) == [("b", "c"), ("c", "a")]
    with pytest.raises(io.NetworkFileError, match="with 'b' to 'c' closed, no path leads from node 'a' to node 'c'"):
        network().closed(("b", "c"))
    with pytest.raises(ValueError, match="triangle has no link from 'b' to 'a'; did you mean 'c to a'"):
        network().closed(("b", "a"))
    for odd in (["ab"], "ab", [], 5):
        with pytest.raises(ValueError, match="close must be a link, two labels"):
            network().closed(odd)  # type: ignore[arg-type]


def test_trimmed_passes_no_centroid() -> None:
    """Between the parts 2 3 and 4 5 6 lie 0, with a link from the second part and none to it, and 1, with both."""
    ends = [[2, 3], [3, 2], [4, 5], [5, 6], [6, 4], [6, 0], [0, 2], [4, 1], [6, 1], [1, 5]]
    tail, head = np.array(ends).T
    per_link = {name: np.ones(10) for name in io.NetworkData.PER_LINK[2:]}
    data = io.NetworkData(
        name="", nodes=tuple("0123456"), tail=tail, head=head, demand=no_demand(7), first_through=2, **per_link
    )
    part = data.trimmed()
    assert part.nodes == tuple("1456") and part.first_through == 1
    part.check_connected()
    assert dataclasses.replace(data, first_through=0).trimmed().nodes == tuple("1456")
    assert dataclasses.replace(data, tail=head, head=tail).trimmed().nodes == tuple("1456")


def test_a_path_passes_no_centroid() -> None:
    """a -> z -> b by the centroid z is no path; with a way round it is one."""
    way_round = dict(nodes=("z", "a", "b"), first_through=1, demand=np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]]))
    ends = dict(tail=np.array([1, 0, 2]), head=np.array([0, 2, 1]))
    with pytest.raises(io.NetworkFileError, match="no path leads from node 'a' to node 'b'"):
        network(**way_round, **ends).check_connected()
    network(**way_round, tail=np.array([1, 0, 1]), head=np.array([0, 2, 2])).check_connected()
    from_centroid = np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    network(**{**way_round, "demand": from_centroid}, **ends).check_connected()  # z -> b -> a
    back_to_centroid = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0]])
    network(**{**way_round, "demand": back_to_centroid}, **ends).check_connected()  # b -> a -> z


def test_pieces_are_counted() -> None:
    apart = dict(nodes=("a", "b", "c", "d", "e"), demand=no_demand(5))
    with pytest.raises(io.NetworkFileError, match="it is in 3 pieces, outside the largest: nodes 'd', 'e';"):
        network(**apart).check_connected()
    assert network(**apart).trimmed().nodes == ("a", "b", "c")


@pytest.mark.parametrize("first_through", [0, 3])
def test_hop_loads_against_enumeration(first_through: int) -> None:
    """All shortest paths by networkx; of them the one that takes the last link at every node. No path by a centroid."""
    rng = np.random.default_rng(0)
    graph = nx.gnp_random_graph(12, 0.2, seed=3, directed=True)
    nx.add_cycle(graph, range(12))
    demand = rng.uniform(size=(12, 12)) * (1 - np.eye(12))
    data = io.from_networkx(graph, free_flow_time=1.0, capacity=1.0, demand=demand)
    number = {ends: link for link, ends in enumerate(zip(data.tail.tolist(), data.head.tolist(), strict=True))}
    expected = np.zeros(data.num_links)
    for o, d in np.argwhere(demand).tolist():
        open_nodes = graph.subgraph({o, d, *range(first_through, 12)})
        if not nx.has_path(open_nodes, o, d):
            continue
        paths = ([number[ends] for ends in nx.utils.pairwise(p)] for p in nx.all_shortest_paths(open_nodes, o, d))
        expected[max(paths)] += demand[o, d]
    data = dataclasses.replace(data, first_through=first_through)
    assert_allclose(hop_loads(data), expected)
    assert_allclose(io.with_uniform_capacity(data, 0.8).capacity, expected.max() / 0.8)
    assert "fewest hops fill the busiest to 80%" in io.with_uniform_capacity(data, 0.8).notes[-1]


# -- npz --------------------------------------------------------------------------------------------------------------

amounts = st.floats(0, 1e9, allow_subnormal=False)


@st.composite
def networks(draw: st.DrawFn) -> io.NetworkData:
    nodes = draw(st.lists(st.text(min_size=1, max_size=5), min_size=2, max_size=5, unique=True))
    v = len(nodes)
    ends = draw(st.lists(st.permutations(range(v)).map(lambda order: order[:2]), min_size=1, max_size=6))
    column = st.lists(amounts, min_size=len(ends), max_size=len(ends)).map(np.array)
    positive = st.lists(st.floats(1e-9, 1e9), min_size=len(ends), max_size=len(ends)).map(np.array)
    demand = np.array(draw(st.lists(amounts, min_size=v * v, max_size=v * v))).reshape(v, v) * (1 - np.eye(v))
    where = st.lists(st.floats(-1e9, 1e9), min_size=2 * v, max_size=2 * v).map(lambda xs: np.reshape(xs, (v, 2)))
    words = st.text(max_size=8)
    return io.NetworkData(
        name=draw(words),
        nodes=tuple(nodes),
        tail=np.array(ends)[:, 0],
        head=np.array(ends)[:, 1],
        free_flow_time=draw(positive),
        capacity=draw(positive),
        b=draw(column),
        power=draw(column),
        length=draw(column),
        demand=draw(st.sampled_from([demand, no_demand(v)])),
        coordinates=draw(st.none() | where),
        first_through=draw(st.integers(0, v - 1)),
        units=draw(st.dictionaries(words, words, max_size=3)),
        source=draw(words),
        licence=draw(words),
        toll_weight=draw(amounts),
        notes=tuple(draw(st.lists(st.text(min_size=1, max_size=8), max_size=2))),
    )


def assert_same(a: io.NetworkData, b: io.NetworkData) -> None:
    for field in dataclasses.fields(io.NetworkData):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype
            assert_array_equal(x, y)
        else:
            assert x == y


@given(networks())
def test_npz_round_trip(tmp_path_factory: pytest.TempPathFactory, data: io.NetworkData) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.npz"
    assert_same(data, io.NetworkData.from_npz(data.to_npz(path)))
    assert_same(data, pickle.loads(pickle.dumps(data)))


def test_npz_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = network().to_npz(tmp_path / "x.npz")
    before = path.read_bytes()

    def broken(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", broken)
    with pytest.raises(OSError, match="disk full"):
        network(name="other").to_npz(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.npz"]


def test_npz_is_loaded_by_name(tmp_path: Path) -> None:
    assert_same(network(), io.load(network().to_npz(tmp_path / "x.npz")))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nonsense", b"text"])
def test_damaged_npz(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(damage)
    with pytest.raises(io.NetworkFileError, match=r"x\.npz: this is no network written by to_npz"):
        io.load(tmp_path / "x.npz")


def test_npz_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", other=np.arange(3))
    with pytest.raises(io.NetworkFileError, match="this is no network written by to_npz"):
        io.load(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", words=np.array([{}], object))  # a pickle is never loaded
    with pytest.raises(io.NetworkFileError, match="this is no network written by to_npz"):
        io.load(tmp_path / "y.npz")


WRONG_WORDS: tuple[tuple[str, Any, str], ...] = (
    ("name", None, "name must be a string, not None"),
    ("licence", ["a"], "licence must be a string"),
    ("source", 3, "source must be a string"),
    ("units", {"time": 3}, "units must map strings to strings"),
    ("units", [["time", "h"]], "units must map strings to strings"),
    ("nodes", "abc", "nodes must be a list of strings"),
    ("nodes", ["a", "b", 3], "nodes must be a list of strings"),
    ("nodes", ["a", "b", ""], "nodes must be a list of strings that are not empty"),
    ("nodes", ["a", "b", "a"], "two nodes have the same label"),
    ("notes", "a sentence", "notes must be a list of strings"),
    ("notes", [""], "notes must be a list of strings that are not empty"),
    ("first_through", True, "first_through must lie in 0..3, not True"),
    ("first_through", 0.5, "first_through must lie in 0..3, not 0.5"),
    ("toll_weight", True, "toll_weight must be a non-negative number"),
)


@pytest.mark.parametrize(("field", "value", "sentence"), WRONG_WORDS)
def test_words_of_other_kinds(tmp_path: Path, field: str, value: Any, sentence: str) -> None:
    """Refused where a network is made, hence from a file too."""
    with pytest.raises(io.NetworkFileError, match=sentence):
        network(**{field: value})
    with np.load(network().to_npz(tmp_path / "x.npz")) as archive:
        arrays = dict(archive)
    words = json.loads(arrays["words"].tobytes()) | {field: value}
    np.savez(tmp_path / "x.npz", **(arrays | {"words": np.frombuffer(json.dumps(words).encode(), np.uint8)}))
    with pytest.raises(io.NetworkFileError, match=rf"x\.npz: .*{sentence}"):
        io.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("tail", lambda x: x + 0.5, "tail must hold whole numbers, not float64"),
        ("head", lambda x: x.astype(str), "head must hold whole numbers"),
        ("capacity", lambda x: x.astype(complex), "capacity must hold numbers, not complex"),
        ("capacity", lambda x: x.astype("S5"), "capacity must hold numbers"),
        ("b", lambda x: x.astype(bool), "b must hold numbers, not bool"),
        ("trips", lambda x: x[:0], "not as many"),
        ("trips", lambda x: 0 * x, "stand there twice, or are none"),
        ("origin", lambda x: x.astype(bool), "origin must hold whole numbers, not bool"),
        ("destination", lambda x: x[None], "not as many"),
    ],
)
def test_arrays_of_other_kinds(tmp_path: Path, name: str, change: Any, sentence: str) -> None:
    with np.load(network().to_npz(tmp_path / "x.npz")) as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "x.npz", **(arrays | {name: change(arrays[name])}))
    with pytest.raises(io.NetworkFileError, match=rf"x\.npz: .*{sentence}"):
        io.load(tmp_path / "x.npz")


def test_libraries_numbers_come_back_as_plain_ones(tmp_path: Path) -> None:
    data = network(first_through=np.int64(1), toll_weight=np.float64(2))
    back = io.NetworkData.from_npz(data.to_npz(tmp_path / "x.npz"))
    assert (type(back.first_through), back.first_through, back.toll_weight) == (int, 1, 2.0)
    many = network(capacity=[2**70, 1, 1]).capacity
    assert many.dtype == np.float64 and many[0] == 2.0**70
    assert type(data.first_through) is int and type(data.toll_weight) is type(back.toll_weight) is float


# -- TNTP -------------------------------------------------------------------------------------------------------------

NET = """\
<NUMBER OF ZONES> 2
<NUMBER OF NODES> 4
<FIRST THRU NODE> 3
<NUMBER OF LINKS> 5
<ORIGINAL HEADER>~ \tInit node \tTerm node ;
<END OF METADATA>

~\tinit_node\tterm_node\tcapacity\tlength\tfree_flow_time\tb\tpower\tspeed\ttoll\tlink_type\t;
\t1\t3\t1\t100\t0\t0\t0\t1\t0\t1\t;
\t3\t2\t2\t100\t50\t0.02\t1\t0\t0\t1\t;
\t3\t4\t2.5\t30\t10\t0.15\t4\t0\t0\t1\t; ~ the bridge
3 4 7 30 11 0.15 4 0 0 1;

\t4\t2\t1\t100\t0.00000001\t1000000000\t1\t0\t0\t1;
"""
TRIPS = """\
<NUMBER OF ZONES> 2
<TOTAL OD FLOW>  6.55
<END OF METADATA>

Origin \t1
    1 :      0.0;     2 :     6.0;
    2 : 0.25;

Origin  2
 2:0.3;
"""
NODE = "Node\tX\tY\t;\n4\t4.5\t-4\t;\n1\t1\t-1\t;\n2 2 -2;\n3\t3\t-3\n"
FLOW = "From \tTo \tVolume \tCost \n3 4 5 6 \n1 3 1 2\n3 2 3 4\n3 4 7 8\n4 2 9 10\n"


def tntp(folder: Path, **files: str) -> Path:
    known = {"net": NET, "trips": TRIPS, "node": NODE, "flow": FLOW} | files
    write(folder, {f"small_{part}.tntp": text for part, text in known.items()})
    return folder / "small_net.tntp"


def test_tntp_by_hand(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"small_net.tntp: .*0.3 trips within a node \(4.6% of all\) are dropped"):
        data = io.load(tntp(tmp_path))
    assert (data.name, data.nodes, data.first_through) == ("small", ("1", "2", "3", "4"), 2)
    assert links(data) == [("1", "3"), ("3", "2"), ("3", "4"), ("3", "4"), ("4", "2")]
    assert data.capacity.tolist() == [1, 2, 2.5, 7, 1]
    assert data.length.tolist() == [100, 100, 30, 30, 100]
    assert data.free_flow_time.tolist() == [0, 50, 10, 11, 1e-8]
    assert data.b.tolist() == [0, 0.02, 0.15, 0.15, 1e9]
    assert data.power.tolist() == [0, 1, 4, 4, 1]
    assert trips(data) == {("1", "2"): 6.25}
    assert data.coordinates is not None
    assert data.coordinates.tolist() == [[1, -1], [2, -2], [3, -3], [4.5, -4]]
    assert "academic research only" in data.licence


def test_tntp_flow_matches_parallel_links_in_order(tmp_path: Path) -> None:
    data = io.from_tntp(tntp(tmp_path))
    volume, cost = io.read_flow(tmp_path / "small_flow.tntp", data)
    assert volume.tolist() == [1, 3, 5, 7, 9] and cost.tolist() == [2, 4, 6, 8, 10]


def test_tntp_options(tmp_path: Path) -> None:
    path = tntp(tmp_path)
    data = io.from_tntp(path, name="mine", units={"time": "0.01 h"})
    assert data.name == "mine" and data.units == {"time": "0.01 h"}
    assert not data.has_demand and data.coordinates is None


def test_tntp_folder(tmp_path: Path) -> None:
    tntp(tmp_path, trips=TRIPS.replace("2:0.3;", "").replace("6.55", "6.25"))
    assert trips(io.load(tmp_path)) == {("1", "2"): 6.25}


def test_tntp_without_first_through_and_with_far_labels(tmp_path: Path) -> None:
    """As in Munich: no FIRST THRU NODE, labels far beyond the number of nodes, not in a row, a header in any case."""
    net = (
        "<number of zones> 2\n<NUMBER OF NODES> 3\n<NUMBER OF LINKS> 2\n<end of metadata>\n"
        "75680 75674 1 1 1 0.15 4 0 0 1 ;\n75674 80001 1 1 1 0.15 4 0 0 1 ;\n"
    )
    trips_file = "<END OF METADATA>\nOrigin 75680\n80001 : 1e1 ;\n"
    data = io.load(tntp(tmp_path, net=net, trips=trips_file, node="75674 1 1\n75680 2 2\n80001 3 3\n"))
    assert data.nodes == ("75674", "75680", "80001") and data.first_through == 0
    assert links(data) == [("75680", "75674"), ("75674", "80001")]
    assert trips(data) == {("75680", "80001"): 10.0}


@pytest.mark.parametrize("total", ["6.55", "6.6", "7", "6.55e0", "0.66E1", "6.550001"])
def test_tntp_total_as_printed(tmp_path: Path, total: str) -> None:
    """6.55 may be printed with any number of digits."""
    with pytest.warns(UserWarning, match="dropped"):
        io.load(tntp(tmp_path, trips=TRIPS.replace("6.55", total)))


@pytest.mark.parametrize("total", ["6.54", "6.7", "6", "6.55002", "655e-1"])
def test_tntp_total_that_disagrees(tmp_path: Path, total: str) -> None:
    sentence = r"small_trips.tntp, line 2: the header announces .* trips, the file holds 6.55; correct one of them"
    with pytest.raises(io.NetworkFileError, match=sentence):
        io.load(tntp(tmp_path, trips=TRIPS.replace("6.55", total)))


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("part", "old", "new", "sentence"),
    [
        ("net", "<END OF METADATA>", "", "small_net.tntp, line 9: expected a header line such as <NUMBER OF NODES> 24"),
        ("net", NET, "<NUMBER OF ZONES> 2\n", "small_net.tntp: the header has no <END OF METADATA> line"),
        ("net", "<NUMBER OF LINKS> 5", "", "small_net.tntp: the header has no <NUMBER OF LINKS> line"),
        ("net", "<NUMBER OF NODES> 4", "", "small_net.tntp: the header has no <NUMBER OF NODES> line"),
        ("net", "<NUMBER OF NODES> 4", "<NUMBER OF NODES> four", "line 2: <NUMBER OF NODES> must be a non-negative"),
        ("net", "<NUMBER OF LINKS> 5", "<NUMBER OF LINKS> 6", "the header announces 6 links, the file holds 5"),
        ("net", "<FIRST THRU NODE> 3", "<FIRST THRU NODE> 9", "line 3: <FIRST THRU NODE> 9 lies beyond the last node"),
        ("net", "<FIRST THRU NODE> 3", "<FIRST THRU NODE> 2.5", "line 3: <FIRST THRU NODE> must be a whole number"),
        ("net", "\t3\t2\t2\t", "\t3\t2\t", "line 10: a link has ten fields (init_node term_node capacity"),
        ("net", "\t3\t2\t2\t", "\t3\t2\tx\t", "line 10: capacity must be a positive number, not 'x'"),
        ("net", "\t3\t2\t2\t", "\t3\t2\t0\t", "line 10: capacity must be a positive number, not '0'"),
        ("net", "\t3\t2\t2\t", "\t3\t2\t-2\t", "line 10: capacity must be a positive number, not '-2'"),
        ("net", "\t3\t2\t2\t", "\t3\t2\tnan\t", "line 10: capacity must be a positive number, not 'nan'"),
        ("net", "\t50\t", "\tinf\t", "line 10: free_flow_time must be a non-negative number, not 'inf'"),
        ("net", "\t50\t", "\t-50\t", "line 10: free_flow_time must be a non-negative number, not '-50'"),
        ("net", "0.02", "-0.02", "line 10: b must be a non-negative number"),
        ("net", "\t3\t2\t2\t", "\t3\t5\t2\t", "line 10: node 5 lies outside 1..4, the <NUMBER OF NODES>"),
        ("net", "\t3\t2\t2\t", "\t3\t3\t2\t", "line 10: the link leads from node 3 to itself"),
        ("net", "\t3\t2\t2\t", "\t3\t2.5\t2\t", "line 10: term_node must be a whole number, not '2.5'"),
        ("trips", "<NUMBER OF ZONES> 2", "<NUMBER OF ZONES> 3", "small_trips.tntp, line 1: the trips are for 3 zones"),
        ("trips", "Origin  2", "Origin  7", "small_trips.tntp, line 9: zone 7 is not a node of the network"),
        ("trips", " 2:0.3;", " 9:0.3;", "line 10: zone 9 is not a node of the network"),
        ("trips", " 2:0.3;", " 2:-0.3;", "line 10: a flow must be a non-negative number, not '-0.3'"),
        ("trips", " 2:0.3;", " 2:many;", "line 10: a flow must be a non-negative number, not 'many'"),
        ("trips", " 2:0.3;", " 2 0.3;", "line 10: expected pairs 'destination : flow;', not '2 0.3;'"),
        ("trips", "Origin \t1", "", "line 6: trips stand before the first 'Origin' line"),
        ("trips", "6.55", "lots", "line 2: <TOTAL OD FLOW> must be a non-negative number, not 'lots'"),
        ("node", "4\t4.5\t-4", "4\t4.5", "small_node.tntp, line 2: a row must hold Node X Y, this one has 2 fields"),
        ("node", "4\t4.5\t-4", "8\t4.5\t-4", "line 2: node 8 is not a node of the network"),
        ("node", "4\t4.5\t-4", "4\teast\t-4", "line 2: X must be a finite number, not 'east'"),
        ("node", "4\t4.5\t-4\t;\n", "", "small_node.tntp: node 4 has no coordinates"),
    ],
)
def test_bad_tntp(tmp_path: Path, part: str, old: str, new: str, sentence: str) -> None:
    whole = {"net": NET, "trips": TRIPS, "node": NODE}[part]
    with pytest.raises(io.NetworkFileError, match=re.escape(sentence)):
        io.load(tntp(tmp_path, **{part: replaced(whole, old, new)}))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("4 2 9 10\n", "", "small_flow.tntp: the link from '4' to '2' has no row"),
        ("4 2 9 10", "4 1 9 10", "line 6: the network has no link, or no further link, from '4' to '1'"),
        ("4 2 9 10", "3 4 9 10", "line 6: the network has no link, or no further link, from '3' to '4'"),
        ("4 2 9 10", "4 2 9", "line 6: a row must hold From To Volume Cost, this one has 3 fields"),
        ("4 2 9 10", "4 2 ? 10", "line 6: Volume must be a non-negative number, not '?'"),
    ],
)
def test_bad_flow(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    data = io.from_tntp(tntp(tmp_path, flow=replaced(FLOW, old, new)))
    with pytest.raises(io.NetworkFileError, match=re.escape(sentence)):
        io.read_flow(tmp_path / "small_flow.tntp", data)


@needs_tntp
@pytest.mark.parametrize("name", ["SiouxFalls", "Braess"])
def test_published_networks_as_pytraf_reads_them(name: str) -> None:
    """Ends and capacities one by one; times through the delays of a user equilibrium, which move with b and power."""
    pytraf = pytest.importorskip("pytraf")
    folder = Path(str(TNTP)) / name
    ours = io.load(folder / f"{name}_net.tntp")
    theirs = pytraf.Network.from_tntp(str(folder / f"{name}_net.tntp"))
    assert_array_equal(np.transpose([ours.tail, ours.head]), np.transpose(theirs.link_nodes()))
    assert_array_equal(ours.capacity, theirs.capacity)
    demand = pytraf.Demand.from_tntp(theirs, str(folder / f"{name}_trips.tntp"))
    assert ours.demand.sum() == demand.total()
    result = theirs.assign(demand, gap=1e-10, max_iter=2000)
    x = np.asarray(result.links.by_class[0])
    times = ours.free_flow_time * (1 + ours.b * (x / ours.capacity) ** ours.power)
    assert_allclose(times, result.links.time, rtol=1e-12)
    rebuilt = pytraf.Network(
        ours.num_nodes, ours.tail, ours.head, ours.free_flow_time, ours.capacity, ours.b, ours.power
    )
    origin, destination = np.nonzero(ours.demand)
    table = {"origin": origin, "destination": destination, "flow": ours.demand[origin, destination]}
    again = rebuilt.assign(pytraf.Demand.from_table(rebuilt, table), gap=1e-10, max_iter=2000)
    assert again.diagnostics.objective == pytest.approx(result.diagnostics.objective, rel=1e-9)


@needs_tntp
def test_sioux_falls() -> None:
    """Sizes and totals of the published network; its known solution costs what the README of the files says."""
    data = io.load(Path(str(TNTP)) / "SiouxFalls")
    assert (data.num_nodes, data.num_links, (data.demand > 0).sum(), data.first_through) == (24, 76, 528, 0)
    assert data.demand.sum() == 360_600
    assert data.coordinates is not None and data.coordinates[0].tolist() == [-96.77041974, 43.61282792]
    volume, cost = io.read_flow(Path(str(TNTP)) / "SiouxFalls" / "SiouxFalls_flow.tntp", data)
    assert_allclose(data.free_flow_time * (1 + data.b * (volume / data.capacity) ** data.power), cost, rtol=1e-12)
    assert volume @ cost == pytest.approx(7_480_225.3449, abs=1e-3)


@needs_tntp
def test_braess() -> None:
    data = io.load(Path(str(TNTP)) / "Braess")
    assert (data.num_nodes, data.num_links, trips(data)) == (4, 5, {("1", "2"): 6.0})
    at_six = data.free_flow_time * (1 + data.b * (6 / data.capacity) ** data.power)
    assert_allclose(at_six, [60, 56, 56, 16, 60])  # 10 x, 50 + x, 50 + x, 10 + x, 10 x


# -- GMNS -------------------------------------------------------------------------------------------------------------

GMNS = {
    "node.csv": "node_id,name,x_coord,y_coord,zone_id\nA,first,0,0,1\nB,,1,0,2\nC,,1,1,2\nD,,0,1,\n",
    "link.csv": (
        "link_id,from_node_id,to_node_id,directed,dir_flag,length,free_speed,capacity,lanes,VDF_alpha1,VDF_beta1\n"
        "1,A,B,true,1,2,40,900,2,0.5,2\n"
        "2,B,C,False,-1,1,20,600,,NaN,\n"
        "3,C,D,1,,3,30,1000,1,,\n"
        "4,D,A,1,,0,30,1000,1,,\n"
    ),
    "config.csv": "dataset_name,short_length,long_length,speed,crs\nsmall,ft,mile,kph,EPSG:4326\n",
    "demand.csv": "o_zone_id,d_zone_id,volume\n1,2,10\n2,1,4\n",
}


def test_gmns_by_hand(tmp_path: Path) -> None:
    data = io.load(write(tmp_path, GMNS))
    assert data.nodes == tuple("ABCD")
    assert links(data) == [("A", "B"), ("B", "C"), ("C", "B"), ("C", "D"), ("D", "A")]
    assert_allclose(data.free_flow_time, [2 * 1.609344 / 40, 1.609344 / 20, 1.609344 / 20, 3 * 1.609344 / 30, 0])
    assert data.capacity.tolist() == [1800, 600, 600, 1000, 1000]
    assert data.b.tolist() == [0.5, 0.15, 0.15, 0.15, 0.15] and data.power.tolist() == [2, 4, 4, 4, 4]
    assert data.length.tolist() == [2, 1, 1, 3, 0]
    assert trips(data) == {("A", "B"): 5, ("A", "C"): 5, ("B", "A"): 2, ("C", "A"): 2}
    assert data.units == {"time": "h", "capacity": "vehicles/h", "length": "mile", "coordinates": "EPSG:4326"}


def test_gmns_without_the_optional_files(tmp_path: Path) -> None:
    """No config: speeds are lengths per hour. No zones: they are nodes. Other names: arguments."""
    files = {name: text for name, text in GMNS.items() if name in ("link.csv", "node.csv")}
    files["node.csv"] = "\ufeffnode_id,x_coord,y_coord\nA,0,0\nB,1,0\nC,1,1\nD,0,1\n".encode().decode("latin-1")
    files["od.csv"] = "orig_taz,dest_taz,total\nA,C,3\nA,C,4\n"
    names = ("orig_taz", "dest_taz", "total")
    data = io.load(write(tmp_path, files), demand_file="od.csv", demand_columns=names, power=("none",))
    assert_allclose(data.free_flow_time, [2 / 40, 1 / 20, 1 / 20, 3 / 30, 0])
    assert trips(data) == {("A", "C"): 7}
    assert data.power.tolist() == [4] * 5


def test_gmns_stated_minutes_and_defaults(tmp_path: Path) -> None:
    link = "link_id,from_node_id,to_node_id,VDF_fftt1\n1,A,B,3\n2,B,C,6\n3,C,D,0\n4,D,A,1.5\n"
    data = io.load(write(tmp_path, GMNS | {"link.csv": link}), capacity_per_lane=700)
    assert_allclose(data.free_flow_time, [0.05, 0.1, 0, 0.025])
    assert data.capacity.tolist() == [700] * 4
    link = "link_id,from_node_id,to_node_id,length\n1,A,B,3\n2,B,C,6\n3,C,D,9\n4,D,A,12\n"
    data = io.load(write(tmp_path, GMNS | {"link.csv": link}), capacity_per_lane=700, free_speed=1.609344)
    assert_allclose(data.free_flow_time, [3, 6, 9, 12])


def test_gmns_as_pytraf_reads_it(tmp_path: Path) -> None:
    """pytraf counts minutes; at no flow the time of a link is its free-flow time."""
    pytraf = pytest.importorskip("pytraf")
    files = {name: text for name, text in GMNS.items() if name != "demand.csv"}
    files["node.csv"] = "node_id,x_coord,y_coord,zone_id\n10,0,0,1\n20,1,0,2\n30,1,1,2\n40,0,1,\n"
    files["link.csv"] = (
        "link_id,from_node_id,to_node_id,directed,length,free_speed,capacity,lanes\n"
        "1,10,20,true,2,40,900,2\n2,20,30,false,1,20,600,1\n3,30,40,true,3,30,1000,1\n4,40,10,true,1,30,1000,1\n"
    )
    ours = io.load(write(tmp_path, files))
    theirs = pytraf.Network.from_gmns(str(tmp_path))
    theirs_links = sorted(zip(*map(np.ndarray.tolist, map(np.asarray, theirs.link_nodes())), strict=True))
    assert sorted(zip(ours.tail.tolist(), ours.head.tolist(), strict=True)) == theirs_links
    write(tmp_path, {"demand.csv": "o_zone_id,d_zone_id,volume\n1,2,10\n2,1,4\n"})
    demand = pytraf.Demand.from_gmns(theirs, str(tmp_path / "demand.csv"))
    assert io.load(tmp_path).demand.sum() == pytest.approx(demand.total())
    result = theirs.assign(demand, gap=1e-10, max_iter=100)
    order = np.lexsort(np.asarray(theirs.link_nodes())[::-1])
    mine = np.lexsort([ours.head, ours.tail])
    assert_allclose(ours.capacity[mine], np.asarray(theirs.capacity)[order])
    flow, minutes = (np.asarray(values)[order] for values in (result.links.by_class[0], result.links.time))
    delay = 60 * ours.free_flow_time[mine] * (1 + 0.15 * (flow / ours.capacity[mine]) ** 4)
    assert_allclose(minutes, delay, rtol=1e-9)


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("node.csv", "x_coord", "x", "node.csv, line 1: the header has no column x_coord"),
        ("node.csv", "A,first,0,0,1", "A,first,0,0", "node.csv, line 2: expected 5 fields as in the header, found 4"),
        ("node.csv", "A,first,0", "A,first,west", "node.csv, line 2: x_coord must be a finite number, not 'west'"),
        ("node.csv", "A,first,0,", "A,first,,", "node.csv, line 2: column x_coord is empty"),
        ("node.csv", "B,,1,0", "A,,1,0", "node.csv, line 3: node 'A' is given twice"),
        ("link.csv", "to_node_id", "to", "link.csv, line 1: the header has no column to_node_id"),
        ("link.csv", "1,A,B", "1,A,Z", "link.csv, line 2: to_node_id 'Z' is not a node of the network"),
        ("link.csv", "1,A,B", "1,A,A", "link.csv, line 2: the link leads from node 'A' to itself"),
        ("link.csv", "A,B,true", "A,B,maybe", "link.csv, line 2: directed must be true or false, not 'maybe'"),
        ("link.csv", "2,40,900", "2,40,0", "link.csv, line 2: capacity must be a positive number, not '0'"),
        ("link.csv", "2,40,900", "2,40,", "link.csv, line 2: column capacity is empty"),
        ("link.csv", "2,40,900", "2,,900", "link.csv, line 2: column free_speed is empty"),
        ("link.csv", "2,40,900", ",40,900", "link.csv, line 2: column length is empty"),
        ("link.csv", "2,40,900", "-2,40,900", "link.csv, line 2: length must be a non-negative number, not '-2'"),
        ("link.csv", "900,2,0.5", "900,0,0.5", "link.csv, line 2: lanes must be a positive number, not '0'"),
        ("link.csv", "900,2,0.5", "900,2,x", "link.csv, line 2: VDF_alpha1 must be a non-negative number, not 'x'"),
        ("config.csv", "mile", "parsec", "config.csv, line 2: long_length must be one of mi, "),
        ("config.csv", "kph", "knots", "config.csv, line 2: speed must be one of mph, "),
        ("demand.csv", "volume", "cars", "demand.csv, line 1: the header has no column volume"),
        ("demand.csv", "1,2,10", "1,7,10", "demand.csv, line 2: d_zone_id '7' is no zone_id of node.csv"),
        ("demand.csv", "1,2,10", "1,2,-10", "demand.csv, line 2: volume must be a non-negative number, not '-10'"),
        ("demand.csv", "1,2,10", "1,2,nan", "demand.csv, line 2: column volume is empty"),
    ],
)
def test_bad_gmns(tmp_path: Path, file: str, old: str, new: str, sentence: str) -> None:
    with pytest.raises(io.NetworkFileError, match=re.escape(sentence)):
        io.load(write(tmp_path, GMNS | {file: replaced(GMNS[file], old, new)}))


# -- OSMnx ------------------------------------------------------------------------------------------------------------


def osm_graph(**changes: dict[str, str]) -> nx.MultiDiGraph[Any]:
    """A square of streets as OSMnx writes them: every attribute a string."""
    graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph(crs="epsg:4326", simplified="True")
    for label, (x, y) in {
        "101": (-73.0, 40.0),
        "102": (-73.0, 41.0),
        "103": (-72.0, 41.0),
        "104": (-72.0, 40.0),
    }.items():
        graph.add_node(label, x=str(x), y=str(y), street_count="3")
    edges: dict[str, dict[str, str]] = {
        "101 102": dict(length="1000", oneway="True", highway="motorway_link", lanes="['2', '3']", osmid="[1, 2]"),
        "102 103": dict(length="500", oneway="True", highway="residential", speed_kph="25"),
        "103 104": dict(length="800", oneway="True", highway="['primary', 'trunk']", maxspeed="30 mph", lanes="2"),
        "104 101": dict(length="600", oneway="False", highway="secondary", lanes="4", maxspeed="['50', '70']"),
        "101 104": dict(length="600", oneway="False", highway="secondary", lanes="4", travel_time="36"),
        "104 104": dict(length="50", oneway="False", highway="service"),
        "102 101": dict(length="300", oneway="True", highway="track", maxspeed="signals", lanes="?"),
    }
    for ends, data in (edges | changes).items():
        graph.add_edge(*ends.split(), **data)
    return graph


def save(graph: nx.Graph[Any], path: Path) -> Path:
    nx.write_graphml(graph, path)
    return path


def test_osmnx_by_hand(tmp_path: Path) -> None:
    data = io.load(save(osm_graph(), tmp_path / "square.graphml"))
    found = {ends: link for link, ends in enumerate(links(data))}
    assert data.nodes == ("101", "102", "103", "104") and len(found) == data.num_links == 6  # without the loop
    expected = {  # km, h, vehicles/h
        ("101", "102"): (1, 1 / 100, 2 * 1800),  # a ramp is as its road; merged lanes: the fewest
        ("102", "103"): (0.5, 0.5 / 25, 600),
        ("103", "104"): (0.8, 0.8 / (30 * 1.609344), 2 * 1200),
        ("104", "101"): (0.6, 0.6 / 60, 2 * 1000),  # half of a two-way street's lanes; the mean speed
        ("101", "104"): (0.6, 0.01, 2 * 1000),
        ("102", "101"): (0.3, 0.3 / 30, 600),
    }
    for ends, (km, hours, capacity) in expected.items():
        link = found[ends]
        assert_allclose((data.length[link], data.free_flow_time[link], data.capacity[link]), (km, hours, capacity))
    assert data.coordinates is not None and data.coordinates[1].tolist() == [-73, 41]
    assert data.units["coordinates"] == "epsg:4326" and "ODbL" in data.licence and not data.has_demand


def test_osmnx_parallel_streets_and_tables(tmp_path: Path) -> None:
    graph = osm_graph()
    graph.add_edge("102", "103", length="900", oneway="True", highway="primary")
    path = save(graph, tmp_path / "square.graphml")
    data = io.load(path, speeds={"primary": 45}, lane_capacity={"primary": 999})
    both = [link for link, ends in enumerate(links(data)) if ends == ("102", "103")]
    assert_allclose(data.free_flow_time[both], [0.5 / 25, 0.02])
    assert_allclose(data.capacity[both], [600, 999])


def test_osmnx_undirected_graph_keeps_its_one_way_streets(tmp_path: Path) -> None:
    graph: nx.MultiGraph[Any] = nx.MultiGraph(crs="epsg:32618")
    for label in "abc":
        graph.add_node(label, x="586400", y="4515546")
    street = {"length": "100", "highway": "primary"}
    graph.add_edge("a", "b", **street, oneway="True", **{"from": "b", "to": "a"})
    graph.add_edge("b", "c", **street, oneway="False", **{"from": "c", "to": "b"})
    data = io.from_osmnx_graphml(save(graph, tmp_path / "u.graphml"))
    assert sorted(links(data)) == [("b", "a"), ("b", "c"), ("c", "b")]
    with pytest.raises(io.NetworkFileError, match=r"u\.graphml: one-way links cut off node 'a' from the rest"):
        io.load(tmp_path / "u.graphml")
    assert io.load(tmp_path / "u.graphml", trim=True).nodes == ("b", "c")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"102 103": dict(oneway="True")}, "edge '102' to '103': the edge has no attribute 'length' (metres)"),
        ({"102 103": dict(length="far")}, "edge '102' to '103': length must be a non-negative number, not 'far'"),
        ({"102 103": dict(length="-1")}, "edge '102' to '103': length must be a non-negative number, not '-1'"),
        ({"102 103": dict(length="1", speed_kph="0")}, "edge '102' to '103': speed_kph must be a positive number"),
        ({"102 103": dict(length="1", travel_time="nan")}, "travel_time must be a non-negative number, not 'nan'"),
        ({"102 999": dict(length="1")}, "node '999': x must be a finite number, not None"),
    ],
)
def test_bad_osmnx(tmp_path: Path, changes: dict[str, dict[str, str]], sentence: str) -> None:
    with pytest.raises(io.NetworkFileError, match=re.escape(sentence)):
        io.load(save(osm_graph(**changes), tmp_path / "square.graphml"))


# -- Topology Zoo -----------------------------------------------------------------------------------------------------

GML = """\
graph [
  Network "Small"
  node [ id 0 label "North" Longitude 0.0 Latitude 1.0 Internal 1 ]
  node [ id 1 label "South" Longitude 0.0 Latitude 0.0 Internal 1 ]
  node [ id 5 label "Cloud" Internal 0 ]
  edge [ source 0 target 1 LinkSpeed "10" LinkSpeedUnits "G" LinkSpeedRaw 10000000000.0 ]
  edge [ source 0 target 1 LinkSpeedRaw 2.0e9 ]
  edge [ source 0 target 1 LinkSpeedRaw 3.0e9 ]
  edge [ source 1 target 5 LinkLabel "unknown" ]
  edge [ source 5 target 5 ]
]
"""
DEGREE_KM = np.pi / 180 * 6371.0


def test_zoo_by_hand(tmp_path: Path) -> None:
    data = io.load(write(tmp_path, {"Small.gml": GML}) / "Small.gml")
    assert data.nodes == ("North", "South", "Cloud")
    ns, sn = ("North", "South"), ("South", "North")
    assert links(data) == [ns, sn, ns, sn, ns, sn, ("South", "Cloud"), ("Cloud", "South")]
    assert data.capacity.tolist() == [1e10, 1e10, 2e9, 2e9, 3e9, 3e9, 3e9, 3e9]  # the median where none is stated
    assert_allclose(data.length, DEGREE_KM)
    assert_allclose(data.free_flow_time, DEGREE_KM / 200)
    assert data.coordinates is None
    assert io.load(tmp_path / "Small.gml", capacity=5).capacity.tolist() == [1e10, 1e10, 2e9, 2e9, 3e9, 3e9, 5, 5]


def test_zoo_graphml(tmp_path: Path) -> None:
    graph: nx.Graph[Any] = nx.Graph(Network="Small")
    for v, (x, y) in enumerate([(10.0, 0.0), (11.0, 0.0), (12.0, 0.0)]):
        graph.add_node(str(v), label="same", Longitude=x, Latitude=y)
    graph.add_edge("0", "1")
    graph.add_edge("1", "2", LinkSpeedRaw=3e9)
    data = io.load(save(graph, tmp_path / "z.graphml"))
    assert data.nodes == ("0", "1", "2")  # labels that two nodes share name nobody
    assert data.capacity.tolist() == [3e9] * 4
    assert_allclose(data.length, DEGREE_KM)
    assert data.coordinates is not None and data.coordinates.tolist() == [[10, 0], [11, 0], [12, 0]]


def test_zoo_in_pieces(tmp_path: Path) -> None:
    text = replaced(GML, "edge [ source 1 target 5", "edge [ source 0 target 1")
    path = write(tmp_path, {"Small.gml": text}) / "Small.gml"
    with pytest.raises(
        io.NetworkFileError, match=r"Small\.gml: it is in 2 pieces, outside the largest: node 'Cloud'; .*trim"
    ):
        io.load(path)
    assert io.load(path, trim=True).nodes == ("North", "South")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("x.gml", "graph [ node [ id", "x.gml: this is no GML ("),
        ("x.gml", replaced(GML, "2.0e9", "0.0"), "edge 0 to 1: LinkSpeedRaw must be a positive number, not 0.0"),
        (
            "x.gml",
            replaced(GML, "Latitude 1.0", 'Latitude "high"'),
            "node 0: Latitude must be a finite number, not 'high'",
        ),
        ("x.gml", 'graph [ node [ id 0 label "a" ] ]', "x.gml: there are no links"),
        ("x.graphml", "<graphml", "x.graphml, line 1: this is no GraphML ("),
        ("x.graphml", "<other/>", "x.graphml: this is no GraphML ("),
    ],
)
def test_bad_graph_files(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(io.NetworkFileError, match=re.escape(sentence)):
        io.load(write(tmp_path, {name: text}) / name)


# -- SNDlib -----------------------------------------------------------------------------------------------------------

NATIVE = """\
?SNDlib native format; type: network; version: 1.0
# a comment ( with a bracket
META ( granularity = 5min time = 20040301-0000 )
NODES (
  # NODE_ID ( X Y )
  a ( 10.00 0.00 )
  b ( 11.00 0.00 )
  c ( 12.00 0.00 )
)
LINKS (
  L1 ( a b ) 40.00 0.00 0.00 156.00 ( 155.00 156.00 622.00 700.00 )
  L2 ( b c ) 0.00 0.00 0.00 1.00 ( 155.00 156.00 622.00 700.00 )
)
DEMANDS (
  D1 ( a c ) 1 195.00 UNLIMITED
  D2 ( b a ) 1 5.00 3   # a comment
)
ADMISSIBLE_PATHS (
  D1 ( P_0 ( L1 L2 ) )
)
"""
XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<network xmlns="http://sndlib.zib.de/network" version="1.0">
 <networkStructure>
  <nodes coordinatesType="geographical">
   <node id="a"><coordinates><x>10.0</x><y>0.0</y></coordinates></node>
   <node id="b"><coordinates><x>11.0</x><y>0.0</y></coordinates></node>
   <node id="c"><coordinates><x>12.0</x><y>0.0</y></coordinates></node>
  </nodes>
  <links>
   <link id="L1"><source>a</source><target>b</target>
    <preInstalledModule><capacity>40.0</capacity><cost>0</cost></preInstalledModule><setupCost>156.0</setupCost>
    <additionalModules><addModule><capacity>155.0</capacity><cost>156</cost></addModule></additionalModules></link>
   <link id="L2"><source>b</source><target>c</target>
    <additionalModules><addModule><capacity>155.0</capacity><cost>156</cost></addModule>
     <addModule><capacity>622.0</capacity><cost>700</cost></addModule></additionalModules></link>
  </links>
 </networkStructure>
 <demands>
  <demand id="D1"><source>a</source><target>c</target>
   <routingUnit>1</routingUnit><demandValue>195.0</demandValue></demand>
  <demand id="D2"><source>b</source><target>a</target><demandValue>5.0</demandValue></demand>
 </demands>
</network>
"""


@pytest.mark.parametrize("name", ["small.txt", "small.xml"])
def test_sndlib_by_hand(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, {"small.txt": NATIVE, "small.xml": XML}) / name
    data = io.load(path)
    assert data.nodes == ("a", "b", "c")
    assert links(data) == [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")]
    assert data.capacity.tolist() == [40, 40, 622, 622]
    assert_allclose(data.length, DEGREE_KM)
    assert trips(data) == {("a", "c"): 195, ("c", "a"): 195, ("b", "a"): 5, ("a", "b"): 5}  # nobody is listed both ways
    assert trips(io.load(path, undirected_demand=False)) == {("a", "c"): 195, ("b", "a"): 5}
    assert io.load(path, capacity=7).capacity.tolist() == [7] * 4
    assert_allclose(io.load(path, coordinates="pixel").length, 1)
    one_way = dict(directed_links=True, undirected_demand=False)
    assert links(io.from_sndlib(path, **one_way)) == [("a", "b"), ("b", "c")]
    with pytest.raises(io.NetworkFileError, match=r"small\.(txt|xml): no path leads from node 'b' to node 'a'"):
        io.load(path, **one_way)


def test_directed_demand_stays(tmp_path: Path) -> None:
    text = replaced(NATIVE, "D2 ( b a ) 1 5.00", "D2 ( c a ) 1 5.00")
    assert trips(io.load(write(tmp_path, {"x.txt": text}) / "x.txt")) == {("a", "c"): 195, ("c", "a"): 5}
    assert_array_equal(both_ways(np.array([[7, 2], [3, 0]]), True), [[7, 5], [5, 0]])
    assert_array_equal(both_ways(np.array([[7, 2], [0, 0]]), None), [[7, 2], [2, 0]])


def test_pixel_coordinates_are_seen(tmp_path: Path) -> None:
    text = NATIVE.replace("( 11.00", "( 210.00").replace("( 12.00", "( 260.00")
    data = io.load(write(tmp_path, {"x.txt": text}) / "x.txt")
    assert data.length.tolist() == [200, 200, 50, 50] and data.units == {}


def test_demand_through_time(tmp_path: Path) -> None:
    """Matrices as SNDlib's dynamic sets have them: no structure, a time, demands with or without id."""
    network = io.load(write(tmp_path, {"small.txt": NATIVE}) / "small.txt")
    row = "<demand><source>{}</source><target>{}</target><demandValue>{}</demandValue></demand>"
    page = '<network xmlns="http://sndlib.zib.de/network">{}<demands>{}</demands></network>'
    meta = "<meta><granularity>5min</granularity><time>2004-03-01 00:05</time><unit>MBITPERSEC</unit></meta>"
    folder = tmp_path / "matrices"
    folder.mkdir()
    files = {"m-2.xml": page.format(meta, row.format("a", "b", 3) + row.format("b", "b", 9))}
    files |= {"m-1.xml": page.format("", row.format("c", "a", 1.5)), "m-3.txt": NATIVE, "notes.md": "no matrix"}
    times, table = io.read_matrices(write(folder, files), network)
    assert times == ("m-1", "2004-03-01 00:05", "20040301-0000")
    expected = np.zeros((3, 3, 3))
    expected[0, 2, 0], expected[1, 0, 1], expected[2, 0, 2], expected[2, 1, 0] = 1.5, 3, 195, 5
    assert_array_equal(table, expected)
    assert trips(dataclasses.replace(network, demand=table[1])) == {("a", "b"): 3}
    both = io.read_matrices(folder, network, undirected_demand=True)[1]
    assert_array_equal(both, expected + expected.transpose(0, 2, 1))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no \.xml or \.txt matrices"):
        io.read_matrices(empty, network)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("?SNDlib native format", "?SNDlib format", "x.txt: this is none of"),
        ("a ( 10.00 0.00 )", "a ( 10.00 )", "x.txt, line 6: expected y, not ')'"),
        ("a ( 10.00 0.00 )", "a ( ten 0.00 )", "x.txt, line 6: x must be a finite number, not 'ten'"),
        ("a ( 10.00 0.00 )", "b ( 10.00 0.00 )", "x.txt, line 7: node 'b' is given twice"),
        ("L1 ( a b )", "L1 ( a z )", "x.txt, line 11: target 'z' is not a node of the network"),
        ("L1 ( a b )", "L1 ( a a )", "x.txt, line 11: the link leads from node 'a' to itself"),
        ("L1 ( a b )", "L1 a b", "x.txt, line 11: expected '(', not 'a'"),
        ("40.00 0.00", "-40.00 0.00", "x.txt, line 11: capacity must be a non-negative number, not '-40.00'"),
        (
            "( b c ) 0.00 0.00 0.00 1.00 ( 155.00 156.00 622.00 700.00 )",
            "( b c ) 0 0 0 1 ( )",
            "line 12: the link has no",
        ),
        ("195.00", "much", "x.txt, line 15: demand must be a non-negative number, not 'much'"),
        ("D1 ( a c )", "D1 ( a q )", "x.txt, line 15: target 'q' is not a node of the network"),
        ("1 195.00 UNLIMITED", "1 195.00", "line 16: expected an id in DEMANDS, or ')', not '('"),
        (NATIVE[NATIVE.index("ADMISSIBLE") :], "PATHS ( ", "x.txt, line 18: expected ')', not the end of the file"),
        (
            NATIVE[NATIVE.index("D2 (") :],
            "",
            "x.txt, line 15: expected an id in DEMANDS, or ')', not the end of the file",
        ),
    ],
)
def test_bad_sndlib_native(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(io.NetworkFileError, match=re.escape(sentence)):
        io.load(write(tmp_path, {"x.txt": replaced(NATIVE, old, new)}) / "x.txt")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("</networkStructure>", "", "x.xml, line 23: this is no XML (mismatched tag"),
        ("<source>a</source><target>b</target>", "<source>a</source>", "link 'L1': the element <target> is missing"),
        ("<target>b</target>", "<target>y</target>", "x.xml, link 'L1': target 'y' is not a node of the network"),
        ("<x>10.0</x>", "<x>east</x>", "x.xml, node 'a': x must be a finite number, not 'east'"),
        (">195.0<", ">-1<", "x.xml, demand 'D1': demand must be a non-negative number, not '-1'"),
        ("<demandValue>195.0</demandValue>", "", "x.xml, demand 'D1': the element <demandValue> is missing"),
        (XML, "<solution/>", "x.xml: the root element must be <network>, not <solution>"),
    ],
)
def test_bad_sndlib_xml(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(io.NetworkFileError, match=re.escape(sentence)):
        io.load(write(tmp_path, {"x.xml": replaced(XML, old, new)}) / "x.xml")


# -- topohub ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sizes", "total", "moved"),
    [("abilene", (12, 30, 132), 3_000_002, 0.17), ("geant", (22, 72, 462), 2_999_992, 0.43)],
)
def test_topohub_backbones(name: str, sizes: tuple[int, int, int], total: float, moved: float) -> None:
    """Sizes and totals as SNDlib states them; share moved by balancing as computed elsewhere."""
    pytest.importorskip("topohub")
    data = io.load(f"topohub:sndlib/{name}")
    assert (data.num_nodes, data.num_links, (data.demand > 0).sum()) == sizes
    assert data.demand.sum() == total
    balanced, share = data.balanced()
    assert round(share, 2) == moved
    assert balanced.demand.sum() == pytest.approx(total)
    assert data.capacity[0] == pytest.approx(hop_loads(data).max() / 0.9)
    assert "MIT" in data.licence and data.coordinates is not None


def test_topohub_lengths_are_great_circles() -> None:
    pytest.importorskip("topohub")
    from mfnet_envs.io.reading import distances

    data = io.load("topohub:sndlib/abilene", capacity=3.0)
    assert data.coordinates is not None and data.capacity.tolist() == [3] * 30
    assert_allclose(distances(data.coordinates, data.tail, data.head, True), data.length, rtol=0.01)
    assert_allclose(data.free_flow_time, data.length / 200)


def test_topohub_undirected_demand_runs_both_ways() -> None:
    """polska, nobel-germany and germany50 list each pair once."""
    pytest.importorskip("topohub")
    data = io.load("topohub:sndlib/polska")
    assert data.demand.sum() == 2 * 9943
    assert_array_equal(data.demand, data.demand.T)
    assert io.load("topohub:sndlib/polska", undirected_demand=False).demand.sum() == 9943


def test_topohub_without_demand() -> None:
    pytest.importorskip("topohub")
    data = io.load("topohub:topozoo/Geant2012")
    assert (data.num_nodes, data.num_links, data.has_demand) == (37, 116, False)
    assert data.capacity.tolist() == [1] * 116
    with pytest.raises(ValueError, match="a capacity by rule needs a positive utilisation and a network with demand"):
        io.with_uniform_capacity(data)


def test_topohub_unknown_name() -> None:
    pytest.importorskip("topohub")
    with pytest.raises(io.NetworkFileError, match=r"topohub:sndlib/abylene: topohub has no such topology; names look"):
        io.load("topohub:sndlib/abylene")


# -- TLC --------------------------------------------------------------------------------------------------------------

RIDES = [  # pick-up, drop-off, from, to; 2024-01-01 was a Monday
    ("2024-01-01T00:05", "2024-01-01T00:15", 4, 7),
    ("2024-01-01T00:55", "2024-01-01T01:15", 4, 7),
    ("2024-01-08T00:30", "2024-01-08T06:30", 4, 7),  # six hours: a meter left running
    ("2024-01-07T23:59", "2024-01-08T00:04", 7, 7),
    ("2024-01-02T12:00", "2024-01-02T12:30", 7, 264),  # unknown zone
    ("2024-01-02T12:00", "2024-01-02T12:30", None, 7),
]
COLUMNS = ("tpep_pickup_datetime", "tpep_dropoff_datetime", "PULocationID", "DOLocationID")


def write_rides(path: Path, columns: tuple[str, ...] = COLUMNS, rides: list[Any] = RIDES) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = [pyarrow.array(np.array([ride[i] for ride in rides], "datetime64[us]")) for i in (0, 1)]
    places = [pyarrow.array([ride[i] for ride in rides], pyarrow.int32()) for i in (2, 3)]
    table = pyarrow.table([*times, *places, times[0]], [*columns, "unread"])
    parquet.write_table(table, path, row_group_size=4)
    return path


@pytest.mark.parametrize(
    "columns",
    [
        COLUMNS,
        ("lpep_pickup_datetime", "Lpep_dropoff_datetime", "PUlocationID", "DOlocationID"),
        ("pickup_datetime", "dropoff_datetime", "PULocationID", "DOLocationID"),
    ],
)
def test_tlc_by_hand(tmp_path: Path, columns: tuple[str, ...]) -> None:
    with pytest.warns(UserWarning, match=r"2 of 6 trips \(33.3%\) begin or end outside the wanted zones"):
        table = io.read_tlc(write_rides(tmp_path / "x.parquet", columns))
    expected = np.zeros((7, 24, 2, 2))
    expected[0, 0, 0, 1], expected[6, 23, 1, 1] = 3, 1
    assert table.zones.tolist() == [4, 7]
    assert_array_equal(table.trips, expected)
    assert_array_equal(table.minutes, [[np.nan, 15], [np.nan, 5]])  # the mean of 10 and 20
    assert table.days.tolist() == [2, 0, 0, 0, 0, 0, 1]
    assert_array_equal(table.trips_per_hour(0, 0), [[0, 1.5], [0, 0]])


def test_tlc_slots_and_several_files(tmp_path: Path) -> None:
    paths = [write_rides(tmp_path / f"{name}.parquet") for name in "ab"]
    with pytest.warns(UserWarning, match="4 of 12 trips"):
        table = io.read_tlc(paths, slot_minutes=15)
    assert table.trips.shape == (7, 96, 2, 2)
    assert table.trips[0, 0].tolist() == [[0, 2], [0, 0]] and table.trips[0, 3].tolist() == [[0, 2], [0, 0]]
    assert_array_equal(table.trips_per_hour(0, 0), [[0, 4], [0, 0]])  # 2 trips in 2 quarters of an hour
    assert table.zones.tolist() == [4, 7]


def test_tlc_zones_asked_for_stay(tmp_path: Path) -> None:
    """In ascending order, once each, with trips or without; 7 is not wanted here."""
    with pytest.warns(UserWarning, match="6 of 6 trips"):
        table = io.read_tlc(write_rides(tmp_path / "x.parquet"), zones=[9, 4, 9])
    assert table.zones.tolist() == [4, 9] and table.trips.shape == (7, 24, 2, 2) and not table.trips.any()
    assert table.days.tolist() == [0] * 7


def test_tlc_stray_dates_are_no_days(tmp_path: Path) -> None:
    """Clocks set wrong put single trips into other years."""
    rides = [("2024-01-02T12:00", "2024-01-02T12:30", 1, 2)] * 500 + [("2001-01-02T12:00", "2001-01-02T12:30", 1, 2)]
    assert io.read_tlc(write_rides(tmp_path / "x.parquet", rides=rides)).days.tolist() == [0, 1, 0, 0, 0, 0, 0]


def test_bad_tlc(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="slot_minutes must divide the day's 1440 minutes, not 7"):
        io.read_tlc(tmp_path / "x.parquet", slot_minutes=7)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(io.NetworkFileError, match=r"x\.parquet: this is no parquet file"):
        io.read_tlc(tmp_path / "x.parquet")
    old = ("Trip_Pickup_DateTime", "Trip_Dropoff_DateTime", "Start_Lon", "Start_Lat")
    with pytest.raises(io.NetworkFileError, match=r"there is no column tpep_pickup_datetime or .* before mid-2016"):
        io.read_tlc(write_rides(tmp_path / "old.parquet", old))


# -- networkx ---------------------------------------------------------------------------------------------------------


def test_from_networkx_directed() -> None:
    graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph(name="mine")
    graph.add_node("p", at=(1, 2))
    graph.add_node("q", at=(3, 4))
    graph.add_edge("p", "q", minutes=2, capacity=10, km=7)
    graph.add_edge("p", "q", minutes=3, capacity=20, km=8)
    graph.add_edge("q", "p", minutes=0, capacity=30, km=9)
    data = io.from_networkx(
        graph,
        free_flow_time="minutes",
        length="km",
        b=0.5,
        coordinates="at",
        demand={"p": {"q": 4}},
        units={"time": "min"},
    )
    assert (data.name, data.nodes, links(data)) == ("mine", ("p", "q"), [("p", "q"), ("p", "q"), ("q", "p")])
    assert data.free_flow_time.tolist() == [2, 3, 0] and data.capacity.tolist() == [10, 20, 30]
    assert data.length.tolist() == [7, 8, 9] and data.b.tolist() == [0.5] * 3 and data.power.tolist() == [4] * 3
    assert data.coordinates is not None and data.coordinates.tolist() == [[1, 2], [3, 4]]
    assert trips(data) == {("p", "q"): 4} and data.units == {"time": "min"}


def test_from_networkx_undirected_with_a_table() -> None:
    with pytest.warns(UserWarning, match=r"graph: 3 trips within a node \(33.3% of all\) are dropped"):
        data = io.from_networkx(nx.path_graph(3), free_flow_time=1, capacity=2, demand=np.ones((3, 3)))
    assert links(data) == [("0", "1"), ("1", "0"), ("1", "2"), ("2", "1")]
    assert_array_equal(data.demand, 1 - np.eye(3))


def graph_with(**edge: Any) -> nx.Graph[Any]:
    graph: nx.Graph[Any] = nx.path_graph(3)
    for _, _, data in graph.edges(data=True):
        data.update({"free_flow_time": 1, "capacity": 2} | edge)
    return graph


@pytest.mark.parametrize(
    ("graph", "options", "sentence"),
    [
        (nx.path_graph(3), {}, "graph, edge 0 to 1: the edge has no attribute 'free_flow_time'; add it, or pass"),
        (graph_with(capacity=0), {}, "edge 0 to 1: capacity must be a positive number, not 0"),
        (graph_with(capacity="wide"), {}, "edge 0 to 1: capacity must be a positive number, not 'wide'"),
        (graph_with(), {"b": -1}, "b must be a non-negative number, not -1"),
        (graph_with(), {"coordinates": "pos"}, "graph, node 0: it has no attribute 'pos'"),
        (graph_with(), {"demand": {0: {9: 1}}}, "graph: the trips name node 9, which the graph does not have"),
        (graph_with(), {"demand": {0: {1: -1}}}, "trips from 0 to 1 must be a non-negative number, not -1"),
        (graph_with(), {"demand": np.zeros((2, 2))}, "demand must have shape (3, 3), not (2, 2)"),
        (nx.empty_graph(3), {}, "graph: there are no links"),
        (nx.Graph([(1, 1)]), {}, "edge 1 to 1: the link leads from a node to itself"),
        (nx.relabel_nodes(graph_with(), {1: "0"}), {}, "graph: node '0' is given twice"),
    ],
)
def test_bad_graph(graph: nx.Graph[Any], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(io.NetworkFileError, match=re.escape(sentence)):
        io.from_networkx(graph, **options)


# -- the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "name", "sentence"),
    [
        ({"x.txt": "hello"}, "x.txt", "x.txt: this is none of NAME.gml"),
        ({"x.csv": "a,b"}, "", "the folder holds neither link.csv nor *_net.tntp"),
        ({"a_net.tntp": NET, "b_net.tntp": NET}, "", "the folder holds 2 files *_net.tntp; name one of them"),
        ({"a_trips.tntp": TRIPS}, "a_trips.tntp", "this file holds no links; name the _net file"),
    ],
)
def test_what_load_does_not_know(tmp_path: Path, files: dict[str, str], name: str, sentence: str) -> None:
    with pytest.raises(io.NetworkFileError, match=re.escape(sentence)):
        io.load(write(tmp_path, files) / name)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere\.tntp; known are NAME\.gml"):
        io.load(tmp_path / "nowhere.tntp")
    with pytest.raises(FileNotFoundError, match=r"node\.csv"):
        io.load(write(tmp_path, {"link.csv": GMNS["link.csv"]}))


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("topohub", lambda folder: io.load("topohub:sndlib/abilene")),
        ("pyarrow.parquet", lambda folder: io.read_tlc(folder / "x.parquet")),
    ],
)
def test_a_missing_package_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, call: Callable[[Path], Any]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"this needs {package}: pip install '.*\[networks\]'$"):
        call(tmp_path)


def test_import_is_light() -> None:
    """Neither scipy nor the optional packages come with the door."""
    heavy = ("scipy", "pyarrow", "topohub", "pandas")
    code = f"import mfnet_envs.io, sys; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"
    )
