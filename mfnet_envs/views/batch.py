"""B worlds of the team or the agent view side by side, as arrays: PettingZoo's dicts and all adapters rest on this.

A *world* is one copy of the simulation, an *actor* is who decides in it: one of its K teams or agents. One generator
drives all worlds in vectorised draws: a world's path depends on the seed *and* on how many worlds there are; with one
world it is exactly that of the PettingZoo environment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from operator import index
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.simulator import Simulator
from mfnet_envs.views._joint import Action, Flow, TeamGame, horizon_of, need_reset, one_of, payees, positive
from mfnet_envs.views._observe import Encoding, Observer, Single


class Stepped(NamedTuple):
    """One step of B worlds with K actors each.

    Attributes:
        observations: ``(B, K, size)`` float32.
        rewards: ``(B, K)``.
        truncated: whether the horizon is reached, for all worlds and actors together; nobody ever terminates.
        served: ``(B, K)``: agents: 1 for who was served; teams: the share of the population served in their states.
    """

    observations: Single
    rewards: Floats
    truncated: bool
    served: Floats


class Batch(ABC):
    """Base of :class:`TeamsBatch` and :class:`AgentsBatch`. Every call returns fresh arrays.

    Attributes:
        model, observer: what is played and what of it is seen.
        num_worlds, num_actors: B and K.
        actors: their K names, as in PettingZoo.
        max_cycles: the horizon: after so many steps everybody is truncated.
        single_observation_space, single_action_space: of one actor.
        counts: ``(B, S)`` agents in each state now; states: ``(B, K)``, the state of every actor.
        clock: steps since the last reset; -1 before the first.
    """

    states: Ints

    def __init__(
        self,
        model: LocalModel,
        prefix: str,
        num_actors: int,
        action_space: gym.Space[Any],
        observer: Observer,
        num_worlds: int,
        max_cycles: int | None,
    ) -> None:
        self.model, self.observer = model, observer
        self.simulator = Simulator(model)
        self.num_worlds, self.num_actors = positive("num_worlds", num_worlds), num_actors
        self.prefix = prefix
        self.actors = [f"{prefix}_{i}" for i in range(num_actors)]
        self.max_cycles = horizon_of(model, max_cycles, "max_cycles")
        self.single_observation_space = gym.spaces.Box(0.0, 1.0, (observer.size,), np.float32)
        self.single_action_space = action_space
        self.counts: Ints = np.zeros((self.num_worlds, model.network.num_states), np.int64)
        self.clock = -1
        self._legal = model.legal.astype(np.int8)
        self._rng, _ = seeding.np_random()

    @property
    def is_over(self) -> bool:
        """Whether a reset is due: before the first, and at the horizon."""
        return not 0 <= self.clock < self.max_cycles

    def reset(self, seed: int | None = None) -> Single:
        """Start an episode in all worlds: observations ``(B, K, size)``. Without a seed the random stream goes on."""
        if seed is not None:
            self._rng, _ = seeding.np_random(index(seed))
        self.counts = self.simulator.reset(self._rng, self.num_worlds)
        self._begin(self._rng)
        self.clock = 0
        return self.observe()

    def step(self, actions: Any) -> Stepped:
        """One step of all worlds from actions ``(B, K)`` of agents, ``(B, K, A)`` of teams.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset and after the end of an episode.
            ValueError: actions of the wrong shape, NaN or out of range.
        """
        return self.play(self.checked(actions, (self.num_worlds,)))

    def play(self, actions: NDArray[Any]) -> Stepped:
        """:meth:`step` with actions that :meth:`checked` returned."""
        if self.is_over:
            raise need_reset(self.clock >= 0)
        rewards, served = self._advance(actions, self._rng)
        self.clock += 1
        return Stepped(self.observe(), rewards, self.is_over, served)

    def observe(self) -> Single:
        """What everybody sees now, ``(B, K, size)``."""
        return self.observer(self.counts, self.states, self.clock)

    def masks(self) -> NDArray[np.int8]:
        """Legal actions ``(B, K, A)``, 1 or 0."""
        return self._legal[self.states]

    def state(self) -> Single:
        """mu of every world, ``(B, S)``."""
        return self.observer.shares(self.counts)

    @abstractmethod
    def checked(self, actions: Any, leading: tuple[int, ...]) -> NDArray[Any]:
        """``actions (*leading, K, ...)`` as an array ``(B, K, ...)``, or a ValueError that says what is wrong."""

    @abstractmethod
    def chosen(self) -> Ints:
        """Agents that chose each action in the last step of the first world, ``(S, A)`` or ``(T, A)``."""

    def _begin(self, rng: np.random.Generator) -> None:  # noqa: B027 (teams have nothing more to draw)
        """Draw what the counts do not tell."""

    @abstractmethod
    def _advance(self, actions: NDArray[Any], rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Move the worlds: rewards and served, ``(B, K)`` each."""


