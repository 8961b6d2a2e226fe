"""Policies as files: what is loaded does what was learnt, without torch; what is no table is refused; bad files too."""

import dataclasses
import hashlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mfnet_envs
from mfnet_agents import runs
from mfnet_envs.arrays import Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Individually, Policy, TablePolicy, one_hot, uniform
from mfnet_envs.policy_file import PolicyFileError, load_policy, save_policy
from mfnet_envs.scenarios.routing_v0 import Routing, generated_city

TOWN, GRID = "MFNet-RideShare-v0", "MFNet-Grid-v0"


def learnt(env: str, options: dict[str, Any] | None = None, **chosen: Any) -> Any:
    """A policy of the learner's at weights far from the start, where all actions are alike."""
    policy = runs.make_config(env, chosen, options or {}).build_algo().policy
    policy.update(torch.randn(policy.theta.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64))
    return policy


def crowds(model: LocalModel, worlds: int = 32) -> Ints:
    """Teams of every size up to N, whatever the others are."""
    return np.random.default_rng(3).integers(model.population + 1, size=(worlds, len(model.legal)))


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "own": (GRID, {"population": 30}, {}),
    "two teams a node": ("MFNet-SIS-v0", {"population": 40}, {}),
    "by the clock": (TOWN, {}, {}),
    "shared": (TOWN, {"repeat": True}, {"weights": "shared"}),
    "roads": ("MFNet-Routing-v0", {"population": 25}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_loaded_policy_does_what_was_learnt(case: str, tmp_path: Path) -> None:
    env, options, chosen = CASES[case]
    policy = learnt(env, options, **chosen)
    loaded = load_policy(save_policy(policy, tmp_path / "policy.npz"))
    counts = crowds(policy.model)
    for t in range(2 * (policy.model.period or 1) + 1):
        np.testing.assert_allclose(loaded.teams(counts, t), policy.teams(counts, t), rtol=0, atol=1e-12)
    assert len(loaded.shares) == (policy.model.period or 1) and np.ptp(loaded.shares) > 0.3
    assert loaded.notes == () and loaded.error == 0 and (loaded.env, loaded.options) == (env, options)
    assert mfnet_envs.evaluate(loaded.model, loaded, worlds=4, steps=6, warmup=0) == pytest.approx(
        mfnet_envs.evaluate(policy.model, policy, worlds=4, steps=6, warmup=0), rel=1e-12
    )


def test_it_plays_without_torch_and_answers_without_the_city(tmp_path: Path) -> None:
    city = tmp_path / "port"
    city.mkdir()
    (city / "zones.csv").write_text("zone,x,y,neighbours\nharbour,0,0,market\nmarket,2,1,\n")
    (city / "trips.csv").write_text(
        "time,origin,destination,demand,travel_time,fare\n7:00,harbour,market,4,12,9.5\n7:15,market,harbour,1.5,11,9\n"
    )
    policy = learnt(TOWN, {"city": str(city), "fleet": 20})
    file = save_policy(policy, tmp_path / "policy.npz")
    script = """
import json, sys, mfnet_envs
policy = mfnet_envs.load_policy(sys.argv[1])
print(json.dumps(policy.at("harbour", 12, 1)))
if sys.argv[2] == "play":
    print(mfnet_envs.evaluate(policy.model, policy, worlds=2)["headline_mean"])
assert "torch" not in sys.modules and "mfnet_agents" not in sys.modules
"""

    def said(do: str) -> list[str]:
        command = [sys.executable, "-c", script, str(file), do]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    at, value = said("play")
    counts = np.zeros((1, len(policy.model.legal)), int)
    counts[0, policy.model.team_states[0]] = 12
    stay, leave = policy.teams(counts, 1)[0, 0]
    assert json.loads(at) == pytest.approx({"harbour": stay, "market": leave}, abs=1e-12)
    assert float(value) == pytest.approx(mfnet_envs.evaluate(policy.model, policy, worlds=2)["headline_mean"])
    (city / "trips.csv").unlink()
    assert said("ask") == [at]


def test_a_thinned_table_says_how_far_it_is_off(tmp_path: Path) -> None:
    """105 choices at 12,001 sizes are over a million numbers; every size is compared."""
    policy = learnt(GRID, {"population": 12_000})
    file = save_policy(policy, tmp_path / "policy.npz")
    loaded = load_policy(file)
    assert 8 <= len(loaded.sizes) < 2000 and file.stat().st_size < 8e6
    [note] = loaded.notes
    assert (
        f"{len(loaded.sizes):,} of the 12,001 sizes" in note and f"{loaded.error:.2g} (measured at every size)" in note
    )
    counts = np.zeros((12_001, len(policy.model.legal)), int)
    counts[:, policy.model.team_states] = np.arange(12_001)[:, None]
    off = max(np.abs(loaded.teams(some, 0) - policy.teams(some, 0)).max() for some in np.array_split(counts, 20))
    assert 1e-9 < off <= loaded.error < 1e-3
    assert off == pytest.approx(loaded.error, abs=1e-12)  # the largest of all, not of some


class Cliff(Policy):
    """Everybody stays in crowds of up to 700, everybody leaves larger ones: no straight line does that."""

    def teams(self, counts: Ints, t: int) -> Any:
        pi = np.zeros((len(counts), len(self.model.team_states), self.model.num_actions))
        gone = counts[:, self.model.team_states] > 700
        pi[..., 0], pi[..., -1] = ~gone, gone  # where the last is not legal it is the first
        return pi


def test_a_cliff_is_found_between_its_sizes(tmp_path: Path) -> None:
    model = mfnet_envs.make_model(GRID, population=10**9)
    loaded = load_policy(save_policy(Cliff(model), tmp_path / "policy.npz"))
    assert {700, 701} <= set(loaded.sizes.tolist()) and loaded.error == 0
    beyond = mfnet_envs.make_model(GRID, population=2 * 10**9)
    assert "more than 1,000,000,000 agents" in load_policy(tmp_path / "policy.npz", beyond).notes[-1]


def test_another_network_of_the_same_shape_is_told(tmp_path: Path) -> None:
    """Its places are taken in their order, which may be another one."""
    town = generated_city(2, 2)
    renamed = dataclasses.replace(town, nodes=("0,0", "0,1", "1,0", "here"))
    model, other = (Routing(10, network) for network in (town, renamed))
    save_policy(uniform(model), tmp_path / "policy.npz")
    assert load_policy(tmp_path / "policy.npz", Routing(10, town)).notes == ()
    [note] = load_policy(tmp_path / "policy.npz", other).notes
    assert note.startswith(
        "22 of 36 places have other names in the file, such as '0,0 to 0,1, 1,1' for '0,0 to 0,1, here'"
    )


def test_tables_of_the_step_end_with_the_last(tmp_path: Path) -> None:
    model = mfnet_envs.make_model("MFNet-TwoByTwo-v0")
    table = np.random.default_rng(0).dirichlet(np.ones(model.num_actions), size=(3, 2))
    loaded = load_policy(save_policy(TablePolicy(model, table), tmp_path / "policy.npz"))
    original = TablePolicy(model, table)
    counts = crowds(model)
    for t in (0, 1, 2, 3, 50):
        one, other = (each.sample(counts, t, np.random.default_rng(t)) for each in (loaded, original))
        assert np.array_equal(one, other)
    assert loaded.shares.shape[:2] == (3, 1) and not loaded.cyclic and loaded.notes == ()


# -- what is no table


@pytest.mark.parametrize("env", [GRID, TOWN])
def test_who_looks_around_is_refused(env: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="looks at more than the size of its own team and the clock"):
        save_policy(learnt(env, observe=1), tmp_path / "policy.npz")
    assert not list(tmp_path.iterdir())


def test_teams_that_draw_together_are_refused_and_their_agents_are_not(tmp_path: Path) -> None:
    policy = learnt("MFNet-TwoByTwo-v0", {"population": 6}, policy="energy")
    with pytest.raises(ValueError, match=r"draw together, which no table of shares can say; save .*Individually"):
        save_policy(policy, tmp_path / "policy.npz")
    loaded = load_policy(save_policy(Individually(policy), tmp_path / "policy.npz"))
    counts = crowds(policy.model)
    np.testing.assert_allclose(loaded.teams(counts, 0), policy.teams(counts, 0), rtol=0, atol=1e-12)


def test_other_arguments(tmp_path: Path) -> None:
    model = mfnet_envs.make_model(GRID)
    with pytest.raises(TypeError, match="a policy is saved"):
        save_policy(model, tmp_path / "x.npz")  # type: ignore[arg-type]
    file = save_policy(one_hot(model, np.zeros(len(model.team_states), int)), tmp_path / "policy.npz")
    with pytest.raises(TypeError, match="must be a LocalModel"):
        load_policy(file, GRID)  # type: ignore[arg-type]
    with pytest.raises(PolicyFileError, match="give the model that it was saved from"):
        load_policy(file, mfnet_envs.make_model("MFNet-TwoByTwo-v0"))
    with pytest.raises(ValueError, match=r"no place '\(0, 9\)'"):
        load_policy(file).at("(0, 9)", 1)
    with pytest.raises(ValueError, match="n must be"):
        load_policy(file).at("(0, 0)", -1)
    with pytest.raises(FileNotFoundError):
        load_policy(tmp_path / "nowhere.npz")


def test_a_file_builds_registered_environments_only(tmp_path: Path) -> None:
    """What a file names is not imported, and an object among the options does not fit into one."""
    (tmp_path / "mine.py").write_text("raise SystemExit('executed')\n")
    model = mfnet_envs.make_model(GRID)
    for origin in ((f"{tmp_path / 'mine.py'}:Grid", {}), (GRID, {"graph": object()}), None):
        model.origin = origin
        file = save_policy(one_hot(model, np.zeros(len(model.team_states), int)), tmp_path / "policy.npz")
        assert load_policy(file).at("(0, 0)", 3)["(0, 0)"] == 1
        with pytest.raises(PolicyFileError, match=r"say load_policy\(path, model=...\)"):
            _ = load_policy(file).model
        assert load_policy(file, model).model is model


# -- bad files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save_policy(uniform(mfnet_envs.make_model(GRID)), tmp_path / "policy.npz")


def refused(file: Path, sentence: str) -> None:
    with pytest.raises(PolicyFileError, match=sentence) as told:
        load_policy(file)
    assert str(told.value).startswith(str(file)) and "\n" not in str(told.value)


def test_a_changed_byte_is_seen(file: Path) -> None:
    """Or it is none of the content's: then the policy is the same."""
    whole, shares = file.read_bytes(), load_policy(file).shares
    seen = 0
    for place in np.random.default_rng(0).integers(len(whole), size=200):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert np.array_equal(load_policy(file).shares, shares)
        except PolicyFileError:
            seen += 1
    assert seen > 100  # the others are times and attributes of the archive
    for length in (0, 1, 100, len(whole) - 1):
        file.write_bytes(whole[:length])
        refused(file, "no policy written by save_policy, or it is damaged")


def rewritten(file: Path, words: dict[str, Any] | None = None, **changed: Any) -> None:
    """The file with other contents, and a digest that fits them."""
    with np.load(file) as arrays:
        parts = dict(arrays)
    text = {**json.loads(parts.pop("words").tobytes()), **(words or {})}
    parts |= changed
    text.pop("digest")
    found = hashlib.sha256(json.dumps(text, sort_keys=True).encode())
    for name in ("sizes", "owner", "action", "shares"):
        found.update(f"{name} {parts[name].dtype.str} {parts[name].shape}".encode() + parts[name].tobytes())
    text = {**text, "digest": found.hexdigest()}
    np.savez(file, words=np.frombuffer(json.dumps(text).encode(), np.uint8), **parts)


def test_a_forger_gets_no_policy_that_is_none(file: Path) -> None:
    whole, shares = file.read_bytes(), load_policy(file).shares
    rewritten(file)
    assert np.array_equal(load_policy(file).shares, shares)
    for words, changed in (
        ({}, {"shares": shares * 2}),
        ({}, {"shares": -shares}),
        ({}, {"shares": shares * np.nan}),
        ({}, {"shares": shares[..., :-1]}),
        ({}, {"sizes": np.array([5])}),
        ({}, {"owner": np.zeros(shares.shape[2], int)}),
        ({}, {"action": np.full(shares.shape[2], 99)}),
        ({"places": ["a"]}, {}),
        ({"population": 0}, {}),
    ):
        file.write_bytes(whole)
        rewritten(file, words, **changed)
        refused(file, "its tables do not fit together, or hold no shares")
    for words, sentence in (
        ({"format": 2}, "format 2"),
        ({"more": 1}, "its parts are not"),
        ({"to": 3}, "its parts are"),
    ):
        file.write_bytes(whole)
        rewritten(file, words)
        refused(file, sentence)


def test_nothing_is_unpickled(file: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return pytest.fail, ("executed",)

    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    array.write(pickle.dumps(Bomb()))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("more.npy", array.getvalue())
    refused(file, "no policy written by save_policy, or it is damaged")


def test_other_things_are_no_policy(file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("pi = 3")
    refused(tmp_path / "text.npz", "no policy written by save_policy")
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    refused(tmp_path / "other.npz", "no policy written by save_policy")
    refused(tmp_path, "no regular file")
