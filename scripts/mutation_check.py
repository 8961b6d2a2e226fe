"""Break the code on purpose, one factor at a time: for every mutant at least one test must fail.

    python scripts/mutation_check.py                       # all mutants of mutants.toml, two at a time
    python scripts/mutation_check.py --only "tau in (14)"  # one of them; --only may be repeated
    python scripts/mutation_check.py --list

A mutant is a row of ``mutants.toml``: a piece of source that stands exactly once in its file, what it becomes, and the
tests that should notice. Everything happens in copies in a temporary folder; the checkout is never written to. The
tests run once on the copy as it is, where they must pass. A mutant is caught if one of its tests fails; a run that
breaks in another way proves nothing and is an error.

Exit status: 0 if all mutants were caught, 1 if one survived, 2 on errors, 130 if interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("mutants.toml")
TIME_LIMIT = 300  # seconds for one run of pytest
FAILED = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
CAUGHT, SURVIVED, ERROR = 0, 1, 2  # worse is larger: the exit status is the worst verdict


@dataclass(frozen=True)
class Mutant:
    """One factor dropped: in ``file``, the text ``find`` becomes ``put``; ``tests`` are pytest's node ids."""

    name: str
    file: str
    find: str
    put: str
    tests: tuple[str, ...]

    def patched(self, source: str) -> str:
        """``source`` with the factor dropped."""
        return source.replace(self.find, self.put)


class CannotTry(Exception):
    """Nothing was proved; the message says why and what to do."""


def read_table(table: Path) -> list[Mutant]:
    """The mutants of a TOML file, each a ``[[mutant]]``."""
    rows = tomllib.loads(table.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def chosen(mutants: list[Mutant], names: list[str]) -> list[Mutant]:
    """The mutants called ``names``, all of them where no name is given."""
    known = [mutant.name for mutant in mutants]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "--list shows all of them"
            raise CannotTry(f"there is no mutant '{name}'; {hint}")
    return [mutant for mutant in mutants if not names or mutant.name in names]


def check_places(mutants: list[Mutant], folder: Path) -> None:
    """Each mutant must change its file, at exactly one place."""
    wrong = []
    for mutant in mutants:
        file = folder / mutant.file
        source = file.read_text(encoding="utf-8") if file.is_file() else ""
        if (found := source.count(mutant.find)) != 1:
            wrong.append(f"{mutant.name}: {found} times in {mutant.file}: {mutant.find!r}")
        elif mutant.patched(source) == source:
            wrong.append(f"{mutant.name}: changes nothing")
    if wrong:
        advice = "each text must stand exactly once in its file; bring the table up to date:"
        raise CannotTry("\n".join([advice, *wrong]))


def copy_checkout(root: Path, folder: Path) -> None:
    """The files of ``root`` that are under version control or could be, copied to ``folder``."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, cwd=root)
    if listed.returncode:
        raise CannotTry(f"git must list the files to copy, so run this in a clone; it says: {listed.stderr.strip()}")
    for name in sorted(set(listed.stdout.split("\0")) - {""}):
        if (root / name).is_file():  # a deleted file stays listed until the deletion is committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)


async def python(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run Python in ``folder``, importing from there: exit status and output. It dies with us, its children too."""
    temporary = folder.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    env |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=folder, env=env, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(TIME_LIMIT):
            output, _ = await process.communicate()
    except TimeoutError:
        return ERROR, f"it took more than {TIME_LIMIT} s"
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace")


async def pytest(folder: Path, tests: tuple[str, ...], package: str) -> tuple[int, str]:
    """Run ``tests`` on the ``package`` in ``folder`` up to the first failure: exit status and output."""
    status, output = await python(folder, "-c", f"import {package}; print({package}.__file__)")
    if status or not Path(output.strip()).resolve().is_relative_to(folder.resolve()):
        return ERROR, f"{package} is not imported from the copy: {output.strip()}"
    options = ("-x", "-q", "-n", "0", "-rf", "--color=no", "-p", "no:cacheprovider", "-p", "no:randomly")
    return await python(folder, "-m", "pytest", *options, *tests)


async def run_unbroken(mutants: list[Mutant], clean: Path, jobs: int) -> None:
    """All the tests must pass on the code as it is. They are dealt out to ``jobs`` processes file by file."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    files = sorted({test.partition("::")[0] for test in tests})
    hands = [tuple(test for test in tests if test.partition("::")[0] in files[i::jobs]) for i in range(jobs)]
    package = mutants[0].file.partition("/")[0]
    for status, output in await asyncio.gather(*(pytest(clean, hand, package) for hand in hands if hand)):
        if status:
            raise CannotTry(f"the tests must pass on the code as it is (pytest's exit status {status}):\n{output}")


async def judge(mutant: Mutant, clean: Path, room: asyncio.Semaphore) -> int:
    """Break a copy of ``clean`` and run the tests on it; print the verdict and return it."""
    async with room:
        with tempfile.TemporaryDirectory(dir=clean.parents[1]) as place:
            broken = Path(place) / "checkout"
            shutil.copytree(clean, broken)
            file = broken / mutant.file
            file.write_text(mutant.patched(file.read_text(encoding="utf-8")), encoding="utf-8")
            status, output = await pytest(broken, mutant.tests, mutant.file.partition("/")[0])
    what, failed = f"{mutant.name} ({Path(mutant.file).name})", FAILED.search(output)
    if status == 0:
        print(f"SURVIVED {what}: {' '.join(mutant.tests)}", flush=True)
        return SURVIVED
    if status == 1 and failed:
        print(f"caught   {what}: {failed[1]}", flush=True)
        return CAUGHT
    print(f"ERROR    {what}: no test failed, but pytest's exit status is {status}:\n{output}", flush=True)
    return ERROR


async def check(root: Path, mutants: list[Mutant], jobs: int) -> int:
    """Try all ``mutants`` of the checkout ``root``, ``jobs`` at a time; returns the worst verdict."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        clean = Path(place) / "clean" / "checkout"
        copy_checkout(root, clean)
        check_places(mutants, clean)
        await run_unbroken(mutants, clean, jobs)
        print(f"the tests pass on the code as it is ({time.monotonic() - started:.0f} s)", flush=True)
        room = asyncio.Semaphore(jobs)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(judge(mutant, clean, room)) for mutant in mutants]
    verdicts = [done.result() for done in tasks]
    print(f"{verdicts.count(CAUGHT)} of {len(mutants)} mutants caught ({time.monotonic() - started:.0f} s)")
    return max(verdicts)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="try this mutant; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time, default 2")
    parser.add_argument("--list", action="store_true", help="print the names of the mutants and stop")
    parser.add_argument("--root", type=Path, default=ROOT, help="checkout to break copies of, default this one")
    parser.add_argument("--table", type=Path, default=TABLE, help="the mutants, default mutants.toml beside this file")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    try:
        mutants = chosen(read_table(options.table), options.only)
        if options.list:
            print("\n".join(mutant.name for mutant in mutants))
            return 0
        return asyncio.run(check(options.root, mutants, options.jobs))
    except CannotTry as reason:
        print(reason, file=sys.stderr)
        return ERROR
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted; nothing is left behind", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
