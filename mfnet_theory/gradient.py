"""Experiment (iii): the policy gradient (17) and what localising it costs (18); for (23) see ``estimate.py``.

Truth comes from finite differences of the exact J, from log Pi written down from (5), (14) and its tilted form, and
from sums over all pairs (mu, h); none of it is the trainer's code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfnet_agents.nets import DTYPE, TwoLayer
from mfnet_agents.policies.energy import CompositionPolicy, EnergyPolicy
from mfnet_agents.policies.individual import IndividualPolicy, LearnedPolicy
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.compositions import compositions
from mfnet_envs.exact import Evaluation, ExactGame, IndividualTable
from mfnet_envs.model import LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy
from mfnet_theory import decay, pictures, radii
from mfnet_theory.estimate import EXACT, KINDS, TAU, estimates
from mfnet_theory.instances import Crowded, some_policy
from mfnet_theory.statement import Experiment, Settings, Statement, Table, judged

TITLE = "The policy gradient, localised"
SLOPE = 1e-6  # relative, of a central difference
STEP = 1e-5  # of the central differences


@dataclass(frozen=True)
class Case:
    """A policy in an exact game, and its parameters as one array that can be moved.

    Attributes:
        moved: the policy with other parameters.
        parameters: weights ``(T, d, M)`` or logits ``(S, N + 1, A)``.
        score_size: the largest ||grad log Pi_s||.
    """

    name: str
    game: ExactGame
    parameters: Floats
    moved: Callable[[Floats], Policy]
    score_size: float

    @cached_property
    def at(self) -> Evaluation:
        return self.game.under(self.moved(self.parameters))

    def biases(self, hops: int) -> Floats:
        """||g_s - grad_s J|| of (18) with the best local Q at kappa = k, for each s: ``(T,)`` or ``(S,)``."""
        difference = self.at.local_policy_gradient(hops) - self.at.policy_gradient
        sizes: Floats = np.linalg.norm(difference.reshape(len(difference), -1), axis=1)
        return sizes

    def bias_bound(self, hops: int) -> float:
        """|S| sup||grad log Pi_s|| times the bound on Q_y's spread, over 1 - gamma (reading 7)."""
        nodes = self.game.model.network.num_nodes
        gap = decay.bound(self.game.model, self.game.gamma, hops)
        return nodes * self.score_size * gap / (1 - self.game.gamma)


def run(settings: Settings) -> Experiment:
    """(16), (17), (18), (23) and the two radii on our instances; (17) and (18) on the user's model."""
    if settings.model is not None:
        return _of_model(settings.model, settings)
    game = ExactGame(Crowded(StateNetwork.line(5), 3, seed=settings.seed))
    cases = [learned_case(game, kind, settings.seed) for kind in KINDS]
    settings.say("  gradients against finite differences, scores against log Pi ...")
    slopes = [
        (case.name, *row) for case in (*cases, table_case(game, settings.seed)) for row in _slopes(case, settings)
    ]
    lines = [_finite_differences(slopes), *_scores([case.at.policy for case in cases])]
    lines += [_whole_graph(cases), _biases(cases)]
    settings.say("  the trainer's estimate (23), in expectation and sampled ...")
    lines += estimates(settings)
    more, tables, figures, text = radii.experiment(settings)
    tables = {"slopes": _slope_table(slopes), "bias": _bias_table(cases), **tables}
    paragraphs = (_text(game.model), text)
    drawn = ((CAPTION, _picture(cases)), *figures)
    return Experiment("gradient", TITLE, "\n\n".join(paragraphs), (*lines, *more), tables, drawn)


def _of_model(model: LocalModel, settings: Settings) -> Experiment:
    """(17) and (18) for an individual table and a network on a model of any kind."""
    game = ExactGame(model)
    if not len(model.team_states):
        return Experiment("gradient", TITLE, "No state of this model has a choice: there is nothing to derive.", ())
    cases = [table_case(game, settings.seed), learned_case(game, "individual", settings.seed)]
    slopes = [(case.name, *row) for case in cases for row in _slopes(case, settings)]
    lines = (_finite_differences(slopes), _whole_graph(cases), _biases(cases))
    tables = {"slopes": _slope_table(slopes), "bias": _bias_table(cases)}
    return Experiment("gradient", TITLE, _text(model), lines, tables, ((CAPTION, _picture(cases)),))


