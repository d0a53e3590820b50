"""Rows B2 of what goes wrong in variational inference: discrete and improper sites, and guides of other sites."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints

import vi_toolkit as vi
from vi_toolkit.preflight import preflight

Y = np.random.default_rng(0).normal(2.0, 1.0, 50)
KEY = jax.random.key(0)
METHOD = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
FLAT = dist.ImproperUniform(constraints.real, (), ())


def mixture(y):
    with numpyro.plate("row", len(y)):
        z = numpyro.sample("z", dist.Bernoulli(0.4))
        numpyro.sample("y", dist.Normal(numpyro.sample("mean", dist.Normal(z, 1.0)), 1.0), obs=y)


def counts(y):
    b = numpyro.sample("b", dist.Poisson(2.0))
    numpyro.sample("y", dist.Normal(b + numpyro.sample("mean", dist.Normal()), 1.0), obs=y)


def two(y):
    mean = numpyro.sample("m", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(mean, numpyro.sample("s", dist.HalfNormal(2.0))), obs=y)


def optional(x, y=None):
    mean = numpyro.sample("m", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("y", dist.Normal(mean * x, 1.0), obs=y)


def twice(y):
    numpyro.sample("m", dist.Normal())
    numpyro.sample("y", dist.Normal(numpyro.sample("m", dist.Normal()), 1.0), obs=y)


def shared(y):
    scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
    numpyro.sample("y", dist.Normal(numpyro.sample("m", dist.Normal()), scale), obs=y)


def nothing(y):
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=y)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (mixture, r"latent site 'z' \(BernoulliProbs\) is discrete.*MixtureSameFamily"),
        (counts, r"latent site 'b' \(Poisson\) is discrete.*infer="),
        (optional, "argument 'y' was not given.*unknown site 'y' where data belong"),
        (twice, "at site 'm'.*unique names"),
        (shared, "'scale' is a numpyro.param, a number without a prior"),
        (nothing, r"no latent site, so there is nothing to fit"),
    ],
    ids=["discrete", "discrete without end", "y omitted", "one name twice", "param in the model", "no unknowns"],
)
def test_a_model_that_cannot_be_fitted_is_refused(model, words):
    with pytest.raises(ValueError, match=words):
        vi.from_numpyro(model, Y)


def test_a_model_without_data_is_fitted_and_said_to_have_none():
    target = vi.from_numpyro(lambda: numpyro.sample("m", dist.Normal(3.0, 2.0)))
    fit = vi.fit(KEY, target, METHOD)
    assert "no observed site and no numpyro.factor" in fit.warnings[0]
    np.testing.assert_allclose([fit.posterior.mean[0], fit.posterior.variance[0]], [3.0, 4.0], rtol=0.02)


def two_responses(x, y, response=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)
    numpyro.sample("second", dist.Normal(slope * x, 1.0), obs=response)


def test_data_left_out_under_another_name_are_suspected():
    found = preflight(KEY, vi.from_numpyro(two_responses, np.ones(3), np.ones(3)))
    assert (
        "no other site depends on the unknown 'second', and the argument(s) ['response'] are None" in found.warnings[0]
    )
    assert preflight(KEY, vi.from_numpyro(two_responses, np.ones(3), np.ones(3), np.ones(3))).warnings == ()


def flat_mean(y):
    numpyro.sample("y", dist.Normal(numpyro.sample("m", FLAT), 1.0), obs=y)


def test_an_improper_prior_with_a_proper_posterior_is_right():
    fit = vi.fit(KEY, vi.from_numpyro(flat_mean, Y), METHOD)
    np.testing.assert_allclose(fit.posterior.mean, Y.mean(), atol=0.02 / np.sqrt(50))
    np.testing.assert_allclose(fit.posterior.variance, 1 / 50, rtol=0.03)
    assert fit.warnings == ()


def unidentified(y):
    numpyro.sample("y", dist.Normal(numpyro.sample("alpha", FLAT) + numpyro.sample("beta", FLAT), 1.0), obs=y)


def unused(y):
    numpyro.sample("free", FLAT)
    numpyro.sample("y", dist.Normal(numpyro.sample("m", dist.Normal()), 1.0), obs=y)


@pytest.mark.parametrize(("model", "direction"), [(unidentified, "along alpha - beta, "), (unused, "along free, ")])
def test_an_improper_posterior_is_named_first(model, direction):
    fit = vi.fit(KEY, vi.from_numpyro(model, Y), METHOD, max_steps=20)
    assert direction in fit.warnings[0]
    assert "improper" in fit.warnings[0]


def separated(x, y):
    logits = numpyro.sample("a", FLAT) + numpyro.sample("b", FLAT) * x
    numpyro.sample("y", dist.Bernoulli(logits=logits), obs=y)


def test_a_posterior_that_is_improper_on_one_side_is_named_at_the_end():
    """Separated classes under flat priors: the scale grows with the steps."""
    x, y = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1])
    fit = vi.fit(KEY, vi.from_numpyro(separated, x, y), METHOD, max_steps=1000)
    assert any("The posterior is improper" in words and "along b (" in words for words in fit.warnings)


def guide_of(*sites, observed=None):
    def guide(y):
        location = numpyro.param("location", 0.0)
        for name, distribution in sites:
            numpyro.sample(name, distribution(location))
        if observed:
            numpyro.sample(observed, dist.Normal(location, 1.0), obs=y)

    return guide


def normal(location):
    return dist.Normal(location, 1.0)


def lognormal(location):
    return dist.LogNormal(location, 1.0)


@pytest.mark.parametrize(
    ("guide", "words"),
    [
        (guide_of(("mm", normal), ("s", lognormal)), r"does not sample \['m'\] and it samples \['mm'\]"),
        (guide_of(("m", normal)), r"does not sample \['s'\]; the model's unknowns are \['m', 's'\]"),
        (guide_of(("m", normal), ("s", lognormal), ("u", normal)), r"it samples \['u'\]"),
        (
            guide_of(("m", normal), ("s", lognormal), observed="y"),
            r"site 'y' \(Normal\) is observed, and a guide samples",
        ),
    ],
    ids=["typo", "missing site", "extra site", "observed site"],
)
def test_a_guide_of_other_sites_is_refused(guide, words):
    with pytest.raises(ValueError, match=words):
        vi.from_numpyro_guide(guide, vi.from_numpyro(two, Y))


class OwnGuide:
    def __call__(self, y):
        guide_of(("m", normal), ("s", lognormal))(y)


def test_a_class_in_place_of_a_guide_is_told_apart(without_type_checks):
    with pytest.raises(TypeError, match=r"got the class OwnGuide itself. Make an instance"):
        vi.from_numpyro_guide(OwnGuide, vi.from_numpyro(two, Y))
    assert vi.from_numpyro_guide(OwnGuide(), vi.from_numpyro(two, Y)).model.target.dim == 2
    with pytest.raises(TypeError, match="guide: expected a Guide, got the class FullRankNormal itself"):
        vi.gradient(vi.FullRankNormal, vi.ReverseKL())


def test_a_parameter_of_a_guide_that_is_called_as_an_unknown_is_refused():
    def guide(y):
        numpyro.sample("m", dist.Normal(numpyro.param("m", jnp.zeros(())), 1.0))

    with pytest.raises(ValueError, match=r"guide: NumPyro could not run it at site 'm'.*unique names"):
        vi.from_numpyro_guide(guide, vi.from_numpyro(flat_mean, Y))
