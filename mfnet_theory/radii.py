"""The two radii: what an exact gradient that is cut off at (k, kappa) makes of a policy when it is followed.

No sampling and no critics are involved. A gradient is that of the practical mode in expectation, with V critics on
mu(N_y^k) at the fixed point of TD(lambda) and their advantages summed over N_s^kappa; it is exact for the whole graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.exact import Evaluation, ExactGame, IndividualTable
from mfnet_envs.model import LocalModel
from mfnet_envs.scenarios import grid_v0
from mfnet_theory import pictures
from mfnet_theory.statement import Settings, Statement, Table, judged

Radius = tuple[int, int]
LAMBDA = 0.8  # of the practical mode; its restart chain cuts with probability 1 - gamma, hence gamma lambda below
STEP = 3.0  # of a natural gradient step: logits move by STEP times the advantages of the actions
EVERY = 2  # steps between two points of a path
LAYOUTS: dict[str, list[float]] = {
    "demand doubles from node to node": [1, 2, 4, 8, 16],
    "one busy end": [0.02, 0.02, 0.02, 0.02, 1],
    "busy middle": [0.02, 0.02, 1, 0.02, 0.02],
    "two busy ends": [1, 0.02, 0.02, 0.02, 1],
    "all alike": [1, 1, 1, 1, 1],
}


@dataclass(frozen=True)
class Path:
    """What a policy went through while a gradient was followed, at every ``EVERY``-th step.

    Attributes:
        radius: (k, kappa) of the gradient that was followed.
        steps: ``(L,)``; values: ``(L,)`` J (11).
        norms: ``(L, 2)`` of the followed gradient and of the full one (17).
        cosines: ``(L, R)`` between the full gradient and the gradients of ``watched`` radii, at the same policy.
    """

    radius: Radius
    watched: tuple[Radius, ...]
    steps: Floats
    values: Floats
    norms: Floats
    cosines: Floats

    @property
    def peak(self) -> int:
        return int(self.values.argmax())

    @property
    def own_cosine(self) -> Floats:
        """``(L,)``: between the followed gradient and the full one."""
        cosine: Floats = self.cosines[:, self.watched.index(self.radius)]
        return cosine


def experiment(settings: Settings) -> tuple[list[Statement], dict[str, Table], list[tuple[str, Any]], str]:
    """Statements, tables, figures and text of the two radii."""
    agents, steps = (3, 80) if settings.quick else (4, 200)
    names = list(LAYOUTS)[:: 2 if settings.quick else 1]
    game = ExactGame(busy_line(LAYOUTS[names[0]], agents))
    diameter = game.model.network.diameter
    radii = ((0, 0), (1, 0), (1, 1), (1, 2), (1, diameter), (0, diameter), (diameter, diameter))
    settings.say(f"  following gradients of seven radii on a line of {diameter + 1} with {agents} agents ...")
    paths = {radius: follow(game, radius, steps, radii if radius == (1, 1) else (radius,)) for radius in radii}
    settings.say("  k = kappa = 1 on other demands ...")
    others = {names[0]: paths[1, 1]}
    for name in names[1:]:
        others[name] = follow(ExactGame(busy_line(LAYOUTS[name], 3)), (1, 1), steps, ((1, 1),))
    lines = [_other_zeros(paths, diameter), _rises_and_falls(paths, diameter), _larger_credit(paths, diameter)]
    tables = {"paths": _path_table(paths), "layouts": _layout_table(others)}
    return lines, tables, [(CAPTION, _picture(paths, diameter))], _text(agents, steps, others)


def busy_line(weights: list[float], agents: int) -> LocalModel:
    """The demand scenario on a path of nodes, with total demand .7 per agent and step spread by ``weights``."""
    share = np.array(weights) / np.sum(weights)
    return grid_v0.build(agents, graph=nx.path_graph(len(weights)), demand=0.7 * share)


# -- following a gradient


def follow(game: ExactGame, radius: Radius, steps: int, watched: tuple[Radius, ...]) -> Path:
    """Natural gradient steps on the logits of an individual table, from the uniform policy.

    A natural step adds ``STEP`` times the gradient over (expected agents at (s, n)) pi, which is the advantage of the
    action: it moves every row alike, however rarely it is met.
    """
    shape = (*game.model.legal.shape[:1], game.model.population + 1, game.model.num_actions)
    logits, points = np.zeros(shape), []
    for step in range(steps + 1):
        at = game.under(IndividualTable(game.model, softmax(game.model, logits)))
        followed = truncated(at, radius)
        if step % EVERY == 0:
            cosines = [cosine(truncated(at, other), at.policy_gradient) for other in watched]
            norms = [float(np.linalg.norm(g)) for g in (followed, at.policy_gradient)]
            points.append((step, at.objective, norms, cosines))
        logits = logits + STEP * natural(at, followed)
    columns: list[Floats] = [np.array(column, float) for column in zip(*points, strict=True)]
    return Path(radius, watched, *columns)


def truncated(at: Evaluation, radius: Radius) -> Floats:
    """The practical mode's mean gradient at radius (k, kappa): lambda-advantages of k, summed over the ball kappa."""
    hops, credit_hops = radius
    return at.credited(at.local_advantages(hops, LAMBDA * at.gamma), credit_hops)


