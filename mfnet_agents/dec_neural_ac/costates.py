"""Costates: what one agent in a state is worth to the team, pulled back through a fragment that was played.

M^-(r) = V(n) - V(n - e_r) is what the last agent in r is worth, M^+(r) = V(n + e_r) - V(n) what one more would be. One
step back, each row asks its successors for theirs, and its own node's law what an agent more or less changes there
(SPEC: the policy gradient seen by one agent; ``docs/theory.md`` has the derivation and what is left out):

    Q(r, a)  = pay + sum_k weight_k (rho_k + gamma Y_k),    Y_k(r, a) = sum_j p_kj M(s'_kj) at the next step,
    E(r)     = sum over the others at the node of pi . (their Q with one agent more in r's group, less without),
    M(r)     = sum_a pi(a | r, n_r) Q(r, a) + E(r).

Y is taken *leave one out*: who has just landed in s' meets a crowd that counts him, who has not meets one more.
Nothing is sampled but the path itself. Where policies see the crowds of other nodes, each of those is told what its
agents make others do, sum over who hears it of n sum_a (d pi(a) / d n_v) Q(a), which is added to M. What a policy that
sees its own team only answers to its own crowd is left out: it vanishes where that policy is best for each crowd.

Who is on its way in transit is worth, discounted, what is usual where it lands. Where episodes end
(``model.episode_steps``), fragments are episodes: nothing is worth anything after them, and trips are followed through
the fragment, to the very step in which they land.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from mfnet_agents.dec_neural_ac.counted import CountedLaw, at_steps
from mfnet_agents.dec_neural_ac.landing import landings
from mfnet_agents.dec_neural_ac.own_law import Law, Laws, NodeLaw, OwnLaw
from mfnet_agents.dec_neural_ac.terminal import Moments, TerminalCritic
from mfnet_agents.policies.individual import Answers
from mfnet_agents.policies.places import usual_crowds
from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.simulator import Simulator, Trace
from mfnet_envs.simulator.tables import arrivals

ROOM = 4_000_000  # numbers in one law of a piece of a fragment
MINUS, PLUS = 0, 1

Shares = Callable[[Ints, slice], Floats]  # team sizes (T, B, T') in a piece of the fragment -> pi (T, B, R, A)
Hear = Callable[[slice], Answers | None]  # a piece of the fragment -> how its samples' shares answer to other crowds


class Fragment(NamedTuple):
    """T steps of B worlds as they were played, in agents.

    Attributes:
        crowd: ``(T, B, V, G)``; last: ``(B, V, G)`` after the last step; served: ``(T, B, R)``; unserved: ``(T, B, R,
            A)``; sizes: ``(T, B, T')`` of the teams.
        first: number of its first step on the model's clock.
    """

    crowd: Floats
    last: Floats
    served: Floats
    unserved: Floats
    sizes: Ints
    first: int


class Costates(NamedTuple):
    """Of a fragment.

    Attributes:
        values: ``(2, T, B, R)`` M^- and M^+; worth: ``(T, B, R, A)`` of an action to who had a choice; pi: ``(T, B, R,
            A)`` what was played.
    """

    values: Floats
    worth: Floats
    pi: Floats


class Advantages(NamedTuple):
    """Of the actions of T' teams in L samples.

    Attributes:
        agents: ``(L, T')`` who had a choice; pi: ``(L, T', A)``; ahead: ``(L, T', A)`` of the mean of their worths.
        summed: ``(T', 2)`` over all agents, the squares of what they were ahead, and their number.
    """

    agents: Floats
    pi: Floats
    ahead: Floats
    summed: Floats


class Routes:
    """Where the branches of one model lead, and what they pay.

    Attributes:
        law: at its nodes, with the branches' odds and rewards; rewards: ``(R, A, K)``, 0 where it is not the branches
            that pay.
        reached: ``(X,)`` the states that rows lead to, those of a row apart from those of others; row: ``(X,)`` which;
            likely: ``(X,)`` bool, with a chance above 0.
        ways: for each branch ``(R, A or 1, J)`` places in ``reached``; odds: their chances.
        quota: the branch that is rationed, or None; shape: (R, A, K).
    """

    def __init__(self, model: LocalModel, law: NodeLaw) -> None:
        active, states = model.active, model.network.num_states
        self.law = law
        self.quota = None if model.quota is None else model.quota.branch
        self.shape = rows, _, _ = len(active), model.num_actions, len(model.branches)
        ends = [np.arange(rows)[:, None, None] * states + branch.successors[active] for branch in model.branches]
        pairs, place = np.unique(np.concatenate([end.reshape(-1) for end in ends]), return_inverse=True)
        self.reached: Ints = pairs % states
        cuts = np.cumsum([end.size for end in ends])[:-1]
        flat = np.split(place.reshape(-1), cuts)
        self.ways: list[Ints] = [way.reshape(end.shape) for way, end in zip(flat, ends, strict=True)]
        self.row: Ints = pairs // states
        self.read()

    def read(self) -> None:
        """What branches pay and where they lead, as the law knows it now."""
        rewards = self.law.rewards
        self.rewards: Floats = np.zeros(self.shape) if rewards is None else rewards
        self.odds = self.law.odds
        self._landing = [self._spread(k) for k in range(self.shape[2])]
        self.likely: Bools = np.any([spread.sum(1) > 0 for spread in self._landing], axis=0)

    def _spread(self, k: int) -> sparse.csr_array:
        """Where those that take branch k land: ``(X, R A or R)``."""
        way, odds = self.ways[k], self.odds[k]
        column = np.arange(way.shape[0] * way.shape[1]).reshape(*way.shape[:2], 1) + 0 * way
        entries = odds.reshape(-1), (way.reshape(-1), column.reshape(-1))
        return sparse.csr_array(sparse.coo_array(entries, (len(self.reached), way.shape[0] * way.shape[1])))

    def open_weights(self, weights: Floats) -> Floats:
        """``weights (..., K)`` of who is not served; the only other branch, where there is one, takes all."""
        if self.quota is None:
            return weights
        shares = weights.copy()
        shares[..., self.quota] = 0.0
        if shares.shape[-1] == 2:
            shares[..., 1 - self.quota] = 1.0
        else:
            shares /= np.maximum(shares.sum(-1, keepdims=True), 1e-300)
        return shares

    def landed(self, served: Floats, unserved: Floats, shares: Floats) -> Floats:
        """``(B, X)``: the part of a row's agents that has just come to each state it leads to, in the mean."""
        everyone = np.maximum(unserved.sum(2) + served, 1)
        found = np.zeros((len(served), len(self.reached)))
        for k, way in enumerate(self.ways):
            part = served[..., None] if k == self.quota else unserved * shares[..., k]
            part = part if way.shape[1] > 1 or k == self.quota else part.sum(2, keepdims=True)
            found += (self._landing[k] @ part.reshape(len(part), -1).T).T
        found /= everyone[:, self.row]
        return found

    def gains(self, values: Floats, landed: Floats, gamma: float) -> Floats:
        """``(K, 2, B, R, A)``: what taking a branch earns and leads to, for one who is counted and for one more.

        Args:
            values: ``(2, B, S)`` M^- and M^+ at the next step.
        """
        rows, actions, branches = self.shape
        more = values[PLUS][:, self.reached]
        ahead = np.stack([more + landed * (values[MINUS][:, self.reached] - more), more])
        gain = np.empty((branches, 2, values.shape[1], rows, actions))
        for k, (way, odds) in enumerate(zip(self.ways, self.odds, strict=True)):
            if odds.shape[2] == 1:
                following = ahead[:, :, way[..., 0]]
            else:
                following = np.einsum("ibraj,raj->ibra", ahead[:, :, way], odds)
            gain[k] = self.rewards[..., k] + gamma * following
        return gain


def _over(pi: Floats, values: Floats) -> Floats:
    """``(B, R)``: the mean of ``values (B, R, A)`` over the actions."""
    mean: Floats = np.einsum("bra,bra->br", pi, values)
    return mean


class Pullback:
    """Pulls costates back through fragments of a model.

    Attributes:
        critic: at the end of a fragment; error: root mean square of what it had wrong in the last fragment.
    """

    def __init__(self, model: LocalModel, gamma: float, seen_in: Simulator | None = None) -> None:
        """``seen_in``: the traced simulator whose steps nodes count, where they do not know their law."""
        self.model, self.gamma = model, gamma
        network, self.active = model.network, model.active
        self.routes: dict[int, Routes] = {}
        for t in range(model.period or 1):
            in_force = model.at(t)
            if id(in_force) not in self.routes:
                counts = seen_in and CountedLaw(in_force, seen_in.at(t).branch_columns)
                self.routes[id(in_force)] = Routes(in_force, counts or OwnLaw(in_force))
        law = self.law(0)
        self.node, self.group = law.node, law.group
        self.teams = np.searchsorted(self.active, model.team_states)  # rows with a choice
        self.critic = TerminalCritic(self.node, self.group, usual_crowds(model))
        self.landing, self.delay = landings(model, gamma)
        self.is_whole, self.next = model.episode_steps is not None, arrivals(model)
        self._busy, self._first = np.unique(self.node, return_index=True)
        self._nodes, self.error = network.num_nodes, 0.0

    def law(self, t: int) -> NodeLaw:
        """The law in force at step t."""
        return self.routes[id(self.model.at(t))].law

    @property
    def messages(self) -> int:
        """Numbers that nodes tell each other for one step of one world: both costates of every row's successors."""
        routes, place = self.routes[id(self.model.at(0))], self.model.network.node_of
        node, state = self.node[routes.row], routes.reached
        told = np.unique(np.stack([node, state])[:, (place[state] != node) & routes.likely], axis=1)
        return 2 * int(told.shape[1])

    def __call__(self, fragment: Fragment, pi: Shares, hear: Hear = lambda piece: None, ears: int = 0) -> Costates:
        """Costates of ``fragment`` under the policy ``pi``.

        Args:
            hear: how its shares answer to crowds elsewhere; ears: how many of those a team hears.
        """
        steps, worlds = fragment.served.shape[:2]
        rows, actions, _ = self.routes[id(self.model.at(0))].shape
        worth = np.empty((steps, worlds, rows, actions))
        found = Costates(np.empty((2, steps, worlds, rows)), worth, np.empty_like(worth))
        values = self._at_end(fragment.last)
        everywhere = self._everywhere(values)
        for piece in self._pieces(fragment, ears):
            routes = self.routes[id(self.model.at(fragment.first + piece.start))]
            laws, sizes = routes.law.around(fragment.crowd[piece]), fragment.sizes[piece]
            found.pi[piece], one_more = pi(sizes, piece), pi(sizes + 1, piece)
            heard = self._heard(hear(piece), piece, worlds)
            everywhere = self._through(fragment, piece, routes, laws, one_more, heard, found, everywhere)
        return found

    def _through(
        self, fragment: Fragment, piece: slice, routes: Routes, laws: Laws, one_more: Floats, heard: Answers | None,
        found: Costates, everywhere: Floats,
    ) -> Floats:  # fmt: skip
        """Costates of a piece of the fragment, written into ``found``.

        Args:
            laws: of the piece; one_more: ``(T', B, R, A)`` the policy of teams with one agent more.
            heard: how teams answer to crowds elsewhere, slopes ``(T', B, T, A, D, G)``.
            everywhere: ``(2, B, S)`` costates just after the piece.

        Returns:
            those just before it.
        """
        for t in reversed(range(piece.start, piece.stop)):
            i = t - piece.start
            chosen = np.stack([found.pi[t], one_more[i]])
            values, found.worth[t] = self.back(fragment, t, routes, laws.step(i), everywhere, chosen)
            if heard is not None:
                values = values + self._answered(fragment, t, found.worth[t], heard._replace(slopes=heard.slopes[i]))
            found.values[:, t] = values
            everywhere = self._everywhere(found.values[:, t], everywhere)
        return everywhere

    def advantages(self, fragment: Fragment, found: Costates, rows: Ints) -> Advantages:
        """What the actions of the teams in ``rows (T',)`` are ahead of each other."""
        samples = fragment.served.shape[0] * fragment.served.shape[1]
        agents, worth, pi = (
            x.reshape(samples, *x.shape[2:])
            for x in (fragment.unserved[:, :, rows].sum(3), found.worth[:, :, rows], found.pi[:, :, rows])
        )
        ahead = np.where(pi > 0, worth, 0.0)
        ahead -= (pi * ahead).sum(2, keepdims=True)
        summed = np.stack([(agents * (pi * ahead**2).sum(2)).sum(0), agents.sum(0)], 1)
        return Advantages(agents, pi, ahead, summed)

    def observe(self, fragment: Fragment, trace: Trace) -> None:
        """Let the laws that count learn from a fragment; ``trace (T, ...)``: what was seen in its steps."""
        clock = fragment.first + np.arange(len(fragment.crowd))
        in_force = np.array([id(self.model.at(int(t))) for t in clock])
        for key in np.unique(in_force).tolist():
            routes, steps = self.routes[key], np.flatnonzero(in_force == key)
            assert isinstance(routes.law, CountedLaw)
            routes.law.observe(fragment.crowd[steps], at_steps(trace, steps))
            routes.read()

    def read(self) -> None:
        """Take over what the laws know now."""
        for routes in self.routes.values():
            routes.read()

    @staticmethod
    def _heard(heard: Answers | None, piece: slice, worlds: int) -> Answers | None:
        """Slopes step by step, ``(T', B, ...)`` for ``(T' B, ...)``."""
        steps = piece.stop - piece.start
        return heard and heard._replace(slopes=heard.slopes.reshape(steps, worlds, *heard.slopes.shape[1:]))

    def _pieces(self, fragment: Fragment, ears: int) -> Iterator[slice]:
        """The fragment from its end, cut where the law changes and so that its tables fit a temporary."""
        rows, actions, branches = self.routes[id(self.model.at(0))].shape
        steps, worlds = fragment.served.shape[:2]
        longest, stop = max(1, ROOM // (worlds * rows * actions * max(branches, ears))), steps
        while stop:
            model, start = self.model.at(fragment.first + stop - 1), stop - 1
            while start and stop - start < longest and self.model.at(fragment.first + start - 1) is model:
                start -= 1
            yield slice(start, stop)
            stop = start

    def _at_end(self, crowd: Floats) -> Floats:
        """``(2, B, R)``: the critic's costates at ``crowd (B, V, G)``; 0 at the end of an episode."""
        if self.is_whole:
            return np.zeros((2, len(crowd), len(self.node)))
        own = crowd[:, self.node, self.group]
        return np.stack([self.critic.value(crowd, np.maximum(own, 1)), self.critic.value(crowd, own + 1)])

    def _everywhere(self, values: Floats, later: Floats | None = None) -> Floats:
        """Costates ``(2, B, R)`` of all states, ``(2, B, S)``: in transit, what is worth being where the trip ends.

        Args:
            later: of an episode, the same a step later, None at its end.
        """
        if self.is_whole and later is not None:
            everywhere = self.gamma * later[:, :, self.next]
        else:
            on_the_way = self.delay * self.critic.level[self.landing] * (not self.is_whole)
            everywhere = np.broadcast_to(on_the_way, (*values.shape[:2], len(on_the_way))).copy()
        everywhere[:, :, self.active] = values
        return everywhere

    def back(
        self, fragment: Fragment, t: int, routes: Routes, laws: Laws, everywhere: Floats, pi: Floats
    ) -> tuple[Floats, Floats]:
        """One step back.

        Args:
            everywhere: ``(2, B, S)`` costates just after step t; pi: ``(2, B, R, A)`` of teams as they are, and with
                one agent more.

        Returns:
            costates ``(2, B, R)`` at step t, and the worth of actions ``(B, R, A)``.
        """
        open_law = Law(laws.base.pay, routes.open_weights(laws.base.weights))
        landed = routes.landed(fragment.served[t], fragment.unserved[t], open_law.weights)
        gain = routes.gains(everywhere, landed, self.gamma)
        nobody = fragment.unserved[t].sum(2) + fragment.served[t] == 0
        last = np.where(nobody[..., None], pi[PLUS], pi[MINUS])
        minus, plus = gain[:, MINUS], gain[:, PLUS]
        own = _over(last, laws.at.worth(minus)), _over(pi[PLUS], laws.more.worth(plus))
        externality = self._externality(fragment, t, laws, gain, pi[MINUS])
        return np.stack(own) + externality, open_law.worth(minus)

    def _externality(self, fragment: Fragment, t: int, laws: Laws, gain: Floats, pi: Floats) -> Floats:
        """``(2, B, R)``: what the others gain by the last agent's presence, and by one more.

        Others of its own row may land where it lands. Those that ``gain`` is of have met it there, and its costate
        there counts them already: to count that once, their costates are taken as if it were not there.
        """
        agents = fragment.unserved[t].sum(2) + fragment.served[t]
        found, met = np.zeros((2, *agents.shape)), gain[:, MINUS] - gain[:, PLUS]
        for shift in laws.shifts:
            mine, others = self.group == shift.group, agents
            if not shift.slot:  # of c agents in the group, c - 1 are others
                crowd = fragment.crowd[t][:, :, shift.group]
                part = (np.maximum(crowd - 1, 0) / np.maximum(crowd, 1))[:, self.node]
                others = np.where(mine, agents * part, agents)
            cases = ((others, shift.at, shift.less, 1), (agents, shift.more, laws.base, -1))
            for i, (many, with_it, without, sign) in enumerate(cases):
                change = with_it.worth(gain[:, MINUS]) - without.worth(gain[:, MINUS])
                felt = self._by_node(many * _over(pi, change), shift.slot)
                found[i][:, mine] += felt[:, self.node[mine]]
                if not shift.slot:
                    again = Law(None, with_it.weights - without.weights).worth(sign * met)
                    found[i][:, mine] += (many * _over(pi, again))[:, mine]
        return found

    def _answered(self, fragment: Fragment, t: int, worth: Floats, heard: Answers) -> Floats:
        """``(B, R)``: what teams that hear of a row's agents make of one more, slopes ``(B, T, A, D, G)``."""
        teams, at_nodes = fragment.unserved[t][:, self.teams].sum(2), np.zeros((len(worth), *fragment.crowd.shape[2:]))
        made = np.einsum("bt,bta,btadg->btdg", teams, worth[:, self.teams], heard.slopes, optimize=True)
        world = np.arange(len(worth))[:, None, None, None]
        np.add.at(at_nodes, (world, heard.near[..., None], heard.groups), made)
        answered: Floats = at_nodes[:, self.node, self.group]
        return answered

    def _by_node(self, felt: Floats, slot: int) -> Floats:
        """What rows feel ``(B, R)``, summed at the node whose crowd they feel, ``(B, V)``: the one in that slot."""
        at_node = np.zeros((len(felt), self._nodes))
        at_node[:, self._busy] = np.add.reduceat(felt, self._first, axis=1)
        if not slot:
            return at_node
        source = self.law(0).hood[:, slot]
        heard = np.zeros_like(at_node)
        np.add.at(heard.T, source[source >= 0], at_node[:, source >= 0].T)
        return heard

    def moments(self, fragment: Fragment, found: Costates) -> list[Moments]:
        """What the critic has to learn from a fragment; nothing where nothing is worth anything after it."""
        if self.is_whole:
            return []
        crowd = fragment.crowd.reshape(-1, *fragment.crowd.shape[2:])
        own = crowd[:, self.node, self.group]
        minus, plus = found.values.reshape(2, len(crowd), -1)
        pairs = (np.maximum(own, 1), minus), (own + 1, plus)
        return [self.critic.moments(crowd, at, costate) for at, costate in pairs]

    def learn(self, moments: Sequence[Moments]) -> None:
        """Let the critic learn, from one fragment or from several side by side."""
        if moments:
            self.error = self.critic.learn(moments)
