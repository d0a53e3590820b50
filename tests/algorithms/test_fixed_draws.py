"""Fixed draws: optima that are known, a second minimiser, the draw-induced error, and its conjugate gradients."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import vi_toolkit as vi
from tests.compilations import count_compilations, jit
from tests.side_by_side import many_fits
from vi_toolkit.algorithms import Outcome
from vi_toolkit.algorithms._conjugate_gradients import solve, solve_freely
from vi_toolkit.algorithms._fixed_state import GROUPS
from vi_toolkit.algorithms._sampled_elbo import BLOCK, SampledElbo, mirrored, needed_blocks
from vi_toolkit.algorithms.fixed_draws import fixed_draws

MEAN = np.array([1.0, -2.0, 0.5])
PRECISION = np.array([[2.0, 0.9, 0.3], [0.9, 1.0, -0.2], [0.3, -0.2, 3.0]])


def normal_log_density(mean, precision, z):
    return 5.0 - 0.5 * (z - mean) @ precision @ (z - mean)


def normal(mean, precision):
    """A normal target whose mean and precision are data."""
    f = jax.tree_util.Partial(normal_log_density, jnp.asarray(mean), jnp.asarray(precision))
    return vi.from_log_density(f, dim=len(mean))


def skewed_log_density(scale, z):
    """Of log Gamma variables, and a product that couples them."""
    return jnp.sum(2.0 * z / scale - jnp.exp(z / scale)) - 0.1 * jnp.prod(jnp.exp(0.3 * z / scale))


def skewed(scale=1.0, dim=2):
    return vi.from_log_density(jax.tree_util.Partial(skewed_log_density, jnp.asarray(scale)), dim=dim)


NORMAL = normal(MEAN, PRECISION)


def sds(fit):
    return np.sqrt(np.asarray(fit.posterior.variance))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_mean_field_optimum_of_a_normal(seed):
    fit = vi.fit(jax.random.key(seed), NORMAL, fixed_draws(vi.MeanFieldNormal(), tolerance=0.01))
    assert fit.status is vi.Status.CONVERGED
    assert fit.history["draw_error"][-1] <= 0.01
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=1e-6)  # mirrored noise cancels in linear slopes
    np.testing.assert_allclose(sds(fit) * np.sqrt(np.diag(PRECISION)), 1.0, atol=5 * 0.01)


def test_the_block_optimum_of_a_normal(key):
    fit = vi.fit(key, NORMAL, fixed_draws(vi.BlockNormal(((0, 2), (1,))), tolerance=0.02))
    block = np.linalg.inv(PRECISION[np.ix_([0, 2], [0, 2])])
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=1e-6)
    np.testing.assert_allclose(fit.posterior.covariance_matrix[np.ix_([0, 2], [0, 2])], block, atol=0.05)
    np.testing.assert_allclose(fit.posterior.variance[1], 1 / PRECISION[1, 1], rtol=0.1)


def test_the_full_rank_optimum_of_a_normal(key):
    fit = vi.fit(key, NORMAL, fixed_draws(vi.FullRankNormal(), tolerance=0.02))
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=1e-6)
    np.testing.assert_allclose(fit.posterior.covariance_matrix, np.linalg.inv(PRECISION), atol=0.1)


def test_one_dimension(key):
    fit = vi.fit(key, normal([3.0], [[4.0]]), fixed_draws(vi.MeanFieldNormal(), tolerance=0.01))
    assert fit.status is vi.Status.CONVERGED
    assert float(fit.posterior.mean[0]) == pytest.approx(3.0, abs=1e-6)
    assert float(sds(fit)[0]) == pytest.approx(0.5, rel=0.03)


def test_the_minimum_is_that_of_another_minimiser(key):
    """SciPy's BFGS on the same draws, with the objective written out in NumPy."""
    fit = vi.fit(key, skewed(), fixed_draws(vi.MeanFieldNormal(), tolerance=0.02))
    state = fit.checkpoint.state
    e = np.concatenate(
        [
            mirrored(jax.random.fold_in(state.draws_key, block), BLOCK, 2, jnp.result_type(float))
            for block in range(int(state.blocks))
        ]
    )

    def f(flat):
        z = flat[:2] + np.exp(flat[2:]) * e
        log_p = np.sum(2 * z - np.exp(z), axis=1) - 0.1 * np.exp(0.3 * z.sum(axis=1))
        return -log_p.mean() - np.sum(flat[2:]) - np.log(2 * np.pi * np.e)

    found = scipy.optimize.minimize(f, np.zeros(4), method="BFGS", options={"gtol": 1e-7})
    ours = np.concatenate([fit.params["location"], fit.params["log_scale"]])
    np.testing.assert_allclose(ours, found.x, atol=0.1 * 0.02)  # what the optimisation is let leave
    assert fit.history["loss"][-1] == pytest.approx(found.fun, abs=1e-5)


