"""Experiment (ii): how fast the influence of far nodes on Q_s dies out, and where the printed Lemma 4.2 is too good.

The reward at time t needs mu_0 within 2t + 1 hops when the kernel feels the crowd around, within t + 1 when it feels
its own node's crowd at most. Situations that agree on N_s^k therefore earn the same for t < (k + 1) // 2, or t < k.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.simulator import Simulator
from mfnet_theory import pictures
from mfnet_theory.instances import Crowded, Watcher, some_policy
from mfnet_theory.statement import Experiment, Settings, Statement, Table, judged

TITLE = "Decay of Q_s with the distance of what it does not see"
ROUNDING = 1e-10  # added to a bound: rounding of a linear solve
FELT = {"hood": "feels the crowd around", "own": "feels its own node's crowd", "none": "feels no crowd"}
FEW, MANY = (5, 8, 12), (20, 50, 100, 1_000, 10_000)  # agents: by enumeration, by playing it through


@dataclass(frozen=True)
class Case:
    """A game whose Q_s are looked at from every node, at every radius."""

    name: str
    game: ExactGame
    pi: Floats

    @cached_property
    def radii(self) -> range:
        return range(self.game.model.network.diameter + 1)

    @cached_property
    def spreads(self) -> Floats:
        """``(K, V)``: the largest |Q_v - Q_v'| over pairs (mu, h) that agree on N_v^k."""
        q = self.game.action_values(self.pi)
        return np.array([self.game.spread(q, k) for k in self.radii])

    @property
    def claimed(self) -> Floats:
        """``(K,)``: the corrected bound of every radius."""
        return np.array([bound(self.game.model, self.game.gamma, k) for k in self.radii])

    @property
    def missing(self) -> Floats:
        """``(K, V)``: nodes outside the ball. Where it is 1 the ball determines it, since all agents are somewhere."""
        v = self.game.model.network.num_nodes
        return np.array([v - self.game.model.network.ball(k).sum(1) for k in self.radii], float)


def span(model: LocalModel) -> float:
    """osc = max(r_hi, 0) - min(r_lo, 0); zero belongs to it because an empty team earns zero."""
    lowest, highest = model.reward_range
    return max(highest, 0.0) - min(lowest, 0.0)


def bound(model: LocalModel, gamma: float, k: int) -> float:
    """osc / (1 - gamma) gamma^((k + 1) // 2); gamma^k for kernels that read at most their own node."""
    steps = (k + 1) // 2 if model.kernel_reads == "hood" else k
    return span(model) / (1 - gamma) * gamma**steps


def printed(model: LocalModel, gamma: float, k: int) -> float:
    """Lemma 4.2 as printed: r_max / (1 - gamma) gamma^((k + 1) / 2) with |r| <= r_max."""
    highest: float = max(map(abs, model.reward_range))
    return highest / (1 - gamma) * float(gamma ** ((k + 1) / 2))


def run(settings: Settings) -> Experiment:
    """Lemma 4.2 on a path of seven nodes and its counterexamples, or its corrected form on the user's model."""
    if settings.model is not None:
        return _of_model(settings.model, settings)
    settings.say("  Q_s on a path of seven nodes, three kernels ...")
    cases = [
        Case(FELT[reads], ExactGame(model), some_policy(model, settings.seed))
        for reads in ("hood", "own", "none")
        for model in [Crowded(StateNetwork.line(7), 3, reads, seed=settings.seed)]
    ]
    settings.say("  counterexamples to the printed bound ...")
    few = FEW if settings.quick else (*FEW, 16)
    attained = [_attained(n, gamma) for gamma in (0.1, 0.5, 0.9) for n in (*few, *MANY)]
    lines = [
        *(_within(case) for case in cases),
        _odd(cases[0]),
        _counterexample(Watcher(3, 5), 0),
        _counterexample(Watcher(5, 5), 2),
        _tight(attained),
    ]
    columns = ("agents", "gamma", "difference", "corrected", "printed", "by")
    tables = {"spreads": _table(cases), "attained": Table(columns, attained)}
    figures = ((CAPTION, _picture(cases)), (ATTAINED, _attained_picture(attained)))
    return Experiment("decay", TITLE, _text(cases), tuple(lines), tables, figures)


