"""``mfnet demo``: learn a taxi policy for Manhattan, see how far credit must travel, write a report.

This process trains with the shipped options. A second one, on the other core, first trains short runs of the form with
critics that differ only in the credit radius, then measures them and the scenario's heuristics. All policies are
evaluated on the same worlds.

The demo folder is a run folder (`mfnet evaluate`, `mfnet report` and `mfnet train --resume` work on it) with
``staircase.json``, ``heuristics.json``, the pictures and ``report.html`` beside.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from mfnet_agents import runs
from mfnet_agents.progress import Lines, Progress, choose, clock, write_json
from mfnet_agents.runs import REPORT_SEED, REPORT_WORLDS, RunError, RunFolder
from mfnet_envs.evaluate import check_worlds
from mfnet_envs.measure import Result, measure
from mfnet_envs.policy import Policy
from mfnet_envs.yardstick import Yardstick

ENV = "MFNet-RideShareNYC-v0"
RADII = (0, 1, 2, 3, 6)  # hops of credit
STAIRCASE_STEPS = 81_920  # of each short run
BRACKET = {
    "critic_form": "v", "hops": 1, "lambda_": 0.9, "actor_lr": 0.3, "critic_width": 16, "crowd_input": "bounded",
    "critic_input": "standardised", "num_epochs": 2, "burn_in": 60, "critic_warmup": 10,
    "num_envs_per_env_runner": 32, "rollout_fragment_length": 32,
}  # of the short runs  # fmt: skip
LOG = "second_process.log"  # only a demo folder holds one


def run(out: Path, *, steps: int | None = None, worlds: int | None = None, machine: bool = False) -> int:
    """The whole demo; returns the exit code.

    Args:
        out: folder for everything; that of an earlier demo is replaced.
        steps: environment steps of the main run (default: the preset's); no short run takes more.
        worlds: of every evaluation.
        machine: print JSON lines.

    Raises:
        RunError: more worlds than memory holds; the folder holds something else, or cannot be written to.
    """
    from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC

    began, worlds = time.perf_counter(), worlds or REPORT_WORLDS
    shown = choose(machine=machine)
    relay = _Relay(shown)
    config = runs.make_config(ENV, {} if steps is None else {"total_env_steps": steps}, {})
    config = config.evaluation(evaluation_duration=min(worlds, config.evaluation_duration))
    algorithm = DecNeuralAC(config.callbacks(on_train_result=relay.pass_on))
    try:
        check_worlds(algorithm.model, worlds)
    except ValueError as error:
        raise RunError(str(error)) from None
    _clear(out)
    folder = RunFolder.create(out)
    model, words = algorithm.model, algorithm.model.wording
    shown.say(
        f"{words.place}: {model.network.num_nodes} nodes, {model.population:,} {words.agents}\n"
        f"this process learns for {config.total_env_steps:,} steps; a second one learns {len(RADII)} times briefly,\n"
        "by critics whose credit comes from ever further away, then measures the heuristics"
    )
    command = [sys.executable, "-m", "mfnet_agents.demo", "--staircase", str(out)]
    command += ["--steps", str(min(STAIRCASE_STEPS, config.total_env_steps)), "--worlds", str(worlds)]
    with relay.follow(out / LOG, command):
        # the second process measures the heuristics meanwhile
        result = runs.train(algorithm, folder, worlds=worlds, heuristics=False, progress=shown, command="mfnet demo")
        if result["interrupted"]:
            shown.say(f"stopped; {out} holds what there is, the last checkpoint is {result['last_checkpoint']}")
            return 130
        relay.wait()
    return _conclude(folder, began, relay.code, machine=machine)


def _conclude(folder: RunFolder, began: float, code: int, *, machine: bool) -> int:
    """Write the report and say what came out."""
    from mfnet_agents.pages import run as report

    if code != 0:
        print(f"the second process failed; {folder.path / LOG} says why", file=sys.stderr)
        return 1
    page = report.build(folder.path)
    measured = report.read(folder.path)[0].measured
    if machine:
        write_json({"event": "result", "page": str(page), **measured.to_dict()})
        return 0
    print(f"\n{measured.text()}\n")
    print("\n".join([*report.sentences(measured), *measured.footnotes()]))
    print(f"\n{clock(time.perf_counter() - began)} in all; open {page} in a browser")
    return 0


def _clear(out: Path) -> None:
    """Remove an earlier demo, unless it is running; anything else is left for the run folder's own check to refuse."""
    if (out / LOG).is_file():
        folder = RunFolder(out)
        try:
            folder.own()
            shutil.rmtree(out)
        except OSError as error:
            raise RunError(f"cannot replace the earlier demo in {out} ({error.strerror}); use --out") from error
        finally:
            folder.release()


class _Relay:
    """Starts the second process and passes on what it writes into its log.

    Attributes:
        code: its exit code, once it has ended.
    """

    def __init__(self, shown: Progress) -> None:
        self.shown, self.code = shown, 0

    def follow(self, log: Path, command: list[str]) -> _Relay:
        """Start ``command``; it has a session of its own, so that Ctrl-C reaches this process alone."""
        self.writer, self.reader = log.open("w", encoding="utf-8"), log.open(encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            command,
            stdout=self.writer,
            stderr=self.writer,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        )
        return self

    def __enter__(self) -> _Relay:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.writer.close()
        self.reader.close()

    def pass_on(self, **_: Any) -> None:
        for line in self.reader:
            self.shown.say(f"  second process: {line.rstrip()}")

    def wait(self) -> None:
        if self.process.poll() is None:
            self.shown.say("waiting for the second process ...")
        while self.process.poll() is None:
            self.pass_on()
            time.sleep(0.2)
        self.pass_on()
        self.code = self.process.returncode


def staircase(out: Path, steps: int, worlds: int) -> None:
    """Short runs of the bracket form that differ only in ``credit_hops``, then the heuristics; into ``out``."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # a small radius is warned about, and here it is what is shown
    folder, progress, parent = RunFolder(out), Lines(), os.getppid()
    options = BRACKET | {"total_env_steps": steps}
    model = runs.make_config(ENV, options, {}).build_algo().model
    yardstick = Yardstick.of(model, None)
    learnt: dict[str, Policy] = {}
    for radius in RADII:
        config = runs.make_config(ENV, options | {"credit_hops": radius}, {})
        algorithm = config.evaluation(evaluation_interval=None).build_algo()
        while algorithm.env_steps < steps:
            algorithm.train()
            _stop_without(parent)
        learnt[f"credit_hops {radius}"] = algorithm.policy
        progress.say(f"learnt with credit_hops {radius}")

    def tell(name: str, result: Result) -> None:
        _stop_without(parent)
        progress.say(f"{model.wording.labels.get(name, name)}: {yardstick.text(result.value, result.ci95)}")

    heuristics = model.heuristics()
    common: dict[str, Any] = {"worlds": worlds, "seed": REPORT_SEED}
    found = measure(model, {**learnt, **heuristics}, **common, certificate=None, tell=tell).to_dict()["policies"]
    stairs = {str(radius): found[name] for radius, name in zip(RADII, learnt, strict=True)}
    folder.write("staircase.json", {"steps": steps, **common, "options": BRACKET, "runs": stairs})
    folder.write("heuristics.json", {**common, "policies": {name: found[name] for name in heuristics}})


def _stop_without(parent: int) -> None:
    """End with the first process, however it ended: the folder is then no longer ours."""
    if os.getppid() != parent:
        raise SystemExit("the process that asked for this has ended")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mfnet_agents.demo", description="The demo's second process.")
    parser.add_argument("--staircase", type=Path, required=True, metavar="DIR", help="the demo folder")
    parser.add_argument("--steps", type=int, default=STAIRCASE_STEPS)
    parser.add_argument("--worlds", type=int, default=REPORT_WORLDS)
    return parser.parse_args()


if __name__ == "__main__":
    typed = _parse()
    staircase(typed.staircase, typed.steps, typed.worlds)
