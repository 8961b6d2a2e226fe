"""The examples run as they stand, and what they print is true."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def printed(name: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_own_model_exact() -> None:
    """Six people on 3 nodes: C(8, 2) = 28 count vectors; over 9 node-actions: C(14, 8) = 3,003 pairs."""
    text = printed("own_model_exact.py")
    assert text.startswith("28 count vectors, 3,003 pairs")
    uniform, individual, planner = map(float, re.findall(r"(?:uniform|individual|planner) (\d\.\d+)", text))
    assert uniform < individual < planner <= 4 / 6 * 10  # four good seats for six people, all the time
    bias = [float(number) for number in re.findall(r"off by (\d\.\d+)", text)]
    assert bias[0] > bias[1] > bias[2] == 0


def test_own_city() -> None:
    """42 customers for 60 vendors; making room beats wandering."""
    text = printed("own_city.py")
    wander, room, bound = (
        float(re.findall(rf"{name}: (\d\.\d+)", text)[0]) for name in ("random", "make room", "bound")
    )
    assert wander < room < bound == 0.7


def test_own_learner() -> None:
    """Forty drivers on a line with one busy end: a table learnt from samples is worth most of the bound."""
    text = printed("own_learner.py")
    found = {name: float(value) for name, value in re.findall(r"^([\w -]+): (\d+\.\d+) ±", text, re.M)}
    bound = float(re.findall(r"bound: (\d+\.\d+)", text)[0])
    assert {"random", "stay", "lp", "cross-entropy", "DEC-NEURAL-AC"} <= set(found)
    assert max(found["random"], found["proportional"]) < found["cross-entropy"] < bound
    assert max(found["random"], found["proportional"]) < found["DEC-NEURAL-AC"] < bound
