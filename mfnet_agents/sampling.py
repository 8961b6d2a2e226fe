"""Where samples come from, and the one border between numpy and torch.

Two laws (reading 10). "restart": the chain gamma P + (1 - gamma) P_0, whose stationary law is exactly the
discounted visitation sigma of (12); a step's true successor is kept for bootstrapping before a world is restarted.
"stationary": the plain chain, whose long-run law is nu; what is optimised there is the long-run average.
Where the model reads a clock, all worlds share one and it never stops: a world that is restarted starts at the hour it
is, so "restart" samples discounted returns from every hour of the turn alike, not from t = 0 alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.nets import DTYPE
from mfnet_envs.model import Floats
from mfnet_envs.network import Ints
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator

Law = Literal["restart", "stationary"]


@dataclass(frozen=True)
class Rollout:
    """T steps of B worlds, as numpy; ``tensor`` carries what the critics need over to torch.

    Attributes:
        crowd: ``(T, B, V, G)`` agents of each group before each step.
        next_crowd: ``(T, B, V, G)`` the same at the true successor.
        rewards: ``(T, B, V)`` team rewards summed over the layers of a node.
        sizes: ``(T, B, S')`` team sizes n; actions: ``(T, B, S', A)`` action counts, for the S' states with a choice.
        next_actions: ``(T, B, S', A)`` actions drawn at the true successor.
        served: ``(T, B, R)``, unserved: ``(T, B, R, A)`` flows of the active states (see ``Transition``).
        cut: ``(T, B)`` bool, the world was restarted after this step.
        team_nodes: ``(S',)`` node of each team; population: N.
    """

    crowd: Floats
    next_crowd: Floats
    rewards: Floats
    sizes: Ints
    actions: Ints
    next_actions: Ints
    served: Ints
    unserved: Ints
    cut: np.ndarray[Any, np.dtype[np.bool_]]
    team_nodes: Ints
    population: int

    @property
    def steps(self) -> int:
        return self.cut.size

    def groups(self, *, following: bool = False) -> Tensor:
        """mu of the groups, ``(L, V, G)``, L = T B samples in order of time, or of the true successors."""
        crowd = self.next_crowd if following else self.crowd
        return tensor(crowd.reshape(self.steps, *crowd.shape[2:]) / self.population)

    def action_shares(self, *, following: bool = False) -> Tensor:
        """mu h by action, ``(L, V, A)``, summed over the teams of a node."""
        actions = self.next_actions if following else self.actions
        flat = actions.reshape(self.steps, *actions.shape[2:])
        by_node = np.zeros((self.steps, self.crowd.shape[2], flat.shape[2]))
        nodes, first = np.unique(self.team_nodes, return_index=True)  # teams stand in node order
        by_node[:, nodes] = np.add.reduceat(flat, first, axis=1)
        return tensor(by_node / self.population)


def tensor(values: Any) -> Tensor:
    return torch.as_tensor(np.asarray(values, np.float64), dtype=DTYPE)


class Sampler:
    """B worlds that are stepped on, iteration after iteration.

    Attributes:
        counts: ``(B, S)``, where the worlds stand; with ``rng`` the whole state of the sampler.
    """

    def __init__(self, simulator: Simulator, law: Law, gamma: float, worlds: int, rng: np.random.Generator) -> None:
        self.simulator, self.law, self.gamma, self.worlds, self.rng = simulator, law, gamma, worlds, rng
        self.counts = simulator.reset(rng, worlds)
        self.running: Floats = np.zeros(worlds)
        self.clock = 0

    def rollout(self, policy: Policy, steps: int, *, successors_act: bool = False) -> tuple[Rollout, Floats]:
        """``steps`` joint steps of every world.

        Args:
            successors_act: also draw actions at the successors (the Q form needs h').

        Returns:
            the rollout, and the returns ``(episodes,)`` (mean over agents) of the episodes that a restart ended; their
            lengths are geometric, so the undiscounted sum is an unbiased sample of the discounted return.
        """
        model = self.simulator.model
        teams = model.team_states
        rows = np.searchsorted(model.active, teams)
        record: dict[str, list[Any]] = {name: [] for name in Rollout.__dataclass_fields__}
        ended: list[Floats] = []
        for _ in range(steps):
            step = policy.play(self.simulator.at(self.clock), self.counts, self.clock, self.rng)
            record["crowd"].append(self.simulator.crowd(self.counts))
            record["next_crowd"].append(self.simulator.crowd(step.next_counts))
            record["sizes"].append(self.counts[:, teams])
            record["actions"].append(step.actions[:, rows])
            if successors_act:
                record["next_actions"].append(policy.sample(step.next_counts, self.clock + 1, self.rng))
            rewards = step.team_rewards.reshape(self.worlds, model.network.num_nodes, -1).sum(2)
            record["rewards"].append(rewards)
            record["served"].append(step.served)
            record["unserved"].append(step.unserved)
            self.running += rewards.sum(1)
            cut = self._restart(step.next_counts, ended)
            record["cut"].append(cut)
            self.clock += 1
        record["next_actions"] = record["next_actions"] or record["actions"]
        arrays = {name: np.stack(values) for name, values in record.items() if values}
        rollout = Rollout(**arrays, team_nodes=model.network.node_of[teams], population=model.population)
        return rollout, np.concatenate(ended) if ended else np.empty(0)

    def _restart(self, counts: Ints, ended: list[Floats]) -> Any:
        """Restart each world with probability 1 - gamma; move on to ``counts``."""
        cut = np.zeros(self.worlds, bool)
        self.counts = counts
        if self.law == "restart":
            cut = self.rng.random(self.worlds) >= self.gamma
            if cut.any():
                self.counts = counts.copy()
                self.counts[cut] = self.simulator.reset(self.rng, int(cut.sum()))
                ended.append(self.running[cut])
                self.running[cut] = 0.0
        return cut

    def get_state(self) -> dict[str, Any]:
        return {"counts": self.counts, "running": self.running, "clock": np.array(self.clock)}

    def set_state(self, state: dict[str, Any]) -> None:
        if state["counts"].shape != self.counts.shape:
            raise ValueError(f"its worlds have shape {state['counts'].shape}, not {self.counts.shape}")
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
