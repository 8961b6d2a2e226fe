"""The page of ``mfnet verify``: all verdicts on top, then every experiment with its pictures and its tables."""

from __future__ import annotations

import html
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import mfnet_envs
from mfnet_agents import report, report_charts
from mfnet_agents.progress import clock
from mfnet_agents.verify.statement import Experiment, Settings, Statement

MARKS = {"holds": "✓", "holds as corrected": "†", "fails": "✗"}


def build(done: Sequence[Experiment], missing: Sequence[str], settings: Settings, seconds: float) -> str:
    """The whole page as text.

    Args:
        missing: experiments that were asked for and not finished.
    """
    body = "\n".join([_header(done, missing, settings, seconds), _summary(done), *map(_section, done)])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>mfnet verify: what the paper says, and what holds</title>
<style>{report.STYLE}{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _header(done: Sequence[Experiment], missing: Sequence[str], settings: Settings, seconds: float) -> str:
    verdicts = [line.verdict for experiment in done for line in experiment.statements]
    cards = "".join(f"<li><b>{verdicts.count(name)}</b><span>{MARKS[name]} {_of(name)}</span></li>" for name in MARKS)  # type: ignore[arg-type]
    stopped = f"<p><strong>Stopped early.</strong> Not run: {_text(', '.join(missing))}.</p>" if missing else ""
    return f"""<header>
<h1>What the paper says, and what holds</h1>
<p class="sub">mfnet verify · {_text(_what(settings))} · {clock(seconds)} min</p>
<ul class="facts">{cards}</ul>
{stopped}
<p>Statements of Gu, Guo, Wei and Xu, "Mean-Field Multiagent Reinforcement Learning: A Decentralized Network Approach",
computed on instances small enough to enumerate. {MARKS["holds as corrected"]} marks statements whose printed form is
false on the instance shown; the corrected form stands in the line and holds.</p>
<p class="caption">{_text(_versions())}</p>
</header>"""


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


def _summary(done: Sequence[Experiment]) -> str:
    rows = "".join(_group(experiment) for experiment in done)
    titles = "".join(
        f'<th scope="col">{title}</th>' for title in ("Statement", "It says", "Computed", "Tolerance", "Verdict")
    )
    return f"""<section>
<h2>All statements</h2>
<div class="scroll"><table class="statements">
<thead><tr>{titles}</tr></thead>
<tbody>{rows}</tbody>
</table></div>
<p class="caption">The same lines: <a href="statements.csv">statements.csv</a></p>
</section>"""


def _group(experiment: Experiment) -> str:
    link = f'<a href="#{experiment.key}">{_text(experiment.title)}</a>'
    head = f'<tr class="group"><th scope="rowgroup" colspan="5">{link}</th></tr>'
    return head + "".join(map(_row, experiment.statements))


def _row(line: Statement) -> str:
    cells = "".join(f"<td>{_text(cell)}</td>" for cell in (line.says, line.computed, line.tolerance))
    return f'<tr><th scope="row">{_text(line.name)}</th>{cells}<td>{_badge(line)}</td></tr>'


def _badge(line: Statement) -> str:
    kind = line.verdict.replace(" ", "-")
    return f'<span class="badge {kind}"><i aria-hidden="true">{MARKS[line.verdict]}</i> {line.verdict}</span>'


def _section(experiment: Experiment) -> str:
    items = "".join(
        f"<li>{_badge(line)} <b>{_text(line.name)}</b>: {_text(line.says)} "
        f"<span class='found'>{_text(line.computed)}</span></li>"
        for line in experiment.statements
    )
    pictures = "".join(_picture(experiment, i, *picture) for i, picture in enumerate(experiment.figures))
    paragraphs = "".join(f"<p>{_text(part)}</p>" for part in experiment.text.split("\n\n"))
    return f"""<section id="{experiment.key}">
<h2>{_text(experiment.title)}</h2>
{paragraphs}
<ul class="lines">{items}</ul>
{pictures}
{_links(experiment)}
</section>"""


def _picture(experiment: Experiment, place: int, caption: str, figure: Any) -> str:
    drawn = report_charts.svg(figure, f"{experiment.key}-{place}", _text(caption))
    return f'<figure>{drawn}<figcaption class="caption">{_text(caption)}</figcaption></figure>'


def _links(experiment: Experiment) -> str:
    files = [f"{experiment.key}-{name}.csv" for name in experiment.tables]
    links = ", ".join(f'<a href="{_text(name)}">{_text(name)}</a>' for name in files)
    return f'<p class="caption">Numbers: {links}</p>' if links else ""


def _text(value: object) -> str:
    return html.escape(str(value))


STYLE = """
main { max-width: 70rem; }
a { color: #0060a8; }
table.statements { font-size: .9rem; }
table.statements th, table.statements td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.statements tbody th { width: 14%; overflow-wrap: normal; }
table.statements thead th { font-weight: 600; }
table.statements td:nth-child(2) { width: 29%; }
table.statements td:nth-child(4) { width: 12%; color: #646b76; }
table.statements td:last-child { width: 12%; }
tr.group th:first-child { padding-top: 1.1rem; font-weight: 600; font-size: .95rem; width: auto; }
.badge { display: inline-block; white-space: nowrap; font-size: .82rem; font-weight: 600; padding: .05rem .5rem; }
.badge { border: 1px solid #b9bec6; border-radius: 99px; background: #fff; color: #23272e; }
.badge i { font-style: normal; }
.badge.holds { border-color: #0060a8; color: #0060a8; background: #eaf3fb; }
.badge.holds-as-corrected { border-style: dashed; border-color: #0060a8; color: #0060a8; }
.badge.fails { background: #23272e; border-color: #23272e; color: #fff; }
ul.lines { list-style: none; padding: 0; margin: .8rem 0 1.2rem; }
ul.lines li { padding: .45rem 0; border-bottom: 1px solid #eceef1; }
.found { color: #646b76; display: block; font-variant-numeric: tabular-nums; }
figure + figure { margin-top: 1.6rem; }
section p:not(.caption) { max-width: 46rem; margin: .4rem 0; }
"""
