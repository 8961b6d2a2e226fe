"""Tolls and demand by the clock: closed forms, every policy of small games, and the limit of many vehicles."""

import dataclasses
import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from mfnet_envs.compositions import compositions
from mfnet_envs.conformance.models import check_model
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.scenarios import packet_v0, routing_v0
from mfnet_envs.simulator import Simulator


def network(nodes: str, links: dict[str, tuple[float, float]], demand: dict[str, float]) -> NetworkData:
    """Links "ab" that take ``(fixed, per vehicle)``, and trips "ab"."""
    ends = np.array([[nodes.index(end) for end in link] for link in links])
    fixed, slope = np.array([*links.values()]).T
    trips = np.zeros((len(nodes), len(nodes)))
    for (a, b), volume in demand.items():
        trips[nodes.index(a), nodes.index(b)] = volume
    each = np.ones(len(links))
    b = np.divide(slope, fixed, out=np.zeros(len(fixed)), where=fixed > 0)
    return NetworkData(
        name="by hand", nodes=tuple(nodes), tail=ends[:, 0], head=ends[:, 1], free_flow_time=fixed, capacity=each,
        b=b, power=each, length=each, demand=trips,
    )  # fmt: skip


def pigou() -> NetworkData:
    """A road that takes 1, and one over a that takes 1/4 + 3/4 x: selfish drivers all take the second, for a time of 1;
    the best is half of them, for 13/16."""
    return network("sat", {"st": (1, 0), "sa": (0.25, 0.75), "at": (0, 0)}, {"st": 1.0})


def braess() -> NetworkData:
    """Braess's network in hundredths, with .1 of them for the links that take no time when empty."""
    links = {"sa": (0.001, 0.1), "sb": (0.5, 0.01), "at": (0.5, 0.01), "bt": (0.001, 0.1), "ab": (0.1, 0.01)}
    return network("sabt", links, {"st": 6.0})


# -- tolls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("toll", [0.0, 0.15, 0.375, 0.6])
def test_a_toll_on_pigous_second_road(toll: float) -> None:
    """1/4 + 3/4 x + toll = 1 where both roads are used; the total time is 1 - x + x (1/4 + 3/4 x)."""
    model = routing_v0.build(network=pigou(), toll={"s to a": toll}, dt=0.05)
    x = 1 - toll / 0.75
    found = model.equilibrium()
    assert found.total_time == pytest.approx(1 - x + x * (0.25 + 0.75 * x), rel=1e-8)
    assert found.least_time == pytest.approx(13 / 16, rel=1e-8)
    plain = routing_v0.build(network=pigou(), dt=0.05)
    assert (model.bound(), model.vehicles) == (
        dataclasses.replace(model.bound(), value=plain.bound().value),
        plain.vehicles,
    )
    assert any("s to a" in note and "change no time" in note for note in model.notes)


@pytest.mark.parametrize("toll", [2.0, 9.0])
def test_a_toll_on_braess_bridge(toll: float) -> None:
    """h drivers on the bridge: 10 (6 + h) + 10 + h + .2 + toll = 5 (6 + h) + 50 + (6 - h) / 2 + .1 on the others."""
    h = (30 + 53 + 0.1 - 70 - 0.2 - toll) / (11 - 4.5)
    first, second = (6 + h) / 2, (6 - h) / 2
    total = 2 * first * (0.1 + 10 * first) + 2 * second * (50 + second) + h * (10 + h)
    model = routing_v0.build(network=braess(), toll={("a", "b"): toll / 100})
    assert model.equilibrium().total_time == pytest.approx(total / 100, rel=1e-7)


@pytest.mark.parametrize("make", [pigou, braess])
def test_marginal_tolls_make_the_equilibrium_the_optimum(make: Any) -> None:
    plain, priced = (routing_v0.build(network=make(), toll=toll) for toll in (None, "marginal"))
    assert plain.equilibrium().price_of_anarchy > 1.05
    found = priced.equilibrium()
    assert found.price_of_anarchy == pytest.approx(1, abs=1e-8) and found.share == pytest.approx(1, abs=1e-8)
    if make is pigou:  # x t'(x) = 1/2 * 3/4 on the second road, nothing on the first
        np.testing.assert_allclose(priced.fixed, [0, 0.375], atol=1e-6)
    rules = priced.heuristics()
    ue, so = (rules[name].teams(np.zeros((1, len(priced.legal)), int), 0) for name in ("ue", "so"))
    np.testing.assert_allclose(ue, so, atol=1e-4)


