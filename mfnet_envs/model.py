"""The local model: reward (1) and kernel (2) of the paper, handed a neighbourhood and nothing else.

An agent in state s that takes action a earns r(s, mu(N_s), a) and moves by a mixture of K static branches,

    P(s' | s, mu, a) = sum_k weight_k(s, mu(N_s), a) * branch_k(s' | s, a).

The branches' tables carry the support (checked once, when the model is built), the weights carry the crowding.

A reward is said once: either as rho ``(R, A, K)``, what each branch earns, from which r = sum_k weight_k rho_k follows,
or as a function of its own. A subclass that says it anew drops what its parents said, and what followed from it.

A model may read a clock: then r and K change with the step, in turns of ``period`` steps (see ``LocalModel.at``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs.arrays import Bools, Floats, Ints, array_of, like, namespace
from mfnet_envs.network import StateNetwork
from mfnet_envs.wording import Headline, Wording
from mfnet_envs.words import Checked, checked_population, fits, is_number, is_whole, one_of, shown, whole

if TYPE_CHECKING:
    from mfnet_envs.bounds import Certificate

Method = TypeVar("Method", bound=Callable[..., Any])


def reads(*sources: str) -> Callable[[Method], Method]:
    """Mark a method that proves something of a model's law, and looks only ``sources`` of it up on the model.

    It stays true where a subclass changes those, for example ``reads("branch_rewards")`` a bound that takes fares and
    costs from there. Changes of anything else in ``law_methods`` make it answer None; so does any change to a ``bound``
    without this mark.
    """

    def marked(method: Method) -> Method:
        method.reads = frozenset(sources)  # type: ignore[attr-defined]
        return method

    return marked


@dataclass(frozen=True)
class Branch:
    """One static way to move.

    Attributes:
        successors: ``(S, A, J)`` or, when the action does not matter, ``(S, 1, J)`` states.
        probabilities: same shape; rows sum to 1 (probability 0: any state); is_deterministic: whether J = 1.
    """

    successors: Ints
    probabilities: Floats

    def __post_init__(self) -> None:
        for name, kinds in (("successors", "iu"), ("probabilities", "biuf")):
            object.__setattr__(self, name, array_of(name, getattr(self, name), kinds))

    @classmethod
    def to(cls, successors: ArrayLike) -> Branch:
        """The deterministic branch to ``successors (S, A or 1)``."""
        table = array_of("successors", successors, "iu").astype(np.int64, copy=False)[..., None]
        return cls(table, np.ones(table.shape))

    @property
    def is_deterministic(self) -> bool:
        return bool(self.successors.shape[2] == 1)


@dataclass(frozen=True)
class Quota:
    """Physical matching: D ~ Poisson(rate) places open in a state and exactly min(n, D) of its n agents, drawn
    uniformly, take branch ``branch``; the others follow the remaining branches in proportion to their weights.

    Attributes:
        branch: index of the branch that is rationed.
        rate: ``(S,)`` places per step.
    """

    branch: int
    rate: Floats

    def __post_init__(self) -> None:
        whole("the quota's branch", self.branch, 0)
        object.__setattr__(self, "rate", array_of("the quota's rate", self.rate, "biuf").astype(np.float64, copy=False))


class LocalModel(metaclass=Checked):
    """N agents on a network: base class of every scenario and of users' own models.

    Args:
        network: the states.
        population: N, a positive integer.
        num_actions: A; action 0 is *stay* where staying exists.
        branches: K branches; the support of each must lie in N_s.
        reward_range: (lowest, highest) reward of one agent in one step; default: that of ``branch_rewards``.
        legal: ``(S, A)`` bool, default all; an illegal action is played as the first legal one (*stay* where legal).
        initial: ``(S,)`` law of an agent's first state, default uniform.
        groups: ``(layers,)`` group of each layer: the crowd is summed within a group. Default: one group per layer.
        quota: physical matching of one branch, or None.
        gamma: discount factor the certificate is stated for.
        evaluation: (steps, warm-up steps).
        kernel_reads: how far the kernel looks: "none", "own" node, or "hood".
        reference_counts: ``(S,)`` agents of a normal crowd, used to scale policy inputs.
        transit: ``(S,)`` bool, default none. Agents in transit have one legal action, earn nothing and follow the last
            branch to one fixed successor. All other states are *active* and have a row in ``reward``.

    Attributes:
        period: steps of one turn of the clock; None, the default, for a model that reads no clock.
        episode_steps: where only these count, one turn from the initial law, as in ``evaluation``; None for no end.
        notes: what was ignored, guessed, rescaled or rounded on the way to this model; shown where its numbers are.
        origin: the id and the options it was made with, where it was by its id; num_groups: of ``groups``.
        law_methods: the methods that say reward and kernel; a scenario may add those that these rest on.
        reward_reads: how far a ``reward`` of its own looks, "own" node or "hood"; counts for this class's ``reward``.
        reads_group: the group of the own node that alone decides reward and kernel; counts for this class's law.

    Raises:
        ValueError: any table of the wrong shape, a branch that leaves a neighbourhood, rows that do not sum to 1.
        TypeError: a class that gives neither ``reward`` nor ``branch_rewards``.
    """

    period: int | None = None
    episode_steps: int | None = None
    notes: tuple[str, ...] = ()
    origin: tuple[str, dict[str, Any]] | None = None
    wording: Wording = Wording()
    law_methods: ClassVar[tuple[str, ...]] = ("reward", "branch_rewards", "branch_weights")
    reward_reads: ClassVar[Literal["own", "hood"]] = "hood"
    reads_group: ClassVar[int | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Keep one statement of the reward, the nearest one, and nothing that was proved of another law."""
        super().__init_subclass__(**options)
        dropped = {name: _unknown for name in _proofs(cls) if _outdated(cls, name)}
        ahead = _depth(cls, "branch_rewards") - _depth(cls, "reward")
        if ahead > 0 and cls.branch_rewards is not LocalModel.branch_rewards:
            dropped["branch_rewards"] = _unknown
        if ahead < 0 and cls.reward is not LocalModel.reward:
            dropped["reward"] = LocalModel.reward
        for name, method in dropped.items():
            setattr(cls, name, method)

    def __init__(
        self,
        *,
        network: StateNetwork,
        population: int,
        num_actions: int,
        branches: tuple[Branch, ...],
        reward_range: tuple[float, float] | None = None,
        legal: ArrayLike | None = None,
        initial: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        quota: Quota | None = None,
        gamma: float = 0.95,
        evaluation: tuple[int, int] = (150, 0),
        kernel_reads: Literal["none", "own", "hood"] = "hood",
        reference_counts: ArrayLike | None = None,
        transit: ArrayLike | None = None,
    ) -> None:
        if not isinstance(network, StateNetwork):
            raise TypeError(f"network must be a StateNetwork, not {shown(network)}")
        s, a = network.num_states, whole("num_actions", num_actions)
        fits(f"num_actions={shown(a)} for each of {s:,} states", s, a)
        self.network = network
        self.population = checked_population(population)
        self.num_actions = a
        self.branches = _branches(branches)
        if reward_range is not None:
            self.reward_range = _pair("reward_range", reward_range, is_number, "(lowest, highest), two finite numbers")
        self.legal: Bools = _table("legal", np.ones((s, a), bool) if legal is None else legal, (s, a), bool)
        self.initial: Floats = _table("initial", np.full(s, 1 / s) if initial is None else initial, (s,), float)
        layers = np.arange(network.layers) if groups is None else groups
        self.groups: Ints = _table("groups", layers, (network.layers,), int)
        self.quota = quota
        self.gamma = gamma
        self.evaluation: tuple[int, int] = _pair(
            "evaluation", evaluation, is_whole, "(steps, warm-up steps), the warm-up shorter than the steps"
        )
        one_of("kernel_reads", kernel_reads, ("none", "own", "hood"))
        self.kernel_reads = kernel_reads
        usual = None if reference_counts is None else _table("reference_counts", reference_counts, (s,), float)
        self.reference_counts: Floats | None = usual
        self.transit: Bools = _table("transit", np.zeros(s, bool) if transit is None else transit, (s,), bool)
        _check(self)

    def reward(self, mu_hood: Any) -> Any:
        """r(s, mu(N_s), a), equation (1); where it is not overridden, sum_k weight_k rho_k.

        Args:
            mu_hood: ``(B, V, D, G)`` shares of the population in each group, over the closed neighbourhood of each
                node (slot 0 the node itself), zero where the neighbourhood is padded. numpy or torch.

        Returns:
            ``(B, R, A)``: one row per active state (R = S when nothing is in transit).
        """
        return self.reward_from(self.branch_weights(mu_hood))

    @abstractmethod
    def branch_weights(self, mu_hood: Any) -> Any:
        """Weights of the branches in (2): ``(B, R, A or 1, K)``, rows summing to 1 (for K = 1: ones)."""

    def branch_rewards(self) -> Floats | None:
        """rho ``(R, A, K)``, what an agent earns that takes branch k; None where ``reward`` is a function of its own.

        ``reward`` follows from it. Learners also use it to book what an agent's own action changed.
        """
        return None

    def reward_from(self, weights: Any) -> Any:
        """r = sum_k weight_k rho_k ``(B, R, A)`` from the weights ``(B, R, A or 1, K)`` of :meth:`branch_weights`.

        Raises:
            ValueError: there are no branch rewards.
        """
        rho = _branch_rewards_given(type(self))(self)
        if rho is None:
            raise ValueError(
                f"{type(self).__name__}.branch_rewards() is None, so it needs a reward(mu_hood) of its own"
            )
        if weights.shape[2] == 1 and (rho == rho[:, :1]).all():  # the action changes nothing: one column serves all
            rho = rho[:, :1]
        earned = weights[..., 0] * like(weights, rho[..., 0])
        for k in range(1, rho.shape[2]):
            earned = earned + weights[..., k] * like(weights, rho[..., k])
        wide = (*earned.shape[:2], self.num_actions)
        return earned if earned.shape == wide else namespace(weights).broadcast_to(earned, wide)

    @property
    def reward_is_derived(self) -> bool:
        """Whether ``reward`` is ``reward_from(branch_weights)``, so that who has the weights need not ask again."""
        return type(self).reward is LocalModel.reward

    @property
    def reads_own_node(self) -> bool:
        """Whether reward and kernel look at no other node, by what the model says of itself."""
        kind = type(self)
        says = kind.reward_reads == "own" and _depth(kind, "reward_reads") <= _depth(kind, "reward")
        return self.kernel_reads != "hood" and (self.reward_is_derived or says)

    @property
    def unproved(self) -> tuple[str, ...]:
        """The methods that answer None here, because what they say was proved of another reward or kernel."""
        return tuple(name for name in sorted(_proofs(type(self)) | {"bound"}) if getattr(type(self), name) is _unknown)

    @cached_property
    def reward_range(self) -> tuple[float, float]:
        """(lowest, highest) reward of one agent in one step."""
        rho = _branch_rewards_given(type(self))(self)
        if rho is None:
            raise ValueError(f"{type(self).__name__} needs a reward_range, the (lowest, highest) reward in one step")
        legal = rho[self.legal[self.active]]
        return float(legal.min()), float(legal.max())

    def bound(self) -> Certificate | None:
        """A certified upper bound on the scenario's criterion, for every policy; None when none is known.

        A subclass that changes what ``law_methods`` name does not inherit it, except as :func:`reads` says.
        """
        return None

    def heuristics(self) -> dict[str, Any]:
        """Named reference policies (:class:`mfnet_envs.Policy`), simplest first."""
        return {}

    def crowding(self) -> Any:
        """What a planner needs beside these tables, ``programmes.horizon_lp.Crowding``; None: no convex programme."""
        return None

    def at(self, t: int) -> LocalModel:
        """The model in force at step t of an episode; itself unless the scenario reads a clock.

        A clocked model sets ``period`` and returns here one of a fixed tuple of models, the same for t and t + period.
        They share network, population, actions, legal, groups, transit, initial, gamma and evaluation; what may differ
        is the demand: ``reward``, ``branch_weights``, branches and quota. What a clocked model answers itself, without
        ``at``, belongs to no step in particular.
        """
        return self

    def fluid(self) -> LocalModel:
        """The same model in the limit N = infinity; models that never look at N are their own limit."""
        return self

    @property
    def headline(self) -> Headline:
        """The number the scenario is judged by, and its unit."""
        return Headline()

    @property
    def num_groups(self) -> int:
        return int(self.groups.max()) + 1

    @property
    def usual_counts(self) -> Floats:
        """``(S,)``: ``reference_counts``, or an even share of the population for each state that has a choice."""
        even = self.population / max(1, len(self.team_states))
        return np.full(len(self.legal), even) if self.reference_counts is None else self.reference_counts

    @cached_property
    def active(self) -> Ints:
        """``(R,)``: the states that are not in transit."""
        return np.flatnonzero(~self.transit)

    @cached_property
    def team_states(self) -> Ints:
        """``(T,)``: the states that have a choice."""
        return np.flatnonzero(self.legal.sum(1) > 1)

    @cached_property
    def first_legal(self) -> Ints:
        """``(S,)``: the action an illegal one is played as."""
        first: Ints = self.legal.argmax(1)
        return first


