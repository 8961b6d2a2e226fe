"""Backbones from the optional package ``topohub`` (MIT): SNDlib with demands, Topology Zoo, CAIDA and others.

The package holds no capacities. Cite SNDlib (Orlowski et al. 2010) or the Topology Zoo (Knight et al. 2011).
"""

from __future__ import annotations

import numpy as np

from mfnet_envs.io.assembling import assembled
from mfnet_envs.io.network_data import NetworkData, with_uniform_capacity
from mfnet_envs.io.networkx import trips_between
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import BPR_B, BPR_POWER, FIBRE_KM_PER_MS, Place
from mfnet_envs.io.sndlib import said_both_ways
from mfnet_envs.words import optional_package, positive

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
        ValueError: a capacity or utilisation that is not positive. NetworkFileError: no such topology.
        ModuleNotFoundError: topohub is not installed.
    """
    positive(utilisation=utilisation, **({} if capacity is None else {"capacity": capacity}))
    place, notes = Place(f"topohub:{name}"), Notes()
    try:
        topology = optional_package("topohub", "networks").get(name)
    except (KeyError, ValueError, OSError):
        known = "names look like sndlib/abilene, topozoo/Geant2012, backbone/africa"
        place.fail(f"topohub has no such topology; {known}")
    ids = [node["id"] for node in topology["nodes"]]
    place_of = {node: v for v, node in enumerate(ids)}
    names = [str(node.get("name") or node["id"]) for node in topology["nodes"]]
    positions = [node.get("pos") for node in topology["nodes"]]
    links = []
    for edge in topology["edges"]:
        here = Place(str(place), f"edge {edge['source']!r} to {edge['target']!r}")
        if "dist" not in edge:
            notes.count("lengths are not stated ({where}): 1 km is taken", here, loud=True)
        pair, km = (place_of[edge["source"]], place_of[edge["target"]]), float(edge.get("dist", 1.0))
        for ends in (pair, pair[::-1]):
            links.append((*ends, km / FIBRE_KM_PER_MS, 1.0 if capacity is None else capacity, BPR_B, BPR_POWER, km))
    demand = trips_between(place, ids, topology["graph"].get("demands") or None)
    by_rule = capacity is None and demand is not None and demand.any()
    if by_rule:
        rule = f"fewest hops fill the busiest link to {utilisation:g}"
        notes.say(f"topohub knows no capacities: all are equal, such that {rule}; pass capacity= to fix them")
    elif capacity is None:
        notes.say("topohub knows no capacities: all are 1; pass capacity=")
    network = assembled(
        place,
        notes,
        names if len(set(names)) == len(names) else [str(node) for node in ids],
        links,
        None if demand is None else said_both_ways(demand, undirected_demand, notes),
        coordinates=np.array(positions, float) if all(positions) else None,
        name=name.rpartition("/")[2],
        units={"time": "ms", "length": "km", "coordinates": "lon/lat"},
        source=str(place),
        licence=LICENCE,
    )
    return with_uniform_capacity(network, utilisation) if by_rule and network.has_demand else network
