"""Experiment (v): what Algorithm 2 and the practical mode learn, against k, kappa, B and T_actor (Theorem 5.2).

Every return is exact: the learnt policy is solved in the enumerated game. Learning is measured by the share of the way
from the uniform policy to the best individual policy: (J - J_uniform) / (J_best - J_uniform).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_agents import DecNeuralAC, DecNeuralACConfig
from mfnet_envs.arrays import Floats
from mfnet_envs.evaluate import half_width, returns
from mfnet_envs.exact import ExactGame, Found, best_individual
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_theory import pictures
from mfnet_theory.statement import Experiment, Settings, Statement, Table, judged

TITLE = "What is learnt, beside the exact optimum"
NODES, AGENTS, GAMMA = 3, 4, 0.8
DIAMETER = NODES - 1
PRINTED: dict[str, Any] = {
    "mode": "paper",
    "radius": 20.0,
    "sampling": "restart",
    "critic_width": 64,
    "actor_width": 32,
    "critic_steps": 400,
    "critic_batch": 32,
    "critic_lr": 0.4,
    "actor_samples": 1024,
    "actor_lr": 10.0,
}
PRINTED_ITERATIONS, PRACTICAL_ITERATIONS = 6, 40  # T_actor
PRACTICAL_STEPS = 16 * 16 * PRACTICAL_ITERATIONS
# Mean and standard deviation of the share reached by one run with the settings above, measured on seeds 0 .. 11.
MEASURED = {"printed": (0.785, 0.112), "practical": (0.984, 0.0082)}
WORLDS, STEPS = 1024, 60  # of one evaluation: 0.8^60 is about 1e-6
ERRORS = 5.0  # standard errors


@dataclass(frozen=True)
class Instance:
    """The game, and the policies that what is learnt is compared with."""

    game: ExactGame
    uniform: float
    stay: float
    best: Found
    optimum: float

    def share(self, value: Any) -> Any:
        """(J - J_uniform) / (J_best - J_uniform)."""
        return (value - self.uniform) / (self.best.value - self.uniform)


@dataclass(frozen=True)
class Run:
    """One training run: exact J of every iterate, ``(T_actor + 1,)``, the start included.

    Attributes:
        label: what was learnt with.
        estimates: ``(T_actor + 1, worlds)`` returns on seeds of their own, where asked for.
    """

    label: str
    hops: int
    credit_hops: int
    samples: int
    seed: int
    values: Floats
    estimates: Floats | None = None

    @property
    def chosen(self) -> int:
        """The best iterate, as an evaluation picks it."""
        assert self.estimates is not None
        return int(self.estimates.mean(1).argmax())


def run(settings: Settings) -> Experiment:
    """Algorithm 2 as printed with the paper's class (14), and the practical mode."""
    seeds = [1000 * settings.seed + i for i in range(2 if settings.quick else 8)]
    batches = (8, 128) if settings.quick else (8, 32, 128, 512)
    instance = solved(settings.seed)
    settings.say("  Algorithm 2, k = diameter ...")
    full = [printed(instance, seed, DIAMETER, judge=True) for seed in seeds]
    settings.say("  Algorithm 2 against k and B ...")
    few = seeds[:1] if settings.quick else seeds
    same = full[: len(few)]
    by_hops = [printed(instance, seed, k) for k in range(DIAMETER) for seed in few]
    by_samples = [printed(instance, seed, DIAMETER, b) for b in batches for seed in few]
    settings.say("  the practical mode against k and kappa ...")
    best = [practical(instance, seed, 1, DIAMETER) for seed in seeds]
    others = [pair for pair in radii(settings.quick) if pair != (1, DIAMETER)]
    grid = [*best, *(practical(instance, seed, k, kappa) for k, kappa in others for seed in few)]
    everything = [*full, *by_hops, *by_samples, *grid]
    lines = (
        _reaches("Theorem 5.2: Algorithm 2, k = diameter, R = 20", "printed", instance, full),
        _reaches("Practical mode, k = 1, kappa = diameter", "practical", instance, best),
        _kept(full),
        _alone(instance, [r for r in grid if r.credit_hops == 0]),
        _never_above(instance, everything),
    )
    tables = {"values": _values(instance, everything), "references": _references(instance)}
    figures = (
        (OVER_TIME, _over_time(instance, full, best)),
        (OVER_RADII, _over_radii(instance, [*by_hops, *same], [*by_samples, *same], grid)),
    )
    return Experiment("learning", TITLE, _text(instance), lines, tables, figures)


