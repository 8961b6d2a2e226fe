"""Pictures say what is there: right numbers, right directions, right colours, on any graph, with numpy alone."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import toys

import mfnet_envs
from mfnet_envs import drawing, words
from mfnet_envs.drawing import Scene, ansi, files, film, film_page, net_moves, node_counts, paint, rgb_array, stage
from mfnet_envs.drawing.lettering import GLYPHS, glyph
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import uniform
from mfnet_envs.positions import node_positions
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


@pytest.mark.parametrize("name", graphs())
def test_videos_take_every_picture(name: str) -> None:
    """Width and height in whole blocks of 16 pixels, for frames of films and of an environment's ``render`` alike."""
    model = graphs()[name]
    shot = film.shoot(model, uniform(model), 0)
    for image in (rgb_array(model, played(model, 0)), next(drawing.frames(model, shot)), drawing.still(model, shot)):
        assert [side % 16 for side in image.shape[:2]] == [0, 0]


def test_fuller_is_darker() -> None:
    """The pixel at a cell's rim (no digits there) gets darker with every agent."""
    model = grid(rows=1, cols=2, population=8)
    x, y = stage.stage_of(model).centre[0].round().astype(int)
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
    assert node_positions(grid(graph=graph)) is None
    nx.set_node_attributes(graph, {0: (0.0, 0.0), 1: (3.0, 4.0), 2: (6.0, 0.0)}, "pos")
    np.testing.assert_array_equal(node_positions(grid(graph=graph)), [(0, 0), (3, 4), (6, 0)])
    np.testing.assert_array_equal(node_positions(grid(rows=1, cols=2)), [(0, 0), (1, 0)])


def test_a_polygon_covers_its_area() -> None:
    """A triangle with legs of 40 and 30 pixels: 600, to half a pixel along its edges; a hole-free square exactly."""
    triangle = np.array([(10.0, 10.0), (50.0, 10.0), (10.0, 40.0)])
    assert paint.polygon(triangle, (80, 80))[2].sum() == pytest.approx(600, rel=0.01)
    square = np.array([(5.0, 5.0), (25.0, 5.0), (25.0, 25.0), (5.0, 25.0)])
    assert paint.polygon(square, (80, 80))[2].sum() == pytest.approx(400)


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


# -- films ----------------------------------------------------------------------------------------------------------


FILMED = {**FORMS, "grid": grid(population=40), "city": mfnet_envs.make_model("MFNet-RideShareNYC-v0", population=60)}


@pytest.mark.parametrize("name", FILMED)
def test_a_film_is_an_episode(name: str) -> None:
    """Everybody is conserved, actions sum to the counts, dots move one hop at most and are among the counted."""
    model = FILMED[name]
    shot = film.shoot(model, uniform(model), 4, seed=1)
    assert (shot.counts.sum(1) == model.population).all() and shot.dots.shape == (5, min(model.population, film.DOTS))
    for t, actions in enumerate(shot.actions):
        np.testing.assert_array_equal(actions.sum(1), shot.counts[t])
        assert not actions[~model.legal].any()
    for t in range(5):
        followed = np.bincount(shot.dots[t], minlength=shot.counts.shape[1])
        assert (followed <= shot.counts[t]).all()
        if model.population <= film.DOTS:
            np.testing.assert_array_equal(followed, shot.counts[t])
    node = model.network.node_of[shot.dots]
    near = model.network.neighbors[node[:-1]] == node[1:, :, None]
    assert near.any(2).all()
    again = film.shoot(model, uniform(model), 4, seed=1)
    np.testing.assert_array_equal(shot.dots, again.dots)
    assert (shot.rewards == again.rewards).all()


