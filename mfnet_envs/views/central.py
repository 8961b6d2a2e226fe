"""The central view: one planner moves all teams of a world; B worlds in arrays, and one as a Gymnasium environment."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Bools, Floats, Ints, Single
from mfnet_envs.drawing import render
from mfnet_envs.model import LocalModel
from mfnet_envs.positions import edge_index
from mfnet_envs.views._joint import Action, Flow, TeamGame
from mfnet_envs.views._observe import Overview
from mfnet_envs.views.worlds import Worlds, checked_seed, horizon_of

NO_LIMIT = sys.maxsize  # a horizon that no episode reaches


class CentralBatch(Worlds):
    """The central view of B worlds; observations, actions and rewards as in :class:`CentralEnv`, a row for each world.

    Some worlds can be restarted while the others go on, so each has an age.

    Attributes:
        game: how actions are read and played; overview: what is seen.
        single_observation_space, single_action_space: of one planner.
    """

    def __init__(self, game: TeamGame, num_worlds: int = 1, max_cycles: int | None = None) -> None:
        super().__init__(game.simulator, num_worlds, max_cycles)
        self.game, self.overview = game, Overview(game.model)
        self.single_observation_space = gym.spaces.Box(0.0, 1.0, (self.overview.size,), np.float32)
        self.single_action_space = game.space(game.legal.size)
        self._born: Ints = np.zeros(self.num_worlds, np.int64)  # the clock when each world was last reset
        self._actions: Ints = np.zeros((self.num_worlds, *self.game.shape), np.int64)

    @property
    def ages(self) -> Ints:
        """``(B,)`` steps since each world's reset."""
        return self.clock - self._born

    @property
    def over(self) -> Bools:
        """``(B,)`` which worlds are at the horizon."""
        return self.ages >= self.max_cycles

    @property
    def is_over(self) -> bool:
        """Whether some world must be reset before the next step."""
        return self.clock < 0 or bool(self.over.any())

    def age(self, world: int) -> int:
        return max(0, int(self.ages[world]))

    def restart(self, worlds: Bools) -> Single:
        """Start an episode in some worlds ``(B,)``, while the others go on: observations of all.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset of all worlds.
            ValueError: the model reads a clock, which all worlds share.
        """
        if self.clock < 0:
            raise gym.error.ResetNeeded("the environment has not been reset: reset all worlds together once")
        if self.model.period is not None:
            raise ValueError("this model reads a clock, which all lanes share: reset all of them together")
        self.counts, self._before = self.counts.copy(), None
        self.counts[worlds] = self.simulator.reset(self.rng, int(worlds.sum()))
        self._born[worlds] = self.clock
        return self.observe()

    def observe(self) -> Single:
        """mu of every world and the time of day, ``(B, size)``."""
        return self.overview(self.counts, self.clock)

    def masks(self) -> NDArray[np.int8]:
        """Legal actions ``(B, T * A)``, 1 or 0."""
        return np.tile(self.game.mask.reshape(1, -1), (self.num_worlds, 1))

    def checked(self, actions: Any, leading: tuple[int, ...]) -> Floats:
        return self.game.checked(actions, (*leading, self.game.legal.size))

    def chosen(self, world: int = 0) -> Ints:
        chosen: Ints = self._actions[world]
        return chosen

    def mean_reward(self, rewards: Floats) -> Floats:
        return rewards.copy()

    def _begin(self, rng: np.random.Generator) -> None:
        self._born[:] = 0

    def _advance(self, actions: NDArray[Any], rng: np.random.Generator) -> tuple[Floats, Floats]:
        played = self.game.step(self.counts, actions, rng, self.clock)
        self.counts, self._actions = played.counts, played.actions
        return played.rewards.sum(1), played.served.sum(1) / self.model.population


