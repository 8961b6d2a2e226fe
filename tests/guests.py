"""Guests for the tests of comparisons: functions that train, and mischief where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mfnet_agents.comparison.guests import Iterate
from mfnet_envs import make_model
from mfnet_envs.policy import weighted


def train(
    env: str, env_config: dict[str, Any], budget: int, seed: int, *, mischief: str = "none", walk_lr: float = 1.0
) -> Iterator[Iterate]:
    """Logits that walk at random, 300 steps an iterate."""
    model, rng = make_model(env, **env_config), np.random.default_rng(seed)
    logits, taken = np.zeros((len(model.team_states), model.num_actions)), 0
    if mischief == "refuse":
        raise RuntimeError("not with me")
    yield Iterate(300 if mischief == "late" else 0, weighted(model, np.exp(logits)), "own node")
    while taken + 300 <= budget + 300 * (mischief == "greedy"):
        logits, taken = logits + walk_lr * rng.normal(size=logits.shape), taken + 300 * (mischief != "idle")
        if mischief == "raise" and taken == 900:
            raise RuntimeError("the guest has had enough")
        yield Iterate(taken, weighted(model, np.exp(logits)), "own node")
