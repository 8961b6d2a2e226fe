"""Every number that readers are given has its record, and the record is what is printed (scripts/check_numbers.py)."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import mfnet_envs

ROOT = Path(__file__).parents[1]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_numbers", ROOT / "scripts" / "check_numbers.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = _script()
RECORD = check.Record()
EXACT = [command for command in RECORD.commands.values() if command.cost == "exact"]
MEASURED: dict[str, Any] = json.loads((ROOT / "docs" / "environments" / "measured.json").read_text("utf-8"))
SLOW_BOUNDS = {"MFNet-Grid-v0"}  # 7 seconds; `make check-numbers` solves it


# -- the pages --------------------------------------------------------------------------------------------------------


def test_every_number_has_its_record() -> None:
    assert RECORD.faults() == []


@pytest.mark.parametrize("command", EXACT, ids=lambda command: command.name)
def test_exact_numbers_are_printed_again(command: Any) -> None:
    assert check.rerun(RECORD, [command]) == []


@pytest.mark.parametrize("id", sorted(set(MEASURED) - SLOW_BOUNDS))
def test_pages_of_environments_give_their_bounds(id: str) -> None:
    bound = mfnet_envs.make_model(id).bound()
    assert MEASURED[id]["bound"] == pytest.approx(bound.value, rel=1e-6)


def test_pages_of_quick_environments_are_measured_again() -> None:
    ids = ("MFNet-Resource-v0", "MFNet-TwoByTwo-v0")
    printed = check.Command("these", f"scripts/build_pages.py {' '.join(ids)} --print", "exact").printed()
    claims = [claim for claim in RECORD.claims if claim.command == "environments" and claim.sections[0][:-1] in ids]
    assert len(claims) == len(ids)
    assert [fault for claim in claims for fault in check.differences(claim, printed)] == []


def test_every_command_is_there_and_prints_something_claimed() -> None:
    claimed = {claim.command for claim in RECORD.claims}
    for command in RECORD.commands.values():
        script = command.run.split()[0]
        assert command.name in claimed and (script == "mfnet" or (ROOT / script).is_file()), command


def test_where_a_claim_looks_its_groups_fit_its_numbers() -> None:
    """A pattern with too few groups would only be noticed when the slow command has run."""
    for claim in RECORD.claims:
        if not claim.sections:
            said = sum(len(check.numbers(piece)) for piece in claim.text)
            assert said == sum(check.re.compile(pattern).groups for pattern in claim.printed), claim


def test_files_named_as_a_reason_are_there() -> None:
    for constant in RECORD.constants:
        for name in check.re.findall(r"tests/\w+\.py", constant["why"]):
            assert (ROOT / name).is_file(), constant


# -- the script -------------------------------------------------------------------------------------------------------

PAGE = """# A page

The learner earns 8.12, see (14), Theorem 5.1 and version 1.2.3; `dt=0.05`, two agents.

| policy | N = 25 |
| --- | --- |
| stay | 3.54 ± 0.05 |
| learnt | 8.12 ± 0.04 (62 %) |
"""
TOML = """
[commands.learning]
run = "print.py"
cost = "quick"

[[claims]]
page = "README.md"
command = "learning"
text = "earns 8.12"
printed = ['^learnt: (.*)$']

