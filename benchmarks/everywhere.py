"""The learner on every scenario with its defaults: ``python benchmarks/everywhere.py [NAME ...] [--seeds 5]``.

One set of options for all rows; only the budget and, where a row says so, what a policy sees differ. Nothing is
selected: every number is of the last policy, training seeds are 0 .. n-1. All policies of an instance are evaluated on
the same worlds (seed 20261128, used for nothing else). A learnt policy's interval is over training seeds (Student's t)
and over worlds, added in quadrature; "lowest" is the worst seed. "gap closed" is the share of the way from random to
the bound. Runs are kept in ``--out`` as they end and are not made twice: it may be stopped at any time.

Row names: an instance, or instance:form with the form ``hop`` (policies see the crowds one hop away), ``bracket`` (the
form with critics, 61k steps) or ``counted``. ``siouxfalls`` is read below the folder MFNET_TNTP (Transportation
Networks for Research); other networks come with topohub.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import mfnet_envs
from mfnet_envs.evaluate import half_width
from mfnet_envs.measure import measure, percent
from mfnet_envs.tables import as_markdown
from mfnet_envs.yardstick import Yardstick

SEED = 20261128
SHORT, LONG = 61_440, 122_880  # environment steps
GRID, CITY, PACKET = "MFNet-Grid-v0", "MFNet-RideShareNYC-v0", "MFNet-Packet-v0"
# its times are hundredths of an hour, its trips per hour
SIOUX_FALLS = str(Path(os.environ.get("MFNET_TNTP", "."), "SiouxFalls", "SiouxFalls_net.tntp"))
Instance = tuple[str, dict[str, Any], int, int]  # id, env_config, environment steps, worlds


def _grid(population: int, **more: Any) -> Instance:
    return GRID, {"population": population, **more}, SHORT, 256


def _city(weekday: str, hour: int | str, worlds: int = 64, **more: Any) -> Instance:
    return CITY, {"weekday": weekday, "hour": hour, **more}, LONG if hour == "day" else SHORT, worlds


INSTANCES: dict[str, Instance] = {
    "twobytwo": ("MFNet-TwoByTwo-v0", {}, SHORT, 128),
    "pigou": ("MFNet-Pigou-v0", {}, SHORT, 128),
    "braess": ("MFNet-Braess-v0", {}, SHORT, 256),
    "share": ("MFNet-Resource-v0", {}, SHORT, 128),
    "aloha": ("MFNet-Resource-v0", {"mode": "aloha"}, SHORT, 256),
    "sis": ("MFNet-SIS-v0", {}, SHORT, 256),
    "courier": ("MFNet-Courier-v0", {}, SHORT, 32),
    **{f"grid{n}": _grid(n) for n in (25, 100, 500, 2000)},
    **{f"corners{n}": _grid(n, layout="four_corners") for n in (100, 500, 2000)},
    "thursday18": _city("thursday", 18),
    "monday8": _city("monday", 8),
    "friday23": _city("friday", 23),
    "tuesday13": _city("tuesday", 13),
    "wednesday3": _city("wednesday", 3),
    "thursday18-8000": _city("thursday", 18, 16, population=8000),
    "day": _city("thursday", "day", 16),
    "packet": (PACKET, {}, SHORT, 64),
    "routing": ("MFNet-Routing-v0", {}, SHORT, 64),
    "abilene": (PACKET, {"network": "topohub:sndlib/abilene"}, SHORT, 32),
    "geant": (PACKET, {"network": "topohub:sndlib/geant"}, SHORT, 16),
    "siouxfalls": ("MFNet-Routing-v0", {"network": SIOUX_FALLS, "time_unit": 0.01, "population": 10_000}, SHORT, 8),
}
FORMS: dict[str, dict[str, Any]] = {
    "own": {},
    "hop": {"observe": 1},
    "bracket": {"critic_form": "v"},
    "counted": {"law": "counted"},
}


def learn(name: str, form: str, seed: int) -> dict[str, Any]:
    """Train once and measure the last policy."""
    import torch

    from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig

    torch.set_num_threads(1)
    env, env_config, steps, worlds = INSTANCES[name]
    options = {"env": env, "env_config": env_config, "seed": seed, "total_env_steps": steps, **FORMS[form]}
    algorithm = DecNeuralACConfig.from_dict(options).build_algo()
    began = time.process_time()
    while algorithm.env_steps < steps:
        algorithm.train()
    seconds = time.process_time() - began
    found = measure(algorithm.model, {"learnt": algorithm.policy}, worlds=worlds, seed=SEED, certificate=None)
    result = found.results["learnt"]
    return {"name": name, "form": form, "seed": seed, "value": result.value, "ci95": result.ci95, "seconds": seconds}


def rate(name: str) -> dict[str, Any]:
    """Random, the best heuristic, and the bound."""
    env, env_config, _, worlds = INSTANCES[name]
    model = mfnet_envs.make_model(env, **env_config)
    found = measure(model, model.heuristics(), worlds=worlds, seed=SEED)
    values = {policy: result.value for policy, result in found.results.items()}
    best = max(values, key=lambda policy: values[policy])
    return {
        "name": name, "form": "known", "seed": 0, "random": values["random"], "best": values[best], "heuristic": best,
        "bound": found.yardstick.bound,
    }  # fmt: skip


def row(runs: list[dict[str, Any]], known: dict[str, Any]) -> list[str]:
    """The cells of one learner."""
    values = np.array([run["value"] for run in sorted(runs, key=lambda run: run["seed"])])
    over_worlds = math.sqrt(sum(run["ci95"] ** 2 for run in runs)) / len(runs)
    over_seeds = half_width(values) if len(values) > 1 else 0.0
    interval = math.hypot(over_worlds, over_seeds)
    env, env_config, steps, _ = INSTANCES[runs[0]["name"]]
    yardstick = replace(Yardstick.of(mfnet_envs.make_model(env, **env_config), None), bound=known["bound"])
    text, gap = yardstick.text, yardstick.gap_closed(float(values.mean()), known["random"])
    return [
        f"{runs[0]['name']}{'' if runs[0]['form'] == 'own' else ', ' + runs[0]['form']}",
        text(known["random"]), f"{text(known['best'])} ({known['heuristic']})", text(values.mean(), interval),
        text(values.min()), "" if known["bound"] is None else text(known["bound"]), percent(gap),
        str(len(values)), f"{steps // 1000}k", f"{np.mean([run['seconds'] for run in runs]):.0f}",
    ]  # fmt: skip


HEAD = [
    "instance", "random", "best heuristic", "learnt", "lowest", "bound", "gap closed", "seeds", "steps", "CPU s",
]  # fmt: skip


def table(records: list[dict[str, Any]]) -> str:
    """Markdown of all that is known."""
    rows = [HEAD]
    for name in INSTANCES:
        mine = [record for record in records if record["name"] == name]
        known = next((record for record in mine if record["form"] == "known"), None)
        learnt = {form: [record for record in mine if record["form"] == form] for form in FORMS}
        learnt = {form: runs for form, runs in learnt.items() if runs}
        if known is None or not learnt:
            continue
        rows += [row(runs, known) for runs in learnt.values()]
    return as_markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(INSTANCES), help="rows; default: every instance")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--out", type=Path, default=Path("everywhere.jsonl"), help="where runs are kept (default: %(default)s)"
    )
    parser.add_argument("--print", action="store_true", help="print the table of what there is")
    options = parser.parse_args()
    records = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    if options.print:
        print(table(records))
        return
    done = {(record["name"], record["form"], record["seed"]) for record in records}
    wanted: list[tuple[str, str, int]] = []
    for given in options.names:
        name, _, form = given.partition(":")
        if name not in INSTANCES or (form or "own") not in FORMS:
            parser.error(f"no row {given!r}; instances: {', '.join(INSTANCES)}; forms: {', '.join(FORMS)}")
        wanted += [(name, "known", 0), *((name, form or "own", seed) for seed in range(options.seeds))]
    jobs = [job for job in dict.fromkeys(wanted) if job not in done]
    with (
        ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool,
        options.out.open("a") as kept,
    ):
        running = {
            pool.submit(rate, name) if form == "known" else pool.submit(learn, name, form, seed): (name, form, seed)
            for name, form, seed in jobs
        }
        for future in as_completed(running):
            record = future.result()
            kept.write(json.dumps(record) + "\n")
            kept.flush()
            records.append(record)
            value = record.get("value", record.get("bound"))
            print(f"{running[future]}: {value}", file=sys.stderr, flush=True)
    print(table(records))


if __name__ == "__main__":
    main()
