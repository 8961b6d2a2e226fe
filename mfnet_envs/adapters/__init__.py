"""One door per third-party library: ``mfnet_envs.adapters.sb3``, ``.rllib``, ``.torchrl``, ...

Each module imports its library, so nothing else in mfnet imports it; docs/interop.md shows a block to copy for each.
"""

from __future__ import annotations

from mfnet_envs import words


def missing(error: ModuleNotFoundError, extra: str) -> ModuleNotFoundError:
    """What to raise when an adapter's library is not there: which module, and how to get it."""
    return words.missing(str(error.name), extra, "this adapter")
