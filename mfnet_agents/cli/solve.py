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
MINUTES = 5.0  # for everything
LARGE = 300  # states of a network with a choice, from which on to learn from nothing takes longer than people wait
PROBE, PROBED, TRIED = 20, 2.0, 2  # iterations at most, seconds and worlds that are played to see how long they take
EVALUATIONS, FEW = 4, 8  # while learning, and in how many worlds: a thousand steps of a network take long
WORLDS = {"rideshare": 64, "routing": 16, "packet": 16}  # of the last evaluation, where that does not take too long
LEAST = 3  # worlds of it: with two, Student's t makes an interval of nine standard deviations
MEASURING, RULES, LOOKING = 1 / 4, 1 / 3, 1 / 4  # parts of the time: to measure by plan, for the rules at most, to look
AT_LEAST, COUNTING = 10.0, 15.0  # seconds to measure, and to count flows, where steps are said
CLOSING = 1 / 4  # part of the time to draw and write in, at most
EXPORTING = 1 / 2  # part of that to count flows


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
        "--minutes", type=minutes, default=MINUTES, metavar="M",
        help=f"for everything, by the clock: reading, the bound, the rules, learning, measuring, the page (default "
        f"{MINUTES:g})",
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
        help=f"worlds of the final evaluation (default: {LEAST} to 64, as many as a quarter of the time is enough for)",
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
    began = time.perf_counter()
    needs("torch", "agents")
    needs("matplotlib", "agents")
    from mfnet_envs.registration import remembered

    with remembered():  # a file is read once, and an optimum is solved for once
        return solved(options, began)


def solved(options: argparse.Namespace, began: float) -> int:
    """All of it, for which the clock runs since ``began``; the exit code."""
    from mfnet_agents import progress, runs
    from mfnet_agents.cli.train import summary
    from mfnet_agents.cli.what_if import understood
    from mfnet_agents.dec_neural_ac.imitation import heuristic, lessons
    from mfnet_agents.pages import run as report
    from mfnet_envs.backends import DEFAULT

    until = math.inf if options.steps else began + 60 * options.minutes
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
    closing = time.perf_counter() - began  # to draw and write takes about as long as to read and try
    chosen, burnt = {"backend": backend}, 0
    start = options.start or (PLANS.get(kind, NOTHING) if len(probed.model.team_states) > LARGE else NOTHING)
    if start != NOTHING:
        chosen["start"], burnt = start, lessons(probed.model, probed.worlds)
        shown.say(f"begins from the rule {start}" + ("" if options.start else
            f", since {len(probed.model.team_states):,} states have a choice (--start {NOTHING} begins from nothing)"
        ))  # fmt: skip
        answer(heuristic, probed.model, start)  # whether there is such a rule
    known, slower = rules_of(options, probed, until, WORLDS[kind], start, backend, shown)
    plan = planned(options, probed, until, min(closing, CLOSING * 60 * options.minutes), known.worlds, slower, burnt)
    shown.say(plan.said(options))
    config = config_of(
        kind, for_env, options.seed, total_env_steps=plan.steps, evaluation_duration=plan.few, **chosen
    ).evaluation(evaluation_interval=plan.every)
    algorithm = answer(config.build_algo)
    folder = runs.RunFolder.create(place)
    result = runs.train(
        algorithm, folder, worlds=known.worlds, progress=shown, tensorboard=False,
        command=shlex.join(["mfnet", *sys.argv[1:]]), seconds=max(0.0, plan.until - time.perf_counter()), known=known,
    )  # fmt: skip
    if result["interrupted"]:
        print(summary(result, folder.path, algorithm.model.wording.labels))
        name = shlex.quote(str(place))
        print(f"then `mfnet report {name}` makes the page, and `mfnet export {name}` the files")
        return 130
    page = report.build(folder.path, shown)
    rule, files = exported(folder, result, plan)
    if options.json:
        paths = [str(file) for file in files]
        print_json({"event": "result", "page": str(page), "files": paths, "exported": rule or "best", **result})
    else:
        print(summary(result, folder.path, algorithm.model.wording.labels).rpartition(";")[0])
        print("\n".join(verdict(result, algorithm.model, rule)))
        print(f"all of it took {in_minutes(time.perf_counter() - began)}")
        print(f"the policy as plain files: {files[0].parent}")
        print(f"the page is {page}")
        print(what_if_hint(place, understood(KINDS[kind])))
    return 0


