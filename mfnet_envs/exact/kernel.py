"""The model at every count vector, and the exact law of the next one.

A law of next counts is built by adding the agents one at a time, so a vector of i agents becomes one of i + 1; that is
the convolution of the teams' multinomials (6), for many situations at once. Nothing is sampled and nothing is shared
with the simulator, so each can be held against the other.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.compositions import compositions, expand, how_many, rank
from mfnet_envs.model import LocalModel

CHUNK = 4_000_000  # entries worked on at once


class _Moves(NamedTuple):
    """Where one agent goes: ``(M, S, A, S)`` with the quota's branch (None without a quota) and without it."""

    served: Floats | None
    others: Floats


class Kernel:
    """Rewards (1) and laws (2), (6) of ``model`` at each of its ``count_vectors (M, S)``."""

    def __init__(self, model: LocalModel, count_vectors: Ints) -> None:
        self.model, self.count_vectors = model, count_vectors

    @cached_property
    def rewards(self) -> Floats:
        """r(s, mu(N_s), a) of one agent, ``(M, S, A)``; 0 in transit. Equation (1)."""
        rewards = np.zeros((len(self.count_vectors), *self.model.legal.shape))
        rewards[:, self.model.active] = np.asarray(self.model.reward(self._hoods), np.float64)
        return rewards

    @property
    def moves(self) -> Floats:
        """P(s' | s, mu(N_s), a) of one agent, ``(M, S, A, S)``, equation (2); of a model without a quota."""
        return self._moves.others

    @cached_property
    def _hoods(self) -> Floats:
        """The crowds ``(M, V, D, G)`` the model is handed."""
        network, groups = self.model.network, self.model.groups
        shares = self.count_vectors / self.model.population
        hoods = np.zeros((len(shares), *network.neighbors.shape, self.model.num_groups))
        for v, row in enumerate(network.neighbors):
            for slot, w in enumerate(row[row >= 0]):
                for layer, group in enumerate(groups):
                    hoods[:, v, slot, group] += shares[:, w * network.layers + layer]
        return hoods

    @cached_property
    def _moves(self) -> _Moves:
        """The kernel (2) as dense rows, the quota's branch apart."""
        model, (s, a) = self.model, self.model.legal.shape
        weights = np.zeros((len(self.count_vectors), s, a, len(model.branches)))
        weights[..., -1] = 1  # the branch of agents in transit
        weights[:, model.active] = np.asarray(model.branch_weights(self._hoods), np.float64)
        tables = np.stack([_dense(b.successors, b.probabilities, s, a) for b in model.branches])
        if model.quota is None:
            return _Moves(None, np.einsum("msak,ksat->msat", weights, tables))
        served = np.broadcast_to(tables[model.quota.branch], (len(weights), s, a, s))
        weights[..., model.quota.branch] = 0
        total = weights.sum(-1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        # where the model serves everybody the others have no weights: they share their branches equally
        rest = (np.arange(len(model.branches)) != model.quota.branch) / (len(model.branches) - 1)
        weights = np.where(total > 0, weights, rest)
        return _Moves(served, np.einsum("msak,ksat->msat", weights, tables))

    def under(self, pi: Floats) -> Floats:
        """P(mu' | mu) when every agent draws its action from ``pi (M, S, A)``: ``(M, M)``."""
        served, others = self._moves
        rows = np.einsum("msa,msat->mst", pi, others)
        special = None if served is None else np.einsum("msa,msat->mst", pi, served)
        agents = expand(self.count_vectors)
        law = np.empty((len(agents),) * 2)
        for part in self._parts(len(agents)):
            here = np.arange(part.start, part.stop)[:, None]
            who = agents[part]
            law[part] = self._law(who, rows[here, who], None if special is None else special[here, who])
        return law

    def given(self, pairs: Ints) -> Floats:
        """P(mu' | mu, h), equation (6), of action counts ``pairs (P, S, A)``: ``(P, M)``."""
        law = np.empty((len(pairs), len(self.count_vectors)))
        for part in self._parts(len(pairs)):
            law[part] = self._given(pairs[part])
        return law

    def sparse_given(self, pairs: Ints) -> Any:
        """The same as a scipy array in CSR form: what can happen next is few of all count vectors."""
        from scipy import sparse

        return sparse.vstack([sparse.csr_array(self._given(pairs[part])) for part in self._parts(len(pairs))], "csr")

    def _given(self, pairs: Ints) -> Floats:
        served, others = self._moves
        state, action = np.divmod(expand(pairs.reshape(len(pairs), -1)), pairs.shape[2])
        here = rank(pairs.sum(2))[:, None]
        special = None if served is None else served[here, state, action]
        return self._law(state, others[here, state, action], special)

    def _parts(self, situations: int) -> list[slice]:
        """Slices of situations few enough to be worked on at once."""
        width = len(self.count_vectors) * (1 if self.model.quota is None else self.model.population + 1)
        step = max(1, CHUNK // width)
        return [slice(start, min(start + step, situations)) for start in range(0, situations, step)]

    def _law(self, state: Ints, others: Floats, served: Floats | None) -> Floats:
        """The law of next counts ``(K, M)`` of K situations, each a list of N agents.

        The agents are added one by one, keeping apart how many of the present team took a place of the quota.

        Args:
            state: ``(K, N)`` state of each agent, ascending.
            others, served: ``(K, N, S)`` where the agent goes without and with a place of the quota.
        """
        k, n = state.shape
        law = np.ones((1, 1, k))  # taken places, count vectors, situations
        for i in range(n):
            grown = np.zeros((len(law) + (served is not None), how_many(i + 1, self._s), k))
            for target, place in enumerate(self._grow[i].T):
                if others[:, i, target].any():
                    grown[: len(law), place] += law * others[:, i, target]
                if served is not None and served[:, i, target].any():
                    grown[1:, place] += law * served[:, i, target]
            law = grown if served is None else self._open_places(grown, state, i)
        whole: Floats = law[0].T
        return whole

    def _open_places(self, law: Floats, state: Ints, i: int) -> Floats:
        """Where agent i closes its team of n: weigh m served agents by P(min(n, D) = m) / C(n, m), and start anew."""
        n = state.shape[1]
        last = np.ones(len(state), bool) if i == n - 1 else state[:, i + 1] != state[:, i]
        closing = np.flatnonzero(last)
        team = state[closing, i]
        size = (state[closing, : i + 1] == team[:, None]).sum(1)
        chance = self._places[team, size, : len(law)]
        law[0, :, closing] = np.einsum("km,mck->kc", chance, law[:, :, closing])
        law[1:, :, closing] = 0
        still_open = (state[:, : i + 1] == state[:, i : i + 1]).sum(1)[~last]
        return law[: 1 + int(still_open.max(initial=0))]

    @cached_property
    def _places(self) -> Floats:
        """The chance that m given agents of n are the served ones, P(min(n, D) = m) / C(n, m): ``(S, n, m)``."""
        assert self.model.quota is not None
        n, chance = self.model.population, np.zeros((self._s, self.model.population + 1, self.model.population + 1))
        for state, rate in enumerate(self.model.quota.rate):
            pmf = [math.exp(-rate) * float(rate) ** m / math.factorial(m) for m in range(n + 1)]
            for size in range(n + 1):
                law = [*pmf[:size], 1 - math.fsum(pmf[:size])]
                chance[state, size, : size + 1] = [law[m] / math.comb(size, m) for m in range(size + 1)]
        return chance

    @cached_property
    def _grow(self) -> list[Ints]:
        """Entry i, ``(M_i, S)``: the place of (vector of i agents) + (one agent in s) among vectors of i + 1."""
        one = np.eye(self._s, dtype=np.int64)
        return [rank(compositions(i, self._s)[:, None] + one) for i in range(self.model.population)]

    @property
    def _s(self) -> int:
        return self.model.network.num_states


def _dense(successors: Ints, probabilities: Floats, s: int, a: int) -> Floats:
    """A branch's tables as rows over all states, ``(S, A, S)``."""
    rows = np.zeros((s, successors.shape[1], s))
    for j in range(successors.shape[2]):
        used = probabilities[..., j] > 0
        state, column = np.nonzero(used)
        np.add.at(rows, (state, column, successors[..., j][used]), probabilities[..., j][used])
    return np.broadcast_to(rows, (s, a, s))
