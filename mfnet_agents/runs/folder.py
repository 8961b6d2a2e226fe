"""The files of a run, each written whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import weakref
from pathlib import Path
from typing import Any

from mfnet_agents import checkpoint, recorded, registry
from mfnet_agents.algorithm import Algorithm
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.progress import finite
from mfnet_agents.runs import lock
from mfnet_agents.runs.presets import preset
from mfnet_envs.bounds import Certificate
from mfnet_envs.words import is_whole
from mfnet_envs.yardstick import Yardstick

# The columns that every run has, whatever its algorithm reports.
COLUMNS = ("training_iteration", "num_env_steps_sampled_lifetime", "time_total_s")
DRAFT = ".draft"


class RunError(Exception):
    """A run folder that cannot be used, in one sentence that says what to do."""


class AllFailed(RunError):
    """What was asked for has been run, and every part of it failed; the folder keeps what each of them said."""


def default_folder(config: AlgorithmConfig) -> Path:
    """``runs/<id>-<options>-<algorithm>-seed<seed>``: two runs that are to find out different things get two folders.

    The options are those that differ from the shipped ones, of the environment and of the algorithm, but for the budget
    and the evaluations; a digest of them where they are long or do not suit a path.
    """
    kind = type(config)
    algorithm = registry.name_of(kind)
    usual = {**kind().to_dict(), **preset(str(config.env), algorithm)}
    own = {name: value for name, value in config.env_config.items() if usual["env_config"].get(name, ...) != value}
    for name, field in kind.fields().items():
        telling = field.metadata["group"] in ("training", "env_runners") and name != "total_env_steps"
        if telling and getattr(config, name) != usual[name]:
            own[name] = getattr(config, name)
    said = "-".join(f"{name}-{own[name]}" for name in sorted(own))
    if len(said) > 60 or not re.fullmatch(r"[\w.-]*", said):
        text = json.dumps(own, sort_keys=True, default=repr)
        said = f"options-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    name = "-".join(filter(None, [str(config.env), said, algorithm, f"seed{config.seed}"]))
    return Path("runs") / re.sub(r"[^\w.-]+", "-", name).lstrip("-.")


class RunFolder:
    """Paths of a run and the ways its files are read and written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last, self.best = path / "checkpoints" / "last", path / "checkpoints" / "best"
        self._release: weakref.finalize[Any, Any] | None = None

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """An empty folder, owned by the run to come.

        Raises:
            RunError: it holds something already, is in use, or cannot be written to.
        """
        folder = cls(path)
        taken = RunError(f"{path} exists; use --resume to go on with it, or name another folder with --out")
        try:
            if path.exists() and not (path.is_dir() and (folder.is_new() or (path / lock.LOCK).is_file())):
                raise taken
            path.mkdir(parents=True, exist_ok=True)
            folder.own()
            if not folder.is_new():
                folder.release()
                raise taken
        except OSError as error:
            raise RunError(f"cannot write to {path} ({error.strerror}); name another folder with --out") from error
        return folder

    def is_new(self) -> bool:
        """Whether it holds nothing but what a run leaves that was killed before it wrote anything."""
        return all(file.name == lock.LOCK or _is_draft(file) for file in self.path.iterdir())

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run.

        Raises:
            RunError: there is none.
        """
        if not (path / "config.json").is_file():
            raise RunError(f"there is no run in {path}: it must hold config.json, as `mfnet train` writes it")
        return cls(path)

    # -- whose it is

    def own(self) -> RunFolder:
        """Own it until :meth:`release`, or as long as this object lives; what killed runs have left is removed.

        Raises:
            RunError: another run is using it. OSError: it cannot be written to.
        """
        if self._release is None:
            try:
                file = lock.acquire(self.path)
            except lock.InUseError as error:
                raise RunError(
                    f"{self.path} is in use by {error}; wait for its end, or name another folder with --out"
                ) from error
            self._release = weakref.finalize(self, lock.release, self.path, file, os.getpid())
            for left in filter(_is_draft, list(self.path.iterdir())):
                left.unlink()
            for which in (self.last, self.best):
                checkpoint.tidy(which)
        return self

    def release(self) -> None:
        """Let others use it."""
        if self._release is not None:
            self._release()
            self._release = None

    # -- its files

    def read(self, name: str) -> dict[str, Any]:
        """The contents of a JSON file of the run; an empty dict where it is not there yet.

        Raises:
            RunError: it is damaged.
        """
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            found = json.loads(path.read_text("utf-8"))
            if not isinstance(found, dict):
                raise ValueError("it holds no object")
        except (OSError, RecursionError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error}); restore it or start a new run") from error
        return found

    def write(self, name: str, record: Any) -> None:
        """Put a JSON file in place, atomically."""
        self.write_text(name, json.dumps(finite(record), indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Put a file in place, atomically."""
        draft = self.path / f".{name}{DRAFT}"
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.path / name)
        checkpoint.sync_folder(self.path)

    def rows(self) -> list[dict[str, str]]:
        """progress.csv, one dict of strings per iteration; "" where an iteration says nothing.

        Raises:
            RunError: it is damaged.
        """
        path = self.path / "progress.csv"
        if not path.is_file():
            return []
        try:
            with path.open(newline="", encoding="utf-8") as file:
                table = csv.DictReader(file)
                if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
                    raise ValueError(f"it has no column {', '.join(missing)}")
                return list(table)
        except (OSError, ValueError, csv.Error) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> RunError:
        return RunError(f"{self.path / 'progress.csv'} is damaged ({why}); restore it or start a new run")

    def keep_rows(self, up_to: int) -> list[dict[str, str]]:
        """Forget the rows after iteration ``up_to``: those after a checkpoint are about to be computed again.

        Raises:
            RunError: as :meth:`rows_up_to`.
        """
        rows = self.rows_up_to(up_to)
        self._write_rows(list(rows[0]) if rows else list(COLUMNS), rows)
        return rows

    def rows_up_to(self, up_to: int) -> list[dict[str, str]]:
        """The rows of iterations 0 to ``up_to``.

        Raises:
            RunError: they are not all there, or hold something else than numbers.
        """
        whole = [row for row in self.rows() if None not in row and None not in row.values()]
        rows = [row for row in whole if row.get(COLUMNS[0], "").isdecimal() and int(row[COLUMNS[0]]) <= up_to]
        if [int(row[COLUMNS[0]]) for row in rows] != list(range(up_to + 1)) and (rows or up_to):
            raise self._damaged(f"the last checkpoint is of iteration {up_to}, and not every row up to there is whole")
        for row in rows:
            for name, cell in row.items():
                if cell and (name in COLUMNS or name.startswith("evaluation/")) and not _is_number(cell):
                    raise self._damaged(f"{name} of iteration {row[COLUMNS[0]]} is {cell!r:.40}")
        return rows

    def append(self, row: dict[str, Any], *, on_disk: bool = False) -> None:
        """Add a row; where it has columns that no row had before, all rows get them.

        Args:
            on_disk: wait until it, and those before, would outlast a power failure.
        """
        path = self.path / "progress.csv"
        with path.open(newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file))
        new = [name for name in row if name not in columns]
        if new:
            self._write_rows([*columns, *new], [*self.rows(), row])
            return
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns, restval="", lineterminator="\n").writerow(row)
            if on_disk:
                file.flush()
                os.fsync(file.fileno())

    def _write_rows(self, columns: list[str], rows: list[dict[str, Any]]) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        self.write_text("progress.csv", text.getvalue())

    # -- what they say

    def config(self, asked_env: str | None = None) -> Any:
        """The config of the run, of the class its algorithm has.

        Args:
            asked_env: the environment as the user typed it; it may be one that a file alone may not name.

        Raises:
            RunError: it is damaged, of another version, or of an algorithm or an environment that is not known here.
        """
        record, options = self.read("config.json"), self._recorded("config")
        try:
            if options.get("env") != asked_env:
                recorded.check_environment(record, options.get("env"))
            config = recorded.config_class(record).from_dict(options)
            config.validate()
        except LookupError as error:
            raise RunError(f"the run in {self.path} is of {error.args[0]}") from error
        except TypeError as error:
            raise RunError(f"the run in {self.path} was written by another version: {error}") from error
        except ValueError as error:
            raise self._config_damaged(str(error)) from error
        return config

    def algorithm(self, which: Path) -> Algorithm:
        """The algorithm as it was at ``last`` or ``best``.

        Raises:
            RunError, CheckpointError: it is of another run, or damaged.
        """
        self.check_checkpoint(which, self._recorded("config"))
        return Algorithm.from_checkpoint(which)

    def check(self, config: dict[str, Any]) -> None:
        """Make sure that a run with these options can go on from what the folder holds.

        Raises:
            RunError, CheckpointError: as :meth:`check_checkpoint` and :meth:`rows_up_to`.
        """
        for which in filter(checkpoint.exists, (self.last, self.best)):
            self.check_checkpoint(which, config)
        if checkpoint.exists(self.last) and is_whole(at := checkpoint.read(self.last)[0]["counters"].get("iteration")):
            self.rows_up_to(at)

    def check_checkpoint(self, which: Path, config: dict[str, Any]) -> None:
        """Make sure that ``last`` or ``best`` is of the run with these options; its budget may have been another one.

        Raises:
            RunError: it is of another run. CheckpointError: it is damaged.
        """
        theirs = {**config, **checkpoint.read(which)[0]["config"]}  # an earlier version knew fewer options
        for name in sorted(theirs.keys() | config.keys()):
            if name != "total_env_steps" and theirs.get(name) != config.get(name):
                raise RunError(
                    f"{which} is of another run: it has {name} = {theirs.get(name)!r:.80}, and this run "
                    f"{config.get(name)!r:.80}; remove it or restore its own"
                )

    def yardstick(self) -> Yardstick:
        """The random policy's value, the bound and the unit they share, as recorded when the run began."""
        try:
            return Yardstick.from_dict(self._recorded("yardstick"))
        except (KeyError, TypeError, ValueError) as error:
            raise self._config_damaged(f"its yardstick: {error}") from error

    def certificate(self) -> Certificate | None:
        """The bound as it was solved for when the run began; None without one, and in runs of earlier versions."""
        found = self.read("config.json").get("certificate")
        try:
            return None if found is None else Certificate.from_dict(found)
        except (KeyError, TypeError, ValueError) as error:
            raise self._config_damaged(f"its certificate: {error}") from error

    def _recorded(self, name: str) -> dict[str, Any]:
        found = self.read("config.json").get(name)
        if not isinstance(found, dict):
            raise self._config_damaged(f"it has no {name!r}")
        return found

    def _config_damaged(self, why: str) -> RunError:
        return RunError(f"{self.path / 'config.json'} is damaged: {why}; restore it or start a new run")


