"""The training loop of a run, for any algorithm: it can be stopped and taken up again; its result is measured apart."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any

import numpy as np

from mfnet_agents import checkpoint, recorded
from mfnet_agents.algorithm import Algorithm
from mfnet_agents.progress import Progress
from mfnet_agents.runs.folder import COLUMNS, RunError, RunFolder
from mfnet_envs.conformance.models import met_beyond_range
from mfnet_envs.evaluate import check_worlds, evaluate
from mfnet_envs.measure import RANDOM, Measurement, measure
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator
from mfnet_envs.yardstick import Yardstick

REPORT_SEED, REPORT_WORLDS = 2_000_003, 256  # of the final evaluations; the seeds that choose `best` are others


def train(
    algorithm: Algorithm,
    folder: RunFolder,
    *,
    resume: bool = False,
    worlds: int = REPORT_WORLDS,
    heuristics: bool = True,
    progress: Progress | None = None,
    tensorboard: bool = True,
    command: str = "",
    seconds: float = math.inf,
    known: Measurement | None = None,
) -> dict[str, Any]:
    """Train to the end of the budget, or until Ctrl-C; returns what result.json holds.

    Args:
        algorithm: as built; with ``resume``, from the config that :func:`same_options` gives.
        folder: from ``RunFolder.create``, or from ``RunFolder.open`` to resume.
        worlds: of the final measurement, in the backend of training. heuristics: whether it includes the scenario's.
        seconds: by the clock, after which no further iteration begins; a run that ends so is finished like any other.
        known: what was measured of this model before, the heuristics, in the same worlds (``REPORT_SEED``); its
            certificate is taken over, and the reader has been told of it.

    Raises:
        ValueError: more worlds than this machine's memory holds.
        RunError: another run is using the folder; a file of it is damaged or of another run; the algorithm has been
            trained before; the scenario's bound and headline are of two criteria.
        CheckpointError: the checkpoint to resume from does not fit.
        Diverged: the numbers are no longer finite; the last checkpoint is from before.
        KeyboardInterrupt: the second Ctrl-C, or one outside the training loop.
    """
    if "torch" in sys.modules:  # small networks: threads cost more than they give, and one thread means the same bits
        sys.modules["torch"].set_num_threads(1)
    progress = progress or Progress()
    check_worlds(algorithm.model, worlds)  # before anything is trained, not after
    folder.own()
    try:
        _begin(algorithm, folder, progress, resume, {"command": command, "worlds": worlds}, known)
        stopped = _loop(algorithm, folder, progress, tensorboard, seconds)
        result = _summary(algorithm, folder, stopped)
        folder.write("result.json", result)
        if not stopped:  # else somebody is waiting: no long evaluations
            others = algorithm.model.heuristics() if heuristics and known is None else {}
            result |= _measurement(algorithm, folder, progress, worlds, others, known)
            folder.write("result.json", result)
        return result
    except KeyboardInterrupt:
        is_there = checkpoint.exists(folder.last)
        kept = f"the last checkpoint is {folder.last}" if is_there else "no checkpoint was written yet"
        progress.say(f"stopped at once; {kept}")
        raise
    finally:
        algorithm.stop()  # processes that play worlds
        progress.stop()
        folder.release()


def _begin(
    algorithm: Algorithm, folder: RunFolder, progress: Progress, resume: bool, asked: dict[str, Any],
    known: Measurement | None,
) -> None:  # fmt: skip
    """From the last checkpoint where there is one, the bound, ``config.json``, and a first checkpoint.

    Args:
        asked: what else of the call is to be recorded.
    """
    config = algorithm.config
    if resume and checkpoint.exists(folder.last):  # a run that died before its first checkpoint starts anew
        folder.check(config.to_dict())
        algorithm.restore_from_path(folder.last)
        told = folder.read("result.json").get("notes", ())  # where it was stopped
        algorithm.remarks += [note for note in told if note not in algorithm.model.notes]
    elif algorithm.iteration:
        raise RunError("a run begins with an algorithm as build_algo() gives it; this one has been trained already")
    notes = [*algorithm.model.notes, *_doubts(algorithm.model)]
    for note in notes if known is None else notes[len(algorithm.model.notes) :]:
        progress.say(f"note: {note}")
    if known is not None:
        algorithm.certificate, algorithm.random_value = known.certificate, known.results[RANDOM].value
    elif resume and (kept := folder.certificate()) is not None:
        algorithm.certificate = kept
    else:
        progress.say("computing the bound (once; a linear programme can take half a minute) ...")
    solved = algorithm.certificate
    try:
        yardstick = algorithm.yardstick
    except ValueError as error:  # of the scenario's making
        raise RunError(f"{config.env} contradicts itself: {error}; mend its bound() or its headline") from error
    if solved is not None and known is None:
        progress.say(f"bound: {solved}")
    record = {
        **recorded.origins(config),
        "config": config.to_dict(),
        "yardstick": yardstick.to_dict(),
        "certificate": None if solved is None else dataclasses.asdict(solved),
        "notes": notes,
        "needs": algorithm.needs,
        "versions": versions(),
        **asked,
    }
    folder.write("config.json", record)
    if not checkpoint.exists(folder.last):
        algorithm.save_to_path(folder.last)


def _doubts(model: LocalModel) -> list[str]:
    """What is seen at once of a scenario that contradicts itself: learners scale by the range of rewards.

    Raises:
        RunError: it has none.
    """
    law = model.at(0)
    try:
        said = met_beyond_range(law, Simulator(law).reset(np.random.default_rng(0), 4))
    except ValueError as error:
        raise RunError(str(error)) from error
    return [] if said is None else [said]


def _loop(algorithm: Algorithm, folder: RunFolder, progress: Progress, tensorboard: bool, seconds: float) -> bool:
    """Iterate until the budget or the time is spent, or Ctrl-C asks to stop; returns whether it did."""
    algorithm.until = until = time.perf_counter() + seconds
    budget, yardstick = algorithm.config.total_env_steps, algorithm.yardstick
    rows = folder.keep_rows(algorithm.iteration)
    evaluations = [row.get(f"evaluation/{yardstick.key}_mean", "") for row in rows]
    best = max((yardstick.scale * float(mean) for mean in evaluations if mean), default=-math.inf)
    progress.start(yardstick, budget, algorithm.env_steps, until)

    def note(result: dict[str, Any]) -> None:
        """The row before the last checkpoint: resuming can drop rows that are too many, not invent missing ones."""
        nonlocal best
        row, found = flat(result), result.get("evaluation", {}).get("env_runners")
        if found and found["headline_mean"] > best:
            best = found["headline_mean"]
            algorithm.save_to_path(folder.best)
        folder.append(row, on_disk=bool(found))
        if found:
            algorithm.save_to_path(folder.last)
        log(row)
        progress.stepped(row)
        if found:
            progress.evaluated(algorithm.env_steps, found["headline_mean"], found["headline_ci95"], found["gap_closed"])

    with _tensorboard(folder, algorithm.env_steps, tensorboard) as log, interruption() as asked:
        if not rows:
            note(_untrained(algorithm))
        over = algorithm.env_steps >= budget
        while not over and not asked.is_set():
            looks = not algorithm.iteration and algorithm.begins_from_rule
            result = algorithm.train()
            over = algorithm.env_steps >= budget or time.perf_counter() >= until
            if (over or looks) and "evaluation" not in result:
                result["evaluation"] = algorithm.evaluate()
            note(result)
        algorithm.save_to_path(folder.last)
    progress.stop()
    for remark in algorithm.remarks:
        progress.say(f"note: {remark}")
    if over and algorithm.env_steps < budget:
        progress.say(f"the time to learn is over, after {algorithm.env_steps:,} of {budget:,} planned steps")
    return asked.is_set()


def _untrained(algorithm: Algorithm) -> dict[str, Any]:
    """A result for iteration 0, with an evaluation of the policy unless it is about to become a rule's."""
    counters = dict.fromkeys(COLUMNS, 0) | {"time_total_s": 0.0}
    return counters if algorithm.begins_from_rule else {**counters, "evaluation": algorithm.evaluate()}


