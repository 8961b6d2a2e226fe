"""Electric fleets: law, pay and bound against enumeration, single cars and dynamic programming over whole fleets."""

from functools import cache
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, poisson
from test_rideshare import three

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_envs import Simulator, measure
from mfnet_envs.backends import backend_of
from mfnet_envs.conformance import check_model
from mfnet_envs.exact import ExactGame
from mfnet_envs.io import CityData
from mfnet_envs.measure import Measurement
from mfnet_envs.policy import uniform
from mfnet_envs.scenarios.rideshare_v0 import RideShare

FULL = {"batteries": 3, "range_steps": 5.5, "chargers": [1, 0, 2], "charge_rate": 1.5}
OPTIONS: list[dict[str, Any]] = [
    {"batteries": 2}, FULL, {**FULL, "repeat": True}, {**FULL, "empty": "neighbours", "range_steps": 9.0},
    {**FULL, "population": 12, "matching": "independent"},
]  # fmt: skip


def two(**changes: Any) -> CityData:
    """Two zones, one or two steps apart by the clock; seed 5."""
    rng = np.random.default_rng(5)
    demand = rng.uniform(0.3, 1.5, (3, 2, 2)) * (1 - np.eye(2))
    given: dict[str, Any] = {
        "name": "two", "zones": ("a", "b"), "step": 5.0, "start": 0, "demand": demand,
        "travel_time": rng.choice([5.0, 10.0], demand.shape), "fare": rng.uniform(4, 20, demand.shape),
        "empty_time": np.full((2, 2), 5.0), "neighbours": np.array([[0, 1]]), "cars": 2, "cost": 0.3,
    }  # fmt: skip
    return CityData(**{**given, **changes})


def place(model: RideShare, zone: int, level: int, plugged: bool = False) -> int:
    assert model.batteries is not None
    return zone * model.network.layers + level + plugged * (model.batteries.full + 1)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_models_pass_their_checks(options: dict[str, Any]) -> None:
    check_model(RideShare(three(), **options))


# -- law and pay


def test_the_fullest_go_first_and_only_where_they_can() -> None:
    """Two cars with 1 level, one with 3, and D requests, called one by one: all that can happen, for D = 0 .. 30.

    A step of driving is a level. From a, b is one step away and c three; c has no charger, the way on to one is 2.
    """
    minutes = np.array([[5.0, 5, 15], [5, 5, 10], [15, 10, 5]])
    city = three(empty_time=minutes, travel_time=np.tile(minutes, (4, 1, 1)), turnaround=0)
    model = RideShare(city, batteries=5, range_steps=5, chargers={"a": 1, "b": 1, "c": 0})
    demand = city.demand[0, 0]
    for low, high in product((1, 2, 4), (3, 5)):
        if low >= high:
            continue
        counts = np.zeros((1, model.network.num_states), np.int64)
        counts[0, place(model, 0, low)], counts[0, place(model, 0, high)] = 2, 1
        goes = {low: 0.0, high: 0.0}
        for d in range(30):
            for level in ([high, low, low])[:d]:
                able = demand[1] + (
                    demand[2] if level >= 5 else 0
                )  # to c: three levels, and two on to the charger in b
                goes[level] += poisson.pmf(d, demand.sum()) * able / demand.sum()
        weights = model.branch_weights(Simulator(model).mu_hood(counts))[0, :, 0]
        assert weights[low, 0] * 2 == pytest.approx(goes[low], abs=1e-9)
        assert weights[high, 0] == pytest.approx(goes[high], abs=1e-9)
        ride = model.branches[0]
        ends = {int(s): p for s, p in zip(ride.successors[high, 0], ride.probabilities[high, 0], strict=True) if p > 0}
        if high == 5:
            to_b, to_c = demand[1:] / demand.sum()
            assert model.batteries is not None
            assert ends == pytest.approx({place(model, 1, 4): to_b, int(model.batteries.state(2, 2, 3)): to_c})
            mean = (demand[1:] * (city.fare[0, 0, 1:] - 0.3 * minutes[0, 1:])).sum() / demand.sum()
            np.testing.assert_allclose(model.branch_rewards()[high, :, 0], mean)
        else:
            assert ends == pytest.approx({place(model, 1, high - 1): 1.0})


