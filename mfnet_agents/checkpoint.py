"""Checkpoints: a folder with readable JSON and plain arrays. Nothing in it can execute, nothing is ever half-written.

``algorithm.json``: format, class, config, counters, random generators, and a digest over all of it and of the arrays'
file. ``state.npz``: every array, read without pickle.

A checkpoint is written under a temporary name and then renamed; an earlier one of the same name is kept until the new
one stands. Writers share a lock on the folder around, where the system has such locks: who finds nobody writing there
removes what writers that were killed have left.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mfnet_envs import locks
from mfnet_envs.words import LONGEST_SENTENCE, brief, checked_path

FORMAT = 2  # 1 had no digest
RECORD, ARRAYS = "algorithm.json", "state.npz"
PARTS = {"class": str, "config": dict, "counters": dict, "state": dict}  # of the JSON record
LARGEST_RECORD = 2**28  # bytes; a graph of a million edges takes a tenth of it
Arrays = Mapping[str, np.ndarray[Any, Any]]


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged, or of something else; on one line, whatever it is called."""

    def __init__(self, sentence: str) -> None:
        super().__init__(brief(sentence, LONGEST_SENTENCE))


# -- writing


def write(path: str | os.PathLike[str], record: dict[str, Any], arrays: Arrays) -> Path:
    """Write a checkpoint folder atomically; an earlier checkpoint of that name is replaced, nothing else is.

    Raises:
        CheckpointError: the folder's place cannot be written to, or holds something that is no checkpoint.
    """
    target = _named(path)
    try:
        if target.exists() and not ((target / RECORD).is_file() or _is_empty_folder(target)):
            raise CheckpointError(f"{target} exists and is no checkpoint; choose a new folder, it would be replaced")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _writing_beside(target):
            _write(target, record, arrays)
    except OSError as error:
        reason = f"cannot write a checkpoint in {target.parent}: {error.strerror}; choose another folder"
        raise CheckpointError(reason) from error
    return target


