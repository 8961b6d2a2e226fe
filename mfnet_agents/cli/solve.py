"""``mfnet solve``: from a file to a learnt policy beside its bound."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

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
PROBE = 3  # iterations that are played to see how long one takes; the first is not counted
EVALUATIONS, FEW = 4, 8  # while learning, and in how many worlds: a thousand steps of a network take long
WORLDS = {
    "rideshare": 64,
    "routing": 16,
    "packet": 16,
}  # of the last one at most; fewer where that takes longer than to
LEAST = 4  # learn, but not fewer than these


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE",
        help="a city (RL4AMOD's scenario_<city>.json, a folder with zones.csv and trips.csv, or manhattan, which comes "
        "with the package) or a network (TNTP, GMNS, OSMnx, SNDlib, Topology Zoo, topohub:GROUP/NAME)",
    )  # fmt: skip
    parser.add_argument(
        "--kind",
        choices=KINDS,
        help="what moves there (default: cars in a city, packets where links take ms, else traffic)",
    )
    parser.add_argument("--population", type=whole, metavar="N", help="number of agents")
    parser.add_argument("--minutes", type=minutes, default=2.0, metavar="M", help="to learn for (default 2)")
    parser.add_argument(
        "--steps", type=positive, metavar="BUDGET", help="environment steps to learn for, instead of minutes"
    )
    add_pairs(parser, "--env", "KEY=VALUE", "options of the environment: fleet=200 dearest_first=true ...")
    parser.add_argument("--seed", type=whole, default=0, help="seed of everything random in training (default 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default runs/solve-NAME-seedSEED)")
    parser.add_argument(
        "--worlds",
        type=worlds,
        help="worlds of the final evaluation (default: 4 to 64, as to learn takes)",
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
    from mfnet_agents.pages import run as report
    from mfnet_agents.runs.export import export

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
    each, pace, model = probe(config_of(kind, for_env, options.seed))
    steps = options.steps or each * max(1, round(60 * options.minutes / pace / each))
    policies = len(model.heuristics()) + 2
    one = pace * model.evaluation[0]  # seconds of one policy in one world
    many = options.worlds or min(WORLDS[kind], max(LEAST, int(pace * steps / (one * (EVALUATIONS + policies)))))
    config = config_of(kind, for_env, options.seed, total_env_steps=steps, evaluation_duration=min(many, FEW))
    algorithm = answer(config.evaluation(evaluation_interval=max(1, steps // each // EVALUATIONS)).build_algo)
    measuring = one * (EVALUATIONS * min(many, FEW) + policies * many)
    learning, besides = (max(1, round(seconds / 60)) for seconds in (pace * steps, measuring))
    shown.say(
        f"learns for about {learning} min; to measure all policies in {many} worlds takes up to {besides} min besides "
        "(--worlds says another number)"
    )
    folder = runs.RunFolder.create(place)
    command = shlex.join(["mfnet", *sys.argv[1:]])
    result = runs.train(algorithm, folder, worlds=many, progress=shown, tensorboard=False, command=command)
    if result["interrupted"]:
        print(summary(result, folder.path, algorithm.model.wording.labels))
        print(f"then `mfnet report {shlex.quote(str(place))}` makes the page, and `mfnet export` the files")
        return 130
    page = report.build(folder.path, shown)
    files = answer(export, folder, folder.path / "export")
    if options.json:
        print_json({"event": "result", "page": str(page), "files": [str(file) for file in files], **result})
    else:
        print(summary(result, folder.path, algorithm.model.wording.labels).rpartition(";")[0])
        print(f"the policy as plain files: {files[0].parent}")
        print(f"the page is {page}")
        print(what_if_hint(place, understood(KINDS[kind])))
    return 0


def what_if_hint(place: Path, understood: Collection[str]) -> str:
    """A question that can be typed as it stands, then what else may be asked."""
    asked = f"what if? mfnet what-if {shlex.quote(str(place))} "
    others = ", ".join(f"--{word}" for word in understood if word != "demand")
    return f"{asked}--demand x1.2" + (f"  # or {others}" if others else "")


def read(file: str, kind: str | None) -> tuple[str, str]:
    """The kind of scenario, and what was read, in a sentence; the model's notes say the rest."""
    from mfnet_envs import io

    path = Path(file)
    is_city = path.suffix.lower() == ".json" or (path / "zones.csv").is_file() or file == "manhattan"
    if is_city != (kind == "rideshare") and kind is not None:
        what = "a city, which --kind rideshare is for" if is_city else "no city, which --kind rideshare needs"
        raise UsageError(f"{file} is {what}")
    if is_city:
        return "rideshare", f"read {io.load_city(path)!r}"
    network = io.load(file)
    links = "packet" if network.units.get("time") == "ms" else "routing"
    return kind or links, f"read {network!r}"


def config_of(kind: str, for_env: dict[str, Any], seed: int, **chosen: int) -> Any:
    """The shipped options of the learner."""
    from mfnet_agents import runs

    return answer(runs.make_config, KINDS[kind], {"seed": seed, **chosen}, for_env)


def probe(config: Any) -> tuple[int, float, Any]:
    """Environment steps of an iteration, seconds a step, the model: a few iterations are played and then forgotten."""
    algorithm = answer(config.evaluation(evaluation_interval=None).build_algo)
    each, began = 0, 0.0
    for k in range(PROBE):
        before = algorithm.env_steps
        algorithm.train()
        each = algorithm.env_steps - before
        began = began if k else time.perf_counter()
    return each, (time.perf_counter() - began) / (each * (PROBE - 1)), algorithm.model


def name_of(file: str) -> str:
    """A word of the file's name for a folder."""
    stem = Path(os.path.abspath(file)).stem.removeprefix("scenario_").removesuffix("_net")
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem) or "file"
