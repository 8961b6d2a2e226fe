"""The report: one page that needs nothing from anywhere, and says what the numbers say."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfnet_envs
from mfnet_agents import cli, report, report_charts, report_numbers
from mfnet_agents.runs import RunError, RunFolder
from mfnet_agents.yardstick import Yardstick
from mfnet_envs.policy import one_hot
from mfnet_envs.simulator import Simulator

AVERAGE = Yardstick("reward_per_step", 8000.0, "reward per step at full scale", 2556.9)


def entry(value: float, ci95: float = 1.0) -> dict[str, Any]:
    """What ``measured`` returns."""
    return {
        "value": value,
        "ci95": ci95,
        "report": {"discounted_return_mean": value / 250, "discounted_return_ci95": 0.01},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run with its report."""
    path = tmp_path_factory.mktemp("run") / "small"
    small = ["--population", "12", "--env", "rows=2", "cols=2", "horizon=20", "--worlds", "8", "--steps", "512"]
    options = ["evaluation_interval=4", "evaluation_duration=8", "num_envs_per_env_runner=4"]
    assert cli.main(["train", "MFNet-Grid-v0", *small, "--set", *options, "--out", str(path), "--no-tensorboard"]) == 0
    assert cli.main(["report", str(path)]) == 0
    return path


class References(HTMLParser):
    """Collects what a page would load or link to, its ids and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
                self.found.append(value or "")
            self.found += re.findall(r"url\(([^)]*)\)", value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else(run: Path) -> None:
    page = (run / "report.html").read_text("utf-8")
    references = References()
    references.feed(page)
    assert references.found and all(reference.startswith("#") for reference in references.found)
    assert not {"script", "link", "iframe", "object", "embed"} & references.tags
    assert "@import" not in page and "<!DOCTYPE svg" not in page
    ids = set(references.ids)
    assert {reference[1:] for reference in references.found} <= ids
    assert not re.findall(r"(?<!xmlns=\")(?<!xmlns:xlink=\")https?://", page), "namespaces are names, not addresses"


def test_the_page_is_well_formed(run: Path) -> None:
    page = (run / "report.html").read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>")
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    svg = "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall(f".//{svg}")) == 1
    assert all(picture.get("aria-label") for picture in root.iter(svg))


def test_the_page_holds_the_result(run: Path) -> None:
    references = References()
    references.feed((run / "report.html").read_text("utf-8"))
    result = json.loads((run / "result.json").read_text())
    for name in ("random", "last", "best"):
        assert f"{result[name]['value']:.3f} ± {result[name]['ci95']:.3f}" in references.text
    assert f"{result['yardstick']['bound']:.3f}" in references.text
    assert f"{100 * result['best']['gap_closed']:.1f} %" in references.text
    assert "One training seed" in references.text


def test_heuristics_are_measured_on_the_run_s_worlds(run: Path) -> None:
    found = json.loads((run / "heuristics.json").read_text())
    config, result = RunFolder.open(run).config(), json.loads((run / "result.json").read_text())
    model = mfnet_envs.make_model("MFNet-Grid-v0", **config.env_config)
    assert found["policies"].keys() == model.heuristics().keys()
    common = result["evaluation"]
    expected = mfnet_envs.evaluate(model, model.heuristics()["greedy"], worlds=common["worlds"], seed=common["seed"])
    assert found["policies"]["greedy"]["value"] == expected["discounted_return_mean"]
    assert found["policies"]["random"]["value"] == result["random"]["value"]


def test_pictures_are_written(run: Path) -> None:
    assert (run / "learning_curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_command_of_the_run_is_on_the_page(run: Path) -> None:
    command = json.loads((run / "config.json").read_text())["command"]
    assert command.startswith("mfnet")


def test_an_unfinished_run_has_no_report(run: Path, tmp_path: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    for name in ("config.json", "progress.csv"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / "result.json").write_text(json.dumps({k: v for k, v in result.items() if k != "best"}))
    with pytest.raises(RunError, match="is not finished"):
        report.build(tmp_path)


# -- what the numbers say


def test_gap_closed_is_a_share_of_the_way() -> None:
    assert AVERAGE.gap_closed(2036.6, 2036.6) == 0
    assert AVERAGE.gap_closed(2556.9, 2036.6) == 1
    assert AVERAGE.gap_closed((2036.6 + 2556.9) / 2, 2036.6) == pytest.approx(0.5)
    assert Yardstick("discounted_return", 1.0, "", None).gap_closed(2.0, 1.0) is None


def test_the_yardstick_follows_the_certificate() -> None:
    """Average criterion: the fleet's reward after warm-up; discounted: per agent; no certificate: discounted."""
    city = mfnet_envs.make_model("MFNet-RideShareNYC-v0", population=80)
    found = Yardstick.of(city, city.bound(fluid=True))
    assert (found.key, found.scale) == ("reward_per_step", 8000.0)
    report_ = {"reward_per_step_mean": 0.25, "reward_per_step_ci95": 0.001}
    assert found.read(report_) == (2000.0, 8.0)
    assert Yardstick.of(city, None).key == "discounted_return"


