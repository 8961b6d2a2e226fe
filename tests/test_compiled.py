"""The compiled backend beyond one step's law, which test_backends.py holds: samplers, keys, rollouts, recording.

Each chi-square is held at p = 1e-5, about 80 of them: a right sampler fails once in 1,200 seeds; the seeds are fixed.
"""

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import toys
from scipy import stats
from test_simulator import as_agents, assert_follows, crossroads

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.sampling import Sampler
from mfnet_envs import Simulator, backends
from mfnet_envs.exact import ExactGame
from mfnet_envs.heuristics import ThresholdPolicy
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, TablePolicy, uniform

numba = pytest.importorskip("numba", reason="the compiled backend is an extra: pip install 'mfnet[fast]'")

from mfnet_envs.backends import samplers, steps  # noqa: E402
from mfnet_envs.backends.compiled import Stream  # noqa: E402
from mfnet_envs.backends.steps_of_agents import step_agents  # noqa: E402
from mfnet_envs.simulator import compiled  # noqa: E402

pytestmark = pytest.mark.xdist_group("compiled")  # as in test_backends.py

DRAWS = 100_000
ALL = ("crowd", "next_crowd", "actions", "unserved", "served", "earned")


# -- samplers: against scipy's laws


@numba.njit
def drawn(law: int, a: Any, b: Any, c: Any, found: Any) -> None:
    for i in range(len(found)):
        state = samplers.of_row(samplers.key_of(np.uint64(11), law, 7), i)
        if law == 0:
            found[i] = samplers.binomial(a, b, state)[0]
        elif law == 1:
            found[i] = samplers.poisson(b, state)[0]
        else:
            found[i] = samplers.hypergeometric(a, int(b), c, state)[0]


def assert_has_law(found: np.ndarray, law: Any) -> None:
    assert law.cdf(found.max()) - law.cdf(found.min() - 1) > 0
    edges = np.unique(np.linspace(law.ppf(1e-3), law.ppf(1 - 1e-3), 40).astype(np.int64))
    counted = np.diff([0, *((found <= edge).sum() for edge in edges), len(found)])
    expected = len(found) * np.diff([0, *law.cdf(edges), 1])
    often = expected > 5
    counted, expected = counted[often], expected[often]
    if len(counted) > 1:
        assert stats.chisquare(counted, expected * counted.sum() / expected.sum()).pvalue > 1e-5


@pytest.mark.parametrize(
    ("n", "p"),
    [(1, 0.3), (5, 0.2), (19, 0.52), (20, 0.5), (25, 0.41), (50, 0.21), (100, 0.5), (100, 0.9), (1000, 0.01)]
    + [(1000, 0.3), (10**5, 2e-4), (10**6, 0.7), (10**9, 0.5), (10**12, 1e-10), (7, 0.0), (7, 1.0)],
)
def test_binomial(n: int, p: float) -> None:
    found = np.empty(DRAWS, np.int64)
    drawn(0, n, p, 0, found)
    assert found.min() >= 0 and found.max() <= n
    assert_has_law(found, stats.binom(n, p))


def test_binomial_of_a_thousand_million_million() -> None:
    """Beyond scipy's precision: the normal limit."""
    n, p, found = 2**53 - 1, 0.3, np.empty(DRAWS, np.int64)
    drawn(0, n, p, 0, found)
    assert stats.kstest((found - n * p) / (n * p * (1 - p)) ** 0.5, "norm").pvalue > 1e-5


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.5, 3.0, 9.99, 10.0, 12.0, 50.0, 1e3, 1e6])
def test_poisson(rate: float) -> None:
    found = np.empty(DRAWS, np.int64)
    drawn(1, 0, rate, 0, found)
    assert_has_law(found, stats.poisson(rate))


@pytest.mark.parametrize(
    ("good", "bad", "taken"),
    [(3, 5, 4), (50, 60, 40), (60, 50, 70), (5, 1_000, 500), (400, 100_000, 300), (100, 40, 100)]
    + [(300_000, 100_000, 200_000), (4, 0, 2), (0, 4, 2), (31, 33, 64)],
)
def test_hypergeometric(good: int, bad: int, taken: int) -> None:
    found = np.empty(DRAWS, np.int64)
    drawn(2, good, float(bad), taken, found)
    assert_has_law(found, stats.hypergeom(good + bad, good, taken))


