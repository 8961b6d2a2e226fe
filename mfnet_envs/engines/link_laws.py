"""Link laws: how crowding slows a link down, seen from its flow and from the number of vehicles on it.

A law gives the time t(f) on a link with steady flow f. By Little's law the link then holds n = f t(f) vehicles, and a
link that holds n lets ``f(n)`` through. f is concave in n for every law here, the one fact behind the bound of the
congestion scenarios. All tables are ``(L,)``, one entry per link, in one unit of time and of vehicles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs.arrays import Bools, Floats, like, namespace

NEWTON_STEPS = 8  # from a starting point at most a third too high; quadratic, so this is full precision
EMPTY = 1e-6  # load that stands for 0 in slopes, which are infinite there for powers below 1
EDGE = 1 - 1e-6  # load beyond which the M/M/1 cost is continued along its tangent, so that it is finite everywhere


class Cost(Protocol):
    """An increasing cost of a link's own flow; all methods take and give ``(L,)``."""

    def time(self, flow: Floats) -> Floats:
        """The cost at this flow."""

    def slope(self, flow: Floats) -> Floats:
        """Its derivative."""

    def integral(self, flow: Floats) -> Floats:
        """Its integral from 0."""


class LinkLaw(Protocol):
    """What the congestion engine asks of a law."""

    def delay(self, n: Any) -> Any:
        """Time on a link that holds ``n (..., L)`` vehicles; numpy or torch."""

    def marginal(self) -> Cost:
        """What one more vehicle costs all: d/df f t(f). Its integral is f t(f), the vehicles on the link."""


@dataclass(frozen=True)
class BPR:
    """Roads, after the Bureau of Public Roads: t(f) = t0 (1 + b (f / c)^p).

    Attributes:
        free_flow_time: t0 > 0.
        capacity: c > 0.
        b, power: >= 0; the power is kept as 0 where crowding adds nothing, so that nothing times infinity is not asked.
    """

    free_flow_time: Floats
    capacity: Floats
    b: Floats
    power: Floats

    def __post_init__(self) -> None:
        flat = (self.free_flow_time == 0) | (self.b == 0)
        object.__setattr__(self, "power", np.where(flat, 0.0, self.power))

    @classmethod
    def linear(cls, fixed: ArrayLike, per_vehicle: ArrayLike) -> BPR:
        """t(f) = fixed + per_vehicle f, both ``(L,)``, fixed > 0.

        >>> BPR.linear([10.0], [2.0]).time(np.array([5.0])).tolist()
        [20.0]
        """
        t0, slope = np.asarray(fixed, np.float64), np.asarray(per_vehicle, np.float64)
        return cls(t0, np.ones(len(t0)), slope / t0, np.ones(len(t0)))

    def time(self, flow: Floats) -> Floats:
        """t(f)."""
        return self.free_flow_time * (1 + self.b * (flow / self.capacity) ** self.power)

    def slope(self, flow: Floats) -> Floats:
        """dt/df."""
        load = np.maximum(flow / self.capacity, EMPTY)
        return self.free_flow_time * self.b * self.power / self.capacity * load ** (self.power - 1)

    def integral(self, flow: Floats) -> Floats:
        """Its integral from 0."""
        return self.free_flow_time * flow * (1 + self.b * (flow / self.capacity) ** self.power / (self.power + 1))

    def marginal(self) -> BPR:
        """d/df f t(f) = t0 (1 + (p + 1) b (f / c)^p): the same law with another b."""
        return replace(self, b=self.b * (self.power + 1))

    def delay(self, n: Any) -> Any:
        """t(f) where n = f t(f): with y = f / c, the root of y (1 + b y^p) = n / (t0 c), by Newton from above."""
        xp = namespace(n)
        t0, b, p = like(n, self.free_flow_time), like(n, self.b), like(n, self.power)
        u = n / like(n, self.free_flow_time * self.capacity)
        crowded = (u / like(n, np.where(self.b > 0, self.b, 1.0))) ** (1 / (p + 1))
        y = xp.where(b > 0, xp.minimum(u, crowded), u)
        for _ in range(NEWTON_STEPS):
            yp = y**p
            y = (u + b * p * y * yp) / (1 + b * (p + 1) * yp)
        return t0 * (1 + b * y**p)


