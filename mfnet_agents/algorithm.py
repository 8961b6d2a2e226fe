"""RLlib's verbs and result keys for every algorithm: train, evaluate, save_to_path, from_checkpoint."""

from __future__ import annotations

import inspect
import math
import os
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from numbers import Real
from typing import Any, Self

import numpy as np

import mfnet_envs
from mfnet_agents import checkpoint, recorded
from mfnet_agents.checkpoint import CheckpointError
from mfnet_agents.config import AlgorithmConfig, ConfigError
from mfnet_envs.arrays import Floats, Ints, array_of
from mfnet_envs.bounds import Certificate
from mfnet_envs.evaluate import evaluate
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.words import non_negative, whole
from mfnet_envs.yardstick import Yardstick

Arrays = Mapping[str, np.ndarray[Any, Any]]
_AWAITED: ContextVar[Arrays | None] = ContextVar("_AWAITED", default=None)  # of the checkpoint that is being rebuilt


class Diverged(ArithmeticError):
    """Training whose numbers are no longer finite, in one sentence."""


class Algorithm(ABC):
    """Base of the learners. A subclass answers the questions below; everything else follows from them.

    Attributes:
        config: a frozen copy of the config it was built from; model: the environment's model; policy: the one being
            learnt.
        iteration: training iterations done; env_steps: joint transitions of one world sampled so far.
        until: ``time.perf_counter()`` by which an iteration should end; most take no notice, those with a long
            beginning cut it short. remarks: what was cut so, a sentence each, for whoever reads the result.
    """

    def __init__(self, config: AlgorithmConfig) -> None:
        config.validate()
        self.config = config = config.copy().freeze()
        self.model: LocalModel = _made(config)
        self.iteration = 0
        self.env_steps = 0
        self.seconds = 0.0
        self.until = math.inf
        self.remarks: list[str] = []
        if (awaited := _AWAITED.get()) is not None:
            self.check_sizes(awaited)
        self.setup()
        self._call("on_algorithm_init")

    # -- what an algorithm fills in

    @classmethod
    @abstractmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        """The config it is built from, whose ``algorithm_class`` leads back here."""

    @abstractmethod
    def setup(self) -> None:
        """Build networks, samplers and generators from ``config`` and ``model``."""

    @property
    @abstractmethod
    def policy(self) -> Policy:
        """The policy as it stands."""

    @abstractmethod
    def training_step(self) -> dict[str, Any]:
        """One iteration: {"env_runners": {...}, "learners": {...}, "env_steps": sampled}.

        The numbers in both dicts are the algorithm's own choice. A name that evaluation has too, such as
        ``discounted_return_mean``, must mean the same.
        """

    @abstractmethod
    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """Everything :meth:`set_state` needs to go on bit for bit: (JSON values, arrays of finite numbers)."""

    @abstractmethod
    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        """Take back what :meth:`get_state` gave; :meth:`check_state` has seen it."""

    def check_sizes(self, arrays: Arrays) -> None:  # noqa: B027 (there to be overridden)
        """Refuse arrays that cannot be of this config and model. Called before :meth:`setup`, so that a number in a
        damaged config allocates nothing.

        Raises:
            ValueError: an array has another size.
        """

    def check_state(self, record: dict[str, Any], arrays: Arrays) -> None:
        """Refuse what cannot be a state of this algorithm: by default, names, kinds, shapes or types other than those
        of the present state, and numbers that are not finite. Override it where these change with training.

        Raises:
            ValueError: it is none.
        """
        mine, own = self.get_state()
        checkpoint.check_record(mine, record)
        checkpoint.check_arrays(own, arrays)

    @property
    def needs(self) -> str:
        """What it must know of its scenario, for the reader of a table."""
        return "samples of its own play"

    @property
    def information(self) -> str:
        """What its policy reads when it is played, as comparisons are split by: see :func:`information_of`."""
        return "not said"

    @property
    def begins_from_rule(self) -> bool:
        """Whether the first iteration makes another policy than :meth:`setup` does: one that is worth a look."""
        return False

    # -- verbs

    def train(self) -> dict[str, Any]:
        """One iteration; RLlib's result keys, a constant few whatever the population.

        Returns in ``result["env_runners"]`` are means over agents (RLlib itself sums over agents).

        Raises:
            Diverged: the numbers are no longer finite.
        """
        began = time.perf_counter()
        try:
            step = self.training_step()
        except (ArithmeticError, ValueError) as error:
            self._check_finite(self.get_state()[1], error)
            raise
        reported = {**step["env_runners"], **step["learners"]}
        wrong = [name for name, x in reported.items() if isinstance(x, Real) and not math.isfinite(x)]
        if wrong:
            raise self._diverged(wrong)
        taken = whole("env_steps of an iteration", step["env_steps"])  # a budget would never be used up
        self.iteration += 1
        self.env_steps += taken
        spent = time.perf_counter() - began
        self.seconds += spent
        result: dict[str, Any] = {
            "training_iteration": self.iteration,
            "num_env_steps_sampled_lifetime": self.env_steps,
            "env_runners": {**step["env_runners"], "num_env_steps_sampled": step["env_steps"]},
            "learners": {"team": step["learners"]},
            "time_this_iter_s": spent,
            "time_total_s": self.seconds,
        }
        every = self.config.evaluation_interval
        if every is not None and self.iteration % every == 0:
            self._check_finite(self.get_state()[1])
            result["evaluation"] = self.evaluate()
        self._call("on_train_result", result=result)
        return result

    def _check_finite(self, arrays: Arrays, cause: Exception | None = None) -> None:
        if wrong := checkpoint.not_finite(arrays):
            raise self._diverged(wrong) from cause

    def _diverged(self, names: list[str]) -> Diverged:
        done = f"({self.iteration} iterations, {self.env_steps:,} environment steps done)"
        return Diverged(
            f"training has diverged {done}: {', '.join(names)} hold numbers that are not finite; take smaller steps "
            "(actor_lr, critic_lr) from the last checkpoint, or from the start"
        )

    def evaluate(self, *, worlds: int | None = None, seed: int | None = None) -> dict[str, Any]:
        """The present policy on seeds of their own: ``{"env_runners": {...}}``.

        Beside what :func:`mfnet_envs.evaluate` reports per agent: ``headline_mean`` and ``headline_ci95`` in the unit
        of the bound, and ``gap_closed``, the share of the way from random to the bound; None without a bound.
        """
        self._call("on_evaluate_start")
        found: dict[str, Any] = self._measured(self.policy, worlds, seed)
        value, ci95 = self.yardstick.read(found)
        gap = self.yardstick.gap_closed(value, self.random_value)
        metrics = {"env_runners": {**found, "headline_mean": value, "headline_ci95": ci95, "gap_closed": gap}}
        self._call("on_evaluate_end", evaluation_metrics=metrics)
        return metrics

    def _measured(self, policy: Policy, worlds: int | None = None, seed: int | None = None) -> dict[str, Any]:
        return evaluate(
            self.model,
            policy,
            worlds=self.config.evaluation_duration if worlds is None else worlds,
            seed=self.config.evaluation_seed if seed is None else seed,
            backend=self.config.backend,
        )

    @cached_property
    def certificate(self) -> Certificate | None:
        """The model's bound, solved for when it is first asked for; None where ``evaluation_bound`` is off."""
        return self.model.bound() if self.config.evaluation_bound else None

    @cached_property
    def yardstick(self) -> Yardstick:
        """The scenario's headline beside its bound."""
        return Yardstick.of(self.model, self.certificate)

    @cached_property
    def random_value(self) -> float:
        """The headline where every legal action is played alike, on the config's evaluation worlds."""
        return self.yardstick.read(self._measured(uniform(self.model)))[0]

    def compute_actions(self, counts: Ints, t: int = 0) -> Floats:
        """Action probabilities ``pi(a | s, mu(s))``: ``counts (B, S)`` or ``(S,)`` -> ``(B, S, A)`` or ``(S, A)``."""
        counts = array_of("counts", counts)
        s = self.model.network.num_states
        if counts.shape[-1:] != (s,) or counts.ndim > 2:
            raise ValueError(f"counts must have shape ({s},) or (worlds, {s}), not {counts.shape}")
        pi = self.policy.individual(np.atleast_2d(counts), t)
        return pi[0] if counts.ndim == 1 else pi

    def stop(self) -> None:  # noqa: B027 (there to be called, and to be overridden by those who hold something)
        """RLlib's last call; nothing is held that needs releasing."""

    # -- checkpoints

    def save_to_path(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write a checkpoint folder (a temporary one by default) and return its path.

        Raises:
            Diverged: the numbers are no longer finite; an earlier checkpoint of that name is kept.
            CheckpointError: it cannot be written there.
        """
        state, arrays = self.get_state()
        self._check_finite(arrays)
        target = os.path.join(tempfile.mkdtemp(prefix="mfnet-"), "checkpoint") if path is None else path
        record = {
            "class": f"{type(self).__module__}:{type(self).__qualname__}",
            **recorded.origins(self.config),
            "config": self.config.to_dict(),
            "counters": {"iteration": self.iteration, "env_steps": self.env_steps, "seconds": self.seconds},
            "state": state,
        }
        return str(checkpoint.write(target, record, arrays))

    def restore_from_path(self, path: str | os.PathLike[str]) -> None:
        """Take the state of a checkpoint of the same algorithm and environment; training then goes on bit for bit.

        Raises:
            CheckpointError: missing, damaged, or of another class or environment.
        """
        record, arrays = checkpoint.read(path)
        if _class_name(record) != type(self).__qualname__:
            mine = f"{type(self).__module__}:{type(self).__qualname__}"
            raise CheckpointError(f"the checkpoint at {path} is of {record['class']}, not of {mine}")
        saved = _saved_config(type(self.config), record, path)
        if (saved.env, saved.env_config) != (self.config.env, self.config.env_config):
            theirs = f"{saved.env} with {saved.env_config}"
            raise CheckpointError(f"the checkpoint at {path} is of {theirs}, not of this environment")
        self._restore(record, arrays, path)

    def _restore(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]], path: object) -> None:
        with _told(path, "does not fit this configuration"):
            iteration, env_steps = (whole(name, record["counters"][name], 0) for name in ("iteration", "env_steps"))
            non_negative(seconds=record["counters"]["seconds"])
            self.check_state(record["state"], arrays)
            self.set_state(record["state"], arrays)
        self.iteration, self.env_steps, self.seconds = iteration, env_steps, float(record["counters"]["seconds"])
        self._call("on_checkpoint_loaded")

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str]) -> Self:
        """Rebuild the algorithm that wrote the checkpoint at ``path``.

        ``MyAlgorithm.from_checkpoint`` always knows its own. ``Algorithm.from_checkpoint`` finds those that are
        registered, and those that stand in a module that is imported or in a file below the working directory.

        Raises:
            CheckpointError: missing, damaged, of another algorithm, or of one or an environment that is not known here.
        """
        record, arrays = checkpoint.read(path)
        with _told(path, "names no algorithm that can be rebuilt"):
            is_mine = _class_name(record) == cls.__qualname__ and not inspect.isabstract(cls)
            kind = cls if is_mine else _recorded_class(record, path)
            if not issubclass(kind, cls):
                raise CheckpointError(f"the checkpoint at {path} is of {kind.__name__}, not of {cls.__name__}")
            config = _saved_config(kind.config_class(), record, path)
            try:
                recorded.check_environment(record, config.env)
            except LookupError as error:
                raise CheckpointError(f"the checkpoint at {path} is of {error.args[0]}") from error
        awaited = _AWAITED.set(arrays)
        try:
            with _told(path, "cannot be rebuilt"):
                algorithm: Self = kind(config)
        finally:
            _AWAITED.reset(awaited)
        algorithm._restore(record, arrays, path)
        return algorithm

    def _call(self, event: str, **values: Any) -> None:
        function = self.config.hooks.get(event)
        if function is not None:
            function(algorithm=self, **values)


def information_of(observe: int | str, clock: bool) -> str:
    """The class of policies that see their own team ("own") or all crowds within some hops, and perhaps the time.

    >>> information_of("own", False), information_of("own", True), information_of(1, False)
    ('own node', 'own node and clock', '1 hop')
    """
    place = "own node" if observe in ("own", 0) else f"{observe} hop{'s' * (observe != 1)}"
    return f"{place} and clock" if clock else place


def _made(config: AlgorithmConfig) -> LocalModel:
    """The model of a config.

    Raises:
        ConfigError: an option of it is out of its range. Others: as the model says.
    """
    assert config.env is not None
    try:
        return mfnet_envs.make_model(config.env, **config.env_config)
    except ValueError as error:
        if type(error) is not ValueError:  # one of a network's file, or of a builder's own
            raise
        raise ConfigError(str(error)) from error


@contextmanager
def _told(path: object, what: str) -> Iterator[None]:
    """Whatever a checkpoint makes raise is a fault of the checkpoint, to those who read it."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        said = str(error) if isinstance(error, ValueError) and str(error) else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"the checkpoint at {path} {what}: {said}") from error


def _class_name(record: dict[str, Any]) -> str:
    """The name of the class that wrote a checkpoint; the module it stands in may be called otherwise by now."""
    return str(record["class"]).rpartition(":")[2]


def _recorded_class(record: dict[str, Any], path: object) -> Any:
    """The algorithm that a checkpoint names."""
    if "algorithm" not in record and str(record["class"]).startswith("mfnet_agents."):  # by an earlier version
        record = {"algorithm": _class_name(record), **record}
    try:
        kind = recorded.config_class(record).algorithm_class()
    except LookupError as error:
        raise CheckpointError(f"the checkpoint at {path} is of {error.args[0]}") from error
    if _class_name(record) != kind.__qualname__:
        raise CheckpointError(f"the checkpoint at {path} is of {record['class']!r}, which is no {record['algorithm']}")
    return kind


def _saved_config(kind: Any, record: dict[str, Any], path: object) -> Any:
    """The config in a checkpoint, as ``kind``; another version may know other options."""
    try:
        return kind.from_dict(record["config"])
    except TypeError as error:
        raise CheckpointError(f"the checkpoint at {path} was written by another version: {error}") from error
