"""MFNet-Courier-v0: couriers carry parcels from a depot to where they are wanted.

N couriers stand on the nodes of a graph, each with 0 .. C parcels in the bag. Every step parcels are asked for:
Poisson(N lambda_v) at node v. A courier with a parcel who is at v when one is wanted hands it over and is paid; all
others may stay, walk to an adjacent node at a cost, or, at a depot, fill the bag. Empty couriers have to come back,
loaded ones have to spread.

========== =========================================================================================================
states     node x load {0 .. C}, V (C + 1) of them (default: 5 x 5 cells, cell (i, j) is ``i * cols + j``, and C = 3)
actions    0 stay, j = walk to neighbour slot j, the last one = load (legal at depots); a move that leaves the graph is
           played as *stay*
crowd      two groups, empty and loaded; n_v = N mu(v, loaded) couriers at v share its customers
reward     q_v - move_cost (1 - q_v) 1{a walks} for the loaded, -move_cost 1{a walks} for the empty; q_v = phi_v(n_v) /
           n_v, phi_v(n) = E min(n, Poisson(N lambda_v)): the chance to deliver; nobody asks at a depot
kernel     a loaded courier delivers, (v, c) -> (v, c - 1), with probability q_v; the others do as they chose: walking
           keeps the load, loading makes it C. Reads the own node's density only
deadline   none; with ``deadline=D`` what is left in a bag is worth nothing D steps after it was filled: states are node
           x {empty} and node x load x age 0 .. D - 1, each step adds to the age, and filling makes all fresh
matching   independent, the paper's form (1)-(2). Physical matching rations a node's customers over all its loads at
           once, and a quota belongs to one state
criterion  reward per step and courier, over 1500 steps of which the first 500 are warm-up; gamma .97. Couriers start
           at the depots with full bags
bound      stationary linear programme of the long-run average (:mod:`mfnet_envs.programmes.courier_lp`), with a
           tangent of phi at every integer: no policy, central and history dependent included, does better at this N.
           ``bound(fluid=True)`` drops the tangents and holds for every N. A finite window can exceed a long-run
           average by what is in the bags when it opens, at most C / 1000 here
========== =========================================================================================================

**Heuristics.** ``stay``; ``random``; ``wander`` (uniform over N_v, but all who are at a depot fill up); ``nearest``
(the empty walk to the nearest depot, all who are at one fill up, the loaded go in proportion to demand over N_v);
``lp`` (shares of the programme's fluid flows, ``nearest`` where it sends nobody); ``threshold_lp`` (a loaded courier
leaves with probability max(0, 1 - .7 N lambda_v / (C n)), n those with the same load beside him, then as ``lp``). All
see their own state and mu(s) only; the last two need a solver.

Parameters: see :class:`Courier`; what couriers earn stands in ``Courier.branch_rewards``. The default instance's demand
is drawn once, from ``default_rng(3)``. Versions: v0, first release.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs import registration
from mfnet_envs.arrays import Bools, Floats, Ints, like, namespace
from mfnet_envs.bounds import Certificate
from mfnet_envs.heuristics import ThresholdPolicy
from mfnet_envs.matching import ExpectedMin, served_share
from mfnet_envs.model import Branch, LocalModel, reads
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy, TablePolicy, one_hot, uniform
from mfnet_envs.programmes import courier_lp, horizon_lp
from mfnet_envs.scenarios import _options as options
from mfnet_envs.wording import Headline, Wording
from mfnet_envs.words import checked_population, fits, is_whole, non_negative, shown, whole

EMPTY, LOADED = 0, 1  # groups
DELIVER, ACT = 0, 1  # branches


class Courier(LocalModel):
    """The model of this page.

    Args:
        population: N, the number of couriers.
        rows, cols: nodes down and across the grid; ignored when ``graph`` is given.
        graph: instead of the grid, any connected undirected networkx graph or a list of edges between 0 .. V - 1.
        depots: nodes where bags are filled, by label, else by their place among the nodes; default: the middle cell of
            a grid, the first central node of a graph.
        demand: weights per node, a list in the graph's order or a dict by label, scaled to ``total_demand``; those of
            depots are dropped. Default: exponential numbers drawn from ``default_rng(demand_seed)``.
        demand_seed: of the default demand; not used with ``demand``.
        total_demand: parcels per courier and step, sum of lambda.
        capacity: C, parcels in a full bag.
        move_cost: paid for a walk; a delivery pays 1.
        deadline: D, the steps after filling a bag in which its parcels can be delivered; default: for ever.
        gamma: discount factor per step.
        horizon: steps of an evaluation, and of an episode.
        warmup: first steps of an evaluation that do not count.

    Attributes:
        demand: ``(V,)`` lambda, parcels per courier and step; rate: ``(V,)`` parcels wanted per step, N lambda.
        depots: ``(V,)`` bool.
        load_action: index of *load*, the last action.

    Raises:
        ValueError: for an option out of its range, in one sentence.
    """

    law_methods = (*LocalModel.law_methods, "served")
    reads_group = LOADED
    wording = Wording(
        agents="couriers",
        place="a network of cells with depots",
        labels={"lp": "LP flows", "threshold_lp": "threshold on the LP flows"},
        needs={
            "stay": "nothing",
            "random": "nothing",
            "wander": "where the depots are",
            "nearest": "the way to the depots, and demand of the neighbouring nodes",
            "lp": "the whole demand table and a solver",
            "threshold_lp": "the whole demand table and a solver, and how many with the same load stand beside it",
        },
        learner_needs="samples, and the demand table, by which it scales what it sees",
    )

    def __init__(
        self,
        population: int = 200,
        rows: int = 5,
        cols: int = 5,
        graph: nx.Graph[Any] | Sequence[tuple[int, int]] | None = None,
        depots: Sequence[int] | None = None,
        demand: ArrayLike | None = None,
        demand_seed: int = 3,
        total_demand: float = 0.15,
        capacity: int = 3,
        move_cost: float = 0.02,
        deadline: int | None = None,
        gamma: float = 0.97,
        horizon: int = 1500,
        warmup: int = 500,
    ) -> None:
        ages = 1 if deadline is None else whole("deadline", deadline)
        layers = whole("capacity", capacity) * ages + 1  # empty, then ages of a bag of one, of two ...
        non_negative(total_demand=total_demand, move_cost=move_cost)
        nodes = whole("rows", rows) * whole("cols", cols) if graph is None else 1
        old = "" if deadline is None else f" of ages below deadline={shown(deadline)}"
        fits(f"capacity={shown(capacity)} parcels{old} for each of rows x cols nodes", nodes, layers, itemsize=100)
        network = options.network_of(rows, cols, graph, layers)
        self.depots = _depots(network, rows // 2 * cols + cols // 2 if graph is None else None, depots)
        if demand is None:
            demand = np.random.default_rng(whole("demand_seed", demand_seed, 0)).gamma(1.0, 1.0, network.num_nodes)
        weights = np.where(self.depots, 0.0, options.per_node("demand", demand, network))
        if weights.sum() == 0:
            raise ValueError("demand must be positive somewhere outside the depots")
        self.notes = (*self.notes, *options.order_note(network, demand=demand))
        self.demand: Floats = total_demand * weights / weights.sum()
        self.move_cost = float(move_cost)
        self.rate: Floats = options.drawable("total_demand", total_demand, checked_population(population) * self.demand)
        self._phi: ExpectedMin | None = ExpectedMin(self.rate)
        layer = np.tile(np.arange(layers), network.num_nodes)
        self._loaded: Bools = layer > 0
        self._targets, legal = _actions(network, self.depots, ages, deadline is not None)
        self.load_action = legal.shape[1] - 1
        walks = legal & (network.node_of[self._targets] != network.node_of[:, None])
        self._walks: Floats = walks.astype(float)
        less = np.where(layer > ages, layer - ages, 0)  # a parcel less, of the same age
        after = less if deadline is None else _older(less, ages)
        self._delivered: Ints = np.arange(network.num_states) - layer + after
        full = np.where(layer == layers - ages, np.repeat(self.depots, layers), False)
        super().__init__(
            network=network,
            population=population,
            num_actions=legal.shape[1],
            branches=(Branch.to(self._delivered[:, None]), Branch.to(self._targets)),
            legal=legal,
            initial=full / full.sum(),
            groups=np.minimum(np.arange(layers), LOADED),
            gamma=gamma,
            evaluation=options.evaluation(horizon, warmup),
            kernel_reads="own",
            reference_counts=np.where(self._loaded, np.repeat(self.rate, layers) / (layers - 1), 0.0),
        )

    def served(self, mu_hood: Any) -> Any:
        """q ``(B, S)``: the chance of a courier to deliver; 0 for the empty."""
        xp = namespace(mu_hood)
        q = served_share(self._phi, self.population * mu_hood[:, :, 0, LOADED], self.rate)
        return xp.reshape(xp.stack([q] * self.network.layers, axis=2), (q.shape[0], -1)) * like(
            q, self._loaded.astype(float)
        )

    def branch_weights(self, mu_hood: Any) -> Any:
        xp = namespace(mu_hood)
        q = self.served(mu_hood)[..., None]
        return xp.stack([q, 1 - q], axis=-1)

    def branch_rewards(self) -> Floats:
        """1 for a delivery, the cost of a walk otherwise; ``(S, A, 2)``."""
        return np.stack([np.ones_like(self._walks), -self.move_cost * self._walks], 2)

    def fluid(self) -> Courier:
        """The same city with a continuum of couriers: min(n, N lambda) deliver."""
        limit = copy.copy(self)
        limit._phi = None
        return limit

    @property
    def headline(self) -> Headline:
        return Headline("average", "reward per step and courier")

    @reads("branch_rewards")
    def bound(self, fluid: bool = False) -> Certificate:
        """The stationary programme's value per courier; ``fluid=True`` for every population at once."""
        fluid = fluid or self._phi is None
        flows = self._flows(fluid)
        return Certificate(
            value=flows.value / self.population,
            criterion="average",
            unit="reward per step and courier",
            kind="lp",
            horizon=None,
            gap=flows.gap,
            assumption="every policy, central and history dependent included, on the long-run average; "
            + ("any population" if fluid else f"population {self.population}"),
        )

    @reads("branch_rewards")
    def crowding(self) -> horizon_lp.Crowding:
        """A node's loaded couriers share its customers, whatever they carry."""
        pool = np.where(self._loaded, self.network.node_of, -1)
        return horizon_lp.service(self, DELIVER, pool, self.rate, self._phi)

    def heuristics(self) -> dict[str, Policy]:
        """stay, random, wander, nearest, lp, threshold_lp; all see their own state and its density only."""
        wander, nearest = (
            self._filling_up(self._evenly(), self._evenly()),
            self._filling_up(self._homewards(), self._spread()),
        )
        simple: dict[str, Policy] = {
            "stay": one_hot(self, np.zeros(len(self.team_states), int)),
            "random": uniform(self),
            "wander": TablePolicy(self, wander),
            "nearest": TablePolicy(self, nearest),
        }
        return simple | (self._planned(nearest) or {})

    @reads("branch_rewards")
    def _planned(self, otherwise: Floats) -> dict[str, Policy]:
        lp = self._from_flows(self._flows(True).sent, otherwise)
        return {"lp": TablePolicy(self, lp), "threshold_lp": ThresholdPolicy(self, lp, keep=0.7)}

    def _filling_up(self, empty: Floats, loaded: Floats) -> Floats:
        """``(T, A)``: walk by the tables ``(V, D)`` of the empty and the loaded; whoever can load does."""
        table = np.zeros((self.network.num_nodes, self.network.layers, self.num_actions))
        table[:, 0, :-1], table[:, 1:, :-1] = empty, loaded[:, None]
        rows: Floats = table.reshape(-1, self.num_actions)[self.team_states]
        return np.where(self.legal[self.team_states, -1:], np.eye(self.num_actions)[-1], rows)

    def _evenly(self) -> Floats:
        """``(V, D)``: uniform over N_v."""
        _, legal = options.moves(self.network)
        even: Floats = legal / legal.sum(1, keepdims=True)
        return even

    def _spread(self) -> Floats:
        """``(V, D)``: in proportion to demand over N_v."""
        targets, legal = options.moves(self.network)
        weights = np.where(legal, self.demand[targets] + 1e-4, 0.0)
        shares: Floats = weights / weights.sum(1, keepdims=True)
        return shares

    def _homewards(self) -> Floats:
        """``(V, D)``: to the neighbour nearest a depot; at a depot, stay."""
        targets, legal = options.moves(self.network)
        far = np.min([self.network.distance(int(v)) for v in np.flatnonzero(self.depots)], 0)
        nearest = np.where(legal, far[targets], self.network.num_nodes).argmin(1)
        home: Floats = np.eye(legal.shape[1])[nearest]
        return home

    def _from_flows(self, sent: Floats, otherwise: Floats) -> Floats:
        """``(T, A)``: pi = u / sum u, ``otherwise`` where the programme sends nobody."""
        sent = sent[self.team_states]
        total = sent.sum(1, keepdims=True)
        return np.where(total > 1e-9 * self.population, sent / np.maximum(total, 1e-300), otherwise)

    def _flows(self, fluid: bool) -> courier_lp.Flows:
        """The programme's optimum; a delivery earns what the best legal action beside it does."""
        rewards = self.branch_rewards()
        couriers = courier_lp.Couriers(
            population=self.population,
            rate=self.rate,
            node_of=self.network.node_of,
            loaded=self._loaded,
            delivered=self._delivered,
            targets=self._targets,
            legal=self.legal,
            fare=np.where(self.legal, rewards[..., DELIVER], -np.inf).max(1),
            cost=-rewards[..., ACT],
        )
        return courier_lp.solve(couriers, None if fluid else self._phi)


