"""The two-layer networks (13) against torch's autograd, the features (15) and numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from mfnet_agents import critics
from mfnet_agents.nets import TwoLayer, product, project
from mfnet_envs.network import StateNetwork

COUNT, INPUTS, WIDTH, SAMPLES = 3, 4, 6, 20


def network(*, symmetric: bool = False) -> tuple[TwoLayer, Tensor, Tensor]:
    """Networks, weights away from their start, inputs ``(S, L, d)``."""
    rng = np.random.default_rng(0)
    net = TwoLayer.create(rng, COUNT, INPUTS, WIDTH, symmetric=symmetric)
    moved = net.start + torch.as_tensor(rng.normal(size=net.start.shape))
    return net, moved, torch.as_tensor(rng.normal(size=(COUNT, SAMPLES, INPUTS)))


def test_value_by_hand() -> None:
    """Two neurons of opposite sign: f = (relu(2) - relu(3)) / sqrt(2), and a neuron that is off counts nothing."""
    signs = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    weights = torch.tensor([[[1.0, 3.0], [1.0, 0.0]]], dtype=torch.float64)  # columns are neurons
    net = TwoLayer(signs, weights)
    x = torch.tensor([[[1.0, 1.0], [-1.0, 2.0]]], dtype=torch.float64)
    assert net.value(weights, x)[0].tolist() == pytest.approx([(2 - 3) / math.sqrt(2), (1 - 0) / math.sqrt(2)])


def test_value_is_features_times_weights() -> None:
    """f = <phi, W> with phi of (15): the reason why the signs b_m belong into the features."""
    net, weights, x = network()
    hidden = net.hidden(weights, x)
    for sample in range(SAMPLES):
        one = torch.zeros((COUNT, SAMPLES), dtype=torch.float64)
        one[:, sample] = 1
        phi = net.weighted_gradient(hidden, x, one)
        torch.testing.assert_close(
            (phi * weights).sum((1, 2)), net.value(weights, x)[:, sample], rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("symmetric", [False, True])
def test_weighted_gradient_is_autograd(symmetric: bool) -> None:
    net, weights, x = network(symmetric=symmetric)
    c = torch.as_tensor(np.random.default_rng(1).normal(size=(COUNT, SAMPLES)))
    weights.requires_grad_(True)
    (c * net.value(weights, x)).sum().backward()
    assert weights.grad is not None
    found = net.weighted_gradient(net.hidden(weights, x), x, c)
    torch.testing.assert_close(found, weights.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("samples", [1, SAMPLES])
def test_descent_is_along_autograd(samples: int) -> None:
    """W - lr sum_l c_l grad f(x_l), written in place: one sample (an outer product) and many."""
    net, weights, x = network()
    x, c = x[:, :samples], torch.as_tensor(np.random.default_rng(2).normal(size=(COUNT, samples)))
    leaf = weights.clone().requires_grad_(True)
    (c * net.value(leaf, x)).sum().backward()
    assert leaf.grad is not None
    expected = weights - 0.3 * leaf.grad
    assert net.descend_(weights, net.hidden(weights, x), x, c, 0.3) is weights
    torch.testing.assert_close(weights, expected, rtol=1e-12, atol=1e-14)


def test_gradient_is_a_slope() -> None:
    """Central differences, where no neuron switches: f is linear there, so they are exact."""
    net, weights, x = network()
    c = torch.ones((COUNT, SAMPLES), dtype=torch.float64)
    gradient = net.weighted_gradient(net.hidden(weights, x), x, c)
    entry, step = (1, 2, 3), 1e-7
    there, back = weights.clone(), weights.clone()
    there[entry] += step
    back[entry] -= step
    slope = (net.value(there, x).sum() - net.value(back, x).sum()) / (2 * step)
    assert float(gradient[entry]) == pytest.approx(float(slope), rel=1e-6)


def test_symmetric_start_is_zero() -> None:
    """Up to the rounding of sums; a start without pairs is of order one."""
    for symmetric in (True, False):
        net, _, x = network(symmetric=symmetric)
        assert (float(net.value(net.start, x).abs().max()) < 1e-14) == symmetric


def test_start_is_gaussian() -> None:
    """W_m ~ N(0, I / d) and signs that are fair coins, at a width where the laws of large numbers speak."""
    net = TwoLayer.create(np.random.default_rng(3), 2, 5, 20_000, symmetric=False)
    n = net.start.numel()
    assert float(net.start.mean()) == pytest.approx(0, abs=4 / math.sqrt(5 * n))
    assert float(net.start.var()) == pytest.approx(1 / 5, abs=4 / 5 * math.sqrt(2 / n))
    assert set(net.signs.unique().tolist()) == {-1.0, 1.0}
    assert float(net.signs.mean()) == pytest.approx(0, abs=4 / math.sqrt(net.signs.numel()))


SOME = {"one": [7], "a run": range(3, 9), "across a stretch": range(4090, 4100), "scattered": [0, 2, 3, 4999, 11]}


@pytest.mark.parametrize("which", SOME)
@pytest.mark.parametrize("symmetric", [False, True])
def test_keyed_starts_of_some_are_those_of_all(symmetric: bool, which: str) -> None:
    """Bit for bit, whichever others are drawn; and another key draws others."""
    key, some = np.random.SeedSequence(4), np.array(SOME[which])
    every = TwoLayer.keyed(key, np.arange(5000), 3, 6, symmetric=symmetric)
    found = TwoLayer.keyed(key, some, 3, 6, symmetric=symmetric)
    assert torch.equal(found.start, every.start[some])
    assert torch.equal(found.signs, every.signs[some])
    other = TwoLayer.keyed(np.random.SeedSequence(5), some, 3, 6, symmetric=symmetric)
    assert not torch.equal(found.start, other.start)


def test_keyed_starts_have_the_law_of_starts() -> None:
    """W ~ N(0, I / d) entry by entry, signs fair, no correlation from neuron to neuron or net to net."""
    net = TwoLayer.keyed(np.random.SeedSequence(0), np.arange(4000), 5, 7, symmetric=False)
    w, signs = net.start.numpy() * math.sqrt(5), net.signs.numpy()
    assert stats.kstest(w.reshape(-1), "norm").pvalue > 1e-3
    assert stats.kstest(w[:, 3, 2], "norm").pvalue > 1e-3
    assert (w**4).mean() == pytest.approx(3, abs=4 * math.sqrt(96 / w.size))
    assert stats.binomtest(int((signs > 0).sum()), signs.size).pvalue > 1e-3
    rows = np.concatenate([w.reshape(4000, -1), signs], 1)
    correlations = np.corrcoef(rows, rowvar=False)[np.triu_indices(rows.shape[1], 1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(4000)
    assert abs(np.corrcoef(w[1:].reshape(-1), w[:-1].reshape(-1))[0, 1]) < 4 / math.sqrt(w[1:].size)


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("shape", [(256, 6, 64), (64, 64, 1), (6, 256, 64)])
def test_a_product_does_not_depend_on_its_company(rows: int, shape: tuple[int, int, int]) -> None:
    rng, (n, inner, m) = np.random.default_rng(0), shape
    a, b = torch.as_tensor(rng.normal(size=(9, n, inner))), torch.as_tensor(rng.normal(size=(9, inner, m)))
    assert torch.equal(product(a[3 : 3 + rows], b[3 : 3 + rows]), product(a, b)[3 : 3 + rows])


def test_critics_start_by_their_own_inputs() -> None:
    """A node at the end of a path has fewer neighbours: its rows are N(0, I / d) with its own d, padding or not."""
    line = StateNetwork.line(9)
    inputs = critics.CriticInputs.of(line, 1, 2, scale=1.0, constant=True)
    net = critics.create(np.random.SeedSequence(0), np.arange(9), inputs, 20_000, symmetric=False)
    for node, own in ((0, 2 * 2 + 1), (4, 3 * 2 + 1), (8, 2 * 2 + 1)):
        assert float(net.start[node].var()) == pytest.approx(1 / own, rel=4 * math.sqrt(2 / net.start[node].numel()))


def test_projection_is_entrywise() -> None:
    """(21): |W - W(0)| <= R / sqrt(M) for every entry by itself; what is inside stays as it is."""
    net, _, _ = network()
    radius, edge = 2.0, 2.0 / math.sqrt(WIDTH)
    moved = net.start.clone()
    moved[0, 0, 0] += 0.9 * edge
    moved[0, 1, 0] += 1.1 * edge
    moved[0, 2, 0] -= 50.0
    clipped = project(moved, net.start, radius)
    expected = net.start.clone()
    expected[0, 0, 0] += 0.9 * edge
    expected[0, 1, 0] += edge
    expected[0, 2, 0] -= edge
    torch.testing.assert_close(clipped, expected, rtol=0, atol=1e-14)
    assert torch.equal(project(moved, net.start, None), moved)


@pytest.mark.parametrize(("width", "symmetric"), [(0, False), (-2, False), (3, True)])
def test_bad_width(width: int, symmetric: bool) -> None:
    with pytest.raises(ValueError, match="width must be positive, and even"):
        TwoLayer.create(np.random.default_rng(0), 1, 1, width, symmetric=symmetric)


# -- what a critic is shown


def test_critic_inputs_of_a_path() -> None:
    """Node 0 of a path of 3 sees itself, node 1 and nothing; the constant comes last."""
    inputs = critics.CriticInputs.of(StateNetwork.line(3), 1, 2, scale=10.0, constant=True)
    features = torch.arange(6, dtype=torch.float64).reshape(1, 3, 2) / 10
    x = inputs(features)
    assert x.shape == (3, 1, inputs.size) == (3, 1, 7)
    assert x[0, 0].tolist() == pytest.approx([0, 1, 2, 3, 0, 0, 1])
    assert x[1, 0].tolist() == pytest.approx([2, 3, 0, 1, 4, 5, 1])
    assert x[2, 0].tolist() == pytest.approx([4, 5, 2, 3, 0, 0, 1])


def test_standardised_inputs() -> None:
    """Mean 0 and deviation 1 for each node's own features; one that never moves is 0, and padding stays 0."""
    rng = np.random.default_rng(0)
    features = torch.as_tensor(rng.normal(3, 2, (500, 3, 2)))
    features[:, 1, 1] = 7.0
    inputs = critics.CriticInputs.of(StateNetwork.line(3), 1, 2, scale=1.0, constant=False).standardised(features)
    own = inputs(features)[:, :, :2]
    varying = own[[0, 0, 1, 2, 2], :, [0, 1, 0, 0, 1]]
    torch.testing.assert_close(varying.mean(1), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(varying.std(1), torch.ones(5, dtype=torch.float64))
    assert not own[1, :, 1].any()
    assert not inputs(features)[0, :, 4:].any()


def test_actions_as_the_paper_shows_them() -> None:
    """zeta = (mu, h): the shares of the actions within the team, 0 where nobody is; or their mass mu h."""
    groups = torch.tensor([[[0.5], [0.0]]], dtype=torch.float64)
    shares = torch.tensor([[[0.125, 0.375], [0.0, 0.0]]], dtype=torch.float64)
    assert critics.with_actions(groups, shares, mass=False).tolist() == [[[0.5, 0.25, 0.75], [0, 0, 0]]]
    assert critics.with_actions(groups, shares, mass=True).tolist() == [[[0.5, 0.125, 0.375], [0, 0, 0]]]
