"""Runs of any algorithm: the same folder, columns, resuming and closing measurement as the shipped one's."""

import csv
import dataclasses
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mfnet_envs
from mfnet_agents import Algorithm, checkpoint, cli, registry, runs
from mfnet_agents.pages import run as report
from mfnet_agents.progress import Lines
from mfnet_agents.runs import lock, training
from mfnet_agents.runs.folder import COLUMNS
from mfnet_envs import locks

OWN = f"{Path(__file__).parents[1] / 'examples' / 'own_learner.py'}:Config"
PLACE = {"rows": 2, "cols": 2, "population": 12, "horizon": 20}
SMALL = {"tables": 4, "elite": 2, "num_envs_per_env_runner": 2, "rollout_fragment_length": 8, "evaluation_interval": 2}
STEPS = 6 * 64  # six iterations


def config(**options: Any) -> Any:
    chosen = {**SMALL, "total_env_steps": STEPS, "evaluation_duration": 8, **options}
    return runs.make_config("MFNet-Grid-v0", chosen, PLACE, algorithm=OWN)


def run(path: Path, chosen: Any, **more: Any) -> dict[str, Any]:
    folder = runs.RunFolder.open(path) if more.get("resume") else runs.RunFolder.create(path)
    return runs.train(chosen.build_algo(), folder, worlds=8, tensorboard=False, **more)


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "progress.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "time_total_s"} for row in csv.DictReader(file)]


