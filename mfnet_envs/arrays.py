"""Arrays: their types, the letters of their axes, and the few helpers that serve numpy and torch alike.

======= ================================================ ======= ================================================
letter  axis                                             letter  axis
======= ================================================ ======= ================================================
B       worlds stepped side by side                      N       agents, the population
V       nodes of the graph                               L       samples: steps times worlds
S       states (node, layer)                             M       neurons of a two-layer network
R       active states, those not in transit              D       slots of a neighbourhood, D_k of k hops
T       teams, the states that have a choice             J       successors of a branch
A       actions                                          K       branches
G       groups of layers, counted as one crowd           d       inputs of a network
======= ================================================ ======= ================================================
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from mfnet_envs.words import shown

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Single = NDArray[np.float32]

CARRIED = 512  # constant tables that are kept on devices
_carried: dict[tuple[Any, ...], Any] = {}


def array_of(name: str, values: Any, kinds: str = "biuf") -> NDArray[Any]:
    """``values`` as an array of numbers of these ``kinds`` (numpy's letters: bool, signed, unsigned, float).

    Raises:
        ValueError: text, objects, complex numbers or rows of unequal length, named.
    """
    try:
        array = np.asarray(values)
    except Exception:  # ragged lists, and whatever somebody's __array__ raises
        array = np.empty(0, object)
    if array.dtype.kind not in kinds:
        wanted = (
            "real numbers" if "f" in kinds else "whole numbers" if "b" not in kinds else "whole numbers or booleans"
        )
        raise ValueError(f"{name} must be an array of {wanted}, not {shown(values)}")
    return array


def namespace(x: Any) -> Any:
    """The array library of ``x``; found at once for numpy, whose small arrays would wait for a longer search."""
    return of_numpy() if type(x) is np.ndarray else array_api_compat.array_namespace(x)


@cache
def of_numpy() -> Any:
    """numpy under the standard's names. To make it loads numpy's f2py and tests too, so not before it is asked for."""
    import array_api_compat.numpy

    return array_api_compat.numpy


def like(reference: Any, table: NDArray[Any], *, own_precision: bool = False) -> Any:
    """A constant table in the array library, precision and device of ``reference``; for numpy the table itself.

    To another device than the processor a table is carried once, told by what stands in it: to carry it is to wait.
    """
    if type(reference) is np.ndarray:
        return table
    xp, device = array_api_compat.array_namespace(reference), array_api_compat.device(reference)
    dtype = None if own_precision else reference.dtype
    if str(device) == "cpu":
        return xp.asarray(table, dtype=dtype, device=device)
    key = table.shape, table.dtype.str, hashlib.sha256(table.tobytes()).digest(), dtype, str(device)
    if key not in _carried:
        if len(_carried) >= CARRIED:
            _carried.pop(next(iter(_carried)))
        _carried[key] = xp.asarray(table, dtype=dtype, device=device)
    return _carried[key]


def first_of(crowds: Any) -> Any:
    """``(B, 1)``: where each row of ``crowds (B, S)`` begins, were they one list."""
    if type(crowds) is np.ndarray:
        return np.arange(len(crowds))[:, None] * crowds.shape[1]
    rows = namespace(crowds).arange(len(crowds), device=array_api_compat.device(crowds))
    return rows[:, None] * crowds.shape[1]


def zeros(shape: tuple[int, ...], reference: Any) -> Any:
    """Zeros in the array library, precision and device of ``reference``."""
    if type(reference) is np.ndarray:
        return np.zeros(shape, reference.dtype)
    device = array_api_compat.device(reference)
    return namespace(reference).zeros(shape, dtype=reference.dtype, device=device)


def total(x: Any) -> Any:
    """Sum over the last, short axis; for numpy several times faster than ``sum``."""
    return np.einsum("...a->...", x) if type(x) is np.ndarray else namespace(x).sum(x, axis=-1)


def dot(x: Any, y: Any) -> Any:
    """Sum of products over the last, short axis."""
    return np.einsum("...a,...a->...", x, y) if type(x) is np.ndarray else namespace(x).sum(x * y, axis=-1)


def add_at(sums: Any, place: Any, values: Any) -> Any:
    """``sums (K,)`` with ``values`` added at ``place``, of the same shape; where a place comes twice, both are added.

    numpy's are changed and returned, a tensor's are new, so that gradients pass.
    """
    if type(sums) is not np.ndarray:
        return sums.index_add(0, place.reshape(-1), values.reshape(-1))
    np.add.at(sums, place.reshape(-1), values.reshape(-1))
    return sums
