"""Training over processes: the bits, what is summed, and what becomes of processes that are lost or left behind."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfnet_agents import Algorithm, DecNeuralACConfig
from mfnet_agents.algorithm import Diverged
from mfnet_agents.baselines.config import LocalPPOConfig
from mfnet_agents.config import ConfigError
from mfnet_agents.dec_neural_ac import runners
from mfnet_agents.dec_neural_ac.costates import Fragment
from mfnet_agents.dec_neural_ac.runners import RunnerError

LINE: dict[str, Any] = {"graph": [[0, 1], [1, 2]], "demand": [2.0, 1.0, 4.0], "population": 20}


class Here:
    """What a process does, in this one. The next ``lost`` that are asked for gradients are lost."""

    lost = 0

    def send(self, verb: str, what: Any) -> None:
        what = pickle.loads(pickle.dumps(what))
        if verb == "begin":
            self.player = runners._begun(*what)
        elif verb == "score" and Here.lost:
            Here.lost -= 1
            raise runners.LostError
        else:
            self.said = runners._answered(self.player, verb, what)

    def answer(self) -> Any:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def end(self) -> int:
        return -9


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "Process", Here)
    monkeypatch.setattr(Here, "lost", 0)


def built(
    number: int, env: str = "Grid", options: Any = LINE, backend: str = "numpy", worlds: int = 4, **training: Any
) -> Any:
    config = DecNeuralACConfig().environment(f"MFNet-{env}-v0", env_config=options).training(**training)
    config.env_runners(num_env_runners=number, num_envs_per_env_runner=worlds, backend=backend)
    if env != "RideShare":  # whose fragments are whole episodes
        config.env_runners(rollout_fragment_length=8)
    return config.debugging(seed=3).build_algo()


def trained(algo: Any, iterations: int = 2) -> Any:
    for _ in range(iterations):
        algo.train()
    return algo.get_state()


def assert_same(one: Any, other: Any) -> None:
    assert one[0] == other[0] and one[1].keys() == other[1].keys()
    for name in one[1]:
        np.testing.assert_array_equal(one[1][name], other[1][name], err_msg=name)


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a line": ("Grid", LINE, {}),
    "a clock, and whole episodes": ("RideShare", {"population": 12}, {}),
    "trips": ("RideShareNYC", {"population": 30}, {}),
    "crowds nearby are heard": ("Grid", LINE, {"observe": 1}),
    "shared weights, a scale for each": ("Grid", LINE, {"weights": "shared", "advantage_scale": "state"}),
    "begun as a heuristic, burnt in": ("Grid", LINE, {"start": "proportional", "burn_in": 3}),
}


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("here")
def test_the_number_of_processes_changes_not_one_bit(name: str, backend: str) -> None:
    if backend == "compiled":
        pytest.importorskip("numba", reason="the compiled backend is an extra: pip install 'mfnet[fast]'")
    env, options, training = CASES[name]
    algos = [built(n, env, options, backend, **training) for n in (1, 3)]
    states = [trained(algo) for algo in algos]
    assert not np.array_equal(states[0][1]["theta"], algos[0].learned.net.start)
    assert_same(*states)


@pytest.mark.parametrize("env, options", [("Grid", LINE | {"population": 10**4}), ("RideShareNYC", {"population": 30})])
@pytest.mark.usefixtures("here")
def test_what_is_summed_over_worlds_is_what_one_process_learns_from_all(env: str, options: Any) -> None:
    """The fragments that were played one by one, put side by side and pulled back as one by another learner."""
    over, alone = (built(n, env, options, worlds=11) for n in (1, 0))  # in shares of 2 and of 1
    over.train()
    critic = over.trained.pullback.critic
    alone.trained.pullback.critic.take(critic.squares.copy(), critic.sums.copy())
    alone.learned.update(over.learned.theta.clone())
    found = over.trained.iterated(over.learned)
    played = [each.fragment for each in over.trained.processes[0].player.under_way]
    *sides, last, first = zip(*([*x[:1], *x[2:5], x.last, x.first] for x in played), strict=True)

    crowd, served, unserved, sizes = (np.concatenate(x, 1) for x in sides)
    last = np.concatenate(last)
    assert len(np.unique(last, axis=0)) == len(last) == 11  # no two worlds draw the same numbers
    whole = Fragment(crowd, last, served, unserved, sizes, first[0])
    trained, policy = alone.trained, alone.learned
    costates = trained.pullback(whole, trained.chosen(policy, whole))
    ahead = trained.pullback.advantages(whole, costates, trained.rows)
    scale = trained.scale_of(ahead.summed)
    np.testing.assert_allclose(found.gradient, trained.gradient(policy, whole, ahead, scale), rtol=1e-9, atol=1e-15)
    assert found.spread == pytest.approx(np.sqrt((scale**2).mean()), rel=1e-12) and found.steps == served[..., 0].size
    trained.pullback.learn(trained.pullback.moments(whole, costates))
    np.testing.assert_allclose(critic.squares, trained.pullback.critic.squares, rtol=1e-12)
    np.testing.assert_allclose(critic.sums, trained.pullback.critic.sums, rtol=1e-9, atol=1e-9)
    assert over.trained.pullback.error == pytest.approx(trained.pullback.error, rel=1e-9)


@pytest.mark.usefixtures("here")
def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole, half = built(2), built(2)
    trained(half)
    again = Algorithm.from_checkpoint(half.save_to_path(tmp_path / "half"))
    other = built(3)
    other.restore_from_path(tmp_path / "half")
    expected = trained(whole, 4)
    assert_same(expected, trained(again))
    assert_same(expected, trained(other))


@pytest.mark.usefixtures("here")
def test_what_is_lost_is_played_again_and_given_up_in_the_end() -> None:
    """An iteration that fails leaves no trace, but for the number that it was drawn by."""
    algo, other = built(2), built(2)
    algo.train(), other.train()
    Here.lost = 2
    assert_same(trained(other, 1), trained(algo, 1))
    before, Here.lost = algo.get_state(), 3
    with pytest.raises(RunnerError, match="num_env_runners=2 ended with signal 9, 3 times in a row"):
        algo.train()
    after = algo.get_state()
    assert_same(({}, before[1]), ({}, after[1]))
    assert np.isfinite(algo.train()["learners"]["team"]["gradient_norm"])


@pytest.mark.usefixtures("here")
def test_what_is_raised_over_there_is_raised_here() -> None:
    algo = built(2)
    algo.train()
    algo.learned.theta[:] = np.nan
    with pytest.raises(Diverged):
        algo.train()
    assert not algo.trained.processes  # whose other answers would be read as the next ones

    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

    assert str(runners._answered(Odd(1, 2), "play", None)) == "Odd: 1 and 2"


@pytest.mark.parametrize(
    "options, said",
    [
        ({"critic_form": "v"}, "only DecNeuralAC's costate form shares them, where it knows its law"),
        ({"law": "counted"}, "what is learnt is learnt from all worlds together"),
        ({"mode": "paper"}, "num_env_runners must be 0"),
    ],
)
def test_what_learns_from_all_worlds_at_once_says_so(options: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        built(2, **options)


def test_no_process_is_left_without_a_world() -> None:
    with pytest.raises(ConfigError, match="num_env_runners=5 is more than there are worlds to share; set at most 4"):
        built(5)
    with pytest.raises(ConfigError, match="set at most 8, 8 where"):
        built(9, worlds=100)
    for wrong in (-1, 1.5, True, "2"):
        with pytest.raises(ConfigError, match="num_env_runners must be a non-negative integer"):
            built(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="num_env_runners must be 0"):
        LocalPPOConfig().environment("MFNet-Grid-v0").env_runners(num_env_runners=1).build_algo()


def test_a_process_that_plays_worlds_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that trains when it is imported would, from its own processes, for ever."""
    monkeypatch.setenv(runners.WORKER, "1")
    with pytest.raises(RunnerError, match="__name__ == '__main__'"):
        built(1).train()


