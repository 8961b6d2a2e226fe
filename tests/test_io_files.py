"""Files that are no networks: damaged, disguised, without end or far too large. One sentence each, and at once."""

from __future__ import annotations

import os
import re
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import mfnet_envs
from mfnet_envs import io
from mfnet_envs.io import files
from mfnet_envs.io.reading import Place

NET = (
    "<NUMBER OF ZONES> 2\n<NUMBER OF NODES> 2\n<FIRST THRU NODE> 1\n<NUMBER OF LINKS> 2\n<END OF METADATA>\n"
    "1 2 10 1 1 0.15 4 0 0 1 ;\n2 1 10 1 1 0.15 4 0 0 1 ;\n"
)
TRIPS = "<NUMBER OF ZONES> 2\n<END OF METADATA>\nOrigin 1\n2 : 5;\n"
GMNS = {
    "node.csv": "node_id,x_coord,y_coord\nA,0,0\nB,0.01,0\n",
    "link.csv": "link_id,from_node_id,to_node_id,directed,length,free_speed,capacity\n1,A,B,0,1112,50,900\n",
}
LAUGHS = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 12))
BILLION = f'<?xml version="1.0"?><!DOCTYPE network [<!ENTITY l0 "ha">{LAUGHS}]><network>&l11;</network>'
GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">{}</graphml>'
SNDLIB = "?SNDlib native format\n"
NATIVE = "NODES ( a ( 0 0 ) b ( 0.01 0 ) ) LINKS ( L ( a b ) 5 0 0 0 ( ) ) DEMANDS ( D ( a b ) 1 5 UNLIMITED )"
DEEP = 10**6


