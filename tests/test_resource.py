"""MFNet-Resource-v0 against enumeration, closed forms and published maxima."""

import copy
import itertools
import math
import pickle
from typing import Any

import networkx as nx
import numpy as np
import pytest

from mfnet_envs.compositions import compositions
from mfnet_envs.conformance.models import check_model
from mfnet_envs.evaluate import evaluate
from mfnet_envs.exact import ExactGame
from mfnet_envs.policy import TablePolicy
from mfnet_envs.scenarios.resource_v0 import IDLE, TRANSMIT, Aloha, Resource, Share, build
from mfnet_envs.simulator import Simulator

# max_n n (1 - 1 / M)^(n - 1), as published
MAXIMA = {1: 1.0, 2: 1.0, 4: 1.6875, 8: 3.1416, 16: 6.0770, 32: 11.9595}
ONE_CELL = {"rows": 1, "cols": 1}


def staying(model: Any, counts: Any) -> np.ndarray:
    """Rewards of action 0 per state, ``(S,)``, at one crowd."""
    rewards: np.ndarray = model.reward(Simulator(model).mu_hood(np.asarray(counts)[None]))[0, :, 0]
    return rewards


# -- share ----------------------------------------------------------------------------------------------------------


def test_utility_by_hand() -> None:
    """3 units among 2 devices: log(1 + 1.5) / log(1 + 4); alone a device has the 3, and 5 are as good as 4."""
    model = build(2, graph=[[0, 1]], bandwidth=[3, 5], total_bandwidth=4.0, enough=4.0, move_cost=0.2)
    hood = Simulator(model).mu_hood(np.array([[2, 0], [1, 1]]))
    rewards = model.reward(hood)
    assert rewards[0, 0].tolist() == pytest.approx([math.log(2.5) / math.log(5), math.log(2.5) / math.log(5) - 0.2])
    assert rewards[1, 0, 0] == pytest.approx(math.log(4) / math.log(5))
    assert rewards[1, 1, 0] == pytest.approx(1.0)


def test_the_share_bound_is_reached_by_the_proportional_crowd_only() -> None:
    """All ways to put 12 devices on three cells of bandwidths 1 : 2 : 3."""
    model = build(12, graph=nx.path_graph(3), bandwidth=[1, 2, 3], total_bandwidth=0.7, enough=50.0)
    crowds = compositions(12, 3)
    values = np.array([crowd @ staying(model, crowd) / 12 for crowd in crowds])
    assert crowds[values.argmax()].tolist() == [2, 4, 6]
    assert values.max() == pytest.approx(model.bound().value, abs=1e-12)
    assert np.sort(values)[-2] < values.max() - 1e-4
    assert model.bound().value == pytest.approx(math.log1p(0.7) / math.log1p(50))


def test_nobody_gains_by_leaving_the_proportional_crowd() -> None:
    model = build(12, graph=nx.path_graph(3), bandwidth=[1, 2, 3], total_bandwidth=0.7, enough=50.0)
    crowd = np.array([2, 4, 6])
    before = staying(model, crowd)
    for here, there in itertools.permutations(range(3), 2):
        moved = crowd.copy()
        moved[here] -= 1
        moved[there] += 1
        assert staying(model, moved)[there] < before[here]


def test_the_metropolis_walk_keeps_the_proportional_law() -> None:
    model = build(10, graph=nx.barbell_graph(3, 1), bandwidth=[1, 5, 2, 4, 3, 1, 6])
    policy = model.heuristics()["metropolis"]
    assert isinstance(policy, TablePolicy) and isinstance(model.game, Share)
    law = model.game.bandwidth / model.game.bandwidth.sum()
    following, _ = Simulator(model).mean_field_step(law[None], policy.table[0])
    np.testing.assert_allclose(following[0], law, atol=1e-12)


def test_proportional_fairness_comes_close_to_the_bound() -> None:
    """Its stationary crowd is proportional up to the last devices that cannot be divided."""
    for population, share in ((100, 0.985), (1000, 0.998)):
        model = build(population)
        mean = evaluate(model, model.heuristics()["proportional_fair"], worlds=8)["reward_per_step_mean"]
        assert share * model.bound().value < mean < model.bound().value


