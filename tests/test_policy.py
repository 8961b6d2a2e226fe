"""Policies of independent agents and of teams that draw together are two types."""

from typing import Any

import numpy as np
import pytest
import toys

from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies.energy import EnergyPolicy
from mfnet_agents.policies.individual import IndividualPolicy
from mfnet_envs import Simulator, evaluate
from mfnet_envs.exact import ExactGame, IndividualTable, TeamTable
from mfnet_envs.policy import Individually, Policy, TablePolicy, TeamPolicy, uniform


def test_a_sample_of_its_own_asks_for_the_type_of_teams() -> None:
    with pytest.raises(TypeError, match=r"Mine has a sample of its own.*derive it from mfnet_envs\.policy\.TeamPolicy"):

        class Mine(TablePolicy, independent=True):
            def sample(self, counts: Any, t: int, rng: Any) -> Any:
                return counts

    with pytest.raises(TypeError, match=r"Other has a team_law of its own"):

        class Other(Policy):
            def team_law(self, place: int, n: int) -> Any:
                return np.ones(1)


def test_the_type_says_who_draws() -> None:
    model = toys.deterministic(3)
    net = TwoLayer.create(np.random.default_rng(0), len(model.team_states), 1 + model.num_actions, 4, symmetric=False)
    energy = EnergyPolicy(model, net, "share", 1.0, tilted=False, per_agent=False)
    for together in (toys.Unanimous(model), energy):
        assert isinstance(together, TeamPolicy)
        assert together.acts_as_team
        assert "execution_gap_discounted_return_mean" in evaluate(model, together, worlds=2, steps=2)
    individual = IndividualPolicy(model, net, "share", 1.0)
    for alone in (individual, uniform(model), Individually(energy)):
        assert not isinstance(alone, TeamPolicy)
        assert not alone.acts_as_team
    assert individual.team_law(1, 2).sum() == pytest.approx(1)  # written out, and still of independent agents
    assert issubclass(TeamTable, TeamPolicy)
    assert not issubclass(IndividualTable, TeamPolicy)


def test_the_simulator_follows_either_type() -> None:
    """Teams as one, so that states empty at once; independent agents by the law that the exact game enumerates."""
    model = toys.deterministic(4)
    simulator, rng, counts = Simulator(model), np.random.default_rng(0), np.tile([0, 4, 0], (3000, 1))
    actions = simulator.follow(toys.Unanimous(model), counts, 0, rng).actions
    assert set(np.unique(actions[:, 1])) == {0, 4}
    played = uniform(model).play(simulator, counts, 0, rng)
    game = ExactGame(model)
    law = game.transition(uniform(model))[game.index(counts[0])]
    assert toys.fits(np.bincount(game.index(played.next_counts), minlength=len(law)), law)


def test_a_policy_has_no_simulator() -> None:
    with pytest.raises(AttributeError, match=r"take mfnet_envs\.Simulator\(policy\.model\)"):
        _ = uniform(toys.general()).simulator
