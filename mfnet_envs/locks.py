"""Locks on open files and folders: advice that all writers here follow. The system lets go of them however one ends."""

from __future__ import annotations

try:
    import fcntl
except ModuleNotFoundError:  # a system without: every caller says what it then does not do
    fcntl = None  # type: ignore[assignment]

EXIST = fcntl is not None


def take(handle: int, *, shared: bool = False, wait: bool = False) -> None:
    """Lock what the descriptor is open on, until it is closed or the process ends.

    Raises:
        BlockingIOError: somebody else holds it. OSError: the system or the file system has no such locks.
    """
    if fcntl is None:
        raise OSError("this system has no locks")
    fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def taken(handle: int, *, shared: bool = False, wait: bool = False) -> bool:
    """:func:`take`, and whether it could be had."""
    try:
        take(handle, shared=shared, wait=wait)
    except OSError:
        return False
    return True
