"""What is checked, and how a check says what it found.

A check is a function of a :class:`Subject`. It raises AssertionError with one sentence, or :class:`NotOffered` where
the environment does not offer what would be checked.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mfnet_envs.conformance.recording import Record, recorded
from mfnet_envs.conformance.recording import played as played_by


class NotOffered(Exception):
    """There is nothing to check; says why."""


class Answer(NamedTuple):
    """What one call of an environment told.

    Attributes:
        step: 0 for ``reset``.
        acted: who was asked to act.
        observations, rewards, terminations, truncations, infos: as returned; three of them empty at reset.
        agents: ``env.agents`` after the call.
    """

    step: int
    acted: tuple[Any, ...]
    observations: dict[Any, Any]
    rewards: dict[Any, Any]
    terminations: dict[Any, Any]
    truncations: dict[Any, Any]
    infos: dict[Any, Any]
    agents: list[Any]


@dataclass(frozen=True)
class Subject:
    """What is checked.

    Attributes:
        make: returns a new environment; keyword arguments such as ``render_mode`` are tried where they are needed.
        steps: cycles to look at, at most.
        seed: of the first episode.
    """

    make: Callable[..., Any]
    steps: int = 100
    seed: int = 0

    @contextlib.contextmanager
    def made(self, **options: Any) -> Iterator[Any]:
        """A new environment, closed afterwards."""
        env = self.make(**options)
        try:
            yield env
        finally:
            env.close()

    def episode(self, env: Any, seed: int | None = None) -> Iterator[Answer]:
        """The answers of one episode, at most ``steps`` cycles of it, under legal actions drawn at random."""
        for step, (acted, answer, agents) in enumerate(islice(played_by(env, seed), self.steps + 1)):
            observations, *between, infos = answer
            rewards, terminations, truncations = between or ({}, {}, {})
            yield Answer(step, acted, observations, rewards, terminations, truncations, infos, agents)

    def record(self, env: Any, seed: int | None) -> Record:
        """One episode with random actions, all of it kept."""
        return recorded(env, seed, self.steps)


def require(condition: Any, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)


def brief(error: BaseException) -> str:
    """One line about an exception."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


# The answer comes back in a file, because some libraries greet on stdout.
CHILD = """
import pickle, sys
with open(sys.argv[1], "rb") as source:
    sys.path[:], payload = pickle.load(source)
function, arguments = pickle.loads(payload)
with open(sys.argv[2], "wb") as sink:
    pickle.dump(function(*arguments), sink)
"""


def in_fresh_process(function: Callable[..., Any], arguments: tuple[Any, ...], no_display: bool = False) -> Any:
    """``function(*arguments)`` in a new Python process with another hash seed.

    Raises:
        NotOffered: what makes the environment cannot be sent to another process.
        AssertionError: the process failed; the sentence holds its last line.
    """
    import cloudpickle  # type: ignore[import-untyped]

    try:
        payload = cloudpickle.dumps((function, arguments))
    except Exception as error:
        raise NotOffered(f"the factory cannot be sent to another process ({brief(error)})") from error
    environment = {**os.environ, "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    if no_display:
        environment = {k: v for k, v in environment.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with tempfile.TemporaryDirectory() as folder:
        source, sink = Path(folder) / "in", Path(folder) / "out"
        source.write_bytes(pickle.dumps((sys.path, payload)))
        command = [sys.executable, "-c", CHILD, str(source), str(sink)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        require(done.returncode == 0, f"the environment fails in a fresh process: {last[0]}")
        return pickle.loads(sink.read_bytes())
