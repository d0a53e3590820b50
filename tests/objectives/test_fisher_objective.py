"""The Fisher divergence as an objective: values, gradients and optima against closed forms and quadrature."""

import pickle
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.optimize import minimize

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import random_params

MEAN, PRECISION = jnp.array([1.0, -0.5]), jnp.array([[2.0, 0.7], [0.7, 1.0]])
NORMALS = {"mean field": vi.MeanFieldNormal(), "full rank": vi.FullRankNormal(), "low rank": vi.LowRankNormal(1)}
GRID = jnp.linspace(-30.0, 30.0, 4001)[:, None]
WEIGHTINGS = ("identity", "covariance", "fixed covariance")


@dataclass(frozen=True)
class Logistic(vi.Guide):
    """A family whose covariance the toolkit does not know in closed form."""

    def init(self, key, start):
        return {"location": start.location, "log_scale": jnp.log(start.scale)}

    def distribution(self, params):
        return dist.Logistic(params["location"], jnp.exp(params["log_scale"])).to_event(1)


class Mute(Logistic):
    reparameterised = False


def normal(z):
    return 7.0 - 0.5 * (z - MEAN) @ PRECISION @ (z - MEAN)


def bumpy(z):
    return -0.5 * jnp.sum(z**2) + jnp.sin(2 * z[0])


TARGET = vi.from_log_density(normal, dim=2)


def covariance(q):
    return q.covariance_matrix if hasattr(q, "covariance_matrix") else jnp.diag(q.variance)


def weigh(weighting, spread):
    """C of the weighted square."""
    if weighting == "identity":
        return jnp.eye(len(spread))
    return spread if weighting == "covariance" else jax.lax.stop_gradient(spread)


def closed_form(weighting, guide, params):
    """E_q |slope of q - slope of p|^2_C = tr(C (P - S^-1) S (P - S^-1)) + (m - mu)' P C P (m - mu)."""
    q = guide.distribution(params)
    spread = covariance(q)
    c, difference = weigh(weighting, spread), PRECISION - jnp.linalg.inv(spread)
    shift = PRECISION @ (q.mean - MEAN)
    return jnp.trace(c @ difference @ spread @ difference) + shift @ c @ shift


def by_quadrature(weighting, guide, params):
    """The integral of q (slope of q - slope of p)^2, times q's variance where that is the weight."""
    q = guide.distribution(params)
    slopes = jax.vmap(jax.grad(lambda z: q.log_prob(z) - bumpy(z)))(GRID)[:, 0]
    mass = jnp.exp(q.log_prob(GRID)) * (GRID[1, 0] - GRID[0, 0])
    spread = (mass @ GRID[:, 0] ** 2 - (mass @ GRID[:, 0]) ** 2)[None, None]
    return weigh(weighting, spread)[0, 0] * (mass @ slopes**2)


def assert_unbiased(objective, guide, target, exact, params, num_draws=2, count=3000):
    def estimate(params, key):
        return objective.loss(key, params, guide, target, num_draws)[0]

    keys = jax.random.split(jax.random.key(7), count)
    estimates = jit(jax.vmap(jax.value_and_grad(estimate), (None, 0)))(params, keys)
    truths = jit(jax.value_and_grad(exact))(params)
    for values, truth in zip(jax.tree.leaves(estimates), jax.tree.leaves(truths), strict=True):
        error = np.std(values, axis=0) / np.sqrt(count)
        assert np.all(np.abs(np.mean(values, axis=0) - truth) <= 5 * error + 1e-9)
    assert max(float(np.max(np.abs(leaf))) for leaf in jax.tree.leaves(truths[1])) > 0.1


@pytest.mark.parametrize(
    ("name", "weighting", "num_directions"),
    [
        *((name, weighting, None) for name in ("mean field", "full rank") for weighting in WEIGHTINGS),
        ("low rank", "covariance", None),
        ("full rank", "identity", 2),
        ("mean field", "fixed covariance", 1),
        ("low rank", "covariance", 2),
    ],
)
def test_value_and_gradient_are_unbiased_for_normals(name, weighting, num_directions):
    guide = NORMALS[name]
    params = random_params(guide)
    objective = vi.Fisher(weighting, num_directions)
    assert_unbiased(objective, guide, TARGET, lambda params: closed_form(weighting, guide, params), params)


