"""The last step of every reader: columns and trips become a network, and what was noted on the way is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.network_data import NetworkData, no_demand
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import NetworkFileError, Place, numbered
from mfnet_envs.io.units import check_speeds
from mfnet_envs.words import non_negative, shown


def assembled(
    place: Place,
    notes: Notes,
    nodes: list[str],
    links: list[tuple[Any, ...]],
    demand: Floats | None,
    *,
    name: str,
    **rest: Any,
) -> NetworkData:
    """A network from ``links`` = rows of PER_LINK; trips from a node to itself are dropped.

    Raises:
        NetworkFileError: a node without a label, two that share one, no links.
    """
    numbered((place, label) for label in nodes)
    if not links:
        place.fail("there are no links")
    columns: dict[str, Any] = dict(zip(NetworkData.PER_LINK, map(np.array, zip(*links, strict=True)), strict=True))
    demand = no_demand(len(nodes)) if demand is None else _between_nodes(place, notes, demand)
    if still := int((columns["free_flow_time"] == 0).sum()):
        notes.say(f"{still:,} of {len(links):,} links take no time when they are empty")
    check_speeds(notes, rest.get("units", {}), columns["length"], columns["free_flow_time"])
    try:
        network = NetworkData(nodes=tuple(nodes), demand=demand, notes=notes.sentences(), name=name, **columns, **rest)
    except NetworkFileError as error:
        raise NetworkFileError(f"{place}: {str(error).removeprefix(f'{name}: ')}") from None
    notes.warn(place)
    return network


def _between_nodes(place: Place, notes: Notes, demand: Floats) -> Floats:
    """The trips without those from a node to itself; NetworkData checks their shape."""
    with np.errstate(over="ignore"):
        total = demand.sum()
    if np.isinf(total) and np.isfinite(demand).all():
        place.fail("the trips add up to more than a floating-point number holds")
    if demand.ndim != 2 or not (own := float(np.trace(demand))) > 0:
        return demand
    notes.say(f"{own:,.6g} trips within a node ({own / total:.1%} of all) are dropped", loud=True)
    demand = np.array(demand)
    np.fill_diagonal(demand, 0)
    return demand


class Tolls:
    """The toll of every link, and the weights of toll and length in what travellers choose by.

    Args:
        toll_weight, length_weight: time per unit of money and of length; None: the file does not say.
    """

    def __init__(self, notes: Notes, toll_weight: float | None, length_weight: float | None) -> None:
        self.notes, self.toll_weight, self.length_weight = notes, toll_weight, length_weight
        self.tolls: list[float] = []

    def add(self, place: Place, toll: float) -> None:
        """The toll of the next link."""
        self.tolls.append(toll)
        if toll and self.toll_weight is None:
            ignored = "tolls ({where}) are ignored, since no weight is known; pass toll_weight=, time per unit of money"
            self.notes.count(ignored, place, toll, loud=True)
        elif toll and not self.toll_weight:
            self.notes.count("tolls ({where}) weigh nothing: toll_weight is 0", place, toll)

    def fields(self) -> dict[str, Any]:
        """Those of NetworkData."""
        return {
            "toll": np.array(self.tolls, float) if any(self.tolls) else None,
            "toll_weight": self.toll_weight or 0.0,
            "length_weight": self.length_weight or 0.0,
        }


def checked_units(units: Any) -> dict[str, str]:
    """The caller's units.

    Raises:
        TypeError: they are no mapping of words to words.
    """
    if isinstance(units, Mapping) and all(isinstance(word, str) for pair in units.items() for word in pair):
        return dict(units)
    raise TypeError(f'units must be a mapping such as {{"time": "0.01 h"}}, not {shown(units)}')


def check_weights(toll_weight: float | None, length_weight: float | None) -> None:
    """Refuse weights that are neither None nor a non-negative number."""
    given = {"toll_weight": toll_weight, "length_weight": length_weight}
    non_negative(**{name: weight for name, weight in given.items() if weight is not None})
