"""``mfnet demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mfnet_agents.cli.arguments import add_json, needs, positive, worlds

HELP = "learn a taxi policy for Manhattan, write a report (about 3 minutes)"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs") / "demo", metavar="DIR", help="default runs/demo")
    parser.add_argument("--steps", type=positive, metavar="BUDGET", help="environment steps of the main run")
    parser.add_argument("--worlds", type=worlds, help="worlds of every evaluation (default 256)")
    add_json(parser, "one JSON object per line")


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    needs("matplotlib", "agents")
    from mfnet_agents import demo

    return demo.run(options.out, steps=options.steps, worlds=options.worlds, machine=options.json)
