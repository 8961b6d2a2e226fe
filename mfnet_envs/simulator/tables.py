"""What does not change while a model is stepped: who neighbours whom, which states are active, where branches lead."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints, namespace, zeros
from mfnet_envs.backends.interface import Arrays, BranchTable
from mfnet_envs.choices import Choices
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.words import fits

MOVE_BYTES = 96  # of a branch's entry: the model's own tables, those here, and what is needed while they are made
ROUNDING = 1e-6  # how far a model's weights, perhaps in single precision, may be from summing to 1


class Tables:
    """The static tables of a model in the arrays of a library, and what follows from them and a crowd.

    Attributes:
        active: ``(R,)`` states; team_rows: ``(T,)`` where the states with a choice stand among them.
        rows: 0 .. R - 1; first: ``(R,)`` the first legal action of each.
        hood: ``(V, D)`` :func:`closed_hoods`, padded with V, the place of an empty node.
        membership: ``(layers, G)`` one-hot; group_starts: the first layer of each group where groups are consecutive.
        transit: ``(S,)`` bool; in_transit: those states; arrivals: ``(S,)`` where each of them leads on.
        rate: ``(R,)`` places of the quota, or None.
        branches: K of them; open_branches: the numbers of those that are not rationed.
        choices: rows of policies and illegal actions.
    """

    def __init__(self, model: LocalModel, arrays: Arrays) -> None:
        network, active, asarray = model.network, model.active, arrays.asarray
        moves = sum(branch.successors.size for branch in model.branches)
        fits(f"the tables of a simulator of {network.num_states:,} states, {moves:,} moves", moves, itemsize=MOVE_BYTES)
        self.model, self.xp, self.holds = model, arrays.xp, arrays.holds
        self.choices = Choices(model, arrays)
        row_of = np.full(network.num_states, -1)
        row_of[active] = np.arange(len(active))
        self.all_active = len(active) == network.num_states
        self.active, self.team_rows = asarray(active), asarray(row_of[model.team_states])
        self.rows, self.first = asarray(np.arange(len(active))), asarray(model.first_legal[active])
        hood = closed_hoods(model)
        self.hood = asarray(np.where(hood < 0, network.num_nodes, hood))
        self.membership = asarray(np.eye(model.num_groups)[model.groups])
        consecutive = (np.diff(model.groups) >= 0).all()
        self.group_starts = np.unique(model.groups, return_index=True)[1] if consecutive else None
        self.transit, self.in_transit = asarray(model.transit), asarray(np.flatnonzero(model.transit))
        self.arrivals = asarray(arrivals(model))
        self.rate = None if model.quota is None else asarray(model.quota.rate[active])
        rationed = None if model.quota is None else model.quota.branch
        self.open_branches = [k for k in range(len(model.branches)) if k != rationed]
        self.branches = [BranchTable(*map(asarray, _of_active(branch, active))) for branch in model.branches]

    def crowd(self, counts: Any) -> Any:
        """Agents of each group at each node, ``(B, V, G)``, from counts (or shares) ``(B, S)``."""
        network = self.model.network
        layered = counts.reshape(len(counts), network.num_nodes, network.layers)
        if type(layered) is np.ndarray and self.group_starts is not None:
            # groups of consecutive layers, the usual case, are summed without a copy in floating point
            return np.add.reduceat(layered, self.group_starts, axis=2).astype(np.float64)
        return self.xp.astype(layered, self.membership.dtype) @ self.membership

    def hoods(self, counts: Any) -> Any:
        """The crowds ``(B, V, D, G)`` of closed neighbourhoods; zero where one is padded."""
        crowd = self.crowd(counts)
        padded = zeros((len(crowd), crowd.shape[1] + 1, crowd.shape[2]), crowd)
        padded[:, :-1] = crowd
        return padded.take(self.hood, axis=1) if type(padded) is np.ndarray else padded[:, self.hood]

    def of_active(self, x: Any) -> Any:
        """``x (B, S, ...)`` of the active states: ``(B, R, ...)``."""
        return x if self.all_active else x[:, self.active]

    def of_states(self, x: Any) -> Any:
        """``x (B, R)`` of the active states as ``(B, S)``, zero in transit."""
        if self.all_active:
            return x
        spread = zeros((len(x), len(self.arrivals)), x)
        spread[:, self.active] = x
        return spread

    def of_policy(self, pi: Any) -> Any:
        """``pi (..., S or T, A)`` of the active states, ``(..., R, A)``; those without a choice play their only one."""
        choices = self.choices
        rows = choices.rows(pi.shape, "pi")
        if rows is choices.every:
            return pi if self.all_active else pi[..., self.active, :]
        if len(rows) == len(self.active):
            return pi
        first = self.xp.broadcast_to(choices.first[self.active], (*pi.shape[:-2], len(self.active), pi.shape[-1]))
        full = self.xp.astype(first, pi.dtype)
        full[..., self.team_rows, :] = pi
        return full

    # -- what the model answers

    def answers(self, hood: Any) -> tuple[Any, Any]:
        """r of (1), ``(B, R, A)``, and the raw branch weights where r was made of them: they are asked for once."""
        model = self.model
        if not model.reward_is_derived:
            return self._of_shape("reward", model.reward(hood), hood), None
        weights = model.branch_weights(hood)
        self._of_shape("branch_weights", weights, hood, len(model.branches))
        return _real(model.reward_from(weights), hood), weights

    def _of_shape(self, name: str, answer: Any, hood: Any, *last: int) -> Any:
        """An answer of the model as real numbers ``(B, R, A)``, or ``(B, R, A or 1, K)`` for K branches.

        Raises:
            ValueError: another shape, which numpy would stretch or refuse further on.
        """
        wanted = len(hood), len(self.active), self.model.num_actions, *last
        shape = tuple(getattr(answer, "shape", ()))
        if shape != wanted and not (last and shape == (*wanted[:2], 1, *last)):
            letters = f"(B, R, A{' or 1, K' if last else ''})"
            raise ValueError(f"{type(self.model).__name__}.{name} must answer {letters} = {wanted}, not {shape}")
        if type(answer) is np.ndarray and answer.dtype.kind not in "biuf":
            raise ValueError(f"{type(self.model).__name__}.{name} must answer real numbers, not {answer.dtype}")
        return _real(answer, hood)

    def weights(self, hood: Any, raw: Any = None) -> Any:
        """``(B, R, A or 1, K)``: the branches' weights, with rows that sum to 1 to the last digit.

        Args:
            raw: the model's own, where they are known.
        """
        given = self.model.branch_weights(hood) if raw is None else raw
        weights = self._of_shape("branch_weights", given, hood, len(self.model.branches))
        sums = weights.sum(axis=-1, keepdims=True)
        if not self.holds((abs(sums - 1) < ROUNDING).all()):  # also False for NaN
            raise ValueError("the model's branch_weights are NaN or do not sum to 1; check_model(model) says where")
        return weights / sums

    def open_weights(self, hood: Any, raw: Any = None) -> Any:
        """The weights without the quota's branch, as shares of what remains; equal ones where nothing remains."""
        xp, quota = self.xp, self.model.quota
        weights = self.weights(hood, raw)
        if quota is None:
            return weights
        weights[..., quota.branch] = 0
        sums = weights.sum(axis=-1, keepdims=True)
        others = xp.ones_like(weights)
        others[..., quota.branch] = 0
        return xp.where(sums > 0, weights / xp.where(sums > 0, sums, 1.0), others / (weights.shape[-1] - 1))