[[claims]]
page = "README.md"
command = "learning"
text = '''
| stay | 3.54 ± 0.05 |
| learnt | 8.12 ± 0.04 (62 %) |
'''
sections = ["N 25"]
tolerance = "interval"
"""
PRINTED = "learnt: 8.12\nN 25\n| stay | 3.51 ± 0.05 |\n| **learnt** | 8.15 ± 0.04 | 61% |\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "numbers.toml").write_text(TOML)
    (tmp_path / "README.md").write_text(PAGE)
    return tmp_path


def compared(root: Path, printed: str) -> list[str]:
    return [fault for claim in check.Record(root).claims for fault in check.differences(claim, printed)]


def test_a_page_as_recorded_and_printed_has_no_fault(root: Path) -> None:
    assert check.Record(root).faults() == [] and compared(root, PRINTED) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("earns 8.12", "earns 8.21", "does not say 'earns 8.12'"),
        ("3.54 ± 0.05", "3.55 ± 0.05", "does not say '| stay"),
        ("two agents", "two agents, 98 %", "98 has no record"),
        ("two agents", "two agents in 3 minutes", "3 has no record"),
        ("two agents", "2,000 agents", "2,000 has no record"),
        ("| learnt |", "| greedy | 5 |\n| learnt |", "5 has no record"),
        ("| learnt |", "| greedy | [.5] |\n| learnt |", ".5 has no record"),
    ],
)
def test_a_new_or_changed_number_is_a_fault(root: Path, old: str, new: str, fault: str) -> None:
    (root / "README.md").write_text(PAGE.replace(old, new, 1))
    assert any(fault in found for found in check.Record(root).faults())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("learnt: 8.12", "learnt: 8.14"),  # exact: two of the last digit
        ("3.51 ± 0.05", "3.20 ± 0.05"),  # .34 apart; three intervals together are .21
        ("0.05 |", "0.5 |"),  # an interval ten times as wide
        ("61%", "51%"),
    ],
)
def test_another_printed_number_is_a_fault(root: Path, old: str, new: str) -> None:
    assert len(compared(root, PRINTED.replace(old, new))) == 1


def test_a_number_that_is_not_printed_is_a_fault(root: Path) -> None:
    for line in PRINTED.splitlines()[:1] + PRINTED.splitlines()[2:]:
        with pytest.raises(LookupError, match="is printed"):
            compared(root, PRINTED.replace(line, ""))


def test_a_row_is_looked_for_in_its_own_table_only(root: Path) -> None:
    elsewhere = PRINTED.replace("| stay", "| go") + "\nN 100\n| stay | 3.54 ± 0.05 |\n"
    with pytest.raises(LookupError, match="no row 'stay' is printed after 'N 25'"):
        compared(root, elsewhere)


@pytest.mark.parametrize(("now", "good"), [("10", True), ("19.9", True), ("5.1", True), ("21", False), ("4", False)])
def test_speeds_may_differ_by_a_factor(now: str, good: bool) -> None:
    claim = check.Claim("README.md", "bench", ("takes 10.0 times",), printed=("ratio (.*)",), tolerance=2.0)
    assert (check.differences(claim, f"ratio {now}") == []) is good


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ('[commands.x]\nrun = "x.py"\ncost = "cheap"\n', "costs 'cheap'"),
        ('[[claims]]\npage = "README.md"\ncommand = "y"\ntext = "8.12"\n', "'y', which is no command"),
        ('[[constants]]\npage = "README.md"\ntext = "8.12"\nwhy = " "\n', "without a reason"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(root: Path, entry: str, fault: str) -> None:
    (root / "docs" / "numbers.toml").write_text(TOML + entry)
    with pytest.raises(ValueError, match=fault):
        check.Record(root)


def test_a_command_that_fails_is_a_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "ROOT", root)
    record = check.Record(root)
    (root / "print.py").write_text(f"print({PRINTED!r})")
    assert check.rerun(record, list(record.commands.values())) == []
    (root / "print.py").write_text("raise SystemExit('out of paper')")
    (fault,) = check.rerun(record, list(record.commands.values()))
    assert "`print.py` cannot be run" in fault and "exit code 1" in fault and "out of paper" in fault


@pytest.mark.parametrize(
    ("number", "value", "unit"), [("2,556.9", 2556.9, 0.1), ("-.497", -0.497, 1e-3), ("2.3e-14", 2.3e-14, 1e-15)]
)
def test_numbers_are_read(number: str, value: float, unit: float) -> None:
    assert check.numbers(f"about {number}.") == [number]
    assert check.value(number) == value and check.unit(number) == pytest.approx(unit)
