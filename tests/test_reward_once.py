"""A reward is said once: change it from outside, and everything that reads it reads the new one."""

from typing import Any

import numpy as np
import pytest
import toys
from scipy.stats import poisson

import mfnet_envs
from mfnet_agents import DecNeuralACConfig
from mfnet_envs import LocalModel, Simulator, evaluate
from mfnet_envs.conformance.models import check_model
from mfnet_envs.exact import ExactGame
from mfnet_envs.measure import measure
from mfnet_envs.model import Branch, reads
from mfnet_envs.network import StateNetwork
from mfnet_envs.programmes import day_lp
from mfnet_envs.scenarios.braess_v0 import Braess
from mfnet_envs.scenarios.courier_v0 import Courier
from mfnet_envs.scenarios.grid_v0 import Grid
from mfnet_envs.scenarios.resource_v0 import Resource
from mfnet_envs.scenarios.rideshare_nyc_v0 import RideShareNYC
from mfnet_envs.scenarios.sis_v0 import SIS
from mfnet_envs.scenarios.twobytwo_v0 import TwoByTwo

LAST = 2  # of a line of three nodes
ON_A_LINE: dict[str, Any] = {"population": 12, "graph": [[0, 1], [1, 2]], "demand": [0.6, 0.3, 0.1], "horizon": 40}


class Unpaid(RideShareNYC):
    def reward(self, mu_hood: Any) -> Any:
        return 0 * super().reward(mu_hood)


class FarEnd(Grid):
    """Only riders of the last node pay; said branch by branch."""

    def branch_rewards(self) -> Any:
        rewards = super().branch_rewards()
        rewards[:LAST, :, 0] = 0
        return rewards


class Crowded(Grid):
    """Only standing at the last node pays; said as a function."""

    def reward(self, mu_hood: Any) -> Any:
        return 0 * super().reward(mu_hood) + (np.arange(3) == LAST)[:, None]


def expected_min(n: np.ndarray, rate: float) -> np.ndarray:
    """E min(n, Poisson(rate)), summed from scipy's law."""
    places = np.arange(200)
    return np.array([(np.minimum(m, places) * poisson.pmf(places, rate)).sum() for m in n])


