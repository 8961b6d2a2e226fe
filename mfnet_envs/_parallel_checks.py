"""The contract of a PettingZoo parallel environment, one function per clause; :mod:`mfnet_envs.testing` runs them.

Every function takes a *subject* (how to make the environment, how long to look) and raises AssertionError with one
sentence, or :class:`NotOffered` where the environment does not offer what would be checked.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from mfnet_envs._recording import Record, first_difference, recorded, where
from mfnet_envs._recording import played as played_by

LONGEST = 1000  # a horizon beyond this many cycles is not waited for
SEEDS = 6  # tried before an environment is said to ignore its seed


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
        return recorded(env, seed, self.steps)


def require(condition: Any, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)


# -- what the calls return ------------------------------------------------------------------------------------------


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
                raise AssertionError(f"{name}({agent!r}) raises {_brief(error)}") from error
            require(isinstance(space, gym.Space), f"{name}({agent!r}) must be a gymnasium space, not {space!r}")
            spaces[name, agent] = space
    return spaces


def check_observations(subject: Subject) -> None:
    """Every observation lies in its space: shape, dtype and bounds."""
    with subject.made() as env:
        for answer in subject.episode(env, subject.seed):
            for agent in answer.acted or answer.agents:
                why = _outside(env.observation_space(agent), answer.observations[agent])
                require(not why, f"the observation of {agent!r} {where(answer.step)} is not in its space: {why}")


def _outside(space: gym.Space[Any], value: Any) -> str:
    """Why ``value`` is not in ``space``; empty if it is."""
    if isinstance(space, gym.spaces.Dict) and isinstance(value, dict):
        if space.spaces.keys() != value.keys():
            return f"its keys are {sorted(map(str, value))}, not {sorted(map(str, space.spaces))}"
        found = ((key, _outside(part, value[key])) for key, part in space.spaces.items())
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
    from numpy.lib import array_utils  # numpy 2

    return array_utils.byte_bounds(array)


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
                raise AssertionError(f"state() raises {_brief(error)}") from error
            space = getattr(env, "state_space", None)
            require(isinstance(space, gym.Space), "there is a state() but no state_space")
            assert space is not None
            why = _outside(space, state)
            require(not why, f"state() {where(answer.step)} is not in state_space: {why}")
            again = env.state()
            require(not isinstance(state, np.ndarray) or not np.shares_memory(state, again), STATE_IS_SHARED)


STATE_IS_SHARED = "state() hands out the same memory twice; return a copy"


# -- the end of an episode ------------------------------------------------------------------------------------------


def check_end(subject: Subject) -> None:
    """After the end ``step`` raises, or answers with nobody; ``reset`` starts anew."""
    with subject.made() as env:
        last = _last(env, subject)
        if last.agents:
            raise NotOffered(f"no episode ends within {subject.steps} steps")
        try:
            answer = env.step({})
        except Exception:
            answer = None
        if answer is not None:
            quiet = isinstance(answer, tuple) and not any(answer) and not env.agents
            require(quiet, "a step after the end plays on; it must raise, or return five empty dicts")
        env.reset(seed=subject.seed)
        require(env.agents, "agents is empty after the reset that follows an episode's end")


def _last(env: Any, subject: Subject, seed: int | None = None, cycles: int | None = None) -> Answer:
    longer = Subject(subject.make, cycles or subject.steps)
    *_, last = longer.episode(env, subject.seed if seed is None else seed)
    return last


def check_horizon(subject: Subject) -> None:
    """At ``max_cycles`` everybody still there is truncated, not terminated, and nobody goes on."""
    with subject.made() as env:
        horizon = getattr(env, "max_cycles", None)
        if horizon is None:
            horizon = getattr(env.unwrapped, "max_cycles", None)
        if not isinstance(horizon, int) or isinstance(horizon, bool):
            raise NotOffered("there is no max_cycles")
        if horizon > LONGEST:
            raise NotOffered(f"max_cycles = {horizon} is longer than the {LONGEST} cycles looked at")
        ends = [_last(env, subject, seed, horizon + 1) for seed in (subject.seed, subject.seed + 1)]
    for last in ends:
        require(last.step <= horizon and not last.agents, f"the episode goes on after max_cycles = {horizon} steps")
    at_horizon = [last for last in ends if last.step == horizon]
    # somebody may truly end in the very last step; everybody, twice, is a limit in disguise
    cut = [any(last.truncations[a] for a in last.acted) for last in at_horizon]
    require(
        len(at_horizon) < 2 or any(cut),
        f"the time limit max_cycles = {horizon} is reported as termination; it is a truncation",
    )
    for last in at_horizon:
        spared = [a for a in last.acted if not (last.truncations[a] or last.terminations[a])]
        require(not spared, f"{spared[:1]} is not truncated at max_cycles = {horizon}")


# -- randomness -----------------------------------------------------------------------------------------------------


def check_same_seed(subject: Subject) -> None:
    """The same seed and actions give the same episode: in a second instance, and in the first one again."""
    with subject.made() as one, subject.made() as two:
        first = subject.record(one, subject.seed)
        _same(first, subject.record(two, subject.seed), "in a second instance")
        subject.record(one, subject.seed + 1)
        _same(first, subject.record(one, subject.seed), "in the same instance, reset once more")


def _same(one: Record, two: Record, which: str) -> None:
    at = first_difference(one, two)
    require(at is None, f"the same seed and actions give another episode {which}: {at} differ")


def check_other_process(subject: Subject) -> None:
    """The same seed gives the same episode in a fresh process, where hashes of strings are others."""
    with subject.made() as env:
        here = subject.record(env, subject.seed)
    _same(here, in_fresh_process(_record, (subject, subject.seed)), "in a fresh process")


def _record(subject: Subject, seed: int) -> Record:
    with subject.made() as env:
        return subject.record(env, seed)


def check_other_seeds(subject: Subject) -> None:
    """Where anything is random, another seed is another episode."""
    with subject.made() as one, subject.made() as two:
        unseeded = [subject.record(env, None) for env in (one, one, two)]
        seeded = [subject.record(one, seed) for seed in range(SEEDS)]
    if all(record == seeded[0] for record in seeded):
        require(
            all(record == unseeded[0] for record in unseeded),
            f"seeds 0 .. {SEEDS - 1} give one and the same episode, yet episodes without a seed differ: "
            "reset ignores its seed",
        )
        raise NotOffered("nothing is random")


def check_stream(subject: Subject) -> None:
    """``reset()`` without a seed goes on with the random stream: neither the same episode again nor a new seed."""
    with subject.made() as one, subject.made() as two:
        seeds = [subject.record(one, seed) for seed in range(SEEDS)]
        is_random = any(record != seeds[0] for record in seeds)
        follow = []
        for env in (one, two):
            first = subject.record(env, subject.seed)
            follow.append((first, *(subject.record(env, None) for _ in range(3))))
    if is_random:
        repeats = all(record == follow[0][0] for record in follow[0])
        require(not repeats, "reset() without a seed starts the same episode again; it must go on with the stream")
    at = next((d for a, b in zip(*follow, strict=True) if (d := first_difference(a, b))), None)
    require(
        at is None,
        f"reset() without a seed draws a new seed from outside: after the same seeded episode {at} differ in two "
        "instances; go on with the generator there is",
    )


def check_global_generators(subject: Subject) -> None:
    """Nobody else's generator is used: ``random`` and ``numpy.random`` stay as they were."""
    before = random.getstate(), _numpy_state()
    with subject.made() as env:
        for seed in (subject.seed, None):
            for _ in subject.episode(env, seed):
                pass
    require(random.getstate() == before[0], GLOBAL.format("random"))
    require(_numpy_state() == before[1], GLOBAL.format("numpy.random"))


