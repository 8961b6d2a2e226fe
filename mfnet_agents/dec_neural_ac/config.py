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

from mfnet_agents.config import AUTO, SHARES, AlgorithmConfig, ConfigError, check, option, positive, whole
from mfnet_envs.simulator import step_bytes
from mfnet_envs.words import HUGE, shown

if TYPE_CHECKING:
    from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC
    from mfnet_envs.model import LocalModel

# What "auto" stands for in each form. What departs from the printed algorithm is named in the README.
FORMS: dict[str, dict[str, Any]] = {
    "paper": {
        "policy": "energy", "critic_form": "q", "critic_width": 128, "actor_width": 128, "credit_hops": "hops",
        "actor_lr": "T_a^-1/2", "critic_lr": "min((1-gamma)/8, T_c^-1/2)", "radius": 1.0, "crowd_input": "share",
        "critic_input": "share", "symmetric_start": False, "warm_start": False, "optimizer": "sgd", "baseline": "none",
        "advantage_scale": "none", "lr_decay": 1.0, "sampling": "stationary", "score": "all",
        "energy_law": "by size", "energy_samples": "by law",
    },
    "bracket": {
        "policy": "individual", "critic_form": "v", "critic_width": 64, "actor_width": 32, "credit_hops": "reach",
        "actor_lr": 0.03, "critic_lr": 3e-3, "radius": None, "crowd_input": "scaled",
        "critic_input": "scaled", "symmetric_start": True, "warm_start": True, "optimizer": "adam", "baseline": "mean",
        "advantage_scale": "global", "lr_decay": "long runs", "sampling": "by criterion", "score": "booked",
        "energy_law": "by size", "energy_samples": "by law",
    },
}  # fmt: skip
FORMS["costate"] = FORMS["bracket"] | {
    "critic_form": "costate", "actor_lr": "by model", "crowd_input": "bounded", "lr_decay": 0.1,
    "score": "unserved", "credit_hops": "hops", "num_parts": 1,
}  # fmt: skip
SIZES = ("num_envs_per_env_runner", "rollout_fragment_length")
WORLDS_AND_STEPS = {"paper": (16, 16), "bracket": (16, 16), "costate": (4, 64)}  # of an iteration
# What only critics of the whole have a use for: setting one of these asks for them.
OF_CRITICS = (
    "hops", "credit_hops", "lambda_", "critic_width", "critic_lr", "num_epochs", "minibatch_size", "critic_input",
    "warm_start", "baseline", "potential", "score", "critic_warmup", "num_parts",
)  # fmt: skip
# What the printed algorithm leaves no choice about.
AS_PRINTED: dict[str, Any] = {
    "critic_form": "q", "optimizer": "sgd", "warm_start": False, "advantage_scale": "none", "lr_decay": 1.0,
    "potential": "none", "score": "all", "critic_warmup": 0,
}  # fmt: skip
ROOM = 1_000_000  # numbers in one temporary of a part's critics
WEIGHT_COPIES = 5  # a network's weights, their start, a gradient, and two moments
COSTATE_TABLES = 6  # of active states and actions, for each sample: flows, what was played, worths
FAR = 1_000_000  # hops
STEEP = 1e6  # no step size and no temperature is larger
LONG_RUN_GAMMA = 0.99  # least discount of costates where the long-run average counts
COSTATE_LR, EN_ROUTE_LR = 0.1, 0.07  # long runs with states in transit: costates vary more, larger steps overshoot
HEARING_WIDTH, HEARING_STEP = 8, 0.5  # of each action's network where crowds nearby are heard; steps are smaller there
LONG_RUN = 31_000  # environment steps from which the practical mode lets its step sizes fall


