"""Letters for pictures, as strokes, so that an image needs no font and looks the same on every machine.

A glyph is drawn in a box 6 units high (y points down, 0 is the top of a capital) from lines and arcs of ellipses.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Coverage = NDArray[np.float64]
Path = list[tuple[float, float]]
GAP = 1.6  # units between two glyphs
MARGIN = 5  # pixels around a glyph


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Path:
    """Points of an ellipse's arc; degrees, 0 = right, 90 = down."""
    angles = np.radians(np.linspace(start, end, max(3, int(abs(end - start) / 15) + 1)))
    return [(x + rx * float(np.cos(a)), y + ry * float(np.sin(a))) for a in angles]


_P: Path = [(0, 6), (0, 0), (2.2, 0), *_arc(2.2, 1.65, 1.7, 1.65, -90, 90), (0, 3.3)]

GLYPHS: dict[str, list[Path]] = {
    " ": [],
    "0": [_arc(2, 3, 2, 3, 0, 360)],
    "1": [[(0.6, 1.3), (2.2, 0), (2.2, 6)]],
    "2": [[*_arc(2, 1.9, 1.9, 1.9, 180, 390), (0, 6), (4, 6)]],
    "3": [_arc(1.9, 1.6, 1.7, 1.6, 200, 450), _arc(1.9, 4.6, 2, 1.4, 270, 520)],
    "4": [[(3, 6), (3, 0), (0, 4.3), (4, 4.3)]],
    "5": [[(3.6, 0), (0.7, 0), (0.5, 2.6), *_arc(1.9, 4, 2, 2, 225, 510)]],
    "6": [_arc(2, 4, 2, 2, 0, 360), _arc(4, 4, 4, 4, 180, 258)],
    "7": [[(0, 0), (4, 0), (1.4, 6)]],
    "8": [_arc(2, 1.5, 1.6, 1.5, 0, 360), _arc(2, 4.5, 2, 1.5, 0, 360)],
    "9": [_arc(2, 2, 2, 2, 0, 360), _arc(0, 2, 4, 4, 0, 78)],
    "A": [[(0, 6), (2.1, 0), (4.2, 6)], [(0.7, 4), (3.5, 4)]],
    "B": [
        [(0, 2.9), (0, 0), (2.2, 0), *_arc(2.2, 1.45, 1.5, 1.45, -90, 90), (0, 2.9)],
        [(0, 2.9), (2.3, 2.9), *_arc(2.3, 4.45, 1.6, 1.55, -90, 90), (0, 6), (0, 2.9)],
    ],
    "C": [_arc(2.3, 3, 2.3, 3, -50, -310)],
    "D": [[(0, 0), (1.4, 0), *_arc(1.4, 3, 2.7, 3, -90, 90), (0, 6), (0, 0)]],
    "E": [[(3.5, 0), (0, 0), (0, 6), (3.5, 6)], [(0, 2.9), (3, 2.9)]],
    "F": [[(3.5, 0), (0, 0), (0, 6)], [(0, 2.9), (3, 2.9)]],
    "G": [[*_arc(2.3, 3, 2.3, 3, -50, -355), (2.6, 3.2)]],
    "H": [[(0, 0), (0, 6)], [(4, 0), (4, 6)], [(0, 2.9), (4, 2.9)]],
    "I": [[(0.4, 0), (0.4, 6)]],
    "J": [[(3, 0), (3, 4.4), *_arc(1.5, 4.4, 1.5, 1.6, 0, 160)]],
    "K": [[(0, 0), (0, 6)], [(3.8, 0), (0, 3.7)], [(1.4, 2.4), (4, 6)]],
    "L": [[(0, 0), (0, 6), (3.5, 6)]],
    "M": [[(0, 6), (0, 0), (2.4, 4), (4.8, 0), (4.8, 6)]],
    "N": [[(0, 6), (0, 0), (4, 6), (4, 0)]],
    "O": [_arc(2.4, 3, 2.4, 3, 0, 360)],
    "P": [_P],
    "Q": [_arc(2.4, 3, 2.4, 3, 0, 360), [(2.9, 4.4), (4.7, 6.3)]],
    "R": [_P, [(2, 3.3), (4, 6)]],
    "S": [[*_arc(2, 1.55, 1.9, 1.55, -30, -270), *_arc(2, 4.55, 2, 1.45, -90, 150)]],
    "T": [[(0, 0), (4, 0)], [(2, 0), (2, 6)]],
    "U": [[(0, 0), (0, 3.8), *_arc(2, 3.8, 2, 2.2, 180, 0), (4, 0)]],
    "V": [[(0, 0), (2.1, 6), (4.2, 0)]],
    "W": [[(0, 0), (1.3, 6), (2.7, 1), (4.1, 6), (5.4, 0)]],
    "X": [[(0, 0), (4, 6)], [(4, 0), (0, 6)]],
    "Y": [[(0, 0), (2, 3), (4, 0)], [(2, 3), (2, 6)]],
    "Z": [[(0, 0), (4, 0), (0, 6), (4, 6)]],
    "-": [[(0.2, 3.2), (2.4, 3.2)]],
    "+": [[(0, 3.2), (3, 3.2)], [(1.5, 1.7), (1.5, 4.7)]],
    "=": [[(0, 2.3), (3, 2.3)], [(0, 4.1), (3, 4.1)]],
    ".": [[(0.3, 5.9), (0.3, 6)]],
    ",": [[(0.5, 5.8), (0.1, 7)]],
    ":": [[(0.3, 2.2), (0.3, 2.3)], [(0.3, 5.3), (0.3, 5.4)]],
    "/": [[(0, 6.4), (2.4, -0.4)]],
    "%": [_arc(0.9, 1.2, 0.9, 1.2, 0, 360), _arc(4.1, 4.8, 0.9, 1.2, 0, 360), [(4.2, 0), (0.8, 6)]],
    "(": [_arc(2.2, 3, 2, 4.2, 130, 230)],
    ")": [_arc(-0.6, 3, 2, 4.2, -50, 50)],
    "_": [[(0, 6.6), (3.4, 6.6)]],
    "·": [[(0.3, 3.1), (0.3, 3.2)]],
}


