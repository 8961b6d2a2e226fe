"""Consensus actor-critic (Zhang et al., 2018, algorithm 2, discounted): nodes agree on the value of what all earn.

Every node i keeps a value of its own, V(mu; v_i) = v_i . phi(mu), and an estimate of the reward that all share,
R(mu, h; l_i) = l_i . psi(mu, h), both linear in what everybody sees, phi all crowds and psi all crowds and actions. It
knows its own reward r_i only, here V r_i, so that the mean over the V nodes is what an agent earns:

    delta_i = r_i + gamma V(mu'; v_i) - V(mu; v_i)
    v_i  <-  sum_j c_ij (v_j + beta delta_j phi),          l_i  <-  sum_j c_ij (l_j + beta (r_j - R(l_j)) psi)
    theta_i  <-  theta_i + eta A_i grad log pi_i,          A_i = R(mu, h; l_i) + gamma V(mu'; v_i) - V(mu; v_i)

with Metropolis's weights c_ij = 1 / (1 + max(deg i, deg j)) of neighbours, which are doubly stochastic: the mean of all
v_i takes the step of a centralised critic that hears all rewards, whatever the network, and the v_i draw together as
fast as the network mixes. The critics' steps are averaged over minibatches, and the advantages brought to deviation 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from mfnet_agents.baselines.config import reward_size
from mfnet_agents.baselines.config_teams import ConsensusACConfig
from mfnet_agents.baselines.ppo import PlaysLikeOurs, policy_like_ours
from mfnet_agents.checkpoint import generator_state, set_generator_state
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.dec_neural_ac.ascent import Adam
from mfnet_agents.dec_neural_ac.sampling import Law, Rollout, Sampler
from mfnet_agents.nets import DTYPE, TwoLayer
from mfnet_agents.policies.individual import Seen
from mfnet_envs.arrays import Floats
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.simulator import Simulator


class Consensus:
    """Metropolis's weights as a table of neighbours.

    Attributes:
        index: ``(V, D)`` each node and its neighbours; weight: ``(V, D)``, rows and columns sum to 1.
    """

    def __init__(self, network: StateNetwork) -> None:
        self.index, mask = network.hops(1)
        nodes = np.arange(len(self.index))
        others = mask & (self.index != nodes[:, None])
        degree = others.sum(1)
        self.weight: Floats = others / (1.0 + np.maximum(degree[:, None], degree[self.index]))
        own = (self.index == nodes[:, None]) & mask
        self.weight = self.weight + own * (1 - self.weight.sum(1, keepdims=True))

    def __call__(self, x: Floats, rounds: int = 1) -> Floats:
        """``(V, d)`` after so many rounds of averaging."""
        for _ in range(rounds):
            mean = np.zeros_like(x)
            for slot in range(self.index.shape[1]):
                mean += self.weight[:, slot, None] * x[self.index[:, slot]]
            x = mean
        return x


class Features:
    """phi ``(L, d)`` of the crowds, psi ``(L, e)`` of crowds and actions: a constant, and shares of length 1 or less.

    For each group at each node its share of the population and that share's root, which tells 0 from a few.
    """

    def __init__(self, model: LocalModel) -> None:
        self.population = model.population

    def of_crowds(self, crowd: Floats) -> Floats:
        """``crowd (L, V, G)``."""
        mu = crowd.reshape(len(crowd), -1) / self.population
        found: Floats = np.concatenate([np.ones((len(mu), 1)), mu, np.sqrt(mu)], 1) / np.sqrt(3)
        return found

    def with_actions(self, crowd: Floats, actions: Floats) -> Floats:
        """``actions (L, T, A)`` agents."""
        done = actions.reshape(len(actions), -1) / self.population
        return np.concatenate([self.of_crowds(crowd), done], 1)


class Heard(NamedTuple):
    """L samples: phi, phi at the successor, psi, and what nodes earn, ``(L, V)``."""

    phi: Floats
    following: Floats
    psi: Floats
    rewards: Floats

    def at(self, some: Any) -> Heard:
        return Heard(*(part[some] for part in self))


class ConsensusAC(PlaysLikeOurs):
    """See the head of this file.

    Attributes:
        learned: the policy, of the same class as DEC-NEURAL-AC's; v: ``(V, d)``, l: ``(V, e)`` the nodes' critics.
    """

    config: ConsensusACConfig

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return ConsensusACConfig

    def setup(self) -> None:
        settings, model = self.config, self.model
        settings.must_fit(model)
        self.gamma = model.gamma if settings.gamma is None else settings.gamma
        actor, run, shuffle = np.random.SeedSequence(settings.seed).spawn(3)
        self.rng, self.shuffle = np.random.default_rng(run), np.random.default_rng(shuffle)
        self.learned = policy_like_ours(settings, model, actor)
        self.ascent = Adam(torch.zeros((2, *self.learned.theta.shape), dtype=DTYPE), 1e-5)
        law: Law = "restart" if model.headline.criterion == "discounted" else "stationary"
        worlds = settings.num_envs_per_env_runner
        self.sampler = Sampler(Simulator(model), law, self.gamma, worlds, self.rng, kept={"sizes", "actions"})
        self.consensus, self.features = Consensus(model.network), Features(model)
        nodes = model.network.num_nodes
        d = 1 + 2 * nodes * model.num_groups
        self.v = np.zeros((nodes, d))
        self.l = np.zeros((nodes, d + len(model.team_states) * model.num_actions))

    @property
    def needs(self) -> str:
        return f"{super().needs}; while it learns, all crowds and actions, its own reward, and its neighbours' weights"

    @property
    def unit(self) -> float:
        """Of rewards: what all earn, discounted and summed up, is of the order of 1."""
        return self.model.network.num_nodes * (1 - self.gamma) / reward_size(self.model)

    def training_step(self) -> dict[str, Any]:
        """A rollout; the critics' steps and rounds of consensus; a step of the policies."""
        settings, start = self.config, self.sampler.clock
        sample, episodes = self.sampler.rollout(self.learned, settings.rollout_fragment_length)
        heard, decay, errors = self.hear(sample), self._decay(), []
        for _ in range(settings.num_epochs):
            order = self.shuffle.permutation(sample.steps)
            for i in range(0, len(order), settings.minibatch_size):
                part = heard.at(order[i : i + settings.minibatch_size])
                errors.append(self.learn(part, settings.critic_lr * decay))
        clock = np.repeat(np.arange(start, start + len(sample.cut)), sample.cut.shape[1])
        norm = self._climb(sample, clock, self.advantages(heard), settings.actor_lr * decay)
        apart = float(np.abs(self.v - self.v.mean(0)).max())
        told = {"sampled_reward_mean": float(sample.rewards.sum(2).mean()), "num_episodes": len(episodes)}
        told |= {"discounted_return_mean": float(episodes.mean())} if len(episodes) else {}
        learners = {"td_error": errors[0], "disagreement": apart, "gradient_norm": norm}
        return {"env_steps": sample.steps, "env_runners": told, "learners": learners}

    def hear(self, sample: Rollout) -> Heard:
        """What the nodes learn from; nothing follows a step that ends an episode."""
        crowd, following = sample.flat("crowd"), self.features.of_crowds(sample.flat("next_crowd"))
        if self.model.episode_steps is not None:  # all worlds end together: a cut is such an end, or a fresh start
            ends = (self.sampler.clock - len(sample.cut) + np.arange(len(sample.cut)) + 1) % self.model.episode_steps
            following = following * np.repeat(ends != 0, sample.cut.shape[1])[:, None]
        psi = self.features.with_actions(crowd, sample.flat("actions"))
        return Heard(self.features.of_crowds(crowd), following, psi, sample.flat("rewards") * self.unit)

    def learn(self, heard: Heard, lr: float) -> float:
        """A step of every node's critics, and what neighbours make of it; the mean squared delta before it."""
        delta = heard.rewards + (self.gamma * heard.following - heard.phi) @ self.v.T
        wrong = heard.rewards - heard.psi @ self.l.T
        rounds, size = self.config.rounds, len(delta)
        self.v = self.consensus(self.v + lr * delta.T @ heard.phi / size, rounds)
        self.l = self.consensus(self.l + lr * wrong.T @ heard.psi / size, rounds)
        return float((delta**2).mean())

    def advantages(self, heard: Heard) -> Floats:
        """A ``(L, V)``: what each node believes that all gained."""
        found: Floats = heard.psi @ self.l.T + (self.gamma * heard.following - heard.phi) @ self.v.T
        return found

    def _climb(self, sample: Rollout, clock: Any, gained: Floats, lr: float) -> float:
        """A step of every team along its node's advantages; the length of the gradient."""
        policy, actions = self.learned, sample.flat("actions").astype(np.float64)
        sizes = sample.flat("sizes").astype(np.int64)
        seen = Seen(sizes, sample.flat("crowd").astype(np.float64), clock)
        centred = (gained - gained.mean(0))[:, sample.team_nodes]
        scale = np.sqrt((sizes * centred**2).sum(0) / np.maximum(1, sizes.sum(0)))
        each = (centred / np.maximum(scale, 1e-8))[..., None]
        slope = each * (actions - policy.shares(seen) * sizes[..., None])
        gradient = policy.score_along(seen, slope) / (len(sizes) * self.model.population)
        self.ascent.step_(policy.theta, gradient, lr)
        policy.update(policy.theta)
        return float(gradient.norm())

    def _decay(self) -> float:
        return 1.0 - (1.0 - self.config.lr_decay) * min(1.0, self.env_steps / self.config.total_env_steps)

    # -- state

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        record = {"rng": generator_state(self.rng), "shuffle": generator_state(self.shuffle)}
        net = self.learned.net
        found = {"theta": self.learned.theta, "signs": net.signs, "start": net.start, **self.ascent.state()}
        plain = {f"actor_{name}": value.numpy() for name, value in found.items()}
        plain |= {"v": self.v, "l": self.l}
        return record, plain | {f"sampler_{name}": x for name, x in self.sampler.get_state().items()}

    def check_state(self, record: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        super().check_state(record, arrays)
        counts = arrays["sampler_counts"]
        if (counts < 0).any() or (counts.sum(1) != self.model.population).any() or arrays["sampler_clock"] < 0:
            raise ValueError(f"its worlds do not hold {self.model.population} agents each, or begin before time does")
        if not (np.abs(arrays["actor_signs"]) == 1).all():
            raise ValueError("its actor_signs are not all 1 or -1")
        if (arrays["actor_step"] < 0).any() or (arrays["actor_exp_avg_sq"] < 0).any():
            raise ValueError("a number of its running means that is a square is negative")

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        state = {name.removeprefix("actor_"): torch.tensor(x) for name, x in arrays.items() if name[:6] == "actor_"}
        self.learned.net = TwoLayer(state["signs"], state["start"])
        self.learned.update(state["theta"])
        self.ascent.take({name: state[name] for name in self.ascent.state()})
        self.v, self.l = arrays["v"].copy(), arrays["l"].copy()
        prefix = "sampler_"
        self.sampler.set_state({name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)})
        set_generator_state(self.rng, record["rng"])
        set_generator_state(self.shuffle, record["shuffle"])
