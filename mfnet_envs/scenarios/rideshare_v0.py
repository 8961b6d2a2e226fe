"""``MFNet-RideShare-v0``: a fleet in any city, by the clock.

A fleet serves the zones of a city. Requests for a ride to another zone appear at rates that change with the step; an
idle car that meets one earns the fare and is away until it has driven there; one that does not may wait or drive on
empty. Where to send cars, and when, is the whole question: requests of one hour leave the fleet where the next has
none.

>>> import mfnet_envs
>>> model = mfnet_envs.make_model("MFNet-RideShare-v0")
>>> sorted(model.heuristics())
['equal', 'fluid_plan', 'proportional', 'random', 'stay']

**Cities.** ``city=`` is a file, ``{"file": .., "hour": 8}`` with options of its reader, or a
:class:`mfnet_envs.io.CityData`. Files are read by :func:`mfnet_envs.io.load_city`: a folder with ``zones.csv`` and
``trips.csv``, or RL4AMOD's ``scenario_<city>.json`` (``docs/formats.md``). ``city="manhattan"`` comes with the package:
the 61 taxi zones and the counts of MFNet-RideShareNYC-v0, in its units, by the clock; other hours are ``{"file":
"manhattan", "weekday": "monday", "hour": 7, "hours": 3}``. With ``empty="neighbours"`` and ``repeat=True`` an hour has
the fluid bound of that scenario: 2,698.77 a step at 18 h. Default: a town of six zones in the morning, its centre
and five around it, in 12 steps of 5 minutes. What a reader guessed, dropped or rescaled stands in ``model.notes``.

**States.** Zone x {idle, idle there in k = 1, 2, .. steps}: a car on its way is in the zone it drives to. Only the idle
have a choice, all others are in transit. So a trip of any length is one step between adjacent nodes, and the law is
local on the network whose edges join zones that requests or empty cars go between, often all of them. The crowd a
policy sees is its own zone's idle cars; crowds "within one hop" are nearly the whole city's.

**Actions.** 0 stay, j = drive empty to the j-th other zone (in the city's order), ``empty="any"``; with
``empty="neighbours"`` to the j-th zone that shares a border. An illegal action is played as *stay*.

**Clock and units.** Step t is played with the table of step t; a turn has the T steps of the city. Driving times are
rounded to steps, at least one; a car that leaves at t is idle again at t + time + ``turnaround`` (of the city: 0, with
RL4AMOD 1). ``population`` agents stand for ``fleet`` cars, each for fleet / population of them; demand is in agents.

**Electric fleets.** With ``batteries=b`` a car's charge, 0 .. b levels, is a layer of its zone, full at the start
(:mod:`mfnet_envs.engines.batteries` has the whole law). A drive of d steps uses d b / ``range_steps`` levels, rounded
up or down at random so that the mean is right, and is begun only with charge for the higher number and for the way from
its end to a charger; so no car is ever stranded. Requests call a zone's idle cars, each once, the fullest first; who
has not the charge for the destination stays, and the request is lost. The last action is the switch: *plug in*, which
takes the step, and *unplug*. Of n plugged in at c places (``chargers=``) each gains ``charge_rate`` levels with chance
min(1, c / n), the others wait; who is full is idle again.

**Kernel.** n idle agents of a zone meet D ~ Poisson(rate) requests. ``matching="physical"``: exactly min(n, D) of them
are served, drawn uniformly, and so are the requests, so that a served one's destination has the odds of the demand.
``"independent"``, the paper's form: each is served with probability E min(n, D) / n. ``dearest_first=True``: the
requests of a step are served in falling order of their fare. Of the k dearest destinations E min(n, D_1 + .. + D_k) are
then served in the mean, so an agent goes to the k-th with a chance that is a difference of two of these over n. Drawn
independently that is a mixture of branches, exact in the mean at every crowd, which physical matching would not be.
Requests that find no car are lost.

**Reward (1).** The mean fare of a request that is served less ``cost`` a minute of driving; less ``cost`` a minute for
driving on empty; nothing for staying or on the way. A ride is paid when it begins.

**Horizon.** By default an episode is the T steps once, from an even spread of idle cars, and its profit counts
(``gamma`` next to 1). ``repeat=True`` repeats the turn for ever: the long-run profit per step, gamma .97.

**Bound.** ``bound()`` is the programme of :mod:`mfnet_envs.programmes.fleet_lp`: served in the mean at most E min(n, D)
of the mean crowd. It may refuse requests, as cars may not. No policy, centralised and history-dependent ones included,
has a larger mean profit. It holds for dearest first as well, where it is looser. Electric fleets have
:mod:`mfnet_envs.programmes.charge_lp`. ``bound(fluid=True)`` holds at every population.

**Heuristics.** ``stay``; ``random`` (uniform over legal actions); ``equal`` (cars beyond an even share of the fleet
leave, to anywhere: needs the own crowd alone); ``proportional`` (cars beyond the requests of this step leave, with odds
of the requests elsewhere); ``fluid_plan`` (the flows of the fluid programme as shares, by the clock, each zone on its
own). In an electric fleet all but ``random`` send who has charge for less than half of the requests to charge until the
battery is full.

**Versions.** v0: first release.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import array_api_compat
import numpy as np

from mfnet_envs import registration
from mfnet_envs.arrays import Floats
from mfnet_envs.bounds import Certificate
from mfnet_envs.engines.batteries import Batteries, check_electric
from mfnet_envs.engines.fleet import Drives, Step, branches_of
from mfnet_envs.io.cities import load_city
from mfnet_envs.io.city_data import CityData
from mfnet_envs.matching import ExpectedMin, served_share
from mfnet_envs.model import Branch, LocalModel, Quota, reads
from mfnet_envs.network import StateNetwork
from mfnet_envs.programmes import charge_lp, fleet_lp
from mfnet_envs.programmes.pieces import NOBODY, shares
from mfnet_envs.scenarios._options import checked_scale, drawable, per_node
from mfnet_envs.scenarios._town import town as town
from mfnet_envs.wording import Headline, Wording
from mfnet_envs.words import COUNTABLE, checked_population, non_negative, positive, shown

if TYPE_CHECKING:
    from mfnet_envs.policy import Policy

Matching = Literal["physical", "independent"]
ONCE, FOR_EVER = 1 - 1e-6, 0.97  # discount factors
LONG = 200  # steps of a warm-up, and of what counts after it, at least
UNIT = {False: "profit per episode", True: "profit per step at full scale"}


class RideShare(LocalModel):
    """The model.

    Args:
        city: its data, a file of them, "manhattan", or ``{"file": .., "hour": 8}`` with options of its reader; default:
            the town.
        fleet: cars; default: as many as the data say.
        population: agents; default: one for each car.
        matching: "physical" or "independent"; default: "independent" with ``dearest_first``, else "physical".
        dearest_first: serve the requests of a step in falling order of their fare.
        empty: "any", or "neighbours" for empty drives to zones that share a border only.
        repeat: repeat the turn for ever, instead of once.
        cost: of a minute's driving; default: the city's.
        demand_scale: times the requests of the data.
        gamma: discount factor; default: next to 1, or .97 with ``repeat``.
        batteries: levels of a full battery, at least 2, for an electric fleet; default: cars never run low.
        range_steps: steps of driving on a full battery; default: as many of the longest drives as it has levels.
        chargers: places to charge of each zone, in cars: a number, a list, a dict by zone; default: one for each car.
        charge_rate: levels a step that a car gains at a place; default 1.

    Attributes:
        batteries: charge as layers; None where cars never run low.
        city: its data; fleet: cars; weight: cars an agent.
        turn: the models of the T steps; itself where one step repeats for ever.
        offers: what is asked for and driven in the step (of the first one, for the whole).

    Raises:
        ValueError: an argument out of its range, with the range. NetworkFileError: a bad city file.
    """

    law_methods = (*LocalModel.law_methods, "_served")

    def __init__(
        self,
        city: CityData | str | os.PathLike[str] | Mapping[str, Any] | None = None,
        fleet: float | None = None,
        population: int | None = None,
        matching: Matching | None = None,
        dearest_first: bool = False,
        empty: Literal["any", "neighbours"] = "any",
        repeat: bool = False,
        cost: float | None = None,
        demand_scale: float = 1.0,
        gamma: float | None = None,
        batteries: int | None = None,
        range_steps: float | None = None,
        chargers: float | Sequence[float] | Mapping[Any, float] | None = None,
        charge_rate: float | None = None,
    ) -> None:
        self.city = city = _scaled(_city(city), demand_scale)
        check_electric(batteries, matching, dearest_first, range_steps, chargers, charge_rate)
        if matching == "physical" and dearest_first:
            raise ValueError("dearest_first=True has no exact law of crowds under matching='physical': leave that out")
        self.fleet = _fleet(fleet, city)
        if population is None and self.fleet > COUNTABLE:
            raise ValueError(f"fleet={shown(fleet)} is more cars than can be agents one by one: say population=")
        population = checked_population(round(self.fleet) if population is None else population)
        self.weight, self.repeat, self.dearest_first = self.fleet / population, repeat, dearest_first
        if cost is not None:
            non_negative(cost=cost)
        drives = Drives(city, empty, (city.cost if cost is None else float(cost)) * city.step)
        by_target, zones = dearest_first or batteries is not None, len(city.zones)
        steps = [drives.step(t, self.weight, by_target) for t in range(len(city.demand))]
        drawable("fleet", self.fleet, steps[0].rate)
        layers, graph = drives.longest(steps), drives.network(steps)
        physical = not by_target and matching != "independent"
        self.batteries = charge = None
        if batteries is not None:
            places = np.full(zones, float(population))
            if chargers is not None:
                places = per_node("chargers", chargers, StateNetwork(graph)) / self.weight
            self.batteries = charge = Batteries(drives, layers, batteries, range_steps, charge_rate, places)
            layers, graph.graph["layers"] = charge.layers, charge.names
        self._set(steps[0])
        super().__init__(
            network=StateNetwork(graph, layers),
            population=population,
            num_actions=drives.legal.shape[1] + (charge is not None),
            branches=self._branches(layers),
            reward_range=(
                min(float(min(-step.cost[step.legal].max(), step.pay.min())) for step in steps),
                max(float(max(0.0, step.pay.max())) for step in steps),
            ),
            legal=_on_idle(drives.legal, layers, first=True) if charge is None else charge.legal,
            initial=_on_idle(np.full(zones, 1 / zones), layers) if charge is None else charge.initial,
            groups=np.minimum(np.arange(layers), 1) if charge is None else charge.groups,
            quota=Quota(0, _on_idle(steps[0].rate.sum(1), layers)) if physical else None,
            gamma=(FOR_EVER if repeat else ONCE) if gamma is None else gamma,
            evaluation=(2 * _long(steps), _long(steps)) if repeat else (len(steps), 0),
            kernel_reads="own",
            reference_counts=self._usual(np.mean([step.rate.sum(1) for step in steps], 0), layers, population),
            transit=np.tile(np.arange(layers) > 0 if charge is None else charge.transit, zones),
        )
        self.episode_steps = None if repeat else len(steps)
        self.notes = (*city.notes, *drives.notes)
        self.wording = _wording(city, self.fleet, self.weight, repeat, charge is not None)
        self._plans: dict[bool, fleet_lp.Flows] = {}
        if len(steps) > 1 or not repeat:
            self.period = len(steps)
        self._take_turns([self._phase(step, layers) for step in steps])
        if charge is not None:
            self.notes += charge.notes([phase._rides for phase in self.turn])

    def at(self, t: int) -> RideShare:
        """The model of step t; itself where one step repeats."""
        return self if self.period is None else self.turn[t % self.period]

    def _take_turns(self, phases: list[RideShare]) -> None:
        self.turn: tuple[RideShare, ...] = (self,) if self.period is None else tuple(phases)
        for phase in self.turn:
            phase.turn = self.turn

    def _set(self, step: Step) -> None:
        """What the own crowd is served by: the offers of a zone, those of dearer destinations first."""
        self.offers = step
        if self.batteries is None:
            self._ahead = np.cumsum(step.rate, 1)
            self._phi: ExpectedMin | None = ExpectedMin(self._ahead.reshape(-1))
        else:
            self._rides = self.batteries.rides(step)
            self._phi = ExpectedMin(self._rides.rate)

    def _phase(self, step: Step, layers: int) -> RideShare:
        """The same city with the offers of another step."""
        phase = copy.copy(self)
        phase._set(step)
        phase.branches = phase._branches(layers)
        phase.reference_counts = self._usual(step.rate.sum(1), layers, self.population)
        phase.quota = None if self.quota is None else Quota(0, phase.reference_counts)
        return phase

    def _branches(self, layers: int) -> tuple[Branch, ...]:
        electric = self.batteries
        return branches_of(self.offers, layers) if electric is None else electric.branches(self._rides)

    def _usual(self, rate: Floats, layers: int, population: int) -> Floats:
        """``(S,)`` agents of a normal crowd, from the requests of zones ``(V,)``."""
        electric = self.batteries
        return _on_idle(rate, layers) if electric is None else electric.usual(rate, population)

    def branch_weights(self, mu_hood: Any) -> Any:
        """(2): served by class of offer, the rest drives; ``(B, R, 1, K + 1)``."""
        xp = array_api_compat.array_namespace(mu_hood)
        if self.batteries is not None:
            return self.batteries.weights(self.population * mu_hood[:, :, 0], self._rides, self._phi)
        served = self._served(mu_hood)
        rest = 1 - xp.sum(served, axis=-1, keepdims=True)
        return xp.concat([served, xp.where(rest > 0, rest, 0 * rest)], axis=-1)[:, :, None]

    def branch_rewards(self) -> Floats:
        """The mean pay of an offer, the cost of driving on empty; ``(R, A, K + 1)``."""
        if self.batteries is not None:
            return self.batteries.rewards(self.offers, self._rides)
        pay = np.broadcast_to(self.offers.pay[:, None], (*self.offers.cost.shape, self.offers.pay.shape[1]))
        return np.concatenate([pay, -self.offers.cost[..., None]], 2)

    def fluid(self) -> RideShare:
        """The same city with a continuum of cars: min(n, rate) are served."""
        limit, *phases = (copy.copy(model) for model in (self, *self.turn))
        for model in (limit, *phases):
            model._phi, model.quota = None, None
        limit._take_turns(phases)
        return limit

    @property
    def headline(self) -> Headline:
        return Headline("average", UNIT[self.repeat], self.fleet * (1 if self.repeat else len(self.city.demand)))

    @reads("branch_rewards")
    def bound(self, fluid: bool = False) -> Certificate:
        """The programme's value at full scale; ``fluid=True`` for every population at once."""
        fluid = fluid or self._phi is None
        plan, steps = self._plan(fluid), len(self.city.demand)
        return Certificate(
            value=plan.value * self.weight / (steps if self.repeat else 1),
            criterion="average",
            unit=UNIT[self.repeat],
            kind="lp",
            horizon=None if self.repeat else steps,
            gap=max(1e-7, plan.gap),
            assumption="every policy, centralised ones included, "
            + f"on {'the long run' if self.repeat else 'an episode'}; "
            + ("any population" if fluid else f"population {self.population}"),
        )

    def heuristics(self) -> dict[str, Policy]:
        """Simplest first; the last one solves the fluid programme."""
        from mfnet_envs.heuristics import ByTheClock, ThresholdPolicy
        from mfnet_envs.policy import TablePolicy, uniform, weighted

        zones = len(self.city.zones)
        choose = self.team_states * zones // self.network.num_states  # zones that cars may leave on empty
        rows = np.searchsorted(self.active, self.team_states)
        leave = self.legal[self.team_states].astype(float)
        told, stay = np.zeros(len(rows), bool), np.eye(1, self.num_actions).repeat(len(rows), 0)
        if self.batteries is not None:  # the switch is for those whom the rule tells to
            leave[:, -1] = 0
            told, rule = (x[rows] for x in self.batteries.rule([phase._rides for phase in self.turn]))
            stay = np.where(told[:, None], rule, stay)
        leave[:, 0] = leave.sum(1) == 1
        plan, drives = self._plan(True), self.offers.empty.shape[1]

        def threshold(phase: RideShare, table: Floats, places: Floats) -> Policy:
            table, places = np.where(told[:, None], stay, table), np.where(told, 0.0, places)
            if self.batteries is not None:
                return self.batteries.threshold(phase, table, places)
            policy = ThresholdPolicy(phase, table, keep=1.0)
            policy.places = places
            return policy

        even = threshold(self, leave / leave.sum(1, keepdims=True), np.full(len(choose), self.population / zones))
        toward, followed = [], []
        for t, phase in enumerate(self.turn):
            rate, odds = phase.offers.rate.sum(1), np.zeros(leave.shape)
            odds[:, :drives] = rate[phase.offers.empty[choose]] * leave[:, :drives]
            odds[odds.sum(1) == 0, 0] = 1.0
            toward.append(threshold(phase, weighted(phase, odds).table[0], rate[choose]))
            flows = plan.sent[t, rows]
            followed.append(TablePolicy(phase, np.where(flows.sum(1, keepdims=True) > NOBODY, shares(flows), stay)))
        return {
            "stay": TablePolicy(self, stay),
            "random": uniform(self),
            "equal": even,
            "proportional": ByTheClock(self, toward) if self.period else toward[0],
            "fluid_plan": ByTheClock(self, followed) if self.period else followed[0],
        }

    def _served(self, mu_hood: Any) -> Any:
        """The chances of each class of offer at the zone's own idle crowd; ``(B, V, K)``."""
        xp = array_api_compat.array_namespace(mu_hood)
        zones, classes = self._ahead.shape
        n = self.population * mu_hood[:, :, 0, :1]
        wide = xp.reshape(xp.broadcast_to(n, (*n.shape[:2], classes)), (len(n), -1))
        ahead = xp.reshape(served_share(self._phi, wide, self._ahead.reshape(-1)), (len(n), zones, classes))
        each = xp.concat([ahead[..., :1], ahead[..., 1:] - ahead[..., :-1]], axis=-1)
        return xp.where(each > 0, each, 0 * each)

    @reads("branch_rewards")
    def _plan(self, fluid: bool) -> fleet_lp.Flows:
        """Solved once; ``_plans`` may be shared with the limit, whose plan is the fluid one."""
        if fluid not in self._plans and self.batteries is not None:
            laws = [charge_lp.ElectricStep(phase, phase._rides, self.batteries.places) for phase in self.turn]
            start = self.population * self.initial[self.active]
            self._plans[fluid] = charge_lp.solve(laws, start, fluid=fluid, repeat=self.repeat)
        elif fluid not in self._plans:
            steps = [phase._priced() for phase in self.turn]
            start = self.population * self.initial.reshape(len(self.city.zones), -1)[:, 0]
            self._plans[fluid] = fleet_lp.solve(steps, start, fluid=fluid, repeat=self.repeat)
        return self._plans[fluid]

    def _priced(self) -> Step:
        """For the programme: the offers as :meth:`branch_rewards` pays them now."""
        rewards = self.branch_rewards()
        legal = np.where(self.offers.legal[..., None], rewards, -np.inf)
        return self.offers._replace(pay=legal[..., :-1].max(1), cost=-rewards[..., -1])


