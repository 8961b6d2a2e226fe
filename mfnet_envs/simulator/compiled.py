"""Compiled steps: a model's tables and laws for ``backends/steps.py``, and what comes back of them.

Scenarios know nothing of it. Where reward and kernel read one crowd, that of the own node, the law is a table, made by
asking the model's own functions about the crowds 0, 1, 2, ...; whole rollouts then run without Python. Where they read
more, or the tables would be too large, the model is asked before every step, and only acting and moving are compiled.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cached_property
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.backends.compiled import stream_of
from mfnet_envs.backends.flat import Choice, Law, Program, Record, Room
from mfnet_envs.backends.samplers import alias_tables
from mfnet_envs.backends.steps import CROWD, DONE, advance, start
from mfnet_envs.backends.steps_of_agents import step_agents
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.simulator.agents import AgentTransition
from mfnet_envs.simulator.counts import CountsStepper, Flows, Trace, Transition
from mfnet_envs.simulator.tables import Tables, check_finite

TABLE_BYTES = 256 * 2**20  # of a law, and of one turn of a policy; asking step by step takes some 8 times as long
TURNS_BYTES = 32 * 2**20  # of the turns of a policy that are made at a time
AT_ONCE = 2**20  # numbers the model is asked about at once
SMALLEST = 31  # the largest crowd in the first table

STEP = "actions", "unserved", "served", "paid"
NOBODY: Ints = np.empty((0, 0, 0), np.int64)


class CompiledStepper:
    """Steps crowds by ``tables``; ``arrays`` is the stepper on arrays, for what it checks and how it tells a trace."""

    def __init__(self, tables: Tables, arrays: CountsStepper) -> None:
        self.tables, self.arrays, self.model = tables, arrays, tables.model
        self.group = group_read(self.model)
        self.program = program_of(tables, self.group or 0)
        self._law: Law | None = None
        self._is_large = False

    @property
    def how(self) -> str:
        """What is compiled of this model's steps, and why no more."""
        if self.group is None:
            return "compiled, step by step: reward or kernel read more than one crowd of the own node"
        if self._is_large:
            return f"compiled, step by step: tables by crowd would take more than {TABLE_BYTES >> 20} MB"
        return "compiled, whole rollouts: by tables of the own crowd"

    # -- single steps

    def reset(self, rng: Any, batch: int) -> Ints:
        """Agents i.i.d. from the model's initial law: ``(B, S)``."""
        final = np.empty((batch, len(self.program.place)), np.int64)
        start(self.program, self._room, final, *stream_of(rng).take(batch))
        return final

    def play(self, counts: Ints, pi: Any, rng: Any) -> Transition:
        """Agents of ``counts (B, S)`` draw by ``pi (..., S or T, A)``, and move."""
        choices = self.tables.choices
        rows, shares = choices.rows(pi.shape, "pi"), choices.shares(pi)
        alike = shares.ndim == 2 or len(shares) == 1
        if not alike:
            shares = np.broadcast_to(shares, (len(counts), *shares.shape[-2:]))
        return self._step(counts, Choice(_flat(shares), 1, 0, alike, shares.shape[-2], self._rows(rows), NOBODY), rng)

    def transition(self, counts: Ints, action_counts: Ints, rng: Any) -> Transition:
        """Agents of ``counts (B, S)`` do as they are told, ``(B, S or T, A)``, and move."""
        told = writable(self.arrays.actions(counts, action_counts), np.int64)
        return self._step(counts, Choice(np.empty(0), 1, 0, True, 1, self.program.states, told), rng)

    def _step(self, counts: Ints, choice: Choice, rng: Any) -> Transition:
        taken, known = stream_of(rng).take(len(counts)), self._tabulated(SMALLEST)
        while True:
            law = known or self._asked(self.tables.hoods(counts) / self.model.population)
            record = self._record(1, len(counts), STEP)
            final, code, needed = self._advance(law, choice, record, counts, taken, 1, 1.0)
            if code == DONE:
                break
            known = self._tabulated(needed)
        trace = None
        if self.arrays.traced:
            trace = self._trace(self._pay(law, self.tables.crowd(counts)), record, 0)
        paid = self.tables.of_states(record.paid[0])
        actions, served, unserved = (x[0].astype(np.int64) for x in (record.actions, record.served, record.unserved))
        return Transition(final, paid, actions, served, unserved, trace)

    def step_agents(self, states: Ints, actions: Ints, rng: Any) -> AgentTransition:
        """Named agents, ``(B, N)`` each."""
        batch, agents = states.shape
        seed, lanes, first = stream_of(rng).take(batch)
        states, actions = writable(states, np.int64), writable(actions, np.int64)
        found = AgentTransition(np.empty_like(states), np.empty((batch, agents)), np.empty((batch, agents), bool))
        known = self._tabulated(SMALLEST)
        while True:
            law = known or self._asked(self.tables.hoods(self._counted(states)) / self.model.population)
            code, needed = step_agents(self.program, law, self._room, states, actions, *found, seed, lanes, first)
            if code == DONE:
                return found
            known = self._tabulated(needed)

    def _counted(self, states: Ints) -> Ints:
        batch, size = len(states), len(self.program.place)
        place = (np.arange(batch)[:, None] * size + states).reshape(-1)
        counts: Ints = np.bincount(place, minlength=batch * size).reshape(batch, size)
        return counts

    def _pay(self, law: Law, crowd: Any) -> Floats:
        """Rewards ``(B, R, A)`` of lanes whose crowds are ``crowd (B, V, G)``."""
        pay: Floats = law.pay.reshape(-1, len(self.program.states), self.model.num_actions)
        if law.crowds:
            own = crowd.reshape(len(crowd), -1)[:, self.program.own].astype(np.int64)
            pay = pay[own, np.arange(own.shape[1])]
        return pay

    def _asked(self, hood: Floats) -> Law:
        """The law of lanes whose neighbourhoods are ``hood (B, V, D, G)``.

        Raises:
            ValueError: a model that answers with NaN, or something else than weights.
        """
        rewards, raw = self.tables.answers(hood)
        check_finite(rewards)
        opened = self.tables.open_branches
        if len(opened) == 1:
            return Law(_flat(rewards), np.empty(0), 1, 0)
        weights = self.tables.open_weights(hood, raw)
        return Law(_flat(rewards), _flat(weights[..., opened]), weights.shape[2], 0)

    # -- rollouts

    def roll(
        self, policy: Policy, counts: Ints, t: int, steps: int, rng: Any, keep: float, recorded: Collection[str]
    ) -> Flows | None:
        """``steps`` steps of ``counts (B, S)`` by a policy, or as many as there is room for its turns; None where law
        and policy are no small tables.

        Args:
            t: the first step, as the policy counts.
            keep: the chance that a world goes on after a step, instead of starting afresh.
            recorded: which of the fields of :class:`Flows`.
        """
        law = self._tabulated(SMALLEST)
        chosen = None if law is None else self._chosen(policy, 0, t, steps)
        stream = stream_of(rng)
        first = stream.step
        while law is not None and chosen is not None:
            choice, played = chosen
            record = self._record(played, len(counts), recorded)
            stream.step = first
            taken = stream.take(len(counts), played)
            final, code, needed = self._advance(law, choice, record, counts, taken, played, keep)
            if code == DONE:
                return self._flows(law, record, final)
            if code == CROWD:
                law = self._tabulated(needed)
            else:
                chosen = self._chosen(policy, needed, t, steps)
        stream.step = first
        return None

    def _tabulated(self, largest: int) -> Law | None:
        """The law by the crowds 0 .. ``largest`` at least, grown by doubling; None where that is too much."""
        if self.group is None or self._is_large:
            return None
        if self._law is not None and self._law.crowds > largest:
            return self._law
        model, network = self.model, self.model.network
        crowds = min(1 << max(5, largest.bit_length()), model.population + 1)
        row = len(model.active) * model.num_actions * (1 + len(self.tables.open_branches))
        self._is_large = 8 * crowds * row > TABLE_BYTES
        if self._is_large:
            return None
        hood = (network.num_nodes, self.tables.hood.shape[1], model.num_groups)
        answers = []
        step = max(1, AT_ONCE // math.prod(hood))
        for first in range(0, crowds, step):
            crowd = np.arange(first, min(first + step, crowds)) / model.population
            asked = np.zeros((len(crowd), *hood))
            asked[:, :, 0, self.group] = crowd[:, None]
            answers.append(self._asked(asked))
        pay, weights = (np.concatenate([getattr(law, name) for law in answers]) for name in ("pay", "weights"))
        self._law = Law(pay, weights, answers[0].columns, crowds)
        return self._law

    def _chosen(self, policy: Policy, largest: int, t: int, steps: int) -> tuple[Choice, int] | None:
        """The policy by the sizes 0 .. ``largest`` of teams at least, and for how many steps; None where it reads more
        or one turn of it is too much."""
        once = policy.by_size(largest, t, 1)
        if once is None or 8 * once.size > TABLE_BYTES:
            return None
        fitting = max(1, min(steps, TURNS_BYTES // (8 * once.size)))
        pi = policy.by_size(largest, t, fitting)
        assert pi is not None
        turns, sizes, teams, _ = pi.shape
        shares, rows = self.tables.choices.shares(pi), self._rows(self.tables.choices.teams)
        choice = Choice(_flat(shares), turns, sizes if sizes > 1 else 0, sizes == 1, teams, rows, NOBODY)
        return choice, fitting if turns == fitting else steps

    def _flows(self, law: Law, record: Record, final: Ints) -> Flows:
        steps, (nodes, groups) = len(record.crowd), (self.model.network.num_nodes, self.model.num_groups)
        traces = []
        for t in range(len(record.went)):
            traces.append(self._trace(self._pay(law, record.crowd[t]), record, t))
        shape = (steps, len(final), nodes, groups)
        return Flows(
            final, record.crowd.reshape(shape), record.next_crowd.reshape(len(record.next_crowd), *shape[1:]),
            record.actions, record.unserved, record.served, record.earned, record.cut, tuple(traces),
        )  # fmt: skip

    # -- the call

    def _advance(
        self, law: Law, choice: Choice, record: Record, counts: Ints, taken: Any, steps: int, keep: float
    ) -> tuple[Ints, int, int]:
        """Where the lanes end, ``(B, S)``, and how the call came back."""
        counts = writable(counts, np.int64)
        final = np.empty_like(counts)
        seed, lanes, first = taken
        code, needed = advance(
            self.program, law, choice, record, self._room, counts, final, seed, lanes, first, steps, keep
        )
        return final, code, needed

    @cached_property
    def _room(self) -> Room:
        """One for all calls, since each clears what it reads."""
        states, cells = len(self.program.place), 2 * self.program.legal.size
        crowds, opened = self.model.network.num_nodes * self.model.num_groups, len(self.program.open)
        of_a_lane = states, states, crowds, crowds, states, states, states, cells, cells * opened // 2
        kinds: tuple[Any, ...] = (*[np.int64] * 7, np.float64, np.float64, np.uint64)
        sums = np.zeros(max(self.model.num_actions, opened))
        return Room._make(
            [*(np.zeros(size, np.int64) for size in of_a_lane), *(np.zeros(cells, k) for k in kinds), sums]
        )

    def _record(self, steps: int, batch: int, recorded: Collection[str]) -> Record:
        rows, actions, branches = len(self.model.active), self.model.num_actions, len(self.model.branches)
        nodes, groups = self.model.network.num_nodes, self.model.num_groups
        shapes: dict[str, tuple[int, ...]] = {
            "actions": (rows, actions), "unserved": (rows, actions), "served": (rows,), "paid": (rows,),
            "earned": (nodes,), "crowd": (nodes * groups,), "next_crowd": (nodes * groups,), "cut": (),
            "went": (rows, actions, branches),
        }  # fmt: skip
        traced = self.arrays.traced
        wanted = {*recorded, "cut", *(("went", "crowd", "actions") if traced else ())}
        kinds: dict[str, Any] = {"paid": np.float64, "earned": np.float64, "cut": np.bool_, "went": np.int64}
        narrow = np.int32 if self.model.population < 2**31 else np.int64  # half the memory to write
        arrays: dict[str, Any] = {
            name: np.zeros((steps if name in wanted else 0, batch, *shape), kinds.get(name, narrow))
            for name, shape in shapes.items()
        }
        return Record(**arrays, moves=np.zeros((steps if traced else 0, len(self.program.successor)), np.int64))

    def _rows(self, states: Ints) -> Ints:
        """``(R,)`` where each active state stands among ``states``; -1 where it does not."""
        row = np.full(len(self.program.place), -1)
        row[states] = np.arange(len(states))
        of_active: Ints = row[self.program.states]
        return of_active

    def _trace(self, rewards: Floats, record: Record, t: int) -> Trace:
        moves = {}
        for k, branch in enumerate(self.tables.branches):
            shape, base = branch.successors.shape, self.program.base[k]
            if shape[2] > 1:
                moves[k] = record.moves[t, base : base + math.prod(shape)].reshape(shape)
        flows = {k: record.went[t, ..., k] for k in range(len(self.tables.branches))}
        return self.arrays.trace_of(rewards, record.actions[t].astype(np.int64), flows, moves)


def group_read(model: LocalModel) -> int | None:
    """The group of the own node whose crowd alone decides reward and kernel, by what the model says; else None."""
    if not model.reads_own_node:
        return None
    if model.num_groups == 1:
        return 0
    line = type(model).__mro__
    said, *law = (
        next(i for i, base in enumerate(line) if name in vars(base)) for name in ("reads_group", *model.law_methods)
    )
    return model.reads_group if said <= min(law) else None


def program_of(tables: Tables, group: int) -> Program:
    """A model as flat tables; ``group``: of the crowd that laws read."""
    model, network = tables.model, tables.model.network
    groups, quota, opened = model.num_groups, model.quota, np.array(tables.open_branches)
    node = network.node_of[model.active]
    tables_of = [
        (branch.successors.reshape(-1), _one_by_one(branch.probabilities).reshape(-1), *_aliases(branch.probabilities))
        for branch in tables.branches
    ]
    successor, chance, alias, cut = (np.concatenate(each) for each in zip(*tables_of, strict=True))
    columns = np.array([branch.successors.shape[1] for branch in tables.branches])
    start_alias, start_cut = _aliases(model.initial[None])
    return Program(
        states=writable(model.active, np.int64),
        node=writable(node, np.int64),
        first=writable(model.first_legal[model.active], np.int64),
        legal=writable(model.legal[model.active], np.bool_),
        place=writable(
            network.node_of * groups + model.groups[np.arange(network.num_states) % network.layers], np.int64
        ),
        own=writable(node * groups + group, np.int64),
        transit=writable(model.transit, np.bool_),
        arrivals=writable(tables.arrivals, np.int64),
        rate=np.empty(0) if quota is None else writable(quota.rate[model.active], np.float64),
        rationed=-1 if quota is None else quota.branch,
        open=opened,
        merged=bool((columns[opened] == 1).all()),
        columns=columns,
        kinds=np.array([branch.successors.shape[2] for branch in tables.branches]),
        base=np.cumsum([0, *(branch.successors.size for branch in tables.branches[:-1])]),
        successor=writable(successor, np.int64),
        chance=chance,
        alias=alias,
        cut=cut,
        start=writable(_one_by_one(model.initial), np.float64),
        start_alias=start_alias,
        start_cut=start_cut,
        population=model.population,
    )


def _one_by_one(p: Floats) -> Floats:
    """The probability of each place of ``p (..., J)`` if none of those before it is taken; exactly 1 for the last."""
    left = p[..., ::-1].cumsum(-1)[..., ::-1]
    chance: Floats = p / np.where(left > 0, left, 1.0)
    return chance


def _aliases(p: Floats) -> tuple[Ints, Floats]:
    """Walker's tables of ``p (..., J)``, flat."""
    alias, cut = np.empty(p.size, np.int64), np.empty(p.size)
    kinds = p.shape[-1]
    alias_tables(_flat(p), kinds, alias, cut, np.empty(kinds, np.int64))
    return alias, cut


def _flat(x: Any) -> Floats:
    flat: Floats = writable(x, np.float64).reshape(-1)
    return flat


def writable(x: Any, dtype: Any) -> Any:
    """``x`` as the one kind of array that the machine code is made for."""
    return np.require(x, dtype, ["C", "W"])
