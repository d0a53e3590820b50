"""Rows B3 of what goes wrong in variational inference: shapes that broadcast, and supports that differ."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions import constraints

import vi_toolkit as vi

KEY = jax.random.key(0)
Y = np.random.default_rng(0).normal(2.0, 1.0, 50)
POSITIVE = constraints.positive


def coefficients(y):
    b = numpyro.sample("b", dist.Normal(jnp.zeros(3), 1.0).to_event(1))
    numpyro.sample("y", dist.Normal(b, 1.0).to_event(1), obs=y)


def effects(y):
    with numpyro.plate("group", 3):
        b = numpyro.sample("b", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(b, 1.0), obs=y)


def guide_of(distribution):
    def guide(y):
        numpyro.sample("b", distribution(numpyro.param("p", 0.5)))

    return guide


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        (lambda p: dist.Normal(p, 1.0), r"'b' has shape \(\), in the model it has shape \(3,\)"),
        (lambda p: dist.Normal(p * jnp.ones(4), 1.0).to_event(1), r"'b' has shape \(4,\), in the model .* \(3,\)"),
    ],
)
def test_a_guide_of_another_shape_is_refused(distribution, words):
    with pytest.raises(ValueError, match=words):
        vi.from_numpyro_guide(guide_of(distribution), vi.from_numpyro(coefficients, np.zeros(3)))


@pytest.mark.parametrize("model", [coefficients, effects])
def test_a_guide_of_the_right_shape_needs_no_plate(model):
    """log q of three normals, whether or not the model has a plate about them."""
    guide = vi.from_numpyro_guide(
        guide_of(lambda p: dist.Normal(p * jnp.ones(3), 1.0)), vi.from_numpyro(model, np.zeros(3))
    )
    log_q = guide.distribution({"p": jnp.array(0.5)}).log_prob(jnp.array([0.5, 1.5, 0.5]))
    np.testing.assert_allclose(log_q, -1.5 * np.log(2 * np.pi) - 0.5, rtol=1e-12)


def mean_of(shape, plate=None, data=lambda y: y):
    def model(y):
        mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        loc = mean * jnp.ones(shape)
        if plate:
            with numpyro.plate("row", plate):
                numpyro.sample("y", dist.Normal(loc, 1.0), obs=data(y))
        else:
            numpyro.sample("y", dist.Normal(loc, 1.0), obs=data(y))

    return model


def column(y):
    return y[:, None]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            mean_of(50, None, column),
            r"site 'y' has data of shape \(50, 1\), .* \(50,\): .* 2500 terms, not 50.*y\[:, 0\]",
        ),
        (mean_of((), 50, column), r"'y' .*\(50, 1\).*in plate 'row' of size 50 has shape \(50,\).*y\[:, 0\]"),
        (mean_of((50, 1)), r"'y' has data of shape \(50,\), .* shape \(50, 1\): .* 2500 terms.*an axis too many"),
        (
            mean_of((50, 1), 50),
            r"'y' has data of shape \(50,\).*in plate 'row' of size 50 has shape \(50, 50\).*axis too many",
        ),
        (mean_of((), 40), r"'y' has data of shape \(50,\).*in plate 'row' of size 40 has shape \(40,\).*as many rows"),
        (mean_of(50, 40), r"at site 'y' in plate 'row' of size 40 .*shapes"),
    ],
    ids=[
        "column",
        "column in a plate",
        "locations in a column",
        "both in a plate",
        "plate too short",
        "locations too long",
    ],
)
def test_data_that_would_be_counted_more_than_once_are_refused(model, words):
    with pytest.raises(ValueError, match=words):
        vi.from_numpyro(model, Y)


def test_the_same_data_counted_once():
    """The sd of the ideal column, not one of a likelihood counted fifty times."""
    fit = vi.fit(KEY, vi.from_numpyro(mean_of(50, 50), Y), vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()))
    np.testing.assert_allclose(np.sqrt(fit.posterior.variance), 1 / np.sqrt(50.01), rtol=0.02)


def one(prior):
    def model(y):
        numpyro.sample("y", dist.Normal(numpyro.sample("b", prior), 1.0), obs=y)

    return model


@pytest.mark.parametrize(
    ("prior", "distribution"),
    [
        (dist.HalfNormal(1.0), lambda p: dist.Normal(p, 1.0)),
        (dist.Beta(2.0, 2.0), lambda p: dist.Normal(p, 1.0)),
        (dist.Beta(2.0, 2.0), lambda p: dist.Gamma(p, 1.0)),
        (dist.Normal(0.0, 1.0), lambda p: dist.HalfNormal(p)),
        (dist.Beta(2.0, 2.0), lambda p: dist.Uniform(0.2, 0.3 + p)),
    ],
    ids=["normal of a positive", "normal of a share", "gamma of a share", "half of the line", "a part of the interval"],
)
def test_a_guide_on_another_support_is_refused(prior, distribution):
    with pytest.raises(ValueError, match=r"guide: site 'b' has the support .*, in the model it has .*on that set"):
        vi.from_numpyro_guide(guide_of(distribution), vi.from_numpyro(one(prior), 0.4))


def test_a_scale_that_leaves_its_range_ends_the_fit():
    """A scale without a constraint, driven below zero by steps that are too long."""

    def guide(y):
        numpyro.sample("b", dist.Normal(numpyro.param("location", 0.0), numpyro.param("scale", 0.3)))

    target = vi.from_numpyro(one(dist.Normal(0.0, 0.1)), 0.4)
    method = vi.gradient(vi.from_numpyro_guide(guide, target), vi.ReverseKL(), optax.sgd(0.5))
    fit = vi.fit(KEY, target, method, max_steps=300)
    assert fit.status is vi.Status.DIVERGED
    assert float(fit.params["scale"]) < 0
    assert any("steps were skipped" in words for words in fit.warnings)
