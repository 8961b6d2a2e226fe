"""The page of a run asked by strangers, submissions that are none, and the younger commands."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import mfnet_envs
import mfnet_envs.policy_file as signing
from fuzz import odd, stored
from fuzz.files import odd_array
from fuzz.judging import Fault, attempt, told
from fuzz.kills import SUITE, Compares, compare, standing
from fuzz.mutations import pick, spoil_bytes, spoil_kind
from fuzz.options import LINKS
from fuzz.processes import BUSY, Surroundings, busy_seconds, mfnet

# -- mfnet watch -------------------------------------------------------------------------------------------------------

SECRET = b"outside-of-the-run"
PATIENCE, LONGEST = 10.0, 120.0  # seconds for a piece of an answer to a whole request; in all, while the server works


class Requests:
    """Whatever is sent to the page of a run: an answer or none, no file but its own, and it goes on."""

    name, share = "requests", 2.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        from mfnet_agents.pages import live

        run = folder / "run"
        shutil.copytree(stored.trained(False)[0], run)
        (folder / "secret.txt").write_bytes(SECRET)
        (run / "secret.txt").write_bytes(SECRET)
        damage = stored.Folders.damage(rng, run) if rng.random() < 0.3 else ""
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
        raised: list[str] = []
        with live.serving(run) as server:

            def heard(request: Any, client_address: Any) -> None:
                error = sys.exc_info()[1]
                if error is not None and not isinstance(error, ConnectionError | TimeoutError):
                    raised.append(told(error))

            server.handle_error = heard  # type: ignore[method-assign]
            port = server.server_address[1]
            for _ in range(4):
                raw, whole, ours = self.request(rng, port)
                (folder / "request.bin").write_bytes(raw[:100_000])
                self.judge(said(port, raw, whole), raw, whole, ours)
            answer = said(port, f"GET /run.json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode(), True)
            if not answer.startswith(b"HTTP/1.0 200 "):
                raise Fault("hang", f"{damage}: afterwards it answers {answer[:200]!r}", "no longer serves")
            found = json.loads(answer.partition(b"\r\n\r\n")[2])
            if stored.MARK in found["page"]:  # "state" is shown as text (live.js), this is put in as HTML
                raise Fault("silent", f"{damage}: markup of a file stands in run.json", "markup in the page")
        if raised:
            raise Fault("traceback", f"{damage}\n{raised[0]}", raised[0].strip().splitlines()[-1][:100])
        if before != {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}:
            raise Fault("silent", "the run's files have changed", "files changed")

    def request(self, rng: np.random.Generator, port: int) -> tuple[bytes, bool, bool]:
        """The bytes, whether they end as a request does, and whether they ask by the server's own name."""
        huge = "x" * int(rng.choice([10, 70_000, 3_000_000]))
        method = pick(rng, ["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get",
                            "", "É", "x" * 300])  # fmt: skip
        path = pick(rng, [
            "/", "/", "/run.json", "/run.json?seen=1", "/run.json?seen=%ff%00", "/report.html", "/favicon.ico",
            "/secret.txt", "/../secret.txt", "/..%2fsecret.txt", "//secret.txt", "/config.json", "/./report.html",
            "http://evil.example/run.json", "http://[", "//[", "*", "", "/\x00", "/é", "/%", "/run.json?" + "&" * 3000,
            "/run.json?" + "a=1&" * 3000, "/report.html/../secret.txt", "/" + huge, "?", "#", "/run.json;x", "///",
        ])  # fmt: skip
        version = pick(rng, ["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/x", "", "HTTP/1.1.1",
                             "http/1.1", f"HTTP/1.{'1' * 30}"])  # fmt: skip
        own = rng.random() < 0.75
        hosts = [f"evil.example:{port}", "", f"127.0.0.1:{port}.evil", "127.0.0.1", "é", huge, f"[::1]:{port}"]
        headers = [f"Host: {f'127.0.0.1:{port}' if own else pick(rng, hosts)}"]
        more = ["Content-Length: 99999999999", "Content-Length: -1", "Content-Length: x", "Transfer-Encoding: chunked",
                "Expect: 100-continue", "Connection: keep-alive", "Range: bytes=0-1", "x", ":", " folded", f"X: {huge}",
                "Origin: null", "Upgrade: websocket", "Accept-Encoding: gzip", "Cookie: a=b", "\x00: \x00"]  # fmt: skip
        headers += [pick(rng, more) for _ in range(int(rng.choice([0, 1, 2, 200])))]
        raw = "\r\n".join([f"{method} {path} {version}", *headers, "", ""]).encode("utf-8", "surrogateescape")
        plain = len(raw) < 30_000 and method == "GET" and version.startswith("HTTP/1.") and len(headers) == 1
        if rng.random() < 0.1:
            return raw[: int(rng.integers(len(raw) + 1))], False, False
        if rng.random() < 0.1:
            return spoil_bytes(rng, raw), False, False
        return raw, True, own and plain

    def judge(self, answer: bytes, raw: bytes, whole: bool, ours: bool) -> None:
        asked = raw[:80]
        if SECRET in answer:
            raise Fault("silent", f"{asked!r} is given a file of the disk", "a file of the disk")
        if not answer:
            if ours:
                raise Fault("hang", f"{asked!r} is not answered", "no answer")
            return
        head, _, body = answer.partition(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1."):
            return  # of HTTP/0.9, which has no head
        status = int(head.split()[1])
        if status >= 500 and status not in (501, 505):
            raise Fault("traceback", f"{asked!r}: {head[:200]!r}", f"status {status}")
        foreign = b"Host: 127.0.0.1:" not in raw or b".evil\r\n" in raw
        if whole and foreign and status == 200:
            raise Fault("silent", f"{asked!r} is answered to another name", "another name is answered")
        if status == 200 and asked.split(b" ")[0] not in (b"GET", b"HEAD"):
            raise Fault("silent", f"{asked!r} is answered with 200", "another method is answered")
        if raw.startswith(b"HEAD ") and body and status == 200:
            raise Fault("silent", f"{asked!r} is answered with a body", "HEAD with a body")
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name.lower() == b"content-length" and not raw.startswith(b"HEAD ") and int(value) != len(body):
                raise Fault("silent", f"{asked!r}: {int(value)} bytes are promised, {len(body)} sent", "length")


def said(port: int, raw: bytes, whole: bool) -> bytes:
    """What comes back; after half a request nothing is waited for.

    Raises:
        Fault: a whole request is held open.
    """
    found = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
            line.sendall(raw)
            if not whole:
                with contextlib.suppress(OSError):  # it has answered and gone
                    line.shutdown(socket.SHUT_WR)
            while piece := received(line):
                found += piece
    except ConnectionError:
        pass  # it would not hear all of a huge one
    except TimeoutError:
        raise Fault("hang", f"{raw[:80]!r}: no end of the answer within {PATIENCE:g} s", "no end") from None
    return found


def received(line: socket.socket) -> bytes:
    """The next piece.

    Raises:
        TimeoutError: the server, whose threads are ours, leaves us without one, and not for want of a processor.
    """
    began, busy = time.monotonic(), busy_seconds(os.getpid())
    while True:
        try:
            return line.recv(1 << 16)
        except TimeoutError:
            before, busy = busy, busy_seconds(os.getpid())
            if time.monotonic() - began > LONGEST or busy - before < BUSY * PATIENCE:
                raise


# -- submissions -------------------------------------------------------------------------------------------------------


@cache
def policy_file() -> bytes:
    path = Path(tempfile.mkdtemp(prefix="fuzz-policy-")) / "p.npz"
    model = mfnet_envs.make_model("MFNet-Grid-v0", **SUITE["instances"][0]["env_config"])  # type: ignore[index]
    mfnet_envs.save_policy(model.heuristics()["random"], path)
    return path.read_bytes()


def submitted(rng: np.random.Generator, folder: Path) -> Path:
    """A submission of the small suite, often with one thing wrong."""
    record: dict[str, Any] = {"name": "mine", "about": "a test", "policies": {"g": "p.npz"}}
    policy, path = folder / "p.npz", folder / "mine.json"
    policy.write_bytes(policy_file())
    how = rng.random()
    if how < 0.3:
        stored.edit(rng, record)
    elif how < 0.4:
        policy.write_bytes(spoil_bytes(rng, policy.read_bytes()))
    elif how < 0.6:
        arrays = dict(np.load(policy))
        words = json.loads(arrays.pop("words").tobytes())
        if rng.random() < 0.5:
            stored.edit(rng, words)
        else:
            name = pick(rng, list(arrays))
            arrays[name] = odd_array(rng, arrays[name])
        words.pop("digest", None)  # signed anew
        with contextlib.suppress(KeyError, TypeError, ValueError):
            words["digest"] = signing._digest(words, arrays)
        np.savez(policy, words=np.frombuffer(json.dumps(words).encode(), np.uint8), **arrays)
    elif how < 0.65:
        spoil_kind(rng, policy)
    elif how < 0.7:
        record["policies"] = {"g": pick(rng, [".", "..", "/dev/zero", "mine.json", "", "/etc/hostname", "x" * 300])}
    path.write_text(json.dumps(record))
    if how > 0.95:
        path.write_bytes(spoil_bytes(rng, path.read_bytes()))
    return path


class Submissions:
    """Configs and policy files that are none: refused in a sentence, or a policy whose shares are probabilities."""

    name, share = "submissions", 1.5

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        from mfnet_agents.comparison import submission, suites

        path = submitted(rng, folder)
        if rng.random() < 0.4:
            policy = attempt(lambda: mfnet_envs.load_policy(folder / "p.npz"), (OSError,))
        else:
            found = attempt(lambda: submission.read(path), (OSError,))
            suite = suites.from_record(json.loads(json.dumps(SUITE)), "tiny.json")
            attempt(lambda: submission.check(found, suite.instances, [i.name for i in suite.instances]), (OSError,))
            policy = attempt(lambda: found.policy(suite.instances[0]), (OSError,))
        model = attempt(lambda: policy.model)
        counts = mfnet_envs.Simulator(model).reset(np.random.default_rng(0), 1)
        shares = attempt(lambda: policy.teams(counts, 0))
        place = pick(rng, [*policy.places, "nowhere"])
        size, turn = (odd.value(rng) if rng.random() < 0.2 else int(rng.integers(0, 9)) for _ in range(2))
        at = attempt(lambda: policy.at(place, size, turn))  # type: ignore[arg-type]
        if abs(sum(at.values()) - 1) > 1e-6 or min(at.values()) < -1e-9 or (shares < 0).any():
            raise Fault("silent", f"{at} are no probabilities", "no probabilities")


# -- comparisons -------------------------------------------------------------------------------------------------------


@cache
def board() -> tuple[Path, dict[str, Any]]:
    """The folder of a small comparison that has ended, and what it has come to; once in a process."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-board-")) / "case"
    folder.mkdir()
    (folder / "tiny.json").write_text(json.dumps(SUITE))
    answer = mfnet(Compares.COMMAND, Surroundings(folder))
    if answer is None or answer.code:
        raise Fault("traceback", f"a plain comparison fails: {answer}", "a plain comparison fails")
    return folder / "c", standing(folder / "c")


class Boards:
    """A damaged folder of a comparison: it goes on, is reported, or is refused in a sentence; no markup in its page."""

    name, share = "boards", 2.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        source, wanted = board()
        place = folder / "c"
        shutil.copytree(source, place)
        (folder / "tiny.json").write_text(json.dumps(SUITE))
        how = self.damage(rng, place)
        command = ["report", "c"] if rng.random() < 0.6 else ["compare", "--out", "c", "--resume", "--jobs", "1"]
        told = f"{how}; mfnet {' '.join(command)}"
        (folder / "damage.txt").write_text(told + "\n", "utf-8", "backslashreplace")
        answer = mfnet(command, Surroundings(folder))
        assert answer is not None
        stored.judge(answer, told)
        pages = [path.read_text("utf-8", "replace") for path in place.glob("*.html")]
        if any(stored.MARK in page for page in pages):
            raise Fault("silent", f"{told}: markup of a file stands in a page", "markup in the page")
        if how.startswith("gone") and command[0] == "compare":
            compare(standing(place), wanted)  # whatever is made again is the same

    @staticmethod
    def damage(rng: np.random.Generator, place: Path) -> str:
        files = sorted(str(p.relative_to(place)) for p in place.rglob("*.json") if p.is_file())
        name, how = pick(rng, files), rng.random()
        file = place / name
        if how < 0.15:
            file.unlink()
            return "gone: " + name
        if how < 0.25:
            return f"{name}: {spoil_kind(rng, file)}"
        if how < 0.4:
            file.write_bytes(spoil_bytes(rng, file.read_bytes()))
            return f"{name}: bytes"
        tree = json.loads(file.read_text())
        words = stored.edit(rng, tree)
        file.write_text(json.dumps(tree, indent=1))
        return f"{name}: {words}"


# -- commands ----------------------------------------------------------------------------------------------------------

GUESTS = """
from mfnet_agents.comparison.guests import Iterate
from mfnet_envs import make_model
from mfnet_envs.policy import uniform
def train(env, env_config, budget, seed, lr=1e-3):
    policy = uniform(make_model(env, **env_config))
    yield Iterate(0, policy)
    yield Iterate(min(16, budget), policy)
def late(env, env_config, budget, seed):
    yield Iterate(5, uniform(make_model(env, **env_config)))
def much(env, env_config, budget, seed):
    for steps in (0, budget + 1):
        yield Iterate(steps, uniform(make_model(env, **env_config)))
def nothing(env, env_config, budget, seed):
    yield from ()
def words(env, env_config, budget, seed):
    yield "policy"
def raises(env, env_config, budget, seed):
    yield Iterate(0, uniform(make_model(env, **env_config)))
    raise RuntimeError("two\\nlines")
def back(env, env_config, budget, seed):
    for steps in (0, 9, 3):
        yield Iterate(steps, uniform(make_model(env, **env_config)))
def plain(x):
    return x
"""


@cache
def driven() -> Path:
    """The folder of a small run on roads, whose links can be closed."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-roads-")) / "case"
    folder.mkdir()
    quick = ["num_envs_per_env_runner=2", "rollout_fragment_length=4", "evaluation_duration=2"]
    answer = mfnet(
        ["train", "MFNet-Routing-v0", "--out", "roads", "--steps", "16", "--worlds", "2", "--no-preset",
         "--no-tensorboard", "--set", *quick, "--env", "population=6", "rows=2", "cols=2"],
        Surroundings(folder),
    )  # fmt: skip
    if answer is None or answer.code:
        raise Fault("traceback", f"a plain run fails: {answer}", "a plain run fails")
    return folder / "roads"