def step_bytes(model: LocalModel) -> int:
    """What a step of one world fills, in bytes: about, and rather less than more (tests/test_options.py).

    Numbers of 8 bytes that live side by side: the counts of all states before and after; for each action of an active
    state who plays it, and twice what goes into each branch; twice where it ends, by agents or by places if those are
    fewer.
    """
    rows, branches = len(model.active), model.branches
    drawn = rows * max(math.prod(b.successors.shape[1:]) if b.successors.shape[2] > 1 else 0 for b in branches)
    played = (1 + 2 * len(branches)) * rows * model.num_actions
    return 8 * (2 * len(model.legal) + played + 2 * min(drawn, model.population))


def closed_hoods(model: LocalModel) -> Ints:
    """``(V, D)``: the nodes whose crowds a model is shown, the node itself first, padded with -1.

    D = 1 where a table of all neighbours would be nearly all padding and the model reads its own node alone.

    Raises:
        ValueError: such a table, and a model that reads it.
    """
    network = model.network
    if network.is_lopsided and model.reads_own_node:
        return np.arange(network.num_nodes)[:, None]
    return network.neighbors


def check_finite(rewards: Any, holds: Callable[[Any], bool] = bool) -> None:
    """Refuse the rewards of a model that answers with NaN, or with numbers too large to add up."""
    if holds(abs(rewards.sum()) < math.inf):  # also False for NaN
        return
    if (abs(rewards) < math.inf).all():
        raise ValueError(f"the model's rewards, up to {abs(rewards).max():.3g}, are too large to add up")
    raise ValueError("the model's reward is NaN or infinite; check_model(model) finds out where")


def _real(x: Any, hood: Any) -> Any:
    """What a model answers about ``hood``, in double precision; a tensor in the precision of ``hood``."""
    if type(hood) is np.ndarray:
        return np.asarray(x, np.float64)
    return namespace(x).astype(x, hood.dtype, copy=False)


def _of_active(branch: Branch, active: Ints) -> tuple[Ints, Floats]:
    """A branch's tables, restricted to the active states and made safe against rounding; see BranchTable."""
    successors, probabilities = branch.successors[active], branch.probabilities[active]
    likely = np.take_along_axis(successors, probabilities.argmax(2)[..., None], 2)
    return np.where(probabilities > 0, successors, likely), probabilities / probabilities.sum(2, keepdims=True)


def arrivals(model: LocalModel) -> Ints:
    """``(S,)``: where the last branch most likely sends each state's first legal action; in transit, the only place."""
    last, states = model.branches[-1], np.arange(model.network.num_states)
    column = model.first_legal if last.successors.shape[1] > 1 else 0
    arrivals: Ints = last.successors[states, column, last.probabilities[states, column].argmax(1)]
    return arrivals


def landings(model: LocalModel) -> tuple[Ints, Ints]:
    """Where trips end, ``(S,)`` each: the row of the active state where an agent next acts, and in how many steps.

    The row is -1 where states in transit lead round in a circle, as impossible ones do that a scenario leaves as they
    are; their steps mean nothing.
    """
    states = np.arange(len(model.transit))
    at, steps = np.where(model.transit, arrivals(model), states), model.transit.astype(np.int64)
    for _ in range(len(states).bit_length()):  # twice as far each time
        at, steps = at[at], steps + steps[at]
    row = np.full(len(states), -1)
    row[model.active] = np.arange(len(model.active))
    return row[at], steps
