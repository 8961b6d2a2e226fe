"""Experiment (vii): the return of N agents against the limit of infinitely many, and which policies have such a limit.

Two games of the demand scenario carry the first part. In the first the mean-field path keeps clear of the kink of
min(n, rate), in the second it stands on it, so that the worst rate the theory allows is attained. The second part
compares classes of team policies with the same energy (reading 13): with fixed temperature (14) does not
concentrate, and a team of any size goes on throwing dice together.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mfnet_agents.nets import DTYPE, TwoLayer
from mfnet_agents.policies.energy import EnergyPolicy
from mfnet_agents.policies.individual import IndividualPolicy, LearnedPolicy
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.evaluate import returns
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.scenarios import grid_v0
from mfnet_envs.simulator import Simulator
from mfnet_theory import pictures
from mfnet_theory.statement import Experiment, Settings, Statement, Table, judged

TITLE = "The return of N agents and its limit"
GAMMA, STEPS = 0.8, 50  # every return here is a sum of 50 discounted rewards
ENUMERATED = (5, 10, 20, 40)
SIMULATED = (100, 316, 1_000, 3_162, 10_000)
TEAM_SIZES = (6, 25, 100, 400)  # all compositions of 400 agents over two actions are still enumerated
HEAT = 2.0  # tau, or tau0 where it is per agent
ERRORS = 5.0  # standard errors
CLASSES = {"individual": "(5)", "tilted": "tilted", "per_agent": "(14), tau = tau0 n", "fixed": "(14), tau fixed"}


# -- policies of the share of agents


class OfShare(Policy):
    """An individual policy (3) that is a Lipschitz function of mu(s), the same function whatever N."""

    def teams(self, counts: Ints, t: int) -> Floats:
        return self.at(counts[:, self.model.team_states] / self.model.population)

    @abstractmethod
    def at(self, mu: Floats) -> Floats:
        """``(B, T)`` shares -> pi ``(B, T, A)``."""


class Spreading(OfShare):
    """Leaves with probability mu(s), for a neighbour drawn in proportion to its demand."""

    def __init__(self, model: grid_v0.Grid) -> None:
        super().__init__(model)
        ahead = np.where(model.legal, model.demand[model.moves], 0.0)[model.team_states]
        ahead[:, 0] = 0
        self.onward: Floats = ahead / ahead.sum(1, keepdims=True)

    def at(self, mu: Floats) -> Floats:
        leaving = mu[..., None]
        pi: Floats = (1 - leaving) * np.eye(self.model.num_actions)[0] + leaving * self.onward
        return pi


class Anywhere(OfShare):
    """Every action with the same probability."""

    def at(self, mu: Floats) -> Floats:
        return np.full((*mu.shape, self.model.num_actions), 1 / self.model.num_actions)


@dataclass(frozen=True)
class Case:
    """A game for every N, with one policy."""

    name: str
    edges: tuple[tuple[int, int], ...]
    demand: tuple[float, ...]
    total: float
    kind: type[Any]

    def model(self, agents: int) -> grid_v0.Grid:
        return demand_game(self.edges, self.demand, self.total, agents)

    def policy(self, agents: int) -> OfShare:
        policy: OfShare = self.kind(self.model(agents))
        return policy


CASES = (
    Case("clear of the kink", ((0, 1), (1, 2)), (0.1, 0.1, 1.0), 0.7, Spreading),
    Case("on the kink", ((0, 1), (1, 2), (0, 2)), (1.0, 1.0, 1.0), 1.0, Anywhere),
)


def demand_game(edges: Sequence[tuple[int, int]], demand: Sequence[float], total: float, agents: int) -> grid_v0.Grid:
    """N agents with the same demand for each of them, whatever N."""
    return grid_v0.build(
        agents, graph=edges, demand=demand, total_demand=total, gamma=GAMMA, horizon=STEPS, matching="independent"
    )


# -- returns


@dataclass(frozen=True)
class Point:
    """J of N agents; ``error``, its standard error, is 0 where it is computed; ``deviation``: of one world's return."""

    agents: int
    value: float
    error: float = 0.0
    deviation: float = math.nan


