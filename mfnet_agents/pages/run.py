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
from mfnet_agents.checkpoint import CheckpointError
from mfnet_agents.pages import charts, film, frame, plot
from mfnet_agents.pages import map as maps
from mfnet_agents.pages.charts import Chart, Level, Series
from mfnet_agents.pages.frame import Markup, each, join, tag
from mfnet_agents.pages.record import LEARNT, Record, Staircase, load
from mfnet_agents.progress import Progress
from mfnet_agents.runs import RunError, RunFolder, preset_notes
from mfnet_envs.arrays import Floats
from mfnet_envs.measure import BOUND, RANDOM, Measurement, Result, measure, percent
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.positions import node_positions
from mfnet_envs.wording import MapWords, Wording
from mfnet_envs.yardstick import Yardstick

MAP_STEPS = 12_800  # of all worlds together: 32 worlds of 400 steps
MAP_NUMBERS = 2**26  # of these, times states
LEARNT_TITLE = "learnt"  # in film and map
PLANNER = "planner"  # how the names of planners begin
OWN_PLAY = "samples of its own play"
PROOFS = {
    "lp": "comes from a linear programme",
    "convex": "comes from a convex programme",
    "closed-form": "is a closed form",
    "dp": "comes from dynamic programming",
}
UNPROVED = "is exceeded by no policy"  # where the file does not say how it was proved


class Map(NamedTuple):
    """Where agents are, as it is drawn on the page and beside it."""

    places: maps.Places
    panels: list[maps.Panel]
    words: MapWords


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
    drawn = {chart.name: (chart, caption) for chart, caption in _charts(run)}
    for name, (chart, _) in drawn.items():
        charts.save_png(charts.figure(chart), path / f"{name}.png")
    played, why = _played(run, model, folder)
    where = _map(run, model, played)
    if where is not None:
        charts.save_png(maps.draw(where.places, where.panels, where.words.tilt), path / "map.png")
    films = [film.section(model, played, run.measured.seed)] if played and film.steps_of(model) else []
    folder.write_text("report.html", _page(run, model, drawn, where, films, why))
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

    common: dict[str, Any] = {"worlds": run.measured.worlds, "seed": run.measured.seed}
    found = measure(model, model.heuristics(), **common, certificate=None, tell=tell)
    folder.write("heuristics.json", {**common, "policies": found.to_dict()["policies"]})


def sentences(measured: Measurement) -> list[str]:
    """What the numbers say of the learnt policy, and no more; then its other execution, if it has one."""
    return [*measured.sentences("best", "The learnt policy", LEARNT), *measured.executions()]


# -- pictures


def _charts(run: Record) -> list[tuple[Chart, str]]:
    """The charts with their captions."""
    found = []
    if len(run.curve):
        found.append(learning_curve(run.curve, levels(run.measured), run.measured.yardstick, run.duration))
    if run.staircase is not None:
        found.append(_staircase(run.measured, run.staircase))
    return found


def levels(measured: Measurement) -> list[Level]:
    """The bound, the best heuristic, the best known where that is a planner's, the other heuristics down to random."""
    others = [name for name in measured.results if name not in LEARNT]
    best = max((n for n in others if not n.startswith(PLANNER)), key=lambda name: measured.results[name].value)
    known = max(others, key=lambda name: measured.results[name].value)
    titles = {best: f"best heuristic: {measured.label(best)}"} if best != RANDOM else {}
    titles |= {known: f"best known: {measured.label(known)}"} if known != best else {}
    found = []
    for name in others:
        value = measured.results[name].value
        if value >= measured.results[RANDOM].value:
            found.append(Level(titles.get(name, measured.label(name)), value, "best" if name in titles else "other"))
    return [*found, *bound_level(measured.yardstick)]


def bound_level(yardstick: Yardstick) -> list[Level]:
    return [] if yardstick.bound is None else [Level(BOUND, yardstick.bound, "bound")]


def learning_curve(curve: Floats, lines: list[Level], yardstick: Yardstick, duration: int) -> tuple[Chart, str]:
    """The headline over environment steps ``(evaluations, 3)``, as :attr:`Record.curve`, and its caption."""
    steps, values, ci95 = curve.T
    reach = np.where(np.isfinite(ci95), ci95, np.nan)
    series = Series("learnt", values, values - reach, values + reach)
    name = "learning_curve"
    chart = charts.steps_chart(name, "Learning curve", yardstick.unit, steps, [series], lines, yardstick.text)
    caption = f"Evaluations during training{f', {duration} worlds each' if duration else ''}, with their 95 % band."
    if any(level.kind != "bound" for level in lines):
        caption += " Solid lines: the scenario's heuristics (those below the random policy are in the table only)."
    if yardstick.bound is not None:
        caption += " Dashed: the bound, which no policy exceeds."
    return chart, caption


def _staircase(measured: Measurement, stairs: Staircase) -> tuple[Chart, str]:
    values, ci95 = (np.array([getattr(r, key) for r in stairs.results.values()]) for key in ("value", "ci95"))
    reach = np.where(np.isfinite(ci95), ci95, np.nan)
    radii = [str(radius) for radius in stairs.results]
    chart = Chart(
        name="staircase",
        title="How far credit must travel",
        x_label="credit_hops: from how many hops away a node's critic is listened to",
        y_label=measured.yardstick.unit,
        x=np.arange(float(len(radii))),
        heads=[f"credit_hops {radius}" for radius in radii],
        series=[Series("short runs", values, values - reach, values + reach)],
        levels=levels(measured),
        ticks=radii,
        say=measured.yardstick.text,
    )
    options = ", ".join(f"{name}={value}" for name, value in stairs.options.items())
    caption = (
        f"{len(values)} short runs of {stairs.steps:,} environment steps, one training seed each. They differ in "
        "nothing but the radius over which a node sums the critics' advantages (otherwise the main run's options but "
        f"for {options}). A move pays later and elsewhere: with too small a radius that part of its value never "
        "reaches the node it left."
    )
    return chart, caption


