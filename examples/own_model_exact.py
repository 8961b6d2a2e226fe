"""A model of your own, solved exactly: two cafes with two good seats each, and six people who live between them."""

import networkx as nx
import numpy as np

from mfnet_envs import Branch, LocalModel, StateNetwork
from mfnet_envs.exact import ExactGame, best_individual


class Cafes(LocalModel):
    def __init__(self):
        street = StateNetwork(nx.Graph([(0, 1), (0, 2)]))  # home is node 0
        walk = Branch.to([[0, 1, 2], [1, 0, 0], [2, 0, 0]])  # action 0 stays, at home 1 and 2 pick a cafe
        super().__init__(network=street, population=6, num_actions=3, branches=(walk,), reward_range=(0, 1), gamma=0.9)

    def reward(self, mu_hood):  # (worlds, nodes, neighbours, groups): slot 0 is the node itself
        crowd = np.maximum(mu_hood[:, :, 0, 0] * self.population, 1)
        seated = np.minimum(1, 2 / crowd) * [0, 1, 1]  # a good seat pays 1, home pays nothing
        return np.repeat(seated[:, :, None], 3, axis=2)

    def branch_weights(self, mu_hood):
        return np.ones((len(mu_hood), 3, 1, 1))


game, uniform = ExactGame(Cafes()), np.full((3, 7, 3), 1 / 3)  # a policy: pi(action | node, how many are there)
print(f"{len(game.count_vectors)} count vectors, {len(game.pairs):,} pairs with actions")
best = best_individual(game, np.random.default_rng(0), starts=4)
planner = game.expected(game.optimal_values())
print(f"uniform {game.objective(uniform):.4f}, best individual {best.value:.4f}, best planner {planner:.4f}")
for k in range(3):
    bias = np.abs(game.local_policy_gradient(uniform, hops=k) - game.policy_gradient(uniform)).max()
    print(f"critics that see {k} hops: the gradient is off by {bias:.4f}")
