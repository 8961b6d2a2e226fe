"""Options of scenarios, views and learners with values that nobody means: it works, or one sentence names it."""

import inspect
import math
import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium as gym
import networkx as nx
import numpy as np
import pytest

import mfnet_envs
from mfnet_agents import Algorithm, CheckpointError, DecNeuralACConfig
from mfnet_agents.config import ConfigError
from mfnet_envs import Simulator, evaluate, measure, registration, words
from mfnet_envs.drawing import render_to
from mfnet_envs.model import Branch, LocalModel, Quota
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import TablePolicy, uniform
from mfnet_envs.scenarios import _options
from mfnet_envs.scenarios.grid_v0 import Grid
from mfnet_envs.simulator import step_bytes
from mfnet_envs.views import CentralEnv, CentralVectorEnv
from mfnet_envs.views.batch import TeamsBatch
from mfnet_envs.views.worlds import world_bytes

IDS = sorted(id for id, entry in registration.scenarios().items() if str(entry.builder).startswith("mfnet_envs."))
GRID = "MFNet-Grid-v0"
TINY: dict[str, Any] = {"population": 6, "rows": 2, "cols": 2, "horizon": 5}
SMALL: dict[str, dict[str, Any]] = {
    GRID: TINY,
    "MFNet-SIS-v0": TINY,
    "MFNet-Courier-v0": {**TINY, "warmup": 1},
    "MFNet-Resource-v0": {**TINY, "warmup": 1},
    "MFNet-Routing-v0": {"population": 6, "rows": 2, "cols": 2},
    "MFNet-RideShareNYC-v0": {"population": 20, "occupied": "markov"},
    "MFNet-TwoByTwo-v0": {"population": 6, "days": 2},
}


class Unshown:
    """What cannot even be printed."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


NASTY: tuple[Any, ...] = (
    None, True, "", "a", "x\ny", b"1", [], [1], [[1], [1, 2]], [None], {}, {"a": 1}, set(), object(), Unshown(), int,
    math.nan, math.inf, -1, 0, 1.5, 1e308, 5e-324, 10**400, 2**70, 10**12, 1j, np.float32(2), np.int64(3),
    np.bool_(True), np.array(2.0), np.array([math.nan]), np.array([1, 2]), np.zeros((2, 2)), Decimal(1),
    Fraction(1, 3), lambda: 1,
)  # fmt: skip
RAW = ("ufunc", "inhomogeneous", "unhashable", "not supported between", "unsupported operand", "object is not", "len()")
RAW += ("ambiguous", "expected str", "argument should be", "keywords must", "multiple values", "has no attribute")


def refusal(call: Callable[[], Any], *classes: type[Exception]) -> str:
    """The sentence that ``call`` is refused with, in one of these classes; "" where it is not."""
    try:
        call()
    except classes as error:
        said = str(error)
        assert "\n" not in said, said
        assert len(said) < 400, said
        assert not any(words in said for words in RAW), said
        return said
    return ""


@pytest.mark.filterwarnings("ignore:dt=:UserWarning")  # a step that is longer than links is questioned, not refused
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("id", IDS)
def test_options_of_scenarios(id: str) -> None:
    """A model that steps with finite numbers, or a sentence with the option's name; a file that is not there is one."""
    small = SMALL.get(id, {"population": 6})
    refused = 0
    for name in inspect.signature(registration.scenario(id).load()).parameters:
        for value in NASTY:
            if name in ("network", "city") and isinstance(value, str):
                continue  # a file's name, which the readers' own tests are about

            def build_and_step(options: dict[str, Any] = small, name: str = name, value: Any = value) -> None:
                model = mfnet_envs.make_model(id, **{**options, name: value})
                simulator, rng = Simulator(model), np.random.default_rng(0)
                pi = model.legal / model.legal.sum(1, keepdims=True)
                assert np.isfinite(simulator.play(simulator.reset(rng, 2), pi, rng).team_rewards).all()

            said = refusal(build_and_step, ValueError, TypeError)
            assert not said or name in said, (name, said)
            refused += bool(said)
    assert refused > len(NASTY), "most of them are nonsense"