# -- policies


def learned(model: LocalModel, kind: str, seed: int, *, width: int = 6) -> LearnedPolicy:
    """A policy of one of the three ``KINDS``, at weights that make it far from uniform."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    net = TwoLayer.create(rng, len(model.team_states), 1 + model.num_actions, width, symmetric=False)
    policy: LearnedPolicy = (
        IndividualPolicy(model, net, "share", TAU)
        if kind == "individual"
        else EnergyPolicy(model, net, "share", TAU, tilted=kind == "tilted", per_agent=False)
    )
    policy.update(2 * net.start)
    return policy


def learned_case(game: ExactGame, kind: str, seed: int) -> Case:
    """grad log Pi_s is tau Phi with ||Phi|| <= 2 sup||zeta||, or the same for each of n agents; ||zeta||^2 <= 2."""
    policy = learned(game.model, kind, seed)

    def moved(theta: Floats) -> Policy:
        there = learned(game.model, kind, seed)
        there.update(torch.as_tensor(theta))
        return there

    agents = 1 if kind == "energy" else game.model.population
    return Case(kind, game, policy.theta.numpy(), moved, 2 * TAU * agents * math.sqrt(2))


def table_case(game: ExactGame, seed: int) -> Case:
    """Logits of an individual table: grad log Pi_s is n_a - n pi_a, of size at most sqrt(2) n."""
    pi = some_policy(game.model, seed)
    logits = np.log(np.maximum(pi, 1e-12))

    def moved(there: Floats) -> Policy:
        return IndividualTable(game.model, radii.softmax(game.model, there))

    return Case("table", game, logits, moved, math.sqrt(2) * game.model.population)


# -- (17) and finite differences

Slope = tuple[float, float]


def _slopes(case: Case, settings: Settings) -> list[Slope]:
    """grad J . d and (J(theta + eps d) - J(theta - eps d)) / 2 eps along random directions d."""
    rng = np.random.default_rng([settings.seed, 5])
    return [slope(case, rng.normal(size=case.parameters.shape)) for _ in range(3 if settings.quick else 10)]


def slope(case: Case, direction: Floats) -> Slope:
    """(17) along a direction, and the central difference of the exact J."""
    ends = [case.game.objective(case.moved(case.parameters + sign * STEP * direction)) for sign in (1, -1)]
    return float(np.vdot(case.at.policy_gradient, direction)), (ends[0] - ends[1]) / (2 * STEP)


def _finite_differences(slopes: Sequence[tuple[str, float, float]]) -> Statement:
    error, at = max((abs(exact - slope) / abs(slope), name) for name, exact, slope in slopes)
    names = ", ".join(dict.fromkeys(name for name, _, _ in slopes))
    return judged(
        "(17)",
        "grad J = 1 / (1 - gamma) E_sigma [Q grad log Pi] is the slope of J (11)",
        f"{len(slopes)} directions ({names}): largest relative error {error:.1e} ({at})",
        f"{SLOPE:.0e} relative, central differences",
        error <= SLOPE,
    )


# -- (16) and log Pi written down


def log_law(policy: LearnedPolicy, place: int, n: int, theta: Tensor) -> Tensor:
    """log Pi_s of the compositions of ``n``, ``(K,)``, from (5), (14) or the tilted form with f from (13)."""
    rows = torch.as_tensor(compositions(n, policy.model.num_actions), dtype=DTYPE)
    legal, multinomial = policy.legal[place], math.lgamma(n + 1) - torch.lgamma(rows + 1).sum(1)
    if isinstance(policy, IndividualPolicy):
        f = _network(policy, place, theta, n, torch.eye(len(legal), dtype=DTYPE))
        log_pi = torch.log_softmax(torch.where(legal, policy.temperature * f, -torch.inf), 0)
        chosen: Tensor = torch.where(rows > 0, rows * log_pi, 0.0).sum(1) + multinomial
        return chosen
    assert isinstance(policy, CompositionPolicy)
    f = _network(policy, place, theta, n, rows / n)
    energy = _heat(policy, n) * f + (multinomial if policy.tilted else 0.0)
    possible = ~((rows > 0) & ~legal).any(1)
    return torch.log_softmax(torch.where(possible, energy, -torch.inf), 0)


def score(policy: LearnedPolicy, place: int, n: int) -> Floats:
    """heat (phi(mu, h) - E phi(mu, h')) of every composition, (16) with the features (15): ``(K, d, M)``.

    For agents that draw alone it is the sum of their scores, sum_a n_a tau (phi_a - E phi).
    """
    rows = compositions(n, policy.model.num_actions)
    law = np.exp(log_law(policy, place, n, policy.theta).numpy())
    if isinstance(policy, IndividualPolicy):
        phi = _features(policy, place, n, np.eye(rows.shape[1]))
        pi = law @ rows / n
        alone = policy.temperature * (phi - np.tensordot(pi, phi, 1))
        return np.asarray(np.tensordot(rows, alone, 1))
    assert isinstance(policy, CompositionPolicy)
    phi = _features(policy, place, n, rows / n)
    return np.asarray(_heat(policy, n) * (phi - np.tensordot(law, phi, 1)))


def _heat(policy: CompositionPolicy, n: int) -> float:
    return policy.temperature * (n if policy.per_agent else 1)


def _zeta(policy: LearnedPolicy, n: int, h: Floats) -> Floats:
    return np.column_stack([np.full(len(h), n / policy.model.population), h])


def _network(policy: LearnedPolicy, place: int, theta: Tensor, n: int, h: Tensor) -> Tensor:
    """(13): M^{-1/2} sum_m b_m relu(W_m . (mu, h)), ``(K,)``."""
    signs = policy.net.signs[place]
    f: Tensor = torch.relu(torch.as_tensor(_zeta(policy, n, h.numpy())) @ theta[place]) @ signs / math.sqrt(len(signs))
    return f


def _features(policy: LearnedPolicy, place: int, n: int, h: Floats) -> Floats:
    """(15): M^{-1/2} b_m 1{W_m . x > 0} x, ``(K, d, M)``."""
    x, w, signs = _zeta(policy, n, h), policy.theta[place].numpy(), policy.net.signs[place].numpy()
    phi: Floats = x[:, :, None] * (x @ w > 0)[:, None] * signs / math.sqrt(len(signs))
    return phi


def _scores(policies: Sequence[Any]) -> list[Statement]:
    """The trainer's score against autograd of log Pi and against tau Phi, and its mean, for every s, n and h."""
    found: Floats = np.zeros(4)
    checked = 0
    for policy in policies:
        for place in range(len(policy.theta)):
            for n in range(1, policy.model.population + 1):
                errors, rows = score_errors(policy, place, n)
                found, checked = np.maximum(found, errors), checked + rows
    by_law, by_autograd, by_features, mean = map(float, found)
    every = f"all {checked} compositions of all sizes in all states, three classes"
    return [
        judged(
            "(16), score",
            "grad log Pi_s = tau Phi_s = tau (phi_s - E phi_s), and sum_a n_a grad log pi_a for (5)",
            f"{every}: score - autograd(log Pi) at most {by_autograd:.1e}, score - tau Phi at most {by_features:.1e}",
            f"{EXACT:.0e}",
            max(by_autograd, by_features) <= EXACT,
        ),
        judged(
            "(14), law and E[score]",
            "Pi_s is normalised over the compositions of n (reading 5), so its score has mean 0",
            f"probabilities differ by at most {by_law:.1e}; mean score at most {mean:.1e}",
            f"{EXACT:.0e}",
            max(by_law, mean) <= EXACT,
            corrected=True,
        ),
    ]


def score_errors(policy: LearnedPolicy, place: int, n: int) -> tuple[Floats, int]:
    """Largest errors of law, score by autograd, score by features, and the mean score; and over how many h."""
    theta = policy.theta.clone().requires_grad_(True)
    log_pi = log_law(policy, place, n, theta)
    by_features = score(policy, place, n)
    law = policy.team_law(place, n)
    errors, mean, checked = np.zeros(4), np.zeros(by_features.shape[1:]), 0
    errors[0] = np.abs(log_pi.detach().exp().numpy() - law).max()
    for row in np.flatnonzero(law > 0):
        (slope_,) = torch.autograd.grad(log_pi[row], theta, retain_graph=True)
        own = _own_score(policy, place, compositions(n, policy.model.num_actions)[row])
        errors[1] = max(errors[1], float((slope_[place] - own).abs().max()))
        errors[2] = max(errors[2], float(np.abs(by_features[row] - own.numpy()).max()))
        mean += law[row] * own.numpy()
        checked += 1
    errors[3] = np.abs(mean).max()
    return errors, checked


def _own_score(policy: LearnedPolicy, place: int, row: Ints) -> Tensor:
    """What learners are given as grad log Pi_s of one composition: ``(d, M)``."""
    actions = np.zeros((1, len(policy.theta), len(row)), np.int64)
    actions[0, place] = row
    weight = np.zeros(actions.shape[:2])
    weight[0, place] = 1
    return policy.weighted_score(actions.sum(2), actions, weight)[place]


# -- (18)


def _whole_graph(cases: Sequence[Case]) -> Statement:
    worst = max(float(case.biases(case.game.model.network.diameter).max()) for case in cases)
    k = cases[0].game.model.network.diameter
    return judged(
        "(18) at k = diameter",
        "a ball that is the whole graph loses nothing",
        f"k = {k}: largest ||g_s - grad_s J|| = {worst:.1e}",
        f"{EXACT:.0e}",
        worst <= EXACT,
    )


def _biases(cases: Sequence[Case]) -> Statement:
    radii_ = range(cases[0].game.model.network.diameter + 1)
    shares = {case.name: [float(case.biases(k).max()) / case.bias_bound(k) for k in radii_] for case in cases}
    shown = cases[1] if len(cases) > 1 else cases[0]
    sizes = ", ".join(f"{shown.biases(k).max():.2g}" for k in radii_)
    return judged(
        "(18), bias, reading 7",
        "||g_s - grad_s J|| <= |S| sup||grad log Pi_s|| osc gamma^floor((k + 1) / 2) / (1 - gamma)^2, where sup||grad "
        "log Pi_s|| is 2 tau sup||zeta|| for (14), N times that for agents who draw alone or are tilted",
        f"k = 0..{radii_[-1]}: {sizes} ({shown.name}); at most {max(map(max, shares.values())):.2g} of the bound",
        f"{EXACT:.0e}",
        all(share <= 1 + EXACT for row in shares.values() for share in row),
        corrected=True,
    )


# -- page

CAPTION = (
    "Bias of the gradient (18) with the best local Q at kappa = k: the largest ||g_s - grad_s J|| over the states "
    "against the bound of reading 7. At k = diameter it is zero up to rounding, and not shown."
)


def _text(model: LocalModel) -> str:
    network = model.network
    return (
        f"The gradient: {network.num_nodes} nodes of diameter {network.diameter}, {model.population} agents, gamma = "
        f"{model.gamma:g}. Values, visitation and laws are enumerated; the best local Q_y is the mean of the exact one "
        "given what y sees of (mu, h) within k hops."
    )


def _slope_table(slopes: Sequence[tuple[str, float, float]]) -> Table:
    return Table(("policy", "gradient_along_direction", "central_difference"), slopes)


def _bias_table(cases: Sequence[Case]) -> Table:
    rows = [
        (case.name, k, place, float(bias), case.bias_bound(k))
        for case in cases
        for k in range(case.game.model.network.diameter + 1)
        for place, bias in enumerate(case.biases(k))
    ]
    return Table(("policy", "k", "state", "bias", "bound"), rows)


def _picture(cases: Sequence[Case]) -> Any:
    figure, axes = pictures.panels(len(cases), height=3.6, share_y=True)
    for axis, case in zip(axes, cases, strict=True):
        k = np.arange(case.game.model.network.diameter + 1)
        found = np.array([case.biases(int(radius)).max() for radius in k])
        shown = np.where(found > EXACT, found, np.nan)
        axis.plot(k, shown, "o-", color=pictures.MEASURED, lw=2, ms=5, label="computed, largest state")
        bounds = [case.bias_bound(int(radius)) for radius in k]
        axis.plot(k, bounds, "--", color=pictures.CLAIMED, lw=1.5, label="bound")
        size = float(np.linalg.norm(case.at.policy_gradient))
        axis.axhline(size, color=pictures.OTHER, lw=1.2, ls=":", label="size of the full gradient")
        axis.set_yscale("log")
        axis.set_xticks(k)
        axis.set_xlabel("k = kappa, hops")
        axis.set_title(case.name, size=10.5, pad=8)
    axes[0].set_ylabel("norm of the gradient's bias")
    pictures.legend(figure, axes[0])
    return figure
