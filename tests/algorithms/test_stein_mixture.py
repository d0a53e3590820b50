"""Stein mixtures: the step by quadrature, one component against reverse KL, two on two modes, and the density."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import logsumexp

import vi_toolkit as vi
from tests.compilations import jit

MEAN, PRECISION = jnp.array([1.0, -0.5]), jnp.array([[2.0, 0.7], [0.7, 1.0]])
TARGET = vi.from_log_density(lambda z: 7.0 - 0.5 * (z - MEAN) @ PRECISION @ (z - MEAN), dim=2)
LINE = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2) + jnp.sin(2 * z[0]), dim=1)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = jnp.asarray(WEIGHTS / WEIGHTS.sum())
FLAT = jnp.array([[0.4, -0.3], [-0.9, 0.2], [0.1, 0.5]])  # locations and log scales of three normals of the line


def climb(flat, j, centre, scale):
    """L_j by quadrature, with the density of the mixture held fixed: E_{q_j}[log p~(z) - log q(z)]."""
    x = flat[j, 0] + jnp.exp(flat[j, 1]) * jnp.asarray(NODES)
    m, sd = jax.lax.stop_gradient((flat[:, 0], jnp.exp(flat[:, 1])))
    logs = -0.5 * ((x[:, None] - m) / sd) ** 2 - jnp.log(sd) - 0.5 * jnp.log(2 * jnp.pi)
    log_q = jax.nn.logsumexp(logs, axis=1) - jnp.log(len(flat))
    log_p = jax.vmap(LINE.log_density)((centre + scale * x)[:, None])
    return WEIGHTS @ (log_p - log_q)


def test_a_step_is_the_equation():
    """With steps of size one: the mean step over many keys is the force, by quadrature."""
    h, repulsion, centre, scale = 0.9, 2.0, 0.3, 1.7
    method = vi.stein_mixture(
        vi.MeanFieldNormal(), 3, vi.kernels.RBF(h), optax.sgd(1.0), num_draws=2, repulsion=repulsion
    )
    state, _ = jit(method.init)(jax.random.key(0), LINE, jnp.linspace(-1.0, 1.0, 8)[:, None])
    optimizer = jax.tree.map(lambda leaf: FLAT if leaf.shape == FLAT.shape else leaf, state.optimizer)
    state = state._replace(optimizer=optimizer, centre=jnp.array([centre]), scale=jnp.array([scale]))

    def moved(key):
        after, facts = method.step(key, state, LINE)
        return method.latest(after)["components"], facts["elbo"]

    after, elbo = jit(jax.vmap(moved))(jax.random.split(jax.random.key(1), 3000))
    steps = np.concatenate([after["location"], after["log_scale"]], axis=-1) - np.asarray(FLAT)
    w, slopes = np.asarray(FLAT), [jax.grad(climb)(FLAT, j, centre, scale)[j] for j in range(3)]
    expected = np.zeros((3, 2))
    for k in range(3):
        for j in range(3):
            near = np.exp(-np.sum((w[j] - w[k]) ** 2) / (2 * h**2))
            expected[k] += near * np.asarray(slopes[j]) + repulsion / 3 * near * (w[k] - w[j]) / h**2
    assert np.all(np.abs(steps.mean(0) - expected) < 5 * steps.std(0) / np.sqrt(3000))
    assert np.all(np.abs(expected) > 0.02)
    exact = np.mean([climb(FLAT, j, centre, scale) for j in range(3)]) + np.log(scale)
    assert abs(elbo.mean() - exact) < 5 * elbo.std() / np.sqrt(3000)


def test_one_component_is_reverse_kl():
    fit = vi.fit(jax.random.key(0), TARGET, vi.stein_mixture(vi.MeanFieldNormal(), 1))
    assert fit.status.name == "CONVERGED"
    np.testing.assert_allclose(fit.posterior.mean, MEAN, atol=0.015)
    np.testing.assert_allclose(fit.posterior.variance, 1 / np.diag(PRECISION), rtol=0.02)
    best = 7.0 + np.log(2 * np.pi) - 0.5 * np.sum(np.log(np.diag(PRECISION)))  # log Z less the divergence left
    elbo = fit.history["elbo"][-1000:]
    assert abs(elbo.mean() - best) < 0.01
    assert fit.num_gradients == pytest.approx(400 + fit.num_steps * 8 * (1 + 1 / 3))


def test_two_components_find_two_modes(tmp_path):
    exact = vi.zoo.two_modes(separation=8.0, dim=2)
    fit = vi.fit(jax.random.key(0), exact.target, vi.stein_mixture(vi.MeanFieldNormal(), 2))
    assert fit.status.name == "CONVERGED"
    params = fit.params
    locations = np.sort(params["centre"] + params["scale"] * params["components"]["location"], axis=0)
    np.testing.assert_allclose(locations, [[-4.0, 0.0], [4.0, 0.0]], atol=0.1)
    np.testing.assert_allclose(params["scale"] * np.exp(params["components"]["log_scale"]), 1.0, rtol=0.05)
    masses = exact.mode_shares(fit.posterior.sample(jax.random.key(1), (4000,))).mean(0)
    assert np.all(np.abs(masses - 0.5) < 5 * 0.5 / np.sqrt(4000))
    diagnosis = vi.diagnose(jax.random.key(2), fit, reference=exact, num_draws=1000)
    assert -0.02 < diagnosis.elbo <= 0.0  # log Z is zero
    vi.save(fit, tmp_path / "fit.npz")
    loaded = vi.load(tmp_path / "fit.npz", exact.target)
    assert loaded.method == fit.method
    further = [vi.resume(each, max_steps=30).params["components"]["location"] for each in (fit, loaded)]
    np.testing.assert_array_equal(*further)
    tree = vi.to_datatree(jax.random.key(3), fit, num_draws=100)
    assert set(np.sign(tree["posterior"]["z"].values[0, :, 0])) == {-1.0, 1.0}


def test_the_posterior_is_the_mixture_of_the_guide():
    guide, rng = vi.FullRankNormal(), np.random.default_rng(0)
    components = {
        "location": jnp.asarray(rng.normal(size=(3, 2))),
        "log_diagonal": jnp.asarray(0.3 * rng.normal(size=(3, 2))),
        "lower": jnp.asarray(rng.normal(size=(3, 2, 2))),
    }
    centre, scale = np.array([5.0, -2.0]), np.array([0.5, 3.0])
    params = {"components": components, "centre": jnp.asarray(centre), "scale": jnp.asarray(scale)}
    q = vi.stein_mixture(guide, 3).posterior(params)
    parts = [guide.distribution(jax.tree.map(lambda leaf, k=k: leaf[k], components)) for k in range(3)]
    z = centre + rng.normal(size=(4, 2))
    logs = [part.log_prob((z - centre) / scale) for part in parts]
    expected = logsumexp(logs, axis=0) - np.log(3) - np.log(scale).sum()
    np.testing.assert_allclose(q.log_prob(z), expected, rtol=1e-10)
    draws = np.asarray(q.sample(jax.random.key(0), (20_000,)))
    sd = np.sqrt(q.variance)
    assert np.all(np.abs(draws.mean(0) - q.mean) < 5 * sd / np.sqrt(20_000))
    spread = (draws - draws.mean(0)) ** 2
    assert np.all(np.abs(spread.mean(0) - q.variance) < 5 * spread.std(0) / np.sqrt(20_000))


def test_bad_arguments_are_refused(without_type_checks):
    with pytest.raises(
        ValueError, match=r"guide: stein_mixture does not go with NormalMixture.*guide of one component"
    ):
        vi.fit(jax.random.key(0), TARGET, vi.stein_mixture(vi.NormalMixture(2), 2))
    with pytest.raises(ValueError, match=r"num_components: expected at least 1, got 0"):
        vi.stein_mixture(vi.MeanFieldNormal(), 0)
    with pytest.raises(ValueError, match=r"repulsion: expected a finite number above 0, got 0.0"):
        vi.stein_mixture(vi.MeanFieldNormal(), 2, repulsion=0.0)
    with pytest.raises(TypeError, match=r"kernel: expected a Kernel, got the class RBF itself"):
        vi.stein_mixture(vi.MeanFieldNormal(), 2, vi.kernels.RBF)
