"""``python -m fuzz``: run the harness, or one case of it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from fuzz.judging import KINDS
from fuzz.running import Harness, one
from fuzz.targets import TARGETS, prepare

KEPT = Path(__file__).resolve().parents[1] / "fuzz-failures"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description="Inputs that nobody meant, for every door of mfnet."
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--kills", type=int, default=0, help="first kill so many processes (these minutes come on top)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--targets", nargs="+", choices=sorted(TARGETS), metavar="NAME", help=", ".join(TARGETS))
    parser.add_argument("--case", metavar="TARGET:NUMBER", help="this one, with its traceback")
    options = parser.parse_args()
    prepare(large=True)
    if options.case:
        name, _, number = options.case.partition(":")
        folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "case"
        found = one(TARGETS[name], options.seed, int(number), folder)
        print(f"{found.kind} {found.cause}\n{found.what}\ninput: {folder}")
        return 1 if found.kind in KINDS else 0
    chosen = [TARGETS[name] for name in options.targets or TARGETS]
    deadly = [target for target in chosen if target.name.startswith("kill")]
    harness = Harness(chosen, options.seed, options.jobs, KEPT)

    def say(line: str) -> None:
        print(line, flush=True)

    if options.kills and deadly:
        harness.targets = deadly
        harness.run(3600.0, kills=options.kills, say=say)
    harness.targets = [target for target in chosen if not (options.kills and target in deadly)]
    if harness.targets and options.minutes > 0:
        harness.run(60 * options.minutes, say=say)
    print(harness.summary())
    print("no faults" if not harness.faults else f"{harness.faults:,} faults; inputs in {KEPT}")
    return 1 if harness.faults else 0


if __name__ == "__main__":
    sys.exit(main())
