"""What ``mfnet env list | show | render | check | bench`` do; plain functions that return text or data."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import re
import struct
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv  # type: ignore[import-untyped]

from mfnet_envs import checks, film, film_page, render, testing
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.registration import did_you_mean, make_model, parallel_env, scenario, scenarios
from mfnet_envs.views import AgentsEnv, CentralEnv, TeamsEnv

STEP_SECONDS = 0.42  # a step of a GIF
GIF_LIMIT = 1_400_000  # bytes
AGENTS_CHECKED = 200  # population of the agent view in `check`, at most


def list_environments() -> str:
    """One line per id: the id and the first sentence of its page."""
    width = max(map(len, scenarios()))
    return "\n".join(f"{id:<{width}}  {page(id).partition(chr(10))[0]}" for id in sorted(scenarios()))


def show(id: str, *, bound: bool = True, **options: Any) -> str:
    """The page of an environment: its docstring, its spaces in every view, its bound and its heuristics.

    Args:
        bound: solve for the certificate too; needs scipy and up to some seconds.
        options: of the scenario's builder.
    """
    model = make_model(id, **options)
    entry = scenario(id)
    lines = [id, "=" * len(id), "", page(id), "", "Now", "---"]
    lines += [f"population {model.population}, {model.network}, {len(model.team_states)} teams, gamma {model.gamma:g}"]
    lines += [f"evaluation: {model.evaluation[0]} steps, the first {model.evaluation[1]} of them warm-up"]
    central, teams = CentralEnv(model), TeamsEnv(model)
    agents = AgentsEnv(make_model(id, **{**options, "population": min(model.population, AGENTS_CHECKED)}))
    lines += [
        f"central  gymnasium.make({id!r}): observation {central.observation_space}, action {central.action_space}",
        f"teams    {entry.pettingzoo_id('teams')}: observation {first(teams.observation_spaces)}, "
        f"action {first(teams.action_spaces)}",
        f"agents   {entry.pettingzoo_id('agents')}: observation {first(agents.observation_spaces)}, "
        f"action {first(agents.action_spaces)}",
    ]
    if bound:
        certificate = model.bound()
        lines += [f"bound: {'none is known' if certificate is None else certificate}"]
        lines += [f"heuristics: {', '.join(model.heuristics()) or 'none'}"]
    return "\n".join(lines)


def page(id: str) -> str:
    """The docstring of the scenario's module, or of its builder."""
    builder = scenario(id).load()
    module = inspect.getmodule(builder)
    page = (module.__doc__ if isinstance(scenario(id).builder, str) and module else None) or builder.__doc__
    return re.sub(f"^`*{re.escape(id)}`*:? *", "", inspect.cleandoc(page or "no description"))


def first(spaces: Mapping[str, gym.Space[Any]]) -> gym.Space[Any]:
    return next(iter(spaces.values()))


# -- pictures -------------------------------------------------------------------------------------------------------


def render_to(
    id: str,
    path: str | Path,
    *,
    policy: str | Policy = "random",
    steps: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Path:
    """Play a policy and write what is seen.

    ``.png``: the last moment; ``.gif``: agents flowing along edges, step by step; ``.html``: the same as a page with a
    scrubber that needs no connection; ``.txt``: every step as text.

    Args:
        policy: a name of ``model.heuristics()``, "random", or a policy.
        steps: default: 30 (24 for a GIF), or the scenario's evaluation steps if these are fewer.
        options: of the scenario's builder.

    Raises:
        ValueError: unknown policy or kind of file. ModuleNotFoundError: a GIF without Pillow.
    """
    path = Path(path)
    if path.suffix not in (".png", ".gif", ".html", ".txt"):
        raise ValueError(f"the file must end in .png, .gif, .html or .txt, not {path.suffix or 'nothing'!r}")
    model = make_model(id, **options)
    if steps is None:
        steps = min(24 if path.suffix == ".gif" else 30, model.evaluation[0])
    title = f"{id} · {policy}" if isinstance(policy, str) else id
    shot = film.shoot(model, _policy(model, policy), steps, seed, title)
    if path.suffix == ".txt":
        scenes = (render.ansi(model, shot.scene(t), id) for t in range(steps + 1))
        path.write_text("\n\n".join(scenes) + "\n", encoding="utf-8")
    elif path.suffix == ".png":
        path.write_bytes(png(film.still(model, shot)))
    elif path.suffix == ".html":
        path.write_text(film_page.page(model, shot), encoding="utf-8")
    else:
        path.write_bytes(gif(model, shot))
    return path


def _policy(model: LocalModel, policy: str | Policy) -> Policy:
    if isinstance(policy, Policy):
        return policy
    if policy == "random":
        return uniform(model)
    known = model.heuristics()
    if policy not in known:
        names = ", ".join({"random", *known})
        raise ValueError(f"there is no policy {policy!r}{did_you_mean(policy, known)} Known: {names}.")
    return known[policy]


def png(image: NDArray[np.uint8]) -> bytes:
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
    try:
        from PIL import Image
    except ModuleNotFoundError as missing:
        hint = "a GIF needs Pillow: pip install 'mfnet[render]', or write a .png or .html"
        raise ModuleNotFoundError(hint, name="PIL") from missing
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint(film.palette()).astype(np.uint8).tobytes())
    for between in (film.BETWEEN, 4, 2, 1):
        images = (Image.fromarray(frame) for frame in film.frames(model, shot, between))
        # one palette for all, so that only what moves is stored anew
        first, *rest = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
        duration = [STEP_SECONDS * 1000 / between] * len(rest) + [1500]
        data = io.BytesIO()
        first.save(data, "GIF", save_all=True, append_images=rest, duration=duration, loop=0)
        if data.tell() <= limit:
            break
    return data.getvalue()


