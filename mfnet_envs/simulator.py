"""The simulator: B worlds at once as integer counts, agents one by one, and the limit of infinitely many agents.

Three steppers of one law. Counts cost O(states), whatever the population; ``step_agents`` keeps identities;
``mean_field_step`` follows the shares when N = infinity. Everything is pure given ``rng``.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints

Draws = NDArray[np.intp]


class Transition(NamedTuple):
    """What one step of :meth:`Simulator.transition` tells.

    Attributes:
        next_counts: ``(B, S)`` ints.
        team_rewards: ``(B, S)``, equation (7) with its factor mu(s).
        actions: ``(B, R, A)`` what the agents of each active state did.
        served: ``(B, R)`` agents of each active state that took the quota branch (0 without a quota).
        unserved: ``(B, R, A)`` actions of the others.
    """

    next_counts: Ints
    team_rewards: Floats
    actions: Ints
    served: Ints
    unserved: Ints


class AgentTransition(NamedTuple):
    """What one step of :meth:`Simulator.transition_agents` tells, all ``(B, N)``; ``served``: took the quota branch."""

    next_states: Ints
    rewards: Floats
    served: NDArray[np.bool_]


class Simulator:
    """Simulates a :class:`~mfnet_envs.model.LocalModel`.

    One generator drives all B lanes of a batch in vectorised draws, so the path of a lane depends on the batch size.
    ``pi`` and ``action_counts`` have rows for all S states or only for the T states that have a choice
    (``model.team_states``); both mean the same, the short form is cheap on networks with many layers.

    A simulator steps one law. Where the model reads a clock, ``simulator.at(t)`` is the one to step with at time t.
    """

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        network, active = model.network, model.active
        self._hood: Ints = np.where(network.neighbors < 0, network.num_nodes, network.neighbors)
        self._row_of: Ints = np.full(network.num_states, -1)
        self._row_of[active] = np.arange(len(active))
        self._team_rows: Ints = self._row_of[model.team_states]
        self._every: Ints = np.arange(network.num_states)
        self._illegal = (~model.legal).astype(np.int64)
        self._all_legal = bool(model.legal.all())
        self._tables = [_StaticBranch.of(b.successors[active], b.probabilities[active]) for b in model.branches]
        self._membership: Floats = np.eye(model.num_groups)[model.groups]
        consecutive = (np.diff(model.groups) >= 0).all()
        self._group_starts = np.unique(model.groups, return_index=True)[1] if consecutive else None
        self._rate = None if model.quota is None else model.quota.rate[active]
        self._transit_target: Ints = np.where(model.transit, _arrivals(model), -1)
        self._in_transit: Ints = np.flatnonzero(model.transit)
        self._in_force: list[Simulator] = []  # of the clocked model's other laws met so far

    def at(self, t: int) -> Simulator:
        """The simulator of ``model.at(t)``, built when first asked for; itself unless the model reads a clock."""
        model = self.model.at(t)
        if model is self.model:
            return self
        for simulator in self._in_force:
            if simulator.model is model:
                return simulator
        self._in_force.append(Simulator(model))
        return self._in_force[-1]

    # -- counts ---------------------------------------------------------------------------------------------------

    def reset(self, rng: np.random.Generator, batch: int = 1) -> Ints:
        """Agents i.i.d. from ``model.initial``: ``(B, S)`` ints, each row summing to the population."""
        counts: Ints = rng.multinomial(self.model.population, self.model.initial, size=batch)
        return counts

    def mu_hood(self, counts: NDArray[np.generic]) -> Floats:
        """The shares ``(B, V, D, G)`` that the model's functions receive; zero where a neighbourhood is padded."""
        hood: Floats = self._gather(counts) / self.model.population
        return hood

    def crowd(self, counts: NDArray[np.generic]) -> Floats:
        """Agents of each group at each node, ``(B, V, G)``, from counts (or shares) ``(B, S)``."""
        network = self.model.network
        layered = np.asarray(counts).reshape(len(counts), network.num_nodes, network.layers)
        if self._group_starts is None:
            return np.asarray(layered, np.float64) @ self._membership
        # groups of consecutive layers, the usual case, are summed without a copy in floating point
        crowd: Floats = np.add.reduceat(layered, self._group_starts, axis=2).astype(np.float64)
        return crowd

    def _gather(self, mu: NDArray[np.generic]) -> Floats:
        crowd = self.crowd(mu)
        padded = np.zeros((len(mu), crowd.shape[1] + 1, crowd.shape[2]))
        padded[:, :-1] = crowd
        hood: Floats = padded.take(self._hood, axis=1)
        return hood

    def act(self, counts: Ints, pi: NDArray[np.floating], rng: np.random.Generator) -> Ints:
        """Every agent draws its action from its state's row of ``pi``: the multinomial (5).

        Args:
            counts: ``(B, S)`` ints.
            pi: ``(..., S, A)`` or ``(..., T, A)`` probabilities, broadcast over worlds.

        Returns:
            ``action_counts`` with the rows of ``pi``; illegal actions are counted as the first legal one.

        Raises:
            ValueError: wrong shape, NaN or negative probabilities.
        """
        rows = self._rows(pi.shape, "pi")
        return self._fold(multinomial(rng, self._of(counts, rows), _shares(pi)), rows)

    def step(self, counts: Ints, action_counts: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """One joint transition: ``(next_counts (B, S), team_rewards (B, S))``; see :meth:`transition`."""
        result = self.transition(counts, action_counts, rng)
        return result.next_counts, result.team_rewards

    def play(self, counts: Ints, pi: NDArray[np.floating], rng: np.random.Generator) -> Transition:
        """:meth:`act` and :meth:`transition` in one, for agents that draw independently: the same law, drawn cheaper.

        Who is served does not depend on the actions, so served and unserved agents draw theirs apart, and no agents
        need be drawn without replacement.
        """
        if self._rate is None:
            return self.transition(counts, self.act(counts, pi, rng), rng)
        active = self.model.active
        rows, shares = self._rows(pi.shape, "pi"), _shares(pi)
        if len(rows) == counts.shape[1]:
            shares = shares if len(rows) == len(active) else shares[..., active, :]
        elif len(rows) < len(active):
            full = np.zeros((*shares.shape[:-2], len(active), shares.shape[-1]))
            full[..., np.arange(len(active)), self.model.first_legal[active]] = 1
            full[..., self._team_rows, :] = shares
            shares = full
        present = self._of(counts, active)
        places = np.minimum(rng.poisson(self._rate, present.shape), present)
        served = self._fold(multinomial(rng, places, shares), active)
        unserved = self._fold(multinomial(rng, present - places, shares), active)
        return self._move(counts, served + unserved, served, unserved, rng)

    def transition(self, counts: Ints, action_counts: Ints, rng: np.random.Generator) -> Transition:
        """One joint transition with the flows that made it.

        Args:
            counts: ``(B, S)`` ints.
            action_counts: ``(B, S, A)`` or ``(B, T, A)`` ints, summing to the counts of their states.

        Raises:
            ValueError: actions that do not sum to the counts, or a model that answers with NaN.
        """
        actions = self._active_actions(counts, action_counts)
        return self._move(counts, actions, *self._ration(counts, actions, rng), rng)

    def _move(self, counts: Ints, actions: Ints, served: Ints, unserved: Ints, rng: np.random.Generator) -> Transition:
        """Pay everybody by ``actions (B, R, A)``, send the served and the others on their way."""
        model = self.model
        hood = self.mu_hood(counts)
        rewards = np.zeros(counts.shape)
        rewards[:, model.active] = np.einsum("bra,bra->br", self._rewards(hood), actions) / model.population
        _check_finite(rewards)
        following = np.zeros(counts.size, np.int64)
        base = np.arange(len(counts)) * counts.shape[1]
        if self.model.quota is not None:
            self._tables[self.model.quota.branch].scatter(following, base, served, rng)
        for table, flow in self._split(hood, unserved, rng):
            table.scatter(following, base, flow, rng)
        if self._in_transit.size:
            moving = np.flatnonzero((counts > 0) & model.transit)  # few: most states in transit are empty
            state = moving % counts.shape[1]
            np.add.at(following, moving - state + self._transit_target[state], counts.reshape(-1)[moving])
        return Transition(following.reshape(counts.shape), rewards, actions, _total(served), unserved)

    def _active_actions(self, counts: Ints, action_counts: Ints) -> Ints:
        """``(B, R, A)``: the active states' actions; states without a choice take their only one."""
        rows = self._rows(action_counts.shape, "action_counts")
        if not (_total(action_counts) == self._of(counts, rows)).all():
            raise ValueError("action_counts must sum over actions to the counts of their states, in every world")
        active = self.model.active
        chosen = self._fold(action_counts, rows)
        if len(rows) == len(active):
            return chosen
        if rows is self._every:
            return chosen[:, active]
        actions = np.zeros((len(counts), len(active), self.model.num_actions), np.int64)
        actions[:, np.arange(len(active)), self.model.first_legal[active]] = counts[:, active]
        actions[:, self._team_rows] = chosen
        return actions

    def _rows(self, shape: tuple[int, ...], name: str) -> Ints:
        model, teams = self.model, self.model.team_states
        s = model.network.num_states
        if len(shape) >= 2 and shape[-1] == model.num_actions and shape[-2] in (s, len(teams)):
            return self._every if shape[-2] == s else teams
        raise ValueError(f"{name} must have shape (..., {s} or {len(teams)}, {model.num_actions}), not {shape}")

    def _of(self, counts: Ints, rows: Ints) -> Ints:
        return counts if rows is self._every else counts[:, rows]

    def _fold(self, actions: Ints, rows: Ints) -> Ints:
        """Count illegal actions as the first legal one."""
        if self._all_legal:
            return actions
        illegal = self._illegal if rows is self._every else self._illegal[rows]
        strays = np.einsum("bra,ra->br", actions, illegal)
        if not strays.any():
            return actions
        folded = actions - actions * illegal
        folded[:, np.arange(len(rows)), self.model.first_legal[rows]] += strays
        return folded

    def _rewards(self, hood: Floats) -> Floats:
        return np.asarray(self.model.reward(hood), np.float64)

    def _weights(self, hood: Floats) -> Floats:
        """``(B, R, A or 1, K)``: the branches' weights, with rows that sum to 1 to the last digit."""
        weights = np.asarray(self.model.branch_weights(hood), np.float64)
        total = weights.sum(-1, keepdims=True)
        if not (total.min() > 1 - ROUNDING and total.max() < 1 + ROUNDING):  # also False for NaN
            raise ValueError("the model's branch_weights are NaN or do not sum to 1; check_model(model) says where")
        shares: Floats = weights / total
        return shares

    def _open_weights(self, hood: Floats) -> Floats:
        """The weights without the quota's branch, as shares of what remains; equal ones where nothing remains."""
        assert self.model.quota is not None
        weights = self._weights(hood)
        weights[..., self.model.quota.branch] = 0
        total = weights.sum(-1, keepdims=True)
        equal = (np.arange(weights.shape[-1]) != self.model.quota.branch) / (weights.shape[-1] - 1)
        return np.where(total > 0, weights / np.where(total > 0, total, 1), equal)

    def _ration(self, counts: Ints, actions: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Physical matching: ``served (B, R, A)`` agents drawn without replacement, and the rest."""
        if self._rate is None:
            return np.zeros((*actions.shape[:2], 1), np.int64), actions
        present = counts[:, self.model.active]
        places = np.minimum(rng.poisson(self._rate, present.shape), present)
        served = without_replacement(rng, actions, places)
        return served, actions - served

    def _split(self, hood: Floats, flow: Ints, rng: np.random.Generator) -> list[tuple[_StaticBranch, Ints]]:
        """Who takes which branch: pairs (branch, ``(B, R, A)`` agents)."""
        quota = self.model.quota
        open_branches = [k for k in range(len(self._tables)) if quota is None or k != quota.branch]
        if len(open_branches) == 1:
            return [(self._tables[open_branches[0]], flow)]
        weights = self._weights(hood) if quota is None else self._open_weights(hood)[..., open_branches]
        drawn = multinomial(rng, flow, weights)
        return [(self._tables[k], drawn[..., i]) for i, k in enumerate(open_branches)]

    # -- agents ---------------------------------------------------------------------------------------------------

    def step_agents(self, states: Ints, actions: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """The same law with identities kept.

        Args:
            states: ``(B, N)`` ints in 0..S-1.
            actions: ``(B, N)`` ints in 0..A-1; an illegal one is played as the first legal one.

        Returns:
            ``(next_states (B, N), rewards (B, N))``, the rewards of (1).
        """
        result = self.transition_agents(states, actions, rng)
        return result.next_states, result.rewards

    def transition_agents(self, states: Ints, actions: Ints, rng: np.random.Generator) -> AgentTransition:
        """:meth:`step_agents`, and who was served."""
        model = self.model
        batch, n = states.shape
        s = model.network.num_states
        actions = np.where(model.legal[states, actions], actions, model.first_legal[states])
        world = np.repeat(np.arange(batch), n)
        state, action = states.reshape(-1), actions.reshape(-1)
        counts = np.bincount(world * s + state, minlength=batch * s).reshape(batch, s)
        hood = self.mu_hood(counts)
        row = self._row_of[state]
        following = np.where(row < 0, self._transit_target[state], 0)
        rewards = np.zeros(batch * n)
        moving = np.flatnonzero(row >= 0)
        world, row, action = world[moving], row[moving], action[moving]
        rewards[moving] = self._rewards(hood)[world, row, action]
        _check_finite(rewards)
        branch = self._branch_of(hood, counts, world, row, action, rng)
        for k, table in enumerate(self._tables):
            here = branch == k
            following[moving[here]] = table.draw(row[here], action[here], rng)
        served = np.zeros(batch * n, bool)
        if model.quota is not None:
            served[moving] = branch == model.quota.branch
        shape = (batch, n)
        return AgentTransition(following.reshape(shape), rewards.reshape(shape), served.reshape(shape))

    def _branch_of(
        self, hood: Floats, counts: Ints, world: Draws, row: Draws, action: Draws, rng: np.random.Generator
    ) -> Ints:
        """The branch each agent takes."""
        quota, branches = self.model.quota, len(self._tables)
        open_branches = [k for k in range(branches) if quota is None or k != quota.branch]
        chosen = np.full(len(world), open_branches[0])
        if len(open_branches) > 1:
            weights = self._weights(hood) if quota is None else self._open_weights(hood)
            rows, columns = weights.shape[1:3]
            cell = (world * rows + row) * columns + (action if columns > 1 else 0)
            chosen = _pick(_cumulative(weights), cell, rng) - cell * branches
        if quota is not None:
            chosen[self._served(counts, world, row, rng)] = quota.branch
        return chosen

    def _served(self, counts: Ints, world: Draws, row: Draws, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Who takes the quota's branch: ``(K,)``, exactly min(n, D) agents of each state."""
        present = counts[:, self.model.active]
        places = rng.poisson(self._rate, present.shape)  # type: ignore[arg-type]
        cell = world * present.shape[1] + row
        served = np.zeros(len(cell), bool)
        served[_lottery(cell, places.reshape(-1), rng)] = True
        return served

    # -- infinitely many agents -----------------------------------------------------------------------------------

    def mean_field_step(self, mu: Floats, pi: Floats) -> tuple[Floats, Floats]:
        """The limit N = infinity: shares move by their expectations under ``model.fluid()``.

        Args:
            mu: ``(B, S)`` shares; pi: ``(..., S, A)`` or ``(..., T, A)``.

        Returns:
            ``(next mu (B, S), team rewards (B, S))``.
        """
        return self._limit._expected_step(mu, pi)

    @cached_property
    def _limit(self) -> Simulator:
        fluid = self.model.fluid()
        return self if fluid is self.model else Simulator(fluid)

    def _expected_step(self, mu: Floats, pi: Floats) -> tuple[Floats, Floats]:
        model = self.model
        rows = self._rows(pi.shape, "pi")
        share = np.zeros((len(mu), mu.shape[1], model.num_actions))
        share[:, np.arange(mu.shape[1]), model.first_legal] = mu
        share[:, rows] = mu[:, rows, None] * pi
        share[:, np.arange(mu.shape[1]), model.first_legal] += (share * ~model.legal).sum(2)
        share = (share * model.legal)[:, model.active]
        hood = self._gather(mu)
        rewards = np.zeros(mu.shape)
        rewards[:, model.active] = np.einsum("bra,bra->br", self._rewards(hood), share)
        _check_finite(rewards)
        following = np.zeros(mu.size)
        base = np.arange(len(mu)) * mu.shape[1]
        weights = self._weights(hood) if len(self._tables) > 1 else np.ones(1)
        for k, table in enumerate(self._tables):
            table.spread(following, base, share * weights[..., k])
        moving = self._in_transit
        np.add.at(following, base[:, None] + self._transit_target[moving], mu[:, moving])
        return following.reshape(mu.shape), rewards


class _StaticBranch(NamedTuple):
    """A branch restricted to the active states: tables ``(R, A or 1, J)`` and their running sums."""

    successors: Ints
    probabilities: Floats
    cdf: Floats
    guide: Ints

    @classmethod
    def of(cls, successors: Ints, probabilities: Floats) -> _StaticBranch:
        likely = np.take_along_axis(successors, probabilities.argmax(2)[..., None], 2)
        # a place of probability 0 must not receive the rounding remainder of a multinomial draw
        successors = np.where(probabilities > 0, successors, likely)
        probabilities = probabilities / probabilities.sum(2, keepdims=True)
        cdf = _cumulative(probabilities)
        guide = np.searchsorted(cdf, np.arange(len(cdf)) / probabilities.shape[2], side="right")
        return cls(successors, probabilities, cdf, guide)

    def scatter(self, following: Ints, base: Ints, flow: Ints, rng: np.random.Generator) -> None:
        """Send ``flow (B, R, A or 1)`` agents to their successors, added to ``following (B * S,)``."""
        rows, columns, j = self.successors.shape
        flow = _total(flow)[..., None] if columns < flow.shape[2] else flow
        if j == 1:
            np.add.at(following, (base[:, None, None] + self.successors[..., 0]).reshape(-1), flow.reshape(-1))
        elif flow.sum() * AGENT_COST < flow.size * (j - 1) * BINOMIAL_COST:
            cells = rows * columns
            cell = np.repeat(np.arange(flow.size), flow.reshape(-1))
            world, place = np.divmod(cell, cells)
            np.add.at(following, base[world] + self._target(place, rng), 1)
        else:
            drawn = rng.multinomial(flow, self.probabilities)
            target = base[:, None, None, None] + self.successors
            np.add.at(following, target.reshape(-1), drawn.reshape(-1))

    def spread(self, following: Floats, base: Ints, flow: Floats) -> None:
        """The expectation of :meth:`scatter`, for real flows."""
        flow = flow.sum(2, keepdims=True) if self.successors.shape[1] < flow.shape[2] else flow
        target = base[:, None, None, None] + self.successors
        np.add.at(following, target.reshape(-1), (flow[..., None] * self.probabilities).reshape(-1))

    def draw(self, row: Draws, action: Draws, rng: np.random.Generator) -> Ints:
        """One successor per agent: ``(K,)``."""
        columns = self.successors.shape[1]
        return self._target(row * columns + (action if columns > 1 else 0), rng)

    def _target(self, cell: Draws, rng: np.random.Generator) -> Ints:
        j = self.successors.shape[2]
        successors: Ints = self.successors.reshape(-1)
        if j == 1:
            only: Ints = successors[cell]
            return only
        # the guide is the search for c + i / j; from there the number's own place is a few steps away
        u, last = _inside(cell, rng), cell * j + j - 1
        place = np.minimum(self.guide[(u * j).astype(np.int64)], last)
        short = np.flatnonzero(self.cdf[place] <= u)
        while short.size:
            place[short] += 1
            short = short[self.cdf[place[short]] <= u[short]]
        chosen: Ints = successors[place]
        return chosen


def _total(actions: Ints) -> Ints:
    """Sum over the last, short axis; several times faster than ``sum``."""
    total: Ints = np.einsum("...a->...", actions)
    return total


def _arrivals(model: LocalModel) -> Ints:
    """``(S,)``: where the last branch most likely sends each state's first legal action; in transit, the only place."""
    last, states = model.branches[-1], np.arange(model.network.num_states)
    column = model.first_legal if last.successors.shape[1] > 1 else 0
    arrivals: Ints = last.successors[states, column, last.probabilities[states, column].argmax(1)]
    return arrivals


def _check_finite(rewards: Floats) -> None:
    if not math.isfinite(rewards.sum()):
        raise ValueError("the model's reward is NaN or infinite; check_model(model) finds out where")


ROUNDING = 1e-6  # how far a model's weights, perhaps in single precision, may be from summing to 1


def _shares(pi: NDArray[np.floating]) -> Floats:
    """``pi`` with rows that sum to 1; ValueError for NaN, negative entries or empty rows."""
    total = pi.sum(-1, keepdims=True, dtype=np.float64)
    if not (pi.min(initial=0.0) >= 0 and math.isfinite(total.max(initial=0.0))):
        raise ValueError("pi must be non-negative numbers without NaN")
    if not total.min(initial=1.0) > 0:
        raise ValueError("each row of pi needs a positive sum")
    shares: Floats = pi / total
    return shares


# Nanoseconds on an ordinary core; only their ratio matters, and only for speed: both draws have the same law.
BINOMIAL_COST = 45.0
HYPERGEOMETRIC_COST = 130.0
AGENT_COST = 40.0
CHOICE_COST = 30.0
LOTTERY_COST = 60.0


def without_replacement(rng: np.random.Generator, colours: Ints, drawn: Ints) -> Ints:
    """Draw ``drawn (B, R)`` of ``colours (B, R, A)`` agents: multivariate hypergeometric, whichever way is cheaper."""
    kinds, present = colours.shape[2], _total(colours)
    if present.sum() * LOTTERY_COST < drawn.size * (kinds - 1) * HYPERGEOMETRIC_COST:
        all_or_none = np.where(drawn == present, 1, 0)[..., None] * colours
        contested = colours - colours * ((drawn == present) | (drawn == 0))[..., None]
        colour = np.repeat(np.arange(colours.size), contested.reshape(-1))
        winners = _lottery(colour // kinds, drawn.reshape(-1), rng)
        return all_or_none + np.bincount(colour[winners], minlength=colours.size).reshape(colours.shape)
    taken, others = np.empty_like(colours), present
    for a in range(kinds - 1):
        others = others - colours[:, :, a]
        taken[:, :, a] = rng.hypergeometric(colours[:, :, a], others, drawn)
        drawn = drawn - taken[:, :, a]
    taken[:, :, -1] = drawn
    return taken


def _lottery(cell: Draws, places: Ints, rng: np.random.Generator) -> Draws:
    """The agents, as places in ``cell``, who win one of their cell's ``places``: those whose random key ranks lowest.

    Args:
        cell: ``(K,)`` cell of each agent.
        places: ``(cells,)`` places of each cell.
    """
    order = np.argsort(cell + rng.random(len(cell)), kind="stable")  # the quickest for keys that are nearly in order
    here = cell[order]
    present = np.bincount(cell, minlength=len(places))
    rank = np.arange(len(cell)) - (np.cumsum(present) - present)[here]
    return order[rank < places[here]]


def multinomial(rng: np.random.Generator, n: Ints, p: Floats) -> Ints:
    """Multinomial counts ``(*n.shape, J)`` for ``n`` and ``p (..., J)``, which is broadcast, the cheaper way of two.

    Few agents per cell are drawn one by one, many by conditional binomials; the law is the same.
    """
    j = p.shape[-1]
    draws = np.count_nonzero(p) * (n.size * j / p.size) - n.size  # a binomial of probability 0 costs next to nothing
    if n.sum() * (CHOICE_COST + 2 * j) >= draws * BINOMIAL_COST:
        drawn: Ints = rng.multinomial(n, p)
        return drawn
    each, sums = n.reshape(-1), [np.zeros(1)]
    for weight in np.broadcast_to(p, (*n.shape, j)).reshape(-1, j).T:
        sums.append(sums[-1] + weight)
    total = np.repeat(sums[-1], each)
    u = np.minimum(rng.random(len(total)) * total, np.nextafter(total, 0.0))
    chosen = np.repeat(np.arange(n.size) * j, each)
    for edge in sums[1:-1]:
        chosen += u >= np.repeat(edge, each)
    return np.bincount(chosen, minlength=n.size * j).reshape(*n.shape, j)


def _cumulative(p: Floats) -> Floats:
    """Running sums of all rows of ``p (..., J)`` as one ascending list: those of row c lie in (c, c + 1]."""
    cdf = p.cumsum(-1).reshape(-1, p.shape[-1])
    ascending: Floats = cdf / cdf[:, -1:] + np.arange(len(cdf))[:, None]
    return ascending.reshape(-1)


def _pick(cdf: Floats, row: Draws, rng: np.random.Generator) -> Draws:
    """One place of row ``row[i]`` for each agent i, as a place in the list of :func:`_cumulative`."""
    place: Draws = np.searchsorted(cdf, _inside(row, rng), side="right")
    return place


def _inside(row: Draws, rng: np.random.Generator) -> Floats:
    """A uniform number in [row, row + 1) for each agent."""
    # rounding must not lift a number out of its row, or a place of probability 0 could be picked
    u: Floats = np.minimum(row + rng.random(len(row)), np.nextafter(row + 1.0, 0.0))
    return u
