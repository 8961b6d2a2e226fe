"""Decentralised policies: the team of state s sees its own size n = N mu(s) and nothing else.

Three classes, one face. ``score`` means grad_theta log Pi_s with the temperature inside; learners get it contracted
with their advantages (:meth:`LearnedPolicy.weighted_score`), never as one tensor per sample.

=================== ===============================================================================================
individual (3), (5) every agent draws from pi(s, mu(s)) = softmax_a tau f_s(mu(s), e_a); the team's law is multinomial
energy (14)         Pi_s(h | mu) ~ exp(tau f_s(mu(s), h)) over the compositions h of n, enumerated
tilted              Pi_s(h | mu) ~ multinomial(n; h) exp(n tau0 f_s(mu(s), h)); contains (5) when f is linear in h
=================== ===============================================================================================
"""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfnet_agents.nets import DTYPE, TwoLayer
from mfnet_envs.exact import compositions, rank
from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.policy import Policy

CrowdInput = Literal["share", "scaled", "bounded"]
TABLE_LIMIT = 4096  # largest population for which a policy is tabulated by n
ROWS_LIMIT = 100_000  # most compositions enumerated per state
BLOCK = 64  # rows evaluated at a time
CHUNK = 4_000_000  # numbers in one temporary


def crowd_features(n: Tensor, model: LocalModel, kind: CrowdInput) -> Tensor:
    """What a team of size ``n (T, K)`` knows of the crowd: ``(T, K, F)``.

    "share": mu(s), the paper's input. "scaled": S mu(s), of mean one. "bounded": with x = min(n / reference, 4),
    (x / 2 - 1 / 2, log(1 + x) - 0.7), for crowds whose normal size differs much from state to state.
    """
    if kind == "share":
        return (n / model.population)[..., None]
    if kind == "scaled":
        return (n * (len(model.team_states) / model.population))[..., None]
    if model.reference_counts is None:
        raise ValueError("crowd_input='bounded' needs a model with reference_counts; use 'scaled'")
    normal = torch.as_tensor(model.reference_counts[model.team_states], dtype=DTYPE).clamp_min(1e-3)
    x = (n / normal[:, None]).clamp_max(4.0)
    return torch.stack([x / 2 - 0.5, torch.log1p(x) - 0.7], 2)


class LearnedPolicy(Policy):
    """A policy with weights ``theta (T, d, M)``: one network (13) for each state that has a choice.

    Attributes:
        net: signs and starting weights; theta: the moving weights (set through :meth:`update`).
    """

    def __init__(self, model: LocalModel, net: TwoLayer, crowd_input: CrowdInput, temperature: float) -> None:
        super().__init__(model)
        self.net, self.theta = net, net.start.clone()
        self.crowd_input: CrowdInput = crowd_input
        self.temperature = temperature
        self.legal = torch.as_tensor(model.legal[model.team_states])

    def update(self, theta: Tensor) -> None:
        """Take new weights; every table computed from the old ones is dropped."""
        self.theta = theta
        self.forget()

    @abstractmethod
    def forget(self) -> None:
        """Drop cached tables."""

    @abstractmethod
    def weighted_score(self, sizes: Ints, actions: Ints, c: Tensor) -> Tensor:
        """sum_l c[l, s] grad_theta log Pi_s(h_l(s) | mu_l(s)): ``(T, d, M)``.

        Args:
            sizes: ``(L, T)`` team sizes n; actions: ``(L, T, A)`` action counts summing to n; c: ``(L, T)``.
        """

    @abstractmethod
    def log_prob(self, sizes: Ints, actions: Ints) -> Tensor:
        """log Pi_s(h | mu) of each team, ``(L, T)``; differentiable in ``theta`` when it requires grad."""