@dataclass
class DecNeuralACConfig(AlgorithmConfig):
    """Options of DEC-NEURAL-AC. "auto" takes the value of the :attr:`form` (table ``FORMS``).

    >>> config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config={"population": 100})
    >>> config.debugging(seed=0).form
    'costate'
    >>> config.training(hops=1, credit_hops=3).form
    'bracket'
    """

    num_env_runners: int = option(0, "env_runners", "processes that share the worlds (costate form); 0: this one alone")
    num_envs_per_env_runner: int | str = option(
        AUTO, "env_runners", "worlds stepped side by side; auto: 16, or 4 in the costate form"
    )  # type: ignore[assignment]
    rollout_fragment_length: int | str = option(
        AUTO, "env_runners", "steps of each world per iteration; auto: 16, or 64 in the costate form"
    )  # type: ignore[assignment]
    mode: Literal["paper", "practical"] = option(
        "practical", "training", "paper: Algorithms 1, 2 as printed; practical: the measured recipes"
    )
    gamma: float | None = option(
        None,
        "training",
        "discount; None: the environment's own, as in its certificate, but at least .99 where costates climb the "
        "long-run average",
    )
    hops: int = option(1, "training", "k: hops seen by a critic")
    credit_hops: int | str = option(
        AUTO, "training", "kappa: hops over which advantages are summed; auto: k, or k + 1 / (1 - lambda) in practical"
    )
    lambda_: float = option(0.8, "training", "lambda of the V form's advantages")
    policy: str = option(AUTO, "training", "individual (3), energy (14) or tilted")
    critic_form: str = option(
        AUTO,
        "training",
        "q: critics on (mu, h) as in the paper; v: on mu; costate: marginal values along the path; auto: q in paper, "
        "costate in practical, but v where a critic's option is set or teams draw together",
    )
    observe: int | str = option(
        "own",
        "training",
        "what a policy sees: own, its own team (3); k: also all crowds within k hops (costate form), by a "
        "graph network where weights are shared",
    )
    clock: bool | str = option(
        AUTO, "training", "policies see the time of the turn (costate form); auto: where the model reads a clock"
    )
    weights: Literal["own", "shared"] = option(
        "own",
        "training",
        "of a policy: own, of each state; shared: one network for all, which gives up localised training and can be "
        "executed elsewhere (costate form)",
    )
    start: str | None = option(
        None,
        "training",
        "a heuristic of the model that the policy imitates before it learns; lp_policy: the last by LP",
    )
    law: Literal["known", "counted"] = option(
        "known", "training", "costate form: how nodes know their own law; counted: from samples alone, no model call"
    )
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
    crowd_input: str = option(AUTO, "training", "how a policy is shown its crowd: share, scaled or bounded")
    critic_input: str = option(AUTO, "training", "what a critic is shown: share, scaled or standardised")
    symmetric_start: bool | str = option(AUTO, "training", "start from f = 0: uniform policy, zero values")
    warm_start: bool | str = option(AUTO, "training", "keep the critics from one iteration to the next")
    baseline: str = option(AUTO, "training", "none, or mean: subtract each node's mean over the batch")
    advantage_scale: str = option(AUTO, "training", "none, global: one RMS for all, or state: one each (local)")
    sampling: str = option(
        AUTO, "training", "law of samples: restart, sigma (12); stationary, nu; auto: by the criterion of the scenario"
    )
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

    @property
    def form(self) -> str:
        """ "paper", "bracket" (critics whose advantages are summed) or "costate": see ``critic_form``."""
        if self.mode == "paper":
            return "paper"
        if self.critic_form != AUTO:
            return "costate" if self.critic_form == "costate" else "bracket"
        return "bracket" if self.policy in ("energy", "tilted") or self._set_of(OF_CRITICS) else "costate"

    def _set_of(self, names: tuple[str, ...]) -> list[str]:
        """Those of these options that were set to something else than their default."""
        return [name for name in names if getattr(self, name) != self.fields()[name].default]

    def validate(self) -> None:
        super().validate()
        check("mode", self.mode, lambda x: x in ("paper", "practical"), "'paper' or 'practical'")
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
        self._check_form()
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

    @property
    def most_runners(self) -> int:
        if self.form != "costate" or self.law == "counted":
            return 0
        worlds = self.num_envs_per_env_runner
        return min(SHARES, WORLDS_AND_STEPS["costate"][0] if worlds == AUTO else int(worlds))

    def _check_form(self) -> None:
        """Refuse options that the form of the algorithm has no use for.

        Raises:
            ConfigError: with the way out.
        """
        wanted = f"'own' or a non-negative integer, hops, at most {FAR:,}"
        check("observe", self.observe, lambda x: x == "own" or (whole(x) and x <= FAR), wanted)
        check("clock", self.clock, lambda x: x in (AUTO, True, False), "'auto', True or False")
        if self.critic_form == "costate" and self.mode == "practical":
            if self.policy in ("energy", "tilted"):
                raise ConfigError(
                    f"critic_form='costate' needs policy='individual': the costates of a team that draws together by "
                    f"policy={self.policy!r} are not those of its agents; set critic_form='v'"
                )
            settled = {**FORMS["costate"], "credit_hops": self.hops}  # a resolved config is checked too
            for name in self._set_of(OF_CRITICS):
                if getattr(self, name) not in (AUTO, settled.get(name)):
                    raise ConfigError(f"{name} is of critics: critic_form='costate' has none; set critic_form='v'")
        if self.law == "counted" and self.form != "costate":
            raise ConfigError(
                f"law='counted' needs critic_form='costate', the form that reads a law; leave the options of critics "
                f"alone ({', '.join(OF_CRITICS[:3])} ...)"
            )
        plain = {"observe": "own", "clock": False}
        sees_more = [name for name in plain if getattr(self, name) not in (plain[name], AUTO)]
        if sees_more and self.form != "costate":
            name = sees_more[0]
            raise ConfigError(
                f"{name}={shown(getattr(self, name))} needs critic_form='costate', whose policies can see more than "
                f"their own team; leave the options of critics alone ({', '.join(OF_CRITICS[:3])} ...)"
            )
        if self.weights == "shared":
            self._check_shared()
        if self.start is not None and (self.policy in ("energy", "tilted") or self._is_team_by_default()):
            start = shown(self.start)
            raise ConfigError(f"start={start} needs policy='individual', whose agents can imitate one by one")
        if sees_more and self.crowd_input not in (AUTO, "bounded"):
            raise ConfigError(f"{sees_more[0]} shows crowds by crowd_input='bounded', not by {self.crowd_input!r}")

    def _is_team_by_default(self) -> bool:
        return self.policy == AUTO and FORMS[self.form]["policy"] != "individual"

    def _check_shared(self) -> None:
        """Refuse what shared weights have no use for.

        Raises:
            ConfigError: with the way out.
        """
        if self.form != "costate":
            raise ConfigError(
                "weights='shared' needs critic_form='costate': sums of critics' advantages are each node's own; leave "
                f"the options of critics alone ({', '.join(OF_CRITICS[:3])} ...)"
            )
        if self.crowd_input not in (AUTO, "bounded"):
            raise ConfigError(f"weights='shared' shows crowds by crowd_input='bounded', not by {self.crowd_input!r}")

    def resolved(self, model: LocalModel) -> DecNeuralACConfig:
        """The config with every "auto" replaced by the number it stands for on ``model``."""
        from mfnet_agents.updates import natural_step_size

        self.validate()
        if not len(model.team_states):
            raise ConfigError("no state of this model has more than one legal action, so there is nothing to learn")
        if self.law == "counted" and not model.reads_own_node:
            raise ConfigError(
                "law='counted' learns curves of a node's own crowd, and the law of this model looks at its neighbours' "
                "too; set law='known'"
            )
        form = self.form
        chosen = {name: value for name, value in FORMS[form].items() if getattr(self, name) == AUTO}
        for name, size in zip(SIZES, WORLDS_AND_STEPS[form], strict=True):
            chosen |= {name: size} if getattr(self, name) == AUTO else {}
        if form == "costate" and model.episode_steps is not None:
            chosen |= self._whole_episodes(model.episode_steps)
        if self.clock == AUTO:
            chosen["clock"] = form == "costate" and model.period is not None
        if chosen.get("sampling") == "by criterion":
            chosen["sampling"] = "restart" if model.headline.criterion == "discounted" else "stationary"
        hears = self.observe != "own"
        apart = hears and self.weights == "own"  # a network of each action
        chosen |= {"actor_width": HEARING_WIDTH} if apart and "actor_width" in chosen else {}
        if chosen.get("actor_lr") == "by model":
            for_ever = model.headline.criterion != "discounted" and model.episode_steps is None
            step = EN_ROUTE_LR if for_ever and model.transit.any() else COSTATE_LR
            chosen["actor_lr"] = HEARING_STEP * step if hears else step
        gamma = model.gamma if self.gamma is None else self.gamma
        if self.gamma is None and form == "costate" and chosen.get("sampling", self.sampling) == "stationary":
            gamma = max(gamma, LONG_RUN_GAMMA)
        if chosen.get("credit_hops") == "hops":
            chosen["credit_hops"] = self.hops
        elif "credit_hops" in chosen:
            reach = math.inf if self.lambda_ == 1 else self.hops + round(1 / (1 - self.lambda_))
            chosen["credit_hops"] = int(model.network.within(reach))
        if chosen.get("critic_lr") not in (None, FORMS["bracket"]["critic_lr"]):
            chosen["critic_lr"] = natural_step_size(gamma, self.critic_steps)
        if chosen.get("actor_lr") == FORMS["paper"]["actor_lr"]:
            per_iteration = dataclasses.replace(self, gamma=gamma).env_steps_per_iteration
            chosen["actor_lr"] = max(1, self.total_env_steps // per_iteration) ** -0.5
        if chosen.get("score") == "booked":
            rationed = model.quota is not None and model.branch_rewards() is not None and model.period is None
            policy, critic = (chosen.get(name, getattr(self, name)) for name in ("policy", "critic_form"))
            chosen["score"] = "unserved" if rationed and policy == "individual" and critic == "v" else "all"
        if chosen.get("energy_law") == "by size":
            chosen["energy_law"] = self._law_that_fits(model, chosen.get("policy", self.policy))
        if chosen.get("energy_samples") == "by law":
            chosen["energy_samples"] = 64 if chosen.get("energy_law", self.energy_law) == "metropolis" else 256
        if self.num_parts == AUTO and form != "costate":
            width, samples = int(chosen.get("critic_width", self.critic_width)), self.env_steps_per_iteration
            chosen["num_parts"] = math.ceil(model.network.num_nodes * samples * width / ROOM)
        chosen["num_parts"] = min(int(chosen.get("num_parts", self.num_parts)), model.network.num_nodes)
        if chosen.get("lr_decay") == "long runs":
            chosen["lr_decay"] = 0.1 if self.total_env_steps > LONG_RUN else 1.0
        settled = dataclasses.replace(self, gamma=gamma, **chosen)
        settled._must_fit(model)
        return settled

    def _whole_episodes(self, steps: int) -> dict[str, int]:
        """The length of fragments where episodes end: costates are pulled back from there.

        Raises:
            ConfigError: other fragments are asked for.
        """
        if self.rollout_fragment_length not in (AUTO, steps) or self.burn_in:
            raise ConfigError(
                f"episodes of this model end after {steps} steps, and the costate form plays whole ones: leave "
                f"rollout_fragment_length at 'auto' and burn_in at 0"
            )
        return {"rollout_fragment_length": steps}

    def _must_fit(self, model: LocalModel) -> None:
        """Refuse what this machine cannot hold, before anything of it is made.

        Raises:
            ConfigError: with the options that ask for too much.
        """
        (states, actions), teams = model.legal.shape, len(model.team_states)
        worlds, room = "num_envs_per_env_runner", step_bytes(model) // 8
        kept = 2 * states + teams * actions  # numbers of a sample: a crowd, what follows, and what teams did
        if self.form == "costate":
            if model.quota is not None and model.branches[model.quota.branch].successors.shape[1] > 1:
                raise ConfigError(
                    "the costate form needs those that a quota serves to go to the same place whatever they chose, and "
                    "in this model they do not; set critic_form='v'"
                )
            kept = 2 * states + COSTATE_TABLES * len(model.active) * actions
        if self.law == "counted":
            kept += len(model.active) * actions * (len(model.branches) + 2)  # who went which way, and what was paid
        if self.mode == "practical":
            played = kept + room // int(self.rollout_fragment_length)
            self.needs(worlds, "rollout_fragment_length", of=f"samples of {states:,} states", entries=played)
            self.needs("burn_in", worlds, of=f"samples of {states:,} states", entries=kept)
        if self.form == "bracket":
            self.needs("critic_width", worlds, "rollout_fragment_length", of="answers of neurons", entries=2)
            self.needs("num_epochs", worlds, "rollout_fragment_length", of="numbers of samples")
        if self.form == "paper":
            self.needs("burn_in", of=f"samples of {states:,} states", entries=kept)
            self.needs("critic_steps", "critic_batch", of=f"samples of {states:,} states", entries=kept)
            self.needs("actor_samples", of=f"samples of {states:,} states", entries=kept)
        self._networks_must_fit(model)
        steps = model.evaluation[0]
        self.needs("evaluation_duration", of=f"worlds of {states:,} states and {steps:,} steps", entries=room + steps)

    def _networks_must_fit(self, model: LocalModel) -> None:
        """Critics, policies, and what they answer."""
        nodes, actions, teams = model.network.num_nodes, model.num_actions, len(model.team_states)
        seen = nodes + (int(model.network.degrees.sum()) if self.hops else 0)
        seen *= model.num_groups + (actions if self.critic_form == "q" else 0)
        if self.form != "costate":
            self.needs("critic_width", of=f"neurons for each of {nodes:,} nodes", entries=seen * WEIGHT_COPIES)
        sizes = min(64, max(8, 4 * model.population // teams))  # of a team, evaluated at a time: answers and their like
        weights = teams * WEIGHT_COPIES * (1 + actions) + 4 * sizes * actions
        self.needs("actor_width", of=f"neurons for each of {teams:,} teams", entries=weights)
        if self.policy != "individual" and self.energy_law != "enumerate":
            self.needs("energy_samples", of=f"compositions for each of {teams:,} teams", entries=teams * actions)

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
            usual = zip(SIZES, WORLDS_AND_STEPS[self.form], strict=True)
            return math.prod(size if getattr(self, name) == AUTO else getattr(self, name) for name, size in usual)
        gamma = 0.95 if self.gamma is None else self.gamma
        return (self.critic_steps - 1) * self.critic_batch + round(self.actor_samples * gamma / (1 - gamma))

    @classmethod
    def algorithm_class(cls) -> type[DecNeuralAC]:
        from mfnet_agents.dec_neural_ac import DecNeuralAC  # which says what to install where there is no torch

        return DecNeuralAC

    def build_algo(self) -> DecNeuralAC:
        return self.algorithm_class()(self)


CHOICES: dict[str, tuple[Any, ...]] = {
    "policy": (AUTO, "individual", "energy", "tilted"), "critic_form": (AUTO, "q", "v", "costate"),
    "temperature_mode": ("fixed", "per_agent"), "law": ("known", "counted"),
    "energy_law": (AUTO, "enumerate", "candidates", "metropolis"), "optimizer": (AUTO, "adam", "sgd"),
    "crowd_input": (AUTO, "share", "scaled", "bounded"), "critic_input": (AUTO, "share", "scaled", "standardised"),
    "symmetric_start": (AUTO, True, False), "warm_start": (AUTO, True, False), "baseline": (AUTO, "none", "mean"),
    "advantage_scale": (AUTO, "none", "global", "state"), "sampling": (AUTO, "restart", "stationary"),
    "potential": ("none", "table"), "score": (AUTO, "all", "unserved"),
}  # fmt: skip
