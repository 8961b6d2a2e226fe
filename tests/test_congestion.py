"""The congestion engine: its kernel against one written out by hand, fluid limits, bounds, published throughputs."""

import dataclasses
import math
import os
import pickle
import re
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import brentq

from mfnet_envs import io
from mfnet_envs.conformance.models import check_env, check_model
from mfnet_envs.engines import assignment
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.engines.link_laws import BPR, MM1
from mfnet_envs.engines.roads import Roads, Trips
from mfnet_envs.evaluate import evaluate
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.policy import Policy, TablePolicy, uniform
from mfnet_envs.scenarios import braess_v0, packet_v0, pigou_v0, routing_v0
from mfnet_envs.simulator import Simulator
from mfnet_envs.views.agents import AgentsEnv
from mfnet_envs.views.teams import TeamsEnv

CASES: dict[str, Any] = {
    "routing": lambda: routing_v0.build(population=300),
    "routing, uneven": lambda: routing_v0.build(60, network=with_centroids(), dt=0.3),
    "braess": lambda: braess_v0.build(population=50),
    "braess, closed": lambda: braess_v0.build(population=50, close_bridge=True),
    "pigou": lambda: pigou_v0.build(population=50, power=2.0),
    "packet": lambda: packet_v0.build(population=200),
    "packet, blocking": lambda: packet_v0.build(population=200, blocking=6.0),
    "packet, point queue": lambda: packet_v0.build(population=200, law="point_queue", vehicles=20.0),
}


@cache
def case(name: str) -> Congestion:
    model: Congestion = CASES[name]()
    return model


def with_centroids() -> NetworkData:
    """Nodes 0 and 1 may not be passed; 2 - 3 - 4 is a two-way ring; trips are uneven, and none leaves or reaches 3."""
    ends = [(0, 2), (2, 0), (1, 4), (4, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 2), (2, 4)]
    tail, head = np.array(ends).T
    demand = np.zeros((5, 5))
    demand[0, 1], demand[1, 0], demand[1, 2], demand[2, 0], demand[4, 1], demand[0, 4] = 3, 1, 1, 0.5, 1, 0.5
    each = np.ones(len(ends))
    return NetworkData(
        name="centroids", nodes=tuple("abcde"), tail=tail, head=head, free_flow_time=1 + 0.1 * np.arange(len(ends)),
        capacity=2 * each, b=0.3 * each, power=3 * each, length=each, demand=demand, first_through=2,
    )  # fmt: skip


@cache
def sioux_falls(population: int = 2000) -> Congestion:
    folder = os.environ.get("MFNET_TNTP")
    if folder is None:
        pytest.skip("MFNET_TNTP is not set")
    return routing_v0.build(
        population, network=Path(folder) / "SiouxFalls" / "SiouxFalls_net.tntp", time_unit=0.01,
        vehicles=75_548.56,
    )  # fmt: skip


def fluid(model: Congestion, policy: Policy, steps: int) -> tuple[np.ndarray, float]:
    """(mu (S,), trips per unit of time) after ``steps`` of the limit N = infinity."""
    simulator, mu, rewards = Simulator(model), model.initial[None], np.zeros(1)
    for t in range(steps):
        pi = policy.teams(mu * model.population, t)  # type: ignore[arg-type]
        mu, rewards = simulator.mean_field_step(mu, pi)
    return mu[0], float(rewards.sum()) * model.full_scale


# -- kernel and reward -------------------------------------------------------------------------------------------------


def bpr_leave(model: Congestion, n: float, link: int) -> float:
    """dt f / n with n = f t0 (1 + b (f / c)^p), by bisection."""
    law = model.law
    if isinstance(law, MM1):
        return model.dt * float(law.capacity[link]) / (1 + n)
    assert isinstance(law, BPR)
    t0, c, b, p = (float(x[link]) for x in (law.free_flow_time, law.capacity, law.b, law.power))
    if n == 0:
        return model.dt / t0
    flow = brentq(lambda f: f * t0 * (1 + b * (f / c) ** p) - n, 0, n / t0 + 1, xtol=1e-300, rtol=1e-14)
    return model.dt * flow / n