def test_tolls_stand_in_place_of_the_links_own() -> None:
    """Money is weighed by the network's own weight, tolls by name are time; other links keep theirs."""
    data = dataclasses.replace(pigou(), toll=np.array([4.0, 10.0, 0.0]), toll_weight=0.1)
    assert routing_v0.build(network=data, dt=0.05).fixed.tolist() == pytest.approx([0.4, 1.0])
    priced = routing_v0.build(network=data, toll={"s to a": 0.5}, dt=0.05)
    assert priced.fixed.tolist() == pytest.approx([0.4, 0.5])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"toll": {"s to b": 1}}, "toll: by hand has no link 's to b'; did you mean 's to t'"),
        ({"toll": {"s to a": -1}}, "the toll of 's to a' must be a non-negative number"),
        ({"toll": "optimal"}, "toll must be {'from to to': cost}, or 'marginal', not 'optimal'"),
        ({"toll": 0.5}, "toll must be {'from to to': cost}, or 'marginal', not 0.5"),
        ({"toll": {"a to t": 1}}, "toll: the link 'a to t' takes no time and is no place"),
        ({"toll": {}}, "toll must be {'from to to': cost}, or 'marginal', not {}"),
        ({"close": "s to b"}, "close: by hand has no link 's to b'; did you mean"),
        ({"close": 7}, "close must be links, each two labels"),
        ({"demand_scale": 2, "vehicles": 3}, "leave one of them out"),
        ({"demand_scale": 0}, "demand_scale must be a positive number"),
        ({"profile": []}, "profile must be 1 to 288 multiples"),
        ({"profile": [1, -1]}, "profile must be 1 to 288 multiples"),
        ({"profile": [0, 0]}, "no trip is ever wanted"),
        ({"profile": [1, 2], "profile_time": 0.05}, "give fewer phases"),
        ({"profile": [1, 2], "profile_time": -1}, "profile_time must be a positive number"),
        ({"profile_time": float("nan")}, "profile_time must be a positive number"),
    ],
)
def test_what_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError)) as refusal:
        routing_v0.build(network=pigou(), dt=0.05, **options)
    assert sentence in str(refusal.value)


def test_a_turn_of_no_length_is_refused_without_a_profile_too() -> None:
    with pytest.raises(ValueError, match="profile_time must be a positive number, not nan"):
        packet_v0.build(profile_time=float("nan"))


def test_links_by_their_places_names() -> None:
    by_name, by_labels = (packet_v0.build(close=close) for close in (["0 to 4", "2 to 6"], [("0", "4"), ["2", "6"]]))
    assert by_name.bound() == by_labels.bound() and by_name.notes == by_labels.notes
    assert packet_v0.build(close="0 to 4").notes == packet_v0.build(close=("0", "4")).notes


def test_more_demand_is_more_vehicles_and_the_same_step() -> None:
    once, twice = (routing_v0.build(demand_scale=scale) for scale in (1.0, 1.3))
    assert twice.dt == once.dt and twice.vehicles > 1.3 * once.vehicles
    assert twice.bound().value == pytest.approx(1.3 * 20, rel=1e-8)
    packets = packet_v0.build(demand_scale=0.5)
    assert (packets.law.capacity == packet_v0.build().law.capacity[0]).all() and packets.dt == packet_v0.build().dt
    assert packets.bound().value == pytest.approx(0.5, rel=1e-8)
    assert "the demand is multiplied by 0.5, and vehicles by rule are those that it needs" in packets.notes


# -- demand by the clock -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda **more: routing_v0.build(200, **more), lambda **more: packet_v0.build(200, **more)]
)
def test_a_constant_day_has_the_bound_without_a_day(make: Any) -> None:
    plain = make().bound().value
    for multiple, turn, share in ((1.0, 8.0, 1), (1.0, 500.0, 1), (0.4, 30.0, 0.4), (7.0, 30.0, 1)):
        assert make(profile=[multiple], profile_time=turn).bound().value == pytest.approx(share * plain, rel=1e-8)
    steady = make(profile=[0.5, 0.5, 0.5], profile_time=40.0)
    assert steady.bound().value == pytest.approx(0.5 * plain, rel=1e-8)


def test_a_day_is_a_clock() -> None:
    model = routing_v0.build(300, rows=2, cols=2, dt=0.3, profile=[0.5, 1.5], profile_time=20.0)
    assert model.period == 67 and model.evaluation[0] % 67 == model.evaluation[1] % 67 == 0
    assert any(note.startswith("by the clock: of the demand 0.5, 1.5 times as much may begin") for note in model.notes)
    check_model(routing_v0.build(20, network=pigou(), profile=[0.5, 1.5], profile_time=20.0))
    assert model.at(0) is model.at(67) is model.at(32) and model.at(33) is not model.at(0)
    held = routing_v0.build(50, rows=2, cols=2, profile=[0.0, 1.0], profile_time=20.0)
    simulator, rng = Simulator(held), np.random.default_rng(0)
    counts, policy = simulator.reset(rng, 4), uniform(held)
    waiting = np.repeat(np.arange(held.network.num_nodes) >= len(held.roads.tail), held.network.layers)
    for t in range(8):
        after = simulator.at(t).play(counts, policy.teams(counts, t), rng).next_counts
        assert (after[:, waiting] >= counts[:, waiting]).all()  # nobody leaves a start in a phase without demand
        counts = after