def same_end(one: Path, other: Path) -> bool:
    """Rows, checkpoints and results, but for the clock and the paths."""
    results = [json.loads((path / "result.json").read_text("utf-8")) for path in (one, other)]
    kept = [{k: v for k, v in result.items() if k not in ("time_total_s", "last_checkpoint")} for result in results]
    for which in ("last", "best"):
        (mine, arrays), (theirs, others) = (checkpoint.read(path / "checkpoints" / which) for path in (one, other))
        assert mine["state"] == theirs["state"]
        assert arrays.keys() == others.keys() and all(np.array_equal(arrays[name], others[name]) for name in arrays)
    return rows(one) == rows(other) and kept[0] == kept[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "whole"
    run(path, config())
    return path


def test_who_stops_at_once_is_told_of_checkpoints_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the bound is computed there is none."""

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    for place, kept in (("_begin", "no checkpoint was written yet"), ("_loop", "the last checkpoint is ")):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(training, place, stopped)
            run(tmp_path / place, config(), progress=Lines())
        said = capsys.readouterr()
        assert f"stopped at once; {kept}" in said.out + said.err


# -- what is kept


def test_the_columns_are_what_the_algorithm_reports(whole: Path) -> None:
    with (whole / "progress.csv").open() as file:
        header = next(csv.reader(file))
    assert tuple(header[: len(COLUMNS)]) == COLUMNS
    assert {"learners/spread", "learners/elite_return", "evaluation/headline_mean", "evaluation/gap_closed"} <= set(
        header
    )
    found = rows(whole)
    assert [row["training_iteration"] for row in found] == [str(i) for i in range(7)]
    assert [bool(row["learners/spread"]) for row in found] == [False] + [True] * 6
    assert [bool(row["evaluation/headline_mean"]) for row in found] == [True, False, True, False, True, False, True]


def test_the_result_is_one_measurement(whole: Path) -> None:
    """Random, the scenario's heuristics and what was learnt, by `evaluate` itself on the stated worlds."""
    result = json.loads((whole / "result.json").read_text("utf-8"))
    algo = Algorithm.from_checkpoint(whole / "checkpoints" / "last")
    heuristics = algo.model.heuristics()
    assert set(result["policies"]) == {"random", "last", "best", *heuristics}
    common = result["evaluation"]
    for name, policy in {**heuristics, "last": algo.policy}.items():
        report = mfnet_envs.evaluate(algo.model, policy, worlds=common["worlds"], seed=common["seed"])
        assert result["policies"][name]["value"] == report["discounted_return_mean"]
    assert result["last"]["value"] == result["policies"]["last"]["value"]
    assert result["random"]["gap_closed"] == 0 < result["yardstick"]["bound"]
    assert result["algorithm"] == "CrossEntropy"


def test_the_folder_knows_its_algorithm(whole: Path) -> None:
    assert runs.RunFolder.open(whole).config() == config()


def test_folders_are_safe_for_a_path() -> None:
    chosen = config()
    chosen.env = "../towns/my town.py:Town"
    chosen.env_config = {}
    chosen.training(tables=32, elite=6).env_runners(num_envs_per_env_runner=16, rollout_fragment_length=16)
    assert runs.default_folder(chosen) == Path("runs/towns-my-town.py-Town-CrossEntropy-seed0")


def test_a_folder_tells_runs_apart() -> None:
    """By what differs from the shipped options, in any order; not by the budget, which may be extended."""

    def of(options: dict[str, Any], **place: Any) -> str:
        return str(runs.default_folder(runs.make_config("MFNet-Grid-v0", options, place)))

    assert of({}) == "runs/MFNet-Grid-v0-DecNeuralAC-seed0" == of({"total_env_steps": 512, "evaluation_duration": 3})
    assert of({"hops": 2}, population=12) == "runs/MFNet-Grid-v0-hops-2-population-12-DecNeuralAC-seed0"
    assert of({}, rows=2, cols=3) == of({}, cols=3, rows=2) != of({}, rows=3, cols=2)
    told = [{}, {"rows": 2}, {"rows": 3}, {"demand": [0.5] * 25}, {"demand": [0.25] * 25}, {"x": "a/b"}, {"x": "a-b"}]
    names = [of({}, **place) for place in told]
    assert len(set(names)) == len(names) and all(len(name) < 110 and re.fullmatch(r"[\w./-]+", name) for name in names)


class Late(registry.config_class(OWN)):  # type: ignore[misc]
    @classmethod
    def algorithm_class(cls) -> type[Algorithm]:
        return Later


class Later(Late.__mro__[1].algorithm_class()):  # type: ignore[misc]
    """Has more to say from the third iteration on, some of it no number."""

    @classmethod
    def config_class(cls) -> type[Late]:
        return Late

    def training_step(self) -> dict[str, Any]:
        step: dict[str, Any] = super().training_step()
        if self.iteration >= 2:
            step["learners"] |= {"phase": "fine, now", "nothing": None, "table": [1, 2]}
        return step


def test_a_later_row_brings_new_columns(tmp_path: Path) -> None:
    chosen = Late.from_dict(config().to_dict())
    run(tmp_path / "run", chosen)
    found = rows(tmp_path / "run")
    assert [row["learners/phase"] for row in found] == ["", "", ""] + ["fine, now"] * 4
    assert not {"learners/nothing", "learners/table"} & set(found[0])
    run(tmp_path / "run", chosen.training(total_env_steps=STEPS + 64), resume=True)
    assert rows(tmp_path / "run")[:6] == found[:6] and len(rows(tmp_path / "run")) == 8


# -- stopped and gone on with


def at(iteration: int, act: Callable[[], Any]) -> Callable[..., None]:
    def callback(algorithm: Algorithm, result: dict[str, Any]) -> None:
        if algorithm.iteration == iteration:
            act()

    return callback


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


class Killed(BaseException):
    """As by a machine that goes down: nobody catches it."""


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("iteration", [1, 3, 4])
def test_a_killed_run_goes_on_bit_for_bit(iteration: int, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(Killed):
        run(path, config().callbacks(on_train_result=at(iteration, kill)))
    run(path, runs.same_options({}, runs.RunFolder.open(path)), resume=True)
    assert same_end(path, whole)


def test_ctrl_c_stops_after_the_iteration(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    result = run(path, config().callbacks(on_train_result=at(3, ctrl_c)))
    assert result["interrupted"] and result["training_iteration"] == 3 and "policies" not in result
    run(path, config(), resume=True)
    assert same_end(path, whole)


def test_ctrl_c_while_measuring_leaves_a_valid_folder(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training, "measure", stopped)
        run(path, config())
    assert json.loads((path / "result.json").read_text("utf-8"))["training_iteration"] == 6
    run(path, config(), resume=True)
    assert same_end(path, whole)


def test_died_before_its_first_checkpoint(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Algorithm, "save_to_path", lambda *_: kill())
        run(path, config())
    run(path, config(), resume=True)
    assert same_end(path, whole)


def test_the_bound_is_solved_for_once_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for every evaluation, and not again when the run goes on."""
    solved, kind = [], type(mfnet_envs.make_model("MFNet-Grid-v0", **PLACE))
    bound = kind.bound
    monkeypatch.setattr(kind, "bound", lambda model: solved.append(1) or bound(model))
    run(tmp_path / "run", config())
    run(tmp_path / "run", config(total_env_steps=STEPS + 64), resume=True)
    assert len(solved) == 1


def test_a_scenario_that_contradicts_itself_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0", **PLACE)
    average = dataclasses.replace(model.bound(), criterion="average")
    monkeypatch.setattr(type(model), "bound", lambda _: average)
    with pytest.raises(
        runs.RunError,
        match="contradicts itself: Grid is bounded on the average criterion and judged on the discounted one",
    ):
        run(tmp_path / "run", config())
    assert not list((tmp_path / "run").iterdir())


# -- options


def test_presets_belong_to_an_algorithm() -> None:
    shipped = runs.preset("MFNet-Grid-v0")
    assert shipped and runs.preset("MFNet-Grid-v0", "CrossEntropy") == {} == runs.preset("MFNet-Grid-v0", "../presets")
    assert runs.preset("../DecNeuralAC/MFNet-Grid-v0") == {}
    with pytest.raises(TypeError, match="Config has no option 'hops'"):
        config(hops=1)
    with pytest.raises(TypeError, match="Config has no option 'tabels'; did you mean 'tables'"):
        config(tabels=1)
    with pytest.raises(ValueError, match="did you mean 'DecNeuralAC'"):
        runs.make_config("MFNet-Grid-v0", {}, {}, algorithm="DecNeural")


def test_a_run_goes_on_as_it_was_started(whole: Path) -> None:
    folder = runs.RunFolder.open(whole)
    assert runs.same_options({"total_env_steps": 999}, folder, OWN).total_env_steps == 999
    with pytest.raises(runs.RunError, match="was started with CrossEntropy, not DecNeuralAC"):
        runs.same_options({}, folder, "DecNeuralAC")
    with pytest.raises(runs.RunError, match="was started with elite = 2, not 3"):
        runs.same_options({"elite": 3}, folder)


def test_a_folder_of_an_unknown_algorithm(whole: Path, tmp_path: Path) -> None:
    record = json.loads((whole / "config.json").read_text("utf-8"))
    town = {**record["config"], "env": "Gone-v0"}
    for change, words in (
        ({"algorithm": "Gone", "algorithm_source": "gone:Config"}, "of the algorithm 'Gone', .*: import gone first"),
        (
            {"config": town, "env_source": "town"},
            "of the environment 'Gone-v0', .*town",
        ),
        ({"config": {**record["config"], "warp": 9}}, "was written by another version: .* no option 'warp'"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**record, **change}), "utf-8")
        with pytest.raises(runs.RunError, match=words):
            runs.RunFolder.open(tmp_path).config()


# -- one run owns its folder


OWNER = """
import sys, time
from pathlib import Path
from mfnet_agents import runs
folder = getattr(runs.RunFolder, sys.argv[2])(Path(sys.argv[1])).own()
print("mine", flush=True)
time.sleep(60)
"""


@contextmanager
def owned(path: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Another process owns the folder; it is killed in the end."""
    command = [sys.executable, "-c", OWNER, str(path), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_has_one_owner_until_it_is_killed(tmp_path: Path) -> None:
    """From its creation on; the next one is told who has it, and takes it once the owner is gone."""
    path = tmp_path / "run"
    with owned(path, "create") as process:
        for _ in range(2):
            with pytest.raises(
                runs.RunError, match=rf"in use by process {process.pid} .*since \d{{4}}-.*; wait for its end"
            ):
                runs.RunFolder.create(path)
    folder = runs.RunFolder.create(path)
    assert [file.name for file in path.iterdir()] == [lock.LOCK]
    folder.release()
    assert list(path.iterdir()) == []


def test_a_run_that_goes_on_elsewhere_is_not_resumed_twice(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with owned(path, "open"), pytest.raises(runs.RunError, match="is in use by process"):
        run(path, config(total_env_steps=STEPS + 64), resume=True)
    assert {file: file.read_bytes() for file in before} == before
    assert run(path, config(total_env_steps=STEPS + 64), resume=True)["training_iteration"] == 7
    assert not (path / lock.LOCK).exists()


def test_threads_and_forgotten_folders(tmp_path: Path) -> None:
    """One process is no exception; a folder that nobody holds any more is free."""
    mine = runs.RunFolder.create(tmp_path / "run")
    with pytest.raises(runs.RunError, match=f"in use by process {os.getpid()}"):
        runs.RunFolder(tmp_path / "run").own()
    del mine
    runs.RunFolder.create(tmp_path / "run").release()


def test_a_system_without_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "EXIST", False)
    with pytest.warns(UserWarning, match="no lock can be taken on .*: let one run at a time use it"):
        run(tmp_path / "run", config(total_env_steps=64))
    assert not (tmp_path / "run" / lock.LOCK).exists()


def test_what_killed_runs_leave_is_no_obstacle(whole: Path, tmp_path: Path) -> None:
    """Killed while config.json was written: it can be started. Killed while a checkpoint was: it goes on, tidily."""
    path = tmp_path / "run"
    path.mkdir()
    for name in (".config.json.draft", ".writable", lock.LOCK):
        (path / name).write_text('{"half": ')
    run(path, config())
    assert same_end(path, whole)
    for name in (".last.abcd_123", ".best.abcd_123"):
        (path / "checkpoints" / name).mkdir()
        (path / "checkpoints" / name / "state.npz").write_text("half")
    (path / ".result.json.draft").write_text("half")
    run(path, config(), resume=True)
    assert same_end(path, whole)
    names = {file.name for file in (*path.iterdir(), *(path / "checkpoints").iterdir())}
    assert names == {"config.json", "progress.csv", "result.json", "checkpoints", "last", "best"}


def test_a_run_begins_with_an_algorithm_as_built(tmp_path: Path) -> None:
    algorithm = config().build_algo()
    algorithm.train()
    with pytest.raises(runs.RunError, match="has been trained already"):
        runs.train(algorithm, runs.RunFolder.create(tmp_path / "run"))
    assert list((tmp_path / "run").iterdir()) == []


# -- files that were changed


def test_checkpoints_of_another_run_are_refused(whole: Path, tmp_path: Path) -> None:
    """Of the same environment and sizes even: only the budget may be another."""
    run(tmp_path / "other", config(elite=3, total_env_steps=64))
    for which in ("best", "last"):
        path = tmp_path / f"run-{which}"
        shutil.copytree(whole, path)
        shutil.rmtree(path / "checkpoints" / which)
        shutil.copytree(tmp_path / "other" / "checkpoints" / which, path / "checkpoints" / which)
        with pytest.raises(runs.RunError, match=rf"{which} is of another run: it has elite = 3, and this run 2;"):
            run(path, config(total_env_steps=STEPS + 64), resume=True)
        folder = runs.RunFolder.open(path)
        with pytest.raises(runs.RunError, match="is of another run"):
            folder.algorithm(getattr(folder, which))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2].rpartition("\n")[0] + "\n",  # whole rows are missing
        lambda text: text.replace("\n2,", "\n3,"),
        lambda text: text.replace("training_iteration", "iteration"),
        lambda text: text[:40] + "\0" + text[41:],
        lambda text: re.sub(r"(?m)^(2,[^,]*),[^,]*", r"\1,soon", text),
        lambda text: "\udcff" + text,
    ],
)
def test_a_damaged_table_of_progress(damage: Callable[[str], str], whole: Path, tmp_path: Path) -> None:
    """Told before a step is taken; not continued as if the run were new."""
    shutil.copytree(whole, tmp_path / "run")
    file = tmp_path / "run" / "progress.csv"
    file.write_bytes(damage(file.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(runs.RunError, match=r"progress.csv is damaged .*; restore it or start a new run"):
        run(tmp_path / "run", config(total_env_steps=STEPS + 64), resume=True)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("config", [], "it has no 'config'"),
        ("yardstick", {"key": "speed"}, "its yardstick: .*"),
        ("certificate", {"value": "12"}, "its certificate: .*"),
        ("certificate", {"value": float("nan"), "criterion": "discounted", "unit": "", "kind": "lp", "horizon": None,
                         "gap": 0, "assumption": ""}, "its certificate: one of its fields"),
        ("config", {"env": "MFNet-Grid-v0", "tables": -3}, "tables must be a positive integer"),
    ],
)  # fmt: skip
def test_a_damaged_config(name: str, value: Any, words: str, whole: Path, tmp_path: Path) -> None:
    record = json.loads((whole / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**record, name: value}))
    folder = runs.RunFolder.open(tmp_path)
    with pytest.raises(runs.RunError, match=f"config.json is damaged: {words}.*; restore it or start a new run"):
        folder.config(), folder.yardstick(), folder.certificate()