def everywhere(model: LocalModel, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Crowds and the team rewards the simulator pays to agents that stay."""
    counts = Simulator(model).reset(rng, 5)
    actions = np.zeros((*counts.shape, model.num_actions), np.int64)
    actions[..., 0] = counts
    return counts, Simulator(model).step(counts, actions, rng)[1]


@pytest.mark.usefixtures("forget")
def test_who_is_not_paid_learns_from_nothing() -> None:
    """What the reward says anew is what is paid, booked, bounded and checked."""
    options: dict[str, Any] = {"population": 200, "occupied": "markov"}
    model = Unpaid(**options)
    assert model.branch_rewards() is None and model.bound() is None and not model.reward_is_derived
    assert sorted(model.heuristics()) == ["greedy", "proportional", "random", "stay"]
    assert not everywhere(model, np.random.default_rng(0))[1].any()
    report = evaluate(model, model.heuristics()["random"], worlds=2, steps=5, warmup=0)
    assert report["reward_per_step_mean"] == report["discounted_return_mean"] == 0
    check_model(model)
    mfnet_envs.register("Unpaid-v0", Unpaid)
    algo = DecNeuralACConfig().environment("Unpaid-v0", env_config=options).build_algo()
    assert algo.train()["env_runners"]["sampled_reward_mean"] == 0


def test_branch_rewards_changed_from_outside_are_paid_and_bounded() -> None:
    """At the last node a driver earns q = phi(n) / n, elsewhere nothing; the best planner stays below the bound."""
    model = FarEnd(**ON_A_LINE)
    counts, paid = everywhere(model, np.random.default_rng(1))
    served = expected_min(counts[:, LAST], model.rate[LAST])
    np.testing.assert_allclose(paid, np.eye(3)[LAST] * (served / 12)[:, None], atol=1e-12)
    check_model(model)
    few = FarEnd(**{**ON_A_LINE, "population": 4})
    game = ExactGame(few)
    best = game.expected(game.optimal_values(steps=40))
    certificate = few.bound()
    assert certificate is not None
    assert (
        0.9 * certificate.value < best < certificate.value < 0.5 * Grid(**{**ON_A_LINE, "population": 4}).bound().value
    )


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize("changed", [FarEnd, Crowded])
def test_the_learner_learns_the_new_reward(changed: type[Grid]) -> None:
    """A few iterations suffice to go to the last node, where hardly any demand of the old reward is."""

    def trained(kind: type[Grid]) -> Any:
        id = f"Own{kind.__name__}-v0"  # "Grid-v0" would be another's name in PettingZoo
        mfnet_envs.register(id, kind, max_episode_steps=40)
        config = DecNeuralACConfig().environment(id, env_config=ON_A_LINE).training(actor_lr=0.1).debugging(seed=0)
        algo = config.build_algo()
        for _ in range(25):
            algo.train()
        return algo.policy

    model = changed(**ON_A_LINE)
    results = measure(model, {"new": trained(changed), "old": trained(Grid)}, worlds=64).results
    gain = results["new"].values - results["old"].values
    assert gain.mean() > 0.3 * abs(results["new"].value)
    assert gain.mean() > 5 * gain.std() / 8


def test_fares_that_differ_keep_the_bound_a_bound() -> None:
    """A fare by node, a fare for the action taken, a fee for staying: the planner of the exact game stays below."""

    class Odd(Grid):
        def branch_rewards(self) -> Any:
            rewards = super().branch_rewards()
            rewards[..., 0] += 0.5 * np.arange(3)[:, None] + 0.2 * np.arange(self.num_actions)
            rewards[:, 0, 1] -= 0.05
            return rewards

    model = Odd(**{**ON_A_LINE, "population": 4, "horizon": 25})
    assert model.reward_range == (-0.1, pytest.approx(1 + 1.0 + 0.2))
    check_model(model)
    game = ExactGame(model)
    best = game.expected(game.optimal_values(steps=25))
    certificate = model.bound()
    assert certificate is not None and 0.75 * certificate.value < best < certificate.value


@pytest.mark.parametrize("occupied", ["destination", "markov"])
def test_twice_the_pay_is_twice_the_bound_in_manhattan(occupied: Any) -> None:
    class Double(RideShareNYC):
        def branch_rewards(self) -> Any:
            return 2 * super().branch_rewards()

    options: dict[str, Any] = {"population": 100, "occupied": occupied}
    usual, double = RideShareNYC(**options).bound(), Double(**options).bound()
    assert usual is not None and double is not None
    assert double.value == pytest.approx(2 * usual.value, rel=1e-9)
    assert set(Double(**options).heuristics()) == set(RideShareNYC(**options).heuristics())


def test_a_day_pays_every_hour_its_own_fares() -> None:
    """Six steps an hour, riders at one end in odd hours and at the other in even ones, who end where they begin and pay
    in odd hours only: all wait at the first end, and earn in every other hour."""
    line, here = StateNetwork.line(2), np.hstack([np.eye(2), np.zeros((2, 2))])
    cost = np.array([[0.0, 0.1], [0.0, 0.1]])
    hours = [day_lp.Hour(np.array([50.0, 0.0]), None, here, here, np.ones(2), cost)]
    hours += [day_lp.Hour(np.array([0.0, 50.0]), None, here, here, np.zeros(2), cost)]
    assert day_lp.solve(day_lp.Day(20, line.neighbors, 6), hours).value == pytest.approx(20 * 6 / 12)


def test_manhattan_hands_the_programme_of_the_day_its_hours() -> None:
    class Mornings(RideShareNYC):
        pay = 1.0

        def branch_rewards(self) -> Any:
            return super().branch_rewards() * self.pay

    city = Mornings(population=40, hour="day", occupied="markov")
    for hour in city.hours[12:]:
        hour.pay = 0.0
    assert [float(hour._earnings()[0].max()) for hour in city.hours] == [1.0] * 12 + [0.0] * 12
    assert [round(float(hour._earnings()[1].max()), 9) for hour in city.hours] == [0.1] * 12 + [0.0] * 12


def test_a_programme_says_nothing_where_the_loaded_are_paid() -> None:
    class Meter(RideShareNYC):
        def branch_rewards(self) -> Any:
            return super().branch_rewards() + 0.05

    model = Meter(population=50, occupied="markov")
    assert model.bound() is None and "lp" not in model.heuristics()
    check_model(model)


def test_couriers_who_are_paid_for_walking_keep_their_bound() -> None:
    """No parcels are wanted, so the best is to walk for ever, for .3 a step."""

    class Strollers(Courier):
        def branch_rewards(self) -> Any:
            return super().branch_rewards() * -1.0 * np.array([0.0, 1.0])

    model = Strollers(10, total_demand=0.0, move_cost=0.3)
    certificate = model.bound()
    assert certificate is not None and certificate.value == pytest.approx(0.3)
    check_model(model)


def halved(kind: type[LocalModel]) -> type[LocalModel]:
    """The same with half the reward, said as a function."""

    def reward(self: LocalModel, mu_hood: Any) -> Any:
        return 0.5 * super(half, self).reward(mu_hood)

    half = type(kind.__name__ + "Half", (kind,), {"reward": reward})
    return half


@pytest.mark.parametrize("kind", [Grid, RideShareNYC, Courier, Braess, Resource, SIS, TwoByTwo])
def test_no_certificate_is_of_another_reward(kind: Any) -> None:
    """The reward may call on the one it replaces; neither bound nor planners of the old one are left."""
    usual, half = kind(population=20), halved(kind)(population=20)  # type: ignore[call-arg]
    hood = Simulator(usual).mu_hood(Simulator(usual).reset(np.random.default_rng(0), 3))
    np.testing.assert_array_equal(half.reward(hood), 0.5 * usual.reward(hood))
    assert half.bound() is None and half.branch_rewards() is None
    assert "bound" in half.unproved and usual.unproved == ()
    assert any(line.startswith("not inherited") and "bound" in line for line in check_model(half).passed)
    assert not {"lp", "threshold_lp", "hybrid_lp"} & set(half.heuristics())


@pytest.mark.parametrize("method", ["branch_weights", "served"])
def test_no_certificate_is_of_another_kernel(method: str) -> None:
    lazy = type("Lazy", (Grid,), {method: lambda self, mu_hood: getattr(Grid, method)(self, mu_hood)})
    assert lazy(population=5).bound() is None


class Toy(LocalModel):
    """Two nodes; everybody stays."""

    def __init__(self) -> None:
        network = StateNetwork.line(2)
        home = Branch.to(np.arange(2)[:, None])
        super().__init__(network=network, population=3, num_actions=2, branches=(home, home), reward_range=(0, 9))

    def branch_weights(self, mu_hood: Any) -> Any:
        share = mu_hood[:, :, :1, 0, None]
        return np.concatenate([share, 1 - share], -1)


class ByBranch(Toy):
    def branch_rewards(self) -> Any:
        return np.broadcast_to([1.0, 3.0], (2, 2, 2))

    def bound(self) -> Any:
        return "of by branch"

    @reads("branch_rewards")
    def plan(self) -> str:
        return "a plan"


def paying(model: LocalModel) -> list[float]:
    """Rewards at two agents in node 0 and one in node 1."""
    rewards = model.reward(Simulator(model).mu_hood(np.array([[2, 1]])))
    assert rewards.shape == (1, 2, 2) and (rewards[..., 0] == rewards[..., 1]).all()
    return [float(reward) for reward in rewards[0, :, 0]]


def test_the_reward_follows_from_the_branches() -> None:
    """2/3 x 1 + 1/3 x 3 and 1/3 x 1 + 2/3 x 3."""
    assert paying(ByBranch()) == pytest.approx([5 / 3, 7 / 3])
    assert ByBranch().reward_is_derived


def test_the_nearest_statement_wins() -> None:
    class Flat(ByBranch):
        def reward(self, mu_hood: Any) -> Any:
            return 0 * super().reward(mu_hood) + 7

    class Again(Flat):
        def branch_rewards(self) -> Any:
            return np.broadcast_to([2.0, 2.0], (2, 2, 2))

    class Heir(Flat):
        pass

    class Other(ByBranch):
        def branch_rewards(self) -> Any:
            return np.broadcast_to([0.0, 3.0], (2, 2, 2))

    class OwnBound(Flat):
        def bound(self) -> Any:
            return "of flat"

    class Later(Other):
        pass

    assert [paying(kind())[0] for kind in (Flat, Again, Heir, Other)] == pytest.approx([7, 2, 7, 1])
    assert Flat().branch_rewards() is Heir().branch_rewards() is None
    assert [kind().bound() for kind in (ByBranch, Flat, Again, Heir, Other)] == ["of by branch", None, None, None, None]
    assert OwnBound().bound() == "of flat"
    assert [kind().plan() for kind in (ByBranch, Flat, Heir, Other, Later)] == [
        "a plan",
        None,
        None,
        "a plan",
        "a plan",
    ]


def test_a_mixin_changes_a_reward_too() -> None:
    class Nothing:
        def reward(self, mu_hood: Any) -> Any:
            return np.zeros((len(mu_hood), 2, 2))

    class Mixed(Nothing, ByBranch):
        pass

    assert paying(Mixed()) == [0, 0]
    assert Mixed().branch_rewards() is None and Mixed().bound() is None


def test_a_model_must_say_what_agents_earn() -> None:
    with pytest.raises(TypeError, match="Toy must say what agents earn"):
        Toy()


def test_a_range_is_needed_only_where_the_branches_do_not_give_it() -> None:
    class Ranged(ByBranch):
        def __init__(self) -> None:
            super().__init__()
            del self.reward_range

    assert Ranged().reward_range == (1.0, 3.0)
    model = toys.deterministic()
    del model.reward_range
    with pytest.raises(ValueError, match="CrowdModel needs a reward_range"):
        _ = model.reward_range


class Both(ByBranch):
    """Says it twice, and the two differ at the last state."""

    def reward(self, mu_hood: Any) -> Any:
        return self.reward_from(self.branch_weights(mu_hood)) + np.array([0, 0.25])[:, None]

    def branch_rewards(self) -> Any:
        return np.broadcast_to([1.0, 3.0], (2, 2, 2))


def test_two_statements_must_agree() -> None:
    with pytest.raises(
        ValueError, match=r"reward pays 2.\d+ at state 1, action 0, but .* leave one of the two out of Both"
    ):
        check_model(Both())


def test_branch_rewards_have_a_shape() -> None:
    class Flat(ByBranch):
        def branch_rewards(self) -> Any:
            return np.ones((2, 1, 2))

    with pytest.raises(ValueError, match=r"branch_rewards must have shape \(R, A, K\) = \(2, 2, 2\), not \(2, 1, 2\)"):
        check_model(Flat())


@pytest.mark.usefixtures("forget")
def test_the_doors_pay_the_new_reward() -> None:
    mfnet_envs.register("FarEnd-v0", FarEnd, max_episode_steps=10)
    teams = mfnet_envs.parallel_env("FarEnd-v0", **ON_A_LINE)
    teams.reset_array(seed=0)
    staying = np.tile([1.0, -1.0, -1.0], (3, 1))[:, : FarEnd(**ON_A_LINE).num_actions]
    _, rewards, *_ = teams.step_array(staying)
    assert rewards[:LAST].max() <= 0 < rewards[LAST]
