"""The environments' pages are what the code says today; the numbers on them are kept, not measured here."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_pages", ROOT / "scripts" / "build_pages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = _script()
MEASURED = json.loads((pages.PAGES / "measured.json").read_text("utf-8"))
RENEW = "run scripts/build_pages.py {} and look at what changed"


def test_every_environment_has_a_page() -> None:
    assert sorted(MEASURED) == pages.own_ids(), RENEW.format("for the new ids")
    written = {path.name for path in pages.PAGES.glob("*.md")}
    assert written == {"README.md", *(f"{pages.stem(id)}.md" for id in MEASURED)}


@pytest.mark.parametrize("id", sorted(MEASURED))
def test_a_page_says_what_the_code_says(id: str) -> None:
    text = (pages.PAGES / f"{pages.stem(id)}.md").read_text("utf-8")
    assert text == pages.page(id, MEASURED[id]), RENEW.format("--words")


def test_the_gallery_is_up_to_date() -> None:
    assert (pages.PAGES / "README.md").read_text("utf-8") == pages.gallery(MEASURED), RENEW.format("--words")


@pytest.mark.parametrize("id", sorted(MEASURED))
def test_films_are_there_and_light(id: str) -> None:
    film = pages.PICTURES / f"{pages.stem(id)}.gif"
    assert film.read_bytes()[:6] == b"GIF89a" and film.stat().st_size < 1_500_000


@pytest.mark.parametrize("id", sorted(MEASURED))
def test_no_measured_policy_is_above_its_bound(id: str) -> None:
    """Up to the interval, and up to what a finite window can gain on a long-run average."""
    entry = MEASURED[id]
    assert entry["rows"][0]["policy"] == "random" and len(entry["rows"]) > 1
    if entry["bound"] is not None:
        size = max(abs(row["value"]) for row in entry["rows"])
        assert all(row["value"] <= entry["bound"] + 2.5 * row["ci95"] + 1e-3 * size for row in entry["rows"])


def test_links_lead_somewhere() -> None:
    for path in pages.PAGES.glob("*.md"):
        text = path.read_text("utf-8")
        for link in re.findall(r'\]\(([^)#\s]+)\)|src="([^"]+)"|href="([^"]+)"', text):
            target = next(filter(None, link))
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_reststructuredtext_becomes_markdown() -> None:
    rows = "===== ======\nname  a | b\n      goes on\nother c\n===== ======"
    text = f"See :func:`~a.b.build` and :mod:`c.d`: ``x | y``.\n\n{rows}\n\n>>> 1 + 1\n2"
    assert pages.as_markdown(text) == (
        "See `build` and `c.d`: `x | y`.\n\n"
        "| part | meaning |\n| --- | --- |\n| name | a \\| b goes on |\n| other | c |\n\n"
        "```pycon\n>>> 1 + 1\n2\n```"
    )
