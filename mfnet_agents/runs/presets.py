"""The options a run starts with: the shipped ones for the pair of environment and algorithm, then what was typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mfnet_agents import registry
from mfnet_agents.config import AlgorithmConfig

PRESETS = Path(__file__).parents[1] / "presets"  # <algorithm>/<id>.json
LEARNER = "DecNeuralAC"
EVALUATIONS = 20  # over a run whose config does not say how often


def preset(env_id: str, algorithm: str = LEARNER) -> dict[str, Any]:
    """The shipped options for an environment and an algorithm; none where there is no preset."""
    options: dict[str, Any] = _file(env_id, algorithm)["options"]
    return options


def preset_notes(env_id: str, algorithm: str = LEARNER) -> list[str]:
    """What a reader should know about the shipped options, a sentence each."""
    notes: list[str] = _file(env_id, algorithm)["notes"]
    return notes


def _file(env_id: str, algorithm: str) -> dict[str, Any]:
    known = {
        path.stem: path for path in (PRESETS / Path(algorithm).name).glob("*.json")
    }  # an id may be "../somewhere:callable"
    if env_id not in known:
        return {"options": {}, "notes": []}
    found: dict[str, Any] = json.loads(known[env_id].read_text("utf-8"))
    return found


def make_config(
    env_id: str,
    options: dict[str, Any],
    env_config: dict[str, Any],
    *,
    use_preset: bool = True,
    algorithm: str = LEARNER,
) -> Any:
    """The preset, then ``options`` and ``env_config`` over it; evaluations are spread over the run unless set.

    Args:
        algorithm: what :func:`mfnet_agents.registry.config_class` takes: a name, "module:Config" or "file.py:Config".

    Returns:
        an instance of the algorithm's config class.

    Raises:
        TypeError, ValueError: an unknown algorithm or option, or one out of its range.
    """
    kind = registry.config_class(algorithm)
    merged = {"env": env_id, **(preset(env_id, registry.name_of(kind)) if use_preset else {}), **options}
    merged["env_config"] = {**merged.get("env_config", {}), **env_config}
    config: AlgorithmConfig = kind.from_dict(merged)
    config.validate()
    if config.evaluation_interval is None:
        iterations = -(-config.total_env_steps // config.env_steps_per_iteration)
        config.evaluation(evaluation_interval=max(1, iterations // EVALUATIONS))
    return config
