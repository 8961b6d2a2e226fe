"""Worlds played agent by agent, for learners that are individuals: who was where, did what, was paid what.

Costs O(agents) a step, in arrays; the samples are those of ``sampling.py`` with identities kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator


class Lives(NamedTuple):
    """T steps of N agents in B worlds.

    Attributes:
        counts, next_counts: ``(T, B, S)`` before each step, and at its true successor.
        states, actions, next_states: ``(T, B, N)``; rewards: ``(T, B, N)`` each agent's own, (1).
        cut: ``(T, B)`` the world was restarted after this step; clock: ``(T,)``.
        returns: ``(episodes,)`` mean over agents, of the episodes that a restart ended.
    """

    counts: Ints
    next_counts: Ints
    states: Ints
    actions: Ints
    next_states: Ints
    rewards: Floats
    cut: Bools
    clock: Ints
    returns: Floats


class Crew:
    """B worlds of named agents that are stepped on; restarted with probability 1 - keep after a step.

    Attributes:
        states: ``(B, N)``, where they stand; with ``running``, ``clock`` and ``rng`` all there is to keep.
    """

    def __init__(self, simulator: Simulator, worlds: int, keep: float, rng: np.random.Generator) -> None:
        self.simulator, self.keep, self.rng = simulator, keep, rng
        self.states = self._begin(worlds)
        self.running: Floats = np.zeros(worlds)
        self.clock = 0

    def _begin(self, worlds: int) -> Ints:
        """Agents i.i.d. from ``model.initial``, ``(worlds, N)``."""
        model = self.simulator.model
        return self.rng.choice(len(model.initial), (worlds, model.population), p=model.initial)

    def play(self, policy: Policy, steps: int) -> Lives:
        """``steps`` joint steps of every world."""
        record: dict[str, list[Any]] = {name: [] for name in Lives._fields}
        for _ in range(steps):
            states, counts = self.states, self._counts(self.states)
            actions = _drawn(policy.individual(counts, self.clock), states, self.rng)
            step = self.simulator.at(self.clock).transition_agents(states, actions, self.rng)
            self.running += step.rewards.mean(1)
            cut = self.rng.random(len(states)) >= self.keep
            record["returns"].append(self.running[cut])
            self.running = np.where(cut, 0.0, self.running)
            self.states = step.next_states.copy()
            self.states[cut] = self._begin(int(cut.sum()))
            seen = {
                "counts": counts, "next_counts": self._counts(step.next_states), "states": states, "actions": actions,
                "next_states": step.next_states, "rewards": step.rewards, "cut": cut, "clock": self.clock,
            }  # fmt: skip
            for name, value in seen.items():
                record[name].append(value)
            self.clock += 1
        returns = np.concatenate(record.pop("returns"))
        return Lives(**{name: np.stack(values) for name, values in record.items()}, returns=returns)

    def _counts(self, states: Ints) -> Ints:
        """``(B, N)`` -> ``(B, S)``."""
        s = self.simulator.model.network.num_states
        cells = np.arange(len(states))[:, None] * s + states
        return np.bincount(cells.reshape(-1), minlength=len(states) * s).reshape(-1, s)

    def get_state(self) -> dict[str, Any]:
        return {"states": self.states, "running": self.running, "clock": np.array(self.clock)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.states, self.running, self.clock = state["states"], state["running"], int(state["clock"])


def _drawn(pi: Floats, states: Ints, rng: np.random.Generator) -> Ints:
    """Every agent's action, ``(B, N)``, from ``pi (B, S, A)``: where a uniform number falls among its sums."""
    sums = pi.cumsum(2)
    sums /= sums[..., -1:]
    mine = sums[np.arange(len(states))[:, None], states]
    drawn: Ints = (rng.random(states.shape)[..., None] >= mine).sum(2)
    return drawn
