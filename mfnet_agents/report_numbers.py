"""The numbers of a report: policies side by side on common worlds, how far credit travels, where agents wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mfnet_agents.algorithm import Algorithm
from mfnet_agents.progress import Progress
from mfnet_agents.runs import RunFolder, measured
from mfnet_agents.yardstick import Yardstick
from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.simulator import Simulator

LEARNT = ("learnt, best", "learnt, last")

# What each heuristic is and needs, for the reader of a table.
NAMES = {
    "stay": "stay",
    "random": "random",
    "greedy": "greedy",
    "proportional": "proportional",
    "lp": "LP policy",
    "threshold_lp": "threshold-LP",
    "hybrid_lp": "tuned LP hybrid",
}
NEEDS = {
    "stay": "nothing: never moves",
    "random": "nothing: any neighbour with equal odds; where the learner starts",
    "greedy": "demand: drives to the busiest neighbour",
    "proportional": "demand: neighbours with odds proportional to it",
    "lp": "the model and a linear programme",
    "threshold_lp": "the model and a linear programme; leaves only as far as there are too many",
    "hybrid_lp": "the model, a linear programme, and two numbers searched on the simulated Manhattan",
    "learnt, best": "samples, the demand and trip tables, no solver; the iterate that was best on seeds of their own",
    "learnt, last": "the same; the last iterate",
}


def save_heuristics(
    folder: RunFolder, model: LocalModel, yardstick: Yardstick, worlds: int, seed: int, progress: Progress
) -> dict[str, Any]:
    """Measure every heuristic of the scenario on the same worlds and keep the numbers in the folder."""
    found: dict[str, Any] = {}
    for name, policy in model.heuristics().items():
        found[name] = measured(yardstick, model, policy, worlds, seed)
        progress.say(f"{NAMES.get(name, name)}: {interval(found[name], yardstick)}")
    record = {"worlds": worlds, "seed": seed, "policies": found}
    folder.write("heuristics.json", record)
    return record


def evaluate_path(path: Path, worlds: int, seed: int) -> dict[str, Any]:
    """The policies of a run folder (best, last) or of one checkpoint, beside the random policy.

    Returns:
        ``{"policies": {name: measured}, "yardstick": {...}, "worlds", "seed"}``.
    """
    if (path / "config.json").is_file():
        folder = RunFolder.open(path)
        yardstick = folder.yardstick()
        algorithms = {LEARNT[0]: folder.best, LEARNT[1]: folder.last}
        learnt = {name: Algorithm.from_checkpoint(place) for name, place in algorithms.items()}
        model = learnt[LEARNT[1]].model
    else:
        learnt = {"learnt": Algorithm.from_checkpoint(path)}
        model = learnt["learnt"].model
        yardstick = Yardstick.of(model, model.bound())
    policies: dict[str, Policy] = {"random": uniform(model), **{name: a.policy for name, a in learnt.items()}}
    numbers = {name: measured(yardstick, model, policy, worlds, seed) for name, policy in policies.items()}
    return {"policies": numbers, "yardstick": yardstick.to_dict(), "worlds": worlds, "seed": seed}


def interval(entry: dict[str, Any], yardstick: Yardstick) -> str:
    """``2,336.0 ± 0.8``."""
    return yardstick.text(entry["value"], entry["ci95"])


Row = tuple[str, ...]


def table(policies: dict[str, Any], yardstick: Yardstick) -> list[Row]:
    """Head, then rows from worst to best, then the bound.

    Columns: policy, headline, share of the gap from random to the bound, and where the headline is another one, the
    discounted return per agent.
    """
    rows: list[Row] = [("policy", yardstick.unit, "gap closed", "discounted return per agent")]
    random = policies["random"]["value"]
    for name, entry in sorted(policies.items(), key=lambda item: float(item[1]["value"])):
        gap = yardstick.gap_closed(entry["value"], random)
        rows.append((NAMES.get(name, name), interval(entry, yardstick), _percent(gap), _discounted(entry["report"])))
    if yardstick.bound is not None:
        rows.append(("bound", yardstick.text(yardstick.bound), _percent(1.0), ""))
    return rows if yardstick.key != "discounted_return" else [row[:3] for row in rows]


def _discounted(report: dict[str, float]) -> str:
    entry = {"value": report["discounted_return_mean"], "ci95": report["discounted_return_ci95"]}
    return interval(entry, Yardstick("discounted_return", 1.0, "", None))


def as_text(policies: dict[str, Any], yardstick: Yardstick) -> str:
    """:func:`table` for a terminal."""
    rows = table(policies, yardstick)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def executions(policies: dict[str, Any], yardstick: Yardstick) -> list[str]:
    """One line for each policy whose teams act as one: what it reaches with agents that draw for themselves."""
    lines = []
    for name, entry in policies.items():
        report = entry["report"]
        if f"execution_gap_{yardstick.key}_mean" not in report:
            continue
        alone, gap = (
            yardstick.text(
                *yardstick.read({k.removeprefix(start): v for k, v in report.items() if k.startswith(start)})
            )
            for start in ("individual_execution_", "execution_gap_")
        )
        lines.append(f"{NAMES.get(name, name)}, every agent for itself: {alone} (teams minus individuals: {gap})")
    return lines


def _percent(gap: float | None) -> str:
    return "" if gap is None else f"{100 * gap:.1f} %"


def verdict(learnt: dict[str, Any], other: dict[str, Any]) -> str:
    """ "above", "below" or "level with": the first two only where the 95 % intervals do not touch."""
    difference, reach = learnt["value"] - other["value"], (learnt["ci95"] or np.inf) + (other["ci95"] or np.inf)
    if not abs(difference) > reach:
        return "level with"
    return "above" if difference > 0 else "below"


def sentences(policies: dict[str, Any], yardstick: Yardstick) -> list[str]:
    """What the numbers say, and no more."""
    name = LEARNT[0] if LEARNT[0] in policies else LEARNT[1]
    learnt = policies[name]
    gap = yardstick.gap_closed(learnt["value"], policies["random"]["value"])
    said = [f"The learnt policy reaches {interval(learnt, yardstick)} ({yardstick.unit})"]
    if gap is not None and yardstick.bound is not None:
        said[0] += f": {_percent(gap)} of the way from random to the bound {yardstick.text(yardstick.bound)}"
    said[0] += "."
    standing: dict[str, list[str]] = {"above": [], "level with": [], "below": []}
    for other in policies:
        if other not in LEARNT:
            standing[verdict(learnt, policies[other])].append(NAMES.get(other, other))
    found = [f"{verb} {', '.join(names)}" for verb, names in standing.items() if names]
    if found:
        said.append(f"By its 95 % interval it is {'; '.join(found)}.")
    return said


def waiting(model: LocalModel, policy: Policy, worlds: int, seed: int) -> Floats:
    """``(V,)`` mean number of agents of group 0 (the idle) in every node over the evaluated steps."""
    simulator, rng = Simulator(model), np.random.default_rng(seed)
    steps, warmup = model.evaluation
    counts = simulator.reset(rng, worlds)
    total = np.zeros(model.network.num_nodes)
    for t in range(steps):
        if t >= warmup:
            total += simulator.crowd(counts)[:, :, 0].mean(0)
        counts, _ = simulator.at(t).step(counts, policy.sample(counts, t, rng), rng)
    return total / (steps - warmup)
