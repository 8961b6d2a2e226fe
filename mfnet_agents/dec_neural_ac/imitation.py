"""A policy starts as a heuristic that the model knows: fitted to what it does on crowds that it meets itself."""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from mfnet_agents.config import ConfigError
from mfnet_agents.dec_neural_ac.ascent import Adam
from mfnet_agents.policies.individual import IndividualPolicy, Seen
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator
from mfnet_envs.words import did_you_mean, shown

LP_POLICY = "lp_policy"  # the last heuristic that is made of a programme's flows
PLAYED = 256  # steps of every world that the heuristic plays, about
REACH = 3  # times 1 / (1 - gamma): where a discounted episode may end
STEPS, BATCHES = 240, 8  # of Adam, each on one of so many batches of the crowds
LR, FALL = 0.05, 0.1  # its step size, which falls linearly to this fraction
SPENT, WATCHED = 0.75, 0.5  # parts: of the time to learn for imitation at most, and of that for watching the heuristic
KEPT = 2**25  # shares of lessons that are kept at most: on large networks those of some steps only
DOUBT = 0.02  # part of the heuristic's play that is spread over all legal actions, so that others stay to be learnt


def heuristic(model: LocalModel, name: str) -> Policy:
    """The heuristic of this name.

    Raises:
        ConfigError: the model has none.
    """
    known = model.heuristics()
    by_lp = [one for one in known if "lp" in one.split("_")]
    if name == LP_POLICY and by_lp:
        name = by_lp[-1]
    if name not in known:
        names = [*known, *([LP_POLICY] if by_lp else [])]
        raise ConfigError(
            f"start must be a heuristic of this model, {', '.join(names)}, not {shown(name)}{did_you_mean(name, names)}"
        )
    found: Policy = known[name]
    return found


def imitate(
    policy: IndividualPolicy, teacher: Policy, worlds: int, rng: np.random.Generator, until: float = math.inf
) -> tuple[int, str]:
    """Fit ``policy`` to ``teacher``: least cross-entropy over agents, on crowds of the teacher's own episodes.

    Args:
        until: ``time.perf_counter()`` at the end of all learning, of which imitation takes ``SPENT`` at most: it
            watches fewer steps, and its step size falls by the clock where that is quicker.

    Returns:
        the environment steps taken, about ``PLAYED`` of each of ``worlds``; and what the clock has cut, or "".
    """
    began = time.perf_counter()
    end = began + SPENT * max(0.0, until - began)
    (seen, wanted, fading), watched = _lessons(teacher, worlds, rng, began + WATCHED * (end - began))
    (steps, together), fitting, fitted = _episodes(policy.model, worlds), time.perf_counter(), 0
    moments = torch.zeros(2, *policy.theta.shape, dtype=policy.theta.dtype)
    ascent, weight = Adam(moments, 1e-5), (fading[:, None] * seen.sizes)[..., None]
    weight /= max(weight.mean(), 1e-12)
    for step in range(STEPS):
        late = STEPS * (time.perf_counter() - fitting) / max(end - fitting, 1e-9)
        if late >= STEPS:
            break
        batch, fitted = slice(step % BATCHES, None, BATCHES), step + 1
        some = Seen(seen.sizes[batch], seen.crowd[batch], seen.clock[batch])
        along = weight[batch] * (wanted[batch] - policy.shares(some))
        theta = policy.theta.clone()
        gradient = policy.score_along(some, along) / len(some.sizes)
        ascent.step_(theta, gradient, LR * (1 - (1 - FALL) * max(step, late) / STEPS))
        policy.update(theta)
    cut = [f"{watched:,} of {steps:,} steps were watched"] if watched < steps else []
    cut += [f"{fitted} of {STEPS} rounds of fitting were done"] if fitted < STEPS else []
    return watched * together, " and ".join(cut)


def lessons(model: LocalModel, worlds: int) -> int:
    """The environment steps that :func:`imitate` takes where it has the time."""
    return math.prod(_episodes(model, worlds))


def _episodes(model: LocalModel, worlds: int) -> tuple[int, int]:
    """How many steps the teacher's episodes have, and how many of them are played together."""
    steps = model.evaluation[0]
    if model.headline.criterion == "discounted":
        steps = min(steps, math.ceil(REACH / (1 - model.gamma)))
    return steps, max(1, round(worlds * PLAYED / steps))


def _lessons(
    teacher: Policy, worlds: int, rng: np.random.Generator, until: float = math.inf
) -> tuple[tuple[Seen, Floats, Floats], int]:
    """``L`` samples of episodes from their first step on, since a heuristic may be a plan over time: what was seen,
    what the teacher did ``(L, T, A)``, and how much that counts ``(L,)``; and how many steps were played. Of a network
    with many states every few steps are kept alone. After ``until`` no further step is played, ``BATCHES`` kept ones
    excepted."""
    model, simulator = teacher.model, Simulator(teacher.model)
    steps, together = _episodes(model, worlds)
    gamma = model.gamma if model.headline.criterion == "discounted" else 1.0
    legal = model.legal[model.team_states]
    every = math.ceil(steps * together * legal.size / KEPT)
    sizes: list[Ints] = []
    crowds, shares = [], []
    counts = simulator.reset(rng, together)
    for t in range(steps):
        if len(sizes) >= BATCHES and time.perf_counter() > until:
            steps = t
            break
        if t % every == 0:
            sizes.append(counts[:, model.team_states])
            crowds.append(simulator.crowd(counts).astype(np.float64))
            shares.append(teacher.teams(counts, t))
        counts = teacher.play(simulator.at(t), counts, t, rng).next_counts
    clock = np.arange(0, steps, every).repeat(together)
    wanted: Floats = (1 - DOUBT) * np.concatenate(shares) + DOUBT * legal / legal.sum(1, keepdims=True)
    fading: Floats = np.power(gamma, clock)
    return (Seen(np.concatenate(sizes), np.concatenate(crowds), clock), wanted, fading), steps