def radii(quick: bool) -> list[tuple[int, int]]:
    """The (k, kappa) of the practical mode: all, or every kappa at k = 1 and every k at kappa = diameter."""
    every = [(k, kappa) for k in range(DIAMETER + 1) for kappa in range(DIAMETER + 1)]
    return [(k, kappa) for k, kappa in every if k == 1 or kappa == DIAMETER] if quick else every


# -- training


def environment() -> dict[str, Any]:
    """A path with one busy node at its end."""
    line = {"graph": [[v, v + 1] for v in range(NODES - 1)], "demand": [0.02] * (NODES - 1) + [1.0]}
    return {**line, "population": AGENTS, "gamma": GAMMA, "matching": "independent"}


def solved(seed: int) -> Instance:
    """The game with its uniform, staying, best individual and best centralised policies."""
    model: LocalModel = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=environment()).build_algo().model
    game = ExactGame(model)
    uniform, stay = (game.objective(model.heuristics()[name]) for name in ("random", "stay"))
    best = best_individual(game, np.random.default_rng(seed), 4)
    return Instance(game, uniform, stay, best, float(game.expected(game.optimal_values())))


def printed(instance: Instance, seed: int, hops: int, samples: int | None = None, *, judge: bool = False) -> Run:
    """Algorithm 2 with policies (14); ``judge``: also evaluate every iterate on seeds of its own."""
    options = {**PRINTED, "hops": hops, **({} if samples is None else {"actor_samples": samples})}
    algo = trainer(seed, options)
    values, estimates = [instance.game.objective(algo.policy)], [_estimate(algo, seed)] if judge else []
    for _ in range(PRINTED_ITERATIONS):
        algo.train()
        values.append(instance.game.objective(algo.policy))
        estimates += [_estimate(algo, seed)] if judge else []
    told = np.array(estimates) if judge else None
    return Run("Algorithm 2", hops, hops, options["actor_samples"], seed, np.array(values), told)


def practical(instance: Instance, seed: int, hops: int, credit_hops: int) -> Run:
    """The practical mode with its own defaults."""
    options = {"mode": "practical", "total_env_steps": PRACTICAL_STEPS, "hops": hops, "credit_hops": credit_hops}
    algo = trainer(seed, options)
    values = [instance.game.objective(algo.policy)]
    for _ in range(PRACTICAL_ITERATIONS):
        algo.train()
        values.append(instance.game.objective(algo.policy))
    return Run("practical", hops, credit_hops, 16 * 16, seed, np.array(values))


def trainer(seed: int, options: dict[str, Any]) -> DecNeuralAC:
    config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=environment()).debugging(seed=seed)
    with warnings.catch_warnings(action="ignore"):  # radii that are too small are warned about, and are tried here
        algo = config.training(**options).build_algo()
    assert isinstance(algo, DecNeuralAC)
    return algo


def _estimate(algo: DecNeuralAC, seed: int) -> Floats:
    """Returns of the present policy in ``WORLDS`` worlds, the same for every iterate: ``(worlds,)``."""
    return discounted(algo.model, algo.policy, seed=1_000_003 + seed)


def discounted(model: LocalModel, policy: Policy, *, seed: int) -> Floats:
    rewards = returns(model, policy, worlds=WORLDS, seed=seed, steps=STEPS)
    found: Floats = rewards @ model.gamma ** np.arange(STEPS)
    return found


# -- statements


def floor(kind: str) -> float:
    """What the mean of two runs is sure to reach: the measured mean less four standard deviations of one."""
    mean, deviation = MEASURED[kind]
    return mean - 4 * deviation


