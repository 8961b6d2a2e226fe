"""Ids, registries and options."""

import contextlib
import pickle
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
import toys

import mfnet_envs
from mfnet_envs import registration, targets
from mfnet_envs.registration import scenarios

IDS = sorted(scenarios())


def test_the_two_scenarios_are_there() -> None:
    assert {"MFNet-Grid-v0", "MFNet-RideShareNYC-v0"} <= set(IDS)
    assert set(IDS) <= set(gym.registry)


@pytest.mark.parametrize("env_id", IDS)
def test_the_time_limit_is_the_scenarios_evaluation(env_id: str) -> None:
    """The registry must know it without building the model, so it is written twice: here they are compared."""
    assert gym.spec(env_id).max_episode_steps == mfnet_envs.make_model(env_id).evaluation[0]


@pytest.mark.parametrize("env_id", IDS)
def test_importing_the_package_is_enough(env_id: str) -> None:
    """Shares of the population sum to 1; a clock, where there is one, stands behind them."""
    states = mfnet_envs.make_model(env_id).network.num_states
    seen = f"gym.make('mfnet_envs:{env_id}').reset(seed=0)[0][:{states}]"
    code = f"import gymnasium as gym; print({seen}.sum().round(4))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "1.0\n"


@pytest.mark.parametrize("view", ["teams", "agents"])
@pytest.mark.parametrize("env_id", IDS)
def test_pettingzoos_registry(env_id: str, view: str) -> None:
    """In PettingZoo before 1.27 there is no registry, and our own doors are the only ones."""
    if not hasattr(pettingzoo, "register"):
        assert mfnet_envs.env(env_id, view, population=3).possible_agents
        return
    name = scenarios()[env_id].pettingzoo_id(view)
    parallel = pettingzoo.make("parallel", name, population=5, max_cycles=3)
    ours = mfnet_envs.parallel_env(env_id, view=view, population=5, max_cycles=3)
    assert parallel.max_cycles == 3
    for env in (parallel, ours):
        env.reset(seed=1)
    np.testing.assert_array_equal(parallel.state(), ours.state())
    aec = pettingzoo.make("aec", name, population=5)
    aec.reset(seed=1)
    np.testing.assert_array_equal(aec.state(), ours.state())
    assert aec.possible_agents == ours.possible_agents


def test_pettingzoo_ids_are_as_promised() -> None:
    grid, city = scenarios()["MFNet-Grid-v0"], scenarios()["MFNet-RideShareNYC-v0"]
    assert grid.pettingzoo_id("teams") == "mfnet/grid-teams-v0"
    assert city.pettingzoo_id("agents") == "mfnet/rideshare-nyc-agents-v0"


