"""The blocks of docs/interop.md run as they stand, and what the examples print is true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import blocks
import pytest

ROOT = blocks.ROOT
PAGE = "docs/interop.md"
LEARNT = {
    "rllib_ppo.py": "RLlib PPO",
    "ray_tune_sweep.py": "DEC-NEURAL-AC",
    "torchrl_mappo.py": "MAPPO",
    "tianshou_dqn.py": "DQN",
    "cleanrl_style_ppo.py": "PPO",
}


def printed(*command: str, folder: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(folder)}  # where Ray leaves its results
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def number(name: str, text: str) -> float:
    """The number on the line that starts with ``name``."""
    found = re.findall(rf"^{re.escape(name)}\b.*?: (\d+\.\d+)", text, re.MULTILINE)
    assert found, text
    return float(found[-1])


def test_every_library_has_one_block() -> None:
    sections = re.split("^## ", (ROOT / PAGE).read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert [section.count("```python\n") for section in sections] == [1] * len(blocks.blocks(PAGE))


@pytest.mark.xdist_group("ray")  # whoever starts Ray wants the machine
@pytest.mark.parametrize("block", blocks.blocks(PAGE), ids=str)
def test_block(block: blocks.Block, tmp_path: Path) -> None:
    blocks.run(block, tmp_path)


@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("example", LEARNT)
def test_an_example_learns(example: str, tmp_path: Path) -> None:
    """Far from random, and not beyond what is possible."""
    text = printed(str(ROOT / "examples" / example), folder=tmp_path)
    random, learnt, bound = (number(name, text) for name in ("random", LEARNT[example], "bound"))
    assert random + 0.4 * (bound - random) < learnt < bound
