"""Linear response: covariances that are known, functions by the delta method, draw-induced errors, and refusals."""

import importlib
import operator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.side_by_side import many_fits
from vi_toolkit.algorithms._sampled_elbo import BLOCK, mirrored
from vi_toolkit.algorithms.fixed_draws import fixed_draws
from vi_toolkit.diagnostics.repair._response import Coordinates, hessian, look
from vi_toolkit.diagnostics.repair.linear_response import _warnings, linear_response

MEAN = np.array([1.0, -2.0, 0.5])
COVARIANCE = np.array([[1.0, 0.8, -0.3], [0.8, 2.0, 0.4], [-0.3, 0.4, 0.7]])
KEY = jax.random.key(1)


def normal_log_density(mean, precision, z):
    return -0.5 * (z - mean) @ precision @ (z - mean)


def normal(mean, covariance):
    f = jax.tree_util.Partial(normal_log_density, jnp.asarray(mean), jnp.linalg.inv(jnp.asarray(covariance)))
    return vi.from_log_density(f, dim=len(mean))


def skewed_log_density(z):
    """Log Gamma variables, and a product that couples them."""
    return jnp.sum(2.0 * z - jnp.exp(z)) - 0.1 * jnp.exp(0.3 * jnp.sum(z))


@pytest.fixture(scope="module")
def fit():
    return vi.fit(jax.random.key(0), normal(MEAN, COVARIANCE), fixed_draws(vi.MeanFieldNormal()))


def test_a_mean_field_fit_of_a_normal_knows_its_covariance(fit):
    found = linear_response(KEY, fit)
    np.testing.assert_allclose(found.covariance, COVARIANCE, atol=1e-6)
    np.testing.assert_allclose(found.sd, np.sqrt(np.diag(COVARIANCE)), atol=1e-6)
    np.testing.assert_allclose(found.mean, MEAN, atol=1e-6)
    assert np.all(found.draw_error < 1e-6)  # mirrored draws: none at all in the means of a normal
    assert np.all(np.sqrt(fit.posterior.variance) < 0.9 * found.sd)  # what mean field says
    assert found.warnings == ()
    params = 6
    assert found.num_gradients == (1 + 2 * params) * found.num_draws


def test_conjugate_gradients_find_the_same(fit, monkeypatch):
    module = importlib.import_module(
        "vi_toolkit.diagnostics.repair.linear_response"
    )  # the function bears the same name
    monkeypatch.setattr(module, "DENSE", 1)
    np.testing.assert_allclose(linear_response(KEY, fit).covariance, COVARIANCE, atol=1e-6)


def test_blocks_too():
    target = normal(MEAN, COVARIANCE)
    fit = vi.fit(jax.random.key(0), target, fixed_draws(vi.BlockNormal(((0, 2), (1,)))))
    np.testing.assert_allclose(linear_response(KEY, fit).covariance, COVARIANCE, atol=1e-3)


def test_one_dimension():
    fit = vi.fit(jax.random.key(0), normal([3.0], [[4.0]]), fixed_draws(vi.MeanFieldNormal()))
    np.testing.assert_allclose(linear_response(KEY, fit).sd, [2.0], atol=1e-6)


def test_a_linear_function_is_exact(fit):
    a = jnp.array([1.0, 2.0, -1.0])
    found = linear_response(KEY, fit, jax.tree_util.Partial(jnp.dot, a))
    assert float(found.mean) == pytest.approx(float(a @ MEAN), abs=1e-6)
    assert float(found.sd) == pytest.approx(float(jnp.sqrt(a @ COVARIANCE @ a)), abs=1e-6)