def _unknown(self: LocalModel, *_: Any, **__: Any) -> None:
    """None: what a parent says here is of another reward or kernel."""


def _depth(cls: type, name: str) -> int:
    """How far up the line of ancestors a name is defined: 0 in the class itself."""
    return next(i for i, base in enumerate(cls.__mro__) if name in vars(base))


def _proofs(cls: type[LocalModel]) -> set[str]:
    """The methods that hold of one law: ``bound`` and whatever is marked with :func:`reads`."""
    marked = {name for base in cls.__mro__ for name, value in vars(base).items() if hasattr(value, "reads")}
    return marked | ({"bound"} if cls.bound is not LocalModel.bound else set())


def _outdated(cls: type[LocalModel], name: str) -> bool:
    """Whether a descendant of the one who gave ``name`` has changed the law in a way that ``name`` does not look up."""
    changed = {said for said in cls.law_methods if _depth(cls, said) < _depth(cls, name)}
    if cls.reward is LocalModel.reward:
        changed.discard("reward")
    return not changed <= getattr(getattr(cls, name), "reads", frozenset())


def _branch_rewards_given(cls: type[LocalModel]) -> Callable[[LocalModel], Floats | None]:
    """The nearest ``branch_rewards``, also where a ``reward`` has hidden it, so that super().reward() can follow it."""
    nearest: Callable[[LocalModel], Floats | None] = next(
        vars(base)["branch_rewards"]
        for base in cls.__mro__
        if vars(base).get("branch_rewards", _unknown) is not _unknown
    )
    return nearest


