"""The Fisher divergence: closed forms, quadrature, and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

import vi_toolkit as vi
from vi_toolkit import information
from vi_toolkit.information._quadrature import integrate as integrate_volumes, space_of
from vi_toolkit.information.fisher import _integrand, _monte_carlo


def by_quadrature(p, q):
    return integrate_volumes(lambda *args: _integrand(p, q, *args), space_of(p, q)).value[0]


def test_closed_form_against_quadrature():
    pairs = [
        (dist.Normal(0.3, 1.2), dist.Normal(-0.4, 0.7)),
        (
            dist.MultivariateNormal(jnp.zeros(2), jnp.array([[1.5, 0.4], [0.4, 0.8]])),
            dist.Normal(jnp.array([0.5, 0.0]), 1.0).to_event(1),
        ),
    ]
    for p, q in pairs:
        found = information.fisher_divergence(p, q)
        assert found.route == "closed form"
        assert found.value == pytest.approx(by_quadrature(p, q), rel=1e-8)
    nearly = information.fisher_divergence(dist.Normal(0.0, 1.0), dist.Normal(1e-8, 1.0)).value
    assert nearly == pytest.approx(1e-16, rel=1e-7)


def test_quadrature_against_scipy():
    """Scores written out: of a Student t, -(v + 1) x / (v + x^2); of a normal, -x."""
    p, q = dist.StudentT(5.0, 0.0, 1.0), dist.Normal(0.0, 1.5)
    expected = integrate.quad(
        lambda x: stats.t(5.0).pdf(x) * (-6 * x / (5 + x * x) + x / 2.25) ** 2, -np.inf, np.inf, epsabs=1e-12
    )[0]
    found = information.fisher_divergence(p, q)
    assert found.route == "quadrature"
    assert found.value == pytest.approx(expected, rel=1e-8)
    gamma, weibull = dist.Gamma(4.0, 2.0), dist.Weibull(1.5, 2.0)
    expected = integrate.quad(
        lambda x: stats.gamma(4.0, scale=0.5).pdf(x) * (3 / x - 2 - (1 / x - 2 * x / 1.5**2)) ** 2, 0, 40, epsabs=1e-12
    )[0]
    assert information.fisher_divergence(gamma, weibull).value == pytest.approx(expected, rel=1e-8)


def test_where_it_is_infinite():
    assert information.fisher_divergence(dist.Normal(0.0, 1.0), dist.Exponential(1.0)).value == np.inf
    assert information.fisher_divergence(dist.Normal(0.0, 1e-3), dist.Uniform(-1.0, 1.0)).value == np.inf
    assert information.fisher_divergence(dist.Cauchy(0.0, 1.0), dist.Normal(0.0, 1.0)).value == np.inf
    assert information.fisher_divergence(dist.Gamma(1.5, 1.0), dist.Gamma(2.0, 1.0)).value == np.inf  # E 1/x^2
    found = information.fisher_divergence(dist.Gamma(2.5, 1.0), dist.Gamma(3.0, 1.0))
    assert found.value == pytest.approx(0.25 / (1.5 * 0.5), rel=1e-8)  # (a - b)^2 E 1/x^2
    inside = information.fisher_divergence(dist.Exponential(1.0), dist.Normal(0.0, 1.0))
    assert inside.value == pytest.approx(1.0, rel=1e-9)  # E (x - 1)^2
    many = dist.Normal(jnp.zeros(3), 1.0).to_event(1), dist.Exponential(jnp.ones(3)).to_event(1)
    found = information.fisher_divergence(*many, key=jax.random.key(0))
    assert (found.value, found.se) == (np.inf, 0.0)


def test_no_normaliser_enters_and_weights_of_far_modes_do_not_show():
    p, q = dist.Normal(0.5, 1.3), dist.Laplace(0.0, 1.0)
    target = vi.from_log_density(lambda z: 77.0 + p.log_prob(z[0]), dim=1)
    assert information.fisher_divergence(target, q).value == pytest.approx(
        information.fisher_divergence(p, q).value, rel=1e-8
    )
    modes = dist.Normal(jnp.array([-20.0, 20.0]), 1.0)
    one, other = (dist.MixtureSameFamily(dist.Categorical(jnp.array(w)), modes) for w in ([0.5, 0.5], [0.9, 0.1]))
    assert information.fisher_divergence(one, other).value < 1e-12
    assert information.kl_divergence(one, other).value > 0.5


def test_draws_are_honest():
    p = dist.Normal(jnp.zeros(3), 1.0).to_event(1)
    q = dist.MultivariateNormal(jnp.array([0.5, 0.0, 0.0]), jnp.diag(jnp.array([1.0, 2.0, 1.5])))
    truth = information.fisher_divergence(p, q).value
    keys = jax.random.split(jax.random.key(0), 100)
    found = [_monte_carlo(p, q, key, 1000) for key in keys]
    z = np.array([(each.value - truth) / each.se for each in found])
    assert np.abs(z).max() < 5.0  # of 100 normal numbers none is expected to be beyond
    assert 0.75 < z.std() < 1.25
    students = dist.MultivariateStudentT(5.0, jnp.zeros(3), jnp.eye(3))
    found = information.fisher_divergence(p, students, key=keys[0])
    assert found.route == "Monte Carlo, 10,000 draws"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400_000, 3))
    scores = -8.0 * x / (5.0 + np.sum(x**2, axis=1, keepdims=True))
    assert abs(found.value - np.sum((scores + x) ** 2, axis=1).mean()) < 5 * found.se


def test_one_coordinate_with_an_event_shape():
    p, q = dist.Laplace(0.0, 1.0), dist.Logistic(0.5, 1.0)
    expected = information.fisher_divergence(p, q).value
    vectors = [each.expand((1,)).to_event(1) for each in (p, q)]
    assert information.fisher_divergence(*vectors).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: information.fisher_divergence([0.5, 0.5], [0.5, 0.5]), TypeError, "p: expected a continuous"),
        (lambda n: information.fisher_divergence(n, information.from_draws([1.0, 2.0])), TypeError, "q: expected a"),
        (lambda n: information.fisher_divergence(dist.Poisson(1.0), n), ValueError, "p: expected one continuous"),
        (lambda n: information.fisher_divergence(n, dist.Normal(jnp.zeros(2), 1.0)), ValueError, "q: expected one con"),
        (lambda n: information.fisher_divergence(n, dist.Dirichlet(jnp.ones(3))), ValueError, "q: expected event"),
        (lambda n: information.fisher_divergence(n, dist.Delta(0.0)), TypeError, "q: expected a distrib"),
        (
            lambda n: information.fisher_divergence(
                vi.from_log_density(lambda z: -jnp.sum(z**2), dim=3), dist.Normal(jnp.zeros(3), 1.0).to_event(1)
            ),
            ValueError,
            "p: in more than two dimensions it must be a distribution",
        ),
    ],
)  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(dist.Normal(0.0, 1.0))
