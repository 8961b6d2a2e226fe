"""Crowds as integers: a step costs O(states), whatever the population. Nothing here draws; the backend does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import add_at, dot, first_of, total, zeros
from mfnet_envs.backends.interface import Backend, BranchTable
from mfnet_envs.simulator.tables import Tables, check_finite


class Trace(NamedTuple):
    """What agents saw of their own step, each of its own: its branch, what it was paid, and where it came out.

    Attributes:
        went: ``(B, R, A or 1, K)`` agents that took each branch; one column where the action does not matter to it.
        acted, paid: ``(B, R, A)`` agents by action, and their pay, summed; None where it is the branches that pay.
        takers, wages: ``(R, A, K)`` agents of all worlds by action and branch, and their pay, summed; None else.
        moves: of each branch ``(R, A or 1, J)`` agents of all worlds by successor; None where there is only one.
    """

    went: Any
    acted: Any
    paid: Any
    takers: Any
    wages: Any
    moves: tuple[Any, ...]

    def by(self, convert: Callable[[Any], Any]) -> Trace:
        """The same with every array converted."""

        def told(x: Any) -> Any:
            return None if x is None else convert(x)

        moves = tuple(told(x) for x in self.moves)
        return Trace(convert(self.went), told(self.acted), told(self.paid), told(self.takers), told(self.wages), moves)


class Transition(NamedTuple):
    """What one step of :meth:`Simulator.transition` tells.

    Attributes:
        next_counts: ``(B, S)`` ints.
        team_rewards: ``(B, S)``, equation (7) with its factor mu(s).
        actions: ``(B, R, A)`` what the agents of each active state did.
        served: ``(B, R)`` agents of each active state that took the quota branch (0 without a quota).
        unserved: ``(B, R, A)`` actions of the others.
        trace: of a simulator that is ``traced``, else None.
    """

    next_counts: Any
    team_rewards: Any
    actions: Any
    served: Any
    unserved: Any
    trace: Trace | None = None

    def by(self, convert: Callable[[Any], Any]) -> Transition:
        """The same with every array converted."""
        trace = None if self.trace is None else self.trace.by(convert)
        following, earned, actions, served, unserved = (convert(x) for x in self[:5])
        return Transition(following, earned, actions, served, unserved, trace)


class Flows(NamedTuple):
    """T steps of B worlds, as far as they were asked for: what was not has no steps. See
    ``backends/steps.py``.

    Attributes:
        final: ``(B, S)`` where the worlds stand.
        crowd, next_crowd: ``(T, B, V, G)`` before a step, and at the true successor.
        actions, unserved: ``(T, B, R, A)``; served: ``(T, B, R)``; earned: ``(T, B, V)``; cut: ``(T, B)`` bool.
        traces: where the simulator is ``traced``.
    """

    final: Any
    crowd: Any
    next_crowd: Any
    actions: Any
    unserved: Any
    served: Any
    earned: Any
    cut: Any
    traces: tuple[Trace, ...]


class CountsStepper:
    """The law (6) of crowds, on the arrays of a backend; ``traced`` steps draw the same and tell more of it."""

    def __init__(self, tables: Tables, backend: Backend, traced: bool = False) -> None:
        self.tables, self.backend, self.xp, self.traced = tables, backend, backend.xp, traced
        self.branches = [backend.prepared(branch) for branch in tables.branches]
        self.slots = [backend.prepared(self._by_slot(branch)) for branch in tables.branches] if traced else []
        derived = traced and tables.model.reward_is_derived
        self.wages = backend.asarray(tables.model.branch_rewards()) if derived else None
        self.columns = self._columns() if traced else 0

    def _columns(self) -> int:
        """Of the branches' weights: 1 where the action does not matter to them."""
        nobody = self.backend.asarray(np.zeros((1, self.tables.model.network.num_states), np.int64))
        return int(self.tables.weights(self.tables.hoods(nobody) / self.tables.model.population).shape[2])

    def _by_slot(self, branch: BranchTable) -> BranchTable:
        """The branch with its own places ``(R, A or 1, J)`` for successors, so that agents are told apart by origin."""
        size = math.prod(branch.successors.shape)
        return BranchTable(self.backend.asarray(np.arange(size).reshape(branch.successors.shape)), branch.probabilities)

    def play(self, counts: Any, pi: Any, rng: Any) -> Transition:
        """Agents that draw independently, where a quota rations a branch.

        Who is served does not depend on the actions, so served and unserved agents draw theirs apart, and nobody is
        drawn without replacement.
        """
        tables, choices = self.tables, self.tables.choices
        shares = tables.of_policy(choices.shares(pi))
        present = tables.of_active(counts)
        places = self._places(present, rng)
        served, unserved = (
            choices.fold(self.backend.multinomial(rng, n, shares), tables.active) for n in (places, present - places)
        )
        return self.move(counts, served + unserved, served, unserved, rng)

    def actions(self, counts: Any, action_counts: Any) -> Any:
        """``(B, R, A)``: the active states' actions; states without a choice take their only one.

        Raises:
            ValueError: another shape, or actions that do not sum to the counts.
        """
        tables, choices = self.tables, self.tables.choices
        rows = choices.rows(action_counts.shape, "action_counts")
        if not tables.holds((total(action_counts) == choices.of(counts, rows)).all()):
            raise ValueError("action_counts must sum over actions to the counts of their states, in every world")
        chosen = choices.fold(action_counts, rows)
        if len(rows) == len(tables.active):
            return chosen
        if rows is choices.every:
            return chosen[:, tables.active]
        actions = zeros((len(counts), len(tables.active), chosen.shape[2]), counts)
        actions[:, tables.rows, tables.first] = counts[:, tables.active]
        actions[:, tables.team_rows] = chosen
        return actions

    def ration(self, counts: Any, actions: Any, rng: Any) -> tuple[Any, Any]:
        """Physical matching: ``served (B, R, A)`` agents drawn without replacement, and the rest."""
        if self.tables.rate is None:
            return zeros((*actions.shape[:2], 1), actions), actions
        served = self.backend.without_replacement(rng, actions, self._places(self.tables.of_active(counts), rng))
        return served, actions - served

    def _places(self, present: Any, rng: Any) -> Any:
        """How many are served of ``present (B, R)`` agents: min(n, D)."""
        return self.xp.minimum(self.backend.poisson(rng, self.tables.rate, present.shape), present)

    def move(self, counts: Any, actions: Any, served: Any, unserved: Any, rng: Any) -> Transition:
        """Pay everybody by ``actions (B, R, A)``, send the served and the others on their way."""
        tables, model = self.tables, self.tables.model
        hood = tables.hoods(counts) / model.population
        paid, rewards, raw = self._pay(hood, actions)
        flows: dict[int, Any] = {}
        moves: dict[int, Any] = {}
        following = zeros(counts.shape, counts)
        if model.quota is not None:
            flows |= {model.quota.branch: served} if self.traced else {}
            following = self._scatter(rng, model.quota.branch, served, following, moves)
        for k, flow in self._split(hood, raw, unserved, rng):
            flows |= {k: flow} if self.traced else {}
            following = self._scatter(rng, k, flow, following, moves)
        if len(tables.in_transit):
            following = self._arrive(counts, following)
        trace = self.trace_of(rewards, actions, flows, moves) if self.traced else None
        return Transition(following.reshape(counts.shape), paid, actions, total(served), unserved, trace)

    def _arrive(self, counts: Any, following: Any) -> Any:
        """``following`` with those in transit of ``counts`` one step further."""
        tables, states = self.tables, counts.shape[1]
        if type(counts) is np.ndarray:
            crowd = counts.reshape(-1)
            (moving,) = np.nonzero(((counts > 0) & tables.transit).reshape(-1))  # few: most are empty
            state = moving % states
            return add_at(following.reshape(-1), moving - state + tables.arrivals[state], crowd[moving])
        target = first_of(counts) + tables.arrivals[tables.in_transit]  # how many are not would have to be asked
        return add_at(following.reshape(-1), target, counts[:, tables.in_transit])

    def _scatter(self, rng: Any, k: int, flow: Any, following: Any, moves: dict[int, Any]) -> Any:
        """``following`` with the flow of branch k added; of a traced step ``moves[k] (R, A or 1, J)`` is noted."""
        successors = self.tables.branches[k].successors
        if not self.traced or successors.shape[2] == 1:
            return self.backend.scatter(rng, self.branches[k], flow, following)
        there = zeros((len(following), math.prod(successors.shape)), following)
        landed = self.backend.scatter(rng, self.slots[k], flow, there)
        moves[k] = landed.sum(axis=0).reshape(successors.shape)
        return add_at(following.reshape(-1), first_of(following) + successors.reshape(-1), landed).reshape(
            following.shape
        )

    def trace_of(self, rewards: Any, actions: Any, flows: dict[int, Any], moves: dict[int, Any]) -> Trace:
        """See :class:`Trace`; what is not seen by an agent that acted does not get in."""
        branches = range(len(self.branches))
        went = self.xp.stack([self.xp.broadcast_to(flows[k], actions.shape) for k in branches], axis=-1)
        takers = wages = acted = paid = None
        if self.wages is None:
            acted, paid = actions, rewards * actions
        else:
            takers = went.sum(axis=0)
            wages = takers * self.wages
        if self.columns == 1:
            went = went.sum(axis=2, keepdims=True)
        return Trace(went, acted, paid, takers, wages, tuple(moves.get(k) for k in branches))

    def _pay(self, hood: Any, actions: Any) -> tuple[Any, Any, Any]:
        """Team rewards (7), ``(B, S)``, of a traced step those of an agent, and the raw branch weights if asked for."""
        rewards, raw = self.tables.answers(hood)
        paid = self.tables.of_states(dot(rewards, actions) / self.tables.model.population)
        if not self.tables.holds(abs(paid.sum()) < math.inf):
            check_finite(rewards)
            check_finite(paid)
        return paid, rewards if self.traced else None, raw

    def _split(self, hood: Any, raw: Any, flow: Any, rng: Any) -> list[tuple[int, Any]]:
        """Who takes which branch: pairs (branch, ``(B, R, A)`` agents)."""
        open_branches = self.tables.open_branches
        if len(open_branches) == 1:
            return [(open_branches[0], flow)]
        weights = self.tables.open_weights(hood, raw)
        if len(open_branches) < weights.shape[-1]:
            weights = weights[..., open_branches]
        drawn = self.backend.multinomial(rng, flow, weights)
        return [(k, drawn[..., i]) for i, k in enumerate(open_branches)]
