"""The files of a run, each written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

from mfnet_agents import recorded, registry
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.progress import finite
from mfnet_envs.bounds import Certificate
from mfnet_envs.yardstick import Yardstick

# The columns that every run has, whatever its algorithm reports.
COLUMNS = ("training_iteration", "num_env_steps_sampled_lifetime", "time_total_s")


class RunError(Exception):
    """A run folder that cannot be used, in one sentence that says what to do."""


def default_folder(config: AlgorithmConfig) -> Path:
    """``runs/<id>-<algorithm>-seed<seed>``; what a path should not hold is a dash."""
    name = f"{config.env}-{registry.name_of(type(config))}-seed{config.seed}"
    return Path("runs") / re.sub(r"[^\w.-]+", "-", name).lstrip("-.")


class RunFolder:
    """Paths of a run and the ways its files are read and written."""

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
        """progress.csv, one dict of strings per iteration; "" where an iteration says nothing."""
        path = self.path / "progress.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def keep_rows(self, up_to: int) -> list[dict[str, str]]:
        """Forget the rows after iteration ``up_to``: those after a checkpoint are about to be computed again."""
        whole = [row for row in self.rows() if None not in row and None not in row.values()]
        rows = [row for row in whole if row.get(COLUMNS[0], "").isdecimal() and int(row[COLUMNS[0]]) <= up_to]
        self._write_rows(list(rows[0]) if rows else list(COLUMNS), rows)
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """Add a row; where it has columns that no row had before, all rows get them."""
        path = self.path / "progress.csv"
        with path.open(newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file))
        new = [name for name in row if name not in columns]
        if new:
            self._write_rows([*columns, *new], [*self.rows(), row])
            return
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns, restval="", lineterminator="\n").writerow(row)

    def _write_rows(self, columns: list[str], rows: list[dict[str, Any]]) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        self._replace("progress.csv", text.getvalue())

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
            return recorded.config_class(record).from_dict(options)
        except LookupError as error:
            raise RunError(f"the run in {self.path} is of {error.args[0]}") from error
        except TypeError as error:
            raise RunError(f"the run in {self.path} was written by another version: {error}") from error

    def yardstick(self) -> Yardstick:
        return Yardstick(**self._recorded("yardstick"))

    def certificate(self) -> Certificate | None:
        """The bound as it was solved for when the run began; None without one, and in runs of earlier versions."""
        found = self.read("config.json").get("certificate")
        return None if found is None else Certificate(**found)

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
