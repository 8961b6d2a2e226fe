"""The environment of these tests has every library the product names, on the older of the two gymnasium lines."""

import re
from configparser import ConfigParser
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

EXTRAS = ConfigParser()
EXTRAS.read(Path(__file__).parents[2] / "setup.cfg")
LIBRARIES = ("sb3", "rllib", "torchrl", "tianshou", "open_spiel")


@pytest.mark.parametrize("extra", LIBRARIES)
def test_the_extra_is_installed_as_promised(extra: str) -> None:
    lines = EXTRAS["options.extras_require"][extra].split()
    wanted = [Requirement(line) for line in lines if not line.startswith("mfnet")]
    assert wanted
    for requirement in wanted:
        assert version(requirement.name) in requirement.specifier


def test_gymnasium_is_the_one_ray_pins() -> None:
    """The default tests run on the newest; between them both lines are covered."""
    pins = [Requirement(line) for line in requires("ray") or () if line.startswith("gymnasium")]
    assert pins and all(version("gymnasium") in pin.specifier for pin in pins)


def test_every_extra_of_a_library_is_tried() -> None:
    """A new extra of a library that trains must come with tests here."""
    others = {"agents", "fast", "render", "log", "networks", "completion", "docs", "notebooks", "test", "dev", "all"}
    others |= {"wandb", "mlflow"}  # which train nothing: tests/optional/test_trackers.py
    assert {*EXTRAS["options.extras_require"]} - others == set(LIBRARIES)
    tested = {re.sub("^test_|[.]py$", "", file.name) for file in Path(__file__).parent.glob("test_*.py")}
    assert set(LIBRARIES) <= tested