def rules_of(
    options: argparse.Namespace, probed: Probed, until: float, most: int, start: str, backend: str, shown: Any
) -> tuple[Any, float]:
    """The bound and the rules, measured before anything is learnt, since a rule is what is to be beaten and tells what
    a world takes: the measurement, and how much longer it took than was thought."""
    from mfnet_agents.runs import REPORT_SEED
    from mfnet_envs.measure import RANDOM, measure

    model = probed.model
    for note in model.notes:
        shown.say(f"note: {note}")
    shown.say("computing the bound (once; a linear programme can take half a minute) ...")
    certificate = answer(model.bound)
    if certificate is not None:
        shown.say(f"bound: {certificate}")
    left = until - time.perf_counter()
    planned = max(AT_LEAST, MEASURING * probed.pace * options.steps) if options.steps else MEASURING * left
    worlds = options.worlds or clamped(planned / probed.all, LEAST, most)
    rules = dict(sorted(model.heuristics().items(), key=lambda item: item[0] != start))
    shown.say(f"measuring {len(rules.keys() | {RANDOM})} rules in {worlds} fresh worlds ...")
    began = time.perf_counter()
    known = answer(
        measure, model, rules, worlds=worlds, seed=REPORT_SEED, certificate=certificate, backend=backend,
        seconds=math.inf if options.worlds else RULES * left,
    )  # fmt: skip
    for note in known.notes[len(model.notes) :]:
        shown.say(f"note: {note}")
    best = known.ranked()[-1]
    shown.say(f"the best rule is {known.label(best)}: {known.interval(best)} {known.yardstick.unit}")
    thought = worlds * sum(probed.rules[name] for name in known.results)
    return known, (time.perf_counter() - began) / thought


def better(measured: Any) -> str | None:
    """The best rule, where the interval of the difference says that it is above what was learnt."""
    rules = [name for name in measured.ranked() if name not in ("last", "best")]
    return rules[-1] if measured.standing(rules[-1], "best") == "above" else None


def exported(folder: Any, result: dict[str, Any], plan: Plan) -> tuple[str | None, list[Path]]:
    """Write the best policy that is known, the rule of this name or what was learnt, as plain files."""
    from mfnet_agents.runs.export import export
    from mfnet_envs.measure import Measurement

    rule = better(Measurement.from_dict({**result, **result["evaluation"]}))
    counted: dict[str, Any] = {"worlds": plan.followed, "seconds": plan.exporting}
    if rule is not None:
        try:
            return rule, export(folder, folder.path / "export", rule=rule, **counted)
        except ValueError:  # it looks at more than a file can say
            rule = None
    return rule, answer(export, folder, folder.path / "export", **counted)


