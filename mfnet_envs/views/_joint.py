"""What the central, the vector and the team view share: one action per team moves B worlds.

The three views differ only in how they pack actions and observations. The draws happen here, in one order, so the same
seed and the same actions give the same counts in all of them, bit for bit.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints, array_of
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.positions import edge_index
from mfnet_envs.simulator import Simulator
from mfnet_envs.words import one_of, positive

Action = Literal["logits", "shares"]
Flow = Literal["sample", "round"]
SLACK = 1e-6  # how far outside its box an action may lie: rounding of float32


class Played(NamedTuple):
    """One joint step of B worlds.

    Attributes:
        counts: ``(B, S)`` after the step.
        actions: ``(B, T, A)`` agents that chose each action.
        rewards: ``(B, S)`` team rewards (7).
        served: ``(B, S)`` agents that took the quota branch: realised pick-ups, 0 without physical matching.
    """

    counts: Ints
    actions: Ints
    rewards: Floats
    served: Ints


class TeamGame:
    """Reads one action per team and plays it.

    Args:
        action: "logits": the policy is softmax(logit_scale * action) over the legal actions; "shares": the action
            itself, divided by its sum (all zero: uniform); what is on illegal actions is played as the first legal one.
        flow: "sample": every agent draws its action, the multinomial (5); "round": the shares are realised to within
            one agent (largest remainder). Default: "sample" for logits, "round" for shares.
        logit_scale: 5 makes the likeliest of two actions at most e^10 times as likely as the other.
        backend: of the simulator; None: numpy.

    Raises:
        ValueError: an unknown word, or a model in which no state has a choice.
    """

    def __init__(
        self,
        model: LocalModel,
        action: Action = "logits",
        flow: Flow | None = None,
        logit_scale: float = 5.0,
        backend: Any = None,
    ) -> None:
        one_of("action", action, ("logits", "shares"))
        self.flow: Flow = flow if flow is not None else ("sample" if action == "logits" else "round")
        one_of("flow", self.flow, ("sample", "round"))
        positive(logit_scale=logit_scale)
        if len(model.team_states) == 0:
            raise ValueError("no state of this model has more than one legal action, so there is nothing to control")
        self.model, self.simulator = model, simulator_of(model, backend)
        self.action, self.logit_scale = action, float(logit_scale)
        self.legal = model.legal[model.team_states]
        self.mask: NDArray[np.int8] = self.legal.astype(np.int8)
        self.low = -1.0 if action == "logits" else 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """(T, A): teams and actions."""
        return self.legal.shape[0], self.legal.shape[1]

    def space(self, *shape: int) -> MaskableBox:
        return MaskableBox(self.low, 1.0, shape, np.float32)

    def step(self, counts: Ints, actions: NDArray[np.float64], rng: np.random.Generator, t: int = 0) -> Played:
        """Play checked ``actions (B, T, A)`` from ``counts (B, S)`` at step t of the episode."""
        pi, simulator = self.policy(actions), self.simulator.at(t)
        if self.flow == "sample":
            result = simulator.play(counts, pi, rng)
        else:
            sizes = counts[:, self.model.team_states]
            result = simulator.transition(counts, largest_remainder(sizes, pi), rng)
        flows = result.actions[:, np.searchsorted(self.model.active, self.model.team_states)]
        served = np.zeros_like(counts)
        served[:, self.model.active] = result.served
        return Played(result.next_counts, flows, result.team_rewards, served)

    def policy(self, actions: Floats) -> Floats:
        """pi(. | s, mu(s)) of each team, ``(B, T, A)``."""
        if self.action == "logits":
            logits = np.where(self.legal, self.logit_scale * actions, -np.inf)
            weights = np.exp(logits - logits.max(-1, keepdims=True))
        else:
            weights = np.maximum(actions, 0.0)
            weights = np.where(weights.sum(-1, keepdims=True) > 0, weights, self.legal)
        shares: Floats = weights / weights.sum(-1, keepdims=True)
        return shares

    def checked(self, actions: Any, shape: tuple[int, ...]) -> Floats:
        """``actions`` as numbers of ``shape`` (which ends in T, A or in T * A), inside the box; ``(..., T, A)``."""
        array = numbers(actions)
        if array.shape != shape:
            teams, width = self.shape
            raise ValueError(f"actions must have shape {shape} ({teams} teams of {width} numbers), not {array.shape}")
        array = array.reshape(-1, *self.shape)
        inside = (array >= self.low - SLACK) & (array <= 1 + SLACK)  # False for NaN
        if not inside.all():
            _, team, a = np.argwhere(~inside)[0]
            value = array[:, team, a][~inside[:, team, a]][0]
            raise ValueError(
                f"entry {a} of the action of team_{team} is {value}; {self.action} must be numbers in [{self.low:g}, 1]"
            )
        return array


def simulator_of(model: LocalModel, backend: Any = None) -> Simulator:
    """The simulator of a view; ``backend`` as in :class:`~mfnet_envs.simulator.Simulator`."""
    return Simulator(model, backend=backend)


class MaskableBox(gym.spaces.Box):
    """A box whose ``sample`` takes an action mask, as Discrete's does: masked entries get the lowest value.

    PettingZoo's own tests and many users write ``space.sample(info["action_mask"])`` for every kind of space.
    """

    def sample(self, mask: Any = None, probability: Any = None) -> NDArray[Any]:
        drawn: NDArray[Any] = super().sample(probability=probability) if probability is not None else super().sample()
        return drawn if mask is None else np.where(mask, drawn, self.low).astype(self.dtype)


def largest_remainder(n: Ints, shares: Floats) -> Ints:
    """Integers ``(..., A)`` that sum to ``n (...)``, within one of ``n * shares``; ties go to the first action."""
    exact = n[..., None] * shares
    whole = np.floor(exact)
    left = n - whole.sum(-1).astype(np.int64)
    rank = np.argsort(np.argsort(whole - exact, axis=-1, kind="stable"), axis=-1, kind="stable")
    rounded: Ints = whole.astype(np.int64) + (rank < left[..., None])
    return rounded


def payees(model: LocalModel) -> Ints:
    """``(S,)``: the team that is paid what a state earns.

    A state with a choice is a team. What the others earn goes to the first team of their node, else of the nearest
    node that has one (several: the lowest index), so that the teams' rewards sum to those of all states.
    """
    network, teams = model.network, model.team_states
    first = np.full(network.num_nodes, len(teams))
    np.minimum.at(first, network.node_of[teams], np.arange(len(teams)))
    paid = nearest_label(network, first)[network.node_of]
    paid[teams] = np.arange(len(teams))
    return paid


def nearest_label(network: StateNetwork, label: Ints) -> Ints:
    """Spread labels ``(V,)`` to the nodes that have none (marked by a number larger than all labels)."""
    none = label.max() if len(label) else 0
    spread = label.copy()
    origin, target = edge_index(network)
    while (spread == none).any() and (spread < none).any():
        reached = spread.copy()
        np.minimum.at(reached, origin, spread[target])
        spread = np.where(spread == none, reached, spread)
    return spread


def numbers(values: Any) -> Floats:
    """``values`` as float64, or a sentence why not."""
    try:
        array: Floats = array_of("actions", values).astype(np.float64, copy=False)
    except ValueError:
        raise ValueError("actions must be an array of numbers, one row of equal length per team") from None
    return array
