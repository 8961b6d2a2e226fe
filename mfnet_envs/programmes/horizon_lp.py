"""The programme of the next H steps from the crowd as it is: what a planner solves again and again.

Means per step t, in agents, of the active states r: m_tr are served, u_tra take action a instead. Agents in transit are
no variables: where and when each of them will be active again is known. L_d(r | j) is the share of column j of
x = (m, u) that is active again in r after d steps, one or, through states in transit, more. Whatever the policy,

    m_tr + sum_a u_tra = n_tr + sum_{d <= t} sum_j L_d(r | j) x_{t-d,j}
    sum_{r in pool p} m_tr <= phi_p(k) + (phi_p(k+1) - phi_p(k)) (sum_{r in p} (m_tr + sum_a u_tra) - k)    for every k

n_tr are those of the present crowd who are first active at t; the last line is Jensen's (phi(n) = E min(n, D) is
concave) and written with the pieces of phi as columns. So the largest value of

    sum_t gamma^t (sum fare_r m_tr + sum gain_ra u_tra)

bounds every policy over these steps, central and history dependent included. A pool may instead earn g_p(n) of its
crowd n, concave, without anybody being served: g then stands in place of phi and goes to the objective.

What comes after counts by prices, what one more agent in r is then worth. Of an average, those are the duals h_r of the
stationary programme (x does not change with t), less its price g of an agent's step for each step later than H. Of a
discounted sum they are duals of a long programme in its middle, where neither its beginning nor its end matters
(:func:`prices`). Prices tell plans apart; a value with them is no bound, since what later agents earn is concave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.matching import ExpectedMin
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.programmes.pieces import fewer, slopes
from mfnet_envs.simulator.tables import landings
from mfnet_envs.words import NotSolvedError, whole

FORGOTTEN = 0.05  # gamma^t at which the beginning and the end of a long programme are forgotten
SAME = 1e-9  # slopes


@dataclass(frozen=True)
class Crowding:
    """What :meth:`LocalModel.crowding` says: all that a programme needs to know beside the model's tables.

    Attributes:
        pool: ``(R,)`` of each active state: the crowd it counts in, 0 .. P - 1; -1 for none.
        slopes, widths: P arrays each, the pieces of phi_p, or of g_p: slopes falling, the last width infinite.
        served: the branch of those who are served; None where nobody is, and a pool's crowd earns g_p.
        fare: ``(R,)`` earned by the served.
        gain: ``(R, A)`` earned by action by the others.
    """

    pool: Ints
    slopes: Sequence[Floats]
    widths: Sequence[Floats]
    served: int | None
    fare: Floats
    gain: Floats


def service(model: LocalModel, served: int, pool: Ints, rate: Floats, phi: ExpectedMin | None) -> Crowding:
    """Pools with ``rate (P,)`` places a step for the branch ``served``; pay by the model's branch rewards.

    Args:
        phi: law of the matching at a finite population; None for the fluid limit, min(n, rate).

    Raises:
        ValueError: a model of more than two branches, or without branch rewards.
    """
    rho = model.branch_rewards()
    if rho is None or len(model.branches) != 2:
        raise ValueError(f"{type(model).__name__} needs two branches and branch rewards to be planned as a service")
    legal = model.legal[model.active]
    if phi is not None and phi.wide.any():
        phi = None
    parts = slopes(rate, phi)
    widths = [np.append(np.ones(len(s) - 1), math.inf) for s in parts]
    if phi is None:
        widths = [np.array([places, math.inf]) for places in rate]
    return Crowding(
        pool, parts, widths, served, np.where(legal, rho[..., served], -np.inf).max(1), rho[..., 1 - served]
    )


def earning(crowds: Floats, earned: Floats, pool: Ints, gain: Floats) -> Crowding:
    """Pools whose crowd earns, without anybody being served.

    Args:
        crowds: ``(K,)`` agents, rising from 0; earned: ``(K, P)`` by all of them together, from 0. Between these the
            least concave function above is taken, beyond them its last slope.
        pool: ``(R,)``; gain: ``(R, A)`` earned by action.
    """
    hulls = [_hull(crowds, values) for values in earned.T]
    slopes = [np.diff(values[hull]) / np.diff(crowds[hull]) for hull, values in zip(hulls, earned.T, strict=True)]
    widths = [np.append(np.diff(crowds[hull])[:-1], math.inf) for hull in hulls]
    return Crowding(pool, slopes, widths, None, np.zeros(len(pool)), gain)


def _hull(x: Floats, y: Floats) -> Ints:
    """Corners of the least concave function above the points (x, y), x rising."""
    hull: list[int] = []
    for n in range(len(x)):
        while len(hull) > 1 and (y[hull[-1]] - y[hull[-2]]) * (x[n] - x[hull[-1]]) <= (y[n] - y[hull[-1]]) * (
            x[hull[-1]] - x[hull[-2]]
        ):
            hull.pop()
        hull.append(n)
    return np.array(hull)


class Prices(NamedTuple):
    """Terminal values: ``worth (R,)`` of an agent in each active state, less ``per_step`` for every step it is late."""

    worth: Floats
    per_step: float


@dataclass(frozen=True)
class Plan:
    """``value`` (reward of all agents, terminal values included; the larger of primal and dual objective), the relative
    ``gap`` of the two, ``sent (H, R, A)`` and ``worth (H, R)``, what one more agent would add at each step."""

    value: float
    gap: float
    sent: Floats
    worth: Floats


class _Columns:
    """The variables of one step: pieces y, the served m, actions u; and where m and u lead.

    Attributes:
        profit, upper: ``(C,)`` of each column.
        state, action: ``(E,)`` row and action of each u; actions: their columns.
        here: sparse ``(R + P or 2 P, C)``: who leaves a state; the crowd of a pool less its pieces; its served less
            what the pieces let.
        lands: sparse ``(R, C)`` L_d for d = 1, 2, ...
        place, late: ``(S,)`` the row where an agent of a state is next active, and in how many steps.
    """

    def __init__(self, model: LocalModel, crowding: Crowding, pieces: int | None) -> None:
        from scipy.sparse import vstack

        self.place, self.late = landings(model)
        self.state, self.action = np.nonzero(model.legal[model.active])
        owner, slope, width = _pieces(crowding, pieces)
        serving = crowding.served is not None
        giver = np.flatnonzero((crowding.pool >= 0) & serving)
        pieced, moved = len(owner), len(owner) + len(giver)
        columns = moved + len(self.state)
        self.actions = slice(moved, columns)
        origin = np.concatenate([giver, self.state])
        column, pool = np.arange(pieced, columns), crowding.pool[origin]
        piece, pooled, served = np.arange(pieced), pool >= 0, np.arange(len(origin)) < len(giver)
        pools = len(crowding.slopes), columns
        self.here = vstack(
            [
                _ones(origin, column, (len(crowding.pool), columns)),
                _ones(pool[pooled], column[pooled], pools) - _ones(owner, piece, pools),
                *([_ones(pool[served], column[served], pools) - _ones(owner, piece, pools, slope)] * serving),
            ],
            format="csr",
        )
        gain = crowding.gain[self.state, self.action]
        self.profit = np.concatenate([slope * (not serving), crowding.fare[giver], gain])
        self.upper = np.append(width, np.full(columns - pieced, np.inf))
        acted = next(branch for k, branch in enumerate(model.branches) if k != crowding.served)
        led = [self._led(model, acted, self.state, self.action, moved)]
        if crowding.served is not None:
            led.append(self._led(model, model.branches[crowding.served], giver, 0 * giver, pieced))
        steps, row, col, share = (np.concatenate(part) for part in zip(*led, strict=True))
        self.lands = [
            _ones(row[steps == d], col[steps == d], (len(crowding.pool), columns), share[steps == d])
            for d in range(1, int(steps.max()) + 1)
        ]

    def _led(
        self, model: LocalModel, branch: Branch, row: Ints, action: Ints, first: int
    ) -> tuple[Ints, Ints, Ints, Floats]:
        """Entries of L for agents of active ``row`` who take ``action`` by a branch, in columns from ``first``: steps,
        row, column, share."""
        of = model.active[row], action if branch.successors.shape[1] > 1 else 0 * action
        column, successor = np.nonzero(branch.probabilities[of] > 0)
        to = branch.successors[of][column, successor]
        return 1 + self.late[to], self.place[to], first + column, branch.probabilities[of][column, successor]


def _ones(row: Ints, column: Ints, shape: tuple[int, int], values: Floats | None = None) -> Any:
    """A sparse table of ``values``, 1 by default."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(row)) if values is None else values, (row, column)), shape=shape)


