"""The measuring room: common worlds, one unit, paired differences, words that say what the numbers say."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

import mfnet_envs
from mfnet_envs.bounds import Certificate
from mfnet_envs.measure import Measurement, Result, measure, percent
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Individually, Policy, uniform
from mfnet_envs.tables import as_markdown
from mfnet_envs.yardstick import Yardstick

FLEET = Yardstick("reward_per_step", 8000.0, "reward per step at full scale", 2556.9)
BELOW = Yardstick("reward_per_step", 8000.0, "reward per step at full scale", 2100.0)


def result(value: float, ci95: float = 1.0, **report: float) -> Result:
    """A result as a file of an earlier version has it: no worlds."""
    per_agent = {"discounted_return_mean": value / 250, "discounted_return_ci95": 0.01}
    return Result(value, ci95, {**per_agent, **report})


def side_by_side(yardstick: Yardstick = FLEET, **results: Result) -> Measurement:
    return Measurement({"random": result(2036), **results}, yardstick, None, 256, 0, {"lp": "LP policy"})


@pytest.fixture(scope="module")
def grid() -> LocalModel:
    return mfnet_envs.make_model("MFNet-Grid-v0", population=12, rows=2, cols=3, horizon=20)


@pytest.fixture(scope="module")
def measured(grid: LocalModel) -> Measurement:
    return measure(grid, grid.heuristics(), worlds=24, seed=7)


def test_a_bound_that_is_exceeded_is_said_to_be_none() -> None:
    """Somebody changed a reward and left bound() as it was: 100 % of it is no number to show without a word."""
    many = side_by_side(BELOW, best=result(2110.0), lp=result(2104.0))
    assert many.exceeded() == [
        "warning: best reaches 2,110.0 ± 1.0, above the bound 2,100.0; the model's bound() does not hold here: "
        "mend it, or let it return None"
    ]
    assert many.text().endswith(many.exceeded()[0]), "said wherever the number is read"
    assert not set(many.exceeded()) & set(many.footnotes()), "and once where both are printed"
    assert not side_by_side(BELOW, lp=result(2102.5)).exceeded(), "chance is no fault"
    assert not side_by_side(BELOW, lp=result(2100.001, 0.0)).exceeded(), "nor is rounding"
    assert not side_by_side(BELOW, lp=result(9e9, math.inf)).exceeded(), "one world says nothing"


# -- numbers


def test_nothing_is_printed_as_less_than_nothing() -> None:
    assert Yardstick("discounted_return", 1.0, "return", -0.0).text(-0.0, 0.0) == "0.000 ± 0.000"
    assert FLEET.text(-1e-9) == "0.000" and FLEET.text(-0.001) == "-0.001"
    assert str(Certificate(-0.0, "average", "trips", "lp", None, 0.0, "all")).startswith("0.0000 trips")


def test_the_headline_is_in_the_unit_of_the_bound() -> None:
    """A fleet of 8,000: 8,000 times what an agent earns in a step."""
    city = mfnet_envs.make_model("MFNet-RideShareNYC-v0", population=80, occupied="markov")
    report = mfnet_envs.evaluate(city, city.heuristics()["stay"], worlds=4)
    assert report["headline_mean"] / report["reward_per_step_mean"] == pytest.approx(8000)
    assert report["headline_ci95"] / report["reward_per_step_ci95"] == pytest.approx(8000)
    found = measure(city, {"stay": city.heuristics()["stay"]}, worlds=4, certificate=None)
    assert found.results["stay"].value == report["headline_mean"]
    assert found.results["stay"].report == report
    assert found.yardstick.unit == "reward per step at full scale"


def test_everybody_plays_the_same_worlds(grid: LocalModel, measured: Measurement) -> None:
    """A policy's numbers do not depend on who is measured beside it."""
    alone = measure(grid, {"greedy": grid.heuristics()["greedy"]}, worlds=24, seed=7, certificate=None)
    assert np.array_equal(alone.results["greedy"].values, measured.results["greedy"].values)
    other = measure(grid, {}, worlds=24, seed=8, certificate=None)
    assert not np.array_equal(other.results["random"].values, measured.results["random"].values)


def test_random_is_always_there(grid: LocalModel) -> None:
    found = measure(grid, {"greedy": grid.heuristics()["greedy"]}, worlds=3, certificate=None)
    assert list(found.results) == ["random", "greedy"]
    expected = mfnet_envs.evaluate(grid, uniform(grid), worlds=3)
    assert found.results["random"].value == expected["headline_mean"]


