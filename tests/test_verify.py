"""`mfnet verify`: its page and files, its exit codes, and that models which are not what they say do not pass."""

import csv
import html
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mfnet_agents import cli
from mfnet_agents.pages import frame
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.simulator import Simulator
from mfnet_theory import EXPERIMENTS, decay, decomposition, instances, locality, page, runner
from mfnet_theory.statement import Settings, judged
from mfnet_theory.step_laws import chi_square

QUIET = Settings(say=lambda line: None)


# -- models that are not what they say; `--model test_verify:NAME` finds them here


def honest() -> LocalModel:
    return instances.Crowded(StateNetwork.line(3), 3)


def looks_around() -> LocalModel:
    """(a) Reads the neighbourhood and declares "own"."""
    model = honest()
    model.kernel_reads = "own"
    return model


class Generous(instances.Crowded):
    """(b) Pays up to 2, and declares [0, 1]."""

    def reward(self, mu_hood: Any) -> Any:
        return 2 * super().reward(mu_hood)


def generous() -> LocalModel:
    return Generous(StateNetwork.line(3), 3)


class Drifting(instances.Crowded):
    """(c) Pays less every time it is asked, always within its range."""

    asked = 0

    def reward(self, mu_hood: Any) -> Any:
        self.asked += 1
        return super().reward(mu_hood) / (1 + self.asked / 100)


def drifting() -> LocalModel:
    return Drifting(StateNetwork.line(3), 3)


class Broken(instances.Crowded):
    def reward(self, mu_hood: Any) -> Any:
        raise RuntimeError("out of money")


def broken() -> LocalModel:
    return Broken(StateNetwork.line(3), 3)


def many_names() -> LocalModel:
    """3^8 joint states: too many for agents with names."""
    return instances.Crowded(StateNetwork.line(3), 8)


def no_model() -> dict[str, int]:
    return {}


# -- the command


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str
    folder: Path

    @property
    def page(self) -> str:
        return (self.folder / "report.html").read_text("utf-8")

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @property
    def failed(self) -> list[str]:
        return [row["statement"] for row in self.rows("statements.csv") if row["verdict"] == "fails"]


