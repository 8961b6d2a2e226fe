"""Where samples come from, and the one border between numpy and torch.

Two laws (reading 10). "restart": the chain gamma P + (1 - gamma) P_0, whose stationary law is exactly the
discounted visitation sigma of (12); a step's true successor is kept for bootstrapping before a world is restarted.
"stationary": the plain chain, whose long-run law is nu; what is optimised there is the long-run average.
"fragments": a world is restarted before a rollout of T steps or not at all, with probability 1 - keep^T; counting the
j-th step keep^j gives the law of "restart" with that keep, by uncut paths.
Where the model reads a clock, all worlds share one and it never stops: a world that is restarted starts at the hour it
is, so "restart" samples discounted returns from every hour of the turn alike, not from t = 0 alone. Where episodes end
(``model.episode_steps``) all worlds begin anew with the turn, whatever the law.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.critics import with_actions
from mfnet_agents.nets import DTYPE
from mfnet_envs.arrays import Floats, Ints, total
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Flows, Simulator, Trace

Law = Literal["restart", "stationary", "fragments"]


@dataclass(frozen=True)
class Rollout:
    """T steps of B worlds, as numpy; ``tensor`` carries what the critics need over to torch.

    What a learner does not read is not recorded: such an array has no rows, ``(T, B, 0, ...)``. Counts are kept in 32
    bits where they fit.

    Attributes:
        crowd: ``(T, B, V, G)`` agents of each group before each step.
        next_crowd: ``(T, B, V, G)`` the same at the true successor.
        rewards: ``(T, B, V)`` team rewards summed over the layers of a node.
        sizes: ``(T, B, S')`` team sizes n; actions: ``(T, B, S', A)`` action counts, for the S' states with a choice.
        next_actions: ``(T, B, S', A)`` actions drawn at the true successor.
        served: ``(T, B, R)``, unserved: ``(T, B, R, A)`` flows of the active states (see ``Transition``).
        cut: ``(T, B)`` bool, the world was restarted after this step.
        team_nodes: ``(S',)`` node of each team; population: N.
        traces: what agents saw of each step, where the simulator is ``traced``.
    """

    crowd: Ints
    next_crowd: Ints
    rewards: Floats
    sizes: Ints
    actions: Ints
    next_actions: Ints
    served: Ints
    unserved: Ints
    cut: np.ndarray[Any, np.dtype[np.bool_]]
    team_nodes: Ints
    population: int
    traces: tuple[Trace, ...] = ()

    @property
    def steps(self) -> int:
        return self.cut.size

    @property
    def apart(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """``(T, B)``: whether the next row is not the true successor: the world was restarted or the rollout ends."""
        apart = self.cut.copy()
        apart[-1] = True
        return apart

    def flat(self, name: str) -> Any:
        """An array with its T B samples, in order of time, along one axis: ``(L, ...)``."""
        values = getattr(self, name)
        return values.reshape(self.steps, *values.shape[2:])

    def slices(self, numbers: int) -> Iterator[Rollout]:
        """The rollout cut along time, so that each piece has about ``numbers`` flows or a single step."""
        length = max(1, numbers // max(1, self.unserved[0].size))
        for t in range(0, len(self.cut), length):
            yield replace(self, **{name: getattr(self, name)[t : t + length] for name in RECORDED})

    def groups(self, *, following: bool = False) -> Tensor:
        """mu of the groups, ``(L, V, G)``, or that at the true successors."""
        return tensor(self.flat("next_crowd" if following else "crowd") / self.population)

    def action_shares(self, *, following: bool = False) -> Tensor:
        """mu h by action, ``(L, V, A)``, summed over the teams of a node."""
        actions = by_node(self.flat("next_actions" if following else "actions"), self.team_nodes, self.crowd.shape[2])
        return tensor(actions / self.population)

    def with_actions(self, *, mass: bool, following: bool = False) -> Tensor:
        """What each node shows the Q critics around it, ``(L, V, G + A)``: see ``critics.with_actions``."""
        return with_actions(self.groups(following=following), self.action_shares(following=following), mass=mass)


RECORDED = ("crowd", "next_crowd", "rewards", "sizes", "actions", "next_actions", "served", "unserved", "cut")


def by_node(actions: Ints, team_nodes: Ints, nodes: int) -> Ints:
    """Actions ``(L, S', A)`` of teams, summed over the teams of a node: ``(L, V, A)``."""
    summed = np.zeros((len(actions), nodes, actions.shape[2]), np.int64)
    present, first = np.unique(team_nodes, return_index=True)  # teams stand in node order
    if len(present):
        summed[:, present] = np.add.reduceat(actions, first, axis=1)
    return summed


def tensor(values: Any) -> Tensor:
    return torch.as_tensor(np.asarray(values, np.float64), dtype=DTYPE)


class Sampler:
    """B worlds that are stepped on, iteration after iteration.

    Attributes:
        counts: ``(B, S)``, where the worlds stand; with ``rng`` the whole state of the sampler.
        keep: the chance that a world goes on, per step; ``gamma`` unless it is given.
        kept: which of ``sizes``, ``actions``, ``next_actions``, ``served`` and ``unserved`` a rollout records; actions
            at the successors, h' of the Q form, are drawn only if they are kept.
    """

    def __init__(
        self,
        simulator: Simulator,
        law: Law,
        gamma: float,
        worlds: int,
        rng: np.random.Generator,
        kept: Collection[str] = ("sizes", "actions", "served", "unserved"),
        keep: float | None = None,
    ) -> None:
        self.simulator, self.law, self.gamma, self.worlds, self.rng = simulator, law, gamma, worlds, rng
        self.keep = gamma if keep is None else keep
        self.kept = frozenset(kept) | {"crowd", "next_crowd"}
        self.dtype = np.int32 if simulator.model.population < 2**31 else np.int64
        self.counts = simulator.reset(rng, worlds)
        self.running: Floats = np.zeros(worlds)
        self.clock = 0

    def rollout(self, policy: Policy, steps: int) -> tuple[Rollout, Floats]:
        """``steps`` joint steps of every world.

        Returns:
            the rollout, and the returns ``(episodes,)`` (mean over agents) of the episodes that a restart ended; their
            lengths are geometric, so the undiscounted sum is an unbiased sample of the discounted return. Of
            fragments, which end more rarely, steps are discounted from the beginning of theirs. None where ``keep`` is
            not gamma.
        """
        model, network = self.simulator.model, self.simulator.model.network
        teams, rows = model.team_states, np.searchsorted(model.active, model.team_states)
        record: dict[str, Any] = {}
        ended: list[Floats] = []
        traces: list[Trace] = []
        episode = model.episode_steps
        if self.law == "fragments":
            # before the first step nothing has been played that could end
            keep = self.keep**steps if episode is None else float(self.clock % episode > 0)
            self._restart_some(self.counts, keep, ended if self.clock else [])
        piece = self._in_one_piece(policy, steps) if "next_actions" not in self.kept else None
        if piece is not None:
            return self._booked(piece, ended)
        for t in range(steps):
            step = policy.play(self.simulator.at(self.clock), self.counts, self.clock, self.rng)
            traces += [] if step.trace is None else [step.trace]
            following = step.actions[:, rows]
            if "next_actions" in self.kept:
                following = policy.sample(step.next_counts, self.clock + 1, self.rng)
            seen = {
                "crowd": self.simulator.crowd(self.counts),
                "next_crowd": self.simulator.crowd(step.next_counts),
                "sizes": self.counts[:, teams],
                "actions": step.actions[:, rows],
                "next_actions": following,
                "served": step.served,
                "unserved": step.unserved,
            }
            kept: dict[str, Any] = {name: x if name in self.kept else x[:, :0] for name, x in seen.items()}
            kept["rewards"] = step.team_rewards.reshape(self.worlds, network.num_nodes, -1).sum(2)
            fading = self.keep**t if self.law == "fragments" else 1.0
            self.running += fading * kept["rewards"].sum(1)
            kept["cut"] = self._restart(step.next_counts, ended)
            for name, values in kept.items():
                if not t:
                    record[name] = np.empty((steps, *values.shape), self.dtype if name in seen else values.dtype)
                record[name][t] = values
            self.clock += 1
        nodes = network.node_of[teams]
        rollout = Rollout(**record, team_nodes=nodes, population=model.population, traces=tuple(traces))
        return rollout, np.concatenate(ended) if ended else np.empty(0)

    def _in_one_piece(self, policy: Policy, steps: int) -> Flows | None:
        """The whole rollout, where the simulator can: see :meth:`Simulator.rollout`."""
        if self.simulator.model.period is not None or self.simulator.model.episode_steps is not None:
            return None
        recorded = {"crowd", "next_crowd", "earned", "actions", *(self.kept & {"served", "unserved"})}
        keep = self.keep if self.law == "restart" else 1.0
        counts, clock, rng = self.counts, self.clock, self.rng
        flows = self.simulator.rollout(policy, counts, clock, steps, rng, keep=keep, recorded=recorded)
        return None if flows is None or len(flows.cut) < steps else flows

    def _booked(self, flows: Flows, ended: list[Floats]) -> tuple[Rollout, Floats]:
        """The same as a rollout, and the returns of its episodes."""
        model = self.simulator.model
        teams, rows = model.team_states, np.searchsorted(model.active, model.team_states)
        actions = flows.actions if len(rows) == len(model.active) else flows.actions[:, :, rows]
        seen = {"crowd": flows.crowd, "next_crowd": flows.next_crowd, "sizes": total(actions), "actions": actions}
        seen |= {"next_actions": actions, "served": flows.served, "unserved": flows.unserved}
        record: dict[str, Any] = {}
        for name, x in seen.items():
            nothing = (*flows.cut.shape, 0, *x.shape[3:])
            record[name] = x.astype(self.dtype, copy=False) if name in self.kept else np.zeros(nothing, self.dtype)
        self._add(flows.earned.sum(2), flows.cut, ended)
        self.counts, self.clock = flows.final, self.clock + len(flows.cut)
        nodes = model.network.node_of[teams]
        record |= {"rewards": flows.earned, "cut": flows.cut, "team_nodes": nodes, "population": model.population}
        return Rollout(**record, traces=flows.traces), np.concatenate(ended) if ended else np.empty(0)

    def _add(self, earned: Floats, cut: np.ndarray[Any, np.dtype[np.bool_]], ended: list[Floats]) -> None:
        """Returns of running episodes grow by ``earned (T, B)``; some end after steps that are ``cut (T, B)``."""
        worth = earned * self.keep ** np.arange(len(earned))[:, None] if self.law == "fragments" else earned
        start = 0
        for last in np.flatnonzero(cut.any(1)).tolist():
            self.running = self.running + worth[start : last + 1].sum(0)
            self._end(cut[last], ended)
            start = last + 1
        self.running = self.running + worth[start:].sum(0)

    def _end(self, cut: Any, ended: list[Floats]) -> None:
        """Episodes end in the worlds that are ``cut (B,)``."""
        if cut.any():
            if self.keep == self.gamma:
                ended.append(self.running[cut])
            self.running[cut] = 0.0

    def _restart(self, counts: Ints, ended: list[Floats]) -> Any:
        """Restart each world with probability 1 - gamma, all at the end of an episode; move on to ``counts``."""
        episode = self.simulator.model.episode_steps
        if self.law != "fragments" and episode is not None and (self.clock + 1) % episode == 0:
            return self._restart_some(counts, 0.0, ended)
        if self.law == "restart":
            return self._restart_some(counts, self.keep, ended)
        self.counts = counts
        return np.zeros(self.worlds, bool)

    def _restart_some(self, counts: Ints, keep: float, ended: list[Floats]) -> Any:
        """Keep each world with this probability, restart the others; returns ``(B,)`` which."""
        cut = self.rng.random(self.worlds) >= keep
        self.counts = counts
        if cut.any():
            self.counts = counts.copy()
            self.counts[cut] = self.simulator.reset(self.rng, int(cut.sum()))
            self._end(cut, ended)
        return cut

    def get_state(self) -> dict[str, Any]:
        return {"counts": self.counts, "running": self.running, "clock": np.array(self.clock)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.counts, self.running = state["counts"], state["running"]
        self.clock = int(state["clock"])


def visitation_pairs(
    simulator: Simulator, policy: Policy, gamma: float, samples: int, rng: np.random.Generator
) -> tuple[Ints, Ints, int]:
    """Pairs (counts ``(B, S)``, action counts ``(B, S', A)``) from the discounted visitation sigma (12).

    One pair per run, at time T with P(T = t) = (1 - gamma) gamma^t; numpy's geometric law counts from 1.

    Returns:
        counts, action counts, and how many transitions the runs took.
    """
    stop = rng.geometric(1 - gamma, samples) - 1
    counts = simulator.reset(rng, samples)
    pairs = np.empty_like(counts)
    actions = np.zeros((samples, len(simulator.model.team_states), simulator.model.num_actions), np.int64)
    running = np.arange(samples)
    for t in range(int(stop.max()) + 1):
        drawn = policy.sample(counts, t, rng)
        here = stop[running] == t
        pairs[running[here]], actions[running[here]] = counts[here], drawn[here]
        counts, drawn, running = counts[~here], drawn[~here], running[~here]
        if len(running):
            counts, _ = simulator.at(t).step(counts, drawn, rng)
    return pairs, actions, int(stop.sum())
