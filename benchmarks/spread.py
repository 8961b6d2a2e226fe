"""How much what is learnt differs from seed to seed, on two instruction sets: the table in tests/test_learning.py.

    python benchmarks/spread.py line6 grid --seeds 80

Half of the runs are made as this processor makes them (seeds 0 .. n-1), half without its newer instructions (seeds 100
.. 100+n-1, scripts/plain_cpu.py): the same seeds would not be independent. Printed are the mean, the deviation, the
lowest runs, and what tests/chance.py makes of their number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]


def cases() -> dict[str, Callable[[int], float]]:
    """What one run from a seed ends with, by name."""
    import test_learning as here

    from mfnet_theory import learning

    def reached(name: str, **options: Any) -> Callable[[int], float]:
        return lambda seed: here.learnt.__wrapped__(name, seed, **options)[1]

    instance = learning.solved(0)
    found = {name: reached(name) for name in here.INSTANCES}
    found |= {f"{name}, bracket": reached(name, critic_form="v") for name in here.INSTANCES}
    found |= {f"kappa={k}": reached("line6", hops=min(1, k), credit_hops=k) for k in (0, 1, 2, 3)}
    found["printed"] = lambda seed: here.printed(seed)[1]
    found["practical"] = lambda seed: instance.share(learning.practical(instance, seed, 1, 2).values.max())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seeds", type=int, default=80, help="on each instruction set (default 80)")
    parser.add_argument("--from", type=int, dest="first", help="run seeds from here in this very process; print JSON")
    options = parser.parse_args()
    if options.first is not None:
        for name in options.names:
            for seed in range(options.first, options.first + options.seeds):
                print(json.dumps([name, seed, float(cases()[name](seed))]), flush=True)
        return
    from chance import may_miss, share_below
    from plain_cpu import variables

    for name in options.names:
        halves = [_runs(name, 0, options.seeds, {}), _runs(name, 100, options.seeds, variables())]
        found = np.concatenate(halves)
        means = " and ".join(f"{half.mean():.3f} (sd {half.std(ddof=1):.3f})" for half in halves)
        lowest = ", ".join(f"{x:.3f}" for x in np.sort(found)[:5])
        allowed = may_miss(5, len(found))
        print(
            f"{name}: {len(found)} runs, {means}; lowest {lowest}; at most {share_below(len(found)):.1%} lie below, "
            f"{allowed} of 5 may",
            flush=True,
        )


def _runs(name: str, first: int, seeds: int, around: dict[str, str]) -> np.ndarray:
    command = [sys.executable, __file__, name, "--seeds", str(seeds), "--from", str(first)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **around}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return np.array([json.loads(line)[2] for line in done.stdout.splitlines()])


if __name__ == "__main__":
    main()
