"""Other libraries as contenders: the same budget, the harness's numbers, and a sentence for what cannot be played."""

import re
from pathlib import Path
from typing import Any

import pytest

from mfnet_agents.comparison import jobs, suites
from mfnet_agents.comparison.plan import Plan, make_plan

PLACE = {"rows": 2, "cols": 2, "population": 8, "horizon": 16}
SUITE = {
    "id": "interop-v0", "seeds": 1, "budget": 600, "points": 3, "choice_worlds": 4, "choice_seed": 7,
    "test_worlds": 8, "test_seed": 8, "planner_worlds": 2,
    "instances": [{"name": "grid4", "env": "MFNet-Grid-v0", "env_config": PLACE}],
}  # fmt: skip


def planned(text: str, budget: int = 600) -> Plan:
    return make_plan(suites.from_record(SUITE), [text], budget=budget)


def row(plan: Plan, place: Path) -> dict[str, Any]:
    [found] = jobs.run(plan.jobs[1], plan, place)["rows"]
    return {name: value for name, value in found.items() if not name.endswith("cpu_s")}


@pytest.mark.parametrize(
    "text, information",
    [
        ("sb3:PPO", "full state"),
        ("sb3:SAC:learning_starts=64,gradient_steps=1", "full state"),
        ("sb3:PPO:view=agents", "own node"),
        ("sb3:PPO:view=teams,observe=1", "k hops"),
        ("sb3:MaskablePPO:view=agents", "own node"),
    ],
)
def test_they_train_for_the_same_budget(text: str, information: str, tmp_path: Path) -> None:
    """Iterates of 256 joint transitions, whatever the view and its lanes, and no more of them than fit."""
    found = row(planned(text), tmp_path)
    assert [(point["step"], point["env_steps"]) for point in found["curve"]] == [(0, 0), (300, 256), (600, 512)]
    assert found["information"] == information and found["iterations"] == 2
    assert len({point["value"] for point in found["curve"]}) == 3, "it has learnt nothing"


@pytest.mark.parametrize("text", ["sb3:PPO", "sb3:SAC:learning_starts=64,gradient_steps=1"])
def test_the_same_seed_is_the_same_row(text: str, tmp_path: Path) -> None:
    """So that a job that was killed and began anew leaves no trace."""
    plan = planned(text)
    assert row(plan, tmp_path / "one") == row(plan, tmp_path / "two")


@pytest.mark.parametrize(
    "text, said",
    [
        ("sb3:PPOO", "Stable-Baselines3 has no 'PPOO' to be played here; did you mean 'PPO'?"),
        ("sb3:RecurrentPPO", "Stable-Baselines3 has no 'RecurrentPPO' to be played here"),
        ("sb3:PPO:view=agent", "view must be 'central' or 'teams' or 'agents', not 'agent'; did you mean 'agents'?"),
        ("sb3:PPO:learning_rate=1", "'learning_rate' is no option here: the comparison sets it"),
        ("sb3:PPO:n_epoch=1", "unexpected keyword argument 'n_epoch'"),
        ("sb3:SAC:view=agents", "action space"),
        ("sb3:PPO:lr=-1", "lr must be a positive number, not -1"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_runs(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        planned(text)


def test_what_it_learns_is_what_is_played(tmp_path: Path) -> None:
    """The game of two turns: the chosen iterate is above the random policy by more than their intervals."""
    record = {**SUITE, "instances": [{"name": "cells", "env": "MFNet-TwoByTwo-v0"}]}
    plan = make_plan(suites.from_record(record), ["sb3:PPO:lr=3e-3"], budget=4096)
    [random] = jobs.run(plan.jobs[0], plan, tmp_path / "random")["rows"]
    [found] = jobs.run(plan.jobs[1], plan, tmp_path / "ppo")["rows"]
    assert found["value"] - found["ci95"] > random["value"] + random["ci95"]
