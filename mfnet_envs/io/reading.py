"""What all readers share: the error and its place, numbers, optional packages, distances."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.words import HUGE, LONGEST_SENTENCE, brief, shown

BPR_B, BPR_POWER = 0.15, 4.0  # the usual road; given to links whose format says nothing
EARTH_RADIUS_KM = 6371.0
FIBRE_KM_PER_MS = 200.0  # light in glass
DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)  # no 0x10, 1_000 or other scripts' digits
WHOLE = re.compile(r"\+?\d{1,18}", re.ASCII)
LARGEST_WHOLE = 2**53  # beyond, floating point skips some


class NetworkFileError(ValueError):
    """A network that cannot be used as it was brought; the message says where and what was expected.

    What a file put into the sentence is kept to one line of some length.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(brief(sentence, LONGEST_SENTENCE))


class Place(NamedTuple):
    """Where in a file something stands: ``spot`` is "line 12", or names an element where lines mean nothing."""

    file: str
    spot: str = ""

    def __str__(self) -> str:
        return f"{brief(self.file)}, {self.spot}" if self.spot else brief(self.file)

    def line(self, number: int) -> Place:
        return Place(self.file, f"line {number}")

    def fail(self, sentence: str) -> NoReturn:
        """Raise the error."""
        raise NetworkFileError(f"{self}: {sentence}")

    def number(self, text: Any, field: str, kind: str = "finite") -> float:
        """The finite number that ``text`` spells; ``kind`` is "finite", "non-negative" or "positive".

        A time, a capacity or the like so near to zero that ratios to it are no numbers is refused as well.
        """
        value = spelt(text)
        fits = {"finite": True, "non-negative": value >= 0, "positive": value > 0}[kind]
        if not (math.isfinite(value) and fits):
            hint = "; write decimals with a point" if isinstance(text, str) and "," in text else ""
            self.fail(f"{field} must be a {kind} number, not {shown(text)}{hint}")
        if kind != "finite" and 0 < value < 1 / HUGE:
            least = f"{'0 or ' if kind == 'non-negative' else ''}at least {1 / HUGE:g}"
            self.fail(f"{field} must be {least}, so that it can be divided by, not {shown(text)}")
        return value

    def whole(self, text: Any, field: str) -> int:
        """The non-negative whole number that ``text`` spells."""
        if isinstance(text, str) and WHOLE.fullmatch(text.strip()):
            return int(text)
        value = self.number(text, field, "non-negative")
        if value != int(value) or value > LARGEST_WHOLE:
            self.fail(f"{field} must be a whole number, not {shown(text)}")
        return int(value)

    def node(self, label: str, field: str, place_of: dict[str, int]) -> int:
        """The index of a node that has been declared."""
        if label not in place_of:
            self.fail(f"{field} {shown(label)} is not a node of the network; add the node or correct the name")
        return place_of[label]


def spelt(text: Any) -> float:
    """The number that ``text`` is or spells in plain decimals; NaN where it is none. True and False are none."""
    if isinstance(text, bool | np.bool_) or (isinstance(text, str) and not DECIMAL.fullmatch(text.strip())):
        return math.nan
    try:
        return float(text)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def numbered(labels: Iterable[tuple[Place, str]]) -> dict[str, int]:
    """The index of every node, in the order given; a label without text, or one given twice, is an error."""
    place_of: dict[str, int] = {}
    for place, label in labels:
        if not label:
            place.fail("a node has no name")
        if label in place_of:
            place.fail(f"node {shown(label)} is given twice")
        place_of[label] = len(place_of)
    return place_of


def geographical(coordinates: Floats) -> bool:
    """Whether all of ``(V, 2)`` can be longitude and latitude in degrees."""
    return bool((np.abs(coordinates) <= [180, 90]).all())


def distances(coordinates: Floats, tail: Ints, head: Ints, on_earth: bool) -> Floats:
    """``(L,)`` lengths of straight links: great circles in km on earth, else in the coordinates' own unit."""
    a, b = coordinates[tail], coordinates[head]
    if not on_earth:
        return np.asarray(np.hypot(*(b - a).T))
    (lon_a, lat_a), (lon_b, lat_b) = np.radians(a).T, np.radians(b).T
    chord = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(chord, 1))))
