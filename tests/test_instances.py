"""Instances: drawn alike everywhere, apart between splits, as hard as their knobs say."""

import json
import os
import subprocess
import sys
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from scipy.stats import chisquare

import mfnet_envs
from mfnet_agents.cli import main
from mfnet_envs import instances
from mfnet_envs.instances.draws import Draws, digest
from mfnet_envs.instances.families import HOURS, WEEKDAYS
from mfnet_envs.policy import uniform
from mfnet_envs.targets import TargetError

GENERATED = [family for family in instances.FAMILIES if family != "manhattan"]

# Published: a run that names an instance means these numbers. They change for no reason at all.
PINNED = {
    "grid-train-0": "31423f694c779c16",
    "grid-test-4": "835e56c9423b8895",
    "courier-validation-8": "2f9f8b41df4c8fdb",
    "rideshare-test-7": "79d94711a05ac294",
    "manhattan-test-1": "fdb2b8d0784ce0ce",
    "routing-train-26": "9a3b0cc6cb1a085f",
    "packet-validation-3": "e6722ecb23b0b9a8",
    "sis-test-8": "baf32f15199f7f56",
    "grid-large-strong-heavy-seed7": "39163f32cf0c9d83",
}


def test_published_instances_stay_what_they_are() -> None:
    assert {name: instances.instance(name).hash[:16] for name in PINNED} == PINNED


def test_another_process_draws_the_same() -> None:
    code = "from mfnet_envs import instances; print([i['hash'] for i in instances.listing('rideshare')])"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert said.stdout.strip() == str([one["hash"] for one in instances.listing("rideshare")])


def test_draws_are_even_and_shuffles_keep_everything() -> None:
    draws = Draws("some key")
    dice = np.bincount([draws.between(1, 6) for _ in range(3000)], minlength=7)[1:]
    assert chisquare(dice).pvalue > 1e-6
    assert sorted(draws.shuffled(range(50))) == list(range(50))
    first = [Draws(f"{seed}").shuffled(range(4))[0] for seed in range(800)]
    assert chisquare(np.bincount(first, minlength=4)).pvalue > 1e-6


def test_what_is_hashed_is_whole() -> None:
    """The digest of JSON's own example of order and blanks; a float has no place in it."""
    assert digest({"b": [1, 2], "a": "x"}) == digest({"a": "x", "b": (1, 2)})
    assert digest([1, 2]) != digest([12])
    with pytest.raises(TypeError, match=r"whole numbers and words, not 0\.5"):
        digest({"deep": [{"in": 0.5}]})


# -- splits


def test_splits_share_nothing() -> None:
    listed = instances.listing()
    assert len(listed) == len(instances.FAMILIES) * (27 + 9 + 9)
    assert len({one["name"] for one in listed}) == len({one["hash"] for one in listed}) == len(listed)
    for family in ("rideshare", "manhattan"):
        hours = {of: {i.knobs["hour"] for i in instances.split(family, of)} for of in instances.SPLITS}
        assert all(found <= set(HOURS[of]) for of, found in hours.items())
        assert all(not hours[a] & hours[b] for a, b in combinations(hours, 2))
    days = {of: {i.knobs["weekday"] for i in instances.split("manhattan", of)} for of in instances.SPLITS}
    assert {of: len(found) for of, found in days.items()} == {of: len(found) for of, found in WEEKDAYS.items()}
    assert all(not days[a] & days[b] for a, b in combinations(days, 2))


def test_no_seed_of_one_s_own_draws_a_test_instance() -> None:
    found = instances.instance("grid-test-4")
    knobs = {knob: found.knobs[knob] for knob in instances.KNOBS}
    assert instances.generate("grid", found.knobs["seed"], **knobs).content["demand"] != found.content["demand"]


@pytest.mark.parametrize("family", GENERATED)
def test_knobs_are_spread_evenly(family: str) -> None:
    """Train has each of the 27 combinations, the others each pair of values of each pair of knobs."""
    chosen = {
        of: [tuple(i.knobs[knob] for knob in instances.KNOBS) for i in instances.split(family, of)]
        for of in instances.SPLITS
    }
    assert len(set(chosen["train"])) == 27
    for of in ("validation", "test"):
        for a, b in combinations(range(3), 2):
            assert len({(row[a], row[b]) for row in chosen[of]}) == 9
    assert set(chosen["validation"]) != set(chosen["test"])


# -- what is built


@pytest.mark.parametrize("family", GENERATED)
@pytest.mark.parametrize("place", [0, 5])
def test_they_are_models_as_large_as_they_say(family: str, place: int) -> None:
    """The smallest, and a large one; both are stepped."""
    found = instances.split(family, "test")[place]
    nodes = {
        "grid": (16, 81), "courier": (16, 49), "rideshare": (6, 20), "sis": (6, 16), "routing": (None, None),
        "packet": (2 * 6 + 2 * 2 + 6, 2 * 12 + 2 * 4 + 12),
    }[family]  # fmt: skip
    model = found.make()
    size = nodes[place > 0]
    assert size is None or model.network.num_nodes == size
    assert np.isfinite(mfnet_envs.evaluate(model, uniform(model), worlds=2, steps=3, warmup=0)["reward_per_step_mean"])


