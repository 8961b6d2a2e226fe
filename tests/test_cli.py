"""The command line as its users meet it: sentences, exit codes, run folders, Ctrl-C, pipes, resuming."""

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mfnet_envs
from mfnet_agents import Algorithm, DecNeuralACConfig, checkpoint, cli, runs
from mfnet_agents.cli import arguments
from mfnet_agents.cli import train as train_verb
from mfnet_agents.progress import Bar, finite
from mfnet_envs.registration import scenarios
from mfnet_envs.yardstick import Yardstick

# Four cells, twelve drivers, short episodes: seconds for a run, and the bound's programme is tiny.
SMALL = ["MFNet-Grid-v0", "--population", "12", "--env", "rows=2", "cols=2", "horizon=20", "--worlds", "8"]
OPTIONS = ["evaluation_interval=4", "evaluation_duration=8", "num_envs_per_env_runner=4", "rollout_fragment_length=8"]
MFNET = [sys.executable, "-m", "mfnet_agents.cli"]


def train(out: Path, *more: str, steps: int = 640) -> list[str]:
    """Arguments of a small run: 32 steps an iteration, an evaluation every fourth."""
    return ["train", *SMALL, "--set", *OPTIONS, "--steps", str(steps), "--out", str(out), "--no-tensorboard", *more]


def run(arguments: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MFNET, *arguments], capture_output=True, text=True, timeout=120, **more)


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


WRONG = {
    "unknown id": (["env", "show", "MFNet-Gird-v0"], "did you mean 'MFNet-Grid-v0'"),
    "unknown id in train": (["train", "MFNet-RideShareNYC-v1"], "did you mean 'MFNet-RideShareNYC-v0'"),
    "unknown option": (["train", "MFNet-Grid-v0", "--set", "credit_hop=3"], "did you mean 'credit_hops'"),
    "unknown algorithm": (["train", "MFNet-Grid-v0", "--algorithm", "DecNeurlAC"], "did you mean 'DecNeuralAC'"),
    "lost algorithm": (["train", "MFNet-Grid-v0", "--algorithm", "mine.py:Config"], "there is no file mine.py"),
    "unknown env option": (["train", "MFNet-Grid-v0", "--env", "popultion=3"], "did you mean 'population'"),
    "option out of range": (["train", "MFNet-Grid-v0", "--set", "hops=-1"], "hops must be a non-negative integer"),
    "option of another kind": (["train", "MFNet-Grid-v0", "--set", "lambda_=much"], "lambda_ must be between 0 and 1"),
    "population": (["train", "MFNet-Grid-v0", "--population", "0"], "population must be a positive integer"),
    "not a pair": (["train", "MFNet-Grid-v0", "--set", "hops"], "is not KEY=VALUE"),
    "not a number": (["train", "MFNet-Grid-v0", "--seed", "-1"], "--seed"),
    "nothing to resume": (["train", "MFNet-Grid-v0", "--out", "nowhere", "--resume"], "there is no run in nowhere"),
    "no checkpoint": (["evaluate", "nowhere"], "no checkpoint at nowhere"),
    "no run": (["report", "nowhere"], "there is no run in nowhere"),
    "unknown policy": (["env", "render", "MFNet-Grid-v0", "--policy", "gredy"], "did you mean 'greedy'"),
    "unknown file": (["env", "render", "MFNet-Grid-v0", "x.bmp"], "must end in .png"),
    "unknown command": (["trian"], "invalid choice: 'trian'"),
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
    assert files == {verb.replace(" ", "_") for verb in cli.VERBS}


def test_hints_can_be_typed_as_they_stand() -> None:
    stopped = {
        "interrupted": True,
        "num_env_steps_sampled_lifetime": 5,
        "last_checkpoint": "x",
        "env": "my town.py:T",
    }
    hint = train_verb.summary(stopped, Path("a run/b"), {}).rpartition("go on with: ")[2]
    assert shlex.split(hint) == ["mfnet", "train", "my town.py:T", "--out", "a run/b", "--resume"]


def test_lists_and_pages_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(["env", "list", "--json"], capsys)
    assert code == 0 and json.loads(out)["MFNet-Grid-v0"].startswith("drivers reposition")
    code, out, _ = ask(["env", "show", "MFNet-Grid-v0", "--json", "--env", "rows=2", "cols=2", "horizon=5"], capsys)
    assert code == 0 and json.loads(out)["teams"] == 4


def test_an_unwritable_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = ask(train(tmp_path / "file" / "run"), capsys)
    assert code == 2 and "cannot write to" in err and "--out" in err


# -- environments without torch


# An interpreter in which the extras are not installed: nobody finds them.
BARE = """
import sys
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
    found = subprocess.run([sys.executable, "-c", BARE, "env", *verb], capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr) == (0, "")
    assert "MFNet-Grid-v0" in found.stdout


def test_training_without_torch_says_what_to_install() -> None:
    command = [sys.executable, "-c", BARE, "train", "MFNet-Grid-v0"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2 and "[agents]" in found.stderr and found.stderr.count("\n") == 1


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


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.Popen[str], str, str]:
    """The same run, of another process, stopped by Ctrl-C on its way."""
    path = tmp_path_factory.mktemp("run") / "stopped"
    process = subprocess.Popen([*MFNET, *train(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(runs.RunFolder(path).rows()) < 4 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return path, process, out, err


def test_ctrl_c_leaves_a_valid_checkpoint_and_says_where(stopped: tuple[Path, subprocess.Popen[str], str, str]) -> None:
    path, process, out, err = stopped
    assert process.returncode == 130
    assert str(path / "checkpoints" / "last") in out and "--resume" in out
    assert "Traceback" not in err
    record, arrays = checkpoint.read(path / "checkpoints" / "last")
    assert 3 <= record["counters"]["iteration"] < 20
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert json.loads((path / "result.json").read_text())["interrupted"]


def test_a_pipe_gets_plain_lines(stopped: tuple[Path, subprocess.Popen[str], str, str]) -> None:
    _, _, out, _ = stopped
    assert "\r" not in out and "\x1b" not in out and "%|" not in out
    assert any("steps" in line and "gap closed" in line for line in out.splitlines())


def test_resuming_is_as_if_nothing_had_happened(
    finished: Path, stopped: tuple[Path, subprocess.Popen[str], str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = stopped[0]
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


def test_a_finished_run_can_be_extended(
    stopped: tuple[Path, subprocess.Popen[str], str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = stopped[0]
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
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert asked.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is before
    assert "Ctrl-C again" in capfd.readouterr().err


# -- output


def test_json_lines_are_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_world = ["evaluation_duration=1", "evaluation_interval=1"]
    code, out, _ = ask(train(tmp_path / "run", "--set", *one_world, "--worlds", "1", "--json", steps=64), capsys)

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
        timeout=60,
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
    assert config.sampling == shipped["sampling"]
    plain = runs.make_config("MFNet-RideShareNYC-v0", {}, {}, use_preset=False)
    assert plain.env_config == {} and plain.sampling == DecNeuralACConfig().sampling


@pytest.mark.parametrize(
    ("typed", "value"),
    [("3", 3), ("0.5", 0.5), ("true", True), ("True", True), ("None", None), ("[1, 2]", [1, 2]), ("auto", "auto")],
)
def test_values_are_read_as_what_they_look_like(typed: str, value: object) -> None:
    assert arguments.pair(f"option={typed}") == ("option", value)
