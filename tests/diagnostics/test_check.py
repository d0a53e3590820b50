"""vi.check: errors that are known, with uncertainties that are honest, and results that follow from both."""

import dataclasses

import jax
import numpy as np
import pytest

import vi_toolkit as vi
from tests.typecheck import as_users_call_it
from vi_toolkit.diagnostics.check import _judged


@pytest.fixture(scope="module")
def correlated():
    return vi.exact.gaussian_mixture([1.0], [[1.0, -1.0]], [[[1.0, 0.8], [0.8, 1.0]]])


def fitted(exact, guide):
    return vi.fit(jax.random.key(0), exact.target, vi.gradient(guide, vi.ReverseKL()))


def column(found, name, value="error"):
    return found.table.loc[found.table["quantity"] == name, value].to_numpy()


def test_a_guide_that_can_be_exact_passes(correlated):
    found = vi.check(
        fitted(correlated, vi.FullRankNormal()), correlated, tolerances=vi.Tolerances(mean=0.02, spread=0.02)
    )
    assert found.passed
    assert (found.table["result"] == "pass").all()
    assert list(found.table["of"])[:2] == ["z[0]", "z[1]"]


def test_mean_field_fails_by_what_the_closed_form_says(correlated):
    found = vi.check(fitted(correlated, vi.MeanFieldNormal()), correlated)
    assert not found.passed
    np.testing.assert_allclose(column(found, "log sd ratio"), 0.5 * np.log(1 - 0.8**2), atol=0.01)
    np.testing.assert_allclose(column(found, "log sd ratio", "se"), 0.0)
    assert set(column(found, "log sd ratio", "result")) == {"fail"}
    assert set(column(found, "mean", "result")) == {"pass"}
    for name, closed_form in (("D(q‖p)", -0.5 * np.log(1 - 0.8**2)), ("D(p‖q)", 0.5 * (2 / 0.36 - 2 + np.log(0.36)))):
        (error,), (se,) = column(found, name), column(found, name, "se")
        assert 0 < se < 0.2 * closed_form
        assert abs(error - closed_form) < 5 * se + 0.02 * closed_form


def test_a_missed_mode_is_seen():
    modes = vi.exact.gaussian_mixture([0.3, 0.7], [[-6.0], [6.0]], [[[1.0]], [[1.0]]])
    found = vi.check(fitted(modes, vi.FullRankNormal()), modes)
    np.testing.assert_allclose(np.abs(column(found, "mode mass")), [0.3, 0.3], atol=0.01)
    assert set(column(found, "mode mass", "result")) == {"fail"}
    assert "fail" in str(found)


def test_a_reference_of_draws_has_uncertain_moments():
    exact = vi.exact.gaussian_mixture([1.0], [[0.0]], [[[4.0]]])
    reference = vi.exact.reference(jax.random.key(3), exact.target, num_warmup=300, num_draws=2500)
    fit = fitted(exact, vi.FullRankNormal())
    found = vi.check(fit, reference)
    (se,) = column(found, "mean", "se")
    assert 0.005 < se < 0.03  # sd / sqrt(ESS) in sds, of 10,000 correlated draws
    assert abs(column(found, "mean")[0]) < 5 * se
    assert found.passed
    narrow = vi.check(fit, reference, tolerances=vi.Tolerances(mean=1e-4))
    assert column(narrow, "mean", "result") == ["cannot tell"]
    assert not narrow.passed


@pytest.mark.parametrize(
    ("error", "se", "tolerance", "result"),
    [
        (-0.05, 0.0, 0.1, "pass"),
        (-0.15, 0.0, 0.1, "fail"),
        (0.05, 0.016, 0.1, "pass"),
        (0.05, 0.017, 0.1, "cannot tell"),
        (0.15, 0.016, 0.1, "fail"),
        (0.15, 0.017, 0.1, "cannot tell"),
        (0.15, 0.0, None, None),
        (np.inf, 0.0, 0.1, "fail"),
        (np.nan, 0.0, 0.1, "cannot tell"),
    ],
)
def test_results_follow_from_error_and_uncertainty(error, se, tolerance, result):
    assert _judged("mean", "z", error, se, tolerance)[-1] == result


def test_what_has_no_tolerance_is_shown_and_not_judged(correlated):
    lenient = vi.Tolerances(spread=None, reverse_kl=None, forward_kl=None)
    found = vi.check(fitted(correlated, vi.MeanFieldNormal()), correlated, tolerances=lenient)
    assert found.passed
    assert column(found, "log sd ratio")[0] < -0.4


def test_moments_that_do_not_exist_are_left_out():
    cauchy = vi.zoo.student_t(1, degrees_of_freedom=1.0)
    found = vi.check(fitted(cauchy, vi.FullRankNormal()), cauchy)
    assert set(found.table["quantity"]) == {"D(q‖p)", "D(p‖q)"}


def test_the_same_fit_has_one_table(correlated):
    fit = fitted(correlated, vi.MeanFieldNormal())
    first, second = vi.check(fit, correlated), vi.check(fit, correlated)
    np.testing.assert_array_equal(first.table["error"], second.table["error"])
    other = vi.check(fit, correlated, key=jax.random.key(5))
    assert not np.array_equal(first.table["error"], other.table["error"])


def test_rows_are_named_by_site():
    exact = vi.exact.linear_regression([[1.0], [2.0], [3.0]], [1.0, 3.0, 2.0], noise_sd=1.0, prior_sd=1.0)
    found = vi.check(vi.fit(jax.random.key(0), exact.target, vi.laplace()), exact)
    assert list(found.table["of"][:2]) == ["beta", "beta"]
    two = vi.exact.linear_regression([[1.0, 0.0], [2.0, 1.0]], [1.0, 3.0], noise_sd=1.0, prior_sd=1.0)
    found = vi.check(vi.fit(jax.random.key(0), two.target, vi.laplace()), two)
    assert list(found.table["of"][:4]) == ["beta[0]", "beta[1]"] * 2


def test_bad_input(correlated):
    fit = vi.fit(jax.random.key(0), correlated.target, max_steps=5)
    check = as_users_call_it(vi.check)
    with pytest.raises(TypeError, match="fit: expected a Fit"):
        check(correlated, correlated)
    with pytest.raises(TypeError, match="exact: expected a ExactPosterior"):
        check(fit, None)
    with pytest.raises(ValueError, match="exact: expected one of dim 2"):
        check(fit, vi.zoo.skewed(1))
    with pytest.raises(TypeError, match="tolerances: expected a Tolerances"):
        check(fit, correlated, tolerances=0.1)
    with pytest.raises(ValueError, match="num_draws: expected at least 25"):
        check(fit, correlated, num_draws=10)
    with pytest.raises(TypeError, match="key: expected one JAX random key"):
        check(fit, correlated, key=3)
    with pytest.raises(ValueError, match="mean: expected a finite number above 0"):
        vi.Tolerances(mean=0.0)
    with pytest.raises(ValueError, match="is of another posterior"):
        check(fit, dataclasses.replace(vi.zoo.banana(), name="banana"))