def verify(capsys: Any, folder: Path, *arguments: str) -> Run:
    """The command in this process."""
    try:
        code = cli.main(["verify", "--quick", "--out", str(folder), *arguments])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    streams = capsys.readouterr()
    return Run(code, streams.out, streams.err, folder)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two experiments on their own instances, by the installed command."""
    folder = tmp_path_factory.mktemp("verify") / "ours"
    command = [sys.executable, "-m", "mfnet_agents.cli", "verify", "--quick", "--only", "decay", "decomposition"]
    done = subprocess.run([*command, "--out", str(folder)], capture_output=True, text=True, timeout=600)
    return Run(done.returncode, done.stdout, done.stderr, folder)


def test_what_the_paper_says_holds_or_holds_as_corrected(ours: Run) -> None:
    verdicts = {row["statement"]: row["verdict"] for row in ours.rows("statements.csv")}
    assert ours.code == 0, ours.err
    assert set(verdicts.values()) == {"holds", "holds as corrected"}
    assert verdicts["Lemma 3.1, (4) and (9)"] == "holds"
    assert verdicts["Lemma 4.2, printed, odd k"] == "holds"
    for printed in ("(7)", "Lemma 4.2, printed, even k (k = 0)", "Lemma 4.2, printed, even k (k = 2)"):
        assert verdicts[printed] == "holds as corrected"


def test_the_page_has_every_statement(ours: Run) -> None:
    rows = ours.rows("statements.csv")
    assert len(rows) == len({row["statement"] for row in rows}) >= 16
    for row in rows:
        for column in ("statement", "says", "computed", "tolerance"):
            assert row[column] and ours.page.count(html.escape(row[column])) >= 1, row
        assert f"{row['verdict']:<20}{row['statement']}: {row['computed']}" in ours.out
    marks = [page.MARKS[row["verdict"]] for row in rows]
    assert all(ours.page.count(f"</i> {v}<") == 2 * sum(r["verdict"] == v for r in rows) for v in page.MARKS)
    assert set(marks) == {"✓", "†"}


def test_the_page_stands_alone_and_links_its_tables(ours: Run) -> None:
    assert ours.page.count("<svg") == 3 and ours.page.count("</svg>") == 3
    assert ours.page.count("<script") == 1 and f"\n{frame.SCRIPT}/*" in ours.page, "its own"
    assert not re.search(r'<(link|img)\b|\bsrc=|url\((?!#)|href="(https?:|file:|/)', ours.page)
    ids = re.findall(r'\bid="([^"]+)"', ours.page)
    assert len(ids) == len(set(ids))
    links = set(re.findall(r'href="([^"#]+\.csv)"', ours.page))
    assert links == {path.name for path in ours.folder.glob("*.csv")}
    assert all(len(ours.rows(name)) > 0 for name in links)
    assert not list(ours.folder.glob("*.new"))


def test_progress_goes_to_the_error_stream(ours: Run) -> None:
    """In the order of the page, whatever the order they were asked for in."""
    assert re.findall(r"^\[\d/2\] (\w+): (?!done)", ours.err, re.MULTILINE) == ["decomposition", "decay"]
    assert "\r" not in ours.err and "[1/2]" not in ours.out


WRONG = {
    "looks_around": ["(2), kernel_reads"],
    "generous": ["(1), reward_range"],
    "drifting": ["Lemma 3.1, (4) and (9)", "(4), simulated"],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_named(name: str, capsys: Any, tmp_path: Path) -> None:
    found = verify(capsys, tmp_path, "--only", "decomposition", "decay", "--model", f"test_verify:{name}")
    assert found.code == 1
    last = found.err.strip().splitlines()[-1]
    assert re.match(r"mfnet: \d+ statements? fails?: ", last)
    assert set(WRONG[name]) <= set(found.failed)
    assert all(statement in last for statement in found.failed)
    assert "✗" in found.page and f"{'fails':<20}{WRONG[name][0]}" in found.out


def test_an_honest_model_passes(capsys: Any, tmp_path: Path) -> None:
    found = verify(capsys, tmp_path, "--only", "decomposition", "decay", "--model", "test_verify:honest")
    assert found.code == 0, found.failed
    assert "Crowded: 3 states, 3 agents" in found.page
    assert {row["verdict"] for row in found.rows("statements.csv")} <= {"holds", "holds as corrected"}


def test_too_many_names_are_simulated(capsys: Any, tmp_path: Path) -> None:
    """The same three lines of Lemma 3.1, by worlds of agents; they say so, and they still have teeth."""
    found = verify(capsys, tmp_path, "--only", "decomposition", "--model", "test_verify:many_names")
    lines = {row["statement"]: row for row in found.rows("statements.csv")}
    assert found.code == 0, found.failed
    for name in ("Lemma 3.1, (4) and (9)", "Lemma 3.1, (8)", "Lemma 3.1, (10)"):
        assert "3^8 joint states are too many" in lines[name]["computed"]
    settings = Settings(say=QUIET.say, model=Drifting(StateNetwork.line(3), 8))
    failed = {line.name for line in decomposition.run(settings).statements if line.verdict == "fails"}
    assert {"Lemma 3.1, (4) and (9)", "Lemma 3.1, (8)", "Lemma 3.1, (10)"} <= failed


def test_a_model_that_raises_fails(capsys: Any, tmp_path: Path) -> None:
    found = verify(capsys, tmp_path, "--only", "decay", "--model", "test_verify:broken")
    assert found.code == 1 and "Traceback" not in found.err
    assert found.failed == [f"{decay.TITLE}, carried out"] and "out of money" in found.page


def test_a_scenario_by_id(capsys: Any, tmp_path: Path) -> None:
    small = ["--model", "MFNet-Grid-v0", "--env", "rows=1", "cols=3", "population=3"]
    assert verify(capsys, tmp_path, "--only", "decay", *small).code == 0


def test_lines_for_machines(capsys: Any, tmp_path: Path) -> None:
    found = verify(capsys, tmp_path, "--only", "decay", "--model", "test_verify:generous", "--json")
    *lines, last = map(json.loads, found.out.splitlines())
    assert [line["name"] for line in lines if line["verdict"] == "fails"] == last["failures"] == found.failed
    assert last["event"] == "result" and last["page"].endswith("report.html") and last["missing"] == []


REFUSED = {
    "typo": (["--only", "decai"], "there is no experiment 'decai'; did you mean 'decay'?"),
    "not of a model": (["--only", "locality", "--model", "test_verify:honest"], "runs on its own instances only"),
    "too large": (["--model", "MFNet-Grid-v0"], "too many to enumerate"),
    "too many pairs": (["--model", "MFNet-Grid-v0", "--env", "rows=2", "cols=2", "population=12"], "too many"),
    "unknown id": (["--model", "MFNet-Gird-v0"], "did you mean 'MFNet-Grid-v0'"),
    "unknown module": (["--model", "nowhere:model"], "there is no module 'nowhere'"),
    "no model": (["--model", "test_verify:no_model"], "returns a dict; a scenario returns a LocalModel"),
    "options of nothing": (["--env", "rows=2"], "say which one with --model"),
    "seed": (["--seed", "-1"], "--seed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_arguments_are_one_sentence_and_write_nothing(name: str, capsys: Any, tmp_path: Path) -> None:
    arguments, sentence = REFUSED[name]
    found = verify(capsys, tmp_path / "out", *arguments)
    assert found.code == 2 and sentence in found.err and found.err.count("\n") == 1
    assert found.out == "" and not (tmp_path / "out").exists()


def test_ctrl_c_leaves_the_page_of_what_was_done(tmp_path: Path) -> None:
    """It comes from within the second experiment, so that it comes there however busy the machine is."""
    ctrl_c = (
        "import signal, sys\n"
        "from mfnet_agents import cli\n"
        "from mfnet_theory import locality\n"
        "locality.run = lambda settings: signal.raise_signal(signal.SIGINT)\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", ctrl_c, "verify", "--quick", "--only", "decay", "locality", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    found = Run(done.returncode, done.stdout, done.stderr, tmp_path)
    assert found.code == 130 and "Traceback" not in found.err
    assert {row["experiment"] for row in found.rows("statements.csv")} == {"decay"}
    assert "Stopped early" in found.page and "Not run: locality" in found.page
    assert "Lemma 4.2, printed, odd k" in found.page


def test_an_earlier_runs_tables_do_not_stay(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "locality-radius.csv").write_text("old")
    (tmp_path / "mine.csv").write_text("kept")
    verify(capsys, tmp_path, "--only", "decay", "--model", "test_verify:honest")
    assert {path.name for path in tmp_path.glob("*.csv")} == {"decay-spreads.csv", "statements.csv", "mine.csv"}


# -- the frame


def test_every_experiment_is_on_the_list_once() -> None:
    assert runner.chosen([], QUIET) == EXPERIMENTS
    assert runner.chosen(["locality", "decay"], QUIET) == ("decay", "locality")
    assert runner.chosen([], Settings(model=honest())) == ("decomposition", "decay", "gradient", "marginal")


def test_verdicts() -> None:
    lines = [judged("a", "b", "c", "d", holds, corrected=c) for holds in (True, False) for c in (False, True)]
    assert [line.verdict for line in lines] == ["holds", "holds as corrected", "fails", "fails"]
    assert runner.failure(lines[2:3]) == "1 statement fails: a"
    assert runner.failure(lines[2:]) == "2 statements fail: a; a"


# -- the experiments have teeth


def test_chi_square_is_the_library_s() -> None:
    law = np.array([0.1, 0.2, 0.3, 0.4])
    seen = np.random.default_rng(0).multinomial(1000, law)
    assert chi_square(seen, law) == pytest.approx(stats.chisquare(seen, 1000 * law).pvalue, rel=1e-12)
    assert chi_square(np.array([1, 999]), np.array([0.0, 1.0])) == 0.0
    assert chi_square(np.array([7, 0]), np.array([1.0, 0.0])) == 1.0


def test_chi_square_is_level() -> None:
    """Under the law p-values are uniform, small cells thrown together: Kolmogorov-Smirnov."""
    rng = np.random.default_rng(1)
    law = rng.dirichlet(np.full(30, 0.3))
    p = [chi_square(rng.multinomial(5_000, law), law) for _ in range(500)]
    assert stats.kstest(p, "uniform").pvalue > 1e-4


TAMPERED = {
    "act": ("(5)", lambda act: lambda self, counts, pi, rng: act(self, counts, pi * [1.0, 1.1], rng)),
    "step": ("(6)", lambda step: lambda self, counts, h, rng: (step(self, counts, h, rng)[0][:, ::-1], None)),
    "step_agents": (
        "(2) and (6)",
        lambda step: lambda self, states, actions, rng: step(self, states, 0 * actions, rng),
    ),
}


@pytest.mark.parametrize("method", TAMPERED)
def test_a_simulator_with_another_law_is_found(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, change = TAMPERED[method]
    monkeypatch.setattr(Simulator, method, change(getattr(Simulator, method)))
    settings = Settings(say=QUIET.say, model=honest())
    lines = {line.name: line.verdict for line in decomposition.run(settings).statements}
    assert lines[name] == "fails"
    assert [other for other, verdict in lines.items() if verdict == "fails"] == [name]


def test_bounds_by_hand() -> None:
    """gamma = 1/2, rewards in [-1, 3]: osc 4, so 8 times powers of a half; printed: r_max = 3."""
    model = honest()
    model.reward_range = (-1.0, 3.0)
    assert [decay.bound(model, 0.5, k) for k in range(5)] == [8, 4, 4, 2, 2]
    model.kernel_reads = "own"
    assert [decay.bound(model, 0.5, k) for k in range(4)] == [8, 4, 2, 1]
    assert decay.printed(model, 0.5, 3) == pytest.approx(6 / 4)
    model.reward_range = (2.0, 3.0)
    assert decay.span(model) == 3  # an empty team earns 0


@pytest.mark.parametrize(("nodes", "k", "by_hand"), [(3, 0, 0.8 / 0.9), (5, 2, 0.6 * 0.1 / 0.9)])
def test_counterexamples_by_hand(nodes: int, k: int, by_hand: float) -> None:
    """Five agents, gamma = .1: who is at 0 earns 1 from step 0 (k = 0) or step 1 (k = 2) on, or never."""
    model = instances.Watcher(nodes, 5)
    values = ExactGame(model).state_values(np.ones((nodes, 6, 1)))
    assert ExactGame(model).spread(values, k)[0] == pytest.approx(by_hand, abs=1e-12)
    assert decay.printed(model, 0.1, k) < by_hand < decay.bound(model, 0.1, k)


def test_playing_through_is_enumerating() -> None:
    for agents in (3, 5, 8):
        model = instances.Watcher(5, agents, gamma=0.7)
        assert decay._played(model) == pytest.approx(decay._enumerated(model), abs=1e-12)


def test_the_declared_rate_is_put_to_the_test() -> None:
    """A kernel that reads the neighbourhood breaks the bound of one that does not: the messenger, declared "own"."""
    model = instances.Watcher(5, 12, gamma=0.1)
    model.kernel_reads = "own"
    lines = {line.name: line for line in decay.run(Settings(say=QUIET.say, model=model)).statements}
    assert lines["Lemma 4.2, corrected, kernel feels its own node's crowd"].verdict == "fails"
    assert lines["(2), kernel_reads"].verdict == "fails"


@pytest.mark.parametrize(("k", "kappa"), [(0, 2), (1, 1), (3, 2)])
def test_radius_of_the_update(k: int, kappa: int) -> None:
    """Data travel k hops into a critic and kappa hops to the actor."""
    assert locality.furthest(k, kappa, seed=3) == k + kappa


def test_messages_by_hand() -> None:
    """On a ring k = 1 reads 3 densities, kappa = 4 hears 9 critics: 12 numbers of 8 bytes."""
    sent = locality.messages()
    assert {row[-1] for row in sent if row[:2] == (1, 4)} == {96}
    assert locality._bytes(sent).verdict == "holds"
    assert locality._bytes([(*row[:-1], row[-1] + 8 * (row[3] > 16)) for row in sent]).verdict == "fails"


def test_growing_costs_fail() -> None:
    def costs(power: float, sizes: tuple[int, ...]) -> list[tuple[str, int, float, float]]:
        return [(m, n, 1e-4 * n**power, 1.0) for m in locality.MATCHINGS for n in sizes]

    assert locality._flat(costs(0.0, locality.POPULATIONS)).verdict == "holds"
    assert locality._flat(costs(0.2, locality.POPULATIONS)).verdict == "fails"
    assert locality._linear(costs(1.0, locality.SIZES)).verdict == "holds"
    assert locality._linear(costs(1.5, locality.SIZES)).verdict == "fails"
