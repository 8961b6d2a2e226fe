"""Who runs jobs: processes of this machine, :mod:`.processes`, or tasks of Ray, ``mfnet_agents.adapters.ray_tasks``.

Whoever it is runs one job in one process, :func:`result_of`, and starts, waits for and stops it by one small interface.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mfnet_agents.comparison import jobs
from mfnet_agents.comparison.plan import RESULT, Job, Plan, write_json
from mfnet_envs import locks

LOG = "log.txt"
PASSING, HELD, FRESH = "mfnet-job-", "held", 60.0  # a folder, its lock, and seconds in which that may not be taken yet
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Fault:
    """Why a job left no result.

    Attributes:
        is_lost: it was not the job that ended, but whoever ran it was ended; another try may do better. log: the file
            in the job's folder that says more, if there is one.
    """

    why: str
    is_lost: bool = False
    log: str = ""


class Workers(Protocol):
    """Who runs the jobs of one comparison. What stands for a job under way is whatever :meth:`start` answered.

    Attributes:
        number: jobs at a time. chances: how often a job is begun that is lost each time.
    """

    number: int
    chances: int

    def start(self, job: Job) -> Any:
        """Begin a job.

        Raises:
            RunError: nothing can be begun any more.
        """

    def wait(self, running: list[Any], seconds: float | None) -> list[Any]:
        """Those that have ended: at least one, unless the seconds are over."""

    def ended(self, work: Any) -> Fault | None:
        """Take in what has ended. Its result stands in the comparison's folder then, or the fault says why not."""

    def stop(self, running: Iterable[Any]) -> None:
        """End these at once."""

    def close(self) -> None:
        """Let go of what was started for all jobs together."""


def result_of(job: Job, plan: Plan, place: Path, trial: Callable[[], int]) -> dict[str, Any]:
    """Run a job here, write its result and return it; an exception is a row.

    Args:
        place: the folder of this job alone. trial: answers whose step sizes a learner has, or raises why none.
    """
    place.mkdir(parents=True, exist_ok=True)
    try:
        result = jobs.run(job, plan, place, trial())
    except Exception as error:
        traceback.print_exc()
        result = jobs.crashed(job, f"{type(error).__name__}: {error}")
    result["peak_mb"] = _peak_mb()
    write_json(place / RESULT, result)
    jobs.tidy(place)
    return result


@contextlib.contextmanager
def passing_folder() -> Iterator[Path]:
    """A temporary folder for a job away from the comparison's own, locked while it runs.

    Whoever is killed leaves one behind, and nobody else would remove it: the next job does.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PASSING}*"):
        with contextlib.suppress(OSError), (left / HELD).open("rb") as file:
            locks.take(file.fileno())  # raises while somebody works there, and where there are no locks
            if time.time() - os.fstat(file.fileno()).st_mtime > FRESH:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PASSING) as folder, (Path(folder) / HELD).open("wb") as file:
        locks.taken(file.fileno(), wait=True)
        (place := Path(folder) / "job").mkdir()
        yield place


def one_thread() -> None:
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
