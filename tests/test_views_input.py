"""Bad input to the views: the right class and one sentence that says what to do, before anything has moved."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import mfnet_envs
from mfnet_envs.views import AgentsEnv, CentralEnv, TeamsEnv

ID = "MFNet-Grid-v0"


def ready(view: str, **options: Any) -> Any:
    env = mfnet_envs.parallel_env(ID, view=view, population=4, **options)
    env.reset(seed=0)
    return env


def play(view: str, env: Any = None, **changed: Any) -> Any:
    """A joint action of a started environment, with some of it changed."""
    env = ready(view) if env is None else env
    action = np.zeros(5, np.float32) if view == "teams" else 0
    return env.step({**dict.fromkeys(env.possible_agents, action), **changed})


@pytest.mark.parametrize("view", ["teams", "agents"])
def test_step_before_reset_and_after_the_end(view: str) -> None:
    env = mfnet_envs.parallel_env(ID, view=view, population=4, max_cycles=1)
    for step in (lambda: play(view, env), lambda: env.step_array(np.zeros(1))):
        with pytest.raises(gym.error.ResetNeeded, match=r"has not been reset: call reset\(\) before step\(\)"):
            step()
    env.reset(seed=0)
    play(view, env)
    for actions in ({}, dict.fromkeys(env.possible_agents, 0)):
        with pytest.raises(gym.error.ResetNeeded, match=r"the episode is over: call reset\(\) before step\(\)"):
            env.step(actions)


def test_step_before_reset_and_after_the_end_of_the_central_view() -> None:
    env = CentralEnv(mfnet_envs.make_model(ID), max_episode_steps=2)
    zero = np.zeros(125)
    with pytest.raises(gym.error.ResetNeeded, match="has not been reset"):
        env.step(zero)
    env.reset(seed=0)
    assert [env.step(zero)[3] for _ in range(2)] == [False, True]
    with pytest.raises(gym.error.ResetNeeded, match="the episode is over"):
        env.step(zero)
    env.reset()
    env.step(zero)


def test_the_horizon_is_the_scenarios_unless_asked() -> None:
    model = mfnet_envs.make_model(ID, horizon=7)
    assert TeamsEnv(model).max_cycles == AgentsEnv(model).max_cycles == CentralEnv(model).max_episode_steps == 7
    assert TeamsEnv(model, max_cycles=3).max_cycles == 3
    env = gym.make(ID, max_episode_steps=200)  # longer than the scenario's 150
    env.reset(seed=0)
    cut = [env.step(np.zeros(125, np.float32))[3] for _ in range(200)]
    assert cut == [False] * 199 + [True]


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "10"])
def test_bad_horizons(steps: Any) -> None:
    model = mfnet_envs.make_model(ID)
    with pytest.raises(ValueError, match="max_cycles must be a positive integer, not"):
        TeamsEnv(model, max_cycles=steps)
    with pytest.raises(ValueError, match="max_episode_steps must be a positive integer, not"):
        CentralEnv(model, max_episode_steps=steps)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full(5, np.nan), r"entry 0 of the action of team_3 is nan; logits must be numbers in \[-1, 1\]"),
        (np.array([0, 0, 1.5, 0, 0]), r"entry 2 of the action of team_3 is 1.5; logits must be numbers in \[-1, 1\]"),
        (np.array([0, 0, 0, 0, -np.inf]), "entry 4 of the action of team_3 is -inf"),
        (np.zeros(4), r"the action of team_3 must have shape \(5,\), not \(4,\)"),
        (0.5, r"the action of team_3 must have shape \(5,\), not \(\)"),
        (["a", "b", "c", "d", "e"], "actions must be an array of numbers"),
        (None, r"the action of team_3 must have shape \(5,\), not \(\)"),
    ],
)
def test_bad_actions_of_a_team(bad: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        play("teams", team_3=bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (5, r"the action of agent_2 is 5; it must be a whole number in 0..4"),
        (-1, r"the action of agent_2 is -1; it must be a whole number in 0..4"),
        (1.0, "4 whole numbers in 0..4, one per agent, not float64"),
        (float("nan"), "4 whole numbers in 0..4, one per agent, not float64"),
        ("stay", "4 whole numbers in 0..4"),
        (None, "4 whole numbers in 0..4, one per agent, not object"),
        ([1, 2], "4 whole numbers in 0..4"),
    ],
)
def test_bad_actions_of_an_agent(bad: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        play("agents", agent_2=bad)


@pytest.mark.parametrize("view", ["teams", "agents"])
def test_missing_and_unknown_agents(view: str) -> None:
    env = ready(view)
    prefix = view.removesuffix("s")
    joint = dict.fromkeys(env.possible_agents, np.zeros(5) if view == "teams" else 0)
    joint.pop(f"{prefix}_1")
    with pytest.raises(ValueError, match=f"there is no action for {prefix}_1; pass one for each of {prefix}_0 .."):
        env.step(joint)
    with pytest.raises(ValueError, match="there is an action for 'ghost', which is none of"):
        play(view, env, ghost=0)


@pytest.mark.parametrize("view", ["teams", "agents"])
@pytest.mark.parametrize("actions", [None, 3, [0, 0, 0, 0], np.zeros(4), "stay"])
def test_a_joint_action_is_a_dict(view: str, actions: Any) -> None:
    with pytest.raises(
        TypeError, match=f"step takes a dict with an action for each agent, not {type(actions).__name__}"
    ):
        ready(view).step(actions)


def test_bad_arrays() -> None:
    with pytest.raises(ValueError, match=r"actions must have shape \(25, 5\)"):
        ready("teams").step_array(np.zeros((24, 5)))
    with pytest.raises(ValueError, match=r"4 whole numbers in 0..4, one per agent, not shape \(3,\)"):
        ready("agents").step_array(np.zeros(3, int))
    central = CentralEnv(mfnet_envs.make_model(ID))
    central.reset(seed=0)
    for bad, message in (
        (np.zeros(124), r"actions must have shape \(125,\) \(25 teams of 5 numbers\), not \(124,\)"),
        (np.full(125, 2.0), "entry 0 of the action of team_0 is 2.0; logits must be numbers in"),
        (np.where(np.arange(125) == 33, np.nan, 0), "entry 3 of the action of team_6 is nan"),
    ):
        with pytest.raises(ValueError, match=message):
            central.step(bad)


def test_a_refused_action_moves_nothing() -> None:
    one, two = ready("teams"), ready("teams")
    with pytest.raises(ValueError):
        play("teams", one, team_0=np.full(5, 9.0))
    assert one.agents == two.agents
    play("teams", one)
    play("teams", two)
    np.testing.assert_array_equal(one.counts, two.counts)


def test_the_edge_of_the_box_belongs_to_it() -> None:
    """float32 rounding of a clipped action is not an error."""
    play("teams", team_0=np.array([1, -1, np.nextafter(np.float32(1), np.float32(2)), 0, 1], np.float32))


@pytest.mark.parametrize(
    ("view", "options", "message"),
    [
        ("teams", {"action": "logit"}, "action must be 'logits' or 'shares', not 'logit'"),
        ("teams", {"flow": "exact"}, "flow must be 'sample' or 'round', not 'exact'"),
        ("teams", {"logit_scale": 0}, "logit_scale must be a positive number, not 0"),
        ("teams", {"observe": "all"}, "observe must be 'own', 'hood' or a number of hops"),
        ("teams", {"observe": -1}, "observe must be 'own', 'hood' or a number of hops 0, 1, 2, ..., not -1"),
        (
            "agents",
            {"state_encoding": "hot"},
            "state_encoding must be 'onehot' or 'coordinates' or 'index' or 'none'",
        ),
        ("agents", {"reward": "sum"}, "reward must be 'individual' or 'mean', not 'sum'"),
        ("agents", {"render_mode": "rgb"}, "render_mode must be None or one of 'human', 'rgb_array', 'ansi'"),
    ],
)
def test_bad_options(view: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mfnet_envs.parallel_env(ID, view=view, **options)


def test_a_model_without_choices_has_no_teams() -> None:
    with pytest.raises(ValueError, match="no state of this model has more than one legal action"):
        mfnet_envs.parallel_env(ID, view="teams", rows=1, cols=1)


def test_masks_can_be_sampled_from() -> None:
    """``space.sample(info["action_mask"])`` works for every view, and marks illegal logits with the lowest value."""
    env = ready("teams")
    _, infos = env.reset(seed=0)
    drawn = env.action_space("team_0").sample(infos["team_0"]["action_mask"])
    assert (drawn[infos["team_0"]["action_mask"] == 0] == -1).all()
    assert env.action_space("team_0").contains(drawn)


def test_no_number_of_hops_is_too_many() -> None:
    """Nobody is farther away than all nodes: the same observation, at once."""
    far, near = ready("agents", observe=10**12), ready("agents", observe=24)
    np.testing.assert_array_equal(far.batch.observe(), near.batch.observe())
