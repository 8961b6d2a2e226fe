"""The report: one page that needs nothing from anywhere, and says what the numbers say."""

import base64
import csv
import hashlib
import html
import io
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfnet_envs
from mfnet_agents import cli
from mfnet_agents.pages import charts as report_charts
from mfnet_agents.pages import frame, plot
from mfnet_agents.pages import map as report_map
from mfnet_agents.pages import run as report
from mfnet_agents.progress import Progress
from mfnet_agents.runs import RunError
from mfnet_envs.drawing import film, film_page
from mfnet_envs.measure import Measurement, Result
from mfnet_envs.policy import one_hot
from mfnet_envs.simulator import Simulator
from mfnet_envs.wording import MapWords
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
    """Collects what a page would load or link to, its ids, its headings, its scripts and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.headings: list[int] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.text = ""
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.inside = tag
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
                self.found.append(value or "")
            assert not name.startswith("on"), "scripts in attributes"
            self.found += re.findall(r"url\(([^)]*)\)", value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        else:
            self.text += data


def seen(page: str) -> References:
    found = References()
    found.feed(page)
    return found


def only_our_script_runs(page: str) -> None:
    """One script, which the page names by its digest, and beside it nothing but data."""
    found = seen(page)
    running = [text for kind, text in found.scripts if kind is None]
    assert len(running) == 1 and frame.SCRIPT in running[0] and "alert" not in running[0]
    assert all(kind in (None, "application/json") for kind, _ in found.scripts)
    digest = base64.b64encode(hashlib.sha256(running[0].encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy and f"script-src 'sha256-{digest}';" in policy[1] and "default-src 'none'" in policy[1]


def test_the_page_needs_nothing_else(run: Path) -> None:
    page = (run / "report.html").read_text("utf-8")
    references = seen(page)
    links = [reference for reference in references.found if not reference.startswith("data:text/csv;charset=utf-8,")]
    assert references.found and all(reference.startswith("#") for reference in links)
    assert not {"link", "iframe", "object", "embed"} & references.tags
    only_our_script_runs(page)
    assert "@import" not in page and "<!DOCTYPE svg" not in page
    assert len(references.ids) == len(set(references.ids))
    assert {reference[1:] for reference in links} <= set(references.ids)
    assert not re.findall(r"(?<!xmlns=\")(?<!xmlns:xlink=\")https?://", page), "namespaces are names, not addresses"
    assert len(page) < 500_000


def test_the_page_is_well_formed(run: Path) -> None:
    page = (run / "report.html").read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>")
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    pictures = [svg for svg in root.iter("svg") if svg.get("aria-hidden") != "true"]
    assert len(pictures) == 2 + 2  # the curve, wide and narrow; where drivers are, before and after
    assert all(picture.get("aria-label") and picture.get("role") == "img" for picture in pictures)


def test_the_page_can_be_read_without_seeing_it(run: Path) -> None:
    """Its language, headings without a gap, a table and a file beside every chart, no table without heads."""
    page = (run / "report.html").read_text("utf-8")
    assert '<html lang="en">' in page and "<main>" in page
    headings = seen(page).headings
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    charts = [figure for figure in root.iter("figure") if figure.get("class") == "chart"]
    assert len(charts) == 2
    for chart in charts:
        says = json.loads(chart.get("data-says", ""))
        rows = list(chart.iter("tr"))
        assert 0 < len(says) < len(rows) and chart.find(".//a[@download]") is not None
        for svg in chart.findall(".//svg[@data-at]"):
            assert {point.get("data-i") for point in svg.iter("g")} - {None} == {str(i) for i in range(len(says))}
    for table in root.iter("table"):
        assert all(head.get("scope") for head in table.iter("th"))


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("style", ["report", "film"])
def test_colours_can_be_told_from_their_ground(style: str) -> None:
    """WCAG AA, light and dark: 4.5 for words, 3 for what is drawn."""
    text = frame.STYLE if style == "report" else film_page.shipped("film_page.html")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", text, re.S)
    )
    assert light.keys() == dark.keys() and len(light) > 5

    def contrast(a: str, b: str) -> float:
        high, low = sorted((luminance(a), luminance(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for colours in (light, dark):
        words = [("ink", "card"), ("soft", "card"), ("accent", "card")]
        if style == "report":
            words += [("ink", "ground"), ("soft", "ground"), ("ink", "learnt"), ("accent", "learnt")]
        for word, ground in words:
            assert contrast(colours[word], colours[ground]) >= 4.5, (word, ground, colours)
        for drawn in ("focus", "s1", *(["s0", "axis"] if style == "report" else [])):
            assert contrast(colours[drawn], colours["card"]) >= 3.0, (drawn, colours)


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_reads_charts_and_film_by_keys(run: Path, width: int) -> None:
    """The scripts run without a complaint: readouts and film follow the keys; nothing is wider than the window."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "no browser is installed: apt-get install chromium"
    probe = """<script>
    const press = (e, key) => e.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const said = [...document.querySelectorAll("figure.chart")].map((chart) => {
      press(chart.querySelector(".plot"), "Home");
      return [chart.querySelector(".plot").getAttribute("aria-valuetext"), chart.querySelector(".readout").textContent];
    });
    ["ArrowRight", "ArrowRight", "ArrowRight"].forEach((key) => press(document.querySelector(".film input"), key));
    const film_ = document.querySelector(".film output").textContent;
    document.title = JSON.stringify([document.documentElement.scrollWidth <= innerWidth, film_, ...said]);
    </script>"""
    page = (run / "report.html").read_text("utf-8").replace("</body>", f"{probe}</body>")
    page = re.sub("script-src 'sha256-[^']*'", "script-src 'unsafe-inline'", page)  # the probe is none of its own
    (run / "probed.html").write_text(page, "utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--window-size={width},800", f"file://{run}/probed.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    (run / "probed.html").unlink()
    assert "CONSOLE" not in done.stderr
    fits, shown, *said = json.loads(html.unescape(re.findall("<title>(.*?)</title>", done.stdout)[0]))
    assert fits and shown == "step 3 of 20"
    root = ElementTree.fromstring((run / "report.html").read_text("utf-8").removeprefix("<!DOCTYPE html>"))
    firsts = [json.loads(chart.get("data-says", ""))[0] for chart in root.iter("figure")]
    assert said == [[first, first] for first in firsts]


def test_the_numbers_of_a_chart_can_be_taken_away(run: Path) -> None:
    """The CSV in the link holds what progress.csv holds, to all digits, and the levels of the result."""
    root = ElementTree.fromstring((run / "report.html").read_text("utf-8").removeprefix("<!DOCTYPE html>"))
    link = root.find(".//a[@download='learning_curve.csv']")
    assert link is not None
    head, *rows = csv.reader(io.StringIO(unquote(link.get("href", "").removeprefix("data:text/csv;charset=utf-8,"))))
    assert head == ["environment steps (thousands)", "return per driver", "95 % from", "to"]
    with (run / "progress.csv").open(newline="") as file:
        found = [row for row in csv.DictReader(file) if row["evaluation/discounted_return_mean"]]
    for row, (steps, value, low, high) in zip(found, rows, strict=False):
        mean, reach = (float(row[f"evaluation/discounted_return_{key}"]) for key in ("mean", "ci95"))
        assert float(steps) * 1000 == float(row["num_env_steps_sampled_lifetime"])
        assert [float(value), float(low), float(high)] == pytest.approx([mean, mean - reach, mean + reach], rel=1e-8)
    result = json.loads((run / "result.json").read_text())
    levels = {name: float(value) for name, value, *_ in rows[len(found) :]}
    assert levels["bound"] == pytest.approx(result["yardstick"]["bound"], rel=1e-8)
    [best] = [name for name in levels if name.startswith("best heuristic: ")]
    heuristics = {name: entry["value"] for name, entry in result["policies"].items() if name not in ("best", "last")}
    assert levels[best] == pytest.approx(max(heuristics.values()), rel=1e-8)
    assert min(levels.values()) == pytest.approx(heuristics["random"], rel=1e-8)


def test_a_planner_s_value_is_the_best_known() -> None:
    def result(value: float) -> Result:
        return Result(value, 0.1, {}, None)

    yardstick = Yardstick("discounted_return", 1.0, "gain", 9.0)
    results = {"random": result(1.0), "greedy": result(4.0), "planner:replan": result(6.0), "stay": result(0.5)}
    found = report.levels(Measurement(results | {"best": result(7.0), "last": result(7.0)}, yardstick, None, 8, 0))
    assert {(level.name, level.value, level.kind) for level in found} == {
        ("random", 1.0, "other"), ("best heuristic: greedy", 4.0, "best"),
        ("best known: planner:replan", 6.0, "best"), ("bound", 9.0, "bound"),
    }  # fmt: skip


def test_the_film_shows_both_policies_in_one_world(run: Path) -> None:
    """What stands in the page is what playing them anew from that seed gives."""
    page = seen((run / "report.html").read_text("utf-8"))
    [data] = [json.loads(text) for kind, text in page.scripts if kind == "application/json"]
    found, model = report.read(run)
    learnt, other = data["films"]
    heuristics = {n: r.value for n, r in found.measured.results.items() if n not in ("best", "last", "random")}
    best = max(heuristics, key=lambda name: heuristics[name])
    assert [learnt["title"], other["title"]] == ["learnt", f"best heuristic: {found.measured.label(best)}"]
    assert learnt["counts"][0] == other["counts"][0] and learnt["counts"] != other["counts"]
    shot = film.shoot(model, model.heuristics()[best], len(other["rewards"]), found.measured.seed)
    assert other["counts"] == shot.counts.tolist() and other["rewards"] == [round(r, 5) for r in shot.rewards.tolist()]
    assert len(other["rewards"]) == 20
    where = [[data["spots"][code // 2] for code in codes] for codes in other["dots"]]
    assert where == [[data["places"][state] for state in states] for states in shot.dots]  # grid: a state is a node


def test_a_run_without_its_checkpoint_has_a_report_that_says_so(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    page = seen(report.build(tmp_path / "run").read_text("utf-8"))
    assert "No film and no map of what was learnt:" in page.text and "canvas" not in page.tags
    assert "Film:" not in page.text and "Policies side by side" in page.text


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
    folder = tmp_path / "a run"  # what is printed works as printed
    folder.mkdir()
    result = json.loads((run / "result.json").read_text())
    for name in ("config.json", "progress.csv"):
        (folder / name).write_bytes((run / name).read_bytes())
    (folder / "result.json").write_text(json.dumps({k: v for k, v in result.items() if k != "best"}))
    with pytest.raises(RunError, match=f"is not finished; .* --out '{folder}' --resume"):
        report.build(folder)


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
    nodes = report_map.Places(["s", "t"], [square, 2 * square + 3], np.array([1.0, 4.0]), np.zeros((0, 2, 2)))
    panels = [("a", "per km²", np.array([8.0, 8.0]))] * 2
    figure = report_map.draw(nodes, panels)
    densities = figure.axes[0].collections[0].get_array()
    assert np.allclose(densities, [8.0, 2.0])
    page = report_map.figure(nodes, panels, MapWords("h", "taxis", ("", "")))
    says = json.loads(html.unescape(re.findall('data-says="([^"]*)"', page)[0]))
    assert says == ["s: a 8; a 8", "t: a 2; a 2"]


def test_nodes_lie_where_the_scenario_puts_them() -> None:
    """Squares on a lattice, row by row downwards; discs at ``pos`` with the roads between them; nothing made up."""
    lattice = report_map.places(mfnet_envs.make_model("MFNet-Grid-v0", rows=2, cols=3))
    assert lattice is not None and not len(lattice.edges)
    middles = np.array([(ring.min(0) + ring.max(0)) / 2 for ring in lattice.rings])
    across, down = middles[1] - middles[0], middles[3] - middles[0]
    assert across[0] > 0 and across[1] == pytest.approx(0) and down[1] < 0 and down[0] == pytest.approx(0)
    roads = report_map.places(mfnet_envs.make_model("MFNet-Braess-v0"))
    model = mfnet_envs.make_model("MFNet-Braess-v0")
    assert roads is not None and len(roads.edges) == model.network.graph.number_of_edges()
    assert report_map.places(mfnet_envs.make_model("MFNet-Pigou-v0")) is None
    city = report_map.places(mfnet_envs.make_model("MFNet-RideShareNYC-v0", population=100))
    assert (
        city is not None and 50 < city.areas.sum() < 58.7
    )  # Manhattan has 58.7 square km of land; islands are left out


@pytest.mark.parametrize(("tilt", "corner"), [(0.0, (2, 0)), (90.0, (0, 2)), (180.0, (-2, 0))])
def test_the_map_turns_anticlockwise_by_its_scenario_s_degrees(tilt: float, corner: tuple[float, float]) -> None:
    ring = np.array([[0, 0], [2, 0], [2, 1], [0, 0]], float)
    nodes = report_map.Places(["s"], [ring], np.ones(1), np.zeros((0, 2, 2)))
    figure = report_map.draw(nodes, [("a", "per km²", np.array([1.0]))] * 2, tilt)
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
    assert html.escape(SCRIPT) in page and "alert(1)</" not in page
    only_our_script_runs(page)
    assert SCRIPT in seen(page).text


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
    only_our_script_runs(page)
    assert html.escape(SCRIPT) in page


def test_markup_in_data_stays_data() -> None:
    text = frame.data("x", {"a": "</script><script>alert(1)</script>&amp;"})
    assert text.count("<") == 2 and json.loads(seen(text).scripts[0][1]) == {
        "a": "</script><script>alert(1)</script>&amp;"
    }


def test_labels_are_not_read_as_formulas() -> None:
    """A dollar sign is a dollar sign; matplotlib would refuse ``$\\frac$`` and set ``$x$`` in italics."""
    line = report_charts.Series("learnt $y$", np.ones(2), np.zeros(2), np.full(2, np.nan))
    steps, levels = np.array([0.0, 1.0]), [report_charts.Level("pays $x$", 1.0)]
    chart = report_charts.steps_chart("curve", "a", "gain in $\\frac$", steps, [line, line], levels, str)
    figure = report_charts.figure(chart)
    assert report_charts.svg(figure, "curve", 'a "label"').startswith(
        '<svg class="plate" role="img" aria-label="a &quot;label&quot;"'
    )


def test_a_chart_says_what_it_shows() -> None:
    """Two lines of three points, one of which is missing: by hand."""
    nan = np.nan
    lines = [
        report_charts.Series("a", np.array([1.0, 2.0, 3.0]), np.array([0.5, nan, 2.5]), np.array([1.5, nan, 3.5])),
        report_charts.Series("b", np.array([4.0, nan, 2.0]), np.full(3, nan), np.full(3, nan)),
    ]
    steps, say = np.array([0.0, 1000.0, 4000.0]), "{:.1f}".format
    chart = report_charts.steps_chart("c", "C", "gain", steps, lines, [report_charts.Level("bound", 5.0, "bound")], say)
    root = ElementTree.fromstring(plot.figure(chart, "caption"))
    assert json.loads(root.get("data-says", "")) == [
        "step 0: a 1.0 (0.5 to 1.5); b 4.0", "step 1,000: a 2.0; b not known", "step 4,000: a 3.0 (2.5 to 3.5); b 2.0",
    ]  # fmt: skip
    wide, narrow = (root.find(f".//svg[@class='{kind}']") for kind in ("wide", "narrow"))
    assert wide is not None and narrow is not None
    for svg in (wide, narrow):
        at = json.loads(svg.get("data-at", ""))
        assert (at[2] - at[0]) == pytest.approx(4 * (at[1] - at[0]), abs=0.5)
        dots = [
            [float(dot.get("cy", "")) for dot in point.iter("circle")] for point in svg.iter("g") if point.get("data-i")
        ]
        assert [len(heights) for heights in dots] == [2, 1, 2]
        (a0, b0), (a1,), (a2, b2) = dots
        assert a0 - a1 == pytest.approx(a1 - a2, abs=0.2) and b0 - b2 == pytest.approx(-(a0 - a2), abs=0.2)
        width = float(svg.get("viewBox", "").split()[2])
        assert all(0 <= place <= width for place in at)
    assert "bound" in "".join(wide.itertext()) and "bound" not in "".join(narrow.itertext()), "the key names it there"
    assert [cell.text for cell in root.findall(".//tbody/tr")[1]] == ["1", "2", None, None, None, None, None]


def test_a_chart_of_nothing_is_a_chart() -> None:
    """A run that has been evaluated once, in one world; one whose numbers are none."""
    for value in (2.0, np.nan):
        line = report_charts.Series("a", np.array([value]), np.array([np.nan]), np.array([np.nan]))
        chart = report_charts.steps_chart("c", "C", "gain", np.zeros(1), [line], [], "{:.1f}".format)
        root = ElementTree.fromstring(plot.figure(chart, "caption"))
        assert json.loads(root.get("data-says", "")) == ["step 0: 2.0" if value == 2.0 else "step 0: not known"]
        assert not re.search(r'"[^"]*\bnan\b', ElementTree.tostring(root, "unicode"))
        report_charts.figure(chart)


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
