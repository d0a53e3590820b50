"""Generators of f-divergences: against the measures of `vi.information`, and built from one another."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.registry import GENERATORS

P, Q = dist.Normal(0.3, 1.0), dist.Normal(-0.2, 1.3)
GRID = jnp.linspace(-15.0, 15.0, 6001)
SPACING = float(GRID[1] - GRID[0])


def divergence(generator, p=P, q=Q):
    """E_q f(p / q) on a grid."""
    log_p, log_q = p.log_prob(GRID), q.log_prob(GRID)
    return float(jnp.sum(jnp.exp(log_q) * generator(log_p - log_q)) * SPACING)


def value(measure, *arguments):
    return float(measure(*arguments).value)


def test_each_is_the_measure_of_its_name():
    information = vi.information
    expected = {
        "reverse KL": value(information.kl_divergence, Q, P),
        "forward KL": value(information.kl_divergence, P, Q),
        "Jensen-Shannon": value(information.jensen_shannon, P, Q),
        "Jeffreys": value(information.jeffreys, P, Q),
        "Hellinger": value(information.hellinger, P, Q) ** 2,
        "total variation": value(information.total_variation, P, Q),
        "Pearson": value(information.chi_square, P, Q),
        "Neyman": value(information.chi_square, Q, P),
    }
    found = {name: divergence(GENERATORS[name]) for name in expected}
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)
    assert len({round(number, 6) for number in expected.values()}) == len(expected)


def test_jeffreys_is_both_directions_of_kl():
    both = 2 * divergence(vi.generators.symmetrised(vi.generators.reverse_kl))
    np.testing.assert_allclose(divergence(vi.generators.jeffreys), both, rtol=1e-9)


@pytest.mark.parametrize("skew", [0.2, 0.7])
def test_the_skewed_family_from_its_definition(skew):
    p, q = jnp.exp(P.log_prob(GRID)), jnp.exp(Q.log_prob(GRID))
    m = skew * p + (1 - skew) * q
    exact = SPACING * jnp.sum(skew * p * jnp.log(p / m) + (1 - skew) * q * jnp.log(q / m))
    np.testing.assert_allclose(divergence(vi.generators.jensen_shannon(skew)), exact, rtol=1e-9)


def test_amari_meets_its_neighbours():
    np.testing.assert_allclose(divergence(vi.generators.amari(2.0)), 0.5 * divergence(vi.generators.pearson), rtol=1e-9)
    np.testing.assert_allclose(divergence(vi.generators.amari(-1)), 0.5 * divergence(vi.generators.neyman), rtol=1e-9)
    np.testing.assert_allclose(divergence(vi.generators.amari(0.5)), 4 * divergence(vi.generators.hellinger), rtol=1e-9)
    near_one, near_zero = vi.generators.amari(1 - 1e-6), vi.generators.amari(1e-6)
    np.testing.assert_allclose(divergence(near_one), divergence(vi.generators.forward_kl), rtol=1e-4)
    np.testing.assert_allclose(divergence(near_zero), divergence(vi.generators.reverse_kl), rtol=1e-4)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_dual_is_the_divergence_the_other_way_round(name):
    generator = GENERATORS[name]
    other_way = divergence(generator, Q, P)
    np.testing.assert_allclose(divergence(vi.generators.dual(generator)), other_way, rtol=1e-9)
    both = 0.5 * (divergence(generator) + other_way)
    np.testing.assert_allclose(divergence(vi.generators.symmetrised(generator)), both, rtol=1e-9)


@pytest.mark.any_precision
@pytest.mark.parametrize("name", GENERATORS)
def test_each_is_convex_in_the_ratio_and_zero_at_one(name):
    u = np.linspace(0.05, 4.0, 80)
    f = np.asarray(GENERATORS[name](jnp.log(jnp.asarray(u))), float)
    assert np.diff(f, 2).min() > -1e-5
    assert abs(float(GENERATORS[name](jnp.zeros(())))) < 1e-7
    assert f[0] > 0.01 or name.startswith("forward")  # u log u is below zero there, by a part that is linear in u


@pytest.mark.any_precision
def test_equal_generators_are_equal():
    again = vi.generators.symmetrised(vi.generators.jensen_shannon(0.2))
    assert again == vi.generators.symmetrised(vi.generators.jensen_shannon(0.2))
    assert hash(again) == hash(vi.generators.symmetrised(vi.generators.jensen_shannon(0.2)))
    assert again != vi.generators.symmetrised(vi.generators.jensen_shannon(0.3))
    assert pickle.loads(pickle.dumps(again)) == again
    assert not vi.generators.dual(vi.generators.total_variation).smooth


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: vi.generators.jensen_shannon(1.0), ValueError, "skew: expected a number between 0 and 1, got 1.0"),
        (lambda: vi.generators.jensen_shannon("half"), TypeError, "skew: expected a number, got str"),
        (lambda: vi.generators.amari(0.0), ValueError, r"alpha: at 0.0 the divergence is KL. Use vi.ReverseKL\(\)"),
        (lambda: vi.generators.amari(float("nan")), ValueError, "alpha: expected a finite number"),
        (lambda: vi.FDivergence(3.0), TypeError, "generator: expected one of vi.generators or a function of log u"),
    ],
    ids=["skew of one", "skew in words", "alpha of zero", "alpha not a number", "no function"],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_gradients_far_out_are_numbers():
    """Where p or q is nothing at all beside the other."""
    for name in ("Jensen-Shannon", "skewed Jensen-Shannon", "Hellinger", "total variation"):
        for log_u in (-300.0, 300.0):
            slope = float(jax.grad(GENERATORS[name])(log_u))
            assert np.isfinite(slope), name
    np.testing.assert_allclose(GENERATORS["Jensen-Shannon"](jnp.array(-300.0)), 0.5 * np.log(2), rtol=1e-12)
