"""The conformance kit: our views pass, each fault is named, other people's environments are judged as they are."""

import random
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import pettingzoo
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import seeding

import mfnet_envs
from mfnet_envs import tools
from mfnet_envs.conformance import (
    CHECKS,
    NotOffered,
    ParallelEnvConformance,
    Subject,
    check_parallel_env,
    examine,
)

AGENTS = ["die_0", "die_1"]


def spaces() -> dict[str, tuple[Any, Any]]:
    return {agent: (Box(0.0, 6.0, (2,), np.float32), Discrete(3)) for agent in AGENTS}


class Dice(pettingzoo.ParallelEnv[str, Any, Any]):
    """Two dice. Who calls (action 0, 1) adds a throw to the pot; action 2 is never legal. Keeps every promise."""

    metadata = {"name": "dice_v0", "render_modes": ["human", "ansi", "rgb_array"]}  # noqa: RUF012
    state_space = Box(0.0, 6.0, (2,), np.float32)

    def __init__(self, render_mode: str | None = None, max_cycles: int = 6) -> None:
        self.render_mode, self.max_cycles = render_mode, max_cycles
        self.possible_agents = list(AGENTS)
        self.spaces = spaces()
        self.rng, _ = seeding.np_random()

    def observation_space(self, agent: str) -> Any:
        return self.spaces[agent][0]

    def action_space(self, agent: str) -> Any:
        return self.spaces[agent][1]

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.rng, _ = seeding.np_random(seed)
        self.agents, self.clock = list(self.possible_agents), 0
        self.throw()
        return self.seen(), self.infos()

    def step(self, actions: Any) -> Any:
        if not self.agents:
            raise RuntimeError("the game is over")
        self.clock += 1
        self.throw()
        acted = self.agents
        over = self.is_over()
        rewards = {agent: float(self.eyes[i] * (actions[agent] == 0)) for i, agent in enumerate(acted)}
        seen, infos = self.seen(), self.infos()
        self.agents = [] if over else list(acted)
        return seen, rewards, dict.fromkeys(acted, False), dict.fromkeys(acted, over), infos

    def is_over(self) -> bool:
        return self.clock >= self.max_cycles

    def throw(self) -> None:
        self.eyes = (6 * self.rng.random(2)).astype(np.float32)  # fine enough that two throws never agree by chance

    def seen(self) -> dict[str, Any]:
        return {agent: self.eyes.copy() for agent in self.agents}

    def infos(self) -> dict[str, Any]:
        return {agent: {"action_mask": np.array([1, 1, 0], np.int8), "clock": self.clock} for agent in self.agents}

    def state(self) -> Any:
        return self.eyes.copy()

    def render(self) -> Any:
        return str(self.eyes) if self.render_mode == "ansi" else np.zeros((4, 5, 3), np.uint8)


def test_an_honest_environment_keeps_every_promise() -> None:
    found = check_parallel_env(Dice, steps=10)
    assert found.passed.keys() == CHECKS.keys() and not found.not_offered and not found.violations
    assert str(found).count("kept: ") == len(CHECKS)


@pytest.mark.parametrize("view", ["teams", "agents"])
def test_our_views_keep_every_promise(view: str) -> None:
    make = partial(mfnet_envs.parallel_env, "MFNet-Grid-v0", view, population=7, max_cycles=8)
    assert check_parallel_env(make, steps=10).passed.keys() == CHECKS.keys()


class TestInheriting(ParallelEnvConformance):
    """The kit as its users meet it."""

    steps = 8

    def make_env(self, **options: Any) -> Any:
        return mfnet_envs.parallel_env("MFNet-RideShareNYC-v0", population=9, max_cycles=6, **options)


# -- faults ---------------------------------------------------------------------------------------------------------


class OneDict(Dice):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed)[0]


class NobodysReward(Dice):
    def step(self, actions: Any) -> Any:
        seen, rewards, *rest = super().step(actions)
        del rewards["die_1"]
        return seen, rewards, *rest


