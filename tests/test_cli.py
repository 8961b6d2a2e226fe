"""The command line as its users meet it: sentences, exit codes, run folders, Ctrl-C, pipes, resuming."""

import argparse
import csv
import io
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import mfnet_envs
from mfnet_agents import Algorithm, DecNeuralAC, DecNeuralACConfig, checkpoint, cli, progress, recorded, runs
from mfnet_agents.cli import arguments, what_if
from mfnet_agents.cli import solve as solve_verb
from mfnet_agents.cli import train as train_verb
from mfnet_agents.progress import Bar, Lines, clock, finite
from mfnet_envs.io import NetworkData
from mfnet_envs.registration import scenarios
from mfnet_envs.yardstick import Yardstick

# Four cells, twelve drivers, short episodes: seconds for a run, and the bound's programme is tiny.
SMALL = ["MFNet-Grid-v0", "--population", "12", "--env", "rows=2", "cols=2", "horizon=20", "--worlds", "8"]
OPTIONS = ["evaluation_interval=4", "evaluation_duration=8", "num_envs_per_env_runner=4", "rollout_fragment_length=8"]
MFNET = [sys.executable, "-m", "mfnet_agents.cli"]
PATIENCE = 600  # seconds after which a process hangs, on a machine however busy
LONG = "x" * 3000


def train(out: Path, *more: str, steps: int = 640) -> list[str]:
    """Arguments of a small run: 32 steps an iteration, an evaluation every fourth."""
    return ["train", *SMALL, "--set", *OPTIONS, "--steps", str(steps), "--out", str(out), "--no-tensorboard", *more]


def run(arguments: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MFNET, *arguments], capture_output=True, text=True, timeout=PATIENCE, **more)


