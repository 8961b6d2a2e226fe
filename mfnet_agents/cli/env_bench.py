"""``mfnet env bench``."""

from __future__ import annotations

import argparse

from mfnet_agents.cli.arguments import add_environment, add_json, answer, print_json

HELP = "time an environment"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    speeds = answer(tools.bench, options.id, **dict(options.env))
    if options.json:
        print_json(speeds)
    else:
        print(tools.bench_table(speeds))
    return 0
