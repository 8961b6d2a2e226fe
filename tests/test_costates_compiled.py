"""What trains in machine code says what numpy and torch say, to the last digits but two or three."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import toys

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.costate import Costate, fragment_of
from mfnet_agents.dec_neural_ac.costates import Costates, Fragment, Pullback
from mfnet_agents.dec_neural_ac.counted import stacked
from mfnet_agents.dec_neural_ac.sampling import Sampler
from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies.individual import Answers, IndividualPolicy, Seen
from mfnet_agents.policies.observing import ObservingPolicy
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import TablePolicy
from mfnet_envs.simulator import Simulator

pytest.importorskip("numba", reason="the compiled backend is an extra: pip install 'mfnet[fast]'")

from mfnet_agents.dec_neural_ac.costates_compiled import CompiledPullback

pytestmark = pytest.mark.xdist_group("compiled")  # as in test_compiled.py

SCENARIOS: dict[str, tuple[str, dict[str, Any]]] = {
    "grid": ("Grid", {"population": 60}),
    "grid, independent": ("Grid", {"matching": "independent", "population": 60}),
    "trips": ("RideShareNYC", {}),
    "trips, markov": ("RideShareNYC", {"occupied": "markov", "matching": "independent"}),
    "a day": ("RideShareNYC", {"hour": "day"}),
    "couriers": ("Courier", {"population": 20, "rows": 3, "cols": 3}),
    "links": ("Routing", {"population": 60}),
    "packets": ("Packet", {"population": 60}),
    "blocked links": ("Packet", {"population": 60, "blocking": 3.0, "vehicles": 20.0}),
    "a queue": ("Packet", {"population": 60, "law": "point_queue"}),
    "braess": ("Braess", {"population": 30}),
    "an infection": ("SIS", {"population": 60}),
    "sharing": ("Resource", {}),
    "aloha": ("Resource", {"mode": "aloha"}),
    "two by two": ("TwoByTwo", {}),
}


def made(name: str) -> LocalModel:
    if name in SCENARIOS:
        env, options = SCENARIOS[name]
        return mfnet_envs.make_model(f"MFNet-{env}-v0", **options)
    return toys.every_form(5)[name]


def played(model: LocalModel, steps: int, counted: bool = False) -> tuple[Fragment, Any, Callable[..., np.ndarray]]:
    """A fragment, what was seen in it, and a policy that reads sizes and never takes some actions."""
    rng, legal = np.random.default_rng(1), model.legal[model.team_states]
    odds = (
        rng.random((model.population + 2, *legal.shape))
        * legal
        * (rng.random((model.population + 2, *legal.shape)) > 0.3)
    )
    odds += legal * (odds.sum(2, keepdims=True) == 0)
    odds /= odds.sum(2, keepdims=True)
    rows, teams = np.searchsorted(model.active, model.team_states), np.arange(len(legal))
    alone = model.legal[model.active] / model.legal[model.active].sum(1, keepdims=True)

    def pi(sizes: np.ndarray, piece: slice) -> np.ndarray:
        full = np.broadcast_to(alone, (*sizes.shape[:2], *alone.shape)).copy()
        full[:, :, rows] = odds[sizes, teams]
        return full

    simulator = Simulator(model, traced=counted)
    sampler = Sampler(
        simulator, "stationary", model.gamma, 3, np.random.default_rng(0), {"sizes", "served", "unserved"}
    )
    sample, _ = sampler.rollout(TablePolicy(model, odds[3]), steps)
    return fragment_of(sample, 0), sample.traces, pi


def assert_same(one: Any, other: Any) -> None:
    for x, y in zip(one, other, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(y, x, rtol=1e-12, atol=1e-12 * max(1e-300, np.abs(x).max(initial=0.0)))


def both(
    model: LocalModel, steps: int, seen_in: Simulator | None = None, hears: bool = False
) -> tuple[Costates, Costates]:
    """Twice, so that the terminal critic has learnt something; and what actions are ahead of each other."""
    fragment, traces, pi = played(model, steps, seen_in is not None)
    near = model.network.hops(1)[0][model.network.node_of[model.team_states]]
    groups, slopes = np.arange(model.num_groups), np.random.default_rng(5).normal(size=steps * 3)

    def hear(piece: slice) -> Answers | None:
        some = slopes[3 * piece.start : 3 * piece.stop, None, None, None, None]
        shape = len(some), len(near), model.num_actions, near.shape[1], len(groups)
        return Answers(some * np.cos(np.arange(np.prod(shape[1:])).reshape(shape[1:])), near, groups) if hears else None

    rows = np.searchsorted(model.active, model.team_states)
    found = []
    for kind in (Pullback, CompiledPullback):
        pullback = kind(model, model.gamma, seen_in)
        for _ in range(2):
            if seen_in is not None:
                pullback.observe(fragment, stacked(traces))
            costates = pullback(fragment, pi, hear, near.shape[1] * len(groups))
            pullback.learn(pullback.moments(fragment, costates))
        found.append((costates, pullback.advantages(fragment, costates, rows), pullback.error))
    (one, mine, error), (other, theirs, wrong) = found
    assert_same(mine, theirs)
    assert wrong == pytest.approx(error, rel=1e-10)
    return one, other


@pytest.mark.parametrize("name", [*SCENARIOS, *toys.every_form(3)])
def test_costates_are_those_of_numpy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotas, trips, clocks, layers, groups, laws of the neighbourhood; in one piece, and in many."""
    model = made(name)
    whole = both(model, 6)
    assert_same(*whole)
    assert np.ptp(whole[0].values) > 0
    monkeypatch.setattr("mfnet_agents.dec_neural_ac.costates.ROOM", 1)
    assert_same(whole[1], both(model, 6)[1])


