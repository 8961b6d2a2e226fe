"""Stable-Baselines3's VecEnv: known values at the time limit, twins in other views, seeds, masks, what is learnt."""

import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecFrameStack, VecMonitor, VecNormalize
from supersuit import concat_vec_envs_v1, pettingzoo_env_to_vec_env_v1

import mfnet_envs
from mfnet_envs.adapters.policies import CentralPolicy, ObservedPolicy, TeamsPolicy
from mfnet_envs.adapters.sb3 import BatchVecEnv, CentralVecEnv, as_policy, make_vec_env
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.registration import scenarios
from mfnet_envs.views import AgentsEnv
from mfnet_envs.views.batch import AgentsBatch, TeamsBatch
from mfnet_envs.views.vector import CentralVectorEnv

torch.set_num_threads(1)
VIEWS = ("agents", "teams", "central")


class Wage(LocalModel):
    """Two places, stay or change: everybody earns 1 a step, whatever happens. The value of every state is 1 / .1."""

    def __init__(self) -> None:
        network = StateNetwork.line(2)
        super().__init__(
            network=network, population=2, num_actions=2, branches=(Branch.to([[0, 1], [1, 0]]),),
            reward_range=(1.0, 1.0), gamma=0.9,
        )  # fmt: skip

    def reward(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), 2, 2))

    def branch_weights(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), 2, 1, 1))


def small(view: str, num_worlds: int = 1, **options: Any) -> VecEnv:
    horizon = {"max_episode_steps" if view == "central" else "max_cycles": 6}
    return make_vec_env(
        "MFNet-Grid-v0", view, num_worlds, **{"population": 7, "rows": 3, "cols": 2, **horizon, **options}
    )


def drawn(env: VecEnv, rng: np.random.Generator) -> np.ndarray:
    """Random actions of all lanes."""
    space = env.action_space
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(space.n, size=env.num_envs)
    return rng.uniform(space.low, space.high, (env.num_envs, *space.shape)).astype(np.float32)


# -- the time limit ---------------------------------------------------------------------------------------------------


class Returns(BaseCallback):
    """Keeps the returns of the rollout, before training shuffles them."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.returns = self.model.rollout_buffer.returns.copy()


def returns_with_fixed_value(env: VecEnv, value: float) -> np.ndarray:
    """Of one rollout of three steps with lambda = 1, where the critic says ``value`` everywhere: ``(3, lanes)``."""
    algorithm = PPO("MlpPolicy", env, n_steps=3, batch_size=2, gamma=0.9, gae_lambda=1.0, device="cpu")
    with torch.no_grad():
        algorithm.policy.value_net.weight.zero_()
        algorithm.policy.value_net.bias.fill_(value)
    kept = Returns()
    algorithm.learn(3 * env.num_envs, callback=kept)
    return kept.returns


def wage_worlds(view: str) -> VecEnv:
    if view == "agents":
        return BatchVecEnv(AgentsBatch(Wage(), 2, max_cycles=3))
    return CentralVecEnv(CentralVectorEnv(Wage(), 2, max_episode_steps=3, autoreset_mode="SameStep"))


@pytest.mark.parametrize("view", ["agents", "central"])
def test_ppo_bootstraps_at_the_time_limit(view: str) -> None:
    """With V = 4 the third step is worth 1 + .9 * 4 = 4.6, the second 1 + .9 * 4.6 = 5.14, the first 5.626; with the
    true V = 1 / (1 - .9) = 10 all are worth 10."""
    returns = returns_with_fixed_value(wage_worlds(view), 4.0)
    np.testing.assert_allclose(returns, np.repeat([[5.626], [5.14], [4.6]], returns.shape[1], 1), rtol=1e-6)
    np.testing.assert_allclose(returns_with_fixed_value(wage_worlds(view), 10.0), 10.0, rtol=1e-6)


def test_supersuit_loses_the_time_limit() -> None:
    """The same rollout through SuperSuit: the horizon counts as an end of the world, 1, 1.9 and 2.71."""
    route = pettingzoo_env_to_vec_env_v1(AgentsEnv(Wage(), max_cycles=3))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `render_mode` attribute is not defined")
        env = concat_vec_envs_v1(route, 2, num_cpus=1, base_class="stable_baselines3")
    returns = returns_with_fixed_value(env, 4.0)
    np.testing.assert_allclose(returns, np.repeat([[2.71], [1.9], [1.0]], 4, 1), rtol=1e-6)


@pytest.mark.parametrize("view", VIEWS)
def test_what_the_horizon_shows(view: str) -> None:
    """Everybody is truncated; last observations are their own rows; what is returned is the next episode's start."""
    env, rng = small(view, 3, monitor=False), np.random.default_rng(0)
    env.seed(2)
    env.reset()
    for step in range(1, 13):
        observations, rewards, dones, infos = env.step(drawn(env, rng))
        assert observations.shape == (env.num_envs, *env.observation_space.shape)
        assert observations.dtype == rewards.dtype == np.float32 and rewards.shape == (env.num_envs,)
        assert dones.dtype == bool and dones.tolist() == [step % 6 == 0] * env.num_envs
        if step % 6:
            assert infos == [{}] * env.num_envs and len({id(info) for info in infos}) == env.num_envs
            continue
        assert all(info["TimeLimit.truncated"] is True for info in infos)
        last = [info["terminal_observation"] for info in infos]
        assert all(env.observation_space.contains(row) for row in last)
        assert not np.array_equal(np.stack(last), observations)
        before = np.stack(last)
        last[0][...] = 0.25
        np.testing.assert_array_equal(np.stack(last[1:]), before[1:])
        assert not any(np.shares_memory(row, observations) for row in last)


