"""What a picture shows of one moment: how many are where, and where the last step moved them.

Counted are the agents of the groups that contain decision makers (all agents, in most scenarios).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Simulator

Moves = tuple[Ints, Ints, Floats]  # origin, target, agents


class Scene(NamedTuple):
    """What a picture shows.

    Attributes:
        counts: ``(S,)`` agents now.
        before: ``(S,)`` agents before the last step; None at the start.
        actions: ``(S, A)`` or ``(T, A)`` agents that chose each action in the last step.
        step: steps since the start.
        reward: mean reward of an agent in the last step.
    """

    counts: Ints
    before: Ints | None = None
    actions: Ints | None = None
    step: int = 0
    reward: float | None = None


def title(model: LocalModel, scene: Scene, name: str) -> str:
    """One line: what, when, how many, how well."""
    shown = int(node_counts(model, scene.counts).sum())
    free = "" if shown == model.population else f" · free {shown}"
    reward = "" if scene.reward is None else f" · mean reward {scene.reward:.4f}"
    return f"{name} · step {scene.step} · N {model.population}{free}{reward}"


def node_counts(model: LocalModel, counts: Ints) -> Ints:
    """``(V,)`` agents at each node, of the groups in which somebody has a choice."""
    layers = model.network.layers
    deciding = np.unique(model.groups[model.team_states % layers]) if len(model.team_states) else model.groups
    shown: Ints = counts.reshape(-1, layers)[:, np.isin(model.groups, deciding)].sum(1)
    return shown


def net_moves(model: LocalModel, scene: Scene) -> Moves:
    """Expected net movement of agents between nodes in the last step: (origin, target, agents), each ``(M,)``.

    Given the counts before the step and the actions played, by the kernel (2); opposite directions cancel.
    """
    if scene.before is None or scene.actions is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    v = model.network.num_nodes
    law = model.at(max(0, scene.step - 1))  # the one that was in force
    hood = Simulator(law).mu_hood(scene.before[None])
    parts = [*_active_moves(law, scene.before, scene.actions, hood), _transit_moves(law, scene.before)]
    origin, target, amount = (np.concatenate([part[i].reshape(-1) for part in parts]) for i in range(3))
    low, high = np.minimum(origin, target).astype(np.int64), np.maximum(origin, target).astype(np.int64)
    pairs, place = np.unique(low * v + high, return_inverse=True)
    net = np.bincount(place.reshape(-1), np.where(origin == low, amount, -amount), minlength=len(pairs))
    low, high = np.divmod(pairs, v)
    keep = (low != high) & (np.abs(net) > 1e-9)
    low, high, net = low[keep], high[keep], net[keep]
    return np.where(net > 0, low, high), np.where(net > 0, high, low), np.abs(net)


def _active_moves(model: LocalModel, counts: Ints, actions: Ints, hood: Floats) -> list[Moves]:
    """(origin, target, agents) of each branch, for the states that are not in transit."""
    s = model.network.num_states
    played = np.zeros((s, model.num_actions))
    played[np.arange(s), model.first_legal] = counts
    rows = np.arange(s) if len(actions) == s else model.team_states
    played[rows] = actions
    played[np.arange(s), model.first_legal] += (played * ~model.legal).sum(1)
    played = (played * model.legal)[model.active]
    weights = np.asarray(model.branch_weights(hood), float)[0]
    taken = played[..., None] * weights
    node = model.network.node_of
    moves = []
    for k, branch in enumerate(model.branches):
        successors, chance = branch.successors[model.active], branch.probabilities[model.active]
        going = taken[..., k] if successors.shape[1] > 1 else taken[..., k].sum(1, keepdims=True)
        amount = going[..., None] * chance
        origin = np.broadcast_to(node[model.active][:, None, None], amount.shape)
        target = np.where(chance > 0, node[np.where(chance > 0, successors, 0)], origin)
        moves.append((origin, target, amount))
    return moves


def _transit_moves(model: LocalModel, counts: Ints) -> Moves:
    moving = np.flatnonzero(model.transit & (counts > 0))
    last = model.branches[-1]
    action = model.first_legal[moving] if last.successors.shape[1] > 1 else 0
    target = last.successors[moving, action, last.probabilities[moving, action].argmax(1)]
    node = model.network.node_of
    return node[moving], node[target], counts[moving].astype(float)