def test_a_film_follows_the_law_of_the_simulator() -> None:
    """Mean counts and rewards of many short films against the exact expectation, by enumeration."""
    model = FORMS["two ways"]
    exact, policy = ExactGame(model), uniform(model)
    films = [film.shoot(model, policy, 1, seed) for seed in range(1500)]
    start = np.array([shot.counts[0] for shot in films])
    end = np.array([shot.counts[1] for shot in films])
    played = np.array([shot.actions[0] for shot in films])
    distinct, place = np.unique(played.reshape(len(films), -1), axis=0, return_inverse=True)
    means = exact.pair_transition(distinct.reshape(-1, *model.legal.shape)) @ exact.count_vectors
    surplus = end - means[place.reshape(-1)]
    t = surplus.mean(0) / (surplus.std(0, ddof=1) / np.sqrt(len(films)))
    assert np.abs(t).max() < 4.5, t  # p < 1e-5 for each of three states
    simulator = Simulator(model)
    paid = [
        simulator.step(c[None], a[None], np.random.default_rng(0))[1].sum() for c, a in zip(start, played, strict=True)
    ]
    np.testing.assert_allclose([shot.rewards[0] for shot in films], paid, atol=1e-12)


def test_frames_flow() -> None:
    """Same size throughout, one set per step, and between two steps nothing but dots moves."""
    model = grid(rows=1, cols=3, population=30)
    shot = film.shoot(model, uniform(model), 3)
    frames = list(film.frames(model, shot, between=4))
    assert len(frames) == 13 and len({frame.shape for frame in frames}) == 1
    strip = frames[0].shape[0] - film.STRIP
    for a, b in ((0, 1), (4, 7), (8, 9)):
        assert (frames[a] != frames[b]).any()
        np.testing.assert_array_equal(frames[a][strip:], frames[b][strip:])
    shown = film.palette()
    far = np.abs(frames[5].reshape(-1, 1, 3)[::7].astype(float) - shown).max(2).min(1)
    assert np.quantile(far, 0.99) < 60 and np.median(far) < 8  # the GIF's colours are near those drawn


def test_bars_are_as_high_as_the_crowd() -> None:
    """Two nodes with 10 and 5 agents: bars of 60 and 30 pixels, the line on top is the scale."""
    shown = np.array([[10, 5]])
    strip = film._bars(shown, 0, 420, 10)
    coloured = (np.abs(strip.astype(int) - np.array(paint.PAPER).astype(int)).max(2) > 12)[25:84]
    heights = [coloured[:, x].sum() for x in (115, 305)]
    assert heights[0] == pytest.approx(60, abs=2) and heights[1] == pytest.approx(30, abs=2)


def test_one_crowded_moment_does_not_flatten_the_film() -> None:
    shown = np.array([[200, 0], [10, 190], [90, 110], *[[100, 100]] * 6])
    assert film.full(shown) == 125
    assert film.full(np.array([[3, 1]])) == 3 and film.full(np.zeros((2, 2), int)) == 1


def test_states_may_lie_apart_from_their_node() -> None:
    """Positions of states move dots and, where the graph is silent, nodes."""
    model: Any = toys.layered()
    model.positions = np.array([(0.0, 0.0), (0.0, 2.0), (4.0, 0.0), (4.0, 2.0)])
    np.testing.assert_array_equal(node_positions(model), [(0, 1), (4, 1)])
    data = json.loads(data_of(film_page.page(model, film.shoot(model, uniform(model), 2))))
    assert len(data["spots"]) == 4
    model.positions = model.positions[:3]
    with pytest.raises(ValueError, match=r"positions must have shape \(4, 2\), not \(3, 2\)"):
        film_page.page(model, film.shoot(model, uniform(model), 2))


# -- the page ---------------------------------------------------------------------------------------------------------


