"""A graph network with shared weights: its equations, what it hears, where else it is executed, and what it learns."""

import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from test_shared import trained

import mfnet_envs
from mfnet_agents import Algorithm, registry, runs
from mfnet_agents.cli import main
from mfnet_agents.comparison.contenders import information_of
from mfnet_agents.policies.graph import GraphPolicy
from mfnet_agents.policies.individual import Seen
from mfnet_agents.policies.places import action_features, leads_to, node_features
from mfnet_envs import save_policy
from mfnet_envs.evaluate import evaluate
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import uniform

GRID, NYC = "MFNet-Grid-v0", "MFNet-RideShareNYC-v0"
LINE = {"graph": [[0, 1], [1, 2]], "demand": [0.6, 0.1, 0.9], "population": 3, "matching": "independent"}
SMALL = {"num_envs_per_env_runner": 2, "rollout_fragment_length": 5}
TOWN = nx.connected_watts_strogatz_graph(12, 4, 0.5, seed=3)


def graph_policy(model: LocalModel, hops: int = 2, width: int = 8, seed: int = 0, clock: bool = True) -> GraphPolicy:
    """One that is not uniform."""
    policy = GraphPolicy.made(model, np.random.SeedSequence(seed), width, 1.3, hops=hops, clock=clock)
    noise = np.random.default_rng(seed).normal(0, 0.5, policy.theta.shape)
    policy.update(policy.theta + torch.as_tensor(noise))
    return policy


