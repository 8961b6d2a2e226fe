"""The compiled step: the law of ``simulator/counts.py`` once more, lane by lane and row by row, by numba.

One lane is stepped to the end before the next begins. Nothing here knows a scenario: a :class:`Program` and a
:class:`Law` are its tables, and whoever makes them asks the model's own functions.
"""

from __future__ import annotations

from typing import Any

from mfnet_envs.backends.samplers import (
    FEW,
    GOLDEN,
    binomial,
    entry,
    guesses,
    hypergeometric,
    inlined,
    key_of,
    of_row,
    poisson,
    shared_out,
    unit,
)

DONE, CROWD, SIZE = 0, 1, 2  # how :func:`advance` came back: a crowd, or a team, is larger than its table

# -- cells that draw side by side -------------------------------------------------------------------------------------


@inlined
def take(many: Any, room: Any) -> None:
    """Binomials of ``many`` cells: ``taken`` of those ``left``, each with its ``chance``.

    Most are settled by the first number of :func:`binomial`, in a loop without branches that runs several at a time;
    the others are drawn from that same number on.
    """
    guesses(many, room.left, room.chance, room.random, room.guess)
    for i in range(many):
        if room.guess[i] >= 0.0:
            room.taken[i] = int(room.guess[i])
            room.random[i] += GOLDEN
        else:
            room.taken[i], room.random[i] = binomial(room.left[i], room.chance[i], room.random[i])
        room.left[i] -= room.taken[i]


@inlined
def share(cells: Any, kinds: Any, weight: Any, drawn: Any, room: Any, key: Any) -> None:
    """Multinomials of cells that are not empty: ``agents`` by ``weight[start:start + kinds]``, into ``drawn`` from
    ``at`` on."""
    many = 0
    for c in range(cells):
        if room.agents[c] < FEW * (kinds - 1):
            random = of_row(key, room.part[c])
            shared_out(room.agents[c], weight, room.start[c], kinds, drawn, room.at[c], room.sums, random)
        else:
            room.left[many], room.cell[many], room.random[many] = room.agents[c], c, of_row(key, room.part[c])
            many += 1
    if many == 0:
        return
    for j in range(kinds - 1):
        for i in range(many):
            start, rest = room.start[room.cell[i]], 0.0
            for later in range(kinds - 1, j - 1, -1):
                rest += weight[start + later]
            room.chance[i] = weight[start + j] / rest if rest > 0.0 else 0.0
        take(many, room)
        for i in range(many):
            drawn[room.at[room.cell[i]] + j] = room.taken[i]
    for i in range(many):
        drawn[room.at[room.cell[i]] + kinds - 1] = room.left[i]


# -- a step -----------------------------------------------------------------------------------------------------------


@inlined
def arrive(program: Any, state: Any, agents: Any, there: Any, ahead: Any, arriving: Any, found: Any) -> Any:
    """Agents come into a state; states in transit that are not empty any more are listed."""
    if there[state] == 0 and agents > 0 and program.transit[state]:
        arriving[found] = state
        found += 1
    there[state] += agents
    ahead[program.place[state]] += agents
    return found


@inlined
def leave(
    program: Any, k: Any, source: Any, stride: Any, offset: Any, room: Any, live: Any, there: Any, ahead: Any,
    arriving: Any, found: Any, record: Any, b: Any, t: Any, key: Any,
) -> Any:  # fmt: skip
    """Agents ``source[offset::stride] (R, A)`` leave by branch k, together where the action does not matter."""
    actions = program.legal.shape[1]
    columns, kinds, traced, many = program.columns[k], program.kinds[k], t < len(record.went), 0
    for w in range(live):
        row = room.live[w]
        for column in range(columns):
            agents = 0
            for a in range(column, actions if columns == 1 else column + 1):
                n = source[(row * actions + a) * stride + offset]
                agents += n
                if traced:
                    record.went[t, b, row, a, k] = n
            if agents == 0:
                continue
            start, part = program.base[k] + (row * columns + column) * kinds, part_of(program, row, 3 + actions)
            part += k * actions + column
            if kinds == 1:
                found = arrive(program, program.successor[start], agents, there, ahead, arriving, found)
            elif agents < FEW * (kinds - 1):
                random = of_row(key, part)
                for _ in range(agents):
                    random += GOLDEN
                    u = unit(random) * kinds
                    j = int(u)
                    at = start + (j if u - j < program.cut[start + j] else program.alias[start + j])
                    found = arrive(program, program.successor[at], 1, there, ahead, arriving, found)
                    if traced:
                        record.moves[t, at] += 1
            else:
                room.left[many], room.start[many], room.random[many] = agents, start, of_row(key, part)
                many += 1
    if many == 0:
        return found
    for j in range(kinds):
        for i in range(many):
            room.chance[i] = program.chance[room.start[i] + j]
        take(many, room)
        for i in range(many):
            at = room.start[i] + j
            found = arrive(program, program.successor[at], room.taken[i], there, ahead, arriving, found)
            if traced:
                record.moves[t, at] += room.taken[i]
    return found


