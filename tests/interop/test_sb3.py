"""Stable-Baselines3, sb3-contrib and the SuperSuit route really train; PPO gets above the best rule of thumb."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from supersuit import concat_vec_envs_v1, pettingzoo_env_to_vec_env_v1

import mfnet_envs
from mfnet_envs.adapters.sb3 import as_policy, make_vec_env

torch.set_num_threads(1)
both = pytest.mark.parametrize("env_id", ["MFNet-Grid-v0", "MFNet-RideShareNYC-v0"])
cell = pytest.mark.cell


def made(env_id: str, view: str, **options: Any) -> VecEnv:
    """Two worlds of ten agents."""
    return make_vec_env(env_id, view, 2, population=10, **options)


def ppo(kind: type[PPO], env: VecEnv) -> PPO:
    return kind("MlpPolicy", env, n_steps=100, batch_size=25 * env.num_envs, n_epochs=2, seed=0, device="cpu")


def trains(algorithm: BaseAlgorithm, steps: int = 200) -> None:
    """``steps`` of both worlds: all lanes are counted; every trained parameter has moved and is finite."""
    lanes = algorithm.get_env().num_envs
    before = {name: parameter.detach().clone() for name, parameter in algorithm.policy.named_parameters()}
    algorithm.learn(steps * lanes)
    assert algorithm.num_timesteps == steps * lanes
    for name, parameter in algorithm.policy.named_parameters():
        assert torch.isfinite(parameter).all(), name
        assert "target" in name or not torch.equal(parameter, before[name]), name  # target networks lag behind


def plays_on(algorithm: BaseAlgorithm) -> None:
    """What was learnt is a policy of the model, which pays it what it may pay."""
    policy = as_policy(algorithm)
    report = mfnet_envs.evaluate(policy.model, policy, worlds=4, steps=50, warmup=0)
    low, high = policy.model.reward_range
    assert low <= report["reward_per_step_mean"] <= high


@cell("stable-baselines3", "agents", "Discrete", "PPO")
@both
def test_ppo_agents(env_id: str) -> None:
    algorithm = ppo(PPO, made(env_id, "agents"))
    trains(algorithm)
    plays_on(algorithm)


@cell("stable-baselines3", "agents", "Discrete", "DQN")
@both
def test_dqn_agents(env_id: str) -> None:
    algorithm = DQN("MlpPolicy", made(env_id, "agents"), learning_starts=400, train_freq=2, seed=0, device="cpu")
    trains(algorithm)
    plays_on(algorithm)


@cell("sb3-contrib", "agents", "Discrete, masked", "MaskablePPO")
@both
def test_maskable_ppo_agents(env_id: str) -> None:
    algorithm = ppo(MaskablePPO, made(env_id, "agents"))
    trains(algorithm)
    plays_on(algorithm)


@cell("stable-baselines3", "teams", "Box logits", "PPO")
@both
def test_ppo_teams(env_id: str) -> None:
    algorithm = ppo(PPO, made(env_id, "teams", state_encoding="onehot"))
    trains(algorithm)
    plays_on(algorithm)


@cell("stable-baselines3", "teams", "Box logits", "SAC")
@both
def test_sac_teams(env_id: str) -> None:
    env = made(env_id, "teams", state_encoding="onehot")
    algorithm = SAC("MlpPolicy", env, learning_starts=40 * env.num_envs, train_freq=4, seed=0, device="cpu")
    trains(algorithm)
    plays_on(algorithm)


@cell("stable-baselines3", "teams", "Box shares", "PPO")
@both
def test_ppo_shares(env_id: str) -> None:
    algorithm = ppo(PPO, made(env_id, "teams", state_encoding="onehot", action="shares"))
    trains(algorithm)
    plays_on(algorithm)


@cell("stable-baselines3", "central", "Box logits", "PPO")
@both
def test_ppo_central(env_id: str) -> None:
    algorithm = ppo(PPO, made(env_id, "central"))
    trains(algorithm)
    plays_on(algorithm)


@cell("supersuit", "agents", "Discrete", "SB3 PPO")
@both
@pytest.mark.filterwarnings("ignore:The `render_mode` attribute is not defined")
def test_supersuit_route(env_id: str) -> None:
    """It trains, without a seed (``PPO(..., seed=0)`` raises) and without the time limit (tests/test_sb3.py)."""
    view = mfnet_envs.parallel_env(env_id, view="agents", population=10)
    env = concat_vec_envs_v1(pettingzoo_env_to_vec_env_v1(view), 2, num_cpus=1, base_class="stable_baselines3")
    with pytest.raises(AttributeError, match="seed"):
        PPO("MlpPolicy", env, seed=0)
    trains(PPO("MlpPolicy", VecMonitor(env), n_steps=100, batch_size=500, n_epochs=2, device="cpu"))


def test_the_example_gets_above_the_best_rule_of_thumb() -> None:
    """5 x 5 grid, 25 drivers: the intervals of PPO and of the best heuristic on common worlds do not touch. Measured
    8.19 against 7.64; after twice the steps the five seeds of benchmarks/interop.py lie between 8.21 and 8.28."""
    example = Path(__file__).parents[2] / "examples" / "sb3_ppo.py"
    text = subprocess.run([sys.executable, str(example)], check=True, capture_output=True, text=True).stdout
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", text)]
    random, _, rule, about_rule, learnt, about_learnt, bound = numbers
    assert random < rule and rule + about_rule < learnt - about_learnt and learnt < bound