def test_replay_buffers_keep_last_observations_and_do_not_end_there() -> None:
    """DQN's buffer: the transition at the horizon leads to the view's own last observation, and is not an end."""
    env = small("agents", monitor=False)
    algorithm = DQN("MlpPolicy", env, seed=0, learning_starts=10**9, buffer_size=10 * env.num_envs, device="cpu")
    algorithm.learn(6 * env.num_envs)
    buffer, twin = (
        algorithm.replay_buffer,
        mfnet_envs.parallel_env("MFNet-Grid-v0", view="agents", population=7, rows=3, cols=2, max_cycles=6),
    )
    seen = [twin.reset_array(seed=0)[0]]
    seen += [twin.step_array(buffer.actions[t, :, 0].astype(int))[0] for t in range(6)]
    np.testing.assert_array_equal(buffer.observations[:6], seen[:6])
    np.testing.assert_array_equal(buffer.next_observations[:6], seen[1:])
    assert buffer.dones[5].all() and not buffer.dones[:5].any()
    everything = buffer._get_samples(np.arange(6))
    assert not everything.dones.any()


# -- the same world as elsewhere --------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["agents", "teams"])
def test_one_world_is_the_pettingzoo_view(view: str) -> None:
    """Same seed, same actions, over two episodes: observations, rewards and masks are the view's."""
    env, rng = small(view, monitor=False), np.random.default_rng(1)
    twin = mfnet_envs.parallel_env("MFNet-Grid-v0", view=view, population=7, rows=3, cols=2, max_cycles=6)
    env.seed(5)
    seen, (theirs, info) = env.reset(), twin.reset_array(seed=5)
    for step in range(1, 13):
        np.testing.assert_array_equal(seen, theirs)
        if view == "agents":
            np.testing.assert_array_equal(np.stack(env.env_method("action_masks")), info["action_mask"])
        actions = drawn(env, rng)
        seen, rewards, _, infos = env.step(actions)
        theirs, paid, _, _, info = twin.step_array(actions)
        np.testing.assert_array_equal(rewards, paid.astype(np.float32))
        if step % 6 == 0:
            np.testing.assert_array_equal([info["terminal_observation"] for info in infos], theirs)
            theirs, info = twin.reset_array()


