"""Files of every format, whole and spoilt."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz import truth
from fuzz.formats import (
    FORMATS,
    Format,
    sndlib_tables,
    tntp_tables,
    write_sndlib_native,
    write_sndlib_xml,
    write_tntp,
)
from fuzz.judging import Fault, Refused, attempt, bad_sentence, heard
from fuzz.mutations import pick, shuffled, spoil_bytes, spoil_kind, spoil_tables
from mfnet_envs import io


class Tables:
    """Tables spoilt in one place: refused, or every number as an independent reader has it, or a sentence."""

    name, share = "tables", 3.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        form = self.formats()[int(rng.integers(len(self.formats())))]
        whole = form.sample(rng)
        tables, change = (whole, "nothing") if rng.random() < 0.15 else spoil_tables(rng, whole)
        styled = bool(rng.random() < 0.5)
        if styled:
            tables = shuffled(rng, tables, form.loose)
        before, here = folder / "before", folder / "here"
        before.mkdir()
        here.mkdir()
        usual = self.read(form.write(rng, whole, before, False))[1]
        path = form.write(rng, tables, here, styled)
        (folder / "change.txt").write_text(f"{form.name}: {change}\n", "utf-8", "surrogatepass")
        wanted, why = self.wanted(form, tables)
        if wanted is None and change == "nothing":
            raise Fault("traceback", f"the harness cannot read its own {form.name}: {why}")
        try:
            found, said = self.read(path)
        except Refused as refused:
            if change == "nothing":
                raise Fault(
                    "silent", f"a valid {form.name} is refused: {refused}", f"valid {form.name} refused"
                ) from None
            raise
        if why == "unsure" or new(said, usual):
            return
        cause = f"{form.name}: {change.split(':')[0].split('[')[0]}{change.split(':')[0].partition(']')[2]}"
        if wanted is None:
            raise Fault("silent", f"{change}: accepted without a word ({why})", f"{cause} accepted")
        if differs := self.difference(found, wanted):
            raise Fault("silent", f"{change}: {differs}", f"{cause} differs")

    @staticmethod
    def formats() -> tuple[Format, ...]:
        return FORMATS

    @staticmethod
    def read(path: Path) -> tuple[Any, list[str]]:
        """What mfnet reads, its promises checked, and what it says."""
        with heard() as said:
            network = attempt(lambda: io.load(path), (OSError,), names=path.parent.name)
        check(network)
        return network, [*said, *notes(network)]

    @staticmethod
    def difference(found: Any, wanted: Any) -> str:
        return truth.difference(read_back(found), wanted)

    @staticmethod
    def wanted(form: Format, tables: Any) -> tuple[Any, str]:
        try:
            return form.read(tables), ""
        except truth.Unsure:
            return None, "unsure"
        except truth.Unreadable as why:
            return None, str(why)[:80]


def new(said: list[str], usual: list[str]) -> bool:
    """Whether something is said beyond what the unspoilt file has said; folders differ in name."""

    def plain(sentences: list[str]) -> Counter[str]:
        return Counter(s.replace("/before", "/here") for s in sentences if not s.startswith("numpy:"))

    return bool(plain(said) - plain(usual))


def notes(network: io.NetworkData) -> list[str]:
    return list(network.notes)


def read_back(network: io.NetworkData) -> truth.Truth:
    """A NetworkData as numbers by label."""
    names = network.nodes
    columns = (network.free_flow_time, network.capacity, network.b, network.power, network.length)
    links: list[truth.Link] = [
        (names[a], names[b], tuple(float(column[i]) for column in columns))
        for i, (a, b) in enumerate(zip(network.tail, network.head, strict=True))
    ]
    trips = {}
    if network.has_demand:
        trips = {(names[a], names[b]): float(network.demand[a, b]) for a, b in np.argwhere(network.demand)}
    xy = None
    if network.coordinates is not None:
        xy = {names[v]: (float(x), float(y)) for v, (x, y) in enumerate(network.coordinates)}
    tolls = None if network.toll is None else [float(x) for x in network.toll]
    return truth.Truth(links, trips, xy, network.first_through, tolls)


def check(network: io.NetworkData) -> None:
    """What every NetworkData promises.

    Raises:
        Fault: it does not hold.
    """
    v, n = len(network.nodes), len(network.tail)
    holds = {
        "labels": all(isinstance(x, str) and x for x in network.nodes) and len(set(network.nodes)) == v,
        "name": isinstance(network.name, str),
        "units": all(isinstance(x, str) for pair in network.units.items() for x in pair),
        "ends": min(network.tail.min(), network.head.min()) >= 0 and max(network.tail.max(), network.head.max()) < v,
        "loops": not (network.tail == network.head).any(),
        "columns": all(np.shape(getattr(network, name)) == (n,) for name in network.PER_LINK),
        "finite": all(np.isfinite(getattr(network, name)).all() for name in network.PER_LINK),
        "signs": bool((network.capacity > 0).all() and (network.free_flow_time >= 0).all()),
        "first_through": isinstance(network.first_through, int) and 0 <= network.first_through <= v,
        "demand": np.shape(network.demand) == (v, v),
        "notes": all(isinstance(note, str) and not bad_sentence(note) for note in notes(network)),
    }
    if broken := [name for name, right in holds.items() if not right]:
        raise Fault("silent", f"a network whose {broken[0]} break its promise: {network!r}", f"broken {broken[0]}")
    if network.has_demand and not (np.isfinite(network.demand).all() and network.demand.min() >= 0):
        raise Fault("silent", "a demand that is not finite or negative", "broken demand")


class Bytes:
    """Files whose bytes are spoilt, and things that are no files: a proper answer, or a proper refusal."""

    name, share = "bytes", 3.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        real = sorted(Path(os.environ.get("MFNET_TNTP", folder)).glob("*/*_net.tntp")) if rng.random() < 0.1 else []
        if real:
            source = real[int(rng.integers(len(real)))]
            for file in source.parent.glob("*.tntp"):
                if file.stat().st_size < 300_000:
                    shutil.copy(file, folder)
            path = folder / source.name
        else:
            form = FORMATS[int(rng.integers(len(FORMATS)))]
            path = form.write(rng, form.sample(rng), folder, bool(rng.random() < 0.3))
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        spoilt = files[int(rng.integers(len(files)))]
        if rng.random() < 0.06:
            spoil_kind(rng, spoilt)
        elif rng.random() < 0.05:
            spoilt.write_bytes(files[int(rng.integers(len(files)))].read_bytes())
        else:
            spoilt.write_bytes(spoil_bytes(rng, spoilt.read_bytes()))
        if rng.random() < 0.1 and path.is_file():
            ending = pick(rng, [".gml", ".graphml", ".npz", ".txt", ".tntp", "", ".xml", ".GML"])
            path = path.rename(path.with_name(f"other{ending}"))
        trim = bool(rng.random() < 0.2)
        with heard() as said:
            network = attempt(lambda: io.load(path, trim=trim), (OSError,), names=_spoken_name(path))
        check(network)
        if numpy := [word for word in said if word.startswith("numpy:")]:
            raise Fault("silent", f"{numpy[0]} while reading, no sentence", numpy[0])
        if rng.random() < 0.2:
            there_and_back(network, folder)


def _spoken_name(path: Path) -> str:
    """The part of a path that a message about any of its files has."""
    return path.name if path.is_dir() else path.stem.split("_")[0]


def there_and_back(network: io.NetworkData, folder: Path) -> None:
    """to_npz and from_npz keep every number and every sentence."""
    back = io.NetworkData.from_npz(network.to_npz(folder / "back.npz"))
    if differs := differing(network, back):
        raise Fault("silent", f"{differs} changes through to_npz and from_npz", f"npz loses {differs}")


def differing(one: io.NetworkData, other: io.NetworkData) -> str:
    """The name of the first field in which two networks differ."""
    for name in one.__dataclass_fields__:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
            same = a is not None and b is not None and np.array_equal(a, b)
        else:
            same = type(a) is type(b) and a == b
        if not same:
            return name
    return ""


class Npz:
    """to_npz's files: a changed byte changes nothing or is refused; other contents are refused or keep the promises."""

    name, share = "npz", 1.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        form = FORMATS[int(rng.integers(2))]
        source = folder / "source"
        source.mkdir()
        with heard():
            network = io.load(form.write(rng, form.sample(rng), source, False))
        path = network.to_npz(folder / "city.npz")
        how = rng.random()
        if how < 0.5:
            path.write_bytes(spoil_bytes(rng, path.read_bytes()))
        elif how < 0.55:
            spoil_kind(rng, path)
        else:
            self.edited(rng, path)
        with heard():
            found = attempt(lambda: io.NetworkData.from_npz(path), (OSError,), names="city.npz")
        check(found)
        if how < 0.5 and (differs := differing(network, found)):
            raise Fault("silent", f"a damaged npz loads with another {differs}", f"damaged npz, {differs}")
        there_and_back(found, folder)

    @staticmethod
    def edited(rng: np.random.Generator, path: Path) -> None:
        import json

        with np.load(path) as archive:
            arrays = dict(archive)
        if rng.random() < 0.5:
            words = json.loads(arrays["words"].tobytes())
            key = pick(rng, list(words))
            words[key] = odd_json(rng)
            if rng.random() < 0.1:
                del words[key]
            arrays["words"] = np.frombuffer(json.dumps(words).encode(), np.uint8)
        else:
            name = pick(rng, list(arrays))
            arrays[name] = odd_array(rng, arrays[name])
            if rng.random() < 0.1:
                del arrays[name]
        np.savez_compressed(path, **arrays)


