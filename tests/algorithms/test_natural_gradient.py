import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import integrate, optimize

import vi_toolkit as vi
from vi_toolkit.algorithms._known_points import Normal, View, add, no_points, seen_from
from vi_toolkit.algorithms._score_regression import errors, regress, weights
from vi_toolkit.algorithms._settle import settle
from vi_toolkit.algorithms._trust_region import step_within

KEY = jax.random.key(0)
SCHOOLS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def gaussian(dim, seed=0):
    rng = np.random.default_rng(seed)
    factor, mean = rng.standard_normal((dim, dim)), 3.0 * rng.standard_normal(dim)
    return vi.exact.gaussian_mixture([1.0], [mean], [factor @ factor.T])


def normal(location, factor):
    factor = jnp.asarray(factor)
    return Normal(jnp.asarray(location), factor, jnp.linalg.inv(factor))


def draws_of(q, num, seed):
    return q.location + jax.random.normal(jax.random.key(seed), (num, len(q.location))) @ q.factor.T


TWO_NORMALS = normal([0.0, 1.0], [[1.0, 0.0], [0.5, 0.8]]), normal([1.0, -0.5], [[0.7, 0.0], [-0.3, 1.5]])


def known(score, num=200):
    """Points of two normals in three batches, of which the first is pushed out."""
    points = no_points(2, num, 2, jnp.result_type(float))
    for seed, q in enumerate((TWO_NORMALS[0], *TWO_NORMALS)):
        z = draws_of(q, num, seed)
        points = add(points, q, z, -0.5 * jnp.sum(z**2, axis=1), score(z))
    return points


@pytest.mark.any_precision
def test_the_mixture_is_of_what_the_points_were_drawn_from():
    points = known(lambda z: -z)
    by_hand = [dist.MultivariateNormal(q.location, scale_tril=q.factor).log_prob(points.z) for q in TWO_NORMALS]
    expected = jax.nn.logsumexp(jnp.stack(by_hand), axis=0) + jnp.log(200) + jnp.log(2 * jnp.pi)
    view = seen_from(points, normal([0.0, 0.0], jnp.diag(jnp.array([2.0, 1.0]))))  # x is half of z in one coordinate
    np.testing.assert_allclose(
        view.log_mixture, expected + jnp.log(2.0), atol=1e-4 if points.z.dtype == jnp.float32 else 1e-10
    )
    assert jnp.all(points.known)


def test_a_point_where_the_target_is_not_finite_has_no_weight():
    q = TWO_NORMALS[0]
    z = draws_of(q, 10, 0)
    points = add(no_points(2, 10, 2, z.dtype), q, z, jnp.zeros(10).at[3].set(jnp.nan), -z)
    w = weights(seen_from(points, q), jnp.zeros(2), jnp.eye(2))
    assert w[3] == 0
    assert np.all(w[10:] == 0)
    np.testing.assert_allclose(w.sum(), 1.0)


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_regression_is_exact_where_scores_are_linear(diagonal):
    precision = jnp.array([[2.0, 0.7], [0.7, 1.0]])
    view = seen_from(known(lambda z: (jnp.array([1.0, 2.0]) - z) @ precision), normal([0.0, 0.0], jnp.eye(2)))
    mean = jnp.array([0.3, -0.4])
    w = weights(view, mean, jnp.diag(jnp.array([1.5, 0.5])))
    found = regress(view, w, mean, diagonal)
    np.testing.assert_allclose(found.slope, (jnp.array([1.0, 2.0]) - mean) @ precision, atol=1e-8)
    np.testing.assert_allclose(
        found.curvature, -(jnp.diag(jnp.diagonal(precision)) if diagonal else precision), atol=1e-8
    )
    assert errors(found, w, diagonal).nats < 1e-12


def test_the_regression_estimates_expected_gradient_and_hessian_with_its_stated_error():
    """log p~ = -cosh(x - 0.3) under N(0.5, 0.8^2): integrals by quadrature; the errors by 400 repetitions."""
    mean, sd = 0.5, 0.8

    def expected(f):
        pdf = lambda x: np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))  # noqa: E731
        return integrate.quad(lambda x: f(x) * pdf(x), -10, 10)[0]

    gradient, hessian = expected(lambda x: -np.sinh(x - 0.3)), expected(lambda x: -np.cosh(x - 0.3))

    @jax.jit
    @jax.vmap
    def estimate(key):
        x = jax.random.normal(key, (400, 1))
        z = mean + sd * x
        view = View(x, -sd * jnp.sinh(z - 0.3), -0.5 * x[:, 0] ** 2)
        w = weights(view, jnp.zeros(1), jnp.eye(1))
        found = regress(view, w, jnp.zeros(1), False)
        stated = errors(found, w, False)
        return found.slope[0] / sd, found.curvature[0, 0] / sd**2, stated.mean[0] / sd, stated.nats

    slopes, curvatures, stated, nats = (np.asarray(each) for each in estimate(jax.random.split(KEY, 400)))
    assert abs(slopes.mean() - gradient) < 5 * slopes.std() / 20 + 0.02 * abs(gradient)
    assert abs(curvatures.mean() - hessian) < 5 * curvatures.std() / 20 + 0.02 * abs(hessian)
    assert 0.8 < stated.mean() / slopes.std() < 1.2
    measured = 0.5 * (sd * slopes).var() + 0.25 * (sd**2 * curvatures).var()
    assert 0.7 < nats.mean() / measured < 1.3


