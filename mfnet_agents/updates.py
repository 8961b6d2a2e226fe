"""The equations of Algorithms 1 and 2 as functions of tensors; no environment, no randomness, no state.

Rows belong to nodes (critics) or teams; sums over samples run along rows, so a row's bits do not depend on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def td_residual(q: Tensor, r: Tensor, gamma: float, q_next: Tensor) -> Tensor:
    """delta = Q(zeta) - r - gamma Q(zeta'), Algorithm 1; any shape."""
    return q - r - gamma * q_next


def running_mean_(mean: Tensor, latest: Tensor, t: int) -> Tensor:
    """(22): ((t + 1) mean + latest) / (t + 2), the average of the iterates 0 .. t + 1, written over ``mean``."""
    return mean.lerp_(latest, 1 / (t + 2))


def lambda_advantages(delta: Tensor, cut: Tensor, gamma: float, lambda_: float) -> Tensor:
    """Generalised advantages sum_n (gamma lambda)^n delta_{t+n}, stopped after a cut: ``(V, steps, B)``.

    Args:
        delta: ``(V, steps, B)`` local TD errors r + gamma V(x') - V(x) with x' the true successor.
        cut: ``(steps, B)`` bool, True where the world is restarted after step t.
    """
    advantages = torch.empty_like(delta)
    following = torch.zeros_like(delta[:, 0])
    keep = (gamma * lambda_) * (~cut).to(delta.dtype)
    for t in range(len(cut) - 1, -1, -1):
        following = delta[:, t] + keep[t] * following
        advantages[:, t] = following
    return advantages


def credit(advantages: Tensor, index: Tensor) -> Tensor:
    """sum_{y in N_s^kappa} A_y for every row s of ``index``: ``(rows, L)``, in the order of its slots.

    Args:
        advantages: ``(H, L)`` of the critics that are heard.
        index: ``(rows, D_kappa)`` places among them, nearest first; H where there is nobody.
    """
    heard = torch.cat([advantages, torch.zeros_like(advantages[:1])])
    total = heard.index_select(0, index[:, 0])
    for slot in range(1, index.shape[1]):
        total += heard.index_select(0, index[:, slot])
    return total


def centred(advantages: Tensor) -> Tensor:
    """Subtract each row's mean over the samples, ``(V, L)``.

    A sample's own action has a share 1/L in the baseline, so the mean of the gradient is multiplied by 1 - 1/L.
    """
    return advantages - advantages.mean(1, keepdim=True)


BASELINES: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda advantages: advantages, "mean": centred}


def squares(advantages: Tensor, agents: Tensor) -> Tensor:
    """Per team, the sum of ``advantages (T, L)`` squared over all ``agents (T, L)``, and their number: ``(T, 2)``."""
    return torch.stack([(agents * advantages**2).sum(1), agents.sum(1)], 1)


def rms(summed: Tensor) -> Tensor:
    """Root mean square from sums ``(..., 2)`` of :func:`squares`, added up or not; never zero."""
    return torch.sqrt(summed[..., 0] / summed[..., 1].clamp_min(1e-12)).clamp_min(1e-8)


SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda summed: torch.ones(len(summed), dtype=summed.dtype),
    "global": lambda summed: rms(summed.sum(0)).expand(len(summed)),  # the one number that all teams share
    "state": rms,
}  # from the squares of all teams (T, 2), what each one's advantages are divided by


def natural_step_size(gamma: float, critic_steps: int) -> float:
    """The paper's eta_critic = min((1 - gamma) / 8, T_critic^{-1/2})."""
    return min((1 - gamma) / 8, 1 / math.sqrt(critic_steps))