def test_a_class_is_as_careful_as_its_id() -> None:
    for build in (Grid, lambda **options: mfnet_envs.make_model(GRID, **options)):
        with pytest.raises(ValueError, match="total_demand must be a finite number, not '1'"):
            build(total_demand="1")
    with pytest.raises(ValueError, match="rows must be an integer, not 'three'"):
        Grid(5, "three")
    assert type(Grid(np.int64(5), rows=np.int32(2), fare=Fraction(1, 2)).fare) is float
    assert list(inspect.signature(Grid).parameters)[:3] == ["population", "rows", "cols"]


def test_a_builder_of_ones_own_is_asked_by_its_signature(forget: Iterator[None]) -> None:
    """What it annotates is checked, what it does not is its own business, and so is a default out of the ordinary."""

    def build(population: int = 4, wind: float = math.inf, anything: Any = None, words: "Missing" = 1) -> LocalModel:  # type: ignore[name-defined]  # noqa: F821
        return Grid(population=population, rows=2, cols=2)

    mfnet_envs.register("Windy-v0", build)
    assert mfnet_envs.make_model("Windy-v0", anything={}, words=[]).population == 4
    with pytest.raises(ValueError, match="wind must be a finite number, not nan"):
        mfnet_envs.make_model("Windy-v0", wind=math.nan)


LEARNER = DecNeuralACConfig().environment(GRID, env_config=TINY).build_algo()


