"""The annealed chi-square divergence, against closed forms, quadrature and deterministic minimisation."""

import itertools
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import vi_toolkit as vi
from tests.compilations import count_compilations, jit

PRECISION, MEAN = np.array([[2.0, 0.9], [0.9, 1.0]]), np.array([6.0, -3.0])
LOG_EVIDENCE = np.log(2 * np.pi) - 0.5 * np.log(np.linalg.det(PRECISION))
CHEAP = vi.AnnealedChi(num_temperatures=1, num_leapfrogs=2, every=1, num_runs=4)
GUIDE = vi.MeanFieldNormal()
HERE = {"location": jnp.asarray(MEAN + np.array([0.5, -0.6])), "log_scale": jnp.array([0.2, 0.4])}
THERE = {"location": jnp.asarray(MEAN + np.array([0.2, 0.4])), "log_scale": jnp.array([0.3, 0.25])}


def log_density(mean, precision, z):
    return -0.5 * (z - mean) @ precision @ (z - mean)


def target():
    parts = (jnp.asarray(MEAN), jnp.asarray(PRECISION))
    return vi.from_log_density(jax.tree_util.Partial(log_density, *parts), dim=2)


def exact_loss(params):
    """1/2 log of the integral of p~^2 / q, q an independent normal."""
    precision, location = jnp.exp(-2 * params["log_scale"]), params["location"]
    matrix = 2 * PRECISION - jnp.diag(precision)  # of the exponent -1/2 z' A z + b' z + c
    vector = 2 * PRECISION @ MEAN - precision * location
    constant = 2 * MEAN @ PRECISION @ MEAN - jnp.sum(precision * location**2)
    log_q_top = -jnp.log(2 * np.pi) - params["log_scale"].sum()
    log_integral = jnp.log(2 * np.pi) - 0.5 * jnp.linalg.slogdet(matrix)[1]
    return 0.5 * (log_integral + 0.5 * (vector @ jnp.linalg.solve(matrix, vector) - constant) - log_q_top)


@pytest.mark.any_precision
def test_mean_field_on_a_correlated_normal(key):
    fit = vi.fit(key, target(), vi.gradient(GUIDE, CHEAP))
    # the minimiser has the variances of p^2 / q: 1 / d = diag (2 P - D)^-1, solved by b = (1 + sqrt(1 + 8 r^2)) / 2
    b = (1 + np.sqrt(1 + 8 * 0.81 / 2)) / 2
    np.testing.assert_allclose(fit.posterior.variance, 1 / ((2 - b) * np.diag(PRECISION)), rtol=0.02)
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=0.02)
    assert fit.status is vi.Status.CONVERGED
    assert fit.warnings == ()
    assert np.mean(fit.history["loss"][-200:]) == pytest.approx(float(exact_loss(fit.params)), abs=0.02)
    assert np.mean(fit.history["elbo"][-200:]) < LOG_EVIDENCE < np.mean(fit.history["loss"][-200:])


@pytest.mark.slow
def test_full_rank_finds_a_normal_target(key):
    fit = vi.fit(key, target(), vi.gradient(vi.FullRankNormal(), CHEAP))
    covariance = np.linalg.inv(PRECISION)
    np.testing.assert_allclose(fit.posterior.covariance_matrix, covariance, rtol=0.02)
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=0.02)
    assert np.mean(fit.history["loss"][-200:]) == pytest.approx(LOG_EVIDENCE, abs=0.005)


