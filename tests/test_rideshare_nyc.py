"""Manhattan: the city as counted, trips against walked paths, bounds by a second route, heuristics as published."""

import math
import pickle
from functools import cache
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import poisson

import mfnet_envs
from mfnet_envs.conformance.models import check_model
from mfnet_envs.data import manhattan
from mfnet_envs.engines.trips import average_step, calibrated_trips, exact_trips, loaded_flows, next_hops
from mfnet_envs.evaluate import evaluate
from mfnet_envs.matching import ExpectedMin
from mfnet_envs.network import StateNetwork
from mfnet_envs.programmes import pieces, stationary_lp
from mfnet_envs.scenarios.rideshare_nyc_v0 import RideShareNYC, build
from mfnet_envs.simulator import Simulator


@cache
def city(**options: Any) -> RideShareNYC:
    return build(**options)


@cache
def streets() -> StateNetwork:
    return StateNetwork(manhattan().graph())


def thursday_evening() -> np.ndarray:
    return manhattan().trips_per_hour(3, 18) / 12


def walked(hop: np.ndarray, origin: int, destination: int) -> list[int]:
    """Nodes from origin to destination along the routes under test, ``hop (V, V)``."""
    path = [origin]
    while path[-1] != destination:
        path.append(int(hop[path[-1], destination]))
        assert len(path) <= len(hop)
    return path


# -- the city ----------------------------------------------------------------------------------------------------------


def test_sizes() -> None:
    exact, markov = city(), city(occupied="markov")
    assert (exact.network.num_states, markov.network.num_states) == (61 * 62, 122)
    for model in (exact, markov):
        assert model.num_actions == 11 and len(model.team_states) == 61
        assert model.reward_range == (-0.1, 1.0) and model.gamma == 0.97 and model.evaluation == (400, 200)
    assert exact.transit.sum() == 61 * 61 and not markov.transit.any()


@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_demand_of_thursday_evening(occupied: str) -> None:
    """2,772.9 pick-ups a step need 7,196 busy vehicles, exact or calibrated."""
    model = city(occupied=occupied)
    assert round(model.rate.sum() * model.weight, 1) == 2772.9
    assert round((model.rate * model.trips.duration).sum() * model.weight) == 7196


def test_population_rescales_the_agents_not_the_city() -> None:
    small, large = city(population=100), city(population=16_000, fleet=8000)
    assert (small.weight, large.weight) == (80.0, 0.5)
    np.testing.assert_allclose(small.rate * small.weight, large.rate * large.weight)
    assert small.bound(fluid=True).value == pytest.approx(large.bound(fluid=True).value, abs=1e-6)


def test_weekdays_and_hours() -> None:
    np.testing.assert_array_equal(city(weekday=3).rate, city(weekday="Thursday").rate)
    by_hand = manhattan().trips[0, 4].sum() / 50 / 12 / 10
    assert city(weekday="monday", hour=4).rate.sum() == pytest.approx(by_hand)