def _table(name: str, values: ArrayLike, shape: tuple[int, ...], kind: type) -> Any:
    table = array_of(name, values, "biu" if kind is int else "biuf")
    if table.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} has NaN or infinite entries")
    return table.astype(np.int64 if kind is int else kind)


def _pair(name: str, pair: Any, holds: Callable[[Any], bool], wanted: str) -> Any:
    if not (isinstance(pair, tuple | list) and len(pair) == 2 and all(map(holds, pair))):
        raise ValueError(f"{name} must be {wanted}, not {shown(pair)}")
    return tuple(pair)


def _branches(branches: Any) -> tuple[Branch, ...]:
    if not isinstance(branches, tuple | list) or not all(isinstance(branch, Branch) for branch in branches):
        raise TypeError(f"branches must be a tuple of Branch, not {shown(branches)}")
    return tuple(branches)


def _check(model: LocalModel) -> None:
    kind = type(model)
    if model.reward_is_derived and _branch_rewards_given(kind) is LocalModel.branch_rewards:
        raise TypeError(
            f"{kind.__name__} must say what agents earn: branch_rewards() or reward(mu_hood), one of the two"
        )
    if not (is_number(model.gamma) and 0 < model.gamma < 1):
        raise ValueError(f"gamma must lie strictly between 0 and 1, not {shown(model.gamma)}")
    steps, warmup = model.evaluation
    if warmup >= steps:
        raise ValueError(f"evaluation must have more steps than warm-up steps, not {model.evaluation}")
    if not model.legal.any(1).all():
        state = int(model.legal.any(1).argmin())
        raise ValueError(f"state {state} has no legal action; every state needs at least one")
    if (model.initial < 0).any() or abs(model.initial.sum() - 1) > 1e-9:
        raise ValueError("initial must be a probability vector over the states")
    model.initial = model.initial / model.initial.sum()  # numpy's multinomial is stricter than the line above
    groups = np.unique(model.groups)
    if not np.array_equal(groups, np.arange(len(groups))):
        raise ValueError("groups must number the groups of layers 0, 1, 2, ... without gaps")
    if not model.branches:
        raise ValueError("a model needs at least one branch")
    for k, branch in enumerate(model.branches):
        _check_branch(model, k, branch)
    if not isinstance(model.quota, Quota | None):
        raise TypeError(f"quota must be a Quota or None, not {shown(model.quota)}")
    if model.quota is not None:
        _check_quota(model, model.quota)
    if model.transit.any():
        _check_transit(model)


