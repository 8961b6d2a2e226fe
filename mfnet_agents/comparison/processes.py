"""Jobs in processes of this machine, one process each. They end with the comparison that started them."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mfnet_agents import registry
from mfnet_agents.comparison import tuning
from mfnet_agents.comparison.plan import ComparisonFolder, Job, Plan
from mfnet_agents.comparison.workers import LOG, Fault, one_thread, result_of
from mfnet_agents.runs.folder import RunError
from mfnet_agents.runs.lock import LOCK
from mfnet_envs import locks

PATIENT = (0.1, 1.0, 5.0)  # seconds before the next try to start a process
PRELOAD = ["scipy.optimize", "mfnet_agents.comparison.processes"]


class Processes:
    """A process for every job: :class:`~.workers.Workers` of this machine."""

    chances = 2

    def __init__(self, folder: ComparisonFolder, plan: Plan, number: int = 1) -> None:
        self.folder, self.number, self.context = folder, number, _context(plan)

    def start(self, job: Job) -> BaseProcess:
        return _started(self.context, str(self.folder.path), job.name)

    def wait(self, running: list[BaseProcess], seconds: float | None) -> list[BaseProcess]:
        ended = connection.wait([process.sentinel for process in running], seconds)
        return [process for process in running if process.sentinel in ended]

    def ended(self, work: BaseProcess) -> Fault:
        work.join()
        code = work.exitcode
        assert code is not None
        if code < 0:
            return Fault(f"its process ended with signal {-code}, {signal.strsignal(-code)}", is_lost=True, log=LOG)
        return Fault(f"its process ended with exit code {code}", log=LOG)

    def stop(self, running: Iterable[BaseProcess]) -> None:
        stopped = list(running)
        for process in stopped:
            process.kill()
        for process in stopped:
            process.join()

    def close(self) -> None:
        """Nothing is left: the server of processes ends with this one."""


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


def _started(context: Any, path: str, name: str) -> BaseProcess:
    """A process at one job. The server that makes it may just have been killed: it is then noticed, and made anew.

    Raises:
        RunError: no server stays alive.
    """
    for wait in PATIENT:
        process: BaseProcess = context.Process(target=_work, args=(path, name))
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
        one_thread()
        if not folder.is_done(job):  # else the process of a killed comparison has just ended it
            in_this_process(folder, plan, job)


def in_this_process(folder: ComparisonFolder, plan: Plan, job: Job) -> dict[str, Any]:
    """Run a job here; its result stands in its folder."""
    return result_of(job, plan, folder.folder_of(job), lambda: tuning.trial_of(job, plan, folder))


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
