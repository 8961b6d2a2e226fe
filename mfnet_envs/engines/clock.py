"""How long a step is, how many steps an evaluation takes, and what both mean in physical time.

A link takes at least one step. By default a step is half the shortest link, so that none is rounded; where links are so
unlike that a trip would then take needlessly many steps, it is longer, and the few short links are rounded up to it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mfnet_envs.arrays import Bools, Floats
from mfnet_envs.engines.link_laws import BPR

FINE = 30  # steps a mean trip takes that are fine enough
ROUNDING = 0.01  # of a mean trip: what rounding short links up to a default step may add
MOST_STEPS = 1_000  # a mean trip takes, beyond which dt is questioned
TOO_MANY_STEPS = 1_000_000  # and refused
TOO_LONG = 1_000  # by what factor links rounded up to a step may lengthen a mean trip, before dt is refused
LONG_TRIP = 5  # of the demand's units of time, beyond which the unit is questioned
TRIPS, WARM_TRIPS = 60, 35  # mean trips of an evaluation, and of its warm-up
STEPS, WARM_STEPS = 1200, 700  # at least


def default_step(time: Floats, flow: Floats, total: float, trip: float) -> float:
    """max(half the shortest link, min(trip / FINE, the longest step that rounding allows)).

    Args:
        time: ``(L,)`` positive, of empty links; flow: ``(L,)`` of ``total`` trips, by which rounding is weighed.
        trip: the mean time of a trip.
    """
    order = np.argsort(time)
    ahead, flow = time[order], flow[order]
    # rounding up to d adds d * sum of flows - sum of flows * times, over the links shorter than d
    flows, times = np.cumsum(flow), np.cumsum(flow * ahead)
    allowed = ROUNDING * trip * total
    shorter = int(np.searchsorted(ahead * flows - times, allowed, side="right")) - 1
    longest = (allowed + times[shorter]) / flows[shorter] if flows[shorter] > 0 else math.inf
    return max(float(time.min()) / 2, min(trip / FINE, float(longest)))


def rounded(law: BPR, dt: float) -> BPR:
    """Links shorter than a step take one when empty: max(t0, dt) + t0 b (f / c)^p."""
    time, short = np.maximum(law.free_flow_time, dt), law.free_flow_time < dt
    return replace(law, free_flow_time=time, b=np.where(short, law.b * (law.free_flow_time / time), law.b))


def evaluation_steps(trip: float, dt: float) -> tuple[int, int]:
    """(steps, warm-up) that last 60 mean trips, of which 35, and 1,200 steps, of which 700, at least."""
    per_trip = trip / dt - 1e-9  # rounding adds no step
    return max(STEPS, math.ceil(TRIPS * per_trip)), max(WARM_STEPS, math.ceil(WARM_TRIPS * per_trip))


@dataclass(frozen=True)
class Pace:
    """A step and what it is measured by; times in the demand's unit.

    Attributes:
        dt: length of a step.
        trip: mean time of a trip where roads are empty.
        longer: by what share rounding links up to a step lengthens it.
        speed: length per time of such trips; 0 where lengths are not known.
        short: ``(L,)`` the links that are rounded.
    """

    dt: float
    trip: float
    longer: float
    speed: float
    short: Bools

    @classmethod
    def of(
        cls, time: Floats, flow: Floats, length: Floats, total: float, dt: float | None, busy: Callable[[], float]
    ) -> Pace:
        """The step ``dt``, or the default one.

        Args:
            time: ``(L,)`` positive, of empty links; flow: ``(L,)`` of ``total`` trips there; length: ``(L,)``.
            busy: the mean time of a trip where roads are not empty; asked where the shortest link is too short.

        Raises:
            ValueError: a step so short that nobody can wait for the end of a trip, or longer than many trips.
        """
        trip = float(flow @ time) / total
        if dt is None:
            dt = float(time.min()) / 2
            if trip / FINE > dt:
                dt = default_step(time, flow, total, busy())
        if trip / dt > TOO_MANY_STEPS:
            raise ValueError(f"dt={dt:.4g} is too short: a mean trip takes {trip / dt:.3g} steps; it lasts {trip:.4g}")
        longer = float(flow @ np.maximum(time, dt)) / total / trip - 1
        if longer > TOO_LONG:
            raise ValueError(f"dt={dt:.4g} is too long: on empty links a mean trip lasts {trip:.4g}")
        return cls(dt, trip, longer, float(flow @ length) / total / trip, time < dt)

    def questioned(self, dt: float | None, asks_unit: bool) -> tuple[list[str], list[str]]:
        """What is odd about it: notes, and what the certificate must say. Warns once of what the user may not mean.

        Args:
            dt: as the user gave it.
            asks_unit: whether the network's times may be in another unit than its demand's.
        """
        notes: list[str] = []
        caveats: list[str] = []
        questions: list[str] = []
        if asks_unit and self.trip > LONG_TRIP:
            questions.append(
                f"a mean trip takes {self.trip:.4g} units of the demand's time: is time_unit right? (for trips per "
                "hour and times in minutes it is 1/60, in seconds 1/3600)"
            )
        if self.short.any():
            count = f"{int(self.short.sum()):,} of {len(self.short):,} links"
            what = f"{count} are shorter than a step and take one, by which a mean trip is {self.longer:.2%} longer"
            caveats.append(f"{count} rounded up to a step of {self.dt:.4g}")
            (notes if dt is None else questions).append(what if dt is None else f"dt={dt:.4g}: {what}")
        if dt is not None and self.trip / dt > MOST_STEPS:
            questions.append(f"dt={dt:.4g} is short: a mean trip takes {self.trip / dt:,.0f} steps")
        if questions:
            warnings.warn("; ".join(questions), stacklevel=3)
        return notes + questions, caveats

    def said(self, steps: int, units: Mapping[str, str]) -> str:
        """The note on step, horizon, trips and speed; ``units`` of "time" and "length", empty where not known."""
        time = f" {units['time']}" if units["time"] else ""
        unit = "" if time else ", in the demand's unit of time"
        speed = f" at {self.speed:.4g} {units['length'] or 'of length'} per {units['time'] or 'unit of time'}"
        lasts = f"an evaluation {steps:,} steps = {steps * self.dt:.4g}{time}"
        if steps > STEPS:  # the ids' own time limit
            lasts += f" (gymnasium.make ends episodes after {STEPS:,} unless told max_episode_steps={steps})"
        trip = f"a mean trip on empty links {self.trip:.4g}{time}{speed if self.speed else ''}"
        return f"a step is dt = {self.dt:.4g}{time}, {lasts}, {trip}{unit}"
