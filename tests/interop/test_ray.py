"""A comparison on Ray: the table is that of this machine's processes, bit for bit, whoever is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mfnet_agents.adapters.ray_tasks import RayTasks
from mfnet_agents.comparison import exports, runner, suites
from mfnet_agents.comparison.plan import ComparisonFolder, make_plan
from mfnet_agents.comparison.standings import Standings

pytestmark = pytest.mark.xdist_group("ray")  # one Ray at a time

TESTS = Path(__file__).parents[1]
TABLES = ("results.parquet", "marl_eval.json", "ranking.md", "ranking.csv", "ranking.tex", "instances.md")
ASKED = [
    "mfnet-smoke-v1", "--instances", "twobytwo", "grid9", "--seeds", "1", "--budget", "2048", "--jobs", "2",
    "--contenders", "roamer.py:RoamerConfig:mischief=hang once", "DecNeuralAC",
]  # fmt: skip
RAY = ["--workers", "ray"]


def placed(folder: Path) -> Path:
    """A folder with the learner of mischief: in the middle of an iteration it hangs, once."""
    shutil.copy(TESTS / "roamer.py", folder)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return placed(tmp_path)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of processes of this machine, none of which hung."""
    folder = placed(tmp_path_factory.mktemp("straight"))
    (folder / "spared").touch()
    ran = compare(folder, "out", *ASKED)
    _, complained = ran.communicate()
    assert ran.returncode == 0, complained
    return tables(folder / "out")


def compare(place: Path, out: str, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "mfnet_agents.cli", "compare", "--out", out, *more]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=place, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def tables(place: Path) -> dict[str, bytes]:
    return {name: (place / name).read_bytes() for name in TABLES}


def hanging(place: Path, ran: "subprocess.Popen[str]") -> int:
    """The process that hangs, as soon as one does."""
    while not (place / "spared").exists():
        assert ran.poll() is None, ran.communicate()
        time.sleep(0.1)
    return int((place / "spared").read_text())


def test_one_worker_of_two_is_killed(place: Path, straight: dict[str, bytes]) -> None:
    """In the middle of an iteration: its task is begun again, and the table is the same. What Ray has to say is not
    for those who read the table."""
    ran = compare(place, "out", *ASKED, *RAY)
    os.kill(hanging(place, ran), signal.SIGKILL)
    told, complained = ran.communicate()
    assert ran.returncode == 0 and complained == "", complained
    assert (place / "iterations.log").read_text().split("\n").count("0 6") == 3, "nobody was killed"
    assert tables(place / "out") == straight
    assert (place / "out" / "jobs" / "grid9" / "DecNeuralAC" / "seed0" / "best" / "state.npz").is_file()
    lines = [line for line in told.splitlines() if line.startswith("[")]
    assert len(lines) == 6 and lines[-1].startswith("[6/6] ")


def test_a_machine_of_a_cluster_goes(place: Path, straight: dict[str, bytes]) -> None:
    """As a spot machine does, with the job on it; another has come, which begins it again. The cluster stays."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        spot = cluster.add_node(num_cpus=2)
        ran = compare(place, "out", *ASKED, *RAY, "--address", cluster.address)
        hanging(place, ran)
        cluster.add_node(num_cpus=2)
        cluster.remove_node(spot, allow_graceful=False)
        _, complained = ran.communicate()
        assert ran.returncode == 0, complained
        assert tables(place / "out") == straight
    finally:
        cluster.shutdown()


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGINT])
def test_the_driver_is_ended(which: signal.Signals, place: Path, straight: dict[str, bytes]) -> None:
    """``--resume`` runs what had not ended, and nothing else, by processes of this machine if one likes."""
    ran = compare(place, "out", *ASKED, *RAY)
    hangs = hanging(place, ran)
    ran.send_signal(which)
    _, complained = ran.communicate(timeout=60)
    assert ran.returncode == {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}[which]
    assert "Traceback" not in complained
    while Path(f"/proc/{hangs}").exists():
        time.sleep(0.1)  # Ray's processes end with the driver
    done = {path: os.stat(path).st_mtime_ns for path in (place / "out" / "jobs").rglob("result.json")}
    assert len(done) < 6
    again = compare(place, "out", "--resume")
    text, complained = again.communicate()
    assert again.returncode == 0 and f"{6 - len(done)} of 6 jobs to run" in text, complained
    assert {path: os.stat(path).st_mtime_ns for path in done} == done
    assert tables(place / "out") == straight


def test_what_cannot_be_run_is_a_row(place: Path) -> None:
    """Who dies each time has three tries, who never ends is stopped by the clock, and the others are played."""
    roamer = f"{place / 'roamer.py'}:RoamerConfig"
    texts = [f"{roamer}:mischief={mischief}" for mischief in ("die", "raise", "none")]
    suite = suites.suite("mfnet-smoke-v1")

    def errors(texts: list[str], out: str, hours: float = 24.0) -> list[Any]:
        folder = ComparisonFolder(place / out)
        plan = make_plan(suite, texts, ["twobytwo"], seeds=1, budget=2048)
        folder.begin(plan)
        with closing(RayTasks(folder, plan, 2)) as workers:
            if hours < 1:
                runner.execute(folder, make_plan(suite, ["heuristics"], ["twobytwo"], seeds=1), workers=workers)
            runner.execute(folder, plan, workers=workers, hours=hours)
        standings = Standings(folder)
        exports.write_all(standings, folder.path)
        return [standings.boards[0].entries[text].errors for text in texts]

    [died], [raised], fine = errors(texts, "mischief")
    assert died == "its worker or machine was lost (WorkerCrashedError), 3 times"
    assert raised == "ValueError: the learner has had enough" and fine == ()
    lines = (place / "iterations.log").read_text().split("\n")
    assert lines.count("0 6") == 3 + 1 + 1
    logs = {path.parents[1].name: path.read_text() for path in (place / "mischief").rglob("log.txt")}
    assert sum("ValueError: the learner has had enough" in text for text in logs.values()) == 1
    [[hung]] = errors([f"{roamer}:mischief=hang"], "endless", hours=30 / 3600)
    assert hung == "it had not ended after 0.00833 hours (--hours) and was stopped"


@pytest.mark.parametrize(
    "address, said", [("127.0.0.1:1", "there is no Ray cluster at 127.0.0.1:1: "), ("auto", "is HOST:PORT, as `ray st")]
)
def test_a_cluster_that_is_not_there(address: str, said: str, place: Path) -> None:
    """One sentence at once, and nothing is begun."""
    ran = compare(place, "out", *ASKED, *RAY, "--address", address)
    _, complained = ran.communicate(timeout=120)
    assert ran.returncode == 2 and said in complained and complained.count("\n") == 1
    assert not (place / "out" / "plan.json").exists()
