"""The best decentralised policy of a tiny game: exact gradients from many starts, and every deterministic policy.

What is returned is a policy and its exact value, so a lower end of the best of its class; the upper end is
``optimal_values`` of the exact game. The search is not a proof of optimality (the problem is a static team's, with many
local optima), and says how many starts reached its best.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_envs.arrays import Bools, Floats
from mfnet_envs.compositions import compositions, multinomial_pmf
from mfnet_envs.exact.game import ExactGame
from mfnet_envs.exact.tables import IndividualTable, TeamTable, as_played, legal_compositions

EXHAUSTIVE = 4096  # deterministic policies tried one by one, where there are no more
NEVER = -1e3  # the logit of what is illegal; exp of it is 0
SHARP = 8.0  # logit of the chosen entry of a nearly deterministic start


@dataclass(frozen=True)
class Found:
    """A policy, its J (11), and how many of the starts came within 1e-6 of it."""

    policy: Any
    value: float
    agreeing: int
    starts: int


def best_individual(game: ExactGame, rng: np.random.Generator, starts: int = 8) -> Found:
    """The best individual policy (3), pi(s, mu(s)), that a search from ``starts`` random tables finds."""
    model = game.model
    legal = np.broadcast_to(model.legal[:, None], (len(model.legal), model.population + 1, model.num_actions))

    def build(table: Floats) -> IndividualTable:
        return IndividualTable(model, table)

    return _search(game, build, legal, _free_rows(game, legal), rng, starts, [])


def best_team(game: ExactGame, rng: np.random.Generator, starts: int = 8) -> Found:
    """The best team-decentralised policy found, Pi_s(h | mu(s)) any law on compositions.

    The best individual policy is among the starts, so its class is never above this one.
    """
    model = game.model
    legal = legal_compositions(model)
    individual = best_individual(game, rng, starts).policy

    def build(laws: Floats) -> TeamTable:
        return TeamTable(model, laws)

    return _search(game, build, legal, _free_rows(game, legal), rng, starts, [as_team(individual)])


def as_team(policy: IndividualTable) -> Floats:
    """The multinomials (5) of an individual policy as the laws of a :class:`TeamTable`."""
    model = policy.model
    laws = np.zeros(legal_compositions(model).shape)
    for n in range(model.population + 1):
        rows = compositions(n, model.num_actions)
        pi = as_played(model, policy.individual(np.full((1, len(model.legal)), n)))[0, model.team_states]
        laws[:, n, : len(rows)] = multinomial_pmf(rows[None], pi[:, None])
    return laws


def _free_rows(game: ExactGame, legal: Bools) -> list[tuple[int, int]]:
    """Rows (s or place, n) of a table that have a choice and can be met."""
    return [(s, n) for s, n in np.ndindex(legal.shape[:2]) if n and legal[s, n].sum() > 1]


def _search(
    game: ExactGame,
    build: Callable[[Floats], Any],
    legal: Bools,
    rows: list[tuple[int, int]],
    rng: np.random.Generator,
    starts: int,
    known: list[Floats],
) -> Found:
    tables = [*known, *(_random(legal, rng) for _ in range(starts))]
    best_fixed = max(_deterministic(legal, rows), key=lambda t: game.objective(build(t)), default=None)
    if best_fixed is not None:
        tables.append(best_fixed)
    found = [_ascend(game, build, legal, table) for table in tables]
    values = [game.objective(build(table)) for table in found]
    best = int(np.argmax(values))
    agreeing = sum(value > values[best] - 1e-6 for value in values)
    return Found(build(found[best]), values[best], agreeing, len(tables))


def _ascend(game: ExactGame, build: Callable[[Floats], Any], legal: Bools, start: Floats) -> Floats:
    """Follow the exact gradient (17) over logits from a table; the better of where it ends and where it began."""
    from scipy.optimize import minimize

    def table(logits: Floats) -> Floats:
        return _softmax(np.where(legal, logits.reshape(legal.shape), NEVER))

    def loss(logits: Floats) -> tuple[float, Floats]:
        at = game.under(build(table(logits)))
        return -at.objective, -at.policy_gradient.reshape(-1)

    soft = np.where(legal, np.log(np.maximum(start, np.exp(-SHARP))), 0.0)
    result = minimize(loss, soft.reshape(-1), jac=True, method="L-BFGS-B", options={"maxiter": 400, "gtol": 1e-9})
    ended = table(result.x)
    return ended if game.objective(build(ended)) >= game.objective(build(start)) else start


def _random(legal: Bools, rng: np.random.Generator) -> Floats:
    return _softmax(np.where(legal, 2 * rng.standard_normal(legal.shape), NEVER))


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    table: Floats = weights / weights.sum(-1, keepdims=True)
    return table


def _deterministic(legal: Bools, rows: list[tuple[int, int]]) -> Iterator[Floats]:
    """Every deterministic table, if there are no more than ``EXHAUSTIVE``."""
    choices = [np.flatnonzero(legal[row]) for row in rows]
    total = 1
    for choice in choices:
        total *= len(choice)
        if total > EXHAUSTIVE:
            return
    first = np.zeros(legal.shape)
    np.put_along_axis(first, legal.argmax(2)[..., None], 1, 2)
    for picked in itertools.product(*choices):
        table = first.copy()
        for row, column in zip(rows, picked, strict=True):
            table[row] = 0
            table[(*row, column)] = 1
        yield table
