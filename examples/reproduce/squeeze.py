"""Gaussian Squeeze, of Yang et al. (MF-Q, ICML 2018): many agents, one sum.

    python examples/reproduce/squeeze.py [--steps 20000]

N agents choose a in 0 .. 9; all are paid by x = sum a: G(x) = x exp(-(x - mu)^2 / sigma^2), mu = 400, sigma = 200 (the
paper's reproducibility page; its figures show curves for N = 100, 500, 1000 and no table). G is largest where 1 / x = 2
(x - mu) / sigma^2, at x = (mu + sqrt(mu^2 + 2 sigma^2)) / 2 = 444.95, and worth 423.03 there.

What is paid depends on what all do together, and in a model of the paper's kind rewards see where agents are. So an
action leads to a state that shows it, in which G is paid. Agents draw alone: the best that they can agree on is a law
of one action. The best of those on two neighbouring actions, found by enumeration, loses .3 (N = 100), .6 (500) and 2.8
(1000) to the spread of the sum. From the uniform law, whose sum is 450 for N = 100, the learner needs samples only. For
N = 500 and 1000 that sum is 2,250 and 4,500, where G is 1e-34 and less: no sample shows a slope, nothing is learnt from
there by anybody, and nothing is claimed. Half a minute.
"""

import argparse
import sys

import numpy as np
from scipy.stats import binom
from verdict import Aim, told

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_envs.arrays import like, namespace
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import TablePolicy

MU, SIGMA, ACTIONS = 400.0, 200.0, 10
SOURCE = "Yang et al. 2018, mu = 400, sigma = 200; maximised in closed form"


def gaussian(x):
    """G."""
    return x * np.exp(-((x - MU) ** 2) / SIGMA**2)


class Squeeze(LocalModel):
    """Layer 0: choosing; layer a + 1: has chosen a. A step to choose, a step to be paid, and again."""

    def __init__(self, population: int = 100):
        layers = ACTIONS + 1
        chosen = np.zeros((layers, ACTIONS), int)
        chosen[0] = 1 + np.arange(ACTIONS)
        legal = np.zeros((layers, ACTIONS), bool)
        legal[:, 0] = legal[0] = True
        super().__init__(
            network=StateNetwork.line(1, layers),
            population=population,
            num_actions=ACTIONS,
            branches=(Branch.to(chosen),),
            reward_range=(0.0, 1.0),
            legal=legal,
            initial=np.eye(layers)[0],
            gamma=0.9,
            evaluation=(2, 0),
            kernel_reads="none",
            reference_counts=np.array([population, *np.full(ACTIONS, population / ACTIONS)]),
        )

    def reward(self, mu_hood):
        """G of the sum, in parts of its maximum, to each who has chosen."""
        xp = namespace(mu_hood)
        x = self.population * xp.sum(mu_hood[:, 0, 0, 1:] * like(mu_hood, np.arange(ACTIONS)), axis=1)
        paid = x * xp.exp(-((x - MU) ** 2) / SIGMA**2) / best()[1]
        return paid[:, None, None] * like(mu_hood, np.array([0.0, *np.ones(ACTIONS)])[:, None] * np.ones(ACTIONS))

    def branch_weights(self, mu_hood):
        return 0 * mu_hood[:, :1, :1, :1] + like(mu_hood, np.ones((ACTIONS + 1, 1, 1)))


def best():
    """Where G is largest, and G there."""
    x = (MU + np.sqrt(MU**2 + 2 * SIGMA**2)) / 2
    return x, gaussian(x)


def by_two_actions(population):
    """The most that agents make who draw alone, each a or a + 1: E G over the binomial, and the odds of all actions."""
    k, found = np.arange(population + 1), (-1.0, None)
    for low in range(ACTIONS - 1):
        worth = gaussian(low * population + k)
        for part in np.arange(1001) / 1000:
            mean = float(binom.pmf(k, population, part) @ worth)
            if mean > found[0]:
                odds = np.zeros(ACTIONS)
                odds[[low, low + 1]] = 1 - part, part
                found = mean, odds
    return found


def played(policy):
    """G in the mean of 4,096 games, and its standard error."""
    result = mfnet_envs.evaluate(policy.model, policy, worlds=4096, seed=1)
    return best()[1] * result["episode_return_mean"], best()[1] * result["episode_return_ci95"] / 1.96


def learnt(population, steps):
    """DEC-NEURAL-AC with its defaults, from the uniform law."""
    mfnet_envs.register("Squeeze-v0", Squeeze)
    config = DecNeuralACConfig().environment("Squeeze-v0", env_config={"population": population})
    algo = config.training(total_env_steps=steps).debugging(seed=0).build_algo()
    while algo.train()["num_env_steps_sampled_lifetime"] < steps:
        pass
    return algo.policy


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps to learn from")
    steps = parser.parse_args().steps
    whole = np.arange(9 * 1000 + 1)
    aims = [
        Aim("best sum", float(best()[0]), 444.95, 0.005, SOURCE),
        Aim("G there", float(best()[1]), 423.0, 0.05, SOURCE),
        Aim("best whole sum, by enumeration", float(whole[gaussian(whole).argmax()]), 445, 0, SOURCE),
    ]
    for population in (100, 500, 1000):
        value, odds = by_two_actions(population)
        mean, error = played(TablePolicy(Squeeze(population), odds[None]))
        aims.append(Aim(f"N = {population}: two actions, played", mean, value, 4 * error, "the binomial sum"))
        aims.append(Aim(f"N = {population}: and in the mean", value, 423.03, 0, SOURCE, "at most"))
    aims.append(Aim("N = 100: learnt", played(learnt(100, steps))[0], 423.0, 8.5, "2 % of the best"))
    return told("Gaussian Squeeze", aims)


if __name__ == "__main__":
    sys.exit(main())
