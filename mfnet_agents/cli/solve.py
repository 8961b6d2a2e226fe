"""``mfnet solve``: from a file to a learnt policy beside its bound."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from mfnet_agents.cli.arguments import (
    UsageError,
    add_json,
    add_pairs,
    answer,
    needs,
    positive,
    print_json,
    whole,
    with_flags,
    worlds,
)

HELP = "read a city or a network, and find a policy for it"
KINDS = {"rideshare": "MFNet-RideShare-v0", "routing": "MFNet-Routing-v0", "packet": "MFNet-Packet-v0"}
PLANS = {"rideshare": "fluid_plan", "routing": "so", "packet": "so"}  # rules to begin from where states are many
NOTHING = "nothing"
LARGE = 300  # states of a network with a choice, from which on to learn from nothing takes longer than people wait
PROBE, PROBED = 20, 2.0  # iterations at most, and seconds, that are played to see how long one takes
EVALUATIONS, FEW = 4, 8  # while learning, and in how many worlds: a thousand steps of a network take long
WORLDS = {"rideshare": 64, "routing": 16, "packet": 16}  # of the last evaluation, where that does not take too long
LEAST = 2  # worlds, else there is no interval
MEASURING, LOOKING = 1 / 2, 1 / 4  # parts of the time to learn: besides it, at the end; and of it, to find the best
AT_LEAST, EXPORTING = 10.0, 15.0  # seconds to measure, whatever the time to learn; and to count flows


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE",
        help="a city (RL4AMOD's scenario_<city>.json, a folder with zones.csv and trips.csv, the TLC's trips in a "
        "parquet file with a GeoJSON file of its zones beside it, or manhattan, which comes with the package) or a "
        "network (TNTP, GMNS, OSMnx, SNDlib, Topology Zoo, topohub:GROUP/NAME)",
    )  # fmt: skip
    parser.add_argument(
        "--kind",
        choices=KINDS,
        help="what moves there (default: cars in a city, packets where links take ms, else traffic)",
    )
    parser.add_argument("--population", type=whole, metavar="N", help="number of agents")
    parser.add_argument(
        "--minutes", type=minutes, default=2.0, metavar="M",
        help="to learn for at most, by the clock (default 2); to measure what was learnt takes half of it besides",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=positive, metavar="BUDGET", help="environment steps to learn for, instead of minutes"
    )
    parser.add_argument(
        "--start", metavar="RULE",
        help=f"a rule of the scenario to begin from, or {NOTHING} (default: {NOTHING}, and so, the system optimum, in "
        f"networks where more than {LARGE:,} states have a choice)",
    )  # fmt: skip
    parser.add_argument(
        "--backend", choices=("numpy", "compiled"),
        help="what steps the worlds and learns (default: MFNET_BACKEND, else compiled where numba is installed)",
    )  # fmt: skip
    add_pairs(parser, "--env", "KEY=VALUE", "options of the environment: fleet=200 dearest_first=true ...")
    parser.add_argument("--seed", type=whole, default=0, help="seed of everything random in training (default 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default runs/solve-NAME-seedSEED)")
    parser.add_argument(
        "--worlds",
        type=worlds,
        help="worlds of the final evaluation (default: 2 to 64, as many as half the time to learn is enough for)",
    )
    add_json(parser, "one JSON object per line")


def minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no positive number of minutes, at most 10,000")
    return value


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    needs("matplotlib", "agents")
    from mfnet_agents import progress, runs
    from mfnet_agents.cli.train import summary
    from mfnet_agents.cli.what_if import understood
    from mfnet_agents.dec_neural_ac.imitation import lessons
    from mfnet_agents.pages import run as report
    from mfnet_agents.runs.export import export
    from mfnet_envs.backends import DEFAULT

    shown = progress.choose(machine=options.json)
    place = options.out or Path("runs") / f"solve-{name_of(options.file)}-seed{options.seed}"
    if place.exists() and not (place.is_dir() and runs.RunFolder(place).is_new()):
        raise UsageError(f"{place} exists; name another folder with --out")
    kind, said = answer(read, options.file, options.kind)
    shown.say(said)
    name = "city" if kind == "rideshare" else "network"
    if name in dict(options.env):
        raise UsageError(f"--env {name}= and FILE say two things: leave one out")
    for_env = {name: options.file, **with_flags(options.env, "--env", population=options.population)}
    backend = options.backend or os.environ.get(DEFAULT) or ("compiled" if find_spec("numba") else "numpy")
    shown.say(f"plays and learns in the {backend} backend, and tries how quickly ...")
    probed = probe(config_of(kind, for_env, options.seed, backend=backend))
    chosen, burnt = {"backend": backend}, 0
    start = options.start or (PLANS.get(kind, NOTHING) if len(probed.model.team_states) > LARGE else NOTHING)
    if start != NOTHING:
        chosen["start"], burnt = start, lessons(probed.model, probed.worlds)
        shown.say(f"begins from the rule {start}" + ("" if options.start else
            f", since {len(probed.model.team_states):,} states have a choice (--start {NOTHING} begins from nothing)"
        ))  # fmt: skip
    plan = planned(options, probed, WORLDS[kind], burnt)
    shown.say(plan.said(probed))
    config = config_of(
        kind, for_env, options.seed, total_env_steps=plan.steps, evaluation_duration=plan.few, **chosen
    ).evaluation(evaluation_interval=plan.every)
    algorithm = answer(config.build_algo)
    folder = runs.RunFolder.create(place)
    command = shlex.join(["mfnet", *sys.argv[1:]])
    result = runs.train(
        algorithm, folder, worlds=plan.worlds, progress=shown, tensorboard=False, command=command, seconds=plan.seconds
    )
    if result["interrupted"]:
        print(summary(result, folder.path, algorithm.model.wording.labels))
        name = shlex.quote(str(place))
        print(f"then `mfnet report {name}` makes the page, and `mfnet export {name}` the files")
        return 130
    page = report.build(folder.path, shown)
    files = answer(export, folder, folder.path / "export", worlds=plan.followed)
    if options.json:
        print_json({"event": "result", "page": str(page), "files": [str(file) for file in files], **result})
    else:
        print(summary(result, folder.path, algorithm.model.wording.labels).rpartition(";")[0])
        print("\n".join(verdict(result, algorithm.model)))
        print(f"the policy as plain files: {files[0].parent}")
        print(f"the page is {page}")
        print(what_if_hint(place, understood(KINDS[kind])))
    return 0


def verdict(result: dict[str, Any], model: Any) -> list[str]:
    """What was learnt beside the rules, and plainly where the best of them is above it."""
    from mfnet_envs.measure import Measurement

    measured = Measurement.from_dict({**result, **result["evaluation"], "labels": model.wording.labels})
    said = measured.sentences("best", "The learnt policy", ("last",))
    rules = [name for name in measured.ranked() if name not in ("last", "best")]
    if measured.standing(rules[-1], "best") == "above":
        said.append(
            f"The rule {measured.label(rules[-1])} is better than what was learnt, which is what the files hold: give "
            f"it longer (--minutes), or begin from the rule (--start {rules[-1]})."
        )
    return said


def what_if_hint(place: Path, understood: Collection[str]) -> str:
    """A question that can be typed as it stands, then what else may be asked."""
    asked = f"what if? mfnet what-if {shlex.quote(str(place))} "
    others = ", ".join(f"--{word}" for word in understood if word != "demand")
    return f"{asked}--demand x1.2" + (f"  # or {others}" if others else "")


def read(file: str, kind: str | None) -> tuple[str, str]:
    """The kind of scenario, and what was read, in a sentence; the model's notes say the rest."""
    from mfnet_envs import io

    path = Path(file)
    is_city = path.suffix.lower() in (".json", ".parquet") or (path / "zones.csv").is_file() or file == "manhattan"
    if is_city != (kind == "rideshare") and kind is not None:
        what = "a city, which --kind rideshare is for" if is_city else "no city, which --kind rideshare needs"
        raise UsageError(f"{file} is {what}")
    if is_city:
        return "rideshare", f"read {io.load_city(file)!r}"
    network = io.load(file)
    links = "packet" if network.units.get("time") == "ms" else "routing"
    return kind or links, f"read {network!r}"


