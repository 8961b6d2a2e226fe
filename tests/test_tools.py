"""`mfnet env`: pages, pictures, checks and speeds, as functions."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

import mfnet_envs
from mfnet_envs import film, tools
from mfnet_envs.policy import uniform
from mfnet_envs.registration import scenarios

IDS = sorted(scenarios())
SMALL: dict[str, Any] = {"rows": 2, "cols": 2, "population": 8, "horizon": 5}


def test_the_list_names_every_environment_with_a_sentence() -> None:
    lines = tools.list_environments().splitlines()
    assert [line.split()[0] for line in lines] == IDS
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize("env_id", IDS)
def test_a_page_has_the_scenarios_words_and_the_spaces(env_id: str) -> None:
    page = tools.show(env_id, bound=False)
    assert "Versions" in page and "reward" in page.lower() and "Discrete(" in page
    assert f"gymnasium.make({env_id!r})" in page and scenarios()[env_id].pettingzoo_id("teams") in page


def test_a_page_has_the_bound_and_the_heuristics() -> None:
    page = tools.show("MFNet-Grid-v0", **SMALL)
    certificate = mfnet_envs.make_model("MFNet-Grid-v0", **SMALL).bound()
    assert str(certificate) in page and "proportional" in page


def test_a_png_is_what_was_drawn(tmp_path: Path) -> None:
    """Read back by Pillow, bit for bit; also an image of random pixels."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (7, 13, 3), np.uint8)
    (tmp_path / "noise.png").write_bytes(tools.png(noise))
    with Image.open(tmp_path / "noise.png") as image:
        np.testing.assert_array_equal(np.asarray(image), noise)
    path = tools.render_to("MFNet-Grid-v0", tmp_path / "grid.png", steps=2, **SMALL)
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.size[0] > 200


def test_a_gif_shows_every_step(tmp_path: Path) -> None:
    """Pictures that are alike may be merged, so time is counted, not pictures."""
    from PIL import Image

    path = tools.render_to("MFNet-Grid-v0", tmp_path / "grid.gif", policy="greedy", **SMALL)
    with Image.open(path) as image:
        milliseconds = 0.0
        for frame in range(image.n_frames):
            image.seek(frame)
            milliseconds += image.info["duration"]
        assert 5 < image.n_frames <= 5 * film.BETWEEN + 1
    assert milliseconds == pytest.approx(5 * 1000 * tools.STEP_SECONDS + 1500, abs=5 * film.BETWEEN * 10)


def test_a_gif_keeps_to_its_size() -> None:
    """With less room there are fewer pictures between two steps."""
    model = mfnet_envs.make_model("MFNet-Grid-v0")
    shot = film.shoot(model, uniform(model), 4)
    free = tools.gif(model, shot)
    tight = tools.gif(model, shot, limit=len(free) // 2)
    assert len(free) < tools.GIF_LIMIT and len(tight) <= len(free) // 2


def test_a_page_is_written(tmp_path: Path) -> None:
    text = tools.render_to("MFNet-Grid-v0", tmp_path / "x.html", policy="lp", steps=3, **SMALL).read_text("utf-8")
    assert "<title>MFNet-Grid-v0 · lp</title>" in text and text.startswith("<!DOCTYPE html>")


def test_a_text_shows_every_step_and_seeds_repeat(tmp_path: Path) -> None:
    texts = [
        tools.render_to("MFNet-Grid-v0", tmp_path / f"{k}.txt", steps=3, seed=seed, **SMALL).read_text("utf-8")
        for k, seed in enumerate((0, 0, 1))
    ]
    assert texts[0] == texts[1] != texts[2]
    assert [f"step {t}" in texts[0] for t in range(5)] == [True] * 4 + [False]


def test_any_policy_can_be_drawn(tmp_path: Path) -> None:
    policy = uniform(mfnet_envs.make_model("MFNet-Grid-v0", **SMALL))
    one = tools.render_to("MFNet-Grid-v0", tmp_path / "a.txt", policy=policy, **SMALL).read_bytes()
    assert one == tools.render_to("MFNet-Grid-v0", tmp_path / "b.txt", policy="random", **SMALL).read_bytes()


def test_bad_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"must end in \.png, \.gif, \.html or \.txt, not '\.jpg'"):
        tools.render_to("MFNet-Grid-v0", tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="no policy 'gredy'; did you mean 'greedy'"):
        tools.render_to("MFNet-Grid-v0", tmp_path / "a.png", policy="gredy", **SMALL)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"a GIF needs Pillow: pip install 'mfnet\[render\]', or write a \.png"
    ):
        tools.render_to("MFNet-Grid-v0", tmp_path / "a.gif", **SMALL)
    tools.render_to("MFNet-Grid-v0", tmp_path / "a.png", **SMALL)


@pytest.mark.parametrize("env_id", IDS)
def test_registered_environments_pass_their_checks(env_id: str) -> None:
    report = tools.check(env_id, population=20)
    assert all(f"the {view} view passes" in report for view in ("central", "teams", "agents"))


def test_a_users_model_is_checked_by_name() -> None:
    assert "toys:two_ways: the model keeps the contract" in tools.check("toys:two_ways")


def test_a_broken_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(toys.CrowdModel):
        def reward(self, mu_hood: Any) -> Any:
            return super().reward(mu_hood) * 40

    monkeypatch.setattr(toys, "Broken", lambda: _broken(Broken), raising=False)
    with pytest.raises(ValueError, match="reward"):
        tools.check("toys:Broken")
    with pytest.raises(ValueError, match="'toys:nothing' cannot be imported"):
        tools.check("toys:nothing")


def _broken(kind: Any) -> Any:
    fine = toys.general()
    return kind(network=fine.network, population=4, num_actions=2, branches=fine.branches)


def test_speeds_of_every_view() -> None:
    speeds = tools.bench("MFNet-Grid-v0", seconds=0.02, worlds=4, population=20)
    assert len(speeds) == 6 and all(speed > 0 for speed in speeds.values())
    assert tools.bench_table(speeds).count("steps/s") == 6
