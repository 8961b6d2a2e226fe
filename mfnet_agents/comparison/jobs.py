"""One job, in whatever process: make a policy, choose an iterate, replay it. Every number is the harness's own.

A learner is trained until its next iteration would exceed the budget. At the evenly spaced points of the instance's
grid the policy as it stands is played on the choice worlds; the iterate that does best there is played once more on the
test worlds, which nothing else sees. Both are played on a model that the harness made.

A learner's job keeps its last checkpoint and its points; killed, it goes on from there, bit for bit. A guest's begins
anew; its best iterate so far is replayed at once, as another library's policy cannot be kept.
"""

from __future__ import annotations

import inspect
import shutil
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_agents import checkpoint
from mfnet_agents.algorithm import Algorithm
from mfnet_agents.checkpoint import CheckpointError
from mfnet_agents.comparison import submission, tuning
from mfnet_agents.comparison.contenders import HEURISTICS, Contender, information_of
from mfnet_agents.comparison.guests import Guest, step_sizes
from mfnet_agents.comparison.plan import Job, Plan, write_json
from mfnet_agents.comparison.suites import KNOWS_MOST, Instance
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.runs import RunError, RunFolder, make_config
from mfnet_envs import make_model
from mfnet_envs.evaluate import half_width, summary, worlds_of
from mfnet_envs.measure import RANDOM
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.programmes import planners
from mfnet_envs.words import brief
from mfnet_envs.yardstick import Yardstick

Row = dict[str, Any]  # one policy on one instance
POINTS, LAST, BEST = "points.json", "last", "best"


def run(job: Job, plan: Plan, folder: Path, trial: int = 0) -> Row:
    """What ``result.json`` of the job holds: ``rows``, and of the reference also the yardstick.

    Args:
        folder: of this job alone. trial: whose step sizes a learner has, see :mod:`.tuning`.

    Raises:
        Exception: whatever a learner, a planner or the environment raises.
    """
    model = make_model(job.instance.env, **job.instance.env_config)
    if job.contender is None:
        return _reference(model, job, plan)
    if job.contender.kind == "submission":
        return {"rows": [_submitted(model, job, job.contender)]}
    if job.contender.kind == "planner":
        return {"rows": [_planner(model, job, job.contender)]}
    learn = _guest if job.contender.guest else _learner
    return {"rows": [learn(model, job, job.contender, folder, trial)]}


def crashed(job: Job, why: str) -> Row:
    """The result of a job that did not end: a row with its error."""
    who = HEURISTICS if job.contender is None else job.contender.text
    return {"rows": [_row(job, who, error=brief(why, 400))]}


def _row(job: Job, who: str, **values: Any) -> Row:
    return {"instance": job.instance.name, "contender": who, "seed": job.seed, "error": None, **values}


# -- reference, heuristics, planners


def _reference(model: LocalModel, job: Job, plan: Plan) -> Row:
    """Random, the bound, and the heuristics where they are asked for."""
    certificate = model.bound()
    yardstick = Yardstick.of(model, certificate)
    rows = [_measured(model, job, RANDOM, uniform(model), yardstick, "own node", "nothing")]
    asked = plan.with_heuristics and job.trial is None
    for name, policy in (model.heuristics() if asked else {}).items():
        known = plan.suite.heuristic_knows(job.instance.env, name)
        if name != RANDOM:
            try:
                rows.append(_measured(model, job, name, policy, yardstick, known, model.wording.needs.get(name, "")))
            except Exception as error:
                rows.append(_row(job, name, error=brief(f"{type(error).__name__}: {error}", 400)))
    return {
        "rows": rows,
        "yardstick": yardstick.to_dict(),
        "certificate": None if certificate is None else asdict(certificate),
        "notes": list(model.notes),
    }


def _measured(
    model: LocalModel, job: Job, who: str, policy: Policy, yardstick: Yardstick, information: str, needs: str
) -> Row:
    """One policy that was not trained."""
    began = time.process_time()
    found = _played(model, policy, job.instance, job.instance.test_worlds, yardstick)
    return _row(job, who, information=information, needs=needs, **found, cpu_s=time.process_time() - began)


