"""MFNet-TwoByTwo-v0: a hundred drivers, four cells, two kinds of order; what selfishness costs is known exactly.

The smallest driver game with a price of anarchy: 100 drivers in cells 1 and 2 of the grid 0 1 / 2 3. At cell 3 wait 50
orders of fare 10, at cell 0 wait 20 of fare 4.9. Each driver alone does best at cell 3, so all go there and the
platform takes 500; it takes 598 if 20 to 50 of them go elsewhere. A service charge on over-supplied cells moves the
equilibrium.

========== =========================================================================================================
states     cell x {choosing, working}, 8 of them; only (1, choosing) and (2, choosing) have a choice
actions    0 stay, 1 go to cell 0, 2 go to cell 3
reward     working at cell v with n = N mu(v, working) drivers: fare_v min(1, orders_v / n), the expected fare of a
           random match; 0 while choosing. With ``paid="net"`` the driver's part of it, times 1 - charge, charge =
           alpha max(0, 1 - orders_v / n)
kernel     choosing: to the chosen cell, now working. Working at 3: the matched end at cell 1, at 0: at cell 2, each
           with probability min(1, orders_v / n); the unmatched go back to cell 1 or 2, evenly. All are choosing again:
           a new day. Reads the own node's density only
criterion  fares per day. A day is two steps and pays in the second, so this is 2 N times the reward per step and
           driver
bound      closed form: in a day at most N orders are served, the dearest first, so 10 x 50 + 4.9 x 20 = 598 for
           N >= 70; reached whenever 50 work at cell 3 and 20 at cell 0
heuristics ``stay``; ``random``; ``selfish`` (the split of :func:`selfish_equilibrium` at alpha, every driver mixing);
           ``social`` (as many drivers per order at both cells)
========== =========================================================================================================

The published game ends after its two steps. Here the drivers' return begins the next day instead of an absorbing end.
A day is worth the same wherever in cells 1 and 2 it begins, since both reach cells 0 and 3, so the game is unchanged,
chains have a stationary law to learn from, and every horizon of whole days has the same average. ``days=1`` is the
published game; its ``episode_return_mean`` is the fares per driver, 5.98 at best.

With ``paid="net"`` the bound still holds, charges only take away, and is still reached: 30 drivers who stay leave as
many drivers as orders at both cells, where nothing is charged.

Parameters: see :class:`TwoByTwo`; what drivers earn stands in ``TwoByTwo.reward``. Source: Shou and Di (Transportation
Research Part C, 2020), their 2 x 2 example. Versions: v0, first release.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np

from mfnet_envs import registration
from mfnet_envs.arrays import Floats, like, namespace
from mfnet_envs.bounds import Certificate
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy, one_hot, uniform, weighted
from mfnet_envs.wording import Headline, Wording
from mfnet_envs.words import checked_population, one_of, share, whole

CHOOSING, WORKING = 0, 1  # layers
STAY, TO_CHEAP, TO_DEAR = 0, 1, 2  # actions
CHEAP, LEFT, RIGHT, DEAR = 0, 2, 1, 3  # cells: orders of the low fare, where they end, where those of the high fare end
ORDERS = np.array([20.0, 0.0, 0.0, 50.0])
FARES = np.array([4.9, 0.0, 0.0, 10.0])
NOBODY = 1e-9


class TwoByTwo(LocalModel):
    """The model of this page.

    Args:
        population: N, the number of drivers; the orders stay 50 and 20.
        alpha: the platform's charge rate, in [0, 1]: a driver at a cell with fewer orders than drivers gives away
            alpha (1 - orders / drivers) of the fare.
        paid: what a driver is rewarded with: the whole "fare", the platform's objective, or what is left of it, "net",
            for learners who are to be selfish.
        days: of the criterion, two steps each; 1 is the published game.
        gamma: discount factor per step.

    Attributes:
        full_scale: what turns a reward per step and driver into fares per day, 2 N.

    Raises:
        ValueError: for an option out of its range, in one sentence.
    """

    law_methods = (*LocalModel.law_methods, "matched")
    reward_reads = "own"
    wording = Wording(
        agents="drivers",
        place="four cells",
        labels={"selfish": "selfish equilibrium"},
        needs={
            "stay": "nothing",
            "random": "nothing",
            "selfish": "the population, fares, orders and charges",
            "social": "the orders",
        },
        learner_needs="samples, and the orders, by which it scales what it sees",
    )

    def __init__(
        self,
        population: int = 100,
        alpha: float = 0.0,
        paid: Literal["fare", "net"] = "fare",
        days: int = 50,
        gamma: float = 0.95,
    ) -> None:
        share(alpha=alpha)
        one_of("paid", paid, ("fare", "net"))
        self.alpha, self.paid, self.full_scale = float(alpha), paid, 2.0 * checked_population(population)
        network = StateNetwork.grid(2, 2, layers=2)
        legal = np.zeros((8, 3), bool)
        legal[:, STAY] = True
        legal[[2 * RIGHT, 2 * LEFT]] = True
        super().__init__(
            network=network,
            population=population,
            num_actions=3,
            branches=_branches(),
            reward_range=(0.0, float(FARES.max())),
            legal=legal,
            initial=np.where(np.isin(np.arange(8), [2 * RIGHT, 2 * LEFT]), 0.5, 0.0),
            gamma=gamma,
            evaluation=(2 * whole("days", days), 0),
            kernel_reads="own",
            reference_counts=np.repeat(ORDERS, 2) * np.tile([0, 1], 4) + np.tile([population / 2, 0], 4),
        )

    def matched(self, mu_hood: Any) -> Any:
        """min(1, orders / n) ``(B, V)``: the chance of a driver at work to get an order."""
        xp = namespace(mu_hood)
        n = self.population * mu_hood[:, :, 0, WORKING]
        return xp.minimum(1 + 0 * n, like(n, ORDERS) / (n + NOBODY * (n < NOBODY)))

    def reward(self, mu_hood: Any) -> Any:
        """At work the expected fare, or the driver's part of it; nothing while choosing."""
        xp = namespace(mu_hood)
        q = self.matched(mu_hood)
        pay = like(q, FARES) * q
        if self.paid == "net":
            pay = pay * (1 - self.alpha * (1 - q))  # min(1, orders / n) = 1 where nothing is charged
        pay = xp.reshape(xp.stack([0 * pay, pay], axis=2), (pay.shape[0], -1, 1))
        return pay + like(pay, np.zeros((1, 1, 3)))

    def branch_weights(self, mu_hood: Any) -> Any:
        xp = namespace(mu_hood)
        q = self.matched(mu_hood)
        q = xp.reshape(xp.stack([0 * q, q], axis=2), (q.shape[0], -1, 1))
        return xp.stack([q, 1 - q], axis=-1)

    @property
    def headline(self) -> Headline:
        return Headline("average", "fares per day", self.full_scale)

    def bound(self, criterion: Literal["average", "discounted"] = "average") -> Certificate:
        """Fares of the best day; or per driver, discounted over the days of the horizon."""
        one_of("criterion", criterion, ("average", "discounted"))
        best, horizon = best_fares(self.population), self.evaluation[0]
        discounted = best / self.population * sum(self.gamma**t for t in range(1, horizon, 2))
        return Certificate(
            value=best if criterion == "average" else discounted,
            criterion=criterion,
            unit="fares per day" if criterion == "average" else "discounted fares per driver",
            kind="closed-form",
            horizon=horizon,
            gap=0.0,
            assumption="every policy, central and history dependent included, from cells 1 and 2, over whole days",
        )

    def heuristics(self) -> dict[str, Policy]:
        """stay, random, selfish, social; all see their own state only."""
        selfish = selfish_equilibrium(self.alpha, self.population)
        return {
            "stay": one_hot(self, np.full(2, STAY)),
            "random": uniform(self),
            "selfish": weighted(self, np.tile([0.0, self.population - selfish, selfish], (2, 1))),
            "social": weighted(self, np.tile([0.0, ORDERS[CHEAP], ORDERS[DEAR]], (2, 1))),
        }


