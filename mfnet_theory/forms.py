"""The forms of M that can be learnt, by policy and game: how far their gradients are from (17), and where they lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.exact import ExactGame, IndividualTable
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy
from mfnet_envs.registration import make_model
from mfnet_theory import radii
from mfnet_theory.gradient import learned
from mfnet_theory.instances import Crowded, grid_line, some_policy
from mfnet_theory.worth import Marginal, unmoved

EXACT = 1e-10  # relative, of sums over all pairs and of linear solves
FLAT = 1e-9  # of the largest value: a gradient below it is rounding
READS, IGNORES, NETWORK = "a table that reads n", "a table that ignores n", "a network"
STEADY, PAYS, MOVES = "nothing crowds", "pay crowds", "all crowds"
NO_RESPONSE, LINEAR, CONSTANT = "no response", "linear in the own crowd", "no crowd"
AS_PLAYED, ANSWERED = "as played", "as played with response"
ONCE, WHOLE = "counted once", "counted once with response"
FORMS = (NO_RESPONSE, AS_PLAYED, ANSWERED, ONCE, WHOLE, LINEAR, CONSTANT)
UNIFORM, TRUTH = "uniform", "(17)"
CLIMBED = (AS_PLAYED, WHOLE, LINEAR, CONSTANT)
PIGOU = ("Pigou, N = 4", "Pigou, N = 12")
STEPS = (0, 1, 2, 4, 8, 16, 32, 64)  # of a fragment
RATE, SHARP = 4.0, 12.0  # of the ascent by logits, and the largest logit


@dataclass(frozen=True)
class Case:
    """A policy in a game; ``pi`` says which kind."""

    name: str
    pi: str
    worth: Marginal

    def error(self, m: Floats) -> float:
        """||gradient by m - (17)|| / ||(17)||; where (17) is zero up to rounding, over the largest value."""
        at = self.worth.at
        size, most = float(np.linalg.norm(at.policy_gradient)), float(np.abs(at.state_values).max()) or 1.0
        off = float(np.linalg.norm(self.worth.gradient(m) - at.policy_gradient))
        return off / (size if size > FLAT * most else most)

    def cosine(self, m: Floats) -> float:
        return radii.cosine(self.worth.gradient(m), self.worth.at.policy_gradient)

    @cached_property
    def residual(self) -> float:
        """Largest |own + externality + response - M|, relative to the largest |M|."""
        w = self.worth
        return float(
            np.abs(w.own(w.exact) + w.externality + w.response - w.exact).max() / (np.abs(w.exact).max() or 1.0)
        )

    @cached_property
    def share(self) -> float:
        """|response| over |externality| + |response|, summed over all (s, nu)."""
        felt, answered = (float(np.abs(part).sum()) for part in (self.worth.externality, self.worth.response))
        return answered / (felt + answered) if answered > EXACT else 0.0

    @cached_property
    def forms(self) -> dict[str, Floats]:
        """What can be learnt in the place of M, by the names of ``FORMS``."""
        return {form: offered(self.worth, form) for form in FORMS}

    @cached_property
    def errors(self) -> dict[str, float]:
        return {form: self.error(m) for form, m in self.forms.items()}


def offered(worth: Marginal, form: str) -> Floats:
    """One of ``FORMS``, ``(m, S)``; the last two are the best that a critic can say who sees the own crowd, or none."""
    if form == NO_RESPONSE:
        return worth.no_response
    if form in (LINEAR, CONSTANT):
        return worth.projected(worth.as_played.fixed_point, 3 if form == LINEAR else 1)
    return worth.offered(once=form in (ONCE, WHOLE), response=form in (ANSWERED, WHOLE)).fixed_point


# -- instances


def models() -> dict[str, LocalModel]:
    return {
        STEADY: unmoved(Crowded(StateNetwork.line(3), 4)),
        PAYS: Crowded(StateNetwork.line(3), 4, "none"),
        "the own node's kernel crowds": Crowded(StateNetwork.line(3), 4, "own"),
        MOVES: Crowded(StateNetwork.line(3), 4),
        "two layers": Crowded(StateNetwork.line(2, layers=2), 3, seed=1),
        "Grid": grid_line(3, 4, "independent"),
        "Pigou": make_model("MFNet-Pigou-v0", population=4),
        "Braess": make_model("MFNet-Braess-v0", population=3),
    }


def climbed() -> dict[str, LocalModel]:
    small, large = (make_model("MFNet-Pigou-v0", population=n) for n in (4, 12))
    return {"Grid": grid_line(3, 4, "independent"), PIGOU[0]: small, PIGOU[1]: large}


def cases_of(name: str, model: LocalModel, seed: int) -> list[Case]:
    """A table that reads the size of its team, one that ignores it, and a network (13)."""
    table = some_policy(model, seed)
    flat = np.repeat(table[:, 1:2], model.population + 1, 1)
    policies: dict[str, Policy] = {
        READS: IndividualTable(model, table),
        IGNORES: IndividualTable(model, flat),
        NETWORK: learned(model, "individual", seed),
    }
    game = ExactGame(model)
    return [Case(name, pi, Marginal(game.under(policy))) for pi, policy in policies.items()]


# -- many agents

Row = tuple[int, float, float, float, float]


def crowd(agents: int) -> Row:
    """On two nodes: as played where pi ignores the crowd; where it reads it, two forms and the first-order response."""
    model = Crowded(StateNetwork.line(2), agents)
    game = ExactGame(model)
    reads = 1 / (1 + np.exp(3 * np.arange(agents + 1) / agents - 1))
    flat, smooth = (
        Marginal(game.under(IndividualTable(model, np.stack([np.stack([p, 1 - p], 1)] * 2))))
        for p in (np.full(agents + 1, 0.3), reads)
    )
    first = float(np.abs(smooth.first_order_response - smooth.response).max() / np.abs(smooth.response).max())
    asked = ((flat, AS_PLAYED), (smooth, WHOLE), (smooth, NO_RESPONSE))
    played, whole, mute = (
        _off(worth.gradient(offered(worth, form)), worth.gradient(worth.exact)) for worth, form in asked
    )
    return agents, played, whole, first, mute


def _off(found: Floats, truth: Floats) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


# -- fragments

Fading = dict[tuple[str, str], list[float]]


def fragments(cases: Sequence[Case]) -> Fading:
    """What a terminal critic changes in the gradient, relative, when pulled back over ``STEPS``: by game and critic."""
    found: Fading = {}
    for case in cases:
        whole = case.worth.gradient(case.forms[AS_PLAYED])
        for form in (LINEAR, CONSTANT):
            m, errors = case.forms[form], []
            for step in range(STEPS[-1] + 1):
                if step in STEPS:
                    errors.append(_off(case.worth.gradient(m), whole))
                m = case.worth.as_played(m)
            found[case.name, form] = errors
    return found


# -- where the forms lead

Ends = dict[tuple[str, str], float]


def ends(models: dict[str, LocalModel], steps: int) -> Ends:
    """J where natural ascent by logits from the uniform table ends: along (17) and along each form."""
    found: Ends = {}
    for name, model in models.items():
        game = ExactGame(model)
        logits = np.zeros((model.network.num_states, model.population + 1, model.num_actions))
        found[name, UNIFORM] = game.objective(IndividualTable(model, radii.softmax(model, logits)))
        for form in (TRUTH, *CLIMBED):
            found[name, form] = game.objective(_ascended(game, form, logits, steps))
    return found


def _ascended(game: ExactGame, form: str, logits: Floats, steps: int) -> IndividualTable:
    for _ in range(steps):
        at = game.under(IndividualTable(game.model, radii.softmax(game.model, logits)))
        gradient = at.policy_gradient if form == TRUTH else _gradient(Marginal(at), form)
        logits = np.clip(logits + RATE * radii.natural(at, gradient), -SHARP, SHARP)
    return IndividualTable(game.model, radii.softmax(game.model, logits))


def _gradient(worth: Marginal, form: str) -> Floats:
    return worth.gradient(offered(worth, form))
