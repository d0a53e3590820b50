"""The normal with a sparse precision against SciPy, dense algebra, and posteriors that it can meet exactly."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import log_prob, random_params
from vi_toolkit.guides._elimination import eliminate, hessian_pattern

PATTERN, ORDER = ((1, 0), (3, 0), (3, 1), (3, 2), (4, 3)), (2, 0, 4, 1, 3)
GUIDE = vi.SparsePrecisionNormal(PATTERN, ORDER)


def root(params):
    """C, entry by entry."""
    written = np.diag(np.exp(params["log_diagonal"]))
    for (row, column), entry in zip(PATTERN, params["below"], strict=True):
        written[row, column] = entry
    return written


def covariance(params):
    """(C C^T)^-1 with the coordinates back in their places."""
    ordered, found = np.linalg.inv(root(params) @ root(params).T), np.empty((5, 5))
    found[np.ix_(ORDER, ORDER)] = ordered
    return found


def test_it_is_the_normal_with_that_precision():
    params = random_params(GUIDE, 5)
    q, expected = GUIDE.distribution(params), stats.multivariate_normal(params["location"], covariance(params))
    points = np.random.default_rng(1).normal(size=(5, 5))
    np.testing.assert_allclose(log_prob(GUIDE, params, points), expected.logpdf(points), rtol=1e-10)
    np.testing.assert_allclose(q.entropy(), expected.entropy(), rtol=1e-10)
    np.testing.assert_allclose(q.covariance_matrix, covariance(params), rtol=1e-9)
    np.testing.assert_allclose(q.variance, np.diag(covariance(params)), rtol=1e-9)
    np.testing.assert_array_equal(q.mean, params["location"])


@pytest.mark.parametrize("noise", [vi.estimators.quasi_random, None])
def test_draws_solve_for_the_noise(noise):
    params, key = random_params(GUIDE, 5), jax.random.key(3)
    e = np.asarray((noise or vi.estimators.antithetic)(key, 6, 5, jnp.float64))
    points = np.asarray(GUIDE.draw(key, params, 6, noise).points) - np.asarray(params["location"])
    np.testing.assert_allclose(points[:, ORDER] @ root(params), e, rtol=1e-9, atol=1e-12)


def test_a_step_is_the_affine_map_without_what_falls_outside_the_pattern():
    params, step = random_params(GUIDE, 5), random_params(GUIDE, 5, seed=5)
    moved = jit(GUIDE.move)(params, step)
    product, kept = root(params) @ root(step), root(params) != 0
    assert np.any(product[~kept] != 0)  # there was something to leave out
    np.testing.assert_allclose(root(moved), np.where(kept, product, 0.0), rtol=1e-12)
    shift = np.linalg.solve(root(params).T, step["location"])
    np.testing.assert_allclose((moved["location"] - params["location"])[np.array(ORDER)], shift, rtol=1e-10)


def test_a_step_is_blind_to_units():
    params, step, units = random_params(GUIDE, 5), random_params(GUIDE, 5, seed=5), np.geomspace(1e-3, 1e4, 5)

    def seen(params):
        scales = units[np.array(ORDER)]
        rows = scales[[row for row, _ in PATTERN]]
        return {
            "location": params["location"] * units,
            "log_diagonal": params["log_diagonal"] - np.log(scales),
            "below": params["below"] / rows,
        }

    moved, expected = GUIDE.move(seen(params), step), seen(GUIDE.move(params, step))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), moved, expected)


def test_elimination_gives_the_entries_of_a_cholesky_factor():
    rng = np.random.default_rng(0)
    interact = np.triu(rng.uniform(size=(12, 12)) < 0.2, 1)
    interact |= interact.T
    order, pattern = eliminate(interact)
    matrix = np.where(interact, rng.uniform(0.1, 1.0, (12, 12)), 0.0)
    matrix = matrix + matrix.T + 20 * np.eye(12)
    factor = np.linalg.cholesky(matrix[np.ix_(order, order)])
    assert set(pattern) == {(int(i), int(j)) for i, j in np.argwhere(np.tril(factor, -1))}
    plain = np.count_nonzero(np.tril(np.linalg.cholesky(matrix), -1))
    assert np.count_nonzero(interact) / 2 <= len(pattern) < plain


def test_what_all_hang_on_comes_last():
    star = np.zeros((6, 6), bool)
    star[0, :] = star[:, 0] = True
    order, pattern = eliminate(star)
    assert order.index(0) >= 4  # the last two are neighbours of one another alone
    assert len(pattern) == 5  # no fill


def test_the_pattern_of_a_model_that_is_not_normal():
    model = vi.exact.eight_schools(centred=True).target  # mu, tau, and eight effects between them and the data
    interact = hessian_pattern(model)
    assert not interact[2:, 2:][~np.eye(8, dtype=bool)].any()
    assert interact[:2].all()
    guide = vi.SparsePrecisionNormal.from_model(model)
    assert set(guide.order[:7]) < set(range(2, 10))  # the last effect is as good as the two that all hang on
    assert len(guide.pattern) == 2 * 8 + 1


def check_it_meets(exact):
    guide = vi.SparsePrecisionNormal.from_model(exact.target)
    fit = vi.fit(jax.random.key(0), exact.target, vi.gradient(guide, vi.ReverseKL()))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose((fit.posterior.mean - exact.mean) / exact.sd, 0.0, atol=0.01)
    found = np.asarray(fit.posterior.covariance_matrix) / np.outer(exact.sd, exact.sd)
    np.testing.assert_allclose(found, exact.covariance / np.outer(exact.sd, exact.sd), atol=0.01)
    assert abs(float(fit.history["elbo"][-50:].mean()) - exact.log_evidence) < 1e-3
    return guide


def test_states_in_time_are_met_exactly():
    y = 20.0 + np.cumsum(np.random.default_rng(0).normal(size=(9, 1)), axis=0)
    one = [[1.0]]
    exact = vi.exact.linear_state_space(
        y, transition=[[0.95]], transition_covariance=[[0.2]], emission=one, emission_covariance=one,
        initial_mean=[0.0], initial_covariance=[[100.0]],
    )  # fmt: skip
    guide = check_it_meets(exact)
    assert len(guide.pattern) == 8  # each state and the next


def test_random_effects_are_met_exactly():
    exact = vi.exact.random_effects(np.arange(6.0) * 3, np.full(6, 2.0), tau=1.0, prior_sd=10.0)
    guide = check_it_meets(exact)
    assert len(guide.pattern) == 6  # each effect and the mean


def test_without_a_pattern_it_is_the_mean_field_normal():
    guide, mean_field = vi.SparsePrecisionNormal(()), vi.MeanFieldNormal()
    params = random_params(guide, 1)
    same = {"location": params["location"], "log_scale": -params["log_diagonal"]}
    points = np.random.default_rng(1).normal(size=(4, 1))
    np.testing.assert_allclose(log_prob(guide, params, points), log_prob(mean_field, same, points), rtol=1e-12)
    draws = guide.draw(jax.random.key(0), params, 3).points, mean_field.draw(jax.random.key(0), same, 3).points
    np.testing.assert_allclose(*draws, rtol=1e-12)
    assert pickle.loads(pickle.dumps(GUIDE)) == GUIDE == vi.SparsePrecisionNormal(list(PATTERN), np.array(ORDER))
    assert hash(GUIDE) == hash(vi.SparsePrecisionNormal(list(PATTERN), np.array(ORDER)))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((3,), TypeError, "pattern: expected pairs, got int 3"),
        (((1, 2, 3),), TypeError, "pattern: expected pairs of whole numbers"),
        ((((1.0, 0.0),),), TypeError, "pattern: expected pairs of whole numbers"),
        ((((0, 1),),), ValueError, r"pattern: \(0, 1\) is not below the diagonal"),
        ((((1, 0), (1, 0)),), ValueError, "pattern: a pair comes twice"),
        ((((1, 0),), (0, 2)), ValueError, r"order: expected each of the coordinates 0, 1, \.\.\. once"),
    ],
)
def test_what_makes_no_pattern(without_type_checks, arguments, error, words):
    with pytest.raises(error, match=words):
        vi.SparsePrecisionNormal(*arguments)


def test_another_dimension_and_a_hessian_that_is_nowhere_finite_are_refused():
    target = vi.from_log_density(lambda z: -0.5 * z @ z, dim=2)
    for guide in (vi.SparsePrecisionNormal(((2, 0),)), vi.SparsePrecisionNormal((), (0, 1, 2))):
        with pytest.raises(ValueError, match="pattern, order: the target has 2 coordinates"):
            vi.fit(jax.random.key(0), target, vi.gradient(guide, vi.ReverseKL()))
    with pytest.raises(ValueError, match="its log density and the Hessian are not finite at any of the 6 points"):
        vi.SparsePrecisionNormal.from_model(vi.from_log_density(lambda z: jnp.log(-jnp.exp(z[0])), dim=1))
