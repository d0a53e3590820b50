"""Potts and Ising models, against closed forms of chains and rings, transfer matrices, and sums written differently."""

import itertools

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats
from scipy.special import logsumexp

from tests.exact.discrete.discrete_checks import (
    check_draws_of_states,
    check_joint_density,
    check_pickles,
    check_sums,
)
from vi_toolkit import exact


def chain(couplings):
    """The coupling of a chain whose edges have these couplings."""
    return np.diag(couplings, 1) + np.diag(couplings, -1)


def ring(n, J):
    coupling = chain([J] * (n - 1))
    coupling[0, -1] += J
    coupling[-1, 0] += J
    return coupling


def random_graph(n, states, seed=0):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.normal(size=(n, n)), 1)
    return upper + upper.T, rng.normal(size=(n, states))


@pytest.mark.parametrize("J", [-0.7, 0.4])
@pytest.mark.parametrize("n", [3, 8, 13])
def test_ising_ring_in_closed_form(n, J):
    posterior = exact.ising(ring(n, J), np.zeros(n))
    expected = np.log((2 * np.cosh(J)) ** n + (2 * np.sinh(J)) ** n)
    np.testing.assert_allclose(posterior.log_evidence, expected, rtol=1e-12)
    np.testing.assert_allclose(posterior.marginals, 0.5, atol=1e-12)
    t, apart = np.tanh(J), 2
    correlation = 2 * np.trace(posterior.pair_marginals[0, apart]) - 1
    np.testing.assert_allclose(correlation, (t**apart + t ** (n - apart)) / (1 + t**n), rtol=1e-10)


@pytest.mark.parametrize("K", [2, 3, 5])
def test_potts_chain_and_ring_in_closed_form(K):
    n, J = 6, 0.8
    no_field = np.zeros((n, K))
    on_chain = exact.potts(chain([J] * (n - 1)), no_field).log_evidence
    np.testing.assert_allclose(on_chain, np.log(K) + (n - 1) * np.log(np.exp(J) + K - 1), rtol=1e-12)
    on_ring = exact.potts(ring(n, J), no_field).log_evidence
    expected = (np.exp(J) + K - 1) ** n + (K - 1) * (np.exp(J) - 1) ** n
    np.testing.assert_allclose(on_ring, np.log(expected), rtol=1e-12)


def test_ising_chain_by_transfer_matrices():
    rng = np.random.default_rng(1)
    J, h = rng.normal(size=16), rng.normal(size=17)
    posterior = exact.ising(chain(J), h)
    spins = np.array([-1.0, 1.0])
    left = [np.exp(h[0] * spins)]
    for j, field in zip(J, h[1:], strict=True):
        left.append((left[-1] @ np.exp(j * np.outer(spins, spins))) * np.exp(field * spins))
    right = [np.ones(2)]
    for j, field in zip(J[::-1], h[:0:-1], strict=True):
        right.append(np.exp(j * np.outer(spins, spins)) @ (np.exp(field * spins) * right[-1]))
    np.testing.assert_allclose(posterior.log_evidence, np.log(left[-1].sum()), rtol=1e-12)
    marginals = np.stack(left) * np.stack(right[::-1]) / left[-1].sum()
    np.testing.assert_allclose(posterior.marginals, marginals, rtol=1e-9)


def test_a_chain_is_a_hidden_markov_model():
    """The field is the log density of each vertex's observation; what normalises the transitions is added."""
    J, y, rates = 0.9, np.array([0, 3, 1, 7, 5, 6, 0, 2]), np.array([1.0, 3.0, 6.0])
    odds = np.exp(J * np.eye(3))
    path = exact.hidden_markov(
        y,
        initial=np.full(3, 1 / 3),
        transition=odds / odds.sum(axis=1, keepdims=True),
        emission=dist.Poisson(rates),
    )
    posterior = exact.potts(chain([J] * 7), stats.poisson(rates).logpmf(y[:, None]))
    constant = np.log(3) + 7 * np.log(np.exp(J) + 2)
    np.testing.assert_allclose(posterior.log_evidence, path.log_evidence + constant, rtol=1e-12)
    np.testing.assert_allclose(posterior.marginals, path.marginals, atol=1e-12)
    neighbours = posterior.pair_marginals[np.arange(7), np.arange(1, 8)]
    np.testing.assert_allclose(neighbours, path.pair_marginals, atol=1e-12)
    np.testing.assert_array_equal(posterior.mode, path.mode)


