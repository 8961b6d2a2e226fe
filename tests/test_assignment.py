"""Assignments against other solvers, closed forms and published totals; their bounds as bounds."""

import math
import os
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import LinearConstraint, brentq, minimize

from mfnet_envs import io
from mfnet_envs.engines import assignment, throughput
from mfnet_envs.engines.assignment import assign
from mfnet_envs.engines.link_laws import BPR, MM1, PointQueue
from mfnet_envs.engines.roads import Roads, Trips
from mfnet_envs.engines.throughput import largest_scale
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.scenarios import braess_v0, pigou_v0
from mfnet_envs.scenarios.routing_v0 import generated_city


def sioux_falls() -> NetworkData:
    folder = os.environ.get("MFNET_TNTP")
    if folder is None:
        pytest.skip("MFNET_TNTP is not set")
    return io.load(Path(folder) / "SiouxFalls" / "SiouxFalls_net.tntp")


def parts(data: NetworkData) -> tuple[Roads, Trips, BPR]:
    roads = Roads(data.tail, data.head, data.num_nodes, data.first_through)
    return roads, Trips.of(np.array(data.demand)), BPR(data.free_flow_time, data.capacity, data.b, data.power)


@cache
def solved(marginal: bool) -> assignment.Assignment:
    """UE, or SO, of Sioux Falls."""
    roads, trips, law = parts(sioux_falls())
    return assign(roads, trips, law.marginal() if marginal else law)


def total_time(law: Any, flow: np.ndarray) -> float:
    return float(flow @ law.time(flow))


# -- link laws ---------------------------------------------------------------------------------------------------------

