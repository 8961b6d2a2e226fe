"""The agent view: every one of the N agents is a PettingZoo agent."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.simulator import Simulator
from mfnet_envs.views._joint import one_of
from mfnet_envs.views._observe import Encoding, Observer, Single
from mfnet_envs.views._parallel import NetworkParallelEnv


class AgentsEnv(NetworkParallelEnv):
    """PettingZoo parallel environment of the agents ``agent_0``, ..., ``agent_{N-1}``.

    =========== ======================================================================================================
    observation code of the own state, then mu(s): :class:`~mfnet_envs.views._observe.Observer`; at its end the time of
                day, where the model reads a clock
    action      Discrete(A); an illegal action is played as the first legal one (*stay* where there is one)
    reward      r(s, mu(N_s), a), equation (1), or with ``reward="mean"`` the mean of it over all agents, for everybody
    info        ``action_mask`` (A,) int8; ``served``: 1.0 for an agent that was served in this step, else 0.0
    =========== ======================================================================================================

    Attributes:
        states: ``(N,)`` the state of each agent now.
    """

    def __init__(
        self,
        model: LocalModel,
        *,
        observe: str | int = "own",
        state_encoding: Encoding | None = None,
        reward: Literal["individual", "mean"] = "individual",
        max_cycles: int | None = None,
        render_mode: str | None = None,
        name: str = "mfnet_agents_v0",
    ) -> None:
        one_of("reward", reward, ("individual", "mean"))
        self.reward = reward
        self.simulator = Simulator(model)
        self._legal: NDArray[np.int8] = model.legal.astype(np.int8)
        spaces = [gym.spaces.Discrete(model.num_actions) for _ in range(model.population)]
        observer = Observer(model, observe, state_encoding)
        super().__init__(model, "agent", observer, spaces, max_cycles, render_mode, name)
        self.states: Ints = np.zeros(model.population, np.int64)
        self._last = self.states, self.states

    def _start(self, rng: np.random.Generator) -> None:
        # Independent agents are the counts in random order; the counts are those of the other views at this seed.
        self.counts = self.simulator.reset(rng, 1)[0]
        self.states = rng.permutation(np.repeat(np.arange(len(self.counts)), self.counts))

    def _play(self, actions: Any, rng: np.random.Generator) -> tuple[Floats, Floats, float]:
        chosen = self._checked(actions)
        before = self.states
        self._last = before, chosen
        played = self.simulator.at(self._clock).transition_agents(before[None], chosen[None], rng)
        self.states, rewards = played.next_states[0], played.rewards
        self.counts = np.bincount(self.states, minlength=len(self.counts))
        mean = float(rewards.mean())
        paid = rewards[0] if self.reward == "individual" else np.full(len(before), mean)
        return paid, played.served[0].astype(float), mean

    def _chosen(self) -> Ints:
        states, actions = self._last
        s, a = self.model.legal.shape
        counts: Ints = np.bincount(states * a + actions, minlength=s * a).reshape(s, a)
        return counts

    def _checked(self, actions: Any) -> Ints:
        """``(N,)`` ints in 0..A-1."""
        try:
            array = np.asarray(actions)
        except ValueError:
            array = np.empty(0)
        n, a = self.model.population, self.model.num_actions
        if array.dtype.kind not in "iu" or array.shape != (n,):
            what = array.dtype if array.shape == (n,) else f"shape {array.shape}"
            raise ValueError(f"actions must be {n} whole numbers in 0..{a - 1}, one per agent, not {what}")
        outside = (array < 0) | (array >= a)
        if outside.any():
            i = int(outside.argmax())
            raise ValueError(f"the action of agent_{i} is {array[i]}; it must be a whole number in 0..{a - 1}")
        return array.astype(np.int64, copy=False)

    def _observe(self) -> Single:
        return self.observer(self.counts, self.states, self._clock)

    def _masks(self) -> NDArray[np.int8]:
        return self._legal[self.states]
