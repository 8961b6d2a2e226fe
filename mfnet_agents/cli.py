"""The command line: parses, calls, prints. ``mfnet env ...`` works without torch.

Exit codes: 0 done; 1 a check found something; 2 a wrong argument or an unusable file, said in one sentence on the error
stream; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

import mfnet_envs

Handler = Callable[[argparse.Namespace], int]

EPILOG = """examples:
  mfnet env list
  mfnet env show MFNet-Grid-v0
  mfnet train MFNet-Grid-v0 --population 100 --seed 0
  mfnet train MFNet-RideShareNYC-v0 --env hour=8 --set credit_hops=6
  mfnet evaluate runs/MFNet-Grid-v0-DecNeuralAC-seed0
  mfnet report runs/MFNet-Grid-v0-DecNeuralAC-seed0
  mfnet verify --quick
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    handler: Handler = options.handler
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _note
            return handler(options)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _close_pipe()
        return 1
    except expected_errors() as error:
        return fail(str(error))


def expected_errors() -> tuple[type[Exception], ...]:
    """What a user can cause: they end the command with one sentence instead of a traceback."""
    from gymnasium.error import Error

    from mfnet_agents.checkpoint import CheckpointError
    from mfnet_agents.runs import RunError

    return Error, CheckpointError, RunError, UsageError, OSError  # a full disk, a file that may not be written


class UsageError(Exception):
    """A wrong argument, said in one sentence."""


