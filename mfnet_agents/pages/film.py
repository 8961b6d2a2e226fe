"""The film of a report: what was learnt beside the best heuristic, in the same world, with one scrubber."""

from __future__ import annotations

from mfnet_agents.pages import frame
from mfnet_agents.pages.frame import Markup, tag
from mfnet_envs.drawing import film, film_page
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.positions import node_positions

FRAMES = 120  # at most
NUMBERS = 200_000  # counts of a film on a page
MOVES = 20_000_000  # agents times steps that are played for one: identities are kept
FEWEST = 5  # steps that are worth a film
DOTS = 120  # agents followed

STYLE = film_page.shipped("film.css")
SCRIPT = (
    film_page.shipped("film.js")
    + """
const place = document.getElementById("film");
if (place) film(place, JSON.parse(document.getElementById("film-data").textContent), place);
"""
)


def steps_of(model: LocalModel) -> int:
    """How many steps are shown; 0 where there is no film: no positions, or too many nodes or agents."""
    if node_positions(model) is None or model.network.num_nodes > film_page.NODES:
        return 0
    most = min(FRAMES, model.evaluation[0], NUMBERS // model.network.num_nodes, MOVES // max(1, model.population))
    return most if most >= min(FEWEST, model.evaluation[0]) else 0


def section(model: LocalModel, played: dict[str, Policy], seed: int) -> Markup:
    """The films of ``played``, title -> policy, in the world of this seed; of ``steps_of(model)`` steps."""
    steps = steps_of(model)
    shots = [film.shoot(model, policy, steps, seed, title) for title, policy in played.items()]
    shots = [shot._replace(dots=shot.dots[:, :DOTS]) for shot in shots]
    without = "The film is drawn by a script, which this browser does not run."
    shown = tag("div", tag("p", without), id="film", class_="film")
    said = (
        f"The first {steps} steps of one world (seed {seed}); both begin alike. Nothing is measured here: the table "
        "is of many worlds."
    )
    return frame.section(
        "Film: what was learnt, beside the best heuristic",
        shown,
        frame.data("film-data", film_page.data(model, *shots)),
        tag("p", said, class_="caption"),
    )
