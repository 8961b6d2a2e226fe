"""Certificates: a number that no policy can beat, with the words that make it a claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Certificate:
    """An upper bound on a criterion.

    Attributes:
        value: the bound.
        criterion: "discounted" (mean discounted return of an agent from the initial law) or "average" (per step).
        unit: what the value counts.
        kind: how it was proved: a linear or convex programme, a closed form, or dynamic programming.
        horizon: steps it covers; None for an infinite horizon or the long-run average.
        gap: numerical slack of the solver, relative.
        assumption: for which policies and laws it holds, in one sentence.
    """

    value: float
    criterion: Literal["discounted", "average"]
    unit: str
    kind: Literal["lp", "convex", "closed-form", "dp"]
    horizon: int | None
    gap: float
    assumption: str

    def __str__(self) -> str:
        horizon = "" if self.horizon is None else f", {self.horizon} steps"
        return f"{self.value:.4f} {self.unit} ({self.criterion}{horizon}; {self.kind}): {self.assumption}"
