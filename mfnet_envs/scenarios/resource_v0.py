"""MFNet-Resource-v0: devices share the bandwidth, or the channels, of a network of access points.

Two games on a graph of cells (default: 3 x 3), chosen by ``mode``. In ``"share"`` a device looks for a cell with room;
in ``"aloha"`` it decides when to transmit, and when too many do, nobody gets through. Both optima are closed forms.

**share.** Cell k divides its bandwidth W_k equally among the n_k = N mu(k) devices in it.

========== =========================================================================================================
states     the V cells
actions    0 stay, j = move to neighbour slot j
reward     u(W_k / n_k) - move_cost 1{a moves}, u(x) = log(1 + min(x, enough)) / log(1 + enough): concave, increasing,
           at most 1 when a device has enough
kernel     devices go where they want, P = delta(a(k)); reads nothing
bound      u(W / N), W = sum W_k: by Jensen sum_k mu_k u(W_k / (N mu_k)) <= u(sum_k W_k / N), with equality when every
           cell's crowd is proportional to its bandwidth. Nobody gains by leaving that crowd, so here selfish devices
           do no harm: a control
heuristics ``stay``; ``random``; ``greedy`` (the widest cell of N_k); ``metropolis`` (a walk whose stationary law is
           proportional to W, blind to the crowd); ``proportional_fair`` (leave with probability max(0, 1 - N W_k /
           (W n_k)), in proportion to W)
========== =========================================================================================================

**aloha.** Cell k has M_k channels. Everyone who transmits takes one at random and succeeds when alone on it.

========== =========================================================================================================
states     cell x {idle, transmit}
actions    0 idle, 1 transmit, j + 1 = move to neighbour slot j and be idle there: what is chosen is done in the next
           step, so that the crowd of transmitters is part of mu
reward     transmit: q_k (1 - 1 / M_k)^(n - 1) - energy, n = N mu(k, transmit); idle: 0; both - move_cost 1{a moves}
kernel     P = delta, reads nothing
bound      sum_k max_n n (q_k (1 - 1 / M_k)^(n - 1) - energy) / N over integers n <= N, at every crowd. The maxima for
           M = 1, 2, 4, 8, 16, 32, q = 1 and no energy are 1, 1, 1.6875, 3.1416, 6.0770, 11.9595, about M / e
heuristics ``idle``; ``random``; ``always`` (transmit: the selfish choice, which chokes the cell); ``aloha`` (slotted
           ALOHA, p = M_k / N_k for the crowd N_k of the start); ``hold`` (of n transmitters each goes on with
           probability min(1, M_k / n), of n idle ones each joins with probability M_k / (20 n)); ``aloha_counting``
           (p = M_k / N_k for the crowd N_k of the moment: 1-hop information, since it adds up both states of the cell,
           which no policy pi(s, mu(s)) sees)
========== =========================================================================================================

**Criterion.** Reward per step and device, 200 steps of which the first 100 are warm-up; gamma .95. Devices start
uniformly over cells, idle. ``bound()`` holds at every step, so for the average of any window;
``bound("discounted")`` sums it over the horizon.

Parameters: see :func:`build`. Source: "aloha" follows the wireless access example of Qu, Wierman and Li (2020), with
the contention moved from actions into states. Versions: v0, first release.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs import registration
from mfnet_envs.bounds import Certificate
from mfnet_envs.matching import like, namespace
from mfnet_envs.model import Branch, Floats, LocalModel, checked_population
from mfnet_envs.network import Ints, StateNetwork
from mfnet_envs.policy import Policy, TablePolicy, one_hot, uniform, weighted
from mfnet_envs.scenarios import _options as options
from mfnet_envs.scenarios._threshold import ThresholdPolicy
from mfnet_envs.scenarios.grid_v0 import two_hotspots

Criterion = Literal["average", "discounted"]
IDLE, TRANSMIT = 0, 1  # layers, and the actions that lead to them
TINY = 1e-12


class Share(LocalModel):
    """``mode="share"``; build it with :func:`build`.

    Attributes:
        bandwidth: ``(V,)`` W_k.
        enough: bandwidth of a device beyond which more is worth nothing.
    """

    def __init__(
        self,
        network: StateNetwork,
        population: int,
        bandwidth: Floats,
        enough: float,
        move_cost: float,
        gamma: float,
        evaluation: tuple[int, int],
    ) -> None:
        self.bandwidth, self.enough, self.move_cost = bandwidth, enough, move_cost
        targets, legal = options.moves(network)
        self._moving: Floats = (targets != targets[:, :1]).astype(float)
        super().__init__(
            network=network,
            population=population,
            num_actions=targets.shape[1],
            branches=(Branch.to(targets),),
            reward_range=(-move_cost, 1.0),
            legal=legal,
            gamma=gamma,
            evaluation=evaluation,
            kernel_reads="none",
            reference_counts=population * bandwidth / bandwidth.sum(),
        )

    def utility(self, each: Any) -> Any:
        """u of a device's bandwidth."""
        xp = namespace(each)
        return xp.log1p(xp.minimum(each, like(each, np.asarray(self.enough)))) / math.log1p(self.enough)

    def reward(self, mu_hood: Any) -> Any:
        crowd = self.population * mu_hood[:, :, 0, 0]
        crowd = crowd + TINY * (crowd < TINY)  # an empty cell offers all it has
        each = self.utility(like(crowd, self.bandwidth) / crowd)[..., None]
        return each - self.move_cost * like(each, self._moving)

    def branch_weights(self, mu_hood: Any) -> Any:
        return _ones(mu_hood, self.network.num_states)

    def bound(self, criterion: Criterion = "average") -> Certificate:
        per_step = float(self.utility(np.asarray(self.bandwidth.sum() / self.population)))
        return _certificate(self, per_step, criterion, "utility")

    def heuristics(self) -> dict[str, Policy]:
        """stay, random, greedy, metropolis, proportional_fair."""
        targets, legal = options.moves(self.network)
        near = np.where(legal, self.bandwidth[targets], 0.0)
        return {
            "stay": one_hot(self, np.zeros(len(self.team_states), int)),
            "random": uniform(self),
            "greedy": one_hot(self, near.argmax(1)[self.team_states]),
            "metropolis": TablePolicy(self, self._metropolis()[self.team_states]),
            "proportional_fair": ThresholdPolicy(
                self, weighted(self, near[self.team_states] * self._moving[self.team_states]).table, keep=1.0
            ),
        }

    def _metropolis(self) -> Floats:
        """``(V, D)``: propose a neighbour, accept with min(1, W' / W x deg / deg')."""
        targets, legal = options.moves(self.network)
        degree = np.maximum(legal.sum(1) - 1, 1)
        offered = (self.bandwidth / degree)[targets]
        accepted = np.minimum(1.0, offered / np.maximum(offered[:, :1], TINY))
        table: Floats = accepted / degree[:, None] * self._moving
        table[:, 0] = 1 - table.sum(1)
        return table


