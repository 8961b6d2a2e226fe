"""Localised means localised: everything outside a ball is replaced by noise, and the update does not change by one bit.

The data of an update are a recorded rollout, so both sides learn from the same samples but for the noise.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.sampling import Rollout
from mfnet_envs.network import StateNetwork

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


LINE = [[v, v + 1] for v in range(NODES - 1)]


def learner(population: int, **options: Any) -> DecNeuralAC:
    demand = (1.0 + np.arange(NODES) % 3).tolist()
    return trained("MFNet-Grid-v0", {"graph": LINE, "demand": demand, "population": population}, options)


def layered(population: int, **options: Any) -> DecNeuralAC:
    """Two states to a node, the healthy and the ill, of one critic."""
    return trained("MFNet-SIS-v0", {"graph": LINE, "population": population}, options)


def trained(scenario: str, env_config: dict[str, Any], options: dict[str, Any]) -> DecNeuralAC:
    config = DecNeuralACConfig().environment(scenario, env_config=env_config)
    config = config.env_runners(num_envs_per_env_runner=4, rollout_fragment_length=8)
    settings = {"hops": 1, "credit_hops": 1, "advantage_scale": "state", "minibatch_size": 16, **options}
    with warnings.catch_warnings(action="ignore"):  # small radii are warned about; here they are what is wanted
        algo = config.training(**settings).build_algo()
    assert isinstance(algo, DecNeuralAC)
    return algo


def noise(algo: DecNeuralAC, sample: Rollout, keep: np.ndarray, seed: int) -> Rollout:
    """The sample with crowds, teams, actions, flows and rewards drawn anew at all nodes but ``keep (V,)``."""
    rng, model = np.random.default_rng(seed), algo.model

    def sizes(shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(0, model.population + 1, shape)

    def actions(sizes: np.ndarray, states: np.ndarray) -> np.ndarray:
        return rng.multinomial(sizes, model.legal[states] / model.legal[states].sum(1, keepdims=True))

    teams, active, worlds = model.team_states, model.active, sample.cut.shape
    team_sizes, present = sizes((*worlds, len(teams))), sizes((*worlds, len(active)))
    served = np.minimum(present, rng.poisson(1, present.shape))
    drawn = {
        "crowd": sizes(sample.crowd.shape),
        "next_crowd": sizes(sample.crowd.shape),
        "rewards": 10 * rng.normal(size=sample.rewards.shape),
        "sizes": team_sizes,
        "actions": actions(team_sizes, teams),
        "next_actions": actions(sizes(team_sizes.shape), teams),
        "served": served,
        "unserved": actions(present - served, active),
    }
    mixed = {name: getattr(sample, name).copy() for name in drawn}
    nodes = {NODES: np.arange(NODES), len(active): model.network.node_of[active], len(teams): sample.team_nodes}
    for name, values in drawn.items():
        if mixed[name].shape[2]:  # what is not read is not recorded
            gone = ~keep[nodes[values.shape[2]]]
            mixed[name][:, :, gone] = values[:, :, gone]
    return dataclasses.replace(sample, **mixed)


def learnt(
    population: int, keep: np.ndarray, *, build: Callable[..., DecNeuralAC] = learner, **options: Any
) -> tuple[DecNeuralAC, DecNeuralAC]:
    """Two learners after the same updates (and, if they have one, burn-in), the second with noise outside ``keep``."""
    plain, noisy = (build(population, **options) for _ in range(2))
    for algo in (plain, noisy) if options.get("burn_in") else ():
        warm_up(algo, keep if algo is noisy else None)
    for i in range(ITERATIONS):
        sample, _ = plain.sampler.rollout(plain.learned, 8)
        nothing = np.empty(0)
        for algo, data in ((plain, sample), (noisy, noise(plain, sample, keep, seed=i))):
            algo.learn_from(data, nothing)
            algo.iteration += 1
            algo.env_steps += data.steps
    return plain, noisy


def warm_up(algo: DecNeuralAC, keep: np.ndarray | None) -> None:
    """The burn-in, whose samples are noise outside ``keep``."""
    honest = algo.sampler.rollout

    def rollout(*given: Any) -> Any:
        sample, episodes = honest(*given)
        return (sample if keep is None else noise(algo, sample, keep, 99)), episodes

    algo.sampler.rollout = rollout  # type: ignore[method-assign]
    algo.trained.warm_up(algo.learned)
    algo.sampler.rollout = honest  # type: ignore[method-assign]


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


SPREAD: dict[str, tuple[dict[str, Any], Callable[..., DecNeuralAC]]] = {
    "V": ({}, learner),
    "Q": ({"critic_form": "q"}, learner),
    "standardised": ({"critic_input": "standardised", "burn_in": 8}, learner),
    "layers": ({}, layered),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", SPREAD)
def test_a_part_reads_its_halo_only(name: str, place: int) -> None:
    """Its critics read what it ``sees`` (and what a reward there depends on), its policies the critics it ``hears``."""
    options, build = SPREAD[name]
    part = StateNetwork.line(NODES).parts(3, 1, 1)[place]
    seen, told = np.isin(np.arange(NODES), part.sees), np.zeros(NODES, bool)
    for node in part.hears:
        told |= within(node, 1)
    assert not told.all()
    for keep, of_policies in ((seen, False), (told, True)):
        plain, noisy = learnt(12, keep, build=build, num_parts=3, **options)
        ours, theirs = (algo.trained.learners[place] for algo in (plain, noisy))  # type: ignore[union-attr]
        assert torch.equal(ours.critics.omega, theirs.critics.omega)
        assert torch.equal(ours.critics.inputs.shift, theirs.critics.inputs.shift)
        assert torch.equal(ours.policy.theta, theirs.policy.theta) == of_policies
        assert not torch.equal(plain.omega, noisy.omega)
        assert not torch.equal(ours.policy.theta, ours.policy.net.start)


def test_execution_is_decentralised() -> None:
    """pi(s, mu(s)): the crowds of all other states may be anything."""
    plain, _ = learnt(12, within(3, 2))
    counts = np.random.default_rng(0).integers(0, 500, (50, NODES))
    counts[:, 3] = 4
    pi = plain.policy.individual(counts)
    assert (pi[:, 3] == pi[0, 3]).all()
    assert not (pi[:, 4] == pi[0, 4]).all()
