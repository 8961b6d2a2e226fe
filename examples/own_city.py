"""A city of your own: a graph, a model, an id; then all that is made for the built-in scenarios works for it too.

Sixty ice-cream vendors on six squares. A square's customers are shared by those who stand there; pushing the cart to
the next square costs a little. Where should they go, if nobody knows more than how crowded the own square is?
"""

import gymnasium as gym
import networkx as nx
import numpy as np

import mfnet_envs
from mfnet_envs import Branch, Certificate, LocalModel, Policy, StateNetwork
from mfnet_envs.conformance import check_model
from mfnet_envs.policy import uniform
from mfnet_envs.wording import Headline, Wording

STREETS = [
    ("harbour", "market"),
    ("market", "church"),
    ("market", "park"),
    ("park", "church"),
    ("park", "zoo"),
    ("zoo", "mill"),
]
CUSTOMERS = {"harbour": 12, "market": 3, "church": 1, "park": 20, "zoo": 4, "mill": 2}  # a step


class Vendors(LocalModel):
    """Ice-cream vendors on six squares, each with its customers.

    Args:
        population: N, vendors.
        move_cost: what pushing the cart to the next square costs, in sales.
    """

    wording = Wording(  # what tables and reports say
        agents="vendors",
        place="six squares",
        needs={"random": "nothing", "make room": "the customers of the own square, and how many vendors stand there"},
        learner_needs="samples",
    )

    def __init__(self, population: int = 60, move_cost: float = 0.1):
        squares = StateNetwork(nx.Graph(STREETS))
        legal = squares.neighbors >= 0  # action j pushes the cart to neighbour slot j, 0 stays
        self.customers = np.array([CUSTOMERS[name] for name in squares.nodes], float)
        self.cost = move_cost * np.arange(legal.shape[1]).clip(max=1)
        super().__init__(
            network=squares,
            population=population,
            num_actions=legal.shape[1],
            branches=(Branch.to(np.where(legal, squares.neighbors, squares.neighbors[:, :1])),),
            reward_range=(-move_cost, 1.0),
            legal=legal,
            evaluation=(200, 100),  # steps, of which warm-up
            kernel_reads="none",
        )

    def reward(self, mu_hood):  # (worlds, squares, neighbours, groups): slot 0 is the square itself
        crowd = np.maximum(self.population * np.asarray(mu_hood[:, :, 0, 0]), 1e-9)
        return np.minimum(1, self.customers / crowd)[..., None] - self.cost

    def branch_weights(self, mu_hood):
        return np.ones((len(mu_hood), len(self.customers), 1, 1))

    headline = Headline("average", "sales per step and vendor")

    def bound(self):
        sold = min(1.0, self.customers.sum() / self.population)  # no more than there are customers, or vendors
        return Certificate(sold, "average", "sales per step and vendor", "closed-form", None, 0.0, "every policy")

    def heuristics(self):
        return {"random": uniform(self), "make room": MakeRoom(self)}


class MakeRoom(Policy):
    """Leave a square only as far as it has more vendors than customers: sees the own square and nothing else."""

    def teams(self, counts, t):  # counts (worlds, states) -> probabilities (worlds, states, actions)
        leave = np.maximum(0, 1 - self.model.customers / np.maximum(counts, 1))[..., None]
        next_door = self.model.legal.copy()
        next_door[:, 0] = False
        elsewhere = next_door / next_door.sum(1, keepdims=True)
        return (1 - leave) * np.eye(self.model.num_actions)[0] + leave * elsewhere


mfnet_envs.register("Vendors-v0", Vendors)
print(check_model(mfnet_envs.make_model("Vendors-v0")))

planner = gym.make("Vendors-v0", population=30)
print(f"gymnasium: observation {planner.observation_space.shape}, action {planner.action_space.shape}")
teams = mfnet_envs.parallel_env("Vendors-v0", view="teams", population=30)
observations, infos = teams.reset(seed=0)
actions = {team: teams.action_space(team).sample() for team in teams.agents}
observations, rewards, *_ = teams.step(actions)
print(f"PettingZoo: {len(teams.agents)} teams, first rewards {sum(rewards.values()):.3f} per vendor")

model = mfnet_envs.make_model("Vendors-v0")
for name, policy in model.heuristics().items():
    report = mfnet_envs.evaluate(model, policy, worlds=32)
    print(f"{name}: {report['reward_per_step_mean']:.4f} ± {report['reward_per_step_ci95']:.4f}")
print(f"bound: {model.bound()}")
