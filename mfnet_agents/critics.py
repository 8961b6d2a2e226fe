"""Local critics, one per node: Q_y or V_y on the data of N_y^k and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.nets import DTYPE, TwoLayer
from mfnet_envs.arrays import Ints
from mfnet_envs.network import Part, StateNetwork


@dataclass(frozen=True)
class CriticInputs:
    """Gathers zeta_y^k: node features ``(L, H, F)`` -> critic inputs ``(V, L, D_k F + 1)``, the last input a constant.

    Attributes:
        index, mask: ``(V, D_k)`` k-hop table, places among the H nodes seen: all, unless it is a :meth:`part`; padded
            places are zero and so never move their weights.
        shift, scale: ``(H, F)``; a feature enters as (feature - shift) * scale, statistics of its own node only.
        constant: without it Q = 0 on an empty neighbourhood; the paper's form has none.
    """

    index: Tensor
    mask: Tensor
    shift: Tensor
    scale: Tensor
    constant: bool

    @classmethod
    def of(cls, network: StateNetwork, hops: int, features: int, *, scale: float, constant: bool) -> CriticInputs:
        index, mask = network.hops(hops)
        shape = (network.num_nodes, features)
        return cls(
            torch.as_tensor(index),
            torch.as_tensor(mask, dtype=DTYPE),
            torch.zeros(shape, dtype=DTYPE),
            torch.full(shape, scale, dtype=DTYPE),
            constant,
        )

    def part(self, part: Part) -> CriticInputs:
        """The inputs of a part's own critics from the features of the nodes it sees."""
        mask = self.mask[part.nodes]
        places = np.searchsorted(part.sees, self.index[part.nodes].numpy())
        index = torch.as_tensor(np.where(mask > 0, places, 0))
        return CriticInputs(index, mask, self.shift[part.sees], self.scale[part.sees], self.constant)

    def standardised(self, features: Tensor) -> CriticInputs:
        """The same gather with each node's features brought to mean 0 and deviation 1 over ``features (L, H, F)``."""
        rows = features.permute(1, 2, 0).contiguous()
        mean = rows.mean(2)
        deviation = torch.sqrt(((rows - mean[..., None]) ** 2).sum(2) / (len(features) - 1))
        spread = torch.where(deviation > 0, 1 / deviation.clamp_min(1e-8), torch.zeros_like(deviation))
        return replace(self, shift=mean, scale=spread)

    @property
    def size(self) -> int:
        return self.index.shape[1] * self.shift.shape[1] + int(self.constant)

    def __call__(self, features: Tensor) -> Tensor:
        nodes, reach = self.index.shape
        scaled = ((features - self.shift) * self.scale).permute(1, 0, 2)
        hood = scaled[self.index.reshape(-1)].reshape(nodes, reach, len(features), -1) * self.mask[:, :, None, None]
        flat = hood.permute(0, 2, 1, 3).reshape(nodes, len(features), -1)
        return torch.cat([flat, torch.ones((nodes, len(features), 1), dtype=DTYPE)], 2) if self.constant else flat


def create(key: np.random.SeedSequence, nodes: Ints, inputs: CriticInputs, width: int, *, symmetric: bool) -> TwoLayer:
    """One network (13) per node on its own k-hop inputs, with rows W_m ~ N(0, I / d) for the d inputs of that node.

    Args:
        key: of the stream they are drawn from; nodes: ``(V,)`` the numbers of the rows of ``inputs``.

    Weights of padded inputs are drawn too but never move.
    """
    net = TwoLayer.keyed(key, nodes, inputs.size, width, symmetric=symmetric)
    own = inputs.mask.sum(1) * inputs.shift.shape[1] + int(inputs.constant)
    net.start.mul_(torch.sqrt(inputs.size / own)[:, None, None])
    return net


def with_actions(groups: Tensor, action_shares: Tensor, *, mass: bool) -> Tensor:
    """What one node shows the Q critics around it: mu of its groups and h of its teams, ``(L, V, G + A)``.

    Args:
        groups: ``(L, V, G)`` shares.
        action_shares: ``(L, V, A)`` shares of the population by action, mu(v) h(v).
        mass: show mu h (scaled inputs of the practical mode) instead of h (the paper's zeta; 0 for an empty team).
    """
    if mass:
        return torch.cat([groups, action_shares], 2)
    total = action_shares.sum(2, keepdim=True)
    h = torch.where(total > 0, action_shares / total.clamp_min(1e-300), torch.zeros_like(action_shares))
    return torch.cat([groups, h], 2)
