"""Whoever trains by a function is compared like the rest: equal budgets, the harness's own numbers, the same search."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import guests
import numpy as np
import pytest

import mfnet_envs
from mfnet_agents.comparison import jobs, processes, suites, tuning
from mfnet_agents.comparison.contenders import parse
from mfnet_agents.comparison.plan import ComparisonFolder, Plan, make_plan
from mfnet_agents.comparison.standings import Standings
from mfnet_envs.words import pip_command

pytestmark = pytest.mark.xdist_group("comparison")

SUITE = {
    "id": "guests-v0", "seeds": 1, "budget": 1000, "points": 3, "choice_worlds": 4, "choice_seed": 7,
    "test_worlds": 8, "test_seed": 8, "planner_worlds": 2,
    "instances": [
        {"name": "cells", "env": "MFNet-TwoByTwo-v0"},
        {"name": "tune", "env": "MFNet-TwoByTwo-v0", "split": "tuning", "env_config": {"population": 60}},
    ],
}  # fmt: skip


@pytest.fixture
def guest(tmp_path: Path) -> str:
    shutil.copy(Path(guests.__file__), tmp_path / "visitor.py")
    return f"{tmp_path / 'visitor.py'}:train"


def planned(*texts: str, **more: Any) -> Plan:
    return make_plan(suites.from_record(SUITE), texts, **more)


def played(plan: Plan, path: Path) -> ComparisonFolder:
    folder = ComparisonFolder(path)
    folder.begin(plan)
    for job in (*plan.tuning_jobs, *plan.jobs):
        processes.in_this_process(folder, plan, job)
    return folder


def iterates(seed: int) -> dict[int, Any]:
    """Steps -> the policy then, by the function itself."""
    found = guests.train("MFNet-TwoByTwo-v0", {}, 1000, seed)
    return {iterate.env_steps: iterate.policy for iterate in found}


def test_numbers_of_a_guest_can_be_had_from_outside(guest: str, tmp_path: Path) -> None:
    """The points are those of the grid, the best on the choice worlds is in the table with its value on the test
    worlds, and nobody took more than the budget."""
    folder = played(planned(guest), tmp_path / "out")
    [row] = folder.result(planned(guest).jobs[1])["rows"]
    assert [(point["step"], point["env_steps"]) for point in row["curve"]] == [(0, 0), (500, 300), (1000, 900)]
    policies, model = iterates(seed=0), mfnet_envs.make_model("MFNet-TwoByTwo-v0")
    on_choice = {}
    for point in row["curve"]:
        found = mfnet_envs.evaluate(model, policies[point["env_steps"]], worlds=4, seed=7)
        on_choice[point["env_steps"]] = found["headline_mean"]
        assert point["value"] == pytest.approx(found["headline_mean"], rel=1e-12)
    chosen = max(on_choice, key=lambda steps: on_choice[steps])
    assert row["chosen_at"] == chosen and row["env_steps"] == 900 and row["information"] == "own node"
    for name, steps in (("value", chosen), ("last_value", 900)):
        assert row[name] == mfnet_envs.evaluate(model, policies[steps], worlds=8, seed=8)["headline_mean"]
    standings = Standings(folder)
    assert standings.names == [guest] and len(standings.boards[0].entries[guest].curves) == 1


def test_a_guest_that_is_killed_begins_anew(guest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same row."""
    plan = planned(guest)
    [straight] = jobs.run(plan.jobs[1], plan, tmp_path / "straight")["rows"]
    write, left = jobs.write_json, 2

    def killed(*arguments: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(jobs, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        jobs.run(plan.jobs[1], plan, tmp_path / "killed")
    monkeypatch.setattr(jobs, "write_json", write)
    [again] = jobs.run(plan.jobs[1], plan, tmp_path / "killed")["rows"]
    same = {name for name in straight if not name.endswith("cpu_s")}
    assert {name: again[name] for name in same} == {name: straight[name] for name in same}


@pytest.mark.parametrize(
    "mischief, said",
    [
        ("raise", "RuntimeError: the guest has had enough"),
        ("greedy", "took 1,200 environment steps of 1,000"),
        ("idle", "says 0 env_steps after 0: they must rise"),
    ],
)
def test_a_guest_that_misbehaves_is_a_row(mischief: str, said: str, guest: str, tmp_path: Path) -> None:
    plan = planned(f"{guest}:mischief={mischief}")
    folder = played(plan, tmp_path / "out")
    assert said in folder.result(plan.jobs[1])["rows"][0]["error"]


@pytest.mark.parametrize(
    "options, said",
    [
        ("mischief=late", "must begin with Iterate(0, policy), the policy before anything is learnt"),
        ("mischief=refuse", "not with me"),
        ("mischeif=none", "got an unexpected keyword argument 'mischeif'"),
        ("walk_lr", "options are given as NAME=VALUE"),
    ],
)
def test_a_guest_is_asked_before_anything_runs(options: str, said: str, guest: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        planned(f"{guest}:{options}")


def test_a_guest_is_tuned_by_the_same_search(guest: str, tmp_path: Path) -> None:
    """On the tuning instance; its step size has the winner's factor in the table."""
    plan = planned(f"{guest}:walk_lr=0.05", tune=3)
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    folder = played(plan, tmp_path / "out")
    rows = [folder.result(job)["rows"][0] for job in plan.tuning_jobs if job.contender is not None]
    winner = int(np.argmax([row["value"] for row in rows]))
    factor = tuning.factors(winner, 1)[0] if winner else 1.0
    assert winner != 0, "else the test could not tell"
    assert folder.result(plan.jobs[1])["rows"][0]["options"] == {"walk_lr": float(f"{0.05 * factor:.3g}")}


def test_a_library_is_named_by_its_first_word() -> None:
    """Nothing of it is imported to read a plan."""
    [found] = parse(["sb3:SAC:lr=1e-3,view=teams"])
    assert (
        found.guest and found.kind == "learner" and found.options == {"algorithm": "SAC", "lr": 1e-3, "view": "teams"}
    )
    with pytest.raises(ValueError, match="must say which algorithm: sb3:PPO"):
        parse(["sb3:"])


def test_a_library_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it, before anything runs."""
    for name in ("mfnet_agents.adapters.sb3", "mfnet_envs.adapters.sb3"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ValueError, match=re.escape(pip_command("sb3"))):
        planned("sb3:PPO")
