"""One self-contained page about a comparison: who leads among those who know as much, and what that rests on.

Whatever the results say is escaped by :mod:`.frame`; every number is of :mod:`mfnet_agents.comparison.standings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_agents.comparison import exports, tuning
from mfnet_agents.comparison.plan import PLAN, ComparisonFolder
from mfnet_agents.comparison.standings import ENOUGH_RUNS, THRESHOLDS, Board, Standing, Standings
from mfnet_agents.pages import charts, frame
from mfnet_agents.pages.frame import Markup, each, tag
from mfnet_envs.arrays import Floats
from mfnet_envs.measure import BOUND, RANDOM
from mfnet_envs.writing import written

# Told apart by every kind of colour vision, and by the dashes where there are more.
COLOURS = ("#0060a8", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a")
DASHES = ("-", "--", "-.", ":")
STYLE = """
main { max-width: 76rem; }
h3 { margin-top: 1.6rem; }
td { font-size: .92rem; }
figure svg { margin: .6rem 0; }
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
    pictures = {"sample_efficiency": _efficiency(standings), "profiles": _profiles(standings)}
    curves = {board.instance.name: _curves(board, _looks(standings)) for board in standings.boards}
    for name, figure in pictures.items():
        if figure is not None:
            charts.save_png(figure, path / f"{name}.png")
    with written(path / "report.html") as file:
        file.write(_page(standings, pictures, curves).encode())
    return path / "report.html"


# -- pictures


def _looks(standings: Standings) -> dict[str, dict[str, Any]]:
    """Learner -> colour and dashes, the same in every picture."""
    learners = [each.text for each in standings.plan.contenders if each.kind == "learner"]
    return {
        name: {"color": COLOURS[k % len(COLOURS)], "ls": DASHES[k // len(COLOURS) % len(DASHES)]}
        for k, name in enumerate(learners)
    }


def _lines(axes: Any, x: Floats, found: Mapping[str, Floats], looks: Mapping[str, dict[str, Any]]) -> None:
    """A line with its band for each, ``(3, len(x))``: middle, lower, upper."""
    for name, (middle, low, high) in found.items():
        axes.fill_between(x, low, high, color=looks[name]["color"], alpha=0.13, lw=0)
        axes.plot(x, middle, lw=2, label=charts.plain(name), **looks[name])
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)


def _efficiency(standings: Standings) -> Any:
    found = standings.efficiency()
    if not found:
        return None
    figure, axes = charts.figure_of(8.4, 4.0)
    points = len(next(iter(found.values()))[0])
    _lines(axes, np.linspace(0, 100, points), found, _looks(standings))
    axes.set_xlabel("share of the budget of environment steps (%)")
    axes.set_ylabel("score, interquartile mean")
    axes.axhline(0, color=charts.QUIET, lw=0.9)
    return figure


def _profiles(standings: Standings) -> Any:
    found = standings.profiles()
    if not found:
        return None
    figure, axes = charts.figure_of(8.4, 4.0)
    _lines(axes, THRESHOLDS, found, _looks(standings))
    axes.set_xlabel("score: 0 is random, 1 the bound")
    axes.set_ylabel("share of runs above it")
    axes.set_ylim(-0.02, 1.02)
    return figure


def _curves(board: Board, looks: Mapping[str, dict[str, Any]]) -> Any:
    """The learners of one instance over environment steps: mean over runs, and from the lowest to the highest."""
    found = {
        name: np.array([entry.curves.mean(0), entry.curves.min(0), entry.curves.max(0)])
        for name, entry in board.entries.items()
        if name in looks and entry.curves.size
    }
    if not found:
        return None
    figure, axes = charts.figure_of(8.4, 3.6)
    best, bound = board.best_known, board.yardstick.bound
    if bound is not None:
        axes.axhline(bound, color=charts.BOUND, lw=1.6, ls="--", label=BOUND)
    if best not in looks:
        best_value = board.entries[best].mean
        axes.axhline(best_value, color=charts.TEXT, lw=1.3, ls=":", label=charts.plain(f"best known: {best}"))
    axes.axhline(board.random, color=charts.QUIET, lw=0.9, label=RANDOM)
    _lines(axes, np.array(board.instance.grid) / 1000, found, looks)
    axes.set_xlabel("environment steps (thousands)")
    axes.set_ylabel(charts.plain(board.yardstick.unit))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    return figure


# -- the page


def _page(standings: Standings, pictures: Mapping[str, Any], curves: Mapping[str, Any]) -> str:
    captions = {
        "sample_efficiency": (
            "Sample efficiency",
            "Scores of the learners on the choice worlds while they learn: interquartile mean over instances and runs, "
            "with its 95 % band (stratified bootstrap). Each instance has a budget of its own.",
        ),
        "profiles": (
            "Performance profiles",
            "For every score, the share of runs above it, over all instances, with the pointwise 95 % band: a curve "
            "that lies above another everywhere is better in distribution.",
        ),
    }
    drawn = [
        frame.section(captions[name][0], frame.figure(charts.svg(figure, name, captions[name][0]), captions[name][1]))
        for name, figure in pictures.items()
        if figure is not None
    ]
    parts = [
        _header(standings), _ranking(standings), *drawn, *_instances(standings, curves), *_tuning(standings),
        _fine_print(standings),
    ]  # fmt: skip
    return frame.page(f"{standings.plan.suite.id}: a comparison", *parts, style=STYLE)


def _header(standings: Standings) -> Markup:
    plan = standings.plan
    runs = sum(len(entry.rows) for board in standings.boards for entry in board.entries.values())
    facts = [
        (str(len(standings.boards)), "instances"),
        (str(len(plan.contenders)), "contenders"),
        (f"{runs:,}", "policies replayed by the harness"),
        (str(plan.seeds), "training seeds"),
    ]
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
    said = "leads" if sure else "is first, and not beyond doubt"
    chance = "" if beaten is None else f" (a run of it beats one of the next with probability {beaten.value:.2f})"
    return f"{information}: {first.name} {said}{chance}."


def _ranking(standings: Standings) -> Markup:
    parts = []
    for information, (head, *rows) in exports.ranking_tables(standings).items():
        parts += [tag("h3", information), frame.table(head, [frame.row(row[0], row[1:]) for row in rows])]
    return frame.section(
        "Ranking, by what a policy may know", *parts, tag("ul", each("li", standings.footnotes()), class_="caption")
    )


def _instances(standings: Standings, curves: Mapping[str, Any]) -> list[Markup]:
    tables, found = exports.instance_tables(standings, compute=True), []
    for k, board in enumerate(standings.boards):
        name = board.instance.name
        head, *rows = tables[name]
        kinds = {BOUND: "bound", board.best_known: "learnt"}
        table = frame.table(head, [frame.row(row[0], row[1:], class_=kinds.get(row[0])) for row in rows])
        options = ", ".join(f"{key} {value}" for key, value in board.instance.env_config.items())
        parts: list[Markup] = [tag("p", f"{board.instance.env}{f', {options}' if options else ''}", class_="sub")]
        if curves[name] is not None:
            caption = (
                f"Learners on {board.instance.choice_worlds} choice worlds: mean over runs, and from the lowest to the "
                "highest. The table is of the test worlds, on which nothing was chosen."
            )
            parts.append(frame.figure(charts.svg(curves[name], f"curve{k}", f"{name}: learning curves"), caption))
        notes = [*([f"bound: {board.certificate}"] if board.certificate else []), *board.notes]
        parts += [table, tag("ul", each("li", notes), class_="caption")]
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
