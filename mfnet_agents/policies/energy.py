"""Policies of whole teams, (14) and its tilted form: Pi_s(h | mu) ~ base(h) exp(heat f_s(mu(s), h)).

The base is 1 in (14) and the multinomial coefficient in the tilted form; the heat is tau, or tau0 n where the
temperature is per agent. :class:`EnergyPolicy` enumerates the compositions h; ``energy_sampled.py`` is for teams that
have too many of them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.nets import DTYPE, TwoLayer
from mfnet_agents.policies.individual import BLOCK, CrowdInput, LearnedPolicy, Weights, blocks, crowd_features, runs
from mfnet_envs import policy
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.compositions import all_compositions, first_row, row_of
from mfnet_envs.model import LocalModel

ROWS_LIMIT = 100_000  # most compositions enumerated per state


class CompositionPolicy(LearnedPolicy, policy.TeamPolicy):
    """What the enumerated and the sampled form of (14) share: the energy of compositions and its gradient.

    Args:
        tilted: the base measure is the multinomial coefficient.
        per_agent: the temperature is tau0 n instead of tau. The tilted form always is.
    """

    def __init__(
        self,
        model: LocalModel,
        net: TwoLayer,
        crowd_input: CrowdInput,
        temperature: float,
        *,
        tilted: bool,
        per_agent: bool,
    ) -> None:
        super().__init__(model, net, crowd_input, temperature)
        self.tilted, self.per_agent = tilted, per_agent or tilted
        self.log_factorial = torch.lgamma(torch.arange(model.population + 1, dtype=DTYPE) + 1)
        self.forget()

    @property
    def every(self) -> Ints:
        """``(T,)``: places of all its teams."""
        return np.arange(len(self.theta))

    @staticmethod
    def inputs(model: LocalModel, crowd_input: CrowdInput) -> int:
        """Length of the network's input (mu(s), h(s))."""
        return (2 if crowd_input == "bounded" else 1) + model.num_actions

    def _heat(self, n: Tensor) -> Tensor:
        """d energy / d f of teams of size ``n``: tau, or tau0 n."""
        return self.temperature * (n.to(DTYPE) if self.per_agent else torch.ones_like(n, dtype=DTYPE))

    def _inputs(self, teams: Ints, rows: Ints) -> Tensor:
        """(mu(s), h(s)) of ``rows (Q or 1, K, A)`` for ``teams (Q,)``: ``(Q, K, d)``; an empty team has h = 0."""
        h = torch.as_tensor(shares(rows))
        n = torch.as_tensor(rows.sum(2), dtype=DTYPE).expand(len(teams), -1)
        u = crowd_features(n, self.model, self.crowd_input, self.numbers[teams])
        return torch.cat([u, h.expand(len(teams), -1, -1)], 2)

    def _energy(self, teams: Ints, rows: Ints) -> Tensor:
        """log base + heat f of ``rows (Q or 1, K, A)`` for ``teams (Q,)``: ``(Q, K)``; illegal rows minus infinity."""
        f = torch.cat([self._network(teams[some], _of(rows, some)) for some in self._runs(teams)])
        energy = f * self._heat(torch.as_tensor(rows.sum(2)))
        if self.tilted:
            energy = energy + self.log_factorial[rows.sum(2)] - self.log_factorial[rows].sum(2)
        illegal = (torch.as_tensor(rows) * ~self.legal[teams][:, None]).sum(2) > 0
        return energy.masked_fill(illegal, -math.inf)

    def _network(self, teams: Ints, rows: Ints) -> Tensor:
        """f_s(mu(s), h) (13) of ``rows (Q or 1, K, A)``: ``(Q, K)``."""
        net, theta = self.net.at(teams), self.theta[teams]
        parts = [net.value(theta, x) for x in blocks(self._inputs(teams, rows))]
        return torch.cat(parts, 1)[:, : rows.shape[1]]

    def _energy_gradient(self, teams: Ints, rows: Ints, c: Tensor) -> Tensor:
        """sum_k c[q, k] grad energy of ``rows[q, k]``: ``(Q, d, M)``, that is heat times the features (15)."""
        c = c * self._heat(torch.as_tensor(rows.sum(2)))
        gradient = torch.zeros((len(teams), *self.theta.shape[1:]), dtype=DTYPE)
        for some in self._runs(teams):
            net, theta = self.net.at(teams[some]), self.theta[teams[some]]
            for x, w in zip(blocks(self._inputs(teams[some], _of(rows, some))), blocks(c[some]), strict=True):
                gradient[some] += net.weighted_gradient(net.hidden(theta, x), x, w)
        return gradient

    def _runs(self, teams: Ints) -> list[slice]:
        """``teams``, as many at a time as fit a temporary."""
        return runs(len(teams), BLOCK * self.net.width)


