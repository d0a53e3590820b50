import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import binom

import vi_toolkit as vi
from tests.compilations import count_compilations
from vi_toolkit.diagnostics.scores.stein_test import (
    ScorePair,
    SteinTest,
    _error,
    _stein_kernel,
    _whitened,
    fisher_divergence,
    scores_of,
    stein_test,
)
from vi_toolkit.kernels import IMQ
from vi_toolkit.objectives.stein import stein_kernel


def result_of(seed: int, *, size: int = 500, shift: float = 0.0, scale: float = 1.0, dim: int = 1) -> SteinTest:
    """Draws of N(shift, scale^2) in the first coordinate and N(0, 1) in the others, against p = N(0, I)."""
    z = np.random.default_rng(seed).standard_normal((size, dim))
    z[:, 0] = shift + scale * z[:, 0]
    return stein_test(jax.random.key(seed), z, -z)


def test_the_kernel_is_that_of_the_objective():
    """The same sums by pairs and autodiff."""
    rng = np.random.default_rng(0)
    y, s = 2.0 * rng.standard_normal((20, 3)), rng.standard_normal((20, 3))
    expected = jax.jit(lambda y, s: stein_kernel(IMQ().settle(y), y, s))(jnp.asarray(y), jnp.asarray(s))
    np.testing.assert_allclose(_stein_kernel(y, s), expected, rtol=1e-9, atol=1e-12)


def test_white_coordinates_keep_slopes_along_steps():
    """s . dz is the change of log p, whatever the coordinates."""
    rng = np.random.default_rng(0)
    z, s = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 3)), rng.standard_normal((50, 3))
    y, t = _whitened(z, s)
    np.testing.assert_allclose(np.cov(y.T, bias=True), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(np.sum(t[:-1] * np.diff(y, axis=0), axis=1), np.sum(s[:-1] * np.diff(z, axis=0), axis=1))


@pytest.mark.parametrize(("size", "dim"), [(100, 1), (100, 3)])
def test_the_level(size, dim):
    """Of 200 tests of draws of p at 5 %, as many reject as a binomial has it within four standard deviations."""
    p_values = np.array([result_of(seed, size=size, dim=dim).p_value for seed in range(200)])
    assert abs((p_values <= 0.05).sum() - 10) <= 4 * binom(200, 0.05).std()
    assert abs((p_values <= 0.5).sum() - 100) <= 4 * binom(200, 0.5).std()


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2, 5, 20])
def test_the_level_with_more_draws(dim):
    p_values = np.array([result_of(seed, dim=dim).p_value for seed in range(200)])
    print(f"dim {dim}: {(p_values <= 0.05).mean():.3f} reject at 0.05, {(p_values <= 0.5).mean():.3f} at 0.5")
    assert abs((p_values <= 0.05).sum() - 10) <= 4 * binom(200, 0.05).std()


@pytest.mark.parametrize(
    ("wrong", "power"),
    [({"shift": 0.3}, 10), ({"shift": -0.3, "dim": 20}, 10), ({"scale": 0.8}, 9), ({"scale": 1.2}, 7)],
)
def test_the_power(wrong, power):
    """Of 10 sets of 500 draws, how many are found wrong at 5 %."""
    assert sum(result_of(seed, **wrong).p_value <= 0.05 for seed in range(10)) >= power


def test_the_discrepancy_and_its_error():
    """Over repetitions; the expectation is that of 100,000 pairs, in the coordinates of one set of draws."""
    found = [result_of(seed, shift=0.5).ksd_squared for seed in range(40)]
    values, ses = np.array(found).T
    assert np.sqrt((ses**2).mean()) == pytest.approx(values.std(ddof=1), rel=0.4)
    rng = np.random.default_rng(99)
    z = 0.5 + rng.standard_normal((1500, 1))
    pairs = _stein_kernel(*_whitened(z, -z))
    expected = (pairs.sum() - np.trace(pairs)) / (1500 * 1499)
    assert abs(values.mean() - expected) < 5 * np.hypot(values.std() / np.sqrt(40), values.std() * np.sqrt(500 / 1500))
    assert expected > 0.1


def test_the_error_of_a_u_statistic():
    """Of u(x, y) = x y of draws of N(m, 1): (4 (S - 2) m^2 + 2 (2 m^2 + 1)) / (S (S - 1)), by Hoeffding."""
    size, mean, rng = 200, 1.0, np.random.default_rng(0)
    found = np.empty(100)
    for i in range(len(found)):
        x = mean + rng.standard_normal(size)
        pairs = np.outer(x, x)
        np.fill_diagonal(pairs, 0.0)
        found[i] = _error(pairs) ** 2
    truth = (4 * (size - 2) * mean**2 + 2 * (2 * mean**2 + 1)) / (size * (size - 1))
    assert found.mean() == pytest.approx(truth, rel=0.15)


