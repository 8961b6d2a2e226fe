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
    """Wrong arguments in one sentence, with what may have been meant and the command that explains them."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, left = super().parse_known_args(args, namespace)
        if left:  # here, where the verb's own options are known, and not at the top, which has none
            from mfnet_envs.words import did_you_mean

            near = did_you_mean(left[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(left)}{near.rstrip('.')}")
        return known, left

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from mfnet_envs.words import did_you_mean, shown

            known = [str(choice) for choice in action.choices]
            said = f"invalid choice: {shown(value)}{did_you_mean(value, known)} Known: {', '.join(known)}"
            raise argparse.ArgumentError(action, said)

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


def named(text: str) -> str:
    """An environment's id; ``instance:NAME`` is short for where instances are."""
    kind, _, name = text.partition(":")
    return f"mfnet_envs.instances:{name}" if kind == "instance" and name else text


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
    parser.add_argument("id", metavar="ID", type=named, help=text)
    add_pairs(parser, "--env", "KEY=VALUE", "options of the environment (`mfnet env show ID`)")


def add_pairs(parser: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    parser.add_argument(name, nargs="+", action=Pairs, type=pair, default=[], metavar=metavar, help=text)


class Pairs(argparse.Action):
    """Collects KEY=VALUE; a key that is given two values is refused, where the last one would win in silence."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        pairs = [*getattr(namespace, self.dest), *values]
        first: dict[str, Any] = {}
        for key, value in pairs:
            if (known := first.setdefault(key, value)) != value:
                from mfnet_envs.words import shown

                raise argparse.ArgumentError(self, f"{key} is {shown(known)} and {shown(value)}: give it once")
        setattr(namespace, self.dest, pairs)


def with_flags(pairs: list[tuple[str, Any]], option: str, **flags: Any) -> dict[str, Any]:
    """KEY=VALUE of ``option``, and those keys that have a flag of their own and were given by it.

    Raises:
        UsageError: both say something, and not the same.
    """
    from mfnet_envs.words import shown

    chosen = dict(pairs)
    for key, value in flags.items():
        if value is not None and chosen.setdefault(key, value) != value:
            flag = {"total_env_steps": "steps"}.get(key, key)
            raise UsageError(f"{option} {key}={shown(chosen[key])} and --{flag} {value} say two things: leave one out")
    return chosen


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
        said = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        raise UsageError(f"{said}{_where(error)}") from error


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
