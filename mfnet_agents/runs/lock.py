"""One run owns its folder: a file that its process keeps locked. The system lets go of it however the process ends."""

from __future__ import annotations

import os
import platform
import time
import warnings
from pathlib import Path
from typing import TextIO

from mfnet_envs import locks

LOCK = ".mfnet-run.lock"


class InUseError(Exception):
    """Somebody holds the lock; the message says who and since when."""


def acquire(folder: Path) -> TextIO:
    """Lock a folder, until the file that is returned is closed.

    Where the system or the file system has no such locks, a warning says that nobody watches over the folder.

    Raises:
        InUseError: another run, of this process or of another, holds it. OSError: the folder cannot be written to.
    """
    path = folder / LOCK
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            locks.take(file.fileno())
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            file.close()
            raise InUseError(holder) from None
        except OSError:
            warnings.warn(f"no lock can be taken on {folder} here: let one run at a time use it", stacklevel=3)
        if _is(file, path):
            break
        file.close()  # its holder removed it in this very moment
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    file.flush()
    return file


def release(folder: Path, file: TextIO, owner: int) -> None:
    """Remove the lock's file, then let go of it; a fork of the process ``owner`` only closes its copy."""
    if os.getpid() == owner:
        (folder / LOCK).unlink(missing_ok=True)
    file.close()


def _is(file: TextIO, path: Path) -> bool:
    """Whether the open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
