"""A graph network beside policies of one node, after little: ``python benchmarks/graph.py [NAME ...] [--steps 10240]``.

Defaults of each, equal environment steps, the last policy, on the worlds of ``benchmarks/everywhere.py``, whose
instances these are; brooklyn is RL4AMOD's, read from the folder that MFNET_RL4AMOD names. "gap closed" is the share of
the way from random to the certified bound.
"""

from __future__ import annotations

import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from baselines import trained
from everywhere import INSTANCES, SEED

from mfnet_envs.measure import measure, percent
from mfnet_envs.tables import as_markdown

ROWS = ("grid100", "share", "aloha", "sis", "thursday18", "brooklyn")
LEARNERS = ("GraphAC", "DecNeuralAC")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=ROWS, help="instances, or instance:learner (default: all)")
    parser.add_argument("--steps", type=int, default=10_240, help="environment steps of a training (default 10240)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = [["instance", "learner", "random", "learnt", "bound", "gap closed", "policies see"]]
    for given in options.names:
        name, _, learner = given.partition(":")
        if name not in ROWS or learner not in ("", *LEARNERS):
            parser.error(f"no row {given!r}; instances: {', '.join(ROWS)}; learners: {', '.join(LEARNERS)}")
        rows += [row(name, one, options.steps, options.seed) for one in ([learner] if learner else LEARNERS)]
        print(as_markdown(rows), flush=True)
    return 0


def row(name: str, learner: str, steps: int, seed: int) -> list[str]:
    """Train once and measure the last policy."""
    city = os.path.join(os.environ.get("MFNET_RL4AMOD", ""), "scenario_nyc_brooklyn.json")
    here = {**INSTANCES, "brooklyn": ("MFNet-RideShare-v0", {"city": city, "dearest_first": True}, 0, 64)}
    env, env_config, _, worlds = here[name]
    algorithm, seconds = trained(learner, env, env_config, seed, steps)
    print(f"{name}, {learner}: {seconds:.0f} s of CPU", file=sys.stderr, flush=True)
    found = measure(algorithm.model, {"learnt": algorithm.policy}, worlds=worlds, seed=SEED)
    scale, values = found.yardstick, [found.results[one].value for one in ("random", "learnt")]
    known = "" if scale.bound is None else scale.text(scale.bound)
    closed = percent(scale.gap_closed(values[1], values[0]))
    return [name, learner, *map(scale.text, values), known, closed, algorithm.information]


if __name__ == "__main__":
    sys.exit(main())
