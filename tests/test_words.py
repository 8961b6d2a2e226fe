"""A report speaks of its own scenario: the page of every id, and of somebody's own city, without another's words."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import mfnet_envs
from mfnet_agents import pages, runs
from mfnet_agents.pages import run as report
from mfnet_envs import registration, tools
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.positions import node_positions
from mfnet_envs.wording import MapWords, Wording

IDS = sorted(id for id, entry in registration.scenarios().items() if str(entry.builder).startswith("mfnet_envs."))

# Smaller than they come; their evaluation is cut as well.
SMALL: dict[str, dict[str, Any]] = {
    "MFNet-Courier-v0": {"population": 12, "rows": 2, "cols": 2},
    "MFNet-Grid-v0": {"population": 12, "rows": 2, "cols": 2},
    "MFNet-Packet-v0": {"population": 20},
    "MFNet-RideShareNYC-v0": {"population": 80, "occupied": "markov"},
    "MFNet-Routing-v0": {"population": 20},
}

# What only one kind of scenario may say, whoever says it; a scenario that speaks of it itself may be spoken of so.
TELLING = (
    "Manhattan",
    "avenue",
    "taxi",
    "rider",
    "trip",
    "demand",
    "zone",
    "courier",
    "parcel",
    "packet",
    "infect",
    "device",
)


class OwnTown(LocalModel):
    """Ferries between four quarters of a town by the sea; a quarter pays less the more lie in it."""

    wording = Wording(
        agents="ferries",
        place="Venice, a morning",
        needs={"drift": "nothing at all"},
        map=MapWords("Where ferries lie", "empty ferries", ("people at the quays", "per km² an hour")),
    )

    def __init__(self, population: int = 12) -> None:
        quarters = nx.cycle_graph(4)
        square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], float)
        for i in range(4):
            quarters.nodes[i]["polygon"] = square + [i % 2, i // 2]
        network = StateNetwork(quarters)
        super().__init__(
            network=network,
            population=population,
            num_actions=3,
            branches=(Branch.to(network.neighbors),),
            reward_range=(0.0, 1.0),
            reference_counts=np.arange(1.0, 5.0),
        )

    def reward(self, mu_hood: Any) -> Any:
        return (1 - mu_hood[:, :, 0, :]) * np.ones(3)

    def branch_weights(self, mu_hood: Any) -> Any:
        return np.ones((len(mu_hood), 4, 1, 1))

    def heuristics(self) -> dict[str, Policy]:
        return {"random": uniform(self), "drift": uniform(self)}


class _Text(HTMLParser):
    """What a reader sees, with the labels of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden = tag in ("style", "script")
        self.said += [value or "" for name, value in attrs if name in ("aria-label", "title", "alt")]

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.said.append(data)


def text_of(page: Path) -> str:
    """Without the fold of all options, which are the learner's."""
    markup = re.sub(r"<details>.*?</details>", "", page.read_text("utf-8"), flags=re.DOTALL)
    parser = _Text()
    parser.feed(markup)
    return " ".join(parser.said)


def phrases(model: LocalModel) -> set[str]:
    """Everything a scenario's wording says in more than one word, what moves, and its unit."""

    def said(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Wording | MapWords):
            yield from (text for f in fields(value) for text in said(getattr(value, f.name)))
        elif isinstance(value, dict | tuple):
            yield from (text for item in (value.values() if isinstance(value, dict) else value) for text in said(item))

    return {text for text in said(model.wording) if " " in text} | {model.wording.agents, model.headline.unit}


