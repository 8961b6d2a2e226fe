"""What planners reach, between random and the bound: ``python benchmarks/planners.py [ID ...] [--worlds 8]``.

For every id (all of them, or those named): random, the best heuristic (the best of all in the same worlds), the class
reference, re-planning with agents that draw for themselves and with teams that draw together, and the bound. Common
worlds (seed 20261122), half-widths of 95 % intervals over worlds, and CPU seconds: of the planning for the class
reference, of planning and playing for the others. ``--jobs`` instances are measured at a time. ``--steps`` cuts
episodes, for a look: half of them are warm-up then, and a discounted sum, which is smaller, has no bound beside it.

The budgets stand in ``ROWS``. docs/planners.md says what each of the planners knows.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import mfnet_envs
from mfnet_envs.evaluate import half_width, worlds_of
from mfnet_envs.policy import Policy
from mfnet_envs.programmes import Replan, Together, planners
from mfnet_envs.tables import as_markdown
from mfnet_envs.yardstick import Yardstick

SEED = 20261122


class Row(NamedTuple):
    """An instance, and the budgets of its class reference and of its re-planning."""

    options: dict[str, Any]
    reference: dict[str, Any]
    replan: dict[str, Any]


SHORT = {"steps": 32, "iterations": 200}
LONG = {"steps": 64, "iterations": 100, "worlds": 8}
ROWS: dict[str, list[Row]] = {
    "MFNet-Grid-v0": [
        Row({"population": 25}, SHORT, {"horizon": 4}),
        Row({"population": 100}, SHORT, {"horizon": 4}),
        Row({"population": 100, "layout": "four_corners"}, SHORT, {"horizon": 4}),
        Row({"population": 500}, SHORT, {"horizon": 4, "pieces": 12}),
    ],
    "MFNet-RideShareNYC-v0": [
        Row({}, {"steps": 48, "iterations": 60, "worlds": 8}, {"horizon": 4, "pieces": 16}),
        Row(
            {"weekday": "monday", "hour": 8}, {"steps": 48, "iterations": 60, "worlds": 8}, {"horizon": 4, "pieces": 16}
        ),
    ],
    "MFNet-Courier-v0": [Row({}, LONG | {"worlds": 16}, {"horizon": 4})],
    "MFNet-Resource-v0": [
        Row({}, {"steps": 16, "iterations": 200}, {"horizon": 4}),
        Row({"mode": "aloha"}, {"steps": 16, "iterations": 200}, {"horizon": 2}),
    ],
    "MFNet-SIS-v0": [Row({}, LONG | {"worlds": 16}, {"horizon": 32, "iterations": 5})],
    "MFNet-TwoByTwo-v0": [Row({}, {"steps": 32, "iterations": 100}, {"horizon": 24, "iterations": 5})],
    "MFNet-Pigou-v0": [Row({}, LONG, {"horizon": 32, "iterations": 5})],
    "MFNet-Braess-v0": [Row({}, LONG | {"steps": 128}, {"horizon": 96, "iterations": 2})],
    "MFNet-Packet-v0": [Row({}, LONG, {"horizon": 32, "iterations": 5})],
    "MFNet-Routing-v0": [Row({}, LONG, {"horizon": 32, "iterations": 5})],
}
Job = tuple[str, Row, int, int | None, bool]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ID", default=list(ROWS), help="default: all")
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--steps", type=int, help="of an episode, half of them warm-up for an average")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--no-replan", action="store_true", help="leave out what takes longest")
    options = parser.parse_args()
    unknown = [id for id in options.ids if id not in ROWS]
    if unknown:
        parser.error(f"no id of that name: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    jobs = [(id, row, options.worlds, options.steps, not options.no_replan) for id in options.ids for row in ROWS[id]]
    if options.jobs == 1:
        for job in jobs:
            print(table(job), flush=True)
        return 0
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for text in pool.map(table, jobs):
            print(text, flush=True)
    return 0


def table(job: Job) -> str:
    """The table of one instance."""
    id, row, worlds, steps, replanned = job
    model = mfnet_envs.make_model(id, **row.options)
    whole = steps is None or model.headline.criterion == "average"
    yardstick = Yardstick.of(model, model.bound() if whole else None)
    warmup = None if steps is None else (steps // 2 if model.evaluation[1] else 0)

    def value(policy: Policy, *ways: str) -> list[tuple[float, float, float]]:
        """Mean, half-width and seconds; of a policy whose teams act as one also with agents that draw alone."""
        begun = time.process_time()
        found = worlds_of(model, policy, worlds=worlds, seed=SEED, steps=steps, warmup=warmup)
        spent = (time.process_time() - begun) / (1 + len(ways))
        values = [yardstick.scale * found[way + yardstick.key] for way in (*ways, "")]
        return [(float(each.mean()), half_width(each), spent) for each in values]

    rules = {name: value(policy)[0] for name, policy in model.heuristics().items()}
    best = max(rules, key=lambda name: rules[name][0])
    found = {"random": rules["random"], f"best heuristic ({best})": rules[best]}
    begun = time.process_time()
    reference = planners(model)["class_reference"](rng=np.random.default_rng(0), **row.reference)
    spent = time.process_time() - begun
    found["class reference, pi(s, n_s)"] = (*value(reference)[0][:2], spent)
    if replanned:
        planner = planners(model)["replan"](**row.replan)
        if isinstance(planner, Replan):
            alone, together = value(Together(planner), "individual_execution_")
            found |= {"planned again": alone, "planned again, teams draw together": together}
        else:
            found["planned again, by gradients"] = value(planner)[0]
    rows = [["policy", yardstick.unit, "of the way to the bound", "CPU s"]]
    for name, (mean, ci95, seconds) in found.items():
        way = yardstick.gap_closed(mean, found["random"][0])
        rows.append([name, yardstick.text(mean, ci95), "" if way is None else f"{100 * way:.1f} %", f"{seconds:.0f}"])
    if yardstick.bound is not None:
        rows.append(["bound", yardstick.text(yardstick.bound), "100.0 %", ""])
    title = ", ".join([id, *(f"{key} {text}" for key, text in row.options.items())])
    return f"\n{title}; {worlds} worlds\n\n{as_markdown(rows)}"


if __name__ == "__main__":
    sys.exit(main())
