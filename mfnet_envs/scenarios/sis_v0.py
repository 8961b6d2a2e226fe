"""MFNet-SIS-v0: people go out, stay in or move, and an infection goes round among those who meet.

N people live on the nodes of a graph (default: 3 x 3), susceptible or infected. Going out is worth something and
exposes to whoever is at the node. Each weighs his own risk; what he does to the others once infected is the part that
selfish people leave out.

========== =========================================================================================================
states     node x {susceptible, infected}
actions    0 stay in, 1 go out, j + 1 = move to neighbour slot j; exposure b_a = indoors, 1, moving
reward     benefit_v b_a - illness_cost 1{infected}
kernel     susceptible -> infected with probability 1 - exp(-beta b_a i_v), i_v = mu(v, infected) / mu(v) the infected
           share at the node; infected -> susceptible with probability delta; a move is made in either case. Reads the
           own node's densities. Infection comes from who is at the node, not from what they do there (2), so the
           infected lose nothing by going out
criterion  discounted return per person, gamma .98, 250 steps; people start uniformly, a share ``infected`` of them ill
bound      dp: nobody is infected after the first step. Then people do not meet and each walks to where the benefit is
           (value iteration over the graph), and those ill by then cost what their recovery takes; infections only add
           illness. At the first step who meets whom is drawn, and each does what is best for him. Valid for every
           policy; exact for beta = 0, and what is missing else is the price of the epidemic
heuristics ``stay_in``; ``random``; ``out``; ``carefree`` (the bound's own policy: walk to the best node and go out
           there); ``lockdown`` (the susceptible stay in and the infected go out for 3 / delta steps, then all play
           ``carefree``); ``threshold`` (the susceptible at v go out while at least 80 % of the node's usual crowd
           N / V is susceptible: sees mu(s) only); ``selfish`` (the susceptible go out while what it is worth today
           exceeds the expected loss by illness that it adds: 1-hop information, since it needs mu(v, infected) too)
========== =========================================================================================================

If all go out and nobody moves, a large population settles at :func:`endemic_share`.

Parameters: see :class:`SIS`; what people earn stands in ``SIS.reward``. Versions: v0, first release.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs import registration
from mfnet_envs.arrays import Bools, Floats, Ints, like, namespace
from mfnet_envs.bounds import Certificate
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy, TablePolicy, one_hot, uniform
from mfnet_envs.scenarios import _options as options
from mfnet_envs.wording import Headline, Wording
from mfnet_envs.words import checked_population, non_negative, share

SUSCEPTIBLE, INFECTED = 0, 1  # layers
STAY_IN, GO_OUT = 0, 1  # actions
TINY = 1e-12
MEETINGS = 10**7  # of crowds and infected among them, over all nodes: sums of so many take seconds


class SIS(LocalModel):
    """The model of this page.

    Args:
        population: N, the number of people.
        rows, cols: nodes down and across the grid; ignored when ``graph`` is given.
        graph: instead of the grid, any connected undirected networkx graph or a list of edges between 0 .. V - 1.
        benefit: worth of a step out, one number, a list in the graph's order or a dict by label; default: from .5 at
            the first node evenly to 1 at the last.
        beta: infections per contact: the rate at full exposure where everybody is infected.
        delta: chance to recover in a step.
        illness_cost: paid for every step infected.
        indoors: exposure of who stays in, in [0, 1]; going out is 1.
        moving: exposure of who moves, in [0, 1].
        infected: share of people ill at the start.
        gamma: discount factor per step.
        horizon: steps of an evaluation, and of an episode.

    Attributes:
        exposure: ``(A,)`` b_a.

    Raises:
        ValueError: for an option out of its range, in one sentence.
    """

    law_methods = (*LocalModel.law_methods, "_pay")
    reward_reads = "own"
    wording = Wording(
        agents="people",
        place="a network of places where people meet",
        labels={"stay_in": "all stay in", "out": "all go out"},
        needs={
            "stay_in": "nothing",
            "random": "nothing",
            "out": "nothing",
            "carefree": "what going out is worth everywhere",
            "lockdown": "the calendar, and what going out is worth everywhere",
            "threshold": "how many susceptible people are beside it",
            "selfish": "the law of infection, and how many at the node are infected",
        },
        learner_needs="samples",
    )

    def __init__(
        self,
        population: int = 200,
        rows: int = 3,
        cols: int = 3,
        graph: nx.Graph[Any] | Sequence[tuple[int, int]] | None = None,
        benefit: ArrayLike | None = None,
        beta: float = 0.6,
        delta: float = 0.2,
        illness_cost: float = 1.0,
        indoors: float = 0.1,
        moving: float = 0.5,
        infected: float = 0.1,
        gamma: float = 0.98,
        horizon: int = 250,
    ) -> None:
        non_negative(beta=beta, illness_cost=illness_cost)
        share(delta=delta, indoors=indoors, moving=moving, infected=infected)
        network = options.network_of(rows, cols, graph, 2)
        worth = np.linspace(0.5, 1.0, network.num_nodes) if benefit is None else benefit
        self.benefit = options.per_node("benefit", worth, network)
        self.notes = (*self.notes, *options.order_note(network, benefit=benefit))
        self.beta, self.delta, self.illness_cost = float(beta), float(delta), float(illness_cost)
        self._targets, may = _actions(network)
        self.exposure: Floats = np.array([indoors, 1.0] + [moving] * (self._targets.shape[1] - 2))
        there = np.repeat(self._targets, 2, 0) * 2
        health = np.tile([SUSCEPTIBLE, INFECTED], network.num_nodes)[:, None]
        pay, agents = self._pay(), checked_population(population)
        super().__init__(
            network=network,
            population=agents,
            num_actions=len(self.exposure),
            branches=(Branch.to(there + 1 - health), Branch.to(there + health)),
            reward_range=(float(pay.min()), float(pay.max())),
            legal=np.repeat(may, 2, 0),
            initial=np.tile([1 - infected, infected], network.num_nodes) / network.num_nodes,
            gamma=gamma,
            evaluation=options.evaluation(horizon, 0),
            kernel_reads="own",
            reference_counts=np.full(network.num_states, agents / network.num_nodes),
        )

    def reward(self, mu_hood: Any) -> Any:
        """What going out is worth, less the cost of being infected; the crowd does not matter."""
        return 0 * mu_hood[:, :1, :1, 0] + like(mu_hood, self._pay())

    def _pay(self) -> Floats:
        """``(S, A)``."""
        worth = self.benefit[:, None] * self.exposure
        return np.stack([worth, worth - self.illness_cost], 1).reshape(-1, len(self.exposure))

    def branch_weights(self, mu_hood: Any) -> Any:
        xp = namespace(mu_hood)
        susceptible, infected = mu_hood[:, :, 0, SUSCEPTIBLE], mu_hood[:, :, 0, INFECTED]
        everyone = susceptible + infected
        share = (infected / (everyone + TINY * (everyone < TINY)))[..., None]
        caught = 1 - xp.exp(-self.beta * share * like(share, self.exposure))
        both = xp.stack([caught, self.delta + 0 * caught], axis=2)
        changes = xp.reshape(both, (both.shape[0], -1, both.shape[3]))
        return xp.stack([changes, 1 - changes], axis=-1)

    @property
    def headline(self) -> Headline:
        return Headline("discounted", "return per person")

    def bound(self) -> Certificate:
        """Nobody is infected after the first step: each walks to where the benefit is, and who is ill recovers.

        At the first step who stands beside whom is drawn, not chosen: given the counts a susceptible at v is worth at
        most max_a benefit_v b_a + gamma (W(a(v)) - I (1 - exp(-beta b_a i_v))), W being the walk and I an illness from
        the second step on. Its mean over the counts is summed up where these are few.
        """
        horizon, lasting = self.evaluation[0], self.gamma * (1 - self.delta)
        values, first, _ = self._healthy()
        here = self.initial.reshape(-1, 2)
        ill = self.illness_cost * sum(lasting**t for t in range(horizon))
        value = float(here.sum(1) @ values) - ill * float(here[:, INFECTED].sum())
        meeting = self.network.num_nodes * self.population**2 <= MEETINGS
        if meeting:
            later = self.gamma * self.illness_cost * sum(lasting**t for t in range(horizon - 1))
            caught = [self._caught(*at, later) for at in zip(here, first, strict=True)]
            value -= sum(caught)
        return Certificate(
            value=value,
            criterion="discounted",
            unit="return per person",
            kind="dp",
            horizon=horizon,
            gap=0.0,
            assumption="every policy, central and history dependent included, from the initial law; "
            "the optimum if nobody were infected " + ("after the first step" if meeting else "any more"),
        )

    def _caught(self, here: Floats, worth: Floats, ill: float) -> float:
        """What the first step's infections at a node cost everybody at least, per person.

        Args:
            here: ``(2,)`` chances to stand there at first, susceptible and infected.
            worth: ``(A,)`` of each action and all that follows, without infections; ill: cost of being infected then.
        """
        from scipy.stats import binom

        if not here.any():
            return 0.0
        crowd, infected = np.arange(1, self.population + 1)[:, None], np.arange(self.population + 1)
        law = binom.pmf(crowd, self.population, here.sum()) * binom.pmf(infected, crowd, here[INFECTED] / here.sum())
        share = np.minimum(infected / crowd, 1.0)[..., None]
        best = (worth - ill * -np.expm1(-self.beta * self.exposure * share)).max(-1)
        return float((law * (crowd - infected) * (worth.max() - best)).sum()) / self.population

    def _healthy(self) -> tuple[Floats, Floats, Ints]:
        """Without infections: one person's best benefit from each node ``(V,)``, that with each first action
        ``(V, A)``, and the best action at each step ``(horizon, V)``."""
        worth = np.where(self.legal[::2], self.benefit[:, None] * self.exposure, -np.inf)
        values, ahead, actions = np.zeros(self.network.num_nodes), worth, []
        for _ in range(self.evaluation[0]):
            ahead = worth + self.gamma * values[self._targets]
            values = ahead.max(1)
            actions.append(ahead.argmax(1))
        return values, ahead, np.stack(actions[::-1])

    def heuristics(self) -> dict[str, Policy]:
        """stay_in, random, out, carefree, lockdown, threshold, and selfish (1-hop information)."""
        states = np.arange(self.network.num_states)
        careful = np.where(states % 2 == SUSCEPTIBLE, STAY_IN, GO_OUT)
        carefree = np.eye(self.num_actions)[np.repeat(self._healthy()[2], 2, 1)]
        locked = carefree.copy()
        locked[: math.ceil(3 / max(self.delta, 1e-9))] = np.eye(self.num_actions)[careful]
        return {
            "stay_in": one_hot(self, np.full_like(states, STAY_IN)),
            "random": uniform(self),
            "out": one_hot(self, np.full_like(states, GO_OUT)),
            "carefree": TablePolicy(self, carefree),
            "lockdown": TablePolicy(self, locked),
            "threshold": Threshold(self),
            "selfish": Selfish(self),
        }


class Threshold(Policy):
    """The susceptible go out while at least 80 % of their node's usual crowd is susceptible; the infected always."""

    model: SIS

    def teams(self, counts: Ints, t: int) -> Floats:
        usual = self.model.population / self.model.network.num_nodes
        return _out_where(self.model, counts[:, SUSCEPTIBLE::2] >= 0.8 * usual)


