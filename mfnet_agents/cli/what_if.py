"""``mfnet what-if``: what a run has learnt, the bound and the rules, here and there, side by side.

What is changed is said by name (a link is closed, the demand grows) or as an option of the environment. A scenario
understands a name where its builder has the option that the name stands for.
"""

from __future__ import annotations

import argparse
import inspect
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from mfnet_agents.cli.arguments import (
    UsageError,
    add_environment_of_runs,
    add_json,
    add_pairs,
    answer,
    needs,
    positive,
    print_json,
    vouch,
    whole,
    worlds,
)
from mfnet_agents.cli.evaluate import elsewhere, mapped, policies_of, solved

HELP = "change something (a link, the demand, the fleet): the same policy, a retrained one and the new bound"
SAME, RETRAINED = "learnt here", "retrained there"
STANDS_FOR = {  # the options of an environment that a name may stand for; the first that it has as a number, or at all
    "close": ("close",),
    "toll": ("toll",),
    "demand": ("demand_scale", "demand", "total_demand"),
    "population": ("population",),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="RUN", type=Path, help="run folder")
    parser.add_argument(
        "--close", nargs="+", action="extend", default=[], metavar="LINK",
        help="links to close, as their places are called: 'a to b' is the link from a to b, and not the way back",
    )  # fmt: skip
    parser.add_argument("--demand", type=factor, metavar="xFACTOR", help="times the demand, such as x1.2")
    parser.add_argument("--population", type=positive, metavar="N", help="another number of agents")
    parser.add_argument(
        "--toll", nargs="+", action="extend", default=[], type=toll, metavar="LINK=COST",
        help="tolls that selfish drivers weigh, in units of time, such as 'a to b=0.5'; or marginal",
    )  # fmt: skip
    add_pairs(parser, "--on", "KEY=VALUE", "what is changed, options of the environment: fleet=200, close='[1, 2]' ...")
    parser.add_argument("--retrain", action="store_true", help="train there too, with the run's options and budget")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="run folder of the retrained policy (default RUN-on-KEY-VALUE)"
    )
    parser.add_argument("--worlds", type=worlds, help="independent worlds (default 256)")
    parser.add_argument("--seed", type=whole, help="seed of the worlds (default: that of result.json)")
    add_environment_of_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    import mfnet_envs
    from mfnet_agents import progress, runs
    from mfnet_envs.measure import measure

    vouch(options)
    if not (options.on or options.close or options.toll or options.demand or options.population):
        raise UsageError(
            "say what changes: --on KEY=VALUE, or by name: --close, --demand, --population, --toll (--help)"
        )
    learnt = policies_of(options.path, ["best"])
    here = next(iter(learnt.values()))
    new = changes(options, here.config)
    changed = {**here.config.env_config, **new}
    model = answer(mfnet_envs.make_model, here.config.env, **changed)
    there: dict[str, Any] = {}
    try:
        there[SAME] = next(iter(elsewhere(learnt, new).values()))
    except UsageError as error:
        if not options.retrain:
            raise UsageError(f"{error}; or say --retrain") from None
        print(f"note: {error}", file=sys.stderr)
    if options.retrain:
        config = here.config.copy().environment(here.config.env, env_config=changed)
        algorithm = answer(config.build_algo)
        folder = runs.RunFolder.create(options.out or _beside(options.path, new))
        command = shlex.join(["mfnet", *sys.argv[1:]])
        shown = progress.choose(machine=options.json)
        result = runs.train(algorithm, folder, worlds=options.worlds or 16, progress=shown, command=command)
        if result["interrupted"]:
            return 130
        there[RETRAINED] = folder.algorithm(folder.best).policy
    common = {
        "worlds": options.worlds or runs.REPORT_WORLDS,
        "seed": runs.REPORT_SEED if options.seed is None else options.seed,
    }
    said = [*mapped(there), *sampled(here.model, model)]
    rules = here.model.heuristics()
    before = answer(
        measure, here.model, {**rules, SAME: here.policy}, certificate=solved([options.path]) or "solve", **common
    )
    after = answer(measure, model, {**model.heuristics(), **there}, **common)
    if options.json:
        print_json({"on": new, "before": before.to_dict(), "after": after.to_dict(), "notes": said})
        return 0
    print(side_by_side(before, after))
    print("there: " + ", ".join(f"{name}={value}" for name, value in new.items()))
    print(f"{common['worlds']} worlds, seed {common['seed']}")
    for line in (*after.exceeded(), *after.footnotes(), *said):
        print(line)
    return 0


