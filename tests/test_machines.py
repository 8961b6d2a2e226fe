"""What other machines have and lack: extras that are not installed, the oldest versions that are said to work."""

import configparser
import math
import re
import subprocess
import sys
from pathlib import Path

import chance
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

# -- without an extra


def last_line(absent: str, code: str) -> str:
    """How ``code`` ends in a Python in which the packages ``absent`` cannot be imported."""
    hidden = f"import sys; sys.modules.update(dict.fromkeys({absent.split()!r}))\n"
    found = subprocess.run([sys.executable, "-c", hidden + code], capture_output=True, text=True, timeout=600)
    assert found.returncode == 1
    return found.stderr.splitlines()[-1]


GRID = "config = mfnet_agents.DecNeuralACConfig().environment('MFNet-Grid-v0')"
CALLS = {
    "build": ("torch", f"import mfnet_agents; {GRID}; config.build_algo()"),
    "class": ("torch", "from mfnet_agents import DecNeuralAC"),
    "class at home": ("torch", "from mfnet_agents.dec_neural_ac import DecNeuralAC"),
    "picture": ("matplotlib", "from mfnet_agents.pages import charts; charts.figure_of(1, 1)"),
    "theory's picture": ("matplotlib", "from mfnet_theory import pictures; pictures.panels(1)"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_extra_is_one_sentence_with_the_command(call: str) -> None:
    package, code = CALLS[call]
    said = rf"ModuleNotFoundError: [\w -]+ needs {package}: pip install '{re.escape(str(ROOT))}\[agents\]'"
    assert re.fullmatch(said, last_line(package, code))


@pytest.mark.parametrize("verb", ["train MFNet-Grid-v0", "evaluate run", "verify", "report run", "demo"])
def test_commands_say_which_extra_they_need(verb: str, tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "from mfnet_agents.cli import arguments, main\n"
        "honest = arguments.find_spec\n"
        "arguments.find_spec = lambda name: None if name == 'torch' else honest(name)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, *verb.split()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "") and not list(tmp_path.iterdir())
    assert found.stderr == f"mfnet: this needs torch: pip install '{ROOT}[agents]'\n"


def test_the_learners_extra_serves_every_command() -> None:
    """`mfnet report` draws with matplotlib: whoever has trained can look at it."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert re.findall(r"^[\w-]+", setup["options.extras_require"]["agents"], re.M) == ["torch", "tqdm", "matplotlib"]


# -- the oldest versions


def floors() -> dict[str, str]:
    """The lowest version of each library that setup.cfg asks for, by name."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    return dict(re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)", "\n".join(lists), re.M))


def test_every_floor_is_run() -> None:
    """`make test-oldest` installs exactly the versions that setup.cfg calls the lowest."""
    text = (ROOT / "constraints-oldest.txt").read_text()
    run = dict(re.findall(r"^([\w-]+)==([\d.]+)", text, re.M))
    elsewhere = set(re.findall(r"^# not run: ([\w-]+)", text, re.M))
    asked = floors()
    assert len(asked) > 20 and not elsewhere & run.keys()
    assert asked.keys() - elsewhere == run.keys()
    for name, version in run.items():
        assert version == asked[name] or version.startswith(f"{asked[name]}."), name


# -- what chance may do to a learning test


def test_few_fall_below_what_none_of_many_did() -> None:
    """Of 60 runs none fell below: were .0487 to, that had chance .05. Of 5 all do once in 3.6 million, 4 too often."""
    share = chance.share_below(60)
    assert (1 - share) ** 60 == pytest.approx(0.05)
    exactly = [math.comb(5, m) * share**m * (1 - share) ** (5 - m) for m in range(6)]
    assert exactly[5] < chance.ERROR < exactly[4] + exactly[5] and chance.may_miss(5, 60) == 4
    chance.enough_reach(1.0, np.array([0.0, 0, 0, 0, 1]), 60)
    with pytest.raises(AssertionError, match=r"5 of 5 seeds below 1\.0, 4 may be"):
        chance.enough_reach(1.0, np.zeros(5), 60)
    with pytest.raises(ValueError, match="say too little"):
        chance.enough_reach(1.0, np.ones(2), 60)


def test_bands_hold_new_means_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn anew 4,000 times with an error of .1: misses within 5 standard errors of 400."""
    monkeypatch.setattr(chance, "ERROR", 0.1)
    drawn = np.random.default_rng(0).normal(3.0, 2.0, (4_000, 10))
    measured, new = drawn[:, :8], drawn[:, 8:]
    bands = [chance.Band(row.mean(), row.std(ddof=1), 8) for row in measured]
    missed = sum(abs(two.mean() - band.mean) > band.half_width(2) for band, two in zip(bands, new, strict=True))
    assert missed == pytest.approx(400, abs=5 * math.sqrt(360))
    with pytest.raises(AssertionError, match="may be"):
        bands[0].holds(90.0, 110.0)
