"""Decentralised policies: the team of state s sees its own size n = N mu(s) and nothing else.

Three classes, one face. ``score`` means grad_theta log Pi_s with the temperature inside; learners get it contracted
with their advantages (:meth:`LearnedPolicy.weighted_score`), never as one tensor per sample. The first class is here,
the other two are ``energy.py`` (all compositions) and ``energy_sampled.py`` (teams that have too many of them).

=================== ===============================================================================================
individual (3), (5) every agent draws from pi(s, mu(s)) = softmax_a tau f_s(mu(s), e_a); the team's law is multinomial
energy (14)         Pi_s(h | mu) ~ exp(tau f_s(mu(s), h)) over the compositions h of n
tilted              Pi_s(h | mu) ~ multinomial(n; h) exp(n tau0 f_s(mu(s), h)); contains (5) when f is linear in h
=================== ===============================================================================================
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from typing import Literal, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfnet_agents.nets import DTYPE, TwoLayer, product
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.compositions import compositions
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy

CrowdInput = Literal["share", "scaled", "bounded"]
Other = TypeVar("Other", bound="LearnedPolicy")
Weights = Tensor | NDArray[np.floating]  # one number for each sample and team
TABLE_LIMIT = 4096  # largest population for which a policy is tabulated by n
BLOCK = 64  # most rows of a team evaluated at a time
CHUNK = 1_000_000  # numbers in one temporary


def crowd_features(n: Tensor, model: LocalModel, kind: CrowdInput, teams: Ints | None = None) -> Tensor:
    """What a team of size ``n (T, K)`` knows of the crowd: ``(T, K, F)``; ``teams`` says which rows these are.

    "share": mu(s), the paper's input. "scaled": S mu(s), of mean one. "bounded": with x = min(n / usual, 4),
    (x / 2 - 1 / 2, log(1 + x) - 0.7), for crowds whose normal size differs much from state to state; what is usual is
    at least one agent.
    """
    if kind == "share":
        return (n / model.population)[..., None]
    if kind == "scaled":
        return (n * (len(model.team_states) / model.population))[..., None]
    states = model.team_states if teams is None else model.team_states[teams]
    return bounded(n, torch.as_tensor(model.usual_counts[states], dtype=DTYPE)[:, None])


def bounded(n: Tensor, usual: Tensor) -> Tensor:
    """Two features of crowds ``n (...)`` beside what is ``usual``, at least one agent: ``(..., 2)``."""
    x = (n / usual.clamp_min(1.0)).clamp_max(4.0)
    return torch.stack([x / 2 - 0.5, torch.log1p(x) - 0.7], -1)


class Seen(NamedTuple):
    """What teams look at in L samples.

    Attributes:
        sizes: ``(L, T)`` their own sizes n; crowd: ``(L, V, G)`` the groups at all nodes; clock: ``(L,)`` steps.
    """

    sizes: Ints
    crowd: Floats
    clock: Ints

    def at(self, samples: Ints) -> Seen:
        """Some of the samples."""
        return Seen(self.sizes[samples], self.crowd[samples], self.clock[samples])


class Answers(NamedTuple):
    """How a policy answers to crowds that are heard, beside its own team.

    Attributes:
        slopes: ``(L, T, A, D, G)`` d pi(a | team) / d n, per agent more in a group at a node that is heard.
        near: ``(T, D)`` the nodes that a team hears; groups: ``(G,)`` which groups.
    """

    slopes: Floats
    near: Ints
    groups: Ints


class LearnedPolicy(Policy):
    """A policy with weights ``theta (T, d, M)``: one network (13) for each state that has a choice.

    Attributes:
        net: signs and starting weights; theta: the moving weights (set through :meth:`update`).
        numbers: ``(T,)`` of its teams among the model's, all unless it is a :meth:`part`; states: ``(T,)`` theirs.
    """

    def __init__(self, model: LocalModel, net: TwoLayer, crowd_input: CrowdInput, temperature: float) -> None:
        super().__init__(model)
        self.net, self.theta = net, net.start.clone()
        self.crowd_input: CrowdInput = crowd_input
        self.temperature = temperature
        self.numbers: Ints = np.arange(len(model.team_states))
        self.states: Ints = model.team_states
        self.legal = torch.as_tensor(model.legal[model.team_states])

    def part(self, teams: slice) -> Self:
        """The same policy of a run of its teams, with weights of its own; it answers with the same bits."""
        part = copy.copy(self)
        part.net, part.theta = self.net.at(teams), self.theta[teams].clone()
        part.numbers, part.states, part.legal = self.numbers[teams], self.states[teams], self.legal[teams]
        part.forget()
        return part

    def update(self, theta: Tensor) -> None:
        """Take new weights; every table computed from the old ones is dropped."""
        self.theta = theta
        self.forget()

    def _with_weights(self, other: Other) -> Other:
        """``other`` with a copy of these weights."""
        other.update(self.theta.detach().clone())
        return other

    @abstractmethod
    def forget(self) -> None:
        """Drop cached tables."""

    @abstractmethod
    def weighted_score(self, sizes: Ints, actions: Ints, c: Weights) -> Tensor:
        """sum_l c[l, s] grad_theta log Pi_s(h_l(s) | mu_l(s)): ``(T, d, M)``.

        Args:
            sizes: ``(L, T)`` team sizes n; actions: ``(L, T, A)`` action counts summing to n; c: ``(L, T)``, a tensor
                or an array.
        """

    @abstractmethod
    def log_prob(self, sizes: Ints, actions: Ints) -> Tensor:
        """log Pi_s(h | mu) of each team, ``(L, T)``; differentiable in ``theta`` when it requires grad."""

    @abstractmethod
    def team_law(self, s: int, n: int) -> Floats:
        """Probabilities of the compositions of ``n``, in lexicographic order, for team number ``s``."""


class IndividualPolicy(LearnedPolicy, independent=True):
    """Class (3)/(5): every agent draws for itself. The only class an agent can execute alone."""

    compiled = False  # whether the networks are machine code's, which numba has to be installed for

    def __init__(self, model: LocalModel, net: TwoLayer, crowd_input: CrowdInput, temperature: float) -> None:
        super().__init__(model, net, crowd_input, temperature)
        self._sizes = 1 << 3  # that were asked for so far
        self.forget()

    def on(self, model: LocalModel) -> Self:
        """The same policy, executed on another model: another population, demand or hour.

        Raises:
            ValueError: weights of a state are of no use where states, neighbours or actions are others.
        """
        mine, theirs = self.model.network, model.network
        alike = mine.layers == theirs.layers and np.array_equal(mine.starts, theirs.starts)
        alike = (
            alike and np.array_equal(mine.adjacent, theirs.adjacent) and np.array_equal(self.model.legal, model.legal)
        )
        if not alike:
            raise ValueError(
                "a policy with weights for each state can be executed where the network and its actions are the same; "
                "for another network train one with weights='shared'"
            )
        return self._with_weights(self._made_on(model))

    def _made_on(self, model: LocalModel) -> Self:
        """Such a policy on another model, at its starting weights."""
        return type(self)(model, self.net, self.crowd_input, self.temperature)

    @staticmethod
    def inputs(model: LocalModel, crowd_input: CrowdInput) -> int:
        """Length of the network's input (mu(s), e_a)."""
        return (2 if crowd_input == "bounded" else 1) + model.num_actions

    def forget(self) -> None:
        self._table: Floats | None = None

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        return self._at_sizes(counts[:, self.states])

    def by_size(self, largest: int, t: int, steps: int) -> Floats | None:
        if self.model.population > TABLE_LIMIT:
            return None
        return self._tabulated(largest).transpose(1, 0, 2)[None]

    def _tabulated(self, largest: int) -> Floats:
        """pi ``(T, K, A)`` for n = 0 .. K - 1 with K > ``largest``, grown by doubling."""
        if self._table is None or self._table.shape[1] <= largest:
            self._sizes = max(self._sizes, 1 << largest.bit_length())
            n = torch.arange(self._sizes, dtype=DTYPE).expand(len(self.theta), -1)
            with torch.no_grad():
                self._table = torch.softmax(self._logits(n), 2).numpy()
        return self._table

    def _features(self, n: Tensor, some: slice) -> Tensor:
        """What some teams know at their sizes ``n (T, K)``: ``(T, K, F)``."""
        return crowd_features(n, self.model, self.crowd_input, self.numbers[some])

    def _hidden(self, u: Tensor, some: slice) -> Tensor:
        """Pre-activations ``(T, K, A, M)`` at features ``u (T, K, F)``: the action adds its own row of W."""
        own, theta = u.shape[2], self.theta[some]
        return product(u, theta[:, :own])[:, :, None] + theta[:, None, own:]

    @property
    def _block(self) -> int:
        """Team sizes evaluated at a time: some crowds' worth, by numbers that do not change with the part."""
        usual = 4 * self.model.population / len(self.model.team_states)
        return int(min(BLOCK, max(8, 2 ** math.ceil(math.log2(usual)))))

    def _runs(self) -> list[slice]:
        """The teams, as many at a time as fit a temporary."""
        return runs(len(self.theta), self._block * self.model.num_actions * self.net.width)

    def _logits(self, n: Tensor) -> Tensor:
        """tau f_s(n, e_a): ``(T, K, A)``, minus infinity for illegal actions."""
        return torch.cat([self._logits_of(self._features(n[some], some), some) for some in self._runs()])

    def _logits_of(self, u: Tensor, some: slice) -> Tensor:
        """The logits of some teams at features ``u (T, K, F)``."""
        if self.compiled and not self.theta.requires_grad:
            from mfnet_agents.policies.individual_compiled import logits_of

            return logits_of(self.theta[some], u, self.net.scale[some], self.legal[some], self.temperature)
        parts, scale, illegal = [], self.net.scale[some, :, None], ~self.legal[some, None]
        for part in blocks(u, self._block):
            hidden = self._hidden(part, some)
            f = product(torch.relu(hidden).flatten(1, 2), scale).reshape(hidden.shape[:3])
            parts.append((self.temperature * f).masked_fill(illegal, -math.inf))
        return torch.cat(parts, 1)[:, : u.shape[1]]

    def _slope(self, u: Tensor, weights: Tensor, some: slice) -> Tensor:
        """sum_k sum_a weights[s, k, a] grad f_s(u_k, e_a) of some teams, without the scale: ``(T, d, M)``."""
        if self.compiled:
            from mfnet_agents.policies.individual_compiled import slope_of

            return slope_of(self.theta[some], u, weights)
        gradient = torch.zeros_like(self.theta[some])
        for part, w in zip(blocks(u, self._block), blocks(weights, self._block), strict=True):
            on = torch.where(self._hidden(part, some) > 0, w[..., None], 0.0)
            gradient += torch.cat([product(part.transpose(1, 2), on.sum(2)), on.sum(1)], 1)
        return gradient

    def _along(self, n: Tensor, weights: Tensor) -> Tensor:
        """sum_k sum_a weights[s, k, a] grad tau f_s(n_k, e_a): ``(T, d, M)``."""
        found = [self._slope(self._features(n[some], some), weights[some], some) for some in self._runs()]
        return self.temperature * torch.cat(found) * self.net.scale[:, None]

    def weighted_score(self, sizes: Ints, actions: Ints, c: Weights) -> Tensor:
        pi = self._at_sizes(sizes)
        return self._along(*self._by_size(sizes, np.asarray(c)[..., None] * (actions - actions.sum(2)[..., None] * pi)))

    def shares(self, seen: Seen) -> Floats:
        """pi ``(L, T, A)``."""
        return self._at_sizes(seen.sizes)

    @property
    def ears(self) -> int:
        """How many crowds a team hears of, beside its own."""
        return 0

    def answers(self, seen: Seen) -> Answers | None:
        """How shares answer to other crowds; None where only the own team is seen."""
        return None

    def score_along(self, seen: Seen, weights: Floats) -> Tensor:
        """sum_l sum_a weights[l, s, a] grad log pi(a | s, n_l), ``(T, d, M)``, for ``weights (L, T, A)`` that sum to 0
        over the actions."""
        return self._along(*self._by_size(seen.sizes, weights))

    def _at_sizes(self, sizes: Ints) -> Floats:
        """pi ``(L, T, A)`` at ``sizes (L, T)``."""
        if self.model.population <= TABLE_LIMIT:
            return self._tabulated(int(sizes.max(initial=0)))[np.arange(sizes.shape[1]), sizes]
        pi: Floats = torch.softmax(self._logits(torch.as_tensor(sizes.T, dtype=DTYPE)), 2).permute(1, 0, 2).numpy()
        return pi

    def _by_size(self, sizes: Ints, weights: Floats) -> tuple[Tensor, Tensor]:
        """Sizes ``(T, K)`` and, for each, the sum of ``weights (L, T, A)`` over the samples of that size."""
        if self.model.population > TABLE_LIMIT:
            return torch.as_tensor(sizes.T, dtype=DTYPE), torch.as_tensor(weights.transpose(1, 0, 2))
        teams, size = np.arange(sizes.shape[1]), int(sizes.max(initial=0)) + 1
        cell = torch.as_tensor((teams * size + sizes).reshape(-1))
        summed = torch.zeros((len(teams) * size, weights.shape[2]), dtype=DTYPE)
        summed.index_add_(0, cell, torch.as_tensor(weights.reshape(-1, weights.shape[2])))
        n = torch.arange(size, dtype=DTYPE).expand(len(teams), size)
        return n, summed.reshape(len(teams), size, weights.shape[2])

    def log_prob(self, sizes: Ints, actions: Ints) -> Tensor:
        log_pi = torch.log_softmax(self._logits(torch.as_tensor(sizes.T, dtype=DTYPE)), 2).permute(1, 0, 2)
        taken = torch.as_tensor(actions, dtype=DTYPE)
        chosen = torch.where(taken > 0, taken * log_pi, torch.zeros_like(log_pi)).sum(2)
        return chosen + log_multinomial(taken)

    def team_law(self, s: int, n: int) -> Floats:
        """The multinomial (5) written out: probabilities of the compositions of ``n``, in lexicographic order."""
        rows = compositions(n, self.model.num_actions)
        spread = np.zeros((len(rows), len(self.states), self.model.num_actions), np.int64)
        spread[:, s] = rows
        with torch.no_grad():
            law: Floats = torch.exp(self.log_prob(spread.sum(2), spread)[:, s]).numpy()
        return law


def blocks(x: Tensor, length: int = BLOCK) -> list[Tensor]:
    """``x (T, K, ...)`` in blocks of one length along axis 1, the last one filled up with zeros.

    All blocks having one shape, what a row gives does not depend on how many rows there are, not by one bit: a crowd
    that grows elsewhere, or an evaluation in between, leaves the update of a state as it was.
    """
    missing = -x.shape[1] % length
    filled = torch.cat([x, x.new_zeros((len(x), missing, *x.shape[2:]))], 1) if missing else x
    return list(torch.split(filled, length, 1))


def runs(count: int, cost: int) -> list[slice]:
    """``count`` things in runs that fit a temporary, where each takes ``cost`` numbers; one empty run for none."""
    step = max(1, CHUNK // cost)
    return [slice(i, min(i + step, count)) for i in range(0, max(1, count), step)]


def log_multinomial(h: Tensor) -> Tensor:
    """log of the multinomial coefficient of ``h (..., A)``."""
    return torch.lgamma(h.sum(-1) + 1) - torch.lgamma(h + 1).sum(-1)
