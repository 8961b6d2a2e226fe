"""RLlib, new API stack: it trains, counts, checkpoints, and its episodes hold what the environment said."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.sac import SACConfig
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.utils.pre_checks.env import check_multiagent_environments

import mfnet_envs
from mfnet_envs import registration
from mfnet_envs.adapters import rllib

N, HORIZON, STEPS = 12, 20, 100  # agents, steps of an episode, steps of an iteration
SLUGS = {"MFNet-Grid-v0": "grid", "MFNet-RideShareNYC-v0": "rideshare-nyc"}
ON_BOTH = pytest.mark.parametrize("id", SLUGS)
GRID = {"rows": 3, "cols": 3, "population": N, "max_cycles": HORIZON}
NEEDS_BUFFER = {"train_batch_size_per_learner": 32, "num_steps_sampled_before_learning_starts": 32}

AGENTS = pytest.mark.cell("ray", "agents", "Discrete", "PPO")
MASKED = pytest.mark.cell("ray", "agents", "Discrete, masked", "PPO")
TEAMS = pytest.mark.cell("ray", "teams", "Box logits", "PPO")
SHARES = pytest.mark.cell("ray", "teams", "Box shares", "PPO")
CENTRAL = pytest.mark.cell("ray", "central", "Box logits", "PPO")


pytestmark = pytest.mark.xdist_group("ray")  # one Ray at a time


@pytest.fixture(scope="module", autouse=True)
def _ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    torch.set_num_threads(1)
    rllib.register_all()
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        logging_level=logging.ERROR,
        _system_config={"memory_monitor_refresh_ms": 0},  # else Ray kills workers when others fill the machine
    )
    with pytest.MonkeyPatch.context() as patch:  # RLlib would leave a folder in ~/ray_results for every algorithm
        patch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path_factory.mktemp("ray")))
        yield
    ray.shutdown()


def config_for(id: str, view: str, base: AlgorithmConfig | None = None, **options: Any) -> AlgorithmConfig:
    """PPO, or ``base``, on a small population, 100 environment steps an iteration."""
    if base is None:
        base = PPOConfig().training(train_batch_size_per_learner=STEPS, minibatch_size=64, num_epochs=1)
    base = base.env_runners(num_env_runners=0).debugging(seed=7)
    size = {"rows": 3, "cols": 3} if id == "MFNet-Grid-v0" else {}
    if view == "central":
        return base.environment(id, env_config={"population": N, "max_episode_steps": HORIZON, **size, **options})
    config = base.environment(
        f"mfnet/{SLUGS[id]}-{view}-v0", env_config={"population": N, "max_cycles": HORIZON, **size, **options}
    )
    return rllib.shared_policy(config)


def weights(algorithm: Algorithm, module: str) -> dict[str, np.ndarray]:
    state = algorithm.get_module(module).state_dict()
    return {name: value.numpy().copy() for name, value in state.items()}


def trained(config: AlgorithmConfig, module: str = rllib.SHARED) -> None:
    """Two iterations: the weights moved and are finite, and RLlib counted what was played."""
    algorithm = config.build_algo()
    before = weights(algorithm, module)
    algorithm.train()
    result = algorithm.train()
    after = weights(algorithm, module)
    runners = result["env_runners"]
    algorithm.stop()
    assert before.keys() == after.keys()
    assert all(np.isfinite(value).all() for value in after.values())
    assert any((before[name] != after[name]).any() for name in before)
    assert np.isfinite(result["learners"][module]["total_loss"])
    assert result["num_env_steps_sampled_lifetime"] == 2 * STEPS
    assert runners["num_env_steps_sampled_lifetime"] == 2 * STEPS
    assert runners["episode_len_mean"] == HORIZON
    if algorithm.config.is_multi_agent:
        lifetime = runners["num_agent_steps_sampled_lifetime"]
        actors = mfnet_envs.parallel_env(**_pettingzoo(config)).possible_agents
        assert set(lifetime) == set(actors) and set(lifetime.values()) == {2 * STEPS}
        assert runners["num_module_steps_sampled_lifetime"] == {rllib.SHARED: 2 * STEPS * len(actors)}


def _pettingzoo(config: AlgorithmConfig) -> dict[str, Any]:
    """The arguments of ``parallel_env`` for the same environment."""
    name = str(config.env).removeprefix("mfnet/").removesuffix("-v0")
    slug, _, view = name.rpartition("-")
    id = {slug: id for id, slug in SLUGS.items()}[slug]
    return {"id": id, "view": view, **{k: v for k, v in config.env_config.items() if k != "action_mask"}}


# -- it trains ------------------------------------------------------------------------------------------------------


@AGENTS
@ON_BOTH
def test_ppo_on_agents(id: str) -> None:
    trained(config_for(id, "agents"))


@MASKED
@ON_BOTH
def test_ppo_on_agents_with_masks(id: str) -> None:
    trained(config_for(id, "agents", action_mask=True))


@TEAMS
@ON_BOTH
def test_ppo_on_teams(id: str) -> None:
    trained(config_for(id, "teams"))


@SHARES
@ON_BOTH
def test_ppo_on_teams_that_give_shares(id: str) -> None:
    trained(config_for(id, "teams", action="shares"))


@CENTRAL
@ON_BOTH
def test_ppo_on_the_central_planner(id: str) -> None:
    trained(config_for(id, "central"), "default_policy")


@pytest.mark.parametrize(
    ("id", "view", "options"),
    [
        pytest.param("MFNet-Grid-v0", "agents", {"action_mask": True}, marks=MASKED),
        pytest.param("MFNet-RideShareNYC-v0", "teams", {}, marks=TEAMS),
        pytest.param("MFNet-Grid-v0", "central", {}, marks=CENTRAL),
    ],
)
def test_two_env_runners(id: str, view: str, options: dict[str, Any]) -> None:
    """Their processes know the ids, and the two count together."""
    config = config_for(id, view, **options).env_runners(num_env_runners=2)
    trained(config, "default_policy" if view == "central" else rllib.SHARED)


def _off_policy(config: AlgorithmConfig, buffer: str) -> AlgorithmConfig:
    config.training(**NEEDS_BUFFER, replay_buffer_config={"type": buffer, "capacity": 5_000})
    config.env_runners(rollout_fragment_length=HORIZON)
    return config.reporting(min_sample_timesteps_per_iteration=STEPS, min_time_s_per_iteration=0)


@pytest.mark.cell("ray", "agents", "Discrete", "DQN")
@ON_BOTH
def test_dqn_on_agents(id: str) -> None:
    trained(config_for(id, "agents", _off_policy(DQNConfig(), "MultiAgentEpisodeReplayBuffer")))


@pytest.mark.cell("ray", "teams", "Box logits", "SAC")
@ON_BOTH
def test_sac_on_teams(id: str) -> None:
    trained(config_for(id, "teams", _off_policy(SACConfig(), "MultiAgentEpisodeReplayBuffer")))


@pytest.mark.cell("ray", "central", "Box logits", "SAC")
@ON_BOTH
def test_sac_on_the_central_planner(id: str) -> None:
    trained(config_for(id, "central", _off_policy(SACConfig(), "EpisodeReplayBuffer")), "default_policy")


def test_an_id_of_ones_own_reaches_worker_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has not run the line that registers it, and cannot import a function that was defined here."""
    monkeypatch.setattr(registration, "_SCENARIOS", dict(registration._SCENARIOS))

    def build(population: int = 4) -> mfnet_envs.LocalModel:
        return mfnet_envs.make_model("MFNet-Grid-v0", rows=2, cols=2, population=population)

    mfnet_envs.register("OfMyOwn-v0", build, max_episode_steps=10)
    rllib.register_all()
    config = PPOConfig().environment("mfnet/ofmyown-agents-v0", env_config={"population": 3, "max_cycles": 10})
    config = config.env_runners(num_env_runners=1).training(train_batch_size_per_learner=40, minibatch_size=40)
    algorithm = rllib.shared_policy(config).build_algo()
    result = algorithm.train()["env_runners"]
    algorithm.stop()
    assert result["episode_len_mean"] == 10
    assert set(result["num_agent_steps_sampled"]) == {"agent_0", "agent_1", "agent_2"}


