"""Ray Tune: algorithms as class trainables, in sweeps that are killed and go on."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from ray import tune
from ray.tune.utils import validate_save_restore

from mfnet_agents import DecNeuralAC, DecNeuralACConfig, registry
from mfnet_agents.adapters.tune import AlgorithmTrainable, DecNeuralACTrainable, trainable

# 16 worlds x 16 steps an iteration: six iterations.
OPTIONS = {
    "env": "MFNet-Grid-v0",
    "env_config": {"rows": 3, "cols": 3, "population": 12},
    "total_env_steps": 6 * 256,
    "evaluation_duration": 16,
}
RATES, SEEDS = (0.01, 0.03), (0, 1)
KILLED = {"actor_lr": 0.03, "seed": 1}
RETURN = "evaluation/env_runners/discounted_return_mean"


pytestmark = pytest.mark.xdist_group("ray")  # one Ray at a time


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    torch.set_num_threads(1)
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        logging_level=logging.ERROR,
        _system_config={"memory_monitor_refresh_ms": 0},  # else Ray kills workers when others fill the machine
    )
    yield
    ray.shutdown()


def dies_once(marker: Path) -> type[DecNeuralACTrainable]:
    """The trainable, but one trial's process is killed, as by a machine that goes down, in its fifth iteration."""

    class DiesOnce(DecNeuralACTrainable):
        def step(self) -> dict[str, Any]:
            chosen = {name: self.config[name] for name in KILLED}
            if chosen == KILLED and self.iteration == 4 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().step()

    return DiesOnce


def tuner(kind: type[AlgorithmTrainable], folder: Path, space: dict[str, Any], failures: int) -> tune.Tuner:
    return tune.Tuner(
        kind,
        param_space=space,
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(folder),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=2, checkpoint_at_end=True),
        ),
    )


def uninterrupted(**options: Any) -> tuple[DecNeuralAC, dict[str, Any]]:
    """The algorithm trained here, without Ray: the last result."""
    algorithm = DecNeuralAC(DecNeuralACConfig.from_dict({**OPTIONS, **options}))
    for _ in range(6):
        result = algorithm.train()
    return algorithm, result


def learnt(path: str) -> dict[str, np.ndarray]:
    with np.load(Path(path) / "state.npz") as archive:
        return dict(archive)


def is_same_run(trial: tune.Result, algorithm: DecNeuralAC, result: dict[str, Any], folder: Path) -> bool:
    """Bit for bit: every array of the checkpoint, the last training result, the evaluation."""
    expected = learnt(algorithm.save_to_path(folder / "uninterrupted"))
    assert trial.checkpoint is not None and trial.metrics is not None
    found = learnt(trial.checkpoint.path)
    return (
        found.keys() == expected.keys()
        and all(np.array_equal(found[name], expected[name]) for name in expected)
        and trial.metrics["env_runners"] == result["env_runners"]
        and trial.metrics["learners"] == result["learners"]
        and trial.metrics["evaluation"] == algorithm.evaluate()
    )


def test_four_trials_of_which_one_is_killed(tmp_path: Path) -> None:
    """It goes on from its last checkpoint and ends where it would have ended."""
    space = OPTIONS | {"actor_lr": tune.grid_search(list(RATES)), "seed": tune.grid_search(list(SEEDS))}
    marker = tmp_path / "killed"
    results = tuner(dies_once(marker), tmp_path, space, failures=1).fit()
    assert marker.exists() and results.num_errors == 0
    trials = {(trial.config["actor_lr"], trial.config["seed"]): trial for trial in results}
    assert set(trials) == {(rate, seed) for rate in RATES for seed in SEEDS}
    for (rate, seed), trial in trials.items():
        assert trial.metrics["training_iteration"] == 6 and trial.metrics["done"]
        assert trial.metrics["num_env_steps_sampled_lifetime"] == 6 * 256
        went_on_from = 4 if {"actor_lr": rate, "seed": seed} == KILLED else 0
        assert trial.metrics["iterations_since_restore"] == 6 - went_on_from
        algorithm, result = uninterrupted(actor_lr=rate, seed=seed)
        assert is_same_run(trial, algorithm, result, tmp_path / f"{rate} {seed}")
    best = results.get_best_result(RETURN, "max")
    returns = {
        key: trial.metrics["evaluation"]["env_runners"]["discounted_return_mean"] for key, trial in trials.items()
    }
    assert len(set(returns.values())) == 4  # four different runs
    assert (best.config["actor_lr"], best.config["seed"]) == max(returns, key=returns.__getitem__)
    policy = DecNeuralAC.from_checkpoint(best.checkpoint.path)
    assert policy.evaluate()["env_runners"]["discounted_return_mean"] == max(returns.values())


