"""Every backend obeys the law that ExactGame enumerates: torch's, on the processor, and the compiled one.

A backend of yours goes into ``each_backend``.

Every chi-square below is held at p = 1e-5. About 60 laws are tried, so a right backend fails once in 1,600 seeds; the
seeds are fixed.
"""

import pickle
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import array_api_compat.torch
import numpy as np
import pytest
import torch
import toys
from scipy import stats
from test_simulator import assert_follows, crossroads

import mfnet_envs
from mfnet_agents.registry import config_class
from mfnet_envs import Simulator, backends
from mfnet_envs.backends import NUMPY, Backend, BranchTable, backend_of, draws, register_backend
from mfnet_envs.backends.tensors import SplitBranch, TorchBackend
from mfnet_envs.exact import ExactGame
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Individually, Policy, uniform
from mfnet_envs.registration import scenarios

WORLDS = 6_000
FORMS = list(toys.every_form())


TORCH: Backend = backend_of("torch")
pytestmark = pytest.mark.xdist_group("compiled")  # one process compiles, and for a minute
OTHERS = [TORCH, *([backend_of("compiled")] if find_spec("numba") else [])]  # numpy: test_simulator.py
each_backend = pytest.mark.parametrize("backend", OTHERS, ids=lambda backend: backend.name)


class Careless(TorchBackend):
    """Sends everybody to the first successor."""

    def prepared(self, table: BranchTable) -> SplitBranch:
        return SplitBranch(BranchTable(table.successors[..., :1], torch.ones_like(table.probabilities[..., :1])))


def check_step(backend: Backend, form: str) -> None:
    model = toys.every_form(4)[form]
    game, simulator = ExactGame(model), Simulator(model, backend)
    rng, pairs = simulator.generator(0), crossroads(game)
    for pair, law in zip(pairs, game.pair_transition(pairs), strict=True):
        actions = backend.asarray(np.tile(pair, (WORLDS, 1, 1)))
        following, _ = simulator.step(actions.sum(2), actions, rng)
        assert_follows(game.index(backend.asnumpy(following)), law)


@each_backend
@pytest.mark.parametrize("form", FORMS)
def test_a_step_has_the_exact_law(form: str, backend: Backend) -> None:
    """Equation (6): quotas, several branches, illegal actions, transit, groups."""
    check_step(backend, form)


@pytest.mark.parametrize("form", ["scattering", "two ways", "quota", "transit"])
def test_a_careless_backend_is_found_out(form: str) -> None:
    with pytest.raises(AssertionError):
        check_step(Careless(), form)


@each_backend
@pytest.mark.parametrize("form", FORMS)
def test_acting_and_moving_have_the_exact_law(form: str, backend: Backend) -> None:
    """(5) and (6) together, by ``act`` and ``step`` and by ``play``, with a policy that also plays illegal actions."""
    model = toys.every_form(3)[form]
    game, simulator = ExactGame(model), Simulator(model, backend)
    table = np.random.default_rng(2).dirichlet(np.ones(model.num_actions), (len(model.legal), model.population + 1))
    start = len(game.count_vectors) // 2
    law, pi = game.transition(table)[start], table[np.arange(len(model.legal)), game.count_vectors[start]]
    counts, rng = backend.asarray(np.tile(game.count_vectors[start], (WORLDS, 1))), simulator.generator(1)
    actions = simulator.act(counts, pi, rng)
    for following in (simulator.step(counts, actions, rng)[0], simulator.play(counts, pi, rng).next_counts):
        assert_follows(game.index(backend.asnumpy(following)), law)


SHIPPED = [
    *((id, {}) for id in scenarios()),
    ("MFNet-Grid-v0", {"matching": "independent"}),
    ("MFNet-RideShareNYC-v0", {"occupied": "markov", "matching": "independent", "hour": "day"}),
]


