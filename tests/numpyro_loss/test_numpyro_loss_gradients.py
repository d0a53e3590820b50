"""Losses and their gradients against NumPyro's own, closed forms and enumeration."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.infer import RenyiELBO, Trace_ELBO
from numpyro.infer.autoguide import AutoDelta, AutoIAFNormal, AutoNormal

import vi_toolkit as vi
from tests.numpyro_loss import programs as pr
from vi_toolkit.estimators import (
    defensive,
    doubly_reparameterised,
    reparameterised,
    score_function,
    stick_the_landing,
    vimco,
)

LEARNED = pr.PARAMS | {"level": 0.5}
LOCAL, GLOBAL = (pr.local_model, pr.local_guide), (pr.global_model, pr.global_guide)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def assert_within(found, expected, standard_errors=5.0):
    (mean, error), (other, other_error) = found, expected
    assert np.all(np.abs(mean - other) < standard_errors * np.hypot(error, other_error) + 1e-9), (mean, other, error)


@pytest.mark.parametrize(("alpha", "programs"), [(0.5, LOCAL), slow(-1.0, LOCAL), slow(2.0, GLOBAL)])
def test_renyi_is_numpyros_to_the_digit(key, alpha, programs):
    ours = vi.as_numpyro_loss(vi.Renyi(alpha, estimator=reparameterised), 4)
    p = pr.params()
    found = pr.flat(*pr.value_and_grad(ours, *programs, pr.ROWS)(p, key))
    expected = pr.flat(*pr.value_and_grad(RenyiELBO(alpha, 4), *programs, pr.ROWS)(p, key))
    np.testing.assert_allclose(found, expected * (-1 if alpha < 0 else 1), rtol=1e-10)


def plain_model(rows):
    """Of a scale, a simplex, and rows in a plate."""
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    p = numpyro.sample("p", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("row", len(rows)):
        z = numpyro.sample("z", dist.Normal(p[0], s))
        numpyro.sample("y", dist.Normal(z, 1.0), obs=rows)


@pytest.mark.parametrize(
    "auto", [AutoNormal, slow(partial(AutoIAFNormal, num_flows=1, hidden_dims=[8])), slow(AutoDelta)]
)
def test_reverse_kl_of_autoguides_is_numpyros_to_the_digit(key, auto):
    guide, rows = auto(plain_model), pr.ROWS[:3]
    svi = numpyro.infer.SVI(plain_model, guide, numpyro.optim.Adam(0.1), Trace_ELBO())
    p = svi.get_params(jax.jit(svi.init)(key, rows))
    ours = vi.as_numpyro_loss(vi.ReverseKL(reparameterised), 2)
    value, gradient = pr.value_and_grad(ours, plain_model, guide, rows)(p, key)
    same_draws = jax.random.split(key)[1]
    expected, expected_gradient = pr.value_and_grad(Trace_ELBO(2), plain_model, guide, rows)(p, same_draws)
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-10), gradient, expected_gradient)


@pytest.mark.slow
def test_reverse_kl_with_parameters_of_the_model_is_numpyros(key):
    programs = (pr.learned_model, pr.global_guide_of_z)
    ours = vi.as_numpyro_loss(vi.ReverseKL(reparameterised), 4)
    found = pr.flat(*pr.value_and_grad(ours, *programs, pr.ROWS)(pr.params(LEARNED), key))
    same_draws = jax.random.split(key)[1]
    expected = pr.flat(*pr.value_and_grad(Trace_ELBO(4), *programs, pr.ROWS)(pr.params(LEARNED), same_draws))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [doubly_reparameterised, score_function, vimco], ids=lambda e: e.name)
def test_iwae_by_the_cell_of_a_subsampled_plate(estimator):
    p, args = pr.params(), (4000, pr.ROWS)
    expected = pr.over_keys(RenyiELBO(0.0, 3), *LOCAL, p, *args)
    assert_within(pr.over_keys(vi.as_numpyro_loss(vi.IWAE(3, estimator), 3), *LOCAL, p, *args), expected)


@pytest.mark.parametrize("estimator", [doubly_reparameterised, slow(score_function)], ids=["doubly", "score"])
def test_scales_masks_and_parameters_of_the_model_in_a_loss_that_is_not_linear(estimator):
    programs, p = (pr.learned_model, pr.learned_guide), pr.params(LEARNED)
    expected = pr.over_keys(RenyiELBO(0.5, 3), *programs, p, 8000, pr.ROWS)
    assert_within(
        pr.over_keys(vi.as_numpyro_loss(vi.Renyi(0.5, estimator=estimator), 3), *programs, p, 8000, pr.ROWS), expected
    )


@pytest.mark.parametrize(
    "objective",
    [vi.ReverseKL(), slow(vi.ReverseKL(score_function)), slow(vi.LogVariance())],
    ids=["stick the landing", "score", "log-variance"],
)
def test_a_part_of_the_rows_leaves_the_gradient_unbiased(objective):
    p = pr.params()
    value, gradient = jax.value_and_grad(lambda p: -pr.mean_elbo(p))(p)
    mean, error = pr.over_keys(vi.as_numpyro_loss(objective, 4), pr.mean_model, pr.mean_guide, p, 4000, pr.ROWS, 2)
    first = 1 if isinstance(objective, vi.LogVariance) else 0  # its value is another
    assert_within((mean[first:], error[first:]), (pr.flat(value, gradient)[first:], 0.0))


def rows_model(rows):
    """Of a positive unknown a row: the Jacobian of the unconstrained space counts where it is stretched."""
    with numpyro.plate("row", len(rows), subsample_size=2):
        s = numpyro.sample("s", dist.LogNormal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(jnp.log(s), 1.0), obs=numpyro.subsample(rows, event_dim=0))


def rows_guide(rows):
    slope, width = pr.guide_params()
    with numpyro.plate("row", len(rows), subsample_size=2):
        numpyro.sample("s", dist.LogNormal(slope * numpyro.subsample(rows, event_dim=0), width))


def rows_cubo(p):
    """sum_i log Z_i + D_2(p_i || q_i) / 2 with p_i = N(y_i / 2, 1 / 2), Z_i = N(y_i; 0, 2)."""
    wide = 2 * p["width"] ** 2 - 0.5
    shift = pr.ROWS / 2 - p["slope"] * pr.ROWS
    divergence = shift**2 / wide - 0.5 * jnp.log(wide * 0.5 / p["width"] ** 4)
    return jnp.sum(dist.Normal(0.0, 2.0**0.5).log_prob(pr.ROWS) + divergence / 2)


def test_chi_stretches_each_cell_by_itself():
    p = pr.params({"slope": 0.3, "width": 0.8})
    value, gradient = jax.value_and_grad(rows_cubo)(p)
    found = pr.over_keys(vi.as_numpyro_loss(vi.Chi(2, defensive), 2000), rows_model, rows_guide, p, 60, pr.ROWS)
    assert_within(found, (pr.flat(value, gradient), 0.002))


@pytest.mark.slow
def test_fisher_and_forward_kl_are_those_of_the_unconstrained_space():
    p = pr.params()
    mean, sd = pr.ROWS.sum() / 7, 7**-0.5  # of the posterior
    fisher = lambda p: (p["slope"] - mean) ** 2 * 49 + (7 * p["width"] - 1 / p["width"]) ** 2  # noqa: E731
    cross = lambda p: -dist.Normal(p["slope"], p["width"]).log_prob(mean) + sd**2 / p["width"] ** 2 / 2  # noqa: E731
    for objective, exact in ((vi.Fisher(), fisher), (vi.ForwardKL(), cross)):
        found = pr.over_keys(vi.as_numpyro_loss(objective, 500), pr.mean_model, pr.mean_guide, p, 200, pr.ROWS)
        assert_within(found, (pr.flat(*jax.value_and_grad(exact)(p)), 0.002))


def mixed_model(rows):
    c = numpyro.sample("c", dist.Categorical(jnp.array([0.2, 0.3, 0.5])))
    b = numpyro.sample("b", dist.Bernoulli(0.4))
    numpyro.sample("y", dist.Normal(c - 2.0 * b, 1.0), obs=rows[0])


def mixed_guide(rows):
    logits = numpyro.param("slope", 0.3) * jnp.arange(3.0)
    c = numpyro.sample("c", dist.Categorical(logits=logits))
    numpyro.sample("b", dist.Bernoulli(numpyro.param("width", 0.7, constraint=constraints.unit_interval) ** (1 + c)))


def states(p):
    """log p and log q of all six states."""
    c, b = jnp.arange(3)[:, None], jnp.arange(2)[None]
    log_p = jnp.log(jnp.array([0.2, 0.3, 0.5]))[:, None] + dist.Bernoulli(0.4).log_prob(b)
    log_p += dist.Normal(c - 2.0 * b, 1.0).log_prob(pr.ROWS[0])
    log_q = jax.nn.log_softmax(p["slope"] * jnp.arange(3.0))[:, None]
    return log_p.ravel(), (log_q + dist.Bernoulli(p["width"] ** (1 + c)).log_prob(b)).ravel()


def minus_elbo(p):
    log_p, log_q = states(p)
    return -jnp.sum(jnp.exp(log_q) * (log_p - log_q))


def minus_iwae_of_two(p):
    log_p, log_q = states(p)
    log_w = log_p - log_q
    bound = jnp.logaddexp(log_w[:, None], log_w) - jnp.log(2.0)
    return -jnp.sum(jnp.exp(log_q[:, None] + log_q) * bound)


@pytest.mark.parametrize(
    ("objective", "exact"),
    [
        (vi.ReverseKL(score_function), minus_elbo),
        slow(vi.LogVariance(), minus_elbo),
        slow(vi.IWAE(2, vimco), minus_iwae_of_two),
    ],
    ids=["reverse KL", "log-variance", "IWAE"],
)
def test_discrete_guides_against_enumeration(objective, exact):
    p = pr.params()
    mean, error = pr.over_keys(vi.as_numpyro_loss(objective, 4), mixed_model, mixed_guide, p, 8000, pr.ROWS)
    first = 1 if isinstance(objective, vi.LogVariance) else 0
    assert_within((mean[first:], error[first:]), (pr.flat(*jax.value_and_grad(exact)(p))[first:], 0.0))


def test_stick_the_landing_has_no_noise_at_the_posterior():
    p = pr.params({"slope": 0.5, "width": 0.5**0.5})  # each row's own posterior
    _, error = pr.over_keys(
        vi.as_numpyro_loss(vi.ReverseKL(stick_the_landing), 2), rows_model, rows_guide, p, 8, pr.ROWS
    )
    assert np.all(error[1:] < 1e-12)