def test_an_old_pettingzoo_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 1.27 the module has no ``register``: registering must not mind."""
    monkeypatch.setattr(registration, "pettingzoo", types.SimpleNamespace())
    registration._register_with_pettingzoo(scenarios()["MFNet-Grid-v0"])


def test_module_form() -> None:
    module = mfnet_envs.scenarios.grid_v0
    assert module.parallel_env(view="agents", population=3).possible_agents == ["agent_0", "agent_1", "agent_2"]
    assert module.env(population=3).possible_agents[0] == "team_0"
    assert str(mfnet_envs.scenarios.rideshare_nyc_v0.parallel_env(population=3)) == "rideshare_nyc_teams_v0"
    with pytest.raises(AttributeError, match="no scenario 'grid_v9'; there are grid_v0, rideshare_nyc_v0"):
        _ = mfnet_envs.scenarios.grid_v9


# -- wrong names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", [mfnet_envs.make_model, mfnet_envs.parallel_env, mfnet_envs.env])
def test_unknown_ids(door: Any) -> None:
    with pytest.raises(gym.error.NameNotFound, match=r"no environment 'MFNet-Gird-v0'; did you mean 'MFNet-Grid-v0'\?"):
        door("MFNet-Gird-v0")
    with pytest.raises(gym.error.NameNotFound, match=r"no environment 'nothing'\. Known: MFNet-Grid-v0, "):
        door("nothing")


def test_unknown_options_of_every_door() -> None:
    sentence = "MFNet-Grid-v0 has no option 'popluation'; did you mean 'population'?"
    for door in (
        mfnet_envs.make_model,
        mfnet_envs.parallel_env,
        mfnet_envs.env,
        gym.make,
        lambda *a, **k: gym.make_vec(*a, num_envs=2, **k),
    ):
        with pytest.raises(TypeError, match=sentence):
            door("MFNet-Grid-v0", popluation=10)


def test_options_of_another_view() -> None:
    with pytest.raises(TypeError, match=r"no option 'logit_scale'\. Options of the model: .*population.*view: observe"):
        mfnet_envs.parallel_env("MFNet-Grid-v0", view="agents", logit_scale=3)
    with pytest.raises(TypeError, match="no option 'max_cycle'; did you mean 'max_cycles'"):
        mfnet_envs.parallel_env("MFNet-Grid-v0", max_cycle=3)
    with pytest.raises(TypeError, match="no option 'name'"):
        mfnet_envs.parallel_env("MFNet-Grid-v0", name="mine")
    with pytest.raises(TypeError, match="no option 'view'"):
        mfnet_envs.make_model("MFNet-Grid-v0", view="teams")


def test_unknown_views() -> None:
    for view in (np.array([np.inf, 1.0]), ["teams"], None):
        with pytest.raises(ValueError, match=r"view must be 'teams' or 'agents', not .*; choose one of them"):
            mfnet_envs.parallel_env("MFNet-Grid-v0", view=view)
    with pytest.raises(ValueError, match="view must be 'teams' or 'agents', not 'team'"):
        mfnet_envs.parallel_env("MFNet-Grid-v0", view="team")
    with pytest.raises(ValueError, match=r"the central view is gymnasium.make\('MFNet-Grid-v0'\)"):
        mfnet_envs.env("MFNet-Grid-v0", "central")


@pytest.mark.parametrize("population", [0, -3, 2.5, True, "10", None])
def test_bad_populations(population: Any) -> None:
    for door in (mfnet_envs.make_model, mfnet_envs.parallel_env, gym.make):
        with pytest.raises(ValueError, match="population must be a positive integer"):
            door("MFNet-Grid-v0", population=population)


# -- one's own model ------------------------------------------------------------------------------------------------


@pytest.fixture
def clean() -> Any:
    """Forget what a test registers."""
    yield
    for env_id in set(scenarios()) - set(IDS):
        entry = registration._SCENARIOS.pop(env_id)
        gym.registry.pop(env_id)
        for view in ("teams", "agents"):
            for registry in ("parallel_registry", "aec_registry"):
                getattr(pettingzoo, registry, {}).pop(entry.pettingzoo_id(view), None)


@pytest.mark.usefixtures("clean")
def test_no_id_takes_the_name_of_another() -> None:
    """ "Grid-v0" would be mfnet/grid-teams-v0 too, and whoever asked for MFNet-Grid-v0 would get it."""
    before = dict(gym.registry)
    with pytest.raises(ValueError, match=r"MFNet-Grid-v0 has the name 'grid' .*; give Grid-v0 another by slug="):
        mfnet_envs.register("Grid-v0", toys.two_ways)
    assert gym.registry == before and "Grid-v0" not in scenarios()
    mfnet_envs.register("Grid-v0", toys.two_ways, slug="own-grid")
    mfnet_envs.register("Grid-v0", toys.two_ways, slug="own-grid")  # again: the same one
    mfnet_envs.register("Grid-v1", toys.two_ways)  # another version is another name


@pytest.mark.usefixtures("clean")
def test_a_users_model_gets_every_view() -> None:
    mfnet_envs.register("Toy-v3", toys.two_ways)
    assert gym.spec("Toy-v3").max_episode_steps == toys.two_ways().evaluation[0]
    assert mfnet_envs.make_model("Toy-v3", population=9).population == 9
    for view in ("teams", "agents"):
        env = mfnet_envs.parallel_env("Toy-v3", view=view, population=9)
        env.reset(seed=0)
        assert env.counts.sum() == 9 and env.metadata["name"] == f"toy_{view}_v3"
    assert gym.make("Toy-v3", population=9).reset(seed=0)[0].shape == (3,)
    assert gym.make_vec("Toy-v3", num_envs=4, population=9).reset(seed=0)[0].shape == (4, 3)
    if hasattr(pettingzoo, "register"):
        assert pettingzoo.make("parallel", "mfnet/toy-agents-v3", population=2).possible_agents == [
            "agent_0",
            "agent_1",
        ]


@pytest.mark.usefixtures("clean")
def test_a_builder_may_take_any_option() -> None:
    mfnet_envs.register("Any-v0", lambda **options: toys.general(**options), max_episode_steps=5)
    env = mfnet_envs.parallel_env("Any-v0", population=7, gamma=0.5, max_cycles=2)
    assert env.model.gamma == 0.5 and env.model.population == 7 and env.max_cycles == 2


@pytest.mark.parametrize("bad", ["Toy", "Toy-v", "Toy v0", ""])
def test_ids_need_a_version(bad: str) -> None:
    with pytest.raises(ValueError, match="an id looks like 'Name-v0'"):
        mfnet_envs.register(bad, toys.general)


# -- targets: what nobody has registered ------------------------------------------------------------------------------

TOWN = """
import helper
import toys
print("ran")
class Town(toys.CrowdModel):
    def __init__(self, population=4):
        fine = toys.general()
        super().__init__(network=fine.network, population=population, num_actions=2, branches=fine.branches)
