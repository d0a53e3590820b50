"""What every posterior over discrete unknowns is held against."""

import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import seed
from numpyro.infer.util import log_density
from scipy import stats

from vi_toolkit.exact import DiscretePosterior


def every_assignment(posterior: DiscretePosterior) -> np.ndarray:
    """All assignments (assignments, ...), in lexicographic order."""
    states, shape = posterior.marginals.shape[-1], posterior.mode.shape
    return np.array(list(itertools.product(range(states), repeat=posterior.mode.size))).reshape(-1, *shape)


def check_sums(posterior: DiscretePosterior, atol: float = 1e-12) -> None:
    """Probabilities of all assignments sum to one; marginals and the mode are theirs."""
    x = every_assignment(posterior)
    probs = np.exp(posterior.log_probs(x))
    np.testing.assert_allclose(probs.sum(), 1.0, atol=atol)
    one_hot = np.eye(posterior.marginals.shape[-1])[x]
    np.testing.assert_allclose(posterior.marginals, np.tensordot(probs, one_hot, 1), atol=atol)
    np.testing.assert_allclose(np.exp(posterior.log_prob(posterior.mode)), probs.max(), rtol=1e-9)


def check_joint_density(posterior: DiscretePosterior, num_draws: int = 4, atol: float = 1e-9) -> None:
    """The model's joint log density is the log posterior and the log evidence together."""
    for x in (posterior.mode, *posterior.sample(jax.random.key(1), num_draws)):
        values = {posterior.site: jnp.asarray(x)}
        joint = log_density(seed(posterior.model, 0), posterior.args, dict(posterior.kwargs), values)[0]
        np.testing.assert_allclose(joint, posterior.log_prob(x) + posterior.log_evidence, atol=atol)


def check_draws_of_states(posterior: DiscretePosterior, num_draws: int = 20_000) -> None:
    """Draws have the stated marginals, and whole assignments their probabilities."""
    draws = posterior.sample(jax.random.key(2), num_draws)
    assert draws.shape == (num_draws, *posterior.mode.shape)
    check_frequencies(np.eye(posterior.marginals.shape[-1])[draws].mean(axis=0), posterior.marginals, num_draws)
    x = every_assignment(posterior)
    expected = num_draws * np.exp(posterior.log_probs(x))
    index = np.ravel_multi_index(draws.reshape(num_draws, -1).T, (posterior.marginals.shape[-1],) * x[0].size)
    observed = np.bincount(index, minlength=len(x))
    assert not observed[expected == 0].any()
    often = expected > 5
    lumped = [np.append(counts[often], counts[~often].sum()) for counts in (observed, expected)]
    some = lumped[1] > 0
    assert stats.chisquare(lumped[0][some], lumped[1][some]).pvalue > 1e-5


def check_frequencies(frequencies: np.ndarray, probs: np.ndarray, num_draws: int) -> None:
    """Frequencies lie within five standard errors of their probabilities, but for one rare draw or two."""
    error = np.sqrt(probs * (1.0 - probs) / num_draws)
    assert np.all(np.abs(frequencies - probs) <= 5.0 * error + 3.0 / num_draws)


def check_pickles(posterior: DiscretePosterior) -> None:
    again = pickle.loads(pickle.dumps(posterior))
    np.testing.assert_array_equal(again.sample(jax.random.key(0), 9), posterior.sample(jax.random.key(0), 9))
    assert again.log_prob(again.mode) == posterior.log_prob(posterior.mode)
