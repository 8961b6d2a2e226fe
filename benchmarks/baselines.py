"""Every learner on three small instances: ``python benchmarks/baselines.py [NAME ...] [--seeds 2]``.

Defaults of each, the same budget (61k environment steps), the last policy and not the best; training seeds 0 .. n-1;
all policies of an instance on the worlds of ``benchmarks/everywhere.py``. An instance begins with its best heuristic.
"value" is the mean over seeds, "lowest" the worst one; "gap closed" is the share of the way from random to the bound.
Runs are kept in ``--out`` as they end and are not made twice.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from everywhere import INSTANCES, SEED, rate

import mfnet_envs
from mfnet_envs.measure import measure, percent
from mfnet_envs.tables import as_markdown
from mfnet_envs.yardstick import Yardstick

ROWS = ("twobytwo", "grid100", "share")
LEARNERS = (
    "DecNeuralAC", "LocalPPO", "IPPO", "MAPPO", "IndependentAC", "CentralisedAC", "MFQ", "MFAC", "ScalableAC", "CEM",
)  # fmt: skip


def trained(learner: str, env: str, env_config: dict[str, Any], seed: int, steps: int) -> tuple[Any, float]:
    """A learner with its defaults after ``steps`` environment steps, and the CPU seconds that this took."""
    import torch

    from mfnet_agents import registry

    warnings.simplefilter("ignore")  # credit_hops of the independent end is meant
    torch.set_num_threads(1)
    options = {"env": env, "env_config": env_config, "seed": seed, "total_env_steps": steps}
    algorithm = registry.config_class(learner).from_dict(options).build_algo()
    began = time.process_time()
    while algorithm.env_steps < steps:
        algorithm.train()
    return algorithm, time.process_time() - began


def learn(name: str, learner: str, seed: int) -> dict[str, Any]:
    """Train once and measure the last policy."""
    env, env_config, steps, worlds = INSTANCES[name]
    algorithm, seconds = trained(learner, env, env_config, seed, steps)
    found = measure(algorithm.model, {"learnt": algorithm.policy}, worlds=worlds, seed=SEED, certificate=None)
    said = {"information": algorithm.information, "seconds": seconds}
    return {"name": name, "learner": learner, "seed": seed, "value": found.results["learnt"].value, **said}


def table(records: list[dict[str, Any]]) -> str:
    """Markdown of all that is known."""
    rows = [["instance and learner", "value", "lowest", "gap closed", "seeds", "policies see"]]
    for name in ROWS:
        known = next((record for record in records if record["name"] == name and "bound" in record), None)
        if known is None:
            continue
        env, env_config, _, _ = INSTANCES[name]
        text = Yardstick.of(mfnet_envs.make_model(env, **env_config), None).text
        width = known["bound"] - known["random"]
        rows.append(
            [
                f"{name}, {known['heuristic']}",
                text(known["best"]),
                "",
                percent((known["best"] - known["random"]) / width),
                "",
                "",
            ]
        )
        for learner in LEARNERS:
            runs = [record for record in records if (record["name"], record.get("learner")) == (name, learner)]
            if runs:
                values = np.array([run["value"] for run in runs])
                closed = percent((values.mean() - known["random"]) / width)
                cells = [text(values.mean()), text(values.min()), closed, str(len(runs)), runs[0]["information"]]
                rows.append([f"{name}, {learner}", *cells])
    return as_markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(ROWS), help="instances, or instance:learner")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("baselines.jsonl"), help="where runs are kept")
    options = parser.parse_args()
    records = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    done = {(record["name"], record.get("learner"), record["seed"]) for record in records}
    wanted: list[tuple[str, str | None, int]] = []
    for given in options.names:
        name, _, learner = given.partition(":")
        if name not in ROWS or (learner and learner not in LEARNERS):
            parser.error(f"no row {given!r}; instances: {', '.join(ROWS)}; learners: {', '.join(LEARNERS)}")
        chosen = [learner] if learner else LEARNERS
        wanted += [(name, None, 0), *((name, one, seed) for one in chosen for seed in range(options.seeds))]
    jobs = [job for job in dict.fromkeys(wanted) if job not in done]
    with (
        ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool,
        options.out.open("a") as kept,
    ):
        running = {
            pool.submit(rate, name) if one is None else pool.submit(learn, name, one, seed): (name, one, seed)
            for name, one, seed in jobs
        }
        for future in as_completed(running):
            records.append(future.result())
            kept.write(json.dumps(records[-1]) + "\n")
            kept.flush()
            print(f"{running[future]}: {records[-1].get('value', '')}", file=sys.stderr, flush=True)
    print(table(records))


if __name__ == "__main__":
    main()
