"""The scenarios, one module each; its docstring is the user's page. They are imported when first used.

The only place that names them all: a new one is its file and a line here.
"""

import importlib
from types import ModuleType

from mfnet_envs.registration import register

# Id, slug (its module is <slug>_v0), the steps of an evaluation.
SCENARIOS = (
    ("MFNet-Grid-v0", "grid", 150),
    ("MFNet-RideShareNYC-v0", "rideshare-nyc", 400),
    ("MFNet-RideShare-v0", "rideshare", 12),
    ("MFNet-Routing-v0", "routing", 1200),
    ("MFNet-Braess-v0", "braess", 1200),
    ("MFNet-Pigou-v0", "pigou", 1200),
    ("MFNet-Packet-v0", "packet", 1200),
    ("MFNet-Courier-v0", "courier", 1500),
    ("MFNet-Resource-v0", "resource", 200),
    ("MFNet-SIS-v0", "sis", 250),
    ("MFNet-TwoByTwo-v0", "twobytwo", 100),
)
NAMES = tuple(slug.replace("-", "_") + "_v0" for _, slug, _ in SCENARIOS)

for (_id, _slug, _steps), _name in zip(SCENARIOS, NAMES, strict=True):
    register(_id, f"{__name__}.{_name}:build", max_episode_steps=_steps, slug=_slug)


def __getattr__(name: str) -> ModuleType:
    if name in NAMES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no scenario {name!r}; there are {', '.join(NAMES)}")


def __dir__() -> list[str]:
    return [*globals(), *NAMES]