class Selfish(Policy):
    """The susceptible go out while benefit (1 - indoors) >= (added chance of illness) x (its discounted cost).

    1-hop information: reads how many at the node are infected.
    """

    model: SIS

    def teams(self, counts: Ints, t: int) -> Floats:
        model = self.model
        infected = counts[:, INFECTED::2]
        force = model.beta * infected / np.maximum(counts[:, SUSCEPTIBLE::2] + infected, 1)
        indoors = model.exposure[STAY_IN]
        added = np.exp(-indoors * force) - np.exp(-force)
        illness = model.illness_cost * model.gamma / (1 - model.gamma * (1 - model.delta))
        return _out_where(model, model.benefit * (1 - indoors) >= added * illness)


def _out_where(model: SIS, dare: Bools) -> Floats:
    """``(B, S, A)``: the susceptible go out where they ``dare (B, V)``, else stay in; the infected go out."""
    actions = np.stack([np.where(dare, GO_OUT, STAY_IN), np.full(dare.shape, GO_OUT)], 2)
    table: Floats = np.eye(model.num_actions)[actions.reshape(len(dare), -1)]
    return table


def endemic_share(beta: float, delta: float) -> float:
    """The infected share that lasts when all go out: the positive root of 1 - exp(-beta i) = delta i / (1 - i).

    0 if beta <= delta: the left side is then below the right one for every i in (0, 1).
    """
    if beta <= delta:
        return 0.0
    low, high = 0.0, 1.0  # infections exceed recoveries from 0 to the root, then fall short
    for _ in range(100):
        middle = (low + high) / 2
        if (1 - middle) * -math.expm1(-beta * middle) > delta * middle:
            low = middle
        else:
            high = middle
    return low


build = SIS


def _actions(network: StateNetwork) -> tuple[Ints, Bools]:
    """``(V, D + 1)``: the node each action leads to, and which are legal."""
    near, legal = options.moves(network)
    return np.concatenate([near[:, :1], near], 1), np.concatenate([legal[:, :1], legal], 1)


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-SIS-v0")
env = partial(registration.env, "MFNet-SIS-v0")
