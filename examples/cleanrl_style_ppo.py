"""PPO in a single file, in CleanRL's manner, on a vector of central planners: ``gymnasium.make_vec``.

One network sees the shares of all 25 cells and sets the logits of all 25 teams. Two details that are easily lost: under
NEXT_STEP autoreset the step after an end only resets, so it is left out of the batch; and a time limit is no end, so
the value of the last observation is still ahead. Prints the discounted return per driver beside random, the best
heuristic and the bound, on the same 256 worlds.
"""

import gymnasium as gym
import numpy as np
import torch
from torch import nn

import mfnet_envs
from mfnet_envs.adapters.policies import CentralPolicy


class Agent(nn.Module):
    """A normal law over logits, its mean by a network and its width for each entry, and a value."""

    def __init__(self, size, actions, width=64):
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(size, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.mean.append(nn.Linear(width, actions))
        self.value = nn.Sequential(nn.Linear(size, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.value.append(nn.Linear(width, 1))
        self.log_std = nn.Parameter(torch.full((actions,), -1.0))
        for body, scale in ((self.mean, 0.01), (self.value, 1.0)):
            for layer in body[::2]:
                nn.init.orthogonal_(layer.weight, scale if layer is body[-1] else 2**0.5)
                nn.init.zeros_(layer.bias)

    def law(self, seen):
        return torch.distributions.Normal(self.mean(seen), self.log_std.exp())


def collect(envs, agent, seen, over, length):
    """Play ``length`` steps: tensors (length, num_envs, ...), and where it stopped. ``over``: lanes about to reset."""
    rows = []
    for _ in range(length):
        with torch.no_grad():
            law = agent.law(seen)
            action = law.sample()
        low, high = envs.action_space.low, envs.action_space.high
        after, reward, terminated, truncated, _ = envs.step(np.clip(action.numpy(), low, high))
        flags = [torch.as_tensor(flag) for flag in (over, terminated, truncated)]
        rows.append((seen, action, law.log_prob(action).sum(-1), torch.as_tensor(reward).float(), *flags))
        seen, over = torch.as_tensor(after), terminated | truncated
    names = ("seen", "action", "log_prob", "reward", "resets", "terminated", "truncated")
    rollout = {name: torch.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return rollout, seen, over


def advantages(rollout, values, gamma, lambda_):
    """Generalised advantages (length, num_envs), given V of all observations, ``values (length + 1, num_envs)``.

    At a time limit the value ahead counts, but nothing after it does; what a reset step gets is not used.
    """
    over = rollout["terminated"] | rollout["truncated"]
    ahead = gamma * values[1:] * ~rollout["terminated"]
    delta = rollout["reward"] + ahead - values[:-1]
    found = torch.zeros_like(values)
    for t in reversed(range(len(delta))):
        found[t] = delta[t] + gamma * lambda_ * ~over[t] * found[t + 1]
    return found[:-1]


def update(agent, optimizer, rollout, last_seen, gamma, lambda_=0.95, epochs=4, minibatches=8, clip=0.2):
    """PPO on one rollout; returns how many transitions it learnt from."""
    with torch.no_grad():
        values = agent.value(torch.cat([rollout["seen"], last_seen[None]])).squeeze(-1)
    advantage = advantages(rollout, values, gamma, lambda_)
    real = ~rollout["resets"]
    seen, action, old = (rollout[name][real] for name in ("seen", "action", "log_prob"))
    advantage, target = advantage[real], (advantage + values[:-1])[real]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    for _ in range(epochs):
        for rows in torch.randperm(len(seen)).chunk(minibatches):
            ratio = (agent.law(seen[rows]).log_prob(action[rows]).sum(-1) - old[rows]).exp()
            gain = torch.min(ratio * advantage[rows], ratio.clamp(1 - clip, 1 + clip) * advantage[rows]).mean()
            error = (agent.value(seen[rows]).squeeze(-1) - target[rows]).square().mean()
            optimizer.zero_grad()
            (0.5 * error - gain).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()
    return len(seen)


def train(envs, gamma, iterations, length=64, lr=1e-3, seed=0):
    """The agent after ``iterations`` rollouts, and how many transitions it has learnt from."""
    torch.manual_seed(seed)
    agent = Agent(envs.single_observation_space.shape[0], envs.single_action_space.shape[0])
    optimizer = torch.optim.Adam(agent.parameters(), lr=lr, eps=1e-5)
    seen, over, learnt = torch.as_tensor(envs.reset(seed=seed)[0]), np.zeros(envs.num_envs, bool), 0
    for i in range(iterations):
        optimizer.param_groups[0]["lr"] = lr * (1 - i / iterations)
        rollout, seen, over = collect(envs, agent, seen, over, length)
        learnt += update(agent, optimizer, rollout, seen, gamma)
    return agent, learnt


def planner(agent, model):
    """What was learnt, without its exploration, as a policy of mfnet."""

    def actions(observations):
        with torch.no_grad():
            return agent.mean(torch.as_tensor(observations)).numpy()

    return CentralPolicy(model, actions)


def main(iterations=100, num_envs=32):
    torch.set_num_threads(1)
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=100)
    envs = gym.make_vec("MFNet-Grid-v0", num_envs=num_envs, population=100)
    agent, learnt = train(envs, model.gamma, iterations)
    values = {
        name: mfnet_envs.evaluate(model, policy)["discounted_return_mean"]
        for name, policy in {**model.heuristics(), "PPO": planner(agent, model)}.items()
    }
    best = max(model.heuristics(), key=values.get)
    print(f"random: {values['random']:.2f}")
    print(f"best heuristic, {best}: {values[best]:.2f}")
    print(f"PPO after {learnt:,} steps: {values['PPO']:.2f}")
    print(f"bound: {model.bound().value:.2f}")


if __name__ == "__main__":
    main()
