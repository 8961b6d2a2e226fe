"""Infinitely many agents: shares that move by their expectations. No draws, so gradients pass through a step."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from mfnet_envs.arrays import add_at, dot, first_of, namespace, zeros
from mfnet_envs.simulator.tables import Tables, check_finite


class ArraysLike:
    """The library, device and precision of a tensor."""

    def __init__(self, reference: Any) -> None:
        self.xp = namespace(reference)
        self.dtype, self.device = reference.dtype, array_api_compat.device(reference)

    @property
    def key(self) -> tuple[str, ...]:
        return self.xp.__name__, str(self.dtype), str(self.device)

    def asarray(self, values: Any) -> Any:
        """Real numbers in this precision; a tensor stays in its graph."""
        if not isinstance(values, np.ndarray):
            return self.xp.astype(values, self.dtype, copy=False)
        real = self.dtype if values.dtype.kind == "f" else None
        return self.xp.asarray(values, dtype=real, device=self.device, copy=True)

    def holds(self, condition: Any) -> bool:
        return bool(condition)


def expected_step(tables: Tables, mu: Any, pi: Any) -> tuple[Any, Any]:
    """One step of shares ``mu (B, S)`` under ``pi (..., S or T, A)``: ``(next mu, team rewards)``, both ``(B, S)``."""
    xp = tables.xp
    share = _played(tables, mu, pi)
    hood = tables.hoods(mu)
    rewards, raw = tables.answers(hood)
    paid = tables.of_states(dot(rewards, share))
    check_finite(paid, tables.holds)
    following = zeros((len(mu) * mu.shape[1],), mu)
    base = first_of(mu)
    weights = tables.weights(hood, raw) if len(tables.branches) > 1 else None
    for k, (successors, probabilities) in enumerate(tables.branches):
        flow = share if weights is None else share * weights[..., k]
        flow = flow if successors.shape[1] == flow.shape[2] else xp.sum(flow, axis=2, keepdims=True)
        target = base[:, :, None, None] + successors
        following = add_at(following, target, flow[..., None] * probabilities)
    moving = tables.in_transit
    following = add_at(following, base + tables.arrivals[moving], mu[:, moving])
    return following.reshape(mu.shape), paid


def _played(tables: Tables, mu: Any, pi: Any) -> Any:
    """``(B, R, A)``: the share of all agents that is in a state and takes an action, illegal ones folded."""
    choices = tables.choices
    share = tables.of_active(mu)[..., None] * tables.of_policy(pi)
    if choices.all_legal:
        return share
    astray = share * choices.illegal[tables.active]
    return share - astray + tables.xp.sum(astray, axis=2, keepdims=True) * choices.first[tables.active]