# Where vehicles go on whose trip ended at a node: as many begin as end everywhere, but in the uneven network. There
# 1.5, 4, 1, 0, .5 trips end at the nodes and 3.5, 2, .5, 0, 1 begin; 2 - 0 are nearest (1.0), then 1 - 4 (1.2), 2 - 4
# (1.8) and 1 - 0 (4.0).
GOES_ON: dict[str, dict[int, dict[int, float]]] = {
    "routing, uneven": {0: {0: 1.0}, 1: {1: 2 / 4, 4: 0.5 / 4, 0: 1.5 / 4}, 2: {2: 0.5, 0: 0.5}, 4: {4: 1.0}}
}


def one_step_by_hand(
    model: Congestion, demand: np.ndarray, goes_on: dict[int, dict[int, float]], mu: np.ndarray, pi: np.ndarray
) -> tuple[np.ndarray, float]:
    """Shares after one step and trips ended per vehicle, in loops over states; ``pi (S, A)``."""
    roads, destinations = model.roads, model.trips.destinations.tolist()
    links, k = len(roads.tail), len(destinations)
    starts = [v for v in range(roads.num_nodes) if demand[v].sum() > 0]
    load = [model.vehicles * mu[e * k : (e + 1) * k].sum() for e in range(links)]
    following, ended = np.zeros_like(mu), 0.0
    for state in np.flatnonzero(mu):
        place, layer = divmod(int(state), k)
        node = int(roads.head[place]) if place < links else starts[place - links]
        leave = min(1.0, bpr_leave(model, load[place], place)) if place < links else 1.0
        if place < links and node == destinations[layer]:
            ended += mu[state] * leave
            for start, part in goes_on.get(node, {node: 1.0}).items():
                for other, d in enumerate(destinations):
                    share = part * demand[start, d] / demand[start].sum()
                    following[(links + starts.index(start)) * k + other] += mu[state] * leave * share
            following[state] += mu[state] * (1 - leave)
            continue
        ways = [e for e in range(links) if roads.tail[e] == node]
        for action, e in enumerate(ways):
            room = 1.0 if model.blocking is None else max(0.0, 1 - load[e] / model.blocking)
            going = mu[state] * pi[state, action] * leave * room
            following[e * k + layer] += going
            following[state] += mu[state] * pi[state, action] - going
    return following, ended


DEMANDS = {
    "routing": lambda: routing_v0.generated_city().demand,
    "routing, uneven": lambda: with_centroids().demand,
    "braess": lambda: np.diag([6.0, 0, 0]),
    "packet": lambda: packet_v0.generated_backbone().demand,
    "packet, blocking": lambda: packet_v0.generated_backbone().demand,
}


