"""MFNet-Braess-v0: four roads and a bridge that selfish drivers should not use.

``demand`` drivers an hour go from s to t: over a (10 x, then 50 + x) or over b (50 + x, then 10 x), x the flow of the
link. The bridge from a to b (10 + x) tempts everybody, and with it everybody is slower: Braess's paradox, as a model of
the paper's kind. :mod:`mfnet_envs.engines.congestion` is the engine; t is joined to s: a trip's end begins the next.

========== =========================================================================================================
states     6: on a link (s-a, a-t, s-b, b-t, a-b), or waiting at s for one step; without the bridge 5
actions    the ways out, in the order of the links; a choice is to be made at s (a or b) and at a (t or the bridge)
reward     g_e / max g on the two links that end at t, g_e = dt / delay_e(n_e) the chance to leave the link in this
           step; 0 elsewhere; full_scale turns its mean into trips per unit of time
kernel     leave with probability g_e, for the next link, or for s at the end of a trip; reads the own link's load only
criterion  throughput: reward per step times full_scale, 1,200 steps of which 700 warm-up; gamma .99
bound      convex programme: the largest throughput of any policy, at any population
========== =========================================================================================================

Heuristics: ``random``; ``shortest_path`` (free flow: everybody over the bridge); ``logit``; ``current_time`` (1-hop
information); ``ue`` and ``so``, the splits of the user equilibrium and of the system optimum.

Reference values (total time of equilibrium and optimum, vehicles): demand 2: 104 and 103.385; 4: 348.923 and 287.385
(price of anarchy 1.214); 6: 552 and 498; from 10 on they agree. With ``close_bridge`` the equilibrium at 6 is 498 too.
The network in the Transportation Networks' file, where trips only leave s and only reach t, gives 552 and 498 as well:
``MFNet-Routing-v0`` with ``network="Braess_net.tntp"``.

Parameters: see :class:`Braess`; trips pay as in ``Congestion.branch_rewards``. Source: Braess (1968), in the
numbers of Murchland and of LeBlanc. Versions: v0, first release.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from mfnet_envs import registration
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.engines.link_laws import BPR
from mfnet_envs.engines.roads import Roads
from mfnet_envs.words import positive

TINY = 1e-8  # stands for the free-flow time 0 of the links with time 10 x
S, A, B = range(3)
LINKS = ((S, A), (A, S), (S, B), (B, S), (A, B))
FIXED = (TINY, 50.0, 50.0, TINY, 10.0)
PER_VEHICLE = (10.0, 1.0, 1.0, 10.0, 1.0)
PLACES = ((0.0, 0.0), (1.0, 1.0), (1.0, -1.0))


class Braess(Congestion):
    """The model of this page.

    Args:
        population: N, the number of agents; they stand for ``vehicles``.
        demand: trips per unit of time that the default number of vehicles can just make.
        close_bridge: leave the bridge out.
        vehicles: on the roads at any time; default: total time of the system optimum plus the ``dt * demand`` that
            wait at s.
        dt: length of a step, in the unit of the links' times.
        gamma: discount factor per step.

    Raises:
        ValueError: for an option out of its range, in one sentence.
    """

    wording = replace(Congestion.wording, agents="drivers", place="Braess's four roads and a bridge")

    def __init__(
        self,
        population: int = 100,
        demand: float = 6.0,
        close_bridge: bool = False,
        vehicles: float | None = None,
        dt: float = 1.0,
        gamma: float = 0.99,
    ) -> None:
        positive(demand=demand)
        links = len(LINKS) - bool(close_bridge)
        tail, head = np.array(LINKS[:links]).T
        law = BPR.linear(FIXED[:links], PER_VEHICLE[:links])
        trips = np.zeros((3, 3))
        trips[S, S] = demand
        super().__init__(
            Roads(tail, head, 3), law, trips, population,
            vehicles=vehicles, dt=dt, coordinates=np.array(PLACES), gamma=gamma, evaluation=(1200, 700),
        )  # fmt: skip


build = Braess


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-Braess-v0")
env = partial(registration.env, "MFNet-Braess-v0")
