"""What EPyMARL asks of an environment. EPyMARL itself is not a package, so its calls are made here by a driver.

Read in uoe-agents/epymarl: ``src/envs/gymma.py`` at commits 692b1f15 (makes the id, then a TimeLimit) and 5c492524
(gives the limit to ``gym.make`` too), ``src/envs/wrappers.py`` and ``src/runners/episode_runner.py`` at c731d71d.
"""

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import flatdim, flatten
from gymnasium.wrappers import TimeLimit

import mfnet_envs
from mfnet_envs.adapters import epymarl
from mfnet_envs.registration import scenarios

KEYS = {
    "MFNet-Grid-v0": "mfnet_envs.adapters.epymarl:MFNet-Grid-tuple-v0",
    "MFNet-RideShareNYC-v0": "mfnet_envs.adapters.epymarl:MFNet-RideShareNYC-tuple-v0",
}
LIMIT = 6


class Gymma:
    """The uses gymma makes of an environment, in our words."""

    def __init__(self, key: str, time_limit: int, seed: int, newest: bool, **kwargs: Any) -> None:
        made = gym.make(key, **({"max_episode_steps": time_limit} if newest else {}), **kwargs)
        self.env = TimeLimit(made, max_episode_steps=time_limit)
        self.newest, self.n_agents = newest, self.env.unwrapped.n_agents
        self.most_actions = max(int(space.n) for space in self.env.action_space)
        self.longest = max((space for space in self.env.observation_space), key=lambda space: space.shape)
        assert not hasattr(self.env.unwrapped, "seed")  # gymma then resets with the seed
        self.env.reset(seed=seed)

    def observations(self, seen: Any) -> list[np.ndarray]:
        rows = [flatten(space, row) for space, row in zip(self.env.observation_space, seen, strict=True)]
        return [np.pad(row, (0, self.longest.shape[0] - len(row))) for row in rows]

    def env_info(self) -> dict[str, int]:
        """What sizes EPyMARL's networks and buffers."""
        width = flatdim(self.longest)
        state = getattr(self.env.unwrapped, "state_size", self.n_agents * width)
        return {"state_shape": state, "obs_shape": width, "n_actions": self.most_actions, "n_agents": self.n_agents}

    def step(self, actions: np.ndarray) -> tuple[list[np.ndarray], list[float], bool, bool, dict[str, Any]]:
        seen, rewards, done, truncated, info = self.env.step([int(a) for a in actions])
        if truncated and self.newest:
            info = {**info, "episode_limit": True}
        return self.observations(seen), rewards, done, truncated, info


@pytest.mark.parametrize("env_id", sorted(scenarios()))
def test_every_scenario_has_a_tuple_id(env_id: str) -> None:
    name, _, version = env_id.rpartition("-v")
    env = gym.make(f"mfnet_envs.adapters.epymarl:{name}-tuple-v{version}", population=2)
    env.reset(seed=0)
    seen, rewards, *_ = env.step([0, 0])
    assert env.observation_space.contains(seen) and len(rewards) == 2


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("env_id", KEYS)
def test_an_episode_as_the_runner_plays_it(env_id: str, newest: bool) -> None:
    """Beside the agents view with the same seed: observations, rewards, the limit, and what is stored and logged."""
    driver = Gymma(KEYS[env_id], LIMIT, seed=4, newest=newest, population=5, max_cycles=LIMIT)
    twin = mfnet_envs.parallel_env(env_id, view="agents", population=5)
    twin.reset_array(4)
    about, rng = driver.env_info(), np.random.default_rng(0)
    seen, info = driver.env.reset(seed=None)
    plain, _ = twin.reset_array()
    stats: dict[str, Any] = {}
    for t in range(LIMIT):
        rows = driver.observations(seen)
        np.testing.assert_array_equal(rows, plain)
        assert np.concatenate(rows).shape == (about["state_shape"],) and len(rows[0]) == about["obs_shape"]
        actions = rng.integers(about["n_actions"], size=about["n_agents"])
        seen, rewards, done, truncated, info = driver.step(actions)
        plain, paid, *_ = twin.step_array(actions)
        assert rewards == paid.tolist() and all(type(reward) is float for reward in rewards)
        assert float(sum(rewards)) == pytest.approx(5 * paid.mean())  # common_reward, "sum"
        assert done is False and truncated is (t == LIMIT - 1)
        stored_as_terminated = (done or truncated) != info.get("episode_limit", False)
        assert stored_as_terminated is False
    stats = {key: stats.get(key, 0) + info.get(key, 0) for key in info}
    assert all(np.isfinite(float(total)) for total in stats.values())


def test_without_max_cycles_older_gymma_takes_the_time_limit_for_an_end() -> None:
    """Why the recipe says ``env_args.max_cycles``."""
    for newest, stored in ((False, True), (True, False)):
        driver = Gymma(KEYS["MFNet-Grid-v0"], LIMIT, seed=0, newest=newest, population=2)
        for _ in range(LIMIT):
            _, _, done, truncated, info = driver.step(np.zeros(2))
        assert truncated and ((done or truncated) != info.get("episode_limit", False)) is stored


def test_the_time_limit_is_gymmas_own() -> None:
    """A limit above the scenario's evaluation steps is kept: 150 for the grid."""
    driver = Gymma(KEYS["MFNet-Grid-v0"], 160, seed=0, newest=False, population=2)
    ends = [driver.step(np.zeros(2))[3] for _ in range(160)]
    assert ends == [False] * 159 + [True]


def test_arrays_are_fresh_and_a_pickled_one_goes_on() -> None:
    env = epymarl.TupleEnv("MFNet-Grid-v0", population=4)
    first, _ = env.reset(seed=1)
    kept = [row.copy() for row in first]
    twin = pickle.loads(pickle.dumps(env))
    second, rewards, *_ = env.step([0, 1, 2, 3])
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))
    other, paid, *_ = twin.step([0, 1, 2, 3])
    np.testing.assert_array_equal(second, other)
    assert rewards == paid


def test_render_and_your_own_scenario() -> None:
    from mfnet_envs.scenarios.grid_v0 import build

    mfnet_envs.register("OwnGrid-v3", build)
    assert epymarl.register("OwnGrid-v3") == "OwnGrid-tuple-v3"
    env = gym.make("OwnGrid-tuple-v3", population=3, render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().ndim == 3 and env.unwrapped.n_agents == 3
