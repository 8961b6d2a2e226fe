"""The options of DEC-NEURAL-AC, and what "auto" stands for.

======================= ====== =====================================================================
word at the doors       letter
======================= ====== =====================================================================
hops                    k      what a local critic sees
credit_hops             kappa  the ball over which the actor sums the local critics' advantages
critic_width            M      neurons of a critic; actor_width: of a policy
temperature             tau    of the softmax (14)
radius                  R      weights stay within R / sqrt(M) of their start, (21)
critic_steps            T_c    updates of Algorithm 1 per iteration (paper mode)
actor_samples           B      pairs per actor step (paper mode)
actor_lr, critic_lr     eta
lambda_                 lambda length of the advantages' look-ahead, about 1 / (1 - lambda) steps
population              N      env_config of the environment
======================= ====== =====================================================================
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mfnet_agents.config import AlgorithmConfig, ConfigError, check, option, positive, whole
from mfnet_envs.words import HUGE

if TYPE_CHECKING:
    from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC
    from mfnet_envs.model import LocalModel

AUTO = "auto"

# What "auto" stands for. Everything in the second column departs from the printed algorithm and is named in the README.
MODES: dict[str, dict[str, Any]] = {
    "paper": {
        "policy": "energy", "critic_form": "q", "critic_width": 128, "actor_width": 128, "credit_hops": "hops",
        "actor_lr": "T_a^-1/2", "critic_lr": "min((1-gamma)/8, T_c^-1/2)", "radius": 1.0, "crowd_input": "share",
        "critic_input": "share", "symmetric_start": False, "warm_start": False, "optimizer": "sgd", "baseline": "none",
        "advantage_scale": "none", "lr_decay": 1.0, "sampling": "stationary", "score": "all",
        "energy_law": "by size", "energy_samples": "by law",
    },
    "practical": {
        "policy": "individual", "critic_form": "v", "critic_width": 64, "actor_width": 32, "credit_hops": "reach",
        "actor_lr": 0.03, "critic_lr": 3e-3, "radius": None, "crowd_input": "scaled",
        "critic_input": "scaled", "symmetric_start": True, "warm_start": True, "optimizer": "adam", "baseline": "mean",
        "advantage_scale": "global", "lr_decay": "long runs", "sampling": "restart", "score": "booked",
        "energy_law": "by size", "energy_samples": "by law",
    },
}  # fmt: skip
# What the printed algorithm leaves no choice about.
AS_PRINTED: dict[str, Any] = {
    "critic_form": "q", "optimizer": "sgd", "warm_start": False, "advantage_scale": "none", "lr_decay": 1.0,
    "potential": "none", "score": "all", "critic_warmup": 0,
}  # fmt: skip
ROOM = 1_000_000  # numbers in one temporary of a part's critics
WEIGHT_COPIES = 4  # a network's weights, their start, and two moments
STEEP = 1e6  # no step size and no temperature is larger
LONG_RUN = 31_000  # environment steps from which the practical mode lets its step sizes fall


@dataclass
class DecNeuralACConfig(AlgorithmConfig):
    """Options of DEC-NEURAL-AC. "auto" takes the value of the ``mode`` (table ``MODES``).

    >>> config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config={"population": 100})
    >>> config.training(hops=1, credit_hops=3).debugging(seed=0).credit_hops
    3
    """

    mode: Literal["paper", "practical"] = option(
        "practical", "training", "paper: Algorithms 1, 2 as printed; practical: the measured recipe"
    )
    gamma: float | None = option(None, "training", "discount; None: the environment's own, as in its certificate")
    hops: int = option(1, "training", "k: hops seen by a critic")
    credit_hops: int | str = option(
        AUTO, "training", "kappa: hops over which advantages are summed; auto: k, or k + 1 / (1 - lambda) in practical"
    )
    lambda_: float = option(0.8, "training", "lambda of the V form's advantages")
    policy: str = option(AUTO, "training", "individual (3), energy (14) or tilted")
    critic_form: str = option(AUTO, "training", "q: on (mu, h) as in the paper; v: on mu")
    critic_width: int | str = option(AUTO, "training", "M of the critics")
    actor_width: int | str = option(AUTO, "training", "M of the policies")
    temperature: float = option(1.0, "training", "tau of (14), tau0 where it is per agent")
    temperature_mode: Literal["fixed", "per_agent"] = option("fixed", "training", "energy policies: tau, or tau0 n")
    energy_law: str = option(
        AUTO, "training", "compositions of energy policies: enumerate (exact), candidates or metropolis; auto: by size"
    )
    energy_samples: int | str = option(
        AUTO, "training", "K, compositions drawn for a team that has more; auto: 256 candidates or 64 chains"
    )
    radius: float | str | None = option(AUTO, "training", "R of the projection (21); None: no projection")
    actor_lr: float | str = option(AUTO, "training", "step size of the policies")
    critic_lr: float | str = option(AUTO, "training", "step size of the critics")
    lr_decay: float | str = option(AUTO, "training", "step sizes fall linearly to this fraction over total_env_steps")
    optimizer: str = option(AUTO, "training", "adam or sgd")
    num_epochs: int = option(4, "training", "passes of a critic over a batch (practical mode)")
    minibatch_size: int = option(256, "training", "samples of one critic update (practical mode)")
    crowd_input: str = option(AUTO, "training", "what a policy is shown of its crowd: share, scaled or bounded")
    critic_input: str = option(AUTO, "training", "what a critic is shown: share, scaled or standardised")
    symmetric_start: bool | str = option(AUTO, "training", "start from f = 0: uniform policy, zero values")
    warm_start: bool | str = option(AUTO, "training", "keep the critics from one iteration to the next")
    baseline: str = option(AUTO, "training", "none, or mean: subtract each node's mean over the batch")
    advantage_scale: str = option(AUTO, "training", "none, global: one RMS for all, or state: one each (local)")
    sampling: str = option(AUTO, "training", "law of the critics' samples: restart, sigma (12); stationary, nu")
    potential: Literal["none", "table"] = option("none", "training", "shape rewards by a per-agent value table")
    score: str = option(
        AUTO, "training", "whose actions are scored: all, or unserved, those whose action had an effect"
    )
    num_parts: int | str = option(
        AUTO, "training", "parts the network is trained in, one after the other: memory, not results; auto: by size"
    )
    burn_in: int = option(0, "training", "steps of every world before the first iteration")
    critic_warmup: int = option(0, "training", "first iterations that only fit the critics")
    critic_steps: int = option(1_000, "training", "T_c, updates of Algorithm 1 per iteration (paper mode)")
    critic_batch: int = option(1, "training", "samples per update of Algorithm 1 (paper mode)")
    actor_samples: int = option(64, "training", "B, pairs of one actor step (paper mode)")

    def validate(self) -> None:
        super().validate()
        check("mode", self.mode, lambda x: x in MODES, "'paper' or 'practical'")
        check("gamma", self.gamma, lambda x: x is None or 0 < x < 1, "strictly between 0 and 1, or None")
        check("hops", self.hops, whole, "a non-negative integer")
        check("credit_hops", self.credit_hops, lambda x: x == AUTO or whole(x), "'auto' or a non-negative integer")
        check("lambda_", self.lambda_, lambda x: 0 <= x <= 1, "between 0 and 1")
        check("critic_steps", self.critic_steps, lambda x: positive(x) and x >= 2, "an integer of at least 2")
        for name in ("critic_batch", "actor_samples", "num_epochs", "minibatch_size"):
            check(name, getattr(self, name), positive, "a positive integer")
        for name in ("burn_in", "critic_warmup"):
            check(name, getattr(self, name), lambda x: x == 0 or positive(x), "a non-negative integer")
        for name in ("critic_width", "actor_width", "energy_samples", "num_parts"):
            check(name, getattr(self, name), lambda x: x == AUTO or positive(x), "'auto' or a positive integer")
        for name, choices in CHOICES.items():
            check(name, getattr(self, name), choices.__contains__, " or ".join(map(repr, choices)))
        wanted = f"'auto' or a positive number, at most {STEEP:g}"
        for name in ("actor_lr", "critic_lr", "lr_decay"):
            check(name, getattr(self, name), lambda x: x == AUTO or 0 < x <= STEEP, wanted)
        wanted = f"a positive number between {1 / STEEP:g} and {STEEP:g}"
        check("temperature", self.temperature, lambda x: 1 / STEEP <= x <= STEEP, wanted)
        wanted = f"'auto', None or a positive number, at most {HUGE:g}"
        check("radius", self.radius, lambda x: x in (AUTO, None) or 0 < x <= HUGE, wanted)
        self.check_kinds()
        for name, printed in AS_PRINTED.items() if self.mode == "paper" else ():
            if getattr(self, name) not in (AUTO, printed):
                asked = getattr(self, name)
                raise ConfigError(f"mode='paper' has {name}={printed!r}; use mode='practical' for {asked!r}")
        if self.score == "unserved" and self.policy in ("energy", "tilted"):
            raise ConfigError("score='unserved' needs policy='individual': a team's law is one of all its agents")
        if self.critic_form == "q" and (self.score == "unserved" or self.potential == "table"):
            raise ConfigError(
                "score='unserved' and potential='table' need critic_form='v'; Q critics learn paid rewards"
            )
        if self.critic_input == "standardised" and not self.burn_in:
            raise ConfigError("critic_input='standardised' takes its statistics from the burn-in; set burn_in >= 1")

    def resolved(self, model: LocalModel) -> DecNeuralACConfig:
        """The config with every "auto" replaced by the number it stands for on ``model``."""
        from mfnet_agents.updates import natural_step_size

        self.validate()
        if not len(model.team_states):
            raise ConfigError("no state of this model has more than one legal action, so there is nothing to learn")
        chosen = {name: value for name, value in MODES[self.mode].items() if getattr(self, name) == AUTO}
        gamma = model.gamma if self.gamma is None else self.gamma
        if chosen.get("credit_hops") == "hops":
            chosen["credit_hops"] = self.hops
        elif "credit_hops" in chosen:
            reach = math.inf if self.lambda_ == 1 else self.hops + round(1 / (1 - self.lambda_))
            chosen["credit_hops"] = int(model.network.within(reach))
        if chosen.get("critic_lr") not in (None, MODES["practical"]["critic_lr"]):
            chosen["critic_lr"] = natural_step_size(gamma, self.critic_steps)
        if chosen.get("actor_lr") not in (None, MODES["practical"]["actor_lr"]):
            per_iteration = dataclasses.replace(self, gamma=gamma).env_steps_per_iteration
            iterations = max(1, self.total_env_steps // per_iteration)
            chosen["actor_lr"] = iterations**-0.5
        if chosen.get("score") == "booked":
            rationed = model.quota is not None and model.branch_rewards() is not None and model.period is None
            alone = (
                chosen.get("policy", self.policy) == "individual" and chosen.get("critic_form", self.critic_form) == "v"
            )
            chosen["score"] = "unserved" if rationed and alone else "all"
        if chosen.get("energy_law") == "by size":
            chosen["energy_law"] = self._law_that_fits(model, chosen.get("policy", self.policy))
        if chosen.get("energy_samples") == "by law":
            chosen["energy_samples"] = 64 if chosen.get("energy_law", self.energy_law) == "metropolis" else 256
        if self.num_parts == AUTO:
            width, samples = int(chosen.get("critic_width", self.critic_width)), self.env_steps_per_iteration
            chosen["num_parts"] = math.ceil(model.network.num_nodes * samples * width / ROOM)
        chosen["num_parts"] = min(int(chosen.get("num_parts", self.num_parts)), model.network.num_nodes)
        if chosen.get("lr_decay") == "long runs":
            chosen["lr_decay"] = 0.1 if self.total_env_steps > LONG_RUN else 1.0
        settled = dataclasses.replace(self, gamma=gamma, **chosen)
        settled._must_fit(model)
        return settled

    def _must_fit(self, model: LocalModel) -> None:
        """Refuse what this machine cannot hold, before anything of it is made.

        Raises:
            ConfigError: with the options that ask for too much.
        """
        nodes, (states, actions), teams = model.network.num_nodes, model.legal.shape, len(model.team_states)
        worlds = "num_envs_per_env_runner"
        kept = 2 * states + teams * actions  # numbers of a sample: a crowd, what follows, and what teams did
        if self.mode == "practical":
            self.needs(worlds, "rollout_fragment_length", of=f"samples of {states:,} states", entries=kept)
            self.needs("num_epochs", worlds, "rollout_fragment_length", of="numbers of samples")
            self.needs("burn_in", worlds, of=f"samples of {states:,} states", entries=kept)
        else:
            self.needs("burn_in", of=f"samples of {states:,} states", entries=kept)
            self.needs("critic_steps", "critic_batch", of=f"samples of {states:,} states", entries=kept)
            self.needs("actor_samples", of=f"samples of {states:,} states", entries=kept)
        self.needs("critic_width", of=f"neurons for each of {nodes:,} nodes", entries=nodes * WEIGHT_COPIES * 2)
        self.needs("actor_width", of=f"neurons for each of {teams:,} teams", entries=teams * WEIGHT_COPIES * 2)
        if self.policy != "individual" and self.energy_law != "enumerate":
            self.needs("energy_samples", of=f"compositions for each of {teams:,} teams", entries=teams * actions)
        steps = model.evaluation[0]
        self.needs("evaluation_duration", of=f"worlds of {states:,} states and {steps:,} steps", entries=states + steps)

    def _law_that_fits(self, model: LocalModel, policy: str) -> str:
        """Enumeration where it can be had; else the fallback whose law holds up as teams grow (docs/theory.md)."""
        from mfnet_agents.policies.energy import is_enumerable

        if is_enumerable(model.population, model.num_actions):
            return "enumerate"
        narrow = policy == "tilted" or self.temperature_mode == "per_agent"  # laws that concentrate as n grows
        return "metropolis" if narrow else "candidates"

    @property
    def env_steps_per_iteration(self) -> int:
        """Joint transitions of one iteration; in paper mode the mean: T_c - 1 updates, and B runs of random length."""
        if self.mode == "practical":
            return self.num_envs_per_env_runner * self.rollout_fragment_length
        gamma = 0.95 if self.gamma is None else self.gamma
        return (self.critic_steps - 1) * self.critic_batch + round(self.actor_samples * gamma / (1 - gamma))

    @classmethod
    def algorithm_class(cls) -> type[DecNeuralAC]:
        from mfnet_agents.dec_neural_ac import DecNeuralAC  # which says what to install where there is no torch

        return DecNeuralAC

    def build_algo(self) -> DecNeuralAC:
        return self.algorithm_class()(self)


CHOICES: dict[str, tuple[Any, ...]] = {
    "policy": (AUTO, "individual", "energy", "tilted"),
    "critic_form": (AUTO, "q", "v"),
    "temperature_mode": ("fixed", "per_agent"),
    "energy_law": (AUTO, "enumerate", "candidates", "metropolis"),
    "optimizer": (AUTO, "adam", "sgd"),
    "crowd_input": (AUTO, "share", "scaled", "bounded"),
    "critic_input": (AUTO, "share", "scaled", "standardised"),
    "symmetric_start": (AUTO, True, False),
    "warm_start": (AUTO, True, False),
    "baseline": (AUTO, "none", "mean"),
    "advantage_scale": (AUTO, "none", "global", "state"),
    "sampling": (AUTO, "restart", "stationary"),
    "potential": ("none", "table"),
    "score": (AUTO, "all", "unserved"),
}