class Aloha(LocalModel):
    """``mode="aloha"``; build it with :func:`build`.

    Attributes:
        channels: ``(V,)`` M_k.
        quality: ``(V,)`` q_k, chance that a transmission alone on its channel arrives.
    """

    def __init__(
        self,
        network: StateNetwork,
        population: int,
        channels: Floats,
        quality: Floats,
        energy: float,
        move_cost: float,
        gamma: float,
        evaluation: tuple[int, int],
    ) -> None:
        self.channels, self.quality, self.energy, self.move_cost = channels, quality, energy, move_cost
        cells = np.arange(network.num_nodes)[:, None]
        near, legal = options.moves(network)
        targets = np.concatenate([2 * cells + IDLE, 2 * cells + TRANSMIT, 2 * near[:, 1:] + IDLE], 1)
        may = np.concatenate([np.ones((len(cells), 2), bool), legal[:, 1:]], 1)
        self._moving: Floats = (np.repeat(may, 2, 0) * (np.arange(targets.shape[1]) > TRANSMIT)).astype(float)
        super().__init__(
            network=network,
            population=population,
            num_actions=targets.shape[1],
            branches=(Branch.to(np.repeat(targets, 2, 0)),),
            reward_range=(min(-energy, 0.0) - move_cost, max(float(quality.max()) - energy, 0.0)),
            legal=np.repeat(may, 2, 0),
            initial=np.tile([1.0, 0.0], network.num_nodes) / network.num_nodes,
            gamma=gamma,
            evaluation=evaluation,
            kernel_reads="none",
            reference_counts=np.column_stack([np.full(len(cells), population / len(cells)), channels]).reshape(-1),
        )

    def reward(self, mu_hood: Any) -> Any:
        xp = namespace(mu_hood)
        n = self.population * mu_hood[:, :, 0, TRANSMIT]
        others = xp.maximum(n - 1, 0 * n)
        success = like(n, self.quality) * like(n, 1 - 1 / self.channels) ** others
        pay = xp.reshape(xp.stack([0 * n, success - self.energy], axis=2), (n.shape[0], -1))[..., None]
        return pay - self.move_cost * like(pay, self._moving)

    def branch_weights(self, mu_hood: Any) -> Any:
        return _ones(mu_hood, self.network.num_states)

    def bound(self, criterion: Criterion = "average") -> Certificate:
        best = [self.most(k) for k in range(self.network.num_nodes)]
        return _certificate(self, sum(best) / self.population, criterion, "successes")

    def most(self, k: int) -> float:
        """max_n n (q_k (1 - 1 / M_k)^(n - 1) - energy); beyond n = M_k one more only lowers it."""
        n = np.arange(min(self.population, math.ceil(self.channels[k])) + 1)
        success = self.quality[k] * (1 - 1 / self.channels[k]) ** np.maximum(n - 1, 0)
        return float((n * (success - self.energy)).max())

    def heuristics(self) -> dict[str, Policy]:
        """idle, random, always, aloha, hold, and aloha_counting (1-hop information)."""
        teams = len(self.team_states)
        crowd = self.population * self.initial.reshape(-1, 2).sum(1)
        return {
            "idle": one_hot(self, np.full(teams, IDLE)),
            "random": uniform(self),
            "always": one_hot(self, np.full(teams, TRANSMIT)),
            "aloha": TablePolicy(self, _transmit(self, np.repeat(np.minimum(1, self.channels / crowd), 2))),
            "hold": Hold(self),
            "aloha_counting": AlohaCounting(self),
        }


