"""Groups of unknown scatter, against nested quadrature, NUTS, published numbers, and the Gaussian entries."""

import pickle
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from tests.exact.checks import check_constrained_density, check_density, check_draws, check_modes
from tests.exact.gaussian.gaussian_checks import check_predictive
from tests.exact.gaussian.scatter_quadrature import TWO, nested, over_tau
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.datasets import EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES
from vi_toolkit.targets.target import constrain_draws, log_densities

# Means and their Monte-Carlo standard errors, of theta_1..theta_8, mu, tau under the default priors.
# Source: posteriordb, reference posterior eight_schools-eight_schools_noncentered (10,000 draws of Stan).
PUBLISHED = np.array([6.1505, 4.9396, 3.9059, 4.7960, 3.6144, 4.0511, 6.3172, 4.8840, 4.4105, 3.6021])
PUBLISHED_ERROR = np.array([0.0557, 0.0462, 0.0542, 0.0475, 0.0461, 0.0485, 0.0499, 0.0543, 0.0330, 0.0319])


@pytest.fixture(scope="module")
def schools():
    return exact.eight_schools()


@pytest.fixture(scope="module")
def centred():
    return exact.eight_schools(centred=True)


@pytest.mark.parametrize("which", ["schools", "two"])
def test_against_nested_quadrature(which):
    data = TWO if which == "two" else {"effects": EIGHT_SCHOOLS_EFFECTS, "ses": EIGHT_SCHOOLS_SES}
    posterior = exact.eight_schools(**data)
    log_evidence, (mu, mu2, cross, u, u2, tau, tau2) = nested(**data)
    np.testing.assert_allclose(posterior.log_evidence, log_evidence, rtol=1e-10)
    np.testing.assert_allclose(posterior.mean[:2], [mu, u], rtol=1e-8)
    covariance = [[mu2 - mu**2, cross - mu * u], [cross - mu * u, u2 - u**2]]
    np.testing.assert_allclose(posterior.covariance[:2, :2], covariance, rtol=1e-8)
    np.testing.assert_allclose(posterior.constrained_moments["mu"], [mu, np.sqrt(mu2 - mu**2)], rtol=1e-8)
    np.testing.assert_allclose(posterior.constrained_moments["tau"], [tau, np.sqrt(tau2 - tau**2)], rtol=1e-8)


@pytest.mark.slow
def test_against_nuts(schools):
    """Means, standard deviations and covariances, within five Monte-Carlo standard errors of the means."""
    reference = exact.reference(jax.random.key(0), schools.target, num_warmup=700, num_draws=2500)
    assert np.all(np.abs(reference.mean - schools.mean) < 5 * reference.mcse)
    effective = (reference.sd / reference.mcse) ** 2
    centred = (reference.draws - schools.mean) / schools.sd
    np.testing.assert_array_less(
        np.abs((centred**2).mean(axis=0) - 1.0), 5 * (centred**2).std(axis=0) / np.sqrt(effective)
    )
    products = centred[:, :1] * centred
    expected = schools.covariance[0] / schools.sd[0] / schools.sd
    np.testing.assert_array_less(
        np.abs(products.mean(axis=0) - expected), 5 * products.std(axis=0) / np.sqrt(effective.min())
    )


def test_published(schools, centred):
    for posterior in (schools, centred):
        moments = posterior.constrained_moments
        means = np.concatenate([moments["theta"][0], [moments["mu"][0], moments["tau"][0]]])
        assert np.all(np.abs(means - PUBLISHED) < 4 * PUBLISHED_ERROR)


def test_given_tau_it_is_the_random_effects_entry(schools, centred):
    """p(mu, tau, theta | y) = p(tau | y) p(mu, theta | tau, y)."""
    z = jnp.asarray(centred.sample(jax.random.key(5), 6))
    expected = []
    for point in np.asarray(z):
        tau = float(np.exp(point[1]))
        given = exact.random_effects(EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES, tau=tau, prior_sd=5.0)
        rest = stats.multivariate_normal(given.mean, given.covariance).logpdf(np.delete(point, 1))
        scatter = stats.halfcauchy.logpdf(tau, scale=5.0) + given.log_evidence - schools.log_evidence
        expected.append(rest + scatter + point[1])
        np.testing.assert_allclose(schools.marginals["tau"].log_prob(tau), scatter, atol=1e-10)
    check_density(centred, z, np.array(expected))


