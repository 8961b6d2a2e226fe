"""The laws of one step by chi-square: what the simulator draws, against what is enumerated."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.simulator import Simulator
from mfnet_theory.case import CHANCE, Case, agents_of
from mfnet_theory.statement import Statement, judged

COUNTS, AGENTS, ACTIONS = "counts", "agents one by one", "actions"
CLAIMS = {
    COUNTS: (
        "(6)",
        "given (mu, h), simulated counts move by the enumerated law of the teams that feel only mu(N_s) and h(s)",
    ),
    AGENTS: ("(2) and (6)", "agents stepped one by one, each by (1) and (2), have counts of the same law"),
    ACTIONS: ("(5)", "agents that draw their actions from pi(s, mu(s)) make the team's h(s) multinomial"),
}
Row = tuple[str, str, float]


def step_laws(cases: list[Case], what: str) -> list[Row]:
    """p-values of chi-square tests: rows (instance, what, p)."""
    test = {COUNTS: _counts_test, AGENTS: _agents_test, ACTIONS: _actions_test}[what]
    return [(case.name, what, p) for case in cases for p in test(case)]


def _pairs_to_test(case: Case, purpose: int) -> Ints:
    """``(laws, S, A)``: pairs (mu, h) drawn as agents start and act, so that several teams are busy."""
    rng, model = case.rng(purpose), case.model
    counts = rng.multinomial(model.population, model.initial, size=case.laws)
    pi = case.game.policy_table(case.pi)[case.game.index(counts)]
    return rng.multinomial(counts, pi)


def _counts_test(case: Case) -> Iterable[float]:
    simulator, rng = Simulator(case.model), case.rng(1)
    for pair in _pairs_to_test(case, 1):
        many = np.tile(pair, (case.draws, 1, 1))
        following, _ = simulator.step(many.sum(2), many, rng)
        yield _p_value(case, pair, following)


def _agents_test(case: Case) -> Iterable[float]:
    simulator, rng = Simulator(case.model), case.rng(2)
    for pair in _pairs_to_test(case, 2):
        states, actions = (np.tile(row, (case.draws, 1)) for row in agents_of(pair))
        moved, _ = simulator.step_agents(states, actions, rng)
        s = case.model.network.num_states
        cells = (np.arange(case.draws)[:, None] * s + moved).reshape(-1)
        yield _p_value(case, pair, np.bincount(cells, minlength=case.draws * s).reshape(-1, s))


def _p_value(case: Case, pair: Ints, following: Ints) -> float:
    law = case.game.pair_transition(pair[None])[0]
    return chi_square(np.bincount(case.game.index(following), minlength=len(law)), law)


def _actions_test(case: Case) -> Iterable[float]:
    simulator, rng, game = Simulator(case.model), case.rng(3), case.game
    chance = game.pair_probabilities(case.pi)
    for pair in _pairs_to_test(case, 3):
        counts = pair.sum(1)
        place = np.flatnonzero(game.pair_counts == game.index(counts))
        drawn = simulator.act(np.tile(counts, (case.draws, 1)), case.pi[np.arange(len(counts)), counts], rng)
        _, which = np.unique(
            np.concatenate([game.pairs[place], drawn]).reshape(-1, pair.size), axis=0, return_inverse=True
        )
        law, seen = np.zeros(which.max() + 1), np.bincount(which.reshape(-1)[len(place) :], minlength=which.max() + 1)
        law[which.reshape(-1)[: len(place)]] = chance[place]
        yield chi_square(seen, law)


def chi_square(seen: Ints, law: Floats) -> float:
    """The p-value of counts ``(M,)`` under ``law``; cells with fewer than 5 expected are thrown together.

    0 where something was seen that cannot be.
    """
    from scipy.stats import chi2

    possible = law > 1e-12
    if seen[~possible].any():
        return 0.0
    expected = seen.sum() * law
    rare = possible & (expected < 5)
    often = possible & ~rare
    observed, expected = np.append(seen[often], seen[rare].sum()), np.append(expected[often], expected[rare].sum())
    if expected[-1] < 5 and len(expected) > 1:  # too few even together: they join the largest cell
        largest = int(expected[:-1].argmax())
        observed[largest] += observed[-1]
        expected[largest] += expected[-1]
        observed, expected = observed[:-1], expected[:-1]
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return float(chi2.sf(statistic, len(expected) - 1)) if len(expected) > 1 else 1.0


def step_statement(what: str, rows: list[Row]) -> Statement:
    values, limit = [p for _, _, p in rows], CHANCE / len(rows)
    computed = f"{len(rows)} chi-square tests, smallest p-value {min(values):.2g}"
    return judged(
        *CLAIMS[what], computed, f"p >= {limit:.1g} for each of {len(rows)} laws", all(p >= limit for p in values)
    )