class Verbs(stored.Commands):
    """The younger commands: ``what-if``, ``tune``, ``compare`` of submissions and guests, ``init``, ``doctor`` ..."""

    name, share = "verbs", 3.0

    def prepared(self, rng: np.random.Generator, here: Path) -> None:
        shutil.copytree(driven(), here / "roads")
        submitted(rng, here)
        (here / "guest.py").write_text(GUESTS)
        (here / "empty").mkdir()

    def argv(self, rng: np.random.Generator) -> list[str]:
        rest: dict[str, Callable[[], list[str]]] = {
            "what-if": lambda: [self.ran(rng), *self.some(rng, self.of_what_if(rng)), "--worlds", "2"],
            "tune": lambda: self.tune(rng),
            "compare": lambda: ["tiny.json", "--jobs", "1", *self.some(rng, self.of_guests(rng))],
            "init": lambda: [pick(rng, ["scenario", "learner", "x"]), self.folder(rng), *self.some(rng, [["--json"]])],
            "doctor": lambda: [pick(rng, ["--json", "--x", "x"])],
            "completion": lambda: [pick(rng, ["bash", "zsh", "fish", "tcsh", "", "powershell", "BASH"])],
            "env instances": lambda: self.some(rng, [[pick(rng, ["grid", "city", "", "gird", "é"])], ["--json"]]),
            "env show": lambda: [self.instance(rng), *self.env(rng), *self.some(rng, [["--json"]])],
            "env render": lambda: [self.instance(rng), "--steps", "2", "--out", self.file(rng), *self.env(rng)],
            "watch": lambda: [pick(rng, ["nowhere", "", "own.py", "empty", "port"]), "--port", self.port(rng)],
            "export": lambda: [self.ran(rng), *self.some(rng, [["--out", self.folder(rng)], ["--json"]])],
        }  # fmt: skip
        verb = pick(rng, [*rest, "what-if", "what-if", "tune", "compare", "compare", "env show"])
        words = [*verb.split(), *(["--help"] if rng.random() < 0.03 else rest[verb]())]
        if rng.random() < 0.05 and verb != "watch":
            words.insert(int(rng.integers(len(words) + 1)), self.odd(rng))
        return [word.replace("\x00", "") for word in words]

    def ran(self, rng: np.random.Generator) -> str:
        return "roads" if rng.random() < 0.8 else self.path(rng)

    def of_what_if(self, rng: np.random.Generator) -> list[list[str]]:
        factors = ["x1.2"] * 9 + [
            "x2",
            "x0.5",
            "1.2",
            "x",
            "x0",
            "x-1",
            "xnan",
            "x1e400",
            "x1e6",
            "x1000001",
            "xx2",
            "x1_0",
            "x٣",
        ]
        prices = ["0.5"] * 8 + ["0", "-1", "nan", "inf", "", "x", "1e300"]
        on = ["demand_scale", "population", "close", "toll", "vehicles", "x", "profile", "rows"]
        links = [pick(rng, LINKS) for _ in range(int(rng.integers(1, 3)))]
        return [["--close", *links], ["--demand", pick(rng, factors)],
                ["--toll", pick(rng, ["marginal", f"{pick(rng, LINKS)}={pick(rng, prices)}"])],
                ["--toll", f"{pick(rng, LINKS)}={pick(rng, prices)}"], ["--population", self.few(rng)],
                ["--on", f"{pick(rng, on)}={self.worth(rng)}"], ["--seed", self.few(rng)], ["--json"],
                ["--retrain"], ["--out", self.folder(rng)]]  # fmt: skip

    def tune(self, rng: np.random.Generator) -> list[str]:
        learner = pick(rng, ["DecNeuralAC", "guest.py:train", "guest.py:late", "guest.py:plain", "heuristics", "IPPO",
                             "planner:replan", "guest.py:raises", self.odd(rng)])  # fmt: skip
        small = ["num_envs_per_env_runner=2", "rollout_fragment_length=4"] if learner == "DecNeuralAC" else []
        chosen = [*small, *([f"{pick(rng, ['actor_lr', 'lr', 'seed', 'x'])}={self.worth(rng)}"] if rng.random() < 0.4
                            else [])]  # fmt: skip
        place = ["rows=2", "cols=2", "population=6", "horizon=5"]
        return ["MFNet-Grid-v0" if rng.random() < 0.9 else self.instance(rng), learner, "--trials",
                pick(rng, ["1", "1", "2", "2", "0", "x"]), "--jobs", "1",
                "--budget", pick(rng, ["16", "64", "64", "1", "0"]),
                *(["--set", *chosen] if chosen else []), "--env", *place,
                *self.some(rng, [["--hours", self.time(rng)], ["--folder", self.folder(rng)], ["--out", self.file(rng)],
                                 ["--resume"], ["--json"]])]  # fmt: skip

    def of_guests(self, rng: np.random.Generator) -> list[list[str]]:
        names = [f"guest.py:{name}" for name in ("train", "late", "much", "nothing", "words", "raises", "back", "plain",
                                                 "absent", "train:lr=x", "train:budget=3", "train:x=1")]  # fmt: skip
        names += ["sb3:PPO", "sb3:", "sb3:Nothing", "submission:", "submission:mine.json", "nowhere.py:train"]
        return [["--submission", pick(rng, ["mine.json", "mine.json", "p.npz", "", "nowhere", "empty", "my town"])],
                ["--contenders", pick(rng, names), pick(rng, [*names, "heuristics"])], ["--hours", self.time(rng)],
                ["--seeds", pick(rng, ["1", "1", "0"])], ["--instances", pick(rng, ["g", "g", "g", "h"])],
                ["--resume"], ["--json"],
                ["--out", self.folder(rng)]]  # fmt: skip

    def few(self, rng: np.random.Generator) -> str:
        return pick(rng, ["3", "5", "7", "9"]) if rng.random() < 0.7 else self.count(rng)

    @staticmethod
    def time(rng: np.random.Generator) -> str:
        return pick(rng, ["1", "0", "-1", "nan", "inf", "1e5", "", "x", "0.5", "10000", "1e-9", "1e-4", *"11111"])

    @staticmethod
    def port(rng: np.random.Generator) -> str:
        return pick(rng, ["0", "1", "80", "65536", "-1", "x", "", "9" * 18, "٣", "8080.0"])

    @staticmethod
    def folder(rng: np.random.Generator) -> str:
        return pick(rng, ["new", "new", "new", "b c", "new/deep", "empty", "roads", "own.py", "", ".", "own.py/x", "é",
                          "x" * 300, "/dev/null", "/proc/x", "a b", "-"])  # fmt: skip

    def instance(self, rng: np.random.Generator) -> str:
        return pick(rng, ["instance:grid-test-4", "instance:grid-train-0", "instance:city-test-0", "instance:",
                          "instance:x", "instance:grid-test-9", "instance:grid-large-mild-light-seed7",
                          "instance:grid-test-4:x",
                          "mfnet_envs.instances:grid-test-4", "mfnet_envs.instances:split", "INSTANCE:grid-test-4",
                          "instance:../x", "MFNet-Grid-v0"])  # fmt: skip
