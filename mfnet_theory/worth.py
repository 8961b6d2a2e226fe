"""What one agent more is worth to everybody: M, by enumeration, and the forms of it that can be learnt.

M(s, nu) = V(nu + e_s) - V(nu) is the worth of one agent in s while the other N - 1 are at nu. V is the value of all
agents' rewards, not divided by N; V(nu) is that of N - 1 agents who go on as if an Nth were nowhere: their shares are
still counts / N, and pi is the same function of a team's size. All of it is enumerated, from the games that N - 1
agents play beside one who stands in s (:class:`Seen`), for every s.

Shapes: m count vectors nu of N - 1 agents, S states, A actions. M is ``(m, S)``; what one agent does, ``(S, m, A)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.exact import Evaluation, ExactGame
from mfnet_envs.exact.tables import as_played
from mfnet_envs.model import LocalModel


class Seen(LocalModel):
    """``population`` agents under the laws of ``model``, which are shown ``share`` times their crowd plus ``more``.

    Args:
        more: ``(V, D, G)`` as a model is handed its crowds, or 0.

    Raises:
        ValueError: a model with a quota.
    """

    def __init__(self, model: LocalModel, population: int, share: float, more: Floats | float = 0.0) -> None:
        unhindered(model)
        self._model, self._share, self._more = model, share, more
        super().__init__(
            network=model.network,
            population=population,
            num_actions=model.num_actions,
            branches=model.branches,
            reward_range=model.reward_range,
            legal=model.legal,
            initial=model.initial,
            groups=model.groups,
            gamma=model.gamma,
            kernel_reads=model.kernel_reads,
            transit=model.transit,
        )

    def reward(self, mu_hood: Any) -> Any:
        return self._model.reward(self._share * mu_hood + self._more)

    def branch_weights(self, mu_hood: Any) -> Any:
        return self._model.branch_weights(self._share * mu_hood + self._more)


def unhindered(model: LocalModel) -> None:
    """Refuse a model whose agents do not move independently."""
    if model.quota is not None:
        raise ValueError("a quota serves agents together, so none has a worth of its own; take matching='independent'")


def beside(model: LocalModel, s: int | None) -> Seen:
    """The other N - 1 agents while one stands in ``s``, or nowhere."""
    n, network = model.population, model.network
    more = np.zeros((*network.neighbors.shape, model.num_groups))
    if s is not None:
        more[network.neighbors == network.node_of[s], model.groups[s % network.layers]] = 1 / n
    return Seen(model, n - 1, (n - 1) / n, more)


def unmoved(model: LocalModel) -> Seen:
    """The same agents where nothing crowds: everybody is always shown an even crowd."""
    network = model.network
    layers = np.bincount(model.groups, minlength=model.num_groups) / network.num_states
    return Seen(model, model.population, 0.0, (network.neighbors >= 0)[..., None] * layers)


@dataclass(frozen=True)
class Recursion:
    """m -> constant + matrix m, for m ``(m, S)``; the matrix is ``(m, S, m, S)``."""

    matrix: Floats
    constant: Floats

    def __call__(self, m: Floats) -> Floats:
        return np.asarray(self.constant + np.tensordot(self.matrix, m, 2))

    @cached_property
    def fixed_point(self) -> Floats:
        """By one solve of m S equations."""
        left = np.eye(self.constant.size) - self._square
        return np.asarray(np.linalg.solve(left, self.constant.reshape(-1)).reshape(self.constant.shape))

    @cached_property
    def growth(self) -> float:
        """What a step multiplies by in the long run: it converges below 1."""
        return float(np.abs(np.linalg.eigvals(self._square)).max())

    @property
    def _square(self) -> Floats:
        return self.matrix.reshape(self.constant.size, self.constant.size)


@dataclass(frozen=True)
class Marginal:
    """M under one individual policy (3) in an exact game, the gradient that it gives, and its recursion.

    Raises:
        ValueError: a game of one agent, a quota, or a policy whose teams draw together.
    """

    at: Evaluation

    def __post_init__(self) -> None:
        if self.model.population < 2:
            raise ValueError("one agent alone has no others to be worth something to; take a population of at least 2")
        if self.at.policy.acts_as_team:
            raise ValueError("marginal values are of agents that draw for themselves; take Individually(policy)")
        unhindered(self.model)

    @property
    def model(self) -> LocalModel:
        return self.at.game.model

    # -- the others, with one more agent somewhere and without

    @cached_property
    def pi(self) -> Floats:
        """pi(a | s, n), ``(S, N + 1, A)``, over legal actions."""
        sizes = np.arange(self.model.population + 1)[:, None] * np.ones(len(self.model.legal), np.int64)
        return np.asarray(as_played(self.model, self.at.policy.individual(sizes)).swapaxes(0, 1))

    @cached_property
    def without(self) -> ExactGame:
        """The game of N - 1 agents beside nobody."""
        return ExactGame(beside(self.model, None), self.at.gamma)

    @cached_property
    def beside(self) -> list[ExactGame]:
        """The games of N - 1 agents beside one in s, for every s."""
        return [ExactGame(beside(self.model, s), self.at.gamma) for s in range(len(self.pi))]

    @property
    def others(self) -> Ints:
        """nu, ``(m, S)``."""
        return self.without.count_vectors

    @cached_property
    def crowd(self) -> Ints:
        """The place of nu + e_s among the count vectors of N agents: ``(S, m)``."""
        more = self.others + np.eye(len(self.pi), dtype=np.int64)[:, None]
        return self.at.game.index(more)

    def answer(self, s: int | None) -> Floats:
        """What the others play who count an agent in ``s``, or nowhere: ``(S, N, A)`` by how many of them are there."""
        played = self.pi[:, :-1].copy()
        if s is not None:
            played[s] = self.pi[s, 1:]
        return played

    @cached_property
    def laws(self) -> Floats:
        """The law of nu' where one stands in s and the others know it: ``(S, m, m)``."""
        return np.array([game.transition(self.answer(s)) for s, game in enumerate(self.beside)])

    # -- M, and the gradient that it gives

    @cached_property
    def value_without(self) -> Floats:
        """V(nu) of N - 1 agents, ``(m,)``."""
        values: Floats = self.without.state_values(self.answer(None)).sum(1) * self.without.model.population
        return values

    @cached_property
    def exact(self) -> Floats:
        """M(s, nu) = V(nu + e_s) - V(nu)."""
        value = self.at.state_values.sum(1) * self.model.population
        return np.asarray(value[self.crowd].T - self.value_without[:, None])

    def worth(self, m: Floats) -> Floats:
        """r(s, mu, a) + gamma sum_s' P(s' | s, mu, a) E M(s', mu'_{-i}) at mu = nu + e_s: ``(S, m, A)``."""
        return np.asarray(self._pays + self.at.gamma * np.einsum("snat,snt->sna", self._goes, self.laws @ m))

    def gradient(self, m: Floats) -> Floats:
        """1 / ((1 - gamma) N) E_sigma[n_s sum_a grad pi(a | s, n_s) worth], in the policy's parameters."""
        game, teams, worth = self.at.game, self.model.team_states, self.worth(m)
        sizes = game.count_vectors[:, teams]
        seen = np.zeros((*sizes.shape, self.model.num_actions))  # worth at mu instead of nu, where somebody is there
        for place, s in enumerate(teams):
            seen[self.crowd[s], place] = worth[s]
        chance = self.at.visitation / ((1 - self.at.gamma) * self.model.population)
        weight = chance[:, None, None] * self.pi[teams, sizes] * seen
        score: Any = self.at.policy.weighted_score  # type: ignore[attr-defined]
        # grad log Pi of a team of n that all play a is n grad log pi(a)
        alike = sizes[..., None, None] * np.eye(self.model.num_actions, dtype=np.int64)
        parts = [score(sizes, alike[:, :, a], weight[..., a]) for a in range(self.model.num_actions)]
        return np.asarray(sum(parts), np.float64)

    @cached_property
    def _pays(self) -> Floats:
        """r(s, nu + e_s, a), ``(S, m, A)``."""
        return self.at.game.rewards[self.crowd, np.arange(len(self.pi))[:, None]]

    @cached_property
    def _goes(self) -> Floats:
        """P(s' | s, nu + e_s, a), ``(S, m, A, S)``."""
        return self.at.game.kernel.moves[self.crowd, np.arange(len(self.pi))[:, None]]

    # -- the recursion of M

    @cached_property
    def plays(self) -> Floats:
        """What the agent itself plays in s: pi(a | s, nu(s) + 1), ``(S, m, A)``."""
        return self.pi[np.arange(len(self.pi))[:, None], self.others.T + 1]

    def own(self, m: Floats) -> Floats:
        """Own pay and continuation, sum_a pi(a | s, n_s) worth: ``(m, S)``."""
        return np.asarray((self.plays * self.worth(m)).sum(2).T)

    def _go_on(self, game: ExactGame, played: Floats) -> Floats:
        """What N - 1 agents earn in a step of ``game`` and, beside nobody, from then on: ``(m,)``."""
        earned = game.team_rewards(played).sum(1) * game.model.population
        return np.asarray(earned + self.at.gamma * game.transition(played) @ self.value_without)

    @cached_property
    def externality(self) -> Floats:
        """What the others get at the pay and kernel of nu + e_s, less what they get at those of nu: ``(m, S)``."""
        kept = self.answer(None)
        before = self._go_on(self.without, kept)
        return np.array([self._go_on(game, kept) - before for game in self.beside]).T

    @cached_property
    def response(self) -> Floats:
        """What they get, there, with pi(. | s, n + 1), less with pi(. | s, n): ``(m, S)``."""
        kept = self.answer(None)
        return np.array(
            [self._go_on(game, self.answer(s)) - self._go_on(game, kept) for s, game in enumerate(self.beside)]
        ).T

    @cached_property
    def first_order_response(self) -> Floats:
        """n sum_a (pi(a | s, n + 1) - pi(a | s, n)) worth, of n others: ``(m, S)``."""
        change = self.plays - self.pi[np.arange(len(self.pi))[:, None], self.others.T]
        return np.asarray(self.others * (change * self.worth(self.exact)).sum(2).T)

    # -- forms that can be learnt

    @cached_property
    def no_response(self) -> Floats:
        """The recursion less the response: exact where pi ignores the crowd. Needs the value of N - 1 agents."""
        own = self._own(self.laws)
        return Recursion(own.matrix, own.constant + self.externality).fixed_point

    @cached_property
    def as_played(self) -> Recursion:
        """What is learnt along fragments as they are played, without response."""
        return self.offered()

    def offered(self, *, once: bool = False, response: bool = False) -> Recursion:
        """A recursion of M alone: what the others get is a sum over them of M where they land, by how that changes.

        The sum is over the others j, in r, of the change of sum_a pi(a | r, n_r) (r's pay, and gamma m(s', mu'_{-j})
        where a leads), from nu to nu + e_s: each against the crowd as it is played, the agent itself in it.

        Args:
            once: the agent's own continuation is among others who have not felt it, so that what its being there does
                to both, itself and another, counts once; else among those who have, and it counts twice.
            response: pi changes from nu to nu + e_s as well; else it is that of nu + e_s throughout.
        """
        unfelt = np.broadcast_to(self.without.transition(self.answer(None)), self.laws.shape)
        own, others = self._own(unfelt if once else self.laws), self._felt(response)
        return Recursion(own.matrix + others.matrix, own.constant + others.constant)

    def _own(self, laws: Floats) -> Recursion:
        """:meth:`own` among others who move by ``laws (S, m, m)``."""
        goes = np.einsum("sna,snat->snt", self.plays, self._goes)
        matrix = self.at.gamma * np.einsum("snt,snk->nskt", goes, laws)
        return Recursion(matrix, self.own(np.zeros(self.others.shape)))

    def _felt(self, response: bool) -> Recursion:
        """The part of the others in :meth:`offered`."""
        m, states = self.others.shape
        matrix, constant = np.zeros((m, states, m, states)), np.zeros((m, states))
        game, less = self.at.game, self.without
        for s, crowd in enumerate(self.crowd):
            for r, here in enumerate(self.others.T):
                (nu,) = np.nonzero(here)
                seen = self.others[nu]  # by one of the others in r: the crowd less itself
                seen[:, s] += 1
                after = here[nu, None] * self.pi[r, seen[:, r]]
                before = here[nu, None] * self.pi[r, here[nu]] if response else after
                seen[:, r] -= 1
                pays = after * game.rewards[crowd[nu], r] - before * less.rewards[nu, r]
                goes = after[..., None] * game.kernel.moves[crowd[nu], r] - before[..., None] * less.kernel.moves[nu, r]
                law = self.at.gamma * self.laws[r, less.index(seen)]
                constant[nu, s] += pays.sum(1)
                matrix[nu, s] += law[:, :, None] * goes.sum(1)[:, None]
        return Recursion(matrix, constant)

    def projected(self, m: Floats, features: int = 3) -> Floats:
        """The best fit of ``m`` by the first of 1, z, max(z, 0), for each s; z is the own crowd, standardised.

        Least squares under sigma, as an agent in s meets it; the crowd is that of its group at its node.
        """
        fit = np.empty_like(m)
        network = self.model.network
        group = self.model.groups[np.arange(len(self.pi)) % network.layers]
        for s, crowd in enumerate(self.crowd):
            counts = self.at.game.count_vectors[crowd]
            weight = self.at.visitation[crowd] * counts[:, s]
            own = counts[:, (network.node_of == network.node_of[s]) & (group == group[s])].sum(1)
            if not weight.any():  # nobody is ever there
                weight = np.ones(len(own))
            mean = np.average(own, weights=weight)
            z = (own - mean) / max(1e-9, np.sqrt(np.average((own - mean) ** 2, weights=weight)))
            x = np.column_stack([np.ones(len(z)), z, np.maximum(z, 0)])[:, :features]
            root = np.sqrt(weight)[:, None]
            fit[:, s] = x @ np.linalg.lstsq(root * x, root[:, 0] * m[:, s], rcond=None)[0]
        return fit
