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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mfnet_envs import checks, render
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.registration import did_you_mean, make_model, parallel_env, scenario, scenarios
from mfnet_envs.simulator import Simulator
from mfnet_envs.views import AgentsEnv, CentralEnv, TeamsEnv

FRAMES_PER_SECOND = 4
AGENTS_CHECKED = 200  # population of the agent view in `check`, at most


def list_environments() -> str:
    """One line per id: the id and the first sentence of its page."""
    width = max(map(len, scenarios()))
    return "\n".join(f"{id:<{width}}  {_page(id).partition(chr(10))[0]}" for id in sorted(scenarios()))


def show(id: str, *, bound: bool = True, **options: Any) -> str:
    """The page of an environment: its docstring, its spaces in every view, its bound and its heuristics.

    Args:
        bound: solve for the certificate too; needs scipy and up to some seconds.
        options: of the scenario's builder.
    """
    model = make_model(id, **options)
    entry = scenario(id)
    lines = [id, "=" * len(id), "", _page(id), "", "Now", "---"]
    lines += [f"population {model.population}, {model.network}, {len(model.team_states)} teams, gamma {model.gamma:g}"]
    lines += [f"evaluation: {model.evaluation[0]} steps, the first {model.evaluation[1]} of them warm-up"]
    central, teams = CentralEnv(model), TeamsEnv(model)
    agents = AgentsEnv(make_model(id, **{**options, "population": min(model.population, AGENTS_CHECKED)}))
    lines += [
        f"central  gymnasium.make({id!r}): observation {central.observation_space}, action {central.action_space}",
        f"teams    {entry.pettingzoo_id('teams')}: observation {_first(teams.observation_spaces)}, "
        f"action {_first(teams.action_spaces)}",
        f"agents   {entry.pettingzoo_id('agents')}: observation {_first(agents.observation_spaces)}, "
        f"action {_first(agents.action_spaces)}",
    ]
    if bound:
        certificate = model.bound()
        lines += [f"bound: {'none is known' if certificate is None else certificate}"]
        lines += [f"heuristics: {', '.join(model.heuristics()) or 'none'}"]
    return "\n".join(lines)


def _page(id: str) -> str:
    """The docstring of the scenario's module, or of its builder."""
    builder = scenario(id).load()
    module = inspect.getmodule(builder)
    page = (module.__doc__ if isinstance(scenario(id).builder, str) and module else None) or builder.__doc__
    return re.sub(f"^`*{re.escape(id)}`*:? *", "", inspect.cleandoc(page or "no description"))


def _first(spaces: Mapping[str, gym.Space[Any]]) -> gym.Space[Any]:
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
    """Play a policy and write what is seen: ``.png`` the last moment, ``.gif`` every step, ``.txt`` the text.

    Args:
        policy: a name of ``model.heuristics()``, "random", or a policy.
        steps: default: 30, or the scenario's evaluation steps if these are fewer.
        options: of the scenario's builder.

    Raises:
        ValueError: unknown policy or kind of file. ModuleNotFoundError: a GIF without Pillow.
    """
    path = Path(path)
    if path.suffix not in (".png", ".gif", ".txt"):
        raise ValueError(f"the file must end in .png, .gif or .txt, not {path.suffix or 'nothing'!r}")
    model = make_model(id, **options)
    scenes = list(
        _scenes(model, _policy(model, policy), min(30, model.evaluation[0]) if steps is None else steps, seed)
    )
    if path.suffix == ".txt":
        path.write_text("\n\n".join(render.ansi(model, scene, id) for scene in scenes) + "\n", encoding="utf-8")
    elif path.suffix == ".png":
        path.write_bytes(png(render.rgb_array(model, scenes[-1], id)))
    else:
        _write_gif(path, [render.rgb_array(model, scene, id) for scene in scenes])
    return path


def _scenes(model: LocalModel, policy: Policy, steps: int, seed: int) -> Iterator[render.Scene]:
    if steps < 0:
        raise ValueError(f"steps must be a non-negative integer, not {steps!r}")
    simulator, rng = Simulator(model), np.random.default_rng(seed)
    counts = simulator.reset(rng, 1)
    yield render.Scene(counts[0])
    for t in range(steps):
        actions = policy.sample(counts, t, rng)
        following, rewards = simulator.step(counts, actions, rng)
        yield render.Scene(following[0], counts[0], actions[0], t + 1, float(rewards.sum()))
        counts = following


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


def _write_gif(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    try:
        from PIL import Image
    except ModuleNotFoundError as missing:
        hint = "a GIF needs Pillow: pip install 'mfnet[render]', or write a .png"
        raise ModuleNotFoundError(hint, name="PIL") from missing
    first, *rest = (Image.fromarray(frame).quantize(64) for frame in frames)
    first.save(path, save_all=True, append_images=rest, duration=1000 // FRAMES_PER_SECOND, loop=0)


# -- checks ---------------------------------------------------------------------------------------------------------


def check(target: str, **options: Any) -> str:
    """Put an id, or ``"module:callable"`` that returns a model or an environment, through every check there is.

    A model is checked itself (:func:`mfnet_envs.checks.check_model`) and in all its views.

    Raises:
        ValueError, AssertionError: the first violation, in a sentence.
    """
    made = build(target, **options)
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
