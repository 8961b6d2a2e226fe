"""A scenario that nobody has registered has every command: a file in a folder, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mfnet_agents import cli

pytestmark = pytest.mark.xdist_group("own scenario")  # one training for all

MFNET = [sys.executable, "-m", "mfnet_agents.cli"]
ROOT = Path(__file__).parents[1]

CITY = '''
"""Six squares in a ring."""

import array_api_compat
import numpy as np

from mfnet_envs import Branch, Certificate, LocalModel, StateNetwork
from mfnet_envs.policy import TablePolicy


class City(LocalModel):
    """Ice-cream vendors on six squares: whoever stands alone sells most.

    Args:
        population: vendors.
        wage: what an empty square pays.
    """

    def __init__(self, population=12, wage=1.0):
        squares = StateNetwork.ring(6)
        self.wage = wage
        super().__init__(
            network=squares, population=population, num_actions=3, branches=(Branch.to(np.asarray(squares.neighbors)),),
            reward_range=(0.0, wage), evaluation=(12, 0), kernel_reads="none",
        )

    def reward(self, mu_hood):
        xp = array_api_compat.array_namespace(mu_hood)
        return self.wage * (1 - mu_hood[:, :, 0, :1]) * xp.ones((3,), dtype=mu_hood.dtype)

    def branch_weights(self, mu_hood):
        return 0 * mu_hood[:, :, :1, :1] + 1

    def bound(self):
        worth = self.wage / (1 - self.gamma)
        return Certificate(worth, "discounted", "sales per vendor", "closed-form", None, 0.0, "every policy")

    def heuristics(self):
        return {"keep still": TablePolicy(self, np.eye(3)[np.zeros(6, int)])}
'''
TINY = ["evaluation_duration=8", "num_envs_per_env_runner=4", "rollout_fragment_length=8"]


def mfnet(place: Path, *arguments: str) -> str:
    """What a fresh process prints."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    around = {**os.environ, "PYTHONPATH": path}
    found = subprocess.run([*MFNET, *arguments], capture_output=True, text=True, timeout=600, cwd=place, env=around)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.fixture