@each_backend
@pytest.mark.parametrize(("id", "options"), SHIPPED)
def test_shipped_scenarios_step(id: str, options: dict[str, Any], backend: Backend) -> None:
    """Nobody is lost, and the same actions are paid as on numpy, by the model in force."""
    model = mfnet_envs.make_model(id, **options)
    numpy, other = Simulator(model), Simulator(model, backend)
    rng, policy = other.generator(3), uniform(model)
    counts = other.reset(rng, 2)
    for t in range(4):
        played = other.at(t).follow(policy, counts, t, rng)
        following, before = backend.asnumpy(played.next_counts), backend.asnumpy(counts)
        assert following.dtype == np.int64
        assert (following >= 0).all()
        assert (following.sum(1) == model.population).all()
        actions = np.zeros((2, *model.legal.shape), np.int64)
        states = np.arange(len(model.legal))
        actions[:, states, model.first_legal] = before
        actions[:, model.active] = backend.asnumpy(played.actions)
        same = numpy.at(t).step(before, actions, np.random.default_rng(0))[1]
        np.testing.assert_allclose(backend.asnumpy(played.team_rewards), same, rtol=1e-9, atol=1e-12)
        counts = played.next_counts


@each_backend
@pytest.mark.parametrize("form", [form for form in FORMS if form != "quota"])
def test_many_agents_follow_the_limit(form: str, backend: Backend) -> None:
    """A million agents in each of 50 worlds: their mean within five standard errors of the limit, in every state."""
    model = toys.every_form(10**6)[form]
    simulator = Simulator(model, backend)
    rng = simulator.generator(4)
    first = backend.asnumpy(simulator.reset(rng))
    pi = np.random.default_rng(0).dirichlet(np.ones(model.num_actions), len(model.legal))
    mu, rewards = simulator.mean_field_step(first / 10**6, pi)
    played = simulator.play(backend.asarray(np.repeat(first, 50, 0)), pi, rng)
    error = 0.5 / np.sqrt(50 * 10**6)
    assert abs(backend.asnumpy(played.next_counts).mean(0) / 10**6 - mu[0]).max() < 5 * error
    assert abs(backend.asnumpy(played.team_rewards).mean(0) - rewards[0]).max() < 5 * 2 * error


