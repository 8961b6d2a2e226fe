"""B central environments as one: a Gymnasium VectorEnv on the batched simulator."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mfnet_envs.arrays import Bools, Floats, Ints, Single, array_of
from mfnet_envs.drawing import render
from mfnet_envs.model import LocalModel
from mfnet_envs.views._joint import Action, Flow, TeamGame
from mfnet_envs.views.central import CentralBatch, name_of
from mfnet_envs.views.worlds import checked_seed, horizon_of, world_bytes
from mfnet_envs.words import fits, is_whole, shown, whole

Step = tuple[Single, Floats, Bools, Bools, dict[str, Any]]


class CentralVectorEnv(VectorEnv[Single, Single, NDArray[Any]]):
    """``num_envs`` worlds of :class:`~mfnet_envs.views.central.CentralEnv` in one batch.

    One generator drives all lanes in vectorised draws: a lane's path depends on the seed *and* on ``num_envs``; with
    one lane it is exactly that of the single environment.

    Args:
        model: what is played.
        num_envs: worlds side by side.
        action: "logits", read as softmax(logit_scale * action) over the legal actions, or "shares", read as the shares
            themselves, brought to sum 1.
        flow: "sample", every agent draws its action, or "round", the shares are realised to within one agent; default:
            "sample" for logits, "round" for shares.
        logit_scale: how sharp logits can be: at 5 an action is at most e^10 times as likely as another.
        max_episode_steps: truncate after so many steps; default: the scenario's evaluation steps.
        autoreset_mode: ``AutoresetMode.NEXT_STEP`` (the step after an end resets and ignores its action), ``SAME_STEP``
            (the ending step returns the next episode's start, the infos hold ``final_obs`` and ``final_info``) or
            ``DISABLED`` (the user resets, all lanes or those of ``options={"reset_mask": ...}``; a model that reads a
            clock, all together).
        render_mode: what ``render()`` gives: "rgb_array" (an array) or "ansi" (text); None: nothing is drawn.
        backend: of the simulator, "numpy" or "compiled"; None: the variable MFNET_BACKEND, else numpy.

    Raises:
        gymnasium.error.ResetNeeded: step before the first reset or, without autoreset, after an end.

    Attributes:
        batch: the worlds underneath, a :class:`~mfnet_envs.views.central.CentralBatch`.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        model: LocalModel,
        num_envs: int = 1,
        *,
        action: Action = "logits",
        flow: Flow | None = None,
        logit_scale: float = 5.0,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        backend: Any = None,
    ) -> None:
        render.check_mode(render_mode, self.metadata["render_modes"])
        self.autoreset_mode = _mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}  # type: ignore[misc]
        self.num_envs = whole("num_envs", num_envs)
        horizon = horizon_of(model, max_episode_steps, "max_episode_steps")
        states, actions = model.network.num_states, len(model.team_states) * model.num_actions
        what = f"num_envs={shown(num_envs)} worlds of {states:,} states and up to {actions:,} actions"
        fits(what, self.num_envs, itemsize=world_bytes(model))
        self.game = TeamGame(model, action, flow, logit_scale, backend)
        self.batch = CentralBatch(self.game, self.num_envs, horizon)
        self.model, self.render_mode = model, render_mode
        self.single_observation_space = self.batch.single_observation_space
        self.single_action_space = self.batch.single_action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.state_space = gym.spaces.Box(0.0, 1.0, self.counts.shape, np.float32)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Single, dict[str, Any]]:
        """Start an episode in all lanes, or in those of ``options["reset_mask"]``.

        Args:
            seed: of the one generator; a list with a seed for each lane seeds it with all of them together, so lane i
                is not the single environment seeded with ``seed[i]``. None, or a list of None: the stream goes on.
        """
        lanes = _lanes(options, self.num_envs)
        if not lanes.all() and self.autoreset_mode is not AutoresetMode.DISABLED:
            raise ValueError("single lanes can be reset only with autoreset_mode=AutoresetMode.DISABLED")
        self._seed(seed)
        observations = self.batch.reset() if lanes.all() else self.batch.restart(lanes)
        return observations, self._infos(lanes, np.zeros(self.num_envs))

    def _seed(self, seed: Any) -> None:
        if isinstance(seed, list | tuple) or (isinstance(seed, np.ndarray) and seed.ndim):
            every = list(seed)
            if len(every) != self.num_envs or not (all(map(is_whole, every)) or all(one is None for one in every)):
                raise ValueError(f"a list of seeds must hold {self.num_envs} non-negative integers, not {shown(every)}")
            if every[0] is not None:
                self.np_random = np.random.default_rng(every)  # of a single seed the stream that gymnasium makes of it
        elif seed is not None:
            super().reset(seed=checked_seed(seed))
        self.batch.rng = self.np_random

    def step(self, actions: Any) -> Step:
        batch = self.batch
        # outside DISABLED the lanes keep one clock, so all end together
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and batch.over.all():
            return self._next_episode()
        observations, rewards, _, served = batch.step(actions)
        everyone, truncated = np.ones(self.num_envs, bool), batch.over
        infos = self._infos(everyone, served)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and truncated.all():
            observations, infos = self._final(observations, infos, everyone)
        return observations, rewards, np.zeros(self.num_envs, bool), truncated, infos

    def _next_episode(self) -> Step:
        """NEXT_STEP: this step only resets."""
        everyone, nothing = np.ones(self.num_envs, bool), np.zeros(self.num_envs)
        return self.batch.reset(), nothing, ~everyone, ~everyone, self._infos(everyone, nothing.copy())

    def _final(self, last: Single, told: dict[str, Any], everyone: Bools) -> tuple[Single, dict[str, Any]]:
        """SAME_STEP: keep what the ended episodes showed last, and start the next."""
        final = np.empty(self.num_envs, object)
        final[:] = list(last)
        observations = self.batch.reset()
        infos = self._infos(everyone, np.zeros(self.num_envs))
        kept = {"final_obs": final, "_final_obs": everyone.copy(), "final_info": told, "_final_info": everyone.copy()}
        return observations, {**infos, **kept}

    def _infos(self, lanes: Bools, served: Floats) -> dict[str, Any]:
        """Gymnasium's form: an array per key, and under ``_key`` which lanes it holds for."""
        mask = self.batch.masks() * lanes[:, None]
        return {"action_mask": mask, "_action_mask": lanes.copy(), "served": served, "_served": lanes.copy()}

    @property
    def max_episode_steps(self) -> int:
        """The horizon of every lane."""
        return self.batch.max_cycles

    @property
    def counts(self) -> Ints:
        """``(B, S)`` agents in each state now."""
        return self.batch.counts

    def state(self) -> Single:
        """mu of every lane, ``(B, S)``: a fresh array."""
        return self.batch.state()

    def render(self) -> tuple[Any, ...] | None:
        """One picture per lane."""
        if self.render_mode is None:
            return None
        scenes = map(self.batch.scene, range(self.num_envs))
        return tuple(render.show(self.render_mode, self.model, scene, name_of(self)) for scene in scenes)


def _mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Gymnasium's three ways to go on after an end."""
    try:
        return AutoresetMode(mode)
    except Exception:  # an enumeration shows what it is given, and some things cannot be shown
        modes = " or ".join(repr(each.value) for each in AutoresetMode)
        raise ValueError(f"autoreset_mode must be {modes}, not {shown(mode)}") from None


def _lanes(options: dict[str, Any] | None, num_envs: int) -> Bools:
    """Which lanes to reset: all, or those of ``options["reset_mask"]``."""
    if not isinstance(options, dict | None):
        raise TypeError(f"options must be a dict or None, not {shown(options)}")
    if not options or "reset_mask" not in options:
        return np.ones(num_envs, bool)
    try:
        lanes = array_of("options['reset_mask']", options["reset_mask"], "b")
    except ValueError:
        lanes = np.empty(0)
    if lanes.dtype != bool or lanes.shape != (num_envs,) or not lanes.any():
        raise ValueError(f"options['reset_mask'] must be {num_envs} booleans, at least one of them True")
    return lanes