def refused(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one sentence with which a command ends; in this process, as nothing depends on a fresh one."""
    monkeypatch.chdir(place)

    def ask(*arguments: str) -> str:
        assert cli.main(arguments) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("mfnet: ") and said.err.count("\n") == 1
        return said.err

    return ask


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, with a space in its name, that holds a city and a trained run."""
    folder = tmp_path_factory.mktemp("own") / "my cities"
    folder.mkdir()
    (folder / "city.py").write_text(CITY)
    return folder


def training(out: str, *more: str, target: str = "city.py:City") -> list[str]:
    small = ["--steps", "96", "--worlds", "8", "--no-tensorboard", "--set", *TINY, "actor_lr=1"]
    return ["train", target, "--out", out, *small, *more]


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    said = mfnet(place, *training("a run"))
    assert "bound" in said and "random" in said and "best" in said
    assert "mfnet report 'a run'" in said, "a path with a space must be quoted where it is to be typed"
    return place / "a run"


def test_show_check_and_bench(place: Path) -> None:
    shown = mfnet(place, "env", "show", "city:City", "--env", "population=7")
    assert "Ice-cream vendors" in shown and "population 7" in shown
    assert re.search(r"^wage +\w+ +1\.0 +what an empty square pays", shown, re.MULTILINE)
    assert "20.0000 sales per vendor" in shown and "keep still" in shown
    checked = mfnet(place, "env", "check", "city.py:City")
    assert all(f"the {view} view passes" in checked for view in ("central", "teams", "agents"))
    assert set(json.loads(mfnet(place, "env", "bench", "city.py:City", "--json"))) >= {"central", "teams, dicts"}


def test_what_is_wrong_is_one_sentence(place: Path, run: Path, refused: Callable[..., str]) -> None:
    show = ("env", "show", "city.py:City")
    assert "city.py:City has no option 'wages'; did you mean 'wage'?" in refused(*show, "--env", "wages=2")
    assert "city.py has no 'Cty'; did you mean 'City'?" in refused("train", "city.py:Cty")
    assert "there is no file town.py" in refused("env", "bench", "town.py:City")
    assert "there is no module 'town'" in refused("env", "check", "town:City")
    (place / "broken.py").write_text("def city():\n    raise ValueError('no squares')\n")
    assert "no squares (broken.py, line 2)" in refused("env", "show", "broken.py:city")
    draw = ("env", "render", "city.py:City", "--policy", "a run")
    assert "trained with wage = its default, not 2" in refused(*draw, "--env", "wage=2")
    of_grid = refused("env", "render", "MFNet-Grid-v0", "--policy", "a run")
    assert "trained on city.py:City, not on MFNet-Grid-v0" in of_grid


def test_heuristics_are_drawn(place: Path) -> None:
    mfnet(place, "env", "render", "city.py:City", "still.png", "--policy", "keep still", "--steps", "2")
    assert (place / "still.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_runs_policy_is_drawn(place: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the learnt policy does, which is not what the untrained does; `best` is what a run folder stands for."""
    draw = ("env", "render", "city.py:City", "--steps", "3", "--policy")
    learnt = mfnet(place, *draw, "a run")
    monkeypatch.chdir(place)
    policies = {"best": "a run/checkpoints/best", "last": "a run/checkpoints/last", "random": "random"}
    for name, policy in policies.items():
        assert cli.main([*draw, policy, "--out", f"{name}.txt"]) == 0
    assert "step 3" in learnt and learnt == (place / "best.txt").read_text()
    assert (place / "last.txt").read_text() != (place / "random.txt").read_text()


def test_evaluate_compares_runs_and_heuristics(
    place: Path, run: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert cli.main(training("other", "--seed", "1")) == cli.main(training("richer", "--env", "wage=2")) == 0
    capsys.readouterr()
    found = json.loads(mfnet(place, "evaluate", "a run", "other", "--worlds", "8", "--json"))
    assert list(found["policies"]) == ["random", "keep still", "a run", "other"]
    result = json.loads((run / "result.json").read_text())
    assert found["policies"]["a run"]["value"] == result["best"]["value"], "on common worlds it is the run's own number"
    assert found["yardstick"]["bound"] == pytest.approx(20.0)
    assert cli.main(["evaluate", "a run", "--worlds", "8", "--no-heuristics"]) == 0
    text = capsys.readouterr().out
    assert "learnt, last" in text and "bound" in text and "keep still" not in text
    assert "only runs of one environment compare" in refused("evaluate", "a run", "richer")


def test_somebody_elses_algorithm(place: Path) -> None:
    """A learner of one's own on a scenario of one's own; --set knows its options, and the run remembers which it is."""
    shutil.copy(ROOT / "examples" / "own_learner.py", place)
    small = ("--set", "evaluation_duration=8", "tables=4", "elite=2", "--no-tensorboard", "--worlds", "8")
    said = mfnet(
        place, "train", "city.py:City", "--algorithm", "own_learner.py:Config", "--steps", "64", "--out", "ce", *small
    )
    assert "keep still" in said and "last" in said
    assert json.loads((place / "ce" / "result.json").read_text())["algorithm"] != "DecNeuralAC"
    assert "learnt, best" in mfnet(place, "evaluate", "ce", "--worlds", "8")


def test_the_report_is_written(place: Path, run: Path) -> None:
    page = Path(json.loads(mfnet(place, "report", "a run", "--json"))["page"])
    assert "city.py:City" in (place / page).read_text("utf-8")


def test_it_goes_on_in_another_process(place: Path, run: Path) -> None:
    longer = ("train", "city.py:City", "--worlds", "8", "--out", "a run", "--resume", "--no-tensorboard")
    assert "training for 32 environment steps" in mfnet(place, *longer, "--steps", "128")
    again = mfnet(place, *longer)
    assert "nothing is left to train" in again, "a finished run has no steps left, and never less than none"


# -- a scenario that contradicts itself


def trained(place: Path, city: str, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    (place / "city.py").write_text(city)
    monkeypatch.chdir(place)
    return cli.main(["train", "city.py:City", "--out", "run", "--steps", "16", "--worlds", "2", *more])


def test_rewards_beyond_their_range_are_told_before_and_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever changes a reward forgets what was said of it; a learner that scales by it would not say so."""
    changed = CITY.replace("return self.wage * (1", "return 3 * self.wage * (1")
    assert changed != CITY and trained(tmp_path, changed, monkeypatch, "--set", *TINY) == 0
    said = re.search(
        r"note: rewards of 0 to (\d\.?\d*) were met, beyond reward_range = \(0\.0, 1\.0\)", capsys.readouterr().out
    )
    assert said and 2 <= float(said[1]) <= 3  # of an empty square; no more than 1 is said to be paid
    assert cli.main(["report", "run"]) == 0
    assert f"rewards of 0 to {said[1]} were met" in Path("run/report.html").read_text("utf-8")


def test_a_scenario_without_a_range_is_refused_before_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rangeless = CITY.replace("reward_range=(0.0, wage), ", "")
    assert rangeless != CITY and trained(tmp_path, rangeless, monkeypatch, "--set", *TINY) == 2
    assert "mfnet: City needs a reward_range" in capsys.readouterr().err


@pytest.mark.parametrize("learner", ["LocalPPO", "MFQ", "VDN", "ConsensusAC", "ScalableAC", "IPPO"])
def test_a_scenario_that_pays_nothing_can_be_learnt(
    learner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bonus that is not yet paid: what is scaled by the largest reward is then not scaled."""
    assert trained(tmp_path, CITY, monkeypatch, "--algorithm", learner, "--env", "wage=0") == 0
    assert json.loads(Path("run/result.json").read_text("utf-8"))["last"]["value"] == 0
