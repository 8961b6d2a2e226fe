"""Every heuristic and bound of every scenario, both matchings: ``python benchmarks/heuristics.py [--worlds 256]``.

Common worlds (seed 0); half-widths are 95 % over worlds. "full scale" is the unit of the scenario's bound.
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

INSTANCES: list[tuple[str, dict[str, Any]]] = [
    ("MFNet-Grid-v0", {"population": 25}),
    ("MFNet-Grid-v0", {"population": 100}),
    ("MFNet-Grid-v0", {"population": 500}),
    ("MFNet-Grid-v0", {"population": 100, "layout": "four_corners"}),
    ("MFNet-RideShareNYC-v0", {}),
    ("MFNet-RideShareNYC-v0", {"occupied": "markov"}),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=256)
    worlds = parser.parse_args().worlds
    for env, options in INSTANCES:
        models = {m: mfnet_envs.make_model(env, **options, matching=m) for m in ("physical", "independent")}
        bound = models["physical"].bound()
        found = {m: measure(model, model.heuristics(), worlds=worlds, certificate=bound) for m, model in models.items()}
        yardstick = found["physical"].yardstick
        title = ", ".join([env, *(f"{key} {value}" for key, value in options.items())])
        print(f"\n{title}: {yardstick.unit}; {worlds} worlds\n")
        rows = [["policy", *(f"{matching} matching" for matching in models)]]
        rows += [[name, *(m.interval(name) for m in found.values())] for name in found["physical"].results]
        if bound is not None:
            rows.append([f"bound ({bound.kind})", yardstick.text(bound.value), "the same"])
        print(as_markdown(rows), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
