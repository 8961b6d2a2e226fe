"""The linear programme of a fleet by the clock: a bound for every policy, and a plan.

Means per step t, in agents: m_vkt of the idle in zone v take an offer of class k, u_vat drive on empty by action a. A
drive takes d >= 1 steps and ends idle; p_vkw(d) is the chance that offer k leads to w in d steps. Offers arrive as
Poisson numbers D_vkt of mean rate_vkt, in each step anew. Whatever the policy,

    sum_k m_vkt + sum_a u_vat = n_vt = start_vt + those who left for v, to arrive at t
    sum_k m_vkt <= phi_vt(n_vt),       m_vkt <= rate_vkt,       phi_vt(n) = E min(n, sum_k D_vkt)

The crowd n is known before the offers of its step are drawn, so given the past the mean number served is at most
phi(n); phi is concave, and by Jensen's inequality the means satisfy the line too, history and a central hand included.
Hence the largest value of sum pay m - sum cost u bounds every policy. phi is linear between integers: its pieces are
columns of the programme, or some of its tangents, from which nothing is lost but sharpness. With phi(n) = min(n, rate)
it is the fluid programme, which holds at every population.

An episode of T steps starts with ``start`` at t = 0, and what arrives after it counts no more. A turn that is repeated
for ever is the same programme on a circle, of means over all turns: t - d is taken modulo T, nobody starts, and the
agents on their way and idle add up to the population: sum_t sum d (m + u) = T N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.engines.fleet import Step
from mfnet_envs.matching import ExpectedMin
from mfnet_envs.programmes.pieces import fewer, shares, slopes
from mfnet_envs.words import NotSolvedError

PIECES = 40  # tangents of phi a zone and step; more change the bound by less than a thousandth

DEAR = 1_000  # so far beyond what a drive can lead to that none is ever worth it, but for turns without end


@dataclass(frozen=True)
class Flows:
    """Optimal means: ``value`` of all agents over the T steps (the larger of primal and dual objective), the relative
    ``gap`` of the two, ``sent (T, V, A)`` empty, by action."""

    value: float
    gap: float
    sent: Floats

    def policy(self) -> Floats:
        """``(T, V, A)`` shares of those who are not served; *stay* where nobody is sent."""
        return shares(self.sent)


def solve(steps: Sequence[Step], start: Floats, *, fluid: bool, repeat: bool) -> Flows:
    """The optimum, by scipy's HiGHS.

    Args:
        steps: T of them. fluid: with min(n, rate) for phi.
        start: ``(V,)`` agents, all idle at t = 0; where the turn repeats only their sum counts.

    Raises:
        NotSolvedError: the solver stopped without an optimum.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csc_array, vstack

    turn, zones = len(steps), len(start)
    columns = [_Columns(step, fluid) for step in steps]
    first = np.cumsum([0, *(column.size for column in columns)])
    shape = 2 * zones * turn, int(first[-1])  # rows: who leaves less who arrives, then their crowd less its pieces
    entries = [(column.here[0] + 2 * zones * t, column.here[1] + first[t], column.here[2]) for t, column in
               enumerate(columns)]  # fmt: skip
    for t, column in enumerate(columns):
        zone, place, late, share = column.lands
        at = (t + late) % turn if repeat else t + late
        counts = at < turn
        entries.append((2 * zones * at[counts] + zone[counts], first[t] + place[counts], -share[counts]))
    balance = sparse(entries, shape)
    served = sparse(
        [(column.served[0] + zones * t, column.served[1] + first[t], column.served[2]) for t, column in
         enumerate(columns)],
        (zones * turn, shape[1]),
    )  # fmt: skip
    right = np.zeros(shape[0])
    if repeat:
        busy = np.concatenate([column.busy for column in columns])
        balance = vstack([balance, csc_array(busy[None])], format="csc")
        right = np.append(right, turn * start.sum())
    else:
        right[:zones] = start
    profit = bearable(np.concatenate([column.profit for column in columns]), turn)
    upper = np.concatenate([column.upper for column in columns])
    found: Any = linprog(
        -profit,
        A_ub=served,
        b_ub=np.zeros(zones * turn),
        A_eq=balance,
        b_eq=right,
        bounds=np.stack([np.zeros_like(upper), upper], 1),
        method="highs-ipm",
    )
    if found.status != 0:
        raise NotSolvedError(f"the programme of the fleet has no optimum: {found.message}")
    capped = np.isfinite(upper)
    primal = -float(found.fun)
    dual = -float(right @ found.eqlin.marginals + upper[capped] @ found.upper.marginals[capped])
    sent = np.zeros((turn, *steps[0].legal.shape))
    for t, column in enumerate(columns):
        sent[t][steps[t].legal] = np.maximum(found.x[first[t] + column.drives : first[t + 1]], 0.0)
    return Flows(max(primal, dual), abs(primal - dual) / max(abs(dual), 1e-12), sent)


