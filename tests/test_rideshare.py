"""MFNet-RideShare-v0: law, pay and bound against sums over Poisson numbers, single cars and dynamic programming."""

import dataclasses
import importlib.util
import os
import pickle
import sys
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import poisson

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_agents.config import ConfigError
from mfnet_agents.dec_neural_ac.costate import Costate, fragment_of
from mfnet_agents.dec_neural_ac.costates import Pullback
from mfnet_agents.dec_neural_ac.sampling import Sampler
from mfnet_envs import Simulator, measure
from mfnet_envs.conformance import check_model
from mfnet_envs.io import CityData
from mfnet_envs.policy import Policy, TablePolicy, one_hot, uniform
from mfnet_envs.scenarios.rideshare_v0 import RideShare, town

ID = "MFNet-RideShare-v0"
OPTIONS: list[dict[str, Any]] = [
    {}, {"dearest_first": True}, {"matching": "independent"}, {"empty": "neighbours"}, {"repeat": True},
    {"population": 80, "fleet": 40.5},
]  # fmt: skip


def three(steps: int = 4, **changes: Any) -> CityData:
    """Three zones in a row, with times, fares and demand of every kind; drawn once, seed 3."""
    rng = np.random.default_rng(3)
    demand = rng.uniform(0.0, 1.5, (steps, 3, 3)) * (1 - np.eye(3))
    demand[:, 2] *= np.arange(steps)[:, None] % 2  # nobody leaves zone 2 in even steps
    given: dict[str, Any] = {
        "name": "three", "zones": ("a", "b", "c"), "step": 5.0, "start": 0, "demand": demand,
        "travel_time": rng.uniform(3, 16, demand.shape), "fare": rng.uniform(4, 20, demand.shape),
        "empty_time": rng.uniform(3, 14, (3, 3)), "neighbours": np.array([[0, 1], [1, 2]]), "cars": 6, "cost": 0.3,
        "turnaround": 1,
    }  # fmt: skip
    return CityData(**{**given, **changes})


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_models_pass_their_checks(options: dict[str, Any]) -> None:
    check_model(RideShare(**options))
    if options != {"population": 80, "fleet": 40.5}:
        check_model(RideShare(three(), **options))


# -- law and pay


def test_dearest_first_is_the_mean_of_all_that_can_happen() -> None:
    """Of n cars and requests D_1 .. D_k, the dearest served first: the means, summed over the D one by one."""
    city = three()
    model = RideShare(city, dearest_first=True)
    for t, n in product(range(2), (1, 2, 5)):
        counts = np.zeros((1, model.network.num_states), np.int64)
        counts[0, 0] = n
        phase = model.at(t)
        weights = phase.branch_weights(Simulator(phase).mu_hood(counts))[0, 0, 0]
        dearest = sorted((1, 2), key=lambda d: -city.fare[t, 0, d])
        served = dict.fromkeys(dearest, 0.0)
        for first, second in product(range(25), repeat=2):
            chance = np.prod(
                [poisson.pmf(x, city.demand[t, 0, d]) for x, d in zip((first, second), dearest, strict=True)]
            )
            taken = min(n, first)
            served[dearest[0]] += chance * taken
            served[dearest[1]] += chance * min(n - taken, second)
        np.testing.assert_allclose(weights[:2] * n, [served[d] for d in dearest], atol=1e-9)
        assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
        for k, d in enumerate(dearest):  # and there they go, for that fare
            steps = max(1, round(city.travel_time[t, 0, d] / 5))
            where = int(phase.branches[k].successors[0, 0, 0])
            assert divmod(where, model.network.layers) == (d, steps + city.turnaround - 1)
            pay = phase.branch_rewards()[0, :, k]
            np.testing.assert_allclose(pay, city.fare[t, 0, d] - 0.3 * 5 * steps)


