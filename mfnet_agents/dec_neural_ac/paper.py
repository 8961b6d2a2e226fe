"""Algorithms 1 and 2 as printed: (20)-(22) for the critics, (23) for the policies, each a function of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfnet_agents import updates
from mfnet_agents.critics import CriticInputs, with_actions
from mfnet_agents.dec_neural_ac.ball import Ball
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.sampling import Rollout, Sampler, by_node, tensor, visitation_pairs
from mfnet_agents.nets import TwoLayer, box, project
from mfnet_agents.policies.individual import LearnedPolicy
from mfnet_envs.arrays import Floats, Ints


def fit_critics(
    critic: TwoLayer,
    zeta: Callable[[Rollout], tuple[Tensor, Tensor]],
    draw: Callable[[], Rollout],
    *,
    steps: int,
    lr: float,
    gamma: float,
    radius: float | None,
) -> tuple[Tensor, dict[str, float]]:
    """Algorithm 1: averaged, projected TD(0) for the Q_s of all s at once.

    Args:
        zeta: inputs ``(V, L, d)`` of the critics at (mu, h) and at (mu', h'); draw: L samples (mu, h, r, mu', h').

    Returns:
        omega_bar ``(V, d, M)``, and the mean reward and squared TD error on the way.
    """
    rewards, residuals = [], []
    omega = critic.start.clone()  # line 2: omega_s(0)
    omega_bar = omega.clone()
    corners = box(critic.start, radius)
    for t in range(steps - 1):  # line 3
        sample = draw()  # lines 4-5
        x, x_next = zeta(sample)
        r = tensor(sample.flat("rewards")).T
        hidden = critic.hidden(omega, torch.cat([x, x_next], 1))
        q, q_next = torch.split(critic.read(hidden), sample.steps, 1)
        delta = updates.td_residual(q, r, gamma, q_next)  # line 6
        critic.descend_(omega, hidden[:, : sample.steps], x, delta / sample.steps, lr)  # (20)
        if corners is not None:
            omega.clamp_(*corners)  # (21)
        updates.running_mean_(omega_bar, omega, t)  # (22)
        rewards.append(float(sample.rewards.sum(2).mean()))
        residuals.append(float((delta**2).mean()))
    return omega_bar, {"reward": float(np.mean(rewards)), "td_error": float(np.mean(residuals))}


def policy_gradient(
    policy: LearnedPolicy,
    q: Tensor | Floats,
    counts: Ints,
    actions: Ints,
    ball: Ball,
    *,
    gamma: float,
    baseline: Callable[[Tensor], Tensor] = lambda bracket: bracket,
) -> Tensor:
    """(23), ``(T, d, M)``, whatever the critics.

    Args:
        q: ``(V, L)`` values Q_y(zeta_y^k) at L pairs (mu, h) from the discounted visitation (12).
        counts, actions: ``(L, S)`` and ``(L, T, A)``, the pairs.
        ball: the sum over N_s^kappa; baseline: applied to the bracket ``(V, L)``.
    """
    bracket = baseline(ball.sum(torch.as_tensor(q)))[policy.model.network.node_of[policy.states]]
    score = policy.weighted_score(counts[:, policy.states], actions, bracket.T)
    return score / ((1 - gamma) * len(counts))


class Paper:
    """Algorithm 2 as printed.

    Attributes:
        omega: ``(V, d, M)`` weights of the critics (23) was last taken with.
    """

    constant = False  # zeta is (mu, h) and nothing else

    def __init__(
        self,
        settings: DecNeuralACConfig,
        sampler: Sampler,
        inputs: CriticInputs,
        critic: TwoLayer,
        policy: LearnedPolicy,
        shuffle: np.random.Generator,
    ) -> None:
        self.settings, self.sampler, self.inputs, self.critic = settings, sampler, inputs, critic
        self.omega = critic.start.clone()
        self.ball = Ball.of(policy.model.network, int(settings.credit_hops))
        self.mass = settings.critic_input != "share"
        self.baseline = updates.BASELINES[settings.baseline]
        self.radius = None if settings.radius is None else float(settings.radius)

    @staticmethod
    def worlds(settings: DecNeuralACConfig) -> int:
        return settings.critic_batch

    @staticmethod
    def kept(settings: DecNeuralACConfig) -> set[str]:
        """What is read of a step besides crowds and rewards."""
        return {"actions", "next_actions"}

    def step(self, policy: LearnedPolicy, iteration: int, decay: float) -> dict[str, Any]:
        """One iteration."""
        cfg, sampler = self.settings, self.sampler
        self.omega, found = self.fit_critics(policy)  # line 4: critics of the present policy, from a cold start
        counts, actions, walked = visitation_pairs(
            sampler.simulator, policy, sampler.gamma, cfg.actor_samples, sampler.rng
        )  # line 5
        gradient = self.policy_gradient(policy, counts, actions)  # line 6
        theta = policy.theta + float(cfg.actor_lr) * gradient
        policy.update(project(theta, policy.net.start, self.radius))
        return {
            "env_steps": (cfg.critic_steps - 1) * cfg.critic_batch + walked,
            "env_runners": {"sampled_reward_mean": found["reward"]},
            "learners": {"td_error": found["td_error"], "gradient_norm": float(gradient.norm())},
        }

    def fit_critics(self, policy: LearnedPolicy) -> tuple[Tensor, dict[str, float]]:
        """Algorithm 1 on samples of ``policy``."""
        cfg = self.settings
        return fit_critics(
            self.critic,
            lambda sample: (self.zeta(sample), self.zeta(sample, following=True)),
            lambda: self.sampler.rollout(policy, 1)[0],
            steps=cfg.critic_steps,
            lr=float(cfg.critic_lr),
            gamma=self.sampler.gamma,
            radius=self.radius,
        )

    def policy_gradient(self, policy: LearnedPolicy, counts: Ints, actions: Ints) -> Tensor:
        """(23) with the critics as they stand."""
        q = self.critic.value(self.omega, self.zeta_of(policy, counts, actions))
        gamma = self.sampler.gamma
        return policy_gradient(policy, q, counts, actions, self.ball, gamma=gamma, baseline=self.baseline)

    def zeta(self, sample: Rollout, *, following: bool = False) -> Tensor:
        """Critic inputs zeta_y^k of all samples: ``(V, L, d)``."""
        return self.inputs(sample.with_actions(mass=self.mass, following=following))

    def zeta_of(self, policy: LearnedPolicy, counts: Ints, actions: Ints) -> Tensor:
        """Critic inputs of pairs ``counts (L, S)``, ``actions (L, T, A)``: ``(V, L, d)``."""
        model = policy.model
        nodes = model.network.node_of[policy.states]
        shares = by_node(actions, nodes, model.network.num_nodes) / model.population
        crowd = tensor(self.sampler.simulator.crowd(counts) / model.population)
        return self.inputs(with_actions(crowd, tensor(shares), mass=self.mass))

    def warm_up(self, policy: LearnedPolicy) -> int:
        """Burn the chain in; standardise the critics' inputs if asked; returns the environment steps taken."""
        if not (steps := self.settings.burn_in):
            return 0
        sample, _ = self.sampler.rollout(policy, steps)
        if self.settings.critic_input == "standardised":
            self.inputs = self.inputs.standardised(sample.with_actions(mass=self.mass))
        return sample.steps

    def state(self) -> dict[str, Tensor]:
        """All that learning changes but theta."""
        return {"omega": self.omega, "input_shift": self.inputs.shift, "input_scale": self.inputs.scale}

    def take(self, state: Mapping[str, Tensor], policy: LearnedPolicy, critic: TwoLayer) -> None:
        """Take back what :meth:`state` gave, for critics that started at ``critic``."""
        self.critic, self.omega = critic, state["omega"]
        self.inputs = replace(self.inputs, shift=state["input_shift"], scale=state["input_scale"])
