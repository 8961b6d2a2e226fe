"""The congestion engine: trips on a directed network whose links slow down as they fill.

Congestion is an effect of *occupancy*, so it is local: the states are places (links, and the nodes where trips begin),
each with the trip's destination. A link e that holds n_e vehicles lets each go in this step with probability

    g_e = dt f_e(n_e) / n_e = dt / delay_e(n_e),     at most 1,

where f_e(n) is the flow of a link that holds n (:mod:`mfnet_envs.engines.link_laws`). In a steady state flows obey
the link law and, by Little's law, the vehicles on the way are the total travel time. f_e is concave, so whatever the
policy mean flows satisfy x_e <= f_e(mean n_e). They are an assignment of theta times the demand, since trips begin so
that they are made in its proportions (:mod:`mfnet_envs.engines.respawn`), and need no more vehicles than there are: the
largest such theta bounds every policy.
"""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints, like, namespace
from mfnet_envs.bounds import Certificate
from mfnet_envs.engines import assignment, failures, throughput
from mfnet_envs.engines.assignment import Assignment
from mfnet_envs.engines.clock import STEPS, evaluation_steps
from mfnet_envs.engines.day import Day
from mfnet_envs.engines.given import moving
from mfnet_envs.engines.link_laws import BPR, MM1, Cost, PointQueue, WithFixedCost
from mfnet_envs.engines.respawn import UNBALANCED, apart, next_starts, respawn_plan
from mfnet_envs.engines.roads import Roads, Trips, adjacency
from mfnet_envs.engines.throughput import Equilibrium, Scale, enough_vehicles, whole_demand
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.wording import Headline, Wording
from mfnet_envs.words import checked_population, positive

if TYPE_CHECKING:
    from mfnet_envs.policy import Policy

MOVE, RESPAWN, STAY = 0, 1, 2  # branches
MOST_ENTRIES = 2.5e8  # of a branch
NOBODY = 1e-300  # a share of the vehicles, so that none of none is none
LABELS = {"ue": "user equilibrium", "so": "system optimum", "current_time": "current times"}
NEEDS = {
    "random": "where each way leads",
    "shortest_path": "the network and its free-flow times",
    "logit": "the network and its free-flow times",
    "current_time": "the network, and how full the links ahead are",
    "ue": "the network, its link laws, the demand, and an assignment",
    "so": "the network, its link laws, the demand, and an assignment",
}
FOR_ALL = "every policy, centralised and history dependent ones included, at every population, on the long-run average"
LEARNER_NEEDS = "samples, and the usual crowd of every link, by which it scales what it sees"