build = RideShare


def _on_idle(per_zone: Any, layers: int, first: bool = False) -> Any:
    """``(V, ...)`` values as ``(S, ...)``: on the idle layer, 0 on the others, but True in their ``first`` column."""
    table = np.zeros((len(per_zone), layers, *per_zone.shape[1:]), per_zone.dtype)
    if first:
        table[..., 0] = True
    table[:, 0] = per_zone
    return table.reshape(-1, *per_zone.shape[1:])


def _long(steps: list[Step]) -> int:
    """Whole turns of at least LONG steps."""
    return len(steps) * math.ceil(LONG / len(steps))


def _city(city: Any) -> CityData:
    """The data themselves, those of a file, or of a file with options of its reader, or the town's."""
    if city is None:
        return town()
    if isinstance(city, CityData):
        return city
    if isinstance(city, str | os.PathLike):
        return load_city(city)
    if isinstance(city, Mapping) and "file" in city and all(isinstance(key, str) for key in city):
        return load_city(city["file"], **{name: value for name, value in city.items() if name != "file"})
    raise ValueError(
        f'city must be a path, {{"file": path, "hour": 8}} with options of its reader, or a CityData, not {shown(city)}'
    )


def _scaled(city: CityData, demand_scale: float) -> CityData:
    """The city with ``demand_scale`` times its requests."""
    checked_scale(demand_scale)
    if demand_scale == 1:
        return city
    said = f"the requests are multiplied by {demand_scale:.6g}"
    return replace(city, demand=demand_scale * city.demand, notes=(*city.notes, said))


