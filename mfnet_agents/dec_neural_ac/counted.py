"""The law of a model as nodes learn it: from what their agents saw of their own steps, and from no function of it.

A node knows the graph: which branches there are, which of them a quota rations, who may follow whom, whether the action
matters to the branches, and whether it is branches or actions that pay. It counts which branch its agents took at which
crowd, what they were paid, and where they came out; the shares and the pay become curves of the crowd (``curves.py``),
landings become frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mfnet_agents.dec_neural_ac.curves import MEMORY, Curves, Features
from mfnet_agents.dec_neural_ac.own_law import Law, NodeLaw
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Trace

ROOM = 4_000_000  # numbers in the features of a piece of a fragment
PRIOR = 1.0  # agents that were seen beforehand, spread over all possible successors


class CountedLaw(NodeLaw):
    """See :class:`NodeLaw`; of the model only its graph is read.

    Attributes:
        weights: the branches' curves, where there is more than one; pay: those of pay, where actions are paid.
        takers, wages: ``(R, A, K)`` where branches pay; landed: for each branch ``(R, A or 1, J)`` agents.
    """

    def __init__(self, model: LocalModel, columns: int) -> None:
        """``columns``: A where the action matters to the branches, else 1."""
        super().__init__(model)
        self._features = Features(model.population, model.num_groups)
        rows, actions, branches = len(model.active), model.num_actions, len(model.branches)
        self.weights = None if branches == 1 else Curves(self._features, rows, columns, branches, 1 / branches)
        self.pay = None if model.reward_is_derived else Curves(self._features, rows, actions, 1, 0.0)
        self.takers, self.wages = np.zeros((2, rows, actions, branches))
        self.possible = [branch.probabilities[model.active] > 0 for branch in model.branches]
        self.landed = [np.zeros(there.shape) for there in self.possible]
        self._cells, self._cell = np.unique(np.stack([self.node, self.group]), axis=1, return_inverse=True)

    def observe(self, crowd: Floats, trace: Trace) -> None:
        """Learn from steps at ``crowd (T, B, V, G)``; ``trace``: what was seen in them, with an axis of steps ahead."""
        learning: list[tuple[Curves, Ints, Floats]] = []
        if self.weights is not None:
            learning.append((self.weights, trace.went.sum(4), trace.went))
        if self.pay is not None:
            learning.append((self.pay, trace.acted, trace.paid[..., None]))
        else:
            self.takers, self.wages = self.takers + trace.takers.sum(0), self.wages + trace.wages.sum(0)
        for k, moves in enumerate(trace.moves):
            if moves is not None:
                self.landed[k] = MEMORY * self.landed[k] + moves.sum(0)
        for curves, _, _ in learning:
            curves.fade()
        length = max(1, ROOM // (len(self.node) * self._features.number * crowd.shape[1]))
        for start in range(0, len(crowd) if learning else 0, length):
            piece = slice(start, start + length)
            x = self._seen(crowd[piece])
            for curves, agents, totals in learning:
                flat = (y[piece].reshape(-1, *y.shape[2:]).astype(np.float64) for y in (agents, totals))
                curves.add(x, *flat)
        for curves, _, _ in learning:
            curves.solve()

    @property
    def rewards(self) -> Floats | None:
        """What was paid on each branch; where nobody has taken it with an action, as with the others there."""
        if self.pay is not None:
            return None
        usual = self.wages.sum(1, keepdims=True) / np.maximum(self.takers.sum(1, keepdims=True), 1)
        paid: Floats = np.where(self.takers > 0, self.wages / np.maximum(self.takers, 1), usual)
        return paid

    @property
    def odds(self) -> list[Floats]:
        """Frequencies, after :data:`PRIOR` agents that came out all over."""
        found = []
        for landed, possible in zip(self.landed, self.possible, strict=True):
            many = landed + PRIOR * possible / possible.sum(2, keepdims=True)
            found.append(many / many.sum(2, keepdims=True))
        return found

    def _seen(self, crowd: Floats) -> Floats:
        """``(R, L, F)``: the features of rows at ``crowd (..., V, G)``."""
        agents = np.rint(crowd.reshape(-1, *crowd.shape[-2:])).astype(np.int64)
        node, group = self._cells
        x = self._features.at(agents[:, node, group], agents.sum(2)[:, node])
        return x.transpose(1, 0, 2)[self._cell]

    def _at(self, hood: Floats) -> Law:
        steps = hood.shape[:2]
        x = self._seen(hood[:, :, :, 0] * self.model.population)

        def shaped(values: Floats) -> Floats:
            return values.reshape(*steps, *values.shape[1:])

        pay = None if self.pay is None else shaped(self.pay.at(x)[..., 0])
        if self.weights is None:
            return Law(pay, np.ones((*steps, len(self.node), 1, 1)))
        shares = np.clip(self.weights.at(x), 0, 1)
        return Law(pay, shaped(shares / np.maximum(shares.sum(3, keepdims=True), 1e-12)))

    # -- state

    def state(self) -> dict[str, Floats]:
        """All that was counted."""
        kept = {"takers": self.takers, "wages": self.wages} | {f"landed_{k}": x for k, x in enumerate(self.landed)}
        for name, curves in (("weights", self.weights), ("pay", self.pay)):
            if curves is not None:
                kept |= {f"{name}_{part}": getattr(curves, part) for part in Curves.KEPT}
        return kept

    def take(self, state: Mapping[str, Floats]) -> None:
        """Take back what :meth:`state` gave."""
        self.takers, self.wages = state["takers"], state["wages"]
        self.landed = [state[f"landed_{k}"] for k in range(len(self.landed))]
        for name, curves in (("weights", self.weights), ("pay", self.pay)):
            if curves is not None:
                curves.take({part: state[f"{name}_{part}"] for part in Curves.KEPT})


def stacked(traces: Sequence[Trace]) -> Trace:
    """The traces of steps as one with an axis of steps ahead."""
    *parts, moves = zip(*traces, strict=True)
    went, acted, paid, takers, wages = (None if part[0] is None else np.stack(part) for part in parts)
    landed = [None if branch[0] is None else np.stack(branch) for branch in zip(*moves, strict=True)]
    return Trace(went, acted, paid, takers, wages, tuple(landed))


def at_steps(trace: Trace, steps: Ints) -> Trace:
    """Those of some steps."""
    *parts, moves = trace
    went, acted, paid, takers, wages = (None if part is None else part[steps] for part in parts)
    return Trace(went, acted, paid, takers, wages, tuple(None if move is None else move[steps] for move in moves))
