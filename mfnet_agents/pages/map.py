"""Where agents wait, before and after learning, on the nodes' polygons or at their places. Words: ``wording.map``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mfnet_agents.pages import plot
from mfnet_agents.pages.charts import TEXT, figure_of, plain
from mfnet_agents.pages.frame import Markup, csv_link, row, table, tag
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.drawing.film import with_choice
from mfnet_envs.drawing.paint import SCALE, colours
from mfnet_envs.drawing.stage import stage_of
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.positions import edge_index, is_lattice, node_positions
from mfnet_envs.simulator import Simulator
from mfnet_envs.wording import MapWords

AMOUNTS = "YlGnBu"  # light to dark, in the same order for every kind of colour vision
MOST_NODES = 1500  # more shapes would make a page that no browser likes
BOX = 320.0  # units of the wider side of a map on the page
Panel = tuple[str, str, Floats]  # title, unit, amount (V,), per area where the unit says so


class Places(NamedTuple):
    """Where and in which shape the nodes are drawn.

    Attributes:
        names: V. rings: V closed rings ``(n, 2)``, y pointing up, in km where they are polygons.
        areas: ``(V,)`` in square km, or ones. edges: ``(E, 2, 2)`` ends of the lines between the nodes.
    """

    names: list[str]
    rings: list[Floats]
    areas: Floats
    edges: Floats


def places(model: LocalModel) -> Places | None:
    """The nodes' polygons; else squares on a lattice, discs at ``pos``; None where the nodes have no positions."""
    network = model.network
    names = [str(network.graph.nodes[label].get("name", label)) for label in network.nodes]
    rings = polygons(model)
    if rings is not None:
        return Places(names, rings, np.array([_area(ring) for ring in rings]), np.zeros((0, 2, 2)))
    if node_positions(model) is None:
        return None
    stage, lattice = stage_of(model), is_lattice(network)
    centre = stage.centre * [1, -1]
    angle = np.pi / 4 + np.pi / (2 if lattice else 12) * np.arange(5 if lattice else 25)
    reach = stage.radius * (np.sqrt(2) if lattice else 1.0)
    shape = reach * np.stack([np.cos(angle), np.sin(angle)], 1)
    pairs = np.unique(np.sort(edge_index(network).T, 1), axis=0)
    edges = centre[pairs] if not lattice else np.zeros((0, 2, 2))
    return Places(names, [middle + shape for middle in centre], np.ones(len(centre)), edges)


def polygons(model: LocalModel) -> list[Floats] | None:
    """V closed rings ``(n, 2)`` in km; None unless every node has one."""
    rings = [data.get("polygon") for _, data in model.network.graph.nodes(data=True)]
    return None if any(ring is None for ring in rings) else [np.asarray(ring, float) for ring in rings]


def waiting(model: LocalModel, policy: Policy, worlds: int, seed: int, backend: str | None = None) -> Floats:
    """``(V,)`` mean number of agents in every node over the evaluated steps, of the groups that have a choice."""
    simulator = Simulator(model, backend)
    rng = simulator.generator(seed)
    steps, warmup = model.evaluation
    counts = simulator.reset(rng, worlds)
    total = np.zeros(model.network.num_states)
    for t in range(steps):
        if t >= warmup:
            total += counts.mean(0)
        counts = policy.play(simulator.at(t), counts, t, rng).next_counts
    found: Floats = (total * with_choice(model)).reshape(model.network.num_nodes, -1).sum(1) / (steps - warmup)
    return found


def words_of(model: LocalModel) -> MapWords:
    """The scenario's; else plain ones."""
    if model.wording.map is not None:
        return model.wording.map
    agents = model.wording.agents
    counted = agents if with_choice(model).all() else f"{agents} with a choice"
    return MapWords(f"Where {agents} are", counted, ("", ""))


def panels(model: LocalModel, words: MapWords, before: Floats, after: Floats) -> list[Panel]:
    """Demand, where it is known, then waiting agents ``(V,)`` before and after learning."""
    per_area = polygons(model) is not None
    unit = f"{words.waiting} per km²" if per_area else f"{words.waiting}, on average"
    found = [
        (f"{words.waiting} before learning", unit, words.scale * before),
        (f"{words.waiting} after learning", unit, words.scale * after),
    ]
    if model.reference_counts is not None and words.demand[0]:
        demand = model.reference_counts.reshape(model.network.num_nodes, -1).sum(1)
        found.insert(0, (*words.demand, words.scale * demand))
    return found


def caption(words: MapWords, shown: Sequence[Panel]) -> str:
    order = ["Left", "Middle", "Right"] if len(shown) == 3 else ["Left", "Right"]
    said = [
        f"where {words.waiting} are, on average over the evaluated steps, if every agent plays at random, as before "
        "learning.",
        "under the best learnt policy.",
    ]
    if len(shown) == 3:
        said.insert(0, f"{words.demand[0]}, on average.")
    told = " ".join(f"{place}: {what}" for place, what in zip(order, said, strict=True))
    return f"{words.orientation} {told}".strip()


# -- on the page


