"""`mfnet env`: pages, checks and speeds, as functions."""

import inspect
import json
import re
from typing import Any

import pytest
import toys

import mfnet_envs
from mfnet_envs import tools
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


@pytest.mark.parametrize("env_id", IDS)
def test_a_page_has_no_markup_and_names_the_options(env_id: str) -> None:
    """On a terminal, roles and literals are noise; the options are what `--env` takes."""
    page = tools.show(env_id, bound=False)
    assert "`" not in page and ":func:" not in page
    table = page.partition("\nOptions\n")[2].partition("\nNow\n")[0]
    taken = inspect.signature(scenarios()[env_id].load()).parameters
    assert re.findall(r"^\w+", table, re.MULTILINE) == ["option", *taken]


def test_an_option_has_its_type_its_default_and_its_meaning() -> None:
    """As the scenario's docstring says them; a long one goes on in its own column."""
    page = tools.show("MFNet-Grid-v0", bound=False)
    assert re.search(r"^move_cost +float +0\.1 +paid for an empty move\.$", page, re.MULTILINE)
    assert re.search(r"^matching +'physical' \| 'independent' +'physical' +\S", page, re.MULTILINE)
    begins = page.splitlines()[page.splitlines().index("Options") + 2].index("meaning")
    lines = page.partition("\ndemand ")[2].partition("\nlayout ")[0].splitlines()
    assert len(lines) > 1 and all(not line[:begins].strip() for line in lines[1:])


def test_an_option_of_ones_own_scenario_is_in_the_table() -> None:
    def square(side: int, colour: str = "red") -> None:
        """A square.

        Args:
            side: in metres.
        """

    rows = [line.split() for line in tools.option_lines(square)[2:]]
    assert rows == [["side", "int", "required", "in", "metres."], ["colour", "str", "'red'"]]


def test_emphasis_goes_and_products_stay() -> None:
    assert tools.plain("*stay* with **all** of :func:`a.b`, ``x * y`` and i * cols + j") == (
        "stay with all of a.b, x * y and i * cols + j"
    )


def test_a_page_as_json_says_the_same() -> None:
    said = json.loads(json.dumps(tools.describe("MFNet-Grid-v0", **SMALL)))
    assert said["population"] == 8 and said["options"]["population"] == 100
    assert said["option_table"][0] == {
        "name": "population", "kind": "int", "default": "100", "meaning": "N, the number of drivers.",
    }  # fmt: skip
    assert said["views"]["teams"]["action"].startswith("Box(") and "proportional" in said["heuristics"]
    assert said["bound"] in tools.show("MFNet-Grid-v0", **SMALL)


def test_a_page_has_the_bound_and_the_heuristics() -> None:
    page = tools.show("MFNet-Grid-v0", **SMALL)
    certificate = mfnet_envs.make_model("MFNet-Grid-v0", **SMALL).bound()
    assert str(certificate) in page and "proportional" in page


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
    with pytest.raises(ValueError, match="toys has no 'nothing'"):
        tools.check("toys:nothing")


def _broken(kind: Any) -> Any:
    fine = toys.general()
    return kind(network=fine.network, population=4, num_actions=2, branches=fine.branches)


def test_speeds_of_every_view() -> None:
    speeds = tools.bench("MFNet-Grid-v0", seconds=0.02, worlds=4, population=20)
    assert len(speeds) == 6 and all(speed > 0 for speed in speeds.values())
    assert tools.bench_table(speeds).count("steps/s") == 6
