"""Quadrature, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

from tests.exact.checks import check_agreement, check_draws, check_modes
from tests.typecheck import as_users_call_it
from vi_toolkit import exact, from_log_density, from_numpyro, zoo
from vi_toolkit.exact.posterior import nearest_mode

GAUSSIAN = exact.gaussian_mixture


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: GAUSSIAN([1], [[50.0]], [[[1e-8]]]), id="narrow and far"),
        pytest.param(lambda: GAUSSIAN([1], [[-3e3]], [[[2.5e5]]]), id="wide and far"),
        pytest.param(lambda: GAUSSIAN([0.2, 0.8], [[-5.0], [40.0]], [[[1.0]], [[0.01]]]), id="two scales"),
        pytest.param(lambda: GAUSSIAN([0.2, 0.8], [[-900.0], [900.0]], [[[1.0]], [[0.01]]]), id="far apart"),
        pytest.param(lambda: GAUSSIAN([1], [[50.0, -20.0]], [[[1e-8, 9e-7], [9e-7, 1e-4]]]), id="narrow in 2-D"),
        pytest.param(lambda: GAUSSIAN([1], [[1.0, 2.0]], [[[1.0, 0.99999], [0.99999, 1.0]]]), id="ridge"),
        pytest.param(lambda: GAUSSIAN([1], [[1.0, 2.0]], [[[1e8, 0.0], [0.0, 1e-8]]]), id="units"),
        pytest.param(
            lambda: GAUSSIAN(
                [0.3, 0.7], [[-8.0, 0.0], [8.0, 1.0]], [[[1.0, 0.9], [0.9, 1.0]], [[0.01, 0.0], [0.0, 4.0]]]
            ),
            id="two shapes",
        ),
        pytest.param(lambda: zoo.ring_of_modes(8), id="ring"),
        pytest.param(lambda: zoo.banana(), id="banana"),
        pytest.param(lambda: zoo.donut(radius=5.0, sd=0.1), id="donut"),
        pytest.param(lambda: zoo.student_t(1, degrees_of_freedom=2.6), id="heavy tails"),
        pytest.param(lambda: zoo.student_t(2, degrees_of_freedom=5.0), id="heavy tails in 2-D"),
        pytest.param(lambda: zoo.skewed(2), id="skewed"),
    ],
)
def test_agrees_with_closed_forms(make):
    known = make()
    found = exact.grid(known.target)
    check_agreement(known, found, 1e-8)
    assert abs(found.log_evidence - known.log_evidence) <= found.log_evidence_error == 1e-8
    assert found.how == "quadrature, relative error below 1e-08"
    check_draws(found, 20_000)
    if known.modes is None:
        assert found.modes is None
    else:
        assert len(found.modes) == len(known.modes)
        same = np.argmax(nearest_mode(found.modes, known.modes), axis=1)
        np.testing.assert_allclose((found.modes[same] - known.modes) / known.sd, 0.0, atol=1e-6)
        np.testing.assert_allclose(found.mode_weights[same], known.mode_weights, atol=2e-3)


@pytest.mark.parametrize(("location", "factor"), [(0.0, 1.0), (3.0, 1e5)])
def test_evidence_moves_with_the_density(location, factor):
    """log p~ + c has log Z + c; and a log density of -1e5 is not special."""
    shifted = from_log_density(lambda z: -0.5 * (z[0] - location) ** 2 - factor, dim=1)
    found = exact.grid(shifted)
    np.testing.assert_allclose(found.log_evidence, 0.5 * np.log(2 * np.pi) - factor, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.target.log_evidence, found.log_evidence)


def test_draws_follow_the_distribution_function():
    draws = exact.grid(zoo.skewed(1, slant=4.0).target).sample(jax.random.key(3), 20_000)
    assert stats.kstest(np.asarray(draws[:, 0]), stats.skewnorm(4.0).cdf).pvalue > 1e-4


def test_kinks_and_edges():
    laplace = exact.grid(from_log_density(lambda z: -jnp.abs(z[0] - 0.3), dim=1))
    np.testing.assert_allclose(
        [laplace.log_evidence, laplace.mean[0], laplace.sd[0] ** 2], [np.log(2), 0.3, 2.0], rtol=1e-7
    )
    uniform = from_log_density(lambda z: jnp.where(jnp.abs(z[0] - 1.0) < 0.5, 0.0, -jnp.inf), dim=1)
    edges = exact.grid(uniform, relative_tolerance=1e-4)
    np.testing.assert_allclose([edges.log_evidence, edges.mean[0], edges.sd[0] ** 2], [0.0, 1.0, 1 / 12], atol=1e-4)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize(
    "make",
    [
        lambda: GAUSSIAN([0.2, 0.8], [[-5.0], [40.0]], [[[1.0]], [[0.01]]]),
        lambda: zoo.skewed(2),
        lambda: zoo.student_t(1, degrees_of_freedom=1.0),
        lambda: zoo.student_t(2, degrees_of_freedom=3.0),
        lambda: zoo.donut(radius=5.0, sd=0.1),
        lambda: zoo.funnel(2),
    ],
)
def test_the_error_that_is_stated_is_kept(make, tolerance):
    known = make()
    found = exact.grid(known.target, relative_tolerance=tolerance)
    assert abs(found.log_evidence - known.log_evidence) <= found.log_evidence_error == tolerance


def test_a_model_of_two_unknowns():
    def model(y):
        mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
        sd = numpyro.sample("sd", dist.HalfNormal(2.0))
        numpyro.sample("y", dist.Normal(mean, sd), obs=y)

    y = np.array([1.0, 2.5, 2.0, 0.3])
    found = exact.grid(from_numpyro(model, y))

    def joint(sd, mean):
        return np.prod(stats.norm.pdf(y, mean, sd)) * stats.norm.pdf(mean, 0, 5) * stats.halfnorm.pdf(sd, scale=2)

    evidence, _ = integrate.dblquad(joint, -15, 15, 1e-9, 15, epsabs=1e-10, epsrel=1e-7)
    np.testing.assert_allclose(found.log_evidence, np.log(evidence), atol=1e-5)
    check_draws(found, 20_000)
    check_modes(found)


def test_moments_that_do_not_exist_are_none():
    cauchy = exact.grid(zoo.student_t(1, degrees_of_freedom=1.0).target)
    assert cauchy.mean is None
    assert cauchy.covariance is None
    np.testing.assert_allclose(cauchy.log_evidence, 0.0, atol=1e-8)
    second = exact.grid(zoo.student_t(1, degrees_of_freedom=2.0).target)
    assert second.covariance is None
    np.testing.assert_allclose(second.mean, 0.0, atol=1e-6)


@pytest.mark.any_precision
def test_error_is_stated_for_the_precision():
    known = exact.gamma_poisson([2, 4, 3], shape=1.0, rate=1.0)
    found = exact.grid(known.target)
    tolerance = float(found.how.split()[-1])
    assert tolerance == (1e-8 if jax.config.jax_enable_x64 else pytest.approx(2e-4, rel=0.5))
    check_agreement(known, found, tolerance)


@pytest.mark.float32
def test_float32_refuses_what_it_cannot_resolve():
    with pytest.raises(ValueError, match="switch on JAX's float64"):
        exact.grid(GAUSSIAN([1], [[50.0]], [[[1e-8]]]).target)


@pytest.mark.float32
def test_float32_tails_do_not_end_where_squares_overflow():
    assert exact.grid(zoo.student_t(1, degrees_of_freedom=1.0).target).mean is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: as_users_call_it(exact.grid)(lambda z: z), TypeError, "target: expected a Target"),
        (lambda: exact.grid(zoo.funnel(4).target), ValueError, "expected dim 1, 2 or 3, got 4"),
        (lambda: exact.grid(zoo.skewed(1).target, relative_tolerance=-1.0), ValueError, "relative_tolerance"),
        (lambda: exact.grid(from_log_density(lambda z: 0.0 * z[0], dim=1)), ValueError, "improper"),
        (lambda: exact.grid(from_log_density(lambda z: z[0] ** 2, dim=1)), ValueError, "still rises"),
        (
            lambda: exact.grid(from_log_density(lambda z: -jnp.inf * jnp.ones(()), dim=1)),
            ValueError,
            "no mass was found",
        ),
        (
            lambda: exact.grid(from_log_density(lambda z: jnp.where(jnp.sum(z**2) < 1.0, 0.0, -jnp.inf), dim=2)),
            ValueError,
            "a larger relative_tolerance may be reached",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
