"""Minibatches: the two losses against each other, against NumPy, and where they part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax, xlogy
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tests.experiments.experiment_checks import check_experiment
from tests.typecheck import as_users_call_it
from vi_toolkit import experiments, information
from vi_toolkit.experiments import _minibatch_losses as losses, minibatches
from vi_toolkit.experiments.experiment import rounding

FIXED, OWN, SWAPPED, CLIPPED = range(4)


@pytest.fixture(scope="module")
def result():
    return experiments.minibatches(jax.random.key(0))


@pytest.fixture
def batch():
    generator = np.random.default_rng(1)
    p = softmax(2 * generator.normal(size=(16, 3)), axis=1)
    return jnp.asarray(generator.normal(size=(4, 3))), jnp.asarray(generator.normal(size=(16, 4))), jnp.asarray(p)


@pytest.mark.any_precision
@pytest.mark.parametrize("seed", [0, 1])
def test_a_fixed_target_has_one_gradient(result, seed):
    numbers = result.numbers if seed == 0 else experiments.minibatches(jax.random.key(seed)).numbers
    assert numbers["offset_errors"][FIXED] < 10 * rounding()
    assert numbers["largest_gradient_differences"][FIXED] < 100 * rounding()
    assert numbers["path_differences"][FIXED] < 100 * rounding()
    noise = numbers["gradient_noise"][FIXED]
    assert noise[0] == pytest.approx(noise[1], rel=100 * rounding())
    assert np.ptp(numbers["batch_entropies"]) > 0.1  # the offset does change from batch to batch


def test_what_breaks_it(result):
    numbers = result.numbers
    assert numbers["gradient_differences"][[OWN, SWAPPED]].min() > 0.3
    assert numbers["largest_gradient_differences"][CLIPPED] > 0.5
    assert numbers["path_differences"][[OWN, SWAPPED, CLIPPED]].min() > 0.1
    final = numbers["final_distances"]
    assert final[OWN, 0] > final[OWN, 1] > final[FIXED, 0]  # CE with its own predictions becomes too sure
    assert final[SWAPPED, 1] > final[FIXED, 0]
    assert final[CLIPPED, 1] > 20
    assert final[CLIPPED, 0] < 0.24


def test_record(result):
    check_experiment(result, panels=4)
    assert result.table.index.to_list() == [
        "fixed target",
        "target carries gradients",
        "arguments swapped",
        "probabilities clipped",
    ]


def test_losses_by_another_route(batch):
    theta, x, p = batch
    q = softmax(np.asarray(x @ theta), axis=1)
    kl, swapped = information.kl_divergence(p, q).value.mean(), information.kl_divergence(q, p).value.mean()
    assert float(losses.divergence(theta, x, p)) == pytest.approx(kl, abs=1e-14)
    assert float(losses.swapped_divergence(theta, x, p)) == pytest.approx(swapped, abs=1e-14)
    assert float(losses.clipped_divergence(theta, x, p)) == pytest.approx(kl, abs=1e-14)  # none is that small
    assert float(losses.entropy(p)) == pytest.approx(information.entropy(p).value.mean(), abs=1e-14)
    assert float(losses.cross_entropy(theta, x, p)) == pytest.approx(
        information.cross_entropy(p, q).value.mean(), abs=1e-14
    )
    mixed = 0.5 * (np.asarray(p) + q)
    assert float(losses.own_divergence(theta, x, p)) == pytest.approx(
        information.kl_divergence(mixed, q).value.mean(), abs=1e-14
    )


def test_gradients_by_hand(batch):
    """Of CE and KL: x'(q - p) / rows; with a target that learns they differ by the gradient of its entropy."""
    theta, x, p = batch
    expected = np.asarray(x).T @ (softmax(np.asarray(x @ theta), axis=1) - np.asarray(p)) / len(x)
    np.testing.assert_allclose(jax.grad(losses.cross_entropy)(theta, x, p), expected, atol=1e-15)
    np.testing.assert_allclose(jax.grad(losses.divergence)(theta, x, p), expected, atol=1e-15)
    apart = jax.grad(losses.own_cross_entropy)(theta, x, p) - jax.grad(losses.own_divergence)(theta, x, p)
    own_entropy = jax.grad(lambda t: losses.entropy(0.5 * p + 0.5 * jax.nn.softmax(x @ t, axis=1)))(theta)
    np.testing.assert_allclose(apart, own_entropy, atol=1e-15)
    assert np.abs(own_entropy).max() > 0.01


def test_clipping_takes_the_gradient_away(batch):
    theta, x, p = batch
    x = jnp.abs(x)
    sure = theta.at[:, 0].add(60.0)  # the first class has all of q, the others less than 1e-7
    assert np.abs(jax.grad(losses.clipped_divergence)(sure, x, p)).max() < 1e-8
    assert np.abs(jax.grad(losses.cross_entropy)(sure, x, p)).max() > 0.1


def test_a_path_in_numpy():
    """Gradient descent written out."""
    generator = np.random.default_rng(2)
    x, batches = generator.normal(size=(20, 3)), generator.permutation(20).reshape(5, 4)
    p = softmax(generator.normal(size=(20, 3)), axis=1)
    found = losses.run(
        losses.cross_entropy,
        losses.divergence,
        jnp.zeros((3, 3)),
        *map(jnp.asarray, (x, p, batches)),
        jnp.asarray(0.5),
    )
    theta = np.zeros((3, 3))
    for step, rows in enumerate(batches):
        log_q = log_softmax(x[rows] @ theta, axis=1)
        ce = -(p[rows] * log_q).sum(axis=1).mean()
        entropy = -xlogy(p[rows], p[rows]).sum(axis=1).mean()
        np.testing.assert_allclose(found.losses[:, step], [ce, ce - entropy], atol=1e-14)
        assert float(found.entropies[step]) == pytest.approx(entropy, abs=1e-14)
        theta = theta - 0.5 * x[rows].T @ (np.exp(log_q) - p[rows]) / len(rows)
        np.testing.assert_allclose(found.paths[:, step + 1], [theta, theta], atol=1e-14)
    whole = (xlogy(p, p) - p * log_softmax(x @ theta, axis=1)).sum(axis=1).mean()
    np.testing.assert_allclose(found.distances[:, -1], whole, atol=1e-14)


def test_noise_in_numpy(batch):
    theta, x, p = batch
    batches = np.arange(16).reshape(4, 4)
    gradients = np.stack([jax.grad(losses.cross_entropy)(theta, x[rows], p[rows]) for rows in batches])
    mean = gradients.mean(axis=0)
    expected = np.sqrt(((gradients - mean) ** 2).sum(axis=(1, 2)).mean() / (mean**2).sum())
    found = losses.gradient_noise(losses.cross_entropy, theta, x, p, jnp.asarray(batches))
    assert float(found) == pytest.approx(expected, rel=1e-13)


def test_teacher_is_that_of_scikit_learn(result):
    """The targets' mean entropy: those of a ridge classifier of all 13 measurements, at temperature 2.

    Its first class has parameters 0, and the penalty is on the others, so scikit-learn's symmetric one is only close.
    """
    wine = load_wine()
    x = StandardScaler().fit_transform(wine.data)
    teacher = LogisticRegression(C=1 / (178 * 0.01), max_iter=1000).fit(x, wine.target)
    p = softmax(teacher.decision_function(x) / 2, axis=1)
    assert information.entropy(p).value.mean() == pytest.approx(result.numbers["batch_entropies"].mean(), abs=0.1)


def test_bad_key():
    with pytest.raises(TypeError, match="key: expected one JAX random key, got int 0"):
        as_users_call_it(minibatches)(0)
