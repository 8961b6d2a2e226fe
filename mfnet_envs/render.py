"""Pictures of one moment: who is where, and where the last step moved them. On any graph, without a display.

``rgb_array`` draws with numpy alone: grid cells when the nodes' labels are pairs (i, j), a map when they carry a
``polygon`` attribute, discs at ``pos`` (or at places found by a spring layout) otherwise. ``ansi`` writes the same as
text. Counted are the agents of the groups that contain decision makers (all agents, in most scenarios).
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from mfnet_envs._lettering import MARGIN as AROUND
from mfnet_envs._lettering import capsule, glyph, text_width
from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints, StateNetwork
from mfnet_envs.simulator import Simulator

Image = NDArray[np.uint8]
Canvas = NDArray[np.float64]
Colour = tuple[float, float, float]
Moves = tuple[Ints, Ints, Floats]  # origin, target, agents

PAPER: Colour = (251, 250, 246)
INK: Colour = (38, 34, 48)
FAINT: Colour = (206, 202, 194)
ARROW: Colour = (24, 116, 130)
SCALE = np.array(  # few to many: light and warm to deep; even steps of lightness
    [(243, 238, 224), (249, 215, 155), (245, 164, 98), (224, 103, 86), (173, 56, 96), (99, 31, 92)], float
)
HEADER, MARGIN, CELL, SIDE, MAP_SIDE = 44, 20, 76, 560, 1040  # pixels
ARROWS = 60  # at most so many, the strongest
LEGIBLE = 6.0  # pixels; smaller digits are left out
LINES = 40  # nodes listed by `ansi` on a general graph


class Scene(NamedTuple):
    """What a picture shows.

    Attributes:
        counts: ``(S,)`` agents now.
        before: ``(S,)`` agents before the last step; None at the start.
        actions: ``(S, A)`` or ``(T, A)`` agents that chose each action in the last step.
        step: steps since the start.
        reward: mean reward of an agent in the last step.
    """

    counts: Ints
    before: Ints | None = None
    actions: Ints | None = None
    step: int = 0
    reward: float | None = None


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
    if mode is not None and mode not in modes:
        raise ValueError(f"render_mode must be None or one of {', '.join(map(repr, modes))}, not {mode!r}")


def title(model: LocalModel, scene: Scene, name: str) -> str:
    """One line: what, when, how many, how well."""
    shown = int(node_counts(model, scene.counts).sum())
    free = "" if shown == model.population else f" · free {shown}"
    reward = "" if scene.reward is None else f" · mean reward {scene.reward:.4f}"
    return f"{name} · step {scene.step} · N {model.population}{free}{reward}"


# -- what is shown ------------------------------------------------------------------------------------------------


def node_counts(model: LocalModel, counts: Ints) -> Ints:
    """``(V,)`` agents at each node, of the groups in which somebody has a choice."""
    layers = model.network.layers
    deciding = np.unique(model.groups[model.team_states % layers]) if len(model.team_states) else model.groups
    shown: Ints = counts.reshape(-1, layers)[:, np.isin(model.groups, deciding)].sum(1)
    return shown


def net_moves(model: LocalModel, scene: Scene) -> Moves:
    """Expected net movement of agents between nodes in the last step: (origin, target, agents), each ``(M,)``.

    Given the counts before the step and the actions played, by the kernel (2); opposite directions cancel.
    """
    if scene.before is None or scene.actions is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    v = model.network.num_nodes
    law = model.at(max(0, scene.step - 1))  # the one that was in force
    hood = _stage(model).simulator.mu_hood(scene.before[None])
    parts = [*_active_moves(law, scene.before, scene.actions, hood), _transit_moves(law, scene.before)]
    origin, target, amount = (np.concatenate([part[i].reshape(-1) for part in parts]) for i in range(3))
    low, high = np.minimum(origin, target).astype(np.int64), np.maximum(origin, target).astype(np.int64)
    pairs, place = np.unique(low * v + high, return_inverse=True)
    net = np.bincount(place.reshape(-1), np.where(origin == low, amount, -amount), minlength=len(pairs))
    low, high = np.divmod(pairs, v)
    keep = (low != high) & (np.abs(net) > 1e-9)
    low, high, net = low[keep], high[keep], net[keep]
    return np.where(net > 0, low, high), np.where(net > 0, high, low), np.abs(net)


def _active_moves(model: LocalModel, counts: Ints, actions: Ints, hood: Floats) -> list[Moves]:
    """(origin, target, agents) of each branch, for the states that are not in transit."""
    s = model.network.num_states
    played = np.zeros((s, model.num_actions))
    played[np.arange(s), model.first_legal] = counts
    rows = np.arange(s) if len(actions) == s else model.team_states
    played[rows] = actions
    played[np.arange(s), model.first_legal] += (played * ~model.legal).sum(1)
    played = (played * model.legal)[model.active]
    weights = np.asarray(model.branch_weights(hood), float)[0]
    taken = played[..., None] * weights
    node = model.network.node_of
    moves = []
    for k, branch in enumerate(model.branches):
        successors, chance = branch.successors[model.active], branch.probabilities[model.active]
        going = taken[..., k] if successors.shape[1] > 1 else taken[..., k].sum(1, keepdims=True)
        amount = going[..., None] * chance
        origin = np.broadcast_to(node[model.active][:, None, None], amount.shape)
        target = np.where(chance > 0, node[np.where(chance > 0, successors, 0)], origin)
        moves.append((origin, target, amount))
    return moves


def _transit_moves(model: LocalModel, counts: Ints) -> Moves:
    moving = np.flatnonzero(model.transit & (counts > 0))
    last = model.branches[-1]
    action = model.first_legal[moving] if last.successors.shape[1] > 1 else 0
    target = last.successors[moving, action, last.probabilities[moving, action].argmax(1)]
    node = model.network.node_of
    return node[moving], node[target], counts[moving].astype(float)


def edge_index(network: StateNetwork) -> Ints:
    """``(2, 2 E)``: origin and target of every edge in both directions, as indices of nodes."""
    origin, slot = np.nonzero(network.neighbors[:, 1:] >= 0)
    return np.stack([origin, network.neighbors[origin, slot + 1]])


# -- where things lie -----------------------------------------------------------------------------------------------


def node_positions(model: LocalModel) -> Floats | None:
    """``(V, 2)``, x to the right and y up: None if neither the graph nor the model says.

    The nodes' ``pos``; else the middle of the model's ``positions`` of their states; else (j, -i) for labels (i, j).
    """
    network = model.network
    given = [network.graph.nodes[label].get("pos") for label in network.nodes]
    if all(pos is not None for pos in given):
        return np.asarray(given, float)
    if getattr(model, "positions", None) is not None:
        middle: Floats = state_positions(model).reshape(network.num_nodes, network.layers, 2).mean(1)
        return middle
    if _is_lattice(network):
        return np.array([(j, -i) for i, j in network.nodes], float)
    return None


def state_positions(model: LocalModel) -> Floats:
    """``(S, 2)``: where an agent in each state is drawn.

    A model whose states lie apart within a node, such as vehicles on their way along a link, may have an attribute
    ``positions (S, 2)`` in the coordinates of the nodes; otherwise a state lies at its node.
    """
    given = getattr(model, "positions", None)
    if given is None:
        return _places(model)[model.network.node_of]
    places = np.asarray(given, float)
    if places.shape != (model.network.num_states, 2):
        raise ValueError(f"positions must have shape {(model.network.num_states, 2)}, not {places.shape}")
    return places


def _is_lattice(network: StateNetwork) -> bool:
    return all(isinstance(n, tuple) and len(n) == 2 and all(isinstance(x, int) for x in n) for n in network.nodes)


def _places(model: LocalModel) -> Floats:
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


def _around(network: StateNetwork) -> Ints:
    """``(V,)`` order of the nodes along a ring."""
    order, here, last = np.zeros(network.num_nodes, np.int64), int(network.neighbors[0, 1]), 0
    for step in range(1, network.num_nodes):
        order[here] = step
        here, last = next(int(w) for w in network.neighbors[here, 1:] if w != last), here
    return order


class _Stage:
    """What stays the same from frame to frame: the nodes' shapes and centres, what lies under and over them."""

    def __init__(self, model: LocalModel, map_side: float) -> None:
        self.simulator = Simulator(model)
        network, place = model.network, _places(model)
        rings = [network.graph.nodes[label].get("polygon") for label in network.nodes]
        is_map = all(ring is not None for ring in rings)
        is_lattice = not is_map and _is_lattice(network)
        corners = np.concatenate([np.asarray(ring, float) for ring in rings]) if is_map else place
        low, extent = corners.min(0), np.ptp(corners, axis=0)
        longest = max(float(extent.max()), 1e-9)
        scale = map_side / longest if is_map else min(CELL, 1500 / longest) if is_lattice else SIDE / longest
        pad = MARGIN + (0.0 if is_map else CELL / 2 if is_lattice else 26.0)
        inner = np.where(extent > 1e-8, extent * scale, 0) + 2 * pad
        width = max(int(inner[0]) + 1, 420)
        self.shape = (int(inner[1]) + 1 + HEADER, width)
        shift = np.array([(width - inner[0]) / 2 + pad, HEADER + inner[1] - pad])

        def on_canvas(points: Any) -> Floats:
            moved: Floats = shift + (np.asarray(points, float) - low) * np.array([scale, -scale])
            return moved

        self.on_canvas = on_canvas
        self.centre = on_canvas(place)
        self.background = np.broadcast_to(np.array(PAPER, float), (*self.shape, 3)).copy()
        self.borders: Floats | None = None
        if is_map:
            outlines = [on_canvas(ring) for ring in rings]
            self.shapes = [_polygon(outline, self.shape) for outline in outlines]
            self.borders = _borders(outlines, self.shape)
            self.digits, self.arrow = 12.0 * map_side / MAP_SIDE, 0.7
            self.radius = self.room = 0.35 * _usual(self.centre, network)
        elif is_lattice:
            self.shapes = [_square(x, y, 0.42 * scale, 0.12 * scale) for x, y in self.centre]
            self.digits, self.arrow = 0.26 * scale, scale / CELL
            self.radius, self.room = 0.42 * scale, 0.36 * scale
        else:
            radius = min(24.0, max(6.0, 0.36 * _nearest(self.centre, network)))
            self.shapes = [_square(x, y, radius, radius) for x, y in self.centre]
            self.digits, self.arrow = 0.62 * radius, min(1.0, radius / 14)
            self.radius, self.room = radius, 1.15 * radius
            for v, w in edge_index(network).T:
                _line(self.background, self.centre[v], self.centre[w], 1.6, FAINT)


