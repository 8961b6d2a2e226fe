"""``mfnet tune``: the comparison's search for one learner on one environment."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from mfnet_agents.cli.arguments import (
    UsageError,
    add_environment,
    add_json,
    add_pairs,
    answer,
    positive,
    print_json,
)
from mfnet_agents.cli.compare import add_workers, execute, hours, ready, workers_of

HELP = "search a learner's step sizes on an environment, and write a preset"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser)
    parser.add_argument(
        "algorithm", metavar="ALGORITHM", help="a learner as `mfnet compare` names it: IPPO, own.py:Config, sb3:PPO ..."
    )
    add_pairs(parser, "--set", "OPTION=VALUE", "options that every trial has")
    parser.add_argument("--trials", type=positive, default=8, metavar="N", help="configurations (default 8)")
    parser.add_argument("--budget", type=positive, metavar="STEPS", help="environment steps of each (default: shipped)")
    add_workers(parser)
    parser.add_argument(
        "--hours", type=hours, default=24.0, metavar="H", help="stop a trial after so long (default 24)"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where the trials stand (default comparisons/tune-...)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the preset (default FOLDER/preset.json)")
    parser.add_argument("--resume", action="store_true", help="go on; no trial that has ended is run again")
    add_json(parser, "one JSON object per line")


def run(options: argparse.Namespace) -> int:
    ready(options)
    from mfnet_agents.comparison import search, tuning
    from mfnet_agents.comparison.plan import ComparisonFolder, write_json
    from mfnet_agents.progress import choose
    from mfnet_envs import tables

    shown = choose(machine=options.json)
    text = options.algorithm + "".join(f",{key}={_typed(value)}" for key, value in options.set)
    if options.set and "=" not in options.algorithm:
        text = text.replace(",", ":", 1)
    plan = answer(search.plan_of, options.id, dict(options.env), text, options.trials, options.budget)
    folder = ComparisonFolder(options.folder or _default_folder(plan))
    out = options.out or folder.path / "preset.json"
    if out.is_dir():
        raise UsageError(f"{out} is a folder; name a file with --out")
    if options.resume and folder.is_begun():
        folder.must_be_of(plan)
    elif not options.resume:
        folder.must_be_new()
    with folder.owned(), closing(workers_of(folder, plan, options)) as workers:
        if not folder.is_begun():
            folder.begin(plan, command=shlex.join(["mfnet", *sys.argv[1:]]))

        try:
            execute(folder, plan, workers, options, shown)
        except KeyboardInterrupt:
            shown.say("stopped; the same command with --resume goes on")
            return 130
        record = search.preset_of(folder, plan)
        write_json(out, record)
        table = tuning.table(folder, plan)
    if options.json:
        print_json({"event": "result", **record, "preset": os.fspath(out), "folder": os.fspath(folder.path)})
        return 0
    print(tables.as_text(table))
    print(f"{record['notes'][0]}\n{out} is the preset; the same by hand:")
    print(f"  {_command(plan, record)}")
    return 0


def _typed(value: Any) -> str:
    """A value as it is typed, :func:`mfnet_envs.words.typed` backwards."""
    return value if isinstance(value, str) else json.dumps(value)


def _command(plan: Any, record: dict[str, Any]) -> str:
    """How to train with it; a guest is trained by comparisons alone."""
    [contender], [instance] = plan.contenders, plan.tuning_instances
    chosen = dict(record["options"])
    place = chosen.pop("env_config")
    if contender.guest:
        name = contender.bare
        chosen.pop("algorithm", None)
        pairs = ",".join(f"{key}={_typed(value)}" for key, value in chosen.items())
        return shlex.join(["mfnet", "compare", "SUITE", "--contenders", f"{name}:{pairs}" if pairs else name])
    said = ["mfnet", "train", instance.env, "--algorithm", contender.name, "--no-preset"]
    said += ["--env", *(f"{key}={_typed(value)}" for key, value in place.items())] if place else []
    return shlex.join([*said, "--set", *(f"{key}={_typed(value)}" for key, value in chosen.items())])


def _default_folder(plan: Any) -> Path:
    from mfnet_agents.comparison.plan import as_name

    digest = hashlib.sha256(json.dumps(plan.to_dict(), sort_keys=True).encode()).hexdigest()[:8]
    return Path("comparisons") / f"{as_name(plan.suite.id)}-{digest}"
