"""Axes in the style of the reports, and the one way in which points and bounds are drawn."""

from __future__ import annotations

from typing import Any

from mfnet_agents.pages.charts import BOUND, GRID, LEARNT, QUIET, STYLE, TEXT
from mfnet_envs.words import optional_package

MEASURED, CLAIMED, OTHER, WORDS = LEARNT, BOUND, QUIET, TEXT  # what was computed; what is claimed; for comparison
PRINTED = "#c05000"  # what the paper prints where that is not what holds; drawn dotted as well


def panels(count: int, *, width: float = 8.4, height: float = 3.4, share_y: bool = False) -> tuple[Any, list[Any]]:
    """A figure with ``count`` axes side by side; ModuleNotFoundError without matplotlib."""
    optional_package("matplotlib", "agents", "a picture")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(1, count, squeeze=False, sharey=share_y)[0]
        for axis in axes:
            axis.grid(axis="y", color=GRID, lw=0.8)
            axis.set_axisbelow(True)
    return figure, list(axes)


def legend(figure: Any, axis: Any, columns: int = 4) -> None:
    """One legend for the whole figure, below it, made of what ``axis`` shows."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9.5)