def test_a_level_is_used_in_the_mean() -> None:
    """A full car drives two steps on empty, 6/8 of a level: 5,000 worlds, five standard errors."""
    city, worlds = two(empty_time=np.full((2, 2), 10.0), demand=np.full((3, 2, 2), 1e-9)), 5_000
    model = RideShare(city, batteries=3, range_steps=8, repeat=True)
    counts = np.zeros((worlds, model.network.num_states), np.int64)
    counts[:, place(model, 0, 3)] = 1
    pi = np.eye(model.num_actions)[np.where(np.arange(model.network.num_states) == place(model, 0, 3), 1, 0)]
    played = Simulator(model).play(counts, pi, np.random.default_rng(0))
    assert model.batteries is not None
    arriving = played.next_counts[:, [int(model.batteries.state(1, level, 2)) for level in (2, 3)]].sum(0)
    assert arriving.sum() == worlds
    assert arriving[0] / worlds == pytest.approx(0.75, abs=2.5 / worlds**0.5)


def test_places_are_shared_and_the_rest_waits() -> None:
    """Three cars plugged in at two places, a level and a half a step: drawn 5,000 times, five standard errors."""
    model, worlds = RideShare(three(), batteries=3, chargers=2, charge_rate=1.5), 5_000
    counts = np.zeros((worlds, model.network.num_states), np.int64)
    counts[:, place(model, 1, 0, True)], counts[:, place(model, 1, 2, True)] = 2, 1
    pi = np.zeros((model.network.num_states, model.num_actions))
    pi[:, 0] = 1
    pi[place(model, 1, 2, True)] = np.eye(model.num_actions)[-1]  # unplugs
    played = Simulator(model).play(counts, pi, np.random.default_rng(0))
    found = played.next_counts.mean(0)
    wanted = {
        (0, True): 2 / 3, (1, True): 2 / 3, (2, True): 2 / 3, (2, False): 1 / 3, (3, False): 2 / 3,
    }  # fmt: skip
    for (level, plugged), share in wanted.items():
        assert found[place(model, 1, level, plugged)] == pytest.approx(share, abs=5 / worlds**0.5)
    assert (played.next_counts.sum(1) == 3).all() and not played.team_rewards.any()


@pytest.mark.xdist_group("compiled")
@pytest.mark.parametrize("backend", ["numpy", *(["compiled"] if find_spec("numba") else [])])
def test_counts_follow_the_enumerated_law(backend: str) -> None:
    """Two cars, three steps of the uniform policy: 20,000 worlds against the distribution itself, chi-square."""
    one = two(**{name: getattr(two(), name)[:1] for name in ("demand", "travel_time", "fare")})
    model, worlds = RideShare(one, batteries=2, range_steps=3, chargers=[1, 0], repeat=True), 20_000
    policy = uniform(model)
    simulator = Simulator(model, backend_of(backend))
    rng = simulator.generator(0)
    game = ExactGame(model)
    law = np.zeros(len(game.count_vectors))
    first = np.zeros(model.network.num_states, np.int64)
    first[[place(model, 0, 1), place(model, 0, 2)]] = 1
    law[int((game.count_vectors == first).all(1).argmax())] = 1.0
    counts = np.tile(first, (worlds, 1))
    for t in range(3):
        law = law @ game.transition(policy)
        counts = policy.play(simulator.at(t), counts, t, rng).next_counts
    order = {tuple(row): i for i, row in enumerate(game.count_vectors.tolist())}
    seen = np.bincount([order[tuple(row)] for row in counts.tolist()], minlength=len(law))
    assert seen[law == 0].sum() == 0
    likely = law * worlds > 5
    observed, expected = np.append(seen[likely], seen[~likely].sum()), np.append(law[likely], law[~likely].sum())
    kept = expected > 0
    assert chisquare(observed[kept], expected[kept] * worlds).pvalue > 1e-4


