"""What a decision maker in a state sees: (which state), the share of agents in it, (the crowd within k hops)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mfnet_envs.arrays import Ints, Single
from mfnet_envs.model import LocalModel
from mfnet_envs.positions import node_positions
from mfnet_envs.words import is_whole, one_of, shown

Encoding = Literal["onehot", "coordinates", "index", "none"]
ONEHOT_LIMIT = 256  # beyond this many states one-hot codes give way to coordinates


class Observer:
    """Builds flat observations in [0, 1].

    Args:
        observe: "own": the paper's (3), the share mu(s) alone; "hood" or a number of hops k: also, for each node within
            k hops (nearest first), the share of the population in each of the model's groups, then one flag per slot
            that tells nodes from padding. Hood means k = 1.
        encoding: what stands in front: "onehot" (S numbers), "coordinates" (position of the node scaled to [0, 1], and
            the layer if there are several), "index" (s / (S - 1)) or "none". None: "onehot" up to 256 states, else
            "coordinates".

    Where the model reads a clock, two more numbers stand at the end: :func:`clock_face`.
    """

    def __init__(self, model: LocalModel, observe: str | int, encoding: Encoding | None) -> None:
        self.model = model
        self.hops = min(_hops(observe), model.network.num_nodes)  # nobody is farther away
        self.code = _codes(model, encoding)
        if self.hops:
            self._index, mask = model.network.hops(self.hops)
            self._mask = mask.astype(np.float32)
            self._membership = np.eye(model.num_groups, dtype=np.int64)[model.groups]

    @property
    def size(self) -> int:
        """Length of an observation."""
        hood = self._mask.shape[1] * (self.model.num_groups + 1) if self.hops else 0
        return int(self.code.shape[1] + 1 + hood + len(clock_face(self.model, 0)))

    def __call__(self, counts: Ints, states: Ints, t: int) -> Single:
        """Observations of decision makers in ``states (..., K)``, given ``counts (..., S)``, at step t:
        ``(..., K, size)``, a fresh array."""
        if states.shape[-1] <= counts.shape[-1]:
            return self._rows(counts, states, t)
        rows = self._rows(counts, np.broadcast_to(np.arange(counts.shape[-1]), counts.shape), t)
        world = np.arange(counts.size // counts.shape[-1]).reshape(*counts.shape[:-1], 1)
        seen: Single = rows.reshape(-1, self.size).take(states + counts.shape[-1] * world, 0)
        return seen

    def _rows(self, counts: Ints, states: Ints, t: int) -> Single:
        own = self.code.shape[1]
        seen = np.empty((*states.shape, self.size), np.float32)
        seen[..., :own] = self.code[states]
        seen[..., own] = np.take_along_axis(shares(self.model, counts), states, -1)
        if self.hops:
            seen[..., own + 1 : self.size - len(clock_face(self.model, t))] = self._hood(counts, states)
        time = clock_face(self.model, t)
        seen[..., self.size - len(time) :] = time
        return seen

    def _hood(self, counts: Ints, states: Ints) -> Single:
        """``(..., K, D (G + 1))``: the crowds of the nodes within ``hops``, then what is a node and what is padding."""
        network = self.model.network
        lead = states.shape
        node = network.node_of[states].reshape(-1, lead[-1])
        worlds = np.arange(len(node))[:, None, None]
        crowd = shares(self.model, counts.reshape(-1, network.num_nodes, network.layers) @ self._membership)
        mask = self._mask[node]
        crowds = crowd[worlds, self._index[node]] * mask[..., None]
        return np.concatenate([crowds.reshape(*lead, -1), mask.reshape(*lead, -1)], -1)


class Overview:
    """What a planner of the whole network sees: mu, and :func:`clock_face` where the model reads a clock."""

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self.size = model.network.num_states + len(clock_face(model, 0))

    def __call__(self, counts: Ints, t: int) -> Single:
        """``counts (B, S)`` at step t -> ``(B, size)``, a fresh array."""
        time = np.tile(clock_face(self.model, t), (len(counts), 1))
        return np.concatenate([shares(self.model, counts), time], 1)


def shares(model: LocalModel, counts: Ints) -> Single:
    """mu = counts / N in float32: never above 1, since the counts are integers that sum to N."""
    mu: Single = (counts / model.population).astype(np.float32)
    return mu


def clock_face(model: LocalModel, t: int) -> Single:
    """The time of day as a point on a circle in the unit square; nothing for a model that reads no clock.

    ``((1 + sin x) / 2, (1 + cos x) / 2)`` with x = 2 pi t / period: (.5, 1) at t = 0, (1, .5) a quarter turn later.
    """
    if model.period is None:
        return np.empty(0, np.float32)
    x = 2 * np.pi * (t % model.period) / model.period
    return np.array([(1 + np.sin(x)) / 2, (1 + np.cos(x)) / 2], np.float32)


def _hops(observe: str | int) -> int:
    named = {"own": 0, "hood": 1}
    if isinstance(observe, str) and observe in named:
        return named[observe]
    if is_whole(observe):
        return int(observe)
    raise ValueError(f"observe must be 'own', 'hood' or a number of hops 0, 1, 2, ..., not {shown(observe)}")


def _codes(model: LocalModel, encoding: Any) -> Single:
    """``(S, E)``: the code of every state."""
    network, s = model.network, model.network.num_states
    if encoding is None:
        encoding = "onehot" if s <= ONEHOT_LIMIT else "coordinates"
    one_of("state_encoding", encoding, ("onehot", "coordinates", "index", "none"))
    if encoding == "onehot":
        return np.eye(s, dtype=np.float32)
    if encoding == "index":
        return (np.arange(s)[:, None] / max(s - 1, 1)).astype(np.float32)
    if encoding == "none":
        return np.zeros((s, 0), np.float32)
    layer = (np.arange(s) % network.layers)[:, None] / max(network.layers - 1, 1)
    return np.concatenate([_scaled_positions(model)[network.node_of], layer[:, : network.layers > 1]], 1)


def _scaled_positions(model: LocalModel) -> Single:
    """``(V, 1 or 2)`` in [0, 1]: where the nodes lie, or their order when the graph does not say."""
    position = node_positions(model)
    if position is None:
        position = np.arange(model.network.num_nodes, dtype=float)[:, None]
    low = position.min(0)
    extent = max(float((position.max(0) - low).max()), 1e-12)
    scaled: Single = ((position - low) / extent).clip(0, 1).astype(np.float32)
    return scaled
