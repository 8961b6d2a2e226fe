"""Every registered id through the conformance tests of Gymnasium, PettingZoo and Stable-Baselines3, and through ours.

PettingZoo's own tests leave much unchecked (its parallel seed test stops after one step for string ids, none looks
whether dicts are reused or infos distinct), so the second half of this file asks for these.
"""

import hashlib
import importlib
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
    state_test,
)
from pettingzoo.utils.conversions import parallel_to_aec

import mfnet_envs
from mfnet_envs.registration import scenarios

IDS = sorted(scenarios())
VIEWS = ("teams", "agents")
EVERY = [(env_id, view) for env_id in IDS for view in VIEWS]
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """A conformance test that only warns has still found something."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # the paper's observation mu(s) is one number, and 0 where nobody is
        warnings.filterwarnings("ignore", "Observation (is a single number|numpy array is all zeros)")
        yield


def maker(env_id: str, view: str, **options: Any) -> Callable[..., Any]:
    def make(**more: Any) -> Any:
        return mfnet_envs.parallel_env(env_id, view=view, **{"population": 6, "max_cycles": 8, **options, **more})

    return make


def module_of(env_id: str) -> Any:
    """The scenario's module, PettingZoo's way to an environment."""
    return importlib.import_module(str(scenarios()[env_id].builder).partition(":")[0])


def sampled(env: Any, seed: int) -> list[dict[str, Any]]:
    """Eight joint actions."""
    for i, agent in enumerate(env.possible_agents):
        env.action_space(agent).seed(seed + i)
    return [{agent: env.action_space(agent).sample() for agent in env.possible_agents} for _ in range(8)]


# -- other people's tests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_check_env(env_id: str) -> None:
    check_env(gym.make(env_id, population=20).unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_passive_checker_and_spec_round_trip(env_id: str) -> None:
    """``gym.make`` checks every step; the spec rebuilds the environment from JSON."""
    env = gym.make(env_id, population=20, max_episode_steps=5)
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    for made in (env, again):
        made.reset(seed=3)
        made.action_space.seed(3)
    for step in range(1, 6):
        first, second = (made.step(made.action_space.sample()) for made in (env, again))
        np.testing.assert_array_equal(first[0], second[0])
        assert first[1:4] == second[1:4] and first[3] is (step == 5)


@pytest.mark.parametrize("env_id", IDS)
def test_stable_baselines3_check_env(env_id: str) -> None:
    from stable_baselines3.common.env_checker import check_env as check

    check(gym.make(env_id, population=20).unwrapped, warn=True, skip_render_check=False)


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_pettingzoo_parallel_api(env_id: str, view: str) -> None:
    parallel_api_test(maker(env_id, view)(), num_cycles=20)


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_pettingzoo_api(env_id: str, view: str) -> None:
    with warnings.catch_warnings():
        # its own conversion wrapper offers dicts of spaces that it calls deprecated
        warnings.filterwarnings("ignore", "The `(observation|action)_spaces` dictionary is deprecated")
        api_test(parallel_to_aec(maker(env_id, view)()), num_cycles=20)
        api_test(mfnet_envs.env(env_id, view, population=3, max_cycles=4), num_cycles=10)


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_pettingzoo_seed(env_id: str, view: str) -> None:
    parallel_seed_test(maker(env_id, view))
    seed_test(lambda: parallel_to_aec(maker(env_id, view)()), num_cycles=20)


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_pettingzoo_state(env_id: str, view: str) -> None:
    parallel = maker(env_id, view)()
    state_test(parallel_to_aec(maker(env_id, view)()), parallel)


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_pettingzoo_render(env_id: str, view: str) -> None:
    render_test(lambda render_mode: parallel_to_aec(maker(env_id, view, population=3)(render_mode=render_mode)))


@pytest.mark.parametrize("env_id", IDS)
def test_pettingzoo_max_cycles(env_id: str) -> None:
    max_cycles_test(module_of(env_id))


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_supersuit_makes_a_vector_environment(env_id: str, view: str) -> None:
    import supersuit

    venv = supersuit.pettingzoo_env_to_vec_env_v1(maker(env_id, view)())
    observations, _ = venv.reset(seed=0)
    assert observations.shape == (venv.num_envs, *venv.observation_space.shape)
    for _ in range(10):
        actions = np.stack([venv.action_space.sample() for _ in range(venv.num_envs)])
        observations, rewards, terminated, truncated, _ = venv.step(actions)
        assert np.isfinite(observations).all() and np.isfinite(rewards).all() and not terminated.any()
        assert truncated.all() or not truncated.any()


# -- what they leave out --------------------------------------------------------------------------------------------


def objects(data: Any) -> Iterator[Any]:
    """Every dict and array inside, the outer dict first."""
    if isinstance(data, dict):
        yield data
        for value in data.values():
            yield from objects(value)
    elif isinstance(data, np.ndarray):
        yield data


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_nothing_is_handed_out_twice(env_id: str, view: str) -> None:
    """Whoever writes into what he got changes nobody else's: neither another agent's, nor what comes later."""
    env = maker(env_id, view)()
    calls = [env.reset(seed=0), *(env.step(actions) for actions in sampled(env, 0)[:3])]
    everything = [part for call in calls for whole in call for part in objects(whole)]
    assert len(set(map(id, everything))) == len(everything)
    arrays = [part for part in everything if isinstance(part, np.ndarray)]
    before = [array.copy() for array in arrays]
    for k, array in enumerate(arrays):
        array[...] = 1 - array
        assert all(np.array_equal(a, b) for a, b in zip(arrays[k + 1 :], before[k + 1 :], strict=True))
    assert env.state_space.contains(env.state()) and env.state() is not env.state()


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_types_and_containment(env_id: str, view: str) -> None:
    env = maker(env_id, view)()
    observations, infos = env.reset(seed=1)
    keys = set(next(iter(infos.values())))
    assert {"action_mask", "served"} <= keys
    for step, actions in enumerate(sampled(env, 1), 1):
        observations, rewards, terminated, truncated, infos = env.step(actions)
        ids = set(env.possible_agents)
        assert ids == observations.keys() == rewards.keys() == terminated.keys() == truncated.keys() == infos.keys()
        for agent in ids:
            assert env.observation_space(agent).contains(observations[agent])
            assert observations[agent].dtype == np.float32 and observations[agent].ndim == 1
            assert type(rewards[agent]) is float
            assert terminated[agent] is False and truncated[agent] is (step == 8)
            assert infos[agent].keys() == keys
            assert infos[agent]["action_mask"].dtype == np.int8 and infos[agent]["action_mask"].any()
            assert type(infos[agent]["served"]) is float
        assert env.agents == ([] if step == 8 else env.possible_agents)
        assert env.counts.sum() == 6 and env.state().dtype == np.float32
    assert env.reset()[0].keys() == ids and env.agents == env.possible_agents


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_array_doors_give_the_same_step(env_id: str, view: str) -> None:
    dicts, arrays = maker(env_id, view)(), maker(env_id, view)()
    observations, infos = dicts.reset(seed=2)
    rows, info = arrays.reset_array(seed=2)
    for actions in sampled(dicts, 2):
        np.testing.assert_array_equal(np.stack(list(observations.values())), rows)
        np.testing.assert_array_equal(np.stack([i["action_mask"] for i in infos.values()]), info["action_mask"])
        assert [i["served"] for i in infos.values()] == info["served"].tolist()
        observations, rewards, terminated, truncated, infos = dicts.step(actions)
        rows, paid, over, cut, info = arrays.step_array(np.stack(list(actions.values())))
        assert list(rewards.values()) == paid.tolist()
        assert set(terminated.values()) == {over} and set(truncated.values()) == {cut}


EPISODE = """
import hashlib, pickle, sys
import numpy as np
import mfnet_envs