@pytest.mark.parametrize("radius", [0.05, 1.0, 100.0])
def test_a_step_is_the_best_within_its_radius(radius):
    """Against SciPy's constrained search over mean and Cholesky factor; one direction is not concave."""
    slope, curvature = np.array([1.0, -2.0]), np.array([[-3.0, 0.5], [0.5, 0.4 if radius < 10 else -0.4]])

    def unpack(x):
        factor = np.array([[np.exp(x[2]), 0.0], [x[3], np.exp(x[4])]])
        return x[:2], factor @ factor.T, x[2] + x[4]

    def minus_gain(x):
        mean, covariance, log_det = unpack(x)
        return -(
            slope @ mean + 0.5 * mean @ curvature @ mean + 0.5 * np.sum(curvature * (covariance - np.eye(2))) + log_det
        )

    def divergence(x):
        mean, covariance, log_det = unpack(x)
        return 0.5 * (np.trace(covariance) + mean @ mean - 2) - log_det

    bound = optimize.NonlinearConstraint(divergence, -np.inf, radius)
    best = optimize.minimize(
        minus_gain, np.zeros(5), constraints=bound, method="SLSQP", options={"ftol": 1e-14, "maxiter": 500}
    )
    step = step_within(jnp.asarray(slope), jnp.asarray(curvature), jnp.asarray(radius))
    np.testing.assert_allclose(step.gain, -best.fun, rtol=1e-5)
    np.testing.assert_allclose(step.mean, best.x[:2], atol=2e-3)
    np.testing.assert_allclose(step.covariance, unpack(best.x)[1], rtol=2e-2, atol=2e-3)
    assert step.divergence <= radius * (1 + 1e-6)
    assert (step.damping == 0) == (radius == 100.0)


def test_points_settle_where_the_regression_under_q_gives_q():
    x = jax.random.normal(KEY, (2000, 2))
    score = jax.vmap(jax.grad(lambda x: -0.5 * jnp.sum(x**2) + 0.15 * x[0] - 0.05 * jnp.exp(0.5 * x[0] + 0.3 * x[1])))(
        x
    )
    view = View(x, score, -0.5 * jnp.sum(x**2, axis=1) - jnp.log(2 * jnp.pi) + jnp.log(2000))
    found = settle(view, 2000, False)
    root = jnp.linalg.cholesky(jnp.linalg.inv(found.covariance))
    there = regress(view, weights(view, found.mean, root), found.mean, False)
    assert found.at_rest
    assert found.divergence > 1e-3  # it did move
    np.testing.assert_allclose(there.slope, 0.0, atol=1e-3)
    np.testing.assert_allclose(-there.curvature, jnp.linalg.inv(found.covariance), atol=2e-3)


def test_settling_ends_at_the_edge_of_what_the_points_can_tell():
    x = jax.random.normal(KEY, (500, 2))
    view = View(x, 10.0 - x, -0.5 * jnp.sum(x**2, axis=1))  # the target is centred ten standard deviations away
    found = settle(view, 500, False)
    assert not found.at_rest
    assert found.divergence < 0.4


@pytest.mark.any_precision
@pytest.mark.parametrize("dim", [1, 4, 16])
def test_a_gaussian_is_fitted_exactly_and_cheaply(dim):
    exact = gaussian(dim)
    fit = vi.fit(KEY, exact.target, vi.natural_gradient())
    sharp = jnp.result_type(float) == jnp.float64
    sd = np.sqrt(np.diag(exact.covariance))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose((fit.posterior.mean - exact.mean) / sd, 0.0, atol=1e-4 if sharp else 0.02)
    ratio = np.asarray(fit.posterior.covariance_matrix) / np.outer(sd, sd) - exact.covariance / np.outer(sd, sd)
    np.testing.assert_allclose(ratio, 0.0, atol=1e-3 if sharp else 0.03)
    assert fit.num_gradients <= 40 * max(dim, 8)


def test_mean_field_has_the_conditional_variances():
    exact = gaussian(5, seed=3)
    fit = vi.fit(KEY, exact.target, vi.natural_gradient(vi.MeanFieldNormal()))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(fit.posterior.variance, 1 / np.diag(np.linalg.inv(exact.covariance)), rtol=1e-3)
    np.testing.assert_allclose(fit.posterior.mean, exact.mean, atol=1e-2)


