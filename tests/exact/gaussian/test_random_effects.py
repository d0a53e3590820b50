"""Random effects of known scatter, against the linear Gaussian entry, SciPy's normal, and ratios of evidences."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from tests.exact.checks import check_density
from tests.exact.gaussian.gaussian_checks import check_gaussian, check_moments, check_predictive
from tests.typecheck import as_users_call_it
from vi_toolkit import exact
from vi_toolkit.datasets import EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES

EFFECTS, SES = np.array([1.2, -0.4, 3.0]), np.array([0.5, 1.0, 0.8])
HYPERPARAMETERS = {"tau": 0.7, "prior_mean": 0.4, "prior_sd": 1.5}


def as_linear_gaussian(effects, ses, *, tau, prior_mean, prior_sd):
    """The same with z = (mu, theta), of which theta is seen."""
    J = len(effects)
    covariance = np.full((1 + J, 1 + J), prior_sd**2) + tau**2 * np.diag(np.append(0.0, np.ones(J)))
    return exact.linear_gaussian(
        np.hstack([np.zeros((J, 1)), np.eye(J)]),
        effects,
        prior_mean=np.full(1 + J, prior_mean),
        prior_covariance=covariance,
        noise_covariance=np.diag(np.square(ses)),
    )


@pytest.mark.parametrize(("J", "check"), [(3, check_gaussian), (1, check_moments)])
def test_closed_form(J, check):
    posterior = exact.random_effects(EFFECTS[:J], SES[:J], **HYPERPARAMETERS)
    other = as_linear_gaussian(EFFECTS[:J], SES[:J], **HYPERPARAMETERS)
    check(posterior, other.mean, other.covariance, other.log_evidence)
    assert [site.name for site in posterior.target.sites] == ["mu", "theta"]


def test_evidence():
    covariance = 1.5**2 + np.diag(0.7**2 + SES**2)
    expected = stats.multivariate_normal(np.full(3, 0.4), covariance).logpdf(EFFECTS)
    np.testing.assert_allclose(exact.random_effects(EFFECTS, SES, **HYPERPARAMETERS).log_evidence, expected, rtol=1e-12)


def test_complete_pooling_and_none():
    """Little scatter: theta is the weighted mean, published as 7.7 with error 4.1; much: theta is the estimates."""
    pooled = exact.random_effects(EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES, tau=1e-6, prior_sd=1e6)
    np.testing.assert_allclose(pooled.mean, 7.7, atol=0.05)
    np.testing.assert_allclose(pooled.sd, 4.1, atol=0.05)
    apart = exact.random_effects(EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES, tau=1e6, prior_sd=1.0)
    np.testing.assert_allclose(apart.mean[1:], EIGHT_SCHOOLS_EFFECTS, rtol=1e-6)
    np.testing.assert_allclose(apart.sd[1:], EIGHT_SCHOOLS_SES, rtol=1e-6)


def test_predictive_is_a_ratio_of_evidences():
    posterior = exact.random_effects(EFFECTS, SES, **HYPERPARAMETERS)
    joint = exact.random_effects(np.append(EFFECTS, 2.2), np.append(SES, 0.3), **HYPERPARAMETERS)
    check_predictive(posterior.predictive(0.3), 2.2, joint.log_evidence, posterior.log_evidence)


def test_predictive_of_an_effect_by_quadrature():
    posterior = exact.random_effects(EFFECTS, SES, **HYPERPARAMETERS)
    mu = stats.norm(posterior.mean[0], posterior.sd[0])
    value = integrate.quad(lambda x: mu.pdf(x) * stats.norm.pdf(1.1, x, 0.7), -8, 9, epsabs=1e-12)[0]
    np.testing.assert_allclose(posterior.predictive().log_prob(1.1), np.log(value), rtol=1e-9)


@pytest.mark.any_precision
def test_density_in_any_precision():
    posterior = exact.random_effects(EFFECTS, SES, **HYPERPARAMETERS)
    points = posterior.mean + np.random.default_rng(1).normal(size=(4, 4))
    normal = stats.multivariate_normal(posterior.mean, posterior.covariance)
    exactness = 1e-9 if jnp.result_type(float) == jnp.float64 else 1e-4
    check_density(posterior, points, normal.logpdf(points), atol=exactness)


def call(**changes):
    return as_users_call_it(exact.random_effects)(**{"effects": EFFECTS, "ses": SES, **HYPERPARAMETERS, **changes})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"effects": []}, ValueError, "effects: it is empty"),
        ({"effects": [1.0, 2.0, np.nan]}, ValueError, "effects: 1 of 3 entries are NaN"),
        ({"ses": [1.0]}, ValueError, "ses: expected one value for each of the 3 effects, got 1"),
        ({"ses": [1.0, 0.0, 1.0]}, ValueError, "ses: expected standard errors above 0, got 0.0 at index 1"),
        (
            {"tau": 0.0},
            ValueError,
            r"tau: expected a finite number above 0, got 0.0. Without scatter .*linear_gaussian with",
        ),
        ({"tau": [1.0]}, TypeError, "tau: expected a positive number"),
        ({"prior_mean": [1.0, 2.0]}, TypeError, "prior_mean: expected a number"),
        ({"prior_mean": "x"}, TypeError, "prior_mean: expected a number"),
        ({"prior_sd": -1.0}, ValueError, "prior_sd: expected a finite number above 0"),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        call(**changes)


def test_bad_standard_error_of_a_new_group():
    with pytest.raises(ValueError, match="se: expected a finite number of at least 0, got -1"):
        call().predictive(-1.0)
