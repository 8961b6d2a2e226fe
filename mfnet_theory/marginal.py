"""An extension of experiment (iii): (17) as one agent sees it, and what the forms of it lose that can be learnt.

Truth is (17) as :class:`~mfnet_envs.exact.Evaluation` sums it over all pairs (mu, h); M is in ``worth.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mfnet_envs.compositions import how_many
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_theory import forms, pictures
from mfnet_theory.critic import slope
from mfnet_theory.forms import (
    ANSWERED,
    AS_PLAYED,
    CLIMBED,
    CONSTANT,
    EXACT,
    FORMS,
    IGNORES,
    LINEAR,
    MOVES,
    NETWORK,
    NO_RESPONSE,
    ONCE,
    PAYS,
    PIGOU,
    READS,
    STEADY,
    STEPS,
    TRUTH,
    UNIFORM,
    WHOLE,
    Case,
    Ends,
    Fading,
    Row,
    cases_of,
)
from mfnet_theory.instances import Crowded
from mfnet_theory.statement import Experiment, Settings, Statement, Table, judged

TITLE = "Marginal values: the same gradient, seen by one agent"
SEEN = 1e-4  # relative, of a bias that is there and no rounding
UNKNOWNS = 4_000  # of one linear solve
FOUR = ((STEADY, IGNORES), (STEADY, READS), (PAYS, IGNORES), (MOVES, IGNORES))
CROWDS = (16, 32, 64)  # agents
FALL = -0.8  # slope of what is O(1 / N), at most, on logarithmic axes
SHORT = 0.3  # of the rise that may be missing at four agents

TEXT = (
    "M(s, nu) is what one agent more in s adds to the value of everybody while the others are at nu; it is enumerated "
    "from games of N - 1 agents beside one who stands in s. Its recursion has a term for what the others get when pay "
    "and kernel feel the agent (externality) and one for what they get by answering it (response). Forms that can be "
    "learnt write what the others get as sums of M where they land: as played, the agent's own continuation is among "
    "others who have felt it, and what it does to both counts twice; counted once, among others who have not. Terminal "
    "critics, linear in the own crowd (1, z, max(z, 0)) or without any, are fits of M as played under sigma."
)
CAPTION = (
    "Left: two nodes, relative error of the gradient without response, as played and counted once; only what lacks the "
    "response does not fade. Right: what terminal critics change in the gradient, after so many steps of a fragment."
)


def run(settings: Settings) -> Experiment:
    """The identity, the recursion, and the bias of what can be learnt, on our instances or on the user's model."""
    if settings.model is not None:
        return _of_model(settings.model, settings)
    cases = [case for name, model in forms.models().items() for case in cases_of(name, model, settings.seed)]
    settings.say("  the recursion, and what the offered forms lose ...")
    lines = [_identity(cases), _recursion(cases), _without_response(cases), *_steady(cases), _lost(cases), _astray()]
    settings.say("  many agents, long fragments, and where the forms lead ...")
    crowds = [forms.crowd(n) for n in CROWDS]
    fading = forms.fragments([case for case in cases if case.pi == IGNORES])
    reached = forms.ends(forms.climbed(), 20 if settings.quick else 60)
    lines += [_fall(crowds), _fades(cases, fading), _ends(reached)]
    tables = {
        "bias": _bias_table(cases),
        "agents": Table(("agents", "as_played", "counted_once", "first_order", "no_response"), crowds),
        "fragments": Table(("steps", *(f"{name}: {form}" for name, form in fading)), _by_steps(fading)),
        "ends": Table(("instance", "form", "return"), [(*key, value) for key, value in reached.items()]),
    }
    return Experiment("marginal", TITLE, TEXT, tuple(lines), tables, ((CAPTION, _picture(crowds, fading)),))


def _of_model(model: LocalModel, settings: Settings) -> Experiment:
    """The same for a user's model, where its agents draw independently and the forms can be solved for."""
    states = model.network.num_states
    unknowns = states * how_many(model.population - 1, states)
    reasons = {
        "no state of this model has a choice": not len(model.team_states),
        "its agents are rationed together by a quota": model.quota is not None,
        "there is one agent": model.population < 2,
        f"{unknowns:,} unknowns are too many ({UNKNOWNS:,} at most)": unknowns > UNKNOWNS,
    }
    for reason in (reason for reason, true in reasons.items() if true):
        return Experiment("marginal", TITLE, f"Marginal values are not asked for here: {reason}.", ())
    cases = cases_of("the model", model, settings.seed)
    lines = (_identity(cases), _recursion(cases), _without_response(cases))
    return Experiment("marginal", TITLE, TEXT, lines, {"bias": _bias_table(cases)})


# -- the identity and the recursion


