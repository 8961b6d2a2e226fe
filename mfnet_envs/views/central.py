"""The central view: one planner moves all teams; a Gymnasium environment."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mfnet_envs import render
from mfnet_envs.model import LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.views._joint import Action, Flow, TeamGame, horizon_of, need_reset
from mfnet_envs.views._observe import Single, clock_face


class CentralEnv(gym.Env[Single, NDArray[Any]]):
    """Gymnasium environment of the whole network.

    =========== ======================================================================================================
    observation mu ``(S,)``; at its end the time of day, where the model reads a clock: ``(S + 2,)``
    action      Box(-1, 1, (T * A,)): the teams' logits in a row; see :class:`~mfnet_envs.views._joint.TeamGame`
    reward      sum_s r_s, the mean reward of an agent
    info        ``action_mask`` (T * A,) int8; ``served``: the share of the population that was served in this step
    =========== ======================================================================================================

    Args:
        max_episode_steps: truncate after so many steps; default: the scenario's evaluation steps. None is for
            ``gymnasium.make``, which adds its own time limit around the environment.

    Raises:
        gymnasium.error.ResetNeeded: step before the first reset, or after the end of an episode.
        ValueError: an action of the wrong shape, NaN or out of range.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}  # type: ignore[misc]

    def __init__(
        self,
        model: LocalModel,
        *,
        action: Action = "logits",
        flow: Flow | None = None,
        logit_scale: float = 5.0,
        max_episode_steps: int | None = None,
        has_time_limit: bool = False,
        render_mode: str | None = None,
    ) -> None:
        render.check_mode(render_mode, self.metadata["render_modes"])
        self.game = TeamGame(model, action, flow, logit_scale)
        self.model, self.render_mode = model, render_mode
        self.max_episode_steps = None if has_time_limit else horizon_of(model, max_episode_steps, "max_episode_steps")
        teams, width = self.game.shape
        self.state_space = gym.spaces.Box(0.0, 1.0, (model.network.num_states,), np.float32)
        seen = model.network.num_states + len(clock_face(model, 0))
        self.observation_space = gym.spaces.Box(0.0, 1.0, (seen,), np.float32)
        self.action_space = self.game.space(teams * width)
        self._shape = (teams * width,)
        self.counts: Ints = np.zeros(model.network.num_states, np.int64)
        self._clock, self._is_over = -1, True
        self._scene = render.Scene(self.counts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Single, dict[str, Any]]:
        super().reset(seed=seed)
        self.counts = self.game.simulator.reset(self.np_random, 1)[0]
        self._clock, self._is_over = 0, False
        self._scene = render.Scene(self.counts)
        return self._observe(), self._info(0.0)

    def step(self, action: Any) -> tuple[Single, float, bool, bool, dict[str, Any]]:
        if self._is_over:
            raise need_reset(self._clock >= 0)
        checked = self.game.checked(action, self._shape)
        before = self.counts
        played = self.game.step(before[None], checked, self.np_random, self._clock)
        self.counts, self._clock = played.counts[0], self._clock + 1
        reward = float(played.rewards.sum())
        self._scene = render.Scene(self.counts, before, played.actions[0], self._clock, reward)
        self._is_over = self.max_episode_steps is not None and self._clock >= self.max_episode_steps
        return (
            self._observe(),
            reward,
            False,
            self._is_over,
            self._info(float(played.served.sum() / self.model.population)),
        )

    reset_array = reset
    step_array = step

    def _info(self, served: float) -> dict[str, Any]:
        return {"action_mask": self.game.mask.reshape(-1).copy(), "served": served}

    def _observe(self) -> Single:
        return np.concatenate([self.state(), clock_face(self.model, self._clock)])

    def state(self) -> Single:
        """mu ``(S,)``: a fresh array."""
        mu: Single = (self.counts / self.model.population).astype(np.float32)
        return mu

    def render(self, *_: Any) -> Any:
        """The picture of the last step: ``(H, W, 3)`` uint8 or text. Arguments are ignored."""
        return render.show(self.render_mode, self.model, self._scene, self._name)

    @property
    def _name(self) -> str:
        return self.spec.id if self.spec is not None else "mfnet"

    @property
    def graph(self) -> Any:
        """The undirected networkx graph underneath."""
        return self.model.network.graph

    @property
    def edge_index(self) -> NDArray[np.int64]:
        """``(2, 2 E)``: origin and target of every edge, both directions, as indices of nodes."""
        return render.edge_index(self.model.network)
