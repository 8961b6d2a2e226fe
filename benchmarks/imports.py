"""What `import mfnet_envs` costs beside the libraries that it rests on: ``python benchmarks/imports.py [--pairs 9]``.

CPU seconds of processes of their own, bytecode at hand, in pairs one after the other: a busy machine slows both.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys

THEIRS, OURS = "import gymnasium, pettingzoo, networkx", "import mfnet_envs"


def cpu(code: str) -> float:
    """CPU seconds of a new Python that runs ``code``, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    cpu(THEIRS), cpu(OURS)  # writes bytecode
    pairs = [(cpu(THEIRS), cpu(OURS)) for _ in range(options.pairs)]
    ratios = sorted(ours / theirs for theirs, ours in pairs)
    theirs, ours = (statistics.median(each) for each in zip(*pairs, strict=True))
    print(f"{THEIRS}: {theirs:.2f} s; {OURS}: {ours:.2f} s")
    print(f"ratio {statistics.median(ratios):.2f} (lowest {ratios[0]:.2f}, highest {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
