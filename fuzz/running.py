"""Runs cases in forked workers with a limit on time and memory, counts what comes of them, keeps what fails."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fuzz.judging import Fault, Hang, Refused, told

CPU_SECONDS, WALL_SECONDS = 20.0, 90.0  # of a case; other programs may be running beside
WAITING_SECONDS = 600.0  # of a case that runs processes of its own, each of which has a limit
IDLE_SECONDS = 8.0  # of a case that waits for something: it has used next to no time of the processor by then
GRACE = 30.0  # after these, until a worker that does not even answer a signal is ended
MEMORY = 5 << 28  # bytes that a case may ask for, the whole machine as far as mfnet can tell; what works may fill it
WAITING = {
    "cli",
    "verbs",
    "boards",
    "folders",
    "kill-run",
    "kill-file",
    "kill-compare",
}  # targets that wait for processes of their own
PR_SET_PDEATHSIG = 1  # of Linux's prctl
KEPT = 2  # inputs kept of each cause


class Target(Protocol):
    """One door.

    Attributes:
        name: as in the summary. share: of the time.
    """

    name: str
    share: float

    def run(self, rng: np.random.Generator, folder: Path) -> Counter[str] | None:
        """One case in an empty folder, where its input is left; what else is counted, such as kills.

        Raises:
            Refused: the door refused properly. Fault: it is at fault.
        """
        ...


@dataclass
class Tally:
    """What came of the cases of one target."""

    counts: Counter[str] = field(default_factory=Counter)
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def faults(self) -> int:
        return sum(self.causes.values())

    @property
    def cases(self) -> int:
        return self.counts["passed"] + self.counts["refused"] + self.faults


@dataclass
class Case:
    target: str
    number: int
    kind: str = ""
    cause: str = ""
    what: str = ""
    seconds: float = 0.0
    more: Counter[str] = field(default_factory=Counter)


def generator(target: str, seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, number, *target.encode()])


def one(target: Target, seed: int, number: int, folder: Path) -> Case:
    """Run one case under its limits; ``folder`` is made, and holds the input afterwards."""
    folder.mkdir(parents=True)
    found = Case(target.name, number)
    began, home, path = time.perf_counter(), os.getcwd(), list(sys.path)
    try:
        os.chdir(folder)
        with bounded_memory(), _limits(waits=target.name in WAITING):
            found.more = target.run(generator(target.name, seed, number), folder) or Counter()
        found.kind = "passed"
    except Refused as refused:
        found.kind, found.what = "refused", str(refused)
    except Hang as hang:
        at = [
            f"{Path(e.filename).name}:{e.lineno}"
            for e in traceback.extract_tb(hang.__traceback__)
            if "mfnet_" in e.filename
        ]
        found.kind, found.what, found.cause = "hang", told(hang), f"at {at[-1] if at else '?'}"
    except Fault as fault:
        found.kind, found.what, found.cause, found.more = fault.kind, fault.what, fault.cause, fault.more
    except Exception as error:  # of the harness itself, or of a door that was not asked by `attempt`
        found.kind, found.what, found.cause = "traceback", told(error), f"{type(error).__name__}: {error}"[:150]
    finally:
        os.chdir(home)
        more, sys.path[:] = len(sys.path) - len(path), path  # the modules of a case are not there for the next
    if found.kind == "refused" and more:
        found.kind, found.what, found.cause = "left", f"{found.what}: {more} folders more in sys.path", "in sys.path"
    found.seconds = time.perf_counter() - began
    return found


@contextlib.contextmanager
def _limits(waits: bool) -> Any:
    began, worked, queued = time.monotonic(), time.process_time(), _queued()

    def late(number: int, frame: Any) -> None:
        spent, work = time.monotonic() - began, time.process_time() - worked
        idle = not waits and spent > IDLE_SECONDS and work + _queued() - queued < 0.02 * spent
        if work > CPU_SECONDS or spent > (WAITING_SECONDS if waits else WALL_SECONDS) or idle:
            raise Hang(f"no answer after {spent:.0f} s, {work:.0f} s of them at work")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 2.0, 2.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _queued() -> float:
    """Seconds that this process could have worked, had others left it a processor."""
    with contextlib.suppress(OSError), open("/proc/self/schedstat") as file:
        return int(file.read().split()[1]) / 1e9
    return 0.0


def _memory(key: str) -> int:
    """Bytes, as /proc says."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":")) << 10


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Beside what is there already: libraries keep addresses from case to case."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _memory("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# -- many -------------------------------------------------------------------------------------------------------------


