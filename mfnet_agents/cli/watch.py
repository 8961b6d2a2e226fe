"""``mfnet watch``, and ``mfnet train --live``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mfnet_agents.cli.arguments import add_environment_of_runs, add_json, needs, print_json, vouch, whole
from mfnet_agents.progress import Progress

HELP = "show a run in the browser while it trains: a page on this machine only"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="RUN", type=Path, help="run folder; it may be finished, too")
    parser.add_argument("--port", type=whole, default=0, help="of 127.0.0.1 (default 0: any that is free)")
    add_environment_of_runs(parser)
    add_json(parser, "the address as one JSON object")


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    needs("matplotlib", "agents")
    from mfnet_agents.pages import live
    from mfnet_agents.runs import RunFolder

    vouch(options)
    if not live.is_training(options.path):  # one that has just begun may hold nothing yet
        RunFolder.open(options.path)
    RunFolder(options.path).read("config.json")
    with live.serving(options.path, options.port) as server:
        if options.json:
            print_json({"address": server.address})
        else:
            print(f"{options.path} is shown at {server.address} until it ends, or Ctrl-C", flush=True)
        live.follow(server)
    return 0


@contextmanager
def live_page(path: Path, port: int | None, shown: Progress) -> Iterator[None]:
    """The page of a run while the block trains it; nothing without a port.

    Raises:
        RunError: the port cannot be used.
    """
    if port is None:
        yield
        return
    needs("matplotlib", "agents")
    from mfnet_agents.pages import live

    with live.serving(path, port) as server:
        shown.say(f"shown at {server.address} while it trains")
        yield
        live.until_told(server)
