"""The command line: parses, calls, prints. ``mfnet env ...`` works without torch.

A verb is a module of this package with ``HELP``, ``arguments(parser)`` and ``run(options) -> int``; :data:`VERBS` lists
them. Exit codes: 0 done; 1 a check found something; 2 a wrong argument or an unusable file, said in one sentence on the
error stream; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import mfnet_envs
from mfnet_agents.cli.arguments import Parser, UsageError

VERBS = (
    "train", "evaluate", "report", "demo", "verify",
    "env list", "env show", "env render", "env check", "env bench",
)  # fmt: skip
GROUPS = {"env": "list, show, render, check and time environments (needs no torch)"}

EPILOG = """examples:
  mfnet env list
  mfnet env show MFNet-Grid-v0
  mfnet train MFNet-Grid-v0 --population 100 --seed 0
  mfnet train MFNet-RideShareNYC-v0 --env hour=8 --set credit_hops=6
  mfnet train city.py:City
  mfnet evaluate runs/MFNet-Grid-v0-DecNeuralAC-seed0
  mfnet report runs/MFNet-Grid-v0-DecNeuralAC-seed0
  mfnet verify --quick

Where an environment is asked for, ID is one of `mfnet env list`, or says where your own is: module:callable or
file.py:callable, a LocalModel's class or a function that returns one.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _note
            code: int = options.run(options)
            return code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _close_pipe()
        return 1
    except expected_errors() as error:
        return fail(str(error))


def parser() -> argparse.ArgumentParser:
    """Every verb with its arguments."""
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
        module = importlib.import_module(f"{__name__}.{verb.replace(' ', '_')}")
        text = f"{module.HELP[0].upper()}{module.HELP[1:]}."
        command = groups[group].add_parser(name, help=module.HELP, description=text)
        command.set_defaults(run=module.run)
        module.arguments(command)
    return top


def expected_errors() -> tuple[type[Exception], ...]:
    """What a user can cause: they end the command with one sentence instead of a traceback."""
    from gymnasium.error import Error

    from mfnet_agents.checkpoint import CheckpointError
    from mfnet_agents.runs import RunError
    from mfnet_envs.targets import TargetError

    # OSError: a full disk, a file that may not be written
    return Error, CheckpointError, RunError, TargetError, UsageError, OSError


def fail(sentence: str) -> int:
    """Print one sentence on the error stream; returns exit code 2."""
    print(f"mfnet: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one plain line."""
    print(f"mfnet: note: {message}", file=sys.stderr)


def _close_pipe() -> None:
    """Whoever read our output has gone; keep Python from complaining about it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
