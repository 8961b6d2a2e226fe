"""Localised means localised: everything outside a ball is replaced by noise, and the update does not change by one bit.

The data of an update are a recorded rollout, so both sides learn from the same samples but for the noise.
"""

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from mfnet_agents.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac import DecNeuralAC
from mfnet_agents.sampling import Rollout

NODES, ITERATIONS = 9, 3
OPTIONS: dict[str, dict[str, Any]] = {
    "V": {},
    "V, k = 0": {"hops": 0},
    "V, k = 2": {"hops": 2, "credit_hops": 1},
    "Q": {"critic_form": "q"},
    "energy": {"policy": "energy"},
    "tilted": {"policy": "tilted"},
    "all scores": {"score": "all"},
    "sgd in a ball": {"optimizer": "sgd", "radius": 0.5, "actor_lr": 3.0},
    "adam in a ball": {"radius": 0.5},
}


def learner(population: int, **options: Any) -> DecNeuralAC:
    graph = [[v, v + 1] for v in range(NODES - 1)]
    demand = (1.0 + np.arange(NODES) % 3).tolist()
    config = DecNeuralACConfig().environment(
        "MFNet-Grid-v0", env_config={"graph": graph, "demand": demand, "population": population}
    )
    config = config.env_runners(num_envs_per_env_runner=4, rollout_fragment_length=8)
    settings = {"hops": 1, "credit_hops": 1, "advantage_scale": "state", "minibatch_size": 16, **options}
    with warnings.catch_warnings(action="ignore"):  # small radii are warned about; here they are what is wanted
        algo = config.training(**settings).build_algo()
    assert isinstance(algo, DecNeuralAC)
    return algo


def noise(algo: DecNeuralAC, sample: Rollout, keep: np.ndarray, seed: int) -> Rollout:
    """The sample with crowds, teams, actions, flows and rewards drawn anew at all nodes but ``keep (V,)``."""
    rng, model = np.random.default_rng(seed), algo.model
    shape, gone = sample.sizes.shape, ~keep

    def actions(sizes: np.ndarray) -> np.ndarray:
        return rng.multinomial(sizes, model.legal / model.legal.sum(1, keepdims=True))

    sizes, following = (rng.integers(0, model.population + 1, shape) for _ in range(2))
    taken, served = actions(sizes), np.minimum(sizes, rng.poisson(1, shape))
    new: dict[str, np.ndarray] = {
        "crowd": sizes[..., None].astype(float),
        "next_crowd": following[..., None].astype(float),
        "rewards": 10 * rng.normal(size=shape),
        "sizes": sizes,
        "actions": taken,
        "next_actions": actions(following),
        "served": served,
        "unserved": actions(sizes - served),
    }
    mixed = {name: getattr(sample, name).copy() for name in new}
    for name, values in new.items():
        mixed[name][:, :, gone] = values[:, :, gone]
    return dataclasses.replace(sample, **mixed)


def learnt(population: int, keep: np.ndarray, **options: Any) -> tuple[DecNeuralAC, DecNeuralAC]:
    """Two learners after the same updates, the second with noise outside ``keep``."""
    plain, noisy = (learner(population, **options) for _ in range(2))
    for i in range(ITERATIONS):
        sample, _ = plain.sampler.rollout(plain.learned, 8, successors_act=True)
        nothing = np.empty(0)
        for algo, data in ((plain, sample), (noisy, noise(plain, sample, keep, seed=i))):
            algo.learn_from(data, nothing)
            algo.iteration += 1
            algo.env_steps += data.steps
    return plain, noisy


def within(node: int, radius: int) -> np.ndarray:
    return np.abs(np.arange(NODES) - node) <= radius


def same_policy(one: DecNeuralAC, other: DecNeuralAC, node: int) -> bool:
    return torch.equal(one.learned.theta[node], other.learned.theta[node])


@pytest.mark.parametrize("node", [0, 3, 8])
@pytest.mark.parametrize("name", OPTIONS)
def test_actor_reads_its_ball_only(name: str, node: int) -> None:
    """theta_s: N_s^{max(1, k) + kappa} and nothing else."""
    options = {"hops": 1, "credit_hops": 1, **OPTIONS[name]}
    keep = within(node, max(1, options["hops"]) + options["credit_hops"])
    assert not keep.all()
    plain, noisy = learnt(12, keep, **options)
    assert not torch.equal(plain.learned.theta[node], plain.learned.net.start[node])
    assert same_policy(plain, noisy, node)
    assert not same_policy(plain, noisy, NODES - 1 if node < 5 else 0)


@pytest.mark.parametrize("node", [0, 3, 8])
@pytest.mark.parametrize("name", OPTIONS)
def test_critic_reads_its_neighbourhood_only(name: str, node: int) -> None:
    """omega_y: inputs in N_y^k, a reward that depends on N_y."""
    options = {"hops": 1, "credit_hops": 1, **OPTIONS[name]}
    plain, noisy = learnt(12, within(node, max(1, options["hops"])), **options)
    assert torch.equal(plain.omega[node], noisy.omega[node])
    assert not torch.equal(plain.omega[NODES - 1 - node], noisy.omega[NODES - 1 - node]) or node == 4
    assert not torch.equal(plain.omega[node], plain.critic.start[node])


@pytest.mark.parametrize("population", [500, 5000])
def test_locality_of_large_crowds(population: int) -> None:
    """Tables of many rows, or none at all: sizes met elsewhere do not even change the rounding."""
    plain, noisy = learnt(population, within(3, 2))
    assert same_policy(plain, noisy, 3)


@pytest.mark.parametrize("name", ["V", "Q"])
def test_the_ball_is_read_to_its_edge(name: str) -> None:
    """The other way round: with noise from k + kappa hops on, the update does change, so the test has teeth."""
    plain, noisy = learnt(12, within(3, 1), **OPTIONS[name])
    assert not same_policy(plain, noisy, 3)


def test_one_global_scale_is_not_local() -> None:
    """advantage_scale="global" is the one number that is shared by all states."""
    plain, noisy = learnt(12, within(3, 2), advantage_scale="global")
    assert not same_policy(plain, noisy, 3)


def test_execution_is_decentralised() -> None:
    """pi(s, mu(s)): the crowds of all other states may be anything."""
    plain, _ = learnt(12, within(3, 2))
    counts = np.random.default_rng(0).integers(0, 500, (50, NODES))
    counts[:, 3] = 4
    pi = plain.policy.individual(counts)
    assert (pi[:, 3] == pi[0, 3]).all()
    assert not (pi[:, 4] == pi[0, 4]).all()
