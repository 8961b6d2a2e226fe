"""Every library trains on mfnet's environments: ``make test-interop``, in an environment that has them all.

A test that trains carries ``@pytest.mark.cell(library, view, action form, algorithm)``. What passed is written to
runs/interop.json, with the versions that ran; scripts/build_interop.py makes the table of docs/interop.md of it.
"""

import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
RECORD = Path(__file__).parents[2] / "runs" / "interop.json"
CORE = ("gymnasium", "pettingzoo", "numpy", "torch")
BOTH = ("MFNet-Grid-v0", "MFNet-RideShareNYC-v0")  # a cell of the table is one that trained on these
outcomes: dict[str, dict[str, str]] = {}  # cell, as JSON -> outcome of each of its tests
skipped: list[str] = []
files: set[str] = set()  # whose tests were run


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """The cell travels with the report, which may come from another process."""
    outcome = yield
    cell = item.get_closest_marker("cell")
    if cell is not None:
        outcome.get_result().user_properties.append(("cell", list(cell.args)))  # type: ignore[attr-defined]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    files.add(Path(report.nodeid.partition("::")[0]).name)
    if report.skipped:
        skipped.append(report.nodeid)
    if report.when == "call" or not report.passed:
        for name, cell in report.user_properties:
            if name == "cell":
                outcomes.setdefault(json.dumps(cell), {})[report.nodeid] = report.outcome


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    faults = [f"{test} was skipped: a library that is skipped does not work here" for test in skipped]
    for cell, seen in outcomes.items():
        missing = [id for id in BOTH if not any(id in test for test in seen)]
        faults += [f"the cell {cell} has no test on {id}" for id in missing if not _is_a_part(session)]
    if faults and exitstatus == 0:
        print("\n" + "\n".join(faults))
        session.exitstatus = 1
    passed = sorted(json.loads(cell) for cell, seen in outcomes.items() if set(seen.values()) == {"passed"})
    libraries = {library for library, *_ in passed}
    record = {
        "core": {name: version(name) for name in CORE},
        "versions": {name: version(name) for name in sorted(libraries)},
        "cells": passed,
        "complete": session.exitstatus == 0 and not _is_a_part(session),
    }
    RECORD.parent.mkdir(exist_ok=True)
    draft = RECORD.with_suffix(".draft")
    draft.write_text(json.dumps(record, indent=1) + "\n")
    draft.replace(RECORD)


def _is_a_part(session: pytest.Session) -> bool:
    """Whether only some of the tests were asked for: then the record says nothing about the rest."""
    every = {file.name for file in Path(__file__).parent.glob("test_*.py")}
    return not every <= files or bool(session.config.option.keyword)
