"""Proximal policy optimisation with decentralised policies: IPPO, MAPPO, and PPO on local critics.

The clipped surrogate of Schulman et al. (2017), mean over agents i of min(rho_i A_i, clip(rho_i, 1 - eps, 1 + eps) A_i)
with rho = pi(a | s, mu(s)) / pi_old(a | s, mu(s)), and generalised advantages A. Who learns, and what its critic sees:

========= ================================== ======================================================================
name      learner, reward                    critic
========= ================================== ======================================================================
IPPO      every agent, its own               V of its own state, on the crowd of its node (de Witt et al., 2020)
MAPPO     every state's team, the mean over  V of all, on the crowds of all nodes (Yu et al., 2022)
          all agents
LocalPPO  every state's team, what is earned V of each node, on the crowds of N^k; a team climbs the advantages of all
          around it                          critics of N^kappa, as in DEC-NEURAL-AC
========= ================================== ======================================================================

Who learns and what it is paid can be combined otherwise (``view``, ``reward``). Agents in one state that
do the same have the same ratio, so their advantages enter as two sums, of the positive and of the negative ones:
however many agents there are, a step of the policies costs O(states x actions).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet_agents import critics, updates
from mfnet_agents.algorithm import Algorithm, information_of
from mfnet_agents.baselines.config import IPPOConfig, LocalPPOConfig, MAPPOConfig, MFACConfig, PPOConfig, reward_size
from mfnet_agents.baselines.config_teams import ConsensusACConfig
from mfnet_agents.baselines.individuals import Crew
from mfnet_agents.checkpoint import generator_state, set_generator_state
from mfnet_agents.config import AUTO, AlgorithmConfig
from mfnet_agents.dec_neural_ac.algorithm import make_policy
from mfnet_agents.dec_neural_ac.ascent import Adam
from mfnet_agents.dec_neural_ac.ball import Ball
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.sampling import Law, Sampler, tensor
from mfnet_agents.nets import DTYPE
from mfnet_agents.policies.individual import IndividualPolicy, Seen
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Simulator


class Batch(NamedTuple):
    """What one iteration learns from: L samples of the whole network.

    Attributes:
        seen: what policies saw; up, down: ``(L, T, A)`` sums of the positive and the negative advantages of those who
            took each action.
        crowds: ``(L, V, G)`` shares; agents, targets: ``(R, L)`` how many a critic speaks for, and the sum of the
            returns they got.
        heard: what is reported of the worlds.
    """

    seen: Seen
    up: Floats
    down: Floats
    crowds: Tensor
    agents: Tensor
    targets: Tensor
    heard: dict[str, float]


def surrogate_slope(pi: Floats, old: Floats, up: Floats, down: Floats, clip: float) -> Floats:
    """The gradient of the clipped surrogate in the logits, ``(L, T, A)``; its rows sum to 0.

    d min(rho A, clip(rho) A) = rho A d log pi where rho < 1 + eps or A < 0, and rho > 1 - eps or A > 0; else 0.
    """
    ratio = np.divide(pi, old, out=np.zeros_like(pi), where=old > 0)
    along = ratio * (up * (ratio < 1 + clip) + down * (ratio > 1 - clip))
    slope: Floats = along - pi * along.sum(2, keepdims=True)
    return slope


def entropy_slope(pi: Floats, sizes: Ints) -> Floats:
    """The gradient of the entropy of all agents' policies in the logits, ``(L, T, A)``: -pi (log pi + H) each."""
    log = np.log(np.where(pi > 0, pi, 1.0))
    entropy = -(pi * log).sum(2, keepdims=True)
    slope: Floats = -sizes[..., None] * pi * (log + entropy)
    return slope


