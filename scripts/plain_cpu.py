"""Print environment variables that keep numpy and torch from a processor's newer instructions: another machine, nearly.

    env $(python scripts/plain_cpu.py) python -m pytest

Sums are then formed in other orders, so the last bits differ and with them everything that is learnt, as they do
between two makes of processor. `make test-plain` runs the tests this way.
"""

from __future__ import annotations

import platform


def variables() -> dict[str, str]:
    """For this machine's numpy, torch, MKL and OpenBLAS; only features that this processor has can be switched off."""
    try:
        from numpy._core import _multiarray_umath as core
    except ImportError:  # numpy 1
        from numpy.core import _multiarray_umath as core  # type: ignore[no-redef]

    newer = [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]
    chosen = {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": ",".join(newer)}
    if platform.machine() in ("x86_64", "AMD64"):
        chosen |= {"MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Prescott"}
    return {name: value for name, value in chosen.items() if value}


if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in variables().items()))
