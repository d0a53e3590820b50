"""Probability vectors: against SciPy, against sums written out, and the relations between the measures."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import special, stats
from scipy.spatial import distance

from tests.information.strategies import vectors
from vi_toolkit import information

P, Q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.1, 0.25, 0.25])
BATCH = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 0.5, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]])


def test_entropy_against_scipy():
    for unit, base in (("nats", np.e), ("bits", 2), ("bans", 10)):
        found = information.entropy(BATCH, unit=unit)
        np.testing.assert_allclose(found.value, stats.entropy(BATCH, base=base, axis=-1), rtol=1e-14, atol=1e-15)
        assert (found.se == 0).all()
        assert (found.route, found.unit) == ("exact sum", unit)


def test_kl_against_scipy_with_broadcasting():
    q = np.array([0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(
        information.kl_divergence(BATCH, q).value, stats.entropy(BATCH, q[None], axis=-1), rtol=1e-14
    )
    both = information.kl_divergence(BATCH[:, None], BATCH[None]).value
    assert both.shape == (3, 3)
    np.testing.assert_allclose(both, special.rel_entr(BATCH[:, None], BATCH[None]).sum(axis=-1), rtol=1e-13)
    np.testing.assert_array_equal(np.isinf(both), [[False, True, True], [False, False, True], [False, True, False]])


def test_jensen_shannon_against_scipy():
    found = information.jensen_shannon_distance(P, Q).value
    np.testing.assert_allclose(found, distance.jensenshannon(P, Q), rtol=1e-13)
    in_bits = information.jensen_shannon(P, Q, unit="bits").value
    np.testing.assert_allclose(in_bits, distance.jensenshannon(P, Q, base=2) ** 2, rtol=1e-13)


def test_every_measure_written_out():
    log_ratio = np.log(P / Q)
    expected = {
        information.cross_entropy: -np.sum(P * np.log(Q)),
        information.kl_divergence: np.sum(P * log_ratio),
        information.jeffreys: np.sum((P - Q) * log_ratio),
        information.chi_square: np.sum((P - Q) ** 2 / Q),
        information.hellinger: np.sqrt(0.5 * np.sum((np.sqrt(P) - np.sqrt(Q)) ** 2)),
        information.total_variation: 0.5 * np.abs(P - Q).sum(),
    }
    for measure, value in expected.items():
        np.testing.assert_allclose(measure(P, Q).value, value, rtol=1e-13, err_msg=measure.__name__)
    assert information.kl_divergence(P, Q).value != pytest.approx(information.kl_divergence(Q, P).value, rel=1e-3)


@pytest.mark.parametrize("order", [0.25, 0.5, 0.999, 1.001, 2.0, 7.5])
def test_orders_written_out(order):
    power = np.sum(P**order * Q ** (1 - order))
    np.testing.assert_allclose(
        information.renyi_divergence(P, Q, order=order).value, np.log(power) / (order - 1), rtol=1e-11
    )
    np.testing.assert_allclose(
        information.tsallis_divergence(P, Q, order=order).value, (power - 1) / (order - 1), rtol=1e-11
    )
    own = np.sum(P**order)
    np.testing.assert_allclose(information.renyi_entropy(P, order=order).value, np.log(own) / (1 - order), rtol=1e-11)
    np.testing.assert_allclose(information.tsallis_entropy(P, order=order).value, (1 - own) / (order - 1), rtol=1e-11)


def test_order_zero_counts_what_is_possible():
    p, q = [0.5, 0.5, 0.0], [0.2, 0.2, 0.6]
    np.testing.assert_allclose(information.renyi_divergence(p, q, order=0.0).value, -np.log(0.4), rtol=1e-14)
    np.testing.assert_allclose(information.renyi_entropy(p, order=0.0).value, np.log(2), rtol=1e-14)
    np.testing.assert_allclose(information.tsallis_entropy(p, order=0.0).value, 1.0, rtol=1e-14)


@pytest.mark.parametrize("near", [1 - 1e-9, 1 + 1e-9])
def test_orders_near_one_keep_their_digits(near):
    """The derivative of D_a in a at 1 is half the variance of log(p/q) under p; of H_a, minus half that of log p."""
    t = np.log(P / Q)
    slope = 0.5 * np.sum(P * (t - np.sum(P * t)) ** 2)
    kl = information.kl_divergence(P, Q).value
    found = information.renyi_divergence(P, Q, order=near).value
    np.testing.assert_allclose(found - kl, (near - 1) * slope, atol=2e-15)
    slope = -0.5 * np.sum(P * (np.log(P) - np.sum(P * np.log(P))) ** 2)
    found = information.renyi_entropy(P, order=near).value
    np.testing.assert_allclose(found - information.entropy(P).value, (near - 1) * slope, atol=2e-15)
    assert information.tsallis_divergence(P, Q, order=near).value == pytest.approx(kl, abs=1e-8)


def test_order_one_is_shannons():
    assert information.renyi_divergence(P, Q, order=1.0).value == information.kl_divergence(P, Q).value
    assert information.tsallis_divergence(P, Q, order=1.0).value == information.kl_divergence(P, Q).value
    assert information.renyi_entropy(P, order=1.0).value == information.entropy(P).value
    assert information.tsallis_entropy(P, order=1.0).value == information.entropy(P).value


def test_disjoint_supports():
    p, q = [1.0, 0.0], [0.0, 1.0]
    for measure in (
        information.kl_divergence,
        information.cross_entropy,
        information.jeffreys,
        information.chi_square,
    ):
        assert measure(p, q).value == np.inf, measure.__name__
    for order in (0.5, 2.0):
        assert information.renyi_divergence(p, q, order=order).value == np.inf
    assert information.tsallis_divergence(p, q, order=0.5).value == 2.0
    assert information.jensen_shannon(p, q, unit="bits").value == 1.0
    assert information.hellinger(p, q).value == 1.0
    assert information.total_variation(p, q).value == 1.0


def test_powers_beyond_the_largest_and_smallest_double():
    p, q = [0.5, 0.5], [1.0, 1e-300]
    log_integral = 3 * np.log(0.5) - 2 * np.log(1e-300)  # the other term is nothing beside it
    np.testing.assert_allclose(information.renyi_divergence(p, q, order=3.0).value, 0.5 * log_integral, rtol=1e-14)
    tiny = information.renyi_divergence([1e-300, 1.0, 0.0], [1e-300, 0.0, 1.0], order=0.5).value
    np.testing.assert_allclose(tiny, -2 * np.log(1e-300), rtol=1e-14)
    rows = information.renyi_divergence([[0.5, 0.5], [0.3, 0.7]], [q, [0.3, 0.7]], order=3.0).value
    np.testing.assert_allclose(rows, [0.5 * log_integral, 0.0], rtol=1e-14)


def test_nearly_identical_vectors_keep_their_digits():
    """KL, to leading order, is half of chi-square, and both are far below the precision of a sum of differences."""
    change = 1e-7 * np.array([1.0, -1.0, 2.0, -2.0])
    expected = 0.5 * np.sum(change**2 / P)
    assert expected < 1e-12
    assert information.kl_divergence(P, P + change).value == pytest.approx(expected, rel=3e-6)
    assert information.chi_square(P, P + change).value == pytest.approx(2 * expected, rel=3e-6)
    assert information.jensen_shannon(P, P + change).value == pytest.approx(expected / 4, rel=3e-6)
    for order in (0.5, 2.0, 3.0):
        found = information.renyi_divergence(P, P + change, order=order).value
        assert found == pytest.approx(order * expected, rel=3e-6)


@given(vectors())
def test_identity_and_relations(pair):
    p, q = pair
    parts = information.decompose(p, q)
    assert np.isnan(parts.residual) or abs(parts.residual) <= 1e-14 * (1.0 + abs(parts.cross_entropy.value))
    kl, back = information.kl_divergence(p, q).value, information.kl_divergence(q, p).value
    js, tv = information.jensen_shannon(p, q).value, information.total_variation(p, q).value
    squared = information.hellinger(p, q).value ** 2
    slack = 1e-14
    assert kl >= 0.0
    assert information.jeffreys(p, q).value == pytest.approx(kl + back, rel=1e-12)
    assert -slack <= js <= np.log(2) + slack
    assert js <= np.log(2) * tv + slack
    assert squared - slack <= tv <= np.sqrt(squared * (2.0 - squared)) + slack
    assert kl >= 2.0 * tv**2 - slack  # Pinsker
    assert kl >= -np.log1p(-min(squared, 1 - 1e-16)) * 2.0 - 1e-9 or squared > 1 - 1e-9  # D_1 >= D_(1/2)
    chi_square = information.chi_square(p, q).value
    assert kl <= np.log1p(chi_square) + slack
    assert information.renyi_divergence(p, q, order=2.0).value == pytest.approx(np.log1p(chi_square), rel=1e-9)
    for measure in (information.jensen_shannon, information.hellinger, information.total_variation):
        assert measure(p, q).value == pytest.approx(measure(q, p).value, rel=1e-12, abs=1e-15)
        assert measure(p, p).value == pytest.approx(0.0, abs=1e-15)


@given(vectors(), st.lists(st.floats(0.0, 6.0), min_size=2, max_size=4))
def test_renyi_grows_and_its_entropy_falls_in_the_order(pair, orders):
    p, q = pair
    orders = sorted(orders)
    divergences = [information.renyi_divergence(p, q, order=a).value for a in orders]
    entropies = [information.renyi_entropy(p, order=a).value for a in orders]
    for low, high in pairwise(divergences):
        assert low <= high * (1 + 1e-9) + 1e-12
    for high, low in pairwise(entropies):
        assert low <= high * (1 + 1e-9) + 1e-12


@given(vectors(), st.floats(0.05, 0.95))
def test_skew_symmetry_of_renyi(pair, order):
    p, q = pair
    there = information.renyi_divergence(p, q, order=order).value
    back = information.renyi_divergence(q, p, order=1.0 - order).value
    assert (1.0 - order) * there == pytest.approx(order * back, rel=1e-9, abs=1e-13)


@given(vectors(count=3))
def test_the_metrics_obey_the_triangle_inequality(three):
    p, q, r = three
    for measure in (information.jensen_shannon_distance, information.hellinger, information.total_variation):
        assert measure(p, r).value <= measure(p, q).value + measure(q, r).value + 1e-12, measure.__name__


def test_jensen_shannon_itself_is_no_metric():
    p, q, r = [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]
    js = information.jensen_shannon
    assert js(p, r).value > js(p, q).value + js(q, r).value + 0.2


@settings(max_examples=50)
@given(vectors(size=3), vectors(size=4))
def test_independent_parts_add_up(first, second):
    p, q = (np.outer(one, other).ravel() for one, other in zip(first, second, strict=True))
    for measure in (information.kl_divergence, information.jeffreys, information.cross_entropy):
        parts = measure(*first).value + measure(*second).value
        assert measure(p, q).value == pytest.approx(parts, rel=1e-10, abs=1e-13)
    for order in (0.5, 2.0):
        parts = sum(information.renyi_divergence(*each, order=order).value for each in (first, second))
        assert information.renyi_divergence(p, q, order=order).value == pytest.approx(parts, rel=1e-9, abs=1e-12)
    total = information.entropy(first[0]).value + information.entropy(second[0]).value
    assert information.entropy(p).value == pytest.approx(total, rel=1e-12)


@given(vectors())
def test_merging_outcomes_loses_information(pair):
    p, q = pair
    merged = [np.append(v[0] + v[1], v[2:]) for v in (p, q)]
    for measure in (
        information.kl_divergence,
        information.jensen_shannon,
        information.hellinger,
        information.total_variation,
        information.chi_square,
    ):
        assert measure(*merged).value <= measure(p, q).value * (1 + 1e-12) + 1e-14, measure.__name__
    assert information.entropy(merged[0]).value <= information.entropy(p).value + 1e-14


@pytest.mark.any_precision
def test_float32_vectors_are_summed_in_float64():
    p, q = P.astype(np.float32), Q.astype(np.float32)
    exact_p, exact_q = (v.astype(np.float64) / v.astype(np.float64).sum() for v in (p, q))
    found = information.kl_divergence(p, q).value
    np.testing.assert_allclose(found, special.rel_entr(exact_p, exact_q).sum(), rtol=1e-13)