def test_torch_weighs_as_numpy_does() -> None:
    model = RideShare(three(), **FULL)
    rng = np.random.default_rng(0)
    mu = rng.dirichlet(np.ones(model.network.num_states), 5) * (rng.random((5, model.network.num_states)) < 0.5)
    for law in (model.at(0), model.fluid().at(1)):
        hood = Simulator(law).mu_hood((model.population * mu).round().astype(int))
        np.testing.assert_allclose(law.branch_weights(torch.as_tensor(hood)).numpy(), law.branch_weights(hood))


def test_no_car_is_ever_stranded() -> None:
    """Random play for 60 steps: from every state that is met a charger can be reached for sure."""
    model = RideShare(three(2), **{**FULL, "range_steps": 8.0}, repeat=True, population=50)
    policy, rng, simulator = uniform(model), np.random.default_rng(0), Simulator(model)
    counts, met = simulator.reset(rng, 20), np.zeros(model.network.num_states, bool)
    for t in range(60):
        counts = policy.play(simulator.at(t), counts, t, rng).next_counts
        met |= counts.any(0)
    safe = np.zeros(len(met), bool)  # idle where there is a charger
    layers = model.network.layers
    safe[[place(model, v, level) for v in (0, 2) for level in range(4)]] = True
    for _ in range(4 * layers):
        for s in np.flatnonzero(~safe):
            for a in np.flatnonzero(model.legal[s]):
                rest = model.branches[-1]
                ends = rest.successors[s, a][rest.probabilities[s, a] > 0]
                safe[s] |= bool(safe[ends].all())
    full = [place(model, v, 3) for v in range(3)]
    assert safe[met].all() and met[full].all() and not safe[place(model, 1, 0)]


# -- the bound


def best(model: RideShare, steps: int, refuse: bool) -> float:
    """The largest mean profit of N cars in one hand: dynamic programming over all fleets.

    Moves are enumerated car by car: each draws its branch and its successor from the tables. ``refuse``: each may
    be told to take no request, too.
    """
    states, active = model.network.num_states, {int(s): r for r, s in enumerate(model.active)}

    @cache
    def options(t: int, fleet: tuple[int, ...]) -> list[list[tuple[float, dict[int, float]]]]:
        """For each car its legal actions: what it earns, and its law."""
        phase = model.at(t)
        counts = np.bincount(fleet, minlength=states)[None]
        weights, rho, found = phase.branch_weights(Simulator(phase).mu_hood(counts))[0], phase.branch_rewards(), []
        for s in fleet:
            ways = []
            for a, idle in product(np.flatnonzero(model.legal[s]), [False, True][: 1 + refuse]):
                mix = weights[active[s], 0] if s in active else np.array([0, 0, 1.0])
                if idle:
                    mix = np.array([0, mix[1], mix[0] + mix[2]])
                earned = float(mix @ rho[active[s], a]) if s in active else 0.0
                law: dict[int, float] = {}
                for w, branch in zip(mix, phase.branches, strict=True):
                    column = a if branch.successors.shape[1] > 1 else 0
                    pairs = zip(branch.successors[s, column], branch.probabilities[s, column], strict=True)
                    for end, p in pairs:
                        if w * p > 0:
                            law[int(end)] = law.get(int(end), 0.0) + float(w * p)
                ways.append((earned, law))
            found.append(ways)
        return found

    @cache
    def value(t: int, fleet: tuple[int, ...]) -> float:
        if t == steps:
            return 0.0
        top = -np.inf
        for chosen in product(*options(t % len(model.turn), fleet)):
            ahead = sum(earned for earned, _ in chosen)
            for ends in product(*(law.items() for _, law in chosen)):
                chance = float(np.prod([p for _, p in ends]))
                ahead += chance * value(t + 1, tuple(sorted(s for s, _ in ends)))
            top = max(top, ahead)
        return top

    full = np.flatnonzero(model.initial)
    starts = list(product(full.tolist(), repeat=model.population))
    return float(np.mean([value(0, tuple(sorted(start))) for start in starts]))


