"""Where a flow begins, its settings, and that it behaves as every part of the toolkit does."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations, jit
from tests.registry import FLOWS, random_params, start
from vi_toolkit.guides.full_rank_normal import scale_tril

DTYPE = jnp.result_type(float)
MEAN, COVARIANCE = np.array([1.0, -2.0]), np.array([[2.0, 0.9], [0.9, 1.0]])
# log q against the normal's, within two standard deviations: the identity, or nearly
CLOSE = {"block autoregressive": 0.1, "block autoregressive, scoring": 0.1}


def normal():
    return dist.MultivariateNormal(jnp.asarray(MEAN, DTYPE), jnp.asarray(COVARIANCE, DTYPE))


def log_density(z):
    return normal().log_prob(z)


TARGET = vi.from_log_density(log_density, dim=2)


@pytest.mark.any_precision
@pytest.mark.parametrize("name", FLOWS)
def test_it_begins_at_its_normal(name):
    """The same density; and where the posterior is that normal, the same ELBO: 0."""
    flow, here = FLOWS[name](), start(2)
    rounding = 1e-5 if jnp.float32 == DTYPE else 1e-12

    @jit
    def begun(key):
        params = flow.init(key, here), flow.start_at(key, normal())
        points = normal().sample(key, (200,))
        scores = [flow.distribution(p).log_prob(points) for p in params]
        base = flow.base.distribution(params[0]["base"]).log_prob(points)
        draws, shares, log_q = flow.draw(key, params[1], 1000)
        elbo = shares @ (normal().log_prob(draws) - log_q)
        return params, points, scores, (base, normal().log_prob(points)), elbo

    params, points, scores, expected, elbo = begun(jax.random.key(0))
    near = np.linalg.norm(np.linalg.solve(np.linalg.cholesky(COVARIANCE), (points - MEAN).T), axis=0) < 2
    np.testing.assert_allclose(scores[1][near], expected[1][near], atol=CLOSE.get(name, 10 * rounding))
    np.testing.assert_allclose(elbo, 0.0, atol=0.003 if name in CLOSE else 10 * rounding)
    if name not in CLOSE:
        np.testing.assert_allclose(scores[0], expected[0], rtol=rounding, atol=10 * rounding)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {scores[0].dtype} == {DTYPE}
    np.testing.assert_allclose(scale_tril(params[1]["base"]) @ scale_tril(params[1]["base"]).T, COVARIANCE, rtol=1e-5)


def test_noise_is_pushed_through():
    flow = FLOWS["affine coupling"]()
    params = random_params(flow, spread=0.2)
    push = jit(lambda noise: flow.draw(jax.random.key(0), params, 4, noise=lambda *_: noise).points)
    noise = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    f = flow.bijection(params["flow"], dim=2)
    expected = [params["base"]["location"] + scale_tril(params["base"]) @ f.transform(e) for e in noise]
    np.testing.assert_allclose(push(noise), expected, rtol=1e-10)


def test_steps():
    """A zero step changes nothing; a step moves the base in its own scale, and the layers by addition."""
    flow = FLOWS["spline coupling"]()
    params = random_params(flow)
    still, step = (jax.tree.map(lambda leaf, x=x: jnp.full_like(leaf, x), params) for x in (0.0, 0.1))
    moved = flow.move(params, still)
    for leaf, same in zip(jax.tree.leaves(moved["flow"]), jax.tree.leaves(params["flow"]), strict=True):
        np.testing.assert_array_equal(leaf, same)
    moved, base = flow.move(params, step), vi.FullRankNormal().move(params["base"], step["base"])
    np.testing.assert_allclose(moved["flow"][0], params["flow"][0] + 0.1, rtol=1e-12)
    np.testing.assert_allclose(moved["base"]["lower"], base["lower"], rtol=1e-12)
    assert 0 < flow.learning_rate(10_000) < flow.learning_rate(2) < 0.1


@pytest.mark.any_precision
def test_a_part_as_others(tmp_path):
    """Equal when built twice, one program, pickled, saved and read; another key, other networks."""
    name = "affine coupling"
    flow, objective = FLOWS[name](), vi.ReverseKL()

    def fitted(flow):
        return vi.fit(jax.random.key(0), TARGET, vi.gradient(flow, objective, num_draws=4), max_steps=20)

    fit = fitted(flow)
    compiled, again = count_compilations(lambda: fitted(FLOWS[name]()))
    assert compiled == 0
    points = jnp.zeros((1, 2))
    vi.save(fit, tmp_path / "fit.npz")
    for copy in (again, pickle.loads(pickle.dumps(fit)), vi.load(tmp_path / "fit.npz", TARGET)):
        assert copy.method.guide == flow
        np.testing.assert_array_equal(copy.posterior.log_prob(points), fit.posterior.log_prob(points))
    across = jax.jit(lambda q: q.log_prob(points))(fit.posterior)  # a distribution crosses jit
    np.testing.assert_allclose(across, fit.posterior.log_prob(points), rtol=1e-5)
    one, other = (jit(flow.init)(jax.random.key(seed), start(2))["flow"] for seed in (0, 1))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_settings_make_different_flows():
    flows = [build() for build in FLOWS.values()]
    assert len(set(flows)) == len(flows)
    for flow, name in zip(flows, FLOWS, strict=True):
        assert hash(flow) == hash(FLOWS[name]())
        assert pickle.loads(pickle.dumps(flow)) == flow


def test_a_diagonal_base():
    flow = vi.AffineCouplingFlow(num_layers=2, width=4, base=vi.MeanFieldNormal())
    independent = dist.Normal(jnp.asarray(MEAN), jnp.array([0.5, 2.0])).to_event(1)
    points = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
    score = jit(lambda points: flow.distribution(flow.start_at(jax.random.key(0), independent)).log_prob(points))
    np.testing.assert_allclose(score(points), independent.log_prob(points), rtol=1e-12)
    with pytest.raises(ValueError, match="MultivariateNormal has correlations, which MeanFieldNormal"):
        flow.start_at(jax.random.key(0), normal())


def test_it_begins_at_a_low_rank_normal():
    low = dist.LowRankMultivariateNormal(jnp.zeros(2), jnp.array([[1.0], [-0.5]]), jnp.array([0.3, 0.7]))
    params = FLOWS["affine coupling"]().start_at(jax.random.key(0), low)
    factor = scale_tril(params["base"])
    np.testing.assert_allclose(factor @ factor.T, low.covariance_matrix, rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: vi.AffineCouplingFlow(num_layers=0), ValueError, "num_layers: expected at least 1"),
        (lambda: vi.AffineCouplingFlow(width=2.5), TypeError, "width: expected a whole number"),
        (lambda: vi.SplineCouplingFlow(num_knots=0), ValueError, "num_knots: expected at least 1"),
        (lambda: vi.SplineCouplingFlow(bound=-1.0), ValueError, "bound: expected a finite number above 0"),
        (lambda: vi.AutoregressiveFlow(cheap="draw"), ValueError, 'cheap: expected "sample" or "score", got \'draw\''),
        (lambda: vi.BlockAutoregressiveFlow(cheap="both"), ValueError, 'cheap: expected "sample" or "score"'),
        (lambda: vi.TriangularSplineFlow(base=vi.StudentT()), TypeError, "base: expected a FullRankNormal or"),
        (lambda: vi.TriangularSplineFlow(base=vi.FullRankNormal), TypeError, "got the class FullRankNormal itself"),
        (
            lambda: vi.AutoregressiveFlow().check(1),
            ValueError,
            r"AutoregressiveFlow .* Use vi.TriangularSplineFlow\(\)",
        ),
        (lambda: vi.SplineCouplingFlow().check(1), ValueError, "needs at least 2, got a target of 1"),
        (
            lambda: vi.AffineCouplingFlow().start_at(jax.random.key(0), dist.Gumbel(0.0, 1.0)),
            TypeError,
            "distribution: expected a NumPyro MultivariateNormal",
        ),
        (
            lambda: vi.AffineCouplingFlow().start_at(jax.random.key(0), normal().expand([3])),
            ValueError,
            "expected one normal, got a batch of shape",
        ),
    ],
)
def test_what_makes_no_flow(without_type_checks, build, error, words):
    with pytest.raises(error, match=words):
        build()
