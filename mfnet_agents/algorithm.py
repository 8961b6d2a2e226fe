"""RLlib's verbs and result keys for every algorithm: train, evaluate, save_to_path, from_checkpoint."""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

import mfnet_envs
from mfnet_agents import checkpoint
from mfnet_agents.checkpoint import CheckpointError
from mfnet_agents.config import AlgorithmConfig
from mfnet_envs.evaluate import evaluate
from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.policy import Policy


class Algorithm(ABC):
    """Base of the learners.

    Attributes:
        config: the frozen config it was built from; model: the environment's model; policy: the one being learnt.
        iteration: training iterations done; env_steps: joint transitions of one world sampled so far.
    """

    def __init__(self, config: AlgorithmConfig) -> None:
        config.validate()
        self.config = config
        assert config.env is not None
        self.model: LocalModel = mfnet_envs.make_model(config.env, **config.env_config)
        self.iteration = 0
        self.env_steps = 0
        self.seconds = 0.0
        self.setup()
        self._call("on_algorithm_init")

    # -- what an algorithm fills in

    @abstractmethod
    def setup(self) -> None:
        """Build networks, samplers and generators from ``config`` and ``model``."""

    @property
    @abstractmethod
    def policy(self) -> Policy:
        """The policy as it stands."""

    @abstractmethod
    def training_step(self) -> dict[str, Any]:
        """One iteration: {"env_runners": {...}, "learners": {...}, "env_steps": sampled}."""

    @abstractmethod
    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """Everything :meth:`set_state` needs to go on bit for bit: (JSON values, arrays)."""

    @abstractmethod
    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        """Take back what :meth:`get_state` gave."""

    # -- verbs

    def train(self) -> dict[str, Any]:
        """One iteration; RLlib's result keys, a constant few whatever the population.

        ``result["env_runners"]["episode_return_mean"]`` is a mean over agents (RLlib itself sums over agents).
        """
        began = time.perf_counter()
        step = self.training_step()
        self.iteration += 1
        self.env_steps += step["env_steps"]
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
            result["evaluation"] = self.evaluate()
        self._call("on_train_result", result=result)
        return result

    def evaluate(self, *, worlds: int | None = None, seed: int | None = None) -> dict[str, Any]:
        """Returns of the present policy on seeds of their own: ``{"env_runners": {...}}`` with 95 % intervals."""
        self._call("on_evaluate_start")
        found = evaluate(
            self.model,
            self.policy,
            worlds=self.config.evaluation_duration if worlds is None else worlds,
            seed=self.config.evaluation_seed if seed is None else seed,
        )
        metrics = {"env_runners": found}
        self._call("on_evaluate_end", evaluation_metrics=metrics)
        return metrics

    def compute_actions(self, counts: Ints, t: int = 0) -> Floats:
        """Action probabilities ``pi(a | s, mu(s))``: ``counts (B, S)`` or ``(S,)`` -> ``(B, S, A)`` or ``(S, A)``."""
        counts = np.asarray(counts)
        s = self.model.network.num_states
        if counts.shape[-1:] != (s,) or counts.ndim > 2:
            raise ValueError(f"counts must have shape ({s},) or (worlds, {s}), not {counts.shape}")
        pi = self.policy.individual(np.atleast_2d(counts), t)
        return pi[0] if counts.ndim == 1 else pi

    def stop(self) -> None:  # noqa: B027 (there to be called, and to be overridden by those who hold something)
        """RLlib's last call; nothing is held that needs releasing."""

    # -- checkpoints

    def save_to_path(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write a checkpoint folder (a temporary one by default) and return its path."""
        target = os.path.join(tempfile.mkdtemp(prefix="mfnet-"), "checkpoint") if path is None else path
        state, arrays = self.get_state()
        record = {
            "class": f"{type(self).__module__}:{type(self).__qualname__}",
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
        mine = f"{type(self).__module__}:{type(self).__qualname__}"
        if record["class"] != mine:
            raise CheckpointError(f"the checkpoint at {path} is of {record['class']}, not of {mine}")
        saved = _saved_config(type(self.config), record, path)
        if (saved.env, saved.env_config) != (self.config.env, self.config.env_config):
            theirs = f"{saved.env} with {saved.env_config}"
            raise CheckpointError(f"the checkpoint at {path} is of {theirs}, not of this environment")
        try:
            self.set_state(record["state"], arrays)
            counters = [record["counters"][name] for name in ("iteration", "env_steps", "seconds")]
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint at {path} does not fit this configuration: {error}") from error
        self.iteration, self.env_steps, self.seconds = counters
        self._call("on_checkpoint_loaded")

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str]) -> Self:
        """Rebuild the algorithm that wrote the checkpoint at ``path``."""
        record, _ = checkpoint.read(path)
        kind = _algorithm_class(record["class"], path)
        if not issubclass(kind, cls):
            raise CheckpointError(f"the checkpoint at {path} is of {kind.__name__}, not of {cls.__name__}")
        config = _saved_config(kind.config_class(), record, path)
        try:
            algorithm: Self = kind(config)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint at {path} cannot be rebuilt: {error}") from error
        algorithm.restore_from_path(path)
        return algorithm

    @classmethod
    @abstractmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        """The config this algorithm is built from."""

    def _call(self, event: str, **values: Any) -> None:
        function = self.config.hooks.get(event)
        if function is not None:
            function(algorithm=self, **values)


def _algorithm_class(name: str, path: object) -> Any:
    """The class a checkpoint names; only classes of this package are looked up."""
    module, _, qualname = name.partition(":")
    if not module.startswith("mfnet_agents.") or not qualname.isidentifier():
        raise CheckpointError(f"the checkpoint at {path} is of {name!r}, which is not an algorithm of mfnet_agents")
    try:
        found = getattr(importlib.import_module(module), qualname, None)
    except ImportError:
        found = None
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise CheckpointError(f"the checkpoint at {path} is of {name!r}, which this version does not have")
    return found


def _saved_config(kind: Any, record: dict[str, Any], path: object) -> Any:
    """The config in a checkpoint, as ``kind``; another version may know other options."""
    try:
        return kind.from_dict(record["config"])
    except TypeError as error:
        raise CheckpointError(f"the checkpoint at {path} was written by another version: {error}") from error
