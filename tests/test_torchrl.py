"""TorchRL: the native environment against the PettingZoo view, TorchRL's own wrapper and its own checks."""

import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper, PettingZooWrapper, SerialEnv
from torchrl.envs.utils import ExplorationType, check_env_specs, set_exploration_type
from torchrl.modules import MaskedCategorical, MultiAgentMLP, ProbabilisticActor
from torchrl.objectives.value import GAE

import mfnet_envs
from mfnet_envs import registration
from mfnet_envs.adapters.torchrl import MFNetEnv
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.registration import scenarios

VIEWS = ("agents", "teams")
FORMS = [("agents", True), ("agents", False), ("teams", False)]  # view, categorical actions
GRID: dict[str, Any] = {"population": 12, "rows": 3, "cols": 3, "max_cycles": 5}


class Wage(LocalModel):
    """Everybody earns 1 a step, wherever he goes."""

    def __init__(self, population: int = 4) -> None:
        network = StateNetwork.ring(3)
        super().__init__(
            network=network,
            population=population,
            num_actions=3,
            branches=(Branch.to(network.neighbors),),
            reward_range=(1.0, 1.0),
            evaluation=(2, 0),
        )

    def reward(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), 3, 3))

    def branch_weights(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), 3, 1, 1))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """TorchRL's wrapper warns of every PettingZoo but 1.24.3."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PettingZoo in TorchRL is tested")
        yield


def wrapper(view: str, is_categorical: bool, **options: Any) -> PettingZooWrapper:
    env = mfnet_envs.parallel_env("MFNet-Grid-v0", view, **options)
    return PettingZooWrapper(env, return_state=True, categorical_actions=is_categorical)


def same(one: TensorDict, two: TensorDict) -> None:
    """The same keys, types and bits."""
    keys = set(one.keys(True, True))
    assert keys == set(two.keys(True, True))
    for key in keys:
        torch.testing.assert_close(one[key], two[key], rtol=0, atol=0, msg=lambda text, key=key: f"{key}: {text}")


# -- specs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("env_id", sorted(scenarios()))
def test_torchrl_check_env_specs(env_id: str, view: str) -> None:
    check_env_specs(MFNetEnv(env_id, view, 2, population=6, max_cycles=8))


@pytest.mark.parametrize(("view", "is_categorical"), FORMS)
def test_keys_shapes_and_types_are_those_of_the_pettingzoo_wrapper(view: str, is_categorical: bool) -> None:
    theirs = wrapper(view, is_categorical, **GRID)
    ours = MFNetEnv("MFNet-Grid-v0", view, categorical_actions=is_categorical, **GRID)
    wanted, got = (dict(env.specs.items(True, True)) for env in (theirs, ours))
    assert got.keys() == wanted.keys() and len(got) == 12
    for key, spec in wanted.items():
        assert got[key] == spec.expand(1, *spec.shape), key
    assert ours.group_map == theirs.group_map
    assert (ours.batch_size, theirs.batch_size) == ((1,), ())


def test_one_hot_actions_are_those_of_the_numbers() -> None:
    numbers, codes = (MFNetEnv("MFNet-Grid-v0", num_worlds=3, seed=1, categorical_actions=c, **GRID) for c in (1, 0))
    before = numbers.reset(), codes.reset()
    action = numbers.rand_action(before[0].clone())["agent", "action"]
    one_hot = torch.nn.functional.one_hot(action, 5)
    before[0]["agent", "action"], before[1]["agent", "action"] = action, one_hot
    same(numbers.step(before[0])["next"], codes.step(before[1])["next"])


# -- the same game ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_one_world_is_the_pettingzoo_environment(view: str) -> None:
    """Two episodes: the random stream goes on over the reset."""
    options = {**GRID, "observe": "hood"}
    env = MFNetEnv("MFNet-Grid-v0", view, seed=11, **options)
    torch.manual_seed(0)
    played = env.rollout(10, break_when_any_done=False)[0]
    theirs = mfnet_envs.parallel_env("MFNet-Grid-v0", view, **options)
    observations, info = theirs.reset_array(seed=11)
    for step in played:
        group = step[env.group]
        assert group["observation"].numpy().tobytes() == observations.tobytes()
        assert group["action_mask"].numpy().astype(np.int8).tobytes() == info["action_mask"].tobytes()
        assert step["state"].numpy().tobytes() == theirs.state().tobytes()
        observations, rewards, _, over, info = theirs.step_array(group["action"].numpy())
        after = step["next", env.group]
        assert after["observation"].numpy().tobytes() == observations.tobytes()
        assert step["next", "state"].numpy().tobytes() == theirs.state().tobytes()
        assert after["reward"].numpy().tobytes() == rewards.astype(np.float32).tobytes()
        assert after["info", "served"].numpy().tobytes() == info["served"].astype(np.float32).tobytes()
        if over:
            observations, info = theirs.reset_array()
    assert played["next", "done"].squeeze().tolist() == 2 * [False, False, False, False, True]


@pytest.mark.parametrize(("view", "is_categorical"), FORMS)
def test_a_rollout_is_that_of_the_pettingzoo_wrapper(view: str, is_categorical: bool) -> None:
    """Every key of an episode, but for the masks after its end: the wrapper sets them to True."""
    env = MFNetEnv("MFNet-Grid-v0", view, seed=5, categorical_actions=is_categorical, **GRID)
    played = env.rollout(10)[0]
    theirs = wrapper(view, is_categorical, **GRID)
    step = theirs.reset(seed=5)
    assert len(played) == 5
    for ours in played:
        step[env.group, "action"] = ours[env.group, "action"].clone()
        step = theirs.step(step)
        if ours["next", "done"]:
            step["next", env.group, "action_mask"] = ours["next", env.group, "action_mask"]
        same(ours, step)
        step = step["next"].exclude((env.group, "reward"))


@pytest.mark.parametrize("view", VIEWS)
def test_same_seed_same_bits(view: str) -> None:
    def rollout(seed: int, door: str) -> TensorDict:
        env = MFNetEnv("MFNet-Grid-v0", view, 3, seed=seed if door == "constructor" else None, **GRID)
        if door == "set_seed":
            env.set_seed(seed)
        torch.manual_seed(0)
        if door == "reset":
            return env.rollout(12, break_when_any_done=False, auto_reset=False, tensordict=env.reset(seed=seed))
        return env.rollout(12, break_when_any_done=False)

    first = rollout(3, "constructor")
    for door in ("constructor", "set_seed", "reset"):
        same(first, rollout(3, door))
    assert not torch.equal(first["state"], rollout(4, "constructor")["state"])
    worlds = first["state"].unbind(0)
    assert not torch.equal(worlds[0], worlds[1]) and not torch.equal(worlds[1], worlds[2])


def test_a_collector_is_reproducible_when_the_environment_is_seeded_first() -> None:
    def collect() -> list[TensorDict]:
        torch.manual_seed(0)
        env = MFNetEnv("MFNet-Grid-v0", num_worlds=4, seed=2, **GRID)
        return [batch.clone() for batch in Collector(env, None, frames_per_batch=32, total_frames=96)]

    one, two = collect(), collect()
    assert [batch.shape for batch in one] == 3 * [(4, 8)]
    for first, second in zip(one, two, strict=True):
        same(first.exclude("collector"), second.exclude("collector"))
    done = torch.cat([batch["next", "done"].squeeze(-1) for batch in one], 1)
    assert done.tolist() == 4 * [[t % 5 == 4 for t in range(24)]]


# -- fresh arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_what_was_handed_out_stays_as_it_was(view: str) -> None:
    """Tensors share memory with numpy arrays, so no array may be used twice: keep everything, then spoil it."""
    tidy, careless = (MFNetEnv("MFNet-Grid-v0", view, 2, seed=0, **GRID) for _ in range(2))
    step, kept, copies = tidy.reset(), [], []
    careless.reset()
    for _ in range(4):
        step = tidy.rand_action(step)
        mine = careless.step(step.clone())["next"]
        kept.append(mine)
        copies.append(mine.clone())
        step = tidy.step(step)["next"].exclude((tidy.group, "reward"))
        same(step, mine.exclude((tidy.group, "reward")))
        for old, copy in zip(kept, copies, strict=True):
            same(old, copy)
        mine.apply_(lambda tensor: tensor.fill_(1))
        copies[-1] = mine.clone()
    memory = [tensor.data_ptr() for old in kept for tensor in old.values(True, True)]
    assert len(set(memory)) == len(memory) == 4 * 11


# -- masks ------------------------------------------------------------------------------------------------------------


def masked_actor(env: MFNetEnv) -> ProbabilisticActor:
    size, num_actions = env.worlds.observer.size, env.worlds.model.num_actions
    net = MultiAgentMLP(size, num_actions, env.worlds.num_actors, centralized=False, share_params=True, depth=1)
    keys = {"logits": ("agent", "logits"), "mask": ("agent", "action_mask")}
    return ProbabilisticActor(
        TensorDictModule(net, [("agent", "observation")], [("agent", "logits")]),
        in_keys=keys,
        out_keys=[("agent", "action")],
        distribution_class=MaskedCategorical,
    )


@pytest.mark.parametrize("env_id", ["MFNet-Grid-v0", "MFNet-RideShareNYC-v0"])
@pytest.mark.parametrize("is_random", [True, False])
def test_no_illegal_action_is_drawn(env_id: str, is_random: bool) -> None:
    torch.manual_seed(0)
    env = MFNetEnv(env_id, num_worlds=8, population=30, max_cycles=10, seed=0)
    with set_exploration_type(ExplorationType.RANDOM):  # a rollout plays the mode otherwise
        played = env.rollout(40, None if is_random else masked_actor(env), break_when_any_done=False)
    mask, action = played["agent", "action_mask"], played["agent", "action"]
    assert mask.gather(-1, action[..., None]).all()
    assert (~mask).any() and set(action.unique().tolist()) == set(range(env.worlds.model.num_actions))


# -- the horizon ------------------------------------------------------------------------------------------------------


@pytest.fixture
def wage(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(registration._SCENARIOS, "Wage-v0", registration.Scenario("Wage-v0", Wage, 2, "wage"))
    return "Wage-v0"


@pytest.mark.parametrize("view", VIEWS)
def test_values_bootstrap_at_the_horizon(view: str, wage: str) -> None:
    """gamma = 1/2, value 4 everywhere, horizon 2; an agent earns 1 a step, and so do three teams together.

    An agent: the last step's advantage is 1 + 4/2 - 4 = -1, the first one's 1 + 1/2 + 4/4 - 4 = -1.5. Without a
    bootstrap they were -3 and -2.5. A team's reward is its share of the agents, so the sums over the teams are
    1 + 12/2 - 12 = -5 and 1 + 1/2 + 12/4 - 12 = -7.5.
    """
    env = MFNetEnv(wage, view, 5, seed=0)
    played = env.rollout(4, break_when_any_done=False)
    group = played["next", env.group]
    assert group["truncated"].squeeze(-1).all(-1).tolist() == 5 * [[False, True, False, True]]
    assert torch.equal(group["truncated"], group["done"]) and not group["terminated"].any()
    constant = TensorDictModule(
        lambda seen: torch.full((*seen.shape[:-1], 1), 4.0), [(env.group, "observation")], [(env.group, "state_value")]
    )
    gae = GAE(gamma=0.5, lmbda=1.0, value_network=constant, average_gae=False)
    names = ("reward", "value", "done", "terminated", "advantage", "value_target")
    gae.set_keys(**{name: (env.group, "state_value" if name == "value" else name) for name in names})
    advantage = gae(played)[env.group, "advantage"].squeeze(-1)
    if view == "agents":
        assert torch.equal(advantage, torch.tensor([-1.5, -1.0, -1.5, -1.0])[:, None].expand(5, 4, 4))
    else:
        torch.testing.assert_close(advantage.sum(-1), torch.tensor([-7.5, -5.0, -7.5, -5.0]).expand(5, 4))


def test_worlds_are_reset_together() -> None:
    env = MFNetEnv("MFNet-Grid-v0", num_worlds=3, **GRID)
    start = env.reset()
    for some in ([True, False, False], [False, False, False]):
        with pytest.raises(RuntimeError, match="all worlds share a clock and end together, so reset them together"):
            env.reset(start.clone().set("_reset", torch.tensor(some)[:, None]))
    again = env.reset(start.clone().set("_reset", torch.ones(3, 1, dtype=torch.bool)))
    assert env.worlds.clock == 0 and not torch.equal(again["state"], start["state"])


def test_worlds_that_are_reset_one_by_one() -> None:
    """What the sentence above advises."""
    horizons = iter((2, 3))
    env = SerialEnv(2, [lambda h=h: MFNetEnv("MFNet-Grid-v0", **{**GRID, "max_cycles": h}) for h in horizons])
    env.set_seed(0)
    done = env.rollout(6, break_when_any_done=False)["next", "done"].squeeze()
    assert done.tolist() == [[t % 2 == 1 for t in range(6)], [t % 3 == 2 for t in range(6)]]


def test_a_step_after_the_end_is_refused() -> None:
    env = MFNetEnv("MFNet-Grid-v0", **GRID)
    last = env.rollout(5)[:, -1]["next"]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.rand_action(last))


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_clear_errors() -> None:
    with pytest.raises(ValueError, match=r"view must be 'teams' or 'agents', not 'central'; the central view is gym"):
        MFNetEnv("MFNet-Grid-v0", "central")
    with pytest.raises(ValueError, match="num_worlds must be a positive"):
        MFNetEnv("MFNet-Grid-v0", num_worlds=0)
    env = MFNetEnv("MFNet-Grid-v0", "teams", num_worlds=2, **GRID)
    step = env.rand_action(env.reset())
    step["team", "action"][1, 4, 2] = 1.5
    with pytest.raises(ValueError, match=r"entry 2 of the action of team_4 is 1\.5"):
        env.step(step)


def test_a_pickled_environment_goes_on_like_the_original() -> None:
    env = MFNetEnv("MFNet-Grid-v0", num_worlds=2, seed=1, **GRID)
    start = env.rand_action(env.reset())
    twin = pickle.loads(pickle.dumps(env))
    same(env.step(start.clone()), twin.step(start.clone()))


def test_the_central_view_needs_no_adapter() -> None:
    """One planner, and many in one array; each keeps the last observation of an episode apart from the next start."""
    options: dict[str, Any] = {"population": 20, "max_episode_steps": 5}
    check_env_specs(GymWrapper(gym.make("MFNet-Grid-v0", **options)))
    for mode in ("Disabled", "SameStep"):
        env = GymWrapper(gym.make_vec("MFNet-Grid-v0", num_envs=3, autoreset_mode=mode, **options))
        played = env.rollout(10, break_when_any_done=False)
        done = played["next", "truncated"].squeeze(-1)
        assert done.tolist() == 3 * [2 * [False, False, False, False, True]]
        assert not played["next", "terminated"].any()
        torch.testing.assert_close(played["next", "observation"].sum(-1), torch.ones(3, 10))
        continues = (played["next", "observation"][:, :-1] == played["observation"][:, 1:]).all(-1)
        assert continues.tolist() == (~done[:, :-1]).tolist()
