"""Roots of covariances, against the covariances that NumPyro states and those of draws."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.registry import random_params
from vi_toolkit.guides.guide import equally_weighted
from vi_toolkit.objectives._spread import covariance_root, standard_deviations

NOTHING = equally_weighted(jnp.full((3, 2), jnp.nan))  # what is known in closed form does not look at draws
GUIDES = [vi.MeanFieldNormal(), vi.FullRankNormal(), vi.LowRankNormal(1), vi.StudentT(6.0), vi.NormalMixture(3)]
GUIDES += [vi.NormalMixture(2, covariance=vi.MeanFieldNormal()), vi.BlockNormal((2,))]


def written_out(root):
    return np.diag(np.asarray(root) ** 2) if root.ndim == 1 else np.asarray(root @ root.T)


@pytest.mark.parametrize("guide", GUIDES, ids=str)
def test_a_root_squared_is_the_covariance(guide):
    q = guide.distribution(random_params(guide))
    root = covariance_root(q, NOTHING)
    np.testing.assert_allclose(standard_deviations(root) ** 2, q.variance, rtol=1e-10)
    draws = np.asarray(q.sample(jax.random.key(0), (40_000,)))
    products = (draws - draws.mean(0))[:, 0] * (draws - draws.mean(0))[:, 1]
    assert abs(written_out(root)[0, 1] - products.mean()) < 5 * products.std() / 200


def test_where_only_draws_know_it_is_their_unbiased_covariance():
    points = np.random.default_rng(0).normal(size=(9, 2))
    q = dist.Gumbel(jnp.zeros(2), jnp.ones(2)).to_event(1)
    root = covariance_root(q, equally_weighted(jnp.asarray(points)))
    np.testing.assert_allclose(written_out(root), np.cov(points.T), rtol=1e-10)
    np.testing.assert_allclose(standard_deviations(root), points.std(0, ddof=1), rtol=1e-10)