def capsule(x: NDArray[np.float64], y: NDArray[np.float64], a: tuple[float, float], b: tuple[float, float]) -> Coverage:
    """Distance of the points (x, y) from the segment a-b."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = ((x - a[0]) * dx + (y - a[1]) * dy) / max(dx * dx + dy * dy, 1e-12)
    along = np.clip(along, 0, 1)
    distance: Coverage = np.hypot(x - a[0] - along * dx, y - a[1] - along * dy)
    return distance


@lru_cache(maxsize=512)
def glyph(letter: str, height: float, weight: float) -> tuple[Coverage, float]:
    """A letter ``height`` pixels high: coverage in [0, 1] with MARGIN pixels around it, and its advance."""
    unit = height / 6
    strokes = GLYPHS.get(letter, GLYPHS["_"])
    width = max((x for path in strokes for x, _ in path), default=1.2)
    columns, rows = int(width * unit) + 2 * MARGIN + 1, int(7 * unit) + 2 * MARGIN + 1
    x, y = np.meshgrid(np.arange(columns) - float(MARGIN), np.arange(rows) - float(MARGIN))
    distance = np.full(x.shape, np.inf)
    for path in strokes:
        for a, b in zip(path, path[1:], strict=False):
            start, end = (a[0] * unit, a[1] * unit), (b[0] * unit, b[1] * unit)
            distance = np.minimum(distance, capsule(x, y, start, end))
    covered = np.clip(weight / 2 + 0.5 - distance, 0, 1)
    covered.setflags(write=False)
    return covered, (width + GAP) * unit


def text_width(text: str, height: float) -> float:
    """Pixels that a line of text takes."""
    return sum(glyph(letter, height, 1.0)[1] for letter in text.upper()) - GAP * height / 6
