"""The network and the demand as given: what is certified, what is left out, and that it is said."""

import dataclasses
import os
import re
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import networkx as nx
import numpy as np
import pytest

from mfnet_envs import io
from mfnet_envs.conformance.models import check_model
from mfnet_envs.engines import clock
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.engines.link_laws import BPR
from mfnet_envs.engines.respawn import respawn_plan
from mfnet_envs.engines.roads import Roads
from mfnet_envs.io.network_data import NetworkData, hop_loads
from mfnet_envs.policy import Policy, TablePolicy
from mfnet_envs.scenarios import packet_v0, routing_v0
from mfnet_envs.simulator import Simulator

BRAESS = [("s", "a", 0.0, 10.0), ("s", "b", 50.0, 1.0), ("a", "t", 50.0, 1.0), ("b", "t", 0.0, 10.0), ("a", "b", 10, 1)]


def network(ends: list[tuple[str, str]], time: Any, trips: dict[tuple[str, str], float], **more: Any) -> NetworkData:
    """Links from label to label with BPR's b = .15 and power 4 at capacity 1, unless ``more`` says so."""
    nodes = tuple(dict.fromkeys(label for pair in ends for label in pair))
    tail, head = np.array([[nodes.index(u), nodes.index(v)] for u, v in ends]).T
    demand = np.zeros((len(nodes), len(nodes)))
    for (u, v), volume in trips.items():
        demand[nodes.index(u), nodes.index(v)] = volume
    each = np.ones(len(ends))
    given = dict(name="made", nodes=nodes, tail=tail, head=head, free_flow_time=each * time, capacity=each,
                 b=0.15 * each, power=4 * each, length=each, demand=demand)  # fmt: skip
    return NetworkData(**(given | more))


def fluid(model: Congestion, policy: Policy, steps: int) -> tuple[np.ndarray, float]:
    """(mu (S,), trips per unit of time) after ``steps`` of the limit N = infinity."""
    simulator, mu, rewards = Simulator(model), model.initial[None], np.zeros(1)
    for t in range(steps):
        mu, rewards = simulator.mean_field_step(mu, policy.teams(mu * model.population, t))  # type: ignore[arg-type]
    return mu[0], float(rewards.sum()) * model.full_scale


# -- where the next trip begins ---------------------------------------------------------------------------------------


def long_run(demand: np.ndarray, plan: Any) -> np.ndarray:
    """Shares of trips by pair, from the stationary law of the chain trip -> next trip, written out pair by pair."""
    pairs = np.argwhere(demand > 0).tolist()
    row = {v: sum(r for e, r in zip(plan.end, plan.rate, strict=True) if e == v) for v in plan.end.tolist()}
    chain = np.zeros((len(pairs), len(pairs)))
    for i, (_, d) in enumerate(pairs):
        for end, begin, rate in zip(plan.end, plan.begin, plan.rate, strict=True):
            if end == d:
                for j, (o, goal) in enumerate(pairs):
                    if o == begin:
                        chain[i, j] += rate / row[d] * demand[o, goal] / demand[o].sum()
    np.testing.assert_allclose(chain.sum(1), 1)
    values, vectors = np.linalg.eig(chain.T)
    assert (abs(values - 1) < 1e-9).sum() == 1  # one law, wherever it starts
    law = np.real(vectors[:, np.argmin(abs(values - 1))])
    shares = np.zeros(demand.shape)
    shares[tuple(np.array(pairs).T)] = law / law.sum()
    return shares


@pytest.mark.parametrize("seed", range(12))
def test_the_long_run_is_the_demand_as_given(seed: int) -> None:
    """Sparse and uneven demands, nodes that only send or only receive, parts that no trip joins."""
    rng = np.random.default_rng(seed)
    demand = rng.exponential(size=(8, 8)) * (rng.random((8, 8)) < 0.2)
    demand[:4, 4:] *= seed % 2
    demand[4:, :4] *= seed % 2
    demand[0, 1] = 1.0
    place = rng.random((8, 2))
    plan = respawn_plan(demand, lambda a, b: np.linalg.norm(place[a][:, None] - place[b], axis=2))
    np.testing.assert_allclose(long_run(demand, plan), demand / demand.sum(), atol=1e-9)
    begins, ends = demand.sum(1), demand.sum(0)
    np.testing.assert_allclose(np.bincount(plan.end, plan.rate, 8), ends, atol=1e-9)
    np.testing.assert_allclose(np.bincount(plan.begin, plan.rate, 8), begins, atol=1e-9)
    if not plan.joined:
        assert plan.relocated == pytest.approx(abs(begins - ends).sum() / 2 / demand.sum())
        assert len(plan.end) <= 2 * 8