def test_one_that_cannot_begin_is_tried_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "START", [sys.executable, "-c", "raise SystemExit(3)"])
    algo = built(2)
    with pytest.raises(RunnerError, match="num_env_runners=2 ended with exit code 3, 3 times in a row"):
        algo.train()
    assert not algo.trained.processes


SCRIPT = """
import os, signal
import mfnet_envs
from mfnet_agents import DecNeuralACConfig

mfnet_envs.register("Own-v0", lambda population=9: mfnet_envs.make_model("MFNet-Grid-v0", population=population))
if __name__ == "__main__":
    print("what a script prints is no answer")
    config = DecNeuralACConfig().environment("Own-v0").env_runners(num_env_runners=1, rollout_fragment_length=8)
    algo = config.build_algo()
    algo.train()
    pids = [algo.trained.processes[0].popen.pid]
    os.kill(pids[0], signal.SIGKILL)
    algo.train()
    print(*pids, algo.trained.processes[0].popen.pid, algo.learned.theta.sum().item().hex(), flush=True)
    input()
"""


def test_processes_are_replaced_and_end_with_who_began_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real ones, which takes seconds: they import torch. The scenario is one that a script registers."""
    if sys.platform == "win32":
        pytest.skip("kills as POSIX does")
    (tmp_path / "own.py").write_text(SCRIPT)
    path = os.pathsep.join(path for path in sys.path if path)
    script = subprocess.Popen(
        [sys.executable, str(tmp_path / "own.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert script.stdout is not None
    script.stdout.readline()
    first, second, theta = script.stdout.readline().split()
    assert first != second
    script.kill()
    script.communicate()
    monkeypatch.setattr(runners, "Process", Here)
    config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config={"population": 9})
    algo = config.env_runners(num_env_runners=2, rollout_fragment_length=8).build_algo()
    assert trained(algo)[1]["theta"].sum() == pytest.approx(float.fromhex(theta), rel=1e-12)
    until = time.monotonic() + 60
    while alive(int(second)):
        assert time.monotonic() < until, f"{second} lives on"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # one that nobody has waited for has ended all the same
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
