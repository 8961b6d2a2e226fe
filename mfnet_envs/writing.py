"""Files that appear whole or not at all, and of which killed writers leave nothing for long."""

from __future__ import annotations

import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mfnet_envs import locks


@contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write into, which stands under ``path`` when the block ends without an error.

    It is written as ``.NAME.XXXXXXXX.part`` beside it, locked as long as its writer lives, where the system has such
    locks: who next writes ``path`` removes those that nobody holds. A pipe or a device is written to as it is.

    Raises:
        OSError: it cannot be written; names ``path``.
    """
    target = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        _sweep(target)
        with _draft(target) as draft:
            with draft.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, target)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A new file beside ``target``, locked until the block ends; it is gone then."""
    while True:
        draft, handle = _created(target)
        if not locks.EXIST:
            break
        locks.taken(handle, wait=True)
        if draft.exists():
            break
        os.close(handle)  # somebody who came upon it before it was locked has removed it
    try:
        if not locks.EXIST:
            os.close(handle)  # an open file cannot be renamed there
        yield draft
    finally:
        if locks.EXIST:
            os.close(handle)
        draft.unlink(missing_ok=True)


def _created(target: Path) -> tuple[Path, int]:
    draft = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}.part")
    return draft, os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)


def _sweep(target: Path) -> None:
    """Remove the drafts of ``target`` that no living writer holds; none where there are no locks to tell by."""
    for left in target.parent.glob(f"{glob.escape(_prefix(target))}????????.part"):
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if locks.taken(handle):
                    left.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _prefix(target: Path) -> str:
    return f".{target.name[:100]}."
