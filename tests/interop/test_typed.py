"""A typed project of a user (tests/typed) under two type checkers, each as strict as it gets, against the doors' types.

Here and not among the default tests, as it takes half a minute and a checker of 300 MB.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "tests" / "typed"
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--config-file="],
    "pyright": ["-m", "basedpyright", "-p", "pyrightconfig.json", "--pythonpath", sys.executable],
}


def checked(checker: str, folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *CHECKERS[checker], *files]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_typed_project_is_without_a_fault(checker: str, tmp_path: Path) -> None:
    for file in PROJECT.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    files = ["scenario.py", "learner.py"] if checker == "mypy" else []
    found = checked(checker, tmp_path, *files)
    assert found.returncode == 0, found.stdout
    wrong = (tmp_path / "scenario.py").read_text("utf-8").replace("worlds=4, seed=0", 'worlds="4", seed=0')
    (tmp_path / "scenario.py").write_text(wrong, "utf-8")
    found = checked(checker, tmp_path, *files)
    assert found.returncode == 1 and "worlds" in found.stdout, "the doors' types are not seen"


def test_the_typed_project_runs(tmp_path: Path) -> None:
    code = "import pathlib, scenario, learner; here = pathlib.Path('.'); print(scenario.main(here)); learner.main(here)"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(PROJECT), str(ROOT)])}
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