def _named(path: Any) -> Path:
    """The path, which a checkpoint may have.

    Raises:
        TypeError: it is no path. CheckpointError: no folder can be called so.
    """
    try:
        return checked_path(path)
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def _write(target: Path, record: dict[str, Any], arrays: Arrays) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        draft.chmod(0o755)  # a checkpoint is for reading, a temporary folder is not
        with (draft / ARRAYS).open("w+b") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            _to_disk(file)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with (draft / RECORD).open("wb") as file:
            file.write(_signed(json.loads(json.dumps({**record, "format": FORMAT})), digest))
            _to_disk(file)
        sync_folder(draft)
        _swap(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _signed(record: dict[str, Any], arrays: str) -> bytes:
    """The text of the JSON file; its digest covers every byte of it and ``arrays``, the digest of the other file."""
    body = json.dumps(record, indent=1, sort_keys=True)
    digest = hashlib.sha256(f"{arrays}\n{body}".encode()).hexdigest()
    return json.dumps({**record, "digest": digest}, indent=1, sort_keys=True).encode()


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk too, where the system can: a rename is safe only then."""
    if not locks.EXIST:  # nor can a folder be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # a file system without
    finally:
        os.close(handle)


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
    sync_folder(target.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


# -- what killed writers leave


@contextmanager
def _writing_beside(target: Path) -> Iterator[None]:
    """Tidy up, unless somebody is writing in the folder around; then hold a share of its lock while writing."""
    tidy(target)
    with _locked(target.parent, exclusive=False):
        yield


def tidy(path: str | os.PathLike[str]) -> None:
    """Remove the drafts of a checkpoint whose writers were killed, and put one back that was killed between its two
    renames. Nothing happens while anybody writes in the folder around, or where the system has no locks."""
    target = Path(path)
    if not target.parent.is_dir():
        return
    with _locked(target.parent, exclusive=True) as is_alone:
        if not is_alone:
            return
        if not target.exists() and _previous(target).exists():
            os.replace(_previous(target), target)
        for left in target.parent.glob(f".{glob.escape(target.name)}.????????"):  # of tempfile's names, and .previous
            if left.is_dir() and {RECORD, ARRAYS} >= set(os.listdir(left)):
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(folder: Path, *, exclusive: bool) -> Iterator[bool]:
    """Lock a folder until the end of the block, or of the process. An exclusive lock is not waited for, a share for a
    second: nobody keeps the other one for longer than a few removals take.

    Yields:
        whether the lock is held; False too where the system or the file system has none.
    """
    if not locks.EXIST:
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        held = locks.taken(handle, shared=not exclusive)
        for _ in range(0 if held or exclusive else 100):
            time.sleep(0.01)
            if held := locks.taken(handle, shared=True):
                break
        yield held
    finally:
        os.close(handle)


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether a checkpoint of this name was ever finished, whatever has become of it since."""
    return Path(path).exists() or _previous(Path(path)).exists()


# -- reading


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """The JSON record and the arrays of a checkpoint, as they were written.

    One of format 1 has no digest, and is read with a warning.

    Raises:
        CheckpointError: it is missing, of another format, or any byte of it has changed.
    """
    named = _named(path)
    for _ in range(3):
        place, standing = _standing(named)
        try:
            return _read(place, path)
        except CheckpointError:
            if _standing(named) == (place, standing):
                raise  # else it was replaced by a newer one meanwhile
    return _read(_standing(named)[0], path)


def _standing(target: Path) -> tuple[Path, int]:
    """Where a checkpoint stands, under its other name if a swap was interrupted, and the number of that folder."""
    try:
        if not target.exists() and _previous(target).exists():
            target = _previous(target)
        return target, target.stat().st_ino
    except OSError:
        return target, 0


def _read(target: Path, path: object) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    try:
        found = (target / RECORD).is_file()
    except OSError as error:  # a name too long, a folder that is not ours
        raise CheckpointError(f"no checkpoint at {path}: {error.strerror}") from error
    if not found:
        raise CheckpointError(f"no checkpoint at {path}: the folder must hold {RECORD} and {ARRAYS}")
    try:
        with _open(target / RECORD) as file:
            if os.fstat(file.fileno()).st_size > LARGEST_RECORD:
                raise ValueError(f"{RECORD} is larger than {LARGEST_RECORD:,} bytes")
            text = file.read()
        record = json.loads(text)
        if not isinstance(record, dict) or record.get("format") not in (1, FORMAT):
            said = f"has another format; this version reads formats 1 and {FORMAT}"
            raise CheckpointError(f"the checkpoint at {path} {said}")
        with _open(target / ARRAYS) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not _is_as_written(record, text, digest):
                raise ValueError("its digest is another one")
            arrays = _arrays(file)
    except CheckpointError:
        raise
    except Exception as error:  # whatever damage makes the parsers raise
        why = "it changed since it was written" if (target / ARRAYS).exists() else f"there is no {ARRAYS}"
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise CheckpointError(f"the checkpoint at {path} is damaged: {why}; use an earlier one ({said})") from error
    if missing := [name for name, kind in PARTS.items() if not isinstance(record.get(name), kind)]:
        raise CheckpointError(f"the checkpoint at {path} is damaged (without {', '.join(missing)}); use an earlier one")
    if record["format"] == 1:
        warnings.warn(
            f"the checkpoint at {path} was written by an earlier version, without a digest: should it have changed "
            "since, nobody can tell; save it once more",
            stacklevel=3,
        )
    record.pop("digest", None)
    return record, arrays


def _open(path: Path) -> BufferedReader:
    """A plain file: a pipe, or what else may stand in its place, is never waited for."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is no file")
    return path.open("rb")


def _is_as_written(record: dict[str, Any], text: bytes, arrays: str) -> bool:
    if record["format"] == 1:
        return "digest" not in record
    return text == _signed({name: value for name, value in record.items() if name != "digest"}, arrays)


def _arrays(file: BufferedReader) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an npz file. None takes more memory than the file: what is packed, or contradicts its own header,
    is refused before anything is allocated."""
    size = file.seek(0, os.SEEK_END)
    found = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > size or len({e.filename for e in entries}) < len(entries):
            raise ValueError("its arrays are packed, or one holds the other; no version writes that")
        for entry in entries:
            found[entry.filename.removesuffix(".npy")] = _array(archive.read(entry))
    return found


def _array(data: bytes) -> np.ndarray[Any, Any]:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError("an array contradicts its header")
    array: np.ndarray[Any, Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


# -- whether a state is one


def check_arrays(mine: Arrays, theirs: Arrays) -> None:
    """Refuse arrays of other names, shapes or types than ``mine``, and numbers that are not finite.

    Raises:
        ValueError: the first of these.
    """
    _same_names(mine, theirs)
    for name, array in mine.items():
        found = theirs[name]
        if found.shape != array.shape:
            raise ValueError(f"its {name} has shape {found.shape}, not {array.shape}: its sizes are other ones")
        if found.dtype != array.dtype:
            raise ValueError(f"its {name} holds {found.dtype}, not {array.dtype}")
    if wrong := not_finite(theirs):
        raise ValueError(f"not all numbers in its {' and '.join(wrong)} are finite")


def not_finite(arrays: Arrays) -> list[str]:
    """The names of arrays in which a number is NaN or infinite."""
    return [name for name, array in arrays.items() if array.dtype.kind in "fc" and not np.isfinite(array).all()]


def check_record(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuse JSON values of other names or kinds than ``mine``; states of generators must be states of theirs.

    Raises:
        ValueError: the first of these.
    """
    _same_names(mine, theirs)
    for name, value in mine.items():
        if isinstance(value, Mapping) and "bit_generator" in value:
            _check_generator(name, str(value["bit_generator"]), theirs[name])
        elif value is not None and type(theirs[name]) is not type(json.loads(json.dumps(value))):
            raise ValueError(f"its {name} cannot be {theirs[name]!r:.80}")


def _same_names(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    for names, said in ((mine.keys() - theirs.keys(), "is missing"), (theirs.keys() - mine.keys(), "is unknown")):
        if names:
            raise ValueError(f"its {', '.join(sorted(names))} {said}")


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """A generator's state as JSON (big integers included)."""
    state: dict[str, Any] = dict(rng.bit_generator.state)
    return state


def set_generator_state(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Take back what :func:`generator_state` gave.

    Raises:
        ValueError: it is the state of another generator, or of none.
    """
    _check_generator("generator", type(rng.bit_generator).__name__, state)
    rng.bit_generator.state = state


def _check_generator(name: str, kind: str, state: Any) -> None:
    """A state is one if a generator that takes it says the same afterwards."""
    try:
        trial: Any = getattr(np.random, kind)(0)
        trial.state = state
        is_one = json.dumps(dict(trial.state), sort_keys=True) == json.dumps(state, sort_keys=True)
        if kind == "PCG64":  # takes any increment, and repeats itself early with an even one
            is_one = is_one and state["state"]["inc"] % 2 == 1 and state["has_uint32"] in (0, 1)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, DeprecationWarning):  # numpy 1 may warn
        is_one = False
    if not is_one:
        raise ValueError(f"its {name} is no state of a {kind} generator")