# -- its episodes hold what the environment said ----------------------------------------------------------------------


class ReusesBuffers(rllib.MFNetMultiAgentEnv):
    """Wrong on purpose: the same arrays are handed out at every step, with new numbers in them."""

    def _seen(self, observations: dict[str, Any], infos: dict[str, Any]) -> dict[str, Any]:
        if not hasattr(self, "_kept"):
            self._kept = observations, {agent: info["action_mask"] for agent, info in infos.items()}
        seen, masks = self._kept
        for agent in seen:
            seen[agent][:] = observations[agent]
            masks[agent][:] = infos[agent]["action_mask"]
            infos[agent]["action_mask"] = masks[agent]
        return seen


def by_env_runner(kind: type[rllib.MFNetMultiAgentEnv]) -> MultiAgentEpisode:
    config = PPOConfig().environment(kind, env_config={"id": "MFNet-Grid-v0", **GRID}).debugging(seed=7)
    algorithm = rllib.shared_policy(config.env_runners(num_env_runners=0)).build_algo()
    (episode,) = algorithm.env_runner.sample(num_episodes=1)
    algorithm.stop()
    return episode


def by_own_loop(kind: type[rllib.MFNetMultiAgentEnv]) -> MultiAgentEpisode:
    """RLlib's episode filled by hand, as its documentation does; the env runner copies observations, this does not."""
    env, rng = kind({"id": "MFNet-Grid-v0", **GRID}), np.random.default_rng(0)
    episode = MultiAgentEpisode(observation_space=env.observation_spaces, action_space=env.action_spaces)
    observations, infos = env.reset(seed=7)
    episode.add_env_reset(observations=observations, infos=infos)
    while not episode.is_done:
        actions = {agent: rng.integers(5) for agent in env.agents}
        observations, rewards, terminated, truncated, infos = env.step(actions)
        episode.add_env_step(observations, actions, rewards, infos, terminateds=terminated, truncateds=truncated)
    return episode.to_numpy()