LAWS: dict[str, Any] = {
    "road": BPR(*np.array([[2.0], [5.0], [0.15], [4.0]])),
    "steep road": BPR(*np.array([[0.3], [7.0], [3.0], [9.5]])),
    "linear road": BPR(*np.array([[1.0], [1.0], [1.0], [1.0]])),
    "square root": BPR(*np.array([[1.5], [2.0], [0.8], [0.5]])),
    "free road": BPR(*np.array([[1.2], [3.0], [0.0], [4.0]])),
    "constant with b": BPR(*np.array([[1.2], [3.0], [0.4], [0.0]])),
    "almost 10 x": BPR(*np.array([[1e-8], [1.0], [1e9], [1.0]])),
    "queue": MM1(np.array([3.0])),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("n", [0.01, 0.7, 4.0, 90.0, 1e5])
def test_delay_solves_littles_law(name: str, n: float) -> None:
    """delay(n) = n / f for the f with f t(f) = n, found by bisection."""
    law = LAWS[name]
    highest = 3.0 if isinstance(law, MM1) else n / float(law.time(np.zeros(1))[0]) + 1.0

    def missing(f: float) -> float:
        t = 1 / (3.0 - f) if isinstance(law, MM1) else float(law.time(np.array([f]))[0])
        return f * t - n

    flow = brentq(missing, 0.0, highest * (1 - 1e-15), xtol=1e-300, rtol=1e-15)
    assert float(law.delay(np.array([[n]]))[0, 0]) == pytest.approx(
        n / flow, rel=1e-7 if isinstance(law, MM1) else 1e-11
    )


@pytest.mark.parametrize("name", LAWS)
def test_flow_is_concave_in_occupancy(name: str) -> None:
    """The fact behind the bound: f(n) = n / delay(n) bends downwards, and increases."""
    n = np.linspace(1e-3, 30, 400)[:, None]
    flow = (n / LAWS[name].delay(n))[:, 0]
    assert (np.diff(flow) > 0).all()
    assert (np.diff(flow, 2) < 1e-9).all()


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("marginal", [False, True])
@pytest.mark.parametrize("f", [0.4, 1.7, 2.9, 3.4])
def test_slopes_and_integrals_of_costs(name: str, marginal: bool, f: float) -> None:
    cost = LAWS[name].marginal() if marginal else LAWS[name]
    h = 1e-6
    differences = float(cost.time(np.array([f + h]))[0] - cost.time(np.array([f - h]))[0]) / (2 * h)
    assert float(cost.slope(np.array([f]))[0]) == pytest.approx(differences, rel=1e-5, abs=1e-7)
    if not (name == "queue" and f > 3):  # past its capacity the queue's cost is a steep tangent, too steep for quad
        area = quad(lambda x: float(cost.time(np.array([x]))[0]), 0, f, epsabs=0, epsrel=1e-11)[0]
        assert float(cost.integral(np.array([f]))[0]) == pytest.approx(area, rel=1e-7)


@pytest.mark.parametrize("name", LAWS)
def test_marginal_cost_adds_up_to_the_total_time(name: str) -> None:
    """The integral of the marginal cost is f t(f)."""
    f = np.array([2.2])
    assert float(LAWS[name].marginal().integral(f)[0]) == pytest.approx(total_time(LAWS[name], f), rel=1e-12)


def test_point_queue_serves_its_capacity_at_most() -> None:
    law = PointQueue(np.array([2.0, 2.0]), np.array([3.0, 3.0]))
    n = np.array([[0.0, 4.0], [6.0, 30.0]])
    np.testing.assert_allclose(law.delay(n), [[2.0, 2.0], [2.0, 10.0]])


# -- shortest paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_through", [0, 3])
def test_to_go_is_networkx_distance(first_through: int) -> None:
    """Random networks with parallel links; nodes below first_through are removed for all paths but their own."""
    rng = np.random.default_rng(4)
    v, links = 9, 30
    tail, head = rng.integers(v, size=(2, links))
    head = np.where(head == tail, (head + 1) % v, head)
    cost = rng.random(links) + 0.1
    to_go = Roads(tail, head, v, first_through).to_go(cost, np.arange(v))
    for e in range(links):
        for d in range(v):
            graph = nx.MultiDiGraph()
            graph.add_nodes_from(range(v))
            graph.add_weighted_edges_from(
                (a, b, c) for a, b, c in zip(tail, head, cost, strict=True) if a >= first_through or a == d
            )
            onward = {head[e]: 0.0} if head[e] == d else nx.single_source_dijkstra_path_length(graph, head[e])
            assert to_go[e, d] == pytest.approx(cost[e] + onward.get(d, math.inf))


def test_no_path_through_a_centroid() -> None:
    """0 and 1 are centroids; the short way from 2 to 3 leads through 1, so all take the long link, and 0 -> 3 too."""
    tail, head = np.array([[2, 1], [1, 3], [2, 3], [0, 2], [0, 1]]).T
    law = BPR(np.array([1.0, 1.0, 10.0, 1.0, 1.0]), np.ones(5), np.zeros(5), np.ones(5))
    demand = np.zeros((4, 4))
    demand[2, 3], demand[0, 3], demand[1, 3], demand[0, 1] = 4.0, 2.0, 3.0, 1.0
    found = assign(Roads(tail, head, 4, 2), Trips.of(demand), law)
    np.testing.assert_allclose(found.flow, [0, 3, 6, 2, 1])


def test_a_pair_without_a_way_is_named() -> None:
    law = BPR(np.ones(1), np.ones(1), np.ones(1), np.ones(1))
    demand = np.array([[0.0, 0.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="no path leads from node 1 to node 0"):
        assign(Roads(np.array([0]), np.array([1]), 2), Trips.of(demand), law)


# -- closed forms ------------------------------------------------------------------------------------------------------

BRAESS = {  # demand: total time of UE and of SO
    1: (31, 31), 2: (104, 103.385), 3: (219, 193), 4: (348.923, 287.385),
    5: (448.077, 387.5), 6: (552, 498), 8: (774.154, 752), 10: (1050, 1050),
}  # fmt: skip


@pytest.mark.parametrize("demand", BRAESS)
def test_braess(demand: int) -> None:
    model = braess_v0.build(demand=float(demand))
    law: Any = model.law
    ue, so = assign(model.roads, model.trips, law), assign(model.roads, model.trips, law.marginal())
    assert (total_time(law, ue.flow), so.objective) == pytest.approx(BRAESS[demand], abs=6e-4)


def test_braess_flows_at_six() -> None:
    """UE: two on each of the three ways, each costs 92; SO: three on each outer way, the bridge is empty, 83."""
    model = braess_v0.build(demand=6.0)
    law: Any = model.law
    ue, so = assign(model.roads, model.trips, law), assign(model.roads, model.trips, law.marginal())
    np.testing.assert_allclose(ue.flow, [4, 2, 2, 4, 2], atol=1e-5)
    np.testing.assert_allclose(so.flow, [3, 3, 3, 3, 0], atol=1e-5)
    assert total_time(law, ue.flow) == pytest.approx(552.0, rel=1e-7)
    assert so.objective == pytest.approx(498.0, rel=1e-7)


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0, 10.0])
def test_pigou(power: float) -> None:
    """UE 1; SO sends (p + 1)^(-1/p) to the second road: 1 - p (p + 1)^(-(p + 1) / p), 3/4 for p = 1."""
    model = pigou_v0.build(power=power)
    law: Any = model.law
    ue, so = assign(model.roads, model.trips, law), assign(model.roads, model.trips, law.marginal())
    assert total_time(law, ue.flow) == pytest.approx(1.0, rel=1e-6)
    assert so.flow[1] == pytest.approx((power + 1) ** (-1 / power), rel=1e-4)
    assert so.objective == pytest.approx(1 - power * (power + 1) ** (-(power + 1) / power), rel=1e-6)


def test_parallel_queues() -> None:
    """M/M/1 links side by side: UE equalises 1 / (c - f); SO leaves spare capacity in proportion to sqrt(c)."""
    capacity, demand = np.array([5.0, 3.0, 2.0]), 7.5
    roads, trips = Roads(np.zeros(3, int), np.ones(3, int), 2), Trips.of(np.array([[0, demand], [0, 0]]))
    ue, so = assign(roads, trips, MM1(capacity)), assign(roads, trips, MM1(capacity).marginal())
    np.testing.assert_allclose(ue.flow, capacity - (capacity.sum() - demand) / 3, rtol=1e-6)
    spare = np.sqrt(capacity) / np.sqrt(capacity).sum() * (capacity.sum() - demand)
    np.testing.assert_allclose(so.flow, capacity - spare, rtol=1e-6)


def test_queues_that_start_overloaded() -> None:
    """The shortest path alone could not carry the demand at 99 % of all capacity; the answer still can."""
    capacity = np.array([5.0, 3.0, 2.0])
    roads, trips = Roads(np.zeros(3, int), np.ones(3, int), 2), Trips.of(np.array([[0, 9.9], [0, 0]]))
    so = assign(roads, trips, MM1(capacity).marginal())
    spare = np.sqrt(capacity) / np.sqrt(capacity).sum() * 0.1
    np.testing.assert_allclose(capacity - so.flow, spare, rtol=1e-4)


# -- other solvers -----------------------------------------------------------------------------------------------------


def test_sioux_falls_has_the_published_totals() -> None:
    law = parts(sioux_falls())[2]
    ue, so = solved(False), solved(True)
    assert ue.objective == pytest.approx(4_231_335.28710744, rel=1e-9)
    assert total_time(law, ue.flow) == pytest.approx(7_480_225.344907, rel=1e-7)
    assert so.objective == pytest.approx(7_194_256.052893, rel=1e-9)
    for found in (ue, so):
        assert found.objective * (1 - 1e-8) < found.lower_bound <= found.objective
        np.testing.assert_allclose(found.by_destination.sum(0), found.flow)


def test_sioux_falls_repository_flows() -> None:
    """The repository's own best-known link flows."""
    data = sioux_falls()
    file = Path(os.environ["MFNET_TNTP"]) / "SiouxFalls" / "SiouxFalls_flow.tntp"
    published = {
        (int(a) - 1, int(b) - 1): float(volume)
        for a, b, volume, *_ in (line.split() for line in file.read_text().splitlines()[1:] if line.split())
    }
    expected = [published[ends] for ends in zip(data.tail.tolist(), data.head.tolist(), strict=True)]
    np.testing.assert_allclose(solved(False).flow, expected, rtol=1e-5)


def by_pytraf(data: NetworkData, marginal: bool) -> np.ndarray:
    """Link flows of UE, or of SO as the UE of marginal costs, which multiply b by power + 1."""
    pytraf = pytest.importorskip("pytraf")
    b = data.b * (data.power + 1) if marginal else data.b
    network = pytraf.Network(
        data.num_nodes, data.tail, data.head, data.free_flow_time, data.capacity, b, data.power
    )  # fmt: skip
    origin, destination = np.nonzero(data.demand)
    demand = pytraf.Demand(data.num_nodes, origin, destination, data.demand[origin, destination])
    return np.asarray(network.assign(demand, gap=1e-12, max_iter=5000).links.by_class[0])


@pytest.mark.parametrize("marginal", [False, True])
@pytest.mark.parametrize("total", [15.0, 40.0])
def test_city_as_pytraf_solves_it(marginal: bool, total: float) -> None:
    rng = np.random.default_rng(11)
    city = generated_city(4, 5, total)
    uneven = city.demand * rng.random(city.demand.shape)
    data = NetworkData(**{**vars(city), "demand": uneven, "b": rng.random(city.num_links)})
    roads, trips, law = parts(data)
    found = assign(roads, trips, law.marginal() if marginal else law)
    np.testing.assert_allclose(found.flow, by_pytraf(data, marginal), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("marginal", [False, True])
def test_sioux_falls_as_pytraf_solves_it(marginal: bool) -> None:
    np.testing.assert_allclose(solved(marginal).flow, by_pytraf(sioux_falls(), marginal), rtol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["road", "queue"])
def test_small_networks_as_scipy_solves_them(seed: int, kind: str) -> None:
    """All simple paths enumerated by networkx, total time minimised over their flows by SLSQP."""
    rng = np.random.default_rng(seed)
    graph = nx.DiGraph([(0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (0, 3), (2, 1), (3, 0)])
    ends = list(graph.edges)
    tail, head = np.array(ends).T
    demand = np.zeros((4, 4))
    demand[0, 3], demand[0, 2], demand[1, 3] = rng.uniform(1, 2, 3)
    capacity = rng.uniform(3, 5, len(ends))
    law: Any = BPR(rng.uniform(1, 3, len(ends)), capacity, rng.random(len(ends)), np.full(len(ends), 3.0))
    if kind == "queue":
        law = MM1(capacity)
    columns, rows = [], []
    pairs = [tuple(map(int, pair)) for pair in np.argwhere(demand)]
    for p, (o, d) in enumerate(pairs):
        for path in nx.all_simple_paths(graph, o, d):
            columns.append([float(e in set(zip(path[:-1], path[1:], strict=True))) for e in ends])
            rows.append(p)
    incidence, member = np.array(columns), np.eye(len(pairs))[rows].T
    volume = np.array([demand[pair] for pair in pairs])
    start = member.T @ (volume / member.sum(1))
    best = minimize(
        lambda h: float((h @ incidence) @ law.time(h @ incidence)),
        start,
        bounds=[(0, None)] * len(start),
        constraints=LinearConstraint(member, volume, volume),
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-13},
    )
    found = assign(Roads(tail, head, 4), Trips.of(demand), law.marginal())
    assert best.success
    assert found.objective == pytest.approx(best.fun, rel=1e-6)


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0.3, 1e-2, 1e-4])
def test_the_lower_bound_holds_however_early_one_stops(gap: float) -> None:
    roads, trips, law = parts(generated_city(4, 4, 30.0))
    best = assign(roads, trips, law.marginal())
    early = assign(roads, trips, law.marginal(), gap=gap)
    assert early.lower_bound <= best.objective <= early.objective
    assert early.objective - early.lower_bound <= gap * (early.flow @ law.marginal().time(early.flow)) * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["road", "queue"])
