"""The congestion engine: trips on a directed network whose links slow down as they fill.

Congestion is an effect of *occupancy*, so it is local: the states are places (links, and the nodes where trips begin),
each with the trip's destination. A link e that holds n_e vehicles lets each go in this step with probability

    g_e = dt f_e(n_e) / n_e = dt / delay_e(n_e),     at most 1,

where f_e(n) is the flow of a link that holds n (:mod:`mfnet_envs.engines.link_laws`). In a steady state flows obey
the link law and, by Little's law, the vehicles on the way are the total travel time. f_e is concave, so whatever the
policy mean flows satisfy x_e <= f_e(mean n_e): they are an assignment of theta times the demand that needs no more
vehicles than there are, and the largest such theta bounds every policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import array_api_compat
import networkx as nx
import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints, like, namespace
from mfnet_envs.bounds import Certificate
from mfnet_envs.engines import assignment, throughput
from mfnet_envs.engines.assignment import Assignment
from mfnet_envs.engines.link_laws import BPR, EDGE, MM1, Cost, PointQueue
from mfnet_envs.engines.roads import Roads, Trips
from mfnet_envs.engines.throughput import Scale
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.wording import Headline, Wording
from mfnet_envs.words import checked_population, positive

if TYPE_CHECKING:
    from mfnet_envs.policy import Policy

MOVE, RESPAWN, STAY = 0, 1, 2  # branches
UNBALANCED = 1e-9  # of the total demand
LABELS = {"ue": "user equilibrium", "so": "system optimum", "current_time": "current times"}
NEEDS = {
    "random": "where each way leads",
    "shortest_path": "the network and its free-flow times",
    "logit": "the network and its free-flow times",
    "current_time": "the network, and how full the links ahead are",
    "ue": "the network, its link laws, the demand, and an assignment",
    "so": "the network, its link laws, the demand, and an assignment",
}
LEARNER_NEEDS = "samples, and the usual crowd of every link, by which it scales what it sees"


@dataclass(frozen=True)
class Equilibrium:
    """What travellers do who each choose their own best way, with the same vehicles.

    Attributes:
        throughput: trips per unit of time.
        share: of the bound.
        price_of_anarchy: total time of UE over that of SO when the whole demand is carried.
    """

    throughput: float
    share: float
    price_of_anarchy: float


class Congestion(LocalModel):
    """Links, a law for them and trips between nodes, as a :class:`~mfnet_envs.model.LocalModel`.

    Args:
        roads: the directed network.
        law: of its links, in one unit of time.
        demand: ``(V, V)`` trips per unit of time; an entry on the diagonal is a round trip. Where a trip ends the next
            one begins, its destination drawn from the row of that node.
        population: N.
        vehicles: that the N agents stand for; None: as many as the best assignment of the whole demand needs (for
            point queues: as an empty network would need).
        dt: length of a step.
        blocking: None, or B: nobody enters a link that holds B vehicles; with n on it one who wants to is let in with
            probability 1 - n / B.
        coordinates: ``(V, 2)`` for pictures.

    Attributes:
        weight: vehicles per agent.
        full_scale: what turns a mean reward per agent and step into trips per unit of time.
        trips: what the respawn asks for in the long run: demand(o, d) = total * pi_o q(d | o), q the rows scaled to 1
            and pi their stationary law; the demand itself where as many trips leave each node as reach it.
        balancing: share of the demand that the builder changed to balance it.
        places: L links, then the nodes where trips begin: the nodes of ``network``; layers are destinations.

    Raises:
        ValueError: an option out of its range, or trips that do not hang together.
    """

    balancing: float = 0.0
    wording = Wording(
        agents="travellers", place="a road network", labels=LABELS, needs=NEEDS, learner_needs=LEARNER_NEEDS
    )

    def __init__(
        self,
        roads: Roads,
        law: BPR | MM1 | PointQueue,
        demand: Floats,
        population: int,
        *,
        vehicles: float | None,
        dt: float,
        blocking: float | None = None,
        coordinates: Floats | None = None,
        gamma: float,
        evaluation: tuple[int, int],
    ) -> None:
        checked_population(population)
        given = {"dt": dt, "vehicles": vehicles, "blocking": blocking}
        positive(**{name: number for name, number in given.items() if number is not None})
        self.roads, self.law, self.dt, self.blocking = roads, law, float(dt), blocking
        self.rows, self.trips = respawning(demand)
        self.total = self.trips.total
        self.starts: Ints = np.flatnonzero(demand.sum(1) > 0)
        self._wire()
        self.vehicles = self._enough_vehicles() if vehicles is None else float(vehicles)
        self.weight = self.vehicles / population
        self._highest_leave = min(1.0, self.dt / float(self.free_flow.min()))
        self.full_scale = self.vehicles * self._highest_leave / self.dt
        network = StateNetwork(self._graph(coordinates), len(self.trips.destinations))
        self._next_slot = self._slots(network)
        initial = self._free_flow_law()
        super().__init__(
            network=network,
            population=population,
            num_actions=roads.out.shape[1],
            branches=self._branches(),
            reward_range=(0.0, 1.0) if type(self).branch_rewards is Congestion.branch_rewards else None,
            legal=self._legal.reshape(-1, roads.out.shape[1]),
            initial=initial,
            groups=np.zeros(network.layers, int),
            gamma=gamma,
            evaluation=evaluation,
            kernel_reads="own" if blocking is None else "hood",
            reference_counts=population * initial,
            transit=~self._possible.reshape(-1),
        )

    # -- reward and kernel --------------------------------------------------------------------------------------------

    def branch_weights(self, mu_hood: Any) -> Any:
        """Go on, end the trip and begin another, or stay: ``(B, R, 1, 3)``, with blocking ``(B, R, A, 3)``."""
        xp = namespace(mu_hood)
        leave, arriving = self._leave(mu_hood)[..., None], like(mu_hood, self._arriving[:, None])
        end = leave * arriving
        move = leave * (1 - arriving) * self._room(mu_hood)
        end = end + 0 * move
        return xp.stack([move, end, 1 - move - end], axis=-1)

    def branch_rewards(self) -> Floats:
        """1 / max g for a trip that ends, whatever the action, ``(R, A, 3)``: r = 1{it would end there} g / max g."""
        earned = np.zeros((len(self.active), self.num_actions, 3))
        earned[..., RESPAWN] = self._arriving[:, None] / self._highest_leave
        return earned

    def delays(self, counts: Any) -> Floats:
        """``(B, L)``: the time each link takes now, from counts ``(B, S)``."""
        on_link = counts.reshape(len(counts), -1, self.network.layers).sum(2)[:, : len(self.roads.tail)]
        return np.asarray(self.law.delay(self.weight * on_link), np.float64)

    def _leave(self, mu_hood: Any) -> Any:
        """``(B, R)``: g of the link; 1 at the nodes where trips begin, which take one step."""
        xp = namespace(mu_hood)
        links = len(self.roads.tail)
        leave = self.dt / self.law.delay(self.vehicles * mu_hood[:, :links, 0, 0])
        leave = xp.minimum(leave, like(leave, np.ones(1)))
        nodes = mu_hood[:, links:, 0, 0]
        leave = xp.concat([leave, 1 + 0 * nodes], axis=1)
        return xp.take(leave, _indices(mu_hood, self._active_place), axis=1)

    def _room(self, mu_hood: Any) -> Any:
        """The chance to be let into the next link: 1, or ``(B, R, A)`` max(0, 1 - n / B)."""
        if self.blocking is None:
            return 1.0
        xp = namespace(mu_hood)
        crowd = xp.reshape(mu_hood[..., 0], (mu_hood.shape[0], -1))
        ahead = xp.take(crowd, _indices(mu_hood, self._next_slot.reshape(-1)), axis=1)
        ahead = xp.reshape(ahead, (-1, *self._next_slot.shape))
        room = 1 - ahead * (self.vehicles / self.blocking)
        return xp.maximum(room, 0 * room)

    # -- bound and references -----------------------------------------------------------------------------------------

    @cached_property
    def optimum(self) -> Scale:
        """The system optimum with these vehicles: theta* = ``upper`` times the demand."""
        return self._largest_scale(self.vehicles)

    @property
    def headline(self) -> Headline:
        return Headline("average", "trips per unit of time", self.full_scale)

    def bound(self) -> Certificate:
        """theta* times the demand, theta* = max {theta: total time of SO(theta) + theta dt total <= vehicles}."""
        return Certificate(
            value=self.optimum.upper * self.total,
            criterion="average",
            unit="trips per unit of time",
            kind="lp" if isinstance(self.law, PointQueue) else "convex",
            horizon=None,
            gap=self.optimum.gap,
            assumption="every policy, centralised and history dependent ones included, at every population, on the "
            "long-run average",
        )

    @cached_property
    def selfish(self) -> tuple[float, Assignment]:
        """(theta, assignment) of the user equilibrium with these vehicles."""
        if isinstance(self.law, PointQueue):
            raise ValueError("a point queue has no law from flow to time, hence no equilibrium; use law='mm1' or BPR")
        waiting = self.dt * self.total
        return throughput.equilibrium_scale(
            self.roads, self.trips, self.law, self.vehicles, waiting, self.optimum.upper
        )

    def equilibrium(self) -> Equilibrium:
        """The user equilibrium with the same vehicles, and the price of anarchy.

        Raises:
            ValueError: for point queues, which have none.
        """
        theta, _ = self.selfish
        assert not isinstance(self.law, PointQueue)
        own = self._whole_demand(self.law)
        anarchy = float(own.flow @ self.law.time(own.flow)) / self._whole_demand(self.law.marginal()).objective
        return Equilibrium(theta * self.total, theta / self.optimum.upper, anarchy)

    def heuristics(self) -> dict[str, Policy]:
        """Simplest first; "ue" and "so" solve an assignment. See :mod:`mfnet_envs.engines.turns`."""
        from mfnet_envs.engines import turns

        named: dict[str, Policy] = {
            "random": turns.random_turn(self),
            "shortest_path": turns.shortest_path(self, self.free_flow),
            "logit": turns.logit(self),
            "current_time": turns.CurrentTime(self),
        }
        if not isinstance(self.law, PointQueue):
            named["ue"] = turns.splits(self, self.selfish[1].by_destination)
        return {**named, "so": turns.splits(self, self.optimum.by_destination)}

    def _largest_scale(self, vehicles: float) -> Scale:
        waiting = self.dt * self.total
        if isinstance(self.law, PointQueue):
            time, capacity = self.law.free_flow_time, self.law.capacity
            return throughput.largest_scale_with_capacities(self.roads, self.trips, time, capacity, vehicles, waiting)
        return throughput.largest_scale(self.roads, self.trips, self.law.marginal(), vehicles, waiting)

    def _enough_vehicles(self) -> float:
        waiting = self.dt * self.total
        if isinstance(self.law, PointQueue):
            return float((self._free_flow_flows * self.free_flow).sum()) + waiting
        return self._whole_demand(self.law.marginal()).objective + waiting

    def _whole_demand(self, cost: Cost) -> Assignment:
        if isinstance(self.law, MM1):
            time, capacity = self.free_flow, self.law.capacity
            room = throughput.largest_scale_with_capacities(
                self.roads, self.trips, time, capacity, float(time @ capacity), 0.0
            )
            if room.theta * EDGE <= 1:
                raise ValueError("the links cannot carry the whole demand; say how many vehicles there are instead")
        return assignment.assign(self.roads, self.trips, cost)

    # -- tables -------------------------------------------------------------------------------------------------------

    @cached_property
    def free_flow(self) -> Floats:
        """``(L,)``: the time on an empty link."""
        return np.asarray(self.law.delay(np.zeros(len(self.roads.tail))), np.float64)

    @cached_property
    def to_go(self) -> Floats:
        """``(L, K)``: free-flow time from the start of a link to each destination, inf where it cannot be reached."""
        return self.roads.to_go(self.free_flow, self.trips.destinations)

    @cached_property
    def _free_flow_flows(self) -> Floats:
        """``(K, L)``: everybody on the shortest path of an empty network."""
        routes = assignment.shortest_paths(self.roads, self.trips, self.free_flow)
        return assignment.by_destination(routes, self.trips)

    def _wire(self) -> None:
        """Where each place leads: ``end (P,)`` node, ``onward (P, A)`` links, and what is possible and legal there."""
        roads, destinations = self.roads, self.trips.destinations
        links = len(roads.tail)
        self.end: Ints = np.concatenate([roads.head, self.starts])
        self.onward: Ints = roads.out[self.end]
        arrived = np.zeros((len(self.end), len(destinations)), bool)
        arrived[:links] = roads.head[:, None] == destinations
        wanted = self.rows[self.starts][:, destinations] > 0
        self._possible: Bools = np.concatenate([np.isfinite(self.to_go), wanted])
        self._arrived: Bools = arrived
        leads_on = np.isfinite(self.to_go)[self.onward] & (self.onward >= 0)[..., None]
        self._legal: Bools = leads_on.transpose(0, 2, 1) & (self._possible & ~arrived)[..., None]
        lost = self._possible[links:] & ~self._legal[links:].any(2)
        if lost.any():
            start, target = np.argwhere(lost)[0]
            origin, end = self.starts[start], destinations[target]
            raise ValueError(f"no path leads from node {origin} to node {end}, but trips are wanted there")
        self._legal[..., 0] |= ~self._legal.any(2)  # nothing to choose: arrived, or never there
        rows = np.flatnonzero(self._possible)
        self._active_place, self._active_layer = np.divmod(rows, len(destinations))
        self._arriving: Floats = arrived.reshape(-1)[rows].astype(float)

    def _graph(self, coordinates: Floats | None) -> nx.Graph[Any]:
        """Links and starting nodes; adjacent are consecutive links, and a node and the links that touch it."""
        links = len(self.roads.tail)
        graph: nx.Graph[Any] = nx.Graph()
        graph.add_nodes_from(range(len(self.end)))
        place, slot = np.nonzero(self.onward >= 0)
        graph.add_edges_from(zip(place.tolist(), self.onward[place, slot].tolist(), strict=True))
        start_of = {int(node): links + i for i, node in enumerate(self.starts)}
        graph.add_edges_from((e, start_of[node]) for e, node in enumerate(self.roads.head.tolist()) if node in start_of)
        graph.remove_edges_from(list(nx.selfloop_edges(graph)))  # a link that leads back to itself is its own place
        if coordinates is not None:
            a, b = coordinates[self.roads.tail], coordinates[self.roads.head]
            aside = 0.06 * np.stack([b[:, 1] - a[:, 1], a[:, 0] - b[:, 0]], 1)  # the two directions side by side
            spots = np.concatenate([(a + b) / 2 + aside, coordinates[self.starts]])
            nx.set_node_attributes(graph, {v: tuple(spot) for v, spot in enumerate(spots.tolist())}, "pos")
        return graph

    def _slots(self, network: StateNetwork) -> Ints:
        """``(R, A)``: where in a flat row of ``mu_hood`` the next link stands; the own place for no link."""
        beside = network.neighbors[:, None] == self.onward[:, :, None]  # (P, A, D)
        slot = np.where(self.onward >= 0, beside.argmax(2), 0)
        flat = np.arange(len(slot))[:, None] * network.neighbors.shape[1] + slot
        table: Ints = flat[self._active_place]
        return table

    def _branches(self) -> tuple[Branch, Branch, Branch]:
        destinations, links = self.trips.destinations, len(self.roads.tail)
        k = len(destinations)
        own = np.arange(self._possible.size)
        first = np.take_along_axis(self.onward[:, None, :].repeat(k, 1), self._legal.argmax(2)[..., None], 2)
        ahead = np.where(self._legal, self.onward[:, None], first) * k + np.arange(k)[:, None]
        moving = (self._possible & ~self._arrived)[..., None]
        move = np.where(moving, ahead, own.reshape(-1, k)[..., None]).reshape(len(own), -1)
        shares = self.rows[:, destinations]
        width = int((shares > 0).sum(1).max())
        likely = np.argsort(shares == 0, axis=1, kind="stable")[:, :width]  # the possible destinations first
        start_of = np.zeros(self.roads.num_nodes, np.int64)
        start_of[self.starts] = links + np.arange(len(self.starts))
        successors, odds = np.tile(own[:, None], width), np.tile(np.eye(1, width), (len(own), 1))
        ends = np.flatnonzero(self._arrived & self._possible)
        node = self.end[ends // k]
        successors[ends] = start_of[node][:, None] * k + likely[node]
        odds[ends] = np.take_along_axis(shares, likely, 1)[node]
        return Branch.to(move), Branch(successors[:, None], odds[:, None]), Branch.to(own[:, None])

    def _free_flow_law(self) -> Floats:
        """``(S,)``: the steady state of shortest paths on links that never slow down."""
        on_links = self._free_flow_flows.T * np.maximum(self.free_flow, self.dt)[:, None]
        waiting = np.zeros((self.roads.num_nodes, len(self.trips.destinations)))
        waiting[self.trips.origin, self.trips.target] = self.dt * self.trips.volume
        law = np.concatenate([on_links, waiting[self.starts]]).reshape(-1)
        return np.asarray(law / law.sum(), np.float64)


def _indices(reference: Any, table: Ints) -> Any:
    """A table of places in the array library and on the device of ``reference``."""
    if type(reference) is np.ndarray:
        return table
    return namespace(reference).asarray(table, device=array_api_compat.device(reference))


def respawning(demand: Floats) -> tuple[Floats, Trips]:
    """Rows ``(V, V)`` of the next destination's law, and the trips they make in the long run, with the demand's total.

    Raises:
        ValueError: no demand, not a table of non-negative numbers, or a part that trips never lead into or out of.
    """
    square = demand.ndim == 2 and demand.shape[0] == demand.shape[1]
    if not (square and np.isfinite(demand).all() and (demand >= 0).all()):
        raise ValueError("demand must be a square table of non-negative numbers, trips from node to node")
    total, leaving, reaching = demand.sum(), demand.sum(1), demand.sum(0)
    if total == 0:
        raise ValueError("demand must be positive somewhere")
    used = np.flatnonzero((leaving > 0) | (reaching > 0))
    between: nx.DiGraph[int] = nx.DiGraph(list(zip(*map(np.ndarray.tolist, np.nonzero(demand)), strict=True)))
    if not nx.is_strongly_connected(between):
        raise ValueError(
            "the next trip begins where the last one ended, so trips must lead from every node that has any to every "
            "other, over several trips if need be; balance the demand or add return trips"
        )
    rows = np.divide(demand, leaving[:, None], out=np.zeros_like(demand), where=leaving[:, None] > 0)
    if abs(leaving - reaching).sum() <= UNBALANCED * total:
        return rows, Trips.of(demand)
    chain = rows[np.ix_(used, used)]
    conditions = np.concatenate([chain.T - np.eye(len(used)), np.ones((1, len(used)))])
    stationary = np.zeros(len(demand))
    stationary[used] = np.linalg.lstsq(conditions, np.append(np.zeros(len(used)), 1.0))[0]
    return rows, Trips.of(total * stationary[:, None] * rows)
