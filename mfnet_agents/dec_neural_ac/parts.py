"""The critics and policies of one part of the network: what one machine would hold. No simulator, nothing (V, V).

A part owns some nodes and is told of others: features of the nodes it *sees*, advantages of those it *hears*. Rows are
nodes or teams, and each row has the same bits whatever part it belongs to. Two numbers may be shared by all parts: the
scale of the advantages and, where ``potential="table"`` books the rewards, the value table; both come from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet_agents import updates
from mfnet_agents.critics import CriticInputs
from mfnet_agents.dec_neural_ac.ascent import Plain
from mfnet_agents.dec_neural_ac.ball import Ball
from mfnet_agents.nets import DTYPE, TwoLayer, project
from mfnet_agents.policies.individual import LearnedPolicy
from mfnet_envs.arrays import Ints
from mfnet_envs.network import Part


class Shown(NamedTuple):
    """What a part is given of L = steps x B samples, its own halo included.

    Attributes:
        now: ``(L, H, F)`` features of the H nodes it sees.
        following: ``(L', H, F)`` the same at true successors: of all samples (Q form), or only of those ``apart``.
        apart: ``(L,)`` bool: the next row is not the successor, because the world was restarted or the batch ends.
        rewards: ``(nodes, L)`` of its own nodes; cut: ``(steps, B)`` bool, the world was restarted after the step.
        minibatches: numbers of the samples of each critic update.
    """

    now: Tensor
    following: Tensor
    apart: Tensor
    rewards: Tensor
    cut: Tensor
    minibatches: list[Tensor]


class Critics:
    """Q critics of a part, one per node, trained by semi-gradient TD(0); their advantages are their values.

    Attributes:
        omega: ``(nodes, d, M)`` weights.
    """

    def __init__(
        self, net: TwoLayer, inputs: CriticInputs, ascent: Plain, *, gamma: float, radius: float | None
    ) -> None:
        self.net, self.inputs, self.ascent, self.gamma, self.radius = net, inputs, ascent, gamma, radius
        self.omega = net.start.clone()
        self.offset = torch.zeros(len(self.omega), dtype=DTYPE)

    def learn(self, shown: Shown, lr: float) -> tuple[Tensor, Tensor]:
        """Advantages ``(nodes, L)`` of the critics as they stand, which are then fitted; and :meth:`_fit`'s errors."""
        x, x_next = self.inputs(shown.now), self.inputs(shown.following)
        q = self.net.value(self.omega, x)

        def error(read: Tensor, batch: Tensor) -> Tensor:
            q_next = self.net.value(self.omega, x_next[:, batch])
            return updates.td_residual(read, shown.rewards[:, batch], self.gamma, q_next)

        return q, self._fit(x, error, shown.minibatches, lr)

    def _fit(
        self, x: Tensor, error: Callable[[Tensor, Tensor], Tensor], minibatches: list[Tensor], lr: float
    ) -> Tensor:
        """Steps down the (semi-)gradient of the mean squared ``error(f, batch)``; the first one's, ``(nodes,)``."""
        squared = []
        for batch in minibatches:
            inputs = x[:, batch]
            hidden = self.net.hidden(self.omega, inputs)
            wrong = error(self.net.read(hidden), batch)
            gradient = self.net.weighted_gradient(hidden, inputs, wrong / len(batch))
            self.ascent.step_(self.omega, -gradient, lr)
            self.omega = project(self.omega, self.net.start, self.radius)
            squared.append((wrong**2).mean(1))
        return squared[0]

    def standardise(self, features: Tensor, rewards: Tensor) -> None:
        """Inputs of mean 0, deviation 1 over ``features (L, H, F)``; values begin at ``rewards (nodes, L)``."""
        self.inputs = self.inputs.standardised(features)
        self.offset = rewards.mean(1) / (1 - self.gamma)

    def restart(self) -> None:
        """Back to the starting weights."""
        self.omega = self.net.start.clone()


class ValueCritics(Critics):
    """V critics, regressed on their lambda-returns; advantages look about 1 / (1 - lambda) steps ahead."""

    def __init__(self, *given: Any, lambda_: float, **options: Any) -> None:
        super().__init__(*given, **options)
        self.lambda_ = lambda_

    def learn(self, shown: Shown, lr: float) -> tuple[Tensor, Tensor]:
        x = self.inputs(shown.now)
        v = self.net.value(self.omega, x) + self.offset[:, None]
        v_next = v.roll(-shown.cut.shape[1], 1)
        v_next[:, shown.apart] = self.net.value(self.omega, self.inputs(shown.following)) + self.offset[:, None]
        delta = (shown.rewards + self.gamma * v_next - v).reshape(-1, *shown.cut.shape)
        advantages = updates.lambda_advantages(delta, shown.cut, self.gamma, self.lambda_).flatten(1)
        target = advantages + v - self.offset[:, None]
        return advantages, self._fit(x, lambda read, batch: read - target[:, batch], shown.minibatches, lr)


class LocalLearner:
    """One part's share of an iteration: :meth:`advantages`, :meth:`brackets`, :meth:`gradient` and :meth:`climb`.

    Attributes:
        part: its nodes and halo; teams: the run of its teams among all; policy: theirs, with their theta.
    """

    def __init__(
        self,
        part: Part,
        teams: slice,
        policy: LearnedPolicy,
        critics: Critics,
        ball: Ball,
        places: Ints,
        ascent: Plain,
        baseline: Callable[[Tensor], Tensor],
    ) -> None:
        """``ball``: the :class:`Ball` of its part; ``places (T,)``: the place of each team's node among its nodes."""
        self.part, self.teams, self.policy, self.critics, self.ball = part, teams, policy, critics, ball
        self.places, self.ascent, self.baseline = torch.as_tensor(places), ascent, baseline

    def advantages(self, shown: Shown, lr: float) -> tuple[Tensor, Tensor]:
        """Local advantages ``(nodes, L)``, the one thing other parts are told, and squared errors ``(nodes,)``.

        They come from the critics before their update, which is made here.
        """
        return self.critics.learn(shown, lr)

    def brackets(self, heard: Tensor) -> Tensor:
        """The bracket of (23), ``(T, L)``, from the advantages ``(H, L)`` of the nodes it hears."""
        return self.baseline(self.ball.sum(heard))[self.places]

    def gradient(self, brackets: Tensor, sizes: Ints, actions: Ints) -> Tensor:
        """(23) per sample and agent, ``(T, d, M)``, from ``brackets (T, L)`` and what its teams did.

        Args:
            sizes: ``(L, T)`` team sizes; actions: ``(L, T, A)`` action counts whose score is taken.
        """
        return self.policy.weighted_score(sizes, actions, brackets.T) / (len(sizes) * self.policy.model.population)

    def climb(self, gradient: Tensor, lr: float) -> None:
        """theta along ``gradient``, and back into the ball (21)."""
        theta = self.policy.theta
        self.ascent.step_(theta, gradient, lr)
        self.policy.update(project(theta, self.policy.net.start, self.critics.radius))

    # -- state

    def state(self) -> dict[str, Tensor]:
        """All that learning changes: one row per own node or team, and step numbers, which all parts share."""
        inputs, own = self.critics.inputs, np.searchsorted(self.part.sees, self.part.nodes)
        found = {"theta": self.policy.theta, "omega": self.critics.omega, "offset": self.critics.offset}
        found |= {"input_shift": inputs.shift[own], "input_scale": inputs.scale[own]}
        for name, ascent in (("actor", self.ascent), ("critic", self.critics.ascent)):
            found |= {f"{name}_{key}": value for key, value in ascent.state().items()}
        return found

    def take(self, whole: Mapping[str, Tensor]) -> None:
        """Take back its rows of what :func:`gathered` made of all parts' states."""

        def rows(name: str, which: slice | Ints) -> Tensor:
            return whole[name][which].clone() if whole[name].ndim else whole[name]

        nodes, critics = self.part.nodes, self.critics
        self.policy.update(rows("theta", self.teams))
        critics.omega, critics.offset = rows("omega", nodes), rows("offset", nodes)
        shift, scale = (rows(name, self.part.sees) for name in ("input_shift", "input_scale"))
        critics.inputs = replace(critics.inputs, shift=shift, scale=scale)
        self.ascent.take({key: rows(f"actor_{key}", self.teams) for key in self.ascent.state()})
        critics.ascent.take({key: rows(f"critic_{key}", nodes) for key in critics.ascent.state()})


def gathered(learners: Sequence[LocalLearner]) -> dict[str, Tensor]:
    """The state of the whole network from its parts, in order: the same however it was cut."""
    states = [learner.state() for learner in learners]
    return {name: torch.cat([s[name] for s in states]) if own.ndim else own for name, own in states[0].items()}
