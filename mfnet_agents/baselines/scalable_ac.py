"""Scalable Actor-Critic (Qu, Wierman and Li, 2020): tables of truncated Q-functions, one per node; softmax policies.

Node y keeps Q_y of what it sees: the crowds and the actions in N_y^k, as whole numbers. After an episode of T steps,

    Q_y(z_t)  <-  (1 - alpha) Q_y(z_t) + alpha (r_y(t) + gamma Q_y(z_{t+1}))          for t = 0 .. T - 1, in order
    theta_s   <-  theta_s + eta sum_t gamma^t sum_{y in N_s^k} Q_y(z_t) grad log pi_s(h_t | mu_t(s))

with alpha = 1 / sqrt(1 + m T + t) and eta = actor_lr / sqrt(1 + m) in episode m since the last restart of the schedule.
Here a team of n agents plays the multinomial of pi_s(. | n), B worlds are played at once, and crowds of many are
counted in levels: a table that tells 40 agents from 41 is never visited twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_agents.algorithm import Algorithm, information_of
from mfnet_agents.baselines.config import ScalableACConfig, reward_size
from mfnet_agents.checkpoint import check_arrays, check_record, generator_state, set_generator_state
from mfnet_agents.config import AlgorithmConfig
from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator

Keys = NDArray[np.uint64]
FULL_SCALE = 4.0  # crowds of so many times the usual one, and larger, are one level


class Levels:
    """Whole numbers 0 .. K - 1 for crowds: n itself where K > N, else its share of FULL_SCALE usual crowds."""

    def __init__(self, model: LocalModel, levels: int) -> None:
        self.number = min(levels, model.population + 1)
        usual = np.maximum(1.0, model.usual_counts)
        self.width: Floats = np.ones_like(usual)
        if self.number <= model.population:
            self.width = np.maximum(1.0, usual * FULL_SCALE / self.number)

    def of(self, counts: Ints, states: slice | Ints = slice(None)) -> Ints:
        """``counts (..., S')`` of these states -> ``(..., S')``."""
        found: Ints = np.minimum((counts / self.width[states]).astype(np.int64), self.number - 1)
        return found


class SoftmaxTable(Policy):
    """pi(a | s, level of n) = softmax of ``theta (T, K, A)``."""

    def __init__(self, model: LocalModel, levels: Levels) -> None:
        super().__init__(model)
        self.levels, self.legal = levels, model.legal[model.team_states][:, None]
        self.theta: Floats = np.zeros((len(model.team_states), levels.number, model.num_actions))

    def seen(self, counts: Ints) -> Ints:
        """Levels ``(..., T)`` of the teams in ``counts (..., S)``."""
        states = self.model.team_states
        return self.levels.of(counts[..., states], states)

    def table(self) -> Floats:
        """``(T, K, A)``."""
        return self.probabilities(self.theta)

    def probabilities(self, theta: Floats) -> Floats:
        """The softmax over legal actions of logits ``(..., T, K, A)``."""
        logits = np.where(self.legal, theta, -np.inf)
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        pi: Floats = odds / odds.sum(-1, keepdims=True)
        return pi

    def teams(self, counts: Ints, t: int) -> Floats:
        pi: Floats = self.table()[np.arange(len(self.theta)), self.seen(counts)]
        return pi

    def score(self, levels: Ints, actions: Ints, c: Floats) -> Floats:
        """sum_l c[l, s] grad log pi_s(h_l | n_l), ``(T, K, A)``: (n_a - n pi_a) in the row of the level.

        Args:
            levels: ``(L, T)``; actions: ``(L, T, A)``; c: ``(L, T)``.
        """
        taken = np.zeros_like(self.theta)
        np.add.at(taken, (np.arange(len(self.theta)), levels), c[..., None] * actions)
        found: Floats = taken - self.table() * taken.sum(2, keepdims=True)
        return found


class QTables:
    """All nodes' tables as one: sorted keys of what was seen, and a value each; what is new starts at 0.

    A key is a random 64-bit sum of node, place and number: two of a million tuples share one with probability 3e-8.
    """

    def __init__(self, index: Ints, mask: Bools, features: int, rng: np.random.Generator) -> None:
        """``index, mask (V, D)``: whom each node sees; ``features``: numbers that each of them shows."""
        self.index, self.mask = index, mask
        salts = rng.integers(0, 2**64, (index.shape[1], features), np.uint64)
        self.salts, self.own = salts, rng.integers(0, 2**64, len(index), np.uint64)
        self.keys: Keys = np.zeros(0, np.uint64)
        self.values: Floats = np.zeros(0)

    def keys_of(self, shown: Ints) -> Keys:
        """``shown (L, V, F)`` -> ``(L, V)``."""
        keys = np.broadcast_to(self.own, shown.shape[:2]).copy()
        told = shown.astype(np.uint64)
        for slot, salts in enumerate(self.salts):
            keys += ((told * salts).sum(2))[:, self.index[:, slot]] * self.mask[:, slot]
        return keys

    def places(self, keys: Keys) -> Ints:
        """Where the values of ``keys`` stand, new ones included: the same shape."""
        new = np.unique(keys)
        at = np.searchsorted(self.keys, new)
        missing = np.searchsorted(self.keys, new, "right") == at  # np.setdiff1d would sort all keys anew
        new, at = new[missing], at[missing]
        self.keys, self.values = np.insert(self.keys, at, new), np.insert(self.values, at, 0.0)
        found: Ints = np.searchsorted(self.keys, keys)
        return found

    def learn(self, now: Ints, target: Floats, alpha: float) -> float:
        """One step towards the targets, averaged where worlds saw the same; their mean squared error before it."""
        wrong = (target - self.values[now]).reshape(-1)
        place, which = np.unique(now.reshape(-1), return_inverse=True)
        self.values[place] += alpha * np.bincount(which, wrong) / np.bincount(which)
        return float((wrong**2).mean())


class ScalableAC(Algorithm):
    """See the head of this file.

    Attributes:
        learned: the policy; critics: the tables; counts: ``(B, S)``, where the worlds stand.
    """

    config: ScalableACConfig

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return ScalableACConfig

    def setup(self) -> None:
        settings, model = self.config, self.model
        settings.must_fit(model)
        self.gamma = model.gamma if settings.gamma is None else settings.gamma
        salts, run = np.random.SeedSequence(settings.seed).spawn(2)
        self.rng, self.simulator = np.random.default_rng(run), Simulator(model)
        self.levels = Levels(model, settings.levels)
        self.learned = SoftmaxTable(model, self.levels)
        index, mask = model.network.hops(settings.hops)
        layers = model.network.layers
        self.critics = QTables(index, mask, layers * (1 + model.num_actions), np.random.default_rng(salts))
        self.hood = np.where(mask, index, model.network.num_nodes)
        self.counts = self.simulator.reset(self.rng, settings.num_envs_per_env_runner)
        self.clock = 0

    @property
    def policy(self) -> SoftmaxTable:
        return self.learned

    @property
    def information(self) -> str:
        return information_of("own", False)

    @property
    def needs(self) -> str:
        return f"{super().needs}; while it learns, crowds and actions within 2 k = {2 * self.config.hops} hops"

    def training_step(self) -> dict[str, Any]:
        """An episode of every world; its transitions learnt in order; one step of the policies."""
        settings, steps = self.config, self.config.rollout_fragment_length
        counts, actions, rewards = self._play(steps)
        places = self.critics.places(self.critics.keys_of(self._shown(counts, actions))).reshape(*counts.shape[:2], -1)
        paid = rewards * (self.model.network.num_nodes * (1 - self.gamma) / reward_size(self.model))
        since = self.iteration if settings.restart is None else self.iteration % settings.restart
        errors = [
            self.critics.learn(
                places[t],
                paid[t] + self.gamma * self.critics.values[places[t + 1]],
                settings.critic_lr / float(np.sqrt(1 + since * steps + t)),
            )
            for t in range(steps)
        ]
        gradient = self._gradient(counts[:-1], actions[:-1], self.critics.values[places[:-1]])
        self.learned.theta = self.learned.theta + settings.actor_lr / float(np.sqrt(1 + since)) * gradient
        learners = {
            "td_error": float(np.mean(errors)),
            "gradient_norm": float(np.sqrt((gradient**2).sum())),
            "table": len(self.critics.keys),
        }
        heard = {"sampled_reward_mean": float(rewards.sum(2).mean())}
        return {"env_steps": rewards[..., 0].size, "env_runners": heard, "learners": learners}

    def _play(self, steps: int) -> tuple[Ints, Ints, Floats]:
        """T + 1 steps: counts ``(T + 1, B, S)``, actions ``(T + 1, B, R, A)``, rewards of nodes ``(T + 1, B, V)``.

        The last one is there for its actions; the next episode begins with it, or from the start.
        """
        model, counts = self.model, self.counts
        if model.headline.criterion == "discounted":
            over = self.rng.random(len(counts)) >= self.gamma**steps
            counts = counts.copy()
            if over.any():
                counts[over] = self.simulator.reset(self.rng, int(over.sum()))
        seen, done, paid = [], [], []
        for t in range(steps + 1):
            step = self.learned.play(self.simulator.at(self.clock + t), counts, self.clock + t, self.rng)
            seen.append(counts)
            done.append(step.actions)
            paid.append(step.team_rewards.reshape(len(counts), model.network.num_nodes, -1).sum(2))
            counts = step.next_counts
        self.counts, self.clock = counts, self.clock + steps + 1
        return np.stack(seen), np.stack(done), np.stack(paid)

    def _shown(self, counts: Ints, actions: Ints) -> Ints:
        """What nodes show, ``(L, V, F)``: the levels of the crowds and of those who took each action, by layer."""
        (states, acts), active = self.model.legal.shape, self.model.active
        crowd = self.levels.of(counts.reshape(-1, states))
        done = np.zeros((len(crowd), states, acts), np.int64)
        by_action = actions.reshape(len(crowd), len(active), acts).transpose(0, 2, 1)
        done[:, active] = self.levels.of(by_action, active).transpose(0, 2, 1)
        return np.concatenate([crowd[..., None], done], 2).reshape(len(crowd), self.model.network.num_nodes, -1)

    def _gradient(self, counts: Ints, actions: Ints, q: Floats) -> Floats:
        """sum_t gamma^t sum_{y in N_s^k} Q_y grad log pi_s, mean over worlds: ``(T, K, A)``.

        Args:
            q: ``(T, B, V)``. With ``baseline="mean"`` what the worlds have in common at a step is taken off first.
        """
        model, steps = self.model, len(counts)
        heard = np.concatenate([q, np.zeros_like(q[..., :1])], 2)
        bracket = heard[..., self.hood].sum(3)[..., model.network.node_of[model.team_states]]
        if self.config.baseline == "mean":
            bracket = bracket - bracket.mean(1, keepdims=True)
        if model.headline.criterion == "discounted":
            bracket = bracket * self.gamma ** np.arange(steps)[:, None, None]
        levels = self.learned.seen(counts).reshape(-1, len(model.team_states))
        taken = actions[:, :, np.searchsorted(model.active, model.team_states)]
        flat = bracket.reshape(levels.shape)
        mean: Floats = self.learned.score(levels, taken.reshape(*levels.shape, -1), flat) / counts.shape[1]
        return mean

    # -- state

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        arrays = {"theta": self.learned.theta, "keys": self.critics.keys.view(np.int64), "values": self.critics.values}
        return {"rng": generator_state(self.rng), "clock": self.clock}, {**arrays, "counts": self.counts}

    def check_state(self, record: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        mine, own = self.get_state()
        check_record(mine, record)
        tables = {name: arrays[name] for name in ("keys", "values") if name in arrays}
        check_arrays(
            {**own, **{name: np.zeros(array.shape, own[name].dtype) for name, array in tables.items()}}, arrays
        )
        keys = arrays["keys"].view(np.uint64)
        if keys.shape != arrays["values"].shape or keys.ndim != 1 or (keys[1:] <= keys[:-1]).any():
            raise ValueError("its keys are not those of a table, sorted and with a value each")
        counts = arrays["counts"]
        if (counts < 0).any() or (counts.sum(1) != self.model.population).any() or record["clock"] < 0:
            raise ValueError(f"its worlds do not hold {self.model.population} agents each")

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        self.learned.theta = arrays["theta"].copy()
        self.critics.keys, self.critics.values = arrays["keys"].view(np.uint64).copy(), arrays["values"].copy()
        self.counts, self.clock = arrays["counts"].copy(), int(record["clock"])
        set_generator_state(self.rng, record["rng"])