def total_fares(at_dear: int, at_cheap: int) -> float:
    """Fares of a day with ``at_dear`` drivers at cell 3 and ``at_cheap`` at cell 0, charged or not."""
    return float(FARES[DEAR] * min(at_dear, ORDERS[DEAR]) + FARES[CHEAP] * min(at_cheap, ORDERS[CHEAP]))


def best_fares(population: int = 100) -> float:
    """The largest fares of a day: the dear orders first."""
    at_dear = min(population, int(ORDERS[DEAR]))
    return total_fares(at_dear, population - at_dear)


def driver_pay(cell: int, drivers: int, alpha: float) -> float:
    """One driver's expected pay among ``drivers`` at a cell: fare d (1 - alpha (1 - d)), d = min(1, orders / n)."""
    chance = min(1.0, float(ORDERS[cell]) / drivers)
    return float(FARES[cell]) * chance * (1 - alpha * (1 - chance))


def selfish_equilibrium(alpha: float, population: int = 100) -> int:
    """Drivers at cell 3 in the Nash equilibrium of a day, the others at cell 0.

    The pay at cell 3 falls with x and that at cell 0 grows, so x is the largest number whose last driver does not gain
    by going to cell 0, found by bisection on integers.

    >>> [selfish_equilibrium(alpha) for alpha in (0, 0.1, 0.5, 1)]
    [100, 97, 82, 78]
    """
    share(alpha=alpha)
    low, high = 0, checked_population(population)
    while low < high:
        x = (low + high + 1) // 2
        contented = driver_pay(DEAR, x, alpha) >= driver_pay(CHEAP, population - x + 1, alpha)
        low, high = (x, high) if contented else (low, x - 1)
    return low


build = TwoByTwo


def _branches() -> tuple[Branch, Branch]:
    """The matched drive to where their order ends; the others go where they chose, or back to cells 1 and 2."""
    cells = np.arange(4)
    order_ends = cells.copy()
    order_ends[[CHEAP, DEAR]] = LEFT, RIGHT
    chosen = np.repeat(cells[:, None], 3, 1)
    chosen[[LEFT, RIGHT]] = [[LEFT, CHEAP, DEAR], [RIGHT, CHEAP, DEAR]]
    successors = np.empty((8, 3, 2), np.int64)
    successors[CHOOSING::2] = (2 * chosen + WORKING)[..., None]
    back = np.array([[LEFT, RIGHT], [RIGHT, RIGHT], [LEFT, LEFT], [LEFT, RIGHT]])
    successors[WORKING::2] = (2 * back + CHOOSING)[:, None]
    fulfilled = np.column_stack([2 * cells + WORKING, 2 * order_ends + CHOOSING]).reshape(-1, 1)
    others: Floats = np.full(successors.shape, 0.5)
    return Branch.to(fulfilled), Branch(successors, others)


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-TwoByTwo-v0")
env = partial(registration.env, "MFNet-TwoByTwo-v0")
