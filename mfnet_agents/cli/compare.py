"""``mfnet compare``: contenders x instances x seeds, and the tables that follow."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from mfnet_agents.cli.arguments import UsageError, add_json, answer, needs, positive, print_json

HELP = "run contenders on the instances of a suite, with equal budgets, and rank them with intervals"
EXPORTS = {"tensorboard": "log", "wandb": "wandb", "mlflow": "mlflow"}  # package -> extra
RAY = "mfnet_agents.adapters.ray_tasks:RayTasks"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "suite", metavar="SUITE", nargs="?",
        help="mfnet-smoke-v1 (minutes), mfnet-core-v1 (overnight), mfnet-cities-v1 (days), or FILE.json; with --resume "
        "the folder knows it",
    )  # fmt: skip
    parser.add_argument(
        "--contenders", nargs="+", action="extend", metavar="NAME",
        help="learners, heuristics, planners, an algorithm (DecNeuralAC, DecNeuralAC:critic_form=v, own.py:Config) or "
        "planner:replan; default: the suite's",
    )  # fmt: skip
    parser.add_argument(
        "--submission", metavar="FILE", help="score policies as files, beside the heuristics, on worlds of their own"
    )
    parser.add_argument("--instances", nargs="+", action="extend", metavar="NAME", help="some of the suite's instances")
    parser.add_argument("--seeds", type=positive, metavar="N", help="training seeds 0 .. N-1 (default: the suite's)")
    parser.add_argument("--budget", type=positive, metavar="STEPS", help="environment steps of every learner")
    parser.add_argument(
        "--tune", type=positive, metavar="N",
        help="first try N configurations of every learner on the suite's tuning instances, and play the best",
    )  # fmt: skip
    add_workers(parser)
    parser.add_argument(
        "--hours",
        type=hours,
        default=24.0,
        metavar="H",
        help="stop a job that has not ended after so long (default 24)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder (default comparisons/SUITE)")
    parser.add_argument("--resume", action="store_true", help="go on; nothing that has ended is run again")
    parser.add_argument(
        "--export", nargs="+", action="extend", choices=tuple(EXPORTS), default=[], metavar="TO",
        help="hand every run on to tensorboard, wandb or mlflow, too",
    )  # fmt: skip
    add_json(parser, "one JSON object per line")


def hours(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no positive number of hours, at most 10,000")
    return value


def run(options: argparse.Namespace) -> int:
    ready(options)
    for package in options.export:
        needs(package, EXPORTS[package])
    from mfnet_agents.comparison import exports, trackers
    from mfnet_agents.comparison.standings import Standings
    from mfnet_agents.progress import choose

    shown = choose(machine=options.json)
    plan, folder = plan_of(options)
    if not options.resume:
        folder.must_be_new()
    with folder.owned(), closing(workers_of(folder, plan, options)) as workers:
        if not (options.resume and folder.is_begun()):
            folder.begin(plan, command=shlex.join(["mfnet", *sys.argv[1:]]))
        jobs = [*plan.tuning_jobs, *plan.jobs]
        left = sum(not folder.is_done(job) for job in jobs)
        shown.say(f"{folder.path}: {left} of {len(jobs)} jobs to run")

        try:
            execute(folder, plan, workers, options, shown)
        except KeyboardInterrupt:
            place = shlex.quote(str(folder.path))
            done = sum(folder.is_done(job) for job in jobs)
            shown.say(f"stopped; {done} of {len(jobs)} jobs are done; mfnet compare --out {place} --resume goes on")
            return 130
        standings = Standings(folder)
        said = exports.write_all(standings, folder.path)
        said += [trackers.export(standings, each, folder.path) for each in dict.fromkeys(options.export)]
    if options.json:
        print_json({"event": "result", **exports.as_record(standings), "folder": str(folder.path)})
    else:
        print(exports.as_text(standings))
        hint = f"`mfnet report {shlex.quote(str(folder.path))}` writes a page about it"
        for sentence in (*said, f"everything is in {folder.path}; {hint}"):
            print(sentence)
    return 0


def plan_of(options: argparse.Namespace) -> tuple[Any, Any]:
    """The plan and the folder that the arguments ask for.

    Raises:
        UsageError: no suite, or something in it that is not there. RunError: another comparison stands there.
    """
    from mfnet_agents.comparison.plan import ComparisonFolder, default_folder, make_plan
    from mfnet_agents.comparison.suites import suite, suites

    contenders = options.contenders
    if options.submission is not None:
        contenders = [f"submission:{options.submission}", *(contenders or ["heuristics"])]
    asked = (contenders, options.instances, options.seeds, options.budget, options.tune)
    if options.suite is None:
        if not (options.resume and options.out):
            raise UsageError(f"name a suite ({', '.join(suites())}, or FILE.json), or a folder: --out DIR --resume")
        if any(each is not None for each in asked):
            raise UsageError(
                "a comparison goes on as it was started: leave out all but --out, --hours, --jobs, --workers, --export"
            )
        folder = ComparisonFolder(options.out)
        return folder.plan(), folder
    plan = answer(make_plan, answer(suite, options.suite), *asked)
    folder = ComparisonFolder(options.out or default_folder(plan))
    if options.resume and folder.is_begun():
        folder.must_be_of(plan)
    return plan, folder


def add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=positive, metavar="N", help="jobs at a time (default: one per core)")
    parser.add_argument(
        "--workers", choices=("local", "ray"), default="local",
        help="who runs the jobs: processes of this machine (default), or tasks of Ray",
    )  # fmt: skip
    parser.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster's (default: Ray is started here)")


def ready(options: argparse.Namespace) -> None:
    """Refuse workers that cannot be had, before anything is written.

    Raises:
        UsageError: what to install, or to say.
    """
    needs("torch", "agents")
    if options.workers == "ray":
        needs("ray", "rllib")
    elif options.address is not None:
        raise UsageError("--address is a Ray cluster's: add --workers ray")


def workers_of(folder: Any, plan: Any, options: argparse.Namespace) -> Any:
    """Who runs the jobs, started.

    Raises:
        UsageError: there is no cluster at the address.
    """
    from mfnet_agents.comparison.processes import Processes
    from mfnet_envs import targets

    if options.workers == "local":
        return Processes(folder, plan, options.jobs or cores())
    number = options.jobs or (None if options.address else cores())
    return answer(targets.load(RAY), folder, plan, number, options.address)


def execute(folder: Any, plan: Any, workers: Any, options: argparse.Namespace, shown: Any) -> None:
    """Run the jobs that are left, each told as it ends.

    Raises:
        KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    from mfnet_agents.comparison import runner

    def tell(event: Any) -> None:
        if options.json:
            print_json({"event": "job", **event.to_dict()})
        else:
            shown.say(event.sentence)

    runner.execute(folder, plan, workers=workers, tell=tell, hours=options.hours)


def cores() -> int:
    """Those that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
