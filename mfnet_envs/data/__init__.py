"""Tables shipped with the package, each in its own folder beside its licence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import networkx as nx

FOLDER = Path(__file__).resolve().parent
BUSINESS_DAYS = 50  # of each weekday, assumed: 2018 had 52 of each, less the holidays


@dataclass(frozen=True)
class Manhattan:
    """Taxi and ride-hail trips within Manhattan on the business days of 2018, by zone of the TLC.

    Attributes:
        trips: ``(5, 24, V, V)`` counts by weekday (0 = Monday), hour, origin and destination; the sum over the year.
        zone_ids: ``(V,)`` TLC LocationIDs, ascending; a zone's index is its place here.
        zone_names: the V names.
        edges: ``(E, 2)`` pairs of zones that share a border.
        centroids: ``(V, 2)`` km, UTM zone 18N.
        polygons: V closed rings ``(n, 2)`` in km, UTM zone 18N, to one metre.
    """

    trips: NDArray[np.int32]
    zone_ids: NDArray[np.int16]
    zone_names: tuple[str, ...]
    edges: NDArray[np.int16]
    centroids: NDArray[np.float64]
    polygons: tuple[NDArray[np.float64], ...]

    def graph(self) -> nx.Graph[Any]:
        """Zones as nodes (their TLC ids, ascending) with ``name``, ``pos`` (km) and ``polygon``; borders as edges."""
        import networkx as nx

        graph: nx.Graph[Any] = nx.Graph()
        looks = zip(self.zone_ids.tolist(), self.zone_names, self.centroids.tolist(), self.polygons, strict=True)
        for zone, name, (x, y), polygon in looks:
            graph.add_node(zone, name=name, pos=(x, y), polygon=polygon)
        graph.add_edges_from(self.zone_ids[self.edges].tolist())
        return graph

    def trips_per_hour(self, weekday: int, hour: int) -> NDArray[np.float64]:
        """``(V, V)`` mean trips in that hour of that weekday, assuming BUSINESS_DAYS of each weekday in the year."""
        return np.asarray(self.trips[weekday, hour] / BUSINESS_DAYS)


@cache
def manhattan() -> Manhattan:
    """The Manhattan table, read once; its arrays are read-only."""
    with np.load(FOLDER / "nyc_manhattan_2018" / "manhattan.npz", allow_pickle=False) as archive:
        table = dict(archive)
    rings = np.split(table["polygon_points_m"] / 1000, table["polygon_starts"][1:-1])
    for array in (*table.values(), *rings):
        array.setflags(write=False)
    return Manhattan(
        trips=table["trips"],
        zone_ids=table["zone_ids"],
        zone_names=tuple(table["zone_names"].tolist()),
        edges=table["edges"],
        centroids=table["centroids_km"],
        polygons=tuple(rings),
    )