# -- checks ---------------------------------------------------------------------------------------------------------


def check(target: str, **options: Any) -> str:
    """Put an id, or ``"module:callable"`` that returns a model or an environment, through every check there is.

    A model is checked itself (:func:`mfnet_envs.checks.check_model`) and in all its views; a PettingZoo environment by
    :mod:`mfnet_envs.testing`, which makes it anew several times.

    Raises:
        ValueError, AssertionError: the first violation, in a sentence; for a PettingZoo environment all of them.
    """
    made = build(target, **options)
    if isinstance(made, ParallelEnv | AECEnv):
        found = testing.check_parallel_env(partial(build, target, **options))
        return f"{target}: the environment keeps the contract\n{found}"
    if not isinstance(made, LocalModel):
        _quietly(checks.check_env, made)
        return f"{target}: the environment passes the checks made for it"
    lines = [f"{target}: the model keeps the contract", str(checks.check_model(made))]
    for name, make in _views(target, made, options).items():
        _quietly(checks.check_env, make())
        lines.append(f"the {name} view passes the checks made for it")
    return "\n".join(lines)


def build(target: str, **options: Any) -> Any:
    """What an id makes, or a ``"module:callable"`` that is called with ``options``.

    Raises:
        ValueError: the callable cannot be imported.
    """
    return make_model(target, **options) if ":" not in target else _called(target)(**options)


def _called(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    if os.getcwd() not in sys.path:  # a command installed by pip does not look here by itself
        sys.path.append(os.getcwd())
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{target!r} cannot be imported: {error}") from error
    return found


def _views(target: str, model: LocalModel, options: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """The views of a model; of a registered id, as its users make them."""
    if ":" in target:
        views: dict[str, Callable[[], Any]] = {
            "central": lambda: CentralEnv(model),
            "teams": lambda: TeamsEnv(model),
            "agents": lambda: AgentsEnv(model),
        }
        return views
    few = {**options, "population": min(model.population, AGENTS_CHECKED)}
    return {
        "central": lambda: gym.make(target, render_mode="rgb_array", **options),
        "teams": lambda: parallel_env(target, "teams", **options),
        "agents": lambda: parallel_env(target, "agents", **few),
    }


def _quietly(call: Callable[[Any], Any], argument: Any) -> None:
    """Without the remarks that passing tests print."""
    with contextlib.redirect_stdout(io.StringIO()):
        call(argument)


# -- speed ----------------------------------------------------------------------------------------------------------


def bench(id: str, *, seconds: float = 0.5, worlds: int = 64, **options: Any) -> dict[str, float]:
    """Steps per second of every view, measured for ``seconds`` each; of the vector view world-steps per second.

    Actions are drawn beforehand. Speeds of two machines, or of a busy one, do not compare.
    """
    central = gym.make(id, max_episode_steps=-1, disable_env_checker=True, **options).unwrapped
    vector = gym.make_vec(id, num_envs=worlds, max_episode_steps=10**9, **options)
    speeds = {}
    for name, env, scale in (("central", central, 1), (f"vector, {worlds} worlds", vector, worlds)):
        env.reset(seed=0)
        action = env.action_space.sample()
        speeds[name] = scale * _rate(lambda env=env, action=action: env.step(action), seconds)  # type: ignore[misc]
    for view in ("teams", "agents"):
        parallel = parallel_env(id, view, max_cycles=10**9, **options)
        parallel.reset(seed=0)
        joint = {agent: space.sample() for agent, space in parallel.action_spaces.items()}
        rows = np.stack(list(joint.values()))
        speeds[f"{view}, dicts"] = _rate(lambda env=parallel, joint=joint: env.step(joint), seconds)  # type: ignore[misc]
        speeds[f"{view}, arrays"] = _rate(lambda env=parallel, rows=rows: env.step_array(rows), seconds)  # type: ignore[misc]
    return speeds


def bench_table(speeds: dict[str, float]) -> str:
    """The result of :func:`bench` as text."""
    width = max(map(len, speeds))
    return "\n".join(f"{name:<{width}}  {speed:>12,.0f} steps/s" for name, speed in speeds.items())


def _rate(step: Callable[[], Any], seconds: float) -> float:
    """Calls per second of CPU time."""
    for _ in range(3):
        step()
    calls, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        step()
        calls += 1
    return calls / spent
