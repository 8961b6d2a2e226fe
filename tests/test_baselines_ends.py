"""The ends of DEC-NEURAL-AC have names: they are its own runs, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mfnet_agents import Algorithm, DecNeuralACConfig, registry

GRID = {"rows": 2, "cols": 3, "population": 12, "horizon": 20}


@pytest.mark.parametrize(("name", "hops"), [("IndependentAC", 0), ("CentralisedAC", 3)])
def test_an_end_is_dec_neural_ac_with_its_hops(name: str, hops: int, tmp_path: Path) -> None:
    """3 is the diameter of a grid of 2 x 3."""
    options: dict[str, Any] = {"env": "MFNet-Grid-v0", "env_config": GRID, "seed": 1}
    end = registry.config_class(name).from_dict(options).build_algo()
    same = DecNeuralACConfig.from_dict(options | {"critic_form": "v", "hops": hops, "credit_hops": hops}).build_algo()
    results = [algo.train() for algo in (end, same)]
    assert results[0]["learners"] == results[1]["learners"]
    assert torch.equal(end.policy.theta, same.policy.theta)
    again = Algorithm.from_checkpoint(end.save_to_path(tmp_path / "kept"))
    assert type(again) is type(end) and again.settings.hops == again.settings.credit_hops == hops
    again.train(), same.train()
    assert torch.equal(again.policy.theta, same.policy.theta)