@pytest.mark.parametrize(
    ("guide", "weighting"),
    [
        (vi.NormalMixture(2), "covariance"),
        (vi.StudentT(8.0), "covariance"),
        (Logistic(), "covariance"),
        pytest.param(vi.NormalMixture(2), "identity", marks=pytest.mark.slow),
        pytest.param(vi.StudentT(8.0), "identity", marks=pytest.mark.slow),
    ],
)
def test_value_and_gradient_are_unbiased_where_only_quadrature_knows(guide, weighting):
    target, params = vi.from_log_density(bumpy, dim=1), random_params(guide, 1)
    exact = lambda params: by_quadrature(weighting, guide, params)  # noqa: E731
    assert_unbiased(vi.Fisher(weighting), guide, target, exact, params, num_draws=4)


def test_it_is_the_divergence_that_the_information_module_measures():
    guide = vi.FullRankNormal()
    params = random_params(guide)
    p = dist.MultivariateNormal(MEAN, precision_matrix=PRECISION)
    known = vi.information.fisher_divergence(guide.distribution(params), p).value
    loss = jit(lambda key: vi.Fisher().loss(key, params, guide, TARGET, 4000)[0])
    losses = [float(loss(key)) for key in jax.random.split(jax.random.key(1), 8)]
    assert abs(np.mean(losses) - known) < 5 * np.std(losses, ddof=1) / np.sqrt(8)
    np.testing.assert_allclose(known, closed_form("identity", guide, params), rtol=1e-9)


def test_the_elbo_on_the_way_is_the_mean_log_weight():
    guide, key = vi.FullRankNormal(), jax.random.key(0)
    params = random_params(guide)
    _, facts = vi.Fisher().loss(key, params, guide, TARGET, 6)
    points = guide.draw(jax.random.split(key, 3)[0], params, 6).points
    expected = jax.vmap(normal)(points) - guide.distribution(params).log_prob(points)
    np.testing.assert_allclose(facts["elbo"], np.mean(expected), rtol=1e-12)


@pytest.mark.parametrize("num_directions", [None, 3])
def test_where_q_is_p_there_is_no_noise(num_directions):
    guide = vi.FullRankNormal()
    params = random_params(guide)
    target = vi.from_log_density(lambda z: 7.0 + guide.distribution(params).log_prob(z), dim=2)
    loss = lambda params: vi.Fisher("covariance", num_directions).loss(jax.random.key(0), params, guide, target, 5)[0]  # noqa: E731
    value, gradient = jit(jax.value_and_grad(loss))(params)
    assert float(value) < 1e-20
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) < 1e-9


def test_weighted_by_the_covariance_units_do_not_matter():
    units, guide, key = jnp.array([10.0, 0.1]), vi.MeanFieldNormal(), jax.random.key(3)
    params = random_params(guide)
    other = {"location": params["location"] * units, "log_scale": params["log_scale"] + jnp.log(units)}
    target = vi.from_log_density(lambda z: normal(z / units), dim=2)
    settings = ((params, guide, TARGET), (other, guide, target))
    losses = {w: [float(vi.Fisher(w).loss(key, *setting, 6)[0]) for setting in settings] for w in WEIGHTINGS}
    for weighting in WEIGHTINGS[1:]:
        np.testing.assert_allclose(*losses[weighting], rtol=1e-10)
    assert losses["identity"][1] > 10 * losses["identity"][0]  # the plain divergence has a unit


def mean_field_optimum(weighting):
    """The variances of the best mean-field normal, by a deterministic minimiser of the closed form."""
    guide = vi.MeanFieldNormal()

    def exact(log_variances, fixed):
        params = {"location": MEAN, "log_scale": 0.5 * log_variances}
        if weighting != "fixed covariance":
            return closed_form(weighting, guide, params)
        spread = jnp.diag(jnp.exp(log_variances))
        difference = PRECISION - jnp.linalg.inv(spread)
        return jnp.trace(jnp.diag(jnp.exp(fixed)) @ difference @ spread @ difference)

    value_and_grad, found = jit(jax.value_and_grad(exact)), np.zeros(2)
    for _ in range(60 if weighting == "fixed covariance" else 1):  # the weight follows what was found with it
        found = minimize(value_and_grad, found, (found,), method="BFGS", jac=True, options={"gtol": 1e-9}).x
    return np.exp(found)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_mean_field_fit_is_the_minimiser_of_the_closed_form(weighting):
    squared, diagonal = np.asarray(PRECISION) ** 2, np.diag(PRECISION)
    best = mean_field_optimum(weighting)
    known = {
        "identity": lambda: best**2 * np.diag(PRECISION @ PRECISION) - 1,
        "covariance": lambda: squared @ best - diagonal,
        "fixed covariance": lambda: best * (squared @ best) - 1,
    }
    assert np.max(np.abs(known[weighting]())) < 1e-5  # as the docstring says
    far = {"location": jnp.array([4.0, -6.0]), "log_scale": jnp.array([1.0, -1.5])}
    near = {"location": jnp.array([1.3, -1.0]), "log_scale": jnp.array([0.5, -0.5])}
    start = near if weighting == "covariance" else far
    method = vi.gradient(vi.MeanFieldNormal(), vi.Fisher(weighting), start=start)
    fit = vi.fit(jax.random.key(0), TARGET, method)
    assert fit.status.name == "CONVERGED"
    np.testing.assert_allclose(fit.posterior.variance, best, rtol=0.02)
    assert np.all(best < 0.97 / diagonal)  # and not those of reverse KL
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=0.02)


