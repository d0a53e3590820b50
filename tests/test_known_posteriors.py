"""Fits held against posteriors that are known and lie in the guide's family: every seed, both directions."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from sklearn.datasets import load_diabetes

import vi_toolkit as vi


def regression() -> vi.exact.ExactPosterior:
    """Real data, five standardised columns of them: its posterior is normal."""
    data = load_diabetes()
    design = (data.data - data.data.mean(axis=0))[:, 2:7] / data.data[:, 2:7].std(axis=0)
    response = (data.target - data.target.mean()) / data.target.std()
    return vi.exact.linear_regression(design, response, noise_sd=0.75, prior_sd=2.0)


CASES = {
    "regression": (regression, vi.FullRankNormal()),
    "one dimension": (lambda: vi.zoo.correlated_gaussian(1), vi.FullRankNormal()),
    "correlated": (lambda: vi.zoo.correlated_gaussian(8, condition_number=1e3), vi.FullRankNormal()),
    "two modes": (lambda: vi.zoo.two_modes(separation=6.0, weights=(0.3, 0.7)), vi.NormalMixture(2)),
}
OBJECTIVES = {"reverse": vi.ReverseKL(), "forward": vi.ForwardKL()}


def failures(exact, guide, objective, tolerances) -> str:
    """What does not pass `vi.check`, over ten seeds."""
    method, faults = vi.gradient(guide, objective), []
    for seed in range(10):
        fit = vi.fit(jax.random.key(seed), exact.target, method)
        found = vi.check(fit, exact, tolerances=tolerances, key=jax.random.key(seed + 100), num_draws=20_000)
        if fit.status is not vi.Status.CONVERGED or not found.passed:
            faults.append(f"seed {seed}: {fit.status.name}\n{found}")
    return "\n".join(faults)


@pytest.mark.parametrize("direction", OBJECTIVES)
@pytest.mark.parametrize("case", CASES)
def test_ten_seeds_of_ten_are_right(case, direction):
    make, guide = CASES[case]
    tolerances = vi.Tolerances(mean=0.02, spread=0.02, reverse_kl=0.01, forward_kl=0.01, mode_mass=0.02)
    assert failures(make(), guide, OBJECTIVES[direction], tolerances) == ""


@pytest.mark.float32
@pytest.mark.parametrize("case", CASES)
def test_ten_seeds_of_ten_are_right_in_float32(case):
    make, guide = CASES[case]
    tolerances = vi.Tolerances(mean=0.05, spread=0.05, reverse_kl=0.05, forward_kl=0.05, mode_mass=0.05)
    assert failures(make(), guide, vi.ReverseKL(), tolerances) == ""


def test_draws_of_p_give_maximum_likelihood():
    """Forward KL from draws is within the draws' own error: here 100,000 of them, and five standard errors."""
    exact = regression()
    draws = exact.sample(jax.random.key(0), 100_000)
    fit = vi.fit(jax.random.key(1), exact.target, vi.gradient(vi.FullRankNormal(), vi.ForwardKL(draws)))
    np.testing.assert_array_less(np.abs(fit.posterior.mean - exact.mean) / exact.sd, 0.02)
    np.testing.assert_allclose(np.sqrt(fit.posterior.variance), exact.sd, rtol=0.02)
