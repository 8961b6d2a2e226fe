"""``mfnet train``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfnet_agents.cli.arguments import (
    ENVIRONMENT,
    add_environment,
    add_json,
    add_pairs,
    answer,
    needs,
    print_json,
    whole,
    with_flags,
    worlds,
)
from mfnet_agents.cli.watch import live_page

HELP = "train an algorithm on an environment"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser, ENVIRONMENT)
    parser.add_argument("--population", type=whole, metavar="N", help="number of agents")
    parser.add_argument(
        "--algorithm", metavar="NAME",
        help="which learner (default DecNeuralAC), or your own: module:Config or file.py:Config",
    )  # fmt: skip
    add_pairs(parser, "--set", "OPTION=VALUE", "options of the algorithm: hops=1 credit_hops=3 mode=paper ...")
    parser.add_argument("--seed", type=whole, help="seed of everything random in training (default 0)")
    parser.add_argument("--backend", metavar="NAME", help="what steps the worlds: numpy (default), compiled or torch")
    parser.add_argument("--device", metavar="NAME", help="of --backend torch: cpu (default), cuda, cuda:1")
    parser.add_argument("--runners", type=whole, metavar="N", help="processes that share the worlds (default 0, none)")
    parser.add_argument("--steps", type=whole, metavar="BUDGET", help="environment steps to train for")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder (default runs/ID-OPTIONS-ALGORITHM-seedSEED)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the folder's last checkpoint, bit for bit")
    parser.add_argument("--worlds", type=worlds, help="worlds of the final evaluation (default 256, or as begun)")
    parser.add_argument("--no-preset", action="store_true", help="the algorithm's defaults, not the shipped options")
    parser.add_argument("--no-tensorboard", action="store_true", help="write no TensorBoard events")
    parser.add_argument(
        "--live", nargs="?", type=whole, const=0, metavar="PORT",
        help="show a page of it in the browser while it trains, on this machine only (default: a port that is free)",
    )  # fmt: skip
    add_json(parser, "one JSON object per line")


def backend_named(options: argparse.Namespace) -> str | None:
    """``--backend`` and ``--device`` in one word.

    Raises:
        ValueError: a device of no backend that has one.
    """
    if options.device is None:
        named: str | None = options.backend
        return named
    if options.backend != "torch":
        raise ValueError(f"--device {options.device} is for --backend torch")
    return f"torch:{options.device}"


def run(options: argparse.Namespace) -> int:
    needs("torch", "agents")
    from mfnet_agents import progress, runs
    from mfnet_envs.evaluate import check_worlds

    config, folder = run_of(options)
    shown, path = progress.choose(machine=options.json), folder.path
    algorithm = answer(config.build_algo)
    as_begun = folder.read("config.json").get("worlds") if options.resume else None
    worlds = options.worlds or as_begun or runs.REPORT_WORLDS
    answer(check_worlds, algorithm.model, worlds)
    with live_page(path, options.live, shown):
        if not options.resume:
            folder = runs.RunFolder.create(path)
        shown.say(f"{path}: {changed(config)}")
        result = runs.train(
            algorithm,
            folder,
            resume=options.resume,
            worlds=worlds,
            progress=shown,
            tensorboard=not options.no_tensorboard,
            command=shlex.join(["mfnet", *sys.argv[1:]]),
        )
    if options.json:
        print_json({"event": "result", **result})
    else:
        print(summary(result, path, algorithm.model.wording.labels))
    return 130 if result["interrupted"] else 0


def run_of(options: argparse.Namespace) -> tuple[Any, Any]:
    """The config and the folder that the arguments ask for; it is owned already if the run goes on."""
    from mfnet_agents import runs
    from mfnet_envs.registration import scenario

    scenario(options.id)
    flags = {"seed": options.seed, "total_env_steps": options.steps, "backend": answer(backend_named, options)}
    flags["num_env_runners"] = options.runners
    chosen = with_flags(options.set, "--set", **flags)
    for_env = with_flags(options.env, "--env", population=options.population)
    which = {} if options.algorithm is None else {"algorithm": options.algorithm}
    path = options.out
    if not options.resume or path is None:
        config = answer(runs.make_config, options.id, chosen, for_env, use_preset=not options.no_preset, **which)
        path = path or runs.default_folder(config)
    if not options.resume:
        return config, runs.RunFolder(path)
    folder = runs.RunFolder.open(path).own()
    folder.rows()  # whether they can be read, before anything is said of going on; so with the checkpoints
    asked = {"env": options.id, **chosen, "env_config": for_env}
    config = answer(runs.same_options, asked, folder, **which)
    folder.check(config.to_dict())
    return config, folder


def changed(config: Any) -> str:
    """The options that are not the defaults, as they would be typed."""
    defaults = type(config)().to_dict()
    options = config.to_dict().items()
    return " ".join(f"{name}={value}" for name, value in options if name != "env" and value != defaults[name])


def summary(result: dict[str, Any], folder: Path, labels: Mapping[str, str]) -> str:
    """What a person wants to know at the end of a run; ``labels`` as in the scenario's wording."""
    from mfnet_envs.measure import Measurement

    place = shlex.quote(str(folder))
    if result["interrupted"]:
        done, last = result["num_env_steps_sampled_lifetime"], result["last_checkpoint"]
        go_on = f"mfnet train {shlex.quote(result['env'])} --out {place} --resume"
        return f"stopped after {done:,} steps; the last checkpoint is {last}\ngo on with: {go_on}"
    policies = result.get("policies", {name: result[name] for name in ("random", "last", "best")})
    measured = Measurement.from_dict({**result, **result["evaluation"], "policies": policies, "labels": labels})
    return "\n".join([
        f"{measured.worlds} fresh worlds:",
        measured.text(),
        *measured.executions(),
        *measured.footnotes(),
        f"everything is in {folder}; `mfnet report {place}` writes a page about it",
    ])  # fmt: skip