def test_served_cars_are_poisson_numbers_cut_off_and_destinations_have_the_odds_of_demand() -> None:
    """Physical matching, drawn 40,000 times: five standard errors."""
    city = three()
    model, worlds = RideShare(city), 40_000
    counts = np.zeros((worlds, model.network.num_states), np.int64)
    counts[:, 0] = 2
    stay = one_hot(model, np.zeros(3, int))
    played = stay.play(Simulator(model).at(0), counts, 0, np.random.default_rng(0))
    rate = city.demand[0, 0].sum()
    law = [poisson.pmf(0, rate), poisson.pmf(1, rate), poisson.sf(1, rate)]
    np.testing.assert_allclose(np.bincount(played.served[:, 0], minlength=3) / worlds, law, atol=2.5 / worlds**0.5)
    arriving = played.next_counts.reshape(worlds, 3, -1).sum((0, 2))[1:]
    assert arriving.sum() == played.served.sum()
    assert abs(arriving[0] / arriving.sum() - city.demand[0, 0, 1] / rate) < 2.5 / arriving.sum() ** 0.5


def test_a_drive_takes_its_time() -> None:
    """One car, sent from a to c: idle there after the rounded minutes and the turnaround, and it cost its minutes."""
    city = three(demand=np.full((4, 3, 3), 1e-9))
    model = RideShare(city, fleet=1, repeat=True)
    steps = max(1, round(city.empty_time[0, 2] / 5))
    counts = np.zeros((1, model.network.num_states), np.int64)
    counts[0, 0] = 1
    send, stay = one_hot(model, np.array([2, 0, 0])), one_hot(model, np.zeros(3, int))
    rng, simulator = np.random.default_rng(0), Simulator(model)
    for t in range(steps + city.turnaround):
        assert counts.reshape(3, -1)[2, 0] == 0
        played = (send if t == 0 else stay).play(simulator.at(t), counts, t, rng)
        assert played.team_rewards.sum() == pytest.approx(-0.3 * 5 * steps if t == 0 else 0.0, abs=1e-6)
        counts = played.next_counts
    assert counts.reshape(3, -1)[2, 0] == 1


def test_a_zone_that_no_empty_car_may_leave_has_no_team() -> None:
    """The second zone shares no border: heuristics are tables of the two that do, and the plan's rows are theirs."""
    model = RideShare(three(neighbours=np.array([[0, 2]])), empty="neighbours")
    plan = model._plan(True).policy()
    for policy in model.heuristics().values():
        assert policy.teams(np.ones((1, len(model.initial)), int), 0).shape[-2:] == (2, 2)
    followed: Any = model.heuristics()["fluid_plan"]
    for t in range(4):
        np.testing.assert_allclose(followed.policies[t].table[0], plan[t, [0, 2]])


def test_drives_without_end_are_refused_before_anything_is_built() -> None:
    far = np.full((3, 3), 1e99)
    for change, words in (({"empty_time": far}, r"1e\+99 minutes"), ({"turnaround": 10_000}, "a turnaround of 10000")):
        with pytest.raises(ValueError, match=rf"{words}.* over the limit of 10,000 steps of 5 minutes"):
            RideShare(three(**change))


def test_neighbours_only_means_fewer_actions_and_the_same_rides() -> None:
    model = RideShare(three(), empty="neighbours")
    assert model.legal[model.team_states].sum(1).tolist() == [2, 3, 2]
    assert RideShare(three()).legal[model.team_states].sum(1).tolist() == [3, 3, 3]
    assert model.network.graph.has_edge("a", "c")  # a ride still goes there
    with pytest.raises(ValueError, match="needs zones that share a border, and this city names none"):
        RideShare(three(neighbours=np.zeros((0, 2), int)), empty="neighbours")


def test_agents_stand_for_cars() -> None:
    """Twice the agents for the same fleet: half a car each, requests twice as many; the profit stays."""
    one, two = RideShare(town()), RideShare(town(), population=80)
    assert two.at(3).quota.rate == pytest.approx(2 * one.at(3).quota.rate)  # type: ignore[union-attr]
    assert one.bound(fluid=True).value == pytest.approx(two.bound(fluid=True).value)
    assert one.headline == two.headline


def test_every_step_knows_the_whole_turn() -> None:
    """What the model of a step is asked for besides its law, the bound of the turn, it answers for the turn."""
    model = pickle.loads(pickle.dumps(RideShare(three())))
    assert model.at(5) is model.at(1) is model.at(2).at(1) and model.at(1) is not model.at(2)
    assert model.at(3).bound() == model.bound() and model.fluid().at(2).fluid().bound() == model.bound(fluid=True)
    steady = RideShare(three(1), repeat=True)
    assert steady.period is None and steady.at(7) is steady and steady.fluid().at(1).quota is None


