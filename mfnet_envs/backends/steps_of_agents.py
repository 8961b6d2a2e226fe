"""The compiled step of named agents: the law of ``simulator/agents.py`` once more, one agent after the other."""

from __future__ import annotations

from typing import Any

from mfnet_envs.backends.samplers import GOLDEN, entry, inlined, key_of, of_row, poisson, unit
from mfnet_envs.backends.steps import CROWD, DONE


@inlined
def counted(program: Any, states: Any, b: Any, room: Any) -> None:
    """Agents by state into ``here``, by crowd into ``near``."""
    room.here[:] = 0
    room.near[:] = 0
    for i in range(states.shape[1]):
        room.here[states[b, i]] += 1
        room.near[program.place[states[b, i]]] += 1


@inlined
def branch_of(program: Any, law: Any, i: Any, row: Any, action: Any, random: Any) -> Any:
    """The branch an agent takes that is not served, and where its numbers go on."""
    opened = len(program.open)
    if opened == 1:
        return program.open[0], random
    start = ((i * len(program.states) + row) * law.columns + (action if law.columns > 1 else 0)) * opened
    total = 0.0
    for o in range(opened):
        total += law.weights[start + o]
    random += GOLDEN
    u, sums, chosen = unit(random) * total, 0.0, 0
    for o in range(opened - 1):
        sums += law.weights[start + o]
        chosen += int(u >= sums)
    return program.open[chosen], random


@entry
def step_agents(
    program: Any, law: Any, room: Any, states: Any, actions: Any, following: Any, rewards: Any, served: Any,
    seed: Any, lanes: Any, step: Any,
) -> Any:  # fmt: skip
    """``states, actions (B, N)`` to ``following, rewards, served (B, N)``; returns as ``advance`` does.

    Who is served is drawn one after the other: of m agents left for d places each is with chance d / m.
    """
    rows, opened = len(program.states), program.rationed >= 0
    row_of, left, places = room.moving, room.there, room.arriving
    row_of[:] = -1
    for row in range(rows):
        row_of[program.states[row]] = row
    for b in range(len(states)):
        counted(program, states, b, room)
        key = key_of(seed, lanes[b], step)
        for row in range(rows):
            if law.crowds > 0 and room.near[program.own[row]] >= law.crowds:
                return CROWD, room.near[program.own[row]]
            left[row] = room.here[program.states[row]]
            if opened:
                places[row] = min(left[row], poisson(program.rate[row], of_row(key, row))[0])
        random = of_row(key, rows)
        for i in range(states.shape[1]):
            state = states[b, i]
            row = row_of[state]
            served[b, i] = False
            if row < 0:
                following[b, i], rewards[b, i] = program.arrivals[state], 0.0
                continue
            action = actions[b, i] if program.legal[row, actions[b, i]] else program.first[row]
            at = room.near[program.own[row]] if law.crowds > 0 else b
            rewards[b, i] = law.pay[(at * rows + row) * program.legal.shape[1] + action]
            if opened:
                random += GOLDEN
                served[b, i] = unit(random) * left[row] < places[row]
                left[row] -= 1
                places[row] -= int(served[b, i])
            if served[b, i]:
                k = program.rationed
            else:
                k, random = branch_of(program, law, at, row, action, random)
            kinds = program.kinds[k]
            start = program.base[k] + (row * program.columns[k] + (action if program.columns[k] > 1 else 0)) * kinds
            if kinds > 1:
                random += GOLDEN
                u = unit(random) * kinds
                j = int(u)
                start += j if u - j < program.cut[start + j] else program.alias[start + j]
            following[b, i] = program.successor[start]
    return DONE, 0
