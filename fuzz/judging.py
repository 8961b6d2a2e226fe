"""What is a fault: a traceback, a hang, or a wrong number in silence.

A door may answer, or refuse with one sentence in an exception of its own. Everything else is a :class:`Fault`:

* *traceback*: an exception that is not the documented one, that some library or the interpreter worded (no ``raise``
  of ours stands behind it), or whose message is no single line of at most 500 characters; memory without bound;
* *hang*: no answer within the time of a case;
* *silent*: an answer that differs from what the input says, without a note or a warning;
* *lost*, *left*: of a killed process, something that cannot be taken up again, or a draft that stays.
"""

from __future__ import annotations

import linecache
import os
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import gymnasium
import pettingzoo

import mfnet_envs

T = TypeVar("T")
ROOT = Path(mfnet_envs.__file__).resolve().parents[1]
PACKAGES = tuple(f"{ROOT / package}{os.sep}" for package in ("mfnet_envs", "mfnet_agents", "mfnet_theory"))
LIBRARIES = tuple(os.path.dirname(module.__file__ or "") for module in (gymnasium, pettingzoo))
LONGEST = 500
OS_ERRORS: tuple[type[OSError], ...] = (
    OSError,
    FileNotFoundError,
    IsADirectoryError,
    PermissionError,
    NotADirectoryError,
)
KINDS = ("traceback", "hang", "silent", "lost", "left")


class Fault(Exception):
    """One of ``KINDS``; ``cause`` groups those that are likely the same fault."""

    def __init__(self, kind: str, what: str, cause: str = "") -> None:
        super().__init__(what)
        self.kind, self.what, self.cause = kind, what, cause or what[:100]
        self.more: Counter[str] = Counter()  # what was counted until then

    def __reduce__(self) -> Any:
        return Fault, (self.kind, self.what, self.cause)


class Refused(Exception):
    """The door said no, as it should."""


class Hang(BaseException):
    """Time is up; no ``except Exception`` on the way may take this for an error of its own."""


def attempt(door: Callable[[], T], allowed: tuple[type[BaseException], ...] = (), names: str = "") -> T:
    """What ``door()`` answers.

    Args:
        allowed: exceptions that may be raised whoever worded them. ValueError and TypeError themselves, and every class
            of ours, are allowed where a ``raise`` of ours is behind them.
        names: what the sentence has to hold, such as the file's name.

    Raises:
        Refused: it refused properly. Fault: otherwise.
    """
    try:
        return door()
    except (Fault, Refused):
        raise
    except Exception as caught:
        error = _own(caught)
        where = place(error)
        if where == "?" and _file(error).startswith(LIBRARIES):
            raise Refused(f"by the library before it came to us: {error}") from error
        cause = f"{type(error).__name__} at {where}"
        if not (isinstance(error, allowed) or worded_by_us(error)):
            raise Fault("traceback", told(error), cause) from error
        sentence = (type(error) in OS_ERRORS and getattr(error, "strerror", None)) or str(error)  # names may be long
        if complaint := bad_sentence(sentence, names if sentence == str(error) else ""):
            raise Fault("traceback", f"{complaint}: {told(error)}", f"{cause}, {complaint}") from error
        raise Refused(f"{type(error).__name__}: {error}") from error


def bad_sentence(sentence: str, names: str = "") -> str:
    """What is wrong with a message for a user, or nothing."""
    if not sentence.strip():
        return "empty message"
    if len(sentence.strip().splitlines()) > 1:
        return "message of several lines"
    if len(sentence) > LONGEST:
        return f"message of more than {LONGEST} characters"
    if names and names not in sentence:
        return "message does not name the file"
    return ""


def worded_by_us(error: BaseException) -> bool:
    """Whether a ``raise`` of ours made this error, of a class that may come out of a public door."""
    kind = type(error)
    if kind.__module__.split(".")[0] in ("mfnet_envs", "mfnet_agents", "mfnet_theory"):
        return True
    if kind.__module__.startswith("gymnasium") and kind.__module__.endswith("error"):
        return True
    if kind not in (ValueError, TypeError, ModuleNotFoundError, FileNotFoundError):
        return False
    frame = innermost(error)
    file, line = frame.tb_frame.f_code.co_filename, frame.tb_lineno
    return file.startswith(PACKAGES) and linecache.getline(file, line).lstrip().startswith("raise")


def _own(error: Exception) -> Exception:
    """Gymnasium's ``make`` raises what an environment raised once more, with more words."""
    around = " was raised from the environment creator" in str(error)
    return error.__cause__ if around and isinstance(error.__cause__, Exception) else error


def _file(error: BaseException) -> str:
    return innermost(error).tb_frame.f_code.co_filename


def innermost(error: BaseException) -> TracebackType:
    frame = error.__traceback__
    assert frame is not None
    while frame.tb_next is not None:
        frame = frame.tb_next
    return frame


def place(error: BaseException) -> str:
    """The last line of ours that an error passed, ``file:line``."""
    for entry in reversed(traceback.extract_tb(error.__traceback__)):
        if entry.filename.startswith(PACKAGES):
            return f"{Path(entry.filename).relative_to(ROOT)}:{entry.lineno}"
    return "?"


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-3000:]


@contextmanager
def heard() -> Iterator[list[str]]:
    """What is said by warnings meanwhile. A numpy warning is no sentence: it stands as ``numpy: ...``."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        finally:
            for warning in caught:
                ours = warning.category in (UserWarning, RuntimeWarning) and worded(str(warning.message))
                if ours:
                    said.append(str(warning.message))
                elif warning.category is RuntimeWarning:
                    said.append(f"numpy: {warning.message}")


def worded(message: str) -> bool:
    """Whether a warning is a sentence for a user, not numpy's "overflow encountered in multiply"."""
    return "encountered in" not in message
