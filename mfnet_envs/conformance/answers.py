"""The contract of a PettingZoo parallel environment: what its calls answer with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import gymnasium as gym
import numpy as np

from mfnet_envs.conformance.recording import played as played_by
from mfnet_envs.conformance.recording import where
from mfnet_envs.conformance.subject import Answer, NotOffered, Subject, brief, require


def check_answers(subject: Subject) -> None:
    """``reset`` returns two dicts and ``step`` five, with an entry for everybody concerned."""
    with subject.made() as env:
        agents = _possible_agents(env)
        for step, (acted, answer, live) in enumerate(islice(played_by(env, subject.seed), subject.steps + 1)):
            call, names = ("step", STEP) if step else ("reset", RESET)
            require(
                isinstance(answer, tuple) and len(answer) == len(names),
                f"{call} must return a tuple ({', '.join(names)}), not {type(answer).__name__}"
                + (f" of length {len(answer)}" if isinstance(answer, tuple) else ""),
            )
            require(isinstance(live, list), f"agents must be a list, not {type(live).__name__}")
            require(len(set(live)) == len(live), f"agents names somebody twice {where(step)}")
            strangers = [agent for agent in live if agent not in agents]
            require(not strangers, f"{strangers[:1]} is in agents {where(step)} but not in possible_agents")
            for name, part in zip(names, answer, strict=True):
                require(isinstance(part, dict), f"the {name} of {call} must be a dict, not {type(part).__name__}")
                missing = [agent for agent in acted or live if agent not in part]
                require(not missing, f"the {name} {where(step)} have no entry for {missing[:1]}")
                extra = [a for a in part if a in agents and a not in acted and a not in live]
                require(not extra, f"the {name} {where(step)} have an entry for {extra[:1]}, who had left before")


RESET = ("observations", "infos")
STEP = ("observations", "rewards", "terminations", "truncations", "infos")


def _possible_agents(env: Any) -> list[Any]:
    agents = getattr(env, "possible_agents", None)
    if agents is None:
        raise AssertionError("possible_agents is missing; list every agent that may ever act")
    require(isinstance(agents, list) and agents, f"possible_agents must be a list with somebody in it, not {agents!r}")
    require(len(set(agents)) == len(agents), "possible_agents names somebody twice")
    return list(agents)


def check_spaces(subject: Subject) -> None:
    """Spaces exist for all possible agents, before the first reset too, and are the same objects at every call."""
    with subject.made() as env:
        before = _spaces(env)
        for _ in islice(subject.episode(env, subject.seed), 3):
            for (name, agent), space in _spaces(env).items():
                require(
                    space is before[name, agent],
                    f"{name}({agent!r}) returns another object at every call, so seeding it has no effect; "
                    "build the spaces once and return the same object",
                )


def _spaces(env: Any) -> dict[tuple[str, Any], Any]:
    spaces = {}
    for name in ("observation_space", "action_space"):
        for agent in env.possible_agents:
            try:
                space = getattr(env, name)(agent)
            except Exception as error:
                raise AssertionError(f"{name}({agent!r}) raises {brief(error)}") from error
            require(isinstance(space, gym.Space), f"{name}({agent!r}) must be a gymnasium space, not {space!r}")
            spaces[name, agent] = space
    return spaces


def check_observations(subject: Subject) -> None:
    """Every observation lies in its space: shape, dtype and bounds."""
    with subject.made() as env:
        for answer in subject.episode(env, subject.seed):
            for agent in answer.acted or answer.agents:
                why = outside(env.observation_space(agent), answer.observations[agent])
                require(not why, f"the observation of {agent!r} {where(answer.step)} is not in its space: {why}")


def outside(space: gym.Space[Any], value: Any) -> str:
    """Why ``value`` is not in ``space``; empty if it is."""
    if isinstance(space, gym.spaces.Dict) and isinstance(value, dict):
        if space.spaces.keys() != value.keys():
            return f"its keys are {sorted(map(str, value))}, not {sorted(map(str, space.spaces))}"
        found = ((key, outside(part, value[key])) for key, part in space.spaces.items())
        return next((f"{key!r}: {why}" for key, why in found if why), "")
    if isinstance(space, gym.spaces.Box):
        if not isinstance(value, np.ndarray):
            return f"it is a {type(value).__name__}, not an array"
        if value.shape != space.shape:
            return f"its shape is {value.shape}, not {space.shape}"
        if value.dtype != space.dtype:
            return f"its dtype is {value.dtype}, not {space.dtype}"
        if np.isnan(value).any():
            return "it holds NaN"
        wrong = (value < space.low) | (value > space.high)
        if wrong.any():
            return f"an entry is {value[wrong].flat[0]:.6g}, outside the bounds"
    return "" if space.contains(value) else f"{str(value)[:60]!r} is not in {str(space)[:60]}"


def check_rewards(subject: Subject) -> None:
    """Rewards are finite numbers: Python or numpy scalars, not arrays, not bools."""
    with subject.made() as env:
        for answer in subject.episode(env, subject.seed):
            for agent in answer.acted:
                reward = answer.rewards[agent]
                is_number = isinstance(reward, int | float | np.floating | np.integer) and not isinstance(reward, bool)
                at = f"the reward of {agent!r} {where(answer.step)}"
                require(is_number, f"{at} must be a float, not {type(reward).__name__}")
                require(np.isfinite(reward), f"{at} is {reward}; rewards must be finite")


def check_flags(subject: Subject) -> None:
    """Terminations and truncations are Python bools."""
    with subject.made() as env:
        for answer in subject.episode(env, subject.seed):
            for name in ("terminations", "truncations"):
                for agent in answer.acted:
                    kind = type(getattr(answer, name)[agent])
                    at = f"the {name} of {agent!r} {where(answer.step)}"
                    require(kind is bool, f"{at} must be True or False, not a {kind.__module__}.{kind.__name__}")


def check_agents(subject: Subject) -> None:
    """Who is flagged leaves ``agents`` at once, nobody else does, and nobody comes back."""
    with subject.made() as env:
        gone: set[Any] = set()
        for answer in subject.episode(env, subject.seed):
            over = {a for a in answer.acted if answer.terminations[a] or answer.truncations[a]}
            still = sorted(map(str, over & set(answer.agents)))
            require(not still, f"{still[:1]} is terminated or truncated {where(answer.step)} and still in agents")
            lost = [a for a in answer.acted if a not in over and a not in answer.agents]
            require(not lost, f"{lost[:1]} left agents {where(answer.step)} without being terminated or truncated")
            gone |= over
            back = [a for a in answer.agents if a in gone]
            require(not back, f"{back[:1]} came back {where(answer.step)} after its end; a new life needs a new id")


def check_infos(subject: Subject) -> None:
    """Infos hold numbers or arrays of numbers only, under the same keys at reset and at every step."""
    with subject.made() as env:
        first: set[str] | None = None
        for answer in subject.episode(env, subject.seed):
            for agent in answer.acted or answer.agents:
                info = answer.infos[agent]
                at = f"the info of {agent!r} {where(answer.step)}"
                require(isinstance(info, dict), f"{at} must be a dict, not {type(info).__name__}")
                first = set(info) if first is None else first
                changed = sorted(map(str, first ^ set(info)))
                require(not changed, f"{at} has other keys than the first info: {', '.join(changed)}")
                for key, value in info.items():
                    require(np.asarray(value).dtype.kind in "biuf", f"{at} holds something not numeric under {key!r}")


def check_masks(subject: Subject) -> None:
    """An ``action_mask`` is a fresh int8 array of zeros and ones, as long as the action space is wide."""
    found = False
    with subject.made() as env:
        for answer in subject.episode(env, subject.seed):
            for agent in answer.agents:
                for mask in _masks(answer, agent):
                    found = True
                    _check_mask(mask, env.action_space(agent), f"the action_mask of {agent!r} {where(answer.step)}")
    if not found:
        raise NotOffered("no action_mask is offered")


def _masks(answer: Answer, agent: Any) -> Iterator[Any]:
    for holder in (answer.infos[agent], answer.observations[agent]):
        if isinstance(holder, dict) and "action_mask" in holder:
            yield holder["action_mask"]


def _check_mask(mask: Any, space: gym.Space[Any], at: str) -> None:
    require(
        isinstance(mask, np.ndarray) and mask.dtype == np.int8,
        f"{at} must be an int8 array, not {mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__}",
    )
    width = (int(space.n),) if isinstance(space, gym.spaces.Discrete) else space.shape
    require(mask.shape == width, f"{at} must have shape {width}, not {mask.shape}")
    require(np.isin(mask, (0, 1)).all(), f"{at} must hold zeros and ones only")
    require(mask.any(), f"{at} allows no action at all")


def check_freshness(subject: Subject) -> None:
    """What was handed out belongs to the receiver: no array is shared, none changes later."""
    kept: list[tuple[str, Any, Any]] = []
    dicts: list[tuple[str, int, Any]] = []
    with subject.made() as env:
        for answer in subject.episode(env, subject.seed):
            for name in ("observations", "infos"):
                given = getattr(answer, name)
                twin = next((s for other, s, d in dicts if other == name and d is given), None)
                require(twin is None, f"the dict of {name} {where(answer.step)} is the one {where(twin or 0)}")
                dicts.append((name, answer.step, given))
                entries = {agent: list(_arrays(given[agent])) for agent in answer.acted or answer.agents}
                shared = _shared(entries)
                require(
                    shared is None,
                    f"{shared} were handed the same memory in the {name} {where(answer.step)}; copy it for each",
                )
                at = f"in the {name} of {{}} {where(answer.step)}"
                kept += [(at.format(repr(agent)), a, a.copy()) for agent, arrays in entries.items() for a in arrays]
        env.reset()
    for at, now, then in kept:
        same = np.array_equal(now, then, equal_nan=now.dtype.kind == "f")
        require(same, f"an array {at} has changed since it was handed out; return a copy")


def _arrays(data: Any) -> Iterator[Any]:
    if isinstance(data, dict):
        for value in data.values():
            yield from _arrays(value)
    elif isinstance(data, tuple | list):
        for value in data:
            yield from _arrays(value)
    elif isinstance(data, np.ndarray) and data.size:
        yield data


def _shared(entries: dict[Any, list[Any]]) -> str | None:
    """Two agents whose arrays overlap in memory."""
    spans = []
    for agent, arrays in entries.items():
        for array in arrays:
            low, high = _bounds(array)
            spans.append((low, high, str(agent), array))
    spans.sort(key=lambda span: span[:2])
    for (_, end, one, a), (start, _, other, b) in zip(spans, spans[1:], strict=False):
        if start < end and one != other and np.shares_memory(a, b):
            return f"{one!r} and {other!r}"
    return None


def _bounds(array: Any) -> tuple[int, int]:
    """The first byte of an array's memory, and the one after its last."""
    try:
        from numpy.lib.array_utils import byte_bounds
    except ImportError:  # numpy 1
        from numpy import byte_bounds  # type: ignore[attr-defined, no-redef]
    return byte_bounds(array)


def check_state(subject: Subject) -> None:
    """``state()`` lies in ``state_space`` and is a fresh array."""
    with subject.made() as env:
        for answer in subject.episode(env, subject.seed):
            if not answer.agents:
                return
            if not hasattr(env, "state"):
                raise NotOffered("there is no state()")
            try:
                state = env.state()
            except NotImplementedError:  # what PettingZoo's base class says
                raise NotOffered("there is no state()") from None
            except Exception as error:
                raise AssertionError(f"state() raises {brief(error)}") from error
            space = getattr(env, "state_space", None)
            require(isinstance(space, gym.Space), "there is a state() but no state_space")
            assert space is not None
            why = outside(space, state)
            require(not why, f"state() {where(answer.step)} is not in state_space: {why}")
            again = env.state()
            require(not isinstance(state, np.ndarray) or not np.shares_memory(state, again), STATE_IS_SHARED)


STATE_IS_SHARED = "state() hands out the same memory twice; return a copy"