def _pieces(crowding: Crowding, most: int | None) -> tuple[Ints, Floats, Floats]:
    """All pools' pieces, equal neighbours as one: (owner pool, slope, width); at most ``most`` of a pool's tangents."""
    parts = []
    for slope, width in zip(crowding.slopes, crowding.widths, strict=True):
        if most is not None and len(slope) > most and crowding.served is not None:
            parts.append(fewer(slope, most))
            continue
        starts = np.flatnonzero(np.append(True, np.diff(slope) < -SAME))
        parts.append((slope[starts], np.add.reduceat(width, starts)))
    owner = np.repeat(np.arange(len(parts)), [len(slope) for slope, _ in parts])
    return owner, np.concatenate([s for s, _ in parts]), np.concatenate([w for _, w in parts])


class Horizon:
    """The programme over ``steps`` steps, built once and solved for one crowd after another.

    Args:
        gamma: 1 for a sum.
        terminal: None for none: what happens after the last step is worth nothing.
        pieces: at most so many tangents of phi a pool, so that there is less to solve; default: all.
    """

    def __init__(
        self,
        model: LocalModel,
        crowding: Crowding,
        steps: int,
        gamma: float,
        terminal: Prices | None = None,
        pieces: int | None = None,
    ) -> None:
        from scipy.sparse import csc_array, csr_array, eye_array, kron, vstack

        whole("steps", steps)
        way = self.way = _Columns(model, crowding, pieces)
        self.shape, self.steps, self.gamma = (len(model.active), model.num_actions), steps, gamma
        rest = way.here.shape[0] - self.shape[0]
        matrix = kron(eye_array(steps), way.here)
        for d, lands in enumerate(way.lands[: steps - 1], 1):
            nothing = csr_array((rest, lands.shape[1]))
            matrix = matrix - kron(eye_array(steps, k=-d), vstack([lands, nothing]))
        self.matrix = csc_array(matrix)
        self.profit = (gamma ** np.arange(steps))[:, None] * way.profit
        if terminal is not None:
            for t in range(max(0, steps - len(way.lands)), steps):
                for d in range(steps - t, len(way.lands) + 1):
                    worth = gamma ** (t + d) * terminal.worth - terminal.per_step * (t + d - steps)
                    self.profit[t] += way.lands[d - 1].T @ worth
        self.upper = np.tile(way.upper, steps)

    def arriving(self, counts: Floats | Ints) -> Floats:
        """``counts (S,)`` -> ``(H, R)``: the present crowd, by when and where it is next active; the later left out."""
        arriving = np.zeros((self.steps, self.shape[0]))
        soon = (self.way.late < self.steps) & (self.way.place >= 0)
        np.add.at(arriving, (self.way.late[soon], self.way.place[soon]), counts[soon])
        return arriving

    def solve(self, counts: Floats | Ints) -> Plan:
        """The best plan from ``counts (S,)``, by scipy's HiGHS.

        Raises:
            NotSolvedError: the solver stopped without an optimum.
        """
        start = np.zeros((self.steps, self.way.here.shape[0]))
        start[:, : self.shape[0]] = self.arriving(counts)
        x, value, gap, duals = _solved(self.profit.reshape(-1), self.matrix, start.reshape(-1), self.upper)
        sent = np.zeros((self.steps, *self.shape))
        sent[:, self.way.state, self.way.action] = x.reshape(self.steps, -1)[:, self.way.actions]
        worth = duals.reshape(self.steps, -1)[:, : self.shape[0]] / (self.gamma ** np.arange(self.steps))[:, None]
        return Plan(value, gap, np.maximum(sent, 0.0), worth)


