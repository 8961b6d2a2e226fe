"""The page of a run while it trains: a server on this machine's loopback that reads its folder and changes nothing.

It knows three addresses, the page, what has changed in it, and ``report.html`` where there is one; no address is ever a
path. Other sites cannot ask it anything: it answers to its own name only, which stops names that are bound to this
machine (DNS rebinding), and sends no permission to read across sites.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from mfnet_agents.pages import frame, plot, record
from mfnet_agents.pages import run as report
from mfnet_agents.pages.charts import Level
from mfnet_agents.pages.frame import Markup, each, tag
from mfnet_agents.progress import clock, finite
from mfnet_agents.runs import RunError, RunFolder
from mfnet_agents.runs.folder import COLUMNS
from mfnet_agents.runs.lock import LOCK
from mfnet_envs.arrays import Floats
from mfnet_envs.yardstick import Yardstick

HOST = "127.0.0.1"
LINGER = 5.0  # seconds that the last state is kept for a page that has not asked yet
READS = ("config.json", "progress.csv", "result.json", "heuristics.json", "report.html", LOCK)


class Watched:
    """What there is to be seen of a run, read anew when one of its files has changed.

    Attributes:
        ended: whether it trains no more: it has its result, was stopped, or its process is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.ended = path, False
        self._lock = threading.Lock()
        self._kept: dict[str, Any] = {"revision": ""}

    def look(self) -> dict[str, Any]:
        """The state as plain values: ``revision``, ``state`` in words, ``ended``, ``rows`` (steps, headline, half its
        95 % interval of each evaluation), ``page`` (HTML)."""
        with self._lock:
            revision = self._revision()
            if revision != self._kept["revision"]:
                try:
                    self._kept = {**self._read(), "revision": revision}
                except (RunError, ArithmeticError, LookupError, TypeError, ValueError) as error:
                    words = f"the run cannot be read: {error}"
                    self._kept = {"state": words, "ended": self.ended, "rows": [], "page": "", "revision": revision}
            return self._kept

    def _revision(self) -> str:
        """Changes with the files and with the process that owns them."""
        self.ended = not is_training(self.path)
        found = [f"{self.ended:d}"]
        for name in READS:
            try:
                about = (self.path / name).stat()
                found.append(f"{about.st_mtime_ns:x}-{about.st_size:x}")
            except OSError:
                found.append("")
        return ".".join(found)

    def _read(self) -> dict[str, Any]:
        folder = RunFolder(self.path)
        started, result = folder.read("config.json"), folder.read("result.json")
        if not started:
            state = "the run has left nothing" if self.ended else "the run is about to begin"
            return {"state": state, "ended": self.ended, "rows": [], "page": ""}
        yardstick, rows = folder.yardstick(), folder.rows()
        rows = [row for row in rows if None not in row.values()]  # not one that is being written
        curve = record.curve(rows, yardstick) if rows else np.zeros((0, 3))
        done, seconds = (float(rows[-1][name]) if rows else 0.0 for name in COLUMNS[1:])
        total = started["config"]["total_env_steps"]
        head = f"{done:,.0f} of {total:,} environment steps, {clock(seconds)} of training"
        if self.ended and "best" in result:
            state, (parts, lines) = "finished", _finished(self.path)
        else:
            state = "stopped" if self.ended else "measuring what was learnt" if done >= total else "training"
            parts, lines = _going(started, yardstick, curve), report.bound_level(yardstick)
        if len(curve):
            duration = int(started["config"].get("evaluation_duration") or 0)
            chart, caption = report.learning_curve(curve, lines, yardstick, duration)
            parts.append(frame.section(chart.title, plot.figure(chart, caption)))
        return {"state": f"{state}: {head}", "ended": self.ended, "rows": curve.tolist(), "page": "".join(parts)}


def _going(started: dict[str, Any], yardstick: Yardstick, curve: Floats) -> list[Markup]:
    """The latest evaluation and the bound."""
    facts = []
    for _, value, ci95 in curve[-1:]:
        facts.append((yardstick.text(value, ci95), f"{yardstick.unit}, at the latest evaluation"))
    if yardstick.bound is not None:
        facts.append((yardstick.text(yardstick.bound), "the bound, which no policy exceeds"))
    notes = [tag("ul", each("li", started["notes"]))] if started.get("notes") else []
    return [tag("header", tag("h2", started["config"]["env"]), frame.facts(facts), *notes)]