def fail(sentence: str) -> int:
    """Print one sentence on the error stream; returns exit code 2."""
    print(f"mfnet: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one plain line."""
    print(f"mfnet: note: {message}", file=sys.stderr)


def _close_pipe() -> None:
    """Whoever read our output has gone; keep Python from complaining about it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# -- what can be typed


class _Parser(argparse.ArgumentParser):
    """Wrong arguments in one sentence, with the command that explains them."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"mfnet: {message}; `{self.prog} --help` lists what can be given\n")


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="mfnet",
        description="Mean-field multi-agent reinforcement learning on a network of states.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"mfnet {mfnet_envs.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _add_train(commands)
    _add_evaluate(commands)
    _add_env(commands)
    _add_demo(commands)
    _add_report(commands)
    _add_verify(commands)
    return top


def _add(commands: Any, name: str, handler: Handler, text: str) -> argparse.ArgumentParser:
    sentence = text[0].upper() + text[1:] + "."
    made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=sentence)
    made.set_defaults(handler=handler)
    return made


def _add_train(commands: Any) -> None:
    train = _add(commands, "train", _train, "train DEC-NEURAL-AC on an environment")
    train.add_argument("id", metavar="ID", help="environment, for example MFNet-Grid-v0 (`mfnet env list`)")
    train.add_argument("--population", type=_whole, metavar="N", help="number of agents")
    train.add_argument(
        "--env", nargs="+", action="extend", type=_pair, default=[], metavar="KEY=VALUE",
        help="options of the environment (`mfnet env show ID`)",
    )  # fmt: skip
    train.add_argument(
        "--set", nargs="+", action="extend", type=_pair, default=[], metavar="OPTION=VALUE",
        help="options of the algorithm, as in DecNeuralACConfig: hops=1 credit_hops=3 mode=paper ...",
    )  # fmt: skip
    train.add_argument("--seed", type=_whole, help="seed of everything random in training (default 0)")
    train.add_argument("--steps", type=_whole, metavar="BUDGET", help="environment steps to train for")
    train.add_argument("--out", type=Path, metavar="DIR", help="run folder (default runs/ID-ALGORITHM-seedSEED)")
    train.add_argument("--resume", action="store_true", help="go on from the folder's last checkpoint, bit for bit")
    train.add_argument("--worlds", type=_positive, help="worlds of the final evaluation (default 256)")
    train.add_argument("--no-preset", action="store_true", help="the algorithm's defaults, not the shipped options")
    train.add_argument("--no-tensorboard", action="store_true", help="write no TensorBoard events")
    train.add_argument("--json", action="store_true", help="one JSON object per line")


def _add_evaluate(commands: Any) -> None:
    evaluate = _add(commands, "evaluate", _evaluate, "evaluate the policies of a run, or of a checkpoint")
    evaluate.add_argument("path", metavar="PATH", type=Path, help="run folder or checkpoint folder")
    evaluate.add_argument("--worlds", type=_positive, help="independent worlds (default 256)")
    evaluate.add_argument("--seed", type=_whole, help="seed of the worlds (default: that of result.json)")
    evaluate.add_argument("--json", action="store_true", help="one JSON object, for machines")


def _add_env(commands: Any) -> None:
    env = commands.add_parser("env", help="list, show, render, check and time environments (needs no torch)")
    verbs = env.add_subparsers(metavar="VERB", required=True)
    _add(verbs, "list", _env_list, "list the environments")
    show = _add(verbs, "show", _env_show, "print an environment's page: states, actions, reward, bound ...")
    render = _add(verbs, "render", _env_render, "draw an episode into a picture or an animation")
    check = _add(verbs, "check", _env_check, "check an environment, a model, or anyone's PettingZoo env (module:Class)")
    bench = _add(verbs, "bench", _env_bench, "time an environment")
    for verb in (show, render, bench):
        verb.add_argument("id", metavar="ID", help="environment (`mfnet env list`)")
    check.add_argument(
        "id", metavar="ID", help="environment, or module:callable that returns a model or a PettingZoo env"
    )
    for verb in (show, render, check, bench):
        verb.add_argument(
            "--env",
            nargs="+",
            action="extend",
            type=_pair,
            default=[],
            metavar="KEY=VALUE",
            help="options of the environment",
        )
    render.add_argument("out", metavar="FILE", nargs="?", type=Path, help=argparse.SUPPRESS)
    render.add_argument(
        "--out", dest="out_file", metavar="FILE", type=Path,
        help="a .gif (agents flow along edges), .png (the last moment), .html (a page with a scrubber) or .txt; "
        "without it, text on the screen",
    )  # fmt: skip
    render.add_argument("--policy", default="random", help="a heuristic of the environment (default random)")
    render.add_argument("--steps", type=_whole, help="steps to play (default 30)")
    render.add_argument("--seed", type=_whole, default=0)


def _add_demo(commands: Any) -> None:
    demo = _add(commands, "demo", _demo, "learn a taxi policy for Manhattan, write a report (about 3 minutes)")
    demo.add_argument("--out", type=Path, default=Path("runs") / "demo", metavar="DIR", help="default runs/demo")
    demo.add_argument("--steps", type=_positive, metavar="BUDGET", help="environment steps of the main run")
    demo.add_argument("--worlds", type=_positive, help="worlds of every evaluation (default 256)")


def _add_report(commands: Any) -> None:
    report = _add(commands, "report", _report, "write report.html of a run: one self-contained page")
    report.add_argument("path", metavar="RUN", type=Path, help="run folder")


def _add_verify(commands: Any) -> None:
    verify = _add(commands, "verify", _verify, "put the paper's statements to the test on exact games, write a page")
    verify.add_argument("--quick", action="store_true", help="two minutes instead of half an hour")
    verify.add_argument("--only", nargs="+", action="extend", default=[], metavar="NAME", help="these experiments")
    verify.add_argument("--model", metavar="ID", help="your own small model: an id, or module:callable that returns it")
    verify.add_argument(
        "--env", nargs="+", action="extend", type=_pair, default=[], metavar="KEY=VALUE", help="options of the model",
    )  # fmt: skip
    verify.add_argument("--seed", type=_whole, default=0, help="seed of everything random (default 0)")
    verify.add_argument("--out", type=Path, default=Path("runs") / "verify", metavar="DIR", help="default runs/verify")
    verify.add_argument("--json", action="store_true", help="one JSON object per line")


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative integer")
    return int(text)


def _positive(text: str) -> int:
    if _whole(text) < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return int(text)


def _pair(text: str) -> tuple[str, Any]:
    """``key=value``; the value is read as JSON or a Python word (True, None), else it is a string."""
    key, sign, value = text.partition("=")
    if not (sign and key):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    words = {"True": True, "False": False, "None": None}
    if value in words:
        return key, words[value]
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


# -- what happens


def _train(options: argparse.Namespace) -> int:
    from mfnet_agents import progress, runs

    _needs("torch", "agents")
    config, path = _run_of(options)
    shown = progress.choose(machine=options.json)
    try:
        algorithm = config.build_algo()
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    folder = runs.RunFolder.open(path) if options.resume else runs.RunFolder.create(path)
    shown.say(f"{path}: {_changed(config)}")
    result = runs.train(
        algorithm,
        folder,
        resume=options.resume,
        worlds=options.worlds or runs.REPORT_WORLDS,
        progress=shown,
        tensorboard=not options.no_tensorboard,
        command=shlex.join(["mfnet", *sys.argv[1:]]),
    )
    if options.json:
        progress.write_json({"event": "result", **result})
    else:
        print(_summary(result, path))
    return 130 if result["interrupted"] else 0


def _run_of(options: argparse.Namespace) -> tuple[Any, Path]:
    """The config and the folder that the arguments of `mfnet train` ask for."""
    from mfnet_agents import runs

    mfnet_envs.registration.scenario(options.id)
    chosen = dict(options.set)
    for name, value in {"seed": options.seed, "total_env_steps": options.steps}.items():
        if value is not None:
            chosen[name] = value
    for_env = dict(options.env)
    if options.population is not None:
        for_env["population"] = options.population
    try:
        config = runs.make_config(options.id, chosen, for_env, use_preset=not options.no_preset)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    folder = options.out or runs.default_folder(config)
    if options.resume:
        asked = {"env": options.id, **chosen, "env_config": for_env}
        return runs.same_options(asked, runs.RunFolder.open(folder)), folder
    return config, folder


def _evaluate(options: argparse.Namespace) -> int:
    from mfnet_agents import progress, report_numbers, runs
    from mfnet_agents.yardstick import Yardstick

    _needs("torch", "agents")
    worlds = options.worlds or runs.REPORT_WORLDS
    seed = runs.REPORT_SEED if options.seed is None else options.seed
    found = report_numbers.evaluate_path(options.path, worlds, seed)
    if options.json:
        progress.write_json(found)
    else:
        yardstick = Yardstick(**found["yardstick"])
        print(report_numbers.as_text(found["policies"], yardstick))
        for line in report_numbers.executions(found["policies"], yardstick):
            print(line)
        print(f"{worlds} worlds, seed {seed}")
    return 0


def _env_list(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    print(tools.list_environments())
    return 0


def _env_show(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    print(_answer(tools.show, options.id, **dict(options.env)))
    return 0


def _env_render(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    chosen = {"policy": options.policy, "steps": options.steps, "seed": options.seed, **dict(options.env)}
    if options.out is not None and options.out_file is not None:
        raise UsageError("two files are named; give one, with --out FILE")
    out = options.out_file or options.out
    if out is not None:
        print(f"wrote {_answer(tools.render_to, options.id, out, **chosen)}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        print(_answer(tools.render_to, options.id, Path(folder) / "episode.txt", **chosen).read_text("utf-8"), end="")
    return 0


def _env_check(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    try:
        print(_answer(tools.check, options.id, **dict(options.env)))
    except AssertionError as violation:
        sentences = str(violation).splitlines() or ["an assertion fails"]
        listed = f" {sentences[0]}" if len(sentences) == 1 else "".join(f"\n  {line}" for line in sentences)
        print(f"mfnet: {options.id} does not keep the contract:{listed}", file=sys.stderr)
        return 1
    return 0


def _env_bench(options: argparse.Namespace) -> int:
    from mfnet_envs import tools

    print(tools.bench_table(_answer(tools.bench, options.id, **dict(options.env))))
    return 0


def _answer(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a tool; what it says about wrong arguments is for the user."""
    try:
        return function(*arguments, **options)
    except (TypeError, ValueError, OSError, ModuleNotFoundError) as error:
        raise UsageError(str(error)) from error


def _demo(options: argparse.Namespace) -> int:
    _needs("torch", "agents")
    _needs("matplotlib", "render")
    from mfnet_agents import demo

    return demo.run(options.out, steps=options.steps, worlds=options.worlds)


def _report(options: argparse.Namespace) -> int:
    _needs("torch", "agents")
    _needs("matplotlib", "render")
    from mfnet_agents import progress, report

    print(f"wrote {report.build(options.path, progress.choose(machine=False))}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    _needs("torch", "agents")
    _needs("matplotlib", "render")
    from mfnet_agents import progress
    from mfnet_agents.verify import runner
    from mfnet_agents.verify.statement import Settings

    if options.env and options.model is None:
        raise UsageError("--env gives options of a model; say which one with --model")
    model = None if options.model is None else _answer(runner.small_model, options.model, **dict(options.env))
    settings = Settings(quick=options.quick, seed=options.seed, model=model)
    names = _answer(runner.chosen, options.only, settings)

    def tell(experiment: Any) -> None:
        if options.json:
            for record in runner.as_records(experiment):
                progress.write_json(record)
        else:
            print(runner.as_text(experiment), flush=True)

    found = runner.run(names, settings, options.out, tell)
    if options.json:
        progress.write_json(found.as_record())
    else:
        print(f"wrote {found.page}")
    if found.failures:
        print(f"mfnet: {runner.failure(found.failures)}", file=sys.stderr)
    return 130 if found.missing else 1 if found.failures else 0


def _needs(package: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise UsageError(f"this needs {package}, which is not installed; install mfnet with the extra [{extra}]")


# -- what is printed


def _changed(config: Any) -> str:
    """The options that are not the defaults, as they would be typed."""
    defaults = type(config)().to_dict()
    options = config.to_dict().items()
    return " ".join(f"{name}={value}" for name, value in options if name != "env" and value != defaults[name])


def _summary(result: dict[str, Any], folder: Path) -> str:
    """What a person wants to know at the end of a run."""
    from mfnet_agents.yardstick import Yardstick

    if result["interrupted"]:
        done, last = result["num_env_steps_sampled_lifetime"], result["last_checkpoint"]
        return (
            f"stopped after {done:,} steps; the last checkpoint is {last}\n"
            f"go on with: mfnet train {result['env']} --out {folder} --resume"
        )
    yardstick = Yardstick(**result["yardstick"])
    lines = [f"{yardstick.unit}, {result['evaluation']['worlds']} fresh worlds:"]
    for name in ("random", "last", "best"):
        entry = result[name]
        gap = entry.get("gap_closed")
        closed = "" if gap is None else f"  gap closed {gap:.1%}"
        lines.append(f"  {name:<8}{yardstick.text(entry['value'], entry['ci95']):<20}{closed}".rstrip())
    if yardstick.bound is not None:
        lines.append(f"  {'bound':<8}{yardstick.text(yardstick.bound)}")
    lines.append(f"everything is in {folder}; `mfnet report {folder}` writes a page about it")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
