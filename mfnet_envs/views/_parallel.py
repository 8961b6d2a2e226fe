"""What the two PettingZoo views share: ids, spaces, the clock, and packing arrays into dicts."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar

import gymnasium as gym
import networkx as nx
import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv  # type: ignore[import-untyped]

from mfnet_envs.arrays import Floats, Ints, Single
from mfnet_envs.drawing import render
from mfnet_envs.positions import edge_index
from mfnet_envs.views.batch import Batch
from mfnet_envs.views.worlds import need_reset
from mfnet_envs.words import fits, shown

SPACE_BYTES = 2_000
Step = tuple[Single, Floats, bool, bool, dict[str, NDArray[Any]]]


class NetworkParallelEnv(ParallelEnv):  # type: ignore[misc]
    """Base of the team and the agent view: everybody acts, everybody is truncated together at ``max_cycles``.

    Two pairs of doors lead to the same step: ``reset`` / ``step`` speak dicts, ``reset_array`` / ``step_array`` speak
    arrays whose row i belongs to ``possible_agents[i]``. Every call returns fresh arrays and dicts.

    Attributes:
        batch: the one world underneath; its dynamics and observations are those of the adapters' many.
        model: the :class:`~mfnet_envs.model.LocalModel` it plays.
        counts: ``(S,)`` agents in each state now.
        possible_agents, agents, observation_spaces, action_spaces, state_space, metadata, render_mode, max_cycles: as
            in PettingZoo.
        group_map: all agents in one group, named by their prefix.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "mfnet_v0",
        "render_modes": ["human", "rgb_array", "ansi"],
        "render_fps": 4,
        "is_parallelizable": True,
    }

    def __init__(self, batch: Batch, render_mode: str | None, name: str) -> None:
        render.check_mode(render_mode, self.metadata["render_modes"])
        what = f"{batch.num_actors:,} {batch.prefix}s of PettingZoo, each with a space of its own,"
        fits(what, batch.num_actors, itemsize=SPACE_BYTES)
        self.batch, self.model, self.observer = batch, batch.model, batch.observer
        self.max_cycles = batch.max_cycles
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "name": name}  # type: ignore[misc]
        self.possible_agents = batch.actors
        self.agents: list[str] = []
        self.group_map = {batch.prefix: list(self.possible_agents)}
        self.observation_spaces = dict.fromkeys(self.possible_agents, batch.single_observation_space)
        self.action_spaces = {actor: copy.deepcopy(batch.single_action_space) for actor in self.possible_agents}
        self.state_space = gym.spaces.Box(0.0, 1.0, (self.model.network.num_states,), np.float32)
        self._in_order = itemgetter(*self.possible_agents)

    @property
    def counts(self) -> Ints:
        """``(S,)`` agents in each state now."""
        counts: Ints = self.batch.counts[0]
        return counts

    # -- arrays ---------------------------------------------------------------------------------------------------

    def reset_array(self, seed: int | None = None) -> tuple[Single, dict[str, NDArray[Any]]]:
        """Start an episode: ``(observations (K, size), infos)``. Without a seed the random stream goes on."""
        observations = self.batch.reset(seed)[0]
        self.agents = list(self.possible_agents)
        return observations, self._info(np.zeros(len(self.agents)))

    def step_array(self, actions: Any) -> Step:
        """One step: ``(observations (K, size), rewards (K,), terminated, truncated, infos of (K, ...) arrays)``.

        ``terminated`` is always False; ``truncated`` is True for everybody at the horizon.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset and after the end of an episode.
            ValueError: actions of the wrong shape, NaN or out of range.
        """
        self.batch.max_cycles = self.max_cycles  # PettingZoo's tests, and users, set the horizon on the environment
        observations, rewards, truncated, served = self.batch.step(actions, ())
        if truncated:
            self.agents = []
        return observations[0], rewards[0], False, truncated, self._info(served[0])

    def _info(self, served: Floats) -> dict[str, NDArray[Any]]:
        return {"action_mask": self.batch.masks()[0], "served": served}

    # -- dicts ----------------------------------------------------------------------------------------------------

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Single], dict[str, dict[str, Any]]]:
        observations, info = self.reset_array(seed)
        return dict(zip(self.possible_agents, observations, strict=True)), self._info_dicts(info)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Single], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        if not self.agents:
            raise need_reset(self.batch.clock >= 0)
        observations, rewards, terminated, truncated, info = self.step_array(self._packed(actions))
        ids = self.possible_agents
        return (
            dict(zip(ids, observations, strict=True)),
            dict(zip(ids, rewards.tolist(), strict=True)),
            dict.fromkeys(ids, terminated),
            dict.fromkeys(ids, truncated),
            self._info_dicts(info),
        )

    def _info_dicts(self, info: dict[str, NDArray[Any]]) -> dict[str, dict[str, Any]]:
        rows = zip(self.possible_agents, info["action_mask"], info["served"].tolist(), strict=True)
        return {agent: {"action_mask": mask, "served": served} for agent, mask, served in rows}

    def _packed(self, actions: Mapping[str, Any]) -> Sequence[Any]:
        """The actions in the order of ``possible_agents``."""
        ids = self.possible_agents
        if not isinstance(actions, Mapping):
            raise TypeError(f"step takes a dict with an action for each agent, not {type(actions).__name__}")
        try:
            rows = self._in_order(actions)
        except KeyError as missing:
            raise ValueError(
                f"there is no action for {missing.args[0]}; pass one for each of {ids[0]} .. {ids[-1]}"
            ) from None
        if len(actions) != len(ids):
            stranger = next(iter(actions.keys() - set(ids)))
            raise ValueError(f"there is an action for {shown(stranger)}, which is none of {ids[0]} .. {ids[-1]}")
        return (rows,) if len(ids) == 1 else rows

    # -- the rest of the contract ---------------------------------------------------------------------------------

    def observation_space(self, agent: str) -> gym.Space[Any]:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.Space[Any]:
        return self.action_spaces[agent]

    def state(self) -> Single:
        """mu ``(S,)``, the distribution of the agents over all states."""
        mu: Single = self.batch.state()[0]
        return mu

    def render(self, *_: Any) -> Any:
        """The picture of the last step in ``render_mode``; "human" prints the text. Arguments are ignored."""
        return render.show(self.render_mode, self.model, self.batch.scene(), self.metadata["name"])

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def graph(self) -> nx.Graph[Any]:
        """The undirected graph underneath."""
        return self.model.network.graph

    @property
    def edge_index(self) -> Ints:
        """``(2, 2 E)``: origin and target of every edge, both directions, as indices of nodes."""
        return edge_index(self.model.network)