def replayed(episode: MultiAgentEpisode) -> dict[str, bool]:
    """Whether observations, masks and rewards of an episode are those of the PettingZoo environment, same seed and
    actions."""
    env = mfnet_envs.parallel_env("MFNet-Grid-v0", "agents", **GRID)
    kept = episode.agent_episodes
    observations, infos = env.reset(seed=7)
    agree = {"observations": True, "masks": True, "rewards": True}
    for t in range(HORIZON + 1):
        for agent, single in kept.items():
            info = single.get_infos(t)
            agree["observations"] &= np.array_equal(single.get_observations(t), observations[agent])
            agree["masks"] &= np.array_equal(info["action_mask"], infos[agent]["action_mask"])
        if t < HORIZON:
            actions = {agent: int(single.get_actions(t)) for agent, single in kept.items()}
            observations, rewards, _, _, infos = env.step(actions)
            agree["rewards"] &= all(single.get_rewards(t) == rewards[agent] for agent, single in kept.items())
    assert not env.agents
    return agree


@pytest.mark.parametrize("sample", [by_env_runner, by_own_loop])
def test_what_is_kept_stays_as_it_was(sample: Callable[..., MultiAgentEpisode]) -> None:
    """The seed is honoured, and observations, masks and rewards are the environment's own at every step."""
    episode = sample(rllib.MFNetMultiAgentEnv)
    assert len(episode) == HORIZON
    assert list(episode.agent_episodes) == [f"agent_{i}" for i in range(N)]
    assert all(replayed(episode).values())