@pytest.mark.parametrize("vehicles", [12.0, 40.0, 150.0])
def test_largest_scale_is_where_the_optimum_needs_all_vehicles(kind: str, vehicles: float) -> None:
    """Against bisection on theta with a fresh system optimum at each."""
    roads, trips, road = parts(generated_city(3, 3, 6.0))
    law: Any = road if kind == "road" else MM1(2 * road.capacity)
    waiting = 0.7

    def needed(theta: float) -> float:
        return assign(roads, trips.scaled(theta), law.marginal()).objective + theta * waiting

    found = largest_scale(roads, trips, law.marginal(), vehicles, waiting)
    assert found.gap < 1e-8
    assert needed(found.upper * (1 + 1e-6)) > vehicles > needed(found.theta * (1 - 1e-6))
    assert needed(found.theta) == pytest.approx(vehicles, rel=1e-7)


def test_braess_with_498_vehicles() -> None:
    """498 vehicles make 6 trips per unit of time at best; selfish ones 5.486."""
    model = braess_v0.build()
    law: Any = model.law
    best = largest_scale(model.roads, model.trips, law.marginal(), 498.0, 0.0)
    theta, found = throughput.equilibrium_scale(model.roads, model.trips, law, 498.0, 0.0, best.upper)
    assert 6 * best.theta == pytest.approx(6.0, rel=1e-7)
    assert 6 * theta == pytest.approx(5.486, abs=5e-4)
    assert total_time(law, found.flow) == pytest.approx(498.0, rel=1e-7)


def test_largest_scale_with_capacities() -> None:
    """Two roads of times 1 and 3 and capacity 1: 2.5 vehicles fill the first and put half a trip on the second.

    With .5 waiting for each trip: 1 * 1.5 on the first, the other 1 vehicle makes 1 / 3.5 trips.
    """
    roads, trips = Roads(np.zeros(2, int), np.ones(2, int), 2), Trips.of(np.array([[0.0, 1.0], [0.0, 0.0]]))
    time, capacity = np.array([1.0, 3.0]), np.ones(2)

    def scale(vehicles: float, waiting: float) -> float:
        found = throughput.largest_scale_with_capacities(roads, trips, time, capacity, vehicles, waiting)
        assert found.gap < 1e-9
        return found.theta

    assert scale(2.5, 0.0) == pytest.approx(1.5)
    assert scale(2.5, 0.5) == pytest.approx(1 + 1 / 3.5)
    assert scale(100.0, 0.0) == pytest.approx(2.0)
