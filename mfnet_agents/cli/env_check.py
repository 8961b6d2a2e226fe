"""``mfnet env check``."""

from __future__ import annotations

import argparse
import sys

from mfnet_agents.cli.arguments import ENVIRONMENT, add_environment, answer

HELP = "check an environment, a model, or anyone's PettingZoo env (module:Class)"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser, f"{ENVIRONMENT}; it may also return a PettingZoo environment")


def run(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    try:
        print(answer(tools.check, options.id, **dict(options.env)))
    except AssertionError as violation:
        sentences = str(violation).splitlines() or ["an assertion fails"]
        listed = f" {sentences[0]}" if len(sentences) == 1 else "".join(f"\n  {line}" for line in sentences)
        print(f"mfnet: {options.id} does not keep the contract:{listed}", file=sys.stderr)
        return 1
    return 0
