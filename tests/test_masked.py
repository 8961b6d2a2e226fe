"""Masks inside the observation: PettingZoo's own tests, and that nothing else has changed."""

import pickle
import warnings
from importlib.metadata import version
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.utils.conversions import parallel_to_aec

import mfnet_envs
from mfnet_envs.adapters.masked import MaskInObservation

IDS = ("MFNet-Grid-v0", "MFNet-RideShareNYC-v0")
EVERY = [(env_id, view) for env_id in IDS for view in ("teams", "agents")]


def masked(env_id: str, view: str, key: str = "observation") -> MaskInObservation:
    return MaskInObservation(mfnet_envs.parallel_env(env_id, view=view, population=6, max_cycles=8), key)


# Before 1.27, PettingZoo's own tests draw one number wherever there is a mask; a team's action is an array.
MASKS_ANY_SPACE = tuple(map(int, version("pettingzoo").split(".")[:2])) >= (1, 27)
BY_ITS_OWN_TESTS = [(env_id, view) for env_id, view in EVERY if view == "agents" or MASKS_ANY_SPACE]


@pytest.mark.parametrize(("env_id", "view"), BY_ITS_OWN_TESTS)
def test_pettingzoo_accepts_it(env_id: str, view: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # the paper's observation mu(s) is one number, and 0 where nobody is
        warnings.filterwarnings("ignore", "Observation (is a single number|numpy array is all zeros)")
        # PettingZoo's conversion wrapper offers dicts of spaces that it calls deprecated
        warnings.filterwarnings("ignore", "The `(observation|action)_spaces` dictionary is deprecated")
        # its advice against observations that are dicts
        warnings.filterwarnings("ignore", "Observation is not (a )?NumPy array")
        warnings.filterwarnings("ignore", "Observation space for each agent probably should be")
        parallel_api_test(masked(env_id, view), num_cycles=20)
        api_test(parallel_to_aec(masked(env_id, view)), num_cycles=20)
        parallel_seed_test(lambda: masked(env_id, view))
        seed_test(lambda: parallel_to_aec(masked(env_id, view)), num_cycles=20)


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_the_same_episode_with_the_mask_moved(env_id: str, view: str) -> None:
    """Beside an unwrapped twin: observation, mask, rewards, ends and the other infos are the twin's."""
    env, twin = masked(env_id, view, "observations"), masked(env_id, view).env
    given, plain = env.reset(seed=3), twin.reset(seed=3)
    for agent in env.possible_agents:
        twin.action_space(agent).seed(3)
    for step in range(9):
        for agent in env.possible_agents:
            seen, info = given[0][agent], plain[-1][agent]
            assert list(seen) == ["observations", "action_mask"] and env.observation_space(agent).contains(seen)
            np.testing.assert_array_equal(seen["observations"], plain[0][agent])
            np.testing.assert_array_equal(seen["action_mask"], info["action_mask"])
            assert given[-1][agent] == {"served": info["served"]}
        assert given[1:-1] == plain[1:-1] and env.agents == twin.agents
        if step < 8:
            actions = {agent: twin.action_space(agent).sample() for agent in twin.agents}
            given, plain = env.step(actions), twin.step(actions)
    assert not env.agents and all(given[3].values())


def test_masks_say_which_moves_leave_the_grid() -> None:
    """A grid of one row and two columns: up and down are illegal in both cells, left in one and right in the other."""
    env = MaskInObservation(mfnet_envs.parallel_env("MFNet-Grid-v0", view="agents", population=40, rows=1, cols=2))
    observations, _ = env.reset(seed=0)
    masks = {(int(seen["observation"][:2].argmax()), *seen["action_mask"].tolist()) for seen in observations.values()}
    assert masks == {(0, 1, 0, 1, 0, 0), (1, 1, 0, 0, 0, 1)}  # cell, then stay, up, right, down, left


@pytest.mark.parametrize("view", ["teams", "agents"])
def test_spaces_are_the_same_objects_and_arrays_are_fresh(view: str) -> None:
    env = masked("MFNet-Grid-v0", view)
    agent = env.possible_agents[0]
    assert env.observation_space(agent) is env.observation_space(agent)
    assert env.action_space(agent) is env.env.action_space(agent)
    arrays: list[Any] = []
    for _ in range(2):
        observations, _ = env.reset(seed=1)
        arrays += [array for seen in observations.values() for array in seen.values()]
    before = [array.copy() for array in arrays]
    for k, array in enumerate(arrays):
        array[...] = 1 - array
        assert all(np.array_equal(a, b) for a, b in zip(arrays[k + 1 :], before[k + 1 :], strict=True))


@pytest.mark.parametrize("view", ["teams", "agents"])
def test_a_pickled_one_goes_on_like_the_original(view: str) -> None:
    env = masked("MFNet-Grid-v0", view)
    env.reset(seed=5)
    for agent in env.possible_agents:
        env.action_space(agent).seed(5)
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(8):
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        one, two = env.step(actions), twin.step(actions)
        assert one[1:4] == two[1:4]
        for agent, seen in one[0].items():
            for name, array in seen.items():
                np.testing.assert_array_equal(array, two[0][agent][name])


def test_what_lies_underneath_shows_through() -> None:
    env = masked("MFNet-Grid-v0", "teams")
    env.reset(seed=0)
    assert env.metadata["name"] == "grid_teams_v0" and env.group_map == {"team": env.possible_agents}
    assert env.state_space.contains(env.state()) and env.render_mode is None and env.max_cycles == 8
    assert isinstance(env.unwrapped, mfnet_envs.views.TeamsEnv)


def test_bad_arguments() -> None:
    env = mfnet_envs.parallel_env("MFNet-Grid-v0", view="agents", population=2)
    with pytest.raises(ValueError, match="cannot be 'action_mask'"):
        MaskInObservation(env, "action_mask")
    env.action_spaces = dict.fromkeys(env.possible_agents, gym.spaces.MultiDiscrete([2, 2]))
    with pytest.raises(ValueError, match="only a Discrete or a flat Box"):
        MaskInObservation(env)
