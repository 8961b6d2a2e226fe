"""MFNet-Routing-v0: drivers choose their turns in a road network that they congest.

N agents stand for the vehicles of a city. Each drives to a destination, link by link, and starts the next trip where
the last one ended, with a destination drawn from that node's row of the demand. Where more trips end than begin, the
surplus leaves the network and as many enter, in the same moment, at the nearest nodes where more begin than end: in the
long run trips are made in the proportions of the demand as given, under every policy (``mfnet_envs.engines.respawn``).
The time on a link grows with its flow by the BPR law t0 (1 + b (f / c)^p). What everybody takes is slow, and what is
best for one is not best for all.

========== =========================================================================================================
states     (link, destination), and (node, destination) for one step where a trip begins; destinations are the layers
actions    j = the j-th link that leaves the node ahead (links in the network's order); links from which the
           destination cannot be reached are illegal
reward     g_e / max g on links that end at the agent's destination, g_e = dt / delay_e(n_e) the chance to leave the
           link in this step, n_e the vehicles on it; 0 elsewhere; in [0, 1]; full_scale turns its mean into trips per
           unit of time
kernel     leave with probability g_e for the chosen link, or for the next trip's start; reads the own link's load only
criterion  throughput: reward per step times full_scale, 1,200 steps of which 700 warm-up, or 60 mean trips of which 35
           where these take longer; gamma .99
start      the steady state of shortest paths on roads that never fill
clock      none; with ``profile`` the demand's: so many trips may begin in each phase, vehicles without one wait; with
           ``failures`` the links': of their capacity a share is left for a while
bound      convex programme: theta* times the demand, for every policy and every population; with ``profile`` or
           ``failures`` less, by a linear programme at the prices of the first
========== =========================================================================================================

In a steady state flows obey BPR exactly and the vehicles on the road are the total travel time, so the largest share
theta* of the demand that V vehicles can serve solves TSTT_SO(theta demand) + theta dt total = V, the second term being
those that wait a step at the start. ``model.equilibrium()`` says what selfish drivers reach with the same vehicles, and
the total times of equilibrium and optimum of the network and demand as given, without steps. Where links have tolls or
weighed lengths, drivers who choose for themselves weigh those too; optimum and bound are of time. So ``toll`` changes
``ue`` and ``model.equilibrium()`` and nothing else, and ``toll="marginal"`` makes ``ue`` the optimum.

``profile=[0.4, 1.6, 1.0]`` is a day of three phases: of the vehicles that wait at a start only as many may leave in a
step as trips are wanted there. :mod:`mfnet_envs.engines.day` proves its bound, which tends to the mean of min(m_i,
theta*) times the demand as phases get long beside a trip, and is theta* times the demand where nothing limits.

``failures=[("a to b", 7, 9, 0.5)]`` leaves that link half of its capacity from 7 to 9 of every turn of
``profile_time``, with or without a ``profile``; with share 0 nobody leaves it, and who is on it waits until it opens.
:mod:`mfnet_envs.engines.failures` proves the bound, which tends to the mean over phases of what each could carry for
long. ``ue`` and ``so`` then are the splits of the capacities in force, and ``so`` loses those who stand on a link that
closes; who leaves it in time attains the bound. Links that fail at random are no option: whether a link is open would
be a state of the world that no agent's own place holds, so that the law were not the paper's; ``close`` says what a
closure costs.

A link takes at least one step. By default dt is half the shortest link; where a trip would then take needlessly many
steps it is longer, as far as a trip of the optimum gets 1 % longer by it at most, and a shorter link takes max(t0, dt)
+ t0 b (f / c)^p in the simulation and in the bound. Links that take no time are passed at once, whatever dt is.
``model.notes`` says how long a step, an evaluation and a trip are, and all that was rounded, left out or moved.

Heuristics: ``random`` (any turn from which the destination can be reached); ``shortest_path`` (free flow); ``logit``;
``current_time`` (1-hop information: the times of the links ahead now, free flow after them); ``ue`` and ``so``, the
splits of the user equilibrium and of the system optimum: in the paper's class, and as N grows ``so`` attains the bound.

The default network is made here: a grid of two-way streets with two avenues and gravity demand. ``network`` takes a
file or name that ``mfnet_envs.io.load`` reads (TNTP, GMNS, OSMnx, ...) or a ``NetworkData``. The Transportation
Networks for Research files, Sioux Falls among them, are for academic research only and not part of the package. Known
values for Sioux Falls (``time_unit=0.01``, dt .01 h): 75,548.56 vehicles carry all 360,600 trips an hour; selfish ones
.987 of them, shortest paths .61, random turns .06.

Parameters: see :class:`Routing`; trips pay as in ``Congestion.branch_rewards``. Versions: v0, first release.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from mfnet_envs import registration
from mfnet_envs.engines.clock import STEPS, WARM_STEPS, Pace, rounded
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.engines.day import Day
from mfnet_envs.engines.failures import failing
from mfnet_envs.engines.given import Given
from mfnet_envs.engines.throughput import enough_vehicles
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.scenarios._options import call_places, checked_scale, ends_of, links_of, times, tolled
from mfnet_envs.words import checked_population, fits, positive, shown, whole

STREET, AVENUE = (1.0, 1.0), (0.6, 2.0)  # free-flow time and capacity
BPR_B, BPR_POWER = 0.15, 4.0


def generated_city(rows: int = 3, cols: int = 3, total_demand: float = 20.0) -> NetworkData:
    """A grid of two-way streets, the middle row and column faster and wider, with symmetric gravity demand.

    Trips between two crossings are proportional to exp(-distance / 2); crossings on both avenues count four times.
    """
    nodes = whole("rows", rows, 2) * whole("cols", cols, 2)
    fits(f"trips between rows={shown(rows)} times cols={shown(cols)} nodes", nodes, nodes, itemsize=40)
    positive(total_demand=total_demand)
    i, j = np.divmod(np.arange(rows * cols), cols)
    apart = abs(i[:, None] - i) + abs(j[:, None] - j)
    tail, head = np.nonzero(apart == 1)
    on_avenue = ((i[tail] == i[head]) & (i[tail] == rows // 2)) | ((j[tail] == j[head]) & (j[tail] == cols // 2))
    time, capacity = np.where(on_avenue[:, None], AVENUE, STREET).T
    size = (1.0 + (i == rows // 2)) * (1.0 + (j == cols // 2))
    demand = size[:, None] * size * np.exp(-apart / 2) * (apart > 0)
    return NetworkData(
        name=f"generated {rows} x {cols}",
        nodes=tuple(f"{a},{b}" for a, b in zip(i, j, strict=True)),
        tail=tail,
        head=head,
        free_flow_time=time,
        capacity=capacity,
        b=np.full(len(tail), BPR_B),
        power=np.full(len(tail), BPR_POWER),
        length=np.ones(len(tail)),
        demand=total_demand * demand / demand.sum(),
        coordinates=np.stack([j, -i], 1).astype(float),
    )


class Routing(Congestion):
    """The model of this page.

    Args:
        population: N, the number of agents; they stand for ``vehicles``.
        network: a file or name for ``mfnet_envs.io.load``, a NetworkData, or None for the generated city.
        rows, cols: crossings down and across the generated city; not used with ``network``.
        total_demand: trips per unit of time in the generated city; not used with ``network``.
        vehicles: on the roads at any time; default: as many as the best assignment of the whole demand needs.
        time_unit: what the links' times are measured in, in the demand's unit of time (Sioux Falls: trips per hour and
            times in hundredths of an hour, .01).
        dt: length of a step, in the demand's unit of time; default: half the shortest free-flow time, or longer where
            links are so unlike that a trip would take needlessly many steps (see ``model.notes``).
        balance: change the demand, as little as iterative fitting does, so that as many trips leave each node as reach
            it (``model.balancing`` is the share changed); if False, the demand as given counts.
        close: a link to close, by the labels where it begins and ends such as ``("a", "b")`` or "a to b", or a list of
            links; the way back is another link. What is set by rule (``vehicles`` and ``dt``) is that of the open
            network.
        toll: ``{"a to b": cost}`` in the unit of the links' times, in place of the link's own toll: what selfish
            drivers weigh besides time (``ue``), not what anybody earns. "marginal": on all links what makes the
            equilibrium the optimum, in place of the network's tolls and weighed lengths.
        demand_scale: times the demand; sets ``vehicles``, and not ``dt``.
        profile: multiples of the demand, one for each phase of a turn of the clock: so many trips may begin, and
            vehicles without one wait (:mod:`mfnet_envs.engines.day`). ``vehicles`` by rule are those of multiple 1.
            Default: no clock, and whoever has arrived begins another trip.
        failures: ``(link, from, until, share)`` each, such as ``("a to b", 7, 9, 0.5)``: between these times of every
            turn of ``profile_time`` the link, named as for ``close``, keeps that share of its capacity; with 0 nobody
            leaves it (:mod:`mfnet_envs.engines.failures`). Default: none.
        profile_time: length of a turn, in the demand's unit of time.
        gamma: discount factor per step.

    Raises:
        ValueError: for an option out of its range, or a trip without a path, in one sentence.
    """

    wording = replace(Congestion.wording, agents="drivers", place="a road network")

    def __init__(
        self,
        population: int = 500,
        network: str | os.PathLike[str] | NetworkData | None = None,
        rows: int = 3,
        cols: int = 3,
        total_demand: float = 20.0,
        vehicles: float | None = None,
        time_unit: float = 1.0,
        dt: float | None = None,
        balance: bool = False,
        close: str | Sequence[Any] | None = None,
        toll: Literal["marginal"] | Mapping[Any, float] | None = None,
        demand_scale: float = 1.0,
        profile: Sequence[float] | None = None,
        failures: Sequence[Any] | None = None,
        profile_time: float = 24.0,
        gamma: float = 0.99,
    ) -> None:
        checked_population(population)
        given_numbers = {"vehicles": vehicles, "dt": dt}
        positive(
            time_unit=time_unit, profile_time=profile_time, **{k: x for k, x in given_numbers.items() if x is not None}
        )
        one_scale(demand_scale, vehicles, profile)
        data = generated_city(rows, cols, total_demand) if network is None else loaded(network)
        data, change = data.balanced() if balance else (data, 0.0)
        data = data.useful()
        given = Given.of(data, time_unit)
        total = float(data.demand.sum())
        pace = Pace.of(
            given.law.free_flow_time, given.free_flow(), given.length, total, dt, lambda: given.busy() / total
        )
        notes, caveats = pace.questioned(dt, asks_unit=network is not None)
        day = None if profile is None else Day.of(profile, profile_time, pace.dt)
        chosen = vehicles
        if toll is not None and not (isinstance(toll, str) and toll == "marginal"):
            data = tolled(data, toll)
        if demand_scale != 1 or isinstance(toll, Mapping):
            data = times(data, demand_scale)
            given = Given.of(data, time_unit)
        if close is not None:
            if vehicles is None:
                law, waiting = rounded(given.law, pace.dt), pace.dt * total * demand_scale
                vehicles = enough_vehicles(given.roads, given.trips, law, waiting)
            data = data.closed(ends_of(data, close, "close")).useful()
            notes.append("vehicles and dt, where set by rule, are those of the open network")
            given = Given.of(data, time_unit)
        named = partial(links_of, data, given.roads)
        day = failing(day, failures, profile_time, pace.dt, named, given.law)
        super().__init__(
            given.roads,
            rounded(given.law, pace.dt),
            given.demand,
            population,
            vehicles=vehicles,
            dt=pace.dt,
            coordinates=data.coordinates,
            gamma=gamma,
            evaluation=(STEPS, WARM_STEPS),
            law_as_given=given.law,
            fixed=given.fixed,
            day=day,
        )
        if isinstance(toll, str):
            self.fixed = self.marginal_tolls
            notes.append("tolls are marginal, in place of the network's tolls and weighed lengths; they change no time")
        call_places(self, data)
        self.balancing = change
        self.evaluation = self.lasting(pace.trip, chosen is not None)
        units = {"time": data.units.get("time", "") if time_unit == 1 else "", "length": data.units.get("length", "")}
        self.notes = (
            *self.notes,
            *data.notes,
            *given.notes,
            *notes,
            pace.said(self.evaluation[0], units),
            *(() if day is None else day.said()),
            *self.plan.said,
        )
        self.caveats = (self.of_demand(bool(data.notes or given.notes)), *caveats)


build = Routing


def one_scale(demand_scale: float, vehicles: float | None, profile: Sequence[float] | None) -> None:
    """Refuse a scale that would change nothing: trips are as many as the vehicles can make, unless a day limits them.

    Raises:
        ValueError: ``demand_scale`` beside ``vehicles``, or out of its range.
    """
    checked_scale(demand_scale)
    if demand_scale != 1 and vehicles is not None and profile is None:
        raise ValueError("demand_scale says how many vehicles there are, and so does vehicles: leave one of them out")


def loaded(network: str | os.PathLike[str] | NetworkData) -> NetworkData:
    """The network itself, or read by ``mfnet_envs.io.load``; with demand, every trip of which has a path.

    Raises:
        ValueError: a network without demand. NetworkFileError: a trip without a path. TypeError: something else.
    """
    if isinstance(network, NetworkData):
        network.check_connected()
    elif isinstance(network, str | os.PathLike):
        from mfnet_envs import io

        network = io.load(network)
    else:
        raise TypeError(
            f"network must be a file, a name that mfnet_envs.io.load knows or a NetworkData, not {shown(network)}"
        )
    if not network.has_demand:
        raise ValueError(f"{network.name} has no demand; give it trips with dataclasses.replace(network, demand=...)")
    return network


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-Routing-v0")
env = partial(registration.env, "MFNet-Routing-v0")
