"""What an action means, in words that mean the same on another population, layout, hour or city: features for shared
weights, made of a model's public tables alone.

======================= =============================================================================================
1, moves                a constant; the chance that the action leads to another node
busier, and on average  usual crowd of the node it leads to beside that of the own one, in logs, and its mean over the
                        legal actions; twice: of the node, and averaged over the node and its neighbours
prospect, pay           what one agent would make of it in the long run, and at once, among usual crowds that stay as
                        they are; less its mean over the legal actions, over its deviation on the whole network. The
                        first is 0 where every node has one state with a choice and nobody is on a trip
level                   usual crowd of the own node beside the mean of the network, in logs
group                   which group the state is of, where there are several with a choice
======================= =============================================================================================

Nothing here is sampled, and nothing depends on the numbering of nodes. In a network with destinations it is
``prospect`` that knows the way, and where trips lead far what a place is worth; it is had by sweeps of messages between
neighbours. Where agents at a node are all alike and never away, usual crowds say enough, and prospects carry over
badly to another layout (``benchmarks/transfer.py layout``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.simulator.tables import closed_hoods

AROUND = 2  # averages over 0 and 1 hop
LEAST = 0.05  # of the mean usual crowd, below which nodes look alike
FORGOTTEN = 1e-3  # weight of what lies beyond the last sweep
SWEEPS = 2_000  # at most, for a gamma next to 1; where episodes end, one for each of their steps
SAME = 1e-9  # deviation, relative, below which all actions are as good


Change = Callable[[Ints, Ints], NDArray[Any]]  # of what is at a state and at its successor


def usual_crowds(model: LocalModel) -> Floats:
    """``(V, G)``: agents of a normal crowd of each group, at least 1."""
    network = model.network
    normal = model.usual_counts.reshape(network.num_nodes, network.layers)
    usual = np.zeros((network.num_nodes, model.num_groups))
    np.add.at(usual.T, model.groups, normal.T)
    return np.maximum(usual, 1.0)


def num_features(model: LocalModel) -> int:
    """F of :func:`action_features`."""
    groups = len(_choosing(model))
    return 5 + 2 * AROUND + (groups if groups > 1 else 0)


def action_features(model: LocalModel) -> Floats:
    """``(T, A, F)`` for the states that have a choice."""
    states, legal = model.team_states, model.legal[model.team_states]
    weights, pay = _at_usual_crowds(model)
    place = model.network.node_of
    node, levels = place[states], _levels(model)
    rows = np.searchsorted(model.active, states)
    reached = _Reached(model, weights)
    columns = [np.ones(legal.shape), reached.mean_of(lambda row, to: place[to] != place[row])]
    for level in levels:
        busier = reached.mean_of(_rise(level[place]))
        columns += [busier, _over_legal(busier, legal)]
    alike = len(np.unique(node)) == len(node) and not model.transit.any()
    columns.append(np.zeros(legal.shape) if alike else _beside_others(prospects(model, weights, pay)[rows], legal))
    columns.append(_beside_others(pay[rows], legal))
    columns.append(np.repeat(levels[0][node][:, None], legal.shape[1], 1))
    group, choosing = model.groups[states % model.network.layers], _choosing(model)
    if len(choosing) > 1:
        columns += [np.repeat(group[:, None] == g, legal.shape[1], 1).astype(np.float64) for g in choosing]
    return np.stack(columns, 2)


def node_features(model: LocalModel) -> Floats:
    """``(V, 2 + AROUND)`` for the nodes: a constant, how few neighbours, and the levels of usual crowds."""
    degrees = model.network.degrees
    return np.stack([np.ones(len(degrees)), 1 / np.maximum(1, degrees), *_levels(model)], 1)


def leads_to(model: LocalModel) -> tuple[Ints, Ints, Floats]:
    """Where actions lead, by the branches that they decide upon, in the proportions of usual crowds.

    Returns:
        cells ``t A + a`` of the teams' actions, nodes, and the chances of these pairs, ``(P,)`` each; an action that
        leads nowhere in particular has none.
    """
    reached, teams = _Reached(model, _at_usual_crowds(model)[0]), len(model.team_states)
    cell = np.arange(teams * model.num_actions).reshape(teams, -1, 1)
    pairs = []
    for k, branch in enumerate(reached.branches):
        to, odds = branch.successors[reached.states], branch.probabilities[reached.states]
        chance = (odds * reached.shares[..., k, None]).reshape(-1)
        pairs.append([(cell + 0 * to).reshape(-1), model.network.node_of[to].reshape(-1), chance])
    cells, nodes, chances = ([each[i] for each in pairs] for i in range(3))
    if not pairs:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    return np.concatenate(cells), np.concatenate(nodes), np.concatenate(chances)


def prospects(model: LocalModel, weights: Floats, pay: Floats) -> Floats:
    """``(R, A)``: discounted pay of one agent who plays best, among crowds that stay as they are.

    Args:
        weights: ``(R, A or 1, K)``, pay: ``(R, A)`` at those crowds.
    """
    active, last = model.active, model.branches[-1]
    moving = np.flatnonzero(model.transit)
    onward = last.successors[moving, model.first_legal[moving] if last.successors.shape[1] > 1 else 0, 0]
    for_one = [(b.successors[active], b.probabilities[active]) for b in model.branches]
    value, worth = np.zeros(model.network.num_states), pay
    sweeps = math.ceil(math.log(FORGOTTEN) / math.log(model.gamma))
    for _ in range(min(sweeps, model.episode_steps or SWEEPS)):
        worth = pay + model.gamma * sum(
            weights[..., k] * (odds * value[to]).sum(2) for k, (to, odds) in enumerate(for_one)
        )
        ahead = model.gamma * value[onward]
        value[active] = np.where(model.legal[active], worth, -np.inf).max(1)
        value[moving] = ahead
    return worth


class _Reached:
    """Where actions lead, by the branches that they decide upon, in the proportions of usual crowds."""

    def __init__(self, model: LocalModel, weights: Floats) -> None:
        self.states: Ints = model.team_states
        rows = np.searchsorted(model.active, self.states)
        self.shape = len(rows), model.num_actions
        decided = [k for k, branch in enumerate(model.branches) if branch.successors.shape[1] > 1]
        self.branches = [model.branches[k] for k in decided]
        shares = np.broadcast_to(weights[rows], (*self.shape, weights.shape[2]))[..., decided]
        total = shares.sum(2, keepdims=True)
        self.shares = np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / max(1, len(decided)))

    def mean_of(self, change: Change) -> Floats:
        """``(T, A)``: the mean of ``change(state, successor)``; 0 where actions lead nowhere else."""
        mean = np.zeros(self.shape)
        for k, branch in enumerate(self.branches):
            to, odds = branch.successors[self.states], branch.probabilities[self.states]
            mean += self.shares[..., k] * (odds * change(self.states[:, None, None], to)).sum(2)
        return mean


def _rise(level: Floats) -> Change:
    """By how much the successor's ``level (S,)`` is the higher one."""
    return lambda state, to: level[to] - level[state]