def test_vehicles_go_on_nearby() -> None:
    """3 too many end at node 0, 2 are missing at 1 (1 away) and 1 at 2 (5 away); 1 too many at 3, (2 and 3 away)."""
    demand = np.zeros((4, 4))
    demand[1, 0], demand[2, 0], demand[1, 3] = 2, 1, 1
    apart = {(0, 1): 1.0, (0, 2): 5.0, (3, 1): 2.0, (3, 2): 3.0}
    plan = respawn_plan(demand, lambda a, b: np.array([[apart[int(v), int(w)] for w in b] for v in a]))
    found = {(int(v), int(w)): float(r) for v, w, r in zip(plan.end, plan.begin, plan.rate, strict=True)}
    assert found == pytest.approx({(0, 1): 3.0, (3, 2): 1.0}) or found == pytest.approx(
        {(0, 1): 3.0, (0, 2): 0.0, (3, 2): 1.0}
    )


def test_even_demand_never_asks_how_far_it_is() -> None:
    demand = np.array([[2.0, 1, 0], [0, 0, 1], [1, 0, 0]])

    def unasked(a: Any, b: Any) -> Any:
        raise AssertionError

    plan = respawn_plan(demand, unasked)
    assert plan.end.tolist() == plan.begin.tolist() == [0, 1, 2] and plan.relocated == 0 and plan.said == ()


def test_parts_that_no_trip_joins_make_their_trips() -> None:
    """Two cities apart, 3 trips to 1: every policy makes them so, and the notes say that they exchange vehicles."""
    ends = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")]
    trips = {("a", "b"): 1.5, ("b", "a"): 1.5, ("c", "d"): 0.5, ("d", "c"): 0.5}
    model = routing_v0.build(50, network=network(ends, 1.0, trips))
    assert any("2 parts that no trip joins" in note for note in model.notes)
    mu, throughput = fluid(model, model.heuristics()["so"], 400)
    begun = mu.reshape(-1, model.network.layers)[len(model.roads.tail) :].sum(1)
    np.testing.assert_allclose(begun / begun.sum(), np.array([3, 3, 1, 1]) / 8, atol=1e-9)
    assert throughput == pytest.approx(model.bound().value, rel=1e-6)


# -- links that take no time ------------------------------------------------------------------------------------------


def test_a_link_of_no_time_is_as_if_its_ends_were_one() -> None:
    """x - y takes no time in either direction: the same model as with x for y, whatever stands on the map."""
    ends = [("a", "x"), ("x", "a"), ("y", "b"), ("b", "y"), ("a", "b"), ("b", "a")]
    trips = {("a", "b"): 3.0, ("b", "a"): 2.0, ("a", "x"): 1.0, ("x", "b"): 1.0}
    joined = network([*ends, ("x", "y"), ("y", "x")], [1, 1, 1, 1, 3, 3, 0, 0], trips)
    one = network([(u.replace("y", "x"), v.replace("y", "x")) for u, v in ends], [1, 1, 1, 1, 3, 3], trips)
    model, expected = routing_v0.build(40, network=joined), routing_v0.build(40, network=one)
    assert (model.dt, model.network.num_states) == (expected.dt, expected.network.num_states) == (0.5, 27)
    assert model.vehicles == pytest.approx(expected.vehicles)
    for name in ("random", "shortest_path", "so"):
        made = [fluid(m, m.heuristics()[name], 300)[1] for m in (model, expected)]
        assert made[0] == pytest.approx(made[1], rel=1e-9)
    assert "2 of 8 links take no time and are passed at once" in model.notes


