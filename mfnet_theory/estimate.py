"""The trainer's policy gradient (23): its mean, its samples, and what wrong formulas would give.

Its critics are replaced by the best local Q that (18) speaks of, as values: (23) is a function of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC
from mfnet_agents.dec_neural_ac.ball import Ball
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.paper import policy_gradient
from mfnet_agents.dec_neural_ac.sampling import visitation_pairs
from mfnet_agents.policies.individual import LearnedPolicy
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.exact import Evaluation, ExactGame
from mfnet_envs.simulator import Simulator
from mfnet_theory.statement import Settings, Statement, judged

EXACT = 1e-10
ROUNDING = 1e-14  # a standard error below it is one of rounding
CHANCE = 1e-4  # of a false alarm of the sampled estimate, over all its entries
TAU = 1.3  # temperature of the learned policies
KINDS = ("individual", "energy", "tilted")
LINE = {"graph": [[0, 1], [1, 2]], "demand": [0.02, 0.02, 1.0], "population": 3, "gamma": 0.6}


@dataclass(frozen=True)
class Estimate:
    """(23) on a line of three nodes, each with a team.

    Attributes:
        q: ``(P, V)`` the best local Q_y of all pairs; rng: of the samples.
    """

    policy: LearnedPolicy
    at: Evaluation
    q: Floats
    ball: Ball
    rng: np.random.Generator

    @classmethod
    def of(cls, kind: str, hops: int, seed: int) -> Estimate:
        """``seed`` is that of the samples; the weights are always the same."""
        config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=LINE)
        options: dict[str, Any] = dict(mode="paper", policy=kind, hops=hops, temperature=TAU, actor_width=6)
        algo = config.training(**options, critic_width=2, radius=None).build_algo()
        assert isinstance(algo, DecNeuralAC)
        algo.learned.update(2 * algo.learned.theta)
        at = ExactGame(algo.model).under(algo.learned)
        ball, rng = Ball.of(algo.model.network, hops), np.random.default_rng(seed)
        return cls(algo.learned, at, at.local_action_values(hops), ball, rng)

    def gradient(self, rows: Ints) -> Floats:
        """(23) from the pairs number ``rows (L,)``: ``(T, d, M)``."""
        pairs, q = self.at.game.pairs[rows], self.q[rows].T.copy()
        return policy_gradient(self.policy, q, pairs.sum(2), pairs, self.ball, gamma=self.at.gamma).numpy()

    @cached_property
    def per_pair(self) -> Floats:
        """(23) from each pair alone, ``(P, T, d, M)``."""
        return np.array([self.gradient(np.array([i])) for i in range(len(self.at.game.pairs))])

    def mean_under(self, law: Floats) -> Floats:
        """The mean of (23) when pairs come from ``law (M,)`` and Pi."""
        return np.asarray(np.tensordot(self.at.of_pairs(law), self.per_pair, 1))

    def drawn(self, batches: int, samples: int) -> Floats:
        """``(batches, T, d, M)``: (23) from the trainer's own samples of sigma."""
        place = {pair.tobytes(): i for i, pair in enumerate(self.at.game.pairs)}
        simulator, rows = Simulator(self.policy.model), []
        for _ in range(batches):
            _, actions, _ = visitation_pairs(simulator, self.policy, self.at.gamma, samples, self.rng)
            rows.append(self.gradient(np.array([place[pair.tobytes()] for pair in actions])))
        return np.array(rows)


class Checked(NamedTuple):
    """What was found out about one class's estimate; distances in standard errors, ``wrong`` those of the mistakes."""

    mean_error: float
    dropped: float
    limit: float
    off: float
    wrong: dict[str, float]


def check_estimate(kind: str, seed: int, batches: int, samples: int) -> Checked:
    """(23) in the mean over all pairs, from samples, and whether these would show a wrong formula."""
    here = Estimate.of(kind, 1, seed)
    truth = here.at.local_policy_gradient(1)
    everywhere = np.repeat(here.q.sum(1, keepdims=True), len(here.policy.states), 1)
    drawn = here.drawn(batches, samples)
    return Checked(
        float(np.abs(here.mean_under(here.at.visitation) - truth).max()),
        float(np.abs(here.at.contracted(everywhere) - truth).max()),
        *deviations(drawn, truth),
        {name: deviations(drawn, wrong)[1] for name, wrong in mistakes(here, truth).items()},
    )


def mistakes(here: Estimate, truth: Floats) -> dict[str, Floats]:
    """What (23) would be in the mean without 1 / (1 - gamma), and with the stationary law for sigma."""
    return {
        "1 / (1 - gamma) dropped": (1 - here.at.gamma) * truth,
        "gamma^t dropped": here.mean_under(here.at.stationary),
    }


def estimates(settings: Settings) -> list[Statement]:
    """Three statements on (23), over the three classes."""
    size = (120, 100) if settings.quick else (400, 1000)
    found = [check_estimate(kind, settings.seed, *size) for kind in KINDS]
    mean_error, dropped = max(x.mean_error for x in found), max(x.dropped for x in found)
    worst = max(found, key=lambda x: x.off / x.limit)
    wrong = {name: min(x.wrong[name] for x in found) for name in worst.wrong}
    return [
        judged(
            "(23), mean",
            "with a given local Q-hat, (23) is an unbiased estimate of (18); corrected: with Q_y on N_y^k",
            f"sum over all pairs (mu, h), three classes: largest error {mean_error:.1e}",
            f"{EXACT:.0e}",
            mean_error <= EXACT,
            corrected=True,
        ),
        judged(
            "(18), critics outside the ball",
            "dropping Q_y of y outside N_s^k does not change the mean",
            f"sum over all y instead of N_s^1, three classes: largest change {dropped:.1e}",
            f"{EXACT:.0e}",
            dropped <= EXACT,
        ),
        judged(
            "(23), sampled from sigma",
            "the estimate from the trainer's own samples has the mean (18); the samples tell it from wrong formulas",
            f"{size[0]} batches of {size[1]}, three classes: the worst entry is {worst.off:.2f} standard errors away, "
            f"{worst.limit:.2f} allowed; " + ", ".join(f"{name}: {off:.1f}" for name, off in wrong.items()),
            f"chance {CHANCE:.0e} over all entries",
            worst.off <= worst.limit < min(wrong.values()),
        ),
    ]


def deviations(drawn: Floats, truth: Floats) -> tuple[float, float]:
    """The standard errors that all entries stay within but for chance ``CHANCE``, and the largest one found."""
    from scipy import stats

    error = drawn.std(0, ddof=1) / math.sqrt(len(drawn))
    used = error > ROUNDING  # a neuron that is on for every h gives its mu-row a score of zero
    limit = float(stats.t.isf(CHANCE / (2 * max(1, used.sum())), len(drawn) - 1))
    off = np.abs(drawn.mean(0) - truth)
    if (off[~used] > EXACT).any():
        return limit, math.inf
    return limit, float((off[used] / error[used]).max(initial=0.0))
