"""A small game with everything the first experiment asks of it: enumerated, and with named agents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.exact import ExactGame, NamedGame
from mfnet_envs.model import LocalModel

JOINT_STATES = 3_000  # of named agents; a model with more is simulated
CHANCE = 1e-4  # of a false alarm, for all tests of one statement together


@dataclass(frozen=True)
class Case:
    """A model, a policy, and what is asked of them.

    Attributes:
        pi: ``(S, N + 1, A)``; draws: situations drawn for each law; laws: laws tested of each kind;
        worlds: episodes of a mean; pairs: first actions tried.
    """

    name: str
    model: LocalModel
    pi: Floats
    seed: int
    draws: int
    laws: int
    worlds: int
    pairs: int

    @cached_property
    def game(self) -> ExactGame:
        return ExactGame(self.model)

    @cached_property
    def named(self) -> NamedGame | None:
        few = self.model.network.num_states**self.model.population <= JOINT_STATES
        return NamedGame(self.model) if few else None

    @cached_property
    def named_law(self) -> tuple[Floats, Floats]:
        assert self.named is not None
        return self.named.chain(self.pi)

    @cached_property
    def some_pairs(self) -> Ints:
        """Places of at most ``pairs`` pairs (mu, h), drawn without replacement."""
        everything = len(self.game.pairs)
        return np.sort(self.rng(0).permutation(everything)[: self.pairs])

    def rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose])


def agents_of(pair: Ints) -> tuple[Ints, Ints]:
    """Action counts ``(S, A)`` as N agents: their states and their actions."""
    return np.divmod(np.repeat(np.arange(pair.size), pair.reshape(-1)), pair.shape[1])