def play(env, seed):
    for i, agent in enumerate(env.possible_agents):
        env.action_space(agent).seed(seed + i)
    digest = hashlib.sha256()
    def eat(data):
        if isinstance(data, dict):
            for key in sorted(data):
                digest.update(key.encode())
                eat(data[key])
        else:
            digest.update(np.asarray(data).tobytes())
    for part in env.reset(seed=seed):
        eat(part)
    while env.agents:
        for part in env.step({a: env.action_space(a).sample() for a in env.possible_agents}):
            eat(part)
    return digest.hexdigest()
"""


@pytest.mark.parametrize("env_id", IDS)
def test_whole_episodes_repeat_in_another_process(env_id: str) -> None:
    """All steps, both views; the other process has another hash seed, so no set or dict order may matter."""
    here: dict[str, Any] = {}
    exec(EPISODE, here)
    for view in VIEWS:
        call = f"play(mfnet_envs.parallel_env({env_id!r}, view={view!r}, population=20, max_cycles=30), 7)"
        command = [sys.executable, "-c", f"{EPISODE}\nprint({call})"]
        other = {**os.environ, "PYTHONHASHSEED": "1"}
        there = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=other).stdout
        assert there.strip() == eval(call, here)


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_a_pickled_environment_goes_on_like_the_original(env_id: str, view: str) -> None:
    env = maker(env_id, view)()
    env.reset(seed=5)
    actions = sampled(env, 5)
    env.step(actions[0])
    twin = pickle.loads(pickle.dumps(env))
    for joint in actions[1:]:
        one, two = env.step(joint), twin.step(joint)
        assert digest(one) == digest(two)
    assert digest(env.reset()) == digest(twin.reset())


@pytest.mark.parametrize("env_id", IDS)
def test_a_pickled_central_environment_goes_on_like_the_original(env_id: str) -> None:
    for env in (gym.make(env_id, population=20), gym.make_vec(env_id, num_envs=3, population=20)):
        env.reset(seed=5)
        env.action_space.seed(5)
        twin = pickle.loads(pickle.dumps(env))
        for _ in range(4):
            action = env.action_space.sample()
            assert digest(env.step(action)) == digest(twin.step(action))


def digest(data: Any) -> str:
    """A hash of nested tuples, dicts and numbers."""
    if isinstance(data, dict):
        return hashlib.sha256("".join(f"{k}{digest(v)}" for k, v in sorted(data.items())).encode()).hexdigest()
    if isinstance(data, tuple):
        return hashlib.sha256("".join(map(digest, data)).encode()).hexdigest()
    return hashlib.sha256(np.asarray(data).tobytes()).hexdigest()


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_another_seed_is_another_episode_and_no_seed_goes_on(env_id: str, view: str) -> None:
    env = maker(env_id, view, population=50)()

    def opening(seed: int | None) -> str:
        """Some scenarios begin in one place, so a few steps belong to it."""
        return digest((env.reset(seed=seed)[0], *(env.step(joint)[0] for joint in sampled(env, 5))))

    firsts = [opening(seed) for seed in (0, 1, 0)]
    assert firsts[0] == firsts[2] != firsts[1]
    assert opening(None) not in firsts


@pytest.mark.parametrize(("env_id", "view"), EVERY)
def test_what_other_libraries_read(env_id: str, view: str) -> None:
    env = maker(env_id, view)()
    prefix = view.removesuffix("s")
    assert env.possible_agents == [f"{prefix}_{i}" for i in range(len(env.possible_agents))]
    assert env.group_map == {prefix: env.possible_agents}
    assert env.metadata["is_parallelizable"] and env.metadata["name"].endswith(f"_{view}_v0")
    assert env.render_mode is None and env.max_cycles == 8
    assert env.observation_spaces.keys() == env.action_spaces.keys() == set(env.possible_agents)
    assert len({id(space) for space in env.action_spaces.values()}) == len(env.possible_agents)
    graph, (origin, target) = env.graph, env.edge_index
    order = list(graph.nodes)
    edges = {(order[v], order[w]) for v, w in zip(origin, target, strict=True)}
    assert edges == set(graph.edges) | {(w, v) for v, w in graph.edges}
    assert len(origin) == 2 * graph.number_of_edges()
