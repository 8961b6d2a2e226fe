"""The pull-back of ``costates.py`` once more, world by world and row by row, by numba.

It says the same to the last digits but one. A world is pulled back through a whole piece of the fragment before the
next begins; rows where nobody is are passed over where nothing is felt by nobody.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mfnet_agents.dec_neural_ac.costates import MINUS, PLUS, Advantages, Costates, Fragment, Pullback, Routes
from mfnet_agents.dec_neural_ac.own_law import Law, Laws
from mfnet_agents.policies.individual import Answers
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.backends.samplers import entry, inlined
from mfnet_envs.simulator.compiled import writable

BASE, MORE, AT, LESS = 0, 1, 2, 3  # where laws stand among those around a crowd; the next shift's are 3 further


class Graph(NamedTuple):
    """What does not change from step to step.

    Attributes:
        active, node, group: ``(R,)``; own: ``(R,)`` the shift of a row's own group at its own node.
        following: ``(S,)`` where a state in transit leads on, or no states where what is worth being there is fixed.
        hood: ``(V, D)``; slots, groups: of the shifts.
        reached, row: ``(X,)`` as in :class:`Routes`; columns, kinds, base: of each branch 1 or A, J, and where its flat
            tables ``way, odds (R, 1 or A, J)`` start; rewards: ``(R, A, K)``; rationed: a branch, or -1.
        teams: ``(T,)`` rows with a choice; near: ``(T, D)`` nodes whose crowds they hear; heard: ``(G,)`` which groups.
        gamma: the discount.
    """

    active: Any
    node: Any
    group: Any
    own: Any
    following: Any
    hood: Any
    slots: Any
    groups: Any
    reached: Any
    row: Any
    columns: Any
    kinds: Any
    base: Any
    way: Any
    odds: Any
    rewards: Any
    rationed: int
    teams: Any
    near: Any
    heard: Any
    gamma: float


class Piece(NamedTuple):
    """What was played, and the laws around it.

    Attributes:
        crowd, served, unserved: as in :class:`Fragment`; pi, one_more: ``(T, B, R, A)`` of teams as they are, and with
            one agent more; shares: ``(T, B, R, A or 1, K)`` of who is not served.
        weights: ``(1 + 3 shifts, T, B, R, A or 1, K)``; pay: ``(1 + 3 shifts, T, B, R, A)``, or no laws.
        slopes: ``(T, B, teams, A, D, G)`` how policies answer to crowds elsewhere, or of no steps.
    """

    crowd: Any
    served: Any
    unserved: Any
    pi: Any
    one_more: Any
    shares: Any
    weights: Any
    pay: Any
    slopes: Any


class Room(NamedTuple):
    """Scratch of one step of one world.

    Attributes:
        agents: ``(R,)``; one: ``(R,)`` the part of them that one is; landed: ``(X,)``; ahead: ``(2, X)``.
        gain: ``(2, R, A, K)``; mean: ``(2, A or 1, K)`` over the actions of a row.
        own: ``(2, R)`` what rows are worth but for what is ``felt (2, V, G)`` of them at nodes; later: ``(S,)``.
    """

    agents: Any
    one: Any
    landed: Any
    ahead: Any
    gain: Any
    mean: Any
    own: Any
    felt: Any
    later: Any


@inlined
def land(graph: Any, piece: Any, room: Any, t: Any, b: Any) -> None:
    """:meth:`Routes.landed`, and how many agents there are in each row."""
    rows, actions, branches = graph.rewards.shape
    column = int(piece.shares.shape[3] > 1)
    for r in range(rows):
        room.agents[r] = piece.served[t, b, r]
        for a in range(actions):
            room.agents[r] += piece.unserved[t, b, r, a]
    for x in range(len(room.landed)):
        room.landed[x] = 0.0
    for r in range(rows):
        if room.agents[r] == 0.0:
            continue
        for k in range(branches):
            columns, kinds, part = graph.columns[k], graph.kinds[k], 0.0
            for a in range(actions):
                if k == graph.rationed:
                    part = piece.served[t, b, r]
                elif columns == 1:
                    part += piece.unserved[t, b, r, a] * piece.shares[t, b, r, a * column, k]
                else:
                    part = piece.unserved[t, b, r, a] * piece.shares[t, b, r, a * column, k]
                if part > 0.0 and (columns > 1 or a == actions - 1):
                    start = graph.base[k] + (r * columns + (a if columns > 1 else 0)) * kinds
                    for at in range(start, start + kinds):
                        room.landed[graph.way[at]] += part * graph.odds[at]
    for r in range(rows):
        room.one[r] = 1.0 / max(room.agents[r], 1.0)
    for x in range(len(room.landed)):
        room.landed[x] *= room.one[graph.row[x]]


@inlined
def look(graph: Any, room: Any, everywhere: Any, b: Any) -> None:
    """:meth:`Routes.gains`."""
    rows, actions, branches = graph.rewards.shape
    for x in range(len(room.landed)):
        less, more = everywhere[MINUS, b, graph.reached[x]], everywhere[PLUS, b, graph.reached[x]]
        room.ahead[MINUS, x] = more + room.landed[x] * (less - more)
        room.ahead[PLUS, x] = more
    for k in range(branches):
        columns, kinds = graph.columns[k], graph.kinds[k]
        for r in range(rows):
            minus = plus = 0.0
            for a in range(actions):
                if a < columns:
                    minus = plus = 0.0
                    start = graph.base[k] + (r * columns + a) * kinds
                    for at in range(start, start + kinds):
                        minus += graph.odds[at] * room.ahead[MINUS, graph.way[at]]
                        plus += graph.odds[at] * room.ahead[PLUS, graph.way[at]]
                room.gain[MINUS, r, a, k] = graph.rewards[r, a, k] + graph.gamma * minus
                room.gain[PLUS, r, a, k] = graph.rewards[r, a, k] + graph.gamma * plus


@inlined
def average(piece: Any, room: Any, pi: Any, one: Any, t: Any, b: Any, r: Any) -> None:
    """What taking a branch is worth in the mean over a row's actions, to who is counted or to one more: ``mean[one]``.

    Laws are linear in it: it is made once for all of them.
    """
    columns, branches = piece.weights.shape[4:]
    for k in range(branches):
        for column in range(columns):
            room.mean[one, column, k] = 0.0
        for a in range(pi.shape[3]):
            room.mean[one, a if columns > 1 else 0, k] += pi[t, b, r, a] * room.gain[one, r, a, k]


@inlined
def worth(piece: Any, room: Any, pi: Any, law: Any, one: Any, t: Any, b: Any, r: Any) -> Any:
    """:meth:`Law.worth` in the mean over the actions that :func:`average` was asked about."""
    found = 0.0
    if len(piece.pay) > 0:
        for a in range(pi.shape[3]):
            found += pi[t, b, r, a] * piece.pay[law, t, b, r, a]
    for column in range(piece.weights.shape[4]):
        for k in range(piece.weights.shape[5]):
            found += piece.weights[law, t, b, r, column, k] * room.mean[one, column, k]
    return found


@inlined
def choose(graph: Any, piece: Any, room: Any, found: Any, t: Any, b: Any, r: Any) -> None:
    """What a row's actions are worth to who has a choice."""
    _, actions, branches = graph.rewards.shape
    column = int(piece.shares.shape[3] > 1)
    for a in range(actions):
        chosen = piece.pay[BASE, t, b, r, a] if len(piece.pay) > 0 else 0.0
        for k in range(branches):
            chosen += piece.shares[t, b, r, a * column, k] * room.gain[MINUS, r, a, k]
        found[t, b, r, a] = chosen


