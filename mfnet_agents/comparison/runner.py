"""Jobs in processes of this machine, one process each.

Whatever a job does, the comparison goes on: an exception, a crash of the interpreter or a process that the system ends
becomes a row with its error (a process that a signal ended is given a second chance, from its last checkpoint). Killed
jobs, and those of a killed comparison, end at once and leave nothing half-written; ``--resume`` takes them up. Only
what would never end is ended by a clock, and is a row that says so.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import Any

from mfnet_agents import registry
from mfnet_agents.comparison import jobs, tuning
from mfnet_agents.comparison.plan import RESULT, ComparisonFolder, Job, Plan, write_json
from mfnet_agents.progress import clock
from mfnet_agents.runs.folder import RunError
from mfnet_agents.runs.lock import LOCK
from mfnet_envs import locks

LOG = "log.txt"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CHANCES = 2  # for a job whose process a signal ended
HOURS = 24.0  # of one job
PATIENT = (0.1, 1.0, 5.0)  # seconds before the next try to start a process
PRELOAD = ["scipy.optimize", "mfnet_agents.comparison.jobs"]
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
    folder: ComparisonFolder, plan: Plan, *, workers: int = 1, tell: Tell | None = None, hours: float = HOURS
) -> None:
    """Run every job that has no result yet.

    Args:
        workers: jobs at a time. tell: is shown every job that ends. hours: after which a job that has not ended is.

    Raises:
        KeyboardInterrupt: Ctrl-C; the processes have ended then, and what is done is kept.
    """
    pool = _Pool(folder, plan, workers, tell, hours)
    for jobs_of_phase in (plan.tuning_jobs, plan.jobs):  # whom the tables rank is known when the first have ended
        pool.run([job for job in jobs_of_phase if not folder.is_done(job)])


def in_this_process(folder: ComparisonFolder, plan: Plan, job: Job) -> dict[str, Any]:
    """Run a job here, write its result and return it."""
    place = folder.folder_of(job)
    place.mkdir(parents=True, exist_ok=True)
    try:
        learns = job.contender is not None and job.contender.kind == "learner"
        result = jobs.run(job, plan, place, tuning.trial_of(job, plan, folder) if learns else 0)
    except Exception as error:
        traceback.print_exc()
        result = jobs.crashed(job, f"{type(error).__name__}: {error}")
    result["peak_mb"] = _peak_mb()
    write_json(place / RESULT, result)
    jobs.tidy(place)
    return result


class _Pool:
    """The processes of one comparison."""

    def __init__(
        self, folder: ComparisonFolder, plan: Plan, workers: int, tell: Tell | None, hours: float = HOURS
    ) -> None:
        self.folder, self.workers, self.tell, self.hours = folder, workers, tell, hours
        every = [*plan.tuning_jobs, *plan.jobs]
        self.total, self.left = len(every), [job for job in every if not folder.is_done(job)]
        self.done = self.total - len(self.left)
        self.waiting: list[Job] = []
        self.context = _context(plan)
        self.running: dict[int, tuple[Job, Any, float]] = {}  # sentinel -> job, process, when it began
        self.chances: dict[str, int] = {}
        self.too_long: set[str] = set()  # names of jobs that the clock has ended
        self.spent: dict[str, list[float]] = {}  # contender -> seconds of its jobs

    def run(self, waiting: list[Job]) -> None:
        """Run these, and come back when all have ended."""
        self.waiting = waiting
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.workers:
                    self._start(self.waiting.pop(0))
                for sentinel in connection.wait(list(self.running), self._patience()):
                    assert isinstance(sentinel, int)
                    self._ended(*self.running.pop(sentinel))
                self._stop_the_endless()
        finally:
            for _, process, _ in self.running.values():
                process.kill()
            for _, process, _ in self.running.values():
                process.join()

    def _start(self, job: Job) -> None:
        process = _started(self.context, str(self.folder.path), job.name)
        self.running[process.sentinel] = job, process, time.perf_counter()

    def _patience(self) -> float:
        """Seconds until the first of the running jobs has had its hours."""
        oldest = min(began for _, _, began in self.running.values())
        return max(0.0, oldest + 3600 * self.hours - time.perf_counter())

    def _stop_the_endless(self) -> None:
        for job, process, began in self.running.values():
            if time.perf_counter() - began >= 3600 * self.hours:
                self.too_long.add(job.name)
                process.kill()

    def _ended(self, job: Job, process: Any, began: float) -> None:
        process.join()
        if not self.folder.is_done(job):
            code, too_long = process.exitcode, job.name in self.too_long
            used = self.chances[job.name] = self.chances.get(job.name, 0) + 1
            if code < 0 and used < CHANCES and not too_long:
                self.waiting.insert(0, job)
                return
            why = f"its process ended with exit code {code}"
            if too_long:
                why = f"it had not ended after {self.hours:.3g} hours (--hours) and was stopped"
            elif code < 0:
                why = f"its process ended with signal {-code}, {signal.strsignal(-code)}"
            log = self.folder.folder_of(job) / LOG
            write_json(log.with_name(RESULT), jobs.crashed(job, f"{why}; see {log.name}"))
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
        left -= sum(min(expected(job), now - began) for job, _, began in self.running.values())
        return left / self.workers


def _who(job: Job) -> str:
    return "" if job.contender is None else job.contender.text


def _context(plan: Plan) -> Any:
    """Processes that begin with everything imported, where the system has such; none inherits our files or threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    of_ours = any(each.kind == "learner" and each.name in registry.algorithms() for each in plan.contenders)
    context.set_forkserver_preload([*PRELOAD, "torch"] if of_ours else PRELOAD)
    resource_tracker.ensure_running()  # it lets Ctrl-C through again when it starts, so it goes first
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()  # Ctrl-C is not for it: in the middle of its imports it would complain
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    return context


def _started(context: Any, path: str, name: str) -> Any:
    """A process at one job. The server that makes it may just have been killed: it is then noticed, and made anew.

    Raises:
        RunError: no server stays alive.
    """
    for wait in PATIENT:
        process = context.Process(target=_work, args=(path, name))
        try:
            process.start()
        except (ConnectionError, EOFError):
            time.sleep(wait)
        else:
            return process
    raise RunError(
        "the process that starts the others (multiprocessing's forkserver) is ended again and again; --resume"
    )


def _work(path: str, name: str) -> None:
    """A process: one job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who waits for us, and who ends us
    _end_with_parent()
    folder = ComparisonFolder(Path(path))
    plan = folder.plan()
    job = next(job for job in (*plan.tuning_jobs, *plan.jobs) if job.name == name)
    place = folder.folder_of(job)
    place.mkdir(parents=True, exist_ok=True)
    with (place / LOG).open("a", encoding="utf-8") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
        faulthandler.enable(log)
        _one_at_a_time(place)
        _one_thread()
        if not folder.is_done(job):  # else the process of a killed comparison has just ended it
            in_this_process(folder, plan, job)


def _end_with_parent() -> None:
    """Whoever asked for the job may be killed: nobody would read its result then."""
    parent = multiprocessing.parent_process()

    def watch(sentinel: int) -> None:
        connection.wait([sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


def _one_at_a_time(place: Path) -> None:
    """Wait for a process of a killed comparison that is still ending; the system lets go of the lock with this one."""
    if locks.EXIST:
        file = (place / LOCK).open("a")
        locks.taken(os.dup(file.fileno()), wait=True)
        file.close()


def _one_thread() -> None:
    """The networks are small: threads cost more than they give, and one thread means the same bits."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _peak_mb() -> float | None:
    """The most memory this process has had."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