def test_both_parametrisations_are_one_posterior(schools, centred):
    assert schools.log_evidence == centred.log_evidence
    for site in ("mu", "tau", "theta"):
        np.testing.assert_allclose(schools.constrained_moments[site], centred.constrained_moments[site], rtol=1e-12)
    draws = schools.sample(jax.random.key(1), 20)
    sites = constrain_draws(schools.target, draws)
    z = np.column_stack([sites["mu"], np.log(sites["tau"]), sites["theta"]])
    jacobian = 8 * np.log(sites["tau"])
    expected = log_densities(schools.target, draws) - jacobian
    np.testing.assert_allclose(log_densities(centred.target, jnp.asarray(z)), expected, atol=1e-9)


def test_draws(schools, centred):
    for posterior in (schools, centred, exact.eight_schools(**TWO), exact.eight_schools([3.0], [1.0])):
        draws = check_draws(posterior)
        tau = posterior.marginals["tau"]
        assert stats.kstest(np.exp(draws[:4000, 1]), lambda x, tau=tau: np.asarray(tau.cdf(x))).pvalue > 1e-4
        again = pickle.loads(pickle.dumps(posterior))
        np.testing.assert_array_equal(again.sample(jax.random.key(7), 3), posterior.sample(jax.random.key(7), 3))


def test_constrained_density(schools, centred):
    check_constrained_density(schools)
    check_constrained_density(centred)


def test_marginal_of_tau(schools):
    tau = schools.marginals["tau"]
    grid = np.array([0.01, 0.7, 3.0, 12.0, 60.0])
    edges = np.log([1e-12, 1e-3, *grid])
    areas = [
        integrate.fixed_quad(lambda u: np.exp(u + np.asarray(tau.log_prob(np.exp(u)))), low, high, n=60)[0]
        for low, high in pairwise(edges)
    ]
    np.testing.assert_allclose(tau.cdf(grid), np.cumsum(areas)[1:], rtol=1e-9)
    np.testing.assert_allclose(tau.icdf(tau.cdf(grid)), grid, rtol=1e-9)
    mean, sd = schools.constrained_moments["tau"]
    np.testing.assert_allclose([tau.mean, tau.variance], [mean, sd**2], rtol=1e-12)
    draws = np.asarray(tau.sample(jax.random.key(3), (4000,)))
    assert stats.kstest(draws, lambda x: np.asarray(tau.cdf(x))).pvalue > 1e-4
    rows = jax.jit(lambda law, x: law.log_prob(x))(tau, jnp.asarray(grid[:, None]))
    np.testing.assert_allclose(rows[:, 0], tau.log_prob(grid), rtol=1e-12)


def test_all_moments(centred):
    def first_and_second(u, mean, covariance):
        mean = np.append(mean, u)
        second = np.outer(mean, mean)
        second[:-1, :-1] += covariance
        return np.append(mean, second)

    values = over_tau(first_and_second, -30.0)
    mean, second = values[:10], values[10:].reshape(10, 10)
    order = np.array([0, *range(2, 10), 1])
    np.testing.assert_allclose(centred.mean[order], mean, rtol=1e-9)
    covariance = centred.covariance[np.ix_(order, order)]
    np.testing.assert_allclose(covariance, second - np.outer(mean, mean), rtol=1e-8)