@inlined
def value(graph: Any, piece: Any, room: Any, t: Any, b: Any, r: Any) -> None:
    """What a row's last agent and one more are worth by their own pay, and what the others there feel of those at its
    node and around (:meth:`Pullback._externality`)."""
    own, agents, v = graph.own[r], room.agents[r], graph.node[r]
    average(piece, room, piece.one_more, PLUS, t, b, r)
    room.own[PLUS, r] = worth(piece, room, piece.one_more, 3 * own + MORE, PLUS, t, b, r)
    if agents == 0.0:
        average(piece, room, piece.one_more, MINUS, t, b, r)
        room.own[MINUS, r] = worth(piece, room, piece.one_more, 3 * own + AT, MINUS, t, b, r)
        return
    average(piece, room, piece.pi, MINUS, t, b, r)
    average(piece, room, piece.pi, PLUS, t, b, r)
    room.own[MINUS, r] = worth(piece, room, piece.pi, 3 * own + AT, MINUS, t, b, r)
    base = worth(piece, room, piece.pi, BASE, MINUS, t, b, r)
    for shift in range(len(graph.slots)):
        group, at = graph.groups[shift], graph.hood[v, graph.slots[shift]]
        if at < 0:
            continue
        less = worth(piece, room, piece.pi, 3 * shift + AT, MINUS, t, b, r)
        less -= worth(piece, room, piece.pi, 3 * shift + LESS, MINUS, t, b, r)
        more, others = worth(piece, room, piece.pi, 3 * shift + MORE, MINUS, t, b, r) - base, agents
        if shift == own:  # of c agents in the group, c - 1 are others, and land where it lands
            crowd = piece.crowd[t, b, v, group]
            others *= max(crowd - 1.0, 0.0) / max(crowd, 1.0)
            again = worth(piece, room, piece.pi, 3 * shift + AT, PLUS, t, b, r)
            again -= worth(piece, room, piece.pi, 3 * shift + LESS, PLUS, t, b, r)
            room.own[MINUS, r] += others * (less - again)
            again = worth(piece, room, piece.pi, 3 * shift + MORE, PLUS, t, b, r)
            again -= worth(piece, room, piece.pi, BASE, PLUS, t, b, r)
            room.own[PLUS, r] -= agents * (more - again)
        room.felt[MINUS, at, group] += others * less
        room.felt[PLUS, at, group] += agents * more


