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
from mfnet_agents.yardstick import Yardstick
from mfnet_envs.evaluate import evaluate

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
        certificate = models["physical"].bound()
        yardstick = Yardstick.of(models["physical"], certificate)
        title = ", ".join([env, *(f"{key} {value}" for key, value in options.items())])
        print(f"\n{title}: {yardstick.unit}; {worlds} worlds\n")
        print("| policy | physical matching | independent matching |\n|---|---|---|")
        policies = {matching: model.heuristics() for matching, model in models.items()}
        for name in policies["physical"]:
            reports = [evaluate(model, policies[m][name], worlds=worlds) for m, model in models.items()]
            print(f"| {name} | " + " | ".join(yardstick.text(*yardstick.read(r)) for r in reports) + " |", flush=True)
        if certificate is not None:
            print(f"| bound ({certificate.kind}) | {yardstick.text(certificate.value)} | the same |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
