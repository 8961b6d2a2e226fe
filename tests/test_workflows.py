"""What a forge and a container would run is in the checkout: nothing here runs these files, so they are read.

That they are YAML at all is asked where a library for it is installed, in `tests/interop/test_yaml.py`.
"""

import configparser
import os
import re
import shlex
import subprocess
from pathlib import Path

import blocks
import pytest

import mfnet_envs
from mfnet_agents import cli

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def commands(workflow: Path) -> list[str]:
    """Every line that a `run:` of it gives to a shell."""
    text = workflow.read_text("utf-8")
    found = re.findall(r"^ *(?:- )?run: ([^|\s].*)$", text, re.MULTILINE)
    for indent, lines in re.findall(r"^( *)(?:- )?run: \|\n((?:\1 +.*\n)+)", text, re.MULTILINE):
        found += [line.strip() for line in lines.splitlines() if len(line) > len(indent)]
    return found


def python_module(words: list[str]) -> None:
    """``python -m NAME ...``: the tool is one that `dev` brings; what it installs is there."""
    tool, rest = words[0], words[1:]
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    asked = setup["options.extras_require"]["test"] + setup["options.extras_require"]["dev"]
    assert tool == "pip" or re.search(rf"^{tool}\b", asked, re.MULTILINE)
    if tool == "pip":
        blocks.known(blocks.Block("workflow", 1, "bash", "", ()), ["pip", *rest])
        assert (ROOT / rest[rest.index("-c") + 1]).is_file()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_command_of_a_workflow_is_there(workflow: Path) -> None:
    found = commands(workflow)
    assert len(found) >= workflow.read_text("utf-8").count("run: ") > 0
    block = blocks.Block(workflow.name, 1, "bash", "", ())
    for line in found:
        words = shlex.split(line)
        if words[:2] == ["python", "-m"]:
            python_module(words[2:])
        elif words[0] != "test":  # which the next test runs
            blocks.known(block, words)


@pytest.mark.parametrize(("tag", "code"), [(f"v{mfnet_envs.__version__}", 0), ("v0.0.0", 1)])
def test_a_release_is_refused_whose_tag_is_not_the_version(tag: str, code: int) -> None:
    (line,) = [line for line in commands(ROOT / ".github/workflows/release.yml") if line.startswith("test ")]
    ran = subprocess.run(["bash", "-c", line], cwd=ROOT, env={**os.environ, "GITHUB_REF_NAME": tag})
    assert ran.returncode == code


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with what stands behind them, continued lines as one."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def test_the_container_is_built_of_what_is_there() -> None:
    """Files to copy, which nothing keeps out of the build; packages, all of them; extras; the command and its words."""
    copied = [rest.split()[:-1] for name, rest in steps() if name == "COPY" and not rest.startswith("--from=")]
    sources = [source for each in copied for source in each]
    kept_out = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert [name for name in sources if not (ROOT / name).exists() or name in kept_out] == []
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = [name.rstrip("*") for name in setup["options.packages.find"]["include"].split()]
    read_by_setup = ["README.md", "LICENSE", "setup.cfg", "pyproject.toml"]
    assert {*wanted, *read_by_setup} <= set(sources)
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', " ".join(rest for _, rest in steps()))
    assert set(extras.split(",")) <= set(setup["options.extras_require"])
    (constraints,) = re.findall(r"-c (\S+)", " ".join(rest for _, rest in steps()))
    assert constraints in sources
    ends = {name: rest for name, rest in steps() if name in ("ENTRYPOINT", "CMD")}
    assert ends["ENTRYPOINT"] == '["mfnet"]' and "mfnet =" in setup["options.entry_points"]["console_scripts"]
    with pytest.raises(SystemExit) as ended:
        cli.main(re.findall(r'"([^"]+)"', ends["CMD"]))
    assert ended.value.code == 0


def test_the_container_runs_as_a_user_without_rights_who_owns_where_runs_go() -> None:
    """By number, so that a cluster which refuses root can tell; who was made before, and nothing changes it after."""
    names = [name for name, _ in steps()]
    last = len(names) - 1 - names[::-1].index("USER")
    user = steps()[last][1]
    assert int(user) > 0 and last > len(names) - 1 - names[::-1].index("RUN")
    made = next(rest for name, rest in steps() if name == "RUN" and "useradd" in rest)
    name, home = re.search(rf"useradd --uid {user} --home-dir (\S+) .* (\w+) &&", made).groups()[::-1]  # type: ignore[union-attr]
    assert f"chown {name} {home}/runs" in made and ("WORKDIR", home) in steps()


def test_builds_of_one_python_are_named_by_what_setup_says() -> None:
    """Classifiers, workflows and container speak of the same versions."""
    known = set(re.findall(r"Python :: (3\.\d+)", (ROOT / "setup.cfg").read_text("utf-8")))
    said = re.findall(r'python(?:-version)?: \[?((?:"3\.\d+"(?:, )?)+)', "".join(map(Path.read_text, WORKFLOWS)))
    asked = {version for each in said for version in re.findall(r"3\.\d+", each)}
    asked |= {rest.partition("=")[2] for name, rest in steps() if rest.startswith("PYTHON=")}
    assert asked == known
