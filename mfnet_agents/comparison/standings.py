"""The finished jobs of a comparison as scores: normalised, per information class, with intervals.

A score is (value - random) / (bound - random): 0 is the random policy, 1 what no policy exceeds. In the second column 1
is the best policy known here. A run that crashed counts as the random policy, 0, and is counted in the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_agents.comparison import statistics, submission
from mfnet_agents.comparison.plan import PLAN, ComparisonFolder, Plan
from mfnet_agents.comparison.statistics import Estimate
from mfnet_agents.comparison.suites import INFORMATION, Instance
from mfnet_agents.runs import AllFailed, RunError
from mfnet_envs.arrays import Floats
from mfnet_envs.bounds import Certificate
from mfnet_envs.evaluate import half_width
from mfnet_envs.measure import RANDOM
from mfnet_envs.words import COUNTABLE, is_number, is_whole
from mfnet_envs.yardstick import Yardstick

SEED = 20_261_128  # of the resampling
ENOUGH_RUNS = 5  # of an instance, from which on an interval over runs is worth something
THRESHOLDS = np.linspace(0.0, 1.0, 101)
Row = dict[str, Any]
BEST_HEURISTIC = "best heuristic"


@dataclass(frozen=True)
class Entry:
    """One contender on one instance.

    Attributes:
        values: ``(runs,)`` headline of each run, NaN where it crashed; ci95: half the interval over its test worlds.
        curves: ``(runs that have one, points)`` the headline on the choice worlds, over :attr:`Instance.grid`.
    """

    name: str
    kind: str
    information: str
    needs: str
    values: Floats
    ci95: Floats
    curves: Floats
    errors: tuple[str, ...]
    rows: tuple[Row, ...] = field(repr=False)

    @property
    def mean(self) -> float:
        """NaN where every run crashed."""
        ended = self.values[~np.isnan(self.values)]
        return float(ended.mean()) if len(ended) else math.nan

    @property
    def interval(self) -> float:
        """Half the 95 % interval: over test worlds and, where there are several runs, over them, in quadrature."""
        ended = ~np.isnan(self.values)
        runs = int(ended.sum())
        if not runs:
            return math.nan
        over_worlds = float(np.sqrt((self.ci95[ended] ** 2).sum())) / runs
        return math.hypot(over_worlds, half_width(self.values[ended])) if runs > 1 else over_worlds


@dataclass(frozen=True)
class Board:
    """One instance: its yardstick and everybody who played."""

    instance: Instance
    yardstick: Yardstick
    certificate: Certificate | None
    notes: tuple[str, ...]
    entries: dict[str, Entry]

    @cached_property
    def best_known(self) -> str:
        """The contender with the highest mean on the test worlds, here."""
        means = {name: entry.mean for name, entry in self.entries.items() if not math.isnan(entry.mean)}
        return max(means, key=lambda name: means[name])

    @property
    def random(self) -> float:
        return self.entries[RANDOM].mean

    def top(self, column: str) -> float | None:
        """What a score of 1 stands for: "bound", None where there is none above random, or "best known"."""
        found = self.yardstick.bound if column == "bound" else self.entries[self.best_known].mean
        return None if found is None or found <= self.random else found

    def scores(self, values: Floats, column: str) -> Floats:
        """Headlines as scores; a run that crashed as the random policy."""
        top = self.top(column)
        assert top is not None
        found: Floats = np.nan_to_num((values - self.random) / (top - self.random), nan=0.0)
        return found

    def best_heuristic(self, information: str) -> Entry:
        """The best on the test worlds of those that need not know more than this; random where there is none."""
        rank = INFORMATION.index
        able = [e for e in self.entries.values() if e.kind == "heuristic" and not math.isnan(e.mean)]
        able = [entry for entry in able if rank(entry.information) <= rank(information)]
        return max(able, key=lambda entry: entry.mean, default=self.entries[RANDOM])


@dataclass(frozen=True)
class Standing:
    """One line of the ranking: over all instances that have a bound.

    Attributes:
        to_bound, to_best: interquartile mean of the scores. beats_next: the probability of improvement over the line
            below; None of the last.
    """

    name: str
    information: str
    to_bound: Estimate | None
    gap: Estimate | None
    to_best: Estimate | None
    lowest: float
    highest: float
    runs: int
    crashed: int
    beats_next: Estimate | None = None


class Standings:
    """What a comparison has found so far.

    Raises:
        AllFailed: no instance has been measured yet. RunError: a file is damaged.
    """

    def __init__(self, folder: ComparisonFolder) -> None:
        self.folder, self.record = folder, folder.record()
        self.plan: Plan = folder.plan()
        if not all(isinstance(self.record.get(name, {}), dict) for name in ("versions", "machine")):
            raise RunError(f"{folder.path / PLAN} is damaged: versions and machine are objects")
        self.boards: list[Board] = []
        self.missing = sum(not folder.is_done(job) for job in (*self.plan.tuning_jobs, *self.plan.jobs))
        self.unmeasured: dict[str, str] = {}  # instance -> why it has no yardstick
        for instance in self.plan.instances:
            try:
                self._read(instance)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                raise RunError(f"a result of {instance.name} in {folder.path} is damaged: {error!r:.200}") from error
        if not self.boards:
            why = "; ".join(f"{name}: {said}" for name, said in self.unmeasured.items())
            raise AllFailed(f"no instance in {folder.path} has been measured yet ({why})")

    def _read(self, instance: Instance) -> None:
        jobs = [job for job in self.plan.jobs if job.instance.name == instance.name and self.folder.is_done(job)]
        results = [(job, self.folder.result(job)) for job in jobs]
        reference = next((result for job, result in results if job.contender is None), None)
        if reference is not None and "yardstick" in reference and reference["rows"][0]["contender"] != RANDOM:
            raise ValueError("its reference does not begin with the random policy")
        error = None if reference is None else reference["rows"][0]["error"]
        if reference is None or error or "yardstick" not in reference:
            self.unmeasured[instance.name] = error or "its reference has not been run"
            return
        if not all(isinstance(note, str) for note in reference["notes"]):
            raise ValueError("its notes are no sentences")
        certificate = reference["certificate"]
        by_name: dict[str, list[tuple[str, Row]]] = {}  # contender -> its kind and row, run by run
        for job, result in results:
            kind = "heuristic" if job.contender is None else job.contender.kind
            for row in result["rows"]:
                _check(row, instance)
                by_name.setdefault(row["contender"], []).append((kind, row))
        self.boards.append(
            Board(
                instance,
                Yardstick.from_dict(reference["yardstick"]),
                None if certificate is None else Certificate.from_dict(certificate),
                tuple(reference["notes"]),
                {name: _entry(name, rows) for name, rows in by_name.items()},
            )
        )

    # -- who is compared

    @property
    def rated(self) -> list[Board]:
        """The instances whose bound lies above random: the others have no score."""
        return [board for board in self.boards if board.top("bound") is not None]

    @cached_property
    def names(self) -> list[str]:
        """Learners and planners, as the plan has them."""
        found = [each.text for each in self.plan.contenders if each.kind != "heuristics"]
        return [name for name in found if any(name in board.entries for board in self.boards)]

    def information(self, name: str) -> str:
        """The widest class that a contender has on any instance; of one that never ran, the widest of all."""
        found = [b.entries[name].information for b in self.boards if name in b.entries]
        known = [each for each in found if each in INFORMATION]
        return max(known, key=INFORMATION.index, default=INFORMATION[-1])

    def entry(self, board: Board, name: str, information: str) -> Entry | None:
        if name == BEST_HEURISTIC:
            return board.best_heuristic(information)
        return board.entries.get(name)

    def scores(self, name: str, column: str = "bound", information: str = INFORMATION[-1]) -> list[Floats] | None:
        """One array of runs per rated instance; None where one has not been played yet, or nobody beats random."""
        found = [(board, self.entry(board, name, information)) for board in self.rated]
        if not found or any(entry is None or board.top(column) is None for board, entry in found):
            return None
        return [board.scores(entry.values, column) for board, entry in found if entry is not None]

    # -- tables

    @cached_property
    def ranking(self) -> dict[str, list[Standing]]:
        """Information class -> its lines, best first; classes in which nobody played are left out."""
        found: dict[str, list[Standing]] = {}
        for information in INFORMATION:
            names = [name for name in self.names if self.information(name) == information]
            if self.plan.with_heuristics:
                names += [BEST_HEURISTIC] * any(
                    entry.kind == "heuristic" and entry.information == information
                    for board in self.rated
                    for entry in board.entries.values()
                    if entry.name != RANDOM
                )
            lines = [line for line in (self._line(name, information) for name in names) if line is not None]
            lines.sort(key=lambda line: -(line.to_bound.value if line.to_bound else -math.inf))
            if lines:
                found[information] = self._against_next(lines)
        return found

    def _line(self, name: str, information: str) -> Standing | None:
        scores = self.scores(name, "bound", information)
        if scores is None:
            return None
        best = self.scores(name, "best known", information)
        entries = [entry for board in self.rated if (entry := self.entry(board, name, information)) is not None]
        flat = np.concatenate(scores)
        return Standing(
            name,
            information,
            statistics.estimate(scores, statistics.iqm_of, self._rng()),
            statistics.estimate(scores, statistics.optimality_gap_of, self._rng()),
            None if best is None else statistics.estimate(best, statistics.iqm_of, self._rng()),
            float(flat.min()),
            float(flat.max()),
            min(len(entry.values) for entry in entries),
            sum(len(entry.errors) for entry in entries),
        )

    def _against_next(self, lines: list[Standing]) -> list[Standing]:
        found = []
        for line, below in zip(lines, [*lines[1:], None], strict=True):
            first = self.scores(line.name, "bound", line.information)
            second = None if below is None else self.scores(below.name, "bound", line.information)
            if first is not None and second is not None:
                line = Standing(**{**line.__dict__, "beats_next": statistics.improvement(first, second, self._rng())})
            found.append(line)
        return found

    def profiles(self) -> dict[str, Floats]:
        """Learner -> ``(3, len(THRESHOLDS))`` share of runs above each score, with its interval."""
        found = {name: self.scores(name) for name in self._learners()}
        return {
            name: statistics.profile(scores, THRESHOLDS, self._rng())
            for name, scores in found.items()
            if scores is not None
        }

    def efficiency(self) -> dict[str, Floats]:
        """Learner -> ``(3, points)``: the interquartile mean score at each share of the budget, with its interval; on
        the choice worlds. A run that crashed is missing here."""
        found = {}
        for name in self._learners():
            entries = [(board, board.entries.get(name)) for board in self.rated]
            curves = [board.scores(e.curves, "bound") for board, e in entries if e is not None and len(e.curves)]
            points = {curve.shape[1] for curve in curves}
            if len(curves) == len(self.rated) and len(points) == 1:
                at = range(points.pop())
                estimates = [statistics.estimate([c[:, k] for c in curves], statistics.iqm_of, self._rng()) for k in at]
                found[name] = np.array(estimates).T
        return found

    def _learners(self) -> list[str]:
        kinds = {each.text: each.kind for each in self.plan.contenders}
        return [name for name in self.names if kinds[name] == "learner"]

    def _rng(self) -> np.random.Generator:
        """The same draws for every line: the same table from the same results."""
        return np.random.default_rng(SEED)

    # -- words

    def footnotes(self) -> list[str]:
        """What a reader of the tables must know, a sentence each."""
        suite = self.plan.suite
        said = [
            f"Suite {suite.id}, sha256 {suite.digest[:12]}; {self.plan.seeds} training seeds; budgets "
            + ", ".join(f"{i.name} {i.budget:,}" for i in self.plan.instances) + " environment steps.",
            "Scores: 0 is the random policy, 1 the bound that no policy exceeds; second column: 1 is the best policy "
            "known here ("
            + ", ".join(f"{b.instance.name}: {b.best_known}" for b in self.boards) + ").",
            *self._about_submissions(),
            self._about_tuning(),
            "Intervals: 95 %, stratified bootstrap over runs; a contender with one run an instance has none.",
        ]  # fmt: skip
        if self.plan.seeds < ENOUGH_RUNS:
            said.append(f"Intervals over fewer than {ENOUGH_RUNS} runs are too short to lean on.")
        if self.plan.seeds > 1:
            share = statistics.share_within_range(self.plan.seeds)
            said.append(
                f"Lowest and highest: of {self.plan.seeds} runs an instance; between them lies, with 95 % confidence, "
                f"at least {share:.0%} of all runs."
            )
        if self.plan.with_heuristics:
            said.append(
                "The best heuristic of a class is chosen for each instance on the test worlds, which favours it; it "
                "may know less than its class."
            )
        crashed = [line for lines in self.ranking.values() for line in lines if line.crashed]
        if crashed:
            said.append(
                "Runs that crashed count as the random policy: "
                + ", ".join(f"{line.name} {line.crashed}" for line in crashed) + "."
            )  # fmt: skip
        said += [f"{name} is not in the tables: {why}." for name, why in self.unmeasured.items()]
        said += [
            f"{board.instance.name} is in no ranking: it has no bound above the random policy."
            for board in self.boards
            if board.top("bound") is None
        ]
        if self.missing:
            said.append(
                f"{self.missing} of {len(self.plan.tuning_jobs) + len(self.plan.jobs)} jobs have not been run; go on "
                "with --resume."
            )
        return said

    def _about_submissions(self) -> list[str]:
        """Whose numbers these are, and that they are not those of the suite's own table."""
        found = [submission.read(Path(each.name)) for each in self.plan.contenders if each.kind == "submission"]
        return [
            f"{each.path} is {each.name}, sha256 {each.digest[:12]}; all were measured on the worlds of its seed, "
            f"{each.seed(self.plan.suite.digest)}, and not on the suite's."
            for each in found
        ]

    def _about_tuning(self) -> str:
        if not self.plan.tune:
            return "Nothing was tuned: learners have the options they are shipped with, or were given."
        names = ", ".join(instance.name for instance in self.plan.tuning_instances)
        return (
            f"Tuned: of {self.plan.tune} configurations of every learner the best on {names}, step sizes times factors "
            "between .1 and 10, is the one in the tables."
        )


