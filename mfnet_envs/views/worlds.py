"""B worlds side by side: one clock, one generator, one horizon. Every view is built on them.

One generator drives all worlds in vectorised draws: a world's path depends on the seed *and* on how many worlds there
are. What is asked of them and what they show, the views add.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints, Single
from mfnet_envs.drawing.scene import Scene
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Simulator, step_bytes
from mfnet_envs.views._observe import shares
from mfnet_envs.words import fits, is_whole, shown, whole

ACTION_BYTES = 48  # of a team's action, beside what a step fills: as given, as checked, as a policy, and who chose it


class Stepped(NamedTuple):
    """One step of B worlds; with K actors in each, every array has an axis for them after the first.

    Attributes:
        observations: ``(B, K, size)`` float32; central: ``(B, size)``.
        rewards: ``(B, K)``; central: ``(B,)``.
        truncated: whether the horizon is reached, for all worlds and actors together; nobody ever terminates.
        served: as ``rewards``: agents: 1 for who was served; teams: the share of the population served in their states;
            central: the share served in the world.
    """

    observations: Single
    rewards: Floats
    truncated: bool
    served: Floats


class Worlds(ABC):
    """Base of the batches. Every call returns fresh arrays.

    Attributes:
        model, simulator: what is played.
        num_worlds: B.
        max_cycles: the horizon: after so many steps everybody is truncated.
        counts: ``(B, S)`` agents in each state now.
        clock: steps since all worlds were last reset; -1 before the first reset.
    """

    def __init__(self, simulator: Simulator, num_worlds: int, max_cycles: int | None) -> None:
        self.model, self.simulator = simulator.model, simulator
        self.num_worlds = whole("num_worlds", num_worlds)
        what = f"{shown(num_worlds)} worlds of {self.model.network.num_states:,} states"
        fits(what, self.num_worlds, itemsize=world_bytes(self.model))
        self.max_cycles = horizon_of(self.model, max_cycles, "max_cycles")
        self.counts: Ints = np.zeros((self.num_worlds, self.model.network.num_states), np.int64)
        self.clock = -1
        self._rng: np.random.Generator | None = None
        self._before: Ints | None = None  # counts before the last step
        self._mean: Floats = np.zeros(self.num_worlds)  # reward of an agent in it

    @property
    def rng(self) -> np.random.Generator:
        """The stream of all worlds; begun when first needed, so that copies made before do not share it."""
        if self._rng is None:
            self._rng, _ = seeding.np_random()
        return self._rng

    @rng.setter
    def rng(self, stream: np.random.Generator) -> None:
        self._rng = stream

    @property
    def is_over(self) -> bool:
        """Whether a reset is due: before the first, and at the horizon."""
        return not 0 <= self.clock < self.max_cycles

    def reset(self, seed: int | None = None) -> Single:
        """Start an episode in all worlds: observations. Without a seed the random stream goes on.

        Raises:
            ValueError: a seed that is no non-negative integer.
        """
        if seed is not None:
            self.rng, _ = seeding.np_random(checked_seed(seed))
        self.counts = self.simulator.reset(self.rng, self.num_worlds)
        self._begin(self.rng)
        self.clock, self._before = 0, None
        return self.observe()

    def step(self, actions: Any, leading: tuple[int, ...] | None = None) -> Stepped:
        """One step of all worlds from actions ``(B, K)`` of agents, ``(B, K, A)`` of teams, ``(B, T * A)`` of planners.

        Args:
            leading: ``()`` for the actions of one world without its axis.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset and after the end of an episode.
            ValueError: actions of the wrong shape, NaN or out of range.
        """
        if self.is_over:
            raise need_reset(self.clock >= 0)
        checked, before = self.checked(actions, (self.num_worlds,) if leading is None else leading), self.counts
        rewards, served = self._advance(checked, self.rng)
        self.clock, self._before, self._mean = self.clock + 1, before, self.mean_reward(rewards)
        return Stepped(self.observe(), rewards, self.is_over, served)

    def state(self) -> Single:
        """mu of every world, ``(B, S)``."""
        return shares(self.model, self.counts)

    def age(self, world: int) -> int:
        """Steps since the world's reset."""
        return max(0, self.clock)

    def scene(self, world: int = 0) -> Scene:
        """The world's last step, to be drawn."""
        if self._before is None:
            return Scene(self.counts[world], step=self.age(world))
        mean = float(self._mean[world])
        return Scene(self.counts[world], self._before[world], self.chosen(world), self.age(world), mean)

    @abstractmethod
    def observe(self) -> Single:
        """What is seen now; a fresh array."""

    @abstractmethod
    def checked(self, actions: Any, leading: tuple[int, ...]) -> NDArray[Any]:
        """``actions (*leading, ...)`` as an array ``(B, ...)``, or a ValueError that says what is wrong."""

    @abstractmethod
    def chosen(self, world: int = 0) -> Ints:
        """Agents that chose each action in the last step of a world, ``(S, A)`` or ``(T, A)``."""

    @abstractmethod
    def mean_reward(self, rewards: Floats) -> Floats:
        """``(B,)``: the mean reward of an agent, from what :meth:`step` paid."""

    def _begin(self, rng: np.random.Generator) -> None:  # noqa: B027 (most have nothing more to draw)
        """Draw what the counts do not tell."""

    @abstractmethod
    def _advance(self, actions: NDArray[Any], rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Move the worlds: rewards and served, as in :class:`Stepped`."""


def world_bytes(model: LocalModel) -> int:
    """What a world of a view fills in a step, in bytes: about, and rather less than more."""
    return ACTION_BYTES * len(model.team_states) * model.num_actions + step_bytes(model)


def need_reset(started: bool) -> gym.error.ResetNeeded:
    """What a step says before the first reset and after the end."""
    why = "the episode is over" if started else "the environment has not been reset"
    return gym.error.ResetNeeded(f"{why}: call reset() before step()")


def horizon_of(model: LocalModel, steps: int | None, name: str) -> int:
    """The horizon: as asked, else the scenario's evaluation steps."""
    return model.evaluation[0] if steps is None else whole(name, steps)


def checked_seed(seed: Any) -> int:
    """``seed``, or a sentence why not."""
    if not is_whole(seed):
        raise ValueError(f"seed must be a non-negative integer or None, not {shown(seed)}")
    return int(seed)
