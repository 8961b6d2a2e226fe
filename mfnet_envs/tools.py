"""What ``mfnet env list | show | check | bench`` do; plain functions that return text or data."""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import re
import textwrap
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from pettingzoo import AECEnv, ParallelEnv  # type: ignore[import-untyped]

from mfnet_envs import targets
from mfnet_envs.conformance import environments as testing
from mfnet_envs.conformance import models as checks
from mfnet_envs.model import LocalModel
from mfnet_envs.options import options_of
from mfnet_envs.registration import (
    VERSIONED,
    RegisteredEnv,
    RegisteredVectorEnv,
    make_model,
    parallel_env,
    scenario,
    scenarios,
    split_options,
)
from mfnet_envs.views import AgentsEnv, CentralEnv, TeamsEnv

AGENTS_CHECKED = 200  # population of the agent view in `check`, at most


def listing() -> dict[str, str]:
    """Every id and the first sentence of its page."""
    return {id: plain(page(id)).partition("\n")[0] for id in sorted(scenarios())}


def list_environments() -> str:
    """:func:`listing`, a line each."""
    width = max(map(len, scenarios()))
    return "\n".join(f"{id:<{width}}  {sentence}" for id, sentence in listing().items())


def show(id: str, *, bound: bool = True, **options: Any) -> str:
    """The page of an environment: its docstring, its options, its spaces in every view, its bound, its heuristics and
    what is to be known about its making.

    Args:
        id: or a target, see :mod:`mfnet_envs.registration`.
        bound: solve for the certificate too; needs scipy and up to some seconds.
        options: of the scenario's builder.
    """
    said = describe(id, bound=bound, **options)
    lines = [id, "=" * len(id), "", said["page"], "", "Options", "-------", *option_lines(scenario(id).load())]
    lines += ["", "Now", "---"]
    lines += [f"population {said['population']}, {said['network']}, {said['teams']} teams, gamma {said['gamma']:g}"]
    steps, warmup = said["evaluation"]
    lines += [f"evaluation: {steps} steps, the first {warmup} of them warm-up; headline: {said['headline']}"]
    for name, view in said["views"].items():
        lines += [f"{name:<8} {view['made_by']}: observation {view['observation']}, action {view['action']}"]
    if bound:
        lines += [
            f"bound: {said['bound'] or 'none is known'}",
            f"heuristics: {', '.join(said['heuristics']) or 'none'}",
        ]
    lines += [f"note: {note}" for note in said["notes"]]
    return "\n".join(lines)


