"""Checkpoints: resumed bit for bit, refused with a sentence when anything is wrong, never able to execute anything."""

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfnet_agents import Algorithm, CheckpointError, DecNeuralAC, DecNeuralACConfig, checkpoint
from mfnet_agents.algorithm import Diverged

SMALL = {"graph": [[0, 1], [1, 2], [2, 3]], "demand": [0.02, 0.02, 0.02, 1.0], "population": 6}
MODES: dict[str, dict[str, Any]] = {
    "costate": {},
    "costate, neighbours": {"observe": 1, "burn_in": 5},
    "bracket": {"critic_form": "v"},
    "long": {"total_env_steps": 61_440, "critic_form": "v"},
    "adam in a ball": {"radius": 0.3, "critic_form": "v"},
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
    record, arrays = checkpoint.read(path)
    assert arrays["actor_exp_avg"].any()
    arrays["actor_exp_avg"] *= 0
    checkpoint.write(path, record, arrays)
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
    """Written by somebody who knows how: the digest is right, and the rest has to be seen through."""
    record, arrays = checkpoint.read(path)
    change(record)
    checkpoint.write(path, record, arrays)


def _by_hand(path: Path, **values: Any) -> None:
    """As an editor does it."""
    record = json.loads((path / "algorithm.json").read_text("utf-8"))
    (path / "algorithm.json").write_text(json.dumps({**record, **values}, indent=1, sort_keys=True), "utf-8")


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0xFF
    file.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no checkpoint at .*: the folder must hold algorithm.json and state.npz"),
    "no record": (lambda path: os.remove(path / "algorithm.json"), "no checkpoint at"),
    "no arrays": (lambda path: os.remove(path / "state.npz"), "is damaged: there is no state.npz; use an earlier"),
    "truncated record": (lambda path: _truncate(path / "algorithm.json"), "is damaged"),
    "truncated arrays": (lambda path: _truncate(path / "state.npz"), "is damaged"),
    "empty arrays": (lambda path: (path / "state.npz").write_bytes(b""), "is damaged"),
    "a flipped byte": (lambda path: _flip(path / "state.npz"), "is damaged"),
    "not UTF-8": (lambda path: (path / "algorithm.json").write_bytes(b"\xff\xfe{}"), "is damaged"),
    "a list": (lambda path: (path / "algorithm.json").write_text("[]"), "has another format"),
    "other format": (lambda path: _by_hand(path, format=99), "has another format; this version reads formats 1"),
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


# -- of something else


def test_other_environment(tmp_path: Path) -> None:
    path = build().save_to_path(tmp_path / "checkpoint")
    other = config().environment(env_config={**SMALL, "population": 7}).build_algo()
    with pytest.raises(CheckpointError, match=r"is of MFNet-Grid-v0 with .*'population': 6.*, not of this environment"):
        other.restore_from_path(path)


@pytest.mark.parametrize(
    ("saved", "options"),
    [
        ("bracket", {"hops": 2}),
        ("bracket", {"critic_width": 32}),
        ("bracket", {"actor_width": 16, "critic_form": "v"}),
        ("bracket", {"critic_form": "q", "credit_hops": 1}),
        ("bracket", {}),
        ("costate", {"actor_width": 16}),
        ("costate", {"observe": 1}),
        ("costate", {"critic_form": "v"}),
    ],
)
def test_other_sizes(saved: str, options: dict[str, Any], tmp_path: Path) -> None:
    path = build(**MODES[saved]).save_to_path(tmp_path / "checkpoint")
    wrong = r"does not fit .*: its .* (has shape .*sizes are other|is unknown|is missing|are missing)"
    with pytest.raises(CheckpointError, match=wrong):
        build(**options).restore_from_path(path)


def test_other_number_of_worlds(tmp_path: Path) -> None:
    path = build().save_to_path(tmp_path / "checkpoint")
    other = config().env_runners(num_envs_per_env_runner=2).build_algo()
    with pytest.raises(CheckpointError, match=r"its sampler_counts has shape \(4, 4\), not \(2, 4\)"):
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


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (5, "a path is a string or a pathlib.Path, not 5"),
        (b"there", "a path is a string or a pathlib.Path, not b'there'"),
        ("a\0b", "a path holds no null character, as this one does"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_is_no_place_at_all(path: Any, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    algo = build()
    for door in (algo.save_to_path, algo.restore_from_path, Algorithm.from_checkpoint):
        with pytest.raises((TypeError, CheckpointError), match=sentence) as refused:
            door(path)
        assert isinstance(refused.value, CheckpointError) == isinstance(path, str)
    assert list(tmp_path.iterdir()) == []


def test_counters_and_config_of_the_restored(tmp_path: Path) -> None:
    """from_checkpoint goes by the saved options, restore_from_path by its own: only the state is taken over."""
    algo = build()
    results(algo, 2)
    path = algo.save_to_path(tmp_path / "checkpoint")
    other = build(actor_lr=0.001)
    other.restore_from_path(path)
    assert (other.iteration, other.env_steps) == (2, 64)
    assert other.config.copy().training(actor_lr="auto") == algo.config


# -- changed since it was written


def test_any_changed_byte_is_one_sentence(tmp_path: Path) -> None:
    """In either file, wherever it stands: never another exception, never another state."""
    path = Path(build().save_to_path(tmp_path / "checkpoint"))
    rng = np.random.default_rng(0)
    for name in ("algorithm.json", "state.npz"):
        whole = (path / name).read_bytes()
        for place in rng.integers(0, len(whole), 150):
            data = bytearray(whole)
            data[place] ^= int(rng.integers(1, 256))
            (path / name).write_bytes(data)
            with pytest.raises(CheckpointError, match=r"^the checkpoint at .* (is damaged|has another format)"):
                checkpoint.read(path)
        (path / name).write_bytes(whole)
    checkpoint.read(path)


def test_files_of_two_checkpoints_do_not_mix(tmp_path: Path) -> None:
    """Arrays of another seed fit in shape and type; the digest tells them apart."""
    one, other = (Path(build(seed).save_to_path(tmp_path / str(seed))) for seed in (0, 1))
    shutil.copy(other / "state.npz", one / "state.npz")
    with pytest.raises(CheckpointError, match="changed since it was written"):
        Algorithm.from_checkpoint(one)


def test_one_without_a_digest_is_read_with_a_warning(tmp_path: Path) -> None:
    """As version 1 wrote it; but the digest of one that has it cannot be talked away."""
    algo = build()
    path = Path(algo.save_to_path(tmp_path / "checkpoint"))
    _by_hand(path, format=1)
    with pytest.raises(CheckpointError, match="changed since it was written"):
        Algorithm.from_checkpoint(path)
    record = json.loads((path / "algorithm.json").read_text("utf-8"))
    del record["digest"]
    (path / "algorithm.json").write_text(json.dumps(record))
    with pytest.warns(UserWarning, match="without a digest"):
        back = DecNeuralAC.from_checkpoint(path)
    assert same(back, algo)


def test_arrays_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    """A packed file of 100 kB that unpacks to 100 MB, and a header that promises 8 TB; both under a right digest."""
    path = Path(build().save_to_path(tmp_path / "checkpoint"))
    record, arrays = checkpoint.read(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "promise.npz", "w") as archive:
        archive.writestr("theta.npy", header.getvalue())
    np.savez_compressed(tmp_path / "packed.npz", **{**arrays, "theta": np.zeros(12_500_000)})
    for name in ("promise", "packed"):
        shutil.copy(tmp_path / f"{name}.npz", path / "state.npz")
        digest = hashlib.sha256((path / "state.npz").read_bytes()).hexdigest()
        (path / "algorithm.json").write_bytes(checkpoint._signed(record, digest))
        tracemalloc.start()
        with pytest.raises(CheckpointError, match=r"contradicts its header|are packed"):
            Algorithm.from_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["algorithm.json", "state.npz"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(name: str, tmp_path: Path) -> None:
    path = Path(build().save_to_path(tmp_path / "checkpoint"))
    (path / name).unlink()
    os.mkfifo(path / name)
    with pytest.raises(CheckpointError):
        Algorithm.from_checkpoint(path)


# -- wrong under a right digest: found when it is loaded, not in train()


_PCG = {"bit_generator": "PCG64", "state": {"state": 1, "inc": 3}, "has_uint32": 0, "uinteger": 0}
WRONG_STATE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a generator's state beyond 128 bits": lambda r: r["state"]["rng"]["state"].update(state=2**128),
    "an even increment": lambda r: r["state"]["rng"]["state"].update(inc=2),
    "a fractional generator's state": lambda r: r["state"]["shuffle"]["state"].update(state=0.5),
    "another generator": lambda r: r["state"]["rng"].update(bit_generator="MT19937"),
    "a generator with something else": lambda r: r["state"].update(rng={**_PCG, "more": 1}),
    "a word for a flag": lambda r: r["state"].update(is_warm="yes"),
    "something unknown": lambda r: r["state"].update(temperature=2),
    "a negative counter": lambda r: r["counters"].update(iteration=-1),
    "a fractional counter": lambda r: r["counters"].update(env_steps=2.5),
    "endless seconds": lambda r: r["counters"].update(seconds=float("inf")),
    "an unknown environment": lambda r: r["config"].update(env="MFNet-Gird-v0"),
    "an environment of a module that is not there": lambda r: r["config"].update(env="gone:MFNet-Grid-v0"),
    "no environment": lambda r: r["config"].update(env=None),
    "an environment that is a list": lambda r: r["config"].update(env=["MFNet-Grid-v0"]),
    "options of the environment that are a list": lambda r: r["config"].update(env_config=[1]),
    "the base of all algorithms": lambda r: r.update({
        "class": "mfnet_agents.algorithm:Algorithm", "algorithm": "Algorithm",
        "algorithm_source": "mfnet_agents.config:AlgorithmConfig",
    }),
    "a name that no file can have": lambda r: r["config"].update(env="\0.py:build"),
    "another seed's sizes": lambda r: r["config"].update(actor_width=64),
    "a width beyond all memory": lambda r: r["config"].update(actor_width=2 * 10**9),
    "worlds beyond all memory": lambda r: r["config"].update(num_envs_per_env_runner=10**9),
    "another network": lambda r: r["config"].update(env_config={"rows": 60, "cols": 60, "population": 6}),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_STATE)
def test_a_wrong_record_under_a_right_digest(kind: str, tmp_path: Path) -> None:
    path = Path(build().save_to_path(tmp_path / "checkpoint"))
    _edit(path, WRONG_STATE[kind])
    with pytest.raises(CheckpointError) as caught:
        Algorithm.from_checkpoint(path)
    assert str(caught.value).count("\n") == 0 and str(path) in str(caught.value)


@pytest.mark.parametrize("mode", ["costate", "bracket"])
def test_wrong_arrays_under_a_right_digest(mode: str, tmp_path: Path) -> None:
    """Every array of it: not finite, of another type, shape or sign where it has one, missing, or one too many."""
    algo = build(**MODES[mode])
    results(algo, 1)
    path = Path(algo.save_to_path(tmp_path / "checkpoint"))
    record, arrays = checkpoint.read(path)
    for name, array in arrays.items():
        wrong: list[Any] = [array[None], array.astype(str), array.astype(complex), array.astype(np.float16), None]
        wrong += [array.astype(">f8"), np.full(array.shape, np.nan), np.full(array.shape, -np.inf)]
        for value in wrong:
            changed = {key: kept for key, kept in arrays.items() if key != name}
            with pytest.raises(ValueError, match=name):
                algo.check_state(record["state"], changed if value is None else {**changed, name: value})
        checkpoint.write(path, record, {**arrays, name: array[None]})
        with pytest.raises(CheckpointError, match=name):
            Algorithm.from_checkpoint(path)
    signed = ("sampler_counts", "sampler_clock", "actor_exp_avg_sq", "actor_step", "actor_signs")
    for name in (*signed, *(("critic_step",) if mode == "bracket" else ())):
        with pytest.raises(ValueError, match=r"agents each|negative|not all 1 or -1"):
            algo.check_state(record["state"], {**arrays, name: np.full_like(arrays[name], -5)})
    with pytest.raises(ValueError, match="do not hold 6 agents each"):
        algo.check_state(record["state"], {**arrays, "sampler_counts": arrays["sampler_counts"] + 1})
    with pytest.raises(ValueError, match="its more is unknown"):
        algo.check_state(record["state"], {**arrays, "more": np.zeros(3)})


def test_a_refused_checkpoint_leaves_the_algorithm_as_it_was(tmp_path: Path) -> None:
    algo, twin = build(), build()
    other = build(3)
    results(other, 2)
    path = Path(other.save_to_path(tmp_path / "checkpoint"))
    _edit(path, lambda r: r["state"]["shuffle"]["state"].update(state=-1))  # the last thing that is taken back
    with pytest.raises(CheckpointError, match="its shuffle is no state of a PCG64 generator"):
        algo.restore_from_path(path)
    assert same(algo, twin) and algo.iteration == 0


# -- killed writers, and others that live


KILLED = """
import os, signal, sys
from mfnet_agents import checkpoint
import numpy as np
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
setattr(*{target}, die)
checkpoint.write(sys.argv[1], {{"class": "a:B", "config": {{}}, "counters": {{}}, "state": {{}}}}, {{"x": np.ones(3)}})
"""


@pytest.mark.parametrize("target", ['(np, "savez")', '(checkpoint, "_swap")', '(os, "fsync")'])
def test_what_a_killed_writer_leaves_is_removed_by_the_next(target: str, tmp_path: Path) -> None:
    path = tmp_path / "last"
    subprocess.run([sys.executable, "-c", KILLED.format(target=target), str(path)], check=False)
    (draft,) = tmp_path.iterdir()
    assert draft.name.startswith(".last.")
    (tmp_path / ".last.personal").mkdir()  # as long a name, and somebody's
    (tmp_path / ".last.personal" / "letter").write_text("Dear")
    build().save_to_path(path)
    assert {file.name for file in tmp_path.iterdir()} == {"last", ".last.personal"}


def test_the_draft_of_a_writer_that_lives_is_left_alone(tmp_path: Path) -> None:
    """While one writes, another tidies up and writes in the same folder; both arrive."""
    record: dict[str, Any] = {"class": "a:B", "config": {}, "counters": {}, "state": {}}
    savez, drafts = np.savez, []

    def meanwhile(file: Any, **arrays: Any) -> None:
        savez(file, **arrays)
        if not drafts:
            drafts.append(Path(file.name).parent)
            checkpoint.tidy(tmp_path / "last")
            checkpoint.write(tmp_path / "last", record, {"x": np.ones(2)})
            assert drafts[0].is_dir()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(np, "savez", meanwhile)
        checkpoint.write(tmp_path / "last", record, {"x": np.ones(3)})
    assert len(checkpoint.read(tmp_path / "last")[1]["x"]) == 3 and os.listdir(tmp_path) == ["last"]


def test_tidying_puts_back_what_was_killed_between_the_renames(tmp_path: Path) -> None:
    path = Path(build().save_to_path(tmp_path / "last"))
    os.rename(path, tmp_path / ".last.previous")
    checkpoint.tidy(path)
    assert os.listdir(tmp_path) == ["last"]


# -- numbers that are no longer finite


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_diverged_training_says_so_and_is_not_saved(tmp_path: Path) -> None:
    """Critics that have grown until they overflow: a sentence, and the checkpoint from before is still there."""
    algo = build(critic_form="v")
    path = algo.save_to_path(tmp_path / "checkpoint")
    algo.omega = algo.omega * 1e200
    with pytest.raises(Diverged, match=r"diverged .* not finite; take smaller steps"):
        for _ in range(20):
            algo.train()
    with pytest.raises(Diverged):
        algo.save_to_path(path)
    assert Algorithm.from_checkpoint(path).iteration == 0
