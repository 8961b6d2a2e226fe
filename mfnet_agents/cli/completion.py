"""``mfnet completion``: the rules by which a shell completes verbs, options and files; written by shtab."""

from __future__ import annotations

import argparse
from pathlib import Path

from mfnet_agents.cli.arguments import needs

HELP = "print the rules by which bash, zsh, fish or tcsh completes this command"
SHELLS = ("bash", "zsh", "fish", "tcsh")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="write the output into a file that it reads at its start")


def run(options: argparse.Namespace) -> int:
    needs("shtab", "completion")
    import shtab

    from mfnet_agents.cli import parser

    top = parser()
    offer_files(top)
    print(shtab.complete(top, options.shell))
    return 0


def offer_files(parser: argparse.ArgumentParser) -> None:
    """Files and folders wherever a path is asked for, in the parser and in those of its verbs."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                offer_files(command)
        elif action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
