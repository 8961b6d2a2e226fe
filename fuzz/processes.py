"""Commands in forked processes: as `mfnet ...` in a shell of its own, but with everything imported already.

Such a process can be given odd surroundings (a closed or full output, ASCII, a working directory that is gone), and can
be killed at any moment: after some time, or at some operation on its files, which Python's audit hooks announce.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, process
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.judging import Fault

CPU_SECONDS, WALL_SECONDS = 20, 75.0
LONGEST, IDLE_SECONDS, BUSY = 400.0, 10.0, 0.02  # it may take longer while it works, or would if it had a processor
# What Python announces before it changes files; "open" only where it is for writing.
WRITING = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link",
           "shutil.rmtree",
           "tempfile.mkdtemp", "tempfile.mkstemp", "fcntl.flock"}  # fmt: skip


@dataclass(frozen=True)
class Surroundings:
    """Where a command runs. ``out``: "file", "closed", "full" (a full disk) or "gone" (a pipe that nobody reads)."""

    cwd: Path
    out: str = "file"
    encoding: str = "utf-8"
    gone: bool = False  # the working directory is removed


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Death:
    """When to kill: after ``seconds``; at operation number ``at``, before it is done where ``itself``, else ``delay``
    seconds after it was announced."""

    seconds: float | None = None
    at: int = 0
    itself: bool = False
    delay: float = 0.0

    @classmethod
    def drawn(cls, rng: np.random.Generator, usual_seconds: float, operations: float) -> Death:
        """One in five at any time, the others while files are written, at about that many ``operations``."""
        how = rng.random()
        if how < 0.2:
            return cls(seconds=float(rng.uniform(0, usual_seconds)))
        return cls(at=int(rng.geometric(1 / operations)), itself=bool(how < 0.6), delay=float(rng.exponential(0.002)))


def mfnet(arguments: Sequence[str], around: Surroundings, death: Death | None = None) -> Answer | None:
    """Run ``mfnet arguments``; None where it was killed.

    Raises:
        Fault: it hangs.
    """

    def call() -> int:
        from mfnet_agents.cli import main

        sys.argv = ["mfnet", *arguments]
        return main(list(arguments))

    return run(call, around, death)


def run(call: Callable[[], int], around: Surroundings, death: Death | None = None) -> Answer | None:
    """Run ``call()`` as a program in a process of its own; its value is the exit code. None: it was killed."""
    logs = around.cwd.parent / f".{around.cwd.name}.logs"
    logs.mkdir(exist_ok=True)
    out, err = logs / "out", logs / "err"
    there, here = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(there)
        _be_program(call, around, out, err, death, here)
    os.close(here)
    try:
        status = _ended(pid, death, there)
    finally:
        os.close(there)
    if os.WIFSIGNALED(status):
        if death is not None and os.WTERMSIG(status) == signal.SIGKILL:
            return None
        name = signal.Signals(os.WTERMSIG(status)).name
        if name == "SIGXCPU":
            raise Fault("hang", f"the command worked for more than {CPU_SECONDS} s")
        raise Fault("traceback", f"the command died by {name}: {_text(err)[-2000:]}", f"died by {name}")
    return Answer(os.WEXITSTATUS(status), _text(out), _text(err))


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""


def _ended(pid: int, death: Death | None, announced: int) -> int:
    """The status of the process, once it has ended or was ended."""
    began, killed, waited = time.monotonic(), False, True
    patience, busy = WALL_SECONDS, -math.inf
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        spent = time.monotonic() - began
        if death is not None and death.seconds is not None and spent > death.seconds and not killed:
            os.kill(pid, signal.SIGKILL)
            killed = True
        if spent > patience:
            before, busy = busy, busy_seconds(pid)
            if spent > LONGEST or busy - before < BUSY * IDLE_SECONDS:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise Fault("hang", f"the command did not end within {spent:.0f} s")
            patience = spent + IDLE_SECONDS
        if death is not None and waited and select.select([announced], [], [], 0.002)[0]:
            waited = False  # announced, or over
            if os.read(announced, 1):
                time.sleep(death.delay)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:
            time.sleep(0.002)


def busy_seconds(pid: int) -> float:
    """Seconds that a process and its children have worked, or waited for a processor that others had."""
    parents, spent = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            threads = [path.read_text().split() for path in place.glob("task/*/schedstat")]
            spent[int(place.name)] = sum(int(worked) + int(queued) for worked, queued, *_ in threads) / 1e9
    family, size = {pid}, 0
    while len(family) > size:
        size = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    return sum(spent.get(member, 0.0) for member in family)


def _be_program(
    call: Callable[[], int], around: Surroundings, out: Path, err: Path, death: Death | None, announce: int
) -> None:
    """Never returns."""
    # The server of processes of whoever forked us is no child of ours: one of our own is made where it is asked for.
    server: Any = forkserver._forkserver
    server._forkserver_pid = server._forkserver_address = server._forkserver_alive_fd = None
    code = 70
    try:
        for number in (signal.SIGALRM, signal.SIGPROF):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        resource.setrlimit(resource.RLIMIT_CPU, (_seconds_used() + CPU_SECONDS, resource.RLIM_INFINITY))
        _take_streams(around, out, err)
        os.chdir(around.cwd)
        process.ORIGINAL_DIR = os.getcwd()  # where processes of its own begin
        if around.gone:
            os.rmdir(around.cwd)
        if death is not None and death.at:
            _die_at(death, announce)
        code = _exit_code(call)
    finally:
        os._exit(code)


def _seconds_used() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1


def _exit_code(call: Callable[[], int]) -> int:
    """As the interpreter would have it."""
    try:
        code = call()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:
        with contextlib.suppress(Exception):
            print(f"Exception ignored on flushing sys.stdout: {error!r}", file=sys.stderr)
        code = 120
    with contextlib.suppress(Exception):
        sys.stderr.flush()
    return int(code)


def _take_streams(around: Surroundings, out: Path, err: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    log = os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 2)
    sys.stderr = open(2, "w", encoding=around.encoding, errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    if around.out == "closed":
        os.close(1)
        sys.stdout = None
        return
    if around.out == "full":
        end = os.open("/dev/full", os.O_WRONLY)
    elif around.out == "gone":
        reader, end = os.pipe()
        os.close(reader)
    else:
        end = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(end, 1)
    sys.stdout = open(1, "w", encoding=around.encoding, errors="strict", closefd=False)  # noqa: SIM115


def _die_at(death: Death, announce: int) -> None:
    left = death.at

    def hook(event: str, values: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in WRITING or left <= 0:
            return
        if event == "open" and not (isinstance(values[2], int) and values[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        left -= 1
        if left == 0:
            if death.itself:
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(announce, b"x")

    sys.addaudithook(hook)