def test_both_executions_of_a_team_are_told() -> None:
    """At full scale, 8,000 times what an agent gets; policies whose agents are independent have no second way."""
    team = entry(2000.0)
    team["report"] |= {"individual_execution_reward_per_step_mean": 0.24, "execution_gap_reward_per_step_mean": 0.01}
    team["report"] |= {"individual_execution_reward_per_step_ci95": 0.001, "execution_gap_reward_per_step_ci95": 0.002}
    told = report_numbers.executions({"random": entry(1900.0), "best": team}, AVERAGE)
    assert len(told) == 1
    assert "1,920.0 ± 8.0" in told[0]
    assert "80.000 ± 16.000" in told[0]


def test_above_and_below_need_intervals_that_do_not_touch() -> None:
    verdict = report_numbers.verdict
    assert verdict(entry(2350, 1), entry(2336, 1)) == "above"
    assert verdict(entry(2350, 1), entry(2351.5, 1)) == "level with"
    assert verdict(entry(2350, 1), entry(2353, 1)) == "below"
    assert verdict(entry(2350, float("nan")), entry(2353, 1)) == "level with"


def test_the_sentences_name_everybody_once() -> None:
    policies = {"random": entry(2036), "lp": entry(2300), "hybrid_lp": entry(2352), "learnt, best": entry(2351)}
    first, second = report_numbers.sentences(policies, AVERAGE)
    assert "2,351.0 ± 1.0" in first and "60.5 %" in first and "2,556.9" in first
    assert second == "By its 95 % interval it is above random, LP policy; level with tuned LP hybrid."


def test_the_table_goes_from_worst_to_best() -> None:
    policies = {"lp": entry(2300), "random": entry(2036), "learnt, best": entry(2351)}
    head, *rows = report_numbers.table(policies, AVERAGE)
    assert [row[0] for row in rows] == ["random", "LP policy", "learnt, best", "bound"]
    assert all(len(row) == len(head) == 4 for row in rows)
    per_agent = Yardstick("discounted_return", 1.0, "return per driver", 12.0)
    assert len(report_numbers.table(policies, per_agent)[0]) == 3, "no second column of the same numbers"


# -- pictures


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=9), st.floats(0.1, 10))
def test_labels_keep_apart_and_in_order(values: list[float], apart: float) -> None:
    places = report_charts.spread(values, apart)
    order = np.argsort(values, kind="stable")
    gaps = np.diff(np.array(places)[order])
    assert (gaps > apart - 1e-6).all()
    if (np.diff(np.sort(values)) >= apart).all():
        assert np.allclose(places, values), "nobody moves without need"
    assert np.isclose(np.mean(places), np.mean(values), atol=1e-6), "nobody is favoured"


def test_waiting_counts_every_idle_agent() -> None:
    """Where nobody moves and nobody is served, agents stay where they start."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=50, rows=2, cols=3, total_demand=0.0, horizon=5)
    stay = one_hot(model, np.zeros(len(model.team_states), int))
    found = report_numbers.waiting(model, stay, worlds=7, seed=3)
    start = Simulator(model).reset(np.random.default_rng(3), 7)
    assert np.allclose(found, start.mean(0)) and np.isclose(found.sum(), 50)


def test_the_map_shows_amounts_per_area() -> None:
    """Two rectangles of 1 and 4 square kilometres with equal amounts: the small one is four times as dense."""
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], float)
    figure = report_charts.city([square, 2 * square + 3], [("a", "per km²", np.array([8.0, 8.0]))] * 2)
    densities = figure.axes[0].collections[0].get_array()
    assert np.allclose(densities, [8.0, 2.0])
