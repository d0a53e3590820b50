"""Mutual information: of tables, Gaussians, and paired draws, by independent routes."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import mutual_info_score

from vi_toolkit import information
from vi_toolkit.information import from_draws


@st.composite
def tables(draw):
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    entries = st.one_of(st.just(0.0), st.floats(1e-3, 1.0))
    flat = draw(st.lists(entries, min_size=rows * columns, max_size=rows * columns).filter(any))
    return np.reshape(flat, (rows, columns)) / np.sum(flat)


@settings(max_examples=80)
@given(tables())
def test_tables(joint):
    """I = H(x) + H(y) - H(x, y) = D(joint || product), between 0 and either entropy."""
    found = information.mutual_information(joint)
    x, y = joint.sum(axis=1), joint.sum(axis=0)
    entropies = [information.entropy(each).value for each in (x, y, joint.ravel())]
    assert found.value == pytest.approx(entropies[0] + entropies[1] - entropies[2], abs=1e-12)
    expected = information.kl_divergence(joint.ravel(), np.outer(x, y).ravel()).value
    assert found.value == pytest.approx(expected, abs=1e-14)
    assert -1e-14 <= found.value <= min(entropies[:2]) + 1e-12
    assert found.value == pytest.approx(information.mutual_information(joint.T).value, abs=1e-14)
    assert (found.se, found.route) == (0.0, "exact sum")


def test_counts_against_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, 500)
    y = (x + rng.integers(0, 3, 500)) % 5
    counts = np.histogram2d(x, y, bins=[np.arange(5), np.arange(6)])[0]
    found = information.mutual_information(counts / counts.sum(), unit="bits").value
    assert found == pytest.approx(mutual_info_score(x, y) / np.log(2.0), rel=1e-12)


def test_batches_and_the_noisy_channel():
    """A bit that is flipped with probability f: one bit less its entropy."""
    flips = np.array([0.0, 0.1, 0.5])
    joint = 0.5 * np.array([[1 - flips, flips], [flips, 1 - flips]]).transpose(2, 0, 1)
    found = information.mutual_information(joint, unit="bits").value
    noise = information.entropy(np.stack([flips, 1 - flips], axis=1), unit="bits").value
    np.testing.assert_allclose(found, 1.0 - noise, atol=1e-14)


def gaussian(rng, dim):
    root = np.tril(0.6 * rng.normal(size=(dim, dim))) + np.eye(dim)
    return dist.MultivariateNormal(jnp.zeros(dim), scale_tril=jnp.asarray(root))


@pytest.mark.parametrize("split", [1, 2, 3])
def test_gaussians_with_determinants(split):
    p = gaussian(np.random.default_rng(1), 4)
    s = np.asarray(p.covariance_matrix)
    log_det = [np.linalg.slogdet(each)[1] for each in (s[:split, :split], s[split:, split:], s)]
    found = information.mutual_information(p, split=split)
    assert found.value == pytest.approx(0.5 * (log_det[0] + log_det[1] - log_det[2]), rel=1e-12)
    assert found.route == "closed form"
    # D(joint || product of the marginals), by the other closed form
    product = np.zeros((4, 4))
    product[:split, :split], product[split:, split:] = s[:split, :split], s[split:, split:]
    marginals = dist.MultivariateNormal(jnp.zeros(4), jnp.asarray(product))
    assert found.value == pytest.approx(information.kl_divergence(p, marginals).value, rel=1e-10)


def test_correlation_and_independence():
    for r in (0.0, 0.5, -0.999999):
        p = dist.MultivariateNormal(jnp.zeros(2), jnp.array([[4.0, 2 * r], [2 * r, 1.0]]))
        found = information.mutual_information(p).value
        assert found == pytest.approx(-0.5 * np.log1p(-(r**2)), rel=1e-9, abs=1e-15)
    independent = dist.Normal(jnp.zeros(3), jnp.array([1.0, 2.0, 3.0])).to_event(1)
    assert information.mutual_information(independent).value == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize("r", [0.0, 0.8])
def test_pairs_of_draws(r):
    """The bias and the spread over sets of draws, whatever the units."""
    rng = np.random.default_rng(2)
    truth, found = -0.5 * np.log1p(-(r**2)), []
    for _ in range(20):
        x = rng.normal(size=1000)
        y = r * x + np.sqrt(1 - r**2) * rng.normal(size=1000)
        found.append(information.mutual_information(from_draws(1e6 * x), from_draws(1e-3 * y)))
    values, errors = np.array([each.value for each in found]), np.array([each.se for each in found])
    assert abs(values.mean() - truth) < 0.02
    assert 0.4 < values.std() / errors.mean() < 1.2
    assert found[0].route == "5 nearest neighbours"


def test_vectors_of_draws():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(2000, 2))
    x, y = z + 0.5 * rng.normal(size=(2000, 2)), z[:, :1] + 0.5 * rng.normal(size=(2000, 1))
    truth = -0.5 * np.log1p(-((1 / 1.25) ** 2))
    found = information.mutual_information(from_draws(x), from_draws(y))
    assert abs(found.value - truth) < 5 * found.se + 0.03
    back = information.mutual_information(from_draws(y), from_draws(x))
    assert back.value == pytest.approx(found.value, rel=1e-9)


def test_a_distribution_that_is_not_gaussian():
    """A Student t with 3 degrees and no correlation: its coordinates are still dependent."""
    p = dist.MultivariateStudentT(3.0, jnp.zeros(2), jnp.eye(2))
    entropies = information.entropy(dist.StudentT(3.0, 0.0, 1.0)).value, information.entropy(p).value
    found = information.mutual_information(p, key=jax.random.key(0), num_draws=4000)
    assert abs(found.value - (2 * entropies[0] - entropies[1])) < 5 * found.se
    assert found.value > 0.03


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: information.mutual_information([0.5, 0.5]), ValueError, "p: expected probabilities along the last 2"),
        (lambda: information.mutual_information([[0.5, 0.6]]), ValueError, "sum to 1 along the last 2 axes, got a sum"),
        (lambda: information.mutual_information([[1.5, -0.5]]), ValueError, r"got -0.5 at index \(0, 1\)"),
        (lambda: information.mutual_information([[1.0]], unit="bit"), ValueError, "unit: expected one of"),
        (lambda: information.mutual_information([[1.0]], [[1.0]]), TypeError, "q: expected only together with draws"),
        (lambda: information.mutual_information(from_draws(np.arange(9.0))), ValueError, "q: expected as many draws"),
        (
            lambda: information.mutual_information(from_draws(np.arange(20.0)), from_draws(np.arange(19.0))),
            ValueError,
            "q: expected as many draws of y as of x",
        ),
        (
            lambda: information.mutual_information(from_draws(np.arange(5.0)), from_draws(np.arange(5.0))),
            ValueError,
            "draws: expected at least 10 of each, got 5",
        ),
        (lambda: information.mutual_information(dist.Normal(0.0, 1.0)), ValueError, "split: expected fewer"),
        (
            lambda: information.mutual_information(dist.Normal(jnp.zeros(2), 1.0).to_event(1), split=2),
            ValueError,
            "split: expected fewer coordinates than the vector has, got 2",
        ),
        (
            lambda: information.mutual_information(dist.Dirichlet(jnp.ones(3))),
            ValueError,
            "key: mutual information of these two",
        ),
        (lambda: information.mutual_information(dist.MultivariateNormal), TypeError, "p: expected"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
