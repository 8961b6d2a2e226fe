"""The tutorials of docs/tutorials: pages to be read, programmes that are run, notebooks.

A page is one session. Its blocks run from top to bottom in one process and one empty folder: ``python`` is executed,
``bash`` lines call ``mfnet``, and a block under ``<!-- file: NAME -->`` is written to that file. A ``text`` block says
what the block above it prints, and must.

    python scripts/tutorials.py                play every page, or those named; says where a page and its output differ
    python scripts/tutorials.py --write        put what is printed today into the pages; look at what changed
    python scripts/tutorials.py --notebooks    execute every page as a notebook (needs nbclient and a kernel)
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
NEAR = 0.03  # training follows other bits on another processor; what is printed moves by less than this share


@dataclass(frozen=True)
class Cell:
    """A piece of a page: words, python, bash, a file with its name, or text, what the one above prints."""

    kind: str
    text: str
    line: int
    name: str = ""


def pages() -> list[Path]:
    """The tutorials, without the list of them."""
    return [page for page in sorted(PAGES.glob("*.md")) if page.name != "index.md"]


def sessions() -> list[Path]:
    """All pages that are played: the first page of the site, and the tutorials."""
    return [ROOT / "docs" / "index.md", *pages()]


def cells(page: Path) -> list[Cell]:
    """A page cut into pieces.

    Raises:
        ValueError: a fence without its other end, or a block that nobody can run.
    """
    text = page.read_text("utf-8")
    found, done = [], 0
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        kind = "file" if block["file"] else block["language"]
        if kind not in ("file", "python", "bash", "text"):
            raise ValueError(f"{page.name}:{line}: a tutorial runs python and bash, and says as text what they print")
        found += [Cell("words", text[done : block.start()], line), Cell(kind, block["code"], line, block["file"] or "")]
        done = block.end()
    if 2 * sum(cell.kind != "words" for cell in found) != len(re.findall("^```", text, re.M)):
        raise ValueError(f"{page.name}: a fence without its other end")
    found.append(Cell("words", text[done:], 0))
    return [cell for cell in found if cell.kind != "words" or cell.text.strip()]


# -- playing ----------------------------------------------------------------------------------------------------------


def play(page: Path) -> list[str]:
    """Run a page, and say where it fails or prints something else than it says."""
    said = [cell for cell in cells(page) if cell.kind == "text"]
    try:
        printed = outputs(page)
    except RuntimeError as error:
        return [f"{page.name}: {error}"]
    pairs = zip(said, printed, strict=True)
    return [f"{page.name}:{cell.line}: {fault}" for cell, text in pairs for fault in differences(cell.text, text)]


def outputs(page: Path) -> list[str]:
    """What a page's ``text`` blocks should say: run in a process and a folder of its own.

    Raises:
        RuntimeError: a block fails; with its traceback.
    """
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), "--here", str(page.resolve())]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    if ran.returncode:
        raise RuntimeError(f"{ran.stdout[-1000:]}{ran.stderr[-3000:]}")
    found: list[str] = json.loads(ran.stdout.splitlines()[-1])
    return found


def play_here(page: Path) -> list[str]:
    """:func:`outputs`, in this process and this folder."""
    known: dict[str, Any] = {"__name__": "__main__"}
    sys.path.insert(0, "")
    found, printed = [], ""
    for cell in cells(page):
        if cell.kind == "text":
            found.append(printed)
        elif cell.kind == "file":
            Path(cell.name).parent.mkdir(parents=True, exist_ok=True)
            Path(cell.name).write_text(cell.text, "utf-8")
        elif cell.kind != "words":
            with contextlib.redirect_stdout(io.StringIO()) as said:
                _run(cell, f"{page.name}:{cell.line}", known)
            printed = said.getvalue()
    return found


def write(page: Path) -> None:
    """Put what a page prints today into its ``text`` blocks; one that leaves lines out (``...``) stays."""
    printed = iter(outputs(page))

    def filled(block: re.Match[str]) -> str:
        if block["language"] != "text":
            return block[0]
        text = next(printed)
        return block[0] if "\n...\n" in block["code"] else f"```text\n{text.rstrip()}\n```"

    page.write_text(BLOCK.sub(filled, page.read_text("utf-8")), "utf-8")


def _run(cell: Cell, place: str, known: dict[str, Any]) -> None:
    if cell.kind == "python":
        exec(compile("\n" * cell.line + cell.text, place, "exec"), known)
        return
    from mfnet_agents.cli import main

    for line in cell.text.replace("\\\n", " ").splitlines():
        if (words := shlex.split(line, comments=True)) and (words[0] != "mfnet" or main(words[1:]) != 0):
            raise RuntimeError(f"{place}: {line}")


def differences(said: str, printed: str) -> list[str]:
    """Lines whose words differ, or whose numbers lie farther apart than :data:`NEAR`. A line ``...`` stands for any."""
    shown, real = said.strip().splitlines(), printed.strip().splitlines()
    if "..." in shown:
        cut = shown.index("...")
        rest = len(shown) - cut - 1
        shown, real = shown[:cut] + shown[cut + 1 :], real[:cut] + (real[-rest:] if rest else [])
    if len(shown) != len(real):
        return [f"the page shows {len(shown)} lines, {len(real)} are printed:\n{printed}"]
    return [f"{a!r} is printed as {b!r}" for a, b in zip(shown, real, strict=True) if not _agree(a, b)]


def _agree(said: str, printed: str) -> bool:
    """Spaces, and the rules of tables, as wide as their numbers happen to be."""
    words = [" ".join(re.sub("-{3,}", "---", NUMBER.sub("#", line)).split()) for line in (said, printed)]
    values = [[float(x.replace(",", "")) for x in NUMBER.findall(line)] for line in (said, printed)]
    if words[0] != words[1]:
        return False
    slack = _slack(words[0], values[0])
    return all(abs(a - b) <= max(NEAR * abs(a), 0.02, more) for a, b, more in zip(*values, slack, strict=True))


def _slack(words: str, values: list[float]) -> list[float]:
    """What each number may differ by besides: a half-width, which is itself estimated from a few runs, by :data:`NEAR`
    of the number it belongs to; others by nothing."""
    half_width = [before.rstrip().endswith("±") for before in words.split("#")[: len(values)]]
    return [NEAR * abs(values[k - 1]) if wide and k else 0.0 for k, wide in enumerate(half_width)]


# -- notebooks --------------------------------------------------------------------------------------------------------


def notebook(page: Path) -> str:
    """A page as a notebook without outputs, in JSON."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    made = []
    for cell in cells(page):
        if cell.kind == "words":
            made.append(new_markdown_cell(cell.text.strip()))
        elif cell.kind != "text":
            magic = {"python": "", "bash": "%%bash\n", "file": f"%%writefile {cell.name}\n"}[cell.kind]
            made.append(new_code_cell(magic + cell.text.rstrip()))
    for number, each in enumerate(made):
        each["id"] = f"cell-{number}"  # the same in every build
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    text: str = nbformat.writes(new_notebook(cells=made, metadata=kernel))
    return text


def execute(page: Path) -> None:
    """Run a page's notebook in a kernel and an empty folder; raises CellExecutionError where a cell fails."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.reads(notebook(page), as_version=4)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(book, timeout=600, resources={"metadata": {"path": folder}}).execute()


def with_download(markdown: str, page: str) -> str:
    """A tutorial's text with a link to its notebook below the title."""
    title, _, rest = markdown.partition("\n")
    return f"{title}\n\n[This page as a notebook]({Path(page).stem}.ipynb)\n{rest}"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    options.add_argument("--notebooks", action="store_true", help="execute the pages as notebooks")
    options.add_argument("--write", action="store_true", help="put what is printed into the pages")
    options.add_argument("--here", type=Path, metavar="PAGE", help="play one page in this process and this folder")
    given = options.parse_args()
    if given.here:
        print(json.dumps(play_here(given.here)))
        return 0
    faults = []
    for page in given.pages or (pages() if given.notebooks else sessions()):
        start = time.perf_counter()
        if given.notebooks:
            execute(page)
        elif given.write:
            write(page)
        else:
            faults += play(page)
        print(f"{page.name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(*faults, sep="\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
