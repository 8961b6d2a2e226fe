"""What the verbs share: kinds of arguments, the sentences that refuse them, JSON."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

MOST_WORLDS = 1_000_000
ENVIRONMENT = "environment (`mfnet env list`), or your own: module:callable or file.py:callable"


class UsageError(Exception):
    """A wrong argument, said in one sentence."""


class Parser(argparse.ArgumentParser):
    """Wrong arguments in one sentence, with the command that explains them."""

    def error(self, message: str) -> NoReturn:
        from mfnet_envs import words

        message = words.brief(message, words.LONGEST_SENTENCE - 100)
        self.exit(2, f"mfnet: {message}; `{self.prog} --help` lists what can be given\n")


# -- kinds


def whole(text: str) -> int:
    if not (text.isdecimal() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a non-negative integer of less than 20 digits")
    return int(text)


def positive(text: str) -> int:
    if whole(text) < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return int(text)


def worlds(text: str) -> int:
    """Worlds of an evaluation: refused before anything is trained, and not after, where they fit no memory."""
    if positive(text) > MOST_WORLDS:
        raise argparse.ArgumentTypeError(f"it must be at most {MOST_WORLDS:,}, which are held in memory side by side")
    return int(text)


def pair(text: str) -> tuple[str, Any]:
    """``key=value``; the value is read as JSON, a Python word (True, None) or a fraction (1/60), else as a string."""
    key, sign, value = text.partition("=")
    if not (sign and key):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    from mfnet_envs.words import typed

    try:
        return key, typed(value)
    except ZeroDivisionError:
        raise argparse.ArgumentTypeError(f"{text!r} divides by zero") from None


# -- arguments that several verbs take


def add_environment(parser: argparse.ArgumentParser, text: str = ENVIRONMENT) -> None:
    parser.add_argument("id", metavar="ID", help=text)
    add_pairs(parser, "--env", "KEY=VALUE", "options of the environment (`mfnet env show ID`)")


def add_pairs(parser: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    parser.add_argument(name, nargs="+", action="extend", type=pair, default=[], metavar=metavar, help=text)


def add_environment_of_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--environment", metavar="ID",
        help="their environment, where it is a function of yours that does not say it returns a LocalModel: a file may "
        "not name such a one, you may",
    )  # fmt: skip


def vouch(options: argparse.Namespace) -> None:
    """What is typed may be run."""
    if options.environment is not None:
        from mfnet_agents import recorded

        recorded.vouch(options.environment)


def add_json(parser: argparse.ArgumentParser, text: str = "one JSON object, for machines") -> None:
    parser.add_argument("--json", action="store_true", help=text)


# -- calling


def answer(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function; what it says about wrong arguments is for the user.

    Raises:
        UsageError: in place of TypeError, ValueError, OSError, OverflowError and ModuleNotFoundError.
    """
    try:
        return function(*arguments, **options)
    except (TypeError, ValueError, OSError, OverflowError, ModuleNotFoundError) as error:
        raise UsageError(f"{error}{_where(error)}") from error


def _where(error: BaseException) -> str:
    """The line of the user's own file that raised, where it was one."""
    ours = [str(Path(__file__).parents[2] / package) for package in ("mfnet_envs", "mfnet_agents", "mfnet_theory")]
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.filename.startswith((sys.prefix, sys.base_prefix, "<", *ours)):
        return ""
    return f" ({Path(last.filename).name}, line {last.lineno})"


def needs(package: str, extra: str) -> None:
    """Refuse to go on without a package of an extra."""
    if find_spec(package) is None:
        from mfnet_envs import words

        raise UsageError(str(words.missing(package, extra)))


def print_json(record: Any) -> None:
    """One line of JSON."""
    from mfnet_agents.progress import write_json

    write_json(record)
