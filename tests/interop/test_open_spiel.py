"""OpenSpiel's solvers on mfnet's scenarios: the flow, the values and the equilibria are those known from elsewhere."""

import copy
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python import policy as spiel_policy
from open_spiel.python.algorithms import generate_playthrough
from open_spiel.python.mfg.algorithms.best_response_value import BestResponse
from open_spiel.python.mfg.algorithms.distribution import DistributionPolicy
from open_spiel.python.mfg.algorithms.fictitious_play import FictitiousPlay
from open_spiel.python.mfg.algorithms.mirror_descent import MirrorDescent
from open_spiel.python.mfg.algorithms.nash_conv import NashConv
from open_spiel.python.mfg.algorithms.policy_value import PolicyValue

from mfnet_envs import Branch, LocalModel, Policy, Simulator, StateNetwork, evaluate, make_model
from mfnet_envs.adapters.open_spiel import MeanFieldGame, from_policy, mean_field_game, to_policy
from mfnet_envs.policy import TablePolicy, uniform

EXAMPLE = Path(__file__).parents[2] / "examples" / "selfish_equilibrium.py"
GRID = ("MFNet-Grid-v0", 4, {})
# the default city has 3,782 states, of which OpenSpiel asks each for all of them; this form of the same zones has 122
MANHATTAN = ("MFNet-RideShareNYC-v0", 3, {"occupied": "markov"})
SCENARIOS: list[tuple[str, int, dict[str, Any]]] = [
    GRID,
    ("MFNet-Grid-v0", 3, {"matching": "independent", "rows": 3, "cols": 2}),
    MANHATTAN,
    ("MFNet-RideShareNYC-v0", 2, {}),
    ("MFNet-RideShareNYC-v0", 14, {"occupied": "markov", "hour": "day"}),  # the clock strikes at step 12
    ("MFNet-Routing-v0", 3, {}),
    ("MFNet-Braess-v0", 10, {}),
    ("MFNet-Packet-v0", 3, {}),
    ("MFNet-Courier-v0", 4, {}),
    ("MFNet-Resource-v0", 5, {"mode": "share"}),
    ("MFNet-Resource-v0", 5, {"mode": "aloha"}),
    ("MFNet-SIS-v0", 5, {}),  # the chance to fall ill is an exponential of the crowd
    ("MFNet-TwoByTwo-v0", 6, {}),
]


def any_policy(model: LocalModel, horizon: int) -> TablePolicy:
    """A policy of step and state without symmetry."""
    legal = model.legal[model.team_states]
    table = np.random.default_rng(3).dirichlet(np.ones(model.num_actions), (horizon, len(legal))) * legal
    return TablePolicy(model, table / table.sum(2, keepdims=True))


def mean_field(model: LocalModel, policy: Policy, horizon: int) -> tuple[np.ndarray, float]:
    """mu_0 .. mu_{H-1} ``(H, S)`` and the discounted return, by the simulator's own limit N = infinity."""
    simulator, mu, flow, value = Simulator(model), model.initial[None], [], 0.0
    for t in range(horizon):
        flow.append(mu[0])
        mu, rewards = simulator.at(t).mean_field_step(mu, policy.teams(model.population * mu, t))  # type: ignore[arg-type]
        value += model.gamma**t * rewards.sum()
    return np.stack(flow), value


def distribution(game: MeanFieldGame, policy: spiel_policy.Policy) -> np.ndarray:
    """mu_1 .. mu_{H-1} as OpenSpiel's forward equation has them."""
    of = DistributionPolicy(game, policy)
    return np.array([[of.value_str(name, 0.0) for name in game.support(t)] for t in range(1, game.horizon)])


def value(game: MeanFieldGame, policy: spiel_policy.Policy) -> float:
    return float(PolicyValue(game, DistributionPolicy(game, policy), policy).eval_state(game.new_initial_state()))


def exploitability(game: MeanFieldGame, policy: spiel_policy.Policy) -> float:
    return float(NashConv(game, policy).nash_conv())


def solved(solver: Any, iterations: int) -> spiel_policy.Policy:
    for _ in range(iterations):
        solver.iteration()
    return solver.get_policy()