class NewSpaces(Dice):
    def action_space(self, agent: str) -> Any:
        return Discrete(3)


class DoublePrecision(Dice):
    def seen(self) -> dict[str, Any]:
        return {agent: eyes.astype(np.float64) for agent, eyes in super().seen().items()}


class SevenEyes(Dice):
    def throw(self) -> None:
        super().throw()
        self.eyes = np.array([7, 7], np.float32)


class RewardArrays(Dice):
    def step(self, actions: Any) -> Any:
        seen, rewards, *rest = super().step(actions)
        return seen, {agent: np.array([reward]) for agent, reward in rewards.items()}, *rest


class InfiniteReward(Dice):
    def step(self, actions: Any) -> Any:
        seen, rewards, *rest = super().step(actions)
        return seen, dict.fromkeys(rewards, float("nan")), *rest


class NumpyFlags(Dice):
    def step(self, actions: Any) -> Any:
        seen, rewards, over, cut, infos = super().step(actions)
        return seen, rewards, over, {agent: np.bool_(flag) for agent, flag in cut.items()}, infos


class NobodyLeaves(Dice):
    def step(self, actions: Any) -> Any:
        answer = super().step(actions)
        self.agents = list(AGENTS)
        return answer


class WalksOut(Dice):
    """die_1 disappears in the second step without a word."""

    def step(self, actions: Any) -> Any:
        answer = super().step(actions)
        self.agents = [agent for agent in self.agents if agent == "die_0" or self.clock < 2]
        return answer


class WordsInInfos(Dice):
    def infos(self) -> dict[str, Any]:
        return {agent: {**info, "mood": "glad"} for agent, info in super().infos().items()}


class NewKeys(Dice):
    def infos(self) -> dict[str, Any]:
        return {agent: {**info, **({"late": 1} if self.clock else {})} for agent, info in super().infos().items()}


class LongMask(Dice):
    def infos(self) -> dict[str, Any]:
        return {agent: {**info, "action_mask": np.ones(4, np.int8)} for agent, info in super().infos().items()}


class BoolMask(Dice):
    def infos(self) -> dict[str, Any]:
        return {agent: {"action_mask": info["action_mask"] > 0} for agent, info in super().infos().items()}


class OneBuffer(Dice):
    """Writes every throw into the same array and hands that out."""

    def throw(self) -> None:
        if not hasattr(self, "eyes"):
            self.eyes = np.zeros(2, np.float32)
        self.eyes[:] = self.rng.integers(1, 7, 2)

    def seen(self) -> dict[str, Any]:
        return dict.fromkeys(self.agents, self.eyes)


class OneBufferEach(OneBuffer):
    def seen(self) -> dict[str, Any]:
        if not hasattr(self, "buffers"):
            self.buffers = {agent: np.zeros(2, np.float32) for agent in AGENTS}
        for agent in self.agents:
            self.buffers[agent][:] = self.eyes
        return {agent: self.buffers[agent] for agent in self.agents}


class OneObservationDict(Dice):
    def seen(self) -> dict[str, Any]:
        if not hasattr(self, "dict"):
            self.dict: dict[str, Any] = {}
        self.dict.update(super().seen())
        return self.dict


class WideState(Dice):
    def state(self) -> Any:
        return np.append(self.eyes, self.eyes)


class HiddenState(Dice):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.state: Any = {}


class FaultyState(Dice):
    def state(self) -> Any:
        return self.nothing_of_that_name  # type: ignore[attr-defined]


class PlaysOn(Dice):
    def step(self, actions: Any) -> Any:
        if self.agents:
            return super().step(actions)
        return self.seen(), dict.fromkeys(AGENTS, 1.0), {}, {}, {}


class TimeKills(Dice):
    """Reports its time limit as termination."""

    def step(self, actions: Any) -> Any:
        seen, rewards, over, cut, infos = super().step(actions)
        return seen, rewards, cut, over, infos


