"""What holds for every test: one thread per process, property tests that draw the same examples every time, and a
Ctrl-C that is heard, whatever the process that started the tests does with its own."""

import os
import signal
from collections.abc import Iterator

# Before numpy or torch is imported, or they do not see it. Subprocesses and xdist workers inherit it.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

# Under nohup, in a background job or a CI runner, SIGINT may be ignored, and children would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("mfnet", deadline=None, derandomize=True)
settings.load_profile("mfnet")


@pytest.fixture
def forget() -> Iterator[None]:
    """Forget the ids that a test registers."""
    import gymnasium
    import pettingzoo

    from mfnet_envs import registration

    known = set(registration.scenarios())
    yield
    for env_id in set(registration.scenarios()) - known:
        entry = registration._SCENARIOS.pop(env_id)
        gymnasium.registry.pop(env_id)
        for view in ("teams", "agents"):
            for registry in ("parallel_registry", "aec_registry"):
                getattr(pettingzoo, registry, {}).pop(entry.pettingzoo_id(view), None)
