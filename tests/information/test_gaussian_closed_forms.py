"""Closed forms between Gaussians: against quadrature, textbook formulas with determinants, and matrix square roots."""

from decimal import Decimal, localcontext
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings, strategies as st
from scipy import integrate, stats
from scipy.linalg import sqrtm

from vi_toolkit import information
from vi_toolkit.information import _functionals as functionals
from vi_toolkit.information._measure import _by_quadrature

LINE = (dist.Normal(0.3, 1.2), dist.Normal(-0.4, 0.9))


def mvn(seed, dim):
    rng = np.random.default_rng(seed)
    root = np.tril(0.4 * rng.normal(size=(dim, dim)))
    np.fill_diagonal(root, np.exp(0.2 * rng.normal(size=dim)))
    return dist.MultivariateNormal(jnp.asarray(rng.normal(size=dim)), scale_tril=jnp.asarray(root))


def moments(p):
    return np.asarray(p.mean), np.asarray(p.covariance_matrix)


PLANE = (mvn(0, 2), mvn(1, 2))
FIVE = (mvn(2, 5), mvn(3, 5))


@pytest.mark.parametrize("pair", [LINE, PLANE], ids=["line", "plane"])
@pytest.mark.parametrize(
    ("measure", "functional"),
    [
        (information.kl_divergence, functionals.KL),
        (information.cross_entropy, functionals.CROSS_ENTROPY),
        (information.jeffreys, functionals.JEFFREYS),
        (information.hellinger, functionals.HELLINGER),
        (information.chi_square, functionals.CHI_SQUARE),
    ],
    ids=lambda each: getattr(each, "__name__", "functional"),
)
def test_against_quadrature(pair, measure, functional):
    for p, q in (pair, pair[::-1]):
        found = measure(p, q)
        assert found.route == "closed form"
        np.testing.assert_allclose(_by_quadrature(functional, p, q).value, found.value, rtol=1e-8)


@pytest.mark.parametrize("order", [0.1, 0.5, 1.2, 2.0])
@pytest.mark.parametrize("pair", [LINE, PLANE], ids=["line", "plane"])
def test_renyi_against_quadrature(pair, order):
    for p, q in (pair, pair[::-1]):
        found = information.renyi_divergence(p, q, order=order)
        assert found.route == "closed form"
        by_quadrature = _by_quadrature(functionals.renyi_divergence(order), p, q)
        np.testing.assert_allclose(by_quadrature.value, found.value, rtol=1e-8)
        tsallis = information.tsallis_divergence(p, q, order=order).value
        by_quadrature = _by_quadrature(functionals.tsallis_divergence(order), p, q)
        np.testing.assert_allclose(by_quadrature.value, tsallis, rtol=1e-8)


def test_five_dimensions_with_determinants():
    (m, s), (m_q, s_q) = (moments(p) for p in FIVE)
    shift, log_det = m - m_q, np.linalg.slogdet(s_q)[1] - np.linalg.slogdet(s)[1]
    kl = 0.5 * (np.trace(np.linalg.solve(s_q, s)) + shift @ np.linalg.solve(s_q, shift) - 5 + log_det)
    np.testing.assert_allclose(information.kl_divergence(*FIVE).value, kl, rtol=1e-12)
    entropy = stats.multivariate_normal(m, s).entropy()
    np.testing.assert_allclose(information.entropy(FIVE[0]).value, entropy, rtol=1e-13)
    np.testing.assert_allclose(information.cross_entropy(*FIVE).value, entropy + kl, rtol=1e-12)
    for order in (0.3, 1.1):
        mixed = (1 - order) * s + order * s_q
        assert (np.linalg.eigvalsh(mixed) > 0).all()
        dets = [np.linalg.slogdet(each)[1] for each in (mixed, s, s_q)]
        renyi = 0.5 * order * shift @ np.linalg.solve(mixed, shift)
        renyi -= 0.5 * (dets[0] - (1 - order) * dets[1] - order * dets[2]) / (order - 1)
        np.testing.assert_allclose(information.renyi_divergence(*FIVE, order=order).value, renyi, rtol=1e-11)