def _of_model(model: LocalModel, settings: Settings) -> Experiment:
    """What the model declares, and the bound that follows from it."""
    game = ExactGame(model)
    case = Case("the model", game, some_policy(model, settings.seed))
    lines = (_range(game), _reads(game), _within(case))
    text = f"The bound follows from what the model declares: reward_range and kernel_reads = {model.kernel_reads!r}."
    return Experiment("decay", TITLE, text, lines, {"spreads": _table([case])}, ((CAPTION, _picture([case])),))


# -- bounds


def _within(case: Case) -> Statement:
    """The corrected bound, at every radius and node."""
    model = case.game.model
    exponent = "floor((k + 1) / 2)" if model.kernel_reads == "hood" else "k"
    ratio = case.spreads.max(1) / case.claimed
    k = int(ratio.argmax())
    computed = (
        f"k = 0..{len(ratio) - 1}: at most {ratio[k]:.3g} of the bound, at k = {k} ({case.spreads[k].max():.4g} "
        f"against {case.claimed[k]:.4g}); measured rate per hop {_rate(case)}"
    )
    return judged(
        f"Lemma 4.2, corrected, kernel {FELT[model.kernel_reads]}",
        f"|Q_s - Q_s'| <= osc / (1 - gamma) gamma^{exponent} where situations agree on N_s^k",
        computed,
        f"{ROUNDING:.0e}",
        bool((case.spreads.max(1) <= case.claimed + ROUNDING).all()),
        corrected=True,
    )


def _rate(case: Case) -> str:
    """exp of the slope of log(spread), over balls that miss two nodes or more."""
    usable = (case.missing >= 2) & (case.spreads > 1e-12)
    k = np.array(case.radii)[:, None] * np.ones_like(case.spreads)
    several = usable & (usable.sum(0) >= 2)
    if not several.any():
        return "not defined, the balls are too large"
    centred = k - _column_means(k, several)
    logs = np.where(several, np.log(np.maximum(case.spreads, 1e-300)), 0.0)
    slope = (centred * logs * several).sum() / (centred**2 * several).sum()  # a node may start from its own level
    return f"{np.exp(slope):.3f}"


def _column_means(values: Floats, used: Any) -> Floats:
    means: Floats = (values * used).sum(0) / np.maximum(used.sum(0), 1)
    return means


def _odd(case: Case) -> Statement:
    game, radii = case.game, [k for k in case.radii if k % 2]
    limits = np.array([printed(game.model, game.gamma, k) for k in radii])
    found = case.spreads[radii].max(1)
    worst = int((found / limits).argmax())
    return judged(
        "Lemma 4.2, printed, odd k",
        "|Q_s - Q_s'| <= r_max / (1 - gamma) gamma^((k + 1) / 2), for 0 <= r <= r_max",
        f"k = {', '.join(map(str, radii))}: at most {(found / limits)[worst]:.3g} of the bound, at k = {radii[worst]}",
        f"{ROUNDING:.0e}",
        bool((found <= limits + ROUNDING).all()),
    )


def _counterexample(model: Watcher, k: int) -> Statement:
    """An instance on which the printed bound is broken and the corrected one is not."""
    game = ExactGame(model)
    q = game.action_values(np.ones((model.network.num_nodes, model.population + 1, 1)))
    difference = float(game.spread(q, k)[0])
    wrong, right = printed(model, game.gamma, k), bound(model, game.gamma, k)
    steps = (k + 1) // 2
    expected = (model.population - (1 if k == 0 else 2)) / model.population * game.gamma**steps / (1 - game.gamma)
    return judged(
        f"Lemma 4.2, printed, even k (k = {k})",
        f"printed: r_max / (1 - gamma) gamma^({k + 1}/2); corrected: the exponent is {steps}",
        f"{model.population} agents on a path of {model.network.num_nodes}, gamma = {game.gamma:g}: difference "
        f"{difference:.4f}, printed bound {wrong:.4f}, corrected bound {right:.4f}",
        f"{ROUNDING:.0e}",
        wrong + ROUNDING < difference <= right + ROUNDING and abs(difference - expected) <= ROUNDING,
        corrected=True,
    )