@pytest.fixture(scope="module", autouse=True)
def _short_evaluations() -> Iterator[None]:
    """Twenty steps of every scenario: what is tested are words."""
    whole = LocalModel.__init__

    def short(self: LocalModel, **options: Any) -> None:
        whole(self, **{**options, "evaluation": (20, 5)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalModel, "__init__", short)
        yield


@pytest.fixture(scope="module")
def models() -> dict[str, LocalModel]:
    return {id: mfnet_envs.make_model(id, **SMALL.get(id, {})) for id in IDS}


def reported(id: str, env_config: dict[str, Any], folder: Path) -> Path:
    """The report of a very short training."""
    options = {
        "total_env_steps": 8,
        "num_envs_per_env_runner": 2,
        "rollout_fragment_length": mfnet_envs.make_model(id, **env_config).episode_steps or 4,
        "evaluation_duration": 2,
    }
    config = runs.make_config(id, options, env_config)
    runs.train(config.build_algo(), runs.RunFolder.create(folder), worlds=2, tensorboard=False)
    return report.build(folder)


def foreign(text: str, own: set[str], own_page: str, others: dict[str, set[str]]) -> set[str]:
    """Phrases of others, and telling words, that stand in ``text`` though the scenario itself never says them."""
    mine = " ".join([*own, own_page]).lower()
    borrowed = {phrase for said in others.values() for phrase in said if phrase.lower() in text.lower()}
    telling = {word for word in TELLING if re.search(rf"\b{word}", text, re.IGNORECASE)}
    return {phrase for phrase in borrowed | telling if phrase.lower() not in mine} - {"agents"}


@pytest.mark.parametrize("id", IDS)
def test_a_report_speaks_of_its_own_scenario(id: str, models: dict[str, LocalModel], tmp_path: Path) -> None:
    text = text_of(reported(id, SMALL.get(id, {}), tmp_path / "run"))
    others = {other: phrases(model) for other, model in models.items() if other != id}
    assert foreign(text, phrases(models[id]), tools.page(id), others) == set()
    assert models[id].headline.unit in text and models[id].wording.agents in text
    words, placed = models[id].wording.map, node_positions(models[id]) is not None
    assert (tmp_path / "run" / "map.png").is_file() == placed
    if placed:
        assert ("Where " if words is None else words.heading) in text
    else:
        assert "No film and no map: the scenario gives its nodes no positions." in text


@pytest.fixture(scope="module")
def town() -> Iterator[str]:
    mfnet_envs.register("OwnTown-v0", OwnTown)
    yield "OwnTown-v0"
    registration._SCENARIOS.pop("OwnTown-v0", None)


def test_an_own_town_has_a_map_in_its_own_words(town: str, models: dict[str, LocalModel], tmp_path: Path) -> None:
    text = text_of(reported(town, {}, tmp_path / "run"))
    others = {id: phrases(model) for id, model in models.items()}
    assert foreign(text, phrases(OwnTown()), inspect.getdoc(OwnTown) or "", others) == set()
    for words in ("Where ferries lie", "empty ferries", "Venice, a morning", "12 ferries", "nothing at all"):
        assert words in text
    assert "turned" not in text, "it is not"
    assert (tmp_path / "run" / "map.png").is_file()


def test_a_town_without_words_for_a_map_has_plain_ones(
    town: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnTown, "wording", Wording())
    text = text_of(reported(town, {}, tmp_path / "run"))
    assert (tmp_path / "run" / "map.png").exists() and "12 agents" in text
    assert "Where agents are" in text and "agents per km²" in text and "ferries" not in text


def test_foreign_words_are_found() -> None:
    """The test above can fail: as long as pages were written for one city, a report of another said this."""
    others = {"city": {"per km² in 5 minutes", "agents"}}
    said = foreign("12 agents: the demand and trip tables, per km² in 5 minutes", {"ferries"}, "A town.", others)
    assert said == {"per km² in 5 minutes", "demand", "trip"}


def test_no_page_knows_a_scenario() -> None:
    """Their source does not speak of taxis either."""
    for file in Path(pages.__file__).parent.glob("*.py"):
        source = file.read_text("utf-8")
        assert not re.search(r"\b(manhattan|avenue|taxi|rider|trips?\b|zone|courier|packet)", source, re.IGNORECASE), (
            file
        )
