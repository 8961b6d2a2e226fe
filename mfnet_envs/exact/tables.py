"""Policies that are tables: every individual policy (3) of a small game, and every team-decentralised one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.compositions import compositions, how_many, rank
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, TeamPolicy

SURE = 1e-6  # how far a row of probabilities, perhaps in single precision, may be from summing to 1


class IndividualTable(Policy):
    """pi(s, n) for every state and every size of its team: the whole class (3).

    Args:
        table: ``(S, N + 1, A)``; entry (s, n) is played by each agent of s when n are there.

    Its parameters, where gradients are asked for, are logits: pi = softmax(logits) over the last axis.

    Raises:
        ValueError: another shape, or rows that are not probabilities.
    """

    def __init__(self, model: LocalModel, table: NDArray[np.floating]) -> None:
        super().__init__(model)
        s, a = model.legal.shape
        shape = (s, model.population + 1, a)
        if table.shape != shape:
            raise ValueError(f"a policy table must have shape (S, N + 1, A) = {shape}, not {table.shape}")
        self.table = normalised(np.asarray(table, np.float64))

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        rows: Floats = self.table[np.arange(len(self.table)), counts]
        return rows[:, self.model.team_states]

    def weighted_score(self, sizes: Ints, actions: Ints, c: NDArray[np.floating]) -> Floats:
        """sum_l c[l, s] grad log Pi_s(h_l(s)) with respect to the logits: ``(S, N + 1, A)``.

        Args:
            sizes: ``(L, T)``; actions: ``(L, T, A)`` counts of legal actions; c: ``(L, T)``.
        """
        teams = self.model.team_states
        pi = self.table[teams, sizes]  # (L, T, A)
        played = self._as_played
        chance = np.einsum("lta,tab,tcb->ltc", pi, played, played)
        taken = np.einsum("lta,tca->ltc", actions, played)
        # an action that is illegal here is played as another one, and shares in what that one earns
        share = np.divide(pi, chance, out=np.zeros_like(pi), where=chance > 0)
        gradient = np.zeros_like(self.table)
        score = c[..., None] * (taken * share - sizes[..., None] * pi)
        np.add.at(gradient, (np.broadcast_to(teams, sizes.shape), sizes), score)
        return gradient

    @property
    def _as_played(self) -> Floats:
        """``(T, A, A)``: one-hot, the legal action each action is played as."""
        teams = self.model.team_states
        own = np.arange(self.model.num_actions)
        played = np.where(self.model.legal[teams], own, self.model.first_legal[teams, None])
        one_hot: Floats = np.eye(self.model.num_actions)[played]
        return one_hot


class TeamTable(TeamPolicy):
    """Any law of h(s) for every team and size: the whole class of team-decentralised policies, (14) included.

    Args:
        laws: ``(T, N + 1, K)``; row (place in ``model.team_states``, n) holds the probabilities of the compositions of
            n in lexicographic order, filled up with zeros to the K compositions of N.

    Its parameters, where gradients are asked for, are logits over the compositions of each size.
    """

    def __init__(self, model: LocalModel, laws: NDArray[np.floating]) -> None:
        super().__init__(model)
        a, n = model.num_actions, model.population
        shape = (len(model.team_states), n + 1, how_many(n, a))
        if laws.shape != shape:
            raise ValueError(f"team laws must have shape (T, N + 1, K) = {shape}, not {laws.shape}")
        self.laws = normalised(np.asarray(laws, np.float64))
        if self.laws[~legal_compositions(model)].any():
            raise ValueError("team laws must give no probability to illegal actions")

    def team_law(self, place: int, n: int) -> Floats:
        """Probabilities of the compositions of ``n`` for the team at that place of ``model.team_states``."""
        row: Floats = self.laws[place, n, : how_many(n, self.model.num_actions)]
        return row

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        """The marginal E h(s)(a): what agents play who cannot see each other."""
        sizes = counts[:, self.model.team_states]
        return self._marginals[np.arange(sizes.shape[1]), sizes]

    @property
    def _marginals(self) -> Floats:
        teams, sizes, _ = self.laws.shape
        mean = np.zeros((teams, sizes, self.model.num_actions))
        mean[np.arange(teams), 0, self.model.first_legal[self.model.team_states]] = 1
        for n in range(1, sizes):
            h = compositions(n, self.model.num_actions) / n
            mean[:, n] = self.laws[:, n, : len(h)] @ h
        return mean

    def sample(self, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
        sizes = counts[:, self.model.team_states]
        sums = self.laws.cumsum(2)[np.arange(sizes.shape[1]), sizes]
        row = (rng.random(sizes.shape)[..., None] > sums).sum(2)
        rows: Sequence[Ints] = [compositions(n, self.model.num_actions) for n in range(self.model.population + 1)]
        drawn = np.zeros((*sizes.shape, self.model.num_actions), np.int64)
        for n in np.unique(sizes):
            here = sizes == n
            drawn[here] = rows[n][np.minimum(row[here], len(rows[n]) - 1)]
        return drawn

    def weighted_score(self, sizes: Ints, actions: Ints, c: NDArray[np.floating]) -> Floats:
        """sum_l c[l, s] grad log Pi_s(h_l(s)) with respect to the logits: ``(T, N + 1, K)``."""
        taken = np.zeros_like(self.laws)
        team = np.broadcast_to(np.arange(sizes.shape[1]), sizes.shape)
        np.add.at(taken, (team, sizes, rank(actions)), c)
        score: Floats = taken - self.laws * taken.sum(2, keepdims=True)
        return score


def as_played(model: LocalModel, pi: Floats) -> Floats:
    """``pi (L, S, A)`` over legal actions: an illegal action is played as the first legal one."""
    legal = np.where(model.legal, pi, 0.0)
    legal[:, np.arange(len(model.legal)), model.first_legal] += np.where(model.legal, 0.0, pi).sum(2)
    return legal


def legal_compositions(model: LocalModel) -> Bools:
    """``(T, N + 1, K)``: which entries of a :class:`TeamTable` are compositions of legal actions only."""
    n, a = model.population, model.num_actions
    legal = np.zeros((len(model.team_states), n + 1, how_many(n, a)), bool)
    for size in range(n + 1):
        rows = compositions(size, a)
        legal[:, size, : len(rows)] = ~(rows[None] * ~model.legal[model.team_states][:, None]).any(2)
    return legal


def as_policy(model: LocalModel, policy: Any) -> Policy:
    """A table ``(S, N + 1, A)`` as a policy; a policy as it is."""
    return IndividualTable(model, policy) if isinstance(policy, np.ndarray) else policy


def has_team_law(policy: Policy) -> bool:
    """Whether the policy's teams draw h(s) together instead of agent by agent.

    Raises:
        ValueError: they do, by a law that nobody can ask for.
    """
    if policy.acts_as_team and not hasattr(policy, "team_law"):
        raise ValueError(
            f"the teams of {type(policy).__name__} draw their actions together, so the exact game needs its "
            "team_law(place, n); or take mfnet_envs.policy.Individually(policy), whose agents draw for themselves"
        )
    return policy.acts_as_team


def normalised(rows: Floats) -> Floats:
    """Rows that sum to 1 up to rounding, made to sum to 1."""
    if not ((rows >= 0).all() and (np.abs(rows.sum(-1) - 1) < SURE).all()):
        raise ValueError("a policy's rows must be non-negative and sum to 1")
    exact: Floats = rows / rows.sum(-1, keepdims=True)
    return exact
