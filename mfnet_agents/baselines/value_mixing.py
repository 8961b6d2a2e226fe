"""VDN (Sunehag et al., 2018) and QMIX (Rashid et al., 2018) over teams: one value of all, of which teams know a part.

Every team s has a utility q_s(n, h) of its size and of the shares h of its agents by action; the value of all is

    VDN    Q(mu, h) = sum_s q_s(n_s, h_s) + v(mu)
    QMIX   Q(mu, h) = |w(mu)| . elu(|W(mu)| q + b(mu)) + v(mu)

and increases with each q_s, so that each team finds its part of the best joint action alone: the shares of the highest
q_s. These stand on a grid, all ways to split a team in ``parts`` equal parts among its actions, tried one by one; every
agent then draws its action from them. Q is fitted to what all earn together and the value of what is best afterwards,

    r + gamma max_h' Q'(mu', h')

with the weights Q' that the iteration began with, on samples of the last iterations. VDN as published has a constant in
place of v(mu) (``bias="constant"``): what a team does then changes nothing that the teams' own sizes do not show. While
it learns, a team takes any shares of its grid with a chance that falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.algorithm import Algorithm, information_of
from mfnet_agents.baselines.config import reward_size
from mfnet_agents.baselines.config_teams import QMIXConfig, VDNConfig
from mfnet_agents.checkpoint import generator_state, set_generator_state
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.dec_neural_ac.ascent import Adam
from mfnet_agents.nets import DTYPE, TwoLayer, product
from mfnet_agents.policies.individual import bounded
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator

Weights = dict[str, Tensor]


def grid(actions: int, parts: int) -> Floats:
    """All shares of ``actions`` in multiples of 1 / parts, ``(O, A)``.

    >>> grid(2, 2).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    chosen = np.array(list(combinations_with_replacement(range(actions), parts)))
    return np.stack([(chosen == a).mean(1) for a in range(actions)], 1)


class Utilities:
    """One network (13) for each team on (size, time of the turn, shares by action).

    Attributes:
        choices: ``(O, A)`` the grid; legal: ``(T, O)`` which of them a team has.
    """

    def __init__(self, model: LocalModel, parts: int, width: int, key: np.random.SeedSequence) -> None:
        self.model, self.period = model, model.period
        self.choices = torch.as_tensor(grid(model.num_actions, parts))
        outside = ~torch.as_tensor(model.legal[model.team_states])
        self.legal = outside.to(DTYPE) @ self.choices.T == 0
        self.usual = torch.as_tensor(model.usual_counts[model.team_states], dtype=DTYPE)[:, None]
        self.own = 3 if self.period is None else 5
        teams = np.arange(len(model.team_states))
        self.net = TwoLayer.keyed(key, teams, self.own + model.num_actions, width, symmetric=True)

    def crowds(self, sizes: Ints, clock: Ints) -> Tensor:
        """What a team sees, ``(T, L, own)``, of ``sizes (L, T)`` at ``clock (L,)``."""
        n = torch.as_tensor(sizes.T, dtype=DTYPE)
        seen = [bounded(n, self.usual), torch.ones((*n.shape, 1), dtype=DTYPE)]
        if self.period is not None:
            x = torch.as_tensor(2 * np.pi * (clock % self.period) / self.period)
            seen.append(torch.stack([x.sin(), x.cos()], -1).expand(len(n), -1, -1))
        return torch.cat(seen, 2)

    def __call__(self, weights: Tensor, sizes: Ints, clock: Ints, shares: Floats) -> Tensor:
        """q ``(T, L)`` of ``shares (L, T, A)``; those of nobody are 0."""
        u = torch.cat([self.crowds(sizes, clock), torch.as_tensor(shares.transpose(1, 0, 2))], 2)
        return self.net.value(weights, u)

    def best(self, weights: Tensor, sizes: Ints, clock: Ints) -> tuple[Tensor, Tensor]:
        """The highest q ``(T, L)`` of the grid, and which it is; an empty team has one choice, to do nothing."""
        hidden = product(self.crowds(sizes, clock), weights[:, : self.own])
        there = torch.as_tensor(sizes.T > 0).to(DTYPE)[:, :, None, None]
        of_choices = torch.einsum("oa,tam->tom", self.choices, weights[:, self.own :])[:, None]
        q = (torch.relu(hidden[:, :, None] + there * of_choices) @ self.net.scale[:, None, :, None])[..., 0]
        found = torch.where(self.legal[:, None], q, -torch.inf).max(2)
        return found.values, found.indices


