"""The tests of uniformity against brute force, other packages, and simulation."""

import itertools

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import binom, ks_2samp, kstest, norm, ttest_1samp, uniform
from statsmodels.stats.multitest import multipletests

from vi_toolkit.calibration import _tests
from vi_toolkit.calibration._fits import _pit
from vi_toolkit.calibration._words import detectable
from vi_toolkit.calibration.calibration import BIAS, SPREAD, judge

UNIFORM = np.random.default_rng(0).random((400, 100))


def within(hits, trials, level):
    """Whether a rate is a level, within five standard errors."""
    return abs(hits / trials - level) < 5 * np.sqrt(level * (1 - level) / trials)


@pytest.mark.parametrize(
    "test", [_tests.uniformity, _tests.location, _tests.dispersion, lambda pit: _tests.symmetry(pit)[1]]
)
@pytest.mark.parametrize("level", [0.05, 0.5])
def test_a_true_null_is_rejected_at_the_level(test, level):
    p_values = np.array([test(pit) for pit in UNIFORM])
    # p-values of discrete statistics are a little too high: by less than the steps of a walk of 100 coins
    assert within((p_values <= level).sum(), len(p_values), level) or level - 0.1 < (p_values <= level).mean() < level


@pytest.mark.parametrize("n", [20, 150])
def test_the_band_holds_the_distribution_functions_of_uniform_numbers(n):
    lowest, highest = _tests.band(n, 0.05)
    drawn = np.random.default_rng(1).random((5_000, n))
    counts = np.stack([(drawn <= z).sum(axis=1) for z in _tests.points(n)], axis=1)
    outside = ((counts < lowest) | (counts > highest)).any(axis=1)
    assert outside.mean() < 0.05 + 5 * np.sqrt(0.05 * 0.95 / 5_000)
    assert outside.mean() > 0.02  # and is not wider than counts, which are whole, ask for
    assert (lowest <= n * _tests.points(n)).all()
    assert (highest >= n * _tests.points(n)).all()


def test_staying_inside_against_all_outcomes_of_three_numbers():
    """Two points at 1/3 and 2/3: the multinomial counts of three thirds, one by one."""
    inside = np.array([[1, 1, 1, 0], [0, 1, 1, 1]], bool)
    expected = sum(
        1 / 27
        for thirds in itertools.product(range(3), repeat=3)
        if inside[0, thirds.count(0)] and inside[1, thirds.count(0) + thirds.count(1)]
    )
    assert _tests._stays_inside(inside) == pytest.approx(expected, rel=1e-12)


def test_uniformity_of_two_numbers_is_a_binomial():
    """One point, at 1/2: both numbers on one side have a chance of 1/2."""
    assert _tests.uniformity(np.array([0.1, 0.2])) == pytest.approx(2 * binom.pmf(2, 2, 0.5))
    assert _tests.uniformity(np.array([0.1, 0.7])) == pytest.approx(1.0)


def test_symmetry_against_scipy_and_all_signs():
    off = np.array([0.05, 0.11, 0.23, 0.31, 0.42, 0.47])
    signs = np.array(list(itertools.product([-1, 1], repeat=6)))
    distances = np.array([ks_2samp(0.5 + s * off, 0.5 - s * off).statistic for s in signs])
    for s, distance in zip(signs, distances, strict=True):
        found = _tests.symmetry(0.5 + s * off)
        assert found == pytest.approx((distance, np.mean(distances >= distance - 1e-12)), rel=1e-12)


def test_location_and_dispersion_against_scipy():
    scores = np.random.default_rng(2).normal(0.3, 1.2, 50)
    assert _tests.location(ndtr(scores)) == pytest.approx(ttest_1samp(scores, 0.0).pvalue, rel=1e-9)
    spread = (ndtri(UNIFORM[0]) - ndtri(UNIFORM[0]).mean()) / ndtri(UNIFORM[0]).std(ddof=1)
    assert _tests.dispersion(ndtr(spread)) > 0.9  # a spread of one
    for factor in (0.6, 1.6):
        assert _tests.dispersion(ndtr(factor * spread)) < 1e-6


def test_holm_against_statsmodels():
    p_values = np.array([[0.001, 0.4], [0.02, 0.013], [0.9, 0.04]])
    expected = multipletests(p_values.ravel(), method="holm")[1].reshape(p_values.shape)
    np.testing.assert_allclose(_tests.holm(p_values), expected)


def test_what_can_be_detected_is_detected_as_often_as_it_says():
    """A normal test at level 0.01 / 4 on the mean of 100 normal scores, with the shift that is said to be found."""
    shift, factor = detectable(100, 4, 0.01)
    assert norm.sf(norm.isf(0.01 / 8) - shift * 10) == pytest.approx(0.8)
    means = np.random.default_rng(3).normal(shift, 1.0, (4000, 100)).mean(axis=1) * 10
    assert within((means > norm.isf(0.01 / 8)).sum(), 4000, 0.8)
    assert factor == pytest.approx(shift / np.sqrt(2))


def test_the_table_knows_bias_spread_coverage_and_their_errors():
    """400 quantities of 100 fits whose q is too low by 0.5 of its sds and too narrow by a factor of 1.5."""
    pit = ndtr(0.5 + 1.5 * ndtri(UNIFORM.T))
    names, ranks, table = judge({"theta": pit}, (BIAS, SPREAD), 0.01)
    assert names[:2] == ("theta[0]", "theta[1]")
    np.testing.assert_array_equal(ranks, pit)
    for column, truth in (("bias", 0.5), ("spread", 1.5)):
        found, se = table[column].to_numpy(), table[f"{column} se"].to_numpy()
        assert abs(found.mean() - truth) < 5 * found.std() / np.sqrt(400) + 0.01  # an sd is too low by 1 / 4n
        assert np.sqrt((se**2).mean()) == pytest.approx(found.std(), rel=0.2)  # 5 / sqrt(2 * 400)
    for share in (0.5, 0.8, 0.95):
        edge = norm.ppf(0.5 + share / 2)
        covered = norm.cdf((edge - 0.5) / 1.5) - norm.cdf((-edge - 0.5) / 1.5)
        assert within(table[f"covers {100 * share:.0f} %"].sum(), 40_000, covered)


def test_ties_are_broken_at_random():
    """A truth that equals all 9 draws may be anywhere; one above 3 of 9, and equal to none, is in the fourth tenth."""
    rng, zeros = np.random.default_rng(0), np.zeros(2_000, int)
    assert kstest(_pit((zeros, zeros + 9), 9, rng), "uniform").pvalue > 0.01
    assert kstest(_pit((zeros + 3, zeros), 9, rng), uniform(0.3, 0.1).cdf).pvalue > 0.01
    assert kstest(_pit((zeros + 3, zeros + 2), 9, rng), uniform(0.3, 0.3).cdf).pvalue > 0.01
