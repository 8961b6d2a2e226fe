"""Capacity by the clock: closed forms on two roads, every policy of small games, random networks, and the law."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats
from test_day import best_of_all, network, pigou, trips_of_a_day

from mfnet_envs.conformance.models import check_model
from mfnet_envs.engines import failures
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.engines.link_laws import BPR, MM1
from mfnet_envs.heuristics import ByTheClock
from mfnet_envs.policy import Policy, one_hot
from mfnet_envs.scenarios import packet_v0, routing_v0
from mfnet_envs.simulator import Simulator

LONG = 400.0


def two_roads(share: float, profile: Any = None, lasting: float = LONG) -> Congestion:
    """Pigou's second road keeps ``share`` of its capacity for a quarter of the day."""
    failed = [("s to a", lasting / 4, lasting / 2, share)]
    return routing_v0.build(200, network=pigou(), dt=0.25, failures=failed, profile=profile, profile_time=lasting)


# -- the bound


@pytest.mark.parametrize(("share", "theta"), [(0.0, 1.0625 / 1.25), (0.5, (1.0625 + 0.09375) / 1.25), (1.0, 1.0)])
def test_two_roads_have_a_closed_form(share: float, theta: float) -> None:
    """13/16 + dt vehicles. With share s the best has x on the second road where 1/4 + 2 (3/4 / s) x = 1; all others
    take 1: theta - x + x (1/4 + 3/4 x / s) + dt theta = 13/16 + dt. Closed, theta (1 + dt) is that."""
    assert two_roads(share).bound().value == pytest.approx((3 + theta) / 4, rel=1e-7)
    limited = two_roads(share, profile=[1.5, 0.4, 0.3, 0.9]).bound().value  # the second quarter is the one that fails
    assert limited == pytest.approx((1 + min(theta, 0.4) + 0.3 + 0.9) / 4, rel=0.02)
    busy = two_roads(share, profile=[0.4, 1.5, 0.3, 0.9]).bound().value
    assert busy == pytest.approx((0.4 + theta + 0.3 + 0.9) / 4, rel=0.02)


