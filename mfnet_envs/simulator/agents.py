"""Agents one by one: the same law with identities kept. Drawn with numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.backends import NUMPY, draws
from mfnet_envs.backends.draws import Draws
from mfnet_envs.backends.reference import GuidedBranch
from mfnet_envs.simulator.tables import Tables, check_finite


class AgentTransition(NamedTuple):
    """What one step of :meth:`Simulator.transition_agents` tells, all ``(B, N)``; ``served``: took the quota branch."""

    next_states: Ints
    rewards: Floats
    served: NDArray[np.bool_]


class AgentStepper:
    """Steps named agents by numpy's ``tables``."""

    def __init__(self, tables: Tables) -> None:
        self.tables, self.branches = tables, [GuidedBranch(branch) for branch in tables.branches]
        self.row_of: Ints = np.full(tables.model.network.num_states, -1)
        self.row_of[tables.active] = np.arange(len(tables.active))

    def step(self, states: Ints, actions: Ints, rng: np.random.Generator) -> AgentTransition:
        tables, model = self.tables, self.tables.model
        batch, n = states.shape
        s = model.network.num_states
        actions = np.where(model.legal[states, actions], actions, model.first_legal[states])
        world = np.repeat(np.arange(batch), n)
        state, action = states.reshape(-1), actions.reshape(-1)
        counts = np.bincount(world * s + state, minlength=batch * s).reshape(batch, s)
        hood = tables.hoods(counts) / model.population
        paid, raw = tables.answers(hood)
        row = self.row_of[state]
        following = np.where(row < 0, tables.arrivals[state], 0)
        rewards = np.zeros(batch * n)
        moving = np.flatnonzero(row >= 0)
        world, row, action = world[moving], row[moving], action[moving]
        rewards[moving] = paid[world, row, action]
        check_finite(rewards)
        branch = self._branch_of(hood, raw, counts, world, row, action, rng)
        for k, table in enumerate(self.branches):
            here = branch == k
            following[moving[here]] = table.draw(rng, row[here], action[here])
        served = np.zeros(batch * n, bool)
        if model.quota is not None:
            served[moving] = branch == model.quota.branch
        shape = (batch, n)
        return AgentTransition(following.reshape(shape), rewards.reshape(shape), served.reshape(shape))

    def _branch_of(
        self,
        hood: Floats,
        raw: Floats | None,
        counts: Ints,
        world: Draws,
        row: Draws,
        action: Draws,
        rng: np.random.Generator,
    ) -> Ints:
        """The branch each agent takes."""
        quota, open_branches = self.tables.model.quota, self.tables.open_branches
        chosen = np.full(len(world), open_branches[0])
        if len(open_branches) > 1:
            weights = self.tables.open_weights(hood, raw)
            rows, columns, branches = weights.shape[1:]
            cell = (world * rows + row) * columns + (action if columns > 1 else 0)
            chosen = draws.pick(rng, draws.cumulative(weights), cell) - cell * branches
        if quota is not None:
            chosen[self._served(counts, world, row, rng)] = quota.branch
        return chosen

    def _served(self, counts: Ints, world: Draws, row: Draws, rng: np.random.Generator) -> Bools:
        """Who takes the quota's branch: ``(K,)``, exactly min(n, D) agents of each state."""
        present = self.tables.of_active(counts)
        places = NUMPY.poisson(rng, self.tables.rate, present.shape)
        cell = world * present.shape[1] + row
        served = np.zeros(len(cell), bool)
        served[draws.lottery(rng, cell, places.reshape(-1))] = True
        return served
