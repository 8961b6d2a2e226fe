"""Old module names go on working, and say the new one."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from mfnet_envs.moved import MOVED

# What users of 0.1.0 could import, as its documentation wrote it, and where it is defined now.
AS_WRITTEN = [
    ("mfnet_envs.checks", "check_model", "mfnet_envs.conformance.models"),
    ("mfnet_envs.testing", "ParallelEnvConformance", "mfnet_envs.conformance.environments"),
    ("mfnet_envs.testing", "check_parallel_env", "mfnet_envs.conformance.environments"),
    ("mfnet_agents.yardstick", "Yardstick", "mfnet_envs.yardstick"),
]


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_is_the_new_module(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MOVED[old]}"):
        found = importlib.import_module(old)
    new = importlib.import_module(MOVED[old])
    assert found is new
    assert new.__spec__ is not None and new.__spec__.name == MOVED[old]  # so that it can be reloaded and pickled


@pytest.mark.parametrize(("module", "name", "home"), AS_WRITTEN)
@pytest.mark.filterwarnings("ignore:.* is now .*:DeprecationWarning")
def test_what_was_documented_can_be_imported(module: str, name: str, home: str) -> None:
    assert getattr(importlib.import_module(module), name).__module__ == home


def test_the_warning_is_for_whoever_wrote_the_old_name(tmp_path: Path) -> None:
    """A script of the user's sees the DeprecationWarning at its own line, as Python shows them in __main__."""
    script = tmp_path / "old.py"
    script.write_text("import mfnet_envs\nfrom mfnet_envs.checks import check_model\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert "old.py:2: DeprecationWarning: mfnet_envs.checks is now mfnet_envs.conformance.models" in done.stderr


def test_other_unknown_modules_stay_unknown() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mfnet_envs.nowhere")
