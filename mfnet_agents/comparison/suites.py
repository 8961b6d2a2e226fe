"""Suites: what is played, for how long, and on which worlds. Frozen: a published file never changes under its id.

A suite is a JSON file; :func:`suite` reads one by its id, or one of your own by its path. ``digest`` is the SHA-256 of
its contents, whatever its line breaks; a test holds those of the shipped ones. An instance that is drawn says its hash,
``{"env": "mfnet_envs.instances:rideshare-test-1", "hash": ..}``, and is refused where other numbers are drawn.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfnet_agents.config import is_json
from mfnet_agents.progress import finite
from mfnet_envs import instances
from mfnet_envs.io.files import text_of
from mfnet_envs.io.reading import NetworkFileError, Place
from mfnet_envs.registration import scenario, scenarios, split_options
from mfnet_envs.words import brief, did_you_mean, one_of, shown, whole

SUITES = Path(__file__).parent / "suites"
SPLITS = ("test", "tuning")
# What a policy may know, least first. Nobody is ranked beside those of another class.
INFORMATION = ("own node", "own node and clock", "k hops", "full state", "model known")
KNOWS_MOST = INFORMATION[-1]
NUMBERS = {
    "budget": 1, "points": 2, "choice_worlds": 2, "choice_seed": 0, "test_worlds": 2, "test_seed": 0,
    "planner_worlds": 2,
}  # fmt: skip
MOST_POINTS = 10_000
OF_SUITE = ("id", "about", "contenders", "seeds", "instances", "information", *NUMBERS)
OF_INSTANCE = ("name", "env", "env_config", "hash", "split", *NUMBERS)
DRAWN = "mfnet_envs.instances:"


@dataclass(frozen=True)
class Instance:
    """One environment and how contenders meet on it.

    Attributes:
        split: "test", or "tuning" for what options may be searched on.
        budget: environment steps (joint transitions of one world) that a learner may take.
        points: evaluations during training, evenly spaced from before it to its end.
        choice_worlds, choice_seed: of these, which choose a run's best iterate; test_worlds, test_seed: of the numbers
            in the tables. planner_worlds: test worlds of a planner, which is slow.
    """

    name: str
    env: str
    env_config: dict[str, Any]
    split: str
    budget: int
    points: int
    choice_worlds: int
    choice_seed: int
    test_worlds: int
    test_seed: int
    planner_worlds: int

    @property
    def grid(self) -> list[int]:
        """Environment steps at which runs are evaluated; the first is 0, the last the budget."""
        return [round(self.budget * k / (self.points - 1)) for k in range(self.points)]


@dataclass(frozen=True)
class Suite:
    """Instances, and who is compared on them for how many training seeds unless something else is asked for.

    Attributes:
        information: id of an environment -> heuristic -> what it may know, of :data:`INFORMATION`.
        digest: of the file's contents.
    """

    id: str
    about: str
    contenders: tuple[str, ...]
    seeds: int
    instances: tuple[Instance, ...]
    information: dict[str, dict[str, str]]
    digest: str
    record: dict[str, Any] = field(repr=False, compare=False)

    def heuristic_knows(self, env: str, name: str) -> str:
        """The class of a heuristic; one that the suite does not name is counted among those who know the model."""
        return self.information.get(env, {}).get(name, KNOWS_MOST)


def suites() -> list[str]:
    """The ids of the shipped suites."""
    return sorted(path.stem for path in SUITES.glob("*.json"))


def suite(name: str) -> Suite:
    """A shipped suite by its id, or one of your own by the path of its file.

    Raises:
        ValueError: there is none, or it says something that no suite can say. OSError: the file cannot be read.
    """
    if name in suites():
        path = SUITES / f"{name}.json"
    elif name.endswith(".json") or Path(name).is_file():
        path = Path(name)
    else:
        known = ", ".join(suites())
        raise ValueError(
            f"there is no suite {name!r}{did_you_mean(name, suites())} Known: {known}; your own: FILE.json"
        )
    try:
        record = json.loads(text_of(Place(str(path))))
    except NetworkFileError:
        raise
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path} is no suite: {brief(error)}") from error
    return from_record(record, str(path))


def from_record(record: Any, place: str = "the suite") -> Suite:
    """The suite that a JSON object describes.

    Raises:
        ValueError: with ``place`` and what is wrong there.
    """
    try:
        return _suite(record)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from error


def digest_of(record: dict[str, Any]) -> str:
    """SHA-256 of a JSON value, whatever the order of its names and its line breaks."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _suite(record: Any) -> Suite:
    if not is_json(record):
        raise ValueError("a suite is a JSON object")
    if finite(record) != record:
        raise ValueError("a suite holds finite numbers only, no NaN and no infinity")
    _known(record, OF_SUITE, "a suite")
    information = _checked_information(record.get("information", {}))
    common = {name: record[name] for name in NUMBERS if name in record}
    listed = record.get("instances")
    if not (isinstance(listed, list) and listed):
        raise ValueError("instances must be a list of at least one instance")
    played = tuple(_instance(each, common) for each in listed)
    names = [instance.name for instance in played]
    for env in information.keys() - {instance.env for instance in played} - scenarios().keys():
        meant = did_you_mean(env, [instance.env for instance in played])
        raise ValueError(f"information of {shown(env)}, which no instance plays{meant}")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"instances are told apart by name, and {', '.join(sorted(twice))} stands there twice")
    return Suite(
        _word("id", record.get("id")),
        str(record.get("about", "")),
        _words("contenders", record.get("contenders", ["learners", "heuristics"])),
        whole("seeds", record.get("seeds", 1)),
        played,
        information,
        digest_of(record),
        record,
    )


