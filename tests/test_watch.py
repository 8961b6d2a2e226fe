"""`mfnet watch` and `mfnet train --live`: the page of a run that goes on says what its files say, here only."""

import csv
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mfnet_agents import cli
from mfnet_agents.pages import live
from mfnet_agents.runs import RunFolder
from mfnet_agents.runs.lock import LOCK

TRAIN = [
    "train", "MFNet-TwoByTwo-v0", "--population", "12", "--worlds", "4", "--no-tensorboard",
    "--set", "evaluation_interval=1", "evaluation_duration=4", "num_envs_per_env_runner=4",
]  # fmt: skip
COMMAND = [sys.executable, "-m", "mfnet_agents.cli"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("watched") / "run"
    assert cli.main([*TRAIN, "--steps", "512", "--out", str(path)]) == 0
    return path


@pytest.fixture
def server(finished: Path) -> Iterator[live.Server]:
    with live.serving(finished) as found:
        yield found


def ask(
    server: live.Server | int, address: str, method: str = "GET", host: str | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    port = server if isinstance(server, int) else server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, address, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def evaluations(path: Path) -> list[list[float]]:
    """Steps, fares per day and half their interval, from progress.csv."""
    names = ["num_env_steps_sampled_lifetime", *(f"evaluation/reward_per_step_{key}" for key in ("mean", "ci95"))]
    scale = json.loads((path / "config.json").read_text())["yardstick"]["scale"]
    with (path / "progress.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[names[1]]]
    return [[float(row[names[0]]), *(scale * float(row[name]) for name in names[1:])] for row in rows]


def test_a_finished_run_is_shown_with_its_numbers(server: live.Server, finished: Path) -> None:
    answer, page = ask(server, "/")
    assert answer.status == 200 and b"run.json" in page
    ElementTree.fromstring(page.decode().removeprefix("<!DOCTYPE html>"))
    answer, body = ask(server, "/run.json")
    found = json.loads(body)
    assert found["ended"] and found["state"].startswith("finished: ") and found["rows"] == evaluations(finished)
    result = json.loads((finished / "result.json").read_text())
    assert f"{result['best']['value']:.3f} ± {result['best']['ci95']:.3f}" in found["page"]
    assert "Policies side by side" in found["page"] and "data-says" in found["page"]
    answer, body = ask(server, f"/run.json?seen={found['revision']}")
    assert (answer.status, body) == (204, b""), "nothing is sent twice"


def test_only_reading_is_allowed(server: live.Server, finished: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in finished.rglob("*")}
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer, _ = ask(server, "/run.json", method)
        assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")
    assert ask(server, "/", "BREW")[0].status == 501
    answer, body = ask(server, "/", "HEAD")
    assert (answer.status, body) == (200, b"") and int(answer.getheader("Content-Length", "0")) > 1000
    assert {file: file.stat().st_mtime_ns for file in finished.rglob("*")} == before


@pytest.mark.parametrize(
    "address",
    [
        "/config.json",
        "/../run/config.json",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/x",
        "//etc/passwd",
        "/run.json/",
        "/report.html",
    ],
)
def test_no_address_is_a_path(server: live.Server, address: str) -> None:
    assert ask(server, address)[0].status == 404


def test_what_is_no_address_is_answered(server: live.Server) -> None:
    assert ask(server, "http://[")[0].status == 400


def test_a_written_report_is_served(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "report.html").write_text("<!DOCTYPE html>mine")
    with live.serving(tmp_path / "run") as server:
        assert ask(server, "/report.html")[1] == b"<!DOCTYPE html>mine"
        assert 'href="report.html"' in json.loads(ask(server, "/run.json")[1])["page"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1"])
def test_other_names_of_this_machine_are_refused(server: live.Server, host: str) -> None:
    """A page elsewhere whose name was bound to 127.0.0.1 sends its own name."""
    port = server.server_address[1]
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/run.json", host=host.format(port=port))[0].status == 403
    answer, _ = ask(server, "/run.json", host=f"localhost:{port}")
    assert answer.status == 200 and answer.getheader("Access-Control-Allow-Origin") is None


def test_a_run_is_shown_while_another_process_trains_it(tmp_path: Path) -> None:
    """The page fills, its numbers are those of the run, and the watcher ends with it."""
    path = tmp_path / "run"
    with subprocess.Popen([*COMMAND, *TRAIN, "--steps", "40000", "--out", str(path)]) as training:
        try:
            wait_for(lambda: len(RunFolder(path).rows()) > 2, training)
            watching = subprocess.Popen([*COMMAND, "watch", str(path), "--json"], stdout=subprocess.PIPE, text=True)
            assert watching.stdout is not None
            port = int(re.findall(r":(\d+)/", json.loads(watching.stdout.readline())["address"])[0])
            first = json.loads(ask(port, "/run.json")[1])
            assert not first["ended"] and first["state"].startswith("training: ") and "Learning curve" in first["page"]
            assert first["rows"] == evaluations(path)[: len(first["rows"])] and first["rows"]
            wait_for(lambda: len(evaluations(path)) > len(first["rows"]), training)
            second = json.loads(ask(port, f"/run.json?seen={first['revision']}")[1])
            assert len(second["rows"]) > len(first["rows"])
            training.send_signal(signal.SIGINT)
            assert training.wait(120) == 130
            last = json.loads(ask(port, "/run.json")[1])
            assert last["ended"] and last["state"].startswith("stopped: ") and last["rows"] == evaluations(path)
            assert watching.wait(60) == 0
        finally:
            training.kill()


def wait_for(found: Any, process: subprocess.Popen[Any]) -> None:
    while not found():
        assert process.poll() is None, "it ended before"
        time.sleep(0.02)


def test_train_shows_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*TRAIN, "--steps", "256", "--out", str(tmp_path / "run"), "--live"]) == 0
    said = capsys.readouterr().out
    port = int(re.findall(r"shown at http://127\.0\.0\.1:(\d+)/ while it trains", said)[0])
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


def test_ctrl_c_ends_it(finished: Path) -> None:
    with subprocess.Popen([*COMMAND, "watch", str(finished)], stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None and str(finished) in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130


def test_what_cannot_be_watched(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert cli.main(list(arguments)) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    assert "there is no run in" in refused("watch", str(tmp_path))
    assert "port 70000 cannot be used" in refused("watch", str(finished), "--port", "70000")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} cannot be used (Address already in use)" in refused("watch", str(finished), "--port", port)
        out = tmp_path / "new"
        assert "name another one" in refused(*TRAIN, "--steps", "256", "--out", str(out), "--live", port)
        assert not out.exists(), "nothing was begun"
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{")
    assert "is damaged" in refused("watch", str(tmp_path / "run"))


def test_what_is_damaged_meanwhile_is_said_on_the_page(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    watched = live.Watched(path)
    assert watched.look()["state"].startswith("finished")
    (path / "progress.csv").write_text("a,b\n<script>,2\n")
    found = watched.look()
    assert found["state"].startswith("the run cannot be read: ") and found["page"] == ""


def test_markup_in_its_files_stays_text(finished: Path, tmp_path: Path) -> None:
    path, script = tmp_path / "run", "<script>alert(1)</script>"
    shutil.copytree(finished, path)
    (path / "result.json").unlink()  # as while it trains
    config = json.loads((path / "config.json").read_text())
    config["config"]["env"] = config["yardstick"]["unit"] = script
    config["notes"] = [script]
    (path / "config.json").write_text(json.dumps(config))
    page = live.Watched(path).look()["page"]
    assert page.count("&lt;script&gt;") >= 3 and "<script" not in page


def test_a_killed_run_has_ended(tmp_path: Path) -> None:
    """The lock's file of a process that is no more says nothing; that of one that lives does."""
    assert not live.is_training(tmp_path)
    folder = RunFolder(tmp_path).own()
    assert live.is_training(tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    held = (tmp_path / LOCK).read_text()
    folder.release()
    (tmp_path / LOCK).write_text(held.replace(f"process {os.getpid()} ", f"process {gone.pid} "))
    assert not live.is_training(tmp_path)
