"""Booking rewards: what each node's own agents changed, and shaping by the value of being somewhere.

Two devices of the practical mode, both exact in the mean. They change what the learner regresses on, never what is
reported.

*Conditional booking.* Where a quota serves agents regardless of their action, the served agents' actions changed
nothing: the score is taken of the unserved alone, the served are booked by their expectation phi(n), and the variance
of their actions and of the riders' number drops out.

*Potential shaping.* h(s) is the discounted value of one agent in state s under the present policy, solved from the
agents' own flows. A node is paid r_s + gamma h(next) - h for its own agents: summed over nodes the rewards change by
the difference of one potential, so the team objective is unchanged, and an agent that leaves takes its value along.

Booking is local: a node's rewards come from its own flows. The value table of ``potential="table"`` is *global*: h
is solved from the flows of all nodes at once, and reaches as far as agents travel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfnet_agents.dec_neural_ac.landing import landings
from mfnet_agents.dec_neural_ac.sampling import Rollout
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.simulator.tables import closed_hoods

MEMORY = 0.8  # share of the past that the flow statistics keep from one batch to the next
PIECE = 2_000_000  # flows that are booked at a time


@dataclass(frozen=True)
class Flows:
    """In agents: the served by expectation ``(L, R)``, the others by action and open branch ``(L, R, A, K')``."""

    served: Floats
    others: Floats


class Bookkeeper:
    """Turns a rollout into local rewards ``(L, V)``.

    Attributes:
        value: ``(R,)`` h of the active states; zero unless ``learn`` is called.
        seen: running sums of the flows that ``value`` is solved from, ``(R, A, K)``; the served under action 0.

    Raises:
        ValueError: the model does not say what each branch earns, or its quota reads the action.
    """

    def __init__(self, model: LocalModel, gamma: float) -> None:
        rewards = model.branch_rewards()
        if rewards is None:
            raise ValueError("potential and score='unserved' need a model with branch_rewards()")
        self.model, self.gamma = model, gamma
        self.rewards: Floats = rewards
        self.quota = None if model.quota is None else model.quota.branch
        self.open = [k for k in range(len(model.branches)) if k != self.quota]
        if self.quota is not None and model.branches[self.quota].successors.shape[1] > 1:
            raise ValueError("potential and score='unserved' need a quota whose branch does not read the action")
        self.landing, self.delay = landings(model, gamma)
        self.value: Floats = np.zeros(len(model.active))
        self.seen: Floats = np.zeros_like(rewards)

    def book(self, sample: Rollout, *, learn: bool) -> Floats:
        """Local rewards ``(L, V)`` of a rollout by the present ``value``, which then ``learn``s from it."""
        rewards, batch = [], np.zeros_like(self.seen)
        for piece in sample.slices(PIECE):
            flows = self.flows(piece)
            rewards.append(self.rewards_of(flows))
            batch += self._summed(flows) if learn else 0
        if learn:
            self._solve(batch)
        return np.concatenate(rewards)

    def flows(self, sample: Rollout) -> Flows:
        """Who went where in a rollout; open branches are those that no quota rations."""
        model, length = self.model, sample.steps
        unserved = sample.flat("unserved").astype(np.float64)
        if self.quota is not None and len(self.open) == 1:
            share = self._weights(sample)[:, :, 0, self.quota]
            sizes = unserved.sum(2) + sample.flat("served")
            return Flows(sizes * share, unserved[..., None])
        weights = np.broadcast_to(
            self._weights(sample), (length, len(model.active), model.num_actions, len(model.branches))
        )
        kept = weights[..., self.open]
        kept = kept / np.maximum(kept.sum(3, keepdims=True), 1e-12)
        sizes = unserved.sum(2) + sample.flat("served")
        served = 0 * sizes if self.quota is None else sizes * weights[:, :, 0, self.quota]
        return Flows(served, unserved[..., None] * kept)

    def rewards_of(self, flows: Flows) -> Floats:
        """``(L, V)`` local rewards per agent of the population, shaped by the present ``value``."""
        gain = self.rewards + self.gamma * self._ahead(self.value) - self.value[:, None, None]
        booked = np.einsum("lrak,rak->lr", flows.others, gain[..., self.open])
        if self.quota is not None:
            booked += flows.served * gain[:, 0, self.quota]
        rewards = np.zeros((len(booked), self.model.network.num_nodes))
        np.add.at(rewards.T, self.model.network.node_of[self.model.active], booked.T)
        return rewards / self.model.population

    def learn(self, flows: Flows) -> None:
        """Solve h = r + gamma P h from these flows and, with fading weight, from earlier ones."""
        self._solve(self._summed(flows))

    def _summed(self, flows: Flows) -> Floats:
        """``(R, A, K)``: the flows of a batch; the served under action 0."""
        batch = np.zeros_like(self.seen)
        batch[..., self.open] = flows.others.sum(0)
        if self.quota is not None:
            batch[:, 0, self.quota] = flows.served.sum(0)
        return batch

    def _solve(self, batch: Floats) -> None:
        """One sparse system for all active states."""
        from scipy import sparse
        from scipy.sparse.linalg import spsolve

        self.seen = MEMORY * self.seen + batch
        shares = self.seen / np.maximum(self.seen.sum((1, 2), keepdims=True), 1e-12)
        rows = len(self.value)
        system = sparse.eye_array(rows, format="csc")
        for k, branch in enumerate(self.model.branches):
            weight, target = self._reach(branch)
            flow = shares[..., k, None] * weight
            origin, target = np.broadcast_arrays(np.arange(rows)[:, None, None], np.broadcast_to(target, flow.shape))
            step = sparse.coo_array((flow.reshape(-1), (origin.reshape(-1), target.reshape(-1))), (rows, rows))
            system = system - self.gamma * step.tocsc()
        self.value = spsolve(system, (shares * self.rewards).sum((1, 2)))

    def _weights(self, sample: Rollout) -> Floats:
        """The branches' weights ``(L, R, A or 1, K)`` where the rollout went."""
        crowd = sample.flat("crowd") / sample.population
        near = closed_hoods(self.model)
        hood = np.where((near >= 0)[..., None], crowd[:, np.maximum(near, 0)], 0.0)
        weights: Floats = np.asarray(self.model.branch_weights(hood), np.float64)
        return weights

    def _reach(self, branch: Branch) -> tuple[Floats, Ints]:
        """Discounted chances and active rows where a branch leads: ``(R, A or 1, J)``."""
        successors = branch.successors[self.model.active]
        return branch.probabilities[self.model.active] * self.delay[successors], self.landing[successors]

    def _ahead(self, value: Floats) -> Floats:
        """E h(next) by state, action and branch: ``(R, A, K)``."""
        reached = [(weight * value[row]).sum(2) for weight, row in map(self._reach, self.model.branches)]
        return np.stack([np.broadcast_to(ahead, self.rewards.shape[:2]) for ahead in reached], 2)
