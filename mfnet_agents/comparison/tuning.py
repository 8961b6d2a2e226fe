"""The same search for every learner, on instances, worlds and seeds that no table knows.

Trial 0 is the contender as it is given. Trial k multiplies each of its step sizes by a factor of its own, 10^u with u
in [-1, 1] by Halton's sequence, which is even however many trials there are; factors are the same for all learners and
instances. The trial with the highest mean score over the suite's tuning instances is played on the test instances, its
factors on the step sizes that it has there. The same search for a single pair, :mod:`.search`, ends in a preset.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from mfnet_agents.comparison.plan import ComparisonFolder, Job, Plan
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.runs import RunError
from mfnet_envs.arrays import Floats
from mfnet_envs.words import is_number
from mfnet_envs.yardstick import Yardstick

WIDTH = 1.0  # decades up and down


def trial_of(job: Job, plan: Plan, folder: ComparisonFolder) -> int:
    """Which trial a learner's job plays: its own, or the winner's; 0 of a job that trains nobody.

    Raises:
        RunError: nothing was measured that a winner could be told by.
    """
    if job.trial is not None:
        return job.trial
    if job.contender is None or job.contender.kind != "learner" or not plan.tune:
        return 0
    return winner(folder, plan, job.contender.text)


def tuned(config: AlgorithmConfig, trial: int) -> AlgorithmConfig:
    """The config with the step sizes of a trial.

    Raises:
        RunError: it has no step size that could be searched.
    """
    if not trial:
        return config
    twin = config.copy()
    for name, size in searched(step_sizes(config), trial).items():
        setattr(twin, name, size)
    twin.validate()
    return twin


def searched(sizes: dict[str, float], trial: int) -> dict[str, float]:
    """The step sizes of a trial, from those of a contender as it is given.

    Raises:
        RunError: there is none that could be searched.
    """
    if not sizes:
        raise RunError("it has no step size to search")
    found = zip(sizes, factors(trial, len(sizes)), strict=True) if trial else ((name, 1.0) for name in sizes)
    return {name: float(f"{sizes[name] * factor:.3g}") for name, factor in found}


def factors(trial: int, number: int) -> Floats:
    """Of the first trials, to two digits: .32, 3.2, .18, 1.8, .56, 5.6, and 2.2, .17, .77 of a second step size.

    >>> [factors(trial, 2).round(2).tolist() for trial in (1, 2, 3)]
    [[0.32, 2.15], [3.16, 0.17], [0.18, 0.77]]
    """
    from scipy.stats import qmc

    # the first two points, 0 and the middle, are an end and the contender as it is given
    [at] = qmc.Halton(number, scramble=False).fast_forward(trial + 1).random(1)
    found: Floats = 10 ** (WIDTH * (2 * at - 1))
    return found


def step_sizes(config: AlgorithmConfig) -> dict[str, float]:
    """The options that end in ``lr``, with what "auto" stands for; those that can be written out without changing
    anything else.

    >>> from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
    >>> step_sizes(DecNeuralACConfig().environment("MFNet-TwoByTwo-v0"))
    {'actor_lr': 0.1}
    >>> step_sizes(DecNeuralACConfig().environment("MFNet-TwoByTwo-v0").training(critic_form="v"))
    {'actor_lr': 0.03, 'critic_lr': 0.003}
    """
    settled, found = _settled(config), {}
    for name in config.fields():
        value = settled[name]
        if name.endswith("lr") and is_number(value) and value > 0:
            twin = config.copy()
            setattr(twin, name, value)
            if _settled(twin) == settled:
                found[name] = float(value)
    return found


def written_out(config: AlgorithmConfig) -> dict[str, float]:
    """The options that end in ``lr`` and are numbers as the config stands, without what "auto" stands for."""
    named = {name: getattr(config, name) for name in config.fields() if name.endswith("lr")}
    return {name: float(value) for name, value in named.items() if is_number(value)}


def _settled(config: AlgorithmConfig) -> dict[str, Any]:
    """The options of a config, with what "auto" stands for where its algorithm says so."""
    algorithm = config.build_algo()
    found: dict[str, Any] = getattr(algorithm, "settings", algorithm.config).to_dict()
    return found


# -- who wins


@dataclasses.dataclass(frozen=True)
class Trial:
    """One configuration of one contender.

    Attributes:
        scores: tuning instance -> score, 0 is random and 1 the bound; 0 where it crashed.
        options: tuning instance -> the step sizes it had there. error: of the first instance it crashed on.
    """

    contender: str
    trial: int
    scores: dict[str, float]
    options: dict[str, dict[str, float]]
    error: str

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.scores.values())))


def trials(folder: ComparisonFolder, plan: Plan, contender: str) -> list[Trial]:
    """What is known of a contender's trials.

    Raises:
        RunError: a result is damaged, or no tuning instance has a bound above random.
    """
    levels = _levels(folder, plan)
    found = []
    for k in range(plan.tune):
        scores, options, error = {}, {}, ""
        for job in plan.tuning_jobs:
            name = job.instance.name
            if job.contender is None or (job.contender.text, job.trial) != (contender, k) or name not in levels:
                continue
            if not folder.is_done(job):
                continue
            row, (low, high) = folder.result(job)["rows"][0], levels[name]
            scores[name] = 0.0 if row["error"] else (float(row["value"]) - low) / (high - low)
            options[name] = {option: float(value) for option, value in row.get("step_sizes", {}).items()}
            error = error or row["error"] or ""
        if scores:
            found.append(Trial(contender, k, scores, options, error))
    return found


def winner(folder: ComparisonFolder, plan: Plan, contender: str) -> int:
    """The trial with the highest mean score, the first of equals; one that crashed anywhere does not win."""
    able = [trial for trial in trials(folder, plan, contender) if not trial.error]
    return max(able, key=lambda trial: trial.mean).trial if able else 0


def _levels(folder: ComparisonFolder, plan: Plan) -> dict[str, tuple[float, float]]:
    """Tuning instance -> random and the bound."""
    found = {}
    for job in plan.tuning_jobs:
        if job.contender is None and folder.is_done(job):
            result = folder.result(job)
            if "yardstick" in result:
                low, high = float(result["rows"][0]["value"]), Yardstick.from_dict(result["yardstick"]).bound
                if high is not None and high > low:
                    found[job.instance.name] = low, high
                elif len(plan.tuning_instances) == 1:  # nothing to weigh it against: the headline above random
                    found[job.instance.name] = low, low + 1
    if not found:
        raise RunError("no tuning instance has been measured, or none has a bound above the random policy")
    return found


def table(folder: ComparisonFolder, plan: Plan) -> list[list[str]]:
    """Every trial of every learner, head first; the winner is starred. Empty where nothing was tuned."""
    if not plan.tune:
        return []
    names = [instance.name for instance in plan.tuning_instances]
    rows = [["contender", "trial", "step sizes", *names, "mean"]]
    for contender in plan.contenders:
        if contender.kind != "learner":
            continue
        best = winner(folder, plan, contender.text)
        for each in trials(folder, plan, contender.text):
            sizes = next((sizes for sizes in each.options.values() if sizes), {})
            said = ", ".join(f"{name} {value:g}" for name, value in sizes.items()) or "as given"
            scores = [each.scores.get(name, math.nan) for name in names]
            star = " *" if each.trial == best else ""
            rows.append([
                contender.text, f"{each.trial}{star}", each.error or said,
                *("" if math.isnan(score) else f"{score:.3f}" for score in scores), f"{each.mean:.3f}",
            ])  # fmt: skip
    return rows
