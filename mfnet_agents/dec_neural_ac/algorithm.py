"""DEC-NEURAL-AC behind the doors; what it does is in ``paper.py``, in ``practical.py`` or in ``costate.py``.

Three forms of localised training: "paper", as printed; "bracket", the practical recipe, where the update of the policy
at s reads the scalars of the critics in N_s^kappa; "costate", where it reads the marginal values of its successors.
Decentralised execution in all: a policy sees its own state and mu(s). All nodes of a part are updated in one tensor
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
from mfnet_agents.algorithm import Algorithm, information_of
from mfnet_agents.checkpoint import generator_state, set_generator_state
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.dec_neural_ac import imitation
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.costate import KEPT, Costate
from mfnet_agents.dec_neural_ac.paper import Paper
from mfnet_agents.dec_neural_ac.practical import Practical
from mfnet_agents.dec_neural_ac.runners import Runners
from mfnet_agents.dec_neural_ac.sampling import Rollout, Sampler
from mfnet_agents.nets import TwoLayer, project
from mfnet_agents.policies.energy import CompositionPolicy, EnergyPolicy, check_enumerable
from mfnet_agents.policies.energy_sampled import SampledEnergyPolicy
from mfnet_agents.policies.graph import GraphPolicy
from mfnet_agents.policies.individual import IndividualPolicy, LearnedPolicy
from mfnet_agents.policies.observing import ObservingPolicy
from mfnet_agents.policies.shared import SharedPolicy
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Simulator

FORMS: dict[str, type[Paper] | type[Practical]] = {"paper": Paper, "bracket": Practical}  # those with critics


class DecNeuralAC(Algorithm):
    """The decentralised neural actor-critic of Gu, Guo, Wei and Xu; see :class:`DecNeuralACConfig` for its options.

    Attributes:
        learned: the policy; trained: Algorithm 2 as printed, the recipe, or the costate form.
        critic: where the critics started; None in the costate form, whose critic is ``trained.pullback.critic``.
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
        self.simulator = Simulator(self.model, settings.backend, traced=settings.law == "counted")
        self.learned = make_policy(self.model, settings, actor)
        if isinstance(self.learned, IndividualPolicy):
            self.learned.compiled = self.simulator.backend.name == "compiled"
        law: Any = settings.sampling
        if settings.form == "costate":
            assert isinstance(self.learned, IndividualPolicy)
            self.critic = None
            ends = law == "restart" or self.model.episode_steps is not None
            keep = self.gamma if ends else 1 - 1 / self.model.evaluation[0]
            worlds = int(settings.num_envs_per_env_runner)
            self.sampler = Sampler(self.simulator, "fragments", self.gamma, worlds, self.rng, KEPT, keep)
        else:
            kind = FORMS[settings.form]
            self.inputs, self.critic = make_critics(self.model, settings, critic, constant=kind.constant)
            self.sampler = Sampler(
                self.simulator, law, self.gamma, kind.worlds(settings), self.rng, kind.kept(settings)
            )
        self.trained = self._made()
        self.teacher = None if settings.start is None else imitation.heuristic(self.model, settings.start)
        self.is_warm = False

    def _made(self) -> Paper | Practical | Costate:
        """What trains the policy, from where it stands."""
        settings = self.settings
        if self.critic is None:
            assert isinstance(self.learned, IndividualPolicy)
            if settings.num_env_runners:
                return Runners(settings, self.sampler, self.learned, self.config)
            return Costate(settings, self.sampler, self.learned)
        kind = FORMS[settings.form]
        return kind(settings, self.sampler, self.inputs, self.critic, self.learned, self.shuffle)

    critic: TwoLayer | None

    @property
    def policy(self) -> LearnedPolicy:
        return self.learned

    @property
    def needs(self) -> str:
        said = self.model.wording.learner_needs or super().needs
        if self.settings.weights == "shared":
            return f"{said}; reward and kernel everywhere, by which it tells actions apart"
        if self.settings.form == "costate" and self.settings.law == "known":
            return f"{said}; while it learns, reward and kernel at its own node"
        return said

    @property
    def information(self) -> str:
        return information_of(self.settings.observe, bool(self.settings.clock))

    @property
    def begins_from_rule(self) -> bool:
        return self.teacher is not None

    def training_step(self) -> dict[str, Any]:
        """Algorithm 2, one iteration."""
        burnt = 0 if self.is_warm else self._imitated() + self.trained.warm_up(self.learned)
        self.is_warm = True
        result = self.trained.step(self.learned, self.iteration, self._decay())
        return {**result, "env_steps": result["env_steps"] + burnt}

    def _imitated(self) -> int:
        """Start as the heuristic that was asked for; returns the environment steps taken."""
        if self.teacher is None:
            return 0
        assert isinstance(self.learned, IndividualPolicy)
        steps, cut = imitation.imitate(self.learned, self.teacher, self.sampler.worlds, self.rng, self.until)
        if cut:
            self.remarks.append(f"the time was too short to begin as the rule {self.settings.start}: {cut}")
        radius = None if self.settings.radius is None else float(self.settings.radius)
        self.learned.update(project(self.learned.theta, self.learned.net.start, radius))
        self.trained = self._made()
        return steps

    def _decay(self) -> float:
        """What step sizes are multiplied by; they fall over the budget."""
        done = min(1.0, self.env_steps / self.settings.total_env_steps)
        return 1.0 - (1.0 - float(self.settings.lr_decay)) * done

    def stop(self) -> None:
        if isinstance(self.trained, Runners):
            self.trained.stop()

    # -- the algorithm in pieces, for those who study it

    @property
    def omega(self) -> Tensor:
        """``(V, d, M)``: the critics' weights."""
        return self._with_critics().omega

    @omega.setter
    def omega(self, omega: Tensor) -> None:
        self._with_critics().omega = omega

    def fit_critics(self) -> tuple[Tensor, dict[str, float]]:
        """Algorithm 1 for the present policy; the critics themselves stay as they are. Paper mode only."""
        return self._of_paper().fit_critics(self.learned)

    def policy_gradient(self, counts: Ints, actions: Ints) -> Tensor:
        """(23) with the critics as they stand, at pairs ``counts (L, S)``, ``actions (L, T, A)``. Paper mode only."""
        return self._of_paper().policy_gradient(self.learned, counts, actions)

    def learn_from(self, sample: Rollout, episodes: Floats) -> dict[str, Any]:
        """One practical update from a rollout and the returns of its finished episodes. Practical mode only."""
        if not isinstance(self.trained, Practical):
            raise TypeError("learn_from() is the bracket form's; set critic_form='v' or 'q'")
        return self.trained.learn_from(self.learned, sample, episodes, self.iteration, self._decay())

    def _with_critics(self) -> Paper | Practical:
        if isinstance(self.trained, Costate):
            raise TypeError("the costate form has no critics of the whole; set critic_form='v' or 'q'")
        return self.trained

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
            arrays |= {} if net is None else {f"{name}_signs": net.signs, f"{name}_start": net.start}
        plain = {name: value.numpy() for name, value in arrays.items()}
        return record, plain | {f"sampler_{name}": value for name, value in self.sampler.get_state().items()}

    def check_sizes(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        settings = self.config.resolved(self.model)
        teams, nodes, states = len(self.model.team_states), self.model.network.num_nodes, self.model.network.num_states
        networks = 1 if settings.weights == "shared" else teams
        networks *= self.model.num_actions if settings.observe != "own" and settings.weights == "own" else 1
        sizes: dict[str, tuple[int, ...]] = {"actor_signs": (networks, int(settings.actor_width))}
        worlds = int(settings.num_envs_per_env_runner)
        if settings.form != "costate":
            sizes["critic_signs"] = nodes, int(settings.critic_width)
            worlds = FORMS[settings.form].worlds(settings)
        sizes["sampler_counts"] = worlds, states
        for name, shape in sizes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"its {name} has shape {arrays[name].shape}, and its config asks for {shape}")

    def check_state(self, record: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        super().check_state(record, arrays)
        counts, clock = arrays["sampler_counts"], arrays["sampler_clock"]
        if (counts < 0).any() or (counts.sum(1) != self.model.population).any() or clock < 0:
            raise ValueError(f"its worlds do not hold {self.model.population} agents each")
        for name in (name for name in arrays if name.endswith("_signs")):
            if not (np.abs(arrays[name]) == 1).all():
                raise ValueError(f"its {name} are not all 1 or -1")
        for name in (name for name in arrays if name.endswith(("_step", "_exp_avg_sq", "book_seen", "input_scale"))):
            if (arrays[name] < 0).any():
                raise ValueError(f"a number in its {name} is negative")

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        state = {name: torch.tensor(value) for name, value in arrays.items() if not name.startswith("sampler_")}
        self.learned.net = TwoLayer(state["actor_signs"], state["actor_start"])
        self.learned.update(state["theta"])
        if isinstance(self.trained, Costate):
            self.trained.take(state)
        else:
            self.critic = TwoLayer(state["critic_signs"], state["critic_start"])
            self.trained.take(state, self.learned, self.critic)
        prefix = "sampler_"
        self.sampler.set_state({name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)})
        set_generator_state(self.rng, record["rng"])
        set_generator_state(self.shuffle, record["shuffle"])
        self.is_warm = record["is_warm"]