def test_a_reused_buffer_would_be_noticed() -> None:
    """RLlib's runner copies observations but not infos; a loop of one's own copies neither."""
    assert replayed(by_env_runner(ReusesBuffers)) == {"observations": True, "masks": False, "rewards": True}
    assert replayed(by_own_loop(ReusesBuffers)) == {"observations": False, "masks": False, "rewards": True}


@ON_BOTH
@pytest.mark.parametrize("view", ["agents", "teams"])
def test_returns_are_the_environments(id: str, view: str) -> None:
    """RLlib's episode return is the sum over agents of what the environment paid for the same actions."""
    config = config_for(id, view)
    algorithm = config.build_algo()
    (episode,) = algorithm.env_runner.sample(num_episodes=1)
    metrics = algorithm.env_runner.get_metrics()
    algorithm.stop()
    env = mfnet_envs.parallel_env(**_pettingzoo(config))
    env.reset(seed=7)
    paid = 0.0
    for t in range(HORIZON):
        _, rewards, *_ = env.step({a: _as_played(single, t) for a, single in episode.agent_episodes.items()})
        paid += sum(rewards.values())
    assert episode.get_return() == pytest.approx(paid, abs=1e-9)
    assert float(metrics["episode_return_mean"].peek()) == pytest.approx(paid, abs=1e-9)


def _as_played(episode: Any, t: int) -> Any:
    """RLlib keeps what its Gaussian drew; the environment got it cut off at the bounds."""
    action = episode.get_actions(t)
    return int(action) if np.ndim(action) == 0 else np.clip(action, -1, 1)


@pytest.mark.parametrize("view", ["agents", "teams"])
def test_the_horizon_truncates(view: str) -> None:
    algorithm = config_for("MFNet-Grid-v0", view).build_algo()
    (episode,) = algorithm.env_runner.sample(num_episodes=1)
    algorithm.stop()
    for part in (episode, *episode.agent_episodes.values()):
        assert len(part) == HORIZON and part.is_truncated and not part.is_terminated


def test_values_after_the_horizon_count() -> None:
    """With V = 10 everywhere and lambda = 1 the target is sum_k gamma^k r_(t+k) + gamma^(T-t) 10, by hand here.

    Were the horizon taken for an end, the last term would be missing.
    """
    gamma, value = 0.5, 10.0
    config = config_for("MFNet-Grid-v0", "agents").training(gamma=gamma, lambda_=1.0)
    algorithm = config.build_algo()
    (episode,) = algorithm.env_runner.sample(num_episodes=1)
    earned = {agent: np.array(single.get_rewards()) for agent, single in episode.agent_episodes.items()}

    def rewards_and_targets(learner: Any) -> tuple[np.ndarray, np.ndarray]:
        *others, bias = learner.module[rllib.SHARED].vf.parameters()
        with torch.no_grad():
            for weight in others:
                weight.zero_()
            bias.fill_(value)
        batch = learner._learner_connector(rl_module=learner.module, batch={}, episodes=[episode], shared_data={})
        columns = (batch[rllib.SHARED][name].numpy() for name in ("rewards", "value_targets"))
        rewards, targets = (column.reshape(N, HORIZON + 1)[:, :-1] for column in columns)  # the last is artificial
        return rewards, targets

    (found,) = algorithm.learner_group.foreach_learner(rewards_and_targets)
    algorithm.stop()
    rewards, targets = found.get()
    in_order = [np.abs(rewards - mine).sum(1).argmin() for mine in earned.values()]  # RLlib keeps agents in a set
    assert sorted(in_order) == list(range(N))
    for agent, row in zip(earned, in_order, strict=True):
        for t in range(HORIZON):
            left = HORIZON - t
            expected = (gamma ** np.arange(left)) @ earned[agent][t:] + gamma**left * value
            assert targets[row, t] == pytest.approx(expected, rel=1e-5)


# -- masks ------------------------------------------------------------------------------------------------------------


def leaves_the_grid(cell: int, action: int) -> bool:
    """On 3 x 3 cells in rows; 0 stay, 1 up, 2 right, 3 down, 4 left."""
    row, column = divmod(cell, 3)
    return {0: False, 1: row == 0, 2: column == 2, 3: row == 2, 4: column == 0}[action]


