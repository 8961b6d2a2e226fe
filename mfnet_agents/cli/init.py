"""``mfnet init``: a scenario or a learner of one's own to start from, which runs, with its test."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from mfnet_agents.cli.arguments import UsageError, add_json, print_json

HELP = "write a running scenario, or a learner, of your own with its test"
TEMPLATES = Path(__file__).parents[1] / "templates"
KINDS = ("scenario", "learner")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS, help="what to start from")
    parser.add_argument("folder", metavar="DIR", type=Path, help="a new folder, or an empty one")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    try:
        files = write(options.kind, options.folder)
    except OSError as error:
        raise UsageError(f"cannot write to {options.folder} ({error.strerror}); name another folder") from error
    if options.json:
        print_json({"files": [str(file) for file in files]})
    else:
        print(f"wrote {', '.join(file.name for file in files)} into {options.folder}")
        lacks = "" if find_spec("pytest") else "pip install pytest && "  # no extra but dev brings it
        print(f"begin with: {lacks}cd {shlex.quote(str(options.folder))} && python -m pytest -q")
    return 0


def write(kind: str, folder: Path) -> list[Path]:
    """Copy the template ``kind`` into ``folder``, whole or not at all; the files.

    They are written into a folder beside it, which then takes its place; or into one within, where it is there.

    Raises:
        UsageError: ``folder`` holds something, or is none. OSError: it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a new folder, or an empty one")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty, and nothing in it is overwritten; name a new folder")
    there = folder.is_dir()
    home = folder if there else folder.absolute().parent
    home.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".mfnet-init-", dir=home))
    try:
        draft.chmod(0o777 & ~_umask())  # as mkdir would have made it
        for template in sorted((TEMPLATES / kind).glob("*.txt")):
            shutil.copyfile(template, draft / template.stem)
        names = sorted(file.name for file in draft.iterdir())
        if there:
            for name in names:
                os.replace(draft / name, folder / name)
        else:
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [folder / name for name in names]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
