"""``mfnet report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mfnet_agents.cli.arguments import add_environment_of_runs, add_json, needs, print_json, vouch

HELP = "write report.html of a run, or of a comparison: one self-contained page"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="RUN", type=Path, help="run folder, or the folder of a comparison")
    add_environment_of_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    needs("matplotlib", "agents")
    from mfnet_agents import progress
    from mfnet_agents.pages import comparison
    from mfnet_agents.pages import run as report

    vouch(options)
    if comparison.is_one(options.path):
        page = comparison.build(options.path)
    else:
        page = report.build(options.path, progress.choose(machine=options.json))
    if options.json:
        print_json({"page": str(page)})
    else:
        print(f"wrote {page}")
    return 0