def test_intervals_are_student_s(measured: Measurement) -> None:
    values = measured.results["greedy"].values
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert measured.results["greedy"].ci95 == pytest.approx((high - low) / 2)
    assert measured.results["greedy"].value == pytest.approx((high + low) / 2)


def test_differences_are_paired(measured: Measurement) -> None:
    a, b = (measured.results[name].values for name in ("greedy", "stay"))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    difference, ci95 = measured.difference("greedy", "stay")
    assert (difference - ci95, difference + ci95) == pytest.approx((expected.low, expected.high))


def test_a_pair_can_differ_where_the_intervals_overlap() -> None:
    """Worlds differ by far more than policies do, and every world says the same of the two."""
    luck = np.arange(20.0)
    lucky = {name: Result(9.5 + more, 2.8, {}, luck + more) for name, more in (("random", 0.0), ("a", 0.5))}
    found = Measurement(lucky, Yardstick("discounted_return", 1.0, "return", None), None, 20, 0)
    assert found.difference("a", "random") == pytest.approx((0.5, 0.0), abs=1e-12)
    assert found.standing("a", "random") == "above"
    assert found.standing("random", "a") == "below"


@pytest.mark.parametrize(("ci95", "other", "expected"), [
    (1.0, 2336.0, "above"), (1.0, 2351.5, "level with"), (1.0, 2353.0, "below"),
    (math.nan, 2353.0, "level with"), (math.inf, 9.0, "level with"),
])  # fmt: skip
def test_without_worlds_intervals_must_not_touch(ci95: float, other: float, expected: str) -> None:
    assert side_by_side(a=result(2350, ci95), b=result(other)).standing("a", "b") == expected


def test_gap_closed_is_a_share_of_the_way(measured: Measurement, grid: LocalModel) -> None:
    halfway = side_by_side(a=result((2036 + 2556.9) / 2), b=result(2556.9))
    assert [halfway.gap_closed(name) for name in ("random", "a", "b")] == pytest.approx([0, 0.5, 1])
    without = side_by_side(Yardstick("discounted_return", 1.0, "", None))
    assert without.gap_closed("random") is None
    bound = grid.bound()
    assert bound is not None and measured.certificate == bound and measured.yardstick.bound == bound.value


def test_a_certificate_of_another_criterion_is_refused(grid: LocalModel) -> None:
    wrong = Certificate(1.0, "average", "per step", "lp", None, 0.0, "none")
    with pytest.raises(ValueError, match="average"):
        measure(grid, {}, worlds=2, certificate=wrong)


@pytest.mark.parametrize("certificate", ["solv", 3.5, {}, np.ones(3)], ids=repr)
def test_what_is_no_certificate_is_refused(grid: LocalModel, certificate: Any) -> None:
    with pytest.raises(TypeError, match=r"a certificate is what model.bound\(\) returns, or None, not "):
        measure(grid, {}, worlds=2, certificate=certificate)


@pytest.mark.parametrize("policies", [1e308, "random", None, [1, 2], np.ones(2)], ids=repr)
def test_policies_have_names(grid: LocalModel, policies: Any) -> None:
    for given in (policies, {3: uniform(grid)}):
        with pytest.raises(TypeError, match="policies are given by name"):
            measure(grid, given, worlds=2)


def test_a_policy_of_another_network_is_refused(grid: LocalModel) -> None:
    """It would fail in some array, or play what was meant for other places; another population is no other network."""
    small = mfnet_envs.make_model("MFNet-Grid-v0", population=3, rows=1, cols=2)
    says = "the policy is of a model with 2 states and 5 actions, and this one has"
    for policy in (uniform(small), Individually(uniform(small))):
        with pytest.raises(ValueError, match=says):
            mfnet_envs.evaluate(grid, policy, worlds=2)
        with pytest.raises(ValueError, match=says):
            measure(grid, {"wrong": policy}, worlds=2)
    fewer = mfnet_envs.make_model("MFNet-Grid-v0", population=2, rows=1, cols=2)
    assert mfnet_envs.evaluate(small, uniform(fewer), worlds=2) == mfnet_envs.evaluate(small, uniform(small), worlds=2)


