"""One Q-network for a hundred drivers, learnt by Tianshou's DQN, illegal moves masked.

Prints the discounted return per driver beside random, the best heuristic and the bound, on the same 256 worlds. The
greedy policy sends everybody in a cell the same way; drivers who move at random now and then spread out and earn more.
"""

import numpy as np
import torch
from tianshou.algorithm.modelfree.dqn import DQN, DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, CollectStats, VectorReplayBuffer
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net

import mfnet_envs
from mfnet_envs.adapters.policies import ObservedPolicy
from mfnet_envs.adapters.tianshou import SharedPolicyVectorEnv

STEPS = 1000  # of the world: a hundred transitions each
torch.set_num_threads(1)
torch.manual_seed(0)
np.random.seed(0)  # noqa: NPY002 (Tianshou explores by numpy's global generator)

env = SharedPolicyVectorEnv("MFNet-Grid-v0", population=100)
env.seed(0)
net = Net(state_shape=env.observation_space[0].shape, action_shape=5, hidden_sizes=[64, 64])
policy = DiscreteQLearningPolicy(model=net, action_space=env.action_space[0], eps_training=0.5)
algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=0.95, target_update_freq=100)
collector = Collector[CollectStats](algorithm, env, VectorReplayBuffer(50_000, len(env)), exploration_noise=True)
collector.reset()
algorithm.run_training(
    OffPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=STEPS * len(env),
        collection_step_num_env_steps=len(env),
        update_step_num_gradient_steps_per_sample=2 / len(env),
        batch_size=256,
        verbose=False,
        show_progress=False,
    )
)

model = mfnet_envs.make_model("MFNet-Grid-v0", population=100)


def epsilon_greedy(epsilon):
    def probabilities(observations):  # (K, 25 + 1): which cell, mu(s)
        with torch.no_grad():
            values = net(observations)[0].numpy()
        legal = model.legal[observations[:, :25].argmax(1)]
        greedy = np.where(legal, values, -np.inf).argmax(1)
        return (1 - epsilon) * np.eye(5)[greedy] + epsilon * legal / legal.sum(1, keepdims=True)

    return ObservedPolicy(model, probabilities, masked=True)


def value(policy):
    return mfnet_envs.evaluate(model, policy)["discounted_return_mean"]


heuristics = {name: value(policy) for name, policy in model.heuristics().items()}
best = max(heuristics, key=heuristics.get)
print(f"random: {heuristics['random']:.2f}")
print(f"best heuristic, {best}: {heuristics[best]:.2f}")
print(f"DQN after {collector.collect_step:,} transitions, greedy: {value(epsilon_greedy(0.0)):.2f}")
print(f"the same, 3 moves in 10 at random: {value(epsilon_greedy(0.3)):.2f}")
print(f"bound: {model.bound().value:.2f}")