def config_of(kind: str, for_env: dict[str, Any], seed: int, **chosen: Any) -> Any:
    """The shipped options of the learner."""
    from mfnet_agents import runs

    return answer(runs.make_config, KINDS[kind], {"seed": seed, **chosen}, for_env)


class Probed(NamedTuple):
    """What a few iterations showed: environment steps of one, seconds a step to learn, seconds to play the random
    policy, the rules, the last and the best policy in one world each, worlds that are sampled side by side, the model.
    """

    each: int
    pace: float
    learnt: float
    all: float
    worlds: int
    model: Any


def probe(config: Any) -> Probed:
    """A few iterations are played and then forgotten; the first one, which may compile, is not counted."""
    from mfnet_envs.policy import uniform

    algorithm = answer(config.evaluation(evaluation_interval=None).build_algo)
    algorithm.train()
    before, began = algorithm.env_steps, time.perf_counter()
    for _ in range(PROBE):
        algorithm.train()
        if (spent := time.perf_counter() - began) > PROBED:
            break
    steps, model = algorithm.env_steps - before, algorithm.model
    rules = {"random": uniform(model), **model.heuristics()}
    each = [seconds_a_world(model, rule, config.backend) for rule in rules.values()]
    learnt = seconds_a_world(model, algorithm.policy, config.backend)
    one = steps // (algorithm.iteration - 1)
    return Probed(one, spent / steps, learnt, sum(each) + 2 * learnt, algorithm.sampler.worlds, model)


