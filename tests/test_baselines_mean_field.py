"""MF-Q and MF-AC. The truth is elsewhere: a lone agent's optimum by enumeration, logit equilibria by root finding, and
the equilibrium of the two-by-two game."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom
from test_baselines_ppo import fares, selfish_fares

from mfnet_agents import Algorithm
from mfnet_agents.baselines import mean_field
from mfnet_agents.baselines.config import MFACConfig, MFQConfig
from mfnet_agents.config import ConfigError
from mfnet_envs import make_model
from mfnet_envs.exact import ExactGame
from mfnet_envs.scenarios import twobytwo_v0

LINE = {"graph": [[0, 1], [1, 2]], "demand": [0.6, 0.1, 0.9], "matching": "independent"}
SQUARE = {"rows": 2, "cols": 2, "population": 6, "horizon": 10}
SMALL = {"num_envs_per_env_runner": 2, "rollout_fragment_length": 5, "minibatch_size": 4}


def test_whom_an_agent_hears_of() -> None:
    """Node by node and layer by layer: all who stand within a hop, whatever they do there."""
    model = make_model("MFNet-TwoByTwo-v0", population=7)
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 5, (2, 8, 3)).astype(float)
    found = mean_field.Around(model, 1).total(actions)
    for world in range(2):
        for state in range(8):
            near = model.network.neighbors[state // 2]
            wanted = sum(actions[world, 2 * node + layer] for node in near if node >= 0 for layer in (0, 1))
            assert found[world, state].tolist() == np.asarray(wanted).tolist()


def test_the_others_are_the_others() -> None:
    """A lone agent has none; of two who do a and b, each hears of what the other does."""
    model_options = {**SQUARE, "population": 2}
    algo = MFACConfig(**SMALL).environment("MFNet-Grid-v0", env_config=model_options).build_algo()
    lives = algo.crew.play(algo.policy, 20)
    batch = algo._batch(lives)
    pairs = 0
    for row, (states, actions) in enumerate(
        zip(lives.states.reshape(-1, 2), lives.actions.reshape(-1, 2), strict=True)
    ):
        for mine in (0, 1):
            heard = batch.around[row, states[mine], actions[mine]]
            together = states[0] == states[1]
            pairs += together
            assert heard.tolist() == (np.eye(5)[actions[1 - mine]] if together else np.zeros(5)).tolist()
    assert pairs, "they never met"


@pytest.mark.parametrize("slope", [0.0, 0.5, 2.0])
def test_policies_and_mean_actions_agree(slope: float) -> None:
    """Q(a) = lure_a - slope a_bar_a: the logit equilibrium, which root finding gives."""
    model = make_model("MFNet-Resource-v0", mode="aloha")
    around, lure, tau = mean_field.Around(model, 0), np.array([0.3, 0.0]), 0.5
    legal = np.where(model.legal.sum(1) > 1)[0]
    assert len(legal) == len(model.legal)

    class Crowded:
        def __call__(self, counts: Any, a_bar: Any, rows: Any) -> Any:
            q = np.full(a_bar.shape, -1e9)
            q[..., :2] = lure - slope * a_bar[..., :2]
            return q

    policy = mean_field.SettledPolicy(model, Crowded(), around, tau)  # type: ignore[arg-type]
    pi = policy.teams(np.full((1, len(model.legal)), 5), 0)[0]
    p = brentq(lambda p: p - 1 / (1 + np.exp(-(lure[0] - slope * (2 * p - 1)) / tau)), 0, 1)
    np.testing.assert_allclose(pi[:, 0], p, atol=0.01)
    np.testing.assert_allclose(pi[:, 0] + pi[:, 1], 1, atol=1e-12)


@pytest.mark.parametrize(("kind", "steps"), [(MFQConfig, 6400), (MFACConfig, 12_800)])
def test_a_lone_agent_learns_the_optimum(kind: Any, steps: int) -> None:
    """Without others it is Q-learning, or actor-critic, of one decision process; its optimum by value iteration."""
    config = kind()
    config.environment("MFNet-Grid-v0", env_config={**LINE, "population": 1}).training(total_env_steps=steps)
    algo = config.build_algo()
    while algo.env_steps < steps:
        algo.train()
    game = ExactGame(algo.model)
    best, even = game.expected(game.optimal_values()), game.objective(algo.model.heuristics()["random"])
    assert game.objective(algo.policy) > best - 0.1 * (best - even)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_actors_find_the_selfish_equilibrium(alpha: float) -> None:
    """What Shou and Di's drivers do, by another mean-field actor-critic: 500 fares a day, and 577.8 for mixing ones."""
    assert fares(MFACConfig(), 12_800, 0, alpha=alpha, paid="net") == pytest.approx(selfish_fares(alpha), abs=12)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_boltzmann_drivers_find_the_logit_equilibrium(alpha: float) -> None:
    """At temperature 0.05 of the dear fare, days apart: between the selfish equilibrium, 500 and 577.8, and 598."""
    others, gamma, tau = np.arange(100), 0.5, 0.05 * 10
    dear, cheap = ([twobytwo_v0.driver_pay(cell, n + 1, alpha) for n in others] for cell in (3, 0))

    def surplus(p: float) -> float:
        gain = binom.pmf(others, 99, p) @ dear - binom.pmf(others, 99, 1 - p) @ cheap
        return float(gamma * gain - tau * np.log(p / (1 - p)))  # the pay comes a step later

    everybody, p = np.arange(101), brentq(surplus, 1e-6, 1 - 1e-9)
    wanted = binom.pmf(everybody, 100, p) @ [twobytwo_v0.total_fares(int(n), 100 - int(n)) for n in everybody]
    config = MFQConfig(last_temperature=0.05, gamma=gamma)
    assert fares(config, 6400, 0, alpha=alpha, paid="net", days=1) == pytest.approx(wanted, abs=8)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(MFQConfig, {"hops": 1}), (MFACConfig, {"weights": "shared", "reward": "shared"}), (MFACConfig, {"hops": 1})],
)
def test_resumed_bit_for_bit(kind: Any, options: dict[str, Any], tmp_path: Path) -> None:
    config = kind(**options, **SMALL).environment("MFNet-Grid-v0", env_config=SQUARE)
    first = config.build_algo()
    first.train()
    again = Algorithm.from_checkpoint(first.save_to_path(tmp_path / "kept"))
    assert type(again) is type(first) and again.config == first.config
    results = [[algo.train() for _ in range(2)][1] for algo in (first, again)]
    assert results[0]["learners"] == results[1]["learners"]
    counts = first.model.reference_counts
    assert again.information == ("1 hop" if kind is MFQConfig else "own node")
    probe = np.full((1, 4), 2) if counts is None else np.array([[2, 2, 1, 1]])
    assert np.array_equal(first.policy.teams(probe, 0), again.policy.teams(probe, 0))


def test_damaged_checkpoints_are_refused() -> None:
    algo = MFACConfig(**SMALL).environment("MFNet-Grid-v0", env_config=SQUARE).build_algo()
    record, arrays = algo.get_state()
    algo.check_state(record, arrays)
    for name, value in {"crew_states": 99, "q_signs": 2.0, "q_exp_avg_sq": -1.0}.items():
        with pytest.raises(ValueError):
            algo.check_state(record, {**arrays, name: np.full_like(arrays[name], value)})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hops": -1}, "hops must be a non-negative integer"),
        ({"temperature": 0}, "temperature must be a positive number"),
        ({"critic_width": 5}, "critic_width must be an even number"),
        ({"reward": "mine"}, "reward must be"),
    ],
)
def test_a_wrong_option_is_one_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MFQConfig.from_dict({"env": "MFNet-Grid-v0", **options}).build_algo()
