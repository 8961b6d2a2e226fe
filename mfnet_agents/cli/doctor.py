"""``mfnet doctor``: what is installed, in which versions, and whether it works; with or without torch."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mfnet_agents.cli.arguments import add_json, print_json

if TYPE_CHECKING:
    from packaging.requirements import Requirement

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
    found = [needed(each) for each in requirements("")]
    return found or [Finding("packages", None, "mfnet is run from a folder that pip does not know; versions unchecked")]


def extras() -> list[Finding]:
    """Each extra, and what of it is not here. What belongs to tests and development is left out."""
    found = []
    for extra in _metadata().get_all("Provides-Extra") or []:
        if extra in ("dev", "all", "test", "docs", "notebooks"):
            continue
        libraries = [needed(each) for each in requirements(extra)]
        lacking = [each.name for each in libraries if not each.says.startswith(each.name)]
        wrong = [each.says for each in libraries if each.says.startswith(each.name) and each.ok is False]
        if lacking:
            found.append(Finding(f"[{extra}]", None, f"not here: {', '.join(lacking)}; {_hint(extra)}"))
        else:
            says = "; ".join(wrong) or ", ".join(each.says for each in libraries)
            found.append(Finding(f"[{extra}]", not wrong, says))
    return found


def requirements(extra: str) -> list[Requirement]:
    """What an extra asks for here, with what the extras that it names ask for; of the base for ""."""
    from packaging.requirements import Requirement

    found: list[Requirement] = []
    for each in map(Requirement, _metadata().get_all("Requires-Dist") or []):
        here = {name: each.marker is None or each.marker.evaluate({"extra": name}) for name in ("", extra)}
        asked = here[extra] and not (extra and here[""])
        if asked and each.name == "mfnet":
            found += [inner for name in sorted(each.extras) for inner in requirements(name)]
        elif asked:
            found.append(each)
    return found


def needed(wanted: Requirement) -> Finding:
    """A library as it is asked for, beside what is installed; a release candidate is as good as another version."""
    name, asked = wanted.name, f"{wanted.name}{wanted.specifier}"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, False, f"is not installed, and mfnet needs {asked}")
    fits = wanted.specifier.contains(version, prereleases=True)
    return Finding(name, fits, f"{name} {version}" + ("" if fits else f", and mfnet needs {asked}"))


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
