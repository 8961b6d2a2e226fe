"""A policy of its own team's size and of the clock as tables, and how far they are from it where they are thinned."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy

FULL = 2**20  # numbers of a table, 8 MB; a larger one is thinned
MOST = 2**24  # of one that has FEWEST sizes left
FEWEST, FIRST = 8, 16  # sizes that a thinned table has at least, and begins with
CLOSE = 1e-4  # shares that are so near to the straight line between two sizes need no size of their own
EVERY = 2**14  # sizes up to which the error of thinning is measured at each
PROBED = 64  # steps at which a policy without a clock is asked whether it reads the time
SAME = 1e-12  # two answers of a policy that differ by less are one


class Tables(NamedTuple):
    """What teams do.

    Attributes:
        sizes: ``(K,)`` team sizes, ascending from 0; shares: ``(turns, K, P)`` at each, each team's adding up to 1.
        owner, action: ``(P,)`` pairs of a team and one of its legal actions.
        cyclic: whether the turns come again and again; else the last one stays in force.
        error: the largest difference that thinning made; notes: what was thinned or cut, and by how much.
    """

    sizes: Ints
    shares: Floats
    owner: Ints
    action: Ints
    cyclic: bool
    error: float
    notes: tuple[str, ...]


def tabulated(policy: Policy) -> Tables:
    """The tables of a policy.

    Raises:
        ValueError: it looks at other crowds, its teams draw together, or even the thinnest table is too large.
    """
    if policy.acts_as_team:
        raise ValueError(
            f"the teams of {type(policy).__name__} draw together, which no table of shares can say; save "
            "mfnet_envs.policy.Individually(policy), in which every agent draws for itself"
        )
    population, choices = policy.model.population, _Asked(policy)
    turns, cyclic, notes = _turns(choices)
    numbers = turns * len(choices.owner)
    if numbers * min(FEWEST, population + 1) > MOST:
        raise ValueError(
            f"a table of {len(choices.owner):,} choices at {turns:,} steps is too large for a file, even with "
            f"{FEWEST} team sizes; keep the run folder instead"
        )
    sizes, shares, error, measured = _tabulated(choices, turns, max(FEWEST, FULL // max(1, numbers)))
    _check_own(choices, sizes, shares)
    if error > SAME:
        notes += (
            f"the table has {len(sizes):,} of the {population + 1:,} sizes of a team and straight lines between them, "
            f"which changes a share by at most {error:.2g} ({measured})",
        )
    if (shares == shares[:, :1]).all():
        sizes, shares = sizes[:1], shares[:, :1]
    return Tables(sizes, shares, choices.owner, choices.action, cyclic, error, notes)


def between(sizes: Ints, table: Floats, n: Ints, owner: Ints) -> Floats:
    """``table (K, P)`` at ``n (B, T)``, ``(B, P)``; the last row beyond the last size."""
    pair = np.arange(len(owner))
    if len(sizes) == 1:
        return np.broadcast_to(table[0], (len(n), len(owner)))
    inside = np.minimum(n, sizes[-1])
    low = np.minimum(np.searchsorted(sizes, inside, side="right") - 1, len(sizes) - 2)
    weight = ((inside - sizes[low]) / (sizes[low + 1] - sizes[low]))[:, owner]
    low = low[:, owner]
    found: Floats = table[low, pair] * (1 - weight) + table[low + 1, pair] * weight
    return found


class _Asked:
    """A policy's answers by the size of teams, ``(K, P)``: legal actions only, each team's adding up to 1."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.model = policy, policy.model
        self.legal = self.model.legal[self.model.team_states]
        self.owner, self.action = (found.astype(np.int64) for found in np.nonzero(self.legal))
        self.rows = max(1, 2**22 // (len(self.model.legal) + self.legal.size))

    def by_size(self, sizes: Ints, t: int) -> Floats:
        """Where every team has the same size."""
        counts = np.zeros((len(sizes), len(self.model.legal)), np.int64)
        counts[:, self.model.team_states] = sizes[:, None]
        return self.of(counts, t)

    def of(self, counts: Ints, t: int) -> Floats:
        parts = [self._of(counts[k : k + self.rows], t) for k in range(0, len(counts), self.rows)]
        return np.concatenate(parts)

    def _of(self, counts: Ints, t: int) -> Floats:
        given = np.asarray(self.policy.teams(counts, t), np.float64)
        pi = np.where(self.legal, given, 0.0)
        first = self.model.first_legal[self.model.team_states]
        pi[:, np.arange(len(first)), first] += np.where(self.legal, 0.0, given).sum(2)
        total = pi.sum(2, keepdims=True)
        if not ((given >= 0).all() and (total > 0).all() and (total < np.inf).all()):
            raise ValueError(f"{type(self.policy).__name__} answers with no odds of actions: negative, empty or NaN")
        found: Floats = (pi if (np.abs(total - 1) < 1e-14).all() else pi / total)[:, self.owner, self.action]
        return found


def _turns(choices: _Asked) -> tuple[int, bool, tuple[str, ...]]:
    """How many tables the time needs, whether they come again, and what is cut."""
    model = choices.model
    few = np.unique(np.minimum([0, 1, 2, 5, 20, model.population], model.population))
    steps, period = model.evaluation[0], model.period

    def seen(t: int) -> Floats:
        return choices.by_size(few, t)

    start = seen(0)
    apart = [*range(min(steps, PROBED)), *np.linspace(0, steps - 1, PROBED).astype(int).tolist()]
    turn = range(period or 1)
    if all(_same(seen(t), start) for t in {*apart, *turn}):
        return 1, True, ()
    if period is not None and all(_same(seen(t), seen(t + period)) for t in {*apart, *turn}):
        return period, True, ()
    last = max((t for t in range(1, steps) if not _same(seen(t), seen(t - 1))), default=0)
    note = (
        f"the policy is kept for the {steps:,} steps of an evaluation; what it does in the last of them stays in force"
    )
    return last + 1, False, (note,) if last == steps - 1 else ()


def _same(one: Floats, other: Floats) -> bool:
    return bool((np.abs(one - other) <= SAME).all())


def _tabulated(choices: _Asked, turns: int, room: int) -> tuple[Ints, Floats, float, str]:
    """Sizes ``(K,)``, shares ``(turns, K, P)``, the largest error in between, and how it was measured."""

    def at(sizes: Ints) -> Floats:
        return np.stack([choices.by_size(sizes, t) for t in range(turns)])

    largest = choices.model.population
    if largest < room:
        sizes: Ints = np.arange(largest + 1)
        return sizes, at(sizes), 0.0, ""
    sizes = np.unique(np.append(0, np.geomspace(1, largest, min(room, FIRST) - 1).round())).astype(np.int64)
    shares = at(sizes)
    while len(sizes) < room:
        middle = (sizes[:-1] + sizes[1:])[np.diff(sizes) > 1] // 2
        found = at(middle)
        off = _off(choices, sizes, shares, middle, found).max(1)
        worst = np.argsort(-off, kind="stable")[: min(room - len(sizes), max(1, len(sizes) // 2))]
        worst = worst[off[worst] > CLOSE]
        if not len(worst):
            break
        order = np.argsort(np.append(sizes, middle[worst]))
        sizes = np.append(sizes, middle[worst])[order]
        shares = np.concatenate([shares, found[:, worst]], 1)[:, order]
    between, measured = _checked_sizes(sizes, largest)
    error = 0.0
    for k in range(0, len(between), 256):
        part = between[k : k + 256]
        error = max(error, float(_off(choices, sizes, shares, part, at(part)).max(initial=0.0)))
    return sizes, shares, error, measured


def _off(choices: _Asked, sizes: Ints, shares: Floats, n: Ints, truth: Floats) -> Floats:
    """``(len(n), P)``: how far straight lines are from ``truth (turns, len(n), P)``, at the worst turn."""
    every = np.broadcast_to(n[:, None], (len(n), len(choices.legal)))
    off = [np.abs(between(sizes, table, every, choices.owner) - t) for table, t in zip(shares, truth, strict=True)]
    worst: Floats = np.max(off, 0)
    return worst


def _checked_sizes(sizes: Ints, largest: int) -> tuple[Ints, str]:
    """Sizes at which the error is measured, and the words for it."""
    if largest < EVERY:
        return np.setdiff1d(np.arange(largest + 1), sizes), "measured at every size"
    steps = np.diff(sizes)[:, None] * np.arange(1, 8) // 8
    inside = np.setdiff1d(sizes[:-1, None] + steps, sizes)
    return inside, f"measured at {len(inside):,} sizes between"


def _check_own(choices: _Asked, sizes: Ints, shares: Floats) -> None:
    """Among crowds that have nothing to do with each other a team must answer as it does where all are alike."""
    model, rng = choices.model, np.random.default_rng(0)
    usual = max(2, 2 * model.population // len(model.legal))
    pair = np.arange(len(choices.owner))
    for turn in np.unique(np.linspace(0, len(shares) - 1, 3).astype(int)):
        place = rng.integers(len(sizes), size=(FEWEST, len(choices.legal)))
        counts = rng.integers(usual, size=(FEWEST, len(model.legal)))
        counts[:, model.team_states] = sizes[place]
        if not _same(choices.of(counts, int(turn)), shares[turn][place[:, choices.owner], pair]):
            raise ValueError(
                f"{type(choices.policy).__name__} looks at more than the size of its own team and the clock, so no "
                "table of those can say what it does; train one with observe='own', or keep the run folder"
            )


def names(model: LocalModel) -> tuple[list[str], list[str]]:
    """The T places where agents choose, and where the P legal actions lead: a node, or "action 2" where that does not
    tell them apart. A node is called by its ``name``, else by its label; a layer, where several of a node have a
    choice, by the graph's ``layers``, else by number."""
    network, states = model.network, model.team_states
    called = [str(network.graph.nodes[label].get("name", label)) for label in network.nodes]
    node = network.node_of[states]
    places = [called[v] for v in node]
    if len(np.unique(node)) < len(node):
        layers = network.graph.graph.get("layers", range(network.layers))
        places = [f"{name}, {layers[k]}" for name, k in zip(places, states % network.layers, strict=True)]
    owner, action = np.nonzero(model.legal[states])
    leads = destinations(model)
    if leads is None:
        return places, [f"action {a}" for a in action]
    pairs = list(zip(owner.tolist(), leads[owner, action].tolist(), strict=True))
    alike = Counter(pairs)
    return places, [
        called[pair[1]] if alike[pair] == 1 else f"{called[pair[1]]}, action {a}"
        for pair, a in zip(pairs, action, strict=True)
    ]


def destinations(model: LocalModel) -> Ints | None:
    """``(T, A)`` nodes that actions most likely lead to; None where all of a team's lead to the same."""
    states = model.team_states
    for branch in reversed(model.branches):
        if branch.successors.shape[1] == 1:
            continue
        likely = branch.probabilities[states].argmax(2)[..., None]
        reached = np.take_along_axis(branch.successors[states], likely, 2)[..., 0]
        node: Ints = model.network.node_of[reached]
        if (node != node[:, :1]).any():
            return node
    return None
