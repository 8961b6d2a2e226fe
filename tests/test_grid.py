"""MFNet-Grid-v0 against published tables, an independent programme, exact values and its own page."""

import math
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy import sparse, stats
from scipy.optimize import linprog

from mfnet_envs.evaluate import evaluate
from mfnet_envs.exact import ExactGame
from mfnet_envs.matching import ExpectedMin, expected_min
from mfnet_envs.policy import TablePolicy
from mfnet_envs.programmes import pieces, scatter_lp, transport_lp
from mfnet_envs.scenarios import grid_v0
from mfnet_envs.scenarios.grid_v0 import LAYOUTS, Grid, build

WORLDS = 128
# Discounted returns of an earlier, separate implementation on the same instance: 128 to 256 runs of the simple
# policies, 30 of the LP policy.
PUBLISHED = {
    25: {"stay": 3.58, "random": 4.77, "greedy": 5.85, "proportional": 7.62, "lp": 6.72},
    100: {"stay": 4.59, "random": 7.27, "greedy": 9.01, "proportional": 10.50, "lp": 10.19},
    500: {"stay": 4.85, "random": 8.06, "greedy": 11.02, "proportional": 11.87, "lp": 12.10},
}
RUNS = {"lp": 30}
# The programme's value is unique, its flows are not: at N = 500 two of HiGHS's solutions make policies of 12.13 and
# 12.20 (its simplex and its interior-point method).
FREEDOM = {"lp": 0.1}


@pytest.mark.parametrize("population", PUBLISHED)
def test_heuristics_return_what_was_published(population: int) -> None:
    model = build(population=population)
    heuristics = model.heuristics()
    for name, published in PUBLISHED[population].items():
        report = evaluate(model, heuristics[name], worlds=WORLDS)
        ours = report["discounted_return_ci95"] / 1.98
        theirs = ours * math.sqrt(WORLDS / RUNS.get(name, WORLDS))
        # half a unit of the last printed digit, and four standard errors of the difference
        allowed = 0.005 + FREEDOM.get(name, 0.0) + 4 * math.hypot(ours, theirs)
        assert abs(report["discounted_return_mean"] - published) < allowed, name


def test_fluid_programme_has_the_published_value() -> None:
    """13.134 over 150 steps."""
    assert transport_lp.solve(build()._transport(), fluid=True).value == pytest.approx(13.134, abs=5e-4)


def tangents(data: transport_lp.Transport) -> float:
    """The programme written with m <= a + b mu for the tangent at every integer, one row each."""
    network, phi = data.network, ExpectedMin(data.rate)
    origin, slot = np.nonzero(network.neighbors >= 0)
    target, v, edges = network.neighbors[origin, slot], network.num_nodes, len(origin)
    balance = sparse.lil_matrix((data.horizon * v, data.horizon * (v + edges)))
    rows: list[tuple[np.ndarray, float]] = []
    for t in range(data.horizon):
        here, before = t * (v + edges), (t - 1) * (v + edges)
        for node in range(v):
            balance[t * v + node, here + node] = 1
            leaving = here + v + np.flatnonzero(origin == node)
            balance[t * v + node, leaving] = 1
            if t:
                balance[t * v + node, before + np.arange(v)] = -data.dropoff[:, node]
                balance[t * v + node, before + v + np.flatnonzero(target == node)] = -1
            slopes = np.append(phi.slopes(node), 0.0)
            for n, slope in enumerate(slopes):
                row = np.zeros(data.horizon * (v + edges))
                row[here + node], row[leaving] = 1 - slope, -slope
                rows.append((row, (slopes[:n].sum() - slope * n) / data.population))
    start = np.zeros(data.horizon * v)
    start[:v] = data.initial
    gain = np.concatenate([np.full(v, 1.0), np.where(origin != target, -0.1, 0)])  # the default fare and cost
    result = linprog(
        -np.kron(data.gamma ** np.arange(data.horizon), gain),
        A_ub=sparse.csr_matrix(np.stack([row for row, _ in rows])),
        b_ub=[limit for _, limit in rows],
        A_eq=balance.tocsr(),
        b_eq=start,
        method="highs-ds",
    )
    return -float(result.fun)


@pytest.mark.parametrize("population", [5, 40])
def test_pieces_of_phi_are_tangents_at_every_integer(population: int) -> None:
    """The programme in segments has the value of the programme in tangents."""
    data = build(population=population, graph=nx.path_graph(4), demand=[1, 5, 2, 9], horizon=6)._transport()
    assert transport_lp.solve(data, fluid=False).value == pytest.approx(tangents(data), abs=1e-8)