# -- the same law ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id", "horizon", "options"), SCENARIOS)
def test_flow_and_value_are_those_of_the_simulators_limit(id: str, horizon: int, options: dict[str, Any]) -> None:
    game = mean_field_game(id, horizon, **options)
    policy = any_policy(game.model, horizon)
    flow, worth = mean_field(game.model, policy, horizon)
    assert np.abs(flow[1:] - flow[:-1]).max() > 1e-3  # something moves
    theirs = from_policy(game, policy)
    np.testing.assert_allclose(distribution(game, theirs), flow[1:], rtol=0, atol=1e-9)
    assert value(game, theirs) == pytest.approx(worth, rel=1e-9, abs=1e-12)


def test_the_clock_is_read() -> None:
    """At step 12 Manhattan's demand becomes that of the next hour; a clock that stands still gives another flow."""
    game = mean_field_game("MFNet-RideShareNYC-v0", 14, occupied="markov", hour="day")
    policy = any_policy(game.model, 14)
    flow = distribution(game, from_policy(game, policy))
    stopped = mean_field(game.model.at(0), policy, 14)[0][1:]
    np.testing.assert_allclose(flow[:12], stopped[:12], rtol=0, atol=1e-9)
    assert np.abs(flow[12] - stopped[12]).max() > 1e-5


@pytest.mark.parametrize("name", ["threshold", "selfish", "carefree"])
def test_policies_that_read_the_crowd(name: str) -> None:
    """They switch at some crowd, so that a rounding to one of 10^8 people changes nothing."""
    game = mean_field_game("MFNet-SIS-v0", 6, infected=0.3, population=10**8)
    policy = game.model.heuristics()[name]
    flow, worth = mean_field(game.model, policy, 6)
    theirs = from_policy(game, policy)
    np.testing.assert_allclose(distribution(game, theirs), flow[1:], rtol=0, atol=1e-9)
    assert value(game, theirs) == pytest.approx(worth, rel=1e-9)


class Line(LocalModel):
    """Three places in a row, seven agents: stay or go right."""

    def __init__(self) -> None:
        super().__init__(
            network=StateNetwork.line(3), population=7, num_actions=2, branches=(Branch.to([[0, 1], [1, 2], [2, 2]]),),
            reward_range=(0, 1), legal=[[1, 1], [1, 1], [1, 0]], initial=[0.5, 0.3, 0.2], evaluation=(6, 0),
        )  # fmt: skip

    def reward(self, mu_hood: Any) -> Any:
        return np.zeros((len(mu_hood), 3, 2))

    def branch_weights(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), 3, 1, 1))


class GoWithTheCrowd(Policy):
    """Go with probability n / N, looked up in a table with a row for each whole n, as learners do."""

    def teams(self, counts: Any, t: int) -> Any:
        n = np.arange(self.model.population + 1) / self.model.population
        return np.stack([1 - n, n], 1)[counts[:, self.model.team_states]]


def test_tables_of_whole_numbers_are_read_between_them() -> None:
    """pi = mu(s) is linear, so seven agents' table says all of it: mu(s)^2 go right."""
    game = mean_field_game(Line())
    flow = [np.array([0.5, 0.3, 0.2])]
    for _ in range(5):
        go = flow[-1] ** 2 * [1, 1, 0]
        flow.append(flow[-1] - go + np.roll(go, 1))
    found = distribution(game, from_policy(game, GoWithTheCrowd(game.model)))
    np.testing.assert_allclose(found, flow[1:], rtol=0, atol=1e-12)


def test_policies_come_back_as_they_went() -> None:
    game = mean_field_game("MFNet-Grid-v0", 3)
    policy = any_policy(game.model, 3)
    there = from_policy(game, policy)
    np.testing.assert_allclose(to_policy(game, there).table, policy.table, rtol=0, atol=1e-12)
    np.testing.assert_allclose(to_policy(game, there.to_tabular()).table, policy.table, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="the policy is of the game mfnet"):
        to_policy(mean_field_game("MFNet-Grid-v0", 4), there)