def _work(targets: Sequence[Target], seed: int, first: dict[str, int], step: int, pipe: Connection) -> None:
    """The cases ``first, first + step, ...`` of every target, the one first that had least of its share."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody would tell it to stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    spent, numbers = {t.name: 0.0 for t in targets}, dict(first)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        while True:
            target = min(targets, key=lambda t: spent[t.name] / t.share)
            number = numbers[target.name]
            numbers[target.name] += step
            folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "case"
            pipe.send(("begin", Case(target.name, number), folder))
            found = one(target, seed, number, folder)
            spent[target.name] += found.seconds
            pipe.send(("end", found, folder))
            if pipe.recv() == "stop":
                return


class Worker:
    """A forked process with its pipe, and the case it is at."""

    def __init__(self, targets: Sequence[Target], seed: int, first: dict[str, int], step: int) -> None:
        here, there = get_context("fork").Pipe()
        self.pipe, self.numbers = here, dict(first)
        self.process = get_context("fork").Process(target=_work, args=(targets, seed, first, step, there))
        self.process.start()
        there.close()
        self.case: Case | None = None
        self.folder: Path | None = None
        self.since = time.monotonic()

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.join()


class Harness:
    """Runs targets for some time, or until enough kills were done."""

    def __init__(self, targets: Sequence[Target], seed: int, jobs: int, keep: Path | None = None) -> None:
        self.targets, self.seed, self.jobs, self.keep = list(targets), seed, jobs, keep
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        for target in targets:
            self.tallies[target.name] = Tally()

    def run(self, seconds: float, kills: int | None = None, cases: int | None = None, say: Any = print) -> None:
        """Until the time is over, or ``kills`` processes were killed, or every target had ``cases`` cases."""
        began = told_at = time.monotonic()
        workers = [self._worker({t.name: k for t in self.targets}) for k in range(self.jobs)]
        try:
            while workers:
                now = time.monotonic()
                over = now - began > seconds
                for pipe in wait([w.pipe for w in workers], timeout=1.0):
                    worker = next(w for w in workers if w.pipe is pipe)
                    try:
                        word, case, folder = worker.pipe.recv()
                    except EOFError:
                        workers.remove(worker)
                        workers += self._revived(worker, f"the process died ({_ending(worker)})", "traceback", over)
                        continue
                    worker.case, worker.folder, worker.since = case, folder, now
                    worker.numbers[case.target] = case.number + self.jobs
                    if word == "end":
                        self._count(case, folder)
                        worker.case = None
                        enough = kills is not None and self.kills >= kills
                        done = cases is not None and min(self.tallies[t.name].cases for t in self.targets) >= cases
                        stop = over or enough or done
                        worker.pipe.send("stop" if stop else "go on")
                        if stop:
                            worker.process.join(5)
                            workers.remove(worker)
                for worker in list(workers):
                    if worker.case is not None and now - worker.since > _patience(worker.case.target):
                        worker.end()
                        workers.remove(worker)
                        workers += self._revived(worker, "no answer, not even to a signal", "hang", over)
                if now - told_at > 15:
                    told_at = now
                    say(self.line(now - began))
        finally:
            for worker in workers:
                worker.end()

    def _worker(self, first: dict[str, int]) -> Worker:
        return Worker(self.targets, self.seed, first, self.jobs)

    def _revived(self, worker: Worker, what: str, kind: str, over: bool) -> list[Worker]:
        worker.end()
        if worker.case is not None and worker.folder is not None:
            worker.case.kind, worker.case.what, worker.case.cause = kind, what, what
            self._count(worker.case, worker.folder)
        return [] if over else [self._worker(worker.numbers)]

    def _count(self, case: Case, folder: Path) -> None:
        tally = self.tallies[case.target]
        tally.seconds += case.seconds
        tally.counts.update(case.more)
        if case.kind in ("passed", "refused"):
            tally.counts[case.kind] += 1
        else:
            key = case.kind, case.cause
            tally.causes[key] += 1
            tally.first.setdefault(key, case.number)
            if self.keep is not None and tally.causes[key] <= KEPT:
                self._keep(case, folder)
        for _ in range(2):
            shutil.rmtree(folder.parent, ignore_errors=True)

    def _keep(self, case: Case, folder: Path) -> None:
        assert self.keep is not None
        place = self.keep / f"{case.kind}-{case.target}-{case.number}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(folder, place / "case", symlinks=True, copy_function=_copy_plain, dirs_exist_ok=True)
        (place / "why.txt").write_text(f"{self.repeat(case.target, case.number)}\n\n{case.cause}\n\n{case.what}\n")

    def repeat(self, target: str, number: int) -> str:
        return f"python -m fuzz --case {target}:{number} --seed {self.seed}"

    # -- words

    @property
    def kills(self) -> int:
        return sum(tally.counts["kills"] for tally in self.tallies.values())

    @property
    def faults(self) -> int:
        return sum(tally.faults for tally in self.tallies.values())

    def line(self, seconds: float) -> str:
        cases = sum(t.cases for t in self.tallies.values())
        return f"{seconds:6.0f} s: {cases:,} cases, {self.kills:,} kills, {self.faults:,} faults"

    def summary(self) -> str:
        kinds = ("traceback", "hang", "silent", "lost", "left")
        head = ("target", "cases", "passed", "refused", "kills", *kinds)
        lines = [" ".join([f"{head[0]:<12}", *(f"{word:>9}" for word in head[1:])])]
        for name, tally in self.tallies.items():
            faults = [sum(n for (k, _), n in tally.causes.items() if k == kind) for kind in kinds]
            passed, refused = tally.counts["passed"], tally.counts["refused"]
            row = [tally.cases, passed, refused, tally.counts["kills"], *faults]
            lines.append(" ".join([f"{name:<12}", *(f"{n:>9,}" for n in row)]))
        for name, tally in self.tallies.items():
            for (kind, cause), n in tally.causes.most_common():
                lines.append(f"\n{n:>5} x {kind}, {name}: {cause}")
                lines.append(f"        {self.repeat(name, tally.first[kind, cause])}")
        return "\n".join(lines)


def _patience(target: str) -> float:
    return GRACE + (WAITING_SECONDS if target in WAITING else WALL_SECONDS)


def _copy_plain(source: str, target: str) -> None:
    """A plain file; a pipe or a device is not copied."""
    if os.path.isfile(source) and os.path.getsize(source) < 4 << 20:
        shutil.copy(source, target)


def _ending(worker: Worker) -> str:
    worker.process.join(5)
    code = worker.process.exitcode
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