# -- how nearly the corrected bound is attained

Attained = tuple[int, float, float, float, float, str]


def _attained(agents: int, gamma: float) -> Attained:
    """N, gamma, the difference of Q_0 at k = 2, the corrected bound, the printed one, and how it was computed."""
    model = Watcher(5, agents, gamma=gamma)
    by_enumeration = agents in (*FEW, 16)
    difference = _enumerated(model) if by_enumeration else _played(model)
    how = "enumeration" if by_enumeration else "two situations played through"
    return agents, gamma, difference, bound(model, gamma, 2), printed(model, gamma, 2), how


def _enumerated(model: Watcher) -> float:
    game = ExactGame(model)
    values = game.state_values(np.ones((5, model.population + 1, 1)))  # one action: Q is V
    return float(game.spread(values, 2)[0])


def _played(model: Watcher) -> float:
    """Q_0 from N - 2 agents at 0, one at 2 and one at 3, less the same with 4 for 3: nothing here is random."""
    counts = np.zeros((2, 5), np.int64)
    counts[:, 0], counts[:, 2] = model.population - 2, 1
    counts[0, 3] = counts[1, 4] = 1
    simulator, rng, values = Simulator(model), np.random.default_rng(0), np.zeros(2)
    steps = int(np.ceil(np.log(1e-14 * (1 - model.gamma)) / np.log(model.gamma)))
    for t in range(steps):
        counts, rewards = simulator.step(counts, counts[..., None], rng)
        values += model.gamma**t * rewards[:, 0]
    return float(values[0] - values[1])


def _tight(rows: list[Attained]) -> Statement:
    shares = {gamma: max(d / right for _, g, d, right, _, _ in rows if g == gamma) for gamma in (0.1, 0.5, 0.9)}
    broken = {gamma: min(n for n, g, d, _, p, _ in rows if g == gamma and d > p) for gamma in shares}
    least = min(shares.values())
    never_above = all(d <= right + ROUNDING for _, _, d, right, _, _ in rows)
    return judged(
        "Lemma 4.2, corrected, cannot be improved",
        "with many agents the difference comes as near to the corrected bound as one likes (k = 2)",
        f"N = {rows[-1][0]:,}: {least:.4f} of the bound for every gamma; the printed bound is broken at N = "
        + ", ".join(f"{n} at gamma = {gamma:g}" for gamma, n in broken.items()),
        "share 1 - 2/N of the bound, to 1e-10",
        never_above and all(abs(d / right - (1 - 2 / n)) <= ROUNDING for n, _, d, right, _, _ in rows),
        corrected=True,
    )


# -- what a model declares


def _range(game: ExactGame) -> Statement:
    """Rewards of every active state and legal action at every count vector."""
    model = game.model
    rewards = game.rewards[:, model.active][:, model.legal[model.active]]
    lowest, highest = model.reward_range
    holds = bool((rewards >= lowest - 1e-9).all() and (rewards <= highest + 1e-9).all())
    return judged(
        "(1), reward_range",
        f"an agent earns between {lowest:g} and {highest:g} in a step",
        f"between {rewards.min():.6g} and {rewards.max():.6g} over all {len(game.count_vectors)} count vectors",
        "1e-09",
        holds,
    )


def _reads(game: ExactGame) -> Statement:
    """Replace what the kernel says it does not read by what other situations show, and see whether it notices."""
    model = game.model
    hood = Simulator(model).mu_hood(game.count_vectors)
    unread = {"none": 0, "own": 1, "hood": hood.shape[2]}[model.kernel_reads]
    before, largest, rng = np.asarray(model.branch_weights(hood)), 0.0, np.random.default_rng(0)
    for _ in range(8):
        swapped = hood.copy()
        swapped[:, :, unread:] = hood[rng.permutation(len(hood))][:, :, unread:]
        moved = np.abs(np.asarray(model.branch_weights(swapped)) - before)
        largest = max(largest, float(np.where(np.isnan(moved), np.inf, moved).max()))
    what = {"none": "no crowd at all", "own": "the crowd at its own node only", "hood": "the crowd in N_s"}
    return judged(
        "(2), kernel_reads",
        f"the kernel reads {what[model.kernel_reads]}",
        f"its weights move by at most {largest:.1e} when the rest is exchanged",
        "1e-12",
        largest <= 1e-12,
    )


