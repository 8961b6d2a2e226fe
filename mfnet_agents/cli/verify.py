"""``mfnet verify``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mfnet_agents.cli.arguments import UsageError, add_json, add_pairs, answer, needs, print_json, whole

HELP = "put the paper's statements to the test on exact games, write a page"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="two minutes instead of half an hour")
    parser.add_argument("--only", nargs="+", action="extend", default=[], metavar="NAME", help="these experiments")
    parser.add_argument(
        "--model", metavar="ID", help="your own small model: an id, module:callable or file.py:callable"
    )
    add_pairs(parser, "--env", "KEY=VALUE", "options of the model")
    parser.add_argument("--seed", type=whole, default=0, help="seed of everything random (default 0)")
    parser.add_argument("--out", type=Path, default=Path("runs") / "verify", metavar="DIR", help="default runs/verify")
    add_json(parser, "one JSON object per line")


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    needs("matplotlib", "agents")
    from mfnet_theory import runner
    from mfnet_theory.statement import Settings

    if options.env and options.model is None:
        raise UsageError("--env gives options of a model; say which one with --model")
    model = None if options.model is None else answer(runner.small_model, options.model, **dict(options.env))
    settings = Settings(quick=options.quick, seed=options.seed, model=model)
    names = answer(runner.chosen, options.only, settings)

    def tell(experiment: Any) -> None:
        if options.json:
            for record in runner.as_records(experiment):
                print_json(record)
        else:
            print(runner.as_text(experiment), flush=True)

    found = runner.run(names, settings, options.out, tell)
    if options.json:
        print_json(found.as_record())
    else:
        print(f"wrote {found.page}")
    if found.failures:
        print(f"mfnet: {runner.failure(found.failures)}", file=sys.stderr)
    return 130 if found.missing else 1 if found.failures else 0
