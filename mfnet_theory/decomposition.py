"""Experiment (i): values of agents are sums of values of teams, and the simulator plays the enumerated law.

Agents with names, on S^N joint states, are one witness (:class:`~mfnet_envs.exact.NamedGame`), the enumeration of count
vectors is the other. They share the model and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.evaluate import returns
from mfnet_envs.exact import ExactGame, IndividualTable, NamedGame
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.simulator import Simulator
from mfnet_theory import pictures
from mfnet_theory.case import CHANCE, Case, agents_of
from mfnet_theory.instances import Crowded, Stayers, grid_line, some_policy
from mfnet_theory.statement import Experiment, Settings, Statement, Table, judged
from mfnet_theory.step_laws import ACTIONS, AGENTS, COUNTS, Row, step_laws, step_statement

TITLE = "Values of agents are sums of values of teams"
EXACT = 1e-10  # of two linear solves of a few hundred unknowns
ERRORS = 4.0  # standard errors between a mean over worlds and its exact value


def run(settings: Settings) -> Experiment:
    """Statements (4) to (10) and (19) on four small games, or on the user's model."""
    cases = _cases(settings)
    lines = [
        *_named_statements(cases, settings.say),
        _bellman(cases),
        *([] if settings.model is not None else [_printed_reward()]),
    ]
    settings.say("  laws of a step, against enumeration ...")
    tests = {what: step_laws(cases, what) for what in (COUNTS, AGENTS, ACTIONS)}
    lines += [step_statement(what, rows) for what, rows in tests.items()]
    settings.say("  returns of simulated worlds ...")
    simulated = [(case.name, *_simulated(case)) for case in cases]
    lines.append(_monte_carlo(simulated))
    tables = {
        "values": _value_table(cases),
        "laws": Table(("instance", "law of", "p_value"), [row for rows in tests.values() for row in rows]),
        "returns": Table(("instance", "exact", "mean", "standard_error", "apart"), simulated),
    }
    figure = _picture(cases, tests)
    return Experiment("decomposition", TITLE, _text(cases), tuple(lines), tables, ((CAPTION, figure),))


def _cases(settings: Settings) -> list[Case]:
    models: dict[str, LocalModel] = {}
    if settings.model is not None:
        models["the model"] = settings.model
    else:
        models["Grid, physical"] = grid_line(3, 4, "physical")
        models["Grid, independent"] = grid_line(3, 4, "independent")
        models["crowded line"] = Crowded(StateNetwork.line(3), 4)
        models["two layers"] = Crowded(StateNetwork.line(2, layers=2), 3, seed=1)
    size = (
        dict(draws=20_000, laws=4, worlds=2_000, pairs=100)
        if settings.quick
        else dict(draws=200_000, laws=12, worlds=20_000, pairs=500)
    )
    return [
        Case(name, model, some_policy(model, settings.seed + i), settings.seed + i, **size)
        for i, (name, model) in enumerate(models.items())
    ]


# -- named agents


def _named_statements(cases: list[Case], say: Callable[[str], None]) -> list[Statement]:
    """(9), (8) and (10): by named agents where these can be enumerated, else by agents simulated one by one."""
    claims = [
        (
            "Lemma 3.1, (4) and (9)",
            "the agents' mean value is the sum over states of the teams' values",
            _values_add_up,
        ),
        ("Lemma 3.1, (8)", "V_s is the part of that value that agents earn while they are in s", _shares_agree),
        ("Lemma 3.1, (10)", "Q of named agents with given first actions is the sum of the teams' Q_s", _actions_add_up),
    ]
    if all(case.named is not None for case in cases):
        say("  named agents ...")
        return [_close(name, says, ((case.name, differ(case)) for case in cases)) for name, says, differ in claims]
    say("  too many joint states to name agents: simulating them one by one ...")
    (case,) = cases  # our own instances are small
    from_start, from_pair = _agent_worlds(case, first=False), _agent_worlds(case, first=True)
    return [
        _apart(case, *claims[0][:2], *_summed(*from_start)),
        _apart(case, *claims[1][:2], *from_start),
        _apart(case, *claims[2][:2], *_summed(*from_pair)),
    ]


