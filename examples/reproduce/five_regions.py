"""The five-region ride-hailing network of Feng, Gluzman and Dai: how many requests a fleet can serve.

    python examples/reproduce/five_regions.py

arXiv 2009.14679 (after Braverman et al. and Ozkan and Ward): 1,000 cars, 360 minutes in three slots of 120; requests,
where they go and how long that takes change with the slot. A request that is not matched in its minute leaves.

The fluid programme: cars of infinitely many pieces, x of them leave loaded, at most as many as are asked for, and y
empty; maximise the requests served. It is solved minute by minute, and in periods of 5 minutes. Then the plan is played
with whole cars and Poisson requests by a stepper of the protocol: each region on its own, by the clock. A few
seconds.
"""

import sys

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array
from verdict import Aim, told

CARS, SLOT, SLOTS = 1000, 120, 3
RATES = np.array([[0.108, 0.108, 0.108, 0.108, 1.08], [0.72, 0.48, 0.48, 0.48, 0.12], [0.12, 0.12, 0.12, 1.32, 0.12]])
TARGETS = np.array([
    [[.6, .1, 0, .3, 0], [.1, .6, 0, .3, 0], [0, 0, .7, .3, 0], [.2, .2, .2, .2, .2], [.3, .3, .3, .1, 0]],
    [[.1, 0, 0, .9, 0], [0, .1, 0, .9, 0], [0, 0, .1, .9, 0], [.05, .05, .05, .8, .05], [0, 0, 0, .9, .1]],
    [[.9, .05, 0, .05, 0], [.05, .9, 0, .05, 0], [0, 0, .9, .1, 0], [.3, .3, .3, .05, .05], [0, 0, 0, .1, .9]],
])  # fmt: skip
FIRST = [[.15, .25, 1.25, .2, .4], [.25, .1, 1.1, .1, .3], [1.25, 1.1, .1, 1, .65]]  # fmt: skip
HOURS = np.array([
    [*FIRST, [.25, .15, 1, .15, .25], [.5, .4, .75, .25, .2]],
    *[[*FIRST, [.2, .1, 1, .15, .25], [.4, .3, .65, .25, .2]]] * 2,
])  # fmt: skip
MINUTES = np.ceil(60 * HOURS - 1e-9).astype(int)
SOURCE = "Feng, Gluzman, Dai 2009.14679; fluid programme re-computed, 5-minute periods"


def per_period(length, round_to=np.ceil):
    """``(T, 5, 5)`` mean requests, and driving times in whole periods, at least one; ``(5,)`` cars at first."""
    slot = np.repeat(np.arange(SLOTS), SLOT // length)
    demand = CARS / 60 * length * RATES[slot][:, :, None] * TARGETS[slot]
    return demand, np.maximum(1, round_to(MINUTES[slot] / length)).astype(int), CARS * RATES[0] / RATES[0].sum()


def fluid(length, relocating, ahead=0, round_to=np.ceil):
    """The most requests that a fluid fleet serves, as a share, and the flows: loaded and empty ``(T, 5, 5)``.

    Args:
        ahead: minutes before its arrival from which a loaded car may take the next request; the programme has it free
            so much earlier.
        round_to: of driving times, to periods.
    """
    demand, drives, first = per_period(length, round_to)
    steps, zones, _ = demand.shape
    t, i, j = (a.reshape(-1) for a in np.indices(demand.shape))
    size, early = len(t), ahead // length
    away = [np.maximum(drives.reshape(-1) - early, 0 if early else 1), drives.reshape(-1)]  # loaded, empty
    rows, columns, values = [], [], []
    for kind in range(2):
        k, back = np.arange(size) + kind * size, t + away[kind]
        inside = back < steps
        rows += [t * zones + i, (back * zones + j)[inside]]
        columns += [k, k[inside]]
        values += [np.ones(size), -np.ones(inside.sum())]
    waits = np.arange(steps * zones)  # idle cars that wait till the next period
    rows += [waits, (waits + zones)[:-zones]]
    columns += [waits + 2 * size, (waits + 2 * size)[:-zones]]
    values += [np.ones(len(waits)), -np.ones(len(waits) - zones)]
    shape = (steps * zones, 2 * size + steps * zones)
    balance = coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape).tocsr()
    most = np.concatenate(
        [demand.reshape(-1), np.full(size, np.inf if relocating else 0.0), np.full(len(waits), np.inf)]
    )
    most[size : 2 * size][i == j] = 0
    gain = -np.concatenate([np.ones(size), -1e-6 * away[1], np.zeros(len(waits))])
    supply = np.zeros(steps * zones)
    supply[:zones] = first
    found = linprog(
        gain, A_eq=balance, b_eq=supply, bounds=np.column_stack([np.zeros(len(most)), most]), method="highs"
    )
    loaded, empty = np.maximum(found.x[: 2 * size], 0).reshape(2, *demand.shape)
    return float(loaded.sum() / demand.sum()), loaded, empty


