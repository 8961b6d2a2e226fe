"""The options of the baselines; what they do is in the file of each. Loads without torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mfnet_agents.config import AUTO, AlgorithmConfig, ConfigError, check, option, positive, whole
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_envs.simulator import step_bytes
from mfnet_envs.words import optional_package

if TYPE_CHECKING:
    from mfnet_agents.baselines.ends import CentralisedAC, GraphAC, IndependentAC
    from mfnet_agents.baselines.mean_field import MFAC, MFQ
    from mfnet_agents.baselines.ppo import IPPO, MAPPO, PPO, LocalPPO
    from mfnet_agents.baselines.scalable_ac import ScalableAC
    from mfnet_agents.baselines.search import CEM
    from mfnet_envs.model import LocalModel

STEEP = 1e6  # no step size is larger
FAR = 1_000_000  # hops
NOTHING = "no state of this model has more than one legal action, so there is nothing to learn"


def reward_size(model: LocalModel) -> float:
    """The largest that a reward of one agent in one step can be, either way; 1 where nothing is ever paid."""
    return max(map(abs, model.reward_range)) or 1.0


@dataclass
class BaselineConfig(AlgorithmConfig):
    """What the options of learners to compare with have in common, and how they are checked.

    Attributes:
        STEPS: names of step sizes; COUNTS: of positive integers; PAIRED: of even ones.
    """

    gamma: float | None = option(None, "training", "discount; None: the environment's own")

    STEPS: ClassVar[tuple[str, ...]] = ("critic_lr", "lr_decay")
    COUNTS: ClassVar[tuple[str, ...]] = ()
    PAIRED: ClassVar[tuple[str, ...]] = ()

    def validate(self) -> None:
        super().validate()
        check("gamma", self.gamma, lambda x: x is None or 0 < x < 1, "strictly between 0 and 1, or None")
        for name in self.STEPS:
            check(name, getattr(self, name), lambda x: 0 < x <= STEEP, f"a positive number, at most {STEEP:g}")
        for name in self.COUNTS:
            check(name, getattr(self, name), positive, "a positive integer")
        for name in self.PAIRED:
            check(name, getattr(self, name), lambda x: x % 2 == 0, "an even number, as neurons start in pairs")

    def must_fit(self, model: LocalModel) -> None:
        """Refuse what this machine cannot hold, before anything of it is made.

        Raises:
            ConfigError: with the options that ask for too much, or that there is nothing to learn.
        """
        if not len(model.team_states):
            raise ConfigError(NOTHING)


@dataclass
class PPOConfig(BaselineConfig):
    """Clipped-surrogate policy optimisation; IPPO, MAPPO and LocalPPO differ in who learns from what.

    >>> config = IPPOConfig().environment("MFNet-Grid-v0", env_config={"population": 100})
    >>> config.validate(), config.critic_hops, MAPPOConfig().critic_hops, LocalPPOConfig().critic_hops
    (None, 0, None, 1)
    """

    view: Literal["individuals", "teams"] = option(
        "individuals", "training", "who learns: every agent, with the weights of its state, or the team of every node"
    )
    reward: Literal["own", "shared"] = option(
        "own", "training", "what a learner is paid: its own reward, or the mean over all agents"
    )
    critic_hops: int | None = option(0, "training", "hops seen by a critic; None: the whole network, one critic")
    credit_hops: int | str = option(
        AUTO,
        "training",
        "teams with own rewards: hops over which advantages are summed; auto: critic_hops + 1/(1-lambda)",
    )
    weights: Literal["own", "shared"] = option(
        "own", "training", "of a policy: own, of each state; shared: one network for all"
    )
    observe: int | str = option("own", "training", "what a policy sees: own, its own team; k: all crowds within k hops")
    clock: bool | str = option(
        AUTO, "training", "policies see the time of the turn; auto: where the model reads a clock"
    )
    lambda_: float = option(0.95, "training", "lambda of the generalised advantages")
    clip: float = option(0.2, "training", "how far from 1 a ratio of probabilities is still followed")
    entropy: float = option(0.0, "training", "weight of the policies' entropy")
    actor_lr: float = option(0.01, "training", "step size of the policies, by Adam")
    critic_lr: float = option(3e-3, "training", "step size of the critics, by Adam")
    lr_decay: float = option(0.1, "training", "step sizes fall linearly to this fraction over total_env_steps")
    actor_width: int = option(32, "training", "neurons of a policy")
    critic_width: int = option(64, "training", "neurons of a critic")
    num_epochs: int = option(4, "training", "passes over a batch")
    minibatch_size: int = option(64, "training", "samples, each of a whole network, of one step")

    STEPS: ClassVar[tuple[str, ...]] = ("actor_lr", "critic_lr", "lr_decay")
    COUNTS: ClassVar[tuple[str, ...]] = ("actor_width", "critic_width", "num_epochs", "minibatch_size")
    PAIRED: ClassVar[tuple[str, ...]] = ("actor_width", "critic_width")

    def validate(self) -> None:
        super().validate()
        check("lambda_", self.lambda_, lambda x: 0 <= x <= 1, "between 0 and 1")
        check("clip", self.clip, lambda x: 0 < x < 1, "strictly between 0 and 1")
        check("entropy", self.entropy, lambda x: 0 <= x <= STEEP, f"between 0 and {STEEP:g}")
        wanted = f"a non-negative integer, hops, at most {FAR:,}"
        check("critic_hops", self.critic_hops, lambda x: x is None or (whole(x) and x <= FAR), wanted + ", or None")
        check("credit_hops", self.credit_hops, lambda x: x == AUTO or (whole(x) and x <= FAR), "'auto' or " + wanted)
        check("observe", self.observe, lambda x: x == "own" or (whole(x) and x <= FAR), "'own' or " + wanted)
        check("clock", self.clock, lambda x: x in (AUTO, True, False), "'auto', True or False")
        self.check_kinds()
        if self.credit_hops != AUTO and (self.view, self.reward) != ("teams", "own"):
            raise ConfigError("credit_hops is of teams with rewards of their own; set view='teams' and reward='own'")
        if (self.view, self.reward, self.critic_hops) == ("teams", "own", None):
            raise ConfigError(
                "a critic of the whole network (critic_hops=None) values what all earn; set reward='shared'"
            )

    def must_fit(self, model: LocalModel) -> None:
        super().must_fit(model)
        worlds, steps = "num_envs_per_env_runner", "rollout_fragment_length"
        states, network = len(model.legal), model.network
        agents = 8 * model.population if self.view == "individuals" else 0
        self.needs(worlds, steps, of=f"samples of {states:,} states", entries=2 * states + model.legal.size + agents)
        rows = states if self.view == "individuals" else network.num_nodes
        self.needs("critic_width", worlds, steps, of="answers of neurons", entries=2 * rows)
        hops, everywhere = self.critic_hops, network.num_nodes * model.num_groups
        seen = everywhere if hops is None else network.hops(hops)[0].shape[1] * model.num_groups
        rows = 1 if hops is None and self.view == "teams" else rows
        self.needs("critic_width", of=f"neurons for each of {rows:,} critics", entries=5 * rows * (seen + 1))
        self.needs("evaluation_duration", of=f"worlds of {states:,} states", entries=step_bytes(model) // 8)

    @classmethod
    def algorithm_class(cls) -> type[PPO]:
        found: type[PPO] = _learner("PPO")
        return found

    def build_algo(self) -> PPO:
        return self.algorithm_class()(self)


@dataclass
class IPPOConfig(PPOConfig):
    """Independent learners: every agent its own critic's, at its own node (de Witt et al., 2020)."""

    @classmethod
    def algorithm_class(cls) -> type[IPPO]:
        found: type[IPPO] = _learner("IPPO")
        return found