def verdict(result: dict[str, Any], model: Any, exported: str | None) -> list[str]:
    """What was learnt beside the rules, and plainly where the best of them is above it, and what the files hold."""
    from mfnet_envs.measure import Measurement

    measured = Measurement.from_dict({**result, **result["evaluation"], "labels": model.wording.labels})
    said = measured.sentences("best", "The learnt policy", ("last",))
    rule = better(measured)
    if rule is not None:
        hold = "so the files hold this rule" if rule == exported else "but no file can hold it, and these hold that"
        said.append(
            f"The rule {measured.label(rule)} is better than what was learnt, {hold}: to learn more, give it longer "
            f"(--minutes), or begin from the rule (--start {rule})."
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
    """What a few iterations showed: environment steps of one, seconds a step to learn, seconds to play the learnt
    policy and each rule in one world, worlds that are sampled side by side, the model.
    """

    each: int
    pace: float
    learnt: float
    rules: dict[str, float]
    worlds: int
    model: Any

    @property
    def all(self) -> float:
        """Seconds to play the rules, the last and the best policy in one world each."""
        return sum(self.rules.values()) + 2 * self.learnt


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
    each = {name: seconds_a_world(model, rule, config.backend) for name, rule in rules.items()}
    learnt = seconds_a_world(model, algorithm.policy, config.backend)
    one = steps // (algorithm.iteration - 1)
    return Probed(one, spent / steps, learnt, each, algorithm.sampler.worlds, model)


def seconds_a_world(model: Any, policy: Any, backend: str) -> float:
    """Seconds to play a policy in one world over ``model.evaluation``, by a short and a longer try."""
    from mfnet_envs.evaluate import returns

    length, spent = model.evaluation[0], []
    for steps in (tries := (min(8, length), min(40, length))):
        began = time.perf_counter()
        returns(model, policy, worlds=TRIED, steps=steps, backend=backend)
        spent.append((time.perf_counter() - began) / TRIED)
    if tries[0] == tries[1]:
        return spent[1]
    ahead: float = (spent[1] - spent[0]) * (length - tries[0]) / (tries[1] - tries[0])
    return max(spent[1], spent[0] + ahead)


class Plan(NamedTuple):
    """Environment steps to learn for and the clock at which that ends, seconds it takes, iterations between
    evaluations, worlds of these, seconds to measure what was learnt; worlds whose flows are counted, and seconds to."""

    steps: int
    until: float
    learning: float
    every: int
    few: int
    measuring: float
    followed: int
    exporting: float

    def said(self, options: argparse.Namespace) -> str:
        """What will be done, and how long it takes."""
        if options.steps:
            long = f"learns for {self.steps:,} steps, about {in_minutes(self.learning)}"
        else:
            long = (
                f"learns for at most {in_minutes(self.learning)} by the clock, so that how many steps it takes depends "
                f"on this machine: about {self.steps:,} (--steps says how many)"
            )
        return f"{long}; to measure that takes about {in_minutes(self.measuring)} (--worlds says another number)"


def planned(
    options: argparse.Namespace, probed: Probed, until: float, closing: float, worlds: int, slower: float, burnt: int
) -> Plan:
    """How the time that is left is spent; with ``--steps`` the clock decides nothing that is learnt.

    Args:
        until: the end of everything. closing: seconds to draw and write. worlds, slower: those of the rules, and how
            much longer these took than ``probed`` says. burnt: environment steps of the imitation.
    """
    from mfnet_agents.runs.export import WORLDS as FOLLOWED

    learnt = probed.learnt * slower
    measuring = 2 * worlds * learnt
    if options.steps:
        return Plan(
            steps=options.steps,
            until=math.inf,
            learning=probed.pace * options.steps,
            every=max(1, (options.steps - burnt) // probed.each // EVALUATIONS),
            few=min(FEW, options.worlds or FEW),
            measuring=measuring,
            followed=clamped(COUNTING / (2 * learnt), 1, FOLLOWED),
            exporting=math.inf,
        )
    left = max(0.0, until - time.perf_counter() - closing - measuring)
    looks = LOOKING * left / learnt  # worlds; three evaluations more come at the beginning and the end
    few = min(clamped(looks / (EVALUATIONS + 3), TRIED, FEW), worlds)
    times = clamped(looks / few - 3, 1, EVALUATIONS)
    learning = max(0.0, left - few * learnt)  # a look comes after it
    stepping = max(0.0, learning - (times + 2) * few * learnt) / (2 if burnt else 1)  # imitation takes time, too
    iterations = max(1, round(stepping / probed.pace / probed.each))
    return Plan(
        steps=burnt + probed.each * iterations,
        until=time.perf_counter() + learning,
        learning=learning,
        every=max(1, iterations // times),
        few=few,
        measuring=measuring,
        followed=clamped(EXPORTING * closing / (2 * learnt), 1, FOLLOWED),
        exporting=EXPORTING * closing,
    )


def clamped(value: float, least: int, most: int) -> int:
    return int(min(max(value, least), most))


def in_minutes(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def name_of(file: str) -> str:
    """A word of the file's name for a folder."""
    stem = Path(os.path.abspath(file)).stem.removeprefix("scenario_").removesuffix("_net")
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem) or "file"