@pytest.mark.parametrize("name", ["grid", "an infection", "quota"])
def test_what_others_make_of_it_is_told_alike(name: str) -> None:
    """Policies that hear of other crowds, here with any slopes."""
    model = made(name)
    told = both(model, 6, hears=True)
    assert_same(*told)
    assert not np.allclose(told[0].values, both(model, 6)[0].values)


@pytest.mark.parametrize("name", ["grid", "an infection", "quota"])
def test_counted_laws_are_pulled_back_alike(name: str) -> None:
    model = made(name)
    assert_same(*both(model, 6, Simulator(model, traced=True)))


def test_episodes_that_end_are_followed_to_their_last_step() -> None:
    """Trips are worth, step by step, what they are where they land."""
    model = mfnet_envs.make_model("MFNet-RideShare-v0")
    assert model.episode_steps is not None
    assert_same(*both(model, model.episode_steps))


# -- networks


def policies(model: LocalModel) -> list[IndividualPolicy]:
    """With weights that have moved."""
    rng = np.random.default_rng(0)
    width, found = 6, []
    for kind in ("share", "bounded"):
        inputs = IndividualPolicy.inputs(model, kind)  # type: ignore[arg-type]
        net = TwoLayer.create(rng, len(model.team_states), inputs, width, symmetric=False)
        found.append(IndividualPolicy(model, net, kind, 2.0))  # type: ignore[arg-type]
    for hops, clock in ((1, False), (None, True)):
        net = TwoLayer.create(rng, *ObservingPolicy.networks(model, hops, clock), width, symmetric=False)
        found.append(ObservingPolicy(model, net, 2.0, hops=hops, clock=clock))
    return found


@pytest.mark.parametrize("population", [60, 5000])  # one whose policies are tabulated, and one that is too large
def test_networks_are_those_of_torch(population: int) -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=population)
    rng = np.random.default_rng(2)
    counts = rng.multinomial(population, model.initial, size=300)
    crowd = Simulator(model).crowd(counts)
    seen = Seen(counts[:, model.team_states], crowd, np.arange(300))
    weights = rng.normal(size=(*seen.sizes.shape, model.num_actions)) * model.legal[model.team_states]
    for policy in policies(model):
        answers = []
        for compiled in (False, True):
            policy.compiled = compiled
            policy.forget()
            answers.append((policy.shares(seen), policy.score_along(seen, weights).numpy()))
        assert_same(*answers)
        assert (answers[1][0][:, ~model.legal[model.team_states]] == 0).all()


def test_what_is_differentiated_stays_with_torch() -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=20)
    policy = policies(model)[0]
    policy.compiled = True
    policy.update(policy.theta.clone().requires_grad_())
    sizes = np.full((1, 25), 4)
    policy.log_prob(sizes, np.eye(5, dtype=int)[:1].repeat(25, 0)[None] * 4).sum().backward()  # type: ignore[no-untyped-call]
    assert policy.theta.grad is not None and float(policy.theta.grad.abs().sum()) > 0


def test_an_iteration_of_the_same_worlds_moves_the_same_way() -> None:
    """Fed with the same sample, both learners end with the same weights."""
    config = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config={"population": 60})
    slow, fast = (config.copy().env_runners(backend=name).build_algo() for name in ("numpy", "compiled"))
    for algo in (slow, fast):
        assert isinstance(algo.trained, Costate)
    sample = slow.sampler.rollout(slow.learned, 32)
    for algo in (slow, fast):
        algo.sampler.rollout = lambda *_: sample  # type: ignore[method-assign]
        for _ in range(3):
            algo.train()
    moved = slow.learned.theta - slow.learned.net.start
    assert float(moved.abs().max()) > 1e-3
    torch.testing.assert_close(fast.learned.theta, slow.learned.theta, rtol=0, atol=1e-9)
