"""Options of an algorithm: a dataclass, each option written once, set through RLlib's grouped calls."""

from __future__ import annotations

import copy
import dataclasses
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Self

import numpy as np

from mfnet_envs.backends import backends, check_name
from mfnet_envs.words import COUNTABLE, brief, did_you_mean, fits, is_whole, of_kind, shown

SHARES = 8  # into which the worlds of an iteration fall, each of which one process plays
AUTO = "auto"  # an option whose value follows from the others
EVENTS = ("on_algorithm_init", "on_train_result", "on_evaluate_start", "on_evaluate_end", "on_checkpoint_loaded")


class ConfigError(ValueError):
    """An option that is of the wrong kind, out of its range, or larger than this machine; the sentence names it."""


def option(default: Any, group: str, doc: str) -> Any:
    """A field with the builder call it belongs to and its one line of documentation."""
    return field(default=default, metadata={"group": group, "doc": doc})


class FrozenDict(dict[str, Any]):
    """The ``env_config`` of a frozen config: to be read only. A copy, of whatever depth, is a plain dict."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise dataclasses.FrozenInstanceError(
            "env_config cannot be changed: an algorithm was built from this config; change a .copy() of it"
        )

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


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
    num_env_runners: int = option(0, "env_runners", "processes that share the worlds; only 0 (this one) is offered")
    num_envs_per_env_runner: int = option(16, "env_runners", "worlds stepped side by side")
    rollout_fragment_length: int = option(16, "env_runners", "steps of each world per iteration")
    backend: str | None = option(
        None,
        "env_runners",
        "what steps the worlds: numpy, compiled, torch or torch:DEVICE; None: the variable MFNET_BACKEND, else numpy",
    )
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
        """The options by name, each with its default and, as metadata, its group and meaning."""
        return {f.name: f for f in dataclasses.fields(cls)}

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.fields():
            raise AttributeError(unknown_option(name, list(self.fields()), type(self).__name__))
        self._must_be_open(name)
        plain = value.item() if isinstance(value, np.generic) else value  # JSON holds plain numbers
        super().__setattr__(name, float(plain) if isinstance(plain, Fraction) else plain)

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
        """Whether an algorithm was built from it: then it can no longer change."""
        return bool(self.__dict__.get("_is_frozen", False))

    def freeze(self) -> Self:
        """Refuse every change from now on, to ``env_config`` too."""
        self.__dict__["env_config"] = FrozenDict(self.env_config) if is_json(self.env_config) else self.env_config
        self.__dict__["_is_frozen"] = True
        return self

    def copy(self) -> Self:
        """A config of its own, which can be changed; callbacks go along."""
        twin = dataclasses.replace(self, env_config=copy.deepcopy(self.env_config))
        twin.__dict__["_hooks"] = dict(self.hooks)
        return twin

    def to_dict(self) -> dict[str, Any]:
        """Every option as plain JSON values."""
        return {**dataclasses.asdict(self), "env_config": copy.deepcopy(self.env_config)}

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> Self:
        """The config of :meth:`to_dict`'s values; an unknown name raises TypeError with the nearest known one."""
        known = list(cls.fields())
        for name in options:
            if name not in known:
                raise TypeError(unknown_option(name, known, cls.__name__))
        return cls(**options)

    def validate(self) -> None:
        """Raise ConfigError where an option is out of its range."""
        if self.env is None:
            raise ConfigError("no environment: call .environment('MFNet-Grid-v0') first")
        for name in (
            "num_envs_per_env_runner", "rollout_fragment_length", "evaluation_duration", "total_env_steps",
        ):  # fmt: skip
            if self.fields()[name].default != AUTO:
                check(name, getattr(self, name), positive, "a positive integer")
            else:
                check(name, getattr(self, name), lambda x: x == AUTO or positive(x), "'auto' or a positive integer")
        known = backends()
        wanted = f"None or one of {', '.join(known)}, or torch:DEVICE"
        check("backend", self.backend, lambda x: x is None or _names_backend(x), wanted)
        for name in ("seed", "evaluation_seed"):
            check(name, getattr(self, name), whole, "a non-negative integer")
        check("env_config", self.env_config, _has_names, "a dict of options by name, without the id, which is `env`")
        wanted = "a dict of JSON values (a graph as a list of edges), to be kept in checkpoints"
        check("env_config", self.env_config, is_json, wanted)
        interval, wanted = self.evaluation_interval, "a positive integer or None"
        check("evaluation_interval", interval, lambda x: x is None or positive(x), wanted)
        check("evaluation_bound", self.evaluation_bound, lambda x: isinstance(x, bool), "True or False")
        check("num_env_runners", self.num_env_runners, whole, "a non-negative integer")
        if self.num_env_runners and self.num_env_runners > self.most_runners:
            raise ConfigError(
                f"num_env_runners={shown(self.num_env_runners)} is more than there are worlds to share; set at most "
                f"{self.most_runners}, {SHARES} where num_envs_per_env_runner, the number of all of them, is so large"
                if self.most_runners
                else "num_env_runners must be 0: what is learnt is learnt from all worlds together, in this process; "
                "only DecNeuralAC's costate form shares them, where it knows its law"
            )
        self.needs("num_envs_per_env_runner", "rollout_fragment_length", of="samples")
        self.needs("evaluation_duration", of="worlds")

    @property
    def most_runners(self) -> int:
        """How many processes may share the worlds; 0 where they are all stepped in this one."""
        return 0

    def check_kinds(self) -> None:
        """Raise ConfigError where a value is of another kind than its field's annotation names."""
        for name, hint in typing.get_type_hints(type(self)).items():
            try:
                of_kind(name, getattr(self, name), hint)
            except ValueError as error:
                raise ConfigError(str(error)) from None

    def needs(self, *names: str, of: str, entries: int = 1, itemsize: int = 8) -> None:
        """Refuse sizes whose product, times ``entries`` numbers, is more than this machine's memory.

        Args:
            of: what there are so many of, in the plural.
        """
        asked = " times ".join(f"{name}={shown(getattr(self, name))}" for name in names)
        sizes = [getattr(self, name) for name in names]
        try:
            fits(f"{asked} {of}", *(size for size in sizes if is_whole(size)), entries, itemsize=itemsize)
        except ValueError as error:
            raise ConfigError(str(error)) from None


