"""The equations of Algorithms 1 and 2 as functions of tensors; no environment, no randomness, no state.

Axes: T steps, B worlds, V nodes (critics), L samples, S states with an actor, A actions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def td_residual(q: Tensor, r: Tensor, gamma: float, q_next: Tensor) -> Tensor:
    """delta = Q(zeta) - r - gamma Q(zeta'), Algorithm 1; any shape."""
    return q - r - gamma * q_next


def running_mean_(mean: Tensor, latest: Tensor, t: int) -> Tensor:
    """(22): ((t + 1) mean + latest) / (t + 2), the average of the iterates 0 .. t + 1, written over ``mean``."""
    return mean.lerp_(latest, 1 / (t + 2))


def lambda_advantages(delta: Tensor, cut: Tensor, gamma: float, lambda_: float) -> Tensor:
    """Generalised advantages sum_n (gamma lambda)^n delta_{t+n}, stopped after a cut.

    Args:
        delta: ``(T, B, V)`` local TD errors r + gamma V(x') - V(x) with x' the true successor.
        cut: ``(T, B)`` bool, True where the world is restarted after step t.
    """
    advantages = torch.empty_like(delta)
    following = torch.zeros_like(delta[0])
    keep = (gamma * lambda_) * (~cut).to(delta.dtype)[..., None]
    for t in range(len(delta) - 1, -1, -1):
        following = delta[t] + keep[t] * following
        advantages[t] = following
    return advantages


def credit(advantages: Tensor, ball: Tensor) -> Tensor:
    """sum_{y in N_s^kappa} A_y for every node s: ``(..., V) -> (..., V)`` by the 0/1 matrix ``ball (V, V)``."""
    return advantages @ ball.T


def centred(advantages: Tensor) -> Tensor:
    """Subtract each node's mean over the samples, ``(L, V)``.

    A sample's own action has a share 1/L in the baseline, so the mean of the gradient is multiplied by 1 - 1/L.
    """
    return advantages - advantages.mean(0, keepdim=True)


def rms(advantages: Tensor, weights: Tensor, *, per_state: bool) -> Tensor:
    """Root mean square of ``advantages (L, S)`` weighted by ``weights (L, S)``: one number, or ``(S,)`` per state."""
    axes = (0,) if per_state else (0, 1)
    total = (weights * advantages**2).sum(axes)
    return torch.sqrt(total / weights.sum(axes).clamp_min(1e-12)).clamp_min(1e-8)


def natural_step_size(gamma: float, critic_steps: int) -> float:
    """The paper's eta_critic = min((1 - gamma) / 8, T_critic^{-1/2})."""
    return min((1 - gamma) / 8, 1 / math.sqrt(critic_steps))
