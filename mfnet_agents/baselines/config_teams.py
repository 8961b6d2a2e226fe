"""The options of VDN, QMIX and consensus actor-critic; what they do is in the file of each. Loads without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mfnet_agents.baselines.config import FAR, BaselineConfig, MFACConfig
from mfnet_agents.config import AUTO, ConfigError, check, option, positive
from mfnet_envs.simulator import step_bytes
from mfnet_envs.words import optional_package

if TYPE_CHECKING:
    from mfnet_agents.baselines.consensus_ac import ConsensusAC
    from mfnet_agents.baselines.value_mixing import QMIX, VDN
    from mfnet_envs.model import LocalModel

MOST_CHOICES = 512  # shares that a team chooses among


@dataclass
class VDNConfig(BaselineConfig):
    """Value decomposition over teams (Sunehag et al., 2018)."""

    parts: int = option(2, "training", "a team is split among its actions in so many equal parts at most; 1: never")
    critic_lr: float = option(0.01, "training", "step size of the values, by Adam")
    lr_decay: float = option(0.1, "training", "step sizes fall linearly to this fraction over total_env_steps")
    critic_width: int = option(32, "training", "neurons of a team's value")
    bias: Literal["crowds", "constant"] = option(
        "crowds", "training", "what the teams' sum is added to: the value of all crowds, or a constant, as published"
    )
    explore: float = option(1.0, "training", "chance that a team takes any shares at first")
    last_explore: float = option(0.05, "training", "that chance from half of total_env_steps on")
    replay: int = option(16, "training", "iterations whose samples are kept to learn from")
    num_steps: int = option(32, "training", "steps of the values in an iteration")
    minibatch_size: int = option(128, "training", "samples, each of a whole network, of one step")

    COUNTS: ClassVar[tuple[str, ...]] = ("parts", "critic_width", "replay", "num_steps", "minibatch_size")
    PAIRED: ClassVar[tuple[str, ...]] = ("critic_width",)

    def validate(self) -> None:
        super().validate()
        for name in ("explore", "last_explore"):
            check(name, getattr(self, name), lambda x: 0 <= x <= 1, "between 0 and 1")
        self.check_kinds()

    def choices(self, model: LocalModel) -> int:
        """Shares that a team of all actions chooses among."""
        return math.comb(self.parts + model.num_actions - 1, self.parts)

    def must_fit(self, model: LocalModel) -> None:
        super().must_fit(model)
        if (choices := self.choices(model)) > MOST_CHOICES:
            raise ConfigError(
                f"parts={self.parts} of {model.num_actions} actions make {choices:,} choices, and {MOST_CHOICES} are "
                "tried one by one; take fewer parts"
            )
        (states, actions), worlds, teams = model.legal.shape, "num_envs_per_env_runner", len(model.team_states)
        kept = 2 * states + teams * actions
        self.needs("replay", worlds, "rollout_fragment_length", of=f"samples of {states:,} states", entries=kept)
        answers = teams * choices
        self.needs("evaluation_duration", "critic_width", of="answers of neurons", entries=2 * answers)
        self.needs("minibatch_size", "critic_width", of="answers of neurons", entries=3 * answers)
        self.needs("evaluation_duration", of=f"worlds of {states:,} states", entries=step_bytes(model) // 8)

    @classmethod
    def algorithm_class(cls) -> type[VDN]:
        optional_package("torch", "agents", "VDN")
        from mfnet_agents.baselines.value_mixing import VDN

        return VDN


@dataclass
class QMIXConfig(VDNConfig):
    """Monotonic mixing over teams (Rashid et al., 2018)."""

    mixing_width: int = option(16, "training", "neurons of the mixing network")

    def validate(self) -> None:
        super().validate()
        check("mixing_width", self.mixing_width, positive, "a positive integer")

    def must_fit(self, model: LocalModel) -> None:
        super().must_fit(model)
        seen = 2 * len(model.legal) + 1
        self.needs("mixing_width", of="neurons that see all crowds", entries=5 * seen * (len(model.team_states) + 3))

    @classmethod
    def algorithm_class(cls) -> type[QMIX]:
        optional_package("torch", "agents", "QMIX")
        from mfnet_agents.baselines.value_mixing import QMIX

        return QMIX


@dataclass
class ConsensusACConfig(BaselineConfig):
    """Networked actor-critic by consensus (Zhang et al., 2018)."""

    rounds: int = option(1, "training", "times that neighbours average their weights after a step")
    critic_lr: float = option(0.5, "training", "step size of the critics, where features have length 1")
    actor_lr: float = option(0.03, "training", "step size of the policies, by Adam")
    lr_decay: float = option(0.1, "training", "step sizes fall linearly to this fraction over total_env_steps")
    num_epochs: int = option(4, "training", "passes over a batch")
    minibatch_size: int = option(32, "training", "samples, each of a whole network, of one step of the critics")
    actor_width: int = option(32, "training", "neurons of a policy")
    weights: Literal["own", "shared"] = option("own", "training", MFACConfig.fields()["weights"].metadata["doc"])
    observe: int | str = option("own", "training", MFACConfig.fields()["observe"].metadata["doc"])
    clock: bool | str = option(AUTO, "training", MFACConfig.fields()["clock"].metadata["doc"])

    STEPS: ClassVar[tuple[str, ...]] = ("critic_lr", "actor_lr", "lr_decay")
    COUNTS: ClassVar[tuple[str, ...]] = ("rounds", "num_epochs", "minibatch_size", "actor_width")

    def validate(self) -> None:
        super().validate()
        check("rounds", self.rounds, lambda x: x <= FAR, f"at most {FAR:,}")
        self.check_kinds()

    def must_fit(self, model: LocalModel) -> None:
        """Refuse what this machine cannot hold, before anything of it is made: every node keeps the critic of all.

        Raises:
            ConfigError: with the options that ask for too much, or that there is nothing to learn.
        """
        super().must_fit(model)
        (states, actions), nodes = model.legal.shape, model.network.num_nodes
        features = 1 + 2 * nodes * model.num_groups + states * actions
        self.needs("rounds", of=f"rounds of {nodes:,} critics of all", entries=nodes * features // max(1, self.rounds))
        worlds, steps = "num_envs_per_env_runner", "rollout_fragment_length"
        self.needs(worlds, steps, of=f"samples of {states:,} states", entries=2 * states + states * actions + features)
        self.needs("evaluation_duration", of=f"worlds of {states:,} states", entries=step_bytes(model) // 8)

    @classmethod
    def algorithm_class(cls) -> type[ConsensusAC]:
        optional_package("torch", "agents", "ConsensusAC")
        from mfnet_agents.baselines.consensus_ac import ConsensusAC

        return ConsensusAC
