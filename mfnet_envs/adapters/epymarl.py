"""EPyMARL: importing this module gives every scenario a Gymnasium id with Tuple spaces, ``MFNet-<Name>-tuple-v0``.

EPyMARL's ``gymma`` wrapper makes Gymnasium ids whose spaces are tuples with one entry per agent; the part before the
colon of ``env_args.key="mfnet_envs.adapters.epymarl:MFNet-Grid-tuple-v0"`` imports this module. A user's page is
docs/recipes/epymarl.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mfnet_envs.registration import parallel_env, scenarios

Rows = tuple[NDArray[np.float32], ...]


class TupleEnv(gym.Env[Rows, Sequence[int]]):
    """The agents view with tuples instead of dicts: agent i is entry i.

    Actions are N whole numbers, rewards a list of N floats, the end is one bool for all. gymma takes every action for
    possible, so an illegal one is played as the first legal one. EPyMARL adds up infos over episodes, so they hold
    numbers: ``served``, the share of the agents served in this step, and ``episode_limit``, whether ``max_cycles`` is
    reached, which tells EPyMARL's runners that the episode was cut and did not end. There is no ``state_size``: gymma's
    state is all observations in a row, whatever size an environment claims.

    Args:
        scenario: a scenario's id.
        max_cycles: truncate after so many steps; give gymma's ``time_limit``. Default: never.
        options: as in :func:`mfnet_envs.parallel_env` with ``view="agents"``.

    Attributes:
        n_agents: N.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}  # type: ignore[misc]

    def __init__(self, scenario: str, max_cycles: int = sys.maxsize, **options: Any) -> None:
        self.parallel = parallel_env(scenario, "agents", max_cycles=max_cycles, **options)
        agents = self.parallel.possible_agents
        self.n_agents, self.render_mode = len(agents), self.parallel.render_mode
        self.observation_space = gym.spaces.Tuple([self.parallel.observation_space(agent) for agent in agents])
        self.action_space = gym.spaces.Tuple([self.parallel.action_space(agent) for agent in agents])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Rows, dict[str, Any]]:
        super().reset(seed=seed)
        observations, _ = self.parallel.reset_array(seed)
        return tuple(observations), {"served": 0.0, "episode_limit": False}

    def step(self, action: Sequence[int]) -> tuple[Rows, list[float], bool, bool, dict[str, Any]]:  # type: ignore[override]
        observations, rewards, terminated, truncated, info = self.parallel.step_array(np.asarray(action))
        told = {"served": float(info["served"].mean()), "episode_limit": truncated}
        return tuple(observations), rewards.tolist(), terminated, truncated, told

    def render(self) -> Any:
        """The picture of the last step: ``(H, W, 3)`` uint8 or text."""
        return self.parallel.render()


def register(id: str) -> str:
    """Give a scenario of your own its Tuple id, which is returned: "Name-v0" becomes "Name-tuple-v0"."""
    name, _, version = id.rpartition("-v")
    tuple_id = f"{name}-tuple-v{version}"
    gym.register(  # the checker takes rewards that are lists for a mistake
        tuple_id, f"{__name__}:{TupleEnv.__name__}", disable_env_checker=True, kwargs={"scenario": id}
    )
    return tuple_id


for _id in scenarios():
    register(_id)
