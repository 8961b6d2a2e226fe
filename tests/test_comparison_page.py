"""The page and the files of a comparison: they say what the results say, whatever anything is called."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pyarrow import parquet

from mfnet_agents import cli
from mfnet_agents.comparison import exports, suites
from mfnet_agents.comparison.jobs import crashed
from mfnet_agents.comparison.plan import RESULT, ComparisonFolder, Plan, make_plan, write_json
from mfnet_agents.comparison.standings import Standings
from mfnet_agents.pages import comparison, frame

SCRIPT = "<script>alert('1')</script>"
VALUES = {"DecNeuralAC": (0.5, 0.6, 0.7), "DecNeuralAC:observe=1,hops=1": (0.8, 0.2, None)}  # scores of runs; a crash
RANDOM, BOUND = 400.0, 600.0


def results(plan: Plan, path: Path) -> ComparisonFolder:
    """Results that nobody ran: runs with the scores above on two instances, the second half as good."""
    folder = ComparisonFolder(path)
    folder.begin(plan, "mfnet compare " + SCRIPT)
    for job in plan.jobs:
        part = 1.0 if job.instance.name == "cells" else 0.5
        same: dict[str, Any] = {"instance": job.instance.name, "seed": job.seed, "ci95": 1.0, "error": None}
        if job.contender is None:
            yardstick = {"key": "discounted_return", "scale": 100.0, "unit": f"$ {SCRIPT}", "bound": BOUND}
            known = {"information": "own node", "needs": SCRIPT, "values": [RANDOM, RANDOM]}
            rows = [{**same, **known, "contender": "random", "value": RANDOM},
                    {**same, **known, "contender": SCRIPT, "value": 410.0, "information": "model known"}]  # fmt: skip
            write_json(folder.folder_of(job) / RESULT, {
                "rows": rows, "yardstick": yardstick, "certificate": None, "notes": [SCRIPT],
            })  # fmt: skip
            continue
        score = VALUES[job.contender.text][job.seed]
        if score is None:
            row = {**same, "contender": job.contender.text, "error": SCRIPT}
        else:
            value = RANDOM + part * score * (BOUND - RANDOM)
            curve = [{"step": step, "env_steps": step, "value": v, "ci95": 1.0, "values": [v - 1, v + 1]}
                     for step, v in zip(job.instance.grid, (RANDOM, value), strict=True)]  # fmt: skip
            row = {
                **same, "contender": job.contender.text, "value": value, "values": [value - 1, value + 1],
                "curve": curve,
                "information": "own node", "needs": "samples", "last_value": value, "chosen_at": 10, "env_steps": 10,
            }  # fmt: skip
        write_json(folder.folder_of(job) / RESULT, {"rows": [row]})
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    record = {
        "id": SCRIPT, "about": SCRIPT, "contenders": ["heuristics", *VALUES], "seeds": 3, "budget": 10, "points": 2,
        "choice_worlds": 2, "choice_seed": 1, "test_worlds": 2, "test_seed": 2, "planner_worlds": 2,
        "instances": [{"name": name, "env": "MFNet-TwoByTwo-v0"} for name in ("cells", SCRIPT)],
    }  # fmt: skip
    path = tmp_path_factory.mktemp("comparison") / "out"
    results(make_plan(suites.from_record(record)), path)
    assert cli.main(["report", str(path)]) == 0
    return path


def test_the_page_is_well_formed_and_escapes_everything(folder: Path) -> None:
    page = (folder / "report.html").read_text("utf-8")
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    assert len(list(root.iter("script"))) == page.count("<script") == 1, "its own"
    assert f"\n{frame.SCRIPT}/*" in page
    drawn = [svg for svg in root.iter("svg") if svg.get("role") == "img"]
    assert len(drawn) == 2 * 4  # efficiency, profiles, and one for each instance; wide and narrow
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert not re.findall(r"(?:src|href)=\"(?!#|data:text/csv)", page), "it needs nothing from anywhere"
    text = "".join(root.itertext())
    assert text.count(SCRIPT) >= 8 and "3 runs" in text


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it(folder: Path, width: int) -> None:
    """Nothing to complain of, and nothing wider than the window, on a telephone or a desk."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "no browser is installed: apt-get install chromium"
    probe = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
    page = (folder / "report.html").read_text("utf-8").replace("</body>", f"{probe}</body>")
    page = re.sub("script-src 'sha256-[^']*'", "script-src 'unsafe-inline'", page)  # the probe is none of its own
    (folder / "probed.html").write_text(page, "utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run(
        [*command, f"--window-size={width},800", f"file://{folder}/probed.html"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "CONSOLE" not in done.stderr
    needed, there = re.findall(r"<title>(\d+) of (\d+)</title>", done.stdout)[0]
    assert int(needed) <= int(there)


def test_the_ranking_by_hand(folder: Path) -> None:
    """Scores .5 .6 .7 and half of them; .8 .2 and a crash, 0, and half of them."""
    standings = Standings(ComparisonFolder(folder))
    ranking = standings.ranking
    assert list(ranking) == ["own node", "model known"]
    first, second = ranking["own node"]
    assert (first.name, second.name) == tuple(VALUES) and (first.crashed, second.crashed) == (0, 2)
    assert first.to_bound is not None and second.to_bound is not None
    assert first.to_bound.value == pytest.approx(np.mean([0.3, 0.35, 0.5, 0.6]))  # of six scores without one a side
    assert second.to_bound.value == pytest.approx(np.mean([0.0, 0.1, 0.2, 0.4]))
    assert first.gap is not None and first.gap.value == pytest.approx(1 - np.mean([0.5, 0.6, 0.7, 0.25, 0.3, 0.35]))
    assert first.beats_next is not None and first.beats_next.value == pytest.approx(6 / 9)  # .8 beats all three
    assert first.to_best is not None  # the best known here is the first, at a mean of .6 of the way, .3 there
    assert first.to_best.value == pytest.approx(np.mean([0.3 / 0.3, 0.35 / 0.3, 0.5 / 0.6, 0.6 / 0.6]))
    assert (first.lowest, first.highest) == (pytest.approx(0.25), pytest.approx(0.7))
    [heuristic] = ranking["model known"]
    assert heuristic.to_bound is not None and heuristic.to_bound.value == pytest.approx(0.05)
    board = standings.boards[0]
    assert board.entries["DecNeuralAC"].mean == pytest.approx(520.0)
    half = 4.302652729911275 * 20 / np.sqrt(3)  # Student's t of two degrees; runs at 500, 520, 540
    assert board.entries["DecNeuralAC"].interval == pytest.approx(np.hypot(half, 1 / np.sqrt(3)))


def test_the_tidy_table_holds_every_number(folder: Path) -> None:
    rows = parquet.read_table(folder / "results.parquet").to_pylist()
    mine = [row for row in rows if row["contender"] == "DecNeuralAC" and row["instance"] == "cells"]
    value = [
        row["value"] for row in mine if row["metric"] == "value" and row["split"] == "test" and row["world"] is None
    ]
    assert value == [500.0, 520.0, 540.0]
    worlds = [row["value"] for row in mine if row["metric"] == "value" and row["split"] == "test" and row["world"] == 1]
    assert worlds == [501.0, 521.0, 541.0]
    score = [row["value"] for row in mine if row["metric"] == "score"]
    assert score == pytest.approx([0.5, 0.6, 0.7])
    assert not [row for row in rows if row["contender"].endswith("hops=1") and row["seed"] == 2]  # it crashed


def test_without_pyarrow_it_is_csv(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    [said] = exports.write_tidy(Standings(ComparisonFolder(folder)), tmp_path)
    assert said.startswith("results.csv instead of results.parquet") and "[networks]'" in said
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == exports.TIDY
    assert len(rows) == parquet.read_table(folder / "results.parquet").num_rows


def test_the_json_is_marl_eval_s(folder: Path) -> None:
    """Its nesting, the same steps in all runs, no commas in names; marl-eval and BenchMARL read it so."""
    found = json.loads((folder / "marl_eval.json").read_text())
    assert list(found) == ["MFNet-TwoByTwo-v0"] and list(found["MFNet-TwoByTwo-v0"]) == ["cells", SCRIPT]
    for algorithms in found["MFNet-TwoByTwo-v0"].values():
        assert list(algorithms) == ["DecNeuralAC", "DecNeuralAC:observe=1 hops=1"]
        for runs in algorithms.values():
            for run in runs.values():
                assert [run[f"step_{k}"]["step_count"] for k in range(2)] == [0, 10]
                assert (
                    set(run) == {"step_0", "step_1", "absolute_metrics"} and len(run["absolute_metrics"]["return"]) == 2
                )
    assert list(found["MFNet-TwoByTwo-v0"]["cells"]["DecNeuralAC"]) == ["seed_0", "seed_1", "seed_2"]


def test_latex_and_csv_hold_the_ranking(folder: Path) -> None:
    with (folder / "ranking.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["contender"] for row in rows] == [*VALUES, "best heuristic"]
    assert rows[0]["IQM to bound"] == "0.438" and rows[1]["crashed"] == "2"
    latex = (folder / "ranking.tex").read_text()
    assert latex.count(r"\begin{tabular}") == 2 and "0.438" in latex


def test_a_comparison_whose_jobs_all_failed_is_no_wrong_argument(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = ComparisonFolder(folder).plan()
    failed = results(plan, tmp_path / "out")
    for job in plan.jobs:
        write_json(failed.folder_of(job) / RESULT, crashed(job, "no such road"))
    assert cli.main(["compare", "--out", str(failed.path), "--resume"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "no instance in" in said and "no such road" in said and (failed.path / "plan.json").is_file()


def test_a_damaged_result_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ComparisonFolder(folder).plan()
    broken = results(plan, tmp_path / "out")
    job = plan.jobs[-1]
    (broken.folder_of(job) / RESULT).write_text('{"rows": [{}]}')
    assert cli.main(["report", str(broken.path)]) == 2
    assert "is damaged" in capsys.readouterr().err
    (broken.folder_of(job) / RESULT).unlink()
    assert comparison.build(broken.path).is_file()  # what is there, and what is not, is said
    assert f"1 of {len(plan.jobs)} jobs have not been run" in (broken.path / "report.html").read_text()
