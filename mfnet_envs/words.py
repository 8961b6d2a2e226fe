"""The sentences that refuse an argument: each names it, says what it must be and what it is."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import json
import math
import os
import re
import shlex
import types
import typing
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

import numpy as np

COUNTABLE = 2**53  # double-precision numbers, as the shares n / N are, count agents one by one up to here
HUGE = 1e100  # no price, rate or time is larger
LONGEST_SENTENCE = 480  # letters; longer ones are cut, whatever was echoed in them


class NotSolvedError(RuntimeError):
    """A solver stopped before its answer was good enough; the message says how near it came."""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: ``; did you mean 'x'?`` or a full stop."""
    said = (word if isinstance(word, str) else shown(word)).lstrip("-")[:80]

    def likeness(name: str) -> float:
        """Who mistypes the beginning or the end of a long name means it, the shorter the likelier."""
        bare = name.lstrip("-")  # the dashes of an option are no likeness
        parts = (bare[: len(said)], bare[-len(said) :]) if 3 < len(said) < len(bare) else ()
        part = max((difflib.SequenceMatcher(None, said, each).ratio() for each in parts), default=0.0)
        return max(
            difflib.SequenceMatcher(None, said, bare).ratio(), part * (0.7 + 0.3 * len(said) / len(bare or said))
        )

    near = max(known, key=lambda name: (likeness(name), name), default="")
    return f"; did you mean {near!r}?" if near and likeness(near) >= 0.6 else "."


def is_whole(value: Any, lowest: int = 0) -> bool:
    """Whether ``value`` is an integer of at least ``lowest``; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= lowest


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number that a double can hold; True and False are none."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(float(value))
    except OverflowError:
        return False


def shown(value: Any) -> str:
    """``value`` as a sentence shows it: on one line, and no longer than a line."""
    try:
        return brief(repr(value), 80)
    except Exception:  # somebody's __repr__, or an integer of more digits than Python prints
        return f"something of type {type(value).__name__}"


def brief(text: object, longest: int = 200) -> str:
    """What a parser says, a path, or a whole sentence as one line of at most ``longest`` letters. First a word without
    a space that is long loses its middle, so that of a path its beginning and its end stay."""
    line = re.sub(r"\S{200,}", lambda word: f"{word[0][:90]}...{word[0][-90:]}", " ".join(str(text).split()))
    return line if len(line) <= longest else f"{line[: longest - 4]} ..."


def fits(what: str, *shape: int, itemsize: int = 8) -> None:
    """Refuse, before anything is allocated, an array that this machine's memory cannot hold.

    Args:
        what: what is that large, with its numbers, in the plural: it begins the sentence.
        itemsize: bytes of an entry; more than 8 where several arrays of this shape are needed at once.

    Raises:
        ValueError: with what is needed and what there is.
    """
    needed, there = math.prod(map(int, shape)) * itemsize, memory()
    if needed > there:
        many = f"{-(-needed // 10**9):,}" if needed < 10**18 else "more than a billion"
        raise ValueError(f"{what} need {many} GB, and this machine has {there // 10**9:,} GB: ask for less")


def memory() -> int:
    """Bytes of this machine's memory, or what is left of this process's limit (``ulimit -v``) if that is less; 64 GB
    where nothing is said."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        there = page * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 64 * 10**9
    return min(there, _left_of_limit(page, there))


def _left_of_limit(page: int, unlimited: int) -> int:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return unlimited
        with open("/proc/self/statm") as file:
            return max(0, limit - page * int(file.read().split()[0]))
    except (ImportError, AttributeError, OSError, ValueError):
        return unlimited


def whole(name: str, value: Any, lowest: int = 1) -> int:
    """``value`` as an int of at least ``lowest``.

    Raises:
        ValueError: it is none.
    """
    if is_whole(value, lowest):
        return int(value)
    wanted = {0: "a non-negative integer", 1: "a positive integer"}.get(lowest, f"an integer of at least {lowest}")
    raise ValueError(f"{name} must be {wanted}, not {shown(value)}")


def positive(**numbers: Any) -> None:
    """Refuse what is not a finite number > 0, and what is too large to compute with."""
    for name, value in numbers.items():
        if not (is_number(value) and value > 0):
            raise ValueError(f"{name} must be a positive number, not {shown(value)}")
        if float(value) < 1 / HUGE:
            raise ValueError(f"{name} must be at least {1 / HUGE:g}, so that it can be divided by, not {shown(value)}")
        _not_huge(name, value)