def test_all_standardised_moments():
    posterior = exact.eight_schools(**TWO)

    def first_and_second(u, mean, covariance):
        to_standardised = np.array([[1.0, 0.0, 0.0], *(np.array([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]) / np.exp(u))])
        mean = to_standardised @ mean
        return np.append(mean, to_standardised @ covariance @ to_standardised.T + np.outer(mean, mean))

    values = over_tau(first_and_second, -13.0, **TWO)
    order = np.array([0, 2, 3])
    mean, second = values[:3], values[3:].reshape(3, 3)
    np.testing.assert_allclose(posterior.mean[order], mean, rtol=1e-5)
    covariance = posterior.covariance[np.ix_(order, order)]
    np.testing.assert_allclose(covariance, second - np.outer(mean, mean), rtol=1e-5, atol=1e-5)


def test_marginals_and_predictive_by_quadrature(schools):
    theta, se = np.asarray(schools.marginals["theta"].sample(jax.random.key(2))), 3.0

    def densities(u, mean, covariance):
        apart = u > -4.0  # below, theta would have to be alike in all groups
        return [
            stats.norm.pdf(5.0, mean[0], np.sqrt(covariance[0, 0])),
            stats.multivariate_normal(mean[1:], covariance[1:, 1:]).pdf(theta) * 1e12 if apart else 0.0,
            stats.norm.pdf(5.0, mean[0], np.sqrt(covariance[0, 0] + np.exp(2 * u) + se**2)),
        ]

    of_mu, of_theta, of_new = np.log(over_tau(densities, -30.0))
    np.testing.assert_allclose(schools.marginals["mu"].log_prob(5.0), of_mu, atol=1e-9)
    np.testing.assert_allclose(schools.marginals["theta"].log_prob(theta), of_theta - 12 * np.log(10.0), atol=1e-9)
    np.testing.assert_allclose(schools.predictive(se).log_prob(5.0), of_new, atol=1e-9)


def test_marginals_have_the_moments(schools, centred):
    for posterior in (schools, centred):
        for name in posterior.constrained_moments:
            mean, sd = posterior.constrained_moments[name]
            np.testing.assert_allclose(posterior.marginals[name].mean, mean, rtol=1e-9)
            np.testing.assert_allclose(posterior.marginals[name].variance, sd**2, rtol=1e-9)
        for site in posterior.target.sites:
            assert posterior.marginals[site.name].event_shape == site.shape


@pytest.mark.parametrize("se", [3.0, 1e-3])
def test_predictive_is_a_ratio_of_evidences(schools, se):
    joint = exact.eight_schools(np.append(EIGHT_SCHOOLS_EFFECTS, 11.0), np.append(EIGHT_SCHOOLS_SES, se))
    check_predictive(schools.predictive(se), 11.0, joint.log_evidence, schools.log_evidence)


def test_the_mode(schools, centred):
    """The only one: found again from draws by a quasi-Newton climb in all ten coordinates."""
    check_modes(schools)
    np.testing.assert_array_equal(schools.mode_weights, [1.0])
    assert centred.modes is None
    assert centred.mode_weights is None
    downhill = jax.jit(jax.value_and_grad(lambda z: -schools.target.log_density(z)))
    for start in np.asarray(schools.sample(jax.random.key(4), 5)):
        found = optimize.minimize(downhill, start, jac=True, method="BFGS", options={"gtol": 1e-8})
        np.testing.assert_allclose(found.x, schools.modes[0], atol=1e-5)


def test_the_centred_density_climbs_without_bound(centred):
    """At theta_j = mu, like tau^(1 - J)."""
    low, lower = (centred.target.log_density(jnp.array([5.0, u, *[5.0] * 8])) for u in (-20.0, -30.0))
    np.testing.assert_allclose(lower - low, 70.0, rtol=1e-9)


def test_several_modes():
    """One group far from the others: either it alone is far out, or all scatter widely."""
    posterior = exact.eight_schools(
        [140.0, 0.4, 0.1, -0.1, -0.4, 0.0], [16.0, 0.3, 0.2, 9.0, 1.8, 0.9], prior_sd=0.6, tau_scale=0.02
    )
    assert len(posterior.modes) > 1
    assert posterior.mode_weights is None
    check_modes(posterior)
    heights = [float(posterior.log_prob(jnp.asarray(mode))) for mode in posterior.modes]
    assert heights == sorted(heights, reverse=True)


