"""The folders of jobs that work away from a comparison's own: whoever is killed leaves one, and it does not stay."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mfnet_agents.comparison import workers

HANGS = """
import tempfile, time
tempfile.tempdir = {!r}
from mfnet_agents.comparison.workers import passing_folder
with passing_folder() as place:
    (place / "half").write_text("done")
    print("there", flush=True)
    time.sleep(600)
"""


def made_long_ago(home: Path) -> None:
    for lock in home.glob(f"{workers.PASSING}*/{workers.HELD}"):
        os.utime(lock, (0, 0))


def test_the_folder_of_a_killed_job_is_removed_by_the_next_and_that_of_a_living_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    job = subprocess.Popen([sys.executable, "-c", HANGS.format(str(tmp_path))], stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None and job.stdout.readline() == "there\n"
    (living,) = tmp_path.iterdir()
    made_long_ago(tmp_path)
    with workers.passing_folder() as place:
        assert living.exists() and place.parent != living
    job.kill()
    job.wait()
    with workers.passing_folder():
        assert not living.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_has_just_been_made_and_is_not_yet_locked_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun = tmp_path / f"{workers.PASSING}begun"
    begun.mkdir()
    (begun / workers.HELD).touch()
    with workers.passing_folder():
        assert begun.exists()
    made_long_ago(tmp_path)
    with workers.passing_folder():
        assert not begun.exists()


def test_what_a_job_leaves_is_its_own_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is not among its files, and a job that fails leaves no folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyError), workers.passing_folder() as place:
        assert list(place.rglob("*")) == []
        raise KeyError
    assert list(tmp_path.iterdir()) == []