def test_actions_are_neighbouring_zones_in_ascending_order() -> None:
    model, graph = city(), manhattan().graph()
    zones = list(graph.nodes)
    drive = model.branches[1].successors[..., 0]
    for v, zone in enumerate(zones):
        state = v * 62
        reached = [zones[s // 62] for s, legal in zip(drive[state], model.legal[state], strict=True) if legal]
        assert reached == [zone, *sorted(graph.adj[zone])]
        assert all(s % 62 == 0 for s in drive[state])


# -- trips -------------------------------------------------------------------------------------------------------------


def test_routes_are_shortest_and_prefer_low_ids() -> None:
    network = streets()
    hops = dict(nx.all_pairs_shortest_path_length(network.graph))
    zone = network.nodes
    step = next_hops(network)
    for v in range(61):
        for d in range(61):
            if v == d:
                assert step[v, d] == d
                continue
            nearer = [w for w in network.graph.adj[zone[v]] if hops[w][zone[d]] == hops[zone[v]][zone[d]] - 1]
            assert zone[step[v, d]] == min(nearer)


def test_a_trip_of_k_hops_takes_max_1_k_steps() -> None:
    """Follow the tables from the pick-up to the arrival, for every pair of zones."""
    network, trips = streets(), city().trips
    hops = dict(nx.all_pairs_shortest_path_length(network.graph))
    drive = trips.drive.successors[:, 0, 0]
    for v in range(61):
        for d, state in enumerate(trips.pick_up.successors[v * 62, 0].tolist()):
            steps = 1
            while state % 62:
                state, steps = int(drive[state]), steps + 1
            assert state == d * 62
            assert steps == max(1, hops[network.nodes[v]][network.nodes[d]])


def test_destinations_follow_the_table() -> None:
    od, trips = thursday_evening(), city().trips
    np.testing.assert_allclose(trips.pick_up.probabilities[::62, 0] * od.sum(1, keepdims=True), od)


def test_loaded_flows_of_a_line_by_hand() -> None:
    """0 - 1 - 2 - 3: four trips from 0 to 3 are seen in 1 and 2; one from 1 to 0 and five inside 2 are never seen."""
    network = StateNetwork.line(4)
    pickups = np.zeros((4, 4))
    pickups[0, 3], pickups[1, 0], pickups[2, 2] = 4, 1, 5
    expected = np.zeros((4, 4))
    expected[1, 3] = expected[2, 3] = 4
    np.testing.assert_array_equal(loaded_flows(pickups, next_hops(network)), expected)


def test_calibrated_trips_of_a_line_by_hand() -> None:
    """From 0, half the trips end in 1 and half go on to 2: at 1 all the loaded continue, so lengths are 1 and 2."""
    pickups = np.zeros((3, 3))
    pickups[0, 1] = pickups[0, 2] = 3
    trips = calibrated_trips(StateNetwork.line(3), pickups)
    np.testing.assert_allclose(trips.destination[0], [0, 0.5, 0.5])
    assert trips.duration[0] == pytest.approx(1.5)


def test_calibrated_flows_are_the_exact_ones_at_full_service() -> None:
    """The two-layer chain, solved as a linear system, carries what the walked paths carry, street by street."""
    hop, od = next_hops(streets()), thursday_evening()
    visits, crossings = np.zeros(61), np.zeros((61, 61))
    for v, d in np.ndindex(61, 61):
        path = walked(hop, v, d)
        visits[path[1:-1]] += od[v, d]
        for a, b in pairwise(path):
            crossings[a, b] += od[v, d]
    first, later = average_step(od, hop), average_step(loaded_flows(od, hop), hop)
    loaded = np.linalg.solve((np.eye(61) - later.going).T, od.sum(1) @ first.going)
    np.testing.assert_allclose(loaded, visits, rtol=0, atol=1e-9)
    flow = od.sum(1)[:, None] * (first.going + first.ending) + loaded[:, None] * (later.going + later.ending)
    between = ~np.eye(61, dtype=bool)
    np.testing.assert_allclose(flow[between], crossings[between], rtol=0, atol=1e-9)
    trips = city(occupied="markov").trips
    np.testing.assert_allclose(od.sum(1) @ trips.destination, od.sum(0), rtol=0, atol=1e-9)


def test_an_origin_without_trips_is_harmless() -> None:
    pickups = np.zeros((3, 3))
    pickups[0, 2] = 1
    for trips in (exact_trips(StateNetwork.line(3), pickups), calibrated_trips(StateNetwork.line(3), pickups)):
        np.testing.assert_allclose(trips.pick_up.probabilities.sum(2), 1)
        np.testing.assert_allclose(trips.drive.probabilities.sum(2), 1)


# -- reward and kernel -------------------------------------------------------------------------------------------------


def expected_service(n: int, rate: float) -> float:
    """E min(n, Poisson(rate)), summed over the law."""
    demand = np.arange(2000)
    return float((np.minimum(n, demand) * poisson.pmf(demand, rate)).sum())


@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_reward_and_weights_by_summation(occupied: str) -> None:
    """(1) in two zones of different demand, and the kernel's weight of a pick-up; loaded vehicles earn nothing."""
    model = city(occupied=occupied, fare=0.8, move_cost=0.3)
    layers, idle, loaded = model.network.layers, {0: 3, 17: 40}, 757
    counts = np.zeros((1, model.network.num_states), np.int64)
    for v, n in idle.items():
        counts[0, v * layers] = n
    counts[0, 30 * layers + 1] = loaded
    hood = Simulator(model).mu_hood(counts)
    reward, weights = model.reward(hood)[0], model.branch_weights(hood)[0]
    row = {int(s): r for r, s in enumerate(model.active)}
    for v, n in idle.items():
        q = expected_service(n, model.rate[v]) / n
        r = row[v * layers]
        np.testing.assert_allclose(reward[r, :2], [0.8 * q, 0.8 * q - 0.3 * (1 - q)], atol=1e-10)
        np.testing.assert_allclose(weights[r, 0], [q, 1 - q], atol=1e-10)
    if occupied == "markov":
        assert reward[row[61]].tolist() == [0.0] * 11 and weights[row[61], 0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_rewards_of_the_branches_average_to_the_reward(occupied: str) -> None:
    model = city(occupied=occupied)
    hood = np.random.default_rng(0).random((4, 61, 11, 2)) / 61
    mean = (model.branch_weights(hood) * model.branch_rewards()).sum(-1)
    np.testing.assert_allclose(mean, model.reward(hood), atol=1e-12)


@pytest.mark.parametrize("matching", ["physical", "independent"])
@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_mean_number_of_served(matching: str, occupied: str) -> None:
    """Fresh trips after one step of 4,000 worlds: phi(n) in the mean for both matchings, within 4 standard errors."""
    model = city(occupied=occupied, matching=matching)
    layers, worlds, zone, n = model.network.layers, 4000, 36, 20
    counts = np.zeros((worlds, model.network.num_states), np.int64)
    counts[:, zone * layers] = n
    counts[:, 24 * layers] = model.population - n
    stay = model.heuristics()["stay"]
    rng = np.random.default_rng(0)
    after, _ = Simulator(model).step(counts, stay.sample(counts, 0, rng), rng)
    assert (after.sum(1) == model.population).all()
    gone = n - after[:, zone * layers]
    inside = expected_service(n, model.rate[zone]) * model.trips.pick_up.probabilities[zone * layers, 0]
    home = inside[model.trips.pick_up.successors[zone * layers, 0] == zone * layers].sum()
    expected = expected_service(n, model.rate[zone]) - home  # nobody arrives: the others are several hops away
    assert abs(gone.mean() - expected) < 4 * gone.std() / math.sqrt(worlds)


def test_served_are_poisson_under_physical_and_binomial_under_independent_matching() -> None:
    """200 drivers, few riders: the variance of those who stay behind is lambda against n q (1 - q)."""
    zone, n, worlds = 36, 200, 4000
    spread = {}
    for matching in ("physical", "independent"):
        model = city(matching=matching)
        counts = np.zeros((worlds, model.network.num_states), np.int64)
        counts[:, zone * 62], counts[:, 0] = n, model.population - n
        rng = np.random.default_rng(1)
        after, _ = Simulator(model).step(counts, model.heuristics()["stay"].sample(counts, 0, rng), rng)
        spread[matching] = after[:, zone * 62].var()
    rate = city().rate[zone] * (1 - city().trips.destination[zone, zone])
    q = rate / n
    for matching, variance in {"physical": rate, "independent": n * q * (1 - q)}.items():
        assert spread[matching] == pytest.approx(variance, rel=4 * math.sqrt(2 / worlds))


def test_team_rewards_sum_to_the_mean_of_agent_rewards() -> None:
    """The same crowd, counted and one by one."""
    model = city(population=60, fleet=600)
    simulator, rng = Simulator(model), np.random.default_rng(3)
    states = rng.choice(model.network.num_states, size=(5, 60))
    states[:, :40] = rng.choice(np.arange(61) * 62, size=(5, 40))
    actions = rng.integers(0, 11, size=states.shape)
    counts, action_counts = np.zeros((5, 3782), np.int64), np.zeros((5, 3782, 11), np.int64)
    world = np.arange(5)[:, None]
    np.add.at(counts, (world, states), 1)
    np.add.at(action_counts, (world, states, actions), 1)
    _, rewards = simulator.step_agents(states, actions, np.random.default_rng(4))
    _, team_rewards = simulator.step(counts, action_counts, np.random.default_rng(4))
    np.testing.assert_allclose(team_rewards.sum(1), rewards.mean(1), atol=1e-12)
    assert (team_rewards.reshape(5, 61, 62)[:, :, 1:] == 0).all()


# -- bounds ------------------------------------------------------------------------------------------------------------

PUBLISHED_BOUNDS = [  # fleet, population, fluid, finite
    (6000, 600, 2260.0, 2130.2),
    (8000, 800, 2698.8, 2556.9),
    (10_000, 1000, 2698.8, 2688.7),
]


@pytest.mark.parametrize(("fleet", "population", "fluid", "finite"), PUBLISHED_BOUNDS)
def test_published_bounds(fleet: int, population: int, fluid: float, finite: float) -> None:
    model = city(fleet=fleet, population=population)
    assert model.bound(fluid=True).value == pytest.approx(fluid, abs=0.051)
    assert model.bound().value == pytest.approx(finite, abs=0.051)


def test_published_bounds_of_the_calibrated_form() -> None:
    assert city(occupied="markov").bound().value == pytest.approx(2552.4, abs=0.051)
    assert city(occupied="markov").bound(fluid=True).value == pytest.approx(2698.8, abs=0.051)


def test_published_bounds_at_8000_agents_are_not_exceeded() -> None:
    """2686.8 and 2686.1 are printed for 8,000 agents; a tangent at every integer cuts up to a sixth of a unit off."""
    for occupied, printed in {"destination": 2686.8, "markov": 2686.1}.items():
        value = city(population=8000, occupied=occupied).bound().value
        assert printed - 0.2 < value < printed + 0.05


def by_cutting_planes(model: RideShareNYC) -> float:
    """The same programme written again, phi from scipy.stats, tangents added where the last optimum breaks them."""
    v, rate, neighbors = 61, model.rate, model.network.neighbors
    arcs = [(a, int(b)) for a in range(v) for b in neighbors[a] if b >= 0]
    tail, head = np.array(arcs).T
    columns = 2 * v + len(arcs)  # served m, idle n, sent u
    out, into = np.zeros((v, columns)), np.zeros((v, columns))
    out[np.arange(v), v + np.arange(v)] = into[np.arange(v), v + np.arange(v)] = 1
    out[:, :v], into[:, :v] = -np.eye(v), -model.trips.destination.T
    out[tail, 2 * v + np.arange(len(arcs))] = into[head, 2 * v + np.arange(len(arcs))] = -1
    somewhere = np.concatenate([model.trips.duration - 1, np.ones(v), np.zeros(len(arcs))])
    gain = np.concatenate([np.full(v, model.fare), np.zeros(v), -model.move_cost * (tail != head)])
    phi = [np.concatenate([[0], np.cumsum(poisson.sf(np.arange(2000), r))]) for r in rate]
    cuts, limits = [np.zeros(columns)], [0.0]
    for _ in range(100):
        found = linprog(
            -gain,
            A_ub=np.array(cuts),
            b_ub=limits,
            A_eq=np.vstack([out, into, somewhere]),
            b_eq=np.append(np.zeros(2 * v), model.population),
            bounds=[(0, None)] * columns,
        )
        served, idle = found.x[:v], found.x[v : 2 * v]
        below = np.floor(idle).astype(int)
        slope = poisson.sf(below, rate)
        height = np.array([phi[a][k] for a, k in enumerate(below)])
        broken = np.flatnonzero(served > height + slope * (idle - below) + 1e-9)
        if not len(broken):
            return float(-found.fun * model.weight)
        for a in broken:
            row = np.zeros(columns)
            row[a], row[v + a] = 1, -slope[a]
            cuts.append(row)
            limits.append(height[a] - slope[a] * below[a])
    raise AssertionError("cutting planes did not settle")


@pytest.mark.parametrize("options", [{}, {"occupied": "markov", "population": 200}, {"hour": 8, "weekday": "monday"}])
def test_bound_by_cutting_planes(options: dict[str, Any]) -> None:
    model = build(**options)
    assert model.bound().value == pytest.approx(by_cutting_planes(model), abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"population": 8000, "hour": 8}, {"population": 80, "hour": 3}])
def test_refined_tangents_find_the_bound_with_all_of_them(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = city(**options).bound()
    monkeypatch.setattr(pieces, "EVERY", 0)
    found = city(**options).bound()
    assert exact.value * (1 - 1e-8) <= found.value <= exact.value * (1 + 1e-5)
    assert found.value * (1 - found.gap) <= exact.value * (1 + 1e-8)
    assert found.gap <= 1e-5


def test_bounds_of_as_many_agents_as_you_like() -> None:
    million, billion = (city(population=population).bound() for population in (10**6, 10**9))
    fluid = city().bound(fluid=True).value
    assert city(population=8000).bound().value < million.value <= billion.value * (1 + 1e-5)
    assert billion.value == pytest.approx(fluid, rel=1e-5)
    assert max(million.gap, billion.gap) <= 1e-5


def test_bound_of_two_equal_zones() -> None:
    """Trips of one step that end where they began: by symmetry and concavity the best is half the agents in each."""
    agents, rate = 8, 2.5
    fleet = stationary_lp.Fleet(
        population=agents,
        rate=np.full(2, rate),
        destination=np.eye(2),
        duration=np.ones(2),
        neighbors=np.array([[0, 1], [1, 0]]),
        fare=np.full(2, 1.5),
        cost=np.array([[0.0, 0.1], [0.0, 0.1]]),
    )
    value = stationary_lp.solve(fleet, ExpectedMin(fleet.rate)).value
    assert value == pytest.approx(1.5 * 2 * expected_service(agents // 2, rate), abs=1e-8)
    assert stationary_lp.solve(fleet, None).value == pytest.approx(1.5 * 2 * rate)


def test_bound_pays_for_empty_returns() -> None:
    """All trips go from 0 to 1 and last 3 steps: each pick-up costs one empty move back, and a cycle takes 4 steps."""
    fleet = stationary_lp.Fleet(
        population=8,
        rate=np.array([5.0, 0.0]),
        destination=np.array([[0.0, 1.0], [0.0, 1.0]]),
        duration=np.array([3.0, 1.0]),
        neighbors=np.array([[0, 1], [1, 0]]),
        fare=np.ones(2),
        cost=np.array([[0.0, 0.1], [0.0, 0.1]]),
    )
    flows = stationary_lp.solve(fleet, None)
    assert flows.value == pytest.approx(2 * 0.9)
    np.testing.assert_allclose(flows.policy()[1], [0, 1])


def test_bound_holds_for_both_matchings_and_grows_with_what_it_should() -> None:
    assert city(matching="independent").bound().value == city().bound().value
    assert city().bound().value < city(population=8000).bound().value < city().bound(fluid=True).value
    assert build(move_cost=0.2).bound().value < city().bound().value < build(fare=1.1).bound().value


def test_certificate_says_what_it_is() -> None:
    certificate = city().bound()
    assert (certificate.criterion, certificate.kind, certificate.horizon) == ("average", "lp", None)
    assert "full scale" in certificate.unit and "centralised" in certificate.assumption


# -- heuristics --------------------------------------------------------------------------------------------------------

# Published (steps 200..400 of 256 worlds): reward per step at full scale, its standard error, discounted return.
PUBLISHED = {
    "destination": {
        "stay": (1380.1, 2.7, 7.449),
        "random": (2036.6, 1.2, 8.400),
        "greedy": (1813.6, 2.2, 7.839),
        "proportional": (2228.7, 0.6, 9.091),
        "lp": (2299.7, 0.9, 9.453),
        "threshold_lp": (2336.0, 0.8, 9.565),
        "hybrid_lp": (2352.4, 1.3, 9.617),
    },
    "markov": {
        "stay": (968.8, 2.7, 6.895),
        "random": (1908.5, 1.2, 8.018),
        "greedy": (1745.4, 2.2, 7.710),
        "proportional": (2181.3, 0.6, 8.892),
        "lp": (2253.8, 1.9, 9.217),
        "threshold_lp": (2329.1, 0.8, 9.324),
    },
}
PUBLISHED_WORLDS = 256
# Equally short empty ways leave the programme's flows open: five optima (other orders of rows, interior point, least
# squares) differed by up to 5 in reward and .05 in return. Another version of the solver may stop at another one.
ROUTES = (5.0, 0.05)


def misses(occupied: str, names: set[str], worlds: int) -> dict[str, str]:
    """Heuristics whose two criteria lie further than 4 combined standard errors from the published value.

    The standard error of the published return is not printed; it is taken as ours at 256 worlds.
    """
    model = city(occupied=occupied)
    policies, wrong = model.heuristics(), {}
    for name in sorted(names):
        reward, error, discounted = PUBLISHED[occupied][name]
        result = evaluate(model, policies[name], worlds=worlds, seed=0)
        ours = result["reward_per_step_mean"] * model.full_scale
        se = result["reward_per_step_ci95"] * model.full_scale / 2
        se_discounted = result["discounted_return_ci95"] / 2 * math.sqrt(1 + worlds / PUBLISHED_WORLDS)
        slack = ROUTES if "lp" in name else (0.0, 0.0)
        near = abs(ours - reward) < 4 * math.hypot(se, error) + 0.05 + slack[0]
        near &= abs(result["discounted_return_mean"] - discounted) < 4 * se_discounted + 0.0005 + slack[1]
        if not near:
            wrong[name] = f"{ours:.1f} for {reward}, {result['discounted_return_mean']:.3f} for {discounted}"
    return wrong


def test_heuristics_come_out_as_published() -> None:
    assert misses("destination", set(PUBLISHED["destination"]), worlds=16) == {}


def test_calibrated_heuristics_come_out_as_published() -> None:
    assert misses("markov", {"random", "proportional", "threshold_lp"}, worlds=16) == {}


@pytest.mark.slow
@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_the_whole_published_table(occupied: str) -> None:
    assert misses(occupied, set(PUBLISHED[occupied]), worlds=PUBLISHED_WORLDS) == {}


SINGLE_RUNS = [  # fleet, population, then one run each of stay, random, proportional, lp over steps 200..600
    (6000, 600, (1232, 1794, 1918, 1932)),
    (10_000, 1000, (1357, 2109, 2343, 2460)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fleet", "population", "published"), SINGLE_RUNS)
def test_other_fleets_come_out_as_published(fleet: int, population: int, published: tuple[int, ...]) -> None:
    """One published run is as far from the mean as one of our worlds: 4 standard deviations between worlds."""
    model, worlds = city(fleet=fleet, population=population), 16
    for name, value in zip(("stay", "random", "proportional", "lp"), published, strict=True):
        result = evaluate(model, model.heuristics()[name], worlds=worlds, steps=600, warmup=200, seed=0)
        deviation = result["reward_per_step_ci95"] / 2 * math.sqrt(worlds) * model.full_scale
        assert abs(result["reward_per_step_mean"] * model.full_scale - value) < 4 * deviation, name


@pytest.mark.parametrize("matching", ["physical", "independent"])
def test_no_heuristic_exceeds_the_bound(matching: str) -> None:
    """hybrid_lp is the best known heuristic; the bound holds for the long run, the window is 100 steps of 16 worlds."""
    model = city(matching=matching)
    result = evaluate(model, model.heuristics()["hybrid_lp"], worlds=16, steps=300, seed=0)
    low = result["reward_per_step_mean"] - 2 * result["reward_per_step_ci95"]
    assert low * model.full_scale < model.bound().value


def test_heuristics_are_probabilities_on_legal_actions() -> None:
    model, rng = city(), np.random.default_rng(0)
    counts = Simulator(model).reset(rng, 3)
    for policy in model.heuristics().values():
        pi = policy.teams(counts, 0)
        assert pi.shape == (3, 61, 11)
        np.testing.assert_allclose(pi.sum(2), 1)
        assert (pi[:, ~model.legal[model.team_states]] == 0).all()


def test_proportional_and_greedy_by_hand() -> None:
    """Zone 4 (Alphabet City): odds are the pick-ups of the zone and its neighbours."""
    model, od = city(), thursday_evening()
    zones, graph = list(manhattan().graph().nodes), manhattan().graph()
    near = [4, *sorted(graph.adj[4])]
    odds = np.array([od[zones.index(z)].sum() for z in near])
    counts = np.zeros((1, 3782), np.int64)
    heuristics = model.heuristics()
    np.testing.assert_allclose(heuristics["proportional"].teams(counts, 0)[0, 0, : len(near)], odds / odds.sum())
    assert heuristics["greedy"].teams(counts, 0)[0, 0].argmax() == odds.argmax()


def test_threshold_keeps_the_crowd_a_zone_can_feed() -> None:
    model = city()
    counts = np.zeros((1, 3782), np.int64)
    counts[0, 36 * 62] = round(1.4 * model.rate[36])
    pi = model.heuristics()["threshold_lp"].teams(counts, 0)[0, 36]
    lp = model.heuristics()["lp"].teams(counts, 0)[0, 36]
    leave = 1 - 0.7 * model.rate[36] / counts[0, 36 * 62]
    np.testing.assert_allclose(pi[1:], leave * lp[1:])


# -- the limit of infinitely many agents -------------------------------------------------------------------------------


def test_fluid_serves_the_smaller_of_drivers_and_riders() -> None:
    """Half the demand in one zone, twice in another: the shares served are 1 and 1/2."""
    model = city()
    fluid = model.fluid()
    counts = np.zeros((1, 3782))
    counts[0, 0], counts[0, 36 * 62] = model.rate[0] / 2, model.rate[36] * 2
    reward = fluid.reward(Simulator(model).mu_hood(counts))[0]
    np.testing.assert_allclose(reward[[0, 36], 0], [1.0, 0.5])
    assert fluid.fluid() is not model and model.quota is not None


@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_mean_field_climbs_to_the_fluid_bound(occupied: str) -> None:
    """The deterministic limit under the fluid programme's own flows tends to its value, slowly and from below."""
    model = city(occupied=occupied)
    simulator, flows = Simulator(model), model._flows(True)
    mu, rewards = model.initial[None], np.zeros(1)
    for _ in range(3000):
        mu, rewards = simulator.mean_field_step(mu, flows.policy())
    assert mu.sum() == pytest.approx(1, abs=1e-9)
    assert 0.995 < rewards.sum() * model.full_scale / model.bound(fluid=True).value < 1 + 1e-9


# -- as users meet it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"occupied": "markov"}, {"matching": "independent", "population": 40}])
def test_model_passes_the_users_check(options: dict[str, Any]) -> None:
    check_model(build(**options))


def test_by_id_and_through_pickle() -> None:
    model = mfnet_envs.make_model("MFNet-RideShareNYC-v0", population=80, hour=9)
    assert isinstance(model, RideShareNYC) and model.weight == 100
    again = pickle.loads(pickle.dumps(model))
    assert again.bound() == model.bound()


# -- bad input ---------------------------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str]] = [
    ({"population": 0}, "population must be a positive integer"),
    ({"population": 10.5}, "population must be a positive integer"),
    ({"fleet": -1}, "fleet must be a positive number"),
    ({"fleet": math.nan}, "fleet must be a positive number"),
    ({"fare": 0}, "fare must be a positive number"),
    ({"move_cost": -0.1}, "move_cost must be a non-negative number"),
    ({"hour": 24}, "hour must be an integer 0 .. 23"),
    ({"hour": 18.5}, "hour must be an integer 0 .. 23"),
    ({"weekday": "thursdy"}, "did you mean 'thursday'"),
    ({"weekday": "sunday"}, "'monday' .. 'friday'"),
    ({"weekday": 5}, "0 .. 4"),
    ({"occupied": "markow"}, "did you mean 'markov'"),
    ({"matching": "random"}, "'physical' or 'independent'"),
    ({"gamma": 1.0}, "gamma must lie strictly between 0 and 1"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_input_is_said_in_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)