def _fleet(fleet: float | None, city: CityData) -> float:
    if fleet is None and city.cars is None:
        raise ValueError(f"the data of {city.name} name no fleet; say fleet=, the number of cars")
    found = city.cars if fleet is None else fleet
    positive(fleet=found)
    if not found >= 1:  # type: ignore[operator]
        raise ValueError(f"fleet must be at least one car, not {shown(found)}")
    return float(found)  # type: ignore[arg-type]


def _wording(city: CityData, fleet: float, weight: float, repeat: bool, electric: bool) -> Wording:
    cars = "cars" if weight == 1 else f"agents for {fleet:,.0f} cars"
    last = city.start + len(city.demand) * city.step
    hours = f"{city.start // 60}:{city.start % 60:02} to {int(last // 60)}:{int(last % 60):02}"
    return Wording(
        agents=cars,
        place=f"{city.name}, {hours}{', for ever' if repeat else ''}",
        labels={"fluid_plan": "fluid plan"},
        needs={
            "stay": "its charge: moves to be charged only" if electric else "nothing: never moves",
            "random": "nothing: anywhere with equal odds; where the learner starts",
            "equal": "the own zone's cars and the size of the fleet",
            "proportional": "the own zone's cars and everybody's demand",
            "fluid_plan": "the model and a linear programme; the clock",
        },
        learner_needs="samples, the clock, the own zone's demand, by which it scales its crowd; no solver",
    )


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-RideShare-v0")
env = partial(registration.env, "MFNet-RideShare-v0")
