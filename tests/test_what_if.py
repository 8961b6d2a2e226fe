"""mfnet what-if by name: what each scenario understands, what changes there and what does not, and closed links."""

import argparse
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import mfnet_envs
from mfnet_agents.cli import main
from mfnet_agents.cli.arguments import UsageError
from mfnet_agents.cli.what_if import changes, understood
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.engines.rewired import Rewired
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.policy import Policy, TablePolicy, uniform
from mfnet_envs.registration import scenarios
from mfnet_envs.scenarios import packet_v0, routing_v0


def triangle() -> NetworkData:
    """Three towns, each way a link; a third of all trips between each two."""
    tail, head = np.array([(a, b) for a in range(3) for b in range(3) if a != b]).T
    each = np.ones(6)
    return NetworkData(
        name="triangle", nodes=("ulm", "bonn", "kiel"), tail=tail, head=head, free_flow_time=each, capacity=each,
        b=each, power=each, length=each, demand=(1 - np.eye(3)) / 6,
    )  # fmt: skip


SHORT = """
from pathlib import Path
from mfnet_envs.scenarios.routing_v0 import Routing

def town(population: int = 30, close=None, toll=None, demand_scale: float = 1.0, vehicles=None) -> Routing:
    network = Path(__file__).with_name("triangle.npz")
    model = Routing(population, network, close=close, toll=toll, demand_scale=demand_scale, vehicles=vehicles)
    model.evaluation = (24, 8)
    return model
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the triangle, whose evaluations are short."""
    place = tmp_path_factory.mktemp("towns")
    triangle().to_npz(place / "triangle.npz")
    (place / "three_towns.py").write_text(SHORT)
    options = ["--steps", "64", "--worlds", "2", "--no-tensorboard", "--out", str(place / "run")]
    assert main(["train", f"{place / 'three_towns.py'}:town", *options]) == 0
    return place / "run"


