"""Checkpoints: resumed bit for bit, refused with a sentence when anything is wrong, never able to execute anything."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfnet_agents import Algorithm, CheckpointError, DecNeuralAC, DecNeuralACConfig, checkpoint

SMALL = {"graph": [[0, 1], [1, 2], [2, 3]], "demand": [0.02, 0.02, 0.02, 1.0], "population": 6}
MODES: dict[str, dict[str, Any]] = {
    "practical": {},
    "long": {"total_env_steps": 61_440},
    "adam in a ball": {"radius": 0.3},
    "q": {"critic_form": "q", "credit_hops": 1, "optimizer": "sgd"},
    "stationary": {
        "sampling": "stationary",
        "burn_in": 5,
        "critic_input": "standardised",
        "crowd_input": "bounded",
        "critic_warmup": 2,
        "score": "unserved",
        "potential": "table",
    },
    "tilted": {"policy": "tilted"},
    "paper": {"mode": "paper", "critic_steps": 20, "actor_samples": 8, "critic_width": 16, "actor_width": 8},
}


def config(seed: int = 0, **training: Any) -> DecNeuralACConfig:
    chosen = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=SMALL).training(**training)
    chosen = chosen.env_runners(num_envs_per_env_runner=4, rollout_fragment_length=8)
    return chosen.evaluation(evaluation_interval=2, evaluation_duration=8).debugging(seed=seed)


def build(seed: int = 0, **training: Any) -> DecNeuralAC:
    algo = config(seed, **training).build_algo()
    assert isinstance(algo, DecNeuralAC)
    return algo


def results(algo: Algorithm, iterations: int) -> list[dict[str, Any]]:
    """Results without the wall clock."""
    kept = ("training_iteration", "num_env_steps_sampled_lifetime", "env_runners", "learners", "evaluation")
    return [{key: value for key, value in algo.train().items() if key in kept} for _ in range(iterations)]


def same(one: DecNeuralAC, other: DecNeuralAC) -> bool:
    """Every array (weights, Adam's moments, worlds) and every generator, bit for bit."""
    (record, arrays), (theirs, their_arrays) = one.get_state(), other.get_state()
    assert arrays.keys() == their_arrays.keys()
    return record == theirs and all(np.array_equal(arrays[name], their_arrays[name]) for name in arrays)


# -- the same seed, the same bits


@pytest.mark.parametrize("mode", MODES)
def test_same_seed_same_bits(mode: str) -> None:
    one, other, third = build(3, **MODES[mode]), build(3, **MODES[mode]), build(4, **MODES[mode])
    assert results(one, 4) == results(other, 4) != results(third, 4)
    assert same(one, other)
    assert not torch.equal(one.learned.theta, third.learned.theta)


SCRIPT = """
import hashlib, json, sys
from mfnet_agents import DecNeuralACConfig
algo = DecNeuralACConfig.from_dict(json.loads(sys.argv[1])).build_algo()
for _ in range(4):
    result = algo.train()
record, arrays = algo.get_state()
digest = hashlib.sha256(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays)))
print(digest.hexdigest(), repr(result["learners"]), json.dumps(record, sort_keys=True))
"""


def test_same_bits_in_every_process() -> None:
    text = json.dumps(config(5).to_dict())
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, text],
            capture_output=True,
            check=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": salt},
        ).stdout
        for salt in ("1", "2")
    }
    assert len(said) == 1
    assert len(said.pop()) > 100


# -- resumed as if nothing had happened


@pytest.mark.parametrize("mode", MODES)
def test_resumed_bit_for_bit(mode: str, tmp_path: Path) -> None:
    """Three more iterations, straight on and from a checkpoint: weights, moments, worlds, generators and results."""
    straight = build(**MODES[mode])
    results(straight, 3)
    path = straight.save_to_path(tmp_path / "checkpoint")
    rebuilt = Algorithm.from_checkpoint(path)
    assert isinstance(rebuilt, DecNeuralAC)
    assert rebuilt.config == straight.config
    used = build(9, **MODES[mode])  # another seed, and it has been somewhere else
    results(used, 1)
    used.restore_from_path(path)
    assert same(rebuilt, straight)
    truth = results(straight, 3)
    assert results(rebuilt, 3) == truth == results(used, 3)
    assert same(rebuilt, straight)
    assert same(used, straight)
    assert rebuilt.seconds > 0


def test_adam_goes_on_with_its_moments(tmp_path: Path) -> None:
    """What is saved is what Adam uses: with the moments zeroed the next step is another one."""
    algo = build()
    results(algo, 3)
    path = Path(algo.save_to_path(tmp_path / "checkpoint"))
    with np.load(path / "state.npz") as file:
        arrays = dict(file)
    assert arrays["actor_exp_avg"].any()
    arrays["actor_exp_avg"] *= 0
    np.savez(path / "state.npz", **arrays)
    changed = DecNeuralAC.from_checkpoint(path)
    algo.train()
    changed.train()
    assert not torch.equal(algo.learned.theta, changed.learned.theta)


