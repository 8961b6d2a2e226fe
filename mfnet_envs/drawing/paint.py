"""A sheet of pixels and what is laid on it: shapes, lines and letters with smooth edges, by numpy alone.

A *shape* is where it lies, its top row and left column, and how much of each pixel it covers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.drawing.lettering import MARGIN, capsule, glyph, text_width

Image = NDArray[np.uint8]
Canvas = Floats
Colour = tuple[float, float, float]
Shape = tuple[int, int, Floats]

PAPER: Colour = (251, 250, 246)
INK: Colour = (38, 34, 48)
FAINT: Colour = (206, 202, 194)
ARROW: Colour = (24, 116, 130)
SCALE = np.array(  # few to many: light and warm to deep; even steps of lightness
    [(243, 238, 224), (249, 215, 155), (245, 164, 98), (224, 103, 86), (173, 56, 96), (99, 31, 92)], float
)
LEGIBLE = 6.0  # pixels; smaller digits are left out


def sheet(height: int, width: int) -> Canvas:
    """An empty canvas ``(height, width, 3)``."""
    return np.broadcast_to(np.array(PAPER, float), (height, width, 3)).copy()


def as_image(canvas: Canvas) -> Image:
    """The canvas as uint8."""
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def heat(counts: Ints, top: int) -> Floats:
    """``(V, 3)`` colours of counts, the deepest at ``top``."""
    return colours(np.sqrt(counts / max(1, top)))


def colours(share: Floats) -> Floats:
    """``(V, 3)`` colours of numbers in [0, 1]."""
    place = np.asarray(share) * (len(SCALE) - 1)
    return np.stack([np.interp(place, np.arange(len(SCALE)), SCALE[:, c]) for c in range(3)], 1)


def blend(canvas: Canvas, y: int, x: int, covered: Floats, colour: Any) -> None:
    """Lay a colour over the canvas where ``covered`` says; what falls outside is cut."""
    top, left = max(0, -y), max(0, -x)
    part = covered[top : canvas.shape[0] - y, left : canvas.shape[1] - x, None]
    if part.size:
        area = canvas[y + top : y + top + part.shape[0], x + left : x + left + part.shape[1]]
        area += part * (np.asarray(colour, float) - area)


def square(x: float, y: float, half: float, round_: float) -> Shape:
    """A square with round corners; a disc when ``round_`` equals ``half``."""
    reach = int(half) + 2
    row, column = int(y) - reach, int(x) - reach
    dy, dx = np.ogrid[row : row + 2 * reach + 2, column : column + 2 * reach + 2]
    qx = np.maximum(np.abs(dx - x) - half + round_, 0)
    qy = np.maximum(np.abs(dy - y) - half + round_, 0)
    return row, column, np.clip(round_ + 0.5 - np.hypot(qx, qy), 0, 1)


def polygon(points: Floats, shape: tuple[int, int], samples: int = 3) -> Shape:
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


def line(canvas: Canvas, a: Floats, b: Floats, width: float, colour: Colour, head: float = 0.0) -> None:
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
    blend(canvas, int(top), int(left), covered, colour)


def borders(rings: list[Floats], shape: tuple[int, int]) -> Floats:
    """Coverage of all outlines, one pixel and a half wide."""
    outlines = np.zeros((*shape, 3))
    for ring in rings:
        for a, b in zip(ring, np.roll(ring, -1, 0), strict=True):
            line(outlines, a, b, 1.5, (1.0, 1.0, 1.0))
    return outlines[..., 0]


def label(canvas: Canvas, text: str, x: float, y: float, height: float, ground: Floats) -> None:
    """Centred digits, dark on light and light on dark, with a rim of the ground's colour where a shape is narrow."""
    if height < LEGIBLE:
        return
    is_light = float(ground @ np.array([0.299, 0.587, 0.114])) > 150
    left, top = x - text_width(text, height) / 2, y - height / 2
    write(canvas, text, left, top, height, ground, rim=3.0)
    write(canvas, text, left, top, height, INK if is_light else PAPER)


def write(canvas: Canvas, text: str, x: float, y: float, height: float, colour: Any, rim: float = 0.0) -> None:
    """Capitals ``height`` pixels high, their top left corner at (x, y)."""
    weight = max(1.1, height / 8) + rim
    for letter in text.upper():
        covered, advance = glyph(letter, height, weight)
        blend(canvas, round(y) - MARGIN, round(x) - MARGIN, covered, colour)
        x += advance