def test_one_central_world_is_gymnasiums() -> None:
    env, rng = small("central", monitor=False), np.random.default_rng(1)
    twin = gym.make("MFNet-Grid-v0", population=7, rows=3, cols=2, max_episode_steps=6)
    env.seed(5)
    seen, (theirs, _) = env.reset(), twin.reset(seed=5)
    for step in range(1, 13):
        np.testing.assert_array_equal(seen[0], theirs)
        actions = drawn(env, rng)
        seen, rewards, _, infos = env.step(actions)
        theirs, paid, *_ = twin.step(actions[0])
        assert rewards[0] == np.float32(paid)
        if step % 6 == 0:
            np.testing.assert_array_equal(infos[0]["terminal_observation"], theirs)
            theirs, _ = twin.reset()


def test_several_worlds_are_worlds_of_their_own() -> None:
    """From the lanes' one-hot codes alone: who stands where, and the share each sees is that of its own world."""
    env, rng = small("agents", 4, monitor=False), np.random.default_rng(3)
    env.seed(0)
    observations = env.reset()
    for _ in range(9):
        assert (observations[:, :6].sum(1) == 1).all()
        where = observations[:, :6].argmax(1).reshape(4, 7)
        counts = np.stack([np.bincount(world, minlength=6) for world in where])
        np.testing.assert_allclose(
            observations[:, 6].reshape(4, 7), np.take_along_axis(counts, where, 1) / 7, rtol=1e-6
        )
        assert len({tuple(world) for world in where}) == 4
        observations = env.step(drawn(env, rng))[0]


