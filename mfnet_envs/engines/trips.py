"""Trips of a fleet on a network: fixed shortest-path routes, and two ways to keep track of a loaded vehicle.

Exact: the vehicle remembers its destination. Calibrated: it only knows that it is loaded, and moves by the average
vehicle's next step, so that flows per street stay the same and trip lengths become geometric-like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import Branch
from mfnet_envs.network import StateNetwork


def hop_distances(network: StateNetwork) -> Ints:
    """``(V, V)`` hops between nodes."""
    return np.stack([network.distance(v) for v in range(network.num_nodes)])


def next_hops(network: StateNetwork) -> Ints:
    """``(V, V)``: entry (v, d) is the neighbour of v that comes next on the way to d (d itself when v = d).

    Breadth-first: every neighbour one hop nearer to d lies on a shortest path; of these the lowest index is taken, so
    the routes depend on the graph and its node order only.
    """
    distance = hop_distances(network)
    nearer = distance[network.neighbors] == distance[:, None] - 1  # (V, D, V)
    nearer &= (network.neighbors >= 0)[:, :, None]
    slot = nearer.argmax(1)  # 0, the node itself, where v = d
    return np.take_along_axis(network.neighbors, slot, 1)


@dataclass(frozen=True)
class Step:
    """Law of the next hop of a loaded vehicle: ``going (V, V)`` passes through the node, ``ending (V, V)`` stops there.

    The rows of ``going + ending`` sum to 1.
    """

    going: Floats
    ending: Floats


def average_step(weight: Floats, next_hop: Ints) -> Step:
    """The next step of a vehicle at v whose destination d has odds ``weight (V, V)``; without any odds it ends at v."""
    nodes = np.arange(len(weight))
    share = _rows_to_one(weight)
    ends = next_hop == nodes
    going, ending = np.zeros(share.shape), np.zeros(share.shape)
    origin = np.broadcast_to(nodes[:, None], share.shape)
    np.add.at(going, (origin[~ends], next_hop[~ends]), share[~ends])
    np.add.at(ending, (origin[ends], next_hop[ends]), share[ends])
    return Step(going, ending)


def loaded_flows(pickups: Floats, next_hop: Ints) -> Floats:
    """``(V, V)`` stationary number of loaded vehicles at v bound for d, for ``pickups (V, V)`` per step from v to d.

    The first hop belongs to the step of the pick-up and the last one ends the trip, so a trip of k hops is seen
    k - 1 times.
    """
    flows = np.zeros(pickups.shape)
    moving = pickups
    while moving.any():
        moving = _advanced(moving, next_hop)
        flows += moving
    return flows


def _advanced(bound: Floats, next_hop: Ints) -> Floats:
    """Vehicles at v bound for d, one hop later; those that arrive leave the table."""
    destination = np.arange(len(bound))
    still = next_hop != destination
    after = np.zeros(bound.shape)
    columns = np.broadcast_to(destination, bound.shape)
    np.add.at(after, (next_hop[still], columns[still]), bound[still])
    return after


def trip_law(first: Step, later: Step) -> tuple[Floats, Floats]:
    """Where calibrated trips end and how long they last: ``(V, V)`` rows summing to 1, and ``(V,)`` steps.

    q = P0_end + P0_go (I - P1_go)^-1 P1_end,  tau = 1 + P0_go (I - P1_go)^-1 1.
    """
    on_the_way = np.linalg.solve((np.eye(len(later.going)) - later.going).T, first.going.T).T
    return first.ending + on_the_way @ later.ending, 1 + on_the_way.sum(1)


@dataclass(frozen=True)
class Rides:
    """How vehicles move, as tables for a model, and the trips that come out, for its bound.

    Attributes:
        layers: states per node; layer 0 is idle, the others are loaded.
        pick_up, drive: the branch of the served, and that of everybody else.
        transit: ``(S,)`` bool, loaded states whose next step is certain.
        destination: ``(V, V)`` where a trip from v ends; rows sum to 1.
        duration: ``(V,)`` its mean number of steps.
    """

    layers: int
    pick_up: Branch
    drive: Branch
    transit: NDArray[np.bool_]
    destination: Floats
    duration: Floats


def exact_trips(network: StateNetwork, demand: Floats) -> Rides:
    """Loaded vehicles remember their destination: layer 1 + d is *bound for d*.

    Args:
        network: the nodes (its layers are not used).
        demand: ``(V, V)`` trips by origin and destination; an origin without trips serves nobody.
    """
    v, layers = network.num_nodes, network.num_nodes + 1
    nodes = np.arange(v)
    hop = next_hops(network)
    arrival = hop * layers + np.where(hop == nodes, 0, 1 + nodes)  # the state after one hop towards d, (V, V)
    destination = _rows_to_one(demand)
    actions = network.neighbors.shape[1]
    pick_up = np.broadcast_to(arrival[:, None, None, :], (v, layers, 1, v)).reshape(-1, 1, v)
    odds = np.broadcast_to(destination[:, None, None, :], (v, layers, 1, v)).reshape(-1, 1, v)
    drive = np.empty((v, layers, actions), np.int64)
    drive[:, 0] = _slots(network) * layers
    drive[:, 1:] = arrival[:, :, None]
    transit = np.tile(np.arange(layers) > 0, v)
    steps = np.maximum(1, hop_distances(network))
    return Rides(
        layers=layers,
        pick_up=Branch(pick_up, odds),
        drive=Branch.to(drive.reshape(-1, actions)),
        transit=transit,
        destination=destination,
        duration=(destination * steps).sum(1),
    )


def calibrated_trips(network: StateNetwork, demand: Floats) -> Rides:
    """Loaded vehicles forget their destination (two layers) and move by the average loaded vehicle's next step.

    The averages are those of full service, one pick-up for every trip of ``demand (V, V)``: there the flow from node to
    node and every origin's and destination's total equal those of :func:`exact_trips`.
    """
    v, actions = network.num_nodes, network.neighbors.shape[1]
    hop = next_hops(network)
    first, later = average_step(demand, hop), average_step(loaded_flows(demand, hop), hop)
    after_first, after_later = _two_layers(first), _two_layers(later)  # (V, 2V)
    successors, odds = _compact(np.stack([after_first, after_later], 1).reshape(2 * v, -1))
    idle_to = np.eye(2 * v)[_slots(network) * 2]  # (V, A, 2V)
    loaded_to = np.broadcast_to(after_later[:, None], idle_to.shape)
    drive, drive_odds = _compact(np.stack([idle_to, loaded_to], 1).reshape(2 * v * actions, -1))
    destination, duration = trip_law(first, later)
    return Rides(
        layers=2,
        pick_up=Branch(successors[:, None], odds[:, None]),
        drive=Branch(drive.reshape(2 * v, actions, -1), drive_odds.reshape(2 * v, actions, -1)),
        transit=np.zeros(2 * v, bool),
        destination=destination,
        duration=duration,
    )


def _rows_to_one(weight: Floats) -> Floats:
    """Rows scaled to sum to 1; a row of zeros becomes a point mass on its own node."""
    total = weight.sum(1, keepdims=True)
    return np.where(total > 0, weight / np.where(total > 0, total, 1), np.eye(len(weight)))


def _slots(network: StateNetwork) -> Ints:
    """``(V, A)``: the node that action a leads to, the own node for the padding."""
    return np.where(network.neighbors < 0, network.neighbors[:, :1], network.neighbors)


def _two_layers(step: Step) -> Floats:
    """``(V, 2V)`` law over (node, 0 idle | 1 loaded)."""
    return np.stack([step.ending, step.going], 2).reshape(len(step.going), -1)


def _compact(law: Floats) -> tuple[Ints, Floats]:
    """``(K, S)`` rows as successors and probabilities ``(K, J)``, J the largest support."""
    width = int((law > 0).sum(1).max())
    order = np.argsort(law == 0, axis=1, kind="stable")[:, :width]
    return order, np.take_along_axis(law, order, 1)
