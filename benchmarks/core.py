"""How fast is the core? Ratios taken in one process, in CPU time of one thread, so that they mean the same anywhere.

Run `make bench`, or `python benchmarks/core.py [--json] [ROW ...]` with the beginnings of rows' names. Each ratio is
the median over rounds in which the two sides take turns. Before two implementations of one model are compared, they
are shown to follow the same law.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _ordinary_env import BareDicts, OrdinaryGrid
from pettingzoo import ParallelEnv

import mfnet_envs
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import uniform
from mfnet_envs.scenarios import grid_v0
from mfnet_envs.simulator import Simulator

Call = Callable[[], object]
ROUNDS = 9
ROUND = 0.1  # seconds each side gets in a round, at least one call


@dataclass(frozen=True)
class Row:
    """One line of the report.

    Attributes:
        goal: what the ratio should be, in words; empty for a figure without a goal.
        met: whether it is; None without a goal.
        slow_us, fast_us: CPU microseconds of one call of either side.
    """

    name: str
    ratio: float
    goal: str
    met: bool | None
    slow_us: float
    fast_us: float


def compare(name: str, slow: Call, fast: Call, *, at_least: float = 0, at_most: float = 0, share: float = 1.0) -> Row:
    """The ratio slow / fast, where ``share`` of one call of ``fast`` does the work of one call of ``slow``."""
    repeats = [max(1, int(ROUND / max(seconds(side, 1), 1e-7))) for side in (slow, fast)]
    rounds = np.array([[seconds(slow, repeats[0]), seconds(fast, repeats[1]) * share] for _ in range(ROUNDS)])
    return row(name, float(np.median(rounds[:, 0] / rounds[:, 1])), rounds, at_least, at_most)


def row(name: str, ratio: float, rounds: np.ndarray, at_least: float, at_most: float) -> Row:
    goals = [f">= {at_least:g}"] * (at_least > 0) + [f"<= {at_most:g}"] * (at_most > 0)
    met = None if not goals else (at_least == 0 or ratio >= at_least) and (at_most == 0 or ratio <= at_most)
    slow, fast = np.median(rounds, 0) * 1e6
    return Row(name, round(ratio, 3), ", ".join(goals), met, round(float(slow), 1), round(float(fast), 1))


def seconds(call: Call, repeats: int) -> float:
    """CPU seconds of this thread per call."""
    start = time.thread_time()
    for _ in range(repeats):
        call()
    return (time.thread_time() - start) / repeats


def walk(model: LocalModel, batch: int = 1) -> Callable[[], None]:
    """A step of the counts core with the uniform policy, actions drawn, as a call without arguments."""
    simulator, rng = Simulator(model), np.random.default_rng(0)
    state = [simulator.reset(rng, batch)]
    pi = uniform(model).table[0]

    def step() -> None:
        state[0] = simulator.play(state[0], pi, rng).next_counts

    for _ in range(30):
        step()
    return step


# -- the core ---------------------------------------------------------------------------------------------------------


def against_ordinary() -> Iterator[Row]:
    for side, goal in ((5, 600), (10, 300)):
        check_same_law(side)
        model = grid_v0.build(10_000, rows=side, cols=side, matching="independent")
        env = OrdinaryGrid(model, side, side)
        name = f"ordinary environment / counts, N = 10^4, S = {side * side}"
        yield compare(name, play(env), walk(model), at_least=goal)
        yield compare(name + ", per world of 64", play(env), walk(model, batch=64), share=1 / 64)


def play(env: ParallelEnv[str, Any, Any]) -> Call:
    """A step of an environment with dicts, the same random actions each time."""
    env.reset(seed=0)
    draws = np.random.default_rng(0).integers(5, size=len(env.agents)).tolist()
    return partial(env.step, dict(zip(env.agents, draws, strict=True)))


def check_same_law(side: int, population: int = 60, samples: int = 1500) -> None:
    """From one situation: the same mean reward, and means and products of next counts within five standard errors.

    Raises:
        RuntimeError: the two implementations are not the same model.
    """
    model = grid_v0.build(population, rows=side, cols=side, matching="independent")
    rng, s = np.random.default_rng(0), side * side
    states, actions = rng.integers(s, size=population), rng.integers(5, size=population)
    env = OrdinaryGrid(model, side, side)
    env.reset(0)
    chosen = dict(zip(env.agents, actions.tolist(), strict=True))
    theirs = np.empty((samples, s))
    for sample in theirs:
        env.cell = {agent: divmod(int(state), side) for agent, state in zip(env.agents, states, strict=True)}
        paid = float(np.mean(list(env.step(chosen)[1].values())))
        sample[:] = np.bincount([i * side + j for i, j in env.cell.values()], minlength=s)
    together = np.zeros((samples, s, 5), np.int64)
    np.add.at(together, (slice(None), states, actions), 1)
    ours, rewards = Simulator(model).step(together.sum(2), together, rng)
    if abs(paid - rewards[0].sum()) > 1e-9:
        raise RuntimeError("the ordinary environment pays differently")
    a, b = (np.column_stack([x, x * x, x * np.roll(x, 1, axis=1)]) for x in (theirs, ours.astype(float)))
    error = np.sqrt((a.var(0) + b.var(0)) / samples)
    if (abs(a.mean(0) - b.mean(0)) > 5 * error + 1e-9).any():
        raise RuntimeError("the ordinary environment moves its agents by another law")


def size_of_the_population() -> Iterator[Row]:
    many, few = (walk(grid_v0.build(n, rows=10, cols=10, matching="independent")) for n in (10**9, 10**4))
    yield compare("t(N = 10^9) / t(N = 10^4), S = 100", many, few, at_most=1.3)


def size_of_the_network() -> Iterator[Row]:
    """Cost per state at 100 agents per state."""
    large, small = (walk(even_grid(100 * rows * 40, rows)) for rows in (250, 25))
    name = "cost per state, S = 10^4 / S = 10^3"
    yield compare(name, large, small, share=10.0, at_least=0.8, at_most=1.25)


def even_grid(population: int, rows: int) -> LocalModel:
    """The same demand everywhere, so that a state is a state whatever the size of the network."""
    return grid_v0.build(population, rows=rows, cols=40, layout="even", matching="independent")


class Slip(LocalModel):
    """Agents go where they want with probability 1 - slip, else anywhere in N_s; slip grows with the crowd (K = D).

    With ``slips`` False the same moves are certain (K = 1).
    """

    def __init__(self, network: StateNetwork, population: int, slips: bool) -> None:
        present = network.neighbors >= 0
        moves = np.where(present, network.neighbors, network.neighbors[:, :1])
        d = moves.shape[1]
        self.anywhere = (present / present.sum(1, keepdims=True))[:, None]
        self.wanted = np.eye(d)
        branches = tuple(Branch.to(column[:, None]) for column in moves.T) if slips else (Branch.to(moves),)
        super().__init__(
            network=network, population=population, num_actions=d, branches=branches, reward_range=(-2.0, 0.0),
            legal=present, kernel_reads="own",
        )  # fmt: skip

    def reward(self, mu_hood: np.ndarray) -> np.ndarray:
        return -mu_hood[:, :, :1, 0] - 0.1 * np.arange(self.num_actions)

    def branch_weights(self, mu_hood: np.ndarray) -> np.ndarray:
        slip = (0.05 + 0.2 * mu_hood[:, :, 0, 0])[..., None, None]
        weights = (1 - slip) * self.wanted + slip * self.anywhere
        return weights if len(self.branches) > 1 else np.ones((*weights.shape[:3], 1))


def deterministic_kernel() -> Iterator[Row]:
    network = StateNetwork.grid(10, 10)
    for batch in (1, 16):
        general, certain = (walk(Slip(network, 10**6, slips), batch) for slips in (True, False))
        name = f"general kernel / deterministic kernel, 10^4 agents per state, {batch} world{'s' * (batch > 1)}"
        yield compare(name, general, certain, at_least=5 if batch > 1 else 0)


# -- the views --------------------------------------------------------------------------------------------------------


def dict_view() -> Iterator[Row]:
    for population in (1000, 10_000):
        view = mfnet_envs.parallel_env("MFNet-Grid-v0", view="agents", population=population, max_cycles=10**9)
        bare = BareDicts(population, view.observation_space(view.possible_agents[0]).shape[0])
        yield compare(f"agent view / dicts without a model, N = {population}", play(view), play(bare), at_most=1.3)


# -- the trainer ------------------------------------------------------------------------------------------------------


def temporal_difference() -> Iterator[Row]:
    """One update of Algorithm 1 for all states, k = 1, width 64, one sample: against a loop of autograd over states."""
    import torch

    from mfnet_agents import updates
    from mfnet_agents.nets import TwoLayer, box

    torch.set_num_threads(1)
    gamma, lr, radius, width, inputs = 0.95, 0.01, 1.0, 64, 30

    def sides(states: int) -> tuple[Call, Call]:
        rng = np.random.default_rng(0)
        critic = TwoLayer.create(rng, states, inputs, width, symmetric=False)
        x, x_next = (torch.as_tensor(rng.random((states, 1, inputs))) for _ in range(2))
        r = torch.as_tensor(rng.random((states, 1)))
        corners = box(critic.start, radius)
        assert corners is not None
        omega, mean = critic.start.clone(), critic.start.clone()
        single = [w.clone().requires_grad_() for w in critic.start]

        def together() -> tuple[torch.Tensor, torch.Tensor]:
            hidden = critic.hidden(omega, torch.cat([x, x_next], 1))
            q, q_next = torch.split(critic.read(hidden), 1, 1)
            delta = updates.td_residual(q, r, gamma, q_next)
            following = critic.descend_(omega, hidden[:, :1], x, delta, lr).clamp_(*corners)
            return following, updates.running_mean_(mean, following, 0)

        def one_by_one() -> list[tuple[torch.Tensor, torch.Tensor]]:
            reach, results = radius / width**0.5, []
            for s, w in enumerate(single):
                q = ((x[s] @ w).relu() @ critic.signs[s]) / width**0.5
                with torch.no_grad():
                    target = r[s] + gamma * ((x_next[s] @ w).relu() @ critic.signs[s]) / width**0.5
                (gradient,) = torch.autograd.grad(((q - target) ** 2 / 2).sum(), w)
                with torch.no_grad():
                    following = torch.clamp(w - lr * gradient, w - reach, w + reach)
                    results.append((following, (w + following) / 2))
            return results

        for mine, theirs in zip(together(), zip(*one_by_one(), strict=True), strict=True):
            torch.testing.assert_close(mine, torch.stack(theirs), rtol=0, atol=1e-12)
        return one_by_one, together

    for states, goal in ((25, 25), (100, 45)):
        name = f"TD update, autograd per state / all states at once, S = {states}"
        yield compare(name, *sides(states), at_least=goal)


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "ordinary": against_ordinary,
    "population": size_of_the_population,
    "states": size_of_the_network,
    "kernel": deterministic_kernel,
    "view": dict_view,
    "td": temporal_difference,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which rows: {', '.join(ROWS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no rows {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if not options.json:
        print(f"{'':<72} {'ratio':>9} {'goal':>16}      {'us':>10} / {'us':<10}")
    for name in options.rows or ROWS:
        for line in ROWS[name]():
            print(json.dumps(asdict(line)) if options.json else as_text(line))
            sys.stdout.flush()


def as_text(line: Row) -> str:
    verdict = {True: "yes", False: "NO", None: ""}[line.met]
    times = f"{line.slow_us:>10,.0f} / {line.fast_us:<10,.0f}"
    return f"{line.name:<72} {line.ratio:>9.2f} {line.goal:>16} {verdict:<4} {times}"


if __name__ == "__main__":
    main()
