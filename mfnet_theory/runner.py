"""Runs experiments one after the other; writes ``report.html``, ``statements.csv`` and the experiments' tables."""

from __future__ import annotations

import csv
import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.registration import make_model
from mfnet_envs.words import did_you_mean
from mfnet_theory import EXPERIMENTS, OF_ANY_MODEL, page
from mfnet_theory.statement import Experiment, Settings, Statement, Table, judged


@dataclass(frozen=True)
class Outcome:
    """What a run of the experiments came to.

    Attributes:
        missing: experiments that were asked for and not finished, because the run was stopped.
        page: where the report is.
    """

    experiments: tuple[Experiment, ...]
    missing: tuple[str, ...]
    page: Path

    @property
    def failures(self) -> list[Statement]:
        return [line for done in self.experiments for line in done.statements if line.verdict == "fails"]

    def as_record(self) -> dict[str, Any]:
        """The end of a run for machines."""
        failures = [line.name for line in self.failures]
        return {"event": "result", "failures": failures, "missing": list(self.missing), "page": str(self.page)}


def small_model(target: str, **options: Any) -> LocalModel:
    """The user's model, from an id, ``"module:callable"`` or ``"file.py:callable"``.

    Raises:
        ValueError: one too large to enumerate. TypeError: not a model.
    """
    model = make_model(target, **options)
    _ = ExactGame(model).pairs  # refuses a game that is too large
    return model


def chosen(only: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """The experiments to run, in the order of the page.

    Args:
        only: names; none for all that make sense.

    Raises:
        ValueError: an unknown name, or an experiment that a user's own model cannot be put to.
    """
    possible = EXPERIMENTS if settings.model is None else OF_ANY_MODEL
    for name in only:
        if name not in EXPERIMENTS:
            known = ", ".join(EXPERIMENTS)
            raise ValueError(f"there is no experiment {name!r}{did_you_mean(name, EXPERIMENTS)} Known: {known}.")
        if name not in possible:
            raise ValueError(f"{name!r} runs on its own instances only; with a model choose from {', '.join(possible)}")
    return tuple(name for name in possible if name in only or not only)


def run(names: Sequence[str], settings: Settings, out: Path, tell: Callable[[Experiment], None]) -> Outcome:
    """Run experiments and write their page and tables into ``out``; Ctrl-C ends it with the page of what is done.

    Args:
        tell: is shown every experiment when it ends.

    Raises:
        OSError: the folder cannot be written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    done: list[Experiment] = []
    began = time.perf_counter()
    try:
        for place, name in enumerate(names, 1):
            done.append(_experiment(name, settings, f"{place}/{len(names)}"))
            tell(done[-1])
    except KeyboardInterrupt:
        settings.say("stopped; writing the page of what is done")
    finally:
        missing = tuple(names[len(done) :])
        where = _write(out, done, missing, settings, time.perf_counter() - began)
    return Outcome(tuple(done), missing, where)


def _experiment(name: str, settings: Settings, place: str) -> Experiment:
    module: Any = importlib.import_module(f"mfnet_theory.{name}")
    settings.say(f"[{place}] {name}: {module.TITLE}")
    began = time.perf_counter()
    try:
        found: Experiment = module.run(settings)
    except Exception as error:
        if settings.model is None:
            raise
        # what a user's model does to an experiment is a finding about the model
        says = "the experiment can be carried out on this model"
        line = judged(f"{module.TITLE}, carried out", says, f"{type(error).__name__}: {error}", "none", False)
        found = Experiment(name, module.TITLE, "The model ended this experiment with an error.", (line,))
    settings.say(f"[{place}] {name}: done in {time.perf_counter() - began:.1f} s")
    return found


def as_text(experiment: Experiment) -> str:
    """The statements of an experiment, one to a line under its title."""
    lines = [f"{line.verdict:<20}{line.name}: {line.computed}" for line in experiment.statements]
    return "\n".join([f"{experiment.key}: {experiment.title}", *lines])


def as_records(experiment: Experiment) -> list[dict[str, Any]]:
    """The statements of an experiment for machines."""
    return [{"event": "statement", "experiment": experiment.key, **asdict(line)} for line in experiment.statements]


def failure(failures: Sequence[Statement]) -> str:
    """One sentence that names the statements that fail."""
    count = "1 statement fails" if len(failures) == 1 else f"{len(failures)} statements fail"
    return f"{count}: {'; '.join(line.name for line in failures)}"


def _write(out: Path, done: Sequence[Experiment], missing: Sequence[str], settings: Settings, seconds: float) -> Path:
    """All files of a run; what an earlier run left beside them is removed."""
    tables = {f"{e.key}-{name}.csv": table for e in done for name, table in e.tables.items()}
    for old in (path for key in EXPERIMENTS for path in out.glob(f"{key}-*.csv")):
        if old.name not in tables:
            old.unlink()
    rows = [(e.key, s.name, s.verdict, s.says, s.computed, s.tolerance) for e in done for s in e.statements]
    tables["statements.csv"] = Table(("experiment", "statement", "verdict", "says", "computed", "tolerance"), rows)
    for name, table in tables.items():
        with (out / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([table.columns, *table.rows])
    fresh = out / "report.html.new"
    fresh.write_text(page.build(done, missing, settings, seconds), "utf-8")
    return fresh.replace(out / "report.html")
