"""Bench-MFG's SIS game: the stationary equilibrium of people who weigh their own risk only.

    python examples/reproduce/epidemic.py

Bench-MFG (arXiv 2602.12517, 2026): two states, five intensities of contact a = 0, 1/4 .. 1; a step is worth a, less C =
10 for the infected; a susceptible is infected with chance beta a mu(infected), beta = .8, and recovers with nu = .1;
discount factor .9. In closed form (derived here, the paper prints none): the infected act at a = 1, so V_I = -9 / (1 -
.9 x .9) = -47.37 with V_S = 0; a susceptible is indifferent where 1 = .9 x .8 mu 47.37; and as many recover as fall
ill, .1 mu = .8 a mu (1 - mu).

Below nothing of that is used. Value iteration answers a crowd with the model's own rewards and chances, and bisection
finds the share at which the answer changes. The mean action is the one at which the simulator's limit of infinitely
many agents stays there. Then N agents play it, and the share that is ill is measured. A few seconds.
"""

import sys

import numpy as np
from verdict import Aim, told

from mfnet_envs.arrays import like, namespace
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import TablePolicy
from mfnet_envs.simulator import Simulator
from mfnet_envs.simulator.fluid import expected_step

SUSCEPTIBLE, INFECTED = 0, 1
CONTACT = np.linspace(0, 1, 5)
BETA, NU, COST, GAMMA = 0.8, 0.1, 10.0, 0.9
SOURCE = "Bench-MFG's SIS (2602.12517); closed form derived here"


class Epidemic(LocalModel):
    """One place, susceptible or infected."""

    def __init__(self, population=10_000):
        super().__init__(
            network=StateNetwork.line(1, layers=2),
            population=population,
            num_actions=len(CONTACT),
            branches=(Branch.to([[INFECTED], [SUSCEPTIBLE]]), Branch.to([[SUSCEPTIBLE], [INFECTED]])),
            reward_range=(-COST, 1.0),
            gamma=GAMMA,
            kernel_reads="own",
        )

    def reward(self, mu_hood):
        worth = CONTACT - COST * np.array([[0.0], [1.0]])
        return 0 * mu_hood[:, :1, :1, 0] + like(mu_hood, worth)

    def branch_weights(self, mu_hood):
        xp = namespace(mu_hood)
        ill = mu_hood[:, 0, 0, INFECTED, None] * like(mu_hood, BETA * CONTACT)
        changes = xp.stack([ill, NU + 0 * ill], axis=1)
        return xp.stack([changes, 1 - changes], axis=-1)


def worth(model, infected):
    """``(S, A)``: what each action is worth to one among many of whom a share stays infected; value iteration."""
    hood = np.array([[[[1 - infected, infected]]]])
    reward, change = model.reward(hood)[0], model.branch_weights(hood)[0, :, :, 0]
    value = np.zeros(2)
    for _ in range(400):
        q = reward + GAMMA * (change * value[::-1, None] + (1 - change) * value[:, None])
        value = q.max(1)
    return q


def indifferent(model):
    """The infected share at which a susceptible is content with any action: below it he goes out, above he does not."""
    low, high = 1e-6, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        goes_out = worth(model, middle)[SUSCEPTIBLE].argmax() > 0
        low, high = (middle, high) if goes_out else (low, middle)
    return (low + high) / 2


def policy_of(mean):
    """``(S, A)``: the susceptible mix the two intensities around ``mean``; the infected have nothing to lose."""
    pi = np.zeros((2, len(CONTACT)))
    pi[SUSCEPTIBLE] = np.maximum(0, 1 - np.abs(CONTACT - mean) / CONTACT[1])
    pi[INFECTED, -1] = 1
    return pi


def balanced(model, infected):
    """The mean action at which this share stays what it is in the limit of infinitely many."""
    tables, mu = Simulator(model)._tables, np.array([[1 - infected, infected]])
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        grows = expected_step(tables, mu, policy_of(middle))[0][0, INFECTED] > infected
        low, high = (low, middle) if grows else (middle, high)
    return (low + high) / 2


def measured(mean, population, steps=6000, worlds=8):
    """The infected share among N agents who all play it, over time and worlds, and its standard error."""
    simulator, rng = Simulator(Epidemic(population)), np.random.default_rng(0)
    policy = TablePolicy(simulator.model, policy_of(mean))
    counts = simulator.reset(rng, worlds)
    counts[:] = [population - population * 3 // 100, population * 3 // 100]
    shares = []
    for t in range(steps):
        counts = simulator.follow(policy, counts, t, rng).next_counts
        shares.append(counts[:, INFECTED] / population)
    by_world = np.mean(shares[500:], 0)
    return float(by_world.mean()), float(by_world.std(ddof=1) / worlds**0.5)


def main():
    model = Epidemic()
    share = indifferent(model)
    mean = balanced(model, share)
    gain = worth(model, share)[SUSCEPTIBLE]
    lived, error = measured(mean, 1_000_000)
    return told(
        "Bench-MFG, SIS",
        [
            Aim("value of an infected one", worth(model, share)[INFECTED].max(), -47.37, 0.005, SOURCE),
            Aim("infected share in equilibrium", share, 0.02932, 5e-6, SOURCE),
            Aim("mean action of the susceptible", mean, 0.1288, 5e-5, SOURCE),
            Aim("what a susceptible gains by another action", gain.max() - gain.min(), 0.0, 1e-9, "an equilibrium"),
            Aim("infected share of a million agents who play it", lived, 0.02932, 4 * error, "4 standard errors"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