# -- aloha ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", MAXIMA)
def test_aloha_bound_is_the_published_maximum(channels: int) -> None:
    model = build(200, mode="aloha", channels=channels, **ONE_CELL)
    assert model.bound().value * 200 == pytest.approx(MAXIMA[channels], abs=5e-5)
    three = build(200, mode="aloha", channels=channels, graph=nx.path_graph(3), quality=[1.0, 0.5, 0.0])
    assert three.bound().value * 200 == pytest.approx(1.5 * MAXIMA[channels], abs=1e-4)


@pytest.mark.parametrize(("n", "channels"), [(1, 3), (2, 2), (3, 2), (4, 3), (3, 1)])
def test_success_by_enumeration_of_the_channels_drawn(n: int, channels: int) -> None:
    """All channels^n ways to choose; q of those who are alone arrive."""
    alone = [
        sum(drawn.count(channel) == 1 for channel in drawn)
        for drawn in itertools.product(range(channels), repeat=n)
    ]  # fmt: skip
    model = build(n + 2, mode="aloha", channels=channels, quality=0.9, energy=0.25, **ONE_CELL)
    counts = np.array([2, n])
    pay = staying(model, counts)
    assert pay[IDLE] == 0
    assert n * pay[TRANSMIT] == pytest.approx(0.9 * np.mean(alone) - 0.25 * n)


def test_aloha_bound_holds_for_the_best_planner_and_every_crowd() -> None:
    """N = 5 in one cell of 3 channels: 3 transmit for ever, which a planner reaches after one step."""
    model = build(5, mode="aloha", channels=3, energy=0.1, horizon=60, warmup=0, **ONE_CELL)
    game = ExactGame(model)
    by_hand = max(n * ((2 / 3) ** (n - 1) - 0.1) for n in range(1, 6)) / 5
    assert model.bound().value == pytest.approx(by_hand)
    best = game.expected(game.optimal_values(steps=60))
    assert best == pytest.approx(model.bound("discounted").value - by_hand)  # nothing at the first step: all are idle


def test_few_devices_do_not_fill_the_channels() -> None:
    """Two devices and 16 channels: the bound counts two transmitters, not 16."""
    assert build(2, mode="aloha", channels=16, **ONE_CELL).bound().value == pytest.approx(15 / 16)


def test_slotted_aloha_succeeds_as_often_as_it_must() -> None:
    """p = M / N in one cell: M (1 - 1 / N)^(N - 1) successes a step in the mean, 3.02 for N = 20, M = 8."""
    model = build(20, mode="aloha", channels=8, **ONE_CELL)
    expected = 8 * (1 - 1 / 20) ** 19 / 20
    for name in ("aloha", "aloha_counting"):
        report = evaluate(model, model.heuristics()[name], worlds=64, warmup=1)
        assert abs(report["reward_per_step_mean"] - expected) < 2.3 * report["reward_per_step_ci95"]
        assert report["reward_per_step_mean"] < model.bound().value


def test_always_transmitting_chokes_the_cell() -> None:
    """(1 - 1 / 4)^(n - 1) with n = 60 devices: the tragedy of the commons."""
    model = build(60, mode="aloha", **ONE_CELL)
    report = evaluate(model, model.heuristics()["always"], worlds=2, warmup=1)
    assert report["reward_per_step_mean"] == pytest.approx(0.75**59)
    assert report["reward_per_step_mean"] < 1e-5 * model.bound().value


def test_holding_the_channel_beats_slotted_aloha() -> None:
    """M transmitters who go on succeed M (1 - 1/M)^(M - 1) times a step, those of ALOHA M / e."""
    model = build(1000, mode="aloha", channels=8)
    hold, aloha = (evaluate(model, model.heuristics()[name], worlds=8) for name in ("hold", "aloha"))
    assert aloha["reward_per_step_mean"] + 0.0005 < hold["reward_per_step_mean"] < model.bound().value


def test_actions_of_aloha() -> None:
    """0 idle, 1 transmit, j + 1 to neighbour slot j, idle there."""
    model = build(mode="aloha", graph=nx.path_graph(3))
    successors = model.branches[0].successors[..., 0]
    assert successors[3].tolist() == [2, 3, 0, 4]  # the middle cell, transmitting
    assert model.legal[0].tolist() == [True, True, True, False]


# -- both -----------------------------------------------------------------------------------------------------------

