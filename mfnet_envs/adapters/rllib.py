"""RLlib (new API stack): every scenario as a MultiAgentEnv, one policy for all agents, and the way back.

.. code-block:: python

    rllib.register_all()
    config = PPOConfig().environment("mfnet/grid-agents-v0", env_config={"population": 20})
    algorithm = rllib.shared_policy(config).build_algo()
    algorithm.train()
    env = mfnet_envs.parallel_env("MFNet-Grid-v0", "agents", population=20)
    mfnet_envs.evaluate(env.model, rllib.as_policy(algorithm.get_module(rllib.SHARED), env))
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from mfnet_envs.adapters import missing
from mfnet_envs.adapters.policies import ObservedPolicy
from mfnet_envs.arrays import Single
from mfnet_envs.registration import PARALLEL_VIEWS, Scenario, parallel_env, register, scenarios
from mfnet_envs.views.agents import AgentsEnv

try:
    import torch
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
    from ray.rllib.algorithms.ppo.ppo_catalog import PPOCatalog
    from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
    from ray.rllib.core.columns import Columns
    from ray.rllib.core.rl_module.rl_module import RLModule, RLModuleSpec
    from ray.rllib.env.multi_agent_env import MultiAgentEnv
    from ray.tune.registry import register_env
except ModuleNotFoundError as error:
    raise missing(error, "rllib") from error

__all__ = ["SHARED", "MFNetMultiAgentEnv", "MaskedPPOModule", "as_policy", "register_all", "shared_policy"]

SHARED = "shared"  # id of the module that all agents share
Dicts = dict[str, Any]


class MFNetMultiAgentEnv(MultiAgentEnv):
    """The agent or the team view for RLlib; observations, actions and rewards as in
    :class:`~mfnet_envs.views.agents.AgentsEnv` and :class:`~mfnet_envs.views.teams.TeamsEnv`.

    Everybody acts in every step and is truncated together; nobody terminates or leaves, so ``agents`` is always
    ``possible_agents``, in one order.

    Args:
        config: RLlib's env_config: ``id``; ``view``, "agents" (the default) or "teams"; ``action_mask``: True makes an
            agent's observation ``{"observations": (size,) float32, "action_mask": (A,) int8}``, for
            :class:`MaskedPPOModule`; all other keys are options of the scenario and of the view.

    Attributes:
        env: the PettingZoo environment underneath.

    Raises:
        ValueError: no id, an unknown view, or a mask for teams. TypeError: an unknown option.
    """

    def __init__(self, config: Dicts) -> None:
        super().__init__()
        options = {"view": "agents", "action_mask": False, **config}
        if "id" not in options:
            raise ValueError("env_config needs the scenario's id: {'id': 'MFNet-Grid-v0', 'view': 'agents', ...}")
        self.masked = bool(options.pop("action_mask"))
        if self.masked and options["view"] == "teams":
            raise ValueError("action_mask is for the agents view; teams give logits, which are masked for them")
        self.env = parallel_env(**options)
        self.possible_agents = list(self.env.possible_agents)
        self.agents = list(self.possible_agents)
        self.action_spaces = {agent: _plain(space) for agent, space in self.env.action_spaces.items()}
        self.observation_spaces: dict[str, gym.Space[Any]] = dict(self.env.observation_spaces)
        if self.masked:
            mask = gym.spaces.Box(0, 1, (self.env.model.num_actions,), np.int8)
            seen = self.env.observation_space(self.agents[0])
            both: gym.Space[Any] = gym.spaces.Dict({"observations": seen, "action_mask": mask})
            self.observation_spaces = dict.fromkeys(self.agents, both)
        self.metadata = dict(self.env.metadata)  # RLlib writes into it
        self.render_mode = self.env.render_mode

    def reset(self, *, seed: int | None = None, options: Dicts | None = None) -> tuple[Dicts, Dicts]:
        observations, infos = self.env.reset(seed, options)
        return self._seen(observations, infos), infos

    def step(self, action_dict: Dicts) -> tuple[Dicts, Dicts, Dicts, Dicts, Dicts]:
        observations, rewards, _, _, infos = self.env.step(action_dict)
        # Without flags of the agents' own: RLlib takes an episode in which every agent has one for terminated, and then
        # the value after the horizon counts as 0.
        terminated, truncated = {"__all__": False}, {"__all__": not self.env.agents}
        return self._seen(observations, infos), rewards, terminated, truncated, infos

    def _seen(self, observations: Dicts, infos: Dicts) -> Dicts:
        if not self.masked:
            return observations
        return {
            agent: {"observations": seen, "action_mask": infos[agent]["action_mask"].copy()}
            for agent, seen in observations.items()
        }

    def render(self) -> Any:
        """The picture of the last step, in the ``render_mode`` of the env_config."""
        return self.env.render()

    def close(self) -> None:
        self.env.close()


def register_all() -> None:
    """Make every registered scenario known to Ray by name, in worker processes too.

    "mfnet/grid-agents-v0" and "mfnet/grid-teams-v0" are multi-agent, "MFNet-Grid-v0" is the central planner; likewise
    for the others, and for ids of your own that were registered before. Options go into the env_config.
    """
    for entry in scenarios().values():
        register_env(entry.id, partial(_central, entry))
        for view in PARALLEL_VIEWS:
            register_env(entry.pettingzoo_id(view), partial(_multi_agent, entry, view))


def _multi_agent(entry: Scenario, view: str, config: Dicts) -> MFNetMultiAgentEnv:
    _know(entry)
    if twice := sorted({"id", "view"} & config.keys()):
        raise ValueError(f"{entry.pettingzoo_id(view)} is an id and a view; leave {twice} out of the env_config")
    return MFNetMultiAgentEnv({**config, "id": entry.id, "view": view})


def _central(entry: Scenario, config: Dicts) -> gym.Env[Any, Any]:
    _know(entry)
    env = gym.make(entry.id, **config)
    env.action_space = _plain(env.action_space)
    return env


def _plain(space: gym.Space[Any]) -> gym.Space[Any]:
    """RLlib's SAC knows Box by its exact type; ours is a subclass whose ``sample`` takes a mask."""
    return gym.spaces.Box(space.low, space.high, dtype=np.float32) if isinstance(space, gym.spaces.Box) else space