def test_the_draw_induced_error_is_the_spread_over_sets_of_draws(key):
    states = many_fits(fixed_draws(vi.MeanFieldNormal(), tolerance=0.01, max_draws=256), skewed(), key, 200)
    assert set(np.asarray(states.blocks).tolist()) == {GROUPS}
    assert set(np.asarray(states.outcome).tolist()) == {Outcome.STALLED.value}
    found = np.concatenate([states.params["location"], states.params["log_scale"]], axis=1)
    said = np.std(states.shifts, axis=1, ddof=1) / np.sqrt(GROUPS)
    ratio = np.sqrt(np.mean(said**2, axis=0)) / found.std(axis=0, ddof=1)
    # Both sides are estimates: the spread's relative error is 1 / sqrt(2 * 199) = 0.05, five of which are allowed.
    np.testing.assert_allclose(ratio, 1.0, atol=0.25)


def test_more_draws_for_less_error(key):
    fits = [vi.fit(key, skewed(), fixed_draws(vi.MeanFieldNormal(), tolerance=t)) for t in (0.1, 0.01)]
    errors = [fit.history["draw_error"][-1] for fit in fits]
    draws = [fit.history["draws"] for fit in fits]
    assert errors[0] <= 0.1
    assert errors[1] <= 0.01
    assert draws[1][-1] > draws[0][-1]
    steps = np.unique(draws[1])
    assert np.all(np.log2(steps[1:] / steps[:-1]) % 1 == 0)  # by doublings, warm


def test_draws_that_do_not_suffice_are_reported(key):
    fit = vi.fit(key, skewed(), fixed_draws(vi.MeanFieldNormal(), tolerance=1e-4, max_draws=512))
    assert fit.status is vi.Status.STALLED
    assert int(fit.history["draws"][-1]) == 512
    assert any("512 draws leave a mean" in said and "max_draws=2048" in said for said in fit.warnings)


def test_units_do_not_matter(key):
    scale = np.array([1e-6, 1e6, 1.0])
    method = fixed_draws(vi.MeanFieldNormal())
    one, other = (
        vi.fit(key, NORMAL, method),
        vi.fit(key, normal(scale * MEAN, PRECISION / np.outer(scale, scale)), method),
    )
    np.testing.assert_allclose(other.posterior.mean / scale, one.posterior.mean, atol=1e-5)
    np.testing.assert_allclose(sds(other) / scale, sds(one), rtol=0.01)


def test_gradients_are_counted(key):
    fit = vi.fit(key, NORMAL, fixed_draws(vi.MeanFieldNormal()))
    h = fit.history
    assert fit.num_gradients == h["gradients"].sum()
    assert h["products"][0] == 0
    assert h["gradients"][0] == 400 + BLOCK  # the search for a start, then one look at the first draws
    assert h["gradients"][1] == BLOCK * (1 + 2 * h["products"][1])