@pytest.mark.parametrize("name", DEMANDS)
@pytest.mark.parametrize("steps", [0, 7])
def test_one_step_as_written_out_by_hand(name: str, steps: int) -> None:
    model = case(name)
    rng = np.random.default_rng(5)
    pi = np.where(model.legal, rng.random(model.legal.shape), 0.0)
    pi /= pi.sum(1, keepdims=True)
    simulator, mu = Simulator(model), model.initial[None]
    if steps == 0:  # any crowd on states that can occur
        mu = rng.dirichlet(np.where(model.transit, 0.0, 0.3) + 1e-300)[None] * ~model.transit
        mu /= mu.sum()
    for _ in range(steps):
        mu, _ = simulator.mean_field_step(mu, pi)
    after, rewards = simulator.mean_field_step(mu, pi)
    expected, ended = one_step_by_hand(model, DEMANDS[name](), GOES_ON.get(name, {}), mu[0], pi)
    np.testing.assert_allclose(after[0], expected, atol=1e-12)
    assert rewards.sum() * model.full_scale == pytest.approx(model.vehicles * ended / model.dt, rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_models_pass_the_users_check(name: str) -> None:
    check_model(case(name))


@pytest.mark.parametrize("name", ["braess", "pigou"])
def test_views_pass_their_checks(name: str) -> None:
    check_env(TeamsEnv(case(name)))
    check_env(AgentsEnv(case(name)))


@pytest.mark.parametrize("name", CASES)
def test_states_that_cannot_be_are_never_entered(name: str) -> None:
    """From the start, whatever legal turns are taken; and every choice leads on to the destination."""
    model = case(name)
    reached, frontier = model.initial > 0, model.initial > 0
    assert not (reached & model.transit).any()
    while frontier.any():
        entered = np.zeros_like(reached)
        for branch in model.branches:
            allowed = np.where(model.legal[frontier][:, :, None], branch.probabilities[frontier] > 0, False)
            targets = np.broadcast_to(branch.successors[frontier], allowed.shape)
            entered[targets[allowed]] = True
        frontier = entered & ~reached
        reached |= entered
        assert not (reached & model.transit).any()


def test_centroids_are_not_passed() -> None:
    """At nodes of the ring nobody bound elsewhere may turn into a centroid."""
    model = case("routing, uneven")
    k = len(model.trips.destinations)
    for state in np.flatnonzero(~model.transit):
        place, layer = divmod(int(state), k)
        destination = model.trips.destinations[layer]
        ahead = model.onward[place]
        for action in np.flatnonzero(model.legal[state] & (ahead >= 0)):
            node = model.roads.head[ahead[action]]
            arrived = model.end[place] == destination and place < len(model.roads.tail)
            assert arrived or node >= 2 or node == destination


def test_sizes() -> None:
    """Braess: five links and s; Pigou: two roads and s; the city: (24 links + 9 nodes) x 9 destinations."""
    assert case("braess").network.num_states == 6
    assert case("braess").num_actions == 2
    assert case("pigou").network.num_states == 3
    assert case("routing").network.num_states == 33 * 9
    model = sioux_falls()
    assert (model.network.num_states, model.num_actions, model.dt) == (76 * 24 + 24 * 24, 5, pytest.approx(0.01))


@pytest.mark.parametrize("name", CASES)
def test_nobody_is_lost(name: str) -> None:
    model = case(name)
    simulator, rng = Simulator(model), np.random.default_rng(1)
    counts = simulator.reset(rng, 3)
    for t in range(50):
        counts = uniform(model).play(simulator, counts, t, rng).next_counts
        assert (counts.sum(1) == model.population).all() and (counts >= 0).all()
        assert not counts[:, model.transit].any()


def test_a_pickled_model_is_the_same() -> None:
    model = case("packet, blocking")
    again = pickle.loads(pickle.dumps(model))
    hood = Simulator(model).mu_hood(Simulator(model).reset(np.random.default_rng(0), 2))
    np.testing.assert_array_equal(again.reward(hood), model.reward(hood))
    np.testing.assert_array_equal(again.branch_weights(hood), model.branch_weights(hood))


# -- the limit of infinitely many agents -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["routing", "braess", "braess, closed", "pigou", "packet"])
def test_optimum_and_equilibrium_are_reached_in_the_limit(name: str) -> None:
    """The fluid under the splits of SO makes the certificate's trips, under those of UE the equilibrium's."""
    model = case(name)
    policies, bound = model.heuristics(), model.bound().value
    assert fluid(model, policies["so"], 700)[1] == pytest.approx(bound, rel=1e-6)
    assert fluid(model, policies["ue"], 700)[1] == pytest.approx(model.equilibrium().throughput, rel=1e-4)


@pytest.mark.parametrize("policy", ["random", "so", "ue"])
def test_trips_are_made_in_the_proportions_of_the_demand(policy: str) -> None:
    """The demand as given, uneven as it is, under any policy: from the fluid's flow out of the starts; SO attains the
    bound."""
    model, demand = case("routing, uneven"), with_centroids().demand
    mu, throughput = fluid(model, model.heuristics()[policy], 1500)
    begun = mu.reshape(-1, model.network.layers)[len(model.roads.tail) :]
    wanted = demand[model.starts][:, model.trips.destinations]
    np.testing.assert_allclose(begun / begun.sum(), wanted / wanted.sum(), atol=1e-9)
    assert model.relocated == pytest.approx(2.5 / 7)
    if policy == "so":
        assert throughput == pytest.approx(model.bound().value, rel=1e-6)


def test_balancing_is_reported() -> None:
    """Balanced demand, as many trips out as in; the share changed is that of the network's own method."""
    city = routing_v0.generated_city()
    data = dataclasses.replace(city, demand=city.demand * np.random.default_rng(8).random((9, 9)))
    model = routing_v0.build(60, network=data, balance=True)
    balanced, change = data.balanced()
    assert model.balancing == change > 0.05
    said = f"balanced: {change:.1%} of the trips moved"
    assert said in model.bound().assumption and any(said in note for note in model.notes)
    assert case("routing").balancing == 0 and "the demand as given" in case("routing").bound().assumption
    made = np.zeros((9, 9))
    made[model.trips.origin, model.trips.destinations[model.trips.target]] = model.trips.volume
    np.testing.assert_allclose(made.sum(0), made.sum(1), atol=1e-8)
    np.testing.assert_allclose(made, balanced.demand, atol=1e-8)


@pytest.mark.parametrize("name", ["routing", "packet"])
@pytest.mark.parametrize("policy", ["so", "shortest_path"])
def test_steady_flows_obey_the_link_law(name: str, policy: str) -> None:
    """Little's law: in the fluid's steady state n_e = f_e t_e(f_e) with the flow f_e counted at the links' ends, and
    the vehicles on links and at starts make up all there are."""
    model = case(name)
    mu, throughput = fluid(model, model.heuristics()[policy], 1500)
    k, links = model.network.layers, len(model.roads.tail)
    after = Simulator(model).mean_field_step(mu[None], model.heuristics()[policy].teams(mu[None], 0))[0][0]
    np.testing.assert_allclose(after, mu, atol=1e-9)  # steady
    n = model.vehicles * mu.reshape(-1, k).sum(1)
    # what enters a link, counted from the others: the flow out of a node onto its links by the policy's shares
    table = model.heuristics()[policy].individual((mu * model.population)[None])[0]
    flow = np.zeros(links)
    for state in np.flatnonzero(mu > 0):
        place, layer = divmod(int(state), k)
        arrived = place < links and model.roads.head[place] == model.trips.destinations[layer]
        leave = bpr_leave(model, n[place], place) if place < links else 1.0
        for action, e in enumerate(model.onward[place]):
            if e >= 0 and not arrived:
                flow[e] += model.vehicles * mu[state] * leave * table[state, action] / model.dt
    law: Any = model.law
    if isinstance(law, BPR):
        time = law.free_flow_time * (1 + law.b * (flow / law.capacity) ** law.power)
    else:
        time = 1 / (law.capacity - flow)
    np.testing.assert_allclose(flow * time, n[:links], rtol=1e-5, atol=1e-7)
    assert n.sum() == pytest.approx(model.vehicles)
    assert n[links:].sum() == pytest.approx(model.dt * throughput, rel=1e-6)


def test_closing_the_bridge_helps_the_selfish() -> None:
    """The paradox, at demand 6: 552 vehicle-minutes with the bridge, 498 without; the optimum does not care."""
    opened, closed = braess_v0.build(), braess_v0.build(close_bridge=True)
    assert opened.vehicles == pytest.approx(498 + 6) == closed.vehicles
    assert opened.bound().value == pytest.approx(6) == closed.bound().value
    assert opened.equilibrium().throughput < 5.5 < closed.equilibrium().throughput
    assert opened.equilibrium().price_of_anarchy == pytest.approx(552 / 498)
    assert closed.equilibrium().price_of_anarchy == pytest.approx(1)
    assert braess_v0.build(demand=4.0).equilibrium().price_of_anarchy == pytest.approx(1.214, abs=5e-4)


def test_braess_with_498_vehicles_and_short_steps() -> None:
    """Where nobody waits long at s: 6 trips per unit of time at best, 5.486 selfish."""
    model = braess_v0.build(vehicles=498.0, dt=1e-3)
    assert model.bound().value == pytest.approx(6.0, abs=1e-3)
    assert model.equilibrium().throughput == pytest.approx(5.486, abs=1e-3)


def test_sioux_falls_in_the_limit() -> None:
    """75,548.56 vehicles are the published total time of SO, 71,942.56 hours, and .01 h of waiting for 360,600 trips an
    hour, so SO carries them all. Published without that step, so only nearly the same here: selfish .987, shortest
    paths .607 (with other choices among equals), random .061."""
    model = sioux_falls()
    policies = model.heuristics()
    steps = {"so": 400, "ue": 400, "shortest_path": 1200, "random": 400}
    reached = {name: fluid(model, policies[name], steps[name])[1] for name in steps}
    assert model.bound().value == pytest.approx(360_600, abs=1)
    assert reached["so"] == pytest.approx(360_600, abs=20)
    assert reached["ue"] / 360_600 == pytest.approx(0.987, abs=5e-4)
    assert reached["shortest_path"] / 360_600 == pytest.approx(0.607, abs=0.008)
    assert reached["random"] / 360_600 == pytest.approx(0.061, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("population", "published"),
    [
        (500, {"so": 0.934, "ue": 0.913, "shortest_path": 0.592, "random": 0.062}),
        (2000, {"so": 0.979, "ue": 0.962, "shortest_path": 0.606, "random": 0.061}),
        (10_000, {"so": 0.998, "ue": 0.985, "shortest_path": 0.606, "random": 0.062}),
    ],
)
def test_sioux_falls_with_finite_populations(population: int, published: dict[str, float]) -> None:
    """The published runs are one of 500 steps, without waiting: noise of that size, and a per cent, are allowed."""
    model = sioux_falls(population)
    for name, value in published.items():
        report = evaluate(model, model.heuristics()[name], worlds=4, seed=0)
        reached, spread = (report[f"reward_per_step_{key}"] * model.full_scale / 360_600 for key in ("mean", "ci95"))
        one_run = spread / 1.96 * math.sqrt(4)
        assert abs(reached - value) < 0.01 + 4 * one_run * math.sqrt(1 + 1 / 4), name


@pytest.mark.parametrize(
    ("name", "links", "capacity", "selfish", "best", "share"),
    [("abilene", 30, 0.29066, 20.442, 19.853, 0.986), ("geant", 72, 0.12282, 25.183, 24.772, 0.990)],
)
def test_backbones(name: str, links: int, capacity: float, selfish: float, best: float, share: float) -> None:
    """Published mean packets in the network, balanced demand of total 1 and uniform capacity."""
    pytest.importorskip("topohub")
    data = io.load(f"topohub:sndlib/{name}").balanced()[0]
    demand = data.demand / data.demand.sum()
    data = dataclasses.replace(data, demand=demand, capacity=np.full(links, capacity))
    law = MM1(data.capacity)
    roads, trips = Roads(data.tail, data.head, data.num_nodes), Trips.of(demand)
    assert assignment.assign(roads, trips, law.marginal()).objective == pytest.approx(best, abs=2e-3)
    ue = assignment.assign(roads, trips, law).flow
    assert (ue / (capacity - ue)).sum() == pytest.approx(selfish, abs=2e-3)
    model = packet_v0.build(network=data, utilisation=None, vehicles=best + 0.02, dt=0.02)
    assert model.equilibrium().share == pytest.approx(share, abs=6e-4)
    assert model.bound().value == pytest.approx(1.0, abs=1e-4)


def known_packet_values() -> list[tuple[str, bool, list[str]]]:
    """The table of the page: name, balance, and the numbers as printed."""
    rows = re.findall(r"^(\w+) +(True|False) +(.*)$", packet_v0.__doc__ or "", re.MULTILINE)
    return [(name, balance == "True", numbers.split()) for name, balance, numbers in rows]


@pytest.mark.parametrize(("name", "balance", "printed"), known_packet_values())
def test_known_values_of_the_page(name: str, balance: bool, printed: list[str]) -> None:
    """Capacity and loads from hop counts by networkx and the shipped choice among ties; M/M/1 queues at those loads
    hold all packets at the share that fewest hops carry."""
    pytest.importorskip("topohub")
    assert len(known_packet_values()) == 4
    model = packet_v0.build(network=f"topohub:sndlib/{name}", balance=balance)
    graph = nx.DiGraph(zip(model.roads.tail.tolist(), model.roads.head.tolist(), strict=True))
    hops, loads = dict(nx.all_pairs_shortest_path_length(graph)), np.zeros(len(model.roads.tail))
    for origin, target, volume in zip(model.trips.origin, model.trips.target, model.trips.volume, strict=True):
        node, end = int(origin), int(model.trips.destinations[target])
        while node != end:
            nearer = [e for e in range(len(loads)) if model.roads.tail[e] == node
                      and hops[int(model.roads.head[e])][end] == hops[node][end] - 1]  # fmt: skip
            loads[nearer[-1]] += volume
            node = int(model.roads.head[nearer[-1]])
    capacity = loads.max() / 0.9

    def spare(theta: float) -> float:
        return float((theta * loads / (capacity - theta * loads)).sum()) + theta * model.dt - model.vehicles

    selfish, fewest_hops = model.equilibrium().share, brentq(spare, 0, 1 / 0.9 - 1e-9)
    found = capacity, model.vehicles - model.dt, selfish, fewest_hops
    assert [
        f"{value:.{len(text) - 2 if text[0] == '0' else 3}f}" for value, text in zip(found, printed, strict=True)
    ] == printed


def test_abilene_by_its_name() -> None:
    pytest.importorskip("topohub")
    model = packet_v0.build(network="topohub:sndlib/abilene")
    assert (model.network.num_states, model.total) == ((30 + 12) * 12, pytest.approx(1.0))
    assert fluid(model, model.heuristics()["so"], 800)[1] == pytest.approx(model.bound().value, rel=1e-5)


# -- bounds at finite populations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_no_heuristic_beats_the_bound(name: str) -> None:
    """Long-run throughput of every heuristic, less six standard errors."""
    model = case(name)
    bound = model.bound()
    assert (bound.criterion, bound.gap < 1e-8) == ("average", True)
    for policy_name, policy in model.heuristics().items():
        report = evaluate(model, policy, worlds=8, seed=0, steps=160, warmup=80)
        reached = model.full_scale * report["reward_per_step_mean"]
        error = model.full_scale * report["reward_per_step_ci95"] / 1.96
        assert 0 < reached < bound.value + 6 * error, policy_name


@pytest.mark.parametrize(("name", "worst"), [("routing", "random"), ("packet", "random")])
def test_heuristics_stand_in_their_order(name: str, worst: str) -> None:
    """Random turns are worst; the optimum's splits reach 85 % of the bound with a few hundred agents."""
    model = case(name)
    reached = {
        key: evaluate(model, policy, worlds=8, seed=0, steps=200, warmup=100)["reward_per_step_mean"]
        for key, policy in model.heuristics().items()
    }
    assert min(reached, key=lambda key: reached[key]) == worst
    assert reached["so"] * model.full_scale > 0.85 * model.bound().value


def test_blocking_never_helps_throughput_of_the_splits() -> None:
    """In the fluid with room for fewer packets than the optimum has on its busiest links, less is delivered."""
    free, blocked = case("packet"), case("packet, blocking")
    assert blocked.bound().value == pytest.approx(free.bound().value)
    assert blocked.kernel_reads == "hood" and free.kernel_reads == "own"
    reached = [fluid(model, model.heuristics()["so"], 500)[1] for model in (free, blocked)]
    assert reached[1] < 0.99 * reached[0]


def test_a_full_link_admits_nobody() -> None:
    model = packet_v0.build(population=10, blocking=2.0, vehicles=10.0)
    k, starts = model.network.layers, len(model.roads.tail)
    mu = np.zeros((1, model.network.num_states))
    link = int(model.onward[starts][0])  # leaves router 0
    busy = link * k + 3  # not at its destination
    mu[0, busy], mu[0, starts * k + 3] = 0.5, 0.5
    pi = np.zeros((len(model.team_states), model.num_actions))
    pi[:, 0] = 1
    after = Simulator(model).mean_field_step(mu, pi)[0]
    assert after[0, starts * k + 3] == pytest.approx(0.5)  # all wait: the link ahead holds 5 > 2
    assert after[0, busy] < 0.5


# -- heuristics --------------------------------------------------------------------------------------------------------


def test_who_looks_ahead_and_who_does_not() -> None:
    """Everything but the 1-hop policies is a table over own states: the paper's class."""
    ahead = {"current_time", "join_shortest_queue", "backpressure"}
    for name in ("routing", "packet"):
        for key, policy in case(name).heuristics().items():
            assert isinstance(policy, TablePolicy) == (key not in ahead)


def probabilities(model: Congestion, policy: Policy, counts: np.ndarray, place: int, destination: int) -> np.ndarray:
    layer = int(np.flatnonzero(model.trips.destinations == destination)[0])
    return policy.individual(counts[None])[0, place * model.network.layers + layer]


def test_current_time_turns_away_from_a_jam() -> None:
    """From the corner 0 of the city to the corner 8, both first links are alike; a jam decides."""
    model = case("routing")
    start, policy = len(model.roads.tail), model.heuristics()["current_time"]
    ways = model.onward[start]
    for jammed, other in ((0, 1), (1, 0)):
        counts = np.zeros(model.network.num_states, int)
        counts[ways[jammed] * model.network.layers] = model.population
        assert probabilities(model, policy, counts, start, 8)[other] == 1


def test_joining_the_shortest_queue() -> None:
    """0 -> 3 in the ring of 8 with a chord 0 - 4: two hops over 4, three along the ring. A queue does not make longer
    ways attractive; 2 -> 0 is two hops by 1 and 0 -> 6 two by 7, so ties are decided where there are any (1 -> 5)."""
    model = case("packet")
    k, starts, policy = model.network.layers, len(model.roads.tail), model.heuristics()["join_shortest_queue"]
    link = {ends: e for e, ends in enumerate(zip(model.roads.tail.tolist(), model.roads.head.tolist(), strict=True))}
    counts = np.zeros(model.network.num_states, int)
    counts[link[0, 4] * k] = 150
    assert probabilities(model, policy, counts, starts, 3)[model.onward[starts].tolist().index(link[0, 4])] == 1
    for jammed, free in (((1, 0), (1, 2)), ((1, 2), (1, 0))):
        counts = np.zeros(model.network.num_states, int)
        counts[link[jammed] * k] = 50
        ways = model.onward[starts + 1].tolist()
        ecmp = probabilities(model, model.heuristics()["ecmp"], counts, starts + 1, 5)
        chosen = probabilities(model, policy, counts, starts + 1, 5)
        if ecmp[ways.index(link[jammed])] == 0.5:
            assert chosen[ways.index(link[free])] == 1


def test_backpressure_follows_its_own_destinations_queues() -> None:
    """A long queue for another destination on the short way changes nothing; one for the own destination does."""
    model = case("packet")
    k, starts, policy = model.network.layers, len(model.roads.tail), model.heuristics()["backpressure"]
    link = {ends: e for e, ends in enumerate(zip(model.roads.tail.tolist(), model.roads.head.tolist(), strict=True))}
    ways = model.onward[starts].tolist()
    counts = np.zeros(model.network.num_states, int)
    counts[link[0, 4] * k + 6] = 190
    assert probabilities(model, policy, counts, starts, 4)[ways.index(link[0, 4])] == 1
    counts = np.zeros(model.network.num_states, int)
    counts[link[0, 4] * k + 4] = 190
    assert probabilities(model, policy, counts, starts, 4)[ways.index(link[0, 4])] == 0


def test_splits_are_the_shares_of_the_flows() -> None:
    """Braess at 6 vehicles more: SO sends half each way at s and never over the bridge; all of UE's shares likewise."""
    model = case("braess")
    so, ue = (model.heuristics()[name].individual(np.zeros((1, 6), int))[0] for name in ("so", "ue"))
    np.testing.assert_allclose(so[5], [0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(so[0], [1, 0], atol=1e-6)
    assert 0.5 < ue[5, 0] and 0.2 < ue[0, 1]


# -- bad input ---------------------------------------------------------------------------------------------------------

BAD: list[tuple[Any, dict[str, Any], str]] = [
    (routing_v0, {"population": 0}, "population must be a positive integer"),
    (routing_v0, {"rows": 1}, "rows must be an integer of at least 2"),
    (routing_v0, {"total_demand": 0.0}, "total_demand must be a positive number"),
    (routing_v0, {"time_unit": -1.0}, "time_unit must be a positive number"),
    (routing_v0, {"dt": 0.0}, "dt must be a positive number"),
    (routing_v0, {"vehicles": math.nan}, "vehicles must be a positive number"),
    (routing_v0, {"gamma": 1.0}, "gamma must lie strictly between 0 and 1"),
    (braess_v0, {"demand": -1.0}, "demand must be a positive number"),
    (pigou_v0, {"demand": math.inf}, "demand must be a positive number"),
    (pigou_v0, {"power": 0.5}, "power must be a number, at least 1"),
    (packet_v0, {"law": "md1"}, "law must be 'mm1' or 'point_queue'"),
    (packet_v0, {"utilisation": 1.0}, "utilisation must lie between 0 and 1"),
    (packet_v0, {"blocking": 0.0}, "blocking must be a positive number"),
    (packet_v0, {"blocking": -2.0}, "blocking must be a positive number"),
]


@pytest.mark.parametrize(("module", "options", "sentence"), BAD)
def test_options_it_refuses(module: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        module.build(**options)


def test_demand_it_refuses() -> None:
    data = with_centroids()
    with pytest.raises(ValueError, match="has no demand"):
        routing_v0.build(network=dataclasses.replace(data, demand=np.zeros((5, 5))))
    with pytest.raises(ValueError, match="demand must be a square table of non-negative numbers"):
        Congestion(
            Roads(data.tail, data.head, 5), BPR(*np.ones((4, 10))), np.full((5, 5), -1.0), 5, vehicles=None, dt=1.0,
            gamma=0.9, evaluation=(2, 1),
        )  # fmt: skip
    with pytest.raises(ValueError, match="network must be a string or a path or a NetworkData or None, not 3"):
        routing_v0.build(network=3)  # type: ignore[arg-type]


def test_queues_that_cannot_carry_the_demand_are_refused() -> None:
    data = dataclasses.replace(packet_v0.generated_backbone(), capacity=np.full(20, 0.05))
    with pytest.raises(ValueError, match="cannot carry the whole demand"):
        packet_v0.build(network=data, utilisation=None)
    assert packet_v0.build(network=data, utilisation=None, vehicles=10.0).bound().value < 1


def test_point_queues_have_no_equilibrium() -> None:
    with pytest.raises(ValueError, match="no equilibrium"):
        case("packet, point queue").equilibrium()


def test_nobody_has_a_choice_on_a_ring() -> None:
    """Links that take one step, and trips from every node to the next: all of a link wait a step at its end, then all
    are on the next link."""
    n, one = 5, np.ones(5)
    at = np.arange(n)
    ring = NetworkData(
        name="ring", nodes=tuple(map(str, at)), tail=at, head=(at + 1) % n, free_flow_time=one, capacity=one,
        b=0 * one, power=one, length=one, demand=np.roll(np.eye(n), 1, 1),
    )  # fmt: skip
    model = routing_v0.build(population=60, network=ring, dt=1.0)
    assert len(model.team_states) == 0
    simulator, rng = Simulator(model), np.random.default_rng(0)
    counts = simulator.reset(rng, 3)

    def places(counts: np.ndarray) -> np.ndarray:
        return counts.reshape(3, 2 * n, -1).sum(2)  # n links, then n starts

    for shape in ((0, 1), (model.network.num_states, 1)):
        before = places(counts)
        played = simulator.play(counts, np.ones(shape), rng)
        assert played.actions.sum() == 3 * 60
        np.testing.assert_array_equal(places(played.next_counts)[:, n:], np.roll(before[:, :n], 1, 1))
        np.testing.assert_array_equal(places(played.next_counts)[:, :n], before[:, n:])
    report = evaluate(model, uniform(model), worlds=2, steps=4, warmup=2)
    assert np.isfinite(list(report.values())).all()
    with pytest.raises(ValueError, match="no state of this model has more than one legal action"):
        TeamsEnv(model)
