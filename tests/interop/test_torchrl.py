"""TorchRL trains: MAPPO and its kin with TorchRL's own modules, on the native environment and on its wrappers.

What the native environment returns is held against the PettingZoo view in tests/test_torchrl.py.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest
import torch
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import EnvBase, GymWrapper, PettingZooWrapper
from torchrl.modules import MLP, MaskedCategorical, MultiAgentMLP, ProbabilisticActor, TruncatedNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss, ValueEstimators

import mfnet_envs
from mfnet_envs.adapters.torchrl import MFNetEnv

IDS = ["MFNet-Grid-v0", "MFNet-RideShareNYC-v0"]
WORLDS, FRAMES, BATCHES, EPOCHS = 4, 160, 3, 2  # frames: steps of a world in a batch, all worlds together
HORIZON = 15  # so that every batch holds ends of episodes


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PettingZoo in TorchRL is tested")
        yield


def keys_of(group: str | None, name: str) -> Any:
    return name if group is None else (group, name)


def actor_of(env: EnvBase, group: str | None, masked: bool) -> ProbabilisticActor:
    """All agents of the group share one network."""
    seen, logits, mask = (keys_of(group, name) for name in ("observation", "logits", "action_mask"))
    action, log_prob = env.action_key, keys_of(group, "log_prob")
    spec = env.full_action_spec[action]
    *_, size = env.observation_spec[seen].shape
    is_discrete = not spec.dtype.is_floating_point
    outputs = spec.space.n if is_discrete else 2 * spec.shape[-1]
    if group is None:
        net: nn.Module = MLP(in_features=size, out_features=outputs, depth=1, num_cells=32)
    else:
        *_, agents, _ = env.observation_spec[seen].shape
        net = MultiAgentMLP(size, outputs, agents, centralized=False, share_params=True, depth=1, num_cells=32)
    more: dict[str, Any] = {"out_keys": [action], "return_log_prob": True, "log_prob_key": log_prob}
    if is_discrete:
        law = MaskedCategorical if masked else torch.distributions.Categorical
        return ProbabilisticActor(
            TensorDictModule(net, [seen], [logits]),
            in_keys={"logits": logits, "mask": mask} if masked else {"logits": logits},
            distribution_class=law,
            **more,
        )
    names = [keys_of(group, "loc"), keys_of(group, "scale")]
    return ProbabilisticActor(
        TensorDictModule(nn.Sequential(net, NormalParamExtractor()), [seen], names),
        in_keys={"loc": names[0], "scale": names[1]},
        distribution_class=TruncatedNormal,
        distribution_kwargs={"low": spec.space.low.min(), "high": spec.space.high.max()},
        **more,
    )


class Centralised(nn.Module):
    """One value per agent, from what it sees and, if given, the state of the whole network."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.net = MLP(in_features=size, out_features=1, depth=1, num_cells=32)

    def forward(self, observation: torch.Tensor, *state: torch.Tensor) -> torch.Tensor:
        whole = [mu.unsqueeze(-2).expand(*observation.shape[:-1], mu.shape[-1]) for mu in state]
        value: torch.Tensor = self.net(torch.cat([observation, *whole], -1))
        return value


def critic_of(env: EnvBase, group: str | None, centralised: bool) -> ValueOperator:
    inputs = [keys_of(group, "observation"), *(["state"] if centralised else [])]
    size = sum(env.observation_spec[key].shape[-1] for key in inputs)
    return ValueOperator(Centralised(size), in_keys=inputs, out_keys=[keys_of(group, "state_value")])