@pytest.mark.parametrize(("cars", "near"), [(1, 1e-6), (2, 0.03)])
def test_the_bound_against_the_best_hand(cars: int, near: float) -> None:
    """With one car nothing is lost by Jensen: the bound is the best that can be done by who may refuse requests."""
    city = two(demand=two().demand * cars)
    model = RideShare(city, fleet=cars, batteries=2, range_steps=3, chargers=[1, 0])
    reached, bound = best(model, 3, True), model.bound().value
    assert best(model, 3, False) <= reached <= bound * (1 + 1e-9) and bound <= reached * (1 + near)
    assert bound <= model.bound(fluid=True).value * (1 + 1e-9)


def test_with_one_car_that_can_go_to_some_places_only_the_bound_is_the_best() -> None:
    model = RideShare(three(), fleet=1, batteries=3, range_steps=7, chargers=[1, 0, 2], charge_rate=1.5)
    assert ((model._rides.taken > 0.1) & (model._rides.taken < 0.9)).any()
    assert model.bound().value == pytest.approx(best(model, 4, True), rel=1e-6)


def test_three_cars_in_one_hand_are_below_the_bound() -> None:
    model = RideShare(two(), fleet=3, batteries=2, range_steps=3, chargers=[1, 0])
    assert best(model, 3, False) <= model.bound().value


def test_one_car_for_ever_gains_what_the_bound_says() -> None:
    """Relative value iteration over a single car's states, by the clock, and it may refuse a ride."""
    model = RideShare(two(), fleet=1, batteries=2, range_steps=4, charge_rate=0.5, repeat=True)
    values, turns = np.zeros(model.network.num_states), 300
    alone = np.eye(model.network.num_states, dtype=np.int64)
    laws = []
    for phase in model.turn:
        weights = np.zeros((len(alone), 3))
        weights[:, 2] = 1
        seen = phase.branch_weights(Simulator(phase).mu_hood(alone[model.active]))
        weights[model.active] = seen[np.arange(len(model.active)), np.arange(len(model.active)), 0]
        rho = np.zeros((len(alone), model.num_actions, 3))
        rho[model.active] = phase.branch_rewards()
        laws.append((phase, weights, rho))
    kept = []
    for _ in range(turns):
        for phase, weights, rho in reversed(laws):
            ahead = [(b.probabilities * values[b.successors]).sum(2) for b in phase.branches]
            ride, charge, rest = (rho[..., k] + ahead[k] for k in range(3))
            after = np.maximum(ride, rest), charge, rest  # it may refuse
            worth = sum(weights[:, None, k] * after[k] for k in range(3))
            values = np.where(model.legal, worth, -np.inf).max(1)
        kept.append(values)
    gain = (kept[-1] - kept[-2]).max() / len(laws), (kept[-1] - kept[-2]).min() / len(laws)
    assert gain[0] == pytest.approx(gain[1], abs=1e-6)
    assert model.bound().value == pytest.approx(gain[0], rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"repeat": True}, {"empty": "neighbours"}], ids=str)
def test_batteries_that_never_empty_change_no_bound(options: dict[str, Any]) -> None:
    plain = RideShare(**options)
    plenty = RideShare(**options, batteries=2, range_steps=1e9)
    for fluid in (False, True):
        assert plenty.bound(fluid).value == pytest.approx(plain.bound(fluid).value, rel=1e-5)


def test_what_binds_costs() -> None:
    """Less range, fewer places, slower chargers: each bound is below the one before."""
    options: list[dict[str, Any]] = [
        {}, {"range_steps": 5}, {"range_steps": 5, "chargers": 0.5},
        {"range_steps": 5, "chargers": 0.5, "charge_rate": 0.3},
    ]  # fmt: skip
    bounds = [RideShare(three(), batteries=3, repeat=True, **more).bound().value for more in options]
    assert all(after < 0.99 * before for before, after in zip(bounds, bounds[1:], strict=False))


@pytest.mark.parametrize("options", [{"range_steps": 1e9}, {"range_steps": 5, "chargers": 2}], ids=str)
def test_as_agents_get_smaller_the_plan_comes_near_the_bound(options: dict[str, Any]) -> None:
    """20,000 agents for 40 cars, an episode."""
    model = RideShare(batteries=3, population=20_000, **options)
    found = measure(model, {"plan": model.heuristics()["fluid_plan"]}, worlds=4)
    bound, plan = found.certificate.value, found.results["plan"]  # type: ignore[union-attr]
    assert 0.97 * bound < plan.value < bound + plan.ci95


