"""Small valid networks in every format that ``mfnet_envs.io`` reads: tables of texts, and how each format writes them.

A *style* is what the format gives no meaning: comments, white space, line ends, a byte order mark, the order of rows.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from fuzz import truth
from fuzz.mutations import Row, Tables, pick


@dataclass(frozen=True)
class Format:
    """``sample`` makes tables, ``write`` puts them into a folder and says what to load, ``read`` says what they mean.

    The rows of the tables in ``loose`` may stand in any order.
    """

    name: str
    sample: Callable[[np.random.Generator], Tables]
    write: Callable[[np.random.Generator, Tables, Path, bool], Path]
    read: Callable[[Tables], truth.Truth | truth.City]
    loose: tuple[str, ...]


def _ring(rng: np.random.Generator, n: int) -> list[tuple[int, int]]:
    """A cycle both ways and some chords, without parallels: every node reaches every other."""
    edges = {(v, (v + 1) % n) for v in range(n)} | {((v + 1) % n, v) for v in range(n)}
    for _ in range(int(rng.integers(0, n))):
        a, b = (int(x) for x in rng.integers(0, n, 2))
        if a != b:
            edges.add((a, b))
    return sorted(edges)


def _size(rng: np.random.Generator, scale: float = 1.0) -> str:
    return repr(round(float(scale * (0.2 + rng.exponential())), 4))


def _place(rng: np.random.Generator) -> tuple[str, str]:
    return repr(round(float(rng.uniform(-20, 40)), 4)), repr(round(float(rng.uniform(35, 60)), 4))


def _dirt(rng: np.random.Generator, lines: list[str], comments: list[str], styled: bool) -> str:
    """Lines as one text; with ``styled``, comments and empty lines between them."""
    if styled:
        mixed = []
        for line in lines:
            while rng.random() < 0.2:
                mixed.append(pick(rng, [*comments, ""]))
            mixed.append(line)
        lines = mixed
    return "\n".join(lines) + "\n"


def _put(path: Path, text: str, rng: np.random.Generator, styled: bool, bom: bool = True) -> Path:
    if styled and rng.random() < 0.3:
        text = text.replace("\n", "\r\n")
    raw = text.encode("utf-8", "surrogatepass")
    path.write_bytes((b"\xef\xbb\xbf" if styled and bom and rng.random() < 0.2 else b"") + raw)
    return path


# -- TNTP -------------------------------------------------------------------------------------------------------------


def tntp_tables(rng: np.random.Generator) -> Tables:
    n = int(rng.integers(3, 7))
    names = ("capacity", "length", "time", "bpr", "power", "speed", "toll", "type")
    links = []
    for a, b in _ring(rng, n):
        values = _size(rng, 100), _size(rng), _size(rng), "0.15", "4", "0", "0", "1"
        links.append({"a": str(a + 1), "b": str(b + 1), **dict(zip(names, values, strict=True))})
    trips: list[Row] = [
        {"from": str(a), "to": str(b), "trips": str(int(rng.integers(1, 90)))}
        for a in range(1, n + 1) for b in range(1, n + 1) if a != b and (rng.random() < 0.6 or b == a % n + 1)
    ]  # fmt: skip
    total = sum(int(row["trips"]) for row in trips)
    return {
        "head": [{"zones": str(n), "nodes": str(n), "first": "1", "links": str(len(links))}],
        "links": links,
        "total": [{"zones": str(n), "flow": f"{total}.0"}],
        "trips": trips,
        "nodes": [{"id": str(v), **dict(zip("xy", _place(rng), strict=True))} for v in range(1, n + 1)],
    }


def write_tntp(rng: np.random.Generator, tables: Tables, folder: Path, styled: bool) -> Path:
    gap = pick(rng, ["\t", " ", "   "]) if styled else "\t"
    head = tables["head"][0] if tables["head"] else {}
    keys = {
        "zones": "NUMBER OF ZONES",
        "nodes": "NUMBER OF NODES",
        "first": "FIRST THRU NODE",
        "links": "NUMBER OF LINKS",
    }
    lines = [f"<{keys[key]}>{gap}{text}" for key, text in head.items()] + ["<END OF METADATA>", ""]
    order = ("a", "b", "capacity", "length", "time", "bpr", "power", "speed", "toll", "type")
    lines += [gap + gap.join(row[name] for name in order) + gap + ";" for row in tables["links"]]
    comments = ["~ a comment", "~", "~\tinit node\tterm node ;"]
    path = _put(folder / "city_net.tntp", _dirt(rng, lines, comments, styled), rng, styled)
    lines = []
    for total in tables["total"]:
        lines += [f"<NUMBER OF ZONES> {total['zones']}", f"<TOTAL OD FLOW> {total['flow']}"]
    lines += ["<END OF METADATA>"]
    for origin in dict.fromkeys(row["from"] for row in tables["trips"]):
        lines += [f"Origin {origin}"]
        lines += [f"{gap}{row['to']} : {row['trips']};" for row in tables["trips"] if row["from"] == origin]
    _put(folder / "city_trips.tntp", _dirt(rng, lines, comments, styled), rng, styled)
    lines = ["Node X Y ;"] + [gap.join([row["id"], row["x"], row["y"], ";"]) for row in tables["nodes"]]
    _put(folder / "city_node.tntp", _dirt(rng, lines, [""], styled), rng, styled)
    return path


# -- GMNS -------------------------------------------------------------------------------------------------------------


def gmns_tables(rng: np.random.Generator) -> Tables:
    n, timed = int(rng.integers(3, 6)), bool(rng.random() < 0.5)
    links = []
    for i, (a, b) in enumerate(_ring(rng, n)):
        row = {"link_id": str(i), "from_node_id": f"n{a}", "to_node_id": f"n{b}", "length": _size(rng), "lanes": "2"}
        row |= {
            "capacity": _size(rng, 900),
            "directed": "1",
            "VDF_alpha1": "0.15",
            "VDF_beta1": "4",
            "allowed_uses": "auto",
        }
        row |= {"VDF_fftt1": _size(rng, 3)} if timed else {"free_speed": str(int(rng.integers(20, 60)))}
        links.append(row)
    nodes = []
    for v in range(n):
        x, y = (repr(round(float(0.01 * a), 6)) for a in rng.uniform(0, 1, 2))
        nodes.append({"node_id": f"n{v}", "x_coord": x, "y_coord": y, "zone_id": str(v // 2 + 1)})
    zones = sorted({row["zone_id"] for row in nodes})
    demand = [
        {"o_zone_id": a, "d_zone_id": b, "volume": str(int(rng.integers(1, 90)))}
        for a in zones
        for b in zones
        if a != b
    ]
    unit = pick(rng, ["km", "mi"])
    speed = {"km": "kph", "mi": "mph"}[unit]
    return {"nodes": nodes, "links": links, "config": [{"long_length": unit, "speed": speed}], "demand": demand}


def _csv(rows: list[Row], rng: np.random.Generator, styled: bool) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if styled:
        columns = [columns[i] for i in rng.permutation(len(columns))]
    out = io.StringIO()
    quoting = csv.QUOTE_ALL if styled and rng.random() < 0.3 else csv.QUOTE_MINIMAL
    table = csv.DictWriter(out, columns, quoting=quoting, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()


def write_gmns(rng: np.random.Generator, tables: Tables, folder: Path, styled: bool) -> Path:
    folder = folder / "gmns"
    folder.mkdir()
    for name, file in {"nodes": "node", "links": "link", "config": "config", "demand": "demand"}.items():
        _put(folder / f"{file}.csv", _csv(tables[name], rng, styled), rng, styled)
    return folder


# -- SNDlib -----------------------------------------------------------------------------------------------------------


def sndlib_tables(rng: np.random.Generator) -> Tables:
    n = int(rng.integers(3, 6))
    nodes = [{"id": f"N{v}", **dict(zip("xy", _place(rng), strict=True))} for v in range(n)]
    links = [
        {
            "id": f"L{v}",
            "source": f"N{v}",
            "target": f"N{(v + 1) % n}",
            "installed": pick(rng, ["0", "40"]),
            "module": "155",
        }
        for v in range(n)
    ]
    demands = [
        {"id": f"D{a}{b}", "source": f"N{a}", "target": f"N{b}", "unit": "1", "value": str(int(rng.integers(1, 90)))}
        for a in range(n) for b in range(a) if rng.random() < 0.7 or (a, b) == (1, 0)
    ]  # fmt: skip
    return {"nodes": nodes, "links": links, "demands": demands}


def write_sndlib_native(rng: np.random.Generator, tables: Tables, folder: Path, styled: bool) -> Path:
    lines = ["?SNDlib native format; type: network; version: 1.0", "NODES ("]
    lines += [f"  {row['id']} ( {row['x']} {row['y']} )" for row in tables["nodes"]] + [")", "LINKS ("]
    lines += [
        f"  {r['id']} ( {r['source']} {r['target']} ) {r['installed']} 0.00 0.00 0.00 ( {r['module']} 7.00 )"
        for r in tables["links"]
    ] + [")", "DEMANDS ("]
    lines += [
        f"  {r['id']} ( {r['source']} {r['target']} ) {r['unit']} {r['value']} UNLIMITED" for r in tables["demands"]
    ] + [")"]
    first, *rest = lines
    return _put(folder / "backbone.txt", first + "\n" + _dirt(rng, rest, ["# a comment", "   "], styled), rng, styled)


def write_sndlib_xml(rng: np.random.Generator, tables: Tables, folder: Path, styled: bool) -> Path:
    def tag(name: str, text: str) -> str:
        return f"<{name}>{escape(text)}</{name}>"

    lines = ['<network xmlns="http://sndlib.zib.de/network" version="1.0">', "<networkStructure>"]
    lines += ['<nodes coordinatesType="geographical">']
    for row in tables["nodes"]:
        where = f"<coordinates>{tag('x', row['x'])}{tag('y', row['y'])}</coordinates>"
        lines += [f"<node id={quoteattr(row['id'])}>{where}</node>"]
    lines += ["</nodes>", "<links>"]
    for row in tables["links"]:
        pre = f"<preInstalledModule>{tag('capacity', row['installed'])}{tag('cost', '0')}</preInstalledModule>"
        more = f"<addModule>{tag('capacity', row['module'])}{tag('cost', '7')}</addModule>"
        more = f"<additionalModules>{more}</additionalModules>"
        ends = tag("source", row["source"]) + tag("target", row["target"])
        lines += [f"<link id={quoteattr(row['id'])}>{ends}{pre}{more}</link>"]
    lines += ["</links>", "</networkStructure>", "<demands>"]
    for row in tables["demands"]:
        ends = tag("source", row["source"]) + tag("target", row["target"])
        values = tag("routingUnit", row["unit"]) + tag("demandValue", row["value"])
        lines += [f"<demand id={quoteattr(row['id'])}>{ends}{values}</demand>"]
    lines += ["</demands>", "</network>"]
    first, *rest = lines
    text = first + "\n" + _dirt(rng, rest, ["<!-- a comment -->", "  "], styled)
    return _put(folder / "backbone.xml", text, rng, styled)


# -- Topology Zoo -----------------------------------------------------------------------------------------------------


def zoo_tables(rng: np.random.Generator) -> Tables:
    n = int(rng.integers(3, 7))
    nodes = []
    for v in range(n):
        lon, lat = _place(rng)
        nodes.append({"id": str(v), "label": f"Town {v}", "Longitude": lon, "Latitude": lat})
    edges = [{"source": str(v), "target": str((v + 1) % n), "LinkSpeedRaw": _size(rng, 1e9)} for v in range(n)]
    return {"nodes": nodes, "edges": edges}


def write_gml(rng: np.random.Generator, tables: Tables, folder: Path, styled: bool) -> Path:
    lines = ["graph [", "  directed 0"]
    for kind in ("node", "edge"):
        for row in tables[kind + "s"]:
            lines += [f"  {kind} ["]
            lines += [f'    {key} "{text}"' if key == "label" else f"    {key} {text}" for key, text in row.items()]
            lines += ["  ]"]
    return _put(folder / "zoo.gml", _dirt(rng, lines + ["]"], ["", "  "], styled), rng, styled, bom=False)


def write_graphml(rng: np.random.Generator, tables: Tables, folder: Path, styled: bool) -> Path:
    numbers = {"Longitude": "double", "Latitude": "double", "LinkSpeedRaw": "double"}
    return _graphml(rng, tables, folder / "zoo.graphml", styled, numbers, "undirected", "")


def _graphml(
    rng: np.random.Generator,
    tables: Tables,
    path: Path,
    styled: bool,
    types: dict[str, str],
    direction: str,
    graph: str,
) -> Path:
    lines = ["<?xml version='1.0' encoding='utf-8'?>", '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">']
    keys = {
        name: ("node", f"d{i}")
        for i, name in enumerate(dict.fromkeys(k for r in tables["nodes"] for k in r))
        if name != "id"
    }
    more = dict.fromkeys(k for r in tables["edges"] for k in r)
    keys |= {name: ("edge", f"e{i}") for i, name in enumerate(more) if name not in ("source", "target")}
    for name, (kind, key) in keys.items():
        lines += [f'<key id="{key}" for="{kind}" attr.name="{name}" attr.type="{types.get(name, "string")}" />']
    if graph:
        lines += ['<key id="crs" for="graph" attr.name="crs" attr.type="string" />']
    lines += [f'<graph edgedefault="{direction}">']
    lines += [graph] if graph else []
    for row in tables["nodes"]:
        data = "".join(f'<data key="{keys[k][1]}">{escape(t)}</data>' for k, t in row.items() if k != "id")
        lines += [f"<node id={quoteattr(row['id'])}>{data}</node>"]
    for row in tables["edges"]:
        data = "".join(f'<data key="{keys[k][1]}">{escape(t)}</data>' for k, t in row.items() if k in keys)
        lines += [f"<edge source={quoteattr(row['source'])} target={quoteattr(row['target'])}>{data}</edge>"]
    lines += ["</graph>", "</graphml>"]
    first, *rest = lines
    return _put(path, first + "\n" + _dirt(rng, rest, ["<!-- a comment -->", " "], styled), rng, styled)


# -- OSMnx ------------------------------------------------------------------------------------------------------------


def osmnx_tables(rng: np.random.Generator) -> Tables:
    n = int(rng.integers(3, 6))
    nodes = [{"id": str(100 + v), **dict(zip("xy", _place(rng), strict=True))} for v in range(n)]
    edges = [
        {
            "source": str(100 + a), "target": str(100 + b), "length": _size(rng, 300),
            "highway": pick(rng, list(truth.CLASSES)),
            "maxspeed": pick(rng, ["50", "30 mph", "70"]), "lanes": pick(rng, ["1", "2", "3"]),
            "oneway": pick(rng, ["True", "False"]),
        }
        for a, b in _ring(rng, n)
    ]  # fmt: skip
    return {"nodes": nodes, "edges": edges}


def write_osmnx(rng: np.random.Generator, tables: Tables, folder: Path, styled: bool) -> Path:
    graph = '<data key="crs">epsg:4326</data>'
    return _graphml(rng, tables, folder / "streets.graphml", styled, {}, "directed", graph)


FORMATS = (
    Format("tntp", tntp_tables, write_tntp, truth.tntp, ("links", "trips", "nodes")),
    Format("gmns", gmns_tables, write_gmns, truth.gmns, ("links", "nodes", "demand")),
    Format("native", sndlib_tables, write_sndlib_native, truth.sndlib, ("nodes", "links", "demands")),
    Format("xml", sndlib_tables, write_sndlib_xml, truth.sndlib, ("nodes", "links", "demands")),
    Format("gml", zoo_tables, write_gml, truth.zoo, ("nodes", "edges")),
    Format("graphml", zoo_tables, write_graphml, truth.zoo, ("nodes", "edges")),
    Format("osmnx", osmnx_tables, write_osmnx, truth.osmnx, ("nodes", "edges")),
)

# -- cities -----------------------------------------------------------------------------------------------------------


def _rides(rng: np.random.Generator, n: int, times: list[int]) -> list[tuple[int, int, int]]:
    """(time, origin, destination): both ways round a ring at some time, others at others."""
    found = {(times[int(rng.integers(len(times)))], a, b) for a, b in _ring(rng, n)}
    found |= {(time, int(rng.integers(n)), int(rng.integers(n))) for time in times}
    return sorted(found)


def city_csv_tables(rng: np.random.Generator) -> Tables:
    n, first = int(rng.integers(3, 6)), 60 * int(rng.integers(0, 23))
    times = [first + 5 * k for k in range(int(rng.integers(1, 4)))]
    zones = []
    for v in range(n):
        x, y = _place(rng)
        near = f"Z{(v + 1) % n}" if rng.random() < 0.6 or v == 0 else ""
        zones.append({"zone": f"Z{v}", "x": x, "y": y, "neighbours": near})
    trips = []
    for time, a, b in _rides(rng, n, times):
        clock = f"{time // 60}:{time % 60:02}" if rng.random() < 0.5 else str(time)
        row = {"time": clock, "origin": f"Z{a}", "destination": f"Z{b}", "demand": _size(rng, 3)}
        trips.append({**row, "travel_time": _size(rng, 9), "fare": _size(rng, 12)})
    return {"zones": zones, "trips": trips}


def write_city_csv(rng: np.random.Generator, tables: Tables, folder: Path, styled: bool) -> Path:
    folder = folder / "port"
    folder.mkdir()
    for name in ("zones", "trips"):
        _put(folder / f"{name}.csv", _csv(tables[name], rng, styled), rng, styled)
    return folder


def rl4amod_tables(rng: np.random.Generator) -> Tables:
    nlat, nlon, hour = int(rng.integers(1, 3)), int(rng.integers(2, 4)), int(rng.integers(0, 23))
    n, step = nlat * nlon, pick(rng, ["3", "5"])
    long = int(step)
    demand = [
        {"time_stamp": str(time), "origin": str(a), "destination": str(b), "demand": _size(rng, 3),
         "travel_time": _size(rng, 9), "price": _size(rng, 12)}
        for time, a, b in _rides(rng, n, [60 * hour + k for k in range(0, 20 * long, 7)])
    ]  # fmt: skip
    empty = [
        {"time_stamp": str(at), "origin": str(a), "destination": str(b), "reb_time": _size(rng, 9)}
        for at in (hour, hour + 1) for a in range(n) for b in range(n) if a != b
    ]  # fmt: skip
    cars = [{"hour": str(at), "acc": str(n * int(rng.integers(1, 40)))} for at in (hour, hour + 1)]
    return {
        "head": [{"nlat": str(nlat), "nlon": str(nlon)}],
        "demand": demand,
        "rebTime": empty,
        "totalAcc": cars,
        "topology_graph": [{"i": str(v), "j": str((v + 1) % n)} for v in range(n)],
        "parameters": [{"demand_ratio": _size(rng), "json_hr": str(hour), "beta": _size(rng, 0.3), "test_tstep": step}],
    }


def write_rl4amod(rng: np.random.Generator, tables: Tables, folder: Path, styled: bool) -> Path:
    def numbers(rows: list[Row]) -> list[dict[str, object]]:
        return [{key: truth.json_value(text) for key, text in row.items()} for row in rows]

    space = int(rng.integers(0, 3)) if styled else None
    lists = {name: numbers(tables[name]) for name in ("demand", "rebTime", "totalAcc", "topology_graph")}
    head = numbers(tables["head"])[0] if tables["head"] else {}
    known = {"dockland": numbers(tables["parameters"])[0]} if tables["parameters"] else {}
    for name, content in (("calibrated_parameters", known), ("scenario_dockland", {**head, **lists})):
        path = _put(folder / f"{name}.json", json.dumps(content, indent=space) + "\n", rng, styled)
    return path


CITIES = (
    Format("csv", city_csv_tables, write_city_csv, truth.city_csv, ("zones", "trips")),
    Format("rl4amod", rl4amod_tables, write_rl4amod, truth.rl4amod, ("demand", "rebTime", "totalAcc")),
)
