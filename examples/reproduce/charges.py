"""Shou and Di's four cells: what a service charge does to selfish drivers.

    python examples/reproduce/charges.py [--steps 20000]

Transportation Research Part C (2020), the 2 x 2 example: 100 drivers, 50 orders of fare 10 at one cell and 20 of fare
4.9 at another, and a charge of alpha (1 - orders / drivers) of the fare where drivers are many. The paper moves the
equilibrium by the charge; with its parameters both ends are known exactly, 500 when all are selfish and free of charge,
598 when they act for all. Here the equilibrium is looked for by enumeration, driver by driver, in the reward of
MFNet-TwoByTwo, which knows nothing of equilibria; then MF-AC, whose agents are paid their own part, and the cooperative
learner, whose agents are paid the fare, learn from samples alone. (MF-Q would be no
witness: its policy is a mean of twelve rounds, so at a low temperature it knows the equilibrium to a twelfth of the
drivers, and earns 539.) Half a minute.
"""

import argparse
import sys

import numpy as np
from verdict import Aim, told

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_agents.baselines.config import MFACConfig
from mfnet_envs.scenarios.twobytwo_v0 import CHEAP, DEAR, WORKING
from mfnet_envs.simulator import Simulator

ID = "MFNet-TwoByTwo-v0"
SWEEP = {0.0: 500.0, 0.1: 514.7, 0.2: 539.2, 0.3: 558.8, 0.5: 588.2, 0.7: 598.0, 1.0: 598.0}
PAPER = "Shou and Di 2020, 2 x 2 example; exact from its parameters"


def pays(paid: str, alpha: float) -> np.ndarray:
    """``(N + 1, 2)``: what one driver earns at the dear cell and at the cheap one, with x at the first, N - x there."""
    model = mfnet_envs.make_model(ID, paid=paid, alpha=alpha)
    at = 2 * np.array([DEAR, CHEAP]) + WORKING
    x = np.arange(model.population + 1)
    counts = np.zeros((len(x), model.network.num_states), int)
    counts[:, at] = np.column_stack([x, x[::-1]])
    reward: np.ndarray = model.reward(Simulator(model).mu_hood(counts))[:, at, 0]
    return reward


def equilibrium(alpha: float) -> tuple[int, float]:
    """The split at which no driver gains by going to the other cell, and the fares of all.

    Several splits qualify where drivers are even; the paper's is the one with most at the dear cell.
    """
    pay, fare = pays("net", alpha), pays("fare", alpha)
    n = len(pay) - 1
    slack = 1e-9
    content = [
        x
        for x in range(n + 1)
        if (x == 0 or pay[x, 0] >= pay[x - 1, 1] - slack) and (x == n or pay[x, 1] >= pay[x + 1, 0] - slack)
    ]
    x = max(content)
    return x, float(x * fare[x, 0] + (n - x) * fare[x, 1])


def learnt(config: object, paid: str, steps: int) -> float:
    """Fares per day, in the mean of 256 worlds, of what a learner plays."""
    settings = config.environment(ID, env_config={"paid": paid})  # type: ignore[attr-defined]
    algo = settings.training(total_env_steps=steps).debugging(seed=0).build_algo()
    while algo.train()["num_env_steps_sampled_lifetime"] < steps:
        pass
    return float(mfnet_envs.evaluate(mfnet_envs.make_model(ID), algo.policy)["headline_mean"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps to learn from")
    steps = parser.parse_args().steps
    found = {alpha: equilibrium(alpha) for alpha in SWEEP}
    fare = pays("fare", 0.0)
    best = max(float(x * fare[x, 0] + (len(fare) - 1 - x) * fare[x, 1]) for x in range(len(fare)))
    aims = [
        Aim(f"selfish fares at charge {alpha:g} ({x} of 100 drivers go)", fares, SWEEP[alpha], 0.06, PAPER)
        for alpha, (x, fares) in found.items()
    ]
    aims.append(Aim("fares when they act for all", best, 598.0, 1e-6, PAPER))
    selfish = learnt(MFACConfig(), "net", steps)
    shared = learnt(DecNeuralACConfig(), "fare", steps)
    aims.append(Aim("learnt by selfish agents, MF-AC", selfish, 500.0, 15.0, PAPER))
    aims.append(Aim("learnt by agents that share, DEC-NEURAL-AC", shared, 598.0, 3.0, PAPER))
    return told("Shou and Di, service charges", aims)


if __name__ == "__main__":
    sys.exit(main())