_STAGES: WeakKeyDictionary[LocalModel, dict[float, _Stage]] = WeakKeyDictionary()


def _stage(model: LocalModel, map_side: float = MAP_SIDE) -> _Stage:
    kept = _STAGES.setdefault(model, {})
    if map_side not in kept:
        kept[map_side] = _Stage(model, map_side)
    return kept[map_side]


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


# -- drawing --------------------------------------------------------------------------------------------------------


def rgb_array(model: LocalModel, scene: Scene, name: str = "mfnet") -> Image:
    """The scene as an image ``(H, W, 3)`` uint8."""
    stage = _stage(model)
    counts = node_counts(model, scene.counts)
    colours = _heat(counts, int(counts.max()))
    canvas = _filled(stage, colours)
    _arrows(canvas, stage, *net_moves(model, scene))
    _numbers(canvas, stage, counts, colours)
    _headline(canvas, title(model, scene, name))
    return _as_image(canvas)


def _as_image(canvas: Canvas) -> Image:
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _heat(counts: Ints, top: int) -> Floats:
    """``(V, 3)`` colours of counts, the deepest at ``top``."""
    return _colours(np.sqrt(counts / max(1, top)))


def _filled(stage: _Stage, colours: Floats) -> Canvas:
    """The background with every node's shape in its colour."""
    canvas: Canvas = stage.background.copy()
    for (y, x, covered), colour in zip(stage.shapes, colours, strict=True):
        _blend(canvas, y, x, covered, colour)
    if stage.borders is not None:
        _blend(canvas, 0, 0, stage.borders, PAPER)
    return canvas


