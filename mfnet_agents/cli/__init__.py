"""The command line: parses, calls, prints. ``mfnet env ...`` works without torch.

A verb is a module of this package with ``HELP``, ``arguments(parser)`` and ``run(options) -> int``; :data:`VERBS` lists
them. Exit codes: 0 done; 1 a check found something, training diverged, every job failed, or a fault of ours; 2 a wrong
argument or an unusable file, said in one sentence on the error stream; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

from mfnet_agents.cli.arguments import Parser, UsageError

VERBS = (
    "train", "solve", "evaluate", "compare", "tune", "what-if", "report", "watch", "export", "demo", "verify",
    "init", "doctor", "completion",
    "env list", "env instances", "env show", "env render", "env check", "env bench",
)  # fmt: skip
TRACEBACK = "MFNET_TRACEBACK"  # in the environment: say where an error was raised
GROUPS = {"env": "list, show, render, check and time environments (needs no torch)"}

EPILOG = """examples:
  mfnet env list
  mfnet env show MFNet-Grid-v0
  mfnet train MFNet-Grid-v0 --population 100 --seed 0
  mfnet train MFNet-RideShareNYC-v0 --env hour=8 --set credit_hops=6
  mfnet train city.py:City
  mfnet solve scenario_nyc_brooklyn.json --minutes 2
  mfnet evaluate runs/MFNet-Grid-v0-population-100-DecNeuralAC-seed0
  mfnet report runs/MFNet-Grid-v0-population-100-DecNeuralAC-seed0
  mfnet watch runs/MFNet-Grid-v0-population-100-DecNeuralAC-seed0
  mfnet export runs/MFNet-Grid-v0-population-100-DecNeuralAC-seed0 --out plain
  mfnet compare mfnet-smoke-v1 --contenders DecNeuralAC heuristics planner:replan
  mfnet verify --quick
  mfnet init scenario my-city
  mfnet doctor

Where an environment is asked for, ID is one of `mfnet env list`, or says where your own is: module:callable or
file.py:callable, a LocalModel's class or a function that returns one, or is instance:NAME of `mfnet env instances`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    _open_streams()
    try:
        options = parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = _notes()
            code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except SystemExit as done:
        return _printed(done)
    except BrokenPipeError:
        _close_pipe()
        return 1
    except Exception as error:
        return _told(error)


def _printed(done: SystemExit) -> int:
    """The exit code of a parser that has printed its help or its complaint, if that found a place to go to."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _close_pipe()
        return 1
    except OSError as error:
        return _told(error)
    raise done


def _told(error: Exception) -> int:
    """One sentence about what ended the command; the traceback too, where :data:`TRACEBACK` is set."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO):
        _close_pipe()  # what is still to be printed would fail once more
    if isinstance(error, MemoryError):
        return fail(f"there is not enough memory for this: {error}; ask for fewer worlds, or for less at a time")
    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        print("mfnet: the working directory is gone; change to another one", file=sys.stderr)
        return 2  # without it mfnet_envs cannot even be imported
    if isinstance(error, OSError) and error.strerror:
        return fail(f"{error.strerror}: {error.filename or 'the output'}")
    if isinstance(error, expected_errors()):
        return fail(str(error), code=1 if _was_run(error) else 2)
    said = f"this should not have happened: {type(error).__name__}: {error}"
    return fail(f"{said}; with {TRACEBACK}=1 in the environment it says where, please report that", code=1)


def _was_run(error: Exception) -> bool:
    """Whether nothing was wrong with what was asked for, and it failed."""
    from mfnet_agents.runs import AllFailed

    return isinstance(error, ArithmeticError | AllFailed)


def _has_working_directory() -> bool:
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def _open_streams() -> None:
    """Output that was closed goes nowhere, and a letter that an output cannot show becomes a question mark; neither is
    worth the work done. A descriptor that stays closed would be given to the next file that is opened."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115
        elif (
            number and getattr(stream, "errors", "") in ("strict", "surrogateescape") and hasattr(stream, "reconfigure")
        ):
            stream.reconfigure(errors="replace")


def parser() -> argparse.ArgumentParser:
    """Every verb with its arguments."""
    import mfnet_envs  # here, so that what it says in a broken installation becomes a sentence too

    top = Parser(
        prog="mfnet",
        description="Mean-field multi-agent reinforcement learning on a network of states.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"mfnet {mfnet_envs.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    groups = {"": commands}
    for verb in VERBS:
        group, _, name = verb.rpartition(" ")
        if group not in groups:
            made = commands.add_parser(group, help=GROUPS[group], description=f"Verbs that {GROUPS[group]}.")
            groups[group] = made.add_subparsers(metavar="VERB", required=True)
        module = importlib.import_module(f"{__name__}.{verb.replace(' ', '_').replace('-', '_')}")
        text = f"{module.HELP[0].upper()}{module.HELP[1:]}."
        command = groups[group].add_parser(name, help=module.HELP, description=text)
        command.set_defaults(run=module.run)
        module.arguments(command)
    return top


def expected_errors() -> tuple[type[Exception], ...]:
    """What a user can cause: they end the command with one sentence instead of a traceback."""
    from gymnasium.error import Error

    from mfnet_agents.algorithm import Diverged
    from mfnet_agents.checkpoint import CheckpointError
    from mfnet_agents.runs import RunError
    from mfnet_envs.targets import TargetError
    from mfnet_envs.words import NotSolvedError

    # OSError: a full disk, a file that may not be written
    return Error, CheckpointError, Diverged, RunError, TargetError, UsageError, NotSolvedError, OSError


def fail(sentence: str, *, code: int = 2) -> int:
    """Print one sentence on the error stream; returns the exit code."""
    from mfnet_envs.words import LONGEST_SENTENCE, brief

    print(f"mfnet: {brief(sentence, LONGEST_SENTENCE)}", file=sys.stderr)
    return code


def _notes() -> Callable[..., None]:
    """What prints a warning as one plain line; a command that reads a file twice says it once."""
    said = set()

    def note(message: Warning | str, *_: object, **__: object) -> None:
        if (text := str(message)) not in said:
            said.add(text)
            print(f"mfnet: note: {text}", file=sys.stderr)

    return note


def _close_pipe() -> None:
    """Whoever read our output has gone; keep Python from complaining about it when it exits."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor needs nothing
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
