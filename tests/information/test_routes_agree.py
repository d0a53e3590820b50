"""Every pair of routes to one number agrees: closed form, exact sum and quadrature."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.distributions import kl as numpyro_kl
from scipy import stats

from vi_toolkit import information
from vi_toolkit.information import _closed_forms, _functionals as functionals
from vi_toolkit.information._measure import _by_quadrature


def vector(*values):
    return jnp.array(values)


def mvn(seed, dim=2):
    rng = np.random.default_rng(seed)
    root = np.tril(rng.normal(size=(dim, dim)))
    np.fill_diagonal(root, np.exp(0.5 * rng.normal(size=dim)))
    return dist.MultivariateNormal(vector(*rng.normal(size=dim)), scale_tril=jnp.asarray(root))


# For every pair of families in NumPyro's registry, and every one of ours: what is held against quadrature.
REGISTRY = {
    "Normal, Normal": (dist.Normal(0.3, 1.2), dist.Normal(-0.4, 0.7)),
    "MultivariateNormal, MultivariateNormal": (mvn(0), mvn(1)),
    "Independent, CirculantNormal": (
        dist.Normal(vector(0.0, 0.5), vector(1.0, 0.7)).to_event(1),
        dist.CirculantNormal(vector(0.3, -0.2), vector(1.5, 0.5)),
    ),
    "Beta, Beta": (dist.Beta(2.0, 3.5), dist.Beta(1.3, 0.8)),
    "Dirichlet, Dirichlet": (dist.Dirichlet(vector(2.0, 3.0, 1.5)), dist.Dirichlet(vector(1.0, 1.2, 2.0))),
    "Gamma, Gamma": (dist.Gamma(2.5, 1.5), dist.Gamma(1.2, 0.7)),
    "Weibull, Gamma": (dist.Weibull(1.4, 1.8), dist.Gamma(2.2, 1.1)),
    "Independent, Independent": (
        dist.Gamma(vector(2.0, 3.0), vector(1.0, 2.0)).to_event(1),
        dist.Gamma(vector(1.5, 2.0), vector(1.0, 1.0)).to_event(1),
    ),
    "ExpandedDistribution, Distribution": (dist.Gamma(2.5, 1.5).expand(()), dist.Chi2(3.0)),
    "Distribution, ExpandedDistribution": (dist.BetaProportion(0.3, 4.0), dist.Beta(2.0, 2.0).expand(())),
    "ExpandedDistribution, ExpandedDistribution": (
        dist.Beta(2.0, 3.0).expand((2,)).to_event(1),
        dist.Beta(1.5, 2.0).expand((2,)).to_event(1),
    ),
}
NOT_CONTINUOUS = {"CategoricalProbs, CategoricalProbs"}  # below
NO_DENSITY = {"Delta, Distribution", "Delta, ExpandedDistribution", "MaskedDistribution, MaskedDistribution"}  # refused
NOT_EXACT = {"Kumaraswamy, Beta"}  # below


def test_the_registry_is_covered():
    registered = {
        ", ".join(kind.__name__ for kind in kinds)
        for kinds in numpyro_kl.kl_divergence.funcs
        if not any(inspect.isabstract(kind) for kind in kinds)
    }
    assert registered == set(REGISTRY) | NOT_CONTINUOUS | NO_DENSITY | NOT_EXACT


@pytest.mark.parametrize("name", REGISTRY)
def test_closed_kl_against_quadrature(name):
    for p, q in (REGISTRY[name], REGISTRY[name][::-1]):
        closed = _closed_forms.kl(p, q)
        if closed is None:
            assert (p, q) != REGISTRY[name]  # NumPyro knows some pairs in one order only
            continue
        np.testing.assert_allclose(_by_quadrature(functionals.KL, p, q).value, closed, rtol=1e-8)
        assert information.kl_divergence(p, q).route == "closed form"


def test_the_series_for_kumaraswamy_and_beta_is_passed_over():
    """NumPyro cuts a series after ten terms; here it would even be negative."""
    p, q = dist.Kumaraswamy(2.0, 3.0), dist.Beta(2.0, 2.5)
    assert numpyro_kl.kl_divergence(p, q) < 0.0
    found = information.kl_divergence(p, q)
    x, weights = np.polynomial.legendre.leggauss(200)
    u = 0.5 * (x + 1.0)
    log_p = np.log(6.0 * u * (1 - u**2) ** 2)
    expected = 0.5 * weights @ (np.exp(log_p) * (log_p - stats.beta.logpdf(u, 2.0, 2.5)))
    assert found.route == "quadrature"
    assert found.value == pytest.approx(expected, rel=1e-8)


def test_categoricals():
    p, q = np.array([[0.2, 0.3, 0.5], [0.0, 0.4, 0.6]]), np.array([0.5, 0.25, 0.25])
    expected = information.kl_divergence(p, q).value
    batch = information.kl_divergence(dist.Categorical(jnp.asarray(p)), dist.Categorical(jnp.asarray(q)))
    np.testing.assert_allclose(batch.value, expected, rtol=1e-13)
    by_logits = dist.Categorical(logits=jnp.log(jnp.asarray(p[0])))
    assert information.kl_divergence(by_logits, dist.Categorical(jnp.asarray(q))).value == pytest.approx(expected[0])
    longer = dist.Categorical(vector(0.2, 0.3, 0.25, 0.25))
    three = dist.Categorical(jnp.asarray(p[0]))
    assert information.kl_divergence(longer, three).value == np.inf
    expected = information.kl_divergence([0.2, 0.3, 0.5, 0.0], [0.2, 0.3, 0.25, 0.25]).value
    assert information.kl_divergence(three, longer).value == pytest.approx(expected, rel=1e-12)
    one = dist.Categorical(vector(1.0))
    assert information.kl_divergence(one, three).value == pytest.approx(-np.log(0.2))


CONTINUOUS = {
    "Beta": dist.Beta(2.0, 3.0),
    "Beta, with JAX's betaln": dist.Beta(12.0, 3.0),
    "Betas, with JAX's betaln": dist.Beta(jnp.array([12.0, 2.0]), jnp.array([3.0, 9.0])).to_event(1),
    "StudentT, with JAX's betaln": dist.StudentT(20.0, 1.0, 2.0),
    "Beta, singular at both ends": dist.Beta(0.3, 0.3),
    "BetaProportion": dist.BetaProportion(0.3, 4.0),
    "Cauchy": dist.Cauchy(1.0, 2.0),
    "Chi2": dist.Chi2(3.0),
    "Exponential": dist.Exponential(2.0),
    "Gamma": dist.Gamma(2.0, 1.5),
    "Gamma, singular": dist.Gamma(0.1, 1.0),
    "InverseGamma": dist.InverseGamma(3.0, 2.0),
    "Laplace": dist.Laplace(0.5, 2.0),
    "Levy": dist.Levy(0.5, 2.0),
    "LogNormal": dist.LogNormal(0.5, 1.2),
    "LogUniform": dist.LogUniform(1.0, 5.0),
    "Logistic": dist.Logistic(1.0, 2.0),
    "Normal": dist.Normal(1.0, 3.0),
    "Pareto": dist.Pareto(2.0, 3.0),
    "Pareto, almost without a mean": dist.Pareto(1.0, 0.2),
    "StudentT": dist.StudentT(3.0, 1.0, 2.0),
    "Uniform": dist.Uniform(-1.0, 2.0),
    "Weibull": dist.Weibull(2.0, 1.5),
    "Weibull, singular": dist.Weibull(2.0, 0.5),
    "CirculantNormal": dist.CirculantNormal(vector(0.3, -0.2), vector(1.5, 0.5)),
    "Dirichlet": dist.Dirichlet(vector(2.0, 3.0, 1.5)),
    "LowRankMultivariateNormal": dist.LowRankMultivariateNormal(
        jnp.zeros(2), cov_factor=jnp.array([[1.0], [0.5]]), cov_diag=vector(0.5, 0.3)
    ),
    "Independent": dist.Weibull(vector(2.0, 1.0), vector(1.5, 2.0)).to_event(1),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_entropies_against_quadrature(name):
    p = CONTINUOUS[name]
    found = information.entropy(p)
    assert found.route == "closed form"
    np.testing.assert_allclose(_by_quadrature(functionals.ENTROPY, p, p).value, found.value, rtol=1e-9)


DISCRETE = {
    "Bernoulli": dist.Bernoulli(0.3),
    "Bernoulli, by logits": dist.Bernoulli(logits=0.3),
    "Categorical": dist.Categorical(vector(0.2, 0.0, 0.8)),
    "DiscreteUniform": dist.DiscreteUniform(2, 9),
    "Geometric": dist.Geometric(0.3),
    "Geometric, by logits": dist.Geometric(logits=-2.0),
    "OrderedLogistic": dist.OrderedLogistic(0.3, vector(-1.0, 0.0, 1.0)),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_entropies_against_sums(name):
    p = DISCRETE[name]
    found = information.entropy(p)
    x = np.arange(400)
    inside = np.asarray(p.support(x))
    log_p = np.asarray(p.log_prob(jnp.asarray(x[inside])))
    mass = np.exp(log_p)
    assert mass.sum() == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_allclose(found.value, -np.sum(mass[mass > 0] * log_p[mass > 0]), rtol=1e-12)
    summed = information.decompose(p, p)
    np.testing.assert_allclose(summed.entropy.value, found.value, rtol=1e-12)


def test_closed_forms_of_batches():
    """Our own forms in float64, for whole batches and for sums over independent coordinates."""
    pairs = {
        "normal": (dist.Normal(vector(0.0, 1.0), 1.0), dist.Normal(0.5, vector(2.0, 0.1))),
        "gamma": (dist.Gamma(vector(0.5, 4.0), 2.0), dist.Gamma(1.5, vector(2.0, 0.1))),
        "beta": (dist.Beta(vector(0.5, 4.0), 2.0), dist.Beta(1.5, vector(2.0, 0.1))),
        "dirichlet": (dist.Dirichlet(jnp.array([[1.0, 2.0], [3.0, 0.4]])), dist.Dirichlet(vector(2.0, 2.0))),
    }
    for name, (p, q) in pairs.items():
        found = information.kl_divergence(p, q)
        np.testing.assert_allclose(found.value, numpyro_kl.kl_divergence(p, q), rtol=1e-10, err_msg=name)
        assert found.se.shape == (2,)
        together = information.kl_divergence(p.to_event(1), q.expand((2,)).to_event(1))
        np.testing.assert_allclose(together.value, found.value.sum(), rtol=1e-13, err_msg=name)


NEAR = {
    "normal": (lambda e: dist.Normal(1.0 + e, 2.0 + e), lambda: 0.5 * (1 / 4 + 2 / 4)),
    "gamma": (lambda e: dist.Gamma(2.0 + e, 3.0), lambda: 0.5 * float(jax.scipy.special.polygamma(1, 2.0))),
    "beta": (
        lambda e: dist.Beta(2.0 + e, 3.0),
        lambda: 0.5 * float(jax.scipy.special.polygamma(1, 2.0) - jax.scipy.special.polygamma(1, 5.0)),
    ),
    "dirichlet": (
        lambda e: dist.Dirichlet(vector(2.0 + e, 3.0, 1.0)),
        lambda: 0.5 * float(jax.scipy.special.polygamma(1, 2.0) - jax.scipy.special.polygamma(1, 6.0)),
    ),
    "logistic": (lambda e: dist.Logistic(e, 1.0), lambda: 0.5 / 3),
    "student": (lambda e: dist.StudentT(3.0, e, 1.0), lambda: 0.5 * 4 / 6),
    "poisson": (lambda e: dist.Poisson(4.0 + e), lambda: 0.5 / 4),
    "geometric": (lambda e: dist.Geometric(0.3 + e), lambda: 0.5 / (0.3**2 * 0.7)),
}


@pytest.mark.parametrize("name", NEAR)
def test_nearly_identical_distributions(name):
    """D(p_t || p_(t + e)) is e^2 / 2 times Fisher's information of t, and the next term is of the order of e^3."""
    family, half_information = NEAR[name]
    e = 1e-7
    found = information.kl_divergence(family(0.0), family(e)).value
    assert 1e-16 < found < 1e-12
    assert found == pytest.approx(e**2 * half_information(), rel=1e-6)
    assert information.kl_divergence(family(0.0), family(0.0)).value == 0.0