@dataclass(frozen=True)
class WithFixedCost:
    """A law of time and what a link costs besides, the same at every flow: a toll, say, in units of time.

    Attributes:
        law: of the time. Its ``marginal()`` in here is the marginal generalised cost: a fixed cost is its own.
        fixed: ``(L,)`` >= 0.
    """

    law: BPR
    fixed: Floats

    def time(self, flow: Floats) -> Floats:
        """The law's time and the fixed cost."""
        return self.law.time(flow) + self.fixed

    def slope(self, flow: Floats) -> Floats:
        """The law's own."""
        return self.law.slope(flow)

    def integral(self, flow: Floats) -> Floats:
        """Its integral from 0."""
        return self.law.integral(flow) + self.fixed * flow

    def of(self, which: Bools) -> WithFixedCost:
        """For the links ``which (L,)`` alone."""
        law = self.law
        some = BPR(law.free_flow_time[which], law.capacity[which], law.b[which], law.power[which])
        return WithFixedCost(some, self.fixed[which])


@dataclass(frozen=True)
class MM1:
    """A queue with Poisson arrivals and exponential service: t(f) = 1 / (c - f), so f(n) = c n / (1 + n).

    Attributes:
        capacity: c > 0.
    """

    capacity: Floats

    def time(self, flow: Floats) -> Floats:
        """t(f), its tangent beyond where the queue would be longer than is computed with."""
        inside, beyond = self._parts(flow)
        return 1 / (self.capacity - inside) + beyond * self.slope(inside)

    def slope(self, flow: Floats) -> Floats:
        """dt/df."""
        slope: Floats = (self.capacity - self._parts(flow)[0]) ** -2
        return slope

    def integral(self, flow: Floats) -> Floats:
        """Its integral from 0."""
        inside, beyond = self._parts(flow)
        return -np.log1p(-inside / self.capacity) + beyond * self.time(inside) + beyond**2 * self.slope(inside) / 2

    def marginal(self) -> MM1Marginal:
        """d/df f t(f) = c / (c - f)^2."""
        return MM1Marginal(self.capacity)

    def delay(self, n: Any) -> Any:
        """1 / (c - f) where n = f / (c - f): (1 + n) / c."""
        return (1 + n) / like(n, self.capacity)

    def _parts(self, flow: Floats) -> tuple[Floats, Floats]:
        inside = np.minimum(flow, EDGE * self.capacity)
        return inside, flow - inside


@dataclass(frozen=True)
class MM1Marginal(MM1):
    """d/df f / (c - f) = c / (c - f)^2."""

    def time(self, flow: Floats) -> Floats:
        inside, beyond = self._parts(flow)
        return self.capacity / (self.capacity - inside) ** 2 + beyond * self.slope(inside)

    def slope(self, flow: Floats) -> Floats:
        slope: Floats = 2 * self.capacity * (self.capacity - self._parts(flow)[0]) ** -3
        return slope

    def integral(self, flow: Floats) -> Floats:
        inside, beyond = self._parts(flow)
        on_link = inside / (self.capacity - inside)
        return on_link + beyond * self.time(inside) + beyond**2 * self.slope(inside) / 2


@dataclass(frozen=True)
class PointQueue:
    """Free flow up to the capacity, then a queue (Vickrey 1969): f(n) = min(n / t0, c). No law from flow to time.

    Attributes:
        free_flow_time: t0 > 0.
        capacity: c > 0.
    """

    free_flow_time: Floats
    capacity: Floats

    def delay(self, n: Any) -> Any:
        """n / f(n): t0 up to the capacity, n / c beyond."""
        xp = namespace(n)
        t0 = like(n, self.free_flow_time)
        return xp.maximum(t0 + 0 * n, n / like(n, self.capacity))
