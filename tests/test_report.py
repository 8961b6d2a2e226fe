"""The report: one page that needs nothing from anywhere, and says what the numbers say."""

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfnet_envs
from mfnet_agents import cli
from mfnet_agents.pages import charts as report_charts
from mfnet_agents.pages import map as report_map
from mfnet_agents.pages import run as report
from mfnet_agents.progress import Progress
from mfnet_agents.runs import RunError
from mfnet_envs.policy import one_hot
from mfnet_envs.simulator import Simulator
from mfnet_envs.yardstick import Yardstick
from mfnet_theory import page as theory_page
from mfnet_theory.statement import Settings

SCRIPT = "<script>alert(1)</script>"


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
    found, model = report.read(run)
    assert found.measured.results.keys() == {"random", *model.heuristics(), "best", "last"}
    common = json.loads((run / "result.json").read_text())["evaluation"]
    expected = mfnet_envs.evaluate(model, model.heuristics()["greedy"], worlds=common["worlds"], seed=common["seed"])
    assert found.measured.results["greedy"].value == expected["discounted_return_mean"]


def test_a_run_of_an_earlier_version_is_completed(run: Path, tmp_path: Path) -> None:
    """It knows no heuristics and no worlds; the report measures the heuristics once and says the same numbers."""
    shutil.copytree(run, tmp_path / "old")
    result = json.loads((run / "result.json").read_text())
    result.pop("policies", None)
    for name in ("random", "last", "best"):
        result[name].pop("values", None)
    (tmp_path / "old" / "result.json").write_text(json.dumps(result))
    (tmp_path / "old" / "heuristics.json").unlink(missing_ok=True)
    told: list[str] = []
    report.build(tmp_path / "old", Told(told))
    assert told[0] == "measuring the heuristics ..." and len(told) > 3
    old, new = (report.read(path)[0].measured for path in (tmp_path / "old", run))
    assert old.text() == new.text()
    report.build(tmp_path / "old", Told(told := []))
    assert told == [], "they are kept"


class Told(Progress):
    def __init__(self, sentences: list[str]) -> None:
        self.sentences = sentences

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


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
    found = report_map.waiting(model, stay, worlds=7, seed=3)
    start = Simulator(model).reset(np.random.default_rng(3), 7)
    assert np.allclose(found, start.mean(0)) and np.isclose(found.sum(), 50)


def test_the_map_shows_amounts_per_area() -> None:
    """Two rectangles of 1 and 4 square kilometres with equal amounts: the small one is four times as dense."""
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], float)
    figure = report_map.draw([square, 2 * square + 3], [("a", "per km²", np.array([8.0, 8.0]))] * 2)
    densities = figure.axes[0].collections[0].get_array()
    assert np.allclose(densities, [8.0, 2.0])


@pytest.mark.parametrize(("tilt", "corner"), [(0.0, (2, 0)), (90.0, (0, 2)), (180.0, (-2, 0))])
def test_the_map_turns_anticlockwise_by_its_scenario_s_degrees(tilt: float, corner: tuple[float, float]) -> None:
    ring = np.array([[0, 0], [2, 0], [2, 1], [0, 0]], float)
    figure = report_map.draw([ring], [("a", "per km²", np.array([1.0]))] * 2, tilt)
    drawn = figure.axes[0].collections[0].get_paths()[0].vertices
    assert np.allclose(drawn[1], corner)


# -- markup in files and words


