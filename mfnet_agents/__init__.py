"""mfnet_agents: DEC-NEURAL-AC and its baselines on mfnet_envs. Attributes are loaded on first use, so that
``mfnet env ...`` works without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfnet_envs import __version__

if TYPE_CHECKING:
    from mfnet_agents.algorithm import Algorithm
    from mfnet_agents.checkpoint import CheckpointError
    from mfnet_agents.config import DecNeuralACConfig
    from mfnet_agents.dec_neural_ac import DecNeuralAC

__all__ = ["Algorithm", "CheckpointError", "DecNeuralAC", "DecNeuralACConfig", "__version__"]
_HOME = {
    "Algorithm": "algorithm",
    "CheckpointError": "checkpoint",
    "DecNeuralAC": "dec_neural_ac",
    "DecNeuralACConfig": "config",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mfnet_agents' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"mfnet_agents.{_HOME[name]}"), name)
