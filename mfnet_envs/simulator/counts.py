"""Crowds as integers: a step costs O(states), whatever the population. Nothing here draws; the backend does."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from mfnet_envs.arrays import add_at, dot, total, zeros
from mfnet_envs.backends.interface import Backend
from mfnet_envs.simulator.tables import Tables, check_finite


class Transition(NamedTuple):
    """What one step of :meth:`Simulator.transition` tells.

    Attributes:
        next_counts: ``(B, S)`` ints.
        team_rewards: ``(B, S)``, equation (7) with its factor mu(s).
        actions: ``(B, R, A)`` what the agents of each active state did.
        served: ``(B, R)`` agents of each active state that took the quota branch (0 without a quota).
        unserved: ``(B, R, A)`` actions of the others.
    """

    next_counts: Any
    team_rewards: Any
    actions: Any
    served: Any
    unserved: Any


class CountsStepper:
    """The law (6) of crowds, on the arrays of a backend."""

    def __init__(self, tables: Tables, backend: Backend) -> None:
        self.tables, self.backend, self.xp = tables, backend, backend.xp
        self.branches = [backend.prepared(branch) for branch in tables.branches]

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
        if not (total(action_counts) == choices.of(counts, rows)).all():
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
        paid, raw = self._pay(hood, actions)
        following = zeros(counts.shape, counts)
        if model.quota is not None:
            following = self.backend.scatter(rng, self.branches[model.quota.branch], served, following)
        for k, flow in self._split(hood, raw, unserved, rng):
            following = self.backend.scatter(rng, self.branches[k], flow, following)
        if len(tables.in_transit):
            crowd, states = counts.reshape(-1), counts.shape[1]
            (moving,) = self.xp.nonzero(((counts > 0) & tables.transit).reshape(-1))  # few: most are empty
            state = moving % states
            following = add_at(following.reshape(-1), moving - state + tables.arrivals[state], crowd[moving])
        return Transition(following.reshape(counts.shape), paid, actions, total(served), unserved)

    def _pay(self, hood: Any, actions: Any) -> tuple[Any, Any]:
        """Team rewards (7), ``(B, S)``, and the raw branch weights where they were asked for on the way."""
        rewards, raw = self.tables.answers(hood)
        paid = self.tables.of_states(dot(rewards, actions) / self.tables.model.population)
        if not abs(paid.sum()) < math.inf:
            check_finite(rewards)
            check_finite(paid)
        return paid, raw

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