def _planner(model: LocalModel, job: Job, contender: Contender) -> Row:
    make, began = planners(model)[contender.name], time.process_time()
    options = dict(contender.options)
    if "rng" in inspect.signature(make).parameters:
        options["rng"] = np.random.default_rng(job.seed)
    policy = make(**options)
    made = time.process_time() - began
    found = _played(model, policy, job.instance, job.instance.planner_worlds, Yardstick.of(model, None))
    spent = {"train_cpu_s": made, "cpu_s": time.process_time() - began}
    return _row(job, contender.text, information=KNOWS_MOST, needs="the model", **found, **spent)


def _submitted(model: LocalModel, job: Job, contender: Contender) -> Row:
    handed_in = submission.read(Path(contender.name))
    policy, yardstick = handed_in.policy(job.instance, model), Yardstick.of(model, None)
    needs = "; ".join(filter(None, (handed_in.about, *policy.notes))) or "not said"
    return _measured(model, job, contender.text, policy, yardstick, submission.information_of(policy), needs)


def _played(model: LocalModel, policy: Policy, instance: Instance, worlds: int, yardstick: Yardstick) -> Row:
    """The headline on the test worlds."""
    per_world = worlds_of(model, policy, worlds=worlds, seed=instance.test_seed)
    value, ci95 = yardstick.read(summary(model, per_world))
    return {"value": value, "ci95": ci95, "values": (yardstick.scale * per_world[yardstick.key]).tolist()}


# -- learners


def _learner(model: LocalModel, job: Job, contender: Contender, folder: Path, trial: int) -> Row:
    """Train, choose, replay."""
    began, yardstick = time.process_time(), Yardstick.of(model, None)
    config = _configured(job, contender, trial)
    algorithm, points = _taken_up(config, folder)
    information = information_of(algorithm)  # before anything is trained: it may be none
    training = _Training(algorithm, job.instance, model, yardstick, folder, points)
    training.finish()
    trained = time.process_time() - began
    best, last = training.best, training.points[-1]
    chosen = _at(algorithm, folder / BEST)
    found = _played(model, chosen.policy, job.instance, job.instance.test_worlds, yardstick)
    final = found if best is last else _played(
        model, algorithm.policy, job.instance, job.instance.test_worlds, yardstick
    )  # fmt: skip
    return _row(
        job,
        contender.text,
        information=information,
        needs=algorithm.needs,
        **found,
        last_value=final["value"],
        chosen_at=best["env_steps"],
        env_steps=algorithm.env_steps,
        iterations=algorithm.iteration,
        curve=training.points,
        options=algorithm.config.to_dict(),
        trial=trial,
        step_sizes=tuning.written_out(config) if trial else {},
        train_cpu_s=trained,
        cpu_s=time.process_time() - began,
    )


class _GuestInTraining(Guest):
    """A guest as :class:`_Training` takes it: what it would keep is played instead."""

    chosen: Row

    def __init__(self, job: Job, contender: Contender, options: Row, model: LocalModel, yardstick: Yardstick) -> None:
        instance = job.instance
        super().__init__(contender.name, options, instance.env, instance.env_config, instance.budget, seed=job.seed)
        self._replay = partial(_played, model, instance=instance, worlds=instance.test_worlds, yardstick=yardstick)

    def save_to_path(self, path: Path) -> None:
        if path.name == BEST:
            self.chosen = self._replay(self.policy)


def _guest(model: LocalModel, job: Job, contender: Contender, folder: Path, trial: int) -> Row:
    """Train, choose, replay, as :func:`_learner`, what a function yields."""
    began, yardstick = time.process_time(), Yardstick.of(model, None)
    sizes = tuning.searched(step_sizes(contender.name, contender.options), trial) if trial else {}
    guest = _GuestInTraining(job, contender, {**contender.options, **sizes}, model, yardstick)
    information = information_of(guest)
    training = _Training(guest, job.instance, model, yardstick, folder, [])
    training.finish()
    final = guest.chosen if training.best is training.points[-1] else guest._replay(guest.policy)
    guest.stop()
    return _row(
        job,
        contender.text,
        information=information,
        needs="samples of its own play",
        **guest.chosen,
        last_value=final["value"],
        chosen_at=training.best["env_steps"],
        env_steps=guest.env_steps,
        iterations=guest.iteration,
        curve=training.points,
        options={**contender.options, **sizes},
        trial=trial,
        step_sizes=sizes,
        train_cpu_s=time.process_time() - began,
        cpu_s=time.process_time() - began,
    )


