"""The class reference: how good a policy pi(s, n_s) can be, by a planner that knows the model and climbs its gradient.

Worlds are rolled out by the simulator; beside every drawn crowd stands its expectation given the crowd before, which is
differentiable (:mod:`mfnet_envs.simulator.fluid`), and the gradient passes through that one (straight through the
draw): n' = E[n' | n, pi] + (drawn - its expectation, a constant). So the climb sees real crowds, and how policies will
respond to them (a closed loop), with little noise. In the limit of infinitely many agents nothing is drawn and the
gradient is exact. It needs the whole model and all counts *while it plans*; what it returns is played by agents that
see their own state's crowd, or the clock and some hops around, as asked.

A policy's logits are linear between knots of n_s, (0, 1/4, 1/2, 3/4, 1, 3/2, 2, 3, 4) times the usual crowd and at
least one agent apart, so that small crowds have every pi(s, n) and large ones a smooth one. It begins uniform.

Fragments of ``steps`` steps: decisions of the first half are learnt, the second half, played by the same policy, tells
what comes of them; the next fragment begins where the first half ended. A sum is discounted by the model's gamma; an
average by 1 - 1 / steps. A local optimum: no bound.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator
from mfnet_envs.simulator.fluid import ArraysLike, expected_step
from mfnet_envs.simulator.tables import Tables
from mfnet_envs.words import optional_package, whole

KNOTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # times the usual crowd
RATE, LAST_RATE = 0.15, 0.015  # of Adam, falling evenly
FORGOTTEN = 0.05  # gamma^t after which a discounted episode begins anew
ILLEGAL = -1e9  # a logit
EMPTY = 1e-9  # agents added everywhere: laws of delay have an infinite slope on the way to their value at 0


class Knotted(Policy):
    """pi(s, n_s) = softmax of logits that are linear between knots; deterministic in the counts.

    Args:
        clock: tables: of equal parts of the model's period, else of the first steps, the last one staying; 1 for none.
        hops: logits also add up, over the nodes within so many hops, a multiple of two numbers for the crowd there.

    Attributes:
        knots: ``(T, 9)`` agents; logits: ``(clock, T, 9, A)``; around: ``(clock, T, D, 2, A)`` for ``hops``.
    """

    def __init__(self, model: LocalModel, clock: int = 1, hops: int = 0) -> None:
        super().__init__(model)
        teams, actions = len(model.team_states), model.num_actions
        self.clock, usual = whole("clock", clock), np.maximum(model.usual_counts, 1.0)
        knots = usual[model.team_states, None] * np.array(KNOTS)
        for k in range(1, len(KNOTS)):
            knots[:, k] = np.maximum(knots[:, k], knots[:, k - 1] + 1)
        self.knots: Floats = knots
        legal = np.where(model.legal[model.team_states], 0.0, ILLEGAL)
        self.logits = np.broadcast_to(legal[:, None], (clock, teams, len(KNOTS), actions)).copy()
        self._near = _near(model, whole("hops", hops, 0))
        self._normal = np.maximum(_crowds(usual[None], model)[0], 1)
        self.around = np.zeros((clock, teams, self._near.shape[1], 2, actions))

    def teams(self, counts: Ints, t: int) -> Floats:
        logits = self.of(self.logits, self.around, counts.astype(float), t)
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        pi: Floats = odds / odds.sum(-1, keepdims=True)
        return pi

    def of(self, logits: Any, around: Any, n: Any, t: int) -> Any:
        """Logits ``(B, T, A)`` at crowds ``n (B, S)``, all numpy's or all tensors."""
        place, model = self._part(t), self.model
        own = n[:, model.team_states]
        left, width = self._lefts(np.asarray(own.detach() if hasattr(own, "detach") else own))
        teams = np.arange(len(self.knots))
        along = ((own - _like(own, self.knots[teams, left])) / _like(own, width)).clip(0, 1)[..., None]
        table = logits[place]
        answer = table[teams, left] * (1 - along) + table[teams, left + 1] * along
        if not self._near.shape[1]:
            return answer
        crowd = (_crowds(n, model) / _like(n, self._normal)).clip(0, 4)[:, self._near]
        for k, seen in enumerate((crowd / 2 - 0.5, (1 + crowd) ** 0.5 - 1.4)):
            answer = answer + (seen[..., None] * around[place][:, :, k]).sum(2)
        return answer

    def _lefts(self, own: Floats) -> tuple[Ints, Floats]:
        """``(B, T)``: the knot to the left of each crowd, and how far the next one is."""
        left = (own[..., None] >= self.knots[:, 1:-1]).sum(-1)
        teams = np.arange(len(self.knots))
        return left, self.knots[teams, left + 1] - self.knots[teams, left]

    def _part(self, t: int) -> int:
        period = self.model.period
        return min(t, self.clock - 1) if period is None else t % period * self.clock // period