@inlined
def answer(graph: Any, piece: Any, room: Any, found: Any, t: Any, b: Any) -> None:
    """:meth:`Pullback._answered`."""
    for s in range(len(graph.teams)):
        r, many = graph.teams[s], 0.0
        for a in range(found.shape[3]):
            many += piece.unserved[t, b, r, a]
        if many == 0.0:
            continue
        for d in range(graph.near.shape[1]):
            for g in range(len(graph.heard)):
                made = 0.0
                for a in range(found.shape[3]):
                    made += piece.slopes[t, b, s, a, d, g] * found[t, b, r, a]
                for one in range(2):
                    room.felt[one, graph.near[s, d], graph.heard[g]] += many * made


@entry
def pull(graph: Any, piece: Any, room: Any, everywhere: Any, values: Any, found: Any) -> None:
    """Costates ``values (2, T, B, R)`` and the worth of actions ``found (T, B, R, A)``; the costates just after the
    piece, ``everywhere (2, B, S)``, become those just before it."""
    for b in range(everywhere.shape[1]):
        for t in range(len(found) - 1, -1, -1):
            land(graph, piece, room, t, b)
            look(graph, room, everywhere, b)
            room.felt[:] = 0.0
            for r in range(len(graph.active)):
                choose(graph, piece, room, found, t, b, r)
                value(graph, piece, room, t, b, r)
            if len(piece.slopes) > 0:
                answer(graph, piece, room, found, t, b)
            for one in range(2):
                if len(graph.following) > 0:
                    for state in range(len(graph.following)):
                        room.later[state] = graph.gamma * everywhere[one, b, graph.following[state]]
                    for state in range(len(graph.following)):
                        everywhere[one, b, state] = room.later[state]
                for r in range(len(graph.active)):
                    total = room.own[one, r] + room.felt[one, graph.node[r], graph.group[r]]
                    values[one, t, b, r] = total
                    everywhere[one, b, graph.active[r]] = total


@entry
def leads(rows: Any, unserved: Any, worth: Any, pi: Any, agents: Any, chosen: Any, ahead: Any, summed: Any) -> None:
    """:meth:`Pullback.advantages`, into the last four."""
    actions = pi.shape[2]
    for i in range(len(pi)):
        for s in range(len(rows)):
            r, many, mean, square = rows[s], 0.0, 0.0, 0.0
            for a in range(actions):
                many += unserved[i, r, a]
                chosen[i, s, a] = pi[i, r, a]
                ahead[i, s, a] = worth[i, r, a] if pi[i, r, a] > 0.0 else 0.0
                mean += pi[i, r, a] * ahead[i, s, a]
            for a in range(actions):
                ahead[i, s, a] -= mean
                square += pi[i, r, a] * ahead[i, s, a] * ahead[i, s, a]
            agents[i, s] = many
            summed[s, 0] += many * square
            summed[s, 1] += many


