"""``kill -9`` at random moments, most of them while files are written; then the same command again, until it is done.

In the end everything must be as if nothing had happened: weights, generators and rows bit for bit, the same files, and
no draft, lock or other leftover beside them; and what can be read in between never goes back.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.judging import Fault
from fuzz.mutations import pick
from fuzz.processes import Answer, Death, Surroundings, mfnet, run
from mfnet_envs import io

PLACE = ["rows=2", "cols=2", "population=12", "horizon=8"]
QUICK = [
    "num_envs_per_env_runner=2",
    "rollout_fragment_length=4",
    "evaluation_interval=1",
    "evaluation_duration=2",
    "num_epochs=1",
]
VARIANTS = {
    "short": ["--steps", "40", "--seed", "0", "--set", *QUICK],
    "stationary": ["--steps", "32", "--seed", "1", "--set", *QUICK, "sampling=stationary", "burn_in=2"],
    "seldom": ["--steps", "64", "--seed", "2", "--set", *QUICK[:2], "evaluation_interval=3", *QUICK[3:]],
}
END = ["--no-tensorboard", "--worlds", "2", "--no-preset", "--env", *PLACE]
MOST = 12  # kills of one run
OPERATIONS = 14  # on files before a kill, on average; a whole run announces about a hundred


def train(variant: str, resume: bool) -> list[str]:
    return ["train", "MFNet-Grid-v0", "--out", "run", *VARIANTS[variant], *END, *(["--resume"] if resume else [])]


class Runs:
    """`mfnet train`, killed and resumed."""

    name, share = "kill-run", 2.0

    def __init__(self, most: int = MOST) -> None:
        self.most = most

    def run(self, rng: np.random.Generator, folder: Path) -> Counter[str]:
        variant, counted = pick(rng, list(VARIANTS)), Counter[str]()
        try:
            self.killed(variant, rng, folder, counted)
        except Fault as fault:
            fault.more = counted
            raise
        return counted

    def killed(self, variant: str, rng: np.random.Generator, folder: Path, counted: Counter[str]) -> None:
        wanted, seconds = whole(variant)
        place, reached, deaths = folder / "run", -1, []
        for _ in range(3 * self.most):
            death = Death.drawn(rng, seconds, OPERATIONS) if counted["kills"] < self.most else None
            answer = next_command(variant, folder, death)
            deaths.append(death)
            (folder.parent / ".deaths").write_text("\n".join(map(str, deaths)))
            if answer is not None and answer.code != 0:
                raise Fault("lost", f"{counted} {death}: exit code {answer.code}: {answer.err[-1500:]}", _cause(answer))
            if answer is not None and (death is None or rng.random() < 0.5):
                break
            counted["kills"] += answer is None
            now = iteration(place)
            if now < reached:
                raise Fault(
                    "lost", f"after {death} the run stands at iteration {now}, it was at {reached}", "iterations"
                )
            reached = now
        else:
            raise Fault("lost", f"the run is not done after {counted}")
        compare(state(place), wanted)


def next_command(variant: str, folder: Path, death: Death | None) -> Answer | None:
    """What a user would type: --resume where a run is, else the command anew; the other one where that is refused."""
    around = Surroundings(folder)
    resume = (folder / "run" / "config.json").is_file()
    answer = mfnet(train(variant, resume), around, death)
    if answer is not None and answer.code == 2:
        other = mfnet(train(variant, not resume), around, death)
        if other is not None and other.code == 2:
            raise Fault("lost", f"neither goes on:\n{answer.err}\n{other.err}", "can neither be resumed nor started")
        return other
    return answer


def _cause(answer: Answer) -> str:
    lines = answer.err.strip().splitlines()
    return f"exit code {answer.code}: {lines[-1][:120] if lines else ''}".replace("run/", "")


def iteration(place: Path) -> int:
    """The iteration of the last checkpoint, -1 where none was finished.

    Raises:
        Fault: there is one, and it cannot be read.
    """
    from mfnet_agents import checkpoint

    last = place / "checkpoints" / "last"
    if not checkpoint.exists(last):
        return -1
    try:
        return int(checkpoint.read(last)[0]["counters"]["iteration"])
    except Exception as error:
        raise Fault("lost", f"the last checkpoint cannot be read: {error}", f"checkpoint: {error}"[:80]) from error


def state(place: Path) -> dict[str, Any]:
    """What a run has come to, without clocks and paths."""
    from mfnet_agents import checkpoint

    found: dict[str, Any] = {"files": sorted(str(p.relative_to(place)) for p in place.rglob("*"))}
    for which in ("last", "best"):
        record, arrays = checkpoint.read(place / "checkpoints" / which)
        counters = {k: v for k, v in record["counters"].items() if k != "seconds"}
        found[which] = {"state": record["state"], "counters": counters, **{k: a.tobytes() for k, a in arrays.items()}}
    with (place / "progress.csv").open(newline="") as file:
        found["rows"] = [{k: v for k, v in row.items() if not k.startswith("time")} for row in csv.DictReader(file)]
    result = json.loads((place / "result.json").read_text())
    found["result"] = {k: v for k, v in result.items() if not k.startswith("time") and k != "last_checkpoint"}
    return found


def compare(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    if found["files"] != wanted["files"]:
        more, less = set(found["files"]) - set(wanted["files"]), set(wanted["files"]) - set(found["files"])
        raise Fault(
            "left",
            f"left behind: {sorted(more)}; missing: {sorted(less)}",
            f"left {_plain(more)} missing {_plain(less)}",
        )
    for name, value in wanted.items():
        if found[name] != value:
            raise Fault("lost", f"{name} differs from the run that was not killed", f"{name} differs")


def _plain(names: set[str]) -> str:
    """The names without the letters that tempfile draws."""
    return ", ".join(sorted({re.sub(r"[a-z0-9_]{8}(?=[./]|$)", "*", name.partition("/.")[0]) for name in names}))


@cache
def whole(variant: str) -> tuple[dict[str, Any], float]:
    """The run that nobody kills, and how long it takes; once in a process."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="fuzz-whole-")) / "case"
    folder.mkdir()
    began = time.monotonic()
    answer = mfnet(train(variant, False), Surroundings(folder))
    assert answer is not None
    if answer.code != 0:
        raise Fault("traceback", f"a plain run fails: {answer.err[-1500:]}", "a plain run fails")
    found = state(folder / "run"), time.monotonic() - began
    shutil.rmtree(folder.parent)
    return found


