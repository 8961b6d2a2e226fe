"""BenchMARL trains on every scenario; run as docs/recipes/benchmarl.md says, in an environment of its own."""

from pathlib import Path
from typing import Any

import blocks
import pytest
import torch
from benchmarl.algorithms import (
    IddpgConfig,
    IppoConfig,
    IqlConfig,
    IsacConfig,
    MaddpgConfig,
    MappoConfig,
    MasacConfig,
    QmixConfig,
    VdnConfig,
)
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from torchrl.envs.utils import check_env_specs

from mfnet_envs.adapters.benchmarl import MFNetClass, MFNetTask, task_name
from mfnet_envs.registration import scenarios

torch.set_num_threads(1)
BOTH = pytest.mark.parametrize("name", ["GRID", "RIDESHARE_NYC"])
WORLDS, BATCH, ITERATIONS = 4, 160, 3
TEAMS = {"view": "teams", "state_encoding": "coordinates"}


def experiment(
    tmp_path: Path, name: str, algorithm: Any, seed: int = 0, is_saved: bool = False, **config: Any
) -> Experiment:
    options = ExperimentConfig.get_from_yaml()
    options.loggers, options.create_json, options.render = [], False, False
    options.save_folder = str(tmp_path)
    options.max_n_frames, options.evaluation_interval, options.evaluation_episodes = BATCH * ITERATIONS, BATCH, 3
    options.on_policy_collected_frames_per_batch = options.off_policy_collected_frames_per_batch = BATCH
    options.on_policy_n_envs_per_worker = options.off_policy_n_envs_per_worker = WORLDS
    options.on_policy_n_minibatch_iters, options.on_policy_minibatch_size = 2, BATCH // 2
    options.off_policy_n_optimizer_steps, options.off_policy_train_batch_size = 4, 32
    options.checkpoint_at_end = is_saved
    options.off_policy_memory_size = 1000  # BenchMARL's default of 10^6 takes its memory at once
    return Experiment(
        task=MFNetTask[name].get_task({"population": 10, "max_cycles": 10, **config}),
        algorithm_config=algorithm.get_from_yaml(),
        model_config=MlpConfig.get_from_yaml(),
        seed=seed,
        config=options,
    )


def weights(run: Experiment) -> list[torch.Tensor]:
    """All that the optimisers move."""
    optimizers = [optimizer for group in run.optimizers.values() for optimizer in group.values()]
    return [
        weight.detach().clone()
        for optimizer in optimizers
        for part in optimizer.param_groups
        for weight in part["params"]
    ]


def train(tmp_path: Path, name: str, algorithm: Any, **config: Any) -> None:
    run = experiment(tmp_path, name, algorithm, **config)
    before = weights(run)
    run.run()
    assert run.total_frames == BATCH * ITERATIONS and run.n_iters_performed == ITERATIONS
    after = weights(run)
    assert after and all(torch.isfinite(weight).all() for weight in after)
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.cell("benchmarl", "agents", "Discrete, masked", "MAPPO")
@BOTH
def test_mappo_of_agents(name: str, tmp_path: Path) -> None:
    train(tmp_path, name, MappoConfig)


@pytest.mark.cell("benchmarl", "agents", "Discrete, masked", "QMIX")
@BOTH
def test_qmix_of_agents(name: str, tmp_path: Path) -> None:
    train(tmp_path, name, QmixConfig, reward="mean")


@pytest.mark.parametrize("algorithm", [IppoConfig, MasacConfig, IsacConfig, VdnConfig, IqlConfig])
def test_the_other_algorithms_of_agents(algorithm: Any, tmp_path: Path) -> None:
    train(tmp_path, "GRID", algorithm, reward="mean")


@pytest.mark.parametrize("algorithm", [MappoConfig, IsacConfig, MaddpgConfig, IddpgConfig])
def test_the_other_algorithms_of_teams(algorithm: Any, tmp_path: Path) -> None:
    train(tmp_path, "GRID", algorithm, **TEAMS)


@pytest.mark.cell("benchmarl", "teams", "Box logits", "IPPO")
@BOTH
def test_ippo_of_teams(name: str, tmp_path: Path) -> None:
    train(tmp_path, name, IppoConfig, **TEAMS)


@pytest.mark.cell("benchmarl", "teams", "Box logits", "MASAC")
@BOTH
def test_masac_of_teams(name: str, tmp_path: Path) -> None:
    train(tmp_path, name, MasacConfig, **TEAMS)


@pytest.mark.cell("benchmarl", "teams", "Box shares", "MADDPG")
@BOTH
def test_maddpg_of_teams_with_shares(name: str, tmp_path: Path) -> None:
    train(tmp_path, name, MaddpgConfig, action="shares", **TEAMS)


def test_the_block_of_the_page(tmp_path: Path) -> None:
    (block,) = [found for found in blocks.blocks("docs/recipes/benchmarl.md") if found.language == "python"]
    blocks.run(block, tmp_path)


# -- tasks ------------------------------------------------------------------------------------------------------------


def test_every_scenario_is_a_task() -> None:
    assert {MFNetTask[task_name(entry)].get_task().id for entry in scenarios().values()} == set(scenarios())
    assert MFNetTask.RIDESHARE_NYC.get_task({"population": 7}).id == "MFNet-RideShareNYC-v0"
    assert MFNetClass("MFNet-Grid-v0").id == "MFNet-Grid-v0"  # as for an id of one's own


@pytest.mark.parametrize("view", ["agents", "teams"])
@pytest.mark.parametrize("task", list(MFNetTask))
def test_every_task_makes_environments(task: Any, view: str) -> None:
    """As many worlds as BenchMARL asks for, and specs of one world beside them."""
    it = task.get_task({"view": view, "population": 6, "max_cycles": 8})
    env = it.get_env_fun(num_envs=3, continuous_actions=view == "teams", seed=0, device="cpu")()
    check_env_specs(env)
    assert env.batch_size == (3,) and it.max_steps(env) == 8
    group, actors = next(iter(it.group_map(env).items()))
    assert it.observation_spec(env)[group, "observation"].shape == (len(actors), env.worlds.observer.size)
    assert it.state_spec(env)["state"].shape == (env.worlds.model.network.num_states,)
    mask = it.action_mask_spec(env)
    if view == "agents":
        assert mask[group, "action_mask"].shape == (len(actors), env.worlds.model.num_actions)
        assert it.action_spec(env)[group, "action"].shape == (len(actors),)
    else:
        assert mask is None
        assert it.action_spec(env)[group, "action"].shape == (len(actors), env.worlds.model.num_actions)


def test_options_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text("view: teams\npopulation: 12\n")
    with pytest.warns(UserWarning, match="TaskConfig python dataclass not found"):
        task = MFNetTask.GRID.get_from_yaml(str(file))
    assert task.config == {"view": "teams", "population": 12} and task.supports_continuous_actions()


# -- whole experiments ------------------------------------------------------------------------------------------------


def test_same_seed_same_policy(tmp_path: Path) -> None:
    def trained(seed: int) -> list[torch.Tensor]:
        run = experiment(tmp_path, "GRID", MappoConfig, seed)
        run.run()
        return weights(run)

    first, second, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_an_experiment_is_saved_and_reloaded(tmp_path: Path) -> None:
    run = experiment(tmp_path, "GRID", MappoConfig, is_saved=True)
    run.run()
    (file,) = tmp_path.glob("*/checkpoints/*.pt")
    again = Experiment.reload_from_file(str(file))
    assert again.task == run.task and again.total_frames == BATCH * ITERATIONS
    assert all(torch.equal(one, two) for one, two in zip(weights(run), weights(again), strict=True))
