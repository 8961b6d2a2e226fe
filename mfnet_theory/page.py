"""The page of ``mfnet verify``: all verdicts on top, then every experiment with its pictures and its tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import mfnet_envs
from mfnet_agents.pages import charts, frame
from mfnet_agents.pages.frame import Markup, each, join, tag
from mfnet_agents.progress import clock
from mfnet_theory.statement import Experiment, Settings, Statement

MARKS = {"holds": "✓", "holds as corrected": "†", "fails": "✗"}
COLUMNS = ("Statement", "It says", "Computed", "Tolerance", "Verdict")


def build(done: Sequence[Experiment], missing: Sequence[str], settings: Settings, seconds: float) -> str:
    """The whole page as text.

    Args:
        missing: experiments that were asked for and not finished.
    """
    parts = [_header(done, missing, settings, seconds), _summary(done), *map(_section, done)]
    return frame.page("mfnet verify: what the paper says, and what holds", *parts, style=STYLE)


def _header(done: Sequence[Experiment], missing: Sequence[str], settings: Settings, seconds: float) -> Markup:
    verdicts = [line.verdict for experiment in done for line in experiment.statements]
    facts = [(verdicts.count(name), f"{mark} {_of(name)}") for name, mark in MARKS.items()]  # type: ignore[arg-type]
    stopped = tag("p", tag("strong", "Stopped early."), f" Not run: {', '.join(missing)}.") if missing else ""
    about = (
        'Statements of Gu, Guo, Wei and Xu, "Mean-Field Multiagent Reinforcement Learning: A Decentralized Network '
        f'Approach", computed on instances small enough to enumerate. {MARKS["holds as corrected"]} marks statements '
        "whose printed form is false on the instance shown; the corrected form stands in the line and holds."
    )
    return tag(
        "header",
        tag("h1", "What the paper says, and what holds"),
        tag("p", f"mfnet verify · {_what(settings)} · {clock(seconds)} min", class_="sub"),
        frame.facts(facts),
        stopped,
        tag("p", about),
        tag("p", _versions(), class_="caption"),
    )


def _of(verdict: str) -> str:
    return {"holds": "hold", "holds as corrected": "hold as corrected", "fails": "fail"}[verdict]


def _what(settings: Settings) -> str:
    """Which model, how long, which seed."""
    model = settings.model
    about = "the instances of this package"
    if model is not None:
        about = f"{type(model).__name__}: {model.network.num_states} states, {model.population} agents"
    return f"{about} · {'quick' if settings.quick else 'full'} · seed {settings.seed}"


def _versions() -> str:
    return f"mfnet {mfnet_envs.__version__}, numpy {np.__version__}, Python {sys.version.split()[0]}"


def _summary(done: Sequence[Experiment]) -> Markup:
    table = frame.table(COLUMNS, map(_group, done), class_="statements")
    csv = tag("p", "The same lines: ", tag("a", "statements.csv", href="statements.csv"), class_="caption")
    return frame.section("All statements", table, csv)


def _group(experiment: Experiment) -> Markup:
    link = tag("a", experiment.title, href=f"#{experiment.key}")
    head = tag("tr", tag("th", link, scope="rowgroup", colspan=5), class_="group")
    return join([head, *map(_row, experiment.statements)])


def _row(line: Statement) -> Markup:
    return frame.row(line.name, [line.says, line.computed, line.tolerance, _badge(line)])


def _badge(line: Statement) -> Markup:
    mark = tag("i", MARKS[line.verdict], aria_hidden="true")
    return tag("span", mark, f" {line.verdict}", class_=f"badge {line.verdict.replace(' ', '-')}")


def _section(experiment: Experiment) -> Markup:
    pictures = [_picture(experiment, i, *picture) for i, picture in enumerate(experiment.figures)]
    return frame.section(
        experiment.title,
        each("p", experiment.text.split("\n\n")),
        tag("ul", each("li", map(_line, experiment.statements)), class_="lines"),
        *pictures,
        _links(f"{experiment.key}-{name}.csv" for name in experiment.tables),
        id=experiment.key,
    )


def _line(line: Statement) -> Markup:
    return join([_badge(line), " ", tag("b", line.name), f": {line.says} ", tag("span", line.computed, class_="found")])


def _picture(experiment: Experiment, place: int, caption: str, figure: Any) -> Markup:
    return frame.figure(charts.svg(figure, f"{experiment.key}-{place}", caption), caption)


def _links(files: Iterable[str]) -> Markup:
    links = [join([", " if i else "", tag("a", name, href=name)]) for i, name in enumerate(files)]
    return tag("p", "Numbers: ", *links, class_="caption") if links else Markup()


STYLE = """
main { max-width: 70rem; }
table.statements { font-size: .9rem; }
table.statements th, table.statements td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.statements tbody th { width: 14%; overflow-wrap: normal; }
table.statements thead th { font-weight: 600; }
table.statements td:nth-child(2) { width: 29%; }
table.statements td:nth-child(4) { width: 12%; color: var(--soft); }
table.statements td:last-child { width: 12%; }
tr.group th:first-child { padding-top: 1.1rem; font-weight: 600; font-size: .95rem; width: auto; }
.badge { display: inline-block; white-space: nowrap; font-size: .82rem; font-weight: 600; padding: .05rem .5rem; }
.badge { border: 1px solid var(--axis); border-radius: 99px; background: var(--card); color: var(--ink); }
.badge i { font-style: normal; }
.badge.holds { border-color: var(--accent); color: var(--accent); background: var(--learnt); }
.badge.holds-as-corrected { border-style: dashed; border-color: var(--accent); color: var(--accent); }
.badge.fails { background: var(--ink); border-color: var(--ink); color: var(--card); }
ul.lines { list-style: none; padding: 0; margin: .8rem 0 1.2rem; }
ul.lines li { padding: .45rem 0; border-bottom: 1px solid var(--rule); }
.found { color: var(--soft); display: block; font-variant-numeric: tabular-nums; }
figure + figure { margin-top: 1.6rem; }
section p:not(.caption) { max-width: 46rem; margin: .4rem 0; }
"""
