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

Parameters: see :class:`Resource`; what a crowd earns stands in ``Share.earned`` and ``Aloha.earned``. Source: "aloha"
follows the wireless access example of Qu, Wierman and Li (2020), with the contention moved from actions into states.
Versions: v0, first release.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs import registration
from mfnet_envs.arrays import Bools, Floats, Ints, like, namespace
from mfnet_envs.bounds import Certificate
from mfnet_envs.heuristics import ThresholdPolicy
from mfnet_envs.model import Branch, LocalModel, reads
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy, TablePolicy, one_hot, uniform, weighted
from mfnet_envs.programmes import horizon_lp
from mfnet_envs.scenarios import _options as options
from mfnet_envs.scenarios.grid_v0 import two_hotspots
from mfnet_envs.wording import Headline, Wording
from mfnet_envs.words import checked_population, non_negative, one_of

IDLE, TRANSMIT = 0, 1  # layers, and the actions that lead to them
TINY = 1e-12
CROWDS = 1001  # at most so many at which a planner looks


@dataclass(frozen=True)
class Share:
    """``mode="share"``: what the devices of a cell get of its bandwidth.

    Attributes:
        population: N.
        bandwidth: ``(V,)`` W_k.
        enough: bandwidth of a device beyond which more is worth nothing.
    """

    population: int
    bandwidth: Floats
    enough: float
    unit = "utility"

    def actions(self, cells: StateNetwork) -> tuple[Ints, Bools, Bools]:
        """``(S, A)``: the states that actions lead to, which of them are legal, and which are moves."""
        targets, legal = options.moves(cells)
        return targets, legal, targets != targets[:, :1]

    def initial(self) -> Floats:
        """``(S,)``"""
        return np.full(len(self.bandwidth), 1 / len(self.bandwidth))

    def usual(self) -> Floats:
        """``(S,)``: the crowds at which nobody gains by leaving."""
        return np.asarray(self.population * self.bandwidth / self.bandwidth.sum())

    def span(self) -> tuple[float, float]:
        """(lowest, highest) of :meth:`earned`."""
        return 0.0, 1.0

    def earned(self, n: Any) -> Any:
        """u(W_k / n_k) ``(B, S)`` from the crowds ``n (B, V, 1)``."""
        crowd = n[..., 0]
        crowd = crowd + TINY * (crowd < TINY)  # an empty cell offers all it has
        return self.utility(like(crowd, self.bandwidth) / crowd)

    def utility(self, each: Any) -> Any:
        """u of a device's bandwidth."""
        xp = namespace(each)
        return xp.log1p(xp.minimum(each, like(each, np.asarray(self.enough)))) / math.log1p(self.enough)

    def best(self) -> float:
        """Nothing earns more per step and device, by Jensen: u(W / N)."""
        return float(self.utility(np.asarray(self.bandwidth.sum() / self.population)))

    def heuristics(self, model: Resource) -> dict[str, Policy]:
        """stay, random, greedy, metropolis, proportional_fair."""
        targets, legal, moving = self.actions(model.network)
        near = np.where(legal, self.bandwidth[targets], 0.0)
        teams = model.team_states
        leaving = weighted(model, near[teams] * moving[teams]).table
        return {
            "stay": one_hot(model, np.zeros(len(teams), int)),
            "random": uniform(model),
            "greedy": one_hot(model, near.argmax(1)[teams]),
            "metropolis": TablePolicy(model, self._metropolis(targets, legal, moving)[teams]),
            "proportional_fair": ThresholdPolicy(model, leaving, keep=1.0),
        }

    def _metropolis(self, targets: Ints, legal: Bools, moving: Bools) -> Floats:
        """``(V, D)``: propose a neighbour, accept with min(1, W' / W x deg / deg')."""
        degree = np.maximum(legal.sum(1) - 1, 1)
        offered = (self.bandwidth / degree)[targets]
        accepted = np.minimum(1.0, offered / np.maximum(offered[:, :1], TINY))
        table: Floats = accepted / degree[:, None] * moving
        table[:, 0] = 1 - table.sum(1)
        return table