def data_of(page: str) -> str:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("name", ["grid", "city", "transit"])
def test_a_page_holds_the_film_and_needs_nothing_else(name: str) -> None:
    model = FILMED[name]
    shot = film.shoot(model, uniform(model), 5, title="<b>bold</b> & more")
    page = film_page.page(model, shot)
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in page and "<b>" not in page
    assert not re.search(r"https?://|src=|@import|url\(|fetch\(|XMLHttp|\{\{", page) and len(page) < 2_000_000
    data = json.loads(data_of(page))
    expected = [node_counts(model, counts).tolist() for counts in shot.counts]
    [only] = data["films"]
    assert only["counts"] == expected and data["population"] == model.population
    np.testing.assert_allclose(only["rewards"], shot.rewards, atol=1e-5)
    assert len(data["places"]) == model.network.num_nodes == len(data["names"])
    assert len(data["edges"]) == model.network.graph.number_of_edges()
    free = np.array(only["dots"]) % 2
    counted = np.isin(model.network.node_of * 0 + np.arange(len(model.legal)), np.flatnonzero(film.with_choice(model)))
    np.testing.assert_array_equal(free, counted[shot.dots])
    assert bool(data["polygons"]) == (name == "city") and data["free"] == (name == "city" or name == "transit")


def test_a_hostile_name_stays_text() -> None:
    graph = nx.path_graph(2)
    nx.set_node_attributes(graph, {0: "</script><script>alert(1)</script>", 1: "b"}, "name")
    model = grid(graph=graph)
    page = film_page.page(model, film.shoot(model, uniform(model), 1))
    assert page.count("<script") == 2 and json.loads(data_of(page))["names"][0].startswith("</script>")


def test_films_side_by_side_share_their_scale() -> None:
    """Both films are told by one scrubber, one top and one list of bars; they must be equally long."""
    model = grid(population=40)
    known = model.heuristics()
    stay, go = (film.shoot(model, known[name], 6, 1, name) for name in ("stay", "greedy"))
    data = film_page.data(model, stay, go)
    assert [shot["title"] for shot in data["films"]] == ["stay", "greedy"]
    assert data["films"][0]["counts"][0] == data["films"][1]["counts"][0]
    both = np.concatenate([node_counts_of(model, shot) for shot in (stay, go)])
    assert data["top"] == film.full(both) and data["bars"] == film.bars(both).tolist()
    with pytest.raises(ValueError, match="the same number of steps"):
        film_page.page(model, stay, film.shoot(model, uniform(model), 5))


def node_counts_of(model: LocalModel, shot: film.Film) -> Any:
    return np.stack([node_counts(model, counts) for counts in shot.counts])


def test_a_page_refuses_too_many_nodes() -> None:
    model = grid(graph=nx.cycle_graph(3001))
    with pytest.raises(ValueError, match="a page shows at most 3,000 nodes, not 3,001"):
        film_page.page(model, film.shoot(model, uniform(model), 0))


@pytest.mark.browser
def test_a_browser_draws_the_page(tmp_path: Any) -> None:
    """The script runs: it writes the step it was asked for into the document."""
    model = grid(population=40)
    (tmp_path / "film.html").write_text(film_page.page(model, film.shoot(model, uniform(model), 6)), "utf-8")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "no browser is installed: apt-get install chromium"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    url = f"file://{tmp_path}/film.html#step=3"
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=600)
    assert "step 3 of 6" in done.stdout and "40 agents · mean reward" in done.stdout


# -- files ------------------------------------------------------------------------------------------------------------


def small() -> LocalModel:
    return grid(rows=2, cols=2, population=8, horizon=5)


