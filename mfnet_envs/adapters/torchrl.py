"""TorchRL: :class:`MFNetEnv`, the agents or the teams of many worlds as one batched environment.

For the central view nothing is needed: ``GymWrapper(gymnasium.make(id))``, or for many worlds
``GymWrapper(gymnasium.make_vec(id, num_envs=64, autoreset_mode="Disabled"))``: TorchRL resets by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Discrete

from mfnet_envs.adapters import missing
from mfnet_envs.arrays import Single
from mfnet_envs.registration import batch_env
from mfnet_envs.views.batch import Batch

try:
    import torch
    from tensordict import TensorDict, TensorDictBase
    from torchrl.data import Bounded, Categorical, Composite, OneHot, Unbounded
    from torchrl.envs import EnvBase
except ModuleNotFoundError as error:
    raise missing(error, "torchrl") from error


class MFNetEnv(EnvBase):
    """``num_worlds`` worlds as one environment of ``batch_size`` ``(num_worlds,)``, without a loop over agents.

    Keys, shapes and types are those of ``PettingZooWrapper(parallel_env(id, view), return_state=True)`` with the worlds
    in front; B worlds, K agents or teams, A actions, S states; the group is "agent" or "team":

    =========================== =====================================================================================
    (group, "observation")      ``(B, K, size)`` float32
    (group, "action")           ``(B, K)`` int64, one-hot ``(B, K, A)`` without ``categorical_actions``; of teams
                                ``(B, K, A)`` float32
    (group, "action_mask")      ``(B, K, A)`` bool, at reset and at every step; random actions honour it
    (group, "reward")           ``(B, K, 1)`` float32
    (group, "info", "served")   ``(B, K)`` float32
    "state"                     mu, ``(B, S)`` float32
    "done", "truncated"         ``(B, 1)``, and ``(B, K, 1)`` in the group: all True at the horizon
    "terminated"                likewise, always False: values bootstrap
    =========================== =====================================================================================

    Only the masks after the last step of an episode differ: there the wrapper sets all to True. All worlds share a
    clock and end together, so they are reset together.

    Args:
        id, view, options: as in :func:`mfnet_envs.parallel_env`; "agents" unless said otherwise.
        num_worlds: independent copies, driven by one random generator.
        categorical_actions: of agents; False for one-hot.
        seed: of the first reset. A later ``set_seed`` counts from the next reset on; a collector resets when it is
            made, so seed before that.
        device: where the tensors live; the simulation itself runs on the CPU.

    Attributes:
        worlds: the :class:`~mfnet_envs.views.batch.Batch` underneath.
        group: "agent" or "team".
        group_map: the names in the group, as in ``PettingZooWrapper``.

    Raises:
        RuntimeError: reset of some worlds only.
        gymnasium.error.ResetNeeded: step before the first reset and after the end of an episode.
        ValueError: actions out of range.
    """

    def __init__(
        self,
        id: str,
        view: str = "agents",
        num_worlds: int = 1,
        *,
        categorical_actions: bool = True,
        seed: int | None = None,
        device: Any = "cpu",
        **options: Any,
    ) -> None:
        worlds = batch_env(id, view, num_worlds, **options)
        super().__init__(device=device, batch_size=(num_worlds,))
        self.worlds: Batch = worlds
        self.group = worlds.prefix
        self.group_map = {self.group: list(worlds.actors)}
        self.categorical_actions = categorical_actions
        self._next_seed = seed
        self._is_discrete = isinstance(worlds.single_action_space, Discrete)
        self._make_specs()

    def _make_specs(self) -> None:
        worlds, k, flag = self.worlds, self.worlds.num_actors, self._flag
        seen, num_states = worlds.observer.size, worlds.model.network.num_states
        num_actions = worlds.model.num_actions
        self.observation_spec = self._composite(
            {
                "observation": Bounded(0.0, 1.0, shape=self._shape(k, seen), dtype=torch.float32, device=self.device),
                "action_mask": flag(k, num_actions),
                "info": Composite({"served": self._number(k)}, shape=self._shape(k), device=self.device),
            },
            state=Bounded(0.0, 1.0, shape=self._shape(num_states), dtype=torch.float32, device=self.device),
        )
        self.action_spec = self._composite({"action": self._actions(k, num_actions)})
        self.reward_spec = self._composite({"reward": self._number(k, 1)})
        ends = ("done", "terminated", "truncated")
        self.done_spec = self._composite({key: flag(k, 1) for key in ends}, **{key: flag(1) for key in ends})

    def _actions(self, k: int, num_actions: int) -> Any:
        """The spec of the joint action."""
        space = self.worlds.single_action_space
        if not self._is_discrete:
            box = {"low": float(space.low.min()), "high": float(space.high.max())}  # type: ignore[attr-defined]
            return Bounded(**box, shape=self._shape(k, num_actions), dtype=torch.float32, device=self.device)
        if self.categorical_actions:
            return Categorical(num_actions, shape=self._shape(k), dtype=torch.int64, device=self.device)
        return OneHot(num_actions, shape=self._shape(k, num_actions), dtype=torch.int64, device=self.device)

    def _composite(self, group: dict[str, Any], **root: Any) -> Any:
        inner = Composite(group, shape=self._shape(self.worlds.num_actors), device=self.device)
        return Composite({self.group: inner, **root}, shape=self.batch_size, device=self.device)

    def _flag(self, *shape: int) -> Any:
        return Categorical(2, shape=self._shape(*shape), dtype=torch.bool, device=self.device)

    def _number(self, *shape: int) -> Any:
        return Unbounded(shape=self._shape(*shape), dtype=torch.float32, device=self.device)

    def _shape(self, *inner: int) -> Any:
        return torch.Size((*self.batch_size, *inner))

    def _set_seed(self, seed: int | None) -> None:
        self._next_seed = seed

    def _reset(self, tensordict: TensorDictBase | None = None, seed: int | None = None, **_: Any) -> TensorDictBase:
        partial = None if tensordict is None else tensordict.get("_reset", None)
        if partial is not None and not partial.all():
            raise RuntimeError(
                "all worlds share a clock and end together, so reset them together; for worlds that are reset one by "
                "one put several MFNetEnv of one world into a SerialEnv or ParallelEnv"
            )
        observations = self.worlds.reset(self._next_seed if seed is None else seed)
        self._next_seed = None
        nobody = np.zeros((self.worlds.num_worlds, self.worlds.num_actors))
        return TensorDict(self._seen(observations, nobody, False), self.batch_size, device=self.device)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        action = tensordict.get((self.group, "action"))
        if self._is_discrete and not self.categorical_actions:
            action = action.long().argmax(-1)
        stepped = self.worlds.step(action.detach().cpu().numpy())
        content = self._seen(stepped.observations, stepped.served, stepped.truncated)
        content[self.group]["reward"] = self._tensor(stepped.rewards[..., None])
        return TensorDict(content, self.batch_size, device=self.device)

    def _seen(self, observations: Single, served: Any, truncated: bool) -> dict[str, Any]:
        """What reset and step have in common."""
        mask = torch.as_tensor(self.worlds.masks(), dtype=torch.bool, device=self.device)
        if self._is_discrete:
            self.full_action_spec[self.group, "action"].update_mask(mask.clone())
        group = {
            "observation": self._tensor(observations),
            "action_mask": mask,
            "info": TensorDict({"served": self._tensor(served)}, self._shape(self.worlds.num_actors)),
            **self._ends(truncated, self.worlds.num_actors, 1),
        }
        inner = TensorDict(group, self._shape(self.worlds.num_actors))
        return {self.group: inner, "state": self._tensor(self.worlds.state()), **self._ends(truncated, 1)}

    def _ends(self, truncated: bool, *inner: int) -> dict[str, Any]:
        values = {"done": truncated, "terminated": False, "truncated": truncated}
        return {key: torch.full(self._shape(*inner), value, device=self.device) for key, value in values.items()}

    def _tensor(self, array: Any) -> Any:
        """Every array of :class:`Batch` is fresh, so that tensors may share its memory."""
        return torch.as_tensor(array, dtype=torch.float32, device=self.device)
