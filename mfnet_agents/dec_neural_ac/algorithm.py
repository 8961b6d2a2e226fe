"""DEC-NEURAL-AC behind the doors; what it does is in ``paper.py`` or, with ``parts.py``, in ``practical.py``.

Localised training: the critic of node y sees N_y^k; the update of the policy at s reads the scalars of the critics in
N_s^kappa. Decentralised execution: a policy sees its own state and mu(s). All nodes of a part are updated in one tensor
operation; no line loops over states or agents.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfnet_agents import critics
from mfnet_agents.algorithm import Algorithm
from mfnet_agents.checkpoint import generator_state, set_generator_state
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.paper import Paper
from mfnet_agents.dec_neural_ac.practical import Practical
from mfnet_agents.dec_neural_ac.sampling import Rollout, Sampler
from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies.energy import CompositionPolicy, EnergyPolicy, check_enumerable
from mfnet_agents.policies.energy_sampled import SampledEnergyPolicy
from mfnet_agents.policies.individual import IndividualPolicy, LearnedPolicy
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Simulator

MODES: dict[str, type[Paper] | type[Practical]] = {"paper": Paper, "practical": Practical}


class DecNeuralAC(Algorithm):
    """The decentralised neural actor-critic of Gu, Guo, Wei and Xu; see :class:`DecNeuralACConfig` for its options.

    Attributes:
        learned: the policy; critic: where the critics started; trained: Algorithm 2, as printed or the recipe.
    """

    config: DecNeuralACConfig

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return DecNeuralACConfig

    def setup(self) -> None:
        self.settings = settings = self.config.resolved(self.model)
        _warn(self.config, settings, self.model)
        assert settings.gamma is not None
        self.gamma = settings.gamma
        start, run, shuffle = np.random.SeedSequence(settings.seed).spawn(3)
        actor, critic = start.spawn(2)
        self.rng, self.shuffle = np.random.default_rng(run), np.random.default_rng(shuffle)
        self.simulator = Simulator(self.model)
        self.learned = make_policy(self.model, settings, actor)
        mode, network = MODES[settings.mode], self.model.network
        features = self.model.num_groups + (self.model.num_actions if settings.critic_form == "q" else 0)
        scale = 1.0 if settings.critic_input == "share" else float(network.num_nodes)
        inputs = critics.CriticInputs.of(network, settings.hops, features, scale=scale, constant=mode.constant)
        width, symmetric = int(settings.critic_width), bool(settings.symmetric_start)
        self.critic = critics.create(critic, np.arange(network.num_nodes), inputs, width, symmetric=symmetric)
        law: Any = settings.sampling
        worlds, kept = mode.worlds(settings), mode.kept(settings)
        self.sampler = Sampler(self.simulator, law, self.gamma, worlds, self.rng, kept)
        self.trained = mode(settings, self.sampler, inputs, self.critic, self.learned, self.shuffle)
        self.is_warm = False

    @property
    def policy(self) -> LearnedPolicy:
        return self.learned

    @property
    def needs(self) -> str:
        return self.model.wording.learner_needs or super().needs

    def training_step(self) -> dict[str, Any]:
        """Algorithm 2, one iteration."""
        burnt = 0 if self.is_warm else self.trained.warm_up(self.learned)
        self.is_warm = True
        result = self.trained.step(self.learned, self.iteration, self._decay())
        return {**result, "env_steps": result["env_steps"] + burnt}

    def _decay(self) -> float:
        """What step sizes are multiplied by; they fall over the budget."""
        done = min(1.0, self.env_steps / self.settings.total_env_steps)
        return 1.0 - (1.0 - float(self.settings.lr_decay)) * done

    # -- the algorithm in pieces, for those who study it

    @property
    def omega(self) -> Tensor:
        """``(V, d, M)``: the critics' weights."""
        return self.trained.omega

    @omega.setter
    def omega(self, omega: Tensor) -> None:
        self.trained.omega = omega

    def fit_critics(self) -> tuple[Tensor, dict[str, float]]:
        """Algorithm 1 for the present policy; the critics themselves stay as they are. Paper mode only."""
        return self._of_paper().fit_critics(self.learned)

    def policy_gradient(self, counts: Ints, actions: Ints) -> Tensor:
        """(23) with the critics as they stand, at pairs ``counts (L, S)``, ``actions (L, T, A)``. Paper mode only."""
        return self._of_paper().policy_gradient(self.learned, counts, actions)

    def learn_from(self, sample: Rollout, episodes: Floats) -> dict[str, Any]:
        """One practical update from a rollout and the returns of its finished episodes. Practical mode only."""
        if not isinstance(self.trained, Practical):
            raise TypeError("learn_from() is the practical recipe's; set mode='practical'")
        return self.trained.learn_from(self.learned, sample, episodes, self.iteration, self._decay())

    def _of_paper(self) -> Paper:
        if not isinstance(self.trained, Paper):
            raise TypeError("Algorithm 1 and (23) as printed are the paper mode's; set mode='paper'")
        return self.trained

    # -- state

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        record = {
            "rng": generator_state(self.rng),
            "shuffle": generator_state(self.shuffle),
            "is_warm": self.is_warm,
        }
        arrays = {"theta": self.learned.theta, **self.trained.state()}
        for name, net in (("actor", self.learned.net), ("critic", self.critic)):
            arrays |= {f"{name}_signs": net.signs, f"{name}_start": net.start}
        plain = {name: value.numpy() for name, value in arrays.items()}
        return record, plain | {f"sampler_{name}": value for name, value in self.sampler.get_state().items()}

    def check_sizes(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        settings = self.config.resolved(self.model)
        teams, nodes, states = len(self.model.team_states), self.model.network.num_nodes, self.model.network.num_states
        sizes = {
            "actor_signs": (teams, settings.actor_width),
            "critic_signs": (nodes, settings.critic_width),
            "sampler_counts": (MODES[settings.mode].worlds(settings), states),
        }
        for name, shape in sizes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"its {name} has shape {arrays[name].shape}, and its config asks for {shape}")

    def check_state(self, record: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        super().check_state(record, arrays)
        counts, clock = arrays["sampler_counts"], arrays["sampler_clock"]
        if (counts < 0).any() or (counts.sum(1) != self.model.population).any() or clock < 0:
            raise ValueError(f"its worlds do not hold {self.model.population} agents each")
        for name in ("actor_signs", "critic_signs"):
            if not (np.abs(arrays[name]) == 1).all():
                raise ValueError(f"its {name} are not all 1 or -1")
        for name in (name for name in arrays if name.endswith(("_step", "_exp_avg_sq", "book_seen", "input_scale"))):
            if (arrays[name] < 0).any():
                raise ValueError(f"a number in its {name} is negative")

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        state = {name: torch.tensor(value) for name, value in arrays.items() if not name.startswith("sampler_")}
        self.learned.net = TwoLayer(state["actor_signs"], state["actor_start"])
        self.critic = TwoLayer(state["critic_signs"], state["critic_start"])
        self.learned.update(state["theta"])
        self.trained.take(state, self.learned, self.critic)
        prefix = "sampler_"
        self.sampler.set_state({name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)})
        set_generator_state(self.rng, record["rng"])
        set_generator_state(self.shuffle, record["shuffle"])
        self.is_warm = record["is_warm"]


def make_policy(model: LocalModel, settings: DecNeuralACConfig, key: np.random.SeedSequence) -> LearnedPolicy:
    """The policy a resolved config asks for, at starting weights drawn from the stream ``key``."""
    kind = IndividualPolicy if settings.policy == "individual" else CompositionPolicy
    crowd: Any = settings.crowd_input
    inputs = kind.inputs(model, crowd)
    width, symmetric = int(settings.actor_width), bool(settings.symmetric_start)
    net = TwoLayer.keyed(key, np.arange(len(model.team_states)), inputs, width, symmetric=symmetric)
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