@inlined
def settle(program: Any, there: Any, ahead: Any, arriving: Any, random: Any) -> Any:
    """The whole population in fresh states; returns how many states in transit are not empty."""
    left, found, kinds = program.population, 0, len(program.start)
    if left < FEW * (kinds - 1):
        for _ in range(left):
            random += GOLDEN
            u = unit(random) * kinds
            j = int(u)
            state = j if u - j < program.start_cut[j] else program.start_alias[j]
            found = arrive(program, state, 1, there, ahead, arriving, found)
        return found
    for state in range(kinds):
        n, random = binomial(left, program.start[state], random)
        found = arrive(program, state, n, there, ahead, arriving, found)
        left -= n
    return found


@inlined
def part_of(program: Any, row: Any, part: Any) -> Any:
    """The number of a row's draws: 0 who is served, 1 and 2 what these and the others do, then branches by action,
    then successors by branch and action."""
    actions = program.legal.shape[1]
    return row * (3 + actions + len(program.kinds) * actions) + part


@inlined
def ration(program: Any, choice: Any, room: Any, b: Any, row: Any, n: Any, key: Any) -> Any:
    """How many of the n agents of a row are served; where they are told what to do, also into ``done``."""
    actions, served, random = program.legal.shape[1], 0, of_row(key, part_of(program, row, 0))
    if program.rationed >= 0:
        places, random = poisson(program.rate[row], random)
        served = min(n, places)
    if len(choice.told):
        left, others = served, n
        for a in range(actions):
            told, taken = choice.told[b, row, a], 0
            others -= told
            if left > 0:
                taken, random = hypergeometric(told, others, left, random)
            cell = row * actions + a
            room.done[cell], room.done[program.legal.size + cell] = told - taken, taken
            left -= taken
    return served


@inlined
def act(program: Any, choice: Any, room: Any, here: Any, b: Any, t: Any, key: Any) -> Any:
    """What the agents of all rows do, into ``done``: those not served, and those served; returns how many rows are
    ``live``."""
    rows, actions = program.legal.shape
    cells, apart, live = 0, rows * actions, 0
    for row in range(rows):
        n, here[program.states[row]] = here[program.states[row]], 0
        if n == 0:
            continue
        room.live[live] = row
        live += 1
        for a in range(row * actions, row * actions + actions):
            room.done[a], room.done[apart + a] = 0, 0
        served, q = ration(program, choice, room, b, row, n, key), choice.rows[row]
        if len(choice.told):
            continue
        if q < 0:
            first = row * actions + program.first[row]
            room.done[first], room.done[apart + first] = n - served, served
            continue
        turn = min(t, choice.turns - 1)
        at = turn * choice.sizes + n if choice.sizes > 0 else turn if choice.alike else b
        for part in range(2):
            agents = served if part else n - served
            if agents > 0:
                room.agents[cells], room.start[cells] = agents, (at * choice.teams + q) * actions
                room.at[cells], room.part[cells] = part * apart + row * actions, part_of(program, row, 1 + part)
                cells += 1
    if cells > 0:
        share(cells, actions, choice.pi, room.done, room, key)
        for w in range(live):
            row = room.live[w]
            for a in range(actions):
                if not program.legal[row, a]:
                    astray, first = row * actions + a, row * actions + program.first[row]
                    room.done[first] += room.done[astray]
                    room.done[apart + first] += room.done[apart + astray]
                    room.done[astray], room.done[apart + astray] = 0, 0
    return live


@inlined
def pay(program: Any, law: Any, record: Any, room: Any, live: Any, near: Any, b: Any, t: Any) -> None:
    """Everybody is paid, and what was done is written down."""
    rows, actions = program.legal.shape
    for w in range(live):
        row = room.live[w]
        i = near[program.own[row]] if law.crowds > 0 else b
        paid, start, served = 0.0, (i * rows + row) * actions, 0
        for a in range(actions):
            unserved, taken = room.done[row * actions + a], room.done[program.legal.size + row * actions + a]
            took = unserved + taken
            served += taken
            if took > 0:
                paid += law.pay[start + a] * took
            if t < len(record.actions):
                record.actions[t, b, row, a] = took
            if t < len(record.unserved):
                record.unserved[t, b, row, a] = unserved
        paid /= program.population
        if t < len(record.served):
            record.served[t, b, row] = served
        if t < len(record.paid):
            record.paid[t, b, row] = paid
        if t < len(record.earned):
            record.earned[t, b, program.node[row]] += paid


@inlined
def split(program: Any, law: Any, room: Any, live: Any, near: Any, b: Any, traced: Any, key: Any) -> None:
    """Who takes which branch, of those not served, into ``split``; together where the action does not matter at all."""
    rows, actions = program.legal.shape
    opened, merged, cells = len(program.open), program.merged and law.columns == 1 and not traced, 0
    for w in range(live):
        row = room.live[w]
        i = near[program.own[row]] if law.crowds > 0 else b
        start = (i * rows + row) * law.columns * opened
        for a in range(actions):
            n, at = room.done[row * actions + a], (row * actions + a) * opened
            for o in range(opened):
                room.split[at + o] = 0
            if merged and a > 0:
                continue
            if merged:
                for other in range(1, actions):
                    n += room.done[row * actions + other]
            if n > 0:
                room.agents[cells], room.start[cells] = n, start + (a * opened if law.columns > 1 else 0)
                room.at[cells], room.part[cells] = at, part_of(program, row, 3 + a)
                cells += 1
    share(cells, opened, law.weights, room.split, room, key)


