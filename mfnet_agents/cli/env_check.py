"""``mfnet env check``."""

from __future__ import annotations

import argparse
import sys

from mfnet_agents.cli.arguments import ENVIRONMENT, add_environment, add_json, answer, print_json

HELP = "check an environment, a model, or anyone's PettingZoo env (module:Class)"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser, f"{ENVIRONMENT}; it may also return a PettingZoo environment")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    try:
        report = answer(tools.check, options.id, **dict(options.env))
    except AssertionError as violation:
        sentences = str(violation).splitlines() or ["an assertion fails"]
        if options.json:
            print_json({"id": options.id, "ok": False, "violations": sentences})
            return 1
        listed = f" {sentences[0]}" if len(sentences) == 1 else "".join(f"\n  {line}" for line in sentences)
        print(f"mfnet: {options.id} does not keep the contract:{listed}", file=sys.stderr)
        return 1
    print_json({"id": options.id, "ok": True, "report": report.splitlines()}) if options.json else print(report)
    return 0
