"""Normal observations of unknown mean, variance or both, against SciPy's densities and quadrature."""

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from tests.exact.checks import (
    check_agreement,
    check_constrained_density,
    check_density,
    check_draws,
    check_modes,
)
from tests.exact.conjugate.conjugate_checks import check_marginal_draws, check_pickle, check_predictive
from tests.typecheck import as_users_call_it
from vi_toolkit import exact

Y = np.array([1.2, 3.4, 2.2, -0.5, 2.9])
OF_MEAN = {"sd": 0.8, "prior_mean": -1.0, "prior_sd": 2.5}
OF_VARIANCE = {"mean": 1.0, "shape": 1.2, "rate": 0.9}
OF_BOTH = {"prior_mean": -1.0, "prior_count": 0.6, "shape": 1.2, "rate": 0.9}


def of_mean(y=Y):
    return exact.normal_unknown_mean(y, **OF_MEAN)


def of_variance(y=Y):
    return exact.normal_unknown_variance(y, **OF_VARIANCE)


def of_both(y=Y):
    return exact.normal_unknown_mean_and_variance(y, **OF_BOTH)


@pytest.mark.parametrize("n", [1, 5])
def test_evidence_is_the_density_of_all_observations(n):
    y, one, eye = Y[:n], np.ones((n, n)), np.eye(n)
    normal = stats.multivariate_normal(np.full(n, -1.0), 0.8**2 * eye + 2.5**2 * one)
    np.testing.assert_allclose(of_mean(y).log_evidence, normal.logpdf(y), rtol=1e-12)
    student = stats.multivariate_t(np.full(n, 1.0), 0.9 / 1.2 * eye, df=2.4)
    np.testing.assert_allclose(of_variance(y).log_evidence, student.logpdf(y), rtol=1e-12)
    student = stats.multivariate_t(np.full(n, -1.0), 0.9 / 1.2 * (eye + one / 0.6), df=2.4)
    np.testing.assert_allclose(of_both(y).log_evidence, student.logpdf(y), rtol=1e-12)


def integrals(joint, low, high):
    """Integral, mean and variance of an unnormalised density on the line."""
    total, first, second = (
        integrate.quad(lambda z, k=k: z**k * joint(z), low, high, epsrel=1e-11, epsabs=0.0, limit=200)[0]
        for k in range(3)
    )
    return total, first / total, second / total - (first / total) ** 2


def test_mean_by_quadrature():
    evidence, mean, variance = integrals(
        lambda mu: np.prod(stats.norm.pdf(Y, mu, 0.8)) * stats.norm.pdf(mu, -1.0, 2.5), -4.0, 6.0
    )
    found = of_mean()
    np.testing.assert_allclose(found.log_evidence, np.log(evidence), rtol=1e-9)
    np.testing.assert_allclose([found.mean[0], found.covariance[0, 0]], [mean, variance], rtol=1e-9)


def test_variance_by_quadrature():
    evidence, mean, variance = integrals(
        lambda z: (
            np.prod(stats.norm.pdf(Y, 1.0, np.exp(z / 2))) * stats.invgamma.pdf(np.exp(z), 1.2, scale=0.9) * np.exp(z)
        ),
        -6.0,
        16.0,
    )
    found = of_variance()
    np.testing.assert_allclose(found.log_evidence, np.log(evidence), rtol=1e-9)
    np.testing.assert_allclose([found.mean[0], found.covariance[0, 0]], [mean, variance], rtol=1e-8)


