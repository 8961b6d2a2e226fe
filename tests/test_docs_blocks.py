"""Every code block of README.md, CONTRIBUTING.md and docs/ runs, budgets cut where its comment says so."""

import ast
import contextlib
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
        "```python\n1\n```\n\n<!-- output: other numbers -->\n```python\n1\n```\n",  # above no output
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
     "```bash\nmfnet env show MFNet-Nowhere-v0\n```\n", "```python\nprint(1)\n```\n\n```text\n2\n```\n"],
)  # fmt: skip
def test_a_block_that_fails_or_has_no_rule_fails(page: Path, text: str, tmp_path: Path) -> None:
    page.write_text(text)
    block = blocks.blocks("page.md")[0]
    with pytest.raises(AssertionError, match=r"page\.md:1"):
        blocks.run(block, tmp_path)


@pytest.mark.parametrize(
    ("loose", "shown", "agrees"),
    [
        ("", "a   1.5 ± 0.1\nb 2", True),  # columns may be wider
        ("", "a 1.5 ± 0.1\nb 3", False),
        ("", "a 1.5 ± 0.1", False),  # b is printed too
        ("", "...\nb 2", True),
        ("", "b 2\n...\na 1.5 ± 0.1", False),
        ("<!-- output: other numbers -->\n", "b 7,001.5\na -3 ± 1", True),
        ("<!-- output: other numbers -->\n", "c 2", False),
        ("<!-- output: other numbers -->\n", "b 2 2", False),
    ],
)
def test_a_text_block_is_what_the_block_above_prints(
    page: Path, loose: str, shown: str, agrees: bool, tmp_path: Path
) -> None:
    page.write_text(f"```python\nprint('a 1.5 ± 0.1')\nprint('b 2')\n```\n\n{loose}```text\n{shown}\n```\n")
    (block,) = blocks.blocks("page.md")
    with contextlib.nullcontext() if agrees else pytest.raises(AssertionError, match="the page shows"):
        blocks.run(block, tmp_path)


def test_commands_that_are_not_run_must_exist(tmp_path: Path) -> None:
    block = blocks.Block("README.md", 1, "bash", "", ())
    for good in (["make", "demo"], ["pip", "install", ".[agents]"], ["bash", ".ci/run"]):
        blocks.known(block, good)
    for bad in (["make", "coffee"], ["pip", "install", ".[coffee]"], ["bash", ".ci/coffee"], ["coffee"]):
        with pytest.raises(AssertionError, match=r"README\.md:1"):
            blocks.known(block, bad)
