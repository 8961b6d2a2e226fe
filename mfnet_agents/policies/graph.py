"""A graph network for all nodes: who hears of crowds k hops away, by k rounds of messages between neighbours.

In the line of Gammelli, Yang, Harrison, Rodrigues, Pereira and Pavone (2021), whose vehicles are rebalanced by graph
convolutions (Kipf and Welling, 2017) with weights that know no place; each round keeps the own message and the mean of
the neighbours' apart (Hamilton, Ying and Leskovec, 2017). With x_v the crowds at node v beside usual ones, its place
(``places.node_features``) and, where there is a clock, the time of a turn,

    h_v^0 = relu(W x_v),        h_v^l = relu(U_l h_v^{l-1} + W_l mean_{w ~ v} h_w^{l-1}),        l = 1 .. k,
    f(s, a) = M^{-1/2} sum_m b_m relu(A [n_s, phi(s, a)] + B h_v^k + C h_{v'}^{k-1})_m,        h^{-1} = 0,

v the node of s and v' where the action leads, its chances' mean where it leads to several; phi are the features of
actions of ``places.py``, and the number of an action that stays at its node. A, B and C are of the group that s is of;
the messages are everybody's. The policy is softmax_a tau f. What v' has heard k - 1 hops around it lies within k hops
of v: an agent needs no crowd beyond its own ball. Nothing knows the number of a node, so weights are executed on any
network, and a network with other numbers is played alike.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.nets import DTYPE, TwoLayer
from mfnet_agents.policies.individual import Seen, Weights, bounded, runs
from mfnet_agents.policies.observing import HARMONICS, waves
from mfnet_agents.policies.places import AROUND, action_features, leads_to, node_features, num_features
from mfnet_agents.policies.shared import CROWD, SharedPolicy
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel

OF_NODES = 2 + AROUND  # features of a node that are no crowds


class Plan(NamedTuple):
    """One hour of a network, in tensors.

    Attributes:
        usual: ``(V, 1, G)`` and own: ``(T, 1)`` usual crowds; nodes: ``(V, F)``, actions: ``(T, A, F)`` features.
        around: ``(V, V)`` sparse, rows are means over the neighbours; ends: ``(T A, V)`` sparse, where actions lead.
    """

    usual: Tensor
    own: Tensor
    nodes: Tensor
    actions: Tensor
    around: Tensor
    ends: Tensor


class Layers(NamedTuple):
    """The matrices of ``theta (1, d, M)``, whose rows they are, all with M columns.

    Attributes:
        first: W; rounds: the pairs (U_l, W_l); crowd, action: A; here: B; there: C, one for each kind ``(G, ., M)``.
    """

    first: Tensor
    rounds: list[tuple[Tensor, Tensor]]
    crowd: Tensor
    action: Tensor
    here: Tensor
    there: Tensor


class GraphPolicy(SharedPolicy):
    """pi(a | s, n_s, crowds within k hops) by one graph network: ``theta (1, d, M)``, see :class:`Layers`.

    It has no :meth:`answers`: costates leave out what agents elsewhere make of a crowd that they hear.

    Args:
        hops: k; 0 hears all groups at the own node. clock: whether hours are told apart, and the time is seen.
    """

    def __init__(self, model: LocalModel, net: TwoLayer, temperature: float, *, hops: int, clock: bool) -> None:
        self.hops, self._lengths = hops, _lengths(model, hops, net.width, clock=clock)
        self._plans: dict[int, Plan] = {}
        self._choosing, kind = np.unique(model.groups[model.team_states % model.network.layers], return_inverse=True)
        self._in_place = _in_place(model)
        self._kind = torch.as_tensor(kind)
        self._home = torch.as_tensor(model.network.node_of[model.team_states])
        super().__init__(model, net, temperature, clock=clock)

    @classmethod
    def made(
        cls, model: LocalModel, key: np.random.SeedSequence, width: int, temperature: float, *, hops: int, clock: bool
    ) -> Self:
        """Such a policy that begins uniform: neurons are paired, each matrix is drawn for the length of its input."""
        rows = _lengths(model, hops, width, clock=clock)
        net = TwoLayer.keyed(key, np.arange(1), sum(rows), width, symmetric=True)
        *hidden, crowd, action, here, there = rows
        kinds = crowd // CROWD
        last = (crowd + action + here + there) // kinds
        inputs = [hidden[0], *(2 * width for _ in hidden[1:]), *(last for _ in range(4))]
        gain = [math.sqrt(sum(rows) / fan) for fan in inputs]
        grown = net.start * torch.tensor(np.repeat(gain, rows), dtype=DTYPE)[:, None]
        return cls(model, TwoLayer(net.signs, grown), temperature, hops=hops, clock=clock)

    def on(self, model: LocalModel) -> Self:
        if _lengths(model, self.hops, self.net.width, clock=self.clock) != self._lengths:
            raise ValueError(
                "the graph network was learnt for other inputs than that model has: its states that have a choice fall "
                "into another number of groups, or others of its actions stay at their node"
            )
        if self.clock and model.period != self.model.period:
            raise ValueError(
                f"the graph network reads a clock whose turn is {self.model.period} steps, and that of the other model "
                f"is {model.period}"
            )
        return self._with_weights(type(self)(model, self.net, self.temperature, hops=self.hops, clock=self.clock))

    def forget(self) -> None:
        """Nothing is tabulated."""

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        network = self.model.network
        layered = counts.reshape(len(counts), network.num_nodes, network.layers)
        crowd = np.stack([layered[:, :, self.model.groups == g].sum(2) for g in range(self.model.num_groups)], 2)
        return self.shares(Seen(counts[:, self.states], crowd.astype(np.float64), np.full(len(counts), t)))

    def shares(self, seen: Seen) -> Floats:
        pi = np.empty((*seen.sizes.shape, self.model.num_actions))
        with torch.no_grad():
            for plan, some in self._pieces(seen.clock):
                pi[some] = torch.softmax(self._logits_at(plan, seen.at(some)), 1).permute(2, 0, 1).numpy()
        return pi

    def score_along(self, seen: Seen, weights: Floats) -> Tensor:
        gradient = torch.zeros_like(self.theta)
        for plan, some in self._pieces(seen.clock):
            theta = self.theta.detach().requires_grad_()
            logits = self._logits_at(plan, seen.at(some), theta)
            along = torch.as_tensor(weights[some]).permute(1, 2, 0)
            (found,) = torch.autograd.grad((along * torch.where(self.legal[..., None], logits, 0.0)).sum(), theta)
            gradient += found
        return gradient

    def weighted_score(self, sizes: Ints, actions: Ints, c: Weights) -> Tensor:
        raise TypeError("a graph network hears crowds that are not among the sizes of teams; take score_along()")

    def log_prob(self, sizes: Ints, actions: Ints) -> Tensor:
        raise TypeError("a graph network hears crowds that are not among the sizes of teams; take shares()")

    def _pieces(self, clock: Ints) -> list[tuple[Plan, Ints]]:
        """The samples ``(L,)`` of each hour, as many at a time as fit a temporary."""
        hour = np.array([id(self._model(int(t))) for t in clock])
        cells = len(self.states) * self.model.num_actions + self.model.network.num_nodes
        pieces = []
        for at in np.unique(hour, return_index=True)[1]:
            same, plan = np.flatnonzero(hour == hour[at]), self._plan(self._model(int(clock[at])))
            pieces += [(plan, same[run]) for run in runs(len(same), cells * self.net.width)]
        return pieces

    def _plan(self, model: LocalModel) -> Plan:
        """The tensors of an hour, made once."""
        if id(model) not in self._plans:
            self._plans[id(model)] = _plan(model, self._choosing, self._in_place)
        return self._plans[id(model)]

    def _logits_at(self, plan: Plan, seen: Seen, theta: Tensor | None = None) -> Tensor:
        """tau f: ``(T, A, L)``, minus infinity for illegal actions."""
        w = _layers(self.theta if theta is None else theta, self._lengths)
        crowds = torch.as_tensor(seen.crowd[:, :, self._choosing]).transpose(0, 1)
        near = bounded(crowds, plan.usual).flatten(2)  # (V, L, 2 G)
        parts = [near, plan.nodes[:, None].expand(-1, near.shape[1], -1)]
        if self.clock:
            parts.append(waves(seen.clock, self.model.period).expand(len(near), -1, -1))
        x = torch.cat(parts, 2)
        now = torch.relu(x @ w.first)
        before = torch.zeros_like(now)  # who hears no hop hears nothing of where an action leads
        for own, others in w.rounds:
            before, now = now, torch.relu(now @ own + _mixed(plan.around, now @ others))
        size = bounded(torch.as_tensor(seen.sizes.T, dtype=DTYPE), plan.own)  # (T, L, 2)
        here = size @ w.crowd[self._kind] + _by_kind(now, w.here)[self._kind * len(now) + self._home]
        there = _mixed(plan.ends, _by_kind(before, w.there)).reshape(len(here), -1, *here.shape[1:])
        hidden = here[:, None] + there + (plan.actions @ w.action[self._kind])[:, :, None]
        f = torch.relu(hidden) @ self.net.scale[0]
        return (self.temperature * f).masked_fill(~self.legal[..., None], -math.inf)


def _lengths(model: LocalModel, hops: int, width: int, *, clock: bool) -> list[int]:
    """How many rows each matrix of :class:`Layers` has, in the order of ``theta``."""
    groups = len(np.unique(model.groups[model.team_states % model.network.layers]))
    actions = num_features(model) + len(_in_place(model))
    last = [groups * rows for rows in (CROWD, actions, width, width)]
    return [2 * groups + OF_NODES + 2 * HARMONICS * clock, *([width] * (2 * hops)), *last]


def _layers(theta: Tensor, rows: list[int]) -> Layers:
    first, *rounds, crowd, action, here, there = torch.split(theta[0], rows)
    kinds = len(crowd) // CROWD
    last = (each.reshape(kinds, -1, each.shape[1]) for each in (crowd, action, here, there))
    return Layers(first, list(zip(rounds[::2], rounds[1::2], strict=True)), *last)


def _by_kind(messages: Tensor, weights: Tensor) -> Tensor:
    """``(G V, L, M)``: ``messages (V, L, M)`` as each kind ``weights (G, M, M)`` reads them."""
    return (messages @ weights[:, None]).flatten(0, 1)


def _mixed(matrix: Tensor, values: Tensor) -> Tensor:
    """Sparse ``(X, V)`` times ``values (V, L, M)``."""
    mixed: Tensor = torch.sparse.mm(matrix, values.flatten(1))
    return mixed.reshape(-1, *values.shape[1:])


def _sparse(rows: Ints, columns: Ints, values: Floats, shape: tuple[int, int]) -> Tensor:
    index = torch.as_tensor(np.stack([rows, columns]))
    return torch.sparse_coo_tensor(index, torch.as_tensor(values), shape, dtype=DTYPE, check_invariants=True).coalesce()


def _in_place(model: LocalModel) -> Ints:
    """The actions that lead from no state to another node: what tells them apart everywhere is their number."""
    states, place = model.team_states, model.network.node_of
    away, legal = np.zeros((len(states), model.num_actions), bool), model.legal[states]
    for branch in model.at(0).branches:
        if branch.successors.shape[1] > 1:
            moved = place[branch.successors[states]] != place[states][:, None, None]
            away |= (moved & (branch.probabilities[states] > 0)).any(2)
    return np.flatnonzero(legal.any(0) & ~(away & legal).any(0))


def _plan(model: LocalModel, choosing: Ints, in_place: Ints) -> Plan:
    network = model.network
    groups = (model.groups[:, None] == choosing).astype(np.float64)
    usual = model.usual_counts.reshape(network.num_nodes, -1) @ groups
    node = np.arange(network.num_nodes).repeat(network.degrees)
    kind = np.searchsorted(choosing, model.groups[model.team_states % network.layers])
    features, numbers = action_features(model), np.eye(model.num_actions)[:, in_place]
    cells, to, chances = leads_to(model)
    to = kind[cells // model.num_actions] * network.num_nodes + to
    shape = len(model.team_states) * model.num_actions, len(choosing) * network.num_nodes
    return Plan(
        torch.as_tensor(usual)[:, None],
        torch.as_tensor(model.usual_counts[model.team_states])[:, None],
        torch.as_tensor(node_features(model)),
        torch.as_tensor(np.concatenate([features, np.broadcast_to(numbers, (len(features), *numbers.shape))], 2)),
        _sparse(node, network.adjacent, 1 / network.degrees[node], (network.num_nodes, network.num_nodes)),
        _sparse(cells, to, chances, shape),
    )
