"""Any scenario as an OpenSpiel mean-field game: its selfish equilibrium, and how far any policy is from one.

mfnet's learners and bounds are about what is best for all. OpenSpiel's solvers (``open_spiel.python.mfg.algorithms``:
fictitious play, mirror descent, NashConv) ask what each agent does for itself when there are infinitely many of them.

>>> from open_spiel.python.mfg.algorithms import fictitious_play, nash_conv
>>> game = mean_field_game("MFNet-TwoByTwo-v0", horizon=2)
>>> solver = fictitious_play.FictitiousPlay(game)
>>> for _ in range(30):
...     solver.iteration()
>>> bool(nash_conv.NashConv(game, solver.get_policy()).nash_conv() < 0.1)
True
>>> selfish = to_policy(game, solver.get_policy())  # an mfnet policy: evaluate(game.model, selfish, steps=game.horizon)

The game is the limit N = infinity that ``Simulator.mean_field_step`` follows (``model.fluid()``, matching by its mean):
one agent among a crowd mu_t, whose own weight is nothing. Its return is sum_t gamma^t r(s_t, mu_t(N_s), a_t) over
``horizon`` steps. A step t of the model is four nodes of the game:

1. *choose*, a player node: state s_t, the legal actions; mu_t is known (mu_0 is ``model.initial``);
2. *paid*, a player node with the one action 0, whose reward is gamma^t r(s_t, mu_t(N_s), a_t). OpenSpiel's solvers add
   the rewards of player and mean-field nodes and leave out those of chance nodes, so the reward of an action needs it;
3. *move*, a chance node: s_{t+1} from sum_k weight_k(s_t, mu_t, a_t) branch_k(. | s_t, a_t). Outcomes are states by
   their number, also those of probability 0 at mu_t: tabular policies list nodes under one crowd and play under others;
4. *crowd*, the mean-field node: ``update_distribution`` brings mu_{t+1}. After the last move the game ends instead.

The solvers enumerate (t, s, a) in Python and ask every state for the whole distribution, S^2 look-ups per step beside
S A J moves: hundreds of states and a few steps take seconds an iteration, thousands of states minutes. There are no
observation tensors, hence no deep algorithms.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

import numpy as np

from mfnet_envs.adapters import missing
from mfnet_envs.arrays import Floats
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, TablePolicy
from mfnet_envs.registration import make_model
from mfnet_envs.simulator import ROUNDING, Simulator

try:
    import pyspiel
    from open_spiel.python import observation
    from open_spiel.python import policy as spiel_policy
except ModuleNotFoundError as error:
    raise missing(error, "open_spiel") from error

Phase: TypeAlias = Literal["start", "choose", "paid", "move", "crowd", "end"]
Outcomes: TypeAlias = list[tuple[int, float]]
PLAYER = 0
FRAMES = 8  # of Python's stack that mirror descent, the deepest of the solvers, takes per step
FRAMES_BELOW = 100

PLAYER_AT = {
    "start": pyspiel.PlayerId.CHANCE,
    "choose": PLAYER,
    "paid": PLAYER,
    "move": pyspiel.PlayerId.CHANCE,
    "crowd": pyspiel.PlayerId.MEAN_FIELD,
    "end": pyspiel.PlayerId.TERMINAL,
}

GAME_TYPE = pyspiel.GameType(
    short_name="mfnet",
    long_name="mfnet: a mean-field game on a network",
    dynamics=pyspiel.GameType.Dynamics.MEAN_FIELD,
    chance_mode=pyspiel.GameType.ChanceMode.EXPLICIT_STOCHASTIC,
    information=pyspiel.GameType.Information.PERFECT_INFORMATION,
    utility=pyspiel.GameType.Utility.GENERAL_SUM,
    reward_model=pyspiel.GameType.RewardModel.REWARDS,
    max_num_players=1,
    min_num_players=1,
    provides_information_state_string=False,  # policies are of (t, s), not of histories
    provides_information_state_tensor=False,
    provides_observation_string=True,
    provides_observation_tensor=False,
    parameter_specification={"id": "", "horizon": 0, "options": ""},
)


def mean_field_game(scenario: str | LocalModel, horizon: int | None = None, **options: Any) -> MeanFieldGame:
    """A scenario, by its id and options, or a model of your own, as an OpenSpiel game.

    ``pyspiel.load_game("mfnet(id=MFNet-Grid-v0,horizon=10)")`` is the same where this module has been imported, with
    ``options`` as URL-quoted JSON. ``str(game)`` is such a string if the options are ones that JSON can hold. Games of
    a model have none: they pickle, but ``pyspiel.serialize_game_and_state`` cannot bring them back.

    Args:
        horizon: steps; default ``model.evaluation[0]``. Where the builder has an option of this name too, it keeps its
            default: a ``model.bound()`` for as many steps is that of ``mean_field_game(make_model(id, horizon=...))``.

    Raises:
        ValueError: a horizon below 1, or one that needs a higher recursion limit, since OpenSpiel's solvers recurse.
        TypeError: options for a model that is built already, or that the scenario does not have.
    """
    if isinstance(scenario, LocalModel):
        if options:
            raise TypeError(f"a model is built already; give {', '.join(options)} where you build it")
        model, named = scenario, {}
    else:
        model, named = make_model(scenario, **options), _named(scenario, options)
    steps = model.evaluation[0] if horizon is None else _checked(horizon)
    return MeanFieldGame({**named, "horizon": steps}, model)


def to_policy(game: MeanFieldGame, policy: spiel_policy.Policy) -> TablePolicy:
    """An OpenSpiel policy, such as an equilibrium, as an mfnet policy that depends on the step and the own state.

    Legal actions are equally likely where the game never comes. After ``game.horizon`` steps the last table stays in
    force, so evaluate with ``steps=game.horizon``.

    Raises:
        ValueError: a policy of another game.
    """
    if str(policy.game) != str(game):
        raise ValueError(f"the policy is of the game {policy.game}, not of {game}")
    tabular = policy if isinstance(policy, spiel_policy.TabularPolicy) else policy.to_tabular()
    model = game.model
    legal = model.legal[model.team_states]
    table = np.tile(legal / legal.sum(1, keepdims=True), (game.horizon, 1, 1))
    for t in range(game.horizon):
        for team, s in enumerate(model.team_states.tolist()):
            row = tabular.state_lookup.get(_name("choose", t, s))
            if row is not None:
                table[t, team] = tabular.action_probability_array[row]
    return TablePolicy(model, table)


def from_policy(game: MeanFieldGame, policy: Policy) -> spiel_policy.Policy:
    """An mfnet policy as an OpenSpiel policy: its probabilities along the crowds that it leads to itself.

    ``NashConv(game, from_policy(game, policy)).nash_conv()`` is its exploitability: what one agent gains, in discounted
    return, that does as it likes while all others keep to the policy.

    Policies are functions of whole agents, a crowd N mu(s) is a real number: pi(s, .) is read at the two whole numbers
    around it and taken linear between. A policy whose teams draw together is read by its marginals.
    """
    model = game.model
    mu, table = model.initial[None], np.empty((game.horizon, *model.legal.shape))
    states = np.arange(len(model.legal))
    for t in range(game.horizon):
        whole, part = np.divmod(model.population * mu, 1)
        around = np.minimum(np.concatenate([whole, whole + (part > 0)]), model.population)
        below, above = policy.individual(around.astype(np.int64), t)
        pi = below + part.T * (above - below)
        pi[states, model.first_legal] += (pi * ~model.legal).sum(1)
        table[t] = pi * model.legal
        mu, _ = game.simulator.at(t).mean_field_step(mu, table[t])
    return _AlongTheCrowd(game, table)


class _AlongTheCrowd(spiel_policy.Policy):
    """``table (H, S, A)``, read by the step and the state."""

    def __init__(self, game: MeanFieldGame, table: Floats) -> None:
        super().__init__(game, [PLAYER])
        self._table = table

    def action_probabilities(self, state: MeanFieldState, player_id: int | None = None) -> dict[int, float]:
        actions = state.legal_actions()
        if state.phase != "choose":
            return dict.fromkeys(actions, 1.0)
        return dict(zip(actions, self._table[state.t, state.s, actions].tolist(), strict=True))


class Field(NamedTuple):
    """What a crowd makes of a model.

    Attributes:
        mu: the crowd ``(S,)``, as bytes: what the states of a game share, and what their copies need not copy.
        law: the model.
        rewards: ``(S, A)``, 0 in transit.
        weights: ``(S, A or 1, K)`` of the branches.
    """

    mu: bytes
    law: _Law
    rewards: Floats
    weights: Floats

    def outcomes(self, s: int, a: int) -> Outcomes:
        """The next states and their probabilities."""
        targets, by_branch = self.law.successors(s, a)
        chances = by_branch @ self.weights[s, a if self.weights.shape[1] > 1 else 0]
        return list(zip(targets, chances.tolist(), strict=True))


class _Law:
    """The limit N = infinity of the law that a simulator steps, and the tables that no crowd changes."""

    def __init__(self, simulator: Simulator) -> None:
        self.model = simulator.model.fluid()
        self.simulator = Simulator(self.model)
        self._successors: dict[tuple[int, int], tuple[list[int], Floats]] = {}

    def field(self, mu: bytes) -> Field:
        model = self.model
        hood = self.simulator.mu_hood(model.population * np.frombuffer(mu)[None])
        rewards = np.zeros(model.legal.shape)
        rewards[model.active] = np.asarray(model.reward(hood))[0]
        if not np.isfinite(rewards).all():
            raise ValueError("the model's reward is NaN or infinite; check_model(model) finds out where")
        active = np.asarray(model.branch_weights(hood), np.float64)[0]
        weights = np.zeros((len(rewards), *active.shape[1:]))
        weights[..., -1] = 1  # in transit
        weights[model.active] = active
        total = weights.sum(-1, keepdims=True)
        if not abs(total - 1).max() < ROUNDING:  # also for NaN
            raise ValueError("the model's branch_weights are NaN or do not sum to 1; check_model(model) says where")
        return Field(mu, self, rewards, weights / total)

    def successors(self, s: int, a: int) -> tuple[list[int], Floats]:
        """The J states that any branch may lead to from s under a, and ``(J, K)`` each branch's chance of them."""
        if (s, a) not in self._successors:
            chances: dict[int, Floats] = {}
            for k, branch in enumerate(self.model.branches):
                if self.model.transit[s] and k < len(self.model.branches) - 1:
                    continue
                column = a if branch.successors.shape[1] > 1 else 0
                p = branch.probabilities[s, column] / branch.probabilities[s, column].sum()
                for j in np.flatnonzero(p).tolist():
                    target = int(branch.successors[s, column, j])
                    chances.setdefault(target, np.zeros(len(self.model.branches)))[k] += p[j]
            targets = sorted(chances)
            self._successors[s, a] = targets, np.stack([chances[target] for target in targets])
        return self._successors[s, a]


