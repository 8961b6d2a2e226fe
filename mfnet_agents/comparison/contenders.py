"""Who plays: learners by the name the registry has, the heuristics of a model, its planners.

============================= ==========================================================================================
``heuristics``                all that the model of an instance has
``learners``                  every registered algorithm with its shipped options
``planners``                  every planner of a model, with its defaults
``DecNeuralAC``               one algorithm; ``DecNeuralAC:hops=1,credit_hops=3`` with options; ``own.py:Config`` yours
``planner:replan``            one planner; ``planner:replan:horizon=4`` with options
``sb3:PPO``                   one of another library; ``sb3:SAC:view=central,lr=1e-3`` with options; see :mod:`.guests`
``own.py:train``              whatever you train with a function
``submission:FILE``           policies as files, and a config; see :mod:`.submission`
============================= ==========================================================================================
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from mfnet_agents import registry
from mfnet_agents.algorithm import Algorithm
from mfnet_agents.comparison import submission
from mfnet_agents.comparison.guests import LIBRARIES, Guest
from mfnet_agents.comparison.suites import INFORMATION
from mfnet_envs import make_model, targets
from mfnet_envs.programmes import planners
from mfnet_envs.words import did_you_mean, shown, typed

HEURISTICS, LEARNERS, ALL_PLANNERS = "heuristics", "learners", "planners"
NOT_SAID = "not said"  # of an algorithm that does not say what its policies read
Kind = Literal["heuristics", "learner", "planner", "submission"]


@cache
def planner_names() -> tuple[str, ...]:
    """What planners there are; a model has all of them, or says why not when one is made."""
    return tuple(planners(make_model("MFNet-TwoByTwo-v0")))


@dataclass(frozen=True)
class Contender:
    """One who plays on every instance.

    Attributes:
        text: what names it in tables, and in :func:`parse` again.
        name: of the algorithm, as the registry takes it, of the planner, or of the function that trains a guest; "" of
            heuristics.
        guest: a learner that is trained by a function, see :mod:`.guests`, and is no Algorithm.
    """

    text: str
    kind: Kind
    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    guest: bool = False

    @property
    def bare(self) -> str:
        """What names a learner without its options."""
        words = {target: f"{library}:{self.options.get('algorithm')}" for library, target in LIBRARIES.items()}
        return words.get(self.name, self.name)


def parse(texts: Sequence[str]) -> list[Contender]:
    """The contenders that are asked for, each once.

    Raises:
        ValueError, TypeError: an unknown name, with the nearest known one, or an option that is none.
    """
    found: dict[str, Contender] = {}
    for text in texts:
        for contender in _contenders(text):
            found.setdefault(contender.text, contender)
    return list(found.values())


def _contenders(text: str) -> list[Contender]:
    if text == HEURISTICS:
        return [Contender(HEURISTICS, "heuristics")]
    if text == LEARNERS:
        return [Contender(name, "learner", name) for name in registry.algorithms()]
    if text == ALL_PLANNERS:
        return [Contender(f"planner:{name}", "planner", name) for name in planner_names()]
    if text.startswith(submission.PREFIX):
        return [Contender(text, "submission", text.removeprefix(submission.PREFIX))]
    if text.startswith("planner:"):
        name, _, options = text.removeprefix("planner:").partition(":")
        if name not in (known := planner_names()):
            raise ValueError(f"there is no planner {name!r}{did_you_mean(name, known)} Known: {', '.join(known)}")
        return [Contender(text, "planner", name, _options(options))]
    library, _, rest = text.partition(":")
    if library in LIBRARIES:
        name, _, options = rest.partition(":")
        if not name:
            raise ValueError(f"{shown(text)} must say which algorithm: {library}:PPO")
        return [Contender(text, "learner", LIBRARIES[library], {"algorithm": name, **_options(options)}, guest=True)]
    name, options = _name_and_options(text)
    if targets.is_target(name) and inspect.isfunction(targets.load(name)):
        return [Contender(text, "learner", name, _options(options), guest=True)]
    try:
        kind = registry.config_class(name)
    except targets.TargetError:
        raise
    except ValueError as error:
        words = (
            HEURISTICS, LEARNERS, ALL_PLANNERS, *(f"planner:{name}" for name in planner_names()),
            *(f"{library}:NAME" for library in LIBRARIES),
        )  # fmt: skip
        raise ValueError(f"{error}; beside algorithms there are {', '.join(words)}") from error
    chosen = _options(options)
    for option in chosen:
        if option not in kind.fields() or option in ("env", "env_config", "seed", "total_env_steps"):
            names = [each for each, field in kind.fields().items() if field.metadata["group"] == "training"]
            raise ValueError(
                f"{text}: {name} has no option {shown(option)} to be set here{did_you_mean(option, names)}"
            )
    return [Contender(text, "learner", name, chosen)]


def _name_and_options(text: str) -> tuple[str, str]:
    """A registered name, or "module:Config", and the options behind the next colon."""
    first, _, rest = text.partition(":")
    if first in registry.algorithms() or not rest or "=" in rest.partition(":")[0]:
        return first, rest
    second, _, options = rest.partition(":")
    return f"{first}:{second}", options


def _options(text: str) -> dict[str, Any]:
    """``a=1,b=word``; values as on the command line."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    for name, sign, value in pairs:
        if not (name and sign and value):
            raise ValueError(f"options are given as NAME=VALUE,NAME=VALUE, not as {shown(text)}")
    try:
        return {name.strip(): typed(value.strip()) for name, _, value in pairs}
    except ZeroDivisionError:
        raise ValueError(f"{shown(text)} divides by zero") from None


def information_of(algorithm: Algorithm | Guest) -> str:
    """What the policy of a learner reads while it is played: its own word ("2 hops" are k), or its policy's.

    Raises:
        ValueError: the algorithm names a class that is none.
    """
    said = str(getattr(algorithm, "information", NOT_SAID))
    if said == NOT_SAID:
        hops, clock = getattr(algorithm.policy, "hops", None), bool(getattr(algorithm.policy, "clock", False))
        said = INFORMATION[2] if hops else INFORMATION[1] if clock else INFORMATION[0]
    said = re.sub(r"^\d+ hops?( and clock)?$", INFORMATION[2], said)
    if said not in INFORMATION:
        who = algorithm.name if isinstance(algorithm, Guest) else type(algorithm).__name__
        raise ValueError(f"{who} says that its policies see {shown(said)}, which is no class")
    return said
