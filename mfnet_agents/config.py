"""Options of an algorithm: a dataclass, each option written once, set through RLlib's grouped calls."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from mfnet_envs.words import did_you_mean, is_whole

EVENTS = ("on_algorithm_init", "on_train_result", "on_evaluate_start", "on_evaluate_end", "on_checkpoint_loaded")


def option(default: Any, group: str, doc: str) -> Any:
    """A field with the builder call it belongs to and its one line of documentation."""
    return field(default=default, metadata={"group": group, "doc": doc})


@dataclass
class AlgorithmConfig:
    """Options every algorithm has, and the base of its own: a dataclass whose fields come from :func:`option`.

    The grouped calls change the config in place and return it, as RLlib's do; :meth:`copy` gives one to vary. An
    algorithm holds a frozen copy of the config that built it.
    """

    env: str | None = option(None, "environment", "id of the environment, for example MFNet-Grid-v0")
    env_config: dict[str, Any] = field(
        default_factory=dict, metadata={"group": "environment", "doc": "options of the environment's builder"}
    )
    total_env_steps: int = option(30_720, "training", "planned budget: joint transitions of one world")
    num_env_runners: int = option(0, "env_runners", "sampling processes; only 0 (in this process) is offered")
    num_envs_per_env_runner: int = option(16, "env_runners", "worlds stepped side by side")
    rollout_fragment_length: int = option(16, "env_runners", "steps of each world per iteration")
    evaluation_interval: int | None = option(None, "evaluation", "iterations between evaluations; None: at the end")
    evaluation_duration: int = option(128, "evaluation", "worlds of one evaluation")
    evaluation_seed: int = option(1_000_003, "evaluation", "seed of evaluations, apart from the training seeds")
    evaluation_bound: bool = option(True, "evaluation", "solve for the bound, to say which share of the gap is closed")
    seed: int = option(0, "debugging", "seed of everything random in training")

    # -- what an algorithm fills in

    @classmethod
    def algorithm_class(cls) -> type[Any]:
        """The :class:`~mfnet_agents.algorithm.Algorithm` to build; imported here, so that options load without it."""
        raise NotImplementedError(f"{cls.__name__} does not say which algorithm to build")

    @property
    def env_steps_per_iteration(self) -> int:
        """Joint transitions of one iteration."""
        return self.num_envs_per_env_runner * self.rollout_fragment_length

    @classmethod
    def algorithm_name(cls) -> str:
        """What tables, presets and run folders call it: the class without "Config"; its algorithm's name if none is
        left."""
        return cls.__name__.removesuffix("Config") or cls.algorithm_class().__name__

    def build_algo(self) -> Any:
        """The algorithm, on a frozen copy of this config.

        Raises:
            ValueError: an option out of its range.
        """
        return self.algorithm_class()(self)

    # -- setting

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        return {f.name: f for f in dataclasses.fields(cls)}

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.fields():
            raise AttributeError(unknown_option(name, list(self.fields()), type(self).__name__))
        self._must_be_open(name)
        super().__setattr__(name, value.item() if isinstance(value, np.generic) else value)  # JSON holds plain numbers

    def _must_be_open(self, name: str) -> None:
        if self.is_frozen:
            raise dataclasses.FrozenInstanceError(
                f"{name} cannot be set: this config is frozen, an algorithm was built from it; change a .copy() of it"
            )

    def _set(self, group: str, options: dict[str, Any]) -> Self:
        known = [name for name, f in self.fields().items() if f.metadata["group"] == group]
        for name in options:
            if name not in known:
                raise TypeError(unknown_option(name, known, f"{group}()"))
        for name, value in options.items():
            setattr(self, name, value)
        return self

    def environment(self, env: str | None = None, *, env_config: dict[str, Any] | None = None) -> Self:
        """Which environment to train on."""
        chosen = {"env": env, "env_config": None if env_config is None else copy.deepcopy(env_config)}
        return self._set("environment", {name: value for name, value in chosen.items() if value is not None})

    def training(self, **options: Any) -> Self:
        """Options of the algorithm."""
        return self._set("training", options)

    def env_runners(self, **options: Any) -> Self:
        """How experience is collected."""
        return self._set("env_runners", options)

    def evaluation(self, **options: Any) -> Self:
        """How policies are evaluated."""
        return self._set("evaluation", options)

    def debugging(self, **options: Any) -> Self:
        """The seed."""
        return self._set("debugging", options)

    def callbacks(self, **functions: Callable[..., None]) -> Self:
        """Functions called with keyword arguments on events; they are not saved with checkpoints."""
        for name in functions:
            if name not in EVENTS:
                raise TypeError(unknown_option(name, list(EVENTS), "callbacks()"))
        self._must_be_open("callbacks")
        self.__dict__["_hooks"] = {**self.hooks, **functions}
        return self

    @property
    def hooks(self) -> dict[str, Callable[..., None]]:
        """The callbacks by event: no field, as functions are neither compared nor saved."""
        found: dict[str, Callable[..., None]] = self.__dict__.get("_hooks", {})
        return found

    # -- copies

    @property
    def is_frozen(self) -> bool:
        return bool(self.__dict__.get("_is_frozen", False))

    def freeze(self) -> Self:
        """Refuse every change from now on."""
        self.__dict__["_is_frozen"] = True
        return self

    def copy(self) -> Self:
        """A config of its own, which can be changed; callbacks go along."""
        twin = dataclasses.replace(self, env_config=copy.deepcopy(self.env_config))
        twin.__dict__["_hooks"] = dict(self.hooks)
        return twin

    def to_dict(self) -> dict[str, Any]:
        """Every option as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> Self:
        """The config of :meth:`to_dict`'s values; an unknown name raises TypeError with the nearest known one."""
        known = list(cls.fields())
        for name in options:
            if name not in known:
                raise TypeError(unknown_option(name, known, cls.__name__))
        return cls(**options)

    def validate(self) -> None:
        """Raise ValueError where an option is out of its range."""
        if self.env is None:
            raise ValueError("no environment: call .environment('MFNet-Grid-v0') first")
        if self.num_env_runners != 0:
            raise ValueError("num_env_runners must be 0: worlds are stepped as one batch in this process")
        for name in (
            "num_envs_per_env_runner", "rollout_fragment_length", "evaluation_duration", "total_env_steps",
        ):  # fmt: skip
            check(name, getattr(self, name), positive, "a positive integer")
        for name in ("seed", "evaluation_seed"):
            check(name, getattr(self, name), whole, "a non-negative integer")
        wanted = "a dict of JSON values (a graph as a list of edges), to be kept in checkpoints"
        check("env_config", self.env_config, is_json, wanted)
        interval, wanted = self.evaluation_interval, "a positive integer or None"
        check("evaluation_interval", interval, lambda x: x is None or positive(x), wanted)
        check("evaluation_bound", self.evaluation_bound, lambda x: isinstance(x, bool), "True or False")


def check(name: str, value: Any, holds: Callable[[Any], bool], wanted: str) -> None:
    """Raise ValueError("name must be wanted, not value") unless ``holds(value)``."""
    try:
        right = bool(holds(value)) and not isinstance(value, bool) or (isinstance(value, bool) and "True" in wanted)
    except TypeError:
        right = False
    if not right:
        raise ValueError(f"{name} must be {wanted}, not {value!r}")


def whole(x: Any) -> bool:
    return is_whole(x)


def positive(x: Any) -> bool:
    return is_whole(x, 1)


def is_json(value: Any) -> bool:
    """Whether ``value`` is a dict that JSON can hold."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, dict)


def unknown_option(name: str, known: list[str], place: str) -> str:
    """One sentence for a misspelt option."""
    near = did_you_mean(name, known)
    return f"{place} has no option {name!r}" + (near if near != "." else "; known: " + ", ".join(sorted(known)))