def _close(name: str, says: str, found: Iterable[tuple[str, float]]) -> Statement:
    """A statement of equality up to rounding."""
    differences = [(difference, where) for where, difference in found]
    worst, at = max(differences)
    computed = f"largest difference {worst:.1e} ({at})"
    return judged(name, says, computed, f"{EXACT:.0e}", all(d <= EXACT for d, _ in differences))


def _values_add_up(case: Case) -> float:
    """(9): both sides at every joint state."""
    _, rewards = case.named_law
    mean = _solve(case, rewards).mean(1)
    return float(np.abs(case.game.state_values(case.pi).sum(1)[_place(case)] - mean).max())


def _shares_agree(case: Case) -> float:
    """(8): the expected discounted sum of what the agents present in s earn, over N."""
    assert case.named is not None
    _, rewards = case.named_law
    earned = np.zeros((len(rewards), case.named.s))
    for row, joint, reward in zip(earned, case.named.states, rewards, strict=True):
        np.add.at(row, list(joint), reward / case.named.n)
    return float(np.abs(case.game.state_values(case.pi)[_place(case)] - _solve(case, earned)).max())


def _actions_add_up(case: Case) -> float:
    """(10): (1/N) sum_i r_i + gamma E V(next joint state), for agents who are told what to do first."""
    assert case.named is not None
    values = _solve(case, case.named_law[1]).mean(1)
    q = case.game.action_values(case.pi).sum(1)
    told = [_first_actions(case.named, case.game.pairs[i], values, case.game.gamma) for i in case.some_pairs]
    return float(np.abs(q[case.some_pairs] - told).max())


def _first_actions(named: NamedGame, pair: Ints, values: Floats, gamma: float) -> float:
    joint, actions = agents_of(pair)
    law = named.law(tuple(joint), list(np.eye(named.model.num_actions)[actions])).reshape(-1)
    rewards = named.single(tuple(joint))[0][joint, actions]
    return float(rewards.mean() + gamma * law @ values)


def _solve(case: Case, rewards: Floats) -> Floats:
    laws = case.named_law[0]
    return np.asarray(np.linalg.solve(np.eye(len(laws)) - case.game.gamma * laws, rewards), np.float64)


def _place(case: Case) -> Ints:
    """The count vector of every joint state."""
    assert case.named is not None
    return case.game.index(np.array([case.named.counts(joint) for joint in case.named.states]))


def _summed(exact: Floats, earned: Floats) -> tuple[Floats, Floats]:
    return exact.sum(keepdims=True), earned.sum(1, keepdims=True)


def _apart(case: Case, name: str, says: str, exact: Floats, earned: Floats) -> Statement:
    """The same claim from agents simulated one by one: means over ``(worlds, C)`` against exact values ``(C,)``."""
    apart, limit = float(_in_errors(earned, exact).max()), _errors_allowed(len(exact))
    computed = (
        f"{apart:.1f} standard errors apart; {case.model.network.num_states}^{case.model.population} joint states are "
        f"too many to name the agents, so {case.worlds:,} worlds of agents were simulated one by one"
    )
    return judged(name, says, computed, f"{limit:.1f} standard errors", apart <= limit)


