"""The contract of a PettingZoo parallel environment: how its episodes end, and what a seed promises of them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from mfnet_envs.conformance.recording import Record, first_difference
from mfnet_envs.conformance.subject import Answer, NotOffered, Subject, in_fresh_process, require

LONGEST = 1000  # a horizon beyond this many cycles is not waited for
SEEDS = 6  # tried before an environment is said to ignore its seed


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


# -- seeds ------------------------------------------------------------------------------------------------------------


def check_same_seed(subject: Subject) -> None:
    """The same seed and actions give the same episode: in a second instance, and in the first one again."""
    with subject.made() as one, subject.made() as two:
        first = subject.record(one, subject.seed)
        same_episode(first, subject.record(two, subject.seed), "in a second instance")
        subject.record(one, subject.seed + 1)
        same_episode(first, subject.record(one, subject.seed), "in the same instance, reset once more")


def same_episode(one: Record, two: Record, which: str) -> None:
    at = first_difference(one, two)
    require(at is None, f"the same seed and actions give another episode {which}: {at} differ")


def check_other_process(subject: Subject) -> None:
    """The same seed gives the same episode in a fresh process, where hashes of strings are others."""
    with subject.made() as env:
        here = subject.record(env, subject.seed)
    same_episode(here, in_fresh_process(_record, (subject, subject.seed)), "in a fresh process")


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