def _configured(job: Job, contender: Contender, trial: int) -> AlgorithmConfig:
    options = {**contender.options, "seed": job.seed, "total_env_steps": job.instance.budget}
    config = make_config(job.instance.env, options, job.instance.env_config, algorithm=contender.name)
    config.evaluation(evaluation_interval=None, evaluation_bound=False)  # the harness evaluates, and nobody else
    return tuning.tuned(config, trial)


def _taken_up(config: AlgorithmConfig, folder: Path) -> tuple[Algorithm, list[Row]]:
    """The algorithm as it was when the job was killed, with the points up to there; a new one where there is none."""
    algorithm: Algorithm = config.build_algo()
    points = RunFolder(folder).read(POINTS).get("points", [])
    if not checkpoint.exists(folder / LAST):
        return algorithm, []
    try:
        algorithm.restore_from_path(folder / LAST)
    except CheckpointError:  # damaged: from the start, then
        shutil.rmtree(folder / LAST)
        return config.build_algo(), []
    return algorithm, [point for point in points if point["env_steps"] <= algorithm.env_steps]


def _at(algorithm: Algorithm, path: Path) -> Algorithm:
    """Another algorithm of the same config, as a checkpoint has it."""
    twin = type(algorithm)(type(algorithm.config).from_dict(algorithm.config.to_dict()))
    twin.restore_from_path(path)
    return twin


class _Training:
    """A learner on its way through the grid of points, each {"step", "env_steps", "value", "ci95", "values"}.

    A point of the grid is answered by the last iterate that took no more steps than it allows; where an iteration turns
    out longer than all before, by the next, as its env_steps say.
    """

    def __init__(
        self, algorithm: Algorithm | _GuestInTraining, instance: Instance, model: LocalModel, yardstick: Yardstick,
        folder: Path, points: list[Row],
    ) -> None:  # fmt: skip
        self.algorithm, self.instance, self.model = algorithm, instance, model
        self.yardstick, self.folder, self.points = yardstick, folder, points
        # environment steps of an iteration, so far; a killed job's were kept with its points
        usual = 1 if isinstance(algorithm, Guest) else algorithm.config.env_steps_per_iteration
        self.longest = max([usual, *(int(point["longest"]) for point in points)])

    @property
    def best(self) -> Row:
        """The point with the highest value on the choice worlds, the first of equals, within the budget."""
        allowed = [point for point in self.points if point["env_steps"] <= self.instance.budget]
        return max(allowed, key=lambda point: float(point["value"]))

    def finish(self) -> None:
        """Train to the end of the budget.

        Raises:
            RunError: not even one iteration fits into it.
        """
        if self.longest > self.instance.budget:
            raise RunError(
                f"one iteration takes {self.longest:,} environment steps, and the budget is {self.instance.budget:,}"
            )
        while True:
            ends = self.algorithm.env_steps + self.longest > self.instance.budget
            ends = self.algorithm.has_ended if isinstance(self.algorithm, Guest) else ends
            self._evaluate(ends)
            if ends:
                return
            before = self.algorithm.env_steps
            self.algorithm.train()
            self.longest = max(self.longest, self.algorithm.env_steps - before)

    def _evaluate(self, ends: bool) -> None:
        """Answer the points of the grid that the next iteration would pass by."""
        reach = self.instance.budget + 1 if ends else self.algorithm.env_steps + self.longest
        known = {point["step"] for point in self.points}
        due = [step for step in self.instance.grid if step < reach and step not in known]
        if not due:
            return
        worlds, seed = self.instance.choice_worlds, self.instance.choice_seed
        found = (
            self.yardstick.scale
            * worlds_of(self.model, self.algorithm.policy, worlds=worlds, seed=seed)[self.yardstick.key]
        )
        if not np.isfinite(found).all():
            raise RunError("the policy's returns are not finite")
        for step in due:
            self.points.append({
                "step": step, "env_steps": self.algorithm.env_steps, "value": float(found.mean()),
                "ci95": half_width(found), "values": found.tolist(), "longest": self.longest,
            })  # fmt: skip
        if self.best["env_steps"] == self.algorithm.env_steps:
            self.algorithm.save_to_path(self.folder / BEST)
        write_json(self.folder / POINTS, {"points": self.points})  # before the checkpoint, which never lacks its points
        self.algorithm.save_to_path(self.folder / LAST)


def tidy(folder: Path) -> None:
    """Remove what only a job that goes on would need."""
    shutil.rmtree(folder / LAST, ignore_errors=True)
    (folder / POINTS).unlink(missing_ok=True)