def run(settings: Settings) -> Experiment:
    """The sweep over N for individual policies, then for classes of team policies."""
    worlds = 1_000 if settings.quick else 8_000
    settings.say("  individual policies: enumeration, simulation, the limit ...")
    sweeps = [[*_enumerated(case), *_simulated(case, worlds, settings.seed)] for case in CASES]
    limits = [limit(case.policy(1)) for case in CASES]
    settings.say("  classes of team policies ...")
    classes = {kind: class_sweep(kind, worlds // 2, settings.seed) for kind in CLASSES}
    ends = {kind: class_limit(kind, worlds, settings.seed) for kind in CLASSES}
    lines = (
        *(_bounded(*found) for found in zip(CASES, sweeps, limits, strict=True)),
        _attained(CASES[1], sweeps[1], limits[1]),
        *(_deviation(*found) for found in zip(CASES, sweeps, strict=True)),
        *(_settles(kind, classes[kind], ends[kind]) for kind in CLASSES if kind != "fixed"),
        _unsettled(classes["fixed"], ends["fixed"]),
    )
    tables = {"returns": _table(sweeps, limits), "classes": _class_table(classes, ends)}
    figures = ((GAPS, _gap_picture(sweeps, limits)), (TEAMS, _class_picture(classes, ends)))
    return Experiment("population", TITLE, TEXT, lines, tables, figures)


def _enumerated(case: Case) -> list[Point]:
    points = []
    for agents in ENUMERATED:
        game = ExactGame(case.model(agents))
        values = game.state_values(case.policy(agents), STEPS).sum(1)
        points.append(Point(agents, float(game.expected(values))))
    return points


def _simulated(case: Case, worlds: int, seed: int) -> list[Point]:
    return [sampled(case.policy(agents), worlds, seed) for agents in SIMULATED]


def sampled(policy: Policy, worlds: int, seed: int) -> Point:
    """J by simulation, with a stream of its own for every N."""
    agents = policy.model.population
    rewards = returns(policy.model, policy, worlds=worlds, seed=100_003 * (seed + 1) + agents, steps=STEPS)
    worth = rewards @ GAMMA ** np.arange(STEPS)
    deviation = float(worth.std(ddof=1))
    return Point(agents, float(worth.mean()), deviation / math.sqrt(worlds), deviation)


def limit(policy: OfShare) -> float:
    """J of infinitely many agents: shares move by their expectations, phi(n) = min(n, rate)."""
    return float(followed(policy.model, policy.at, 1)[0])


def followed(model: LocalModel, at: Any, worlds: int) -> Floats:
    """Returns ``(worlds,)`` of shares that follow ``at(mu (B, T)) -> pi (B, T, A)`` without sampling of agents."""
    simulator, worth = Simulator(model), np.zeros(worlds)
    mu = np.repeat(model.initial[None], worlds, 0)
    for t in range(STEPS):
        mu, rewards = simulator.mean_field_step(mu, at(mu[:, model.team_states]))
        worth += GAMMA**t * rewards.sum(1)
    return worth


def slope(x: Sequence[float], y: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """d log y / d log x by least squares, and its standard error from those of y, ``errors``."""
    centred = np.log(x) - np.log(x).mean()
    weights = centred / (centred**2).sum()
    return float(weights @ np.log(y)), float(np.sqrt((weights**2 * (np.asarray(errors) / y) ** 2).sum()))


# -- statements of the first part


def _gaps(points: Sequence[Point], end: float) -> list[Point]:
    """|J_N - J|, where it is not lost in its own standard error."""
    gaps = [Point(p.agents, abs(p.value - end), p.error) for p in points]
    return [p for p in gaps if p.value > ERRORS * p.error]


def _slope_of(points: Sequence[Point]) -> tuple[float, float]:
    return slope([p.agents for p in points], [p.value for p in points], [p.error for p in points])


def _bounded(case: Case, points: Sequence[Point], end: float) -> Statement:
    """sqrt(N) |J_N - J| stays where it is among the enumerated N."""
    gaps = _gaps(points, end)
    found, error = _slope_of(gaps)
    constant = max(math.sqrt(p.agents) * abs(p.value - end) for p in points if not p.error)
    roots = [(math.sqrt(p.agents), p) for p in points if p.error]
    scaled = [(root * abs(p.value - end), root * ERRORS * p.error) for root, p in roots]
    largest, noise = max(scaled, key=lambda pair: pair[0] - pair[1])
    return judged(
        f"O(1/sqrt N), mean-field path {case.name}",
        "|J_N - J| <= C / sqrt(N) for a Lipschitz individual policy",
        f"sqrt(N) |J_N - J| at most {constant:.3f} for N = {ENUMERATED[0]}..{ENUMERATED[-1]} (enumerated), "
        f"{largest:.3f} +- {noise:.3f} for N = {SIMULATED[0]}..{SIMULATED[-1]:,}; "
        f"slope of log gap on log N {found:.3f} +- {ERRORS * error:.3f} over N = {gaps[0].agents}..{gaps[-1].agents:,}",
        f"C 5 % above the enumerated one, slope <= -0.4; at {ERRORS:g} standard errors (smaller gaps are left out)",
        found - ERRORS * error <= -0.4 and largest - noise <= 1.05 * constant,
    )


def _attained(case: Case, points: Sequence[Point], end: float) -> Statement:
    found, error = _slope_of(_gaps(points, end))
    last, constant = points[-1], kink_constant(case.model(1))
    scaled, noise = math.sqrt(last.agents) * (end - last.value), ERRORS * math.sqrt(last.agents) * last.error
    return judged(
        "O(1/sqrt N) cannot be improved",
        f"where every node has exactly as many agents as riders, sqrt(N) (J - J_N) tends to {constant:.4f}",
        f"{scaled:.4f} +- {noise:.4f} at N = {last.agents:,}; slope {found:.3f} +- {ERRORS * error:.3f}",
        f"1 % and {ERRORS:g} standard errors; slope -0.5 +- 0.05",
        abs(scaled - constant) <= 0.01 * constant + noise and abs(found + 0.5) <= 0.05,
    )


def kink_constant(model: grid_v0.Grid) -> float:
    """The limit of sqrt(N) (J - J_N) for agents spread uniformly over V equal nodes, total demand 1.

    n ~ Binomial(N, 1/V) and D ~ Poisson(N/V) are independent, n - D has variance N (2/V - 1/V^2), and the unserved are
    V E (n - D)^+ = V sqrt(variance / (2 pi)). Each loses the fare, and the cost of the move it then makes.
    """
    v = model.network.num_nodes
    unserved = v * math.sqrt((2 / v - 1 / v**2) / (2 * math.pi))
    lost = model.fare + model.move_cost * (1 - 1 / model.num_actions)
    return unserved * lost * (1 - GAMMA**STEPS) / (1 - GAMMA)


def _deviation(case: Case, points: Sequence[Point]) -> Statement:
    seen = [p for p in points if p.error]
    found = _deviation_slope(seen)
    return judged(
        f"Worlds agree as N grows, {case.name}",
        "the deviation of the return over worlds falls like 1/sqrt(N)",
        f"{seen[0].deviation:.4f} at N = {seen[0].agents}, {seen[-1].deviation:.5f} at N = {seen[-1].agents:,}: "
        f"slope {found:.3f}",
        "-0.5 +- 0.1",
        abs(found + 0.5) <= 0.1,
    )


def _deviation_slope(points: Sequence[Point]) -> float:
    return slope([p.agents for p in points], [p.deviation for p in points], [0.0] * len(points))[0]


# -- the second part: one energy, four classes


def target(mu: Floats) -> Floats:
    """The share of a team that should move: a tenth, and more in a crowd."""
    share: Floats = 0.1 + 0.5 * mu
    return share


def energy_net(teams: int) -> TwoLayer:
    """f(mu, h) = -|h_move - target(mu)| as a network (13) of two neurons, relu(x) + relu(-x) = |x|.

    Inputs are (mu, h_stay, h_move); since h sums to 1, x = 0.9 h_move - 0.1 h_stay - 0.5 mu.
    """
    x = math.sqrt(2) * torch.tensor([-0.5, -0.1, 0.9], dtype=DTYPE)
    start = torch.stack([x, -x], 1).expand(teams, 3, 2).clone()
    return TwoLayer(-torch.ones((teams, 2), dtype=DTYPE), start)


def class_game(agents: int) -> grid_v0.Grid:
    """Two nodes and two actions, stay and move."""
    return demand_game([(0, 1)], (1.0, 2.0), 0.7, agents)


def class_policy(kind: str, agents: int) -> LearnedPolicy:
    """The same energy in one of the ``CLASSES``."""
    model = class_game(agents)
    net = energy_net(len(model.team_states))
    if kind == "individual":
        return IndividualPolicy(model, net, "share", HEAT)
    return EnergyPolicy(model, net, "share", HEAT, tilted=kind == "tilted", per_agent=kind == "per_agent")


def class_sweep(kind: str, worlds: int, seed: int) -> list[Point]:
    return [sampled(class_policy(kind, agents), worlds, seed) for agents in TEAM_SIZES]


def limit_share(kind: str, mu: Floats, rng: np.random.Generator) -> Floats:
    """What share of an infinite team moves, ``(B, T)``: one number, or for "fixed" a draw.

    individual: softmax of the energies of the two actions. per_agent: the argmax of f. tilted: that of entropy plus
    tau0 f, the same where |logit| stays below tau0. fixed: the density exp(-tau |h - target|) on [0, 1].
    """
    middle: Floats = target(mu)
    if kind == "individual":
        return logistic(HEAT * (2 * middle - 1))
    if kind == "tilted":
        return np.clip(middle, logistic(np.array(-HEAT)), logistic(np.array(HEAT)))
    if kind == "per_agent":
        return np.clip(middle, 0.0, 1.0)
    below, above = -np.expm1(-HEAT * middle), -np.expm1(-HEAT * (1 - middle))
    place = rng.random(mu.shape) * (below + above) - below  # mass between the middle and the draw, with its sign
    drawn: Floats = middle - np.sign(place) * np.log1p(-np.abs(place)) / HEAT
    return drawn


def logistic(x: Floats) -> Floats:
    share: Floats = 1 / (1 + np.exp(-x))
    return share


def class_limit(kind: str, worlds: int, seed: int) -> Point:
    """The return of infinitely many agents; for "fixed" its mean and deviation over draws of the teams."""
    rng = np.random.default_rng([seed, 13])

    def at(mu: Floats) -> Floats:
        moving = limit_share(kind, mu, rng)
        return np.stack([1 - moving, moving], -1)

    worth = followed(class_game(1), at, worlds if kind == "fixed" else 1)
    deviation = float(worth.std(ddof=1)) if kind == "fixed" else 0.0
    return Point(0, float(worth.mean()), deviation / math.sqrt(len(worth)), deviation)


def _settles(kind: str, points: Sequence[Point], end: Point) -> Statement:
    found, last = _deviation_slope(points[1:]), points[-1]  # the smallest teams are not on their way yet
    gaps = [abs(p.value - end.value) for p in points]
    nearer = gaps[-1] <= gaps[0] / 2 + ERRORS * last.error
    return judged(
        f"Reading 13, class {CLASSES[kind]}",
        "the team's law concentrates: a deterministic limit, worlds that agree like 1/sqrt(N)",
        f"gap to the limit {end.value:.4f} from {gaps[0]:.4f} at N = {points[0].agents} to {gaps[-1]:.4f} +- "
        f"{ERRORS * last.error:.4f} at N = {last.agents}; deviation over worlds {last.deviation:.4f} there, "
        f"slope {found:.3f} from N = {points[1].agents}",
        "slope -0.5 +- 0.15; gap at least halved",
        abs(found + 0.5) <= 0.15 and nearer,
    )


def _unsettled(points: Sequence[Point], end: Point) -> Statement:
    last = points[-1]
    return judged(
        f"Reading 13, class {CLASSES['fixed']}",
        "the team's law does not concentrate: its common dice are still thrown at N = infinity",
        f"deviation over worlds {points[0].deviation:.4f} at N = {points[0].agents}, {last.deviation:.4f} at N = "
        f"{last.agents}, {end.deviation:.4f} in the limit; mean {last.value:.4f}, {end.value:.4f} in the limit",
        "the deviation never falls below 0.8 of the limit's",
        all(p.deviation >= 0.8 * end.deviation for p in points),
    )


# -- page

TEXT = (
    f"Returns are sums of {STEPS} discounted rewards, gamma = {GAMMA:g}; demand per agent is the same for every N. J "
    "is the return of the mean-field path, with phi(n) = min(n, rate). Up to N = 40 the return is enumerated, beyond "
    "it is simulated.\n\n"
    "Three nodes in a line, one of them busy, and agents who leave with probability mu(s): where the path keeps clear "
    "of the kink of min(n, rate) the gap falls faster than 1/sqrt(N). A triangle in which every node has exactly as "
    "many agents as riders stands on the kink, and there the rate is attained.\n\n"
    "Two nodes and two actions, one energy -|h_move - (0.1 + 0.5 mu)|, four classes of team policies. (14) has a "
    "counting base measure: with tau fixed, h has a density in the limit, however large the team."
)
GAPS = (
    "Left: distance of the return of N agents from its limit; filled marks are enumerated, open ones simulated, with "
    "95 % intervals; simulated gaps below 5 standard errors are left out. Right: deviation of the return over worlds."
)
TEAMS = (
    "The same energy in four classes: the return of N agents (bars: 95 % intervals) with its limit as a dashed line of "
    "the same colour, and its deviation over worlds. (14) with fixed tau ends on the dashed line of its common dice."
)


def _table(sweeps: Sequence[Sequence[Point]], limits: Sequence[float]) -> Table:
    rows = [
        (case.name, p.agents, p.value, p.error, p.deviation, end, p.value - end)
        for case, points, end in zip(CASES, sweeps, limits, strict=True)
        for p in points
    ]
    return Table(("game", "agents", "J", "standard_error", "deviation", "limit", "gap"), rows)


def _class_table(classes: dict[str, list[Point]], ends: dict[str, Point]) -> Table:
    rows = [
        (CLASSES[kind], p.agents or "infinite", p.value, p.error, p.deviation)
        for kind, points in classes.items()
        for p in [*points, ends[kind]]
    ]
    return Table(("class", "agents", "J", "standard_error", "deviation"), rows)


def _guide(axis: Any, x: Sequence[int], through: float) -> None:
    """A line of slope -1/2."""
    n = np.array([x[0], x[-1]], float)
    axis.plot(n, through * np.sqrt(n[0] / n), "--", color=pictures.CLAIMED, lw=1.3, label="1/sqrt(N)")


def _gap_picture(sweeps: Sequence[Sequence[Point]], limits: Sequence[float]) -> Any:
    figure, (gap, deviation) = pictures.panels(2, height=3.7)
    looks = ((pictures.MEASURED, "o"), (pictures.PRINTED, "s"))
    for case, points, end, (color, marker) in zip(CASES, sweeps, limits, looks, strict=True):
        for p in _gaps(points, end):
            face = "white" if p.error else color
            gap.errorbar(p.agents, p.value, 1.96 * p.error, fmt=marker, color=color, mfc=face, ms=5.5, capsize=3)
        seen = [p for p in points if p.error]
        deviation.plot([p.agents for p in seen], [p.deviation for p in seen], marker, ls="-", color=color, ms=5.5)
        gap.plot([], [], marker, color=color, ms=5.5, label=case.name)
    _guide(gap, (*ENUMERATED, *SIMULATED), 1.5 * _gaps(sweeps[1], limits[1])[0].value)
    _guide(deviation, SIMULATED, 1.5 * max(points[len(ENUMERATED)].deviation for points in sweeps))
    for axis, name in ((gap, "|J_N - J|"), (deviation, "deviation over worlds")):
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("N, agents")
        axis.set_ylabel(name)
    pictures.legend(figure, gap)
    return figure


def _class_picture(classes: dict[str, list[Point]], ends: dict[str, Point]) -> Any:
    figure, (value, deviation) = pictures.panels(2, height=3.7)
    looks = ((pictures.OTHER, "s"), (pictures.WORDS, "^"), (pictures.MEASURED, "o"), (pictures.PRINTED, "D"))
    for (kind, points), (color, marker) in zip(classes.items(), looks, strict=True):
        n = [p.agents for p in points]
        bars = [1.96 * p.error for p in points]
        value.errorbar(n, [p.value for p in points], bars, color=color, marker=marker, ms=5, capsize=3, lw=1.6)
        value.axhline(ends[kind].value, color=color, ls="--", lw=1.1)
        deviation.plot(n, [p.deviation for p in points], marker=marker, color=color, ms=5, lw=1.6, label=CLASSES[kind])
    deviation.axhline(ends["fixed"].deviation, color=pictures.PRINTED, ls="--", lw=1.1)
    deviation.set_yscale("log")
    for axis, name in ((value, "J"), (deviation, "deviation over worlds")):
        axis.set_xscale("log")
        axis.set_xlabel("N, agents")
        axis.set_ylabel(name)
    pictures.legend(figure, deviation)
    return figure
