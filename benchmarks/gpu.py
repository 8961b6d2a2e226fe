"""How many steps a second does a device make, against the compiled path of this machine's processor?

Run `python benchmarks/gpu.py [--device cuda] [--seconds 1.5] [--json]`; on a GPU it takes under five minutes. For every
number of worlds B, states S and agents N: steps of a world per second, on the device by torch (every step asked for
before any is read; wall time, the device waited for at both ends) and on the processor by numba (one thread), where
numba is installed. "share" is what a step must at least move, its counts in and out and the policy's table once, over
the time it took, as a share of the bandwidth that a copy of 256 MB reaches on that device. A step that would wait for
the device raises (`torch.cuda.set_sync_debug_mode("error")`).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.util import find_spec

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import mfnet_envs
from mfnet_envs import Simulator
from mfnet_envs.policy import uniform

WORLDS, SIDES, AGENTS = (1, 64, 4096), (5, 10, 32), (100, 10_000, 1_000_000)
CELLS = 2**26  # worlds times states times actions at once


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(step: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Calls a second, after two that warm up."""
    step(), step(), wait(device)
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(8):
            step()
        wait(device)
        calls += 8
    return calls / (time.perf_counter() - began)


def bandwidth(device: torch.device, seconds: float) -> float:
    """Bytes a second, read and written, of a copy of 256 MB."""
    source = torch.zeros(2**25, dtype=torch.float64, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes * rate(lambda: target.copy_(source), device, seconds)


def stepping(model: mfnet_envs.LocalModel, worlds: int, backend: str, strict: bool) -> Callable[[], object]:
    """One step of all worlds by the uniform policy, from where the last one ended."""
    simulator = Simulator(model, backend)
    rng, pi = simulator.generator(0), simulator.backend.asarray(uniform(model).table[0])
    state = [simulator.reset(rng, worlds)]

    def step() -> None:
        if strict:
            torch.cuda.set_sync_debug_mode("error")
        try:
            state[0] = simulator.play(state[0], pi, rng).next_counts
        finally:
            if strict:
                torch.cuda.set_sync_debug_mode("default")

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "this processor, one thread"
    limit, rows = bandwidth(device, options.seconds), []
    print(f"torch {torch.__version__} on {name}: {limit / 1e9:,.0f} GB/s")
    for side in SIDES:
        for agents in AGENTS:
            model = mfnet_envs.make_model("MFNet-Grid-v0", rows=side, cols=side, population=agents)
            states = model.network.num_states
            for worlds in WORLDS:
                if worlds * states * model.num_actions > CELLS:
                    continue
                step = stepping(model, worlds, f"torch:{device}", device.type == "cuda")
                ours = rate(step, device, options.seconds)
                theirs = None
                if find_spec("numba"):
                    step = stepping(model, worlds, "compiled", strict=False)
                    theirs = rate(step, torch.device("cpu"), options.seconds)
                moved = 16 * worlds * states + 8 * states * model.num_actions
                row = {"B": worlds, "S": states, "N": agents, "device": worlds * ours, "share": moved * ours / limit}
                rows.append(row | ({} if theirs is None else {"compiled": worlds * theirs, "ratio": ours / theirs}))
                said = "" if theirs is None else f"{worlds * theirs:14,.0f} {ours / theirs:8.2f}"
                print(f"{worlds:6} {states:6} {agents:9} {worlds * ours:14,.0f} {said} {row['share']:9.2%}", flush=True)
    if options.json:
        print(json.dumps({"device": name, "torch": torch.__version__, "bytes_per_second": limit, "rows": rows}))


if __name__ == "__main__":
    main()