SUITE = {
    "id": "tiny", "seeds": 1, "budget": 64, "points": 2, "choice_worlds": 2, "choice_seed": 1, "test_worlds": 2,
    "test_seed": 2, "planner_worlds": 2, "contenders": ["heuristics"],
    "instances": [{
        "name": "g", "env": "MFNet-Grid-v0",
        "env_config": {"rows": 2, "cols": 2, "population": 6, "horizon": 5}
    }],
}  # fmt: skip
CONTENDERS = ["heuristics", "DecNeuralAC:num_envs_per_env_runner=2,rollout_fragment_length=4"]
CLOCKS = ("cpu_s", "train_cpu_s", "peak_mb")


class Compares:
    """`mfnet compare`, killed and resumed; the processes of its jobs end with it, wherever they are."""

    name, share = "kill-compare", 1.0
    COMMAND = ("compare", "tiny.json", "--out", "c", "--jobs", "1", "--contenders", *CONTENDERS)

    def run(self, rng: np.random.Generator, folder: Path) -> Counter[str]:
        wanted, seconds = compared()
        counted = Counter[str]()
        (folder / "tiny.json").write_text(json.dumps(SUITE))
        for left in range(5, -1, -1):
            death = Death.drawn(rng, seconds, OPERATIONS) if left else None
            if death is not None and death.at and rng.random() < 0.5:  # its own operations are few, those of jobs many
                death = Death(seconds=float(rng.uniform(0, seconds)))
            answer = mfnet([*self.COMMAND, "--resume"], Surroundings(folder), death)
            if answer is not None and answer.code != 0:
                raise Fault("lost", f"{counted} {death}: exit code {answer.code}: {answer.err[-1500:]}", _cause(answer))
            counted["kills"] += answer is None
        compare(standing(folder / "c"), wanted)
        return counted


def standing(place: Path) -> dict[str, Any]:
    """What a comparison has come to, without clocks and logs."""
    files = sorted(p for p in place.rglob("*") if p.is_file() and p.name != "log.txt")
    found: dict[str, Any] = {"files": [str(p.relative_to(place)) for p in files]}
    for path in files:
        if path.name == "result.json":
            result = json.loads(path.read_text())
            rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in result["rows"]]
            found[str(path.relative_to(place))] = {**result, "peak_mb": 0, "rows": rows}
        elif path.suffix in (".md", ".tex", ".csv"):
            found[path.name] = path.read_bytes()
    return found