def _played(run: Record, model: LocalModel, folder: RunFolder) -> tuple[dict[str, Policy], list[str]]:
    """Title -> policy of the best iterate and of the best heuristic, for film and map; else nothing, and why."""
    placed = node_positions(model) is not None
    if not placed and maps.polygons(model) is None:
        return {}, ["No film and no map: the scenario gives its nodes no positions."]
    try:
        learnt = folder.algorithm(folder.best).policy
    except (RunError, CheckpointError) as error:
        return {}, [f"No film and no map of what was learnt: {error}."]
    heuristics, results = model.heuristics(), run.measured.results
    known = [name for name in heuristics if name in results]
    best = max(known, key=lambda name: results[name].value, default=RANDOM)
    reason = (
        "there are too many nodes or agents for one on a page" if placed else "the nodes have shapes, and no positions"
    )
    why = [] if film.steps_of(model) else [f"No film: {reason}."]
    why += [] if model.network.num_nodes <= maps.MOST_NODES else ["No map: there are too many nodes for one on a page."]
    return {
        LEARNT_TITLE: learnt,
        f"best heuristic: {run.measured.label(best)}": heuristics.get(best) or uniform(model),
    }, why


def _map(run: Record, model: LocalModel, played: dict[str, Policy]) -> Map | None:
    """Where agents wait under the random and the best policy; None without positions, or with too many nodes."""
    places = maps.places(model) if played and model.network.num_nodes <= maps.MOST_NODES else None
    if places is None:
        return None
    words = maps.words_of(model)
    steps = min(MAP_STEPS, MAP_NUMBERS // model.network.num_states)
    worlds, seed = max(1, min(steps // model.evaluation[0], run.measured.worlds)), run.measured.seed
    shown = (uniform(model), played[LEARNT_TITLE])
    before, after = (maps.waiting(model, policy, worlds, seed, run.options.get("backend")) for policy in shown)
    return Map(places, maps.panels(model, words, before, after), words)


# -- the page


def _page(
    run: Record, model: LocalModel, drawn: Mapping[str, tuple[Chart, str]], where: Map | None, films: list[Markup],
    why: list[str],
) -> str:  # fmt: skip
    sections = {name: frame.section(chart.title, plot.figure(chart, said)) for name, (chart, said) in drawn.items()}
    notes = dict.fromkeys([*model.notes, *run.measured.notes])  # what the run said of it may be more
    about = [frame.section("To be known about the model", tag("ul", each("li", notes)))] if notes else []
    maps_ = [] if where is None else [frame.section(where.words.heading, maps.figure(*where))]
    parts = [
        header(run, model), policies(run, model.wording), *about, *filter(None, [sections.pop("learning_curve", None)]),
        *films, *maps_, *sections.values(), _fine_print(run, model, why),
    ]  # fmt: skip
    return frame.page(f"{run.env}: what was learnt", *parts, style=film.STYLE + maps.STYLE, script=film.SCRIPT)


def header(run: Record, model: LocalModel, heading: str = "h1") -> Markup:
    """Scenario, learner, the numbers that matter, and what they say."""
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
        tag(heading, run.env),
        tag("p", " · ".join(about), class_="sub"),
        frame.facts(facts),
        each("p", [*sentences(measured), *measured.exceeded()]),
    )


def policies(run: Record, words: Wording) -> Markup:
    """Everybody on the same worlds, with what each must know."""
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
    table, link = frame.table(measured.head(), rows), frame.csv_link("policies", _exact(measured))
    return frame.section("Policies side by side", table, tag("p", caption, " ", link, class_="caption"))


def _exact(measured: Measurement) -> list[list[object]]:
    """The table with all digits."""
    rows: list[list[object]] = [["policy", measured.yardstick.unit, "half of 95 % interval", "share of the gap closed"]]
    for name in measured.ranked():
        result = measured.results[name]
        rows.append([measured.label(name), result.value, result.ci95, measured.gap_closed(name)])
    return rows if measured.yardstick.bound is None else [*rows, [BOUND, measured.yardstick.bound, "", 1.0]]


def _learner_needs(run: Record, words: Wording) -> dict[str, str]:
    """In the algorithm's own words; runs of earlier versions have the scenario's about the shipped learner."""
    needs = run.needs or words.learner_needs or OWN_PLAY
    return {
        "best": f"{needs}; the iterate that was best on seeds of their own",
        "last": f"{needs}; the last iterate",
    }


def _fine_print(run: Record, model: LocalModel, why: list[str]) -> Markup:
    steps, warmup = model.evaluation
    notes = [
        f"Evaluation: {steps} steps from the initial law"
        + (f", of which the first {warmup} are warm-up." if warmup else "."),
        *_about_the_bound(run.measured),
        "One training seed. The intervals are over evaluation worlds, not over training seeds.",
        *preset_notes(run.env, run.algorithm),
        *(f"{note[:1].upper()}{note[1:]}." for note in run.measured.notes if note not in model.notes),
        *why,
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
