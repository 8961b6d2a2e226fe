"""MFNet-Pigou-v0: two roads, one that never fills and one that does.

``demand`` drivers an hour go from s to t by a road that takes 1 or by one that takes x^power, x its flow. At demand 1
all selfish drivers take the second, for a total time of 1; the best is to send only (power + 1)^(-1 / power) of them,
half for power 1 (a total time of 3/4), and ever more for higher powers (in ever less time). t is joined to s. See
:mod:`mfnet_envs.engines.congestion`.

========== =========================================================================================================
states     3: on the constant road, on the other one, or waiting at s for one step
actions    at s: 0 the constant road, 1 the other one
reward     g_e / max g on both roads, g_e = dt / delay_e(n_e) the chance to arrive in this step; 0 at s
kernel     arrive with probability g_e, else stay; reads the own road's load only
criterion  throughput: reward per step times full_scale, 1,200 steps of which 700 warm-up; gamma .99
bound      convex programme: the largest throughput of any policy, at any population
========== =========================================================================================================

Heuristics: ``random``; ``shortest_path`` (free flow: all take the second road); ``logit``; ``current_time`` (1-hop
information); ``ue`` and ``so``, the splits of the user equilibrium and of the system optimum.

Parameters: see :class:`Pigou`; trips pay as in ``Congestion.branch_rewards``. Source: Pigou (1920); Roughgarden
and Tardos (2002) for the powers. Versions: v0, first release.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from mfnet_envs import registration
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.engines.link_laws import BPR
from mfnet_envs.engines.roads import Roads
from mfnet_envs.words import is_number, positive, shown

TINY = 1e-8  # stands for the free-flow time 0 of the second road


class Pigou(Congestion):
    """The model of this page.

    Args:
        population: N, the number of agents; they stand for ``vehicles``.
        demand: trips per unit of time that the default number of vehicles can just make.
        power: of the second road's time x^power, at least 1.
        vehicles: on the roads at any time; default: total time of the system optimum plus the ``dt * demand`` that
            wait at s.
        dt: length of a step, in the unit of the roads' times.
        gamma: discount factor per step.

    Raises:
        ValueError: for an option out of its range, in one sentence.
    """

    wording = replace(Congestion.wording, agents="drivers", place="Pigou's two roads")

    def __init__(
        self,
        population: int = 100,
        demand: float = 1.0,
        power: float = 1.0,
        vehicles: float | None = None,
        dt: float = 0.05,
        gamma: float = 0.99,
    ) -> None:
        positive(demand=demand)
        if not (is_number(power) and 1 <= power <= 1e6):
            raise ValueError(f"power must be a number, at least 1 and at most a million, not {shown(power)}")
        if demand > 1e9:
            raise ValueError(f"demand must be at most 1e9, beyond which no assignment is solved, not {shown(demand)}")
        law = BPR(np.array([1.0, TINY]), np.ones(2), np.array([0.0, 1 / TINY]), np.array([1.0, power]))
        super().__init__(
            Roads(np.zeros(2, int), np.zeros(2, int), 1), law, np.array([[float(demand)]]), population,
            vehicles=vehicles, dt=dt, gamma=gamma, evaluation=(1200, 700),
        )  # fmt: skip


build = Pigou


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-Pigou-v0")
env = partial(registration.env, "MFNet-Pigou-v0")