def test_nobody_is_above_the_bound() -> None:
    for options in (OPTIONS[0], OPTIONS[1], OPTIONS[3]):
        model = RideShare(three(8), **options)
        found = measure(model, model.heuristics(), worlds=100)
        top = max(result.value - 2.5 * result.ci95 for result in found.results.values())
        assert top < found.yardstick.bound  # type: ignore[operator]


# -- rules and learning


def test_rules_charge_whom_they_must() -> None:
    """Empty batteries plug in, or drive to where they can; who is plugged in stays; full ones never plug in."""
    model = RideShare(three(), **{**FULL, "range_steps": 8.0})
    teams = {int(s): i for i, s in enumerate(model.team_states)}
    counts = np.ones((1, model.network.num_states), np.int64)
    for name in ("stay", "equal", "proportional"):
        pi = model.heuristics()[name].teams(counts, 0)[0]
        assert pi[teams[place(model, 0, 0)], -1] == 1
        assert pi[teams[place(model, 2, 1, True)], 0] == 1
        assert pi[teams[place(model, 0, 3)], -1] == 0
        assert not (pi * ~model.legal[model.team_states]).any()


def learnt(steps: int) -> Measurement:
    """The town with 4 levels; the learner with its defaults, seed 0, beside all rules."""
    config = DecNeuralACConfig().environment("MFNet-RideShare-v0", env_config={"batteries": 4})
    algo = config.training(total_env_steps=steps).debugging(seed=0).build_algo()
    while algo.train()["num_env_steps_sampled_lifetime"] < steps:
        pass
    return measure(algo.model, {**algo.model.heuristics(), "learnt": algo.policy}, worlds=128)


def test_ten_iterations_are_well_above_where_they_started() -> None:
    """Random play takes 450, each up to 6."""
    found = learnt(480).results
    assert found["learnt"].value - found["random"].value > 5 * (found["learnt"].ci95 + found["random"].ci95)


@pytest.mark.slow
def test_a_short_run_is_above_every_heuristic() -> None:
    """200 episodes: the fluid plan takes 720, the learner 750, each up to 6."""
    assert learnt(2_400).ranked()[-1] == "learnt"


# -- arguments


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batteries": 1}, "batteries must be an integer of at least 2, not 1"),
        ({"batteries": 2, "range_steps": 0}, "range_steps must be a positive number"),
        ({"batteries": 2, "charge_rate": -1}, "charge_rate must be a positive number"),
        ({"batteries": 2, "chargers": 0}, "chargers leave no place to charge anywhere"),
        ({"batteries": 2, "chargers": [1, 2]}, "chargers must be 6 non-negative numbers"),
        ({"batteries": 2, "chargers": {"north": 1, "nort": 2}}, "did you mean 'north'"),
        ({"batteries": 2, "range_steps": 1, "chargers": [1, 0, 0, 0, 0, 0]}, "farther from the nearest charger"),
        ({"batteries": 2, "dearest_first": True}, "dearest_first=True has no exact law of crowds with batteries"),
        ({"batteries": 2, "matching": "physical"}, "matching='physical' has no exact law of crowds with batteries"),
        ({"range_steps": 5}, "say batteries="),
        ({"chargers": 1}, "say batteries="),
        ({"batteries": 10**9}, "need .* GB"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mfnet_envs.make_model("MFNet-RideShare-v0", **options)


def test_what_is_rounded_and_what_is_too_far_is_said() -> None:
    notes = RideShare(batteries=2, range_steps=6).notes
    assert "a level of charge is 3 steps of 5 minutes' driving" in notes[-1]
    city = two(travel_time=np.tile([[5.0, 40.0], [5.0, 5.0]], (3, 1, 1)))
    far = city.demand[:, 0, 1].sum() / city.demand.sum()
    assert RideShare(city, batteries=2, range_steps=4).notes[-1].startswith(f"{100 * far:.2g}% of the requests are")
