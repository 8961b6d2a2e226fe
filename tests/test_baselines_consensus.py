"""Consensus actor-critic. The truth is elsewhere: an enumerated game's values, the algebra of averages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mfnet_envs
from mfnet_agents import Algorithm
from mfnet_agents.baselines.config_teams import ConsensusACConfig
from mfnet_agents.baselines.consensus_ac import Consensus, Heard
from mfnet_agents.config import ConfigError
from mfnet_envs.exact import ExactGame

LINE = {
    "graph": [[0, 1], [1, 2]], "demand": [0.6, 0.1, 0.9], "population": 2, "matching": "independent", "gamma": 0.8,
}  # fmt: skip
SMALL = {"num_envs_per_env_runner": 4, "rollout_fragment_length": 5}


def on_the_line(**options: Any) -> Any:
    return ConsensusACConfig(**options).environment("MFNet-Grid-v0", env_config=LINE).build_algo()


@pytest.mark.parametrize("place", [LINE, {"rows": 3, "cols": 4}])
def test_neighbours_weights_are_doubly_stochastic(place: dict[str, Any]) -> None:
    """As a matrix: symmetric, of neighbours only, rows sum to 1, by networkx's degrees the printed number; and what is
    averaged for ever is the mean."""
    network = mfnet_envs.make_model("MFNet-Grid-v0", **place).network
    consensus, nodes = Consensus(network), network.num_nodes
    matrix = consensus(np.eye(nodes))
    assert np.allclose(matrix, matrix.T) and np.allclose(matrix.sum(1), 1) and (matrix >= 0).all()
    near = np.zeros((nodes, nodes), bool)
    index, mask = network.hops(1)
    for node in range(nodes):
        near[node, index[node][mask[node]]] = True
    assert not matrix[~near].any()
    degree = near.sum(1) - 1
    assert matrix[0, 1] == pytest.approx(1 / (1 + max(degree[0], degree[1])))
    x = np.random.default_rng(0).normal(size=(nodes, 2))
    assert np.allclose(consensus(x, 500), x.mean(0)) and not np.allclose(consensus(x), x.mean(0), atol=1e-2)


def test_the_mean_of_all_critics_takes_the_central_step() -> None:
    """Of one critic that hears all rewards, to rounding, however far the nodes are apart."""
    algo, rng = on_the_line(rounds=3), np.random.default_rng(0)
    algo.v, algo.l = rng.normal(size=algo.v.shape), rng.normal(size=algo.l.shape)
    d, e = algo.v.shape[1], algo.l.shape[1]
    heard = Heard(*(rng.normal(size=(16, width)) for width in (d, d, e, 3)))
    v, reward, paid = algo.v.mean(0), algo.l.mean(0), heard.rewards.mean(1)
    v = v + 0.1 * (paid + 0.8 * heard.following @ v - heard.phi @ v) @ heard.phi / 16
    reward = reward + 0.1 * (paid - heard.psi @ reward) @ heard.psi / 16
    algo.learn(heard, 0.1)
    assert np.allclose(algo.v.mean(0), v) and np.allclose(algo.l.mean(0), reward)


def test_nodes_agree_on_the_fixed_point_of_what_all_earn() -> None:
    """Sampled play of a fixed policy of an enumerated game: every node's value of every crowd comes to that of
    centralised TD, which the game's own laws give as a linear system; no node's own reward would lead there."""
    algo = on_the_line(actor_lr=1e-12, num_envs_per_env_runner=64, critic_lr=0.5, total_env_steps=80 * 1024)
    for _ in range(80):
        algo.train()
    game = ExactGame(algo.model)
    exact = game.under(algo.policy)
    phi = algo.features.of_crowds(algo.sampler.simulator.crowd(game.count_vectors).astype(float))
    law, paid = exact.visitation, exact.team_rewards * algo.unit / 3
    left = phi.T @ (law[:, None] * (phi - algo.gamma * exact.transition @ phi))

    def fixed_point(rewards: Any) -> Any:
        return phi @ np.linalg.lstsq(left, phi.T @ (law * rewards), rcond=1e-10)[0]

    wanted, found = fixed_point(paid.sum(1)), algo.v @ phi.T
    spread = np.sqrt(law @ (wanted - law @ wanted) ** 2)
    wrong = np.sqrt(((found - wanted) ** 2) @ law) / spread
    alone = [fixed_point(3 * paid[:, state]) for state in range(3)]
    assert (wrong < 0.15).all()
    assert min(np.sqrt(law @ (own - wanted) ** 2) / spread for own in alone) > 1


def test_it_finds_the_social_optimum() -> None:
    """598 in the two-by-two game, where selfish drivers earn 500."""
    algo = ConsensusACConfig(total_env_steps=6144).environment("MFNet-TwoByTwo-v0").build_algo()
    for _ in range(24):
        algo.train()
    assert algo.evaluate(worlds=32)["env_runners"]["headline_mean"] > 550


def test_resumed_bit_for_bit(tmp_path: Path) -> None:
    first = ConsensusACConfig(**SMALL).environment("MFNet-TwoByTwo-v0").build_algo()
    first.train()
    again = Algorithm.from_checkpoint(first.save_to_path(tmp_path / "kept"))
    results = [[algo.train()["learners"] for _ in range(2)] for algo in (first, again)]
    assert results[0] == results[1] and np.array_equal(first.v, again.v)


def test_damage_and_wrong_options_are_refused() -> None:
    algo = ConsensusACConfig(**SMALL).environment("MFNet-TwoByTwo-v0").build_algo()
    record, arrays = algo.get_state()
    wrong = {"sampler_counts": "do not hold 100 agents", "actor_signs": "not all 1 or -1", "v": "numbers|finite|shape"}
    for name, words in wrong.items():
        damaged = arrays[name][..., :-1] if name == "v" else arrays[name] + 1
        with pytest.raises(ValueError, match=words):
            algo.check_state(record, {**arrays, name: damaged})
    algo.check_state(record, arrays)
    for options, said in (
        ({"rounds": 0}, "rounds must be a positive integer"),
        ({"weights": "none"}, "weights must be"),
    ):
        with pytest.raises(ConfigError, match=said):
            ConsensusACConfig(**options).environment("MFNet-Grid-v0").build_algo()