def test_teams_are_paid_the_mean_reward_of_their_world() -> None:
    """Wage pays everybody 1, so two teams of a world share 1 in proportion to who stands there."""
    env = BatchVecEnv(TeamsBatch(Wage(), 5))
    before = env.reset().reshape(5, 2)
    rewards = env.step(np.zeros((10, 2), np.float32))[1].reshape(5, 2)
    np.testing.assert_allclose(rewards, before, rtol=1e-6)
    np.testing.assert_allclose(rewards.sum(1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("view", VIEWS)
def test_observations_that_are_kept_stay_as_they_were(view: str) -> None:
    env, rng = small(view, 2, monitor=False), np.random.default_rng(0)
    kept = [env.reset()]
    copies = [kept[0].copy()]
    for _ in range(8):
        step = env.step(drawn(env, rng))
        kept += step[:2]
        copies += [array.copy() for array in step[:2]]
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    for array in kept:
        array[...] = -1
    after = env.step(drawn(env, rng))[0]
    assert (after >= 0).all()


# -- seeds ------------------------------------------------------------------------------------------------------------

DIGEST = """
import hashlib, torch
from stable_baselines3 import PPO
from mfnet_envs.adapters.sb3 import make_vec_env

def digest(seed):
    torch.set_num_threads(1)
    env = make_vec_env("MFNet-Grid-v0", "agents", 2, population=7, rows=3, cols=2, max_cycles=6)
    algorithm = PPO("MlpPolicy", env, n_steps=16, batch_size=56, n_epochs=2, seed=seed, device="cpu").learn(448)
    parameters = b"".join(p.detach().numpy().tobytes() for p in algorithm.policy.parameters())
    return hashlib.sha256(parameters).hexdigest()
"""


def test_ppo_is_bit_reproducible() -> None:
    """The same seed gives the same parameters, bit for bit, here and in another process; another seed, others."""
    scope: dict[str, Callable[[int], str]] = {}
    exec(DIGEST, scope)
    digest = scope["digest"]
    first = digest(0)
    assert digest(0) == first != digest(1)
    elsewhere = subprocess.run([sys.executable, "-c", DIGEST + "print(digest(0))"], check=True, capture_output=True)
    assert elsewhere.stdout.decode().strip() == first


@pytest.mark.parametrize("view", VIEWS)
def test_a_seed_holds_from_the_next_reset_and_then_the_stream_goes_on(view: str) -> None:
    def path(env: VecEnv, steps: int = 8) -> bytes:
        rng = np.random.default_rng(0)
        arrays = [env.reset()] + [env.step(drawn(env, rng))[0] for _ in range(steps)]
        return np.stack(arrays).tobytes()

    env, twin = small(view, 2), small(view, 2)
    env.seed(4), twin.seed(4)
    first, second = path(env), path(env)
    assert first != second and (path(twin), path(twin)) == (first, second)
    env.seed(4)
    assert path(env) == first
    env.seed(5)
    assert path(env) != first


def test_a_pickled_one_goes_on_like_the_original() -> None:
    for view in VIEWS:
        env, rng = small(view, 2, monitor=False), np.random.default_rng(0)
        env.seed(0)
        env.reset()
        twin = pickle.loads(pickle.dumps(env))
        for _ in range(8):
            actions = drawn(env, rng)
            for ours, theirs in zip(env.step(actions)[:3], twin.step(actions)[:3], strict=True):
                np.testing.assert_array_equal(ours, theirs)


# -- SB3's own tools --------------------------------------------------------------------------------------------------


def test_monitor_and_evaluate_policy_count_what_is_paid() -> None:
    """Three steps at 1 each: every episode returns 3."""
    env = VecMonitor(BatchVecEnv(AgentsBatch(Wage(), 2, max_cycles=3)))
    algorithm = PPO("MlpPolicy", env, n_steps=6, batch_size=12, device="cpu").learn(24)
    assert [(e["r"], e["l"]) for e in algorithm.ep_info_buffer] == [(3.0, 3)] * 8
    assert evaluate_policy(algorithm, env, n_eval_episodes=8) == (3.0, 0.0)


def test_make_vec_env_monitors_unless_told_otherwise() -> None:
    assert isinstance(small("agents"), VecMonitor) and not isinstance(small("agents", monitor=False), VecMonitor)


def test_normalised_and_stacked() -> None:
    """VecNormalize and VecFrameStack rewrite the last observations too; both train."""
    stacked = VecFrameStack(small("agents", 2), 3)
    size = stacked.observation_space.shape[0]
    env = VecNormalize(stacked)
    env.reset()
    for _ in range(6):
        infos = env.step(np.zeros(env.num_envs, int))[3]
    assert all(info["terminal_observation"].shape == (size,) == (21,) for info in infos)
    PPO("MlpPolicy", env, n_steps=8, batch_size=56, device="cpu").learn(112)


def test_save_and_load(tmp_path: Any) -> None:
    env = small("agents", 2)
    algorithm = PPO("MlpPolicy", env, n_steps=8, batch_size=56, seed=0, device="cpu").learn(112)
    algorithm.save(tmp_path / "ppo.zip")
    loaded = PPO.load(tmp_path / "ppo.zip", device="cpu")
    counts = mfnet_envs.Simulator(env.model).reset(np.random.default_rng(0), 5)
    with pytest.raises(ValueError, match="give the environment"):
        as_policy(loaded)
    np.testing.assert_array_equal(as_policy(loaded, env).teams(counts, 0), as_policy(algorithm).teams(counts, 0))
    loaded.set_env(env)
    loaded.learn(112)


def test_a_loaded_policy_sees_what_vec_normalize_shows(tmp_path: Any) -> None:
    """VecNormalize is saved beside the network; as_policy finds it in the environment that is given."""
    env = VecNormalize(small("agents", 2))
    algorithm = PPO("MlpPolicy", env, n_steps=8, batch_size=56, seed=0, device="cpu").learn(112)
    algorithm.save(tmp_path / "ppo.zip"), env.save(tmp_path / "normalise.pkl")
    again = VecNormalize.load(tmp_path / "normalise.pkl", small("agents", 2))
    counts = mfnet_envs.Simulator(env.model).reset(np.random.default_rng(0), 5)
    loaded = as_policy(PPO.load(tmp_path / "ppo.zip", device="cpu"), again).teams(counts, 0)
    np.testing.assert_array_equal(loaded, as_policy(algorithm).teams(counts, 0))
    plain = as_policy(PPO.load(tmp_path / "ppo.zip", device="cpu"), small("agents", 2)).teams(counts, 0)
    assert not np.allclose(plain, loaded)


def test_pictures() -> None:
    """SB3 tiles them: the first world in the agents and the teams view, both worlds in the central view."""
    pictures = {}
    for view in VIEWS:
        env = small(view, 2, render_mode="rgb_array")
        env.reset()
        env.step(drawn(env, np.random.default_rng(0)))
        pictures[view] = env.render()
        assert pictures[view].dtype == np.uint8 and pictures[view].std() > 0
    assert pictures["agents"].shape == pictures["teams"].shape
    assert pictures["central"].size == 2 * pictures["teams"].size


# -- masks ------------------------------------------------------------------------------------------------------------


class Legal(VecEnvWrapper):
    """Counts illegal actions, told by the lanes' one-hot codes; ``legal (6, 5)``."""

    def __init__(self, venv: VecEnv, legal: np.ndarray) -> None:
        super().__init__(venv)
        self.legal, self.illegal, self.taken = legal, 0, 0

    def reset(self) -> Any:
        observations = self.venv.reset()
        self.state = observations[:, :6].argmax(1)
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self.illegal += int((~self.legal[self.state, actions]).sum())
        self.taken += len(actions)
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        result = self.venv.step_wait()
        self.state = result[0][:, :6].argmax(1)
        return result


# Cells 0 1 / 2 3 / 4 5 of three rows and two columns; stay, up, right, down, left.
LEGAL = np.array(
    [[1, 0, 1, 1, 0], [1, 0, 0, 1, 1], [1, 1, 1, 1, 0], [1, 1, 0, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 1]], bool
)


def test_maskable_ppo_never_plays_an_illegal_action() -> None:
    """PPO does, thousands of times; MaskablePPO not once."""
    tally = {}
    for algorithm in (PPO, MaskablePPO):
        env = Legal(small("agents", 4), LEGAL)
        algorithm("MlpPolicy", env, n_steps=32, batch_size=448, seed=0, device="cpu").learn(32 * 28 * 2)
        tally[algorithm] = env.illegal / env.taken
    assert tally[MaskablePPO] == 0 and tally[PPO] > 0.2


def test_masks_are_those_of_the_cells() -> None:
    env = small("agents", 3)
    observations = env.reset()
    for _ in range(8):
        where = observations[:, :6].argmax(1)
        masks = env.env_method("action_masks")
        np.testing.assert_array_equal(masks, LEGAL[where])
        np.testing.assert_array_equal(env.env_method("action_masks", indices=[20, 3]), LEGAL[where[[20, 3]]])
        np.testing.assert_array_equal(env.get_attr("action_masks")[9](), LEGAL[where[9]])
        observations = env.step(drawn(env, np.random.default_rng(0)))[0]
    assert env.has_attr("action_masks") and not small("teams").has_attr("action_masks")
    assert not small("central").has_attr("action_masks")


# -- what was learnt, as a policy -------------------------------------------------------------------------------------


def trained(view: str, masked: bool, normalised: bool, **options: Any) -> tuple[Any, VecEnv]:
    env = small(view, 8, **options)
    env = VecNormalize(env) if normalised else env
    algorithm = (MaskablePPO if masked else PPO)(
        "MlpPolicy", env, n_steps=48, batch_size=8 * 48, learning_rate=3e-3, seed=0, device="cpu"
    )
    algorithm.learn(4 * 48 * env.num_envs)
    with torch.no_grad():
        algorithm.policy.action_net.weight.mul_(100)  # so little training has learnt little: make it choosy
    return algorithm, env


@pytest.mark.parametrize(
    ("view", "masked", "normalised", "options"),
    [
        ("agents", False, False, {"observe": "hood", "state_encoding": "coordinates"}),
        ("agents", False, True, {}),
        ("agents", True, False, {}),
        ("teams", False, False, {"observe": 2, "logit_scale": 2.0}),
        ("teams", False, False, {"action": "shares", "state_encoding": "onehot"}),
        ("central", False, False, {"flow": "round"}),
        ("central", False, True, {"action": "shares", "flow": "sample"}),
    ],
)
def test_the_policy_plays_what_the_algorithm_plays(
    view: str, masked: bool, normalised: bool, options: dict[str, Any]
) -> None:
    """SB3 acting in its VecEnv against the policy in the simulator: after five steps the same mean reward and the same
    mean crowd in every cell within 4.5 standard errors; the uniform policy's crowds are many errors away."""
    algorithm, env = trained(view, masked, normalised, **options)
    policy = as_policy(algorithm)

    lanes = small(view, 2000, monitor=False, **options)
    lanes.seed(123)
    torch.manual_seed(0)
    observations, total = lanes.reset(), np.zeros(2000)
    for _ in range(5):
        seen = env.normalize_obs(observations) if normalised else observations
        masks = {"action_masks": np.stack(lanes.env_method("action_masks"))} if masked else {}
        actions, _ = algorithm.predict(seen, deterministic=view != "agents", **masks)
        observations, rewards, *_ = lanes.step(actions)
        paid = rewards.reshape(2000, -1)
        total += paid.mean(1) if view == "agents" else paid.sum(1)
    theirs = np.column_stack([lanes.env.counts, total])
    assert distance(theirs, played(policy)).max() < 4.5
    assert distance(theirs, played(mfnet_envs.policy.uniform(policy.model))).max() > 10


def played(policy: mfnet_envs.Policy) -> np.ndarray:
    """Counts after five steps and what an agent was paid, of 2,000 worlds."""
    simulator, rng = mfnet_envs.Simulator(policy.model), np.random.default_rng(7)
    counts, total = simulator.reset(rng, 2000), np.zeros(2000)
    for t in range(5):
        step = policy.play(simulator, counts, t, rng)
        counts, total = step.next_counts, total + step.team_rewards.sum(1)
    return np.column_stack([counts, total])


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between the means of each column, in standard errors."""
    return abs(a.mean(0) - b.mean(0)) / np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))


def test_a_dqn_plays_its_best_action() -> None:
    env = small("agents")
    algorithm = DQN("MlpPolicy", env, seed=0, learning_starts=0, device="cpu").learn(70)
    counts = np.array([[3, 0, 1, 1, 2, 0]])
    observations = np.concatenate([np.eye(6), counts.T / 7], 1).astype(np.float32)  # what one in each cell sees
    with torch.no_grad():
        best = algorithm.q_net(torch.as_tensor(observations)).argmax(1).numpy()
    best = np.where(LEGAL[np.arange(6), best], best, 0)  # illegal: stay
    np.testing.assert_array_equal(as_policy(algorithm).teams(counts, 0)[0], np.eye(5)[best])


def test_a_fresh_masked_network_is_nearly_uniform_over_the_legal_actions() -> None:
    """SB3 starts the last layer near zero: in cell 0, with three legal actions of five, each has about a third; without
    masks *stay* has three fifths, its own and what is on the two illegal ones."""
    counts = np.array([[3, 0, 1, 1, 2, 0]])
    for kind, expected in ((MaskablePPO, [1 / 3, 0, 1 / 3, 1 / 3, 0]), (PPO, [3 / 5, 0, 1 / 5, 1 / 5, 0])):
        policy = as_policy(kind("MlpPolicy", small("agents"), seed=0, device="cpu"))
        np.testing.assert_allclose(policy.teams(counts, 0)[0, 0], expected, atol=0.02)


def test_illegal_probability_goes_to_the_first_legal_action_or_is_masked_away() -> None:
    """Cell 0 of the grid may not go up (1) or left (4): .1 and .3 of it are played as stay, or left out of 6 / 10."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=7, rows=3, cols=2)
    row, counts = [0.2, 0.1, 0.3, 0.1, 0.3], np.array([[7, 0, 0, 0, 0, 0]])
    plain = ObservedPolicy(model, lambda seen: np.tile(row, (len(seen), 1)))
    masked = ObservedPolicy(model, lambda seen: np.tile(row, (len(seen), 1)), masked=True)
    np.testing.assert_allclose(plain.teams(counts, 0)[0, 0], [0.6, 0, 0.3, 0.1, 0], atol=1e-12)
    np.testing.assert_allclose(masked.teams(counts, 0)[0, 0], [2 / 6, 0, 3 / 6, 1 / 6, 0], atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"logit_scale": 1.5}, {"flow": "round"}, {"action": "shares"}])
