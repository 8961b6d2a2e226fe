"""Every code block of README.md, CONTRIBUTING.md and docs/ runs, budgets cut where its comment says so."""

import ast
from pathlib import Path

import blocks
import pytest

HERE = [block for page in blocks.pages() if page not in blocks.ELSEWHERE for block in blocks.blocks(page)]
BY_HAND = [page for page, command in blocks.ELSEWHERE.items() if command is None]


@pytest.mark.parametrize("block", HERE, ids=str)
def test_block(block: blocks.Block, tmp_path: Path) -> None:
    blocks.run(block, tmp_path)


def test_pages_that_run_elsewhere_are_there() -> None:
    assert set(blocks.ELSEWHERE) <= set(blocks.pages())


@pytest.mark.parametrize("page", BY_HAND)
def test_a_page_that_no_command_runs_says_what_was_run(page: str) -> None:
    """Its Python is at least Python."""
    assert "**What was run**" in (blocks.ROOT / page).read_text("utf-8")
    assert all(ast.parse(block.code) for block in blocks.blocks(page) if block.language == "python")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(blocks, "ROOT", tmp_path)
    blocks.blocks.cache_clear()
    return tmp_path / "page.md"


def test_what_the_parser_reads(page: Path) -> None:
    page.write_text(
        "Text.\n\n<!-- test: 900 -> 3; slow -> fast -->\n```python\nslow(900)\n```\n\n```bash\nmake x\n```\n"
    )
    first, second = blocks.blocks("page.md")
    assert (str(first), first.language, first.code, first.shortened()) == (
        "page.md:3", "python", "slow(900)\n", "fast(3)\n",
    )  # fmt: skip
    assert (str(second), second.cuts) == ("page.md:8", ())


@pytest.mark.parametrize(
    "text",
    [
        "```python\n1\n",  # never closed
        "<!-- test: 1 -> 2 -->\n\n```python\n1\n```\n",  # a blank line between: the comment is no longer the block's
        "<!-- test: not run -->\n```python\n1\n```\n",
    ],
)
def test_what_the_parser_refuses(page: Path, text: str) -> None:
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md"):
        blocks.blocks("page.md")


def test_a_cut_of_nothing_is_refused(page: Path) -> None:
    page.write_text("<!-- test: 901 -> 3 -->\n```python\nprint(900)\n```\n")
    with pytest.raises(ValueError, match="replaces '901', which the block does not say"):
        blocks.blocks("page.md")[0].shortened()


@pytest.mark.parametrize(
    "text",
    ["```python\nimport no_such_module\n```\n", "```bash\nfrobnicate\n```\n", "```text\nx\n```\n",
     "```bash\nmfnet env show MFNet-Nowhere-v0\n```\n"],
)  # fmt: skip
def test_a_block_that_fails_or_has_no_rule_fails(page: Path, text: str, tmp_path: Path) -> None:
    page.write_text(text)
    block = blocks.blocks("page.md")[0]
    with pytest.raises(AssertionError, match=r"page\.md:1"):
        blocks.run(block, tmp_path)


def test_commands_that_are_not_run_must_exist(tmp_path: Path) -> None:
    block = blocks.Block("README.md", 1, "bash", "", ())
    for good in (["make", "demo"], ["pip", "install", ".[agents]"], ["bash", ".ci/run"]):
        blocks.known(block, good)
    for bad in (["make", "coffee"], ["pip", "install", ".[coffee]"], ["bash", ".ci/coffee"], ["coffee"]):
        with pytest.raises(AssertionError, match=r"README\.md:1"):
            blocks.known(block, bad)