def _agent_worlds(case: Case, first: bool) -> tuple[Floats, Floats]:
    """Exact values of states ``(S,)`` and simulated ones ``(worlds, S)``; ``first``: all from one pair (mu, h)."""
    model, game, steps, rng = case.model, case.game, case.model.evaluation[0], case.rng(5)
    worlds, s, policy = case.worlds, case.model.network.num_states, IndividualTable(case.model, case.pi)
    states = rng.choice(s, (worlds, model.population), p=model.initial)
    exact, told = game.expected(game.state_values(case.pi, steps)), None
    if first:
        pair = game.pairs[case.some_pairs[:1]]
        exact = (pair * game.rewards[game.index(pair.sum(2))]).sum((0, 2)) / model.population
        exact = exact + game.gamma * (game.pair_transition(pair) @ game.state_values(case.pi, steps - 1))[0]
        states, told = (np.tile(row, (worlds, 1)) for row in agents_of(pair[0]))
    earned, simulator, world = np.zeros((worlds, s)), Simulator(model), np.arange(worlds)[:, None]
    for t in range(steps):
        counts = np.zeros((worlds, s), np.int64)
        np.add.at(counts, (world, states), 1)
        pi = policy.individual(counts)[world, states]
        actions = (pi.cumsum(2) < rng.random((*states.shape, 1))).sum(2) if told is None or t else told
        following, rewards = simulator.step_agents(states, np.minimum(actions, model.num_actions - 1), rng)
        np.add.at(earned, (world, states), game.gamma**t * rewards / model.population)
        states = following
    return exact, earned


def _error(worlds: Floats) -> Floats:
    """Standard errors of means over worlds."""
    return np.asarray(worlds.std(0, ddof=1) / np.sqrt(len(worlds)), np.float64)


def _in_errors(worlds: Floats, exact: Floats | float) -> Floats:
    """How many standard errors means over worlds are from their exact values; where nothing varies, of rounding."""
    rounding = 1e-10 * np.maximum(1, np.abs(exact))
    return np.asarray(np.abs(worlds.mean(0) - exact) / np.maximum(_error(worlds), rounding), np.float64)


def _errors_allowed(comparisons: int) -> float:
    """The normal quantile that ``comparisons`` means exceed together with probability ``CHANCE``."""
    from scipy.special import ndtri

    return max(ERRORS, float(-ndtri(CHANCE / 2 / comparisons)))


# -- equations


def _bellman(cases: list[Case]) -> Statement:
    found = []
    for case in cases:
        at = case.game.under(case.pi)
        found.append((case.name, float(np.abs(at.bellman_residual(at.action_values)).max())))
    return _close("(19)", "Q_s = r_s + gamma E Q_s(mu', h') with mu' given (mu, h) and h' given mu'", found)


def _printed_reward() -> Statement:
    """Two states with one agent each, who stay and earn 1 a step: (7) with and without mu(s)."""
    model = Stayers(StateNetwork.line(2), 2, gamma=0.9)
    game, pi = ExactGame(model), np.ones((2, 3, 1))
    agents = float(NamedGame(model).values(pi, game.gamma)[1].mean())  # joint state (0, 1)
    both_occupied = game.index(np.array([1, 1]))
    with_mu = float(game.state_values(pi).sum(1)[both_occupied])
    h = (game.count_vectors > 0).astype(float)  # shares within a team, one action: 1, or 0 where nobody is
    unweighted = (h[:, :, None] * game.rewards).sum(2)
    law = game.transition(pi)
    printed = float(np.linalg.solve(np.eye(len(law)) - game.gamma * law, unweighted).sum(1)[both_occupied])
    is_shown = abs(with_mu - agents) <= EXACT and abs(printed - 20) <= EXACT and abs(agents - 10) <= EXACT
    return judged(
        "(7)",
        "printed: r_s = sum_a r h(s)(a); corrected: r_s = mu(s) sum_a r h(s)(a), or Lemma 3.1 is false",
        f"r = 1, gamma = .9, two states: agents earn {agents:.10g}, teams {printed:.10g} as printed, "
        f"{with_mu:.10g} with mu(s)",
        f"{EXACT:.0e}",
        is_shown,
        corrected=True,
    )


# -- simulated returns