def trips_of_a_day(model: Congestion, policy: Policy, before: int = 1) -> float:
    """Trips per unit of time in the limit N = infinity, over a day after ``before`` others."""
    simulator, mu, made = Simulator(model), model.initial[None], 0.0
    turn = model.period or 1
    for t in range((before + 1) * turn):
        pi = policy.teams(mu * model.population, t)  # type: ignore[arg-type]
        mu, rewards = simulator.at(t).mean_field_step(mu, pi)
        made += float(rewards.sum()) * (t >= before * turn)
    return made / turn * model.full_scale


@pytest.mark.parametrize("profile", [[0.5, 1.5], [0.2, 0.9, 2.0, 0.9]])
def test_long_phases_attain_the_bound(profile: list[float]) -> None:
    """The best splits carry min(m_i, 1) times the demand in every phase, and no phase can carry more for long."""
    model = routing_v0.build(network=pigou(), dt=0.25, profile=profile, profile_time=160.0)
    carried = float(np.minimum(profile, 1).mean())
    reached, bound = trips_of_a_day(model, model.heuristics()["so"]), model.bound().value
    assert carried * 0.99 <= reached <= bound <= carried * 1.03


@cache
def best_of_all(
    agents: int, profile: tuple[float, ...], steps: int, kept: tuple[float, ...] = ()
) -> tuple[float, Congestion]:
    """Trips per unit of time of the best policy, which sees all and remembers all, by value iteration over the crowds.

    The second road keeps ``kept`` of its capacity, of the day's phases of equal length.

    Whoever waits at the start chooses one of two roads, all others have no choice. Returned is an upper end: in each
    round of the clock no crowd gains more than the largest gain.
    """
    dt = 0.25
    lasts = steps * dt / max(1, len(kept))
    failures = [("s to a", i * lasts, (i + 1) * lasts, share) for i, share in enumerate(kept)] or None
    model = routing_v0.build(
        agents, network=pigou(), dt=dt, profile=profile, profile_time=steps * dt, failures=failures
    )
    left = [kept[t * len(kept) // steps] if kept else 1.0 for t in range(steps)]
    crowds = [tuple(row) for row in compositions(agents, 3)]  # on the constant road, on the other one, at the start
    number = {crowd: i for i, crowd in enumerate(crowds)}
    phases = [(profile[t * len(profile) // steps], left[t]) for t in range(steps)]
    made = {phase: tables(model, crowds, number, *phase) for phase in set(phases)}
    fast = [made[phase] for phase in phases]
    value = np.zeros(len(crowds))
    for _ in range(400):
        before = value
        for table in reversed(fast):
            value = np.array([max(paid + law @ value for paid, law in choices) for choices in table])
        gain = (value - before) / steps
        value = value - value.min()
        if np.ptp(gain) < 1e-9:
            break
    return float(gain.max()) * model.full_scale, model


def tables(
    model: Congestion, crowds: list[Any], number: dict[Any, int], multiple: float, kept: float
) -> list[list[tuple[float, np.ndarray]]]:
    """For each crowd and number of those at the start who choose road 0: (mean reward, law of the next crowd)."""
    weight, demand = model.vehicles / model.population, model.demand.sum() * model.dt
    found = []
    for crowd in crowds:
        a, b, waiting = crowd
        slope = 0.75 / kept if kept else 0.0
        x = np.roots([slope, 0.25, -weight * b]).max() if b and kept else 0.0  # b vehicles: x (1/4 + 3/4 x)
        leave = (model.dt / 1.0, min(1.0, model.dt / (0.25 + slope * x)) if kept else 0.0)
        go = min(1.0, multiple * demand / (weight * waiting)) if waiting else 0.0
        paid = (a * leave[0] + b * leave[1]) / model.population / min(1.0, model.dt / 0.25)
        choices = []
        for first in range(waiting + 1):
            law = np.zeros(len(crowds))
            for ends in itertools.product(range(a + 1), range(b + 1), range(first + 1), range(waiting - first + 1)):
                sizes, odds = (a, b, first, waiting - first), (leave[0], leave[1], go, go)
                each = [math.comb(n, k) * q**k * (1 - q) ** (n - k) for k, n, q in zip(ends, sizes, odds, strict=True)]
                i, j, k, m = ends
                law[number[(a - i + k, b - j + m, waiting - k - m + i + j)]] += math.prod(each)
            choices.append((paid, law))
        found.append(choices)
    return found


@pytest.mark.parametrize(
    ("agents", "profile", "steps"), [(2, (0.0, 2.0), 8), (3, (0.0, 2.0), 12), (3, (0.5, 1.5), 40), (3, (1.0,), 4)]
)
def test_no_policy_of_a_small_game_beats_the_bound(agents: int, profile: tuple[float, ...], steps: int) -> None:
    best, model = best_of_all(agents, profile, steps)
    assert best <= model.bound().value * (1 + 1e-9)
    assert best >= 0.5 * float(np.minimum(profile, 1).mean())  # and the game is played


def test_short_phases_carry_more_than_each_could_for_long() -> None:
    """Who is on the road when nobody begins a trip still arrives: the mean of min(m_i, theta*) is no bound."""
    best, model = best_of_all(3, (0.0, 2.0), 12)
    assert 0.5 * model.optimum.theta < best < model.bound().value