class Greedy(Policy):
    """Every team's best shares, from which its agents draw; ``explore``: the chance to take any others instead."""

    def __init__(self, model: LocalModel, utilities: Utilities, weights: Tensor) -> None:
        super().__init__(model)
        self.utilities, self.weights = utilities, weights

    def teams(self, counts: Ints, t: int) -> Floats:
        _, which = self.utilities.best(self.weights, counts[:, self.model.team_states], np.full(len(counts), t))
        pi: Floats = self.utilities.choices[which.T].numpy()
        return pi


class Exploring(Policy):
    """``greedy``, but with this chance a team takes any of its choices."""

    def __init__(self, greedy: Greedy, chance: float, rng: np.random.Generator) -> None:
        super().__init__(greedy.model)
        self.greedy, self.chance, self.rng = greedy, chance, rng
        legal = greedy.utilities.legal.numpy()
        self.first = np.argsort(~legal, 1, kind="stable")  # the legal ones stand first
        self.number = legal.sum(1)

    def teams(self, counts: Ints, t: int) -> Floats:
        pi, shape = self.greedy.teams(counts, t), (len(counts), len(self.number))
        anything = self.rng.random(shape) < self.chance
        drawn = self.first[np.arange(shape[1]), self.rng.integers(0, self.number, shape)]
        found: Floats = np.where(anything[..., None], self.greedy.utilities.choices.numpy()[drawn], pi)
        return found


class Batch(NamedTuple):
    """L samples of the whole network.

    Attributes:
        counts, next_counts: ``(L, S)``; actions: ``(L, T, A)`` agents; rewards: ``(L,)``; clock: ``(L,)``;
        ends: ``(L,)`` 1.0 where an episode ends with the step, after which nothing is worth anything.
    """

    counts: Ints
    actions: Ints
    rewards: Floats
    next_counts: Ints
    clock: Ints
    ends: Floats

    def at(self, some: Ints) -> Batch:
        """Some of the samples."""
        return Batch._make(part[some] for part in self)