def town(population=4):
    print("built")
    return Town(population)
def nothing():
    return {}
answer = 42
"""


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with ``town.py``, forgotten afterwards."""
    (tmp_path / "town.py").write_text(TOWN)
    (tmp_path / "helper.py").write_text("")
    before, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.startswith(("town", "helper", "random_", "my_")):
            del sys.modules[name]


@pytest.mark.parametrize("place", ["town.py", "town", "absolute"])
def test_every_door_takes_a_target(town: Path, place: str) -> None:
    target = f"{town / 'town.py' if place == 'absolute' else place}:Town"
    assert mfnet_envs.make_model(target, population=9).population == 9
    for view in ("teams", "agents"):
        env = mfnet_envs.parallel_env(target, view, population=9, max_cycles=2)
        assert env.max_cycles == 2 and env.metadata["name"] == f"town_Town_{view}_v0"
        assert mfnet_envs.batch_env(target, view, 3).num_worlds == 3
    assert mfnet_envs.env(target, population=3).possible_agents
    states = mfnet_envs.make_model(target).network.num_states
    assert registration.RegisteredEnv(target).reset(seed=0)[0].shape == (states,)
    assert registration.RegisteredVectorEnv(target, num_envs=2).reset(seed=0)[0].shape == (2, states)
    with pytest.raises(TypeError, match="has no option 'popluation'; did you mean 'population'"):
        mfnet_envs.make_model(target, popluation=9)


def test_a_target_is_a_scenario(town: Path) -> None:
    entry = registration.scenario("town.py:town")
    assert (entry.id, entry.slug, entry.source, entry.version) == ("town.py:town", "town-town", "town.py", 0)
    assert registration.scenario("town:Town").source == "town"
    assert "town.py:town" not in scenarios(), "it is not registered by being looked up"


def test_a_file_is_imported_once_and_can_be_pickled(town: Path) -> None:
    first, second = (mfnet_envs.make_model(target) for target in ("town.py:Town", f"{town}/town.py:Town"))
    assert type(first) is type(second) is type(mfnet_envs.make_model("town:Town"))
    copy = pickle.loads(pickle.dumps(first))
    assert type(copy) is type(first) and copy.population == first.population