def make_critics(
    model: LocalModel, settings: DecNeuralACConfig, key: np.random.SeedSequence, *, constant: bool
) -> tuple[critics.CriticInputs, TwoLayer]:
    """The critics' inputs, and their networks at starting weights drawn from the stream ``key``."""
    network = model.network
    features = model.num_groups + (model.num_actions if settings.critic_form == "q" else 0)
    scale = 1.0 if settings.critic_input == "share" else float(network.num_nodes)
    inputs = critics.CriticInputs.of(network, settings.hops, features, scale=scale, constant=constant)
    width, symmetric = int(settings.critic_width), bool(settings.symmetric_start)
    return inputs, critics.create(key, np.arange(network.num_nodes), inputs, width, symmetric=symmetric)


def make_policy(model: LocalModel, settings: DecNeuralACConfig, key: np.random.SeedSequence) -> LearnedPolicy:
    """The policy a resolved config asks for, at starting weights drawn from the stream ``key``."""
    individual = settings.policy == "individual"
    crowd: Any = settings.crowd_input
    kind: Any = IndividualPolicy if individual else CompositionPolicy
    hops = None if settings.observe == "own" else int(settings.observe)
    clock, sees_more = bool(settings.clock), settings.observe != "own" or bool(settings.clock)
    count, inputs = len(model.team_states), kind.inputs(model, crowd)
    if sees_more:
        count, inputs = ObservingPolicy.networks(model, hops, clock)
    width, symmetric = int(settings.actor_width), bool(settings.symmetric_start)
    if settings.weights == "shared" and hops is not None:
        return GraphPolicy.made(model, key, width, settings.temperature, hops=hops, clock=clock)
    if settings.weights == "shared":
        net = TwoLayer.keyed(key, np.arange(1), SharedPolicy.width_of_inputs(model), width, symmetric=symmetric)
        return SharedPolicy(model, net, settings.temperature, clock=clock)
    net = TwoLayer.keyed(key, np.arange(count), inputs, width, symmetric=symmetric)
    if sees_more:
        return ObservingPolicy(model, net, settings.temperature, hops=hops, clock=clock)
    if individual:
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
    if model.period is not None and not settings.clock:
        warnings.warn("this model reads a clock, but the learned policies do not see the time", stacklevel=5)
    if model.episode_steps is not None and settings.form != "costate":
        warnings.warn(
            f"episodes of this model end after {model.episode_steps} steps, and critics value what would come after: "
            "only the costate form knows that nothing does",
            stacklevel=5,
        )
    if asked.gamma not in (None, model.gamma):
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