# -- page

CAPTION = (
    "Largest difference of Q_v between pairs (mu, h) that agree on the ball of radius k around node v, one thin line "
    "for each node; the thick line is the largest. Where a ball misses a single node it knows that node too, and the "
    "line ends."
)
ATTAINED = (
    "Difference of Q_0 at k = 2 as a share of the corrected bound, on a path of five with one messenger. The dotted "
    "lines are the printed bound: points above them break it."
)


def _text(cases: list[Case]) -> str:
    model = cases[0].game.model
    return (
        f"A path of {model.network.num_nodes} nodes with {model.population} agents and gamma = {model.gamma:g}: "
        f"{len(cases[0].game.pairs)} pairs (mu, h), rewards in [0, 1] that feel the crowd around. Three kernels differ "
        "in nothing but what they feel.\n\n"
        "One step carries information two hops when the kernel feels the crowd around, and the reward looks one hop "
        "further. The printed exponent is right for odd k. For even k it is too good by half a hop: who is at node 0 "
        "earns 1 while somebody is at node 1; a messenger at node 2 walks there iff node 3 is occupied. So Q_0 differs "
        "between situations that agree on two hops, after a single step."
    )


def _table(cases: list[Case]) -> Table:
    rows = [
        (case.name, k, v, float(case.spreads[k, v]), float(case.claimed[k]),
         printed(case.game.model, case.game.gamma, k), int(case.missing[k, v]))
        for case in cases for k in case.radii for v in range(case.spreads.shape[1])
    ]  # fmt: skip
    return Table(("kernel", "k", "node", "difference", "corrected", "printed", "nodes_outside"), rows)


def _picture(cases: list[Case]) -> Any:
    figure, axes = pictures.panels(len(cases), height=3.9, share_y=True)
    for axis, case in zip(axes, cases, strict=True):
        k = np.array(case.radii)
        shown = np.where(case.spreads > 1e-12, case.spreads, np.nan)
        axis.plot(k, shown, color=pictures.MEASURED, lw=0.7, alpha=0.5)
        with warnings.catch_warnings(action="ignore"):  # a radius at which nothing differs has no largest
            axis.plot(k, np.nanmax(shown, 1), "o-", color=pictures.MEASURED, lw=2, ms=5, label="computed, largest node")
        axis.plot(k, case.claimed, "--", color=pictures.CLAIMED, lw=1.5, drawstyle="default", label="corrected bound")
        wrong = [printed(case.game.model, case.game.gamma, int(radius)) for radius in k]
        axis.plot(k, wrong, ":", color=pictures.PRINTED, lw=1.8, label="printed bound")
        axis.set_yscale("log")
        axis.set_xticks(k)
        axis.set_xlabel("k, hops that are seen")
        axis.set_title(f"kernel {case.name}" if len(cases) > 1 else "the model", size=10.5, pad=8)
    axes[0].set_ylabel("difference of Q_v")
    pictures.legend(figure, axes[0])
    return figure


def _attained_picture(rows: list[Attained]) -> Any:
    figure, axes = pictures.panels(3, height=3.2, share_y=True)
    for axis, gamma in zip(axes, (0.1, 0.5, 0.9), strict=True):
        n, difference, right, wrong = np.array([(n, d, b, p) for n, g, d, b, p, _ in rows if g == gamma]).T
        axis.plot(n, difference / right, "o-", color=pictures.MEASURED, lw=1.6, ms=5, label="difference")
        axis.axhline(1, color=pictures.CLAIMED, ls="--", lw=1.5, label="corrected bound")
        axis.axhline(wrong[0] / right[0], color=pictures.PRINTED, ls=":", lw=1.8, label="printed bound")
        axis.set_xscale("log")
        axis.set_ylim(0, 1.06)
        axis.set_xlabel("agents")
        axis.set_title(f"gamma = {gamma:g}", size=10.5, pad=8)
    axes[0].set_ylabel("share of the corrected bound")
    pictures.legend(figure, axes[0])
    return figure