def _identity(cases: Sequence[Case]) -> Statement:
    error, at = max((case.error(case.worth.exact), f"{case.name}, {case.pi}") for case in cases)
    return judged(
        "(17), seen by one agent",
        "grad J = 1 / ((1 - gamma) N) E_sigma[n_s sum_a grad pi(a | s, n_s) (r + gamma sum_s' P E M(s', mu'_-i))]",
        f"{len(cases)} policies in exact games: largest relative error {error:.1e} ({at})",
        f"{EXACT:.0e} relative",
        error <= EXACT,
    )


def _recursion(cases: Sequence[Case]) -> Statement:
    error, at = max((case.residual, f"{case.name}, {case.pi}") for case in cases)
    shares = [case.share for case in cases if case.pi != IGNORES]
    return judged(
        "recursion of M",
        "M = own pay + externality + response + gamma E M",
        f"largest relative residual {error:.1e} ({at}); where pi reads n the response is {min(shares):.2g} to "
        f"{max(shares):.2g} of what the others feel",
        f"{EXACT:.0e} relative",
        error <= EXACT,
    )


def _without_response(cases: Sequence[Case]) -> Statement:
    flat = [case for case in cases if case.pi == IGNORES]
    error, at = max((case.errors[NO_RESPONSE], case.name) for case in flat)
    return judged(
        "no response, pi ignores the crowd",
        "left out where there is none, the response leaves (17), whatever crowds",
        f"{len(flat)} policies: largest relative error {error:.1e} ({at}); where pi reads n "
        + _range([case.errors[NO_RESPONSE] for case in cases if case.pi != IGNORES]),
        f"{EXACT:.0e} relative",
        error <= EXACT,
    )


# -- where the forms must be right, and where not


def _steady(cases: Sequence[Case]) -> list[Statement]:
    at = {(case.name, case.pi): case for case in cases}
    alone, reads, pays, moves = (at[key].errors for key in FOUR)
    felt = float(np.abs(at[STEADY, READS].worth.externality).max())
    return [
        judged(
            "nothing crowds, pi ignores the crowd",
            "all forms are (17): M is the value of one agent alone",
            f"{', '.join(FORMS)}: largest relative error {max(alone.values()):.1e}",
            f"{EXACT:.0e} relative",
            max(alone.values()) <= EXACT,
        ),
        judged(
            "nothing crowds, pi reads the crowd",
            "no form without response is (17): the others answer one agent more, though nothing else changes for them",
            f"externality at most {felt:.1e}; relative errors: {_listed(reads)}",
            f"above {SEEN:.0e} relative",
            felt <= EXACT and min(reads[form] for form in FORMS if form not in (ANSWERED, WHOLE)) > SEEN,
        ),
        judged(
            "as played, pi ignores the crowd",
            "exact where only pay crowds; where the kernel does, what the agent does to both counts twice",
            f"{PAYS}: {pays[AS_PLAYED]:.1e}; relative errors there: {_listed(pays)}; {MOVES}: {_listed(moves)}",
            f"{EXACT:.0e} and above {SEEN:.0e} relative",
            pays[AS_PLAYED] <= EXACT and moves[AS_PLAYED] > SEEN,
        ),
    ]


def _lost(cases: Sequence[Case]) -> Statement:
    """The forms on smooth policies, and on all."""
    smooth = {form: max(case.errors[form] for case in cases if case.pi == NETWORK) for form in FORMS}
    shown = [f"{case.pi}: {_listed(case.errors)}" for case in cases if case.name == MOVES and case.pi != IGNORES]
    least = min(case.cosine(case.forms[WHOLE]) for case in cases)
    return judged(
        "what the forms lose",
        "counted once and with response M closes on itself and loses next to nothing where pi is smooth",
        f"largest error for networks: {_listed(smooth)}; smallest cosine of {WHOLE}, all policies: {least:.3f}; errors "
        f"where {'; '.join([MOVES, *shown])}",
        f"a tenth of what is lost {AS_PLAYED}",
        smooth[WHOLE] <= smooth[AS_PLAYED] / 10,
    )


def _astray() -> Statement:
    """One instance, whatever the seed."""
    reads, *_ = cases_of("astray", Crowded(StateNetwork.line(3), 4, gamma=0.98), 0)
    growth = {once: reads.worth.offered(once=once).growth for once in (False, True)}
    cosine = {form: reads.cosine(reads.forms[form]) for form in (AS_PLAYED, ONCE, WHOLE)}
    return judged(
        "as played, gone astray",
        "counted twice, the recursion need not converge, and its fixed point can lead downhill",
        f"{MOVES}, gamma = .98: a step multiplies by {growth[False]:.4f}, counted once by {growth[True]:.4f}; cosines "
        f"with (17): {_listed(cosine)}",
        "above 1 and below 1; below 0 and above 0",
        growth[False] > 1 > growth[True] and cosine[AS_PLAYED] < 0 < min(cosine[ONCE], cosine[WHOLE]),
    )