class Values:
    """R value networks on the crowds within k hops of a node each, fitted to the returns of the agents they speak for.

    Attributes:
        omega: ``(R, d, M)`` weights; offset: ``(R,)`` where values begin, set from the first batch.
    """

    def __init__(self, model: LocalModel, nodes: Ints, settings: PPOConfig, key: np.random.SeedSequence) -> None:
        network, hops = model.network, settings.critic_hops
        index, mask = np.arange(network.num_nodes)[None], np.ones((1, network.num_nodes), bool)
        if hops is not None:
            near, is_near = network.hops(hops)
            index, mask = near[nodes], is_near[nodes]
        shape = (network.num_nodes, model.num_groups)
        self.inputs = critics.CriticInputs(
            torch.as_tensor(index),
            torch.as_tensor(mask, dtype=DTYPE),
            torch.zeros(shape, dtype=DTYPE),
            torch.full(shape, float(network.num_nodes), dtype=DTYPE),
            constant=True,
        )
        self.rows = len(nodes)
        self.net = critics.create(key, np.arange(self.rows), self.inputs, settings.critic_width, symmetric=True)
        self.omega, self.offset = self.net.start.clone(), torch.zeros(self.rows, dtype=DTYPE)
        self.ascent = Adam(torch.zeros((2, *self.omega.shape), dtype=DTYPE), 1e-8)

    def seen(self, crowds: Tensor) -> Tensor:
        """Inputs ``(R, L, d)`` from shares ``(L, V, G)``."""
        return self.inputs(crowds).expand(self.rows, -1, -1)

    def __call__(self, crowds: Tensor) -> Tensor:
        """V ``(R, L)`` at shares ``(L, V, G)``."""
        return self.net.value(self.omega, self.seen(crowds)) + self.offset[:, None]

    def fit(self, crowds: Tensor, agents: Tensor, targets: Tensor, lr: float) -> float:
        """One step down the squared error, mean over agents; returns that error before it, up to a constant."""
        x = self.seen(crowds)
        hidden = self.net.hidden(self.omega, x)
        wrong = agents * (self.net.read(hidden) + self.offset[:, None]) - targets
        gradient = self.net.weighted_gradient(hidden, x, wrong / agents.sum().clamp_min(1))
        self.ascent.step_(self.omega, -gradient, lr)
        return float((wrong**2 / agents.clamp_min(1)).sum() / agents.sum().clamp_min(1))

    def state(self) -> dict[str, Tensor]:
        return {"omega": self.omega, "offset": self.offset, **self.ascent.state()}

    def take(self, state: Mapping[str, Tensor]) -> None:
        self.omega, self.offset = state["omega"], state["offset"]
        self.ascent.take({name: state[name] for name in self.ascent.state()})


class Teams:
    """The team of every node is a learner: rewards and values of nodes."""

    def __init__(
        self, model: LocalModel, settings: PPOConfig, law: Law, gamma: float, rng: np.random.Generator
    ) -> None:
        self.model, self.settings, self.gamma = model, settings, gamma
        self.sampler = Sampler(
            Simulator(model), law, gamma, settings.num_envs_per_env_runner, rng, kept={"sizes", "actions"}
        )
        central = settings.critic_hops is None
        self.nodes: Ints = np.zeros(1, np.int64) if central else np.arange(model.network.num_nodes)
        self.row = np.zeros(len(model.team_states), np.int64) if central else model.network.node_of[model.team_states]
        self.ball = None
        if settings.reward == "own" and settings.critic_hops is not None:
            reach = settings.critic_hops + (np.inf if settings.lambda_ == 1 else round(1 / (1 - settings.lambda_)))
            asked = settings.credit_hops
            self.ball = Ball.of(model.network, int(model.network.within(reach) if asked == AUTO else asked))

    def collect(self, policy: IndividualPolicy, values: Values, is_new: bool) -> Batch:
        """A rollout, and what it is worth to whom."""
        settings, start = self.settings, self.sampler.clock
        sample, episodes = self.sampler.rollout(policy, settings.rollout_fragment_length)
        shape, crowds = sample.cut.shape, sample.groups()
        paid = tensor(sample.flat("rewards").T.copy()) * self.reward_scale
        if self.ball is None:
            paid = paid.sum(0).expand(len(self.nodes), -1)
        if is_new:
            values.offset = paid.mean(1) / (1 - self.gamma)
        v, following = values(crowds), values(sample.groups(following=True))
        delta = (paid + self.gamma * following - v).reshape(-1, *shape)
        cut = torch.as_tensor(sample.cut)
        gained = updates.lambda_advantages(delta, cut, self.gamma, settings.lambda_).flatten(1)
        sizes, actions = (sample.flat(name).astype(np.int64) for name in ("sizes", "actions"))
        advantages = updates.centred((gained if self.ball is None else self.ball.sum(gained))[self.row])
        advantages = advantages / updates.rms(updates.squares(advantages, tensor(sizes.T.copy())).sum(0))
        each: Floats = advantages.T.numpy()[..., None]
        clock = np.repeat(np.arange(start, start + shape[0]), shape[1])
        heard = {"sampled_reward_mean": float(sample.rewards.sum(2).mean()), "num_episodes": len(episodes)}
        return Batch(
            Seen(sizes, sample.flat("crowd").astype(np.float64), clock),
            np.asarray(actions * np.maximum(each, 0), np.float64),
            np.asarray(actions * np.minimum(each, 0), np.float64),
            crowds,
            torch.ones_like(v),
            gained + v,
            heard | ({"discounted_return_mean": float(episodes.mean())} if len(episodes) else {}),
        )

    @property
    def reward_scale(self) -> float:
        """Brings what is earned, discounted and summed up, to the order of 1."""
        share = 1 if self.ball is None else self.model.network.num_nodes
        return share * (1 - self.gamma) / reward_size(self.model)