class Congestion(LocalModel):
    """Links, a law for them and trips between nodes, as a :class:`~mfnet_envs.model.LocalModel`.

    Args:
        roads: the directed network.
        law: of its links, in one unit of time.
        demand: ``(V, V)`` trips per unit of time; an entry on the diagonal is a round trip. Where a trip ends the next
            one begins, or, where fewer begin than end, elsewhere in the same moment; its destination is drawn from the
            row of the node where it begins.
        population: N.
        vehicles: that the N agents stand for; None: as many as the best assignment of the whole demand needs (for
            point queues: as an empty network would need).
        dt: length of a step.
        blocking: None, or B: nobody enters a link that holds B vehicles; with n on it one who wants to is let in with
            probability 1 - n / B.
        coordinates: ``(V, 2)`` for pictures.
        law_as_given: of the links where ``law`` has rounded them up to a step; default ``law``.
        fixed: ``(L,)`` what travellers who choose for themselves add to the time of a link (tolls), or None.
        day: how many trips may begin, by the clock; None: whoever has arrived begins another.

    Attributes:
        weight: vehicles per agent.
        full_scale: what turns a mean reward per agent and step into trips per unit of time.
        plan: where the vehicles whose trips end begin the next one.
        balancing: share of the demand that the builder changed to balance it.
        caveats: what the certificate must say of the demand and of the network.
        demand: as above; trips: those of it that take time, the others end after the step in which they begin.
        places: L links, then the nodes where trips begin: the nodes of ``network``; layers are destinations.

    Raises:
        ValueError: an option out of its range, or trips that do not hang together.
    """

    balancing: float = 0.0
    _begun: Floats | None = None
    caveats: tuple[str, ...] = ()
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
        law_as_given: BPR | None = None,
        fixed: Floats | None = None,
        day: Day | None = None,
    ) -> None:
        checked_population(population)
        given = {"dt": dt, "vehicles": vehicles, "blocking": blocking}
        positive(**{name: number for name, number in given.items() if number is not None})
        self.roads, self.law, self.dt, self.blocking, self.demand = roads, law, float(dt), blocking, demand
        self.law_as_given, self.fixed = law_as_given or law, fixed
        self.in_force: BPR | MM1 | PointQueue | failures.Derated = law
        self.capacity_share: Floats = np.ones(len(roads.tail))
        self.plan = respawn_plan(demand, apart(roads, self.free_flow))
        self.trips, self.total, self.day = moving(roads, demand), Trips.of(demand).total, day
        leaving = demand.sum(1, keepdims=True)
        self.rows: Floats = np.divide(demand, leaving, out=np.zeros(demand.shape), where=leaving > 0)
        self.starts: Ints = np.flatnonzero(demand.sum(1) > 0)
        self._wire()
        self.vehicles = float(vehicles or enough_vehicles(roads, self.trips, law, self.dt * self.total))
        self.weight = self.vehicles / population
        ends_at_once = self._arrived[len(roads.tail) :].any()
        self._highest_leave = 1.0 if ends_at_once else min(1.0, self.dt / float(self.free_flow.min()))
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
        if day is not None:
            self.period, self._begun = day.turn, self._may_begin(day.mean)

    def at(self, t: int) -> Congestion:
        """The phase of the day; itself without one."""
        return self if self.day is None else self._phases[self.day.phase(t)]

    @cached_property
    def _phases(self) -> tuple[Congestion, ...]:
        phases = () if self.day is None else tuple(copy.copy(self) for _ in self.day.multiple)
        for i, phase in enumerate(phases):
            assert self.day is not None
            phase._begun, phase._phases = self._may_begin(self.day.multiple[i]), phases
            if self.day.shares is not None:
                phase.capacity_share = self.day.shares[i]
                phase.in_force = failures.Derated.of(self.law, phase.capacity_share)
        return phases

    def _may_begin(self, multiple: float) -> Floats | None:
        """``(starts,)``: trips that may begin in a step, as shares of the vehicles; None for no limit."""
        if not np.isfinite(multiple):
            return None
        wanted: Floats = multiple * self.dt * self.demand[self.starts].sum(1) / self.vehicles
        return wanted

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
        return np.asarray(self.in_force.delay(self.weight * on_link), np.float64)

    def _leave(self, mu_hood: Any) -> Any:
        """``(B, R)``: g of the link; 1 at the nodes where trips begin, which take one step, or as the day says."""
        xp = namespace(mu_hood)
        links = len(self.roads.tail)
        leave = self.dt / self.in_force.delay(self.vehicles * mu_hood[:, :links, 0, 0])
        leave = xp.minimum(leave, like(leave, np.ones(1)))
        nodes = mu_hood[:, links:, 0, 0]
        begin = 1 + 0 * nodes
        if self._begun is not None:
            begin = like(nodes, self._begun) / xp.maximum(nodes, like(nodes, np.maximum(self._begun, NOBODY)))
        leave = xp.concat([leave, begin], axis=1)
        return xp.take(leave, like(mu_hood, self._active_place, own_precision=True), axis=1)

    def _room(self, mu_hood: Any) -> Any:
        """The chance to be let into the next link: 1, or ``(B, R, A)`` max(0, 1 - n / B)."""
        if self.blocking is None:
            return 1.0
        xp = namespace(mu_hood)
        crowd = xp.reshape(mu_hood[..., 0], (mu_hood.shape[0], -1))
        ahead = xp.take(crowd, like(mu_hood, self._next_slot.reshape(-1), own_precision=True), axis=1)
        room = 1 - xp.reshape(ahead, (-1, *self._next_slot.shape)) * (self.vehicles / self.blocking)
        return xp.maximum(room, 0 * room)

    # -- bound and references -----------------------------------------------------------------------------------------

    @cached_property
    def optimum(self) -> Scale:
        """The system optimum with these vehicles: theta* = ``upper`` times the demand."""
        return self.largest_scale(self.law)

    @property
    def relocated(self) -> float:
        """The share of trips after which the vehicle goes on elsewhere, because more end there than begin."""
        return self.plan.relocated

    @property
    def headline(self) -> Headline:
        return Headline("average", "trips per unit of time", self.full_scale)

    def bound(self) -> Certificate:
        """theta* times the demand, theta* = max {theta: total time of SO(theta) + theta dt total <= vehicles}.

        With a day, or failures, less: what :mod:`mfnet_envs.engines.day` and :mod:`mfnet_envs.engines.failures` prove.
        """
        share = self.optimum.upper
        if self.day is not None and self.day.shares is not None:
            share = failures.share_of(self, self.day)
        elif self.day is not None:
            share = self.day.most(self.roads, self.trips, self.law, self.optimum, self.vehicles, self.demand.sum(1))
        return Certificate(
            value=share * self.total,
            criterion="average",
            unit="trips per unit of time",
            kind="lp" if isinstance(self.law, PointQueue) else "convex",
            horizon=None,
            gap=self.optimum.gap,
            assumption="; ".join((FOR_ALL, *self.caveats)),
        )

    def of_demand(self, noted: bool) -> str:
        """What the certificate is of, in words; ``noted``: whether there are notes on the network."""
        moved = f"balanced: {self.balancing:.1%} of the trips moved"
        demand = moved if self.balancing > UNBALANCED else "as given"
        return f"of the demand {demand}{', on the network as changed by what model.notes say' if noted else ''}"

    def lasting(self, trip: float, chosen: bool) -> tuple[int, int]:
        """The evaluation's (steps, warm-up) for trips that take ``trip`` on empty roads; ``chosen``: by whoever set the
        number of vehicles, so that it may carry another share than the whole of the demand."""
        busy = self.vehicles / self.total - self.dt
        if chosen and evaluation_steps(busy, self.dt)[0] > STEPS:
            busy = self.vehicles / (self.optimum.theta * self.total) - self.dt
        lasts = evaluation_steps(max(trip, busy), self.dt)
        return lasts if self.day is None else self.day.whole(*lasts)

    @cached_property
    def marginal_tolls(self) -> Floats:
        """``(L,)``: x t'(x) of the optimum's flows: what one vehicle more costs the others on the link. Who weighs time
        and these weighs what the optimum weighs, so that the equilibrium with the same vehicles is the optimum.

        Raises:
            ValueError: for point queues, which have no such law.
        """
        if isinstance(self.law, PointQueue):
            raise ValueError("a point queue has no law from flow to time, hence no marginal tolls")
        flow = self.optimum.by_destination.sum(0)
        return np.asarray(flow * self.law.slope(flow))

    @cached_property
    def selfish(self) -> tuple[float, Assignment]:
        """(theta, assignment) of the user equilibrium with these vehicles."""
        if isinstance(self.law, PointQueue):
            raise ValueError("a point queue has no law from flow to time, hence no equilibrium; use law='mm1' or BPR")
        return self._selfish(np.ones(len(self.roads.tail)), self.optimum)

    def _selfish(self, shares: Floats, scale: Scale) -> tuple[float, Assignment]:
        """With ``shares (L,)`` of the capacities, whose optimum is ``scale``."""
        law, waiting = failures.searched(self.law, shares), self.dt * self.total
        assert not isinstance(law, PointQueue)
        given = self.roads, self.trips, law, self.vehicles, waiting, scale.upper, self._chosen(law)
        return throughput.equilibrium_scale(*given)

    def _chosen(self, law: BPR | MM1) -> Cost:
        """What travellers weigh who choose for themselves."""
        return WithFixedCost(law, self.fixed) if self.fixed is not None and isinstance(law, BPR) else law

    def equilibrium(self) -> Equilibrium:
        """The user equilibrium with the same vehicles, and the price of anarchy.

        Raises:
            ValueError: for point queues, which have none.
        """
        theta, _ = self.selfish
        law = self.law_as_given
        assert not isinstance(law, PointQueue)
        own = whole_demand(self.roads, self.trips, law, self._chosen(law)).flow
        least = whole_demand(self.roads, self.trips, law, law.marginal()).objective
        return Equilibrium(theta * self.total, theta / self.optimum.upper, float(own @ law.time(own)), least)

    def heuristics(self) -> dict[str, Policy]:
        """Simplest first; "ue" and "so" solve an assignment. See :mod:`mfnet_envs.engines.turns`."""
        from mfnet_envs.engines import turns

        scales = self.by_pattern[:-1]
        named: dict[str, Policy] = {
            "random": turns.random_turn(self),
            "shortest_path": turns.shortest_path(self, self.free_flow),
            "logit": turns.logit(self),
            "current_time": turns.CurrentTime(self),
        }
        if not isinstance(self.law, PointQueue):
            named["ue"] = turns.by_phase(
                self, self.selfish[1].turns, [(pair[0], self._selfish(*pair)[1].turns) for pair in scales]
            )
        return {
            **named,
            "so": turns.by_phase(self, self.optimum.turns, [(kept, scale.turns) for kept, scale in scales]),
        }

    def largest_scale(self, law: BPR | MM1 | PointQueue) -> Scale:
        """The optimum of these vehicles under another law of the links."""
        waiting = self.dt * self.total
        if isinstance(law, PointQueue):
            given = self.roads, self.trips, law.free_flow_time, law.capacity, self.vehicles, waiting
            return throughput.largest_scale_with_capacities(*given)
        return throughput.largest_scale(self.roads, self.trips, law.marginal(), self.vehicles, waiting)

    @cached_property
    def by_pattern(self) -> list[tuple[Floats, Scale]]:
        """Shares of capacity ``(L,)`` that failures leave, the mean last, and the optimum with each held all day."""
        return [(kept, self.largest_scale(failures.searched(self.law, kept))) for kept in failures.patterns(self.day)]

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
        return routes.by_destination

    def _wire(self) -> None:
        """Where each place leads: ``end (P,)`` node, ``onward (P, A)`` links, and what is possible and legal there."""
        roads, destinations = self.roads, self.trips.destinations
        links = len(roads.tail)
        self.end: Ints = np.concatenate([roads.head, self.starts])
        self.onward: Ints = roads.out[self.end]
        arrived = np.zeros((len(self.end), len(destinations)), bool)
        wanted = self.rows[self.starts][:, destinations] > 0
        at_once = roads.arrives(destinations)
        arrived[:links] = at_once[roads.head]
        arrived[links:] = (at_once & (np.arange(roads.num_nodes)[:, None] != destinations))[self.starts] & wanted
        self._possible: Bools = np.concatenate([np.isfinite(self.to_go), wanted])
        self._arrived: Bools = arrived
        leads_on = np.isfinite(self.to_go)[self.onward] & (self.onward >= 0)[..., None]
        self._legal: Bools = leads_on.transpose(0, 2, 1) & (self._possible & ~arrived)[..., None]
        lost = (self._possible & ~arrived)[links:] & ~self._legal[links:].any(2)
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
        place, layer = np.nonzero(self._arrived & self._possible)
        begins = self._next_starts[0][layer] // len(self.trips.destinations)
        return adjacency(self.roads, self.starts, self.onward, (place, begins), coordinates)

    def _slots(self, network: StateNetwork) -> Ints:
        """``(R, A)``: where in a flat row of ``mu_hood`` the next link stands; the own place for no link."""
        beside = network.neighbors[:, None] == self.onward[:, :, None]  # (P, A, D)
        slot = np.where(self.onward >= 0, beside.argmax(2), 0)
        flat = np.arange(len(slot))[:, None] * network.neighbors.shape[1] + slot
        table: Ints = flat[self._active_place]
        return table

    def _branches(self) -> tuple[Branch, Branch, Branch]:
        k = len(self.trips.destinations)
        own = np.arange(self._possible.size)
        first = np.take_along_axis(self.onward[:, None, :].repeat(k, 1), self._legal.argmax(2)[..., None], 2)
        ahead = np.where(self._legal, self.onward[:, None], first) * k + np.arange(k)[:, None]
        moving = (self._possible & ~self._arrived)[..., None]
        move = np.where(moving, ahead, own.reshape(-1, k)[..., None]).reshape(len(own), -1)
        table, shares = self._next_starts
        successors = np.tile(own[:, None], table.shape[1])
        odds = np.tile(np.eye(1, table.shape[1]), (len(own), 1))
        ends = np.flatnonzero(self._arrived & self._possible)
        successors[ends], odds[ends] = table[ends % k], shares[ends % k]
        return Branch.to(move), Branch(successors[:, None], odds[:, None]), Branch.to(own[:, None])

    @cached_property
    def _next_starts(self) -> tuple[Ints, Floats]:
        """``(K, J)``: the states in which the next trip may begin after one to each destination, and their odds.

        Raises:
            ValueError: the branch of all states would take too much memory.
        """
        k, first = len(self.trips.destinations), len(self.roads.tail) * len(self.trips.destinations)
        trips, odds = next_starts(self.plan, self.rows, self.trips.destinations, self.starts)
        if (entries := self._possible.size * odds.shape[1]) > MOST_ENTRIES:
            states = f"{self._possible.size:,} states (places times {k} destinations), with up to {odds.shape[1]} next"
            size = f"make a table of {16 * entries / 1e9:.0f} GB; take fewer zones, or an assignment"
            raise ValueError(f"{states} trips, {size}: mfnet_envs.engines")
        return first + trips, odds

    def _free_flow_law(self) -> Floats:
        """``(S,)``: the steady state of shortest paths on links that never slow down."""
        on_links = self._free_flow_flows.T * np.maximum(self.free_flow, self.dt)[:, None]
        waiting = self.dt * self.demand[self.starts][:, self.trips.destinations]
        law = np.concatenate([on_links, waiting]).reshape(-1)
        return np.asarray(law / law.sum(), np.float64)