def _reaches(name: str, kind: str, instance: Instance, runs: Sequence[Run]) -> Statement:
    """The best iterate of every run."""
    shares = np.array([instance.share(r.values.max()) for r in runs])
    start, last = (np.mean([instance.share(r.values[t]) for r in runs]) for t in (0, -1))
    mean, deviation = MEASURED[kind]
    return judged(
        name,
        f"the best iterates go, in the mean of {len(runs)} runs, at least {floor(kind):.2f} of the way from uniform to "
        "the best individual policy",
        f"{', '.join(f'{share:.3f}' for share in shares)} of the way, mean {shares.mean():.3f}; first iterate "
        f"{start:.3f}, last {last:.3f}",
        f"measured on 12 seeds: mean {mean:.3f}, sd {deviation:.3f}; floor: mean - 4 sd",
        bool(shares.mean() >= floor(kind)),  # the mean: on other processors the same seed learns something else
    )


def _kept(runs: Sequence[Run]) -> Statement:
    """The iterate an evaluation picks against the one that is best, and against the last."""
    lost = [float(r.values.max() - r.values[r.chosen]) for r in runs]
    gained = [float(r.values[r.chosen] - r.values[-1]) for r in runs]
    dropped = max(float(r.values.max() - r.values[-1]) for r in runs)
    allowed = [_error_of_choice(r) for r in runs]
    return judged(
        "(25): the best iterate",
        "kept by evaluations with their own seeds, it is as good as the best one, and no worse than the last",
        f"{len(runs)} runs: J of the kept iterate at most {max(lost):.4f} below the best, {min(gained):+.4f} to "
        f"{max(gained):+.4f} from the last; the last is below the best by up to {dropped:.4f}",
        f"{ERRORS:g} standard errors of a difference over {WORLDS} worlds, at most {max(allowed):.3f}",
        all(x <= e and y >= -e for x, y, e in zip(lost, gained, allowed, strict=True)),
    )


def _error_of_choice(r: Run) -> float:
    """``ERRORS`` standard errors of the largest difference of two estimates on common worlds, a little for the end."""
    assert r.estimates is not None
    difference = r.estimates - r.estimates[r.chosen]
    return float(ERRORS * difference.std(1, ddof=1).max() / np.sqrt(WORLDS) + GAMMA**STEPS / (1 - GAMMA))


def _alone(instance: Instance, runs: Sequence[Run]) -> Statement:
    """Without credit from next door moving only costs, so everybody learns to stay."""
    shares = np.array([instance.share(r.values[-1]) for r in runs])
    stay = instance.share(instance.stay)
    return judged(
        "Practical mode, kappa = 0: no credit from next door",
        "moving costs here and earns elsewhere: agents learn to stay, whatever their critics see",
        f"last iterates {shares.min():.3f} to {shares.max():.3f} of the way; staying is {stay:.3f}",
        "0.1 of the way",
        bool((np.abs(shares - stay) <= 0.1).all()),
    )


def _never_above(instance: Instance, runs: Sequence[Run]) -> Statement:
    highest = max(float(r.values.max()) for r in runs)
    return judged(
        "Classes are ordered",
        "no iterate of any run is above the best centralised policy, nor the best individual one found",
        f"highest J {highest:.5f}; best individual {instance.best.value:.5f} ({instance.best.agreeing} of "
        f"{instance.best.starts} searches agree), optimum {instance.optimum:.5f}",
        "1e-9",
        max(highest, instance.best.value) <= instance.optimum + 1e-9,
    )


# -- page

OVER_TIME = (
    "Exact J of the iterates, as a share of the way from uniform (0) to the best individual policy (1). Thick line: "
    "mean over seeds; band: 95 % interval; thin lines: seeds. The centralised optimum coincides with 1 here."
)
OVER_RADII = (
    "What is reached: left and middle the best iterate of Algorithm 2 against k = kappa, and against B at k = "
    "diameter; right the last iterate of the practical mode for each k and kappa. Dots are seeds."
)


def _text(instance: Instance) -> str:
    return (
        f"A path of {NODES} nodes with {AGENTS} agents, one busy node at its end, gamma = {GAMMA:g}. J: uniform "
        f"{instance.uniform:.4f}, stay {instance.stay:.4f}, best individual policy {instance.best.value:.4f}, "
        f"centralised optimum {instance.optimum:.4f}.\n\n"
        f"Algorithm 2 as printed, policies (14), R = 20, cold averaged critics: T_c = {PRINTED['critic_steps']} with "
        f"{PRINTED['critic_batch']} samples an update, B = {PRINTED['actor_samples']:,}, T_actor = "
        f"{PRINTED_ITERATIONS}. Its step sizes are larger than the printed ones, and its critics are fitted under "
        f"sigma. The practical mode plays {PRACTICAL_STEPS:,} steps. Where kappa is smaller than the distance of the "
        "demand, agents far away are not told what their walk is worth."
    )


