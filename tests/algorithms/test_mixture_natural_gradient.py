"""Mixtures of normals by natural gradients, held against posteriors that are mixtures, and against one normal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from vi_toolkit.algorithms._known_points import Normal, add, no_points
from vi_toolkit.algorithms._mixture_move import _part_of_newton, look, reweighed
from vi_toolkit.algorithms._mixture_start import apart
from vi_toolkit.algorithms._mixture_state import Batch, Mixture, divergence, elbo, own_objectives, seen_by
from vi_toolkit.algorithms._trust_region import step_within

KEY = jax.random.key(0)
GUIDE = vi.NormalMixture(2)


def params_of(weights, locations, sds):
    """Components without correlation."""
    locations = jnp.asarray(locations, float)
    count, dim = locations.shape
    log_sds = jnp.log(jnp.broadcast_to(jnp.asarray(sds, float)[:, None], (count, dim)))
    components = {"location": locations, "log_diagonal": log_sds, "lower": jnp.zeros((count, dim, dim))}
    return {"log_weights": jnp.log(jnp.asarray(weights, float)), "components": components}


def normals_of(params):
    components = params["components"]
    factor = jnp.asarray(vi.FullRankNormal().factor(components).matrix())
    return Normal(components["location"], factor, jnp.linalg.inv(factor))


def some_mixture():
    """Three overlapping normals in two dimensions, with correlations."""
    params = params_of([0.2, 0.3, 0.5], [[0.0, 0.0], [1.0, -1.0], [-2.0, 0.5]], [1.0, 0.5, 2.0])
    lower = jnp.zeros((3, 2, 2)).at[:, 1, 0].set(jnp.array([0.5, -0.3, 1.0]))
    params["components"]["lower"] = lower
    return params, Mixture(jax.nn.log_softmax(params["log_weights"]), normals_of(params))


def divergence_from(fit, log_evidence=0.0):
    """D(q || p) and its standard error, by 50,000 draws of q."""
    z = fit.posterior.sample(jax.random.key(99), (50_000,))
    r = fit.posterior.log_prob(z) - jax.vmap(fit.target.log_density)(z)
    return float(r.mean()) + log_evidence, float(r.std()) / np.sqrt(len(z))


def shares(fit):
    return np.asarray(jax.nn.softmax(fit.params["log_weights"]))


def natural(guide=GUIDE, start=None):
    return vi.natural_gradient(guide, start=start)


@pytest.mark.any_precision
def test_density_and_score_are_those_of_numpyros_mixture():
    params, mixture = some_mixture()
    z = 2.0 * jax.random.normal(KEY, (7, 2))
    q = vi.NormalMixture(3).distribution(params)
    seen = seen_by(mixture, z)
    tolerance = 1e-4 if z.dtype == jnp.float32 else 1e-10
    np.testing.assert_allclose(seen.log_density - np.log(2 * np.pi), q.log_prob(z), atol=tolerance)
    np.testing.assert_allclose(seen.score, jax.vmap(jax.grad(q.log_prob))(z), atol=10 * tolerance)


def test_objectives_are_means_over_the_batch_of_each_component():
    params, mixture = some_mixture()
    moved = mixture.normals._replace(location=mixture.normals.location + 0.1)
    half = jax.random.normal(KEY, (3, 8, 2))
    z = moved.location[:, None] + jnp.concatenate([half, -half], 1) @ jnp.swapaxes(moved.factor, 1, 2)
    value = -jnp.sum(jnp.abs(z), axis=2)
    q, family = vi.NormalMixture(3).distribution(params), vi.FullRankNormal()
    found, errors = own_objectives(mixture, Batch(z, value), moved)
    for k in range(3):
        before = family.distribution(jax.tree.map(lambda leaf, k=k: leaf[k], params["components"]))
        after = family.distribution(
            jax.tree.map(lambda leaf, k=k: leaf[k], params["components"]) | {"location": moved.location[k]}
        )
        each = value[k] - q.log_prob(z[k]) + before.log_prob(z[k]) - after.log_prob(z[k])
        np.testing.assert_allclose(found[k], each.mean(), rtol=1e-10)
        np.testing.assert_allclose(errors[k], (each[:8] + each[8:]).std() / 2 / np.sqrt(8), rtol=1e-8)
    expected = sum(w * (v - q.log_prob(x)).mean() for w, v, x in zip((0.2, 0.3, 0.5), value, z, strict=True))
    np.testing.assert_allclose(elbo(mixture, Batch(z, value)), expected, rtol=1e-10)
    broken = value.at[1, 3].set(jnp.nan)
    assert np.isneginf(own_objectives(mixture, Batch(z, broken), moved)[0][1])
    gone = mixture._replace(log_weights=jnp.log(jnp.array([0.4, 1e-30, 0.6])))
    assert np.isfinite(elbo(gone, Batch(z, broken)))


def test_divergences_have_their_closed_form():
    q, r = (Normal(jnp.array([m]), jnp.array([[s]]), jnp.array([[1 / s]])) for m, s in ((0.0, 1.0), (3.0, 2.0)))
    np.testing.assert_allclose(divergence(q, r), 0.5 * (1 / 4 + 9 / 4 - 1) + np.log(2))


def test_weights_go_where_they_are_best_within_a_bound():
    log_weights, gains = jnp.log(jnp.array([0.2, 0.3, 0.5])), jnp.array([1.0, 0.0, -0.5])
    known = jnp.ones(3, bool)
    best = np.array([0.2, 0.3, 0.5]) * np.exp(gains)
    np.testing.assert_allclose(jnp.exp(reweighed(log_weights, gains, known)), best / best.sum(), rtol=1e-10)
    bounded = reweighed(log_weights, jnp.array([50.0, 0.0, -50.0]), known)
    np.testing.assert_allclose(jnp.sum(jnp.exp(bounded) * (bounded - log_weights)), 1.0, rtol=1e-6)
    assert jnp.argmax(bounded) == 0
    without = reweighed(log_weights, jnp.array([1.0, jnp.nan, -0.5]), known.at[1].set(False))
    ratio = np.exp(without[0] - without[2])
    np.testing.assert_allclose(ratio, 0.4 * np.exp(1.5), rtol=1e-10)


def test_a_part_of_a_newton_step():
    slope, curvature = jnp.array([0.2, -0.1]), jnp.array([[-1.3, 0.2], [0.2, -0.9]])
    whole, newton = _part_of_newton(slope, curvature, jnp.asarray(1.0)), step_within(slope, curvature, jnp.asarray(1e3))
    np.testing.assert_allclose(whole.mean, newton.mean, atol=1e-10)
    np.testing.assert_allclose(whole.covariance, newton.covariance, atol=1e-10)
    np.testing.assert_allclose(whole.divergence, newton.divergence, atol=1e-10)
    part = _part_of_newton(slope, curvature, jnp.asarray(0.3))
    precision = 0.7 * np.eye(2) - 0.3 * curvature
    np.testing.assert_allclose(jnp.linalg.inv(part.covariance), precision, atol=1e-10)
    np.testing.assert_allclose(part.mean, 0.3 * np.linalg.solve(precision, slope), atol=1e-10)
    convex = _part_of_newton(slope, jnp.array([[3.0, 0.0], [0.0, -1.0]]), jnp.asarray(1.0))
    assert 0 < convex.damping < 0.25  # the whole step has no precision, and the largest that works is shorter
    assert convex.divergence <= 0.25


def points_of(normals, log_density, num_draws):
    """As many draws of every normal, with a log density and its score there."""
    dim = normals.location.shape[1]
    points = no_points(len(normals.location), num_draws, dim, normals.location.dtype)
    for k in range(len(normals.location)):
        q = jax.tree.map(lambda leaf, k=k: leaf[k], normals)
        z = q.location + jax.random.normal(jax.random.fold_in(KEY, k), (num_draws, dim)) @ q.factor.T
        points = add(points, q, z, *jax.vmap(jax.value_and_grad(log_density))(z))
    return points


def test_the_objective_of_one_normal_on_a_gaussian_is_exact_whatever_the_points():
    """E_q[log p~ - log q] from 12 points that are not even of q: what is quadratic leaves no noise."""
    precision, mean = jnp.array([[2.0, 0.6], [0.6, 1.0]]), jnp.array([1.0, -1.0])
    normals = normals_of(params_of([1.0], [[0.3, 0.2]], [0.7]))
    elsewhere = normals_of(params_of([1.0], [[0.0, 0.0]], [1.0]))
    points = points_of(elsewhere, lambda z: -0.5 * (z - mean) @ precision @ (z - mean), 12)
    seen = look(points, jax.nn.logsumexp(points.log_proposals, axis=0), Mixture(jnp.zeros(1), normals), False)
    shift = normals.location[0] - mean
    expected = -0.5 * (shift @ precision @ shift + 0.49 * jnp.trace(precision)) + 1.0 + 2 * np.log(0.7)
    np.testing.assert_allclose(seen.objective[0], expected, rtol=1e-9)
    np.testing.assert_allclose(seen.objective_error[0], 0.0, atol=1e-9)


def test_a_component_that_begins_where_the_target_is_not_finite_gives_up_its_weight():
    def log_density(z):
        return jnp.where(z[0] > -6, -0.5 * jnp.sum(z**2) - jnp.log(2 * jnp.pi), -jnp.inf)

    start = params_of([0.5, 0.5], [[0.0, 0.0], [-12.0, 0.0]], [0.5, 0.5])
    fit = vi.fit(KEY, vi.from_log_density(log_density, dim=2), natural(start=start))
    assert fit.status is vi.Status.CONVERGED
    assert shares(fit)[1] < 1e-6
    np.testing.assert_allclose(fit.params["components"]["location"][0], 0.0, atol=0.01)
    np.testing.assert_allclose(fit.history["elbo"][-1], 0.0, atol=0.01)


def test_only_components_that_are_the_same_are_moved_apart():
    params = params_of([0.2, 0.3, 0.5], [[0.0, 0.0], [5.0, 0.0], [0.0, 0.0]], [2.0, 2.0, 2.0])
    mixture = Mixture(jax.nn.log_softmax(params["log_weights"]), normals_of(params))
    moved = apart(KEY, mixture, 1e-3).normals.location - params["components"]["location"]
    np.testing.assert_array_equal(moved[:2], 0.0)
    assert 0.5 < jnp.linalg.norm(moved[2]) < 8.0


@pytest.mark.any_precision
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.3, 0.7), (0.95, 0.05)])
def test_two_modes_have_their_weights_means_and_spreads(weights):
    start = params_of([0.5, 0.5], [[-3.0, 1.0], [3.0, -1.0]], [2.0, 0.3])
    fit = vi.fit(KEY, vi.zoo.two_modes(weights=weights).target, natural(start=start))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(shares(fit), weights, atol=0.01)
    np.testing.assert_allclose(fit.params["components"]["location"], [[-4.0, 0.0], [4.0, 0.0]], atol=0.02)
    factor = normals_of(fit.params).factor
    np.testing.assert_allclose(factor @ jnp.swapaxes(factor, 1, 2), [np.eye(2)] * 2, atol=0.02)
    assert divergence_from(fit)[0] < 0.01
    assert fit.num_gradients < 1000
    assert fit.warnings == ()


def test_weights_that_begin_all_wrong_become_right():
    start = params_of([1.0, 1e-9], [[-4.0, 0.0], [4.0, 0.0]], [1.0, 1.0])
    fit = vi.fit(KEY, vi.zoo.two_modes(weights=(0.05, 0.95)).target, natural(start=start))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(shares(fit), [0.05, 0.95], atol=1e-3)


@pytest.mark.parametrize("dim", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_a_mixture_of_different_shapes_is_found_exactly(dim):
    rng = np.random.default_rng(0)
    factors, means = rng.standard_normal((3, dim, dim)), 4.0 * rng.standard_normal((3, dim))
    covariances = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(dim)
    exact = vi.exact.gaussian_mixture([0.2, 0.3, 0.5], means, covariances)
    start = params_of([1.0, 1.0, 1.0], means + 0.5, [1.0, 1.0, 1.0])
    fit = vi.fit(KEY, exact.target, natural(vi.NormalMixture(3), start))
    assert fit.status is vi.Status.CONVERGED
    assert divergence_from(fit)[0] < 0.01
    np.testing.assert_allclose(shares(fit), [0.2, 0.3, 0.5], atol=0.01)
    sds = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    np.testing.assert_allclose((fit.params["components"]["location"] - means) / sds, 0.0, atol=0.02)
    factor = normals_of(fit.params).factor
    ratios = np.linalg.eigvals(np.linalg.solve(covariances, factor @ jnp.swapaxes(factor, 1, 2)))
    np.testing.assert_allclose(np.sqrt(ratios.real), 1.0, rtol=0.02)


@pytest.mark.any_precision
def test_components_that_are_not_needed_cost_nothing():
    target = vi.zoo.correlated_gaussian(3).target
    for seed in range(2):
        fit = vi.fit(jax.random.key(seed), target, natural(vi.NormalMixture(3)))
        assert fit.status is vi.Status.CONVERGED
        assert divergence_from(fit, target.log_evidence)[0] < 0.01


def test_collapsed_components_part_and_one_far_away_is_left_out():
    """Three at one mode of two, and one where there is no mass."""
    target = vi.zoo.two_modes().target
    start = params_of(np.ones(4), [[-4.0, 0.0], [-4.0, 0.0], [4.0, 0.0], [400.0, 300.0]], np.ones(4))
    fit = vi.fit(KEY, target, natural(vi.NormalMixture(4), start))
    assert fit.status is vi.Status.CONVERGED
    assert divergence_from(fit)[0] < 0.01
    np.testing.assert_allclose(shares(fit)[:2].sum(), 0.5, atol=0.01)
    np.testing.assert_allclose(shares(fit)[2], 0.5, atol=0.01)


def test_two_components_at_the_best_normal_of_a_banana_leave_it():
    """The best single normal is 0.560 nats away, the best two 0.210, by 167,000 and 279,000 gradients of Adam."""
    best = vi.fit(KEY, vi.zoo.banana().target)
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), best.params)
    fit = vi.fit(KEY, best.target, natural(start={"log_weights": jnp.zeros(2), "components": params}))
    assert fit.status is vi.Status.CONVERGED
    assert divergence_from(fit)[0] < 0.21 + 0.03


@pytest.mark.slow
def test_more_components_follow_a_banana_closer_and_for_less_than_by_adam():
    """The best divergences are those that Adam comes to within some 160,000 to 640,000 gradients."""
    target, best = vi.zoo.banana().target, {1: 0.560, 2: 0.210, 4: 0.041}
    for size, least in best.items():
        fit = vi.fit(KEY, target, natural(vi.NormalMixture(size)))
        assert fit.status is vi.Status.CONVERGED
        found, error = divergence_from(fit)
        assert least - 4 * error < found < least + 0.025
        assert fit.num_gradients < 3000
    steps = int(fit.num_gradients - 400) // 32
    adam = vi.fit(KEY, target, vi.gradient(vi.NormalMixture(4), vi.ReverseKL()), max_steps=steps)
    assert adam.num_gradients > 0.95 * fit.num_gradients
    assert divergence_from(adam)[0] > found + 0.05


@pytest.mark.parametrize("name", ["ring", "wells"])
def test_four_modes_are_found_from_its_own_start(name):
    exact = vi.zoo.ring_of_modes(4) if name == "ring" else vi.zoo.many_well(4)
    fit = vi.fit(KEY, exact.target, natural(vi.NormalMixture(4)))
    assert fit.status is vi.Status.CONVERGED
    found = exact.mode_shares(fit.posterior.sample(jax.random.key(9), (20_000,))).mean(0)
    np.testing.assert_allclose(found, exact.mode_weights, atol=0.02)
    # a well is not normal: the best is 0.025 nats away, 127,000 gradients of Adam
    assert divergence_from(fit, exact.log_evidence)[0] < (0.001 if name == "ring" else 0.025 + 0.01)
    assert fit.num_gradients < 1500


@pytest.mark.any_precision
def test_mean_field_components_have_the_conditional_spreads():
    """Each fits N(m, C) apart from the other: s_i^2 = 1 / P_ii, and D = -log(1 - 0.8^2) / 2."""
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    exact = vi.exact.gaussian_mixture([0.3, 0.7], [[-6.0, -6.0], [6.0, 6.0]], [covariance, 4 * covariance])
    components = {"location": jnp.array([[-5.0, -5.0], [5.0, 5.0]]), "log_scale": jnp.zeros((2, 2))}
    start = {"log_weights": jnp.zeros(2), "components": components}
    fit = vi.fit(KEY, exact.target, natural(vi.NormalMixture(2, vi.MeanFieldNormal()), start))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(shares(fit), [0.3, 0.7], atol=0.01)
    np.testing.assert_allclose(np.exp(fit.params["components"]["log_scale"]), [[0.6, 0.6], [1.2, 1.2]], rtol=0.02)
    found, error = divergence_from(fit)
    assert abs(found + 0.5 * np.log(1 - 0.8**2)) < 0.01 + 4 * error


def test_a_component_where_the_target_is_not_a_number_gives_up_its_weight():
    modes = vi.zoo.two_modes(weights=(0.3, 0.7)).target
    target = vi.from_log_density(lambda z: jnp.where(z[0] > 15.0, jnp.nan, modes.log_density(z)), dim=2)
    start = params_of(np.ones(3), [[-3.0, 0.0], [3.0, 0.0], [30.0, 0.0]], np.ones(3))
    fit = vi.fit(KEY, target, natural(vi.NormalMixture(3), start))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(shares(fit), [0.3, 0.7, 0.0], atol=1e-3)
    np.testing.assert_allclose(fit.params["components"]["location"][:2], [[-4.0, 0.0], [4.0, 0.0]], atol=0.02)
    assert divergence_from(fit)[0] < 0.01


def test_the_stated_elbo_and_accuracy_are_true():
    """Of four components on a banana, over keys: within five standard errors of the batches, and of what is lost."""
    target = vi.zoo.banana().target
    fits = [vi.fit(jax.random.key(seed), target, natural(vi.NormalMixture(4))) for seed in range(4)]
    lost = [divergence_from(fit)[0] - 0.041 for fit in fits]
    stated = [fit.history["accuracy"][-1] for fit in fits]
    assert 0.2 < np.mean(stated) / np.mean(lost) < 5.0
    late = np.concatenate([fit.history["elbo"][-4:] for fit in fits])
    assert abs(late.mean() + np.mean(lost) + 0.041) < 5 * late.std() / np.sqrt(len(late))


def test_the_same_key_gives_the_same_fit_and_it_goes_on_where_it_stopped():
    target = vi.zoo.banana().target
    whole = vi.fit(KEY, target, natural(vi.NormalMixture(4)))
    parts = vi.resume(vi.fit(KEY, target, natural(vi.NormalMixture(4)), max_steps=3))
    assert parts.status is vi.Status.CONVERGED
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(parts.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.num_gradients == parts.num_gradients == 16 * 50 + 4 * 48 / 3 + 64 * whole.num_steps


def test_an_improper_posterior_does_not_converge():
    target = vi.from_log_density(lambda z: -0.5 * z[0] ** 2, dim=2)
    fit = vi.fit(KEY, target, natural(), max_steps=60)
    assert fit.status is not vi.Status.CONVERGED
    assert np.all(np.isfinite(fit.params["components"]["location"]))
    assert fit.warnings


def test_what_it_says_in_words():
    entries = {"accuracy": 0.2, "mean_accuracy": 0.0, "rounding": 1.2}
    history = {"elbo": np.full(3, -1e7, np.float32)} | {name: np.full(3, entry) for name, entry in entries.items()}
    said = natural().warnings(history)
    assert len(said) == 2
    assert "uncertain by 0.2 nats" in said[0]
    assert "float32" in said[1]


def test_what_is_refused():
    with pytest.raises(TypeError, match=r"guide.covariance: expected a FullRankNormal or MeanFieldNormal"):
        natural(vi.NormalMixture(2, vi.LowRankNormal(1)))
    with pytest.raises(ValueError, match="start: a single normal finds its own start"):
        natural(vi.FullRankNormal(), {"location": jnp.zeros(2)})