def _instance(record: Any, common: dict[str, Any]) -> Instance:
    if not isinstance(record, dict):
        raise ValueError(f"an instance is a JSON object, not {shown(record)}")
    _known(record, OF_INSTANCE, "an instance")
    name, env = _word("name", record.get("name")), _word("env", record.get("env"))
    split, env_config = record.get("split", "test"), record.get("env_config", {})
    one_of(f"instance {name}: split", split, SPLITS)
    if not isinstance(env_config, dict):
        raise ValueError(f"instance {name}: env_config must be an object, not {shown(env_config)}")
    try:
        split_options(scenario(env), None, env_config)
    except Exception as error:  # gymnasium's own errors are no ValueError
        raise ValueError(f"instance {name}: {error}") from error
    if "hash" in record:
        _check_drawn(name, env, record["hash"])
    numbers = {}
    for number, lowest in NUMBERS.items():
        given = record.get(number, common.get(number))
        if given is None:
            raise ValueError(f"instance {name} has no {number}, and neither has the suite")
        numbers[number] = whole(f"instance {name}: {number}", given, lowest)
    if numbers["points"] > MOST_POINTS:
        raise ValueError(f"instance {name}: points must be at most {MOST_POINTS:,}, not {shown(numbers['points'])}")
    if numbers["choice_seed"] == numbers["test_seed"]:
        raise ValueError(f"instance {name}: choice_seed and test_seed are the same, and must be two")
    return Instance(name, env, env_config, split, **numbers)


def _check_drawn(name: str, env: str, digest: Any) -> None:
    """Refuse an instance that is no longer what it was when its suite was published."""
    if not env.startswith(DRAWN):
        raise ValueError(f"instance {name}: hash is of an instance that is drawn, {DRAWN}NAME, not of {env}")
    found = instances.instance(env.removeprefix(DRAWN)).hash
    if digest != found:
        raise ValueError(f"instance {name}: hash is {shown(digest)}, and what is drawn here has {found}")


def _known(record: dict[str, Any], names: tuple[str, ...], what: str) -> None:
    for name in record:
        if name not in names:
            raise ValueError(f"{what} has no {shown(name)}{did_you_mean(name, names)}")


def _word(name: str, value: Any) -> str:
    if not (isinstance(value, str) and value and value.isprintable()):
        raise ValueError(f"{name} must be a word that can be printed, not {shown(value)}")
    return value


def _words(name: str, value: Any) -> tuple[str, ...]:
    if not (isinstance(value, list) and value):
        raise ValueError(f"{name} must be a list of words, not {shown(value)}")
    return tuple(_word(name, each) for each in value)


def _checked_information(record: Any) -> dict[str, dict[str, str]]:
    if not (isinstance(record, dict) and all(isinstance(named, dict) for named in record.values())):
        raise ValueError('information must be like {"MFNet-Grid-v0": {"greedy": "k hops"}}')
    for env, named in record.items():
        for heuristic, known in named.items():
            one_of(f"information of {env}, {heuristic}", known, INFORMATION)
    return record
