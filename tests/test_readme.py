"""The first page is short, every link of the pages leads somewhere, and what is said of a release is said once."""

import configparser
import re
from pathlib import Path

import blocks
import pytest

import mfnet_envs

ROOT = Path(__file__).parents[1]


def test_the_readme_is_a_screen_and_a_half() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 140


@pytest.mark.parametrize("page", [*blocks.pages(), "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    """Links into the checkout, as a forge shows it without what `make docs` makes; others are not asked for."""
    text = re.sub(r"^```.*?^```|`[^`]*`", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"", text):
        link = target[0] or target[1]
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        there = ((ROOT / page).parent / path if path else ROOT / page).resolve()
        if not there.exists() or (heading and heading not in headings(there)):
            broken.append(link)
    assert broken == []


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    lines = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


def test_every_page_is_reached_from_the_readme() -> None:
    """In two steps at most, pages of environments and recipes left to theirs."""
    reached = {Path("README.md")}
    for _ in range(2):
        for page in list(reached):
            for link in re.findall(r"\]\(([^)#\s]+\.md)[^)]*\)", (ROOT / page).read_text("utf-8")):
                if "://" not in link:
                    reached.add((ROOT / page.parent / link).resolve().relative_to(ROOT.resolve()))
    named = {path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md")}
    assert named <= reached


def test_a_release_has_one_version_and_one_set_of_requirements() -> None:
    """Citation, recipe and changelog say the package's version; the recipe asks for what setup.cfg asks for."""
    version = re.escape(mfnet_envs.__version__)
    assert re.search(rf"^version: {version}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    recipe = (ROOT / "recipe" / "meta.yaml").read_text()
    assert re.search(rf'set version = "{version}"', recipe)
    assert (
        re.search(r"^## .*\[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == mfnet_envs.__version__
    )  # type: ignore[index]
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"].split()
    run = recipe.partition("  run:\n")[2].partition("  run_constrained:")[0]
    assert [line.replace(" ", "")[1:] for line in run.splitlines() if "python " not in line and line.strip()] == wanted