def test_illegal_actions_are_played_as_staying() -> None:
    """A policy that always goes up stays in the top row, as in the simulator."""
    game = mean_field_game("MFNet-Grid-v0", 3)
    up = TablePolicy(game.model, np.tile(np.eye(5)[1], (25, 1)))
    assert game.legal[0] == [0, 2, 3]  # the corner: stay, right, down
    flow, worth = mean_field(game.model, up, 3)
    assert value(game, from_policy(game, up)) == pytest.approx(worth, rel=1e-9)
    np.testing.assert_allclose(distribution(game, from_policy(game, up)), flow[1:], rtol=0, atol=1e-9)


def test_many_agents_approach_the_limit() -> None:
    """An equilibrium played by N agents earns what it earns in the limit, up to the riders that finite numbers miss.

    min(n, rate) - E min(n, Poisson(rate)) is at most sqrt(rate / 2 pi). With the rates here and 5 steps that is at most
    0.26 % of the return at N = 10^6, and 30 times as much at N = 10^3.
    """
    gaps = []
    for population in (1_000, 1_000_000):
        game = mean_field_game("MFNet-Grid-v0", 5, population=population)
        equilibrium = solved(MirrorDescent(game, lr=2.0), 10)
        result = evaluate(game.model, to_policy(game, equilibrium), worlds=256, steps=5)
        gaps.append(1 - result["discounted_return_mean"] / value(game, equilibrium))
    assert 0.003 < gaps[0] < 0.09
    assert abs(gaps[1]) < 0.003


# -- what is known of best responses and equilibria --------------------------------------------------------------------


def test_best_response_is_the_dynamic_programme() -> None:
    """Where nobody is infected nobody meets anybody: the scenario's bound, its own backward induction, is reached."""
    model = make_model("MFNet-SIS-v0", infected=0.0, horizon=8)
    game = mean_field_game(model)
    assert game.horizon == 8
    theirs = from_policy(game, uniform(model))
    best = BestResponse(game, DistributionPolicy(game, theirs)).eval_state(game.new_initial_state())
    assert best == pytest.approx(model.bound().value, rel=1e-12)
    assert value(game, theirs) < 0.9 * best
    assert exploitability(game, from_policy(game, model.heuristics()["carefree"])) == pytest.approx(0, abs=1e-12)


# One day of MFNet-TwoByTwo: fares 10 for 50 orders at the dear cell, 4.9 for 20 at the cheap one, per hundred drivers;
# a driver is paid in the second step. In the limit one driver's choice changes nobody's crowd.
GAMMA = 0.95


@pytest.mark.parametrize("days", [1, 3])
@pytest.mark.parametrize(
    ("name", "paid", "best"),
    [
        ("selfish", 5.0, 5.0),  # all at the dear cell: half of 10, and 4.9 where nobody is
        ("social", 5.98, 7.0),  # 500 / 7 and 200 / 7 drivers, 70 % served: 7.00 at the dear cell, 3.43 at the cheap one
        ("stay", 0.0, 10.0),
        ("random", (10 + 0.6 * 4.9) / 3, 10.0),  # a third each: 33 for 50 orders, 33 for 20, 33 at home
    ],
)
def test_exploitability_by_hand(name: str, paid: float, best: float, days: int) -> None:
    """A day is worth the same wherever it begins, so a driver gains best - paid on each."""
    game = mean_field_game("MFNet-TwoByTwo-v0", days=days)
    policy = from_policy(game, game.model.heuristics()[name])
    discount = sum(GAMMA**t for t in range(1, 2 * days, 2))
    assert value(game, policy) == pytest.approx(discount * paid, abs=1e-9)
    assert exploitability(game, policy) == pytest.approx(discount * (best - paid), abs=1e-9)