def _simulated(case: Case) -> tuple[float, float, float, float]:
    """Exact value of the model's horizon, mean over worlds, its standard error, how many of these they are apart."""
    steps = case.model.evaluation[0]
    exact = float(case.game.expected(case.game.state_values(case.pi, steps).sum(1)))
    policy = IndividualTable(case.model, case.pi)
    rewards = returns(case.model, policy, worlds=case.worlds, seed=case.seed, steps=steps)
    worlds = rewards @ case.game.gamma ** np.arange(steps)
    return exact, float(worlds.mean()), float(_error(worlds)), float(_in_errors(worlds, exact))


def _monte_carlo(rows: list[tuple[str, float, float, float, float]]) -> Statement:
    errors = [(apart, name) for name, *_, apart in rows]
    apart, at = max(errors)
    return judged(
        "(4), simulated",
        "the mean discounted return of simulated worlds is the exact value over the same horizon",
        f"at most {apart:.1f} standard errors apart ({at})",
        f"{ERRORS:.0f} standard errors",
        all(apart <= ERRORS for apart, _ in errors),
    )


# -- page

CAPTION = (
    "Left: the teams' exact values V_s at the initial law, stacked, against the mean value of named agents (diamonds), "
    "where these can be enumerated. Right: p-values of all chi-square tests in order, against those of a uniform law."
)


def _text(cases: list[Case]) -> str:
    sizes = "; ".join(
        f"{case.name}: {case.model.population} agents on {case.model.network.num_states} states, "
        f"{len(case.game.count_vectors)} count vectors, {len(case.game.pairs)} pairs (mu, h)"
        for case in cases
    )
    return (
        f"{sizes}. The policy of every instance is a random table pi(s, n). Agents with names are enumerated on their "
        "joint states, from (1) and (2) alone; teams on count vectors. The simulator is then held against the "
        "enumerated laws, with counts and with agents one by one."
    )


def _value_table(cases: list[Case]) -> Table:
    rows = [
        (case.name, s, float(value))
        for case in cases
        for s, value in enumerate(case.game.expected(case.game.state_values(case.pi)))
    ]
    return Table(("instance", "state", "value"), rows)


def _picture(cases: list[Case], tests: dict[str, list[Row]]) -> Any:
    figure, (left, right) = pictures.panels(2, height=3.7)
    shades = ["#0060a8", "#4d93c7", "#9cc3e0", "#d3e4f1"]
    for i, case in enumerate(cases):
        base = 0.0
        for s, value in enumerate(case.game.expected(case.game.state_values(case.pi))):
            left.bar(i, value, 0.55, base, color=shades[s % len(shades)], edgecolor="white", lw=0.8)
            base += value
        if case.named is not None:
            agents = float(_initial_of_named(case) @ _solve(case, case.named_law[1]).mean(1))
            left.plot(i, agents, "D", color=pictures.CLAIMED, ms=6, zorder=4)
    left.set_xticks(range(len(cases)), [case.name.replace(" ", "\n") for case in cases], fontsize=9)
    left.set_ylabel("value per agent")
    marks = {COUNTS: "o", AGENTS: "s", ACTIONS: "^"}
    for (what, rows), shade in zip(tests.items(), ("#0060a8", "#23272e", "#8a8f98"), strict=True):
        values = np.sort([p for _, _, p in rows])
        right.plot((np.arange(len(values)) + 0.5) / len(values), values, marks[what], color=shade, ms=4.5, label=what)
    right.plot([0, 1], [0, 1], color=pictures.OTHER, lw=1, ls="--", zorder=1)
    right.set_xlabel("rank of the p-value, as a share")
    right.set_ylabel("p-value")
    right.legend(frameon=False, fontsize=9)
    return figure


def _initial_of_named(case: Case) -> Floats:
    """The chance of every joint state when agents start independently."""
    assert case.named is not None
    chance: Floats = np.prod(case.model.initial[np.array(case.named.states)], 1)
    return chance