def _know(entry: Scenario) -> None:
    """A worker process has not run the lines that registered a user's own id."""
    if entry.id not in scenarios():
        register(entry.id, entry.builder, max_episode_steps=entry.max_episode_steps, slug=entry.slug)


def shared_policy(config: AlgorithmConfig) -> AlgorithmConfig:
    """One RLModule, :data:`SHARED`, for all agents or teams: the policies of a mean-field game are the same function.

    Call it after ``.environment(...)``. With ``action_mask`` in the env_config the module is :class:`MaskedPPOModule`.
    """
    config = config.multi_agent(policies={SHARED}, policy_mapping_fn=_to_shared)
    if config.env_config.get("action_mask"):
        config = config.rl_module(rl_module_spec=RLModuleSpec(module_class=MaskedPPOModule))
    return config


def _to_shared(agent_id: str, episode: Any, **_: Any) -> str:
    return SHARED


class MaskedPPOModule(DefaultPPOTorchRLModule):
    """RLlib's default PPO module for observations ``{"observations", "action_mask"}``: illegal actions get
    probability 0, in sampling, inference and training.

    It computes what the masking module in RLlib's examples does. That one rests on a name that RLlib announces to
    remove, and takes the observations out of the batch it is given, which can then be used no second time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "catalog_class": _MaskedCatalog})

    def _forward(self, batch: Dicts, **kwargs: Any) -> Dicts:
        return _masked(super()._forward(_unmasked(batch), **kwargs), batch)

    def _forward_train(self, batch: Dicts, **kwargs: Any) -> Dicts:
        return _masked(super()._forward_train(_unmasked(batch), **kwargs), batch)

    def compute_values(self, batch: Dicts, embeddings: Any = None) -> Any:
        return super().compute_values(_unmasked(batch), embeddings)


class _MaskedCatalog(PPOCatalog):
    """Networks for the observations without the mask."""

    def __init__(self, observation_space: gym.spaces.Dict, *args: Any, **kwargs: Any) -> None:
        super().__init__(observation_space["observations"], *args, **kwargs)


def _unmasked(batch: Dicts) -> Dicts:
    return {**batch, Columns.OBS: batch[Columns.OBS]["observations"]}


def _masked(out: Dicts, batch: Dicts) -> Dicts:
    illegal = batch[Columns.OBS]["action_mask"] == 0
    logits = out[Columns.ACTION_DIST_INPUTS]
    return {**out, Columns.ACTION_DIST_INPUTS: logits.masked_fill(illegal, torch.finfo(logits.dtype).min)}


def as_policy(module: RLModule, env: AgentsEnv) -> ObservedPolicy:
    """What a shared module of the agents view has learnt, as a policy of the model, for :func:`mfnet_envs.evaluate`.

    Every agent draws from the module's softmax, as in RLlib's sampling.

    Args:
        module: ``algorithm.get_module("shared")`` of PPO or another algorithm whose module gives logits.
        env: the agents view it was trained on (``mfnet_envs.parallel_env(id, "agents", ...)``), or one with another
            population. Connectors of your own, such as filters of observations, are not applied.

    Raises:
        ValueError: the module was trained on other observations or actions, or (when played) gives no logits.
    """
    masked = isinstance(module.observation_space, gym.spaces.Dict)
    trained_on = module.observation_space["observations"] if masked else module.observation_space
    agent = env.possible_agents[0]
    if (trained_on, module.action_space) != (env.observation_space(agent), env.action_space(agent)):
        theirs = f"{trained_on} and {module.action_space}"
        mine = f"{env.observation_space(agent)} and {env.action_space(agent)}"
        raise ValueError(f"the module was trained on {theirs}, the environment has {mine}; give both the same view")

    def probabilities(seen: Single) -> Any:
        observations: Any = torch.from_numpy(seen)
        if masked:  # everything is legal here; ObservedPolicy leaves out what is not
            allowed = torch.ones(len(seen), env.model.num_actions)
            observations = {"observations": observations, "action_mask": allowed}
        with torch.no_grad():
            out = module.forward_inference({Columns.OBS: observations})
        if Columns.ACTION_DIST_INPUTS not in out:
            raise ValueError(f"{type(module).__name__} gives no logits; use a policy-gradient algorithm such as PPO")
        return out[Columns.ACTION_DIST_INPUTS].double().softmax(-1).numpy()

    return ObservedPolicy.of(env.batch, probabilities, masked=masked)
