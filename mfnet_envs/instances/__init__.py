"""Instances of the scenarios: drawn from a seed with knobs of difficulty, split once and for all, each with its hash.

>>> from mfnet_envs import instances
>>> len(instances.split("grid", "test"))
9
>>> found = instances.instance("grid-test-4")
>>> found.knobs
{'size': 'medium', 'imbalance': 'mild', 'congestion': 'light', 'seed': 2004}
>>> found.hash[:12], found.make().network.num_nodes
('...', 36)
>>> instances.generate("grid", 7, size="large", congestion="light").name
'grid-large-mild-light-seed7'

A *split* has its own seeds: train 0 .. 26, every combination of the knobs once; validation 1000 .. 1008 and test 2000
.. 2008, in which any two knobs take every pair of values. Cities also have hours, and Manhattan days: those of one
split are in no other. What is in a split never changes; better instances would get a new family's name. No seed of
:func:`generate` draws an instance of a split, and its hours and days are those of train.

A name is an environment's id too, in Python as ``"mfnet_envs.instances:grid-test-4"`` and for the commands as
``instance:grid-test-4``; further options of the scenario may be given beside it, ``population=``, for example.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mfnet_envs.instances.draws import Draws, digest
from mfnet_envs.instances.families import CONGESTION, FAMILIES, HOURS, IMBALANCE, KNOBS, SIZE, WEEKDAYS, Content
from mfnet_envs.model import LocalModel
from mfnet_envs.registration import make_model
from mfnet_envs.targets import TargetError
from mfnet_envs.words import did_you_mean, one_of, shown, whole

__all__ = ["FAMILIES", "KNOBS", "SPLITS", "Instance", "generate", "instance", "listing", "split"]

SPLITS = {"train": (0, 27), "validation": (1000, 9), "test": (2000, 9)}  # the first seed, and how many
IN_SPLIT = re.compile(rf"([a-z]+)-({'|'.join(SPLITS)})-(\d{{1,4}})")
BY_KNOBS = re.compile(
    rf"([a-z]+)-({'|'.join(SIZE)})-({'|'.join(IMBALANCE)})-({'|'.join(CONGESTION)})-seed(0|[1-9][0-9]{{0,17}})"
)


@dataclass(frozen=True)
class Instance:
    """One instance; made when asked for.

    Attributes:
        name: "grid-test-4", or "grid-large-mild-light-seed7".
        family, scenario: what it is one of, and the id of the environment.
        knobs: what it was drawn with.
        content: all its numbers, whole ones, in lists and by name.
    """

    name: str
    family: str
    scenario: str
    knobs: dict[str, Any]
    content: Content

    @property
    def hash(self) -> str:
        """sha256 of scenario and content as JSON; the same wherever it is made."""
        return digest([self.scenario, self.content])

    @property
    def options(self) -> dict[str, Any]:
        """Of ``mfnet_envs.make_model(scenario, ...)``."""
        return FAMILIES[self.family].options(self.content)

    def make(self, **options: Any) -> LocalModel:
        """The model; ``options`` of its scenario go before the instance's own."""
        return make_model(self.scenario, **{**self.options, **options})


def split(family: str, name: str) -> list[Instance]:
    """All instances of a family's "train", "validation" or "test".

    Raises:
        ValueError: an unknown family or split.
    """
    one_of("split", name, tuple(SPLITS))
    return [_of_split(_family(family), name, place) for place in range(SPLITS[name][1])]


def generate(
    family: str, seed: int, *, size: str = "medium", imbalance: str = "mild", congestion: str = "usual"
) -> Instance:
    """An instance of one's own. What the knobs do in a family: ``FAMILIES[family].knobs``.

    Raises:
        ValueError: an unknown family or knob, or a seed that is no non-negative integer.
    """
    for knob, value in (("size", size), ("imbalance", imbalance), ("congestion", congestion)):
        one_of(knob, value, KNOBS[knob])
    whole("seed", seed, 0)
    _family(family)
    name = f"{family}-{size}-{imbalance}-{congestion}-seed{seed}"
    places = SIZE.index(size), IMBALANCE.index(imbalance), CONGESTION.index(congestion)
    return _drawn(name, family, seed, places, "train", Draws(f"{family}/{seed}"))


