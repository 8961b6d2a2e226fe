"""The costate form: policies climb along marginal values that are pulled back through the fragments they play.

No score, no sampled own action, no critic of the whole: a row's update reads its own node's crowd, its own policy and
the costates of its successors (``costates.py``). It knows the local law at its own node, or counts it from samples
(``counted.py``). It is a local costate learner, in the family of dual heuristic programming, and not Algorithm 2 of the
paper.

Fragments are played without a restart in between, so that costates need not stop at one. The visitation (12) is had all
the same: before a fragment of T steps a world begins anew with probability 1 - keep^T, and its j-th step counts keep^j.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet_agents import updates
from mfnet_agents.dec_neural_ac.ascent import Adam, Plain
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.costates import Advantages, Fragment, Pullback, Shares
from mfnet_agents.dec_neural_ac.counted import CountedLaw, stacked
from mfnet_agents.dec_neural_ac.sampling import Rollout, Sampler
from mfnet_agents.dec_neural_ac.terminal import Moments
from mfnet_agents.nets import project
from mfnet_agents.policies.individual import Answers, IndividualPolicy, LearnedPolicy, Seen
from mfnet_envs.arrays import Floats, Ints

HEARS = 1 / 30  # share of the budget in which a law is only counted, and the policy stays what it was


class Played(NamedTuple):
    """A fragment, and what there is to learn from it.

    Attributes:
        ahead: of actions; moments: for the terminal critic; reward: mean per step; episodes: ``(E,)`` returns of those
            that ended.
    """

    fragment: Fragment
    ahead: Advantages
    moments: list[Moments]
    reward: float
    episodes: Floats


class Iterated(NamedTuple):
    """What an iteration has found.

    Attributes:
        gradient: of the policy; spread: root mean square of what its worths were divided by; reward: mean per step;
            episodes: ``(E,)`` returns of those that ended; steps: of the environment.
    """

    gradient: Tensor
    spread: float
    reward: float
    episodes: Floats
    steps: int


class Costate:
    """Plays a fragment, pulls costates back through it, and moves the policy along them.

    Attributes:
        pullback: with its terminal critic.
    """

    def __init__(self, settings: DecNeuralACConfig, sampler: Sampler, policy: IndividualPolicy) -> None:
        self.settings, self.sampler = settings, sampler
        model = policy.model
        self.counts = settings.law == "counted"
        simulator = sampler.simulator
        kind = _machine() if simulator.backend.name == "compiled" else Pullback
        self.pullback = kind(model, float(settings.gamma or model.gamma), simulator if self.counts else None)
        self.rows = np.searchsorted(model.active, model.team_states)
        self.alone = np.setdiff1d(np.arange(len(model.active)), self.rows)  # rows without a choice
        self.first = np.eye(model.num_actions)[model.first_legal[model.active]]
        self.scale = updates.SCALES[settings.advantage_scale]
        adam = settings.optimizer == "adam"
        self.ascent = Adam(torch.zeros(2, *policy.theta.shape, dtype=policy.theta.dtype), 1e-5) if adam else Plain()

    def step(self, policy: LearnedPolicy, iteration: int, decay: float) -> dict[str, Any]:
        """One iteration; the step size is multiplied by ``decay``."""
        assert isinstance(policy, IndividualPolicy)
        found = self.iterated(policy)
        if not self.counts or self.sampler.clock * self.sampler.worlds > HEARS * self.settings.total_env_steps:
            self.climb(policy, found.gradient, float(self.settings.actor_lr) * decay)
        runners = {"sampled_reward_mean": found.reward, "num_episodes": len(found.episodes)}
        if len(found.episodes):
            runners["discounted_return_mean"] = float(found.episodes.mean())
        learners = {
            "critic_error": self.pullback.error,
            "gradient_norm": float(torch.linalg.vector_norm(found.gradient)),
            "advantage_rms": found.spread,
        }
        return {"env_steps": found.steps, "env_runners": runners, "learners": learners}

    def iterated(self, policy: IndividualPolicy) -> Iterated:
        """Play a fragment of all worlds; the critic learns from it, the policy does not move yet."""
        played = self.played(policy)
        self.pullback.learn(played.moments)
        scale = self.scale_of(played.ahead.summed)
        gradient = self.gradient(policy, played.fragment, played.ahead, scale)
        steps = int(np.prod(played.fragment.served.shape[:2]))
        return Iterated(gradient, spread_of(scale), played.reward, played.episodes, steps)

    def played(self, policy: IndividualPolicy) -> Played:
        """Play a fragment of all worlds, and pull costates back through it; nobody but the nodes that count learns."""
        first = self.sampler.clock
        sample, episodes = self.sampler.rollout(policy, int(self.settings.rollout_fragment_length))
        fragment = fragment_of(sample, first)
        if self.counts:
            self.pullback.observe(fragment, stacked(sample.traces))
        hear = partial(self.heard, policy, fragment)
        found = self.pullback(fragment, self.chosen(policy, fragment), hear, policy.ears)
        ahead, moments = self.pullback.advantages(fragment, found, self.rows), self.pullback.moments(fragment, found)
        return Played(fragment, ahead, moments, float(sample.rewards.sum(2).mean()), episodes)

    def chosen(self, policy: IndividualPolicy, fragment: Fragment) -> Shares:
        """pi of all active rows as a function of team sizes, for the pull-back."""

        def shares(sizes: Ints, piece: slice) -> Floats:
            pi = policy.shares(self.seen(fragment, piece)._replace(sizes=sizes.reshape(-1, sizes.shape[2])))
            full = np.empty((len(pi), *self.first.shape))
            full[:, self.rows], full[:, self.alone] = pi, self.first[self.alone]
            return full.reshape(*sizes.shape[:2], *self.first.shape)

        return shares

    def heard(self, policy: IndividualPolicy, fragment: Fragment, piece: slice) -> Answers | None:
        """How the shares of a piece of a fragment answer to crowds elsewhere."""
        return policy.answers(self.seen(fragment, piece))

    @staticmethod
    def seen(fragment: Fragment, piece: slice = slice(None)) -> Seen:
        """What teams looked at in a piece of a fragment, its samples in order of time."""
        sizes, crowd = fragment.sizes[piece], fragment.crowd[piece]
        clock = fragment.first + np.arange(len(fragment.sizes))[piece]
        samples = sizes.shape[0] * sizes.shape[1]
        flat = crowd.reshape(samples, *crowd.shape[2:])
        return Seen(sizes.reshape(samples, -1), flat, np.repeat(clock, sizes.shape[1]))

    def scale_of(self, summed: Floats) -> Floats:
        """``(T',)``: by what each team's worths are divided, from squares and numbers of agents ``summed (T', 2)``."""
        scale: Floats = self.scale(torch.as_tensor(summed)).numpy()
        return scale

    def gradient(self, policy: IndividualPolicy, fragment: Fragment, ahead: Advantages, scale: Floats) -> Tensor:
        """The policy gradient per sample and agent, ``(T', d, M)``, worths divided by ``scale (T',)``.

        sum over samples of keep^j m_r sum_a grad pi(a | r, n_r) worth(r, a): m_r agents had a choice.
        """
        steps, worlds = fragment.served.shape[:2]
        weight = self.sampler.keep ** np.repeat(np.arange(steps), worlds)
        along = (ahead.agents * weight[:, None] / scale)[..., None] * ahead.pi
        along *= ahead.ahead
        gradient: Tensor = policy.score_along(self.seen(fragment), along) / (steps * worlds * policy.model.population)
        return gradient

    def climb(self, policy: IndividualPolicy, gradient: Tensor, lr: float) -> None:
        """theta along ``gradient``, and back into the ball (21) where there is one."""
        radius = None if self.settings.radius is None else float(self.settings.radius)
        theta = policy.theta.clone()
        self.ascent.step_(theta, gradient, lr)
        policy.update(project(theta, policy.net.start, radius))

    def warm_up(self, policy: LearnedPolicy) -> int:
        """Burn the chain in; returns the environment steps taken."""
        if not self.settings.burn_in:
            return 0
        first = self.sampler.clock
        sample, _ = self.sampler.rollout(policy, self.settings.burn_in)
        if self.counts:
            self.pullback.observe(fragment_of(sample, first), stacked(sample.traces))
        return sample.steps

    # -- state

    @property
    def counted(self) -> list[CountedLaw]:
        """The laws that are learnt."""
        return [routes.law for routes in self.pullback.routes.values() if isinstance(routes.law, CountedLaw)]

    def state(self) -> dict[str, Tensor]:
        """All that learning changes, besides the policy."""
        critic = self.pullback.critic
        kept = {"terminal_squares": critic.squares, "terminal_sums": critic.sums}
        for i, law in enumerate(self.counted):
            kept |= {f"law{i}_{name}": values for name, values in law.state().items()}
        return {name: torch.as_tensor(values) for name, values in kept.items()} | {
            f"actor_{key}": value for key, value in self.ascent.state().items()
        }

    def take(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        self.pullback.critic.take(state["terminal_squares"].numpy(), state["terminal_sums"].numpy())
        for i, law in enumerate(self.counted):
            start = f"law{i}_"
            law.take({name.removeprefix(start): x.numpy() for name, x in state.items() if name.startswith(start)})
        self.pullback.read()
        self.ascent.take({key: state[f"actor_{key}"] for key in self.ascent.state()})


def spread_of(scale: Floats) -> float:
    """Root mean square of scales ``(T',)``."""
    return float(np.sqrt((scale**2).mean()))


def _machine() -> type[Pullback]:
    """Who pulls back where worlds are stepped by machine code."""
    from mfnet_agents.dec_neural_ac.costates_compiled import CompiledPullback

    return CompiledPullback


KEPT = {"sizes", "served", "unserved"}  # what is read of a step besides crowds and rewards


def fragment_of(sample: Rollout, first: int) -> Fragment:
    """A rollout in floating point; ``first``: the clock at its first step."""
    crowd, following, served, unserved = (
        getattr(sample, name).astype(np.float64) for name in ("crowd", "next_crowd", "served", "unserved")
    )
    return Fragment(crowd, following[-1], served, unserved, sample.sizes.astype(np.int64), first)
