"""Stable-Baselines3: every agent (or team, or planner) of every world is one environment of a VecEnv.

One policy plays them all: parameter sharing. The worlds run as arrays, whatever the number of agents.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from mfnet_envs.adapters import missing
from mfnet_envs.adapters.policies import CentralPolicy, ObservedPolicy, TeamsPolicy
from mfnet_envs.arrays import Single
from mfnet_envs.drawing import render
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.registration import RegisteredVectorEnv, batch_env
from mfnet_envs.views.batch import AgentsBatch, TeamsBatch
from mfnet_envs.views.vector import CentralVectorEnv
from mfnet_envs.words import one_of

try:
    import torch
    from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv, VecMonitor, unwrap_vec_normalize
except ModuleNotFoundError as error:
    raise missing(error, "sb3") from error

Indices = int | Iterable[int] | None
Step = tuple[Single, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]


def make_vec_env(
    id: str,
    view: str = "agents",
    num_worlds: int = 1,
    *,
    monitor: bool = True,
    render_mode: str | None = None,
    **options: Any,
) -> VecEnv:
    """The VecEnv of a scenario, for any algorithm of Stable-Baselines3 and sb3-contrib.

    It has ``num_worlds * K`` environments: K agents ("agents"), K teams ("teams") or one planner ("central") in each
    world; environment ``w * K + i`` is agent i of world w. Everybody is truncated together at the horizon and nobody
    terminates: SB3's algorithms then bootstrap from ``terminal_observation``.

    Args:
        view: "agents" (Discrete actions, with ``action_masks`` for MaskablePPO), "teams" or "central" (Box).
        num_worlds: independent copies of the simulation.
        monitor: count returns and lengths of episodes, as SB3's own ``make_vec_env`` does.
        render_mode: None or "rgb_array": the first world of the agents and the teams view, all of the central view.
        options: of the scenario and of the view.

    Raises:
        ValueError: unknown view. TypeError: unknown option. gymnasium.error.NameNotFound: unknown id.
    """
    one_of("view", view, ("agents", "teams", "central"))
    render.check_mode(render_mode, ["rgb_array"])
    env: NetworkVecEnv
    if view == "central":
        options = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_mode": render_mode, **options}
        env = CentralVecEnv(RegisteredVectorEnv(id, num_worlds, **options))
    else:
        env = BatchVecEnv(batch_env(id, view, num_worlds, **options), render_mode, id)
    return VecMonitor(env) if monitor else env


def as_policy(algorithm: BaseAlgorithm, env: VecEnv | None = None) -> Policy:
    """What ``algorithm`` has learnt as a policy of the model, for :func:`mfnet_envs.evaluate`.

    Discrete actions are drawn from the learnt probabilities (a DQN plays its best action), masked ones among the legal;
    Box actions are the deterministic ones.

    Args:
        env: from :func:`make_vec_env`; default: the one it was trained in. Another population may be given.

    Raises:
        ValueError: no environment, one of another library, one with other observations than it was trained on, or a
            recurrent network.
    """
    env = algorithm.get_env() if env is None else env
    lanes = None if env is None else env.unwrapped
    if env is None or not isinstance(lanes, NetworkVecEnv):
        raise ValueError("give the environment that mfnet_envs.adapters.sb3.make_vec_env made: as_policy(model, env)")
    if algorithm.observation_space != lanes.observation_space or algorithm.action_space != lanes.action_space:
        raise ValueError(
            f"the policy maps {algorithm.observation_space} to {algorithm.action_space}, the environment's agents map "
            f"{lanes.observation_space} to {lanes.action_space}: make it with the options used in training"
        )
    if hasattr(algorithm.policy, "lstm_actor"):
        raise ValueError("a recurrent network remembers, but a Policy of mfnet sees the present only")
    normaliser = unwrap_vec_normalize(env) or algorithm.get_vec_normalize_env()
    return lanes.policy(algorithm, normaliser.normalize_obs if normaliser else np.asarray)


class NetworkVecEnv(VecEnv):
    """Base of the VecEnvs: one simulation moves all lanes, one generator draws for them.

    A seed holds from the next reset; then the stream goes on. All results are fresh arrays and dicts. ``infos`` are
    empty but at the horizon, where they hold ``TimeLimit.truncated`` and ``terminal_observation``; the observations
    returned then are the next episode's first.
    """

    @property
    @abstractmethod
    def env(self) -> Any:
        """The simulation underneath, whose attributes are those of all lanes."""

    @property
    def model(self) -> LocalModel:
        """The model that is played."""
        model: LocalModel = self.env.model
        return model

    @abstractmethod
    def policy(self, algorithm: BaseAlgorithm, seen: Callable[[Single], Any]) -> Policy:
        """What ``algorithm`` plays here; ``seen`` are observations as it saw them in training."""

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """The simulation's attribute, once for every lane.

        Raises:
            AttributeError: it has none of that name.
        """
        return [getattr(self.env, attr_name)] * len(self._lanes(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set the simulation's attribute, for all lanes.

        Raises:
            ValueError: indices of some lanes only.
        """
        if len(set(self._lanes(indices))) != self.num_envs:
            raise ValueError(f"all lanes share one simulation: set {attr_name!r} for all of them")
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        """Call a method that lanes have for themselves: ``action_masks`` in the agents view.

        Raises:
            AttributeError: any other; all lanes share one simulation, which is the attribute ``env``.
        """
        raise AttributeError(f"lanes share one simulation and have no method {method_name!r} of their own; see .env")

    def env_is_wrapped(self, wrapper_class: Any, indices: Indices = None) -> list[bool]:
        """False for every lane: wrap the whole VecEnv instead."""
        return [False] * len(self._lanes(indices))

    def _lanes(self, indices: Indices) -> list[int]:
        return list(self._get_indices(indices))

    def _seed(self) -> int | None:
        """The seed for the reset that is due; used once, as are the options, of which there are none."""
        seed: int | None = self._seeds[0]
        self._reset_seeds()
        self._reset_options()
        return seed


