"""Old names of modules: importing one gives the module that took its place, and a DeprecationWarning that names it."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "mfnet_envs.checks": "mfnet_envs.conformance.models",
    "mfnet_envs.testing": "mfnet_envs.conformance.environments",
    "mfnet_envs.render": "mfnet_envs.drawing.render",
    "mfnet_envs.film": "mfnet_envs.drawing.film",
    "mfnet_envs.film_page": "mfnet_envs.drawing.film_page",
    "mfnet_envs.exact.compositions": "mfnet_envs.compositions",
    "mfnet_agents.yardstick": "mfnet_envs.yardstick",
    "mfnet_agents.compositions": "mfnet_envs.compositions",
    "mfnet_agents.potential": "mfnet_agents.dec_neural_ac.booking",
    "mfnet_agents.sampling": "mfnet_agents.dec_neural_ac.sampling",
    "mfnet_agents.energy": "mfnet_agents.policies.energy",
    "mfnet_agents.energy_sampled": "mfnet_agents.policies.energy_sampled",
    "mfnet_agents.report": "mfnet_agents.pages.run",
    "mfnet_agents.verify": "mfnet_theory",
}


class _Forwarder(MetaPathFinder, Loader):
    """Asked last, so only for names that no file has."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        home = MOVED[spec.name]
        warnings.warn(f"{spec.name} is now {home}", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(home)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own  # the import system has put the old name's there


def forward() -> None:
    """Let the old names be found."""
    if not any(isinstance(finder, _Forwarder) for finder in sys.meta_path):
        sys.meta_path.append(_Forwarder())
