"""Guide functions written for NumPyro: their ELBO is NumPyro's, their density integrates, and misfits are refused."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.infer import Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

import vi_toolkit as vi
from tests.compilations import count_compilations, jit
from tests.registry import start as begin
from vi_toolkit.guides.guide import Guide

X, Y = np.array([1.0, 2.0, 3.0]), np.array([0.4, 0.1, 1.0])
POSITIVE = constraints.positive


def model(x, y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 3.0))
    top = numpyro.sample("top", dist.HalfNormal(1.0))
    share = numpyro.sample("share", dist.Uniform(0.0, top))
    with numpyro.plate("row", len(y)):
        effect = numpyro.sample("effect", dist.Normal(mean, 1.0))
        numpyro.sample("y", dist.Normal(effect * x + share, 1.0), obs=y)


def guide(x, y):
    """In another order than the model, one site given another, and a small network of the data."""
    top = numpyro.sample("top", dist.LogNormal(numpyro.param("m", 0.1), numpyro.param("s", 0.3, constraint=POSITIVE)))
    weights = numpyro.param("net", {"w": jnp.array([0.1, 0.2]), "b": jnp.array(0.3)})
    with numpyro.plate("row", len(y)):
        numpyro.sample("effect", dist.Normal(jnp.tanh(weights["w"][0] * x + weights["w"][1] * y) * top, 0.5))
    numpyro.sample("mean", dist.Normal(weights["b"] + 0.3 * jnp.log(top), 0.7))
    logit = dist.Normal(0.3, numpyro.param("a", 2.0, constraint=POSITIVE))
    stretch = dist.transforms.AffineTransform(0.0, top, domain=constraints.unit_interval)
    numpyro.sample("share", dist.TransformedDistribution(logit, [dist.transforms.SigmoidTransform(), stretch]))


def made():
    return vi.from_numpyro_guide(guide, vi.from_numpyro(model, X, Y))


PARAMS = {
    "m": jnp.array(0.2),
    "s": jnp.log(jnp.array(0.4)),
    "net": {"w": jnp.array([0.3, -0.2]), "b": jnp.array(0.5)},
    "a": jnp.log(jnp.array(1.7)),
}


def test_it_starts_where_the_function_says():
    start = made().init(jax.random.key(0), begin(6))
    assert set(start) == {"m", "s", "net", "a"}
    np.testing.assert_allclose(start["s"], np.log(0.3))
    np.testing.assert_allclose(start["net"]["w"], [0.1, 0.2])
    assert {leaf.dtype for leaf in jax.tree.leaves(start)} == {jnp.result_type(float)}


def test_the_elbo_and_its_gradient_are_numpyros():
    """Log weights of as many draws on both sides, at the same parameters; gradients flow through the draws."""
    num_draws, num_keys = 1000, 20
    target, ours = vi.from_numpyro(model, X, Y), made()
    elbo = Trace_ELBO(num_particles=num_draws)
    positive = ("s", "a")

    def theirs(params, key):
        values = {name: jnp.exp(value) if name in positive else value for name, value in params.items()}
        return elbo.loss(key, values, model, guide, X, Y)

    def mine(params, key):
        return vi.ReverseKL(vi.estimators.reparameterised).loss(key, params, ours, target, num_draws)[0]

    def all_keys(function, seed):
        keys = jax.random.split(jax.random.key(seed), num_keys)
        values, slopes = jit(lambda keys: jax.lax.map(lambda key: jax.value_and_grad(function)(PARAMS, key), keys))(
            keys
        )
        leaves = [values, *jax.tree.leaves(slopes)]
        return np.concatenate([np.asarray(leaf).reshape(num_keys, -1) for leaf in leaves], axis=1)

    one, other = all_keys(mine, 0), all_keys(theirs, 1)
    errors = np.sqrt((one.var(0, ddof=1) + other.var(0, ddof=1)) / num_keys)
    np.testing.assert_array_less(np.abs(one.mean(0) - other.mean(0)), 5 * errors)


def one_site(y):
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    numpyro.sample("y", dist.Poisson(rate), obs=y)


def gamma_guide(y):
    shape = numpyro.param("shape", 1.0, constraint=POSITIVE)
    numpyro.sample("rate", dist.Gamma(shape, numpyro.param("rate_of_rate", 1.0, constraint=POSITIVE)))


@pytest.mark.any_precision
def test_the_density_on_the_real_line():
    """q(z) for z = log rate is the gamma density times rate; draws and density agree."""
    target = vi.from_numpyro(one_site, 3)
    q = vi.from_numpyro_guide(gamma_guide, target).distribution({"shape": jnp.log(5.0), "rate_of_rate": jnp.log(2.0)})
    z = jnp.linspace(-6.0, 4.0, 2001)[:, None]
    log_q = jit(q.log_prob)(z)
    expected = dist.Gamma(5.0, 2.0).log_prob(jnp.exp(z[:, 0])) + z[:, 0]
    np.testing.assert_allclose(log_q, expected, rtol=2e-5 if z.dtype == jnp.float32 else 1e-12)
    draws = jit(lambda key: q.sample(key, (100, 50)))(jax.random.key(0))
    assert (draws.shape, draws.dtype) == ((100, 50, 1), z.dtype)
    rates = np.exp(np.asarray(draws)).reshape(-1)
    assert abs(rates.mean() - 2.5) < 5 * np.sqrt(5.0 / 4.0 / 5000)
    assert q.sample(jax.random.key(1)).shape == (1,)
    assert jit(q.log_prob)(z[0]).shape == ()


@pytest.mark.slow
def test_the_optimum_is_the_posterior():
    """Gamma prior, Poisson count: Gamma(2 + 3, 1 + 1), far from where the guide starts."""
    target = vi.from_numpyro(one_site, 3)
    method = vi.gradient(vi.from_numpyro_guide(gamma_guide, target), vi.ReverseKL(), num_draws=8)
    fit = vi.fit(jax.random.key(0), target, method, max_steps=2000)
    assert abs(float(jnp.exp(fit.params["shape"])) - 5.0) < 0.1
    assert abs(float(jnp.exp(fit.params["rate_of_rate"])) - 2.0) < 0.05


def test_equal_guides_share_a_program_and_survive_pickling():
    target, key = vi.from_numpyro(model, X, Y), jax.random.key(0)
    evaluate = jit(lambda guide, params, key: guide.distribution(params).sample(key), static_argnums=0)
    first = evaluate(made(), PARAMS, key)
    again = vi.from_numpyro_guide(guide, vi.from_numpyro(model, X.copy(), Y.copy()))
    compiled, second = count_compilations(lambda: evaluate(again, PARAMS, key))
    assert compiled == 0
    np.testing.assert_array_equal(first, second)
    assert again == made()
    assert again != vi.from_numpyro_guide(guide, vi.from_numpyro(model, X, Y + 1.0))
    copy = pickle.loads(pickle.dumps(again))
    assert isinstance(copy, Guide)
    np.testing.assert_array_equal(evaluate(copy, PARAMS, key), first)
    with pytest.raises(ValueError, match=r"made for a model of 6 unconstrained coordinates, the target has 2"):
        again.check(2)
    again.check(target.dim)


def guide_of(*sites, scale=None):
    """A guide with a parameter and the given sites."""

    def function(y):
        numpyro.param("p", 0.0)
        for name, distribution, *options in sites:
            numpyro.sample(name, distribution, **(options[0] if options else {}))

    return function if scale is None else numpyro.handlers.scale(function, scale)


def no_parameters(y):
    numpyro.sample("rate", dist.Gamma(1.0, 1.0))


def subsampled(y):
    numpyro.param("p", 0.0)
    numpyro.sample("rate", dist.Gamma(1.0, 1.0))
    with numpyro.plate("part", 4, subsample_size=2):
        pass


RATE = ("rate", dist.Gamma(1.0, 1.0))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_parameters, "no numpyro.param, so there is nothing to fit"),
        (subsampled, "plate 'part' takes a part of its rows"),
        (guide_of(), r"does not sample \['rate'\]; the model's unknowns are \['rate'\]"),
        (guide_of(RATE, ("more", dist.Normal())), r"it samples \['more'\]"),
        (guide_of(("rat", dist.Gamma(1.0))), r"does not sample \['rate'\] and it samples \['rat'\]"),
        (guide_of(("rate", dist.Gamma(jnp.ones(2)))), r"'rate' has shape \(2,\), in the model it has shape \(\)"),
        (guide_of(("rate", dist.Normal())), "'rate' has the support Real.*, in the model it has .*Distribution"),
        (guide_of(("rate", dist.Beta(1.0, 1.0))), "'rate' has the support"),
        (guide_of(("rate", dist.Delta(1.0))), r"'rate' \(Delta\) is a point, which has no density"),
        (guide_of(("rate", dist.Poisson(2.0))), r"'rate' \(Poisson\) is discrete"),
        (guide_of(("rate", dist.VonMises(0.0, 1.0))), r"'rate' \(VonMises\) is not reparameterised"),
        (guide_of(("rate", dist.Gamma(1.0).mask(jnp.array(True)))), r"'rate' \(Gamma\) is scaled or masked"),
        (guide_of(RATE, scale=2.0), r"'rate' \(Gamma\) is scaled or masked"),
        (guide_of(("rate", dist.Gamma(1.0), {"obs": 1.0})), r"'rate' \(Gamma\) is observed"),
        (guide_of(RATE, ("u", dist.Normal(), {"infer": {"is_auxiliary": True}})), r"'u' \(Normal\) is auxiliary"),
    ],
)
def test_a_guide_that_does_not_fit_the_model(function, words):
    with pytest.raises(ValueError, match=words):
        vi.from_numpyro_guide(function, vi.from_numpyro(one_site, 3))


def test_arguments_of_the_wrong_kind(without_type_checks):
    target = vi.from_numpyro(one_site, 3)
    with pytest.raises(TypeError, match="guide: expected a NumPyro guide function, got int 3"):
        vi.from_numpyro_guide(3, target)
    with pytest.raises(TypeError, match=r"AutoNormal is an automatic guide; use vi.from_autoguide\(guide\)"):
        vi.from_numpyro_guide(AutoNormal(one_site), target)
    with pytest.raises(TypeError, match=r"does not take the model's arguments .*def guide\(\*args"):
        vi.from_numpyro_guide(lambda: None, target)
    with pytest.raises(TypeError, match="target: expected a target of a NumPyro model"):
        vi.from_numpyro_guide(gamma_guide, vi.from_log_density(lambda z: -jnp.sum(z**2), dim=1))
