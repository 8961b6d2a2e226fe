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
outcomes: dict[str, set[str]] = {}  # cell, as JSON -> outcomes of its tests
skipped: list[str] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """The cell travels with the report, which may come from another process."""
    outcome = yield
    cell = item.get_closest_marker("cell")
    if cell is not None:
        outcome.get_result().user_properties.append(("cell", list(cell.args)))  # type: ignore[attr-defined]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        skipped.append(report.nodeid)
    if report.when == "call" or not report.passed:
        for name, cell in report.user_properties:
            if name == "cell":
                outcomes.setdefault(json.dumps(cell), set()).add(report.outcome)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    if skipped and exitstatus == 0:
        print(f"\na library that is skipped is a library that does not work here: {', '.join(skipped)}")
        session.exitstatus = 1
    passed = sorted(json.loads(cell) for cell, seen in outcomes.items() if seen == {"passed"})
    libraries = {library for library, *_ in passed}
    record = {
        "core": {name: version(name) for name in CORE},
        "versions": {name: version(name) for name in sorted(libraries)},
        "cells": passed,
        "complete": session.exitstatus == 0,
    }
    RECORD.parent.mkdir(exist_ok=True)
    draft = RECORD.with_suffix(".draft")
    draft.write_text(json.dumps(record, indent=1) + "\n")
    draft.replace(RECORD)