def played(loaded, empty, seeds):
    """Share of the requests served in each episode, with whole cars and Poisson requests, minute by minute.

    Requests of a minute are drawn, matched with idle cars of their region, whose cars then drive empty: each of the
    idle with the odds of the plan's flows among the cars that the plan has there.
    """
    demand, drives, first = per_period(1)
    steps, zones, _ = demand.shape
    shares = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        arriving = np.zeros((steps + drives.max() + 1, zones), int)
        arriving[0] = rng.multinomial(CARS, first / first.sum())
        idle, planned, served, asked = np.zeros(zones, int), np.zeros(zones), 0, 0
        coming = np.zeros((steps + drives.max() + 1, zones))
        coming[0] = first
        for t in range(steps):
            idle, planned = idle + arriving[t], planned + coming[t]
            requests = rng.poisson(demand[t])
            planned = planned - loaded[t].sum(1)
            for i in range(zones):
                taken = rng.multivariate_hypergeometric(requests[i], min(int(requests[i].sum()), int(idle[i])))
                odds = np.append(empty[t, i], max(planned[i] - empty[t, i].sum(), 0.0))
                odds = odds / odds.sum() if odds.sum() > 1e-9 else np.eye(zones + 1)[-1]
                left = int(idle[i] - taken.sum())
                sent = rng.multinomial(left, odds)[:-1]
                served, asked = served + taken.sum(), asked + requests[i].sum()
                idle[i] = left - sent.sum()
                for j in range(zones):
                    arriving[t + drives[t, i, j], j] += taken[j] + sent[j]
                    coming[t + drives[t, i, j], j] += loaded[t, i, j] + empty[t, i, j]
            planned = planned - empty[t].sum(1)
        shares.append(served / asked)
    return np.array(shares)


def main():
    aims = [
        Aim("requests expected", per_period(1)[0].sum(), 11_184, 0.5, "Feng, Gluzman, Dai 2009.14679"),
        Aim("served, relocating, % (fluid)", 100 * fluid(5, True, round_to=np.floor)[0], 97.9, 0.06, SOURCE),
        Aim("served, not relocating, % (fluid)", 100 * fluid(5, False, 5, np.floor)[0], 54.7, 0.06, SOURCE),
        Aim(
            "served, relocating, cars booked early, % (fluid)", 100 * fluid(5, True, 5, np.floor)[0], 100, 1e-4, SOURCE
        ),
    ]
    still, moving = fluid(1, False), fluid(1, True)
    for name, (bound, loaded, empty) in {"not relocating": still, "relocating": moving}.items():
        shares = 100 * played(loaded, empty, range(10, 20))
        error = float(shares.std(ddof=1) / len(shares) ** 0.5)
        aims.append(
            Aim(f"served, {name}, % (whole cars, minutes)", shares.mean(), 100 * bound, 4 * error, "bound", "at most")
        )
        aims.append(Aim("  and not far from it", shares.mean(), 100 * bound, 4.0, "the fluid plan", "at least"))
    return told("Feng, Gluzman and Dai, five regions", aims)


if __name__ == "__main__":
    sys.exit(main())
