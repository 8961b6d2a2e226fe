"""The scripts of ``examples/reproduce``: what they print is within their own tolerances, and their games are models."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mfnet_envs.conformance.models import check_model

FOLDER = Path(__file__).parents[1] / "examples" / "reproduce"
QUICK = ("epidemic", "five_regions")
LONG = ("charges", "congestion", "ising", "squeeze", "wireless")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports one by its name, as Python would from its own folder."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def imported(name: str) -> ModuleType:
        return importlib.import_module(name)

    return imported


def run(name: str) -> str:
    """What a script prints; it must have met all it aims at, which is its exit code.

    Warnings of ours are errors, which is all that ``-W error`` is for.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(FOLDER / f"{name}.py")]
    said = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert said.returncode == 0, said.stdout + said.stderr
    assert " NO " not in said.stdout and said.stdout.count(" yes ") >= 3
    return said.stdout


@pytest.mark.parametrize("name", QUICK)
def test_quick_ones(name: str) -> None:
    run(name)


def test_sioux_falls() -> None:
    if not os.environ.get("MFNET_TNTP"):
        pytest.skip("MFNET_TNTP is not set")
    assert "42.31335287" in run("sioux_falls")


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_long_ones(name: str) -> None:
    run(name)


# -- the verdict can be no


def test_a_verdict_is_no_where_a_figure_is_off(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = script("verdict")
    near = verdict.Aim("near", 1.04, 1.0, 0.05, "there")
    cases = {
        near: True,
        verdict.Aim("far", 1.06, 1.0, 0.05, "there"): False,
        verdict.Aim("below", 0.94, 1.0, 0.05, "there"): False,
        verdict.Aim("enough", 7.0, 1.0, 0.05, "there", "at least"): True,
        verdict.Aim("too little", 0.9, 1.0, 0.05, "there", "at least"): False,
        verdict.Aim("little", 0.1, 1.0, 0.0, "there", "at most"): True,
        verdict.Aim("too much", 1.1, 1.0, 0.05, "there", "at most"): False,
        verdict.Aim("nothing", float("nan"), 1.0, 0.05, "there"): False,
    }
    assert {aim: aim.met for aim in cases} == cases
    assert verdict.told("all", [near]) == 0
    assert verdict.told("all", list(cases)) == 1
    assert capsys.readouterr().out.count(" NO ") == 5


# -- the games


GAMES = {
    "epidemic": lambda module: module.Epidemic(50),
    "congestion": lambda module: module.DynamicRouting(module.BRAESS_LINKS, 0.25, 12),
    "ising": lambda module: module.Ising(4),
    "squeeze": lambda module: module.Squeeze(30),
    "wireless": lambda module: module.Access(),
}


@pytest.mark.parametrize("name", GAMES)
def test_a_game_is_a_model_of_the_paper_s_kind(name: str, script: Any) -> None:
    """Conserves agents, keeps to its neighbourhood, rewards in range."""
    check_model(GAMES[name](script(name)))


def test_dynamic_braess_takes_what_arithmetic_says(script: Any) -> None:
    """All by B-C-D-E: 2 + .25 + 2. Everybody by B-D-E: 2 + 2; half and half, the bridge empty: 1.5 + 2."""
    module = script("congestion")
    game = module.DynamicRouting(module.BRAESS_LINKS, 0.25, 40)
    for b, c, cost in (((1, 0), (1, 0), 4.25), ((0, 1), (1, 0), 4.0), ((0.5, 0.5), (0, 1), 3.5)):
        assert module.flow(game, game.table(B=b, C=c))[1] == pytest.approx(cost, abs=1e-9)


def test_access_points_hear_four_cells(script: Any) -> None:
    """Two users of one point collide; one alone is heard with the chance of the point; an empty slot is worth nothing.

    User 0 hears point 0 only, user 1 hears 0 and 1. Chances: .549 and .715 to three digits.
    """
    module = script("wireless")
    game = module.Access()
    layers = game.network.layers

    def received(*choices: tuple[int, int, int]) -> dict[int, float]:
        """``(user, queue, action)``; all others are silent with an empty queue."""
        counts = np.zeros((1, module.USERS, layers), int)
        counts[:, :, module.QUEUES] = 1
        for user, queue, action in choices:
            counts[:, user] = 0
            counts[:, user, module.QUEUES + module.SENDS * queue + action] = 1
        step = module.Simulator(game).mu_hood(counts.reshape(1, -1))
        weights = game.branch_weights(step).reshape(module.USERS, layers, -1)[..., 0]
        return {u: round(float(weights[u, module.QUEUES + module.SENDS * q + a]), 3) for u, q, a in choices}

    assert received((0, 2, 2)) == {0: 0.549}
    assert received((0, 2, 1)) == {0: 0.0}  # a packet that it has not
    assert received((0, 2, 2), (1, 2, 2)) == {0: 0.0, 1: 0.0}
    assert received((0, 2, 2), (1, 2, 4)) == {0: 0.549, 1: 0.715}
    assert received((0, 2, 2), (1, 0, 2)) == {0: 0.0, 1: 0.0}  # an empty slot still collides
