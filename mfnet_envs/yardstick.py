"""What a policy is measured by: the scenario's headline at its own scale, its bound, and the gap between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mfnet_envs.bounds import Certificate
from mfnet_envs.model import LocalModel
from mfnet_envs.words import shown

Report = Mapping[str, float]  # what mfnet_envs.evaluate returns
KEYS = {"discounted": "discounted_return", "average": "reward_per_step"}  # criterion -> key of a report


@dataclass(frozen=True)
class Yardstick:
    """How a report becomes the headline number.

    Attributes:
        key: "discounted_return" or "reward_per_step", the criterion of the scenario's headline.
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
        """The headline of ``model`` beside its certificate.

        Raises:
            TypeError: something else than a certificate.
            ValueError: the certificate is stated for another criterion than the headline.
        """
        if not isinstance(certificate, Certificate | None):
            raise TypeError(f"a certificate is what model.bound() returns, or None, not {shown(certificate)}")
        headline = model.headline
        if certificate is not None and certificate.criterion != headline.criterion:
            raise ValueError(
                f"{type(model).__name__} is bounded on the {certificate.criterion} criterion and judged on the "
                f"{headline.criterion} one: let its property `headline` be "
                f"mfnet_envs.wording.Headline({certificate.criterion!r}, {certificate.unit!r})"
            )
        bound = None if certificate is None else certificate.value
        return cls(KEYS[headline.criterion], headline.scale, headline.unit, bound)

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
        return f"{value:z,.{digits}f}" + (f" ± {ci95:,.{digits}f}" if known else "")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Yardstick:
        """What :meth:`to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: anything else.
        """
        if record["key"] not in KEYS.values():
            raise ValueError(f"a yardstick has no key {record['key']!r}; there are {' and '.join(KEYS.values())}")
        bound = None if record["bound"] is None else float(record["bound"])
        return cls(record["key"], float(record["scale"]), str(record["unit"]), bound)
