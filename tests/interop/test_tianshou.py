"""Tianshou: buffers hold what the world did, masks are honoured, time limits bootstrap, and its algorithms train."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from tianshou.algorithm import MultiAgentOffPolicyAlgorithm
from tianshou.algorithm.algorithm_base import Algorithm
from tianshou.algorithm.modelfree.dqn import DQN, DiscreteQLearningPolicy
from tianshou.algorithm.modelfree.ppo import PPO
from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy, ProbabilisticActorPolicy
from tianshou.algorithm.modelfree.sac import SAC, SACPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, CollectStats, VectorReplayBuffer
from tianshou.env import BaseVectorEnv, DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams, OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
from torch.distributions import Independent, Normal

import mfnet_envs
from mfnet_envs.adapters.tianshou import SharedPolicyVectorEnv, make_env
from mfnet_envs.registration import scenarios

IDS = ("MFNet-Grid-v0", "MFNet-RideShareNYC-v0")
N, HORIZON, GAMMA = 3, 5, 0.9
STEPS = 12  # of the world: two episodes and a bit
ADAM = AdamOptimizerFactory(lr=1e-3)
Arrays = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Tianshou explores by numpy's global generator and initialises by torch's."""
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    torch.set_num_threads(1)


def agents(env_id: str) -> dict[str, Any]:
    return dict(id=env_id, view="agents", population=N, max_cycles=HORIZON)


def turns(env_id: str) -> DummyVectorEnv:
    return DummyVectorEnv([lambda: make_env(**agents(env_id))])


class Known(torch.nn.Module):
    """Q(o, a) = (a + 1) * sum_j (j + 1) o_j^2: another value for each observation and action."""

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(1.0 + torch.arange(num_actions))

    def forward(self, obs: Any, state: Any = None, info: Any = None) -> tuple[torch.Tensor, Any]:
        seen = torch.as_tensor(np.asarray(obs), dtype=torch.float32)
        return (seen**2 @ (1.0 + torch.arange(seen.shape[1])))[:, None] * self.factor, state


