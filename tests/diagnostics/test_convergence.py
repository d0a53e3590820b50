import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.registry import METHODS, TARGETS
from vi_toolkit.diagnostics.convergence._at_rest import gain_of, slope_of
from vi_toolkit.diagnostics.convergence.convergence import Motion, find_convergence
from vi_toolkit.diagnostics.weights.evidence import Estimate

SEEDS = 20
MEAN, PRECISION = np.array([1.0, -1.0]), np.array([[2.0, 0.9], [0.9, 1.0]])
KINDS = {
    "gradient": lambda: vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()),
    "natural gradient": lambda: vi.natural_gradient(),
    "fixed draws": lambda: vi.fixed_draws(vi.MeanFieldNormal()),
}


def exact_divergence(q):
    """D(q || N(MEAN, PRECISION^-1)) in nats, for a normal q."""
    mean, variance = np.asarray(q.mean) - MEAN, np.asarray(getattr(q, "covariance_matrix", np.diag(q.variance)))
    log_det = np.linalg.slogdet(PRECISION)[1] + np.linalg.slogdet(variance)[1]
    return 0.5 * (np.trace(PRECISION @ variance) + mean @ PRECISION @ mean - 2 - log_det)


@pytest.fixture(scope="module")
def normals():
    """Fits of each kind to a normal target, by name."""
    target = TARGETS["log density"]()
    return {name: vi.fit(jax.random.key(0), target, method()) for name, method in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_converged_fits_are_at_rest(kind):
    """Of 20 fits to a posterior that is not normal, at most one is said to be moving, and few leave it open."""
    target, method = TARGETS["NumPyro model"](), KINDS[kind]()
    keys = jax.random.split(jax.random.key(1), (SEEDS, 2))
    found = [find_convergence(k, vi.fit(key, target, method)) for key, k in keys]
    assert all(one.status is vi.Status.CONVERGED for one in found)
    assert sum(one.motion is Motion.MOVING for one in found) <= 1
    assert sum(one.motion is Motion.AT_REST for one in found) >= SEEDS - 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_cut_short_is_moving(kind):
    target = TARGETS["NumPyro model"]()
    for seed in range(3):
        short = vi.fit(jax.random.key(seed), target, KINDS[kind](), max_steps=1)
        found = find_convergence(jax.random.key(seed), short)
        assert found.motion is Motion.MOVING
        assert found.p_value < 1e-3
        assert found.sentence.startswith("Still moving: about")
        assert found.status is vi.Status.MAX_STEPS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("location", "scale"), [(0.3, 0.0), (0.0, 0.3), (-0.3, -0.3), (1.0, 0.0)])
def test_the_gain_is_the_divergence_that_is_lost(normals, kind, location, scale):
    """A step along the gradient takes a normal almost all the way: D(moved || p) - D(best || p) up to a factor 2."""
    fit = normals[kind]
    step = jax.tree.map(jnp.zeros_like, fit.params)
    step["location"] += location
    name = "log_scale" if "log_scale" in step else "log_diagonal"
    step[name] += scale
    moved = dataclasses.replace(fit, params=fit.method.guide.move(fit.params, step))
    found = find_convergence(jax.random.key(3), moved)
    lost = exact_divergence(moved.posterior) - exact_divergence(fit.posterior)
    assert found.motion is Motion.MOVING
    assert 0.5 < found.gain.value / lost < 2.0


def test_drift_is_measured_on_common_noise(normals):
    """Had the fit stood elsewhere a window before, it would have gained the difference of the divergences.

    Draws come in mirrored pairs, and the target is quadratic: on common noise the difference has no noise at all.
    """
    fit = normals["gradient"]
    away = fit.params | {"location": fit.params["location"] + 0.5}
    before = fit.checkpoint.state.averages._replace(before=away)
    state = fit.checkpoint.state._replace(averages=before)
    found = find_convergence(
        jax.random.key(1), dataclasses.replace(fit, checkpoint=dataclasses.replace(fit.checkpoint, state=state))
    )
    gained = exact_divergence(fit.method.posterior(away)) - exact_divergence(fit.posterior)
    assert found.drift.value == pytest.approx(gained, rel=1e-6)
    assert found.drift.se < 1e-6 * gained
    assert (found.noise, found.change) == (fit.history["noise"][-1], fit.history["change"][-1])