class MeanFieldGame(pyspiel.Game):
    """See the module's docstring; made by :func:`mean_field_game` or ``pyspiel.load_game``.

    Attributes:
        model: the scenario, with its finite population; ``simulator`` steps it.
        horizon: steps.
        legal: the legal actions of each state.
        discount: gamma^t of each step.
    """

    def __init__(self, params: Mapping[str, Any] | None = None, model: LocalModel | None = None) -> None:
        params = params or {}
        id, options = params.get("id", ""), params.get("options", "")
        if model is None:
            if not id:
                raise ValueError(
                    "an mfnet game is loaded by its id, as in load_game('mfnet(id=MFNet-Grid-v0,horizon=10)'); "
                    "one of a model of your own is made by mean_field_game(model), no string can tell which it is"
                )
            model = make_model(id, **json.loads(unquote(options) or "{}"))
        self.model = model
        self.simulator = Simulator(model)
        self.horizon = _checked(params.get("horizon") or model.evaluation[0])
        self.legal = [np.flatnonzero(row).tolist() for row in model.legal]
        self.discount = (model.gamma ** np.arange(self.horizon)).tolist()
        self._law = cache(_Law)
        self._field = lru_cache(maxsize=4 * self.horizon + 4)(_Law.field)  # a few crowds per step at a time
        self._support = cache(lambda t: [_name("crowd", t, s) for s in range(model.network.num_states)])
        low, high = model.reward_range
        info = pyspiel.GameInfo(
            num_distinct_actions=model.num_actions,
            max_chance_outcomes=model.network.num_states,
            num_players=1,
            min_utility=low * sum(self.discount),
            max_utility=high * sum(self.discount),
            utility_sum=None,
            max_game_length=2 * self.horizon,
        )
        super().__init__(GAME_TYPE, info, {"id": id, "horizon": self.horizon, "options": options})

    def __reduce__(self) -> tuple[Any, ...]:
        return MeanFieldGame, (self.get_parameters(), self.model)  # pyspiel's own way loses what Python added

    def field(self, t: int, mu: bytes) -> Field:
        """Rewards and kernel at step t under the crowd ``mu (S,)``, kept for the states that ask next."""
        return self._field(self._law(self.simulator.at(t)), mu)

    def support(self, t: int) -> list[str]:
        """The names of the S mean-field nodes of step t, in the order of the states."""
        return self._support(t)

    def new_initial_state(self) -> MeanFieldState:
        return MeanFieldState(self)

    def max_chance_nodes_in_history(self) -> int:
        return self.horizon + 1

    def make_py_observer(self, iig_obs_type: Any = None, params: Any = None) -> Any:
        if iig_obs_type is None or (iig_obs_type.public_info and not iig_obs_type.perfect_recall):
            return _Observer()
        return observation.IIGObserverForPublicInfoGame(iig_obs_type, params)


