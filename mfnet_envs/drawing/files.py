"""Pictures and films as files, whatever the policy."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_envs.drawing import film, film_page
from mfnet_envs.drawing.paint import Image
from mfnet_envs.drawing.render import ansi
from mfnet_envs.evaluate import check_arguments
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.words import brief, checked_path, did_you_mean, of_kind, pip_command, shown
from mfnet_envs.writing import written

STEP_SECONDS = 0.42  # a step of a GIF
GIF_LIMIT = 1_400_000  # bytes
KINDS = (".png", ".gif", ".html", ".txt")


def render_to(
    model: LocalModel,
    path: str | Path,
    *,
    policy: str | Policy = "random",
    steps: int | None = None,
    seed: int = 0,
    name: str = "mfnet",
    title: str | None = None,
) -> Path:
    """Play a policy and write what is seen.

    ``.png``: the last moment; ``.gif``: agents flowing along edges, step by step; ``.html``: the same as a page with a
    scrubber that needs no connection; ``.txt``: every step as text.

    Args:
        policy: a name of ``model.heuristics()``, "random", or any policy of the model.
        steps: default: 30 (24 for a GIF), or the scenario's evaluation steps if these are fewer.
        name: of the environment; title: of pictures and films, default: the name, and the policy's if it has one.

    Raises:
        ValueError: unknown policy or kind of file; a policy of another network; steps or a seed that are none.
        TypeError: no model, path or policy.
        FileNotFoundError: no such folder.
        ModuleNotFoundError: a GIF without Pillow.
    """
    path = checked_path(path)
    if path.suffix not in KINDS:
        raise ValueError(f"the file must end in .png, .gif, .html or .txt, not {shown(path.suffix or 'nothing')}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {brief(path.parent)}: make it first, or name another file")
    chosen = _policy(model, policy)
    check_arguments(model, chosen)
    name, title = of_kind("name", name, str), of_kind("title", title, str | None)
    if path.suffix == ".gif":
        _pillow()  # before the film is made
    if steps is None:
        steps = min(24 if path.suffix == ".gif" else 30, model.evaluation[0])
    if title is None:
        title = f"{name} · {policy}" if isinstance(policy, str) else name
    shot = film.shoot(model, chosen, steps, seed, title)
    with written(path) as file:
        file.write(_seen(model, shot, path.suffix, name))
    return path


def _seen(model: LocalModel, shot: film.Film, kind: str, name: str) -> bytes:
    if kind == ".txt":
        scenes = (ansi(model, shot.scene(t), name) for t in range(shot.steps + 1))
        return ("\n\n".join(scenes) + "\n").encode()
    if kind == ".png":
        return png(film.still(model, shot))
    return film_page.page(model, shot).encode() if kind == ".html" else gif(model, shot)


def _policy(model: LocalModel, policy: str | Policy) -> Policy:
    check_arguments(model)
    if not isinstance(policy, str):
        return policy
    if policy == "random":
        return uniform(model)
    known = model.heuristics()
    if policy not in known:
        names = ", ".join(sorted({"random", *known}))
        raise ValueError(f"there is no policy {shown(policy)}{did_you_mean(policy, known)} Known: {names}.")
    found: Policy = known[policy]
    return found


def png(image: Image) -> bytes:
    """An image ``(H, W, 3)`` as a PNG file."""
    height, width, _ = image.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], 1)  # 0: unfiltered rows

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    body = zlib.compress(rows.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def gif(model: LocalModel, shot: film.Film, limit: int = GIF_LIMIT) -> bytes:
    """The film as a GIF, with as many pictures between steps as fit into ``limit`` bytes.

    Raises:
        ModuleNotFoundError: without Pillow.
    """
    pillow = _pillow()
    palette = pillow.new("P", (1, 1))
    palette.putpalette(np.rint(film.palette()).astype(np.uint8).tobytes())
    for between in (film.BETWEEN, 4, 2, 1):
        images = (pillow.fromarray(frame) for frame in film.frames(model, shot, between))
        # one palette for all, so that only what moves is stored anew
        first, *rest = (image.quantize(palette=palette, dither=pillow.Dither.NONE) for image in images)
        duration = [STEP_SECONDS * 1000 / between] * len(rest) + [1500]
        data = io.BytesIO()
        first.save(data, "GIF", save_all=True, append_images=rest, duration=duration, loop=0)
        if data.tell() <= limit:
            break
    return data.getvalue()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError as missing:
        hint = f"a GIF needs Pillow: {pip_command('render')}, or write a .png or .html"
        raise ModuleNotFoundError(hint, name="PIL") from missing
    return Image
