"""Things named in a string, ``"module:name"`` or ``"path/file.py:name"``: a model or an algorithm of one's own.

A file is imported as ``python`` would import it from its own folder, under its own name, so that what it defines can be
pickled and is the same however often it is asked for. Only what is named is run.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mfnet_envs.words import LONGEST_SENTENCE, brief, did_you_mean


class TargetError(ValueError):
    """A target that leads nowhere, in one sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(brief(sentence, LONGEST_SENTENCE))


def is_target(text: str) -> bool:
    """Whether ``text`` says where something is, instead of being an id."""
    return ":" in text


def split(target: str) -> tuple[str, str]:
    """The place, a module or a file, and the name in it.

    Raises:
        TargetError: one of the two is missing.
    """
    place, _, name = target.rpartition(":")
    if not (place and name):
        raise TargetError(f"{target!r} must be 'module:name' or 'path/file.py:name'")
    return place, name


def load(target: str) -> Any:
    """What ``target`` names.

    Raises:
        TargetError: there is no such file, module or name, or importing it fails.
    """
    place, name = split(target)
    module = import_place(place)
    if not hasattr(module, name):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise TargetError(f"{place} has no {name!r}{did_you_mean(name, public)}")
    return getattr(module, name)


def import_place(place: str) -> ModuleType:
    """The module of this name, or of this file.

    Raises:
        TargetError: there is none, or it cannot be imported.
    """
    try:
        return _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    except TargetError:
        raise
    except Exception as error:  # whatever somebody's module raises
        raise TargetError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{name!r} is no module's name; a file ends in .py, as in 'path/file.py:name'")
    try:
        # a command installed by pip does not look here by itself
        return _looking_in(os.getcwd(), lambda: importlib.import_module(name))
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise TargetError(f"there is no module {error.name!r}, neither here nor among the installed ones") from None


def _import_file(path: Path) -> ModuleType:
    file = path.resolve()
    if not file.is_file():
        raise TargetError(f"there is no file {path}")
    return _looking_in(str(file.parent), lambda: _run(file))  # what stands beside it is found, as from a script


def _run(file: Path) -> ModuleType:
    name = file.stem if _is_found_as(file.stem, file) else _own_name(file)
    if name in sys.modules or name == file.stem:
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _looking_in(folder: str, find: Callable[[], ModuleType]) -> ModuleType:
    """What ``find`` imports while a folder is searched too, after all others; from then on, if it was found there.

    Processes are told where to search in one argument: folders that nobody needs would make it too long for that.
    """
    if folder in sys.path:
        return find()
    sys.path.append(folder)
    here = False
    try:
        module = find()
        here = _stands_in(folder, module)
    finally:
        if not here and folder in sys.path:  # what was imported may have taken it out
            sys.path.remove(folder)
    return module


def _stands_in(folder: str, module: ModuleType) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(place is not None and Path(folder).resolve() in Path(place).resolve().parents for place in places)


def _is_found_as(name: str, file: Path) -> bool:
    """Whether ``import name`` gives this very file, and not another module of the same name."""
    if not name.isidentifier():
        return False
    if name in sys.modules:
        found = getattr(sys.modules[name], "__file__", None)
    else:
        importlib.invalidate_caches()  # the file may have been written a moment ago
        spec = importlib.util.find_spec(name)
        found = None if spec is None else spec.origin
    return found is not None and Path(found).resolve() == file


def _own_name(file: Path) -> str:
    """A name for a file whose own is taken: the same in every process."""
    return f"{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