@pytest.mark.parametrize("explore", [True, False])
def test_a_masked_module_stays_on_the_grid(explore: bool) -> None:
    """Though every weight pulls it up and to the left. Without the mask it runs into the wall."""

    def tried(mask: bool) -> list[bool]:
        algorithm = config_for("MFNet-Grid-v0", "agents", action_mask=mask).build_algo()
        *_, bias = algorithm.env_runner.module[rllib.SHARED].pi.parameters()
        with torch.no_grad():
            bias += torch.tensor([0.0, 30.0, 0.0, 0.0, 29.0])
        (episode,) = algorithm.env_runner.sample(num_episodes=1, explore=explore)
        algorithm.stop()
        out = []
        for single in episode.agent_episodes.values():
            for t in range(HORIZON):
                seen = single.get_observations(t)
                cell = int(np.argmax((seen["observations"] if mask else seen)[:9]))
                out.append(leaves_the_grid(cell, int(single.get_actions(t))))
        return out

    masked, unmasked = tried(True), tried(False)
    assert len(masked) == len(unmasked) == N * HORIZON
    assert sum(masked) == 0 and sum(unmasked) > N * HORIZON / 4


def test_masked_module_computes_what_rllibs_example_does() -> None:
    """The same weights and batch give the same logits and values, and the batch can be used again."""
    from ray.rllib.algorithms.ppo.ppo_catalog import PPOCatalog
    from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule

    env = rllib.MFNetMultiAgentEnv({"id": "MFNet-Grid-v0", "action_mask": True, **GRID})
    spaces = {
        "observation_space": env.get_observation_space("agent_0"),
        "action_space": env.get_action_space("agent_0"),
        "model_config": {"fcnet_hiddens": [16]},
    }
    ours = rllib.MaskedPPOModule(**spaces)
    theirs = ActionMaskingTorchRLModule(**spaces, catalog_class=PPOCatalog)
    theirs.load_state_dict(ours.state_dict())
    rng = np.random.default_rng(0)
    mask = (rng.random((50, 5)) < 0.5) | (np.arange(5) == 0)

    def batch() -> dict[str, Any]:
        seen = torch.from_numpy(np.stack([spaces["observation_space"]["observations"].sample() for _ in mask]))
        return {"obs": {"observations": seen, "action_mask": torch.from_numpy(mask.astype(np.int8))}}

    mine = batch()
    other = {"obs": dict(mine["obs"])}
    for forward in ("forward_inference", "forward_exploration"):
        found = getattr(ours, forward)(mine)["action_dist_inputs"]
        expected = getattr(theirs, forward)({"obs": dict(mine["obs"])})["action_dist_inputs"]
        assert torch.equal(found.softmax(-1), expected.softmax(-1))
        assert (found.softmax(-1).numpy()[~mask] == 0).all() and (found.softmax(-1).numpy()[mask] > 0).all()
    assert torch.equal(ours.compute_values(mine), theirs.compute_values(other))
    trained_on, expected = ours.forward_train(mine), theirs.forward_train(other)
    assert torch.equal(trained_on["action_dist_inputs"].softmax(-1), expected["action_dist_inputs"].softmax(-1))
    assert torch.equal(ours.compute_values(mine, trained_on["embeddings"]), ours.compute_values(mine))


# -- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("view", "options"), [("agents", {"action_mask": True}), ("teams", {}), ("central", {})])
def test_checkpoint_and_restore(view: str, options: dict[str, Any], tmp_path: Path) -> None:
    """RLlib's own calls: equal weights, and the counters go on."""
    module = "default_policy" if view == "central" else rllib.SHARED
    first = config_for("MFNet-Grid-v0", view, **options).build_algo()
    first.train()
    path = first.save_to_path(tmp_path / "checkpoint")
    saved = weights(first, module)
    first.stop()
    second = Algorithm.from_checkpoint(path)
    restored = weights(second, module)
    assert saved.keys() == restored.keys() and all(np.array_equal(saved[name], restored[name]) for name in saved)
    result = second.train()
    second.stop()
    assert result["training_iteration"] == 2 and result["num_env_steps_sampled_lifetime"] == 2 * STEPS
    alone = RLModule.from_checkpoint(Path(path) / "learner_group" / "learner" / "rl_module" / module)
    assert all(np.array_equal(saved[name], alone.state_dict()[name].numpy()) for name in saved)


