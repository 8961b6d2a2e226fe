"""From an id to a model and its views; registers every scenario with Gymnasium and, where it can, with PettingZoo.

A scenario is an id and a *builder*: a LocalModel's class, or a function of keyword arguments that returns one. Options
of the builder and of the view are given side by side and told apart by their names.

Wherever an id is taken, a *target* is taken too: ``"module:callable"`` or ``"path/file.py:callable"`` names a builder
that nobody has registered, ``"module:Name-v0"`` an id that the module registers when it is imported.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import pettingzoo  # type: ignore[import-untyped]
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import parallel_to_aec  # type: ignore[import-untyped]
from pettingzoo.utils.wrappers import OrderEnforcingWrapper  # type: ignore[import-untyped]

from mfnet_envs import targets
from mfnet_envs.model import LocalModel
from mfnet_envs.views.agents import AgentsEnv
from mfnet_envs.views.batch import AgentsBatch, TeamsBatch
from mfnet_envs.views.central import CentralEnv
from mfnet_envs.views.teams import TeamsEnv
from mfnet_envs.views.vector import CentralVectorEnv
from mfnet_envs.words import checked_options, did_you_mean, shown

Builder = Callable[..., LocalModel]
PARALLEL_VIEWS: dict[str, Callable[..., TeamsEnv | AgentsEnv]] = {"teams": TeamsEnv, "agents": AgentsEnv}
BATCHED_VIEWS: dict[str, Callable[..., TeamsBatch | AgentsBatch]] = {"teams": TeamsBatch, "agents": AgentsBatch}


VERSIONED = re.compile(r"[\w.-]+-v\d+")
_REMEMBERED: ContextVar[dict[tuple[str, str], LocalModel] | None] = ContextVar("_REMEMBERED", default=None)


@dataclass(frozen=True)
class Scenario:
    """A registered id, or a target.

    Attributes:
        id: as in Gymnasium, "Name-v0"; a target as it was typed.
        builder: a callable, or "module:function" to be imported when first needed.
        max_episode_steps: Gymnasium's time limit: the evaluation steps of the default model, also where options or a
            network make the model's longer (it adds the limit without asking the model); None for a target.
        slug: the name in PettingZoo ids: "mfnet/<slug>-teams-v0"; fit for a path.
        source: the module to import, or the file to keep, for another process to know the id too.
    """

    id: str
    builder: Builder | str
    max_episode_steps: int | None
    slug: str
    source: str = ""

    @property
    def version(self) -> int:
        """The number at the end of the id; a target has none and is version 0."""
        return int(self.id.rpartition("-v")[2]) if VERSIONED.fullmatch(self.id) else 0

    def pettingzoo_id(self, view: str) -> str:
        """The id under which PettingZoo's registry knows a view."""
        return f"mfnet/{self.slug}-{view}-v{self.version}"

    def load(self) -> Builder:
        """The builder, imported where it is named."""
        builder: Builder = targets.load(self.builder) if isinstance(self.builder, str) else self.builder
        return builder

    def build(self, **options: Any) -> LocalModel:
        """The model.

        Raises:
            TypeError: the builder returns something else.
        """
        builder = self.load()
        if not isinstance(builder, type):  # a class asks by itself
            options = checked_options(builder, options)
        model = builder(**options)
        if not isinstance(model, LocalModel):
            raise TypeError(f"{self.id} returns a {type(model).__name__}; a scenario returns a LocalModel")
        model.origin = (self.id, options)
        return model


_SCENARIOS: dict[str, Scenario] = {}


