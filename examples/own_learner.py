"""A learner of one's own: cross-entropy search over tables pi(a | s), which see the place but not the crowd.

``python examples/own_learner.py`` trains it and compares it;
``mfnet train ID --algorithm examples/own_learner.py:Config`` gives it a run folder and a report like any other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_agents import Algorithm, AlgorithmConfig, DecNeuralACConfig
from mfnet_agents.checkpoint import generator_state, set_generator_state
from mfnet_agents.config import check, option, positive
from mfnet_envs import Simulator
from mfnet_envs.measure import measure
from mfnet_envs.policy import TablePolicy, weighted


@dataclass
class Config(AlgorithmConfig):
    tables: int = option(32, "training", "tables tried in an iteration, each in num_envs_per_env_runner worlds")
    elite: int = option(6, "training", "how many of them, the best, the next ones are drawn around")

    def validate(self) -> None:
        super().validate()
        check("tables", self.tables, positive, "a positive integer")
        check("elite", self.elite, lambda x: positive(x) and x <= self.tables, f"one of 1 to {self.tables}, the tables")

    @classmethod
    def algorithm_class(cls) -> type["CrossEntropy"]:
        return CrossEntropy

    @property
    def env_steps_per_iteration(self) -> int:
        return self.tables * self.num_envs_per_env_runner * self.rollout_fragment_length


class CrossEntropy(Algorithm):
    config: Config

    @classmethod
    def config_class(cls) -> type[Config]:
        return Config

    def setup(self) -> None:
        self.rng = np.random.default_rng(self.config.seed)
        self.centre = np.zeros((len(self.model.team_states), self.model.num_actions))  # of the logits
        self.spread = np.ones_like(self.centre)

    @property
    def policy(self) -> TablePolicy:
        return weighted(self.model, np.exp(self.centre))

    def training_step(self) -> dict[str, Any]:
        logits = self.centre + self.spread * self.rng.standard_normal((self.config.tables, *self.centre.shape))
        returns = self.returns(np.stack([weighted(self.model, np.exp(x)).table[0] for x in logits]))
        best = logits[np.argsort(returns)[-self.config.elite :]]
        self.centre, self.spread = best.mean(0), best.std(0) + 0.05
        learners = {"spread": float(self.spread.mean()), "elite_return": float(np.sort(returns)[-self.config.elite])}
        return {"env_steps": self.config.env_steps_per_iteration, "env_runners": {}, "learners": learners}

    def returns(self, tables: np.ndarray) -> np.ndarray:
        """Discounted return of each table, in worlds of its own: ``tables (K, T, A)`` -> ``(K,)``."""
        worlds, simulator = self.config.num_envs_per_env_runner, Simulator(self.model)
        pi, total = np.repeat(tables, worlds, 0), 0.0
        counts = simulator.reset(self.rng, len(pi))
        for t in range(self.config.rollout_fragment_length):
            step = simulator.at(t).play(counts, pi, self.rng)
            counts, total = step.next_counts, total + self.model.gamma**t * step.team_rewards.sum(1)
        return np.reshape(total, (-1, worlds)).mean(1)

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"rng": generator_state(self.rng)}, {"centre": self.centre, "spread": self.spread}

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        set_generator_state(self.rng, record["rng"])
        self.centre, self.spread = arrays["centre"], arrays["spread"]


if __name__ == "__main__":
    place = {"graph": [[0, 1], [1, 2], [2, 3]], "demand": [0.02, 0.02, 0.02, 1.0], "population": 40}
    config = Config().environment("MFNet-Grid-v0", env_config=place)
    config.env_runners(num_envs_per_env_runner=2, rollout_fragment_length=60)
    own = config.build_algo()
    for _ in range(12):
        own.train()
    own = CrossEntropy.from_checkpoint(own.save_to_path())  # stopped, and taken up again
    for _ in range(12):
        own.train()
    shipped = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=place).build_algo()
    while shipped.env_steps < 20_480:
        shipped.train()
    policies = {**own.model.heuristics(), "cross-entropy": own.policy, "DEC-NEURAL-AC": shipped.policy}
    found = measure(own.model, policies, worlds=128)
    for name, result in found.results.items():
        print(f"{name}: {result.value:.3f} ± {result.ci95:.3f}, {found.gap_closed(name):.1%} of the gap")
    print(f"bound: {found.certificate}")
