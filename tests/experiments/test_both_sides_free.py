"""Both sides free: D(p‖q) ends anywhere on p = q, H(p, q) in a point."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.special import softmax
from scipy.stats import norm

from tests.experiments.experiment_checks import check_experiment
from vi_toolkit import experiments, information
from vi_toolkit.experiments import _free_descent as descent
from vi_toolkit.experiments.experiment import rounding


@pytest.fixture(scope="module")
def result():
    return experiments.both_sides_free()


@pytest.mark.any_precision
def test_one_meets_the_other_collapses(result):
    numbers = result.numbers
    for kind in ("coin", "categorical", "gaussian"):
        start, end = numbers[f"{kind}_start_entropies"], numbers[f"{kind}_end_entropies"]
        assert numbers[f"{kind}_end_divergences"][0].max() < 10 * rounding()
        assert np.abs(end[0] - start).max() < 0.35  # p goes to meet q, and stays about as broad
        assert np.ptp(end[0]) > 0.2  # there is no one place where they meet
    for kind in ("categorical", "gaussian"):
        start, end = numbers[f"{kind}_start_entropies"], numbers[f"{kind}_end_entropies"][0]
        assert np.corrcoef(start, end)[0, 1] > 0.95  # what began broad ends broad
    for kind in ("coin", "categorical"):
        assert numbers[f"{kind}_end_entropies"][1].max() < 2e-4
    assert numbers["largest_probabilities"][1].min() > 0.9999
    assert numbers["largest_probabilities"][0].max() < 0.6
    assert numbers["gaussian_end_entropies"][1].max() < -7
    assert numbers["gaussian_slope"] == pytest.approx(0.5, abs=0.01)


def test_record(result):
    check_experiment(result, panels=4)
    assert result.table.shape == (6, 3)


def test_categorical_losses_by_another_route():
    logits = np.array([[0.3, -1.0, 0.7], [1.0, 0.2, -0.5]])
    p, q = softmax(logits, axis=1)
    given = jnp.asarray(logits)
    assert float(descent.categorical_divergence(given)) == pytest.approx(
        information.kl_divergence(p, q).value, abs=1e-15
    )
    assert float(descent.categorical_cross_entropy(given)) == pytest.approx(
        information.cross_entropy(p, q).value, abs=1e-15
    )
    assert float(descent.categorical_entropy(given)) == pytest.approx(information.entropy(p).value, abs=1e-15)
    log_ratio = np.log(p / q)
    by_hand = np.stack([p * (log_ratio - p @ log_ratio), q - p])
    np.testing.assert_allclose(jax.grad(descent.categorical_divergence)(given), by_hand, atol=1e-15)
    by_hand = np.stack([p * (-np.log(q) + p @ np.log(q)), q - p])
    np.testing.assert_allclose(jax.grad(descent.categorical_cross_entropy)(given), by_hand, atol=1e-15)


def test_gaussian_losses_by_another_route():
    pair = jnp.array([[0.5, 0.3], [-1.0, -0.2]])
    p, q = dist.Normal(0.5, np.exp(0.3)), dist.Normal(-1.0, np.exp(-0.2))
    kl = float(dist.kl_divergence(p, q))
    assert float(descent.gaussian_divergence(pair)) == pytest.approx(kl, abs=1e-14)
    entropy = norm(0.5, np.exp(0.3)).entropy()
    assert float(descent.gaussian_entropy(pair)) == pytest.approx(entropy, abs=1e-14)
    assert float(descent.gaussian_cross_entropy(pair)) == pytest.approx(kl + entropy, abs=1e-14)


def test_descent_in_numpy():
    """Three steps of gradient descent on D(p‖q) and H(p, q), by the gradients written out."""
    start = np.array([[0.3, -1.0, 0.7], [1.0, 0.2, -0.5]])
    family = descent.CATEGORICAL._replace(steps=3)
    found = descent.descend(family, start[None])
    for index in range(2):
        logits = start
        for step in range(3):
            p, q = softmax(logits, axis=1)
            surprise = np.log(p / q) if index == 0 else -np.log(q)
            logits = logits - np.stack([p * (surprise - p @ surprise), q - p])
            np.testing.assert_allclose(found.paths[index, 0, step + 1], logits, atol=1e-14)


def test_gaussian_steps_do_not_depend_on_the_units():
    """Scaled by 1000, means and sds go the same way: what is multiplied stays multiplied."""
    start = np.array([[0.0, 0.2], [1.0, -0.1]])
    wide = start + np.array([0.0, np.log(1000)])
    wide[:, 0] *= 1000
    found = descent.descend(descent.GAUSSIAN._replace(steps=20), np.stack([start, wide]))
    np.testing.assert_allclose(found.divergences[:, 1], found.divergences[:, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.entropies[:, 1] - found.entropies[:, 0], np.log(1000), rtol=1e-12)