def test_renyi_is_finite_up_to_its_edge():
    """Of N(0, s^2) from N(0, 1) it is finite below the order s^2 / (s^2 - 1), and grows without bound up to it."""
    p, q = dist.Normal(0.0, 2.0), dist.Normal(0.0, 1.0)
    edge = 4.0 / 3.0
    for order in (edge - 1e-2, edge - 1e-6):
        closed = np.log(1.0 / 2.0) - 0.5 * np.log(4 - 3 * order) / (order - 1)  # log(s_q / s_p) - ...
        found = information.renyi_divergence(p, q, order=order).value
        assert found == pytest.approx(closed, rel=1e-8)
    assert information.renyi_divergence(p, q, order=edge + 1e-9).value == np.inf
    assert information.renyi_divergence(p, q, order=2.0).value == np.inf
    assert information.tsallis_divergence(p, q, order=2.0).value == np.inf
    for scale, is_finite in ((1.41, True), (1.42, False)):  # chi-square: up to s^2 = 2
        assert np.isfinite(information.chi_square(dist.Normal(0.0, scale), q).value) == is_finite
        by_quadrature = _by_quadrature(functionals.CHI_SQUARE, dist.Normal(0.0, scale), q).value
        assert np.isfinite(by_quadrature) == is_finite


def test_chi_square_beyond_the_edge_in_one_direction_only():
    p = dist.MultivariateNormal(jnp.zeros(2), jnp.array([[1.6, 1.2], [1.2, 1.6]]))  # variances 2.8 and 0.4
    q = dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
    assert information.chi_square(p, q).value == np.inf
    assert _by_quadrature(functionals.CHI_SQUARE, p, q).value == np.inf
    assert _by_quadrature(functionals.renyi_divergence(2.0), p, q).value == np.inf
    assert information.chi_square(q, p).value == np.inf  # 2 * 0.4 < 1
    assert _by_quadrature(functionals.CHI_SQUARE, q, p).value == np.inf


@pytest.mark.parametrize("pair", [LINE, PLANE], ids=["line", "plane"])
def test_fisher_against_quadrature(pair):
    (m, s), (m_q, s_q) = ((np.atleast_1d(p.mean), np.atleast_2d(covariance(p))) for p in pair)

    def integrand(*x):
        difference = -np.linalg.solve(s, x - m) + np.linalg.solve(s_q, x - m_q)
        return np.sum(difference**2) * stats.multivariate_normal.pdf(x, m, s)

    reach = [[float(c - 9 * r), float(c + 9 * r)] for c, r in zip(m, np.sqrt(np.diag(s)), strict=True)]
    expected = integrate.nquad(integrand, reach, opts={"epsabs": 1e-9, "epsrel": 1e-9})[0]
    found = information.fisher_divergence(*pair)
    assert found.route == "closed form"
    assert found.value == pytest.approx(expected, rel=1e-8)


def covariance(p):
    return p.covariance_matrix if p.event_shape else p.variance


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_wasserstein_against_square_roots(dim):
    p, q = mvn(4, dim), mvn(5, dim)
    (m, s), (m_q, s_q) = moments(p), moments(q)
    root = sqrtm(s_q)
    squared = np.sum((m - m_q) ** 2) + np.trace(s + s_q - 2 * np.real(sqrtm(root @ s @ root)))
    found = information.wasserstein(p, q, order=2)
    assert found.route == "closed form"
    assert found.value == pytest.approx(np.sqrt(squared), rel=1e-8)


def test_wasserstein_of_nearly_equal_gaussians_keeps_its_digits():
    found = information.wasserstein(dist.Normal(0.0, 1.0), dist.Normal(3e-9, 1.0 + 4e-9), order=2).value
    assert found == pytest.approx(5e-9, rel=1e-6)


@pytest.mark.parametrize(
    ("m", "s", "s_q"), [(0.0, 1.0, 2.0), (1.0, 1.0, 1.0), (0.5, 3.0, 0.2), (40.0, 1.0, 1.5), (0.3, 1e-6, 1e6)]
)
def test_total_variation_against_quadrature(m, s, s_q):
    for p, q in (
        (dist.Normal(0.0, s), dist.Normal(m, s_q)),
        (dist.Normal(m, s_q), dist.Normal(0.0, s)),
    ):
        found = information.total_variation(p, q)
        assert found.route == "closed form"
        assert found.value == pytest.approx(_by_quadrature(functionals.TOTAL_VARIATION, p, q).value, rel=1e-9)


def test_total_variation_with_a_common_covariance_depends_on_the_distance_alone():
    root = np.array([[1.0, 0.0], [0.5, 2.0]])
    shift = root @ np.array([0.6, 0.8])  # one standard deviation away
    p = dist.MultivariateNormal(jnp.zeros(2), scale_tril=jnp.asarray(root))
    q = dist.MultivariateNormal(jnp.asarray(shift), scale_tril=jnp.asarray(root))
    expected = 2 * stats.norm.cdf(0.5) - 1
    assert information.total_variation(p, q).value == pytest.approx(expected, rel=1e-12)
    assert _by_quadrature(functionals.TOTAL_VARIATION, p, q).value == pytest.approx(expected, rel=1e-5)


