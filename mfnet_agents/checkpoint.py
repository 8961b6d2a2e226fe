"""Checkpoints: a folder with readable JSON and plain arrays. Nothing in it can execute, nothing is ever half-written.

``algorithm.json``: format, class, config, counters, random generators. ``state.npz``: every array, read without pickle.
A checkpoint is written under a temporary name and then renamed; an earlier one of the same name is kept until the new
one stands.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
PARTS = {"class": str, "config": dict, "counters": dict, "state": dict}  # of the JSON record


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged, or of something else."""


def write(path: str | os.PathLike[str], record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> Path:
    """Write a checkpoint folder atomically; an earlier checkpoint of that name is replaced, nothing else is.

    Raises:
        CheckpointError: the folder's place cannot be written to, or holds something that is no checkpoint.
    """
    target = Path(path)
    if target.exists() and not ((target / "algorithm.json").is_file() or _is_empty_folder(target)):
        raise CheckpointError(f"{target} exists and is no checkpoint; choose a new folder, it would be replaced")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        draft.chmod(0o755)  # a checkpoint is for reading, a temporary folder is not
    except OSError as error:
        reason = f"cannot write a checkpoint in {target.parent}: {error.strerror}; choose another folder"
        raise CheckpointError(reason) from error
    try:
        text = json.dumps({"format": FORMAT, **record}, indent=1, sort_keys=True)
        (draft / "algorithm.json").write_text(text, "utf-8")
        with (draft / "state.npz").open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        _swap(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return target


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _swap(draft: Path, target: Path) -> None:
    """Put ``draft`` in the place of ``target``; between the two renames the old one stands under ``.previous``."""
    previous = _previous(target)
    if target.exists():
        if previous.exists():
            shutil.rmtree(previous)
        os.replace(target, previous)
    os.replace(draft, target)
    shutil.rmtree(previous, ignore_errors=True)


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether a checkpoint of this name was ever finished, whatever has become of it since."""
    return Path(path).exists() or _previous(Path(path)).exists()


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """The JSON record and the arrays of a checkpoint.

    Raises:
        CheckpointError: it is missing, truncated, or of another format.
    """
    target = Path(path)
    if not target.exists() and _previous(target).exists():
        target = _previous(target)  # an interrupted swap
    if not (target / "algorithm.json").is_file():
        raise CheckpointError(f"no checkpoint at {path}: the folder must hold algorithm.json and state.npz")
    try:
        record = json.loads((target / "algorithm.json").read_text("utf-8"))
        with (target / "state.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # whatever damage makes the parsers raise
        reason = f"the checkpoint at {path} is damaged ({type(error).__name__}); use an earlier one"
        raise CheckpointError(reason) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise CheckpointError(f"the checkpoint at {path} has another format; this version reads format {FORMAT}")
    if missing := [name for name, kind in PARTS.items() if not isinstance(record.get(name), kind)]:
        raise CheckpointError(f"the checkpoint at {path} is damaged (without {', '.join(missing)}); use an earlier one")
    return record, arrays


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """A generator's state as JSON (big integers included)."""
    state: dict[str, Any] = dict(rng.bit_generator.state)
    return state


def set_generator_state(rng: np.random.Generator, state: dict[str, Any]) -> None:
    rng.bit_generator.state = state
