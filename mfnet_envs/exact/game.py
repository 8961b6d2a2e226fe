"""The exact game: every count vector of a small instance, its transition law, and what follows from them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.compositions import compositions, how_many, multinomial_pmf, rank
from mfnet_envs.exact.evaluation import Evaluation, solve
from mfnet_envs.exact.kernel import Kernel
from mfnet_envs.exact.localised import spread_within
from mfnet_envs.exact.tables import SURE, as_played, as_policy, has_team_law, normalised
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy

MAX_COUNT_VECTORS = 10_000  # a dense law between them then takes 800 MB
MAX_PAIRS = 60_000

AnyPolicy = NDArray[np.floating] | Policy


class ExactGame:
    """A :class:`~mfnet_envs.model.LocalModel` with few agents, solved instead of simulated.

    Args:
        model: any model; what must stay small is the number of count vectors, C(N + S - 1, S - 1), at most 10,000, and
            for what knows actions the number of pairs (mu, h), C(N + C - 1, C - 1) for C legal state-actions, at most
            60,000.
        gamma: discount factor, default the model's.

    Attributes:
        count_vectors: ``(M, S)`` ints, all ways to spread N agents over S states, in lexicographic order.

    Raises:
        ValueError: gamma outside (0, 1), an instance too large to enumerate, or a model that reads a clock.

    A *policy* is a table pi ``(S, N + 1, A)``, whose entry (s, n) is played by agents of s when n of them are there, or
    a :class:`~mfnet_envs.policy.Policy`, taken at t = 0. A :class:`~mfnet_envs.policy.TeamPolicy` draws its teams'
    actions from its ``team_law(place, n)``, the probabilities of the compositions of n for the team at that place of
    ``model.team_states``. Gradients are with respect to the policy's own parameters: the logits of a table, the weights
    of a learner.

    >>> import mfnet_envs
    >>> game = ExactGame(mfnet_envs.make_model("MFNet-Grid-v0", rows=1, cols=3, population=4, matching="independent"))
    >>> game.count_vectors.shape
    (15, 3)
    >>> stay = game.model.heuristics()["stay"]
    >>> bool(game.objective(stay) < game.expected(game.optimal_values()))
    True
    """

    def __init__(self, model: LocalModel, gamma: float | None = None) -> None:
        if model.period is not None:
            raise ValueError("this model reads a clock; solve one of its laws: ExactGame(model.at(t))")
        self.model = model
        self.gamma = model.gamma if gamma is None else gamma
        if not 0 < self.gamma < 1:
            raise ValueError(f"gamma must lie strictly between 0 and 1, not {self.gamma!r}")
        _check_size(model, "count vectors", model.network.num_states, MAX_COUNT_VECTORS)
        self.count_vectors: Ints = compositions(model.population, model.network.num_states)
        self.kernel = Kernel(model, self.count_vectors)

    # -- enumeration ----------------------------------------------------------------------------------------------

    def index(self, counts: NDArray[np.integer]) -> Ints:
        """The place of ``counts (..., S)`` among ``count_vectors``: ``(...)``."""
        return rank(counts)

    @cached_property
    def pairs(self) -> Ints:
        """``(P, S, A)``: every pair (mu, h) as action counts over legal actions, grouped by count vector."""
        model = self.model
        cells = np.flatnonzero(model.legal)
        _check_size(model, "pairs of counts and actions", len(cells), MAX_PAIRS)
        rows = compositions(model.population, len(cells))
        pairs = np.zeros((len(rows), model.legal.size), np.int64)
        pairs[:, cells] = rows
        pairs = pairs.reshape(-1, *model.legal.shape)
        return pairs[np.argsort(rank(pairs.sum(2)), kind="stable")]

    @cached_property
    def pair_counts(self) -> Ints:
        """``(P,)``: the count vector of each pair."""
        return rank(self.pairs.sum(2))

    @property
    def rewards(self) -> Floats:
        """r(s, mu(N_s), a) of one agent, ``(M, S, A)``; 0 in transit. Equation (1)."""
        return self.kernel.rewards

    @cached_property
    def pair_rewards(self) -> Floats:
        """Team rewards (7) of every pair, ``(P, S)``: mu(s) sum_a r(s, mu(N_s), a) h(s)(a)."""
        rewards: Floats = (self.pairs * self.rewards[self.pair_counts]).sum(2) / self.model.population
        return rewards

    # -- laws -----------------------------------------------------------------------------------------------------

    def transition(self, policy: AnyPolicy) -> Floats:
        """P(mu' | mu) under a policy, ``(M, M)``."""
        policy = as_policy(self.model, policy)
        if has_team_law(policy):
            law: Floats = (self.mixing(policy) @ self.pair_law).toarray()
            return law
        return self.kernel.under(self.policy_table(policy))

    def pair_transition(self, pairs: NDArray[np.integer] | None = None) -> Floats:
        """P(mu' | mu, h), equation (6), ``(P, M)``: of all ``pairs``, or of the action counts ``(P, S, A)`` given."""
        if pairs is None:
            dense: Floats = self.pair_law.toarray()
            return dense
        given: Ints = np.asarray(pairs, np.int64)
        shape = self.model.legal.shape
        if given.shape[1:] != shape or (given.sum((1, 2)) != self.model.population).any() or (given < 0).any():
            raise ValueError(f"pairs must be action counts (P, {shape[0]}, {shape[1]}), each summing to the population")
        if given[:, ~self.model.legal].any():
            raise ValueError("pairs must not count agents under illegal actions")
        return self.kernel.given(given)

    @cached_property
    def pair_law(self) -> Any:
        """P(mu' | mu, h) of all ``pairs``, a scipy CSR array ``(P, M)``."""
        return self.kernel.sparse_given(self.pairs)

    def policy_table(self, policy: AnyPolicy) -> Floats:
        """pi ``(M, S, A)`` over legal actions at every count vector, illegal ones played as the first legal one."""
        pi = np.asarray(as_policy(self.model, policy).individual(self.count_vectors, 0), np.float64)
        return as_played(self.model, normalised(pi))

    def pair_probabilities(self, policy: AnyPolicy) -> Floats:
        """Pi(h | mu), ``(P,)``: the product over teams of ``policy.team_law``, or of the multinomials (5)."""
        policy = as_policy(self.model, policy)
        if not has_team_law(policy):
            product: Floats = np.prod(multinomial_pmf(self.pairs, self.policy_table(policy)[self.pair_counts]), 1)
            return product
        chance = np.ones(len(self.pairs))
        for place, s in enumerate(self.model.team_states):
            team = self.pairs[:, s]
            for n in range(1, self.model.population + 1):
                of_size = team.sum(1) == n
                chance[of_size] *= self._team_law(policy, place, n)[rank(team[of_size])]
        return chance

    def _team_law(self, policy: Any, place: int, n: int) -> Floats:
        law = np.asarray(policy.team_law(place, n), np.float64)
        a = self.model.num_actions
        if law.shape != (how_many(n, a),) or (law < 0).any() or abs(law.sum() - 1) > SURE:
            raise ValueError(f"team_law({place}, {n}) must be probabilities of the compositions of {n} that sum to 1")
        illegal = compositions(n, a)[:, ~self.model.legal[self.model.team_states[place]]].any(1)
        if law[illegal].any():
            raise ValueError(f"team_law({place}, {n}) must give no probability to illegal actions")
        return law

    def mixing(self, policy: AnyPolicy) -> Any:
        """Pi(h | mu) as a CSR array ``(M, P)``: applied to anything about pairs it is the mean under the policy."""
        from scipy import sparse

        entries = (self.pair_probabilities(policy), (self.pair_counts, np.arange(len(self.pairs))))
        return sparse.csr_array(entries, shape=(len(self.count_vectors), len(self.pairs)))

    # -- one policy -----------------------------------------------------------------------------------------------

    def under(self, policy: AnyPolicy) -> Evaluation:
        """Everything about one policy, computed once: ask it for several of the quantities below."""
        return Evaluation(self, as_policy(self.model, policy))

    def team_rewards(self, policy: AnyPolicy) -> Floats:
        """Mean team reward (7) at every count vector, ``(M, S)``."""
        return self.under(policy).team_rewards

    def state_values(self, policy: AnyPolicy, steps: int | None = None) -> Floats:
        """Team values V_s (8) at every count vector, ``(M, S)``; their sum over states is the value (4), (9).

        Args:
            steps: rewards counted; None for all of them, by one linear solve.
        """
        at = self.under(policy)
        return at.state_values if steps is None else at.values_over(steps)

    def action_values(self, policy: AnyPolicy) -> Floats:
        """Team action values Q_s at every pair, ``(P, S)``; their sum over states is Q (10)."""
        return self.under(policy).action_values

    def objective(self, policy: AnyPolicy) -> float:
        """J (11): the value of the policy in the mean over the first count vector."""
        return self.under(policy).objective

    def stationary(self, policy: AnyPolicy) -> Floats:
        """nu, the long-run law of the count vector, ``(M,)``; of a pair it is nu(mu) Pi(h | mu).

        Where the chain can end in several classes, it is the long-run law from the model's first count vector.
        """
        return self.under(policy).stationary

    def visitation(self, policy: AnyPolicy) -> Floats:
        """sigma (12), (1 - gamma) sum_t gamma^t P_0 P^t, over count vectors, ``(M,)``; of pairs times Pi(h | mu)."""
        return self.under(policy).visitation

    def bellman_residual(self, policy: AnyPolicy, q: NDArray[np.floating]) -> Floats:
        """(19) minus ``q (P, S)``: r_s + gamma E[Q_s(mu', h')] - Q_s, with h' drawn given mu'; ``(P, S)``."""
        return self.under(policy).bellman_residual(q)

    def policy_gradient(self, policy: AnyPolicy) -> Floats:
        """grad J (17), in the policy's parameters: logits of a table ``(S, N + 1, A)``, weights ``(T, d, M)``."""
        return self.under(policy).policy_gradient

    def local_policy_gradient(self, policy: AnyPolicy, hops: int, credit_hops: int | None = None) -> Floats:
        """(18): the gradient of s sums, over y in N_s^kappa, the best Q_y that knows N_y^k only.

        Args:
            hops: k. credit_hops: kappa, default k as in the paper.
        """
        return self.under(policy).local_policy_gradient(hops, credit_hops)

    def spread(self, values: NDArray[np.floating], hops: int) -> Floats:
        """How far ``values`` of a node may differ where situations agree on its ball of ``hops``: ``(V,)``.

        Args:
            values: ``(P, S)`` or ``(P, V)`` of pairs, or ``(M, S)`` or ``(M, V)`` of count vectors.
        """
        situations = self.pairs if len(values) == len(self.pairs) else self.count_vectors[:, :, None]
        return spread_within(self.model.network, situations, np.asarray(values), hops)

    # -- the best policy ------------------------------------------------------------------------------------------

    def optimal_values(self, steps: int | None = None) -> Floats:
        """The best value (4) of any policy, one planner for all teams included: ``(M,)``.

        Args:
            steps: rewards counted, by backward induction; None for all of them, by policy iteration.
        """
        rewards, law = self.pair_rewards.sum(1), self.pair_law
        values = np.zeros(len(self.count_vectors))
        if steps is not None:
            for _ in range(steps):
                values = self._best(rewards + self.gamma * (law @ values))[0]
            return values
        while True:
            better, choice = self._best(rewards + self.gamma * (law @ values))
            if np.abs(better - values).max() <= 1e-12 * max(1.0, np.abs(better).max()):
                return better
            values = solve(law[choice].toarray(), rewards[choice], self.gamma)

    def _best(self, worth: Floats) -> tuple[Floats, Ints]:
        """The best pair of every count vector: its worth and its place, ``(M,)`` each."""
        starts = np.flatnonzero(np.diff(self.pair_counts, prepend=-1))
        best: Floats = np.maximum.reduceat(worth, starts)
        order = np.flatnonzero(worth == best[self.pair_counts])
        return best, order[np.searchsorted(self.pair_counts[order], np.arange(len(best)))]

    # -- the start ------------------------------------------------------------------------------------------------

    @cached_property
    def initial(self) -> Floats:
        """The law P_0 of the first count vector, ``(M,)``: agents i.i.d. from ``model.initial``."""
        return multinomial_pmf(self.count_vectors, self.model.initial)

    def expected(self, values: NDArray[np.floating]) -> Floats:
        """The mean of ``values (M, ...)`` under the law of the first count vector."""
        mean: Floats = np.tensordot(self.initial, values, 1)
        return mean


def _check_size(model: LocalModel, what: str, cells: int, limit: int) -> None:
    """Refuse an enumeration of more than ``limit`` compositions of N into ``cells``."""
    if how_many(model.population, cells) <= limit:
        return
    fits = next((n for n in range(model.population - 1, 0, -1) if how_many(n, cells) <= limit), 0)
    advice = f"a population of at most {fits} fits" if fits else "take a smaller network"
    raise ValueError(
        f"{model.population} agents on {model.network.num_states} states make {how_many(model.population, cells):,} "
        f"{what}, too many to enumerate (the limit is {limit:,}); {advice}"
    )
