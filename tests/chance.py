"""Learning tests that hold on any machine: what may be asked of some seeds, and how often chance alone denies it.

What is learnt from a seed depends on the processor: sums are formed in another order, the last bits differ, and a few
iterations later so does everything. So no test pins a seed; it asks of several what most of a larger sample did, on
other seeds and on two instruction sets (``benchmarks/spread.py`` takes such samples). Each call below is denied by
chance less than once in a million times, :data:`ERROR`:

- :func:`enough_reach`, whatever the distribution, tails included. Of n runs none fell below the floor, so with 95 %
  confidence at most a share p = 1 - .05^(1/n) of all runs does, and of k new ones more than m do with chance
  P(Binomial(k, p) > m). The test allows the smallest m whose chance is small enough.
- :class:`Band`, where returns are about normal: the prediction interval of the mean of k new runs, by Student's t.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

ERROR = 1e-6  # of one question, on any machine


def share_below(runs: int) -> float:
    """The largest share of runs below a value that none of ``runs`` fell below, with 95 % confidence."""
    return float(1 - 0.05 ** (1 / runs))


def may_miss(seeds: int, runs: int) -> int:
    """How many of ``seeds`` new runs may lie below a value that none of ``runs`` earlier ones fell below."""
    misses = np.arange(seeds + 1)
    chance = stats.binom.sf(misses, seeds, share_below(runs))
    return int(misses[chance < ERROR][0])


def enough_reach(floor: float, found: np.ndarray, runs: int) -> None:
    """Fail if more of the ``found`` lie below ``floor`` than chance allows; none of ``runs`` earlier runs did.

    Raises:
        ValueError: so few runs were measured that any outcome would pass.
    """
    allowed = may_miss(len(found), runs)
    if allowed >= len(found):
        raise ValueError(f"{runs} measured runs say too little about {len(found)} new ones")
    missed = int((found < floor).sum())
    assert missed <= allowed, f"{missed} of {len(found)} seeds below {floor}, {allowed} may be: {np.sort(found)}"


class Band(NamedTuple):
    """Mean and standard deviation of ``runs`` measured runs."""

    mean: float
    sd: float
    runs: int

    def half_width(self, seeds: int = 1) -> float:
        """How far the mean of ``seeds`` new runs may be from the measured one."""
        return float(stats.t.isf(ERROR / 2, self.runs - 1) * self.sd * np.sqrt(1 / seeds + 1 / self.runs))

    def lowest(self, seeds: int) -> float:
        """What the mean of ``seeds`` new runs reaches."""
        return self.mean - self.half_width(seeds)

    def reached(self, found: np.ndarray) -> None:
        """Fail if the mean of ``found`` is lower than chance allows; higher is welcome."""
        assert found.mean() >= self.lowest(len(found)), f"the mean of {found} is below {self.lowest(len(found)):.3f}"

    def holds(self, *found: float) -> None:
        """Fail if the mean of ``found`` is further off than chance allows."""
        wide = self.half_width(len(found))
        off = abs(float(np.mean(found)) - self.mean)
        assert off <= wide, f"the mean of {found} is {off:.3g} from {self.mean}, {wide:.3g} may be"