def test_one_group_has_no_second_moment_of_tau():
    posterior = exact.eight_schools([3.0], [1.0])
    assert set(posterior.constrained_moments) == {"mu", "standardised", "theta"}
    assert posterior.marginals["tau"].variance == np.inf
    log_evidence, (mu, _, _, u, u2, tau, _) = nested([3.0], [1.0])
    np.testing.assert_allclose(posterior.log_evidence, log_evidence, rtol=1e-10)
    np.testing.assert_allclose(posterior.mean[:2], [mu, u], rtol=1e-8)
    np.testing.assert_allclose(posterior.covariance[1, 1], u2 - u**2, rtol=1e-8)
    np.testing.assert_allclose(posterior.marginals["tau"].mean, tau, rtol=1e-8)
    np.testing.assert_allclose(exact.eight_schools([3.0], [1.0], centred=True).log_evidence, log_evidence, rtol=1e-10)


def test_many_groups():
    """300 groups whose scatter is known well: a narrow peak of log tau, as SciPy integrates it."""
    generator = np.random.default_rng(0)
    ses = generator.uniform(0.1, 2.0, size=300)
    effects = 4.0 + np.hypot(1.5, ses) * generator.normal(size=300)
    posterior = exact.eight_schools(effects, ses)
    assert posterior.sd[1] < 0.1

    def log_density(u):
        covariance = 25.0 + np.diag(np.exp(2 * u) + ses**2)
        log_likelihood = stats.multivariate_normal(np.zeros(300), covariance).logpdf(effects)
        return log_likelihood + stats.halfcauchy.logpdf(np.exp(u), scale=5.0) + u

    peak = log_density(posterior.mean[1])
    low, high = posterior.mean[1] - 10 * posterior.sd[1], posterior.mean[1] + 10 * posterior.sd[1]
    total, first = integrate.quad_vec(lambda u: np.exp(log_density(u) - peak) * np.array([1.0, u]), low, high)[0]
    np.testing.assert_allclose(posterior.log_evidence, peak + np.log(total), rtol=1e-10)
    np.testing.assert_allclose(posterior.mean[1], first / total, rtol=1e-8)


@pytest.mark.any_precision
def test_density_in_any_precision():
    for centred in (False, True):
        posterior = exact.eight_schools(**TWO, centred=centred)
        u, mu, effects = 0.3, 0.8, np.array([1.1, -0.2])
        theta = effects if centred else mu + np.exp(u) * effects
        spread = stats.norm(mu, np.exp(u)).logpdf(theta).sum() + (0.0 if centred else 2 * u)
        prior = stats.norm(0.5, 2.0).logpdf(mu) + stats.halfcauchy(scale=1.5).logpdf(np.exp(u)) + u
        joint = prior + spread + stats.norm(theta, TWO["ses"]).logpdf(TWO["effects"]).sum()
        exactness = 1e-9 if jnp.result_type(float) == jnp.float64 else 1e-4
        point = np.array([[mu, u, *effects]])
        check_density(posterior, point, np.array([joint - posterior.log_evidence]), atol=exactness)
        tau = posterior.marginals["tau"]
        np.testing.assert_allclose(tau.icdf(tau.cdf(0.9)), 0.9, rtol=1e-4)


def call(**changes):
    return as_users_call_it(exact.eight_schools)(**{**TWO, **changes})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"effects": []}, ValueError, "effects: it is empty"),
        ({"effects": [1.0, np.nan]}, ValueError, "effects: 1 of 2 entries are NaN"),
        ({"ses": [1.0]}, ValueError, "ses: expected one value for each of the 2 effects, got 1"),
        ({"ses": [1.0, -2.0]}, ValueError, "ses: expected standard errors above 0, got -2.0 at index 1"),
        ({"prior_mean": np.nan}, ValueError, "prior_mean: expected a finite number, got nan"),
        ({"prior_sd": 0.0}, ValueError, "prior_sd: expected a finite number above 0"),
        ({"tau_scale": 0.0}, ValueError, "tau_scale: expected a finite number above 0"),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        call(**changes)