# -- what is to be known about the model


def test_notes_and_the_assumption_stand_beside_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In config.json, in result.json, on the screen at the start, and under every table."""
    kind = type(mfnet_envs.make_model("MFNet-Grid-v0", **PLACE))
    notes = ("two links were guessed", "<b>one was dropped</b>")
    monkeypatch.setattr(kind, "notes", property(lambda _: notes, lambda *_: None))  # whatever the model says itself
    result = run(tmp_path / "run", config(total_env_steps=64), progress=Lines())
    said = capsys.readouterr().out
    assumption = mfnet_envs.make_model("MFNet-Grid-v0", **PLACE).bound().assumption
    assert "note: two links were guessed\nnote: <b>one was dropped</b>\n" in said and assumption in said
    assert result["notes"] == ["two links were guessed", "<b>one was dropped</b>"]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["notes"] == result["notes"]
    assert result["certificate"]["assumption"] == assumption
    assert cli.main(["evaluate", str(tmp_path / "run"), "--worlds", "2"]) == 0
    under = capsys.readouterr().out.splitlines()[-3:]
    assert assumption in under[0] and under[1:] == ["note: two links were guessed", "note: <b>one was dropped</b>"]
    assert cli.main(["evaluate", str(tmp_path / "run"), "--worlds", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == result["notes"]
    options = ["--env", *(f"{name}={value}" for name, value in PLACE.items())]
    assert cli.main(["env", "show", "MFNet-Grid-v0", *options]) == 0
    assert "note: two links were guessed" in capsys.readouterr().out
    assert cli.main(["env", "show", "MFNet-Grid-v0", "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == result["notes"]
    page = report.build(tmp_path / "run").read_text("utf-8")
    assert "<li>two links were guessed</li><li>&lt;b&gt;one was dropped" in page and html.escape(assumption) in page


# -- options of a run that has begun


def test_what_an_algorithm_was_built_from_cannot_be_changed() -> None:
    algorithm = config().build_algo()
    for change in (
        lambda options: options.update(population=50),
        lambda options: options.__setitem__("population", 50),
        lambda options: options.pop("population"),
        lambda options: options.setdefault("demand", 1),
        lambda options: options.clear(),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError, match="env_config cannot be changed"):
            change(algorithm.config.env_config)
    twin = algorithm.config.copy()
    twin.env_config["population"] = 50
    assert algorithm.config.env_config == PLACE and type(algorithm.config.to_dict()["env_config"]) is dict


def test_the_example_refuses_more_elite_than_tables() -> None:
    for options in ({"tables": 4, "elite": 5}, {"elite": 0}, {"tables": 2.5}):
        with pytest.raises(ValueError, match=r"elite must be one of 1 to 4|elite must be|tables must be"):
            config(**options)
