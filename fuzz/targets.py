"""The doors that are tried, by name."""

from __future__ import annotations

import os

from fuzz import calls, files, kills, stored
from fuzz.running import Target

ALL: tuple[Target, ...] = (
    files.Tables(), files.Bytes(), files.Npz(), files.Flows(), files.Taxi(), files.Named(),
    calls.Keywords(), calls.Actions(), calls.Seeds(), calls.Measures(), calls.Networks(), calls.Configs(),
    stored.Checkpoints(), stored.Folders(), stored.Commands(), kills.Runs(), kills.Files(),
)  # fmt: skip
TARGETS: dict[str, Target] = {target.name: target for target in ALL}


def prepare() -> None:
    """Import what the cases need, once, before workers are forked; one thread each."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import scipy.optimize
    import scipy.sparse.csgraph  # noqa: F401
    import torch

    import mfnet_envs.tools  # noqa: F401

    torch.set_num_threads(1)
    algorithm = stored.config("practical").build_algo()  # what is imported on the way is there for all
    algorithm.train()
    algorithm.evaluate()