def test_a_second_fit_compiles_nothing(key):
    method = fixed_draws(vi.MeanFieldNormal())
    vi.fit(key, NORMAL, method)
    again, target, other = fixed_draws(vi.MeanFieldNormal()), normal(MEAN + 1, 2 * PRECISION), jax.random.key(7)
    compiled, fit = count_compilations(lambda: vi.fit(other, target, again))
    assert compiled == 0
    np.testing.assert_allclose(fit.posterior.mean, MEAN + 1, atol=1e-6)


def test_the_same_key_gives_the_same_fit_and_a_fit_goes_on_where_it_stopped(key):
    method = fixed_draws(vi.MeanFieldNormal())
    whole = vi.fit(key, NORMAL, method)
    part = pickle.loads(pickle.dumps(vi.fit(key, NORMAL, method, max_steps=3)))
    assert part.status is vi.Status.MAX_STEPS
    np.testing.assert_array_equal(vi.resume(part).params["log_scale"], whole.params["log_scale"])
    np.testing.assert_array_equal(vi.fit(key, NORMAL, method).params["log_scale"], whole.params["log_scale"])


def test_an_earlier_fit_as_the_start(key):
    first = vi.fit(key, NORMAL, fixed_draws(vi.MeanFieldNormal()))
    again = vi.fit(jax.random.key(3), NORMAL, fixed_draws(vi.MeanFieldNormal(), start=first.params))
    assert again.num_gradients < first.num_gradients
    np.testing.assert_allclose(again.posterior.mean, MEAN, atol=1e-6)


def test_a_heavy_tailed_guide_finds_heavy_tails(key):
    target = vi.from_log_density(lambda z: -2.5 * jnp.log1p((z[0] - 1.0) ** 2 / 4.0), dim=1)  # Student t, nu = 4
    fit = vi.fit(key, target, fixed_draws(vi.StudentT(4.0, vi.MeanFieldNormal()), tolerance=0.02))
    assert fit.status is vi.Status.CONVERGED
    assert float(fit.params["location"][0]) == pytest.approx(1.0, abs=0.1)
    assert float(jnp.exp(fit.params["log_scale"][0])) == pytest.approx(1.0, abs=0.1)


def test_a_low_rank_guide_finds_a_covariance_of_low_rank(key):
    covariance = np.eye(3) + np.outer([2.0, -1.0, 1.0], [2.0, -1.0, 1.0])
    fit = vi.fit(key, normal(MEAN, np.linalg.inv(covariance)), fixed_draws(vi.LowRankNormal(1), tolerance=0.05))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=0.01)
    np.testing.assert_allclose(fit.posterior.covariance_matrix, covariance, atol=0.8)


def test_with_no_more_draws_than_dimensions_the_sampled_elbo_has_no_bound_and_is_not_used(key):
    dim, guide = 20, vi.FullRankNormal()
    identity = {"location": jnp.zeros(dim), "log_diagonal": jnp.zeros(dim), "lower": jnp.zeros((dim, dim))}
    f = SampledElbo(guide, normal(np.zeros(dim), np.eye(dim)), key, mirrored)
    e = np.asarray(f.draws(identity, 0).points)  # 16 pairs of draws
    across = np.linalg.svd(e)[2][-1]
    across *= np.sign(across[-1])  # at a right angle to all of them: z_20 = t across . e = 0, however large t
    value = jit(lambda t: f.block(stretched(identity, t * across), 0))
    np.testing.assert_allclose(value(1e6) - value(1.0), -np.log(1e6), rtol=1e-6)
    assert BLOCK * needed_blocks(identity) > 4 * dim
    assert needed_blocks({"location": jnp.zeros(500), "log_scale": jnp.zeros(500)}) == 1
    fit = vi.fit(key, f.target, fixed_draws(guide, max_draws=256))
    assert fit.history["draws"][0] > 4 * dim
    assert np.max(np.abs(np.log(sds(fit)))) < 5 * fit.history["draw_error"][-1]


