"""Action masks inside the observation, for libraries that look for them there (Tianshou, RLlib's example, AgileRL)."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from pettingzoo import ParallelEnv  # type: ignore[import-untyped]
from pettingzoo.utils.wrappers import BaseParallelWrapper  # type: ignore[import-untyped]

Masked = dict[str, dict[str, Any]]


class MaskInObservation(BaseParallelWrapper):
    """Moves ``info["action_mask"]`` into the observation.

    An observation becomes ``{key: what it was, "action_mask": (n,) int8}``, its space
    ``Dict({key: the old space, "action_mask": Box(0, 1, (n,), int8)})``; n is the number of actions of a Discrete, the
    length of a flat Box. The infos no longer hold the mask, so it is told once. The array doors ``reset_array`` and
    ``step_array`` stay as they are.

    Args:
        env: a PettingZoo parallel environment whose infos hold ``action_mask`` at reset and at every step.
        key: "observation" as in PettingZoo and Tianshou; RLlib's example module wants "observations".

    Raises:
        ValueError: a key that is the mask's own, or an action space that is neither Discrete nor a flat Box.
    """

    def __init__(self, env: ParallelEnv[str, Any, Any], key: str = "observation") -> None:
        if key == "action_mask":
            raise ValueError("key names the observation beside the mask, so it cannot be 'action_mask'")
        super().__init__(env)
        self.key = key
        self.observation_spaces: dict[str, gym.spaces.Dict] = {
            agent: gym.spaces.Dict(
                {
                    key: env.observation_space(agent),
                    "action_mask": gym.spaces.Box(0, 1, (_width(env.action_space(agent)),), np.int8),
                }
            )
            for agent in env.possible_agents
        }

    def observation_space(self, agent: str) -> gym.spaces.Dict:
        return self.observation_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Masked, Masked]:
        return self._moved(*self.env.reset(seed=seed, options=options))

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[Masked, dict[str, float], dict[str, bool], dict[str, bool], Masked]:
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        observations, infos = self._moved(observations, infos)
        return observations, rewards, terminated, truncated, infos

    def _moved(self, observations: dict[str, Any], infos: Masked) -> tuple[Masked, Masked]:
        masked = {
            agent: {self.key: seen, "action_mask": infos[agent]["action_mask"]} for agent, seen in observations.items()
        }
        rest = {
            agent: {name: value for name, value in info.items() if name != "action_mask"}
            for agent, info in infos.items()
        }
        return masked, rest


def _width(space: gym.Space[Any]) -> int:
    if isinstance(space, gym.spaces.Discrete):
        return int(space.n)
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return space.shape[0]
    raise ValueError(f"only a Discrete or a flat Box of actions can be masked, not {space}")