build = Courier


def _depots(network: StateNetwork, middle: int | None, depots: Sequence[int] | None) -> Bools:
    """``(V,)`` bool."""
    if depots is None:
        central = [network.nodes.index(nx.center(network.graph)[0])] if middle is None else [middle]
        return np.isin(np.arange(network.num_nodes), central)
    place = {label: v for v, label in enumerate(network.nodes)}
    given: list[Any] = [*depots] if options.is_list(depots) else []
    labels: list[Any] = [tuple(node) if isinstance(node, list) else node for node in given]  # JSON has no tuples
    chosen: list[Any] = [place.get(v, v) if isinstance(v, Hashable) and not isinstance(v, bool) else v for v in labels]
    if not chosen or not all(is_whole(node) and node < len(place) for node in chosen):
        wanted = f"at least one of 0 .. {len(place) - 1} or of the graph's labels"
        raise ValueError(f"depots must be a list of nodes, {wanted}, not {shown(depots)}")
    return np.isin(np.arange(len(place)), chosen)


def _older(layer: Ints, ages: int) -> Ints:
    """The layer a step later: of the next age, or empty after the last one."""
    older: Ints = np.where((layer > 0) & (layer % ages != 0), layer + 1, 0)
    return older


def _actions(network: StateNetwork, depots: Bools, ages: int, spoils: bool) -> tuple[Ints, Bools]:
    """``(S, D + 1)``: the state each action leads to, walking with the load unchanged, and which are legal."""
    layers, layer = network.layers, np.arange(network.layers)
    to, legal = options.moves(network)
    full, kept = layers - ages, _older(layer, ages) if spoils else layer
    walk = to[:, None, :] * layers + kept[:, None]
    here = np.broadcast_to(np.arange(network.num_nodes)[:, None], (network.num_nodes, layers))
    fill = here * layers + np.where(depots[:, None], full, kept)
    can_fill = depots[:, None] & (layer != full)
    targets = np.concatenate([walk, fill[..., None]], 2)
    may = np.concatenate([np.repeat(legal[:, None], layers, 1), can_fill[..., None]], 2)
    return targets.reshape(network.num_states, -1), may.reshape(network.num_states, -1)


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-Courier-v0")
env = partial(registration.env, "MFNet-Courier-v0")