def test_trips_that_take_no_time_count() -> None:
    """They take the step that every trip waits. By hand: N trips a - b of time 1 and as many of no time b - c, one
    vehicle each per unit of time and .5 more for every trip's step."""
    ends = [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")]
    trips = {("a", "b"): 1.0, ("b", "a"): 1.0, ("b", "c"): 2.0, ("c", "b"): 2.0}
    model = routing_v0.build(30, network=network(ends, [1, 1, 0, 0], trips, b=np.zeros(4)))
    assert model.dt == 0.5 and model.vehicles == pytest.approx(2 * 1 + 6 * 0.5)
    assert model.bound().value == pytest.approx(6)
    _, throughput = fluid(model, model.heuristics()["random"], 300)
    assert throughput == pytest.approx(6)
    assert any(note.startswith("4 trips (66.67%) take no time") for note in model.notes)
    check_model(model)
    with pytest.raises(ValueError, match="made: no trip takes any time"):
        routing_v0.build(network=network(ends, [1, 1, 0, 0], {("b", "c"): 1.0, ("c", "b"): 1.0}))
    with pytest.raises(ValueError, match="made: no link takes any time"):
        routing_v0.build(network=network(ends, 0, trips))


# -- steps, horizon, units --------------------------------------------------------------------------------------------


def test_the_default_step() -> None:
    """Half the shortest link; where that is needlessly fine, as long as rounding adds a hundredth of a trip. By hand:
    10 trips over a link of .001 and one of 9.999: a step of .101 adds .1, a hundredth of 10; and 10 / 30 is longer."""
    time, flow = np.array([0.001, 9.999, 7.0]), np.array([10.0, 10.0, 0.0])
    assert clock.default_step(time, flow, 10.0, 10.0) == pytest.approx(0.101)
    assert clock.default_step(np.array([1.0, 2.0]), np.array([1.0, 1.0]), 1.0, 3.0) == 0.5
    assert clock.default_step(np.array([0.01, 9.0]), np.array([0.0, 1.0]), 1.0, 9.0) == pytest.approx(0.3)


def test_one_short_link_changes_little() -> None:
    """A link of .005 in the generated city used to move `random` from 3.05 to 4.78, by a step of .0025."""
    city = routing_v0.generated_city()
    data = dataclasses.replace(city, free_flow_time=np.where(np.arange(24) == 0, 0.005, city.free_flow_time))
    model, plain = routing_v0.build(network=data), routing_v0.build()
    assert model.dt > 0.02 and model.evaluation[0] * model.dt >= 60 * model.vehicles / model.total * 0.95
    longer = next(note for note in model.notes if "shorter than a step" in note)
    assert longer.startswith("1 of 24 links are shorter than a step and take one")
    assert "1 of 24 links rounded up to a step" in model.bound().assumption
    law = model.law
    assert isinstance(law, BPR) and law.free_flow_time[0] == model.dt
    assert law.free_flow_time[0] * law.b[0] == pytest.approx(0.15 * 0.005)
    reached = fluid(model, model.heuristics()["so"], 800)[1]
    assert reached == pytest.approx(model.bound().value, rel=1e-3)
    assert plain.dt == 0.3 and not any("shorter" in note for note in plain.notes)


def test_odd_steps_and_units_are_questioned_once() -> None:
    city = routing_v0.generated_city()
    with pytest.warns(UserWarning, match=r"dt=0.7: 8 of 24 links are shorter than a step and take one") as caught:
        model = routing_v0.build(network=city, dt=0.7)
    assert len(caught) == 1 and any("dt=0.7" in note for note in model.notes)
    with pytest.warns(UserWarning, match=r"dt=0.001 is short: a mean trip takes 1,079 steps"):
        routing_v0.build(dt=0.001)
    with pytest.raises(ValueError, match=r"dt=1e-12 is too short: a mean trip takes 1\.08e\+12 steps"):
        routing_v0.build(dt=1e-12)
    with pytest.warns(UserWarning, match=r"a mean trip takes 64\.7\d* units of the demand's time: is time_unit right"):
        routing_v0.build(network=city, time_unit=60.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        routing_v0.build(network=city, time_unit=0.5)


def test_what_is_said_of_the_clock() -> None:
    """24 links of one length; 60 mean trips, or 1,200 steps, whichever is longer."""
    city = dataclasses.replace(routing_v0.generated_city(), units={"time": "h", "length": "km"})
    model = routing_v0.build(network=city)
    assert model.notes == (
        "a step is dt = 0.3 h, an evaluation 1,200 steps = 360 h, a mean trip on empty links 1.079 h at 1.382 km per h",
    )
    assert clock.evaluation_steps(0.7 * 3, 0.07) == clock.evaluation_steps(2.1, 0.07) == (1800, 1050)
    model = routing_v0.build(network=city, dt=0.03)
    trip = model.vehicles / model.total - model.dt
    steps = model.evaluation[0]
    assert 60 * trip <= steps * model.dt < 61 * trip
    assert steps > 1200 == gym.spec("MFNet-Routing-v0").max_episode_steps
    assert f"(gymnasium.make ends episodes after 1,200 unless told max_episode_steps={steps})" in model.notes[0]
    assert 35 * trip <= model.evaluation[1] * model.dt < 36 * trip
    crowded = routing_v0.build(network=city, vehicles=400.0)
    trip = 400 / crowded.bound().value - crowded.dt
    assert 60 * trip <= crowded.evaluation[0] * crowded.dt < 61 * trip


# -- what no trip can use ---------------------------------------------------------------------------------------------


def test_what_no_trip_can_use_changes_nothing() -> None:
    """A dead end, a spring and an island beside the generated city: the same model, and a note that counts them."""
    city = routing_v0.generated_city()
    extra = [[9, 0], [8, 10], [11, 12], [12, 11]]
    tail, head = (np.append(a, b) for a, b in zip((city.tail, city.head), np.array(extra).T, strict=True))
    more: Any = {name: np.append(getattr(city, name), np.ones(4)) for name in city.PER_LINK[2:]}
    demand = np.zeros((13, 13))
    demand[:9, :9] = city.demand
    data = dataclasses.replace(
        city, nodes=(*city.nodes, "w", "x", "y", "z"), tail=tail, head=head, demand=demand, coordinates=None, **more
    )
    model, plain = routing_v0.build(network=data), routing_v0.build()
    assert model.notes[0] == "4 nodes and 4 links that no trip can use left out"
    assert "on the network as changed by what model.notes say" in model.bound().assumption
    assert model.network.num_states == plain.network.num_states
    assert model.bound().value == plain.bound().value and model.vehicles == plain.vehicles
    demand[9, 9 - 9] = 0
    demand[0, 11] = 1
    with pytest.raises(io.NetworkFileError, match="no path leads from node '0,0' to node 'y', but trips are wanted"):
        routing_v0.build(network=dataclasses.replace(data, demand=demand))


# -- capacities by rule, and what if ----------------------------------------------------------------------------------


def loads_of(model: Congestion, policy: Policy) -> np.ndarray:
    """``(L,)`` the flow of the whole demand under a table, followed node by node from every origin."""
    assert isinstance(policy, TablePolicy)
    pi = policy.individual(np.zeros((1, model.network.num_states), int))[0]
    k, links, loads = model.network.layers, len(model.roads.tail), np.zeros(len(model.roads.tail))
    for origin, target, volume in zip(model.trips.origin, model.trips.target, model.trips.volume, strict=True):
        place = links + model.starts.tolist().index(int(origin))
        while place >= links or model.roads.head[place] != model.trips.destinations[target]:
            place = int(model.onward[place][pi[place * k + target].argmax()])
            loads[place] += volume
    return loads


@pytest.mark.parametrize("network", [None, "abilene", "polska", "cost266", "india35"])
def test_shortest_paths_as_shipped_fill_the_busiest_link(network: str | None) -> None:
    if network:
        pytest.importorskip("topohub")
    model = packet_v0.build(network=network and f"topohub:sndlib/{network}", vehicles=10.0)
    loads = loads_of(model, model.heuristics()["shortest_path"])
    assert loads.max() / model.law.capacity[0] == pytest.approx(0.9)
    assert any("fewest hops fill the busiest to 90%" in note for note in model.notes)


def test_the_capacity_rule_is_that_of_the_shipped_heuristic() -> None:
    backbone = packet_v0.generated_backbone()
    model = packet_v0.build()
    np.testing.assert_allclose(hop_loads(backbone), loads_of(model, model.heuristics()["shortest_path"]))


def test_a_closed_link_is_all_that_changes() -> None:
    """Capacities, packets and steps stay those of the open backbone, and the bound cannot rise."""
    opened = packet_v0.build()
    for close in (("0", "4"), [("0", "4"), ("4", "0")], [["2", "6"]]):
        closed = packet_v0.build(close=close)
        assert closed.law.capacity[0] == opened.law.capacity[0]
        assert (closed.vehicles, closed.dt, closed.total) == (opened.vehicles, opened.dt, opened.total)
        assert closed.bound().value < opened.bound().value
        assert any(note.startswith("closed: ") for note in closed.notes)
        assert any("are those of the open network" in note for note in closed.notes)
    city = routing_v0.build()
    shut = routing_v0.build(close=("1,1", "0,1"))
    assert (shut.vehicles, shut.dt) == (city.vehicles, city.dt) and shut.bound().value < city.bound().value
    assert len(shut.roads.tail) == 23
    check_model(shut)
    with pytest.raises(ValueError, match="has no link from '0' to '3'"):
        packet_v0.build(close=("0", "3"))
    ends = [("a", "b"), ("b", "a")]
    with pytest.raises(ValueError, match="with 'a' to 'b' closed, no path leads from node 'a' to node 'b'"):
        routing_v0.build(network=network(ends, 1.0, {("a", "b"): 1.0, ("b", "a"): 1.0}), close=("a", "b"))


def test_a_capacity_of_ones_own() -> None:
    model = packet_v0.build(capacity=0.5)
    assert set(model.law.capacity) == {0.5} and model.total == pytest.approx(1)
    assert "every link has the capacity 0.5, as chosen" in model.notes
    assert packet_v0.build(capacity=7.0, utilisation=None, vehicles=5.0).law.capacity[0] == 7
    with pytest.raises(ValueError, match="capacity must be a positive number"):
        packet_v0.build(capacity=0.0)


# -- tolls ------------------------------------------------------------------------------------------------------------


def test_selfish_drivers_weigh_tolls_and_the_optimum_does_not() -> None:
    """Two roads, t = 1 and t = x (from nearly 0), demand 1: all selfish take the second; a toll worth 1/2 on it sends
    x where x + 1/2 = 1, which is the optimum, 3/4 of total time (Pigou). The bound does not know the toll."""
    ends, trips = [("s", "t"), ("s", "t"), ("t", "s")], {("s", "t"): 1.0, ("t", "s"): 1.0}
    law: Any = dict(b=np.array([0, 1e6, 0]), power=np.ones(3))
    free = network(ends, [1, 1e-6, 0.5], trips, **law)
    tolled = dataclasses.replace(free, toll=np.array([0.0, 5.0, 0.0]), toll_weight=0.1)
    plain, model = (routing_v0.build(80, network=data, dt=0.05) for data in (quiet(free), quiet(tolled)))
    assert plain.equilibrium().total_time == pytest.approx(1 + 0.5, rel=1e-5)
    assert model.equilibrium().total_time == pytest.approx(3 / 4 + 0.5, rel=1e-5)
    assert model.equilibrium().least_time == pytest.approx(3 / 4 + 0.5, rel=1e-5)
    assert model.bound().value == plain.bound().value
    assert model.equilibrium().throughput > plain.equilibrium().throughput
    assert any("user equilibria are of time plus weighted tolls" in note for note in model.notes)
    far = dataclasses.replace(free, length=np.array([0.0, 1.0, 0.0]), length_weight=0.5)
    assert routing_v0.build(80, network=quiet(far), dt=0.05).equilibrium().total_time == pytest.approx(1.25, rel=1e-5)


def quiet(data: NetworkData) -> NetworkData:
    """The same; a second link as short as these tests want it is no oversight."""
    warnings.filterwarnings("ignore", "dt=0.05: 1 of 3 links")
    return data


def test_tolls_and_notes_are_kept(tmp_path: Path) -> None:
    data = network([("a", "b"), ("b", "a")], 1.0, {("a", "b"): 1.0}, toll=np.array([1.0, 2.0]), toll_weight=0.1,
                   length_weight=0.2, notes=("guessed.",))  # fmt: skip
    again = io.load(data.to_npz(tmp_path / "a.npz"))
    assert again.toll is not None and again.toll.tolist() == [1, 2] and again.notes == ("guessed.",)
    assert (again.toll_weight, again.length_weight) == (0.1, 0.2)
    part = again.useful()
    assert part.toll is not None and part.toll.tolist() == [1, 2]
    assert again.closed(("b", "a")).toll.tolist() == [1]


# -- verified optima --------------------------------------------------------------------------------------------------

# (UE, SO) total times in vehicle hours, and trips per hour: data/tntp/README.md
VERIFIED = {
    "Braess/Braess": (552.0, 498.0, 6.0, 1.0),
    "Berlin-Friedrichshain/friedrichshain-center": (728_609.306035 / 3600, 670_664.564728 / 3600, 11_205.1, 1 / 3600),
    "Berlin-Tiergarten/berlin-tiergarten": (716_823.698544 / 3600, 702_845.399215 / 3600, 10_754.87, 1 / 3600),
    "Eastern-Massachusetts/EMA": (28_181.423167, 27_323.932257, 65_576.375, 1.0),
}


@pytest.mark.parametrize(("name", "trim"), [*((name, False) for name in VERIFIED), (list(VERIFIED)[2], True)])
def test_verified_optima_through_the_door(name: str, trim: bool) -> None:
    """Totals as verified elsewhere, Tiergarten's, where unused nodes lie apart, trimmed as well; the vehicles of the
    whole demand carry the whole demand."""
    folder = os.environ.get("MFNET_TNTP")
    if folder is None:
        pytest.skip("MFNET_TNTP is not set")
    ue, so, trips, time_unit = VERIFIED[name]
    data = io.load(Path(folder) / f"{name}_net.tntp", trim=trim)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "a mean trip takes 10 units")
        env = gym.make("MFNet-Routing-v0", network=data, time_unit=time_unit)
    model: Any = env.unwrapped.model
    found = model.equilibrium()
    assert (found.total_time, found.least_time) == (pytest.approx(ue, rel=1e-8), pytest.approx(so, rel=1e-8))
    assert model.bound().value == pytest.approx(trips, rel=1e-6)
    assert model.bound().gap < 1e-8
    assert model.evaluation[0] * model.dt > 59.9 * so / trips
    assert all(re.fullmatch(r"\S.*\S", note) for note in model.notes)


def test_braess_with_links_of_no_time() -> None:
    """The published network with 0 for 1e-8 has no congestion left on those links: it is another network."""
    ends = [(u, v) for u, v, _, _ in BRAESS]
    law: Any = dict(b=np.array([0, 0.02, 0.02, 0, 0.1]), power=np.ones(5))
    with pytest.warns(UserWarning, match="a mean trip takes 10 units"):
        model = routing_v0.build(network=network(ends, [t for *_, t, _ in BRAESS], {("s", "t"): 6.0}, **law))
    assert model.equilibrium().total_time == model.equilibrium().least_time == pytest.approx(6 * 16)


def test_roads_know_who_arrives_at_once() -> None:
    """What the model rests on: s leads to b at once, and b to t."""
    roads = Roads(np.array([0]), np.array([1]), 4, 0, np.array([1, 2]), np.array([2, 3]))
    reach: Any = nx.DiGraph([(1, 2), (2, 3)])
    reach.add_node(0)
    expected = [[nx.has_path(reach, u, v) for v in range(4)] for u in range(4)]
    assert roads.arrives(np.arange(4)).tolist() == expected
