"""Backbones from the optional package ``topohub`` (MIT): SNDlib with demands, Topology Zoo, CAIDA and others.

The package holds no capacities. Cite SNDlib (Orlowski et al. 2010) or the Topology Zoo (Knight et al. 2011).
"""

from __future__ import annotations

import numpy as np

from mfnet_envs.io.network_data import NetworkData, assembled, with_uniform_capacity
from mfnet_envs.io.networkx import trips_between
from mfnet_envs.io.reading import BPR_B, BPR_POWER, FIBRE_KM_PER_MS, Place, optional_package
from mfnet_envs.io.sndlib import both_ways

LICENCE = "package topohub: MIT; cite the collection (SNDlib: Orlowski et al. 2010, Topology Zoo: Knight et al. 2011)"


def from_topohub(
    name: str,
    *,
    undirected_demand: bool | None = None,
    capacity: float | None = None,
    utilisation: float = 0.9,
) -> NetworkData:
    """A topology by its name in topohub, such as "sndlib/abilene"; lengths in km, times in ms of light in fibre.

    Args:
        undirected_demand: as in :func:`mfnet_envs.io.from_sndlib`.
        capacity: of every link; None: such that shortest paths in hops fill the busiest link to ``utilisation``, or 1
            where there is no demand.

    Raises:
        NetworkFileError: no such topology. ModuleNotFoundError: topohub is not installed.
    """
    place = Place(f"topohub:{name}")
    try:
        topology = optional_package("topohub", "networks").get(name)
    except KeyError:
        place.fail("topohub has no such topology; names look like sndlib/abilene, topozoo/Geant2012, backbone/africa")
    ids = [node["id"] for node in topology["nodes"]]
    place_of = {node: v for v, node in enumerate(ids)}
    names = [str(node.get("name") or node["id"]) for node in topology["nodes"]]
    positions = [node.get("pos") for node in topology["nodes"]]
    links = []
    for edge in topology["edges"]:
        pair, km = (place_of[edge["source"]], place_of[edge["target"]]), float(edge.get("dist", 1.0))
        for ends in (pair, pair[::-1]):
            links.append((*ends, km / FIBRE_KM_PER_MS, 1.0 if capacity is None else capacity, BPR_B, BPR_POWER, km))
    demand = trips_between(place, ids, topology["graph"].get("demands") or None)
    network = assembled(
        place,
        names if len(set(names)) == len(names) else [str(node) for node in ids],
        links,
        None if demand is None else both_ways(demand, undirected_demand),
        coordinates=np.array(positions, float) if all(positions) else None,
        name=name.rpartition("/")[2],
        units={"time": "ms", "length": "km", "coordinates": "lon/lat"},
        source=str(place),
        licence=LICENCE,
    )
    return with_uniform_capacity(network, utilisation) if capacity is None and network.has_demand else network
