"""How large a network can be learnt on: CPU seconds and peak memory, each row in a process of its own.

Run `python benchmarks/size.py [--json] [ROW ...]` with the beginnings of rows' names. Peak memory is what the process
held at most, Python, numpy and torch included: the row "import" says what these take alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")


def imported() -> None:
    """Nothing but the imports."""


def grid(side: int, population: int = 100, **options: Any) -> Any:
    """The learner on a ``side`` x ``side`` grid, built."""
    env_config = {"rows": side, "cols": side, "population": population}
    return config(env_config).training(**options).build_algo()


def line(nodes: int, **options: Any) -> Any:
    """The learner on a line of ``nodes``, built."""
    edges = [[v, v + 1] for v in range(nodes - 1)]
    return config({"graph": edges, "population": 100, "demand": [1.0] * nodes}).training(**options).build_algo()


def config(env_config: dict[str, Any]) -> Any:
    from mfnet_agents import DecNeuralACConfig

    return DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=env_config)


ROWS: dict[str, Callable[[], object]] = {
    "import": imported,
    "build, 100 x 100, credit_hops 3": lambda: grid(100, credit_hops=3),
    "build, 100 x 100": lambda: grid(100),
    "build, line of 10^5": lambda: line(100_000),
    "iteration, 100 x 100": lambda: grid(100).train(),
    "iteration with 10^6 agents, 100 x 100": lambda: grid(100, 1_000_000).train(),
}


def measured(name: str) -> tuple[float, float, float]:
    """CPU seconds without the imports, megabytes at the peak, and megabytes after the imports."""
    import mfnet_agents.dec_neural_ac.algorithm  # noqa: F401 (so that its import is not counted)

    before, start = peak(), time.process_time()
    ROWS[name]()
    return time.process_time() - start, peak(), before


def peak() -> float:
    """Megabytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="beginnings of rows' names; default all")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.one)))
        return
    found = {}
    for name in ROWS:
        if given.rows and not name.startswith(tuple(given.rows)):
            continue
        command = [sys.executable, __file__, "--one", name]
        seconds, megabytes, imports = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        found[name] = {"cpu_s": round(seconds, 2), "peak_mb": round(megabytes), "imports_mb": round(imports)}
        if not given.json:
            print(f"{name:36} {seconds:7.2f} s {megabytes:7.0f} MB   (imports {imports:.0f} MB)", flush=True)
    if given.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
