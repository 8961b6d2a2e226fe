"""What a scenario says of itself where people read about it: its headline number, its words, its map.

Tables, reports and pages take every word about a scenario from here, so none of them knows a scenario.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Headline:
    """The number a scenario is judged by; its certificate is stated in the same unit.

    Attributes:
        criterion: "discounted": mean discounted return of an agent; "average": mean reward of an agent and step.
        unit: what the number counts.
        scale: what turns the criterion into the unit, for example the fleet.
    """

    criterion: Literal["discounted", "average"] = "discounted"
    unit: str = "discounted return per agent"
    scale: float = 1.0


@dataclass(frozen=True)
class MapWords:
    """A map of a network whose nodes carry polygons in km: mean numbers of waiting agents per square kilometre.

    Attributes:
        heading: of the section. waiting: what waits at the nodes, the agents of group 0, e.g. "free taxis".
        demand: what the reference counts are, and their unit, e.g. ("trips asked for", "per km² in 5 minutes").
        scale: what one agent stands for.
        tilt: degrees by which the map is turned anticlockwise; orientation: the sentence that says so, if any.
    """

    heading: str
    waiting: str
    demand: tuple[str, str]
    scale: float = 1.0
    tilt: float = 0.0
    orientation: str = ""


@dataclass(frozen=True)
class Wording:
    """Words for tables and pages.

    Attributes:
        agents: what moves, in the plural, as it stands after its number. place: what is shown, in a few words, e.g.
            "Manhattan, Thursday 18 h".
        labels: the names of heuristics as tables show them, where they differ from the key.
        needs: what each heuristic must know. learner_needs: what the shipped learner must know here, e.g. "samples, and
            the demand table, by which it scales what it sees".
        map: None where nodes have no polygons.
    """

    agents: str = "agents"
    place: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    learner_needs: str = ""
    map: MapWords | None = None
