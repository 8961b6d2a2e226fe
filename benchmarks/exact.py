"""How large may an exact game be? CPU seconds of one thread and peak memory, at the sizes it must manage.

Run `python benchmarks/exact.py`; each size in a process of its own, so that memory is its own.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mfnet_envs
from mfnet_envs.exact import ExactGame
from mfnet_envs.policy import Policy

LINES = {  # nodes and agents of a line of the grid scenario, matching, what is computed
    "values": (7, 10, "independent", ("state_values", "stationary", "visitation")),
    "values, quota": (7, 10, "physical", ("state_values",)),
    "pairs": (4, 9, "independent", ("action_values", "policy_gradient", "local_policy_gradient", "optimal_values")),
    "pairs, long": (9, 4, "independent", ("action_values", "policy_gradient", "local_policy_gradient")),
}


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    print(f"{'game':<16}{'count vectors':>14}{'pairs':>9}  {'what':<24}{'CPU s':>7}{'peak GB':>9}")
    for name in LINES:
        subprocess.run([sys.executable, __file__, name], check=True)


def measure(name: str) -> None:
    """Print a line for each quantity of one game."""
    nodes, population, matching, quantities = LINES[name]
    model = mfnet_envs.make_model("MFNet-Grid-v0", rows=1, cols=nodes, population=population, matching=matching)
    game, policy = ExactGame(model), learner(model) if name.startswith("pairs") else model.heuristics()["proportional"]
    pairs = f"{len(game.pairs):,}" if name.startswith("pairs") else "-"
    for what in quantities:
        began = time.process_time()
        call(game, policy, what)
        spent = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{name:<16}{len(game.count_vectors):>14,}{pairs:>9}  {what:<24}{spent:>7.1f}{peak:>9.2f}", flush=True)


def call(game: ExactGame, policy: Policy, what: str) -> None:
    if what == "optimal_values":
        game.optimal_values()
    elif what == "local_policy_gradient":
        game.local_policy_gradient(policy, 1)
    else:
        getattr(game, what)(policy)


def learner(model: mfnet_envs.LocalModel) -> Policy:
    import numpy as np

    from mfnet_agents.nets import TwoLayer
    from mfnet_agents.policies.individual import IndividualPolicy

    inputs = IndividualPolicy.inputs(model, "scaled")
    net = TwoLayer.create(np.random.default_rng(0), len(model.team_states), inputs, 32, symmetric=False)
    return IndividualPolicy(model, net, "scaled", 1.0)


if __name__ == "__main__":
    main()