def test_the_delta_method_against_the_closed_form():
    """E_q exp(z) = exp(m + s^2 / 2), H = diag(1, 2) in the coordinates (m / s, log s): its derivatives by autodiff."""
    m, s = 0.3, 0.5
    method = fixed_draws(vi.MeanFieldNormal(), tolerance=0.003, max_draws=2**15)
    fit = vi.fit(jax.random.key(0), normal([m], [[s**2]]), method)
    found = linear_response(KEY, fit, jnp.exp)
    slope = jax.grad(lambda u: jnp.exp(m + s * u[0] + 0.5 * s**2 * jnp.exp(2 * u[1])))(jnp.zeros(2))
    expected = float(slope @ jnp.diag(jnp.array([1.0, 0.5])) @ slope)
    error = 5 * float(found.draw_error[0])
    assert error < 0.02
    assert float(found.mean[0]) == pytest.approx(np.exp(m + 0.5 * s**2), abs=error)
    assert float(found.covariance[0, 0]) == pytest.approx(expected, rel=0.02)


def model(y):
    scale = numpyro.sample("scale", dist.HalfNormal(2.0))
    numpyro.sample("mean", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Normal(0.0, scale), obs=y)


def test_named_sites_are_functions_of_the_point():
    fit = vi.fit(
        jax.random.key(0), vi.from_numpyro(model, np.array([0.5, -1.0, 2.0])), fixed_draws(vi.MeanFieldNormal())
    )
    found = linear_response(KEY, fit, ("scale", "mean"))
    where = {site.name: site.start for site in fit.target.sites}
    by_hand = linear_response(KEY, fit, lambda z: jnp.stack([z[where["mean"]], jnp.exp(z[where["scale"]])]))
    for part in ("mean", "sd", "draw_error"):
        named = getattr(found, part)
        np.testing.assert_allclose([named["mean"], named["scale"]], getattr(by_hand, part), rtol=1e-9)
    np.testing.assert_allclose(found.covariance, by_hand.covariance, rtol=1e-9, atol=1e-12)
    assert float(found.sd["mean"]) == pytest.approx(5.0, rel=1e-5)  # the prior's: no data speak of it
    with pytest.raises(ValueError, match=r"which are .*'mean'.*got list \['slope'\]"):
        linear_response(KEY, fit, ("slope",))


def test_a_logistic_regression_against_quadrature():
    x = np.linspace(-2, 2, 60)
    y = (np.random.default_rng(0).random(60) < 1 / (1 + np.exp(-(0.5 + 1.2 * (x + 1.0))))).astype(int)
    exact = vi.exact.logistic_regression(np.stack([np.ones(60), x + 1.0], axis=1), y, prior_sd=3.0)
    fit = vi.fit(jax.random.key(0), exact.target, fixed_draws(vi.MeanFieldNormal()))
    found = linear_response(KEY, fit)
    assert np.all(np.abs(found.mean - exact.mean) < 0.1 * exact.sd)
    np.testing.assert_allclose(found.sd, exact.sd, rtol=0.05)
    correlation = exact.covariance[0, 1] / np.prod(exact.sd)
    assert found.covariance[0, 1] / np.prod(found.sd) == pytest.approx(float(correlation), abs=0.05)
    assert np.max(np.abs(np.sqrt(fit.posterior.variance) / exact.sd - 1)) > 0.1  # mean field itself


def test_the_draw_induced_error_is_the_spread_over_sets_of_draws():
    """Over 200 independent sets: the means, and E_q exp(z / 2), whose average over the draws errs too."""
    guide, target = vi.MeanFieldNormal(), vi.from_log_density(skewed_log_density, dim=2)
    method = fixed_draws(guide, tolerance=0.01, max_draws=256)
    states = many_fits(method, target, jax.random.key(0), 200)
    base = vi.fit(jax.random.key(0), target, method)
    found, said = [], []
    for i in range(40):
        state = jax.tree.map(operator.itemgetter(i), states)
        response = linear_response(KEY, moved(base, state), both)
        found.append(response.mean)
        said.append(response.draw_error)
    ratio = np.sqrt(np.mean(np.square(said), axis=0)) / np.std(found, axis=0, ddof=1)
    np.testing.assert_allclose(ratio, 1.0, atol=5 / np.sqrt(2 * 39))
    means = np.asarray(states.params["location"])
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(said), axis=0))[:2] / means.std(axis=0, ddof=1), 1.0, atol=0.3)


def both(z):
    return jnp.concatenate([z, jnp.exp(0.5 * z)])