def _check_branch(model: LocalModel, k: int, branch: Branch) -> None:
    (s, a), shape = model.legal.shape, branch.successors.shape
    if len(shape) != 3 or shape[0] != s or shape[1] not in (1, a) or shape != branch.probabilities.shape:
        tables = f"{shape} and {branch.probabilities.shape}"
        raise ValueError(f"branch {k} must have two tables of shape (S={s}, A={a} or 1, J), not {tables}")
    if not (np.isfinite(branch.probabilities).all() and (branch.probabilities >= 0).all()):
        raise ValueError(f"branch {k} has NaN or negative probabilities")
    sums = branch.probabilities.sum(2)
    if np.abs(sums - 1).max() > 1e-9:
        state = int(np.abs(sums - 1).max(1).argmax())
        raise ValueError(f"branch {k}: the probabilities of state {state} sum to {sums[state].flat[0]:.6g}, not 1")
    used = branch.probabilities > 0
    if (branch.successors[used] < 0).any() or (branch.successors[used] >= s).any():
        raise ValueError(f"branch {k} points to states outside 0..{s - 1}")
    origin = np.broadcast_to(model.network.node_of[:, None, None], shape)[used]
    target = model.network.node_of[branch.successors[used]]
    near = model.network.is_step(origin, target)
    if not near.all():
        where = int(near.argmin())
        raise ValueError(
            f"branch {k} leaves the neighbourhood: from node {origin[where]} to node {target[where]}; "
            "agents may only stay or move to an adjacent node (2)"
        )


def _check_quota(model: LocalModel, quota: Quota) -> None:
    if not 0 <= quota.branch < len(model.branches) or len(model.branches) < 2:
        raise ValueError("a quota needs the index of one of at least two branches")
    if quota.rate.shape != (model.network.num_states,) or not ((quota.rate >= 0) & np.isfinite(quota.rate)).all():
        raise ValueError("the quota's rate must be (S,) non-negative numbers")


def _check_transit(model: LocalModel) -> None:
    moving, last = model.transit, model.branches[-1]
    if (model.legal[moving].sum(1) != 1).any():
        raise ValueError("a state in transit must have exactly one legal action")
    if last.probabilities[moving].max(2).min() < 1:
        raise ValueError("a state in transit must follow the last branch to one fixed successor")
    if model.quota is not None and model.quota.rate[moving].any():
        raise ValueError("the quota's rate must be 0 in states in transit")