@dataclass
class MAPPOConfig(PPOConfig):
    """Centralised training: a critic that sees the whole network, and what all earn (Yu et al., 2022)."""

    view: Literal["individuals", "teams"] = option("teams", "training", PPOConfig.fields()["view"].metadata["doc"])
    reward: Literal["own", "shared"] = option("shared", "training", PPOConfig.fields()["reward"].metadata["doc"])
    critic_hops: int | None = option(None, "training", PPOConfig.fields()["critic_hops"].metadata["doc"])

    @classmethod
    def algorithm_class(cls) -> type[MAPPO]:
        found: type[MAPPO] = _learner("MAPPO")
        return found


@dataclass
class LocalPPOConfig(PPOConfig):
    """The local critics of DEC-NEURAL-AC's bracket form, k hops each, with a clipped surrogate."""

    view: Literal["individuals", "teams"] = option("teams", "training", PPOConfig.fields()["view"].metadata["doc"])
    critic_hops: int | None = option(1, "training", PPOConfig.fields()["critic_hops"].metadata["doc"])
    lambda_: float = option(0.8, "training", PPOConfig.fields()["lambda_"].metadata["doc"])

    @classmethod
    def algorithm_class(cls) -> type[LocalPPO]:
        found: type[LocalPPO] = _learner("LocalPPO")
        return found


