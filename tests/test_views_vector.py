"""The native vector environment against Gymnasium's own SyncVectorEnv, in all three autoreset modes."""

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import mfnet_envs
from mfnet_envs.registration import scenarios
from mfnet_envs.views import CentralVectorEnv

IDS = sorted(scenarios())
MODES = list(AutoresetMode)
HORIZON = 4


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def same(one: Any, two: Any) -> None:
    """Equal in structure, type and every bit."""
    if isinstance(two, dict):
        assert one.keys() == two.keys()
        for key in two:
            same(one[key], two[key])
    elif isinstance(two, np.ndarray):
        assert one.dtype == two.dtype and one.shape == two.shape
        if two.dtype != object:
            np.testing.assert_array_equal(one, two)
        else:
            for a, b in zip(one, two, strict=True):
                same(a, b)
    else:
        assert one == two


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("env_id", IDS)
def test_one_lane_is_gymnasiums_wrapper_around_the_single_environment(env_id: str, mode: AutoresetMode) -> None:
    """Observations, rewards, flags and infos of three episodes, key by key and bit by bit."""
    options = {"population": 30, "max_episode_steps": HORIZON}
    ours = gym.make_vec(env_id, num_envs=1, autoreset_mode=mode, **options)
    theirs = SyncVectorEnv([lambda: gym.make(env_id, **options)], autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    for got, wanted in zip(ours.reset(seed=9), theirs.reset(seed=9), strict=True):
        same(got, wanted)
    ours.action_space.seed(9)
    for _ in range(3 * HORIZON + 2):
        action = ours.action_space.sample()
        got, wanted = ours.step(action), theirs.step(action)
        for mine, other in zip(got, wanted, strict=True):
            same(mine, other)
        if mode is AutoresetMode.DISABLED and wanted[3].any():
            everyone = {"reset_mask": np.array([True])}
            for mine, other in zip(ours.reset(options=everyone), theirs.reset(options=dict(everyone)), strict=True):
                same(mine, other)


@pytest.mark.parametrize("mode", MODES[:2])
@pytest.mark.parametrize("env_id", IDS)
def test_many_lanes_look_like_gymnasiums(env_id: str, mode: AutoresetMode) -> None:
    """Three lanes: other numbers (one generator for all), the same shapes, types, flags and keys at every step."""
    options = {"population": 30, "max_episode_steps": HORIZON}
    ours = gym.make_vec(env_id, num_envs=3, autoreset_mode=mode, **options)
    theirs = SyncVectorEnv([lambda: gym.make(env_id, **options)] * 3, autoreset_mode=mode)
    ours.reset(seed=1)
    theirs.reset(seed=1)
    for _ in range(2 * HORIZON + 2):
        action = ours.action_space.sample()
        got, wanted = ours.step(action), theirs.step(action)
        assert ours.observation_space.contains(got[0])
        assert [part.dtype for part in got[:4]] == [part.dtype for part in wanted[:4]]
        assert [part.shape for part in got[:4]] == [part.shape for part in wanted[:4]]
        np.testing.assert_array_equal(got[3], wanted[3])
        assert shapes(got[4]) == shapes(wanted[4])


def shapes(infos: dict[str, Any]) -> dict[str, Any]:
    return {k: shapes(v) if isinstance(v, dict) else (v.dtype, v.shape) for k, v in infos.items()}


def test_lanes_differ_and_batches_repeat() -> None:
    env = gym.make_vec("MFNet-Grid-v0", num_envs=5)
    first, _ = env.reset(seed=0)
    assert len({row.tobytes() for row in first}) == 5
    again, _ = env.reset(seed=0)
    np.testing.assert_array_equal(first, again)


def test_a_list_of_seeds_is_one_seed() -> None:
    """Of a single lane that of Gymnasium's own; of several lanes the same list is the same batch, another another."""
    one, theirs = gym.make_vec("MFNet-Grid-v0"), SyncVectorEnv([lambda: gym.make("MFNet-Grid-v0")])
    same(one.reset(seed=[9])[0], theirs.reset(seed=[9])[0])
    env = gym.make_vec("MFNet-Grid-v0", num_envs=2)
    first, again, swapped = (env.reset(seed=seeds)[0] for seeds in ([3, 4], [3, 4], [4, 3]))
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any() and (first != swapped).any()
    follow = [env.reset(seed=[3, 4]) and env.reset(seed=seeds)[0] for seeds in (None, [None, None])]
    np.testing.assert_array_equal(*follow)  # the stream goes on
    assert (follow[0] != first).any()


def test_lanes_are_reset_one_by_one_without_autoreset() -> None:
    env = CentralVectorEnv(
        mfnet_envs.make_model("MFNet-Grid-v0", population=50),
        3,
        max_episode_steps=3,
        autoreset_mode=AutoresetMode.DISABLED,
    )
    env.reset(seed=0)
    zero = np.zeros(env.action_space.shape)
    env.step(zero)
    kept = env.state()
    observations, infos = env.reset(options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(observations[[0, 2]], kept[[0, 2]])
    assert (observations[1] != kept[1]).any()
    assert infos["_served"].tolist() == [False, True, False]
    env.step(zero)
    assert env.step(zero)[3].tolist() == [True, False, True]
    with pytest.raises(gym.error.ResetNeeded, match="the episode is over: call reset"):
        env.step(zero)
    env.reset(options={"reset_mask": np.array([True, False, True])})
    assert env.step(zero)[3].tolist() == [False, True, False]


def test_nothing_is_handed_out_twice() -> None:
    env = gym.make_vec("MFNet-Grid-v0", num_envs=2, max_episode_steps=2, autoreset_mode=AutoresetMode.SAME_STEP)
    calls = [env.reset(seed=0), *(env.step(np.zeros(env.action_space.shape)) for _ in range(5))]
    arrays = [part for call in calls for part in leaves(call)]
    assert len(set(map(id, arrays))) == len(arrays)
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def leaves(data: Any) -> Iterator[np.ndarray]:
    for value in data.values() if isinstance(data, dict) else data:
        if isinstance(value, dict):
            yield from leaves(value)
        elif isinstance(value, np.ndarray):
            yield value


def test_sync_mode_and_module_form_work_too() -> None:
    env = gym.make_vec("mfnet_envs:MFNet-Grid-v0", num_envs=2, vectorization_mode="sync", population=10)
    observations, _ = env.reset(seed=0)
    assert observations.shape == (2, 25)


def test_metadata_and_pictures() -> None:
    env = gym.make_vec("MFNet-Grid-v0", num_envs=2, render_mode="ansi", autoreset_mode="SameStep")
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.reset(seed=0)
    env.step(env.action_space.sample())
    frames = env.render()
    assert frames is not None and len(frames) == 2 and all("step 1" in str(frame) for frame in frames)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs must be a positive integer, not 0"),
        ({"max_episode_steps": 0}, "max_episode_steps must be a positive integer, not 0"),
        ({"render_mode": "human"}, "render_mode must be None or one of 'rgb_array', 'ansi', not 'human'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CentralVectorEnv(mfnet_envs.make_model("MFNet-Grid-v0"), **options)


def test_bad_calls() -> None:
    env = CentralVectorEnv(mfnet_envs.make_model("MFNet-Grid-v0"), 2)
    with pytest.raises(gym.error.ResetNeeded, match="has not been reset: call reset"):
        env.step(np.zeros((2, 125)))
    for seeds in ([1, 2, 3], [1, None], [1, -2], ["a", "b"]):
        with pytest.raises(ValueError, match="a list of seeds must hold 2 non-negative integers, not "):
            env.reset(seed=seeds)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must have shape \(2, 125\) \(25 teams of 5 numbers\), not \(125,\)"):
        env.step(np.zeros(125))
    with pytest.raises(ValueError, match="2 booleans"):
        env.reset(options={"reset_mask": np.array([1, 0])})
    with pytest.raises(ValueError, match="only with autoreset_mode"):
        env.reset(options={"reset_mask": np.array([True, False])})