def calls(value: Any, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every way in through a view, a simulator, a policy or a file, with one argument that is ``value``."""
    model = mfnet_envs.make_model(GRID, **TINY)
    for view in ("teams", "agents"):
        env = mfnet_envs.parallel_env(GRID, view=view, **TINY)
        env.reset(seed=0)
        usual = {agent: env.action_spaces[agent].sample() for agent in env.possible_agents}
        yield "seed", lambda env=env: env.reset(seed=value)
        for actions in (
            value,
            {**usual, env.possible_agents[1]: value},
            dict.fromkeys(usual, value),
            {**usual, "x": 0},
        ):
            yield "step", lambda env=env, actions=actions: (env.reset(seed=0), env.step(actions))
        yield "step_array", lambda env=env: (env.reset(seed=0), env.step_array(value))
        batch = mfnet_envs.batch_env(GRID, view=view, num_worlds=2, **TINY)
        yield "seed", lambda batch=batch: batch.reset(value)
        yield "batch step", lambda batch=batch: (batch.reset(0), batch.step(value))
        own = {"teams": ("action", "flow", "logit_scale"), "agents": ("reward",)}[view]
        for name in ("observe", "state_encoding", "max_cycles", "backend", *own):
            yield name, lambda view=view, name=name: mfnet_envs.batch_env(GRID, view, **{**TINY, name: value})
            yield name, lambda view=view, name=name: mfnet_envs.parallel_env(GRID, view, **{**TINY, name: value})
        yield "num_worlds", lambda view=view: mfnet_envs.batch_env(GRID, view, value, **TINY)
    yield "view", lambda: mfnet_envs.parallel_env(GRID, view=value)
    yield "id", lambda: mfnet_envs.make_model(value)
    central, lanes = CentralEnv(model), CentralVectorEnv(model, 2)
    for env in (central, lanes):
        yield "seed", lambda env=env: env.reset(seed=value)
        yield "step", lambda env=env: (env.reset(seed=0), env.step(value))
    yield "options", lambda: lanes.reset(options=value)
    yield "reset_mask", lambda: lanes.reset(options={"reset_mask": value})
    for name in ("action", "flow", "logit_scale", "max_episode_steps", "render_mode", "backend"):
        yield name, lambda name=name: CentralEnv(model, **{name: value})
        yield name, lambda name=name: CentralVectorEnv(model, 2, **{name: value})
    yield "num_envs", lambda: CentralVectorEnv(model, value)
    yield "autoreset_mode", lambda: CentralVectorEnv(model, 2, autoreset_mode=value)
    simulator, rng, policy = Simulator(model), np.random.default_rng(0), uniform(model)
    counts, pi = simulator.reset(rng, 2), policy.table[0]
    yield "simulator", lambda: Simulator(value)
    yield "backend", lambda: Simulator(model, value)
    yield "generator", lambda: simulator.generator(value)
    yield "batch", lambda: simulator.reset(rng, value)
    for given in ((value, pi, rng), (counts, value, rng), (counts, pi, value)):
        yield "play", lambda given=given: simulator.play(*given)
        yield "act", lambda given=given: simulator.act(*given)
    yield "transition", lambda: simulator.step(counts, value, rng)
    yield "agents", lambda: simulator.step_agents(value, value, rng)
    for name in ("worlds", "seed", "steps", "warmup", "backend"):
        small = {"worlds": 2, "steps": 2, "warmup": 0}
        yield name, lambda name=name, small=small: evaluate(model, policy, **{**small, name: value})
    yield "evaluate", lambda: evaluate(value, policy)
    yield "evaluate", lambda: evaluate(model, value)
    for policies in (value, {"mine": value}, {value: policy} if isinstance(value, int | float) else value):
        yield "policies", lambda policies=policies: measure(model, policies, worlds=2)
    for name in ("worlds", "seed", "certificate"):
        yield name, lambda name=name: measure(model, {}, **{"worlds": 2, name: value})
    yield "measure", lambda: measure(value, {"mine": policy})
    for name in ("policy", "steps", "seed", "name", "title"):
        yield name, lambda name=name: render_to(model, folder / "a.txt", **{"steps": 1, name: value})
    yield "render", lambda: render_to(value, folder / "a.txt")
    yield "path", lambda: render_to(model, value, steps=1)
    yield "path", lambda: Algorithm.from_checkpoint(value)
    yield "path", lambda: LEARNER.restore_from_path(value)
    yield "counts", lambda: LEARNER.compute_actions(value)
    for name in ("worlds", "seed"):
        yield name, lambda name=name: LEARNER.evaluate(**{"worlds": 2, name: value})
    yield "table", lambda: TablePolicy(model, value)
    yield "branch", lambda: Branch.to(value)
    yield "branch", lambda: Branch(value, value)
    yield "quota", lambda: Quota(value, np.ones(4))
    yield "quota", lambda: Quota(0, value)
    line = StateNetwork.line(3)
    for make in (StateNetwork, StateNetwork.line, StateNetwork.ring, lambda n: StateNetwork.grid(n, 2)):
        yield "network", lambda make=make: make(value)
    for ask in (line.distance, line.hops, line.ball, line.within, line.spans, lambda m: line.parts(m, 1, 1)):
        yield "network", lambda ask=ask: ask(value)


@pytest.mark.parametrize("value", NASTY, ids=lambda value: type(value).__name__)
def test_everything_else_that_is_asked_for(value: Any, tmp_path: Path) -> None:
    """It works, or is refused in one sentence of the right class; no traceback of a library."""
    for what, call in calls(value, tmp_path):
        try:
            refusal(call, ValueError, TypeError, gym.error.NameNotFound, CheckpointError)
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("mode", ["practical", "paper"])
def test_options_of_a_learner(mode: Any) -> None:
    """Refused with the field's name before a network is made; what an environment is called, Gymnasium answers."""
    model = mfnet_envs.make_model(GRID, **TINY)
    for name in DecNeuralACConfig.fields():
        for value in NASTY:
            config = DecNeuralACConfig().environment(GRID, env_config=TINY).training(mode=mode)
            setattr(config, name, value)
            said = refusal(lambda config=config: config.resolved(model), ConfigError)
            assert not said or name in said or (name, value) == ("env", None), (name, said)


# -- sizes: computed before anything is allocated


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: words.fits("ten worlds", 10**12, 27), "ten worlds need 216,000 GB, and this machine has"),
        (lambda: Grid(rows=10**9, cols=10**9), "rows=1000000000 times cols=1000000000 nodes need"),
        (lambda: Grid(horizon=10**12), "horizon=1000000000000 steps of 256 worlds' rewards need"),
        (lambda: mfnet_envs.make_model("MFNet-Courier-v0", capacity=10**10), "capacity=10000000000 parcels"),
        (lambda: StateNetwork.line(3, layers=10**12), "layers=1000000000000 of 3 nodes need"),
        (lambda: StateNetwork.ring(10**12), "n=1000000000000 nodes need"),
        (
            lambda: gym.make_vec(GRID, num_envs=10**9),
            "num_envs=1000000000 worlds of 25 states and up to",
        ),
        (lambda: mfnet_envs.batch_env(GRID, "agents", 10**9), "1000000000 worlds of 100 agents that see 26 numbers"),
        (lambda: mfnet_envs.batch_env(GRID, "teams", 10**10), "10000000000 worlds of 25 teams"),
        (lambda: mfnet_envs.parallel_env(GRID, "agents", population=10**10), "10,000,000,000 agents"),
        (lambda: mfnet_envs.make_model(GRID, population=2**53 + 1), r"population must be at most 2\*\*53"),
        (lambda: mfnet_envs.make_model(GRID, total_demand=1e20), r"total_demand=1e\+20 makes 1e\+22 arrivals"),
        (lambda: mfnet_envs.make_model("MFNet-Routing-v0", rows=10**6), "rows=1000000 times cols=3 nodes need"),
    ],
)
def test_what_no_machine_holds(call: Callable[[], Any], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "memory", lambda: 64 * 10**9)
    with pytest.raises(ValueError, match=sentence):
        call()


