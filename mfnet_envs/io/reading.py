"""What all readers share: the error and its place, numbers, optional packages, distances."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from mfnet_envs.arrays import Floats, Ints

BPR_B, BPR_POWER = 0.15, 4.0  # the usual road; given to links whose format says nothing
EARTH_RADIUS_KM = 6371.0
FIBRE_KM_PER_MS = 200.0  # light in glass


class NetworkFileError(ValueError):
    """A network that cannot be used as it was brought; the message says where and what was expected."""


class Place(NamedTuple):
    """Where in a file something stands: ``spot`` is "line 12", or names an element where lines mean nothing."""

    file: str
    spot: str = ""

    def __str__(self) -> str:
        return f"{self.file}, {self.spot}" if self.spot else self.file

    def line(self, number: int) -> Place:
        return Place(self.file, f"line {number}")

    def fail(self, sentence: str) -> NoReturn:
        raise NetworkFileError(f"{self}: {sentence}")

    def number(self, text: Any, field: str, kind: str = "finite") -> float:
        """The finite number that ``text`` spells; ``kind`` is "finite", "non-negative" or "positive"."""
        try:
            value = float(text)
        except (TypeError, ValueError):
            value = math.nan
        fits = {"finite": True, "non-negative": value >= 0, "positive": value > 0}[kind]
        if not (math.isfinite(value) and fits):
            self.fail(f"{field} must be a {kind} number, not {text!r}")
        return value

    def whole(self, text: Any, field: str) -> int:
        """The non-negative whole number that ``text`` spells."""
        value = self.number(text, field, "non-negative")
        if value != int(value):
            self.fail(f"{field} must be a whole number, not {text!r}")
        return int(value)

    def node(self, label: str, field: str, place_of: dict[str, int]) -> int:
        """The index of a node that has been declared."""
        if label not in place_of:
            self.fail(f"{field} {label!r} is not a node of the network; add the node or correct the name")
        return place_of[label]


def numbered(labels: Iterable[tuple[Place, str]]) -> dict[str, int]:
    """The index of every node, in the order given; a label without text, or one given twice, is an error."""
    place_of: dict[str, int] = {}
    for place, label in labels:
        if not label:
            place.fail("a node has no name")
        if label in place_of:
            place.fail(f"node {label!r} is given twice")
        place_of[label] = len(place_of)
    return place_of


def optional_package(name: str, extra: str) -> Any:
    """An imported optional package.

    Raises:
        ModuleNotFoundError: it is missing; the message is the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(f"this needs {name}: pip install 'mfnet[{extra}]'", name=name) from missing


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
