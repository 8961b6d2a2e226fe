"""What can be given to a scenario or a view: name, kind, default and meaning, read from signatures and docstrings.

The meaning stands where it is written, in the ``Args`` of the docstring; tables of options (``mfnet env show``, the
reference) are made from it, so there is one text.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

ENTRY = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)")
HEADING = re.compile(r"[A-Z]\w*:")


class Option(NamedTuple):
    """One row of a table of options.

    Attributes:
        kind: the annotation, with the words of a Literal written out; "" where there is none.
        default: as Python writes it; None where the option must be given.
        meaning: of the docstring, on one line; "" where nothing is said.
    """

    name: str
    kind: str
    default: str | None
    meaning: str


def options_of(function: Callable[..., Any]) -> list[Option]:
    """The options of a function, or of a class's ``__init__``, in their order.

    >>> def visit(city: str, days: int = 3) -> None:
    ...     '''Go there.
    ...
    ...     Args:
    ...         city: where to.
    ...         days: how long.
    ...     '''
    >>> options_of(visit)[1]
    Option(name='days', kind='int', default='3', meaning='how long.')
    """
    meanings = meanings_of(function)
    parameters = inspect.signature(function).parameters.values()
    return [
        Option(p.name, _kind(function, p.annotation), _default(p), meanings.get(p.name, ""))
        for p in parameters
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def meanings_of(function: Callable[..., Any]) -> dict[str, str]:
    """Every name under ``Args`` with what is said of it; of a class in its own docstring, its ``__init__``'s and those
    above."""
    if not isinstance(function, type):
        return dict(_entries(inspect.getdoc(function) or ""))
    found: dict[str, str] = {}
    for base in function.__mro__:
        for text in (base.__doc__, getattr(vars(base).get("__init__"), "__doc__", None)):
            found = dict(_entries(inspect.cleandoc(text or ""))) | found
    return found


def _entries(docstring: str) -> Iterator[tuple[str, str]]:
    """(name, meaning) of the section ``Args``; names that share an entry, ``rows, cols: ..``, share the meaning."""
    _, _, section = f"\n{docstring}\n".partition("\nArgs:\n")
    entries: list[str] = []
    for line in section.splitlines():
        if HEADING.fullmatch(line):
            break
        if line.startswith("    ") and not line.startswith("     "):
            entries.append(line.strip())
        elif entries and line.strip():
            entries[-1] += f" {line.strip()}"
    for entry in entries:
        if match := ENTRY.fullmatch(entry):
            yield from ((name.strip(" *"), match[2]) for name in match[1].split(","))


def _default(parameter: inspect.Parameter) -> str | None:
    return (
        None if parameter.default is parameter.empty else repr(getattr(parameter.default, "value", parameter.default))
    )


def _kind(function: Callable[..., Any], annotation: Any) -> str:
    """An annotation as a reader writes it."""
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    known: dict[str, Any] = {}
    for base in reversed(function.__mro__) if isinstance(function, type) else [inspect.unwrap(function)]:
        made_by = vars(base).get("__init__", base) if isinstance(base, type) else base
        known |= getattr(made_by, "__globals__", {})

    def written(word: re.Match[str]) -> str:
        alias = known.get(word[0])
        return " | ".join(map(repr, typing.get_args(alias))) if typing.get_origin(alias) is typing.Literal else word[0]

    text = re.sub(
        r"Literal\[(.*?)\]", lambda words: words[1].replace(", ", " | "), re.sub(r"\b[A-Z]\w+\b", written, text)
    )
    return text.replace("os.PathLike[str]", "path").replace("nx.Graph[Any]", "networkx graph")