def test_a_png_is_what_was_drawn(tmp_path: Path) -> None:
    """Read back by Pillow, bit for bit; also an image of random pixels."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (7, 13, 3), np.uint8)
    (tmp_path / "noise.png").write_bytes(drawing.png(noise))
    with Image.open(tmp_path / "noise.png") as image:
        np.testing.assert_array_equal(np.asarray(image), noise)
    path = drawing.render_to(small(), tmp_path / "grid.png", steps=2)
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.size[0] > 200


def test_a_gif_shows_every_step(tmp_path: Path) -> None:
    """Pictures that are alike may be merged, so time is counted, not pictures."""
    from PIL import Image

    path = drawing.render_to(small(), tmp_path / "grid.gif", policy="greedy")
    with Image.open(path) as image:
        milliseconds = 0.0
        for frame in range(image.n_frames):
            image.seek(frame)
            milliseconds += image.info["duration"]
        assert 5 < image.n_frames <= 5 * film.BETWEEN + 1
    assert milliseconds == pytest.approx(5 * 1000 * files.STEP_SECONDS + 1500, abs=5 * film.BETWEEN * 10)


def test_a_gif_keeps_to_its_size() -> None:
    """With less room there are fewer pictures between two steps."""
    model = mfnet_envs.make_model("MFNet-Grid-v0")
    shot = film.shoot(model, uniform(model), 4)
    free = drawing.gif(model, shot)
    tight = drawing.gif(model, shot, limit=len(free) // 2)
    assert len(free) < files.GIF_LIMIT and len(tight) <= len(free) // 2


def test_a_page_is_written(tmp_path: Path) -> None:
    text = drawing.render_to(small(), tmp_path / "x.html", policy="lp", steps=3, name="four cells").read_text("utf-8")
    assert "<title>four cells · lp</title>" in text and text.startswith("<!DOCTYPE html>")


def test_a_text_shows_every_step_and_seeds_repeat(tmp_path: Path) -> None:
    texts = [
        drawing.render_to(small(), tmp_path / f"{k}.txt", steps=3, seed=seed).read_text("utf-8")
        for k, seed in enumerate((0, 0, 1))
    ]
    assert texts[0] == texts[1] != texts[2]
    assert [f"step {t}" in texts[0] for t in range(5)] == [True] * 4 + [False]


def test_any_policy_can_be_drawn(tmp_path: Path) -> None:
    policy = uniform(small())
    one = drawing.render_to(small(), tmp_path / "a.txt", policy=policy).read_bytes()
    assert one == drawing.render_to(small(), tmp_path / "b.txt", policy="random").read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 10**12}, "a film has at most 100,000 steps, not 1000000000000"),
        ({"steps": -1}, "steps must be a non-negative integer, not -1"),
        ({"seed": {1}}, "seed must be a non-negative integer, not {1}"),
        ({"seed": None}, "seed must be a non-negative integer, not None"),
        ({"title": 5}, "title must be a string or None, not 5"),
        ({"policy": {"a": 1}}, "a policy of the model is needed"),
        ({"policy": uniform(mfnet_envs.make_model("MFNet-Pigou-v0", population=3))}, "the policy is of a model with"),
        ({"path": [1]}, r"a path is a string or a pathlib.Path, not \[1\]"),
        ({"path": b"a.png"}, "a path is a string or a pathlib.Path, not b'a.png'"),
        ({"path": "a\0.png"}, "a path holds no null character"),
        ({"path": "a." + "x" * 9000}, r"not '\.x{60,80} \.\.\.$"),
    ],
)
def test_pictures_of_nothing(options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = options.pop("path", tmp_path / "a.txt")
    with pytest.raises((TypeError, ValueError), match=sentence):
        drawing.render_to(small(), path, **{"steps": 1, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_no_machine_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "memory", lambda: 10**6)
    with pytest.raises(ValueError, match="crowds and actions of steps=1000 need"):
        film.shoot(small(), uniform(small()), 1000)


def test_bad_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"must end in \.png, \.gif, \.html or \.txt, not '\.jpg'"):
        drawing.render_to(small(), tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere: make it first"):
        drawing.render_to(small(), tmp_path / "nowhere" / "a.png")
    with pytest.raises(ValueError, match="no policy 'gredy'; did you mean 'greedy'"):
        drawing.render_to(small(), tmp_path / "a.png", policy="gredy")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match=r"a GIF needs Pillow: pip install '.*\[render\]', or write a \.png"):
        drawing.render_to(small(), tmp_path / "a.gif")
    drawing.render_to(small(), tmp_path / "a.png")
