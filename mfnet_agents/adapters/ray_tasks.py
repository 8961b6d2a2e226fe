"""Ray: the jobs of a comparison as tasks, on this machine or on a cluster whose machines may go at any moment.

``mfnet compare SUITE --workers ray [--address HOST:PORT]``. A task works in a folder that ends with it and answers with
the files of its job, which the driver alone puts in place: the machines share no file system, and a driver that is
killed loses what was under way and nothing else. Ray itself repeats nothing; a task whose worker or machine was lost is
begun again by the comparison, from its start and with its seed, so that the table is the same.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mfnet_agents.comparison import jobs, tuning
from mfnet_agents.comparison.plan import RESULT, ComparisonFolder, Job, Plan
from mfnet_agents.comparison.workers import LOG, Fault, one_thread, passing_folder, result_of
from mfnet_agents.runs import RunError
from mfnet_envs.adapters import missing
from mfnet_envs.words import brief, shown
from mfnet_envs.writing import written

try:
    import ray
    from ray.exceptions import LocalRayletDiedError, RayError, RaySystemError, RayTaskError
except ModuleNotFoundError as error:
    raise missing(error, "rllib") from error

STORE = 100_000_000  # bytes that tasks on this machine share; their answers are small
NO_USAGE, NO_OVERRIDE = "RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"  # the second only to be quiet


class RayTasks:
    """A task for every job, each on one core: :class:`mfnet_agents.comparison.workers.Workers` of a cluster."""

    chances = 3

    def __init__(self, folder: ComparisonFolder, plan: Plan, number: int | None, address: str | None = None) -> None:
        """Start Ray here, or join the cluster at ``address``; with ``number`` None, as many jobs as that has cores.

        Raises:
            ValueError: there is no cluster.
        """
        self.folder, self.plan = folder, plan
        for name in (NO_USAGE, NO_OVERRIDE):
            os.environ.setdefault(name, "0")
        here = {"num_cpus": number, "include_dashboard": False, "object_store_memory": STORE}
        options: dict[str, Any] = {} if address else here
        if address:
            _answers(address)
        try:
            ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **options)
        except (ConnectionError, RuntimeError) as error:  # nobody of Ray's there, or of another version
            raise ValueError(f"Ray does not start at {address or 'this machine'}: {brief(error)}") from error
        self.number = number or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.running: dict[Any, Job] = {}

    def start(self, job: Job) -> Any:
        try:
            trial: int | RunError = tuning.trial_of(job, self.plan, self.folder)
        except RunError as error:
            trial = error
        work = TASK.remote(self.plan.to_dict(), job.name, trial, os.getcwd())
        self.running[work] = job
        return work

    def wait(self, running: list[Any], seconds: float | None) -> list[Any]:
        ended, _ = ray.wait(running, timeout=seconds)
        return list(ended)

    def ended(self, work: Any) -> Fault | None:
        place = self.folder.folder_of(self.running.pop(work))
        try:
            files: dict[str, bytes] = ray.get(work)
        except RayTaskError as error:
            return Fault(f"its task failed: {brief(error.cause)}")
        except (LocalRayletDiedError, RaySystemError) as error:
            raise RunError(f"Ray has ended ({type(error).__name__}); the same command with --resume goes on") from error
        except RayError as error:
            return Fault(f"its worker or machine was lost ({type(error).__name__}), {self.chances} times", is_lost=True)
        for name in sorted(files, key=lambda name: name == RESULT):  # who has a result is done, so it comes last
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with written(path) as file:
                file.write(files[name])
        jobs.tidy(place)  # where the job was begun by a process of a comparison that was killed
        return None

    def stop(self, running: Iterable[Any]) -> None:
        for work in running:
            ray.cancel(work, force=True)

    def close(self) -> None:
        ray.shutdown()


def _answers(address: str) -> None:
    """Ask at once whether anybody listens there; Ray itself would try for minutes.

    Raises:
        ValueError: nobody does, or it is no address.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 2**16):
        raise ValueError(f"a cluster's address is HOST:PORT, as `ray start --head` prints it, not {shown(address)}")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ValueError(f"there is no Ray cluster at {address}: {brief(error)}") from error


def files_of(plan: dict[str, Any], name: str, trial: int | RunError, where: str) -> dict[str, bytes]:
    """A task: one job. What it leaves in its folder, by name.

    Args:
        trial: whose step sizes a learner has, or why none. where: the driver's folder, if it is here too: ``own.py``.
    """

    def told() -> int:
        if isinstance(trial, RunError):
            raise trial
        return trial

    if Path(where).is_dir():
        os.chdir(where)
    with passing_folder() as place:
        with (place / LOG).open("a", encoding="utf-8") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        one_thread()
        found = Plan.from_dict(plan)
        job = next(job for job in (*found.tuning_jobs, *found.jobs) if job.name == name)
        result_of(job, found, place, told)
        return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


TASK = ray.remote(num_cpus=1, max_retries=0, max_calls=1)(files_of)  # a process for every job, which we begin again
