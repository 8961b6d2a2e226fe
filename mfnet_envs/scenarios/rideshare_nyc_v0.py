"""``MFNet-RideShareNYC-v0``: Manhattan's taxis, real demand.

A fleet drives on Manhattan's 61 taxi zones (134 borders, diameter 13). Riders appear in every zone at the rates
counted in 2018; an idle driver who meets one earns a fare and carries the rider to the destination, one zone a step; an
idle driver who does not may stay or drive on empty to an adjacent zone. Where to wait is the whole question.

>>> import mfnet_envs
>>> model = mfnet_envs.make_model("MFNet-RideShareNYC-v0", hour=18, weekday="thursday")
>>> through_the_day = mfnet_envs.make_model("MFNet-RideShareNYC-v0", hour="day", population=80, occupied="markov")

**States.** Zone x {idle, loaded and bound for d = 1..61}: ``61 * 62`` states, of which the 61 idle ones have a choice
and the loaded ones are in transit. ``occupied="markov"`` keeps only zone x {idle, loaded}, 122 states: a loaded
vehicle then moves by the average loaded vehicle's next step, calibrated so that at full service the flow on every
street and every origin's and destination's total are the same (trip lengths become geometric-like).

**Actions.** 0 stay, j = drive to the j-th neighbouring zone (ascending TLC id); 11 actions, the illegal ones are played
as stay. Loaded vehicles have only action 0.

**Clock and units.** One step is 5 minutes and one hop. ``population`` agents stand for ``fleet`` vehicles, each for
``weight = fleet / population`` of them; changing the population keeps the city as it is. Demand per step in zone v is
``lambda_v = (trips per hour) * 5/60 / weight``, in agents. Rewards are per agent; *full scale* means times the fleet.

**Through the day.** ``hour=18``, the default, repeats one hour for ever. ``hour="day"`` reads a clock: step t is played
with the table of hour ``t // 12 % 24`` of the weekday, t = 0 is midnight, a turn is 288 steps and the next day is the
same weekday again. The demand, and with ``occupied="markov"`` the next steps of the loaded, change with the hour;
everything else stays. Observations get the time of day at their end, as a point on a circle. ``gymnasium.make`` cuts
episodes at 400 steps unless told ``max_episode_steps=576``.

**Kernel.** n_v idle agents meet D_v ~ Poisson(lambda_v) riders. Under ``matching="physical"`` exactly min(n_v, D_v) of
them, drawn uniformly, are served; under ``"independent"``, the paper's form, each is served with probability
``q_v = phi(n_v) / n_v``, phi(n) = E min(n, D_v). Served agents draw a destination from the origin's row of the table
and make the first hop at once, along fixed shortest paths (ties: the lowest zone id); a trip of k hops takes max(1, k)
steps, at its end the agent is idle at the destination. The others do as they chose. Only the own zone's idle crowd
matters: ``kernel_reads = "own"``, groups are idle and loaded.

**Reward (1)**, the expected one under both matchings: ``r = fare * q_v - move_cost * (1 - q_v) * 1{a moves}`` for idle
agents, 0 for loaded ones.

**Start.** Everybody idle, uniform over zones. **Evaluation.** 400 steps, of which the first 200 are warm-up; the
headline is the reward per step at full scale after warm-up, beside the discounted return per agent (gamma .97).
Through the day: two days, of which the first is warm-up.

**Bound.** ``bound()`` is the stationary linear programme of :mod:`mfnet_envs.programmes.stationary_lp`, with phi's
tangents, refined: no policy, centralised and history-dependent ones included, has a larger long-run average.
``bound(fluid=True)`` drops the tangents (m <= min(n, lambda)); it holds too, and is looser. Through the day it is the
programme of :mod:`mfnet_envs.programmes.day_lp`, which balances zones hour by hour: valid for every policy, though
looser than one with a variable for every step; it takes a minute for 800 agents.

**Heuristics.** ``stay``; ``random`` (uniform over the zone and its neighbours); ``greedy`` (the busiest of these);
``proportional`` (odds lambda over these); ``lp`` (shares of the programme's flows); ``threshold_lp`` (leaves with
probability max(0, 1 - .7 lambda_v / n_v), then as ``lp``); ``hybrid_lp`` (.3 for .7, and .03 added to every legal slot
of ``lp``: both numbers were searched on this very simulator at N = 800, Thursday 18 h). The last three need the model
and a solver. Through the day each of them follows the clock: the present hour's demand, the present hour's flows of the
day's programme (the two numbers of ``hybrid_lp`` were not searched again). Thursday, 800 agents, reward per step at
full scale on the second day of 64 worlds: 997, 1057, 928, 1121, 1333, 1332, 1349 in this order; the bound is 1583.

Parameters: see :class:`RideShareNYC`.

**Data.** Derived from ``pyhailing`` 0.0.9 (Apache-2.0), whose counts come from the TLC trip records (NYC Open Data):
110,932,862 trips, all business days of 2018, within Manhattan. An hour's mean divides the year's sum by 50, the number
of business days assumed for each weekday. Licence, notice and modifications: ``mfnet_envs/data/nyc_manhattan_2018``;
``scripts/build_nyc_table.py`` rebuilds the table.

**Versions.** v0: first release.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from mfnet_envs import registration
from mfnet_envs.arrays import Floats
from mfnet_envs.bounds import Certificate
from mfnet_envs.data import manhattan
from mfnet_envs.engines.trips import calibrated_trips, exact_trips
from mfnet_envs.matching import ExpectedMin, served_share
from mfnet_envs.model import Branch, LocalModel, Quota, reads
from mfnet_envs.network import StateNetwork
from mfnet_envs.programmes import day_lp, horizon_lp, stationary_lp
from mfnet_envs.scenarios._options import drawable
from mfnet_envs.wording import Headline, MapWords, Wording
from mfnet_envs.words import checked_population, did_you_mean, is_whole, non_negative, one_of, positive, shown

if TYPE_CHECKING:
    from mfnet_envs.policy import Policy

Occupied = Literal["destination", "markov"]
Matching = Literal["physical", "independent"]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
STEP_HOURS = 5 / 60
HOUR, DAY = 12, 288  # steps
LEAST = 1e-6  # of a vehicle
IDLE, LOADED = 0, 1  # groups
PICK_UP, DRIVE = 0, 1  # branches


class RideShareNYC(LocalModel):
    """The model; what drivers earn stands in :meth:`branch_rewards`.

    Args:
        population: N, agents; they stand for ``fleet`` vehicles.
        fleet: vehicles in the city.
        hour: 0 .. 23, an hour that repeats for ever, or "day", the whole day by the clock.
        weekday: "monday" .. "friday", or 0 .. 4.
        occupied: "destination", the loaded carry where they go (3,782 states), or "markov", they move by the average
            loaded vehicle's next step (122 states).
        matching: "physical", exactly min(n, D) of a zone's idle are served, or "independent", each by chance alone.
        fare: earned when served.
        move_cost: paid for an empty move to the next zone.
        gamma: discount factor per step.

    Attributes:
        fleet: vehicles; also ``full_scale``, what turns a mean reward per agent into the fleet's.
        weight: vehicles per agent.
        hours: the 24 models of ``hour="day"``; empty where one hour repeats.
        rate: ``(V,)`` lambda, demand per step in agents; ``rate * weight`` is the demand at full scale. This and the
            following are those of the hour; of ``hours[0]`` for ``hour="day"``, whose ``reference_counts`` are the
            day's mean.
        trips: routes and durations, see :class:`mfnet_envs.engines.trips.Rides`.

    Raises:
        ValueError: an argument out of its range, with the range.
    """

    law_methods = (*LocalModel.law_methods, "_served_share")
    reads_group = IDLE

    def __init__(
        self,
        population: int = 800,
        fleet: float = 8000,
        hour: int | Literal["day"] = 18,
        weekday: str | int = "thursday",
        occupied: Occupied = "destination",
        matching: Matching = "physical",
        fare: float = 1.0,
        move_cost: float = 0.1,
        gamma: float = 0.97,
    ) -> None:
        positive(fleet=fleet, fare=fare)
        if fleet < LEAST:
            raise ValueError(f"fleet must be at least {LEAST:g} vehicles, not {shown(fleet)}")
        non_negative(move_cost=move_cost)
        one_of("occupied", occupied, ("destination", "markov"))
        one_of("matching", matching, ("physical", "independent"))
        self.fleet = self.full_scale = float(fleet)
        self.weight = self.fleet / checked_population(population)
        self.fare, self.move_cost = float(fare), float(move_cost)
        zones = StateNetwork(manhattan().graph())
        tables = [manhattan().trips_per_hour(_weekday(weekday), h) * STEP_HOURS / self.weight for h in _hours(hour)]
        self.rate: Floats = drawable("fleet", fleet, tables[0].sum(1))
        self.trips = (exact_trips if occupied == "destination" else calibrated_trips)(zones, tables[0])
        self._phi: ExpectedMin | None = ExpectedMin(self.rate)
        layers = self.trips.layers
        rate = _on_idle(self.rate, layers)
        legal = _on_idle(zones.neighbors >= 0, layers)
        legal[:, 0] = True
        super().__init__(
            network=StateNetwork(zones.graph, layers),
            population=population,
            num_actions=legal.shape[1],
            branches=(self.trips.pick_up, self.trips.drive),
            legal=legal,
            initial=_on_idle(np.full(zones.num_nodes, 1 / zones.num_nodes), layers),
            groups=np.minimum(np.arange(layers), LOADED),
            quota=Quota(PICK_UP, rate) if matching == "physical" else None,
            gamma=gamma,
            evaluation=(2 * DAY, DAY) if hour == "day" else (400, 200),
            kernel_reads="own",
            reference_counts=rate,
            transit=self.trips.transit,
        )
        when = "through the day" if hour == "day" else f"{int(hour)} h"
        self.wording = _wording(
            f"Manhattan, {WEEKDAYS[_weekday(weekday)].capitalize()} {when}", self.fleet, self.weight
        )
        self.hours: tuple[RideShareNYC, ...] = ()
        self._plans: dict[bool, day_lp.Flows] = {}
        if hour == "day":
            self.hours = tuple(self._with_demand(table) for table in tables)
            self.period = DAY
            self.reference_counts = _on_idle(np.mean([city.rate for city in self.hours], 0), layers)

    def at(self, t: int) -> RideShareNYC:
        """The city at the hour of step t, from midnight; itself where one hour repeats."""
        return self.hours[t % DAY // HOUR] if self.hours else self

    def _with_demand(self, demand: Floats) -> RideShareNYC:
        """The same city with other trips ``(V, V)`` per step, in agents; the streets and the routes are shared."""
        city = copy.copy(self)
        city.rate, city._phi = demand.sum(1), ExpectedMin(demand.sum(1))
        if self.transit.any():
            trips = exact_trips(self.network, demand)
            pick_up = Branch(self.trips.pick_up.successors, trips.pick_up.probabilities)
            city.trips = replace(trips, pick_up=pick_up, drive=self.trips.drive, transit=self.trips.transit)
        else:
            city.trips = calibrated_trips(self.network, demand)
        rate = _on_idle(city.rate, city.trips.layers)
        city.branches, city.reference_counts = (city.trips.pick_up, city.trips.drive), rate
        city.quota = None if self.quota is None else Quota(PICK_UP, rate)
        return city

    def branch_weights(self, mu_hood: Any) -> Any:
        """(2): the served pick up, the rest drive, the loaded always drive; ``(B, R, 1, 2)``."""
        xp = array_api_compat.array_namespace(mu_hood)
        q = self._served_share(mu_hood)
        idle = xp.stack([q, 1 - q], axis=-1)
        weights = idle if self.transit.any() else _interleaved(idle, xp.stack([0 * q, 1 + 0 * q], axis=-1))
        return weights[:, :, None]

    def branch_rewards(self) -> Floats:
        """The fare for a pick-up, the cost of driving on empty; nothing for the loaded, ``(R, A, 2)``."""
        moves = (self.network.neighbors >= 0).astype(float)
        moves[:, 0] = 0
        idle = np.stack([np.full_like(moves, self.fare), -self.move_cost * moves], 2)
        return idle if self.transit.any() else np.stack([idle, 0 * idle], 1).reshape(-1, *idle.shape[1:])

    def fluid(self) -> RideShareNYC:
        """The same city with a continuum of vehicles: min(n, lambda) are served."""
        limit = copy.copy(self)
        limit._phi, limit.quota = None, None
        limit.hours = tuple(city.fluid() for city in self.hours)
        return limit

    @property
    def headline(self) -> Headline:
        return Headline("average", "reward per step at full scale", self.full_scale)

    @reads("branch_rewards")
    def bound(self, fluid: bool = False) -> Certificate | None:
        """The stationary or the day's programme's value at full scale; ``fluid=True`` for every population at once.

        None for branch rewards that pay the loaded, too: the programmes know what idle vehicles earn.
        """
        plan = self._plan(fluid)
        return (
            None
            if plan is None
            else Certificate(
                value=plan.value * self.weight,
                criterion="average",
                unit="reward per step at full scale",
                kind="lp",
                horizon=None,
                gap=max(1e-7, plan.gap),
                assumption="every policy, centralised ones included, on the long-run average; "
                + ("any population" if fluid else f"population {self.population}"),
            )
        )

    @reads("branch_rewards")
    def crowding(self) -> horizon_lp.Crowding:
        """Every zone's idle vehicles share its riders; through the day, those of the first hour: ask ``at(t)``."""
        zone = np.where(self.active % self.network.layers == IDLE, self.network.node_of[self.active], -1)
        return horizon_lp.service(self, PICK_UP, zone, self.rate, self._phi)

    def heuristics(self) -> dict[str, Policy]:
        """Simplest first; the last three solve the programme. Through the day they follow the clock."""
        from mfnet_envs.heuristics import ByTheClock

        plan = self._plan(False)
        lp = None if plan is None else plan.policy()
        if not self.hours:
            return self._heuristics(lp)
        by_hour = [None] * len(self.hours) if lp is None else lp
        hourly = [city._heuristics(flows) for city, flows in zip(self.hours, by_hour, strict=True)]
        return {name: ByTheClock(self, [policies[name] for policies in hourly]) for name in hourly[0]}

    def _heuristics(self, lp: Floats | None) -> dict[str, Policy]:
        """The policies of one hour; ``lp (V, A)`` are shares of the programme's flows, None where there are none."""
        from mfnet_envs.heuristics import ThresholdPolicy
        from mfnet_envs.policy import TablePolicy, one_hot, uniform, weighted

        near = np.where(self.network.neighbors < 0, -1.0, self.rate[self.network.neighbors])
        simple: dict[str, Policy] = {
            "stay": one_hot(self, np.zeros(len(near), int)),
            "random": uniform(self),
            "greedy": one_hot(self, near.argmax(1)),
            "proportional": weighted(self, near),
        }
        if lp is None:
            return simple
        return simple | {
            "lp": TablePolicy(self, lp),
            "threshold_lp": ThresholdPolicy(self, lp, keep=0.7),
            "hybrid_lp": ThresholdPolicy(self, lp, keep=0.3, floor=0.03),
        }

    def _served_share(self, mu_hood: Any) -> Any:
        """q = phi(n) / n at the zone's own idle crowd; ``(B, V)``."""
        return served_share(self._phi, self.population * mu_hood[:, :, 0, IDLE], self.rate)

    def _earnings(self) -> tuple[Floats, Floats]:
        """For the programmes: what a pick-up earns at the best action ``(V,)``, what the others pay ``(V, D)``."""
        rewards = self.branch_rewards().reshape(len(self.rate), -1, self.num_actions, 2)[:, IDLE]
        fare = np.where(self.network.neighbors >= 0, rewards[..., PICK_UP], -np.inf).max(1)
        return fare, -rewards[..., DRIVE]

    @reads("branch_rewards")
    def _plan(self, fluid: bool) -> stationary_lp.Flows | day_lp.Flows | None:
        """The programme's optimum; None where the loaded are paid."""
        loaded = self.branch_rewards().reshape(len(self.rate), -1, self.num_actions, 2)[:, LOADED:, 0]
        if loaded.any():
            return None
        return self._day_flows(fluid) if self.hours else self._flows(fluid)

    def _flows(self, fluid: bool) -> stationary_lp.Flows:
        fare, cost = self._earnings()
        fleet = stationary_lp.Fleet(
            population=self.population,
            rate=self.rate,
            destination=self.trips.destination,
            duration=self.trips.duration,
            neighbors=self.network.neighbors,
            fare=fare,
            cost=cost,
        )
        return stationary_lp.solve(fleet, None if fluid else self._phi)

    def _day_flows(self, fluid: bool) -> day_lp.Flows:
        """Solved once; ``_plans`` may be shared with the limit, whose plan is the fluid one."""
        fluid = fluid or self._phi is None
        if fluid not in self._plans:
            hours = [
                day_lp.hour_of(city.network, city.trips, city.rate, None if fluid else city._phi, *city._earnings())
                for city in self.hours
            ]
            self._plans[fluid] = day_lp.solve(day_lp.Day(self.population, self.network.neighbors, HOUR), hours)
        return self._plans[fluid]


