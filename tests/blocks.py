"""The code blocks of README.md, CONTRIBUTING.md and docs/: one parser and one way to run them, for all suites.

A block runs as a reader copies it: in an empty folder, in a process of its own. Where that would take minutes, the text
keeps the real budget and a comment above the block, which readers do not see, says what the test puts in its place:
``<!-- test: 25_600 -> 800; runs/first -> first -->``. What a reader has and the test has not (a network file, a module
of one's own) is made by :func:`furnish`. A page of a library that fits no common environment is run in the one it names
(:data:`ELSEWHERE`). Nothing is skipped: a block for which there is no rule is a fault.

A ``text`` block directly below another is what that one prints, line by line; a line ``...`` stands for those that are
left out. Where numbers depend on the cuts, or on the machine, ``<!-- output: other numbers -->`` stands above it: each
line must then be printed but for its numbers, in any order.
"""

import os
import re
import shlex
import subprocess
import sys
from configparser import ConfigParser
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Pages whose blocks need an environment of their own, and which command builds it and runs them; None: no command does,
# and the page says by hand what was run.
ELSEWHERE = {
    "docs/interop.md": "make test-interop",
    "docs/recipes/benchmarl.md": "make test-benchmarl",
    "docs/recipes/agilerl.md": None,
    "docs/recipes/epymarl.md": None,
    "docs/recipes/pufferlib.md": None,
    "docs/recipes/xuance.md": None,
    # A session each: tests/test_site.py plays them as a whole.
    "docs/index.md": "make test",
    **{str(page.relative_to(ROOT)): "make test" for page in (ROOT / "docs" / "tutorials").glob("*.md")},
}
_COMMENT = r"(?:^<!-- test: (?P<cuts>[^\n]+) -->\n)?(?P<loose>^<!-- output: other numbers -->\n)?"
_BLOCK = re.compile(_COMMENT + r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what it says, and what the test puts in place of what."""

    page: str
    line: int
    language: str
    code: str
    cuts: tuple[tuple[str, str], ...]
    prints: str | None = None  # what the text block below it says
    loose: bool = False  # whether only the words of its lines are compared

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def shortened(self) -> str:
        """What the test runs.

        Raises:
            ValueError: a comment replaces something that the block does not say.
        """
        code = self.code
        for old, new in self.cuts:
            if old not in code:
                raise ValueError(f"{self}: the comment above this block replaces {old!r}, which the block does not say")
            code = code.replace(old, new)
        return code


def pages() -> list[str]:
    """All that readers are given, as paths from the root."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(file.relative_to(ROOT)) for file in files]


@cache
def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order.

    Raises:
        ValueError: a fence that is never closed, or a comment that stands above no block or replaces nothing.
    """
    text = (ROOT / page).read_text("utf-8")
    found: list[Block] = []
    end = 0
    for match in _BLOCK.finditer(text):
        cuts = tuple(_cut(page, cut) for cut in (match["cuts"] or "").split("; ") if cut)
        line = text.count("\n", 0, match.start()) + 1
        directly_below = found and not text[end : match.start()].strip()
        end = match.end()
        if match["language"] == "text" and directly_below and found[-1].prints is None:
            found[-1] = replace(found[-1], prints=match["code"], loose=bool(match["loose"]))
        else:
            found.append(Block(page, line, match["language"], match["code"], cuts))
    outputs = [block for block in found if block.prints is not None]
    if 2 * (len(found) + len(outputs)) != len(re.findall("^```", text, re.MULTILINE)):
        raise ValueError(f"{page}: a fence without its other end")
    if sum(block.loose for block in outputs) != len(re.findall("^<!-- output:", text, re.MULTILINE)):
        raise ValueError(
            f"{page}: an output comment that does not stand directly above a text block that shows an output"
        )
    if sum(bool(block.cuts) for block in found) != len(re.findall("^<!-- test:", text, re.MULTILINE)):
        raise ValueError(f"{page}: a test comment that does not stand directly above a block")
    return found


def _cut(page: str, cut: str) -> tuple[str, str]:
    old, arrow, new = cut.partition(" -> ")
    if not arrow or not old.strip():
        raise ValueError(f"{page}: a test comment says 'OLD -> NEW; OLD -> NEW', not {cut!r}")
    return old.strip(), new.strip()


def run(block: Block, folder: Path) -> None:
    """Run a block in ``folder``; raises AssertionError where it fails, or prints something else than its page shows."""
    furnish(folder)
    printed = ""
    if block.language == "python":
        (folder / "block.py").write_text(block.shortened(), "utf-8")
        tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "class Test" in block.code else []
        printed = _python(block, folder, *tests, "block.py")
    elif block.language == "pycon":
        (folder / "block.txt").write_text(block.shortened(), "utf-8")
        _python(block, folder, "-m", "doctest", "block.txt")
    elif block.language == "bash":
        commands = _commands(block)
        if ours := [command[1:] for command in commands if command[0] == "mfnet"]:
            printed = _python(block, folder, "-c", _ALL.format(ours))
        for command in commands:
            if command[0] != "mfnet":
                known(block, command)
    else:
        raise AssertionError(f"{block}: no rule how to run a block of {block.language or 'no language'}")
    if block.prints is not None:
        wanted, got = _lines(block.prints, block.loose), _lines(printed, block.loose)
        found = set(wanted) <= {*got, "..."} if block.loose else _shows(wanted, got)
        assert found, f"{block}: the page shows\n{block.prints}\nbut it prints\n{printed}"


def _lines(text: str, loose: bool) -> list[str]:
    """The lines that say something, without the width of their columns; ``loose``: a number is a number."""
    lines = [re.sub(r"-{2,}", "--", " ".join(line.split())) for line in text.splitlines() if line.strip()]
    return [re.sub(r"(?<![\w-])-?\d[\d,.]*(?<=\d)", "0", line) if loose else line for line in lines]


def _shows(wanted: list[str], got: list[str]) -> bool:
    """Whether ``got`` is the lines ``wanted``, where ``...`` stands for any number of them."""
    if not wanted:
        return not got
    if wanted[0] == "...":
        return any(_shows(wanted[1:], got[start:]) for start in range(len(got) + 1))
    return bool(got) and wanted[0] == got[0] and _shows(wanted[1:], got[1:])


_ALL = "from mfnet_agents.cli import main\nfor command in {!r}:\n    assert main(command) == 0, command"


def _python(block: Block, folder: Path, *arguments: str) -> str:
    # HOME is where Ray leaves its results; the checkout comes first, so that it is this one that is tested.
    path = os.pathsep.join([str(ROOT), str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(folder), "PYTHONPATH": path}
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=folder)
    assert ran.returncode == 0, f"{block}:\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def _commands(block: Block) -> list[list[str]]:
    text = block.shortened().replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def known(block: Block, command: list[str]) -> None:
    """A command that a test cannot run (it installs, or runs the tests) must at least be one that is there."""
    name, *words = command
    if name == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert {word for word in words if "=" not in word} <= set(targets), f"{block}: {shlex.join(command)}"
    elif name == "bash":
        assert (ROOT / words[0]).is_file(), f"{block}: there is no {words[0]}"
    elif name == "pip":
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        extras = {extra for word in words for extra in ",".join(re.findall(r"\[(.+)\]", word)).split(",") if extra}
        assert extras <= set(setup["options.extras_require"]), f"{block}: no such extras: {extras}"
    else:
        raise AssertionError(f"{block}: no rule how to run {shlex.join(command)}")


def furnish(folder: Path) -> None:
    """What a reader brings: a road network, a small model, a PettingZoo environment."""
    for name, text in _BROUGHT.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")


_TOWN = [(1, 2), (2, 1), (2, 3), (3, 2), (3, 1), (1, 3)]
_BROUGHT = {
    "Town_net.tntp": "<NUMBER OF ZONES> 3\n<NUMBER OF NODES> 3\n<FIRST THRU NODE> 1\n<NUMBER OF LINKS> 6\n"
    "<END OF METADATA>\n\n~ from to capacity length time b power speed toll type ;\n"
    + "".join(f"\t{a}\t{b}\t1000\t6\t6\t.15\t4\t0\t0\t1\t;\n" for a, b in _TOWN),
    "Town_trips.tntp": "<NUMBER OF ZONES> 3\n<TOTAL OD FLOW> 600\n<END OF METADATA>\n\n"
    + "".join(f"Origin {a}\n" + "".join(f" {b} : 100.0;" for b in (1, 2, 3) if b != a) + "\n" for a in (1, 2, 3)),
    "my_package/__init__.py": "",
    "my_package/my_module.py": "import mfnet_envs\n\n\ndef build():\n"
    '    return mfnet_envs.make_model("MFNet-Grid-v0", graph=[[0, 1], [1, 2]], population=3)\n',
    "mypackage/__init__.py": "",
    "mypackage/myenv.py": "import mfnet_envs\n\n\ndef MyEnv(**options):\n"
    '    return mfnet_envs.parallel_env("MFNet-TwoByTwo-v0", "agents", population=3, max_cycles=6, **options)\n',
}
