"""Runs of any algorithm: the same folder, columns, resuming and closing measurement as the shipped one's."""

import csv
import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mfnet_envs
from mfnet_agents import Algorithm, checkpoint, registry, runs
from mfnet_agents.runs import training
from mfnet_agents.runs.folder import COLUMNS

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
    assert runs.default_folder(config()) == Path("runs/MFNet-Grid-v0-CrossEntropy-seed0")


def test_folders_are_safe_for_a_path() -> None:
    chosen = config()
    chosen.env = "../towns/my town.py:Town"
    assert runs.default_folder(chosen) == Path("runs/towns-my-town.py-Town-CrossEntropy-seed0")


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
    os.kill(os.getpid(), signal.SIGINT)


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
