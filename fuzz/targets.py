"""The doors that are tried, by name."""

from __future__ import annotations

import os
from typing import Any

from fuzz import calls, cities, doors, equilibria, files, kills, options, stored
from fuzz.running import Target

ALL: tuple[Target, ...] = (
    files.Tables(), files.Bytes(), files.Npz(), files.Flows(), files.Taxi(), files.Named(),
    cities.CityTables(), cities.CityBytes(), cities.RideShares(),
    calls.Keywords(), calls.Actions(), calls.Seeds(), calls.Measures(), calls.Networks(), calls.Configs(),
    options.Options(), options.Instances(), options.Trains(), equilibria.Equilibria(), doors.Requests(),
    doors.Submissions(), doors.Verbs(), doors.Boards(),
    stored.Checkpoints(), stored.Folders(), stored.Commands(), kills.Runs(), kills.Files(), kills.Compares(),
)  # fmt: skip
TARGETS: dict[str, Target] = {target.name: target for target in ALL}


def prepare(large: bool = False) -> None:
    """Import what the cases need, once, before workers are forked; one thread each.

    Args:
        large: compile the steps of more agents than 2**31 as well; without a cache that takes half a minute.
    """
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
    places: dict[str, dict[str, Any]] = {
        "MFNet-Grid-v0": {},
        **options.PLACES,
        "MFNet-Routing-v0": options.BY_THE_CLOCK,
    }
    cases = [*places.items(), *([("MFNet-Grid-v0", {"population": 2**40})] if large else [])]
    for id, place in cases:  # what is compiled, too: with an empty cache it takes longer than a case may
        model = mfnet_envs.make_model(id, **place)
        mfnet_envs.evaluate(model, uniform(model), worlds=2, steps=2, warmup=0, backend=calls.BACKENDS[-1])
