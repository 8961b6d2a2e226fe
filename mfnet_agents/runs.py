"""A run: a folder, a training loop that can be stopped and taken up again, and an honest result.

``config.json``   the options, the yardstick with its bound, versions and the command;
``progress.csv``  one row per iteration, evaluations in the rows where they happened;
``checkpoints/``  ``last`` and ``best``; best is chosen on evaluation seeds of its own (reading 14);
``result.json``   both, measured once more on seeds that chose nothing, beside the random policy and the bound.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from mfnet_agents.algorithm import Algorithm
from mfnet_agents.config import DecNeuralACConfig
from mfnet_agents.progress import Progress, finite
from mfnet_agents.yardstick import Yardstick
from mfnet_envs.evaluate import evaluate
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform

if TYPE_CHECKING:
    from mfnet_agents.dec_neural_ac import DecNeuralAC

REPORT_SEED, REPORT_WORLDS = 2_000_003, 256  # of the final evaluations; the seeds that choose `best` are others
EVALUATIONS = 20  # over a run whose config does not say how often

COLUMNS = (
    "training_iteration",
    "num_env_steps_sampled_lifetime",
    "time_total_s",
    "env_runners/reward_per_step_mean",
    "env_runners/episode_return_mean",
    "learners/td_error",
    "learners/gradient_norm",
    "learners/advantage_rms",
    "evaluation/discounted_return_mean",
    "evaluation/discounted_return_ci95",
    "evaluation/reward_per_step_mean",
    "evaluation/reward_per_step_ci95",
    "evaluation/episode_return_mean",
    "evaluation/episode_return_ci95",
)


class RunError(Exception):
    """A run folder that cannot be used, in one sentence that says what to do."""


# -- options


def preset(env_id: str) -> dict[str, Any]:
    """The shipped options for an environment; none for one without a preset."""
    options: dict[str, Any] = _preset_file(env_id)["options"]
    return options


def preset_notes(env_id: str) -> list[str]:
    """What a reader should know about the shipped options, a sentence each."""
    notes: list[str] = _preset_file(env_id)["notes"]
    return notes


def _preset_file(env_id: str) -> dict[str, Any]:
    path = Path(__file__).with_name("presets") / f"{env_id}.json"
    if not path.is_file():
        return {"options": {}, "notes": []}
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def make_config(
    env_id: str, options: dict[str, Any], env_config: dict[str, Any], *, use_preset: bool = True
) -> DecNeuralACConfig:
    """The preset, then ``options`` and ``env_config`` over it; evaluations are spread over the run unless set.

    Raises:
        TypeError, ValueError: an unknown option or one out of its range.
    """
    merged = {"env": env_id, **(preset(env_id) if use_preset else {}), **options}
    merged["env_config"] = {**merged.get("env_config", {}), **env_config}
    config = DecNeuralACConfig.from_dict(merged)
    config.validate()
    if config.evaluation_interval is None:
        iterations = -(-config.total_env_steps // config.env_steps_per_iteration)
        config = config.evaluation(evaluation_interval=max(1, iterations // EVALUATIONS))
    return config


def default_folder(config: DecNeuralACConfig) -> Path:
    algorithm = type(config).__name__.removesuffix("Config")
    return Path("runs") / f"{config.env}-{algorithm}-seed{config.seed}"


# -- the folder


class RunFolder:
    """Paths of a run and the ways its files are written: whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last, self.best = path / "checkpoints" / "last", path / "checkpoints" / "best"

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """An empty folder.

        Raises:
            RunError: it holds something already, or cannot be written to.
        """
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RunError(f"{path} exists; use --resume to go on with it, or name another folder with --out")
            path.mkdir(parents=True, exist_ok=True)
            (path / ".writable").touch()
            (path / ".writable").unlink()
        except OSError as error:
            raise RunError(f"cannot write to {path} ({error.strerror}); name another folder with --out") from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run.

        Raises:
            RunError: there is none.
        """
        if not (path / "config.json").is_file():
            raise RunError(f"there is no run in {path}: it must hold config.json, as `mfnet train` writes it")
        return cls(path)

    def read(self, name: str) -> Any:
        """The contents of a JSON file of the run; an empty dict where it is not there yet."""
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            return json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error}); restore it or start a new run") from error

    def write(self, name: str, record: Any) -> None:
        """Put a JSON file in place, atomically."""
        self._replace(name, json.dumps(finite(record), indent=1) + "\n")

    def rows(self) -> list[dict[str, str]]:
        """progress.csv, one dict of strings per iteration."""
        path = self.path / "progress.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def keep_rows(self, up_to: int) -> list[dict[str, str]]:
        """Forget the rows after iteration ``up_to``: those after a checkpoint are about to be computed again."""
        rows = [row for row in self.rows() if (row["training_iteration"] or "-1").isdecimal()]
        rows = [row for row in rows if int(row["training_iteration"]) <= up_to and None not in row.values()]
        lines = [COLUMNS, *([row[name] for name in COLUMNS] for row in rows)]
        self._replace("progress.csv", "".join(",".join(line) + "\n" for line in lines))
        return rows

    def append(self, row: dict[str, Any]) -> None:
        with (self.path / "progress.csv").open("a", newline="", encoding="utf-8") as file:
            file.write(",".join(str(row[name]) for name in COLUMNS) + "\n")

    def config(self) -> DecNeuralACConfig:
        return DecNeuralACConfig.from_dict(self._recorded("config"))

    def yardstick(self) -> Yardstick:
        return Yardstick(**self._recorded("yardstick"))

    def _recorded(self, name: str) -> dict[str, Any]:
        record = self.read("config.json")
        if not isinstance(record, dict) or name not in record:
            raise RunError(f"{self.path / 'config.json'} is damaged: it has no {name!r}; restore it or start a new run")
        found: dict[str, Any] = record[name]
        return found

    def _replace(self, name: str, text: str) -> None:
        draft = self.path / f".{name}.draft"
        draft.write_text(text, "utf-8")
        os.replace(draft, self.path / name)


# -- training


def train(
    algorithm: DecNeuralAC,
    folder: RunFolder,
    *,
    resume: bool = False,
    worlds: int = REPORT_WORLDS,
    progress: Progress | None = None,
    tensorboard: bool = True,
    command: str = "",
) -> dict[str, Any]:
    """Train to the end of the budget, or until Ctrl-C; returns what result.json holds.

    Args:
        algorithm: as built; with ``resume``, from the config that :func:`same_options` gives.
        folder: from ``RunFolder.create``, or from ``RunFolder.open`` to resume.
        worlds: of the final evaluations.

    Raises:
        CheckpointError: there is no checkpoint to resume from, or it does not fit.
        KeyboardInterrupt: the second Ctrl-C, or one outside the training loop.
    """
    import torch

    torch.set_num_threads(1)  # small networks: threads cost more than they give, and one thread means the same bits
    progress = progress or Progress()
    if resume:
        algorithm.restore_from_path(folder.last)
        yardstick = folder.yardstick()
    else:
        progress.say("computing the bound (once; a linear programme can take half a minute) ...")
        yardstick = Yardstick.of(algorithm.model, algorithm.model.bound())
    config = algorithm.config
    record = {"config": config.to_dict(), "yardstick": yardstick.to_dict(), "versions": versions(), "command": command}
    folder.write("config.json", {"algorithm": type(algorithm).__name__, **record})
    if not resume:
        algorithm.save_to_path(folder.last)
    try:
        stopped = _loop(algorithm, config.total_env_steps, folder, yardstick, progress, tensorboard)
        return _conclude(algorithm, folder, yardstick, progress, worlds, stopped)
    except KeyboardInterrupt:
        progress.stop()
        progress.say(f"stopped at once; the last checkpoint is {folder.last}")
        raise


def _loop(
    algorithm: Algorithm, budget: int, folder: RunFolder, yardstick: Yardstick, progress: Progress, tensorboard: bool
) -> bool:
    """Iterate until the budget is spent or Ctrl-C asks to stop; returns whether it did."""
    config = algorithm.config
    report = evaluate(
        algorithm.model, uniform(algorithm.model), worlds=config.evaluation_duration, seed=config.evaluation_seed
    )
    random = yardstick.read(report)[0]
    rows = folder.keep_rows(algorithm.iteration)
    column = f"evaluation/{yardstick.key}_mean"
    best = max((yardstick.scale * float(row[column]) for row in rows if row[column]), default=-math.inf)
    progress.start(yardstick, budget, algorithm.env_steps)

    def note(result: dict[str, Any]) -> None:
        """The row before the last checkpoint: resuming can drop rows that are too many, not invent missing ones."""
        nonlocal best
        row = flat(result)
        if "evaluation" in result:
            value, ci95 = yardstick.read(result["evaluation"]["env_runners"])
            if value > best:
                best = value
                algorithm.save_to_path(folder.best)
        folder.append(row)
        if "evaluation" in result:
            algorithm.save_to_path(folder.last)
        log(row)
        progress.stepped(row)
        if "evaluation" in result:
            progress.evaluated(algorithm.env_steps, value, ci95, yardstick.gap_closed(value, random))

    with _tensorboard(folder, algorithm.env_steps, tensorboard) as log, interruption() as asked:
        if not rows:
            note(_untrained(algorithm))
        while algorithm.env_steps < budget and not asked.is_set():
            result = algorithm.train()
            if algorithm.env_steps >= budget and "evaluation" not in result:
                result["evaluation"] = algorithm.evaluate()
            note(result)
        algorithm.save_to_path(folder.last)
    progress.stop()
    return asked.is_set()


def _untrained(algorithm: Algorithm) -> dict[str, Any]:
    """A result for iteration 0: the policy before training."""
    return {
        "training_iteration": 0,
        "num_env_steps_sampled_lifetime": 0,
        "time_total_s": 0.0,
        "evaluation": algorithm.evaluate(),
    }


def flat(result: dict[str, Any]) -> dict[str, Any]:
    """A training result as a row of progress.csv; "" where it says nothing."""
    groups = {
        "env_runners": result.get("env_runners", {}),
        "learners": result.get("learners", {}).get("team", {}),
        "evaluation": result.get("evaluation", {}).get("env_runners", {}),
    }
    named = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
    return {name: {**result, **named}.get(name, "") for name in COLUMNS}


def _conclude(
    algorithm: Algorithm, folder: RunFolder, yardstick: Yardstick, progress: Progress, worlds: int, stopped: bool
) -> dict[str, Any]:
    """Measure best, last and random on seeds that chose nothing, and write result.json."""
    result: dict[str, Any] = {
        "env": algorithm.config.env,
        "env_config": algorithm.config.env_config,
        "algorithm": type(algorithm).__name__,
        "seed": algorithm.config.seed,
        "interrupted": stopped,
        "training_iteration": algorithm.iteration,
        "num_env_steps_sampled_lifetime": algorithm.env_steps,
        "time_total_s": algorithm.seconds,
        "yardstick": yardstick.to_dict(),
        "last_checkpoint": str(folder.last),
    }
    folder.write("result.json", result)
    if stopped:  # somebody is waiting: no long evaluations
        return result
    progress.say(f"evaluating the best and the last policy in {worlds} fresh worlds ...")
    best = Algorithm.from_checkpoint(folder.best)
    result["evaluation"] = {"worlds": worlds, "seed": REPORT_SEED}
    policies = {"random": uniform(algorithm.model), "last": algorithm.policy}
    for name, policy in policies.items():
        result[name] = measured(yardstick, algorithm.model, policy, worlds)
    same = best.iteration == algorithm.iteration
    result["best"] = dict(result["last"]) if same else measured(yardstick, best.model, best.policy, worlds)
    result["best"]["training_iteration"] = best.iteration
    for name in ("last", "best"):
        result[name]["gap_closed"] = yardstick.gap_closed(result[name]["value"], result["random"]["value"])
    folder.write("result.json", result)
    return result


def measured(
    yardstick: Yardstick, model: LocalModel, policy: Policy, worlds: int, seed: int = REPORT_SEED
) -> dict[str, Any]:
    """The headline ``value`` with ``ci95``, and the whole ``report`` per agent."""
    report = evaluate(model, policy, worlds=worlds, seed=seed)
    value, ci95 = yardstick.read(report)
    return {"value": value, "ci95": ci95, "report": report}


@contextmanager
def interruption() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second raises KeyboardInterrupt as usual."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # signals belong to the main thread
        return

    def first(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping after this iteration (Ctrl-C again to stop at once) ...\n")

    before = signal.signal(signal.SIGINT, first)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _tensorboard(folder: RunFolder, env_steps: int, wanted: bool) -> Iterator[Any]:
    """A function that logs a row as TensorBoard events; it does nothing where TensorBoard is not installed."""
    try:
        if not wanted:
            raise ImportError
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield lambda row: None
        return
    writer = SummaryWriter(str(folder.path / "tensorboard"), purge_step=env_steps + 1 if env_steps else None)

    def log(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if "/" in name and value != "":
                writer.add_scalar(name, value, row["num_env_steps_sampled_lifetime"])

    try:
        yield log
    finally:
        writer.close()


def versions() -> dict[str, str]:
    """What a reader needs to run the same thing again."""
    found = {"python": platform.python_version()}
    for package in ("mfnet", "numpy", "scipy", "torch", "gymnasium", "pettingzoo"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def same_options(asked: dict[str, Any], folder: RunFolder) -> DecNeuralACConfig:
    """The config of a run to be resumed; only ``total_env_steps`` may be asked to differ.

    Raises:
        RunError: another option was asked for than the run was started with.
    """
    config = folder.config()
    known = config.to_dict()
    for name, value in asked.items():
        if name not in ("total_env_steps", "env_config") and known.get(name) != value:
            raise RunError(
                f"{folder.path} was started with {name} = {known.get(name)!r}, not {value!r}; leave it out to resume"
            )
    for name, value in asked.get("env_config", {}).items():
        if known["env_config"].get(name) != value:
            raise RunError(f"{folder.path} was started with {name} = {known['env_config'].get(name)!r}, not {value!r}")
    return dataclasses.replace(config, **{k: v for k, v in asked.items() if k == "total_env_steps"})
