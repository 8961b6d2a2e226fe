"""`mfnet demo`, end to end at a tiny size: two processes, one table, one page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mfnet_agents import checkpoint, cli, demo
from mfnet_agents.runs import RunError
from mfnet_envs import words

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "mfnet_agents.cli", "demo", "--out", str(out), "--steps", "1024", "--worlds", "2"]
    return out, subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_it_ends_well(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, process = shown
    assert process.returncode == 0, process.stderr
    assert process.stderr == "" and "\r" not in process.stdout
    assert str(out / "report.html") in process.stdout


def test_it_leaves_a_page_and_pictures(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, _ = shown
    for name in ("learning_curve", "map", "staircase"):
        assert (out / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    page = (out / "report.html").read_text("utf-8")
    assert page.count('role="img"') == 2 + 2 + 3 and "Manhattan" in page  # two charts, wide and narrow; three maps
    assert "Film: what was learnt, beside the best heuristic" in page and len(page) < 2_000_000


def test_the_table_has_every_policy_on_the_same_worlds(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, process = shown
    heads = [line.split("  ")[0] for line in process.stdout.splitlines()]
    first = heads.index("policy")
    assert set(heads[first + 2 : first + 12]) == {
        "stay", "random", "greedy", "proportional", "LP policy", "threshold-LP", "tuned LP hybrid", "learnt, best",
        "learnt, last", "bound",
    }  # fmt: skip
    assert "gap closed  discounted return per agent" in process.stdout
    result, heuristics, steps = (
        json.loads((out / f"{name}.json").read_text()) for name in ("result", "heuristics", "staircase")
    )
    assert {(x["worlds"], x["seed"]) for x in (result["evaluation"], heuristics, steps)} == {(2, 2_000_003)}
    assert heuristics["policies"]["random"]["value"] == result["random"]["value"], "two processes, the same numbers"
    assert [int(radius) for radius in steps["runs"]] == list(demo.RADII)
    assert result["yardstick"]["bound"] == pytest.approx(2556.9, abs=0.05)  # published value of this instance


def test_the_folder_is_a_run(
    shown: tuple[Path, subprocess.CompletedProcess[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = shown
    assert checkpoint.read(out / "checkpoints" / "last")[0]["counters"]["iteration"] == 4
    assert cli.main(["evaluate", str(out), "--worlds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["policies"]
    assert found["learnt, last"]["value"] == json.loads((out / "result.json").read_text())["last"]["value"]


def test_only_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    other, earlier = tmp_path / "other", tmp_path / "earlier"
    for folder in (other, earlier):
        folder.mkdir()
        (folder / "precious").write_text("")
    (earlier / demo.LOG).write_text("")
    demo._clear(other)
    demo._clear(earlier)
    assert (other / "precious").exists() and not earlier.exists()


def test_too_many_worlds_are_refused_before_anything_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / demo.LOG).write_text("")
    monkeypatch.setattr(words, "memory", lambda: 16 * 10**9)
    assert cli.main(["demo", "--out", str(tmp_path), "--steps", "1024", "--worlds", "900000"]) == 2
    assert "worlds=900000 of 3,782 states" in (err := capsys.readouterr().err) and err.count("\n") == 1
    assert (tmp_path / demo.LOG).exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    with pytest.raises(RunError, match="exists"):
        demo.run(tmp_path, steps=1024, worlds=2)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
