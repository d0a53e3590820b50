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


def worst_errors(exact, guide, objective, seeds) -> np.ndarray:
    """The largest error of a mean in posterior sds, of a log sd, and of the ELBO in nats, over the seeds."""
    method, errors = vi.gradient(guide, objective), []
    for seed in seeds:
        fit = vi.fit(jax.random.key(seed), exact.target, method)
        diagnosis = vi.diagnose(jax.random.key(seed + 100), fit, reference=exact, num_draws=20_000)
        assert fit.status is vi.Status.CONVERGED
        mean = np.abs(np.asarray(fit.posterior.mean) - exact.mean) / exact.sd
        log_sd = np.abs(0.5 * np.log(np.asarray(fit.posterior.variance) / exact.sd**2))
        errors.append([mean.max(), log_sd.max(), abs(diagnosis.elbo - exact.log_evidence)])
    return np.max(errors, axis=0)


@pytest.mark.parametrize("direction", OBJECTIVES)
@pytest.mark.parametrize("case", CASES)
def test_ten_seeds_of_ten_are_right(case, direction):
    make, guide = CASES[case]
    np.testing.assert_array_less(worst_errors(make(), guide, OBJECTIVES[direction], range(10)), [0.02, 0.02, 0.01])


@pytest.mark.float32
@pytest.mark.parametrize("case", CASES)
def test_ten_seeds_of_ten_are_right_in_float32(case):
    make, guide = CASES[case]
    np.testing.assert_array_less(worst_errors(make(), guide, vi.ReverseKL(), range(10)), [0.05, 0.05, 0.05])


def test_draws_of_p_give_maximum_likelihood():
    """Forward KL from draws is within the draws' own error: here 100,000 of them, and five standard errors."""
    exact = regression()
    draws = exact.sample(jax.random.key(0), 100_000)
    fit = vi.fit(jax.random.key(1), exact.target, vi.gradient(vi.FullRankNormal(), vi.ForwardKL(draws)))
    np.testing.assert_array_less(np.abs(fit.posterior.mean - exact.mean) / exact.sd, 0.02)
    np.testing.assert_allclose(np.sqrt(fit.posterior.variance), exact.sd, rtol=0.02)