def test_a_whole_sweep_is_restored(tmp_path: Path) -> None:
    """A trial that failed for good is taken up again by Tuner.restore in another run."""
    space = OPTIONS | {"actor_lr": 0.03, "seed": tune.grid_search(list(SEEDS))}
    kind = dies_once(tmp_path / "killed")
    assert tuner(kind, tmp_path, space, failures=0).fit().num_errors == 1
    results = tune.Tuner.restore(str(tmp_path / "sweep"), kind, resume_errored=True).fit()
    assert results.num_errors == 0 and len(results) == 2
    (trial,) = (trial for trial in results if trial.config["seed"] == 1)
    assert trial.metrics["iterations_since_restore"] == 2
    assert is_same_run(trial, *uninterrupted(**KILLED), tmp_path)


def test_tunes_own_check_of_checkpoints() -> None:
    validate_save_restore(DecNeuralACTrainable, config=OPTIONS)


def test_another_config_in_the_same_process(tmp_path: Path) -> None:
    """What population based training does: new options, and the weights of a better trial.

    After the reset it trains as a fresh one would; after the restore it goes on from the checkpoint's weights and
    counters, with its own step size.
    """
    trainable = DecNeuralACTrainable(OPTIONS | {"actor_lr": 0.01})
    trainable.train()
    saved = trainable.save(str(tmp_path / "saved"))
    assert trainable.reset({**OPTIONS, "actor_lr": 0.03})
    algorithm = DecNeuralAC(DecNeuralACConfig.from_dict({**OPTIONS, "actor_lr": 0.03}))
    assert trainable.train()["learners"] == algorithm.train()["learners"]
    trainable.restore(saved)
    algorithm.restore_from_path(tmp_path / "saved")
    assert trainable.algorithm.config.actor_lr == 0.03
    result, expected = trainable.train(), algorithm.train()
    assert result["training_iteration"] == expected["training_iteration"] == 2
    assert result["learners"] == expected["learners"]
    trainable.stop()


@pytest.mark.parametrize(("interval", "evaluated"), [(None, [6]), (3, [3, 6]), (4, [4, 6])])
def test_the_last_result_is_evaluated_once(
    interval: int | None, evaluated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, evaluate = [], DecNeuralAC.evaluate

    def counted(algorithm: DecNeuralAC) -> dict[str, Any]:
        calls.append(algorithm.iteration)
        return evaluate(algorithm)

    monkeypatch.setattr(DecNeuralAC, "evaluate", counted)
    trainable = DecNeuralACTrainable({**OPTIONS, "evaluation_interval": interval})
    results = [trainable.train() for _ in range(6)]
    assert calls == evaluated == [i for i, result in enumerate(results, 1) if "evaluation" in result]
    assert [result["done"] for result in results] == [False] * 5 + [True]
    assert results[-1]["evaluation"] == evaluate(trainable.algorithm)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"actor_lrr": 0.1}, TypeError, "did you mean 'actor_lr'"),
        ({"hops": -1}, ValueError, "hops must be a non-negative integer"),
        ({"env_config": {"populaton": 3}}, TypeError, "did you mean 'population'"),
    ],
)
def test_a_wrong_option_is_answered_with_a_sentence(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        DecNeuralACTrainable({**OPTIONS, **options})


OWN = f"{Path(__file__).parents[2] / 'examples' / 'own_learner.py'}:Config"


def test_an_algorithm_of_ones_own(tmp_path: Path) -> None:
    """By its target, in workers that have never heard of it: as trained here."""
    options = OPTIONS | {"rollout_fragment_length": 10, "num_envs_per_env_runner": 2, "tables": 8, "elite": 3}
    options |= {"total_env_steps": 3 * 160}
    (trial,) = tuner(trainable(OWN), tmp_path, options | {"seed": tune.grid_search([1])}, failures=0).fit()
    algorithm = registry.config_class(OWN).from_dict({**options, "seed": 1}).build_algo()
    for _ in range(3):
        algorithm.train()
    assert trial.metrics["done"] and trial.metrics["evaluation"] == algorithm.evaluate()
    back = type(algorithm).from_checkpoint(trial.checkpoint.path)
    assert (back.centre == algorithm.centre).all()


def test_the_trainable_is_named_after_its_algorithm() -> None:
    assert trainable("DecNeuralAC").__name__ == "DecNeuralACTrainable"
    with pytest.raises(ValueError, match="did you mean 'DecNeuralAC'"):
        trainable("DecNeuralA")
