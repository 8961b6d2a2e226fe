"""What a run is measured by: the scenario's headline criterion at its own scale, its bound, and the gap between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mfnet_envs.bounds import Certificate
from mfnet_envs.model import LocalModel

Report = Mapping[str, float]  # what mfnet_envs.evaluate returns


@dataclass(frozen=True)
class Yardstick:
    """How a report becomes the headline number.

    Attributes:
        key: "discounted_return" or "reward_per_step", the criterion of the scenario's bound.
        scale: what turns a mean per agent into the headline, for example the fleet.
        unit: what the headline counts.
        bound: no policy exceeds it on this criterion; None where there is none.
    """

    key: str
    scale: float
    unit: str
    bound: float | None

    @classmethod
    def of(cls, model: LocalModel, certificate: Certificate | None) -> Yardstick:
        if certificate is None:
            return cls("discounted_return", 1.0, "discounted return per agent", None)
        if certificate.criterion == "discounted":
            return cls("discounted_return", 1.0, certificate.unit, certificate.value)
        scale = float(getattr(model, "full_scale", 1.0))
        return cls("reward_per_step", scale, certificate.unit, certificate.value)

    def read(self, report: Report) -> tuple[float, float]:
        """The headline of a report and half its 95 % interval."""
        return self.scale * report[f"{self.key}_mean"], self.scale * report[f"{self.key}_ci95"]

    def gap_closed(self, value: float, random: float) -> float | None:
        """Share of the way from the random policy to the bound."""
        if self.bound is None or self.bound <= random:
            return None
        return (value - random) / (self.bound - random)

    def text(self, value: float, ci95: float | None = None) -> str:
        """A headline, and half its interval where there is one, with as many digits as they deserve."""
        digits = 1 if abs(value) >= 100 else 3
        known = ci95 is not None and math.isfinite(ci95)
        return f"{value:,.{digits}f}" + (f" ± {ci95:,.{digits}f}" if known else "")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
