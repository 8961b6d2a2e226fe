"""What compiled steps are handed: a model, its law, what agents do and what is written down, as flat tables."""

from __future__ import annotations

from typing import Any, NamedTuple


class Program(NamedTuple):
    """What does not change while a model is stepped; it is all that a step knows of it.

    Attributes:
        states, node, first: ``(R,)`` the active states, where they are, and their first legal actions; legal:
            ``(R, A)``.
        place: ``(S,)`` where a state's agents are counted, among the V G crowds; own: ``(R,)`` the crowd that a row's
            law reads, where the law is one of a crowd.
        transit: ``(S,)`` bool; arrivals: ``(S,)`` where a state in transit leads on.
        rate: ``(R,)`` places of the quota, or none; rationed: its branch, or -1; open: the numbers of the others.
        merged: whether it does not matter to any open branch which action was taken.
        columns, kinds, base: of each branch 1 or A, J, and where its flat tables ``(R, 1 or A, J)`` start.
        successor, chance, alias, cut: these tables: J states, the probability of each if none of those before it is
            taken, and Walker's aliases: place j is kept by a number below ``cut``, else it is ``alias``.
        start: ``(S,)`` the law of a first state, start_alias, start_cut: its aliases.
        population: N.
    """

    states: Any
    node: Any
    first: Any
    legal: Any
    place: Any
    own: Any
    transit: Any
    arrivals: Any
    rate: Any
    rationed: int
    open: Any
    merged: bool
    columns: Any
    kinds: Any
    base: Any
    successor: Any
    chance: Any
    alias: Any
    cut: Any
    start: Any
    start_alias: Any
    start_cut: Any
    population: int


class Law(NamedTuple):
    """Reward and branch weights, flat: ``pay (I, R, A)``, ``weights (I, R, columns, open branches)``.

    Attributes:
        columns: A, or 1 where the action does not matter to the weights.
        crowds: how many crowds 0, 1, 2, ... of those that a row reads I counts; 0 where it counts the lanes.
    """

    pay: Any
    weights: Any
    columns: int
    crowds: int


class Choice(NamedTuple):
    """What agents do: by policies ``pi (turns, I, teams, A)`` in turn, the last from then on; or as they are told.

    Attributes:
        pi: flat.
        sizes: how many sizes 0, 1, 2, ... of teams I counts; 0 where it counts the lanes, or everybody is alike.
        alike: whether all lanes and sizes are.
        rows: ``(R,)`` the row of ``pi`` for each active state, -1 where there is no choice.
        told: ``(B, R, A)`` actions, or no lanes.
    """

    pi: Any
    turns: int
    sizes: int
    alike: bool
    teams: int
    rows: Any
    told: Any


class Record(NamedTuple):
    """What is written down; an array without steps is not.

    Attributes:
        actions, unserved: ``(T, B, R, A)``; served, paid: ``(T, B, R)``, the team rewards (7).
        earned: ``(T, B, V)`` the same summed over the states of a node.
        crowd, next_crowd: ``(T, B, V G)``; cut: ``(T, B)`` bool.
        went: ``(T, B, R, A, K)`` agents by action and branch; moves: ``(T, entries of all branches)`` of all lanes.
    """

    actions: Any
    unserved: Any
    served: Any
    paid: Any
    earned: Any
    crowd: Any
    next_crowd: Any
    cut: Any
    went: Any
    moves: Any


class Room(NamedTuple):
    """Scratch of a lane.

    Attributes:
        here, there, near, ahead, moving, arriving: agents by state and by crowd, and the states in transit that are not
            empty, before and after a step.
        live: the rows that are not empty; only theirs means anything in what follows.
        done: ``(2, R, A)`` what the agents of each row do, those not served and those served; split: ``(R, A, open
            branches)`` the former by branch.
        agents, start, at, part: of cells that draw side by side ``(2 R A,)``: how many, by which weights, where to, and
            the number of their draws.
        left, cell, taken, chance, guess, random: of those of many agents, whose binomials are drawn side by side.
        sums: a few numbers.
    """

    here: Any
    there: Any
    near: Any
    ahead: Any
    moving: Any
    arriving: Any
    live: Any
    done: Any
    split: Any
    agents: Any
    start: Any
    at: Any
    part: Any
    left: Any
    cell: Any
    taken: Any
    chance: Any
    guess: Any
    random: Any
    sums: Any
