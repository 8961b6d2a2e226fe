"""``mfnet env instances``."""

from __future__ import annotations

import argparse

from mfnet_agents.cli.arguments import add_json, answer, print_json

HELP = "list the instances of the splits, with what makes them hard and their hashes"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("family", nargs="?", metavar="FAMILY", help="of one family only; default: all")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from mfnet_envs import instances

    found = answer(instances.listing, options.family)
    if options.json:
        print_json(found)
        return 0
    for one in found:
        knobs = ", ".join(f"{name} {value}" for name, value in one["knobs"].items())
        print(f"{one['name']:24} {one['id']:22} {one['hash'][:12]}  {knobs}")
    for family in dict.fromkeys(one["name"].partition("-")[0] for one in found):
        print(f"{family}: size, imbalance and congestion are {instances.FAMILIES[family].knobs}")
    return 0
