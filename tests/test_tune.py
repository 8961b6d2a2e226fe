"""``mfnet tune``: the search of the comparisons for one pair, and the preset that it leaves."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import guests
import numpy as np
import pytest
import roamer

from mfnet_agents import cli
from mfnet_agents.comparison import search, suites
from mfnet_agents.comparison.plan import Plan
from mfnet_agents.runs import make_config

pytestmark = pytest.mark.xdist_group("comparison")
HERE = ["MFNet-TwoByTwo-v0", "own.py:RoamerConfig", "--trials", "3", "--budget", "2048", "--jobs", "1"]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(Path(roamer.__file__), tmp_path / "own.py")
    shutil.copy(Path(guests.__file__), tmp_path / "visitor.py")
    monkeypatch.chdir(tmp_path)


def rows(folder: Path) -> dict[int, dict[str, Any]]:
    """Trial -> its row."""
    found = [json.loads(path.read_text())["rows"][0] for path in folder.rglob("result.json")]
    return {row["trial"]: row for row in found if row["contender"] != "random"}


def test_the_preset_is_the_winner_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the trials' own numbers the best, with the options that every trial had; resumed it runs nothing again, and
    the printed command trains with just these."""
    asked = ["tune", *HERE, "--set", "walk_lr=0.05", "--env", "population=100", "--folder", "f", "--out", "p.json"]
    assert cli.main(asked) == 0
    found = rows(tmp_path / "f")
    winner = max(found, key=lambda trial: found[trial]["value"])
    assert len(found) == 3 and winner != 0, "else the test could not tell"
    preset = json.loads(Path("p.json").read_text())
    sizes = {"walk_lr": found[winner]["options"]["walk_lr"]}
    assert preset["options"] == {"env_config": {"population": 100}, "total_env_steps": 2048, **sizes}
    assert "The best of 3 configurations at 2,048 environment steps" in preset["notes"][0]
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    options = cli.parser().parse_args(command[1:])
    config = make_config(options.id, dict(options.set), dict(options.env), algorithm=options.algorithm)
    assert {**preset["options"], "seed": 0}.items() <= config.to_dict().items()
    lines = Path("iterations.log").read_text()
    Path("p.json").unlink()
    assert cli.main([*asked, "--resume"]) == 0
    assert json.loads(Path("p.json").read_text()) == preset and Path("iterations.log").read_text() == lines


def test_its_seeds_are_nobody_else_s() -> None:
    """Neither those of training and choice, nor any suite's."""
    plan = search.plan_of("MFNet-TwoByTwo-v0", {}, "CEM", 2)
    [mine] = plan.tuning_instances
    trained = {job.seed for job in plan.tuning_jobs}
    used = {
        seed for name in suites.suites() for i in suites.suite(name).instances for seed in (i.choice_seed, i.test_seed)
    }
    assert len({mine.choice_seed, mine.test_seed, *trained, *used, *range(1000)}) == 3 + len(used) + 1000
    assert not plan.jobs and mine.budget == 30_720  # as the learner is shipped
    assert Plan.from_dict(plan.to_dict()).tuning_instances == (mine,)  # what is told is what a process plays


def test_a_guest_is_tuned_too(capsys: pytest.CaptureFixture[str]) -> None:
    name = "visitor.py:train"
    asked = ["tune", "MFNet-TwoByTwo-v0", f"{name}:walk_lr=0.05", "--trials", "2", "--budget", "900", "--json"]
    assert cli.main([*asked, "--folder", "f"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = rows(Path("f"))
    winner = max(found, key=lambda trial: found[trial]["value"])
    assert events[-1]["options"]["walk_lr"] == found[winner]["options"]["walk_lr"] and np.isfinite(
        found[winner]["value"]
    )


def test_trials_that_all_fail_leave_no_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tune", *HERE, "--set", "mischief=raise", "--folder", "f"]) == 1  # nothing asked for was wrong
    assert "no trial of own.py:RoamerConfig:mischief=raise on MFNet-TwoByTwo-v0 has ended" in capsys.readouterr().err
    assert not Path("f/preset.json").exists()


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["MFNet-TwoByTwo-v0", "heuristics"], "'heuristics' is no single learner"),
        (["MFNet-TwoByTwo-v0", "learners"], "'learners' is no single learner"),
        (["MFNet-TwoByTow-v0", "CEM"], "MFNet-TwoByTow"),
        (["MFNet-TwoByTwo-v0", "CEMM"], "did you mean 'CEM'"),
        (["MFNet-TwoByTwo-v0", "CEM", "--set", "elites=2"], "CEM has no option 'elites' to be set here"),
        (["MFNet-TwoByTwo-v0", "CEM", "--trials", "0"], "it must be at least 1"),
        (["MFNet-TwoByTwo-v0", "CEM", "--out", "."], ". is a folder; name a file with --out"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = cli.main(["tune", *arguments])
    except SystemExit as done:
        code = int(str(done.code))
    error = capsys.readouterr().err
    assert code == 2 and said in error and error.count("\n") == 1