class Individuals:
    """Every agent is a learner, with the weights and the critic of the state that it is in."""

    def __init__(
        self, model: LocalModel, settings: PPOConfig, law: Law, gamma: float, rng: np.random.Generator
    ) -> None:
        self.model, self.settings, self.gamma = model, settings, gamma
        keep = gamma if law == "restart" else 1.0
        self.sampler = Crew(Simulator(model), settings.num_envs_per_env_runner, keep, rng)
        self.nodes: Ints = np.asarray(model.network.node_of)
        self.team_of: Ints = np.full(model.network.num_states, -1)
        self.team_of[model.team_states] = np.arange(len(model.team_states))

    def collect(self, policy: IndividualPolicy, values: Values, is_new: bool) -> Batch:
        """A rollout, and what it is worth to whom."""
        lives = self.sampler.play(policy, self.settings.rollout_fragment_length)
        paid = lives.rewards * ((1 - self.gamma) / reward_size(self.model))
        if self.settings.reward == "shared":
            paid = np.broadcast_to(paid.mean(2, keepdims=True), paid.shape)
        if is_new:
            values.offset = torch.full_like(values.offset, float(paid.mean()) / (1 - self.gamma))
        sample = np.arange(lives.cut.size).reshape(lives.cut.shape)[..., None]
        crowds = self._crowds(lives.counts)
        v = values(crowds).numpy()[lives.states, sample]
        following = values(self._crowds(lives.next_counts)).numpy()[lives.next_states, sample]
        delta = torch.as_tensor((paid + self.gamma * following - v).transpose(2, 0, 1))
        gained = updates.lambda_advantages(delta, torch.as_tensor(lives.cut), self.gamma, self.settings.lambda_)
        advantages: Floats = gained.numpy().transpose(1, 2, 0)
        team = self.team_of[lives.states]
        acting = team >= 0
        scaled = (advantages - advantages[acting].mean()) / max(float(advantages[acting].std()), 1e-8)
        shape = (lives.cut.size, len(policy.states), self.model.num_actions)
        cell = ((sample * shape[1] + team) * shape[2] + lives.actions)[acting]
        up, down = (
            np.asarray(np.bincount(cell, kept, math.prod(shape)).reshape(shape), np.float64)
            for kept in (np.maximum(scaled[acting], 0), np.minimum(scaled[acting], 0))
        )
        states = self.model.network.num_states
        place = (lives.states * lives.cut.size + sample).reshape(-1)
        total = np.bincount(place, (advantages + v).reshape(-1), states * lives.cut.size).reshape(states, -1)
        counts = lives.counts.reshape(-1, states)
        clock = np.repeat(lives.clock, lives.cut.shape[1])
        heard = {"sampled_reward_mean": float(lives.rewards.mean()), "num_episodes": len(lives.returns)}
        return Batch(
            Seen(counts[:, policy.states], np.asarray(crowds) * self.model.population, clock),
            up,
            down,
            crowds,
            tensor(counts.T.copy()),
            torch.as_tensor(total),
            heard | ({"discounted_return_mean": float(lives.returns.mean())} if len(lives.returns) else {}),
        )

    def _crowds(self, counts: Ints) -> Tensor:
        """Shares of the groups ``(L, V, G)`` of counts ``(T, B, S)``."""
        crowd = self.sampler.simulator.crowd(counts.reshape(-1, counts.shape[2]))
        return tensor(crowd / self.model.population)


