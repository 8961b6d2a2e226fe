"""The Ising model of Yang et al. (MF-Q, ICML 2018): at which temperature agents stop agreeing.

    python examples/reproduce/ising.py

Each agent of a torus picks its next spin a from its four neighbours' and earns a m / 2, m their sum. Played by the
softmax at temperature tau of these very rewards that is the heat bath of Ising's model at T = 2 tau, so the order ends
at tau_c = 1 / ln(1 + sqrt 2) = 1.1346 (Onsager 1944, exact in two dimensions; a mean-field law would say 2, Bethe's
1.4427). The paper reports 1.2.

1. The critical point without Onsager: exact correlation lengths xi of strips of L spins, from the two largest
   eigenvalues of their transfer matrices; L / xi is the same for L and L + 1 where scale does not matter (Nightingale
   1976). Crossings of L = 4 .. 9 tend to tau_c like 1 / L^3.
2. Agents: the game as a LocalModel of a 24 x 24 torus, one agent a node, its policy MF-Q's softmax with Q known, every
   other agent at a time (all at once, two halves of the torus would not hear of each other). Their order is held
   against Onsager's and Yang's spontaneous magnetisation, (1 - sinh(1 / tau)^-4)^(1/8).

Q is known here, not learnt: MF-Q's tables are trained on what the neighbours do after the move, which adds memory, so
their order ends elsewhere. Half a minute.
"""

import sys
from itertools import pairwise

import networkx as nx
import numpy as np
from scipy.optimize import brentq
from verdict import Aim, told

from mfnet_envs.arrays import like, namespace
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator

UP, DOWN = 0, 1
CRITICAL = 1.1346
ONSAGER = "Onsager 1944; Yang et al. 2018 report 1.2"


# -- the critical point


def width_over_length(tau, width):
    """L / xi of the infinite strip around a cylinder of ``width`` spins; neighbours' coupling is 1 / (2 tau)."""
    coupling = 1 / (2 * tau)
    spins = 1 - 2 * ((np.arange(2**width)[:, None] >> np.arange(width)) & 1)
    within = np.exp(coupling * (spins * np.roll(spins, 1, 1)).sum(1) / 2)
    matrix = within[:, None] * np.exp(coupling * (spins @ spins.T)) * within
    even = np.flatnonzero(spins[:, 0] == 1)  # a row and its mirror image: even and odd vectors fall apart
    mirror = 2**width - 1 - even
    direct, crossed = matrix[np.ix_(even, even)], matrix[np.ix_(even, mirror)]
    largest = [np.linalg.eigvalsh(direct + sign * crossed)[-1] for sign in (1, -1)]
    return width * np.log(largest[0] / largest[1])


def crossing(width):
    """The temperature at which strips of L and L + 1 spins look the same."""
    return brentq(lambda tau: width_over_length(tau, width) - width_over_length(tau, width + 1), 1.0, 1.35, xtol=1e-9)


def limit(crossings, widths):
    """By the last two, which are off like L^-3."""
    (a, b), (v, w) = crossings[-2:], [width**-3.0 for width in widths[-2:]]
    return (b * v - a * w) / (v - w)


# -- agents


class Ising(LocalModel):
    """One agent on each node of an L x L torus, its state its spin; actions are the next spin."""

    def __init__(self, side=24):
        graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(side, side, periodic=True), ordering="sorted")
        sites = side * side
        node = 2 * np.repeat(np.arange(sites), 2)[:, None]
        super().__init__(
            network=StateNetwork(graph, layers=2),
            population=sites,
            num_actions=2,
            branches=(Branch.to(node + np.arange(2)),),
            reward_range=(-2.0, 2.0),
            initial=np.tile([1.0, 0.0], sites) / sites,
            kernel_reads="none",
        )
        self.even = (np.indices((side, side)).sum(0) % 2 == 0).reshape(-1)

    def field(self, shares):
        """Sum of the neighbours' spins, ``(B, V)``; a crowd on a node, which this game has not, counts once."""
        xp = namespace(shares)
        return xp.sum(xp.clip(self.population * (shares[:, :, 1:, UP] - shares[:, :, 1:, DOWN]), -1, 1), axis=2)

    def reward(self, mu_hood):
        spin = np.tile([0.5, -0.5], (2 * self.population, 1))
        field = self.field(mu_hood)
        field = namespace(field).stack([field, field], axis=2).reshape(len(field), -1)
        return field[:, :, None] * like(field, spin)

    def branch_weights(self, mu_hood):
        return 1 + 0 * mu_hood[:, :1, :1, :1] + like(mu_hood, np.zeros((2 * self.population, 1, 1)))


class HeatBath(Policy):
    """softmax of the model's own reward over tau; half of the agents at even steps, the others at odd ones."""

    def __init__(self, model, tau):
        super().__init__(model)
        self.tau, self.world = tau, Simulator(model)

    def teams(self, counts, t):
        reward = self.model.reward(self.world.mu_hood(counts))
        up = 1 / (1 + np.exp((reward[..., DOWN] - reward[..., UP]) / self.tau))
        keeps = np.tile([1.0, 0.0], (len(counts), self.model.population))
        moves = np.repeat(self.model.even == (t % 2 == 0), 2)
        up = np.where(moves, up, keeps)
        return np.stack([up, 1 - up], 2)


def order(tau, sweeps=1200, burn=200, worlds=8):
    """|mean spin|, over time and worlds, from all up."""
    model = Ising()
    simulator, policy, rng = Simulator(model), HeatBath(model, tau), np.random.default_rng(0)
    counts = np.tile([1, 0], (worlds, model.population))
    found = []
    for t in range(2 * sweeps):
        counts = simulator.follow(policy, counts, t, rng).next_counts
        if t >= 2 * burn and t % 2:
            found.append(np.abs(counts[:, UP::2].mean(1) * 2 - 1))
    return float(np.mean(found))


def spontaneous(tau):
    """Yang 1952."""
    return max(0.0, 1 - np.sinh(1 / tau) ** -4.0) ** 0.125


def main():
    widths = range(4, 10)
    crossings = [crossing(width) for width in widths]
    steps = [abs(b - a) for a, b in pairwise(crossings)]
    aims = [
        Aim("critical temperature, strips of 9 and 10 spins", crossings[-1], CRITICAL, 0.0015, ONSAGER),
        Aim("in the limit of wide strips", limit(crossings, widths), CRITICAL, 0.0002, ONSAGER),
        Aim(
            "crossings settle: step over the step before, most",
            max(b / a for a, b in pairwise(steps)),
            1,
            0,
            "",
            "at most",
        ),
    ]
    for tau in (0.8, 1.0):
        aims.append(Aim(f"order of agents at {tau}", order(tau), spontaneous(tau), 0.01, "Yang 1952"))
    aims.append(Aim("order of agents at 1.4 (none in the limit)", order(1.4), 0.2, 0, "above tau_c", "at most"))
    return told("Ising, agents on a torus", aims)


if __name__ == "__main__":
    sys.exit(main())
