"""The map of a network whose nodes have polygons: what is asked for, and where agents wait. Words: ``wording.map``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mfnet_agents.pages.charts import TEXT, figure_of, plain
from mfnet_envs.arrays import Floats
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator
from mfnet_envs.wording import MapWords

AMOUNTS = "YlGnBu"  # light to dark, in the same order for every kind of colour vision
Panel = tuple[str, str, Floats]  # title, unit, amount (V,)


def polygons(model: LocalModel) -> list[Floats] | None:
    """V closed rings ``(n, 2)`` in km; None unless every node has one."""
    rings = [data.get("polygon") for _, data in model.network.graph.nodes(data=True)]
    return None if any(ring is None for ring in rings) else [np.asarray(ring, float) for ring in rings]


def waiting(model: LocalModel, policy: Policy, worlds: int, seed: int) -> Floats:
    """``(V,)`` mean number of agents of group 0, those who wait, in every node over the evaluated steps."""
    simulator, rng = Simulator(model), np.random.default_rng(seed)
    steps, warmup = model.evaluation
    counts = simulator.reset(rng, worlds)
    total = np.zeros(model.network.num_nodes)
    for t in range(steps):
        if t >= warmup:
            total += simulator.crowd(counts)[:, :, 0].mean(0)
        counts, _ = simulator.at(t).step(counts, policy.sample(counts, t, rng), rng)
    return total / (steps - warmup)


def panels(model: LocalModel, words: MapWords, before: Floats, after: Floats) -> list[Panel]:
    """Demand, where it is known, then waiting agents ``(V,)`` before and after learning."""
    unit = f"{words.waiting} per km²"
    found = [
        (f"{words.waiting} before learning", unit, words.scale * before),
        (f"{words.waiting} after learning", unit, words.scale * after),
    ]
    if model.reference_counts is not None:
        demand = model.reference_counts.reshape(model.network.num_nodes, -1).sum(1)
        found.insert(0, (*words.demand, words.scale * demand))
    return found


def caption(words: MapWords, shown: Sequence[Panel]) -> str:
    places = ["Left", "Middle", "Right"] if len(shown) == 3 else ["Left", "Right"]
    said = [
        f"where {words.waiting} are, on average over the evaluated steps, if every agent plays at random, as before "
        "learning.",
        "under the best learnt policy.",
    ]
    if len(shown) == 3:
        said.insert(0, f"{words.demand[0]}, on average.")
    told = " ".join(f"{place}: {what}" for place, what in zip(places, said, strict=True))
    return f"{words.orientation} {told}".strip()


def draw(rings: Sequence[Floats], shown: Sequence[Panel], tilt: float = 0.0) -> Any:
    """Maps side by side: amounts per square kilometre by node. Panels with the same unit share their colours.

    Args:
        rings: V rings ``(n, 2)`` in km.
        tilt: degrees by which everything is turned anticlockwise.
    """
    angle = np.radians(tilt)
    turned = [_turn(ring, angle) for ring in rings]
    areas = np.array([_area(ring) for ring in rings])
    units = [unit for _, unit, _ in shown]
    tops = {unit: max(float((amount / areas).max()) for _, u, amount in shown if u == unit) for unit in units}
    figure, axes = figure_of(8.4, 7.2, len(shown))
    for axis, (title, unit, amount) in zip(axes, shown, strict=True):
        drawn = _choropleth(axis, turned, amount / areas, tops[unit])
        axis.set_title(plain(title), pad=8, size=11.5, weight="bold")
        bar = figure.colorbar(drawn, ax=axis, orientation="horizontal", shrink=0.8, aspect=22, pad=0.02)
        bar.set_label(plain(unit), size=9.5)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=9, length=2)
    _north(axes[0], angle)
    return figure


def _choropleth(axis: Any, rings: Sequence[Floats], amount: Floats, top: float) -> Any:
    from matplotlib.collections import PolyCollection

    shown = PolyCollection(rings, array=amount, cmap=AMOUNTS, clim=(0, top), edgecolor="#9aa0a8", linewidth=0.5)
    axis.add_collection(shown)
    axis.set_aspect("equal")
    axis.autoscale_view()
    axis.axis("off")
    return shown


def _turn(ring: Floats, angle: float) -> Floats:
    """Anticlockwise, in radians."""
    c, s = np.cos(angle), np.sin(angle)
    turned: Floats = ring @ np.array([[c, s], [-s, c]])
    return turned


def _north(axis: Any, angle: float) -> None:
    tip = 0.1 * np.array([-np.sin(angle), np.cos(angle)])
    tail = np.array([0.82, 0.86])
    arrow = dict(arrowstyle="-|>", color=TEXT, lw=1)
    axis.annotate("", tail + tip * [1, 0.5], tail, "axes fraction", "axes fraction", arrowprops=arrow)
    axis.annotate("N", tail + 1.5 * tip * [1, 0.5], xycoords="axes fraction", ha="center", va="center", size=9)


def _area(ring: Floats) -> float:
    x, y = ring.T
    return 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))
