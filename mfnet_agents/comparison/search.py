"""The comparison's search for one learner on one environment, and the preset that follows.

A plan without test instances: its only instance is there to be tuned on. Trials are trained with a seed of their own,
choose their iterate on worlds of a second, and are scored on those of a third; none is a seed of any table.
"""

from __future__ import annotations

from typing import Any

from mfnet_agents import registry
from mfnet_agents.comparison import suites, tuning
from mfnet_agents.comparison.contenders import Contender, parse
from mfnet_agents.comparison.plan import TUNING_SEED, ComparisonFolder, Plan, can_play, unseen
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.runs import AllFailed, make_config, preset
from mfnet_envs.words import whole

INSTANCE = "here"
WORLDS = {"choice_worlds": 16, "choice_seed": 2_000_003, "test_worlds": 64, "test_seed": 3_000_017}
POINTS, BUDGET = 9, 30_720


def plan_of(env: str, env_config: dict[str, Any], text: str, trials: int, budget: int | None = None) -> Plan:
    """The search for a learner as it is named in a comparison.

    Args:
        budget: environment steps of a trial; None: what the learner is shipped with for this environment.

    Raises:
        TypeError, ValueError: no learner, or an option, budget or environment that cannot be.
    """
    [contender, *others] = parse([text])
    if contender.kind != "learner" or others:
        raise ValueError(f"{text!r} is no single learner, and only those have step sizes to search")
    if not contender.guest:
        config: AlgorithmConfig = make_config(env, contender.options, env_config, algorithm=contender.name)
        env_config, budget = config.env_config, budget or config.total_env_steps
    instance = {"name": INSTANCE, "env": env, "env_config": env_config, "split": "tuning"}
    numbers = {"budget": whole("budget", budget or BUDGET), "points": POINTS, "planner_worlds": 2, **WORLDS}
    suite = suites.from_record({"id": f"tune-{env}", "contenders": [text], **numbers, "instances": [instance]})
    can_play(contender, suite.instances)
    return Plan(suite, (contender,), (), 1, whole("trials", trials), unseen(suite.instances))


def preset_of(folder: ComparisonFolder, plan: Plan) -> dict[str, Any]:
    """What the search has found, as :mod:`mfnet_agents.runs.presets` ships it.

    Raises:
        AllFailed: every trial has failed.
    """
    [contender], [instance] = plan.contenders, plan.tuning_instances
    found = tuning.trials(folder, plan, contender.text)
    ended = [trial for trial in found if not trial.error]
    if not ended:
        why = found[0].error if found else "none has been run"
        raise AllFailed(f"no trial of {contender.text} on {instance.env} has ended: {why}")
    best = max(ended, key=lambda trial: trial.mean)
    sizes = best.options.get(INSTANCE, {})
    said = ", ".join(f"{name} {value:g}" for name, value in sizes.items()) or "the step sizes as they were given"
    failed = f", of which {len(found) - len(ended)} failed," if len(ended) < len(found) else ""
    note = (
        f"The best of {plan.tune} configurations{failed} at {instance.budget:,} environment steps, trained with seed "
        f"{TUNING_SEED}, on {instance.test_worlds} worlds of seed {instance.test_seed}: {said}."
    )
    return {"notes": [note], "options": {**_given(contender, plan), **sizes}}


def _given(contender: Contender, plan: Plan) -> dict[str, Any]:
    """The options that every trial had."""
    [instance] = plan.tuning_instances
    if contender.guest:
        return {"env_config": instance.env_config, **contender.options}
    name = registry.name_of(registry.config_class(contender.name))
    shipped = {key: value for key, value in preset(instance.env, name).items() if key != "env_config"}
    budget = {"env_config": instance.env_config, "total_env_steps": instance.budget}
    return {**shipped, **contender.options, **budget}
