"""mfnet_agents: DEC-NEURAL-AC, and a door for other algorithms, on mfnet_envs. Attributes are loaded on first use, so
that ``mfnet env ...`` works without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfnet_agents.algorithm import Algorithm
    from mfnet_agents.checkpoint import CheckpointError
    from mfnet_agents.config import AlgorithmConfig
    from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC
    from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
    from mfnet_agents.registry import register_algorithm
    from mfnet_envs import __version__

_HOME = {
    "Algorithm": "mfnet_agents.algorithm",
    "AlgorithmConfig": "mfnet_agents.config",
    "CheckpointError": "mfnet_agents.checkpoint",
    "DecNeuralAC": "mfnet_agents.dec_neural_ac",
    "DecNeuralACConfig": "mfnet_agents.dec_neural_ac",
    "__version__": "mfnet_envs",
    "register_algorithm": "mfnet_agents.registry",
}
__all__ = [
    "Algorithm", "AlgorithmConfig", "CheckpointError", "DecNeuralAC", "DecNeuralACConfig", "__version__",
    "register_algorithm",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mfnet_agents' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
