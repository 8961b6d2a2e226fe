"""Algorithms by name, and what a checkpoint of somebody else's may look up: nothing that the reader did not write."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mfnet_agents import (
    Algorithm,
    AlgorithmConfig,
    CheckpointError,
    DecNeuralACConfig,
    checkpoint,
    register_algorithm,
    registry,
)
from mfnet_envs import registration

EXAMPLES = Path(__file__).parents[1] / "examples"
OWN = f"{EXAMPLES / 'own_learner.py'}:Config"
PLACE = {"rows": 2, "cols": 2, "population": 6, "horizon": 10}


@pytest.fixture(autouse=True)
def _names() -> Iterator[None]:
    """Whatever a test registers is forgotten."""
    known, ids = dict(registry._CONFIGS), dict(registration._SCENARIOS)
    yield
    for table, before in ((registry._CONFIGS, known), (registration._SCENARIOS, ids)):
        table.clear()
        table.update(before)


# -- names


def test_names_and_targets() -> None:
    shipped = registry.algorithms()
    assert {"DecNeuralAC", "IPPO", "LocalPPO", "MAPPO"} <= set(shipped)
    assert [registry.name_of(registry.config_class(name)) for name in shipped] == shipped
    assert registry.config_class("DecNeuralAC") is DecNeuralACConfig
    assert registry.config_class("mfnet_agents:DecNeuralACConfig") is DecNeuralACConfig
    own = registry.config_class(OWN)
    assert own is registry.config_class(OWN) and issubclass(own, AlgorithmConfig)
    assert registry.name_of(own) == own.algorithm_name() == "CrossEntropy", "Config alone says nothing"
    register_algorithm("CE", own)
    assert registry.config_class("CE") is own and registry.name_of(own) == "CE"
    assert registry.algorithms() == ["CE", *shipped]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("DecNeuralA", ValueError, "there is no algorithm 'DecNeuralA'; did you mean 'DecNeuralAC'"),
        ("TRPO", ValueError, "Known: .*DecNeuralAC, .*; your own: module:Config or file.py:Config"),
        ("json:JSONDecoder", TypeError, "must lead to a subclass of AlgorithmConfig"),
        ("nowhere:Config", ValueError, "there is no module 'nowhere'"),
        ("nowhere.py:Config", ValueError, "there is no file nowhere.py"),
        (OWN + "s", ValueError, "has no 'Configs'; did you mean 'Config'"),
    ],
)
def test_a_wrong_name_is_one_sentence(name: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        registry.config_class(name)


def test_what_cannot_be_registered() -> None:
    with pytest.raises(ValueError, match="without a colon, not 'own:CE'"):
        register_algorithm("own:CE", DecNeuralACConfig)
    with pytest.raises(TypeError, match="must lead to a subclass of AlgorithmConfig"):
        register_algorithm("CE", dict)  # type: ignore[arg-type]


def test_options_load_without_torch() -> None:
    script = "import sys; from mfnet_agents import registry; registry.config_class('DecNeuralAC')().training(hops=2);"
    subprocess.run([sys.executable, "-c", script + "assert 'torch' not in sys.modules"], check=True)


# -- checkpoints of somebody else's, in other processes


def python(script: str, folder: Path, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``script`` in ``folder``; ``path`` is searched for modules too."""
    code = f"import sys; sys.path.append({str(path)!r})\n{script}" if path else script
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=600)


LOAD = """from mfnet_agents import Algorithm, register_algorithm
{}print(Algorithm.from_checkpoint('{}').iteration)
"""


CITY = """
import mfnet_envs
from mfnet_envs.scenarios import grid_v0
def build(population=6, rows=2, cols=2, horizon=10):
    return grid_v0.build(population, rows=rows, cols=cols, horizon=horizon)
mfnet_envs.register("Own-v0", build)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a learner and a city of one's own, and a checkpoint of the two that another process wrote."""
    home = tmp_path_factory.mktemp("home")
    (home / "learner.py").write_text((EXAMPLES / "own_learner.py").read_text("utf-8"), "utf-8")
    (home / "city.py").write_text(CITY, "utf-8")
    script = f"""
import city
from learner import Config
config = Config().environment("Own-v0", env_config={PLACE}).training(tables=4, elite=2)
algo = config.env_runners(num_envs_per_env_runner=2, rollout_fragment_length=5).build_algo()
algo.train()
algo.save_to_path("kept")
"""
    done = python(script, home)
    assert done.returncode == 0, done.stderr
    return home, home / "kept"


