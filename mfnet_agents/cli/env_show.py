"""``mfnet env show``."""

from __future__ import annotations

import argparse

from mfnet_agents.cli.arguments import add_environment, add_json, answer, print_json

HELP = "print an environment's page: states, actions, reward, bound ..."


def arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    if options.json:
        print_json(answer(tools.describe, options.id, **dict(options.env)))
    else:
        print(answer(tools.show, options.id, **dict(options.env)))
    return 0
