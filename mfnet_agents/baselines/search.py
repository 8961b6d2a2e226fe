"""Cross-entropy search (Rubinstein, 1999) over softmax tables pi(a | s, level of n): no gradient, no model, no critic.

Tables are drawn around a centre, logits independently; each is tried in worlds of its own; centre and deviations
become those of the best ones. On small games it comes near the best policy of its class, so it tells a learner whose
gradient is wrong; in many dimensions it is slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mfnet_agents.algorithm import Algorithm, information_of
from mfnet_agents.baselines.config import CEMConfig
from mfnet_agents.baselines.scalable_ac import Levels, SoftmaxTable
from mfnet_agents.checkpoint import generator_state, set_generator_state
from mfnet_agents.config import AlgorithmConfig
from mfnet_envs.arrays import Floats
from mfnet_envs.simulator import Simulator


class CEM(Algorithm):
    """See the head of this file.

    Attributes:
        learned: the policy at the centre; spread: ``(T, K, A)`` deviations of the logits.
    """

    config: CEMConfig

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return CEMConfig

    def setup(self) -> None:
        self.config.must_fit(self.model)
        self.rng, self.simulator = np.random.default_rng(self.config.seed), Simulator(self.model)
        self.learned = SoftmaxTable(self.model, Levels(self.model, self.config.levels))
        self.spread = np.full(self.learned.theta.shape, self.config.spread)

    @property
    def policy(self) -> SoftmaxTable:
        return self.learned

    @property
    def information(self) -> str:
        return information_of("own", False)

    @property
    def needs(self) -> str:
        return f"{super().needs}; while it learns, the returns of all"

    def training_step(self) -> dict[str, Any]:
        settings, centre = self.config, self.learned.theta
        tried = centre + self.spread * self.rng.standard_normal((settings.tables, *centre.shape))
        returns = self.returns(tried)
        best = np.argsort(returns)[-settings.elite :]
        self.learned.theta, self.spread = tried[best].mean(0), np.maximum(tried[best].std(0), settings.floor)
        learners = {"spread": float(self.spread.mean()), "elite_return": float(returns[best].mean())}
        return {"env_steps": settings.env_steps_per_iteration, "env_runners": {}, "learners": learners}

    def returns(self, tried: Floats) -> Floats:
        """Of each table ``(K, T, L, A)`` the mean return, discounted or not as the scenario counts: ``(K,)``."""
        worlds, model, policy = self.config.num_envs_per_env_runner, self.model, self.learned
        pi = np.repeat(policy.probabilities(tried), worlds, 0)
        gamma = model.gamma if model.headline.criterion == "discounted" else 1.0
        counts, total = self.simulator.reset(self.rng, len(pi)), np.zeros(len(pi))
        places = np.arange(len(pi))[:, None], np.arange(pi.shape[1])
        for t in range(self.config.rollout_fragment_length):
            step = self.simulator.at(t).play(counts, pi[*places, policy.seen(counts)], self.rng)
            counts, total = step.next_counts, total + gamma**t * step.team_rewards.sum(1)
        return np.asarray(total.reshape(-1, worlds).mean(1), np.float64)

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        return {"rng": generator_state(self.rng)}, {"theta": self.learned.theta, "spread": self.spread}

    def check_state(self, record: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        super().check_state(record, arrays)
        if (arrays["spread"] <= 0).any():
            raise ValueError("a number in its spread is not positive")

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        self.learned.theta, self.spread = arrays["theta"].copy(), arrays["spread"].copy()
        set_generator_state(self.rng, record["rng"])
