"""BenchMARL: every registered scenario as a task, on the batched :class:`~mfnet_envs.adapters.torchrl.MFNetEnv`.

BenchMARL wants an older TorchRL and torchvision, so it lives in an environment of its own: docs/recipes/benchmarl.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mfnet_envs.registration import Scenario, scenarios

try:
    from benchmarl.environments import Task, TaskClass
    from torchrl.data import Composite
    from torchrl.envs import EnvBase
except ModuleNotFoundError as error:
    hint = f"{error.name!r} is not installed; docs/recipes/benchmarl.md says how to install BenchMARL"
    raise ModuleNotFoundError(hint, name=error.name) from error

from mfnet_envs.adapters.torchrl import MFNetEnv


def task_name(scenario: Scenario) -> str:
    """BenchMARL's spelling of a scenario: "RIDESHARE_NYC"."""
    return scenario.slug.replace("-", "_").upper()


class MFNetClass(TaskClass):
    """A scenario as BenchMARL sees it.

    Agents have Discrete actions with masks: MAPPO, IPPO, MASAC, ISAC, QMIX, VDN, IQL. Teams have continuous ones:
    MAPPO, IPPO, MASAC, ISAC, MADDPG, IDDPG.

    Args:
        name: of a member of :data:`MFNetTask`, or any registered id, your own included.
        config: ``view`` ("agents" or "teams"; default "agents") and the options of :func:`mfnet_envs.parallel_env`.
    """

    def __init__(self, name: str, config: dict[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self.id = {task_name(entry): entry.id for entry in scenarios().values()}.get(name, name)

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any
    ) -> Callable[[], EnvBase]:
        config = dict(self.config)
        return lambda: MFNetEnv(self.id, num_worlds=num_envs, seed=seed, device=device, **config)

    def supports_continuous_actions(self) -> bool:
        return bool(self.config.get("view") == "teams")

    def supports_discrete_actions(self) -> bool:
        return not self.supports_continuous_actions()

    def max_steps(self, env: EnvBase) -> int:
        return int(env.worlds.max_cycles)

    def has_render(self, env: EnvBase) -> bool:
        return False

    def group_map(self, env: EnvBase) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = env.group_map
        return groups

    def observation_spec(self, env: EnvBase) -> Composite:
        return self._of_group(env, "observation")

    def info_spec(self, env: EnvBase) -> Composite:
        return self._of_group(env, "info")

    def action_mask_spec(self, env: EnvBase) -> Composite | None:
        return self._of_group(env, "action_mask") if self.supports_discrete_actions() else None

    def state_spec(self, env: EnvBase) -> Composite:
        return Composite({"state": env.full_observation_spec_unbatched["state"].clone()})

    def action_spec(self, env: EnvBase) -> Composite:
        return env.full_action_spec_unbatched

    @staticmethod
    def env_name() -> str:
        return "mfnet"

    def _of_group(self, env: EnvBase, key: str) -> Composite:
        group = env.full_observation_spec_unbatched[env.group]
        return Composite({env.group: Composite({key: group[key].clone()}, shape=group.shape)})


class _Members(Task):
    """What the members of :data:`MFNetTask` can do."""

    @staticmethod
    def associated_class() -> type[MFNetClass]:
        return MFNetClass

    def get_from_yaml(self, path: str | None = None) -> TaskClass:
        """The task with the options in a file; without one, with the scenario's defaults."""
        return self.get_task({}) if path is None else super().get_from_yaml(path)


MFNetTask = _Members("MFNetTask", {task_name(entry): None for entry in scenarios().values()}, module=__name__)
"""One member per scenario of the package: ``MFNetTask.GRID.get_task({"population": 50})``."""