class BatchVecEnv(NetworkVecEnv):
    """The agents or the teams view: lane ``w * K + i`` is actor i of world w.

    Attributes:
        batch: the worlds, :class:`~mfnet_envs.views.batch.AgentsBatch` or :class:`~mfnet_envs.views.batch.TeamsBatch`.
    """

    def __init__(self, batch: AgentsBatch | TeamsBatch, render_mode: str | None = None, name: str = "mfnet") -> None:
        self.batch, self.name = batch, name
        self._mode = render_mode
        space = batch.single_observation_space, batch.single_action_space
        super().__init__(batch.num_worlds * batch.num_actors, *space)

    @property
    def env(self) -> AgentsBatch | TeamsBatch:
        return self.batch

    def reset(self) -> Single:
        """Start an episode in every world: observations ``(num_envs, size)``."""
        return self._rows(self.batch.reset(self._seed()))

    def step_wait(self) -> Step:
        batch, n = self.batch, self.num_envs
        actions = np.asarray(self._actions)
        if len(actions) != n:
            raise ValueError(f"there must be one action for each of the {n} lanes, not {len(actions)}")
        observations, rewards, truncated, _ = batch.step(actions.reshape(batch.num_worlds, -1, *actions.shape[1:]))
        seen = self._rows(observations)
        infos: list[dict[str, Any]] = [{} for _ in range(n)]
        if truncated:
            infos = [{"TimeLimit.truncated": True, "terminal_observation": row} for row in seen]
            seen = self._rows(batch.reset())
        return seen, rewards.reshape(-1).astype(np.float32), np.full(n, truncated), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions of every lane, ``(num_envs, A)``."""
        masks = self.batch.masks().astype(bool)
        return masks.reshape(self.num_envs, -1)

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        if method_name != "action_masks" or not self.is_maskable:
            return super().env_method(method_name, *args, indices=indices, **kwargs)
        masks = self.action_masks()
        return list(masks if indices is None else masks[self._lanes(indices)])

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        if attr_name == "render_mode":
            return [self._mode] * len(self._lanes(indices))
        if attr_name == "action_masks" and self.is_maskable:
            return [partial(self._mask_of, lane) for lane in self._lanes(indices)]
        return super().get_attr(attr_name, indices)

    @property
    def is_maskable(self) -> bool:
        """Whether actions are Discrete."""
        return isinstance(self.batch, AgentsBatch)

    def policy(self, algorithm: BaseAlgorithm, seen: Callable[[Single], Any]) -> Policy:
        if isinstance(self.batch, TeamsBatch):
            return TeamsPolicy.of(self.batch, lambda observations: _best(algorithm, seen(observations)))
        masked = isinstance(algorithm.policy, MaskableActorCriticPolicy)
        return ObservedPolicy.of(self.batch, lambda rows: _probabilities(algorithm, seen(rows)), masked=masked)

    def get_images(self) -> list[Any]:
        """The picture of the first world."""
        return [render.show(self.render_mode, self.model, self.batch.scene(), self.name)]

    def _mask_of(self, lane: int) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self.action_masks()[lane]
        return mask

    def _rows(self, observations: Single) -> Single:
        return observations.reshape(self.num_envs, -1)


class CentralVecEnv(NetworkVecEnv):
    """The central view: every lane is a world with one planner.

    Args:
        worlds: with ``autoreset_mode=AutoresetMode.SAME_STEP``.
    """

    def __init__(self, worlds: CentralVectorEnv) -> None:
        if worlds.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError("SB3 wants autoreset_mode=AutoresetMode.SAME_STEP")
        self.worlds = worlds
        super().__init__(worlds.num_envs, worlds.single_observation_space, worlds.single_action_space)

    @property
    def env(self) -> CentralVectorEnv:
        return self.worlds

    def reset(self) -> Single:
        """Start an episode in every world: observations ``(num_envs, size)``."""
        observations: Single = self.worlds.reset(seed=self._seed())[0]
        return observations

    def step_wait(self) -> Step:
        observations, rewards, _, truncated, gathered = self.worlds.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if truncated.all():  # the worlds keep one clock
            infos = [{"TimeLimit.truncated": True, "terminal_observation": row} for row in gathered["final_obs"]]
        return observations, rewards.astype(np.float32), truncated, infos

    def policy(self, algorithm: BaseAlgorithm, seen: Callable[[Single], Any]) -> Policy:
        return CentralPolicy.of(self.worlds, lambda observations: _best(algorithm, seen(observations)))

    def get_images(self) -> list[Any]:
        """The pictures of all worlds."""
        return list(self.worlds.render() or ())


def _best(algorithm: BaseAlgorithm, observations: Any) -> NDArray[Any]:
    """The deterministic actions."""
    actions: NDArray[Any] = algorithm.predict(observations, deterministic=True)[0]
    return actions


def _probabilities(algorithm: BaseAlgorithm, observations: Any) -> NDArray[Any]:
    """``(K, A)``: the learnt law of a Discrete action; all on the best one where none is learnt."""
    policy = algorithm.policy
    if not hasattr(policy, "get_distribution"):
        width: int = algorithm.action_space.n
        greedy: NDArray[Any] = np.eye(width)[_best(algorithm, observations)]
        return greedy
    with torch.no_grad():
        law = policy.get_distribution(policy.obs_to_tensor(observations)[0])
    probabilities: NDArray[Any] = law.distribution.probs.cpu().numpy()
    return probabilities
