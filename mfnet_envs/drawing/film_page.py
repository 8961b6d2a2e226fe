"""A film, or several side by side, as one self-contained HTML page: play, scrub with slider or keys, works offline.

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


def page(model: LocalModel, *shots: film.Film, title: str | None = None) -> str:
    """The page; several films of one length are shown side by side, with one scrubber.

    Args:
        title: default: that of the first film.

    Raises:
        ValueError: more than 3,000 nodes; films of different lengths.
    """
    text = json.dumps(data(model, *shots), separators=(",", ":"), ensure_ascii=False)
    # no name may end the script element it stands in
    parts = {"title": html.escape(shots[0].title if title is None else title), "data": text.replace("<", "\\u003c")}
    parts |= {"style": shipped("film.css"), "script": shipped("film.js")}
    return re.sub(r"\{\{(title|data|style|script)\}\}", lambda mark: parts[mark[1]], shipped("film_page.html"))


def shipped(name: str) -> str:
    """``film.js``, whose ``film(root, data, keys)`` shows films in an element; its ``film.css``; the page around it."""
    return files("mfnet_envs").joinpath("data", name).read_text("utf-8")


def data(model: LocalModel, *shots: film.Film) -> dict[str, Any]:
    """What ``film.js`` reads; lengths in units of the picture, y pointing down.

    Raises:
        ValueError: more than 3,000 nodes; films of different lengths.
    """
    network = model.network
    if network.num_nodes > NODES:
        raise ValueError(f"a page shows at most {NODES:,} nodes, not {network.num_nodes:,}; write a .png")
    if len({shot.counts.shape for shot in shots}) != 1:
        raise ValueError("films side by side must be of one model and of the same number of steps")
    stage, shown = stage_of(model), [film.crowds(model, shot) for shot in shots]
    together = np.concatenate(shown)
    rings = [network.graph.nodes[label].get("polygon") for label in network.nodes] if stage.borders is not None else []
    corners = [stage.on_canvas(ring) for ring in rings]
    scale, low = _fit(stage, corners)
    spots, spot_of = np.unique(_places(model, stage, scale, low), axis=0, return_inverse=True)
    code = spot_of.reshape(-1) * 2 + film.with_choice(model)
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
        "top": film.full(together),
        "bars": film.bars(together).tolist(),
        "spots": _whole(spots),
        "offsets": np.round(film.offsets(shots[0].dots.shape[1]) * stage.room * scale, 1).tolist(),
        "scale": SCALE.astype(int).tolist(),
        "films": [
            {
                "title": shot.title,
                "counts": counts.tolist(),
                "rewards": [round(float(r), 5) for r in shot.rewards],
                "dots": code[shot.dots].tolist(),
            }
            for shot, counts in zip(shots, shown, strict=True)
        ],
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
