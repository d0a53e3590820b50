"""Discrete posteriors as targets: the same probabilities, moments, and what fits to them say."""

import pickle
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations

exact = vi.exact
COUPLING = np.array([[0.0, 0.6, 0.3], [0.6, 0.0, -0.4], [0.3, -0.4, 0.0]])
POSTERIORS = {
    "ising": lambda: exact.ising(COUPLING, np.array([0.3, -0.2, 0.1])),
    "potts": lambda: exact.potts(COUPLING, np.random.default_rng(0).normal(size=(3, 3))),
    "hidden Markov": lambda: exact.hidden_markov(
        [0, 1, 5, 0],
        initial=[0.3, 0.7],
        transition=[[0.9, 0.1], [0.3, 0.7]],
        emission=dist.Poisson(jnp.array([1.0, 3.0])),
    ),
    "mixture": lambda: exact.finite_mixture(
        [1, 9, 4], weights=[0.75, 0.25], components=dist.Poisson(jnp.array([2.0, 8.0]))
    ),
    "change point": lambda: exact.change_point_location([3, 4, 2, 0, 1], shape=1.0, rate=1.0),
}


@pytest.mark.parametrize("name", POSTERIORS)
def test_density_and_moments_are_those_of_all_assignments(name, key):
    posterior = POSTERIORS[name]()
    found = posterior.as_exact()
    states = np.array(list(product(*map(range, found.target.num_values))))
    log_probs = np.array([posterior.log_prob(state.reshape(posterior.mode.shape)) for state in states])
    ours = jax.jit(jax.vmap(found.target.log_density))(jnp.asarray(states, float))
    np.testing.assert_allclose(ours - found.log_evidence, log_probs, rtol=1e-9, atol=1e-9)
    assert jax.nn.logsumexp(ours) == pytest.approx(posterior.log_evidence, rel=1e-9)
    probs = np.exp(log_probs)
    mean = probs @ states
    np.testing.assert_allclose(found.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(found.covariance, (probs * states.T) @ states - np.outer(mean, mean), atol=1e-9)
    draws = found.sample(key, 2000)
    assert draws.shape == (2000, len(mean))
    assert np.all(np.abs(draws.mean(0) - mean) < 5 * found.sd / np.sqrt(2000))
    assert found.target.sites[0].name == posterior.site


def test_a_fit_is_held_against_it(key):
    found = POSTERIORS["potts"]().as_exact()
    guide = vi.MeanFieldCategorical(found.target.num_values)
    fit = vi.fit(key, found.target, vi.gradient(guide, vi.ReverseKL(vi.estimators.enumerated)))
    diagnosis = vi.diagnose(jax.random.key(1), fit, reference=found)
    loss, _ = vi.ReverseKL(vi.estimators.enumerated).loss(key, fit.params, guide, found.target, 1)
    divergence = float(loss) + found.log_evidence
    assert divergence > 0.01
    assert abs(diagnosis.reverse_kl - divergence) < 5 * diagnosis.reverse_kl_se
    errors = (np.asarray(fit.posterior.mean) - found.mean) / found.sd
    np.testing.assert_allclose(diagnosis.mean_errors, errors, atol=1e-9)
    table = vi.exact_to_datatree(key, found, num_draws=10)["posterior"]["states"]
    assert table.shape == (1, 10, 3)


def test_equal_posteriors_are_one_program_and_pickle():
    first, second = (POSTERIORS["ising"]().as_exact().target for _ in range(2))
    assert first.program == second.program
    evaluate = jax.jit(lambda target, z: target.log_density(z))
    value = evaluate(first, jnp.zeros(3))
    compiled, again = count_compilations(lambda: evaluate(second, jnp.zeros(3)))
    assert (compiled, float(again)) == (0, float(value))
    assert float(pickle.loads(pickle.dumps(first)).log_density(jnp.zeros(3))) == float(value)