class VDN(Algorithm):
    """See the head of this file.

    Attributes:
        utilities: of the teams; weights: what is learnt, by name; target: the same as the iteration began.
        kept: the last samples, as many as there is room for; ``filled`` of them are there.
    """

    config: VDNConfig

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return VDNConfig

    def setup(self) -> None:
        settings, model = self.config, self.model
        settings.must_fit(model)
        self.gamma = model.gamma if settings.gamma is None else settings.gamma
        start, run, shuffle, mixing = np.random.SeedSequence(settings.seed).spawn(4)
        self.rng, self.shuffle = np.random.default_rng(run), np.random.default_rng(shuffle)
        self.simulator = Simulator(model)
        self.counts, self.clock = self.simulator.reset(self.rng, settings.num_envs_per_env_runner), 0
        self.utilities = Utilities(model, settings.parts, settings.critic_width, start)
        self.weights: Weights = {"q": self.utilities.net.start.clone(), "c": torch.zeros(1, dtype=DTYPE)}
        self.weights |= self.mixing_weights(np.random.default_rng(mixing))
        self.ascents = {name: Adam(torch.zeros((2, *w.shape), dtype=DTYPE), 1e-8) for name, w in self.weights.items()}
        self.target = {name: weight.clone() for name, weight in self.weights.items()}
        room = settings.replay * settings.env_steps_per_iteration
        teams, (states, actions) = len(model.team_states), model.legal.shape
        self.kept = Batch(
            np.zeros((room, states), np.int64), np.zeros((room, teams, actions), np.int64), np.zeros(room),
            np.zeros((room, states), np.int64), np.zeros(room, np.int64), np.zeros(room),
        )  # fmt: skip
        self.filled = 0
        self.learned = Greedy(model, self.utilities, self.weights["q"])

    @property
    def policy(self) -> Greedy:
        return self.learned

    @property
    def information(self) -> str:
        return information_of("own", self.utilities.period is not None)

    @property
    def needs(self) -> str:
        return f"{super().needs}; while it learns, the actions and rewards of all"

    # -- the value of all

    def mixing_weights(self, rng: np.random.Generator) -> Weights:
        """What else is learnt beside the utilities: of v, one layer of neurons that see the crowds of all."""
        if self.config.bias == "constant":
            return {}
        seen, width = self._seen(self.counts).shape[1], self.config.critic_width
        drawn = torch.as_tensor(rng.standard_normal((seen, width)) / seen**0.5)
        return {"v_in": drawn, "v_out": torch.zeros(width, dtype=DTYPE)}

    def base(self, weights: Weights, counts: Ints) -> Tensor:
        """v ``(L,)`` at ``counts (L, S)``."""
        if "v_in" not in weights:
            return weights["c"]
        return torch.relu(self._seen(counts) @ weights["v_in"]) @ weights["v_out"] + weights["c"]

    def _seen(self, counts: Ints) -> Tensor:
        """The crowds of all states, ``(L, D)``, the last number a constant."""
        crowds = bounded(torch.as_tensor(counts, dtype=DTYPE), torch.as_tensor(self.model.usual_counts)).flatten(1)
        return torch.cat([crowds, torch.ones((len(crowds), 1), dtype=DTYPE)], 1)

    def mixed(self, weights: Weights, q: Tensor, counts: Ints) -> Tensor:
        """``(L,)`` from utilities ``(T, L)`` at ``counts (L, S)``."""
        return q.sum(0) + self.base(weights, counts)

    def value(self, weights: Weights, batch: Batch) -> Tensor:
        """Q of what was done, ``(L,)``."""
        sizes = batch.counts[:, self.model.team_states]
        shares = batch.actions / np.maximum(sizes, 1)[..., None]
        return self.mixed(weights, self.utilities(weights["q"], sizes, batch.clock, shares), batch.counts)

    def targets(self, batch: Batch) -> Tensor:
        """r + gamma max Q', ``(L,)``."""
        q, _ = self.utilities.best(self.target["q"], batch.next_counts[:, self.model.team_states], batch.clock + 1)
        following = self.mixed(self.target, q, batch.next_counts)
        return torch.as_tensor(batch.rewards) + self.gamma * torch.as_tensor(1 - batch.ends) * following

    def fit(self, batch: Batch, lr: float) -> float:
        """A step down the squared error; that error before it."""
        names = list(self.weights)
        with torch.enable_grad():
            free = {name: self.weights[name].requires_grad_() for name in names}
            error = ((self.value(free, batch) - self.targets(batch).detach()) ** 2).mean()
            slopes = torch.autograd.grad(error, [free[name] for name in names])
        for name, slope in zip(names, slopes, strict=True):
            self.weights[name].requires_grad_(False)
            self.ascents[name].step_(self.weights[name], -slope, lr)
        return float(error.detach())

    # -- an iteration

    def training_step(self) -> dict[str, Any]:
        settings, chance = self.config, self._chance()
        batch = self._play(Exploring(self.learned, chance, self.rng), settings.rollout_fragment_length)
        if not self.iteration:
            self.weights["c"].fill_(float(batch.rewards.mean()) / (1 - self.gamma))
        self._keep(batch)
        self.target = {name: weight.clone() for name, weight in self.weights.items()}
        there = min(self.filled, len(self.kept.rewards))
        lr, errors = settings.critic_lr * self._decay(), []
        for _ in range(settings.num_steps):
            some = self.shuffle.integers(0, there, settings.minibatch_size)
            errors.append(self.fit(self.kept.at(some), lr))
        heard = {"sampled_reward_mean": float(batch.rewards.mean()) / self.unit, "explored": chance}
        return {"env_steps": len(batch.rewards), "env_runners": heard, "learners": {"td_error": errors[0]}}

    @property
    def unit(self) -> float:
        """Of values: the largest reward of a step."""
        return 1 / reward_size(self.model)

    def _chance(self) -> float:
        """Of exploring: falls linearly over the first half of the budget."""
        done = min(1.0, 2 * self.env_steps / self.config.total_env_steps)
        return self.config.explore + (self.config.last_explore - self.config.explore) * done

    def _decay(self) -> float:
        return 1.0 - (1.0 - self.config.lr_decay) * min(1.0, self.env_steps / self.config.total_env_steps)

    def _play(self, policy: Policy, steps: int) -> Batch:
        """T steps of every world, which are restarted as the scenario counts: with chance 1 - gamma, or never."""
        model, record = self.model, []
        rows = np.searchsorted(model.active, model.team_states)
        for _ in range(steps):
            step = policy.play(self.simulator.at(self.clock), self.counts, self.clock, self.rng)
            ends = model.episode_steps is not None and (self.clock + 1) % model.episode_steps == 0
            worlds, discounted = len(self.counts), model.headline.criterion == "discounted"
            cut = self.rng.random(worlds) >= (0.0 if ends else self.gamma if discounted else 1.0)
            record.append(Batch(
                self.counts, step.actions[:, rows], step.team_rewards.sum(1) * self.unit, step.next_counts,
                np.full(worlds, self.clock), np.full(worlds, float(ends)),
            ))  # fmt: skip
            self.counts = step.next_counts.copy()
            if cut.any():
                self.counts[cut] = self.simulator.reset(self.rng, int(cut.sum()))
            self.clock += 1
        return Batch(*(np.concatenate(part) for part in zip(*record, strict=True)))

    def _keep(self, batch: Batch) -> None:
        """The oldest samples make room."""
        room = len(self.kept.rewards)
        place = (self.filled + np.arange(len(batch.rewards))) % room
        for kept, new in zip(self.kept, batch, strict=True):
            kept[place] = new
        self.filled += len(batch.rewards)

    # -- state

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        record = {
            "rng": generator_state(self.rng), "shuffle": generator_state(self.shuffle), "clock": self.clock,
            "filled": self.filled,
        }  # fmt: skip
        found = {f"weights_{name}": weight for name, weight in self.weights.items()}
        for name, ascent in self.ascents.items():
            found |= {f"ascent_{name}_{part}": value for part, value in ascent.state().items()}
        found["signs"] = self.utilities.net.signs
        plain = {name: value.numpy() for name, value in found.items()}
        return record, {**plain, "counts": self.counts, **{f"kept_{k}": v for k, v in self.kept._asdict().items()}}

    def check_state(self, record: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        super().check_state(record, arrays)
        if (arrays["counts"] < 0).any() or (arrays["counts"].sum(1) != self.model.population).any():
            raise ValueError(f"its worlds do not hold {self.model.population} agents each")
        if record["clock"] < 0 or record["filled"] < 0 or not (np.abs(arrays["signs"]) == 1).all():
            raise ValueError("its clock stands before the beginning, or its signs are not all 1 or -1")
        if any((arrays[name] < 0).any() for name in arrays if name.endswith(("_step", "_exp_avg_sq"))):
            raise ValueError("a number of its running means that is a square is negative")
        if any((arrays[f"kept_{name}"] < 0).any() for name in ("counts", "next_counts", "actions", "clock")):
            raise ValueError("a number of agents among its samples is negative")

    def set_state(self, record: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        state = {name: torch.tensor(value) for name, value in arrays.items()}
        self.utilities.net = TwoLayer(state["signs"], self.utilities.net.start)
        for name in self.weights:
            self.weights[name].copy_(state[f"weights_{name}"])
            self.ascents[name].take({part: state[f"ascent_{name}_{part}"] for part in self.ascents[name].state()})
        self.kept = Batch(*(arrays[f"kept_{name}"].copy() for name in Batch._fields))
        self.counts, self.clock, self.filled = arrays["counts"].copy(), int(record["clock"]), int(record["filled"])
        set_generator_state(self.rng, record["rng"])
        set_generator_state(self.shuffle, record["shuffle"])


class QMIX(VDN):
    """The utilities are mixed by a network with weights of no negative sign, which depend on the crowds of all."""

    config: QMIXConfig

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return QMIXConfig

    def mixing_weights(self, rng: np.random.Generator) -> Weights:
        """Beside those of v: W, b and w, linear in what is seen of the crowds, ``(D, ...)``."""
        teams, width, seen = len(self.model.team_states), self.config.mixing_width, self._seen(self.counts).shape[1]
        shapes = {"W": (seen, teams * width), "w": (seen, width)}
        drawn = {name: torch.as_tensor(rng.standard_normal(shape) / seen**0.5) for name, shape in shapes.items()}
        return {**super().mixing_weights(rng), **drawn, "b": torch.zeros((seen, width), dtype=DTYPE)}

    def mixed(self, weights: Weights, q: Tensor, counts: Ints) -> Tensor:
        seen = self._seen(counts)
        first = (seen @ weights["W"]).abs().reshape(len(seen), len(q), -1)
        hidden = torch.nn.functional.elu((q.T[:, None] @ first)[:, 0] + seen @ weights["b"])
        return (hidden * (seen @ weights["w"]).abs()).sum(1) + self.base(weights, counts)
