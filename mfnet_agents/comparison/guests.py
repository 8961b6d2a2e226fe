"""Guests: whatever trains a policy, from another library or a script, as a contender. The door is one function.

.. code-block:: python

    def train(env: str, env_config: dict, budget: int, seed: int, lr: float = 3e-4) -> Iterator[Iterate]:
        yield Iterate(0, policy)  # before anything is learnt
        ...
        yield Iterate(256, policy)  # after every iteration

``mfnet compare SUITE --contenders module:train own.py:train:lr=1e-3`` plays it. The harness asks for the next iterate,
plays it as it stands at the points of the suite's grid, and computes every number. Steps are joint transitions of one
world, and nobody who takes more of them than ``budget`` is ranked. Options are the function's further arguments;
``--tune`` searches those whose name ends in ``lr`` and whose default, or given value, is a positive number. A policy
need not be kept: the best iterate so far is played on the test worlds at once. A job that was killed begins anew, with
the same seed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mfnet_agents.comparison.suites import INFORMATION
from mfnet_envs import targets
from mfnet_envs.policy import Policy
from mfnet_envs.words import is_number, is_whole, shown

LIBRARIES = {"sb3": "mfnet_agents.adapters.sb3:train"}  # the first word of a contender -> who trains it
Train = Callable[..., Iterator["Iterate"]]


class Iterate(NamedTuple):
    """A policy on its way.

    Attributes:
        env_steps: joint transitions of one world that were taken so far. policy: as it stands until the next is asked
            for. information: what it reads while it is played, as :attr:`mfnet_agents.Algorithm.information`.
    """

    env_steps: int
    policy: Policy
    information: str = INFORMATION[-2]


class Guest:
    """One training of a guest, iterate by iterate.

    Attributes:
        env_steps, policy, information: of the last iterate. has_ended: there will be no more.

    Raises:
        TypeError, ValueError: an option that it has not or refuses; no untrained iterate to begin with.
    """

    def __init__(
        self, name: str, options: dict[str, Any], env: str, env_config: dict[str, Any], budget: int, seed: int
    ) -> None:
        train: Train = targets.load(name)
        self.name, self.budget, self.iteration, self.has_ended = name, budget, 0, False
        inspect.signature(train).bind(env, env_config, budget=budget, seed=seed, **options)
        self._iterates = iter(train(env, env_config, budget=budget, seed=seed, **options))
        first = self._asked()
        if first is None or first.env_steps != 0:
            raise ValueError(f"{name} must begin with Iterate(0, policy), the policy before anything is learnt")
        self.env_steps, self.policy, self.information = first

    def train(self) -> None:
        """Ask for the next iterate.

        Raises:
            ValueError: it took no further steps, or more than the budget.
        """
        found = self._asked()
        if found is None:
            self.has_ended = True
            return
        if found.env_steps <= self.env_steps:
            raise ValueError(f"{self.name} says {found.env_steps:,} env_steps after {self.env_steps:,}: they must rise")
        if found.env_steps > self.budget:
            raise ValueError(f"{self.name} took {found.env_steps:,} environment steps of {self.budget:,}")
        self.env_steps, self.policy, self.information = found
        self.iteration += 1

    def _asked(self) -> Iterate | None:
        found = next(self._iterates, None)
        if found is not None and not (
            isinstance(found, Iterate) and is_whole(found.env_steps) and isinstance(found.policy, Policy)
        ):
            raise TypeError(f"{self.name} must yield Iterate(env_steps, policy), not {shown(found)}")
        return found

    def stop(self) -> None:
        """Let the library close what it holds open."""
        close = getattr(self._iterates, "close", None)
        if close is not None:
            close()


def step_sizes(name: str, options: dict[str, Any]) -> dict[str, float]:
    """What a search may change: arguments that end in ``lr``, with the value they have."""
    named = inspect.signature(targets.load(name)).parameters.values()
    values = {each.name: options.get(each.name, each.default) for each in named if each.name.endswith("lr")}
    return {name: float(value) for name, value in values.items() if is_number(value) and value > 0}