def non_negative(**numbers: Any) -> None:
    """Refuse what is not a finite number >= 0, and what is too large to compute with."""
    for name, value in numbers.items():
        if not (is_number(value) and value >= 0):
            raise ValueError(f"{name} must be a non-negative number, not {shown(value)}")
        _not_huge(name, value)


def _not_huge(name: str, value: Any) -> None:
    """Sums and products of such numbers stay finite."""
    if float(value) > HUGE:
        raise ValueError(f"{name} must be at most {HUGE:g}, so that sums of it stay finite, not {shown(value)}")


def share(**numbers: Any) -> None:
    """Refuse what is not a number in [0, 1]."""
    for name, value in numbers.items():
        if not (is_number(value) and 0 <= value <= 1):
            raise ValueError(f"{name} must lie between 0 and 1, not {shown(value)}")


def one_of(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse what is not among the choices."""
    if not (isinstance(value, str) and value in choices):
        near = did_you_mean(value, choices)
        meant = near if near != "." else ""
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {shown(value)}{meant}")


def checked_path(path: Any) -> Path:
    """What is given for the name of a file or folder.

    Raises:
        TypeError: it is no string and no path. ValueError: no file can be called so.
    """
    if not (isinstance(path, str | os.PathLike) and isinstance(name := os.fspath(path), str)):
        raise TypeError(f"a path is a string or a pathlib.Path, not {shown(path)}")
    if "\0" in name:
        raise ValueError(f"a path holds no null character, as this one does: {shown(name)}")
    return Path(name)


def checked_population(population: Any) -> int:
    """The population as an int; the one place that says what a population is."""
    if not is_whole(population, 1):
        raise ValueError(f"population must be a positive integer (the number of agents N), not {shown(population)}")
    if population > COUNTABLE:
        raise ValueError(
            f"population must be at most 2**53 = {COUNTABLE:,}, beyond which shares n / N in double precision do not "
            f"tell one agent more from one less, not {shown(population)}"
        )
    return int(population)


# -- what a signature says of its own arguments: one door for a whole scenario or view


def checked_options(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` of the kinds that ``function``'s annotations name: numbers plain and finite, words known.

    What an annotation leaves open (arrays, graphs, ``Any``), and the range of a number, the function checks itself.

    Raises:
        ValueError: names the option.
    """
    hints, plain = _hints(function), dict(options)
    says_more = str(getattr(function, "__module__", "")).startswith("mfnet_envs.")  # of a number: its range
    for name, value in options.items():
        kinds = (hints.get(name), *typing.get_args(hints.get(name)))
        is_plain = type(value) in (int, float) and (int in kinds or float in kinds)
        if name in hints and not (says_more and is_plain):
            plain[name] = of_kind(name, value, hints[name])
    return plain


class Checked(ABCMeta):
    """Of a class whose options pass :func:`checked_options` by its ``__init__``, however it is built."""

    @property
    def __signature__(cls) -> inspect.Signature:
        own = inspect.signature(cls.__init__)  # type: ignore[misc]
        return own.replace(parameters=[*own.parameters.values()][1:])

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        try:
            given = cls.__signature__.bind_partial(*arguments).arguments
        except TypeError:
            given = {}  # __init__ says what is wrong
        checked_options(cls, given)
        return super().__call__(*arguments, **checked_options(cls, options))


def of_kind(name: str, value: Any, hint: Any) -> Any:
    """``value``, if it is of the kind that an annotation names; numbers of libraries as Python's own.

    Raises:
        ValueError: it is of another.
    """
    if name == "population" and hint is int:
        return checked_population(value)
    if name == "gamma" and hint is float:
        return value  # LocalModel has a sentence of its own
    if typing.get_origin(hint) is Literal and all(isinstance(word, str) for word in typing.get_args(hint)):
        one_of(name, value, typing.get_args(hint))
    kinds = _kinds(hint)
    if kinds is None:
        return value
    if not any(holds(value) for _, holds in kinds):
        words = [word for part in typing.get_args(hint) for word in typing.get_args(part)]  # of "Literal[...] | None"
        if (
            words
            and isinstance(value, str)
            and len(words) == len(kinds) - 1
            and all(isinstance(word, str) for word in words)
        ):
            one_of(name, value, words)
        raise ValueError(f"{name} must be {' or '.join(wanted for wanted, _ in kinds)}, not {shown(value)}")
    return _plain(value, [wanted for wanted, _ in kinds])


def _plain(value: Any, wanted: list[str]) -> Any:
    """Numbers of libraries, fractions and integers of many digits as Python's own."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral) and "an integer" in wanted:
        return int(value)
    return float(value) if isinstance(value, Real) and "a finite number" in wanted else value


@functools.lru_cache(maxsize=256)
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, or of a class's ``__init__`` and, through ``**options``, of those above it."""
    called = [function]
    if isinstance(function, type):
        called = [vars(base)["__init__"] for base in function.__mro__ if "__init__" in vars(base)]
    hints: dict[str, Any] = {}
    for each in called:
        hints = _resolved(each) | hints
        try:
            passes_on = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(each).parameters.values())
        except (TypeError, ValueError):  # something of C
            break
        if not passes_on:
            break
    return hints