def sampled(here: Any, there: Any) -> list[str]:
    """A line where other agents stand for the same fleet: that is no other fleet, as somebody may have meant."""
    weights = [getattr(model, "weight", 1.0) for model in (here, there)]
    fleets = [model.population * weight for model, weight in zip((here, there), weights, strict=True)]
    if here.population == there.population or not math.isclose(*fleets):
        return []
    whole = "fleet" if hasattr(there, "fleet") else "vehicles"
    return [
        f"note: the {there.population:,} agents there stand for the same {whole}, {fleets[1]:,.6g} in all, as the "
        f"{here.population:,} here, {weights[1]:.4g} each instead of {weights[0]:.4g}, and meet the same demand; "
        f"--on {whole}= changes how many there are"
    ]


def factor(text: str) -> float:
    """The number of ``x1.2``."""
    try:
        value = float(text.removeprefix("x")) if text.startswith("x") else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no factor such as x1.2, above 0 and at most x1000000")
    return value


def toll(text: str) -> tuple[str, float] | str:
    """``LINK=COST``, or ``marginal``."""
    link, _, cost = text.rpartition("=")
    try:
        return text if text == "marginal" else (link, float(cost if link else ""))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} is neither LINK=COST, such as 'a to b=0.5', nor marginal"
        ) from None


def understood(id: str) -> dict[str, str]:
    """The names that the scenario understands, and the option that each stands for there."""
    from mfnet_envs.registration import scenario
    from mfnet_envs.words import is_number

    known = {name: option.default for name, option in inspect.signature(scenario(id).load()).parameters.items()}
    found = {}
    for name, options in STANDS_FOR.items():
        has = [option for option in options if option in known and (name != "demand" or is_number(known[option]))]
        if has:
            found[name] = has[0]
    return found


def changes(options: argparse.Namespace, config: Any) -> dict[str, Any]:
    """The options of the run's environment that are other there.

    Raises:
        UsageError: a name that the scenario does not understand, or that says what ``--on`` says too.
    """
    known, new = understood(config.env), dict(options.on)
    for name in STANDS_FOR:
        asked = getattr(options, name)
        if not asked:
            continue
        if name not in known:
            can = ", ".join(f"--{word}" for word in known) or "none of these"
            raise UsageError(f"{config.env} does not understand --{name}; it understands {can}, and --on KEY=VALUE")
        option = known[name]
        if option in new:
            raise UsageError(f"--{name} and --on {option}= say two things: leave one out")
        new[option] = _changed(name, asked, option, config)
    return new


def _changed(name: str, asked: Any, option: str, config: Any) -> Any:
    """The value that an option has there."""
    from mfnet_envs.registration import scenario
    from mfnet_envs.words import is_number

    now = config.env_config.get(option, inspect.signature(scenario(config.env).load()).parameters[option].default)
    if name == "demand":
        if not is_number(now):
            raise UsageError(f"the run's {option} is no single number to multiply: say --on {option}=")
        return asked * now
    if name == "close":
        return [*_listed(now), *asked]
    if name == "toll":
        if "marginal" in asked and len(asked) > 1:
            raise UsageError("--toll marginal is of all links: leave the others out")
        if isinstance(now, str) and asked != ["marginal"]:
            raise UsageError(f"the run's tolls are {now}, on all links, which one link's would replace: say --on toll=")
        return "marginal" if "marginal" in asked else {**(now if isinstance(now, dict) else {}), **dict(asked)}
    return asked


def _listed(links: Any) -> list[Any]:
    """The run's own closed links as a list: two labels are one link."""
    if links is None:
        return []
    one = isinstance(links, str) or (len(links) == 2 and all(isinstance(x, str) and " to " not in x for x in links))
    return [links] if one else list(links)


def side_by_side(before: Any, after: Any) -> str:
    """Both measurements in one table, the policies in the order of what they reach there, then those of here alone."""
    from mfnet_envs import tables
    from mfnet_envs.measure import BOUND

    rows = [[f"policy: {after.yardstick.unit}", "here", "there", "gap closed there"]]
    names = [*(name for name in before.ranked() if name not in after.results), *after.ranked()]
    for name in names:
        cells = [m.interval(name) if name in m.results else "" for m in (before, after)]
        rows.append([after.label(name), *cells, after.row(name)[2] if name in after.results else ""])
    bounds = [m.yardstick for m in (before, after)]
    if any(yardstick.bound is not None for yardstick in bounds):
        rows.append([BOUND, *("" if y.bound is None else y.text(y.bound) for y in bounds), ""])
    return tables.as_text(rows)


def _beside(path: Path, changed: dict[str, Any]) -> Path:
    said = "-".join(f"{name}-{value}" for name, value in changed.items())
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in said)[:60]
    return path.with_name(f"{path.resolve().name}-on-{kept}")
