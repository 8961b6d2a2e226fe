"""The linear programme of an electric fleet by the clock: a bound for every policy, and a plan.

That of :mod:`mfnet_envs.programmes.fleet_lp` with charge as a layer of places (:mod:`mfnet_envs.engines.batteries`).
Means per step t, in agents: m_vl of the idle in zone v with l levels take a request, u_ra do the rest, with action a in
row r, w_ra gain charge, plugged in, and do a. f_vl is the part of the requests that l levels suffice for, c_v are
places. Whatever the policy, for L all levels from one upward, and for L a single level,

    m_vl + sum_a u_ra = n_r = start_r + those who left for r, to arrive at t     (idle; plugged in: w in m's place)
    sum_{l in L} m_vl / f_vl <= phi_v(sum_{l in L} n_vl),    m_vl <= f_vl rate_v,    sum_{r in v} sum_a w_ra <= c_v

Given the past, phi(n) of the n cars with the levels from one upward are called in the mean, and of those of a single
level a rise of phi by as many cars, at most phi of them, as phi is concave. Who is called takes the request with chance
f: m / f is who is called, where f > 0; levels with f = 0 may be left out of the sum. By Jensen's inequality the means
satisfy the second line, history and a central hand included. Of n cars plugged in min(n, c) <= c gain charge. Where
they go from each row has the odds of the law. Hence the largest value bounds every policy. With one car it is the best
that can be done by who may refuse requests.

In the limit of many agents a policy that plays u's and w's shares attains it where all who are called go, the fullest
first, and nobody waits for a place. Where no battery ever runs low, f does not change with the level, calls can be
spread over levels as they come, and the programme is that of ``fleet_lp``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.engines.batteries import CHARGE, REST, RIDE, Rides
from mfnet_envs.model import LocalModel
from mfnet_envs.programmes.fleet_lp import Flows, bearable, pieces_of, sparse
from mfnet_envs.simulator.tables import landings
from mfnet_envs.words import NotSolvedError

Ways = tuple[Ints, Ints, Ints, Floats]  # (which variable, row, steps later, share)


class ElectricStep(NamedTuple):
    """One step of an electric fleet: its law, what it asks for, and where its cars are charged.

    Attributes:
        model: in force. rides: of its idle cars; places: ``(V,)`` agents that can be charged at once.
    """

    model: LocalModel
    rides: Rides
    places: Floats


def solve(steps: Sequence[ElectricStep], start: Floats, *, fluid: bool, repeat: bool) -> Flows:
    """The optimum, by scipy's HiGHS; ``sent (T, R, A)`` of :class:`fleet_lp.Flows` are u + w of all active rows.

    Args:
        steps: T of them. fluid: with min(n, rate) for phi.
        start: ``(R,)`` agents at t = 0; where the turn repeats only their sum counts.

    Raises:
        NotSolvedError: the solver stopped without an optimum.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csc_array, vstack

    turn, rows = len(steps), len(start)
    landing = landings(steps[0].model)
    columns = [_Columns(step, landing, fluid) for step in steps]
    first = np.cumsum([0, *(column.size for column in columns)])
    equal, above = columns[0].equal, columns[0].above
    entries, bounded = [], []
    for t, column in enumerate(columns):
        entries.append((column.here[0] + equal * t, column.here[1] + first[t], column.here[2]))
        bounded.append((column.most[0] + above * t, column.most[1] + first[t], column.most[2]))
        which, row, late, share = column.lands
        at = (t + late) % turn if repeat else t + late
        counts = at < turn
        entries.append((equal * at[counts] + row[counts], first[t] + which[counts], -share[counts]))
    balance, limits = sparse(entries, (equal * turn, int(first[-1]))), sparse(bounded, (above * turn, int(first[-1])))
    right, height = np.zeros(equal * turn), np.concatenate([column.height for column in columns])
    if repeat:
        balance = vstack([balance, csc_array(np.concatenate([column.busy for column in columns])[None])], format="csc")
        right = np.append(right, turn * start.sum())
    else:
        right[:rows] = start
    profit = bearable(np.concatenate([column.profit for column in columns]), turn)
    upper = np.concatenate([column.upper for column in columns])
    for method in ("highs-ipm", "highs-ds"):  # the interior point is faster, and sometimes does not come back
        found: Any = linprog(
            -profit,
            A_ub=limits,
            b_ub=height,
            A_eq=balance,
            b_eq=right,
            bounds=np.stack([np.zeros_like(upper), upper], 1),
            method=method,
        )
        if found.status == 0:
            break
    if found.status != 0:
        raise NotSolvedError(f"the programme of the electric fleet has no optimum: {found.message}")
    capped, primal = np.isfinite(upper), -float(found.fun)
    dual = (
        right @ found.eqlin.marginals + height @ found.ineqlin.marginals + upper[capped] @ found.upper.marginals[capped]
    )
    sent = np.zeros((turn, rows, steps[0].model.num_actions))
    for t, column in enumerate(columns):
        np.add.at(sent[t], (column.row, column.action), np.maximum(found.x[first[t] + column.acts : first[t + 1]], 0.0))
    return Flows(max(primal, -float(dual)), abs(primal + float(dual)) / max(abs(float(dual)), 1e-12), sent)


