"""Where trips end: conveyors of states in transit, followed to the first state where an agent acts again."""

from __future__ import annotations

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import LocalModel


def landings(model: LocalModel, gamma: float) -> tuple[Ints, Floats]:
    """For every state the active row where its conveyor ends, and gamma to the number of steps until then: ``(S,)``.

    States in transit that lead round in a circle, impossible ones that a scenario leaves where they are, land nowhere:
    their factor is 0.
    """
    states, last = np.arange(model.network.num_states), model.branches[-1]
    columns = model.first_legal if last.successors.shape[1] > 1 else 0 * states
    onward = last.successors[states, columns, last.probabilities[states, columns].argmax(1)]
    at, steps = np.where(model.transit, onward, states), model.transit.astype(np.float64)
    for _ in range(len(states).bit_length()):  # twice as far each time
        at, steps = at[at], steps + steps[at]
    landed = ~model.transit[at]
    row = np.searchsorted(model.active, np.where(landed, at, model.active[0]))
    return row, np.where(landed, gamma ** np.where(landed, steps, 0.0), 0.0)
