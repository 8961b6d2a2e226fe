"""MF-Q and MF-AC (Yang et al., 2018): every agent's Q-function knows the others by their mean action.

Q_s(n, a, a_bar): the agent's state s, the crowd n in it, its action, and the mean of the one-hot actions of the other
agents around it (within ``hops`` of its node, 0: at its node). Agents of one state share their Q-function. It is fitted
to what they got,

    r + gamma sum_a' pi(a' | s', n', a_bar') Q_s'(n', a', a_bar')

and MF-Q's agents play pi(a | s, n, a_bar) = softmax_a Q_s(n, a, a_bar) / temperature. As a_bar is the mean of these
same pi, the two are iterated until they agree (their equations 11 and 12), from an even a_bar, each round counting 1/j:
no agent waits for what the others did a step ago. MF-AC's agents have a policy of their own, which climbs
Q_s(n, a, a_bar) - sum_a pi Q. Both look for an equilibrium of agents that are paid ``reward="own"``, not for the best
of all; ``"shared"`` pays all of them the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.algorithm import Algorithm, information_of
from mfnet_agents.baselines.config import MeanFieldConfig, MFACConfig, MFQConfig, reward_size
from mfnet_agents.baselines.individuals import Crew, Lives
from mfnet_agents.baselines.ppo import PlaysLikeOurs, policy_like_ours
from mfnet_agents.checkpoint import generator_state, set_generator_state
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.dec_neural_ac.ascent import Adam
from mfnet_agents.nets import DTYPE, TwoLayer, product
from mfnet_agents.policies.individual import Seen, bounded
from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.simulator import Simulator

ROUNDS = 12  # in which policies and mean actions are brought to agree


class Around:
    """Whose actions an agent hears of: the sums over the nodes within some hops of each node."""

    def __init__(self, model: LocalModel, hops: int) -> None:
        index, mask = model.network.hops(hops)
        self.hood: Ints = np.where(mask, index, model.network.num_nodes)
        self.node_of: Ints = np.asarray(model.network.node_of)
        self.shape = model.network.num_nodes, model.network.layers

    def total(self, actions: Floats) -> Floats:
        """Agents by action around each state, ``(L, S, A)``, from those in it, ``(L, S, A)``."""
        nodes = actions.reshape(len(actions), *self.shape, -1).sum(2)
        padded = np.concatenate([nodes, np.zeros_like(nodes[:, :1])], 1)
        found: Floats = padded[:, self.hood].sum(2)[:, self.node_of]
        return found


def mean_of(total: Floats) -> Floats:
    """The mean action ``(..., A)`` of agents by action; 0 of nobody."""
    found: Floats = total / np.maximum(total.sum(-1, keepdims=True), 1e-12)
    return found


class MeanFieldQ:
    """One network (13) for each state on (crowd, a_bar, action).

    Attributes:
        weights: ``(S, 2 + 2 A, M)``; offset: ``(S,)`` where values begin, set from the first batch.
    """

    def __init__(self, model: LocalModel, width: int, key: np.random.SeedSequence) -> None:
        states, self.actions = model.legal.shape
        self.net = TwoLayer.keyed(key, np.arange(states), 2 + 2 * self.actions, width, symmetric=True)
        self.weights, self.offset = self.net.start.clone(), torch.zeros(states, dtype=DTYPE)
        self.usual = torch.as_tensor(model.usual_counts, dtype=DTYPE)[:, None]
        self.ascent = Adam(torch.zeros((2, *self.weights.shape), dtype=DTYPE), 1e-8)

    def inputs(self, counts: Ints, around: Floats) -> Tensor:
        """``(S, L A, 2 + 2 A)`` from ``counts (L, S)`` and a_bar ``(L, S, A or 1, A)``, by own action or for all."""
        crowd = bounded(torch.as_tensor(counts.T, dtype=DTYPE), self.usual)[:, :, None].expand(-1, -1, self.actions, -1)
        others = torch.as_tensor(around.transpose(1, 0, 2, 3)).expand(-1, -1, self.actions, -1)
        own = torch.eye(self.actions, dtype=DTYPE).expand(*others.shape[:2], -1, -1)
        return torch.cat([crowd, others, own], 3).flatten(1, 2)

    def __call__(self, counts: Ints, a_bar: Floats, rows: slice | Ints = slice(None)) -> Floats:
        """Q ``(L, R, A)`` of all actions in some states, at ``counts (L, R)`` and one a_bar ``(L, R, A)`` for all."""
        crowd = bounded(torch.as_tensor(counts.T, dtype=DTYPE), self.usual[rows])
        u = torch.cat([crowd, torch.as_tensor(a_bar.transpose(1, 0, 2))], 2)
        weights, scale, own = self.weights[rows], self.net.scale[rows, :, None], 2 + self.actions
        hidden = product(u, weights[:, :own])[:, :, None] + weights[:, None, own:]
        q = product(torch.relu(hidden).flatten(1, 2), scale).reshape(hidden.shape[:3])
        found: Floats = (q + self.offset[rows, None, None]).permute(1, 0, 2).numpy()
        return found

    def fit(self, x: Tensor, agents: Tensor, targets: Tensor, lr: float) -> float:
        """A step down the squared error, mean over agents; ``agents, targets (S, L A)``: how many, and their sums."""
        hidden = self.net.hidden(self.weights, x)
        wrong = agents * (self.net.read(hidden) + self.offset[:, None]) - targets
        everybody = agents.sum().clamp_min(1)
        self.ascent.step_(self.weights, -self.net.weighted_gradient(hidden, x, wrong / everybody), lr)
        return float((wrong**2 / agents.clamp_min(1)).sum() / everybody)


class SettledPolicy(Policy):
    """pi = softmax of Q over the temperature, at the mean action of agents who all play so.

    Attributes:
        temperature: in the units of Q.
    """

    def __init__(self, model: LocalModel, q: MeanFieldQ, around: Around, temperature: float) -> None:
        super().__init__(model)
        self.q, self.around, self.temperature = q, around, temperature
        self._first = np.eye(model.num_actions)[model.first_legal]

    def teams(self, counts: Ints, t: int) -> Floats:
        teams = self.model.team_states
        legal = self.model.legal[teams]
        played = self._first * counts[..., None].astype(np.float64)
        pi = np.broadcast_to(legal / legal.sum(1, keepdims=True), (len(counts), *legal.shape))
        for j in range(ROUNDS):
            played[:, teams] = counts[:, teams, None] * pi
            a_bar = mean_of(self.around.total(played)[:, teams])
            pi = pi + (self._answer(self.q(counts[:, teams], a_bar, teams), legal) - pi) / (j + 1)
        return pi

    def _answer(self, q: Floats, legal: Bools) -> Floats:
        """The softmax of ``q (L, T, A)``."""
        best = np.where(legal, q / self.temperature, -np.inf)
        odds = np.exp(best - best.max(2, keepdims=True))
        found: Floats = odds / odds.sum(2, keepdims=True)
        return found


class Exploring(Policy):
    """``policy``, but in world b of B every agent takes any legal action with chance b / (2 B).

    So every batch shows what actions are worth that nobody would take, and how much they are at many mean actions.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.model)
        self.policy, self.any = policy, uniform(policy.model)

    def teams(self, counts: Ints, t: int) -> Floats:
        chance = (np.arange(len(counts)) / (2 * len(counts)))[:, None, None]
        pi: Floats = (1 - chance) * self.policy.teams(counts, t) + chance * self.any.teams(counts, t)
        return pi


