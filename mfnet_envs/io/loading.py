"""One door for all formats: the file's name, or what it begins with, tells the format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mfnet_envs.io import osmnx_graphml, topology_zoo
from mfnet_envs.io.gmns import from_gmns
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.io.reading import NetworkFileError, Place
from mfnet_envs.io.sndlib import NATIVE, from_sndlib
from mfnet_envs.io.tntp import from_tntp
from mfnet_envs.io.topohub import from_topohub

FORMATS = {
    "gml": "NAME.gml of the Topology Zoo",
    "gmns": "a folder with node.csv and link.csv",
    "graphml": "NAME.graphml of OSMnx or of the Topology Zoo",
    "npz": "NAME.npz written by NetworkData.to_npz",
    "sndlib": "SNDlib's native text or XML",
    "tntp": "NAME_net.tntp, with NAME_trips.tntp and NAME_node.tntp beside it if they are there",
    "topohub": "topohub:GROUP/NAME, such as topohub:sndlib/abilene",
}


def load(path_or_name: str | os.PathLike[str], *, trim: bool = False, **options: Any) -> NetworkData:
    """A network from a file, a folder or a name; see ``FORMATS``.

    Args:
        trim: keep the largest strongly connected part only, instead of refusing a network that is cut apart.
        options: of the format's reader.

    Raises:
        FileNotFoundError: there is no such file. NetworkFileError: an unknown format, a bad file, or a trip without a
            path (``NetworkData.check_connected``).
    """
    network = _read(os.fspath(path_or_name), options)
    if trim:
        return network.trimmed()
    network.check_connected()
    return network


def _read(name: str, options: dict[str, Any]) -> NetworkData:
    if name.startswith("topohub:"):
        return from_topohub(name.removeprefix("topohub:"), **options)
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(f"there is no {name}; known are {_known()}")
    if path.is_dir():
        return _read_folder(path, options)
    if path.suffix == ".npz":
        return NetworkData.from_npz(path, **options)
    if path.suffix == ".graphml":
        return _read_graphml(path, options)
    if path.suffix == ".gml":
        return topology_zoo.from_topology_zoo(path, **options)
    with open(path, encoding="latin-1") as file:
        start = file.read(2000).lstrip("ï»¿ \t\r\n")
    if path.suffix == ".tntp" or "<END OF METADATA>" in start:
        return _read_tntp(path, options)
    if start.startswith(NATIVE) or start.startswith("<"):
        return from_sndlib(path, **options)
    raise NetworkFileError(f"{name}: this is none of {_known()}")


def _read_folder(path: Path, options: dict[str, Any]) -> NetworkData:
    if (path / "link.csv").exists():
        return from_gmns(path, **options)
    nets = sorted(path.glob("*_net.tntp"))
    if len(nets) == 1:
        return _read_tntp(nets[0], options)
    what = f"{len(nets)} files *_net.tntp; name one of them" if nets else "neither link.csv nor *_net.tntp"
    Place(str(path)).fail(f"the folder holds {what}")


def _read_tntp(path: Path, options: dict[str, Any]) -> NetworkData:
    """The net file, and those beside it whose names differ in the last part only."""
    stem, _, kind = path.stem.rpartition("_")
    if kind in ("trips", "node", "flow"):
        Place(str(path)).fail("this file holds no links; name the _net file, the others are found beside it")
    for part in ("trips", "node"):
        beside = path.with_name(f"{stem}_{part}.tntp")
        if stem and beside.exists():
            options = {part: beside, **options}
    return from_tntp(path, **options)


def _read_graphml(path: Path, options: dict[str, Any]) -> NetworkData:
    """OSMnx writes the coordinates as x and y, the Topology Zoo as Longitude and Latitude."""
    graph = osmnx_graphml.read_graphml(path)
    streets = "crs" in graph.graph or any("x" in data for _, data in graph.nodes(data=True))
    reader = osmnx_graphml.from_osmnx_graphml if streets else topology_zoo.from_topology_zoo
    return reader(path, **options)


def _known() -> str:
    return "; ".join(FORMATS.values())