def test_team_policies_are_the_views_bit_for_bit(options: dict[str, Any]) -> None:
    """One generator drives the views' worlds, another the policy's simulator: the same counts from the same seed."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=40, rows=3, cols=2)
    weight = np.random.default_rng(0).normal(size=(6, 30))

    def of_teams(seen: np.ndarray) -> np.ndarray:
        return 2 * np.cos(seen @ weight[:1, :5] + 1) ** 3  # partly outside the box

    def of_planner(seen: np.ndarray) -> np.ndarray:
        return 2 * np.cos(seen @ weight)

    teams, planner = TeamsBatch(model, 3, **options), CentralVectorEnv(model, 3, **options)
    for env, seen_by, function, policy in (
        (teams, teams.observe, of_teams, TeamsPolicy(model, of_teams, **options)),
        (teams, teams.observe, of_teams, TeamsPolicy.of(teams, of_teams)),
        (planner, planner.state, of_planner, CentralPolicy(model, of_planner, **options)),
        (planner, planner.state, of_planner, CentralPolicy.of(planner, of_planner)),
    ):
        rng = np.random.default_rng(9)
        counts = mfnet_envs.Simulator(model).reset(rng, 3)
        env.reset(seed=9)
        for t in range(5):
            np.testing.assert_array_equal(env.counts, counts)
            env.step(np.clip(function(seen_by()), -1.0 if policy.game.action == "logits" else 0.0, 1.0))
            counts = policy.play(mfnet_envs.Simulator(policy.model), counts, t, rng).next_counts


# -- errors -----------------------------------------------------------------------------------------------------------


def test_wrong_words_are_answered_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="view must be 'agents' or 'teams' or 'central', not 'agent'"):
        make_vec_env("MFNet-Grid-v0", "agent")
    with pytest.raises(gym.error.NameNotFound, match="did you mean 'MFNet-Grid-v0'"):
        make_vec_env("MFNet-Gird-v0")
    with pytest.raises(TypeError, match="did you mean 'population'"):
        make_vec_env("MFNet-Grid-v0", "central", populaton=5)
    with pytest.raises(TypeError, match="did you mean 'observe'"):
        make_vec_env("MFNet-Grid-v0", "teams", obserbe=1)
    with pytest.raises(ValueError, match="positive integer"):
        make_vec_env("MFNet-Grid-v0", num_worlds=0)
    with pytest.raises(ValueError, match="rgb_array"):
        make_vec_env("MFNet-Grid-v0", render_mode="human")
    with pytest.raises(ValueError, match="SAME_STEP"):
        CentralVecEnv(CentralVectorEnv(Wage()))


def test_wrong_actions_are_answered_with_a_sentence() -> None:
    env = small("agents", 2)
    env.reset()
    with pytest.raises(ValueError, match="one action for each of the 14 lanes, not 13"):
        env.step(np.zeros(13, int))
    with pytest.raises(ValueError, match=r"whole number in 0\.\.4"):
        env.step(np.full(14, 5))
    teams = small("teams", 2)
    with pytest.raises(gym.error.ResetNeeded):
        teams.step(np.zeros((12, 5)))
    teams.reset()
    with pytest.raises(ValueError, match="team_1 is nan"):
        teams.step(np.where(np.arange(12)[:, None] == 1, np.nan, np.zeros((12, 5))))


@pytest.mark.parametrize("view", VIEWS)
def test_lanes_share_one_simulation(view: str) -> None:
    env = small(view, 3, monitor=False)
    assert env.get_attr("model", 0)[0].population == 7 and len(env.get_attr("model")) == env.num_envs
    assert env.env_is_wrapped(gym.Wrapper, [0, 1]) == [False, False] and env.get_attr("render_mode", 1) == [None]
    with pytest.raises(AttributeError, match="no method 'fly'"):
        env.env_method("fly")
    with pytest.raises(AttributeError):
        env.get_attr("wings")
    with pytest.raises(ValueError, match="set 'max_cycles' for all of them"):
        env.set_attr("max_cycles", 3, indices=0)


def test_a_horizon_that_is_set_holds() -> None:
    env = small("agents", 2)
    env.set_attr("max_cycles", 2)
    env.reset()
    assert [env.step(np.zeros(14, int))[2].all() for _ in range(4)] == [False, True, False, True]


def test_wrong_policies_are_answered_with_a_sentence() -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=7, rows=3, cols=2)
    counts = np.array([[7, 0, 0, 0, 0, 0]])
    with pytest.raises(ValueError, match="is a softmax missing"):
        ObservedPolicy(model, lambda seen: np.ones((len(seen), 5))).teams(counts, 0)
    with pytest.raises(ValueError, match=r"6 observations must be answered by \(6, 5\), not \(6, 4\)"):
        ObservedPolicy(model, lambda seen: np.ones((len(seen), 4))).teams(counts, 0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        TeamsPolicy(model, lambda seen: np.full((len(seen), 5), np.nan)).teams(counts, 0)
    with pytest.raises(ValueError, match="some probability on legal actions"):
        ObservedPolicy(model, lambda seen: np.tile(np.eye(5)[4], (len(seen), 1)), masked=True).teams(counts, 0)
    algorithm = PPO("MlpPolicy", small("agents"), device="cpu")
    with pytest.raises(ValueError, match="options used in training"):
        as_policy(algorithm, small("agents", observe="hood"))
    with pytest.raises(ValueError, match="recurrent network remembers"):
        as_policy(RecurrentPPO("MlpLstmPolicy", small("agents"), device="cpu"))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    for name in [name for name in sys.modules if name.split(".")[0] in ("stable_baselines3", "sb3_contrib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "mfnet_envs.adapters.sb3")
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install '.*\[sb3\]'"):
        importlib.import_module("mfnet_envs.adapters.sb3")


# -- every scenario ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("env_id", sorted(scenarios()))
def test_every_scenario_has_a_vec_env(env_id: str, view: str) -> None:
    """Observations and rewards are numbers in their ranges, and PPO takes its spaces."""
    env, rng = make_vec_env(env_id, view, 2, population=30), np.random.default_rng(0)
    PPO("MlpPolicy", env, n_steps=2, batch_size=2 * env.num_envs, device="cpu")
    env.seed(0)
    assert env.observation_space.contains(env.reset()[0])
    low, high = env.get_attr("model")[0].reward_range
    for _ in range(3):
        observations, rewards, dones, _ = env.step(drawn(env, rng))
        assert all(env.observation_space.contains(row) for row in observations[:: env.num_envs - 1])
        assert not dones.any()
        paid = rewards.reshape(2, -1).sum(1) if view == "teams" else rewards
        assert (low - 1e-6 <= paid).all() and (paid <= high + 1e-6).all()
