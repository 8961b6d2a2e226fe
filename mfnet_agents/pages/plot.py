"""A chart on a page: SVG that fits desk and telephone, a readout for pointer and keys, numbers to take away.

Every chart is drawn twice, wide and narrow, of which the style sheet shows one; ``page.js`` moves the readout. Without
a script there are still the picture, its table and its CSV.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mfnet_agents.pages.charts import COLOURS, DASHES, Chart, Level, Series, spread
from mfnet_agents.pages.frame import Markup, csv_link, each, join, row, table, tag
from mfnet_envs.arrays import Floats
from mfnet_envs.words import optional_package

WIDE, NARROW = (760, 340), (360, 280)  # units of the two drawings, about a pixel each
LETTER = 6.6  # units that a letter of a label takes
APART = 15.0  # units between two labels
LONGEST = 34  # letters of a label beside the wide drawing; the key and the table have all of them
MANY = 40  # points from which on they are not drawn
HINT = "Point at the chart, or move through it with the arrow keys, to read its values."


def figure(chart: Chart, caption: str) -> Markup:
    """The chart with readout, key, caption, table and CSV."""
    drawings = [_svg(chart, WIDE, "wide"), _svg(chart, NARROW, "narrow")]
    head, rows = numbers(chart)
    cells = [row(first, [_short(cell) for cell in others]) for first, *others in rows]
    return interactive(
        chart.title,
        drawings,
        [_said(chart, i) for i in range(len(chart.x))],
        start=len(chart.x) - 1,
        key=_key(chart),
        caption=caption,
        details=[table(head, cells), tag("p", csv_link(chart.name, [head, *rows]), class_="caption")],
    )


def interactive(
    title: str, drawings: Sequence[Markup], says: Sequence[str], *, start: int, key: Markup, caption: str,
    details: Iterable[object],
) -> Markup:  # fmt: skip
    """Drawings whose elements ``data-i`` are read out: ``says[i]`` stands below while pointer or keys are there."""
    plot = tag("div", *drawings, class_="plot", data_title=title)
    readout = tag("p", HINT, class_="readout")
    more = tag("details", tag("summary", "As a table"), *details)
    about = {"data_says": json.dumps(list(says), ensure_ascii=False), "data_start": start}
    return tag(
        "figure", plot, readout, key, tag("figcaption", caption, class_="caption"), more, class_="chart", **about
    )


def numbers(chart: Chart) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the chart's table: a row for each point, then one for each level; "" where nothing is known."""
    one = len(chart.series) == 1
    head = [chart.x_label]
    for series in chart.series:
        head += [chart.y_label if one else series.name, *(f"{'' if one else f'{series.name}, '}{end}" for end in ENDS)]
    rows = []
    for i, x in enumerate(chart.x):
        cells = [_exact(end[i]) for series in chart.series for end in (series.y, series.low, series.high)]
        rows.append([chart.ticks[i] if chart.ticks else _exact(x), *cells])
    return head, rows + [[level.name, *[_exact(level.value), "", ""] * len(chart.series)] for level in chart.levels]


ENDS = ("95 % from", "to")


def _exact(value: float) -> str:
    return f"{value:.10g}" if np.isfinite(value) else ""


def _short(cell: str) -> str:
    return f"{float(cell):,.5g}" if cell else ""


def _said(chart: Chart, i: int) -> str:
    """What the readout says at point i."""
    lines = []
    for series in chart.series:
        found = chart.say(series.y[i]) if np.isfinite(series.y[i]) else "not known"
        if np.isfinite(series.low[i]) and np.isfinite(series.high[i]):
            found += f" ({chart.say(series.low[i])} to {chart.say(series.high[i])})"
        lines.append(found if len(chart.series) == 1 else f"{series.name} {found}")
    return f"{chart.heads[i]}: {'; '.join(lines)}"


def _key(chart: Chart) -> Markup:
    """The names of the lines; beside one line alone there are only levels, which the wide drawing names itself."""
    items = [
        join([_swatch(f"s{k % len(COLOURS)} d{k // len(COLOURS) % len(DASHES)}"), series.name])
        for k, series in enumerate(chart.series)
        if len(chart.series) > 1
    ]
    levels = [
        join([_swatch(f"level {level.kind}"), f"{level.name} {chart.say(level.value)}"])
        for level in sorted(chart.levels, key=lambda level: -level.value)
    ]
    lists = [tag("ul", each("li", items), class_="key")] if items else []
    lists += [tag("ul", each("li", levels), class_="key narrow")] if levels else []
    return join(lists)


def _swatch(kind: str) -> Markup:
    stroke = tag("path", d="M1 5H21", class_=f"line {kind}")
    return tag("svg", stroke, viewBox="0 0 22 10", width=22, height=10, aria_hidden="true", class_="swatch")


# -- the drawing