def test_the_optimum_of_a_skewed_posterior():
    """log of a Gamma(3): E_q[log p~] = 3 m - exp(m + s^2 / 2), so the optimum is s^2 = 1/3, m = log 3 - s^2 / 2."""
    target = vi.from_log_density(lambda z: jnp.sum(3 * z - jnp.exp(z)), dim=1)
    for seed in range(3):
        fit = vi.fit(jax.random.key(seed), target, vi.natural_gradient())
        assert fit.status is vi.Status.CONVERGED
        assert abs(float(fit.posterior.mean[0]) - (np.log(3) - 1 / 6)) < 3 * 0.03 / np.sqrt(3)
        assert abs(float(fit.posterior.variance[0]) * 3 - 1) < 0.1


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_units_do_not_matter(unit):
    """In units of one the ELBO is closed form: E[exp(x / 2)] = exp(m / 2 + s^2 / 8)."""
    precision = np.array([[2.0, 0.8], [0.8, 1.0]])

    def log_density(z):
        x = z / jnp.array([unit, 1.0]) - jnp.array([0.5, 1.0])
        return -0.5 * x @ precision @ x - 0.1 * jnp.exp(0.5 * x[0])

    def minus_elbo(x):
        mean, factor = x[:2], np.array([[np.exp(x[2]), 0.0], [x[4], np.exp(x[3])]])
        covariance = factor @ factor.T
        quadratic = mean @ precision @ mean + np.sum(precision * covariance)
        bent = 0.1 * np.exp(0.5 * mean[0] + covariance[0, 0] / 8)
        return 0.5 * quadratic + bent - x[2] - x[3] - 1 - np.log(2 * np.pi)

    best = -optimize.minimize(minus_elbo, np.zeros(5)).fun
    fit = vi.fit(KEY, vi.from_log_density(log_density, dim=2), vi.natural_gradient())
    assert fit.status is vi.Status.CONVERGED
    elbo = fit.history["elbo"][-1] - np.log(unit)
    assert abs(elbo - best) < 0.01


def schools(centred):
    def model(y, sd):
        mu, tau = numpyro.sample("mu", dist.Normal(0, 5)), numpyro.sample("tau", dist.HalfCauchy(5))
        with numpyro.plate("schools", 8):
            if centred:
                theta = numpyro.sample("theta", dist.Normal(mu, tau))
            else:
                theta = mu + tau * numpyro.sample("standard", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(theta, sd), obs=y)

    return vi.from_numpyro(model, *SCHOOLS)


@pytest.mark.parametrize(("centred", "best"), [(False, 0.216), (True, 1.289)])
def test_a_hierarchy_ends_at_the_best_normal_and_not_in_the_spike(centred, best):
    """The evidence by quadrature over tau; the best full-rank normal's divergence by 4,096 fixed draws and L-BFGS."""
    log_evidence = -32.004494 + np.log(2)
    for seed in range(2):
        fit = vi.fit(jax.random.key(seed), schools(centred), vi.natural_gradient())
        elbo = vi.diagnose(jax.random.key(9), fit, num_draws=20_000).elbo
        assert fit.status is vi.Status.CONVERGED
        assert log_evidence - elbo < best + 0.06


def test_an_improper_posterior_does_not_converge():
    target = vi.from_log_density(lambda z: -0.5 * z[0] ** 2, dim=2)
    fit = vi.fit(KEY, target, vi.natural_gradient(), max_steps=60)
    assert fit.status is not vi.Status.CONVERGED
    assert np.all(np.isfinite(fit.posterior.mean))
    assert fit.warnings


def test_a_density_with_holes_keeps_the_last_finite_state():
    """Half of the space has no density; q comes to lie in the other half, or says that it could not."""
    target = vi.from_log_density(
        lambda z: jnp.where(z[0] > 0, -z[0] - 0.5 * z[1] ** 2 + jnp.log(z[0]), -jnp.inf), dim=2
    )
    fit = vi.fit(KEY, target, vi.natural_gradient(), max_steps=200)
    assert fit.posterior.mean[0] > 0
    assert np.all(np.isfinite(fit.posterior.covariance_matrix))


def test_it_goes_on_exactly_where_it_stopped():
    whole = vi.fit(KEY, schools(False), vi.natural_gradient(), max_steps=8)
    parts = vi.resume(vi.fit(KEY, schools(False), vi.natural_gradient(), max_steps=3), max_steps=5)
    np.testing.assert_array_equal(whole.posterior.mean, parts.posterior.mean)
    np.testing.assert_array_equal(whole.history["elbo"], parts.history["elbo"])
    assert whole.num_gradients == parts.num_gradients
    assert whole.history["gradients"][0] > 24
    np.testing.assert_array_equal(whole.history["gradients"][1:], 24)


def test_a_converged_fit_has_no_further_steps():
    fit = vi.fit(KEY, gaussian(2).target)
    again = vi.resume(fit)
    assert again.status is vi.Status.CONVERGED
    assert again.num_steps == fit.num_steps


def test_other_guides_are_refused():
    with pytest.raises(TypeError, match=r"guide: expected a FullRankNormal or MeanFieldNormal, got .*StudentT"):
        vi.natural_gradient(vi.StudentT())


def test_float32_says_what_it_cannot_carry():
    warned = vi.natural_gradient().warnings(
        {
            "elbo": np.full(3, -1e7, np.float32),
            "accuracy": np.zeros(3),
            "mean_accuracy": np.zeros(3),
            "rounding": np.full(3, 1.2),
        }
    )
    assert len(warned) == 1
    assert "float32" in warned[0]
    assert "jax_enable_x64" in warned[0]
