"""A policy of one road network, played on the same network with links closed."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.policy import Policy


class Rewired(Policy):
    """Does what ``policy`` does on its own network; what it gives to links that are closed goes to the others at the
    same place, in proportion, or evenly where it gives all.

    Places are known by their names. On closed links the policy sees nobody.

    Args:
        policy: of agents that draw for themselves, on a Congestion.
        model: the network with links closed.

    Raises:
        ValueError: places or destinations that the policy does not know, so that it has no answer there.
    """

    said = "played as on the open network; what it gives to closed links goes to the others there, in proportion"

    def __init__(self, policy: Policy, model: Congestion) -> None:
        super().__init__(model)
        self.policy, known = policy, policy.model
        if not isinstance(known, Congestion):
            raise ValueError("only policies of road networks know places by their names")
        place = {key: number for number, key in enumerate(_places(known))}
        layer = {name: number for number, name in enumerate(known.network.graph.graph.get("layers", ()))}
        places, layers = _places(model), model.network.graph.graph.get("layers", ())
        if not (places and layer and place.keys() >= set(places) and layer.keys() >= set(layers)):
            raise ValueError(
                "a policy can be executed where links of its own network are closed; that network has other places or "
                "destinations"
            )
        at = np.array([place[key] for key in places])
        to = np.array([layer[name] for name in layers])
        self._state: Ints = (at[:, None] * len(layer) + to).reshape(-1)  # (S,) of the policy's own network
        team = model.team_states // len(layers)
        own, links = known.onward[at[team]], model.onward[team]  # (T, A') and (T, A): links that can be next
        same = (own[:, None] == at[links][..., None]) & (links >= 0)[..., None]
        self._slot: Ints = same.argmax(2)
        self._same: Floats = same.any(2) & model.legal[model.team_states]
        self._row: Ints = np.searchsorted(known.team_states, self._state[model.team_states])
        self._even: Floats = model.legal[model.team_states] / model.legal[model.team_states].sum(1, keepdims=True)

    def teams(self, counts: Ints, t: int) -> Floats:
        seen = np.zeros((len(counts), len(self.policy.model.legal)), counts.dtype)
        seen[:, self._state] = counts
        known = self.policy.teams(seen, t)[:, self._row]
        odds = np.where(self._same, np.take_along_axis(known, self._slot[None], 2), 0.0)
        left = odds.sum(2, keepdims=True)
        return np.where(left > 0, odds / np.where(left > 0, left, 1.0), self._even)


def _places(model: Congestion) -> list[tuple[str, int]]:
    """``(P,)``: the name of each place, and which of that name it is, since links side by side share theirs."""
    seen: Counter[str] = Counter()
    keys = []
    for _, name in model.network.graph.nodes(data="name"):
        keys.append((str(name), seen[str(name)]))
        seen[str(name)] += 1
    return keys