class IndividualPolicy(LearnedPolicy):
    """Class (3)/(5): every agent draws for itself. The only class an agent can execute alone."""

    def __init__(self, model: LocalModel, net: TwoLayer, crowd_input: CrowdInput, temperature: float) -> None:
        super().__init__(model, net, crowd_input, temperature)
        self.forget()

    @staticmethod
    def inputs(model: LocalModel, crowd_input: CrowdInput) -> int:
        """Length of the network's input (mu(s), e_a)."""
        return (2 if crowd_input == "bounded" else 1) + model.num_actions

    def forget(self) -> None:
        self._table: Floats | None = None

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        sizes = counts[:, self.model.team_states]
        if self.model.population <= TABLE_LIMIT:
            return self._tabulated(int(sizes.max(initial=0)))[np.arange(sizes.shape[1]), sizes]
        logits = self._logits(torch.as_tensor(sizes.T, dtype=DTYPE))
        return torch.softmax(logits, 2).permute(1, 0, 2).numpy()

    def _tabulated(self, largest: int) -> Floats:
        """pi ``(T, K, A)`` for n = 0 .. K - 1 with K > ``largest``, grown by doubling."""
        if self._table is None or self._table.shape[1] <= largest:
            size = 1 << max(5, largest.bit_length())
            n = torch.arange(size, dtype=DTYPE).expand(len(self.theta), size)
            with torch.no_grad():
                self._table = torch.softmax(self._logits(n), 2).numpy()
        return self._table

    def _hidden(self, n: Tensor) -> tuple[Tensor, Tensor]:
        """Crowd features ``(T, K, F)`` and pre-activations ``(T, K, A, M)``: the action adds its own row of W."""
        u = crowd_features(n, self.model, self.crowd_input)
        own = u.shape[2]
        return u, torch.bmm(u, self.theta[:, :own])[:, :, None] + self.theta[:, None, own:]

    def _logits(self, n: Tensor) -> Tensor:
        """tau f_s(n, e_a): ``(T, K, A)``, minus infinity for illegal actions."""
        parts = []
        for part in _blocks(n, self._row_cost):
            _, hidden = self._hidden(part)
            f = torch.einsum("tkam,tm->tka", torch.relu(hidden), self.net.scale)
            parts.append((self.temperature * f).masked_fill(~self.legal[:, None], -math.inf))
        return torch.cat(parts, 1)[:, : n.shape[1]]

    @property
    def _row_cost(self) -> int:
        """Numbers that one more team size adds to a temporary."""
        return len(self.theta) * self.model.num_actions * self.net.width

    def weighted_score(self, sizes: Ints, actions: Ints, c: Tensor) -> Tensor:
        n, weights = self._by_size(sizes, actions, c)
        gradient = torch.zeros_like(self.theta)
        for part, w in zip(_blocks(n, self._row_cost), _blocks(weights, self._row_cost), strict=True):
            u, hidden = self._hidden(part)
            on = torch.where(hidden > 0, w[..., None], 0.0)
            gradient += torch.cat([torch.bmm(u.transpose(1, 2), on.sum(2)), on.sum(1)], 1)
        return self.temperature * gradient * self.net.scale[:, None]

    def _by_size(self, sizes: Ints, actions: Ints, c: Tensor) -> tuple[Tensor, Tensor]:
        """Sizes ``(T, K)`` and, for each, the sum of c (n_a - n pi_a) over the samples of that size: ``(T, K, A)``."""
        weight = c.numpy()[..., None]
        teams = np.arange(sizes.shape[1])
        if self.model.population > TABLE_LIMIT:
            n = torch.as_tensor(sizes.T, dtype=DTYPE)
            pi = torch.softmax(self._logits(n), 2).permute(1, 0, 2).numpy()
            drawn = weight * (actions - actions.sum(2, keepdims=True) * pi)
            return n, torch.as_tensor(drawn.transpose(1, 0, 2))
        pi = self._tabulated(int(sizes.max(initial=0)))
        size = int(sizes.max(initial=0)) + 1
        drawn = weight * (actions - actions.sum(2, keepdims=True) * pi[teams, sizes])
        cell = torch.as_tensor((teams * size + sizes).reshape(-1))
        summed = torch.zeros((len(teams) * size, drawn.shape[2]), dtype=DTYPE)
        summed.index_add_(0, cell, torch.as_tensor(drawn.reshape(-1, drawn.shape[2])))
        n = torch.arange(size, dtype=DTYPE).expand(len(teams), size)
        return n, summed.reshape(len(teams), size, -1)

    def log_prob(self, sizes: Ints, actions: Ints) -> Tensor:
        log_pi = torch.log_softmax(self._logits(torch.as_tensor(sizes.T, dtype=DTYPE)), 2).permute(1, 0, 2)
        taken = torch.as_tensor(actions, dtype=DTYPE)
        chosen = torch.where(taken > 0, taken * log_pi, torch.zeros_like(log_pi)).sum(2)
        return chosen + _log_multinomial(taken)

    def team_law(self, s: int, n: int) -> Floats:
        """Probabilities of the compositions of ``n``, in lexicographic order, for team number ``s``."""
        rows = compositions(n, self.model.num_actions)
        spread = np.zeros((len(rows), len(self.theta), self.model.num_actions), np.int64)
        spread[:, s] = rows
        with torch.no_grad():
            law: Floats = torch.exp(self.log_prob(spread.sum(2), spread)[:, s]).numpy()
        return law