def best(seen: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """max over legal a of Known's Q(o, a): the largest legal index, since all Q of one o are (a + 1) * the same."""
    largest = np.where(mask, np.arange(mask.shape[-1]), -1).max(-1)
    return (seen.astype(float) ** 2 @ (1 + np.arange(seen.shape[-1]))) * (largest + 1)


def dqn(env: Any, known: bool = False, rounds: int = 1, gamma: float = GAMMA) -> DQN:
    space, seen = env.action_space[0], env.observation_space[0]
    seen = seen["observation"] if isinstance(seen, gym.spaces.Dict) else seen
    a = int(space.n)
    net = Known(a) if known else Net(state_shape=seen.shape, action_shape=a, hidden_sizes=[16])
    policy = DiscreteQLearningPolicy(model=net, action_space=space, eps_training=0.5, eps_inference=0.5)
    return DQN(policy=policy, optim=ADAM, gamma=gamma, n_step_return_horizon=rounds)


def dqn_each(env: Any, **options: Any) -> MultiAgentOffPolicyAlgorithm:
    """One DQN per agent, with the settings of make_env's docstring."""
    each = [dqn(env, rounds=N, gamma=GAMMA ** (1 / N), **options) for _ in range(N)]
    return MultiAgentOffPolicyAlgorithm(algorithms=each, env=env.workers[0].env)


def collected(algorithm: Algorithm, env: BaseVectorEnv, n_step: int, seed: int = 0) -> VectorReplayBuffer:
    buffer = VectorReplayBuffer(n_step, len(env))
    collector = Collector[CollectStats](algorithm, env, buffer, exploration_noise=True)
    env.seed(seed)
    collector.reset()  # Tianshou resets once more, without a seed
    collector.collect(n_step=n_step)
    return buffer


def replayed(actions: np.ndarray, options: dict[str, Any], seed: int = 0) -> Arrays:
    """What our own worlds show and pay for ``actions (steps, worlds, K)``, seeded and reset as ``collected`` does."""
    worlds = mfnet_envs.batch_env(num_worlds=actions.shape[1], **options)
    worlds.reset(seed)
    seen = worlds.reset()
    rows = []
    for joint in actions:
        seen = worlds.reset() if worlds.is_over else seen
        mask = worlds.masks()
        after, paid, _, _ = worlds.step(joint)
        rows.append((seen, mask, after, worlds.masks(), paid))
        seen = after
    names = ("seen", "mask", "after", "mask_after", "paid")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


LIMITS = [t % HORIZON == HORIZON - 1 for t in range(STEPS)]

# -- one policy for all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", IDS)
def test_shared_buffer_holds_what_the_world_did(env_id: str) -> None:
    """Two worlds against replays of the same actions: every row of every agent, distinct, legal, cut at the limit."""
    env = SharedPolicyVectorEnv(num_worlds=2, **agents(env_id))
    buffer = collected(dqn(env), env, STEPS * len(env))

    def in_time(rows: np.ndarray) -> np.ndarray:
        """(2 N STEPS, ...) as stored, an agent's steps in a row -> (STEPS, 2, N, ...)."""
        return np.moveaxis(rows.reshape(2, N, STEPS, *rows.shape[1:]), 2, 0)

    truth = replayed(in_time(buffer.act), agents(env_id))
    np.testing.assert_array_equal(in_time(buffer.obs.obs), truth["seen"])
    np.testing.assert_array_equal(in_time(buffer.obs.mask), truth["mask"])
    np.testing.assert_array_equal(in_time(buffer.obs_next.obs), truth["after"])
    np.testing.assert_array_equal(in_time(buffer.obs_next.mask), truth["mask_after"])
    np.testing.assert_array_equal(in_time(buffer.rew), truth["paid"])
    assert (in_time(buffer.truncated) == np.array(LIMITS)[:, None, None]).all() and not buffer.terminated.any()
    assert not buffer.obs.mask.all() and buffer.obs.mask[np.arange(len(buffer)), buffer.act].all()
    assert not np.array_equal(truth["seen"][0, 0], truth["seen"][0, 1])  # two worlds, not one twice


def test_shared_dqn_bootstraps_at_the_time_limit() -> None:
    """r + gamma max_a Q(o', a) over legal a, for every step: also for the last of an episode."""
    env = SharedPolicyVectorEnv(**agents("MFNet-Grid-v0"))
    algorithm = dqn(env, known=True)
    buffer = collected(algorithm, env, STEPS * N)
    indices = np.arange(len(buffer))
    targets = algorithm._preprocess_batch(buffer[indices], buffer, indices).returns.numpy().reshape(N, STEPS).T
    truth = replayed(buffer.act.reshape(N, STEPS).T[:, None], agents("MFNet-Grid-v0"))
    expected = truth["paid"] + GAMMA * best(truth["after"], truth["mask_after"])
    np.testing.assert_allclose(targets, expected[:, 0], rtol=1e-5)
    assert (targets - truth["paid"][:, 0])[LIMITS].min() > 0.5  # what is lost where a limit counts as the end


def test_same_seed_same_buffer() -> None:
    def rewards(seed: int) -> list[float]:
        _seeded.__wrapped__()
        env = SharedPolicyVectorEnv(num_worlds=2, **agents("MFNet-Grid-v0"))
        return collected(dqn(env), env, 30 * len(env), seed).rew.tolist()

    assert rewards(3) == rewards(3) != rewards(4)


def test_shared_vector_says_what_is_wrong() -> None:
    env = SharedPolicyVectorEnv(num_worlds=2, **agents("MFNet-Grid-v0"))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="multiples of"):
        env.step(np.zeros(2, int), id=[0, 1])
    with pytest.raises(ValueError, match="multiples of"):
        env.reset(env_id=[1])
    with pytest.raises(ValueError, match="positive integer"):
        SharedPolicyVectorEnv(num_worlds=0, **agents("MFNet-Grid-v0"))


def test_whole_episodes_can_be_collected_and_others_not() -> None:
    env = SharedPolicyVectorEnv(num_worlds=2, **agents("MFNet-Grid-v0"))
    collector = Collector[CollectStats](dqn(env), env)
    collector.reset()
    stats = collector.collect(n_episode=2 * len(env))
    assert stats.n_collected_steps == 2 * len(env) * HORIZON and set(stats.lens) == {HORIZON}
    with pytest.raises(ValueError, match="multiples of"):
        collector.collect(n_episode=1)


