"""``mfnet export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mfnet_agents.cli.arguments import add_environment_of_runs, add_json, answer, needs, print_json, vouch

HELP = "write what a run has learnt as plain files: CSV, GeoJSON, and a policy that plays without torch"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="RUN", type=Path, help="run folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default RUN/export)")
    parser.add_argument("--rule", metavar="NAME", help="a heuristic of the scenario, in place of what was learnt")
    add_environment_of_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    from mfnet_agents.runs import RunFolder
    from mfnet_agents.runs.export import export

    vouch(options)
    out = options.out or options.path / "export"
    files = answer(export, RunFolder.open(options.path), out, rule=options.rule)
    if options.json:
        print_json({"files": [str(file) for file in files]})
    else:
        print(f"wrote {', '.join(file.name for file in files)} into {out}")
    return 0