@each_backend
def test_returns_agree_between_backends(backend: Backend) -> None:
    """Two means of 2,000 worlds; six standard errors of their difference, once in half a billion."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", rows=2, cols=3, population=20)
    policy = model.heuristics()["proportional"]
    ours, theirs = (mfnet_envs.evaluate(model, policy, worlds=2000, steps=40, backend=b) for b in (backend, "numpy"))
    name = "discounted_return"
    error = np.hypot(ours[f"{name}_ci95"], theirs[f"{name}_ci95"]) / 1.96
    assert 0 < abs(ours[f"{name}_mean"] - theirs[f"{name}_mean"]) < 6 * error


# -- the limit on tensors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id", "options"), SHIPPED)
def test_shares_move_alike_on_both_libraries(id: str, options: dict[str, Any]) -> None:
    """Also where pi has rows for teams only, and where only one of the two arguments is a tensor."""
    model = mfnet_envs.make_model(id, **options)
    rng, simulator = np.random.default_rng(0), Simulator(model)
    mu = rng.dirichlet(np.ones(len(model.legal)), 2)
    pi = rng.dirichlet(np.ones(model.num_actions), model.legal.shape[:1])
    expected = simulator.mean_field_step(mu, pi)
    for given in ((torch.as_tensor(mu), torch.as_tensor(pi)), (mu, torch.as_tensor(pi)), (torch.as_tensor(mu), pi)):
        for ours, theirs in zip(simulator.mean_field_step(*given), expected, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12, atol=1e-15)
    teams = uniform(model).teams(mu, 0).copy()
    for ours, theirs in zip(
        simulator.mean_field_step(mu, torch.as_tensor(teams)), simulator.mean_field_step(mu, teams), strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(mfnet_envs.make_model("MFNet-Grid-v0", rows=2, cols=3), id="Grid"),
        pytest.param(mfnet_envs.make_model("MFNet-Braess-v0"), id="Braess"),
    ],
)
def test_the_gradient_of_a_return_is_a_finite_difference(model: LocalModel) -> None:
    """Of twelve steps; the differences are taken on numpy."""
    simulator, rng = Simulator(model), np.random.default_rng(1)
    start = rng.dirichlet(np.ones(len(model.legal)), 1)
    pi = rng.dirichlet(np.ones(model.num_actions), len(model.team_states))

    def value(pi: Any) -> Any:
        mu, worth = start, 0.0
        for t in range(12):
            mu, rewards = simulator.mean_field_step(mu, pi)
            worth = worth + model.gamma**t * rewards.sum()
        return worth

    leaf = torch.tensor(pi, requires_grad=True)
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    places = rng.choice(pi.size, min(12, pi.size), replace=False)
    assert gradient.reshape(-1)[places].abs().max() > 1e-4
    for place in places:
        h = np.zeros(pi.size)
        h[place] = 1e-6
        h = h.reshape(pi.shape)
        difference = (value(pi + h) - value(pi - h)) / 2e-6
        assert gradient.reshape(-1)[place].item() == pytest.approx(difference, rel=1e-4, abs=1e-9)


def test_single_precision_stays_single() -> None:
    model = mfnet_envs.make_model("MFNet-Routing-v0")
    mu = torch.as_tensor(model.initial, dtype=torch.float32)[None]
    following, _ = Simulator(model).mean_field_step(mu, uniform(model).table[0])
    assert following.dtype == torch.float32
    assert following.sum().item() == pytest.approx(1, abs=1e-5)


# -- names ------------------------------------------------------------------------------------------------------------


def test_backends_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_makers", dict(backends._makers))
    model = toys.general()
    assert Simulator(model).backend is Simulator(model, "numpy").backend is backend_of(NUMPY) is NUMPY
    made = []
    register_backend("mine", lambda: made.append(1) or TORCH)  # type: ignore[func-returns-value]
    assert not made
    assert Simulator(model, "mine").backend is TORCH
    assert backends.backends() == ["compiled", "mine", "numpy", "torch"]
    with pytest.raises(ValueError, match="there is a backend 'mine' already"):
        register_backend("mine", lambda: TORCH)
    with pytest.raises(ValueError, match=r"no backend 'nunpy'; did you mean 'numpy'\?"):
        Simulator(model, "nunpy")
    with pytest.raises(TypeError, match="must be a name or have the methods"):
        Simulator(model, np)  # type: ignore[arg-type]


def test_what_only_numpy_does() -> None:
    model = toys.general()
    simulator = Simulator(model, TORCH)
    rng = simulator.generator(0)
    counts = simulator.reset(rng)
    states = np.array([[0, 1, 1, 2]])
    with pytest.raises(ValueError, match="agents one by one are drawn with numpy"):
        simulator.step_agents(states, 0 * states, rng)
    ours, theirs = (s.step_agents(states, 0 * states, np.random.default_rng(0)) for s in (simulator, Simulator(model)))
    np.testing.assert_array_equal(ours, theirs)
    team = toys.Unanimous(model)
    with pytest.raises(ValueError, match=r"the teams of Unanimous draw together, with numpy.*Individually\(policy\)"):
        simulator.follow(team, counts, 0, rng)
    assert simulator.follow(Individually(team), counts, 0, rng).next_counts.sum() == model.population


# -- very many agents


def assert_drawn_from(law: Any, found: np.ndarray) -> None:
    """Chi-square of whole numbers ``(n,)`` against scipy's law; a false alarm in 10,000 runs."""
    edges = np.unique(np.linspace(law.ppf(1e-3), law.ppf(1 - 1e-3), 25).astype(int))
    counted = np.diff([0, *((found <= edge).sum() for edge in edges), len(found)])
    expected = len(found) * np.diff([0, *law.cdf(edges), 1])
    often = expected > 5
    counted, expected = counted[often], expected[often]
    assert stats.chisquare(counted, expected * counted.sum() / expected.sum()).pvalue > 1e-4


