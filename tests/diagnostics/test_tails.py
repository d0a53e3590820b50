"""How much of p lies where q has little: measured by a search, stated with its error, and said in words."""

import re

import jax
import numpy as np
import pytest
from scipy.stats import norm

import vi_toolkit as vi
from benchmarks.verdicts.wrong import stretched
from vi_toolkit.diagnostics._gather import _beyond

OUTSIDE = 2 * norm.sf(norm.isf(0.025) / 1.5)  # of N(0, 1.5^2), where N(0, 1) has its outermost 5 %


def measured(num_q: int, num_p: int):
    """Of q = N(0, 1) by draws of it, and p = N(0, 1.5^2) by draws of p of equal weight."""
    rng = np.random.default_rng(0)
    at_q, at_p = rng.standard_normal(num_q), 1.5 * rng.standard_normal(num_p)
    return _beyond(norm.logpdf(at_q), norm.logpdf(at_p), np.full(num_p, -np.log(num_p)))


def test_the_mass_that_q_has_little_of():
    found = measured(1_000_000, 100_000)
    assert found.value == pytest.approx(OUTSIDE - 0.05, abs=5 * found.se)
    assert found.se == pytest.approx(np.sqrt(OUTSIDE * (1 - OUTSIDE) / 100_000), rel=0.05)


def test_few_draws_of_q_know_their_quantile_badly():
    assert measured(400, 1_000_000).se == pytest.approx(np.sqrt(0.05 * 0.95 / 400), rel=0.01)


def test_what_is_said_of_a_normal_that_is_too_narrow():
    exact = vi.zoo.correlated_gaussian(dim=1)
    fit = vi.fit(jax.random.key(0), exact.target, vi.laplace())
    narrow = stretched(fit, 0.7)
    said = vi.diagnose(jax.random.key(1), narrow, explain=False).reasons["tails"]
    inside = int(re.search(r"the region with 95 % of it holds (\d+) % of p", said)[1])
    assert inside == pytest.approx(100 * (2 * norm.cdf(0.7 * norm.isf(0.025)) - 1), abs=2.0)  # 83 %
