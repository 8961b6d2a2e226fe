"""Write the compatibility table of docs/interop.md from what ``make test-interop`` recorded in runs/interop.json.

build_interop.py           write the table
build_interop.py --check   exit 1 if the page says anything else than what ran
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "runs" / "interop.json"
PAGE = ROOT / "docs" / "interop.md"
BEGIN, END = "<!-- table: scripts/build_interop.py -->\n", "<!-- end of table -->\n"
COLUMNS = (
    ("agents", "Discrete"),
    ("agents", "Discrete, masked"),
    ("teams", "Box logits"),
    ("teams", "Box shares"),
    ("central", "Box logits"),
)


def table(record: dict[str, Any]) -> str:
    """Libraries in rows, views and action forms in columns; a cell names the algorithms that trained."""
    strange = {(view, action) for _, view, action, _ in record["cells"]} - set(COLUMNS)
    if strange:
        raise SystemExit(f"build_interop: no column for {sorted(strange)}")
    head = ["library", *(f"{view}: {action}" for view, action in COLUMNS)]
    lines = [head, ["---"] * len(head)]
    for library, version in record["versions"].items():
        ran = [(view, action, algorithm) for name, view, action, algorithm in record["cells"] if name == library]
        cells = ["; ".join(name for view, action, name in ran if (view, action) == column) for column in COLUMNS]
        lines.append([f"{library} {version}", *(cell or "–" for cell in cells)])
    core = ", ".join(f"{name} {version.partition('+')[0]}" for name, version in record["core"].items())  # not: +cpu
    rows = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{rows}\n\nBeside {core}.\n"


def main(arguments: list[str]) -> int:
    if not RECORD.exists():
        print("build_interop: nothing has run here; run `make test-interop` first", file=sys.stderr)
        return 2
    record = json.loads(RECORD.read_text())
    if not record["complete"]:
        reason = "the last run of the interop tests failed, or was of some of them only; run `make test-interop`"
        print(f"build_interop: {reason}", file=sys.stderr)
        return 1
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page = before + BEGIN + table(record) + END + after
    if "--check" in arguments:
        if page != text:
            print("docs/interop.md does not say what ran; run scripts/build_interop.py", file=sys.stderr)
        return int(page != text)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
