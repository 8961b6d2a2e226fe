"""The exact game: every count vector of a small instance, its transition law, and what follows from them.

A law of next counts is built by adding the agents one at a time, so a vector of i agents becomes one of i + 1; that is
the convolution of the teams' multinomials (6), for all situations at once. Nothing is sampled and nothing is shared
with the simulator, so each can be held against the other.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints

if TYPE_CHECKING:
    from mfnet_envs.policy import Policy

MAX_LAW = 40_000_000  # entries of one dense table of laws: 320 MB
CHUNK = 4_000_000  # entries worked on at once
SURE = 1e-6  # how far a row of probabilities, perhaps in single precision, may be from summing to 1


class _Moves(NamedTuple):
    """Where one agent goes: ``(M, S, A, S)`` with the quota's branch (None without a quota) and without it."""

    served: Floats | None
    others: Floats


class ExactGame:
    """A :class:`~mfnet_envs.model.LocalModel` with few agents, solved instead of simulated.

    Args:
        model: any model; what must stay small is the number of count vectors, C(N + S - 1, S - 1).
        gamma: discount factor, default the model's.

    Attributes:
        count_vectors: ``(M, S)`` ints, all ways to spread N agents over S states, in lexicographic order.

    Raises:
        ValueError: gamma outside (0, 1), or an instance too large to enumerate.

    A *policy* is a table pi ``(S, N + 1, A)``, whose entry (s, n) is played by agents of s when n of them are there, or
    a :class:`~mfnet_envs.policy.Policy`, taken at t = 0. One that has ``team_law(place, n)``, the probabilities of the
    compositions of n for the team at that place of ``model.team_states``, draws its teams' actions from that.

    >>> from mfnet_envs.exact import compositions
    >>> compositions(2, 2).tolist()
    [[0, 2], [1, 1], [2, 0]]
    """

    def __init__(self, model: LocalModel, gamma: float | None = None) -> None:
        self.model = model
        self.gamma = model.gamma if gamma is None else gamma
        if not 0 < self.gamma < 1:
            raise ValueError(f"gamma must lie strictly between 0 and 1, not {self.gamma!r}")
        _check_size(model, "count vectors", model.network.num_states)
        self.count_vectors: Ints = compositions(model.population, model.network.num_states)

    # -- enumeration ----------------------------------------------------------------------------------------------

    def index(self, counts: NDArray[np.integer]) -> Ints:
        """The place of ``counts (..., S)`` among ``count_vectors``: ``(...)``."""
        return rank(counts)

    @cached_property
    def pairs(self) -> Ints:
        """``(P, S, A)``: every pair (mu, h) as action counts over legal actions, grouped by count vector."""
        model = self.model
        cells = np.flatnonzero(model.legal)
        _check_size(model, "pairs of counts and actions", len(cells))
        rows = compositions(model.population, len(cells))
        pairs = np.zeros((len(rows), model.legal.size), np.int64)
        pairs[:, cells] = rows
        pairs = pairs.reshape(-1, *model.legal.shape)
        return pairs[np.argsort(rank(pairs.sum(2)), kind="stable")]

    @cached_property
    def pair_counts(self) -> Ints:
        """``(P,)``: the count vector of each pair."""
        return rank(self.pairs.sum(2))

    # -- the model, enumerated ------------------------------------------------------------------------------------

    @cached_property
    def rewards(self) -> Floats:
        """r(s, mu(N_s), a) of one agent, ``(M, S, A)``; 0 in transit. Equation (1)."""
        rewards = np.zeros((len(self.count_vectors), *self.model.legal.shape))
        rewards[:, self.model.active] = np.asarray(self.model.reward(self._hoods), np.float64)
        return rewards

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

    # -- transition laws ------------------------------------------------------------------------------------------

    def transition(self, policy: NDArray[np.floating] | Policy) -> Floats:
        """P(mu' | mu) under a policy, ``(M, M)``."""
        if hasattr(policy, "team_law"):
            by_pair = self.pair_transition() * self.pair_probabilities(policy)[:, None]
            starts = np.flatnonzero(np.diff(self.pair_counts, prepend=-1))
            summed: Floats = np.add.reduceat(by_pair, starts)
            return summed
        pi, (served, others) = self.policy_table(policy), self._moves
        rows = np.einsum("msa,msat->mst", pi, others)
        special = None if served is None else np.einsum("msa,msat->mst", pi, served)
        agents = _expand(self.count_vectors)
        here = np.arange(len(agents))[:, None]
        return self._law(agents, rows[here, agents], None if special is None else special[here, agents])

    def pair_transition(self, pairs: NDArray[np.integer] | None = None) -> Floats:
        """P(mu' | mu, h), equation (6), ``(P, M)``: of all ``pairs``, or of the action counts ``(P, S, A)`` given."""
        pairs = self.pairs if pairs is None else np.asarray(pairs, np.int64)
        shape = self.model.legal.shape
        if pairs.shape[1:] != shape or (pairs.sum((1, 2)) != self.model.population).any() or (pairs < 0).any():
            raise ValueError(f"pairs must be action counts (P, {shape[0]}, {shape[1]}), each summing to the population")
        if pairs[:, ~self.model.legal].any():
            raise ValueError("pairs must not count agents under illegal actions")
        served, others = self._moves
        state, action = np.divmod(_expand(pairs.reshape(len(pairs), -1)), shape[1])
        here = rank(pairs.sum(2))[:, None]
        special = None if served is None else served[here, state, action]
        return self._law(state, others[here, state, action], special)

    def _law(self, state: Ints, others: Floats, served: Floats | None) -> Floats:
        """The law of next counts ``(K, M)`` of K situations, each a list of N agents.

        Args:
            state: ``(K, N)`` state of each agent, ascending.
            others, served: ``(K, N, S)`` where the agent goes without and with a place of the quota.
        """
        width = len(self.count_vectors) * (1 if served is None else self.model.population + 1)
        step = max(1, CHUNK // width)
        parts = []
        for start in range(0, len(state), step):
            part = slice(start, start + step)
            parts.append(self._law_of(state[part], others[part], None if served is None else served[part]))
        return np.concatenate(parts)

    def _law_of(self, state: Ints, others: Floats, served: Floats | None) -> Floats:
        """Add the agents one by one, keeping apart how many of the present team took a place of the quota."""
        k, n = state.shape
        law = np.zeros((k, 1 if served is None else n + 1, 1))
        law[:, 0] = 1
        for i in range(n):
            grown = np.zeros((k, law.shape[1], _binomial(i + self._s, self._s - 1)))
            for target, place in enumerate(self._grow[i].T):
                grown[:, :, place] += law * others[:, i, target, None, None]
                if served is not None:
                    grown[:, 1:, place] += law[:, :-1] * served[:, i, target, None, None]
            law = grown
            if served is not None:
                self._open_places(law, state, i)
        return law[:, 0]

    def _open_places(self, law: Floats, state: Ints, i: int) -> None:
        """Where agent i closes its team of n: weigh m served agents by P(min(n, D) = m) / C(n, m)."""
        n = state.shape[1]
        last = np.ones(len(state), bool) if i == n - 1 else state[:, i + 1] != state[:, i]
        closing = np.flatnonzero(last)
        team = state[closing, i]
        size = (state[closing, : i + 1] == team[:, None]).sum(1)
        chance = self._places[team, size]
        law[closing, 0] = np.einsum("km,kmc->kc", chance, law[closing])
        law[closing, 1:] = 0

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

    # -- policies -------------------------------------------------------------------------------------------------

    def policy_table(self, policy: NDArray[np.floating] | Policy) -> Floats:
        """pi ``(M, S, A)`` over legal actions at every count vector, illegal ones played as the first legal one."""
        s, a = self.model.legal.shape
        if isinstance(policy, np.ndarray):
            shape = (s, self.model.population + 1, a)
            if policy.shape != shape:
                raise ValueError(f"a policy table must have shape (S, N + 1, A) = {shape}, not {policy.shape}")
            pi = policy[np.arange(s), self.count_vectors]
        else:
            pi = np.asarray(policy.individual(self.count_vectors, 0), np.float64)
        if not ((pi >= 0).all() and (np.abs(pi.sum(2) - 1) < SURE).all()):
            raise ValueError("a policy's rows must be non-negative and sum to 1")
        pi = pi / pi.sum(2, keepdims=True)
        legal = np.where(self.model.legal, pi, 0.0)
        legal[:, np.arange(s), self.model.first_legal] += np.where(self.model.legal, 0.0, pi).sum(2)
        return legal

    def pair_probabilities(self, policy: NDArray[np.floating] | Policy) -> Floats:
        """Pi(h | mu), ``(P,)``: the product over teams of ``policy.team_law``, or of the multinomials (5)."""
        if not hasattr(policy, "team_law"):
            pi = self.policy_table(policy)[self.pair_counts]
            product: Floats = np.prod(_multinomial_pmf(self.pairs, pi), 1)
            return product
        chance = np.ones(len(self.pairs))
        for place, s in enumerate(self.model.team_states):
            team = self.pairs[:, s]
            for n in range(1, self.model.population + 1):
                of_size = team.sum(1) == n
                law = np.asarray(policy.team_law(place, n), np.float64)
                if law.shape != (_binomial(n + team.shape[1] - 1, team.shape[1] - 1),) or abs(law.sum() - 1) > SURE:
                    raise ValueError(
                        f"team_law({place}, {n}) must be probabilities of the compositions of {n} that sum to 1"
                    )
                chance[of_size] *= law[rank(team[of_size])]
        return chance

    # -- values ---------------------------------------------------------------------------------------------------

    def team_rewards(self, policy: NDArray[np.floating] | Policy) -> Floats:
        """Mean team reward (7) at every count vector, ``(M, S)``: mu(s) sum_a r(s, mu(N_s), a) E h(s)(a)."""
        if hasattr(policy, "team_law"):
            rewards = np.zeros(self.count_vectors.shape)
            np.add.at(rewards, self.pair_counts, self.pair_rewards * self.pair_probabilities(policy)[:, None])
            return rewards
        mean: Floats = (self.policy_table(policy) * self.rewards).sum(2)
        return self.count_vectors / self.model.population * mean

    @cached_property
    def pair_rewards(self) -> Floats:
        """Team rewards (7) of every pair, ``(P, S)``."""
        rewards: Floats = (self.pairs * self.rewards[self.pair_counts]).sum(2) / self.model.population
        return rewards

    def state_values(self, policy: NDArray[np.floating] | Policy, steps: int | None = None) -> Floats:
        """Team values (8) at every count vector, ``(M, S)``; their sum over states is the value (4), (9).

        Args:
            steps: rewards counted; None for all of them, by one linear solve.
        """
        law, rewards = self.transition(policy), self.team_rewards(policy)
        if steps is None:
            return _solve(law, rewards, self.gamma)
        values = np.zeros_like(rewards)
        for _ in range(steps):
            values = rewards + self.gamma * law @ values
        return values

    def optimal_values(self, steps: int | None = None) -> Floats:
        """The best value (4) of any policy, one planner for all teams included: ``(M,)``.

        Args:
            steps: rewards counted, by backward induction; None for all of them, by policy iteration.
        """
        rewards, law = self.pair_rewards.sum(1), self._pair_law
        values = np.zeros(len(self.count_vectors))
        if steps is not None:
            for _ in range(steps):
                values = self._best(rewards + self.gamma * law @ values)[0]
            return values
        while True:
            better, choice = self._best(rewards + self.gamma * law @ values)
            if np.abs(better - values).max() <= 1e-12 * max(1.0, np.abs(better).max()):
                return better
            values = _solve(law[choice], rewards[choice], self.gamma)

    @cached_property
    def _pair_law(self) -> Floats:
        return self.pair_transition()

    def _best(self, worth: Floats) -> tuple[Floats, Ints]:
        """The best pair of every count vector: its worth and its place, ``(M,)`` each."""
        starts = np.flatnonzero(np.diff(self.pair_counts, prepend=-1))
        best: Floats = np.maximum.reduceat(worth, starts)
        order = np.flatnonzero(worth == best[self.pair_counts])
        return best, order[np.searchsorted(self.pair_counts[order], np.arange(len(best)))]

    @cached_property
    def initial(self) -> Floats:
        """The law of the first count vector, ``(M,)``: agents i.i.d. from ``model.initial``."""
        return _multinomial_pmf(self.count_vectors, self.model.initial)

    def expected(self, values: NDArray[np.floating]) -> Floats:
        """The mean of ``values (M, ...)`` under the law of the first count vector."""
        mean: Floats = np.tensordot(self.initial, values, 1)
        return mean


def compositions(n: int, parts: int) -> Ints:
    """All ways to write n as an ordered sum of ``parts`` non-negative integers, ``(C(n+parts-1, parts-1), parts)``.

    Lexicographic: the first part grows slowest, from 0.
    """
    rows = np.zeros((1, 0), np.int64)
    for _ in range(parts - 1):
        left = n - rows.sum(1)
        repeated = np.repeat(rows, left + 1, axis=0)
        first = np.repeat(np.cumsum(left + 1) - left - 1, left + 1)
        rows = np.column_stack([repeated, np.arange(len(repeated)) - first])
    return np.column_stack([rows, n - rows.sum(1)])


def rank(counts: NDArray[np.integer]) -> Ints:
    """The place of ``counts (..., parts)`` among the compositions of its sum: ``(...)``."""
    parts = counts.shape[-1]
    left = np.flip(np.cumsum(np.flip(counts, -1), -1), -1)  # agents in this part and the later ones
    place = np.zeros(counts.shape[:-1], np.int64)
    for part in range(parts - 1):
        table = _binomial_column(int(left.max(initial=0)), parts - 1 - part)
        place += table[left[..., part]] - table[left[..., part + 1]]
    return place


def _solve(law: Floats, rewards: Floats, gamma: float) -> Floats:
    """The values V = rewards + gamma law V."""
    return np.asarray(np.linalg.solve(np.eye(len(law)) - gamma * law, rewards), np.float64)


def _binomial_column(largest: int, parts: int) -> Ints:
    """C(r + parts, parts) for r = 0..largest."""
    return np.array([math.comb(r + parts, parts) for r in range(largest + 1)], np.int64)


def _binomial(n: int, k: int) -> int:
    return math.comb(n, k)


def _expand(counts: Ints) -> Ints:
    """``(K, C)`` counts, each row summing to N, as lists of N cells: ``(K, N)``."""
    cells = np.tile(np.arange(counts.shape[1]), len(counts))
    return np.repeat(cells, counts.reshape(-1)).reshape(len(counts), -1)


def _dense(successors: Ints, probabilities: Floats, s: int, a: int) -> Floats:
    """A branch's tables as rows over all states, ``(S, A, S)``."""
    rows = np.zeros((s, successors.shape[1], s))
    for j in range(successors.shape[2]):
        used = probabilities[..., j] > 0
        state, column = np.nonzero(used)
        np.add.at(rows, (state, column, successors[..., j][used]), probabilities[..., j][used])
    return np.broadcast_to(rows, (s, a, s))


def _multinomial_pmf(counts: Ints, chance: Floats) -> Floats:
    """P(counts) of multinomials with cell probabilities ``chance``, over the last axis."""
    factorial = np.array([float(math.factorial(n)) for n in range(int(counts.sum(-1).max(initial=0)) + 1)])
    ways = factorial[counts.sum(-1)] / np.prod(factorial[counts], -1)
    pmf: Floats = ways * np.prod(np.power(chance, counts), -1)
    return pmf


def _check_size(model: LocalModel, what: str, cells: int) -> None:
    """Refuse tables of laws, one row for each composition of N into ``cells``, that are too large to keep."""

    def size(population: int) -> int:
        rows, columns = (math.comb(population + k - 1, k - 1) for k in (cells, model.network.num_states))
        return rows * max(columns, model.legal.size * (model.network.num_states if cells < model.legal.size else 1))

    if size(model.population) <= MAX_LAW:
        return
    fits = next((n for n in range(model.population - 1, 0, -1) if size(n) <= MAX_LAW), 0)
    count = math.comb(model.population + cells - 1, cells - 1)
    advice = f"a population of at most {fits} fits" if fits else "take a smaller network"
    raise ValueError(
        f"{model.population} agents on {model.network.num_states} states make {count:,} {what}, "
        f"too many to enumerate; {advice}"
    )
