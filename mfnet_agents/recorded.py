"""What run folders and checkpoints say about where their algorithm and environment come from, and how those are found
again in another process. What such a file names is looked up only as far as :func:`trusted` goes.
"""

from __future__ import annotations

import ast
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from mfnet_agents import registry
from mfnet_agents.config import AlgorithmConfig
from mfnet_envs import targets
from mfnet_envs.model import LocalModel
from mfnet_envs.registration import scenario, scenarios


def origins(config: AlgorithmConfig) -> dict[str, str]:
    """``algorithm``: its name; ``algorithm_source``: "module:Config" or "file.py:Config"; ``env_source``: the module or
    file that registers the environment."""
    kind, env = type(config), scenario(str(config.env))
    builder = env.builder if isinstance(env.builder, str) else f"{env.builder.__module__}:{env.builder.__qualname__}"
    return {
        "algorithm": registry.name_of(kind),
        "algorithm_source": f"{_place_of(kind.__module__)}:{kind.__qualname__}",
        "env_source": env.source or _place_of(builder.rpartition(":")[0]),
    }


def _place_of(module: str) -> str:
    """The module, or its file where another process could not import it by name."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module
    path, here = Path(file).resolve(), Path.cwd()
    if _is_below(path, here) and _file_below(module) != path:
        return str(path.relative_to(here))
    return str(path) if module == "__main__" else module


def config_class(record: dict[str, Any]) -> type[AlgorithmConfig]:
    """The config class that a run folder or a checkpoint was written with; see :func:`trusted` for what may be run.

    Raises:
        LookupError: it is not known here; the message says what to import.
    """
    name, source = record.get("algorithm"), str(record.get("algorithm_source", ""))
    if name in registry.algorithms():
        return registry.config_class(str(name))
    found = trusted(source, AlgorithmConfig)
    if found is not None:
        return registry.checked(found, source)
    raise LookupError(
        f"the algorithm {name!r}, which is not known here: import {_spoken(source.rpartition(':')[0])} first, or call "
        f"register_algorithm({name!r}, {source or 'its config class'!r})"
    )


def check_environment(record: dict[str, Any], env: object) -> None:
    """Make sure that the environment of a run folder or a checkpoint is known here.

    Raises:
        LookupError: it is not; the message says what to import.
    """
    module, _, name = str(env).rpartition(":")
    if env in scenarios() or env in _VOUCHED or trusted(str(env), LocalModel) is not None:
        return
    if name in scenarios() and module and _imported(module) is not None:
        return
    place = str(record.get("env_source", "")) or module
    own = (
        f"; or have the function say what it returns (def {name}(...) -> LocalModel); or name it yourself: "
        f"--environment {shlex.quote(str(env))}, in Python mfnet_agents.recorded.vouch({env!r})"
    )
    raise LookupError(
        f"the environment {env!r}, which is not known here: import {_spoken(place)} first"
        + (own if targets.is_target(str(env)) else "")
    )


_VOUCHED: set[str] = set()


def vouch(env: str) -> None:
    """Let run folders and checkpoints name this environment: their reader, and not a file, has said that it may run."""
    _VOUCHED.add(env)


def trusted(target: str, kind: type) -> Any:
    """What a file on disk may name: a subclass of ``kind``, or a function annotated to return one.

    It must stand in a module that is imported already or in a file below the working directory, and not among the
    installed packages. For everything else the answer is None, and nothing has been run.
    """
    place, _, name = target.rpartition(":")
    module = _imported(place)
    if module is None and not _stands_in(_file_below(place), name):
        return None
    try:
        found = targets.load(target) if module is None else getattr(module, name)
    except (AttributeError, targets.TargetError):
        return None
    made = found
    if not isinstance(found, type):
        made = getattr(found, "__annotations__", {}).get("return")
        made = getattr(found, "__globals__", {}).get(made) if isinstance(made, str) else made
    return found if isinstance(made, type) and issubclass(made, kind) else None


def _spoken(place: str) -> str:
    """A module, or a file as one imports it."""
    if not place:
        return "the module that defines it"
    return f"{Path(place).stem} (the file {place})" if place.endswith(".py") else place


def _imported(place: str) -> ModuleType | None:
    """The module of this name or file, where it is imported already."""
    if not place.endswith(".py"):
        return sys.modules.get(place)
    file = str(Path(place).resolve())
    same = (module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == file)
    return next(same, sys.modules.get(Path(place).stem))


def _file_below(place: str) -> Path | None:
    """The file of a module or a path, where it lies below the working directory."""
    stem = Path(place if place.endswith(".py") else place.replace(".", "/") + ".py")
    try:
        here = Path.cwd()
        files = [path.resolve() for path in (stem, stem.with_suffix("") / "__init__.py")]
        return next((file for file in files if file.is_file() and _is_below(file, here)), None)
    except (OSError, RuntimeError, ValueError):  # no name of a file at all
        return None


def _is_below(file: Path, folder: Path) -> bool:
    return file.is_relative_to(folder) and not {"site-packages", "dist-packages"} & set(file.parts)


def _stands_in(file: Path | None, name: str) -> bool:
    """Whether a class of this name, or a function that says what it returns, is defined there; the file is not run."""
    try:
        body = [] if file is None else ast.parse(file.read_text("utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return False
    return any(
        node.name == name and (isinstance(node, ast.ClassDef) or node.returns is not None)
        for node in body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    )
