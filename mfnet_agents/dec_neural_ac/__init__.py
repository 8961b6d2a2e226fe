"""DEC-NEURAL-AC, the decentralised neural actor-critic of Gu, Guo, Wei and Xu; the options load without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_envs.words import optional_package

if TYPE_CHECKING:
    from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC

__all__ = ["DecNeuralAC", "DecNeuralACConfig"]


def __getattr__(name: str) -> Any:
    if name == "DecNeuralAC":
        optional_package("torch", "agents", "DEC-NEURAL-AC")
        from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC

        return DecNeuralAC
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
