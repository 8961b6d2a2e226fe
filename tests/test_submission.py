"""Submissions: policies as files that are scored on worlds of their own, and a sentence for what cannot be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mfnet_envs
from mfnet_agents import cli
from mfnet_agents.comparison import submission
from mfnet_agents.comparison.plan import ComparisonFolder
from mfnet_agents.comparison.standings import Standings
from mfnet_agents.comparison.suites import from_record
from mfnet_envs import instances

pytestmark = pytest.mark.xdist_group("comparison")

PATH = {"population": 6, "rows": 1, "cols": 3, "horizon": 20}
SUITE = {
    "id": "handed-in-v0", "seeds": 1, "budget": 1000, "points": 3, "choice_worlds": 4, "choice_seed": 7,
    "test_worlds": 8, "test_seed": 8, "planner_worlds": 2,
    "instances": [
        {"name": "cells", "env": "MFNet-TwoByTwo-v0"},
        {"name": "path", "env": "MFNet-Grid-v0", "env_config": PATH},
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite, and a submission of the model's own best rule for its first instance."""
    monkeypatch.chdir(tmp_path)
    Path("suite.json").write_text(json.dumps(SUITE))
    mfnet_envs.save_policy(mfnet_envs.make_model("MFNet-TwoByTwo-v0").heuristics()["social"], "cells.npz")
    handed_in(cells="cells.npz")


def handed_in(**policies: str) -> None:
    record = {"name": "social, as a file", "about": "closed form", "policies": policies}
    Path("mine.json").write_text(json.dumps(record))


def compared(*more: str) -> int:
    return cli.main(["compare", "suite.json", "--submission", "mine.json", "--jobs", "1", *more])


def seed_of(folder: str) -> int:
    return ComparisonFolder(Path(folder)).plan().instances[0].test_seed


def test_it_is_scored_on_worlds_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """All numbers of its table, random's and the heuristics' too, are those of these worlds; anybody finds the same."""
    assert compared("--out", "one") == 0 and compared("--out", "two") == 0
    standings, seed = Standings(ComparisonFolder(Path("one"))), seed_of("one")
    assert seed == seed_of("two") and seed not in (7, 8)
    [board] = standings.boards  # it has a policy for one instance
    model = mfnet_envs.make_model("MFNet-TwoByTwo-v0")
    for name in ("random", "social", "selfish"):
        found = mfnet_envs.evaluate(model, model.heuristics()[name], worlds=8, seed=seed)
        assert board.entries[name].mean == found["headline_mean"]
    mine = board.entries["submission:mine.json"]
    assert mine.mean == pytest.approx(board.entries["social"].mean, rel=1e-9)
    assert mine.information == "own node" and mine.needs == "closed form"
    assert any("mine.json is social, as a file, sha256" in note and str(seed) in note for note in standings.footnotes())
    assert "submission:mine.json" in capsys.readouterr().out


def test_another_policy_has_other_worlds(tmp_path: Path) -> None:
    """So nobody can try policies on the worlds they will be scored on; and a folder keeps to what was handed in."""
    assert compared("--out", "one") == 0
    first = seed_of("one")
    mfnet_envs.save_policy(mfnet_envs.make_model("MFNet-TwoByTwo-v0").heuristics()["stay"], "cells.npz")
    assert compared("--out", "two") == 0
    assert seed_of("two") != first
    assert cli.main(["compare", "--out", "one", "--resume"]) == 2


@pytest.mark.parametrize("turns, information", [(1, "own node"), (24, "own node and clock")])
def test_what_it_reads_is_seen_in_its_table(turns: int, information: str) -> None:
    """And not asked for: a policy of one turn cannot read the clock."""
    policy = mfnet_envs.load_policy("cells.npz")
    policy.shares = np.repeat(policy.shares, turns, 0)
    assert submission.information_of(policy) == information


@pytest.mark.parametrize(
    "record, said",
    [
        ({"name": "x", "policies": {"cell": "cells.npz"}}, "the suite has no instance 'cell'; did you mean 'cells'?"),
        ({"name": "x", "policies": {"cells": "gone.npz"}}, "names gone.npz for cells, and there is no such file"),
        ({"name": "x", "policies": {"cells": "go\nne.npz"}}, "names go ne.npz for cells, and there is no such file"),
        ({"name": "x", "policies": {"path": "cells.npz"}}, "(MFNet-Grid-v0): the policy is of MFNet-TwoByTwo-v0"),
        ({"name": "x", "policies": {"cells": "suite.json"}}, "suite.json is no policy for cells"),
        ({"name": "x", "policies": {"path": "other.npz"}}, "give the model that it was saved from"),
        ({"name": "x", "policies": []}, 'policies must be like {"grid25": "grid25.npz"}'),
        ({"policies": {"cells": "cells.npz"}}, "name must be a word that can be printed"),
        ({"name": "x", "polices": {}}, "a submission has no 'polices'; did you mean 'policies'?"),
        ([], "it must hold an object"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_a_sentence(
    record: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = mfnet_envs.make_model("MFNet-Grid-v0", population=6, rows=2, cols=2)
    mfnet_envs.save_policy(other.heuristics()["stay"], "other.npz")
    Path("mine.json").write_text(json.dumps(record))
    assert compared("--out", "out") == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not Path("out").exists()


@pytest.mark.parametrize("env", ["mfnet_envs.instances:sis-test-0", "MFNet-SIS-v0"])
def test_a_drawn_instance_has_two_names(env: str) -> None:
    """A policy may say either; one of another scenario is none for it."""
    suite = {**SUITE, "instances": [{"name": "town", "env": "mfnet_envs.instances:sis-test-0"}]}
    [town] = from_record(suite).instances
    model = instances.instance("sis-test-0").make() if env == "MFNet-SIS-v0" else mfnet_envs.make_model(env)
    mfnet_envs.save_policy(model.heuristics()["random"], "town.npz")
    handed_in(town="town.npz")
    assert submission.read(Path("mine.json")).policy(town).env == env
    handed_in(town="cells.npz")
    with pytest.raises(ValueError, match="the policy is of MFNet-TwoByTwo-v0"):
        submission.read(Path("mine.json")).policy(town)


def test_it_has_a_folder_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """By itself, apart from the suite's; and no other comparison's folder goes on with it."""
    assert compared() == 0
    [folder] = Path("comparisons").iterdir()
    assert folder.name.startswith("handed-in-v0-")
    suite = ["compare", "suite.json", "--contenders", "heuristics", "--instances", "cells", "--out", "plain"]
    assert cli.main(suite) == 0
    assert cli.main([*suite, "--submission", "mine.json", "--resume"]) == 2
    assert "plain was started with" in capsys.readouterr().err


def test_more_that_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert compared("--instances", "path") == 2
    assert "has no policy for path; leave the instance out with --instances" in capsys.readouterr().err
    assert compared("--contenders", "submission:suite.json") == 2
    assert "so one at a time" in capsys.readouterr().err
    assert cli.main(["compare", "suite.json", "--submission", "gone.json"]) == 2
    assert capsys.readouterr().err.startswith("mfnet: there is no gone.json; a submission is a JSON file")
