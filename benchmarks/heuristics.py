"""Every heuristic and bound of every scenario, both matchings: ``python benchmarks/heuristics.py [--worlds 256]``.

``--bounds ID`` prints the bounds of an id alone, with those of the README's other instances; ``--day`` measures
Manhattan through the day, in 64 worlds (some minutes). Common worlds (seed 0); half-widths are 95 % over worlds. "full
scale" is the unit of the scenario's bound.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mfnet_envs
from mfnet_envs.measure import measure
from mfnet_envs.tables import as_markdown
from mfnet_envs.yardstick import Yardstick

INSTANCES: list[tuple[str, dict[str, Any]]] = [
    ("MFNet-Grid-v0", {"population": 25}),
    ("MFNet-Grid-v0", {"population": 100}),
    ("MFNet-Grid-v0", {"population": 500}),
    ("MFNet-Grid-v0", {"population": 100, "layout": "four_corners"}),
    ("MFNet-RideShareNYC-v0", {}),
    ("MFNet-RideShareNYC-v0", {"occupied": "markov"}),
]

BOUNDS: list[tuple[str, dict[str, Any]]] = [
    *INSTANCES,
    ("MFNet-Grid-v0", {"population": 25, "layout": "four_corners"}),
    ("MFNet-Grid-v0", {"population": 500, "layout": "four_corners"}),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=256)
    parser.add_argument("--bounds", metavar="ID", help="the bounds of this id alone, without a simulation")
    parser.add_argument("--day", action="store_true", help="Manhattan through the day")
    options = parser.parse_args()
    if options.bounds:
        bounds(options.bounds)
    elif options.day:
        tables([("MFNet-RideShareNYC-v0", {"hour": "day"})], 64)
    else:
        tables(INSTANCES, options.worlds)
    return 0


def bounds(id: str) -> None:
    """A line for each instance of ``id``."""
    for env, options in (instance for instance in BOUNDS if instance[0] == id):
        model = mfnet_envs.make_model(env, **options)
        yardstick = Yardstick.of(model, model.bound())
        assert yardstick.bound is not None
        print(f"{_title(env, options)}: {yardstick.unit}; bound {yardstick.text(yardstick.bound)}", flush=True)


def tables(instances: list[tuple[str, dict[str, Any]]], worlds: int) -> None:
    """Every heuristic under both matchings, a table for each instance."""
    for env, options in instances:
        models = {m: mfnet_envs.make_model(env, **options, matching=m) for m in ("physical", "independent")}
        bound = models["physical"].bound()
        found = {m: measure(model, model.heuristics(), worlds=worlds, certificate=bound) for m, model in models.items()}
        yardstick = found["physical"].yardstick
        print(f"\n{_title(env, options)}: {yardstick.unit}; {worlds} worlds\n")
        rows = [["policy", *(f"{matching} matching" for matching in models)]]
        rows += [[name, *(m.interval(name) for m in found.values())] for name in found["physical"].results]
        if bound is not None:
            rows.append([f"bound ({bound.kind})", yardstick.text(bound.value), "the same"])
        print(as_markdown(rows), flush=True)


def _title(env: str, options: dict[str, Any]) -> str:
    return ", ".join([env, *(f"{key} {value}" for key, value in options.items())])


if __name__ == "__main__":
    sys.exit(main())