def flat(result: dict[str, Any]) -> dict[str, Any]:
    """A training result as a row of progress.csv: :data:`COLUMNS`, then whatever is reported as a number or a word."""
    groups = {
        "env_runners": result.get("env_runners", {}),
        "learners": result.get("learners", {}).get("team", {}),
        "evaluation": result.get("evaluation", {}).get("env_runners", {}),
    }
    named = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
    plain = {name: value for name, value in named.items() if isinstance(value, str | int | float | np.number)}
    return {**{name: result[name] for name in COLUMNS}, **plain}


def _summary(algorithm: Algorithm, folder: RunFolder, stopped: bool) -> dict[str, Any]:
    """What result.json says of a run whether it ended or was stopped."""
    return {
        "env": algorithm.config.env,
        "env_config": algorithm.config.env_config,
        "algorithm": recorded.origins(algorithm.config)["algorithm"],
        "seed": algorithm.config.seed,
        "interrupted": stopped,
        "training_iteration": algorithm.iteration,
        "num_env_steps_sampled_lifetime": algorithm.env_steps,
        "time_total_s": algorithm.seconds,
        "yardstick": algorithm.yardstick.to_dict(),
        "certificate": None if algorithm.certificate is None else dataclasses.asdict(algorithm.certificate),
        "notes": list(dict.fromkeys([*folder.read("config.json")["notes"], *algorithm.remarks])),
        "last_checkpoint": str(folder.last),
    }


