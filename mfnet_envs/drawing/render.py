"""Pictures of one moment on any graph, without a display: what an environment's ``render`` returns.

``rgb_array`` draws with numpy alone: grid cells when the nodes' labels are pairs (i, j), a map when they carry a
``polygon`` attribute, discs at ``pos`` (or at places found by a spring layout) otherwise. ``ansi`` writes the same as
text.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.drawing import paint
from mfnet_envs.drawing.lettering import text_width
from mfnet_envs.drawing.scene import Scene, net_moves, node_counts, title
from mfnet_envs.drawing.stage import HEADER, MARGIN, Stage, stage_of
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.positions import edge_index, is_lattice, node_positions
from mfnet_envs.words import shown

__all__ = ["Scene", "ansi", "check_mode", "edge_index", "net_moves", "node_counts", "node_positions"]
__all__ += ["rgb_array", "show", "title"]  # what this module offered when it held all of them
ARROWS = 60  # at most so many, the strongest
LINES = 40  # nodes listed by `ansi` on a general graph


def show(mode: str | None, model: LocalModel, scene: Scene, name: str) -> Any:
    """The picture an environment's ``render`` returns; "human" prints the text."""
    if mode == "rgb_array":
        return rgb_array(model, scene, name)
    if mode == "ansi":
        return ansi(model, scene, name)
    if mode == "human":
        print(ansi(model, scene, name))
    return None


def check_mode(mode: str | None, modes: list[str]) -> None:
    """Refuse a render mode that is none of ``modes``."""
    if mode is not None and not (isinstance(mode, str) and mode in modes):
        raise ValueError(f"render_mode must be None or one of {', '.join(map(repr, modes))}, not {shown(mode)}")


def rgb_array(model: LocalModel, scene: Scene, name: str = "mfnet") -> paint.Image:
    """The scene as an image ``(H, W, 3)`` uint8."""
    stage = stage_of(model)
    counts = node_counts(model, scene.counts)
    colours = paint.heat(counts, int(counts.max()))
    canvas = filled(stage, colours)
    arrows(canvas, stage, *net_moves(model, scene))
    numbers(canvas, stage, counts, colours)
    headline(canvas, title(model, scene, name))
    return paint.as_image(canvas)


def filled(stage: Stage, colours: Floats) -> paint.Canvas:
    """The background with every node's shape in its colour."""
    canvas: paint.Canvas = stage.background.copy()
    for (y, x, covered), colour in zip(stage.shapes, colours, strict=True):
        paint.blend(canvas, y, x, covered, colour)
    if stage.borders is not None:
        paint.blend(canvas, 0, 0, stage.borders, paint.PAPER)
    return canvas


def numbers(canvas: paint.Canvas, stage: Stage, counts: Ints, colours: Floats) -> None:
    """Every node's count in its middle, to be read on its colour."""
    for (x, y), n, colour in zip(stage.centre, counts, colours, strict=True):
        paint.label(canvas, f"{n:,}" if n < 10_000 else f"{n:.3g}".upper(), x, y, stage.digits, colour)


def arrows(canvas: paint.Canvas, stage: Stage, origin: Ints, target: Ints, amount: Floats) -> None:
    """The strongest net movements as arrows over the borders, as wide as the square root of what they carry."""
    order = np.argsort(amount)[-ARROWS:]
    for v, w, n in zip(origin[order], target[order], amount[order], strict=True):
        strength = float(np.sqrt(n / amount.max()))
        if strength < 0.12:
            continue
        middle, half = (stage.centre[v] + stage.centre[w]) / 2, (stage.centre[w] - stage.centre[v]) / 2
        half *= min(0.62, 15 * stage.arrow / max(float(np.hypot(*half)), 1e-9))
        width = (1.0 + 3.0 * strength) * stage.arrow
        paint.line(
            canvas, middle - half, middle + half * 1.04, width + 2.4, paint.PAPER, head=6.5 * stage.arrow + 2.4 * width
        )
        paint.line(canvas, middle - half, middle + half, width, paint.ARROW, head=4.0 * stage.arrow + 2.2 * width)


def headline(canvas: paint.Canvas, text: str) -> None:
    """The line of text on top and a rule under it."""
    height = 13.0
    room = canvas.shape[1] - 2 * MARGIN
    height *= min(1.0, room / text_width(text, height))
    paint.write(canvas, text, MARGIN, HEADER / 2 - height / 2 + 2, height, paint.INK)
    canvas[HEADER - 2, MARGIN:-MARGIN] = paint.FAINT


# -- text -------------------------------------------------------------------------------------------------------------


def ansi(model: LocalModel, scene: Scene, name: str = "mfnet") -> str:
    """The scene as text: a lattice with arrows where the net movement is half an agent or more, else a list."""
    counts = node_counts(model, scene.counts)
    moves = {(v, w): n for v, w, n in zip(*map(np.ndarray.tolist, net_moves(model, scene)), strict=True) if n >= 0.5}
    body = _lattice(model.network, counts, moves) if is_lattice(model.network) else _list(model, counts, moves)
    return "\n".join([title(model, scene, name), *body])


def _lattice(network: StateNetwork, counts: Ints, moves: dict[tuple[int, int], float]) -> list[str]:
    index = {label: v for v, label in enumerate(network.nodes)}
    rows, columns = sorted({i for i, _ in network.nodes}), sorted({j for _, j in network.nodes})
    width = max(2, len(str(counts.max())))

    def arrow(a: Any, b: Any, there: str, back: str) -> str:
        pair = (index.get(a, -1), index.get(b, -1))
        return there if pair in moves else back if pair[::-1] in moves else " "

    lines = []
    for i in rows:
        cells = [str(counts[index[i, j]]).rjust(width) if (i, j) in index else " " * width for j in columns]
        between = [arrow((i, j), (i, j + 1), "→", "←") for j in columns]
        lines.append("  " + "".join(f"{cell} {mark} " for cell, mark in zip(cells, between, strict=True)).rstrip())
        below = [arrow((i, j), (i + 1, j), "↓", "↑") for j in columns]
        lines.append("  " + "".join(mark.rjust(width) + "   " for mark in below).rstrip())
    return [line.rstrip() for line in lines[:-1]]


def _list(model: LocalModel, counts: Ints, moves: dict[tuple[int, int], float]) -> list[str]:
    """The fullest nodes, a bar each, and where agents leave to."""
    network = model.network
    labels = [str(network.graph.nodes[label].get("name", label)) for label in network.nodes]
    order = np.argsort(-counts, kind="stable")[:LINES].tolist()
    width, digits = min(26, max(len(labels[v]) for v in order)), len(str(counts.max()))
    leaving: dict[int, list[tuple[float, int]]] = {}
    for (v, w), n in moves.items():
        leaving.setdefault(v, []).append((n, w))
    lines = []
    for v in order:
        bar = "█" * round(24 * int(counts[v]) / max(1, int(counts.max())))
        to = ", ".join(f"{labels[w][:width]} {n:.1f}" for n, w in sorted(leaving.get(v, []), reverse=True)[:3])
        lines.append(
            f"  {labels[v][:width]:<{width}} {counts[v]:>{digits}} {bar:<24} {'→ ' + to if to else ''}".rstrip()
        )
    hidden = network.num_nodes - len(order)
    return [*lines, *([f"  and {hidden} nodes with fewer"] if hidden else [])]