# -- one policy each, turn by turn ----------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", IDS)
def test_turn_based_buffer(env_id: str) -> None:
    """Row t * N + i is agent i's turn in step t. Everybody is paid at the last turn; only legal actions are taken."""
    env = turns(env_id)
    buffer = collected(dqn_each(env), env, STEPS * N)
    truth = {name: rows[:, 0] for name, rows in replayed(buffer.act.reshape(STEPS, 1, N), agents(env_id)).items()}
    assert buffer.obs.agent_id.tolist() == [f"agent_{i}" for i in range(N)] * STEPS
    np.testing.assert_array_equal(buffer.obs.obs.reshape(STEPS, N, -1), truth["seen"])
    np.testing.assert_array_equal(buffer.obs.mask.reshape(STEPS, N, -1), truth["mask"])
    assert not truth["mask"].all() and buffer.obs.mask[np.arange(len(buffer)), buffer.act].all()
    rewards = buffer.rew.reshape(STEPS, N, N)  # step, turn, agent
    np.testing.assert_array_equal(rewards[:, -1], truth["paid"])
    assert not rewards[:, :-1].any()
    assert not buffer.terminated.any()
    assert buffer.truncated.reshape(STEPS, N).tolist() == [[False] * (N - 1) + [limit] for limit in LIMITS]


def test_one_round_ahead_is_the_target_of_the_world_and_one_turn_ahead_is_not() -> None:
    """make_env's recipe, inside an episode: gamma^((N - 1 - i) / N) r_i + gamma max_a Q(o_i', a).

    In its last round, and in the newest of the buffer, what comes N - i turns later is agent 0's observation.
    One turn ahead, which is Tianshou's default, agent 0 is never paid.
    """
    env = turns("MFNet-Grid-v0")
    algorithm = dqn_each(env, known=True)
    buffer = collected(algorithm, env, STEPS * N)
    indices = np.arange(len(buffer))
    targets = algorithm._preprocess_batch(buffer[indices], buffer, indices)
    options = agents("MFNet-Grid-v0")
    truth = {name: rows[:, 0] for name, rows in replayed(buffer.act.reshape(STEPS, 1, N), options).items()}
    last = np.array([limit or t == STEPS - 1 for t, limit in enumerate(LIMITS)])
    ahead = best(truth["after"], truth["mask_after"])
    for i in range(N):
        paid = GAMMA ** ((N - 1 - i) / N) * truth["paid"][:, i]
        expected = paid + np.where(last, GAMMA ** ((N - i) / N) * ahead[:, 0], GAMMA * ahead[:, i])
        np.testing.assert_allclose(targets[f"agent_{i}"].returns.numpy().ravel(), expected, rtol=1e-5)
    hasty = MultiAgentOffPolicyAlgorithm(algorithms=[dqn(env, known=True, gamma=0.0)] * N, env=env.workers[0].env)
    targets = hasty._preprocess_batch(buffer[indices], buffer, indices)
    assert truth["paid"][:, 0].all() and not targets["agent_0"].returns.any()


# -- training -------------------------------------------------------------------------------------------------------


def ppo(env: Any) -> PPO:
    space, seen = env.action_space[0], env.observation_space[0]

    def body() -> Net:
        return Net(state_shape=seen.shape, hidden_sizes=[16])

    if isinstance(space, gym.spaces.Discrete):
        actor = DiscreteActor(preprocess_net=body(), action_shape=int(space.n), softmax_output=False)
        policy: Any = DiscreteActorPolicy(actor=actor, action_space=space)
        return PPO(policy=policy, critic=DiscreteCritic(preprocess_net=body()), optim=ADAM, gamma=GAMMA)
    policy = ProbabilisticActorPolicy(
        actor=ContinuousActorProbabilistic(preprocess_net=body(), action_shape=space.shape, unbounded=True),
        dist_fn=lambda mean_and_scale: Independent(Normal(*mean_and_scale), 1),
        action_space=space,
    )
    return PPO(policy=policy, critic=ContinuousCritic(preprocess_net=body()), optim=ADAM, gamma=GAMMA)


def sac(env: Any) -> SAC:
    space, seen = env.action_space[0], env.observation_space[0]
    actor = ContinuousActorProbabilistic(
        preprocess_net=Net(state_shape=seen.shape, hidden_sizes=[16]),
        action_shape=space.shape,
        unbounded=True,
        conditioned_sigma=True,
    )
    critic = ContinuousCritic(
        preprocess_net=Net(state_shape=seen.shape, action_shape=space.shape, hidden_sizes=[16], concat=True)
    )
    policy = SACPolicy(actor=actor, action_space=space)
    return SAC(policy=policy, policy_optim=ADAM, critic=critic, critic_optim=ADAM, gamma=GAMMA)