class Hold(Policy):
    """Of n transmitters each goes on with probability min(1, M / n), of n idle ones each joins with M / (20 n)."""

    model: Aloha

    def teams(self, counts: Ints, t: int) -> Floats:
        most = np.stack([self.model.channels / 20, self.model.channels], 1).reshape(-1)
        return _transmit(self.model, np.minimum(1.0, most / np.maximum(counts, 1)))


class AlohaCounting(Policy):
    """Slotted ALOHA, p = M / N_k, N_k all who are in the cell, idle or not: 1-hop information."""

    model: Aloha

    def teams(self, counts: Ints, t: int) -> Floats:
        crowd = np.repeat(counts[:, 0::2] + counts[:, 1::2], 2, 1)
        return _transmit(self.model, np.minimum(1.0, np.repeat(self.model.channels, 2) / np.maximum(crowd, 1)))


def _transmit(model: Aloha, chance: Floats) -> Floats:
    """``(..., S)`` chances to transmit, else idle, as ``(..., S, A)``."""
    table = np.zeros((*chance.shape, model.num_actions))
    table[..., IDLE], table[..., TRANSMIT] = 1 - chance, chance
    return table


def _ones(mu_hood: Any, states: int) -> Any:
    """The weights ``(B, S, 1, 1)`` of a single branch."""
    here = mu_hood[:, :1, :1, :1]
    return here * 0 + like(here, np.ones((1, states, 1, 1)))


