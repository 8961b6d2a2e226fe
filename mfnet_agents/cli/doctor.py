"""``mfnet doctor``: what is installed, in which versions, and whether it works; with or without torch."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from mfnet_agents.cli.arguments import add_json, print_json

HELP = "say which versions and extras are here, and try the simulator and an iteration of training"
SECONDS = 2.0  # that the simulator is tried for


class Finding(NamedTuple):
    """What was looked at. ``ok``: None where nothing is wrong and something optional is not there."""

    name: str
    ok: bool | None
    says: str


def arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    found = [machine(), *base(), *extras(), torch_build(), tried("simulator", simulate), tried("training", train)]
    well = all(each.ok is not False for each in found)
    if options.json:
        print_json({"ok": well, "findings": [each._asdict() for each in found]})
    else:
        signs = {True: "ok", None: "--", False: "NO"}
        for each in found:
            print(f"{signs[each.ok]}  {each.name:<18}{each.says}")
        print("all is well" if well else "something is wrong: see the lines that begin with NO")
    return int(not well)


def machine() -> Finding:
    import mfnet_envs

    threads = os.environ.get("OMP_NUM_THREADS", "not set: a library may take every core")
    place, python = Path(mfnet_envs.__file__).parents[1], platform.python_version()
    says = f"{mfnet_envs.__version__} in {place}; Python {python}, {platform.platform()}, {os.cpu_count()} processors"
    return Finding("mfnet", sys.version_info >= (3, 11), f"{says}, OMP_NUM_THREADS {threads}")


def base() -> list[Finding]:
    """The libraries without which nothing runs, with the versions that are asked for."""
    found = [needed(line) for line in requirements("")]
    return found or [Finding("packages", None, "mfnet is run from a folder that pip does not know; versions unchecked")]


def extras() -> list[Finding]:
    """Each extra, and what of it is not here. What belongs to tests and development is left out."""
    found = []
    for extra in _metadata().get_all("Provides-Extra") or []:
        if extra in ("dev", "all", "test", "docs", "notebooks"):
            continue
        libraries = [needed(line) for line in requirements(extra)]
        lacking = [each.name for each in libraries if not each.says.startswith(each.name)]
        wrong = [each.says for each in libraries if each.says.startswith(each.name) and each.ok is False]
        if lacking:
            found.append(Finding(f"[{extra}]", None, f"not here: {', '.join(lacking)}; {_hint(extra)}"))
        else:
            says = "; ".join(wrong) or ", ".join(each.says for each in libraries)
            found.append(Finding(f"[{extra}]", not wrong, says))
    return found


def requirements(extra: str) -> list[str]:
    """The requirements of an extra, those of the extras that it names among them; of the base for ""."""
    found: list[str] = []
    for line in _metadata().get_all("Requires-Dist") or []:
        what, _, marker = line.partition(";")
        named = re.search(r"""extra == ["']([\w-]+)["']""", marker)
        if (named[1] if named else "") != extra.replace("_", "-") and (named[1] if named else "") != extra:
            continue
        inner = re.match(r"mfnet\[([\w,-]+)\]", what)
        found += [each for name in inner[1].split(",") for each in requirements(name)] if inner else [what.strip()]
    return found


def needed(requirement: str) -> Finding:
    """A library as it is asked for, such as ``numpy>=1.26,<3``, beside what is installed."""
    name = re.split(r"[^\w.-]", requirement)[0]
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, False, f"is not installed, and mfnet needs {requirement}")
    fits = _fits(version, requirement[len(name) :])
    return Finding(name, fits, f"{name} {version}" + ("" if fits else f", and mfnet needs {requirement}"))


def _fits(version: str, bounds: str) -> bool:
    """Whether the leading numbers of a version keep bounds such as ``>=1.26,<3``."""
    have = _numbers(version)
    tests: dict[str, Callable[[list[int]], bool]] = {">=": lambda low: have >= low, "<": lambda high: have < high}
    return all(tests[sign](_numbers(bound)) for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", bounds))


def _numbers(version: str) -> list[int]:
    numbers = [int(each) for each in re.split(r"[^\d.]", version)[0].split(".") if each]
    while numbers and numbers[-1] == 0:  # 3.0 is 3
        numbers.pop()
    return numbers


def torch_build() -> Finding:
    try:
        import torch
    except Exception as error:  # a broken build raises whatever it likes
        absent = isinstance(error, ModuleNotFoundError) and error.name == "torch"
        says = f"{'not here' if absent else f'cannot be imported ({error})'}; learners need it: {_hint('agents')}"
        return Finding("torch", None if absent else False, says)
    kind = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for processors only"
    threads = torch.get_num_threads()
    return Finding("torch", True, f"{torch.__version__}, {kind}, {threads} thread{'s' * (threads > 1)}")


def tried(name: str, test: Callable[[], str]) -> Finding:
    """The outcome of a test, whatever becomes of it."""
    began = time.perf_counter()
    try:
        says = test()
    except ModuleNotFoundError as error:
        return Finding(name, None if name == "training" else False, f"not tried: {error}")
    except Exception as error:
        return Finding(name, False, f"{type(error).__name__}: {error}")
    return Finding(name, True, f"{says}, {time.perf_counter() - began:.1f} s")


def simulate() -> str:
    """Random drivers on the grid: nobody is lost, and what they earn is what the model says it can be.

    Raises:
        ArithmeticError: one of the two does not hold.
    """
    import numpy as np

    from mfnet_envs import Simulator, make_model
    from mfnet_envs.policy import uniform

    model, rng, steps, earned = make_model("MFNet-Grid-v0"), np.random.default_rng(0), 0, 0.0
    simulator, policy = Simulator(model), uniform(model)
    counts, began = simulator.reset(rng, 16), time.perf_counter()
    lowest, highest = model.reward_range
    while time.perf_counter() - began < SECONDS and steps < model.evaluation[0]:
        step = policy.play(simulator, counts, steps, rng)
        counts, earned, steps = step.next_counts, step.team_rewards.sum(1), steps + 1
        if (np.asarray(counts).sum(1) != model.population).any():
            raise ArithmeticError(f"after {steps} steps there are {np.asarray(counts).sum(1)} agents in the worlds")
        if not ((lowest <= earned) & (earned <= highest)).all():
            raise ArithmeticError(f"in step {steps} agents earn {earned}, and not {lowest} to {highest}")
    return f"{steps} steps of 16 worlds, nobody lost"


def train() -> str:
    """One iteration of the default learner on four cells.

    Raises:
        ArithmeticError: it ends in a policy that is none. ModuleNotFoundError: without torch.
    """
    import numpy as np

    from mfnet_agents import DecNeuralACConfig
    from mfnet_envs import Simulator

    algorithm = DecNeuralACConfig().environment("MFNet-TwoByTwo-v0").debugging(seed=0).build_algo()
    algorithm.train()
    counts = Simulator(algorithm.model).reset(np.random.default_rng(0), 4)
    pi = np.asarray(algorithm.policy.teams(counts, 0))
    if not np.allclose(pi.sum(-1), 1.0, atol=1e-5):
        raise ArithmeticError(f"the policy's probabilities add up to {pi.sum(-1)}")
    return f"{algorithm.env_steps} environment steps"


def _metadata() -> Any:
    """What pip knows of mfnet; empty where it is run from a folder without being installed."""
    try:
        return metadata.metadata("mfnet")
    except metadata.PackageNotFoundError:
        from email.message import Message

        return Message()


def _hint(extra: str) -> str:
    from mfnet_envs.words import pip_command

    return pip_command(extra)
