"""Episodes of any PettingZoo parallel environment under random legal actions, and their fingerprints."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from itertools import count, islice, zip_longest
from typing import Any

import gymnasium as gym
import numpy as np

Record = list[tuple[str, str]]  # (what, hash of it) of everything an episode showed, in order
PARTS = {2: ("observations", "infos"), 5: ("observations", "rewards", "terminations", "truncations", "infos")}


def played(env: Any, seed: int | None, action_seed: int = 0) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """Play an episode: triples (who was asked to act, what the call returned, ``env.agents`` afterwards).

    The first is the answer of ``reset``. The actions depend on ``action_seed``, the action spaces and the masks only.
    """
    answer = env.reset() if seed is None else env.reset(seed=seed)
    spaces: dict[Any, gym.Space[Any]] = {}
    acted: tuple[Any, ...] = ()
    while True:
        agents = env.agents
        yield acted, answer, list(agents) if isinstance(agents, list) else agents
        if not agents:
            return
        actions = {}
        for agent in agents:
            if agent not in spaces:  # a copy: an environment that makes its spaces anew must not lose the seed
                spaces[agent] = copy.deepcopy(env.action_space(agent))
                spaces[agent].seed(action_seed + len(spaces))
            actions[agent] = _drawn(spaces[agent], _mask(answer, agent))
        acted, answer = tuple(agents), env.step(actions)


def _drawn(space: gym.Space[Any], mask: Any) -> Any:
    if isinstance(space, gym.spaces.Discrete) and np.shape(mask) == (space.n,) and np.any(mask):
        return space.sample(mask=np.asarray(mask, np.int8))
    return space.sample()


def _mask(answer: Any, agent: Any) -> Any:
    """The ``action_mask`` in the agent's info or observation."""
    for part in (answer[-1], answer[0]):
        holder = part.get(agent)
        if isinstance(holder, dict) and "action_mask" in holder:
            return holder["action_mask"]
    return None


def recorded(env: Any, seed: int | None, steps: int) -> Record:
    """The fingerprint of an episode, cut after ``steps`` steps."""
    record = []
    for step, (_, answer, agents) in zip(count(), islice(played(env, seed), steps + 1), strict=False):
        parts = zip(PARTS[len(answer)], answer, strict=True)
        record += [(f"the {name} {where(step)}", digest(part)) for name, part in parts]
        record.append((f"the agents left {where(step)}", digest(agents)))
    return record


def where(step: int) -> str:
    return f"at step {step}" if step else "at reset"


def first_difference(one: Record, two: Record) -> str | None:
    """What differs first, in words; None if nothing does."""
    for a, b in zip_longest(one, two, fillvalue=("", "")):
        if a != b:
            return a[0] or b[0]
    return None


def digest(data: Any) -> str:
    """A hash of nested containers, arrays and numbers; of other objects their type counts only."""
    sink = hashlib.sha256()
    _eat(sink.update, data)
    return sink.hexdigest()


def _eat(update: Any, data: Any) -> None:
    if isinstance(data, dict):
        update(b"{")
        for key in sorted(data, key=str):
            update(str(key).encode() + b":")
            _eat(update, data[key])
    elif isinstance(data, list | tuple):
        update(b"[")
        for value in data:
            _eat(update, value)
    elif isinstance(data, np.ndarray) and data.dtype != object:
        update(f"{data.dtype}{data.shape}".encode() + np.ascontiguousarray(data).tobytes())
    elif isinstance(data, str | bytes | bool | int | float | np.generic | None):
        update(repr(data).encode())
    else:
        update(type(data).__name__.encode())
