"""IPPO, MAPPO and PPO on local critics. The truth is elsewhere: finite differences of enumerated games, automatic
differentiation of the surrogate as it is printed, and the published equilibria of the two-by-two game."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import binom

from mfnet_agents import Algorithm, AlgorithmConfig, registry
from mfnet_agents.baselines import ppo
from mfnet_agents.baselines.config import IPPOConfig, LocalPPOConfig, MAPPOConfig, PPOConfig
from mfnet_agents.baselines.individuals import Crew
from mfnet_agents.config import ConfigError
from mfnet_agents.policies.individual import Seen
from mfnet_envs import Simulator, make_model
from mfnet_envs.exact import ExactGame
from mfnet_envs.measure import measure
from mfnet_envs.scenarios import twobytwo_v0

LINE = {"graph": [[0, 1], [1, 2]], "demand": [0.6, 0.1, 0.9], "population": 3, "matching": "independent"}
SQUARE = {"rows": 2, "cols": 2, "population": 6, "horizon": 10}
SMALL = {"num_envs_per_env_runner": 2, "rollout_fragment_length": 5, "minibatch_size": 4}


def surrogate(logits: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, clip: float) -> torch.Tensor:
    """The clipped surrogate as printed, summed over agents: logits ``(L, 1, A)``, advantages of one agent each."""
    ratio = torch.softmax(logits, 2) / old
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_slope_is_that_of_the_printed_surrogate(sign: float) -> None:
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(200, 1, 3)), requires_grad=True)
    old = torch.softmax(torch.tensor(rng.normal(size=(200, 1, 3))), 2)
    agents = rng.multinomial(4, [0.2, 0.3, 0.5], size=(200, 1))
    each = sign * rng.random((200, 1, 1))
    total = (torch.tensor(agents) * surrogate(logits, old, torch.tensor(each), 0.2)).sum()
    (wanted,) = torch.autograd.grad(total, logits)
    pi = torch.softmax(logits, 2).detach().numpy()
    found = ppo.surrogate_slope(pi, old.numpy(), agents * np.maximum(each, 0), agents * np.minimum(each, 0), 0.2)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-12)
    ratio = pi / old.numpy()
    assert (ratio > 1.2).any() and (ratio < 0.8).any(), "nothing was clipped"


def test_an_illegal_action_has_no_slope() -> None:
    pi = np.array([[[0.4, 0.6, 0.0]]])
    found = ppo.surrogate_slope(pi, pi, np.array([[[1.0, 0.0, 0.0]]]), np.zeros((1, 1, 3)), 0.2)
    np.testing.assert_allclose(found, [[[0.6, -0.6, 0.0]]])


def test_the_slope_of_the_entropy() -> None:
    rng = np.random.default_rng(1)
    logits = torch.tensor(rng.normal(size=(5, 2, 3)), requires_grad=True)
    sizes = rng.integers(0, 5, (5, 2))
    log = torch.log_softmax(logits, 2)
    (wanted,) = torch.autograd.grad(-(torch.tensor(sizes)[..., None] * log.exp() * log).sum(), logits)
    np.testing.assert_allclose(ppo.entropy_slope(log.exp().detach().numpy(), sizes), wanted.numpy(), atol=1e-12)


@pytest.mark.parametrize("weights", ["own", "shared"])
def test_at_ratio_one_it_is_the_policy_gradient(weights: Any) -> None:
    """Fed with exact action values of every pair (mu, h), it is the finite difference of the enumerated return."""
    algo = IPPOConfig(weights=weights, actor_width=4).environment("MFNet-Grid-v0", env_config=LINE).build_algo()
    rng, policy, game = np.random.default_rng(2), algo.learned, ExactGame(algo.model)
    policy.update(torch.as_tensor(rng.normal(size=policy.theta.shape)))
    exact = game.under(policy)
    chance = exact.of_pairs(exact.visitation) / (1 - game.gamma)
    actions = game.pairs[:, algo.model.team_states]
    each = (chance * exact.action_values.sum(1))[:, None, None]
    seen = Seen(actions.sum(2), np.zeros((len(actions), 3, 1)), np.zeros(len(actions), np.int64))
    pi = policy.shares(seen)
    slope = ppo.surrogate_slope(pi, pi, actions * np.maximum(each, 0), actions * np.minimum(each, 0), 0.2)
    found = policy.score_along(seen, slope)
    theta, step = policy.theta.clone(), 1e-5
    for place in rng.integers(0, theta.numel(), 8):
        values = []
        for sign in (1, -1):
            moved = theta.clone()
            moved.view(-1)[place] += sign * step
            policy.update(moved)
            values.append(game.under(policy).objective)
        wanted = (values[0] - values[1]) / (2 * step)
        assert float(found.view(-1)[place]) == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def test_agents_one_by_one_live_the_exact_game() -> None:
    """Returns of restarted worlds of named agents average to the enumerated objective: within 4.5 standard errors."""
    model = make_model("MFNet-Grid-v0", **LINE)
    policy = model.heuristics()["random"]
    crew = Crew(Simulator(model), 400, model.gamma, np.random.default_rng(3))
    wanted = ExactGame(model).under(policy).objective
    crew.play(policy, 200)  # of those that end first, short ones are too many
    ended = crew.play(policy, 200).returns
    assert len(ended) > 3000
    assert abs(ended.mean() - wanted) < 4.5 * ended.std() / np.sqrt(len(ended))


@pytest.mark.parametrize(("hops", "blind"), [(0, True), (1, False), (None, False)])
def test_what_a_critic_sees(hops: int | None, blind: bool) -> None:
    config = LocalPPOConfig(critic_hops=hops, reward="shared").environment("MFNet-Grid-v0", env_config=SQUARE)
    algo = config.build_algo()
    rng = np.random.default_rng(4)
    algo.values.omega = torch.as_tensor(rng.normal(size=algo.values.omega.shape))
    crowds = torch.as_tensor(rng.random((3, 4, 1)))
    elsewhere = crowds.clone()
    elsewhere[:, 1] += 1.0  # beside node 0
    assert torch.equal(algo.values(crowds)[0], algo.values(elsewhere)[0]) == blind


def fares(config: AlgorithmConfig, steps: int, seed: int, **env_config: Any) -> float:
    config.environment("MFNet-TwoByTwo-v0", env_config=env_config)
    algo = config.training(total_env_steps=steps).debugging(seed=seed).build_algo()
    while algo.env_steps < steps:
        algo.train()
    charged_nothing = make_model("MFNet-TwoByTwo-v0")  # the platform's fares, of which drivers see their part
    policies = {"learnt": algo.policy}
    return measure(charged_nothing, policies, worlds=32, certificate=None).results["learnt"].value


def selfish_fares(alpha: float) -> float:
    """Expected fares of 100 drivers who go to the dear cell with the chance at which both cells pay a driver alike."""
    others, all_ = np.arange(100), np.arange(101)
    dear, cheap = ([twobytwo_v0.driver_pay(cell, n + 1, alpha) for n in others] for cell in (3, 0))
    gain = lambda p: binom.pmf(others, 99, p) @ dear - binom.pmf(others, 99, 1 - p) @ cheap  # noqa: E731
    p = 1.0 if gain(1.0) >= 0 else brentq(gain, 0.1, 1.0)
    return float(binom.pmf(all_, 100, p) @ [twobytwo_v0.total_fares(int(n), 100 - int(n)) for n in all_])


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_independent_learners_find_the_selfish_equilibrium(alpha: float) -> None:
    """Drivers who learn from their own pay end where none gains by another chance: 500 fares a day, and 577.8."""
    assert selfish_fares(0.0) == 500.0  # as published
    assert fares(IPPOConfig(), 6400, 0, alpha=alpha, paid="net") == pytest.approx(selfish_fares(alpha), abs=4)


@pytest.mark.parametrize("kind", [MAPPOConfig, LocalPPOConfig])
def test_learners_of_the_common_good_find_the_optimum(kind: type[PPOConfig]) -> None:
    """598 fares a day, in closed form; 585 is far above what selfish drivers leave, 500."""
    assert fares(kind(), 9600, 0) > 585


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (IPPOConfig, {}),
        (IPPOConfig, {"weights": "shared", "reward": "shared", "entropy": 0.01}),
        (MAPPOConfig, {"observe": 1}),
        (LocalPPOConfig, {}),
        (LocalPPOConfig, {"weights": "shared", "observe": 2}),
    ],
)
def test_resumed_bit_for_bit(kind: type[PPOConfig], options: dict[str, Any], tmp_path: Path) -> None:
    config = kind(**options, **SMALL).environment("MFNet-Grid-v0", env_config=SQUARE)
    first = config.build_algo()
    first.train()
    again = Algorithm.from_checkpoint(first.save_to_path(tmp_path / "kept"))
    assert type(again) is type(first) and again.config == first.config
    results = [algo.train() for algo in (first, again)]
    assert torch.equal(first.policy.theta, again.policy.theta)
    assert results[0]["learners"] == results[1]["learners"]


def test_a_clock_is_seen_where_there_is_one() -> None:
    env = {"hour": "day", "population": 40}
    algo = IPPOConfig(**SMALL).environment("MFNet-RideShareNYC-v0", env_config=env).build_algo()
    algo.train()
    assert algo.information == "own node and clock"
    assert MAPPOConfig().environment("MFNet-Grid-v0", env_config=SQUARE).build_algo().information == "own node"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clip": 1.5}, "clip must be strictly between 0 and 1, not 1.5"),
        ({"view": "team"}, "did you mean 'teams'"),
        ({"critic_width": 7}, "critic_width must be an even number"),
        ({"credit_hops": 2}, "set view='teams' and reward='own'"),
        ({"view": "teams", "critic_hops": None}, "set reward='shared'"),
    ],
)
def test_a_wrong_option_is_one_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        IPPOConfig.from_dict({"env": "MFNet-Grid-v0", **options}).build_algo()


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    algo = IPPOConfig(**SMALL).environment("MFNet-Grid-v0", env_config=SQUARE).build_algo()
    record, arrays = algo.get_state()
    for name, value in {"sampler_states": 99, "actor_signs": 2.0, "critic_exp_avg_sq": -1.0}.items():
        wrong = {**arrays, name: np.full_like(arrays[name], value)}
        with pytest.raises(ValueError):
            algo.check_state(record, wrong)


def test_options_load_without_torch() -> None:
    import subprocess
    import sys

    script = (
        "import sys; from mfnet_agents import registry; [registry.config_class(n) for n in registry.algorithms()]; "
    )
    subprocess.run([sys.executable, "-c", script + "assert 'torch' not in sys.modules"], check=True)
    assert registry.config_class("MAPPO") is MAPPOConfig