@cache
def compared() -> tuple[dict[str, Any], float]:
    """The comparison that nobody kills, and how long it takes; once in a process."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="fuzz-whole-")) / "case"
    folder.mkdir()
    (folder / "tiny.json").write_text(json.dumps(SUITE))
    began = time.monotonic()
    answer = mfnet(Compares.COMMAND, Surroundings(folder))
    assert answer is not None
    if answer.code != 0:
        raise Fault("traceback", f"a plain comparison fails: {answer.err[-1500:]}", "a plain comparison fails")
    found = standing(folder / "c"), time.monotonic() - began
    if any(row["error"] for name, of in found[0].items() if name.endswith("result.json") for row in of["rows"]):
        raise Fault("traceback", f"a plain comparison has failures: {found[0]}", "a plain comparison fails")
    shutil.rmtree(folder.parent)
    return found


class Files:
    """`to_npz`, `mfnet env render --out`, `mfnet report`, killed: the file is the old one or the new one, and alone."""

    name, share = "kill-file", 1.0

    def run(self, rng: np.random.Generator, folder: Path) -> Counter[str]:
        how = rng.random()
        if how < 0.4:
            return self.npz(rng, folder)
        if how < 0.9:
            return self.render(rng, folder)
        return self.report(rng, folder)

    def npz(self, rng: np.random.Generator, folder: Path) -> Counter[str]:
        both = [_ring(5 + k, rng) for k in range(2)]
        path, kills = folder / "city.npz", 0
        both[0].to_npz(path)

        def write() -> int:
            for network in both * 3:
                network.to_npz(path)
            return 0

        for _ in range(6):
            kills += run(write, Surroundings(folder), Death.drawn(rng, 0.05, 12)) is None
            found = io.NetworkData.from_npz(path)
            if not any(_same(found, network) for network in both):
                raise Fault("lost", "the npz is neither the old network nor the new one", "npz")
        both[1].to_npz(path)
        alone(folder, {"city.npz"}, "to_npz")
        return Counter(kills=kills)

    def render(self, rng: np.random.Generator, folder: Path) -> Counter[str]:
        name = pick(rng, ["film.txt", "picture.png", "film.html"])
        path, kills = folder / name, 0
        command = ["env", "render", "MFNet-Grid-v0", "--out", name, "--steps", "2", "--env", *PLACE]
        began = time.monotonic()
        mfnet(command, Surroundings(folder))
        seconds, wanted = time.monotonic() - began, path.read_bytes()
        for _ in range(5):
            old = bool(rng.random() < 0.5)
            if not old:
                path.unlink(missing_ok=True)
            old = path.exists()  # it may have been killed before, where there was none
            kills += mfnet(command, Surroundings(folder), Death.drawn(rng, seconds, 3)) is None
            if path.exists() and path.read_bytes() != wanted:
                raise Fault("lost", f"{name} is half-written after a kill", f"half-written {path.suffix}")
            if old and not path.exists():
                raise Fault("lost", f"{name} was there, and is gone after a kill", "old file gone")
        mfnet(command, Surroundings(folder))
        if path.read_bytes() != wanted:
            raise Fault("silent", f"{name} differs when it is made again", "another film")
        alone(folder, {name}, "env render")
        return Counter(kills=kills)

    def report(self, rng: np.random.Generator, folder: Path) -> Counter[str]:
        mfnet(train("short", False), Surroundings(folder))
        place, command = folder / "run", ["report", "run"]
        answer = mfnet(command, Surroundings(folder))
        assert answer is not None
        if answer.code != 0:
            raise Fault("traceback", f"a plain report fails: {answer.err[-1500:]}", "a plain report fails")
        wanted = {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}
        kills = 0
        for _ in range(4):
            kills += mfnet(command, Surroundings(folder), Death.drawn(rng, 1.5, 12)) is None
            if (place / "report.html").read_bytes() != wanted["report.html"]:
                raise Fault("lost", "report.html is half-written after a kill", "half-written report")
        mfnet(command, Surroundings(folder))
        alone(place, set(wanted), "report")
        return Counter(kills=kills)


def _ring(n: int, rng: np.random.Generator) -> io.NetworkData:
    at, ones = np.arange(n), np.ones(n)
    return io.NetworkData(
        name="ring", nodes=tuple(map(str, at)), tail=at, head=(at + 1) % n,
        free_flow_time=rng.uniform(1, 2, n), capacity=ones, b=ones,
        power=ones, length=ones, demand=rng.uniform(0, 9, (n, n)) * (1 - np.eye(n)),
    )  # fmt: skip


def _same(one: io.NetworkData, other: io.NetworkData) -> bool:
    return one.nodes == other.nodes and np.array_equal(one.free_flow_time, other.free_flow_time)


def alone(folder: Path, names: set[str], writer: str) -> None:
    """Nothing else is in the folder."""
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}
    if more := found - names:
        raise Fault("left", f"{writer} left {sorted(more)}", f"{writer} leaves {_plain(more)}")