@pytest.mark.parametrize("matching", ["physical", "independent"])
def test_bound_holds_for_the_exact_optimum(matching: Any) -> None:
    """The best central planner of line 3, N = 4, over 30 steps stays below the bound, and that below the fluid one."""
    model = build(4, graph=nx.path_graph(3), demand=[0.02, 0.02, 1], horizon=30, matching=matching)
    game = ExactGame(model)
    best = game.expected(game.optimal_values(steps=30))
    finite, fluid = (transport_lp.solve(model._transport(), fluid=fluid).value for fluid in (False, True))
    assert 0.9 * finite < best < model.bound().value < finite < fluid


@pytest.mark.parametrize("seed", range(10))
def test_the_bound_of_scattered_agents_holds_for_the_exact_optimum(seed: int) -> None:
    """On random games, all steps apart or the later ones added up: above the best central planner, below Jensen's."""
    rng = np.random.default_rng(seed)
    graph = [nx.path_graph(3), nx.complete_graph(3), nx.path_graph(2), nx.star_graph(3)][seed % 4]
    model = build(
        int(rng.integers(1, 5)), graph=graph, demand=rng.exponential(size=len(graph)), gamma=0.9,
        total_demand=rng.uniform(0.3, 1.5), move_cost=rng.uniform(0, 0.3),
        horizon=[12, 70][seed % 2], matching=["physical", "independent"][seed // 2 % 2],
    )  # fmt: skip
    game = ExactGame(model)
    best = game.expected(game.optimal_values(steps=model.evaluation[0]))
    bound, means = scatter_lp.solve(model._transport()).value, transport_lp.solve(model._transport(), fluid=False).value
    assert best <= bound * (1 + 1e-9) and bound < means
    assert bound - best < 0.9 * (means - best)


def test_one_driver_who_scatters_is_bounded_by_what_he_can_earn() -> None:
    """Alone there is no crowd: the programme is his own decision problem, and the bound its value."""
    model = build(1, graph=nx.path_graph(3), demand=[0.1, 0.3, 2], horizon=20)
    game = ExactGame(model)
    best = game.expected(game.optimal_values(steps=20))
    assert scatter_lp.solve(model._transport()).value == pytest.approx(best, rel=1e-9)


def test_one_chance_is_no_scatter() -> None:
    """Who is always set down at the same node goes where he is sent: what is left of the programme is Jensen's, but for
    the first step, which is a mean over where agents are placed."""
    data = build(6, graph=nx.path_graph(3), demand=[1, 5, 2], horizon=12, gamma=0.9)._transport()
    home = replace(data, dropoff=np.eye(3), initial=np.array([0.0, 1.0, 0.0]))
    assert scatter_lp.solve(home).value == pytest.approx(transport_lp.solve(home, fluid=False).value, rel=1e-7)


@pytest.mark.parametrize("seed", range(2))
def test_later_steps_added_up_bound_as_well(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never below the programme with all steps apart, and, since plans settle, next to it."""
    graph = [nx.path_graph(4), nx.star_graph(3)][seed]
    demand = np.random.default_rng(seed).exponential(size=4)
    data = build(8, graph=graph, demand=demand, horizon=62, gamma=0.9)._transport()
    added = scatter_lp.solve(data).value
    monkeypatch.setattr(scatter_lp, "SHORT", 100)
    apart = scatter_lp.solve(data).value
    assert apart * (1 - 1e-6) <= added <= apart * (1 + 1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_facets_are_above_the_mean_of_scattered_crowds_and_touch_it(seed: int) -> None:
    """E phi(K + sum of binomials), by convolution of their laws; they touch where one chance is drawn with or none."""
    rng = np.random.default_rng(seed)
    rate, chances = rng.uniform(0.2, 4), rng.uniform(0.1, 0.5, 3)
    phi = np.append(0, np.cumsum(stats.poisson.sf(np.arange(12), rate)))
    planes = scatter_lp.facets(phi, chances.max())

    def ceiling(moved: int, dropped: float) -> float:
        return float((planes.move * moved + planes.drop * dropped + planes.height).min())

    for _ in range(200):
        served = rng.multinomial(rng.integers(0, 13), [0.3, 0.3, 0.2, 0.2])[:3]
        moved = int(rng.integers(0, 13 - served.sum()))
        law = np.ones(1)
        for count, chance in zip(served, chances, strict=True):
            law = np.convolve(law, stats.binom.pmf(np.arange(count + 1), count, chance))
        mean = float(law @ phi[moved : moved + len(law)])
        assert mean <= ceiling(moved, float(served @ chances)) + 1e-9
    for moved in range(13):  # nobody set down: phi itself
        assert ceiling(moved, 0.0) == pytest.approx(phi[moved], abs=1e-7)
    for count in range(13):  # nobody moved
        mean = stats.binom.pmf(np.arange(count + 1), count, chances.max()) @ phi[: count + 1]
        assert ceiling(0, count * chances.max()) == pytest.approx(mean, abs=1e-7)


def test_bound_is_tight_where_nothing_is_random() -> None:
    """One node, demand far beyond N: every driver is served at every step, sum_t gamma^t = bound."""
    model = build(3, graph=[[0, 1]], demand=[1, 1], total_demand=50.0, horizon=20)
    assert model.bound().value == pytest.approx((1 - 0.95**20) / 0.05, abs=1e-6)


def test_moves_are_those_of_the_page() -> None:
    """0 stay, 1 up, 2 right, 3 down, 4 left; cell (i, j) is i * cols + j."""
    model = build(rows=3, cols=4)
    centre = 1 * 4 + 1
    assert model.moves[centre].tolist() == [5, 1, 6, 9, 4]
    assert model.legal[0].tolist() == [True, False, True, True, False]
    assert model.moves[0].tolist() == [0, 0, 1, 4, 0]


def test_actions_on_a_graph_are_neighbour_slots() -> None:
    model = build(graph=[[0, 1], [0, 2]])
    assert model.network.nodes == (0, 1, 2)
    assert model.moves.tolist() == [[0, 1, 2], [1, 0, 1], [2, 0, 2]]
    assert model.legal.tolist() == [[True, True, True], [True, True, False], [True, True, False]]


def test_published_layout() -> None:
    """w(i, j) = exp(-((i - .5)^2 + (j - .5)^2) / 1.5) + .7 exp(-(i - 3.5)^2 - (j - 4)^2) + .03, summing to .7."""
    weight = [
        math.exp(-((i - 0.5) ** 2 + (j - 0.5) ** 2) / 1.5) + 0.7 * math.exp(-((i - 3.5) ** 2) - (j - 4) ** 2) + 0.03
        for i in range(5)
        for j in range(5)
    ]
    np.testing.assert_allclose(build().demand, 0.7 * np.array(weight) / sum(weight), rtol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_positive(layout: str) -> None:
    model = build(layout=layout, rows=4, cols=6)
    assert (model.demand > 0).all()
    assert model.demand.sum() == pytest.approx(0.7)


def test_the_lp_policy_follows_the_fluid_flows() -> None:
    """In the limit N = infinity the LP policy earns the fluid programme's value."""
    model = build()
    lp = model.heuristics()["lp"]
    assert isinstance(lp, TablePolicy)
    from mfnet_envs.simulator import Simulator

    simulator, mu, value = Simulator(model), model.initial[None], 0.0
    for t in range(model.evaluation[0]):
        mu, rewards = simulator.mean_field_step(mu, lp.table[t])
        value += 0.95**t * float(rewards.sum())
    assert value == pytest.approx(transport_lp.solve(model._transport(), fluid=True).value, abs=2e-3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"population": 0}, "population must be a positive integer"),
        ({"population": 2.5}, "population must be a positive integer"),
        ({"rows": 0}, "rows must be a positive integer"),
        ({"layout": "hotspot"}, "layout must be 'two_hotspots' or"),
        ({"matching": "perfect"}, "matching must be 'physical' or 'independent'"),
        ({"fare": -1.0}, "fare must be a non-negative number"),
        ({"move_cost": math.nan}, "move_cost must be a non-negative number"),
        ({"horizon": 0}, "horizon must be a positive integer"),
        ({"demand": [1.0, 2.0]}, "demand must be 25 non-negative numbers"),
        ({"demand": np.zeros(25)}, "demand must be positive somewhere"),
        ({"graph": [[0, 1], [2, 3]]}, "falls into 2 parts"),
        ({"graph": [[0, 1, 2]]}, "graph must be a networkx graph or a list of edges"),
        ({"gamma": 1.0}, "gamma must lie strictly between 0 and 1"),
        ({"population": 2**53 + 1}, r"population must be at most 2\*\*53"),
    ],
)
def test_options_it_refuses(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(**options)


def test_it_is_its_own_class() -> None:
    assert isinstance(build(), Grid)


@pytest.mark.parametrize("seed", range(8))
def test_refined_tangents_find_the_programme_with_all_of_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On random graphs: never below, within 1e-5, and the gap is no promise that is not kept."""
    rng = np.random.default_rng(seed)
    graph = nx.connected_watts_strogatz_graph(int(rng.integers(4, 9)), 2 + 2 * (seed % 2), 0.3, seed=seed)
    model = build(
        int(10 ** rng.uniform(1, 3.3)), graph=graph, demand=rng.exponential(size=len(graph)),
        horizon=25, total_demand=rng.uniform(0.3, 1.2), move_cost=rng.uniform(0, 0.3),
    )  # fmt: skip
    data = model._transport()
    monkeypatch.setattr(pieces, "EVERY", 10**9)
    exact = transport_lp.solve(data, fluid=False)
    monkeypatch.setattr(pieces, "EVERY", 0)
    found = transport_lp.solve(data, fluid=False)
    assert exact.value * (1 - 1e-8) <= found.value <= exact.value * (1 + 1e-5)
    assert found.value * (1 - found.gap) <= exact.value * (1 + 1e-8)
    assert found.gap <= 1e-5 and exact.gap < 1e-8


def test_bounds_of_large_populations() -> None:
    """As many drivers as you like: bounds rise to the fluid one."""
    values = [build(population, rows=2, cols=3, horizon=30).bound() for population in (10**3, 10**6, 10**9, 10**15)]
    fluid = build(rows=2, cols=3, horizon=30).fluid().bound()
    assert (np.diff([bound.value for bound in (*values, fluid)]) > -1e-8).all()
    assert values[-1].value == pytest.approx(fluid.value, rel=1e-6)
    assert all(bound.gap <= 1e-5 for bound in values)


def test_nodes_without_riders_have_a_bound_at_every_population() -> None:
    values = [build(n, rows=2, cols=2, demand=[1, 0, 0, 1], horizon=20).bound().value for n in (20, 2000, 10**7)]
    assert (np.diff(values) > 0).all()
    assert build(2000, rows=2, cols=2, total_demand=0.0, horizon=20).bound().value == pytest.approx(0, abs=1e-9)


def test_on_large_networks_later_steps_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By mean crowds alone: the programme with all steps apart, from above, and next to it."""
    for population, horizon, above in ((1000, 30, 2e-5), (10**7, 30, 2e-5), (1000, 100, 1e-3)):
        model = build(population, rows=2, cols=3, horizon=horizon)
        apart = model.bound().value
        with monkeypatch.context() as patched:
            patched.setattr(grid_v0, "CELLS", 0)
            added = model.bound().value
        assert apart * (1 - 1e-5) <= added <= apart * (1 + above)


@pytest.mark.parametrize("rate", [0.3, 7.0, 700.0, 3e5])
def test_tangents_lie_above_and_chords_below(rate: float) -> None:
    """Of phi(n) = sum_{k < n} P(D > k), at every integer that matters; both touch it where they are asked to."""
    start, end = (max(0, int(rate + reach * rate**0.5)) for reach in (-10, 10))
    k = np.arange(end + 20)
    phi = np.append(0, np.cumsum(stats.poisson.sf(k, rate)))
    at = np.unique(np.append(0, np.linspace(start, end, 9).astype(int)))[None, None].astype(float)
    law, n = ExpectedMin([rate]), np.arange(start, len(k))
    for lines, sign in (
        (pieces.touching(at, np.array([rate]), law), 1),
        (pieces.chords(at, np.array([rate]), law), -1),
    ):
        least = (lines.slope[:, None] * n + lines.height[:, None]).min(0)
        assert (sign * (least - phi[n]) >= -1e-8 * rate).all()
        touched = at[0, 0, at[0, 0] >= start].astype(int)
        assert least[touched - start] == pytest.approx(phi[touched], rel=1e-6, abs=1e-9)
    above = pieces.touching(at, np.array([rate]), law)
    ends = np.cumsum(above.widths()[:-1])
    value = np.append(0, np.cumsum(above.slope[:-1] * above.widths()[:-1]))
    assert value[1:] == pytest.approx(above.slope[1:] * ends + above.height[1:])  # as pieces they are the same function


def test_few_tangents_lie_above() -> None:
    """At every integer at least phi, at the touched ones equal to it."""
    rate = 700.0
    slope, width = pieces.fewer(np.append(ExpectedMin([rate]).slopes(0), 0.0), 20)
    ends = np.concatenate([[0.0], np.cumsum(width[:-1])])
    values = np.concatenate([[0.0], np.cumsum(slope[:-1] * width[:-1])])
    n = np.arange(0, 1500)
    place = np.searchsorted(ends, n, side="right") - 1
    above = values[place] + slope[place] * (n - ends[place])
    phi = expected_min(n[:, None].astype(float), [rate])[:, 0]
    assert len(slope) <= 20 and (np.diff(slope) < 0).all() and (width > 0).all()
    assert (above >= phi - 1e-9).all() and np.abs(above - phi).max() < 1