@pytest.mark.parametrize("K", [2, 3])
def test_potts_by_sums_written_differently(K):
    coupling, field = random_graph(5, K)
    posterior = exact.potts(coupling, field)
    log_weights, pairs = {}, np.zeros((5, 5, K, K))
    for x in itertools.product(range(K), repeat=5):
        edges = sum(coupling[i, j] for i, j in itertools.combinations(range(5), 2) if x[i] == x[j])
        log_weights[x] = edges + sum(field[i][k] for i, k in enumerate(x))
    log_partition = logsumexp(list(log_weights.values()))
    for x, value in log_weights.items():
        np.testing.assert_allclose(posterior.log_prob(x), value - log_partition, atol=1e-11)
        for i, j in itertools.product(range(5), repeat=2):
            pairs[i, j, x[i], x[j]] += np.exp(value - log_partition)
    np.testing.assert_allclose(posterior.log_evidence, log_partition, rtol=1e-13)
    np.testing.assert_allclose(posterior.pair_marginals, pairs, atol=1e-13)
    assert tuple(posterior.mode) == max(log_weights, key=log_weights.get)
    check_sums(posterior)
    check_draws_of_states(posterior)
    check_joint_density(posterior)
    check_pickles(posterior)


def test_ising_by_sums_over_spins():
    coupling, field = random_graph(5, 1, seed=3)
    field = field[:, 0]
    posterior = exact.ising(coupling, field)
    spins = np.array(list(itertools.product([-1.0, 1.0], repeat=5)))
    energy = spins @ field + np.einsum("si,ij,sj->s", spins, np.triu(coupling), spins)
    probs = np.exp(energy - logsumexp(energy))
    np.testing.assert_allclose(posterior.log_evidence, logsumexp(energy), rtol=1e-13)
    np.testing.assert_allclose(2 * posterior.marginals[:, 1] - 1, probs @ spins, atol=1e-13)
    correlations = 2 * np.einsum("ijkk->ij", posterior.pair_marginals) - 1
    np.testing.assert_allclose(correlations, np.einsum("s,si,sj->ij", probs, spins, spins), atol=1e-13)
    np.testing.assert_array_equal(2 * posterior.mode - 1, spins[np.argmax(energy)])
    check_sums(posterior)
    check_draws_of_states(posterior)
    check_joint_density(posterior)
    check_pickles(posterior)


def test_one_vertex():
    field = np.array([[0.3, -1.0, 2.0]])
    potts = exact.potts([[0.0]], field)
    np.testing.assert_allclose(potts.log_evidence, logsumexp(field), rtol=1e-14)
    np.testing.assert_allclose(potts.marginals, np.exp(field) / np.exp(field).sum(), rtol=1e-13)
    spin = exact.ising([[0.0]], [0.7])
    np.testing.assert_allclose(spin.log_evidence, np.log(2 * np.cosh(0.7)), rtol=1e-14)
    np.testing.assert_allclose(2 * spin.marginals[0, 1] - 1, np.tanh(0.7), rtol=1e-13)
    check_draws_of_states(spin)


@pytest.mark.any_precision
def test_either_precision_of_jax():
    coupling, field = random_graph(4, 3)
    atol = 1e-9 if jax.config.jax_enable_x64 else 1e-4
    for posterior in (exact.potts(coupling, field), exact.ising(coupling, field[:, 0])):
        check_sums(posterior)
        check_joint_density(posterior, atol=atol)


def test_large_couplings_do_not_overflow():
    posterior = exact.ising(ring(4, 1e4), np.zeros(4))
    np.testing.assert_allclose(posterior.log_evidence, 4e4 + np.log(2), rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: exact.ising(np.zeros((21, 21)), np.zeros(21)),
            ValueError,
            r"2 states have 2\^21 = 2.1e",
        ),
        (lambda: exact.potts(np.zeros((13, 13)), np.zeros((13, 3))), ValueError, r"13 vertices of 3 states have 3\^13"),
        (lambda: exact.ising(np.zeros((2, 3)), np.zeros(2)), ValueError, "coupling: expected a square matrix"),
        (
            lambda: exact.ising([[0, 1], [0, 0]], np.zeros(2)),
            ValueError,
            r"coupling: expected a symmetric .* at \(0, 1\)",
        ),
        (lambda: exact.ising(np.eye(2), np.zeros(2)), ValueError, "coupling: expected zeros on the diagonal"),
        (lambda: exact.ising(np.zeros((2, 2)), np.zeros(3)), ValueError, "field: expected 2 entries"),
        (lambda: exact.ising(np.zeros((2, 2)), [0.0, np.inf]), ValueError, "field: 1 of 2 entries are NaN or infinite"),
        (lambda: exact.ising(np.zeros((2, 2)), 0.0), ValueError, "field: expected 1 axis"),
        (lambda: exact.potts(np.zeros((2, 2)), np.zeros(2)), ValueError, "field: expected 2 axes"),
        (lambda: exact.potts(np.zeros((2, 2)), np.zeros((3, 2))), ValueError, "field: expected 2 rows"),
        (lambda: exact.potts(np.zeros((2, 2)), np.zeros((2, 1))), ValueError, "field: expected at least 2 columns"),
        (lambda: exact.potts([["a"]], np.zeros((1, 2))), TypeError, "coupling: expected numbers"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