def peak(call: Callable[[], Any]) -> int:
    """The most bytes of arrays that stood side by side meanwhile."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("door", ["simulator", "teams", "vector"])
def test_what_a_world_fills_is_known_beforehand(door: str, id: str) -> None:
    """Against what is really allocated for more worlds: never much above, or what works would be refused."""
    model = mfnet_envs.make_model(id)
    simulator, pi, rng = Simulator(model), uniform(model), np.random.default_rng(0)

    def step(worlds: int) -> None:
        if door == "simulator":
            simulator.follow(pi, simulator.reset(rng, worlds), 0, rng)
        elif door == "teams":
            batch = TeamsBatch(model, worlds)
            batch.reset(0)
            batch.step(rng.uniform(-1, 1, (worlds, batch.num_actors, model.num_actions)))
        else:
            env = CentralVectorEnv(model, worlds)
            env.reset(seed=0)
            env.step(env.action_space.sample())

    step(2)  # what is kept is made
    few, many = (peak(lambda worlds=worlds: step(worlds)) for worlds in (20, 80))  # type: ignore[misc]
    said = step_bytes(model) if door == "simulator" else world_bytes(model)
    assert 0.5 < said / ((many - few) / 60) < 1.15


@pytest.mark.parametrize("id", [GRID, "MFNet-SIS-v0", "MFNet-Courier-v0"])
def test_what_a_graph_stands_instead_of_is_checked_all_the_same(id: str) -> None:
    with pytest.raises(ValueError, match="rows must be a positive integer, not nan"):
        mfnet_envs.make_model(id, population=6, graph=[[0, 1], [1, 2]], rows=math.nan)


@pytest.mark.parametrize("option", [{"deadline": 200}, {"capacity": 600}, {"rows": 40, "capacity": 20}])
def test_what_the_tables_of_moves_fill_is_known_beforehand(
    option: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against what is really allocated while a model is made and checked, or it dies where it should refuse."""
    said: list[int] = []
    fits = _options.fits

    def heard(what: str, *shape: int, itemsize: int = 8) -> None:
        said.append(math.prod(shape) * itemsize)
        tracemalloc.reset_peak()  # the network is there by now
        fits(what, *shape, itemsize=itemsize)

    mfnet_envs.make_model("MFNet-Courier-v0")
    monkeypatch.setattr(_options, "fits", heard)
    filled = peak(lambda: mfnet_envs.make_model("MFNet-Courier-v0", population=12, **option))
    assert 0.8 < said[0] / filled < 1.3


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Simulator(Grid()).reset(np.random.default_rng(0), 200_000), "200000 worlds of 25 states need 2 GB"),
        (lambda: evaluate(Grid(), uniform(Grid()), worlds=200_000, steps=1, warmup=0), "worlds=200000 of 25 states"),
        (lambda: measure(Unsolved(), {}, worlds=200_000), "worlds=200000 of 25 states over steps=150 need 2 GB"),
        (lambda: mfnet_envs.batch_env(GRID, "teams", 150_000), "150000 worlds of 25 states need 2 GB"),
        (lambda: gym.make_vec(GRID, num_envs=150_000), "num_envs=150000 worlds of 25 states and up to 125 actions"),
    ],
)
def test_a_step_fills_more_than_its_counts(
    call: Callable[[], Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "memory", lambda: 10**9)
    with pytest.raises(ValueError, match=f"{sentence}.*this machine has 1 GB"):
        call()


class Unsolved(Grid):
    """Whose bound takes for ever."""

    def bound(self) -> Any:
        raise AssertionError("solved although the worlds do not fit")


def test_a_limit_on_the_process_counts_as_memory() -> None:
    """As ``ulimit -v`` sets it; what the process holds already is taken off."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    free = words.memory()
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (held + 2**30, before[1]))
        left = words.memory()
        with pytest.raises(ValueError, match="1000000000"):
            evaluate(Grid(**TINY), uniform(Grid(**TINY)), worlds=10**9, steps=1, warmup=0)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert 0 < left <= 2**30
    assert left < words.memory() <= free


def test_ids_and_options_are_shown_short() -> None:
    for call in (
        lambda: mfnet_envs.make_model("x" * 9000),
        lambda: mfnet_envs.make_model("x" * 9000 + ".py"),
        lambda: mfnet_envs.make_model("x" * 9000 + ":build"),
        lambda: mfnet_envs.make_model("a\nb:build"),
        lambda: mfnet_envs.make_model(GRID, **{"y" * 9000: 1}),
        lambda: mfnet_envs.register("x" * 9000, Grid),
        lambda: DecNeuralACConfig().training(**{"z" * 9000: 1}),
        lambda: Algorithm.from_checkpoint("q/" * 2000),
    ):
        assert len(refusal(call, ValueError, TypeError, gym.error.NameNotFound, CheckpointError)) > 20


@pytest.mark.parametrize(
    "options",
    [{"num_envs_per_env_runner": 10**9}, {"rollout_fragment_length": 10**12}, {"critic_width": 2 * 10**9}]
    + [{"actor_width": 2 * 10**9}, {"num_epochs": 10**9}, {"burn_in": 10**9}, {"evaluation_duration": 10**9}]
    + [{"mode": "paper", "critic_steps": 10**9}, {"mode": "paper", "actor_samples": 10**10}],
)
def test_what_no_machine_learns(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    refused_by_a_learner(options, 16, monkeypatch)


@pytest.mark.parametrize(
    "options",
    [{"rollout_fragment_length": 1, "num_envs_per_env_runner": 150_000}, {"evaluation_duration": 200_000}]
    + [{"actor_width": 150_000}, {"critic_width": 10**6}, {"mode": "paper", "critic_width": 50_000}]
    + [{"num_envs_per_env_runner": 500, "rollout_fragment_length": 500, "critic_width": 300}],
)
def test_what_is_made_while_learning_is_counted(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    refused_by_a_learner(options, 1, monkeypatch)


def refused_by_a_learner(options: dict[str, Any], gigabytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "memory", lambda: gigabytes * 10**9)
    config = DecNeuralACConfig().environment(GRID)
    for name, value in options.items():
        setattr(config, name, value)
    name, value = list(options.items())[-1]
    with pytest.raises(ConfigError, match=rf"{name}={value}.* need [\d,]+ GB, and this machine has {gigabytes} GB"):
        config.build_algo()


@pytest.mark.parametrize("hops", [10**9, 2**31, 10**18])
def test_no_radius_is_too_large(hops: int) -> None:
    """Nobody is farther away than all nodes: the same learner, at once."""
    near, far = (
        DecNeuralACConfig().environment(GRID, env_config={"population": 9}).training(hops=k, credit_hops=k).build_algo()
        for k in (8, hops)
    )
    near.train(), far.train()
    np.testing.assert_array_equal(near.get_state()[1]["theta"], far.get_state()[1]["theta"])


def test_one_node_is_nothing_to_learn_on() -> None:
    with pytest.raises(ConfigError, match="more than one legal action, so there is nothing to learn"):
        DecNeuralACConfig().environment(GRID, env_config={"rows": 1, "cols": 1}).build_algo()


# -- numbers per node: by the graph's own order, or by label

EDGES = [(2, 0), (0, 1)]


def test_a_list_means_the_same_however_the_graph_is_given() -> None:
    """The star 2 - 0 - 1 in the order 2, 0, 1: its first number is node 2's, where a dict says so by name."""
    given = {"population": 12, "demand": [0.8, 0.1, 0.1], "horizon": 20}
    models = [Grid(graph=graph, **given) for graph in (nx.Graph(EDGES), EDGES, np.array(EDGES))]
    named = Grid(graph=EDGES, **{**given, "demand": {0: 0.1, 1: 0.1, 2: 0.8}})
    other = Grid(graph=nx.Graph(sorted(EDGES)), **{**given, "demand": {0: 0.1, 1: 0.1, 2: 0.8}})
    for model in (*models, named):
        assert model.network.nodes == (2, 0, 1)
        np.testing.assert_allclose(model.demand, 0.7 * np.array([0.8, 0.1, 0.1]))
        assert model.bound().value == pytest.approx(other.bound().value, rel=1e-7)
    assert models[0].notes == ("demand: listed in the order in which the graph names its nodes: 2, 0, 1",)
    assert named.notes == () and Grid(graph=[(0, 1)], demand=[1, 2]).notes == ()


@pytest.mark.parametrize(
    ("id", "name", "extra"),
    [
        (GRID, "demand", {}),
        ("MFNet-Courier-v0", "demand", {}),
        ("MFNet-SIS-v0", "benefit", {}),
        ("MFNet-Resource-v0", "bandwidth", {}),
        ("MFNet-Resource-v0", "channels", {"mode": "aloha"}),
        ("MFNet-Resource-v0", "quality", {"mode": "aloha"}),
    ],
)
def test_dicts_by_label(id: str, name: str, extra: dict[str, Any]) -> None:
    graph = nx.Graph([("b", "a"), ("a", "c")])
    numbers = {"a": 1, "b": 1, "c": 1} if name in ("channels", "quality") else {"a": 1.0, "b": 2.0, "c": 4.0}
    by_label = mfnet_envs.make_model(id, graph=graph, **{name: numbers}, **extra)
    in_order = mfnet_envs.make_model(id, graph=graph, **{name: [numbers[v] for v in "bac"]}, **extra)
    np.testing.assert_array_equal(getattr(by_label, name), getattr(in_order, name))
    with pytest.raises(ValueError, match=rf"{name} has no number for 1 of 3 nodes: 'c'"):
        mfnet_envs.make_model(id, graph=graph, **{name: {"a": 1, "b": 1}}, **extra)
    with pytest.raises(ValueError, match=rf"{name} has a number for 'd', which is no node of the graph"):
        mfnet_envs.make_model(id, graph=graph, **{name: {**numbers, "d": 1}}, **extra)


def test_keys_that_went_through_json() -> None:
    assert Grid(graph=EDGES, demand={"0": 1, "1": 2, "2": 5}).demand.tolist() == pytest.approx([0.4375, 0.0875, 0.175])


def test_depots_by_label_and_by_place() -> None:
    build = registration.scenario("MFNet-Courier-v0").load()
    assert build(graph=EDGES, depots=[2]).depots.tolist() == [True, False, False]
    assert build(graph=nx.Graph([("b", "a")]), depots=["a"]).depots.tolist() == [False, True]
    assert build(graph=nx.Graph([("b", "a")]), depots=[1]).depots.tolist() == [False, True]
    with pytest.raises(ValueError, match="depots must be a list of nodes, at least one"):
        build(graph=nx.Graph([("b", "a")]), depots=["c"])


@pytest.mark.parametrize("graph", ["abc", 5, [[0]], [[0, 1, 2]], [[0, None]], [[0, 1.5]], ["ab"], {0: 1}])
def test_what_is_no_graph(graph: Any) -> None:
    with pytest.raises(ValueError, match="graph must be a networkx graph or a list of edges"):
        Grid(graph=graph)


# -- what a model answers


class Answers(Grid):
    """Pays what the test says."""

    answer: Any = None

    def reward(self, mu_hood: Any) -> Any:
        return self.answer(len(mu_hood))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda b: np.zeros((b, 4, 1)), r"Answers.reward must answer \(B, R, A\) = \(2, 4, 5\), not \(2, 4, 1\)"),
        (lambda b: np.zeros((4, 5)), r"not \(4, 5\)"),
        (lambda b: 0.0, r"not \(\)"),
        (lambda b: np.zeros((b, 4, 5), complex), "must answer real numbers, not complex128"),
        (lambda b: np.full((b, 4, 5), 1e308), r"rewards, up to \de\+30[78], are too large to add up"),
        (lambda b: np.full((b, 4, 5), np.nan), "NaN or infinite"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_rewards_it_refuses(answer: Any, sentence: str) -> None:
    model = Answers(rows=2, cols=2, population=8)
    model.answer = answer
    simulator, rng = Simulator(model), np.random.default_rng(0)
    counts, pi = simulator.reset(rng, 2), model.legal / model.legal.sum(1, keepdims=True)
    agents = np.stack([np.repeat(np.arange(4), row) for row in counts])
    for step in (
        lambda: simulator.play(counts, pi, rng),
        lambda: simulator.step_agents(agents, 0 * agents, rng),
        lambda: simulator.mean_field_step(counts / 8, pi),
    ):
        with pytest.raises(ValueError, match=sentence):
            step()


@pytest.mark.parametrize("kind", [np.float32, bool, int])
def test_rewards_of_other_kinds_of_numbers(kind: type) -> None:
    model = Answers(rows=2, cols=2, population=8)
    model.answer = lambda b: np.ones((b, 4, 5), kind)
    simulator, rng = Simulator(model), np.random.default_rng(0)
    paid = simulator.play(simulator.reset(rng, 2), model.legal / model.legal.sum(1, keepdims=True), rng).team_rewards
    assert paid.dtype == np.float64
    np.testing.assert_allclose(paid.sum(1), 1)


def test_what_a_sentence_shows_is_short() -> None:
    """One line; of a path both ends; of a list, a string or a sentence the beginning."""
    path = "/".join(["folder"] * 100) + "/x.gml"
    assert words.brief(path).startswith("folder/folder") and words.brief(path).endswith("/x.gml")
    assert words.brief("two\nlines") == "two lines" and words.brief("word " * 99, 60).endswith(" ...")
    for value in ("x" * 10**6, [0] * 10**6, path, "a b " * 999, 10**4000, 10**9000, Unshown()):
        assert 0 < len(words.shown(value)) <= 80 and "\n" not in words.shown(value)
        assert len(words.brief(words.shown(value) * 99)) <= 200
