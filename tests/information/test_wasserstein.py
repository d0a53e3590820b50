"""Wasserstein distances: against SciPy, linear programs, closed forms, and infinite tails."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings
from scipy import integrate, optimize, stats
from scipy.spatial.distance import cdist

from tests.information.strategies import vectors
from tests.typecheck import as_users_call_it
from vi_toolkit import information
from vi_toolkit.information import from_draws


@settings(max_examples=50)
@given(vectors(size=5))
def test_vectors_against_scipy(pair):
    p, q = pair
    positions = np.array([3.0, -1.0, 0.5, 7.0, 0.5])
    expected = stats.wasserstein_distance(positions, positions, p, q)
    found = information.wasserstein(p, q, positions=positions)
    assert found.value == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert (found.se, found.route) == (0.0, "exact sum")
    default = information.wasserstein(p, q).value
    assert default == pytest.approx(stats.wasserstein_distance(np.arange(5), np.arange(5), p, q), rel=1e-12, abs=1e-12)


@settings(max_examples=10)
@given(vectors(size=4))
def test_vectors_of_order_two_against_a_linear_program(pair):
    p, q = pair
    x = np.array([0.0, 1.5, -2.0, 4.0])
    cost = (x[:, None] - x) ** 2
    rows = [np.kron(np.eye(4)[i], np.ones(4)) for i in range(4)] + [np.kron(np.ones(4), np.eye(4)[j]) for j in range(4)]
    solved = optimize.linprog(cost.ravel(), A_eq=np.array(rows)[:-1], b_eq=np.append(p, q)[:-1], method="highs")
    found = information.wasserstein(p, q, order=2, positions=x).value
    assert found**2 == pytest.approx(solved.fun, rel=1e-7, abs=1e-7)


@settings(max_examples=40)
@given(vectors(count=3))
def test_the_triangle_inequality(three):
    p, q, r = three
    for order in (1, 2):
        there = information.wasserstein(p, r, order=order).value
        around = sum(information.wasserstein(*each, order=order).value for each in ((p, q), (q, r)))
        assert there <= around + 1e-12
    assert information.wasserstein(p, q).value <= information.wasserstein(p, q, order=2).value + 1e-12


def test_batches_of_vectors():
    p, q = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]), np.array([0.0, 0.0, 1.0])
    np.testing.assert_allclose(information.wasserstein(p, q).value, [2.0, 1.5])
    np.testing.assert_allclose(information.wasserstein(p, q, order=2).value, [2.0, np.sqrt(2.5)])


ON_THE_LINE = {
    "a shift of a gumbel": (dist.Gumbel(0.0, 1.0), dist.Gumbel(2.0, 1.0), 2.0, 2.0),
    "scales of an exponential": (dist.Exponential(1.0), dist.Exponential(0.5), 1.0, np.sqrt(2.0)),
    "uniforms": (dist.Uniform(0.0, 1.0), dist.Uniform(1.0, 4.0), 2.0, np.sqrt(4.0 + 4.0 / 12)),
    "Cauchys, shifted": (dist.Cauchy(0.0, 1.0), dist.Cauchy(1.5, 1.0), 1.5, 1.5),
    "Laplaces": (dist.Laplace(0.0, 1.0), dist.Laplace(0.0, 3.0), 2.0, np.sqrt(8.0)),
    "Student, whose tail reaches far": (
        dist.StudentT(2.5, 0.0, 1.0),
        dist.StudentT(2.5, 0.0, 2.0),
        None,
        np.sqrt(2.5 / 0.5),
    ),
    "Pareto": (dist.Pareto(1.0, 1.5), dist.Pareto(2.0, 1.5), 3.0, np.inf),
    "Cauchys of two scales": (dist.Cauchy(0.0, 1.0), dist.Cauchy(0.0, 2.0), np.inf, np.inf),
    "a mean that is just infinite": (dist.Pareto(1.0, 1.0), dist.Exponential(1.0), np.inf, np.inf),
}


@pytest.mark.parametrize("name", ON_THE_LINE)
def test_quantiles(name):
    p, q, first, second = ON_THE_LINE[name]
    for order, expected in ((1, first), (2, second)):
        if expected is not None:
            found = information.wasserstein(p, q, order=order)
            assert found.value == pytest.approx(expected, rel=1e-6)
            assert found.route == "quadrature"
            assert abs(found.value - expected) <= 5 * found.se + 1e-9 or expected == np.inf


def test_quantiles_against_distribution_functions():
    """On the line W_1 is also the integral of |F - G|."""
    p, q = dist.Normal(0.0, 1.0), dist.Logistic(0.5, 0.7)
    cdfs = stats.norm(0.0, 1.0).cdf, stats.logistic(0.5, 0.7).cdf
    expected = integrate.quad(
        lambda x: abs(cdfs[0](x) - cdfs[1](x)), -40, 40, points=[-3, 0, 1, 3], epsabs=1e-12, limit=500
    )[0]
    assert information.wasserstein(p, q).value == pytest.approx(expected, rel=1e-8)
    found = information.wasserstein(dist.Gamma(2.0, 1.0), dist.Weibull(1.0, 2.0))  # NumPyro has no quantiles of gammas
    gamma = found.value
    assert found.route == "quadrature"
    cdfs = stats.gamma(2.0).cdf, stats.weibull_min(2.0).cdf
    expected = integrate.quad(lambda x: abs(cdfs[0](x) - cdfs[1](x)), 0, 60, points=[0.5, 1, 3], epsabs=1e-12)[0]
    assert gamma == pytest.approx(expected, rel=1e-8)


def test_mixtures_have_quantiles_by_bisection():
    weights = jnp.array([0.25, 0.75])
    p = dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(jnp.array([-3.0, 1.0]), jnp.array([1.0, 0.1])))
    q = dist.Normal(5.0, 1.0)

    def difference(x):
        return abs(0.25 * stats.norm(-3, 1).cdf(x) + 0.75 * stats.norm(1, 0.1).cdf(x) - stats.norm(5, 1).cdf(x))

    expected = integrate.quad(difference, -15, 15, points=[-3, 0, 1, 2, 5], epsabs=1e-12, limit=500)[0]
    assert expected == pytest.approx(5.0, abs=1e-6)  # one lies below the other, so that it is the difference of means
    found = information.wasserstein(p, q)
    assert found.route == "quadrature"
    assert found.value == pytest.approx(expected, rel=1e-7)


@pytest.mark.slow
def test_order_two_of_mixtures():
    weights = jnp.array([0.25, 0.75])
    p = dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(jnp.array([-3.0, 1.0]), jnp.array([1.0, 0.1])))
    moved = dist.MixtureSameFamily(
        dist.Categorical(weights), dist.Normal(jnp.array([-1.0, 3.0]), jnp.array([1.0, 0.1]))
    )
    assert information.wasserstein(p, moved, order=2).value == pytest.approx(2.0, rel=1e-8)
    inverse = [dist.InverseGamma(6.0, rate) for rate in (1.0, 2.0)]  # a scale: W_1 is the difference of the means
    assert information.wasserstein(*inverse).value == pytest.approx(0.2, rel=1e-7)


def test_one_coordinate_with_an_event_shape():
    for order in (1, 2):
        expected = information.wasserstein(dist.Normal(0.0, 1.0), dist.Normal(1.0, 2.0), order=order).value
        for make in (
            lambda m, s: dist.Normal(jnp.array([m]), s).to_event(1),
            lambda m, s: dist.MultivariateNormal(jnp.array([m]), jnp.array([[s**2]])),
        ):
            found = information.wasserstein(make(0.0, 1.0), make(1.0, 2.0), order=order).value
            assert found == pytest.approx(expected, rel=1e-9)
    laplaces = [dist.Laplace(0.0, s).expand((1,)).to_event(1) for s in (1.0, 3.0)]
    assert information.wasserstein(*laplaces).value == pytest.approx(2.0, rel=1e-8)
    equal = information.wasserstein(dist.Normal(0.0, 2.0), dist.Normal(3.0, 2.0))
    assert (equal.value, equal.route) == (3.0, "closed form")


def test_counts():
    p, q = dist.Poisson(2.0), dist.Poisson(5.0)  # one is the other plus something: W_1 is the difference of the means
    found = information.wasserstein(p, q)
    assert found.value == pytest.approx(3.0, rel=1e-12)
    assert found.route == "exact sum"
    binomials = information.wasserstein(dist.Binomial(6, 0.2), dist.Binomial(9, 0.6), order=2).value
    levels = np.sort(np.concatenate([stats.binom(6, 0.2).cdf(np.arange(7)), stats.binom(9, 0.6).cdf(np.arange(10))]))
    widths, middles = np.diff(levels, prepend=0.0), levels - 0.5 * np.diff(levels, prepend=0.0)
    distance = stats.binom(6, 0.2).ppf(middles) - stats.binom(9, 0.6).ppf(middles)
    assert binomials == pytest.approx(np.sqrt(np.sum(widths * distance**2)), rel=1e-9)


def test_draws_on_the_line():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=700), rng.normal(1.0, 2.0, size=500)
    found = information.wasserstein(from_draws(x), from_draws(y))
    assert found.value == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)
    assert found.route == "sorted draws"
    again = [
        information.wasserstein(from_draws(rng.normal(size=700)), from_draws(rng.normal(1.0, 2.0, size=500)), order=2)
        for _ in range(40)
    ]
    values, errors = np.array([each.value for each in again]), np.array([each.se for each in again])
    assert abs(values.mean() - np.sqrt(2.0)) < 5 * values.std() / np.sqrt(40) + 0.02
    assert 0.7 < values.std() / errors.mean() < 1.4


def test_draws_in_the_plane():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 2)), rng.normal([2.0, 0.0], size=(60, 2))
    for order in (1, 2):
        cost = cdist(x, y) ** order
        n = len(x)
        rows = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
        solved = optimize.linprog(cost.ravel() / n, A_eq=rows[:-1], b_eq=np.ones(2 * n - 1), method="highs")
        found = information.wasserstein(from_draws(x), from_draws(y), order=order)
        assert found.value == pytest.approx(solved.fun ** (1 / order), rel=1e-9)
        assert found.route == "matched draws"
        assert found.se > 0.0
    shifted = information.wasserstein(from_draws(x), from_draws(x + np.array([3.0, 4.0])), order=2)
    assert shifted.value == pytest.approx(5.0, rel=1e-12)


def test_draws_of_distributions_in_the_plane():
    """The distance between draws is larger on average, and comes down to the closed form."""
    p = dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
    q = dist.MultivariateNormal(jnp.array([3.0, 0.0]), jnp.array([[2.0, 0.5], [0.5, 1.0]]))
    closed = information.wasserstein(p, q, order=2).value
    mixed = dist.MixtureGeneral(dist.Categorical(jnp.array([0.5, 0.5])), [q, q])  # the same as q, and not known to be
    found = information.wasserstein(p, mixed, order=2, key=jax.random.key(0), num_draws=400)
    assert found.route == "Monte Carlo, 400 draws of each"
    assert closed - 5 * found.se < found.value < closed + 5 * found.se + 0.1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: as_users_call_it(information.wasserstein)([1.0], [1.0], order=3), ValueError, "1 or 2, got 3"),
        (lambda: information.wasserstein([0.5, 0.5], [1.0]), ValueError, "q: expected 2 outcomes along the last axis"),
        (lambda: information.wasserstein([0.5, 0.5], [1.0, 0.0], positions=[0.0]), ValueError, "positions: expected"),
        (
            lambda: information.wasserstein([0.5, 0.5], [1.0, 0.0], positions=[0.0, np.inf]),
            ValueError,
            "positions: 1 of 2 entries are NaN or infinite",
        ),
        (
            lambda: information.wasserstein([0.5, 0.5], [1.0, 0.0], positions=["a", "b"]),
            TypeError,
            "positions: expected numbers",
        ),
        (
            lambda: information.wasserstein(dist.Poisson(1.0), dist.Poisson(2.0), positions=[0.0]),
            ValueError,
            "positions: expected only with probability vectors",
        ),
        (lambda: information.wasserstein([1.0, 0.0], dist.Poisson(2.0)), TypeError, "expected two of one kind"),
        (
            lambda: information.wasserstein(dist.Normal(jnp.zeros(2), 1.0), dist.Normal(0.0, 1.0)),
            ValueError,
            r"expected no batch shapes, got \(2,\)",
        ),
        (
            lambda: information.wasserstein(dist.Dirichlet(jnp.ones(3)), dist.Dirichlet(2 * jnp.ones(3))),
            ValueError,
            "key: Wasserstein distance of these two",
        ),
        (
            lambda: information.wasserstein(from_draws(np.zeros((5, 2))), from_draws(np.zeros((6, 2)))),
            ValueError,
            "as many draws of q as of p",
        ),
        (
            lambda: information.wasserstein(from_draws(np.zeros((5, 2))), from_draws(np.zeros(5))),
            ValueError,
            "expected draws of dim 2",
        ),
        (
            lambda: information.wasserstein(np.full((2, 2), 0.5), np.full((3, 2), 0.5)),
            ValueError,
            "a shape that goes with p's",
        ),
    ],
)  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.float32
def test_float32():
    found = information.wasserstein(dist.Normal(0.0, 1.0), dist.Normal(0.0, 2.0))
    assert found.value == pytest.approx(np.sqrt(2 / np.pi), rel=1e-4)
    assert information.wasserstein(dist.Cauchy(0.0, 1.0), dist.Cauchy(0.0, 2.0)).value == np.inf
    assert information.wasserstein(dist.Exponential(1.0), dist.Exponential(0.5), order=2).value == pytest.approx(
        np.sqrt(2.0), rel=1e-2
    )
