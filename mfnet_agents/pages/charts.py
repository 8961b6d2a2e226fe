"""Charts of a report, said once: drawn by :mod:`.plot` for the page, and here with matplotlib for the .png beside it.

One accent for what was learnt, ink for the bound, greys for everything it is compared with; no meaning rests on colour
alone: the bound is dashed, lines beyond the seventh are too, and every line is named.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from mfnet_agents.pages.frame import Markup
from mfnet_envs.arrays import Floats
from mfnet_envs.words import optional_package

LEARNT, BOUND, QUIET, TEXT, GRID = "#0060a8", "#111111", "#8a8f98", "#30343b", "#e6e8eb"
# Told apart by every kind of colour vision, and by the dashes where there are more; `frame` has them for dark pages.
COLOURS = (LEARNT, "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a")
DASHES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": "#b9bec6",
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "svg.fonttype": "path",
}


class Series(NamedTuple):
    """A line: ``y`` with its interval from ``low`` to ``high``, each ``(n,)``; NaN where no interval is known."""

    name: str
    y: Floats
    low: Floats
    high: Floats


class Level(NamedTuple):
    """A horizontal line."""

    name: str
    value: float
    kind: Literal["bound", "best", "other"] = "other"


class Chart(NamedTuple):
    """What a chart shows.

    Attributes:
        name: letters and underscores; of files and ids. title: what it is called where it cannot be seen.
        x: ``(n,)`` places of the points, rising; heads: how each of them is called, e.g. "step 1,024".
        series, levels: see there. ticks: labels of the points on the axis, where x only counts them.
        say: a value in words. y_range: where it does not follow from the values.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    x: Floats
    heads: Sequence[str]
    series: Sequence[Series]
    levels: Sequence[Level] = ()
    ticks: Sequence[str] | None = None
    say: Callable[[float], str] = "{:,.3f}".format
    y_range: tuple[float, float] | None = None

    def interval(self, series: Series) -> tuple[Floats, Floats]:
        """Lower and upper end, at the line itself where no interval is known."""
        low, high = (np.where(np.isfinite(end), end, series.y) for end in (series.low, series.high))
        return low, high

    def limits(self) -> tuple[float, float]:
        """The lowest and the highest value on the vertical axis, with some room."""
        if self.y_range is not None:
            return self.y_range
        ends = [end for series in self.series for end in self.interval(series)]
        shown = np.concatenate([*ends, [level.value for level in self.levels]])
        shown = shown[np.isfinite(shown)]
        if not len(shown):
            return 0.0, 1.0
        low, high = float(shown.min()), float(shown.max())
        room = 0.06 * ((high - low) or abs(high) or 1.0)
        return low - room, high + room


def steps_chart(
    name: str, title: str, y_label: str, steps: Floats, series: Sequence[Series], levels: Sequence[Level],
    say: Callable[[float], str],
) -> Chart:  # fmt: skip
    """A chart over environment steps."""
    heads = [f"step {step:,.0f}" for step in steps]
    return Chart(name, title, "environment steps (thousands)", y_label, steps / 1000, heads, series, levels, say=say)


def figure(chart: Chart, height: float = 4.2) -> Any:
    """The chart by matplotlib."""
    made, axes = figure_of(8.4, height)
    for k, series in enumerate(chart.series):
        colour, dash = COLOURS[k % len(COLOURS)], DASHES[k // len(COLOURS) % len(DASHES)]
        few = dict(marker="o", ms=3.6) if len(chart.x) <= 40 else {}
        axes.fill_between(chart.x, *chart.interval(series), color=colour, alpha=0.16, lw=0)
        axes.plot(chart.x, series.y, color=colour, ls=dash, lw=2.2, label=plain(series.name), zorder=4, **few)
    if len(chart.series) > 1:
        axes.legend(frameon=False, fontsize=9)
    axes.set_xlim(chart.x[0], max(chart.x[-1], chart.x[0] + 1e-3))
    axes.set_ylim(*chart.limits())
    _levels(axes, chart)
    if chart.ticks is not None:
        axes.set_xticks(chart.x, list(chart.ticks))
    axes.set_xlabel(plain(chart.x_label))
    axes.set_ylabel(plain(chart.y_label))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    return made


def _levels(axes: Any, chart: Chart) -> None:
    """Horizontal lines, named at the right margin where names do not run into each other."""
    looks = {"bound": (BOUND, 1.6, "--"), "best": (TEXT, 1.3, "-"), "other": (QUIET, 0.9, "-")}
    for level in chart.levels:
        colour, width, dash = looks[level.kind]
        axes.axhline(level.value, color=colour, lw=width, ls=dash, zorder=2)
    low, high = chart.limits()
    places = spread([level.value for level in chart.levels], 0.052 * (high - low))
    margin = axes.get_yaxis_transform()
    link = dict(arrowstyle="-", color="#c4c8ce", lw=0.7, shrinkA=0, shrinkB=0, relpos=(0, 0.5))
    for level, place in zip(chart.levels, places, strict=True):
        look = dict(color="#5b616b") if level.kind == "other" else dict(color=BOUND, weight="bold")
        axes.annotate(
            f"{plain(level.name)}  {chart.say(level.value)}", (1, level.value), (1.025, place), margin, margin,
            va="center", size=9, arrowprops=link, annotation_clip=False, **look,
        )  # fmt: skip


def spread(values: Sequence[float], apart: float) -> list[float]:
    """Places near ``values``, in the same order, at least ``apart`` from each other.

    >>> spread([0.0, 0.1, 5.0], 1.0)
    [-0.45, 0.55, 5.0]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    groups: list[list[int]] = []
    for i in order:
        groups.append([i])
        while len(groups) > 1 and _top(groups[-2], values, apart) + apart > _bottom(groups[-1], values, apart) + 1e-12:
            groups[-2:] = [groups[-2] + groups[-1]]
    places = [0.0] * len(values)
    for group in groups:
        for rank, i in enumerate(group):
            places[i] = round(_bottom(group, values, apart) + rank * apart, 10)
    return places


def _bottom(group: list[int], values: Sequence[float], apart: float) -> float:
    return sum(values[i] for i in group) / len(group) - apart * (len(group) - 1) / 2


def _top(group: list[int], values: Sequence[float], apart: float) -> float:
    return _bottom(group, values, apart) + apart * (len(group) - 1)


def figure_of(width: float, height: float, panels: int = 1) -> tuple[Any, Any]:
    """A figure with one axis or several side by side; ModuleNotFoundError without matplotlib."""
    optional_package("matplotlib", "agents", "a picture")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(1, panels)
        if panels == 1:
            axes.grid(axis="y", color=GRID, lw=0.8)
            axes.set_axisbelow(True)
    return figure, axes


def save_png(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=170, facecolor="white", metadata={"Software": None})


def plain(text: str) -> str:
    """Words as they are: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def svg(figure: Any, name: str, label: str) -> Markup:
    """The picture as an ``<svg>`` element; ``name`` keeps its ids apart from those of other pictures."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    return Markup(text.replace("<svg", f'<svg class="plate" role="img" aria-label="{html.escape(label)}"', 1))
