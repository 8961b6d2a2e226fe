"""The practical recipe: the same local critics and policies, trained in parts from rollouts of many worlds.

What depends on the settings is chosen once, when it is built. What is global is named: the scale of the advantages
(``advantage_scale="global"``: a root mean square over all teams, their sums added up in one order) and the value table
(``potential="table"``, see ``booking.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfnet_agents import updates
from mfnet_agents.critics import CriticInputs
from mfnet_agents.dec_neural_ac.ascent import Adam, Plain
from mfnet_agents.dec_neural_ac.ball import Ball
from mfnet_agents.dec_neural_ac.booking import Bookkeeper
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.parts import Critics, LocalLearner, Shown, ValueCritics, gathered
from mfnet_agents.dec_neural_ac.sampling import Rollout, Sampler, tensor
from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies.individual import LearnedPolicy
from mfnet_envs.arrays import Floats, Ints


class Practical:
    """Samples, shows every part what it may see, passes advantages on, and sums up what is global.

    Attributes:
        learners: one per part of the network, ``settings.num_parts`` of them; the same bits whatever their number.
        books: who books the rewards; None where they are learnt as paid.
    """

    constant = True  # the critics' inputs end with a 1

    def __init__(
        self,
        settings: DecNeuralACConfig,
        sampler: Sampler,
        inputs: CriticInputs,
        critic: TwoLayer,
        policy: LearnedPolicy,
        shuffle: np.random.Generator,
    ) -> None:
        self.settings, self.sampler, self.shuffle = settings, sampler, shuffle
        model, gamma = policy.model, sampler.gamma
        self.features = _crowds if settings.critic_form == "v" else _with_actions(mass=settings.critic_input != "share")
        self.scored, self.rows = "actions", np.arange(len(model.team_states))
        if settings.score == "unserved":
            self.scored, self.rows = "unserved", np.searchsorted(model.active, model.team_states)
        self.books = Bookkeeper(model, gamma) if _needs_books(settings) else None
        if self.books is not None and model.period is not None:
            raise ValueError(
                "score='unserved' and potential='table' book rewards by one demand, and this model's follows a clock: "
                "set score='all' and potential='none'"
            )
        self.reward_scale = model.network.num_nodes * (1 - gamma)
        self.scale = updates.SCALES[settings.advantage_scale]
        self.learners = _learners(settings, gamma, inputs, critic, policy)

    @staticmethod
    def worlds(settings: DecNeuralACConfig) -> int:
        return int(settings.num_envs_per_env_runner)

    @staticmethod
    def kept(settings: DecNeuralACConfig) -> set[str]:
        """What is read of a step besides crowds and rewards."""
        kept = {"sizes", "unserved" if settings.score == "unserved" else "actions"}
        kept |= {"actions", "next_actions"} if settings.critic_form == "q" else set()
        return kept | ({"served", "unserved"} if _needs_books(settings) else set())

    def step(self, policy: LearnedPolicy, iteration: int, decay: float) -> dict[str, Any]:
        """One iteration; step sizes are multiplied by ``decay``."""
        sample, episodes = self.sampler.rollout(policy, int(self.settings.rollout_fragment_length))
        return self.learn_from(policy, sample, episodes, iteration, decay)

    def learn_from(
        self, policy: LearnedPolicy, sample: Rollout, episodes: Floats, iteration: int, decay: float
    ) -> dict[str, Any]:
        """One update of critics and ``policy`` from a rollout and the returns of its finished episodes."""
        cfg = self.settings
        local, errors = self._advantages(sample, float(cfg.critic_lr) * decay)
        brackets = [learner.brackets(local[learner.part.hears]) for learner in self.learners]
        pairs = list(zip(self.learners, brackets, strict=True))
        summed = [updates.squares(bracket, self._agents(sample, learner.teams)) for learner, bracket in pairs]
        scale = self.scale(torch.cat(summed))[:, None]
        norms, spreads = [], []
        for learner, bracket in pairs:
            scaled = bracket / scale[learner.teams]
            gradient = learner.gradient(scaled, *self._of_teams(sample, learner.teams))
            if iteration >= cfg.critic_warmup:
                learner.climb(gradient, float(cfg.actor_lr) * decay)
            norms.append((gradient**2).flatten(1).sum(1))
            spreads.append((scaled**2).mean(1))
        self._announce(policy)
        runners = {"sampled_reward_mean": float(sample.rewards.sum(2).mean()), "num_episodes": len(episodes)}
        if len(episodes):
            runners["discounted_return_mean"] = float(episodes.mean())
        learners = {
            "td_error": float(errors.mean()),
            "gradient_norm": float(torch.cat(norms).sum().sqrt()),
            "advantage_rms": float(torch.cat(spreads).mean().sqrt()),
        }
        return {"env_steps": sample.steps, "env_runners": runners, "learners": learners}

    def _advantages(self, sample: Rollout, lr: float) -> tuple[Tensor, Tensor]:
        """Local advantages ``(V, L)`` from the critics before their update, and squared errors ``(V,)``."""
        (now, following), rewards = self.features(sample), self._rewards(sample)
        apart, cut = torch.as_tensor(sample.apart.reshape(-1)), torch.as_tensor(sample.cut)
        minibatches = self._minibatches(sample.steps)
        local = torch.empty_like(rewards)  # before the parts' temporaries, so that it does not break up their memory
        errors = torch.empty(len(rewards), dtype=local.dtype)
        for learner in self.learners:
            if not self.settings.warm_start:
                learner.critics.restart()
            nodes, sees = learner.part.nodes, learner.part.sees
            shown = Shown(now[:, sees], following[:, sees], apart, rewards[nodes], cut, minibatches)
            local[nodes], errors[nodes] = learner.advantages(shown, lr)
        return local, errors

    def _rewards(self, sample: Rollout) -> Tensor:
        """Local rewards to learn from, ``(V, L)``: as paid, or as booked."""
        if self.books is None:
            rewards = sample.flat("rewards")
        else:
            rewards = self.books.book(sample, learn=self.settings.potential == "table")
        return tensor(rewards.T.copy()) * self.reward_scale

    def _of_teams(self, sample: Rollout, teams: slice) -> tuple[Ints, Ints]:
        """Sizes ``(L, T)`` of a run of teams, and the actions ``(L, T, A)`` whose score is taken."""
        actions = sample.flat(self.scored)[:, self.rows[teams]]
        return sample.flat("sizes")[:, teams].astype(np.int64), actions.astype(np.int64)

    def _agents(self, sample: Rollout, teams: slice) -> Tensor:
        """Team sizes ``(T, L)`` of a run of teams, as weights."""
        return tensor(sample.flat("sizes")[:, teams].T.copy())

    def _minibatches(self, samples: int) -> list[Tensor]:
        size = self.settings.minibatch_size
        orders = [torch.as_tensor(self.shuffle.permutation(samples)) for _ in range(self.settings.num_epochs)]
        return [part for order in orders for part in torch.split(order, size)]

    def _announce(self, policy: LearnedPolicy) -> None:
        """Let the policy that samples have the weights of all parts."""
        if len(self.learners) > 1:
            policy.update(torch.cat([learner.policy.theta for learner in self.learners]))

    def warm_up(self, policy: LearnedPolicy) -> int:
        """Burn the chain in; standardise the critics' inputs on what it saw; returns the environment steps taken."""
        if not self.settings.burn_in:
            return 0
        sample, _ = self.sampler.rollout(policy, self.settings.burn_in)
        if self.settings.potential == "table":
            self._rewards(sample)  # a first value table
        if self.settings.critic_input == "standardised":
            (now, _), rewards = self.features(sample), self._rewards(sample)
            for learner in self.learners:
                learner.critics.standardise(now[:, learner.part.sees], rewards[learner.part.nodes])
        return sample.steps

    # -- state

    @property
    def omega(self) -> Tensor:
        """``(V, d, M)``: the weights of all critics."""
        return torch.cat([learner.critics.omega for learner in self.learners])

    @omega.setter
    def omega(self, omega: Tensor) -> None:
        for learner in self.learners:
            learner.critics.omega = omega[learner.part.nodes].clone()

    def state(self) -> dict[str, Tensor]:
        """All that learning changes, rows in the order of nodes and teams however the network was cut."""
        books = {} if self.books is None else {"book_value": self.books.value, "book_seen": self.books.seen}
        return gathered(self.learners) | {name: torch.as_tensor(values) for name, values in books.items()}

    def take(self, state: Mapping[str, Tensor], policy: LearnedPolicy, critic: TwoLayer) -> None:
        """Take back what :meth:`state` gave, for networks that started at ``policy.net`` and ``critic``."""
        for learner in self.learners:
            learner.policy.net = policy.net.at(learner.teams)
            learner.critics.net = critic.at(learner.part.nodes)
            learner.take(state)
        self._announce(policy)
        if self.books is not None:
            self.books.value, self.books.seen = state["book_value"].numpy(), state["book_seen"].numpy()


