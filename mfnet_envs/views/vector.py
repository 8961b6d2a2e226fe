"""B central environments as one: a Gymnasium VectorEnv on the batched simulator."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mfnet_envs import render
from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.views._joint import Action, Flow, TeamGame, horizon_of, need_reset, positive
from mfnet_envs.views._observe import Single, clock_face

Bools = NDArray[np.bool_]
Step = tuple[Single, Floats, Bools, Bools, dict[str, Any]]


class CentralVectorEnv(VectorEnv[Single, Single, NDArray[Any]]):
    """``num_envs`` worlds of :class:`~mfnet_envs.views.central.CentralEnv` in one batch.

    One generator drives all lanes in vectorised draws: a lane's path depends on the seed *and* on ``num_envs``; with
    one lane it is exactly that of the single environment.

    Args:
        max_episode_steps: default: the scenario's evaluation steps.
        autoreset_mode: ``AutoresetMode.NEXT_STEP`` (the step after an end resets and ignores its action), ``SAME_STEP``
            (the ending step returns the next episode's start, the infos hold ``final_obs`` and ``final_info``) or
            ``DISABLED`` (the user resets, all lanes or those of ``options={"reset_mask": ...}``; a model that reads a
            clock, all together).

    Raises:
        gymnasium.error.ResetNeeded: step before the first reset or, without autoreset, after an end.
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
    ) -> None:
        render.check_mode(render_mode, self.metadata["render_modes"])
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}  # type: ignore[misc]
        self.game = TeamGame(model, action, flow, logit_scale)
        self.model, self.num_envs, self.render_mode = model, positive("num_envs", num_envs), render_mode
        self.max_episode_steps = horizon_of(model, max_episode_steps, "max_episode_steps")
        teams, width = self.game.shape
        states = model.network.num_states
        seen = states + len(clock_face(model, 0))
        self.single_observation_space = gym.spaces.Box(0.0, 1.0, (seen,), np.float32)
        self.single_action_space = self.game.space(teams * width)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.state_space = gym.spaces.Box(0.0, 1.0, (self.num_envs, states), np.float32)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._shape = (self.num_envs, teams * width)
        self.counts: Ints = np.zeros((self.num_envs, model.network.num_states), np.int64)
        self._clock = np.full(self.num_envs, -1)
        self._is_over = np.ones(self.num_envs, bool)
        self._scene: list[render.Scene] = []

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Single, dict[str, Any]]:
        if seed is not None and not isinstance(seed, int | np.integer):
            raise ValueError("all lanes share one generator: seed must be one integer or None")
        super().reset(seed=seed if seed is None else int(seed))
        lanes = _lanes(options, self.num_envs)
        if not lanes.all() and self.autoreset_mode is not AutoresetMode.DISABLED:
            raise ValueError("single lanes can be reset only with autoreset_mode=AutoresetMode.DISABLED")
        if not lanes.all() and self.model.period is not None:
            raise ValueError("this model reads a clock, which all lanes share: reset all of them together")
        self._restart(lanes)
        return self._observe(), self._infos(lanes, np.zeros(self.num_envs))

    def _restart(self, lanes: Bools) -> None:
        self.counts = self.counts.copy()
        self.counts[lanes] = self.game.simulator.reset(self.np_random, int(lanes.sum()))
        self._clock[lanes], self._is_over[lanes] = 0, False
        self._scene = [render.Scene(counts) for counts in self.counts] if self.render_mode else []

    def step(self, actions: Any) -> Step:
        if (self._clock < 0).any():
            raise need_reset(False)
        over = self._is_over.all()  # outside DISABLED the lanes keep one clock, so all end together
        if over and self.autoreset_mode is AutoresetMode.NEXT_STEP:
            return self._next_episode()
        if self._is_over.any():
            raise need_reset(True)
        rewards, served = self._advance(actions)
        everyone = np.ones(self.num_envs, bool)
        truncated = self._is_over.copy()
        infos = self._infos(everyone, served)
        if truncated.all() and self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos = self._final(infos, everyone)
        return self._observe(), rewards, np.zeros(self.num_envs, bool), truncated, infos

    def _advance(self, actions: Any) -> tuple[Floats, Floats]:
        """Play one step of every lane: rewards and served shares, ``(B,)`` each."""
        checked = self.game.checked(actions, self._shape)
        before = self.counts
        played = self.game.step(before, checked, self.np_random, self._time)
        self.counts = played.counts
        self._clock = self._clock + 1
        self._is_over = self._clock >= self.max_episode_steps
        rewards = played.rewards.sum(1)
        if self.render_mode:
            lanes = zip(self.counts, before, played.actions, self._clock.tolist(), rewards.tolist(), strict=True)
            self._scene = [render.Scene(*lane) for lane in lanes]
        return rewards, played.served.sum(1) / self.model.population

    def _next_episode(self) -> Step:
        """NEXT_STEP: this step only resets."""
        everyone = np.ones(self.num_envs, bool)
        self._restart(everyone)
        nothing = np.zeros(self.num_envs)
        return self._observe(), nothing, ~everyone, ~everyone, self._infos(everyone, nothing.copy())

    def _final(self, last: dict[str, Any], everyone: Bools) -> dict[str, Any]:
        """SAME_STEP: keep what the ended episodes showed last, and start the next."""
        final = np.empty(self.num_envs, object)
        final[:] = list(self._observe())
        self._restart(everyone)
        infos = self._infos(everyone, np.zeros(self.num_envs))
        kept = {"final_obs": final, "_final_obs": everyone.copy(), "final_info": last, "_final_info": everyone.copy()}
        return {**infos, **kept}

    def _infos(self, lanes: Bools, served: Floats) -> dict[str, Any]:
        """Gymnasium's form: an array per key, and under ``_key`` which lanes it holds for."""
        mask = np.tile(self.game.mask.reshape(1, -1), (self.num_envs, 1)) * lanes[:, None]
        return {"action_mask": mask, "_action_mask": lanes.copy(), "served": served, "_served": lanes.copy()}

    @property
    def _time(self) -> int:
        """The step within the episode; read by clocked models only, whose lanes are all at the same."""
        return int(self._clock[0])

    def _observe(self) -> Single:
        time = clock_face(self.model, self._time)
        return np.concatenate([self._mu(), np.tile(time, (self.num_envs, 1))], 1)

    def _mu(self) -> Single:
        mu: Single = (self.counts / self.model.population).astype(np.float32)
        return mu

    def state(self) -> Single:
        """mu of every lane, ``(B, S)``: a fresh array."""
        return self._mu()

    def render(self) -> tuple[Any, ...] | None:
        """One picture per lane."""
        if self.render_mode is None:
            return None
        name = self.spec.id if self.spec is not None else "mfnet"
        return tuple(render.show(self.render_mode, self.model, scene, name) for scene in self._scene)


def _lanes(options: dict[str, Any] | None, num_envs: int) -> Bools:
    """Which lanes to reset: all, or those of ``options["reset_mask"]``."""
    if not options or "reset_mask" not in options:
        return np.ones(num_envs, bool)
    lanes = np.asarray(options["reset_mask"])
    if lanes.dtype != bool or lanes.shape != (num_envs,) or not lanes.any():
        raise ValueError(f"options['reset_mask'] must be {num_envs} booleans, at least one of them True")
    return lanes
