"""The prior convexly updated: exact on normal hierarchies, and the families and parameters that it updates."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import start

EFFECTS, SES, TAU = np.array([3.0, 1.0, -0.5, 2.0]), np.array([0.7, 1.0, 0.5, 2.0]), 1.5


@pytest.mark.slow
def test_it_has_the_posterior_of_random_effects():
    exact = vi.exact.random_effects(EFFECTS, SES, tau=TAU, prior_sd=2.0)
    guide = vi.automatic_structured(exact.target)
    fit = vi.fit(jax.random.key(0), exact.target, vi.gradient(guide, vi.ReverseKL(), num_draws=8))
    # theta_j | mu, y ~ N(b_j y_j + (1 - b_j) mu, b_j se_j^2), b_j = tau^2 / (tau^2 + se_j^2)
    share = TAU**2 / (TAU**2 + SES**2)
    weight = jax.nn.sigmoid(fit.params["theta_loc_prior_weight"])
    np.testing.assert_allclose(weight, 1 - share, atol=0.03)
    np.testing.assert_allclose(fit.params["theta_loc_own"], EFFECTS, atol=0.1)
    scale_weight = jax.nn.sigmoid(fit.params["theta_scale_prior_weight"])
    scale = scale_weight * TAU + (1 - scale_weight) * jnp.exp(fit.params["theta_scale_own"])
    np.testing.assert_allclose(scale, np.sqrt(share) * SES, rtol=0.02)
    draws = jit(lambda: fit.posterior.sample(jax.random.key(1), (50,)))()
    log_weights = jit(lambda z: jax.vmap(exact.target.log_density)(z) - fit.posterior.log_prob(z))(draws)
    assert abs(float(log_weights.mean()) - exact.log_evidence) < 0.02  # the gap is the divergence from the posterior


def rich(y):
    """One prior of each kind: scalar, by plate, vector, matrix, transformed, uniform, simplex."""
    scale = numpyro.sample("scale", dist.Gamma(2.0, 1.0))
    numpyro.sample("chance", dist.Uniform(-1.0, 2.0))
    numpyro.sample("shares", dist.Dirichlet(jnp.array([1.0, 2.0, 3.0])))
    numpyro.sample("level", dist.LogNormal(0.0, scale))
    numpyro.sample(
        "vector", dist.MultivariateNormal(jnp.zeros(2), covariance_matrix=jnp.array([[1.0, 0.3], [0.3, 2.0]]))
    )
    numpyro.sample("moved", dist.TransformedDistribution(dist.Normal(0.0, scale), dist.transforms.ExpTransform()))
    with numpyro.plate("row", len(y)):
        effect = numpyro.sample("effect", dist.Normal(jnp.zeros(2), scale).to_event(1))
        numpyro.sample("y", dist.Normal(effect.sum(-1), 1.0), obs=y)


@pytest.mark.slow
@pytest.mark.any_precision
def test_every_parameter_of_every_prior_is_updated():
    target = vi.from_numpyro(rich, np.ones(4))
    guide = vi.automatic_structured(target)
    params = guide.updated.init(jax.random.key(0), start(target.dim))
    shapes = {name.removesuffix("_own"): leaf.shape for name, leaf in params.items() if name.endswith("_own")}
    assert shapes == {
        "scale_concentration": (), "scale_rate": (), "chance_concentration1": (), "chance_concentration0": (),
        "shares_concentration": (3,), "level_loc": (), "level_scale": (), "vector_loc": (2,), "vector_scale_tril": (3,),
        "moved_loc": (), "moved_scale": (), "effect_loc": (4, 2), "effect_scale": (4, 2),
    }  # fmt: skip
    weights = {name: leaf.shape for name, leaf in params.items() if name.endswith("_prior_weight")}
    assert weights["vector_scale_tril_prior_weight"] == (1, 1)  # one for the matrix, which stays a Cholesky factor
    assert weights["effect_loc_prior_weight"] == (4, 2)

    @jit
    def at_draws_of_the_prior(weight, key):
        chosen = {n: jnp.full_like(x, weight) if n.endswith("_weight") else x + 0.3 for n, x in params.items()}
        z = jax.vmap(target.prior_draw)(jax.random.split(key, 3))
        likelihood = jax.vmap(lambda z: target.log_likelihood(z)["y"].sum())(z)
        moved = z.at[:, target.sites[0].start].add(1.0)  # another scale, for the sites that depend on it
        q = guide.distribution(chosen)
        return q.log_prob(z), q.log_prob(moved), jax.vmap(target.log_density)(z) - likelihood

    # with all the weight on the prior it is the prior
    log_q, _, log_prior = at_draws_of_the_prior(30.0, jax.random.key(1))
    tolerance = 1e-3 if log_q.dtype == jnp.float32 else 1e-8
    np.testing.assert_allclose(log_q, log_prior, rtol=tolerance, atol=tolerance)
    # with none of it the sites are independent: where the first is moved, log q changes by the same whatever the others
    log_q, moved, _ = at_draws_of_the_prior(-30.0, jax.random.key(1))
    own = jnp.exp(params["scale_concentration_own"] + 0.3), jnp.exp(params["scale_rate_own"] + 0.3)
    scale = dist.Gamma(*own)
    z = jax.vmap(target.prior_draw)(jax.random.split(jax.random.key(1), 3))[:, target.sites[0].start]
    expected = scale.log_prob(jnp.exp(z + 1.0)) + 1.0 - scale.log_prob(jnp.exp(z))
    np.testing.assert_allclose(moved - log_q, expected, rtol=20 * tolerance, atol=20 * tolerance)


def test_it_begins_at_the_start():
    target = vi.exact.random_effects(EFFECTS, SES, tau=TAU, prior_sd=2.0).target
    guide = vi.automatic_structured(target)
    begin = start(target.dim)._replace(location=jnp.array([20.0, 30.0, 10.0, -5.0, 0.0]))
    params = jit(guide.init)(jax.random.key(0), begin)
    draws = jit(lambda key: guide.distribution(params).sample(key, (500,)))(jax.random.key(1))
    np.testing.assert_allclose(draws.mean(0), begin.location, atol=2.5)
    np.testing.assert_allclose(params["theta_loc_prior_weight"], 0.0, atol=1e-12)


def improper(y):
    x = numpyro.sample("x", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def correlations(y):
    factor = numpyro.sample("factor", dist.LKJCholesky(2, 1.0))
    numpyro.sample("y", dist.Normal(factor.sum(), 1.0), obs=y)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (improper, r"prior of site 'x' \(ImproperUniform\) has no parameters.*StructuredNormal"),
        (correlations, r"prior of site 'factor' \(LKJCholesky\) has no parameters that could be updated"),
    ],
)
def test_priors_that_cannot_be_updated(model, words):
    with pytest.raises(ValueError, match=words):
        vi.automatic_structured(vi.from_numpyro(model, 1.0))


def test_equal_models_have_equal_guides():
    target = vi.exact.random_effects(EFFECTS, SES, tau=TAU, prior_sd=2.0).target
    guide = vi.automatic_structured(target)
    assert guide == vi.automatic_structured(target)
    assert hash(guide) == hash(vi.automatic_structured(target))
    assert pickle.loads(pickle.dumps(guide)) == guide
    with pytest.raises(ValueError, match="made for a model of 5 unconstrained coordinates, the target has 2"):
        guide.check(2)
    with pytest.raises(TypeError, match="target: expected a target of a NumPyro model"):
        vi.automatic_structured(vi.from_log_density(lambda z: -jnp.sum(z**2), dim=1))
