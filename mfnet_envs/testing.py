"""A conformance kit for anyone's PettingZoo environment: stricter than PettingZoo's own tests, one sentence a fault.

As a mixin, the checks become tests of their own:

>>> from mfnet_envs.testing import ParallelEnvConformance
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

from mfnet_envs import _parallel_checks as contract
from mfnet_envs._parallel_checks import NotOffered, Subject

CHECKS: dict[str, Callable[[Subject], None]] = {
    "answers": contract.check_answers,
    "spaces": contract.check_spaces,
    "observations": contract.check_observations,
    "rewards": contract.check_rewards,
    "flags": contract.check_flags,
    "agents": contract.check_agents,
    "infos": contract.check_infos,
    "masks": contract.check_masks,
    "fresh memory": contract.check_freshness,
    "state": contract.check_state,
    "end": contract.check_end,
    "horizon": contract.check_horizon,
    "same seed": contract.check_same_seed,
    "fresh process": contract.check_other_process,
    "other seeds": contract.check_other_seeds,
    "random stream": contract.check_stream,
    "global generators": contract.check_global_generators,
    "pickling": contract.check_pickling,
    "rendering": contract.check_rendering,
    "PettingZoo's tests": contract.check_pettingzoo,
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
            violations[name] = f"the check was stopped by {contract._brief(error)}"
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

    def _keeps(self, check: str) -> None:
        subject = Subject(_factory(self.make_env), self.steps, self.seed)
        try:
            CHECKS[check](subject)
        except NotOffered as reason:
            raise unittest.SkipTest(str(reason)) from None

    def test_calls_answer_with_dicts_for_everybody(self) -> None:
        self._keeps("answers")

    def test_spaces_are_the_same_objects_every_time(self) -> None:
        self._keeps("spaces")

    def test_observations_lie_in_their_spaces(self) -> None:
        self._keeps("observations")

    def test_rewards_are_finite_numbers(self) -> None:
        self._keeps("rewards")

    def test_flags_are_bools(self) -> None:
        self._keeps("flags")

    def test_who_is_over_leaves_and_nobody_comes_back(self) -> None:
        self._keeps("agents")

    def test_infos_are_numeric_with_constant_keys(self) -> None:
        self._keeps("infos")

    def test_action_masks(self) -> None:
        self._keeps("masks")

    def test_what_is_handed_out_stays_as_it_is(self) -> None:
        self._keeps("fresh memory")

    def test_the_state_lies_in_its_space(self) -> None:
        self._keeps("state")

    def test_nothing_happens_after_the_end(self) -> None:
        self._keeps("end")

    def test_the_horizon_truncates_everybody(self) -> None:
        self._keeps("horizon")

    def test_the_same_seed_is_the_same_episode(self) -> None:
        self._keeps("same seed")

    def test_the_same_seed_is_the_same_episode_in_a_fresh_process(self) -> None:
        self._keeps("fresh process")

    def test_another_seed_is_another_episode(self) -> None:
        self._keeps("other seeds")

    def test_a_reset_without_a_seed_goes_on_with_the_stream(self) -> None:
        self._keeps("random stream")

    def test_no_global_generator_is_used(self) -> None:
        self._keeps("global generators")

    def test_a_pickled_copy_is_the_same_environment(self) -> None:
        self._keeps("pickling")

    def test_pictures_need_no_display(self) -> None:
        self._keeps("rendering")

    def test_pettingzoos_own_tests_pass(self) -> None:
        self._keeps("PettingZoo's tests")