def test_both_by_quadrature():
    """Given v the mean of mu is a sum over the line; the outer integral is over log v."""
    nodes, weights = np.polynomial.legendre.leggauss(200)

    def inside(z, power):
        sd = np.exp(z / 2)
        mu = 1.5 + 10.0 * sd * nodes
        likelihood = np.prod(stats.norm.pdf(Y[:, None], mu, sd), axis=0)
        return 10.0 * sd * weights @ (likelihood * stats.norm.pdf(mu, -1.0, sd / 0.6**0.5) * mu**power)

    def moment(of_z, power):
        def joint(z):
            return z**of_z * inside(z, power) * stats.invgamma.pdf(np.exp(z), 1.2, scale=0.9) * np.exp(z)

        return integrate.quad(joint, -4.0, 22.0, epsrel=1e-11, epsabs=0.0, limit=400)[0]

    found, total = of_both(), moment(0, 0)
    np.testing.assert_allclose(found.log_evidence, np.log(total), rtol=1e-8)
    mean = np.array([moment(1, 0), moment(0, 1)]) / total
    np.testing.assert_allclose(found.mean, mean, rtol=1e-8)
    second = np.array([[moment(2, 0), moment(1, 1)], [moment(1, 1), moment(0, 2)]]) / total
    np.testing.assert_allclose(found.covariance, second - np.outer(mean, mean), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("make", [of_mean, of_variance, of_both])
def test_on_the_grid(make):
    check_agreement(make(), exact.grid(make().target), 1e-7)


def test_both_is_a_regression_on_a_column_of_ones():
    regression = exact.linear_regression_unknown_noise(
        np.ones((5, 1)), Y + 1.0, prior_sd=0.6**-0.5, shape=1.2, rate=0.9
    )
    found = of_both()
    np.testing.assert_allclose(found.log_evidence, regression.log_evidence, rtol=1e-12)
    np.testing.assert_allclose(found.mean, regression.mean - [0.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(found.covariance, regression.covariance, rtol=1e-12)


def test_densities():
    mean, sd = of_mean().constrained_moments["mean"]
    z = np.linspace(-1, 3, 6)[:, None]
    precision = 1 / 2.5**2 + 5 / 0.8**2
    np.testing.assert_allclose(mean, (-1.0 / 2.5**2 + Y.sum() / 0.8**2) / precision, rtol=1e-13)
    np.testing.assert_allclose(sd, precision**-0.5, rtol=1e-13)
    check_density(of_mean(), z, stats.norm.logpdf(z[:, 0], mean, sd))
    variance = stats.invgamma(1.2 + 2.5, scale=0.9 + 0.5 * np.sum((Y - 1.0) ** 2))
    check_density(of_variance(), z, variance.logpdf(np.exp(z[:, 0])) + z[:, 0])
    np.testing.assert_allclose(of_variance().constrained_moments["variance"], [variance.mean(), variance.std()])


@pytest.mark.parametrize("make", [of_mean, of_variance, of_both])
def test_draws_modes_and_both_spaces(make):
    check_draws(make())
    check_modes(make())
    check_constrained_density(make(), 2)


def test_marginals():
    a, b = 1.2 + 2.5, 0.9 + 0.5 * np.sum((Y - 1.0) ** 2)
    np.testing.assert_allclose(
        of_variance().marginals["variance"].log_prob(2.0), stats.invgamma(a, scale=b).logpdf(2.0), rtol=1e-12
    )
    check_marginal_draws(of_variance(), "variance", (), stats.invgamma(a, scale=b).cdf)
    mean, sd = of_mean().constrained_moments["mean"]
    np.testing.assert_allclose(of_mean().marginals["mean"].log_prob(1.0), stats.norm(mean, sd).logpdf(1.0), rtol=1e-12)
    check_marginal_draws(of_mean(), "mean", (), stats.norm(mean, sd).cdf)


def test_marginals_of_both():
    found = of_both()
    k = 5.6
    b = 0.9 + 0.5 * (np.sum((Y - Y.mean()) ** 2) + 0.6 * 5 / k * (Y.mean() + 1.0) ** 2)
    variance, mean = stats.invgamma(3.7, scale=b), stats.t(7.4, (Y.sum() - 0.6) / k, np.sqrt(b / (3.7 * k)))
    for site, expected in {"variance": variance, "mean": mean}.items():
        np.testing.assert_allclose(found.marginals[site].log_prob(1.7), expected.logpdf(1.7), rtol=1e-12)
        np.testing.assert_allclose(found.constrained_moments[site], [expected.mean(), expected.std()], rtol=1e-12)
        check_marginal_draws(found, site, (), expected.cdf)
    normal = stats.norm((Y.sum() - 0.6) / k, np.sqrt(2.0 / k))  # of mu given v = 2
    for mu in (-0.5, 1.5):
        joint = found.log_prob_constrained({"variance": 2.0, "mean": mu})
        np.testing.assert_allclose(joint, variance.logpdf(2.0) + normal.logpdf(mu), rtol=1e-10)


@pytest.mark.parametrize("make", [of_mean, of_variance, of_both])
def test_predictive(make):
    found = make()
    for new in (-3.0, 2.5):
        check_predictive(found.predictive(), found, make(np.append(Y, new)), new)
    again = check_pickle(found)
    assert again.predictive().log_prob(0.3) == found.predictive().log_prob(0.3)


def test_moments_that_do_not_exist_are_left_out():
    few = exact.normal_unknown_mean_and_variance([1.0], prior_mean=0.0, prior_count=1.0, shape=0.5, rate=1.0)  # a = 1
    assert few.covariance is None
    assert few.constrained_moments == {}
    some = exact.normal_unknown_mean_and_variance([1.0], prior_mean=0.0, prior_count=1.0, shape=1.5, rate=1.0)  # a = 2
    np.testing.assert_allclose(some.covariance[1, 1], (1.0 + 0.25) / 2)
    assert set(some.constrained_moments) == {"mean"}
    few = exact.normal_unknown_variance([1.0], mean=0.0, shape=0.5, rate=1.0)
    assert few.constrained_moments == {}
    np.testing.assert_allclose(few.covariance, [[np.pi**2 / 6]])  # log of InverseGamma(1, .)


@pytest.mark.any_precision
@pytest.mark.parametrize("make", [of_mean, of_variance, of_both])
def test_either_precision(make):
    """The closed forms are in double; the density follows JAX's precision."""
    atol = 1e-9 if jax.config.jax_enable_x64 else 1e-4
    found = make()
    z = found.sample(jax.random.key(0), 1)[0]
    sites = {name: float(value) for name, value in found.target.constrain(z).items()}
    variance = sites.get("variance", 0.8**2)
    expected = stats.norm.logpdf(Y, sites.get("mean", 1.0), np.sqrt(variance)).sum()
    if "variance" in sites:
        expected += stats.invgamma.logpdf(variance, 1.2, scale=0.9) + np.log(variance)
    if "mean" in sites:
        prior_sd = np.sqrt(variance / 0.6) if "variance" in sites else 2.5
        expected += stats.norm.logpdf(sites["mean"], -1.0, prior_sd)
    np.testing.assert_allclose(found.log_prob(z), expected - found.log_evidence, atol=atol)
    after = make(np.append(Y, 0.3)).log_evidence
    np.testing.assert_allclose(found.predictive().log_prob(0.3), after - found.log_evidence, atol=atol)


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        (exact.normal_unknown_mean, OF_MEAN),
        (exact.normal_unknown_variance, OF_VARIANCE),
        (exact.normal_unknown_mean_and_variance, OF_BOTH),
    ],
)
def test_bad_input(function, settings):
    function = as_users_call_it(function)
    for y, message in [
        ([], "y: it is empty"),
        ([[1.0]], "y: expected 1 axis"),
        ([1.0, np.nan], "y: 1 of 2 entries are NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            function(y, **settings)
    with pytest.raises(TypeError, match="y: expected numbers"):
        function(["a"], **settings)
    for name in settings:
        if name in ("mean", "prior_mean"):
            with pytest.raises(ValueError, match=f"{name}: expected a finite number, got nan"):
                function(Y, **(settings | {name: np.nan}))
            with pytest.raises(TypeError, match=f"{name}: expected a number, got bool True"):
                function(Y, **(settings | {name: True}))
        else:
            with pytest.raises(ValueError, match=f"{name}: expected a finite number above 0, got 0"):
                function(Y, **(settings | {name: 0.0}))
