"""Every job of a comparison to its end, whoever runs it, see :mod:`.workers`.

Whatever a job does, the comparison goes on: an exception, a crash of the interpreter or a process that the system ends
becomes a row with its error (a job whose process was ended from outside is begun again, from its last checkpoint where
that was kept). Killed jobs, and those of a killed comparison, end at once and leave nothing half-written; ``--resume``
takes them up. Only what would never end is ended by a clock, and is a row that says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mfnet_agents.comparison import jobs
from mfnet_agents.comparison.plan import RESULT, ComparisonFolder, Job, Plan, write_json
from mfnet_agents.comparison.processes import Processes
from mfnet_agents.comparison.workers import Workers
from mfnet_agents.progress import clock

HOURS = 24.0  # of one job
Tell = Callable[["Event"], None]


@dataclass(frozen=True)
class Event:
    """A job that has ended.

    Attributes:
        done, total: jobs; left: seconds until the last one ends, as far as can be told.
    """

    job: Job
    result: dict[str, Any]
    seconds: float
    done: int
    total: int
    left: float

    def to_dict(self) -> dict[str, Any]:
        """For a machine that waits."""
        counted = {"done": self.done, "total": self.total, "seconds": self.seconds, "seconds_left": self.left}
        kept = ("contender", "seed", "error", "value", "ci95")
        rows = [{name: row.get(name) for name in kept} for row in self.result["rows"]]
        return {"instance": self.job.instance.name, "rows": rows, **counted}

    @property
    def sentence(self) -> str:
        """For somebody who waits."""
        who = "random, bound, heuristics" if self.job.contender is None else self.job.contender.text
        if self.job.contender is not None and self.job.contender.kind == "learner":
            who += f", seed {self.job.seed}" if self.job.trial is None else f", trial {self.job.trial}"
        row = self.result["rows"][0]
        found = f"failed: {row['error']}" if row["error"] else f"{row['value']:,.6g}"
        said = f"[{self.done}/{self.total}] {self.job.instance.name}: {who}: {found} ({self.seconds:.0f} s)"
        return said + (f"; about {clock(self.left)} left" if self.done < self.total else "")


def execute(
    folder: ComparisonFolder,
    plan: Plan,
    *,
    workers: Workers | None = None,
    tell: Tell | None = None,
    hours: float = HOURS,
) -> None:
    """Run every job that has no result yet.

    Args:
        workers: who runs them, one process of this machine where nobody is named; the caller closes them. tell: is
            shown every job that ends. hours: after which a job that has not ended is.

    Raises:
        KeyboardInterrupt: Ctrl-C; the jobs have ended then, and what is done is kept.
    """
    pool = _Pool(folder, plan, workers or Processes(folder, plan), tell, hours)
    for jobs_of_phase in (plan.tuning_jobs, plan.jobs):  # whom the tables rank is known when the first have ended
        pool.run([job for job in jobs_of_phase if not folder.is_done(job)])


class _Pool:
    """The jobs of one comparison: waiting, running, done."""

    def __init__(self, folder: ComparisonFolder, plan: Plan, workers: Workers, tell: Tell | None, hours: float) -> None:
        self.folder, self.workers, self.tell, self.hours = folder, workers, tell, hours
        every = [*plan.tuning_jobs, *plan.jobs]
        self.total, self.left = len(every), [job for job in every if not folder.is_done(job)]
        self.done = self.total - len(self.left)
        self.waiting: list[Job] = []
        self.running: dict[Any, tuple[Job, float]] = {}  # what stands for a job under way -> job, when it began
        self.chances: dict[str, int] = {}
        self.too_long: set[str] = set()  # names of jobs that the clock has ended
        self.spent: dict[str, list[float]] = {}  # contender -> seconds of its jobs

    def run(self, waiting: list[Job]) -> None:
        """Run these, and come back when all have ended."""
        self.waiting = waiting
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.workers.number:
                    job = self.waiting.pop(0)
                    self.running[self.workers.start(job)] = job, time.perf_counter()
                for work in self.workers.wait(list(self.running), self._patience()):
                    self._ended(work, *self.running.pop(work))
                self._stop_the_endless()
        finally:
            self.workers.stop(self.running)

    def _patience(self) -> float | None:
        """Seconds until the first of the running jobs has had its hours; None where all of them have."""
        began = [began for job, began in self.running.values() if job.name not in self.too_long]
        return max(0.0, min(began) + 3600 * self.hours - time.perf_counter()) if began else None

    def _stop_the_endless(self) -> None:
        for work, (job, began) in self.running.items():
            if time.perf_counter() - began >= 3600 * self.hours and job.name not in self.too_long:
                self.too_long.add(job.name)
                self.workers.stop([work])

    def _ended(self, work: Any, job: Job, began: float) -> None:
        fault, too_long = self.workers.ended(work), job.name in self.too_long
        self.too_long.discard(job.name)  # what is begun again has its hours again
        if not self.folder.is_done(job):
            assert fault is not None
            used = self.chances[job.name] = self.chances.get(job.name, 0) + 1
            if fault.is_lost and used < self.workers.chances and not too_long:
                self.waiting.insert(0, job)
                return
            why = fault.why
            if too_long:
                why = f"it had not ended after {self.hours:.3g} hours (--hours) and was stopped"
            said = f"{why}; see {fault.log}" if fault.log else why
            write_json(self.folder.folder_of(job) / RESULT, jobs.crashed(job, said))
        self.done += 1
        self.left.remove(job)
        seconds = time.perf_counter() - began
        self.spent.setdefault(_who(job), []).append(seconds)
        if self.tell is not None:
            self.tell(Event(job, self.folder.result(job), seconds, self.done, self.total, self._left()))

    def _left(self) -> float:
        """Seconds: each job as long as its contender's took so far, or the mean of all, shared by the processes."""
        known = [second for seconds in self.spent.values() for second in seconds]
        usual, now = sum(known) / len(known), time.perf_counter()

        def expected(job: Job) -> float:
            own = self.spent.get(_who(job))
            return sum(own) / len(own) if own else usual

        left = sum(map(expected, self.left))
        left -= sum(min(expected(job), now - began) for job, began in self.running.values())
        return left / self.workers.number


def _who(job: Job) -> str:
    return "" if job.contender is None else job.contender.text