OPTIONS = [
    {},
    {"population": 1},
    {"graph": nx.path_graph(3), "bandwidth": [0, 1, 2], "enough": 0.5},
    {"population": 5000, "total_bandwidth": 20.0, "move_cost": 0.0},
    {"mode": "aloha"},
    {"mode": "aloha", "channels": [1, 2, 4], "quality": [0.2, 1.0, 0.0], "energy": 0.3, "graph": [[0, 1], [1, 2]]},
    {"mode": "aloha", "population": 1, **ONE_CELL},
    {"mode": "aloha", "energy": 2.0},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_it_keeps_the_contract(options: dict[str, Any]) -> None:
    check_model(build(**options))


@pytest.mark.parametrize("options", OPTIONS)
def test_every_heuristic_stays_within_both_bounds(options: dict[str, Any]) -> None:
    """The bounds hold crowd by crowd, so for every single run."""
    model = build(**options)
    average, discounted = model.bound().value, model.bound("discounted").value
    for name, policy in model.heuristics().items():
        report = evaluate(model, policy, worlds=3, steps=60, warmup=20)
        assert report["reward_per_step_mean"] <= average + 1e-12, name
        assert report["discounted_return_mean"] <= discounted + 1e-12, name


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "sharing"}, "mode must be 'share' or 'aloha', not 'sharing'"),
        ({"population": 0}, "population must be a positive integer"),
        ({"bandwidth": np.zeros(9)}, "bandwidth must be positive somewhere"),
        ({"bandwidth": [1.0, 2.0]}, "bandwidth must be 9 non-negative numbers, one per node"),
        ({"total_bandwidth": -1.0}, "total_bandwidth must be a non-negative number"),
        ({"enough": math.nan}, "enough must be a non-negative number"),
        ({"enough": 0.0}, "so must total_bandwidth and enough"),
        ({"move_cost": -0.1}, "move_cost must be a non-negative number"),
        ({"mode": "aloha", "channels": 0}, "channels must be positive integers"),
        ({"mode": "aloha", "channels": 2.5}, "channels must be positive integers"),
        ({"mode": "aloha", "quality": 1.5}, "quality must lie between 0 and 1"),
        ({"mode": "aloha", "energy": -1}, "energy must be a non-negative number"),
        ({"graph": [[0, 1], [2, 3]]}, "falls into 2 parts"),
        ({"horizon": 10, "warmup": 10}, r"warmup must be an integer 0 \.\. 9"),
        ({"gamma": 0.0}, "gamma must lie strictly between 0 and 1"),
    ],
)
def test_options_it_refuses(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(**options)


def test_a_criterion_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="criterion must be 'average' or 'discounted', not 'mean'"):
        build().bound("mean")  # type: ignore[arg-type]


def test_each_mode_is_a_game_of_its_own() -> None:
    assert isinstance(build().game, Share)
    assert isinstance(build(mode="aloha").game, Aloha)


def test_what_is_the_games_is_found_on_the_model() -> None:
    """As users of 0.1.0 wrote it; copies and pickles do not lose their way."""
    share, aloha = Resource(population=9), Resource(population=9, mode="aloha", channels=3)
    assert share.bandwidth is share.game.bandwidth and not hasattr(share, "channels")
    assert aloha.channels.tolist() == [3.0] * 9 and not hasattr(aloha, "bandwidth")
    for twin in (copy.deepcopy(share), pickle.loads(pickle.dumps(share)), share.fluid()):
        np.testing.assert_array_equal(twin.bandwidth, share.bandwidth)


@pytest.mark.parametrize(("name", "value"), [("channels", "."), ("quality", "nan"), ("quality", [1.0, 1.0])])
def test_options_of_the_other_mode_are_not_passed_over(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must"):
        build(mode="share", **{name: value})
    with pytest.raises(ValueError, match="bandwidth must be 9 non-negative numbers"):
        build(mode="aloha", bandwidth=value)


@pytest.mark.parametrize("name", ["channels", "quality", "bandwidth"])
def test_true_is_no_number(name: str) -> None:
    mode = "share" if name == "bandwidth" else "aloha"
    with pytest.raises(ValueError, match=f"{name} must be .* non-negative numbers, one per node, not True"):
        build(mode=mode, **{name: True})
