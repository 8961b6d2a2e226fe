"""`mfnet doctor` and `mfnet completion`: what they say is so, and they say when something is wrong."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mfnet_agents import cli
from mfnet_agents.cli import doctor
from mfnet_envs import words

ROOT = Path(__file__).parents[1]


def findings(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, object]]]:
    code = cli.main(["doctor", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] == (code == 0)
    return code, {each["name"]: each for each in said["findings"]}


def test_all_is_well_here(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = findings(capsys)
    assert code == 0 and found["training"]["ok"] and found["simulator"]["ok"]
    assert found["numpy"]["says"] == f"numpy {metadata.version('numpy')}"
    assert str(found["torch"]["says"]).startswith(metadata.version("torch"))
    assert "stable-baselines3" in str(found["[sb3]"]["says"]) and "[dev]" not in found


def test_without_torch_the_environments_are_well_and_the_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", without("torch"))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "mfnet_agents.dec_neural_ac", raising=False)
    monkeypatch.setattr(doctor, "train", lambda: exec("import torch"))
    code, found = findings(capsys)
    assert code == 0 and found["simulator"]["ok"] and found["training"]["ok"] is None
    assert found["[agents]"]["ok"] is None and "not here: torch; pip install" in str(found["[agents]"]["says"])


def test_a_base_library_that_is_missing_or_too_old_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", without("networkx", gymnasium="1.0.9"))
    monkeypatch.setattr(doctor, "simulate", lambda: "")
    monkeypatch.setattr(doctor, "train", lambda: "")
    code, found = findings(capsys)
    assert code == 1
    assert found["networkx"]["ok"] is False and found["gymnasium"]["ok"] is False
    assert "1.0.9, and mfnet needs gymnasium" in str(found["gymnasium"]["says"]) and found["scipy"]["ok"] is True


def without(*names: str, **versions: str):  # type: ignore[no-untyped-def]
    """`metadata.version` where some libraries are not, and others are of another version."""
    real = metadata.version

    def version(name: str) -> str:
        if name in names:
            raise metadata.PackageNotFoundError(name)
        return versions.get(name) or real(name)

    return version


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [("1.26.0", ">=1.26,<3", True), ("1.25.9", ">=1.26,<3", False), ("3.0", ">=1.26,<3", False),
     ("2.0.0rc1", ">=1.26,<3", True), ("2.13.0+cpu", ">=2.8,<3", True), ("10.1", ">=9.6", True),
     ("2.4.1", "!=2.4.1,>=2", False), ("2.9", "~=2.4", True), ("3.1", "~=2.4", False), ("1.0.post1", ">1.0", False)],
)  # fmt: skip
def test_bounds_are_kept_as_pip_keeps_them(
    version: str, bounds: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", without(numpy=version))
    assert doctor.needed(Requirement(f"numpy{bounds}")).ok == fits


def test_extras_are_read_with_those_they_name_and_their_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip reads them: an extra of extras, a name written otherwise, a library of another system only."""
    from email.message import Message

    known = Message()
    for line in (
        "numpy>=1.26", "winlib>=1; sys_platform == 'nowhere'", "torch>=2; extra == 'agents'",
        "mfnet[agents]; extra == 'open-spiel'", "open-spiel>=2; extra == 'open-spiel'",
        "maclib; sys_platform == 'nowhere' and extra == 'agents'",
    ):  # fmt: skip
        known["Requires-Dist"] = line
    monkeypatch.setattr(metadata, "metadata", lambda name: known)
    assert [str(each.name) for each in doctor.requirements("")] == ["numpy"]
    assert [str(each.name) for each in doctor.requirements("agents")] == ["torch"]
    assert [str(each.name) for each in doctor.requirements("open_spiel")] == ["torch", "open-spiel"]


def test_a_simulator_that_loses_agents_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfnet_envs.simulator import Simulator

    real = Simulator.reset
    monkeypatch.setattr(Simulator, "reset", lambda *a, **k: real(*a, **k) * 2)
    monkeypatch.setattr(doctor, "train", lambda: "")
    code, found = findings(capsys)
    assert code == 1 and found["simulator"]["ok"] is False and "agents" in str(found["simulator"]["says"])


# -- hints


def test_the_hint_of_a_checkout_installs_from_the_checkout() -> None:
    assert words.pip_command("agents") == f"pip install '{ROOT}[agents]'"


def test_the_hint_of_an_installed_mfnet_is_what_pip_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel in a folder with a blank, as long as it is there; then the name."""
    monkeypatch.setattr(words, "__file__", str(tmp_path / "site-packages" / "mfnet_envs" / "words.py"))
    wheel = tmp_path / "a b" / "mfnet-1-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    given = {"url": wheel.as_uri(), "archive_info": {}}

    class Installed:
        def read_text(self, name: str) -> str:
            return json.dumps(given)

    monkeypatch.setattr(metadata, "distribution", lambda name: Installed())
    assert words.pip_command("sb3") == f"pip install '{wheel}[sb3]'"
    wheel.unlink()
    assert words.pip_command("sb3") == "pip install 'mfnet[sb3]'"


# -- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_every_shell_has_its_rules(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert "what-if" in said and "--credit" not in said


def test_bash_completes_verbs_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked of bash itself."""
    assert cli.main(["completion", "bash"]) == 0
    rules = tmp_path / "rules.sh"
    rules.write_text(capsys.readouterr().out, "utf-8")
    script = (
        'source "$1"; f=$(complete -p mfnet); f=${f#*-F }; f=${f%% *}; '
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); '
        '"$f" mfnet "${@: -1}" "${@: -2:1}"; echo "${COMPREPLY[@]}"; }; '
        "ask mfnet env sh; ask mfnet train MFNet-Grid-v0 --resu"
    )
    ran = subprocess.run(["bash", "-c", script, "bash", str(rules)], capture_output=True, text=True)
    assert [line.split() for line in ran.stdout.splitlines()] == [["show"], ["--resume"]], ran.stderr
