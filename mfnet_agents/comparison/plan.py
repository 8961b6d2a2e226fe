"""One comparison: a suite, who plays, how many seeds, and the jobs that follow; the folder that keeps it.

``plan.json``          all that decides the numbers, and the machine and versions that made them
``jobs/<name>/``       one job: ``result.json`` when it is done, ``log.txt``, a learner's checkpoint ``best``
tables, pages          written from the two above, at any time, as often as one likes

A job's result is a file that stands whole or not at all, and a job that has one is never run again.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_agents.comparison import submission
from mfnet_agents.comparison.contenders import HEURISTICS, Contender, parse
from mfnet_agents.comparison.guests import Guest
from mfnet_agents.comparison.submission import Submission
from mfnet_agents.comparison.suites import Instance, Suite, from_record
from mfnet_agents.progress import finite
from mfnet_agents.runs import RunError, make_config, versions
from mfnet_agents.runs.lock import InUseError, acquire, release
from mfnet_envs import make_model
from mfnet_envs.model import LocalModel
from mfnet_envs.programmes import planners
from mfnet_envs.words import checked_options, did_you_mean, is_whole, memory, shown, whole
from mfnet_envs.writing import written

PLAN, JOBS, RESULT = "plan.json", "jobs", "result.json"
TUNING_SEED = 1_000_000  # the training seed of every trial; seeds of tables are 0 .. n-1
MOST = 10_000  # seeds, and configurations that are tried
REFERENCE = "reference"  # the job that measures random, the bound and the heuristics


@dataclass(frozen=True)
class Job:
    """One contender on one instance with one training seed; ``contender`` is None for the reference.

    Attributes:
        trial: of a search on a tuning instance; None on a test instance.
    """

    instance: Instance
    contender: Contender | None
    seed: int
    trial: int | None = None

    @property
    def name(self) -> str:
        """Its folder: letters that suit every file system, and a digest where others had to go."""
        who = REFERENCE if self.contender is None else self.contender.text
        which = f"seed{self.seed}" if self.trial is None else f"trial{self.trial}"
        return f"{as_name(self.instance.name)}/{as_name(who)}/{which}"


@dataclass(frozen=True)
class Plan:
    """What is run. Two plans that are equal give the same table, bit for bit.

    Attributes:
        instances: those of the suite that are played; tuning_instances: those that options are searched on. Their
            budgets are as asked for.
        tune: configurations of every learner that are tried.
    """

    suite: Suite
    contenders: tuple[Contender, ...]
    instances: tuple[Instance, ...]
    seeds: int
    tune: int = 0
    tuning_instances: tuple[Instance, ...] = ()

    def __post_init__(self) -> None:
        for name, number in (("seeds", self.seeds), ("tune", self.tune)):
            if number > MOST:
                raise ValueError(f"{name} must be at most {MOST:,}, not {shown(number)}")

    @property
    def tuning_jobs(self) -> list[Job]:
        """What must have ended before any of :attr:`jobs` begins."""
        return [
            *(Job(instance, None, TUNING_SEED, 0) for instance in self.tuning_instances),
            *(
                Job(instance, each, TUNING_SEED, trial)
                for trial in range(self.tune)
                for instance in self.tuning_instances
                for each in self.contenders
                if each.kind == "learner"
            ),
        ]

    @property
    def jobs(self) -> list[Job]:
        """Every job of the tables: the references first, then what is only played, then the learners, seed by seed."""
        planners = [each for each in self.contenders if each.kind in ("submission", "planner")]
        learners = [each for each in self.contenders if each.kind == "learner"]
        return [
            *(Job(instance, None, 0) for instance in self.instances),
            *(Job(instance, each, 0) for each in planners for instance in self.instances),
            *(
                Job(instance, each, seed)
                for seed in range(self.seeds)
                for instance in self.instances
                for each in learners
            ),
        ]

    @property
    def with_heuristics(self) -> bool:
        """Whether heuristics are among the contenders."""
        return any(each.kind == HEURISTICS for each in self.contenders)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, from which the plan is read again."""
        return {
            "suite": self.suite.record,
            "digest": self.suite.digest,
            "contenders": [each.text for each in self.contenders],
            "instances": {instance.name: instance.budget for instance in self.instances},
            "seeds": self.seeds,
            "tune": self.tune,
            "tuning_instances": {instance.name: instance.budget for instance in self.tuning_instances},
            **({"submission": found.digest} if (found := _submitted(self.contenders)) else {}),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Plan:
        """What :meth:`to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: anything else.
        """
        found = from_record(record["suite"], PLAN)
        if found.digest != record["digest"]:
            raise ValueError("the suite in it is not the one it was started with: its digest is another one")
        named = {instance.name: instance for instance in found.instances}
        tests, tuning = (
            tuple(replace(named[name], budget=whole("budget", budget)) for name, budget in record[which].items())
            for which in ("instances", "tuning_instances")
        )
        seeds, tune = whole("seeds", record["seeds"]), whole("tune", record["tune"], 0)
        players = tuple(parse(record["contenders"]))
        handed_in = _submitted(players)
        if handed_in is not None and record["submission"] != handed_in.digest:
            raise ValueError(
                "what was submitted has changed since: score it in a folder of its own, with another --out"
            )
        return cls(found, players, _own_worlds(tests, players, found), seeds, tune, unseen(tuning))


def make_plan(
    suite: Suite,
    contenders: Sequence[str] | None = None,
    instances: Sequence[str] | None = None,
    seeds: int | None = None,
    budget: int | None = None,
    tune: int | None = None,
) -> Plan:
    """The plan that is asked for; what is left out is the suite's. By default its test instances are played.

    Args:
        tune: configurations of every learner to be tried on the suite's tuning instances first; None: none.

    Raises:
        ValueError, TypeError: an unknown contender or instance.
    """
    named = {instance.name: instance for instance in suite.instances}
    for name in instances or ():
        if name not in named:
            raise ValueError(
                f"{suite.id} has no instance {name!r}{did_you_mean(name, named)} It has: {', '.join(named)}"
            )
    chosen = [named[name] for name in instances] if instances else [i for i in named.values() if i.split == "test"]
    if not chosen:
        raise ValueError(f"{suite.id} has no test instance; name some with --instances: {', '.join(named)}")
    tuning = [each for each in named.values() if tune and each.split == "tuning"]
    if tune and not tuning:
        raise ValueError(f"{suite.id} has no tuning instance, so that nothing can be tuned without seeing a test one")
    if seen := [each.name for each in chosen if each in tuning]:
        raise ValueError(f"{', '.join(seen)} cannot be both tuned on and played: leave --tune or the instance out")
    if budget is not None:
        chosen, tuning = ([replace(i, budget=whole("budget", budget)) for i in each] for each in (chosen, tuning))
    seeds = whole("seeds", suite.seeds if seeds is None else seeds)
    _check_heuristics(suite)
    players = tuple(parse(contenders or suite.contenders))
    if (handed_in := _submitted(players)) is not None:
        chosen = chosen if instances else [each for each in chosen if each.name in handed_in.policies]
        submission.check(handed_in, chosen, named)
        if not chosen:
            raise ValueError(f"{handed_in.path} has policies for no test instance; name some with --instances")
    for player in players:
        can_play(player, chosen)
    unique = tuple({each.name: each for each in chosen}.values())
    return Plan(suite, players, _own_worlds(unique, players, suite), seeds, tune or 0, unseen(tuning))


def _submitted(players: Iterable[Contender]) -> Submission | None:
    """The one submission among the contenders, as its files are now.

    Raises:
        ValueError: there are two, or it cannot be read.
    """
    texts = [each.name for each in players if each.kind == "submission"]
    if len(texts) > 1:
        raise ValueError("a submission is scored on worlds of its own, so one at a time")
    try:
        return submission.read(Path(texts[0])) if texts else None
    except OSError as error:
        said = f"{texts[0]}: {error.strerror}" if error.strerror else str(error)
        raise ValueError(f"{said}; a submission is a JSON file that names its policies") from error


def _own_worlds(tests: Sequence[Instance], players: Iterable[Contender], suite: Suite) -> tuple[Instance, ...]:
    """Where something is submitted all are measured on its worlds, which nobody has seen before."""
    found = _submitted(players)
    return tuple(tests if found is None else (replace(each, test_seed=found.seed(suite.digest)) for each in tests))


def can_play(player: Contender, instances: Iterable[Instance]) -> None:
    """Refuse a learner or planner whose options no instance takes; where some do, the others are rows with an error.

    Raises:
        ValueError, TypeError: what is wrong with them.
    """
    refused: list[Exception] = []
    for instance in instances:
        try:
            if player.guest:
                place = instance.env, instance.env_config
                Guest(player.name, player.options, *place, instance.budget, seed=0).stop()
            elif player.kind == "learner":
                make_config(instance.env, player.options, instance.env_config, algorithm=player.name)
            elif player.kind == "planner" and player.options:
                try_planner(make_model(instance.env, **instance.env_config), player)
            return
        except (TypeError, ValueError) as error:
            refused.append(error)
        except Exception as error:
            if not player.guest:
                raise
            refused.append(error)  # whatever another library raises
    raise ValueError(f"{player.text}: {refused[0]}") from refused[0]


def try_planner(model: LocalModel, player: Contender) -> None:
    """Make a planner once, with no more than one iteration of a search.

    Raises:
        TypeError, ValueError: an option that it has not, or a value that it refuses.
    """
    make = planners(model)[player.name]
    known = inspect.signature(make).parameters
    options = {**player.options, **({"rng": np.random.default_rng(0)} if "rng" in known else {})}
    inspect.signature(make).bind(**options)
    checked_options(make.func if isinstance(make, partial) else make, player.options)
    if is_whole(options.get("iterations", 1), 1) and "iterations" in known:
        options["iterations"] = 1
    make(**options)


def _check_heuristics(suite: Suite) -> None:
    """Refuse a suite that says what a heuristic may know which no model of its instances has: misspelt, the real one
    would be counted among those who know the model.

    Raises:
        ValueError: with the nearest one that there is.
    """
    for env, named in suite.information.items():
        models = [make_model(each.env, **each.env_config) for each in suite.instances if each.env == env and named]
        known = {name for model in models for name in model.wording.needs}  # at once, where heuristics take seconds
        if not named.keys() <= known:
            known |= {name for model in models for name in model.heuristics()}
        for name in named:
            if models and name not in known:
                meant = did_you_mean(name, sorted(known))
                raise ValueError(f"{suite.id}: information of {env}: there is no heuristic {shown(name)}{meant}")


def unseen(tuning: Iterable[Instance]) -> tuple[Instance, ...]:
    """Tuning instances measured on worlds of their own, so that nobody sees the tables' worlds."""
    return tuple(replace(each, test_seed=each.choice_seed + each.test_seed + 1) for each in tuning)


class ComparisonFolder:
    """The files of one comparison."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def owned(self) -> Iterator[ComparisonFolder]:
        """Own it until the block ends, however it ends.

        Raises:
            RunError: another comparison is using it, or it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = acquire(self.path)
        except InUseError as error:
            raise RunError(f"{self.path} is in use by {error}; wait for its end, or name another --out") from error
        except OSError as error:
            raise RunError(f"cannot write to {self.path} ({error.strerror}); name another folder with --out") from error
        try:
            yield self
        finally:
            release(self.path, file, os.getpid())

    def begin(self, plan: Plan, command: str = "") -> None:
        """Write the plan of a new comparison.

        Raises:
            RunError: the folder holds something already.
        """
        self.must_be_new()
        machine = {"system": platform.platform(), "cores": os.cpu_count(), "memory_gb": round(memory() / 1e9, 1)}
        about = {"versions": versions(), "commit": _commit(), "machine": machine, "command": command}
        self.write(PLAN, {**plan.to_dict(), **about})

    def must_be_new(self) -> None:
        """Refuse a folder that holds something.

        Raises:
            RunError: with what to do.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file; name a folder with --out")
        if self.path.is_dir() and any(not file.name.startswith(".") for file in self.path.iterdir()):
            raise RunError(f"{self.path} holds something already; use --resume to go on with it, or another --out")

    def is_begun(self) -> bool:
        """Whether there is a plan; a comparison that was killed before it wrote one starts anew."""
        return (self.path / PLAN).is_file()

    def must_be_of(self, plan: Plan) -> None:
        """Refuse to go on with another plan than the one the folder has.

        Raises:
            RunError: with what differs.
        """
        known, asked = self.plan().to_dict(), plan.to_dict()
        for name in asked.keys() - {"suite"}:
            if known.get(name) != asked[name]:
                raise RunError(
                    f"{self.path} was started with {name} {known.get(name)!r:.120}, not {asked[name]!r:.120}; leave it "
                    "out to go on, or name another --out"
                )

    def record(self) -> dict[str, Any]:
        """plan.json.

        Raises:
            RunError: it is not there, or damaged.
        """
        path = self.path / PLAN
        if not path.is_file():
            raise RunError(f"there is no comparison in {self.path}: it must hold {PLAN}, as `mfnet compare` writes it")
        return _read(path)

    def plan(self) -> Plan:
        """The plan it was started with.

        Raises:
            RunError: there is none, or it is damaged.
        """
        try:
            return Plan.from_dict(self.record())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            said = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
            raise RunError(f"{self.path / PLAN} is damaged or of another version: {said}") from error

    def folder_of(self, job: Job) -> Path:
        """Where a job's run and result lie."""
        return self.path / JOBS / job.name

    def is_done(self, job: Job) -> bool:
        """Whether a job has its result."""
        return (self.folder_of(job) / RESULT).is_file()

    def result(self, job: Job) -> dict[str, Any]:
        """What a finished job found.

        Raises:
            RunError: its file is damaged.
        """
        return _read(self.folder_of(job) / RESULT)

    def write(self, name: str, record: Any) -> None:
        """Put a JSON file in place, atomically."""
        write_json(self.path / name, record)


def write_json(path: Path, record: Any) -> None:
    """A JSON file that stands whole or not at all; what is not finite is null there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as file:
        file.write((json.dumps(finite(record), indent=1) + "\n").encode())


def default_folder(plan: Plan) -> Path:
    """``comparisons/<suite>``, with a digest of what is not the suite's own choice."""
    usual = make_plan(plan.suite).to_dict()
    own = {name: value for name, value in plan.to_dict().items() if value != usual.get(name)}
    name = as_name(plan.suite.id)
    if own:
        name += f"-{hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:8]}"
    return Path("comparisons") / name


def as_name(text: str) -> str:
    """Letters that suit every file system, and a digest where others had to go."""
    plain = re.sub(r"[^\w.=,+-]+", "-", text).strip("-.")
    if plain == text and len(plain) <= 100:
        return plain
    return f"{plain[:80]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
    except (OSError, RecursionError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}); restore it, or remove its folder to run it again") from error
    return found


def _commit() -> str | None:
    """The commit of the checkout this package stands in; None where it is none."""
    try:
        asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
