"""One self-contained page about a run: what was learnt, how good that is, and what it rests on.

Words about the scenario come from its ``wording`` and ``headline``, words about the learner from the run's record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium.error import Error

import mfnet_envs
from mfnet_agents.pages import charts, frame
from mfnet_agents.pages import map as maps
from mfnet_agents.pages.frame import Markup, each, join, tag
from mfnet_agents.pages.record import LEARNT, Record, Staircase, load
from mfnet_agents.progress import Progress
from mfnet_agents.runs import RunError, RunFolder, preset_notes
from mfnet_envs.measure import BOUND, RANDOM, Measurement, Result, measure, percent
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import uniform
from mfnet_envs.wording import Wording

MAP_WORLDS = 32
OWN_PLAY = "samples of its own play"
PROOFS = {
    "lp": "comes from a linear programme",
    "convex": "comes from a convex programme",
    "closed-form": "is a closed form",
    "dp": "comes from dynamic programming",
}
UNPROVED = "is exceeded by no policy"  # where the file does not say how it was proved


class Picture(NamedTuple):
    figure: Any
    heading: str
    caption: str


def build(path: Path, progress: Progress | None = None) -> Path:
    """Write ``report.html`` and the pictures into a run folder; returns the page's path.

    The scenario's heuristics are measured on the run's evaluation worlds first, unless the folder has their numbers.

    Raises:
        RunError: there is no run, it has no result yet, or a file of it is damaged.
    """
    folder, progress = RunFolder(path), progress or Progress()
    run, model = read(path)
    if not run.complete:
        _add_heuristics(run, model, folder, progress)
        run, model = read(path)
    pictures = _pictures(run, model, folder)
    for name, picture in pictures.items():
        charts.save_png(picture.figure, path / f"{name}.png")
    folder.write_text("report.html", _page(run, model, pictures))
    return path / "report.html"


def read(path: Path) -> tuple[Record, LocalModel]:
    """The record of a run, its policies called as the scenario calls them, and the scenario.

    Raises:
        RunError: there is no run, it has no result yet, or a file of it is damaged.
    """
    run = load(path)
    try:
        model = mfnet_envs.make_model(run.env, **run.env_config)
    except (Error, TypeError, ValueError) as error:
        raise RunError(f"the environment of the run in {path} cannot be made: {error}") from error
    return replace(run, measured=replace(run.measured, labels={**model.wording.labels, **LEARNT})), model


def _add_heuristics(run: Record, model: LocalModel, folder: RunFolder, progress: Progress) -> None:
    """Measure what a run of an earlier version did not: the heuristics, into ``heuristics.json``."""
    progress.say("measuring the heuristics ...")
    labels, text = model.wording.labels, run.measured.yardstick.text

    def tell(name: str, result: Result) -> None:
        progress.say(f"{labels.get(name, name)}: {text(result.value, result.ci95)}")

    common = {"worlds": run.measured.worlds, "seed": run.measured.seed}
    found = measure(model, model.heuristics(), **common, certificate=None, tell=tell)
    folder.write("heuristics.json", {**common, "policies": found.to_dict()["policies"]})


def sentences(measured: Measurement) -> list[str]:
    """What the numbers say of the learnt policy, and no more; then its other execution, if it has one."""
    return [*measured.sentences("best", "The learnt policy", LEARNT), *measured.executions()]


# -- pictures


def _pictures(run: Record, model: LocalModel, folder: RunFolder) -> dict[str, Picture]:
    """Name -> picture, in the order of the page."""
    found = {}
    if len(run.curve):
        found["learning_curve"] = _curve(run)
    if model.wording.map is not None and maps.polygons(model) is not None:
        found["map"] = _map(run, model, folder)
    if run.staircase is not None:
        found["staircase"] = _staircase(run.measured, run.staircase)
    return found


def _levels(measured: Measurement, lowest: float) -> list[charts.Line]:
    """The heuristics, without those that are worse than random and than all that is drawn."""
    lowest = min(lowest, measured.results[RANDOM].value)
    found = [(measured.label(n), result.value) for n, result in measured.results.items() if n not in LEARNT]
    return [(label, value) for label, value in found if value >= lowest]


def _curve(run: Record) -> Picture:
    steps, values, ci95 = run.curve.T
    levels = _levels(run.measured, float(np.nanmin(values)))
    figure = charts.curve(steps, values, ci95, levels, run.measured.yardstick)
    caption = (
        f"Evaluations during training{f', {run.duration} worlds each' if run.duration else ''}, with their 95 % band. "
        "Thin lines: the scenario's heuristics (those below the random policy are in the table only)."
    )
    if run.measured.yardstick.bound is not None:
        caption += " Dashed: the bound, which no policy exceeds."
    return Picture(figure, "Learning curve", caption)


def _map(run: Record, model: LocalModel, folder: RunFolder) -> Picture:
    """Where agents wait under the random and the best policy."""
    words, rings = model.wording.map, maps.polygons(model)
    assert words is not None and rings is not None
    policies = (uniform(model), folder.algorithm(folder.best).policy)
    worlds, seed = min(MAP_WORLDS, run.measured.worlds), run.measured.seed
    before, after = (maps.waiting(model, policy, worlds, seed) for policy in policies)
    panels = maps.panels(model, words, before, after)
    return Picture(maps.draw(rings, panels, words.tilt), words.heading, maps.caption(words, panels))


def _staircase(measured: Measurement, stairs: Staircase) -> Picture:
    values, ci95 = (np.array([getattr(r, key) for r in stairs.results.values()]) for key in ("value", "ci95"))
    levels = _levels(measured, float(values.min()))
    figure = charts.staircase(list(stairs.results), values, ci95, levels, measured.yardstick)
    options = ", ".join(f"{name}={value}" for name, value in stairs.options.items())
    caption = (
        f"{len(values)} short runs of {stairs.steps:,} environment steps, one training seed each. They differ in "
        "nothing but the radius over which a node sums the critics' advantages (otherwise the main run's options but "
        f"for {options}). A move pays later and elsewhere: with too small a radius that part of its value never "
        "reaches the node it left."
    )
    return Picture(figure, "How far credit must travel", caption)


# -- the page


def _page(run: Record, model: LocalModel, pictures: Mapping[str, Picture]) -> str:
    sections = [
        frame.section(heading, frame.figure(charts.svg(figure, name, heading), caption))
        for name, (figure, heading, caption) in pictures.items()
    ]
    about = [frame.section("To be known about the model", tag("ul", each("li", model.notes)))] if model.notes else []
    parts = [_header(run, model), _table(run, model.wording), *about, *sections, _fine_print(run, model)]
    return frame.page(f"{run.env}: what was learnt", *parts)


def _header(run: Record, model: LocalModel) -> Markup:
    measured, words = run.measured, model.wording
    facts = [(measured.yardstick.text(measured.results["best"].value), measured.yardstick.unit)]
    gap = measured.gap_closed("best")
    if gap is not None:
        facts.append((percent(gap, 0), "of the gap between random and the bound"))
    facts.append((f"{run.env_steps / 1000:,.0f}k", f"environment steps, {run.seconds:,.0f} s of training"))
    size = f"{model.network.num_nodes} nodes, {model.population:,} {words.agents}"
    about = [f"{run.algorithm}, seed {run.seed}", *filter(None, [words.place]), size]
    return tag(
        "header",
        tag("h1", run.env),
        tag("p", " · ".join(about), class_="sub"),
        frame.facts(facts),
        each("p", sentences(measured)),
    )


def _table(run: Record, words: Wording) -> Markup:
    measured, needs = run.measured, {**words.needs, **_learner_needs(run, words), BOUND: "no policy exceeds it"}
    names = [*measured.ranked(), *([] if measured.yardstick.bound is None else [BOUND])]
    kinds = {**dict.fromkeys(LEARNT, "learnt"), BOUND: "bound"}
    rows = []
    for name in names:
        label, *cells = measured.row(name)
        head = join([label, tag("small", needs[name])]) if needs.get(name) else label
        rows.append(frame.row(head, cells, class_=kinds.get(name)))
    caption = (
        f"Means over the same {measured.worlds} worlds (seed {measured.seed}) with 95 % intervals over worlds; neither "
        "the training nor the choice of the best iterate saw them. Gap closed: share of the way from the random policy "
        "to the bound."
    )
    table = frame.table(measured.head(), rows)
    return frame.section("Policies side by side", table, tag("p", caption, class_="caption"))


def _learner_needs(run: Record, words: Wording) -> dict[str, str]:
    """In the algorithm's own words; runs of earlier versions have the scenario's about the shipped learner."""
    needs = run.needs or words.learner_needs or OWN_PLAY
    return {
        "best": f"{needs}; the iterate that was best on seeds of their own",
        "last": f"{needs}; the last iterate",
    }


def _fine_print(run: Record, model: LocalModel) -> Markup:
    steps, warmup = model.evaluation
    notes = [
        f"Evaluation: {steps} steps from the initial law"
        + (f", of which the first {warmup} are warm-up." if warmup else "."),
        *_about_the_bound(run.measured),
        "One training seed. The intervals are over evaluation worlds, not over training seeds.",
        *preset_notes(run.env, run.algorithm),
    ]
    commands = [run.command or f"mfnet train {run.env}", "mfnet evaluate RUN", "mfnet report RUN"]
    options, versions = (
        ", ".join(f"{name}{between}{value}" for name, value in pairs.items())
        for between, pairs in (("=", run.options), (" ", run.versions))
    )
    return frame.section(
        "What this rests on",
        tag("ul", each("li", notes)),
        tag("h3", "Again, from the command line"),
        tag("pre", "\n".join(commands)),
        tag("details", tag("summary", "All options"), tag("p", options, class_="options")),
        tag("p", versions, class_="caption"),
        class_="fine",
    )


def _about_the_bound(measured: Measurement) -> list[str]:
    if measured.yardstick.bound is None:
        return []
    known, slack = measured.certificate, "How much of the remaining gap is its slack is not known"
    whose = UNPROVED if known is None else f"{PROOFS.get(known.kind, UNPROVED)}; it holds for {known.assumption}"
    return [f"The bound {whose}. {slack}; it is a bound on the headline only."]
