"""What the files of a finished run say, read and checked before anything is drawn or written."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_agents import recorded
from mfnet_agents.runs import RunError, RunFolder
from mfnet_envs.arrays import Floats
from mfnet_envs.measure import RANDOM, Measurement, Result
from mfnet_envs.yardstick import Yardstick

LEARNT = {"best": "learnt, best", "last": "learnt, last"}  # names in result.json and in tables
FILES = "config.json, progress.csv, result.json, heuristics.json and staircase.json"


@dataclass(frozen=True)
class Staircase:
    """Short runs that differ in ``credit_hops``, radius -> result; ``options``: where they leave the main run's."""

    results: dict[int, Result]
    steps: int
    options: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        needs: what its learner reads, in the algorithm's words; "" where they are not known.
        curve: ``(evaluations, 3)`` environment steps, headline and half its 95 % interval during training.
        duration: worlds of each of these; 0 where the options do not say.
        measured: "random", "best" and "last", and the scenario's heuristics where ``complete``.
    """

    env: str
    env_config: dict[str, Any]
    algorithm: str
    seed: int
    env_steps: int
    seconds: float
    command: str
    needs: str
    options: dict[str, Any]
    versions: dict[str, Any]
    curve: Floats
    duration: int
    measured: Measurement
    complete: bool
    staircase: Staircase | None


def load(path: Path) -> Record:
    """The record of the run in a folder.

    Raises:
        RunError: there is no run, it is not finished, or one of its files is damaged.
    """
    folder = RunFolder.open(path)
    result = folder.read("result.json")
    if "best" not in result:
        env = folder.read("config.json").get("config", {}).get("env")
        command = f"mfnet train {shlex.quote(str(env))} --out {shlex.quote(str(path))} --resume"
        raise RunError(f"the run in {path} is not finished; `{command}` ends it")
    try:
        return _record(folder, result)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        raise RunError(f"one of {FILES} in {path} is damaged ({said}); restore it or start a new run") from error


def _record(folder: RunFolder, result: dict[str, Any]) -> Record:
    started = folder.read("config.json")
    options, yardstick = dict(started["config"]), Yardstick.from_dict(started["yardstick"])
    for name in ("env", "env_config", "seed"):
        if result[name] != options[name]:
            raise ValueError(f"{name} is {result[name]!r:.80} in result.json and {options[name]!r:.80} in config.json")
    recorded.check_environment(started, result["env"])
    kept = folder.read("heuristics.json")
    common = result["evaluation"]
    heuristics = kept["policies"] if kept and _same_worlds(kept, common) else {}
    policies = {**{name: result[name] for name in (RANDOM, *LEARNT)}, **heuristics, **result.get("policies", {})}
    measured = {"policies": policies, "certificate": started.get("certificate"), "labels": LEARNT, **common}
    measured["notes"] = result.get("notes") or started.get("notes") or ()
    stairs = folder.read("staircase.json")
    return Record(
        env=str(result["env"]),
        env_config=dict(result["env_config"]),
        algorithm=str(result["algorithm"]),
        seed=int(result["seed"]),
        env_steps=int(result["num_env_steps_sampled_lifetime"]),
        seconds=float(result["time_total_s"]),
        command=str(started.get("command") or ""),
        needs=str(started.get("needs") or ""),
        options=options,
        versions=dict(started["versions"]),
        curve=curve(folder.rows(), yardstick),
        duration=int(options.get("evaluation_duration") or 0),
        measured=Measurement.from_dict({**measured, "yardstick": started["yardstick"]}),
        complete=len(policies) > 1 + len(LEARNT),
        staircase=_staircase(stairs) if stairs else None,
    )


def _same_worlds(kept: dict[str, Any], common: dict[str, Any]) -> bool:
    return (kept["worlds"], kept["seed"]) == (common["worlds"], common["seed"])


def curve(rows: list[dict[str, str]], yardstick: Yardstick) -> Floats:
    """The rows of progress.csv in which the policy was evaluated."""
    if not rows:
        raise ValueError("progress.csv holds no rows")
    names = (f"evaluation/{yardstick.key}_mean", f"evaluation/{yardstick.key}_ci95")
    found = [
        [float(row["num_env_steps_sampled_lifetime"]), *(yardstick.scale * float(row[name] or "nan") for name in names)]
        for row in rows
        if row.get(names[0])
    ]
    return np.array(found).reshape(-1, 3)


def _staircase(stairs: dict[str, Any]) -> Staircase:
    results = {int(radius): Result.from_dict(entry) for radius, entry in stairs["runs"].items()}
    return Staircase(results, int(stairs["steps"]), dict(stairs["options"]))
