"""What the README.md beside a TNTP network says in numbers: units, and the weights of its generalised cost.

The repository's READMEs have the sections ``## Units`` (Time, Distance, Coordinates) and ``## Generalized Cost
Weights`` (Toll, Distance), each a list of ``Name: value unit``; most leave the values empty.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from mfnet_envs.io.files import bytes_of
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import Place, spelt

UNITS = {"time": "time", "distance": "length", "length": "length", "coordinates": "coordinates"}
ENTRY = re.compile(r"[\s*_-]*(\w+)[^:]*:[\s*_]*(.*?)[\s*_]*$")


class Readme(NamedTuple):
    """``units`` by NetworkData's names; ``weights`` of "toll" and "distance", each with where it stands."""

    units: dict[str, str]
    weights: dict[str, tuple[float, Place]]


def readme_beside(net: Path, notes: Notes) -> Readme:
    """What README.md in the folder of ``net`` says; nothing where there is none."""
    found = Readme({}, {})
    files = sorted(file for file in net.parent.iterdir() if file.name.lower() == "readme.md" and file.is_file())
    if not files:
        return found
    place, section = Place(str(files[0])), ""
    for number, line in enumerate(bytes_of(place).decode("utf-8", errors="replace").splitlines(), 1):
        if line.startswith("#"):
            section = line.strip("# ").lower()
        elif entry := ENTRY.match(line):
            name, value, here = entry[1].lower(), entry[2], place.line(number)
            if section == "units" and name in UNITS and value:
                found.units[UNITS[name]] = value
            elif section.startswith("generalized cost") and name in ("toll", "distance") and value:
                _weight(found, name, value, here, notes)
    return found


def _weight(found: Readme, name: str, value: str, here: Place, notes: Notes) -> None:
    number = spelt(value.split()[0].rstrip(",;"))
    if number >= 0:
        found.weights[name] = number, here
    else:
        unread = f"the weight of {name} is no number ({{where}}) and is not used; pass toll_weight= or length_weight="
        notes.count(unread, here, value, loud=True)
