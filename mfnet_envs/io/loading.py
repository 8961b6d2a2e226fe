"""One door for all formats: the file's name, or what it begins with, tells the format."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from mfnet_envs.io import osmnx_graphml, topology_zoo
from mfnet_envs.io.files import reading
from mfnet_envs.io.gmns import from_gmns
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.io.reading import NetworkFileError, Place
from mfnet_envs.io.sndlib import NATIVE, from_sndlib
from mfnet_envs.io.tntp import from_tntp
from mfnet_envs.io.topohub import from_topohub
from mfnet_envs.words import brief, did_you_mean, shown

FORMATS = {
    "gml": "NAME.gml of the Topology Zoo",
    "gmns": "a folder with node.csv and link.csv",
    "graphml": "NAME.graphml of OSMnx or of the Topology Zoo",
    "npz": "NAME.npz written by NetworkData.to_npz",
    "sndlib": "SNDlib's native text or XML",
    "tntp": "NAME_net.tntp, with NAME_trips.tntp and NAME_node.tntp beside it if they are there",
    "topohub": "topohub:GROUP/NAME, such as topohub:sndlib/abilene",
}
OF_A_CITY = "a city is scenario_<city>.json of RL4AMOD, or a folder with zones.csv and trips.csv"


def load(path_or_name: str | os.PathLike[str], *, trim: bool = False, **options: Any) -> NetworkData:
    """A network from a file, a folder or a name; see ``FORMATS``.

    Args:
        trim: keep the largest strongly connected part only, instead of refusing a network that is cut apart.
        options: of the format's reader.

    What the file leaves open, or says and is not used, stands in ``NetworkData.notes``; a ``UserWarning`` sums up what
    the reader could not do as the file has it.

    Raises:
        TypeError: no path, or an option that the format's reader does not have. FileNotFoundError: there is no such
            file. NetworkFileError: an unknown format, a bad file, or a trip without a path
            (``NetworkData.check_connected``).
    """
    if not isinstance(path_or_name, str | os.PathLike) or not isinstance(name := os.fspath(path_or_name), str):
        raise TypeError(
            f"a network is named by a path, or by a name such as topohub:sndlib/abilene, not {shown(path_or_name)}"
        )
    network = _read(name, options)
    if trim:
        return network.trimmed()
    try:
        network.check_connected()
    except NetworkFileError as error:
        raise NetworkFileError(f"{name}: {str(error).removeprefix(f'{network.name}: ')}") from None
    return network


def _read(name: str, options: dict[str, Any]) -> NetworkData:
    if name.startswith("topohub:"):
        return _called(from_topohub, name.removeprefix("topohub:"), options)
    path = Path(name)
    try:
        with reading(path, "network", folder=os.path.isdir(path)):
            return _read_path(path, options)
    except FileNotFoundError as error:
        if str(error) != f"there is no {Place(str(path))}":
            raise
        raise FileNotFoundError(f"there is no {brief(name, 100)}; known are {_known()}") from None


def _read_path(path: Path, options: dict[str, Any]) -> NetworkData:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _read_folder(path, options)
    if suffix == ".npz":
        return _called(NetworkData.from_npz, path, options)
    if suffix == ".graphml":
        return _called(_graphml_reader(path), path, options)
    if suffix == ".gml":
        return _called(topology_zoo.from_topology_zoo, path, options)
    with open(path, encoding="latin-1") as file:
        start = file.read(2000).lstrip("ï»¿ \t\r\n")
    if suffix == ".tntp" or "<END OF METADATA>" in start.upper():
        return _read_tntp(path, options)
    if start.startswith((NATIVE, "<", "ÿþ", "þÿ")):  # the last two: UTF-16
        return _called(from_sndlib, path, options)
    Place(str(path)).fail(f"this is none of {_known()}; {OF_A_CITY}")


def _called(reader: Callable[..., NetworkData], source: str | Path, options: dict[str, Any]) -> NetworkData:
    known = [name for name, of in signature(reader).parameters.items() if of.default is not of.empty]
    for option in options:
        if option not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            meant = did_you_mean(option, known).rstrip(".")
            raise TypeError(f"{reader.__name__} has no option {option!r}: {has}{meant}")
    return reader(source, **options)


def _read_folder(path: Path, options: dict[str, Any]) -> NetworkData:
    if (path / "link.csv").exists():
        return _called(from_gmns, path, options)
    nets = sorted(file for file in path.iterdir() if file.name.lower().endswith("_net.tntp"))
    if len(nets) == 1:
        return _read_tntp(nets[0], options)
    if nets:
        Place(str(path)).fail(f"the folder holds {len(nets)} files *_net.tntp; name one of them")
    Place(str(path)).fail(f"the folder holds neither link.csv nor *_net.tntp; {OF_A_CITY}")


def _read_tntp(path: Path, options: dict[str, Any]) -> NetworkData:
    """The net file, and those beside it whose names differ in the last part only, in any case of letters."""
    if re.search(r"(?i)(^|_)(trips|node|flow)$", path.stem):
        Place(str(path)).fail("this file holds no links; name the _net file, the others are found beside it")
    stem = re.sub("(?i)net$", "", path.stem)
    missing = []
    for part, what in (("trips", "trips"), ("node", "coordinates")):
        name = f"{stem}{part}{path.suffix}" if stem != path.stem else f"{stem}_{part}{path.suffix}"
        beside = [file for file in path.parent.iterdir() if file.name.lower() == name.lower()]
        exact = [file for file in beside if file.name == name] or beside
        if len(exact) > 1:
            Place(str(path)).fail(f"{' and '.join(sorted(file.name for file in exact))} lie beside it; pass {part}=")
        if exact:
            options = {part: exact[0], **options}
        elif part not in options:
            missing.append((what, name))
    network = _called(from_tntp, path, options)
    notes = tuple(f"no {what}: there is no {name} beside {path.name}, in any case of letters" for what, name in missing)
    return dataclasses.replace(network, notes=(*network.notes, *notes)) if notes else network


def _graphml_reader(path: Path) -> Callable[..., NetworkData]:
    """OSMnx writes the coordinates as x and y, the Topology Zoo as Longitude and Latitude."""
    graph = osmnx_graphml.read_graphml(path)
    streets = "crs" in graph.graph or any("x" in data for _, data in graph.nodes(data=True))
    return osmnx_graphml.from_osmnx_graphml if streets else topology_zoo.from_topology_zoo


def _known() -> str:
    return "; ".join(FORMATS.values())