def test_one_normal_on_two_modes_in_one_dimension(key):
    two = vi.zoo.two_modes(separation=4.0, weights=(0.3, 0.7), dim=1)
    fit = vi.fit(key, two.target, vi.gradient(vi.FullRankNormal(), CHEAP))
    x = np.linspace(-30, 30, 20_001)
    log_p = np.logaddexp(np.log(0.3) - 0.5 * (x + 2) ** 2, np.log(0.7) - 0.5 * (x - 2) ** 2) - 0.5 * np.log(2 * np.pi)

    def chi(parameters):
        location, log_scale = parameters
        log_q = -0.5 * ((x - location) / np.exp(log_scale)) ** 2 - log_scale - 0.5 * np.log(2 * np.pi)
        return 0.5 * np.log(np.trapezoid(np.exp(2 * log_p - log_q), x))

    best = minimize(chi, [0.5, 1.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12})
    scale = np.exp(best.x[1])
    assert float(fit.posterior.mean[0]) == pytest.approx(best.x[0], abs=0.03 * scale)
    assert float(fit.posterior.variance[0]) ** 0.5 == pytest.approx(scale, rel=0.03)
    assert np.mean(fit.history["loss"][-200:]) == pytest.approx(best.fun, abs=0.01)


@partial(jit, static_argnames=("guide", "num_draws"))
def alone(objective, guide, params, key, num_draws):
    return jax.value_and_grad(lambda p: objective.loss(key, p, guide, target(), num_draws), has_aux=True)(params)


def test_the_loss_alone_has_the_value_and_the_gradient_of_the_divergence(key):
    (loss, facts), gradient = alone(CHEAP, GUIDE, HERE, key, 100_000)
    value, expected = jax.value_and_grad(exact_loss)(HERE)
    assert float(loss) == pytest.approx(float(value), abs=0.02)
    for name in gradient:
        np.testing.assert_allclose(gradient[name], expected[name], atol=0.02)
    assert set(facts) == set(CHEAP.tracked)


def test_draws_that_come_by_strata_are_weighted(key):
    guide = vi.NormalMixture(2, covariance=vi.MeanFieldNormal())
    components = jax.tree.map(lambda here, there: jnp.stack([here, there]), HERE, THERE)
    (even, _), _ = alone(
        CHEAP, guide, {"log_weights": jnp.log(jnp.array([0.5, 0.5])), "components": components}, key, 100_000
    )
    # the component with nearly all of the weight is q
    sharp = {"log_weights": jnp.array([0.0, -12.0]), "components": components}
    (single, _), _ = alone(CHEAP, guide, sharp, key, 100_000)
    assert float(single) == pytest.approx(float(exact_loss(HERE)), abs=0.03)
    assert float(even) < float(single)


REMEMBERING = vi.AnnealedChi(num_temperatures=1, num_leapfrogs=2, every=3, num_runs=2)


@partial(jit, static_argnames="num_draws")
def remembered(params, memory, key, num_draws):
    def loss(params):
        value, facts, after = REMEMBERING.loss_with_memory(key, params, GUIDE, target(), num_draws, memory)
        return value, (facts, after)

    return jax.value_and_grad(loss, has_aux=True)(params)


@jit
def begun(key):
    return REMEMBERING.begin(key, HERE, GUIDE, target(), 50_000)


def test_the_gradient_by_old_points_is_that_of_the_present_guide(key):
    memory = begun(key)
    (_, (_, after)), gradient = remembered(THERE, memory, key, 50_000)
    expected = jax.grad(exact_loss)(THERE)
    for name in gradient:
        np.testing.assert_allclose(gradient[name], expected[name], atol=0.02)
    before = jax.grad(exact_loss)(HERE)  # what uncorrected weights would give is another matter
    assert np.abs(before["location"] - expected["location"]).max() > 0.1
    log_q = GUIDE.distribution(THERE).log_prob(after.buffer.points)
    drawn = after.buffer.log_q != memory.buffer.log_q
    np.testing.assert_allclose(after.buffer.log_q[drawn], log_q[drawn], rtol=1e-9)
    moved = (after.buffer.log_weights + after.buffer.log_q) - (memory.buffer.log_weights + memory.buffer.log_q)
    np.testing.assert_allclose(moved, 0.0, atol=1e-9)  # w q stays
    assert 0.2 < float(drawn.mean()) < 0.8