def option_lines(builder: Callable[..., Any]) -> list[str]:
    """The table of a builder's options: name, type, default and, as wide as the rest leaves, what it means."""
    rows = [(each.name, each.kind or "any", "required" if each.default is None else each.default, plain(each.meaning))
            for each in options_of(builder)]  # fmt: skip
    rows = [("option", "type", "default", "meaning"), *rows]
    widths = [min(max(len(row[column]) for row in rows), most) for column, most in enumerate((20, 34, 24, 60))]
    found = []
    for row in rows:
        parts = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        for line in itertools.zip_longest(*parts, fillvalue=""):
            found.append("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    return [found[0], "-" * max(map(len, found)), *found[1:]]


def describe(id: str, *, bound: bool = True, **options: Any) -> dict[str, Any]:
    """What :func:`show` prints, as plain values for JSON."""
    entry, model = scenario(id), make_model(id, **options)
    central, teams = CentralEnv(model), TeamsEnv(model)
    agents = AgentsEnv(make_model(id, **_few(id, model, options)))
    shapes = {
        "central": (central.observation_space, central.action_space),
        "teams": (first(teams.observation_spaces), first(teams.action_spaces)),
        "agents": (first(agents.observation_spaces), first(agents.action_spaces)),
    }
    doors = {view: f"mfnet_envs.parallel_env({id!r}, {view!r})" for view in shapes}
    doors["central"] = f"mfnet_envs.registration.RegisteredEnv({id!r})"
    if entry.id in scenarios():
        doors = {view: entry.pettingzoo_id(view) for view in shapes} | {"central": f"gymnasium.make({id!r})"}
    found = {
        "id": id,
        "page": plain(page(id)),
        "options": {p.name: _default(p) for p in inspect.signature(entry.load()).parameters.values()},
        "option_table": [each._asdict() for each in options_of(entry.load())],
        "population": model.population,
        "network": str(model.network),
        "teams": len(model.team_states),
        "gamma": model.gamma,
        "evaluation": list(model.evaluation),
        "headline": model.headline.unit,
        "notes": list(model.notes),
        "views": {
            view: {"made_by": doors[view], "observation": str(seen), "action": str(done)}
            for view, (seen, done) in shapes.items()
        },
    }
    if bound:
        certificate = model.bound()
        found["bound"] = None if certificate is None else str(certificate)
        found["heuristics"] = list(model.heuristics())
    return found


def _default(parameter: inspect.Parameter) -> Any:
    """A default that JSON can hold."""
    if parameter.default is parameter.empty:
        return "any" if parameter.kind is parameter.VAR_KEYWORD else "(to be given)"
    value = parameter.default
    return (
        value
        if isinstance(value, str | int | float | None)
        else list(value)
        if isinstance(value, tuple)
        else str(value)
    )


def page(id: str) -> str:
    """The docstring of the scenario's module, or of its builder."""
    entry = scenario(id)
    builder = entry.load()
    module = inspect.getmodule(builder)
    text = (module.__doc__ if isinstance(entry.builder, str) and module else None) or builder.__doc__
    return re.sub(f"^`*{re.escape(id)}`*:? *", "", inspect.cleandoc(text or "no description"))


def plain(text: str) -> str:
    """A docstring without the marks of reStructuredText: roles, literals, emphasis."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"\1", text).replace("``", "")
    return re.sub(r"(?<![\w*])\*{1,2}(\w[^*\n]*)\*{1,2}(?!\w)", r"\1", text)


def first(spaces: Mapping[str, gym.Space[Any]]) -> gym.Space[Any]:
    return next(iter(spaces.values()))


# -- checks ---------------------------------------------------------------------------------------------------------


def check(target: str, **options: Any) -> str:
    """Put an id, or ``"module:callable"`` that returns a model or an environment, through every check there is.

    A model is checked itself and in all its views, see :mod:`mfnet_envs.conformance`; a PettingZoo environment is made
    anew several times.

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
    """What an id makes, or a target that is called with ``options``: a model, or anyone's environment.

    Raises:
        TargetError: the target leads nowhere.
    """
    if target in scenarios() or not targets.is_target(target):
        return make_model(target, **options)
    made = None if VERSIONED.fullmatch(targets.split(target)[1]) else targets.load(target)
    if isinstance(made, type) and not issubclass(made, LocalModel):
        return made(**options)
    entry = scenario(target)
    return entry.load()(**split_options(entry, None, options)[0])


def _few(id: str, model: LocalModel, options: dict[str, Any]) -> dict[str, Any]:
    """``options`` with fewer agents, for a view that holds each of them; unchanged where a builder takes no number."""
    known = inspect.signature(scenario(id).load()).parameters
    return {**options, "population": min(model.population, AGENTS_CHECKED)} if "population" in known else options


def _views(target: str, model: LocalModel, options: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """The views of a model; of a registered id, as its users make them."""
    central: Callable[[], Any] = partial(RegisteredEnv, target, has_time_limit=False, **options)
    if target in scenarios():
        central = partial(gym.make, target, render_mode="rgb_array", **options)
    return {
        "central": central,
        "teams": partial(parallel_env, target, "teams", **options),
        "agents": partial(parallel_env, target, "agents", **_few(target, model, options)),
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
    central = RegisteredEnv(id, **options)
    vector = RegisteredVectorEnv(id, num_envs=worlds, max_episode_steps=10**9, **options)
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
