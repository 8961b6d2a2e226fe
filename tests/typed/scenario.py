"""A scenario as a user's typed project writes it."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
from numpy.typing import NDArray

import mfnet_envs
from mfnet_envs import Branch, Certificate, LocalModel, Policy, StateNetwork


class Ring(LocalModel):
    def __init__(self, population: int = 10, nodes: int = 4) -> None:
        ring: nx.Graph[int] = nx.Graph()
        ring.add_edges_from((node, (node + 1) % nodes) for node in range(nodes))
        network = StateNetwork(ring)
        super().__init__(
            network=network,
            population=population,
            num_actions=2,
            branches=(Branch.to(network.neighbors[:, :2]),),
            reward_range=(0.0, 1.0),
            kernel_reads="none",
        )

    def reward(self, mu_hood: NDArray[np.float64]) -> NDArray[np.float64]:
        crowd: NDArray[np.float64] = 1.0 - mu_hood[:, :, 0, 0]
        return np.repeat(crowd[..., None], 2, axis=2)

    def branch_weights(self, mu_hood: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ones((len(mu_hood), self.network.num_states, 1, 1))

    def bound(self) -> Certificate | None:
        return None


class Half(Policy):
    def teams(self, counts: NDArray[np.int64], t: int) -> NDArray[np.float64]:
        return np.full((*counts.shape, self.model.num_actions), 0.5)


def main(folder: Path) -> float:
    mfnet_envs.register("Ring-v0", Ring)
    model: LocalModel = mfnet_envs.make_model("Ring-v0", population=20)
    env = mfnet_envs.parallel_env("Ring-v0", view="teams")
    observations, infos = env.reset(seed=0)
    print(len(observations), len(infos))
    simulator = mfnet_envs.Simulator(model)
    rng = np.random.default_rng(0)
    counts = simulator.reset(rng, 2)
    policy = Half(model)
    step = policy.play(simulator, counts, 0, rng)
    print(step.next_counts)
    mfnet_envs.save_policy(mfnet_envs.make_model("MFNet-Grid-v0").heuristics()["random"], folder / "policy.npz")
    loaded: Policy = mfnet_envs.load_policy(folder / "policy.npz")
    measured = mfnet_envs.measure(model, {"half": policy}, worlds=4, seed=0)
    value: float = measured.results["half"].value
    report = mfnet_envs.evaluate(model, policy, worlds=4)
    certificate: Certificate | None = model.bound()
    print(measured.text(), report["reward_per_step_mean"], certificate, loaded)
    return value