def _is_draft(file: Path) -> bool:
    """Whether a killed run left it; ``.writable`` is of earlier versions."""
    return file.name.startswith(".") and (file.name.endswith(DRAFT) or file.name == ".writable") and file.is_file()


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def same_options(asked: dict[str, Any], folder: RunFolder, algorithm: str | None = None) -> Any:
    """The config of a run to be resumed; only ``total_env_steps`` may be asked to differ.

    Args:
        asked: option -> value, as typed. algorithm: as typed, if it was.

    Raises:
        RunError: another option was asked for than the run was started with.
    """
    config: AlgorithmConfig = folder.config(asked.get("env"))
    if algorithm is not None and registry.config_class(algorithm) is not type(config):
        raise RunError(f"{folder.path} was started with {registry.name_of(type(config))}, not {algorithm}")
    known = config.to_dict()
    for name, value in asked.items():
        if name not in ("total_env_steps", "env_config") and known.get(name) != value:
            raise RunError(
                f"{folder.path} was started with {name} = {known.get(name)!r}, not {value!r}; leave it out to resume"
            )
    for name, value in asked.get("env_config", {}).items():
        if known["env_config"].get(name) != value:
            raise RunError(f"{folder.path} was started with {name} = {known['env_config'].get(name)!r}, not {value!r}")
    return config.training(**{name: value for name, value in asked.items() if name == "total_env_steps"})
