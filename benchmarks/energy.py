"""How good are the sampled laws of large teams? Run `python benchmarks/energy.py [--sets 200]`; prints Markdown.

Teams whose compositions can still be listed, n = 20 with three actions (231), so that the sampled laws can be held
against the enumerated one; then larger teams, where only the worth of the sample is known.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import mfnet_envs
from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies.energy import EnergyPolicy
from mfnet_agents.policies.energy_sampled import SampledEnergyPolicy
from mfnet_envs.compositions import rank

TAU = {"fixed": 4.0, "per agent": 0.3, "tilted": 0.5}
LAWS: tuple[Any, ...] = ("candidates", "metropolis")
TEAM = 1  # the middle of a line of three, the one that has all three moves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="independent sets of K rows, one for each theta")
    sets = parser.parse_args().sets
    print("n = 20: total variation of one set of K rows from the law (of K independent draws); worth of the set\n")
    print("| form, law | K = 64 | worth | K = 256 | worth | K = 1024 | worth |\n" + "| --- " * 7 + "|")
    for form in TAU:
        for law in LAWS:
            cells = [measured(form, law, k, sets) for k in (64, 256, 1024)]
            shown = " | ".join(f"{tv:.2f} ({iid:.2f}) | {worth:,.0f}" for tv, iid, worth in cells)
            print(f"| {form}, {law} | {shown} |", flush=True)
    print("\nlarger teams: median worth of K = 256 rows\n")
    print("| form, law | n = 100 | n = 1,000 |\n| --- | --- | --- |")
    for form in TAU:
        for law in LAWS:
            shown = " | ".join(f"{worth_of(form, law, n, sets):.1f}" for n in (100, 1000))
            print(f"| {form}, {law} | {shown} |", flush=True)


def policies(form: str, population: int, **sampled: Any) -> Any:
    """A policy with weights away from their start, and a generator of weights close to them."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", graph=[[0, 1], [1, 2]], population=population)
    net = TwoLayer.create(np.random.default_rng(5), 3, 4, 32, symmetric=False)
    chosen: dict[str, Any] = {"tilted": form == "tilted", "per_agent": form == "per agent"}
    if not sampled:
        return EnergyPolicy(model, net, "share", TAU[form], **chosen)
    return SampledEnergyPolicy(model, net, "share", TAU[form], **chosen, **sampled)


def measured(form: str, law: str, k: int, sets: int) -> tuple[float, float, float]:
    """Mean total variation of a set, that of k independent draws, and the mean worth, at n = 20."""
    exact, sample = policies(form, 20), policies(form, 20, law=law, samples=k)
    sample._is_exact = lambda team, n: n == 0  # these teams are small enough to be listed: sample them all the same
    distances, independent, worths = [], [], []
    rng = np.random.default_rng(0)
    for weights in thetas(exact, sets):
        exact.update(weights)
        sample.update(weights)
        truth = exact.team_law(TEAM, 20)
        slot = sample._slots_of(np.array([[0, 20, 0]]))[0, TEAM]
        found = np.bincount(rank(sample._rows[slot]), weights=sample._weights[slot], minlength=len(truth))
        distances.append(abs(found - truth).sum() / 2)
        independent.append(abs(rng.multinomial(k, truth) / k - truth).sum() / 2)
        worths.append(sample.effective_sample_size(np.array([[0, 20, 0]]))[0, TEAM])
    return float(np.mean(distances)), float(np.mean(independent)), float(np.mean(worths))


def worth_of(form: str, law: str, n: int, sets: int) -> float:
    sample, found = policies(form, n, law=law, samples=256), []
    for weights in thetas(sample, min(sets, 40)):
        sample.update(weights)
        found.append(sample.effective_sample_size(np.array([[0, n, 0]]))[0, TEAM])
    return float(np.median(found))


def thetas(policy: Any, count: int) -> list[torch.Tensor]:
    """Weights 2 W(0) (1 + a little noise): new weights draw new rows."""
    rng = np.random.default_rng(1)
    start = 2 * policy.net.start
    return [start * (1 + 0.01 * torch.as_tensor(rng.standard_normal(start.shape))) for _ in range(count)]


if __name__ == "__main__":
    main()