@pytest.fixture(autouse=True)
def little_memory() -> Any:
    """Whoever asks for 4 GiB more than this process has fails here, on any machine with Linux."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 4 * 2**30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def refused(path: Path, *sentences: str, **options: Any) -> None:
    with pytest.raises(io.NetworkFileError) as error:
        io.load(path, **options)
    text = str(error.value)
    assert text.startswith(str(path)) and "\n" not in text and len(text) <= 500
    for sentence in sentences:
        assert sentence in text


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.xml", BILLION, "it declares entities"),
        ("x.graphml", BILLION, "it declares entities"),
        ("x.xml", BILLION.encode("utf-16"), "it declares entities"),
        ("x.xml", "<network>" + "<a>" * DEEP, "nested more than 100 deep"),
        ("x.graphml", GRAPHML.format("<graph>" + "<graph>" * DEEP), "nested more than 100 deep"),
        ("x.xml", b"<network>\n\xff</network>", "line 2: this is no XML (not well-formed"),
        ("x.xml", '<?xml version="1.0" encoding="UTF-99"?><network/>', "unknown encoding"),
        ("x.gml", "graph " + "[ a " * 100_000, "this is no GML"),
        ("x.gml", b"graph [\n\0", "line 2: there is a NUL byte"),
        ("x.gml", "graph [ node [ id 0 ] node [ id 0 ] ]", "this is no GML"),
        ("x.txt", SNDLIB + "(" * DEEP, "line 2: expected a section"),
        ("x.txt", SNDLIB + "META " + "(" * DEEP, "line 2: expected ')', not the end of the file"),
        ("x.txt", SNDLIB.encode() + b"NODES\0", "line 2: there is a NUL byte"),
        ("x.tntp", b"\x80" * 10**6, "line 1: expected a header line"),
        ("x.tntp", NET.replace("NODES> 2", "NODES> 1000000000"), "line 2: the header announces 1,000,000,000 nodes"),
        ("x.tntp", NET.replace("NODES> 2", "NODES> 1e400"), "line 2: <NUMBER OF NODES> must be a non-negative number"),
        ("x.tntp", NET.replace("ZONES> 2", "ZONES> 99999999999"), "line 1: the header announces 99999999999 zones"),
        ("x.tntp", NET.replace("LINKS> 2", "LINKS> 1000000000"), "announces 1000000000 links, the file holds 2"),
        ("x.tntp", NET.replace("1 2 10", "-1 2 10"), "line 6: init_node must be a non-negative number, not '-1'"),
        ("x.tntp", NET.replace("1 2 10", "1 2 0x10"), "line 6: capacity must be a positive number, not '0x10'"),
        ("x.tntp", NET.replace("1 2 10", "1 2 1_0"), "line 6: capacity must be a positive number, not '1_0'"),
        (
            "x.tntp",
            NET.replace("1 2 10 1 1 ", "1 2 10 1 1e-310 "),
            "line 6: free_flow_time must be 0 or at least 1e-100",
        ),
        ("x.tntp", NET.replace("1 2 10", "1 2 1,5"), "line 6: capacity must be a positive number, not '1,5'; write"),
        (
            "x.tntp",
            NET.replace("<END", "<NUMBER OF LINKS> 2\n<END"),
            "line 5: the header has a second <NUMBER OF LINKS>",
        ),
        ("x.npz", b"", "this is no network written by to_npz"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, name: str, content: str | bytes, sentence: str) -> None:
    refused(write(tmp_path, {name: content}) / name, sentence)


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("node.csv", b"B,0.01", b"\xff,0.01", "node.csv, line 3: byte 0xff is no UTF-8"),
        ("node.csv", b"B,0.01", b"\0,0.01", "node.csv, line 3: there is a NUL byte"),
        ("node.csv", b"B,0.01", b"x" * 200_000 + b",0.01", "node.csv, line 3: this is no CSV (field larger"),
        ("link.csv", b"1,A,B", b'1,"A,B', "link.csv, line 2: this is no CSV (unexpected end of data)"),
        ("link.csv", b"free_speed", b"length", "link.csv, line 1: the header has column 'length' twice"),
        ("node.csv", b"0.01", "٣".encode(), "node.csv, line 3: x_coord must be a finite number"),
        ("node.csv", b"0.01", b"1e400", "node.csv, line 3: x_coord must be a finite number, not '1e400'"),
        ("link.csv", b"900", b"9" * 5000, "link.csv, line 2: capacity must be a positive number"),
        (
            "link.csv",
            b"900",
            b"5e-324",
            "link.csv, line 2: capacity must be at least 1e-100, so that it can be divided",
        ),
        ("link.csv", b"1112", b"2.1e-320", "link.csv, line 2: length must be 0 or at least 1e-100, so that it can be"),
    ],
)
def test_a_damaged_table_is_one_sentence(tmp_path: Path, file: str, old: bytes, new: bytes, sentence: str) -> None:
    tables: dict[str, str | bytes] = {name: text.encode() for name, text in GMNS.items()}
    assert io.load(write(tmp_path, tables)).num_links == 2
    refused(write(tmp_path, {file: tables[file].replace(old, new, 1)}), sentence)  # type: ignore[union-attr]


def test_a_list_of_a_million_signs_is_no_list(tmp_path: Path) -> None:
    graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph(crs="epsg:4326")
    graph.add_node("a", x="0", y="0")
    graph.add_node("b", x="0.01", y="0")
    for tail, head, minus in (("a", "b", 5000), ("b", "a", DEEP)):
        graph.add_edge(tail, head, length="1112", highway="primary", maxspeed="[" + "-" * minus + "1]", lanes="[2")
    nx.write_graphml(graph, tmp_path / "x.graphml")
    with pytest.warns(
        UserWarning, match=r"maxspeed could not be read \(2 times, first: '\[---.*; lanes could not be read"
    ):
        data = io.load(tmp_path / "x.graphml")
    assert data.free_flow_time == pytest.approx(1.112 / 60) and max(map(len, data.notes)) < 500


@pytest.mark.parametrize("name", ["x.tntp", "x.gml", "x.graphml", "x.xml", "x.npz", "x"])
def test_pipes_devices_and_folders_are_no_files(tmp_path: Path, name: str) -> None:
    """A pipe would wait for ever."""
    os.mkfifo(tmp_path / name)
    refused(tmp_path / name, "this is no regular file")
    os.remove(tmp_path / name)
    (tmp_path / name).symlink_to("/dev/zero")
    refused(tmp_path / name, "this is no regular file")
    os.remove(tmp_path / name)
    (tmp_path / name).mkdir()
    refused(tmp_path / name, "the folder holds neither link.csv nor *_net.tntp")


READERS: list[Callable[[Path], Any]] = [
    io.from_tntp, io.from_gmns, io.from_osmnx_graphml, io.from_sndlib, io.from_topology_zoo, io.NetworkData.from_npz,
    io.read_tlc,
]  # fmt: skip


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_every_reader_has_the_door(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(io.NetworkFileError, match=r"pipe: this is no (regular file|folder)"):
        read(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match=r"there is no .*nothing"):
        read(tmp_path / "nothing")
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(io.NetworkFileError, match=re.escape(str(tmp_path / "noise"))):
        read(tmp_path / "noise")


@pytest.mark.parametrize("part", ["trips", "node"])
def test_pipes_beside_the_net_file(tmp_path: Path, part: str) -> None:
    write(tmp_path, {"a_net.tntp": NET})
    os.mkfifo(tmp_path / f"a_{part}.tntp")
    with pytest.raises(io.NetworkFileError, match=rf"a_{part}.tntp: this is no regular file"):
        io.load(tmp_path)


def test_an_archive_that_unpacks_to_much(tmp_path: Path) -> None:
    """Eight members of a GiB of zeros, in 8 MiB; their sizes stand in the directory at its end."""
    path = tmp_path / "x.npz"
    block = bytes(2**20)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("tail.npy", "w") as f,
    ):
        for _ in range(16):
            f.write(block)
    raw = path.read_bytes()  # say that it is 3 GiB, as a real one would
    for size in (struct.pack("<I", 2**24),):
        assert raw.count(size) >= 1
        raw = raw.replace(size, struct.pack("<I", 3 * 2**30))
    path.write_bytes(raw)
    refused(path, "it unpacks to 3.0 GiB, over the limit of 2")


def test_a_table_of_trips_has_a_limit() -> None:
    """20,000 nodes are 3.2 GB of trips; without trips they are nothing."""
    ring = nx.cycle_graph(20_000)
    with pytest.raises(io.NetworkFileError, match=r"between 20,000 nodes takes 3\.0 GiB, over the limit of 2; cut"):
        io.from_networkx(ring, free_flow_time=1, capacity=1, demand={0: {1: 1}})
    assert not io.from_networkx(ring, free_flow_time=1, capacity=1).has_demand


def test_every_reader_of_trips_has_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a_net.tntp": NET, "a_trips.tntp": TRIPS, "x.txt": SNDLIB + NATIVE, **GMNS})
    write(tmp_path, {"demand.csv": "o_zone_id,d_zone_id,volume\nA,B,5\n"})
    paths = [tmp_path / "a_net.tntp", tmp_path / "x.txt", io.load(tmp_path).to_npz(tmp_path / "x.npz"), tmp_path]
    for path in paths:
        assert io.load(path).demand.shape == (2, 2)
    network = io.load(tmp_path / "x.txt")
    matrices = tmp_path / "matrices"
    matrices.mkdir()
    write(matrices, {f"{t}.txt": SNDLIB + NATIVE for t in range(3)})
    monkeypatch.setattr(files, "LARGEST_TABLE", 31)  # a table of two nodes takes 32 bytes
    for path in paths:
        with pytest.raises(
            io.NetworkFileError, match=r"(it unpacks to|a table of trips between 2 nodes takes) 0\.0 GiB"
        ):
            io.load(path)
    monkeypatch.setattr(files, "LARGEST_TABLE", 95)
    with pytest.raises(io.NetworkFileError, match=r"matrices: a table of trips between 2 nodes at 3 times takes"):
        io.read_matrices(matrices, network)


def test_a_trip_of_an_archive_ends_at_a_node(tmp_path: Path) -> None:
    """numpy would take node -1 for the last one."""
    demand = {0: {2: 5}}
    path = io.from_networkx(nx.path_graph(3), free_flow_time=1, capacity=1, demand=demand).to_npz(tmp_path / "x.npz")
    np.savez(path, **(dict(np.load(path)) | {"destination": np.array([-1])}))
    refused(path, "a trip begins or ends at a negative node")


def test_what_a_parser_says_is_cut_and_the_path_stays(tmp_path: Path) -> None:
    """However far down the folders, and however much the parser repeats of the file."""
    folder = tmp_path / "/".join(["folder"] * 30)
    folder.mkdir(parents=True)
    (folder / "x.gml").write_text("graph [ " + "long_" * 600 + " ]")
    with pytest.raises(io.NetworkFileError) as error:
        io.load(folder / "x.gml")
    text = str(error.value)
    assert text.startswith(str(tmp_path)[:20]) and "folder/x.gml" in text and "this is no GML" in text
    assert len(text) <= 500 and "long_" * 50 not in text
    with pytest.raises(io.NetworkFileError) as error:
        Place("x.gml").fail("word " * 1000)
    assert len(str(error.value)) <= 500 and str(error.value).endswith(" ...")


def test_names_that_are_no_paths(tmp_path: Path) -> None:
    for name in ("x" * 5000, "x" * 9000 + ".gml", "topohub:" + "x" * 5000, "é" * 300, "a b" * 3000, "a\0b", ""):
        with pytest.raises((FileNotFoundError, io.NetworkFileError)) as error:
            io.load(name if name else tmp_path / "nothing")
        assert len(str(error.value)) <= 500
    with pytest.raises(FileNotFoundError, match=r"there is no x{90}\.\.\."):
        mfnet_envs.make_model("MFNet-Routing-v0", network="x" * 9000)
    for name in (5, None, b"x.npz", ["x.npz"]):
        with pytest.raises(TypeError, match="a network is named by a path"):
            io.load(name)  # type: ignore[arg-type]


def test_options_of_another_format(tmp_path: Path) -> None:
    write(tmp_path, {"a_net.tntp": NET, **GMNS})
    with pytest.raises(
        TypeError, match=r"from_tntp has no option 'toll_wait': it has .*; did you mean 'toll_weight'\?"
    ):
        io.load(tmp_path / "a_net.tntp", toll_wait=1)
    with pytest.raises(TypeError, match="from_gmns has no option 'trips'"):
        io.load(tmp_path, trips="x")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: io.from_tntp("x", toll_weight=-1), "toll_weight must be a non-negative number, not -1"),
        (lambda: io.from_tntp("x", length_weight="1"), "length_weight must be a non-negative number, not '1'"),
        (lambda: io.from_gmns("x", capacity_per_lane=0), "capacity_per_lane must be a positive number, not 0"),
        (lambda: io.from_gmns("x", length_unit="parsec"), "length_unit must be 'mi' or 'mile'"),
        (
            lambda: io.from_sndlib("x", coordinates="polar"),
            "coordinates must be 'geographical' or 'pixel', not 'polar'",
        ),
        (lambda: io.from_topology_zoo("x", capacity=float("nan")), "capacity must be a positive number, not nan"),
        (lambda: io.from_osmnx_graphml("x", speeds={"primary": "fast"}), "speeds['primary'] must be a positive number"),
        (lambda: io.from_topohub("x", utilisation=None), "utilisation must be a positive number, not None"),
        (lambda: io.read_tlc("x", slot_minutes=7.5), "slot_minutes must divide the day's 1440 minutes, not 7.5"),
        (lambda: io.read_tlc("x", zones=[1.5]), "zones must be LocationIDs from 1 to 263, not 1.5"),
        (lambda: io.read_tlc("x", slot_minutes=1), "take 2.6 GiB, over the limit of 2"),
    ],
)
def test_bad_arguments_are_not_blamed_on_the_file(call: Callable[[], Any], sentence: str) -> None:
    """ValueError, before the file is opened: there is none here."""
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        call()
    assert not isinstance(error.value, io.NetworkFileError)


def test_connectivity_errors_name_the_file(tmp_path: Path) -> None:
    net = NET.replace("2 1 10", "1 2 20")
    trips = "<END OF METADATA>\nOrigin 2\n1 : 5;\n"
    write(tmp_path, {"a_net.tntp": net, "a_trips.tntp": trips})
    refused(tmp_path / "a_net.tntp", "a_net.tntp: no path leads from node '2' to node '1'")


@pytest.mark.parametrize(
    "text", ["1e400", "nan", "inf", "0x10", "1_000", "٣", "½", "1,5", "", "--1", "1e", True, None, [1]]
)
def test_what_is_no_number(text: Any) -> None:
    with pytest.raises(io.NetworkFileError, match="f, line 3: it must be a finite number, not"):
        Place("f").line(3).number(text, "it")


@pytest.mark.parametrize("text", ["1", "+1", " 1 ", "1.", "1.0", ".5e1", "1E-3", 1, 1.0, np.float32(1), np.int8(1)])
def test_what_is_a_number(text: Any) -> None:
    assert Place("f").number(text, "it") == float(text)


def test_labels_beyond_floating_point_stay_apart() -> None:
    """2**53 and 2**53 + 1 are one float64."""
    assert Place("f").whole("9007199254740993", "id") == 9007199254740993
    with pytest.raises(io.NetworkFileError, match="id must be a whole number"):
        Place("f").whole("1e300", "id")


def test_arguments_of_the_wrong_type() -> None:
    with pytest.raises(TypeError, match="paths must be one or several paths of parquet files, not None"):
        io.read_tlc(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="units must be a mapping such as"):
        io.from_tntp("x", units="hours")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="speeds must be a mapping from types of street to numbers, not 50"):
        io.from_osmnx_graphml("x", speeds=50)  # type: ignore[arg-type]


def test_trips_beyond_floating_point() -> None:
    with pytest.raises(io.NetworkFileError, match="graph: the trips add up to more than a floating-point number holds"):
        io.from_networkx(nx.path_graph(2), free_flow_time=1, capacity=1, demand={0: {1: 1e308}, 1: {0: 1e308}})


def test_tables_of_headers_only(tmp_path: Path) -> None:
    heads = {name: text.splitlines()[0] + "\n" for name, text in GMNS.items()}
    refused(write(tmp_path, heads), "there are no links")


def test_degrees_beyond_the_poles(tmp_path: Path) -> None:
    write(tmp_path, {"x.txt": SNDLIB + NATIVE.replace("0.01 0", "0.01 95")})
    refused(tmp_path / "x.txt", "x.txt: coordinates beyond 180 and 90 are no longitude", coordinates="geographical")