def test_units_do_not_matter():
    z = np.random.default_rng(0).standard_normal((200, 2)) @ np.array([[1.0, 0.9], [0.0, 0.1]])
    precision = np.linalg.inv(np.array([[1.0, 0.9], [0.0, 0.1]]).T @ np.array([[1.0, 0.9], [0.0, 0.1]]))
    to = np.array([[1e4, 0.0], [3.0, 1e-3]])
    one = stein_test(jax.random.key(0), z, -z @ precision)
    other = stein_test(jax.random.key(0), 7.0 + z @ to, -z @ precision @ np.linalg.inv(to).T)
    assert other.ksd_squared == pytest.approx(one.ksd_squared, rel=1e-5)
    assert other.p_value == one.p_value


def test_only_the_first_draws_are_looked_at_and_the_key_settles_the_rest():
    z = np.random.default_rng(0).standard_normal((300, 1))
    key = jax.random.key(3)
    found = stein_test(key, z, -z, max_draws=100)
    assert found.num_draws == 100
    assert found == stein_test(key, z[:100], -z[:100])
    assert found.p_value != stein_test(jax.random.key(4), z[:100], -z[:100]).p_value


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite(bad):
    z = np.random.default_rng(0).standard_normal((50, 1))
    scores = -z
    scores[7] = bad
    found = stein_test(jax.random.key(0), z, scores)
    assert found.ksd_squared == (np.inf, np.inf)
    assert found.p_value == 0.0
    assert fisher_divergence(scores, -z) == (np.inf, np.inf)


def test_draws_that_are_all_the_same():
    found = stein_test(jax.random.key(0), np.zeros((50, 2)), np.ones((50, 2)))
    assert found.ksd_squared.value == pytest.approx(2.0 + 2.0)  # s.s' k + dim / h^2 with h = 1, and k = 1
    assert found.p_value < 1e-2


def test_fisher_divergence_of_normals():
    """E_q |z / s^2 - z|^2 = dim (s - 1/s)^2 for q = N(0, s^2 I) and p = N(0, I)."""
    sd, repeats = 1.3, []
    for seed in range(50):
        z = sd * np.random.default_rng(seed).standard_normal((1000, 2))
        repeats.append(fisher_divergence(-z, -z / sd**2))
    values, ses = np.array(repeats).T
    truth = 2 * (sd - 1 / sd) ** 2
    assert abs(values.mean() - truth) < 5 * values.std() / np.sqrt(50)
    assert ses.mean() == pytest.approx(values.std(), rel=0.35)
    z = sd * np.random.default_rng(0).standard_normal((1000, 2))
    in_sds = fisher_divergence(-z, -z / sd**2, scale=np.full(2, sd))
    assert in_sds.value == pytest.approx(values[0] * sd**2)
    root = np.array([[sd, 0.0], [0.0, 0.0]])
    first = fisher_divergence(-z[:, :1], -z[:, :1] / sd**2, scale=np.full(1, sd))
    assert fisher_divergence(-z, -z / sd**2, scale=root) == pytest.approx(first)


@pytest.fixture(scope="module")
def fit() -> vi.Fit:
    target = vi.from_log_density(
        lambda z: -0.5 * jnp.sum((z - jnp.array([1.0, -2.0])) ** 2 / jnp.array([4.0, 1.0])), dim=2
    )
    return vi.fit(jax.random.key(0), target, vi.laplace())


@pytest.mark.any_precision
def test_scores_of_a_fit(fit):
    z = np.random.default_rng(0).standard_normal((10, 2))
    found = scores_of(fit, z)
    expected = -(z - [1.0, -2.0]) / [4.0, 1.0]
    np.testing.assert_allclose(found.p, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.q, expected, rtol=1e-4, atol=1e-5)  # Laplace is exact here
    assert isinstance(found, ScorePair)
    assert found.p.dtype == np.float64
    assert fisher_divergence(*found).value < 1e-6


def test_a_second_call_compiles_nothing(fit):
    z = np.random.default_rng(0).standard_normal((10, 2))
    scores_of(fit, z)
    assert count_compilations(lambda: scores_of(fit, z + 1.0))[0] == 0


def test_bad_arguments(fit, without_type_checks):
    key, z = jax.random.key(0), np.zeros((20, 2))
    with pytest.raises(ValueError, match="scores: expected shape"):
        stein_test(key, z, z[:19])
    with pytest.raises(ValueError, match="draws: expected at least 10"):
        stein_test(key, z[:9], z[:9])
    with pytest.raises(TypeError, match="key: expected one JAX random key"):
        stein_test(0, z, z)
    with pytest.raises(ValueError, match="max_draws: expected at least 1"):
        stein_test(key, z, z, max_draws=0)
    with pytest.raises(ValueError, match=r"draws: expected shape \(draws, 2\)"):
        scores_of(fit, np.zeros((5, 3)))


def test_a_fit_over_whole_numbers_has_no_scores():
    target = vi.from_log_mass(lambda z: dist.Categorical(logits=jnp.arange(3.0)).log_prob(z[0]), num_values=(3,))
    guide, objective = vi.MeanFieldCategorical((3,)), vi.ReverseKL(estimator=vi.estimators.enumerated)
    discrete = vi.fit(jax.random.key(0), target, vi.gradient(guide, objective), max_steps=5)
    with pytest.raises(ValueError, match="fit: expected a fit to a density"):
        scores_of(discrete, np.zeros((5, 1)))
