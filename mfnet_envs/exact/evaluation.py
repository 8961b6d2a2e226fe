"""One policy in the exact game: values, laws and gradients, each computed when first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats
from mfnet_envs.exact.localised import by_node, conditional_mean, td_lambda_values
from mfnet_envs.exact.tables import has_team_law
from mfnet_envs.policy import Policy

if TYPE_CHECKING:
    from mfnet_envs.exact.game import ExactGame


class Evaluation:
    """What :meth:`ExactGame.under` answers; the policy must not change while it is used.

    Shapes: M count vectors, P pairs (mu, h), S states, V nodes, T states with a choice.
    """

    def __init__(self, game: ExactGame, policy: Policy) -> None:
        self.game, self.policy, self.gamma = game, policy, game.gamma

    # -- values

    @cached_property
    def transition(self) -> Floats:
        """P(mu' | mu), ``(M, M)``."""
        return self.game.transition(self.policy)

    @cached_property
    def team_rewards(self) -> Floats:
        """Mean team reward (7), ``(M, S)``: mu(s) sum_a r(s, mu(N_s), a) E h(s)(a)."""
        if has_team_law(self.policy):
            drawn: Floats = self.mixing @ self.game.pair_rewards
            return drawn
        mean: Floats = (self.game.policy_table(self.policy) * self.game.rewards).sum(2)
        return self.game.count_vectors / self.game.model.population * mean

    @cached_property
    def state_values(self) -> Floats:
        """V_s (8), ``(M, S)``: V = r + gamma P V."""
        return solve(self.transition, self.team_rewards, self.gamma)

    def values_over(self, steps: int) -> Floats:
        """V_s of the first ``steps`` rewards, ``(M, S)``."""
        values = np.zeros_like(self.team_rewards)
        for _ in range(steps):
            values = self.team_rewards + self.gamma * self.transition @ values
        return values

    @cached_property
    def objective(self) -> float:
        """J (11)."""
        return float(self.game.expected(self.state_values.sum(1)))

    @cached_property
    def action_values(self) -> Floats:
        """Q_s, ``(P, S)``: r_s(mu, h) + gamma E[V_s(mu') | mu, h]."""
        values: Floats = self.game.pair_rewards + self.gamma * (self.game.pair_law @ self.state_values)
        return values

    def bellman_residual(self, q: NDArray[np.floating]) -> Floats:
        """r_s + gamma E[Q_s(mu', h')] - Q_s with mu' given (mu, h) and h' given mu', equation (19): ``(P, S)``."""
        if q.shape != self.game.pair_rewards.shape:
            raise ValueError(f"q must have shape (pairs, states) = {self.game.pair_rewards.shape}, not {q.shape}")
        after: Floats = self.game.pair_rewards + self.gamma * (self.game.pair_law @ (self.mixing @ q))
        return after - q

    # -- laws

    @cached_property
    def mixing(self) -> Any:
        """Pi(h | mu) as a sparse ``(M, P)``."""
        return self.game.mixing(self.policy)

    @cached_property
    def visitation(self) -> Floats:
        """sigma (12) over count vectors, ``(M,)``: sigma = (1 - gamma) P_0 + gamma sigma P."""
        return (1 - self.gamma) * solve(self.transition.T, self.game.initial, self.gamma)

    @cached_property
    def stationary(self) -> Floats:
        """nu, the long-run law of the count vector from the first one, ``(M,)``."""
        return long_run(self.transition, self.game.initial)

    def of_pairs(self, law: Floats) -> Floats:
        """A law over count vectors ``(M,)`` as one over pairs, ``(P,)``: law(mu) Pi(h | mu)."""
        pairs: Floats = self.mixing.T @ law
        return pairs

    # -- gradients

    @cached_property
    def policy_gradient(self) -> Floats:
        """(17): 1 / (1 - gamma) E_sigma [ Q(mu, h) grad log Pi(h | mu) ]."""
        total = self.action_values.sum(1, keepdims=True)
        return self.contracted(np.repeat(total, len(self.game.model.team_states), 1))

    def local_policy_gradient(self, hops: int, credit_hops: int | None = None) -> Floats:
        """(18) with the best local Q: 1 / (1 - gamma) E_sigma [ sum_{y in N_s^kappa} Q_y(zeta_y^k) grad log Pi_s ]."""
        return self.credited(self.local_action_values(hops), hops if credit_hops is None else credit_hops)

    def local_action_values(self, hops: int, law: NDArray[np.floating] | None = None) -> Floats:
        """The best Q_y that knows zeta_y^k only, ``(P, V)``: E[Q_y | zeta_y^k] under ``law (M,)``, default sigma."""
        weights = self.of_pairs(self.visitation if law is None else np.asarray(law))
        network = self.game.model.network
        return conditional_mean(network, self.game.pairs, by_node(network, self.action_values), weights, hops)

    def local_advantages(self, hops: int, lambda_: float) -> Floats:
        """Mean lambda-advantages of V critics on mu(N_y^k), at TD(lambda)'s fixed point under sigma: ``(P, V)``.

        A restart chain cuts advantages off with probability 1 - gamma: give gamma lambda for lambda there.
        """
        model = self.game.model
        rewards, decay = by_node(model.network, self.team_rewards), self.gamma * lambda_
        counts, law = self.game.count_vectors, self.transition
        v = td_lambda_values(model.network, counts, rewards, law, self.visitation, self.gamma, decay, hops)
        delta = by_node(model.network, self.game.pair_rewards) + self.gamma * (self.game.pair_law @ v)
        delta -= v[self.game.pair_counts]
        later = np.linalg.solve(np.eye(len(law)) - decay * law, self.mixing @ delta)
        advantages: Floats = delta + decay * (self.game.pair_law @ later)
        return advantages

    def credited(self, values: NDArray[np.floating], credit_hops: int) -> Floats:
        """1 / (1 - gamma) E_sigma [ sum_{y in N_s^kappa} values_y grad log Pi_s ], ``values (P, V)`` of any critics."""
        network, teams = self.game.model.network, self.game.model.team_states
        bracket = values @ network.ball(credit_hops).T
        return self.contracted(bracket[:, network.node_of[teams]])

    def contracted(self, bracket: NDArray[np.floating]) -> Floats:
        """1 / (1 - gamma) sum over pairs of sigma Pi ``bracket (P, T)`` grad log Pi_s, in the policy's parameters."""
        score: Any = getattr(self.policy, "weighted_score", None)
        if score is None:
            raise ValueError(f"{type(self.policy).__name__} has no weighted_score: it has no parameters to derive by")
        chance = self.of_pairs(self.visitation)[:, None] / (1 - self.gamma)
        actions = self.game.pairs[:, self.game.model.team_states]
        return np.asarray(score(actions.sum(2), actions, chance * bracket), np.float64)


def solve(law: Floats, rewards: Floats, gamma: float) -> Floats:
    """The values V = rewards + gamma law V."""
    matrix = np.multiply(law, -gamma, order="F")
    matrix[np.diag_indices(len(law))] += 1
    return _solved(matrix, rewards)


def _solved(matrix: Floats, right: Floats) -> Floats:
    """LU in place of ``matrix``, which must be in Fortran order for that and is overwritten: laws can be 500 MB."""
    from scipy.linalg import lu_factor, lu_solve

    factors = lu_factor(matrix, overwrite_a=True, check_finite=False)
    return np.asarray(lu_solve(factors, right, check_finite=False), np.float64)


def long_run(law: Floats, initial: Floats) -> Floats:
    """The mean share of time, in the limit, that a chain with ``law (M, M)`` spends in each place: ``(M,)``.

    Each closed class has one stationary law; they are weighed by the chance to end there from ``initial (M,)``.
    """
    from scipy.sparse import csgraph, csr_array

    moves = csr_array(law > 0)
    number, label = csgraph.connected_components(moves, connection="strong")
    leaves = np.zeros(number, bool)
    if number > 1:
        here, there = np.repeat(label, np.diff(moves.indptr)), label[moves.indices]
        leaves[here[here != there]] = True
    passing = leaves[label]
    arriving = initial.copy()  # by where a closed class is first entered
    if passing.any():
        inside = law[np.ix_(passing, passing)]
        stays = np.linalg.solve(np.eye(len(inside)) - inside.T, initial[passing])
        arriving = np.where(passing, 0.0, initial)
        arriving[~passing] += stays @ law[np.ix_(passing, ~passing)]
    nu = np.zeros(len(law))
    for closed in np.flatnonzero(~leaves):
        members = np.flatnonzero(label == closed)
        nu[members] = arriving[members].sum() * _stationary(law[np.ix_(members, members)])
    return nu


def _stationary(law: Floats) -> Floats:
    """The stationary law of an irreducible chain: nu (I - P) = 0 with the last equation replaced by sum nu = 1."""
    matrix = -law
    matrix[np.diag_indices(len(law))] += 1
    matrix[:, -1] = 1
    last = np.zeros(len(law))
    last[-1] = 1
    return np.maximum(_solved(matrix.T, last), 0.0)