def class_reference(
    model: LocalModel,
    *,
    rng: np.random.Generator,
    steps: int = 64,
    worlds: int = 16,
    iterations: int = 200,
    clock: int | None = None,
    hops: int = 0,
    limit: bool = False,
) -> Knotted:
    """Climb the gradient, see the module's docstring; the last iterate, nothing is selected.

    Args:
        steps: of a fragment; worlds: rolled out side by side; iterations: of Adam.
        clock, hops: what else the policy reads, another information class; default: its own state's crowd alone.
        limit: plan for infinitely many agents instead, without draws.

    Raises:
        ModuleNotFoundError: torch is missing.
        ValueError: numbers out of their range.
    """
    torch = optional_package("torch", "agents", "the class reference")
    policy = Knotted(model, 1 if clock is None else clock, hops)
    game = Fragments(policy, whole("steps", steps, 2), limit)
    weights = [torch.tensor(table, requires_grad=True) for table in (policy.logits, policy.around)]
    adam = torch.optim.Adam(weights, lr=RATE)
    state, t = game.start(rng, whole("worlds", worlds)), 0
    for i in range(whole("iterations", iterations)):
        adam.param_groups[0]["lr"] = RATE + (LAST_RATE - RATE) * i / iterations
        value, halfway = game.value(weights, state, t, rng)
        adam.zero_grad()
        (-value).backward()
        adam.step()
        state, t = halfway, t + game.learnt
        if t >= game.episode:
            state, t = game.start(rng, worlds), 0
    policy.logits, policy.around = (table.detach().numpy().copy() for table in weights)
    return policy


class Fragments:
    """Rollouts of a policy with gradients.

    Attributes:
        learnt: how many of a fragment's steps have a gradient of their own; episode: steps until worlds begin anew.
    """

    def __init__(self, policy: Knotted, steps: int, limit: bool) -> None:
        model = policy.model
        self.policy, self.steps, self.learnt, self.limit = policy, steps, steps - steps // 2, limit
        self.discounted = model.headline.criterion == "discounted"
        self.gamma = model.gamma if self.discounted else 1 - 1 / steps
        forgotten = math.ceil(math.log(FORGOTTEN) / math.log(model.gamma))
        self.episode = min(model.evaluation[0], forgotten) if self.discounted else model.evaluation[0]
        self._simulator = Simulator(model)
        self._laws: list[tuple[LocalModel, Tables]] = []

    def start(self, rng: np.random.Generator, worlds: int) -> Floats | Ints:
        """``(B, S)`` agents: worlds as they begin; a single one, the mean, in the limit."""
        model = self.policy.model
        return model.population * model.initial[None] if self.limit else self._simulator.reset(rng, worlds)

    def value(self, weights: list[Any], counts: Any, t: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """The mean discounted reward of an agent over a fragment from ``counts (B, S)`` at step t, in which the
        decisions of the first half have a gradient, and the crowds at its middle.
        """
        import torch

        model, population = self.policy.model, self.policy.model.population
        n = torch.as_tensor(counts, dtype=torch.float64)
        total, halfway = torch.zeros((), dtype=torch.float64), counts
        # what a discounted episode earns late counts less from its beginning
        worth = self.gamma**t if self.discounted else 1.0
        for i in range(self.steps):
            now = weights if i < self.learnt else [table.detach() for table in weights]
            pi = torch.softmax(self.policy.of(now[0], now[1], n, t + i), -1)
            tables = expectations(model.at(t + i), self._laws, self.limit)
            mu, paid = expected_step(tables, (n + self._aside(n, rng)) / population, pi)
            total = total + worth * self.gamma**i * paid.sum(1).mean()
            n = population * mu
            if not self.limit:
                counts = self._simulator.at(t + i).play(counts, pi.detach().numpy(), rng).next_counts
                n = n + (torch.as_tensor(counts, dtype=torch.float64) - n).detach()
            if i + 1 == self.learnt:
                halfway = n.detach().numpy() if self.limit else counts
        return total, halfway

    def _aside(self, n: Any, rng: np.random.Generator) -> Any:
        """A hair beside each crowd: phi has a corner at every whole number of agents, and what one agent changes is its
        slope to the left where it is among them, to the right where it is not. Each side is taken half of the time.
        """
        if self.limit:
            return EMPTY
        side = np.where((rng.random(n.shape) < 0.5) & (n.detach().numpy() > 0.5), -EMPTY, EMPTY)
        return ArraysLike(n).asarray(side)


def expectations(law: LocalModel, known: list[tuple[LocalModel, Tables]], limit: bool = False) -> Tables:
    """The tables of a law, or of its limit, on tensors in double precision; kept among the ``known``."""
    import torch

    for other, tables in known:
        if other is law:
            return tables
    known.append((law, Tables(law.fluid() if limit else law, ArraysLike(torch.zeros((), dtype=torch.float64)))))
    return known[-1][1]


def _near(model: LocalModel, hops: int) -> Ints:
    """``(T, D)``: for each team the crowds ``(V, G)``, flattened, of its group within ``hops``, its own node first; the
    own node again where there are fewer. D = 0 without hops."""
    nodes = model.network.node_of[model.team_states]
    if hops == 0:
        return np.zeros((len(nodes), 0), np.int64)
    near, there = model.network.hops(hops)
    group = model.groups[model.team_states % model.network.layers]
    place: Ints = np.where(there, near, np.arange(len(near))[:, None])[nodes] * model.num_groups + group[:, None]
    return place


def _crowds(n: Any, model: LocalModel) -> Any:
    """``(B, S)`` agents -> ``(B, V G)`` of each group at each node."""
    layered = n.reshape(len(n), model.network.num_nodes, model.network.layers)
    membership = np.eye(model.num_groups)[model.groups]
    return (layered @ _like(n, membership)).reshape(len(n), -1)


def _like(reference: Any, table: Floats) -> Any:
    return ArraysLike(reference).asarray(table) if hasattr(reference, "detach") else table