class OneMore(Dice):
    """Off by one."""

    def is_over(self) -> bool:
        return self.clock > self.max_cycles


class Unseeded(Dice):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.rng = np.random.default_rng()
        return super().reset(None)


class LateNoise(Dice):
    """Seeded at reset, unseeded from the third step on: PettingZoo's parallel seed test looks at the first only."""

    def throw(self) -> None:
        if self.clock == 3:
            self.rng = np.random.default_rng()
        super().throw()


class Remembers(Dice):
    """A second episode under the same seed starts where the first one left the score."""

    score = 0

    def infos(self) -> dict[str, Any]:
        self.score += 1
        return {agent: {**info, "score": self.score} for agent, info in super().infos().items()}


class HashSeed(Dice):
    """Mixes the hash of a word into the seed, which is another one in every process."""

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(None if seed is None else seed + abs(hash("dice")) % 10_000)


class OnlyAtTheStart(Dice):
    """Seeds its generator when it is made, and never again."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.rng = np.random.default_rng(0)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(None)


class DeafToSeeds(Dice):
    """Every seed is seed 0."""

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(None if seed is None else 0)


class SameAgain(Dice):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed or 0)


class NewEntropy(Dice):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is None:
            self.rng = np.random.default_rng()
        return super().reset(seed)


class GlobalNumpy(Dice):
    def throw(self) -> None:
        self.eyes = np.random.randint(1, 7, 2).astype(np.float32)  # noqa: NPY002


class GlobalRandom(Dice):
    def throw(self) -> None:
        super().throw()
        self.eyes[0] = random.randint(1, 6)


class NoPickle(Dice):
    def __getstate__(self) -> Any:
        raise TypeError("cannot pickle 'generator' object")


class PickleForgets(Dice):
    """The copy lost its length."""

    def __getstate__(self) -> Any:
        return {**self.__dict__, "max_cycles": 4}


class GreyPicture(Dice):
    def render(self) -> Any:
        return super().render() if self.render_mode == "ansi" else np.zeros((4, 5), np.uint8)


class NeedsADisplay(Dice):
    def render(self) -> Any:
        import os

        return super().render() if os.environ["DISPLAY"] else None


class AgentsInATuple(Dice):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        answer = super().reset(seed)
        self.agents: Any = tuple(self.agents)
        return answer


FAULTS = [
    (OneDict, "answers", r"reset must return a tuple \(observations, infos\), not dict"),
    (NobodysReward, "answers", r"the rewards at step 1 have no entry for \['die_1'\]"),
    (AgentsInATuple, "answers", "agents must be a list, not tuple"),
    (NewSpaces, "spaces", r"action_space\('die_0'\) returns another object at every call"),
    (DoublePrecision, "observations", "'die_0' at reset is not in its space: its dtype is float64, not float32"),
    (SevenEyes, "observations", "is not in its space: an entry is 7, outside the bounds"),
    (RewardArrays, "rewards", "the reward of 'die_0' at step 1 must be a float, not ndarray"),
    (InfiniteReward, "rewards", "the reward of 'die_0' at step 1 is nan; rewards must be finite"),
    (NumpyFlags, "flags", "the truncations of 'die_0' at step 1 must be True or False, not a numpy.bool_?"),
    (NobodyLeaves, "agents", r"\['die_0'\] is terminated or truncated at step 6 and still in agents"),
    (WalksOut, "agents", r"\['die_1'\] left agents at step 2 without being terminated or truncated"),
    (WordsInInfos, "infos", "the info of 'die_0' at reset holds something not numeric under 'mood'"),
    (NewKeys, "infos", "the info of 'die_0' at step 1 has other keys than the first info: late"),
    (LongMask, "masks", r"the action_mask of 'die_0' at reset must have shape \(3,\), not \(4,\)"),
    (BoolMask, "masks", "the action_mask of 'die_0' at reset must be an int8 array, not bool"),
    (OneBuffer, "fresh memory", "'die_0' and 'die_1' were handed the same memory in the observations at reset"),
    (OneBufferEach, "fresh memory", "an array in the observations of 'die_0' at reset has changed since"),
    (OneObservationDict, "fresh memory", "the dict of observations at step 1 is the one at reset"),
    (WideState, "state", r"state\(\) at reset is not in state_space: its shape is \(4,\), not \(2,\)"),
    (HiddenState, "state", r"state\(\) raises TypeError: 'dict' object is not callable"),
    (FaultyState, "state", r"state\(\) raises AttributeError: .*nothing_of_that_name"),
    (PlaysOn, "end", "a step after the end plays on"),
    (TimeKills, "horizon", "the time limit max_cycles = 6 is reported as termination"),
    (OneMore, "horizon", "the episode goes on after max_cycles = 6 steps"),
    (Unseeded, "same seed", "in a second instance: the observations at reset differ"),
    (LateNoise, "same seed", "in a second instance: the observations at step 3 differ"),
    (Remembers, "same seed", "in the same instance, reset once more: the infos at reset differ"),
    (OnlyAtTheStart, "same seed", "in the same instance, reset once more: the observations at reset differ"),
    (HashSeed, "fresh process", "in a fresh process: the observations at reset differ"),
    (DeafToSeeds, "other seeds", "reset ignores its seed"),
    (SameAgain, "random stream", r"reset\(\) without a seed starts the same episode again"),
    (NewEntropy, "random stream", r"reset\(\) without a seed draws a new seed from outside"),
    (GlobalNumpy, "global generators", "uses the global generator of `numpy.random`"),
    (GlobalRandom, "global generators", "uses the global generator of `random`"),
    (NoPickle, "pickling", "says it can be pickled and cannot: TypeError: cannot pickle 'generator' object"),
    (PickleForgets, "pickling", "in a pickled copy: the truncations at step 4 differ"),
    (GreyPicture, "rendering", r"render_mode='rgb_array' returns uint8 of shape \(4, 5\), not uint8 of shape \(height"),
    (NeedsADisplay, "rendering", "render_mode='ansi' without a display raises KeyError"),
    (NobodyLeaves, "PettingZoo's tests", "PettingZoo's parallel_api_test fails"),
]


@pytest.mark.parametrize(("fault", "check", "sentence"), FAULTS)
def test_each_fault_is_named(fault: type[Dice], check: str, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence) as violation:
        CHECKS[check](Subject(fault, steps=10))
    assert "\n" not in str(violation.value)


def test_what_pettingzoos_seed_test_lets_pass_is_found() -> None:
    """The reason for a test of our own: noise from the third step on."""
    CHECKS["PettingZoo's tests"](Subject(LateNoise, steps=10))
    with pytest.raises(AssertionError):
        CHECKS["same seed"](Subject(LateNoise, steps=10))


class Bare(pettingzoo.ParallelEnv[str, Any, Any]):
    """Nothing but what must be: no masks, state, horizon, pictures, randomness, and no end."""

    possible_agents = ["alone_0"]  # noqa: RUF012
    metadata = {"name": "bare_v0"}  # noqa: RUF012

    def __init__(self) -> None:
        self.spaces = spaces()["die_0"]

    def observation_space(self, agent: str) -> Any:
        return self.spaces[0]

    def action_space(self, agent: str) -> Any:
        return self.spaces[1]

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents = ["alone_0"]
        return {"alone_0": np.zeros(2, np.float32)}, {"alone_0": {}}

    def step(self, actions: Any) -> Any:
        false = {"alone_0": False}
        return {"alone_0": np.ones(2, np.float32)}, {"alone_0": 1.0}, false, dict(false), {"alone_0": {}}


def test_what_is_not_offered_is_said_and_not_held_against() -> None:
    found = check_parallel_env(Bare(), steps=5)  # an instance: it is copied
    assert found.not_offered == {
        "masks": "no action_mask is offered",
        "state": "there is no state()",
        "end": "no episode ends within 5 steps",
        "horizon": "there is no max_cycles",
        "other seeds": "nothing is random",
        "rendering": 'metadata["render_modes"] names no mode but "human"',
    }


def test_all_violations_are_reported_at_once() -> None:
    class Sloppy(NumpyFlags, GlobalRandom):
        pass

    with pytest.raises(AssertionError, match="must be True or False") as violation:
        check_parallel_env(Sloppy, steps=5)
    assert "global generator of `random`" in str(violation.value)


def test_broken_answers_end_the_examination() -> None:
    assert examine(OneDict, steps=5).violations.keys() == {"answers"}


def test_what_is_no_environment_is_refused() -> None:
    with pytest.raises(TypeError, match="hand over a PettingZoo environment or a function that makes one, not int"):
        examine(3)
    with pytest.raises(TypeError, match="must return a PettingZoo environment, not dict"):
        examine(dict)


def test_a_mixin_says_what_to_write() -> None:
    with pytest.raises(NotImplementedError, match=r"write make_env\(self, \*\*options\)"):
        ParallelEnvConformance().test_flags_are_bools()


def test_what_does_not_apply_is_skipped_in_the_mixin() -> None:
    import unittest

    class Mine(ParallelEnvConformance):
        steps = 5

        def make_env(self) -> Any:  # type: ignore[override]
            return Bare()

    Mine().test_flags_are_bools()
    with pytest.raises(unittest.SkipTest, match=r"there is no state\(\)"):
        Mine().test_the_state_lies_in_its_space()


def test_checks_outlive_an_environment_that_cannot_travel() -> None:
    import threading

    lock = threading.Lock()

    def make(**options: Any) -> Any:
        assert not lock.locked()
        return Dice(**options)

    with pytest.raises(NotOffered, match="cannot be sent to another process"):
        CHECKS["fresh process"](Subject(make, steps=3))


# -- from the command line, and other people's environments ---------------------------------------------------------


def test_a_strangers_class_is_checked_by_name() -> None:
    report = tools.check("test_testing:Dice", max_cycles=5)
    assert report.startswith("test_testing:Dice: the environment keeps the contract") and "kept: same seed" in report
    with pytest.raises(AssertionError, match="must be True or False"):
        tools.check("test_testing:NumpyFlags")


def test_a_turn_based_environment_is_wrapped() -> None:
    """Rock, paper, scissors and its like: everybody's turns make one step."""
    make = partial(mfnet_envs.env, "MFNet-Grid-v0", "teams", rows=1, cols=2, population=5, max_cycles=4)
    violations = examine(make, steps=6).violations
    assert violations.keys() <= {"PettingZoo's tests"}, violations


def test_pettingzoos_example_of_new_agents() -> None:
    """It makes up agents as it goes and lists none beforehand."""
    from pettingzoo.test.example_envs import generated_agents_parallel_v0

    found = examine(generated_agents_parallel_v0.parallel_env, steps=20)
    assert found.violations == {"answers": "possible_agents is missing; list every agent that may ever act"}


@pytest.mark.skipif(find_spec("pygame") is None, reason="PettingZoo's games need pygame: pip install pygame-ce")
def test_pettingzoos_rock_paper_scissors() -> None:
    """Its board hides ``state()``: ``state`` is a dict. Everything else is in order."""
    from pettingzoo.classic import rps_v2

    found = examine(rps_v2.parallel_env, steps=20)
    assert found.violations == {"state": "state() raises TypeError: 'dict' object is not callable"}


@pytest.mark.skipif(find_spec("mpe2") is None, reason="pip install mpe2")
def test_a_third_partys_particles() -> None:
    from mpe2 import simple_spread_v3

    found = check_parallel_env(simple_spread_v3.parallel_env, steps=30)
    assert found.not_offered == {"masks": "no action_mask is offered"}