@pytest.mark.parametrize(
    ("good", "bad", "drawn"),
    [(50, 60, 40), (60, 50, 70), (5, 1_000, 500), (400, 100_000, 300), (100, 40, 100)]
    + [(300_000, 100_000, 200_000), (3, 5, 4)],
)
def test_hypergeometric_draws_of_its_own(good: int, bad: int, drawn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On sizes where scipy's law is exact."""
    monkeypatch.setattr(draws, "MANY", 0)
    n, law = 100_000, stats.hypergeom(good + bad, good, drawn)
    found = draws.hypergeometric(np.random.default_rng(0), *(np.full(n, k) for k in (good, bad, drawn)))
    assert_drawn_from(law, found)


def test_hypergeometric_draws_of_a_thousand_million_million() -> None:
    """Where numpy draws none: the normal limit, whose error is far below what 20,000 draws can tell."""
    good, bad, drawn = 6 * 10**14, 3 * 10**14, 5 * 10**14
    found = draws.hypergeometric(np.random.default_rng(0), *(np.full(20_000, k) for k in (good, bad, drawn)))
    share = good / (good + bad)
    deviation = (drawn * share * (1 - share) * (good + bad - drawn) / (good + bad - 1)) ** 0.5
    assert stats.kstest((found - drawn * share) / deviation, "norm").pvalue > 1e-4


@pytest.mark.parametrize("population", [10**12, 10**15, 2**53])
@pytest.mark.parametrize("matching", ["physical", "independent"])
def test_a_step_of_very_many_agents(population: int, matching: Any) -> None:
    """Counts stay whole and complete; a large crowd moves as the fluid limit, to within its fluctuations."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=population, matching=matching)
    simulator, rng = Simulator(model), np.random.default_rng(0)
    counts, pi = simulator.reset(rng, 4), model.legal / model.legal.sum(1, keepdims=True)
    by_teams, _ = simulator.step(counts, simulator.act(counts, pi, rng), rng)
    expected, rewards = simulator.mean_field_step(counts / population, pi)
    played = simulator.play(counts, pi, rng)
    for following in (by_teams, played.next_counts):
        assert (following.sum(1) == population).all() and (following >= 0).all()
        np.testing.assert_allclose(following / population, expected, atol=8 / population**0.5)
    np.testing.assert_allclose(played.team_rewards, rewards, atol=8 / population**0.5)


def test_a_device_is_named() -> None:
    model = toys.general()
    assert (
        Simulator(model, "torch").backend.name == "torch"
        and Simulator(model, "torch:meta").backend.name == "torch:meta"
    )
    for wrong, sentence in (
        ({"backend": "torch", "device": "tpu9"}, "torch has no device 'tpu9' here"),
        ({"backend": "torch:"}, "torch has no device ''"),
        ({"backend": "numpy:cuda"}, "the backend 'numpy' has no device: write 'numpy', or 'torch:cuda'"),
        ({"backend": "numpy", "device": "cuda"}, "device='cuda' is for backend='torch', not for 'numpy'"),
        ({"backend": "torhc:cuda"}, "no backend 'torhc:cuda'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Simulator(model, **wrong)
    copied = pickle.loads(pickle.dumps(Simulator(model, "torch")))
    assert copied.backend.name == "torch"


def test_who_gives_numpys_arrays_gets_them() -> None:
    """By every door, whatever the backend; and tensors stay tensors. The same generator, the same worlds."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", rows=2, cols=2, population=9)
    simulator, pi = Simulator(model, "torch"), uniform(model).table[0]
    for kind, seeded in ((np.ndarray, np.random.default_rng), (torch.Tensor, simulator.generator)):
        rng = seeded(3)
        counts = simulator.reset(rng, 2)
        actions = simulator.act(counts, pi, rng)
        played = simulator.play(counts, pi, rng)
        told = simulator.transition(counts, actions, rng)
        found = counts, actions, *played[:-1], *told[:-1], simulator.crowd(counts), simulator.mu_hood(counts)
        assert all(type(x) is kind for x in found)
        again = seeded(3)
        assert (simulator.reset(again, 2) == counts).all() and (simulator.act(counts, pi, again) == actions).all()
    assert (simulator.follow(uniform(model), counts.numpy(), 0, np.random.default_rng(0)).next_counts >= 0).all()


