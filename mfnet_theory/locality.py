"""Experiment (viii): how far the localised update looks, what a state must be sent, and what a step costs.

Nothing here is a theorem; it is what the paper's decentralised training promises in practice. The data around a state
are replaced by noise at one distance after the other, and the bits of its policy's weights are compared.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from typing import Any

import numpy as np
import torch

from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.practical import Practical
from mfnet_agents.dec_neural_ac.sampling import Rollout
from mfnet_envs.arrays import Bools, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import uniform
from mfnet_envs.registration import make_model
from mfnet_envs.simulator import Simulator
from mfnet_theory import pictures
from mfnet_theory.statement import Experiment, Settings, Statement, Table, judged

TITLE = "Radius of the localised update, its messages, and the cost of a step"
NODES, AGENTS, STEPS, ITERATIONS = 16, 32, 8, 2
RADII = ((0, 1), (1, 1), (2, 3))  # (k, kappa)
MORE_RADII = ((0, 0), (0, 1), (0, 4), (1, 1), (1, 2), (1, 4), (2, 1), (2, 3), (2, 5), (3, 2), (3, 3))
POPULATIONS = tuple(10**e for e in range(4, 9))
SIZES = (100, 300, 1_000, 3_000, 10_000)
FACTOR = 2.0  # what a measured cost may grow by where it should not grow


def run(settings: Settings) -> Experiment:
    """Radius by perturbation, bytes by counting, CPU time by the clock."""
    settings.say("  noise at one distance after the other ...")
    radii = RADII if settings.quick else MORE_RADII
    reached = [(k, kappa, promised(k, kappa), furthest(k, kappa, settings.seed)) for k, kappa in radii]
    settings.say("  messages ...")
    sent = messages()
    settings.say("  CPU time of a step ...")
    repeats = 5 if settings.quick else 20
    by_population = [(m, n, *_time(m, 100, n, repeats)) for m in MATCHINGS for n in POPULATIONS]
    by_size = [(m, s, *_time(m, s, 100 * s, repeats)) for m in MATCHINGS for s in SIZES]
    lines = (_radius(reached), _bytes(sent), _flat(by_population), _linear(by_size))
    tables = {
        "radius": Table(("hops", "credit_hops", "promised", "measured"), reached),
        "messages": Table(("hops", "credit_hops", "agents", "states", "bytes"), sent),
        "population": Table(("matching", "agents", "seconds_per_step", "slowest_of_repeats"), by_population),
        "size": Table(("matching", "states", "seconds_per_step", "slowest_of_repeats"), by_size),
    }
    figures = ((REACH, _reach_picture(reached, sent)), (COST, _cost_picture(by_population, by_size)))
    return Experiment("locality", TITLE, TEXT, lines, tables, figures)


# -- radius


def promised(k: int, kappa: int) -> int:
    """The critic of y reads N_y^k and a reward that feels N_y; the actor of s hears of y in N_s^kappa."""
    return max(1, k) + kappa


def furthest(k: int, kappa: int, seed: int) -> int:
    """The largest distance at which other data change the weights theta_s by a bit; -1 if none does."""
    plain, samples = _learnt(k, kappa, seed)
    node = NODES // 2
    distance = plain.model.network.distance(node)
    changes = [d for d in range(distance.max() + 1) if _changes(plain, samples, distance == d, node, k, kappa, seed)]
    return max(changes, default=-1)


def _learnt(k: int, kappa: int, seed: int) -> tuple[DecNeuralAC, list[Rollout]]:
    """A learner after some updates, and the rollouts it learnt from."""
    algo, samples = learner(k, kappa, seed), []
    for _ in range(ITERATIONS):
        samples.append(algo.sampler.rollout(algo.learned, STEPS)[0])
        _learn(algo, samples[-1])
    return algo, samples


def _learn(algo: DecNeuralAC, sample: Rollout) -> None:
    algo.learn_from(sample, np.empty(0))
    algo.iteration += 1
    algo.env_steps += sample.steps


def _changes(
    plain: DecNeuralAC, samples: list[Rollout], where: Bools, node: int, k: int, kappa: int, seed: int
) -> bool:
    """Whether theta of ``node`` ends with other bits when the data of the nodes ``where (V,)`` are noise."""
    other, rng = learner(k, kappa, seed), np.random.default_rng([seed, 1])
    for sample in samples:
        _learn(other, noisy(plain.model, sample, where, rng))
    return not torch.equal(plain.learned.theta[node], other.learned.theta[node])


def learner(k: int, kappa: int, seed: int, *, nodes: int = NODES, agents: int = AGENTS) -> DecNeuralAC:
    """The practical learner with its strictly local scaling, on a ring with uneven demand."""
    edges = [[v, (v + 1) % nodes] for v in range(nodes)]
    demand = (1.0 + np.arange(nodes) % 3).tolist()
    config = DecNeuralACConfig().environment(
        "MFNet-Grid-v0", env_config={"graph": edges, "demand": demand, "population": agents}
    )
    config = config.env_runners(num_envs_per_env_runner=4, rollout_fragment_length=STEPS).debugging(seed=seed)
    with warnings.catch_warnings(action="ignore"):  # small radii are warned about; here they are what is asked for
        algo = config.training(
            hops=k, credit_hops=kappa, advantage_scale="state", potential="none", minibatch_size=16
        ).build_algo()
    assert isinstance(algo, DecNeuralAC)
    return algo


def noisy(model: LocalModel, sample: Rollout, where: Bools, rng: np.random.Generator) -> Rollout:
    """The sample with crowds, actions, flows and rewards drawn anew at the nodes ``where (V,)``."""
    shape, law = sample.sizes.shape, model.legal / model.legal.sum(1, keepdims=True)
    sizes, following = (rng.integers(0, model.population + 1, shape) for _ in range(2))
    served = np.minimum(sizes, rng.poisson(1, shape))
    drawn: dict[str, Any] = {
        "crowd": sizes[..., None].astype(float),
        "next_crowd": following[..., None].astype(float),
        "rewards": 10 * rng.normal(size=shape),
        "sizes": sizes,
        "actions": rng.multinomial(sizes, law),
        "next_actions": rng.multinomial(following, law),
        "served": served,
        "unserved": rng.multinomial(sizes - served, law),
    }
    mixed = {name: getattr(sample, name).copy() for name in drawn}
    for name, values in drawn.items():
        if mixed[name].shape[2]:  # what is not read is not recorded
            mixed[name][:, :, where] = values[:, :, where]
    return dataclasses.replace(sample, **mixed)


def _radius(rows: list[tuple[int, int, int, int]]) -> Statement:
    found = ", ".join(f"({k}, {kappa}): {measured} of {limit}" for k, kappa, limit, measured in rows)
    return judged(
        "Algorithms 1 and 2, localised",
        "the update of theta_s reads no data outside N_s^(max(1, k) + kappa), and reads what is recorded at a "
        "node up to k + kappa hops",
        f"furthest distance at which noise changes a bit, for (k, kappa): {found}",
        "no bit",
        all(measured == k + kappa <= limit for k, kappa, limit, measured in rows),
    )


# -- messages

Sent = tuple[int, int, int, int, int]


def messages() -> list[Sent]:
    """Rows (k, kappa, agents, states, bytes a state receives per sample), counted in the learner's own tensors."""
    radii = [(k, kappa) for k in range(4) for kappa in (k, k + 3)]
    games = [(16, 32), (16, 10_000), (16, 1_000_000), (64, 10_000)]
    rows = []
    for k, kappa in radii:
        for states, agents in games:
            algo = learner(k, kappa, 0, nodes=states, agents=agents)
            assert isinstance(algo.trained, Practical)
            (learner_,) = algo.trained.learners
            inputs = learner_.critics.inputs
            features = inputs.mask.sum(1) * inputs.shift.shape[1]  # |N_y^k| F numbers go in
            scalars = learner_.ball.heard  # one advantage from each critic within kappa
            rows.append((k, kappa, agents, states, int((features + scalars).max()) * algo.omega.element_size()))
    return rows