def check(name: str, value: Any, holds: Callable[[Any], bool], wanted: str) -> None:
    """Raise ConfigError("name must be wanted, not value") unless ``holds(value)``."""
    try:
        right = bool(holds(value)) and not isinstance(value, bool) or (isinstance(value, bool) and "True" in wanted)
    except Exception:  # whatever comparing raises
        right = False
    if not right:
        if is_whole(value, COUNTABLE + 1) and "integer" in wanted:
            wanted += f", at most 2**53 = {COUNTABLE:,}"
        raise ConfigError(f"{name} must be {wanted}, not {shown(value)}")


def whole(x: Any) -> bool:
    return is_whole(x)


def positive(x: Any) -> bool:
    """A number of things that can be counted."""
    return is_whole(x, 1) and x <= COUNTABLE


def _has_names(value: Any) -> bool:
    """Of ``env_config``: whether its keys can be names of options; what is no dict, :func:`is_json` refuses."""
    return not isinstance(value, dict) or all(isinstance(name, str) and name != "id" for name in value)


def is_json(value: Any) -> bool:
    """Whether ``value`` is a dict that JSON can hold."""
    try:
        json.dumps(value)
    except (RecursionError, TypeError, ValueError):
        return False
    return isinstance(value, dict)


def unknown_option(name: str, known: list[str], place: str) -> str:
    """One sentence for a misspelt option."""
    near = did_you_mean(name, known)
    return f"{place} has no option {shown(name)}" + (
        near if near != "." else brief(f"; known: {', '.join(sorted(known))}", 280)
    )


def _names_backend(name: object) -> bool:
    try:
        check_name(str(name))
    except ValueError:
        return False
    return isinstance(name, str)
