"""MFNet-Grid-v0: drivers reposition on a grid (or any graph) to meet random demand.

N drivers stand on the nodes of a graph. Every step riders appear: Poisson(N lambda_v) at node v. A driver who finds a
rider earns the fare and is set down at a uniformly chosen node of the closed neighbourhood N_v; one who does not may
stay or move to an adjacent node, at a cost. Crowding is what makes it a mean-field problem: n drivers at a node share
its riders.

========== =========================================================================================================
states     the V nodes (default: 5 x 5 cells, cell (i, j) is ``i * cols + j``)
actions    grid: 0 stay, 1 up, 2 right, 3 down, 4 left; other graphs: 0 stay, j = neighbour slot j; a move that leaves
           the graph is played as *stay*
reward     r(v, mu, a) = fare q_v - move_cost (1 - q_v) 1{a moves}, q_v = phi_v(n) / n, n = N mu(v),
           phi_v(n) = E min(n, Poisson(N lambda_v)): the chance to be served; r lies in [-move_cost, fare]
kernel     P(. | v, mu, a) = q_v Uniform(N_v) + (1 - q_v) delta(a(v)); reads the own node's density only
matching   "physical": the riders are drawn and exactly min(n, D) drivers are served (drivers of one node become
           correlated, the mean is the same); "independent": each driver is served with probability q_v, the exact
           form (1)-(2) of the paper
criterion  discounted return per driver, gamma .95, 150 steps, drivers start uniformly
bound      linear programme over time, valid for every policy at this N: :mod:`mfnet_envs.programmes.scatter_lp`; for
           many drivers :mod:`mfnet_envs.programmes.transport_lp`
========== =========================================================================================================

Parameters: see :class:`Grid`; what agents earn stands in ``Grid.branch_rewards``. Versions: v0, first release.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs import registration
from mfnet_envs.arrays import Bools, Floats, Ints, like
from mfnet_envs.bounds import Certificate
from mfnet_envs.heuristics import ThresholdPolicy
from mfnet_envs.matching import ExpectedMin, served_share
from mfnet_envs.model import Branch, LocalModel, Quota, reads
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy, TablePolicy, one_hot, uniform, weighted
from mfnet_envs.programmes import horizon_lp, scatter_lp, transport_lp
from mfnet_envs.scenarios import _options as options
from mfnet_envs.wording import Headline, Wording
from mfnet_envs.words import checked_population, non_negative, one_of

SERVED, MOVED = 0, 1  # branches
CELLS = 5_000  # nodes times steps that a programme with a variable for every step takes
COMPASS = ((0, 0), (-1, 0), (0, 1), (1, 0), (0, -1))  # stay, up, right, down, left


def two_hotspots(rows: int, cols: int) -> Floats:
    """A broad peak in one corner, a sharper one at the far side: the layout of the published tables."""
    i, j = np.indices((rows, cols))
    far = np.exp(-((i - (rows - 1.5)) ** 2 + (j - (cols - 1)) ** 2))
    weights: Floats = np.exp(-((i - 0.5) ** 2 + (j - 0.5) ** 2) / 1.5) + 0.7 * far + 0.03
    return weights.reshape(-1)


def four_corners(rows: int, cols: int) -> Floats:
    """Four corner peaks of heights 1, .4, .7 and .2: a layout kept for reports, never used for tuning."""
    i, j = np.indices((rows, cols))
    peaks = zip((1.0, 0.4, 0.7, 0.2), ((0, 0), (0, cols - 1), (rows - 1, cols - 1), (rows - 1, 0)), strict=True)
    weights: Floats = 0.03 + sum(h * np.exp(-((i - a) ** 2 + (j - b) ** 2)) for h, (a, b) in peaks)
    return weights.reshape(-1)


def even(rows: int, cols: int) -> Floats:
    """The same demand everywhere."""
    return np.ones(rows * cols)


LAYOUTS: dict[str, Callable[[int, int], Floats]] = {
    "two_hotspots": two_hotspots,
    "four_corners": four_corners,
    "even": even,
}


class Grid(LocalModel):
    """The model of this page.

    Args:
        population: N, the number of drivers.
        rows, cols: nodes down and across the grid; ignored when ``graph`` is given.
        graph: instead of the grid, any connected undirected networkx graph or a list of edges between 0 .. V - 1.
        demand: weights per node, a list in the graph's order or a dict by label, scaled to ``total_demand``; default:
            ``layout`` on a grid, equal on a graph.
        layout: where riders are on a grid: "two_hotspots", "four_corners" or "even".
        total_demand: riders per driver and step, sum of lambda.
        fare: earned when served.
        move_cost: paid for an empty move.
        gamma: discount factor per step.
        horizon: steps of an evaluation, and of an episode.
        matching: "physical", exactly min(n, D) drivers are served, or "independent", each by chance alone.

    Attributes:
        demand: ``(V,)`` lambda, riders per driver and step; rate: ``(V,)`` riders per step, N lambda.
        moves: ``(V, A)`` the node each action leads to.
        is_fluid: whether this is the limit N = infinity.

    Raises:
        ValueError: for an option out of its range, in one sentence.
    """

    law_methods = (*LocalModel.law_methods, "served")
    wording = Wording(
        agents="drivers",
        place="a network of cells",
        labels={
            "lp": "LP flows",
            "threshold_lp": "threshold on the LP flows",
            "hybrid_lp": "hybrid of threshold and LP flows",
        },
        needs={
            "stay": "nothing",
            "random": "nothing",
            "greedy": "demand of the neighbouring nodes",
            "proportional": "demand of the neighbouring nodes",
            "lp": "the whole demand table and a solver",
            "threshold_lp": "the whole demand table and a solver, and how many stand beside it",
            "hybrid_lp": "the whole demand table and a solver, and how many stand beside it",
        },
        learner_needs="samples, and the demand table, by which it scales what it sees",
    )

    def __init__(
        self,
        population: int = 100,
        rows: int = 5,
        cols: int = 5,
        graph: nx.Graph[Any] | Sequence[tuple[int, int]] | None = None,
        demand: ArrayLike | None = None,
        layout: str = "two_hotspots",
        total_demand: float = 0.7,
        fare: float = 1.0,
        move_cost: float = 0.1,
        gamma: float = 0.95,
        horizon: int = 150,
        matching: Literal["physical", "independent"] = "physical",
    ) -> None:
        one_of("layout", layout, tuple(LAYOUTS))
        one_of("matching", matching, ("physical", "independent"))
        non_negative(fare=fare, move_cost=move_cost, total_demand=total_demand)
        network = options.network_of(rows, cols, graph)
        if demand is None:
            demand = LAYOUTS[layout](rows, cols) if graph is None else np.ones(network.num_nodes)
        weights = options.per_node("demand", demand, network)
        if weights.sum() == 0:
            raise ValueError("demand must be positive somewhere")
        self.notes = (*self.notes, *options.order_note(network, demand=demand))
        self.demand: Floats = total_demand * weights / weights.sum()
        self.fare, self.move_cost, self.matching, self.is_fluid = float(fare), float(move_cost), matching, False
        self.moves, legal = _compass_moves(network, rows, cols) if graph is None else options.moves(network)
        self.rate: Floats = options.drawable("total_demand", total_demand, checked_population(population) * self.demand)
        self._phi: ExpectedMin | None = ExpectedMin(self.rate)
        dropoff = np.where(network.neighbors < 0, network.neighbors[:, :1], network.neighbors)
        degree = (network.neighbors >= 0).sum(1, keepdims=True)
        self.dropoff = Branch(dropoff[:, None], np.where(network.neighbors >= 0, 1 / degree, 0.0)[:, None])
        super().__init__(
            network=network,
            population=population,
            num_actions=self.moves.shape[1],
            branches=(self.dropoff, Branch.to(self.moves)),
            legal=legal,
            quota=Quota(SERVED, self.rate) if matching == "physical" else None,
            gamma=gamma,
            evaluation=options.evaluation(horizon, 0),
            kernel_reads="own",
            reference_counts=self.rate,
        )

    def served(self, mu_hood: Any) -> Any:
        """q_v ``(B, V)``: the chance of a driver at v to find a rider."""
        return served_share(self._phi, self.population * mu_hood[:, :, 0, 0], self.rate)

    def branch_weights(self, mu_hood: Any) -> Any:
        q = self.served(mu_hood)[..., None, None]
        return q * like(q, np.array([1.0, -1.0])) + like(q, np.array([0.0, 1.0]))

    def branch_rewards(self) -> Floats:
        """The fare when served, the cost of a move when not; ``(V, A, 2)``."""
        moving = (self.moves != self.moves[:, :1]).astype(float)
        return np.stack([np.full_like(moving, self.fare), -self.move_cost * moving], 2)

    def fluid(self) -> Grid:
        """The same city with a continuum of drivers: min(n, N lambda) are served."""
        limit = copy.copy(self)
        limit.is_fluid, limit._phi = True, None
        return limit

    @property
    def headline(self) -> Headline:
        return Headline("discounted", "return per driver")

    @reads("branch_rewards")
    def bound(self) -> Certificate:
        """The programme's value with the branch rewards in force, whichever way fares depend on node and action.

        Up to some hundred drivers by :mod:`mfnet_envs.programmes.scatter_lp`, which knows that set-downs scatter;
        beyond, where that matters little, by :mod:`mfnet_envs.programmes.transport_lp`, or, on large networks, by the
        former with later steps added up.
        """
        data, known, fluid = self._transport(), "mean crowds", self._phi is None
        tight, large = scatter_lp.fits(data), len(self.rate) * data.horizon > CELLS
        if not fluid and (tight or large):
            added = scatter_lp.solve(data)
            value, gap, known = added.value, added.gap, known + (" and scattered set-downs" if tight else "")
        else:
            apart = transport_lp.solve(data, fluid=fluid)
            value, gap = apart.value, apart.gap
        return Certificate(
            value=value,
            criterion="discounted",
            unit="return per driver",
            kind="lp",
            horizon=self.evaluation[0],
            gap=gap,
            assumption="every policy, central and history dependent included, from the uniform initial law; "
            f"by the programme of {known}",
        )

    @reads("branch_rewards")
    def crowding(self) -> horizon_lp.Crowding:
        """Every node's drivers share its riders."""
        return horizon_lp.service(self, SERVED, np.arange(self.network.num_nodes), self.rate, self._phi)

    def heuristics(self) -> dict[str, Policy]:
        """stay, random, greedy, proportional, lp (the fluid programme's flows), threshold_lp, hybrid_lp."""
        simple: dict[str, Policy] = {
            "stay": one_hot(self, np.zeros(len(self.team_states), int)),
            "random": uniform(self),
            "greedy": one_hot(self, self._demand_ahead().argmax(1)[self.team_states]),
            "proportional": weighted(self, self._demand_ahead()[self.team_states]),
        }
        return simple | (self._planned() or {})

    @reads("branch_rewards")
    def _planned(self) -> dict[str, Policy]:
        lp = self._from_slots(transport_lp.solve(self._transport(), fluid=True).moves)
        return {
            "lp": lp,
            "threshold_lp": ThresholdPolicy(self, lp.table, keep=0.7),
            "hybrid_lp": ThresholdPolicy(self, lp.table, keep=0.3, floor=0.03),
        }

    def _demand_ahead(self) -> Floats:
        """``(V, A)``: demand where each action leads; 0 for illegal ones."""
        return np.where(self.legal, self.demand[self.moves], 0.0)

    def _from_slots(self, flows: Floats) -> TablePolicy:
        """The policy of the programme's flows ``(steps, V, D)``: stay where it sends nothing."""
        nodes = np.arange(self.network.num_nodes)[:, None]
        table = np.where(self.legal, flows[:, nodes, self._slot()], 0.0)
        total = table.sum(2, keepdims=True)
        stay = np.eye(self.num_actions)[0]
        return TablePolicy(self, np.where(total > 1e-9, table / np.maximum(total, 1e-300), stay)[:, self.team_states])

    def _slot(self) -> Ints:
        """``(V, A)``: the neighbour slot each action leads to."""
        slot: Ints = (self.network.neighbors[:, None, :] == self.moves[:, :, None]).argmax(2)
        return slot

    def _transport(self) -> transport_lp.Transport:
        """The data of the programme. Where what is earned depends on the action it takes the best legal one."""
        v = self.network.num_nodes
        nodes = np.arange(v)[:, None]
        dropoff = np.zeros((v, v))
        np.add.at(dropoff, (nodes, self.dropoff.successors[:, 0]), self.dropoff.probabilities[:, 0])
        earned = np.where(self.legal[..., None], self.branch_rewards(), -np.inf)
        cost = np.full(self.network.neighbors.shape, np.inf)
        np.minimum.at(cost, (nodes, self._slot()), -earned[..., MOVED])
        return transport_lp.Transport(
            self.network, self.population, self.rate, dropoff, self.initial,
            earned[..., SERVED].max(1), cost, self.gamma, self.evaluation[0],
        )  # fmt: skip


build = Grid


def _compass_moves(network: StateNetwork, rows: int, cols: int) -> tuple[Ints, Bools]:
    """``(V, 5)`` targets of stay, up, right, down, left and which of them stay on the grid."""
    i, j = np.divmod(np.arange(network.num_nodes), cols)
    to = [(i + di, j + dj) for di, dj in COMPASS]
    legal = np.stack([(0 <= a) & (a < rows) & (0 <= b) & (b < cols) for a, b in to], 1)
    return np.where(legal, np.stack([a * cols + b for a, b in to], 1), np.arange(len(i))[:, None]), legal


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-Grid-v0")
env = partial(registration.env, "MFNet-Grid-v0")