class TeamsBatch(Batch):
    """The team view of B worlds; options, observations, actions and rewards as in
    :class:`~mfnet_envs.views.teams.TeamsEnv`."""

    def __init__(
        self,
        model: LocalModel,
        num_worlds: int = 1,
        *,
        observe: str | int = "own",
        state_encoding: Encoding | None = "none",
        action: Action = "logits",
        flow: Flow | None = None,
        logit_scale: float = 5.0,
        max_cycles: int | None = None,
    ) -> None:
        self.game = TeamGame(model, action, flow, logit_scale)
        teams, width = self.game.shape
        observer = Observer(model, observe, state_encoding)
        super().__init__(model, "team", teams, self.game.space(width), observer, num_worlds, max_cycles)
        self.states = np.broadcast_to(model.team_states, (self.num_worlds, teams))
        self._cell = payees(model) + teams * np.arange(self.num_worlds)[:, None]
        self._actions: Ints = np.zeros((self.num_worlds, *self.game.shape), np.int64)

    def checked(self, actions: Any, leading: tuple[int, ...]) -> NDArray[Any]:
        return self.game.checked(actions, (*leading, *self.game.shape))

    def chosen(self) -> Ints:
        chosen: Ints = self._actions[0]
        return chosen

    def _advance(self, actions: NDArray[Any], rng: np.random.Generator) -> tuple[Floats, Floats]:
        played = self.game.step(self.counts, actions, rng, self.clock)
        self.counts, self._actions = played.counts, played.actions
        return self._paid(played.rewards), self._paid(played.served / self.model.population)

    def _paid(self, earned: Floats) -> Floats:
        """What the states earned ``(B, S)``, by team ``(B, T)``."""
        shape = self.num_worlds, self.num_actors
        paid = np.bincount(self._cell.reshape(-1), earned.reshape(-1), minlength=shape[0] * shape[1])
        return paid.astype(np.float64).reshape(shape)


class AgentsBatch(Batch):
    """The agent view of B worlds; options, observations, actions and rewards as in
    :class:`~mfnet_envs.views.agents.AgentsEnv`."""

    def __init__(
        self,
        model: LocalModel,
        num_worlds: int = 1,
        *,
        observe: str | int = "own",
        state_encoding: Encoding | None = None,
        reward: Literal["individual", "mean"] = "individual",
        max_cycles: int | None = None,
    ) -> None:
        one_of("reward", reward, ("individual", "mean"))
        self.reward = reward
        space: gym.Space[Any] = gym.spaces.Discrete(model.num_actions)
        observer = Observer(model, observe, state_encoding)
        super().__init__(model, "agent", model.population, space, observer, num_worlds, max_cycles)
        self.states = np.zeros((self.num_worlds, model.population), np.int64)
        self._last = self.states, self.states

    def checked(self, actions: Any, leading: tuple[int, ...]) -> NDArray[Any]:
        shape = (*leading, self.num_actors)
        try:
            array = np.asarray(actions)
        except ValueError:
            array = np.empty(0)
        a = self.model.num_actions
        if array.dtype.kind not in "iu" or array.shape != shape:
            what = array.dtype if array.shape == shape else f"shape {array.shape}"
            wanted = self.num_actors if not leading else f"{leading} x {self.num_actors}"
            raise ValueError(f"actions must be {wanted} whole numbers in 0..{a - 1}, one per agent, not {what}")
        array = array.reshape(-1, self.num_actors)
        outside = (array < 0) | (array >= a)
        if outside.any():
            world, i = np.argwhere(outside)[0]
            raise ValueError(f"the action of agent_{i} is {array[world, i]}; it must be a whole number in 0..{a - 1}")
        return array.astype(np.int64, copy=False)

    def chosen(self) -> Ints:
        states, actions = self._last
        s, a = self.model.legal.shape
        counts: Ints = np.zeros((s, a), np.int64)
        np.add.at(counts, (states[0], actions[0]), 1)
        return counts

    def _begin(self, rng: np.random.Generator) -> None:
        # Independent agents are the counts in random order; the counts are those of the other views at this seed.
        sites = np.arange(self.counts.shape[1])
        self.states = np.stack([rng.permutation(np.repeat(sites, counts)) for counts in self.counts])

    def _advance(self, actions: NDArray[Any], rng: np.random.Generator) -> tuple[Floats, Floats]:
        self._last = self.states, actions
        played = self.simulator.at(self.clock).transition_agents(self.states, actions, rng)
        self.states, s = played.next_states, self.counts.shape[1]
        cells = self.states + s * np.arange(self.num_worlds)[:, None]
        self.counts = np.bincount(cells.reshape(-1), minlength=self.counts.size).reshape(self.counts.shape)
        rewards = played.rewards
        if self.reward == "mean":
            rewards = np.repeat(rewards.mean(1, keepdims=True), self.num_actors, 1)
        return rewards, played.served.astype(float)