def register(id: str, builder: Builder | str, *, max_episode_steps: int | None = None, slug: str | None = None) -> None:
    """Make a model available under ``id`` in all views and both registries.

    Args:
        id: "Name-v0"; a new version of the rules needs a new number.
        builder: function of keyword arguments that returns a LocalModel; give "module:function" where the environment
            must be made in other processes too.
        max_episode_steps: Gymnasium's time limit; default: the evaluation steps of ``builder()``.
        slug: name in PettingZoo ids; default: the id in lower case.

    Raises:
        ValueError: an id without a version; a name in PettingZoo that another id has.
    """
    if not VERSIONED.fullmatch(id):
        raise ValueError(f"an id looks like 'Name-v0', with a version at its end; {shown(id)} does not")
    name = slug or id.rpartition("-v")[0].lower()
    if max_episode_steps is None:
        max_episode_steps = Scenario(id, builder, None, name).build().evaluation[0]
    scenario = Scenario(id, builder, max_episode_steps, name, _caller())
    for other in _SCENARIOS.values():
        if other.id != id and (other.slug, other.version) == (name, scenario.version):
            raise ValueError(f"{other.id} has the name {name!r} in PettingZoo already; give {id} another by slug=")
    _SCENARIOS[id] = scenario
    gym.register(
        id,
        entry_point="mfnet_envs.registration:RegisteredEnv",
        vector_entry_point="mfnet_envs.registration:RegisteredVectorEnv",
        max_episode_steps=max_episode_steps,
        kwargs={"scenario": id},
    )
    _register_with_pettingzoo(scenario)


def _caller() -> str:
    """The module that calls :func:`register`; of a script its file."""
    around = sys._getframe(2).f_globals
    name: str = around.get("__name__", "")
    return str(around.get("__file__", "")) if name == "__main__" else name


def _register_with_pettingzoo(scenario: Scenario) -> None:
    """PettingZoo has a registry since 1.27; before, there is nothing to do."""
    if not hasattr(pettingzoo, "register"):
        return
    for view in PARALLEL_VIEWS:
        for kind, registry, door in (
            ("parallel", pettingzoo.parallel_registry, "parallel_env"),
            ("aec", pettingzoo.aec_registry, "env"),
        ):
            registry.pop(scenario.pettingzoo_id(view), None)
            entry_point = f"mfnet_envs.registration:{door}"
            options = {"id": scenario.id, "view": view}
            pettingzoo.register(kind, scenario.pettingzoo_id(view), entry_point, kwargs=options)


def scenarios() -> dict[str, Scenario]:
    """All registered ids."""
    return dict(_SCENARIOS)


def scenario(id: str) -> Scenario:
    """The scenario of an id or a target. A target is imported, an id's builder not yet.

    Raises:
        gymnasium.error.NameNotFound: unknown id; the message names the nearest one.
        TargetError: a target that leads nowhere, or to nothing that builds a model.
    """
    if not isinstance(id, str):
        raise TypeError(f"an id is a string such as 'MFNet-Grid-v0', not {shown(id)}")
    if id in _SCENARIOS:
        return _SCENARIOS[id]
    if targets.is_target(id):
        return _of_target(id)
    known = ", ".join(_SCENARIOS)
    of_your_own = f"{id}:callable" if id.endswith(".py") and len(id) < 80 else "module:callable or file.py:callable"
    raise gym.error.NameNotFound(
        f"there is no environment {shown(id)}{did_you_mean(id, _SCENARIOS)} Known: {known}. Your own: {of_your_own}."
    )


def _of_target(target: str) -> Scenario:
    place, name = targets.split(target)
    if VERSIONED.fullmatch(name):  # Gymnasium's "module:Name-v0"
        targets.import_place(place)
        if name not in _SCENARIOS:
            raise gym.error.NameNotFound(
                f"{place} registers no environment {shown(name)}{did_you_mean(name, _SCENARIOS)}"
            )
        return _SCENARIOS[name]
    builder = targets.load(target)
    if not callable(builder) or (isinstance(builder, type) and not issubclass(builder, LocalModel)):
        kind = "a class" if isinstance(builder, type) else f"of type {type(builder).__name__}"
        raise targets.TargetError(f"{target} is {kind}, not a LocalModel's class or a function that returns a model")
    stem = place.removesuffix(".py").replace("\\", "/").rpartition("/")[2]
    return Scenario(target, builder, None, re.sub(r"[^\w-]+", "-", f"{stem}-{name}"), place)


def make_model(id: str, **options: Any) -> LocalModel:
    """The model of a scenario, with the builder's ``options``."""
    entry = scenario(id)
    model_options, _ = split_options(entry, None, options)
    made = _REMEMBERED.get()
    if made is None:
        return entry.build(**model_options)
    key = id, repr(sorted(options.items()))
    if key not in made:
        made[key] = entry.build(**model_options)
    return made[key]


