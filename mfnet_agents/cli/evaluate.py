"""``mfnet evaluate``: the policies of runs beside the scenario's heuristics, on common worlds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfnet_agents.cli.arguments import (
    UsageError,
    add_environment_of_runs,
    add_json,
    add_pairs,
    answer,
    needs,
    print_json,
    vouch,
    whole,
    worlds,
)

HELP = "compare the policies of runs, or of checkpoints, with each other, with heuristics and with the bound"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", metavar="RUN", nargs="+", type=Path,
        help="run folder or checkpoint folder; of several runs of one environment, the best policy of each",
    )  # fmt: skip
    parser.add_argument(
        "--heuristics", action=argparse.BooleanOptionalAction, default=True, help="the scenario's heuristics too",
    )  # fmt: skip
    parser.add_argument("--worlds", type=worlds, help="independent worlds (default 256)")
    parser.add_argument("--seed", type=whole, help="seed of the worlds (default: that of result.json)")
    add_pairs(
        parser, "--on", "KEY=VALUE", "execute the policies elsewhere: their environment with these options instead, "
        "another population, hour or layout; heuristics and bound are those of there",
    )  # fmt: skip
    add_environment_of_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    from mfnet_agents import runs
    from mfnet_envs.measure import measure

    vouch(options)
    learnt = contenders(options.paths)
    policies = {name: algorithm.policy for name, algorithm in learnt.items()}
    certificate = solved(options.paths) or "solve"
    if options.on:
        policies, certificate = elsewhere(learnt, dict(options.on)), "solve"
    model = next(iter(policies.values())).model
    measured = answer(
        measure,
        model,
        {**(model.heuristics() if options.heuristics else {}), **policies},
        worlds=options.worlds or runs.REPORT_WORLDS,
        seed=runs.REPORT_SEED if options.seed is None else options.seed,
        certificate=certificate,
    )
    if options.json:
        print_json(measured.to_dict())
        return 0
    print(measured.text())
    for line in measured.executions():
        print(line)
    print(f"{measured.worlds} worlds, seed {measured.seed}")
    if options.on:
        print("learnt elsewhere, executed with " + ", ".join(f"{name}={value}" for name, value in options.on))
    for line in (*measured.footnotes(), *mapped(policies)):
        print(line)
    return 0


def contenders(paths: Sequence[Path]) -> dict[str, Any]:
    """The algorithms in ``paths`` by the names they have in the table.

    Raises:
        UsageError: they were trained on different environments.
    """
    if len(paths) == 1:
        found = policies_of(paths[0], ["last", "best"])
        return {f"learnt, {which}".removesuffix(", "): algorithm for which, algorithm in found.items()}
    short = [path.resolve().name for path in paths]
    names = short if len(set(short)) == len(paths) else list(map(str, paths))
    if len(set(names)) < len(names):
        raise UsageError("a run is named twice")
    best = [next(iter(policies_of(path, ["best"]).values())) for path in paths]
    found = dict(zip(names, best, strict=True))
    configs = {name: algorithm.config for name, algorithm in found.items()}
    first, *others = configs
    for other in others:
        here, there = (f"{config.env} {config.env_config}" for config in (configs[first], configs[other]))
        if here != there:
            raise UsageError(f"{other} was trained on {there}, {first} on {here}: only runs of one environment compare")
    return found


def elsewhere(learnt: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """The policies, executed in their environment with the options ``changed``; all on one model.

    Raises:
        UsageError: there is no such environment, or weights of a state are of no use there.
    """
    import mfnet_envs
    from mfnet_agents.policies.individual import IndividualPolicy
    from mfnet_envs.engines.congestion import Congestion
    from mfnet_envs.engines.rewired import Rewired

    config = next(iter(learnt.values())).config
    model = answer(mfnet_envs.make_model, config.env, **{**config.env_config, **changed})
    policies: dict[str, Any] = {}
    if (
        "close" in changed
        and isinstance(model, Congestion)
        and not all(_is_shared(algorithm.policy) for algorithm in learnt.values())
    ):
        opened = elsewhere(learnt, {name: value for name, value in changed.items() if name != "close"})
        return {name: answer(Rewired, policy, model) for name, policy in opened.items()}
    for name, algorithm in learnt.items():
        if not isinstance(algorithm.policy, IndividualPolicy):
            raise UsageError(
                f"{name} is a policy of teams that draw together, which is executed where it was learnt only"
            )
        policies[name] = answer(algorithm.policy.on, model)
    return policies


def _is_shared(policy: Any) -> bool:
    """Whether its weights know no places, so that they may be executed on any network."""
    from mfnet_agents.policies.shared import SharedPolicy

    return isinstance(policy, SharedPolicy)


def mapped(policies: Mapping[str, Any]) -> list[str]:
    """A line for each policy that was fitted to another network than its own, which says how."""
    from mfnet_envs.engines.rewired import Rewired

    return [f"note: {name} is {policy.said}" for name, policy in policies.items() if isinstance(policy, Rewired)]


def solved(paths: Sequence[Path]) -> Any:
    """The certificate that one of the runs, all of one environment, has on file; None where none has."""
    from mfnet_agents.runs import RunFolder

    folders = [RunFolder.open(path) for path in paths if (path / "config.json").is_file()]
    return next(filter(None, (folder.certificate() for folder in folders)), None)


def policies_of(path: Path, which: Sequence[str]) -> dict[str, Any]:
    """The algorithms at ``which`` checkpoints of a run folder; of a checkpoint, that one, under no name."""
    from mfnet_agents.algorithm import Algorithm
    from mfnet_agents.runs import RunFolder

    if not (path / "config.json").is_file():
        return {"": Algorithm.from_checkpoint(path)}
    folder = RunFolder.open(path)
    return {name: folder.algorithm(getattr(folder, name)) for name in which}