def test_fictitious_play_finds_the_selfish_500() -> None:
    """The dear cell is the best response to any crowd there, so after k rounds all but (2 / 3) / (k + 1) go there.

    Selfish drivers earn 5.00 each, 500 in all; the best for all, the scenario's bound, is 5.98.
    """
    game = mean_field_game("MFNet-TwoByTwo-v0", days=1)
    solver = FictitiousPlay(game)
    for k, found in ((10, solved(solver, 10)), (100, solved(solver, 90))):
        rest = 2 / 3 / (k + 1)
        dear = 10 * 50 / (100 * (1 - rest))
        cheap = rest / 2  # and as many stay
        np.testing.assert_allclose(to_policy(game, found).table[0], [[rest / 2, cheap, 1 - rest]] * 2, atol=1e-12)
        assert value(game, found) == pytest.approx(GAMMA * ((1 - rest) * dear + cheap * 4.9), abs=1e-9)
        assert exploitability(game, found) == pytest.approx(GAMMA * (dear - (1 - rest) * dear - cheap * 4.9), abs=1e-9)
    assert value(game, found) / GAMMA == pytest.approx(5.0, abs=0.02)
    assert game.model.bound("discounted").value / GAMMA == pytest.approx(5.98)


def test_mirror_descent_over_three_days() -> None:
    game = mean_field_game("MFNet-TwoByTwo-v0", days=3)
    found = solved(MirrorDescent(game, lr=1.0), 300)
    assert exploitability(game, found) < 1e-6
    assert value(game, found) == pytest.approx(5 * (GAMMA + GAMMA**3 + GAMMA**5), abs=1e-6)


def test_equilibrium_that_mixes() -> None:
    """With the charge alpha = 1/2 pay is equal at both cells: 10 d (1 + d) / 2 = 4.9, d = 50 / x, so x = 82.09 drivers.

    At the cheap cell are 17.9 for 20 orders, all served and not charged. The published game, in whole drivers, has 82.
    """
    game = mean_field_game("MFNet-TwoByTwo-v0", days=1, paid="net", alpha=0.5)
    found = solved(MirrorDescent(game, lr=1.0), 300)
    d = (np.sqrt(1 + 4 * 0.98) - 1) / 2
    np.testing.assert_allclose(to_policy(game, found).table[0, :, 2], 0.5 / d, rtol=1e-6)
    assert value(game, found) == pytest.approx(GAMMA * 4.9, rel=1e-6)
    assert exploitability(game, found) < 1e-6


class TwoSites(LocalModel):
    """From home to one of two sites for good; a site pays its bandwidth, 3 or 1, over the share of agents there."""

    def __init__(self) -> None:
        import networkx as nx

        walk = Branch.to([[0, 1, 2], [1, 1, 1], [2, 2, 2]])
        legal = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], bool)
        super().__init__(
            network=StateNetwork(nx.Graph([(0, 1), (0, 2)])), population=10, num_actions=3, branches=(walk,),
            reward_range=(0, 100), legal=legal, initial=[1, 0, 0], gamma=0.5, evaluation=(4, 0),
        )  # fmt: skip

    def reward(self, mu_hood: Any) -> Any:
        pay = np.array([0, 3, 1]) / np.maximum(mu_hood[:, :, 0, 0], 0.01)
        return np.repeat(pay[:, :, None], 3, axis=2)

    def branch_weights(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), 3, 1, 1))


def test_a_model_of_ones_own() -> None:
    """Pay is equal where 3 / 4 and 1 / 4 go: 4 a step from the second on, so 4 (1/2 + 1/4 + 1/8). Home is no place."""
    game = mean_field_game(TwoSites())
    found = solved(FictitiousPlay(game), 200)
    assert to_policy(game, found).table[0, 0] == pytest.approx([0, 0.75, 0.25], abs=0.005)
    assert exploitability(game, found) < 0.05
    assert value(game, found) == pytest.approx(3.5, abs=1e-9)  # a site's bandwidth is taken whole, whoever does
    assert exploitability(game, from_policy(game, TablePolicy(game.model, np.array([[0, 0.5, 0.5]])))) == (
        pytest.approx((6 - 4) * 0.875)
    )
    again = pickle.loads(pickle.dumps(game))
    assert value(again, from_policy(again, to_policy(game, found))) == pytest.approx(3.5, abs=1e-9)
    with pytest.raises(ValueError, match="one of a model of your own is made by mean_field_game"):
        pyspiel.load_game(str(game))
    with pytest.raises(TypeError, match="built already; give rows where you build it"):
        mean_field_game(TwoSites(), rows=3)