def leaves(record: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of a JSON file stand; lists of numbers are one value."""
    if isinstance(record, dict):
        return [found for key, value in record.items() for found in leaves(value, (*path, key))]
    return [path]


def planted(record: Any, path: tuple[Any, ...]) -> Any:
    """A copy with markup at ``path``."""
    if not path:
        return SCRIPT
    return {**record, path[0]: planted(record[path[0]], path[1:])}


def test_markup_in_a_file_stays_text(run: Path, tmp_path: Path) -> None:
    """Every field of every file: it is refused in a sentence, or it is escaped. Names of entries too."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    entry = json.loads((run / "result.json").read_text())["best"]
    stairs = {"steps": 5, "worlds": 2, "seed": 0, "options": {SCRIPT: SCRIPT}, "runs": {"0": entry, "1": entry}}
    (folder / "staircase.json").write_text(json.dumps(stairs))
    accepted = 0
    for name in ("config.json", "result.json", "heuristics.json", "staircase.json"):
        file = folder / name
        if not file.is_file():
            continue
        record = json.loads(file.read_text())
        for path in leaves(record):
            before = file.read_text()
            file.write_text(json.dumps(planted(json.loads(before), path)))
            try:
                report.read(folder)
                accepted += 1
            except RunError:
                file.write_text(before)
    assert accepted > 5
    config = json.loads((folder / "config.json").read_text())
    config["versions"][SCRIPT] = config["config"][SCRIPT] = SCRIPT
    (folder / "config.json").write_text(json.dumps(config))
    result = json.loads((folder / "result.json").read_text())
    result.setdefault("policies", {})[SCRIPT] = entry
    (folder / "result.json").write_text(json.dumps(result))
    page = report.build(folder).read_text("utf-8")
    assert html.escape(SCRIPT) in page
    assert "<script" not in page and "alert(1)</" not in page
    seen = References()
    seen.feed(page)
    assert "script" not in seen.tags and SCRIPT in seen.text


def test_markup_in_the_table_of_progress_is_refused_or_ignored(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    head, *rows = (run / "progress.csv").read_text().splitlines()
    for column in range(len(head.split(","))):
        lines = [",".join([SCRIPT if i == column else cell for i, cell in enumerate(r.split(","))]) for r in rows]
        (folder / "progress.csv").write_text("\n".join([head, *lines]))
        try:
            report.read(folder)
        except RunError as error:
            assert "damaged" in str(error)


def test_the_theory_page_escapes_too() -> None:
    page = theory_page.build([], [SCRIPT], Settings(), 1.0)
    assert "<script" not in page and html.escape(SCRIPT) in page


def test_labels_are_not_read_as_formulas() -> None:
    """A dollar sign is a dollar sign; matplotlib would refuse ``$\\frac$`` and set ``$x$`` in italics."""
    yardstick = Yardstick("discounted_return", 1.0, "gain in $\\frac$", 2.0)
    figure = report_charts.curve(np.array([0.0, 1.0]), np.ones(2), np.ones(2), [("pays $x$", 1.0)], yardstick)
    assert report_charts.svg(figure, "curve", 'a "label"').startswith(
        '<svg role="img" aria-label="a &quot;label&quot;"'
    )


# -- files of another run, or of somebody else's


def test_a_result_of_another_run_is_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    result = json.loads((run / "result.json").read_text())
    for name, value in (
        ("env", "MFNet-SIS-v0"),
        ("seed", 5),
        ("env_config", {**result["env_config"], "population": 50}),
    ):
        (folder / "result.json").write_text(json.dumps({**result, name: value}))
        with pytest.raises(RunError, match=f"{name} is .* in result.json and .* in config.json"):
            report.build(folder)


def test_a_report_runs_nothing_that_its_files_name(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a function of an installed module nor a file that says of itself that it is an environment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('boom').mkdir()\ndef build(): ...\n")
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for env, options in (("os:mkdir", {"path": "boom"}), ("evil.py:build", {}), ("evil:MFNet-Grid-v0", {})):
        for name in ("config.json", "result.json"):
            record = json.loads((run / name).read_text())
            of = record["config"] if name == "config.json" else record
            of |= {"env": env, "env_config": options}
            (folder / name).write_text(json.dumps(record))
        with pytest.raises(RunError, match="which is not known here"):
            report.build(folder)
    assert not (tmp_path / "boom").exists()


def test_a_finished_run_without_its_progress_has_no_report(run: Path, tmp_path: Path) -> None:
    for damaged in ("", "a\0b", "training_iteration,num_env_steps_sampled_lifetime,time_total_s\n"):
        folder = tmp_path / str(len(damaged))
        shutil.copytree(run, folder)
        (folder / "progress.csv").write_text(damaged)
        with pytest.raises(RunError, match=r"progress\.csv"):
            report.build(folder)