def figure(nodes: Places, shown: Sequence[Panel], words: MapWords) -> Markup:
    """Maps side by side that answer pointer and keys, node by node, the fullest first; with their table and CSV."""
    amounts = [amount / nodes.areas for _, _, amount in shown]
    order = np.argsort(-amounts[-1], kind="stable")
    head = ["node", *(f"{title} ({unit})" for title, unit, _ in shown)]
    rows = [[nodes.names[v], *(f"{amount[v]:.4g}" for amount in amounts)] for v in order]
    says = [f"{rows[i][0]}: " + "; ".join(f"{p[0]} {cell}" for p, cell in zip(shown, rows[i][1:], strict=True))
            for i in range(len(rows))]  # fmt: skip
    details = [
        table(head, [row(r[0], r[1:]) for r in rows]),
        tag("p", csv_link("map", [head, *rows]), class_="caption"),
    ]
    maps = tag("div", *_maps(nodes, shown, amounts, np.argsort(order), words.tilt), class_="maps")
    return plot.interactive(
        words.heading, [maps], says, start=0, key=Markup(), caption=caption(words, shown), details=details
    )


def _maps(nodes: Places, shown: Sequence[Panel], amounts: list[Floats], rank: Ints, tilt: float) -> list[Markup]:
    """A map for each panel; the shapes are said once, in the first."""
    angle = np.radians(tilt)
    corners = np.concatenate([_turn(ring, angle) for ring in nodes.rings])
    low, extent = corners.min(0) - 0.01, np.ptp(corners, axis=0) + 0.02
    scale = BOX / float(extent.max())

    def path(ring: Floats) -> str:
        x, y = ((_turn(ring, angle) - low) * scale).T
        points = np.rint(10 * np.stack([x, extent[1] * scale - y], 1)).astype(int)
        kept = np.concatenate([[True], (np.diff(points, axis=0) != 0).any(1)])
        return "M" + "L".join(f"{a} {b}" for a, b in points[kept])

    width, height = np.ceil(10 * extent * scale).astype(int)
    box = f"-20 -20 {width + 40} {height + 40}"
    defs = tag("defs", *(tag("path", d=f"{path(ring)}Z", id=f"node{v}") for v, ring in enumerate(nodes.rings)))
    lines = tag("path", d="".join(map(path, nodes.edges)), class_="road") if len(nodes.edges) else Markup()
    tops = {
        unit: max(float(a.max()) for (_, u, _), a in zip(shown, amounts, strict=True) if u == unit)
        for _, unit, _ in shown
    }
    found = []
    for k, ((title, unit, _), amount) in enumerate(zip(shown, amounts, strict=True)):
        paints = np.rint(colours(amount / (tops[unit] or 1.0))).astype(int)
        uses = [tag("use", href=f"#node{v}", fill=f"#{r:02x}{g:02x}{b:02x}", data_i=rank[v], class_="node")
                for v, (r, g, b) in enumerate(paints)]  # fmt: skip
        svg = tag("svg", *([] if k else [defs]), lines, *uses, viewBox=box, role="img", aria_label=title)
        ramp = tag("span", class_="ramp")
        bar = tag("p", "0 ", ramp, f" {tops[unit]:,.3g} {unit}", class_="caption")
        found.append(tag("div", tag("p", title, class_="head"), svg, bar))
    return found


RAMP = ",".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in SCALE)
STYLE = f"""
.maps {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(0, 1fr)); grid-auto-flow: column; gap: 1rem; }}
.maps {{ grid-auto-columns: minmax(0, 1fr); grid-template-columns: none; align-items: end; }}
.maps svg {{ max-height: 34rem; }}
.maps .head {{ font-weight: 600; margin: 0 0 .4rem; text-align: center; }}
.maps .caption {{ margin: .4rem 0 0; text-align: center; }}
.ramp {{ display: inline-block; width: 5rem; height: .7rem; border-radius: 3px; }}
.ramp {{ background: linear-gradient(90deg,{RAMP}); }}
.road {{ stroke: var(--axis); stroke-width: 14; fill: none; }}
.node {{ stroke: #9aa0a8; stroke-width: 6; }}
.node.on {{ stroke: var(--focus); stroke-width: 30; }}
@media (max-width: 44rem) {{ .maps {{ gap: .4rem; font-size: .8rem; }} .ramp {{ width: 3rem; }} }}
"""


# -- as a picture


def draw(nodes: Places, shown: Sequence[Panel], tilt: float = 0.0) -> Any:
    """Maps side by side: amounts by node and area. Panels with the same unit share their colours.

    Args:
        tilt: degrees by which everything is turned anticlockwise.
    """
    angle, areas = np.radians(tilt), nodes.areas
    turned = [_turn(ring, angle) for ring in nodes.rings]
    units = [unit for _, unit, _ in shown]
    tops = {unit: max(float((amount / areas).max()) for _, u, amount in shown if u == unit) for unit in units}
    figure, axes = figure_of(8.4, 7.2, len(shown))
    roads = [_turn(edge, angle) for edge in nodes.edges]
    for axis, (title, unit, amount) in zip(axes, shown, strict=True):
        for x, y in (road.T for road in roads):
            axis.plot(x, y, color="#b9bec6", lw=0.8, zorder=0)
        drawn = _choropleth(axis, turned, amount / areas, tops[unit])
        axis.set_title(plain(title), pad=8, size=11.5, weight="bold")
        bar = figure.colorbar(drawn, ax=axis, orientation="horizontal", shrink=0.8, aspect=22, pad=0.02)
        bar.set_label(plain(unit), size=9.5)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=9, length=2)
    if tilt:
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