def test_who_leaves_the_road_in_time_attains_it() -> None:
    """Nobody takes the second road shortly before it closes, so nobody is caught on it; else half of all stand."""
    model = two_roads(0.0)
    so = model.heuristics()["so"]
    assert isinstance(so, ByTheClock)
    first, last = round(LONG / 4 / 0.25), round(LONG / 2 / 0.25)
    only = one_hot(model, np.where(model.onward[model.team_states // model.network.layers][:, 0] == 0, 0, 1))
    early: list[Policy] = [only if first - 12 <= t < last else so.policies[t] for t in range(model.period or 0)]
    bound = model.bound().value
    assert 0.995 * bound < trips_of_a_day(model, ByTheClock(model, early)) <= bound * (1 + 1e-9)
    assert trips_of_a_day(model, so) < 0.95 * bound


@pytest.mark.parametrize(
    ("agents", "profile", "steps", "kept"),
    [
        (2, (1.0,), 8, (1.0, 0.0)), (3, (0.5, 1.5), 12, (0.3, 1.0)), (3, (2.0, 0.0), 12, (0.0, 1.0)),
        (3, (1e5,), 12, (1.0, 0.2, 0.0)),
    ],
)  # fmt: skip
def test_no_policy_of_a_small_game_beats_the_bound(
    agents: int, profile: tuple[float, ...], steps: int, kept: tuple[float, ...]
) -> None:
    best, model = best_of_all(agents, profile, steps, kept)
    assert 0.5 * model.bound().value < best <= model.bound().value * (1 + 1e-9)
    plain, _ = best_of_all(agents, profile, steps)
    assert best < plain


@pytest.mark.parametrize("seed", range(4))
def test_random_networks(seed: int) -> None:
    """No rule carries more, in the limit of many vehicles and in the long run; less capacity never bounds higher."""
    rng = np.random.default_rng(seed)
    nodes = "abcde"
    pairs = [f"{a}{b}" for a, b in product(nodes, nodes) if a != b]
    ring = [f"{a}{b}" for a, b in zip(nodes, nodes[1:] + nodes[0], strict=True)]
    links = {name: (rng.uniform(0.3, 1.0), rng.uniform(0.1, 1.0)) for name in sorted({*ring, *rng.choice(pairs, 6)})}
    demand = {name: rng.uniform(0.1, 1.0) for name in rng.choice(pairs, 6, replace=False)}
    failed = [
        (f"{name[0]} to {name[1]}", *rng.uniform(0, 30, 2).tolist(), float(rng.choice([0.0, 0.2, 0.6])))
        for name in rng.choice(sorted(links), 3, replace=False)
    ]
    data, profile = network(nodes, links, demand), rng.uniform(0.3, 1.7, 3).tolist()
    builds: list[tuple[Any, int]] = [(routing_v0.build, 5), (packet_v0.build, 20)]  # queues forget later
    for build, before in builds:
        options: dict[str, Any] = {"network": data, "profile": profile if seed % 2 else None, "profile_time": 30.0}
        model, intact = build(300, failures=failed, **options), build(300, **options)
        bound = model.bound().value
        assert bound <= intact.bound().value * (1 + 1e-8)
        rules = model.heuristics()
        for name in ("random", "so"):
            assert trips_of_a_day(model, rules[name], before) <= bound * (1 + 1e-3), name


@pytest.mark.parametrize("make", [routing_v0.build, packet_v0.build])
def test_without_failures_it_is_the_bound_of_the_day(make: Any) -> None:
    """By this programme, which knows starts and destinations apart and so bounds no higher, too."""
    for turn in (8.0, 60.0):
        model = make(profile=[0.2, 1.8, 1.1], profile_time=turn)
        plain = model.bound().value
        model.day = replace(model.day, shares=np.ones((3, len(model.roads.tail))))
        assert model.bound().value == pytest.approx(plain, rel=1e-9)


def test_point_queues_have_the_mean_capacity() -> None:
    """One link is the only way, and carries half of its time half of what it could."""
    data = network("ab", {"ab": (1.0, 0.0)}, {"ab": 1.0})
    options: dict[str, Any] = {"network": data, "law": "point_queue", "capacity": 0.5, "vehicles": 40.0}
    model = packet_v0.build(failures=[("a to b", 0, 12, 0.5)], **options)
    assert packet_v0.build(**options).bound().value == pytest.approx(0.5, rel=1e-9)
    assert model.bound().value == pytest.approx(0.375, rel=1e-2)
    assert trips_of_a_day(model, model.heuristics()["so"]) == pytest.approx(0.375, rel=1e-2)


def test_conjugates_are_the_largest_differences() -> None:
    rng, links = np.random.default_rng(0), 6
    t0, c, b, q = rng.uniform(0.2, 2, (4, links))
    b[0], q[1], shares = 0.0, 0.0, rng.uniform(0.2, 1, links)
    shares[5] = 0
    flow = np.linspace(0, 40, 400_001)[:, None]
    bpr, price = BPR(t0, c, b, q), rng.uniform(2.0, 3.0, links) * t0
    price[:2] = t0[0], t0[1] * (1 + b[1])
    vehicles = flow * t0 * (1 + b * (flow / (np.maximum(shares, 1e-9) * c)) ** q)
    np.testing.assert_allclose(
        failures.conjugate(bpr, shares, price)[:5], (price * flow - vehicles).max(0)[:5], rtol=1e-6, atol=1e-12
    )
    dear = failures.conjugate(bpr, shares, 2 * price)
    assert np.isinf(dear[:2]).all() and dear[5] == 0
    queue, price = MM1(c), rng.uniform(0.2, 9.0, links)
    inside = np.where(flow < shares * c, flow / np.maximum(shares * c - flow, 1e-12), np.inf)
    expected = np.where(shares > 0, (price * flow - inside).max(0), 0)
    np.testing.assert_allclose(failures.conjugate(queue, shares, price), expected, atol=1e-4)


# -- the law


@pytest.mark.xdist_group("compiled")  # as in test_backends.py
@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_those_who_leave_are_binomial_with_the_capacity_in_force(backend: str, share: float) -> None:
    """Seven on an M/M/1 link of capacity c: each leaves with probability dt share c / (1 + n)."""
    if backend == "compiled":
        pytest.importorskip("numba")
    data = network("ab", {"ab": (1.0, 0.0), "ba": (1.0, 0.0)}, {"ab": 1.0, "ba": 1.0})
    model = packet_v0.build(7, network=data, vehicles=7.0, failures=[("a to b", 0, 12, share), ("b to a", 3, 4, 0.5)])
    simulator, worlds = Simulator(model, backend), 20_000
    assert model.at(0) is not model.at((model.period or 0) - 1)
    place = next(v for v, name in model.network.graph.nodes(data="name") if name == "a to b")
    counts = np.zeros((worlds, model.network.num_states), np.int64)
    state = place * model.network.layers + list(model.trips.destinations).index(1)
    counts[:, state] = 7
    rule = model.heuristics()["random"]
    for t, kept in ((0, share), ((model.period or 0) - 1, 1.0)):
        stepped = simulator.at(t).play(counts, rule.teams(counts, t), simulator.generator(0))
        left = 7 - np.asarray(stepped.next_counts)[:, state]
        expected = worlds * stats.binom.pmf(np.arange(8), 7, model.dt * kept * model.law.capacity[0] / 8)
        often = expected > 5
        found = np.bincount(left, minlength=8)
        assert found[expected == 0].sum() == 0
        if often.sum() > 1:
            seen, wanted = (
                np.append(found[often], found[~often].sum()),
                np.append(expected[often], expected[~often].sum()),
            )
            assert stats.chisquare(seen[wanted > 0], wanted[wanted > 0]).pvalue > 1e-5
        assert (np.asarray(stepped.next_counts).sum(1) == 7).all()


def test_phases_are_cut_where_capacities_change() -> None:
    """Over the end of a turn, too, and the least share counts of two at once."""
    failed = [["s to a", 18, 6, 0.5], [("s", "t"), 5, 12, 0.0], ["s to a", 17, 20, 0.25]]
    model = routing_v0.build(20, network=pigou(), dt=0.25, failures=failed[:1] + failed[2:], profile=[1, 2])
    check_model(model)
    assert model.day is not None and model.day.shares is not None
    assert (model.day.steps * 0.25).tolist() == [6, 6, 5, 1, 2, 4] and model.day.multiple.tolist() == [1, 1, 2, 2, 2, 2]
    second = int(np.flatnonzero(model.law.b > 0)[0])
    assert model.day.shares[:, second].tolist() == [0.5, 1, 1, 0.25, 0.25, 0.5] or second != 1
    closed = routing_v0.build(20, network=pigou(), dt=0.25, failures=failed[1:2])
    waits = closed.at(24).branch_weights(
        np.full((1, closed.network.num_nodes, closed.network.neighbors.shape[1], 1), 0.1)
    )
    assert waits[0, 0, 0].tolist() == [0, 0, 1]  # who is on the closed road stays
    assert np.isinf(closed.at(24).delays(np.ones((1, closed.network.num_states)))[0, 0])
    assert any("s to t lets nobody through" in note for note in closed.notes)


def test_rules_that_look_ahead_see_the_capacity_in_force() -> None:
    failed = [("s to a", 12, 24, 0.0)]
    model = routing_v0.build(20, network=pigou(), dt=0.25, failures=failed)
    rule, counts = model.heuristics()["current_time"], np.zeros((1, model.network.num_states), np.int64)
    chosen = [
        model.onward[model.team_states[0] // model.network.layers][rule.teams(counts, t)[0, 0].argmax()]
        for t in (0, 60)
    ]
    assert [int(model.roads.head[link]) for link in chosen] == [1, 2]  # over a, then straight on


@pytest.mark.parametrize(
    ("failed", "sentence"),
    [
        ([("s to b", 1, 2, 0.5)], "failures: by hand has no link 's to b'; did you mean"),
        ([("a to t", 1, 2, 0.5)], "failures: the link 'a to t' takes no time and is no place"),
        ([("s to a", 1, 25, 0.5)], "both must lie between 0 and profile_time=24"),
        ([("s to a", 1, 1.01, 0.5)], "less than half a step of dt=0.25"),
        ([("s to a", 1, 2, 1.5)], "the share of its capacity that 's to a' keeps"),
        ([("s to a", 0, 24, 0)], "failures leave a link closed all day: say close= instead"),
        ([("s to t", 1, 2, 0.5)], "the time on 's to t' does not depend on its capacity"),
        ([("s to a", 1, 2)], "is none"),
        ([], "failures must be a list of (link, from, until, share)"),
        (0.3, "failures must be a list of (link, from, until, share)"),
    ],
)
def test_what_is_refused(failed: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError)) as refusal:
        routing_v0.build(network=pigou(), dt=0.25, failures=failed)
    assert sentence in str(refusal.value)


def test_a_bridge_that_closes_and_nothing_else_leads_across() -> None:
    """For half of a long day nobody crosses: half of the demand at most is carried, and about as much."""
    data = network("ab", {"ab": (1.0, 0.2), "ba": (1.0, 0.2)}, {"ab": 1.0, "ba": 1.0})
    model = routing_v0.build(300, network=data, failures=[("a to b", 0, 300, 0.0)], profile_time=600.0)
    reached, bound = trips_of_a_day(model, model.heuristics()["so"]), model.bound().value
    assert 0.98 < reached <= bound * (1 + 1e-9) < 1.03  # of 2.0