def train(env: EnvBase, group: str | None, *, centralised: bool = False, masked: bool = False) -> None:
    """A few batches of PPO; everything that learns must have moved, and stay finite."""
    actor, critic = actor_of(env, group, masked), critic_of(env, group, centralised)
    loss = ClipPPOLoss(actor, critic, entropy_coeff=0.01)
    loss.set_keys(
        reward=keys_of(group, "reward"),
        action=env.action_key,
        sample_log_prob=keys_of(group, "log_prob"),
        value=keys_of(group, "state_value"),
        done=keys_of(group, "done"),
        terminated=keys_of(group, "terminated"),
        advantage=keys_of(group, "advantage"),
        value_target=keys_of(group, "value_target"),
    )
    loss.make_value_estimator(ValueEstimators.GAE, gamma=0.95, lmbda=0.9)
    before = [parameter.detach().clone() for parameter in loss.parameters()]
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    frames, ends, total_frames = 0, 0, FRAMES * BATCHES
    size = {"frames_per_batch": FRAMES, "total_frames": total_frames}
    collector = Collector(env, actor, auto_register_policy_transforms=False, **size)
    for batch in collector:
        frames += batch.numel()
        ends += int(batch["next", "truncated"].sum())
        if masked:
            legal = batch[keys_of(group, "action_mask")].gather(-1, batch[env.action_key][..., None])
            assert legal.all()
        for _ in range(EPOCHS):
            with torch.no_grad():
                loss.value_estimator(
                    batch, params=loss.critic_network_params, target_params=loss.target_critic_network_params
                )
            terms = loss(batch)
            total = sum(terms[name] for name in ("loss_objective", "loss_entropy", "loss_critic"))
            assert torch.isfinite(total)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    collector.shutdown()
    assert frames == total_frames
    assert ends == total_frames // HORIZON  # also of each world: 4 * (120 // 15) = 480 // 15
    after = list(loss.parameters())
    assert after and all(torch.isfinite(new).all() for new in after)
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def native(env_id: str, view: str, **options: Any) -> MFNetEnv:
    return MFNetEnv(env_id, view, WORLDS, seed=0, population=20, max_cycles=HORIZON, **options)


@pytest.mark.cell("torchrl", "agents", "Discrete, masked", "MAPPO")
@pytest.mark.parametrize("env_id", IDS)
def test_mappo_of_masked_agents(env_id: str) -> None:
    train(native(env_id, "agents", reward="mean"), "agent", centralised=True, masked=True)


@pytest.mark.cell("torchrl", "agents", "Discrete", "IPPO")
@pytest.mark.parametrize("env_id", IDS)
def test_ippo_of_agents(env_id: str) -> None:
    train(native(env_id, "agents"), "agent")


@pytest.mark.cell("torchrl", "teams", "Box logits", "MAPPO")
@pytest.mark.parametrize("env_id", IDS)
def test_mappo_of_teams(env_id: str) -> None:
    train(native(env_id, "teams", state_encoding="coordinates"), "team", centralised=True)


@pytest.mark.cell("torchrl", "teams", "Box shares", "IPPO")
@pytest.mark.parametrize("env_id", IDS)
def test_ippo_of_teams_with_shares(env_id: str) -> None:
    train(native(env_id, "teams", state_encoding="coordinates", action="shares"), "team")


@pytest.mark.cell("torchrl", "central", "Box logits", "PPO")
@pytest.mark.parametrize("env_id", IDS)
def test_ppo_of_the_central_planner(env_id: str) -> None:
    options: dict[str, Any] = {"population": 20, "max_episode_steps": HORIZON}
    train(GymWrapper(gym.make_vec(env_id, num_envs=WORLDS, autoreset_mode="Disabled", **options)), None)


@pytest.mark.cell("torchrl", "agents", "Discrete, masked", "MAPPO, PettingZooWrapper")
@pytest.mark.parametrize("env_id", IDS)
def test_mappo_through_the_pettingzoo_wrapper(env_id: str) -> None:
    parallel = mfnet_envs.parallel_env(env_id, "agents", population=5, max_cycles=HORIZON)
    train(PettingZooWrapper(parallel, return_state=True, seed=0), "agent", centralised=True, masked=True)


@pytest.mark.cell("torchrl", "teams", "Box logits", "MAPPO, PettingZooWrapper")
@pytest.mark.parametrize("env_id", IDS)
def test_mappo_of_teams_through_the_pettingzoo_wrapper(env_id: str) -> None:
    """The wrapper looks for one-hot codes of actions that have masks, unless told that they are not categorical."""
    parallel = mfnet_envs.parallel_env(env_id, "teams", population=20, max_cycles=HORIZON)
    env = PettingZooWrapper(parallel, return_state=True, seed=0, categorical_actions=False)
    train(env, "team", centralised=True)