class CompiledPullback(Pullback):
    """See :class:`Pullback`."""

    def _through(
        self, fragment: Fragment, piece: slice, routes: Routes, laws: Laws, one_more: Floats, heard: Answers | None,
        found: Costates, everywhere: Floats,
    ) -> Floats:  # fmt: skip
        graph, rows = self._graph(routes, laws, heard), len(self.active)
        weights, pay = _stacked(laws)
        shares = routes.open_weights(laws.base.weights)
        played = Piece._make(
            _floats(x)
            for x in (
                *(x[piece] for x in fragment[:1] + fragment[2:4]),
                found.pi[piece],
                one_more,
                shares,
                weights,
                pay,
                np.empty((0,) * 6) if heard is None else heard.slopes,
            )
        )
        nodes, groups, reached = *fragment.crowd.shape[2:], len(routes.reached)
        shapes = [(rows,), (rows,), (reached,), (2, reached), (2, *routes.shape), (2, *weights.shape[4:]), (2, rows)]
        room = Room._make(np.zeros(shape) for shape in (*shapes, (2, nodes, groups), everywhere.shape[2:]))
        values, worth = np.empty((2, *one_more.shape[:3])), np.empty(one_more.shape)
        before = everywhere.copy()
        pull(graph, played, room, before, values, worth)
        found.values[:, piece], found.worth[piece] = values, worth
        return before

    def advantages(self, fragment: Fragment, found: Costates, rows: Ints) -> Advantages:
        samples, actions = fragment.served.shape[0] * fragment.served.shape[1], found.pi.shape[3]
        unserved, worth, pi = (
            _floats(x).reshape(samples, *x.shape[2:]) for x in (fragment.unserved, found.worth, found.pi)
        )
        chosen, ahead = np.empty((2, samples, len(rows), actions))
        made = Advantages(np.empty(chosen.shape[:2]), chosen, ahead, np.zeros((len(rows), 2)))
        leads(_ints(rows), unserved, worth, pi, made.agents, made.pi, made.ahead, made.summed)
        return made

    def _graph(self, routes: Routes, laws: Laws, heard: Answers | None) -> Graph:
        columns, kinds = (np.array([way.shape[axis] for way in routes.ways]) for axis in (1, 2))
        way, odds = (np.concatenate([x.reshape(-1) for x in each]) for each in (routes.ways, routes.odds))
        slots, groups = (np.array([getattr(shift, name) for shift in laws.shifts]) for name in ("slot", "group"))
        return Graph(
            active=_ints(self.active),
            node=_ints(self.node),
            group=_ints(self.group),
            own=_ints(np.argmax((slots == 0) & (groups == self.group[:, None]), 1)),
            following=_ints(self.next if self.is_whole else []),
            hood=_ints(self.law(0).hood),
            slots=_ints(slots),
            groups=_ints(groups),
            reached=_ints(routes.reached),
            row=_ints(routes.row),
            columns=_ints(columns),
            kinds=_ints(kinds),
            base=_ints(np.cumsum([0, *(way.size for way in routes.ways[:-1])])),
            way=_ints(way),
            odds=_floats(odds),
            rewards=_floats(routes.rewards),
            rationed=-1 if routes.quota is None else routes.quota,
            teams=_ints(self.teams),
            near=_ints(np.empty((0, 0)) if heard is None else heard.near),
            heard=_ints([] if heard is None else heard.groups),
            gamma=self.gamma,
        )


def _stacked(laws: Laws) -> tuple[Floats, Floats]:
    """Weights and pay of the law and of its shifts, one after the other."""
    around: list[Law] = [laws.base, *(law for shift in laws.shifts for law in (shift.more, shift.at, shift.less))]
    pay = [law.pay for law in around if law.pay is not None]
    return np.stack([law.weights for law in around]), np.stack(pay) if pay else np.empty((0,) * 5)


def _ints(x: Any) -> Any:
    return writable(x, np.int64)


def _floats(x: Any) -> Any:
    return writable(x, np.float64)
