"""Reward and kernel as a node knows them: at the crowd that stands there, with one agent more, and with one less.

What one agent changes at its node is a difference of these. :class:`OwnLaw` has them from the model's own functions, so
nothing of a scenario is said twice; a model that looks at the neighbours too is also asked about one agent more or less
in each slot of the neighbourhood. ``counted.py`` learns them from samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator.tables import closed_hoods


class Law(NamedTuple):
    """Reward and kernel at some crowds.

    Attributes:
        pay: ``(..., R, A)`` what an action earns; None where it is the branches that pay.
        weights: ``(..., R, A or 1, K)`` of the branches.
    """

    pay: Floats | None
    weights: Floats

    def step(self, t: int) -> Law:
        """That of step t, where the first axis is time."""
        return Law(None if self.pay is None else self.pay[t], self.weights[t])

    def worth(self, gain: Floats) -> Floats:
        """``(..., R, A)``: what actions are worth where taking branch k is worth ``gain (K, ..., R, A)``."""
        ahead: Floats = self.weights[..., 0] * gain[0]
        for k in range(1, len(gain)):
            ahead += self.weights[..., k] * gain[k]
        return ahead if self.pay is None else ahead + self.pay

    def where(self, condition: Bools, other: Law) -> Law:
        """This law where ``condition (..., R)``, the other elsewhere."""
        pay = None
        if self.pay is not None and other.pay is not None:
            pay = np.where(condition[..., None], self.pay, other.pay)
        return Law(pay, np.where(condition[..., None, None], self.weights, other.weights))


class Shift(NamedTuple):
    """The laws of all rows with an agent more or less of one group, in one slot of their neighbourhood.

    Attributes:
        slot, group: whose crowd is changed; slot 0 is the own node.
        more: with one more; at: as it is, or with one where nobody is; less: at, without one.
    """

    slot: int
    group: int
    more: Law
    at: Law
    less: Law

    def step(self, t: int) -> Shift:
        """Those of step t."""
        return Shift(self.slot, self.group, self.more.step(t), self.at.step(t), self.less.step(t))


class Laws(NamedTuple):
    """Everything a pull-back asks of the law at some crowds.

    Attributes:
        base: as it is; shifts: one for each slot that the law reads and each group that has rows.
        more, at: as in :class:`Shift`, each row's for its own group at its own node.
    """

    base: Law
    shifts: tuple[Shift, ...]
    more: Law
    at: Law

    def step(self, t: int) -> Laws:
        """Those of step t, where the first axis is time."""
        shifts = tuple(shift.step(t) for shift in self.shifts)
        return Laws(self.base.step(t), shifts, self.more.step(t), self.at.step(t))


class NodeLaw(ABC):
    """The law of one model, asked about crowds near the one that is seen.

    Attributes:
        node, group: ``(R,)`` of the active states; groups: those that have any.
        hood: ``(V, D)`` the nodes whose crowds it reads, -1 for none: the own node alone where it reads no other.
    """

    def __init__(self, model: LocalModel) -> None:
        network, active = model.network, model.active
        self.model = model
        self.node: Ints = network.node_of[active]
        self.group: Ints = model.groups[active % network.layers]
        self.groups = np.unique(self.group)
        own = np.arange(network.num_nodes)[:, None]
        self.hood: Ints = own if model.reads_own_node else closed_hoods(model)

    @property
    @abstractmethod
    def rewards(self) -> Floats | None:
        """rho ``(R, A, K)``, or None where the reward is a function of its own."""

    @property
    @abstractmethod
    def odds(self) -> list[Floats]:
        """For each branch ``(R, A or 1, J)``: the chances of its successors."""

    @abstractmethod
    def _at(self, hood: Floats) -> Law:
        """The law at shares ``hood (T, B, V, D, G)``."""

    def around(self, crowd: Floats) -> Laws:
        """The laws at ``crowd (T, B, V, G)`` and beside it, with axes ``(T, B, R, ...)``."""
        shares = crowd / self.model.population
        hood = np.where((self.hood >= 0)[..., None], shares[:, :, np.maximum(self.hood, 0)], 0.0)
        base = self._at(hood)
        shifts = tuple(self._shifts(hood, base))
        own = [shift for shift in shifts if not shift.slot]
        more, at = own[0].more, own[0].at
        for shift in own[1:]:
            mine = np.broadcast_to(self.group == shift.group, (*crowd.shape[:2], len(self.group)))
            more, at = shift.more.where(mine, more), shift.at.where(mine, at)
        return Laws(base, shifts, more, at)

    def _shifts(self, hood: Floats, base: Law) -> Iterator[Shift]:
        one = 1 / self.model.population
        for slot in range(hood.shape[3]):
            for group in self.groups:
                there = hood[..., slot, group]
                empty = there < 0.5 * one
                more, less = hood.copy(), hood.copy()
                more[..., slot, group] += one
                less[..., slot, group] = np.where(empty, there, np.maximum(there - one, 0.0))
                with_one, without = self._at(more), self._at(less)
                nobody = empty[..., self.node]
                yield Shift(slot, int(group), with_one, with_one.where(nobody, base), base.where(nobody, without))


class OwnLaw(NodeLaw):
    """The law as the model's functions say it."""

    def __init__(self, model: LocalModel) -> None:
        super().__init__(model)
        self._rewards = model.branch_rewards()
        self._odds = [branch.probabilities[model.active] for branch in model.branches]

    @property
    def rewards(self) -> Floats | None:
        return self._rewards

    @property
    def odds(self) -> list[Floats]:
        return self._odds

    def _at(self, hood: Floats) -> Law:
        steps, flat = hood.shape[:2], hood.reshape(-1, *hood.shape[2:])

        def asked(answer: Any) -> Floats:
            values = np.asarray(answer, np.float64)
            return values.reshape(*steps, *values.shape[1:])

        weights = asked(self.model.branch_weights(flat))
        return Law(asked(self.model.reward(flat)) if self._rewards is None else None, weights)
