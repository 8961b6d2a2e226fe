"""The team view: one PettingZoo agent per state that has a choice, whatever the population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.network import Ints
from mfnet_envs.views._joint import Action, Flow, TeamGame, payees
from mfnet_envs.views._observe import Encoding, Observer, Single
from mfnet_envs.views._parallel import NetworkParallelEnv


class TeamsEnv(NetworkParallelEnv):
    """PettingZoo parallel environment of the teams ``team_0``, ``team_1``, ...

    Team i acts for all agents in state ``model.team_states[i]``; ``team_states`` maps its id to the state.

    =========== ======================================================================================================
    observation mu(s); more with ``observe``, ``state_encoding``: :class:`~mfnet_envs.views._observe.Observer`; at
                its end the time of day, where the model reads a clock
    action      Box(-1, 1, (A,)): logits of pi(. | s, mu(s)); see :class:`~mfnet_envs.views._joint.TeamGame`
    reward      r_s = mu(s) sum_a r(s, mu(N_s), a) h(s)(a), equation (7); what a state without a choice earns is paid to
                its node's first team, else to that of the nearest node that has one. The sum over teams is the mean
                reward of an agent.
    info        ``action_mask`` (A,) int8; ``served``: the share of the population that was served in the team's states
    =========== ======================================================================================================
    """

    def __init__(
        self,
        model: LocalModel,
        *,
        observe: str | int = "own",
        state_encoding: Encoding | None = "none",
        action: Action = "logits",
        flow: Flow | None = None,
        logit_scale: float = 5.0,
        max_cycles: int | None = None,
        render_mode: str | None = None,
        name: str = "mfnet_teams_v0",
    ) -> None:
        self.game = TeamGame(model, action, flow, logit_scale)
        teams, width = self.game.shape
        spaces = [self.game.space(width) for _ in range(teams)]
        observer = Observer(model, observe, state_encoding)
        super().__init__(model, "team", observer, spaces, max_cycles, render_mode, name)
        self.team_states: dict[str, int] = dict(zip(self.possible_agents, model.team_states.tolist(), strict=True))
        self._payee = payees(model)
        self._actions: Ints = np.zeros(self.game.shape, np.int64)

    def _start(self, rng: np.random.Generator) -> None:
        self.counts = self.game.simulator.reset(rng, 1)[0]

    def _play(self, actions: Any, rng: np.random.Generator) -> tuple[Floats, Floats, float]:
        checked = self.game.checked(actions, self.game.shape)
        played = self.game.step(self.counts[None], checked, rng, self._clock)
        self.counts, self._actions = played.counts[0], played.actions[0]
        rewards = self._paid(played.rewards[0])
        return rewards, self._paid(played.served[0] / self.model.population), float(rewards.sum())

    def _chosen(self) -> Ints:
        return self._actions

    def _paid(self, earned: Floats) -> Floats:
        """What the states earned ``(S,)``, by team ``(T,)``."""
        paid: Floats = np.bincount(self._payee, earned, minlength=self.game.shape[0]).astype(np.float64)
        return paid

    def _observe(self) -> Single:
        return self.observer(self.counts, self.model.team_states, self._clock)

    def _masks(self) -> NDArray[np.int8]:
        return self.game.mask.copy()

    def _packed(self, actions: Any) -> Sequence[Any]:
        rows = super()._packed(actions)
        width = (self.game.shape[1],)
        for team, row in zip(self.possible_agents, rows, strict=True):
            if np.shape(row) != width:
                raise ValueError(f"the action of {team} must have shape {width}, not {np.shape(row)}")
        return rows
