"""Real networks at their size through the checks every environment passes: Sioux Falls with 10,000 agents, GEANT."""

import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test, parallel_seed_test, state_test
from pettingzoo.utils.conversions import parallel_to_aec

import mfnet_envs
from mfnet_envs.conformance.models import check_model
from mfnet_envs.model import LocalModel

NETWORKS = ("Sioux Falls", "GEANT")


@cache
def options(network: str) -> tuple[str, dict[str, Any]]:
    """The id and the builder's options."""
    if network == "GEANT":
        return "MFNet-Packet-v0", {"network": "topohub:sndlib/geant", "population": 2000}
    folder = os.environ.get("MFNET_TNTP")
    if not folder:
        pytest.skip("MFNET_TNTP is not set")
    (path,) = Path(folder).rglob("SiouxFalls_net.tntp")
    return "MFNet-Routing-v0", {"network": str(path), "time_unit": 0.01, "population": 10_000}


@cache
def model(network: str) -> LocalModel:
    env_id, chosen = options(network)
    return mfnet_envs.make_model(env_id, **chosen)


def env(network: str, view: str) -> Any:
    env_id, chosen = options(network)
    return mfnet_envs.parallel_env(env_id, view=view, max_cycles=4, **chosen)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_model_keeps_the_contract(network: str) -> None:
    """Sioux Falls: 76 links and 24 nodes by 24 destinations; GEANT: 72 and 22 by 22."""
    found = model(network)
    assert found.network.num_states == {"Sioux Falls": 100 * 24, "GEANT": 94 * 22}[network]
    check_model(found)


@pytest.mark.parametrize("network", NETWORKS)
def test_central_view(network: str) -> None:
    env_id, chosen = options(network)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*numpy array is all zeros.*")
        check_env(gym.make(env_id, max_episode_steps=4, **chosen).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("view", ["teams", "agents"])
def test_parallel_views(network: str, view: str) -> None:
    parallel_api_test(env(network, view), num_cycles=5)
    parallel_seed_test(lambda: env(network, view), num_cycles=2)
    state_test(parallel_to_aec(env(network, view)), env(network, view), num_cycles=1)