build = RideShareNYC


def _wording(place: str, fleet: float, weight: float) -> Wording:
    """The words of tables and pages; an agent stands for ``weight`` taxis."""
    return Wording(
        agents=f"agents for {fleet:,.0f} taxis",
        place=place,
        labels={"lp": "LP policy", "threshold_lp": "threshold-LP", "hybrid_lp": "tuned LP hybrid"},
        needs={
            "stay": "nothing: never moves",
            "random": "nothing: any neighbour with equal odds; where the learner starts",
            "greedy": "demand: drives to the busiest neighbour",
            "proportional": "demand: neighbours with odds proportional to it",
            "lp": "the model and a linear programme",
            "threshold_lp": "the model and a linear programme; leaves only as far as there are too many",
            "hybrid_lp": "the model, a linear programme, and two numbers searched on the simulated Manhattan",
        },
        learner_needs="samples, the demand and trip tables, no solver",
        map=MapWords(
            heading="Where taxis wait",
            waiting="free taxis",
            demand=("trips asked for", "per km² in 5 minutes"),
            scale=weight,
            tilt=29.0,  # the avenues lean this far to the east
            orientation="Manhattan, turned so that its avenues point up.",
        ),
    )


def _interleaved(idle: Any, loaded: Any) -> Any:
    """Rows of the two layers ``(B, V, X)`` in the order of the states: ``(B, 2V, X)``."""
    xp = array_api_compat.array_namespace(idle)
    return xp.reshape(xp.stack([idle, loaded], axis=2), (idle.shape[0], -1, idle.shape[2]))


