"""Small models for tests: every form a kernel can take, with rewards and weights that depend on the crowd around.

Their numbers are random but fixed; nothing about them is tuned. `line` is the demand scenario on a path of nodes, whose
optima are published (see `LINE_OPTIMA`).
"""

from collections.abc import Sequence
from typing import Any, Literal

import array_api_compat
import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare

from mfnet_envs.compositions import compositions
from mfnet_envs.matching import ExpectedMin, served_share
from mfnet_envs.model import Branch, LocalModel, Quota
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import TeamPolicy

Reads = Literal["none", "own", "hood"]


class CrowdModel(LocalModel):
    """Rewards tanh(c0 + c . crowd) and weights softmax(c0 + c . crowd), with coefficients of their own per row.

    ``seed`` fixes the coefficients; ``kernel_reads`` says which slots of the neighbourhood the weights look at.
    """

    def __init__(self, *, seed: int = 0, **arguments: Any) -> None:
        super().__init__(reward_range=(-1.0, 1.0), **arguments)
        rng = np.random.default_rng(seed)
        rows, a, k = len(self.active), self.num_actions, len(self.branches)
        d, g = self.network.neighbors.shape[1], self.num_groups
        self._reward_at = rng.normal(size=(rows, a)), 3 * rng.normal(size=(rows, a, d * g))
        reads = np.zeros((d, g))
        reads[: {"none": 0, "own": 1, "hood": d}[self.kernel_reads]] = 1
        self._weight_at = rng.normal(size=(rows, a * k)), 3 * rng.normal(size=(rows, a * k, d * g)) * reads.reshape(-1)

    def reward(self, mu_hood: Any) -> Any:
        return array_api_compat.array_namespace(mu_hood).tanh(self._linear(mu_hood, *self._reward_at))

    def branch_weights(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        score = self._linear(mu_hood, *self._weight_at)
        weight = xp.exp(xp.reshape(score, (mu_hood.shape[0], len(self.active), self.num_actions, len(self.branches))))
        return weight / xp.sum(weight, axis=-1, keepdims=True)

    def _linear(self, mu_hood: Any, constant: np.ndarray, slope: np.ndarray) -> Any:
        """constant + slope . crowd, ``(B, R, columns)``."""
        xp = array_api_compat.array_namespace(mu_hood)
        node = xp.asarray(self.network.node_of[self.active])
        crowd = xp.reshape(mu_hood, (*mu_hood.shape[:2], -1))
        here = xp.take(crowd, node, axis=1)[:, :, None, :]
        return xp.asarray(constant) + xp.sum(xp.asarray(slope) * here, axis=-1)


class QuotaModel(CrowdModel):
    """Physical matching: the first branch is rationed, the others share the rest in proportion to exp(score)."""

    def branch_weights(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        assert self.quota is not None and self.network.layers == 1
        others = super().branch_weights(mu_hood)[..., 1:]
        others = others / xp.sum(others, axis=-1, keepdims=True)
        rate = self.quota.rate
        share = served_share(ExpectedMin(rate), mu_hood[:, :, 0, 0] * self.population, rate)[:, :, None, None]
        return xp.concat([share + 0 * others[..., :1], (1 - share) * others], axis=-1)


class Unanimous(TeamPolicy):
    """All agents of a team take the same action, drawn uniformly: a team law that no individual policy has."""

    def teams(self, counts: np.ndarray, t: int) -> np.ndarray:
        return np.full((len(counts), len(self.model.team_states), self.model.num_actions), 1 / self.model.num_actions)

    def team_law(self, place: int, n: int) -> np.ndarray:
        law = (compositions(n, self.model.num_actions) == n).any(1).astype(float)
        return law / law.sum()

    def sample(self, counts: np.ndarray, t: int, rng: np.random.Generator) -> np.ndarray:
        sizes = counts[:, self.model.team_states]
        return sizes[..., None] * np.eye(self.model.num_actions, dtype=int)[rng.integers(2, size=sizes.shape)]


def moves(network: StateNetwork, shift: int = 0) -> np.ndarray:
    """``(S, D)``: action d goes to neighbour d (padding stays), keeping the layer shifted by ``shift``."""
    target = np.where(network.neighbors < 0, network.neighbors[:, :1], network.neighbors)
    layer = (np.arange(network.layers) + shift) % network.layers
    return (target[:, None] * network.layers + layer[None, :, None]).reshape(network.num_states, -1)


def spread(network: StateNetwork, seed: int = 0, columns: int = 1) -> Branch:
    """A branch with J > 1: random probabilities over the closed neighbourhood, of 0 on padding."""
    rng = np.random.default_rng(seed)
    slots = np.repeat(network.neighbors >= 0, network.layers, axis=0)
    weight = rng.random((network.num_states, columns, slots.shape[1])) * slots[:, None]
    successors = np.repeat(moves(network)[:, None], columns, axis=1)
    return Branch(successors, weight / weight.sum(2, keepdims=True))


def slots(network: StateNetwork) -> tuple[Branch, ...]:
    """K = D branches with J = 1, one per neighbour slot: with free weights, every local kernel."""
    return tuple(Branch.to(column[:, None]) for column in moves(network).T)


def deterministic(population: int = 4, network: StateNetwork | None = None, **more: Any) -> CrowdModel:
    """K = J = 1: agents go where they want; moves along padding are illegal."""
    network = StateNetwork.line(3) if network is None else network
    legal = np.repeat(network.neighbors >= 0, network.layers, axis=0)
    branches = (Branch.to(moves(network)),)
    arguments = dict(network=network, population=population, num_actions=legal.shape[1], branches=branches, legal=legal)
    return CrowdModel(**{**arguments, **more})


def scattering(population: int = 4, **more: Any) -> CrowdModel:
    """K = 1, J > 1: a random successor that depends on the action."""
    network = StateNetwork.line(3)
    return CrowdModel(
        network=network, population=population, num_actions=2, branches=(spread(network, 1, columns=2),), **more
    )


def two_ways(population: int = 4, network: StateNetwork | None = None, **more: Any) -> CrowdModel:
    """K = 2: with a chance that depends on the crowd scattered (J > 1, whatever the action), else moved."""
    network = StateNetwork.line(3) if network is None else network
    branches = (spread(network, 2), Branch.to(moves(network)))
    arguments = dict(network=network, population=population, num_actions=network.neighbors.shape[1], branches=branches)
    return CrowdModel(**{**arguments, **more})


def general(population: int = 4, network: StateNetwork | None = None, **more: Any) -> CrowdModel:
    """K = D: any law over the neighbourhood, for each action."""
    network = StateNetwork.line(3) if network is None else network
    return CrowdModel(network=network, population=population, num_actions=2, branches=slots(network), **more)


def layered(population: int = 3, **more: Any) -> CrowdModel:
    """Two layers with one crowd: a step may change the layer, the node, or both."""
    network = StateNetwork.line(2, layers=2)
    branches = (*slots(network), Branch.to(moves(network, shift=1)))
    arguments = dict(network=network, population=population, num_actions=2, branches=branches, groups=[0, 0])
    return CrowdModel(**{**arguments, **more})


def rationed(population: int = 4, rate: Sequence[float] = (0.4, 1.1, 2.3), **more: Any) -> QuotaModel:
    """A quota beside two branches with weights."""
    network = StateNetwork.line(3)
    branches = (spread(network, 3), Branch.to(moves(network)), spread(network, 4))
    quota = Quota(0, np.array(rate, float))
    arguments = dict(network=network, population=population, num_actions=3, branches=branches, quota=quota)
    return QuotaModel(**{**arguments, **more})


def travelling(population: int = 3, **more: Any) -> CrowdModel:
    """Two layers, the second in transit: agents of (v, 0) stay, or set out and arrive at (v + 1, 0) two steps later.

    On a ring of three: action 0 stays, action 1 enters (v, 1), from where one fixed move leads on. The state (v, 1)
    has one legal action, and it is not action 0.
    """
    network = StateNetwork.ring(3, layers=2)
    v = np.arange(3)
    onward = np.empty((6, 2), np.int64)
    onward[0::2] = np.column_stack([2 * v, 2 * v + 1])
    onward[1::2] = 2 * ((v + 1) % 3)[:, None]
    legal = np.ones((6, 2), bool)
    legal[1::2, 0] = False
    astray = np.tile([0.5, 0.5], (6, 1, 1))
    home = np.column_stack([np.repeat(2 * v, 2), np.repeat(2 * ((v + 1) % 3), 2)])[:, None]
    branches = (Branch(home, astray), Branch.to(onward))
    return CrowdModel(
        network=network,
        population=population,
        num_actions=2,
        branches=branches,
        legal=legal,
        transit=np.tile([False, True], 3),
        initial=np.array([0.3, 0.1, 0.2, 0.05, 0.15, 0.2]),
        **more,
    )


def every_form(population: int = 3) -> dict[str, LocalModel]:
    """One model of each kind, small enough to enumerate."""
    return {
        "deterministic": deterministic(population),
        "scattering": scattering(population),
        "two ways": two_ways(population),
        "general": general(population, kernel_reads="hood"),
        "general, own": general(population, seed=1, kernel_reads="own"),
        "general, ring": general(population, StateNetwork.ring(4), seed=2, kernel_reads="none"),
        "two layers": layered(population),
        "two groups": layered(population, groups=[0, 1], seed=3),
        "quota": rationed(population),
        "transit": travelling(population),
    }


# Optima of `line(n, N)` over all centralised policies, as published with an error of about .015.
LINE_OPTIMA = {(4, 4): 9.286, (3, 4): 9.632, (3, 6): 10.155}


def line(n: int, population: int, **options: Any) -> LocalModel:
    """The demand scenario on a path of n nodes: one busy node at the end, total demand .7 per agent and step."""
    from mfnet_envs.scenarios import grid_v0

    weights = np.array([0.02] * (n - 1) + [1.0])
    return grid_v0.build(graph=nx.path_graph(n), demand=0.7 * weights / weights.sum(), population=population, **options)


def put(env: Any, counts: NDArray[np.int64], states: NDArray[np.int64] | None = None) -> None:
    """Lay the agents of a PettingZoo view out as wanted: ``counts (S,)``, and ``states (N,)`` in the agent view."""
    env.batch.counts = np.array([counts])
    if states is not None:
        env.batch.states = np.array([states])


def fits(seen: np.ndarray, law: np.ndarray, alpha: float = 1e-6) -> bool:
    """Whether ``seen`` occurrences look drawn from ``law``; about one false alarm in 1 / alpha tests.

    Chi-square with the cells that expect fewer than five pooled; what is impossible must not occur.
    """
    expected = law * seen.sum()
    if seen[law < 1e-14].any():
        return False
    rare = expected < 5
    observed = np.append(seen[~rare], seen[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    keep = wanted > 0
    if keep.sum() < 2:
        return True
    return chisquare(observed[keep], wanted[keep] * observed.sum() / wanted[keep].sum()).pvalue > alpha
