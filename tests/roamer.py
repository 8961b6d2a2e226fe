"""A learner for the tests of comparisons: logits that walk at random, and mischief where it is asked for.

The file is copied to where a test wants it. Beside it, ``iterations.log`` lists every iteration that was run, and
mischief that happens once does not happen where ``spared`` stands.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_agents.algorithm import Algorithm
from mfnet_agents.config import AlgorithmConfig, option
from mfnet_envs.policy import Policy, weighted

HERE = Path(__file__).parent


@dataclass
class RoamerConfig(AlgorithmConfig):
    mischief: str = option("none", "training", "what happens in iteration `at`")
    at: int = option(6, "training", "an iteration")
    walk_lr: float = option(1.0, "training", "how far the logits walk in an iteration")
    sees: str = option("own node", "training", "its information class")

    @classmethod
    def algorithm_class(cls) -> type[Roamer]:
        return Roamer


class Roamer(Algorithm):
    config: RoamerConfig

    @classmethod
    def config_class(cls) -> type[RoamerConfig]:
        return RoamerConfig

    def setup(self) -> None:
        self.rng = np.random.default_rng(self.config.seed)
        self.logits = np.zeros((len(self.model.team_states), self.model.num_actions))

    @property
    def policy(self) -> Policy:
        return weighted(self.model, np.exp(self.logits))

    @property
    def information(self) -> str:
        return self.config.sees

    def training_step(self) -> dict[str, Any]:
        self.logits += self.config.walk_lr * self.rng.normal(size=self.logits.shape)
        steps = self.config.env_steps_per_iteration
        if self.config.mischief == "uneven":
            steps = int(self.rng.integers(1, 2 * steps))
        if self.config.mischief == "idle":
            steps = 0
        with (HERE / "iterations.log").open("a") as log:
            log.write(f"{self.config.seed} {self.iteration + 1}\n")
        if self.iteration + 1 == self.config.at:
            self.misbehave(self.config.mischief)
        return {"env_runners": {}, "learners": {}, "env_steps": steps}

    def misbehave(self, mischief: str) -> None:
        if mischief == "raise":
            raise ValueError("the learner has had enough")
        if mischief == "exit":
            os._exit(3)
        if mischief == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        spared = HERE / "spared"
        if mischief == "hang":
            time.sleep(600)  # a test ends it
        if mischief == "hang once" and not spared.exists():
            spared.with_name("hangs").write_text(str(os.getpid()))
            spared.with_name("hangs").replace(spared)  # whoever finds the file finds the number in it
            time.sleep(600)
        if mischief in ("die once", "kill the comparison once", "ctrl-c once") and not spared.exists():
            spared.touch()
            if mischief == "die once":
                os.kill(os.getpid(), signal.SIGKILL)
            parent = multiprocessing.parent_process()
            assert parent is not None and parent.pid is not None
            os.kill(parent.pid, signal.SIGKILL if mischief.startswith("kill") else signal.SIGINT)
            time.sleep(60)  # this process is ended by the end of the other

    def evaluate(self, **_: Any) -> dict[str, Any]:
        raise AssertionError("the harness computes every number")

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        return {"rng": self.rng.bit_generator.state}, {"logits": self.logits}

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        self.rng.bit_generator.state = record["rng"]
        self.logits = np.array(arrays["logits"])