def _on_idle(per_zone: NDArray[Any], layers: int) -> NDArray[Any]:
    """``(V, ...)`` values as ``(S, ...)``: on the idle layer, 0 on the others."""
    table = np.zeros((len(per_zone), layers, *per_zone.shape[1:]), per_zone.dtype)
    table[:, 0] = per_zone
    return table.reshape(-1, *per_zone.shape[1:])


def _weekday(weekday: str | int) -> int:
    """0 = Monday .. 4 = Friday."""
    if isinstance(weekday, str) and weekday.lower() in WEEKDAYS:
        return WEEKDAYS.index(weekday.lower())
    if not isinstance(weekday, str) and is_whole(weekday) and weekday < len(WEEKDAYS):
        return int(weekday)
    meant = did_you_mean(str(weekday).lower(), WEEKDAYS)
    raise ValueError(
        f"weekday must be 'monday' .. 'friday' or 0 .. 4, the days of the data, not {shown(weekday)}{meant}"
    )


def _hours(hour: int | str) -> range:
    """The hours of the day a model goes through."""
    if isinstance(hour, str) and hour == "day":
        return range(24)
    if not isinstance(hour, str) and is_whole(hour) and hour < 24:
        return range(int(hour), int(hour) + 1)
    raise ValueError(
        f"hour must be an integer 0 .. 23 (18 is the hour from 18:00 to 19:00) or 'day', not {shown(hour)}"
    )


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-RideShareNYC-v0")
env = partial(registration.env, "MFNet-RideShareNYC-v0")
