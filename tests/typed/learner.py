"""Training as a user's typed project calls it."""

from __future__ import annotations

from pathlib import Path

from mfnet_agents import Algorithm, AlgorithmConfig, DecNeuralACConfig, register_algorithm
from mfnet_envs import Policy


def main(folder: Path) -> Policy:
    config = (
        DecNeuralACConfig()
        .environment("MFNet-Grid-v0", env_config={"population": 12, "rows": 2, "cols": 2})
        .env_runners(num_envs_per_env_runner=2)
        .training(actor_lr=0.01)
        .debugging(seed=0)
    )
    algorithm: Algorithm = config.build_algo()
    result = algorithm.train()
    steps: int = result["num_env_steps_sampled_lifetime"]
    print(steps)
    path = algorithm.save_to_path(folder / "checkpoint")
    again = Algorithm.from_checkpoint(path)
    print(again.evaluate())
    return again.policy


def known(config: type[AlgorithmConfig]) -> None:
    register_algorithm("Mine", config)
