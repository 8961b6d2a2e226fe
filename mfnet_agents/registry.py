"""Algorithms by name, for ``--algorithm``, run folders and checkpoints. Nothing is imported before it is needed.

.. code-block:: python

    register_algorithm("CrossEntropy", CrossEntropyConfig)
    config = config_class("CrossEntropy")().environment("MFNet-Grid-v0")
"""

from __future__ import annotations

from typing import Any

from mfnet_agents.config import AlgorithmConfig
from mfnet_envs import targets
from mfnet_envs.words import did_you_mean

ConfigClass = type[AlgorithmConfig]
_BASELINES = (
    "CEM", "CentralisedAC", "GraphAC", "IndependentAC", "IPPO", "LocalPPO", "MAPPO", "MFAC", "MFQ", "ScalableAC",
)  # fmt: skip
_OF_TEAMS = ("ConsensusAC", "QMIX", "VDN")
_CONFIGS: dict[str, ConfigClass | str] = {
    "DecNeuralAC": "mfnet_agents.dec_neural_ac.config:DecNeuralACConfig",
    **{name: f"mfnet_agents.baselines.config:{name}Config" for name in _BASELINES},
    **{name: f"mfnet_agents.baselines.config_teams:{name}Config" for name in _OF_TEAMS},
}


def register_algorithm(name: str, config: ConfigClass | str) -> None:
    """Make an algorithm known under ``name``.

    Args:
        config: its config class, or "module:Config" to be imported when first needed.

    Raises:
        ValueError: the name holds a colon. TypeError: ``config`` is neither of the two.
    """
    if not name or ":" in name:
        raise ValueError(f"an algorithm's name is a word without a colon, not {name!r}")
    _CONFIGS[name] = config if isinstance(config, str) else checked(config, name)


def algorithms() -> list[str]:
    """The registered names."""
    return sorted(_CONFIGS)


def name_of(config: ConfigClass) -> str:
    """The name a config class is registered under; its own where it is not."""
    written = (config, f"{config.__module__}:{config.__qualname__}")
    return next((name for name, known in _CONFIGS.items() if known in written), config.algorithm_name())


def config_class(name: str) -> ConfigClass:
    """The config class of a registered name, of ``"module:Config"`` or of ``"file.py:Config"``.

    Raises:
        ValueError: an unknown name, with the nearest known one, or a target that leads nowhere.
        TypeError: it leads to something else.
    """
    found = _CONFIGS.get(name)
    if found is None and not targets.is_target(name):
        known = ", ".join(algorithms())
        raise ValueError(
            f"there is no algorithm {name!r}{did_you_mean(name, _CONFIGS)} Known: {known}; your own: module:Config or "
            "file.py:Config"
        )
    return found if isinstance(found, type) else checked(targets.load(found or name), name)


def checked(found: Any, name: str) -> ConfigClass:
    """``found``, if it is a config class."""
    if not (isinstance(found, type) and issubclass(found, AlgorithmConfig)):
        raise TypeError(f"{name} must lead to a subclass of AlgorithmConfig, not to {found!r}")
    return found