def _measurement(
    algorithm: Algorithm, folder: RunFolder, progress: Progress, worlds: int, others: dict[str, Policy],
    known: Measurement | None,
) -> dict[str, Any]:  # fmt: skip
    """Random, the ``others``, the last and the best policy on seeds that chose nothing."""
    names = "" if known is not None else f"{', '.join({RANDOM: None} | others)} and "
    fresh = "fresh" if known is None else "the same"
    progress.say(f"measuring {names}what was learnt in {fresh} {worlds} worlds ...")
    folder.check_checkpoint(folder.best, algorithm.config.to_dict())
    best = type(algorithm)(type(algorithm.config).from_dict(algorithm.config.to_dict()))
    best.restore_from_path(folder.best)
    policies: dict[str, Policy] = {**others, "last": algorithm.policy}
    if best.iteration != algorithm.iteration:
        policies["best"] = best.policy
    found = measure(
        algorithm.model,
        policies,
        worlds=worlds,
        seed=REPORT_SEED,
        certificate=algorithm.certificate,
        backend=algorithm.config.backend,
        known=known,
    ).to_dict()
    found["policies"].setdefault("best", found["policies"]["last"])
    result: dict[str, Any] = {name: dict(found["policies"][name]) for name in (RANDOM, "last", "best")}
    result["best"]["training_iteration"] = best.iteration
    common = {"evaluation": {"worlds": worlds, "seed": REPORT_SEED}, "policies": found["policies"]}
    return {**common, **result, "notes": list(dict.fromkeys([*found["notes"], *algorithm.remarks]))}


def measured(
    yardstick: Yardstick, model: LocalModel, policy: Policy, worlds: int, seed: int = REPORT_SEED
) -> dict[str, Any]:
    """The headline ``value`` with ``ci95``, and the whole ``report`` per agent."""
    report = evaluate(model, policy, worlds=worlds, seed=seed)
    value, ci95 = yardstick.read(report)
    return {"value": value, "ci95": ci95, "report": report}


@contextmanager
def interruption() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second raises KeyboardInterrupt as usual.

    Where whoever started the process has it ignore Ctrl-C, as a shell's background jobs are, it goes on ignoring it.
    """
    asked = threading.Event()
    main = threading.current_thread() is threading.main_thread()  # signals belong to the main thread
    if not main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield asked
        return

    def first(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping after this iteration (Ctrl-C again to stop at once) ...\n")

    before = signal.signal(signal.SIGINT, first)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _tensorboard(folder: RunFolder, env_steps: int, wanted: bool) -> Iterator[Any]:
    """A function that logs a row as TensorBoard events; it does nothing where TensorBoard is not installed."""
    try:
        if not wanted:
            raise ImportError
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield lambda row: None
        return
    writer = SummaryWriter(str(folder.path / "tensorboard"), purge_step=env_steps + 1 if env_steps else None)

    def log(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if "/" in name and not isinstance(value, str):
                writer.add_scalar(name, value, row["num_env_steps_sampled_lifetime"])

    try:
        yield log
    finally:
        writer.close()


def versions() -> dict[str, str]:
    """What a reader needs to run the same thing again."""
    found = {"python": platform.python_version()}
    for package in ("mfnet", "numpy", "scipy", "torch", "gymnasium", "pettingzoo"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