def _numbers(canvas: Canvas, stage: _Stage, counts: Ints, colours: Floats) -> None:
    for (x, y), n, colour in zip(stage.centre, counts, colours, strict=True):
        _label(canvas, f"{n:,}" if n < 10_000 else f"{n:.3g}".upper(), x, y, stage.digits, colour)


def _colours(share: Floats) -> Floats:
    """``(V, 3)`` colours of numbers in [0, 1]."""
    place = np.asarray(share) * (len(SCALE) - 1)
    return np.stack([np.interp(place, np.arange(len(SCALE)), SCALE[:, c]) for c in range(3)], 1)


def _blend(canvas: Canvas, y: int, x: int, covered: Floats, colour: Any) -> None:
    """Lay a colour over the canvas where ``covered`` says; what falls outside is cut."""
    top, left = max(0, -y), max(0, -x)
    part = covered[top : canvas.shape[0] - y, left : canvas.shape[1] - x, None]
    if part.size:
        area = canvas[y + top : y + top + part.shape[0], x + left : x + left + part.shape[1]]
        area += part * (np.asarray(colour, float) - area)


def _square(x: float, y: float, half: float, round_: float) -> tuple[int, int, Floats]:
    """A square with round corners; a disc when ``round_`` equals ``half``."""
    reach = int(half) + 2
    row, column = int(y) - reach, int(x) - reach
    dy, dx = np.ogrid[row : row + 2 * reach + 2, column : column + 2 * reach + 2]
    qx = np.maximum(np.abs(dx - x) - half + round_, 0)
    qy = np.maximum(np.abs(dy - y) - half + round_, 0)
    return row, column, np.clip(round_ + 0.5 - np.hypot(qx, qy), 0, 1)


