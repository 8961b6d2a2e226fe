"""``mfnet env list``."""

from __future__ import annotations

import argparse

from mfnet_agents.cli.arguments import add_json, print_json

HELP = "list the environments"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    if options.json:
        print_json(tools.listing())
    else:
        print(tools.list_environments())
    return 0
