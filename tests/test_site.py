"""The documentation site, as far as it can be held without building it: nothing is undocumented, every page is reached,
tutorials print what they say. `make docs` builds it and fails on a broken link."""

import argparse
import importlib
import re
import sys
from pathlib import Path

import pytest

from mfnet_envs.options import Option, meanings_of, options_of
from mfnet_envs.views import AgentsBatch, AgentsEnv, TeamsBatch, TeamsEnv

ROOT = Path(__file__).parents[1]


sys.path.append(str(ROOT / "scripts"))
reference, tutorials = map(importlib.import_module, ("build_reference", "tutorials"))


# -- nothing is undocumented ------------------------------------------------------------------------------------------


def test_every_public_name_and_option_has_a_meaning() -> None:
    assert reference.omissions() == []


def test_what_has_no_meaning_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each kind is taken away."""
    from mfnet_envs.scenarios import grid_v0

    monkeypatch.setattr(grid_v0.Grid, "__doc__", grid_v0.Grid.__doc__.replace("fare: earned", "tip: earned"))
    monkeypatch.setattr(grid_v0.Grid.__init__, "__doc__", None)
    monkeypatch.setattr(TeamsEnv, "__doc__", "Teams.")
    import mfnet_envs

    monkeypatch.setattr(mfnet_envs.measure, "__doc__", None)
    monkeypatch.setattr(reference, "_advice", lambda: {"AlgorithmConfig": {"coffee": "often"}})
    found = reference.omissions()
    assert "option fare of MFNet-Grid-v0 has no meaning" in found
    assert "option observe of the teams view has no meaning" in found
    assert "mfnet_envs.measure has no docstring" in found
    assert "AlgorithmConfig.seed has no advice in advice.toml" in found
    assert "advice.toml speaks of AlgorithmConfig.coffee, which is no option" in found


def test_an_argument_without_help_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser(prog="mfnet")
    verb = parser.add_subparsers().add_parser("brew", help="make coffee")
    verb.add_argument("--cups", type=int)
    monkeypatch.setattr(reference, "parser", lambda: parser)
    assert [found for found in reference.every_argument() if not found[2]] == [("mfnet brew", "--cups CUPS", "")]


# -- options ----------------------------------------------------------------------------------------------------------


def trip(to: "str | None", days: int = 3, *, by: "Literal['train', 'foot'] | None" = None, **more: object) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Go there.

    Args:
        to, by: where to, and how,
            at length: by day.
        days: how long.

    Raises:
        ValueError: days: none.
    """


def test_options_are_read_from_signature_and_docstring() -> None:
    where = "where to, and how, at length: by day."
    assert options_of(trip) == [
        Option("to", "str | None", None, where),
        Option("days", "int", "3", "how long."),
        Option("by", "'train' | 'foot' | None", "None", where),
    ]


def test_a_class_says_what_the_class_above_it_leaves_out() -> None:
    class Above:
        """A.

        Args:
            first: one.
            second: two.
        """

        def __init__(self, first: int, second: int) -> None: ...

    class Below(Above):
        """B.

        Args:
            second: another two.
        """

    assert meanings_of(Below) == {"first": "one.", "second": "another two."}


@pytest.mark.parametrize("env, batch", [(TeamsEnv, TeamsBatch), (AgentsEnv, AgentsBatch)])
def test_many_worlds_take_what_the_view_takes(env: type, batch: type) -> None:
    """The reference says so instead of repeating the table."""
    table = {row.name: (row.kind, row.default) for row in options_of(env) if row.name not in ("name", "render_mode")}
    assert {row.name: (row.kind, row.default) for row in options_of(batch) if row.name != "num_worlds"} == table


def test_tables_hold_every_option_and_flag() -> None:
    pages = reference.pages()
    for id in reference.build_pages.own_ids():
        assert f"## {id}" in pages["reference/environments.md"]
    for option in ("population", "time_unit", "dearest_first", "illness_cost"):
        assert f"| `{option}` |" in pages["reference/environments.md"]
    assert "| `critic_hops` | `int \\| None` | `None` | hops seen by a critic" in pages["reference/algorithms.md"]
    for verb in ("mfnet train", "mfnet env show", "mfnet what-if"):
        assert f"## {verb}\n" in pages["reference/command-line.md"]
    assert "| `--json` |" in pages["reference/command-line.md"]
    assert all(len({row.count("|") - row.count("\\|") for row in table}) == 1 for table in _tables(pages))


def _tables(pages: dict[str, str]) -> list[list[str]]:
    return [found.splitlines() for text in pages.values() for found in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]


# -- every page is reached --------------------------------------------------------------------------------------------


def test_every_page_is_in_the_navigation() -> None:
    """A page that nobody can reach is no documentation. What the code writes is added when the site is built."""
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    nav = re.sub("#.*", "", (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2])
    named = re.findall(r"[\w./-]+\.md", nav)
    assert len(named) == len(set(named))
    assert set(named) - set(reference.pages()) == there


# -- tutorials --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", tutorials.sessions(), ids=lambda page: page.stem)
def test_a_tutorial_prints_what_it_says(page: Path) -> None:
    """Each is a reader's whole session, trainings included, so it takes longer than other tests: some ten seconds."""
    assert tutorials.play(page) == []


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


def test_a_session_shares_names_and_files(page: Path) -> None:
    page.write_text(
        "# A\n\n<!-- file: mine.py -->\n```python\nX = 2\n```\n\n```python\nfrom mine import X\n\ny = X + 1\n```\n\n"
        "```python\nprint('is', y * 1000 / 7)\nprint('----')\n```\n\n```text\nis 430\n---\n```\n\n"
        "```bash\nmfnet env list  # all\n```\n\n```text\nMFNet-Braess-v0  ...\n...\n```\n"
    )
    faults = tutorials.play(page)
    assert len(faults) == 1 and "MFNet-Braess-v0" in faults[0]  # its first line says more than that


@pytest.mark.parametrize(
    "said, printed, agree",
    [
        ("a 1.00 b", "a  1.02 b", True),
        ("a 1.00 b", "a 1.2 b", False),
        ("a 1.00 b", "c 1.00 b", False),
        ("2,000 ± 3", "2,030 ± 3", True),
        ("| 596.8 ± 0.5 |", "| 596.9 ± 0.2 |", True),  # intervals of two runs are estimates too
        ("| 596.8 ± 0.5 |", "| 596.9 ± 90.5 |", False),
        ("-128.8 %", "-129.1 %", True),
        ("first\n...\nlast", "first\nx\ny\nlast", True),
        ("first\n...\nlast", "first\nx\ny", False),
        ("one", "one\ntwo", False),
    ],
)
def test_how_near_is_near(said: str, printed: str, agree: bool) -> None:
    assert (tutorials.differences(said, printed) == []) == agree


def test_a_page_that_fails_says_where(page: Path) -> None:
    page.write_text("# A\n\n```python\n1 / 0\n```\n")
    assert "ZeroDivisionError" in tutorials.play(page)[0] and "page.md:3" in tutorials.play(page)[0]


@pytest.mark.parametrize("text", ["```python\n1\n", "```ruby\n1\n```\n"])
def test_what_a_tutorial_refuses(page: Path, text: str) -> None:
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md"):
        tutorials.cells(page)