class EnergyPolicy(CompositionPolicy):
    """All compositions of every size are enumerated: exact.

    Raises:
        ValueError: (when used) if a team has more than ``ROWS_LIMIT`` compositions up to its size.
    """

    def forget(self) -> None:
        self._law: Tensor | None = None
        self._sums: Floats | None = None
        self._marginals: Floats | None = None
        self._largest = -1

    def _rows(self, largest: int) -> Ints:
        """``(R, A)``: the compositions of 0, of 1, ... of ``largest``; size n starts at row ``first_row(n)``."""
        check_enumerable(largest, self.model.num_actions)
        return all_compositions(largest, self.model.num_actions)

    def _log_law(self, rows: Ints) -> Tensor:
        """log Pi_s of every row, normalised over the rows of its size: ``(T, R)``."""
        n = torch.as_tensor(rows.sum(1))
        energy = self._energy(self.every, rows[None])
        sizes = np.arange(int(n[-1]) + 1)
        top = np.maximum.reduceat(energy.detach().numpy(), first_row(sizes, rows.shape[1]), axis=1)
        shifted = energy - torch.as_tensor(top)[:, n]
        total = torch.zeros((len(energy), len(sizes)), dtype=DTYPE).index_add(1, n, torch.exp(shifted))
        return shifted - torch.log(total)[:, n]

    def _table(self, largest: int) -> tuple[Tensor, Floats]:
        """Pi ``(T, R)`` and its running sums; the sums of size n run from n to n + 1."""
        if self._law is None or self._sums is None or largest > self._largest:
            with torch.no_grad():
                self._law = torch.exp(self._log_law(self._rows(largest)))
            self._sums = self._law.cumsum(1).numpy()
            self._marginals, self._largest = None, largest
        return self._law, self._sums

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        """The marginal pi_bar(s, n)(a) = E[h(s)(a)]: what agents play who cannot see each other ("individual")."""
        sizes = counts[:, self.states]
        law, _ = self._table(int(sizes.max(initial=0)))
        if self._marginals is None:
            rows = self._rows(self._largest)
            marginal = torch.zeros((len(law), self._largest + 1, self.model.num_actions), dtype=DTYPE)
            marginal.index_add_(1, torch.as_tensor(rows.sum(1)), law[..., None] * torch.as_tensor(shares(rows)))
            marginal[:, 0] = self.legal.to(DTYPE) / self.legal.sum(1, keepdim=True)
            self._marginals = marginal.numpy()
        pi: Floats = self._marginals[self.every, sizes]
        return pi

    def sample(self, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
        """h(s) drawn from Pi_s by the team as a whole ("shared": one draw per team, then a random permutation)."""
        sizes = counts[:, self.states]
        _, sums = self._table(int(sizes.max(initial=0)))
        a = self.model.num_actions
        u = sizes + rng.random(sizes.shape)
        offset = (sums[:, -1] + 1).cumsum() - sums[:, -1]  # one sorted array for all teams
        flat = (sums + offset[:, None]).reshape(-1)
        row = np.searchsorted(flat, u + offset, side="right") - np.arange(len(sums)) * sums.shape[1]
        row = np.clip(row, first_row(sizes, a), first_row(sizes + 1, a) - 1)
        drawn: Ints = self._rows(self._largest)[row]
        return drawn

    def weighted_score(self, sizes: Ints, actions: Ints, c: Weights) -> Tensor:
        law, _ = self._table(int(sizes.max(initial=0)))
        rows, teams = self._rows(self._largest), np.broadcast_to(self.every, sizes.shape)
        taken, drawn = np.zeros(law.shape), np.zeros((len(law), self._largest + 1))
        np.add.at(taken, (teams, row_of(actions)), np.asarray(c))
        np.add.at(drawn, (teams, sizes), np.asarray(c))
        # sum of c (indicator of the drawn row - Pi)
        weight = torch.as_tensor(taken - drawn[:, rows.sum(1)] * law.numpy())
        return self._energy_gradient(self.every, rows[None], weight)

    def log_prob(self, sizes: Ints, actions: Ints) -> Tensor:
        law = self._log_law(self._rows(int(sizes.max(initial=0))))
        return law[torch.arange(sizes.shape[1]), torch.as_tensor(row_of(actions))]

    def team_law(self, s: int, n: int) -> Floats:
        """Probabilities of the compositions of ``n``, in lexicographic order, for team number ``s``."""
        law, _ = self._table(max(n, self._largest))
        a = self.model.num_actions
        part: Floats = law[s, int(first_row(n, a)) : int(first_row(n + 1, a))].numpy()
        return part


def is_enumerable(population: int, num_actions: int) -> bool:
    """Whether the compositions of all sizes up to ``population``, C(N + A, A), are at most ``ROWS_LIMIT``."""
    return math.comb(population + num_actions, num_actions) <= ROWS_LIMIT


def check_enumerable(population: int, num_actions: int) -> None:
    """Raise ValueError where a team of all agents has more compositions than can be listed."""
    if not is_enumerable(population, num_actions):
        total = math.comb(population + num_actions, num_actions)
        raise ValueError(
            f"a team of {population} agents with {num_actions} actions has {total:,} compositions up to its size, over "
            f"the limit of {ROWS_LIMIT:,}; use energy_law='candidates' or 'metropolis', policy='individual' or a "
            "smaller population"
        )


def _of(rows: Ints, some: slice) -> Ints:
    """The rows of some teams; ``rows (1, K, A)`` are those of all."""
    return rows if len(rows) == 1 else rows[some]


def shares(rows: Ints) -> Floats:
    """h = row / n of compositions ``rows (..., A)``; 0 for an empty team."""
    h: Floats = rows / np.maximum(rows.sum(-1, keepdims=True), 1)
    return h