# -- the bound


def best_of_one_car(model: RideShare, steps: int) -> np.ndarray:
    """``(V,)`` the largest mean profit of an agent that may refuse requests, over some steps: dynamic programming."""
    values = np.zeros((steps + 1, model.network.num_states))
    for t in reversed(range(steps)):
        phase, after = model.at(t), values[t + 1]
        rho = phase.branch_rewards()
        alone = np.eye(model.network.num_states, dtype=np.int64)[model.active]
        weights = phase.branch_weights(Simulator(phase).mu_hood(alone))
        for r, s in enumerate(model.active):
            ahead = [(branch.probabilities[s] * after[branch.successors[s]]).sum(1) for branch in phase.branches]
            act = (rho[r, :, -1] + ahead[-1])[model.legal[s]].max()
            serve = [max(act, rho[r, 0, k] + float(way[0])) for k, way in enumerate(ahead[:-1])]
            values[t, s] = weights[r, r, 0] @ [*serve, act]
        moving = np.flatnonzero(model.transit)
        values[t, moving] = after[phase.branches[-1].successors[moving, 0, 0]]
    return values[0, model.active]


@pytest.mark.parametrize("options", [{}, {"empty": "neighbours"}, {"matching": "independent"}], ids=str)
def test_with_one_car_the_bound_is_the_best_that_can_be_done(options: dict[str, Any]) -> None:
    """phi is linear up to one car, nothing is lost by Jensen: the programme is that of a Markov decision process."""
    model = RideShare(three(6), fleet=1, **options)
    assert model.bound().value == pytest.approx(best_of_one_car(model, 6).mean(), rel=1e-6)
    dearest = RideShare(three(6), fleet=1, dearest_first=True)
    assert dearest.bound().value >= best_of_one_car(dearest, 6).mean() - 1e-9


def test_with_one_car_for_ever_the_bound_is_the_best_gain() -> None:
    """Of 800 turns the second half gains what a turn does, up to the ends."""
    model = RideShare(three(2), fleet=1, repeat=True)
    gain = (best_of_one_car(model, 1600) - best_of_one_car(model, 800)).mean() / 800
    assert model.bound().value == pytest.approx(gain, rel=1e-3)


@pytest.mark.parametrize("options", [{}, {"repeat": True}, {"dearest_first": True}], ids=str)
def test_as_agents_get_smaller_the_plan_comes_up_to_the_bound(options: dict[str, Any]) -> None:
    """50,000 agents for 40 cars are nearly a fluid; the plan then nearly attains the fluid bound, in both horizons."""
    model = RideShare(population=50_000, **options)
    found = measure(model, {"plan": model.heuristics()["fluid_plan"]}, worlds=4)
    bound, plan = found.certificate.value, found.results["plan"]  # type: ignore[union-attr]
    assert 0.99 * bound < plan.value < bound + plan.ci95
    assert model.bound().value <= model.bound(fluid=True).value * (1 + 1e-9)


def test_crowds_too_large_for_pieces_have_the_bound_of_the_fluid() -> None:
    large, crowd = RideShare(population=10**9), RideShare(population=10**6)
    assert crowd.bound().value < large.bound().value == pytest.approx(large.bound(fluid=True).value, rel=1e-9)


def test_nobody_is_above_the_bound() -> None:
    for options in OPTIONS[:4]:
        model = RideShare(three(8), **options)
        found = measure(model, model.heuristics(), worlds=400)
        best = max(result.value - 2.5 * result.ci95 for result in found.results.values())
        assert best < found.yardstick.bound  # type: ignore[operator]


