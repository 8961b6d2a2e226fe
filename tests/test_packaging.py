"""What a user installs: light to import, typed, one version, and nothing in it that belongs to one machine."""

import configparser
import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import mfnet_envs

ROOT = Path(__file__).parents[1]


def fresh_python(code: str) -> str:
    """What ``code`` prints in a new interpreter that takes every warning for an error."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def tracked_files() -> list[Path]:
    """All files under version control, and those about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_importing_the_environments_is_light() -> None:
    heavy = ("torch", "scipy", "numba", "matplotlib", "PIL", "pandas", "mfnet_agents")
    loaded = fresh_python(f"import mfnet_envs, sys; print(*(m for m in {heavy} if m in sys.modules))")
    assert loaded == ""


def test_importing_the_environments_adds_little_to_what_they_rest_on() -> None:
    """`benchmarks/imports.py` has the seconds; that they stay few is a matter of what is not loaded: beside own modules
    and the standard library's small ones, array_api_compat's face, without the whole of numpy behind it."""
    code = "import gymnasium, pettingzoo, networkx, sys; before = set(sys.modules); import mfnet_envs; "
    loaded = fresh_python(code + "print(*set(sys.modules) - before)").split()
    packages = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert packages == {"mfnet_envs", "array_api_compat"}
    assert not {name for name in loaded if name.startswith(("numpy", "unittest", "array_api_compat.numpy"))}


def test_importing_the_command_line_needs_no_torch() -> None:
    assert fresh_python("import mfnet_agents.cli, sys; print('torch' in sys.modules)") == "False"


PACKAGES = ("mfnet_envs", "mfnet_agents", "mfnet_theory")


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_every_folder_of_modules_is_a_package() -> None:
    """A folder without ``__init__.py`` works in a checkout and is missing from the wheel."""
    folders = {file.parent for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    assert not [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()]


def test_no_code_is_ignored_by_version_control() -> None:
    """A pattern meant for what runs write must not hit a folder of modules: git would leave it out without a word."""
    files = [str(file.relative_to(ROOT)) for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    command = ["git", "check-ignore", "--no-index", *files]
    assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout == ""


def test_there_is_one_version() -> None:
    assert version("mfnet") == mfnet_envs.__version__
    assert fresh_python("import mfnet_agents; print(mfnet_agents.__version__)") == mfnet_envs.__version__
    assert f"[{mfnet_envs.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_base_installation_asks_for_no_torch() -> None:
    requirements = metadata("mfnet").get_all("Requires-Dist") or []
    base = [line for line in requirements if "extra ==" not in line]
    names = {re.split(r"[^\w-]", line)[0] for line in base}
    assert names <= {"numpy", "gymnasium", "pettingzoo", "networkx", "scipy", "array-api-compat", "packaging"}
    assert "numpy" in names
    assert not [line for line in base if re.match("torch|stable|ray|pandas", line)]


def test_setup_cfg_and_pyproject_say_nothing_twice() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "project" not in pyproject
    assert not [section for section in setup.sections() if section.partition(":")[0] in pyproject["tool"]]


def test_constraints_hold_versions_the_metadata_allows() -> None:
    """Every pinned package that the metadata names is pinned inside its bounds."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wanted = [Requirement(line) for line in metadata("mfnet").get_all("Requires-Dist") or []]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pins = {
        canonicalize_name(r.name): str(r.specifier)[2:] for r in map(Requirement, lines) if "==" in str(r.specifier)
    }
    assert pins["torch"] == "2.13.0"
    held = [(r, pins[canonicalize_name(r.name)]) for r in wanted if canonicalize_name(r.name) in pins]
    assert held
    assert not [f"{r} but {pin}" for r, pin in held if not r.specifier.contains(pin)]


# Directories that exist on somebody's machine only, addresses of package mirrors, and marks of unfinished work.
UNWANTED = {
    "machine path": re.compile(r"(?<![\w.\-/<>}])/(?:work|tmp|root|home|Users|opt|mnt)/\w"),
    "local address": re.compile(r"(?:file:/{2,3}\w|https?://(?:localhost|127\.|10\.|192\.168\.))"),
    "unfinished": re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X{3})\b"),
}


@pytest.mark.parametrize("what", UNWANTED)
def test_no_file_carries_what_belongs_to_one_machine(what: str) -> None:
    texts = {file: file.read_bytes() for file in tracked_files()}
    assert len(texts) > 10
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for file, data in texts.items()
        if b"\0" not in data
        for number, line in enumerate(data.decode().splitlines(), 1)
        if UNWANTED[what].search(line)
    ]
    assert not found, "\n".join(found)


def test_the_readings_name_tests_that_exist() -> None:
    """Each of the fifteen readings has a row, and a test named there is found in its file."""
    text = (ROOT / "docs" / "readings.md").read_text()
    rows = re.findall(r"^\| (\d+) [^|]*\|([^|]*)\|$", text, flags=re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 16))
    assert missing_tests(text) == []


def test_the_theory_page_names_tests_that_exist() -> None:
    """Every equation (1) to (25) has a row of the table."""
    text = (ROOT / "docs" / "theory.md").read_text()
    table = text.partition("## Equation, function, test")[2].partition("\n\nOf the practical")[0]
    numbers = {
        int(n)
        for row in re.findall(r"^\| ([^|]*) \|", table, flags=re.MULTILINE)
        for n in re.findall(r"\((\d+)\)", row)
    }
    assert numbers == set(range(1, 26))
    assert missing_tests(text) == []


def missing_tests(text: str) -> list[str]:
    """Tests that a page names and that are not there."""
    named = re.findall(r"`(tests/\w+\.py)::(test_\w+)`", text)
    return [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]


def test_no_file_is_too_large_to_review() -> None:
    assert not [file for file in tracked_files() if file.stat().st_size > 2_000_000]