@dataclass
class ScalableACConfig(BaselineConfig):
    """Tabular Scalable Actor-Critic."""

    rollout_fragment_length: int = option(16, "env_runners", "T, steps of an episode of the schedule")
    hops: int = option(1, "training", "k: hops seen by a table, and heard by a policy")
    levels: int = option(8, "training", "crowds are counted exactly if there are fewer agents, else in so many levels")
    actor_lr: float = option(5.0, "training", "eta in the first episode after a restart of the schedule")
    critic_lr: float = option(1.0, "training", "alpha in that episode's first step")
    restart: int | None = option(100, "training", "episodes after which step sizes begin anew; None: never")
    baseline: Literal["none", "mean"] = option(
        "mean", "training", "none, as published; mean: subtract what the worlds have in common"
    )

    STEPS: ClassVar[tuple[str, ...]] = ("actor_lr",)

    def validate(self) -> None:
        super().validate()
        check("hops", self.hops, lambda x: whole(x) and x <= FAR, f"a non-negative integer, hops, at most {FAR:,}")
        check("levels", self.levels, lambda x: positive(x) and x >= 2, "an integer of at least 2")
        check("critic_lr", self.critic_lr, lambda x: 0 < x <= 1, "a positive number, at most 1")
        check("restart", self.restart, lambda x: x is None or positive(x), "a positive integer or None")
        self.check_kinds()

    def must_fit(self, model: LocalModel) -> None:
        super().must_fit(model)
        (states, actions), worlds = model.legal.shape, "num_envs_per_env_runner"
        played = 4 * states * (1 + actions)
        self.needs(worlds, "rollout_fragment_length", of=f"samples of {states:,} states", entries=played)
        rows = len(model.team_states) * actions * min(1, self.levels / (model.population + 1))
        self.needs("levels", of="rows of a policy", entries=max(1, int(4 * rows)))
        self.needs("evaluation_duration", of=f"worlds of {states:,} states", entries=step_bytes(model) // 8)

    @classmethod
    def algorithm_class(cls) -> type[ScalableAC]:
        from mfnet_agents.baselines.scalable_ac import ScalableAC

        return ScalableAC


@dataclass
class MeanFieldConfig(BaselineConfig):
    """What MF-Q and MF-AC have in common."""

    hops: int = option(0, "training", "whose mean action a Q-function knows: agents within k hops of the own node")
    reward: Literal["own", "shared"] = option("own", "training", PPOConfig.fields()["reward"].metadata["doc"])
    critic_lr: float = option(0.02, "training", "step size of the Q-functions, by Adam")
    lr_decay: float = option(0.1, "training", "step sizes fall linearly to this fraction over total_env_steps")
    critic_width: int = option(32, "training", "neurons of a Q-function")
    num_epochs: int = option(4, "training", "passes over a batch")
    minibatch_size: int = option(64, "training", "samples, each of a whole network, of one step")

    def validate(self) -> None:
        super().validate()
        check("hops", self.hops, lambda x: whole(x) and x <= FAR, f"a non-negative integer, hops, at most {FAR:,}")
        self.check_kinds()

    COUNTS: ClassVar[tuple[str, ...]] = ("critic_width", "num_epochs", "minibatch_size")
    PAIRED: ClassVar[tuple[str, ...]] = ("critic_width",)

    def must_fit(self, model: LocalModel) -> None:
        super().must_fit(model)
        worlds, steps, (states, actions) = "num_envs_per_env_runner", "rollout_fragment_length", model.legal.shape
        kept = 2 * states + states * actions * (2 * actions + 4) + 8 * model.population
        self.needs(worlds, steps, of=f"samples of {states:,} states", entries=kept)
        self.needs("critic_width", of=f"neurons for each of {states:,} states", entries=5 * states * (2 + 2 * actions))
        self.needs("critic_width", "minibatch_size", of="answers of neurons", entries=2 * states * actions)
        self.needs("evaluation_duration", "critic_width", of="answers of neurons", entries=2 * states * actions)


@dataclass
class MFQConfig(MeanFieldConfig):
    """Mean-field Q-learning (Yang et al., 2018)."""

    temperature: float = option(0.5, "training", "of the first step, in units of the largest reward of a step")
    last_temperature: float = option(0.02, "training", "of the last one")

    STEPS: ClassVar[tuple[str, ...]] = (*MeanFieldConfig.STEPS, "temperature", "last_temperature")

    @classmethod
    def algorithm_class(cls) -> type[MFQ]:
        optional_package("torch", "agents", "MFQ")
        from mfnet_agents.baselines.mean_field import MFQ

        return MFQ


@dataclass
class MFACConfig(MeanFieldConfig):
    """Mean-field actor-critic (Yang et al., 2018)."""

    actor_lr: float = option(0.1, "training", "step size of the policies, by Adam")
    actor_width: int = option(32, "training", "neurons of a policy")
    weights: Literal["own", "shared"] = option("own", "training", PPOConfig.fields()["weights"].metadata["doc"])
    observe: int | str = option("own", "training", PPOConfig.fields()["observe"].metadata["doc"])
    clock: bool | str = option(AUTO, "training", PPOConfig.fields()["clock"].metadata["doc"])

    STEPS: ClassVar[tuple[str, ...]] = (*MeanFieldConfig.STEPS, "actor_lr")

    @classmethod
    def algorithm_class(cls) -> type[MFAC]:
        optional_package("torch", "agents", "MFAC")
        from mfnet_agents.baselines.mean_field import MFAC

        return MFAC


@dataclass
class IndependentACConfig(DecNeuralACConfig):
    """DEC-NEURAL-AC's bracket form with k = 0: every node learns alone."""

    critic_form: str = option("v", "training", DecNeuralACConfig.fields()["critic_form"].metadata["doc"])
    hops: int = option(0, "training", DecNeuralACConfig.fields()["hops"].metadata["doc"])
    credit_hops: int | str = option(0, "training", DecNeuralACConfig.fields()["credit_hops"].metadata["doc"])

    @classmethod
    def algorithm_class(cls) -> type[IndependentAC]:
        optional_package("torch", "agents", "IndependentAC")
        from mfnet_agents.baselines.ends import IndependentAC

        return IndependentAC


@dataclass
class CentralisedACConfig(DecNeuralACConfig):
    """DEC-NEURAL-AC's bracket form with k = the network's diameter, whatever ``hops`` and ``credit_hops`` say."""

    critic_form: str = option("v", "training", DecNeuralACConfig.fields()["critic_form"].metadata["doc"])

    def resolved(self, model: LocalModel) -> CentralisedACConfig:
        everywhere = model.network.diameter
        settled = dataclasses.replace(self, hops=everywhere, credit_hops=everywhere)
        found: CentralisedACConfig = super(CentralisedACConfig, settled).resolved(model)  # type: ignore[assignment]
        return found

    @classmethod
    def algorithm_class(cls) -> type[CentralisedAC]:
        optional_package("torch", "agents", "CentralisedAC")
        from mfnet_agents.baselines.ends import CentralisedAC

        return CentralisedAC


@dataclass
class GraphACConfig(DecNeuralACConfig):
    """DEC-NEURAL-AC's costates, with one graph network for all nodes (``policies/graph.py``).

    >>> GraphACConfig().environment("MFNet-Grid-v0").form
    'costate'
    """

    weights: Literal["own", "shared"] = option(
        "shared", "training", DecNeuralACConfig.fields()["weights"].metadata["doc"]
    )
    observe: int | str = option(2, "training", DecNeuralACConfig.fields()["observe"].metadata["doc"])

    @classmethod
    def algorithm_class(cls) -> type[GraphAC]:
        optional_package("torch", "agents", "GraphAC")
        from mfnet_agents.baselines.ends import GraphAC

        return GraphAC


@dataclass
class CEMConfig(AlgorithmConfig):
    """Cross-entropy search over tables."""

    num_envs_per_env_runner: int = option(1, "env_runners", "worlds that a table is tried in")
    rollout_fragment_length: int = option(40, "env_runners", "steps of each")
    tables: int = option(32, "training", "tables tried in an iteration")
    elite: int = option(6, "training", "how many of them, the best, the next ones are drawn around")
    levels: int = option(3, "training", "crowds that a table tells apart, by their share of four usual crowds")
    spread: float = option(2.0, "training", "deviation of the logits at first")
    floor: float = option(0.1, "training", "least deviation")

    def validate(self) -> None:
        super().validate()
        for name in ("tables", "levels", "elite"):
            check(name, getattr(self, name), positive, "a positive integer")
        check("elite", self.elite, lambda x: x <= self.tables, f"at most {self.tables}, the tables")
        for name in ("spread", "floor"):
            check(name, getattr(self, name), lambda x: 0 < x <= 100, "a positive number, at most 100")
        self.check_kinds()
        self.needs("tables", "num_envs_per_env_runner", "rollout_fragment_length", of="samples")

    @property
    def env_steps_per_iteration(self) -> int:
        return self.tables * self.num_envs_per_env_runner * self.rollout_fragment_length

    def must_fit(self, model: LocalModel) -> None:
        """Refuse what this machine cannot hold, before anything of it is made.

        Raises:
            ConfigError: with the options that ask for too much, or that there is nothing to learn.
        """
        if not len(model.team_states):
            raise ConfigError(NOTHING)
        rows, worlds = len(model.team_states) * model.num_actions, "num_envs_per_env_runner"
        self.needs("tables", "levels", of="rows of tables", entries=3 * rows)
        self.needs("tables", worlds, of="worlds", entries=step_bytes(model) // 8 + 2 * rows)
        self.needs("evaluation_duration", of="worlds", entries=step_bytes(model) // 8 + 2 * rows)

    @classmethod
    def algorithm_class(cls) -> type[CEM]:
        from mfnet_agents.baselines.search import CEM

        return CEM


def _learner(name: str) -> Any:
    """A class of ``ppo.py``, which needs torch."""
    optional_package("torch", "agents", name)
    from mfnet_agents.baselines import ppo

    return getattr(ppo, name)