def odd_json(rng: np.random.Generator) -> Any:
    things: list[Any] = [
        None, True, -1, 0, 3, 1.5, 10**30, float("nan"), float("inf"), "", "abc", "<script>fuzz</script>", [], {},
        [1, 2], {"a": {}},
        ["a", "a"], [""], [[]], "x" * 3000, "two\nlines", {"time": 3}, -(2**63), 2**64, [None], "１",
    ]  # fmt: skip
    return things[int(rng.integers(len(things)))]


def odd_array(rng: np.random.Generator, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Another shape, another type, or values that do not belong there."""
    changes: list[Callable[[], Any]] = [
        lambda: array[:-1], lambda: array[None], lambda: array.reshape(-1)[:0], lambda: array.astype(str),
        lambda: array.astype(complex), lambda: array.astype(np.float32), lambda: array.astype(bool),
        lambda: array.astype("datetime64[s]"),
        lambda: np.full(array.shape, np.nan), lambda: np.full(array.shape, np.inf), lambda: np.full(array.shape, -1),
        lambda: np.full(array.shape, 2**62), lambda: np.full(array.shape, 1e308), lambda: array.astype(float) + 0.5,
        lambda: np.array(3.0),
        lambda: np.concatenate([array.reshape(-1)] * 2), lambda: np.zeros(2_000_000), lambda: np.zeros(array.shape),
        lambda: array.astype(object).astype("S5"), lambda: array.astype(">f8"), lambda: np.asfortranarray(array),
    ]  # fmt: skip
    try:
        return np.asarray(changes[int(rng.integers(len(changes)))]())
    except (ValueError, TypeError, IndexError):  # a single number has no rows
        return np.array([])


class Flows:
    """TNTP's ``_flow`` files and SNDlib's demand matrices, one word spoilt: the numbers of the file, or a refusal."""

    name, share = "flows", 0.3

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        if rng.random() < 0.5:
            self.flow(rng, folder)
        else:
            self.matrix(rng, folder)

    def flow(self, rng: np.random.Generator, folder: Path) -> None:
        tables = tntp_tables(rng)
        network = io.load(write_tntp(rng, tables, folder, False))
        rows = [{"a": r["a"], "b": r["b"], "volume": str(rng.integers(9)), "cost": "1.5"} for r in tables["links"]]
        spoilt, change = spoil_tables(rng, {"flow": rows})
        (folder / "change.txt").write_text(change, "utf-8", "surrogatepass")
        text = "From To Volume Cost\n" + "".join(" ".join(row.values()) + "\n" for row in spoilt["flow"])
        path = folder / "city_flow.tntp"
        path.write_text(text, "utf-8", "surrogatepass")
        with heard() as said:
            volume, cost = attempt(lambda: io.read_flow(path, network), (OSError,), names="city")
        try:
            words = [word for row in spoilt["flow"] for word in row.values()]
            if any(len(word.split()) != 1 or set(word) & set(":;~<") for word in words):
                return
            wanted = {}
            for row in spoilt["flow"]:
                ends = str(truth.count(row["a"])), str(truth.count(row["b"]))
                if ends in wanted:
                    raise truth.Unreadable("twice")
                wanted[ends] = truth.number(row["volume"], 0), truth.number(row["cost"])
        except truth.Unreadable as why:
            if said:
                return
            raise Fault("silent", f"{change}: accepted without a word ({why})", "flow accepted") from None
        for i, (a, b) in enumerate(zip(network.tail, network.head, strict=True)):
            found = float(volume[i]), float(cost[i])
            if found != wanted.get((network.nodes[a], network.nodes[b])):
                raise Fault("silent", f"{change}: the flow is {found}", "flow differs")

    def matrix(self, rng: np.random.Generator, folder: Path) -> None:
        tables = sndlib_tables(rng)
        network = io.load(write_sndlib_native(rng, tables, folder, False))
        spoilt, change = spoil_tables(rng, {"demands": tables["demands"]})
        (folder / "change.txt").write_text(change, "utf-8", "surrogatepass")
        place = folder / "matrices"
        place.mkdir()
        write = write_sndlib_xml if rng.random() < 0.5 else write_sndlib_native
        write(rng, {"nodes": [], "links": [], **spoilt}, place, False)
        with heard() as said:
            _, trips = attempt(lambda: io.read_matrices(place, network), (OSError,), names="backbone")
        whole: truth.Tables = {**tables, **spoilt}
        try:
            wanted = truth.sndlib(whole, both_ways=False).trips
        except truth.Unsure:
            return
        except truth.Unreadable as why:
            if said or "within" in str(why):
                return
            raise Fault("silent", f"{change}: accepted without a word ({why})", "matrix accepted") from None
        found = {(network.nodes[a], network.nodes[b]): float(trips[0, a, b]) for a, b in np.argwhere(trips[0])}
        if differs := truth.difference(truth.Truth([], found), truth.Truth([], wanted)):
            raise Fault("silent", f"{change}: {differs}", "matrix differs")


class Taxi:
    """The taxi commission's parquet files: counts as a loop over the rows has them, or a refusal."""

    name, share = "parquet", 0.5

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        n = int(rng.integers(1, 30))
        start = np.datetime64("2023-05-01T00:00", "us") + rng.integers(0, 10**6, n).astype("timedelta64[s]")
        end = start + rng.integers(1, 5000, n).astype("timedelta64[s]")
        zones = rng.integers(1, 264, (2, n))
        table = {"tpep_pickup_datetime": pa.array(start), "tpep_dropoff_datetime": pa.array(end)}
        table |= {"PULocationID": pa.array(zones[0]), "DOLocationID": pa.array(zones[1])}
        how, path = rng.random(), folder / "trips.parquet"
        if how < 0.4:
            name = pick(rng, list(table))
            odd: list[Any] = [
                pa.nulls(n), pa.array(["x"] * n), pa.array([1.5] * n), pa.array([2**40] * n), pa.array([-1] * n),
                pa.array(["7"] * n),
                pa.array([[1]] * n), pa.array([True] * n), pa.array(np.full(n, np.nan)), pa.array([2**62] * n),
            ]  # fmt: skip
            table[name] = odd[int(rng.integers(len(odd)))]
            if rng.random() < 0.1:
                del table[name]
        pq.write_table(pa.table(table), path)
        if how > 0.6:
            path.write_bytes(spoil_bytes(rng, path.read_bytes()))
        with heard() as said:
            found = attempt(lambda: io.read_tlc(path), (OSError,), names="trips.parquet")
        if found.trips.min(initial=0) < 0 or found.trips.sum() > n:
            raise Fault("silent", f"{found.trips.sum()} trips from {n} rows", "more trips than rows")
        if 0.4 <= how <= 0.6 and (found.trips.sum() != n or said):
            raise Fault("silent", f"{found.trips.sum()} of {n} trips; {said}", "valid rows lost")
        if found.trips.sum() < n and not said:
            raise Fault("silent", f"{found.trips.sum()} of {n} trips are counted, no word", "rows lost in silence")


class Named:
    """``load`` by names that lead nowhere."""

    name, share = "names", 0.1

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        names = ["", ".", "..", "/", "topohub:", "topohub:x", "topohub:../../etc", "topohub:sndlib/abilene", "a\x00b",
                 "é" * 300,
                 "x" * 5000, "/dev/null", "/dev/full", "/proc/self/mem", "http://x.y/z.gml", "~",
                 "nobody.tntp"]  # fmt: skip
        odd: list[Any] = [*names, None, 3, b"x", [], Path("nobody"), 1.5, True]
        name = odd[int(rng.integers(len(odd)))]
        (folder / "name.txt").write_text(repr(name))
        with heard():
            check(attempt(lambda: io.load(name), (OSError,)))
