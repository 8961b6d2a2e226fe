"""Where a network is drawn: places of nodes and states, on a canvas of its own size."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.drawing.paint import FAINT, borders, line, polygon, sheet, square
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.positions import edge_index, is_lattice, node_positions, state_positions

HEADER, MARGIN, CELL, SIDE, MAP_SIDE = 44, 20, 76, 560, 1040  # pixels
BLOCK = 16  # videos are coded in squares of so many pixels; other sizes are refused or resized


def places(model: LocalModel) -> Floats:
    """Positions for drawing: rings and general graphs are laid out."""
    given = node_positions(model)
    if given is not None:
        return given
    graph, n = model.network.graph, model.network.num_nodes
    degrees = np.array([d for _, d in graph.degree])
    if n > 2 and (degrees == 2).all():
        angle = np.pi / 2 - 2 * np.pi * _around(model.network) / n
        return np.stack([np.cos(angle), np.sin(angle)], 1)
    if n > 1 and graph.number_of_edges() == n - 1 and degrees.max() <= 2:
        end = int(np.flatnonzero(degrees < 2)[0])
        return np.stack([model.network.distance(end).astype(float), np.zeros(n)], 1)
    place = nx.spring_layout(graph, seed=0, iterations=100 if n < 500 else 30)
    return np.array([place[label] for label in model.network.nodes])


def state_places(model: LocalModel) -> Floats:
    """``(S, 2)``: where an agent in each state is drawn: at the model's ``positions``, else at its node."""
    given = state_positions(model)
    return places(model)[model.network.node_of] if given is None else given


def _around(network: StateNetwork) -> Ints:
    """``(V,)`` order of the nodes along a ring."""
    order, here, last = np.zeros(network.num_nodes, np.int64), int(network.neighbors[0, 1]), 0
    for step in range(1, network.num_nodes):
        order[here] = step
        here, last = next(int(w) for w in network.neighbors[here, 1:] if w != last), here
    return order


class Stage:
    """What stays the same from frame to frame: the nodes' shapes and centres, what lies under and over them."""

    def __init__(self, model: LocalModel, map_side: float) -> None:
        network, place = model.network, places(model)
        rings = [network.graph.nodes[label].get("polygon") for label in network.nodes]
        is_map = all(ring is not None for ring in rings)
        on_grid = not is_map and is_lattice(network)
        corners = np.concatenate([np.asarray(ring, float) for ring in rings]) if is_map else place
        low, extent = corners.min(0), np.ptp(corners, axis=0)
        longest = max(float(extent.max()), 1e-9)
        scale = map_side / longest if is_map else min(CELL, 1500 / longest) if on_grid else SIDE / longest
        pad = MARGIN + (0.0 if is_map else CELL / 2 if on_grid else 26.0)
        inner = np.where(extent > 1e-8, extent * scale, 0) + 2 * pad
        width, height = _whole_blocks(max(inner[0], 420.0)), _whole_blocks(HEADER + inner[1])
        self.shape = (height, width)
        spare = (height - HEADER - int(inner[1])) // 2
        shift = np.array([(width - inner[0]) / 2 + pad, HEADER + spare + inner[1] - pad])

        def on_canvas(points: Any) -> Floats:
            moved: Floats = shift + (np.asarray(points, float) - low) * np.array([scale, -scale])
            return moved

        self.on_canvas = on_canvas
        self.centre = on_canvas(place)
        self.background = sheet(height, width)
        self.borders: Floats | None = None
        if is_map:
            outlines = [on_canvas(ring) for ring in rings]
            self.shapes = [polygon(outline, self.shape) for outline in outlines]
            self.borders = borders(outlines, self.shape)
            self.digits, self.arrow = 12.0 * map_side / MAP_SIDE, 0.7
            self.radius = self.room = 0.35 * _usual(self.centre, network)
        elif on_grid:
            self.shapes = [square(x, y, 0.42 * scale, 0.12 * scale) for x, y in self.centre]
            self.digits, self.arrow = 0.26 * scale, scale / CELL
            self.radius, self.room = 0.42 * scale, 0.36 * scale
        else:
            radius = min(24.0, max(6.0, 0.36 * _nearest(self.centre, network)))
            self.shapes = [square(x, y, radius, radius) for x, y in self.centre]
            self.digits, self.arrow = 0.62 * radius, min(1.0, radius / 14)
            self.radius, self.room = radius, 1.15 * radius
            for v, w in edge_index(network).T:
                line(self.background, self.centre[v], self.centre[w], 1.6, FAINT)


_KEPT: WeakKeyDictionary[LocalModel, dict[float, Stage]] = WeakKeyDictionary()


def stage_of(model: LocalModel, map_side: float = MAP_SIDE) -> Stage:
    """The model's stage, built when first asked for."""
    kept = _KEPT.setdefault(model, {})
    if map_side not in kept:
        kept[map_side] = Stage(model, map_side)
    return kept[map_side]


def _whole_blocks(pixels: float) -> int:
    """At least ``pixels``, in whole blocks."""
    return BLOCK * (int(pixels) // BLOCK + 1)


def _nearest(centre: Floats, network: StateNetwork) -> float:
    """Length of the shortest edge on the canvas."""
    origin, target = edge_index(network)
    if not len(origin):
        return 60.0
    return float(np.hypot(*(centre[origin] - centre[target]).T).min())


def _usual(centre: Floats, network: StateNetwork) -> float:
    """Median length of an edge on the canvas."""
    origin, target = edge_index(network)
    return float(np.median(np.hypot(*(centre[origin] - centre[target]).T))) if len(origin) else 60.0
