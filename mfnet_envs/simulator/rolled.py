"""Rollouts on a device: all steps are asked for before anything is read back.

The policy is carried over once, as a table by the sizes of teams. Should a team have been larger than the table, which
is seen at the end, the same rollout is drawn again with a larger one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mfnet_envs.backends.tensors import TorchBackend
from mfnet_envs.policy import Policy
from mfnet_envs.simulator.counts import CountsStepper, Flows, Transition
from mfnet_envs.simulator.tables import Tables

TABLE_BYTES = 2**28  # of a policy; a larger one is asked step by step
SMALLEST = 63  # the largest team in the first table


class Roller:
    """Rolls crowds by ``tables`` on torch's ``stepper``."""

    def __init__(self, tables: Tables, stepper: CountsStepper) -> None:
        assert isinstance(stepper.backend, TorchBackend)
        self.tables, self.stepper, self.model, self.backend = tables, stepper, tables.model, stepper.backend
        self.initial = self.backend.asarray(self.model.initial)
        self.largest = min(SMALLEST, self.model.population)  # the largest team so far

    def roll(
        self, policy: Policy, counts: Any, t: int, steps: int, rng: Any, keep: float, recorded: Collection[str]
    ) -> Flows | None:
        """``steps`` steps of ``counts (B, S)`` by a policy; None where it reads more than sizes or is no small table.
        See :meth:`Simulator.rollout`."""
        rng = self.backend.stream(rng)
        begun = rng.get_state()
        while True:
            table = self._table(policy, t, steps)
            if table is None:
                rng.set_state(begun)
                return None
            record, final, largest = self._steps(table, counts, steps, rng, keep, recorded)
            met = int(self.backend.asnumpy(largest))
            if table.shape[1] == 1 or met < table.shape[1]:
                return self._flows(record, final, steps)
            self.largest = met
            rng.set_state(begun)

    def _table(self, policy: Policy, t: int, steps: int) -> Any:
        """pi ``(turns, K, T, A)`` on the device, with room for teams a little larger than have been met."""
        largest = min(self.model.population, self.largest + self.largest // 4)
        once = policy.by_size(largest, t, 1)
        if once is None or 8 * once.size * steps > TABLE_BYTES:
            return None
        pi = policy.by_size(largest, t, steps)
        return None if pi is None else self.backend.asarray(pi)

    def _steps(
        self, table: Any, counts: Any, steps: int, rng: Any, keep: float, recorded: Collection[str]
    ) -> tuple[dict[str, list[Any]], Any, Any]:
        """What is recorded of each step, where the worlds end, and the largest team; all on the device."""
        record: dict[str, list[Any]] = {name: [] for name in Flows._fields}
        teams, (turns, sizes) = self.tables.choices.teams, table.shape[:2]
        places, largest = (
            self.backend.xp.arange(len(teams), device=counts.device),
            self.backend.xp.zeros_like(counts[0, 0]),
        )
        cuts, starts = self._restarts(rng, steps, len(counts), keep)
        for i in range(steps):
            n, pi = counts[:, teams], table[min(i, turns - 1)]
            largest = self.backend.xp.maximum(largest, n.max()) if len(teams) else largest
            step = self._play(counts, pi[0] if sizes == 1 else pi[n.clamp(max=sizes - 1), places], rng)
            for name, values in self._seen(counts, step, recorded).items():
                record[name].append(values)
            counts = step.next_counts
            if cuts is not None:
                counts = self.backend.xp.where(cuts[i][:, None], starts[i], counts)
        record["cut"] = [] if cuts is None else list(cuts)
        return record, counts, largest

    def _play(self, counts: Any, pi: Any, rng: Any) -> Transition:
        stepper, choices = self.stepper, self.tables.choices
        if self.model.quota is not None:
            return stepper.play(counts, pi, rng)
        actions = stepper.actions(counts, choices.act(self.backend, rng, counts, pi))
        return stepper.move(counts, actions, *stepper.ration(counts, actions, rng), rng)

    def _restarts(self, rng: Any, steps: int, worlds: int, keep: float) -> tuple[Any, Any]:
        """``(T, B)`` whether a world starts afresh after a step, and ``(T, B, S)`` from where; None if none does."""
        if keep == 1:
            return None, None
        one = self.backend.xp.ones((steps, worlds), dtype=self.backend.xp.int64, device=self.backend.device)
        odds = self.backend.asarray([keep, 1 - keep])
        cuts = self.backend.multinomial(rng, one, odds)[..., 1] > 0
        return cuts, self.backend.multinomial(rng, self.model.population * one, self.initial)

    def _seen(self, counts: Any, step: Transition, recorded: Collection[str]) -> dict[str, Any]:
        """One step's part of :class:`Flows`."""
        nodes, seen = self.model.network.num_nodes, dict[str, Any]()
        if "crowd" in recorded:
            seen["crowd"] = self.tables.crowd(counts)
        if "next_crowd" in recorded:
            seen["next_crowd"] = self.tables.crowd(step.next_counts)
        if "earned" in recorded:
            seen["earned"] = step.team_rewards.reshape(len(counts), nodes, -1).sum(2)
        seen |= {name: getattr(step, name) for name in ("actions", "unserved", "served") if name in recorded}
        return seen if step.trace is None else seen | {"traces": step.trace}

    def _flows(self, record: dict[str, list[Any]], final: Any, steps: int) -> Flows:
        """The record in numpy's arrays, of one piece each; what was not asked for has no steps."""
        asnumpy, worlds = self.backend.asnumpy, len(final)
        none = self._seen(final, self._nobody(final), set(Flows._fields))
        found = {}
        for name in ("crowd", "next_crowd", "actions", "unserved", "served", "earned"):
            values = record[name]
            found[name] = asnumpy(self.backend.xp.stack(values) if values else none[name][None][:0])
        found["cut"] = asnumpy(
            self.backend.xp.stack(record["cut"])
            if record["cut"]
            else self.backend.xp.zeros((steps, worlds), dtype=self.backend.xp.bool)
        )
        traces = tuple(trace.by(asnumpy) for trace in record["traces"])
        return Flows(final, traces=traces, **found)

    def _nobody(self, final: Any) -> Transition:
        """A step of no world, for its shapes."""
        rows, actions = len(self.tables.active), self.model.num_actions
        flow = final.new_zeros((len(final), rows, actions))
        return Transition(final, final.double(), flow, flow[:, :, 0], flow)