@pytest.mark.parametrize(
    ("name", "has_loss"), [("restarts", True), ("Laplace", True), ("SVGD", False), ("batch and match", False)]
)
def test_methods_of_other_kinds(name, has_loss):
    fit = vi.fit(jax.random.key(0), TARGETS["log density"](), METHODS[name](), max_steps=300)
    found = find_convergence(jax.random.key(1), fit)
    assert (found.motion is Motion.CANNOT_TELL) == (not has_loss)
    assert ("its own rule" in found.sentence.lower()) == (not has_loss)
    assert (found.num_gradients > 0) == has_loss


def test_a_loss_that_is_not_the_elbo():
    """An importance-weighted bound is looked at again itself."""
    target = TARGETS["log density"]()
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.FullRankNormal(), vi.IWAE(4)))
    found = find_convergence(jax.random.key(1), fit)
    assert found.motion is Motion.AT_REST
    assert "its loss" in found.sentence
    moved = dataclasses.replace(fit, params=fit.params | {"location": fit.params["location"] + 1.0})
    assert find_convergence(jax.random.key(1), moved).motion is Motion.MOVING


def test_a_mode_that_was_not_reached():
    """At a point one sd off the mode of a normal, half a nat is to be gained."""
    fit = vi.fit(jax.random.key(0), TARGETS["log density"](), vi.laplace())
    sd = np.asarray(fit.posterior.scale_tril)[:, 0]
    moved = dataclasses.replace(fit, params=fit.params | {"location": fit.params["location"] + sd})
    found = find_convergence(jax.random.key(1), moved)
    assert found.motion is Motion.MOVING
    assert found.gain.value == pytest.approx(0.5)


def test_numbers_that_are_not_finite():
    fit = vi.fit(jax.random.key(0), TARGETS["log density"](), KINDS["natural gradient"]())
    lost = dataclasses.replace(fit, params=fit.params | {"location": fit.params["location"] * jnp.nan})
    found = find_convergence(jax.random.key(1), lost)
    assert found.motion is Motion.CANNOT_TELL
    assert "not finite" in found.sentence


def test_the_square_is_unbiased_and_chances_are_what_they_say():
    """Against draws whose mean is known: |g|^2 without the noise's share, and p-values that hold in their tail."""
    rng = np.random.default_rng(0)
    scale, mean = np.array([3.0, 1.0, 0.3, 0.1]), np.array([0.5, 0.0, -0.2, 0.0])
    found = [slope_of(mean + scale * rng.normal(size=(32, 4))) for _ in range(2000)]
    squares = np.array([one.square.value for one in found])
    assert abs(squares.mean() - mean @ mean) < 5 * squares.std() / np.sqrt(2000)
    assert np.mean([one.square.se for one in found]) == pytest.approx(squares.std(), rel=0.1)
    null = np.array([slope_of(scale * rng.normal(size=(32, 4))).p_value for _ in range(2000)])
    assert abs(np.mean(null < 0.1) - 0.1) < 0.03  # 5 standard errors of a share of 2,000
    assert np.mean(null < 1e-3) <= 10 / 2000


def test_the_gain_of_a_quadratic():
    """Along g = 2 with bend 4 the best step is 1/2 and gains 1/2; a bend below |g| stops at one unit."""
    assert gain_of(Estimate(4.0, 0.4), 4.0) == pytest.approx((0.5, 0.05))
    assert gain_of(Estimate(4.0, 0.0), 1.0).value == pytest.approx(1.5)
    assert gain_of(Estimate(4.0, 0.0), -1.0).value == pytest.approx(2.5)
    assert gain_of(Estimate(-1.0, 0.1), 1.0).value == 0.0
