"""Where trips end, discounted: states in transit, followed to the first state where an agent acts again."""

from __future__ import annotations

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import tables


def landings(model: LocalModel, gamma: float) -> tuple[Ints, Floats]:
    """For every state the active row where its conveyor ends, and gamma to the number of steps until then: ``(S,)``.

    The factor is 0, and the row of no account, where a state in transit leads nowhere.
    """
    row, steps = tables.landings(model)
    return np.maximum(row, 0), np.where(row >= 0, gamma ** np.where(row >= 0, steps, 0), 0.0)