def natural(at: Evaluation, gradient: Floats) -> Floats:
    """The gradient by logits ``(S, N + 1, A)`` over its Fisher weight: sum_t gamma^t E[n 1{n agents in s}] pi."""
    population, gamma = at.game.model.population, at.gamma
    met = [np.bincount(sizes, at.visitation, population + 1) for sizes in at.game.count_vectors.T]
    agents = np.array(met) * np.arange(population + 1) / (1 - gamma)
    assert isinstance(at.policy, IndividualTable)
    weight = agents[:, :, None] * at.policy.table
    step: Floats = np.divide(gradient, weight, out=np.zeros_like(gradient), where=weight > 1e-100)
    return step


def softmax(model: LocalModel, logits: Floats) -> Floats:
    """Rows of probabilities over legal actions, ``(S, N + 1, A)``."""
    shown = np.where(model.legal[:, None], logits, -np.inf)
    weights = np.exp(shown - shown.max(2, keepdims=True))
    table: Floats = weights / weights.sum(2, keepdims=True)
    return table


def cosine(a: Floats, b: Floats) -> float:
    """Of the angle between two gradients; 0 where one of them vanishes."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.vdot(a, b)) / size if size > 0 else 0.0


# -- statements


def _other_zeros(paths: dict[Radius, Path], diameter: int) -> Statement:
    end, full = paths[1, 1], paths[diameter, diameter]
    followed, whole = end.norms[-1]
    fallen = followed / end.norms[0, 0]
    return judged(
        "Algorithm 2, k = kappa = 1, other zeros",
        "the paper follows (18) at kappa = k; corrected: at small k that gradient vanishes where the full one does not",
        f"after {end.steps[-1]:.0f} steps its norm is {followed:.1e}, {fallen:.1e} of the first; the full one's there "
        f"is {whole:.2g}; J = {end.values[-1]:.3f} against {full.values[-1]:.3f} on the full gradient's path",
        "norm below 0.1% of the full one's; J below 95%",
        followed <= 1e-3 * whole and end.values[-1] < 0.95 * full.values[-1],
        corrected=True,
    )


def _rises_and_falls(paths: dict[Radius, Path], diameter: int) -> Statement:
    path, full = paths[1, 1], paths[diameter, diameter]
    start, peak, end = path.values[0], path.values[path.peak], path.values[-1]
    return judged(
        "(25), k = kappa = 1 rises and falls",
        "(25) speaks of the best iterate; corrected: the last one may be much worse, and not because of noise",
        f"J = {start:.3f} at first, {peak:.3f} at step {path.steps[path.peak]:.0f}, {end:.3f} at the end; cosine with "
        f"the full gradient {path.own_cosine[0]:.2f}, {path.own_cosine[path.peak]:.2f}, {path.own_cosine[-1]:.2f}; "
        f"the full gradient never falls by more than {_largest_fall(full):.0e}",
        "a fall of 10% of the peak; full gradient 1e-06",
        peak > start and end < 0.9 * peak and _largest_fall(full) <= 1e-6,
        corrected=True,
    )


def _largest_fall(path: Path) -> float:
    """The largest loss of J between two points of a path."""
    return float(max(0.0, -np.diff(path.values).min()))


def _larger_credit(paths: dict[Radius, Path], diameter: int) -> Statement:
    ends = {radius: path.values[-1] for radius, path in paths.items()}
    best = ends[diameter, diameter]
    listing = ", ".join(f"{radius}: {value:.3f}" for radius, value in ends.items())
    return judged(
        "Two radii, k and kappa",
        "the radius of credit kappa decides, not what a critic sees: J rises with kappa at k = 1, and k = 0, 1 with "
        "kappa = diameter come near the full gradient",
        f"J at the end for (k, kappa) = {listing}",
        "increasing in kappa; within 1% of the full gradient",
        ends[1, 0] < ends[1, 1] < ends[1, 2] < ends[1, diameter]
        and min(ends[0, diameter], ends[1, diameter]) >= 0.99 * best,
    )


# -- page

CAPTION = (
    "Left: J while the exact gradient of a radius (k, kappa) is followed, from the uniform policy. Right: cosine "
    "between the full gradient and the gradients of the other radii, all at the policies that k = kappa = 1 goes "
    "through; the line of (1, 1) itself is thick. The dashed vertical line is where its J is largest."
)


def _text(agents: int, steps: int, others: dict[str, Path]) -> str:
    falls = [
        f"{name}: {path.values[0]:.2f}, {path.values[path.peak]:.2f}, {path.values[-1]:.2f}"
        for name, path in others.items()
    ]
    return (
        f"The two radii: drivers on a line of five nodes, demand doubling from node to node, {agents} agents, "
        f"an independent table for every node and crowd. {steps} natural gradient steps (logits move by {STEP:g} times "
        f"the advantages) follow the exact mean gradient of the practical mode with lambda = {LAMBDA:g}, cut off at "
        "(k, kappa). There is no noise in it. J at first, at its peak and at the end with k = kappa = 1, by "
        f"demand: {'; '.join(falls)}. Those after the first have 3 agents. How sharp the fall is "
        "depends on the demand; where all nodes are alike there is none."
    )


def _path_table(paths: dict[Radius, Path]) -> Table:
    rows = [
        (*radius, int(step), float(value), *map(float, norms), float(own))
        for radius, path in paths.items()
        for step, value, norms, own in zip(path.steps, path.values, path.norms, path.own_cosine, strict=True)
    ]
    return Table(("k", "kappa", "step", "J", "norm", "norm_of_full", "cosine_with_full"), rows)


def _layout_table(others: dict[str, Path]) -> Table:
    rows = [
        (name, *(float(path.values[i]) for i in (0, path.peak, -1)), *map(float, path.norms[-1]),
         *(float(path.own_cosine[i]) for i in (0, path.peak, -1)))
        for name, path in others.items()
    ]  # fmt: skip
    columns = ("demand", "J_first", "J_peak", "J_end", "norm_end", "norm_of_full_end")
    return Table((*columns, "cosine_first", "cosine_peak", "cosine_end"), rows)


def _picture(paths: dict[Radius, Path], diameter: int) -> Any:
    figure, (left, right) = pictures.panels(2, height=4.4)
    colour = _colours(list(paths), diameter)
    for radius, path in paths.items():
        width, style = (2.6, "-") if radius == (1, 1) else (1.4, "--" if radius[0] == 0 else "-")
        left.plot(path.steps, path.values, style, color=colour(radius), lw=width, label=f"k = {radius[0]}, "
                  f"kappa = {radius[1]}")  # fmt: skip
    watched = paths[1, 1]
    for place, radius in enumerate(watched.watched):
        width, style = (2.6, "-") if radius == (1, 1) else (1.4, "--" if radius[0] == 0 else "-")
        right.plot(watched.steps, watched.cosines[:, place], style, color=colour(radius), lw=width)
    for axis in (left, right):
        axis.axvline(watched.steps[watched.peak], color=pictures.OTHER, lw=1, ls=(0, (4, 3)))
        axis.set_xlabel("natural gradient steps")
    right.axhline(0, color=pictures.WORDS, lw=0.8)
    left.set_title("J on the path of each radius", size=10.5, pad=8)
    right.set_title("cosine with the full gradient", size=10.5, pad=8)
    pictures.legend(figure, left)
    return figure


def _colours(radii: list[Radius], diameter: int) -> Callable[[Radius], Any]:
    """Light to dark with kappa; the full gradient in black, k = kappa = 1 in the accent."""
    from matplotlib import colormaps

    def of(radius: Radius) -> Any:
        if radius == (1, 1):
            return pictures.PRINTED
        if radius == (diameter, diameter):
            return pictures.CLAIMED
        return colormaps["YlGnBu"](0.35 + 0.6 * radius[1] / diameter)

    return of
