"""The ball N_s^kappa over which the critics' advantages are summed, as a table of neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.updates import credit
from mfnet_envs.network import Part, StateNetwork


@dataclass(frozen=True)
class Ball:
    """Whose advantages each node is credited with: those of N_v^kappa.

    Attributes:
        index: ``(V, D_kappa)`` places among the H nodes heard, H on the padding; None where every ball is everything.
        heard: ``(V,)`` how many nodes each is told of.
    """

    index: Tensor | None
    heard: Tensor

    @classmethod
    def of(cls, network: StateNetwork, credit_hops: int) -> Ball:
        if network.spans(credit_hops):
            return cls(None, torch.full((network.num_nodes,), network.num_nodes))
        index, mask = network.hops(credit_hops)
        return cls(torch.as_tensor(np.where(mask, index, network.num_nodes)), torch.as_tensor(mask.sum(1)))

    def part(self, part: Part) -> Ball:
        """The balls of a part's own nodes, as places among the nodes it hears."""
        heard = self.heard[part.nodes]
        if self.index is None:
            return Ball(None, heard)
        return Ball(torch.as_tensor(np.searchsorted(part.hears, self.index[part.nodes].numpy())), heard)

    def sum(self, advantages: Tensor) -> Tensor:
        """sum_{y in N_v^kappa} A_y, ``(H, L) -> (V, L)``."""
        if self.index is None:
            return advantages.sum(0).expand(len(self.heard), -1).contiguous()
        return credit(advantages, self.index)
