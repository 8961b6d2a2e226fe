"""Cities: their files, whole and spoilt, and the fleet that serves them (``MFNet-RideShare-v0``)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import mfnet_envs
from fuzz import odd, truth
from fuzz.calls import BACKENDS, note, play
from fuzz.files import Tables
from fuzz.formats import CITIES, Format
from fuzz.judging import Fault, attempt, bad_sentence, heard
from fuzz.mutations import pick, spoil_bytes, spoil_kind
from mfnet_envs import io
from mfnet_envs.scenarios.rideshare_v0 import town


class CityTables(Tables):
    """City files spoilt in one place: refused, or as an independent reader has them, or a sentence."""

    name, share = "cities", 2.0

    @staticmethod
    def formats() -> tuple[Format, ...]:
        return CITIES

    @staticmethod
    def read(path: Path) -> tuple[Any, list[str]]:
        with heard() as said:
            city = attempt(lambda: io.load_city(path), (OSError,))
        check(city)
        return city, [*said, *city.notes]

    @staticmethod
    def difference(found: Any, wanted: Any) -> str:
        return truth.city_difference(read_back(found), wanted)


def read_back(city: io.CityData) -> truth.City:
    """A CityData as numbers by label."""
    names = [str(zone) for zone in city.zones]
    rides = {
        (city.start + float(t) * city.step, names[a], names[b]): tuple(
            float(table[t, a, b]) for table in (city.demand, city.travel_time, city.fare)
        )
        for t, a, b in np.argwhere(city.demand)
    }
    empty = {(a, b): float(city.empty_time[v, w]) for v, a in enumerate(names) for w, b in enumerate(names) if v != w}
    borders = {frozenset((names[v], names[w])) for v, w in city.neighbours}
    xy = None
    if city.coordinates is not None:
        xy = {names[v]: (float(x), float(y)) for v, (x, y) in enumerate(city.coordinates)}
    kept = city.cars, city.cost, city.turnaround, xy
    return truth.City(names, city.start, city.step, rides, empty, borders, *kept)  # type: ignore[arg-type]


def check(city: io.CityData) -> None:
    """What every CityData promises.

    Raises:
        Fault: it does not hold.
    """
    tables = city.demand, city.travel_time, city.fare, city.empty_time
    if not all(np.isfinite(table).all() and table.min() >= 0 for table in tables) or not city.demand.any():
        raise Fault("silent", f"a city with numbers that are none: {city!r}", "broken city")
    if any(bad_sentence(sentence) for sentence in (*city.notes, repr(city))):
        raise Fault("silent", f"notes that are no sentences: {city.notes}", "broken notes")


class CityBytes:
    """City files whose bytes are spoilt, and things that are no files."""

    name, share = "city-bytes", 1.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        form = CITIES[int(rng.integers(len(CITIES)))]
        path = form.write(rng, form.sample(rng), folder, bool(rng.random() < 0.3))
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        spoilt = files[int(rng.integers(len(files)))]
        if rng.random() < 0.06:
            spoil_kind(rng, spoilt)
        else:
            spoilt.write_bytes(spoil_bytes(rng, spoilt.read_bytes()))
        with heard() as said:
            city = attempt(lambda: io.load_city(path), (OSError,))
        check(city)
        if numpy := [word for word in said if word.startswith("numpy:")]:
            raise Fault("silent", f"{numpy[0]} while reading, no sentence", numpy[0])


def odd_city(rng: np.random.Generator) -> io.CityData:
    """The town, or a smaller one, with numbers of other sizes in some field."""
    city = town()
    demand, rides, fare, empty = (x.copy() for x in (city.demand, city.travel_time, city.fare, city.empty_time))
    size = float(10.0 ** rng.integers(-14, 14))
    table = [demand, rides, fare, empty][int(rng.integers(4))]
    if rng.random() < 0.5:
        table *= size
    else:
        table[..., int(rng.integers(6)), int(rng.integers(6))] = size
    few = slice(0, int(rng.integers(1, 13)))
    changed: dict[str, Any] = {
        "demand": demand[few], "travel_time": rides[few], "fare": fare[few], "empty_time": empty,
        "cars": int(rng.integers(1, 60)),
    }  # fmt: skip
    if rng.random() < 0.2:
        changed["step"] = size
    if rng.random() < 0.2:
        changed["turnaround"] = int(10.0 ** rng.uniform(0, 12))
    if rng.random() < 0.2:
        changed["neighbours"] = city.neighbours[: int(rng.integers(6))]
    return attempt(lambda: replace(city, **changed))


class RideShares:
    """``MFNet-RideShare-v0`` of files with options of their readers, and of extreme cities: refused, or finite."""

    name, share = "rideshare", 2.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {"city": self.city(rng, folder), **self.options(rng)}
            told = ", ".join(f"{n}={odd.shown(v)}" for n, v in options.items())
            note(folder, told)
            model = attempt(lambda: mfnet_envs.make_model("MFNet-RideShare-v0", **options))
            backend = pick(rng, BACKENDS)
            play(model, "model", rng, told, backend)
            bound = attempt(model.bound)
            if not np.isfinite(bound.value):
                raise Fault("silent", f"{told}: the bound is {bound.value}", "bound not finite")
            heuristics = attempt(model.heuristics)
            name = pick(rng, list(heuristics))
            report = attempt(lambda: mfnet_envs.evaluate(model, heuristics[name], worlds=2, backend=backend))
            if not odd.finite(report):
                raise Fault("silent", f"{told}: {name} is measured as {report}", "not finite")

    @staticmethod
    def city(rng: np.random.Generator, folder: Path) -> Any:
        if rng.random() < 0.6:
            return odd_city(rng)
        form = CITIES[int(rng.integers(len(CITIES)))]
        path = form.write(rng, form.sample(rng), folder, False)
        if rng.random() < 0.2:
            return path
        names = {
            "csv": ["step", "cars", "cost", "turnaround", "hour"],
            "rl4amod": ["parameters", "hour", "step", "steps", "demand_ratio", "cost", "cars"],
        }[form.name]
        return {"file": path, pick(rng, names): odd.value(rng)}

    @staticmethod
    def options(rng: np.random.Generator) -> dict[str, Any]:
        choices: dict[str, list[Any]] = {
            "matching": ["physical", "independent"], "dearest_first": [True], "empty": ["any", "neighbours"],
            "repeat": [True], "cost": [0.0, 0.3, 1e9], "gamma": [0.5, 0.99],
        }  # fmt: skip
        chosen = {name: row[int(rng.integers(len(row)))] for name, row in choices.items() if rng.random() < 0.25}
        if rng.random() < 0.3:
            chosen["population"] = int(rng.integers(1, 40))
        return {"fleet": float(10.0 ** rng.integers(0, 5)), **chosen} if rng.random() < 0.7 else {"fleet": 9, **chosen}