def _finished(path: Path) -> tuple[list[Markup], list[Level]]:
    """What the report begins with, and the levels of its learning curve; a link to it where it has been written."""
    found, model = report.read(path)
    there = (path / "report.html").is_file()
    more = (
        tag("a", "The whole report", href="report.html")
        if there
        else f"`mfnet report {shlex.quote(str(path))}` writes the whole report"
    )
    parts = [report.header(found, model, "h2"), tag("p", more), report.policies(found, model.wording)]
    return parts, report.levels(found.measured)


def is_training(path: Path) -> bool:
    """Whether a process of this machine, or of another one that shares the folder, owns the run."""
    try:
        holder = (path / LOCK).read_text("utf-8", errors="replace")
    except OSError:
        return False
    said = re.match(r"process (\d+) on (.*) since ", holder)
    if os.name != "posix" or said is None or said[2] != platform.node():
        return True
    try:
        os.kill(int(said[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


# -- the server


class Server(ThreadingHTTPServer):
    """Serves one run.

    Attributes:
        address: of the page. asked: whether a page has asked for the state. told: it has been given the last one.

    Raises:
        OSError: the port is taken, or may not be used.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would let two servers share a port

    def __init__(self, path: Path, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.watched, self.told, self.asked = Watched(path), threading.Event(), False
        self.address = f"http://{HOST}:{self.server_address[1]}/"
        title = f"{path.resolve().name}: a run"
        head = tag("header", tag("h1", path.resolve().name), tag("p", "reading the run ...", id="state", role="status"))
        live = tag("div", id="live")
        text = frame.page(title, head, live, script=frame.shipped("live.js"), connect="'self'")
        self.page = text.encode()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 30
    server_version, sys_version = "mfnet", ""

    def do_GET(self) -> None:
        try:
            url = urlsplit(self.path)
        except ValueError:  # such as "http://["
            self._answer(HTTPStatus.BAD_REQUEST, b"this is no address\n", "text/plain")
            return
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self._answer(HTTPStatus.FORBIDDEN, b"this server answers to its own name only\n", "text/plain")
        elif url.path == "/":
            self._answer(HTTPStatus.OK, self.server.page, "text/html")
        elif url.path == "/run.json":
            self._state(parse_qs(url.query).get("seen", [""])[0])
        elif url.path == "/report.html" and (self.server.watched.path / "report.html").is_file():
            self._answer(HTTPStatus.OK, (self.server.watched.path / "report.html").read_bytes(), "text/html")
        elif url.path == "/favicon.ico":
            self._answer(HTTPStatus.NO_CONTENT)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there is nothing here\n", "text/plain")

    do_HEAD = do_GET

    def refuse(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"a run is read here, and nothing else\n", "text/plain")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = refuse

    def _state(self, seen: str) -> None:
        self.server.asked = True
        found = self.server.watched.look()
        if found["revision"] == seen:
            self._answer(HTTPStatus.NO_CONTENT)
        else:
            self._answer(HTTPStatus.OK, json.dumps(finite(found)).encode(), "application/json")
        if found["ended"]:
            self.server.told.set()

    def _answer(self, status: HTTPStatus, body: bytes = b"", kind: str = "") -> None:
        self.send_response(status)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
        headers |= {"X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin"}
        headers |= {"Allow": "GET, HEAD"} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        headers |= {"Content-Type": f"{kind}; charset=utf-8"} if kind else {}
        headers |= {"Content-Length": str(len(body))} if kind else {}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@contextmanager
def serving(path: Path, port: int = 0) -> Iterator[Server]:
    """A server of this run in a thread of its own, until the block ends.

    Raises:
        RunError: the port is taken, or may not be used.
    """
    try:
        server = Server(path, port)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise RunError(f"port {port} cannot be used ({why}); name another one, or 0 for any that is free") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until_told(server: Server, seconds: float = LINGER) -> None:
    """Wait until an open page has fetched how the run ended, so that it need not be told that nobody answers."""
    if server.asked:
        server.told.wait(seconds)


def follow(server: Server, every: float = 0.5) -> None:
    """Serve until the run ends; a run that has ended already, for ever."""
    began_ended = not is_training(server.watched.path)
    while began_ended or is_training(server.watched.path):
        time.sleep(every)
    until_told(server)
