"""One policy for all nodes: what it has learnt in one place can be executed in another.

A network (13) scores pairs of a state and an action by the own crowd beside what is usual, and by what the action means
(``places.py``). Executed alone by every agent who knows these tables, as before; but its weights are everybody's, so
training is no longer localised.
"""

from __future__ import annotations

import copy
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.nets import DTYPE, TwoLayer
from mfnet_agents.policies.individual import IndividualPolicy, Seen, Weights
from mfnet_agents.policies.places import action_features, num_features
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel

CROWD = 2  # features of the own crowd, "bounded"


class _Place(NamedTuple):
    """What the weights amount to at one hour.

    Attributes:
        features: ``(T, A, F)`` of actions; own: the policy of as many networks as there are states with a choice.
    """

    features: Tensor
    own: IndividualPolicy


class SharedPolicy(IndividualPolicy):
    """pi(a | s, n_s) by one network: ``theta (1, 2 + F, M)``.

    The hidden layer is linear in its input, so the score of an action is that of an :class:`IndividualPolicy` whose
    row for the action is features times weights: it answers, and its gradients are summed over all states.

    Args:
        clock: usual crowds, and with them what actions mean, are those of the hour.
    """

    def __init__(self, model: LocalModel, net: TwoLayer, temperature: float, *, clock: bool) -> None:
        self.clock = clock
        self._places: dict[int, _Place] = {}
        super().__init__(model, net, "bounded", temperature)

    @staticmethod
    def width_of_inputs(model: LocalModel) -> int:
        """Length of the network's input."""
        return CROWD + num_features(model)

    def on(self, model: LocalModel) -> Self:
        wanted, found = len(self.net.start[0]), self.width_of_inputs(model)
        if wanted != found:
            raise ValueError(
                f"the shared weights were learnt for {wanted} features of an action and its crowd, and that model has "
                f"{found}: its states that have a choice fall into another number of groups"
            )
        return self._with_weights(type(self)(model, self.net, self.temperature, clock=self.clock))

    def part(self, teams: slice) -> Self:
        raise TypeError("shared weights are trained as one; num_parts must be 1")

    def forget(self) -> None:
        super().forget()
        self._current: set[int] = set()

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        return self._at(t).own.teams(counts)

    def weighted_score(self, sizes: Ints, actions: Ints, c: Weights) -> Tensor:
        place = self._at(0)
        return _summed(place, place.own.weighted_score(sizes, actions, c))

    def shares(self, seen: Seen) -> Floats:
        pi = np.empty((*seen.sizes.shape, self.model.num_actions))
        for place, now in self._by_hour(seen.clock):
            pi[now] = place.own.shares(seen._replace(sizes=seen.sizes[now]))
        return pi

    def score_along(self, seen: Seen, weights: Floats) -> Tensor:
        gradient = torch.zeros_like(self.theta)
        for place, now in self._by_hour(seen.clock):
            gradient += _summed(place, place.own.score_along(seen._replace(sizes=seen.sizes[now]), weights[now]))
        return gradient

    def log_prob(self, sizes: Ints, actions: Ints) -> Tensor:
        place = self._at(0)
        own = copy.copy(place.own)
        own.update(self._rows(place.features))
        return own.log_prob(sizes, actions)

    def _by_hour(self, clock: Ints) -> list[tuple[_Place, Ints]]:
        """The samples ``(L,)`` of each hour."""
        hour = np.array([id(self._model(int(t))) for t in clock])
        first = {key: int(at) for key, at in zip(*np.unique(hour, return_index=True), strict=True)}
        return [(self._at(int(clock[at])), np.flatnonzero(hour == key)) for key, at in first.items()]

    def _model(self, t: int) -> LocalModel:
        return self.model.at(t) if self.clock else self.model

    def _at(self, t: int) -> _Place:
        """The hour of step t, at the present weights."""
        model = self._model(t)
        if id(model) not in self._places:
            features = torch.as_tensor(action_features(model), dtype=DTYPE)
            net = TwoLayer(self._signs, self._rows(features))
            self._places[id(model)] = _Place(features, IndividualPolicy(model, net, "bounded", self.temperature))
        place = self._places[id(model)]
        if id(model) not in self._current:
            with torch.no_grad():
                place.own.net = TwoLayer(self._signs, place.own.net.start)
                place.own.update(self._rows(place.features))
            self._current.add(id(model))
        return place

    @property
    def _signs(self) -> Tensor:
        return self.net.signs.expand(len(self.states), -1)

    def _rows(self, features: Tensor) -> Tensor:
        """``(T, 2 + A, M)``: the weights as those of one network for each state."""
        crowd = self.theta[0, :CROWD].expand(len(features), -1, -1)
        return torch.cat([crowd, features @ self.theta[0, CROWD:]], 1)


def _summed(place: _Place, rows: Tensor) -> Tensor:
    """The gradient ``(1, 2 + F, M)`` of shared weights, from ``rows (T, 2 + A, M)`` of one network for each state."""
    actions = place.features.flatten(0, 1).T @ rows[:, CROWD:].flatten(0, 1)
    return torch.cat([rows[:, :CROWD].sum(0), actions])[None]