def test_projected_adam_goes_on_moving() -> None:
    """The weights that Adam holds are the weights that act, projection or not."""
    algo = build(radius=0.3)
    before = []
    for _ in range(4):
        before.append(algo.learned.theta.clone())
        algo.train()
    after = [*before[1:], algo.learned.theta]
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    reach = 0.3 / algo.learned.net.width**0.5
    assert float((algo.learned.theta - algo.learned.net.start).abs().max()) <= reach * (1 + 1e-12)


def test_default_place_and_return_value(tmp_path: Path) -> None:
    algo = build()
    assert (Path(algo.save_to_path()) / "algorithm.json").is_file()
    assert algo.save_to_path(tmp_path / "a" / "b") == str(tmp_path / "a" / "b")
    assert sorted(os.listdir(tmp_path / "a")) == ["b"]


# -- what is in it


def test_readable_and_inert(tmp_path: Path) -> None:
    """JSON that a person can read and numeric arrays; functions given as callbacks stay out."""
    algo = config().callbacks(on_train_result=lambda **_: None).build_algo()
    path = Path(algo.save_to_path(tmp_path / "checkpoint"))
    assert sorted(os.listdir(path)) == ["algorithm.json", "state.npz"]
    record = json.loads((path / "algorithm.json").read_text("utf-8"))
    assert record["config"]["env_config"] == SMALL
    assert record["class"] == "mfnet_agents.dec_neural_ac.algorithm:DecNeuralAC"
    with np.load(path / "state.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "fiu" for name in file.files)


class Bomb:
    """Unpickling this would create a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.place),)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    path = Path(build().save_to_path(tmp_path / "checkpoint"))
    bomb = np.array([Bomb(tmp_path / "boom")], dtype=object)
    with np.load(path / "state.npz") as file:
        arrays: dict[str, Any] = {**file, "theta": bomb}
    np.savez(path / "state.npz", **arrays)
    with pytest.raises(CheckpointError, match="is damaged"):
        Algorithm.from_checkpoint(path)
    (path / "state.npz").write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    with pytest.raises(CheckpointError, match="is damaged"):
        Algorithm.from_checkpoint(path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    "name", ["os:system", "mfnet_agents.dec_neural_ac:os", "mfnet_agents.nowhere:X", "mfnet_agents.dec_neural_ac:gone"]
)
def test_only_our_algorithms_are_looked_up(name: str, tmp_path: Path) -> None:
    path = Path(build().save_to_path(tmp_path / "checkpoint"))
    _edit(path, lambda record: record.update({"class": name}))
    with pytest.raises(CheckpointError, match=f"is of '{name}', which"):
        Algorithm.from_checkpoint(path)


# -- damage


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads((path / "algorithm.json").read_text("utf-8"))
    change(record)
    (path / "algorithm.json").write_text(json.dumps(record), "utf-8")


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0xFF
    file.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no checkpoint at .*: the folder must hold algorithm.json and state.npz"),
    "no record": (lambda path: os.remove(path / "algorithm.json"), "no checkpoint at"),
    "no arrays": (lambda path: os.remove(path / "state.npz"), "is damaged .FileNotFoundError.; use an earlier one"),
    "truncated record": (lambda path: _truncate(path / "algorithm.json"), "is damaged"),
    "truncated arrays": (lambda path: _truncate(path / "state.npz"), "is damaged"),
    "empty arrays": (lambda path: (path / "state.npz").write_bytes(b""), "is damaged"),
    "a flipped byte": (lambda path: _flip(path / "state.npz"), "is damaged"),
    "not UTF-8": (lambda path: (path / "algorithm.json").write_bytes(b"\xff\xfe{}"), "is damaged"),
    "a list": (lambda path: (path / "algorithm.json").write_text("[]"), "has another format"),
    "other format": (lambda path: _edit(path, lambda r: r.update(format=99)), "has another format; this version reads"),
    "no class": (lambda path: _edit(path, lambda r: r.pop("class")), "is damaged .without class."),
    "no config": (lambda path: _edit(path, lambda r: r.pop("config")), "is damaged .without config."),
    "state of a wrong kind": (lambda path: _edit(path, lambda r: r.update(state=[])), "is damaged .without state."),
    "no generator": (lambda path: _edit(path, lambda r: r["state"].pop("rng")), "does not fit this configuration"),
    "no counter": (lambda path: _edit(path, lambda r: r["counters"].pop("env_steps")), "does not fit"),
    "an option of the future": (
        lambda path: _edit(path, lambda r: r["config"].update(warp_speed=9)),
        "written by another version: DecNeuralACConfig has no option 'warp_speed'",
    ),
    "an option out of range": (lambda path: _edit(path, lambda r: r["config"].update(hops=-1)), "hops must be"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage(kind: str, tmp_path: Path) -> None:
    damage, words = DAMAGE[kind]
    path = Path(build().save_to_path(tmp_path / "checkpoint"))
    damage(path)
    with pytest.raises(CheckpointError, match=words):
        Algorithm.from_checkpoint(path)


def test_any_flipped_byte_of_the_arrays(tmp_path: Path) -> None:
    """Wherever a byte flips, there is a CheckpointError or the very same state; no other exception, no other state."""
    path = Path(build().save_to_path(tmp_path / "checkpoint"))
    whole = (path / "state.npz").read_bytes()
    _, truth = checkpoint.read(path)
    for place in np.random.default_rng(0).integers(0, len(whole), 300):
        data = bytearray(whole)
        data[place] ^= 0x55
        (path / "state.npz").write_bytes(data)
        try:
            _, arrays = checkpoint.read(path)
        except CheckpointError:
            continue
        assert all(np.array_equal(arrays[name], truth[name]) for name in truth if name in arrays)


# -- of something else


def test_other_environment(tmp_path: Path) -> None:
    path = build().save_to_path(tmp_path / "checkpoint")
    other = config().environment(env_config={**SMALL, "population": 7}).build_algo()
    with pytest.raises(CheckpointError, match=r"is of MFNet-Grid-v0 with .*'population': 6.*, not of this environment"):
        other.restore_from_path(path)


@pytest.mark.parametrize(
    "options", [{"hops": 2}, {"critic_width": 32}, {"actor_width": 16}, {"critic_form": "q", "credit_hops": 1}]
)
def test_other_sizes(options: dict[str, Any], tmp_path: Path) -> None:
    path = build().save_to_path(tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match="does not fit this configuration: its networks have other sizes"):
        build(**options).restore_from_path(path)


def test_other_number_of_worlds(tmp_path: Path) -> None:
    path = build().save_to_path(tmp_path / "checkpoint")
    other = config().env_runners(num_envs_per_env_runner=2).build_algo()
    with pytest.raises(CheckpointError, match=r"its worlds have shape \(4, 4\), not \(2, 4\)"):
        other.restore_from_path(path)


class AnotherAlgorithm(DecNeuralAC):
    """Same everything, another name."""


def test_other_class(tmp_path: Path) -> None:
    path = build().save_to_path(tmp_path / "checkpoint")
    with pytest.raises(
        CheckpointError, match=r"is of mfnet_agents.dec_neural_ac.algorithm:DecNeuralAC, not of .*AnotherAlgo"
    ):
        AnotherAlgorithm(config()).restore_from_path(path)
    with pytest.raises(CheckpointError, match="is of DecNeuralAC, not of AnotherAlgorithm"):
        AnotherAlgorithm.from_checkpoint(path)


# -- written whole or not at all


def test_interrupted_writing_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    algo = build()
    path = algo.save_to_path(tmp_path / "checkpoint")
    twin = build()
    algo.train()

    def interrupted(file: Any, **arrays: Any) -> None:
        file.write(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(np, "savez", interrupted)
        algo.save_to_path(path)
    assert os.listdir(tmp_path) == ["checkpoint"]
    back = DecNeuralAC.from_checkpoint(path)
    assert same(back, twin)
    algo.save_to_path(path)
    assert os.listdir(tmp_path) == ["checkpoint"]
    assert DecNeuralAC.from_checkpoint(path).iteration == 1


def test_killed_between_the_two_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one stands under its other name; it is found there, and the next save cleans up."""
    algo = build()
    path = algo.save_to_path(tmp_path / "checkpoint")
    algo.train()
    replace, calls = os.replace, []

    def killed(source: Any, target: Any) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", killed)
        algo.save_to_path(path)
    assert not Path(path).exists()
    assert Algorithm.from_checkpoint(path).iteration == 0
    algo.save_to_path(path)
    assert os.listdir(tmp_path) == ["checkpoint"]
    assert Algorithm.from_checkpoint(path).iteration == 1


def test_nothing_but_a_checkpoint_is_replaced(tmp_path: Path) -> None:
    """A folder of someone's, or a file, is not swept away; an empty folder may be filled."""
    algo = build()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    (tmp_path / "notes.txt").write_text("more of it")
    for name in ("thesis", "notes.txt"):
        with pytest.raises(CheckpointError, match=f"{name} exists and is no checkpoint; choose a new folder"):
            algo.save_to_path(tmp_path / name)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert Algorithm.from_checkpoint(algo.save_to_path(tmp_path / "empty")).iteration == 0


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot write a checkpoint in .*; choose another folder"):
        build().save_to_path(tmp_path / "file" / "checkpoint")


def test_counters_and_config_of_the_restored(tmp_path: Path) -> None:
    """from_checkpoint goes by the saved options, restore_from_path by its own: only the state is taken over."""
    algo = build()
    results(algo, 2)
    path = algo.save_to_path(tmp_path / "checkpoint")
    other = build(actor_lr=0.001)
    other.restore_from_path(path)
    assert (other.iteration, other.env_steps) == (2, 64)
    assert other.config.copy().training(actor_lr="auto") == algo.config