VIEWS: dict[str, type[Teams] | type[Individuals]] = {"teams": Teams, "individuals": Individuals}


class PlaysLikeOurs(Algorithm):
    """A learner whose policy is of DEC-NEURAL-AC's classes.

    Attributes:
        learned: that policy.
    """

    config: PPOConfig | MFACConfig | ConsensusACConfig
    learned: IndividualPolicy

    @property
    def policy(self) -> IndividualPolicy:
        return self.learned

    @property
    def information(self) -> str:
        return information_of(self.config.observe, getattr(self.learned, "clock", False))


class PPO(PlaysLikeOurs):
    """See the head of this file, and :class:`PPOConfig` for the options.

    Attributes:
        learned: the policy, of the same classes as DEC-NEURAL-AC's; values: the critics.
    """

    config: PPOConfig

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return PPOConfig

    def setup(self) -> None:
        settings, model = self.config, self.model
        settings.must_fit(model)
        gamma = model.gamma if settings.gamma is None else settings.gamma
        start, run, shuffle = np.random.SeedSequence(settings.seed).spawn(3)
        actor, critic = start.spawn(2)
        self.rng, self.shuffle = np.random.default_rng(run), np.random.default_rng(shuffle)
        self.learned = policy_like_ours(settings, model, actor)
        law: Law = "restart" if model.headline.criterion == "discounted" else "stationary"
        self.learner = VIEWS[settings.view](model, settings, law, gamma, self.rng)
        self.values = Values(model, self.learner.nodes, settings, critic)
        self.ascent = Adam(torch.zeros((2, *self.learned.theta.shape), dtype=DTYPE), 1e-5)

    @property
    def needs(self) -> str:
        hops = self.config.critic_hops
        seen = "all crowds" if hops is None else f"the crowds within k = {hops} hops"
        shared = ", and the rewards of all" if self.config.reward == "shared" else ""
        return f"{super().needs}; while it learns, {seen}{shared}"

    def training_step(self) -> dict[str, Any]:
        """A rollout; then epochs of steps along the clipped surrogate, and of the critics towards the returns."""
        settings, policy = self.config, self.learned
        batch = self.learner.collect(policy, self.values, is_new=self.iteration == 0)
        old, decay = policy.shares(batch.seen), self._decay()
        norms, errors = [], []
        for chosen in self._minibatches(len(old)):
            part = batch.seen.at(chosen)
            pi = policy.shares(part)
            slope = surrogate_slope(pi, old[chosen], batch.up[chosen], batch.down[chosen], settings.clip)
            if settings.entropy:
                slope = slope + settings.entropy * entropy_slope(pi, part.sizes)
            gradient = policy.score_along(part, slope) / (len(chosen) * self.model.population)
            self.ascent.step_(policy.theta, gradient, settings.actor_lr * decay)
            policy.update(policy.theta)
            critic_lr = settings.critic_lr * decay
            errors.append(
                self.values.fit(batch.crowds[chosen], batch.agents[:, chosen], batch.targets[:, chosen], critic_lr)
            )
            norms.append(float(gradient.norm()))
        learners = {"value_error": errors[0], "gradient_norm": norms[0]}
        return {"env_steps": len(old), "env_runners": batch.heard, "learners": learners}

    def _minibatches(self, samples: int) -> list[Ints]:
        size = self.config.minibatch_size
        orders = [self.shuffle.permutation(samples) for _ in range(self.config.num_epochs)]
        return [order[i : i + size] for order in orders for i in range(0, samples, size)]

    def _decay(self) -> float:
        """What step sizes are multiplied by; they fall over the budget."""
        return 1.0 - (1.0 - self.config.lr_decay) * min(1.0, self.env_steps / self.config.total_env_steps)

    # -- state

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        record = {"rng": generator_state(self.rng), "shuffle": generator_state(self.shuffle)}
        found = {
            "theta": self.learned.theta,
            "actor_signs": self.learned.net.signs,
            "actor_start": self.learned.net.start,
        }
        found |= {f"actor_{name}": value for name, value in self.ascent.state().items()}
        found |= {"critic_signs": self.values.net.signs}
        found |= {f"critic_{name}": value for name, value in self.values.state().items()}
        plain = {name: value.numpy() for name, value in found.items()}
        return record, plain | {f"sampler_{name}": x for name, x in self.learner.sampler.get_state().items()}

    def check_sizes(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        networks = 1 if self.config.weights == "shared" else len(self.model.team_states)
        networks *= self.model.num_actions if self.config.observe != "own" and self.config.weights == "own" else 1
        asked = networks, self.config.actor_width
        if arrays["actor_signs"].shape != asked:
            raise ValueError(
                f"its actor_signs has shape {arrays['actor_signs'].shape}, and its config asks for {asked}"
            )
        if arrays["critic_signs"].shape[-1] != self.config.critic_width:
            raise ValueError(f"its critics are not of the {self.config.critic_width} neurons that its config asks for")

    def check_state(self, record: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        super().check_state(record, arrays)
        states = arrays.get("sampler_states")
        if states is not None and not ((0 <= states) & (states < len(self.model.legal))).all():
            raise ValueError("its agents stand in states that there are not")
        counts = arrays.get("sampler_counts")
        if counts is not None and ((counts < 0).any() or (counts.sum(1) != self.model.population).any()):
            raise ValueError(f"its worlds do not hold {self.model.population} agents each")
        if arrays["sampler_clock"] < 0:
            raise ValueError("its clock stands before the beginning")
        for name in ("actor_signs", "critic_signs"):
            if not (np.abs(arrays[name]) == 1).all():
                raise ValueError(f"its {name} are not all 1 or -1")
        for name in (name for name in arrays if name.endswith(("_step", "_exp_avg_sq"))):
            if (arrays[name] < 0).any():
                raise ValueError(f"a number in its {name} is negative")

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        state = {name: torch.tensor(value) for name, value in arrays.items() if not name.startswith("sampler_")}
        net, values = self.learned.net, self.values
        self.learned.net = type(net)(state["actor_signs"], state["actor_start"])
        self.learned.update(state["theta"])
        self.ascent.take({name: state[f"actor_{name}"] for name in self.ascent.state()})
        values.net = type(net)(state["critic_signs"], values.net.start)
        values.take({name: state[f"critic_{name}"] for name in values.state()})
        prefix = "sampler_"
        kept = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
        self.learner.sampler.set_state(kept)
        set_generator_state(self.rng, record["rng"])
        set_generator_state(self.shuffle, record["shuffle"])


class IPPO(PPO):
    """PPO of independent learners."""

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return IPPOConfig


class MAPPO(PPO):
    """PPO with a critic of the whole network."""

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return MAPPOConfig


class LocalPPO(PPO):
    """PPO of teams on local critics."""

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return LocalPPOConfig


def policy_like_ours(
    settings: PPOConfig | MFACConfig | ConsensusACConfig, model: LocalModel, key: np.random.SeedSequence
) -> IndividualPolicy:
    """A policy of the class and the size that DEC-NEURAL-AC has, so that learners and not classes are compared."""
    asked = {
        name: getattr(settings, name) for name in ("env", "env_config", "weights", "observe", "clock", "actor_width")
    }
    asked["env_config"] = dict(settings.env_config)
    policy = make_policy(model, DecNeuralACConfig.from_dict(asked).resolved(model), key)
    assert isinstance(policy, IndividualPolicy)
    return policy