@contextmanager
def remembered() -> Iterator[None]:
    """Within, the same id with the same options is built once, and :func:`make_model` gives that model again.

    For those who read a large file and then do several things with its model. Options are told apart by how they are
    printed, so they must be plain values.
    """
    before = _REMEMBERED.set({})
    try:
        yield
    finally:
        _REMEMBERED.reset(before)


def parallel_env(id: str, view: str = "teams", **options: Any) -> TeamsEnv | AgentsEnv:
    """The PettingZoo parallel environment of a scenario; ``view`` is "teams" or "agents".

    Raises:
        ValueError: unknown view. TypeError: unknown option; the message names the nearest one.
    """
    entry = scenario(id)
    make = PARALLEL_VIEWS[_known(id, view)]
    model, view_options = _model_and_rest(id, make, options)
    name = f"{entry.slug.replace('-', '_')}_{view}_v{entry.version}"
    return make(model, name=name, **view_options)


def batch_env(id: str, view: str = "agents", num_worlds: int = 1, **options: Any) -> TeamsBatch | AgentsBatch:
    """``num_worlds`` copies of the team or the agent view in arrays, on one generator: what the adapters step.

    Raises:
        As :func:`parallel_env`.
    """
    model, view_options = _model_and_rest(id, BATCHED_VIEWS[_known(id, view)], options)
    return BATCHED_VIEWS[view](model, num_worlds, **view_options)


def _known(id: str, view: str) -> str:
    """``view``, if PettingZoo has it."""
    if not (isinstance(view, str) and view in PARALLEL_VIEWS):
        central = isinstance(view, str) and view == "central"
        hint = f"the central view is gymnasium.make({id!r})" if central else "choose one of them"
        raise ValueError(f"view must be 'teams' or 'agents', not {shown(view)}; {hint}")
    return view


def env(id: str, view: str = "teams", **options: Any) -> AECEnv[str, Any, Any]:
    """The same as a PettingZoo AEC environment: one agent after the other, the world moves after the last."""
    parallel: ParallelEnv[str, Any, Any] = parallel_env(id, view, **options)
    return OrderEnforcingWrapper(parallel_to_aec(parallel))


class RegisteredEnv(CentralEnv):
    """What ``gymnasium.make(id)`` builds; Gymnasium adds the time limit, the id's own whatever the options are."""

    def __init__(self, scenario: str, **options: Any) -> None:
        model, view_options = _model_and_rest(scenario, CentralEnv, options)
        super().__init__(model, **{"has_time_limit": True, **view_options})


class RegisteredVectorEnv(CentralVectorEnv):
    """What ``gymnasium.make_vec(id)`` builds."""

    def __init__(self, scenario: str, num_envs: int = 1, **options: Any) -> None:
        model, view_options = _model_and_rest(scenario, CentralVectorEnv, options)
        super().__init__(model, num_envs, **view_options)


def _model_and_rest(id: str, view: Callable[..., Any], options: dict[str, Any]) -> tuple[LocalModel, dict[str, Any]]:
    entry = scenario(id)
    model_options, view_options = split_options(entry, view, options)
    return entry.build(**model_options), checked_options(view, view_options)


def split_options(
    entry: Scenario, view: Callable[..., Any] | None, options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the builder and of the view, told apart by the two signatures; the builder goes first."""
    builder = inspect.signature(entry.load()).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in builder.values())
    offered = [] if view is None else [*inspect.signature(view).parameters]
    offered = [name for name in offered if name not in ("model", "name", "num_envs", "num_worlds")]
    for name in options:
        if name not in builder and name not in offered and not takes_any:
            views = f" Options of the view: {', '.join(offered)}." if offered else ""
            raise TypeError(
                # first the words by which TorchRL knows that it may leave one out
                f"unexpected keyword argument {shown(name)}: "
                f"{entry.id} has no option {shown(name)}{did_you_mean(name, [*builder, *offered])} "
                f"Options of the model: {', '.join(builder)}.{views}"
            )
    of_view = {name: value for name, value in options.items() if name in offered and name not in builder}
    return {name: value for name, value in options.items() if name not in of_view}, of_view
