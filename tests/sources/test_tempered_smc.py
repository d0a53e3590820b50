"""Particles find both modes from afar in their right shares, leave p as it is, and say how few they descend from."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import jit

S = vi.sources
TWO = vi.zoo.two_modes(separation=12.0, weights=(0.7, 0.3), dim=1)  # at -6 and 6
GUIDE = vi.MeanFieldNormal()
AT_ONE_MODE = {"location": jnp.array([-6.0]), "log_scale": jnp.zeros(1)}


@partial(jit, static_argnames=("source", "num_draws"))
def shares(source, params, keys, num_draws):
    def one(key):
        draws = source.fresh(key, params, GUIDE, TWO.target, num_draws)
        right = draws.points[:, 0] > 0
        sides = jnp.stack([right, ~right])
        counts = jnp.maximum(sides.sum(1), 1)
        means = jnp.where(sides, draws.points[:, 0], 0).sum(1) / counts
        squares = jnp.where(sides, (draws.points[:, 0] - means[:, None]) ** 2, 0).sum(1) / counts
        return right.mean(), means, squares, draws.facts

    return jax.lax.map(one, keys)


def test_annealing_alone_finds_both_modes_in_their_shares():
    """q sits narrowly on one mode, and what it offers is of no use for the other."""
    keys = jax.random.split(jax.random.key(0), 60)
    right, means, variances, facts = shares(S.TemperedSMC(10.0, S.HMC(2)), AT_ONE_MODE, keys, 256)
    np.testing.assert_array_equal(facts["temper"], 1.0)
    assert abs(np.mean(right) - 0.3) < 5 * np.std(right) / np.sqrt(60)
    assert 0.02 < np.std(right) < 0.15  # one run: of order 256^(-1/2), times what the stages add
    np.testing.assert_allclose(np.mean(means, axis=0), [6.0, -6.0], atol=0.06)
    np.testing.assert_allclose(np.mean(variances, axis=0), 1.0, atol=0.05)
    assert np.all(np.asarray(facts["lineages"]) < 256)


def test_at_p_the_steps_leave_p_as_it_is():
    """20,000 draws of p, and a q that covers both modes: moments and shares stay, and half of the draws are new."""
    source, count = S.TemperedSMC(4.0, S.HMC(2)), 20_000
    params = {"location": jnp.array([-1.0]), "log_scale": jnp.log(jnp.array([6.0]))}
    before = jnp.asarray(TWO.sampler(np.random.default_rng(0), count))

    @jit
    def three_steps(key):
        memory = source.begin(key, params, GUIDE, TWO.target, count)
        memory = memory._replace(points=before, beta=jnp.ones(()), lineages=jnp.zeros(count, int))

        def step(memory, key):
            draws, memory = source.draw(key, memory, params, GUIDE, TWO.target, count)
            return memory, draws.facts

        return jax.lax.scan(step, memory, jax.random.split(key, 3))

    memory, facts = three_steps(jax.random.key(2))
    after = np.asarray(memory.points)[:, 0]
    assert abs(after.mean() - TWO.mean[0]) < 5 * TWO.sd[0] / np.sqrt(count)
    assert abs(np.mean(after > 0) - 0.3) < 5 * np.sqrt(0.21 / count)
    for side, centre in ((after > 0, 6.0), (after < 0, -6.0)):
        squares = (after[side] - centre) ** 2
        assert abs(squares.mean() - 1.0) < 5 * squares.std() / np.sqrt(side.sum())
    crossed = np.mean((after > 0) != (np.asarray(before)[:, 0] > 0))
    assert crossed > 0.1  # by q's offers alone
    # all were one lineage to begin with, and each offer that was taken begins another
    accept = np.asarray(facts["accept"])
    assert np.all((accept > 0.1) & (accept < 0.6))
    one_left = np.cumprod(1 - accept)
    np.testing.assert_allclose(facts["lineages"], 1 / one_left**2, rtol=0.15)
    np.testing.assert_allclose(facts["ess"], np.asarray(facts["lineages"]) / count, rtol=1e-9)


@pytest.mark.slow
def test_a_start_out_of_the_support_is_left_behind():
    """Three particles in four begin where p is zero."""
    target = vi.from_log_density(lambda z: jnp.where(z[0] > 0, jnp.log(jnp.abs(z[0])) - z[0], -jnp.inf), dim=1)
    params = {"location": jnp.array([-1.0]), "log_scale": jnp.zeros(1)}
    source = S.TemperedSMC(2.0, S.HMC(2))
    draws = jit(lambda key: source.fresh(key, params, GUIDE, target, 1024))(jax.random.key(0))
    z = np.asarray(draws.points)[:, 0]
    assert np.all(z > 0)
    assert abs(z.mean() - 2.0) < 0.3  # a Gamma(2, 1)
    assert abs(z.var() - 2.0) < 0.8


def test_what_ends_in_collapse_is_said_in_words():
    source, rng = S.TemperedSMC(), np.random.default_rng(0)
    n = 100
    fine = {"temper": np.ones(n), "lineages": rng.uniform(60, 256, n), "ess": np.full(n, 0.5)}
    short = fine | {"temper": np.linspace(0.01, 0.6, n)}
    late = fine | {"temper": np.r_[np.linspace(0.01, 1, 40), np.ones(60)]}
    copies = fine | {"lineages": np.full(n, 1.4), "ess": np.full(n, 0.006)}
    few = fine | {"lineages": np.full(n, 9.0), "ess": np.full(n, 0.03)}
    assert [source.collapsed(history) for history in (fine, late, few, short, copies)] == [False] * 3 + [True] * 2
    assert source.warnings(fine) == source.warnings(late) == []
    assert "come to p^0.6 only" in source.warnings(short)[0]
    assert "descend from 9 in effect" in source.warnings(few)[0]
    assert source.collapsed({name: values[:0] for name, values in fine.items()}) is False