def stationary(model: LocalModel, crowding: Crowding) -> tuple[float, Prices]:
    """The best long-run reward of all agents per step, which no policy beats, and the prices that belong to it."""
    from scipy.sparse import csr_array, vstack

    way = _Columns(model, crowding, None)
    rest = csr_array((way.here.shape[0] - way.lands[0].shape[0], way.lands[0].shape[1]))
    away = sum(d * lands.sum(0) for d, lands in enumerate(way.lands, 1))
    matrix = vstack([way.here - vstack([sum(way.lands), rest]), csr_array(np.asarray(away)[None])], format="csc")
    start = np.zeros(matrix.shape[0])
    start[-1] = model.population
    _, value, _, duals = _solved(way.profit, matrix, start, way.upper)
    return value, Prices(duals[: len(model.active)], float(duals[-1]))


def prices(model: LocalModel, crowding: Crowding, gamma: float) -> Prices:
    """Terminal values of a discounted sum: duals in the middle of a programme from the mean first crowd."""
    forgotten = math.ceil(math.log(FORGOTTEN) / math.log(gamma))
    middle = min(forgotten, 30)
    plan = Horizon(model, crowding, middle + forgotten, gamma).solve(model.population * model.initial)
    return Prices(plan.worth[middle], 0.0)


def _solved(profit: Floats, matrix: Any, start: Floats, upper: Floats) -> tuple[Floats, float, float, Floats]:
    """max profit x, matrix x = start, 0 <= x <= upper: x, the larger of both objectives, their gap, the duals."""
    from scipy.optimize import linprog

    bounds = np.stack([np.zeros_like(upper), upper], 1)
    found: Any = linprog(-profit, A_eq=matrix, b_eq=start, bounds=bounds, method="highs")
    if found.status != 0:
        raise NotSolvedError(f"the programme of the next steps has no optimum: {found.message}")
    capped = np.isfinite(upper)
    primal = -float(found.fun)
    dual = -float(start @ found.eqlin.marginals + upper[capped] @ found.upper.marginals[capped])
    return found.x, max(primal, dual), abs(primal - dual) / max(abs(dual), 1e-12), -found.eqlin.marginals