def test_a_day_in_manhattan_is_the_table_s() -> None:
    found = instances.instance("manhattan-test-0")
    model = found.make()
    assert model.origin == ("MFNet-RideShareNYC-v0", found.options) and found.knobs["weekday"] == "friday"


@pytest.mark.parametrize("family", ["grid", "courier", "sis"])
def test_imbalance_spreads_what_places_want(family: str) -> None:
    """Standard deviation over mean, in the mean of ten seeds."""
    field = "benefit_percent" if family == "sis" else "demand"
    spread = [
        np.mean([
            np.std(wants) / np.mean(wants)
            for wants in (instances.generate(family, k, imbalance=knob).content[field] for k in range(10))
        ])
        for knob in instances.KNOBS["imbalance"]
    ]  # fmt: skip
    assert spread[0] * 2 < spread[1] and spread[1] * 1.4 < spread[2]


def inward(seed: int, imbalance: str) -> float:
    """The mean requests' way towards the centre in its split's first morning, as a part of the town."""
    found = instances.generate("rideshare", seed, imbalance=imbalance)
    city = found.options["city"]
    away = np.abs(city.coordinates - 5).sum(1)
    total = city.demand.sum(0)
    way = (total * (away[:, None] - away)).sum() / total.sum() / away.mean()
    return float(way) * (1 if city.start < 12 * 60 else -1)


def test_the_tide_goes_in_before_noon_and_out_after_it() -> None:
    means = [np.mean([inward(seed, knob) for seed in range(12)]) for knob in instances.KNOBS["imbalance"]]
    assert abs(means[0]) < 0.1 < means[1] < means[2]


def test_a_city_asks_for_what_its_knob_says() -> None:
    """Car-minutes asked for, of those there are: 35-50, 60-80, 95-120 %, and a tenth for the waves of a turn."""
    for knob, (low, high) in zip(("light", "usual", "heavy"), ((35, 50), (60, 80), (95, 120)), strict=True):
        for seed in range(4):
            city = instances.generate("rideshare", seed, congestion=knob).options["city"]
            share = (city.demand * city.travel_time).sum() / (city.cars * city.step * len(city.demand))
            assert low * 0.9 <= 100 * share <= high * 1.1


def test_towns_and_rings_hold_together() -> None:
    for seed in range(20):
        for family, nodes in (("courier", 30), ("sis", 10)):
            graph = nx.Graph(instances.generate(family, seed).content["edges"])
            assert len(graph) == nodes and nx.is_connected(graph)
    missing = [49 - len(instances.generate("courier", seed).content["edges"]) for seed in range(20)]
    assert 0 < np.mean(missing) < 10  # of 49 streets, 29 hold the town together: a quarter of the other 20


def test_congestion_raises_the_price_of_selfishness_or_the_load() -> None:
    from mfnet_envs.engines import user_equilibrium

    loads = []
    for knob in ("light", "usual", "heavy"):
        found = user_equilibrium(instances.generate("routing", 3, congestion=knob).options["network"])
        loads.append(float(np.mean(found.flow / found.network.capacity)))
    assert loads[0] * 1.4 < loads[1] < loads[2] / 1.3


# -- by name


def test_an_instance_is_an_environment() -> None:
    model = mfnet_envs.make_model("mfnet_envs.instances:grid-test-0", population=10)
    assert model.population == 10 and model.network.num_nodes == 16
    np.testing.assert_allclose(model.demand, instances.instance("grid-test-0").make().demand)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("grid-test-9", "0 .. 8"),
        ("gird-test-0", "did you mean 'grid'"),
        ("grid-test", "names look like"),
        ("grid-small-even-light-seed07", "names look like"),  # an instance has one name
        ("grid-small-even-light-seed٣", "names look like"),
    ],
)
def test_a_wrong_name_is_refused_in_a_sentence(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        instances.instance(name)
    with pytest.raises(TargetError, match=said):
        mfnet_envs.make_model(f"mfnet_envs.instances:{name}")


def test_wrong_knobs_are_refused() -> None:
    with pytest.raises(ValueError, match="size must be"):
        instances.generate("grid", 0, size="huge")
    with pytest.raises(ValueError, match="seed must be"):
        instances.generate("grid", -1)
    with pytest.raises(ValueError, match="split must be"):
        instances.split("grid", "tests")
    with pytest.raises(ValueError, match="there is no family"):
        instances.split([], "test")  # type: ignore[arg-type]


def test_commands_list_and_take_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "instances", "sis", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == instances.listing("sis")
    assert main(["env", "instances", "sis"]) == 0
    assert "sis-test-8" in capsys.readouterr().out
    assert main(["env", "instances", "sys"]) == 2
    assert "did you mean 'sis'" in capsys.readouterr().err
    assert main(["env", "show", "instance:sis-test-8"]) == 0
    assert "16" in capsys.readouterr().out
    assert main(["env", "show", "instance:sis-test-80"]) == 2
    assert "0 .. 8" in capsys.readouterr().err