def test_what_a_step_met_is_told_where_it_is_read() -> None:
    """As a device tells it; the processor tells it at once, and of what."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", rows=2, cols=2, population=9)
    simulator = Simulator(model, "torch")
    rng, pi = simulator.generator(0), np.array(uniform(model).table[0])
    counts, even = simulator.reset(rng, 2), uniform(model).table[0]
    pi[0, 0] = np.nan
    with pytest.raises(ValueError, match="pi must be non-negative numbers without NaN"):
        simulator.play(counts, pi, rng)
    with pytest.raises(ValueError, match="must sum over actions to the counts"):
        simulator.transition(counts, simulator.act(counts, even, rng) + 1, rng)
    for wrong in (counts.double(), counts.double().numpy()):
        with pytest.raises(ValueError, match="counts must be an array of whole numbers"):
            simulator.play(wrong, even, rng)
    with pytest.raises(ValueError, match="pi must be an array of real numbers, not 'even'"):
        simulator.play(counts, "even", rng)  # type: ignore[arg-type]
    simulator.backend.waits = False  # type: ignore[attr-defined]
    played = simulator.play(counts, pi, rng)  # asked of the device, not yet answered
    with pytest.raises(ValueError, match="a step on cpu met what it must not"):
        simulator.backend.asnumpy(played.next_counts)
    assert simulator.backend.asnumpy(counts).sum() == 18, "said once"
    with pytest.raises(ValueError, match="met what it must not"):
        simulator.play(simulator.backend.asnumpy(counts), pi, rng)
    with pytest.raises(TypeError, match=r"rng must be Simulator.generator\(seed\) or a numpy Generator, not 3"):
        simulator.play(counts, even, 3)


class Crowded(Policy):
    """Who stands in a crowd of n of all N stays with chance n / N, else goes anywhere."""

    def teams(self, counts: Any, t: int) -> Any:
        return self._of(counts[:, self.model.team_states])

    def by_size(self, largest: int, t: int, steps: int) -> Any:
        return self._of(np.arange(largest + 1)[:, None] + np.zeros(len(self.model.team_states)))[None]

    def _of(self, n: Any) -> Any:
        share = n[..., None] / self.model.population
        return share * np.eye(self.model.num_actions)[0] + (1 - share) * uniform(self.model).table[0]


def test_a_rollout_on_a_device_is_its_steps_law() -> None:
    """Means over 4,000 worlds of what is earned and where they end, against numpy's steps; a crowd that outgrows the
    first table of the policy; restarts. Six standard errors."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", rows=2, cols=2, population=400)
    policy = Crowded(model)
    kept: dict[str, Any] = {}
    for name in ("numpy", "torch"):
        simulator = Simulator(model, name)
        rng = simulator.generator(5)
        counts = simulator.reset(rng, 4_000)
        flows = simulator.rollout(policy, counts, 0, 6, rng, recorded={"earned", "crowd", "next_crowd", "cut"})
        if flows is None:
            earned = []
            for t in range(6):
                played = simulator.follow(policy, counts, t, rng)
                counts = played.next_counts
                earned.append(played.team_rewards.sum(1))
            kept[name] = np.array(earned), counts
        else:
            assert flows.crowd.shape == (6, 4_000, 4, 1) and not flows.cut.any()
            assert flows.crowd.max() > 120, "and the first table of the policy ends before 80"
            np.testing.assert_array_equal(flows.crowd[1:], flows.next_crowd[:-1])
            kept[name] = flows.earned.sum(2), simulator.backend.asnumpy(flows.final)
    for ours, theirs in zip(kept["torch"], kept["numpy"], strict=True):
        axis = 1 if ours.shape[0] == 6 else 0
        error = np.hypot(ours.std(axis), theirs.std(axis)) / 4_000**0.5
        assert (abs(ours.mean(axis) - theirs.mean(axis)) <= 6 * error + 1e-12).all()
    simulator = Simulator(model, "torch")
    rng = simulator.generator(1)
    flows = simulator.rollout(policy, simulator.reset(rng, 2_000), 0, 5, rng, keep=0.7, recorded={"crowd"})
    assert flows is not None and abs(flows.cut.mean() - 0.3) < 6 * (0.21 / 10_000) ** 0.5
    fresh, started = flows.crowd[1:][flows.cut[:-1]][..., 0], model.population * model.initial.reshape(4, -1).sum(1)
    assert (abs(fresh.mean(0) - started) < 6 * fresh.std(0) / len(fresh) ** 0.5).all()


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [("DecNeuralAC", {}), ("DecNeuralAC", {"critic_form": "v"})]
    + [(name, {}) for name in ("IPPO", "QMIX", "MFQ", "ScalableAC", "CEM")],
)
def test_every_kind_of_learner_takes_a_device(algorithm: str, options: dict[str, Any]) -> None:
    """They see numpy's arrays; twice the same seed is twice the same weights."""
    found = []
    for _ in range(2):
        env = {"env": "MFNet-Resource-v0", "env_config": {"population": 6}}
        algo = config_class(algorithm).from_dict({**env, "seed": 1, "backend": "torch", **options}).build_algo()
        algo.train()
        found.append({name: np.array(x) for name, x in algo.get_state()[1].items()})
    assert any(x.dtype.kind == "f" and x.any() for x in found[0].values())
    for name, x in found[0].items():
        np.testing.assert_array_equal(x, found[1][name])