def test_the_checkpoint_says_where_things_come_from(saved: tuple[Path, Path]) -> None:
    record = json.loads((saved[1] / "algorithm.json").read_text("utf-8"))
    assert (record["algorithm"], record["algorithm_source"]) == ("CrossEntropy", "learner:Config")


def test_found_again_below_the_working_directory(saved: tuple[Path, Path]) -> None:
    done = python(LOAD.format("import city\n", saved[1]), saved[0])
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize(
    "known",
    [
        "import city, learner\n",
        "import city\nregister_algorithm('CrossEntropy', 'learner:Config')\n",
        "import city, learner as own\nAlgorithm = own.CrossEntropy\n",
    ],
)
def test_found_again_elsewhere_once_it_is_known(known: str, saved: tuple[Path, Path], tmp_path: Path) -> None:
    done = python(LOAD.format(known, saved[1]), tmp_path, path=saved[0])
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ("import city\n", "of the algorithm 'CrossEntropy', which is not known here: import learner first, or call"),
        ("import learner\n", "of the environment 'Own-v0', which is not known here: import city first"),
    ],
)
def test_what_is_missing_is_said(known: str, words: str, saved: tuple[Path, Path], tmp_path: Path) -> None:
    done = python(LOAD.format(known, saved[1]), tmp_path, path=saved[0])
    assert done.returncode == 1
    assert f"CheckpointError: the checkpoint at {saved[1]} is {words}" in done.stderr.splitlines()[-1]


# -- a checkpoint runs nothing of its own choice


EVIL = "from pathlib import Path\nPath('boom').mkdir()\ndef build(population=1): Path('boom').mkdir()\n"
PLANTED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a function of an installed module": lambda r: r.update(algorithm_source="os:getcwd"),
    "a module beside, without the class": lambda r: r.update(algorithm_source="evil:Config"),
    "a file beside, without the class": lambda r: r.update(algorithm_source="evil.py:Config"),
    "an environment by an installed module": lambda r: r["config"].update(env="os:getcwd"),
    "an environment by a function that promises no model": lambda r: r["config"].update(env="evil.py:build"),
    "an environment by a class that is no model": lambda r: r["config"].update(env="pathlib:Path"),
    "a file elsewhere": lambda r: r["config"].update(env="../evil.py:Evil"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_nothing_planted_is_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = registry.config_class(OWN)().environment("MFNet-Grid-v0", env_config=PLACE)
    path = Path(config.build_algo().save_to_path(tmp_path / "checkpoint"))
    (tmp_path / "evil.py").write_text(EVIL + "class Evil: pass\n")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "evil.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path / "here")
    record, arrays = checkpoint.read(path)
    PLANTED[kind](record)
    checkpoint.write(path, record, arrays)
    with pytest.raises(CheckpointError, match="which is not known here: import"):
        Algorithm.from_checkpoint(path)
    assert not list(tmp_path.rglob("boom"))


def test_a_class_below_the_working_directory_must_be_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model's class is fit to be an environment, a config's to be an algorithm, and not the other way round."""
    source = "from mfnet_envs.scenarios.grid_v0 import Grid, build\nclass Tipped(Grid):\n    pass\n"
    (tmp_path / "own_town.py").write_text(
        source + "def town(population: int = 4) -> Grid:\n    return build(population)\n"
    )
    monkeypatch.chdir(tmp_path)
    from mfnet_agents.recorded import trusted
    from mfnet_envs import LocalModel

    assert trusted("own_town:Tipped", LocalModel).__name__ == "Tipped"
    assert trusted("own_town.py:town", LocalModel).__name__ == "town"
    assert trusted("own_town:Tipped", AlgorithmConfig) is None
    assert trusted("own_town:nobody", LocalModel) is None
