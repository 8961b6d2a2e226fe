"""B worlds of the team or the agent view side by side, as arrays: PettingZoo's dicts and all adapters rest on this.

A *world* is one copy of the simulation, an *actor* is who decides in it: one of its K teams or agents. With one world
it is exactly the PettingZoo environment.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints, Single
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Simulator
from mfnet_envs.views._joint import Action, Flow, TeamGame, payees, simulator_of
from mfnet_envs.views._observe import Encoding, Observer
from mfnet_envs.views.worlds import Stepped, Worlds
from mfnet_envs.words import fits, one_of, shown, whole

ACTOR_BYTES = 100  # a name, a state, an action and a reward

__all__ = ["AgentsBatch", "Batch", "Stepped", "TeamsBatch"]


class Batch(Worlds):
    """Base of :class:`TeamsBatch` and :class:`AgentsBatch`: K actors in each world.

    Attributes:
        observer: what of the model is seen.
        num_actors: K.
        actors: their K names, as in PettingZoo; prefix: what these begin with.
        single_observation_space, single_action_space: of one actor.
        states: ``(B, K)``, the state of every actor.
    """

    states: Ints

    def __init__(
        self,
        simulator: Simulator,
        prefix: str,
        num_actors: int,
        action_space: gym.Space[Any],
        observer: Observer,
        num_worlds: int,
        max_cycles: int | None,
    ) -> None:
        what = f"{shown(num_worlds)} worlds of {num_actors:,} {prefix}s that see {observer.size:,} numbers each"
        fits(what, whole("num_worlds", num_worlds), num_actors, observer.size + ACTOR_BYTES // 4, itemsize=4)
        super().__init__(simulator, num_worlds, max_cycles)
        self.observer, self.prefix, self.num_actors = observer, prefix, num_actors
        self.actors = [f"{prefix}_{i}" for i in range(num_actors)]
        self.single_observation_space = gym.spaces.Box(0.0, 1.0, (observer.size,), np.float32)
        self.single_action_space = action_space
        self._legal = self.model.legal.astype(np.int8)

    def observe(self) -> Single:
        """What everybody sees now, ``(B, K, size)``."""
        return self.observer(self.counts, self.states, self.clock)

    def masks(self) -> NDArray[np.int8]:
        """Legal actions ``(B, K, A)``, 1 or 0."""
        return self._legal[self.states]


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
        backend: Any = None,
    ) -> None:
        self.game = TeamGame(model, action, flow, logit_scale, backend)
        teams, width = self.game.shape
        observer = Observer(model, observe, state_encoding)
        space = self.game.space(width)
        super().__init__(self.game.simulator, "team", teams, space, observer, num_worlds, max_cycles)
        self.states = np.broadcast_to(model.team_states, (self.num_worlds, teams))
        self._cell = payees(model) + teams * np.arange(self.num_worlds)[:, None]
        self._actions: Ints = np.zeros((self.num_worlds, *self.game.shape), np.int64)

    def checked(self, actions: Any, leading: tuple[int, ...]) -> NDArray[Any]:
        return self.game.checked(actions, (*leading, *self.game.shape))

    def chosen(self, world: int = 0) -> Ints:
        chosen: Ints = self._actions[world]
        return chosen

    def mean_reward(self, rewards: Floats) -> Floats:
        mean: Floats = rewards.sum(1)
        return mean

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
        backend: Any = None,
    ) -> None:
        one_of("reward", reward, ("individual", "mean"))
        self.reward = reward
        space: gym.Space[Any] = gym.spaces.Discrete(model.num_actions)
        simulator, observer = simulator_of(model, backend), Observer(model, observe, state_encoding)
        super().__init__(simulator, "agent", model.population, space, observer, num_worlds, max_cycles)
        self.states = np.zeros((self.num_worlds, model.population), np.int64)
        self._last = self.states, self.states

    def checked(self, actions: Any, leading: tuple[int, ...]) -> NDArray[Any]:
        shape = (*leading, self.num_actors)
        try:
            array = np.asarray(actions)
        except Exception:  # ragged lists, and whatever somebody's __array__ raises
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

    def chosen(self, world: int = 0) -> Ints:
        states, actions = self._last
        counts: Ints = np.zeros(self.model.legal.shape, np.int64)
        np.add.at(counts, (states[world], actions[world]), 1)
        return counts

    def mean_reward(self, rewards: Floats) -> Floats:
        mean: Floats = rewards.mean(1)
        return mean

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
