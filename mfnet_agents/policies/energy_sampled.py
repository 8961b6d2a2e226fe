"""(14) and its tilted form for teams with too many compositions to list: K of them stand for all.

A *key* is a team and its size, (s, n). Every key gets K compositions h_k with weights w_k:

=========== ==========================================================================================================
enumerated  all compositions, w = Pi, where there are at most K: exact
candidates  K uniform ones (Dirichlet-multinomial with alpha = 1), w_k ~ base(h_k) exp(heat f(mu, h_k)), normalised
metropolis  the last states of K Metropolis chains on compositions, w_k = 1 / K
=========== ==========================================================================================================

The team draws row k with probability w_k, its marginal is sum_k w_k h_k, and the score of h is
heat (phi(h) - sum_k w_k phi(h_k)): exactly the score of the softmax over the candidates, and for Metropolis the score
with its mean estimated from K draws. A key's randomness comes from (checksum of the team's theta, s, n) alone. So the
rows do not depend on what was asked before or on other teams, every process draws the same, and new weights draw new
rows.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Callable
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.nets import DTYPE, TwoLayer, product
from mfnet_agents.policies.energy import CompositionPolicy, shares
from mfnet_agents.policies.individual import CrowdInput, Weights, crowd_features
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.compositions import compositions_of, rank, uniform_compositions
from mfnet_envs.model import LocalModel

SampledLaw = Literal["candidates", "metropolis"]
STEPS = 128  # Metropolis moves of every chain
KEYS = 64  # keys drawn at a time
ROOM = 16_000_000  # numbers kept in the rows of all keys
ESS_FLOOR = 10.0  # effective sample size under which a policy warns


class SampledEnergyPolicy(CompositionPolicy):
    """K compositions for every team and size in the place of all of them.

    Args:
        law: "candidates" or "metropolis"; samples: K.
        tilted, per_agent: as in :class:`~mfnet_agents.policies.energy.EnergyPolicy`.
    """

    def __init__(
        self,
        model: LocalModel,
        net: TwoLayer,
        crowd_input: CrowdInput,
        temperature: float,
        *,
        tilted: bool,
        per_agent: bool,
        law: SampledLaw,
        samples: int,
    ) -> None:
        self.law: SampledLaw = law
        self.samples = samples
        self.has_warned = False
        self._allocate(max(KEYS, ROOM // (samples * model.num_actions)), model.num_actions)
        super().__init__(model, net, crowd_input, temperature, tilted=tilted, per_agent=per_agent)
        legal = self.legal.numpy()
        self.choices: Ints = legal.sum(1)
        self.ordered: Ints = np.argsort(~legal, axis=1, kind="stable")  # (T, A), legal actions first

    def part(self, teams: slice) -> Self:
        part = super().part(teams)
        part.choices, part.ordered = self.choices[teams], self.ordered[teams]
        part._allocate(len(self._ess), self.model.num_actions)
        return part

    # -- the rows of all keys met under the present weights

    def _allocate(self, room: int, num_actions: int) -> None:
        """Arrays for ``room`` keys; memory that is never written is never taken."""
        self._rows: Ints = np.empty((room, self.samples, num_actions), np.int64)
        self._weights: Floats = np.empty((room, self.samples))
        self._sums: Floats = np.empty((room, self.samples))
        self._shares: Floats = np.empty((room, num_actions))
        self._ess: Floats = np.empty(room)

    def forget(self) -> None:
        self._keys: Ints = np.empty(0, np.int64)  # in ascending order
        self._slots: Ints = np.empty(0, np.int64)  # where each of them stands in the arrays
        self._seeds: dict[int, int] = {}  # checksum of each team's weights

    def _slots_of(self, sizes: Ints) -> Ints:
        """Where the rows of each team of ``sizes (L, T)`` stand; those not met yet are drawn."""
        keys = self.every * (self.model.population + 1) + sizes
        wanted = np.unique(keys)
        new = np.setdiff1d(wanted, self._keys, assume_unique=True)
        if len(self._keys) + len(new) > len(self._ess):  # start over: a key's rows are the same when drawn again
            self.forget()
            new = wanted
            if len(new) > len(self._ess):
                self._allocate(len(new), self.model.num_actions)
        if len(new):
            self._draw(new)
        return self._slots[np.searchsorted(self._keys, keys)]

    def _draw(self, new: Ints) -> None:
        """Rows, weights and what follows from them for keys not met yet."""
        first = len(self._keys)
        team, n = np.divmod(new, self.model.population + 1)
        few = np.array([self._is_exact(s, size) for s, size in zip(team, n, strict=True)])
        for here, law in ((np.flatnonzero(few), self._enumerated), (np.flatnonzero(~few), self._sampled)):
            for at in (here[i : i + KEYS] for i in range(0, len(here), KEYS)):
                at = np.repeat(at, 2) if len(at) == 1 else at  # the product of one matrix may be rounded otherwise
                with torch.no_grad():
                    rows, weights, ess = law(team[at], n[at])
                self._keep(first + at, rows, weights, ess, team[at])
        self._keys = np.concatenate([self._keys, new])
        self._slots = np.concatenate([self._slots, first + np.arange(len(new))])
        order = np.argsort(self._keys)
        self._keys, self._slots = self._keys[order], self._slots[order]

    def _keep(self, slots: Ints, rows: Ints, weights: Floats, ess: Floats, team: Ints) -> None:
        self._rows[slots], self._weights[slots], self._ess[slots] = rows, weights, ess
        last = self.samples - 1 - (weights[:, ::-1] > 0).argmax(1)
        sums = np.cumsum(weights, 1)
        sums[np.arange(self.samples) >= last[:, None]] = 1.0  # whatever was rounded off, no row of weight 0 is drawn
        self._sums[slots] = sums
        legal = self.legal.numpy()[team]
        nobody = rows.sum((1, 2)) == 0
        marginal = np.einsum("qk,qka->qa", weights, shares(rows))
        self._shares[slots] = np.where(nobody[:, None], legal / legal.sum(1, keepdims=True), marginal)

    def _is_exact(self, team: int, n: int) -> bool:
        """Whether a team of ``n`` has at most K compositions of its legal actions."""
        choices = int(self.choices[team])
        return math.comb(int(n) + choices - 1, choices - 1) <= self.samples

    def _enumerated(self, team: Ints, n: Ints) -> tuple[Ints, Floats, Floats]:
        """All compositions of the legal actions and their law; rows that are not needed have weight 0."""
        rows = np.zeros((len(team), self.samples, self.model.num_actions), np.int64)
        used = np.zeros(rows.shape[:2], bool)
        for q, (s, size) in enumerate(zip(team, n, strict=True)):
            listed = compositions_of(int(size), int(self.choices[s]))
            rows[q, : len(listed), np.sort(self.ordered[s, : self.choices[s]])] = listed.T
            used[q, : len(listed)] = True
        weights = self._softmax(team, rows, used)
        return rows, weights, np.full(len(team), np.inf)

    def _sampled(self, team: Ints, n: Ints) -> tuple[Ints, Floats, Floats]:
        """K compositions by chance, their weights, and their effective sample size."""
        k = self.samples
        moves = STEPS if self.law == "metropolis" else 0
        bars = self.model.num_actions - 1
        u = np.stack([self._uniforms(s, size, k * (bars + 2 * moves)) for s, size in zip(team, n, strict=True)])
        rows = self._uniform(team, n, u[:, : k * bars].reshape(-1, k, bars))
        if self.law == "candidates":
            weights = self._softmax(team, rows, np.ones(rows.shape[:2], bool))
            return rows, weights, 1 / (weights**2).sum(1)
        pairs = u[:, k * bars :].reshape(-1, moves, k, 2).transpose(1, 3, 0, 2)
        half, rows = metropolis(self._energy_along(team, n), rows, self.ordered[team], self.choices[team], pairs)
        return rows, np.full(rows.shape[:2], 1 / k), chains_worth(shares(half), shares(rows))

    def _uniforms(self, team: int, n: int, count: int) -> Floats:
        """The random numbers of a key, the same in every process."""
        if team not in self._seeds:
            self._seeds[team] = zlib.crc32(self.theta[team].detach().numpy().tobytes())
        return np.random.default_rng((self._seeds[team], int(self.numbers[team]), int(n))).random(count)

    def _uniform(self, team: Ints, n: Ints, u: Floats) -> Ints:
        """Uniform compositions of ``n (Q,)`` over the legal actions: ``(Q, K, A)``."""
        rows = np.zeros((*u.shape[:2], self.model.num_actions), np.int64)
        for choices in np.unique(self.choices[team]):
            here = np.flatnonzero(self.choices[team] == choices)
            drawn = uniform_compositions(n[here], int(choices), u[here, :, : choices - 1])
            actions = self.ordered[team[here], :choices]
            rows[here[:, None, None], np.arange(self.samples)[:, None], actions[:, None]] = drawn
        return rows

    def _energy_along(self, team: Ints, n: Ints) -> Callable[[Ints], Floats]:
        """:meth:`_energy` of legal compositions of ``n (Q,)``, as a function of the rows ``(Q, K, A)`` alone.

        The first layer is affine in h: what does not change along a chain is computed once.
        """
        net, theta = self.net.at(team), self.theta[team]
        size = torch.as_tensor(n, dtype=DTYPE)[:, None]
        u = crowd_features(size, self.model, self.crowd_input, team)
        own, slope = product(u, theta[:, : u.shape[2]]), theta[:, u.shape[2] :] / size[..., None]
        read = (self._heat(size) * net.scale)[..., None]
        log_factorial = self.log_factorial.numpy()

        def energy(rows: Ints) -> Floats:
            hidden = torch.baddbmm(own, torch.as_tensor(rows, dtype=DTYPE), slope).relu_()
            f: Floats = product(hidden, read)[..., 0].numpy()
            if not self.tilted:
                return f
            return f - log_factorial[rows] @ np.ones(rows.shape[2])  # and log n!, the same for all rows

        return energy

    def _softmax(self, team: Ints, rows: Ints, used: np.ndarray) -> Floats:
        """exp(energy), normalised over the ``used (Q, K)`` rows of each key."""
        energy = np.where(used, self._energy(team, rows).numpy(), -np.inf)
        weights = np.exp(energy - energy.max(1, keepdims=True))
        normalised: Floats = weights / weights.sum(1, keepdims=True)
        return normalised

    # -- what a policy answers

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        """The marginal pi_bar(s, n) = sum_k w_k h_k: what agents play who cannot see each other ("individual")."""
        slots = self._slots_of(counts[:, self.states])
        return self._shares[slots]

    def sample(self, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
        """One of the K rows, by weight, for the team as a whole ("shared": then a random permutation)."""
        slots = self._slots_of(counts[:, self.states])
        u = rng.random(slots.shape)
        row = np.zeros_like(slots)  # how many running sums are at most u, by bisection for all teams at once
        for step in 1 << np.arange(self.samples.bit_length())[::-1]:
            probe = row + step - 1
            inside = probe < self.samples
            below = self._sums[slots, np.minimum(probe, self.samples - 1)] <= u
            row = np.where(inside & below, row + step, row)
        drawn: Ints = self._rows[slots, row]
        return drawn

    def weighted_score(self, sizes: Ints, actions: Ints, c: Weights) -> Tensor:
        slots = self._slots_of(sizes)
        self._warn(slots)
        c = np.asarray(c)
        taken = np.ascontiguousarray(actions.transpose(1, 0, 2))
        gradient = self._energy_gradient(self.every, taken, torch.as_tensor(c.T.copy()))
        drawn = np.zeros(len(self._keys))  # sum of c over the samples of each key
        keys = self.every * (self.model.population + 1) + sizes
        np.add.at(drawn, np.searchsorted(self._keys, keys), c)
        met = np.flatnonzero(drawn)
        for at in (met[i : i + KEYS] for i in range(0, len(met), KEYS)):
            team, slot = self._keys[at] // (self.model.population + 1), self._slots[at]
            weight = torch.as_tensor(drawn[at, None] * self._weights[slot])
            gradient.index_add_(0, torch.as_tensor(team), -self._energy_gradient(team, self._rows[slot], weight))
        return gradient

    def log_prob(self, sizes: Ints, actions: Ints) -> Tensor:
        """log Pi_s(h | mu), with the normaliser estimated by the candidates: log (C / K sum_k exp(energy_k)).

        Raises:
            ValueError: Metropolis chains do not know the normaliser of a team that is not enumerated.
        """
        keys, which = np.unique(self.every * (self.model.population + 1) + sizes, return_inverse=True)
        slots = self._slots_of(sizes).reshape(-1)[np.unique(which, return_index=True)[1]]
        team, n = np.divmod(keys, self.model.population + 1)
        if self.law == "metropolis" and np.isfinite(self._ess[slots]).any():
            raise ValueError(
                f"Metropolis chains do not know log Pi of a team with more than energy_samples={self.samples} "
                "compositions; use energy_law='candidates' or 'enumerate'"
            )
        ways = [math.comb(int(size) + c - 1, c - 1) for size, c in zip(n, self.choices[team].tolist(), strict=True)]
        missing = np.array([math.log(max(1, way / self.samples)) for way in ways])
        unused = torch.as_tensor(np.isinf(self._ess[slots])[:, None] & (self._weights[slots] == 0))
        log_z = torch.logsumexp(self._energy(team, self._rows[slots]).masked_fill(unused, -math.inf), 1)
        log_z = log_z + torch.as_tensor(missing)
        taken = np.ascontiguousarray(actions.transpose(1, 0, 2))
        return self._energy(self.every, taken).T - log_z[torch.as_tensor(which.reshape(sizes.shape))]

    def team_law(self, s: int, n: int) -> Floats:
        """Probabilities of the compositions of ``n``, in lexicographic order, for team number ``s``.

        Raises:
            ValueError: they are more than K.
        """
        if not self._is_exact(s, n):
            raise ValueError(
                f"a team of {n} agents has more compositions than energy_samples={self.samples}; its law is not "
                "known exactly: use energy_law='enumerate' or raise energy_samples"
            )
        rows, weights, _ = self._enumerated(np.array([s]), np.array([n]))
        a = self.model.num_actions
        law = np.zeros(math.comb(n + a - 1, a - 1))
        used = weights[0] > 0
        law[rank(rows[0, used])] = weights[0, used]
        return law

    def effective_sample_size(self, counts: Ints) -> Floats:
        """How many independent draws from its law a team's K rows are worth: ``(B, T)``; infinite where enumerated.

        Candidates: 1 / sum_k w_k^2. Metropolis: see :func:`chains_worth`.
        """
        return self._ess[self._slots_of(counts[:, self.states])]

    def _warn(self, slots: Ints) -> None:
        smallest = float(self._ess[slots].min(initial=np.inf))
        if smallest >= ESS_FLOOR or self.has_warned:
            return
        self.has_warned = True
        other = "energy_law='metropolis'" if self.law == "candidates" else "policy='individual'"
        warnings.warn(
            f"the {self.samples} compositions drawn for a team are worth {smallest:.1f} independent ones only, under "
            f"{ESS_FLOOR:.0f}: its gradient is biased; raise energy_samples, lower temperature, or use {other}",
            stacklevel=3,
        )


def metropolis(
    energy: Callable[[Ints], Floats], start: Ints, ordered: Ints, choices: Ints, u: Floats
) -> tuple[Ints, Ints]:
    """Chains on compositions with stationary law ~ exp(energy): the states half-way and at the end, ``(Q, K, A)``.

    Two moves, both as likely forwards as backwards, so the acceptance is min(1, exp(energy' - energy)):
    *shift*, m agents go from action a to action b, (a, b) a uniform ordered pair of legal actions and m = 2^j with j
    uniform on 0 .. floor(log2 n); *difference*, h + h_j - h_k with two chains j, k of the other half (differential
    evolution), whose steps take the shape and the scale of the law by themselves. A move to fewer than no agents is
    refused. The halves take turns: while one makes differences, of the other's present states, the other shifts.

    Args:
        start: ``(Q, K, A)``; ordered: ``(Q, A)`` actions, legal ones first; choices: ``(Q,)`` how many are legal.
        u: ``(moves, 2, Q, K)``, uniform on [0, 1).
    """
    q, k = np.ogrid[: start.shape[0], : start.shape[1]]
    first, middle = k < start.shape[1] // 2, start.shape[1] // 2
    there, many = np.where(first, middle, 0), np.maximum(1, np.where(first, start.shape[1] - middle, middle))
    others = choices[:, None] - 1
    scales = np.frexp(start.sum(2))[1]  # floor(log2 n) + 1
    rows, height, half = start, energy(start), start
    for move, (which, luck) in enumerate(u):
        if move == len(u) // 2:
            half = rows
        pair, scale = np.divmod((which * (others * (others + 1) * scales)).astype(np.int64), scales)
        a, b = np.divmod(pair, others)
        a, b = ordered[q, a], ordered[q, b + (b >= a)]
        moved, proposal = np.left_shift(1, scale), rows.copy()
        proposal[q, k, a] -= moved
        proposal[q, k, b] += moved
        one, two = np.divmod((which * many**2).astype(np.int64), many)
        differs = first if move % 2 else ~first
        proposal = np.where(differs[..., None], rows + rows[q, there + one] - rows[q, there + two], proposal)
        possible = proposal.min(2) >= 0
        proposal = np.where(possible[..., None], proposal, rows)
        offered = energy(proposal)
        accepted = possible & (np.log1p(-luck) < offered - height)
        rows = np.where(accepted[..., None], proposal, rows)
        height = np.where(accepted, offered, height)
    return half, rows


def chains_worth(half: Floats, end: Floats) -> Floats:
    """What the last states of K chains are worth, in independent draws: 1 / ((1 + r) / (K (1 - r)) + c), ``(Q,)``.

    Both terms compare the shares half-way, ``half (Q, K, A)``, with those at the end, pooled over actions. r is their
    correlation across chains: near 1 where chains hardly move or stay each on its side of a barrier, because their
    starts were spread out (what R-hat sees). c is what still changes: the squared drift of the mean in units of the
    variance, plus the squared change of the log standard deviation, less 20 / K that chance may account for. With K
    chains r carries noise of about 1 / sqrt(K), and below 0 it counts as 0, so the worth errs on the low side. A law
    of one point is worth K.
    """
    k = end.shape[1]
    x, y = (values - values.mean(1, keepdims=True) for values in (half, end))
    before, after = (np.maximum((values**2).sum((1, 2)), 1e-24) for values in (x, y))
    r = np.clip((x * y).sum((1, 2)) / np.sqrt(before * after), 0, 1)
    drift = ((half.mean(1) - end.mean(1)) ** 2).sum(1) / (after / k)
    change = np.maximum(0, drift + np.log(before / after) ** 2 / 4 - 20 / k)
    worth: Floats = 1 / ((1 + r) / np.maximum(k * (1 - r), 1e-12) + change)
    return worth