def instance(name: str) -> Instance:
    """The instance of a name.

    Raises:
        ValueError: there is none; the message says what names look like.
    """
    if isinstance(name, str) and (found := IN_SPLIT.fullmatch(name)):
        family, of, place = _family(found[1]), found[2], int(found[3])
        if place < SPLITS[of][1] and found[3] == str(place):
            return _of_split(family, of, place)
        raise ValueError(f"there is no instance {shown(name)}: {family}-{of} has 0 .. {SPLITS[of][1] - 1}")
    if isinstance(name, str) and (found := BY_KNOBS.fullmatch(name)):
        family, size, imbalance, congestion, seed = found.groups()
        return generate(family, int(seed), size=size, imbalance=imbalance, congestion=congestion)
    raise ValueError(
        f"there is no instance {shown(name)}: names look like grid-test-4 or grid-large-mild-light-seed7; "
        "`mfnet env instances` lists them"
    )


def listing(family: str | None = None) -> list[dict[str, Any]]:
    """Name, environment, knobs and hash of all instances of the splits, or of one family's."""
    families = FAMILIES if family is None else {_family(family): None}
    found = [one for kind in families for part in SPLITS for one in split(kind, part)]
    return [{"name": i.name, "id": i.scenario, "knobs": i.knobs, "hash": i.hash} for i in found]


def _family(name: str) -> str:
    if not isinstance(name, str) or name not in FAMILIES:
        raise ValueError(
            f"there is no family {shown(name)}{did_you_mean(name, FAMILIES)} Known: {', '.join(FAMILIES)}."
        )
    return name


def _of_split(family: str, of: str, place: int) -> Instance:
    """All 27 combinations of the knobs, or nine of a Latin square, which validation and test do not share."""
    size, imbalance = place % 3, place // 3 % 3
    congestion = {"train": place // 9, "validation": (size + imbalance) % 3, "test": (size + 2 * imbalance) % 3}[of]
    seed = SPLITS[of][0] + place
    draws = Draws(f"{family}/{of}/{seed}")  # which no seed of `generate` shares
    return _drawn(f"{family}-{of}-{place}", family, seed, (size, imbalance, congestion), of, draws)


def _drawn(name: str, family: str, seed: int, places: tuple[int, int, int], of: str, draws: Draws) -> Instance:
    size, imbalance, congestion = places
    kind, hour = FAMILIES[family], draws.one_of(HOURS[of])
    knobs: dict[str, Any] = {
        "size": SIZE[size], "imbalance": IMBALANCE[imbalance], "congestion": CONGESTION[congestion], "seed": seed
    }  # fmt: skip
    if family == "manhattan":
        imbalance = WEEKDAYS[of][seed % len(WEEKDAYS[of])]
    content = kind.draw(draws, size, imbalance, congestion, hour)
    if family == "manhattan":
        knobs = {"weekday": content["weekday"], "hour": hour, "congestion": CONGESTION[congestion], "seed": seed}
    elif "hour" in content:
        knobs["hour"] = hour
    return Instance(name, family, kind.scenario, knobs, content)


def __getattr__(name: str) -> Callable[..., LocalModel]:
    """The builder of an instance by its name, which is how ``"mfnet_envs.instances:NAME"`` becomes an environment.

    Raises:
        TargetError: no instance is called so. AttributeError: what is asked for can be no instance's name.
    """
    if "-" not in name:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = instance(name)
    except ValueError as error:
        raise TargetError(str(error)) from error

    def build(**options: Any) -> LocalModel:
        return found.make(**options)

    build.__name__ = build.__qualname__ = name
    return build
