"""Small models that several experiments are carried out on."""

from __future__ import annotations

from typing import Any, Literal

import array_api_compat
import networkx as nx
import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.scenarios import grid_v0

Reads = Literal["none", "own", "hood"]


class Crowded(LocalModel):
    """Two actions, any law over the neighbourhood, and rewards in [0, 1]; both are random functions of the crowd.

    The kernel has one branch for each neighbour slot, with weights softmax(c_0 + c . crowd); the reward is
    sigmoid(c_0 + c . crowd) over the whole neighbourhood. ``reads`` says which part of the crowd the weights feel, so
    the three values differ in nothing but how fast information travels.
    """

    def __init__(
        self, network: StateNetwork, population: int, reads: Reads = "hood", *, gamma: float = 0.9, seed: int = 0
    ) -> None:
        slots = tuple(Branch.to(column[:, None]) for column in _moves(network).T)
        super().__init__(
            network=network,
            population=population,
            num_actions=2,
            branches=slots,
            reward_range=(0.0, 1.0),
            gamma=gamma,
            kernel_reads=reads,
        )
        rng = np.random.default_rng(seed)
        d, g = network.neighbors.shape[1], self.num_groups
        felt = np.zeros((d, g))
        felt[: {"none": 0, "own": 1, "hood": d}[reads]] = 1
        self._pays = _coefficients(rng, self, 2, np.ones((d, g)))
        self._leads = _coefficients(rng, self, 2 * d, felt)

    def reward(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        return 1 / (1 + xp.exp(-self._linear(mu_hood, *self._pays)))

    def branch_weights(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        score = self._linear(mu_hood, *self._leads)
        weight = xp.exp(xp.reshape(score, (*score.shape[:2], 2, len(self.branches))))
        return weight / xp.sum(weight, axis=-1, keepdims=True)

    def _linear(self, mu_hood: Any, constant: Floats, slope: Floats) -> Any:
        """constant + slope . crowd, ``(B, S, columns)``."""
        xp = array_api_compat.array_namespace(mu_hood)
        crowd = xp.reshape(mu_hood, (*mu_hood.shape[:2], -1))
        here = xp.take(crowd, xp.asarray(self.network.node_of), axis=1)[:, :, None, :]
        return xp.asarray(constant) + xp.sum(xp.asarray(slope) * here, axis=-1)


def _coefficients(rng: np.random.Generator, model: LocalModel, columns: int, felt: Floats) -> tuple[Floats, Floats]:
    """Constants ``(S, columns)`` and slopes ``(S, columns, D G)``, zero where the crowd is not felt."""
    shape = (model.network.num_states, columns)
    return rng.normal(size=shape), 3 * rng.normal(size=(*shape, felt.size)) * felt.reshape(-1)


def _moves(network: StateNetwork) -> Ints:
    """``(S, D)``: where slot d leads, the layer kept; padding stays."""
    target = np.where(network.neighbors < 0, network.neighbors[:, :1], network.neighbors)
    states = target[:, None] * network.layers + np.arange(network.layers)[None, :, None]
    return states.reshape(network.num_states, -1)


def grid_line(nodes: int, population: int, matching: Literal["physical", "independent"]) -> LocalModel:
    """The demand scenario on a path: one busy node at the end, total demand .7 per agent and step."""
    weights = np.array([0.1] * (nodes - 1) + [1.0])
    return grid_v0.build(
        population, graph=nx.path_graph(nodes), demand=0.7 * weights / weights.sum(), matching=matching
    )


class _OneBranch(LocalModel):
    """A kernel of one branch, whatever the crowd does."""

    def branch_weights(self, mu_hood: Any) -> Any:
        return 0 * mu_hood[:, :, :1, :1] + 1


class Stayers(_OneBranch):
    """One action: everybody stays and earns 1, so an agent is worth 1 / (1 - gamma)."""

    def __init__(self, network: StateNetwork, population: int, *, gamma: float) -> None:
        stay = Branch.to(np.arange(network.num_states)[:, None])
        super().__init__(
            network=network,
            population=population,
            num_actions=1,
            branches=(stay,),
            reward_range=(1.0, 1.0),
            gamma=gamma,
            kernel_reads="none",
        )

    def reward(self, mu_hood: Any) -> Any:
        return 0 * mu_hood[:, :, 0, :1] + 1


class Splitting(_OneBranch):
    """Two agents at a hub are paid where they part: a leaf with exactly one agent pays 1, and sends it back.

    At hub 0 the action picks leaf 1 or 2. From the hub, agents who draw alone part with probability at most 1/2 and a
    team can part for sure, every second step: gamma + gamma^3 + ... = gamma / (1 - gamma^2).
    """

    def __init__(self, *, gamma: float = 0.9) -> None:
        network = StateNetwork(nx.star_graph(2))
        super().__init__(
            network=network,
            population=2,
            num_actions=2,
            branches=(Branch.to(np.array([[1, 2], [0, 0], [0, 0]])),),
            legal=np.array([[True, True], [True, False], [True, False]]),
            initial=np.array([1.0, 0.0, 0.0]),
            reward_range=(0.0, 1.0),
            gamma=gamma,
            kernel_reads="none",
        )

    def reward(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        alone = xp.astype(abs(mu_hood[:, :, 0, :] * self.population - 1) < 0.5, mu_hood.dtype)
        return alone * xp.asarray([[0.0], [1.0], [1.0]], dtype=mu_hood.dtype)


class Evenly(_OneBranch):
    """Agents on a complete graph of three nodes go where they like; a node pays 1 to each of exactly N / 3 agents."""

    def __init__(self, population: int = 6, *, gamma: float = 0.9) -> None:
        network = StateNetwork(nx.complete_graph(3))
        super().__init__(
            network=network,
            population=population,
            num_actions=3,
            branches=(Branch.to(np.asarray(network.neighbors)),),
            reward_range=(0.0, 1.0),
            gamma=gamma,
            kernel_reads="none",
        )

    def reward(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        even = abs(mu_hood[:, :, 0, :] * self.population - self.population / 3) < 0.5
        return xp.astype(even, mu_hood.dtype)


class Walkers(_OneBranch):
    """Two nodes, stay or cross, nothing is paid: a model to hang a policy on."""

    def __init__(self, network: StateNetwork, population: int) -> None:
        branches = (Branch.to(np.asarray(network.neighbors)),)
        super().__init__(network=network, population=population, num_actions=2, branches=branches,
                         reward_range=(0.0, 0.0))  # fmt: skip

    def reward(self, mu_hood: Any) -> Any:
        return 0 * mu_hood[:, :, 0, :1]


class Watcher(LocalModel):
    """One action on a path: who is at 0 earns 1 while somebody is at 1; a messenger at 2 walks to 1 iff 3 is occupied.

    Everybody else stays. What node 0 earns depends on node 1 at once, and on node 3 after one step: the exact
    counterexamples to the printed Lemma 4.2 at k = 0 (three nodes, no messenger) and k = 2 (five nodes). Nothing in it
    is random.
    """

    def __init__(self, nodes: int, population: int, *, gamma: float = 0.1) -> None:
        network = StateNetwork.line(nodes)
        stay = np.arange(nodes)
        step = np.where(stay == 2, 1, stay) if nodes > 3 else stay
        super().__init__(
            network=network,
            population=population,
            num_actions=1,
            branches=(Branch.to(stay[:, None]), Branch.to(step[:, None])),
            reward_range=(0.0, 1.0),
            gamma=gamma,
        )

    def reward(self, mu_hood: Any) -> Any:
        """1{mu(1) > 0} at node 0, which finds node 1 in its slot 1; else 0."""
        xp = array_api_compat.array_namespace(mu_hood)
        seen = xp.astype(mu_hood[:, :, 1, :] > 0, mu_hood.dtype)
        return seen * xp.asarray(np.eye(self.network.num_nodes)[:, :1])

    def branch_weights(self, mu_hood: Any) -> Any:
        """The step at node 2 iff mu(3) > 0, its slot 2."""
        xp = array_api_compat.array_namespace(mu_hood)
        last = xp.astype(mu_hood[:, :, 2, :] > 0, mu_hood.dtype)[..., None]
        return xp.concat([1 - last, last], axis=-1)


def some_policy(model: LocalModel, seed: int) -> Floats:
    """A policy table ``(S, N + 1, A)``, each row drawn uniformly from the laws over legal actions."""
    shape = (model.network.num_states, model.population + 1, model.num_actions)
    weight = np.random.default_rng(seed).exponential(size=shape) * model.legal[:, None]
    table: Floats = weight / weight.sum(2, keepdims=True)
    return table
