"""What `core.py` compares with: the repositioning model as most people would write it, and dicts without a model."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from pettingzoo import ParallelEnv
from scipy import stats

from mfnet_envs.scenarios.grid_v0 import Grid


class OrdinaryGrid(ParallelEnv[str, np.ndarray, int]):
    """`MFNet-Grid-v0` with ``matching="independent"`` as an ordinary PettingZoo environment: a loop over the drivers.

    It tells its agents what our agents view tells them: the own cell one-hot and the share of drivers in it, which
    actions are legal, and who was served. The chances to be served are looked up, not computed.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "ordinary_grid_v0", "render_modes": []}

    def __init__(self, model: Grid, rows: int, cols: int) -> None:
        self.rows, self.cols = rows, cols
        self.fare, self.move_cost = model.fare, model.move_cost
        self.possible_agents = [f"agent_{i}" for i in range(model.population)]
        self.seen = gym.spaces.Box(0.0, 1.0, (rows * cols + 1,), np.float32)
        self.rng = np.random.default_rng()
        cells = [(i, j) for i in range(rows) for j in range(cols)]
        n = np.arange(model.population + 1)
        self.chance = {}
        for cell, rate in zip(cells, model.rate, strict=True):
            served = np.cumsum(stats.poisson.sf(n[:-1], rate))  # E min(n, D) = sum of P(D > k) over k < n
            self.chance[cell] = np.append(0.0, served / n[1:]).tolist()

    def observation_space(self, agent: str) -> gym.spaces.Box:
        return self.seen

    def action_space(self, agent: str) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(5)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.rng = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        place = self.rng.integers(self.rows * self.cols, size=len(self.agents))
        self.cell = {agent: divmod(int(s), self.cols) for agent, s in zip(self.agents, place, strict=True)}
        return self._observe(), {agent: self._info(agent, 0.0) for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        drivers = self._drivers()
        rewards, served = {}, {}
        for agent in self.agents:
            i, j = self.cell[agent]
            target = self._move(i, j, actions[agent])
            q = self.chance[i, j][drivers[i, j]]
            rewards[agent] = self.fare * q - (self.move_cost * (1 - q) if target != (i, j) else 0.0)
            served[agent] = 0.0
            if self.rng.random() < q:
                around = self._around(i, j)
                target = around[self.rng.integers(len(around))]
                served[agent] = 1.0
            self.cell[agent] = target
        observations = self._observe()
        terminations = dict.fromkeys(self.agents, False)
        truncations = dict.fromkeys(self.agents, False)
        infos = {agent: self._info(agent, served[agent]) for agent in self.agents}
        return observations, rewards, terminations, truncations, infos

    def _drivers(self) -> dict[tuple[int, int], int]:
        drivers = {(i, j): 0 for i in range(self.rows) for j in range(self.cols)}
        for agent in self.agents:
            drivers[self.cell[agent]] += 1
        return drivers

    def _move(self, i: int, j: int, action: int) -> tuple[int, int]:
        di, dj = ((0, 0), (-1, 0), (0, 1), (1, 0), (0, -1))[action]
        if 0 <= i + di < self.rows and 0 <= j + dj < self.cols:
            return i + di, j + dj
        return i, j

    def _around(self, i: int, j: int) -> list[tuple[int, int]]:
        cells = ((i, j), (i - 1, j), (i, j + 1), (i + 1, j), (i, j - 1))
        return [(a, b) for a, b in cells if 0 <= a < self.rows and 0 <= b < self.cols]

    def _observe(self) -> dict[str, np.ndarray]:
        drivers, n = self._drivers(), len(self.agents)
        observations = {}
        for agent in self.agents:
            i, j = self.cell[agent]
            row = np.zeros(self.rows * self.cols + 1, np.float32)
            row[i * self.cols + j] = 1.0
            row[-1] = drivers[i, j] / n
            observations[agent] = row
        return observations

    def _info(self, agent: str, served: float) -> dict[str, Any]:
        i, j = self.cell[agent]
        legal = [1, i > 0, j < self.cols - 1, i < self.rows - 1, j > 0]
        return {"action_mask": np.array(legal, np.int8), "served": served}


class BareDicts(ParallelEnv[str, np.ndarray, int]):
    """No model at all: five dicts with one observation row, one reward, two flags and one info per agent."""

    metadata: ClassVar[dict[str, Any]] = {"name": "bare_v0", "render_modes": []}

    def __init__(self, population: int, width: int) -> None:
        self.possible_agents = [f"agent_{i}" for i in range(population)]
        self.agents = list(self.possible_agents)
        self.seen = gym.spaces.Box(0.0, 1.0, (width,), np.float32)
        self.width = width

    def observation_space(self, agent: str) -> gym.spaces.Box:
        return self.seen

    def action_space(self, agent: str) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(5)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        rows = np.zeros((len(self.agents), self.width), np.float32)
        return {agent: rows[i] for i, agent in enumerate(self.agents)}, {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        rows = np.zeros((len(self.agents), self.width), np.float32)
        observations = {agent: rows[i] for i, agent in enumerate(self.agents)}
        rewards = dict.fromkeys(self.agents, 0.0)
        terminations = dict.fromkeys(self.agents, False)
        truncations = dict.fromkeys(self.agents, False)
        infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        return observations, rewards, terminations, truncations, infos