def counts_of(model: LocalModel, worlds: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(model.population, model.initial, worlds)


def seen_of(model: LocalModel, counts: np.ndarray) -> Seen:
    layered = counts.reshape(len(counts), model.network.num_nodes, -1)
    crowd = layered @ (model.groups[:, None] == np.arange(model.num_groups))
    return Seen(counts[:, model.team_states], crowd.astype(np.float64), np.zeros(len(counts), int))


def config(name: str, env: str = GRID, env_config: Any = None, steps: int = 2560, **options: Any) -> Any:
    chosen = registry.config_class(name)().environment(env, env_config=env_config or {"population": 100})
    return chosen.training(total_env_steps=steps, **options)


# -- the policy


def test_the_equations_of_one_agent_node_by_node() -> None:
    """The scores of one node's actions, from the printed equations, by messages that go along networkx's edges."""
    model = mfnet_envs.make_model(GRID, graph=TOWN, demand=np.arange(1.0, 13.0), population=66)
    policy, counts = graph_policy(model, clock=False), counts_of(model, 1)[0]
    w = policy.theta[0].numpy()

    def crowd(n: float, usual: float) -> np.ndarray:
        return np.array([min(n / usual, 4) / 2 - 0.5, np.log1p(min(n / usual, 4)) - 0.7])

    places, usual = node_features(model), np.maximum(model.usual_counts, 1)
    stays = np.arange(model.num_actions) == 0  # beside the features, the only action that is no move
    phi = np.concatenate([action_features(model), np.tile(stays[:, None], (12, 1, 1))], 2)

    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    cut = np.cumsum([2 + places.shape[1], 8, 8, 8, 8, 2, phi.shape[2], 8])
    first, own1, near1, own2, near2, size, action, here, there = np.split(w, cut)
    h0 = [relu(np.array([*crowd(counts[v], usual[v]), *places[v]]) @ first) for v in range(12)]

    def near(h: np.ndarray, v: int) -> Any:
        return np.mean([h[u] for u in TOWN[v]], 0)

    h1 = [relu(h0[v] @ own1 + near(h0, v) @ near1) for v in range(12)]
    h2 = [relu(h1[v] @ own2 + near(h1, v) @ near2) for v in range(12)]
    pi, scale = policy.teams(counts[None])[0], policy.net.scale[0].numpy()
    for v in range(12):
        legal = np.flatnonzero(model.legal[v])
        hidden = [
            h2[v] @ here + h1[model.moves[v, a]] @ there + phi[v, a] @ action + crowd(counts[v], usual[v]) @ size
            for a in legal
        ]
        odds = np.exp(1.3 * relu(np.array(hidden)) @ scale)
        np.testing.assert_allclose(pi[v, legal], odds / odds.sum(), atol=1e-12)
    assert pi.std() > 0.1


@pytest.mark.parametrize("env", [GRID, "MFNet-SIS-v0", "MFNet-Packet-v0", "MFNet-Resource-v0"])
def test_the_gradient_is_the_finite_difference(env: str) -> None:
    model = mfnet_envs.make_model(env)
    policy, seen = graph_policy(model), seen_of(model, counts_of(model, 4))
    rng, legal = np.random.default_rng(1), model.legal[model.team_states]
    weights = rng.normal(size=(4, *legal.shape)) * legal
    weights -= legal * (weights.sum(2) / legal.sum(1))[..., None]
    found, theta = policy.score_along(seen, weights), policy.theta.clone()
    direction = torch.as_tensor(rng.normal(size=theta.shape))
    values = []
    for step in (1e-6, -1e-6):
        policy.update(theta + step * direction)
        values.append((weights * np.log(np.where(legal, policy.shares(seen), 1.0))).sum())
    assert float((found * direction).sum()) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def test_it_begins_uniform() -> None:
    model = mfnet_envs.make_model("MFNet-Packet-v0")
    policy = GraphPolicy.made(model, np.random.SeedSequence(0), 8, 1.0, hops=1, clock=False)
    counts = counts_of(model, 3)
    np.testing.assert_allclose(policy.teams(counts), uniform(model).teams(counts, 0), atol=1e-12)


def test_numbers_of_nodes_mean_nothing() -> None:
    """The same city with node v numbered place[v]: the same odds of going from a place to a place."""
    place, weights = np.random.default_rng(5).permutation(12), np.random.default_rng(4).gamma(1.0, size=12)
    held, odds = np.random.default_rng(6).integers(0, 12, 12), []
    for new in (np.arange(12), place):
        other = nx.Graph()
        other.add_nodes_from(range(12))
        other.add_edges_from((int(new[v]), int(new[w])) for v, w in TOWN.edges)
        back = np.argsort(new)
        model = mfnet_envs.make_model(GRID, graph=other, demand=weights[back], population=66)
        pi, table = graph_policy(model).teams(held[back][None])[0], np.zeros((12, 12))
        np.add.at(table, (np.arange(12)[:, None], model.moves), pi)
        odds.append(table[np.ix_(new, new)])
    assert np.abs(odds[0] - odds[1]).max() < 1e-9
    assert np.ptp(odds[0][odds[0] > 0]) > 0.1


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
@pytest.mark.parametrize("env", [GRID, "MFNet-SIS-v0"])
def test_it_hears_k_hops_and_no_further(env: str, hops: int) -> None:
    """An agent more at a node changes what is done within k hops of it, not by one bit elsewhere."""
    model = mfnet_envs.make_model(env, population=60)
    policy, counts = graph_policy(model, hops, width=32), np.ones((1, model.network.num_states), int)
    network, home = model.network, model.network.node_of[model.team_states]
    for node in (0, 6, network.num_nodes // 2):
        state = int(model.team_states[home == node][0])
        more = counts.copy()
        more[0, state] += 1
        changed = (policy.teams(more) != policy.teams(counts)).any(2)[0]
        np.testing.assert_array_equal(changed, network.distance(node)[home] <= hops)


def test_each_group_reads_with_weights_of_its_own() -> None:
    """Other readouts of the first group (the susceptible) change what they do, and nothing that the infected do."""
    model = mfnet_envs.make_model("MFNet-SIS-v0")
    policy, counts = graph_policy(model, width=8), counts_of(model, 2)
    before, theta = policy.teams(counts), policy.theta.clone()
    ends = theta.shape[1] - 8 * np.arange(4, -1, -1)  # here of both groups, then there of both
    for first in (ends[0], ends[2]):
        other = theta.clone()
        other[0, first : first + 8] *= -1
        policy.update(other)
        changed = (policy.teams(counts) != before).any((0, 2))
        np.testing.assert_array_equal(changed, model.groups[model.team_states % model.network.layers] == 0)


def test_messages_are_as_many_as_edges() -> None:
    """Nothing of a large network is held for pairs of nodes."""
    model = mfnet_envs.make_model(GRID, rows=70, cols=70, population=9800)
    policy = graph_policy(model, width=4)
    plan = policy._plan(model)
    assert plan.around._nnz() == len(model.network.adjacent)
    assert plan.ends._nnz() == model.legal.size
    np.testing.assert_allclose(policy.teams(counts_of(model, 2)).sum(2), 1)


def test_where_actions_lead() -> None:
    """On the grid to the neighbour that the action names."""
    model = mfnet_envs.make_model(GRID, population=60)
    cells, nodes, chances = leads_to(model)
    teams, actions = np.divmod(cells, model.num_actions)
    np.testing.assert_array_equal(nodes, model.moves[teams, actions])
    np.testing.assert_allclose(np.bincount(cells, chances), 1)


def test_weights_of_the_day_act_by_the_hour() -> None:
    """Samples of several hours at once, each by its own; and one hour alone has no such clock."""
    day = mfnet_envs.make_model(NYC, hour="day", weekday="monday")
    policy, counts = graph_policy(day), counts_of(day, 2)
    t = next(t for t in range(day.period or 0) if day.at(t) is day.hours[8])
    seen = seen_of(day, np.tile(counts, (2, 1)))._replace(clock=np.array([t, t, 0, 0]))
    pi = policy.shares(seen)
    assert np.abs(pi[:2] - policy.teams(counts, t)).max() < 1e-12
    assert np.abs(pi[2:] - policy.teams(counts, 0)).max() < 1e-12
    assert np.abs(pi[:2] - pi[2:]).max() > 0.01
    with pytest.raises(ValueError, match=r"reads a clock whose turn is .* steps, and that of the other model is None"):
        policy.on(mfnet_envs.make_model(NYC, hour=8, weekday="monday"))


@pytest.mark.parametrize(
    ("env", "options", "stay"),
    [("MFNet-SIS-v0", {}, 2), ("MFNet-Resource-v0", {"mode": "aloha"}, 2), (GRID, {}, 1)],
)
def test_actions_that_stay_are_told_apart_by_their_number(env: str, options: dict[str, Any], stay: int) -> None:
    """Out or in, send or idle, beside the walks to neighbours; on the grid all but the first are walks."""
    model = mfnet_envs.make_model(env, **options)
    policy = graph_policy(model, clock=False)
    columns = policy._plan(model).actions.shape[2] - action_features(model).shape[2]
    assert columns == stay
    assert policy._plan(model).actions[0, :, -columns:].sum() == columns


# -- what it learns


def test_hearing_is_worth_something_in_an_exact_game() -> None:
    """Three agents on a line, enumerated: a central planner gets 8.439; policies that see their own node got 7.653
    after twice as many steps, and the graph network comes within 4 % of the planner."""
    algo = trained(config("GraphAC", env_config=LINE, steps=5120))
    game = ExactGame(algo.model)
    best = float(game.optimal_values() @ game.initial)
    assert best == pytest.approx(8.4388, abs=1e-3)
    assert 0.96 * best < game.objective(algo.policy) < best


# -- elsewhere


def test_the_same_weights_play_another_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained on 5 x 5: on 6 x 5 with other crowds, where nothing was learnt, above the heuristic of a linear programme
    that knows the demand there; and the command plays the very same policy."""
    algo = trained(config("GraphAC", steps=1024))
    there = mfnet_envs.make_model(GRID, rows=6, cols=5, population=150)
    known, moved = there.heuristics()["threshold_lp"], algo.policy.on(there)
    mine, best, random = (evaluate(there, one, worlds=8)["headline_mean"] for one in (moved, known, uniform(there)))
    assert mine > best > random + 1
    kept = algo.save_to_path(tmp_path / "kept")
    on = ["--on", "rows=2", "cols=2", "population=16", "--worlds", "8", "--no-heuristics", "--json"]
    assert main(["evaluate", kept, *on]) == 0
    found = json.loads(capsys.readouterr().out)["policies"]["learnt"]["value"]
    small = mfnet_envs.make_model(GRID, rows=2, cols=2, population=16)
    assert found == evaluate(small, algo.policy.on(small), worlds=8, seed=runs.REPORT_SEED)["headline_mean"]


def test_other_kinds_of_states_need_other_weights() -> None:
    policy = graph_policy(mfnet_envs.make_model("MFNet-SIS-v0"), clock=False)
    with pytest.raises(ValueError, match="fall into another number of groups, or others of its actions stay"):
        policy.on(mfnet_envs.make_model(GRID))


# -- as an algorithm


def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path: Path) -> None:
    first = config("GraphAC").env_runners(**SMALL).build_algo()
    first.train()
    again = Algorithm.from_checkpoint(first.save_to_path(tmp_path / "one"))
    assert type(again) is type(first) and again.information == "2 hops" and information_of(again) == "k hops"
    results = [algo.train()["learners"] for algo in (first, again)]
    assert results[0] == results[1] and torch.equal(first.policy.theta, again.policy.theta)
    assert "reward and kernel everywhere" in first.needs


def test_no_parts_no_table_and_no_score_of_sizes_alone() -> None:
    model = mfnet_envs.make_model(GRID, population=10)
    policy, sizes = graph_policy(model), np.zeros((1, 25), int)
    with pytest.raises(TypeError, match="num_parts must be 1"):
        policy.part(slice(0, 1))
    with pytest.raises(TypeError, match="take score_along"):
        policy.weighted_score(sizes, np.zeros((1, 25, 5), int), torch.zeros(1, 25))
    with pytest.raises(TypeError, match=r"take shares\(\)"):
        policy.log_prob(sizes, np.zeros((1, 25, 5), int))
    with pytest.raises(ValueError, match="more than the size of its own team"):
        save_policy(policy, "never.npz")
    assert policy.by_size(3, 0, 1) is None
