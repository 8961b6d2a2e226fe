"""``mfnet what-if``: what a run has learnt, the bound and the rules, here and there, side by side."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from mfnet_agents.cli.arguments import (
    UsageError,
    add_environment_of_runs,
    add_json,
    add_pairs,
    answer,
    needs,
    print_json,
    vouch,
    whole,
    worlds,
)
from mfnet_agents.cli.evaluate import elsewhere, policies_of, solved

HELP = "change something (a link, the demand, the fleet): the same policy, a retrained one and the new bound"
SAME, RETRAINED = "learnt here", "retrained there"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="RUN", type=Path, help="run folder")
    add_pairs(parser, "--on", "KEY=VALUE", "what is changed, options of the environment: fleet=200, close='[1, 2]' ...")
    parser.add_argument("--retrain", action="store_true", help="train there too, with the run's options and budget")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="run folder of the retrained policy (default RUN-on-KEY-VALUE)"
    )
    parser.add_argument("--worlds", type=worlds, help="independent worlds (default 256)")
    parser.add_argument("--seed", type=whole, help="seed of the worlds (default: that of result.json)")
    add_environment_of_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    import mfnet_envs
    from mfnet_agents import progress, runs
    from mfnet_envs.measure import measure

    vouch(options)
    if not options.on:
        raise UsageError("say what changes: --on KEY=VALUE, such as --on fleet=200")
    learnt = policies_of(options.path, ["best"])
    here = next(iter(learnt.values()))
    changed = {**here.config.env_config, **dict(options.on)}
    model = answer(mfnet_envs.make_model, here.config.env, **changed)
    there: dict[str, Any] = {}
    try:
        there[SAME] = next(iter(elsewhere(learnt, dict(options.on)).values()))
    except UsageError as error:
        if not options.retrain:
            raise UsageError(f"{error}; or say --retrain") from None
        print(f"note: {error}", file=sys.stderr)
    if options.retrain:
        config = here.config.copy().environment(here.config.env, env_config=changed)
        algorithm = answer(config.build_algo)
        folder = runs.RunFolder.create(options.out or _beside(options.path, options.on))
        command = shlex.join(["mfnet", *sys.argv[1:]])
        shown = progress.choose(machine=options.json)
        result = runs.train(algorithm, folder, worlds=options.worlds or 16, progress=shown, command=command)
        if result["interrupted"]:
            return 130
        there[RETRAINED] = folder.algorithm(folder.best).policy
    common = {
        "worlds": options.worlds or runs.REPORT_WORLDS,
        "seed": runs.REPORT_SEED if options.seed is None else options.seed,
    }
    rules = here.model.heuristics()
    before = answer(
        measure, here.model, {**rules, SAME: here.policy}, certificate=solved([options.path]) or "solve", **common
    )
    after = answer(measure, model, {**model.heuristics(), **there}, **common)
    if options.json:
        print_json({"on": dict(options.on), "before": before.to_dict(), "after": after.to_dict()})
        return 0
    print(side_by_side(before, after))
    print("there: " + ", ".join(f"{name}={value}" for name, value in options.on))
    print(f"{common['worlds']} worlds, seed {common['seed']}")
    for line in after.footnotes():
        print(line)
    return 0


def side_by_side(before: Any, after: Any) -> str:
    """Both measurements in one table, the policies in the order of what they reach there, then those of here alone."""
    from mfnet_envs import tables
    from mfnet_envs.measure import BOUND

    rows = [[f"policy: {after.yardstick.unit}", "here", "there", "gap closed there"]]
    names = [*(name for name in before.ranked() if name not in after.results), *after.ranked()]
    for name in names:
        cells = [m.interval(name) if name in m.results else "" for m in (before, after)]
        rows.append([after.label(name), *cells, after.row(name)[2] if name in after.results else ""])
    bounds = [m.yardstick for m in (before, after)]
    if any(yardstick.bound is not None for yardstick in bounds):
        rows.append([BOUND, *("" if y.bound is None else y.text(y.bound) for y in bounds), ""])
    return tables.as_text(rows)


def _beside(path: Path, changed: list[tuple[str, Any]]) -> Path:
    said = "-".join(f"{name}-{value}" for name, value in changed)
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in said)[:60]
    return path.with_name(f"{path.resolve().name}-on-{kept}")