class _Columns:
    """The variables of one step: pieces of crowds, then m by zone and level, then w and u by row and legal action.

    Attributes:
        size: how many; acts: the first w; row, action: of w and u.
        here: (row, column, value) of the step's equations, ``equal`` of them: rows, then the crowd of each
            zone and set of levels less its pieces; most: of its ``above`` inequalities, with ``height``: phi of these
            crowds, then places.
        lands: where m, w and u lead; profit, upper, busy: ``(size,)``, the last one steps that an agent is taken up.
    """

    def __init__(self, step: ElectricStep, landing: tuple[Ints, Ints], fluid: bool) -> None:
        model, rides = step.model, step.rides
        zones, levels = rides.taken.shape
        legal: Bools = model.legal[model.active]
        inner = len(legal) // zones  # rows of a zone: idle, then plugged in
        sets = np.tri(levels, dtype=bool).T  # from each level upward, and each alone, which is no news in the limit
        if not fluid:
            sets = np.concatenate([sets, np.eye(levels, dtype=bool)[:-1]])
        parts = [part for part in pieces_of(rides.rate, fluid) for _ in sets]
        crowds = len(parts)
        owner = np.repeat(np.arange(crowds), [len(slope) for slope, _ in parts])
        zone, level = np.divmod(np.arange(zones * levels), levels)
        idle = zone * inner + level
        row, action = np.nonzero(legal)
        plugged = row % inner >= levels
        charged, m = np.flatnonzero(plugged), len(owner)
        self.acts = m + zones * levels
        self.row, self.action = np.append(row[charged], row), np.append(action[charged], action)
        self.size = self.acts + len(self.row)
        self.equal, self.above = len(legal) + crowds, crowds + zones
        leaves, column = np.append(idle, self.row), np.arange(m, self.size)
        piece, at_idle = np.arange(m), np.flatnonzero(leaves % inner < levels)
        among, which = np.nonzero(sets.T[leaves[at_idle] % inner])
        crowd = leaves[at_idle][among] // inner * len(sets) + which
        self.here = (
            np.concatenate([leaves, len(legal) + crowd, len(legal) + owner]),
            np.concatenate([column, column[at_idle][among], piece]),
            np.concatenate([np.ones(len(leaves) + len(crowd)), -np.ones(m)]),
        )
        taken = rides.taken.reshape(-1)
        at, which = np.nonzero(sets.T[level] & (taken > 0)[:, None])
        slope = np.concatenate([slope for slope, _ in parts])
        w = self.acts + np.arange(len(charged))
        self.most = (
            np.concatenate([zone[at] * len(sets) + which, owner, crowds + row[charged] // inner]),
            np.concatenate([m + at, piece, w]),
            np.concatenate([1 / taken[at], -slope, np.ones(len(w))]),
        )
        self.height = np.append(np.zeros(crowds), step.places)
        rho = model.branch_rewards()
        assert rho is not None
        ride = np.where(legal, rho[..., RIDE], -np.inf).max(1)[idle]
        pay = rho[row, action]
        self.profit = np.concatenate([np.zeros(m), ride, pay[charged, CHARGE], pay[:, REST]])
        width = np.concatenate([width for _, width in parts])
        self.upper = np.concatenate([width, np.repeat(rides.rate, levels) * taken, np.full(len(self.row), np.inf)])
        ways = (
            (m, RIDE, idle, np.zeros_like(idle)),
            (self.acts, CHARGE, row[charged], action[charged]),
            (self.acts + len(charged), REST, row, action),
        )
        lands = [_led(model, landing, *way) for way in ways]
        which, landed, later, share = (np.concatenate(part) for part in zip(*lands, strict=True))
        self.lands: Ways = which, landed, later, share
        self.busy = np.zeros(self.size)
        np.add.at(self.busy, self.lands[0], self.lands[2] * self.lands[3])


def _led(model: LocalModel, landing: tuple[Ints, Ints], first: int, k: int, row: Ints, action: Ints) -> Ways:
    """Where branch k leads who takes it in ``row`` with ``action``; variables are numbered from ``first``."""
    branch, state = model.branches[k], model.active[row]
    column = action if branch.successors.shape[1] > 1 else 0
    odds = branch.probabilities[state, column]
    which, way = np.nonzero(odds)
    reached = branch.successors[state, column][which, way]
    return first + which, landing[0][reached], 1 + landing[1][reached], odds[which, way]