@pytest.mark.parametrize("size", [(50, 60, 40), (5, 1_000, 500), (400, 100_000, 300), (300_000, 100_000, 200_000)])
def test_tensors_drawn_without_replacement(size: tuple[int, int, int]) -> None:
    """As above, by torch: both ways of drawing, and nobody drawn where nobody is."""
    good, bad, drawn = size
    n, law = 50_000, stats.hypergeom(good + bad, good, drawn)
    colours = torch.tensor([[good, bad]] * n + [[0, 0], [7, 0], [0, 7]])[None]
    wanted = torch.tensor([drawn] * n + [0, 3, 3])[None]
    found = TORCH.without_replacement(TORCH.generator(0), colours, wanted)[0].numpy()
    assert found[n:].tolist() == [[0, 0], [3, 0], [0, 3]]
    assert_drawn_from(law, found[:n, 0])


# -- on a device ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id", "options"), SHIPPED)
def test_a_step_asks_the_device_nothing(id: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """On torch's device without memory, where whoever reads a number is refused: told actions, own draws, a trace.
    From the second step on no table is carried there either, which would be to wait too."""
    model = mfnet_envs.make_model(id, **options)
    simulator = Simulator(model, "torch", traced=True, device="meta")
    rng, device = simulator.generator(0), torch.device("meta")
    counts = torch.zeros((3, len(model.legal)), dtype=torch.int64, device=device)
    pi = torch.zeros((len(model.team_states), model.num_actions), dtype=torch.float64, device=device)

    def carried(*_: Any, **__: Any) -> None:
        raise AssertionError("a table was carried to the device")

    for turn in range(2):
        for step in (
            simulator.transition(counts, simulator.act(counts, pi, rng), rng),
            simulator.play(counts, pi, rng),
        ):
            assert step.next_counts.shape == counts.shape
            assert step.next_counts.device == step.team_rewards.device == device
            assert step.trace is not None
        if not turn:
            monkeypatch.setattr(torch, "tensor", carried)
            monkeypatch.setattr(torch, "asarray", carried)
            monkeypatch.setattr(array_api_compat.torch, "asarray", carried)
            monkeypatch.setattr(torch, "from_numpy", carried)
    with pytest.raises(RuntimeError, match="meta"):
        bool((step.next_counts > 0).any())


@pytest.fixture(scope="module")
def shapes_of_binomials() -> Iterator[None]:
    """What torch has not: a binomial draw that its compiler can look through."""
    library = torch.library.Library("aten", "IMPL", "Meta")
    library.impl("binomial", lambda n, p, generator=None: torch.empty_like(n))
    yield
    library._destroy()


@pytest.mark.usefixtures("shapes_of_binomials")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", [form for form in FORMS if form != "quota"])  # that model makes a table in each step
def test_a_step_is_one_graph(form: str) -> None:
    """torch's compiler finds no place where Python would have to look at a number; the graph's law is the step's."""
    torch.compiler.reset()
    model = toys.every_form(40)[form]
    simulator = Simulator(model, "torch")
    simulator.backend.waits = False  # type: ignore[attr-defined]
    torch.manual_seed(0)
    rng, pi = None, torch.as_tensor(np.array(uniform(model).table[0]))
    counts = simulator.reset(simulator.generator(0), 3000)

    def step(counts: torch.Tensor, pi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        played = simulator.play(counts, pi, rng)
        return played.next_counts, played.team_rewards

    compiled = torch.compile(step, fullgraph=True, backend="eager", dynamic=False)
    for ours, theirs in zip(compiled(counts, pi), step(counts, pi), strict=True):
        spread = theirs.double().std(0) + 1e-9
        assert (abs(ours.double().mean(0) - theirs.double().mean(0)) < 6 * spread * (2 / 3000) ** 0.5 + 1e-9).all()
