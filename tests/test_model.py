"""What a model refuses to be built from, and what it derives."""

import pickle
from typing import Any

import numpy as np
import pytest
import toys

from mfnet_envs.model import Branch, Quota
from mfnet_envs.network import StateNetwork

LINE = StateNetwork.line(3)
HOME = Branch.to(np.arange(3)[:, None])


@pytest.mark.parametrize("population", [0, -3, 2.0, "10", None, True, np.nan])
def test_population_must_be_a_positive_integer(population: Any) -> None:
    with pytest.raises(ValueError, match="population must be a positive integer"):
        toys.deterministic(population=population)


def test_population_may_be_a_numpy_integer() -> None:
    assert toys.deterministic(population=np.int32(7)).population == 7


def leaving() -> Branch:
    """State 0 of the line reaches state 2, two hops away, with the least probability."""
    return Branch(np.array([[[0, 2]], [[1, 1]], [[2, 2]]]), np.array([[[0.999, 0.001]], [[1, 0]], [[1, 0]]]))


@pytest.mark.parametrize(
    ("branch", "sentence"),
    [
        (leaving(), "branch 0 leaves the neighbourhood: from node 0 to node 2"),
        (Branch(HOME.successors, HOME.probabilities * 0.9), "the probabilities of state 0 sum to 0.9, not 1"),
        (Branch(HOME.successors, HOME.probabilities * np.nan), "branch 0 has NaN or negative probabilities"),
        (Branch(np.tile(HOME.successors, 2), np.tile([[[1.5, -0.5]]], (3, 1, 1))), "NaN or negative probabilities"),
        (Branch.to(np.arange(2)[:, None]), "branch 0 must have two tables of shape"),
        (Branch(HOME.successors, HOME.probabilities[:2]), "branch 0 must have two tables of shape"),
        (Branch.to(np.full((3, 1), 3)), r"points to states outside 0\.\.2"),
        (Branch.to(np.full((3, 1), -1)), r"points to states outside 0\.\.2"),
    ],
)
def test_branches_it_refuses(branch: Branch, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        toys.deterministic(branches=(branch,))


def test_an_entry_of_probability_zero_may_hold_any_state() -> None:
    branch = Branch(np.array([[[0, -1]], [[1, 99]], [[2, 0]]]), np.tile([[[1.0, 0.0]]], (3, 1, 1)))
    toys.deterministic(branches=(branch,))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"legal": np.ones((3, 2))}, r"legal must have shape \(3, 3\), not \(3, 2\)"),
        ({"legal": np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1]])}, "state 1 has no legal action"),
        ({"initial": [0.5, 0.5]}, r"initial must have shape \(3,\), not \(2,\)"),
        ({"initial": [0.5, 0.5, 0.1]}, "initial must be a probability vector"),
        ({"initial": [1.5, -0.5, 0.0]}, "initial must be a probability vector"),
        ({"initial": [np.nan, 0.5, 0.5]}, "initial has NaN"),
        ({"groups": [0, 1]}, r"groups must have shape \(1,\)"),
        ({"groups": [1]}, "without gaps"),
        ({"gamma": 1.0}, "gamma must lie strictly between 0 and 1"),
        ({"gamma": np.nan}, "gamma must lie strictly between 0 and 1"),
        ({"branches": ()}, "at least one branch"),
        ({"reference_counts": [1.0]}, r"reference_counts must have shape \(3,\)"),
        ({"transit": [False, True, False]}, "a state in transit must have exactly one legal action"),
        ({"quota": Quota(0, np.ones(3))}, "at least two branches"),
        ({"branches": (HOME, HOME), "quota": Quota(2, np.ones(3))}, "the index of one of"),
        ({"branches": (HOME, HOME), "quota": Quota(0, np.array([1, 1, -1.0]))}, "non-negative numbers"),
        ({"branches": (HOME, HOME), "quota": Quota(0, np.array([1, 1, np.nan]))}, "non-negative numbers"),
        ({"branches": (HOME, HOME), "quota": Quota(0, np.ones(2))}, "non-negative numbers"),
        ({"population": 2**53 + 1}, r"population must be at most 2\*\*53"),
    ],
)  # fmt: skip
def test_arguments_it_refuses(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        toys.deterministic(**arguments)


def test_a_state_in_transit_needs_one_place_to_go() -> None:
    split = Branch(np.array([[[0, 1]], [[1, 2]], [[2, 1]]]), np.array([[[0.5, 0.5]]] * 3))
    legal = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 1]])
    with pytest.raises(ValueError, match="follow the last branch to one fixed successor"):
        toys.deterministic(branches=(split,), legal=legal, transit=[False, True, False])


def test_derived_tables() -> None:
    model = toys.travelling()
    assert model.active.tolist() == [0, 2, 4]
    assert model.team_states.tolist() == [0, 2, 4]
    assert model.first_legal.tolist() == [0, 1, 0, 1, 0, 1]
    assert toys.layered().num_groups == 1
    assert toys.layered(groups=[0, 1]).num_groups == 2


def test_an_initial_law_that_is_rounded_is_normalised() -> None:
    model = toys.deterministic(initial=np.array([0.3, 0.3, 0.4]) * (1 + 5e-10))
    assert model.initial.sum() == pytest.approx(1, abs=1e-15)


def test_models_can_be_pickled() -> None:
    for model in toys.every_form().values():
        again = pickle.loads(pickle.dumps(model))
        hood = np.random.default_rng(0).random((2, *model.network.neighbors.shape, model.num_groups))
        np.testing.assert_array_equal(again.reward(hood), model.reward(hood))
