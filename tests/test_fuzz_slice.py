"""A slice of `make fuzz`: the first cases of every door; and the harness itself must see a fault where one is."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the harness is no part of what is installed

from fuzz import cities, formats, kills, processes, stored, truth  # noqa: E402
from fuzz.files import Tables  # noqa: E402
from fuzz.judging import Fault, Hang, Refused, attempt  # noqa: E402
from fuzz.mutations import spoil_tables  # noqa: E402
from fuzz.running import Harness, one  # noqa: E402
from fuzz.targets import TARGETS, prepare  # noqa: E402

CASES = {
    "tables": 60, "bytes": 40, "npz": 15, "flows": 15, "parquet": 6, "names": 10, "keywords": 25, "actions": 30,
    "cities": 60, "city-bytes": 30, "rideshare": 8, "options": 25, "instances": 30, "trains": 2, "requests": 6,
    "submissions": 60, "verbs": 4, "equilibria": 25, "boards": 2,
    "seeds": 20, "measures": 20, "networks": 6, "config": 10, "checkpoints": 25, "folders": 2, "cli": 4,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    prepare()


@pytest.mark.xdist_group("fuzz")
@pytest.mark.parametrize("target", CASES)
def test_no_fault_in_the_first_cases(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MFNET_TNTP", raising=False)  # the same cases everywhere
    for number in range(CASES[target]):
        found = one(TARGETS[target], 0, number, tmp_path / str(number))
        assert found.kind in ("passed", "refused"), (
            f"python -m fuzz --case {target}:{number}\n{found.cause}\n{found.what}"
        )


@pytest.mark.xdist_group("fuzz")
def test_fifteen_kills_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    killed, number = 0, 0
    while killed < 15:
        found = one(TARGETS["kill-run"], 0, number, tmp_path / str(number))
        assert found.kind == "passed", f"python -m fuzz --case kill-run:{number}\n{found.cause}\n{found.what}"
        killed, number = killed + found.more["kills"], number + 1


# -- the harness sees what it is there to see


class Toy:
    """A door that does ``what``."""

    name, share = "toy", 1.0

    def __init__(self, what: Callable[[], Any]) -> None:
        self.what = what

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        attempt(self.what)


def _raw() -> None:
    int("no number")


def _vast() -> None:
    np.ones(200 << 17).sum()


def test_a_raw_exception_is_a_traceback(tmp_path: Path) -> None:
    found = one(Toy(_raw), 0, 0, tmp_path / "case")
    assert (found.kind, found.cause) == ("traceback", "ValueError at ?")


def test_a_sentence_of_ours_is_a_refusal(tmp_path: Path) -> None:
    from mfnet_envs.words import positive

    assert one(Toy(lambda: positive(x=0)), 0, 0, tmp_path / "a").kind == "refused"
    assert one(Toy(lambda: positive(x="two\nlines" * 100)), 0, 0, tmp_path / "b").kind in ("refused", "traceback")


def test_more_memory_than_there_is_is_a_fault_and_less_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(Toy(_vast), 0, 0, tmp_path / "there").kind == "passed"
    monkeypatch.setattr("fuzz.running.MEMORY", 128 << 20)
    found = one(Toy(_vast), 0, 0, tmp_path / "not there")
    assert found.kind == "traceback" and "MemoryError" in found.cause


def test_waiting_for_ever_is_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.running.IDLE_SECONDS", 1.0)
    assert one(Toy(lambda: time.sleep(60)), 0, 0, tmp_path / "case").kind == "hang"


def test_waiting_for_a_processor_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alarm comes every 2 s, so the case is longer."""
    monkeypatch.setattr("fuzz.running.IDLE_SECONDS", 1.0)
    monkeypatch.setattr("fuzz.running._queued", time.monotonic)
    assert one(Toy(lambda: time.sleep(2.2)), 0, 0, tmp_path / "case").kind == "passed"


def test_no_except_exception_swallows_the_alarm() -> None:
    assert not issubclass(Hang, Exception)