def _certificate(model: LocalModel, per_step: float, criterion: Criterion, what: str) -> Certificate:
    options.one_of("criterion", criterion, ("average", "discounted"))
    horizon = model.evaluation[0]
    steps = (1 - model.gamma**horizon) / (1 - model.gamma)
    return Certificate(
        value=per_step if criterion == "average" else per_step * steps,
        criterion=criterion,
        unit=f"{what} per step and device" if criterion == "average" else f"discounted {what} per device",
        kind="closed-form",
        horizon=None if criterion == "average" else horizon,
        gap=0.0,
        assumption="every policy, central and history dependent included, at every crowd",
    )


def build(
    population: int = 100,
    mode: Literal["share", "aloha"] = "share",
    rows: int = 3,
    cols: int = 3,
    graph: nx.Graph[Any] | Sequence[tuple[int, int]] | None = None,
    bandwidth: ArrayLike | None = None,
    total_bandwidth: float = 1.0,
    enough: float = 4.0,
    channels: ArrayLike = 4,
    quality: ArrayLike = 1.0,
    energy: float = 0.0,
    move_cost: float = 0.05,
    gamma: float = 0.95,
    horizon: int = 200,
    warmup: int = 100,
) -> Share | Aloha:
    """The model of MFNet-Resource-v0.

    Args:
        population: N, the number of devices.
        mode: "share" (bandwidth) or "aloha" (channels).
        rows, cols: size of the grid of cells; ignored when ``graph`` is given.
        graph: instead of the grid, any connected undirected networkx graph or a list of edges between 0 .. V - 1.
        bandwidth: share: ``(V,)`` weights, scaled to ``total_bandwidth``; default: two peaks on a grid, equal on a
            graph.
        total_bandwidth: share: bandwidth per device, W / N.
        enough: share: what a device can use.
        channels: aloha: M_k, one positive integer or ``(V,)``.
        quality: aloha: q_k in [0, 1], one number or ``(V,)``.
        energy: aloha: paid for every transmission.
        move_cost: paid for a move, in both modes.
        gamma, horizon, warmup: of the criterion.

    Raises:
        ValueError: for an option out of its range, in one sentence.
    """
    options.one_of("mode", mode, ("share", "aloha"))
    options.non_negative(total_bandwidth=total_bandwidth, enough=enough, energy=energy, move_cost=move_cost)
    network = options.network_of(rows, cols, graph, 1 if mode == "share" else 2)
    agents, evaluation = checked_population(population), options.steps(horizon, warmup)
    if mode == "aloha":
        return Aloha(
            network, agents, _channels(channels, network), _quality(quality, network),
            float(energy), float(move_cost), gamma, evaluation,
        )  # fmt: skip
    if bandwidth is None:
        bandwidth = two_hotspots(rows, cols) if graph is None else 1.0
    weights = options.per_node("bandwidth", bandwidth, network)
    if not (weights.sum() > 0 and total_bandwidth > 0 and enough > 0):
        raise ValueError("bandwidth must be positive somewhere, and so must total_bandwidth and enough")
    scaled = agents * total_bandwidth * weights / weights.sum()
    return Share(network, agents, scaled, float(enough), float(move_cost), gamma, evaluation)


def _channels(channels: ArrayLike, network: StateNetwork) -> Floats:
    numbers = options.per_node("channels", channels, network)
    if (numbers < 1).any() or (numbers % 1).any():
        raise ValueError("channels must be positive integers, one for all cells or one per cell")
    return numbers


def _quality(quality: ArrayLike, network: StateNetwork) -> Floats:
    numbers = options.per_node("quality", quality, network)
    if (numbers > 1).any():
        raise ValueError("quality must lie between 0 and 1, one number for all cells or one per cell")
    return numbers


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-Resource-v0")
env = partial(registration.env, "MFNet-Resource-v0")
