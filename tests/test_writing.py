"""Files that appear whole or not at all."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import mfnet_envs
from mfnet_envs.drawing.files import render_to
from mfnet_envs.writing import written

KILLED = """
import os, signal, sys
from mfnet_envs.writing import written
with written(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_an_error_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "city.npz"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), written(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and names(tmp_path) == ["city.npz"]


def test_who_writes_next_sweeps_up_after_a_killed_writer(tmp_path: Path) -> None:
    path = tmp_path / "my [town].npz"
    path.write_bytes(b"old")
    (tmp_path / ".another.npz.01234567.part").write_bytes(b"of another file")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old" and len(names(tmp_path)) == 3
    with written(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new" and names(tmp_path) == [".another.npz.01234567.part", path.name]


def test_a_writer_that_lives_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "city.npz"
    with written(path) as slow:
        slow.write(b"slow")
        slow.flush()
        with written(path) as quick:
            quick.write(b"quick")
        assert path.read_bytes() == b"quick" and len(names(tmp_path)) == 2
    assert path.read_bytes() == b"slow" and names(tmp_path) == ["city.npz"]


def test_links_are_followed_and_devices_written_to(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a" / "city.npz")
    with written(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "a" / "city.npz").read_bytes() == b"new" and (tmp_path / "link").is_symlink()
    with written(os.devnull) as file:
        file.write(b"new")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with written(tmp_path / "city.npz") as file:
            file.write(b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "city.npz").stat().st_mode) == 0o644


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "city.npz", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(OSError) as caught, written(path):
            pass
        assert caught.value.filename == str(path) and caught.value.strerror
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.txt", "a.html", "a.png"])
def test_a_film_takes_the_place_of_the_old_one(tmp_path: Path, name: str) -> None:
    """What is written over would change under its other name too."""
    path, other = tmp_path / name, tmp_path / f"other-{name}"
    path.write_bytes(b"old")
    other.hardlink_to(path)
    render_to(mfnet_envs.make_model("MFNet-Grid-v0", rows=2, cols=2, population=6, horizon=4), path, steps=1)
    assert other.read_bytes() == b"old" and path.read_bytes() != b"old"
    assert names(tmp_path) == sorted([name, other.name])
