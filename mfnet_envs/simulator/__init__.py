"""The simulator: B worlds at once as integer counts, agents one by one, and the limit of infinitely many agents.

Three steppers of one law, pure given ``rng``: ``counts.py``, ``agents.py``, ``fluid.py``. The law is written once, on
the arrays of a backend (``mfnet_envs.backends``), which alone draws.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints, array_of
from mfnet_envs.backends import NUMPY, Backend, backend_of
from mfnet_envs.backends.draws import multinomial, without_replacement
from mfnet_envs.backends.reference import NumpyBackend
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.simulator.agents import AgentStepper, AgentTransition
from mfnet_envs.simulator.counts import CountsStepper, Flows, Trace, Transition
from mfnet_envs.simulator.fluid import ArraysLike, expected_step
from mfnet_envs.simulator.tables import ROUNDING, Tables, step_bytes
from mfnet_envs.words import fits, shown, whole

if TYPE_CHECKING:
    from mfnet_envs.simulator.compiled import CompiledStepper
    from mfnet_envs.simulator.rolled import Roller

__all__ = [
    "ROUNDING",
    "AgentTransition",
    "Flows",
    "Simulator",
    "Trace",
    "Transition",
    "multinomial",
    "step_bytes",
    "without_replacement",
]


class Simulator:
    """Simulates a :class:`~mfnet_envs.model.LocalModel`.

    On numpy one generator drives all B lanes of a batch in vectorised draws, so the path of a lane depends on the batch
    size; the compiled backend's do not.
    ``pi`` and ``action_counts`` have rows for all S states or only for the T states that have a choice
    (``model.team_states``); both mean the same, the short form is cheap on networks with many layers.

    A simulator steps one law. Where the model reads a clock, ``simulator.at(t)`` is the one to step with at time t.

    Args:
        backend: a name of ``mfnet_envs.backends`` or a backend; by default that of the environment variable
            MFNET_BACKEND, else numpy. ``rng`` is made by :meth:`generator`; "compiled" and "torch" also take numpy's
            generators. Arrays go in and come out as its own; whose counts are numpy's gets numpy's, and waits for them
            (``reset``: whose generator is numpy's).
        traced: whether transitions also tell what agents saw of their own step (``Transition.trace``).
        device: of backend="torch": "cpu", "cuda", "cuda:1". "torch:cuda" says the same in one word.

    Raises:
        ValueError: no backend of that name, or no such device. ModuleNotFoundError: its library is not installed.
    """

    def __init__(
        self,
        model: LocalModel,
        backend: str | Backend | None = None,
        traced: bool = False,
        device: str | None = None,
    ) -> None:
        if not isinstance(model, LocalModel):
            raise TypeError(f"a simulator is of a model, such as make_model('MFNet-Grid-v0'), not of {shown(model)}")
        self.model, self.backend, self.traced = model, backend_of(backend, device), traced
        self._tables = Tables(model, self.backend)
        self._counts = CountsStepper(self._tables, self.backend, traced)
        self._compiled = self._stepper()
        self._in_force: list[Simulator] = []  # of the clocked model's other laws met so far
        self._tables_like: dict[tuple[str, ...], Tables] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (
            self.model,
            self.backend,
            self.traced,
        )  # the tables are made again: smaller, and whatever the library

    def _stepper(self) -> CompiledStepper | None:
        if self.backend.name != "compiled":
            return None
        from mfnet_envs.simulator.compiled import CompiledStepper

        return CompiledStepper(self._tables, self._counts)

    @cached_property
    def _roller(self) -> Roller | None:
        """Rollouts of a device, which go on without waiting for it."""
        if not hasattr(self.backend, "device"):
            return None
        from mfnet_envs.simulator.rolled import Roller

        return Roller(self._tables, self._counts)

    @property
    def how(self) -> str:
        """Which backend steps, and how much of a step is compiled."""
        return self.backend.name if self._compiled is None else self._compiled.how

    def at(self, t: int) -> Simulator:
        """The simulator of ``model.at(t)``, built when first asked for; itself unless the model reads a clock."""
        model = self.model.at(t)
        if model is self.model:
            return self
        for simulator in self._in_force:
            if simulator.model is model:
                return simulator
        self._in_force.append(Simulator(model, self.backend, traced=self.traced))
        return self._in_force[-1]

    @property
    def branch_columns(self) -> int:
        """Columns of a trace's ``went``: 1 where the action does not matter to the branches, else A; 0 if untraced."""
        return self._counts.columns

    def generator(self, seed: int | None = None) -> Any:
        """A stream of random numbers for this simulator's backend; ``np.random.default_rng(seed)`` for numpy's."""
        return self.backend.generator(None if seed is None else whole("seed", seed, 0))

    def mu_hood(self, counts: NDArray[np.generic]) -> Floats:
        """The shares ``(B, V, D, G)`` that the model's functions receive; zero where a neighbourhood is padded.

        D = 1, the own node, where :attr:`StateNetwork.neighbors` is refused and the model reads no other.
        """
        shares: Floats = self._told(counts)(self._tables.hoods(self.backend.asarray(counts)) / self.model.population)
        return shares

    def crowd(self, counts: NDArray[np.generic]) -> Floats:
        """Agents of each group at each node, ``(B, V, G)``, from counts (or shares) ``(B, S)``."""
        crowd: Floats = self._told(counts)(self._tables.crowd(self.backend.asarray(counts)))
        return crowd

    def _told(self, given: Any) -> Callable[[Any], Any]:
        """How what follows of ``given`` goes back to who gave it: in numpy's arrays if that is numpy's."""
        foreign = not isinstance(self.backend, NumpyBackend)
        return self.backend.asnumpy if foreign and isinstance(given, np.ndarray | np.random.Generator) else _as_it_is

    # -- counts ---------------------------------------------------------------------------------------------------

    def reset(self, rng: Any, batch: int = 1) -> Ints:
        """Agents i.i.d. from ``model.initial``: ``(B, S)`` ints, each row summing to the population.

        Raises:
            ValueError: more worlds than this machine's memory can step. TypeError: ``rng`` is no generator.
        """
        n, initial, asarray = self.model.population, self.model.initial, self.backend.asarray
        what, room = f"{shown(batch)} worlds of {len(initial):,} states", step_bytes(self.model)
        fits(what, whole("batch", batch), itemsize=room)
        self._check_generator(rng)
        if self._compiled is not None:
            return self._compiled.reset(rng, batch)
        if isinstance(rng, np.random.Generator):  # not by the cheaper of two ways: this is how published worlds began
            counts: Ints = rng.multinomial(n, initial, size=batch)
        else:
            counts = self.backend.multinomial(rng, asarray(np.full(batch, n)), asarray(initial))
        return counts

    def _check_generator(self, rng: Any) -> None:
        if self.backend is NUMPY and not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy Generator, np.random.default_rng(seed), not {shown(rng)}")

    def _crowds(self, counts: Any, rng: Any) -> Any:
        """``counts (B, S)``, whole numbers in the backend's arrays.

        Raises:
            ValueError: something else. TypeError: ``rng`` is no generator.
        """
        self._check_generator(rng)
        counts = self._table("counts", counts, "iu")
        states = self.model.network.num_states
        if len(counts.shape) != 2 or counts.shape[1] != states:
            raise ValueError(f"counts must have shape (worlds, {states}), not {tuple(counts.shape)}")
        return counts

    def _table(self, name: str, table: Any, kinds: str) -> Any:
        """``table`` in the backend's arrays, whose numbers must be of these kinds (numpy's letters).

        Raises:
            ValueError: text, objects, or fractions where whole numbers are needed.
        """
        if type(table) is np.ndarray and table.dtype.kind in kinds:
            return self.backend.asarray(table)
        if isinstance(self.backend, NumpyBackend) or not hasattr(table, "device"):
            return self.backend.asarray(array_of(name, table, kinds))
        if "f" not in kinds and not self.backend.xp.isdtype(table.dtype, "integral"):
            raise ValueError(f"{name} must be an array of whole numbers, not of {table.dtype}")
        return self.backend.asarray(table)

    def act(self, counts: Ints, pi: NDArray[np.floating], rng: Any) -> Ints:
        """Every agent draws its action from its state's row of ``pi``: the multinomial (5).

        Args:
            counts: ``(B, S)`` ints.
            pi: ``(..., S, A)`` or ``(..., T, A)`` probabilities, broadcast over worlds.

        Returns:
            ``action_counts`` with the rows of ``pi``; illegal actions are counted as the first legal one.

        Raises:
            ValueError: wrong shape, NaN or negative probabilities.
        """
        told = self._told(counts)
        counts, pi = self._crowds(counts, rng), self._table("pi", pi, "biuf")
        drawn: Ints = told(self._tables.choices.act(self.backend, rng, counts, pi))
        return drawn

    def step(self, counts: Ints, action_counts: Ints, rng: Any) -> tuple[Ints, Floats]:
        """One joint transition: ``(next_counts (B, S), team_rewards (B, S))``; see :meth:`transition`."""
        result = self.transition(counts, action_counts, rng)
        return result.next_counts, result.team_rewards

    def follow(self, policy: Policy, counts: Ints, t: int, rng: Any) -> Transition:
        """One step by a policy: its teams' own draw, or agents that draw for themselves by the cheaper :meth:`play`.

        Raises:
            ValueError: teams that draw together, where the backend draws with another generator than numpy's.
        """
        seen = self.backend.asnumpy(counts)
        if not policy.acts_as_team:
            return self.play(counts, policy.teams(seen, t), rng)
        drawn = rng.numpy() if self._compiled is not None and not isinstance(rng, np.random.Generator) else rng
        if not isinstance(drawn, np.random.Generator):
            raise ValueError(
                f"the teams of {type(policy).__name__} draw together, with numpy's generator: play it on "
                f"Simulator(model), or Individually(policy) on the backend {self.backend.name!r}"
            )
        return self.transition(counts, self.backend.asarray(policy.sample(seen, t, drawn)), rng)

    def play(self, counts: Ints, pi: NDArray[np.floating], rng: Any) -> Transition:
        """:meth:`act` and :meth:`transition` in one, where agents draw independently: the same law, drawn cheaper."""
        told = self._told(counts)
        counts, pi = self._crowds(counts, rng), self._table("pi", pi, "biuf")
        if self._compiled is not None:
            return self._compiled.play(counts, pi, rng)
        if self.model.quota is None:
            played = self.transition(counts, self.act(counts, pi, rng), rng)
        else:
            played = self._counts.play(counts, pi, rng)
        return played if told is _as_it_is else played.by(told)

    def transition(self, counts: Ints, action_counts: Ints, rng: Any) -> Transition:
        """One joint transition with the flows that made it.

        Args:
            counts: ``(B, S)`` ints.
            action_counts: ``(B, S, A)`` or ``(B, T, A)`` ints, summing to the counts of their states.

        Raises:
            ValueError: actions that do not sum to the counts, or a model that answers with NaN.
        """
        told = self._told(counts)
        counts, action_counts = self._crowds(counts, rng), self._table("action_counts", action_counts, "iu")
        if self._compiled is not None:
            return self._compiled.transition(counts, action_counts, rng)
        actions = self._counts.actions(counts, action_counts)
        served, unserved = self._counts.ration(counts, actions, rng)
        moved = self._counts.move(counts, actions, served, unserved, rng)
        return moved if told is _as_it_is else moved.by(told)

    def rollout(
        self,
        policy: Policy,
        counts: Ints,
        t: int,
        steps: int,
        rng: Any,
        *,
        keep: float = 1.0,
        recorded: Collection[str] = ("earned",),
    ) -> Flows | None:
        """Up to ``steps`` steps by a policy in one piece, if this backend and this policy can: else None, and
        :meth:`follow` steps it.

        In one piece go agents that draw for themselves by their team's size, on torch's backend, and on the compiled
        one where reward and kernel read the same crowd; under one law, so that a clocked model is stepped to the end of
        its hour. Each step draws what :meth:`play` would. What is recorded is numpy's.

        Args:
            t: the first step, as policies and clocks count.
            keep: the chance that a world goes on after a step, instead of starting afresh.
            recorded: which of the fields of :class:`~mfnet_envs.simulator.Flows`.
        """
        now = self.at(t)
        roller = now._compiled or now._roller
        if roller is None or policy.acts_as_team or type(policy).play is not Policy.play:
            return None
        if self.model.period is not None:
            steps = next((k for k in range(1, steps) if self.at(t + k) is not now), steps)
        flows = roller.roll(policy, now._crowds(counts, rng), t, steps, rng, keep, recorded)
        return None if flows is None else flows._replace(final=self._told(counts)(flows.final))

    # -- agents ---------------------------------------------------------------------------------------------------

    def step_agents(self, states: Ints, actions: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """The same law with identities kept.

        Args:
            states: ``(B, N)`` ints in 0..S-1.
            actions: ``(B, N)`` ints in 0..A-1; an illegal one is played as the first legal one.

        Returns:
            ``(next_states (B, N), rewards (B, N))``, the rewards of (1); numpy's, whatever the backend.

        Raises:
            ValueError: ``rng`` is not numpy's, on another backend than the compiled one.
        """
        result = self.transition_agents(states, actions, rng)
        return result.next_states, result.rewards

    def transition_agents(self, states: Ints, actions: Ints, rng: np.random.Generator) -> AgentTransition:
        """:meth:`step_agents`, and who was served."""
        if self._compiled is None and not isinstance(rng, np.random.Generator):
            raise ValueError("agents one by one are drawn with numpy; pass rng=np.random.default_rng(seed)")
        s, a = self.model.legal.shape
        states, actions = _places("states", states, s), _places("actions", actions, a)
        if states.shape != actions.shape or states.ndim != 2:
            shapes = f"{states.shape} and {actions.shape}"
            raise ValueError(f"states and actions must have one shape, (worlds, agents), not {shapes}")
        if self._compiled is not None:
            return self._compiled.step_agents(states, actions, rng)
        return self._agents.step(states, actions, rng)

    @cached_property
    def _agents(self) -> AgentStepper:
        return AgentStepper(self._in_numpy)

    # -- infinitely many agents -----------------------------------------------------------------------------------

    def mean_field_step(self, mu: Any, pi: Any) -> tuple[Any, Any]:
        """The limit N = infinity: shares move by their expectations under ``model.fluid()``.

        numpy or torch, whatever the backend; where either argument is a tensor the step is one of tensors, and
        differentiable.

        Args:
            mu: ``(B, S)`` shares; pi: ``(..., S, A)`` or ``(..., T, A)``.

        Returns:
            ``(next mu (B, S), team rewards (B, S))``.
        """
        if type(mu) is np.ndarray and type(pi) is np.ndarray:
            return expected_step(self._limit, mu, pi)
        arrays = ArraysLike(pi if type(mu) is np.ndarray else mu)
        if arrays.key not in self._tables_like:
            self._tables_like[arrays.key] = Tables(self.model.fluid(), arrays)
        return expected_step(self._tables_like[arrays.key], arrays.asarray(mu), arrays.asarray(pi))

    @cached_property
    def _limit(self) -> Tables:
        fluid = self.model.fluid()
        return self._in_numpy if fluid is self.model else Tables(fluid, NUMPY)

    @cached_property
    def _in_numpy(self) -> Tables:
        return self._tables if isinstance(self.backend, NumpyBackend) else Tables(self.model, NUMPY)


def _as_it_is(x: Any) -> Any:
    return x


def _places(name: str, values: Any, end: int) -> Ints:
    """Whole numbers in 0 .. end - 1."""
    places = array_of(name, values, "iu")
    if places.size and not (0 <= places.min() and places.max() < end):
        raise ValueError(f"{name} must be whole numbers in 0 .. {end - 1}, not {places.min()} .. {places.max()}")
    return places
