"""Pictures say what is there: right numbers, right directions, right colours, on any graph, with numpy alone."""

import re
import subprocess
import sys
from typing import Any

import networkx as nx
import numpy as np
import pytest
import toys

import mfnet_envs
from mfnet_envs import render
from mfnet_envs._lettering import GLYPHS, glyph
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.render import Scene, ansi, net_moves, node_counts, rgb_array
from mfnet_envs.simulator import Simulator

FORMS = toys.every_form()


def grid(**options: Any) -> LocalModel:
    return mfnet_envs.make_model("MFNet-Grid-v0", **options)


def graphs() -> dict[str, LocalModel]:
    return {
        "grid": grid(population=40),
        "column": grid(rows=4, cols=1),
        "one cell": grid(rows=1, cols=1),
        "ring": grid(graph=nx.cycle_graph(8)),
        "path": grid(graph=nx.path_graph(5)),
        "star": grid(graph=nx.star_graph(6)),
        "one node": grid(graph=nx.empty_graph(1)),
        "words": grid(graph=nx.relabel_nodes(nx.path_graph(3), {0: "a", 1: "b", 2: "c"})),
        "city": mfnet_envs.make_model("MFNet-RideShareNYC-v0", population=100),
    } | FORMS


def played(model: LocalModel, steps: int = 2) -> Scene:
    """A scene some uniform steps after the start."""
    simulator, rng = Simulator(model), np.random.default_rng(0)
    pi = model.legal / model.legal.sum(1, keepdims=True)
    counts, before, actions, reward = simulator.reset(rng)[0], None, None, 0.0
    for _ in range(steps):
        before, actions = counts, simulator.act(counts[None], pi, rng)[0]
        following, rewards = simulator.step(counts[None], actions[None], rng)
        counts, reward = following[0], float(rewards.sum())
    return Scene(counts, before, actions, steps, reward)


@pytest.mark.parametrize("name", graphs())
def test_every_graph_is_drawn(name: str) -> None:
    model = graphs()[name]
    for scene in (played(model, 0), played(model, 2)):
        image = rgb_array(model, scene, name)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert len(np.unique(image[::3, ::3].reshape(-1, 3), axis=0)) > 5
        np.testing.assert_array_equal(image, rgb_array(model, scene, name))
        text = ansi(model, scene, name)
        assert text.splitlines()[0].startswith(f"{name} · step {scene.step} · N {model.population}")


def test_fuller_is_darker() -> None:
    """The pixel at a cell's rim (no digits there) gets darker with every agent."""
    model = grid(rows=1, cols=2, population=8)
    stage = render._stage(model)
    x, y = stage.centre[0].round().astype(int)
    lightness = []
    for n in range(5):
        image = rgb_array(model, Scene(np.array([n, 8 - n])))
        lightness.append(image[y - 24, x].astype(float) @ (0.299, 0.587, 0.114))
    assert (np.diff(lightness) < 0).all()


def test_text_shows_the_counts_in_place_and_the_way_they_went() -> None:
    model = grid(rows=2, cols=2, population=10, total_demand=0.0)
    before, after = np.array([10, 0, 0, 0]), np.array([2, 5, 3, 0])
    actions = np.zeros((4, 5), int)
    actions[0] = (2, 0, 5, 3, 0)  # two stay, five go right, three go down
    text = ansi(model, Scene(after, before, actions, 3, 0.25), "toy")
    assert text.splitlines() == [
        "toy · step 3 · N 10 · mean reward 0.2500",
        "   2 →  5",
        "   ↓",
        "   3    0",
    ]


@pytest.mark.parametrize("name", [n for n in FORMS if n != "transit"])
def test_arrows_are_the_expected_movement(name: str) -> None:
    """Summed over its arrows, what a node gains is what enumeration says it gains."""
    model = FORMS[name]
    scene = played(model)
    assert scene.before is not None and scene.actions is not None
    exact, v = ExactGame(model), model.network.num_nodes
    law = exact.pair_transition(scene.actions[None])[0]
    expected = (law @ exact.count_vectors - scene.before).reshape(v, -1).sum(1)
    origin, target, amount = net_moves(model, scene)
    gained = np.bincount(target, amount, v) - np.bincount(origin, amount, v)
    np.testing.assert_allclose(gained, expected, atol=1e-9)


