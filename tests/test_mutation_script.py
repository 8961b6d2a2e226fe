"""The script that breaks the code on purpose, tried on a checkout with one module of one function."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "mutation_check.py"
AREA = "def area(width, height):\n    return width * height\n"
TESTS = """
import plot

def test_of_a_square():
    assert plot.area(2, 2) == 4

def test_of_a_strip():
    assert plot.area(2, 5) == 10
"""
SQUARE = "tests/test_plot.py::test_of_a_square"
Mutant = tuple[str, str, str, str]  # name, find, put, tests
HALF: Mutant = ("half the area", "width * height", "width * height / 2", "tests/test_plot.py")
NO_HEIGHT: Mutant = ("no height", "width * height", "width * 2", SQUARE)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The package ``plot`` and its tests, under version control; beside them an empty folder for temporary files."""
    root = tmp_path / "checkout"
    for name, text in {"plot/__init__.py": AREA, "tests/test_plot.py": TESTS}.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], check=True, cwd=root)
    (tmp_path / "tmp").mkdir()
    return root


def run(checkout: Path, *mutants: Mutant, options: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit status and output of the script; whatever it finds, it leaves no file and does not touch the checkout."""
    table, temporary = checkout.parent / "mutants.toml", checkout.parent / "tmp"
    fields = "[[mutant]]\nname = '{}'\nfile = 'plot/__init__.py'\nfind = '{}'\nput = '{}'\ntests = ['{}']\n"
    table.write_text("".join(fields.format(*mutant) for mutant in mutants))
    before = {file: file.read_bytes() for file in checkout.rglob("*") if file.is_file()}
    command = [sys.executable, str(SCRIPT), "--root", str(checkout), "--table", str(table), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(temporary)})
    assert not list(temporary.iterdir())
    assert {file: file.read_bytes() for file in checkout.rglob("*") if file.is_file()} == before
    return done.returncode, done.stdout + done.stderr


def test_one_by_name(checkout: Path) -> None:
    status, output = run(checkout, HALF, NO_HEIGHT, options=("--only", "half the area"))
    assert f"caught   half the area (__init__.py): {SQUARE}\n" in output
    assert "1 of 1 mutants caught" in output
    assert status == 0


def test_a_name_that_is_not_there(checkout: Path) -> None:
    status, output = run(checkout, HALF, NO_HEIGHT, options=("--only", "half an area"))
    assert "there is no mutant 'half an area'; did you mean 'half the area'?" in output
    assert status == 2


def test_one_survives(checkout: Path) -> None:
    """The height is 2 in the one test that is asked, so nobody misses it."""
    status, output = run(checkout, HALF, NO_HEIGHT)
    assert f"caught   half the area (__init__.py): {SQUARE}\n" in output
    assert f"SURVIVED no height (__init__.py): {SQUARE}\n" in output
    assert "1 of 2 mutants caught" in output
    assert status == 1


@pytest.mark.parametrize(
    ("mutant", "sentence"),
    [
        (("m", "width + height", "width", SQUARE), "m: 0 times in plot/__init__.py: 'width + height'"),
        (("m", "width", "height", SQUARE), "m: 2 times in plot/__init__.py: 'width'"),
        (("m", "width * height", "width * height", SQUARE), "m: changes nothing"),
        (("m", "width * height", "width *", SQUARE), "is not imported from the copy"),
        (("m", "width * height", "width", "tests/test_plot.py::test_gone"), "the tests must pass on the code as it is"),
    ],
)
def test_what_proves_nothing_is_an_error(checkout: Path, mutant: Mutant, sentence: str) -> None:
    status, output = run(checkout, mutant)
    assert sentence in output
    assert status == 2


def test_a_mutant_that_breaks_the_tests_themselves_is_not_caught(checkout: Path) -> None:
    """The file of tests cannot be collected without the function: no test has noticed anything."""
    (checkout / "tests" / "test_plot.py").write_text(TESTS.replace("import plot", "from plot import area\nimport plot"))
    status, output = run(checkout, ("m", "def area", "def volume", "tests/test_plot.py"))
    assert "ERROR    m (__init__.py): no test failed, but pytest's exit status is 2" in output
    assert status == 2


def test_tests_that_fail_anyway_prove_nothing(checkout: Path) -> None:
    (checkout / "plot" / "__init__.py").write_text(AREA.replace("*", "+"))
    status, output = run(checkout, ("m", "width + height", "width", "tests/test_plot.py"))
    assert "the tests must pass on the code as it is (pytest's exit status 1)" in output
    assert status == 2
