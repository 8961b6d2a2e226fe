"""Sioux Falls: the user equilibrium of the field's test network.

    MFNET_TNTP=path/to/tntp python examples/reproduce/sioux_falls.py

LeBlanc, Morlok and Pierskalla (1975) gave the network, 24 nodes and 76 links; the Transportation Networks for Research
give it as a file with the best known flows. Their units: hundredths of an hour, a tenth of the daily table. A few
seconds.
"""

import os
import sys
from pathlib import Path

from verdict import Aim, told

from mfnet_envs.engines import system_optimum, user_equilibrium
from mfnet_envs.io import load

FILE = "Transportation Networks for Research, SiouxFalls/README.md and SiouxFalls_flow.tntp"
PATHS = "an independent path-based solver, relative gap 9.1e-14"


def published_flows(file: Path) -> dict[tuple[int, int], float]:
    """Volumes by (from, to)."""
    rows = [line.split() for line in file.read_text().splitlines()[1:] if line.strip()]
    return {(int(tail), int(head)): float(volume) for tail, head, volume, _ in rows}


def main() -> int:
    folder = os.environ.get("MFNET_TNTP")
    if folder is None:
        print("MFNET_TNTP is not set: name the folder that holds SiouxFalls/SiouxFalls_net.tntp", file=sys.stderr)
        return 2
    place = Path(folder) / "SiouxFalls"
    data = load(place / "SiouxFalls_net.tntp")
    found, best = user_equilibrium(data), system_optimum(data)
    published = published_flows(place / "SiouxFalls_flow.tntp")
    flows = {
        (int(data.nodes[i]), int(data.nodes[j])): float(flow)
        for i, j, flow in zip(data.tail, data.head, found.flow, strict=True)
    }
    apart = max(abs(flows[link] / published[link] - 1) for link in published)
    return told(
        "Sioux Falls, static assignment",
        [
            Aim("Beckmann's objective / 1e5", found.objective / 1e5, 42.31335287107440, 1e-7, FILE),
            Aim("flow on link 1-2, vehicles per hour", flows[1, 2], 4494.6576464564205, 0.01, FILE),
            Aim("largest relative difference of a link's flow", apart, 0.0, 1e-4, FILE),
            Aim("its proven lower bound / 1e5", found.lower_bound / 1e5, 42.31335287107440, 1e-7, FILE),
            Aim("total time of the equilibrium", found.total_time, 7_480_225.3449, 1.0, PATHS),
            Aim("total time of the system optimum", best.total_time, 7_194_256.0529, 1.0, PATHS),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