def test_sharing_bandwidth_needs_no_planner() -> None:
    """Where the crowd is proportional to the bandwidth nobody gains by leaving, and no policy does better (Jensen)."""
    model = make_model("MFNet-Resource-v0", horizon=5, warmup=0)
    model.initial = model.bandwidth / model.bandwidth.sum()
    game = mean_field_game(model)
    stay = from_policy(game, model.heuristics()["stay"])
    assert exploitability(game, stay) == pytest.approx(0, abs=1e-12)
    assert value(game, stay) == pytest.approx(model.bound("discounted").value, rel=1e-12)


def test_pigou() -> None:
    """All who choose for themselves take the road that fills: with 0.8 vehicles on it, it still is the faster one.

    So the user equilibrium, which the scenario finds by convex optimisation, is an equilibrium of every horizon; at the
    system optimum half take the other road and each of them could gain. The choice of the last step pays nothing.
    """
    game = mean_field_game("MFNet-Pigou-v0", 40)
    ue, so = (from_policy(game, game.model.heuristics()[name]) for name in ("ue", "so"))
    assert exploitability(game, ue) == pytest.approx(0, abs=1e-9)
    assert exploitability(game, so) > 0.1 * value(game, so)
    found = solved(MirrorDescent(game, lr=20.0), 30)
    assert exploitability(game, found) < 1e-4
    assert value(game, found) == pytest.approx(value(game, ue), rel=1e-3)
    assert value(game, so) > 1.05 * value(game, ue)
    assert (to_policy(game, found).table[:-2, 0, 1] > 0.99).all()


# -- the cells: real solvers on the scenarios everybody uses -----------------------------------------------------------


def check_solves(game: MeanFieldGame, solver: Any, iterations: int) -> None:
    start = exploitability(game, from_policy(game, uniform(game.model)))
    found = solved(solver, iterations)
    table = to_policy(game, found).table
    assert np.isfinite(table).all()
    np.testing.assert_allclose(table.sum(2), 1, atol=1e-9)
    assert np.abs(table - uniform(game.model).table).max() > 0.1
    assert 0 <= exploitability(game, found) < start / 2


@pytest.mark.cell("open-spiel", "agents", "Discrete", "fictitious play")
@pytest.mark.parametrize(("id", "horizon", "options"), [GRID, MANHATTAN])
def test_fictitious_play(id: str, horizon: int, options: dict[str, Any]) -> None:
    game = mean_field_game(id, horizon, **options)
    check_solves(game, FictitiousPlay(game), 5)


@pytest.mark.cell("open-spiel", "agents", "Discrete", "online mirror descent")
@pytest.mark.parametrize(("id", "horizon", "options"), [GRID, MANHATTAN])
def test_mirror_descent(id: str, horizon: int, options: dict[str, Any]) -> None:
    game = mean_field_game(id, horizon, **options)
    check_solves(game, MirrorDescent(game, lr=2.0), 8)


# -- the game as OpenSpiel wants it ------------------------------------------------------------------------------------

STRINGS = [
    "mfnet(id=MFNet-Grid-v0,horizon=3)",
    "mfnet(id=MFNet-TwoByTwo-v0,horizon=4)",
    "mfnet(id=MFNet-RideShareNYC-v0,horizon=2)",
]


@pytest.mark.parametrize("string", STRINGS)
def test_openspiels_own_checks(string: str) -> None:
    """Random play with its checks of clones, histories, bounds of the returns and serialised states."""
    pyspiel.random_sim_test(pyspiel.load_game(string), 5, True, False)


@pytest.mark.parametrize("string", STRINGS[:2])
def test_playthroughs_repeat(string: str) -> None:
    played = generate_playthrough.playthrough(string, None, seed=1)
    actions = [int(a) if a.isdigit() else a for a in re.findall(r"^action: (\w+)", played, re.M)]
    assert "update_distribution" in actions and "IsTerminal() = True" in played
    assert generate_playthrough.playthrough(string, actions) == played


