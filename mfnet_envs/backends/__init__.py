"""Backends: the arrays a simulator computes with and the only place where it draws.

The law of a step is written once, in array-API style on ``Backend.xp``; what libraries do not share stands here. numpy
is the reference. Another one is registered by name, or handed over as it is: ``Simulator(model, backend=...)``.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from mfnet_envs.backends.interface import Backend, BranchTable
from mfnet_envs.backends.reference import NUMPY
from mfnet_envs.words import did_you_mean, optional_package, shown

__all__ = ["NUMPY", "Backend", "BranchTable", "backend_of", "backends", "check_name", "register_backend"]

DEFAULT = "MFNET_BACKEND"  # the environment variable that names the backend of simulators that are given none


def _compiled() -> Backend:
    optional_package("numba", "fast", "the compiled backend")
    from mfnet_envs.backends.compiled import COMPILED

    return COMPILED


def _torch(device: str = "cpu") -> Backend:
    optional_package("torch", "agents", "the torch backend")
    from mfnet_envs.backends.tensors import TorchBackend

    return TorchBackend(device)


_makers: dict[str, Callable[..., Backend]] = {"numpy": lambda: NUMPY, "compiled": _compiled, "torch": _torch}


def register_backend(name: str, make: Callable[..., Backend]) -> None:
    """Give a backend a name; ``make`` is called when somebody asks for it, so its library is imported no sooner.

    Raises:
        ValueError: the name is taken.
    """
    if name in _makers:
        raise ValueError(f"there is a backend {name!r} already; register yours under another name")
    _makers[name] = make


def backends() -> list[str]:
    """The names that can be asked for."""
    return sorted(_makers)


def check_name(backend: str) -> None:
    """Refuse what is not the name of a backend.

    Raises:
        ValueError: nothing has that name, or only torch's has a device.
    """
    name, colon, _ = backend.partition(":")
    if name not in _makers:
        raise ValueError(
            f"there is no backend {shown(backend)}{did_you_mean(backend, _makers)} Known: {', '.join(backends())}"
        )
    if colon and name != "torch":
        raise ValueError(f"the backend {name!r} has no device: write {name!r}, or 'torch:cuda'")


def backend_of(backend: str | Backend | None = None, device: str | None = None) -> Backend:
    """A backend by its name, or itself; where none is named, that of the environment variable MFNET_BACKEND, else
    numpy. ``"torch:cuda"`` is ``"torch"`` with the device "cuda".

    Raises:
        ValueError: nothing has that name, or a device for another backend than torch's.
        ModuleNotFoundError: the compiled one without numba, torch's without torch.
        TypeError: neither a name nor a backend.
    """
    if backend is None:
        backend = os.environ.get(DEFAULT) or NUMPY
    if device is not None:
        name = backend if isinstance(backend, str) else backend.name
        if name != "torch":
            raise ValueError(f"device={shown(device)} is for backend='torch', not for {shown(name)}")
        backend = f"torch:{device}"
    if not isinstance(backend, str):
        if not isinstance(backend, Backend):
            raise TypeError(
                f"backend must be a name or have the methods of mfnet_envs.backends.Backend, not {shown(backend)}"
            )
        return backend
    check_name(backend)
    name, colon, where = backend.partition(":")
    return _makers[name](where) if colon else _makers[name]()