def test_a_run_comes_every_so_many_steps(key):
    memory, points = begun(key), []
    for i in range(6):
        (_, (_, memory)), _ = remembered(HERE, memory, jax.random.fold_in(key, i), 50_000)
        points.append(np.asarray(memory.buffer.points))
    changed = [bool(np.any(before != after)) for before, after in itertools.pairwise(points)]
    assert changed == [False, True, False, False, True]
    assert np.any(points[1][:50_000] != points[2][:50_000])
    assert np.all(points[1][50_000:] == points[2][50_000:])
    assert np.all(points[4][:50_000] == points[5][:50_000])


@pytest.mark.any_precision
def test_weights_on_a_few_points_are_a_collapse(key):
    far = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 30.0) ** 2), dim=10)
    narrow = {"location": jnp.zeros(10), "log_scale": jnp.full(10, -3.0)}
    method = vi.gradient(GUIDE, vi.AnnealedChi(1, 2, every=1, num_runs=2), num_draws=16, start=narrow)
    fit = vi.fit(key, far, method, max_steps=30)
    assert fit.status is vi.Status.COLLAPSED
    assert np.median(fit.history["ess_memory"]) < 16


def test_warnings():
    steps = np.arange(100)
    good = {"acceptance": np.full(100, 0.6), "temper": np.ones(100), "ess_memory": np.full(100, 900.0)}
    assert CHEAP.warnings(good) == []
    assert CHEAP.warnings(good | {"temper": np.where(steps < 4, 0.5, 1.0)}) == []
    (flattened,) = CHEAP.warnings(good | {"temper": np.where(steps < 40, 0.5, 1.0)})
    assert "in 40 % of the last steps the weights were flattened" in flattened
    (still,) = CHEAP.warnings(good | {"acceptance": np.full(100, 0.001)})
    assert "0.1 % of the Hamiltonian" in still


def test_gradients_are_counted():
    objective = vi.AnnealedChi(num_temperatures=3, num_leapfrogs=4, every=2)
    assert objective.gradients_per_step(100) == 100 * (1 + 3 * 4) / 2
    assert objective.gradients_to_begin(100) == 4 * 100 * 13
    assert vi.AnnealedChi(num_runs=1, num_temperatures=1, num_leapfrogs=1).gradients_to_begin(10) == 20


def test_a_fit_is_saved_with_its_memory_and_resumed(key, tmp_path):
    method = vi.gradient(GUIDE, CHEAP, num_draws=32)
    short = vi.fit(key, target(), method, max_steps=20)
    vi.save(short, tmp_path / "fit.npz")
    loaded = vi.load(tmp_path / "fit.npz", target())
    assert loaded.method == method
    compiled, further = count_compilations(lambda: vi.resume(loaded, max_steps=10))
    assert compiled == 0
    whole = vi.fit(key, target(), method, max_steps=30)
    for one, other in zip(
        jax.tree.leaves(further.checkpoint.state), jax.tree.leaves(whole.checkpoint.state), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert pickle.loads(pickle.dumps(CHEAP)) == CHEAP


@pytest.mark.parametrize("name", ["num_temperatures", "num_leapfrogs", "every", "num_runs"])
def test_settings_that_are_no_count(name, without_type_checks):
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        vi.AnnealedChi(**{name: 0})
    with pytest.raises(TypeError, match=f"{name}: expected a whole number, got float 2.5"):
        vi.AnnealedChi(**{name: 2.5})


def test_an_acceptance_that_is_no_share(without_type_checks):
    with pytest.raises(ValueError, match="acceptance: expected a number between 0 and 1, got 1"):
        vi.AnnealedChi(acceptance=1.0)
    with pytest.raises(TypeError, match="acceptance"):
        vi.AnnealedChi(acceptance="high")


def test_guides_that_do_not_go_with_it():
    class Costly(vi.MeanFieldNormal):
        scores_cheaply = False

    class Discrete(vi.MeanFieldNormal):
        reparameterised = False

    with pytest.raises(ValueError, match=r"guide: .* does not go with AnnealedChi, which asks for log q"):
        vi.AnnealedChi().check(Costly(), 2)
    with pytest.raises(ValueError, match=r"guide: .* is discrete"):
        vi.AnnealedChi().check(Discrete(), 2)
