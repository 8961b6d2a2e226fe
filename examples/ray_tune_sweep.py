"""A Ray Tune sweep of DEC-NEURAL-AC on the grid: four trials, two step sizes times two radii of credit.

Prints the options of the best trial and, in worlds common to all rows that no trial was chosen on, the discounted
return per driver over 150 steps of the random policy, the best heuristic and the best trial, and the bound on every
policy. About a minute on one core; the same lines run on a cluster.

    pip install "mfnet[rllib]"
"""

import logging
import tempfile

import ray
from ray import tune

import mfnet_envs
from mfnet_agents import DecNeuralAC
from mfnet_agents.adapters.tune import DecNeuralACTrainable

space = {
    "env": "MFNet-Grid-v0",
    "env_config": {"population": 100},
    "actor_lr": tune.grid_search([0.01, 0.03]),
    "credit_hops": tune.grid_search([2, 3]),
    "total_env_steps": 15_360,
    "seed": 0,
}
ray.init(include_dashboard=False, object_store_memory=200_000_000, logging_level=logging.ERROR)
with tempfile.TemporaryDirectory() as folder:
    tuner = tune.Tuner(
        DecNeuralACTrainable,
        param_space=space,
        run_config=tune.RunConfig(
            storage_path=folder,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),  # a trial that is killed goes on from its checkpoint
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=20, checkpoint_at_end=True),
        ),
    )
    best = tuner.fit().get_best_result("evaluation/env_runners/discounted_return_mean", "max")
    algorithm = DecNeuralAC.from_checkpoint(best.checkpoint.path)
print(f"best of four: actor_lr {best.config['actor_lr']}, credit_hops {best.config['credit_hops']}")

model = algorithm.model
reports = {name: mfnet_envs.evaluate(model, policy) for name, policy in model.heuristics().items()}
champion = max(reports, key=lambda name: reports[name]["discounted_return_mean"])
for name, report in {
    "random": reports["random"],
    f"best heuristic ({champion})": reports[champion],
    "DEC-NEURAL-AC": mfnet_envs.evaluate(model, algorithm.policy),
}.items():
    print(f"{name}: {report['discounted_return_mean']:.3f} ± {report['discounted_return_ci95']:.3f}")
print(f"bound: {model.bound().value:.3f}")
ray.shutdown()
