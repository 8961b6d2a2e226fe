"""The counted law: what a node learns from its agents' own steps, against the functions that drew those steps."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_agents.config import ConfigError
from mfnet_agents.dec_neural_ac import costate
from mfnet_agents.dec_neural_ac.costates import Costates, Fragment, Pullback
from mfnet_agents.dec_neural_ac.counted import CountedLaw, at_steps, stacked
from mfnet_agents.dec_neural_ac.curves import Curves, Features
from mfnet_agents.dec_neural_ac.own_law import OwnLaw
from mfnet_envs import Simulator
from mfnet_envs.model import Branch, LocalModel, Quota
from mfnet_envs.simulator import Trace
from tests import toys

# -- what a traced step tells


@pytest.mark.parametrize("name", list(toys.every_form()))
def test_a_traced_step_is_the_same_step(name):
    model = toys.every_form()[name]
    plain, traced = Simulator(model), Simulator(model, traced=True)
    pi = np.random.default_rng(0).dirichlet(np.ones(model.num_actions), len(model.legal)) * model.legal + 1e-9
    counts, rngs = plain.reset(np.random.default_rng(1), 4), [np.random.default_rng(2) for _ in range(2)]
    for _ in range(5):
        bare, told = (s.play(counts, pi, rng) for s, rng in zip((plain, traced), rngs, strict=True))
        for seen, wanted in zip(told[:-1], bare[:-1], strict=True):
            np.testing.assert_array_equal(seen, wanted)
        assert bare.trace is None
        assert told.trace is not None
        check_trace(model, counts, told)
        counts = bare.next_counts


def check_trace(model: LocalModel, counts: np.ndarray, step: mfnet_envs.simulator.Transition) -> None:
    """All agents are told of, once, and are where the trace says."""
    trace, active = step.trace, model.active
    np.testing.assert_array_equal(trace.went.sum((2, 3)), counts[:, active])
    if trace.paid is not None:
        paid = np.zeros(counts.shape)
        paid[:, active] = trace.paid.sum(2) / model.population
        np.testing.assert_allclose(paid, step.team_rewards, atol=1e-12)
        np.testing.assert_array_equal(trace.acted, step.actions)
    else:
        np.testing.assert_allclose(trace.wages, trace.takers * model.branch_rewards())
        np.testing.assert_array_equal(trace.takers.sum(2), step.actions.sum(0))
    arrived = np.zeros(counts.shape[1])
    moving = np.flatnonzero(model.transit)
    onward = model.branches[-1].successors[moving, model.first_legal[moving] % model.branches[-1].successors.shape[1]]
    likely = model.branches[-1].probabilities[moving, 0].argmax(1)
    np.add.at(arrived, onward[np.arange(len(moving)), likely], counts[:, moving].sum(0))
    surely = True
    for k, (branch, moves) in enumerate(zip(model.branches, trace.moves, strict=True)):
        to = branch.successors[active]
        if moves is None:
            assert to.shape[2] == 1
            column = trace.went[..., k].sum(0)
            surely &= column.shape[1] == to.shape[1] or to.shape[1] == 1
            if surely:
                np.add.at(arrived, to[..., 0], column.sum(1, keepdims=True) if to.shape[1] == 1 else column)
        else:
            assert not (moves[branch.probabilities[active] == 0]).any()
            np.testing.assert_array_equal(moves.sum((1, 2)), trace.went[..., k].sum((0, 2)))
            np.add.at(arrived, to, moves)
    if surely:
        np.testing.assert_array_equal(arrived, step.next_counts.sum(0))


# -- curves


def shown(curves: Curves, features: Features, counts: np.ndarray) -> np.ndarray:
    return curves.at(features.at(counts, counts)[None])[:, 0, 0]


def test_curves_meet_served_shares_and_what_one_agent_more_changes():
    rng, rate, features = np.random.default_rng(0), 9.0, Features(60, 1)
    curves = Curves(features, 1, 1, 2, 0.5)
    n = rng.poisson(10, 20_000)
    served = np.minimum(n, rng.poisson(rate, 20_000))
    curves.add(
        features.at(n, n)[None], n[:, None, None].astype(float), np.stack([served, n - served], 1)[:, None, None] * 1.0
    )
    curves.solve()
    at = np.arange(3, 18)
    phi = lambda c: np.array([stats.poisson.expect(lambda d, x=x: np.minimum(x, d), (rate,)) for x in c])  # noqa: E731
    found = shown(curves, features, at)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-3)
    np.testing.assert_allclose(found[:, 0], phi(at) / at, atol=0.015)
    slope = np.diff(at * found[:, 0])
    np.testing.assert_allclose(slope, np.diff(phi(at)), atol=0.1)
    assert np.abs(slope - np.diff(phi(at)))[3:-3].max() < 0.04


def test_pay_is_met_nearly_exactly_and_so_is_a_kink():
    features, n = Features(100, 1), np.arange(1, 61).repeat(20)
    for truth, error in ((lambda c: np.exp(-c / 8), 0.006), (lambda c: np.minimum(1, 25 / c), 0.025)):
        curves = Curves(features, 1, 1, 1, 0.0)
        curves.add(features.at(n, n)[None], np.ones((len(n), 1, 1)), truth(n)[:, None, None, None])
        curves.solve()
        at = np.arange(1, 60)
        np.testing.assert_allclose(shown(curves, features, at)[:, 0], truth(at), atol=error)


def test_a_crowd_that_never_varied_changes_nothing():
    features = Features(50, 1)
    curves, n = Curves(features, 1, 1, 2, 0.5), np.full(500, 12)
    served = np.random.default_rng(0).binomial(n, 0.3)
    totals = np.stack([served, n - served], 1)[:, None, None].astype(float)
    curves.add(features.at(n, n)[None], n[:, None, None].astype(float), totals)
    curves.solve()
    share = shown(curves, features, np.array([11, 12, 13]))[:, 0]
    np.testing.assert_allclose(share, served.sum() / n.sum(), atol=2e-3)


# -- the law of a model


def played(model: LocalModel, fragments: int, seed: int = 0) -> list[tuple[Fragment, Trace]]:
    """Fragments of 32 steps of 4 worlds by policies that differ from one to the next."""
    simulator, rng, found = Simulator(model, traced=True), np.random.default_rng(seed), []
    for _ in range(fragments):
        pi = rng.dirichlet(np.ones(model.num_actions), len(model.legal)) * model.legal + 1e-9 * model.legal
        counts, steps, crowds = simulator.reset(rng, 4), [], []
        for _ in range(32):
            crowds.append(simulator.crowd(counts))
            steps.append((counts, simulator.play(counts, pi / pi.sum(1, keepdims=True), rng)))
            counts = steps[-1][1].next_counts
        served, unserved = (np.stack([getattr(s, n) for _, s in steps]) * 1.0 for n in ("served", "unserved"))
        sizes = np.stack([c[:, model.team_states] for c, _ in steps])
        fragment = Fragment(np.stack(crowds), simulator.crowd(counts), served, unserved, sizes, 0)
        found.append((fragment, stacked([s.trace for _, s in steps])))
    return found


def of(model: LocalModel) -> CountedLaw:
    return CountedLaw(model, Simulator(model, traced=True).branch_columns)


def off(model: LocalModel, law: CountedLaw, fragment: Fragment) -> dict[str, tuple[float, float]]:
    """Root mean squares, over agents, of the error of shares and of what one more changes; and of the latter itself.

    What one more of a group would change is asked where there are any.
    """
    known, counted = OwnLaw(model).around(fragment.crowd), law.around(fragment.crowd)
    agents, legal = fragment.served + fragment.unserved.sum(3), model.legal[model.active]

    def rms(x: np.ndarray, there: np.ndarray | float = 1.0) -> float:
        weight = (agents * there)[..., None, None] * (legal[..., None] if x.shape[3] > 1 else 1.0)
        return float(np.sqrt((weight * x**2).sum() / (weight * np.ones_like(x)).sum()))

    found = {"share": (rms(counted.base.weights - known.base.weights), rms(known.base.weights))}
    for right, wrong in zip(known.shifts, counted.shifts, strict=True):
        truth = right.more.weights - known.base.weights
        error = wrong.more.weights - counted.base.weights - truth
        there = fragment.crowd[:, :, law.node, right.group] > 0
        found[f"more {right.group}"] = rms(error, there), rms(truth, there)
    if known.base.pay is not None:
        pay = counted.base.pay - known.base.pay
        found["pay"] = rms(pay[..., None]), rms(known.base.pay[..., None])
    return found


CITIES = {
    "MFNet-Grid-v0": ({"population": 60}, 0.02),
    "MFNet-Pigou-v0": ({}, 0.005),
    "MFNet-SIS-v0": ({"population": 120}, 0.02),
    "MFNet-TwoByTwo-v0": ({}, 0.02),
}


@pytest.mark.parametrize("scenario", CITIES)
def test_a_counted_law_is_close_to_the_one_that_drew_it(scenario):
    options, tolerance = CITIES[scenario]
    model = mfnet_envs.make_model(scenario, **options)
    law = of(model)
    *learnt, (fresh, _) = played(model, 31)
    for fragment, trace in learnt:  # 4,000 steps
        law.observe(fragment.crowd, trace)
    wrong = off(model, law, fresh)
    most = max(size for name, (_, size) in wrong.items() if name.startswith("more"))
    for name, (error, size) in wrong.items():
        if name == "share":
            assert error < tolerance, wrong
        elif name == "pay":
            assert error < 0.02 * size, wrong
        else:
            assert error < 0.3 * most, wrong


def test_landings_become_frequencies_and_branches_pay_what_was_paid():
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=200)
    law, fragments = of(model), played(model, 3)
    assert all(((odds > 0) == (b.probabilities > 0)).all() for odds, b in zip(law.odds, model.branches, strict=True))
    for fragment, trace in fragments:
        law.observe(fragment.crowd, trace)
    truth = model.branches[0].probabilities
    seen = sum(trace.moves[0].sum(0) for _, trace in fragments)
    assert toys.fits(seen[12, 0].astype(int), truth[12, 0])
    np.testing.assert_allclose(law.odds[0], truth, atol=0.1)
    assert (law.takers > 0)[model.legal].mean() > 0.95
    np.testing.assert_allclose(law.rewards[law.takers > 0], model.branch_rewards()[law.takers > 0])


# -- no call of the model


def muted(model: LocalModel) -> LocalModel:
    """The graph of a model, with no number of it: what it answers raises, and its tables say something else."""
    mute = copy.copy(model)

    def answer(*_: object) -> None:
        raise AssertionError("the model was asked")

    mute.reward = mute.branch_weights = mute.branch_rewards = mute.reward_from = answer
    same = [(b.probabilities > 0) / (b.probabilities > 0).sum(2, keepdims=True) for b in model.branches]
    mute.branches = tuple(Branch(b.successors, odds) for b, odds in zip(model.branches, same, strict=True))
    if model.quota is not None:
        mute.quota = Quota(model.quota.branch, np.full_like(model.quota.rate, 77.0))
    return mute


@pytest.mark.parametrize("scenario", ["MFNet-Grid-v0", "MFNet-TwoByTwo-v0", "MFNet-Packet-v0"])
def test_costates_need_no_number_of_the_model(scenario):
    model = mfnet_envs.make_model(scenario, population=40)
    fragments = played(model, 2)
    found = [pulled(Pullback(m, 0.9, Simulator(model, traced=True)), fragments) for m in (model, muted(model))]
    for name in Costates._fields:
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))
    assert np.abs(found[0].values).max() > 0


def pulled(pullback: Pullback, fragments: list[tuple[Fragment, Trace]]) -> Costates:
    """Costates of the last fragment, under the even policy."""
    legal = pullback.model.legal[pullback.active]
    even = legal / legal.sum(1, keepdims=True)
    for fragment, trace in fragments:
        pullback.observe(fragment, trace)
        found = pullback(fragment, lambda sizes, _: np.broadcast_to(even, (*sizes.shape[:2], *even.shape)))
        pullback.learn(pullback.moments(fragment, found))
    return found


def test_training_asks_nothing_but_the_simulator(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("the law was looked up")

    monkeypatch.setattr(OwnLaw, "__init__", refuse)
    monkeypatch.setattr(OwnLaw, "_at", refuse)
    algo = counted("MFNet-Grid-v0", {"population": 30})
    algo.train()
    assert np.isfinite(algo.trained.pullback.error)


# -- the learner


def counted(scenario="MFNet-Grid-v0", options=None, steps=10_000, law="counted"):
    config = DecNeuralACConfig().environment(scenario, env_config=options or {"population": 30}).debugging(seed=0)
    return config.training(law=law, total_env_steps=steps).build_algo()


def test_the_gradient_is_close_to_that_of_the_known_law():
    algo = counted("MFNet-Grid-v0", {"population": 60}, steps=10**6)
    for _ in range(10):  # too short a part of the budget for the policy to move
        algo.train()
    model, learner, first = algo.model, algo.trained, algo.sampler.clock
    sample, _ = algo.sampler.rollout(algo.learned, 256)
    fragment = costate.fragment_of(sample, first)
    known = Pullback(model, algo.gamma)
    known.critic = copy.deepcopy(learner.pullback.critic)
    shares = learner.chosen(algo.learned, fragment)
    both = []
    for pullback in (learner.pullback, known):
        ahead = pullback.advantages(fragment, pullback(fragment, shares), learner.rows)
        both.append(learner.gradient(algo.learned, fragment, ahead, learner.scale_of(ahead.summed)))
    close = torch.nn.functional.cosine_similarity(*(g.reshape(1, -1) for g in both))
    assert close > 0.98
    assert torch.linalg.vector_norm(both[0] - both[1]) < 0.2 * torch.linalg.vector_norm(both[1])


def test_the_policy_waits_until_something_was_counted():
    algo = counted(steps=20_000)  # 666 steps, three fragments of 256
    start, moved = algo.learned.theta.clone(), []
    for _ in range(4):
        algo.train()
        moved.append(not torch.equal(start, algo.learned.theta))
    assert moved == [False, False, True, True]
    eager = counted(steps=20_000, law="known")
    eager.train()
    assert not torch.equal(start, eager.learned.theta)


@pytest.mark.parametrize("scenario", ["MFNet-Grid-v0", "MFNet-SIS-v0"])
def test_a_checkpoint_goes_on_as_if_nothing_had_happened(scenario, tmp_path):
    algo = counted(scenario, steps=1_000)
    for _ in range(2):
        algo.train()
    again = type(algo).from_checkpoint(algo.save_to_path(tmp_path / "there"))
    for one in (algo, again):
        one.train()
    assert torch.equal(algo.learned.theta, again.learned.theta)
    state = algo.trained.state()
    assert state.keys() == again.trained.state().keys()
    assert all(torch.equal(value, again.trained.state()[name]) for name, value in state.items())


def test_every_hour_counts_for_itself():
    trace = Trace(np.arange(3), None, None, None, None, (None, np.arange(3) * 2))
    some = at_steps(trace, np.array([0, 2]))
    assert some.went.tolist() == [0, 2]
    assert some.acted is None
    assert some.moves[0] is None
    assert some.moves[1].tolist() == [0, 4]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"law": "guessed"}, "law must be 'known' or 'counted', not 'guessed'"),
        ({"law": "counted", "critic_form": "v"}, "law='counted' needs critic_form='costate'"),
        ({"law": "counted", "mode": "paper"}, "law='counted' needs critic_form='costate'"),
        ({"law": "counted", "lambda_": 0.5}, "law='counted' needs critic_form='costate'"),
    ],
)
def test_refusals(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        DecNeuralACConfig().environment("MFNet-Grid-v0").training(**options).validate()


def test_a_law_that_looks_at_neighbours_cannot_be_counted():
    config = DecNeuralACConfig().environment("MFNet-Packet-v0", env_config={"blocking": 12.0}).training(law="counted")
    with pytest.raises(ConfigError, match="looks at its neighbours' too; set law='known'"):
        config.build_algo()