GLOBAL = "the environment uses the global generator of `{}`; keep a generator of your own, seeded by reset"


def _numpy_state() -> tuple[Any, ...]:
    """The state of the global generator, looked at and not used."""
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return kind, np.asarray(keys).tobytes(), *rest


# -- processes, pickles, pictures -----------------------------------------------------------------------------------


def check_pickling(subject: Subject) -> None:
    """A copy made by pickle gives the same episodes."""
    with subject.made() as env:
        try:
            data = pickle.dumps(env)
        except Exception as error:
            require(not _claims_pickling(env), f"the environment says it can be pickled and cannot: {_brief(error)}")
            raise NotOffered("it does not pickle, and does not say it does") from None
        try:
            twin = pickle.loads(data)
        except Exception as error:
            raise AssertionError(f"a pickled environment cannot be read back: {_brief(error)}") from error
        _same(subject.record(env, subject.seed), subject.record(twin, subject.seed), "in a pickled copy")
        twin.close()


def _claims_pickling(env: Any) -> bool:
    classes = type(env.unwrapped).__mro__
    own = any({"__getstate__", "__reduce__", "__reduce_ex__"} & vars(c).keys() for c in classes if c is not object)
    return own or any(c.__name__ == "EzPickle" for c in classes)


def check_rendering(subject: Subject) -> None:
    """Every render mode but "human" works where there is no display, and returns what its name says."""
    with subject.made() as env:
        modes = [m for m in (getattr(env, "metadata", None) or {}).get("render_modes") or [] if m != "human"]
    if not modes:
        raise NotOffered('metadata["render_modes"] names no mode but "human"')
    problem = in_fresh_process(_draw_all, (subject, modes), no_display=True)
    if problem == NO_OPTION:
        raise NotOffered(NO_OPTION)
    require(not problem, str(problem))


NO_OPTION = "it takes no render_mode"


def _draw_all(subject: Subject, modes: Iterable[str]) -> str:
    """What is wrong with the first picture that is wrong; empty if all are right."""
    for mode in modes:
        try:
            env = subject.make(render_mode=mode)
        except TypeError:
            return NO_OPTION
        try:
            for _ in islice(subject.episode(env, subject.seed), 3):
                if why := _wrong_picture(mode, env.render()):
                    return f"render_mode={mode!r} returns {why}"
        except Exception as error:
            return f"render_mode={mode!r} without a display raises {_brief(error)}"
        finally:
            env.close()
    return ""


def _wrong_picture(mode: str, picture: Any) -> str:
    if mode == "ansi":
        return "" if isinstance(picture, str) else f"{type(picture).__name__}, not a string"
    if mode == "rgb_array":
        if not isinstance(picture, np.ndarray):
            return f"{type(picture).__name__}, not an array"
        right = picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size > 0
        return "" if right else f"{picture.dtype} of shape {picture.shape}, not uint8 of shape (height, width, 3)"
    return ""


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
        raise NotOffered(f"the factory cannot be sent to another process ({_brief(error)})") from error
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


def check_pettingzoo(subject: Subject) -> None:
    """PettingZoo's own tests of the interface and of the seed pass."""
    try:
        from pettingzoo.test import parallel_api_test, parallel_seed_test  # type: ignore[import-untyped]
    except ImportError as error:
        raise NotOffered("pettingzoo.test cannot be imported") from error
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for test, subjects in ((parallel_api_test, subject.make()), (parallel_seed_test, subject.make)):
            try:
                test(subjects, num_cycles=subject.steps)
            except Exception as error:
                raise AssertionError(f"PettingZoo's {test.__name__} fails: {_brief(error)}") from error


def _brief(error: BaseException) -> str:
    """One line about an exception."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
