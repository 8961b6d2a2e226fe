"""Tianshou: one policy for all agents (:class:`SharedPolicyVectorEnv`), or one each (:func:`make_env`).

For the central view nothing is needed: ``DummyVectorEnv([lambda: gymnasium.make(id)])``.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from pettingzoo.utils.conversions import parallel_to_aec  # type: ignore[import-untyped]
from pettingzoo.utils.wrappers import OrderEnforcingWrapper  # type: ignore[import-untyped]

from mfnet_envs.adapters import missing
from mfnet_envs.adapters.masked import MaskInObservation
from mfnet_envs.registration import batch_env, parallel_env

try:
    from tianshou.data import Batch
    from tianshou.env import BaseVectorEnv, PettingZooEnv
except ModuleNotFoundError as error:
    raise missing(error, "tianshou") from error

Ids = int | list[int] | NDArray[Any] | None
Step = tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def make_env(id: str, view: str = "agents", **options: Any) -> PettingZooEnv:
    """The turn-based environment for Tianshou's ``MultiAgent...Algorithm``, with masks where actions are Discrete.

    Its unit is the turn of one of the K agents: K turns are one step of the world, so it is for small populations. A
    transition goes from one agent's turn to the next agent's, and rewards come with the last turn of a round: an
    algorithm that looks one turn ahead pays nobody but the last agent, and values another agent's observation.
    Off-policy algorithms look one round ahead with ``n_step_return_horizon=K, gamma=gamma ** (1 / K)``. Agent i's
    values are then scaled by ``gamma ** ((K - 1 - i) / K)``, and in the last round of an episode, and in the newest of
    a buffer, all agents are valued at agent 0's observation. Generalised advantages (PPO) go from turn to turn and
    cannot be mended so: use :class:`SharedPolicyVectorEnv`.

    Args:
        id, view, options: as in :func:`mfnet_envs.parallel_env`.
    """
    env = parallel_env(id, view, **options)
    discrete = isinstance(env.action_space(env.possible_agents[0]), gym.spaces.Discrete)
    return PettingZooEnv(OrderEnforcingWrapper(parallel_to_aec(MaskInObservation(env) if discrete else env)))


class SharedPolicyVectorEnv(BaseVectorEnv):
    """Every agent (or team) of every world is one environment of this vector, and one policy plays them all.

    Transitions are whole steps of the world: each agent's own observation before and after, its own reward. Everybody
    is truncated together, nobody terminates: Tianshou's algorithms then bootstrap from the last observation.
    In the teams view one usually wants ``state_encoding="onehot"``, so that the policy knows which team it plays.

    All agents of a world move together, so every call steps or resets all environments: collect ``n_episode`` in
    multiples of ``len(env)``. Random collection (``random=True``) does not look at masks; an illegal action is played
    as the first legal one.

    Args:
        id, view, options: as in :func:`mfnet_envs.parallel_env`.
        num_worlds: copies on one random generator; environment ``w * K + i`` is agent i of the K in world w.
        mask: whether observations of the agents view are ``Batch(obs=(n, size) float32, mask=(n, A) bool)``, which the
            DQN family honours; if not, and in the teams view, they are ``(n, size)`` float32, as PPO and SAC want them.

    Raises:
        ValueError: num_worlds below 1; actions or resets for some agents only.
    """

    def __init__(self, id: str, view: str = "agents", num_worlds: int = 1, mask: bool = True, **options: Any) -> None:
        self.batch = batch = batch_env(id, view, num_worlds, **options)
        self.env_num = batch.num_worlds * batch.num_actors
        self.is_async = self.is_closed = False
        self.has_mask = mask and isinstance(batch.single_action_space, gym.spaces.Discrete)
        self._spaces: dict[str, list[gym.Space[Any]]] = {
            "observation_space": [batch.single_observation_space] * self.env_num,
            "action_space": [copy.deepcopy(batch.single_action_space) for _ in range(self.env_num)],
        }

    def get_env_attr(self, key: str, id: Ids = None) -> list[Any]:
        """The space of every environment; other attributes are those of ``batch``, common to all."""
        ids = self._wrap_id(id)
        if key in self._spaces:
            return [self._spaces[key][i] for i in ids]
        return [getattr(self.batch, key, None)] * len(ids)

    def set_env_attr(self, key: str, value: Any, id: Ids = None) -> None:
        """Not offered: all environments are one ``batch``."""
        raise NotImplementedError(f"the environments are one: set {key!r} on .batch")

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Reset everything with one seed for all worlds, and seed the spaces; returns ``[seed]``."""
        self.batch.reset(seed)
        for i, space in enumerate(self._spaces["action_space"]):
            space.seed(None if seed is None else seed + i)
        return [seed]

    def reset(self, env_id: Ids = None, *, seed: int | None = None, **_: Any) -> tuple[Any, NDArray[Any]]:
        """Start all worlds anew: (observations, infos (n,) of dicts)."""
        self._everyone(env_id, "reset")
        return self._observations(self.batch.reset(seed)), self._infos()

    def step(self, action: Any, id: Ids = None) -> Step:
        """One step of every world: (observations, rewards (n,), terminated (n,), truncated (n,), infos (n,))."""
        self._everyone(id, "stepped")
        actions = np.asarray(action)
        joint = actions.reshape(self.batch.num_worlds, -1, *actions.shape[1:])
        observations, rewards, truncated, _ = self.batch.step(joint)
        never = np.zeros(self.env_num, bool)
        return self._observations(observations), rewards.reshape(-1), never, never | truncated, self._infos()

    def render(self, **_: Any) -> list[Any]:
        """Nothing: draw with :func:`mfnet_envs.parallel_env`."""
        return []

    def close(self) -> None:
        """Nothing is held open."""
        self.is_closed = True

    def _observations(self, observations: NDArray[np.float32]) -> Any:
        seen = observations.reshape(self.env_num, -1)
        return (
            Batch(obs=seen, mask=self.batch.masks().reshape(self.env_num, -1).astype(bool)) if self.has_mask else seen
        )

    def _infos(self) -> NDArray[Any]:
        return np.array([{"env_id": i} for i in range(self.env_num)])

    def _everyone(self, ids: Ids, done: str) -> None:
        self._assert_is_not_closed()
        if ids is not None and np.atleast_1d(ids).tolist() != list(range(self.env_num)):
            raise ValueError(
                f"all {self.env_num} agents are {done} together: collect n_step or n_episode in multiples of that"
            )
