"""The scenarios, one module each; its docstring is the user's page. They are imported when first used."""

import importlib
from types import ModuleType

NAMES = (
    "grid_v0",
    "rideshare_nyc_v0",
    "routing_v0",
    "braess_v0",
    "pigou_v0",
    "packet_v0",
    "courier_v0",
    "resource_v0",
    "sis_v0",
    "twobytwo_v0",
)


def __getattr__(name: str) -> ModuleType:
    if name in NAMES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no scenario {name!r}; there are {', '.join(NAMES)}")


def __dir__() -> list[str]:
    return [*globals(), *NAMES]
