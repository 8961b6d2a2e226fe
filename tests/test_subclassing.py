"""Every scenario is a class that can be subclassed in a few lines, registered, and played through every door."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import mfnet_envs
from mfnet_envs import LocalModel, Simulator
from mfnet_envs.conformance.models import check_model
from mfnet_envs.registration import scenarios
from mfnet_envs.scenarios.grid_v0 import Grid

SHIPPED = sorted(id for id in scenarios() if id.startswith("MFNet-"))
OPTIONS: dict[str, Any] = {"MFNet-RideShareNYC-v0": {"occupied": "markov"}}


def halved(env_id: str) -> type[LocalModel]:
    """The scenario's class with half the reward: exact in floating point."""
    kind: Any = scenarios()[env_id].load()
    assert isinstance(kind, type) and issubclass(kind, LocalModel)

    class Half(kind):  # type: ignore[misc]
        def reward(self, mu_hood: Any) -> Any:
            return 0.5 * super().reward(mu_hood)

    return Half


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize("env_id", SHIPPED)
def test_a_subclass_goes_through_every_door(env_id: str) -> None:
    """Every view pays half of what it pays without the subclass, for the same seed and actions."""
    options = {"population": 20, **OPTIONS.get(env_id, {})}
    mfnet_envs.register("Half-v0", halved(env_id))
    model = mfnet_envs.make_model("Half-v0", **options)
    check_model(model)
    assert type(model.fluid()) is type(model) and model.bound() is None
    for view in ("teams", "agents"):
        usual, half = (mfnet_envs.parallel_env(id, view, **options) for id in (env_id, "Half-v0"))
        observations = [env.reset_array(seed=3)[0] for env in (usual, half)]
        np.testing.assert_array_equal(*observations)
        actions = first_actions(usual)
        np.testing.assert_array_equal(0.5 * usual.step_array(actions)[1], half.step_array(actions)[1])
        aec = mfnet_envs.env("Half-v0", view, **options)
        aec.reset(seed=3)
        for row in actions:
            aec.step(row if view == "teams" else int(row))
        assert list(aec.rewards.values()) == half_of(mfnet_envs.parallel_env(env_id, view, **options), actions)
    for make in (gym.make, gym.make_vec):
        usual, half = (make(id, **options) for id in (env_id, "Half-v0"))
        for env in (usual, half):
            env.reset(seed=3)
        usual.action_space.seed(0)
        action = usual.action_space.sample()
        np.testing.assert_array_equal(0.5 * usual.step(action)[1], half.step(action)[1])


def first_actions(env: Any) -> np.ndarray:
    """One action for each of the environment's agents, always the same."""
    space = env.action_space(env.possible_agents[0])
    space.seed(0)
    return np.stack([space.sample() for _ in env.possible_agents])


def half_of(env: Any, actions: np.ndarray) -> list[float]:
    env.reset_array(seed=3)
    return [float(reward) for reward in 0.5 * env.step_array(actions)[1]]


class Tipped(Grid):
    """A tenth on top of every fare."""

    def branch_rewards(self) -> Any:
        return super().branch_rewards() * [1.1, 1.0]


@pytest.mark.usefixtures("forget")
def test_five_lines_are_enough() -> None:
    """The subclass has the options, the errors, the bound and the heuristics of its parent."""
    mfnet_envs.register("Tipped-v0", Tipped)
    model = mfnet_envs.make_model("Tipped-v0", population=30, fare=2.0, move_cost=0.0, horizon=20)
    assert isinstance(model, Tipped) and model.reward_range == (0.0, pytest.approx(2.2))
    usual = Grid(population=30, fare=2.0, move_cost=0.0, horizon=20)
    bound = model.bound()
    assert bound is not None and bound.value == pytest.approx(1.1 * usual.bound().value)
    assert model.heuristics().keys() == usual.heuristics().keys()
    check_model(model)
    with pytest.raises(TypeError, match="did you mean 'move_cost'"):
        mfnet_envs.make_model("Tipped-v0", mov_cost=0.3)


@pytest.mark.parametrize("env_id", SHIPPED)
def test_a_page_has_words_for_every_heuristic(env_id: str) -> None:
    """What moves, where, what each reference policy and the learner must know; no word about something that is not."""
    for options in ({}, {"mode": "aloha"}) if env_id == "MFNet-Resource-v0" else ({},):
        model = scenarios()[env_id].load()(population=20, **OPTIONS.get(env_id, {}), **options)
        words, named = model.wording, set(model.heuristics())
        assert words.agents and words.place and words.learner_needs
        assert named <= set(words.needs)
        if env_id != "MFNet-Resource-v0":
            assert set(words.labels) | set(words.needs) <= named


def test_the_limit_is_a_copy() -> None:
    """The limit keeps what a subclass has set, and leaves the model as it was."""
    model = Tipped(population=10)
    model.note = "kept"  # type: ignore[attr-defined]
    limit = model.fluid()
    assert limit.note == "kept" and limit.is_fluid and not model.is_fluid  # type: ignore[attr-defined]
    counts = Simulator(model).reset(np.random.default_rng(0), 2)
    hood = Simulator(model).mu_hood(counts)
    assert (limit.served(hood) > model.served(hood)).any()