def seconds_a_world(model: Any, policy: Any, backend: str) -> float:
    """Seconds to play a policy in one world over ``model.evaluation``, by a short and a longer try."""
    from mfnet_envs.evaluate import returns

    length, spent = model.evaluation[0], []
    for steps in (tries := (min(8, length), min(40, length))):
        began = time.perf_counter()
        returns(model, policy, worlds=LEAST, steps=steps, backend=backend)
        spent.append((time.perf_counter() - began) / LEAST)
    if tries[0] == tries[1]:
        return spent[1]
    ahead: float = (spent[1] - spent[0]) * (length - tries[0]) / (tries[1] - tries[0])
    return max(spent[1], spent[0] + ahead)


class Plan(NamedTuple):
    """Environment steps to learn for and seconds after which it ends, iterations between evaluations, worlds of these
    and of the last one, and those whose flows are counted."""

    steps: int
    seconds: float
    every: int
    few: int
    worlds: int
    followed: int

    def said(self, probed: Probed) -> str:
        """What will be done, and how long it takes."""
        measuring = probed.all * self.worlds
        if math.isinf(self.seconds):
            learning = probed.pace * self.steps
            long = f"learns for {self.steps:,} steps, about {in_minutes(learning)}"
        else:
            learning = self.seconds
            long = (
                f"learns for at most {in_minutes(learning)} by the clock, so that how many steps it takes depends on "
                f"this machine: about {self.steps:,} (--steps says how many)"
            )
        why = ""
        if measuring > max(AT_LEAST, 1.5 * MEASURING * learning):
            why = (
                f", since {len(probed.model.legal):,} states and {probed.model.evaluation[0]:,} steps a world take long"
            )
        return (
            f"{long}; to measure all policies in {self.worlds} worlds takes up to {in_minutes(measuring)} besides{why} "
            "(--worlds says another number)"
        )


def planned(options: argparse.Namespace, probed: Probed, most: int, burnt: int) -> Plan:
    """How the time is spent; with ``--steps`` the clock decides nothing that is learnt."""
    from mfnet_agents.runs.export import WORLDS as FOLLOWED

    exact = options.steps is not None
    seconds = probed.pace * options.steps if exact else 60 * options.minutes
    steps = options.steps or burnt + probed.each * max(1, round(seconds / probed.pace / probed.each))
    times, few = EVALUATIONS, FEW
    if not exact:
        looks = LOOKING * seconds / probed.learnt  # worlds; two evaluations more come before the first iteration
        few = clamped(looks / (EVALUATIONS + 2), LEAST, FEW)
        times = clamped(looks / few - 2, 1, EVALUATIONS)
    worlds = options.worlds or clamped(max(AT_LEAST, MEASURING * seconds) / probed.all, LEAST, most)
    return Plan(
        steps=steps,
        seconds=math.inf if exact else seconds,
        every=max(1, (steps - burnt) // probed.each // times),
        few=min(few, options.worlds or few),
        worlds=worlds,
        followed=clamped(EXPORTING / (2 * probed.learnt), 1, FOLLOWED),
    )


def clamped(value: float, least: int, most: int) -> int:
    return int(min(max(value, least), most))


def in_minutes(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def name_of(file: str) -> str:
    """A word of the file's name for a folder."""
    stem = Path(os.path.abspath(file)).stem.removeprefix("scenario_").removesuffix("_net")
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem) or "file"
