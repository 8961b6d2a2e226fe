"""Ray Tune: sweeps of any algorithm on a laptop or a cluster.

.. code-block:: python

    space = {"env": "MFNet-Grid-v0", "env_config": {"population": 100}, "actor_lr": tune.grid_search([0.01, 0.03])}
    results = tune.Tuner(DecNeuralACTrainable, param_space=space).fit()
    best = results.get_best_result("evaluation/env_runners/discounted_return_mean", "max")
"""

from __future__ import annotations

from typing import Any, ClassVar

from mfnet_agents import registry
from mfnet_agents.algorithm import Algorithm
from mfnet_agents.config import AlgorithmConfig
from mfnet_envs.adapters import missing

try:
    from ray.tune import Trainable
except ModuleNotFoundError as error:
    raise missing(error, "rllib") from error


class AlgorithmTrainable(Trainable):
    """An algorithm as a Tune class trainable; :func:`trainable` gives the one of an algorithm.

    The keys of the search space are the options of its config: ``env``, ``env_config``, ``seed``, ... A result is that
    of ``algorithm.train()``; a trial is done when it has sampled ``total_env_steps``, and its last result holds an
    ``evaluation``. Checkpoints are those of ``algorithm.save_to_path``: a trial that was killed goes on bit for bit;
    ``from_checkpoint(result.checkpoint.path)`` loads what a trial has learnt.

    Raises:
        TypeError: an unknown option; the message names the nearest one. ValueError: an option out of its range.
    """

    algorithm_config: ClassVar[type[AlgorithmConfig] | str]

    def setup(self, config: dict[str, Any]) -> None:
        kind = self.algorithm_config
        kind = registry.config_class(kind) if isinstance(kind, str) else kind
        self.algorithm: Algorithm = kind.from_dict(config).build_algo()

    def step(self) -> dict[str, Any]:
        result = self.algorithm.train()
        result["done"] = self.algorithm.env_steps >= self.algorithm.config.total_env_steps
        if result["done"] and "evaluation" not in result:
            result["evaluation"] = self.algorithm.evaluate()
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        self.algorithm.save_to_path(checkpoint_dir)

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.algorithm.restore_from_path(checkpoint)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start anew with other options in the same process; Tune then loads a checkpoint if there is one to go on
        from, as in population based training."""
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        self.algorithm.stop()


def trainable(algorithm: type[AlgorithmConfig] | str) -> type[AlgorithmTrainable]:
    """The trainable of an algorithm: its config class, its registered name, or "module:Config".

    Give the class, or a target, where the workers do not register the name.

    Raises:
        ValueError, TypeError: as :func:`mfnet_agents.registry.config_class`.
    """
    kind = registry.config_class(algorithm) if isinstance(algorithm, str) else algorithm
    return type(f"{registry.name_of(kind)}Trainable", (AlgorithmTrainable,), {"algorithm_config": algorithm})


class DecNeuralACTrainable(AlgorithmTrainable):
    """DEC-NEURAL-AC; the keys are those of :class:`~mfnet_agents.dec_neural_ac.config.DecNeuralACConfig`."""

    algorithm_config = "DecNeuralAC"
