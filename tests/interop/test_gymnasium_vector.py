"""Gymnasium's vectors of central planners, and the single-file PPO of the examples on ours."""

import importlib.util
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import mfnet_envs

IDS = ("MFNet-Grid-v0", "MFNet-RideShareNYC-v0")
MODES = ("vector_entry_point", "sync", "async")
EXAMPLE = Path(__file__).parents[2] / "examples" / "cleanrl_style_ppo.py"


@pytest.fixture(scope="module")
def ppo() -> Any:
    spec = importlib.util.spec_from_file_location("cleanrl_style_ppo", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.set_num_threads(1)
    return module


def vector(env_id: str, mode: str, num_envs: int = 2, limit: int = 4) -> Any:
    options = {"max_episode_steps": limit, "population": 12}
    return gym.make_vec(env_id, num_envs=num_envs, vectorization_mode=mode, **options)


# -- the ways to a vector -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", IDS)
def test_all_modes_have_the_same_spaces_clock_and_masks(env_id: str) -> None:
    """Their random streams differ by design; spaces, shapes, ends, the reset step and the masks do not."""
    told: list[Any] = []
    for mode in MODES:
        venv = vector(env_id, mode)
        observation, info = venv.reset(seed=0)
        assert venv.observation_space.contains(observation)
        venv.action_space.seed(0)
        ends = []
        for step in range(10):
            observation, reward, terminated, truncated, info = venv.step(venv.action_space.sample())
            assert venv.observation_space.contains(observation) and np.isfinite(reward).all()
            assert reward.shape == (2,) and not terminated.any()
            if step in (4, 9):  # NEXT_STEP: the step after an end only resets
                assert not reward.any()
            ends.append(truncated.tolist())
        spaces = (venv.single_observation_space, venv.single_action_space, venv.observation_space, venv.action_space)
        told.append((spaces, ends, info["action_mask"].tolist(), venv.metadata["autoreset_mode"]))
        venv.close()
    assert told[0] == told[1] == told[2]
    assert told[0][1] == [[step in (3, 8)] * 2 for step in range(10)]


@pytest.mark.parametrize("env_id", IDS)
def test_one_lane_is_the_same_world_in_every_mode(env_id: str) -> None:
    """Bit for bit, through two resets; the sync vector holds the single environment."""
    trajectories = []
    for mode in MODES:
        venv = vector(env_id, mode, num_envs=1)
        venv.action_space.seed(1)
        rows = [venv.reset(seed=7)[0]]
        for _ in range(12):
            observation, reward, *_ = venv.step(venv.action_space.sample())
            rows.append(np.append(observation, reward))
        trajectories.append(np.concatenate([row.ravel() for row in rows]))
        venv.close()
    np.testing.assert_array_equal(trajectories[0], trajectories[1])
    np.testing.assert_array_equal(trajectories[0], trajectories[2])


# -- the example ----------------------------------------------------------------------------------------------------


def test_advantages_by_hand(ppo: Any) -> None:
    """gamma 1/2, lambda 1: step 1 ends the episode, step 2 resets, step 3 begins the next.

    Cut at a time limit: A_3 = 3 + 160/2 - 80 = 3; A_1 = 2 + 40/2 - 20 = 2; A_0 = (1 + 20/2 - 10) + A_1/2 = 2.
    Truly ended: A_1 = 2 - 20 = -18; A_0 = 1 - 9 = -8.
    """
    values = torch.tensor([[10.0], [20.0], [40.0], [80.0], [160.0]])
    ends, never = torch.tensor([[False], [True], [False], [False]]), torch.zeros(4, 1, dtype=torch.bool)
    rewards = torch.tensor([[1.0], [2.0], [0.0], [3.0]])
    cut = ppo.advantages({"reward": rewards, "terminated": never, "truncated": ends}, values, 0.5, 1.0)
    assert cut[[0, 1, 3], 0].tolist() == [2, 2, 3]
    ended = ppo.advantages({"reward": rewards, "terminated": ends, "truncated": never}, values, 0.5, 1.0)
    assert ended[[0, 1, 3], 0].tolist() == [-8, -18, 3]


def test_what_is_collected_is_what_one_environment_does(ppo: Any) -> None:
    """Replayed in the single environment: the row after a time limit still holds the episode's last observation."""
    torch.manual_seed(0)
    venv, single = vector("MFNet-Grid-v0", "vector_entry_point", 1), gym.make("MFNet-Grid-v0", population=12)
    agent = ppo.Agent(25, 125)
    start = torch.as_tensor(venv.reset(seed=3)[0])
    rollout, _, _ = ppo.collect(venv, agent, start, np.zeros(1, bool), 10)
    seen, _ = single.reset(seed=3)
    assert rollout["resets"][:, 0].tolist() == [step in (4, 9) for step in range(10)]
    for step in range(10):
        np.testing.assert_array_equal(rollout["seen"][step, 0], seen)
        if rollout["resets"][step, 0]:
            seen, reward = single.reset()[0], 0.0
        else:
            action = rollout["action"][step, 0].numpy()
            seen, reward, *_ = single.step(np.clip(action, -1, 1))
        assert rollout["reward"][step, 0] == pytest.approx(reward, abs=1e-6)


@pytest.mark.cell("gymnasium", "central", "Box logits", "PPO, single file")
@pytest.mark.parametrize("env_id", IDS)
def test_ppo_in_a_single_file(env_id: str, ppo: Any) -> None:
    """4 rollouts of 50 steps in episodes of 20 and a reset step: 200 steps, of which 9 (20, 41, ..., 188) reset."""
    model = mfnet_envs.make_model(env_id, population=12)
    venv = vector(env_id, "vector_entry_point", num_envs=3, limit=20)
    agent, learnt = ppo.train(venv, model.gamma, iterations=4, length=50)
    assert learnt == (200 - 9) * 3
    torch.manual_seed(0)
    fresh = ppo.Agent(venv.single_observation_space.shape[0], venv.single_action_space.shape[0])
    for old, new in zip(fresh.parameters(), agent.parameters(), strict=True):
        assert torch.isfinite(new).all() and not torch.equal(old, new)
    again, _ = ppo.train(vector(env_id, "vector_entry_point", 3, 20), model.gamma, iterations=4, length=50)
    assert all(torch.equal(a, b) for a, b in zip(agent.parameters(), again.parameters(), strict=True))
    report = mfnet_envs.evaluate(model, ppo.planner(agent, model), worlds=4, steps=20, warmup=0)
    assert np.isfinite(report["discounted_return_mean"])
