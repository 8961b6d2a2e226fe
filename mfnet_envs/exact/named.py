"""The game of agents with names: S^N joint states, written out from the definitions (1) and (2).

It shares nothing with :class:`~mfnet_envs.exact.game.ExactGame` but the model, and is far slower; each is the other's
witness.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel

MAX_JOINT_STATES = 4096

Joint = tuple[int, ...]


class NamedGame:
    """``model`` with every agent followed by name.

    Attributes:
        states: all joint states, tuples of N states.

    Raises:
        ValueError: more than 4,096 joint states.
    """

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self.s, self.n = model.network.num_states, model.population
        if self.s**self.n > MAX_JOINT_STATES:
            raise ValueError(
                f"{self.n} named agents on {self.s} states make {self.s**self.n:,} joint states, "
                f"over the limit of {MAX_JOINT_STATES:,}; take fewer agents"
            )
        self.states: list[Joint] = list(itertools.product(range(self.s), repeat=self.n))
        self.single = cache(self._single)

    def counts(self, joint: Joint) -> Ints:
        """``(S,)``: how many agents are in each state."""
        return np.bincount(joint, minlength=self.s)

    def _single(self, joint: Joint) -> tuple[Floats, Floats, Floats]:
        """Rewards (1) ``(S, A)``, and where one agent goes with a place of the quota and without: ``(S, A, S)``."""
        model, network = self.model, self.model.network
        hood = np.zeros((1, *network.neighbors.shape, model.num_groups))
        for s in joint:
            v, layer = divmod(s, network.layers)
            hood[0][network.neighbors == v, model.groups[layer]] += 1 / self.n
        shape = (len(model.active), model.num_actions)
        paid = np.broadcast_to(model.reward(hood)[0], shape)
        weights = np.broadcast_to(model.branch_weights(hood)[0], (*shape, len(model.branches)))
        rewards = np.zeros(model.legal.shape)
        served, others = np.zeros((2, *model.legal.shape, self.s))
        quota = None if model.quota is None else model.quota.branch
        for s, a in itertools.product(range(self.s), range(model.num_actions)):
            action = a if model.legal[s, a] else list(model.legal[s]).index(True)
            if model.transit[s]:
                others[s, a] = served[s, a] = self._branch(-1, s, action)
                continue
            row = list(model.active).index(s)
            rewards[s, a] = paid[row, action]
            open_weights = {k: w for k, w in enumerate(weights[row, action]) if k != quota}
            if sum(open_weights.values()) == 0:  # everybody is served
                open_weights = dict.fromkeys(open_weights, 1.0)
            others[s, a] = sum(w * self._branch(k, s, action) for k, w in open_weights.items())
            others[s, a] /= sum(open_weights.values())
            served[s, a] = others[s, a] if quota is None else self._branch(quota, s, action)
        return rewards, served, others

    def _branch(self, k: int, s: int, a: int) -> Floats:
        branch = self.model.branches[k]
        column = a if branch.successors.shape[1] > 1 else 0
        law = np.zeros(self.s)
        for successor, chance in zip(branch.successors[s, column], branch.probabilities[s, column], strict=True):
            law[successor] += chance
        return law

    def winners(self, joint: Joint) -> list[tuple[float, Joint]]:
        """The chance of every set of served agents, as 0/1 flags."""
        if self.model.quota is None:
            return [(1.0, (0,) * self.n)]
        counts, sets = self.counts(joint), []
        for flags in itertools.product((0, 1), repeat=self.n):
            chance = 1.0
            for s, rate in enumerate(self.model.quota.rate):
                m = sum(flag for flag, state in zip(flags, joint, strict=True) if state == s)
                pmf = [math.exp(-rate) * float(rate) ** i / math.factorial(i) for i in range(m + 1)]
                places = pmf[m] if m < counts[s] else 1 - math.fsum(pmf[:m])
                chance *= places / math.comb(int(counts[s]), m)
            sets.append((chance, flags))
        return sets

    def law(self, joint: Joint, choices: list[Floats]) -> Floats:
        """The law of the next joint state, ``(S,) * N``, when agent i draws its action from ``choices[i] (A,)``."""
        _, served, others = self.single(joint)
        law = np.zeros((self.s,) * self.n)
        for chance, flags in self.winners(joint):
            rows = [c @ (served if flag else others)[s] for s, c, flag in zip(joint, choices, flags, strict=True)]
            outer = rows[0]
            for row in rows[1:]:
                outer = np.multiply.outer(outer, row)
            law += chance * outer
        return law

    def chain(self, pi: Floats) -> tuple[Floats, Floats]:
        """Under a table ``pi (S, N + 1, A)``: the law of the joint state, and each agent's mean reward ``(S^N, N)``."""
        laws, rewards = [], []
        for joint in self.states:
            counts = self.counts(joint)
            choices = [pi[s, counts[s]] for s in joint]
            laws.append(self.law(joint, choices).reshape(-1))
            rewards.append([c @ self.single(joint)[0][s] for s, c in zip(joint, choices, strict=True)])
        return np.array(laws), np.array(rewards)

    def values(self, pi: Floats, gamma: float) -> Floats:
        """The value (4) of every agent in every joint state, ``(S^N, N)``."""
        laws, rewards = self.chain(pi)
        return np.asarray(np.linalg.solve(np.eye(len(laws)) - gamma * laws, rewards), np.float64)
