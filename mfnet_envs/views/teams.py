"""The team view: one PettingZoo agent per state that has a choice, whatever the population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mfnet_envs.model import LocalModel
from mfnet_envs.views._joint import Action, Flow
from mfnet_envs.views._observe import Encoding
from mfnet_envs.views._parallel import NetworkParallelEnv
from mfnet_envs.views.batch import TeamsBatch
from mfnet_envs.words import shown


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

    Args:
        model: what is played.
        observe: "own", the share of agents in the own state; "hood" or a number of hops k, also the crowds of all nodes
            within k hops.
        state_encoding: which state it is, in front of an observation: "onehot", "coordinates" of its node, "index" or
            "none"; None: "onehot" up to 256 states, else "coordinates".
        action: "logits", read as softmax(logit_scale * action) over the legal actions, or "shares", read as the shares
            themselves, brought to sum 1.
        flow: "sample", every agent draws its action, or "round", the shares are realised to within one agent; default:
            "sample" for logits, "round" for shares.
        logit_scale: how sharp logits can be: at 5 an action is at most e^10 times as likely as another.
        max_cycles: truncate everybody after so many steps; default: the scenario's evaluation steps.
        render_mode: what ``render()`` gives: "human" (a window), "rgb_array" (an array) or "ansi" (text); None: nothing
            is drawn.
        name: of the environment, in its metadata.
        backend: of the simulator, "numpy" or "compiled"; None: the variable MFNET_BACKEND, else numpy.
    """

    batch: TeamsBatch

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
        backend: Any = None,
    ) -> None:
        seen: dict[str, Any] = {"observe": observe, "state_encoding": state_encoding}
        played: dict[str, Any] = {"action": action, "flow": flow, "logit_scale": logit_scale, "backend": backend}
        batch = TeamsBatch(model, max_cycles=max_cycles, **seen, **played)
        super().__init__(batch, render_mode, name)
        self.game = batch.game
        self.team_states: dict[str, int] = dict(zip(self.possible_agents, model.team_states.tolist(), strict=True))

    def _packed(self, actions: Any) -> Sequence[Any]:
        rows = super()._packed(actions)
        width = (self.game.shape[1],)
        for team, row in zip(self.possible_agents, rows, strict=True):
            shape = _shape(row)
            if shape != width:
                raise ValueError(f"the action of {team} must have shape {width}, not {shape}")
        return rows


def _shape(row: Any) -> Any:
    try:
        return np.shape(row)
    except Exception:  # ragged lists, and whatever somebody's __array__ raises
        return f"that of {shown(row)}"
