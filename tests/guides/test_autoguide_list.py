"""AutoGuideList as a product of families: block-diagonal optima, and lists that do not fit the model."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import block
from numpyro.infer import autoguide

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import random_params

FACTOR = np.array([[2.0, 0.6, 0.5], [0.6, 1.0, -0.4], [0.5, -0.4, 1.5]])
MEAN = np.array([1.0, -2.0, 0.5])
PRECISION = FACTOR + np.eye(3) / 100  # with the priors


def model(mean):
    """Three correlated unknowns; the middle one is a site of its own."""
    outer = numpyro.sample("outer", dist.Normal(0.0, 10.0))
    inner = numpyro.sample("inner", dist.Normal(0.0, 10.0))
    last = numpyro.sample("last", dist.Normal(0.0, 10.0))
    x = jnp.stack([outer, inner, last]) - mean
    numpyro.factor("density", -0.5 * x @ jnp.asarray(FACTOR) @ x)


def improper(mean):
    """As it is hidden from the part, NumPyro would draw the first site from its prior, which has no draws."""
    numpyro.sample("outer", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("inner", dist.Normal(0.0, 1.0))


def a_list(*parts):
    guides = autoguide.AutoGuideList(model)
    for part in parts:
        guides.append(part)
    return guides


def two_parts():
    return a_list(
        autoguide.AutoMultivariateNormal(block(model, hide=["inner"])),
        autoguide.AutoNormal(block(model, expose=["inner"]), init_scale=0.3),
    )


@pytest.mark.slow
def test_the_optimum_has_two_blocks():
    """The best normal with independent blocks has the blocks of the precision."""
    target = vi.from_numpyro(model, MEAN)
    guide = vi.from_autoguide(two_parts(), target)
    assert guide.places == ((0, 2), (1,))
    fit = vi.fit(jax.random.key(0), target, vi.gradient(guide, vi.ReverseKL(), num_draws=8))
    draws = np.asarray(jit(lambda: fit.posterior.sample(jax.random.key(9), (20_000,)))())
    np.testing.assert_allclose(draws.mean(0), np.linalg.solve(PRECISION, FACTOR @ MEAN), atol=0.06)
    expected = np.zeros((3, 3))
    expected[np.ix_([0, 2], [0, 2])] = np.linalg.inv(PRECISION[np.ix_([0, 2], [0, 2])])
    expected[1, 1] = 1 / PRECISION[1, 1]
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.05)


@pytest.mark.any_precision
def test_the_density_is_the_product():
    target = vi.from_numpyro(model, MEAN)
    guide = vi.from_autoguide(two_parts(), target)
    params = random_params(guide, 3)
    q = guide.distribution(params)
    z = jax.random.normal(jax.random.key(0), (5, 3))
    pair, one = (part.distribution(own) for part, own in zip(guide.parts, params, strict=True))
    np.testing.assert_allclose(q.log_prob(z), pair.log_prob(z[:, [0, 2]]) + one.log_prob(z[:, [1]]), rtol=1e-5)
    # the second part's share of the draws, by its own mean
    location = params[1]["_location"] + jnp.exp(params[1]["_log_scale"]) * params[1]["auto_loc"]
    draws = jit(lambda key: q.sample(key, (4000,)))(jax.random.key(1))
    spread = float(jnp.std(draws[:, 1]))
    assert abs(float(draws[:, 1].mean() - location[0])) < 5 * spread / np.sqrt(4000)
    moved = guide.move(params, jax.tree.map(jnp.zeros_like, params))
    jax.tree.map(np.testing.assert_array_equal, moved, params)


def test_auto_normal_is_the_mean_field_with_its_own_scale():
    narrow, wide = (vi.from_autoguide(autoguide.AutoNormal(model, init_scale=scale)) for scale in (0.01, 0.5))
    values = []
    for guide in (narrow, wide):
        params = random_params(guide, 3, spread=0.0)
        values.append(float(guide.distribution(params).log_prob(params["_location"])))
    np.testing.assert_allclose(values[0] - values[1], 3 * np.log(0.5 / 0.01), rtol=1e-9)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            lambda: [autoguide.AutoNormal(block(model, expose=["inner"]))],
            r"no part stands for \['outer', 'last'\].*expose=",
        ),
        (
            lambda: [autoguide.AutoNormal(model), autoguide.AutoNormal(block(model, expose=["last"]))],
            r"several stand for \['last'\]",
        ),
        (lambda: [autoguide.AutoNormal(model), autoguide.AutoNormal(lambda mean: None)], r"parts \[1\] stand for none"),
        (
            lambda: [
                autoguide.AutoNormal(block(model, hide=["last"])),
                autoguide.AutoDelta(block(model, expose=["last"])),
            ],
            "AutoDelta cannot be used here: it is a point",
        ),
        (
            lambda: [autoguide.AutoNormal(block(improper, expose=["inner"]))],
            "part 0 of the AutoGuideList: its model could not be run",
        ),
        (lambda: [lambda mean: None], "part 0 of the AutoGuideList is function.*from_numpyro_guide"),
    ],
)
def test_lists_that_do_not_fit(parts, words):
    with pytest.raises(ValueError, match=words):
        vi.from_autoguide(a_list(*parts()), vi.from_numpyro(model, MEAN))


def test_a_list_needs_the_target():
    with pytest.raises(TypeError, match=r"target: an AutoGuideList needs the target.*from_autoguide\(guide, target\)"):
        vi.from_autoguide(two_parts())
    guide = vi.from_autoguide(two_parts(), vi.from_numpyro(model, MEAN))
    with pytest.raises(ValueError, match="its parts stand for 3 unconstrained coordinates, the target has 2"):
        guide.check(2)
