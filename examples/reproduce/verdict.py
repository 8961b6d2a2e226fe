"""What a script of this folder aimed at, what it got, and whether that is near enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Aim:
    """One figure.

    Attributes:
        what: it is; got: here; target: there.
        within: the two may differ by so much, in their own unit.
        side: "about", or "at least" or "at most" where the target is a floor or a ceiling.
        source: of the target: paper and table, or how it was derived.
    """

    what: str
    got: float
    target: float
    within: float
    source: str
    side: str = "about"

    @property
    def met(self) -> bool:
        """NaN is not."""
        over, under = self.got <= self.target + self.within, self.got >= self.target - self.within
        return {"about": over and under, "at least": under, "at most": over}[self.side]

    def __str__(self) -> str:
        aim = f"{self.side} {self.target:,.10g} (tolerance {self.within:.2g})"
        return f"  {self.what:52} {self.got:>15,.10g}   {aim:44} {'yes' if self.met else 'NO':3}  {self.source}"


def told(title: str, aims: Sequence[Aim]) -> int:
    """Print all; the exit code: 0 if all are met."""
    print(title)
    for aim in aims:
        print(aim, flush=True)
    return 0 if all(aim.met for aim in aims) else 1
