"""RL4AMOD's macroscopic test, step by step, with policies of ours deciding in it; every figure beside its target.

    MFNET_RL4AMOD=path/to/their/city/files python examples/reproduce/rl4amod.py [CITY ...] [--steps 20000]

The protocol (Stanford ASL, RL4AMOD: ``src/envs/sim/macro_env.py``): 20 steps; in each, requests are drawn, matched with
the idle cars of their region, the dearest first, and lost where there are none; then idle cars drive on empty (not in
the last step). A car is idle again one step after its driving time. Profit = prices of the served - cost of all
driving. Ten episodes, seeds 10 .. 19, which are nowhere used to learn.

What decides of a region's cars knows how many of them are idle, and the clock; but "equal distribution", which spreads
the whole idle fleet evenly at the least driving time, is central. The learnt policy starts uniform, has no solver, and
is trained with the learner's defaults in MFNet-RideShare-v0, dearest first: another simulator with the same means. The
bound knows all requests of the episode beforehand, and no policy is better on these episodes.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_envs.io import CityData, load_city
from mfnet_envs.policy import Policy

ID = "MFNet-RideShare-v0"
EPISODES = range(10, 20)
Decide = Callable[[int, np.ndarray, np.random.Generator], np.ndarray]

# Profits of a re-implementation of the protocol; their tutorial itself prints for Brooklyn 27.6k (no control), 49.2k
# (equal distribution) and 56.7k (their best learnt controller, SAC with a graph network, central).
NO, EQUAL, PLAN, LEARNT, BOUND = "no control", "equal distribution", "fluid plan", "learnt", "bound"
TARGETS = {
    "nyc_brooklyn": {NO: 28_588, EQUAL: 49_772, PLAN: 63_220, LEARNT: 61_500, BOUND: 65_191},
    "shenzhen_downtown_west": {NO: 60_857, EQUAL: 59_958, PLAN: 68_067, LEARNT: 67_500, BOUND: 71_231},
    "san_francisco": {NO: 10_455, EQUAL: 14_590, PLAN: 16_136, LEARNT: 16_300, BOUND: 17_063},
    "rome": {},  # nothing was chosen on it
}
WITHIN = 0.03  # of these figures; the learnt policy: at least


class Protocol:
    """One city, played episode by episode."""

    def __init__(self, city: CityData) -> None:
        self.city = city
        self.zones, self.steps = len(city.zones), len(city.demand)
        self.rides, self.drives = city.in_steps(city.travel_time), city.in_steps(city.empty_time)
        self.dearest = np.argsort(-city.fare, axis=2, kind="stable")
        self.per_step = city.cost * city.step

    def requests(self, seed: int) -> np.ndarray:
        """``(T, V, V)``"""
        return np.random.default_rng(seed).poisson(self.city.demand)

    def play(self, decide: Decide, seed: int) -> float:
        """The profit of an episode; ``decide(t, idle (V,), rng)`` sends ``(V, V)`` empty cars."""
        rng, requests = np.random.default_rng([seed, 1]), self.requests(seed)
        longest = int(max(self.rides.max(), self.drives.max()))
        arriving = np.zeros((self.steps + longest + 2, self.zones), int)
        idle, profit = np.full(self.zones, self.city.cars // self.zones), 0.0
        for t in range(self.steps):
            served = self.matched(t, idle, requests[t])
            profit += (served * (self.city.fare[t] - self.per_step * self.rides[t])).sum()
            idle = idle - served.sum(1)
            self.leave(arriving, t, served, self.rides[t])
            if t < self.steps - 1:
                sent = decide(t, idle.copy(), rng)
                profit -= self.per_step * (sent * self.drives).sum()
                idle = idle - sent.sum(1)
                self.leave(arriving, t, sent, self.drives)
            idle = idle + arriving[t + 1]
        return float(profit)

    def matched(self, t: int, idle: np.ndarray, requests: np.ndarray) -> np.ndarray:
        """``(V, V)`` served, the dearest of each region first."""
        asked = np.take_along_axis(requests, self.dearest[t], 1)
        ahead = np.cumsum(asked, 1) - asked
        taken = np.clip(idle[:, None] - ahead, 0, asked)
        served = np.zeros_like(requests)
        np.put_along_axis(served, self.dearest[t], taken, 1)
        return served

    def leave(self, arriving: np.ndarray, t: int, cars: np.ndarray, driving: np.ndarray) -> None:
        """Cars of one step, by where and when they are idle again."""
        there = np.broadcast_to(np.arange(self.zones), cars.shape)
        np.add.at(arriving, (t + driving + self.city.turnaround, there), cars)

    def equal(self, t: int, idle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """At least the same number in every region, at the least driving time; central."""
        origin, target = np.divmod(np.arange(self.zones**2), self.zones)
        moves = (origin != target).astype(float)
        region = np.arange(self.zones)[:, None]
        leave, enter = moves * (origin == region), moves * (target == region)
        rows = np.concatenate([leave - enter, leave])
        wanted = int(idle.sum() / self.zones)
        found = linprog(self.drives.reshape(-1) * moves, rows, np.concatenate([idle - wanted, idle]), method="highs")
        return np.rint(found.x * moves).astype(int).reshape(self.zones, self.zones)

    def by(self, policy: Policy) -> Decide:
        """A policy of MFNet-RideShare: every idle car draws for itself."""
        model = policy.model
        targets, layers = model.offers.empty, model.network.layers

        def decide(t: int, idle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            counts = np.zeros((1, model.network.num_states), int)
            counts[0, ::layers] = idle
            drawn = rng.multinomial(idle, policy.teams(counts, t)[0])
            sent = np.zeros((self.zones, self.zones), int)
            np.add.at(sent, (np.arange(self.zones)[:, None], targets), drawn)
            np.fill_diagonal(sent, 0)
            return sent

        return decide

    def bound(self, seed: int) -> float:
        """The best profit of an episode whose requests are known: the fluid programme of just these."""
        known = dataclasses.replace(self.city, demand=self.requests(seed))
        return float(mfnet_envs.make_model(ID, city=known, dearest_first=True).bound(fluid=True).value)


def learnt(file: str, steps: int, seed: int) -> Policy:
    """The shipped learner with its defaults, from the uniform policy."""
    config = DecNeuralACConfig().environment(ID, env_config={"city": file, "dearest_first": True})
    algo = config.training(total_env_steps=steps).debugging(seed=seed).build_algo()
    while algo.train()["num_env_steps_sampled_lifetime"] < steps:
        pass
    return algo.policy


def reproduce(name: str, file: str, steps: int, seed: int) -> bool:
    """Play all policies in a city; whether they are what was aimed at."""
    city = load_city(file)
    protocol, model = Protocol(city), mfnet_envs.make_model(ID, city=file, dearest_first=True)
    began = time.process_time()
    policy = learnt(file, steps, seed)
    trained = time.process_time() - began
    profits = {
        NO: [protocol.play(lambda t, idle, rng: np.zeros((protocol.zones,) * 2, int), k) for k in EPISODES],
        EQUAL: [protocol.play(protocol.equal, k) for k in EPISODES],
        PLAN: [protocol.play(protocol.by(model.heuristics()["fluid_plan"]), k) for k in EPISODES],
        LEARNT: [protocol.play(protocol.by(policy), k) for k in EPISODES],
        BOUND: [protocol.bound(k) for k in EPISODES],
    }
    print(f"{name}: {protocol.zones} regions, {city.cars:,} cars; {steps:,} steps learnt in {trained:.0f} s of CPU")
    print(f"  the certificate, in the mean of all episodes: {model.bound().value:,.0f}")
    good = True
    for what, found in profits.items():
        mean, error = np.mean(found), np.std(found, ddof=1) / len(found) ** 0.5
        target = TARGETS.get(name, {}).get(what)
        said = f"  {what:18} {mean:8,.0f} +- {error:4,.0f}"
        if target is not None:
            fits = mean >= target if what == LEARNT else abs(mean / target - 1) <= WITHIN
            aim = f"at least {target:,}" if what == LEARNT else f"{target:,} within {WITHIN:.0%}"
            said += f"   target {aim}: {'yes' if fits else 'NO'}"
            good = good and bool(fits)
        print(said, flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cities", nargs="*", metavar="CITY", help=f"default: {', '.join(TARGETS)}")
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps to learn from")
    parser.add_argument("--seed", type=int, default=0, help="of the learner")
    options = parser.parse_args()
    folder = os.environ.get("MFNET_RL4AMOD")
    if folder is None:
        parser.error("MFNET_RL4AMOD is not set: name the folder with RL4AMOD's scenario_<city>.json")
    files = {city: Path(folder) / f"scenario_{city}.json" for city in options.cities or TARGETS}
    good = [reproduce(city, str(file), options.steps, options.seed) for city, file in files.items()]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