def _resolved(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations that mean something when the programme runs; others are a type checker's alone."""
    found: dict[str, Any] = {}
    known = getattr(inspect.unwrap(function), "__globals__", {})
    for name, note in getattr(function, "__annotations__", {}).items():
        try:
            found |= typing.get_type_hints(types.SimpleNamespace(__annotations__={name: note}), known)
        except Exception:  # whatever a name or a subscript raises
            continue
    return found


_Kinds = list[tuple[str, Callable[[Any], bool]]]
_PLAIN: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ("True or False", lambda value: isinstance(value, bool | np.bool_)),
    int: ("an integer", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    float: ("a finite number", is_number),
    str: ("a string", lambda value: isinstance(value, str)),
    type(None): ("None", lambda value: value is None),
    os.PathLike: ("a path", lambda value: isinstance(value, os.PathLike)),
}


def _kinds(hint: Any) -> _Kinds | None:
    """What a value may be by its annotation, in words and as a test; None where that is left open."""
    if hint in _PLAIN:
        return [_PLAIN[hint]]
    if isinstance(hint, type) and hint.__module__.startswith("mfnet_envs.") and not inspect.isabstract(hint):
        return [(f"a {hint.__name__}", lambda value: isinstance(value, hint))]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is os.PathLike:
        return [_PLAIN[os.PathLike]]
    if origin is Literal:
        return [(repr(word), functools.partial(_is_word, word)) for word in parts]
    if origin in (typing.Union, types.UnionType):
        kinds = [_kinds(part) for part in parts]
        return None if None in kinds else [kind for some in kinds if some for kind in some]
    return None


def _is_word(word: Any, value: Any) -> bool:
    return isinstance(value, type(word)) and value == word


def typed(text: str) -> Any:
    """A value as it is typed: JSON, a Python word (True, None), a fraction (1/60), else the text itself.

    Raises:
        ZeroDivisionError: a fraction divides by zero.

    >>> typed("1/4"), typed("[1, 2]"), typed("None"), typed("costate")
    (0.25, [1, 2], None, 'costate')
    """
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    if re.fullmatch(r"-?\d+(\.\d+)?/\d+(\.\d+)?", text):
        above, _, below = text.partition("/")
        return float(above) / float(below)
    try:
        return json.loads(text)
    except (RecursionError, ValueError):
        return text


def missing(package: str, extra: str, what: str = "this") -> ModuleNotFoundError:
    """What to raise where an optional package is not there: what needs it, and the command that installs it."""
    return ModuleNotFoundError(f"{what} needs {package}: {pip_command(extra)}", name=package)


def pip_command(extra: str) -> str:
    """The command that adds an extra to this installation: from its checkout or file, where it is not from an index."""
    return f"pip install {shlex.quote(f'{_source()}[{extra}]')}"


def _source() -> str:
    """What pip was given, as far as it is still there: the checkout that is run, a folder or a file; else the name."""
    from importlib import metadata  # with the mail parser: only when something is missing
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    checkout = Path(__file__).parents[1]
    if (checkout / "setup.cfg").is_file() and (checkout / "mfnet_agents").is_dir():
        return str(checkout)
    try:
        said = metadata.distribution("mfnet").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return "mfnet"
    url = urlsplit(json.loads(said)["url"] if said else "")
    path = Path(url2pathname(url.path))
    return str(path) if url.scheme == "file" and path.exists() else "mfnet"


def optional_package(name: str, extra: str, what: str = "this") -> Any:
    """An imported optional package.

    Raises:
        ModuleNotFoundError: as :func:`missing` says.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise missing(name, extra, what) from error