# -- seeds ------------------------------------------------------------------------------------------------------------

TWO_ITERATIONS = """
import logging
import ray
import test_rllib
ray.init(num_cpus=1, include_dashboard=False, object_store_memory=200_000_000, logging_level=logging.ERROR)
test_rllib.rllib.register_all()
algorithm = test_rllib.config_for("MFNet-Grid-v0", "agents", action_mask=True).build_algo()
for _ in range(2):
    algorithm.train()
print("parameters", {k: v.tobytes().hex() for k, v in test_rllib.weights(algorithm, "shared").items()})
"""


def test_same_seed_same_bits_in_every_process(tmp_path: Path) -> None:
    """Where Python's hashes are fixed: RLlib goes through sets of names, and takes its agents in their order."""
    found = []
    for _ in range(2):
        environment = {"PYTHONHASHSEED": "0", "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent)}
        command = [sys.executable, "-c", TWO_ITERATIONS]
        ran = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
        found.append(ran.stdout.partition("parameters")[2])
    assert found[0] and found[0] == found[1]


# -- the way back: a policy of mfnet ----------------------------------------------------------------------------------


@ON_BOTH
@pytest.mark.parametrize("mask", [False, True])
def test_policy_plays_what_rllib_plays(id: str, mask: bool) -> None:
    """RLlib stores the logits its agents drew from; the policy gives, for the same crowd, the probability of each
    action, with what fell on an illegal one on *stay* (Grid) or the first legal action."""
    config = config_for(id, "agents", action_mask=mask, state_encoding="onehot")  # tells who is where
    algorithm = config.build_algo()
    algorithm.train()
    env = mfnet_envs.parallel_env(**_pettingzoo(config))
    policy = rllib.as_policy(algorithm.env_runner.module[rllib.SHARED], env)
    (episode,) = algorithm.env_runner.sample(num_episodes=1)
    s, legal = env.model.network.num_states, env.model.legal
    checked = 0
    for t in range(HORIZON):
        seen = {agent: single.get_observations(t) for agent, single in episode.agent_episodes.items()}
        states = {agent: int(np.argmax((o["observations"] if mask else o)[:s])) for agent, o in seen.items()}
        counts = np.bincount(list(states.values()), minlength=s)
        (pi,) = policy.individual(counts[None], t)
        for agent, state in states.items():
            logits = episode.agent_episodes[agent].get_extra_model_outputs("action_dist_inputs", t)
            drawn = np.exp(logits.astype(float) - logits.max())
            drawn /= drawn.sum()
            expected = np.where(legal[state], drawn, 0)
            expected[np.flatnonzero(legal[state])[0]] += drawn[~legal[state]].sum()
            np.testing.assert_allclose(pi[state], expected, atol=1e-6)
            checked += legal[state].sum() > 1
    assert checked > 0
    algorithm.stop()


def test_policy_is_evaluated_like_any_other() -> None:
    """In 64 worlds at once as in each alone; and an untrained module is worth about what the random policy is."""
    algorithm = config_for("MFNet-Grid-v0", "agents").build_algo()
    env = mfnet_envs.parallel_env("MFNet-Grid-v0", "agents", **GRID)
    policy = rllib.as_policy(algorithm.get_module(rllib.SHARED), env)
    counts = env.batch.simulator.reset(np.random.default_rng(0), 64)
    alone = np.concatenate([policy.teams(row[None], 0) for row in counts])
    np.testing.assert_allclose(policy.teams(counts, 0), alone, atol=1e-6)
    report = mfnet_envs.evaluate(env.model, policy, worlds=64)
    random = mfnet_envs.evaluate(env.model, env.model.heuristics()["random"], worlds=64)
    algorithm.stop()
    assert report["discounted_return_mean"] == pytest.approx(random["discounted_return_mean"], rel=0.2)
    assert report["discounted_return_mean"] < env.model.bound().value


def test_policy_of_another_view_is_refused() -> None:
    algorithm = config_for("MFNet-Grid-v0", "agents").build_algo()
    for other in (dict(GRID, observe="hood"), dict(GRID, rows=4)):
        env = mfnet_envs.parallel_env("MFNet-Grid-v0", "agents", **other)
        with pytest.raises(ValueError, match="give both the same view"):
            rllib.as_policy(algorithm.get_module(rllib.SHARED), env)
    algorithm.stop()


def test_policy_needs_logits() -> None:
    config = config_for("MFNet-Grid-v0", "agents", _off_policy(DQNConfig(), "MultiAgentEpisodeReplayBuffer"))
    algorithm = config.build_algo()
    env = mfnet_envs.parallel_env("MFNet-Grid-v0", "agents", **GRID)
    policy = rllib.as_policy(algorithm.get_module(rllib.SHARED), env)
    with pytest.raises(ValueError, match="gives no logits"):
        policy.individual(np.full((1, 9), 1))
    algorithm.stop()


# -- the environment itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", registration.scenarios())
def test_rllibs_own_check(id: str) -> None:
    """Also where the first step is the last."""
    views = [{"view": "agents"}, {"view": "agents", "action_mask": True}, {"view": "teams"}]
    for options in views:
        env = rllib.MFNetMultiAgentEnv({"id": id, "max_cycles": 1, **options})
        check_multiagent_environments(env)
        observations, _ = env.reset(seed=0)
        assert all(env.get_observation_space(agent).contains(seen) for agent, seen in observations.items())
        assert env.agents == env.possible_agents == list(observations)
        env.close()


def test_every_name_is_known() -> None:
    """Both PettingZoo ids and the Gymnasium id of every scenario make the environment they name."""
    from ray.tune.registry import ENV_CREATOR, _global_registry

    for id, entry in registration.scenarios().items():
        for view in ("agents", "teams"):
            env = _global_registry.get(ENV_CREATOR, entry.pettingzoo_id(view))({"max_cycles": 3})
            assert env.env.metadata["name"] == mfnet_envs.parallel_env(id, view).metadata["name"]
            assert env.env.max_cycles == 3
        central = _global_registry.get(ENV_CREATOR, id)({})
        assert isinstance(central, gym.Env) and central.spec.id == id
        assert type(central.action_space) is gym.spaces.Box and central.action_space == gym.make(id).action_space
    with pytest.raises(ValueError, match="out of the env_config"):
        _global_registry.get(ENV_CREATOR, "mfnet/grid-agents-v0")({"view": "teams"})


def test_renders() -> None:
    env = rllib.MFNetMultiAgentEnv({"id": "MFNet-Grid-v0", "render_mode": "rgb_array", **GRID})
    env.reset(seed=0)
    picture = env.render()
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert env.render_mode == "rgb_array" and gym.Env.metadata == {"render_modes": []}


@pytest.mark.parametrize(
    ("config", "kind", "words"),
    [
        ({"population": 5}, ValueError, "needs the scenario's id"),
        ({"id": "MFNet-Grid-v0", "view": "team"}, ValueError, "must be 'teams' or 'agents'"),
        ({"id": "MFNet-Grid-v0", "view": "teams", "action_mask": True}, ValueError, "for the agents view"),
        ({"id": "MFNet-Grid-v0", "poulation": 5}, TypeError, "did you mean 'population'"),
        ({"id": "MFNet-Gird-v0"}, gym.error.NameNotFound, "did you mean 'MFNet-Grid-v0'"),
    ],
)
def test_wrong_config_is_answered_with_a_sentence(config: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        rllib.MFNetMultiAgentEnv(config)