def _choosing(model: LocalModel) -> Ints:
    """The groups that have a choice."""
    found: Ints = np.unique(model.groups[model.team_states % model.network.layers])
    return found


def _at_usual_crowds(model: LocalModel) -> tuple[Floats, Floats]:
    """Weights ``(R, A or 1, K)`` of the branches and pay ``(R, A)`` at usual crowds, of one agent at least."""
    hoods = closed_hoods(model)
    seen = np.where((hoods >= 0)[..., None], usual_crowds(model)[hoods] / model.population, 0.0)[None]
    return np.asarray(model.branch_weights(seen), np.float64)[0], np.asarray(model.reward(seen), np.float64)[0]


def _levels(model: LocalModel) -> list[Floats]:
    """Logs of usual crowds beside their mean, ``(V,)`` each: of nodes, and averaged over their neighbourhoods."""
    network, states = model.network, model.team_states
    crowd = np.zeros(network.num_nodes)
    np.add.at(crowd, network.node_of[states], model.usual_counts[states])
    crowd = crowd / (crowd[crowd > 0].mean() if crowd.any() else 1.0)
    levels = []
    for _ in range(AROUND):
        levels.append(np.log(LEAST + crowd))
        crowd = _smoothed(crowd, network)
    return levels


def _smoothed(values: Floats, network: StateNetwork) -> Floats:
    """Means ``(V,)`` over the node and its neighbours."""
    node = np.arange(network.num_nodes).repeat(network.degrees)
    around: Floats = values + np.bincount(node, values[network.adjacent], network.num_nodes)
    return around / (network.degrees + 1)


def _over_legal(values: Floats, legal: np.ndarray) -> Floats:
    """``(T, A)``: the mean over a row's legal actions, at every action."""
    mean = np.where(legal, values, 0.0).sum(1) / legal.sum(1)
    return np.repeat(mean[:, None], legal.shape[1], 1)


def _beside_others(values: Floats, legal: np.ndarray) -> Floats:
    """``(T, A)`` less its mean over legal actions, over its deviation on the whole network; 0 where all are alike."""
    ahead = np.where(legal, values - _over_legal(values, legal), 0.0)
    deviation = math.sqrt((ahead[legal] ** 2).mean())
    return ahead / deviation if deviation > SAME * np.abs(values).max() else np.zeros_like(ahead)
