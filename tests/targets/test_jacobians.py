"""The flat log density of a NumPyro model is its log joint plus the log Jacobian of its bijection, by hand."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.infer.reparam import LocScaleReparam
from numpyro.infer.util import log_density as numpyro_log_density
from scipy import stats
from scipy.special import expit, logit

import vi_toolkit as vi

Y = np.array([0.3, -1.2, 2.5, 0.9])


def positive(y):
    scale = numpyro.sample("scale", dist.Gamma(2.0, 1.5))
    numpyro.sample("y", dist.Normal(0.0, scale), obs=y)


def unit_interval(y):
    share = numpyro.sample("share", dist.Beta(2.0, 3.0))
    numpyro.sample("y", dist.Normal(share, 1.0), obs=y)


def simplex(y):
    shares = numpyro.sample("shares", dist.Dirichlet(jnp.array([1.0, 2.0, 3.5])))
    numpyro.sample("y", dist.Normal(shares @ jnp.array([-1.0, 0.0, 2.0]), 1.0), obs=y)


def ordered(y):
    cuts = numpyro.sample("cuts", dist.TransformedDistribution(
        dist.Normal(0.0, 1.0).expand([3]).to_event(1), dist.transforms.OrderedTransform()))  # fmt: skip
    numpyro.sample("y", dist.Normal(cuts.sum(), 1.0), obs=y)


def interval_of_another_site(y):
    top = numpyro.sample("top", dist.HalfNormal(2.0))
    inside = numpyro.sample("inside", dist.Uniform(-1.0, top))
    numpyro.sample("y", dist.Normal(inside, 1.0), obs=y)


def lower_cholesky(y):
    factor = numpyro.sample("factor", dist.ImproperUniform(constraints.lower_cholesky, (), (2, 2)))
    numpyro.factor("prior", -0.5 * jnp.sum(factor**2))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(2), scale_tril=factor), obs=y.reshape(2, 2))


def improper(y):
    location = numpyro.sample("location", dist.ImproperUniform(constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(location, 1.0), obs=y)


def from_unit(z: np.ndarray) -> tuple[np.ndarray, float]:
    """A sigmoid and its log slope."""
    return expit(z), np.sum(np.log(expit(z)) + np.log1p(-expit(z)))


def broken_stick(z: np.ndarray) -> tuple[np.ndarray, float]:
    """Each break takes a share of what is left; the shift makes z = 0 the even split."""
    left, parts, log_jacobian = 1.0, [], 0.0
    for k, value in enumerate(z):
        share = expit(value - np.log(len(z) - k))
        log_jacobian += np.log(left) + np.log(share) + np.log1p(-share)
        parts.append(left * share)
        left *= 1 - share
    return np.array([*parts, left]), log_jacobian


def interval(z: np.ndarray) -> tuple[dict[str, Any], float]:
    share, log_slope = from_unit(z[1])
    width = np.exp(z[0]) + 1.0
    return {"top": np.exp(z[0]), "inside": -1.0 + width * share}, z[0] + np.log(width) + log_slope


class Case(NamedTuple):
    """A model, and its constrained values with their log Jacobian as functions of z."""

    model: Callable[..., Any]
    dim: int
    by_hand: Callable[[np.ndarray], tuple[dict[str, Any], float]]


CASES = [
    Case(positive, 1, lambda z: ({"scale": np.exp(z[0])}, z[0])),
    Case(unit_interval, 1, lambda z: ({"share": expit(z[0])}, from_unit(z)[1])),
    Case(simplex, 2, lambda z: ({"shares": broken_stick(z)[0]}, broken_stick(z)[1])),
    Case(ordered, 3, lambda z: ({"cuts": np.cumsum([z[0], *np.exp(z[1:])])}, z[1:].sum())),
    Case(interval_of_another_site, 2, interval),
    Case(lower_cholesky, 3, lambda z: ({"factor": np.array([[np.exp(z[1]), 0.0], [z[0], np.exp(z[2])]])}, z[1] + z[2])),
    Case(improper, 1, lambda z: ({"location": z[0]}, 0.0)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.model.__name__)
def test_log_density_is_the_log_joint_plus_the_log_jacobian(case):
    target = vi.from_numpyro(case.model, Y)
    assert target.dim == case.dim
    for z in np.random.default_rng(0).normal(size=(3, case.dim)):
        values, log_jacobian = case.by_hand(z)
        constrained = target.constrain(jnp.asarray(z))
        for name, value in values.items():
            np.testing.assert_allclose(constrained[name], value, rtol=1e-10)
        with numpyro.validation_enabled(False):  # rounding leaves a simplex a hair off one
            log_joint, _ = numpyro_log_density(case.model, (Y,), {}, constrained)
        np.testing.assert_allclose(target.log_density(jnp.asarray(z)), log_joint + log_jacobian, rtol=1e-9)


def test_log_density_against_scipy():
    target = vi.from_numpyro(positive, Y)
    scale = np.exp(0.4)
    expected = stats.gamma.logpdf(scale, 2.0, scale=1 / 1.5) + stats.norm.logpdf(Y, 0.0, scale).sum() + 0.4
    np.testing.assert_allclose(target.log_density(jnp.array([0.4])), expected, rtol=1e-12)


def test_correlation_cholesky_by_the_determinant_of_its_jacobian():
    def model(y):
        factor = numpyro.sample("factor", dist.LKJCholesky(3, 1.7))
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(3), scale_tril=factor), obs=y)

    y = np.random.default_rng(1).normal(size=(4, 3))
    target, z = vi.from_numpyro(model, y), jnp.array([0.4, -0.7, 1.1])
    below = np.tril_indices(3, -1)  # the density is with respect to the entries below the diagonal
    jacobian = jax.jacfwd(lambda z: target.constrain(z)["factor"][below])(z)
    log_joint, _ = numpyro_log_density(model, (y,), {}, target.constrain(z))
    expected = log_joint + np.linalg.slogdet(np.asarray(jacobian))[1]
    np.testing.assert_allclose(target.log_density(z), expected, rtol=1e-9)


def schools(effects, errors):
    mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
    spread = numpyro.sample("a_spread", dist.HalfCauchy(5.0))
    with (
        numpyro.handlers.reparam(config={"effect": LocScaleReparam(0)}),
        numpyro.plate("school", len(effects)),
    ):
        effect = numpyro.sample("effect", dist.Normal(mean, spread))
        numpyro.deterministic("doubled", 2 * effect)
        numpyro.sample("y", dist.Normal(effect, errors), obs=effects)
    numpyro.factor("extra", -0.1 * mean**2)


def test_plates_deterministics_factors_and_reparametrisation_together():
    effects, errors = np.array([28.0, 8.0, -3.0]), np.array([15.0, 10.0, 16.0])
    target = vi.from_numpyro(schools, effects, errors=errors)
    # the model's order, which is neither the alphabet's nor that of a dict sorted by name
    assert [site.name for site in target.sites] == ["mean", "a_spread", "effect_decentered"]
    assert [(site.start, site.stop) for site in target.sites] == [(0, 1), (1, 2), (2, 5)]
    assert target.dims == dict.fromkeys(("effect_decentered", "effect", "doubled"), ("school",))
    z = np.array([1.5, 0.7, -0.3, 0.2, 1.1])
    mean, spread, raw = z[0], np.exp(z[1]), z[2:]
    effect = mean + spread * raw
    sites = target.constrain(jnp.asarray(z))
    np.testing.assert_allclose(sites["effect"], effect, rtol=1e-12)
    np.testing.assert_allclose(sites["doubled"], 2 * effect, rtol=1e-12)
    expected = (
        stats.norm.logpdf(mean, 0, 5)
        + stats.halfcauchy.logpdf(spread, scale=5)
        + z[1]
        + stats.norm.logpdf(raw).sum()
        + stats.norm.logpdf(effects, effect, errors).sum()
        - 0.1 * mean**2
    )
    np.testing.assert_allclose(target.log_density(jnp.asarray(z)), expected, rtol=1e-12)
    likelihood = target.log_likelihood(jnp.asarray(z))
    np.testing.assert_allclose(likelihood["y"], stats.norm.logpdf(effects, effect, errors), rtol=1e-12)
    assert list(likelihood) == list(target.observed()) == ["y"]
    np.testing.assert_array_equal(target.observed()["y"], effects)


def test_the_flat_vector_goes_to_the_sites_and_back():
    def model(y):
        second = numpyro.sample("second", dist.LogNormal(0.0, 1.0).expand([2, 3]))
        first = numpyro.sample("first", dist.Uniform(-2.0, 3.0).expand([2]).to_event(1))
        numpyro.sample("y", dist.Normal(second.sum() + first.sum(), 1.0), obs=y)

    target = vi.from_numpyro(model, Y)
    z = np.random.default_rng(0).normal(size=target.dim)
    sites = target.constrain(jnp.asarray(z))
    assert {name: value.shape for name, value in sites.items()} == {"second": (2, 3), "first": (2,)}
    back = np.concatenate([np.log(sites["second"]).reshape(-1), logit((np.asarray(sites["first"]) + 2.0) / 5.0)])
    np.testing.assert_allclose(back, z, rtol=1e-9)


def test_prior_draws_follow_the_prior():
    def model(y):
        scale = numpyro.sample("scale", dist.LogNormal(1.0, 0.5))
        mean = numpyro.sample("mean", dist.Normal(-2.0, scale))
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)

    target = vi.from_numpyro(model, Y)
    draws = np.asarray(jax.vmap(target.prior_draw)(jax.random.split(jax.random.key(3), 4000)))
    z_scale = (draws[:, 0] - 1.0) / 0.5
    z_mean = (draws[:, 1] + 2.0) / np.exp(draws[:, 0])
    for standard in (z_scale, z_mean):
        assert stats.kstest(standard, "norm").pvalue > 1e-4
    assert vi.from_numpyro(improper, Y).prior_draw(jax.random.key(0)) is None
