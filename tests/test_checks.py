"""Each lie a model can tell is caught, with a sentence that names it; honest models pass."""

from copy import copy
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
import toys

from mfnet_envs.conformance.models import check_env, check_model
from mfnet_envs.model import Branch, Quota
from mfnet_envs.network import StateNetwork
from mfnet_envs.scenarios import grid_v0

NOTHING = gymnasium.spaces.Box(0, 1, (2,), np.float64)
CHOICE = gymnasium.spaces.Discrete(2)


@pytest.mark.parametrize("population", [1, 4, 1000])
@pytest.mark.parametrize("form", list(toys.every_form()))
def test_honest_models_pass(form: str, population: int) -> None:
    model = toys.every_form(population)[form]
    report = check_model(model)
    assert report.crowds > 40
    assert -1 <= report.rewards[0] <= report.rewards[1] <= 1
    assert any("quota" in line for line in report.passed) == (model.quota is not None)
    assert any("torch" in line for line in report.passed)
    assert str(report).startswith(f"{report.crowds} crowds")


@pytest.mark.parametrize("matching", ["physical", "independent"])
def test_the_grid_passes(matching: Any) -> None:
    check_model(grid_v0.build(matching=matching), np.random.default_rng(1))


class Honest(toys.CrowdModel):
    """Three nodes in a line, K = D; each test below changes one thing."""

    def __init__(self, **more: Any) -> None:
        network = StateNetwork.line(3)
        super().__init__(network=network, population=20, num_actions=2, branches=toys.slots(network), **more)


class RewardTooHigh(Honest):
    def reward(self, mu_hood: Any) -> Any:
        return super().reward(mu_hood) + 0.9


class RewardNaNWhenEmpty(Honest):
    """The classic 0 / 0."""

    def reward(self, mu_hood: Any) -> Any:
        own = mu_hood[:, :, :1, 0]
        with np.errstate(invalid="ignore"):
            return super().reward(mu_hood) * own / own


class RewardOfOneColumn(Honest):
    def reward(self, mu_hood: Any) -> Any:
        return super().reward(mu_hood)[..., :1]


class RewardOfEverybody(Honest):
    """Looks at the node at the far end of the line."""

    def reward(self, mu_hood: Any) -> Any:
        return super().reward(mu_hood) * (1 - 0.5 * mu_hood[:, -1:, :1, 0])


class RewardOfTheBatch(Honest):
    """Scales by the largest crowd of all worlds."""

    def reward(self, mu_hood: Any) -> Any:
        return super().reward(mu_hood) * mu_hood[..., 0].mean()


class RewardOfTheHistory(Honest):
    """Remembers how often it was asked."""

    asked = 0

    def reward(self, mu_hood: Any) -> Any:
        self.asked += 1
        return super().reward(mu_hood) / self.asked


class RewardInPlace(Honest):
    def reward(self, mu_hood: Any) -> Any:
        mu_hood *= 0.5
        return super().reward(mu_hood)


class WeightsShort(Honest):
    def branch_weights(self, mu_hood: Any) -> Any:
        return super().branch_weights(mu_hood) * 0.99


class WeightsNegative(Honest):
    def branch_weights(self, mu_hood: Any) -> Any:
        return super().branch_weights(mu_hood) + np.array([1.0, -1.0, 0.0])


class WeightsNaN(Honest):
    def branch_weights(self, mu_hood: Any) -> Any:
        return super().branch_weights(mu_hood) * np.nan


class WeightsOfTwoBranches(Honest):
    def branch_weights(self, mu_hood: Any) -> Any:
        return super().branch_weights(mu_hood)[..., :2]


