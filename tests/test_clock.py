"""A clock that scenarios may read: every door pays and moves by the hour, and Manhattan goes through its day."""

import pickle
import warnings
from functools import cache
from itertools import pairwise
from typing import Any

import array_api_compat
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from scipy.stats import binomtest

from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.sampling import Sampler, visitation_pairs
from mfnet_envs.conformance.models import check_model
from mfnet_envs.data import manhattan
from mfnet_envs.evaluate import evaluate, returns
from mfnet_envs.exact import ExactGame
from mfnet_envs.heuristics import ByTheClock
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import one_hot, uniform
from mfnet_envs.programmes import day_lp
from mfnet_envs.scenarios.rideshare_nyc_v0 import RideShareNYC, build
from mfnet_envs.simulator import Simulator
from mfnet_envs.views import AgentsEnv, CentralEnv, CentralVectorEnv, TeamsEnv

STAY, SWAP = [[0], [1]], [[1], [0]]
PAY, MOVES = (1.0, 3.0, 9.0, 27.0), (STAY, SWAP, STAY, SWAP)
FACE = [(0.5, 1.0), (1.0, 0.5), (0.5, 0.0), (0.0, 0.5)]  # a quarter turn each, sine first
STREETS = StateNetwork.line(2)


class Bell(LocalModel):
    """Two places; action a earns ``pay * (1 + a)`` and everybody moves as ``successors (S, 1)`` says."""

    def __init__(self, pay: float, successors: list[list[int]], **options: Any) -> None:
        self.pay = pay
        super().__init__(
            **{
                "network": STREETS,
                "population": 6,
                "num_actions": 2,
                "branches": (Branch.to(successors),),
                "reward_range": (0.0, 60.0),
                "initial": [1, 0],
                "evaluation": (10, 0),
                **options,
            }
        )

    def reward(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        nothing = 0 * mu_hood[:, :, 0, 0]
        return xp.stack([nothing + self.pay, nothing + 2 * self.pay], axis=-1)

    def branch_weights(self, mu_hood: Any) -> Any:
        return 0 * mu_hood[:, :, 0, :1, None] + 1


class Tower(Bell):
    """Four bells in turn."""

    period = 4

    def __init__(self, bells: tuple[LocalModel, ...] | None = None) -> None:
        super().__init__(PAY[0], MOVES[0])
        self.bells = tuple(map(Bell, PAY, MOVES)) if bells is None else bells

    def at(self, t: int) -> LocalModel:
        return self.bells[t % len(self.bells)]


TOWER = Tower()


# -- one law after the other ----------------------------------------------------------------------------------------


def test_simulators_take_turns() -> None:
    simulator = Simulator(TOWER)
    assert simulator.at(1).model is TOWER.bells[1] and simulator.at(5) is simulator.at(1)
    frozen = Simulator(TOWER.bells[0])
    assert frozen.at(7) is frozen and TOWER.bells[0].at(7) is TOWER.bells[0]


def test_evaluation_pays_by_the_clock() -> None:
    """Action 1 earns twice the bell: 2, 6, 18, 54 and again; discounted, a geometric series of turns."""
    lazy, keen = one_hot(TOWER, np.zeros(2, int)), one_hot(TOWER, np.ones(2, int))
    np.testing.assert_array_equal(returns(TOWER, lazy, worlds=3), np.tile([*PAY, *PAY, *PAY[:2]], (3, 1)))
    report = evaluate(TOWER, keen, worlds=3, steps=400)
    turn = 2 * (1 + 3 * 0.95 + 9 * 0.95**2 + 27 * 0.95**3)
    assert report["discounted_return_mean"] == pytest.approx(turn / (1 - 0.95**4), rel=1e-6)
    assert report["reward_per_step_mean"] == pytest.approx(20)


def test_policies_take_turns() -> None:
    """Twice the bell in the second half of a turn only."""
    lazy, keen = one_hot(TOWER, np.zeros(2, int)), one_hot(TOWER, np.ones(2, int))
    paid = returns(TOWER, ByTheClock(TOWER, [lazy, keen]), worlds=1, steps=6)[0]
    np.testing.assert_array_equal(paid, [1, 3, 18, 54, 1, 3])
    with pytest.raises(ValueError, match="3 policies cannot share a turn of 4 steps"):
        ByTheClock(TOWER, [lazy] * 3)


def test_the_sampler_keeps_its_clock_between_rollouts() -> None:
    kept = ("actions", "next_actions")
    sampler = Sampler(Simulator(TOWER), "stationary", 0.95, 2, np.random.default_rng(0), kept)
    keen = one_hot(TOWER, np.ones(2, int))
    first, _ = sampler.rollout(keen, 5)
    again = Sampler(Simulator(TOWER), "stationary", 0.95, 2, np.random.default_rng(1))
    again.set_state(sampler.get_state())
    second, _ = again.rollout(keen, 4)
    paid = np.concatenate([first.rewards, second.rewards]).sum(2)
    np.testing.assert_allclose(paid, 2 * np.tile(np.array([*PAY, *PAY, PAY[0]])[:, None], (1, 2)))
    at_home = np.concatenate([first.crowd, second.crowd])[:, 0, 0, 0]
    np.testing.assert_array_equal(at_home, [6, 6, 0, 0, 6, 6, 0, 0, 6])


def test_a_restarted_world_starts_at_the_hour_it_is() -> None:
    """Whoever restarts stands at home, whatever the hour; the pay follows the worlds' common clock."""
    sampler = Sampler(Simulator(TOWER), "restart", 0.5, 50, np.random.default_rng(0))
    rollout, _ = sampler.rollout(one_hot(TOWER, np.zeros(2, int)), 8)
    np.testing.assert_allclose(rollout.rewards.sum(2), np.tile(np.array([*PAY, *PAY])[:, None], (1, 50)))
    assert (rollout.crowd[1:][rollout.cut[:-1]][:, 0, 0] == 6).all()


def test_visitation_follows_the_clock() -> None:
    """Everybody is away at the times 2 and 3 of a turn: a share g^2 / (1 + g^2) of the discounted visitation."""
    g = 0.9
    counts, _, _ = visitation_pairs(Simulator(TOWER), uniform(TOWER), g, 4000, np.random.default_rng(0))
    assert set(counts[:, 1].tolist()) == {0, 6}
    assert binomtest(int((counts[:, 1] == 6).sum()), 4000, g**2 / (1 + g**2)).pvalue > 1e-6


# -- views ----------------------------------------------------------------------------------------------------------

KEEN = np.array([[0.0, 1.0], [0.0, 1.0]])


def test_the_teams_view() -> None:
    env = TeamsEnv(TOWER, action="shares", max_cycles=6)
    seen, _ = env.reset(seed=0)
    for t in range(6):
        mu = [1.0, 1.0, 0.0, 0.0][t % 4]
        np.testing.assert_allclose(seen["team_0"], [mu, *FACE[t % 4]], atol=1e-7)
        np.testing.assert_allclose(seen["team_1"], [1 - mu, *FACE[t % 4]], atol=1e-7)
        assert all(env.observation_space(team).contains(row) for team, row in seen.items())
        assert env.state().tolist() == [mu, 1 - mu]
        seen, rewards, *_ = env.step({"team_0": KEEN[0], "team_1": KEEN[1]})
        assert sum(rewards.values()) == pytest.approx(2 * PAY[t % 4])


@pytest.mark.parametrize("observe", ["own", "hood"])
def test_the_agents_view(observe: str) -> None:
    env, frozen = AgentsEnv(TOWER, observe=observe, max_cycles=6), AgentsEnv(TOWER.bells[0], observe=observe)
    seen, _ = env.reset(seed=0)
    width = frozen.observation_space("agent_0").shape[0]
    plain, _ = frozen.reset(seed=0)
    np.testing.assert_array_equal(seen["agent_3"][:width], plain["agent_3"])
    for t in range(6):
        np.testing.assert_allclose(seen["agent_3"][width:], FACE[t % 4], atol=1e-7)
        assert env.observation_space("agent_3").contains(seen["agent_3"])
        actions = {agent: i % 2 for i, agent in enumerate(env.agents)}
        seen, rewards, *_ = env.step(actions)
        assert [rewards[f"agent_{i}"] for i in range(6)] == [PAY[t % 4] * (1 + i % 2) for i in range(6)]


def test_the_central_view() -> None:
    env = CentralEnv(TOWER, action="shares", max_episode_steps=6)
    seen, _ = env.reset(seed=0)
    for t in range(6):
        mu = [1.0, 1.0, 0.0, 0.0][t % 4]
        np.testing.assert_allclose(seen, [mu, 1 - mu, *FACE[t % 4]], atol=1e-7)
        assert env.observation_space.contains(seen) and env.state_space.contains(env.state())
        seen, reward, *_ = env.step(KEEN.reshape(-1))
        assert reward == pytest.approx(2 * PAY[t % 4])
    seen, _ = env.reset()
    np.testing.assert_allclose(seen[2:], FACE[0])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_vector_view(mode: AutoresetMode) -> None:
    """Episodes of three steps: the clock strikes 0 again with every reset; the last observation shows the end."""
    env = CentralVectorEnv(TOWER, 2, action="shares", max_episode_steps=3, autoreset_mode=mode)
    seen, _ = env.reset(seed=0)
    paid, clocks = [], [seen[:, 2:].tolist()]
    for _ in range(6):
        seen, rewards, _, _, infos = env.step(np.tile(KEEN.reshape(-1), (2, 1)))
        assert env.observation_space.contains(seen) and env.state_space.contains(env.state())
        paid.append(rewards.tolist())
        clocks.append(seen[:, 2:].tolist())
        if "final_obs" in infos:
            np.testing.assert_allclose(infos["final_obs"][1][2:], FACE[3], atol=1e-7)
    again = [0, 2, 6] if mode is AutoresetMode.NEXT_STEP else [2, 6, 18]
    np.testing.assert_allclose(paid, np.tile(np.array([2, 6, 18, *again], float)[:, None], (1, 2)))
    hours = [0, 1, 2, 3, 0, 1, 2] if mode is AutoresetMode.NEXT_STEP else [0, 1, 2, 0, 1, 2, 0]
    np.testing.assert_allclose(clocks, [[FACE[t]] * 2 for t in hours], atol=1e-7)


def test_lanes_share_one_clock() -> None:
    env = CentralVectorEnv(TOWER, 2, max_episode_steps=3, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="reset all of them together"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset(options={"reset_mask": np.array([True, True])})


def test_teams_central_and_vector_follow_one_stream_through_the_hours() -> None:
    """Bit for bit, from the first hour of Manhattan's day into the third."""
    model = day()
    teams, central = TeamsEnv(model, max_cycles=30), CentralEnv(model, max_episode_steps=30)
    vector = CentralVectorEnv(model, 1, max_episode_steps=30)
    teams.reset(seed=5), central.reset(seed=5), vector.reset(seed=5)
    rng = np.random.default_rng(0)
    while teams.agents:
        logits = rng.uniform(-1, 1, teams.game.shape)
        _, rewards, *_ = teams.step(dict(zip(teams.possible_agents, logits, strict=True)))
        seen, reward, *_ = central.step(logits.reshape(-1))
        batch, several, *_ = vector.step(logits.reshape(1, -1))
        np.testing.assert_array_equal(teams.counts, central.counts)
        np.testing.assert_array_equal(vector.counts[0], central.counts)
        np.testing.assert_array_equal(batch[0], seen)
        assert reward == several[0] == pytest.approx(sum(rewards.values()), abs=1e-12)


# -- checks ---------------------------------------------------------------------------------------------------------


def test_every_hour_is_checked() -> None:
    report = check_model(TOWER)
    assert report.rewards == (1.0, 54.0) and "4 models take turns within 4 steps" in report.passed[-1]


class Forgetful(Tower):
    def at(self, t: int) -> LocalModel:
        return Bell(PAY[t % 4], MOVES[t % 4])


class Half(Tower):
    period = 2.5  # type: ignore[assignment]


BELL = Bell(1.0, STAY)
BROKEN: list[tuple[LocalModel, str]] = [
    (Half(), "period must be a positive integer"),
    (Forgetful(), "must return one model, the same one at every call"),
    (Tower(bells=(BELL, BELL, Bell(1.0, STAY))), r"at\(1\) and at\(1 \+ period\) must return one model"),
    (Tower(bells=(BELL, Bell(1.0, STAY, population=7))), r"share population; at\(1\)"),
    (Tower(bells=(BELL, Bell(1.0, STAY, gamma=0.9))), r"share gamma; at\(1\)"),
    (Tower(bells=(BELL, BELL, BELL, Bell(1.0, STAY, initial=[0.5, 0.5]))), r"share initial; at\(3\)"),
    (Tower(bells=(BELL, Bell(1.0, STAY, legal=[[True, False], [True, True]]))), r"share legal; at\(1\)"),
    (Tower(bells=(BELL, Bell(1.0, STAY, network=StateNetwork.line(2)))), r"share network; at\(1\)"),
    (Tower(bells=(BELL, Bell(1.0, STAY, reward_range=(0.0, 1.5)))), "reward leaves reward_range"),
]


@pytest.mark.parametrize(("model", "sentence"), BROKEN)
def test_a_broken_clock_is_said_in_one_sentence(model: LocalModel, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_model(model)


# -- the learner ----------------------------------------------------------------------------------------------------


def on_the_clock(**training: Any) -> DecNeuralACConfig:
    options = {"hour": "day", "occupied": "markov", "population": 60}
    config = DecNeuralACConfig().environment("MFNet-RideShareNYC-v0", env_config=options).training(**training)
    return config.env_runners(num_envs_per_env_runner=2, rollout_fragment_length=14)


@pytest.mark.parametrize("options", [{"critic_form": "v"}, {"clock": False}])
def test_a_learner_that_does_not_see_the_time_says_so(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="set score='all' and potential='none'"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        on_the_clock(score="unserved").build_algo()
    with pytest.warns(UserWarning, match="do not see the time"):
        algo = on_the_clock(**options).build_algo()
    result = algo.train()
    assert np.isfinite(result["env_runners"]["sampled_reward_mean"])


def test_policies_learn_by_the_clock() -> None:
    """What is learnt differs from hour to hour, and is the same a day later; one hour's policy is of that hour's
    demand."""
    with warnings.catch_warnings(action="error"):
        algo = on_the_clock(actor_lr=0.2).build_algo()
    for _ in range(12):
        algo.train()
    counts = algo.simulator.reset(np.random.default_rng(0), 1)
    night, rush, next_night = (algo.policy.teams(counts, t) for t in (3 * 12, 18 * 12, 288 + 3 * 12))
    np.testing.assert_array_equal(night, next_night)
    assert np.abs(night - rush).max() > 0.01


# -- Manhattan through the day --------------------------------------------------------------------------------------


@cache
def day(**options: Any) -> RideShareNYC:
    return build(**{"hour": "day", "occupied": "markov", "population": 80, **options})


@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_the_hours_of_the_day(occupied: Any) -> None:
    """Each hour's demand is the table's, and over a turn the steps add up to the trips of a mean Thursday."""
    model = day(occupied=occupied)
    assert model.period == 288 and model.evaluation == (576, 288)
    table = manhattan().trips[3] / 50
    for t in (0, 11, 12, 100, 287, 288, 288 + 217):
        city = model.at(t)
        assert city is model.hours[t // 12 % 24] and city.network is model.network
        np.testing.assert_allclose(city.rate * city.weight, table[t // 12 % 24].sum(1) / 12)
    total = sum(model.at(t).rate * model.weight for t in range(288))
    np.testing.assert_allclose(total, table.sum((0, 2)))
    np.testing.assert_allclose(model.reference_counts.reshape(61, -1)[:, 0] * model.weight * 288, table.sum((0, 2)))


@pytest.mark.parametrize("hour", [4, 18])
def test_rides_begin_and_end_where_the_table_says(hour: int) -> None:
    """A hundred idle drivers in every zone, demand far below: pick-ups are Poisson, one-hop trips arrive at once."""
    model = day(occupied="destination", population=6100, fleet=80_000)
    simulator, worlds = Simulator(model).at(12 * hour), 400
    counts = np.zeros((worlds, model.network.num_states), np.int64)
    counts[:, ::62] = 100
    stay = np.eye(1, 11, dtype=np.int64) * counts[:, ::62, None]
    played = simulator.transition(counts, stay, np.random.default_rng(1))
    trips = manhattan().trips[3, hour] / 50 / 12 / model.weight
    z = (played.served.sum(0) - worlds * trips.sum(1)) / np.sqrt(worlds * trips.sum(1))
    assert abs(z).max() < 5.5
    bound_for = played.next_counts.sum(0).reshape(61, 62)[:, 1:].sum(0)
    longer = np.ones((61, 61), bool)
    origin, slot = np.nonzero(model.network.neighbors >= 0)
    longer[origin, model.network.neighbors[origin, slot]] = False
    expected = worlds * (trips * longer).sum(0)
    assert (abs(bound_for - expected) / np.sqrt(expected)).max() < 5.5


@pytest.mark.parametrize("matching", ["physical", "independent"])
@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_an_hour_of_the_day_is_the_city_of_that_hour(occupied: Any, matching: Any) -> None:
    """Bit for bit the model of hour=18, in law and in pay."""
    options = {"occupied": occupied, "matching": matching, "population": 80}
    of_day, alone = Simulator(day(**options)).at(18 * 12 + 5), Simulator(build(**options))
    counts = of_day.reset(np.random.default_rng(0), 4)
    for seed in range(3):
        paths = []
        for simulator in (of_day, alone):
            policy, rng = uniform(simulator.model), np.random.default_rng(seed)
            paths.append(simulator.play(counts, policy.teams(counts, 0), rng))
        for one, other in zip(*paths, strict=True):
            np.testing.assert_array_equal(one, other)
        counts = paths[0].next_counts


@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_a_day_through_checks_and_pickle(occupied: Any) -> None:
    model = day(occupied=occupied)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.at(100).rate, model.at(100).rate)
    assert again.at(100).network is again.network
    if occupied == "markov":
        assert "24 models take turns within 288 steps" in check_model(model).passed[-1]


def test_the_limit_of_a_day_is_a_day() -> None:
    limit = day().fluid()
    assert limit.period == 288 and limit.at(30).quota is None and limit.at(30).rate is day().at(30).rate


# -- the programme of the day ---------------------------------------------------------------------------------------


def fares(network: StateNetwork, cost: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """A pick-up earns 1 in every zone, every move costs the same: ``(V,)`` and ``(V, D)``."""
    return np.ones(network.num_nodes), np.where(
        np.arange(network.neighbors.shape[1]) > 0, cost, 0.0
    ) + 0 * network.neighbors


@pytest.mark.parametrize("hours", [1, 3])
@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_a_day_of_equal_hours_is_the_stationary_programme(occupied: Any, hours: int) -> None:
    model = build(occupied=occupied, population=40, hour=8)
    hour = day_lp.hour_of(model.network, model.trips, model.rate, model._phi, *fares(model.network))
    found = day_lp.solve(day_lp.Day(40, model.network.neighbors, 12), [hour] * hours)
    assert found.value * model.weight == pytest.approx(model.bound().value, rel=1e-7)
    assert found.gap < 1e-7


@pytest.mark.parametrize(("cost", "per_hour"), [(0.1, 5 - 0.1), (7.0, 6 / 2)])
def test_commuting_by_hand(cost: float, per_hour: float) -> None:
    """Six steps an hour; riders at one end in odd hours, at the other in even ones; rides end where they begin.

    All drivers follow them if a move is cheap: each loses the last step of an hour and pays the way, 5 - cost. Else
    nobody moves, and everybody earns in every other hour.
    """
    network = StateNetwork.line(2)
    first = np.hstack([np.eye(2), np.zeros((2, 2))])  # idle again in the same place; nobody is ever loaded
    later = np.hstack([np.eye(2), np.zeros((2, 2))])
    paid = fares(network, cost)
    ends = [day_lp.Hour(np.array(rate), None, first, later, *paid) for rate in ([50.0, 0.0], [0.0, 50.0])]
    found = day_lp.solve(day_lp.Day(20, network.neighbors, 6), ends)
    assert found.value == pytest.approx(20 * per_hour / 6)
    if cost < 1:
        np.testing.assert_allclose(found.sent[:, :, 1].sum(0), [20, 20])
        np.testing.assert_allclose(found.policy().sum(2), 1)


def test_a_walked_day_keeps_to_the_programme() -> None:
    """The second day of a continuum of drivers under random rules by the hour, summed by the hour: every row holds."""
    model = day()
    simulator, rng = Simulator(model), np.random.default_rng(0)
    legal = model.legal[model.team_states]
    rules = rng.dirichlet(np.full(11, 0.3), (24, 61)) * legal + 1e-3 * legal
    rules /= rules.sum(2, keepdims=True)
    origin, slot = np.nonzero(model.network.neighbors >= 0)
    mu, walked = model.initial[None], []
    for t in range(576 + 1):
        idle, loaded = 80 * mu[0, ::2], 80 * mu[0, 1::2]
        served = np.minimum(idle, model.at(t).rate)
        sent = (idle - served)[:, None] * rules[t // 12 % 24]
        walked.append((idle, served, sent[origin, slot], loaded))
        mu, _ = simulator.at(t).mean_field_step(mu, rules[t // 12 % 24])
    means = []
    for h in range(24, 49):
        n, m, u, k = (np.array(part) for part in zip(*walked[12 * h : 12 * h + 12], strict=True))
        means.append(np.concatenate([n.sum(0), m.sum(0), u.sum(0), n[0], k.sum(0), k[0]]))
    plan = day_lp.Day(80, model.network.neighbors, 12)
    for city, (here, following) in zip(model.hours, pairwise(means), strict=True):
        rows = day_lp._rows(plan, day_lp.hour_of(city.network, city.trips, city.rate, None, *fares(city.network)))
        balance = rows.balance @ here + rows.balance_ahead @ following
        np.testing.assert_allclose(balance, [0.0] * 183 + [12 * 80, 80], rtol=0, atol=1e-9)
        assert (rows.limits @ here + rows.limits_ahead @ following <= rows.height + 1e-9).all()


def test_no_heuristic_exceeds_the_bound_of_the_day() -> None:
    model = day()
    certificate = model.bound()
    assert certificate.criterion == "average" and certificate.value <= model.bound(fluid=True).value
    rewards = {}
    for name, policy in model.heuristics().items():
        report = evaluate(model, policy, worlds=16)
        rewards[name] = report["reward_per_step_mean"] * model.full_scale
        assert rewards[name] + report["reward_per_step_ci95"] * model.full_scale < certificate.value
    assert rewards["lp"] > 1.2 * rewards["proportional"]
    assert certificate.value < sum(city.rate.sum() for city in model.hours) / 24 * model.weight


def test_an_exact_game_is_one_law() -> None:
    with pytest.raises(ValueError, match="this model reads a clock; solve one of its laws"):
        ExactGame(day())
