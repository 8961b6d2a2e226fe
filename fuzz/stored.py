"""Checkpoints and run folders, damaged: refused in a sentence, or as they were, bit for bit."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from fuzz import odd
from fuzz.files import odd_array, odd_json
from fuzz.formats import city_csv_tables, write_city_csv
from fuzz.judging import Fault, Refused, attempt, place, told
from fuzz.kills import CONTENDERS, PLACE, SUITE, train
from fuzz.mutations import nasty, pick, spoil_bytes, spoil_kind
from fuzz.processes import Answer, Surroundings, mfnet

MARK = "<script>mfnet-fuzz</script>"
TRAINED = ("practical", "paper", "stationary")


def config(kind: str, seed: int = 0) -> Any:
    from mfnet_agents import DecNeuralACConfig

    place = {"rows": 2, "cols": 2, "population": 6, "horizon": 5}
    chosen = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=place).debugging(seed=seed)
    chosen = chosen.env_runners(num_envs_per_env_runner=2, rollout_fragment_length=4).training(total_env_steps=80)
    chosen = chosen.evaluation(evaluation_duration=2)
    if kind == "paper":
        return chosen.training(mode="paper", critic_steps=5, actor_samples=2, critic_width=4, actor_width=4)
    return chosen.training(sampling="stationary", burn_in=2, optimizer="sgd") if kind == "stationary" else chosen


@cache
def saved(kind: str, seed: int) -> tuple[Path, dict[str, Any], Any]:
    """A checkpoint after two iterations, its state, and the result of the next iteration; once in a process."""
    from mfnet_agents import Algorithm

    algorithm = config(kind, seed).build_algo()
    algorithm.train(), algorithm.train()
    folder = Path(algorithm.save_to_path(Path(tempfile.mkdtemp(prefix="fuzz-saved-")) / "checkpoint"))
    kept = Algorithm.from_checkpoint(folder)
    state = frozen(kept)
    return folder, state, frozen_result(kept.train())


def frozen(algorithm: Any) -> dict[str, Any]:
    record, arrays = algorithm.get_state()
    bits = {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in arrays.items()}
    counters = algorithm.iteration, algorithm.env_steps, algorithm.seconds
    options = json.dumps(algorithm.config.to_dict(), sort_keys=True)
    return {"record": json.dumps(record, sort_keys=True), "counters": counters, "config": options, **bits}


def frozen_result(result: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in result.items() if not k.startswith("time")}, sort_keys=True, default=float)


class Checkpoints:
    """``from_checkpoint`` and ``restore_from_path`` of damaged folders, and of others signed anew with odd contents."""

    name, share = "checkpoints", 3.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        from mfnet_agents import Algorithm, CheckpointError

        kind = pick(rng, TRAINED)
        source, state, following = saved(kind, 0)
        path = folder / "checkpoint"
        shutil.copytree(source, path)
        how, signed = self.damage(rng, path, kind)
        (folder / "damage.txt").write_text(f"{kind}: {how}\n", "utf-8", "backslashreplace")

        def load() -> Any:
            if rng.random() < 0.7:
                return Algorithm.from_checkpoint(path)
            algorithm = config(kind).build_algo()
            algorithm.restore_from_path(path)
            return algorithm

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                algorithm = load()
            except CheckpointError as error:
                attempt(partial(_again, error))
                raise
            except Exception as error:
                raise Fault("traceback", told(error), f"{type(error).__name__} at {place(error)}") from error
            if not signed:
                if frozen(algorithm) != state:
                    names = [name for name, bits in frozen(algorithm).items() if state.get(name) != bits]
                    raise Fault("silent", f"{how}: loads with another {names[:3]}", f"damaged, other {names[0]}")
                if frozen_result(algorithm.train()) != following:
                    raise Fault("silent", f"{how}: loads, and trains on otherwise", "damaged, trains on otherwise")
                return
            attempt(algorithm.train)
            _, arrays = algorithm.get_state()
            floats = {name: a for name, a in arrays.items() if a.dtype.kind == "f"}
            if not odd.finite(floats):
                raise Fault("silent", f"{how}: loads, and its weights are not finite", "signed, not finite")

    @staticmethod
    def damage(rng: np.random.Generator, path: Path, kind: str) -> tuple[str, bool]:
        """What was done, and whether the folder was signed anew."""
        from mfnet_agents import checkpoint

        files = sorted(file for file in path.iterdir() if file.is_file())
        file, how = files[int(rng.integers(len(files)))], rng.random()
        if how < 0.3:
            raw = bytearray(file.read_bytes())
            at = int(rng.integers(len(raw)))
            raw[at] ^= 1 << int(rng.integers(8))
            file.write_bytes(raw)
            return f"bit flipped in {file.name} at {at}", False
        if how < 0.4:
            file.write_bytes(spoil_bytes(rng, file.read_bytes()))
            return f"{file.name} spoilt", False
        if how < 0.44:
            return f"{file.name}: {spoil_kind(rng, file)}", False
        if how < 0.5:
            other = saved(kind, 7)[0] / file.name if rng.random() < 0.5 else saved(pick(rng, TRAINED), 0)[0] / file.name
            same = other.parent == saved(kind, 0)[0]
            shutil.copy(other, file)
            return f"{file.name} of {'the same' if same else 'another'} checkpoint", False
        record, arrays = checkpoint.read(path)
        record, arrays = copy.deepcopy(record), dict(arrays)
        if how < 0.8:
            words = edit(rng, record)
        else:
            name = pick(rng, list(arrays))
            arrays[name] = odd_array(rng, arrays[name])
            words = f"array {name}: {arrays[name].dtype} {arrays[name].shape}"
        shaped = words.startswith("array") and _same_kind(arrays[name], checkpoint.read(path)[1][name])
        if rng.random() < 0.6 and not shaped:  # whoever signs other numbers of the right kind means them
            shutil.rmtree(path)
            try:
                checkpoint.write(path, {k: v for k, v in record.items() if k not in ("format", "digest")}, arrays)
            except Exception:  # what cannot be written was never signed
                shutil.copytree(saved(kind, 0)[0], path)
                return "nothing", False
            return f"signed: {words}", True
        text = json.loads((path / "algorithm.json").read_text())
        plain = {**text, **record}
        if "array" not in words and json.dumps(plain, sort_keys=True) != json.dumps(text, sort_keys=True):
            (path / "algorithm.json").write_text(json.dumps(plain, indent=1, sort_keys=True))
            return f"unsigned: {words}", False
        np.savez(path / "state.npz", **arrays)
        return f"unsigned: {words}", False


def _same_kind(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and odd.finite(one)


def _again(error: BaseException) -> None:
    raise error


def edit(rng: np.random.Generator, record: Any) -> str:
    """One leaf or branch of a JSON tree changes in place."""
    here, path = record, []
    while True:
        keys: list[Any] = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = keys[int(rng.integers(len(keys)))]
        path.append(str(key))
        child = here[key]
        if isinstance(child, dict | list) and child and rng.random() < 0.85:
            here = child
            continue
        how = rng.random()
        if how < 0.1 and isinstance(here, dict):
            del here[key]
            return f"{'.'.join(path)} deleted"
        if how < 0.3 and isinstance(child, int | float) and not isinstance(child, bool):
            here[key] = child + (1 if how < 0.2 else -1)
        elif how < 0.4 and isinstance(child, str):
            here[key] = child[::-1] + "x"
        elif how < 0.5 and isinstance(here, dict):
            here["more"] = odd_json(rng)
        else:
            here[key] = MARK if rng.random() < 0.2 else odd_json(rng)
        return (
            f"{'.'.join(path)} = {odd.shown(here.get('more', here.get(key)) if isinstance(here, dict) else here[key])}"
        )


# -- run folders ------------------------------------------------------------------------------------------------------


@cache
def trained(stopped: bool) -> tuple[Path, dict[str, Any]]:
    """The folder of a small run, finished or stopped half-way, and what it comes to."""
    from fuzz.kills import state

    folder = Path(tempfile.mkdtemp(prefix="fuzz-run-")) / "case"
    folder.mkdir()
    answer = mfnet(train("short", False), Surroundings(folder))
    assert answer is not None
    if answer.code:
        raise Fault("traceback", f"a plain run fails: {answer.err[-1500:]}", "a plain run fails")
    end = state(folder / "run")
    if stopped:
        shutil.rmtree(folder / "run")
        command = train("short", False)
        command[command.index("--steps") + 1] = "16"
        mfnet(command, Surroundings(folder))
        (folder / "run" / "result.json").unlink()
        written = json.loads((folder / "run" / "config.json").read_text())
        written["config"]["total_env_steps"] = 40
        (folder / "run" / "config.json").write_text(json.dumps(written, indent=1))
    mfnet(["report", "run"], Surroundings(folder)) if not stopped else None
    return folder / "run", end


class Folders:
    """Every command on a damaged run folder: an answer, or exit code 2 and one sentence; no markup in its page."""

    name, share = "folders", 2.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        stopped = bool(rng.random() < 0.4)
        source, _ = trained(stopped)
        place = folder / "run"
        shutil.copytree(source, place)
        how = self.damage(rng, place)
        verb = (
            "train"
            if stopped and rng.random() < 0.7
            else pick(rng, ["train", "evaluate", "report", "render", "report"])
        )
        commands: dict[str, list[str]] = {
            "train": ["train", "MFNet-Grid-v0", "--out", "run", "--resume", "--no-tensorboard", "--worlds", "2"],
            "evaluate": ["evaluate", "run", "--worlds", "2"],
            "report": ["report", "run"],
            "render": ["env", "render", "MFNet-Grid-v0", "--policy", "run", "--steps", "2", "--env", *PLACE],
        }
        command = commands[verb] + (["--json"] if rng.random() < 0.2 and verb != "render" else [])
        (folder / "damage.txt").write_text(f"{how}\nmfnet {' '.join(command)}\n", "utf-8", "backslashreplace")
        answer = mfnet(command, Surroundings(folder))
        assert answer is not None
        judge(answer, f"{how}; mfnet {' '.join(command)}")
        page = place / "report.html"
        if verb == "report" and answer.code == 0 and MARK in page.read_text("utf-8", "replace"):
            raise Fault("silent", f"{how}: markup of a file stands in report.html", "markup in the page")
        if verb == "train" and answer.code == 0 and not how.startswith("config.json"):
            self.same_end(place, how)

    @staticmethod
    def same_end(place: Path, how: str) -> None:
        """A run that goes on from whole checkpoints ends where it would have."""
        from mfnet_agents import checkpoint

        ends = [checkpoint.read(p / "checkpoints" / "last") for p in (place, trained(False)[0])]
        (one, arrays), (other, others) = ends
        if one["state"] != other["state"] or any(not np.array_equal(arrays[n], others[n]) for n in others):
            raise Fault("silent", f"{how}: the resumed run ends elsewhere", f"{how.split(':')[0]}: ends elsewhere")

    @staticmethod
    def damage(rng: np.random.Generator, place: Path) -> str:
        files = sorted(
            str(p.relative_to(place)) for p in place.rglob("*") if p.is_file() and p.suffix in (".json", ".csv", ".npz")
        )
        name = pick(rng, files)
        file, how = place / name, rng.random()
        if how < 0.1:
            return f"{name}: {spoil_kind(rng, file)}"
        if how < 0.3:
            file.write_bytes(spoil_bytes(rng, file.read_bytes()))
            return f"{name}: bytes"
        if how < 0.35:
            victim = pick(
                rng,
                ["checkpoints", "checkpoints/best", "checkpoints/last", "progress.csv", "result.json", "config.json"],
            )
            if (place / victim).is_dir():
                shutil.rmtree(place / victim)
            else:
                (place / victim).unlink(missing_ok=True)
            return f"{victim}: gone"
        if how < 0.55 or name.endswith(".npz"):
            return Folders.rows(rng, place / "progress.csv")
        if name.endswith(".csv"):
            return Folders.rows(rng, file)
        tree = json.loads(file.read_text())
        if not tree:
            return "nothing"
        words = edit(rng, tree)
        file.write_text(json.dumps(tree, indent=1))
        return f"{name}: {words}"

    @staticmethod
    def rows(rng: np.random.Generator, file: Path) -> str:
        """One field of progress.csv, or of its header, changes."""
        lines = file.read_text().splitlines()
        at = int(rng.integers(len(lines)))
        fields = lines[at].split(",")
        column = int(rng.integers(len(fields)))
        fields[column] = nasty(rng)[:200]
        lines[at] = ",".join(fields)
        file.write_text("\n".join(lines) + "\n", "utf-8", "surrogatepass")
        return f"progress.csv: line {at + 1}, field {column + 1} is {fields[column]!r}"


def judge(answer: Answer, told: str) -> None:
    """Exit code 0, 1 or 2; for 2, one sentence on the error stream and nothing of a traceback.

    With ``--json`` the error stream also holds what a run said while it went on; the sentence comes last.

    Raises:
        Refused: code 2, properly. Fault: anything else.
    """
    if "Traceback" in answer.err or "Exception ignored" in answer.err:
        last = answer.err.strip().splitlines()[-1]
        ours = [line.strip() for line in answer.err.splitlines() if "/mfnet_" in line]
        at = ours[-1].rpartition("/mfnet_")[2].replace('", line ', ":").partition(",")[0] if ours else "?"
        raise Fault("traceback", f"{told}\n{answer.err[-3000:]}", f"{last.split(':')[0][:60]} at mfnet_{at}")
    if answer.code not in (0, 1, 2):
        raise Fault("traceback", f"{told}: exit code {answer.code}: {answer.err[-1500:]}", f"exit code {answer.code}")
    sentences = [line for line in answer.err.splitlines() if line.strip() and not line.startswith("mfnet: note:")]
    if answer.code == 2:
        if "--json" in told.split():
            sentences = [line for line in sentences[:-1] if line.startswith("mfnet: ")] + sentences[-1:]
        if len(sentences) != 1 or not sentences[0].startswith("mfnet: ") or len(sentences[0]) > 500:
            raise Fault(
                "traceback",
                f"{told}: {answer.err[-2000:]}",
                f"exit code 2 with {len(sentences)} sentences of up to {max(map(len, sentences), default=0)} letters",
            )
        raise Refused(sentences[0])
    if any("Warning" in line for line in sentences):
        raise Fault("traceback", f"{told}: {answer.err[-1500:]}", "a library's warning")


# -- commands ---------------------------------------------------------------------------------------------------------

IDS = ("MFNet-Grid-v0", "MFNet-TwoByTwo-v0", "MFNet-Braess-v0", "MFNet-Pigou-v0")


class Commands:
    """Argument vectors from a grammar, in odd surroundings: exit code 0, 1 or 2, at most one sentence."""

    name, share = "cli", 3.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        here = folder / "here"
        here.mkdir()
        (here / "own.py").write_text("x = 1\n")
        run = here / "run"
        if rng.random() < 0.3:
            shutil.copytree(trained(False)[0], run)
        (here / "my town").mkdir()
        write_city_csv(rng, city_csv_tables(rng), here, False)
        (here / "tiny.json").write_text(json.dumps(SUITE))
        self.prepared(rng, here)
        argv = self.argv(rng)
        if argv[0] == "compare" and rng.random() < 0.3:
            suite = json.loads(json.dumps(SUITE))
            edit(rng, suite)
            (here / "tiny.json").write_text(json.dumps(suite))
        surroundings: dict[str, Any] = {"out": "file", "encoding": "utf-8"}
        odd_one = rng.random()
        if odd_one < 0.06:
            surroundings["out"] = "closed"
        elif odd_one < 0.1:
            surroundings["out"] = "full"
        elif odd_one < 0.15:
            surroundings["out"] = "gone"
        elif odd_one < 0.27:
            surroundings["encoding"] = pick(rng, ["ascii", "latin-1"])
        elif odd_one < 0.3:
            here = folder / "soon gone"
            here.mkdir()
            surroundings["gone"] = True
        told = f"mfnet {' '.join(argv)}  {surroundings}"
        (folder / "command.txt").write_text(told + "\n", "utf-8", "backslashreplace")
        before = set(here.rglob("*"))
        answer = mfnet(argv, Surroundings(here, **surroundings))
        assert answer is not None
        try:
            judge(answer, told)
        except Refused as refused:
            if surroundings["out"] == "file" and not surroundings.get("gone"):
                self.nothing_left(before, here, f"{told}: {refused}")
            raise
        if surroundings["out"] == "full" and answer.code == 0 and "--out" not in argv:
            raise Fault("silent", f"{told}: exit code 0 although nothing could be written", "full disk, exit code 0")

    def prepared(self, rng: np.random.Generator, here: Path) -> None:
        """What else lies where the command is run."""

    @staticmethod
    def nothing_left(before: set[Path], folder: Path, told: str) -> None:
        left = {p for p in folder.rglob("*") if p not in before and p.is_file()}
        if left:
            raise Fault(
                "left",
                f"{told}: refused, but left {sorted(map(str, left))[:3]}",
                f"refused, left {sorted(p.name for p in left)[:2]}",
            )

    def argv(self, rng: np.random.Generator) -> list[str]:
        verb = pick(rng,
        ["train", "train", "train", "evaluate", "report", "env show", "env list", "env render", "env render",
        "env check",
                          "env bench", "verify", "", "env", "nothing", "demo",
        "compare", "compare", "solve", "evaluate"])  # fmt: skip
        words = verb.split()
        if rng.random() < 0.03:
            return [*words, "--help"]
        rest: dict[str, Callable[[], list[str]]] = {
            "train": lambda: self.train(rng),
            "evaluate": lambda: [self.path(rng), *self.some(rng, self.of_evaluate(rng))],
            "report": lambda: [self.path(rng), *self.some(rng, [["--json"]])],
            "env show": lambda: [self.id(rng), *self.env(rng), *self.some(rng, [["--json"]])],
            "env list": lambda: self.some(rng, [["--json"], ["x"]]),
            "env render": lambda: [self.id(rng), *self.env(rng), *self.some(rng, self.of_render(rng))],
            "env check": lambda: [self.id(rng), *self.env(rng)] if rng.random() < 0.3 else [self.odd(rng)],
            "env bench": lambda: ["MFNet-Grid-v0", "--nonsense"] if rng.random() < 0.5 else [self.odd(rng)],
            "verify": lambda: ["--only", self.odd(rng)],
            "demo": lambda: ["--steps", "x"],
            "compare": lambda: [self.suite(rng), *self.some(rng, self.of_compare(rng))],
            "solve": lambda: [self.place(rng), "--steps", "1", "--worlds", "2", *self.some(rng, self.of_solve(rng))],
        }  # fmt: skip
        words += rest.get(verb, lambda: [self.odd(rng)])()
        if rng.random() < 0.1:
            words.insert(int(rng.integers(len(words) + 1)), self.odd(rng))
        return [word.replace("\x00", "") for word in words]

    def of_evaluate(self, rng: np.random.Generator) -> list[list[str]]:
        counts = [["--worlds", self.count(rng)], ["--seed", self.count(rng)]]
        return [*counts, ["--json"], ["--no-heuristics"], [self.path(rng)], ["--on", *self.env(rng)[1:]]]

    def suite(self, rng: np.random.Generator) -> str:
        return "tiny.json" if rng.random() < 0.8 else pick(rng, ["mfnet-smoke", "", "run", "c", self.odd(rng)])

    def of_compare(self, rng: np.random.Generator) -> list[list[str]]:
        names = ["heuristics", CONTENDERS[1], "random", "learners", "DecNeuralAC:x=1", "DecNeuralAC:seed=", "own.py:X",
                 "planner:replan", "DecNeuralAC:gamma=7", self.odd(rng)]  # fmt: skip
        few = pick(rng, ["0", "1", "2", "-1", "x", "", "99999", "9" * 18])
        return [["--contenders", pick(rng, names)], ["--instances", pick(rng, ["g", "h", ""])], ["--seeds", few],
                ["--budget", pick(rng, ["0", "1", "64", "x", "9" * 30])], ["--tune", few], ["--jobs", few],
                ["--out", pick(rng, ["c", "run", "", "own.py", "nowhere/c", "x" * 300])], ["--resume"],
                ["--json"]]  # fmt: skip

    def place(self, rng: np.random.Generator) -> str:
        return "port" if rng.random() < 0.7 else pick(rng, [self.path(rng), self.odd(rng), "tiny.json"])

    def of_solve(self, rng: np.random.Generator) -> list[list[str]]:
        kinds = ["rideshare", "routing", "packet", "", "x"]
        options = ["fleet=9", "fleet=9 repeat=true", "fleet=9 dearest_first=true", f"fleet={self.worth(rng)}"]
        return [["--env", *pick(rng, options).split()], ["--env", "fleet=20"], ["--kind", pick(rng, kinds)],
                ["--minutes", self.count(rng)], ["--population", self.count(rng)], ["--seed", self.count(rng)],
                ["--out", pick(rng, ["s", "run", "own.py", "nowhere/s", ""])], ["--json"]]  # fmt: skip

    def of_render(self, rng: np.random.Generator) -> list[list[str]]:
        counts = [["--steps", self.count(rng)], ["--seed", self.count(rng)]]
        return [*counts, ["--out", self.file(rng)], ["--policy", self.policy(rng)], [self.file(rng)]]

    def train(self, rng: np.random.Generator) -> list[str]:
        quick = [
            "num_envs_per_env_runner=2",
            "rollout_fragment_length=4",
            "evaluation_interval=1",
            "evaluation_duration=2",
        ]
        options = [f"{pick(rng, self.options())}={self.worth(rng)}"] if rng.random() < 0.6 else []
        words = [
            self.id(rng),
            "--worlds",
            "2",
            "--steps",
            "16",
            "--no-tensorboard",
            "--no-preset",
            "--set",
            *quick,
            *options,
        ]
        words += [
            "--env",
            *PLACE,
            *(
                [f"{pick(rng, ['population', 'rows', 'horizon', 'gamma', 'demand', 'graph', 'x'])}={self.worth(rng)}"]
                if rng.random() < 0.4
                else []
            ),
        ]
        more = [["--out", self.file(rng)], ["--out", "run", "--resume"], ["--seed", self.count(rng)],
                ["--population", self.count(rng)],
                ["--steps", self.count(rng)], ["--algorithm", self.odd(rng)], ["--json"], ["--resume"]]  # fmt: skip
        return words + self.some(rng, more)

    @staticmethod
    def options() -> list[str]:
        from mfnet_agents import DecNeuralACConfig

        return [*DecNeuralACConfig.fields(), "lerning_rate"]

    @staticmethod
    def some(rng: np.random.Generator, choices: list[list[str]]) -> list[str]:
        return [word for words in choices if rng.random() < 0.25 for word in words]

    def id(self, rng: np.random.Generator) -> str:
        return pick(rng, IDS[:2]) if rng.random() < 0.85 else self.odd(rng)

    def env(self, rng: np.random.Generator) -> list[str]:
        if rng.random() < 0.5:
            return []
        return [
            "--env",
            f"{pick(rng, ['population', 'rows', 'gamma', 'demand', 'days', 'graph', 'x', ''])}={self.worth(rng)}",
        ]

    @staticmethod
    def count(rng: np.random.Generator) -> str:
        return pick(
            rng, ["0", "1", "2", "3", "7", "-1", "1.5", "x", "", "٣", "²", "99999999999999999999999", "1e3", "nan"]
        )

    @staticmethod
    def worth(rng: np.random.Generator) -> str:
        known = ["0", "1", "2", "-1", "0.5", "NaN", "Infinity", "-Infinity", "1e300", "1e-300", "true", "null", "[]",
                 "{}", "[1,2]", '"x"', "1/60",
                 "10" + "0" * 15, "10" + "0" * 400, "[[0,1]]", "[[0,1],[1,2]]", "[[[[", "[" * 3000, "é", "", "=",
                 "auto", '{"0":1}', "None", "-0"]  # fmt: skip
        return pick(rng, known)

    @staticmethod
    def path(rng: np.random.Generator) -> str:
        return pick(
            rng,
            [
                "run",
                "run",
                "run",
                "run/",
                "./run",
                "run/checkpoints/last",
                "nowhere",
                "",
                ".",
                "/",
                "own.py",
                "my town",
                "/dev/null",
                "x" * 300,
                "é",
            ],
        )

    @staticmethod
    def file(rng: np.random.Generator) -> str:
        return pick(
            rng,
            [
                "a.png",
                "a.txt",
                "a.html",
                "b c.txt",
                "a.gif",
                "nowhere/a.png",
                "a",
                "a.jpg",
                "",
                "my town/é.txt",
                "run",
                "own.py",
                "/dev/full",
                "x" * 300,
                ".",
                "my town",
            ],
        )

    @staticmethod
    def policy(rng: np.random.Generator) -> str:
        return pick(rng, ["random", "stay", "nobody", "run", "", "run/checkpoints/best", "own.py"])

    @staticmethod
    def odd(rng: np.random.Generator) -> str:
        known = ["MFNet-Nope-v0", "mfnet-grid-v0", "own.py:x", "own.py:y", "own.py", "nowhere:z", ":", "os:getcwd",
                 "json:loads", "", "-", "--", "--x", "é", "\udce9",
                 "MFNet-Grid-v0", "x" * 3000, "a=b", "{", "../x", "two\nlines", "builtins:print",
                 "own.py:x:y"]  # fmt: skip
        return pick(rng, known)