def test_games_are_named_by_id_and_options() -> None:
    game = mean_field_game("MFNet-Grid-v0", 3, rows=2, cols=3, matching="independent")
    for other in (pyspiel.load_game(str(game)), copy.deepcopy(game), pickle.loads(pickle.dumps(game))):
        assert str(other) == str(game) and other.horizon == 3
        assert other.model.network.num_states == 6 and other.model.matching == "independent"
    assert pyspiel.load_game("mfnet", {"id": "MFNet-TwoByTwo-v0", "options": '{"days": 2}'}).horizon == 4


def test_rewards_and_copies() -> None:
    """The reward follows the action and is discounted; a copy goes its own way; a node says what it cannot do."""
    game = mean_field_game("MFNet-TwoByTwo-v0", 2)
    state = game.new_initial_state()
    assert dict(state.chance_outcomes()) == {2: 0.5, 4: 0.5}  # choosing in cells 1 and 2
    for action in (2, 2, 0, 7):  # from cell 1, to the dear cell, on the way, at work there
        state.apply_action(action)
    assert state.is_mean_field_node() and state.rewards() == [0]
    with pytest.raises(ValueError, match="takes no action"):
        state.apply_action(0)
    with pytest.raises(ValueError, match="8 entries"):
        state.update_distribution([1.0])
    few, many = state.clone(), state.clone()
    few.update_distribution([0.75, 0, 0, 0, 0, 0, 0, 0.25])
    many.update_distribution([0, 0, 0, 0, 0, 0, 0, 1.0])
    assert [few.child(0).rewards()[0], many.child(0).rewards()[0]] == pytest.approx([GAMMA * 10, GAMMA * 5])
    assert state.is_mean_field_node() and few.mu[7] == 0.25
    few.apply_action(0)
    few.apply_action(0)
    assert dict(few.chance_outcomes()) == pytest.approx({2: 1.0, 4: 0.0})  # served: to cell 1
    few.apply_action(2)
    assert few.is_terminal() and few.rewards() == [0] and few.returns() == pytest.approx([GAMMA * 10])
    with pytest.raises(ValueError, match="not legal in state 2"):
        game.new_initial_state().child(2).apply_action(5)
    with pytest.raises(ValueError, match="no mean-field node"):
        game.new_initial_state().update_distribution([1 / 8] * 8)


@pytest.mark.parametrize("horizon", [0, -1, 1.5, True])
def test_horizons_that_are_none(horizon: Any) -> None:
    with pytest.raises(ValueError, match="positive number of steps"):
        mean_field_game("MFNet-Grid-v0", horizon)


def test_the_longest_horizon_within_the_recursion_limit_runs() -> None:
    with pytest.raises(ValueError, match="setrecursionlimit") as refused:
        mean_field_game("MFNet-Pigou-v0", 10_000)
    frames = int(re.findall(r"setrecursionlimit\((\d+)\)", str(refused.value))[0])
    longest = int((sys.getrecursionlimit() - 100) // ((frames - 100) / 10_000))
    game = mean_field_game("MFNet-Pigou-v0", longest)
    assert exploitability(game, solved(MirrorDescent(game), 1)) > 0
    with pytest.raises(ValueError, match="setrecursionlimit"):
        mean_field_game("MFNet-Pigou-v0", longest + 1)


def test_example() -> None:
    """The published equilibria of the four charges, 100, 97, 82 and 78 drivers, rounded up or down from shares."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error:::mfnet_envs", str(EXAMPLE)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    shares = [float(share) for share in re.findall(r"(\d+\.\d)% to the dear cell", text)]
    assert shares == pytest.approx([100, 97, 82, 78], abs=0.5)
    assert all(float(gain) < 0.01 for gain in re.findall(r"to gain: (\d\.\d+)", text))
    fares = [float(number) for number in re.findall(r"(\d+\.\d) fares per day", text)]
    rand, social, bound, *selfish = fares
    assert rand < selfish[0] == 500 < selfish[1] < selfish[2] < selfish[3] < social < bound == 598
