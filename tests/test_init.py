"""`mfnet init`: what it writes runs and keeps its own tests, is what the examples show, and is never half there."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfnet_agents import cli
from mfnet_agents.cli import init

ROOT = Path(__file__).parents[1]
MODULES = {"scenario": ("city", "own_city"), "learner": ("learner", "own_learner")}


def ask(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(arguments)
    streams = capsys.readouterr()
    return code, streams.out, streams.err


@pytest.mark.parametrize("kind", init.KINDS)
def test_what_is_written_passes_its_own_tests(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a process of its own, as its reader does; a folder with a blank is hinted at in quotes."""
    place = tmp_path / "my place"
    code, said, _ = ask(["init", kind, str(place)], capsys)
    assert code == 0 and f"cd '{place}' && python -m pytest -q" in said
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert sorted(os.listdir(tmp_path)) == ["my place"], "a draft is left"


def test_the_hint_can_be_typed_where_pytest_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init, "find_spec", lambda name: None)
    _, said, _ = ask(["init", "learner", str(tmp_path / "mine")], capsys)
    assert "begin with: pip install pytest && cd " in said


def test_every_option_of_the_scenario_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    init.write("scenario", tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    _, said, _ = ask(["env", "show", "city.py:Vendors", "--json"], capsys)
    page = json.loads(said)
    assert "vendors on six squares" in page["page"]
    assert [(option["name"], option["kind"]) for option in page["option_table"]] == [
        ("population", "int"),
        ("move_cost", "float"),
    ]
    assert all(option["meaning"].endswith(".") for option in page["option_table"])


@pytest.mark.parametrize("kind", init.KINDS)
def test_the_templates_are_the_examples(kind: str) -> None:
    """The examples are run and read elsewhere; every class, function and table of a template stands in its example."""
    module, example = MODULES[kind]
    template = (init.TEMPLATES / kind / f"{module}.py.txt").read_text("utf-8")
    shown = {ast.dump(each) for each in ast.parse((ROOT / "examples" / f"{example}.py").read_text("utf-8")).body}
    own = [each for each in ast.parse(template).body if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.Assign)]
    assert len(own) >= 2
    assert not [ast.unparse(each) for each in own if ast.dump(each) not in shown]


def test_the_words_that_a_template_says_are_commands(tmp_path: Path) -> None:
    """Each indented line of a written README is parsed by the command line."""
    for kind in init.KINDS:
        text = (init.TEMPLATES / kind / "README.md.txt").read_text("utf-8")
        lines = [line.split("#")[0].split()[1:] for line in text.splitlines() if line.startswith("    mfnet")]
        assert lines
        for words in lines:
            assert callable(cli.parser().parse_args(words).run)


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = ask(["init", "scenario", str(tmp_path), "--json"], capsys)
    written = sorted(os.listdir(tmp_path))
    assert code == 0 and written == ["README.md", "city.py", "test_city.py"]
    assert json.loads(said)["files"] == [str(tmp_path / name) for name in written]
    (tmp_path / "city.py").write_text("mine")
    code, _, error = ask(["init", "learner", str(tmp_path)], capsys)
    assert (code, error) == (
        2, f"mfnet: {tmp_path} is not empty, and nothing in it is overwritten; name a new folder\n",
    )  # fmt: skip
    assert sorted(os.listdir(tmp_path)) == written and (tmp_path / "city.py").read_text() == "mine"
    code, _, error = ask(["init", "learner", str(tmp_path / "city.py")], capsys)
    assert code == 2 and error.count("\n") == 1 and "is a file" in error


@pytest.mark.parametrize("there", [False, True])
def test_a_write_that_fails_leaves_nothing(
    there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at the second file."""
    copies = []

    def full(source: Path, target: Path) -> None:
        copies.append(target)
        if len(copies) == 2:
            raise OSError(28, "No space left on device", str(target))
        target.write_text("half")

    monkeypatch.setattr(init.shutil, "copyfile", full)
    place = tmp_path / "place"
    if there:
        place.mkdir()
    code, _, error = ask(["init", "scenario", str(place)], capsys)
    assert code == 2 and "No space left" in error
    assert list(tmp_path.rglob("*")) == ([place] if there else [])
