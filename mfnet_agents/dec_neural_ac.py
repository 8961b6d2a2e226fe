"""DEC-NEURAL-AC: Algorithm 1 is :meth:`DecNeuralAC.fit_critics`, Algorithm 2 is :meth:`DecNeuralAC.training_step`.

Localised training: the critic of node y sees N_y^k; the update of the policy at s reads the scalars of the critics in
N_s^kappa. Decentralised execution: a policy sees its own state and mu(s). All nodes are updated in one tensor
operation; no line loops over states or agents.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfnet_agents import critics, updates
from mfnet_agents.algorithm import Algorithm
from mfnet_agents.checkpoint import generator_state, set_generator_state
from mfnet_agents.config import AlgorithmConfig, DecNeuralACConfig
from mfnet_agents.energy import EnergyPolicy, TeamPolicy, check_enumerable
from mfnet_agents.energy_sampled import SampledEnergyPolicy
from mfnet_agents.nets import DTYPE, TwoLayer, box, project
from mfnet_agents.policies import IndividualPolicy, LearnedPolicy
from mfnet_agents.potential import Bookkeeper
from mfnet_agents.sampling import Rollout, Sampler, tensor, visitation_pairs
from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.simulator import Simulator


class DecNeuralAC(Algorithm):
    """The decentralised neural actor-critic of Gu, Guo, Wei and Xu; see :class:`DecNeuralACConfig` for its options."""

    config: DecNeuralACConfig

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return DecNeuralACConfig

    def setup(self) -> None:
        self.settings = settings = self.config.resolved(self.model)
        _warn(self.config, settings, self.model)
        assert settings.gamma is not None
        self.gamma = settings.gamma
        self.radius = None if settings.radius is None else float(settings.radius)
        start, run, shuffle = (np.random.default_rng(s) for s in np.random.SeedSequence(settings.seed).spawn(3))
        self.rng, self.shuffle = run, shuffle
        self.simulator = Simulator(self.model)
        self.learned = make_policy(self.model, settings, start)
        features = self.model.num_groups + (self.model.num_actions if settings.critic_form == "q" else 0)
        nodes = self.model.network.num_nodes
        self.inputs = critics.CriticInputs.of(
            self.model.network,
            settings.hops,
            features,
            scale=1.0 if settings.critic_input == "share" else float(nodes),
            constant=settings.mode == "practical",
        )
        self.critic = critics.create(
            start, self.model.network, self.inputs, int(settings.critic_width), symmetric=bool(settings.symmetric_start)
        )
        self.omega = self.critic.start.clone()
        self.offset = torch.zeros(nodes, dtype=DTYPE)
        self.reward_scale = nodes * (1 - self.gamma) if settings.mode == "practical" else 1.0
        self.ball = tensor(self.model.network.ball(int(settings.credit_hops)))
        self.team_nodes = torch.as_tensor(self.model.network.node_of[self.model.team_states])
        self.optimisers = {"actor": self._adam(self.learned.theta, 1e-5), "critic": self._adam(self.omega, 1e-8)}
        law: Any = settings.sampling
        worlds = settings.num_envs_per_env_runner if settings.mode == "practical" else settings.critic_batch
        self.sampler = Sampler(self.simulator, law, self.gamma, worlds, self.rng)
        needs_books = settings.score == "unserved" or settings.potential == "table"
        if needs_books and self.model.period is not None:
            raise ValueError(
                "score='unserved' and potential='table' book rewards by one demand, and this model's follows a clock: "
                "set score='all' and potential='none'"
            )
        self.books = Bookkeeper(self.model, self.gamma) if needs_books else None
        self.is_warm = False

    def _adam(self, weights: Tensor, eps: float) -> torch.optim.Adam:
        return torch.optim.Adam([weights.requires_grad_(False)], lr=0.0, eps=eps, foreach=False)

    @property
    def policy(self) -> LearnedPolicy:
        return self.learned

    def training_step(self) -> dict[str, Any]:
        """Algorithm 2, one iteration."""
        burnt = 0 if self.is_warm else self._warm_up()
        result = self._paper_step() if self.settings.mode == "paper" else self._practical_step()
        return {**result, "env_steps": result["env_steps"] + burnt}

    # -- Algorithms 1 and 2 as printed

    def fit_critics(self) -> tuple[Tensor, dict[str, float]]:
        """Algorithm 1: averaged, projected TD(0) for the Q_s of all s at once; returns omega_bar ``(V, d, M)``."""
        cfg, rewards, residuals = self.settings, [], []
        omega = self.critic.start.clone()  # line 2: omega_s(0)
        omega_bar = omega.clone()
        corners = box(self.critic.start, self.radius)
        for t in range(cfg.critic_steps - 1):  # line 3
            sample, _ = self.sampler.rollout(self.learned, 1, successors_act=True)  # lines 4-5: (mu, h, r, mu', h')
            x, x_next = self._zeta(sample), self._zeta(sample, following=True)
            r = tensor(sample.rewards.reshape(sample.steps, -1)).T * self.reward_scale
            hidden = self.critic.hidden(omega, torch.cat([x, x_next], 1))
            q, q_next = torch.split(self.critic.read(hidden), sample.steps, 1)
            delta = updates.td_residual(q, r, self.gamma, q_next)  # line 6
            now = hidden[:, : sample.steps]
            self.critic.descend_(omega, now, x, delta / sample.steps, float(cfg.critic_lr))  # (20)
            if corners is not None:
                omega.clamp_(*corners)  # (21)
            updates.running_mean_(omega_bar, omega, t)  # (22)
            rewards.append(float(sample.rewards.sum(2).mean()))
            residuals.append(float((delta**2).mean()))
        return omega_bar, {"reward": float(np.mean(rewards)), "td_error": float(np.mean(residuals))}

    def _paper_step(self) -> dict[str, Any]:
        cfg = self.settings
        self.omega, found = self.fit_critics()  # line 4: critics of the present policy, from a cold start
        counts, actions, walked = visitation_pairs(
            self.simulator, self.learned, self.gamma, cfg.actor_samples, self.rng
        )  # line 5
        gradient = self.policy_gradient(counts, actions)  # line 6
        theta = self.learned.theta + float(cfg.actor_lr) * gradient
        self.learned.update(project(theta, self.learned.net.start, self.radius))
        return {
            "env_steps": (cfg.critic_steps - 1) * cfg.critic_batch + walked,
            "env_runners": {"reward_per_step_mean": found["reward"]},
            "learners": {"td_error": found["td_error"], "gradient_norm": float(gradient.norm())},
        }

    def policy_gradient(self, counts: Ints, actions: Ints) -> Tensor:
        """(23) with the critics as they stand, ``(S', d, M)``.

        Args:
            counts: ``(B, S)``, actions: ``(B, S', A)``: pairs (mu, h) from the discounted visitation (12).
        """
        sample = self._pairs(counts, actions)
        q = self.critic.value(self.omega, self._zeta(sample)).T
        bracket = updates.credit(q, self.ball)[:, self.team_nodes]  # sum over N_s^k
        if self.settings.baseline == "mean":
            bracket = updates.centred(bracket)
        score = self.learned.weighted_score(sample.sizes[:, 0], sample.actions[:, 0], bracket)
        return score / ((1 - self.gamma) * len(counts))

    def _pairs(self, counts: Ints, actions: Ints) -> Rollout:
        """Bare pairs (mu, h) as a rollout of one world, without rewards."""
        crowd = self.simulator.crowd(counts)[:, None]
        nothing, nobody = np.zeros((len(counts), 1, 0)), np.zeros((len(counts), 1, 0), np.int64)
        sizes = counts[:, None, self.model.team_states]
        nodes = self.model.network.node_of[self.model.team_states]
        return Rollout(
            crowd, crowd, nothing, sizes, actions[:, None], actions[:, None], nobody, nobody,
            np.zeros((len(counts), 1), bool), nodes, self.model.population,
        )  # fmt: skip

    def _zeta(self, sample: Rollout, *, following: bool = False) -> Tensor:
        """Critic inputs zeta_y^k of all samples: ``(V, L, d)``."""
        return self.inputs(self._features(sample, following=following))

    def _features(self, sample: Rollout, *, following: bool = False) -> Tensor:
        """What each node shows the critics around it, ``(L, V, F)``: mu, and in the Q form h as well."""
        groups = sample.groups(following=following)
        if self.settings.critic_form == "v":
            return groups
        actions = sample.action_shares(following=following)
        return critics.with_actions(groups, actions, mass=self.settings.critic_input != "share")

    # -- the practical recipe

    def _practical_step(self) -> dict[str, Any]:
        cfg = self.settings
        sample, episodes = self.sampler.rollout(
            self.learned, cfg.rollout_fragment_length, successors_act=cfg.critic_form == "q"
        )
        return self.learn_from(sample, episodes)

    def learn_from(self, sample: Rollout, episodes: Floats) -> dict[str, Any]:
        """One practical update of critics and policies from a rollout and the returns of its finished episodes."""
        cfg = self.settings
        if not cfg.warm_start:
            self.omega.copy_(self.critic.start)
        local, critic_loss = self._advantages(sample)
        bracket = updates.credit(local, self.ball)
        if cfg.baseline == "mean":
            bracket = updates.centred(bracket)
        bracket = bracket[:, self.team_nodes]
        sizes, actions = self._scored(sample)
        if cfg.advantage_scale != "none":
            weights = tensor(sizes)
            bracket = bracket / updates.rms(bracket, weights, per_state=cfg.advantage_scale == "state")
        gradient = self.learned.weighted_score(sizes, actions, bracket) / (sample.steps * self.model.population)
        if self.iteration >= cfg.critic_warmup:
            theta = self.learned.theta
            self._ascend("actor", theta, gradient, float(cfg.actor_lr))
            theta.copy_(project(theta, self.learned.net.start, self.radius))
            self.learned.update(theta)
        runners: dict[str, Any] = {"reward_per_step_mean": float(sample.rewards.sum(2).mean())}
        if len(episodes):
            runners |= {"episode_return_mean": float(episodes.mean()), "num_episodes": len(episodes)}
        spread = float(bracket.std())
        learners = {"td_error": critic_loss, "gradient_norm": float(gradient.norm()), "advantage_rms": spread}
        return {"env_steps": sample.steps, "env_runners": runners, "learners": learners}

    def _scored(self, sample: Rollout) -> tuple[Any, Any]:
        """Team sizes ``(L, S')`` and actions ``(L, S', A)`` whose score is taken."""
        actions = sample.actions
        if self.settings.score == "unserved":
            rows = np.searchsorted(self.model.active, self.model.team_states)
            actions = sample.unserved[:, :, rows]
        flat = actions.reshape(sample.steps, *actions.shape[2:])
        return sample.sizes.reshape(sample.steps, -1), flat

    def _advantages(self, sample: Rollout) -> tuple[Tensor, float]:
        """Local advantages ``(L, V)`` from the critics before their update, and the critics' mean squared error."""
        x = self._zeta(sample)
        r = self._rewards(sample) * self.reward_scale
        if self.settings.critic_form == "q":
            return self.critic.value(self.omega, x).T, self._fit_q(x, r.T, self._zeta(sample, following=True))
        v = self.critic.value(self.omega, x).T + self.offset
        delta = r + self.gamma * self._successor_values(sample, v) - v
        shape = (*sample.cut.shape, v.shape[1])
        cut = torch.as_tensor(sample.cut)
        advantages = updates.lambda_advantages(delta.reshape(shape), cut, self.gamma, self.settings.lambda_)
        advantages = advantages.reshape(v.shape)
        return advantages, self._fit_v(x, (advantages + v - self.offset).T)

    def _successor_values(self, sample: Rollout, v: Tensor) -> Tensor:
        """V at the true successors ``(L, V)``: the next row of ``v``, but for the end and where a world restarted."""
        apart = torch.as_tensor(sample.cut).clone()
        apart[-1] = True
        rows = apart.reshape(-1)
        v_next = v.roll(-apart.shape[1], 0)
        x_next = self.inputs(sample.groups(following=True)[rows])
        v_next[rows] = self.critic.value(self.omega, x_next).T + self.offset
        return v_next

    def _rewards(self, sample: Rollout) -> Tensor:
        """Local rewards to learn from, ``(L, V)``: as paid, or as booked by ``potential.py``."""
        if self.books is None:
            return tensor(sample.rewards).reshape(sample.steps, -1)
        flows = self.books.flows(sample)
        booked = self.books.rewards_of(flows)
        if self.settings.potential == "table":
            self.books.learn(flows)
        return tensor(booked)

    def _fit_v(self, x: Tensor, target: Tensor) -> float:
        """Regress V on its lambda-returns ``target (V, L)``; returns the error of the first minibatch."""
        errors = []
        for part in self._minibatches(x.shape[1]):
            hidden = self.critic.hidden(self.omega, x[:, part])
            errors.append(self._descend_critic(hidden, x[:, part], self.critic.read(hidden) - target[:, part]))
        return errors[0]

    def _fit_q(self, x: Tensor, r: Tensor, x_next: Tensor) -> float:
        """Semi-gradient TD(0) for Q on a batch; returns the error of the first minibatch."""
        errors = []
        for part in self._minibatches(x.shape[1]):
            hidden = self.critic.hidden(self.omega, x[:, part])
            q_next = self.critic.value(self.omega, x_next[:, part])
            delta = updates.td_residual(self.critic.read(hidden), r[:, part], self.gamma, q_next)
            errors.append(self._descend_critic(hidden, x[:, part], delta))
        return errors[0]

    def _descend_critic(self, hidden: Tensor, x: Tensor, error: Tensor) -> float:
        """One step down the (semi-)gradient of the mean squared error, which is returned."""
        gradient = self.critic.weighted_gradient(hidden, x, error / error.shape[1])
        self._ascend("critic", self.omega, -gradient, float(self.settings.critic_lr))
        self.omega.copy_(project(self.omega, self.critic.start, self.radius))
        return float((error**2).mean())

    def _minibatches(self, samples: int) -> list[Tensor]:
        size = self.settings.minibatch_size
        orders = [torch.as_tensor(self.shuffle.permutation(samples)) for _ in range(self.settings.num_epochs)]
        return [part for order in orders for part in torch.split(order, size)]

    def _ascend(self, name: str, weights: Tensor, gradient: Tensor, lr: float) -> None:
        """A step of ``weights`` (in place) along ``gradient``, by Adam or plainly; step sizes fall over the budget."""
        lr *= self._decay()
        if self.settings.optimizer == "sgd":
            weights += lr * gradient
            return
        optimiser = self.optimisers[name]
        optimiser.param_groups[0]["lr"] = lr
        weights.grad = -gradient
        optimiser.step()
        weights.grad = None

    def _decay(self) -> float:
        done = min(1.0, self.env_steps / self.settings.total_env_steps)
        return 1.0 - (1.0 - float(self.settings.lr_decay)) * done

    def _warm_up(self) -> int:
        """Burn the chain in; standardise the critics' inputs on what it saw; returns the environment steps taken."""
        cfg = self.settings
        if cfg.burn_in:
            sample, _ = self.sampler.rollout(self.learned, cfg.burn_in, successors_act=cfg.critic_form == "q")
            if cfg.potential == "table":
                self._rewards(sample)  # a first value table
            if cfg.critic_input == "standardised":
                self.inputs = self.inputs.standardised(self._features(sample))
                self.offset = self._rewards(sample).mean(0) * self.reward_scale / (1 - self.gamma)
        self.is_warm = True
        return cfg.burn_in * self.sampler.worlds

    # -- state

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        record = {
            "rng": generator_state(self.rng),
            "shuffle": generator_state(self.shuffle),
            "is_warm": self.is_warm,
        }
        arrays = {"theta": self.learned.theta, "omega": self.omega, "offset": self.offset}
        arrays |= {"input_shift": self.inputs.shift, "input_scale": self.inputs.scale}
        for name, net in (("actor", self.learned.net), ("critic", self.critic)):
            arrays |= {f"{name}_signs": net.signs, f"{name}_start": net.start}
        for name, optimiser in self.optimisers.items():
            for state in optimiser.state.values():
                arrays |= {f"{name}_{key}": value for key, value in state.items()}
        plain = {name: value.numpy() for name, value in arrays.items()}
        if self.books is not None:
            plain |= {"book_value": self.books.value, "book_seen": self.books.seen}
        return record, plain | {f"sampler_{name}": value for name, value in self.sampler.get_state().items()}

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        theta, omega = torch.tensor(arrays["theta"]), torch.tensor(arrays["omega"])
        if theta.shape != self.learned.theta.shape or omega.shape != self.omega.shape:
            raise ValueError("its networks have other sizes")
        nets = [
            TwoLayer(torch.tensor(arrays[f"{name}_signs"]), torch.tensor(arrays[f"{name}_start"]))
            for name in ("actor", "critic")
        ]
        self.learned.net, self.critic = nets
        self.learned.update(theta)
        self.omega, self.offset = omega, torch.tensor(arrays["offset"])
        self.inputs = critics.CriticInputs(
            self.inputs.index, self.inputs.mask, torch.tensor(arrays["input_shift"]),
            torch.tensor(arrays["input_scale"]), self.inputs.constant,
        )  # fmt: skip
        self.optimisers = {"actor": self._adam(theta, 1e-5), "critic": self._adam(omega, 1e-8)}
        for name, optimiser in self.optimisers.items():
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{name}_{key}" in arrays]
            if keys:
                weights = optimiser.param_groups[0]["params"][0]
                optimiser.state[weights] = {key: torch.tensor(arrays[f"{name}_{key}"]) for key in keys}
        names = [name for name in arrays if name.startswith("sampler_")]
        self.sampler.set_state({name.removeprefix("sampler_"): arrays[name] for name in names})
        set_generator_state(self.rng, record["rng"])
        set_generator_state(self.shuffle, record["shuffle"])
        self.is_warm = record["is_warm"]
        if self.books is not None:
            self.books.value, self.books.seen = arrays["book_value"], arrays["book_seen"]


def make_policy(model: LocalModel, settings: DecNeuralACConfig, rng: np.random.Generator) -> LearnedPolicy:
    """The policy a resolved config asks for, at its starting weights."""
    kind = IndividualPolicy if settings.policy == "individual" else TeamPolicy
    crowd: Any = settings.crowd_input
    inputs = kind.inputs(model, crowd)
    width, symmetric = int(settings.actor_width), bool(settings.symmetric_start)
    net = TwoLayer.create(rng, len(model.team_states), inputs, width, symmetric=symmetric)
    if settings.policy == "individual":
        return IndividualPolicy(model, net, crowd, settings.temperature)
    form = {"tilted": settings.policy == "tilted", "per_agent": settings.temperature_mode == "per_agent"}
    law: Any = settings.energy_law
    if law == "enumerate":
        check_enumerable(model.population, model.num_actions)
        return EnergyPolicy(model, net, crowd, settings.temperature, **form)
    samples = int(settings.energy_samples)
    return SampledEnergyPolicy(model, net, crowd, settings.temperature, **form, law=law, samples=samples)


def _warn(asked: DecNeuralACConfig, settings: DecNeuralACConfig, model: LocalModel) -> None:
    """Say what is legal but probably not meant."""
    kappa = int(settings.credit_hops)
    if model.period is not None:
        warnings.warn("this model reads a clock, but learned policies and critics do not see the time", stacklevel=5)
    if settings.gamma != model.gamma:
        warnings.warn(
            f"gamma {settings.gamma} is not the environment's {model.gamma}: its certificate does not apply",
            stacklevel=5,
        )
    is_v, is_asked = settings.critic_form == "v", asked.credit_hops != "auto"
    if is_v and is_asked and kappa < settings.hops + 1:
        warnings.warn(
            f"credit_hops={kappa} is below hops + 1: signals from further away are cut off and learning may fall back",
            stacklevel=5,
        )
    if settings.critic_form == "q" and kappa > settings.hops:
        warnings.warn("credit_hops > hops has no effect in expectation with Q critics trained by TD(0)", stacklevel=5)
