"""Charts of a report: the learning curve, the credit staircase. Drawn without a display.

One accent for what was learnt, black for the bound, greys for everything it is compared with; no meaning rests on red
against green.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_agents.pages.frame import Markup
from mfnet_envs.arrays import Floats
from mfnet_envs.words import optional_package
from mfnet_envs.yardstick import Yardstick

LEARNT, BOUND, QUIET, TEXT, GRID = "#0060a8", "#111111", "#8a8f98", "#30343b", "#e6e8eb"
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

Line = tuple[str, float]  # a named level: heuristic or bound


def curve(steps: Floats, values: Floats, ci95: Floats, levels: Sequence[Line], yardstick: Yardstick) -> Any:
    """The headline over environment steps, with its 95 % band; heuristics as thin lines, the bound on top."""
    figure, axes = figure_of(8.4, 4.4)
    thousands = steps / 1000
    band = np.nan_to_num(ci95, posinf=0.0)
    axes.fill_between(thousands, values - band, values + band, color=LEARNT, alpha=0.18, lw=0)
    axes.plot(thousands, values, color=LEARNT, lw=2.2, marker="o", ms=3.6, zorder=4, clip_on=False)
    _levels(axes, levels, yardstick)
    axes.set_xlim(0, max(thousands[-1], 1e-3))
    axes.set_xlabel("environment steps (thousands)")
    axes.set_ylabel(plain(yardstick.unit))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    return figure


def staircase(radii: Sequence[int], values: Floats, ci95: Floats, levels: Sequence[Line], yardstick: Yardstick) -> Any:
    """The final headline of short runs against the radius over which credit is summed."""
    figure, axes = figure_of(8.4, 4.0)
    x = np.arange(len(radii))
    _levels(axes, levels, yardstick)
    axes.errorbar(
        x, values, np.nan_to_num(ci95, posinf=0.0), color=LEARNT, lw=2.2, marker="o", ms=8, capsize=3, zorder=4
    )
    for i, value in enumerate(values):
        axes.annotate(
            yardstick.text(value), (i, value), xytext=(0, 10), textcoords="offset points", ha="center", color=LEARNT,
            weight="bold", zorder=5, bbox=dict(boxstyle="square,pad=0.1", fc="white", ec="none"),
        )  # fmt: skip
    axes.set_xticks(x, [str(radius) for radius in radii])
    axes.set_xlim(-0.35, len(radii) - 0.65)
    axes.set_xlabel("credit_hops: from how many hops away a node's critic is listened to")
    axes.set_ylabel(plain(yardstick.unit))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    return figure


def _levels(axes: Any, levels: Sequence[Line], yardstick: Yardstick) -> None:
    """Horizontal lines, named at the right margin where names do not run into each other."""
    lines = [*levels, *([("bound", yardstick.bound)] if yardstick.bound is not None else [])]
    for name, value in lines:
        strong = name == "bound"
        axes.axhline(
            value, color=BOUND if strong else QUIET, lw=1.6 if strong else 0.9, ls="--" if strong else "-", zorder=2
        )
    axes.margins(y=0.06)
    axes.figure.draw_without_rendering()
    low, high = axes.get_ylim()
    places = spread([value for _, value in lines], 0.052 * (high - low))
    margin = axes.get_yaxis_transform()
    link = dict(arrowstyle="-", color="#c4c8ce", lw=0.7, shrinkA=0, shrinkB=0, relpos=(0, 0.5))
    for (name, value), place in zip(lines, places, strict=True):
        look = dict(color=BOUND, weight="bold") if name == "bound" else dict(color="#5b616b")
        axes.annotate(
            f"{plain(name)}  {yardstick.text(value)}", (1, value), (1.025, place), margin, margin,
            va="center", size=9, arrowprops=link, annotation_clip=False, **look,
        )  # fmt: skip
    axes.set_ylim(low, high)


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
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1))