class EnergyPolicy(LearnedPolicy):
    """Class (14), or with ``tilted`` the multinomial-base form; all compositions of every size are enumerated.

    Args:
        per_agent: the temperature is tau0 n instead of tau. The tilted form always is.

    Raises:
        ValueError: (when used) if a team has more than ``ROWS_LIMIT`` compositions up to its size.
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
        self.forget()

    @staticmethod
    def inputs(model: LocalModel, crowd_input: CrowdInput) -> int:
        """Length of the network's input (mu(s), h(s))."""
        return (2 if crowd_input == "bounded" else 1) + model.num_actions

    def forget(self) -> None:
        self._law: Tensor | None = None
        self._sums: Floats | None = None
        self._largest = -1

    def _rows(self, largest: int) -> Ints:
        """``(R, A)``: the compositions of 0, of 1, ... of ``largest``; size n starts at row ``first_row(n)``."""
        total = first_row(largest + 1, self.model.num_actions)
        if total > ROWS_LIMIT:
            raise ValueError(
                f"a team of {largest} agents with {self.model.num_actions} actions has {total:,} compositions up to "
                f"its size, over the limit of {ROWS_LIMIT:,}; use policy='individual' or a smaller population"
            )
        return all_compositions(largest, self.model.num_actions)

    def _inputs(self, rows: Ints) -> Tensor:
        """(mu(s), h(s)) of every row: ``(T, R, d)``; an empty team has h = 0."""
        n = rows.sum(1)
        h = torch.as_tensor(rows / np.maximum(n, 1)[:, None], dtype=DTYPE)
        size = torch.as_tensor(n, dtype=DTYPE).expand(len(self.theta), len(rows))
        u = crowd_features(size, self.model, self.crowd_input)
        return torch.cat([u, h.expand(len(self.theta), *h.shape)], 2)

    def _heat(self, n: Tensor) -> Tensor:
        """d energy / d f of teams of size ``n``: tau, or tau0 n."""
        return self.temperature * (n.to(DTYPE) if self.per_agent else torch.ones_like(n, dtype=DTYPE))

    @property
    def _row_cost(self) -> int:
        """Numbers that one more composition adds to a temporary."""
        return len(self.theta) * self.net.width

    def _log_law(self, rows: Ints) -> Tensor:
        """log Pi_s of every row, normalised over the rows of its size: ``(T, R)``."""
        n = torch.as_tensor(rows.sum(1))
        parts = _blocks(self._inputs(rows), self._row_cost)
        f = torch.cat([self.net.value(self.theta, x) for x in parts], 1)[:, : len(rows)]
        energy = f * self._heat(n)
        if self.tilted:
            energy = energy + _log_multinomial(torch.as_tensor(rows, dtype=DTYPE))
        illegal = (torch.as_tensor(rows)[None] * ~self.legal[:, None]).sum(2) > 0
        energy = energy.masked_fill(illegal, -math.inf)
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
            self._largest = largest
        return self._law, self._sums

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        """The marginal pi_bar(s, n)(a) = E[h(s)(a)]: what agents play who cannot see each other ("individual")."""
        sizes = counts[:, self.model.team_states]
        law, _ = self._table(int(sizes.max(initial=0)))
        rows = self._rows(self._largest)
        n = rows.sum(1)
        h = torch.as_tensor(rows / np.maximum(n, 1)[:, None], dtype=DTYPE)
        marginal = torch.zeros((len(law), self._largest + 1, self.model.num_actions), dtype=DTYPE)
        marginal.index_add_(1, torch.as_tensor(n), law[..., None] * h)
        marginal[:, 0] = self.legal / self.legal.sum(1, keepdim=True)
        pi: Floats = marginal.numpy()[np.arange(sizes.shape[1]), sizes]
        return pi

    def sample(self, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
        """h(s) drawn from Pi_s by the team as a whole ("shared": one draw per team, then a random permutation)."""
        sizes = counts[:, self.model.team_states]
        _, sums = self._table(int(sizes.max(initial=0)))
        a = self.model.num_actions
        u = sizes + rng.random(sizes.shape)
        offset = (sums[:, -1] + 1).cumsum() - sums[:, -1]  # one sorted array for all teams
        flat = (sums + offset[:, None]).reshape(-1)
        row = np.searchsorted(flat, u + offset, side="right") - np.arange(len(sums)) * sums.shape[1]
        row = np.clip(row, first_row(sizes, a), first_row(sizes + 1, a) - 1)
        drawn: Ints = self._rows(self._largest)[row]
        return drawn

    def weighted_score(self, sizes: Ints, actions: Ints, c: Tensor) -> Tensor:
        largest = int(sizes.max(initial=0))
        law, _ = self._table(largest)
        rows, teams = self._rows(self._largest), np.arange(sizes.shape[1])
        n = rows.sum(1)
        taken = np.zeros(law.shape)
        np.add.at(taken, (np.broadcast_to(teams, sizes.shape), row_of(actions)), c.numpy())
        drawn = np.zeros((len(teams), self._largest + 1))
        np.add.at(drawn, (np.broadcast_to(teams, sizes.shape), sizes), c.numpy())
        # sum of c (indicator of the drawn row - Pi), times d(energy)/d(f)
        weight = torch.as_tensor(taken - drawn[:, n] * law.numpy()) * self._heat(torch.as_tensor(n))
        parts = zip(_blocks(self._inputs(rows), self._row_cost), _blocks(weight, self._row_cost), strict=True)
        gradient = torch.zeros_like(self.theta)
        for x, w in parts:
            gradient += self.net.weighted_gradient(self.net.hidden(self.theta, x), x, w)
        return gradient

    def log_prob(self, sizes: Ints, actions: Ints) -> Tensor:
        law = self._log_law(self._rows(int(sizes.max(initial=0))))
        return law[torch.arange(sizes.shape[1]), torch.as_tensor(row_of(actions))]

    def team_law(self, s: int, n: int) -> Floats:
        """Probabilities of the compositions of ``n``, in lexicographic order, for team number ``s``."""
        law, _ = self._table(max(n, self._largest))
        a = self.model.num_actions
        part: Floats = law[s, int(first_row(n, a)) : int(first_row(n + 1, a))].numpy()
        return part


def _blocks(x: Tensor, row_cost: int) -> list[Tensor]:
    """``x (T, K, ...)`` in blocks of equal length along axis 1, the last one filled up with zeros.

    All blocks having one shape, what a row gives does not depend on how many rows there are, not by one bit: a crowd
    that grows elsewhere, or an evaluation in between, leaves the update of a state as it was.
    """
    step = min(BLOCK, 1 << max(0, (CHUNK // row_cost).bit_length() - 1))
    missing = -x.shape[1] % step
    filled = torch.cat([x, x.new_zeros((len(x), missing, *x.shape[2:]))], 1) if missing else x
    return list(torch.split(filled, step, 1))


def _log_multinomial(h: Tensor) -> Tensor:
    """log of the multinomial coefficient of ``h (..., A)``."""
    return torch.lgamma(h.sum(-1) + 1) - torch.lgamma(h + 1).sum(-1)


@lru_cache(maxsize=8)
def all_compositions(largest: int, parts: int) -> Ints:
    """The compositions of 0, 1, ..., ``largest`` one after the other: ``(C(largest + parts, parts), parts)``."""
    return np.concatenate([compositions(n, parts) for n in range(largest + 1)])


def first_row(n: Ints | int, parts: int) -> Ints:
    """Where size n starts in :func:`all_compositions`: C(n - 1 + parts, parts)."""
    return _binomial(np.asarray(n) - 1 + parts, parts)


def row_of(h: Ints) -> Ints:
    """The row of each composition ``h (..., A)`` in :func:`all_compositions`."""
    return first_row(h.sum(-1), h.shape[-1]) + rank(h)


def _binomial(n: NDArray[np.int64], k: int) -> Ints:
    """C(n, k) for arrays n >= k - 1 >= 0, exact."""
    value = np.ones_like(n)
    for i in range(k):
        value = value * (n - i) // (i + 1)
    return value