@inlined
def step_lane(
    program: Any, law: Any, choice: Any, record: Any, room: Any, here: Any, near: Any, there: Any, ahead: Any,
    arriving: Any, b: Any, t: Any, key: Any,
) -> Any:  # fmt: skip
    """Agents of all active states act, are paid and move; returns how many states in transit are not empty then."""
    live = act(program, choice, room, here, b, t, key)
    pay(program, law, record, room, live, near, b, t)
    opened, found = len(program.open), 0
    source = room.done
    if opened > 1:
        split(program, law, room, live, near, b, t < len(record.went), key)
        source = room.split
    o = 0
    for k in range(len(program.kinds)):
        stride, offset, flow = opened, o, source
        if k == program.rationed:
            stride, offset, flow = 1, program.legal.size, room.done
        else:
            o += 1
        found = leave(
            program, k, flow, stride, offset, room, live, there, ahead, arriving, found, record, b, t, key
        )  # fmt: skip
    return found


@inlined
def unfitting(program: Any, law: Any, choice: Any, here: Any, near: Any) -> Any:
    """Which table is too small for what is to be stepped, if any, and what it does not hold."""
    if law.crowds > 0:
        for row in range(len(program.states)):
            if near[program.own[row]] >= law.crowds:
                return CROWD, near[program.own[row]]
    if choice.sizes > 0:
        for row in range(len(program.states)):
            if choice.rows[row] >= 0 and here[program.states[row]] >= choice.sizes:
                return SIZE, here[program.states[row]]
    return DONE, 0


@entry
def advance(
    program: Any, law: Any, choice: Any, record: Any, room: Any, counts: Any, final: Any, seed: Any, lanes: Any,
    first: Any, steps: Any, keep: Any,
) -> Any:  # fmt: skip
    """``steps`` steps of every lane, from ``counts (B, S)`` to ``final (B, S)``.

    After each step a world goes on with probability ``keep``, else it starts afresh.

    Returns:
        a code, DONE or why nothing of all this counts; and the number that did not fit.
    """
    here, there, near, ahead = room.here, room.there, room.near, room.ahead
    moving, arriving = room.moving, room.arriving
    for b in range(len(counts)):
        waiting = 0
        near[:] = 0
        for state in range(counts.shape[1]):
            here[state] = there[state] = 0
            waiting = arrive(program, state, counts[b, state], here, near, moving, waiting)
        for t in range(steps):
            code, needed = unfitting(program, law, choice, here, near)
            if code != DONE:
                return code, needed
            key = key_of(seed, lanes[b], first + t)
            ahead[:] = 0
            if t < len(record.crowd):
                for place in range(len(near)):
                    record.crowd[t, b, place] = near[place]
            found = step_lane(program, law, choice, record, room, here, near, there, ahead, arriving, b, t, key)
            for w in range(waiting):
                n, here[moving[w]] = here[moving[w]], 0
                found = arrive(program, program.arrivals[moving[w]], n, there, ahead, arriving, found)
            here, there, near, ahead, moving, arriving, waiting = there, here, ahead, near, arriving, moving, found
            if t < len(record.next_crowd):
                for place in range(len(near)):
                    record.next_crowd[t, b, place] = near[place]
            if keep < 1.0:
                random = of_row(key, part_of(program, len(program.states), 0)) + GOLDEN
                if unit(random) >= keep:
                    record.cut[t, b] = True
                    here[:] = 0
                    near[:] = 0
                    waiting = settle(program, here, near, moving, random)
        for state in range(counts.shape[1]):
            final[b, state] = here[state]
    return DONE, 0


@entry
def start(program: Any, room: Any, final: Any, seed: Any, lanes: Any, step: Any) -> None:
    """Every lane's population in fresh states: ``final (B, S)``."""
    for b in range(len(final)):
        room.here[:] = 0
        settle(program, room.here, room.near, room.moving, of_row(key_of(seed, lanes[b], step), len(program.states)))
        for state in range(final.shape[1]):
            final[b, state] = room.here[state]


@entry
def draw_actions(numbers: Any, pi: Any, alike: Any, drawn: Any, sums: Any, seed: Any, lanes: Any, step: Any) -> None:
    """The multinomial (5): ``numbers (B, Q)`` agents by flat ``pi (B or 1, Q, A)``, into flat ``drawn (B, Q, A)``."""
    rows, actions = numbers.shape[1], len(sums)
    for b in range(len(numbers)):
        key = key_of(seed, lanes[b], step)
        for row in range(rows):
            at, cell = ((0 if alike else b) * rows + row) * actions, (b * rows + row) * actions
            shared_out(numbers[b, row], pi, at, actions, drawn, cell, sums, of_row(key, row))
