"""Options that change a day, a price or a place, instances by name, and learning on compiled steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mfnet_envs
from fuzz import odd
from fuzz.calls import BACKENDS, note, play, questionable
from fuzz.judging import Fault, attempt, bad_sentence
from fuzz.mutations import pick
from mfnet_envs import instances

LINKS = ["0,0 to 0,1", "0,1 to 0,0", "0,0 to 1,0", "1,0 to 0,0", "1,1 to 0,1", "0,0 to 1,1", "", "nowhere"]
BACKBONE = ["0 to 1", "1 to 0", "1 to 2", "2 to 1"]
PLACES: dict[str, dict[str, Any]] = {
    "MFNet-Routing-v0": {"population": 12, "rows": 2, "cols": 2},
    "MFNet-Packet-v0": {"population": 12},
    "MFNet-Courier-v0": {"population": 9, "rows": 2, "cols": 2, "horizon": 20, "warmup": 5},
    "MFNet-RideShare-v0": {"fleet": 9},
}
BY_THE_CLOCK: dict[str, Any] = {**PLACES["MFNet-Routing-v0"], "profile": [0.5, 1.5], "toll": "marginal"}
DRAWN: dict[str, tuple[str, ...]] = {
    "MFNet-Routing-v0": (
        "profile",
        "profile_time",
        "failures",
        "toll",
        "demand_scale",
        "close",
        "vehicles",
        "dt",
        "population",
    ),
    "MFNet-Packet-v0": (
        "profile",
        "profile_time",
        "failures",
        "demand_scale",
        "utilisation",
        "vehicles",
        "dt",
        "population",
    ),
    "MFNet-Courier-v0": ("deadline", "capacity", "total_demand", "population", "depots"),
    "MFNet-RideShare-v0": (
        "demand_scale",
        "city",
        "fleet",
        "population",
        "repeat",
        "empty",
        "batteries",
        "range_steps",
        "chargers",
        "charge_rate",
    ),
}
ELECTRIC = "range_steps", "chargers", "charge_rate"
SAID = {  # a note about it must hold this
    "demand_scale": "multipl", "close": "clos", "toll": "toll", "batteries": "level of charge",
    "failures": "failures by the clock",
}  # fmt: skip


def profile(rng: np.random.Generator) -> Any:
    phases = rng.integers(0, 4, int(rng.choice([1, 2, 3, 24, 40]))) * rng.choice([0.25, 1.0, 1e-9, 1e6])
    return [phases.tolist(), phases, tuple(phases.tolist())][int(rng.integers(3))]


def toll(rng: np.random.Generator) -> Any:
    if rng.random() < 0.2:
        return "marginal"
    prices = [0.0, 0.5, 3, 1e-12, 1e12, -1.0, "1", np.nan]
    return {pick(rng, LINKS): prices[int(rng.integers(len(prices)))] for _ in range(int(rng.integers(1, 4)))}


def close(rng: np.random.Generator) -> Any:
    links = [pick(rng, LINKS) for _ in range(int(rng.integers(1, 4)))]
    return [links[0], links, [link.split(" to ") for link in links]][int(rng.integers(3))]


def failures(rng: np.random.Generator) -> Any:
    """``(link, from, until, share)``; times of a turn of 24, over its end, of no length, or outside."""
    links = LINKS[:6] if rng.random() < 0.5 else BACKBONE if rng.random() < 0.9 else LINKS
    odd_one = rng.random() < 0.2
    times = [0, 0.5, 7, 9, 12, 23.99, 24, *([1e-9, -1, 1e9] if odd_one else [])]
    shares = [0, 0.5, 1, 0.25, *([1e-12, 1.5, -0.1, np.nan] if odd_one else [])]
    drawn = [
        (pick(rng, links), *rng.choice(times, 2).tolist(), float(rng.choice(shares)))
        for _ in range(int(rng.choice([1, 1, 2, 12])))
    ]
    return tuple(drawn) if rng.random() < 0.2 else [list(one) if rng.random() < 0.5 else one for one in drawn]


def city(rng: np.random.Generator) -> Any:
    if rng.random() < 0.3:
        return pick(rng, ["manhattan", "manhatan", ""])
    days = [*("monday", "friday", "sunday", "Monday"), odd.value(rng)]
    return {"file": "manhattan", "weekday": days[int(rng.integers(len(days)))],
            **({pick(rng, ["hour", "hours", "step"]): odd.value(rng)} if rng.random() < 0.6 else {})}  # fmt: skip


def chargers(rng: np.random.Generator) -> Any:
    places = rng.integers(0, 3, 6) * rng.choice([0.5, 1.0, 20.0])
    return [float(places[0]), places.tolist(), {"centre": 1, "nowhere": 2}][int(rng.integers(3))]


MEANT: dict[str, Callable[[np.random.Generator], Any]] = {
    "profile": profile, "failures": failures, "toll": toll, "close": close, "city": city,
    "profile_time": lambda rng: float(10.0 ** rng.integers(-3, 6)),
    "demand_scale": lambda rng: float(rng.choice([0.5, 2, 1.2, 1e-6, 1e6, 1e-7, 1, 30])),
    "deadline": lambda rng: int(rng.choice([1, 2, 3, 30])),
    "capacity": lambda rng: int(rng.choice([1, 2, 5])),
    "utilisation": lambda rng: float(rng.choice([0.1, 0.999, 1e-9])),
    "vehicles": lambda rng: float(10.0 ** rng.integers(-3, 5)),
    "dt": lambda rng: float(10.0 ** rng.integers(-3, 2)),
    "batteries": lambda rng: int(rng.choice([2, 3, 8])),
    "range_steps": lambda rng: float(rng.choice([1, 2.5, 6, 40, 1e9])),
    "chargers": chargers,
    "charge_rate": lambda rng: float(rng.choice([0.01, 0.5, 1, 2.5, 100])),
}  # fmt: skip


class Options:
    """``profile``, ``toll``, ``deadline``, ``demand_scale``, ``close``, ``city="manhattan"``: refused, or said and
    below its bound."""

    name, share = "options", 3.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        id = pick(rng, list(PLACES))
        asked: dict[str, Any] = {}
        for _ in range(int(rng.choice([1, 2, 2, 3]))):
            option = pick(rng, DRAWN[id])
            meant = option in MEANT and rng.random() < 0.9
            asked[option] = MEANT[option](rng) if meant else odd.value(rng)
            if option in ELECTRIC and rng.random() < 0.9:  # refused without batteries
                asked.setdefault("batteries", MEANT["batteries"](rng))
        options = {**PLACES[id], **asked}
        told = f"{id}: " + ", ".join(f"{n}={odd.shown(v)}" for n, v in options.items())
        note(folder, told)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = attempt(lambda: mfnet_envs.make_model(id, **options))
            for option, given in asked.items():
                default = 1.0 if option in ("demand_scale", "profile_time") else None
                if why := questionable(default, given):
                    raise Fault("silent", told, f"{id} {option}: {why} accepted")
            check_notes(model, asked, told)
            backend = pick(rng, BACKENDS)
            play(model, "model", rng, told, backend)
            if len(model.legal) < 200:
                held(model, rng, told, backend)


def check_notes(model: Any, asked: dict[str, Any], told: str) -> None:
    """What changes a number is said in a sentence."""
    if broken := [line for line in model.notes if bad_sentence(line)]:
        raise Fault("silent", f"{told}: {broken}", "a note that is no sentence")
    for option, word in SAID.items():
        given = asked.get(option)
        plain = given is None or (option == "demand_scale" and given == 1) or given == "marginal"
        if not plain and not any(word in line for line in model.notes):
            raise Fault("silent", f"{told}: no note about {option}: {model.notes}", f"no note about {option}")


def held(model: Any, rng: np.random.Generator, told: str, backend: str) -> None:
    """The bound is finite, and no heuristic is above it by more than chance."""
    bound, heuristics = attempt(model.bound), attempt(model.heuristics)
    name = pick(rng, list(heuristics))
    short = {"steps": 400, "warmup": 0} if model.evaluation[0] > 2000 else {}
    found = attempt(lambda: mfnet_envs.evaluate(model, heuristics[name], worlds=8, backend=backend, **short))
    if not odd.finite(found):
        raise Fault("silent", f"{told}: {name} is measured as {found}", "not finite")
    if bound is None:
        return
    if not np.isfinite(bound.value):
        raise Fault("silent", f"{told}: the bound is {bound.value}", "bound not finite")
    reached, chance = found["headline_mean"], 6 * found["headline_ci95"]
    if not short and reached - chance > bound.value + 1e-6 * abs(bound.value) + 1e-9:
        raise Fault("silent", f"{told}: {name} reaches {reached} +- {chance / 6}, the bound is {bound.value}", "above")


class Instances:
    """Names of instances, with options beside them: refused, or the same instance each time."""

    name, share = "instances", 1.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        family = pick(rng, [*instances.FAMILIES, "gird"])
        parts = [family, pick(rng, [*instances.SPLITS, "tests", "large"]), pick(rng, ["0", "8", "9", "26", "27", "-1"])]
        knobs = [pick(rng, [*values, "huge"]) for values in list(instances.KNOBS.values())[:3]]
        seed = pick(rng, ["0", "7", "00", "9" * 18, "9" * 19, "٣", ""])
        name: Any = "-".join(parts) if rng.random() < 0.6 else "-".join([family, *knobs, f"seed{seed}"])
        if rng.random() < 0.15:
            at = int(rng.integers(len(name) + 1))
            name = name[:at] + pick(rng, ["-", "\n", "é", "x", " ", "..", "٣"]) + name[at:]
        how = rng.random()
        more = {pick(rng, ["population", "gamma", "rows", "x"]): odd.value(rng)} if rng.random() < 0.4 else {}
        note(folder, f"{name!r} {how} {odd.shown(more)}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if how < 0.15:
                first = odd.value(rng)
                doors: list[Callable[[], Any]] = [
                    lambda: instances.instance(first), lambda: instances.split(first, "test"),
                    lambda: instances.split("grid", first), lambda: instances.generate(family, first),
                    lambda: instances.generate("grid", 1, size=first), lambda: instances.listing(first),
                ]  # fmt: skip
                attempt(doors[int(rng.integers(len(doors)))])
                return
            found, again = (attempt(lambda: instances.instance(name)) for _ in range(2))
            if found.hash != again.hash or found.name != name:
                raise Fault("silent", f"{name!r} is {found.name!r}, {found.hash} and {again.hash}", "another instance")
            if family in ("manhattan", "city") and parts[2] not in ("0", "9"):
                return  # they are large
            model = attempt(lambda: mfnet_envs.make_model(f"mfnet_envs.instances:{name}", **more))
            for option, given in more.items():
                if why := questionable(1, given):
                    raise Fault("silent", f"{name} {odd.shown(more)}", f"instance {option}: {why} accepted")
            play(model, "model", rng, f"{name} {odd.shown(more)}", pick(rng, BACKENDS))


class Trains:
    """Learning on compiled steps, scenario by scenario: finite weights, and twice the same from the same seed."""

    name, share = "trains", 1.5
    WAYS: tuple[dict[str, Any], ...] = (
        {}, {"sampling": "stationary", "burn_in": 2}, {"policy": "energy"}, {"critic_form": "v"}, {"hops": 0},
        {"law": "counted"}, {"weights": "shared"}, {"rollout_fragment_length": 1}, {"num_envs_per_env_runner": 1},
    )  # fmt: skip

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        from mfnet_agents import DecNeuralACConfig

        id = pick(rng, ["MFNet-Grid-v0", *PLACES])
        place = PLACES.get(id, {"population": 6, "rows": 2, "cols": 2, "horizon": 5})
        if id == "MFNet-Courier-v0" and rng.random() < 0.5:
            place = {**place, "deadline": 2}
        if id == "MFNet-Routing-v0" and rng.random() < 0.5:
            place = BY_THE_CLOCK
        way = {**self.WAYS[int(rng.integers(len(self.WAYS)))], **self.WAYS[int(rng.integers(len(self.WAYS)))]}
        known = DecNeuralACConfig.fields()
        chosen = {name: value for name, value in way.items() if name in known}
        seed, backend = int(rng.integers(99)), BACKENDS[-1]
        note(folder, f"{id} {place} {chosen} seed {seed}")

        def trained() -> Any:
            base = DecNeuralACConfig().environment(id, env_config=place).debugging(seed=seed)
            options = {"num_envs_per_env_runner": 2, "rollout_fragment_length": 4, "backend": backend, **chosen}
            options |= {"total_env_steps": 64, "evaluation_duration": 2}
            for name, given in options.items():
                getattr(base, known[name].metadata["group"])(**{name: given})
            algorithm = base.build_algo()
            result = [algorithm.train(), algorithm.train()]
            return algorithm.get_state()[1], result

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arrays, result = attempt(trained)
            others, _ = attempt(trained)
        if not odd.finite({name: a for name, a in arrays.items() if a.dtype.kind == "f"}, result):
            raise Fault("silent", f"{id} {chosen}: weights or results that are not finite", "not finite")
        if any(not np.array_equal(arrays[name], others[name]) for name in arrays):
            raise Fault("silent", f"{id} {place} {chosen}: seed {seed} gives two runs", f"{id}: seed does not hold")
