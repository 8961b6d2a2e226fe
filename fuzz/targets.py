"""The doors that are tried, by name."""

from __future__ import annotations

import os

from fuzz import calls, cities, files, kills, stored
from fuzz.running import Target

ALL: tuple[Target, ...] = (
    files.Tables(), files.Bytes(), files.Npz(), files.Flows(), files.Taxi(), files.Named(),
    cities.CityTables(), cities.CityBytes(), cities.RideShares(),
    calls.Keywords(), calls.Actions(), calls.Seeds(), calls.Measures(), calls.Networks(), calls.Configs(),
    stored.Checkpoints(), stored.Folders(), stored.Commands(), kills.Runs(), kills.Files(), kills.Compares(),
)  # fmt: skip
TARGETS: dict[str, Target] = {target.name: target for target in ALL}


def prepare() -> None:
    """Import what the cases need, once, before workers are forked; one thread each."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import scipy.optimize
    import scipy.sparse.csgraph  # noqa: F401
    import torch

    import mfnet_agents.comparison.jobs  # noqa: F401
    import mfnet_envs.tools
    from mfnet_envs.policy import uniform

    torch.set_num_threads(1)
    algorithm = stored.config("practical").build_algo()  # what is imported on the way is there for all
    algorithm.train()
    algorithm.evaluate()
    model = mfnet_envs.make_model("MFNet-Grid-v0")  # what is compiled, too
    mfnet_envs.evaluate(model, uniform(model), worlds=2, steps=2, warmup=0, backend=calls.BACKENDS[-1])