def asked(run: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["what-if", str(run), *arguments, "--worlds", "2", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_by_name_is_by_option(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = asked(run, capsys, "--close", "ulm to bonn", "--demand", "x1.2", "--population", "20", "--toll", "marginal")
    wanted = {"close": ["ulm to bonn"], "demand_scale": 1.2, "population": 20, "toll": "marginal"}
    assert named["on"] == wanted
    options = [f"{key}={json.dumps(value)}" for key, value in wanted.items()]
    assert asked(run, capsys, "--on", *options) == named
    there = routing_v0.build(network=triangle(), **wanted)  # type: ignore[arg-type]
    assert named["after"]["certificate"]["value"] == pytest.approx(there.bound().value)
    [said] = named["notes"]
    assert "learnt here is played as on the open network" in said


def test_another_population_is_no_other_fleet(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A third fewer agents for the same vehicles: each stands for half as many again, which a line says."""
    [said] = [note for note in asked(run, capsys, "--population", "20")["notes"] if "agents there" in note]
    fleet = routing_v0.Routing(30, triangle()).vehicles
    assert f"the 20 agents there stand for the same vehicles, {fleet:,.6g} in all, as the 30 here" in said
    assert f"{fleet / 20:.4g} each instead of {fleet / 30:.4g}" in said and "--on vehicles= changes how many" in said
    for other in (["--population", "20", "--on", "vehicles=3"], ["--population", "30"]):
        assert not any("agents there" in note for note in asked(run, capsys, *other)["notes"])


def test_the_table_and_what_it_adds_to(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = run.parent / "again"
    arguments = [
        "--close",
        "ulm to bonn",
        "--toll",
        "ulm to kiel=0.5",
        "--worlds",
        "2",
        "--retrain",
        "--out",
        str(again),
    ]
    assert main(["what-if", str(run), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split("  ")[0] for line in lines} >= {"learnt here", "retrained there", "user equilibrium", "bound"}
    assert "note: closed: 'ulm' to 'bonn'" in lines and any("learnt here is played as on" in line for line in lines)
    further = asked(again, capsys, "--close", "bonn to kiel", "--toll", "kiel to ulm=1")
    assert further["on"] == {
        "close": ["ulm to bonn", "bonn to kiel"],
        "toll": {"ulm to kiel": 0.5, "kiel to ulm": 1.0},
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--close", "ulm to bon"], "triangle has no link 'ulm to bon'; did you mean 'ulm to bonn'?"),
        (["--close", "ulm to bonn", "ulm to kiel"], "closed, no path leads from node 'ulm' to node 'bonn'"),
        (["--toll", "ulm to rome=1"], "toll: triangle has no link 'ulm to rome'"),
        (["--toll", "marginal", "ulm to bonn=1"], "--toll marginal is of all links"),
        (["--demand", "x1.2", "--on", "demand_scale=2"], "say two things"),
        (["--demand", "x1.2", "--on", "vehicles=2"], "leave one of them out"),
    ],
)
def test_what_is_refused(arguments: list[str], sentence: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(run.parent.iterdir())
    assert main(["what-if", str(run), *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert sorted(run.parent.iterdir()) == before


def test_arguments_of_no_sense(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--demand", "1.2"], ["--demand", "x0"], ["--toll", "ulm to bonn"], ["--population", "0"]):
        with pytest.raises(SystemExit) as refusal:
            main(["what-if", str(run), *arguments])
        assert refusal.value.code == 2 and "mfnet: argument " in capsys.readouterr().err


def test_what_each_scenario_understands() -> None:
    found = {id.removeprefix("MFNet-").removesuffix("-v0"): understood(id) for id in scenarios() if "MFNet-" in id}
    assert found["Routing"] == {name: name for name in ("close", "toll", "population")} | {"demand": "demand_scale"}
    assert found["Packet"] == {"close": "close", "demand": "demand_scale", "population": "population"}
    assert found["RideShare"] == {"demand": "demand_scale", "population": "population"}
    assert found["Braess"]["demand"] == "demand" and found["Courier"]["demand"] == "total_demand"
    assert all("population" in names for names in found.values())
    assert found["TwoByTwo"] == {"population": "population"}


def test_a_name_that_is_not_understood() -> None:
    asked = argparse.Namespace(on=[], close=["a to b"], toll=[], demand=None, population=None)
    run = SimpleNamespace(env="MFNet-TwoByTwo-v0", env_config={})
    with pytest.raises(
        UsageError, match="MFNet-TwoByTwo-v0 does not understand --close; it understands --population, and"
    ):
        changes(asked, run)


def test_a_toll_does_not_lift_all_others() -> None:
    asked = argparse.Namespace(on=[], close=[], toll=[("a to b", 1.0)], demand=None, population=None)
    run = SimpleNamespace(env="MFNet-Routing-v0", env_config={"toll": {"b to c": 2.0}})
    assert changes(asked, run) == {"toll": {"a to b": 1.0, "b to c": 2.0}}
    run.env_config["toll"] = "marginal"
    with pytest.raises(UsageError, match="the run's tolls are marginal, on all links"):
        changes(asked, run)


def test_twice_the_requests_of_a_city() -> None:
    once, twice = (mfnet_envs.make_model("MFNet-RideShare-v0", demand_scale=scale) for scale in (1, 2))
    np.testing.assert_allclose(twice.offers.rate, 2 * once.offers.rate)  # type: ignore[attr-defined]
    assert "the requests are multiplied by 2" in twice.notes
    assert once.bound().value < twice.bound().value  # type: ignore[union-attr]


# -- closed links ------------------------------------------------------------------------------------------------------


def busiest(model: Congestion) -> str:
    """The link that carries most in the optimum, by the name of its place."""
    flow = model.optimum.by_destination.sum(0)
    return str(model.network.graph.nodes[int(flow.argmax())]["name"])


@pytest.mark.parametrize("network", [None, "topohub:sndlib/abilene"])
def test_closing_the_busiest_link_changes_bound_and_policies_and_nothing_else(network: str | None) -> None:
    if network is not None:
        pytest.importorskip("topohub")
    opened = packet_v0.build(network=network)
    shut = busiest(opened)
    closed = packet_v0.build(network=network, close=shut)
    for name in ("population", "vehicles", "dt", "weight", "total", "gamma", "period", "blocking"):
        assert getattr(opened, name) == getattr(closed, name), name
    places = [[data["name"] for _, data in model.network.graph.nodes(data=True)] for model in (opened, closed)]
    assert sorted(places[0]) == sorted([*places[1], shut])  # no other link is lost
    np.testing.assert_array_equal(opened.demand, closed.demand)
    assert set(opened.law.capacity) == set(closed.law.capacity)
    assert closed.bound().value < opened.bound().value
    rules = opened.heuristics(), closed.heuristics()
    assert rules[0].keys() == rules[1].keys()
    for name in ("shortest_path", "so"):  # the rules of there are others than those of here without the link
        carried, own = Rewired(rules[0][name], closed), rules[1][name]
        none = np.zeros((1, len(closed.legal)), int)
        assert np.abs(carried.teams(none, 0) - own.teams(none, 0)).max() > 0.4, name


class Echo(Policy):
    """Odds that depend on the own crowd, on the step and on where the link leads."""

    def teams(self, counts: np.ndarray, t: int) -> np.ndarray:
        n = counts[:, self.model.team_states, None]
        odds = np.where(
            self.model.legal[self.model.team_states], 1.0 + (n + t) * np.arange(self.model.num_actions), 0.0
        )
        shares: np.ndarray = odds / odds.sum(2, keepdims=True)
        return shares


def test_the_same_policy_where_a_link_is_closed() -> None:
    """By names, team for team and way for way: the closed link's odds are shared out, all others keep their ratios."""
    opened, closed = routing_v0.build(40), routing_v0.build(40, close=["1,1 to 0,1", "0,0 to 0,1"])
    policy = Echo(opened)
    rewired = Rewired(policy, closed)
    rng = np.random.default_rng(0)
    counts = rng.multinomial(40, closed.initial, 3)

    def named(model: Congestion) -> tuple[list[str], dict[str, int]]:
        names = [data["name"] for _, data in model.network.graph.nodes(data=True)]
        return names, {f"{name}|{layer}": p * model.network.layers + k for p, name in enumerate(names)
                       for k, layer in enumerate(model.network.graph.graph["layers"])}  # fmt: skip

    (ours, here), (theirs, there) = named(closed), named(opened)
    seen = np.zeros((3, len(opened.legal)), int)
    for key, state in here.items():
        seen[:, there[key]] = counts[:, state]
    before, after = policy.individual(seen, 5), rewired.individual(counts, 5)
    checked = 0
    for key, state in here.items():
        if state not in closed.team_states:
            continue
        new, old = state // closed.network.layers, there[key] // opened.network.layers
        ways = {theirs[e]: before[:, there[key], a] for a, e in enumerate(opened.onward[old]) if e >= 0}
        left = {
            ours[e]: after[:, state, a] for a, e in enumerate(closed.onward[new]) if e >= 0 and closed.legal[state, a]
        }
        total = sum(ways[name] for name in left)
        for name, share in left.items():
            np.testing.assert_allclose(share, ways[name] / total)
            checked += 1
        np.testing.assert_allclose(sum(left.values()), 1)
    assert checked > 400


def test_nothing_is_closed_and_nothing_changes() -> None:
    model = routing_v0.build(40)
    counts = np.random.default_rng(1).multinomial(40, model.initial, 4)
    np.testing.assert_allclose(Rewired(Echo(model), model).teams(counts, 3), Echo(model).teams(counts, 3))


def test_all_odds_on_the_closed_link_are_spread_evenly() -> None:
    opened, closed = packet_v0.build(30), packet_v0.build(30, close="0 to 4")
    link = [data["name"] for _, data in opened.network.graph.nodes(data=True)].index("0 to 4")
    ahead = opened.onward[opened.team_states // opened.network.layers] == link
    odds = np.where(ahead.any(1, keepdims=True) & opened.legal[opened.team_states], ahead, uniform(opened).table[0])
    table = odds / odds.sum(1, keepdims=True)
    shares = Rewired(TablePolicy(opened, table), closed).teams(np.zeros((1, len(closed.legal)), int), 0)
    np.testing.assert_allclose(shares, uniform(closed).table)


def test_another_network_is_refused() -> None:
    other = routing_v0.build(30, network=dataclasses.replace(triangle(), nodes=("rome", "bonn", "kiel")))
    with pytest.raises(ValueError, match="that network has other places or destinations"):
        Rewired(uniform(routing_v0.build(30, network=triangle())), other)