def _needs_books(settings: DecNeuralACConfig) -> bool:
    return settings.score == "unserved" or settings.potential == "table"


Features = Callable[[Rollout], tuple[Tensor, Tensor]]


def _crowds(sample: Rollout) -> tuple[Tensor, Tensor]:
    """What nodes show V critics, ``(L, V, G)``, and at the true successors of the samples that stand apart."""
    apart = sample.apart.reshape(-1)
    return sample.groups(), tensor(sample.flat("next_crowd")[apart] / sample.population)


def _with_actions(*, mass: bool) -> Features:
    """What nodes show Q critics, ``(L, V, G + A)``, and at all true successors."""

    def features(sample: Rollout) -> tuple[Tensor, Tensor]:
        return sample.with_actions(mass=mass), sample.with_actions(mass=mass, following=True)

    return features


def _learners(
    settings: DecNeuralACConfig, gamma: float, inputs: CriticInputs, critic: TwoLayer, policy: LearnedPolicy
) -> list[LocalLearner]:
    """One learner for each part of the network."""
    network, radius = policy.model.network, None if settings.radius is None else float(settings.radius)
    kappa = int(settings.credit_hops)
    parts, ball = network.parts(int(settings.num_parts), settings.hops, kappa), Ball.of(network, kappa)
    team_nodes = network.node_of[policy.states]
    kind = {"adam": _adam, "sgd": _plain}[settings.optimizer]
    climbs, descents = kind(policy.net.start, 1e-5), kind(critic.start, 1e-8)
    learners = []
    for part in parts:
        first, end = np.searchsorted(team_nodes, [part.nodes[0], part.nodes[-1] + 1])
        teams = slice(int(first), int(end))
        own = policy if len(parts) == 1 else policy.part(teams)
        run = slice(part.nodes[0], part.nodes[-1] + 1)
        net = critic.at(run)
        options: dict[str, Any] = {"gamma": gamma, "radius": radius}
        given = (net, inputs.part(part), descents(run))
        is_v = settings.critic_form == "v"
        critics = ValueCritics(*given, lambda_=settings.lambda_, **options) if is_v else Critics(*given, **options)
        places, baseline = team_nodes[teams] - part.nodes[0], updates.BASELINES[settings.baseline]
        learners.append(LocalLearner(part, teams, own, critics, ball.part(part), places, climbs(teams), baseline))
    return learners


def _adam(weights: Tensor, eps: float) -> Callable[[slice], Plain]:
    """Adam of a run of rows; the moments of all are one array, whose memory is not taken before the first step."""
    moments = torch.from_numpy(np.zeros((2, *weights.shape)))
    return lambda run: Adam(moments[:, run], eps)


def _plain(weights: Tensor, eps: float) -> Callable[[slice], Plain]:
    return lambda run: Plain()
