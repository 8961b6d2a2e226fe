"""Certificates: a number that no policy can beat, with the words that make it a claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from mfnet_envs.words import is_number, is_whole

Criterion = Literal["discounted", "average"]
Kind = Literal["lp", "convex", "closed-form", "dp"]


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
    criterion: Criterion
    unit: str
    kind: Kind
    horizon: int | None
    gap: float
    assumption: str

    def __str__(self) -> str:
        horizon = "" if self.horizon is None else f", {self.horizon} steps"
        return f"{self.value:z.4f} {self.unit} ({self.criterion}{horizon}; {self.kind}): {self.assumption}"

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Certificate:
        """What ``dataclasses.asdict`` gave, from a file.

        Raises:
            KeyError, TypeError, ValueError: anything else.
        """
        given = {field.name: record[field.name] for field in fields(cls)}
        right = (
            is_number(given["value"]) and is_number(given["gap"])
            and given["criterion"] in get_args(Criterion) and given["kind"] in get_args(Kind)
            and (given["horizon"] is None or is_whole(given["horizon"]))
            and isinstance(given["unit"], str) and isinstance(given["assumption"], str)
        )  # fmt: skip
        if not right:
            raise ValueError("one of its fields is of another kind")
        return cls(**given)
