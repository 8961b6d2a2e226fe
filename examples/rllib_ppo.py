"""RLlib's PPO on the grid: 25 drivers, one policy that all share, illegal moves masked.

Prints the discounted return per driver over 150 steps, in 256 worlds common to all rows: the random policy, the best
heuristic, what PPO has learnt after a few iterations, and the bound on every policy. About half a minute.

    pip install "mfnet[rllib]"
"""

import logging

import ray
from ray.rllib.algorithms.ppo import PPOConfig

import mfnet_envs
from mfnet_envs.adapters import rllib

ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200_000_000, logging_level=logging.ERROR)
rllib.register_all()
env = mfnet_envs.parallel_env("MFNet-Grid-v0", view="agents", population=25)
model = env.model


def worth(policy):
    report = mfnet_envs.evaluate(model, policy)
    return report["discounted_return_mean"], report["discounted_return_ci95"]


config = (
    PPOConfig()
    .environment("mfnet/grid-agents-v0", env_config={"population": 25, "max_cycles": 50, "action_mask": True})
    .env_runners(num_env_runners=0)  # 0: in this process; 2: in two others
    .training(gamma=model.gamma, lambda_=0.9, lr=1e-3, entropy_coeff=0.005, use_kl_loss=False, vf_clip_param=1e9)
    .training(train_batch_size_per_learner=256, minibatch_size=256, num_epochs=4)  # steps of the world; of drivers
    .debugging(seed=0)
)
algorithm = rllib.shared_policy(config).build_algo()
for _ in range(8):
    result = algorithm.train()
    mean = result["env_runners"]["episode_return_mean"] / 25  # RLlib sums over agents
    print(f"{result['num_env_steps_sampled_lifetime']:5.0f} steps: {mean:.2f} per driver and episode", flush=True)

heuristics = {name: worth(policy) for name, policy in model.heuristics().items()}
best = max(heuristics, key=heuristics.get)
learnt = worth(rllib.as_policy(algorithm.get_module(rllib.SHARED), env))
for name, (mean, ci95) in {
    "random": heuristics["random"],
    f"best heuristic ({best})": heuristics[best],
    "RLlib PPO": learnt,
}.items():
    print(f"{name}: {mean:.3f} ± {ci95:.3f}")
print(f"bound: {model.bound().value:.3f}")
algorithm.stop()
ray.shutdown()