def test_weighted_by_the_covariance_a_point_anywhere_is_as_good_as_dim():
    guide, params = vi.MeanFieldNormal(), {"location": jnp.array([4.0, -6.0]), "log_scale": jnp.full(2, -12.0)}
    losses = [vi.Fisher(w).loss(jax.random.key(0), params, guide, TARGET, 20_000)[0] for w in WEIGHTINGS[1:]]
    np.testing.assert_allclose(losses, 2.0, rtol=0.05)
    assert closed_form("covariance", guide, {**params, "log_scale": jnp.zeros(2)}) > 2.0


@pytest.mark.parametrize(
    "objective", [vi.Fisher(), vi.Fisher("fixed covariance", 1)], ids=["plain", "weighted and sliced"]
)
def test_a_full_rank_fit_is_the_target(objective):
    start = {"location": jnp.array([4.0, -6.0]), "log_diagonal": jnp.array([1.0, -1.5]), "lower": jnp.zeros((2, 2))}
    fit = vi.fit(jax.random.key(0), TARGET, vi.gradient(vi.FullRankNormal(), objective, start=start))
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=0.01)
    np.testing.assert_allclose(fit.posterior.covariance_matrix, np.linalg.inv(PRECISION), rtol=0.02)


def test_on_a_bimodal_line_the_fit_is_the_minimiser_by_quadrature():
    guide = vi.MeanFieldNormal()
    target = vi.from_log_density(bumpy, dim=1)
    exact = lambda x: by_quadrature("identity", guide, {"location": x[:1], "log_scale": x[1:]})  # noqa: E731
    best = minimize(jit(jax.value_and_grad(exact)), np.array([0.5, -0.5]), method="BFGS", jac=True).x
    start = {"location": jnp.array([0.3]), "log_scale": jnp.array([0.0])}
    fit = vi.fit(jax.random.key(0), target, vi.gradient(guide, vi.Fisher(), start=start))
    sd = np.exp(best[1])
    assert abs(float(fit.posterior.mean[0]) - best[0]) < 0.03 * sd
    np.testing.assert_allclose(np.sqrt(fit.posterior.variance), [sd], rtol=0.03)


def test_weights_of_modes_far_apart_are_not_seen():
    posterior = vi.zoo.two_modes(separation=12.0, weights=(0.9, 0.1), dim=1)
    guide = vi.NormalMixture(2, covariance=vi.MeanFieldNormal())
    components = {"location": jnp.array([[-6.0], [6.0]]), "log_scale": jnp.zeros((2, 1))}
    params = {"log_weights": jnp.zeros(2), "components": components}

    def slope(objective):
        loss = lambda params: objective.loss(jax.random.key(0), params, guide, posterior.target, 200)[0]  # noqa: E731
        return float(jit(jax.grad(loss))(params)["log_weights"][0])

    assert abs(slope(vi.Fisher())) < 1e-6
    assert slope(vi.ReverseKL()) < -0.4  # which sees that the first mode is nine times the second


@pytest.mark.any_precision
def test_settings():
    assert vi.Fisher() == pickle.loads(pickle.dumps(vi.Fisher("identity")))
    assert len({vi.Fisher(), vi.Fisher("covariance"), vi.Fisher(num_directions=2)}) == 3
    assert (vi.Fisher().gradients_per_step(10), vi.Fisher(num_directions=2).gradients_per_step(10)) == (30.0, 40.0)


def test_bad_settings_are_refused(without_type_checks):
    with pytest.raises(ValueError, match=r"weighting: expected one of 'identity', 'covariance', .* got 'none'"):
        vi.Fisher("none")
    with pytest.raises(ValueError, match="num_directions: expected at least 1, got 0"):
        vi.Fisher(num_directions=0)
    with pytest.raises(ValueError, match=r"guide: Fisher does not go with .*carry no gradients"):
        vi.fit(jax.random.key(0), TARGET, vi.gradient(Mute(), vi.Fisher()))
