"""MAPPO for a hundred drivers with TorchRL's own parts: one masked actor for all, a critic that sees the whole city.

Everybody is paid the mean reward, so they learn what is best for all. Prints the discounted return per driver beside
random, the best heuristic and the bound, on the same 256 worlds.
"""

import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.modules import MLP, MaskedCategorical, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss, ValueEstimators

import mfnet_envs
from mfnet_envs.adapters.policies import ObservedPolicy
from mfnet_envs.adapters.torchrl import MFNetEnv

WORLDS, STEPS, BATCHES = 16, 30, 30  # 14,400 steps of the world
torch.set_num_threads(1)
torch.manual_seed(0)

env = MFNetEnv("MFNet-Grid-v0", "agents", WORLDS, population=100, reward="mean", seed=0)
model = env.worlds.model
keys = {"observation": ("agent", "observation"), "mask": ("agent", "action_mask"), "logits": ("agent", "logits")}

net = MLP(in_features=env.worlds.observer.size, out_features=5, depth=1, num_cells=64, activation_class=nn.Tanh)
actor = ProbabilisticActor(
    TensorDictModule(net, [keys["observation"]], [keys["logits"]]),
    in_keys={"logits": keys["logits"], "mask": keys["mask"]},
    out_keys=[("agent", "action")],
    distribution_class=MaskedCategorical,
    return_log_prob=True,
    log_prob_key=("agent", "log_prob"),
)


class Critic(nn.Module):
    """The same value for all, from mu: they earn the same."""

    def __init__(self):
        super().__init__()
        self.net = MLP(in_features=25, out_features=1, depth=1, num_cells=64, activation_class=nn.Tanh)

    def forward(self, mu):
        return self.net(mu).unsqueeze(-2).expand(*mu.shape[:-1], model.population, 1)


critic = ValueOperator(Critic(), in_keys=["state"], out_keys=[("agent", "state_value")])
loss = ClipPPOLoss(actor, critic, entropy_coeff=0.0, normalize_advantage=True, normalize_advantage_exclude_dims=(-2,))
own = ("action", "reward", "done", "terminated", "advantage", "value_target")
loss.set_keys(
    **{name: ("agent", name) for name in own}, sample_log_prob=("agent", "log_prob"), value=critic.out_keys[0]
)
loss.make_value_estimator(ValueEstimators.GAE, gamma=model.gamma, lmbda=0.8)
optimizer = torch.optim.Adam(loss.parameters(), lr=5e-3)

frames = {"frames_per_batch": WORLDS * STEPS, "total_frames": WORLDS * STEPS * BATCHES}
for batch in Collector(env, actor, auto_register_policy_transforms=False, **frames):
    for _ in range(4):
        with torch.no_grad():
            loss.value_estimator(
                batch, params=loss.critic_network_params, target_params=loss.target_critic_network_params
            )
        for part in batch.split(STEPS // 2, 1):
            terms = loss(part)
            optimizer.zero_grad()
            (terms["loss_objective"] + terms["loss_entropy"] + terms["loss_critic"]).backward()
            optimizer.step()


@torch.no_grad()
def probabilities(observations):
    return net(torch.as_tensor(observations)).softmax(-1).numpy()


def value(policy):
    return mfnet_envs.evaluate(model, policy)["discounted_return_mean"]


heuristics = {name: value(policy) for name, policy in model.heuristics().items()}
best = max(heuristics, key=heuristics.get)
print(f"random: {heuristics['random']:.2f}")
print(f"best heuristic, {best}: {heuristics[best]:.2f}")
learnt = ObservedPolicy.of(env.worlds, probabilities, masked=True)
print(f"MAPPO after {WORLDS * STEPS * BATCHES:,} steps: {value(learnt):.2f}")
print(f"bound: {model.bound().value:.2f}")