class Batch(NamedTuple):
    """L = T B samples of an iteration.

    Attributes:
        counts: ``(L, S)``; actions: ``(L, S, A)`` agents; around: ``(L, S, A, A)`` the mean action of the others, by
            the own one; gained: ``(L, S, A)`` the sum of the targets of those agents.
    """

    counts: Ints
    actions: Floats
    around: Floats
    gained: Floats


class MeanField(Algorithm):
    """What MF-Q and MF-AC have in common: the samples, and how Q is learnt.

    Attributes:
        q: the Q-functions; crew: the worlds.
    """

    config: MeanFieldConfig
    RETURN = "discounted_return_mean"  # of what is played while it learns

    def setup(self) -> None:
        settings, model = self.config, self.model
        settings.must_fit(model)
        self.gamma = model.gamma if settings.gamma is None else settings.gamma
        start, run, shuffle, actor = np.random.SeedSequence(settings.seed).spawn(4)
        self.rng, self.shuffle = np.random.default_rng(run), np.random.default_rng(shuffle)
        self.around, self.q = Around(model, settings.hops), MeanFieldQ(model, settings.critic_width, start)
        keep = self.gamma if model.headline.criterion == "discounted" else 1 - 1 / model.evaluation[0]
        self.crew = Crew(Simulator(model), settings.num_envs_per_env_runner, keep, self.rng)
        self.unit = 1 / reward_size(model)  # of Q: the largest reward of a step
        self.begin(actor)

    def begin(self, key: np.random.SeedSequence) -> None:
        """Make the policy."""
        raise NotImplementedError

    def values(self, counts: Ints, clock: Ints) -> Floats:
        """sum_a pi Q ``(L, S)`` of agents who play the policy at ``counts (L, S)``; ``clock (L,)`` does not fall."""
        policy = self.policy
        pi = np.concatenate([policy.individual(counts[clock == t], int(t)) for t in np.unique(clock)])
        q = self.q(counts, mean_of(self.around.total(counts[..., None] * pi)))
        found: Floats = (pi * q).sum(2)
        return found

    @property
    def sampling(self) -> Policy:
        """What is played while it learns."""
        return self.policy

    @property
    def needs(self) -> str:
        shared = ", and the rewards of all" if self.config.reward == "shared" else ""
        return f"{super().needs}; while it learns, the actions within k = {self.config.hops} hops{shared}"

    def training_step(self) -> dict[str, Any]:
        settings = self.config
        lives = self.crew.play(self.sampling, settings.rollout_fragment_length)
        if not self.iteration:
            self.q.offset = torch.full_like(self.q.offset, float(lives.rewards.mean()) * self.unit / (1 - self.gamma))
        batch = self._batch(lives)
        decay, errors = self.decay(settings.lr_decay), []
        for _ in range(settings.num_epochs):
            order = self.shuffle.permutation(len(batch.counts))
            for i in range(0, len(order), settings.minibatch_size):
                some = order[i : i + settings.minibatch_size]
                x = self.q.inputs(batch.counts[some], batch.around[some])
                agents, targets = (
                    torch.as_tensor(part[some].transpose(1, 0, 2)).flatten(1) for part in (batch.actions, batch.gained)
                )
                errors.append(self.q.fit(x, agents, targets, settings.critic_lr * decay))
        learners = {"td_error": errors[0], **self.improve(batch, np.repeat(lives.clock, lives.cut.shape[1]))}
        heard = {"sampled_reward_mean": float(lives.rewards.mean()), "num_episodes": len(lives.returns)}
        if len(lives.returns):
            heard[self.RETURN] = float(lives.returns.mean())
        return {"env_steps": lives.cut.size, "env_runners": heard, "learners": learners}

    def improve(self, batch: Batch, clock: Ints) -> dict[str, float]:
        """Change the policy; what is reported of it."""
        raise NotImplementedError

    def decay(self, last: float) -> float:
        """Falls linearly from 1 to ``last`` over the budget."""
        return 1.0 - (1.0 - last) * min(1.0, self.env_steps / self.config.total_env_steps)

    def _batch(self, lives: Lives) -> Batch:
        shape = lives.cut.size, *self.model.legal.shape
        paid = lives.rewards * self.unit
        if self.config.reward == "shared":
            paid = np.broadcast_to(paid.mean(2, keepdims=True), paid.shape)
        sample = np.arange(lives.cut.size).reshape(*lives.cut.shape, 1)
        sees_time = bool(getattr(self.policy, "clock", False))  # else all samples are asked for at once
        clock = np.repeat((lives.clock + 1) * sees_time, lives.cut.shape[1])
        following = self.values(lives.next_counts.reshape(shape[0], -1), clock)[sample, lives.next_states]
        cell = ((sample * shape[1] + lives.states) * shape[2] + lives.actions).reshape(-1)
        size = int(np.prod(shape))
        actions = np.bincount(cell, minlength=size).reshape(shape).astype(np.float64)
        gained = np.bincount(cell, (paid + self.gamma * following).reshape(-1), size).reshape(shape)
        others = np.maximum(self.around.total(actions)[:, :, None] - np.eye(shape[2]), 0.0)  # an agent is no neighbour
        return Batch(lives.counts.reshape(shape[0], -1), actions, mean_of(others), gained)

    # -- state

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        record = {"rng": generator_state(self.rng), "shuffle": generator_state(self.shuffle)}
        found = {"q": self.q.weights, "q_offset": self.q.offset, "q_signs": self.q.net.signs}
        found |= {f"q_{name}": value for name, value in self.q.ascent.state().items()}
        plain = {name: value.numpy() for name, value in found.items()}
        return record, plain | {f"crew_{name}": value for name, value in self.crew.get_state().items()}

    def check_sizes(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        asked = len(self.model.legal), self.config.critic_width
        if arrays["q_signs"].shape != asked:
            raise ValueError(f"its q_signs has shape {arrays['q_signs'].shape}, and its config asks for {asked}")

    def check_state(self, record: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        super().check_state(record, arrays)
        states = arrays["crew_states"]
        if not ((0 <= states) & (states < len(self.model.legal))).all() or arrays["crew_clock"] < 0:
            raise ValueError("its agents stand in states, or at a time, that there are not")
        if not (np.abs(arrays["q_signs"]) == 1).all():
            raise ValueError("its q_signs are not all 1 or -1")
        for name in (name for name in arrays if name.endswith(("_step", "_exp_avg_sq"))):
            if (arrays[name] < 0).any():
                raise ValueError(f"a number in its {name} is negative")

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        state = {name: torch.tensor(value) for name, value in arrays.items()}
        self.q.net = TwoLayer(state["q_signs"], self.q.net.start)
        self.q.weights, self.q.offset = state["q"], state["q_offset"]
        self.q.ascent.take({name: state[f"q_{name}"] for name in self.q.ascent.state()})
        prefix = "crew_"
        self.crew.set_state({name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)})
        set_generator_state(self.rng, record["rng"])
        set_generator_state(self.shuffle, record["shuffle"])


class MFQ(MeanField):
    """Mean-field Q-learning: the policy is Boltzmann's, at a temperature that falls over the budget."""

    config: MFQConfig
    RETURN = "explored_return_mean"  # of agents that also explore, so not that of the policy

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return MFQConfig

    def begin(self, key: np.random.SeedSequence) -> None:
        self.learned = SettledPolicy(self.model, self.q, self.around, self._temperature())

    def _temperature(self) -> float:
        """Falls by the same factor in every step."""
        first, last = self.config.temperature, self.config.last_temperature
        done = min(1.0, self.env_steps / self.config.total_env_steps)
        return float(first ** (1 - done) * last**done)

    @property
    def policy(self) -> SettledPolicy:
        self.learned.temperature = self._temperature()
        return self.learned

    @property
    def information(self) -> str:
        return information_of(self.config.hops, False)

    @property
    def sampling(self) -> Policy:
        return Exploring(self.policy)

    def improve(self, batch: Batch, clock: Ints) -> dict[str, float]:
        return {"temperature": self._temperature()}


class MFAC(PlaysLikeOurs, MeanField):
    """Mean-field actor-critic: policies pi(a | s, n) with weights of their own, the class of DEC-NEURAL-AC's."""

    config: MFACConfig

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return MFACConfig

    def begin(self, key: np.random.SeedSequence) -> None:
        self.learned = policy_like_ours(self.config, self.model, key)
        self.ascent = Adam(torch.zeros((2, *self.learned.theta.shape), dtype=DTYPE), 1e-5)

    def improve(self, batch: Batch, clock: Ints) -> dict[str, float]:
        """A step along sum_i (Q(a_i) - sum_a pi Q) grad log pi(a_i), advantages brought to deviation 1."""
        model, policy = self.model, self.learned
        teams = model.team_states
        crowd = self.crew.simulator.crowd(batch.counts).astype(np.float64)
        seen = Seen(batch.counts[:, teams], crowd, clock)
        pi, taken = policy.shares(seen), batch.actions[:, teams]
        q = self.q.net.value(self.q.weights, self.q.inputs(batch.counts, batch.around))
        q_own = q.reshape(len(model.legal), -1, model.num_actions).permute(1, 0, 2).numpy()[:, teams]
        advantage = q_own - (pi * q_own).sum(2, keepdims=True)
        scale = np.sqrt((taken * advantage**2).sum() / max(1.0, taken.sum()))
        along = taken * advantage / max(float(scale), 1e-8)
        slope = along - pi * along.sum(2, keepdims=True)
        gradient = policy.score_along(seen, slope) / (len(taken) * model.population)
        self.ascent.step_(policy.theta, gradient, self.config.actor_lr * self.decay(self.config.lr_decay))
        policy.update(policy.theta)
        return {"gradient_norm": float(gradient.norm())}

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        record, arrays = super().get_state()
        net = self.learned.net
        found = {"theta": self.learned.theta, "actor_signs": net.signs, "actor_start": net.start}
        found |= {f"actor_{name}": value for name, value in self.ascent.state().items()}
        return record, arrays | {name: value.numpy() for name, value in found.items()}

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        super().set_state(record, arrays)
        state = {name: torch.tensor(arrays[name]) for name in arrays if not name.startswith(("q", "crew_"))}
        self.learned.net = TwoLayer(state["actor_signs"], state["actor_start"])
        self.learned.update(state["theta"])
        self.ascent.take({name: state[f"actor_{name}"] for name in self.ascent.state()})
