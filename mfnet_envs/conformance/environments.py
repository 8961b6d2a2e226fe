"""A conformance kit for anyone's PettingZoo environment: stricter than PettingZoo's own tests, one sentence a fault.

As a mixin, the checks become tests of their own:

>>> from mfnet_envs.conformance import ParallelEnvConformance
>>> class TestMyEnv(ParallelEnvConformance):
...     def make_env(self, **options):
...         import mfnet_envs
...         return mfnet_envs.parallel_env("MFNet-Grid-v0", population=6, max_cycles=5, **options)
>>> TestMyEnv().test_observations_lie_in_their_spaces()

As a function, :func:`check_parallel_env` runs them all; ``mfnet env check module:Class`` does so from the command line.
"""

from __future__ import annotations

import copy
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mfnet_envs.conformance import answers, episodes, surroundings
from mfnet_envs.conformance.subject import NotOffered, Subject, brief

CHECKS: dict[str, Callable[[Subject], None]] = {
    "answers": answers.check_answers,
    "spaces": answers.check_spaces,
    "observations": answers.check_observations,
    "rewards": answers.check_rewards,
    "flags": answers.check_flags,
    "agents": answers.check_agents,
    "infos": answers.check_infos,
    "masks": answers.check_masks,
    "fresh memory": answers.check_freshness,
    "state": answers.check_state,
    "end": episodes.check_end,
    "horizon": episodes.check_horizon,
    "same seed": episodes.check_same_seed,
    "fresh process": episodes.check_other_process,
    "other seeds": episodes.check_other_seeds,
    "random stream": episodes.check_stream,
    "global generators": episodes.check_global_generators,
    "pickling": surroundings.check_pickling,
    "rendering": surroundings.check_rendering,
    "PettingZoo's tests": surroundings.check_pettingzoo,
}


@dataclass(frozen=True)
class Findings:
    """What the checks found; every value is a sentence.

    Attributes:
        passed: what was promised and kept, by the name of the check.
        not_offered: why there was nothing to check.
        violations: what is wrong.
    """

    passed: dict[str, str]
    not_offered: dict[str, str]
    violations: dict[str, str]

    def __str__(self) -> str:
        groups = (("wrong", self.violations), ("kept", self.passed), ("not offered", self.not_offered))
        return "\n".join(f"{mark}: {name}: {text}" for mark, found in groups for name, text in found.items())


def examine(env: Any, *, steps: int = 100, seed: int = 0) -> Findings:
    """Put a parallel environment through every check and collect what they say.

    Args:
        env: a function (or class) without required arguments that returns a new environment; better if it also takes
            ``render_mode``. An instance works too: it is copied. An AEC environment that is parallelisable is wrapped.
        steps: cycles of each episode, at most; shorten it for slow environments.
        seed: of the first episode.

    Raises:
        TypeError: neither of these.
    """
    subject = Subject(_factory(env), steps, seed)
    passed, not_offered, violations = {}, {}, {}
    for name, check in CHECKS.items():
        try:
            check(subject)
            passed[name] = _first_line(check)
        except NotOffered as reason:
            not_offered[name] = str(reason)
        except AssertionError as violation:
            violations[name] = str(violation)
        except Exception as error:
            violations[name] = f"the check was stopped by {brief(error)}"
        if name == "answers" and violations:  # the others read these answers
            break
    return Findings(passed, not_offered, violations)


def check_parallel_env(env: Any, *, steps: int = 100, seed: int = 0) -> Findings:
    """As :func:`examine`, and raise if anything is wrong.

    Raises:
        AssertionError: the violations, one sentence a line. TypeError: as :func:`examine`.
    """
    found = examine(env, steps=steps, seed=seed)
    if found.violations:
        raise AssertionError("\n".join(found.violations.values()))
    return found


def _factory(env: Any) -> Callable[..., Any]:
    from pettingzoo import AECEnv, ParallelEnv  # type: ignore[import-untyped]

    make = env if not isinstance(env, ParallelEnv | AECEnv) else partial(copy.deepcopy, env)
    if not callable(make):
        raise TypeError(f"hand over a PettingZoo environment or a function that makes one, not {type(env).__name__}")
    made = make()
    if isinstance(made, ParallelEnv | AECEnv):
        made.close()
    if isinstance(made, ParallelEnv):
        return make
    if isinstance(made, AECEnv):
        if not made.metadata.get("is_parallelizable"):
            raise TypeError('metadata["is_parallelizable"] is not True: this environment has no parallel form')
        return partial(_as_parallel, make)
    raise TypeError(f"the function must return a PettingZoo environment, not {type(made).__name__}")


def _as_parallel(make: Callable[..., Any], **options: Any) -> Any:
    from pettingzoo.utils.conversions import aec_to_parallel  # type: ignore[import-untyped]

    return aec_to_parallel(make(**options))


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0].replace("``", "")


def _keeps(check: str) -> Callable[[ParallelEnvConformance], None]:
    """One check as a test."""

    def test(case: ParallelEnvConformance) -> None:
        subject = Subject(_factory(case.make_env), case.steps, case.seed)
        try:
            CHECKS[check](subject)
        except NotOffered as reason:
            raise unittest.SkipTest(str(reason)) from None

    return test


class ParallelEnvConformance:
    """Inherit, write :meth:`make_env`, and pytest (or unittest, beside its TestCase) finds the contract's tests.

    Attributes:
        steps: cycles of each episode, at most.
        seed: of the first episode.
    """

    steps = 100
    seed = 0

    def make_env(self, **options: Any) -> Any:
        """A new environment; ``options`` may be ``render_mode="rgb_array"`` and the like.

        Without ``**options`` the pictures are not checked.
        """
        raise NotImplementedError("write make_env(self, **options): it returns a new environment")

    test_calls_answer_with_dicts_for_everybody = _keeps("answers")
    test_spaces_are_the_same_objects_every_time = _keeps("spaces")
    test_observations_lie_in_their_spaces = _keeps("observations")
    test_rewards_are_finite_numbers = _keeps("rewards")
    test_flags_are_bools = _keeps("flags")
    test_who_is_over_leaves_and_nobody_comes_back = _keeps("agents")
    test_infos_are_numeric_with_constant_keys = _keeps("infos")
    test_action_masks = _keeps("masks")
    test_what_is_handed_out_stays_as_it_is = _keeps("fresh memory")
    test_the_state_lies_in_its_space = _keeps("state")
    test_nothing_happens_after_the_end = _keeps("end")
    test_the_horizon_truncates_everybody = _keeps("horizon")
    test_the_same_seed_is_the_same_episode = _keeps("same seed")
    test_the_same_seed_is_the_same_episode_in_a_fresh_process = _keeps("fresh process")
    test_another_seed_is_another_episode = _keeps("other seeds")
    test_a_reset_without_a_seed_goes_on_with_the_stream = _keeps("random stream")
    test_no_global_generator_is_used = _keeps("global generators")
    test_a_pickled_copy_is_the_same_environment = _keeps("pickling")
    test_pictures_need_no_display = _keeps("rendering")
    test_pettingzoos_own_tests_pass = _keeps("PettingZoo's tests")
