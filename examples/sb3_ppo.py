"""Stable-Baselines3's PPO learns to drive a taxi: one network plays all 25 drivers of a 5 x 5 grid. Needs mfnet[sb3].

Every driver of eight worlds is a lane of the VecEnv, is paid what it earns itself, and sees the crowd on its own cell
and next door. Printed is the discounted return per driver of random moves, of the best rule of thumb and of what PPO
has learnt, all on the same 256 worlds, and the bound that no policy exceeds. About 15 seconds.
"""

import torch
from stable_baselines3 import PPO

import mfnet_envs
from mfnet_envs.adapters.sb3 import as_policy, make_vec_env

torch.set_num_threads(1)  # the network is small: threads would wait for each other
env = make_vec_env("MFNet-Grid-v0", view="agents", num_worlds=8, population=25, observe="hood")
model = env.model

algorithm = PPO(
    "MlpPolicy",
    env,
    gamma=model.gamma,  # the scenario's own, as in its criterion and bound
    gae_lambda=0.9,
    n_steps=64,
    batch_size=1600,
    n_epochs=4,
    learning_rate=1e-3,
    seed=0,
    device="cpu",
)
steps = 10_240  # of a world, in which everybody acts once
algorithm.learn(steps * model.population)


def line(name, policy):
    report = mfnet_envs.evaluate(model, policy)
    value, interval = report["discounted_return_mean"], report["discounted_return_ci95"]
    return value, f"{name}: {value:.3f} ± {interval:.3f}"


rules = {name: line(name, policy) for name, policy in model.heuristics().items()}
print(rules["random"][1])
print("best rule of thumb,", max(rules.values())[1])
print(line(f"PPO after {steps:,} steps", as_policy(algorithm))[1])
print(f"bound: {model.bound().value:.3f}")
