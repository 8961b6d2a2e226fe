"""What holds for every test: one thread per process, and property tests that draw the same examples every time."""

import os

# Before numpy or torch is imported, or they do not see it. Subprocesses and xdist workers inherit it.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

from hypothesis import settings  # noqa: E402

settings.register_profile("mfnet", deadline=None, derandomize=True)
settings.load_profile("mfnet")