@dataclass(frozen=True)
class Aloha:
    """``mode="aloha"``: who transmits succeeds when alone on a channel drawn at random.

    Attributes:
        population: N.
        channels: ``(V,)`` M_k.
        quality: ``(V,)`` q_k, chance that a transmission alone on its channel arrives.
        energy: paid for every transmission.
    """

    population: int
    channels: Floats
    quality: Floats
    energy: float
    unit = "successes"

    def actions(self, cells: StateNetwork) -> tuple[Ints, Bools, Bools]:
        """``(S, A)``: the states that actions lead to, which of them are legal, and which are moves."""
        here = np.arange(cells.num_nodes)[:, None]
        near, legal = options.moves(cells)
        targets = np.concatenate([2 * here + IDLE, 2 * here + TRANSMIT, 2 * near[:, 1:] + IDLE], 1)
        may = np.concatenate([np.ones((len(here), 2), bool), legal[:, 1:]], 1)
        moving = may & (np.arange(targets.shape[1]) > TRANSMIT)
        return np.repeat(targets, 2, 0), np.repeat(may, 2, 0), np.repeat(moving, 2, 0)

    def initial(self) -> Floats:
        """``(S,)``"""
        return np.tile([1.0, 0.0], len(self.channels)) / len(self.channels)

    def usual(self) -> Floats:
        """``(S,)``: an equal part of the idle, a transmitter for each channel."""
        cells = len(self.channels)
        return np.column_stack([np.full(cells, self.population / cells), self.channels]).reshape(-1)

    def span(self) -> tuple[float, float]:
        """(lowest, highest) of :meth:`earned`."""
        return min(-self.energy, 0.0), max(float(self.quality.max()) - self.energy, 0.0)

    def earned(self, n: Any) -> Any:
        """q_k (1 - 1 / M_k)^(n - 1) - energy of the n who transmit, 0 of the idle: ``(B, S)`` from ``n (B, V, 2)``."""
        xp = namespace(n)
        n = n[..., TRANSMIT]
        others = xp.maximum(n - 1, 0 * n)
        success = like(n, self.quality) * like(n, 1 - 1 / self.channels) ** others
        return xp.reshape(xp.stack([0 * n, success - self.energy], axis=2), (n.shape[0], -1))

    def best(self) -> float:
        """Nothing earns more per step and device: in every cell as many transmit as is best for it."""
        return sum(self.most(k) for k in range(len(self.channels))) / self.population

    def most(self, k: int) -> float:
        """max_n n (q_k (1 - 1 / M_k)^(n - 1) - energy); beyond n = M_k one more only lowers it."""
        n = np.arange(min(self.population, math.ceil(self.channels[k])) + 1)
        success = self.quality[k] * (1 - 1 / self.channels[k]) ** np.maximum(n - 1, 0)
        return float((n * (success - self.energy)).max())

    def heuristics(self, model: Resource) -> dict[str, Policy]:
        """idle, random, always, aloha, hold, and aloha_counting (1-hop information)."""
        teams = len(model.team_states)
        crowd = self.population * self.initial().reshape(-1, 2).sum(1)
        return {
            "idle": one_hot(model, np.full(teams, IDLE)),
            "random": uniform(model),
            "always": one_hot(model, np.full(teams, TRANSMIT)),
            "aloha": TablePolicy(model, _transmit(model, np.repeat(np.minimum(1, self.channels / crowd), 2))),
            "hold": Hold(model, self.channels),
            "aloha_counting": AlohaCounting(model, self.channels),
        }


