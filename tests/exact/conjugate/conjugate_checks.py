"""What entries in closed form are held against, beyond what every exact posterior is."""

import pickle

import jax
import numpy as np
from scipy import stats

from vi_toolkit.targets.target import constrain_draws


def check_predictive(predictive, before, after, new, tolerance=1e-9):
    """log p(new | y) = log p(y, new) - log p(y), the difference of two evidences."""
    found = float(np.sum(predictive.log_prob(np.asarray(new))))
    np.testing.assert_allclose(found, after.log_evidence - before.log_evidence, rtol=tolerance, atol=tolerance)


def check_marginal_draws(posterior, site, entry, cdf):
    """Draws of one entry of a site have the stated distribution function, by a test that fails once in 10 000."""
    draws = constrain_draws(posterior.target, np.asarray(posterior.sample(jax.random.key(11), 5000)))
    assert stats.kstest(np.asarray(draws[site])[(slice(None), *entry)], cdf).pvalue > 1e-4


def check_pickle(posterior):
    """A copy through bytes draws the same, and has the same density and predictive."""
    again = pickle.loads(pickle.dumps(posterior))
    key = jax.random.key(0)
    draws = posterior.sample(key, 5)
    np.testing.assert_array_equal(again.sample(key, 5), draws)
    assert again.log_prob(draws[0]) == posterior.log_prob(draws[0])
    sites = posterior.target.constrain(draws[0])
    assert again.log_prob_constrained(sites) == posterior.log_prob_constrained(sites)
    for site, marginal in posterior.marginals.items():
        assert again.marginals[site].log_prob(sites[site]) == marginal.log_prob(sites[site])
    return again