@pytest.mark.parametrize("name", ["random.py", "my town.py"])
def test_a_file_whose_name_is_taken_or_none(town: Path, name: str) -> None:
    """`random` is the standard library's; the file's module gets another name, and stays what it is."""
    import random

    (town / name).write_text(TOWN)
    model = mfnet_envs.make_model(f"{name}:Town")
    assert type(model) is type(mfnet_envs.make_model(f"{name}:Town")) is type(pickle.loads(pickle.dumps(model)))
    assert sys.modules["random"] is random and not hasattr(random, "Town")


def test_looking_up_runs_no_more_than_is_named(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mfnet_envs.register("Lazy-v0", "town:town", max_episode_steps=1)
    try:
        assert registration.scenario("Lazy-v0").builder == "town:town" and "town" not in sys.modules
        with pytest.raises(gym.error.NameNotFound):
            registration.scenario("town")
        assert "town" not in sys.modules and capsys.readouterr().out == ""
        registration.scenario("town.py:town")
        assert capsys.readouterr().out == "ran\n", "the file is run, the callable is not called"
    finally:
        registration._SCENARIOS.pop("Lazy-v0")
        gym.registry.pop("Lazy-v0")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("twon.py:Town", r"there is no file twon\.py"),
        ("twon:Town", "there is no module 'twon'"),
        ("town.inner:Town", "there is no module 'town.inner'"),
        ("town.py:Twon", r"town\.py has no 'Twon'; did you mean 'Town'\?"),
        (
            "town.py:answer",
            r"town\.py:answer is of type int, not a LocalModel's class or a function that returns a model",
        ),
        ("town:helper", "town:helper is of type module, not a LocalModel's class"),
        ("toys:StateNetwork", "toys:StateNetwork is a class, not a LocalModel's class"),
        ("town.py:", r"'town\.py:' must be 'module:name' or 'path/file\.py:name'"),
        ("my town:Town", r"'my town' is no module's name; a file ends in \.py"),
        ("lost.py:Town", r"lost\.py cannot be imported: ModuleNotFoundError: No module named 'not_there'"),
    ],
)
def test_targets_that_lead_nowhere(town: Path, target: str, sentence: str) -> None:
    (town / "lost.py").write_text("import not_there")
    with pytest.raises(targets.TargetError, match=sentence):
        registration.scenario(target)


def test_folders_are_searched_from_then_on_only_where_something_was_found(
    town: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every folder that a name was once looked up in stood in sys.path: in the end no process could be started."""
    (town / "lost.py").write_text("import not_there")
    before = list(sys.path)
    for target in ("twon:Town", "twon.py:Town", "lost.py:Town", "lost:Town", "mfnet_envs.instances:grid-test-4"):
        with contextlib.suppress(targets.TargetError):
            registration.scenario(target)
        assert sys.path == before, target
    registration.scenario("town:Town")
    assert sys.path == [*before, str(town)], "what it imports later stands beside it"
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    registration.scenario("town:Town")
    assert sys.path == [*before, str(town)], "it was not found here"


def test_what_returns_no_model(town: Path) -> None:
    with pytest.raises(TypeError, match=r"town\.py:nothing returns a dict; a scenario returns a LocalModel"):
        mfnet_envs.parallel_env("town.py:nothing")
    with pytest.raises(gym.error.NameNotFound, match=r"Your own: town\.py:callable"):
        registration.scenario("town.py")


@pytest.mark.usefixtures("clean")
def test_a_module_may_register_the_id_itself(town: Path) -> None:
    """Gymnasium's "module:Name-v0", for files too; the id says where it comes from."""
    (town / "my_ids.py").write_text("import mfnet_envs, town\nmfnet_envs.register('Town-v2', town.Town)\n")
    assert mfnet_envs.make_model("my_ids.py:Town-v2", population=5).population == 5
    assert registration.scenario("Town-v2").source == "my_ids"
    assert registration.scenario("MFNet-Grid-v0").source == "mfnet_envs.scenarios"
    with pytest.raises(
        gym.error.NameNotFound, match="my_ids registers no environment 'Twon-v2'; did you mean 'Town-v2'"
    ):
        registration.scenario("my_ids:Twon-v2")
