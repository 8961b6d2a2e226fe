"""Capacity by the clock: links that lose a share of their capacity, or all of it, for a part of each turn.

A failure ``(link, from, until, share)`` leaves a link that share of its capacity between two times of the turn. The
link's law then is its own with so much capacity; with share 0 nobody leaves it until it opens again. Which law is in
force is read off the clock, so a link still looks at its own crowd alone. (Whether a link that fails at random is open
would be a state of the world that no agent's own place holds.)

**The bound.** Phases as in :mod:`mfnet_envs.engines.day`, cut where capacities change; f_e^i is link e's law in phase
i, concave, and G^i(x) the vehicles that flows x need then. In the mean over all days, in phase i, which lasts T_i: a_oi
trips are drawn at start o a unit of time, for destinations in the odds q_ov of the demand's rows; x^i are the flows,
and l_oi who leave start o. When it begins Y_vi vehicles have a trip to v, of whom K_oi wait at start o.

1. *Demand.* T_i l_oi = T_i a_oi + K_oi - K_o,i+1 <= T_i m_i D_o; no limit without ``profile``.
2. *Trips.* T_i X_vi = T_i sum_o a_oi q_ov + Y_vi - Y_v,i+1 >= 0 end at v, and in the same moment a_oi = sum_v X_vi
   P(v, o) are drawn (:mod:`mfnet_envs.engines.respawn`). Y >= 0 adds up to V, and so sum_o K_oi <= V.
3. *Work.* Give every link a price c_e >= 0 **that is the same all day**, so that what a vehicle has to go does not jump
   where capacities do. Who passes link e has at most c_e less to go, who leaves a start dt less: with w_o what a trip
   drawn at o costs in the mean, dt included, Phi_i+1 - Phi_i >= T_i (sum_o w_o a_oi - c x^i - dt sum_o l_oi).
4. *Room.* By Jensen's inequality x_e^i <= f_e^i(mean n_e), so G^i(x^i) + dt sum_o l_oi <= V. Hence c x^i + dt sum_o
   l_oi <= V + max_x (c x - G^i(x)) = C_i, a sum of the links' conjugates; that of a closed link is 0.

3 and 4 give T_i sum_o w_o a_oi <= C_i T_i + Phi_i+1 - Phi_i, with 0 <= Phi <= V (max dist + dt), vehicles that straddle
phases included, for **every** choice of prices at once, each with a Phi of its own. Taken are the prices of the optimum
without failures, of the optimum with each phase's capacities held all day, and with the mean capacities. A day later Y,
K and Phi are what they were, so the largest mean of sum a is a linear programme, and bounds every policy. As phases get
long it tends to the mean of min(m_i, theta_i), theta_i the largest multiple with the capacities of phase i.

Point queues have no prices of this kind: a link's mean flow is at most its mean capacity, and the most is that of the
network with the mean capacities, or the mean m.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints, like, namespace
from mfnet_envs.engines.day import MOST_PHASES, Day
from mfnet_envs.engines.link_laws import BPR, MM1, PointQueue
from mfnet_envs.engines.respawn import Plan
from mfnet_envs.engines.throughput import Scale
from mfnet_envs.words import NotSolvedError, is_number, positive, share, shown

if TYPE_CHECKING:
    from mfnet_envs.engines.congestion import Congestion

MOST_PATTERNS = 8  # of capacities, the longest, for which an optimum is solved; the bound holds with any
DEAR = 1e3  # times all other links is the price of a closed one
LEAST = 1e-3  # of a capacity, in the search for prices and splits of the others where a link is closed


@dataclass(frozen=True)
class Derated:
    """A law whose closed links let nobody through; ``open (L,)``."""

    law: BPR | MM1 | PointQueue
    open: Bools

    @classmethod
    def of(cls, law: BPR | MM1 | PointQueue, shares: Floats) -> Derated:
        """``law`` with ``shares (L,)`` of its capacities."""
        opened = shares > 0
        return cls(replace(law, capacity=np.where(opened, shares, 1.0) * law.capacity), opened)

    def delay(self, n: Any) -> Any:
        """Time on a link that holds ``n (..., L)`` vehicles; inf where closed."""
        delay = self.law.delay(n)
        return namespace(n).where(like(n, self.open.astype(float)) > 0, delay, like(n, np.full(len(self.open), np.inf)))


def failing(
    day: Day | None, failures: Any, lasting: float, dt: float, named: Callable[[Any], Bools], law: Any
) -> Day | None:
    """The day with its phases cut where capacities change; without ``failures`` as it is.

    Args:
        failures: ``(link, from, until, share)`` each; after ``from`` and before ``until`` in units of time of a turn,
            over its end where ``until`` is less; of several for one link the least share counts.
        named: the links ``(L,)`` of a name, as options name them.
        law: of the links.

    Raises:
        ValueError: something else; a link that failures leave closed all day; a capacity that no time depends on.
    """
    if failures is None:
        return day
    wanted = "failures must be a list of (link, from, until, share), such as [('a to b', 7, 9, 0.5)]"
    if not isinstance(failures, list | tuple) or not failures:
        raise ValueError(f"{wanted}, not {shown(failures)}")
    positive(profile_time=lasting)
    if day is None:  # whoever is delivered starts again
        day = Day.of([1.0], lasting, dt)
        day = replace(day, multiple=np.array([np.inf]))
    turn = day.turn
    marks: list[tuple[Bools, int, int, float]] = []
    said = []
    for failure in failures:
        if not (isinstance(failure, list | tuple) and len(failure) == 4):
            raise ValueError(f"{wanted}; {shown(failure)} is none")
        link, begin, end, left = failure
        which, name = named(link), link if isinstance(link, str) else " to ".join(map(str, link))
        share(**{f"the share of its capacity that {shown(name)} keeps": left})
        if not (is_number(begin) and is_number(end) and 0 <= begin <= lasting and 0 <= end <= lasting):
            raise ValueError(
                f"failures: {shown(name)} fails from {shown(begin)} until {shown(end)}; both must lie between 0 and "
                f"profile_time={lasting:g}"
            )
        first, last = (int(np.rint(time / lasting * turn)) for time in (begin, end))
        if begin == end or first == last:
            raise ValueError(
                f"failures: {shown(name)} fails from {begin:g} until {end:g}, less than half a step of dt={dt:.4g}"
            )
        if 0 < left < 1 and (_constant(law) & which).any():
            raise ValueError(
                f"failures: the time on {shown(name)} does not depend on its capacity, so that a share of it would "
                "change nothing; only share 0 closes it"
            )
        marks.append((which, first, last, float(left)))
        kept = f"keeps {left:.4g} of its capacity" if left else "lets nobody through, and who is on it waits,"
        said.append(f"{name} {kept} in steps {first} to {last} of {turn}")
    few = "; ".join(said[:4]) + ("; ..." if len(said) > 4 else "")
    return _cut(day, marks, f"failures by the clock: {few}; vehicles and dt, where set by rule, are those without them")


def _cut(day: Day, marks: list[tuple[Bools, int, int, float]], said: str) -> Day:
    """Phases between all ends of phases and failures."""
    turn = day.turn
    ends = np.unique([*np.cumsum(day.steps), *(x for _, a, b, _ in marks for x in (a, b) if 0 < x < turn), turn])
    starts = np.append(0, ends[:-1])
    if len(ends) > MOST_PHASES:
        raise ValueError(f"profile and failures make {len(ends)} phases, and at most {MOST_PHASES} are simulated")
    shares = np.ones((len(ends), len(marks[0][0])))
    for which, first, last, left in marks:
        within = (starts >= first) & (starts < last) if first < last else (starts >= first) | (starts < last)
        shares[within] = np.where(which, np.minimum(shares[within], left), shares[within])
    if (shares == 0).all(0).any():
        raise ValueError("failures leave a link closed all day: say close= instead")
    multiple = day.multiple[[day.phase(int(t)) for t in starts]]
    return replace(day, multiple=multiple, steps=ends - starts, shares=shares, failed=(said,))


def _constant(law: BPR | MM1 | PointQueue) -> Bools:
    """``(L,)``: links whose time is the same at every flow."""
    if isinstance(law, BPR):
        return np.asarray((law.b == 0) | (law.power == 0))
    return np.zeros(len(law.capacity), bool)


def patterns(day: Day | None) -> list[Floats]:
    """Shares of capacity ``(L,)``: those of phases, the longest first, then their mean; none without failures."""
    if day is None or day.shares is None:
        return []
    rows, which = np.unique(day.shares, axis=0, return_inverse=True)
    lasts = np.bincount(which.reshape(-1), day.steps)
    return [*rows[np.argsort(-lasts, kind="stable")][:MOST_PATTERNS], day.steps @ day.shares / day.turn]


def searched(law: BPR | MM1 | PointQueue, shares: Floats) -> BPR | MM1 | PointQueue:
    """The law with ``shares (L,)`` of its capacities, a closed link all but closed."""
    return replace(law, capacity=np.maximum(shares, LEAST) * law.capacity)


def conjugate(law: BPR | MM1, shares: Floats, price: Floats) -> Floats:
    """``(L,)``: max_x (price x - G(x)), G(x) = x t(x) with ``shares`` of the capacities; inf where G is linear and
    cheaper, 0 on closed links."""
    capacity = np.where(shares > 0, shares, 1.0) * law.capacity
    if isinstance(law, MM1):  # G = x / (c - x)
        found = np.where(price * capacity > 1, (np.sqrt(price * capacity) - 1) ** 2, 0.0)
    else:  # p = t0 (1 + (q + 1) b (x / c)^q), then (p - t0) x q / (q + 1)
        flat, t0, q = _constant(law), law.free_flow_time, law.power
        spare = np.maximum(price - np.where(flat, _slope(law), t0), 0.0)
        b, power = np.where(flat, 1.0, law.b), np.where(flat, 1.0, q)
        flow = capacity * (spare / (t0 * b * (power + 1))) ** (1 / power)
        found = np.where(flat, np.where(spare > 0, np.inf, 0.0), spare * flow * power / (power + 1))
    return np.where(shares > 0, found, 0.0)


def _slope(law: BPR) -> Floats:
    """t of the links whose time is constant."""
    return np.asarray(law.free_flow_time * (1 + np.where(law.power == 0, law.b, 0.0)))


def prices(law: BPR | MM1, shares: Floats, scale: Scale) -> Floats:
    """``(L,)``: marginal costs of an optimum with ``shares`` of the capacities; a closed link costs far more than any
    way without it."""
    found = searched(law, shares)
    assert not isinstance(found, PointQueue)  # no kind of law becomes another by its capacity
    price = found.marginal().time(scale.by_destination.sum(0))
    if isinstance(law, BPR):
        price = np.where(_constant(law), np.minimum(price, _slope(law)), price)
    return np.where(shares > 0, price, np.maximum(price, DEAR * price[shares > 0].sum()))


def share_of(model: Congestion, day: Day) -> float:
    """The largest mean multiple of the demand that trips can be, by the law of links, as at the head of this file."""
    law, (mean, _) = model.law, model.by_pattern[-1]
    if isinstance(law, PointQueue):
        return min(model.largest_scale(replace(law, capacity=mean * law.capacity)).upper, day.mean)
    intact = np.ones(len(model.roads.tail)), model.optimum
    return most(day, model, [prices(law, *pair) for pair in (intact, *model.by_pattern)])


def most(day: Day, model: Congestion, families: Sequence[Floats]) -> float:
    """The linear programme.

    Vehicles are in shares of V, Phi in what the demand of a day costs; columns are a, K, Y by place, then phase, and
    Phi by prices, then phase.

    Args:
        families: prices ``(L,)``.
    """
    from scipy.optimize import linprog
    from scipy.sparse import block_array, csr_array, eye_array, kron

    assert day.shares is not None
    phases, lasts = len(day.steps), day.steps / day.turn
    leaving, ends = model.demand.sum(1), model.trips.destinations
    starts, total = np.flatnonzero(leaving > 0), float(leaving.sum())
    odds = csr_array(model.demand[np.ix_(starts, ends)] / leaving[starts, None])
    held = model.vehicles / total / day.lasting
    during, change = np.diag(lasts), csr_array(np.eye(phases) - np.roll(np.eye(phases), 1, axis=1))
    counted = np.tile(np.isfinite(day.multiple), len(starts))
    wanted = leaving[starts, None] / total * np.where(np.isfinite(day.multiple), day.multiple, 0.0) * lasts
    drawn, waiting = kron(eye_array(len(starts)), during), held * kron(eye_array(len(starts)), change)
    ended, left = kron(odds.T, during), held * kron(eye_array(len(ends)), change)  # X = ended a + left Y
    follow = kron(_begins(model.plan, starts, ends).T, eye_array(phases))
    worth, room, ahead = (np.array(part) for part in zip(*(_work(day, model, c) for c in families), strict=True))
    bounded = np.isfinite(room).reshape(-1)
    work, going = kron(csr_array(worth[:, starts]), during), kron(eye_array(len(families)), change)
    each_start, each_end = (kron(csr_array(np.ones((1, n))), eye_array(phases)) for n in (len(starts), len(ends)))
    upper = block_array(
        [
            [drawn.tocsr()[counted], waiting.tocsr()[counted], None, None],
            [-ended, None, -left, None],
            [work.tocsr()[bounded], None, None, going.tocsr()[bounded]],
            [None, each_start, None, None],
        ]
    )
    equal = block_array(
        [
            [drawn - follow @ ended, csr_array(drawn.shape), -(follow @ left), csr_array((drawn.shape[0], room.size))],
            [None, None, each_end, None],
        ]
    )
    most_work = (room * lasts).reshape(-1)[bounded]
    height = np.concatenate([wanted.reshape(-1)[counted], np.zeros(left.shape[0]), most_work, np.ones(phases)])
    right = np.append(np.zeros(drawn.shape[0]), np.ones(phases))
    most_of = [np.inf, 1.0, 1.0, *ahead]
    tops = np.repeat(most_of, [*(part.shape[0] for part in (drawn, drawn, left)), *[phases] * len(families)])
    gain = np.append(np.tile(lasts, len(starts)), np.zeros(len(tops) - drawn.shape[0]))
    bounds = np.stack([np.zeros_like(tops), tops], 1)
    found: Any = linprog(-gain, A_ub=upper, b_ub=height, A_eq=equal, b_eq=right, bounds=bounds, method="highs")
    if found.status != 0:
        raise NotSolvedError(f"the linear programme of the day did not solve: {found.message}")
    finite = np.isfinite(tops)
    dual = height @ found.ineqlin.marginals + right @ found.eqlin.marginals
    return max(-float(found.fun), -float(dual + tops[finite] @ found.upper.marginals[finite]))


def _work(day: Day, model: Congestion, price: Floats) -> tuple[Floats, Floats, float]:
    """At prices ``(L,)``: w ``(V,)``, C ``(P,)`` and the largest Phi, as parts of what the demand costs."""
    assert day.shares is not None and not isinstance(model.law, PointQueue)
    trips, leaving = model.trips, model.demand.sum(1)
    dist = model.roads.cheapest(price, trips).least
    cost = np.bincount(trips.origin, trips.volume * dist, len(leaving)) + day.dt * leaving
    work = float(cost.sum())
    each = np.divide(cost, leaving, out=np.zeros(len(leaving)), where=leaving > 0) * (leaving.sum() / work)
    room = np.array([model.vehicles + conjugate(model.law, kept, price).sum() for kept in day.shares]) / work
    return each, room, model.vehicles * (float(dist.max()) + day.dt) / work / day.lasting


def _begins(plan: Plan, starts: Ints, ends: Ints) -> Any:
    """P ``(ends, starts)``: the odds of where the next trip begins, by where one has ended."""
    from scipy.sparse import csr_array

    ending = np.bincount(plan.end, plan.rate)[plan.end]
    place = np.searchsorted(ends, plan.end), np.searchsorted(starts, plan.begin)
    return csr_array((plan.rate / ending, place), (len(ends), len(starts)))