def _values(instance: Instance, runs: Sequence[Run]) -> Table:
    rows = [
        (r.label, r.hops, r.credit_hops, r.samples, r.seed, t, float(value), float(instance.share(value)))
        for r in runs
        for t, value in enumerate(r.values)
    ]
    return Table(("algorithm", "k", "kappa", "B", "seed", "iteration", "J", "share"), rows)


def _references(instance: Instance) -> Table:
    named = {"uniform": instance.uniform, "stay": instance.stay, "best individual": instance.best.value}
    rows = [(name, value, instance.share(value)) for name, value in {**named, "optimum": instance.optimum}.items()]
    return Table(("policy", "J", "share"), rows)


def _over_time(instance: Instance, *groups: Sequence[Run]) -> Any:
    figure, axes = pictures.panels(len(groups), height=3.5, share_y=True)
    titles = ("Algorithm 2, policies (14)", "practical mode, individual policies")
    for axis, runs, title in zip(axes, groups, titles, strict=True):
        curves = np.array([instance.share(r.values) for r in runs])
        mean, half = curves.mean(0), np.array([half_width(column) for column in curves.T])
        t = np.arange(len(mean))
        axis.plot(t, curves.T, color=pictures.MEASURED, lw=0.7, alpha=0.5)
        if len(runs) > 3:
            axis.fill_between(t, mean - half, mean + half, color=pictures.MEASURED, alpha=0.18, lw=0)
        axis.plot(t, mean, color=pictures.MEASURED, lw=2.2, label="learnt")
        _levels(instance, axis)
        axis.set_xlabel("T_actor")
        axis.set_title(title, size=10.5, pad=8)
    axes[0].set_ylabel("share of the way")
    pictures.legend(figure, axes[0])
    return figure


def _over_radii(instance: Instance, by_hops: Sequence[Run], by_samples: Sequence[Run], grid: Sequence[Run]) -> Any:
    figure, (hops, samples, radii) = pictures.panels(3, height=3.6, share_y=True)
    _dots(hops, [r.hops for r in by_hops], [instance.share(r.values.max()) for r in by_hops], "learnt", "o")
    _dots(samples, [r.samples for r in by_samples], [instance.share(r.values.max()) for r in by_samples], "learnt", "o")
    for k, (marker, color) in enumerate((("s", pictures.OTHER), ("o", pictures.MEASURED), ("^", pictures.WORDS))):
        runs = [r for r in grid if r.hops == k]
        x = [r.credit_hops + 0.08 * (k - 1) for r in runs]
        _dots(radii, x, [instance.share(r.values[-1]) for r in runs], f"k = {k}", marker, color)
    for axis, name in ((hops, "k = kappa"), (samples, "B, pairs of a step"), (radii, "kappa")):
        _levels(instance, axis)
        axis.set_xlabel(name)
    for axis in (hops, radii):
        axis.set_xticks(range(DIAMETER + 1))
    samples.set_xscale("log")
    hops.set_ylabel("share of the way")
    handles = {label: h for axis in (hops, radii) for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9.5)
    return figure


def _dots(
    axis: Any, x: Sequence[float], y: Sequence[float], label: str, marker: str, color: str = pictures.MEASURED
) -> None:
    """One dot for each run, and a line through the means."""
    places = np.unique(x)
    axis.plot(x, y, marker, color=color, ms=4.5, alpha=0.6)
    axis.plot(places, [np.mean([b for a, b in zip(x, y, strict=True) if a == p]) for p in places], color=color, lw=1.6)
    axis.plot([], [], marker, ls="-", color=color, lw=1.6, ms=4.5, label=label)


def _levels(instance: Instance, axis: Any) -> None:
    axis.axhline(1, color=pictures.CLAIMED, ls="--", lw=1.5, label="best individual policy")
    axis.axhline(0, color=pictures.OTHER, lw=1, label="uniform")
    axis.axhline(instance.share(instance.stay), color=pictures.OTHER, ls=":", lw=1.4, label="stay")