@pytest.mark.parametrize("n", [9, 40, 3_000])
def test_multinomial(n: int) -> None:
    """Agents one by one, and binomials; each kind has its binomial law, nobody is lost, what cannot be is not."""
    p = np.array([0.0, 0.3, 0.0, 0.5, 0.15, 0.05, 0.0])
    found = np.empty((DRAWS // 4, len(p)), np.int64)
    numbers, scratch = np.full((len(found), 1), n), np.empty(len(p))
    steps.draw_actions(numbers, 3 * p, True, found.reshape(-1), scratch, np.uint64(1), np.arange(len(found)), 0)
    assert (found.sum(1) == n).all()
    for j, share in enumerate(p):
        assert_has_law(found[:, j], stats.binom(n, share))
    together = np.cov(found[:, 1], found[:, 3])[0, 1]
    assert together == pytest.approx(-n * 0.3 * 0.5, rel=0.1)


@pytest.mark.parametrize("kinds", [2, 7, 60])
def test_aliases_give_back_the_law(kinds: int) -> None:
    p = np.random.default_rng(kinds).dirichlet(np.full(kinds, 0.3), 5)
    p[:, 0] = 0
    p /= p.sum(1, keepdims=True)
    alias, cut = compiled._aliases(p)
    for row in range(5):
        here = slice(row * kinds, (row + 1) * kinds)
        back = cut[here] / kinds
        np.add.at(back, alias[here], (1 - cut[here]) / kinds)
        np.testing.assert_allclose(back, p[row], atol=1e-14)
        assert cut[here][0] < 1e-14 and back[0] < 1e-14


# -- rollouts


def own_crowds(form: Callable[..., LocalModel], population: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A toy whose reward and kernel read the crowd of the own node alone."""
    monkeypatch.setattr(toys.CrowdModel, "reward_reads", "own")
    for law in (toys.CrowdModel, toys.QuotaModel):
        monkeypatch.setattr(law, "reads_group", 0)
    model: Any = form(population, kernel_reads="own")
    for name in ("_reward_at", "_weight_at"):
        constant, slope = getattr(model, name)
        setattr(model, name, (constant, slope * (np.arange(slope.shape[-1]) == 0)))
    return model


ROLLED = {
    "deterministic": toys.deterministic, "scattering": toys.scattering, "two ways": toys.two_ways,
    "general": toys.general, "two layers": toys.layered, "quota": toys.rationed, "transit": toys.travelling,
}  # fmt: skip


@pytest.mark.parametrize("form", ROLLED)
def test_three_steps_in_one_piece_have_the_exact_law(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """(5) and (6), three times, with a policy of the time step; against the product of the enumerated kernels."""
    model = own_crowds(ROLLED[form], 3, monkeypatch)
    game, simulator = ExactGame(model), Simulator(model, "compiled")
    rng = np.random.default_rng(4)
    tables = rng.dirichlet(np.ones(model.num_actions), (2, len(model.team_states)))
    policy = TablePolicy(model, tables)
    first = len(game.count_vectors) // 2
    law = np.eye(len(game.count_vectors))[first]
    for t in range(3):
        everywhere = policy.individual(game.count_vectors[:1], t)[0]
        law = law @ game.transition(np.repeat(everywhere[:, None], model.population + 1, 1))
    counts = np.tile(game.count_vectors[first], (6_000, 1))
    flows = simulator.rollout(policy, counts, 0, 3, simulator.generator(5))
    assert flows is not None and simulator.how.startswith("compiled, whole rollouts")
    assert_follows(game.index(flows.final), law)


@pytest.mark.parametrize("form", ROLLED)
def test_one_piece_is_its_steps(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers by tables in one call and step by step, where the model is asked; so is what is recorded."""
    model = own_crowds(ROLLED[form], 60, monkeypatch)
    simulator = Simulator(model, "compiled", traced=True)
    policy = TablePolicy(model, np.random.default_rng(1).dirichlet(np.ones(model.num_actions), len(model.team_states)))
    ours, theirs = simulator.generator(2), simulator.generator(2)
    counts = simulator.reset(ours, 3)
    flows = simulator.rollout(policy, simulator.reset(theirs, 3), 0, 8, theirs, recorded=ALL)
    assert flows is not None
    for t in range(8):
        step = simulator.play(counts, policy.teams(counts, t), ours)
        np.testing.assert_array_equal(flows.crowd[t], simulator.crowd(counts))
        np.testing.assert_array_equal(flows.next_crowd[t], simulator.crowd(step.next_counts))
        for name in ("actions", "unserved", "served"):
            np.testing.assert_array_equal(getattr(flows, name)[t], getattr(step, name))
        np.testing.assert_allclose(flows.earned[t].sum(1), step.team_rewards.sum(1), rtol=1e-12, atol=1e-12)
        for mine, his in zip(flows.traces[t], step.trace, strict=True):
            for x, y in zip(*((z if isinstance(z, tuple) else (z,)) for z in (mine, his)), strict=True):
                assert (x is None) == (y is None)
                if x is not None:
                    np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)
        counts = step.next_counts
    np.testing.assert_array_equal(flows.final, counts)


@pytest.mark.parametrize("id", ["MFNet-Grid-v0", "MFNet-RideShareNYC-v0", "MFNet-Packet-v0", "MFNet-Courier-v0"])
def test_a_lane_is_itself_in_any_batch(id: str) -> None:
    """Alone, in a batch, in any split of it: bit for bit, with worlds that start afresh in between."""
    model = mfnet_envs.make_model(id)
    simulator, policy = Simulator(model, "compiled"), uniform(model)

    def play(lanes: list[int], pieces: list[int]) -> tuple[np.ndarray, ...]:
        rng = Stream(9, np.array(lanes))
        counts, earned, t = simulator.reset(rng, len(lanes)), [], 0
        for piece in pieces:
            flows = simulator.rollout(policy, counts, t, piece, rng, keep=0.8)
            assert flows is not None
            counts, t = flows.final, t + piece
            earned.append(flows.earned)
        step = simulator.play(counts, policy.table[0], rng)
        acted = simulator.act(step.next_counts, policy.table[0], rng)
        told = simulator.transition(step.next_counts, acted, rng)
        return np.concatenate(earned), step.next_counts, acted, told.next_counts, told.team_rewards

    whole = play([0, 1, 2, 3, 4], [12])
    for lanes, pieces in (([3], [12]), ([3, 1], [5, 7]), ([4, 0, 3], [1] * 12)):
        rewards, *rest = play(lanes, pieces)
        np.testing.assert_array_equal(rewards, whole[0][:, lanes])
        for mine, his in zip(rest, whole[1:], strict=True):
            np.testing.assert_array_equal(mine, his[lanes])
    assert (whole[1][0] != whole[1][1]).any()


def test_crowds_that_leave_the_table_make_it_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=3_000, rows=2, cols=2)
    simulator, policy = Simulator(model, "compiled"), model.heuristics()["threshold_lp"]
    assert isinstance(policy, ThresholdPolicy)
    heap = np.array([[3_000, 0, 0, 0]])
    monkeypatch.setattr(compiled, "TURNS_BYTES", 2**22)  # room for few of the policy's turns
    ours, theirs = simulator.generator(0), simulator.generator(0)
    ends, t = heap, 0
    while t < 20:
        flows = simulator.rollout(policy, ends, t, 20 - t, ours, recorded=ALL)
        assert flows is not None and len(flows.cut) < 20
        ends, t = flows.final, t + len(flows.cut)
    assert ours.step == 20
    counts = heap
    for t in range(20):
        counts = simulator.follow(policy, counts, t, theirs).next_counts
    np.testing.assert_array_equal(ends, counts)
    monkeypatch.setattr(compiled, "TABLE_BYTES", 50_000)  # room for crowds of hundreds
    small = Simulator(model, "compiled")
    assert small.rollout(policy, heap, 0, 5, ours) is None and ours.step == 20
    assert "more than" in small.how


def test_what_reads_more_is_stepped_one_by_one() -> None:
    model = mfnet_envs.make_model("MFNet-SIS-v0")
    simulator = Simulator(model, "compiled")
    rng = simulator.generator(0)
    assert "more than one crowd" in simulator.how
    assert simulator.rollout(uniform(model), simulator.reset(rng, 2), 0, 3, rng) is None and rng.step == 1
    assert Simulator(model).how == "numpy"


def test_a_clocked_model_goes_on_to_the_end_of_its_hour() -> None:
    model = mfnet_envs.make_model("MFNet-RideShareNYC-v0", hour="day", population=100)
    simulator, policy = Simulator(model, "compiled"), uniform(model)
    assert model.period is not None
    ours, theirs = simulator.generator(3), simulator.generator(3)
    ends = counts = simulator.reset(ours, 2)
    simulator.reset(theirs, 2)
    t, pieces, last = 0, [], model.period // 8
    while t < last:
        flows = simulator.rollout(policy, ends, t, last - t, ours)
        assert flows is not None
        assert all(model.at(t + k) is model.at(t) for k in range(len(flows.cut)))
        ends, t = flows.final, t + len(flows.cut)
        pieces.append(len(flows.cut))
    for t in range(last):
        counts = simulator.at(t).follow(policy, counts, t, theirs).next_counts
    assert sum(pieces) == last and len(pieces) > 1
    np.testing.assert_array_equal(ends, counts)


def test_worlds_start_afresh_as_often_as_asked() -> None:
    """With chance 1 - keep after each step, from the initial law."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=400, rows=2, cols=2)
    model.initial = np.array([0.1, 0.2, 0.3, 0.4])
    simulator = Simulator(model, "compiled")
    rng = simulator.generator(1)
    counts = np.tile([400, 0, 0, 0], (4_000, 1))
    flows = simulator.rollout(uniform(model), counts, 0, 1, rng, keep=0.75, recorded=ALL)
    assert flows is not None
    assert stats.binomtest(int(flows.cut.sum()), 4_000, 0.25).pvalue > 1e-5
    fresh = flows.final[flows.cut[0]]
    assert (fresh.sum(1) == 400).all()
    assert_has_law(fresh[:, 0], stats.binom(400, 0.1))
    np.testing.assert_array_equal(flows.final[~flows.cut[0]], flows.next_crowd[0, ~flows.cut[0], :, 0])


@pytest.mark.parametrize("id", ["MFNet-RideShareNYC-v0", "MFNet-Courier-v0"])
def test_the_group_that_is_read_is_the_only_one(id: str) -> None:
    """``reads_group`` says so of the model; other groups, and other nodes, change nothing."""
    model = mfnet_envs.make_model(id)
    group = compiled.group_read(model)
    rng = np.random.default_rng(0)
    hood = rng.random((2, model.network.num_nodes, model.network.neighbors.shape[1], model.num_groups)) / 50
    hood[1, :, 0, group] = hood[0, :, 0, group]
    for answer in (model.reward(hood), model.branch_weights(hood)):
        np.testing.assert_array_equal(answer[0], answer[1])
    hood[1, :, 0, group] /= 2
    assert (model.reward(hood)[0] != model.reward(hood)[1]).any()

    class Other(type(model)):  # type: ignore[misc]
        def branch_weights(self, mu_hood: Any) -> Any:
            return super().branch_weights(mu_hood)

    other = pickle.loads(pickle.dumps(model))
    other.__class__ = Other
    assert compiled.group_read(other) is None  # what a parent says is of the parent's law


def test_policies_by_size_are_the_policies() -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0")
    learned = DecNeuralACConfig().environment("MFNet-Grid-v0").build_algo().policy
    counts = Simulator(model).reset(np.random.default_rng(0), 4)
    for policy in (*model.heuristics().values(), learned):
        table = policy.by_size(int(counts.max()), 3, 2)
        assert table is not None and table.shape[2:] == (len(model.team_states), model.num_actions)
        n = np.minimum(counts[:, model.team_states], table.shape[1] - 1)
        np.testing.assert_allclose(table[0, n, np.arange(n.shape[1])], policy.teams(counts, 3), rtol=1e-12)

    class Mine(TablePolicy):
        def teams(self, counts: Any, t: int) -> Any:
            return super().teams(counts, t)[..., ::-1]

    assert Mine(model, uniform(model).table).by_size(5, 0, 1) is None
    assert Policy.by_size(learned, 5, 0, 1) is None


def test_one_kind_of_arrays_is_compiled() -> None:
    """Read-only tables, 32-bit counts, policies in single precision: nothing makes numba compile a second time."""
    for id in ("MFNet-Grid-v0", "MFNet-Routing-v0", "MFNet-SIS-v0"):
        model = mfnet_envs.make_model(id)
        simulator = Simulator(model, "compiled")
        rng = simulator.generator(0)
        counts = simulator.reset(rng, 2).astype(np.int32)
        counts.setflags(write=False)
        pi = np.broadcast_to(uniform(model).table[0].astype(np.float32), (2, *uniform(model).table[0].shape))
        simulator.transition(counts, simulator.act(counts, pi, rng), rng)
        simulator.play(counts, pi, rng)
        simulator.rollout(uniform(model), counts, 0, 2, rng, recorded=ALL)
        states = np.zeros((2, model.population), np.int32)
        simulator.step_agents(states, states, rng)
    compiled_once = (steps.advance, steps.start, steps.draw_actions, step_agents, samplers.alias_tables)
    assert [len(function.signatures) for function in compiled_once] == [1] * 5


# -- named agents


@pytest.mark.parametrize("form", list(toys.every_form()))
def test_agents_step_has_the_exact_law(form: str) -> None:
    model = toys.every_form(4)[form]
    game, simulator = ExactGame(model), Simulator(model, "compiled")
    rng, pairs = simulator.generator(1), crossroads(game)
    for pair, law in zip(pairs, game.pair_transition(pairs), strict=True):
        states, actions = (np.tile(row, (6_000, 1)) for row in as_agents(pair))
        moved = simulator.transition_agents(states, actions, rng)
        assert_follows(game.index((moved.next_states[:, :, None] == np.arange(len(model.legal))).sum(1)), law)
        paid = Simulator(model).step_agents(states[:1], actions[:1], np.random.default_rng(0))[1]
        np.testing.assert_allclose(moved.rewards, np.broadcast_to(paid, moved.rewards.shape), rtol=1e-12, atol=1e-12)


def test_every_agent_of_a_state_is_served_as_often() -> None:
    """min(n, D) of them, wherever they stand in the list; against scipy's Poisson law."""
    model = mfnet_envs.make_model("MFNet-Grid-v0", population=12, rows=1, cols=2, demand=[2.5, 0.5])
    simulator = Simulator(model, "compiled")
    states = np.tile([0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], (20_000, 1))
    served = simulator.transition_agents(states, 0 * states, simulator.generator(2)).served
    for state, n in ((0, 10), (1, 2)):
        rate = model.quota.rate[state]
        law = np.append(stats.poisson.pmf(np.arange(n), rate), stats.poisson.sf(n - 1, rate))
        here = served[:, states[0] == state]
        assert_follows(here.sum(1), law)
        share = (law * np.arange(n + 1)).sum() / n
        assert abs(here.mean(0) - share).max() < 5 * (share * (1 - share) / 20_000) ** 0.5


def test_a_lane_of_agents_is_itself() -> None:
    model = mfnet_envs.make_model("MFNet-RideShareNYC-v0")
    simulator, rng = Simulator(model, "compiled"), np.random.default_rng(3)
    states = rng.integers(len(model.legal), size=(5, 800))
    actions = rng.integers(model.num_actions, size=(5, 800))
    together = simulator.transition_agents(states, actions, Stream(4))
    for lanes in ([2], [4, 0]):
        alone = simulator.transition_agents(states[lanes], actions[lanes], Stream(4, np.array(lanes)))
        for mine, his in zip(alone, together, strict=True):
            np.testing.assert_array_equal(mine, his[lanes])


# -- the trainer's rollouts


@pytest.mark.parametrize("law", ["restart", "stationary", "fragments"])
def test_a_sampler_records_what_happened(law: Any) -> None:
    model = mfnet_envs.make_model("MFNet-Grid-v0")
    policy, kept = uniform(model), ("sizes", "actions", "unserved")
    sampler = Sampler(Simulator(model, "compiled"), law, 0.9, 5, np.random.default_rng(0), kept)
    found = []
    for _ in range(3):
        before = sampler.counts
        rollout, episodes = sampler.rollout(policy, 40)
        assert rollout.served.shape == (40, 5, 0) and rollout.crowd.dtype == np.int32
        if law != "fragments":
            np.testing.assert_array_equal(rollout.crowd[0, :, :, 0], before)
        goes_on = ~rollout.cut[:-1]
        np.testing.assert_array_equal(rollout.crowd[1:][goes_on], rollout.next_crowd[:-1][goes_on])
        np.testing.assert_array_equal(rollout.sizes, rollout.crowd[..., 0])
        np.testing.assert_array_equal(rollout.actions.sum(3), rollout.sizes)
        found.append((rollout, episodes))
    assert sampler.clock == 120
    if law == "restart":
        rewards = np.concatenate([rollout.rewards.sum(2) for rollout, _ in found])
        cut = np.concatenate([rollout.cut for rollout, _ in found])
        returns, running = [], np.zeros(5)
        for earned, ends in zip(rewards, cut, strict=True):
            running = running + earned
            returns += list(running[ends])
            running[ends] = 0
        np.testing.assert_allclose(np.concatenate([episodes for _, episodes in found]), returns)


def test_training_on_it_learns_and_repeats() -> None:
    """The same run twice; its options and checkpoints are those of any other."""
    config = DecNeuralACConfig().environment("MFNet-Grid-v0").env_runners(backend="compiled")
    results = [config.build_algo().train() for _ in range(2)]
    timeless = [{k: v for k, v in result.items() if "time" not in k} for result in results]
    assert timeless[0] == timeless[1]
    with pytest.raises(ValueError, match="backend must be None or one of compiled, numpy"):
        config.copy().env_runners(backend="compield").build_algo()


# -- names, seeds, numba


def test_teams_and_numpy_generators_are_welcome() -> None:
    model = toys.general(6)
    simulator, team = Simulator(model, "compiled"), toys.Unanimous(model)
    for rng in (simulator.generator(0), np.random.default_rng(0)):
        counts = simulator.reset(rng, 50)
        played = simulator.follow(team, counts, 0, rng)
        assert ((played.actions == 0) | (played.actions == counts[..., None])).all()
    with pytest.raises(TypeError, match="rng must be Simulator"):
        simulator.reset(7)
    with pytest.raises(ValueError, match="of 3 lanes, and 2 are stepped"):
        simulator.reset(Stream(0, np.arange(3)), 2)
    with pytest.raises(ValueError, match="non-negative numbers without NaN"):
        simulator.play(counts, np.full(model.legal.shape, np.nan), rng)
    with pytest.raises(ValueError, match="must sum over actions to the counts"):
        simulator.transition(counts, np.zeros((50, *model.legal.shape), int), rng)
    assert pickle.loads(pickle.dumps(simulator)).how == simulator.how


def test_the_environment_variable_names_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toys.general()
    monkeypatch.setenv("MFNET_BACKEND", "compiled")
    assert Simulator(model).backend.name == "compiled" and Simulator(model, "numpy").backend.name == "numpy"
    monkeypatch.setenv("MFNET_BACKEND", "compield")
    with pytest.raises(ValueError, match="no backend 'compield'; did you mean 'compiled'"):
        Simulator(model)


def test_without_numba_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ModuleNotFoundError, match=r"the compiled backend needs numba: pip install '.*\[fast\]'"):
        backends.backend_of("compiled")
    code = "import sys, mfnet_envs; mfnet_envs.Simulator(mfnet_envs.make_model('MFNet-Grid-v0')); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "mfnet_envs.backends" in loaded and "numba" not in loaded


def test_nowhere_to_keep_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba refuses to cache where it may write nowhere; then every process compiles for itself."""
    asked = []

    def njit(**options: Any) -> Callable[[Any], Any]:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(samplers, "njit", njit)

    def function() -> int:
        return 3

    assert samplers.entry(function)() == 3 and [options.get("cache") for options in asked] == [True, None]