def _bytes(rows: list[Sent]) -> Statement:
    """On a ring |N^k| = 2k + 1, and one number, mu, is seen of each node."""
    expected = [8 * (2 * k + 1 + 2 * kappa + 1) for k, kappa, *_ in rows]
    computed = [row[-1] for row in rows]
    each = ", ".join(
        f"{size} at ({k}, {kappa})" for k, kappa, agents, states, size in rows if (agents, states) == (32, 16)
    )
    return judged(
        "Messages per state",
        "8 (|N_s^k| F + |N_s^kappa|) bytes per sample, F numbers per node, whatever N and |S|",
        f"V critics on rings of 16 and 64 states, 32 to 1,000,000 agents; bytes at (k, kappa): {each}",
        "exact",
        computed == expected,
    )  # fmt: skip


# -- cost

MATCHINGS = ("independent", "physical")
Cost = tuple[str, int, float, float]


def _time(matching: str, states: int, agents: int, repeats: int) -> tuple[float, float]:
    """CPU seconds of one step of one world on a ring: the fastest and the slowest of ``repeats``."""
    edges = [[v, (v + 1) % states] for v in range(states)]
    options: dict[str, Any] = {"graph": edges, "demand": np.full(states, 0.7 / states), "matching": matching}
    model = make_model("MFNet-Grid-v0", population=agents, **options)
    simulator, pi, rng = Simulator(model), uniform(model).table[0], np.random.default_rng(0)
    counts = simulator.reset(rng, 1)
    steps = max(3, 20_000 // states)
    spent = []
    for _ in range(repeats + 1):  # the first one warms up
        began = time.process_time()
        for _ in range(steps):
            counts = simulator.play(counts, pi, rng).next_counts
        spent.append((time.process_time() - began) / steps)
    return min(spent[1:]), max(spent[1:])


def _flat(rows: list[Cost]) -> Statement:
    growth = {m: [seconds for name, _, seconds, _ in rows if name == m] for m in MATCHINGS}
    found = "; ".join(
        f"{m}: {1e6 * cost[0]:.0f} us at N = 10^4, {1e6 * cost[-1]:.0f} us at 10^8, at most {max(cost) / cost[0]:.2f} "
        "times the first"
        for m, cost in growth.items()
    )
    return judged(
        "Cost of a step against N",
        "a step costs no more with 10^8 agents than with 10^4",
        f"100 states, {found}",
        f"a factor {FACTOR:g}, CPU time, fastest of several",
        all(max(cost) <= FACTOR * cost[0] for cost in growth.values()),
    )


def _linear(rows: list[Cost]) -> Statement:
    each = {m: {s: seconds / s for name, s, seconds, _ in rows if name == m} for m in MATCHINGS}
    found = "; ".join(
        f"{m}: {1e6 * cost[1_000]:.2f} us per state at 10^3, {1e6 * cost[10_000]:.2f} us at 10^4"
        for m, cost in each.items()
    )
    ratios = [cost[10_000] / cost[1_000] for cost in each.values()]
    return judged(
        "Cost of a step against |S|",
        "from 10^3 to 10^4 states, with 100 agents per state, a step costs the same per state",
        found,
        f"a factor {FACTOR:g} either way, CPU time, fastest of several",
        all(1 / FACTOR <= ratio <= FACTOR for ratio in ratios),
    )


# -- page

TEXT = (
    f"On a ring of {NODES} nodes a learner with V critics and strictly local scaling (advantage_scale = state) learns "
    "from recorded rollouts. A second one, from the same start, learns from the same rollouts with the data of all "
    "nodes at distance d from a node s replaced by noise. Up to k + kappa hops some bit of theta_s changes, beyond it "
    "none does. (At k = 0 the promise is one hop wider: the reward paid at a node may feel its neighbours.)\n\n"
    "Bytes are counted in the learner's own tensors: the critic's inputs from N_s^k and one advantage from every "
    "critic in N_s^kappa. The cost of a step is CPU time of this process; it depends on the machine, its growth "
    "should not."
)
REACH = (
    "Left: the furthest distance at which noise changes theta_s, against the promised max(1, k) + kappa. Right: bytes "
    "that a state receives per sample; the points for all populations and both rings lie on each other."
)
COST = (
    "CPU time of one step of one world on a ring. Left: 100 states. Right: 100 agents per state; the dashed line has "
    "slope 1."
)


def _reach_picture(reached: list[tuple[int, int, int, int]], sent: list[Sent]) -> Any:
    figure, (left, right) = pictures.panels(2, height=3.5)
    place = np.arange(len(reached))
    left.plot(place, [row[2] for row in reached], "_", color=pictures.CLAIMED, ms=22, mew=2, label="promised")
    left.plot(place, [row[3] for row in reached], "o", color=pictures.MEASURED, ms=8, label="measured")
    left.set_xticks(place, [f"{k}, {kappa}" for k, kappa, *_ in reached], fontsize=8.5)
    left.set_xlim(-0.6, len(reached) - 0.4)
    left.set_ylim(-0.4, NODES // 2 + 1.5)
    left.set_xlabel("k, kappa")
    left.set_ylabel("distance (hops)")
    left.legend(frameon=False, fontsize=9.5, loc="upper left")
    for extra, mark, shade in ((0, "o", pictures.MEASURED), (3, "s", pictures.WORDS)):
        k, size = np.array([(row[0], row[4]) for row in sent if row[1] == row[0] + extra]).T
        label = "kappa = k" + (f" + {extra}" if extra else "")
        right.plot(k, size, mark, color=shade, ms=7, label=label)
        right.plot(k, size, color=shade, lw=1)
    right.set_ylim(0)
    right.set_xticks(range(4))
    right.set_xlabel("k, hops that a critic sees")
    right.set_ylabel("bytes per state and sample")
    right.legend(frameon=False, fontsize=9.5, loc="upper left")
    return figure


def _cost_picture(by_population: list[Cost], by_size: list[Cost]) -> Any:
    figure, (left, right) = pictures.panels(2, height=3.5)
    looks = {"independent": ("o-", pictures.MEASURED), "physical": ("s-", pictures.WORDS)}
    for axis, rows in ((left, by_population), (right, by_size)):
        for matching, (mark, shade) in looks.items():
            x, seconds = np.array([(n, s) for m, n, s, _ in rows if m == matching]).T
            axis.plot(x, 1e6 * seconds, mark, color=shade, lw=1.6, ms=5.5, label=f"{matching} matching")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylabel("microseconds per step")
    top = max(s for _, _, s, _ in by_population)
    left.set_ylim(1e6 * top / 30, 1e6 * top * 10)
    left.set_xlabel("agents")
    left.legend(frameon=False, fontsize=9.5)
    last = by_size[-1]
    states: Ints = np.array(SIZES)
    right.plot(states, 1e6 * last[2] * states / last[1], "--", color=pictures.OTHER, lw=1, zorder=1)
    right.set_xlabel("states")
    return figure
