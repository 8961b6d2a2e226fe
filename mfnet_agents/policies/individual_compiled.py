"""The networks of ``individual.py`` in machine code: sizes side by side forwards, neurons side by side backwards.

A row's answer depends on nothing that it comes with; rows that nothing is asked of cost nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfnet_envs.backends.samplers import entry
from mfnet_envs.simulator.compiled import writable

SIDE = 128  # sizes evaluated side by side


@entry
def read(theta: Any, u: Any, scale: Any, legal: Any, temperature: Any, base: Any, f: Any, logits: Any) -> None:
    """``logits (T, K, A)``: tau f_s(u_k, e_a), minus infinity for illegal actions; ``base (M, SIDE), f (SIDE,)`` are
    scratch."""
    teams, sizes, own = u.shape
    neurons, actions = theta.shape[2], legal.shape[1]
    for s in range(teams):
        for first in range(0, sizes, len(f)):
            many = min(len(f), sizes - first)
            for m in range(neurons):
                for k in range(many):
                    base[m, k] = 0.0
                    for i in range(own):
                        base[m, k] += u[s, first + k, i] * theta[s, i, m]
            for a in range(actions):
                for k in range(many):
                    f[k] = 0.0
                if legal[s, a]:
                    for m in range(neurons):
                        weight, out = theta[s, own + a, m], scale[s, m]
                        for k in range(many):
                            f[k] += max(base[m, k] + weight, 0.0) * out
                for k in range(many):
                    logits[s, first + k, a] = temperature * f[k] if legal[s, a] else -math.inf


@entry
def slopes(theta: Any, u: Any, weights: Any, hidden: Any, summed: Any, gradient: Any) -> None:
    """sum_k sum_a weights[s, k, a] grad f_s(u_k, e_a) without the scale, added to ``gradient (T, d, M)``; ``hidden,
    summed (M,)`` are scratch."""
    teams, sizes, own = u.shape
    neurons, actions = theta.shape[2], weights.shape[2]
    for s in range(teams):
        for k in range(sizes):
            asked = False
            for a in range(actions):
                asked |= weights[s, k, a] != 0.0
            if not asked:
                continue
            hidden[:] = 0.0
            summed[:] = 0.0
            for i in range(own):
                for m in range(neurons):
                    hidden[m] += u[s, k, i] * theta[s, i, m]
            for a in range(actions):
                weight = weights[s, k, a]
                for m in range(neurons):
                    on = weight if hidden[m] + theta[s, own + a, m] > 0.0 else 0.0
                    gradient[s, own + a, m] += on
                    summed[m] += on
            for i in range(own):
                for m in range(neurons):
                    gradient[s, i, m] += u[s, k, i] * summed[m]


def logits_of(theta: Tensor, u: Tensor, scale: Tensor, legal: Tensor, temperature: float) -> Tensor:
    """``(T, K, A)`` at weights ``theta (T, d, M)`` and features ``u (T, K, F)``."""
    logits = np.empty((*u.shape[:2], legal.shape[1]))
    base, f = np.empty((theta.shape[2], SIDE)), np.empty(SIDE)
    read(_floats(theta), _floats(u), _floats(scale), writable(legal.numpy(), np.bool_), temperature, base, f, logits)
    return torch.as_tensor(logits)


def slope_of(theta: Tensor, u: Tensor, weights: Tensor) -> Tensor:
    """``(T, d, M)`` for ``weights (T, K, A)``."""
    gradient, (hidden, summed) = np.zeros(theta.shape), np.empty((2, theta.shape[2]))
    slopes(_floats(theta), _floats(u), _floats(weights), hidden, summed, gradient)
    return torch.as_tensor(gradient)


def _floats(x: Tensor) -> Any:
    return writable(x.detach().numpy(), np.float64)