def exact_kl(m, s, m_q, s_q):
    """D(N(m, s^2) || N(m_q, s_q^2)) with fifty digits."""
    with localcontext(prec=50):
        m, s, m_q, s_q = (Decimal(x) for x in (m, s, m_q, s_q))
        return float((((m - m_q) / s_q) ** 2 + (s / s_q) ** 2 - 1 - 2 * (s / s_q).ln()) / 2)


def exact_renyi(order, m, s, m_q, s_q):
    with localcontext(prec=50):
        a, m, s, m_q, s_q = (Decimal(x) for x in (order, m, s, m_q, s_q))
        mixed = (1 - a) * s**2 + a * s_q**2
        log_term = mixed.ln() - 2 * (1 - a) * s.ln() - 2 * a * s_q.ln()
        return float(a * (m - m_q) ** 2 / mixed / 2 - log_term / (a - 1) / 2)


FAR_AND_NEAR = [
    (0.0, 1e-6, 0.0, 1e6),
    (0.0, 1e6, 0.0, 1e-6),
    (0.0, 1e-7, 0.0, 1.0),
    (0.0, 1.0, 40.0, 1.0),
    (0.0, 1.0, 40.0, 1.001),
    (1e6, 1.0, 1e6 + 1e-7, 1.0),
    (0.0, 1.0, 0.0, 1.0 + 1e-7),
    (0.0, 1.0, 1e-8, 1.0 - 1e-8),
    (0.0, 1.0, 0.3, 1.4),
]


@pytest.mark.parametrize("numbers", FAR_AND_NEAR)
def test_digits_far_apart_and_close_together(numbers):
    m, s, m_q, s_q = numbers
    for p, q in (
        (dist.Normal(m, s), dist.Normal(m_q, s_q)),
        (dist.Normal(jnp.array([m]), s).to_event(1), dist.Normal(jnp.array([m_q]), s_q).to_event(1)),
        (
            dist.MultivariateNormal(jnp.array([m]), scale_tril=jnp.array([[s]])),
            dist.MultivariateNormal(jnp.array([m_q]), scale_tril=jnp.array([[s_q]])),
        ),
    ):
        assert information.kl_divergence(p, q).value == pytest.approx(exact_kl(*numbers), rel=1e-7)
        for order in (0.5, 0.999999, 1.000001):
            if (1 - order) * s**2 + order * s_q**2 > 0:
                found = information.renyi_divergence(p, q, order=order).value
                assert found == pytest.approx(exact_renyi(order, *numbers), rel=1e-7)
    batch = information.kl_divergence(dist.Normal(jnp.array([m, m]), s), dist.Normal(m_q, s_q)).value
    np.testing.assert_allclose(batch, exact_kl(*numbers), rtol=1e-7)


@settings(max_examples=30)
@given(st.floats(-5.0, 5.0), st.floats(-2.0, 2.0).map(np.exp), st.floats(-5.0, 5.0), st.floats(-2.0, 2.0).map(np.exp))
def test_relations(m, s, m_q, s_q):
    p, q = dist.Normal(m, s), dist.Normal(m_q, s_q)
    kl, back = information.kl_divergence(p, q).value, information.kl_divergence(q, p).value
    tv, hellinger = information.total_variation(p, q).value, information.hellinger(p, q).value
    assert min(kl, back) >= 2 * tv**2 * (1 - 1e-9)
    assert hellinger**2 <= tv * (1 + 1e-9) + 1e-12
    assert tv <= hellinger * np.sqrt(2 - hellinger**2) * (1 + 1e-9) + 1e-12
    orders = (0.2, 0.5, 0.9, 1.0, 1.1, 2.0)
    values = [information.renyi_divergence(p, q, order=order).value for order in orders]
    assert all(low <= high * (1 + 1e-9) for low, high in pairwise(values))
    assert np.log1p(information.chi_square(p, q).value) == pytest.approx(values[-1], rel=1e-9) or values[-1] > 700
    residual = information.decompose(p, q).residual
    assert abs(residual) < 1e-13 * (1 + kl)
    reversed_ = information.renyi_divergence(q, p, order=0.8).value
    assert 0.8 * values[0] == pytest.approx(0.2 * reversed_, rel=1e-9, abs=1e-15)


@pytest.mark.any_precision
def test_closed_forms_are_in_float64_whatever_the_precision():
    p, q = dist.Normal(0.0, 1.0), dist.Normal(0.0, 1.0 + 2.0**-20)
    assert information.kl_divergence(p, q).value == pytest.approx(exact_kl(0.0, 1.0, 0.0, 1.0 + 2.0**-20), rel=1e-9)
    batch = information.kl_divergence(p, dist.Normal(jnp.zeros(3), 1.0 + 2.0**-20)).value
    np.testing.assert_allclose(batch, exact_kl(0.0, 1.0, 0.0, 1.0 + 2.0**-20), rtol=1e-9)