def _bias_table(cases: Sequence[Case]) -> Table:
    rows = [
        (case.name, case.pi, case.share, form, case.errors[form], case.cosine(m))
        for case in cases
        for form, m in case.forms.items()
    ]
    return Table(("instance", "policy", "response_share", "form", "relative_error", "cosine"), rows)


# -- many agents


def _fall(crowds: Sequence[Row]) -> Statement:
    agents, *columns = zip(*crowds, strict=True)
    slopes = [slope(agents, column) for column in columns]
    names = ("as played, pi ignores the crowd", f"{WHOLE}, pi reads it", "first order of the response", "no response")
    told = (f"{n} {c[0]:.1e} to {c[-1]:.1e} (slope {s:.2f})" for n, c, s in zip(names, columns, slopes, strict=True))
    return judged(
        "many agents",
        "what counts twice, and the response less n sum_a (dpi_a / dn) worth_a, fade as 1 / N; the response does not",
        f"N = {agents[0]} to {agents[-1]}: " + "; ".join(told),
        f"slopes at most {FALL}, of the last above {FALL / 2}",
        max(slopes[:-1]) <= FALL and slopes[-1] > FALL / 2,
    )


# -- fragments


def _fades(cases: Sequence[Case], fading: Fading) -> Statement:
    stretched, at = max((case.worth.as_played.growth / case.worth.at.gamma, case.name) for case in cases)
    factor = {case.name: case.worth.as_played.growth for case in cases if case.pi == IGNORES}
    missed = {key: errors for key, errors in fading.items() if errors[0] > EXACT}
    left, where = max(
        (errors[-1] / errors[0] / factor[name] ** STEPS[-1], name) for (name, _), errors in missed.items()
    )
    return judged(
        "terminal critics",
        "what a critic misses at a fragment's end fades at least like q^t, q < 1 the largest eigenvalue of a step; q "
        "may be above gamma",
        f"after {STEPS[-1]} steps at most {left:.2g} q^{STEPS[-1]} of it is left ({where}); q is at most "
        f"{stretched:.3f} gamma ({at})",
        "twice q^t, and q below 1",
        left <= 2 and max(case.worth.as_played.growth for case in cases) < 1,
    )


def _by_steps(fading: Fading) -> list[tuple[float, ...]]:
    return [(step, *(errors[i] for errors in fading.values())) for i, step in enumerate(STEPS)]


# -- where the forms lead


def _ends(reached: Ends) -> Statement:
    games = dict.fromkeys(name for name, _ in reached)
    short = {(name, form): reached[name, TRUTH] - reached[name, form] for name in games for form in CLIMBED}
    rise = {name: reached[name, TRUTH] - reached[name, UNIFORM] for name in games}
    few, many = (max(short[name, form] for form in (AS_PLAYED, LINEAR)) for name in PIGOU)
    told = (
        f"{name} rises by {rise[name]:.3f}, short of it " + _listed({f: short[name, f] for f in CLIMBED})
        for name in games
    )
    return judged(
        "where the forms lead",
        "from the uniform policy, as played and linear miss a part of (17)'s rise that fades with N; without the crowd "
        "one can end below the start",
        "; ".join(told),
        f"{SHORT} of the rise, halved from {PIGOU[0]} to {PIGOU[1]}; a tenth of that {WHOLE}",
        all(short[name, WHOLE] <= SHORT / 10 * rise[name] for name in games)
        and all(short[name, form] <= SHORT * rise[name] for name in games for form in (AS_PLAYED, LINEAR))
        and many <= few / 2
        and all(short[name, CONSTANT] > rise[name] for name in PIGOU),
    )


def _listed(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {round(value, 3) + 0.0:.3f}" for name, value in found.items())


def _range(errors: Sequence[float]) -> str:
    return f"{min(errors):.2g} to {max(errors):.2g}"


def _picture(crowds: Sequence[Row], fading: Fading) -> Any:
    figure, (left, right) = pictures.panels(2, height=3.6)
    agents, played, whole, _, mute = zip(*crowds, strict=True)
    left.plot(agents, mute, "o-", color=pictures.PRINTED, label="no response, pi reads n")
    left.plot(agents, played, "o-", color=pictures.OTHER, label="as played, pi ignores n")
    left.plot(agents, whole, "o-", color=pictures.MEASURED, label="counted once with response, pi reads n")
    left.set_xscale("log", base=2)
    left.set_xlabel("agents N")
    left.set_ylabel("relative error")
    for (_, form), errors in fading.items():
        shown = np.where(np.array(errors) > EXACT, errors, np.nan)
        right.plot(STEPS, shown, color=pictures.MEASURED if form == LINEAR else pictures.OTHER, lw=1.5)
    right.set_xlabel("steps pulled back")
    right.set_title("linear (colour) and constant (grey)", size=10.5, pad=8)
    for axis in (left, right):
        axis.set_yscale("log")
    pictures.legend(figure, left, 3)
    return figure