def _svg(chart: Chart, size: tuple[int, int], kind: str) -> Markup:
    """One drawing; ``data-at`` has the places of the points in its units."""
    width, height = size
    named = kind == "wide" and chart.levels
    labels = [f"{_cut(level.name)}  {chart.say(level.value)}" for level in chart.levels]
    low, high = chart.limits()
    marks = [mark for mark in _ticks(low, high, 6) if low <= mark <= high]
    left = 26 + LETTER * max((len(f"{mark:,.10g}") for mark in marks), default=0)
    right = 22 + 1.1 * LETTER * max(map(len, labels)) if named else 14  # some of them are bold
    top, bottom = 12, height - 44
    span = float(chart.x[-1] - chart.x[0]) or 1.0
    inset = 0.5 * (width - left - right) / len(chart.x) if chart.ticks else 0.0  # room beside points that only count
    across = left + inset + (width - left - right - 2 * inset) * (chart.x - chart.x[0]) / span

    def down(values: Floats) -> Floats:
        placed: Floats = bottom - (bottom - top) * (np.clip(values, low, high) - low) / (high - low)
        return placed

    parts = [_axes(chart, kind, marks, down(np.array(marks)), left, width - right, bottom, across)]
    for level, y in zip(chart.levels, down(np.array([level.value for level in chart.levels])), strict=True):
        line = tag("path", d=f"M{left:.1f} {y:.1f}H{width - right:.1f}", class_=f"line level {level.kind}")
        parts.append(line)
    if named:
        parts += _names(chart.levels, labels, down(np.array([level.value for level in chart.levels])), width - right)
    for k, series in enumerate(chart.series):
        parts.append(_line(chart, series, k, across, down))
    parts += [_point(chart, i, float(x), down, top, bottom) for i, x in enumerate(across)]
    at = json.dumps([round(float(x), 1) for x in across])
    box = f"0 0 {width} {height}"
    return tag("svg", *parts, class_=kind, viewBox=box, role="img", aria_label=chart.title, data_at=at)


def _ticks(low: float, high: float, most: int) -> list[float]:
    optional_package("matplotlib", "agents", "a chart")
    from matplotlib.ticker import MaxNLocator

    return [float(f"{mark:.10g}") for mark in MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]


def _axes(
    chart: Chart, kind: str, marks: Sequence[float], rows: Floats, left: float, right: float, bottom: float,
    across: Floats,
) -> Markup:  # fmt: skip
    """Grid, tick labels and the names of the axes."""
    parts = []
    for mark, y in zip(marks, rows, strict=True):
        parts.append(tag("path", d=f"M{left:.1f} {y:.1f}H{right:.1f}", class_="grid"))
        parts.append(_text(left - 6, y + 4, f"{mark:,.10g}", "end"))
    if chart.ticks:
        columns = list(zip(chart.ticks, across, strict=True))
    else:
        first, last = float(chart.x[0]), float(chart.x[-1])
        found = [t for t in _ticks(first, last, 7 if kind == "wide" else 4) if first <= t <= last]
        per_unit = (right - left) / ((last - first) or 1.0)
        columns = [(f"{t:,.10g}", left + (t - first) * per_unit) for t in found]
    parts += [_text(x, bottom + 18, label, "middle") for label, x in columns]
    parts.append(tag("path", d=f"M{left:.1f} {bottom}H{right:.1f}", class_="axis"))
    parts.append(_text((left + right) / 2, bottom + 38, _cut(chart.x_label, int((right + 10) / 6)), "middle"))
    middle, text = bottom / 2 + 6, _cut(chart.y_label, 40)
    parts.append(
        tag("text", text, x=12, y=f"{middle:.1f}", text_anchor="middle", transform=f"rotate(-90 12 {middle:.1f})")
    )
    return tag("g", *parts, aria_hidden="true")


def _names(levels: Sequence[Level], labels: Sequence[str], ends: Floats, x: float) -> list[Markup]:
    """The names of the levels at the right margin, apart from each other."""
    found = []
    for level, label, place, y in zip(levels, labels, spread(ends.tolist(), APART), ends, strict=True):
        found.append(tag("path", d=f"M{x:.1f} {y:.1f}L{x + 12:.1f} {place:.1f}", class_="grid"))
        found.append(_text(x + 15, place + 4, label, "start", class_=f"name {level.kind}"))
    return found


def _line(chart: Chart, series: Series, k: int, across: Floats, down: Callable[[Floats], Floats]) -> Markup:
    """Band, line and, where they are few, points."""
    known = np.isfinite(series.y)
    if not known.any():
        return Markup()
    x, y = across[known], down(series.y[known])
    low, high = (down(end[known]) for end in chart.interval(series))
    band = _path(np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]]))
    kind = f"s{k % len(COLOURS)} d{k // len(COLOURS) % len(DASHES)}"
    parts = [tag("path", d=f"{band}Z", class_="band"), tag("path", d=_path(x, y), class_="line")]
    if len(x) <= MANY:
        parts += [tag("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=2.6) for a, b in zip(x, y, strict=True)]
    return tag("g", *parts, class_=kind)


def _point(chart: Chart, i: int, x: float, down: Callable[[Floats], Floats], top: float, bottom: float) -> Markup:
    """What is seen of point i while it is read out."""
    dots = [
        tag("circle", cx=f"{x:.1f}", cy=f"{down(series.y[i : i + 1])[0]:.1f}", r=5, class_=f"s{k % len(COLOURS)}")
        for k, series in enumerate(chart.series)
        if np.isfinite(series.y[i])
    ]
    return tag("g", tag("path", d=f"M{x:.1f} {top}V{bottom}", class_="axis"), *dots, class_="at", data_i=i)


def _path(x: Floats, y: Floats) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _text(x: float, y: float, text: str, anchor: str, **attributes: object) -> Markup:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, **attributes)


def _cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
