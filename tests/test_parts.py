"""A network trained in parts is the network trained as one, bit for bit; and nothing in the trainer grows like V^2."""

import gc
import json
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.practical import Practical
from mfnet_envs.network import StateNetwork

GRID, SMALL = {"population": 100}, {"population": 6, "rows": 3, "cols": 3}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "grid": ("MFNet-Grid-v0", GRID, {}),
    "a small ball": ("MFNet-Grid-v0", GRID, {"credit_hops": 1, "hops": 2, "advantage_scale": "state", "score": "all"}),
    "standardised": ("MFNet-Grid-v0", GRID, {"critic_input": "standardised", "burn_in": 16, "credit_hops": 2}),
    "Q, sgd, ball": ("MFNet-Grid-v0", GRID, {"critic_form": "q", "optimizer": "sgd", "radius": 1.0, "actor_lr": 3.0}),
    "large crowds": ("MFNet-Grid-v0", {"population": 5000}, {"credit_hops": 2}),
    "energy": ("MFNet-Grid-v0", SMALL, {"policy": "energy", "credit_hops": 2}),
    "candidates": ("MFNet-Grid-v0", SMALL, {"policy": "tilted", "energy_law": "candidates", "energy_samples": 64}),
    "layers": ("MFNet-SIS-v0", {}, {"credit_hops": 2}),
    "layers, table": ("MFNet-RideShareNYC-v0", {}, {"potential": "table", "crowd_input": "bounded", "credit_hops": 2}),
}


NO_CHOICE = ("MFNet-Braess-v0", {}, {"credit_hops": 1})


def learner(name: str, parts: int | str, *, worlds: int = 4) -> DecNeuralAC:
    scenario, env_config, options = CASES.get(name, NO_CHOICE)
    config = DecNeuralACConfig().environment(scenario, env_config=env_config).training(num_parts=parts, **options)
    config = config.env_runners(num_envs_per_env_runner=worlds, rollout_fragment_length=8).debugging(seed=3)
    with warnings.catch_warnings(action="ignore"):  # small radii are warned about
        algo = config.build_algo()
    assert isinstance(algo, DecNeuralAC)
    return algo


def state(algo: DecNeuralAC) -> dict[str, np.ndarray]:
    return algo.get_state()[1]


@pytest.mark.parametrize("name", CASES)
def test_parts_are_the_whole_bit_for_bit(name: str) -> None:
    """Weights, moments, statistics, worlds and metrics after three iterations in 1, 2, 3 and 7 parts."""
    whole = learner(name, 1)
    results = [whole.train()["learners"] for _ in range(3)]
    assert not np.array_equal(state(whole)["theta"], state(whole)["actor_start"])
    for m in (2, 3, 7):
        cut = learner(name, m)
        assert isinstance(cut.trained, Practical)
        assert len(cut.trained.learners) == m
        assert [cut.train()["learners"] for _ in range(3)] == results
        for key, values in state(whole).items():
            assert np.array_equal(state(cut)[key], values), (key, m)


def test_a_run_goes_on_in_other_parts(tmp_path: Any) -> None:
    """A checkpoint does not say how the network was cut."""
    whole, cut = learner("standardised", 1), learner("standardised", 3)
    whole.train()
    cut.restore_from_path(whole.save_to_path(tmp_path / "run"))
    assert whole.train()["learners"] == cut.train()["learners"]
    assert all(np.array_equal(state(cut)[key], values) for key, values in state(whole).items())


def test_parts_without_teams() -> None:
    """Braess: at two of six nodes drivers can choose; the critics of the others are learnt and heard all the same."""
    whole, cut = (learner("no choice", m) for m in (1, 6))
    assert isinstance(cut.trained, Practical)
    assert sum(part.teams.start == part.teams.stop for part in cut.trained.learners) == 4
    for _ in range(3):
        assert whole.train()["learners"] == cut.train()["learners"]
    assert all(np.array_equal(state(cut)[key], values) for key, values in state(whole).items())


def test_large_networks_are_cut_by_themselves() -> None:
    config = DecNeuralACConfig().environment("MFNet-Grid-v0")
    assert config.resolved(config.build_algo().model).num_parts == 1
    wide = config.env_runners(num_envs_per_env_runner=4096).training(critic_width=256)
    assert int(wide.resolved(config.build_algo().model).num_parts) > 4


def sizes_held(thing: object) -> list[int]:
    """Entries of every array and tensor that can be reached from ``thing``."""
    seen, stack, sizes = set(), [thing], []
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, type | types.ModuleType | types.FunctionType):
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            sizes.append(item.numel())
        elif isinstance(item, np.ndarray):
            sizes.append(item.size)
        else:
            stack += gc.get_referents(item)
    return sizes


def test_nothing_held_is_as_large_as_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,600 nodes, neither ``ball`` nor anything else of V^2 entries; the credit table is one of neighbours."""
    monkeypatch.setattr(StateNetwork, "ball", None)
    config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config={"rows": 40, "cols": 40, "population": 100})
    config = config.env_runners(num_envs_per_env_runner=2, rollout_fragment_length=2)
    algo = config.training(credit_hops=3, critic_width=4, actor_width=4, potential="table").build_algo()
    algo.train()
    held = sizes_held(algo)
    assert 1600 * 25 in held  # the table of N_v^3
    assert max(held) < 1600**2 / 4


@pytest.mark.slow
def test_an_iteration_on_ten_thousand_nodes_fits() -> None:
    """In a process of its own it takes less beside its imports than one (V, V) matrix would: 800 MB."""
    script = Path(__file__).parents[1] / "benchmarks" / "size.py"
    command = [sys.executable, str(script), "--json", "iteration, 100 x 100"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    row = found["iteration, 100 x 100"]
    assert row["peak_mb"] - row["imports_mb"] < 800
