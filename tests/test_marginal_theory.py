"""What one agent more is worth: M by named agents and closed forms, the identity, the forms that can be learnt."""

from collections.abc import Iterator
from typing import Any

import array_api_compat
import networkx as nx
import numpy as np
import pytest
import toys

from mfnet_envs.exact import ExactGame, IndividualTable, NamedGame
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_theory import marginal
from mfnet_theory.gradient import learned
from mfnet_theory.instances import Crowded, some_policy
from mfnet_theory.statement import Settings
from mfnet_theory.worth import Marginal, beside, unmoved

GAMMA = 0.8


class Harbours(LocalModel):
    """Two harbours, and nowhere: who is at sea in 0 or 1 stays (0) or asks to cross (1), which a crowd slows down.

    Everything reads the own node. Node 2, nowhere, is never left, never reached, and pays nothing.
    """

    def __init__(self, population: int, *, nowhere: bool = False, crossing: float = 3.0) -> None:
        nodes = 3 if nowhere else 2
        other = np.array([1, 0, 2])[:nodes]
        stay = np.arange(nodes)
        self.crossing = crossing
        super().__init__(
            network=StateNetwork.line(nodes),
            population=population,
            num_actions=2,
            branches=(Branch.to(np.column_stack([stay, stay])), Branch.to(np.column_stack([stay, other]))),
            reward_range=(-1.0, 1.0),
            initial=np.array([0.7, 0.3, 0.0])[:nodes],
            gamma=GAMMA,
            kernel_reads="own",
        )

    def reward(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        earns = xp.asarray([[1.0, 0.9], [0.4, 0.5], [0.0, 0.0]][: len(self.legal)])
        pays = xp.asarray([[1.0], [0.2], [0.0]][: len(self.legal)])
        return earns - pays * mu_hood[:, :, 0, :] ** 2

    def branch_weights(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        held = self.crossing * mu_hood[:, :, 0, :] / (1 + self.crossing * mu_hood[:, :, 0, :])
        return xp.stack([held, 1 - held], -1)


class Settled(LocalModel):
    """Everybody stays for ever and earns 1 - (c / N)^2 where c are."""

    def __init__(self, population: int) -> None:
        network = StateNetwork.line(2)
        stay = Branch.to(np.arange(2)[:, None])
        super().__init__(network=network, population=population, num_actions=2, branches=(stay,), gamma=GAMMA,
                         reward_range=(0.0, 1.0), kernel_reads="none")  # fmt: skip

    def reward(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        return xp.broadcast_to(1 - mu_hood[:, :, 0, :] ** 2, (*mu_hood.shape[:2], 2))

    def branch_weights(self, mu_hood: Any) -> Any:
        return 0 * mu_hood[:, :, :1, :1] + 1


class Answers(LocalModel):
    """Nothing crowds: from the hub, action a leads to leaf a, of which the first pays 1; leaves lead back."""

    def __init__(self) -> None:
        super().__init__(
            network=StateNetwork(nx.star_graph(2)),
            population=2,
            num_actions=2,
            branches=(Branch.to(np.array([[1, 2], [0, 0], [0, 0]])),),
            legal=np.array([[True, True], [True, False], [True, False]]),
            reward_range=(0.0, 1.0),
            initial=np.array([1.0, 0.0, 0.0]),
            gamma=GAMMA,
            kernel_reads="none",
        )

    def reward(self, mu_hood: Any) -> Any:
        xp = array_api_compat.array_namespace(mu_hood)
        return 0 * mu_hood[:, :, 0, :1] + xp.asarray([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])

    def branch_weights(self, mu_hood: Any) -> Any:
        return 0 * mu_hood[:, :, :1, :1] + 1


def worth_of(model: LocalModel, pi: np.ndarray) -> Marginal:
    return Marginal(ExactGame(model).under(IndividualTable(model, pi)))


def flat(model: LocalModel, seed: int = 0) -> np.ndarray:
    """A policy that ignores the crowd."""
    return np.repeat(some_policy(model, seed)[:, 1:2], model.population + 1, 1)


def everywhere(worth: Marginal) -> Iterator[tuple[int, int, np.ndarray]]:
    """Every state s and every nu, with its place."""
    for s in range(worth.others.shape[1]):
        for place, nu in enumerate(worth.others):
            yield s, place, nu


def relative(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


# -- M


def test_m_is_what_an_agent_from_nowhere_adds() -> None:
    """Named agents on the harbours and nowhere: V(nu) is the value where the last of them is nowhere."""
    n = 4
    small, large = Harbours(n), Harbours(n, nowhere=True)
    pi = some_policy(large, 3)
    named = NamedGame(large)
    values = dict(zip(map(tuple, named.states), named.values(pi, GAMMA).sum(1), strict=True))
    worth = worth_of(small, pi[:2])
    for s, place, nu in everywhere(worth):
        others = tuple(np.repeat([0, 1], nu))
        assert worth.exact[place, s] == pytest.approx(values[*others, s] - values[*others, 2], abs=1e-10)


def test_m_of_the_settled_is_the_social_cost_at_the_margin() -> None:
    """(n + 1) r(n + 1) - n r(n), of which r(n + 1) is own pay; nobody answers, and the forms as played are exact."""
    worth = worth_of(Settled(5), some_policy(Settled(5), 1))
    for s, place, nu in everywhere(worth):
        n, more = nu[s], 1 - ((nu[s] + 1) / 5) ** 2
        felt = n * (more - (1 - (n / 5) ** 2))
        assert worth.externality[place, s] == pytest.approx(felt, abs=1e-12)
        assert worth.exact[place, s] == pytest.approx((more + felt) / (1 - GAMMA), abs=1e-12)
    assert np.abs(worth.response).max() <= 1e-12
    assert worth.as_played.fixed_point == pytest.approx(worth.exact, abs=1e-12)


def test_nothing_crowds_and_yet_the_others_answer() -> None:
    """At the hub one plays the paying leaf with chance p, each of two with q: M = (2 q - p) g / (1 - g^2) there.

    The response is q - p times what the leaf pays one step later. Without it M would be q g / (1 - g^2).
    """
    p, q = 0.9, 0.3
    pi = np.zeros((3, 3, 2))
    pi[..., 0] = 1
    pi[0, 1], pi[0, 2] = (p, 1 - p), (q, 1 - q)
    worth = worth_of(Answers(), pi)
    hub = int(worth.without.index(np.array([1, 0, 0])))
    cycle = GAMMA / (1 - GAMMA**2)
    assert worth.exact[hub, 0] == pytest.approx((2 * q - p) * cycle, abs=1e-12)
    assert worth.response[hub, 0] == pytest.approx(GAMMA * (q - p), abs=1e-12)
    assert worth.externality == pytest.approx(np.zeros((3, 3)), abs=1e-12)
    for form in (worth.no_response, worth.as_played.fixed_point):
        assert form[hub, 0] == pytest.approx(q * cycle, abs=1e-12)


# -- the identity and the recursion

FORMS = {name: model for name, model in toys.every_form(3).items() if model.quota is None}
FORMS["harbours"] = Harbours(3)


@pytest.mark.parametrize("name", FORMS)
def test_the_gradient_of_one_agent_is_17(name: str) -> None:
    """Transit, illegal actions, layers and groups included; M may be measured from anything that only nu knows."""
    model = FORMS[name]
    game = ExactGame(model)
    for policy in (IndividualTable(model, some_policy(model, 2)), learned(model, "individual", 2)):
        worth = Marginal(game.under(policy))
        truth = worth.at.policy_gradient
        rng = np.random.default_rng(0)
        assert relative(worth.gradient(worth.exact), truth) <= 1e-10
        assert relative(worth.gradient(worth.exact + rng.normal(size=(len(worth.others), 1))), truth) <= 1e-10
        assert relative(worth.gradient(worth.exact + rng.normal(size=worth.others.shape)), truth) > 1e-2
        recursion = worth.own(worth.exact) + worth.externality + worth.response
        assert recursion == pytest.approx(worth.exact, abs=1e-10)


def test_without_response_it_is_17_where_pi_ignores_the_crowd() -> None:
    for model in (Crowded(StateNetwork.line(3), 3), toys.layered(3), Harbours(4)):
        assert relative((w := worth_of(model, flat(model))).gradient(w.no_response), w.at.policy_gradient) <= 1e-10
        assert (
            relative((w := worth_of(model, some_policy(model, 0))).gradient(w.no_response), w.at.policy_gradient) > 1e-2
        )


def test_as_played_is_exact_where_only_pay_crowds() -> None:
    """And where the kernel crowds too, off by O(1 / N): twice the agents, half of it."""
    model = Harbours(4, crossing=0.0)
    worth = worth_of(model, flat(model))
    assert np.abs(worth.externality).max() > 0.1
    assert worth.as_played.fixed_point == pytest.approx(worth.exact, abs=1e-10)
    off = []
    for n in (40, 80, 160):
        crowded = Harbours(n)
        worth = worth_of(crowded, np.tile([0.4, 0.6], (2, n + 1, 1)))
        off.append(np.abs(worth.as_played.fixed_point - worth.exact).max())
    assert off[0] > 1e-3
    assert np.diff(np.log2(off)) == pytest.approx([-1, -1], abs=0.1)


def test_all_forms_are_right_where_nothing_crowds_and_pi_ignores_it() -> None:
    """There M is the value of one agent alone, by its own Markov chain; and one step stretches by gamma."""
    model = unmoved(Crowded(StateNetwork.line(3), 3))
    pi = flat(model)
    worth = worth_of(model, pi)
    one = NamedGame(unmoved(Crowded(StateNetwork.line(3), 1)))
    alone = one.values(pi[:, :2], model.gamma)[:, 0]
    for m in (
        worth.exact,
        worth.no_response,
        worth.as_played.fixed_point,
        worth.projected(worth.as_played.fixed_point),
    ):
        assert m == pytest.approx(np.tile(alone, (len(worth.others), 1)), abs=1e-9)
    assert worth.as_played.growth == pytest.approx(model.gamma, abs=1e-12)


@pytest.mark.parametrize("name", FORMS)
def test_counted_once_it_is_exact_for_two_agents(name: str) -> None:
    """There is but one other to be changed; as played, what the two do to each other counts twice."""
    model = {**toys.every_form(2), "harbours": Harbours(2)}[name]
    worth, flat_ = worth_of(model, some_policy(model, 1)), worth_of(model, flat(model, 1))
    assert worth.offered(once=True, response=True).fixed_point == pytest.approx(worth.exact, abs=1e-9)
    assert flat_.offered(once=True).fixed_point == pytest.approx(flat_.exact, abs=1e-9)
    if name.startswith("general"):
        assert np.abs(worth.offered(response=True).fixed_point - worth.exact).max() > 1e-3


def test_counting_once_is_a_bend_where_one_lands() -> None:
    """What own continuation differs by: p b times how many more of the others land there, but for an O(1 / N)th."""
    off = []
    for n in (20, 40, 80):
        model = Harbours(n)
        worth = worth_of(model, np.tile([0.4, 0.6], (2, n + 1, 1)))
        m = worth.exact
        unfelt, felt = (worth.offered(once=once)(m) for once in (True, False))
        place = n // 2 - 1  # nu, half of them here and half there
        before = worth.without.transition(worth.answer(None))[place]
        for s in (0, 1):
            more = (worth.laws[s, place] - before) @ worth.others  # of the others, in each state
            nu = worth.others[place] + np.eye(2, dtype=int)[s]
            lands = np.zeros(2)
            move = 0.6 / (1 + model.crossing * nu[s] / n)
            lands[s], lands[1 - s] = 1 - move, move
            near = round(float(before @ worth.others[:, 0]))  # the place of (k, N - 1 - k) is k
            bend = [m[near + 1, 0] - m[near, 0], m[near - 1, 1] - m[near, 1]]
            truth = felt[place, s] - unfelt[place, s]
            off.append(abs(GAMMA * lands @ (more * bend) - truth) / abs(truth))
    assert max(off[-2:]) < 0.05
    assert np.diff(np.log2(np.reshape(off, (3, 2))), axis=0) == pytest.approx(np.full((2, 2), -1), abs=0.05)


def test_pulling_back_ends_as_played() -> None:
    worth = worth_of(Harbours(5), some_policy(Harbours(5), 0))
    m = worth.projected(worth.as_played.fixed_point, 1)
    for _ in range(200):
        m = worth.as_played(m)
    assert m == pytest.approx(worth.as_played.fixed_point, abs=1e-9)
    assert GAMMA - 1e-9 <= worth.as_played.growth < 1


@pytest.mark.parametrize("crossing", [0.0, 3.0])
def test_leave_one_out_along_what_was_played(crossing: float) -> None:
    """Of all that can be played at (3, 2), in the mean, with any g(crowd) in the place of M where one lands.

    The share f of the team of 0 that crossed, with g one agent less, else g as it is: E g of the others' crowd. Where
    the crossing is drawn and f is the share that asked, times its weight w: off by pi w (1 - w) times E of g's bend.
    """
    n, mu = 5, np.array([3, 2])
    model = Harbours(n, crossing=crossing)
    worth = worth_of(model, some_policy(model, 4))
    game, pi = worth.at.game, worth.pi[0, mu[0], 1]
    (weight,) = model.branch_weights(np.array([[[[mu[0] / n], [0.0]], [[mu[1] / n], [0.0]]]]))[0, :1, 0, 1]
    g = np.random.default_rng(0).normal(size=n + 3)  # g[c + 1] of a crowd of c
    chance = worth.at.mixing.toarray()[int(game.index(mu))]
    after, crowd = game.pair_transition(), game.count_vectors[:, 1]
    share = game.pairs[:, 0, 1] / mu[0] * weight
    kept = chance @ (share * (after @ g[crowd]) + (1 - share) * (after @ g[crowd + 1]))
    others = worth.laws[0, int(worth.without.index(mu - [1, 0]))]
    there = worth.others[:, 1]
    off = pi * weight * (1 - weight) * others @ (g[there + 2] - 2 * g[there + 1] + g[there])
    assert kept - others @ g[there + 1] == pytest.approx(off, abs=1e-10)
    assert (abs(off) > 1e-3) == (crossing > 0)


# -- critics that see their own crowd


def test_the_linear_critic_is_least_squares_under_sigma() -> None:
    """What is left is at right angles to what it may use, as agents meet the crowd; a plane function is kept."""
    model = toys.layered(4)
    worth = worth_of(model, some_policy(model, 0))
    m = np.random.default_rng(0).normal(size=worth.others.shape)
    fit, constant = worth.projected(m), worth.projected(m, 1)
    sigma = worth.at.visitation
    for s in range(model.network.num_states):
        node = slice(s // 2 * 2, s // 2 * 2 + 2)  # one group: both layers of the node are its crowd
        left: dict[str, float] = dict.fromkeys(("1", "c", "constant"), 0.0)
        total = 0.0
        for place, nu in enumerate(worth.others):
            mu = nu + np.eye(len(nu), dtype=int)[s]
            weight = sigma[int(worth.at.game.index(mu))] * mu[s]
            error = weight * (m[place, s] - fit[place, s])
            left["1"] += error
            left["c"] += error * mu[node].sum()
            left["constant"] += weight * (m[place, s] - constant[place, s])
            total += weight
        assert np.abs(list(left.values())).max() <= 1e-10 * total
        assert np.ptp(constant[:, s]) <= 1e-12
    crowd = worth.others.reshape(-1, 2, 2).sum(2)  # at each node
    plane = np.repeat(2.0 - 0.7 * crowd, 2, axis=1)
    assert worth.projected(plane) == pytest.approx(plane, abs=1e-10)


def test_a_critic_of_a_place_where_nobody_is() -> None:
    """Its fit is the plain one; it enters no gradient."""
    model = Answers()
    pi = np.zeros((3, 3, 2))
    pi[..., 0] = 1  # nobody sees leaf 2
    worth = worth_of(model, pi)
    assert np.isfinite(worth.projected(worth.as_played.fixed_point)).all()


# -- refusals, and the experiment


def test_what_has_no_marginal_values_is_refused() -> None:
    quota = toys.rationed(3)
    with pytest.raises(ValueError, match="matching='independent'"):
        worth_of(quota, some_policy(quota, 0))
    with pytest.raises(ValueError, match="matching='independent'"):
        beside(quota, 0)
    alone = Harbours(1)
    with pytest.raises(ValueError, match="population of at least 2"):
        worth_of(alone, some_policy(alone, 0))
    model = Crowded(StateNetwork.line(2), 2)
    with pytest.raises(ValueError, match="Individually"):
        Marginal(ExactGame(model).under(toys.Unanimous(model)))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (toys.rationed(2), "rationed together"),
        (Harbours(1), "one agent"),
        (toys.CrowdModel(network=StateNetwork.line(2), population=2, num_actions=1,
                         branches=(Branch.to([[0], [1]]),)), "has a choice"),
        (toys.general(60), "unknowns"),
    ],
)  # fmt: skip
def test_a_users_model_that_is_not_asked(model: LocalModel, why: str) -> None:
    found = marginal.run(Settings(model=model, say=lambda _: None))
    assert found.statements == ()
    assert why in found.text


def test_a_users_model_is_asked() -> None:
    found = marginal.run(Settings(model=toys.travelling(2), say=lambda _: None))
    assert [line.verdict for line in found.statements] == ["holds"] * 3
    assert len(found.tables["bias"].rows) == 3 * len(marginal.FORMS)


def test_statements_fail_where_a_factor_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of N agents divided by N, or a kernel that never feels the one more."""
    settings = Settings(model=toys.general(3), say=lambda _: None)

    def verdicts() -> list[str]:
        return [line.verdict for line in marginal.run(settings).statements]

    assert verdicts() == ["holds"] * 3
    honest = Marginal.exact.func  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(Marginal, "exact", property(lambda worth: honest(worth) / worth.model.population))
        assert verdicts()[:2] == ["fails", "fails"]
    with monkeypatch.context() as patch:
        patch.setattr(Marginal, "externality", property(lambda worth: np.zeros(worth.others.shape)))
        assert verdicts() == ["holds", "fails", "fails"]
