"""The one measuring room: every policy on the same worlds, in the scenario's headline unit, beside its certificate.

>>> import mfnet_envs
>>> model = mfnet_envs.make_model("MFNet-Grid-v0", population=10, rows=2, cols=2)
>>> measured = mfnet_envs.measure(model, model.heuristics(), worlds=8)
>>> measured.results["greedy"].value < measured.yardstick.bound
True
>>> difference, ci95 = measured.difference("proportional", "stay")  # paired, since the worlds are common

``print(measured.text())`` shows the table, ``measured.footnotes()`` what belongs under it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from mfnet_envs import tables
from mfnet_envs.arrays import Floats
from mfnet_envs.backends import Backend
from mfnet_envs.bounds import Certificate
from mfnet_envs.evaluate import check_arguments, check_worlds, half_width, summary, worlds_of
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.words import shown
from mfnet_envs.yardstick import Yardstick

RANDOM, BOUND = "random", "bound"
ROUNDING = 1e-6  # relative: what a policy may lie above its bound by the order in which numbers are added
PER_AGENT = Yardstick("discounted_return", 1.0, "discounted return per agent", None)
Tell = Callable[[str, "Result"], None]
Standing = Literal["above", "level with", "below"]


@dataclass(frozen=True)
class Result:
    """One policy on the common worlds.

    Attributes:
        value: the headline, a mean over worlds; ci95: half its 95 % interval, infinite for a single world.
        report: per agent, as :func:`mfnet_envs.evaluate` returns it.
        values: ``(worlds,)`` the headline of each world; None where a file does not have them.
    """

    value: float
    ci95: float
    report: dict[str, float]
    values: Floats | None = field(default=None, compare=False)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Result:
        """What :meth:`to_dict` gave; null, as JSON writes what is not finite, is read back."""
        values = None if record.get("values") is None else _floats(record["values"])
        value, ci95 = (math.nan if record[key] is None else float(record[key]) for key in ("value", "ci95"))
        report = {name: math.nan if number is None else float(number) for name, number in record["report"].items()}
        return cls(value, math.inf if math.isnan(ci95) else ci95, report, values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {} if self.values is None else {"values": self.values.tolist()}
        return {"value": self.value, "ci95": self.ci95, "report": self.report, **values}


@dataclass(frozen=True)
class Measurement:
    """Policies side by side.

    Attributes:
        results: name -> result, in the order asked for; "random" is always among them.
        certificate: None where no bound is known.
        labels: how tables call a policy, where that is not its name.
        notes: what was guessed, dropped or rounded on the way to the model, ``LocalModel.notes``.
    """

    results: Mapping[str, Result]
    yardstick: Yardstick
    certificate: Certificate | None
    worlds: int
    seed: int
    labels: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    # -- numbers

    def gap_closed(self, name: str) -> float | None:
        """Share of the way from random to the bound; None without a bound."""
        return self.yardstick.gap_closed(self.results[name].value, self.results[RANDOM].value)

    def difference(self, first: str, second: str) -> tuple[float, float]:
        """The headline of ``first`` minus that of ``second``, and half its 95 % interval.

        By the paired differences of the common worlds; where a file keeps no worlds, by the sum of the two
        half-widths, which is never narrower.
        """
        a, b = self.results[first], self.results[second]
        if a.values is None or b.values is None:
            return a.value - b.value, a.ci95 + b.ci95
        return a.value - b.value, half_width(a.values - b.values)

    def standing(self, first: str, second: str) -> Standing:
        """Where ``first`` is: above or below ``second`` only if the interval of the difference is."""
        difference, reach = self.difference(first, second)
        if not abs(difference) > reach:
            return "level with"
        return "above" if difference > 0 else "below"

    # -- words

    def label(self, name: str) -> str:
        """What tables call a policy."""
        return self.labels.get(name, name)

    def interval(self, name: str) -> str:
        """``2,336.0 ± 0.8``."""
        result = self.results[name]
        return self.yardstick.text(result.value, result.ci95)

    def ranked(self) -> list[str]:
        """The names, from worst to best."""
        return sorted(self.results, key=lambda name: self.results[name].value)

    def row(self, name: str) -> list[str]:
        """The cells of :meth:`table` for one policy, or for the bound."""
        if name == BOUND and self.yardstick.bound is not None:
            cells = [name, self.yardstick.text(self.yardstick.bound), percent(1.0), ""]
        else:
            per_agent = PER_AGENT.text(*PER_AGENT.read(self.results[name].report))
            cells = [self.label(name), self.interval(name), percent(self.gap_closed(name)), per_agent]
        return cells[: len(self.head())]

    def head(self) -> list[str]:
        """Policy, headline, gap closed, and where the headline is another one, the discounted return per agent."""
        head = ["policy", self.yardstick.unit, "gap closed", PER_AGENT.unit]
        return head[:3] if self.yardstick.key == PER_AGENT.key else head

    def table(self) -> list[list[str]]:
        """Head, then the policies from worst to best, then the bound; for :mod:`mfnet_envs.tables`."""
        names = [*self.ranked(), *([] if self.yardstick.bound is None else [BOUND])]
        return [self.head(), *map(self.row, names)]

    def text(self) -> str:
        """:meth:`table` for a terminal, and :meth:`exceeded`: nobody reads a number above its bound without it."""
        return "\n".join([tables.as_text(self.table()), *self.exceeded()])

    def markdown(self) -> str:
        """:meth:`table` for a README."""
        return tables.as_markdown(self.table())

    def sentences(self, name: str, subject: str, besides: Collection[str] = ()) -> list[str]:
        """What the numbers say of one policy, and no more.

        Args:
            subject: what the sentence calls it, for example "The learnt policy".
            besides: names it is not compared with.
        """
        gap, bound = self.gap_closed(name), self.yardstick.bound
        said = f"{subject} reaches {self.interval(name)} ({self.yardstick.unit})"
        if gap is not None and bound is not None:
            said += f": {percent(gap)} of the way from random to the bound {self.yardstick.text(bound)}"
        standing: dict[Standing, list[str]] = {"above": [], "level with": [], "below": []}
        for other in self.results:
            if other not in (name, *besides):
                standing[self.standing(name, other)].append(self.label(other))
        found = "; ".join(f"{verb} {', '.join(names)}" for verb, names in standing.items() if names)
        return [f"{said}.", *([f"By the 95 % interval of the difference it is {found}."] if found else [])]

    def executions(self) -> list[str]:
        """One line for each policy whose teams act as one: what it reaches with agents that draw for themselves."""
        return [
            f"{self.label(name)}, every agent for itself: {self._part(result, 'individual_execution_')} "
            f"(teams minus individuals: {self._part(result, 'execution_gap_')})"
            for name, result in self.results.items()
            if f"execution_gap_{self.yardstick.key}_mean" in result.report
        ]

    def footnotes(self) -> list[str]:
        """What belongs under :meth:`text`: the bound with the assumption it rests on, then the notes."""
        bound = [] if self.certificate is None else [f"bound: {self.certificate}"]
        return [*bound, *(f"note: {note}" for note in self.notes)]

    def exceeded(self) -> list[str]:
        """A sentence where a policy earns more than the bound, by more than chance and rounding: it is none then.

        Chance: three times half the 95 % interval, some six standard errors, since many policies are looked at.
        """
        bound = self.yardstick.bound
        if bound is None:
            return []
        most = bound + abs(bound) * max(ROUNDING, self.certificate.gap if self.certificate else 0.0)
        above = [name for name in self.ranked() if self.results[name].value - 3 * self.results[name].ci95 > most]
        if not above:
            return []
        said = (
            f"{self.label(above[-1])} reaches {self.interval(above[-1])}, above the bound {self.yardstick.text(bound)}"
        )
        return [f"warning: {said}; the model's bound() does not hold here: mend it, or let it return None"]

    def _part(self, result: Result, start: str) -> str:
        part = {key.removeprefix(start): value for key, value in result.report.items() if key.startswith(start)}
        return self.yardstick.text(*self.yardstick.read(part))

    # -- files

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``policies`` with value, ci95, gap_closed, report, values; yardstick, worlds, seed,
        certificate, labels, notes."""
        policies = {name: {**r.to_dict(), "gap_closed": self.gap_closed(name)} for name, r in self.results.items()}
        certificate = None if self.certificate is None else asdict(self.certificate)
        common = {"worlds": self.worlds, "seed": self.seed, "labels": dict(self.labels), "certificate": certificate}
        return {"policies": policies, "yardstick": self.yardstick.to_dict(), "notes": list(self.notes), **common}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Measurement:
        """What :meth:`to_dict` gave, possibly through JSON; certificate, labels and values may be missing.

        Raises:
            KeyError, TypeError, ValueError: anything else.
        """
        results = {name: Result.from_dict(entry) for name, entry in record["policies"].items()}
        certificate = record.get("certificate")
        return cls(
            results,
            Yardstick.from_dict(record["yardstick"]),
            Certificate.from_dict(certificate) if isinstance(certificate, Mapping) else None,
            int(record["worlds"]),
            int(record["seed"]),
            record.get("labels", {}),
            tuple(map(str, record.get("notes", ()))),
        )


