"""Workflows, forms and cards are YAML of the shape that their readers ask for; Ray brings the library that reads it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.mark.parametrize("name", ["ci", "release"])
def test_a_workflow_has_triggers_and_jobs_whose_steps_each_do_one_thing(name: str) -> None:
    found = read(ROOT / ".github" / "workflows" / f"{name}.yml")
    assert found[True] and found["permissions"] == {"contents": "read"}  # `on` is a truth to YAML 1.1
    for job in found["jobs"].values():
        assert job["runs-on"] and {job["needs"]} <= set(found["jobs"]) if "needs" in job else job["runs-on"]
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
        assert all("@" in step["uses"] for step in job["steps"] if "uses" in step)


@pytest.mark.parametrize("form", [form for form in FORMS if form.stem != "config"], ids=lambda path: path.stem)
def test_a_form_asks_something_under_names_of_its_own(form: Path) -> None:
    found = read(form)
    assert found["name"] and found["description"]
    fields = [field for field in found["body"] if field["type"] != "markdown"]
    assert fields and all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)


def test_the_others_can_be_read() -> None:
    assert isinstance(read(ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml")["blank_issues_enabled"], bool)
    hooks = [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {"ruff", "mypy"} <= {hook["id"] for hook in hooks}
    assert read(ROOT / "CITATION.cff")["cff-version"]
