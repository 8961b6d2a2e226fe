"""Policies of agents that see more than their own team: the clock, and crowds in the neighbourhood.

Other classes of policies than (3): with ``hops`` an agent is told the crowds of all nodes within k hops (k = 0: of all
groups at its own), with ``clock`` the step of the turn. Executed alone by every agent, as before.

Who hears of crowds has a network (13) for each *action* of a state. With one for all of them, told by e_a which, the
weights of a crowd are everybody's: that a car more next door draws agents there, and to no other node, has to be made
of corners of relu. Policies then answer sharply to single cars, costates that are pulled back through such answers grow
from step to step, and learning ends lower (docs/results.md).
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.nets import DTYPE, TwoLayer, product
from mfnet_agents.policies.individual import Answers, IndividualPolicy, Seen, blocks, bounded, runs
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel

HARMONICS = 3  # of a turn of the clock, a sine and a cosine each
LOOKED_AT = 64  # samples of what a team sees that are held for each of its networks, at least
FEW = 4  # rows of a team evaluated at a time: no two worlds see the same, and few worlds are played


class ObservingPolicy(IndividualPolicy):
    """pi(a | s, n_s, crowds within k hops, time of the turn).

    Args:
        net: for each state that has a choice, one network whose input is (what is seen, e_a); with ``hops`` A of them,
            one for each action, whose input is (what is seen, 1): see :meth:`networks`.
        hops: None, or k. clock: whether the time of a turn is seen; the own crowd is then taken beside what is usual at
            that time.
    """

    def __init__(self, model: LocalModel, net: TwoLayer, temperature: float, *, hops: int | None, clock: bool) -> None:
        self.hops, self.clock = hops, clock
        choosing = np.unique(model.groups[model.team_states % model.network.layers])
        self._members = (model.groups[:, None] == choosing).astype(np.float64)  # (layers, groups that choose)
        usual = model.usual_counts.reshape(model.network.num_nodes, -1) @ self._members
        self._usual_near = torch.as_tensor(usual, dtype=DTYPE)
        self._choosing = choosing
        if hops is not None:
            index, mask = model.network.hops(hops)
            own = model.network.node_of[model.team_states]
            self._near, self._is_near = torch.as_tensor(index[own]), torch.as_tensor(mask[own], dtype=DTYPE)
        super().__init__(model, net, "bounded", temperature)
        self._each = 1 if hops is None else model.num_actions  # networks of a state
        self.legal = self.legal.reshape(self._each * len(self.states), -1)

    def _made_on(self, model: LocalModel) -> Self:
        if self.clock and model.period != self.model.period:
            raise ValueError(
                f"the policy reads a clock whose turn is {self.model.period} steps, and that of the other model is "
                f"{model.period}"
            )
        return type(self)(model, self.net, self.temperature, hops=self.hops, clock=self.clock)

    @property
    def _block(self) -> int:
        return FEW

    @staticmethod
    def networks(model: LocalModel, hops: int | None, clock: bool) -> tuple[int, int]:
        """How many networks there are, and the length of their input."""
        groups, teams = len(np.unique(model.groups[model.team_states % model.network.layers])), len(model.team_states)
        own = 2 + 2 * HARMONICS * clock
        if hops is None:
            return teams, own + model.num_actions
        return teams * model.num_actions, own + 2 * groups * model.network.hops(hops)[0].shape[1] + 1

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        network = self.model.network
        crowd = counts.reshape(len(counts), network.num_nodes, network.layers) @ self._members
        return self._pi(counts[:, self.states], crowd, np.full(len(counts), t))

    def shares(self, seen: Seen) -> Floats:
        return self._pi(seen.sizes, seen.crowd[:, :, self._choosing], seen.clock)

    @property
    def ears(self) -> int:
        return 0 if self.hops is None else self._near.shape[1] * self._usual_near.shape[1]

    def answers(self, seen: Seen) -> Answers | None:
        if self.hops is None:
            return None
        crowd = seen.crowd[:, :, self._choosing]
        told, many = self._told(crowd, seen.clock), self._usual_near.shape[1]
        share = torch.as_tensor(crowd.transpose(1, 0, 2)) / self._usual_near[:, None].clamp_min(1.0)
        rise = torch.where(share < 4.0, 1 / self._usual_near[:, None].clamp_min(1.0), 0.0)  # of x by one agent more
        bent = torch.stack([rise / 2, rise / (1 + share)], -1)  # (V, L, G, 2): slopes of ``bounded``
        found = []
        for some in self._runs():
            along = self._near_slopes(self._sight(seen.sizes, told, some), some)
            heard = bent[self._near[some]] * self._is_near[some, :, None, None, None]  # (T, D, L, G, 2)
            shaped = along.reshape(*along.shape[:3], -1, many, 2)
            found.append(torch.einsum("tladgi,tdlgi->ltadg", shaped, heard))
        slopes: Floats = (self.temperature * torch.cat(found, 1)).numpy()
        pi = self._pi(seen.sizes, crowd, seen.clock)[..., None, None]
        slopes -= (pi * slopes).sum(2, keepdims=True)
        return Answers(pi * slopes, self._near.numpy(), self._choosing)

    def _near_slopes(self, u: Tensor, some: slice) -> Tensor:
        """d f_s(u, e_a) / d u of the features that tell of crowds nearby: ``(T, L, A, 2 D G)``."""
        own, near = u.shape[2], 2 * self._near.shape[1] * self._usual_near.shape[1]
        mine = self._mine(some)
        back, scale = self.theta[mine, own - near : own].transpose(1, 2), self.net.scale[mine, None, None]
        found = []
        for part in blocks(self._for_each(u), self._block):
            on = torch.where(self._hidden(part, mine) > 0, scale, 0.0)
            found.append(product(on.flatten(1, 2), back).reshape(*on.shape[:3], near))
        return self._side_by_side(torch.cat(found, 1)[:, : u.shape[1]])

    # -- several networks of a state

    def _mine(self, some: slice) -> slice:
        """The networks of some teams."""
        return slice(some.start * self._each, some.stop * self._each)

    def _for_each(self, u: Tensor) -> Tensor:
        """What teams see ``(T, L, F)``, for each of their networks."""
        return u.repeat_interleave(self._each, 0)

    def _side_by_side(self, answers: Tensor) -> Tensor:
        """``(T, L, A, ...)`` of teams, from their networks' ``(networks, L, 1 or A, ...)``."""
        return answers.reshape(-1, self._each, *answers.shape[1:]).transpose(1, 2).flatten(2, 3)

    def _runs(self) -> list[slice]:
        seen = self._each * LOOKED_AT * (self.theta.shape[1] - 1)
        return runs(len(self.states), max(self._block * self.model.num_actions * self.net.width, seen))

    def _logits_of(self, u: Tensor, some: slice) -> Tensor:
        return self._side_by_side(super()._logits_of(self._for_each(u), self._mine(some)))

    def _slope(self, u: Tensor, weights: Tensor, some: slice) -> Tensor:
        apart = weights.reshape(*weights.shape[:2], self._each, -1).transpose(1, 2).flatten(0, 1)
        return super()._slope(self._for_each(u), apart, self._mine(some))

    def score_along(self, seen: Seen, weights: Floats) -> Tensor:
        told = self._told(seen.crowd[:, :, self._choosing], seen.clock)
        along = torch.as_tensor(weights.transpose(1, 0, 2))
        found = [self._slope(self._sight(seen.sizes, told, some), along[some], some) for some in self._runs()]
        return self.temperature * torch.cat(found) * self.net.scale[:, None]

    def _pi(self, sizes: Ints, crowd: Floats, clock: Ints) -> Floats:
        told = self._told(crowd, clock)
        logits = [self._logits_of(self._sight(sizes, told, some), some) for some in self._runs()]
        pi: Floats = torch.softmax(torch.cat(logits), 2).permute(1, 0, 2).numpy()
        return pi

    def _told(self, crowd: Floats, clock: Ints) -> tuple[Tensor, Tensor, Tensor]:
        """What is announced: crowds as features ``(V, L, 2 G)``, the time ``(L, F)``, usual sizes ``(T, 1 or L)``."""
        near = bounded(torch.as_tensor(crowd.transpose(1, 0, 2), dtype=DTYPE), self._usual_near[:, None])
        model, usual = self.model, [self.model.usual_counts[self.states]]
        if not self.clock:
            return near.flatten(2), torch.zeros((len(clock), 0), dtype=DTYPE), torch.as_tensor(usual[0])[:, None]
        usual = [model.at(int(t)).usual_counts[self.states] for t in clock]
        return near.flatten(2), waves(clock, model.period), torch.as_tensor(np.stack(usual, 1))

    def _sight(self, sizes: Ints, told: tuple[Tensor, Tensor, Tensor], some: slice) -> Tensor:
        """Features ``(T, L, F)`` of some teams."""
        near, time, usual = told
        own = bounded(torch.as_tensor(sizes.T[some], dtype=DTYPE), usual[some])
        parts = [own, time.expand(len(own), -1, -1)]
        if self.hops is not None:
            seen = near[self._near[some]] * self._is_near[some, :, None, None]  # (T, D, L, 2 G)
            parts.append(seen.permute(0, 2, 1, 3).flatten(2))
        return torch.cat(parts, 2)


def waves(clock: Ints, period: int | None) -> Tensor:
    """The time of a turn at the steps ``clock (L,)``, ``(L, 2 HARMONICS)``: sines and cosines."""
    turn = period or 1
    angle = 2 * math.pi / turn * torch.as_tensor(clock % turn, dtype=DTYPE)[:, None]
    each = angle * torch.arange(1, HARMONICS + 1, dtype=DTYPE)
    return torch.cat([torch.sin(each), torch.cos(each)], 1)