class CentralEnv(gym.Env[Single, NDArray[Any]]):
    """Gymnasium environment of the whole network.

    =========== ======================================================================================================
    observation mu ``(S,)``; at its end the time of day, where the model reads a clock: ``(S + 2,)``
    action      Box(-1, 1, (T * A,)): the teams' logits in a row; see :class:`~mfnet_envs.views._joint.TeamGame`
    reward      sum_s r_s, the mean reward of an agent
    info        ``action_mask`` (T * A,) int8; ``served``: the share of the population that was served in this step
    =========== ======================================================================================================

    Args:
        model: what is played.
        action: "logits", read as softmax(logit_scale * action) over the legal actions, or "shares", read as the shares
            themselves, brought to sum 1.
        flow: "sample", every agent draws its action, or "round", the shares are realised to within one agent; default:
            "sample" for logits, "round" for shares.
        logit_scale: how sharp logits can be: at 5 an action is at most e^10 times as likely as another.
        max_episode_steps: truncate after so many steps; default: the scenario's evaluation steps.
        has_time_limit: never truncate; for ``gymnasium.make``, which adds its own time limit around the environment.
        render_mode: what ``render()`` gives: "rgb_array" (an array) or "ansi" (text); None: nothing is drawn.
        backend: of the simulator, "numpy" or "compiled"; None: the variable MFNET_BACKEND, else numpy.

    Raises:
        gymnasium.error.ResetNeeded: step before the first reset, or after the end of an episode.
        ValueError: an action of the wrong shape, NaN or out of range.

    Attributes:
        batch: the one world underneath, a :class:`CentralBatch`.
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
        backend: Any = None,
    ) -> None:
        render.check_mode(render_mode, self.metadata["render_modes"])
        horizon = NO_LIMIT if has_time_limit else horizon_of(model, max_episode_steps, "max_episode_steps")
        self.game = TeamGame(model, action, flow, logit_scale, backend)
        self.batch = CentralBatch(self.game, max_cycles=horizon)
        self.model, self.render_mode = model, render_mode
        self.state_space = gym.spaces.Box(0.0, 1.0, (model.network.num_states,), np.float32)
        self.observation_space, self.action_space = self.batch.single_observation_space, self.batch.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Single, dict[str, Any]]:
        super().reset(seed=None if seed is None else checked_seed(seed))
        self.batch.rng = self.np_random
        return self.batch.reset()[0], self._info(0.0)

    def step(self, action: Any) -> tuple[Single, float, bool, bool, dict[str, Any]]:
        observations, rewards, truncated, served = self.batch.step(action, ())
        return observations[0], float(rewards[0]), False, truncated, self._info(float(served[0]))

    reset_array = reset
    step_array = step

    def _info(self, served: float) -> dict[str, Any]:
        return {"action_mask": self.batch.masks()[0], "served": served}

    @property
    def max_episode_steps(self) -> int | None:
        """The horizon; None: it has none of its own."""
        return None if self.batch.max_cycles == NO_LIMIT else self.batch.max_cycles

    @property
    def counts(self) -> Ints:
        """``(S,)`` agents in each state now."""
        counts: Ints = self.batch.counts[0]
        return counts

    def state(self) -> Single:
        """mu ``(S,)``: a fresh array."""
        mu: Single = self.batch.state()[0]
        return mu

    def render(self, *_: Any) -> Any:
        """The picture of the last step: ``(H, W, 3)`` uint8 or text. Arguments are ignored."""
        return render.show(self.render_mode, self.model, self.batch.scene(), name_of(self))

    @property
    def graph(self) -> Any:
        """The undirected networkx graph underneath."""
        return self.model.network.graph

    @property
    def edge_index(self) -> Ints:
        """``(2, 2 E)``: origin and target of every edge, both directions, as indices of nodes."""
        return edge_index(self.model.network)


def name_of(env: Any) -> str:
    """What a picture is headed with: the id under which Gymnasium made the environment."""
    return env.spec.id if env.spec is not None else "mfnet"