class Resource(LocalModel):
    """The model of this page.

    Args:
        population: N, the number of devices.
        mode: "share" (bandwidth) or "aloha" (channels).
        rows, cols: cells down and across the grid; ignored when ``graph`` is given.
        graph: instead of the grid, any connected undirected networkx graph or a list of edges between 0 .. V - 1.
        bandwidth: share: weights per node, a list in the graph's order or a dict by label, scaled to
            ``total_bandwidth``; default: two peaks on a grid, equal on a graph.
        total_bandwidth: share: bandwidth per device, W / N.
        enough: share: what a device can use.
        channels: aloha: M_k, one positive integer or ``(V,)``.
        quality: aloha: q_k in [0, 1], one number or ``(V,)``.
        energy: aloha: paid for every transmission.
        move_cost: paid for a move, in both modes.
        gamma: discount factor per step.
        horizon: steps of an evaluation, and of an episode.
        warmup: first steps of an evaluation that do not count.

    Attributes:
        game: :class:`Share` or :class:`Aloha`, what a crowd earns.

    Raises:
        ValueError: for an option out of its range, in one sentence.
    """

    reward_reads = "own"
    wording = Wording(
        agents="devices",
        place="a network of cells",
        labels={"aloha": "slotted ALOHA", "aloha_counting": "slotted ALOHA that counts"},
        needs={
            "stay": "nothing",
            "random": "nothing",
            "greedy": "bandwidths of the neighbouring cells",
            "metropolis": "bandwidths of the neighbouring cells",
            "proportional_fair": "all bandwidths, and how many are in the cell",
            "idle": "nothing",
            "always": "nothing",
            "aloha": "the cell's channels and its usual crowd",
            "hold": "the cell's channels, and how many do the same in it",
            "aloha_counting": "the cell's channels, and how many are in it",
        },
        learner_needs="samples, and the usual crowd of every cell, by which it scales what it sees",
    )

    def __init__(
        self,
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
    ) -> None:
        one_of("mode", mode, ("share", "aloha"))
        non_negative(total_bandwidth=total_bandwidth, enough=enough, energy=energy, move_cost=move_cost)
        network = options.network_of(rows, cols, graph, 1 if mode == "share" else 2)
        agents = checked_population(population)
        self.notes = (
            *self.notes,
            *options.order_note(network, bandwidth=bandwidth, channels=channels, quality=quality),
        )
        if bandwidth is None:
            bandwidth = two_hotspots(rows, cols) if graph is None else 1.0
        weights = options.per_node("bandwidth", bandwidth, network)  # what the other mode reads is looked at too
        lanes, arrives = _channels(channels, network), _quality(quality, network)
        self.game: Share | Aloha
        if mode == "aloha":
            self.game = Aloha(agents, lanes, arrives, float(energy))
        else:
            if not (weights.sum() > 0 and total_bandwidth > 0 and enough > 0):
                raise ValueError("bandwidth must be positive somewhere, and so must total_bandwidth and enough")
            self.game = Share(agents, agents * float(total_bandwidth) * weights / weights.sum(), float(enough))
        self.move_cost = float(move_cost)
        targets, legal, moving = self.game.actions(network)
        self._moving: Floats = moving.astype(float)
        lowest, highest = self.game.span()
        super().__init__(
            network=network,
            population=agents,
            num_actions=targets.shape[1],
            branches=(Branch.to(targets),),
            reward_range=(lowest - self.move_cost, highest),
            legal=legal,
            initial=self.game.initial(),
            gamma=gamma,
            evaluation=options.evaluation(horizon, warmup),
            kernel_reads="none",
            reference_counts=self.game.usual(),
        )

    def __getattr__(self, name: str) -> Any:
        """What is the game's (``bandwidth``, ``channels``, ...) is found here too."""
        game = vars(self).get("game")
        if name.startswith("_") or not hasattr(game, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(game, name)

    def reward(self, mu_hood: Any) -> Any:
        """What the game gives to the crowd of the cell, less the cost of a move."""
        earned = self.game.earned(self.population * mu_hood[:, :, 0])[..., None]
        return earned - self.move_cost * like(earned, self._moving)

    def branch_weights(self, mu_hood: Any) -> Any:
        """The weights ``(B, S, 1, 1)`` of a single branch."""
        here = mu_hood[:, :1, :1, :1]
        return here * 0 + like(here, np.ones((1, self.network.num_states, 1, 1)))

    @property
    def headline(self) -> Headline:
        return Headline("average", f"{self.game.unit} per step and device")

    def bound(self, criterion: Literal["average", "discounted"] = "average") -> Certificate:
        """The game's best step; or per device, discounted over the horizon."""
        one_of("criterion", criterion, ("average", "discounted"))
        horizon, per_step, unit = self.evaluation[0], self.game.best(), self.game.unit
        steps = (1 - self.gamma**horizon) / (1 - self.gamma)
        return Certificate(
            value=per_step if criterion == "average" else per_step * steps,
            criterion=criterion,
            unit=f"{unit} per step and device" if criterion == "average" else f"discounted {unit} per device",
            kind="closed-form",
            horizon=None if criterion == "average" else horizon,
            gap=0.0,
            assumption="every policy, central and history dependent included, at every crowd",
        )

    @reads()
    def crowding(self) -> horizon_lp.Crowding:
        """What the crowd of a cell earns together, n times what each does, from the game."""
        each = np.unique(np.linspace(0, self.population, CROWDS).round())
        crowds = np.broadcast_to(each[:, None, None], (len(each), self.network.num_nodes, self.network.layers))
        sharing = self.network.layers - 1  # the layer that earns
        earned = self.game.earned(crowds).reshape(crowds.shape)[..., sharing] * each[:, None]
        pool = np.where(np.arange(self.network.num_states) % self.network.layers == sharing, self.network.node_of, -1)
        return horizon_lp.earning(each, earned, pool, -self.move_cost * self._moving)

    def heuristics(self) -> dict[str, Policy]:
        """The game's, see there."""
        return self.game.heuristics(self)


build = Resource


class OnChannels(Policy):
    """Transmits with a :meth:`chance` that looks at ``channels (V,)``."""

    def __init__(self, model: Resource, channels: Floats) -> None:
        super().__init__(model)
        self.channels = channels

    def teams(self, counts: Ints, t: int) -> Floats:
        return _transmit(self.model, np.minimum(1.0, self.chance(counts)))

    def chance(self, counts: Ints) -> Floats:
        """``(B, S)``, cut at 1."""
        raise NotImplementedError


class Hold(OnChannels):
    """Of n transmitters each goes on with probability min(1, M / n), of n idle ones each joins with M / (20 n)."""

    def chance(self, counts: Ints) -> Floats:
        most = np.stack([self.channels / 20, self.channels], 1).reshape(-1)
        return np.asarray(most / np.maximum(counts, 1))


class AlohaCounting(OnChannels):
    """Slotted ALOHA, p = M / N_k, N_k all who are in the cell, idle or not: 1-hop information."""

    def chance(self, counts: Ints) -> Floats:
        crowd = np.repeat(counts[:, 0::2] + counts[:, 1::2], 2, 1)
        return np.asarray(np.repeat(self.channels, 2) / np.maximum(crowd, 1))


def _transmit(model: LocalModel, chance: Floats) -> Floats:
    """``(..., S)`` chances to transmit, else idle, as ``(..., S, A)``."""
    table = np.zeros((*chance.shape, model.num_actions))
    table[..., IDLE], table[..., TRANSMIT] = 1 - chance, chance
    return table


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