@pytest.mark.parametrize("part, kind", [("page", "silent"), ("state", "passed")])
def test_markup_is_a_fault_where_a_browser_would_read_it(
    part: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``page`` is put in as HTML, ``state`` as text (live.js)."""
    from mfnet_agents.pages.live import Watched

    look = Watched.look
    monkeypatch.setattr(Watched, "look", lambda self: {**look(self), part: stored.MARK})
    assert one(TARGETS["requests"], 0, 0, tmp_path / "case").kind == kind


@pytest.mark.parametrize("form", formats.FORMATS, ids=lambda form: form.name)
def test_a_number_that_is_read_as_another_is_silent(
    form: formats.Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that doubles one capacity is caught in every format."""

    from mfnet_envs import io

    load = io.load

    def wrong(path: Any) -> Any:
        network = load(path)
        capacity = network.capacity.copy()
        capacity[0] *= 1.001
        return dataclasses.replace(network, capacity=capacity)

    monkeypatch.setattr("mfnet_envs.io.load", wrong)
    monkeypatch.setattr("fuzz.files.FORMATS", (form,))
    kinds = {one(Tables(), 3, number, tmp_path / str(number)).kind for number in range(25)}
    assert "silent" in kinds


@pytest.mark.parametrize("field", ["demand", "travel_time", "fare", "empty_time"])
def test_a_number_of_a_city_that_differs_from_the_file_is_seen(
    field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfnet_envs.io import load_city

    def wrong(path: Path) -> Any:
        city = load_city(path)
        return dataclasses.replace(city, **{field: getattr(city, field) * 1.001})

    monkeypatch.setattr("mfnet_envs.io.load_city", wrong)
    kinds = {one(cities.CityTables(), 3, number, tmp_path / str(number)).kind for number in range(12)}
    assert "silent" in kinds


def test_tables_of_the_harness_are_valid_and_spoiling_them_changes_them() -> None:
    rng = np.random.default_rng(0)
    for form in (*formats.FORMATS, *formats.CITIES):
        tables = form.sample(rng)
        read = form.read(tables)
        assert read.rides if isinstance(read, truth.City) else read.links
        assert sum(spoil_tables(rng, tables)[0] != tables for _ in range(50)) > 35


def test_a_command_that_waits_hangs_and_one_that_works_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "WALL_SECONDS", 0.2)
    monkeypatch.setattr(processes, "IDLE_SECONDS", 0.4)

    def work() -> int:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            pass
        return 0

    def wait() -> int:
        time.sleep(60)
        return 0

    for name in ("works", "waits"):
        (tmp_path / name).mkdir()
    answer = processes.run(work, processes.Surroundings(tmp_path / "works"))
    assert answer is not None and answer.code == 0
    with pytest.raises(Fault) as found:
        processes.run(wait, processes.Surroundings(tmp_path / "waits"))
    assert found.value.kind == "hang"


def test_an_equilibrium_of_another_network_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Solved for capacities that are 1 % larger."""
    from mfnet_envs.engines import networks

    law = networks._law
    monkeypatch.setattr(
        networks, "_law", lambda network: law(dataclasses.replace(network, capacity=1.01 * network.capacity))
    )
    kinds = {one(TARGETS["equilibria"], 0, number, tmp_path / str(number)).kind for number in range(10)}
    assert "silent" in kinds


def test_death_comes_at_the_operation_it_was_meant_for(tmp_path: Path) -> None:
    """The third file of five is never made; without a death all five are."""
    place = tmp_path / "case"
    place.mkdir()

    def write() -> int:
        for k in range(5):
            Path(f"file{k}").touch()
        return 0

    assert processes.run(write, processes.Surroundings(place), processes.Death(at=3, itself=True)) is None
    assert sorted(p.name for p in place.iterdir()) == ["file0", "file1"]
    answer = processes.run(write, processes.Surroundings(place))
    assert answer is not None and answer.code == 0 and len(list(place.iterdir())) == 5


def test_a_command_is_refused_in_one_sentence() -> None:
    """With --json a run tells on the error stream how it goes, and only there."""
    for command, err, kind in (
        ("mfnet train", "mfnet: no such\n", Refused),
        ("mfnet train --json", "began\n\nwent on\nmfnet: no such\n", Refused),
        ("mfnet train", "began\nmfnet: no such\n", Fault),
        ("mfnet train --json", "mfnet: no such\nwent on\n", Fault),
        ("mfnet train --json", "mfnet: no such\nmfnet: nor this\n", Fault),
        ("mfnet train --json", f"mfnet: {'x' * 500}\n", Fault),
    ):
        with pytest.raises(kind):
            stored.judge(processes.Answer(2, "", err), command)


def test_what_is_left_behind_is_seen() -> None:
    wanted = {"files": ["config.json"], "rows": [1]}
    with pytest.raises(Fault, match="left behind") as left:
        kills.compare({"files": ["config.json", ".config.json.draft"], "rows": [1]}, wanted)
    assert left.value.kind == "left"
    with pytest.raises(Fault, match="rows differs") as lost:
        kills.compare({"files": ["config.json"], "rows": [2]}, wanted)
    assert lost.value.kind == "lost"


def test_the_runner_counts_and_comes_back_after_a_death(tmp_path: Path) -> None:
    class Dying(Toy):
        def run(self, rng: np.random.Generator, folder: Path) -> None:
            if rng.random() < 0.5:
                raise Refused("no")
            import os

            os._exit(9)

    harness = Harness([Dying(_raw)], 0, 1, tmp_path / "kept")
    harness.run(60, cases=6, say=lambda line: None)
    tally = harness.tallies["toy"]
    assert tally.counts["refused"] > 0 and tally.faults > 0 and tally.counts["refused"] + tally.faults >= 6
    assert any((tmp_path / "kept").iterdir())


def test_cases_that_once_failed_are_refused(tmp_path: Path) -> None:
    """A policy file that says in two lines, or in 9,000 letters, what it is of; rows=nan beside a graph."""
    for target, number in (("submissions", 27), ("submissions", 1903), ("instances", 567)):
        found = one(TARGETS[target], 99, number, tmp_path / f"{target}-{number}")
        assert found.kind == "refused", f"{found.cause}\n{found.what}"


def test_a_command_has_a_server_of_processes_of_its_own(tmp_path: Path) -> None:
    """Else what multiprocessing asks of the server of whoever forked it is "No child processes"."""
    forkserver.ensure_running()

    def call() -> int:
        forkserver.ensure_running()
        return 0

    place = tmp_path / "case"
    place.mkdir()
    assert processes.run(call, processes.Surroundings(place)) == processes.Answer(0, "", "")