def _check(row: Row, instance: Instance) -> None:
    """Refuse what no job has written.

    Raises:
        KeyError, TypeError, ValueError: something is missing, or of another kind.
    """
    if row["error"] is not None and not isinstance(row["error"], str):
        raise ValueError("an error is a sentence")
    if not (isinstance(row["contender"], str) and is_whole(row["seed"]) and row["seed"] <= COUNTABLE):
        raise ValueError("a row names its contender and its seed")
    if row["error"] is not None:
        return
    if row["information"] not in INFORMATION or not isinstance(row["needs"], str):
        raise ValueError("a row says what its policy may know")
    numbers = [row["value"], row["ci95"], *row["values"]]
    numbers += [row[name] for name in ("cpu_s", "train_cpu_s") if name in row]
    if "curve" in row:
        numbers += [row["last_value"], row["env_steps"], row["chosen_at"]]
        if [point["step"] for point in row["curve"]] != instance.grid:
            raise ValueError("a curve is of other points than the suite's")
        numbers += [number for each in row["curve"] for number in (each["value"], each["env_steps"], *each["values"])]
    if not all(is_number(number) and abs(number) <= COUNTABLE for number in numbers):
        raise ValueError("a row holds something else than numbers")


def _entry(name: str, found: list[tuple[str, Row]]) -> Entry:
    kind, rows = found[0][0], [row for _, row in found]
    ended = [row for row in rows if row["error"] is None]
    curves = [[float(point["value"]) for point in row["curve"]] for row in ended if "curve" in row]
    classes = [str(row["information"]) for row in ended]
    return Entry(
        name,
        kind,
        max(classes, key=INFORMATION.index, default=""),
        str(ended[0]["needs"]) if ended else "",
        np.array([math.nan if row["error"] else float(row["value"]) for row in rows]),
        np.array([math.nan if row["error"] else float(row["ci95"]) for row in rows]),
        np.array(curves) if curves else np.zeros((0, 0)),
        tuple(str(row["error"]) for row in rows if row["error"]),
        tuple(rows),
    )