class MeanFieldState(pyspiel.State):
    """A node of the game.

    Attributes:
        phase: which kind of node.
        t: step.
        s: state of the agent, -1 before the start.
        a: action chosen in this step, -1 when none is yet.
    """

    def __init__(self, game: MeanFieldGame) -> None:
        super().__init__(game)
        # OpenSpiel copies these for every child: numbers and bytes are shared, arrays would not be
        self.phase: Phase = "start"
        self.t, self.s, self.a = 0, -1, -1
        self._mu: bytes = game.model.initial.tobytes()
        self._reward = self._return = 0.0

    @property
    def mu(self) -> Floats:
        """``(S,)``: the crowd this node knows of."""
        return np.frombuffer(self._mu).copy()

    def current_player(self) -> int:
        return int(PLAYER_AT[self.phase])

    def is_terminal(self) -> bool:
        return self.phase == "end"

    def _legal_actions(self, player: int) -> list[int]:
        if player != self.current_player() or player != PLAYER:
            return []
        return list(self.get_game().legal[self.s]) if self.phase == "choose" else [0]

    def chance_outcomes(self) -> Outcomes:
        game = self.get_game()
        if self.phase == "start":
            return [(s, p) for s, p in enumerate(game.model.initial.tolist()) if p > 0]
        if self.phase == "move":
            outcomes: Outcomes = game.field(self.t, self._mu).outcomes(self.s, self.a)
            return outcomes
        raise ValueError(f"{self} is no chance node")

    def _apply_action(self, action: int) -> None:
        game = self.get_game()
        self._reward = 0.0
        if self.phase == "start":
            self.phase, self.s = "choose", action
        elif self.phase == "choose":
            if action not in game.legal[self.s]:
                raise ValueError(f"action {action} is not legal in state {self.s}; choose one of legal_actions()")
            self._reward = game.discount[self.t] * float(game.field(self.t, self._mu).rewards[self.s, action])
            self._return += self._reward
            self.phase, self.a = "paid", action
        elif self.phase == "paid":
            self.phase = "move"
        elif self.phase == "move":
            self.t, self.s, self.a = self.t + 1, action, -1
            self.phase = "crowd" if self.t < game.horizon else "end"
        else:
            raise ValueError(f"{self} takes no action")

    def distribution_support(self) -> list[str]:
        return list(self.get_game().support(self.t))

    def update_distribution(self, distribution: list[float]) -> None:
        """Bring mu_t, ``(S,)`` in the order of :meth:`distribution_support`."""
        game = self.get_game()
        if self.phase != "crowd":
            raise ValueError(f"{self} is no mean-field node; update_distribution belongs there")
        mu = np.array(distribution, np.float64)
        if mu.shape != game.model.initial.shape:
            raise ValueError(f"the distribution must have {len(game.model.initial)} entries, not shape {mu.shape}")
        self._mu = game.field(self.t, mu.tobytes()).mu
        self.phase = "choose"

    def mean_field_population(self) -> int:
        return PLAYER

    def rewards(self) -> list[float]:
        """What the last action earned; see *paid* in the module's docstring."""
        return [self._reward]

    def returns(self) -> list[float]:
        return [self._return]

    def _action_to_string(self, player: int, action: int) -> str:
        return f"s={action}" if player == pyspiel.PlayerId.CHANCE else f"a={action}"

    def __str__(self) -> str:
        return _name(self.phase, self.t, self.s, self.a)


