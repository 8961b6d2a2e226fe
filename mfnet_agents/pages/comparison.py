"""One self-contained page about a comparison: who leads among those who know as much, and what that rests on.

Whatever the results say is escaped by :mod:`.frame`; every number is of :mod:`mfnet_agents.comparison.standings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mfnet_agents.comparison import exports, tuning
from mfnet_agents.comparison.plan import PLAN, ComparisonFolder
from mfnet_agents.comparison.standings import ENOUGH_RUNS, THRESHOLDS, Board, Standing, Standings
from mfnet_agents.pages import charts, frame, plot
from mfnet_agents.pages.charts import Chart, Level, Series
from mfnet_agents.pages.frame import Markup, each, tag
from mfnet_envs.arrays import Floats
from mfnet_envs.measure import BOUND, RANDOM
from mfnet_envs.writing import written

STYLE = """
main { max-width: 76rem; }
h3 { margin-top: 1.6rem; }
td { font-size: .92rem; }
"""


def is_one(path: Path) -> bool:
    """Whether a comparison stands in this folder."""
    return (path / PLAN).is_file()


def build(path: Path) -> Path:
    """Write ``report.html``, the pictures and the tables into the folder of a comparison; returns the page's path.

    Raises:
        RunError: there is no comparison, nothing in it has been measured, or a file is damaged.
    """
    standings = Standings(ComparisonFolder(path))
    exports.write_all(standings, path)
    drawn = [chart for chart in (_efficiency(standings), _profiles(standings)) if chart is not None]
    for chart in drawn:
        charts.save_png(charts.figure(chart), path / f"{chart.name}.png")
    with written(path / "report.html") as file:
        file.write(_page(standings, drawn).encode())
    return path / "report.html"


# -- pictures


def _learners(standings: Standings, found: Mapping[str, Floats]) -> list[Series]:
    """A line for every learner, in the plan's order, so that all charts have the same colours; NaN where one has none.

    Args:
        found: name -> ``(3, n)``: middle, lower, upper.
    """
    names = [entry.text for entry in standings.plan.contenders if entry.kind == "learner"]
    nothing = np.full_like(next(iter(found.values())), np.nan)
    return [Series(name, *found.get(name, nothing)) for name in names]


def _efficiency(standings: Standings) -> Chart | None:
    found = standings.efficiency()
    if not found:
        return None
    x = np.linspace(0, 100, len(next(iter(found.values()))[0]))
    return Chart(
        name="sample_efficiency",
        title="Sample efficiency",
        x_label="share of the budget of environment steps (%)",
        y_label="score, interquartile mean",
        x=x,
        heads=[f"{share:.0f} % of the budget" for share in x],
        series=_learners(standings, found),
        levels=[Level(RANDOM, 0.0)],
        say="{:.3f}".format,
    )


def _profiles(standings: Standings) -> Chart | None:
    found = standings.profiles()
    if not found:
        return None
    return Chart(
        name="profiles",
        title="Performance profiles",
        x_label="score: 0 is random, 1 the bound",
        y_label="share of runs above it",
        x=THRESHOLDS,
        heads=[f"share of runs above {score:.2f}" for score in THRESHOLDS],
        series=_learners(standings, found),
        say="{:.2f}".format,
        y_range=(-0.02, 1.02),
    )


def _curves(standings: Standings, board: Board, name: str) -> Chart | None:
    """The learners of one instance over environment steps: mean over runs, and from the lowest to the highest."""
    found = {
        learner: np.array([entry.curves.mean(0), entry.curves.min(0), entry.curves.max(0)])
        for learner, entry in board.entries.items()
        if entry.kind == "learner" and entry.curves.size
    }
    if not found:
        return None
    best, bound, text = board.best_known, board.yardstick.bound, board.yardstick.text
    levels = [Level(RANDOM, board.random)]
    if board.entries[best].kind != "learner":
        levels.append(Level(f"best known: {best}", board.entries[best].mean, "best"))
    if bound is not None:
        levels.append(Level(BOUND, bound, "bound"))
    steps, series = np.array(board.instance.grid, float), _learners(standings, found)
    title = f"{board.instance.name}: learning curves"
    return charts.steps_chart(name, title, board.yardstick.unit, steps, series, levels, text)


# -- the page


def _page(standings: Standings, drawn: Sequence[Chart]) -> str:
    captions = {
        "sample_efficiency": "Scores of the learners on the choice worlds while they learn: interquartile mean over "
        "instances and runs, with its 95 % band (stratified bootstrap). Each instance has a budget of its own.",
        "profiles": "For every score, the share of runs above it, over all instances, with the pointwise 95 % band: a "
        "curve that lies above another everywhere is better in distribution.",
    }
    sections = [frame.section(chart.title, plot.figure(chart, captions[chart.name])) for chart in drawn]
    parts = [
        _header(standings), _ranking(standings), *sections, *_instances(standings), *_tuning(standings),
        _fine_print(standings),
    ]  # fmt: skip
    return frame.page(f"{standings.plan.suite.id}: a comparison", *parts, style=STYLE)


def _header(standings: Standings) -> Markup:
    plan = standings.plan
    runs = sum(len(entry.rows) for board in standings.boards for entry in board.entries.values())
    facts = [
        (f"{many:,}", _words(many, what))
        for many, what in (
            (len(standings.boards), "instance"),
            (len(plan.contenders), "contender"),
            (plan.seeds, "training seed"),
        )
    ]
    facts.insert(2, (f"{runs:,}", "policies replayed by the harness"))
    return tag(
        "header",
        tag("h1", plan.suite.id),
        tag("p", plan.suite.about, class_="sub"),
        frame.facts(facts),
        each("p", [_sentence(information, lines) for information, lines in standings.ranking.items()]),
    )


def _sentence(information: str, lines: list[Standing]) -> str:
    """Who leads in a class, and whether that is more than chance."""
    first, others = lines[0], lines[1:]
    if not others:
        return f"{information}: {first.name} alone."
    beaten = first.beats_next
    sure = beaten is not None and beaten.low > 0.5 and first.runs >= ENOUGH_RUNS
    few = f"by {first.runs} {_words(first.runs, 'run')} only"
    said = "leads" if sure else f"is first, {few if first.runs < ENOUGH_RUNS else 'and not beyond doubt'}"
    chance = "" if beaten is None else f" (a run of it beats one of the next with probability {beaten.value:.2f})"
    return f"{information}: {first.name} {said}{chance}."


def _words(many: int, what: str) -> str:
    return f"{what}{'s' * (many != 1)}"


def _ranking(standings: Standings) -> Markup:
    parts = []
    for information, (head, *rows) in exports.ranking_tables(standings).items():
        parts += [tag("h3", information), frame.table(head, [frame.row(row[0], row[1:]) for row in rows])]
        parts.append(_taken("ranking", [head, *rows]))
    return frame.section(
        "Ranking, by what a policy may know", *parts, tag("ul", each("li", standings.footnotes()), class_="caption")
    )


def _taken(name: str, rows: Sequence[Sequence[object]]) -> Markup:
    return tag("p", frame.csv_link(name, rows), class_="caption")


def _instances(standings: Standings) -> list[Markup]:
    tables, found = exports.instance_tables(standings, compute=True), []
    for k, board in enumerate(standings.boards):
        name = board.instance.name
        head, *rows = tables[name]
        kinds = {BOUND: "bound", board.best_known: "learnt"}
        table = frame.table(head, [frame.row(row[0], row[1:], class_=kinds.get(row[0])) for row in rows])
        options = ", ".join(f"{key} {value}" for key, value in board.instance.env_config.items())
        parts: list[Markup] = [tag("p", f"{board.instance.env}{f', {options}' if options else ''}", class_="sub")]
        chart = _curves(standings, board, f"curve{k}")
        if chart is not None:
            caption = (
                f"Learners on {board.instance.choice_worlds} choice worlds: mean over runs, and from the lowest to the "
                "highest. The table is of the test worlds, on which nothing was chosen."
            )
            parts.append(plot.figure(chart, caption))
        notes = [*([f"bound: {board.certificate}"] if board.certificate else []), *board.notes]
        parts += [
            table,
            _taken(f"instance{k}", tables[name]),
            *([tag("ul", each("li", notes), class_="caption")] if notes else []),
        ]
        found.append(frame.section(name, *parts))
    return found


def _tuning(standings: Standings) -> list[Markup]:
    searched = tuning.table(standings.folder, standings.plan)
    if not searched:
        return []
    head, *rows = searched
    caption = "Scores on the tuning instances: 0 is random, 1 the bound. The starred configuration is in the tables."
    table = frame.table(head, [frame.row(row[0], row[1:]) for row in rows])
    return [frame.section("Tuning", table, tag("p", caption, class_="caption"))]


def _fine_print(standings: Standings) -> Markup:
    record = standings.record
    needs = {entry.name: entry.needs for board in standings.boards for entry in board.entries.values() if entry.needs}
    options = {
        entry.name: ", ".join(f"{name}={value}" for name, value in entry.rows[0]["options"].items())
        for entry in reversed(list(standings.boards[0].entries.values()))
        if isinstance(entry.rows[0].get("options"), dict)
    }
    pairs = [*record.get("versions", {}).items(), *record.get("machine", {}).items(), ("commit", record.get("commit"))]
    return frame.section(
        "What this rests on",
        tag("h3", "What each must know"),
        tag("ul", each("li", [f"{name}: {said}" for name, said in needs.items()])),
        tag("h3", "Options of the learners, on the first instance with the first seed"),
        *(tag("details", tag("summary", name), tag("p", said, class_="options")) for name, said in options.items()),
        tag("h3", "Again, from the command line"),
        tag("pre", f"{record.get('command') or 'mfnet compare ' + standings.plan.suite.id}\nmfnet report FOLDER"),
        tag("p", ", ".join(f"{name} {value}" for name, value in pairs), class_="caption"),
        class_="fine",
    )
