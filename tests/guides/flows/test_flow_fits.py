"""Flows fitted to a banana, which no normal fits: the divergences both ways, by quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.registry import log_prob

BANANA = vi.zoo.banana()
LINES = np.linspace(-9.0, 9.0, 241), np.linspace(-9.0, 40.0, 601)
POINTS = jnp.asarray(np.stack(np.meshgrid(*LINES, indexing="ij"), -1).reshape(-1, 2))
CELL = np.prod([line[1] - line[0] for line in LINES])
# The least D_KL(q || p) of a normal is 0.561, and that of D_KL(p || q) is log(9) / 2 = 1.099: from the covariance.
REVERSE, FORWARD = 0.561, 1.099
BY_DRAWS = vi.ReverseKL(vi.estimators.reparameterised)


def divergences(fit):
    """D_KL(q || p) and D_KL(p || q)."""
    log_p = np.asarray(jax.vmap(BANANA.target.log_density)(POINTS))
    log_q = np.asarray(log_prob(fit.method.guide, fit.params, POINTS))
    np.testing.assert_allclose(np.exp(log_q).sum() * CELL, 1.0, atol=1e-3)
    return [(np.exp(a) * (a - b)).sum() * CELL for a, b in ((log_q, log_p), (log_p, log_q))]


def fitted(flow, objective, max_steps, start=None):
    return vi.fit(jax.random.key(0), BANANA.target, vi.gradient(flow, objective, start=start), max_steps=max_steps)


def forward():
    return vi.ForwardKL(draws=BANANA.sampler(np.random.default_rng(0), 5000))


def test_reverse_kl():
    assert divergences(fitted(vi.AffineCouplingFlow(num_layers=4, width=16), BY_DRAWS, 2500))[0] < 0.05


def test_forward_kl_from_the_normal_of_the_draws():
    flow, objective = vi.AutoregressiveFlow(num_layers=2, width=16, cheap="score"), forward()
    draws = np.asarray(objective.draws)
    normal = vi.FullRankNormal()
    factor = np.linalg.cholesky(np.cov(draws.T))
    params = {
        "location": jnp.asarray(draws.mean(0)),
        "log_diagonal": jnp.log(jnp.diag(factor)),
        "lower": jnp.asarray(factor),
    }
    begun = flow.start_at(jax.random.key(0), normal.distribution(params))
    assert divergences(fitted(flow, objective, 700, begun))[1] < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flow", "limit"),
    [
        (vi.AffineCouplingFlow(), 0.01),
        (vi.SplineCouplingFlow(), 0.05),
        (vi.AutoregressiveFlow(), 0.01),
        (vi.BlockAutoregressiveFlow(), 0.2),
        (vi.TriangularSplineFlow(), 0.2),
    ],
    ids=str,
)
def test_reverse_kl_of_every_kind(flow, limit):
    assert divergences(fitted(flow, BY_DRAWS, 5000))[0] < limit < REVERSE / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flow", "limit"),
    [
        (vi.AffineCouplingFlow(), 0.02),
        (vi.SplineCouplingFlow(), 0.06),
        (vi.AutoregressiveFlow(cheap="score"), 0.02),
        (vi.BlockAutoregressiveFlow(cheap="score"), 0.06),
        (vi.TriangularSplineFlow(), 0.15),
    ],
    ids=str,
)
def test_forward_kl_of_every_kind(flow, limit):
    assert divergences(fitted(flow, forward(), 3000))[1] < limit < FORWARD / 2
