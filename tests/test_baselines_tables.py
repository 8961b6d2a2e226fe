"""Tabular baselines. The truth is elsewhere: enumerated games, their exact action values, gradients and optima."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfnet_agents import Algorithm
from mfnet_agents.baselines.config import CEMConfig, ScalableACConfig
from mfnet_agents.config import ConfigError
from mfnet_envs.exact import ExactGame, IndividualTable

LINE = {
    "graph": [[0, 1], [1, 2]], "demand": [0.6, 0.1, 0.9], "population": 2, "matching": "independent", "gamma": 0.8,
}  # fmt: skip
BEST = 1.6381875469994294  # of all individual policies, by exact.best_individual from nine starts
SMALL = {"num_envs_per_env_runner": 2, "rollout_fragment_length": 5}


def scalable(**options: Any) -> Any:
    return ScalableACConfig(**options).environment("MFNet-Grid-v0", env_config=LINE).build_algo()


def in_game_units(algo: Any) -> float:
    """What the rewards that tables learn are multiplied by."""
    return float(algo.model.network.num_nodes * (1 - algo.gamma) / max(map(abs, algo.model.reward_range)))


def test_tables_that_see_everything_hold_the_exact_action_values() -> None:
    """A fixed random policy: at every pair (mu, h), as often as it is visited, within 9 % of their spread."""
    algo = scalable(hops=2, num_envs_per_env_runner=64, actor_lr=1e-12, restart=None)
    game, rng = ExactGame(algo.model), np.random.default_rng(0)
    algo.learned.theta = rng.normal(size=algo.learned.theta.shape)
    for _ in range(60):
        algo.train()
    exact, critics = game.under(algo.learned), algo.critics
    keys = critics.keys_of(algo._shown(game.pairs.sum(2)[None], game.pairs[None][:, :, algo.model.active]))
    assert len(np.unique(keys)) == keys.size and np.isin(keys, critics.keys).all(), "each node's tables are exact"
    found = critics.values[np.searchsorted(critics.keys, keys)] / in_game_units(algo)
    chance = exact.of_pairs(exact.visitation)
    spread = exact.action_values - chance @ exact.action_values
    wrong = np.sqrt(chance @ (found - exact.action_values) ** 2) / np.sqrt(chance @ spread**2)
    assert (wrong < 0.09).all()


def test_the_actor_climbs_the_exact_gradient() -> None:
    """With exact action values of the whole network, the mean over 10,000 worlds is the gradient of the enumerated
    return in the logits, entry by entry within 4.5 standard errors."""
    algo = scalable(hops=2, num_envs_per_env_runner=500, rollout_fragment_length=40, baseline="none")
    model, rng = algo.model, np.random.default_rng(1)
    algo.learned.theta = rng.normal(size=algo.learned.theta.shape)
    game = ExactGame(model)
    pi = np.zeros((3, 3, model.num_actions))
    pi[:] = np.eye(model.num_actions)[0]
    pi[model.team_states] = algo.learned.table()
    exact = game.under(IndividualTable(model, pi))
    in_base_3 = 3 ** np.arange(game.pairs[0].size)
    numbers = game.pairs.reshape(len(game.pairs), -1) @ in_base_3
    order, drawn = np.argsort(numbers), []
    for _ in range(20):
        algo.counts = algo.simulator.reset(algo.rng, 500)
        counts, actions, _ = play_from_the_start(algo)
        place = order[np.searchsorted(numbers[order], actions.reshape(*actions.shape[:2], -1) @ in_base_3)]
        drawn.append(algo._gradient(counts[:-1], actions[:-1], exact.action_values[place[:-1]]))
    mean, error = np.mean(drawn, 0), np.std(drawn, 0, ddof=1) / np.sqrt(len(drawn))
    wanted = exact.policy_gradient[model.team_states]
    assert (np.abs(mean - wanted) <= 4.5 * error + 1e-3).all() and np.abs(wanted).max() > 0.02


def play_from_the_start(algo: Any) -> Any:
    """An episode of every world that none of them was cut short by."""
    kept, algo.gamma = algo.gamma, 1.0
    played = algo._play(40)
    algo.gamma = kept
    return played


@pytest.mark.parametrize(("hops", "low", "high"), [(0, 0.0, 1.3), (1, 1.56, BEST)])
def test_one_hop_is_what_it_needs(hops: int, low: float, high: float) -> None:
    """On a line of three nodes: with tables of one hop near the best of the class, with blind ones far from it."""
    algo = scalable(hops=hops)
    for _ in range(150):
        algo.train()
    assert low < ExactGame(algo.model).under(algo.learned).objective < high


def test_crowds_are_counted_in_levels() -> None:
    env = {"population": 100}
    config = ScalableACConfig(levels=8, **SMALL).environment("MFNet-Grid-v0", env_config=env)
    levels = config.build_algo().levels
    usual = np.maximum(config.build_algo().model.usual_counts, 8 / 4)  # below it a level is one agent
    assert (levels.of(4 * usual) == 7).all() and (levels.of(0 * usual) == 0).all()
    assert (levels.of(2.01 * usual) == 4).all() and (levels.of(1000 * usual) == 7).all()
    exact = ScalableACConfig(levels=101).environment("MFNet-Grid-v0", env_config=env).build_algo().levels
    assert exact.of(np.arange(25) * 4).tolist() == (np.arange(25) * 4).tolist()


def test_resumed_bit_for_bit(tmp_path: Path) -> None:
    config = ScalableACConfig(**SMALL).environment("MFNet-TwoByTwo-v0")
    first = config.build_algo()
    for _ in range(3):
        first.train()
    again = Algorithm.from_checkpoint(first.save_to_path(tmp_path / "kept"))
    results = [[algo.train() for _ in range(2)] for algo in (first, again)]
    assert results[0][1]["learners"] == results[1][1]["learners"]
    assert np.array_equal(first.learned.theta, again.learned.theta)
    assert np.array_equal(first.critics.values, again.critics.values)
    assert again.information == "own node"


def test_damaged_tables_are_refused() -> None:
    algo = ScalableACConfig(**SMALL).environment("MFNet-TwoByTwo-v0").build_algo()
    algo.train()
    record, arrays = algo.get_state()
    damaged = {
        "keys are not": {"keys": arrays["keys"][::-1].copy()},
        "with a value each": {"values": arrays["values"][1:]},
        "do not hold 100 agents": {"counts": arrays["counts"] + 1},
    }
    for words, change in damaged.items():
        with pytest.raises(ValueError, match=words):
            algo.check_state(record, {**arrays, **change})
    algo.check_state(record, arrays)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"levels": 1}, "levels must be an integer of at least 2, not 1"),
        ({"critic_lr": 2.0}, "critic_lr must be a positive number, at most 1, not 2.0"),
        ({"restart": 0}, "restart must be a positive integer or None"),
        ({"baseline": "median"}, "baseline must be"),
    ],
)
def test_a_wrong_option_is_one_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ScalableACConfig.from_dict({"env": "MFNet-Grid-v0", **options}).build_algo()


# -- cross-entropy search


def test_search_comes_near_the_best_policy_of_its_class() -> None:
    config = CEMConfig(num_envs_per_env_runner=8).environment("MFNet-Grid-v0", env_config=LINE)
    algo = config.env_runners(rollout_fragment_length=20).build_algo()
    for _ in range(15):
        algo.train()
    assert BEST - 0.06 < ExactGame(algo.model).under(algo.learned).objective < BEST + 1e-6


def test_what_search_measures_is_the_return() -> None:
    """Of one table in 4,000 worlds, within 4.5 standard errors of the enumerated value of as many steps."""
    algo = CEMConfig(tables=4000, elite=1, rollout_fragment_length=12).environment("MFNet-Grid-v0", env_config=LINE)
    search = algo.build_algo()
    search.learned.theta = np.random.default_rng(5).normal(size=search.learned.theta.shape)
    returns = search.returns(np.broadcast_to(search.learned.theta, (4000, *search.learned.theta.shape)))
    game = ExactGame(search.model)
    wanted = game.expected(game.state_values(search.learned, steps=12).sum(1))
    assert abs(returns.mean() - wanted) < 4.5 * returns.std() / np.sqrt(len(returns))


def test_search_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    first = CEMConfig(tables=4, elite=2).environment("MFNet-TwoByTwo-v0").build_algo()
    first.train()
    again = Algorithm.from_checkpoint(first.save_to_path(tmp_path / "kept"))
    results = [algo.train()["learners"] for algo in (first, again)]
    assert results[0] == results[1] and np.array_equal(first.learned.theta, again.learned.theta)
    with pytest.raises(ConfigError, match="elite must be at most 4, the tables, not 6"):
        CEMConfig(tables=4).environment("MFNet-TwoByTwo-v0").build_algo()
