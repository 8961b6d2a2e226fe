"""The agent view: every one of the N agents is a PettingZoo agent."""

from __future__ import annotations

from typing import Any, Literal

from mfnet_envs.arrays import Ints
from mfnet_envs.model import LocalModel
from mfnet_envs.views._observe import Encoding
from mfnet_envs.views._parallel import NetworkParallelEnv
from mfnet_envs.views.batch import AgentsBatch


class AgentsEnv(NetworkParallelEnv):
    """PettingZoo parallel environment of the agents ``agent_0``, ..., ``agent_{N-1}``.

    =========== ======================================================================================================
    observation code of the own state, then mu(s): :class:`~mfnet_envs.views._observe.Observer`; at its end the time of
                day, where the model reads a clock
    action      Discrete(A); an illegal action is played as the first legal one (*stay* where there is one)
    reward      r(s, mu(N_s), a), equation (1), or with ``reward="mean"`` the mean of it over all agents, for everybody
    info        ``action_mask`` (A,) int8; ``served``: 1.0 for an agent that was served in this step, else 0.0
    =========== ======================================================================================================

    Args:
        model: what is played.
        observe: "own", the share of agents in the own state; "hood" or a number of hops k, also the crowds of all nodes
            within k hops.
        state_encoding: which state it is, in front of an observation: "onehot", "coordinates" of its node, "index" or
            "none"; None: "onehot" up to 256 states, else "coordinates".
        reward: "individual", what the agent itself earns, or "mean", what all earn on average.
        max_cycles: truncate everybody after so many steps; default: the scenario's evaluation steps.
        render_mode: what ``render()`` gives: "human" (a window), "rgb_array" (an array) or "ansi" (text); None: nothing
            is drawn.
        name: of the environment, in its metadata.
        backend: of the simulator, "numpy" or "compiled"; None: the variable MFNET_BACKEND, else numpy.

    Attributes:
        states: ``(N,)`` the state of each agent now.
    """

    batch: AgentsBatch

    def __init__(
        self,
        model: LocalModel,
        *,
        observe: str | int = "own",
        state_encoding: Encoding | None = None,
        reward: Literal["individual", "mean"] = "individual",
        max_cycles: int | None = None,
        render_mode: str | None = None,
        name: str = "mfnet_agents_v0",
        backend: Any = None,
    ) -> None:
        seen: dict[str, Any] = {"observe": observe, "state_encoding": state_encoding}
        batch = AgentsBatch(model, reward=reward, max_cycles=max_cycles, backend=backend, **seen)
        super().__init__(batch, render_mode, name)
        self.reward = reward

    @property
    def states(self) -> Ints:
        """``(N,)`` the state of each agent now."""
        states: Ints = self.batch.states[0]
        return states
