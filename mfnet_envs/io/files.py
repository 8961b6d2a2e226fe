"""How readers open files: regular ones only, as text or XML fit to parse, and into no more memory than is sane.

Every public reader does its work inside :func:`reading`, so whatever its parsers raise over a file's content becomes
one :class:`NetworkFileError` with the file's name.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import NetworkFileError, Place
from mfnet_envs.words import brief

GIB = 2**30
LARGEST_TABLE = 2 * GIB  # bytes of a demand table, or of what an archive unpacks to
DEEPEST = 100  # elements within elements; every format here needs fewer than ten

# What parsers raise over content. TypeError and AttributeError are left out: they speak of faults in the code.
UNREADABLE = (ValueError, LookupError, ArithmeticError, RecursionError, EOFError, NotImplementedError)


@contextmanager
def reading(path: str | os.PathLike[str], what: str, *, folder: bool = False) -> Iterator[Place]:
    """The place of ``path``, for a block that reads it as ``what``; arguments are checked before the block.

    Raises:
        FileNotFoundError: there is no such file. NetworkFileError: it is not a file (or no folder), or anything that
            the block raises over its content.
    """
    place = Place(os.fspath(path))
    try:
        _check_kind(place, folder)
        yield place
    except (NetworkFileError, FileNotFoundError):
        raise
    except MemoryError:
        place.fail(f"there is not enough memory to read this as {what}")
    except OSError as error:
        place.fail(f"it cannot be opened ({error.strerror or error})")
    except UNREADABLE as error:
        place.fail(f"this is no {what}, or it is damaged ({type(error).__name__}: {brief(error)})")


def _check_kind(place: Place, folder: bool) -> None:
    """Opening a pipe waits for ever, and a device may never end."""
    if not os.path.exists(place.file):
        raise FileNotFoundError(f"there is no {place}")
    if not (os.path.isdir(place.file) if folder else os.path.isfile(place.file)):
        place.fail("this is no folder" if folder else "this is no regular file; name a file, not a folder or a device")


def bytes_of(place: Place) -> bytes:
    """The content of a regular file."""
    _check_kind(place, folder=False)
    return Path(place.file).read_bytes()


def text_of(place: Place, notes: Notes | None = None) -> str:
    """The text of a UTF-8 file, without its byte order mark.

    Args:
        notes: where it is said that a file that is not UTF-8 was read as Latin-1; None: that is an error.
    """
    raw = bytes_of(place)
    if (nul := raw.find(b"\0")) >= 0:
        _line_of(place, raw, nul).fail("there is a NUL byte, so this is no UTF-8 text; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        here = _line_of(place, raw, error.start)
        if notes is not None:
            notes.count("the file is not UTF-8 ({where}): read as Latin-1, which may change labels", here, loud=True)
            return raw.decode("latin-1")
        here.fail(f"byte {raw[error.start]:#04x} is no UTF-8; save the file as UTF-8")


def _line_of(place: Place, raw: bytes, at: int) -> Place:
    return place.line(raw.count(b"\n", 0, at) + 1)


def xml_of(place: Place, what: str) -> bytes:
    """The content of an XML file that is well-formed, declares no entities (they multiply) and is not nested deeply."""
    raw = bytes_of(place)
    parser, depth = expat.ParserCreate(), 0

    def refuse(sentence: str) -> NoReturn:
        place.line(parser.CurrentLineNumber).fail(f"this is no {what} ({sentence})")

    def deeper(*_: Any) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            refuse(f"elements are nested more than {DEEPEST} deep")

    def back(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = deeper, back
    parser.EntityDeclHandler = lambda *_: refuse("it declares entities, which are not read")
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        place.line(error.lineno).fail(f"this is no {what} ({error})")
    except NetworkFileError:
        raise
    except (LookupError, ValueError) as error:  # an encoding that is none, or is not of bytes
        place.line(1).fail(f"this is no {what} ({brief(error)})")
    return raw


def demand_table(place: Place, num_nodes: int, times: int = 1) -> Floats:
    """``(V, V)`` zeros, or ``(T, V, V)`` for several times.

    Raises:
        NetworkFileError: the table would take more than LARGEST_TABLE.
    """
    size = 8 * times * num_nodes**2
    if size > LARGEST_TABLE:
        several = f" at {times:,} times" if times > 1 else ""
        limit = f"{size / GIB:,.1f} GiB, over the limit of {LARGEST_TABLE / GIB:.0f}"
        place.fail(f"a table of trips between {num_nodes:,} nodes{several} takes {limit}; cut the network down")
    return np.zeros((num_nodes, num_nodes) if times == 1 else (times, num_nodes, num_nodes))


def arrays_of(place: Place) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file, no pickles, unless they unpack to more than LARGEST_TABLE."""
    _check_kind(place, folder=False)
    with zipfile.ZipFile(place.file) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST_TABLE:
        place.fail(f"it unpacks to {size / GIB:,.1f} GiB, over the limit of {LARGEST_TABLE / GIB:.0f}")
    with np.load(place.file, allow_pickle=False) as arrays:
        return dict(arrays)