class _Observer:
    """The agent sees the step and its own state, all that its policy may depend on in an equilibrium."""

    tensor = None

    def __init__(self) -> None:
        self.dict: dict[str, Any] = {}

    def set_from(self, state: MeanFieldState, player: int) -> None:
        """There are no tensors to set."""

    def string_from(self, state: MeanFieldState, player: int) -> str:
        return str(state)


def _name(phase: Phase, t: int, s: int, a: int = -1) -> str:
    """What tells the nodes of a game apart."""
    if phase == "start":
        return "start"
    return f"{phase} t={t} s={s}" + (f" a={a}" if a >= 0 else "")


def _named(id: str, options: dict[str, Any]) -> dict[str, str]:
    """What load_game needs to find a scenario again; nothing where an option, a graph say, cannot be written down."""
    try:
        text = quote(json.dumps(options)) if options else ""  # quoted: no commas or brackets inside a game's string
    except TypeError:
        return {}
    return {"id": id, "options": text}


def _checked(horizon: Any) -> int:
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise ValueError(f"horizon must be a positive number of steps, not {horizon!r}")
    depth = FRAMES * int(horizon) + FRAMES_BELOW
    if depth > sys.getrecursionlimit():
        raise ValueError(
            f"OpenSpiel's solvers recurse through the game, about {FRAMES} frames a step: for {horizon} steps call "
            f"sys.setrecursionlimit({depth}) first, or give a smaller horizon"
        )
    return int(horizon)


pyspiel.register_game(GAME_TYPE, MeanFieldGame)