def ask(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, output and error stream of a command in this process."""
    try:
        code = cli.main(arguments)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def rows_without_times(path: Path) -> list[dict[str, str]]:
    with (path / "progress.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "time_total_s"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to its end, uninterrupted."""
    path = tmp_path_factory.mktemp("run") / "whole"
    assert cli.main(train(path)) == 0
    return path


# -- sentences


def not_a_number(progress: bytes) -> bytes:
    head, first, *rest = progress.splitlines(keepends=True)
    column = head.decode().strip().split(",").index("evaluation/headline_mean")
    cells = first.decode().split(",")
    return head + ",".join([*cells[:column], "N/A", *cells[column + 1 :]]).encode() + b"".join(rest)


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("progress.csv", lambda whole: b"\x00\x01", "progress.csv is damaged"),
        ("progress.csv", not_a_number, "progress.csv is damaged (evaluation/headline_mean of iteration 0 is 'N/A')"),
        ("checkpoints/best/state.npz", lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]), "best is damaged"),
    ],
)
def test_damage_is_said_before_all_else(
    file: str,
    damage: Callable[[bytes], bytes],
    words: str,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    (path / file).write_bytes(damage((path / file).read_bytes()))
    code, out, said = ask(["train", "MFNet-Grid-v0", "--out", str(path), "--resume", "--no-tensorboard"], capsys)
    assert (code, out) == (2, "") and said.count("\n") == 1 and words in said


WRONG = {
    "unknown id": (["env", "show", "MFNet-Gird-v0"], "did you mean 'MFNet-Grid-v0'"),
    "unknown id in train": (["train", "MFNet-RideShareNYC-v1"], "did you mean 'MFNet-RideShareNYC-v0'"),
    "unknown option": (["train", "MFNet-Grid-v0", "--set", "credit_hop=3"], "did you mean 'credit_hops'"),
    "unknown option, ending otherwise": (
        ["train", "MFNet-Grid-v0", "--algorithm", "LocalPPO", "--set", "entropi_coeff=1"],
        "did you mean 'entropy'",
    ),
    "a device of no backend": (["train", "MFNet-Grid-v0", "--device", "cuda"], "--device cuda is for --backend torch"),
    "a device that is not there": (
        ["train", "MFNet-Grid-v0", "--backend", "torch", "--device", "cuda:99"],
        "torch has no device 'cuda:99' here",
    ),
    "unknown option like none": (["train", "MFNet-Grid-v0", "--set", "entropi=1"], "no option 'entropi'; known: "),
    "unknown flag like none": (
        ["env", "bench", "ID", "--seconds=2"],
        "unrecognized arguments: --seconds=2; `mfnet env",
    ),
    "unknown algorithm": (["train", "MFNet-Grid-v0", "--algorithm", "DecNeurlAC"], "did you mean 'DecNeuralAC'"),
    "lost algorithm": (["train", "MFNet-Grid-v0", "--algorithm", "mine.py:Config"], "there is no file mine.py"),
    "unknown env option": (["train", "MFNet-Grid-v0", "--env", "popultion=3"], "did you mean 'population'"),
    "option out of range": (["train", "MFNet-Grid-v0", "--set", "hops=-1"], "hops must be a non-negative integer"),
    "option of another kind": (["train", "MFNet-Grid-v0", "--set", "lambda_=much"], "lambda_ must be between 0 and 1"),
    "population": (["train", "MFNet-Grid-v0", "--population", "0"], "population must be a positive integer"),
    "divided by nothing": (["train", "MFNet-Grid-v0", "--env", "x=1/0"], "divides by zero"),
    "a number beyond all": (["train", "MFNet-Grid-v0", "--seed", "9" * 5000], "non-negative integer of less than 20"),
    "too many worlds": (["train", "MFNet-Grid-v0", "--worlds", "10000000"], "it must be at most 1,000,000"),
    "not a pair": (["train", "MFNet-Grid-v0", "--set", "hops"], "is not KEY=VALUE"),
    "two values": (["train", "MFNet-Grid-v0", "--env", "rows=2", "--env", "rows=3"], "rows is 2 and 3: give it once"),
    "two populations": (
        ["train", "MFNet-Grid-v0", "--env", "population=5", "--population", "7"],
        "--env population=5 and --population 7 say two things",
    ),
    "two budgets": (
        ["train", "MFNet-Grid-v0", "--set", "total_env_steps=64", "--steps", "65"],
        "--set total_env_steps=64 and --steps 65 say two things",
    ),
    "not a number": (["train", "MFNet-Grid-v0", "--seed", "-1"], "--seed"),
    "nothing to resume": (["train", "MFNet-Grid-v0", "--out", "nowhere", "--resume"], "there is no run in nowhere"),
    "no checkpoint": (["evaluate", "nowhere"], "no checkpoint at nowhere"),
    "no run": (["report", "nowhere"], "there is no run in nowhere"),
    "unknown policy": (["env", "render", "MFNet-Grid-v0", "--policy", "gredy"], "did you mean 'greedy'"),
    "unknown file": (["env", "render", "MFNet-Grid-v0", "x.bmp"], "must end in .png"),
    "unknown command": (["trian"], "invalid choice: 'trian'; did you mean 'train'? Known: train, "),
    "unknown kind": (["init", "scenaro", "x"], "did you mean 'scenario'"),
    "unknown flag": (["train", "MFNet-Grid-v0", "--popultion=3"], "did you mean '--population'?; `mfnet train --help`"),
    "one word too many": (["report", "x", "y"], "unrecognized arguments: y; `mfnet report --help`"),
    "no network and no city": (["solve", "."], "a city is scenario_<city>.json of RL4AMOD, or a folder with zones.csv"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_one_sentence(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, sentence = WRONG[name]
    code, out, err = ask(arguments, capsys)
    assert code == 2
    assert sentence in err
    assert err.startswith("mfnet: ") and err.count("\n") == 1
    assert out == "" and not list(tmp_path.iterdir()), (
        "nothing may be written before the arguments are known to be right"
    )


def test_the_installed_command_ends_without_a_traceback() -> None:
    found = run(["train", "MFNet-Gird-v0"])
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.count("\n") == 1


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(["--help"], capsys)
    assert code == 0
    assert all(word in out for word in ("train", "evaluate", "env", "demo", "report", "mfnet train MFNet-Grid-v0"))
    code, out, _ = ask(["train", "--help"], capsys)
    assert code == 0 and "--resume" in out


def test_a_verb_is_a_file_and_a_line() -> None:
    """Every module of the command line is a verb, and nothing is left out of the list."""
    files = {path.stem for path in Path(str(cli.__file__)).parent.glob("*.py")} - {"__init__", "__main__", "arguments"}
    assert files == {verb.replace(" ", "_").replace("-", "_") for verb in cli.VERBS}


def test_hints_can_be_typed_as_they_stand() -> None:
    stopped = {
        "interrupted": True,
        "num_env_steps_sampled_lifetime": 5,
        "last_checkpoint": "x",
        "env": "my town.py:T",
    }
    hint = train_verb.summary(stopped, Path("a run/b"), {}).rpartition("go on with: ")[2]
    assert shlex.split(hint) == ["mfnet", "train", "my town.py:T", "--out", "a run/b", "--resume"]


@pytest.mark.parametrize("kind", solve_verb.KINDS)
def test_what_solve_proposes_is_understood(kind: str) -> None:
    hint = solve_verb.what_if_hint(Path("a run"), what_if.understood(solve_verb.KINDS[kind]))
    words = shlex.split(hint.removeprefix("what if? mfnet "), comments=True)
    asked = cli.parser().parse_args(words)
    assert (asked.path, asked.demand) == (Path("a run"), 1.2)
    assert "demand" in what_if.understood(solve_verb.KINDS[kind]) and "--population" in hint


def test_lists_and_pages_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(["env", "list", "--json"], capsys)
    assert code == 0 and json.loads(out)["MFNet-Grid-v0"].startswith("drivers reposition")
    code, out, _ = ask(["env", "show", "MFNet-Grid-v0", "--json", "--env", "rows=2", "cols=2", "horizon=5"], capsys)
    assert code == 0 and json.loads(out)["teams"] == 4


def test_what_is_warned_of_twice_is_said_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a file that is read for its size and then for its contents."""

    def twice(options: argparse.Namespace) -> int:
        warnings.warn("is the unit right?", stacklevel=1)
        warnings.warn("is the unit right?", stacklevel=1)
        return 0

    monkeypatch.setattr("mfnet_agents.cli.doctor.run", twice)
    for _ in range(2):  # each command anew
        assert ask(["doctor"], capsys) == (0, "", "mfnet: note: is the unit right?\n")


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "a.draft")

    monkeypatch.setattr("mfnet_agents.cli.init.write", refused)
    code, _, err = ask(["init", "scenario", "mine"], capsys)
    assert (code, err) == (2, "mfnet: cannot write to mine (Permission denied); name another folder\n")
    with pytest.raises(arguments.UsageError, match=r"^Permission denied: a\.draft"):
        arguments.answer(refused)


def test_an_unwritable_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = ask(train(tmp_path / "file" / "run"), capsys)
    assert code == 2 and "cannot write to" in err and "--out" in err


# -- environments without torch


# An interpreter in which the extras are not installed: nobody finds them.
BARE = """
import sys
import warnings
class Without:
    def __init__(self, finder): self.finder = finder
    def __getattr__(self, name): return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("torch", "matplotlib", "tqdm", "tensorboard"):
            return self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from mfnet_agents.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "verb", [["list"], ["show", "MFNet-Grid-v0", "--env", "rows=2", "cols=2", "horizon=5"], ["check", "MFNet-Grid-v0"]]
)
def test_environments_need_no_torch(verb: list[str]) -> None:
    found = subprocess.run([sys.executable, "-c", BARE, "env", *verb], capture_output=True, text=True, timeout=PATIENCE)
    assert (found.returncode, found.stderr) == (0, "")
    assert "MFNet-Grid-v0" in found.stdout


def test_training_without_torch_says_what_to_install() -> None:
    command = [sys.executable, "-c", BARE, "train", "MFNet-Grid-v0"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert found.returncode == 2 and "[agents]" in found.stderr and found.stderr.count("\n") == 1


def test_checks_and_pictures_answer_in_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = ["--env", "rows=2", "cols=2", "--json"]
    code, said, _ = ask(["env", "check", "MFNet-Grid-v0", *small, "--env", "population=8"], capsys)
    assert code == 0 and json.loads(said)["ok"] is True and len(json.loads(said)["report"]) > 3
    code, said, _ = ask(["env", "check", "mypackage_of_nobody:Env", "--json"], capsys)
    assert (code, said) == (2, "")
    film = tmp_path / "film.html"
    code, said, _ = ask(["env", "render", "MFNet-Grid-v0", *small, "--steps", "2", "--out", str(film)], capsys)
    assert code == 0 and json.loads(said) == {"file": str(film)} and film.is_file()


def test_render_writes_a_picture_and_prints_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = ["--env", "rows=2", "cols=2", "--steps", "2"]
    picture = tmp_path / "grid.png"
    assert ask(["env", "render", "MFNet-Grid-v0", str(picture), *small], capsys)[0] == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    code, out, _ = ask(["env", "render", "MFNet-Grid-v0", *small], capsys)
    assert code == 0 and "step 2" in out


# -- the run folder


def test_the_folder_of_a_run(finished: Path) -> None:
    names = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    states = {f"checkpoints/{which}/{file}" for which in ("last", "best") for file in ("algorithm.json", "state.npz")}
    assert names == {"config.json", "progress.csv", "result.json", *states}
    rows = rows_without_times(finished)
    assert [int(row["training_iteration"]) for row in rows] == list(range(21))
    assert [int(row["num_env_steps_sampled_lifetime"]) for row in rows] == list(range(0, 641, 32))
    evaluated = [i for i, row in enumerate(rows) if row["evaluation/discounted_return_mean"]]
    assert evaluated == [0, 4, 8, 12, 16, 20]


def test_the_config_rebuilds_the_run(finished: Path) -> None:
    record = json.loads((finished / "config.json").read_text())
    config = runs.RunFolder.open(finished).config()
    assert config.env_config == {"population": 12, "rows": 2, "cols": 2, "horizon": 20}
    typed = {"total_env_steps": 640, "evaluation_interval": 4, "evaluation_duration": 8, "num_envs_per_env_runner": 4}
    expected = {**runs.preset("MFNet-Grid-v0"), **typed, "rollout_fragment_length": 8, "env_config": config.env_config}
    assert {name: value for name, value in config.to_dict().items() if name in expected} == expected
    bound = mfnet_envs.make_model("MFNet-Grid-v0", **config.env_config).bound()
    assert bound is not None and record["yardstick"]["bound"] == bound.value
    assert record["versions"]["mfnet"] == mfnet_envs.__version__


def test_best_is_the_best_row(finished: Path) -> None:
    means = [float(row["evaluation/discounted_return_mean"] or "-inf") for row in rows_without_times(finished)]
    record, _ = checkpoint.read(finished / "checkpoints" / "best")
    assert record["counters"]["iteration"] == int(np.argmax(means))
    result = json.loads((finished / "result.json").read_text())
    assert result["best"]["training_iteration"] == int(np.argmax(means))


def test_the_result_is_what_the_environment_says(finished: Path) -> None:
    """By `evaluate` itself on the stated seed, and that seed is neither the training's nor the one that chose best."""
    result = json.loads((finished / "result.json").read_text())
    config, common = runs.RunFolder.open(finished).config(), result["evaluation"]
    assert len({common["seed"], config.seed, config.evaluation_seed}) == 3
    for which in ("best", "last"):
        algorithm = Algorithm.from_checkpoint(finished / "checkpoints" / which)
        report = mfnet_envs.evaluate(algorithm.model, algorithm.policy, worlds=common["worlds"], seed=common["seed"])
        assert result[which]["value"] == report["discounted_return_mean"]
        assert result[which]["value"] < result["yardstick"]["bound"]


def test_evaluate_repeats_the_result(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads((finished / "result.json").read_text())
    code, out, _ = ask(["evaluate", str(finished), "--worlds", "8", "--json"], capsys)
    found = json.loads(out)["policies"]
    assert code == 0
    assert found["learnt, last"]["value"] == result["last"]["value"]
    assert found["learnt, best"]["value"] == result["best"]["value"]
    code, out, _ = ask(["evaluate", str(finished / "checkpoints" / "last"), "--worlds", "8"], capsys)
    assert code == 0 and "bound" in out and f"{result['last']['value']:.3f}" in out


def test_evaluate_elsewhere(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other options of the environment: the very weights there, beside the bound and the random policy of there."""
    algorithm = Algorithm.from_checkpoint(finished / "checkpoints" / "last")
    there = mfnet_envs.make_model(algorithm.config.env, **{**algorithm.config.env_config, "population": 20})
    on = [
        "evaluate",
        str(finished / "checkpoints" / "last"),
        "--worlds",
        "8",
        "--no-heuristics",
        "--on",
        "population=20",
    ]
    code, out, _ = ask([*on, "--json"], capsys)
    found, policy = json.loads(out), algorithm.policy.on(there)
    assert code == 0 and set(found["policies"]) == {"random", "learnt"}
    report = mfnet_envs.evaluate(there, policy, worlds=8, seed=runs.REPORT_SEED)
    assert found["policies"]["learnt"]["value"] == report["discounted_return_mean"]
    assert found["yardstick"]["bound"] == there.bound().value != algorithm.model.bound().value
    code, out, _ = ask(on, capsys)
    assert code == 0 and "learnt elsewhere, executed with population=20" in out
    for wrong, words in (
        ("rows=4", "weights='shared'"),
        ("row=4", "did you mean 'rows'?"),
        ("population=0", "population"),
    ):
        code, out, err = ask([*on[:-1], wrong], capsys)
        assert (code, out, err.count("\n")) == (2, "", 1) and words in err


def test_a_damaged_checkpoint(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("algorithm.json", "state.npz"):
        data = (finished / "checkpoints" / "last" / name).read_bytes()
        (broken / name).write_bytes(data if name == "algorithm.json" else data[: len(data) // 2])
    code, _, err = ask(["evaluate", str(broken)], capsys)
    assert code == 2 and "damaged" in err and err.count("\n") == 1


def test_a_folder_in_use_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ask(train(finished), capsys)
    assert code == 2 and f"{finished} exists; use --resume" in err


def test_resuming_with_other_options_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ask(["train", "MFNet-Grid-v0", "--set", "hops=2", "--out", str(finished), "--resume"], capsys)
    assert code == 2 and "was started with hops = 1" in err


def test_without_out_the_folder_says_what_is_in_it(monkeypatch: Any, tmp_path: Path) -> None:
    config = runs.make_config("MFNet-Grid-v0", {"seed": 7}, {})
    assert runs.default_folder(config) == Path("runs/MFNet-Grid-v0-DecNeuralAC-seed7")


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="TensorBoard is an extra")
def test_tensorboard_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [argument for argument in train(tmp_path / "run", steps=64) if argument != "--no-tensorboard"]
    assert ask(arguments, capsys)[0] == 0
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))


# -- stopping and going on


CTRL_C = """
import signal, sys
from mfnet_agents import DecNeuralAC, cli

step = DecNeuralAC.training_step

def interrupted(self):
    if self.iteration == 5:
        signal.raise_signal(signal.SIGINT)
    return step(self)

DecNeuralAC.training_step = interrupted
sys.exit(cli.main(sys.argv[1:]))
"""
Stopped = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """The same run, of another process, stopped by Ctrl-C in its sixth iteration, however busy the machine is."""
    path = tmp_path_factory.mktemp("run") / "stopped"
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C, *train(path)], capture_output=True, text=True, timeout=PATIENCE
    )
    return path, done


def test_ctrl_c_leaves_a_valid_checkpoint_and_says_where(stopped: Stopped) -> None:
    path, done = stopped
    assert done.returncode == 130
    assert str(path / "checkpoints" / "last") in done.stdout and "--resume" in done.stdout
    assert "Traceback" not in done.stderr
    record, arrays = checkpoint.read(path / "checkpoints" / "last")
    assert record["counters"]["iteration"] == 6
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert json.loads((path / "result.json").read_text())["interrupted"]


def test_a_pipe_gets_plain_lines(stopped: Stopped) -> None:
    out = stopped[1].stdout
    assert "\r" not in out and "\x1b" not in out and "%|" not in out
    assert any("steps" in line and "gap closed" in line for line in out.splitlines())


def test_resuming_is_as_if_nothing_had_happened(
    finished: Path, stopped: Stopped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copytree(stopped[0], tmp_path / "run"))
    with (path / "progress.csv").open("a") as file:  # a row that the last checkpoint does not cover, half-written
        file.write("19,608,1.0,.5,")
    assert (
        ask(["train", "MFNet-Grid-v0", "--out", str(path), "--worlds", "8", "--resume", "--no-tensorboard"], capsys)[0]
        == 0
    )
    assert rows_without_times(path) == rows_without_times(finished)
    for which in ("last", "best"):
        (_, mine), (_, whole) = (checkpoint.read(run / "checkpoints" / which) for run in (path, finished))
        assert mine.keys() == whole.keys()
        assert all(np.array_equal(mine[name], whole[name]) for name in whole)
    results = [json.loads((run / "result.json").read_text()) for run in (path, finished)]
    for name in ("random", "last", "best", "interrupted", "yardstick"):
        assert results[0][name] == results[1][name]


def test_a_finished_run_can_be_extended(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(shutil.copytree(finished, tmp_path / "run"))
    more = [
        "train",
        "MFNet-Grid-v0",
        "--out",
        str(path),
        "--worlds",
        "8",
        "--resume",
        "--no-tensorboard",
        "--steps",
        "704",
    ]
    assert ask(more, capsys)[0] == 0
    assert int(rows_without_times(path)[-1]["num_env_steps_sampled_lifetime"]) == 704


def test_the_second_ctrl_c_stops_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), runs.interruption() as asked:
        assert not asked.is_set()
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert "Ctrl-C again" in capfd.readouterr().err


def test_a_background_job_goes_on_ignoring_ctrl_c(tmp_path: Path) -> None:
    """A shell starts `mfnet train ... &` with SIGINT ignored: a Ctrl-C meant for the foreground must not stop it."""
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", CTRL_C, *train(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and "Ctrl-C" not in done.stderr
    assert not json.loads((tmp_path / "run" / "result.json").read_text())["interrupted"]


# -- output


def test_json_lines_are_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_world = ["evaluation_duration=1", "evaluation_interval=1", *OPTIONS[2:]]
    run = ["train", *SMALL, "--set", *one_world, "--steps", "64", "--out", str(tmp_path / "run"), "--no-tensorboard"]
    code, out, _ = ask([*run, "--worlds", "1", "--json"], capsys)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    events = [json.loads(line, parse_constant=refuse) for line in out.splitlines()]
    assert code == 0
    kinds = [event["event"] for event in events]
    assert kinds == ["start", *["iteration", "evaluation"] * 3, "result"]
    assert events[-1]["last"]["ci95"] is None, "one world has no interval"


def test_a_reader_that_leaves_is_no_error() -> None:
    command = " ".join(MFNET)
    found = subprocess.run(
        ["sh", "-c", f"{command} env show MFNet-RideShareNYC-v0 | head -n 1"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert found.stdout.count("\n") == 1 and found.stderr == ""


def test_the_bar_on_a_terminal() -> None:
    screen = io.StringIO()
    bar = Bar(screen)
    bar.start(Yardstick("discounted_return", 1.0, "return", 12.25), 1000, 0)
    bar.stepped({"num_env_steps_sampled_lifetime": 500})
    bar.evaluated(500, 10.5, 0.1, 0.65)
    bar.stop()
    last = screen.getvalue().rpartition("\r")[2]
    assert all(word in last for word in ("50%|", "500", "steps/s", "ETA", "10.500", "65%", "bound 12.250"))


@pytest.mark.parametrize(("until", "left"), [(80.0, "0:40"), (400.0, "2:00"), (math.inf, "2:00"), (30.0, "0:00")])
def test_the_clock_or_the_steps_whichever_is_sooner(until: float, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the steps took 40 s, so that the rest takes 120 s, unless the clock ends it before."""
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    lines, bar = Lines(io.StringIO()), Bar(io.StringIO())
    for shown in (lines, bar):
        now[0] = 0.0
        shown.start(Yardstick("discounted_return", 1.0, "return", None), 1000, 0, until)
        now[0] = 40.0
        shown.stepped({"num_env_steps_sampled_lifetime": 250})
        shown.evaluated(250, 10.5, 0.1, None)
    shown.stop()
    assert f"ETA {left}\n" in lines.out.getvalue() and f"ETA {left}" in bar.out.getvalue().rpartition("\r")[2]
    assert (" at most;" in lines.out.getvalue()) == math.isfinite(until)


def test_infinities_become_null() -> None:
    assert finite({"a": [1.0, float("inf")], "b": (float("nan"),), "c": "inf"}) == {
        "a": [1.0, None],
        "b": [None],
        "c": "inf",
    }


# -- presets


def test_every_environment_has_a_preset_that_is_valid() -> None:
    for env_id in scenarios():
        if not env_id.startswith("MFNet-"):
            continue  # registered by another test
        config = runs.make_config(env_id, {}, {})
        assert runs.preset(env_id) and config.evaluation_interval
        assert config.resolved(mfnet_envs.make_model(env_id, **config.env_config)).env == env_id


def test_presets_yield_to_what_is_typed() -> None:
    config = runs.make_config("MFNet-RideShareNYC-v0", {"credit_hops": 6}, {"hour": 8})
    shipped = runs.preset("MFNet-RideShareNYC-v0")
    assert config.credit_hops == 6
    assert config.env_config == {**shipped["env_config"], "hour": 8}
    assert config.total_env_steps == shipped["total_env_steps"] != DecNeuralACConfig().total_env_steps
    plain = runs.make_config("MFNet-RideShareNYC-v0", {}, {}, use_preset=False)
    assert plain.env_config == {} and plain.total_env_steps == DecNeuralACConfig().total_env_steps


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("True", True),
        ("None", None),
        ("[1, 2]", [1, 2]),
        ("auto", "auto"),
        ("1/60", 1 / 60),
        ("-2.5/5", -0.5),
        ("a/b", "a/b"),
        ("1/2/3", "1/2/3"),
    ],
)
def test_values_are_read_as_what_they_look_like(typed: str, value: object) -> None:
    assert arguments.pair(f"option={typed}") == ("option", value)


# -- whatever happens, a sentence and an exit code


TINY = ["MFNet-Grid-v0", "--env", "rows=2", "cols=2", "horizon=5"]


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&- <&-"])
def test_closed_streams_cost_no_work(closed: str, tmp_path: Path) -> None:
    """Nobody listens; the run is made, and its files hold nothing but what belongs there."""
    command = shlex.join([*MFNET, *train(tmp_path / "run", steps=64)])
    found = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0 and "Traceback" not in found.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["num_env_steps_sampled_lifetime"] == 64 and not result["interrupted"]
    assert Algorithm.from_checkpoint(tmp_path / "run" / "checkpoints" / "last").iteration == 2


def test_letters_that_an_output_does_not_have(finished: Path) -> None:
    """After all the work the table is shown, with question marks where need be."""
    for env in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        found = run(["evaluate", str(finished), "--worlds", "2"], env={**os.environ, **env})
        assert (found.returncode, found.stderr) == (0, "") and "learnt, best" in found.stdout


def test_a_full_disk_is_one_sentence() -> None:
    command = shlex.join([*MFNET, "env", "show", *TINY])
    found = subprocess.run(["sh", "-c", f"{command} > /dev/full"], capture_output=True, text=True, timeout=60)
    assert found.returncode == 2 and found.stderr == "mfnet: No space left on device: the output\n"
    command = shlex.join([*MFNET, "env", "list", "--help"])  # argparse prints, and its exit is not the end
    env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    found = subprocess.run(["sh", "-c", f"{command} > /dev/full"], capture_output=True, text=True, timeout=60, env=env)
    assert "ignored" not in found.stderr and found.stderr.count("\n") <= 1


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    command = shlex.join([*MFNET, "env", "show", *TINY])
    script = f"cd {shlex.quote(str(tmp_path / 'gone'))} && rmdir ../gone && {command}"
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    found = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, env=path)
    assert (found.returncode, found.stderr) == (2, "mfnet: the working directory is gone; change to another one\n")


def test_a_fault_of_ours_is_told_and_not_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with exit code 1; the traceback on request."""
    from mfnet_envs import tools

    monkeypatch.setattr(tools, "list_environments", lambda: [][0])
    code, out, err = ask(["env", "list"], capsys)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "IndexError: list index out of range; with MFNET_TRACEBACK=1" in err
    monkeypatch.setenv("MFNET_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in ask(["env", "list"], capsys)[2]


def test_worlds_of_the_last_measurement_are_counted_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mfnet_envs import words

    monkeypatch.setattr(words, "memory", lambda: 10**9)
    out = tmp_path / "run"
    code, _, err = ask(["train", "MFNet-Grid-v0", "--steps", "256", "--worlds", "900000", "--out", str(out)], capsys)
    assert code == 2 and err.startswith("mfnet: worlds=900000 of 25 states") and err.count("\n") == 1
    assert not out.exists()


def test_no_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mfnet_envs import tools

    def vast(*_: Any, **__: Any) -> None:
        np.empty(2**50)

    monkeypatch.setattr(tools, "show", vast)
    code, _, err = ask(["env", "show", "MFNet-Grid-v0"], capsys)
    assert code == 2 and "not enough memory for this: Unable to allocate" in err and err.count("\n") == 1


def test_a_run_that_diverges_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, the last good checkpoint, and no result that could be taken for one."""
    step, path = DecNeuralAC.training_step, tmp_path / "run"

    def overflowing(algorithm: DecNeuralAC) -> dict[str, Any]:
        if algorithm.iteration == 5:
            algorithm.omega = algorithm.omega * 1e200
        return step(algorithm)

    monkeypatch.setattr(DecNeuralAC, "training_step", overflowing)
    code, _, err = ask(train(path, "--set", "critic_form=v"), capsys)
    assert code == 1 and "training has diverged" in err and "take smaller steps" in err and err.count("\n") == 1
    assert Algorithm.from_checkpoint(path / "checkpoints" / "last").iteration == 4
    assert not (path / "result.json").exists()
    assert ask(["report", str(path)], capsys)[0] == 2


def test_two_at_once_and_a_loop_over_populations(tmp_path: Path) -> None:
    """The default folders differ; of two with one folder the second is refused, and the first is a whole run."""
    here = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}}
    common = ["--env", "rows=2", "cols=2", "horizon=5", "--worlds", "2", "--no-tensorboard", "--steps", "512"]
    processes = [
        subprocess.Popen(
            [*MFNET, "train", "MFNet-Grid-v0", "--population", n, *common, *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **here,
        )
        for n, more in (("12", []), ("50", []), ("12", ["--out", "same"]), ("50", ["--out", "same"]))
    ]  # fmt: skip
    said = [(process.communicate(timeout=110)[1], process.returncode) for process in processes]
    assert [code for _, code in said[:2]] == [0, 0] and sorted(code for _, code in said[2:]) == [0, 2], said
    refused = next(err for err, code in said if code == 2)
    assert "same is in use by process" in refused or "same exists; use --resume" in refused
    for path in (*(tmp_path / "runs").iterdir(), tmp_path / "same"):
        result = json.loads((path / "result.json").read_text())
        population = json.loads((path / "config.json").read_text())["config"]["env_config"]["population"]
        assert result["env_config"]["population"] == population
        assert all(
            checkpoint.read(path / "checkpoints" / which)[0]["config"]["env_config"]["population"] == population
            for which in ("last", "best")
        )
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_an_environment_that_a_file_may_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A function that does not say what it returns is not run because a file says so; its user may say so."""
    source = "from mfnet_envs.scenarios.grid_v0 import build as grid\n"
    source += "def build(population=6):\n    return grid(population, rows=2, cols=2, horizon=5)\n"
    (tmp_path / "unsaid_town.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recorded, "_VOUCHED", set())
    made = ["train", "unsaid_town.py:build", "--out", "run", "--steps", "64", "--worlds", "2", "--no-tensorboard"]
    assert ask(made, capsys)[0] == 0
    assert ask([*made, "--resume", "--steps", "128"], capsys)[0] == 0, "it is typed"
    for command in (["evaluate", "run", "--worlds", "2"], ["report", "run"]):
        code, _, err = ask(command, capsys)
        assert code == 2 and "def build(...) -> LocalModel" in err and err.count("\n") == 1
        assert "--environment unsaid_town.py:build" in err
    drawn = ["env", "render", "unsaid_town.py:build", "--policy", "run", "--steps", "1"]
    assert ask(drawn, capsys)[0] == 0, "it is typed here too"
    recorded._VOUCHED.clear()
    assert ask(["evaluate", "run", "--worlds", "2", "--environment", "unsaid_town.py:build"], capsys)[0] == 0


def test_time_left_is_never_negative() -> None:
    assert [clock(seconds) for seconds in (-7200.0, -0.4, 59.6, 3600)] == ["0:00", "0:00", "1:00", "1:00:00"]


@pytest.mark.parametrize(
    "words",
    [
        ["env", "show", LONG], ["env", "show", f"{LONG}:x"], ["env", LONG], [LONG], ["train", LONG],
        ["train", "MFNet-Grid-v0", "--set", LONG], ["train", "MFNet-Grid-v0", "--set", f"{LONG}=1"],
        ["train", "MFNet-Grid-v0", "--env", f"{LONG}=1"], ["train", "MFNet-Grid-v0", "--env", f"rows={LONG}"],
        ["train", "MFNet-Grid-v0", "--steps", LONG], ["train", "MFNet-Grid-v0", "--worlds", "1" * 3000],
        ["evaluate", LONG], ["report", LONG], ["verify", "--only", LONG], ["env", "check", LONG],
        ["env", "render", "MFNet-Grid-v0", "--policy", LONG], ["env", "render", "MFNet-Grid-v0", "--out", LONG],
    ],
    ids=lambda words: " ".join(word[:14] for word in words),
)  # fmt: skip
def test_what_is_typed_is_echoed_in_part(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = ask(words, capsys)
    assert code == 2 and said.count("\n") == 1 and len(said) <= 501


def test_a_solver_that_gives_up_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten trips on a link for one, to the power 1e300; the way back is as good."""
    ends, one = np.array([0, 1]), np.ones(2)
    demand = np.array([[0.0, 10.0], [10.0, 0.0]])
    path = NetworkData(
        name="steep", nodes=("a", "b"), tail=ends, head=1 - ends, free_flow_time=one, capacity=one, b=one,
        power=1e300 * one, length=one, demand=demand,
    ).to_npz(tmp_path / "steep.npz")  # fmt: skip
    code, _, said = ask(["env", "show", "MFNet-Routing-v0", "--env", f"network={path}"], capsys)
    assert code == 2 and said.splitlines()[-1].startswith("mfnet: the assignment stopped where the cost of a link is")