def measure(
    model: LocalModel,
    policies: Mapping[str, Policy],
    *,
    worlds: int = 256,
    seed: int = 0,
    certificate: Certificate | Literal["solve"] | None = "solve",
    tell: Tell | None = None,
    backend: str | Backend | None = None,
    known: Measurement | None = None,
    seconds: float = math.inf,
) -> Measurement:
    """Play every policy in the same ``worlds`` fresh worlds over ``model.evaluation``.

    Args:
        policies: name -> policy; "random", where agents play every legal action alike, is added where it is missing.
        seed: of the worlds; the same seed gives the same worlds and the same stream of random numbers.
        certificate: the model's, where it has been solved for already; None for none. Default: ``model.bound()``.
        tell: is shown every result when it is there.
        backend: of the simulator, as :func:`mfnet_envs.evaluate` takes it; another one plays other worlds.
        known: what was measured of this model in the same worlds before; it is taken over and not played again.
        seconds: by the clock, in which to be done: policies that would take longer, by what the longest took so far,
            are left out but for the first two, and named in ``notes``.

    Raises:
        TypeError: the model is an id, or a policy a name; no policies by name; no certificate.
        ValueError: no worlds; a policy of another network; a certificate of another criterion than the headline; what
            is known was measured in other worlds.
    """
    if not (isinstance(policies, Mapping) and all(isinstance(name, str) for name in policies)):
        raise TypeError(f"policies are given by name, {{'mine': policy}}, not as {shown(policies)}")
    check_arguments(model, *policies.values())
    check_worlds(model, worlds)
    solved = model.bound() if isinstance(certificate, str) and certificate == "solve" else certificate
    yardstick = Yardstick.of(model, solved)
    if known is not None and (known.worlds, known.seed) != (worlds, seed):
        raise ValueError(
            f"what is known was measured in {known.worlds} worlds of seed {known.seed}, not {worlds} of seed {seed}"
        )
    results: dict[str, Result] = {} if known is None else dict(known.results)
    asked = {name: policy for name, policy in {RANDOM: uniform(model), **policies}.items() if name not in results}
    until, longest, left = time.perf_counter() + seconds, 0.0, []
    for name, policy in asked.items():
        began = time.perf_counter()
        if len(results) > 1 and began + longest > until:
            left.append(model.wording.labels.get(name, name))
            continue
        per_world = worlds_of(model, policy, worlds=worlds, seed=seed, backend=backend)
        report = summary(model, per_world)
        results[name] = Result(*yardstick.read(report), report, yardstick.scale * per_world[yardstick.key])
        longest = max(longest, time.perf_counter() - began)
        if tell is not None:
            tell(name, results[name])
    notes = tuple(model.notes) if known is None else known.notes
    if left:
        notes = (*notes, f"for lack of time these were not measured: {', '.join(left)}")
    return Measurement(results, yardstick, solved, worlds, seed, model.wording.labels, notes)


def percent(share: float | None, digits: int = 1) -> str:
    """``81.0 %``, never ``-0.0 %``; nothing for None."""
    return "" if share is None else f"{round(100 * share, digits) + 0.0:.{digits}f} %"


def _floats(values: Any) -> Floats:
    return np.array([math.nan if value is None else float(value) for value in values])