def stretched(params, row):
    """The parameters with another last row of the factor."""
    return {
        **params,
        "log_diagonal": params["log_diagonal"].at[-1].set(jnp.log(row[-1])),
        "lower": params["lower"].at[-1].set(row),
    }


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fixed_draws(vi.MeanFieldCategorical((2, 2))), ValueError, "carry no gradients"),
        (lambda: fixed_draws(vi.MeanFieldNormal), TypeError, "the class MeanFieldNormal itself"),
        (lambda: fixed_draws(vi.MeanFieldNormal(), tolerance=0.0), ValueError, "tolerance: expected"),
        (lambda: fixed_draws(vi.MeanFieldNormal(), max_draws=0), ValueError, "max_draws: expected at least 1"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_what_does_not_go_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_whole_numbers_are_refused(key):
    target = vi.from_log_mass(lambda x: jnp.sum(0.5 * x), (2, 2))
    with pytest.raises(ValueError, match="fixed_draws asks for a density"):
        vi.fit(key, target, fixed_draws(vi.MeanFieldNormal()))


def test_a_density_that_is_not_finite_at_its_draws_ends_in_words(key):
    target = vi.from_log_density(lambda z: jnp.where(z[0] < 1.0, -0.5 * z[0] ** 2, jnp.nan), dim=1)
    fit = vi.fit(key, target, fixed_draws(vi.MeanFieldNormal()))
    assert fit.status is vi.Status.DIVERGED
    assert np.isfinite(fit.params["location"]).all()
    assert any("DIVERGED" in said for said in fit.warnings)


def test_mirrored_noise_is_quasi_random_with_its_mirror_image(key):
    e = np.asarray(mirrored(key, 64, 3, jnp.result_type(float)))
    np.testing.assert_array_equal(e[:32], -e[32:])
    assert np.all(np.abs((e**2).mean(axis=0) - 1) < 0.2)  # independent pairs: a standard error of 0.25


# Conjugate gradients, held against dense algebra.


def positive(dim, seed=0):
    root = np.random.default_rng(seed).normal(size=(dim, dim))
    return root @ root.T + 0.1 * np.eye(dim)


def test_conjugate_gradients_solve_and_see_the_inverse():
    H, b = positive(6), np.arange(1.0, 7.0)
    found = jit(
        partial(solve_freely, lambda v: jnp.asarray(H) @ v, max_iterations=50, accuracy=1e-20, view=lambda v: v)
    )(jnp.asarray(b))
    np.testing.assert_allclose(found.x, np.linalg.solve(H, b), rtol=1e-6)
    assert float(found.gain) == pytest.approx(0.5 * b @ np.linalg.solve(H, b), rel=1e-8)
    assert bool(found.inside)
    diagonal = np.diagonal(np.linalg.inv(H))
    np.testing.assert_allclose(found.spread, diagonal, rtol=1e-4)


def test_conjugate_gradients_stop_at_the_edge():
    H, b = positive(4), np.ones(4)
    found = solve(lambda v: jnp.asarray(H) @ v, jnp.asarray(b), 0.1, 50)
    assert not bool(found.inside)
    assert float(jnp.linalg.norm(found.x)) == pytest.approx(0.1)
    assert float(found.gain) == pytest.approx(float(b @ found.x - 0.5 * found.x @ H @ found.x))
    assert found.gain >= 0.1 * np.linalg.norm(b) - 0.5 * 0.01 * b @ H @ b / (b @ b) - 1e-12  # the steepest step's


def test_negative_curvature_leads_to_the_edge_or_nowhere():
    H, b = np.diag([1.0, -2.0]), np.array([1.0, 1e-3])
    found = solve(lambda v: jnp.asarray(H) @ v, jnp.asarray(b), 3.0, 50)
    assert float(jnp.linalg.norm(found.x)) == pytest.approx(3.0)
    assert float(found.least) < 0
    assert not bool(found.inside)
    free = solve_freely(lambda v: jnp.asarray(H) @ v, jnp.asarray(b), max_iterations=50)
    assert np.all(np.isfinite(free.x))
    assert not bool(free.inside)