# -- arguments


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dearest_first": True, "matching": "physical"}, "dearest_first=True has no exact law"),
        ({"fleet": 0.5}, "fleet must be at least one car, not 0.5"),
        ({"fleet": -1}, "fleet must be a positive number"),
        ({"city": 3}, "city must be a path"),
        ({"city": {"hour": 8}}, "city must be a path"),
        ({"cost": -0.1}, "cost must be a non-negative number"),
        ({"empty": "all"}, "empty must be 'any' or 'neighbours'"),
        ({"city": three(cars=None)}, "name no fleet; say fleet="),
        ({"fleet": 1e60}, "fleet=1e"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mfnet_envs.make_model(ID, **options)


def test_what_was_rounded_is_said() -> None:
    city = three(notes=("something was guessed",))
    notes = RideShare(city).notes
    rounded = (city.demand * np.maximum(1, np.rint(city.travel_time / 5)) * 5).sum() / (
        city.demand * city.travel_time
    ).sum()
    assert notes[0] == "something was guessed" and f"{abs(rounded - 1):.1%}" in notes[1]
    assert measure(RideShare(city), {}, worlds=2).footnotes()[-1] == f"note: {notes[1]}"


# -- learning: whole episodes


def pulled(model: RideShare, table: np.ndarray) -> np.ndarray:
    """M^- and M^+ at the first step of an episode of one world under the same shares ``(V, A)`` at every step."""
    sampler = Sampler(
        Simulator(model), "fragments", model.gamma, 1, np.random.default_rng(0), {"sizes", "served", "unserved"}
    )
    assert model.episode_steps is not None
    fragment = fragment_of(sampler.rollout(TablePolicy(model, table), model.episode_steps)[0], 0)
    costates = Pullback(model, model.gamma)(
        fragment, lambda sizes, _: np.broadcast_to(table, (*sizes.shape[:2], *table.shape))
    )
    return costates.values[:, 0, 0]


def test_costates_follow_trips_to_the_step_in_which_they_land() -> None:
    """With riders for everybody no car is in another's way: one more is worth what one car earns, by the clock."""
    rng = np.random.default_rng(1)
    city = three(7, demand=three(7).demand + 1e4 * (rng.random((7, 3, 3)) < 0.6) * (np.arange(3) < 2)[:, None])
    city = dataclasses.replace(
        city, demand=city.demand * (np.arange(3) < 2)[:, None]
    )  # nobody leaves c: cars must drive
    model = RideShare(city, gamma=1 - 1e-9)
    table = rng.dirichlet(np.ones(3), 3)
    values = np.zeros((7 + 40, model.network.num_states))
    for t in reversed(range(7)):
        rides, fare = np.maximum(1, np.rint(city.travel_time[t] / 5)).astype(int), city.fare[t]
        drives = np.maximum(1, np.rint(city.empty_time / 5)).astype(int)
        for v in range(3):
            asked = city.demand[t, v]
            if asked.sum() > 0:
                earned = [fare[v, w] - 1.5 * rides[v, w] + values[t + rides[v, w] + 1, w] for w in range(3)]
                values[t, v] = asked @ earned / asked.sum()
            else:
                others = [w for w in range(3) if w != v]
                to = [values[t + 1, v], *(-1.5 * drives[v, w] + values[t + drives[v, w] + 1, w] for w in others)]
                values[t, v] = table[v] @ to
    crowded = city.demand[0].sum(1) == 0
    assert crowded.any() and not crowded.all()
    found = pulled(model, table)
    np.testing.assert_allclose(found[1], values[0, :3], rtol=1e-6)


def test_worlds_begin_anew_with_the_turn_whatever_the_law() -> None:
    model = RideShare(three())
    for law in ("fragments", "stationary", "restart"):
        sampler = Sampler(Simulator(model), law, model.gamma, 5, np.random.default_rng(0))  # type: ignore[arg-type]
        policy: Policy = uniform(model)
        sampler.rollout(policy, 4)
        second = sampler.rollout(policy, 4)[0]
        assert (second.crowd[0, :, :, 0].sum(1) == model.population).all(), law  # all idle
        assert (second.crowd[1:, :, :, 0].sum(2) < model.population).any()


def test_other_fragments_than_episodes_are_refused() -> None:
    config = DecNeuralACConfig().environment(ID)
    assert config.resolved(RideShare()).rollout_fragment_length == 12
    with pytest.raises(ConfigError, match="episodes of this model end after 12 steps"):
        config.env_runners(rollout_fragment_length=8).resolved(RideShare())


def test_critics_are_told_to_look_beyond_the_end() -> None:
    config = DecNeuralACConfig().environment(ID).training(critic_form="v")
    with pytest.warns(UserWarning, match="episodes of this model end after 12 steps, and critics value"):
        algo = config.env_runners(num_envs_per_env_runner=2, rollout_fragment_length=5).build_algo()
    assert np.isfinite(algo.train()["env_runners"]["sampled_reward_mean"])


def test_a_short_run_is_above_every_heuristic() -> None:
    """From the uniform policy, defaults, 200 episodes: the fluid plan takes 711 on the town, the learner 732 and 733 on
    the seeds looked at, each up to 5 or 7."""
    algo = DecNeuralACConfig().environment(ID).training(total_env_steps=2_400).debugging(seed=0).build_algo()
    assert isinstance(algo.trained, Costate)
    while algo.train()["num_env_steps_sampled_lifetime"] < 2_400:
        pass
    model = algo.model
    found = measure(model, {**model.heuristics(), "learnt": algo.policy}, worlds=512)
    assert found.ranked()[-1] == "learnt"


# -- RL4AMOD


def _example() -> ModuleType:
    path = Path(__file__).parents[1] / "examples" / "reproduce" / "rl4amod.py"
    spec = importlib.util.spec_from_file_location("reproduce_rl4amod", path)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CITIES = ("nyc_brooklyn", "shenzhen_downtown_west", "san_francisco")


@pytest.fixture
def file(request: pytest.FixtureRequest) -> str:
    folder = os.environ.get("MFNET_RL4AMOD")
    if folder is None:
        pytest.skip("MFNET_RL4AMOD is not set")
    return str(Path(folder) / f"scenario_{request.param}.json")


@pytest.mark.parametrize("file", CITIES, indirect=True)
def test_the_protocol_gives_the_known_figures(file: str) -> None:
    """No control, and central equal distribution, within 3 % of the figures of another implementation."""
    example, city = _example(), mfnet_envs.io.load_city(file)
    protocol, targets = example.Protocol(city), example.TARGETS[city.name]
    nobody = np.zeros((len(city.zones),) * 2, int)
    for name, decide in ((example.NO, lambda t, idle, rng: nobody), (example.EQUAL, protocol.equal)):
        profits = [protocol.play(decide, seed) for seed in example.EPISODES]
        assert np.mean(profits) == pytest.approx(targets[name], rel=0.03)


@pytest.mark.parametrize("file", ["nyc_brooklyn"], indirect=True)
def test_a_few_seconds_of_learning_are_above_the_published_learner(file: str) -> None:
    """Brooklyn: 56.7k is RL4AMOD's best learnt controller, 61,500 what was aimed at; 4,000 steps reach 63,600."""
    example, city = _example(), mfnet_envs.io.load_city(file)
    protocol = example.Protocol(city)
    policy = example.learnt(file, 4_000, 0)
    profits = [protocol.play(protocol.by(policy), seed) for seed in example.EPISODES]
    bounds = [protocol.bound(seed) for seed in example.EPISODES[:2]]
    assert 61_500 < np.mean(profits) and profits[0] < bounds[0] and profits[1] < bounds[1]


@pytest.mark.slow
@pytest.mark.parametrize("file", CITIES, indirect=True)
def test_all_that_was_aimed_at(file: str) -> None:
    example = _example()
    name = Path(file).stem.removeprefix("scenario_")
    assert example.reproduce(name, file, 20_000, 1)


@pytest.mark.parametrize("seed", [0, 3])
def test_drives_beyond_all_price_are_not_driven(seed: int) -> None:
    """Nothing is worth a drive of 10^9, so nothing is earned; with such costs the solver never came back."""
    rng, zones, shape = np.random.default_rng(seed), 6, (5, 6, 6)
    demand = rng.uniform(0, 3, shape) * (rng.random(shape) < 0.4)
    minutes = rng.integers(5, 30, (zones, zones)).astype(float)
    rides = {"demand": demand, "travel_time": np.tile(minutes, (5, 1, 1)), "fare": rng.uniform(5, 20, shape)}
    place = {"empty_time": minutes * (1 - np.eye(zones)), "neighbours": np.array([[0, 1]]), "cars": 42}
    city = CityData(name="dear", zones=tuple(range(zones)), step=5.0, start=420, **rides, **place)
    model = mfnet_envs.make_model("MFNet-RideShare-v0", city=city, fleet=10_000, repeat=True, cost=1e9)
    assert model.bound().value == 0