def test_arrows_of_those_in_transit() -> None:
    """All agents are in transit: each node's agents move on to the next."""
    model = FORMS["transit"]
    before = np.array([0, 2, 0, 1, 0, 0])
    origin, target, amount = net_moves(model, Scene(before, before, model.legal * before[:, None], 1))
    assert {(v, w): n for v, w, n in zip(origin, target, amount, strict=True)} == {(0, 1): 2, (1, 2): 1}


def test_only_those_who_decide_are_counted() -> None:
    """On the map: idle drivers, not those who carry riders."""
    model = mfnet_envs.make_model("MFNet-RideShareNYC-v0", population=100)
    counts = np.zeros(model.network.num_states, int)
    counts[0], counts[1] = 30, 70
    assert node_counts(model, counts)[0] == 30
    assert "N 100 · free 30" in ansi(model, Scene(counts))


def test_a_long_list_says_what_it_leaves_out() -> None:
    model = grid(graph=nx.cycle_graph(100), population=1000)
    lines = ansi(model, played(model)).splitlines()
    assert len(lines) == 42 and lines[-1].strip() == "and 60 nodes with fewer"
    shown = [int(re.split(r"\s+", line.strip())[1]) for line in lines[1:-1]]
    assert shown == sorted(shown, reverse=True)


def test_positions_come_from_the_graph() -> None:
    graph = nx.path_graph(3)
    assert render.node_positions(grid(graph=graph)) is None
    nx.set_node_attributes(graph, {0: (0.0, 0.0), 1: (3.0, 4.0), 2: (6.0, 0.0)}, "pos")
    np.testing.assert_array_equal(render.node_positions(grid(graph=graph)), [(0, 0), (3, 4), (6, 0)])
    np.testing.assert_array_equal(render.node_positions(grid(rows=1, cols=2)), [(0, 0), (1, 0)])


def test_a_polygon_covers_its_area() -> None:
    """A triangle with legs of 40 and 30 pixels: 600, to half a pixel along its edges; a hole-free square exactly."""
    triangle = np.array([(10.0, 10.0), (50.0, 10.0), (10.0, 40.0)])
    assert render._polygon(triangle, (80, 80))[2].sum() == pytest.approx(600, rel=0.01)
    square = np.array([(5.0, 5.0), (25.0, 5.0), (25.0, 25.0), (5.0, 25.0)])
    assert render._polygon(square, (80, 80))[2].sum() == pytest.approx(400)


def test_letters_stay_in_their_box_and_differ() -> None:
    pictures = set()
    for letter in GLYPHS:
        covered, advance = glyph(letter, 24.0, 3.0)
        assert 0 <= covered.min() and covered.max() <= 1 and advance > 0
        assert not covered[0].any() and not covered[:, 0].any() and not covered[-1].any() and not covered[:, -1].any()
        pictures.add(covered.tobytes())
    assert len(pictures) == len(GLYPHS)


def test_every_view_renders_and_ignores_arguments() -> None:
    import gymnasium as gym

    central = gym.make("MFNet-Grid-v0", render_mode="rgb_array").unwrapped
    central.reset(seed=0)
    first: Any = central.render()
    central.step(central.action_space.sample())
    assert (first != central.render()).any()
    agents = mfnet_envs.parallel_env("MFNet-Grid-v0", view="agents", population=9, render_mode="ansi")
    agents.reset(seed=0)
    agents.step(dict.fromkeys(agents.agents, 2))
    assert "step 1 · N 9" in agents.render("human") and agents.render() == agents.render(1, 2)
    assert mfnet_envs.parallel_env("MFNet-Grid-v0").render() is None


def test_the_picture_needs_numpy_only() -> None:
    code = (
        "import mfnet_envs, sys; e = mfnet_envs.parallel_env('MFNet-Grid-v0', render_mode='rgb_array'); e.reset();"
        "e.render(); print([m for m in ('PIL', 'matplotlib', 'pygame', 'scipy', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