def bearable(profit: Floats, turn: int) -> Floats:
    """``profit`` with losses of at most what ``DEAR`` turns of the best offers earn.

    A smaller loss can only raise the optimum, so it remains a bound. Of losses far beyond all that can be earned the
    solver's interior point does not come back.
    """
    best = float(profit.max(initial=0.0)) or 1.0
    return np.maximum(profit, -DEAR * turn * best)


class _Columns:
    """The variables of one step: pieces of the crowds, then served m by zone and class, then legal drives u.

    Attributes:
        size: how many; drives: the first u.
        here, served: (row, column, value) of the step's own rows; lands: (zone, column, steps later, share).
        profit, upper, busy: ``(size,)``, the last one how many steps an agent is taken up.
    """

    def __init__(self, step: Step, fluid: bool) -> None:
        zones, classes = step.rate.shape
        parts = pieces_of(step.rate.sum(1), fluid)
        owner = np.repeat(np.arange(zones), [len(slope) for slope, _ in parts])
        slope = np.concatenate([slope for slope, _ in parts])
        zone, action = np.nonzero(step.legal)
        taken, given = np.arange(zones * classes) // classes, len(owner)
        self.drives = given + zones * classes
        self.size = self.drives + len(zone)
        leaves = np.concatenate([taken, zone])
        column = np.arange(given, self.size)
        piece = np.arange(given)
        self.here = (
            np.concatenate([leaves, zones + leaves, zones + owner]),
            np.concatenate([column, column, piece]),
            np.concatenate([np.ones(2 * len(column)), -np.ones(given)]),
        )
        self.served = (
            np.concatenate([taken, owner]),
            np.concatenate([column[: len(taken)], piece]),
            np.concatenate([np.ones(len(taken)), -slope]),
        )
        offer, j = np.nonzero(step.odds.reshape(len(taken), -1))
        of_offer = (x.reshape(len(taken), -1)[offer, j] for x in (step.target, step.duration, step.odds))
        target, duration, odds = of_offer
        drives = np.arange(self.drives, self.size)
        self.lands = (
            np.concatenate([target, step.empty[zone, action]]),
            np.concatenate([given + offer, drives]),
            np.concatenate([duration, step.late[zone, action]]),
            np.concatenate([odds, np.ones(len(drives))]),
        )
        self.profit = np.concatenate([np.zeros(given), step.pay.reshape(-1), -step.cost[zone, action]])
        width = np.concatenate([width for _, width in parts])
        self.upper = np.concatenate([width, step.rate.reshape(-1), np.full(len(zone), np.inf)])
        mean = (step.odds * step.duration).sum(2).reshape(-1)
        self.busy = np.concatenate([np.zeros(given), mean, step.late[zone, action]])


def pieces_of(rate: Floats, fluid: bool) -> list[tuple[Floats, Floats]]:
    """Slopes and widths of phi's pieces, or of PIECES tangents, for each of ``rate (V,)``."""
    limit = [(part, np.array([most, np.inf])) for part, most in zip(slopes(rate, None), rate, strict=True)]
    if fluid:
        return limit
    phi = ExpectedMin(rate)
    if phi.wide.any():  # pieces without number, and so near to the limit that it serves
        return [limit[k] if phi.wide[k] else pieces_of(rate[k : k + 1], False)[0] for k in range(len(rate))]
    parts = slopes(rate, phi)
    ones = [(part, np.append(np.ones(len(part) - 1), np.inf)) for part in parts]
    return [fewer(piece[0], PIECES) if len(piece[0]) > PIECES else piece for piece in ones]


def sparse(entries: Sequence[tuple[Ints, Ints, Floats]], shape: tuple[int, int]) -> Any:
    from scipy.sparse import coo_array

    row, column, value = (np.concatenate(part) for part in zip(*entries, strict=True))
    return coo_array((value, (row, column)), shape=shape).tocsc()
