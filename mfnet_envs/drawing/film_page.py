"""A film as one self-contained HTML page: play, scrub with slider or arrow keys, works offline.

The data stand in the page as JSON; a few lines of plain JavaScript draw them. Nothing is loaded from elsewhere.
"""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.drawing import film
from mfnet_envs.drawing.paint import SCALE
from mfnet_envs.drawing.stage import Stage, stage_of, state_places
from mfnet_envs.model import LocalModel
from mfnet_envs.positions import edge_index, is_lattice

NODES = 3000  # more would make a page that no browser likes
SIZE = 1000.0  # longer side of the picture in the page's own units


def page(model: LocalModel, shot: film.Film) -> str:
    """The page.

    Raises:
        ValueError: more than 3,000 nodes.
    """
    if model.network.num_nodes > NODES:
        raise ValueError(f"a page shows at most {NODES:,} nodes, not {model.network.num_nodes:,}; write a .png")
    template = files("mfnet_envs").joinpath("data", "film_page.html").read_text("utf-8")
    data = json.dumps(_data(model, shot), separators=(",", ":"), ensure_ascii=False)
    # no name may end the script element it stands in
    parts = {"title": html.escape(shot.title), "data": data.replace("<", "\\u003c")}
    return re.sub(r"\{\{(title|data)\}\}", lambda mark: parts[mark[1]], template)


def _data(model: LocalModel, shot: film.Film) -> dict[str, Any]:
    """What the script reads; lengths in units of the picture, y pointing down."""
    network = model.network
    stage, shown = stage_of(model), film.crowds(model, shot)
    rings = [network.graph.nodes[label].get("polygon") for label in network.nodes] if stage.borders is not None else []
    corners = [stage.on_canvas(ring) for ring in rings]
    scale, low = _fit(stage, corners)
    spots, spot_of = np.unique(_places(model, stage, scale, low), axis=0, return_inverse=True)
    dots = spot_of.reshape(-1)[shot.dots] * 2 + film.with_choice(model)[shot.dots]
    origin, target = edge_index(network)
    return {
        "population": model.population,
        "free": bool(not film.with_choice(model).all()),
        "names": [str(network.graph.nodes[label].get("name", label)) for label in network.nodes],
        "places": _whole((stage.centre - low) * scale),
        "polygons": [_whole((corner - low) * scale) for corner in corners],
        "square": is_lattice(network),
        "radius": round(float(scale * stage.radius), 1),
        "edges": [[int(a), int(b)] for a, b in zip(origin, target, strict=True) if a < b],
        "counts": shown.tolist(),
        "top": film.full(shown),
        "bars": film.bars(shown).tolist(),
        "rewards": [round(float(r), 5) for r in shot.rewards],
        "spots": _whole(spots),
        "dots": dots.tolist(),
        "offsets": np.round(film.offsets(shot.dots.shape[1]) * stage.room * scale, 1).tolist(),
        "scale": SCALE.astype(int).tolist(),
    }


def _fit(stage: Stage, corners: list[Floats]) -> tuple[float, Floats]:
    """How to bring the stage's pixels to the page: scale and the top left corner, with room for the nodes' shapes."""
    points = np.concatenate([*corners, stage.centre])
    margin = 8.0 if corners else stage.radius + stage.room
    low, high = points.min(0) - margin, points.max(0) + margin
    return SIZE / float(max((high - low).max(), 240.0)), low


def _places(model: LocalModel, stage: Stage, scale: float, low: Floats) -> Floats:
    placed: Floats = np.round((stage.on_canvas(state_places(model)) - low) * scale)
    return placed


def _whole(points: Floats) -> list[list[int]]:
    rounded: list[list[int]] = np.rint(points).astype(int).tolist()
    return rounded