class WeightsOfTheNeighbour(Honest):
    """Says it reads its own node, and reads the neighbour."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel_reads = "own"


class WeightsOfTheOwnNode(Honest):
    """Says it reads nothing, and reads its own node."""

    def __init__(self) -> None:
        super().__init__(kernel_reads="own")
        self.kernel_reads = "none"


class NumpyOnly(Honest):
    def reward(self, mu_hood: Any) -> Any:
        return super().reward(mu_hood.astype(float))


class OtherOnTorch(Honest):
    def reward(self, mu_hood: Any) -> Any:
        return super().reward(mu_hood) * (1 if isinstance(mu_hood, np.ndarray) else 0.5)


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        (RewardTooHigh, r"reward leaves reward_range = \(-1.0, 1.0\) at state \d"),
        (RewardNaNWhenEmpty, r"reward is NaN or infinite at state \d"),
        (RewardOfOneColumn, r"reward must have shape \(B, R, A\)"),
        (RewardOfEverybody, r"reward reads more than the crowd in N_s at state \d"),
        (RewardOfTheBatch, "reward of one world depends on the other worlds"),
        (RewardOfTheHistory, "reward answers differently when asked twice"),
        (RewardInPlace, "changes the crowd it is handed"),
        (WeightsShort, r"branch_weights do not sum to 1 over branches at state 0"),
        (WeightsNegative, r"branch_weights are negative at state \d"),
        (WeightsNaN, r"branch_weights are NaN or infinite at state 0"),
        (WeightsOfTwoBranches, r"branch_weights must have shape \(B, R, A or 1, K\)"),
        (WeightsOfTheNeighbour, r"branch_weights read more than kernel_reads = 'own' says at state \d"),
        (WeightsOfTheOwnNode, r"branch_weights read more than kernel_reads = 'none' says at state \d"),
        (NumpyOnly, "reward does not run on torch tensors"),
        (OtherOnTorch, "reward gives other numbers on torch tensors"),
    ],
)
def test_lies_are_found(lie: type[Honest], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_model(lie())


def test_honest_is_honest() -> None:
    check_model(Honest())


class ServesHalf(toys.QuotaModel):
    def branch_weights(self, mu_hood: Any) -> Any:
        weights = super().branch_weights(mu_hood)
        return np.concatenate([weights[..., :1] / 2, weights[..., 1:] + weights[..., :1] / 4], -1)


def test_a_quota_must_agree_with_its_weight() -> None:
    network = StateNetwork.line(3)
    branches = (toys.spread(network), Branch.to(toys.moves(network)), toys.spread(network, 1))
    quota = Quota(0, np.array([0.4, 1.1, 2.3]))
    model = ServesHalf(network=network, population=9, num_actions=3, branches=branches, quota=quota)
    with pytest.raises(ValueError, match="the weight of the quota's branch 0 is not the share served"):
        check_model(model)


class Walk(gymnasium.Env[np.int64, np.int64]):
    """One agent on three cells; ``fair`` is False for an observation outside its space."""

    observation_space = gymnasium.spaces.Discrete(3)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, fair: bool) -> None:
        self.far = 2 if fair else 7

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        return np.int64(self.far), {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        return np.int64(action), 0.0, False, False, {}


class Pair(pettingzoo.ParallelEnv[str, Any, Any]):
    """Two agents who see nothing; ``fair`` is False for rewards that do not say whose they are."""

    metadata = {"name": "pair_v0", "render_modes": []}  # noqa: RUF012
    possible_agents = ["agent_0", "agent_1"]  # noqa: RUF012
    render_mode = None

    def __init__(self, fair: bool) -> None:
        self.fair = fair

    def observation_space(self, agent: str) -> Any:
        return NOTHING

    def action_space(self, agent: str) -> Any:
        return CHOICE

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents = list(self.possible_agents)
        return self.each(np.ones(2)), self.each({})

    def step(self, actions: Any) -> Any:
        rewards = self.each(0.0)
        paid = rewards if self.fair else list(rewards.values())
        return self.each(np.ones(2)), paid, self.each(False), self.each(False), self.each({})

    def each(self, value: Any) -> dict[str, Any]:
        return {agent: copy(value) for agent in self.agents}


def test_check_env_hands_on_to_the_right_checks() -> None:
    check_env(Honest())
    check_env(Walk(fair=True))
    check_env(Pair(fair=True))
    check_env(pettingzoo.utils.parallel_to_aec(Pair(fair=True)))
    for unfair in (Walk(fair=False), Pair(fair=False)):
        with pytest.raises(AssertionError):
            check_env(unfair)
    with pytest.raises(ValueError, match="reward_range"):
        check_env(RewardTooHigh())
    with pytest.raises(TypeError, match=r"takes a LocalModel, a gymnasium.Env or a PettingZoo environment, not dict"):
        check_env({})