@pytest.mark.parametrize(("arguments", "says"), [
    (("MFNet-Grid-v0", "random"), "make_model"), ((None, None), "make_model"),
])  # fmt: skip
def test_an_id_is_not_a_model(arguments: Sequence[object], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        mfnet_envs.evaluate(*arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=says):
        measure(arguments[0], {})  # type: ignore[arg-type]


def test_a_name_is_not_a_policy_and_nothing_is_played_first(grid: LocalModel) -> None:
    told: list[str] = []
    policies: dict[str, Policy] = {"fine": uniform(grid), "wrong": "greedy"}  # type: ignore[dict-item]
    with pytest.raises(TypeError, match=r"heuristics\(\).*'greedy'"):
        measure(grid, policies, tell=lambda name, _: told.append(name))
    with pytest.raises(TypeError, match="'greedy'"):
        mfnet_envs.evaluate(grid, "greedy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="worlds must be a positive integer"):
        measure(grid, {}, worlds=0, tell=lambda name, _: told.append(name))
    assert told == []


# -- files


def test_json_keeps_everything(measured: Measurement) -> None:
    back = Measurement.from_dict(json.loads(json.dumps(measured.to_dict())))
    assert back == measured
    assert back.difference("greedy", "lp") == measured.difference("greedy", "lp")
    assert back.text() == measured.text()


def test_one_world_has_no_interval_and_survives_json(grid: LocalModel) -> None:
    """JSON has no infinity: it is written as null."""
    found = measure(grid, {}, worlds=1, certificate=None).to_dict()
    assert found["policies"]["random"]["ci95"] == math.inf
    found["policies"]["random"]["ci95"] = None
    back = Measurement.from_dict(found)
    assert back.results["random"].ci95 == math.inf
    assert "±" not in back.text()


def test_a_file_of_another_kind_is_refused() -> None:
    record = side_by_side().to_dict()
    for wrong in ({"key": "served"}, {"scale": "many"}):
        with pytest.raises(ValueError):
            Measurement.from_dict({**record, "yardstick": {**record["yardstick"], **wrong}})


# -- words


def test_the_table_goes_from_worst_to_best() -> None:
    found = side_by_side(lp=result(2300), learnt=result(2351))
    head, *rows = found.table()
    assert [row[0] for row in rows] == ["random", "LP policy", "learnt", "bound"]
    assert rows[1] == ["LP policy", "2,300.0 ± 1.0", "50.7 %", "9.200 ± 0.010"]
    assert rows[3] == ["bound", "2,556.9", "100.0 %", ""]
    assert all(len(row) == len(head) == 4 for row in rows)
    per_agent = Yardstick("discounted_return", 1.0, "return per driver", 12.0)
    assert len(side_by_side(per_agent).table()[0]) == 3, "no second column of the same numbers"


def test_text_is_aligned_and_markdown_has_as_many_cells() -> None:
    found = side_by_side(lp=result(2300))
    widths = {len(line) for line in found.text().splitlines() if "bound" not in line}
    assert len(widths) == 1
    lines = found.markdown().splitlines()
    assert lines[1] == "|---|---|---|---|"
    assert {line.count("|") for line in lines} == {5}
    assert as_markdown([["a|b"], ["c"]]).splitlines()[0] == "| a\\|b |"


def test_the_sentences_name_everybody_once() -> None:
    found = side_by_side(lp=result(2300), hybrid=result(2352), best=result(2351), last=result(2340))
    first, second = found.sentences("best", "The learnt policy", besides=["best", "last"])
    assert first.startswith("The learnt policy reaches 2,351.0 ± 1.0")
    assert "60.5 %" in first and "2,556.9" in first
    assert second == "By the 95 % interval of the difference it is above random, LP policy; level with hybrid."
    assert len(side_by_side().sentences("random", "Chance")) == 1, "nobody to compare with"


def test_both_executions_of_a_team_are_told() -> None:
    """At full scale, 8,000 times what an agent gets; policies whose agents are independent have no second way."""
    alone = {"individual_execution_reward_per_step_mean": 0.24, "individual_execution_reward_per_step_ci95": 0.001}
    gap = {"execution_gap_reward_per_step_mean": 0.01, "execution_gap_reward_per_step_ci95": 0.002}
    told = side_by_side(team=result(2000.0, **alone, **gap)).executions()
    assert len(told) == 1
    assert "1,920.0 ± 8.0" in told[0]
    assert "80.000 ± 16.000" in told[0]


def test_shares_of_nothing_have_no_sign() -> None:
    assert (percent(-0.0004), percent(0.8099), percent(None)) == ("0.0 %", "81.0 %", "")
    assert (percent(-0.003, 0), percent(0.7, 0)) == ("0 %", "70 %")