def moved(fit, state):
    """The fit, as it would be at another state."""
    return replace(fit, params=state.params, checkpoint=replace(fit.checkpoint, state=state))


def test_a_fit_by_stochastic_gradients_responds_as_well():
    method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
    fit = vi.fit(jax.random.key(0), normal(MEAN, COVARIANCE), method)
    found = linear_response(KEY, fit)
    np.testing.assert_allclose(found.covariance, COVARIANCE, atol=1e-4)
    assert found.num_draws == 1024
    assert found.warnings == ()
    early = vi.fit(jax.random.key(0), normal(MEAN, COVARIANCE), vi.gradient(
        vi.MeanFieldNormal(), vi.ReverseKL(), start={"location": jnp.zeros(3), "log_scale": jnp.zeros(3)}), max_steps=1
    )  # fmt: skip
    assert any("not at the optimum" in said for said in linear_response(KEY, early).warnings)


@pytest.mark.parametrize(
    ("shift", "sd", "error", "warns"),
    [
        (0.2, 1.0, 0.0, True),
        (-0.2, 1.0, 0.0, True),
        (0.2, 1.0, 0.05, False),
        (0.2, 5.0, 0.0, False),
        (0.0, 1.0, 0.1, False),
    ],
)
def test_a_fit_off_its_optimum_is_told_of_beyond_what_the_draws_explain(shift, sd, error, warns):
    """By more than five errors that the draws induce, and 0.05 posterior sds."""
    words = _warnings(np.array([0.0, shift]), np.array([1.0, sd]), np.array([0.0, error]))
    assert bool(words) is warns
    assert not warns or "would move a mean by 0.2 posterior" in words[0]


def test_a_fit_between_two_modes_is_refused():
    target = vi.from_log_density(lambda z: jnp.logaddexp(-0.5 * (z[0] - 3) ** 2, -0.5 * (z[0] + 3) ** 2), dim=1)
    start = {"location": jnp.zeros(1), "log_scale": jnp.full(1, -2.0)}
    fit = vi.fit(KEY, target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), start=start), max_steps=1)
    with pytest.raises(ValueError, match=r"not positive definite.*moves coordinate 0"):
        linear_response(KEY, fit)


@pytest.mark.usefixtures("without_type_checks")
def test_what_does_not_go_is_refused(fit):
    with pytest.raises(TypeError, match="fit: expected a Fit"):
        linear_response(KEY, fit.posterior)
    with pytest.raises(TypeError, match="of: expected a function"):
        linear_response(KEY, fit, "mean")
    with pytest.raises(ValueError, match="asks for a guide"):
        linear_response(KEY, vi.fit(KEY, normal([0.0], [[1.0]]), vi.svgd(4), max_steps=1))
    forward = vi.gradient(vi.MeanFieldNormal(), vi.Renyi(0.5))
    with pytest.raises(ValueError, match="by reverse KL"):
        linear_response(KEY, vi.fit(KEY, normal([0.0], [[1.0]]), forward, max_steps=1))


def test_the_hessian_is_that_of_autodiff(fit):
    """At one block of draws, with the objective written out and differentiated twice."""
    key, params = jax.random.key(5), fit.params
    H = hessian(vi.MeanFieldNormal(), fit.target, params, key, np.int32(1))
    near = look(vi.MeanFieldNormal(), fit.target, params, key, Coordinates(), np.int32(1), 1)
    e = mirrored(jax.random.fold_in(key, 0), BLOCK, 3, jnp.result_type(float))
    s = jnp.exp(params["log_scale"])

    def f(u):
        z = params["location"] + s * u[:3] + s * jnp.exp(u[3:]) * e
        return -jnp.mean(jax.vmap(fit.target.log_density)(z)) - jnp.sum(u[3:])

    np.testing.assert_allclose(H, jax.hessian(f)(jnp.zeros(6)), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(near.gradients[0], jax.grad(f)(jnp.zeros(6)), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(near.jacobian, np.hstack([np.diag(s), np.zeros((3, 3))]), atol=1e-12)