def trains(env: BaseVectorEnv, make: Callable[[Any], Algorithm], steps: int) -> None:
    """``steps`` steps of every environment, an update each 20 of them; the collector counts them, the networks move."""
    env.seed(0)
    algorithm = make(env)
    before = [parameter.detach().clone() for parameter in algorithm.parameters() if parameter.requires_grad]
    total = steps * len(env)
    collector = Collector[CollectStats](algorithm, env, VectorReplayBuffer(total, len(env)), exploration_noise=True)
    collector.reset()
    common = dict(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=total,
        collection_step_num_env_steps=20 * len(env),
        multi_agent_return_reduction=lambda returns: returns.reshape(len(returns), -1).mean(axis=1),
        verbose=False,
        show_progress=False,
    )
    if isinstance(algorithm, PPO):
        algorithm.run_training(OnPolicyTrainerParams(update_step_num_repetitions=2, batch_size=32, **common))
    else:
        per_sample = 1 / len(env)
        algorithm.run_training(
            OffPolicyTrainerParams(batch_size=32, update_step_num_gradient_steps_per_sample=per_sample, **common)
        )
    assert collector.collect_step == total
    after = [parameter for parameter in algorithm.parameters() if parameter.requires_grad]
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def shared(env_id: str, **options: Any) -> SharedPolicyVectorEnv:
    return SharedPolicyVectorEnv(env_id, num_worlds=2, max_cycles=25, population=4, **options)


def teams(env_id: str) -> SharedPolicyVectorEnv:
    return SharedPolicyVectorEnv(env_id, "teams", state_encoding="onehot", max_cycles=25, population=20)


@pytest.mark.cell("tianshou", "agents", "Discrete, masked", "DQN")
@pytest.mark.parametrize("env_id", IDS)
def test_dqn_for_all(env_id: str) -> None:
    trains(shared(env_id), dqn, 200)


@pytest.mark.cell("tianshou", "agents", "Discrete", "PPO")
@pytest.mark.parametrize("env_id", IDS)
def test_ppo_for_all(env_id: str) -> None:
    trains(shared(env_id, mask=False), ppo, 200)


@pytest.mark.cell("tianshou", "agents", "Discrete, masked", "DQN, one per agent (AEC)")
@pytest.mark.parametrize("env_id", IDS)
def test_dqn_for_each(env_id: str) -> None:
    trains(turns(env_id), dqn_each, 200 * N)


@pytest.mark.cell("tianshou", "teams", "Box logits", "PPO")
@pytest.mark.parametrize("env_id", IDS)
def test_ppo_for_all_teams(env_id: str) -> None:
    trains(teams(env_id), ppo, 200)


@pytest.mark.cell("tianshou", "teams", "Box logits", "SAC")
@pytest.mark.parametrize("env_id", IDS)
def test_sac_for_all_teams(env_id: str) -> None:
    trains(teams(env_id), sac, 200)


@pytest.mark.cell("tianshou", "central", "Box logits", "PPO")
@pytest.mark.parametrize("env_id", IDS)
def test_ppo_plans(env_id: str) -> None:
    trains(DummyVectorEnv([lambda: gym.make(env_id, population=20, max_episode_steps=25)] * 2), ppo, 200)


@pytest.mark.cell("tianshou", "central", "Box logits", "SAC")
@pytest.mark.parametrize("env_id", IDS)
def test_sac_plans(env_id: str) -> None:
    trains(DummyVectorEnv([lambda: gym.make(env_id, population=20, max_episode_steps=25)] * 2), sac, 200)


# -- every scenario ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["agents", "teams"])
@pytest.mark.parametrize("env_id", sorted(scenarios()))
def test_every_scenario_has_both_forms(env_id: str, view: str) -> None:
    """A round of turns, and a step of two worlds, with random actions."""
    turned = make_env(env_id, view, population=4)
    turned.reset(seed=0)
    for _ in turned.agents:
        _, _, terminated, truncated, _ = turned.step(turned.action_space.sample())
        assert not (terminated or truncated)
    shared = SharedPolicyVectorEnv(env_id, view, 2, mask=False, population=4)
    shared.seed(0)
    observations, rewards, *_ = shared.step(np.array([space.sample() for space in shared.action_space]))
    assert observations.shape == (len(shared), *shared.observation_space[0].shape) and np.isfinite(rewards).all()
    assert all(space.contains(row) for space, row in zip(shared.observation_space, observations, strict=True))