def _polygon(points: Floats, shape: tuple[int, int], samples: int = 3) -> tuple[int, int, Floats]:
    """A filled polygon by the even-odd rule, ``samples`` x ``samples`` points per pixel."""
    left, top = np.maximum(np.floor(points.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(points.max(0)).astype(int) + 1, shape[::-1])
    x = left + (np.arange((right - left) * samples) + 0.5) / samples
    y = top + (np.arange((bottom - top) * samples) + 0.5) / samples
    inside = np.zeros((len(y), len(x)), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
        rows = (y > min(y0, y1)) & (y <= max(y0, y1))
        crossing = x0 + (y[rows] - y0) * ((x1 - x0) / (y1 - y0)) if y0 != y1 else np.zeros(0)
        inside[rows] ^= x[None, :] > crossing[:, None]
    covered = inside.reshape(bottom - top, samples, right - left, samples).mean((1, 3))
    return int(top), int(left), covered


def _line(canvas: Canvas, a: Floats, b: Floats, width: float, colour: Colour, head: float = 0.0) -> None:
    """A line from a to b, with an arrow head of length ``head`` at b."""
    reach = width + head + 2
    left, top = np.floor(np.minimum(a, b) - reach).astype(int)
    right, bottom = np.ceil(np.maximum(a, b) + reach).astype(int)
    x, y = np.meshgrid(np.arange(left, right, dtype=float), np.arange(top, bottom, dtype=float))
    along = (b - a) / max(float(np.hypot(*(b - a))), 1e-9)
    tip = b - head * along
    covered = np.clip(width / 2 + 0.5 - capsule(x, y, (a[0], a[1]), (tip[0], tip[1])), 0, 1)
    if head:
        forward = (x - tip[0]) * along[0] + (y - tip[1]) * along[1]
        aside = np.abs((y - tip[1]) * along[0] - (x - tip[0]) * along[1])
        wedge = np.minimum(forward + 0.5, (head - forward) * 0.62 - aside * 0.85 + 0.5)
        covered = np.maximum(covered, np.clip(wedge, 0, 1))
    _blend(canvas, int(top), int(left), covered, colour)


def _borders(rings: list[Floats], shape: tuple[int, int]) -> Floats:
    """Coverage of all outlines, one pixel and a half wide."""
    sheet = np.zeros((*shape, 3))
    for ring in rings:
        for a, b in zip(ring, np.roll(ring, -1, 0), strict=True):
            _line(sheet, a, b, 1.5, (1.0, 1.0, 1.0))
    return sheet[..., 0]


def _arrows(canvas: Canvas, stage: _Stage, origin: Ints, target: Ints, amount: Floats) -> None:
    """The strongest net movements as arrows over the borders, as wide as the square root of what they carry."""
    order = np.argsort(amount)[-ARROWS:]
    for v, w, n in zip(origin[order], target[order], amount[order], strict=True):
        strength = float(np.sqrt(n / amount.max()))
        if strength < 0.12:
            continue
        middle, half = (stage.centre[v] + stage.centre[w]) / 2, (stage.centre[w] - stage.centre[v]) / 2
        half *= min(0.62, 15 * stage.arrow / max(float(np.hypot(*half)), 1e-9))
        width = (1.0 + 3.0 * strength) * stage.arrow
        _line(canvas, middle - half, middle + half * 1.04, width + 2.4, PAPER, head=6.5 * stage.arrow + 2.4 * width)
        _line(canvas, middle - half, middle + half, width, ARROW, head=4.0 * stage.arrow + 2.2 * width)


def _label(canvas: Canvas, text: str, x: float, y: float, height: float, ground: Floats) -> None:
    """Centred digits, dark on light and light on dark, with a rim of the ground's colour where a shape is narrow."""
    if height < LEGIBLE:
        return
    is_light = float(ground @ np.array([0.299, 0.587, 0.114])) > 150
    left, top = x - text_width(text, height) / 2, y - height / 2
    _write(canvas, text, left, top, height, ground, rim=3.0)
    _write(canvas, text, left, top, height, INK if is_light else PAPER)


def _headline(canvas: Canvas, text: str) -> None:
    height = 13.0
    room = canvas.shape[1] - 2 * MARGIN
    height *= min(1.0, room / text_width(text, height))
    _write(canvas, text, MARGIN, HEADER / 2 - height / 2 + 2, height, INK)
    canvas[HEADER - 2, MARGIN:-MARGIN] = FAINT


def _write(canvas: Canvas, text: str, x: float, y: float, height: float, colour: Any, rim: float = 0.0) -> None:
    weight = max(1.1, height / 8) + rim
    for letter in text.upper():
        covered, advance = glyph(letter, height, weight)
        _blend(canvas, round(y) - AROUND, round(x) - AROUND, covered, colour)
        x += advance


# -- text -----------------------------------------------------------------------------------------------------------


def ansi(model: LocalModel, scene: Scene, name: str = "mfnet") -> str:
    """The scene as text: a lattice with arrows where the net movement is half an agent or more, else a list."""
    counts = node_counts(model, scene.counts)
    moves = {(v, w): n for v, w, n in zip(*map(np.ndarray.tolist, net_moves(model, scene)), strict=True) if n >= 0.5}
    body = _lattice(model.network, counts, moves) if _is_lattice(model.network) else _list(model, counts, moves)
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
