"""Demand by the clock: how many trips may begin in each phase of a day, and how many are made at most.

By default a vehicle begins its next trip in the step after the last one ended. With a day it begins one only where one
is wanted: of n vehicles that wait at a start with demand D, min(n, m dt D) leave in a step of a phase whose multiple is
m, each with the same chance. The others wait on, and the law stays one of the own place's crowd.

**The bound.** Give every link a price c_e >= 0, and let dist be the least price of a trip's way. A vehicle with a trip
has that to go, at starts dt besides, on links the price of the way that is left, but no more than the dearest trip's.
Phase i lasts T_i. Let alpha_i be the trips that are drawn in it (where the last one ended, before the vehicle waits) as
a multiple of the demand, each start weighed by what its trips cost in the mean; x^i the mean flows; and when it begins,
Phi_i what all vehicles have to go and K_i those that wait, weighed likewise. Destinations are drawn from the demand's
rows whatever the policy, so what is drawn at a start costs the mean of its row.

1. *Demand.* E min(n, m dt D) <= m dt D leave each start in a step, so T_i alpha_i + K_i - K_{i+1} <= T_i m_i.
2. *Work.* Who passes link e has at most c_e less to go, and who leaves a start dt less, l_i of them a unit of time:
   Phi_{i+1} - Phi_i >= T_i (W alpha_i - c x^i - dt l_i), with W = sum D dist + dt total.
3. *Room.* G(x^i) + dt l_i <= V: flows need vehicles, as the laws are concave (G: flow times time, convex), and who
   leaves has waited a step. G(x) >= G(x0) + c (x - x0) for the prices c = grad G(x0).

2 and 3 give W T_i alpha_i <= C T_i + Phi_{i+1} - Phi_i, C = V - G(x0) + c x0. A day later K and Phi are what they were,
and 0 <= Phi <= V (max dist + dt), 0 <= K <= V times the largest weight of a start. In the long run as many trips begin
at each start as end there, so they are made in the proportions of the demand, and the mean of alpha over the day is the
multiple of it: at most the value of a linear programme in alpha, Phi and K. Any prices will do; those of the optimum
without a day are taken, for which C / W is theta*. A day of one phase has min(m, theta*), phases that are long beside a
trip the mean of min(m_i, theta*), short ones min(mean m, theta*).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.engines.link_laws import BPR, MM1, PointQueue
from mfnet_envs.engines.roads import Roads, Trips
from mfnet_envs.engines.throughput import Scale
from mfnet_envs.words import NotSolvedError, fits, is_number, positive, shown

MOST_PHASES = 288  # each has tables of its own where it is simulated


@dataclass(frozen=True)
class Day:
    """A turn of the clock in phases.

    Attributes:
        multiple: ``(P,)`` of the demand, how many trips may begin.
        steps: ``(P,)`` how long each phase lasts.
        dt: length of a step.
        shares: ``(P, L)`` what links keep of their capacity (:mod:`mfnet_envs.engines.failures`), or None; failed: the
            note on it.
    """

    multiple: Floats
    steps: Ints
    dt: float
    shares: Floats | None = None
    failed: tuple[str, ...] = ()

    @classmethod
    def of(cls, profile: Sequence[float], lasting: float, dt: float) -> Day:
        """Phases of equal length, but for rounding, that last ``lasting`` together, in steps of ``dt``.

        Raises:
            ValueError: a profile of no numbers, or a phase of less than half a step.
        """
        positive(profile_time=lasting)
        listed = isinstance(profile, list | tuple) or (isinstance(profile, np.ndarray) and profile.ndim == 1)
        numbers = list(profile) if listed else []
        if not (1 <= len(numbers) <= MOST_PHASES and all(is_number(m) and 0 <= m <= 1e6 for m in numbers)):
            raise ValueError(
                f"profile must be 1 to {MOST_PHASES} multiples of the demand, from 0 to a million, not {shown(profile)}"
            )
        if not any(numbers):
            raise ValueError("profile must have a multiple above 0, or no trip is ever wanted")
        fits(f"profile_time={lasting:g} at dt={dt:.4g}, turns of {lasting / dt:,.0f} steps,", round(lasting / dt))
        ends = np.rint(lasting / dt * np.arange(len(numbers) + 1) / len(numbers)).astype(np.int64)
        steps = np.diff(ends)
        if steps.min() < 1:
            raise ValueError(
                f"profile has {len(numbers)} phases in profile_time={lasting:g}, and a step is dt={dt:.4g}: give fewer "
                "phases, a longer profile_time or a shorter dt"
            )
        return cls(np.array(numbers, np.float64), steps, dt)

    @property
    def turn(self) -> int:
        """Steps of a day."""
        return int(self.steps.sum())

    @property
    def mean(self) -> float:
        """Of the multiples, by the time they last."""
        return float(self.multiple @ self.steps) / self.turn

    def phase(self, t: int) -> int:
        """Which phase step t is in."""
        return int(np.searchsorted(np.cumsum(self.steps), t % self.turn, side="right"))

    def whole(self, steps: int, warm: int) -> tuple[int, int]:
        """(steps, warm-up) of whole days, no shorter than these."""
        before, counted = (-(-part // self.turn) * self.turn for part in (warm, steps - warm))
        return before + counted, before

    @property
    def lasting(self) -> float:
        """A day in units of time."""
        return self.turn * self.dt

    def said(self) -> tuple[str, ...]:
        """The notes."""
        if not np.isfinite(self.multiple).any():
            return self.failed
        few = ", ".join(f"{m:.4g}" for m in self.multiple[:6]) + (", ..." if len(self.multiple) > 6 else "")
        each = f"{self.steps.min()} to {self.steps.max()}" if np.ptp(self.steps) else f"{self.steps[0]}"
        return (
            f"by the clock: of the demand {few} times as much may begin, for {each} steps each, in turns of "
            f"{self.turn} steps = {self.lasting:.4g}; their mean is {self.mean:.4g}; vehicles without a trip wait",
            *self.failed,
        )

    def most(
        self, roads: Roads, trips: Trips, law: BPR | MM1 | PointQueue, best: Scale, vehicles: float, leaving: Floats
    ) -> float:
        """The largest mean multiple of the demand that trips can be, as at the head of this file.

        Args:
            best: the optimum without a day; for point queues it has no prices, and the most is min(mean m, theta*).
            leaving: ``(V,)`` the demand by where it begins, also of trips that take no time.
        """
        if isinstance(law, PointQueue):
            return min(best.upper, self.mean)
        marginal, flow, waiting = law.marginal(), best.by_destination.sum(0), self.dt * float(leaving.sum())
        price = marginal.time(flow)
        budget = vehicles - float(marginal.integral(flow).sum() - flow @ price)
        dist = roads.cheapest(price, trips).least
        work = float(trips.volume @ dist) + waiting
        began = leaving > 0
        cost = np.bincount(trips.origin, trips.volume * dist, len(leaving))[began] / leaving[began] + self.dt
        days = vehicles / work / self.lasting
        return self._largest(budget / work, days * (float(dist.max()) + self.dt), days * float(cost.max()))

    def _largest(self, steady: float, ahead: float, held: float) -> float:
        """The linear programme: ``steady`` is C / W; ``ahead`` the most that Phi / W can be, ``held`` that K can, in
        days."""
        from scipy.optimize import linprog

        phases = len(self.steps)
        lasts = self.steps / self.turn
        drawn, gain = np.diag(lasts), np.eye(phases) - np.roll(np.eye(phases), 1, axis=1)  # gain @ K = K_i - K_{i+1}
        none = np.zeros((phases, phases))
        found: Any = linprog(
            np.concatenate([-lasts, np.zeros(2 * phases)]),
            A_ub=np.block([[drawn, gain, none], [drawn, none, gain]]),
            b_ub=np.concatenate([self.multiple * lasts, steady * lasts]),
            bounds=[*[(0.0, None)] * phases, *[(0.0, held)] * phases, *[(0.0, ahead)] * phases],
            method="highs",
        )
        if found.status != 0:
            raise NotSolvedError(f"the linear programme of the day did not solve: {found.message}")
        return -float(found.fun)
